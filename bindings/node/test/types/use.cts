// The same package for CommonJS.

import ferromq = require('ferromq')
import testing = require('ferromq/testing')
import logging = require('ferromq/logging')

export async function run(): Promise<ferromq.Sent> {
  const mq = await testing.memoryBroker()
  const stream = new logging.TopicStream({ producer: mq.producer('logs'), topic: 'Logs' })
  stream.end()
  return mq.producer('shop').send({ topic: 'Orders', body: 'x' })
}
