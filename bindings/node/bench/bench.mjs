// bench.mjs DIR SECONDS: messages a second of an embedded broker with default options, each case for about SECONDS. One
// line a case: its name, a tab, and the figure.

import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { open } from '../index.mjs'

const [, , directory, duration = '3'] = process.argv
if (directory === undefined) {
  console.error('bench.mjs DIR SECONDS')
  process.exit(2)
}
const SECONDS = Number(duration)
const FIRST = { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }
const SIZES = { 128: Buffer.alloc(128, 'x'), '1k': Buffer.alloc(1024, 'x') }

/** Counts what `work` has done, which returns how much that was, until the time is over. */
async function measure(name, work) {
  const begin = performance.now()
  let [count, seconds] = [0, 0]
  while (seconds < SECONDS) {
    const done = await work()
    if (done === 0) break
    count += done
    seconds = (performance.now() - begin) / 1000
  }
  report(name, count, seconds)
  return count
}

function report(name, count, seconds) {
  console.log(`${name}\t${Math.round(count / seconds)}`)
}

/** A broker of its own for the cases of a size, so that none has what another has left. */
async function withBroker(name, cases) {
  const path = join(directory, name)
  mkdirSync(directory, { recursive: true })
  rmSync(path, { recursive: true, force: true })
  const mq = await open(path)
  try {
    await cases(mq)
  } finally {
    await mq.close()
    rmSync(path, { recursive: true, force: true })
  }
}

async function puts(mq, size, body) {
  const producer = mq.producer('bench')
  const message = { topic: 'Bench', body }
  await mq.createTopic('Bench', 1)
  await producer.send(message)
  await measure(`put-${size}-1`, async () => {
    // Each is waited for; the clock is not looked at for each.
    for (let count = 0; count < 100; count += 1) await producer.send(message)
    return 100
  })
  if (size === '128') {
    await measure('put-128-async', async () => {
      const sends = Array.from({ length: 1000 }, () => producer.send(message))
      return (await Promise.all(sends)).length
    })
    await measure('put-128-sync', async () => {
      for (let count = 0; count < 100; count += 1) producer.sendSync(message)
      return 100
    })
  }
  const batch = Array(100).fill(message)
  await measure(`put-${size}-100`, async () => {
    await producer.sendBatch(batch)
    return 100
  })
}

async function gets(mq, size) {
  const consumer = mq.consumer('getters', FIRST)
  await consumer.subscribe('Bench')
  await consumer.start()
  await measure(`get-${size}`, async () => (await consumer.poll(1000)).length)
  await consumer.close()
}

async function listens(mq, size) {
  const consumer = mq.pushConsumer('listeners', { ...FIRST, consumeMessageBatchMaxSize: 32 })
  await consumer.subscribe('Bench')
  let count = 0
  consumer.listen((messages) => {
    count += messages.length
  })
  const begin = performance.now()
  await consumer.start()
  await new Promise((resolve) => setTimeout(resolve, SECONDS * 1000))
  report(`listen-${size}`, count, (performance.now() - begin) / 1000)
  await consumer.close()
}

for (const [size, body] of Object.entries(SIZES)) {
  await withBroker(`bench-${size}`, async (mq) => {
    await puts(mq, size, body)
    await gets(mq, size)
    if (size === '1k') await listens(mq, size)
  })
}
