/// <reference types="node" />
import { Writable } from 'node:stream'
import { Options, Producer } from './index.js'

export interface TopicStreamOptions {
  producer: Producer
  topic: string
  /** The tag of a line, or what tells it; unless given the level of lines that are JSON. */
  tag?: string | ((line: string) => string | undefined)
  /** Hears of lines that could not be sent. */
  onError?: (error: unknown, lines: string[]) => void
  /** Runs when the stream has ended. */
  close?: () => Promise<void>
}

/** A stream that sends each line written to it as a message. A log does not end its program: what fails is counted. */
export declare class TopicStream extends Writable {
  constructor(options: TopicStreamOptions)
  /** Lines that could not be sent. */
  lost: number
}

export interface TransportOptions {
  /** As `connect` takes them; unless given those of NAMESRV_ADDR. */
  nameServers?: string
  topic: string
  group?: string
  tag?: string
  /** Options of the client. */
  options?: Options
}

/** A transport of pino: `transport: { target: 'ferromq/logging', options: { nameServers, topic } }`. */
export declare function transport(options: TransportOptions): Promise<TopicStream>
export default transport
