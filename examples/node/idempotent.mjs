// Every message may be delivered more than once, so what it causes must be the same however often it is. A message
// carries a key of the business (never rely on the message id), and the database decides: six ways to let it.

import sqlite from 'node-sqlite3-wasm'

import { Action } from 'ferromq'
import { Channel, consumerGroup, main, producerGroup, subscribe } from './common.mjs'
import { Snowflakes } from './snowflake.mjs'

const TABLES = `
  create table account(id integer primary key, money integer not null);
  create table paid(order_id text primary key);
  create table t_order(id integer primary key autoincrement, order_id text not null unique, status text);
  create table stock(id integer primary key, amount integer not null, version integer not null);
  create table task(id integer primary key, status text not null);
  create table t1(id integer primary key, money integer not null);
  create table points(user text primary key, amount integer not null);
  insert into account values (1, 1000);
  insert into stock values (1, 50, 7);
  insert into task values (1, 'new');
  insert into t1 values (1, 100);
`

/** How often each message is delivered. */
export const COPIES = 5

/** Delivers each message five times, and returns what became of the database. */
export async function run(mq) {
  const database = new sqlite.Database()
  database.exec(TABLES)

  await mq.createTopic('ons_test', 4)
  const producer = mq.producer(producerGroup('payments'))
  const ids = new Snowflakes(1)
  for (const way of Object.keys(WAYS)) {
    // The same order sent again and again, as a producer does that did not hear the answer.
    const message = { topic: 'ons_test', body: way, key: `ORDERID_${ids.nextId()}` }
    for (let copy = 0; copy < COPIES; copy += 1) await producer.send(message)
  }

  const seen = new Channel()
  const consumer = await subscribe(mq, consumerGroup('CID_IDEMPOTENT'), 'ons_test', '*', (message) => {
    const [orderId] = message.keys
    if (orderId === undefined) return Action.Commit
    const wasNew = WAYS[message.text](database, orderId)
    console.log(`${orderId} ${message.text}: ${wasNew ? 'done' : 'was done already'}`)
    seen.put(wasNew)
    return Action.Commit
  })
  let duplicates = 0
  for (let count = 0; count < Object.keys(WAYS).length * COPIES; count += 1) {
    if (!(await seen.take())) duplicates += 1
  }
  await consumer.close()
  const number = (sql) => Number(Object.values(database.get(sql))[0])
  const outcome = {
    money: number('select money from account where id = 1'),
    orders: number('select count(*) from t_order'),
    stock: number('select amount from stock where id = 1'),
    tasksDone: number("select count(*) from task where status = 'done'"),
    t1Money: number('select money from t1 where id = 1'),
    points: number("select amount from points where user = 'ann'"),
    duplicates,
  }
  database.close()
  return outcome
}

/** The work of each kind of message; false if it was done before. */
const WAYS = {
  debit,
  insert,
  optimistic,
  pessimistic,
  // The old value stands in the condition: the second time no row has it.
  set: (database) => database.run('update t1 set money = 150 where id = 1 and money = 100').changes === 1,
  // Sets what is to be, whatever was there: doing it again changes nothing.
  upsert: (database) => {
    const sql = `insert into points values ('ann', 30) on conflict(user) do update set amount = excluded.amount
                 where amount <> excluded.amount`
    return database.run(sql).changes === 1
  },
}

/** Runs work in a transaction, which is undone if the work throws. */
export function transaction(database, work, begin = 'begin') {
  database.exec(begin)
  try {
    const result = work()
    database.exec('commit')
    return result
  } catch (error) {
    database.exec('rollback')
    throw error
  }
}

/** 100 yuan, once: the note that the order is paid and the payment stand in one transaction. */
function debit(database, orderId) {
  return transaction(database, () => {
    const noted = database.run('insert into paid values (?) on conflict do nothing', [orderId]).changes === 1
    if (noted) database.run('update account set money = money - 100 where id = 1')
    return noted
  })
}

/** The unique key refuses the second insert, which means that the first was done. */
function insert(database, orderId) {
  try {
    database.run("insert into t_order(order_id, status) values (?, 'new')", [orderId])
    return true
  } catch (error) {
    if (/UNIQUE constraint/.test(error.message)) return false
    throw error
  }
}

/** The message was made from version 7; whoever comes second finds another version and changes nothing. */
function optimistic(database) {
  const sql = 'update stock set amount = amount - 1, version = version + 1 where id = 1 and version = 7'
  return database.run(sql).changes === 1
}

/** The row is locked before it is looked at: `select ... for update` elsewhere, an immediate transaction in SQLite. */
function pessimistic(database) {
  const work = () => {
    if (database.get('select status from task where id = 1').status !== 'new') return false
    database.run("update task set status = 'done' where id = 1")
    return true
  }
  return transaction(database, work, 'begin immediate')
}

await main(import.meta, run)
