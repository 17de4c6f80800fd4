'use strict'

const { inspect } = require('node:util')
const { invalid } = require('./errors.cjs')
const loop = require('./loop.cjs')
const { bytes, extras, sent, topicOf, unpack } = require('./message.cjs')
const { limit } = require('./options.cjs')
const { warn } = require('./push.cjs')

const TransactionState = Object.freeze({ Commit: 'commit', Rollback: 'rollback', Unknown: 'unknown' })

/** The native part's numbers for them. */
const STATES = { __proto__: null, commit: 0, rollback: 1, unknown: 2 }
const NAMES = { COMMIT_MESSAGE: 'commit', ROLLBACK_MESSAGE: 'rollback', UNKNOW: 'unknown' }

/** Transactions under way at a time, each of which has a thread; further ones wait for their turn. */
const MOST = 64

/** Questions to a producer that is gone are not answered: brokers ask another of the group. */
const gone = new FinalizationRegistry((number) => loop.listeners.delete(number))

class TransactionProducer {
  #native
  #listener
  #check = loop.number()
  #gate = new loop.Gate(MOST)

  constructor(make, listener) {
    for (const name of ['execute', 'check']) {
      if (typeof listener?.[name] !== 'function') {
        throw invalid('make producer', `a transaction listener has the functions execute and check; ${name} is missing`)
      }
    }
    this.#listener = listener
    const onError = onErrorOf(listener)
    this.#native = make(this.#check)
    const own = new WeakRef(this)
    loop.listeners.set(this.#check, (report) => answer(report, () => own.deref()?.asked(unpack(report)[0]), onError))
    gone.register(this, this.#check, this)
  }

  get group() {
    return this.#native.group
  }

  /** A broker's question. */
  asked(message) {
    return this.#listener.check(message)
  }

  send(message, execute = (given, id) => this.#listener.execute(given, id)) {
    return this.#gate.run(async () => {
      const [number, onError] = [loop.number(), onErrorOf(this.#listener)]
      loop.listeners.set(number, (report) => answer(report, () => execute(message, report.text), onError))
      try {
        return await loop.call((id) => {
          const topic = topicOf(message)
          this.#native.send(id, number, topic, bytes(message.body), extras(message))
        }, result)
      } finally {
        loop.listeners.delete(number)
      }
    })
  }

  async close(within) {
    try {
      await loop.call((id) => this.#native.close(id, limit('close', within), loop.currentAsk()))
    } finally {
      loop.listeners.delete(this.#check)
      gone.unregister(this)
    }
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

/** What hears of a listener's errors. It does not hold the producer. */
function onErrorOf({ onError }) {
  return onError ?? ((error) => warn(error, 'the state of its transaction is not known'))
}

/** Runs a user's function and tells how the transaction ended; what fails is not known. */
async function answer(report, run, onError) {
  let state = STATES.unknown
  try {
    const said = await loop.runWithin(report.ask, run)
    const known = typeof (said ?? 'unknown') === 'string' ? STATES[said ?? 'unknown'] : undefined
    if (known === undefined) {
      throw invalid('transaction', `a listener answers commit, rollback or unknown, not ${inspect(said)}`)
    }
    state = known
  } catch (error) {
    try {
      onError(error)
    } catch (another) {
      loop.thrownBy(another)
    }
  }
  loop.reports.answer(report.ask, state)
}

function result(report) {
  const tab = report.text.indexOf('\t')
  return { state: NAMES[report.text.slice(0, tab)], sent: sent(report.text.slice(tab + 1)) }
}

module.exports = { TransactionProducer, TransactionState }
