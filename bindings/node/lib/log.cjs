'use strict'

const { now } = require('./errors.cjs')
const loop = require('./loop.cjs')

/** Passes the library's own log to a function, or to nobody. */
function setLogger(handler, level = 'info') {
  if (handler === null || handler === undefined) {
    now(() => loop.reports.listenToLog('off'))
    return loop.setLog(() => {})
  }
  now(() => loop.reports.listenToLog(level))
  loop.setLog((line) => {
    const [name, target, ...rest] = line.split('\t')
    handler({ level: name.toLowerCase(), target, message: rest.join('\t') })
  })
}

module.exports = { setLogger }
