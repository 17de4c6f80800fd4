// The ends of things: of the process with live consumers, of polls, listeners, workers, and of what nobody holds.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Worker } from 'node:worker_threads'

import { FerromqError, open } from 'ferromq'
import { memoryBroker, withBroker } from 'ferromq/testing'
import { FIRST, Inbox, PATIENCE, directory, listening, polled, run, until } from './support.mjs'

const SETUP = `
  import { open } from 'ferromq'
  const mq = await open(process.env.PLACE ? { path: process.env.PLACE } : { memory: true })
  await mq.createTopic('T', 2)
  const producer = mq.producer('p')
  async function consume(listener) {
    const consumer = mq.pushConsumer('c', { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
    await consumer.subscribe('T')
    consumer.listenOne(listener)
    await consumer.start()
    return consumer
  }
`

describe('the end of the process', { concurrency: 2 }, () => {
  const ends = async (program, expected = '', code = 0) => {
    const end = await run(SETUP + program)
    assert.deepEqual([end.code, end.signal, end.output], [code, null, expected], end.errors)
    return end
  }

  test('an idle instance, producer and poll consumer do not keep it alive', () =>
    ends(`await producer.send({ topic: 'T', body: 'x' }); const consumer = mq.consumer('c')
      await consumer.subscribe('T'); await consumer.poll(0)
      process.on('exit', () => console.log('exit'))`, 'exit\n'))

  test('a pending poll keeps it alive, and its time limit ends it', () =>
    ends(`const consumer = mq.consumer('c'); await consumer.subscribe('T')
      console.log((await consumer.poll(200)).length)`, '0\n'))

  test('a started push consumer keeps it alive until it is closed', () =>
    ends(`const consumer = await consume(() => {}); setTimeout(() => consumer.close().then(() => console.log('closed')), 300).unref()`, 'closed\n'))

  test('a closed instance does not, whose consumers were not closed', () =>
    ends(`await consume(() => {}); await mq.close(); console.log('closed')`, 'closed\n'))

  test('an unref`d push consumer does not keep it alive', () =>
    ends(`const consumer = await consume(() => {}); consumer.unref()`))

  test('process.exit with live consumers', () =>
    ends(`await consume(() => process.exit(3)); await producer.send({ topic: 'T', body: 'x' })`, '', 3))

  test('process.exit while listeners wait for ever', () =>
    ends(`let calls = 0
      await consume(() => { if (++calls === 10) process.exit(3); return new Promise(() => {}) })
      for (let n = 0; n < 40; n += 1) await producer.send({ topic: 'T', body: 'x' })`, '', 3))

  test('process.exit with a poll, sends and a transaction under way', () =>
    ends(`const consumer = mq.consumer('c'); await consumer.subscribe('T'); consumer.poll().catch(() => {})
      const transactions = mq.transactionProducer('t', { execute: () => process.exit(4), check: () => 'commit' })
      for (let n = 0; n < 100; n += 1) producer.send({ topic: 'T', body: 'x' })
      transactions.send({ topic: 'T', body: 'x' })`, '', 4))

  test('an uncaught exception with live consumers', async () => {
    const end = await run(`${SETUP} await consume(() => {}); setImmediate(() => { throw new Error('uncaught') })`)
    assert.deepEqual([end.code, end.signal], [1, null])
    assert.match(end.errors, /uncaught/)
  })

  test('a rejected listener is told as a warning and ends nothing', async () => {
    const end = await run(`${SETUP} let calls = 0
      const consumer = await consume(async (message) => {
        if (++calls === 1) throw new Error('the work failed')
        if (calls === 2) { await consumer.close() }
      })
      for (const body of 'ab') await producer.send({ topic: 'T', body })`)
    assert.deepEqual([end.code, end.signal], [0, null])
    assert.match(end.errors, /LISTENER_FAILED.*the work failed/)
  })

  test('what handlers of errors throw is the program`s, and holds up nothing else', async () => {
    const end = await run(`${SETUP} process.on('uncaughtException', (error) => console.log(error.message))
      const consumer = mq.pushConsumer('c', { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
      await consumer.subscribe('T')
      let calls = 0
      const twenty = new Promise((resolve) => {
        consumer.listenOne(() => { if (++calls === 20) resolve(); throw new Error('work') }, { onError: () => { throw new Error('handler') } })
      })
      for (let n = 0; n < 20; n += 1) await producer.send({ topic: 'T', body: 'x' })
      await consumer.start()
      await twenty
      await consumer.close()
      const transactions = mq.transactionProducer('t', { execute: () => { throw new Error('work') }, check: () => 'commit', onError: () => { throw new Error('handler') } })
      console.log((await transactions.send({ topic: 'T', body: 'x' })).state)`)
    assert.deepEqual([end.code, end.signal], [0, null], end.errors)
    const lines = end.output.trim().split('\n')
    assert.ok(lines.filter((line) => line === 'handler').length >= 21, end.output)
    assert.deepEqual(lines.filter((line) => line !== 'handler'), ['unknown'])
  })

  test('what was sent is there after process.exit without close', async (context) => {
    const place = await directory(context)
    const program = `${SETUP} for (let n = 0; n < 10; n += 1) await producer.send({ topic: 'T', body: 'x' }); process.exit(0)`
    const end = await run(program, [], { PLACE: place })
    assert.deepEqual([end.code, end.signal, end.errors], [0, null, ''])
    const mq = await open(place)
    assert.equal((await polled(mq, 'T', 10)).length, 10)
    await mq.close()
  })

  test('the event loop stays alive for a send that is awaited over the network', () =>
    ends(`const { connect } = await import('ferromq')
      const { memoryBroker, addressOf } = await import('ferromq/testing')
      const server = await memoryBroker({ listen: 'free' })
      const client = await connect(addressOf(server))
      await client.createTopic('T', 1)
      console.log((await client.producer('p').send({ topic: 'T', body: 'x' })).status)`, 'SEND_OK\n'))
})

