'use strict'

const { inspect } = require('node:util')
const { invalid } = require('./errors.cjs')
const { queue, wide } = require('./options.cjs')

/** Numbers that describe each packed message; native message.rs says which. */
const NUMBERS = 15

/** A message to send. Any object with the same fields will do. */
class Message {
  constructor(topic, body, rest) {
    this.topic = topic
    this.body = body
    if (rest !== undefined) Object.assign(this, rest)
  }
}

/** A body as bytes; what is bytes already is not copied here. */
function bytes(body) {
  if (typeof body === 'string') return Buffer.from(body)
  if (Buffer.isBuffer(body)) return body
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  if (body instanceof ArrayBuffer || body instanceof SharedArrayBuffer) return Buffer.from(body)
  throw invalid('make message', `a body is a text, a Buffer or other bytes, not ${body === null ? 'null' : typeof body}`)
}

function topicOf(message) {
  if (message === null || typeof message !== 'object') throw invalid('make message', 'a message is an object')
  if (typeof message.topic === 'string') return message.topic
  throw invalid('make message', 'a message has a topic, which is a text')
}

/** What a message has besides topic and body, as JSON; undefined if it has nothing. */
function extras(message) {
  const found = extrasOf(message)
  return found === undefined ? undefined : JSON.stringify(found)
}

function extrasOf(message) {
  let found
  for (const name in message) {
    const value = message[name]
    if (name === 'topic' || name === 'body' || value === undefined || value === null) continue
    found ??= {}
    found[FIELDS.get(name) ?? unknown(name)] = READ[name](value, name)
  }
  return found
}

const READ = {
  tag: text,
  key: (value) => [text(value, 'key')],
  keys: (value) => (Array.isArray(value) ? value : String(value).split(' ')).map((key) => text(key, 'keys')),
  properties: (value) => {
    const entries = value instanceof Map ? [...value] : Object.entries(value)
    return Object.fromEntries(entries.map(([name, one]) => [name, text(one, name)]))
  },
  delayLevel: integer,
  wait: (value) => Boolean(value),
  flag: integer,
  shardingKey: text,
  checkImmunity: integer,
}
const FIELDS = new Map(Object.keys(READ).map((name) => [name, name === 'key' ? 'keys' : name]))

function unknown(name) {
  throw invalid('make message', `a message has no ${name}; it has topic, body, ${Object.keys(READ).join(', ')}`)
}

function text(value, name) {
  if (['string', 'number', 'boolean', 'bigint'].includes(typeof value)) return String(value)
  throw invalid('make message', `${name} is a text, not ${typeof value}`)
}

function integer(value, name) {
  if (Number.isInteger(value)) return value
  throw invalid('make message', `${name} is a whole number, not ${String(value)}`)
}

/** The options of a send, without a selector of the user's, as JSON; undefined if there are none. */
function sendTo(options) {
  if (options === undefined || options === null) return undefined
  const to = {}
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue
    if (name === 'queue') to.queue = queue(value)
    else if (name === 'shardingKey' || name === 'hashKey') to[name] = text(value, name)
    else if (name === 'random') to.random = Boolean(value)
    else if (name === 'rooms') to.rooms = [...value]
    else if (name === 'timeout' && typeof value === 'number' && value >= 0) to.timeout = value
    else if (name !== 'selector') {
      const known = 'queue, shardingKey, hashKey, random, rooms, selector, timeout in ms'
      throw invalid('send', `there is no option ${name} = ${String(value)}; there are ${known}`)
    }
  }
  return JSON.stringify(to)
}

/** The result of a send. */
class Sent {
  constructor(packed) {
    const [status, messageId, offsetId, topic, brokerName, queueId, queueOffset] = packed.split('\t')
    this.status = status
    this.messageId = messageId
    this.offsetId = offsetId
    this.queue = { topic, brokerName, queueId: Number(queueId) }
    this.queueOffset = wide(queueOffset)
  }

  get messageIds() {
    return this.messageId.split(',')
  }

  get offsetIds() {
    return this.offsetId.split(',')
  }

  toString() {
    const { status, messageId, offsetId, queue: to, queueOffset } = this
    const where = `topic=${to.topic} broker=${to.brokerName} queueId=${to.queueId} queueOffset=${queueOffset}`
    return `${status} msgId=${messageId} offsetMsgId=${offsetId} ${where}`
  }
}

/** The result of a send: packed, or a report that holds it so. */
function sent(packed) {
  return new Sent(typeof packed === 'string' ? packed : packed.text)
}

/** A message as a consumer gets it. */
class StoredMessage {
  #packed
  #properties

  constructor(packed) {
    this.#packed = packed
    this.topic = undefined
    this.body = undefined
  }

  /** All properties by name, the system's too. */
  get properties() {
    if (this.#properties === undefined) {
      this.#properties = Object.create(null)
      for (const [, name, value] of this.#pairs()) this.#properties[name] = value
    }
    return this.#properties
  }

  /** The properties that are the user's own. */
  get userProperties() {
    const own = Object.create(null)
    for (const [whose, name, value] of this.#pairs()) if (whose === 'u') own[name] = value
    return own
  }

  *#pairs() {
    for (const pair of this.#packed.split('\u0002')) {
      if (pair === '') continue
      const middle = pair.indexOf('\u0001')
      yield [pair[0], pair.slice(1, middle), pair.slice(middle + 1)]
    }
  }

  get messageId() {
    return this.properties.UNIQ_KEY ?? this.offsetId
  }

  get tag() {
    return this.properties.TAGS
  }

  get keys() {
    return (this.properties.KEYS ?? '').split(/\s+/).filter((key) => key !== '')
  }

  /** The body as UTF-8. */
  get text() {
    return this.body.toString()
  }

  toJSON() {
    const { messageId, tag, keys, properties } = this
    return { messageId, tag, keys, properties: { ...properties }, ...this }
  }

  [inspect.custom](_, options, print) {
    return `StoredMessage ${print(this.toJSON(), options)}`
  }
}

/** The messages of a report; `begin` is where they begin in its text. */
function unpack(report, begin = 0) {
  const { text: all, bytes: bodies, numbers } = report
  const messages = new Array(numbers.length / NUMBERS)
  let [at, place] = [begin, 0]
  for (let index = 0; index < messages.length; index += 1) {
    const first = index * NUMBERS
    const next = (nth) => {
      const from = at
      at += numbers[first + nth]
      return all.slice(from, at)
    }
    const [topic, brokerName, offsetId, bornHost, packed, large] = [next(9), next(10), next(11), next(12), next(13), next(14)]
    const own = large === '' ? numbers.subarray(first, first + 8) : withLarge(numbers.subarray(first, first + 8), large)
    const message = new StoredMessage(packed)
    message.topic = topic
    message.body = bodies.subarray(place, place + numbers[first + 8])
    place += numbers[first + 8]
    message.flag = own[0]
    message.brokerName = brokerName
    message.queueId = own[1]
    message.queueOffset = own[2]
    message.physicalOffset = own[3]
    message.offsetId = offsetId
    message.sysFlag = own[4]
    message.bornTimestamp = own[5]
    message.bornHost = bornHost
    message.storeTimestamp = own[6]
    message.reconsumeTimes = own[7]
    messages[index] = message
  }
  return messages
}

/** The numbers with those in place that are written out because they are too large for one. */
function withLarge(numbers, large) {
  const rest = large.split(',').map((one) => BigInt(one))
  return Array.from(numbers, (number) => (Number.isNaN(number) ? rest.shift() : number))
}

module.exports = { Message, Sent, StoredMessage, bytes, extras, extrasOf, sendTo, sent, topicOf, unpack }
