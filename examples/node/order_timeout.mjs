// An order that is not paid in time is cancelled: a message that arrives an hour after the order looks whether it was
// paid, and gives its goods back if not.

import { Channel, PATIENCE, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** One hour with the broker's default table. */
const LEVEL = 17

/** Places four orders, of which two are paid; returns the stock of ten after the time is over. */
export async function run(mq) {
  await mq.createTopic('OrderTimeout', 4)
  const shop = { stock: 10, orders: new Map() }
  const producer = mq.producer(producerGroup('shops'))
  for (const order of ['A', 'B', 'C', 'D']) {
    if (shop.stock === 0) throw new Error('sold out')
    shop.stock -= 1
    shop.orders.set(order, 'placed')
    await producer.send({ topic: 'OrderTimeout', body: 'look', key: order, delayLevel: LEVEL })
  }
  for (const order of ['B', 'D']) shop.orders.set(order, 'paid')
  console.log(`${shop.stock} pieces, orders`, Object.fromEntries(shop.orders))

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_TIMEOUT'), 'OrderTimeout', '*', (message) => {
    const [order] = message.keys
    // Only an order that is still open: a second delivery finds it cancelled.
    if (shop.orders.get(order) === 'placed') {
      shop.orders.set(order, 'cancelled')
      shop.stock += 1
      console.log(`order ${order} was not paid: cancelled`)
    }
    seen.put(order)
  })
  // With the default table this is an hour.
  for (let count = 0; count < 4; count += 1) await seen.take(PATIENCE + 3_600_000)
  await consumer.close()
  console.log(`${shop.stock} pieces, orders`, Object.fromEntries(shop.orders))
  return shop.stock
}

await main(import.meta, run)
