'use strict'

const { call } = require('./loop.cjs')
const { integer } = require('./options.cjs')

const json = (report) => JSON.parse(report.text)

class Admin {
  #native

  constructor(native) {
    this.#native = native
  }

  topics() {
    return call((id) => this.#native.topics(id, false), json)
  }

  allTopics() {
    return call((id) => this.#native.topics(id, true), json)
  }

  topic(name) {
    return call((id) => this.#native.topic(id, name), json)
  }

  createTopic(name, settings = {}) {
    return call((id) => this.#native.createTopic(id, name, JSON.stringify(settings)))
  }

  deleteTopic(name) {
    return call((id) => this.#native.deleteTopic(id, name))
  }

  groups() {
    return call((id) => this.#native.groups(id), json)
  }

  progress(group) {
    return call((id) => this.#native.progress(id, group), json)
  }

  members(group) {
    return call((id) => this.#native.members(id, group), json)
  }

  resetOffsets(group, topic, to) {
    return call((id) => {
      const [how, ms] = to === 'begin' || to === 'end' ? [to, 0] : ['time', integer('reset offsets', 'the time', Number(to))]
      this.#native.resetOffsets(id, group, topic, how, ms)
    }, json)
  }

  deleteGroup(group) {
    return call((id) => this.#native.deleteGroup(id, group))
  }

  cluster() {
    return call((id) => this.#native.cluster(id), json)
  }
}

module.exports = { Admin }
