//! The same messages in a SQLite table that serves as a queue.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ferromq::store::{Durability, FlushMode, Get};
use rusqlite::Connection;
use serde_json::{json, Value};

use crate::load::{open, Load};
use crate::show;

const BODY: usize = 1024;
/// Messages in a transaction where they are not one by one, and what a get takes.
const TOGETHER: u64 = 32;

/// Puts and takes: one by one with each on the disk, and many without waiting for the disk.
pub fn compare(dir: &Path, messages: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    for durable in [true, false] {
        let how = if durable { "each put on disk" } else { "puts not awaited" };
        let count = if durable { messages / 4 } else { messages * 10 };
        let (put, took) = ours(dir, count, durable)?;
        figures.push(show(&format!("FerroMQ, {how}"), rates(count, put, took)));
        let (put, took) = theirs(dir, count, durable).map_err(|e| format!("SQLite: {e}"))?;
        figures.push(show(&format!("SQLite, {how}"), rates(count, put, took)));
    }
    Ok(json!(figures))
}

fn rates(count: u64, put: Duration, took: Duration) -> Value {
    let per_s = |time: Duration| count as f64 / time.as_secs_f64();
    json!({ "put_per_s": per_s(put), "take_per_s": per_s(took) })
}

fn ours(dir: &Path, count: u64, durable: bool) -> Result<(Duration, Duration), String> {
    let store = open(dir, if durable { FlushMode::Sync } else { FlushMode::Async })?;
    let mut load = Load::new(1, BODY);
    let began = Instant::now();
    for _ in 0..count {
        let end = load.one(&store)?;
        if durable {
            let (sender, receiver) = channel();
            store.when_durable(end, Box::new(move |how| drop(sender.send(how))));
            if receiver.recv() != Ok(Durability::Flushed) {
                return Err("a message did not come to disk".into());
            }
        }
    }
    store.dispatch();
    let put = began.elapsed();
    let (began, mut offset, topic) = (Instant::now(), 0, &load.topics()[0]);
    while (offset as u64) < count {
        let get = Get { topic, queue_id: 0, offset, max_count: TOGETHER as usize, max_bytes: 1 << 20 };
        let got = store.get(&get, &());
        let bodies: Vec<Vec<u8>> = got.records.iter().map(|run| run.to_vec()).collect();
        std::hint::black_box(bodies);
        offset = got.next_offset;
    }
    let took = began.elapsed();
    store.close().map_err(|e| e.to_string())?;
    std::fs::remove_dir_all(dir).map_err(|e| e.to_string())?;
    Ok((put, took))
}

fn theirs(dir: &Path, count: u64, durable: bool) -> Result<(Duration, Duration), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(dir)?;
    let mut database = Connection::open(dir.join("queue.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", if durable { "FULL" } else { "OFF" })?;
    database.execute("CREATE TABLE queue (id INTEGER PRIMARY KEY, key TEXT, body BLOB)", ())?;
    database.execute("CREATE INDEX by_key ON queue (key)", ())?;
    let body = vec![b'x'; BODY];
    let together = if durable { 1 } else { TOGETHER };
    let began = Instant::now();
    for start in (0..count).step_by(together as usize) {
        let transaction = database.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO queue (key, body) VALUES (?1, ?2)")?;
            for n in start..count.min(start + together) {
                insert.execute((format!("C000020246144E0E2F2A692C{n:08x}"), &body))?;
            }
        }
        transaction.commit()?;
    }
    let put = began.elapsed();
    let began = Instant::now();
    let mut taken = 0;
    while taken < count {
        let transaction = database.transaction()?;
        {
            let mut take = transaction.prepare_cached("SELECT id, body FROM queue ORDER BY id LIMIT ?1")?;
            let rows =
                take.query_map([TOGETHER], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            let last = rows.last().ok_or("messages are missing")?.0;
            taken += rows.len() as u64;
            transaction.prepare_cached("DELETE FROM queue WHERE id <= ?1")?.execute([last])?;
        }
        transaction.commit()?;
    }
    let took = began.elapsed();
    drop(database);
    std::fs::remove_dir_all(dir)?;
    Ok((put, took))
}
