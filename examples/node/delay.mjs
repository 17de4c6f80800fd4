// Messages that arrive later: delay level 3 is 10 s with the broker's default table.

import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** Sends 100 messages with delay level 3, which is `expected` ms long, and returns how long each took. None comes early. */
export async function run(mq, expected = 10_000) {
  await mq.createTopic('TestTopic', 4)
  const producer = mq.producer(producerGroup('ExampleProducerGroup'))
  for (let number = 0; number < 100; number += 1) {
    await producer.send({ topic: 'TestTopic', body: `Hello scheduled message ${number}`, delayLevel: 3 })
  }

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('ExampleConsumer'), 'TestTopic', '*', (message) => {
    seen.put(Date.now() - message.bornTimestamp)
  })
  const delays = []
  for (let number = 0; number < 100; number += 1) {
    const delay = await seen.take()
    console.log(`message ${number} arrived ${delay} ms after it was sent`)
    if (delay < expected) throw new Error(`${delay} ms is earlier than ${expected} ms`)
    delays.push(delay)
  }
  await consumer.close()
  return delays
}

await main(import.meta, run)
