// What the other tests do not show: arguments that are refused, errors, large numbers, operators' calls, logs, options.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'

import * as ferromq from 'ferromq'
import { TopicStream, transport } from 'ferromq/logging'
import { addressOf, memoryBroker, receive, withBroker } from 'ferromq/testing'
import { FIRST, Inbox, directory, listening, path, polled, until } from './support.mjs'

const { ErrorKind, FerromqError, Message, Subscription, connect, open, setLogger } = ferromq
const require = createRequire(import.meta.url)

test('ESM and CommonJS have the same things, and ESM names all of them', () => {
  const common = require('ferromq')
  assert.deepEqual(Object.keys(ferromq).filter((name) => name !== 'default').sort(), Object.keys(common).sort())
  for (const name of Object.keys(common)) assert.equal(ferromq[name], common[name])
  assert.equal(ferromq.version, require('ferromq/package.json').version)
  assert.deepEqual(Object.keys(require('ferromq/testing')).sort(), ['addressOf', 'memoryBroker', 'receive', 'withBroker'])
})

describe('errors', () => {
  test('have kind, number, operation, and what they know of the send', async (context) => {
    const mq = await connect('127.0.0.1:9')
    context.after(() => mq.close())
    const producer = mq.producer('p', { sendMsgTimeout: 500 })
    const error = await producer.send({ topic: 'T', body: 'x' }).then(() => assert.fail('sent'), (error) => error)
    assert.ok(error instanceof FerromqError && error instanceof Error)
    assert.equal(error.name, 'FerromqError')
    assert.ok(['Connection', 'Timeout'].includes(error.code), error.code)
    assert.equal(error.number, ErrorKind[error.code])
    assert.equal(error.retriable, true)
    assert.deepEqual([error.topic, error.messageId.length, error.attempts >= 0], ['T', 32, true])
    assert.throws(() => producer.sendSync({ topic: 'T', body: 'x' }, { timeout: 100 }), { name: 'FerromqError' })
  })

  test('of a broker have its code', async (context) => {
    const mq = await memoryBroker(context, { listen: 'free' })
    const other = await connect(addressOf(mq))
    context.after(() => other.close())
    await mq.createTopic('T', 1)
    for (const client of [mq, other]) {
      const consumer = client.consumer('c')
      await consumer.subscribeTo(Subscription.sql('T', 'a between'))
      // SUBSCRIPTION_PARSE_FAILED
      await assert.rejects(consumer.start(), { code: 'Remote', remoteCode: 23, retriable: false })
    }
  })

  const REFUSED = {
    'no message': undefined,
    'no topic': { body: 'x' },
    'a topic that is none': { topic: 7, body: 'x' },
    'no body': { topic: 'T' },
    'a body that is none': { topic: 'T', body: 7 },
    'a field that is none': { topic: 'T', body: 'x', tags: 'a' },
    'a reserved property': { topic: 'T', body: 'x', properties: { KEYS: 'a' } },
    'a property that is none': { topic: 'T', body: 'x', properties: { a: {} } },
    'a key with a space in a list': { topic: 'T', body: 'x', keys: ['a b'] },
    'a delay that is none': { topic: 'T', body: 'x', delayLevel: 1.5 },
    'a negative delay': { topic: 'T', body: 'x', delayLevel: -1 },
    'more than may be': { topic: 'T', body: Buffer.alloc(5 << 20) },
  }
  test('are told for messages and options that are not usable, everywhere the same', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const producer = mq.producer('p')
    const refused = { code: 'InvalidArgument', retriable: false }
    for (const [what, message] of Object.entries(REFUSED)) {
      const expected = what === 'more than may be' ? FerromqError : refused
      await assert.rejects(producer.send(message), expected, what)
      assert.throws(() => producer.sendSync(message), expected, what)
      await assert.rejects(producer.sendOneway(message), expected, what)
      await assert.rejects(producer.sendBatch([message]), expected, what)
    }
    const good = { topic: 'T', body: 'x' }
    await assert.rejects(producer.sendBatch([]), refused)
    await assert.rejects(producer.sendBatch([good, { ...good, topic: 'U' }]), refused)
    for (const options of [{ timeout: -1 }, { timeout: 'soon' }, { queue: 3 }, { shardKey: 'x' }, { queue: { topic: 'T' } }]) {
      await assert.rejects(producer.send(good, options), refused, inspect(options))
    }
    for (const make of ['producer', 'consumer', 'pushConsumer']) {
      assert.throws(() => mq[make]('g', { sendMsgTimeOut: 3 }), refused)
      assert.throws(() => mq[make]('bad group!'), refused)
      assert.throws(() => mq[make](7), refused)
    }
    assert.throws(() => mq.transactionProducer('g', { execute() {} }), /check is missing/)
    const push = mq.pushConsumer('g')
    assert.throws(() => push.listen(7), refused)
    push.listen(() => {})
    assert.throws(() => push.listen(() => {}), refused)
    await assert.rejects(push.start(), refused, 'nothing to consume')
    await assert.rejects(push.subscribe('T', '||'), refused)
    const consumer = mq.consumer('g')
    await assert.rejects(consumer.poll(-1), refused)
    await assert.rejects(consumer.poll(0), refused, 'nothing to consume')
    await assert.rejects(consumer.seek({ topic: 'T', brokerName: 'b', queueId: 0 }, 2n ** 60n), refused)
    await assert.rejects(consumer.seek({ topic: 'T', brokerName: 'b', queueId: 0 }, 1.5), refused)
    assert.equal((await producer.send(good)).status, 'SEND_OK', 'nothing of it did harm')
  })

  test('of arguments of a wrong type are of the same kind, and never another thing', async (context) => {
    const mq = await memoryBroker(context)
    const [producer, consumer, push] = [mq.producer('p'), mq.consumer('c'), mq.pushConsumer('d')]
    const queue = { topic: 'T', brokerName: 'b', queueId: 0 }
    const calls = [
      (wrong) => mq.createTopic(wrong), (wrong) => mq.queues(wrong), (wrong) => mq.minOffset(wrong),
      (wrong) => mq.searchOffset(queue, wrong), (wrong) => mq.messageById(wrong), (wrong) => mq.admin().topic(wrong),
      (wrong) => producer.send(wrong), (wrong) => producer.sendBatch(wrong), (wrong) => producer.sendBatchSync(wrong),
      (wrong) => producer.reply(wrong, 'x'), (wrong) => producer.queues(wrong), (wrong) => consumer.subscribe(wrong, wrong),
      (wrong) => consumer.subscribeTo(wrong), (wrong) => consumer.unsubscribe(wrong), (wrong) => consumer.assign(wrong),
      (wrong) => consumer.pause(wrong), (wrong) => consumer.seek(queue, wrong), (wrong) => consumer.pull(wrong),
      (wrong) => push.listen(wrong), (wrong) => push.unsubscribe(wrong), (wrong) => push.updateThreads(wrong),
    ]
    for (const call of calls) {
      for (const wrong of [undefined, null, {}, Symbol('s'), 1.5]) {
        // Some are right somewhere; what is not is told so.
        const end = await Promise.resolve().then(() => call(wrong)).then(() => undefined, (error) => error)
        assert.ok(end === undefined || end instanceof FerromqError, `${call} ${String(wrong)}: ${end}`)
      }
    }
  })

  test('are told for places that are not usable', async (context) => {
    for (const where of [undefined, {}, 7, { memory: true, path: 'x' }, { memory: 'perhaps' }, { memory: true, a: {} }]) {
      await assert.rejects(open(where), { code: 'InvalidArgument' }, inspect(where))
    }
    await assert.rejects(connect(undefined), { code: 'InvalidArgument' })
    await assert.rejects(connect('127.0.0.1:9', { instanceNam: 'x' }), /did you mean instanceName/)
    const place = await directory(context)
    const mq = await open(place)
    await assert.rejects(open(place), { code: 'InUse' })
    await mq.close()
  })
})