describe('the event loop', () => {
  test('goes round while calls are awaited whose results are there at once', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const producer = mq.producer('p')
    const seen = new Inbox()
    const consumer = await listening(mq, 'c', 'T', () => seen.put(1))
    let turned = 0
    const timer = setInterval(() => (turned += 1), 1)
    // Ends by what runs elsewhere in the loop.
    while (turned < 10 || seen.values.length < 10) await producer.send({ topic: 'T', body: 'x' })
    clearInterval(timer)
    await consumer.close()
  })

  test('goes on while a flush is waited for', async (context) => {
    const mq = await open(await directory(context), { flushDiskType: 'SYNC_FLUSH' })
    await mq.createTopic('T', 1)
    const sends = Array.from({ length: 50 }, () => mq.producer('p').send({ topic: 'T', body: 'x' }))
    assert.deepEqual(new Set((await Promise.all(sends)).map(({ status }) => status)), new Set(['SEND_OK']))
    await mq.close()
  })
})

describe('polls', () => {
  test('are aborted by a signal, before and while they wait, and lose nothing', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const consumer = mq.consumer('c', FIRST)
    await consumer.subscribe('T')
    await assert.rejects(consumer.poll(PATIENCE, { signal: AbortSignal.abort() }), { name: 'AbortError' })
    for (let round = 0; round < 20; round += 1) {
      const control = new AbortController()
      const poll = consumer.poll(undefined, { signal: control.signal })
      setTimeout(() => control.abort(new Error('enough')), round)
      await assert.rejects(poll, /enough/)
    }
    const producer = mq.producer('p')
    const seen = []
    for (let number = 0; number < 50; number += 1) {
      const control = new AbortController()
      const poll = consumer.poll(undefined, { signal: control.signal })
      await producer.send({ topic: 'T', body: String(number) })
      setImmediate(() => control.abort())
      seen.push(...(await poll.catch((error) => (assert.equal(error.name, 'AbortError'), []))))
    }
    while (seen.length < 50) seen.push(...(await consumer.poll(PATIENCE)))
    assert.deepEqual(seen.map((message) => Number(message.text)), [...Array(50).keys()])
  })

  test('end with Closed when the consumer is closed, and an iteration just ends', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const consumer = mq.consumer('c')
    await consumer.subscribe('T')
    await consumer.start()
    const polls = [consumer.poll(), consumer.poll(PATIENCE)].map((poll) => assert.rejects(poll, { code: 'Closed' }))
    const iterated = (async () => {
      for await (const message of consumer) assert.fail(message)
    })()
    await new Promise(setImmediate)
    await consumer.close()
    await Promise.all([...polls, iterated])
  })

  test('what an iteration has not handed out comes again', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    await mq.producer('p').sendBatch([...'abcdef'].map((body) => ({ topic: 'T', body })))
    const take = async (group, count) => {
      const consumer = mq.consumer(group, FIRST)
      await consumer.subscribe('T')
      const taken = []
      for await (const message of consumer) if (taken.push(message.text) === count) break
      await consumer.close()
      return taken.join('')
    }
    assert.equal(await take('c', 2), 'ab')
    assert.equal(await take('c', 3), 'cde')
    assert.equal(await take('c', 1), 'f')
  })

  test('what an iteration could not give back is not lost, and comes first', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    await mq.producer('p').sendBatch([...'abcdef'].map((body) => ({ topic: 'T', body })))
    const consumer = mq.consumer('c', FIRST)
    await consumer.subscribe('T')
    consumer.seek = () => Promise.reject(new Error('not now'))
    const taken = []
    for await (const message of consumer) if (taken.push(message.text) === 2) break
    delete consumer.seek
    for (const max of [1, undefined]) taken.push(...(await consumer.poll(PATIENCE, { max })).map(({ text }) => text))
    assert.equal(taken.join(''), 'abcdef')
    await consumer.close()
  })

  test('a consumer that fails to start can be started again', async (context) => {
    const mq = await memoryBroker(context)
    const consumer = mq.consumer('c', FIRST)
    await consumer.subscribe('Missing')
    await assert.rejects(consumer.poll(0), { code: 'NotFound' })
    await mq.createTopic('Missing', 1)
    await mq.producer('p').send({ topic: 'Missing', body: 'x' })
    assert.equal((await consumer.poll(PATIENCE))[0].text, 'x')
  })
})

