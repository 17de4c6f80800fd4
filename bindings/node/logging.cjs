'use strict'

const { Writable } = require('node:stream')
const { StringDecoder } = require('node:string_decoder')
const { connect } = require('./lib/instance.cjs')

/** Lines that are sent together at most, and their bytes. */
const MOST_LINES = 256
const MOST_BYTES = 512 * 1024

/** What a logger's numbers for levels are called, where it writes numbers (pino). */
const LEVELS = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }

/**
 * A stream that sends each line written to it as a message: for console, pino, winston, morgan, or a pipe. Lines that come
 * while one send is under way go together with the next. What cannot be sent is counted in `lost` and told to `onError`:
 * a log must not end its program.
 */
class TopicStream extends Writable {
  #producer
  #close
  #topic
  #tag
  #onError
  #rest = ''
  /** A chunk of bytes may end within a character. */
  #decoder = new StringDecoder()
  lost = 0

  constructor({ producer, topic, tag = levelOf, onError = () => {}, close }) {
    super({ decodeStrings: false, highWaterMark: 4096 })
    if (typeof producer?.sendBatch !== 'function' || typeof topic !== 'string') {
      throw new TypeError('give a producer and a topic')
    }
    this.#producer = producer
    this.#close = close
    this.#topic = topic
    this.#tag = typeof tag === 'function' ? tag : () => tag
    this.#onError = onError
  }

  _write(chunk, _, done) {
    this._writev([{ chunk }], done)
  }

  _writev(chunks, done) {
    const decoded = ({ chunk }) => (typeof chunk === 'string' ? this.#decoder.end() + chunk : this.#decoder.write(chunk))
    const text = this.#rest + chunks.map(decoded).join('')
    const lines = text.split('\n')
    this.#rest = lines.pop()
    this.#send(lines.filter((line) => line !== '')).then(() => done(), done)
  }

  _final(done) {
    const rest = this.#rest + this.#decoder.end()
    const last = rest === '' ? [] : [rest]
    this.#send(last)
      .then(() => this.#close?.())
      .then(() => done(), done)
  }

  async #send(lines) {
    for (const batch of batches(lines)) {
      try {
        await this.#producer.sendBatch(batch.map((line) => this.#message(line)))
      } catch (error) {
        this.lost += batch.length
        this.#onError(error, batch)
      }
    }
  }

  #message(line) {
    const tag = this.#tag(line)
    return { topic: this.#topic, body: line, ...(tag ? { tag } : {}) }
  }
}

/** Lines in groups that one send can take. */
function* batches(lines) {
  let [batch, bytes] = [[], 0]
  for (const line of lines) {
    const size = Buffer.byteLength(line)
    if (batch.length > 0 && (batch.length >= MOST_LINES || bytes + size > MOST_BYTES)) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(line)
    bytes += size
  }
  if (batch.length > 0) yield batch
}

/** The level of a line that is JSON with one, which becomes its tag. */
function levelOf(line) {
  if (!line.startsWith('{')) return undefined
  try {
    const { level } = JSON.parse(line)
    return typeof level === 'number' ? LEVELS[level] : typeof level === 'string' ? level : undefined
  } catch {
    return undefined
  }
}

/** A transport of pino: `pino({ transport: { target: 'ferromq/logging', options: { nameServers, topic } } })`. */
async function transport({ nameServers = '', topic, group = 'ferromq-logging', options, ...rest }) {
  const mq = await connect(nameServers, options)
  const producer = mq.producer(group)
  return new TopicStream({ ...rest, producer, topic, close: () => mq.close() })
}

module.exports = Object.assign(transport, { TopicStream, default: transport, transport })
