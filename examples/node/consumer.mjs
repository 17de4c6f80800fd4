// Counts what quickstart_producer has sent, asking for it.

import { PATIENCE, consumerGroup, main } from './common.mjs'

/** Polls until 10,001 messages have come, and returns how many did. */
export async function run(mq) {
  const consumer = mq.consumer(consumerGroup('counters'), { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  await consumer.subscribe('topic_example_java', 'TagA')
  let counted = 0
  while (counted < 10_001) {
    const messages = await consumer.poll(PATIENCE)
    if (messages.length === 0) throw new Error(`${counted} came`)
    const other = messages.find(({ text }) => !/^Hello Java Demo RocketMQ:\d+$/.test(text))
    if (other) throw new Error(`nobody sent ${other.text}`)
    counted += messages.length
  }
  console.log(`counted: ${counted}`)
  await consumer.close()
  return counted
}

await main(import.meta, run)
