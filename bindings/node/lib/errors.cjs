'use strict'

/** The kinds of errors, and their numbers, which are the same in all languages. */
const ErrorKind = Object.freeze({
  InvalidArgument: 1,
  Io: 2,
  Corrupt: 3,
  Timeout: 4,
  Connection: 5,
  Closed: 6,
  NotFound: 7,
  NoPermission: 8,
  LimitExceeded: 9,
  InUse: 10,
  NotWritable: 11,
  Remote: 12,
  Unsupported: 13,
  Internal: 14,
  Forked: 15,
})

class FerromqError extends Error {
  constructor(told) {
    super(told.message)
    this.code = told.code ?? 'Internal'
    this.number = told.number ?? ErrorKind[this.code]
    this.operation = told.operation
    this.retriable = told.retriable ?? false
    // Only where there is something to say, so that a printed error is short.
    for (const name of ['remoteCode', 'topic', 'messageId', 'broker', 'attempts']) {
      if (told[name] !== undefined) this[name] = told[name]
    }
  }
}
FerromqError.prototype.name = 'FerromqError'

/** The error of a report. */
function errorOf(json) {
  return new FerromqError(JSON.parse(json))
}

/** What a native call threw, as what programs see. */
function thrown(error) {
  if (typeof error?.message === 'string' && error.message.startsWith('{')) return errorOf(error.message)
  if (error instanceof FerromqError) return error
  // An argument of the wrong type: JavaScript's words, or the native part's.
  if (!(error instanceof TypeError) && !error?.code) return error
  return Object.assign(invalid('call', error.message), { cause: error })
}

function invalid(operation, context) {
  return new FerromqError({ code: 'InvalidArgument', operation, message: `${operation}: ${context}` })
}

/** Runs a native call that is done at once. */
function now(call) {
  try {
    return call()
  } catch (error) {
    throw thrown(error)
  }
}

module.exports = { ErrorKind, FerromqError, errorOf, invalid, now, thrown }
