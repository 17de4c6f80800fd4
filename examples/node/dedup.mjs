// A table of the messages that were worked on. The entry and the result of the work appear in one transaction: killed
// at any moment, the program goes on at its next start, and every message counts once.

import { rmSync } from 'node:fs'

import sqlite from 'node-sqlite3-wasm'

import { Action } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'
import { transaction } from './idempotent.mjs'

/** Messages, each of which is sent twice. */
export const MESSAGES = 50

const TABLES = `
  create table if not exists processed(message_key text primary key);
  create table if not exists result(message_key text, amount integer);
  create table if not exists produced(done integer);
`

/**
 * Sends every message twice unless an earlier run has, works on all, and returns the sum of their amounts. `path` is an
 * SQLite file; `pause` ms lie between two steps, for whoever wants to kill the program there.
 */
export async function run(mq, path = process.env.DEDUP_DATABASE ?? ':memory:', pause = Number(process.env.DEDUP_PAUSE_MS ?? 0)) {
  // This build of SQLite locks by a directory, which a killed process leaves behind.
  rmSync(`${path}.lock`, { recursive: true, force: true })
  const database = new sqlite.Database(path)
  database.exec(TABLES)
  await mq.createTopic('Deduplicated', 4)
  await produce(mq, database)

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_DEDUP'), 'Deduplicated', '*', (message) => {
    const [key] = message.keys
    if (key === undefined) return Action.Commit
    consume(database, key, message.text, pause)
    seen.put(key)
    return Action.Commit
  })
  while (Number(database.get('select count(*) as count from processed').count) < MESSAGES) await seen.take()
  await consumer.close()
  const { sum } = database.get('select sum(amount) as sum from result')
  database.close()
  return Number(sum)
}

async function produce(mq, database) {
  if (database.get('select done from produced')) return
  const producer = mq.producer(producerGroup('dedup-producers'))
  for (let number = 0; number < MESSAGES; number += 1) {
    const message = { topic: 'Deduplicated', body: String(number), key: `ID_${number}` }
    await producer.send(message)
    await producer.send(message)
  }
  // Killed before this, the next run sends once more: that is harmless here.
  database.run('insert into produced values (1)')
  await producer.close()
}

/** All of it without a pause for other listeners: there is one connection, and so one transaction at a time. */
function consume(database, key, body, pause) {
  console.log(`begin ${key}`)
  transaction(database, () => {
    if (isMessageProcessed(database, key)) return console.log(`again ${key}`)
    sleep(pause)
    book(database, key, Number(body))
    console.log(`worked ${key}`)
    sleep(pause)
    markMessageAsProcessed(database, key)
    console.log(`marked ${key}`)
    sleep(pause)
  })
  console.log(`done ${key}`)
}

function isMessageProcessed(database, key) {
  return Boolean(database.get('select 1 from processed where message_key = ?', [key]))
}

/** The work itself. What is not in the database, such as a call to another service, needs a key there as well. */
function book(database, key, amount) {
  database.run('insert into result values (?, ?)', [key, amount])
}

function markMessageAsProcessed(database, key) {
  database.run('insert into processed values (?)', [key])
}

function sleep(ms) {
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

await main(import.meta, run)
