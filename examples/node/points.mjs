// Three groups consume the same payments: points, activity, coupons. When one of them fails, the message comes again for
// this group alone; the others are not charged twice.

import { Action } from 'ferromq'
import { Channel, main, producerGroup, subscribe } from './common.mjs'

/** Sends three payments; the points group fails once for each. Returns the deliveries of each group. */
export async function run(mq) {
  await mq.createTopic('Payments', 4)
  const producer = mq.producer(producerGroup('payers'))
  for (let order = 0; order < 3; order += 1) await producer.send({ topic: 'Payments', body: `order ${order}` })

  const seen = new Channel()
  const deliveries = { points: 0, activity: 0, coupons: 0 }
  const consumers = []
  for (const group of Object.keys(deliveries)) {
    const listener = (message) => {
      const fails = group === 'points' && message.reconsumeTimes === 0
      console.log(`${group}: ${message.text} ${fails ? 'fails' : 'booked'}`)
      deliveries[group] += 1
      if (!fails) seen.put(group)
      return fails ? Action.Later : Action.Commit
    }
    consumers.push(await subscribe(mq, group, 'Payments', '*', listener))
  }
  for (let booked = 0; booked < 9; booked += 1) await seen.take()
  for (const consumer of consumers) await consumer.close()
  return deliveries
}

await main(import.meta, run)