describe('messages', () => {
  test('bodies are taken as text, Buffer, views, and may be empty', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const producer = mq.producer('p')
    const backing = Uint16Array.from([1, 2, 3, 4])
    const bodies = ['tëxt', Buffer.from([1]), backing.subarray(1, 3), backing.buffer.slice(6), new DataView(backing.buffer, 4, 2), Buffer.alloc(1 << 20, 7)]
    for (const body of bodies) await producer.send(new Message('T', body))
    const found = await polled(mq, 'T', bodies.length)
    const bytes = [Buffer.from('tëxt'), [1], [2, 0, 3, 0], [4, 0], [3, 0], Buffer.alloc(1 << 20, 7)]
    for (const [place, message] of found.entries()) assert.ok(message.body.equals(Buffer.from(bytes[place])), `body ${place}`)
  })

  test('what the program changes after a send does not change the message', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const body = Buffer.from('before')
    const sent = mq.producer('p').send({ topic: 'T', body })
    body.fill('x')
    await sent
    assert.equal((await polled(mq, 'T', 1))[0].text, 'before')
  })

  test('numbers beyond 2^53 are BigInts, others numbers', () => {
    const { unpack } = require(path('../lib/message.cjs'))
    const large = `${2n ** 62n},-${2n ** 55n}`
    const numbers = [1, 2, 3, NaN, 5, NaN, 7, 8, 4, 1, 1, 1, 1, 6, large.length]
    const report = { text: `TBOHua\u0001b\u0002x${large}`, bytes: Buffer.from('body'), numbers: Float64Array.from(numbers) }
    report.text = `TBOHua\u0001bc\u0002${large}`
    const [message] = unpack(report)
    assert.deepEqual([message.queueOffset, message.physicalOffset, message.bornTimestamp], [3, 2n ** 62n, -(2n ** 55n)])
    assert.deepEqual([message.text, { ...message.userProperties }], ['body', { a: 'bc' }])
  })

  test('print well and become JSON', async (context) => {
    const mq = await memoryBroker(context)
    const sent = await mq.producer('p').send({ topic: 'T', body: 'x', tag: 'a', key: 'k' })
    assert.match(inspect(sent), /status: 'SEND_OK'/)
    const [message] = await receive(mq, 'T', 1)
    assert.match(inspect(message), /StoredMessage \{\n.*messageId: '[0-9A-F]{32}'/)
    const json = JSON.parse(JSON.stringify(message))
    assert.deepEqual([json.topic, json.tag, json.keys, json.messageId], ['T', 'a', ['k'], sent.messageId])
  })
})

