'use strict'

const { invalid } = require('./errors.cjs')

/** An object of options, or nothing, as the pairs that the native part takes. */
function pairs(options, operation) {
  if (options === undefined || options === null) return []
  if (typeof options !== 'object') throw invalid(operation, `options are an object, not ${typeof options}`)
  const found = []
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || value === null) continue
    if (Array.isArray(value)) found.push([key, value.join(';')])
    else if (['string', 'number', 'boolean', 'bigint'].includes(typeof value)) found.push([key, String(value)])
    else throw invalid(operation, `${key} is ${typeof value}; give a text, a number or a truth value`)
  }
  return found
}

/** Group, or options that name one, as pairs. */
function ofGroup(key, group, options, operation) {
  if (typeof group === 'string') return JSON.stringify([[key, group], ...pairs(options, operation)])
  return JSON.stringify(pairs(group, operation))
}

/** A queue as the native part reads it. */
function queue(given) {
  if (typeof given?.topic !== 'string' || typeof given.brokerName !== 'string' || !Number.isInteger(given.queueId)) {
    throw invalid('queue', 'a queue has topic, brokerName and queueId')
  }
  return { topic: given.topic, brokerName: given.brokerName, queueId: given.queueId }
}

/** An offset or a time, number or BigInt, as a number that the native part can take exactly. */
function integer(operation, what, value) {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (Number.isSafeInteger(number) && (typeof value !== 'bigint' || BigInt(number) === value)) return number
  throw invalid(operation, `${what} is ${String(value)}; it is an integer below 2^53`)
}

/** A whole number that came as text: a number if that is exact, else a BigInt. */
function wide(text) {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}

/** A time limit in ms, or none. */
function limit(operation, ms) {
  if (ms === undefined || ms === null || ms === Infinity) return undefined
  if (typeof ms === 'number' && ms >= 0) return ms
  throw invalid(operation, `the time limit is ${String(ms)}; give milliseconds`)
}

module.exports = { integer, limit, ofGroup, pairs, queue, wide }
