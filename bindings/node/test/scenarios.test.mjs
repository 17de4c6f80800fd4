// Every scenario embedded, over TCP to a listener of our own, and where FERROMQ_SCENARIO_ADDR says.

import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'

import { connect, open } from 'ferromq'
import { addressOf, memoryBroker } from 'ferromq/testing'
import { SCENARIOS } from './scenarios.mjs'
import { FIRST, directory, polled } from './support.mjs'

/** What other runs against the same cluster do not use. */
const RUN = `${process.pid.toString(36)}${Date.now().toString(36)}`

function all(place, stageOf) {
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    test(name, async () => {
      const stage = stageOf()
      await scenario({ ...stage, name: (part) => `node-${place}-${name}-${part}-${RUN}`.replaceAll('_', '-') })
    })
  }
}

describe('embedded', { concurrency: true }, () => {
  let mq
  before(async () => {
    mq = await memoryBroker({ listen: 'free' })
  })
  after(() => mq.close())
  all('embedded', () => ({ mq, connect: () => connect(addressOf(mq)) }))
})

describe('over TCP', { concurrency: true }, () => {
  let server, mq
  before(async () => {
    server = await memoryBroker({ listen: 'free' })
    mq = await connect(addressOf(server))
  })
  after(async () => {
    await mq.close()
    await server.close()
  })
  all('tcp', () => ({ mq, connect: () => connect(addressOf(server)) }))
})

const address = process.env.FERROMQ_SCENARIO_ADDR
describe('against a cluster', { concurrency: true, skip: address ? false : 'FERROMQ_SCENARIO_ADDR is not set' }, () => {
  let mq
  before(async () => {
    mq = await connect(address)
  })
  after(() => mq?.close())
  all('cluster', () => ({ mq, foreign: true, connect: () => connect(address) }))
})

test('restart: a directory has its messages and offsets when it is opened again', async (context) => {
  const path = await directory(context)
  for (const round of [0, 1, 2]) {
    const mq = await open(path)
    if (round === 0) await mq.createTopic('Kept', 1)
    const producer = mq.producer('shop')
    for (const number of [0, 1]) await producer.send({ topic: 'Kept', body: `${round}.${number}` })
    const everything = await polled(mq, 'Kept', 2, 'followers')
    assert.deepEqual(everything.map((message) => message.text), [`${round}.0`, `${round}.1`], 'what was done does not come again')
    await mq.close()
  }
  const mq = await open(path)
  const consumer = mq.consumer('late', FIRST)
  await consumer.subscribe('Kept')
  const bodies = []
  for await (const message of consumer) if (bodies.push(message.text) === 6) break
  assert.deepEqual(bodies, ['0.0', '0.1', '1.0', '1.1', '2.0', '2.1'])
  await mq.close()
})
