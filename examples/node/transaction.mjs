// An order and the message about it, together or not at all. The shop writes the order in its own database; the cart
// service clears the cart when it gets the message, which it does if and only if the order was committed. What the cart
// service makes of the message is its own business: if it fails it gets the message again, and the order stays.

import { Action, TransactionState } from 'ferromq'
import { Channel, PATIENCE, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** The shop's database: which orders were committed, by transaction. */
class Orders {
  #committed = new Map()

  /** The local transaction, once the broker holds the message back for us. */
  async execute(message, transactionId) {
    const order = message.body
    if (order.endsWith('without money')) {
      console.log(`${order}: rolled back`)
      return TransactionState.Rollback
    }
    this.#committed.set(transactionId, order)
    console.log(`${order}: committed`)
    // The answer may get lost: this one does not give it, so the broker will ask.
    return order.endsWith('with a slow answer') ? TransactionState.Unknown : TransactionState.Commit
  }

  /** The broker asks, this producer or another of the group, perhaps after a crash: look into the database. */
  async check(message) {
    return this.#committed.has(message.messageId) ? TransactionState.Commit : TransactionState.Rollback
  }
}

/** Places three orders, of which one is rolled back; returns those whose carts were cleared. */
export async function run(mq) {
  await mq.createTopic('OrdersPlaced', 4)
  // A group of its own: brokers ask any producer of the group how a transaction ended.
  const producer = mq.transactionProducer(producerGroup('shop-transactions'), new Orders())
  for (const order of ['order 1', 'order 2 without money', 'order 3 with a slow answer']) {
    // Ask after a second, not after the broker's `transactionTimeOut`.
    const { state, sent } = await producer.send({ topic: 'OrdersPlaced', body: order, checkImmunity: 1 })
    console.log(`${state}: ${sent}`)
  }

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_CART'), 'OrdersPlaced', '*', (message) => {
    if (message.reconsumeTimes === 0 && message.text === 'order 1') {
      console.log(`the cart of ${message.text} is not cleared yet: its service has a problem`)
      return Action.Later
    }
    seen.put(message.text)
    return Action.Commit
  })
  const cleared = new Set()
  while (cleared.size < 2) {
    // Brokers look for answers that are missing every `transactionCheckInterval`: half a minute by default, a minute at
    // 4.9's.
    const order = await seen.take(PATIENCE * 3)
    console.log(`the cart of ${order} is cleared`)
    cleared.add(order)
  }
  await consumer.close()
  await producer.close()
  for (const order of seen.rest()) cleared.add(order)
  return [...cleared].sort()
}

await main(import.meta, run)
