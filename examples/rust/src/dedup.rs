//! A table of the messages that were worked on. The entry and the result of the work appear in one transaction: killed
//! at any moment, the program goes on at its next start, and every message counts once.

use std::sync::{mpsc, Arc, Mutex};
use std::time::Duration;

use ferromq::{Action, Instance, Message};
use rusqlite::{params, Connection, OptionalExtension, Transaction};

use crate::{subscribe, text, Failure, PATIENCE};

/// Messages, each of which is sent twice.
pub const MESSAGES: usize = 50;

const TABLES: &str = "
    create table if not exists processed(message_key text primary key);
    create table if not exists result(message_key text, amount integer);
    create table if not exists produced(done integer);
";

/// Sends every message twice unless an earlier run has, works on all, and returns the sum of their amounts. `database` is
/// an SQLite file; `pause` lies between two steps, for whoever wants to kill the program there.
pub fn run(mq: &Instance, database: &str, pause: Duration) -> Result<i64, Failure> {
    let database = Connection::open(database)?;
    database.execute_batch(TABLES)?;
    mq.create_topic("Deduplicated", 4)?;
    produce(mq, &database)?;

    let database = Arc::new(Mutex::new(database));
    let (seen, arrived) = mpsc::channel();
    let listener_database = database.clone();
    let consumer = subscribe(mq, "CID_DEDUP", "Deduplicated", "*", move |message| {
        let Some(key) = message.keys().next() else { return Action::Commit };
        let mut database = listener_database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let worked = work(&mut database, key, &text(message), pause);
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(());
        match worked {
            Ok(()) => Action::Commit,
            Err(error) => {
                eprintln!("{key} comes again: {error}");
                Action::Later
            }
        }
    })?;
    while count(&database)? < MESSAGES as i64 {
        arrived.recv_timeout(PATIENCE)?;
    }
    consumer.close()?;
    let database = database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok(database.query_row("select sum(amount) from result", [], |row| row.get(0))?)
}

fn produce(mq: &Instance, database: &Connection) -> Result<(), Failure> {
    if database.query_row("select done from produced", [], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    let producer = mq.producer("dedup-producers")?;
    for number in 0..MESSAGES {
        let message = Message::new("Deduplicated", number.to_string()).with_key(&format!("ID_{number}"))?;
        producer.send(&message)?;
        producer.send(&message)?;
    }
    // Killed before this, the next run sends once more: that is harmless here.
    database.execute("insert into produced values (1)", [])?;
    producer.close()?;
    Ok(())
}

fn work(database: &mut Connection, key: &str, body: &str, pause: Duration) -> Result<(), Failure> {
    println!("begin {key}");
    let transaction = database.transaction()?;
    if is_processed(&transaction, key)? {
        println!("again {key}");
        return Ok(());
    }
    std::thread::sleep(pause);
    process(&transaction, key, body.parse()?)?;
    println!("worked {key}");
    std::thread::sleep(pause);
    mark_as_processed(&transaction, key)?;
    println!("marked {key}");
    std::thread::sleep(pause);
    transaction.commit()?;
    println!("done {key}");
    Ok(())
}

fn is_processed(database: &Transaction<'_>, key: &str) -> rusqlite::Result<bool> {
    let found = database
        .query_row("select 1 from processed where message_key = ?1", params![key], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// The work itself. What is not in the database, such as a call to another service, needs a key there as well.
fn process(database: &Transaction<'_>, key: &str, amount: i64) -> rusqlite::Result<()> {
    database.execute("insert into result values (?1, ?2)", params![key, amount]).map(drop)
}

fn mark_as_processed(database: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    database.execute("insert into processed values (?1)", params![key]).map(drop)
}

fn count(database: &Mutex<Connection>) -> rusqlite::Result<i64> {
    let database = database.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    database.query_row("select count(*) from processed", [], |row| row.get(0))
}
