// A producer as a service has it: made once from settings, used for all messages, closed at the end.

import { main, producerGroup } from './common.mjs'

/** The settings, as they would stand in a file: Apache's keys. */
const SETTINGS = {
  producerGroup: producerGroup('group_example_java'),
  retryTimesWhenSendFailed: 3,
  retryTimesWhenSendAsyncFailed: 3,
  retryAnotherBrokerWhenNotStoreOK: true,
}

/** Sends 10,001 messages and returns how many were stored. */
export async function run(mq) {
  const producer = mq.producer(SETTINGS)
  let stored = 0
  try {
    for (let number = 0; number <= 10_000; number += 1) {
      const body = `Hello Java Demo RocketMQ:${number}`
      try {
        const sent = await producer.send({ topic: 'topic_example_java', body, tag: 'TagA' })
        stored += 1
        console.log(`result of the send: ${sent}`)
      } catch (error) {
        console.error(`not sent: ${error.message}`)
      }
    }
  } finally {
    await producer.close()
  }
  return stored
}

await main(import.meta, run)
