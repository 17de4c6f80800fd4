// The steps of an order in their order, while different orders go side by side: all steps of an order go to one queue,
// one after the other, and a queue is consumed by one call at a time.

import { OrderlyStatus } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup } from './common.mjs'

const STEPS = ['created', 'paid', 'pushed', 'completed']
const ORDERS = 100

/** Sends the steps of 100 orders and returns how many were consumed. Fails if one order is out of step. */
export async function run(mq) {
  await mq.createTopic('OrderSteps', 4)
  const producer = mq.producer(producerGroup('order-producers'))
  for (const step of STEPS) {
    for (let order = 0; order < ORDERS; order += 1) {
      const id = String(order)
      await producer.send({ topic: 'OrderSteps', body: step, key: id }, { shardingKey: id })
    }
  }

  const seen = new Channel()
  const reached = new Map()
  const options = { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }
  const consumer = mq.pushConsumer(consumerGroup('order-consumers'), options)
  await consumer.subscribe('OrderSteps', '*')
  consumer.listenOrderly(async (messages) => {
    for (const message of messages) {
      const [order] = message.keys
      const next = reached.get(order) ?? 0
      // A step that was seen before is a second delivery, which may happen; one that comes early must not.
      const step = STEPS.indexOf(message.text)
      seen.put(step <= next ? { order } : { error: `order ${order}: ${message.text} came at step ${next}` })
      reached.set(order, Math.max(step + 1, next))
    }
    return OrderlyStatus.Success
  })
  await consumer.start()

  let consumed = 0
  for (; consumed < ORDERS * STEPS.length; consumed += 1) {
    const { order, error } = await seen.take()
    if (error) throw new Error(error)
    console.log(`a step of order ${order}`)
  }
  await consumer.close()
  return consumed
}

await main(import.meta, run)
