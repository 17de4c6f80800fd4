// A queue beyond 2^53 messages, in a log beyond 2^60 bytes: a store of a few messages is moved there.

import assert from 'node:assert/strict'
import { open as openFile, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { open } from 'ferromq'
import { directory, polled } from './support.mjs'

const MESSAGES = 2n ** 53n + 1n
const BYTES = 2n ** 60n

/** Moves the log and its records; queues and index are made again at the next start. */
async function move(root) {
  const [name] = await readdir(join(root, 'commitlog'))
  const log = await openFile(join(root, 'commitlog', name), 'r+')
  const head = Buffer.alloc(36)
  for (let at = 0; ; at += head.readInt32BE(0)) {
    await log.read(head, 0, head.length, at)
    if (head.readInt32BE(0) === 0) break
    head.writeBigInt64BE(head.readBigInt64BE(20) + MESSAGES, 20)
    head.writeBigInt64BE(head.readBigInt64BE(28) + BYTES, 28)
    await log.write(head, 0, head.length, at)
  }
  await log.close()
  await rename(join(root, 'commitlog', name), join(root, 'commitlog', String(BYTES).padStart(20, '0')))
  for (const made of ['consumequeue', 'index', 'checkpoint']) await rm(join(root, made), { recursive: true })
}

test('a queue goes on beyond what numbers can count', async (context) => {
  const root = await directory(context)
  const before = await open(root)
  await before.createTopic('Far', 1)
  for (const n of [0, 1, 2]) assert.equal((await before.producer('p').send({ topic: 'Far', body: `${n}` })).queueOffset, n)
  await before.close()
  await move(root)
  const mq = await open(root)
  assert.equal((await mq.producer('p').send({ topic: 'Far', body: '3' })).queueOffset, MESSAGES + 3n)
  const messages = await polled(mq, 'Far', 4)
  assert.deepEqual(messages.map((message) => message.queueOffset), [0n, 1n, 2n, 3n].map((n) => MESSAGES + n))
  assert.deepEqual(messages.map((message) => message.text), ['0', '1', '2', '3'])
  assert.ok(messages.every((message) => message.physicalOffset >= BYTES))
  await mq.close()
  // Where the group is was written and read, too.
  const again = await open(root)
  await again.producer('p').send({ topic: 'Far', body: '4' })
  const [next] = await polled(again, 'Far', 1)
  assert.deepEqual([next.queueOffset, next.text], [MESSAGES + 4n, '4'])
  await again.close()
})
