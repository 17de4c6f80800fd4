// Every member of a group gets every message: caches to clear, settings to reload. Each member keeps how far it has
// come in a file of its own, and a message that fails does not come again.

import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { connect, open } from 'ferromq'
import { Channel, consumerGroup, producerGroup } from './common.mjs'

/** Sends five messages to two members, and returns the ten deliveries: member and body. */
export async function run(address = process.env.NAMESRV_ADDR) {
  // Two clients, as two processes would be. A server in this process listens so that the second can join.
  const first = address ? await connect(address) : await open({ memory: true, listen: 'free' })
  const second = await connect(address || `127.0.0.1:${first.listening.nameServer}`)
  await first.createTopic('Broadcast', 4)
  const seen = new Channel()
  const files = join(tmpdir(), `ferromq-broadcast-${process.pid}`)
  const members = [await member(first, 0, files, seen), await member(second, 1, files, seen)]

  const producer = first.producer(producerGroup('broadcasters'))
  for (let number = 0; number < 5; number += 1) {
    await producer.send({ topic: 'Broadcast', body: `reload ${number}` })
  }
  const deliveries = []
  while (deliveries.length < 10) deliveries.push(await seen.take())
  for (const one of members) await one.close()
  await second.close()
  await first.close()
  // A real program keeps the files: with them it goes on where it stopped.
  await rm(files, { recursive: true })
  return deliveries.sort()
}

async function member(mq, number, files, seen) {
  const consumer = mq.pushConsumer(consumerGroup('CID_BROADCAST'), {
    messageModel: 'BROADCASTING',
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    offsetStoreDir: files,
  })
  await consumer.subscribe('Broadcast', '*')
  consumer.listen((messages) => {
    for (const message of messages) {
      console.log(`member ${number}: ${message.text}`)
      seen.put([number, message.text])
    }
  })
  await consumer.start()
  return consumer
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await run(process.argv[2])
