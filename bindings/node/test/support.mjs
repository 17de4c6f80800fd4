// What the tests share.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Whatever is sure to come comes within this, ms; nothing is measured by it. */
export const PATIENCE = 90_000

export const FIRST = { consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET' }

/** A directory that is gone after the test. */
export async function directory(context) {
  const path = await mkdtemp(join(tmpdir(), 'ferromq-node-'))
  context.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Values that arrive, and who waits for a number of them. */
export class Inbox {
  values = []
  #waiting = []

  put(value) {
    this.values.push(value)
    this.#waiting = this.#waiting.filter(({ count, done }) => {
      if (this.values.length < count) return true
      done([...this.values])
      return false
    })
  }

  async wait(count) {
    if (this.values.length >= count) return [...this.values]
    return new Promise((resolve, reject) => {
      const late = () => reject(new Error(`only ${this.values.length} of ${count} came: ${this.values}`))
      const timer = setTimeout(late, PATIENCE)
      const done = (values) => {
        clearTimeout(timer)
        resolve(values)
      }
      this.#waiting.push({ count, done })
    })
  }
}

/** A started consumer whose listener gets single messages. */
export async function listening(mq, group, wanted, listener, options) {
  const consumer = mq.pushConsumer(group, { ...FIRST, ...options })
  await consumer.subscribeTo(wanted)
  consumer.listenOne(listener, { onError: () => {} })
  await consumer.start()
  return consumer
}

/** What a consumer of its own polls, until there are `count`. */
export async function polled(mq, topic, count, group = `all-${topic}`) {
  const consumer = mq.consumer(group, FIRST)
  await consumer.subscribe(topic)
  const messages = []
  while (messages.length < count) messages.push(...(await consumer.poll(PATIENCE)))
  await consumer.close()
  return messages
}

/** Waits until something is so. */
export async function until(holds) {
  const end = Date.now() + PATIENCE
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`it never was so: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export function path(relative) {
  return fileURLToPath(new URL(relative, import.meta.url))
}

/** Runs a program given as text in a process of its own: its exit code and output. One that hangs is killed. */
export async function run(program, flags = [], environment = {}, timeout = PATIENCE) {
  return finish(spawn(process.execPath, [...flags, '--input-type=module', '-e', program], {
    env: { ...process.env, ...environment },
    cwd: path('..'),
    timeout,
    killSignal: 'SIGKILL',
  }))
}

export async function finish(child) {
  let [output, errors] = ['', '']
  child.stdout.on('data', (data) => (output += data))
  child.stderr.on('data', (data) => (errors += data))
  const [code, signal] = await new Promise((resolve) => child.on('close', (...end) => resolve(end)))
  return { code, signal, output, errors }
}