describe('operators', () => {
  test('make, list, move and delete', async (context) => {
    const mq = await memoryBroker(context)
    const admin = mq.admin()
    await admin.createTopic('Managed', { queues: 2 })
    assert.ok((await admin.topics()).includes('Managed'))
    assert.ok((await admin.allTopics()).length > (await admin.topics()).length)
    const producer = mq.producer('p')
    for (const body of ['a', 'b', 'c']) await producer.send({ topic: 'Managed', body })
    const figures = await admin.topic('Managed')
    assert.deepEqual([figures.topic, figures.messages, figures.queues.length], ['Managed', 3, 2])
    await polled(mq, 'Managed', 3, 'billing')
    await until(async () => (await admin.groups()).includes('billing'))
    assert.equal((await admin.progress('billing')).lag, 0)
    const moved = await admin.resetOffsets('billing', 'Managed', 'begin')
    assert.deepEqual(moved.map(({ offset }) => offset), [0, 0])
    assert.equal((await admin.progress('billing')).lag, 3)
    const consumer = await listening(mq, 'here', 'Managed', () => {})
    await until(() => admin.members('here').then(({ members }) => members.length === 1, () => false))
    await consumer.close()
    assert.equal((await admin.cluster()).brokers.length, 1)
    await admin.deleteGroup('billing')
    await admin.deleteTopic('Managed')
    assert.ok(!(await admin.topics()).includes('Managed'))
    await assert.rejects(admin.topic('Managed'), FerromqError)
    await assert.rejects(admin.createTopic('T', { queue: 1 }), { code: 'InvalidArgument' })
  })
})

