'use strict'

const { inspect } = require('node:util')
const { invalid, now } = require('./errors.cjs')
const loop = require('./loop.cjs')
const { unpack } = require('./message.cjs')
const { limit } = require('./options.cjs')
const { subscription } = require('./subscription.cjs')

const ConsumeStatus = Object.freeze({ Success: 'success', Later: 'later' })
const OrderlyStatus = Object.freeze({ Success: 'success', SuspendCurrentQueue: 'suspend' })
const Action = Object.freeze({ Commit: 'commit', Later: 'later' })

/** The native part's numbers for them. */
const GOOD = 0
const AGAIN = 1

/** What each kind of listener may answer; nothing is good, and `null` means again, as in Java. */
const ANSWERS = {
  concurrently: { __proto__: null, success: GOOD, later: AGAIN },
  one: { __proto__: null, commit: GOOD, later: AGAIN },
  orderly: { __proto__: null, success: GOOD, suspend: AGAIN },
}

/** What each kind may wish in its context. */
const WISHES = {
  concurrently: ['ackIndex', 'delayLevel'],
  one: ['ackIndex', 'delayLevel'],
  orderly: ['suspendTime'],
}

class PushConsumer {
  #native
  #instance
  #number = loop.number()
  #how
  #listener
  #onError
  #state = 'new'
  #wantsRef = true
  #isHeld = false
  #calls = 0

  constructor(native, instance) {
    this.#native = native
    this.#instance = instance
  }

  get group() {
    return this.#native.group
  }

  async subscribe(topic, expression = '*') {
    await this.#subscribe(topic, expression, false)
  }

  async subscribeTo(wanted) {
    await this.#subscribe(...subscription(wanted))
  }

  async #subscribe(topic, expression, sql) {
    if (this.#state === 'new') return now(() => this.#native.subscribe(topic, expression, sql))
    await loop.call((id) => this.#native.subscribeLater(id, topic, expression, sql))
  }

  unsubscribe(topic) {
    now(() => this.#native.unsubscribe(topic))
  }

  listen(listener, options) {
    this.#listen('concurrently', listener, options)
  }

  listenOne(listener, options) {
    this.#listen('one', listener, options)
  }

  listenOrderly(listener, options) {
    this.#listen('orderly', listener, options)
  }

  #listen(how, listener, options) {
    if (typeof listener !== 'function') throw invalid('set listener', 'a listener is a function')
    now(() => this.#native.listen(this.#number, how))
    this.#how = how
    this.#listener = listener
    this.#onError = options?.onError ?? ((error) => warn(error))
  }

  async start() {
    const fresh = this.#state === 'new'
    if (fresh) {
      this.#state = 'started'
      loop.listeners.set(this.#number, (report) => this.#called(report))
      this.#instance.adopt(this)
      this.#holdIfWanted()
    }
    try {
      await loop.call((id) => this.#native.start(id))
    } catch (error) {
      if (fresh && this.#state === 'started') {
        this.#letGo()
        this.#state = 'new'
      }
      throw error
    }
  }

  #called(report) {
    if (this.#state === 'closed') return loop.reports.answer(report.ask, AGAIN)
    this.#calls += 1
    const head = report.text.indexOf('\n')
    const context = { queue: JSON.parse(report.text.slice(0, head)) }
    const messages = unpack(report, head + 1)
    const given = this.#how === 'one' ? messages[0] : messages
    let answer
    try {
      answer = loop.runWithin(report.ask, () => this.#listener(given, context))
    } catch (error) {
      return this.#failed(report, context, error, given)
    }
    if (typeof answer?.then !== 'function') return this.#answered(report, context, answer, given)
    answer.then(
      (said) => this.#answered(report, context, said, given),
      (error) => this.#failed(report, context, error, given),
    )
  }

  #answered(report, context, said, given) {
    const answers = ANSWERS[this.#how]
    const status = said === undefined ? GOOD : said === null ? AGAIN : typeof said === 'string' ? answers[said] : undefined
    if (status === undefined) {
      const allowed = Object.keys(answers).join(', ')
      return this.#failed(report, context, invalid('consume', `a listener answers ${allowed} or nothing, not ${inspect(said)}`), given)
    }
    const wrong = WISHES[this.#how].find((name) => !isWish(context[name]))
    if (wrong === undefined) return this.#tell(report, context, status)
    const text = `context.${wrong} is a whole number, not ${inspect(context[wrong])}`
    this.#failed(report, context, invalid('consume', text), given)
  }

  #failed(report, context, error, given) {
    this.#tell(report, context, AGAIN)
    try {
      this.#onError(error, given)
    } catch (another) {
      loop.thrownBy(another)
    }
  }

  #tell(report, context, status) {
    const wishes = WISHES[this.#how].map((name) => context[name]).map((wish) => (isWish(wish) ? wish : undefined))
    loop.reports.answer(report.ask, status, ...wishes)
    this.#calls -= 1
    if (this.#state === 'closed' && this.#calls === 0) loop.listeners.delete(this.#number)
  }

  suspend() {
    this.#native.suspend(false)
  }

  resume() {
    this.#native.suspend(true)
  }

  get isSuspended() {
    return this.#native.isSuspended
  }

  updateThreads(count) {
    now(() => this.#native.updateThreads(count))
  }

  queues() {
    return JSON.parse(this.#native.queues())
  }

  /** It does not keep the process alive any more. */
  unref() {
    this.#wantsRef = false
    if (this.#isHeld) {
      this.#isHeld = false
      loop.release()
    }
    return this
  }

  /** It keeps the process alive while it runs, as it does by default. */
  ref() {
    this.#wantsRef = true
    if (this.#state === 'started') this.#holdIfWanted()
    return this
  }

  #holdIfWanted() {
    if (!this.#wantsRef || this.#isHeld) return
    this.#isHeld = true
    loop.hold()
  }

  #letGo() {
    if (this.#isHeld) {
      this.#isHeld = false
      loop.release()
    }
    this.#instance.forget(this)
    if (this.#calls === 0) loop.listeners.delete(this.#number)
  }

  /** It was closed, by itself or with its instance. */
  ended() {
    this.#state = 'closed'
    this.#letGo()
  }

  async close(within) {
    try {
      await loop.call((id) => this.#native.close(id, limit('close', within), loop.currentAsk()))
    } finally {
      this.ended()
    }
  }

  [Symbol.asyncDispose]() {
    return this.close()
  }
}

/** A number, or none. */
function isWish(wish) {
  return wish === undefined || wish === null || Number.isInteger(wish)
}

/** What becomes of a listener's error if nobody else takes it: the messages come again, and the process is told. */
function warn(error, what = 'its messages come again') {
  const text = error instanceof Error ? error.stack : String(error)
  process.emitWarning(`a listener failed, ${what}: ${text}`, { type: 'FerromqWarning', code: 'LISTENER_FAILED' })
}

module.exports = { Action, ConsumeStatus, OrderlyStatus, PushConsumer, warn }
