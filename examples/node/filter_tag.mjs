// A consumer that wants messages with some tags only. The broker filters, so the others do not travel.

import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** Sends messages with four tags, wants three, and returns the tags that came. */
export async function run(mq) {
  await mq.createTopic('Tagged', 1)
  const producer = mq.producer(producerGroup('tag-producers'))
  for (const tag of ['TAGD', 'TAGA', 'TAGB', 'TAGD', 'TAGC']) {
    await producer.send({ topic: 'Tagged', body: 'body', tag })
  }

  const seen = new Channel()
  const group = consumerGroup('CID_EXAMPLE')
  const consumer = await subscribe(mq, group, 'Tagged', 'TAGA || TAGB || TAGC', (message) => {
    console.log(`tag ${message.tag}`)
    seen.put(message.tag)
  })
  const tags = [await seen.take(), await seen.take(), await seen.take()]
  await consumer.close()
  // One that was not wanted would have come by now.
  return [...tags, ...seen.rest()].sort()
}

await main(import.meta, run)
