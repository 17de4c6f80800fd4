// Three ways in which a listener asks for a message again. It comes again after 10 s, 30 s, 1 min and so on, 16 times by
// default, and then becomes a dead letter.

import { Action } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** Sends messages whose first delivery fails, and returns each delivery: what, and how often it had failed before. */
export async function run(mq) {
  await mq.createTopic('Retried', 4)
  const producer = mq.producer(producerGroup('retry-producers'))
  for (const body of ['answer later', 'answer null', 'throw']) await producer.send({ topic: 'Retried', body })

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_RETRY'), 'Retried', '*', async (message) => {
    console.log(`delivery ${message.reconsumeTimes + 1} of ${JSON.stringify(message.text)}`)
    seen.put([message.text, message.reconsumeTimes])
    if (message.reconsumeTimes > 0) return Action.Commit
    // The work failed: the message comes again.
    if (message.text === 'answer later') return Action.Later
    // As in Java, null counts as the same.
    if (message.text === 'answer null') return null
    // So does what is thrown, and it ends nothing but this call.
    throw new Error('this example throws to be called again')
  })

  const deliveries = []
  while (deliveries.length < 6) deliveries.push(await seen.take())
  await consumer.close()
  return deliveries
}

await main(import.meta, run)
