// The three ways to send, each with what it is for.

import { main, producerGroup } from './common.mjs'

/** Sends three kinds of messages and returns how many of each. */
export async function run(mq) {
  await mq.createTopic('Notices', 4)
  const producer = mq.producer(producerGroup('senders'))
  const counts = { sync: 0, asynchronous: 0, oneway: 0 }

  // Mails and short messages to customers are important: wait until each is stored, and look how safe it is.
  for (const customer of ['ann', 'bob']) {
    const sent = await producer.send({ topic: 'Notices', body: `mail to ${customer}`, tag: 'mail' })
    if (sent.status !== 'SEND_OK') console.log(`stored, but not as safe as it could be: ${sent}`)
    console.log(`sync: ${sent}`)
    counts.sync += 1
  }

  // After an upload a video is converted, which takes long, and the uploader must not wait: others go on meanwhile. A
  // send that failed may be repeated if the error is `retriable`.
  const sends = [0, 1, 2].map((video) =>
    producer.send({ topic: 'Notices', body: `convert video ${video}`, tag: 'video' }),
  )
  for (const sent of await Promise.all(sends)) {
    console.log(`async: ${sent}`)
    counts.asynchronous += 1
  }

  // Log lines are many, and one lost is no harm: do not ask for an answer.
  for (let line = 0; line < 100; line += 1) {
    await producer.sendOneway({ topic: 'Notices', body: `log line ${line}`, tag: 'log' })
    counts.oneway += 1
  }
  console.log(`oneway: ${counts.oneway} log lines`)
  await producer.close()
  return counts
}

await main(import.meta, run)