describe('logs', () => {
  test('of the library go to a function, by level, until it is taken away', async (context) => {
    const lines = []
    setLogger((line) => lines.push(line), 'debug')
    await withBroker((mq) => mq.createTopic('T', 1))
    await until(() => lines.length > 0)
    for (const { level, target, message } of lines) {
      assert.match(level, /^(error|warn|info|debug)$/)
      assert.match(target, /^ferromq/)
      assert.equal(typeof message, 'string')
    }
    setLogger(null)
    const count = lines.length
    await withBroker((mq) => mq.createTopic('T', 1))
    assert.equal(lines.length, count)
    assert.throws(() => setLogger(() => {}, 'loud'), { code: 'InvalidArgument' })
    context.after(() => setLogger(null))
  })

  test('of the program become messages, with their level as tag, also in pieces of lines', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('Logs', 1)
    const stream = new TopicStream({ producer: mq.producer('p'), topic: 'Logs' })
    stream.write('plain\n{"level":50,"a"')
    stream.write(':1}\n\n{"level":"warn"}\nlast')
    for (let number = 0; number < 1000; number += 1) stream.write(`${number === 0 ? '\n' : ''}line ${number}\n`)
    stream.end()
    await once(stream, 'finish')
    const messages = await receive(mq, 'Logs', 1004)
    assert.deepEqual(messages.slice(0, 4).map(({ text, tag }) => [text, tag]), [
      ['plain', undefined],
      ['{"level":50,"a":1}', 'error'],
      ['{"level":"warn"}', 'warn'],
      ['last', undefined],
    ])
    assert.deepEqual([messages.length, messages[1003].text, stream.lost], [1004, 'line 999', 0])
  })

  test('of the program may come as bytes that end within a character', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('Logs', 1)
    const stream = new TopicStream({ producer: mq.producer('p'), topic: 'Logs' })
    const bytes = Buffer.from('ä€😀\nß')
    for (const byte of bytes) stream.write(Buffer.from([byte]))
    stream.end()
    await once(stream, 'finish')
    assert.deepEqual((await receive(mq, 'Logs', 2)).map(({ text }) => text), ['ä€😀', 'ß'])
  })

  test('whose handler of errors throws end the stream with that error', async () => {
    const mq = await memoryBroker()
    const onError = () => {
      throw new Error('handler')
    }
    const stream = new TopicStream({ producer: mq.producer('p'), topic: 'Logs', onError })
    await mq.close()
    stream.write('a\n')
    const [error] = await once(stream, 'error')
    assert.equal(error.message, 'handler')
  })

  test('that cannot be sent are counted and end nothing', async () => {
    const mq = await memoryBroker()
    const failures = []
    const stream = new TopicStream({ producer: mq.producer('p'), topic: 'Logs', tag: 'x', onError: (error, lines) => failures.push([error.code, lines]) })
    await mq.close()
    stream.end('a\nb\n')
    await once(stream, 'finish')
    assert.deepEqual([stream.lost, failures], [2, [['Closed', ['a', 'b']]]])
  })

  test('go through a transport that connects by itself, as pino loads it', async (context) => {
    const mq = await memoryBroker(context, { listen: 'free' })
    await mq.createTopic('Logs', 1)
    assert.equal(require('ferromq/logging').default, transport)
    const stream = await transport({ nameServers: addressOf(mq), topic: 'Logs' })
    stream.end('{"level":30}\n')
    await once(stream, 'finish')
    assert.equal((await receive(mq, 'Logs', 1))[0].tag, 'info')
  })
})