describe('closing', () => {
  test('twice, and using what is closed', async () => {
    const mq = await memoryBroker()
    await mq.createTopic('T', 1)
    const producer = mq.producer('p')
    const [consumer, push] = [mq.consumer('c'), mq.pushConsumer('d')]
    await consumer.subscribe('T')
    await push.subscribe('T')
    push.listen(() => {})
    await push.start()
    await Promise.all([mq.close(), mq.close()])
    await mq.close()
    for (const thing of [producer, consumer, push]) {
      await thing.close()
      await thing.close()
    }
    const closed = { code: 'Closed' }
    await assert.rejects(producer.send({ topic: 'T', body: 'x' }), closed)
    await assert.rejects(producer.sendBatch([{ topic: 'T', body: 'x' }]), closed)
    assert.throws(() => producer.sendSync({ topic: 'T', body: 'x' }), closed)
    await assert.rejects(producer.sendOneway({ topic: 'T', body: 'x' }), closed)
    await assert.rejects(consumer.poll(0), closed)
    await assert.rejects(push.start(), closed)
    await assert.rejects(mq.createTopic('T', 1), FerromqError)
    assert.throws(() => mq.producer('q'), closed)
    assert.throws(() => mq.pushConsumer('q'), closed)
  })

  test('waits for listeners that run, and none is called afterwards', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 4)
    let [running, ended, isClosed] = [0, 0, false]
    const consumer = await listening(mq, 'c', 'T', async () => {
      assert.equal(isClosed, false)
      running += 1
      await new Promise((resolve) => setTimeout(resolve, 50))
      running -= 1
      ended += 1
    })
    const producer = mq.producer('p')
    for (let number = 0; number < 60; number += 1) await producer.send({ topic: 'T', body: 'x' })
    // However long the sends took: some run at this time, or there are more messages for them.
    const more = Array.from({ length: 60 }, () => ({ topic: 'T', body: 'x' }))
    await until(async () => running > 3 || (await producer.sendBatch(more), running > 3))
    await consumer.close()
    isClosed = true
    assert.equal(running, 0)
    assert.ok(ended > 0)
  })

  test('past its time limit it is a timeout, and the listener`s end does no harm', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    let release
    const held = new Promise((resolve) => (release = resolve))
    const inbox = new Inbox()
    const consumer = await listening(mq, 'c', 'T', async () => {
      inbox.put(1)
      await held
    })
    await mq.producer('p').send({ topic: 'T', body: 'x' })
    await inbox.wait(1)
    await assert.rejects(consumer.close(50), { code: 'Timeout', retriable: true })
    release()
    await new Promise(setImmediate)
  })

  test('an instance in a listener, in a transaction and after it', async () => {
    for (const how of ['listener', 'transaction']) {
      const mq = await memoryBroker()
      await mq.createTopic('T', 1)
      const closed = new Inbox()
      const close = async () => {
        await new Promise(setImmediate)
        await mq.close()
        closed.put(1)
      }
      if (how === 'listener') await listening(mq, 'c', 'T', close)
      const transactions = mq.transactionProducer('t', { execute: close, check: () => 'commit' })
      if (how === 'transaction') transactions.send({ topic: 'T', body: 'x' }).catch(() => {})
      else await mq.producer('p').send({ topic: 'T', body: 'x' })
      await closed.wait(1)
      await mq.close()
    }
  })

  test('by `await using`, as far as this Node knows it', async () => {
    const mq = await open({ memory: true })
    const [producer, consumer, push] = [mq.producer('p'), mq.consumer('c'), mq.pushConsumer('d')]
    for (const thing of [producer, consumer, push, mq]) await thing[Symbol.asyncDispose]()
    await assert.rejects(producer.send({ topic: 'T', body: 'x' }), { code: 'Closed' })
  })
})

