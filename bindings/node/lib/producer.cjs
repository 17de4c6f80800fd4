'use strict'

const { invalid, now } = require('./errors.cjs')
const { Gate, call, currentAsk } = require('./loop.cjs')
const { Sent, bytes, extras, extrasOf, sendTo, sent, topicOf, unpack } = require('./message.cjs')
const { limit } = require('./options.cjs')

/** Batches under way at a time; further ones wait without holding up the event loop. */
const BATCHES = 16

class Producer {
  #native
  #routes = new Map()
  #batches = new Gate(BATCHES)

  constructor(native) {
    this.#native = native
  }

  get group() {
    return this.#native.group
  }

  send(message, options) {
    if (typeof options?.selector === 'function') return this.#sendSelected(message, options)
    return call((id) => {
      const topic = topicOf(message)
      return this.#native.send(id, topic, bytes(message.body), extras(message), sendTo(options))
    }, sent)
  }

  sendSync(message, options) {
    const to = typeof options?.selector === 'function' ? this.#select(message, options) : options
    const topic = topicOf(message)
    return new Sent(now(() => this.#native.sendSync(topic, bytes(message.body), extras(message), sendTo(to))))
  }

  async sendOneway(message, options) {
    const topic = topicOf(message)
    if (this.#routes.get(topic) !== true) await this.#route(topic)
    const to = typeof options?.selector === 'function' ? this.#select(message, options) : options
    now(() => this.#native.sendOneway(topic, bytes(message.body), extras(message), sendTo(to)))
  }

  async sendBatch(messages, options) {
    const list = listOf(messages)
    const batch = this.#batch(list)
    let to = options
    if (typeof options?.selector === 'function') {
      await this.#route(batch[0])
      to = this.#select(list[0], options)
    }
    const where = sendTo(to)
    return this.#batches.run(() => call((id) => this.#native.sendBatch(id, ...batch, where), sent))
  }

  sendBatchSync(messages, options) {
    const list = listOf(messages)
    const batch = this.#batch(list)
    const to = typeof options?.selector === 'function' ? this.#select(list[0], options) : options
    return new Sent(now(() => this.#native.sendBatchSync(...batch, sendTo(to))))
  }

  #batch(messages) {
    const topic = topicOf(messages[0])
    const other = messages.find((message) => topicOf(message) !== topic)
    if (other) throw invalid('send batch', `one batch has one topic, not ${topic} and ${other.topic}`)
    const bodies = messages.map((message) => bytes(message.body))
    const rest = messages.map((message) => extrasOf(message) ?? null)
    const lengths = Uint32Array.from(bodies, (body) => body.length)
    const all = bodies.length === 1 ? bodies[0] : Buffer.concat(bodies)
    return [topic, all, lengths, rest.some((one) => one !== null) ? JSON.stringify(rest) : undefined]
  }

  async #sendSelected(message, options) {
    // All sends wait for the same promise, and so go on in the order they were made.
    await this.#route(topicOf(message))
    return this.send(message, this.#select(message, options))
  }

  /** The options with the queue that the user's selector chooses, of a topic whose route is known. */
  #select(message, options) {
    const queues = JSON.parse(now(() => this.#native.queuesSync(topicOf(message))))
    const place = options.selector(queues, message)
    if (queues[place] === undefined) {
      throw invalid('choose a queue', `the selector chose place ${String(place)} of ${queues.length} queues`)
    }
    return { ...options, selector: undefined, queue: queues[place] }
  }

  /** Waits until the route of a topic is known: later calls do not wait for it, nor does the event loop. */
  #route(topic) {
    const known = this.#routes.get(topic)
    if (known !== undefined) return known
    const found = this.queues(topic).then(
      () => this.#routes.set(topic, true),
      (error) => {
        this.#routes.delete(topic)
        throw error
      },
    )
    this.#routes.set(topic, found)
    return found
  }

  request(message, timeout = 3000) {
    return call((id) => {
      const topic = topicOf(message)
      this.#native.request(id, topic, bytes(message.body), extras(message), limit('request', timeout) ?? (timeout === Infinity ? Infinity : 3000))
    }, (report) => unpack(report)[0])
  }

  reply(request, body) {
    return call((id) => {
      const properties = JSON.stringify(Object.entries(request.properties))
      return this.#native.reply(id, request.topic, properties, bytes(body))
    }, sent)
  }

  queues(topic) {
    return call((id) => this.#native.queues(id, topic), (report) => JSON.parse(report.text))
  }

  close(within) {
    return call((id) => this.#native.close(id, limit('close', within), currentAsk()))
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

function listOf(messages) {
  if (typeof messages?.[Symbol.iterator] !== 'function') throw invalid('send batch', 'a batch is a list of messages')
  const list = [...messages]
  if (list.length === 0) throw invalid('send batch', 'there is no message; a batch has at least one')
  return list
}

module.exports = { Producer }
