// The scenario list: what a client does, shown the same way embedded, over TCP to our server, and to Apache's.

import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { FerromqError, OrderlyStatus, Subscription } from 'ferromq'
import { FIRST, Inbox, PATIENCE, listening, polled, until } from './support.mjs'

const bodies = (messages) => messages.map((message) => message.text).sort()
const numbers = (count) => Array.from({ length: count }, (_, number) => String(number))

async function topicOf(stage, queues = 4) {
  const topic = stage.name('topic')
  const slow = (error) => {
    // A cluster that was started a moment ago may need longer than a call may take.
    if (!stage.foreign || error.code !== 'Timeout') throw error
    return false
  }
  await until(() => stage.mq.createTopic(topic, queues).then(() => true, slow))
  return topic
}

async function sendAll(stage, topic, count, fields = () => ({})) {
  const producer = stage.mq.producer(stage.name('senders'))
  for (const number of numbers(count)) await producer.send({ topic, body: number, ...fields(Number(number)) })
  return producer
}

export const SCENARIOS = {
  async send(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('group'))
    const sent = await producer.send({ topic, body: 'one', tag: 'a', keys: ['k1', 'k2'], properties: { colour: 'rød ☂' }, flag: 7 })
    assert.equal(sent.status, 'SEND_OK')
    assert.equal(sent.queue.topic, topic)
    const synchronous = producer.sendSync({ topic, body: new Uint8Array([0, 255, 1]) })
    assert.match(String(synchronous), /^SEND_OK msgId=[0-9A-F]{32} /)
    await Promise.all(numbers(50).map((body) => producer.send({ topic, body })))
    await producer.sendOneway({ topic, body: 'oneway' })
    const messages = await polled(stage.mq, topic, 53)
    const one = messages.find((message) => message.text === 'one')
    assert.deepEqual([one.messageId, one.tag, one.keys, one.flag], [sent.messageId, 'a', ['k1', 'k2'], 7])
    assert.deepEqual({ ...one.userProperties }, { colour: 'rød ☂' })
    assert.deepEqual([one.queueId, one.queueOffset], [sent.queue.queueId, sent.queueOffset])
    assert.deepEqual([...messages.find((message) => message.messageId === synchronous.messageId).body], [0, 255, 1])
  },

  async batch(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('group'))
    const sent = await producer.sendBatch(numbers(20).map((body) => ({ topic, body, ...(body === '3' ? { tag: 't' } : {}) })))
    assert.equal(sent.messageIds.length, 20)
    const messages = await polled(stage.mq, topic, 20)
    assert.deepEqual(messages.map((message) => message.text), numbers(20), 'side by side, in one queue')
    assert.deepEqual(messages.filter((message) => message.tag === 't').map((message) => message.text), ['3'])
  },

  async selectors(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('group'))
    const queues = await producer.queues(topic)
    assert.equal((await producer.send({ topic, body: 'x' }, { queue: queues[2] })).queue.queueId, queues[2].queueId)
    const chosen = await Promise.all([3, 1, 1].map((place) => producer.send({ topic, body: 'x' }, { selector: () => place })))
    assert.deepEqual(chosen.map((sent) => sent.queue.queueId), [3, 1, 1].map((place) => queues[place].queueId))
    assert.ok(chosen[1].queueOffset < chosen[2].queueOffset, 'in the order they were sent')
    const sameKey = await Promise.all([1, 2, 3].map(() => producer.send({ topic, body: 'x' }, { shardingKey: 'order-1' })))
    assert.equal(new Set(sameKey.map((sent) => sent.queue.queueId)).size, 1)
    await assert.rejects(producer.send({ topic, body: 'x' }, { selector: () => 99 }), { code: 'InvalidArgument' })
  },

  async ids_and_keys(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('group'))
    const sent = await producer.send({ topic, body: 'findable', key: 'order-1' })
    await until(async () => (await stage.mq.messagesByKey(topic, 'order-1')).length === 1)
    const found = [await stage.mq.messageById(sent.offsetId), await stage.mq.messageByUniqueKey(topic, sent.messageId)]
    assert.deepEqual(found.map((message) => message.text), ['findable', 'findable'])
    await assert.rejects(stage.mq.messageByUniqueKey(topic, '0'.repeat(32)), { code: 'NotFound' })
    assert.equal(await stage.mq.maxOffset(sent.queue), sent.queueOffset + 1)
    assert.equal(await stage.mq.minOffset(sent.queue), 0)
  },

  async consume(stage) {
    const topic = await topicOf(stage)
    const inbox = new Inbox()
    const consumer = await listening(stage.mq, stage.name('group'), topic, async (message) => {
      await new Promise(setImmediate)
      inbox.put(message.text)
    })
    await sendAll(stage, topic, 100)
    assert.deepEqual((await inbox.wait(100)).sort(), numbers(100).sort())
    await consumer.close()
  },

  async pull(stage) {
    const topic = await topicOf(stage, 1)
    await sendAll(stage, topic, 40)
    const consumer = stage.mq.consumer(stage.name('group'), { ...FIRST, autoCommit: false })
    await consumer.subscribe(topic)
    const first = await consumer.poll(PATIENCE)
    assert.equal(first[0].text, '0')
    consumer.commit()
    await consumer.flush()
    const [queue] = await consumer.topicQueues(topic)
    assert.equal(await consumer.committed(queue), first.length)
    await consumer.close()
    const again = stage.mq.consumer(stage.name('group'), FIRST)
    await again.subscribe(topic)
    const seen = []
    for await (const message of again) {
      seen.push(message.text)
      if (seen.length === 40 - first.length) break
    }
    assert.deepEqual(seen, numbers(40).slice(first.length))
    await again.seekToBegin(queue)
    assert.equal((await again.poll(PATIENCE))[0].text, '0')
    await again.close()
    const alone = stage.mq.consumer()
    const pulled = await alone.pull(queue, Subscription.all(topic), 38)
    assert.deepEqual([pulled.status, bodies(pulled.messages), pulled.max], ['FOUND', ['38', '39'], 40])
    assert.equal((await alone.pull(queue, undefined, 40)).status, 'NO_NEW_MSG')
    await alone.close()
  },

  async order(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('senders'))
    const steps = ['created', 'paid', 'pushed', 'completed']
    for (const step of steps) {
      for (let order = 0; order < 10; order += 1) {
        await producer.send({ topic, body: step, key: `order-${order}` }, { shardingKey: `order-${order}` })
      }
    }
    const inbox = new Inbox()
    const failed = new Set()
    const consumer = stage.mq.pushConsumer(stage.name('group'), FIRST)
    await consumer.subscribe(topic)
    consumer.listenOrderly(async (messages, context) => {
      await new Promise(setImmediate)
      const [message] = messages
      if (message.text === 'paid' && !failed.has(message.keys[0])) {
        failed.add(message.keys[0])
        context.suspendTime = 10
        return OrderlyStatus.SuspendCurrentQueue
      }
      inbox.put([message.keys[0], message.text])
      return OrderlyStatus.Success
    })
    await consumer.start()
    const seen = await inbox.wait(40)
    for (let order = 0; order < 10; order += 1) {
      assert.deepEqual(seen.filter(([key]) => key === `order-${order}`).map(([, step]) => step), steps)
    }
    assert.equal(failed.size, 10)
    await consumer.close()
  },

  async filter_tag(stage) {
    const topic = await topicOf(stage)
    await sendAll(stage, topic, 12, (number) => ({ tag: 'ABC'[number % 3] }))
    const inbox = new Inbox()
    const wanted = Subscription.tags(topic, 'A || C')
    const consumer = await listening(stage.mq, stage.name('group'), wanted, (message) => inbox.put(message.tag))
    assert.deepEqual((await inbox.wait(8)).sort(), ['A', 'A', 'A', 'A', 'C', 'C', 'C', 'C'])
    await consumer.close()
  },

  async filter_sql(stage) {
    const topic = await topicOf(stage)
    await sendAll(stage, topic, 10, (a) => ({ properties: { a } }))
    const inbox = new Inbox()
    const wanted = Subscription.sql(topic, 'a between 0 and 3')
    const group = stage.name('group')
    let consumer
    try {
      consumer = await listening(stage.mq, group, wanted, (message) => inbox.put(message.userProperties.a))
    } catch (error) {
      // Apache's broker has it off unless enablePropertyFilter is set.
      assert.ok(stage.foreign && error instanceof FerromqError && error.code === 'Remote', error)
      return
    }
    assert.deepEqual((await inbox.wait(4)).sort(), ['0', '1', '2', '3'])
    await consumer.close()
    const wrong = Subscription.sql(topic, 'a between')
    await assert.rejects(listening(stage.mq, `${group}-wrong`, wrong, () => {}), FerromqError)
  },

  async retry(stage) {
    const topic = await topicOf(stage)
    const ways = { later: () => 'later', null: () => null, throws: () => assert.fail('wanted'), rejects: () => Promise.reject(new Error('wanted')), nonsense: () => 'nonsense' }
    const producer = stage.mq.producer(stage.name('senders'))
    for (const way of Object.keys(ways)) await producer.send({ topic, body: way })
    const inbox = new Inbox()
    const consumer = await listening(stage.mq, stage.name('group'), topic, (message, context) => {
      inbox.put(`${message.text} ${message.reconsumeTimes}`)
      context.delayLevel = 1
      if (message.reconsumeTimes === 0) return ways[message.text]()
      assert.equal(message.topic, topic, 'the topic it was first sent to')
    })
    const expected = Object.keys(ways).flatMap((way) => [`${way} 0`, `${way} 1`])
    assert.deepEqual((await inbox.wait(10)).sort(), expected.sort())
    await consumer.close()
  },

  async dead_letter(stage) {
    const topic = await topicOf(stage)
    await sendAll(stage, topic, 1)
    const group = stage.name('group')
    const inbox = new Inbox()
    const consumer = await listening(stage.mq, group, topic, (message, context) => {
      context.delayLevel = -1
      inbox.put(message.text)
      return 'later'
    })
    await inbox.wait(1)
    const dead = `%DLQ%${group}`
    await until(() => stage.mq.queues(dead).then((queues) => queues.length > 0, () => false))
    await consumer.close()
    const [letter] = await polled(stage.mq, dead, 1, stage.name('undertakers'))
    assert.equal(letter.text, '0')
  },

  async transaction(stage) {
    const topic = await topicOf(stage)
    const decided = { commit: 'commit', rollback: 'rollback', asked: 'unknown', throws: 'throws' }
    const [executed, checked] = [new Map(), []]
    const producer = stage.mq.transactionProducer(stage.name('group'), {
      async execute(message, id) {
        executed.set(message.body, id)
        await new Promise(setImmediate)
        if (message.body === 'throws') throw new Error('wanted')
        return decided[message.body]
      },
      check(message) {
        checked.push(message.messageId)
        return message.text === 'asked' ? 'commit' : 'rollback'
      },
      onError: (error) => assert.equal(error.message, 'wanted'),
    })
    const states = []
    for (const body of Object.keys(decided)) {
      const { state, sent } = await producer.send({ topic, body, checkImmunity: 1 })
      assert.equal(sent.messageId, executed.get(body))
      states.push(state)
    }
    assert.deepEqual(states, ['commit', 'rollback', 'unknown', 'unknown'])
    const own = await producer.send({ topic, body: 'own' }, () => 'commit')
    assert.equal(own.state, 'commit')
    assert.deepEqual(bodies(await polled(stage.mq, topic, 3)), ['asked', 'commit', 'own'])
    await until(() => checked.includes(executed.get('throws')))
    await producer.close()
  },

  async broadcasting(stage) {
    const topic = await topicOf(stage)
    const second = await stage.connect()
    const files = await mkdtemp(join(tmpdir(), 'ferromq-broadcast-'))
    const inbox = new Inbox()
    const members = []
    for (const [name, mq] of [['first', stage.mq], ['second', second]]) {
      const options = { messageModel: 'BROADCASTING', offsetStoreDir: join(files, name) }
      members.push(await listening(mq, stage.name('group'), topic, (message) => inbox.put(`${name} ${message.text}`), options))
    }
    await sendAll(stage, topic, 5)
    const expected = ['first', 'second'].flatMap((name) => numbers(5).map((number) => `${name} ${number}`))
    assert.deepEqual((await inbox.wait(10)).sort(), expected.sort())
    for (const member of members) await member.close()
    if (second !== stage.mq) await second.close()
    await rm(files, { recursive: true })
  },

  async delay(stage) {
    const topic = await topicOf(stage)
    const producer = stage.mq.producer(stage.name('senders'))
    for (const body of numbers(5)) await producer.send({ topic, body, delayLevel: 1 })
    for (const message of await polled(stage.mq, topic, 5)) {
      assert.ok(message.storeTimestamp - message.bornTimestamp >= 1000, 'level 1 is a second')
    }
  },

  async request_reply(stage) {
    const topic = await topicOf(stage)
    const replier = stage.mq.producer(stage.name('repliers'))
    const consumer = await listening(stage.mq, stage.name('group'), topic, async (message) => {
      await replier.reply(message, `re: ${message.text}`)
    })
    // Apache's broker sends replies to no client of which any producer has left, as others' do meanwhile on stage.mq.
    const asking = stage.foreign ? await stage.connect() : stage.mq
    const producer = asking.producer(stage.name('senders'))
    const reply = await producer.request({ topic, body: 'question' }, PATIENCE)
    assert.equal(reply.text, 're: question')
    await consumer.close()
    if (stage.foreign) await asking.close()
  },

  async close_in_listener(stage) {
    const topic = await topicOf(stage)
    await sendAll(stage, topic, 1)
    const inbox = new Inbox()
    const consumer = stage.mq.pushConsumer(stage.name('group'), FIRST)
    await consumer.subscribe(topic)
    consumer.listen(async () => {
      await new Promise(setImmediate)
      await consumer.close()
      inbox.put('closed')
    })
    await consumer.start()
    await inbox.wait(1)
    await consumer.close()
  },
}
