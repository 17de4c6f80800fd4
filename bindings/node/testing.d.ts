import { Instance, OpenOptions, StoredMessage } from './index.js'

/** The context of a test: that of node:test, or anything that runs a function after it. */
export interface TestContext {
  after(end: () => Promise<void>): void
}

/**
 * A broker in memory whose delays, retries and questions come after a second. Given the context of a test it is closed
 * after the test. With `{ listen: 'free' }` others can join.
 */
export declare function memoryBroker(options?: OpenOptions): Promise<Instance>
export declare function memoryBroker(context: TestContext, options?: OpenOptions): Promise<Instance>

/** Runs a function with a broker in memory, and closes it. */
export declare function withBroker<T>(work: (mq: Instance) => T | Promise<T>, options?: OpenOptions): Promise<T>

/** Where other clients find a broker that listens: what `connect` takes. */
export declare function addressOf(mq: Instance): string

/** A number of messages of a topic, from its beginning, once they are there; `timeout` in ms, 30,000 unless given. */
export declare function receive(
  mq: Instance,
  topic: string,
  count: number,
  options?: { group?: string; timeout?: number },
): Promise<StoredMessage[]>
