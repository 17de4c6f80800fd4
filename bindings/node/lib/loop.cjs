'use strict'

// Between the native part's threads and the event loop: calls under way, listeners, and what keeps the process alive.
// All of it belongs to one environment: each worker thread loads its own.

const { AsyncLocalStorage } = require('node:async_hooks')
const native = require('./native.cjs')
const { errorOf, thrown } = require('./errors.cjs')

const DONE = 0
const FAILED = 1
const ASKED = 2
const LOGGED = 3

/** The answer of nobody. */
const LATER = 1

/** Calls that are settled at once in a row. */
const TURN = 64

const calls = new Map()
const listeners = new Map()
const within = new AsyncLocalStorage()
const reports = new native.Reports(take)
let last = 0
let holds = 0
let settled = 0
let alive
let log = () => {}
let ends = false

function number() {
  last = (last + 1) >>> 0
  return last
}

/** Keeps the event loop alive until as many releases. */
function hold() {
  holds += 1
  if (holds > 1) return
  // The longest that a timer can be; it does nothing.
  alive ??= setInterval(() => {}, 0x7fffffff)
  alive.ref()
}

function release() {
  holds -= 1
  if (holds === 0) alive.unref()
}

/**
 * Makes a native call that answers at once or is reported later. `read` makes the result of what comes.
 */
function call(begin, read = nothing) {
  return new Promise((resolve, reject) => {
    const id = number()
    try {
      const atOnce = begin(id)
      if (atOnce !== undefined && atOnce !== null) return settleNow(resolve, read(atOnce))
    } catch (error) {
      return reject(thrown(error))
    }
    expect(id, (report) => resolve(read(report)), reject)
  })
}

function nothing() {}

/**
 * Resolves a promise whose result is there already, now and then a turn of the event loop later: a program that awaits one
 * such call after the other would let nothing else run.
 */
function settleNow(resolve, value) {
  settled = (settled + 1) % TURN
  if (settled === 0) setImmediate(resolve, value)
  else resolve(value)
}

/** Waits for the report of a call, keeping the process alive. */
function expect(id, done, failed) {
  hold()
  calls.set(id, { done, failed })
}

/** Waits no more. */
function forget(id) {
  if (calls.delete(id)) release()
}

function take() {
  for (const report of reports.take()) {
    try {
      dispatch(report)
    } catch (error) {
      thrownBy(error)
    }
  }
}

/** What a function of the program threw is the program's, as if it came from a timer; what else is to be done goes on. */
function thrownBy(error) {
  process.nextTick(() => {
    throw error
  })
}

function dispatch(report) {
  if (report.kind === ASKED) {
    const listener = listeners.get(report.id)
    if (listener === undefined) reports.answer(report.ask, LATER)
    else listener(report)
    return
  }
  if (report.kind === LOGGED) return log(report.text)
  const waiting = calls.get(report.id)
  if (waiting === undefined) return
  forget(report.id)
  try {
    if (report.kind === DONE) waiting.done(report)
    else if (report.kind === FAILED) waiting.failed(errorOf(report.text))
  } catch (error) {
    waiting.failed(error)
  }
}

/** Closes what is open when the process or the worker ends by itself or by process.exit. */
function endWithProcess() {
  if (ends) return
  ends = true
  process.on('exit', () => reports.shutDown())
}

/** The listener that runs in this asynchronous context, if one does. */
function currentAsk() {
  return within.getStore()
}

/** Calls a function of the user as the listener asked under this number. */
function runWithin(ask, call) {
  return within.run(ask, call)
}

function setLog(handler) {
  log = handler
}

/** Lets a number of calls run at a time, the others after them in their order. */
class Gate {
  #most
  #running = 0
  #waiting = []

  constructor(most) {
    this.#most = most
  }

  async run(work) {
    if (this.#running >= this.#most) await new Promise((resolve) => this.#waiting.push(resolve))
    else this.#running += 1
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running -= 1
    }
  }
}

module.exports = {
  Gate,
  call,
  currentAsk,
  endWithProcess,
  expect,
  forget,
  hold,
  listeners,
  number,
  release,
  reports,
  runWithin,
  setLog,
  settleNow,
  thrownBy,
}
