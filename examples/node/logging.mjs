// A program's log as messages of a topic, besides the console: whoever collects logs consumes them, by level if it likes.

import { Console } from 'node:console'
import { once } from 'node:events'

import { TopicStream } from 'ferromq/logging'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** Logs four lines, collects those that are errors, and returns them. */
export async function run(mq) {
  await mq.createTopic('Logs', 1)
  const stream = new TopicStream({ producer: mq.producer(producerGroup('loggers')), topic: 'Logs' })
  // Any logger that writes lines to a stream will do: pino(stream), new winston.transports.Stream({ stream }).
  const log = new Console(stream)
  const line = (level, text) => log.log(JSON.stringify({ level, text }))
  line('info', 'the program has begun')
  line('error', 'the printer is on fire')
  line('warn', 'there is little paper')
  line('error', 'the fire brigade does not answer')
  stream.end()
  await once(stream, 'finish')

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_LOGS'), 'Logs', 'error', (message) => {
    console.log(`collected: ${message.text}`)
    seen.put(JSON.parse(message.text).text)
  })
  const errors = [await seen.take(), await seen.take()]
  await consumer.close()
  return [...errors, ...seen.rest()].sort()
}

await main(import.meta, run)
