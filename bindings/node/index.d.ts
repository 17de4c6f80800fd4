/// <reference types="node" />

/** What an offset or a place in a log is: a number, and a BigInt only from 2^53 on, where numbers are not exact. */
export type Offset = number | bigint

/** Bytes of a message. A text is sent as UTF-8. */
export type Body = string | Buffer | ArrayBufferView | ArrayBuffer

/** A queue of a topic at a broker. */
export interface MessageQueue {
  topic: string
  brokerName: string
  queueId: number
}

/** Names of the kinds of errors. */
export type ErrorCode = keyof typeof ErrorKind

/** The kinds of errors with their numbers, which are the same in all languages. */
export declare const ErrorKind: {
  /** An argument or option is not usable as given. */
  readonly InvalidArgument: 1
  /** The operating system refused: file, socket, disk full. */
  readonly Io: 2
  /** Bytes do not have the form they should. */
  readonly Corrupt: 3
  /** It did not end within its time limit. A message whose send timed out may be stored all the same. */
  readonly Timeout: 4
  /** The peer could not be reached, or the connection broke. */
  readonly Connection: 5
  /** The object was closed. */
  readonly Closed: 6
  /** The topic, route, group or message does not exist. */
  readonly NotFound: 7
  /** Permission is missing. */
  readonly NoPermission: 8
  /** A limit was reached: size, memory, connections. */
  readonly LimitExceeded: 9
  /** The directory or port is in use by another process. */
  readonly InUse: 10
  /** The store takes no writes: disk full, failed write, shutting down. */
  readonly NotWritable: 11
  /** The peer answered with an error of the protocol: `remoteCode`. */
  readonly Remote: 12
  /** The peer does not support the request. */
  readonly Unsupported: 13
  /** A defect of the library. */
  readonly Internal: 14
  /** The process was made by fork from the one that the object belongs to. */
  readonly Forked: 15
}

/** What every failed call throws or rejects with. */
export declare class FerromqError extends Error {
  readonly name: 'FerromqError'
  /** The kind of error, to branch on. */
  readonly code: ErrorCode
  /** The number of the kind. */
  readonly number: number
  /** What was being done. */
  readonly operation: string
  /** Whether the same call may succeed when repeated. */
  readonly retriable: boolean
  /** The response code of the protocol, where a peer answered with one. */
  readonly remoteCode?: number
  /** Of a failed send: the topic. */
  readonly topic?: string
  /** Of a failed send: the id under which the message can be looked up; of a batch the ids of all, joined by commas. */
  readonly messageId?: string
  /** Of a failed send: the broker that was tried last. */
  readonly broker?: string
  /** Of a failed send: how often it was tried. */
  readonly attempts?: number
}

/** Properties of a program's own. */
export type UserProperties = Readonly<Record<string, string | number | boolean | bigint>> | ReadonlyMap<string, string>

/** What a message may have besides topic and body. */
export interface MessageFields {
  /** The one tag: consumers choose by it. */
  tag?: string
  /** A key of the business, such as an order's number, under which the message can be found. */
  key?: string
  /** Several keys: a list, or a text with spaces between them. */
  keys?: string | readonly string[]
  /** Properties of the program's own. */
  properties?: UserProperties
  /** Consumers get it after the time of this level: by default 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h. */
  delayLevel?: number
  /** Whether the broker answers only when the message is as safe as its modes promise. Default true. */
  wait?: boolean
  /** A number that is carried and never looked at. */
  flag?: number
  /** Messages with one sharding key go to one queue. */
  shardingKey?: string
  /** In a transaction: seconds before the broker asks how it ended. */
  checkImmunity?: number
}

/** A message to send. A plain object with these fields is one. */
export interface MessageLike extends MessageFields {
  topic: string
  body: Body
}

/** A message to send; the same as a plain object with its fields. */
export declare class Message implements MessageLike {
  constructor(topic: string, body: Body, fields?: MessageFields)
  topic: string
  body: Body
  tag?: string
  key?: string
  keys?: string | readonly string[]
  properties?: UserProperties
  delayLevel?: number
  wait?: boolean
  flag?: number
  shardingKey?: string
  checkImmunity?: number
}

