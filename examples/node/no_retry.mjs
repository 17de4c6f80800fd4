// A listener that never wants a message again: it handles every failure itself and commits. What it cannot do is lost
// then, so this is rarely right.

import { Action } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** The group; its retry topic stays empty. */
export const GROUP = consumerGroup('CID_NO_RETRY')

/** Sends five messages that cannot be worked on, and returns how many were delivered. */
export async function run(mq) {
  await mq.createTopic('Hopeless', 4)
  const producer = mq.producer(producerGroup('no-retry-producers'))
  for (let number = 0; number < 5; number += 1) {
    await producer.send({ topic: 'Hopeless', body: `not a number: ${number}` })
  }

  const seen = new Channel()
  const consumer = await subscribe(mq, GROUP, 'Hopeless', '*', (message) => {
    try {
      work(message)
    } catch (error) {
      console.log(`${JSON.stringify(message.text)} is given up: ${error.message}`)
    }
    seen.put(message.text)
    return Action.Commit
  })

  let delivered = 0
  for (; delivered < 5; delivered += 1) await seen.take()
  await consumer.close()
  return delivered
}

function work(message) {
  return BigInt(message.text)
}

await main(import.meta, run)
