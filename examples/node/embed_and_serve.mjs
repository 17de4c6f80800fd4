// A server in this process that others can join: clients of this library, and Apache's in any language.

import { fileURLToPath } from 'node:url'

import { connect, open } from 'ferromq'
import { Channel, consumerGroup, producerGroup, subscribe } from './common.mjs'

/** Opens a server in a directory (in memory without), lets another client send to it, and returns what was consumed here. */
export async function run(directory) {
  // Free ports, as this is an example; `listen: true` has Apache's 9876 and 10911.
  const mq = await open({ ...(directory ? { path: directory } : { memory: true }), listen: 'free' })
  const { nameServer } = mq.listening
  console.log(`name server at 127.0.0.1:${nameServer}`)

  await mq.createTopic('Served', 4)
  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_SERVED'), 'Served', '*', (message) => {
    seen.put(message.text)
  })

  // As another process would.
  const other = await connect(`127.0.0.1:${nameServer}`)
  const sent = await other.producer(producerGroup('visitors')).send({ topic: 'Served', body: 'over the network' })
  console.log(`sent: ${sent}`)
  const body = await seen.take()
  console.log(`received: ${body}`)

  await other.close()
  await consumer.close()
  await mq.close()
  return body
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run(process.argv[2])
