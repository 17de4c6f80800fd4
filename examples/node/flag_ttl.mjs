// A flag for each business key, in a store that forgets after some time (Redis in many systems, a map here). Cheap, and
// weaker than a table in the database of the work: work and flag do not appear together, so a crash between them
// lets the work be done twice. The flag is set only after the work, never before, or a failure would lose the message.

import { Action } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'

/** Keys that are known for some time. */
export class Flags {
  #keep
  #until = new Map()

  /** Flags that last `keep` ms: longer than the same message can come again, such as 72 h. */
  constructor(keep) {
    this.#keep = keep
  }

  /** Whether the flag is set and not forgotten. */
  isSet(key) {
    return (this.#until.get(key) ?? 0) > Date.now()
  }

  /** Sets the flag, and forgets those whose time has come. */
  set(key) {
    const now = Date.now()
    for (const [other, until] of this.#until) if (until <= now) this.#until.delete(other)
    this.#until.set(key, now + this.#keep)
  }
}

/** Sends three messages twice, and returns how often work was done. */
export async function run(mq, keep = 72 * 3600 * 1000) {
  await mq.createTopic('Flagged', 1)
  const producer = mq.producer(producerGroup('flag-producers'))
  for (let number = 0; number < 3; number += 1) {
    const message = { topic: 'Flagged', body: 'work', key: `KEY_${number}` }
    await producer.send(message)
    await producer.send(message)
  }

  const flags = new Flags(keep)
  const seen = new Channel()
  // Two deliveries of one key at the same time would both find no flag.
  let last = Promise.resolve()
  const oneAtATime = (work) => (last = last.then(work, work))
  const consumer = await subscribe(mq, consumerGroup('CID_FLAG'), 'Flagged', '*', (message) =>
    oneAtATime(async () => {
      const [key] = message.keys
      if (key === undefined) return Action.Commit
      if (flags.isSet(key)) {
        console.log(`${key} is done already`)
        seen.put(false)
        return Action.Commit
      }
      await work(key)
      flags.set(key)
      seen.put(true)
      return Action.Commit
    }),
  )
  let worked = 0
  for (let count = 0; count < 6; count += 1) worked += (await seen.take()) ? 1 : 0
  await consumer.close()
  return worked
}

async function work(key) {
  console.log(`working on ${key}`)
}

await main(import.meta, run)
