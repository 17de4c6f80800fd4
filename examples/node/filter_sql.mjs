// A consumer that wants messages whose properties an SQL92 expression holds for. A broker that runs by itself needs
// `enablePropertyFilter=true`; an embedded one filters as it is.

import { Subscription } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup } from './common.mjs'

/** Sends messages with a = 0 to 9, wants those up to 3, and returns the values that came. */
export async function run(mq) {
  await mq.createTopic('TopicTest', 1)
  const producer = mq.producer(producerGroup('sql-producers'))
  for (let a = 0; a < 10; a += 1) await producer.send({ topic: 'TopicTest', body: 'body', properties: { a } })

  const seen = new Channel()
  const group = consumerGroup('please_rename_unique_group_name_4')
  const consumer = mq.pushConsumer(group, { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  await consumer.subscribeTo(Subscription.sql('TopicTest', 'a between 0 and 3'))
  consumer.listen((messages) => {
    for (const message of messages) {
      console.log(`a = ${message.properties.a}`)
      seen.put(message.properties.a)
    }
  })
  await consumer.start()
  const values = []
  while (values.length < 4) values.push(await seen.take())
  await consumer.close()
  return [...values, ...seen.rest()].sort()
}

await main(import.meta, run)
