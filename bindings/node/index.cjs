'use strict'

const { ErrorKind, FerromqError } = require('./lib/errors.cjs')
const { Admin } = require('./lib/admin.cjs')
const { Consumer, PullStatus } = require('./lib/consumer.cjs')
const { Instance, connect, open } = require('./lib/instance.cjs')
const { Message, Sent, StoredMessage } = require('./lib/message.cjs')
const { Producer } = require('./lib/producer.cjs')
const { Action, ConsumeStatus, OrderlyStatus, PushConsumer } = require('./lib/push.cjs')
const { Subscription } = require('./lib/subscription.cjs')
const { TransactionProducer, TransactionState } = require('./lib/transaction.cjs')
const { setLogger } = require('./lib/log.cjs')
const native = require('./lib/native.cjs')

module.exports = {
  Action,
  Admin,
  ConsumeStatus,
  Consumer,
  ErrorKind,
  FerromqError,
  Instance,
  Message,
  OrderlyStatus,
  Producer,
  PullStatus,
  PushConsumer,
  Sent,
  StoredMessage,
  Subscription,
  TransactionProducer,
  TransactionState,
  connect,
  open,
  setLogger,
  version: native.version(),
}