/** A message as a consumer gets it. */
export declare class StoredMessage {
  private constructor()
  /** The topic; of a retried message the one it was first sent to. */
  readonly topic: string
  /** The body. The bodies of one poll lie side by side in one block of memory: copy one that is kept for long. */
  readonly body: Buffer
  /** The body as UTF-8. */
  readonly text: string
  /** The id that its producer gave it, the same in every delivery. */
  readonly messageId: string
  /** The id of the place where it is stored. */
  readonly offsetId: string
  readonly tag: string | undefined
  readonly keys: string[]
  /** All its properties, the system's too. */
  readonly properties: Readonly<Record<string, string>>
  /** The properties that are the program's own. */
  readonly userProperties: Readonly<Record<string, string>>
  readonly flag: number
  readonly brokerName: string
  readonly queueId: number
  /** Its place in the queue. */
  readonly queueOffset: Offset
  /** Its place in the broker's log. */
  readonly physicalOffset: Offset
  readonly sysFlag: number
  /** When it was made, ms since 1970 by its producer's clock. */
  readonly bornTimestamp: Offset
  readonly bornHost: string
  /** When it was stored, ms since 1970 by the broker's clock. */
  readonly storeTimestamp: Offset
  /** How often it was consumed in vain. */
  readonly reconsumeTimes: number
  toJSON(): object
}

/** How safe a message is that was sent. */
export type SendStatus = 'SEND_OK' | 'FLUSH_DISK_TIMEOUT' | 'FLUSH_SLAVE_TIMEOUT' | 'SLAVE_NOT_AVAILABLE'

/** The result of a send: where the message is. */
export declare class Sent {
  private constructor()
  readonly status: SendStatus
  /** The message's id; of a batch the ids of all, joined by commas. */
  readonly messageId: string
  readonly offsetId: string
  readonly queue: MessageQueue
  readonly queueOffset: Offset
  readonly messageIds: string[]
  readonly offsetIds: string[]
  toString(): string
}

/** What can be different for one send. At most one of those that choose a queue. */
export interface SendOptions {
  /** Time limit in ms, all attempts together. */
  timeout?: number
  /** To this queue. */
  queue?: MessageQueue
  /** To the queue of all messages with this key, which the message carries from now on. */
  shardingKey?: string
  /** To the queue that Apache's client chooses for this key. */
  hashKey?: string
  /** To any queue. */
  random?: boolean
  /** To a broker in one of these machine rooms, in turn. */
  rooms?: Iterable<string>
  /** To the queue at the place in the list that this function says. */
  selector?: (queues: MessageQueue[], message: MessageLike) => number
}

/** Keys and values of Apache's names; docs/client.md lists them. */
export type Options = Readonly<Record<string, string | number | boolean | bigint | readonly string[] | undefined>>

