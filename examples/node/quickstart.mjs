// The first program: send some messages and consume them.

import { Channel, consumerGroup, main, producerGroup } from './common.mjs'

/** Sends ten messages and returns what was consumed. */
export async function run(mq) {
  await mq.createTopic('Greetings', 4)

  const producer = mq.producer(producerGroup('greeters'))
  for (let number = 0; number < 10; number += 1) {
    const sent = await producer.send({ topic: 'Greetings', body: `hello ${number}` })
    console.log(`sent: ${sent}`)
  }

  const seen = new Channel()
  const options = { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }
  const consumer = mq.pushConsumer(consumerGroup('listeners'), options)
  await consumer.subscribe('Greetings', '*')
  consumer.listen((messages) => {
    for (const message of messages) {
      console.log(`received: ${message.text} (${message.messageId})`)
      seen.put(message.text)
    }
  })
  await consumer.start()

  const bodies = []
  while (bodies.length < 10) bodies.push(await seen.take())
  await consumer.close()
  await producer.close()
  return bodies
}

await main(import.meta, run)
