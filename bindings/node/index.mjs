import ferromq from './index.cjs'

export const {
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
  version,
} = ferromq

export default ferromq
