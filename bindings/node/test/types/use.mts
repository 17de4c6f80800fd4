// Compiled, not run: what programs write is accepted, and what they must not write is not.

import ferromq, {
  Action,
  ConsumeStatus,
  connect,
  FerromqError,
  Message,
  open,
  setLogger,
  Subscription,
  TransactionState,
  type ErrorCode,
  type Offset,
} from 'ferromq'
import { TopicStream } from 'ferromq/logging'
import { addressOf, memoryBroker, withBroker } from 'ferromq/testing'

export async function producing(): Promise<string> {
  await using mq = await open('./data', { flushDiskType: 'SYNC_FLUSH' })
  await using producer = mq.producer('shop', { sendMsgTimeout: 1000 })
  const sent = await producer.send({ topic: 'Orders', body: Buffer.from('x'), keys: ['a', 'b'] }, { timeout: 5 })
  const offset: Offset = sent.queueOffset
  producer.sendSync(new Message('Orders', 'text', { tag: 'fruit', properties: { a: 1 } }))
  await producer.send({ topic: 'Orders', body: 'x' }, { selector: (queues) => queues.length - 1 })
  // @ts-expect-error a message has a topic
  await producer.send({ body: 'x' })
  // @ts-expect-error there is no such field
  await producer.send({ topic: 'Orders', body: 'x', tags: 'fruit' })
  return `${sent} ${offset}`
}

export async function consuming(signal: AbortSignal): Promise<void> {
  const mq = await connect('127.0.0.1:9876')
  const consumer = mq.consumer('reports')
  await consumer.subscribeTo(Subscription.sql('Orders', 'a > 3'))
  for await (const message of consumer.messages({ signal })) {
    const text: string = message.text
    console.log(text, message.body.length, message.properties['a'])
  }
  const push = mq.pushConsumer({ consumerGroup: 'billing' })
  push.listen(async (messages, context) => {
    context.ackIndex = messages.length - 1
    return ConsumeStatus.Success
  })
  push.listenOne((message) => (message.reconsumeTimes > 3 ? Action.Commit : Action.Later))
  push.listenOrderly(async () => {}, { onError: (error, messages) => console.log(error, messages.length) })
  // @ts-expect-error that is no answer
  push.listenOne(() => 'maybe')
  push.unref().ref()
}

export async function transacting(): Promise<TransactionState> {
  const mq = await ferromq.open({ memory: true, listen: 'free' })
  const producer = mq.transactionProducer('shop', {
    execute: async (message, id) => (message.topic === id ? TransactionState.Commit : 'unknown'),
    check: () => TransactionState.Rollback,
  })
  return (await producer.send({ topic: 'Orders', body: 'x' })).state
}

export function failing(error: unknown): ErrorCode | undefined {
  if (!(error instanceof FerromqError)) return undefined
  if (error.code === 'Remote') console.log(error.remoteCode?.toFixed(), error.retriable, error.messageId)
  // @ts-expect-error that is no kind
  return error.code === 'Nonsense' ? undefined : error.code
}

export async function testing(): Promise<void> {
  const mq = await memoryBroker({ after: (end: () => Promise<void>) => void end }, { listen: 'free' })
  await connect(addressOf(mq))
  const count: number = await withBroker(async (own) => (await own.queues('T')).length)
  const stream = new TopicStream({ producer: mq.producer('logs'), topic: 'Logs' })
  stream.write(`${count}\n`)
  setLogger((line) => stream.write(`${line.level} ${line.message}\n`), 'warn')
}
