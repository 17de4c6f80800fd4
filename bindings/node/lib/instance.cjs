'use strict'

const native = require('./native.cjs')
const { invalid, now } = require('./errors.cjs')
const loop = require('./loop.cjs')
const { Admin } = require('./admin.cjs')
const { Consumer, offset } = require('./consumer.cjs')
const { bytes, unpack } = require('./message.cjs')
const { integer, limit, ofGroup, pairs, queue } = require('./options.cjs')
const { Producer } = require('./producer.cjs')
const { PushConsumer } = require('./push.cjs')
const { TransactionProducer } = require('./transaction.cjs')

class Instance {
  #native
  /** Those that run: closing this closes them. */
  #consumers = new Set()

  constructor(made) {
    this.#native = made
  }

  producer(group, options) {
    return now(() => new Producer(this.#native.producer(ofGroup('producerGroup', group, options, 'make producer'))))
  }

  transactionProducer(group, listener, options) {
    const wanted = ofGroup('producerGroup', group, options, 'make producer')
    return now(() => new TransactionProducer((check) => this.#native.transactionProducer(wanted, check), listener))
  }

  pushConsumer(group, options) {
    const wanted = ofGroup('consumerGroup', group, options, 'make consumer')
    return now(() => new PushConsumer(this.#native.pushConsumer(wanted), this))
  }

  consumer(group, options) {
    const wanted = ofGroup('consumerGroup', group ?? {}, options, 'make consumer')
    return now(() => new Consumer(this.#native.consumer(wanted)))
  }

  /** Called by a consumer that starts. */
  adopt(consumer) {
    this.#consumers.add(consumer)
  }

  /** Called by a consumer that has ended. */
  forget(consumer) {
    this.#consumers.delete(consumer)
  }

  /** Operators' calls. */
  admin() {
    return now(() => new Admin(this.#native.admin()))
  }

  createTopic(name, queues = 4) {
    return loop.call((id) => this.#native.createTopic(id, name, queues))
  }

  setFilterFunction(topic, group, name, module) {
    return loop.call((id) => this.#native.setFilterFunction(id, topic, group, name, bytes(module)))
  }

  queues(topic) {
    return loop.call((id) => this.#native.queues(id, topic), (report) => JSON.parse(report.text))
  }

  messageById(offsetId) {
    return loop.call((id) => this.#native.messageById(id, offsetId), (report) => unpack(report)[0])
  }

  messageByUniqueKey(topic, key) {
    return loop.call((id) => this.#native.messageByUniqueKey(id, topic, key), (report) => unpack(report)[0])
  }

  messagesByKey(topic, key, options) {
    const { max = 64, begin = 0, end = Number.MAX_SAFE_INTEGER } = options ?? {}
    return loop.call((id) => {
      const from = integer('look up messages', 'begin', Number(begin))
      this.#native.messagesByKey(id, topic, key, max, from, integer('look up messages', 'end', Number(end)))
    }, (report) => unpack(report))
  }

  minOffset(of) {
    return loop.call((id) => this.#native.minOffset(id, JSON.stringify(queue(of))), offset)
  }

  maxOffset(of) {
    return loop.call((id) => this.#native.maxOffset(id, JSON.stringify(queue(of))), offset)
  }

  searchOffset(of, time) {
    return loop.call((id) => {
      this.#native.searchOffset(id, JSON.stringify(queue(of)), integer('query offset', 'the time', Number(time)))
    }, offset)
  }

  earliestStoreTime(of) {
    return loop.call((id) => this.#native.earliestStoreTime(id, JSON.stringify(queue(of))), offset)
  }

  get clientId() {
    return now(() => this.#native.clientId)
  }

  get nameServers() {
    return now(() => this.#native.nameServers)
  }

  /** The ports, if it listens. */
  get listening() {
    const ports = now(() => this.#native.listening)
    return ports ? { nameServer: ports[0], broker: ports[1] } : undefined
  }

  async close(within) {
    try {
      await loop.call((id) => this.#native.close(id, limit('close', within), loop.currentAsk()))
    } finally {
      for (const consumer of this.#consumers) consumer.ended()
    }
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

async function open(where, options) {
  const place = typeof where === 'string' ? [['path', where]] : pairs(where, 'open')
  const wanted = JSON.stringify([...place, ...pairs(options, 'open')])
  return make((id) => native.Instance.open(loop.reports, id, wanted))
}

async function connect(where, options) {
  if (where === undefined) throw invalid('connect', 'give name servers as host:port, or "" for NAMESRV_ADDR')
  const place = typeof where === 'string' ? [['namesrvAddr', where]] : pairs(where, 'connect')
  const wanted = JSON.stringify([...place, ...pairs(options, 'connect')])
  return make((id) => native.Instance.connect(loop.reports, id, wanted))
}

async function make(begin) {
  loop.endWithProcess()
  let made
  await loop.call((id) => {
    made = begin(id)
  })
  return new Instance(made)
}

module.exports = { Instance, connect, open }
