//! Every message may be delivered more than once, so what it causes must be the same however often it is. A message
//! carries a key of the business (never rely on the message id), and the database decides: six ways to let it.

use std::sync::{mpsc, Arc, Mutex};

use ferromq::{Action, Instance, Message};
use rusqlite::{params, Connection, ErrorCode, OptionalExtension, TransactionBehavior};

use crate::snowflake::Snowflakes;
use crate::{subscribe, text, Failure, PATIENCE};

const TABLES: &str = "
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
";

/// How often each message is delivered.
pub const COPIES: usize = 5;

/// What the database holds afterwards, and how often the work was found done.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 1000 yuan less 100, once.
    pub money: i64,
    /// Rows of the order that was inserted each time.
    pub orders: i64,
    /// 50 pieces less 1, once.
    pub stock: i64,
    /// How often the task was done.
    pub tasks_done: i64,
    /// 100 became 150.
    pub t1_money: i64,
    /// What was set by `on conflict do update`.
    pub points: i64,
    /// Deliveries whose work was done already.
    pub duplicates: usize,
}

/// Delivers each message five times, and returns what became of the database.
pub fn run(mq: &Instance) -> Result<Outcome, Failure> {
    let database = Connection::open_in_memory()?;
    database.execute_batch(TABLES)?;
    let database = Arc::new(Mutex::new(database));

    mq.create_topic("ons_test", 4)?;
    let producer = mq.producer("payments")?;
    let ids = Snowflakes::new(1);
    let ways = ["debit", "insert", "optimistic", "pessimistic", "set", "upsert"];
    for way in ways {
        // The same order sent again and again, as a producer does that did not hear the answer.
        let message = Message::new("ons_test", way).with_key(&format!("ORDERID_{}", ids.next_id()))?;
        for _ in 0..COPIES {
            producer.send(&message)?;
        }
    }

    let (seen, arrived) = mpsc::channel();
    let listener_database = database.clone();
    let consumer = subscribe(mq, "CID_IDEMPOTENT", "ons_test", "*", move |message| {
        let Some(order_id) = message.keys().next() else { return Action::Commit };
        let mut database = listener_database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match work(&mut database, &text(message), order_id) {
            Ok(was_new) => {
                println!(
                    "{order_id} {}: {}",
                    text(message),
                    if was_new { "done" } else { "was done already" }
                );
                // Nobody listens any more when the program is about to end.
                let _ = seen.send(was_new);
                Action::Commit
            }
            Err(error) => {
                eprintln!("{order_id} comes again: {error}");
                Action::Later
            }
        }
    })?;
    let mut duplicates = 0;
    for _ in 0..ways.len() * COPIES {
        duplicates += usize::from(!arrived.recv_timeout(PATIENCE)?);
    }
    consumer.close()?;
    let database = database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0));
    Ok(Outcome {
        money: number("select money from account where id = 1")?,
        orders: number("select count(*) from t_order")?,
        stock: number("select amount from stock where id = 1")?,
        tasks_done: number("select count(*) from task where status = 'done'")?,
        t1_money: number("select money from t1 where id = 1")?,
        points: number("select amount from points where user = 'ann'")?,
        duplicates,
    })
}

/// Does the work of a message; false if it was done before.
fn work(database: &mut Connection, way: &str, order_id: &str) -> rusqlite::Result<bool> {
    match way {
        "debit" => debit(database, order_id),
        "insert" => insert(database, order_id),
        "optimistic" => optimistic(database),
        "pessimistic" => pessimistic(database),
        "set" => {
            // The old value stands in the condition: the second time no row has it.
            Ok(database.execute("update t1 set money = 150 where id = 1 and money = 100", [])? == 1)
        }
        _ => {
            // Sets what is to be, whatever was there: doing it again changes nothing.
            let sql = "insert into points values ('ann', 30) on conflict(user) do update set amount = excluded.amount
                       where amount <> excluded.amount";
            Ok(database.execute(sql, [])? == 1)
        }
    }
}

/// 100 yuan, once: the note that the order is paid and the payment stand in one transaction.
fn debit(database: &mut Connection, order_id: &str) -> rusqlite::Result<bool> {
    let transaction = database.transaction()?;
    let noted =
        transaction.execute("insert into paid values (?1) on conflict do nothing", params![order_id])?;
    if noted == 1 {
        transaction.execute("update account set money = money - 100 where id = 1", [])?;
    }
    transaction.commit()?;
    Ok(noted == 1)
}

/// The unique key refuses the second insert, which means that the first was done.
fn insert(database: &Connection, order_id: &str) -> rusqlite::Result<bool> {
    let inserted =
        database.execute("insert into t_order(order_id, status) values (?1, 'new')", params![order_id]);
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The message was made from version 7; whoever comes second finds another version and changes nothing.
fn optimistic(database: &Connection) -> rusqlite::Result<bool> {
    let sql = "update stock set amount = amount - 1, version = version + 1 where id = 1 and version = 7";
    Ok(database.execute(sql, [])? == 1)
}

/// The row is locked before it is looked at: `select ... for update` elsewhere, an immediate transaction in SQLite.
fn pessimistic(database: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let status: Option<String> =
        transaction.query_row("select status from task where id = 1", [], |row| row.get(0)).optional()?;
    if status.as_deref() != Some("new") {
        return Ok(false);
    }
    transaction.execute("update task set status = 'done' where id = 1", [])?;
    transaction.commit()?;
    Ok(true)
}
