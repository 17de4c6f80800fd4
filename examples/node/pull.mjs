// Reads one queue to its end, at the program's own pace and with its own offsets: nothing is fetched without a call, and
// no group keeps anything.

import { PullStatus, Subscription } from 'ferromq'
import { main, producerGroup } from './common.mjs'

/** Sends 100 messages to one queue and returns the bodies that were read. */
export async function run(mq) {
  await mq.createTopic('Pulled', 2)
  const producer = mq.producer(producerGroup('pull-producers'))
  const [queue] = await producer.queues('Pulled')
  for (let number = 0; number < 100; number += 1) {
    await producer.send({ topic: 'Pulled', body: String(number) }, { queue })
  }

  const consumer = mq.consumer()
  const bodies = []
  let offset = 0
  for (;;) {
    // Waits for nothing: the queue ends where there are no new messages.
    const pulled = await consumer.pull(queue, Subscription.all('Pulled'), offset, 32)
    console.log(`${pulled.messages.length} messages from offset ${offset}, the queue ends at ${pulled.max}`)
    bodies.push(...pulled.messages.map((message) => message.text))
    offset = pulled.next
    if (pulled.status === PullStatus.NoNewMessages) break
  }
  await consumer.close()
  return bodies
}

await main(import.meta, run)
