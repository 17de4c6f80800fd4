'use strict'

const { FerromqError, invalid, now, thrown } = require('./errors.cjs')
const loop = require('./loop.cjs')
const { unpack } = require('./message.cjs')
const { integer, limit, queue, wide } = require('./options.cjs')
const { subscription } = require('./subscription.cjs')

const PullStatus = Object.freeze({
  Found: 'FOUND',
  NoNewMessages: 'NO_NEW_MSG',
  NoMatched: 'NO_MATCHED_MSG',
  OffsetIllegal: 'OFFSET_ILLEGAL',
})

/** The longest that a timer can be, ms. */
const LONGEST = 0x7fffffff

class Consumer {
  #native
  #started
  #isStarted = false
  #isClosed = false
  /** Messages of an iteration that was left, which could not be fetched again. */
  #left = []

  constructor(native) {
    this.#native = native
  }

  get group() {
    return this.#native.group ?? undefined
  }

  async subscribe(topic, expression = '*') {
    await this.#subscribe(topic, expression, false)
  }

  async subscribeTo(wanted) {
    await this.#subscribe(...subscription(wanted))
  }

  async #subscribe(topic, expression, sql) {
    if (!this.#started) return now(() => this.#native.subscribe(topic, expression, sql))
    await loop.call((id) => this.#native.subscribeLater(id, topic, expression, sql))
  }

  unsubscribe(topic) {
    now(() => this.#native.unsubscribe(topic))
  }

  assign(queues) {
    return loop.call((id) => this.#native.assign(id, JSON.stringify([...queues].map(queue))))
  }

  start() {
    this.#started ??= loop.call((id) => this.#native.start(id)).then(
      () => {
        this.#isStarted = true
      },
      (error) => {
        this.#started = undefined
        throw error
      },
    )
    return this.#started
  }

  async poll(timeout, options) {
    const [wait, signal, max] = [limit('poll', timeout), options?.signal, options?.max]
    if (max !== undefined && !(Number.isInteger(max) && max > 0)) throw invalid('poll', `max is ${String(max)}; give a number from 1 on`)
    signal?.throwIfAborted()
    if (!this.#isStarted) await unlessAborted(this.start(), signal)
    if (this.#left.length > 0) return this.#left.splice(0, max ?? this.#left.length)
    return this.#poll(wait, signal, max)
  }

  #poll(wait, signal, max) {
    return new Promise((resolve, reject) => {
      const id = loop.number()
      try {
        const report = this.#native.poll(id, max)
        if (report) return loop.settleNow(resolve, unpack(report))
      } catch (error) {
        return reject(thrown(error))
      }
      let timer
      const end = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        this.#native.giveUp(id)
        loop.forget(id)
      }
      const abort = () => {
        end()
        reject(signal.reason)
      }
      const over = () => {
        end()
        resolve([])
      }
      if (wait === 0) {
        this.#native.giveUp(id)
        return resolve([])
      }
      if (wait !== undefined) timer = setTimeout(over, Math.min(wait, LONGEST))
      signal?.addEventListener('abort', abort, { once: true })
      const settle = (how) => (value) => {
        end()
        how(value)
      }
      loop.expect(id, settle((report) => resolve(unpack(report))), settle(reject))
    })
  }

  /** One message after the other, until the consumer is closed or the signal is raised. */
  async *messages(options) {
    const signal = options?.signal
    for (;;) {
      let batch
      try {
        batch = await this.poll(undefined, { signal })
      } catch (error) {
        if (this.#isClosed || (error instanceof FerromqError && error.code === 'Closed')) return
        throw error
      }
      let given = 0
      try {
        for (const message of batch) {
          given += 1
          yield message
        }
      } finally {
        await this.#giveBack(batch.slice(given))
      }
    }
  }

  [Symbol.asyncIterator]() {
    return this.messages()
  }

  /** What an iteration that was left has not handed out comes with the next poll, here or at who goes on. */
  async #giveBack(rest) {
    if (rest.length === 0) return
    const { topic, brokerName, queueId, queueOffset } = rest[0]
    try {
      await this.seek({ topic, brokerName, queueId }, queueOffset)
    } catch {
      this.#left.push(...rest)
    }
  }

  pull(from, wanted, offset, max = 32, timeout = 0) {
    return loop.call((id) => {
      const [, expression, sql] = subscription(wanted ?? from.topic)
      const [given, first] = [JSON.stringify(queue(from)), integer('pull', 'the offset', offset)]
      this.#native.pull(id, given, expression, sql, first, max, limit('pull', timeout) ?? (timeout === Infinity ? LONGEST : 0))
    }, pulled)
  }

  commit() {
    this.#native.commit()
  }

  commitQueue(of, offset) {
    now(() => this.#native.commitQueue(JSON.stringify(queue(of)), integer('commit', 'the offset', offset)))
  }

  flush() {
    return loop.call((id) => this.#native.flush(id))
  }

  committed(of) {
    return loop.call((id) => this.#native.committed(id, JSON.stringify(queue(of))), offset)
  }

  seek(of, to) {
    return this.#seek(of, 'offset', to)
  }

  seekToBegin(of) {
    return this.#seek(of, 'begin', 0)
  }

  seekToEnd(of) {
    return this.#seek(of, 'end', 0)
  }

  seekToTime(of, time) {
    return this.#seek(of, 'time', Number(time))
  }

  #seek(of, how, to) {
    return loop.call((id) => {
      this.#native.seek(id, JSON.stringify(queue(of)), how, integer('seek', `the ${how}`, to))
    })
  }

  offsetForTime(of, time) {
    return loop.call((id) => {
      this.#native.offsetForTime(id, JSON.stringify(queue(of)), integer('offset for time', 'the time', Number(time)))
    }, offset)
  }

  pause(queues) {
    now(() => this.#native.pause(JSON.stringify([...queues].map(queue)), false))
  }

  resume(queues) {
    now(() => this.#native.pause(JSON.stringify([...queues].map(queue)), true))
  }

  get isCaughtUp() {
    return this.#left.length === 0 && this.#native.isCaughtUp
  }

  queues() {
    return JSON.parse(this.#native.queues())
  }

  topicQueues(topic) {
    return loop.call((id) => this.#native.topicQueues(id, topic), (report) => JSON.parse(report.text))
  }

  async close(within) {
    this.#isClosed = true
    await loop.call((id) => this.#native.close(id, limit('close', within), loop.currentAsk()))
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

/** An offset in a report, if there is one. */
function offset(report) {
  return report.text === undefined || report.text === null ? undefined : wide(report.text)
}

function pulled(report) {
  const end = report.text.indexOf('\n')
  const { status, next, min, max } = JSON.parse(report.text.slice(0, end))
  return { status, messages: unpack(report, end + 1), next: wide(next), min: wide(min), max: wide(max) }
}

/** Waits for a promise, or until the signal is raised. */
function unlessAborted(promise, signal) {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

module.exports = { Consumer, PullStatus, offset }