describe('workers', () => {
  const WORKER = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { connect } = require('ferromq')
    const { memoryBroker } = require('ferromq/testing')
    async function main() {
      const mq = workerData.address ? await connect(workerData.address) : await memoryBroker()
      await mq.createTopic('W', 2)
      const consumer = mq.pushConsumer('workers-' + workerData.number, { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
      await consumer.subscribe('W')
      let count = 0
      consumer.listenOne(async (message) => {
        await new Promise(setImmediate)
        parentPort.postMessage(++count)
        if (workerData.hang) await new Promise(() => {})
      })
      await consumer.start()
      const producer = mq.producer('p')
      for (let n = 0; workerData.endless || n < 20; n += 1) await producer.send({ topic: 'W', body: 'x' })
      if (workerData.close) setTimeout(() => mq.close(), 100)
    }
    main()`
  const start = (workerData) => {
    const worker = new Worker(WORKER, { eval: true, workerData })
    const seen = new Inbox()
    worker.on('message', (count) => seen.put(count))
    const ended = new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject))
    return { worker, seen, ended }
  }

  test('each has its own broker, and ends when it is closed', async () => {
    const workers = [0, 1, 2].map((number) => start({ number, close: true }))
    for (const { ended } of workers) assert.equal(await ended, 0)
  })

  for (const hang of [false, true]) {
    test(`terminated while consuming${hang ? ', its listeners waiting for ever' : ''}`, async (context) => {
      const server = await memoryBroker(context, { listen: 'free' })
      const address = `127.0.0.1:${server.listening.nameServer}`
      for (let round = 0; round < 5; round += 1) {
        const place = round % 2 === 0 ? {} : { address }
        const { worker, seen, ended } = start({ number: round, endless: true, hang, ...place })
        await seen.wait(5)
        await worker.terminate()
        await ended
      }
      assert.equal((await server.producer('p').send({ topic: 'W', body: 'x' })).status, 'SEND_OK', 'the others go on')
    })
  }
})

describe('what nobody holds', () => {
  test('is collected with its threads, and what it was does not come back', async () => {
    const end = await run(
      `import { open } from 'ferromq'
       import { readdirSync } from 'node:fs'
       const threads = () => readdirSync('/proc/self/task').length
       async function one() {
         const mq = await open({ memory: true })
         await mq.createTopic('T', 1)
         const producer = mq.producer('p')
         await producer.send({ topic: 'T', body: Buffer.alloc(1000) })
         const consumer = mq.consumer('c')
         await consumer.subscribe('T')
         await consumer.poll(0)
         mq.pushConsumer('d')
         mq.transactionProducer('t', { execute() {}, check() {} })
       }
       async function settle(limit) {
         for (let turn = 0; turn < 3000; turn += 1) {
           globalThis.gc()
           await new Promise((resolve) => setTimeout(resolve, 20))
           if (threads() <= limit) return
         }
         throw new Error('there are still ' + threads() + ' threads, not ' + limit)
       }
       await one()
       const before = threads()
       for (let count = 0; count < 20; count += 1) await one()
       await settle(before)
       console.log('settled')`,
      ['--expose-gc'],
    )
    assert.deepEqual([end.code, end.output], [0, 'settled\n'], end.errors)
  })

  // 10,000 times with FERROMQ_SOAK=1.
  test('opened and closed many times it leaves neither threads nor files nor memory', { skip: process.platform !== 'linux' }, async () => {
    const lives = process.env.FERROMQ_SOAK ? 10_000 : 100
    const end = await run(
      `import { open } from 'ferromq'
       import { readdirSync } from 'node:fs'
       const count = (what) => readdirSync('/proc/self/' + what).length
       const one = async () => {
         const mq = await open({ memory: true })
         await mq.createTopic('T', 1)
         await mq.producer('p').send({ topic: 'T', body: 'x' })
         const consumer = mq.consumer('c', { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
         await consumer.subscribe('T')
         if ((await consumer.poll(60_000)).length !== 1) throw new Error('nothing came')
         await mq.close()
       }
       for (let n = 0; n < ${lives} / 10; n += 1) await one()
       gc()
       const before = [count('task'), count('fd')]
       const memory = process.memoryUsage.rss()
       for (let n = 0; n < ${lives}; n += 1) await one()
       gc()
       await new Promise((resolve) => setTimeout(resolve, 200))
       const grown = [count('task') - before[0], count('fd') - before[1]]
       const more = Math.round((process.memoryUsage.rss() - memory) / 1024)
       // What grows by 6 KiB with each life is seen with 10,000 of them; less is how the allocators use their pages.
       console.log(grown.every((one) => one <= 2) && more < 60 * 1024 ? 'none' : \`\${grown} \${more} KiB\`)`,
      ['--expose-gc'],
      {},
      10 * PATIENCE,
    )
    assert.deepEqual([end.code, end.output], [0, 'none\n'], end.errors)
  })

  test('a listener that is not closed goes on although nobody holds its consumer', async () => {
    const end = await run(
      `${SETUP}
       let done
       const all = new Promise((resolve) => (done = resolve))
       await (async () => { let count = 0; await consume(() => { if (++count === 50) done() }) })()
       for (let n = 0; n < 50; n += 1) { globalThis.gc(); await producer.send({ topic: 'T', body: 'x' }) }
       await all
       console.log('all')
       await mq.close()`,
      ['--expose-gc'],
    )
    assert.deepEqual([end.code, end.output], [0, 'all\n'], end.errors)
  })

  test('withBroker closes what it opened, also when the work fails', async () => {
    let kept
    await assert.rejects(withBroker((mq) => Promise.reject(new Error(`work ${((kept = mq), 1)}`))), /work 1/)
    assert.throws(() => kept.producer('p'), { code: 'Closed' })
  })
})
