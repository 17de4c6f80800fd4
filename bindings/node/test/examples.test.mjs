// Every example is run: most on a broker in memory whose delay levels are short, the one about crashes as a process.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import { join } from 'node:path'

import { PATIENCE, directory, finish, path } from './support.mjs'
import { memoryBroker } from 'ferromq/testing'

const EXAMPLES = path('../../../examples/node/')
const example = (name) => import(join(EXAMPLES, `${name}.mjs`))

const numbers = (count) => [...Array(count).keys()]
const sum = numbers(50).reduce((all, one) => all + one)

/** What each returns, with what it is given besides the broker. */
const EXPECTED = {
  quickstart: { sorted: true, result: numbers(10).map((number) => `hello ${number}`) },
  producer: { result: { sync: 2, asynchronous: 3, oneway: 100 } },
  retry: { sorted: true, result: ['answer later', 'answer null', 'throw'].flatMap((body) => [[body, 0], [body, 1]]) },
  idempotent: { result: { money: 900, orders: 1, stock: 49, tasksDone: 1, t1Money: 150, points: 30, duplicates: 24 } },
  dedup: { more: [':memory:', 0], result: sum },
  flag_ttl: { result: 3 },
  filter_tag: { result: ['TAGA', 'TAGB', 'TAGC'] },
  filter_sql: { result: ['0', '1', '2', '3'] },
  ordered: { result: 400 },
  order_timeout: { result: 8 },
  transaction: { result: ['order 1', 'order 3 with a slow answer'] },
  points: { result: { points: 6, activity: 3, coupons: 3 } },
  pull: { result: numbers(100).map(String) },
  logging: { result: ['the fire brigade does not answer', 'the printer is on fire'] },
}

describe('examples', { concurrency: true }, () => {
  for (const [name, { more = [], result, sorted }] of Object.entries(EXPECTED)) {
    test(name, async (context) => {
      const { run } = await example(name)
      const found = await run(await memoryBroker(context), ...more)
      assert.deepEqual(sorted ? found.sort() : found, result)
    })
  }

  test('quickstart_producer sends 10,001 messages and a consumer counts them', async (context) => {
    const mq = await memoryBroker(context)
    assert.equal(await (await example('quickstart_producer')).run(mq), 10_001)
    assert.equal(await (await example('consumer')).run(mq), 10_001)
  })

  test('no_retry leaves the retry topic empty', async (context) => {
    const mq = await memoryBroker(context)
    const { run, GROUP } = await example('no_retry')
    assert.equal(await run(mq), 5)
    const queues = await mq.queues(`%RETRY%${GROUP}`).catch(() => [])
    for (const queue of queues) assert.equal(await mq.maxOffset(queue), 0)
  })

  test('flag_ttl forgets a flag whose time is over', async (context) => {
    assert.equal(await (await example('flag_ttl')).run(await memoryBroker(context), 0), 6)
  })

  test('delay: none comes early', async (context) => {
    assert.equal((await (await example('delay')).run(await memoryBroker(context), 1000)).length, 100)
  })

  test('broadcast: every member gets every message', async () => {
    const of = (member) => numbers(5).map((number) => [member, `reload ${number}`])
    assert.deepEqual(await (await example('broadcast')).run(), [...of(0), ...of(1)])
  })

  test('embed_and_serve', async () => {
    assert.equal(await (await example('embed_and_serve')).run(), 'over the network')
  })

  test('snowflakes are unique, and 4096 a millisecond', async () => {
    const { Snowflakes } = await example('snowflake')
    const nodes = [new Snowflakes(1), new Snowflakes(2)]
    const ids = numbers(50_000).flatMap(() => nodes.map((node) => node.nextId()))
    assert.equal(new Set(ids).size, 100_000)
    const perMs = new Map()
    for (const id of ids) perMs.set(id >> 12n, (perMs.get(id >> 12n) ?? 0) + 1)
    assert.ok(Math.max(...perMs.values()) <= 4096)
  })

  test('one that is started by its name, in a directory and at a cluster', async (context) => {
    const place = join(await directory(context), 'data')
    const start = (...more) => finish(spawn(process.execPath, [join(EXAMPLES, 'pull.mjs'), ...more], { timeout: PATIENCE }))
    assert.match((await start(place)).output, /the queue ends at 100/)
    assert.match((await start(place)).output, /the queue ends at 200/)
    const mq = await memoryBroker(context, { listen: 'free' })
    const end = await start(`127.0.0.1:${mq.listening.nameServer}`)
    assert.deepEqual([end.code, end.errors], [0, ''])
    assert.equal((await mq.queues('Pulled')).length, 2)
  })

  test('dedup killed between its steps neither doubles nor drops', async (context) => {
    const place = await directory(context)
    const environment = { DEDUP_DATABASE: join(place, 'dedup.sqlite') }
    // With pauses that leave something to do for the next run, however late this one is killed.
    const start = (pause = 100) =>
      spawn(process.execPath, [join(EXAMPLES, 'dedup.mjs'), join(place, 'data')], {
        env: { ...process.env, ...environment, DEDUP_PAUSE_MS: String(pause) },
      })
    for (const step of ['begin', 'worked', 'marked', 'done', 'worked']) {
      const child = start()
      let found = false
      for await (const line of createInterface(child.stdout)) {
        if (line.startsWith(step)) {
          found = true
          break
        }
      }
      assert.ok(found, `it ended before ${step}`)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
    const end = await finish(start(0))
    assert.equal(end.code, 0, end.errors)
    const { default: sqlite } = await import(join(EXAMPLES, 'node_modules/node-sqlite3-wasm/dist/node-sqlite3-wasm.js'))
    const database = new sqlite.Database(environment.DEDUP_DATABASE)
    const row = database.get('select count(*) as count, count(distinct message_key) as keys, sum(amount) as sum from result')
    database.close()
    assert.deepEqual(Object.values(row).map(Number), [50, 50, sum])
  })

  test('none is left out', () => {
    const others = ['common', 'snowflake', 'quickstart_producer', 'consumer', 'no_retry', 'delay', 'broadcast', 'embed_and_serve']
    const found = readdirSync(EXAMPLES).filter((name) => name.endsWith('.mjs')).map((name) => name.slice(0, -4))
    assert.deepEqual(found.sort(), [...Object.keys(EXPECTED), ...others].sort())
  })
})
