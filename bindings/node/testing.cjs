'use strict'

const { open } = require('./lib/instance.cjs')

/** What tests want that is not the default: whatever is retried or delayed comes after a second. */
const QUICK = {
  memory: true,
  messageDelayLevel: Array(18).fill('1s').join(' '),
  transactionCheckInterval: 1000,
}

/**
 * A broker in memory. Given the context of a test (of node:test, or anything with `after`), it is closed after the test.
 */
async function memoryBroker(context, options) {
  const hasContext = typeof context?.after === 'function'
  const mq = await open({ ...QUICK, ...(hasContext ? options : context) })
  if (hasContext) context.after(() => mq.close())
  return mq
}

/** Runs a function with a broker in memory, and closes it. */
async function withBroker(work, options) {
  const mq = await memoryBroker(options)
  try {
    return await work(mq)
  } finally {
    await mq.close()
  }
}

/** Where other clients find a broker that listens: what `connect` takes. */
function addressOf(mq) {
  const ports = mq.listening
  if (!ports) throw new Error('this broker does not listen: give memoryBroker { listen: "free" }')
  return `127.0.0.1:${ports.nameServer}`
}

/** A number of messages of a topic, from its beginning, once they are there. Fails after `timeout` ms, 30 s unless given. */
async function receive(mq, topic, count, { group = `testing-${process.hrtime.bigint()}`, timeout = 30_000 } = {}) {
  const consumer = mq.consumer(group, { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  try {
    await consumer.subscribe(topic)
    const [messages, signal] = [[], AbortSignal.timeout(timeout)]
    while (messages.length < count) messages.push(...(await consumer.poll(undefined, { signal })))
    return messages
  } finally {
    await consumer.close()
  }
}

module.exports = { addressOf, memoryBroker, receive, withBroker }
