// What the programs share. One file a program, each complete in its `run`:
//
//   node quickstart.mjs                    everything in this process, in memory
//   node quickstart.mjs ./data             the same, kept in a directory
//   node quickstart.mjs 127.0.0.1:9876     a cluster, FerroMQ's or Apache's; or set NAMESRV_ADDR
//
// PRODUCER_GROUP and CONSUMER_GROUP take the place of the programs' own groups.

import { fileURLToPath } from 'node:url'

import { connect, open } from 'ferromq'

/** How long the programs wait for messages that are sure to come, ms. */
export const PATIENCE = 60_000

/** Where messages go: to the cluster whose name servers `place` is, into the directory that it is, or into memory. */
export async function instance(place = process.env.NAMESRV_ADDR) {
  if (!place) return open({ memory: true })
  return place.includes(':') ? connect(place) : open(place)
}

export const producerGroup = (own) => process.env.PRODUCER_GROUP ?? own
export const consumerGroup = (own) => process.env.CONSUMER_GROUP ?? own

/** A consumer that calls `listener` with each message of a topic whose tag the expression names, from its beginning. */
export async function subscribe(mq, group, topic, expression, listener) {
  const consumer = mq.pushConsumer(group, { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' })
  await consumer.subscribe(topic, expression)
  consumer.listenOne(listener, { onError: (error) => console.error(`comes again: ${error.message}`) })
  await consumer.start()
  return consumer
}

/** What listeners pass on to the program that waits for it. */
export class Channel {
  #values = []
  #waiting = []

  put(value) {
    const next = this.#waiting.shift()
    if (next) next(value)
    else this.#values.push(value)
  }

  async take(patience = PATIENCE) {
    if (this.#values.length > 0) return this.#values.shift()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came in ${patience} ms`)), patience)
      this.#waiting.push((value) => {
        clearTimeout(timer)
        resolve(value)
      })
    })
  }

  /** What is here already. */
  rest() {
    return this.#values.splice(0)
  }
}

/** Runs a program that was started by its name. */
export async function main(meta, run) {
  if (process.argv[1] !== fileURLToPath(meta.url)) return
  const mq = await instance(process.argv[2])
  try {
    await run(mq)
  } finally {
    await mq.close()
  }
}