describe('consumers', () => {
  test('pause, resume, assign, and change what they want while they run', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 2)
    const producer = mq.producer('p')
    const queues = await producer.queues('T')
    for (const queue of queues) await producer.send({ topic: 'T', body: String(queue.queueId) }, { queue })
    const consumer = mq.consumer('c', FIRST)
    await consumer.assign([queues[1]])
    assert.equal((await consumer.poll(60_000))[0].text, '1')
    assert.deepEqual(consumer.queues().map(({ queueId }) => queueId), [1])
    consumer.pause([queues[1]])
    await producer.send({ topic: 'T', body: 'paused' }, { queue: queues[1] })
    assert.deepEqual(await consumer.poll(100), [])
    consumer.resume([queues[1]])
    assert.equal((await consumer.poll(60_000))[0].text, 'paused')
    assert.equal(await consumer.offsetForTime(queues[1], new Date(0)), 0)
    await consumer.seekToTime(queues[1], 0)
    assert.equal((await consumer.poll(60_000))[0].text, '1')
    await consumer.seekToTime(queues[1], 0)
    assert.equal((await consumer.poll(60_000, { max: 1 })).length, 1)
    await assert.rejects(consumer.poll(0, { max: 0 }), { code: 'InvalidArgument' })
    await consumer.seekToEnd(queues[1])
    assert.deepEqual(await consumer.poll(0), [])
    consumer.commitQueue(queues[1], 1)
    await consumer.flush()
    await assert.rejects(consumer.subscribe('T'), { code: 'InvalidArgument' })
    await consumer.close()

    const seen = []
    const push = await listening(mq, 'd', 'T', (message) => void seen.push(message.text))
    await until(() => seen.length === 3)
    push.suspend()
    assert.equal(push.isSuspended, true)
    await producer.send({ topic: 'T', body: 'later' })
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(seen.length, 3)
    push.resume()
    await until(() => seen.includes('later'))
    push.updateThreads(2)
    await push.subscribe('T', 'never')
    assert.equal(push.queues().length, 2)
    await push.close()
  })

  test('a batch listener can say how far it came', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    await mq.producer('p').sendBatch([...'abcd'].map((body) => ({ topic: 'T', body })))
    const calls = []
    const consumer = mq.pushConsumer('c', { ...FIRST, consumeMessageBatchMaxSize: 4 })
    await consumer.subscribe('T')
    consumer.listen((messages, context) => {
      calls.push(messages.map((message) => message.text).join(''))
      context.delayLevel = 1
      if (calls.length === 1) context.ackIndex = 1
    })
    await consumer.start()
    await until(() => calls.join('').length === 6)
    assert.equal(calls[0], 'abcd')
    assert.deepEqual([...calls.slice(1).join('')].sort(), ['c', 'd'])
    await consumer.close()
  })

  test('a listener that answers or wishes what nobody knows has failed', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    await mq.producer('p').sendBatch([...'abcd'].map((body) => ({ topic: 'T', body })))
    const [errors, done] = [new Inbox(), new Inbox()]
    const consumer = mq.pushConsumer('c', FIRST)
    await consumer.subscribe('T')
    const listener = (message, context) => {
      if (message.reconsumeTimes > 0) return void done.put(message.text)
      if (message.text === 'a') return 'toString'
      if (message.text === 'b') return { success: true }
      context[message.text === 'c' ? 'delayLevel' : 'ackIndex'] = message.text === 'c' ? '3' : 0.5
    }
    consumer.listenOne(listener, { onError: ({ code, message }) => errors.put(`${code} ${message}`) })
    await consumer.start()
    const told = (await errors.wait(4)).sort()
    assert.match(told[0], /^InvalidArgument consume: a listener answers commit, later or nothing, not 'toString'/)
    assert.match(told[1], /not \{ success: true \}/)
    assert.match(told[2], /context\.ackIndex is a whole number, not 0\.5/)
    assert.match(told[3], /context\.delayLevel is a whole number, not '3'/)
    assert.deepEqual((await done.wait(4)).sort(), ['a', 'b', 'c', 'd'])
    await consumer.close()
  })

  test('times without end are taken', async (context) => {
    const mq = await memoryBroker(context)
    await mq.createTopic('T', 1)
    const producer = mq.producer('p')
    await producer.send({ topic: 'T', body: 'x' }, { timeout: Infinity })
    const reader = mq.consumer()
    const [queue] = await mq.queues('T')
    assert.equal((await reader.pull(queue, undefined, 0, 1, Infinity)).messages.length, 1)
    const asked = assert.rejects(producer.request({ topic: 'T', body: 'x' }, Infinity), { code: 'Closed' })
    await producer.close(100).catch(() => {})
    await asked
    await reader.close(Infinity)
  })
})
