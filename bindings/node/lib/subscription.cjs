'use strict'

const { invalid } = require('./errors.cjs')

/** What is wanted of a topic. */
class Subscription {
  constructor(topic, expression, sql) {
    this.topic = topic
    this.expression = expression
    this.sql = sql
    Object.freeze(this)
  }

  /** All of it. */
  static all(topic) {
    return new Subscription(topic, '*', false)
  }

  /** What has one of these tags: `TagA || TagB`. */
  static tags(topic, expression) {
    return new Subscription(topic, expression, false)
  }

  /** What an SQL92 expression over the properties says: `a between 0 and 3`. */
  static sql(topic, expression) {
    return new Subscription(topic, expression, true)
  }
}

/** The parts of a subscription, or of a topic alone, for a native call. */
function subscription(wanted) {
  if (typeof wanted === 'string') return [wanted, '*', false]
  if (typeof wanted?.topic !== 'string') throw invalid('subscribe', 'give a Subscription: of all, tags or sql')
  return [wanted.topic, wanted.expression ?? '*', wanted.sql === true]
}

module.exports = { Subscription, subscription }
