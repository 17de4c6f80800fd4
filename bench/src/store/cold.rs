//! Reading what is in no cache any more, while others send and read what is new.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ferromq::store::{FlushMode, Get, GetStatus, Store};
use serde_json::json;

use crate::load::{open, Load};
use crate::process::tell;

/// Bytes of a body.
const BODY: usize = 1024;
/// Time between two new messages: 10,000 a second.
const BETWEEN: Duration = Duration::from_micros(100);
/// How long the new messages have the store for themselves first.
const ALONE: Duration = Duration::from_secs(3);

/// Many topics make reads of one record each: after so long the rate is known.
const LONGEST: Duration = Duration::from_secs(60);

/// Fills a store with messages in so many topics of a queue each, empties the kernel's cache, and reads them, topic
/// by topic.
pub fn run(dir: &Path, topics: u64, messages: u64) -> Result<(), String> {
    let store = open(dir, FlushMode::Async)?;
    let mut load = Load::spread("Cold", topics, 1, BODY);
    load.many(&store, messages)?;
    store.close().map_err(|e| e.to_string())?;
    empty_cache()?;
    let store = open(dir, FlushMode::Async)?;
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&store, &over));
        let consumer = scope.spawn(|| consume(&store, &over));
        std::thread::sleep(ALONE);
        let (began, pages_before) = (Instant::now(), pages_read());
        let cold = load.topics().iter().try_for_each(|topic| read_all(&store, topic, &read, began + LONGEST));
        let took = began.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let panicked = |_| "a thread panicked".to_owned();
        let sent = sender.join().map_err(panicked)??;
        let consumed = consumer.join().map_err(panicked)?;
        cold?;
        let read = read.load(Ordering::Relaxed);
        if read != messages && took < LONGEST.as_secs_f64() {
            return Err(format!("{read} of {messages} messages were read"));
        }
        tell(&json!({
            "cold_per_s": read as f64 / took,
            "cold_mb_per_s": (read as usize * BODY) as f64 / 1e6 / took,
            "disk_mb_per_s": (pages_read() - pages_before) / 1e3 / took,
            "hot_sent_per_s": sent.per_s,
            "hot_read_per_s": consumed,
            "send_p99_us_alone": sent.alone.0,
            "send_max_us_alone": sent.alone.1,
            "send_p99_us": sent.beside.0,
            "send_max_us": sent.beside.1,
        }));
        Ok(())
    })?;
    store.close().map_err(|e| e.to_string())
}

/// Everything is on the disk by now, so nothing but the cache goes.
fn empty_cache() -> Result<(), String> {
    let path = "/proc/sys/vm/drop_caches";
    std::fs::write(path, "3").map_err(|e| format!("empty the cache by {path}: {e}; only root may"))
}

/// KiB that the kernel has read from disks.
fn pages_read() -> f64 {
    let text = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let number = text.lines().find_map(|line| line.strip_prefix("pgpgin "));
    number.and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
}

struct Sent {
    per_s: f64,
    /// 99th percentile and longest time of a send, us, before anybody read what is cold, and since.
    alone: (f64, f64),
    beside: (f64, f64),
}

fn send(store: &Store, over: &AtomicBool) -> Result<Sent, String> {
    let mut load = Load::spread("Hot", 1, 8, BODY);
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let due = BETWEEN * number;
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let sent_at = Instant::now();
        load.one(store)?;
        store.dispatch();
        let us = sent_at.elapsed().as_secs_f64() * 1e6;
        if sent_at - began < ALONE { &mut alone } else { &mut beside }.push(us);
    }
    let per_s = (alone.len() + beside.len()) as f64 / began.elapsed().as_secs_f64();
    Ok(Sent { per_s, alone: worst(alone), beside: worst(beside) })
}

fn worst(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(0.0);
    (at(0.99), times.last().copied().unwrap_or(0.0))
}

/// Reads the new messages; how many a second.
fn consume(store: &Store, over: &AtomicBool) -> f64 {
    let load = Load::spread("Hot", 1, 8, 0);
    let mut next = vec![0; load.queues_of_each() as usize];
    let (began, mut read) = (Instant::now(), 0);
    while !over.load(Ordering::Relaxed) {
        for (queue_id, offset) in (0..).zip(&mut next) {
            read += read_some(store, &load.topics()[0], queue_id, offset);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    read as f64 / began.elapsed().as_secs_f64()
}

fn read_all(store: &Store, topic: &str, read: &AtomicU64, until: Instant) -> Result<(), String> {
    let (mut offset, end) = (0, store.queue_bounds(topic, 0).map_or(0, |bounds| bounds.end));
    while offset < end && Instant::now() < until {
        match read_some(store, topic, 0, &mut offset) {
            0 => return Err(format!("{topic} cannot be read at {offset}")),
            count => read.fetch_add(count, Ordering::Relaxed),
        };
    }
    Ok(())
}

fn read_some(store: &Store, topic: &str, queue_id: i32, offset: &mut i64) -> u64 {
    let get = Get { topic, queue_id, offset: *offset, max_count: 32, max_bytes: 1 << 20 };
    let got = store.get(&get, &());
    if got.status != GetStatus::Found {
        return 0;
    }
    // As a broker's network would, each byte is looked at.
    let lines = got.records.iter().flat_map(|run| run.chunks(64));
    std::hint::black_box(lines.map(|line| u64::from(line[0])).sum::<u64>());
    *offset = got.next_offset;
    got.count as u64
}