/** Sends messages. */
export declare class Producer {
  private constructor()
  readonly group: string
  /** Sends a message; resolved once it is stored. Tried again on other brokers within the time limit. */
  send(message: MessageLike, options?: SendOptions): Promise<Sent>
  /** As `send`, and waits: nothing else runs meanwhile. For programs that end, and embedded brokers. */
  sendSync(message: MessageLike, options?: SendOptions): Sent
  /** Sends without asking for an answer: for what may be lost. Resolved when it is on its way. */
  sendOneway(message: MessageLike, options?: SendOptions): Promise<void>
  /** Sends messages of one topic together: all are stored or none. Up to 4 MiB; about 1 MiB is a good size. */
  sendBatch(messages: Iterable<MessageLike>, options?: SendOptions): Promise<Sent>
  /** As `sendBatch`, and waits. */
  sendBatchSync(messages: Iterable<MessageLike>, options?: SendOptions): Sent
  /** Sends a message and waits for the reply of a consumer; `timeout` in ms, 3000 unless given. */
  request(message: MessageLike, timeout?: number): Promise<StoredMessage>
  /** Sends the reply to a request that a consumer got. */
  reply(request: StoredMessage, body: Body): Promise<Sent>
  /** The queues of a topic that can be sent to. */
  queues(topic: string): Promise<MessageQueue[]>
  /** Takes no further sends, waits for those under way, `within` ms at most, and leaves the group. */
  close(within?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** How a local transaction ended. */
export declare const TransactionState: {
  /** It is done: consumers get the message. */
  readonly Commit: 'commit'
  /** It is not done and never will be: nobody gets the message. */
  readonly Rollback: 'rollback'
  /** Not known yet: the broker asks again. */
  readonly Unknown: 'unknown'
}
export type TransactionState = (typeof TransactionState)[keyof typeof TransactionState]

/** Runs local transactions, and knows later how they ended. What throws or rejects counts as unknown. */
export interface TransactionListener {
  /** Runs the transaction of a message that the broker holds back; the id is the message's. */
  execute(message: MessageLike, transactionId: string): TransactionState | void | Promise<TransactionState | void>
  /** How the transaction of this message ended, its id being `messageId`. Perhaps another producer's of the group. */
  check(message: StoredMessage): TransactionState | void | Promise<TransactionState | void>
  /** Hears of what they throw; unless given it is a process warning. */
  onError?(error: unknown): void
}

/** The result of a send in a transaction. */
export interface TransactionSent {
  sent: Sent
  /** What the broker was told. */
  state: TransactionState
}

/** Sends messages in transactions. Its group is no other producer's. */
export declare class TransactionProducer {
  private constructor()
  readonly group: string
  /** Sends a message that counts once `execute` (the listener's unless one is given) has answered commit. */
  send(message: MessageLike, execute?: TransactionListener['execute']): Promise<TransactionSent>
  close(within?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** What is wanted of a topic. */
export declare class Subscription {
  private constructor()
  readonly topic: string
  readonly expression: string
  readonly sql: boolean
  /** All of it. */
  static all(topic: string): Subscription
  /** What has one of these tags: `TagA || TagB`. */
  static tags(topic: string, expression: string): Subscription
  /** What an SQL92 expression over the properties says: `a between 0 and 3`. */
  static sql(topic: string, expression: string): Subscription
}

/** What a listener answers. Nothing is as good as success, and `null` means later, as in Java. */
export declare const ConsumeStatus: { readonly Success: 'success'; readonly Later: 'later' }
export type ConsumeStatus = (typeof ConsumeStatus)[keyof typeof ConsumeStatus]

/** What an ordered listener answers. */
export declare const OrderlyStatus: { readonly Success: 'success'; readonly SuspendCurrentQueue: 'suspend' }
export type OrderlyStatus = (typeof OrderlyStatus)[keyof typeof OrderlyStatus]

/** What a listener for single messages answers. */
export declare const Action: { readonly Commit: 'commit'; readonly Later: 'later' }
export type Action = (typeof Action)[keyof typeof Action]

/** What a listener knows and may wish beyond its messages: it sets the fields. */
export interface ConsumeContext {
  readonly queue: MessageQueue
  /** Only the messages up to the one at this place, counted from 0, are consumed. */
  ackIndex?: number
  /** When messages come again: after the time of this level; 0: as the broker chooses; below 0: never. */
  delayLevel?: number
}

/** What an ordered listener knows and may wish beyond its messages. */
export interface OrderlyContext {
  readonly queue: MessageQueue
  /** How long the queue pauses after `suspend`: ms, 10 to 30,000. */
  suspendTime?: number
}

type Answer<T> = T | null | void | Promise<T | null | void>

export interface ListenOptions<T> {
  /** Hears of what the listener throws; unless given it is a process warning. The messages come again either way. */
  onError?: (error: unknown, messages: T) => void
}

/**
 * Calls a listener with the messages of its share of the queues. As many calls run at a time as `consumeThreadMin` says,
 * each until its promise is settled. A listener that throws or rejects counts as one that answers "later".
 *
 * One that was started keeps the process alive until it is closed, unless `unref` was called.
 */
export declare class PushConsumer {
  private constructor()
  readonly group: string
  /** Consumes a topic: `*` for all of it, or `TagA || TagB`. */
  subscribe(topic: string, expression?: string): Promise<void>
  subscribeTo(wanted: Subscription | string): Promise<void>
  unsubscribe(topic: string): void
  /** The listener, called with up to `consumeMessageBatchMaxSize` messages of one queue. */
  listen(
    listener: (messages: StoredMessage[], context: ConsumeContext) => Answer<ConsumeStatus>,
    options?: ListenOptions<StoredMessage[]>,
  ): void
  /** The listener for one message at a time. */
  listenOne(
    listener: (message: StoredMessage, context: ConsumeContext) => Answer<Action>,
    options?: ListenOptions<StoredMessage>,
  ): void
  /** The listener for ordered consumption: of each queue one call at a time. */
  listenOrderly(
    listener: (messages: StoredMessage[], context: OrderlyContext) => Answer<OrderlyStatus>,
    options?: ListenOptions<StoredMessage[]>,
  ): void
  /** Joins the group and begins to consume. */
  start(): Promise<void>
  suspend(): void
  resume(): void
  readonly isSuspended: boolean
  /** Changes how many calls of the listener run at a time. */
  updateThreads(count: number): void
  queues(): MessageQueue[]
  /** It does not keep the process alive. */
  unref(): this
  ref(): this
  /** Waits for running listeners, `within` ms at most, stores offsets and leaves the group. In its listener it returns at once. */
  close(within?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** How a single pull ended. */
export declare const PullStatus: {
  readonly Found: 'FOUND'
  readonly NoNewMessages: 'NO_NEW_MSG'
  readonly NoMatched: 'NO_MATCHED_MSG'
  readonly OffsetIllegal: 'OFFSET_ILLEGAL'
}
export type PullStatus = (typeof PullStatus)[keyof typeof PullStatus]

/** What a single pull brought. */
export interface Pulled {
  status: PullStatus
  messages: StoredMessage[]
  /** Offset to pull from next. */
  next: Offset
  min: Offset
  max: Offset
}

/**
 * Is asked for messages. With `autoCommit`, the default, each poll commits what the polls before it returned, and so does
 * `close`. An iteration that is left gives back what it has not handed out.
 */
export declare class Consumer implements AsyncIterable<StoredMessage> {
  private constructor()
  readonly group: string | undefined
  subscribe(topic: string, expression?: string): Promise<void>
  subscribeTo(wanted: Subscription | string): Promise<void>
  unsubscribe(topic: string): void
  /** Consumes exactly these queues. */
  assign(queues: Iterable<MessageQueue>): Promise<void>
  /** Joins the group and begins to fetch, as the first poll would. */
  start(): Promise<void>
  /**
   * The next messages, all of one queue, at most `max` (`pollBatch` unless given); none if none came within `timeout` ms.
   * Without that waits for as long as it takes, or until the signal is raised.
   */
  poll(timeout?: number | null, options?: { signal?: AbortSignal; max?: number }): Promise<StoredMessage[]>
  /** One message after the other, until the consumer is closed; rejects when the signal is raised. */
  messages(options?: { signal?: AbortSignal }): AsyncGenerator<StoredMessage, void, void>
  [Symbol.asyncIterator](): AsyncGenerator<StoredMessage, void, void>
  /** Asks a broker once. Neither subscribes nor commits. */
  pull(
    queue: MessageQueue,
    wanted: Subscription | undefined,
    offset: Offset,
    max?: number,
    timeout?: number,
  ): Promise<Pulled>
  /** All that was polled so far is consumed. */
  commit(): void
  commitQueue(queue: MessageQueue, offset: Offset): void
  /** Stores what was committed. */
  flush(): Promise<void>
  /** How far the group has come in a queue. */
  committed(queue: MessageQueue): Promise<Offset | undefined>
  seek(queue: MessageQueue, offset: Offset): Promise<void>
  seekToBegin(queue: MessageQueue): Promise<void>
  seekToEnd(queue: MessageQueue): Promise<void>
  seekToTime(queue: MessageQueue, time: number | Date): Promise<void>
  offsetForTime(queue: MessageQueue, time: number | Date): Promise<Offset>
  pause(queues: Iterable<MessageQueue>): void
  resume(queues: Iterable<MessageQueue>): void
  readonly isCaughtUp: boolean
  queues(): MessageQueue[]
  topicQueues(topic: string): Promise<MessageQueue[]>
  close(within?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Settings of a topic. */
export interface TopicSettings {
  /** Queues for reading and writing; 4 unless given. */
  queues?: number
  readQueues?: number
  writeQueues?: number
  /** Bits: 4 reading, 2 writing. */
  perm?: number
  order?: boolean
}

/** Figures of a topic. */
export interface TopicFigures {
  topic: string
  messages: number
  brokers: object[]
  queues: { brokerName: string; queueId: number; minOffset: number; maxOffset: number; lastTimestamp: number }[]
}

/** How far a group has come. */
export interface GroupProgress {
  lag: number
  consumeTps: number
  queues: (MessageQueue & { brokerOffset: number; consumerOffset: number; lag: number; lastTimestamp: number })[]
}

/** Who is in a group, and what they want. */
export interface Members {
  messageModel: string
  members: { clientId: string; address: string; language: string; version: number | string }[]
  subscriptions: object[]
}

/** How the brokers are. */
export interface ClusterState {
  nameServers: string[] | string
  brokers: {
    cluster: string
    brokerName: string
    brokerId: number
    address: string
    version?: string
    runtime: Record<string, string>
    error?: string
  }[]
}

/** Operators' calls. Offsets are numbers here. */
export declare class Admin {
  private constructor()
  /** The topics that programs made. */
  topics(): Promise<string[]>
  /** Those and the system's. */
  allTopics(): Promise<string[]>
  topic(name: string): Promise<TopicFigures>
  /** Makes a topic or changes it. */
  createTopic(name: string, settings?: TopicSettings): Promise<void>
  /** Deletes a topic with its messages. */
  deleteTopic(name: string): Promise<void>
  groups(): Promise<string[]>
  progress(group: string): Promise<GroupProgress>
  members(group: string): Promise<Members>
  /** Moves a group in a topic: to `begin`, `end`, or what was stored at a time. */
  resetOffsets(group: string, topic: string, to: 'begin' | 'end' | number | Date): Promise<(MessageQueue & { offset: number })[]>
  deleteGroup(group: string): Promise<void>
  cluster(): Promise<ClusterState>
}

/**
 * A client, and with `open` the server in this process. By itself it does not keep the process alive. It is closed when the
 * process ends by itself or by `process.exit`; await `close` to learn whether that went well.
 */
export declare class Instance {
  private constructor()
  /** A producer of this group. */
  producer(group: string, options?: Options): Producer
  producer(options: Options): Producer
  transactionProducer(group: string | Options, listener: TransactionListener, options?: Options): TransactionProducer
  pushConsumer(group: string, options?: Options): PushConsumer
  pushConsumer(options: Options): PushConsumer
  /** A pull consumer; without a group it reads all queues for itself. */
  consumer(group?: string | Options, options?: Options): Consumer
  /** Operators' calls. */
  admin(): Admin
  createTopic(name: string, queues?: number): Promise<void>
  setFilterFunction(topic: string, group: string, name: string, module: Body): Promise<void>
  queues(topic: string): Promise<MessageQueue[]>
  messageById(offsetId: string): Promise<StoredMessage>
  messageByUniqueKey(topic: string, messageId: string): Promise<StoredMessage>
  messagesByKey(
    topic: string,
    key: string,
    options?: { max?: number; begin?: number | Date; end?: number | Date },
  ): Promise<StoredMessage[]>
  minOffset(queue: MessageQueue): Promise<Offset>
  maxOffset(queue: MessageQueue): Promise<Offset>
  searchOffset(queue: MessageQueue, time: number | Date): Promise<Offset>
  /** When the oldest message was stored, ms since 1970. */
  earliestStoreTime(queue: MessageQueue): Promise<Offset | undefined>
  readonly clientId: string
  readonly nameServers: string
  /** The ports, if it listens. */
  readonly listening: { nameServer: number; broker: number } | undefined
  /** Ends producers, consumers, connections and the server, `within` ms at most (30,000 unless given). */
  close(within?: number): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** A directory, or `path` or `memory`, `listen`, and keys of the broker, the name server and the client. */
export type OpenOptions = Options & { path?: string; memory?: boolean; listen?: boolean | string }

/** Opens a durable message queue in a directory: name server, broker and client in this process. */
export declare function open(path: string, options?: OpenOptions): Promise<Instance>
export declare function open(options: OpenOptions): Promise<Instance>

/** A client of a cluster, by its name servers `host:port;host:port`; with "" those of NAMESRV_ADDR. */
export declare function connect(nameServers: string, options?: Options): Promise<Instance>
export declare function connect(options: Options): Promise<Instance>

/** A line of the library's own log. */
export interface LogLine {
  level: 'error' | 'warn' | 'info' | 'debug' | 'trace'
  target: string
  message: string
}

/** Passes the library's own log up to a level, `info` unless given, to a function; `null` ends that. */
export declare function setLogger(
  handler: ((line: LogLine) => void) | null,
  level?: 'error' | 'warn' | 'info' | 'debug' | 'trace',
): void

/** The version of the library. */
export declare const version: string
