//! What children of this program do.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ferromq::store::{FlushMode, Get, GetStatus, Store};
use serde_json::{json, Value};

use crate::load::{open, Load};
use crate::process::{cpu, tell, usage};

/// Messages whose time is taken together: their median is the rate without waits for the disk, the longest one such a wait.
const SLICE: u64 = 1000;

/// Runs the task of this name; its numbers are those that [`crate::parts`] passes.
pub fn run(task: &str, dir: &Path, numbers: &[u64]) -> Result<(), String> {
    match (task, numbers) {
        ("fill", [queues, body, count, then_close]) => fill(dir, *queues, *body, *count, *then_close == 1),
        ("start", []) => start(dir),
        ("long", [messages]) => long(dir, *messages),
        ("cold", [topics, messages]) => crate::cold::run(dir, *topics, *messages),
        _ => Err(format!("no task {task} with {} numbers", numbers.len())),
    }
}

/// Opens the store, tells how long that took, and closes it.
fn start(dir: &Path) -> Result<(), String> {
    let began = Instant::now();
    let store = open(dir, FlushMode::Async)?;
    let took = began.elapsed();
    let report = store.recovery_report().clone();
    tell(&with(
        usage(),
        json!({
            "start_ms": took.as_secs_f64() * 1e3,
            "checked": report.records_checked,
            "rebuilt": report.entries_rebuilt,
        }),
    ));
    store.close().map_err(|e| e.to_string())
}

/// Appends, tells the rate, and ends in order or goes on appending until it is killed.
fn fill(dir: &Path, queues: u64, body: u64, count: u64, then_close: bool) -> Result<(), String> {
    let mut store = open(dir, FlushMode::Async)?;
    let mut load = Load::new(queues, body as usize);
    let mut made_s = 0.0;
    if store.max_physical_offset() == 0 {
        // Directories and files are made, and brought to disk, before the clock runs.
        let began = Instant::now();
        load.one_for_each(&store)?;
        store.close().map_err(|e| e.to_string())?;
        made_s = began.elapsed().as_secs_f64();
        store = open(dir, FlushMode::Async)?;
    }
    let before = store.max_physical_offset();
    let (began, cpu_before) = (Instant::now(), cpu());
    let mut slices = Vec::new();
    let mut left = count;
    while left > 0 {
        let (slice, began) = (left.min(SLICE), Instant::now());
        load.many(&store, slice)?;
        slices.push(began.elapsed().as_secs_f64() * 1e3 * (SLICE as f64 / slice as f64));
        left -= slice;
    }
    let (took, cpu_after) = (began.elapsed().as_secs_f64(), cpu());
    slices.sort_unstable_by(f64::total_cmp);
    let written = (store.max_physical_offset() - before) as f64;
    let each_us = |seconds: f64| seconds * 1e6 / count as f64;
    let rates = json!({
        "per_s": count as f64 / took,
        "mb_per_s": written / 1e6 / took,
        "usual_per_s": slices.get(slices.len() / 2).map_or(0.0, |ms| SLICE as f64 * 1e3 / ms),
        "longest_ms": slices.last().copied().unwrap_or(0.0),
        "cpu_us": each_us(cpu_after.0 - cpu_before.0),
        "background_cpu_us": each_us(cpu_after.1 - cpu_before.1),
        "made_s": made_s,
    });
    tell(&with(usage(), rates));
    if !then_close {
        loop {
            load.many(&store, 10_000)?;
        }
    }
    let began = Instant::now();
    store.close().map_err(|e| e.to_string())?;
    tell(&json!({ "close_ms": began.elapsed().as_secs_f64() * 1e3 }));
    Ok(())
}

/// Appends while a consumer, who begins when a tenth is there, reads everything; tells the rates of each tenth.
fn long(dir: &Path, messages: u64) -> Result<(), String> {
    let store = open(dir, FlushMode::Async)?;
    let (sent, read, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            while sent.load(Ordering::Relaxed) < messages / 10 && !over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
            consume(&store, messages, &read, &over)
        });
        let produced = produce(&store, messages, &sent, &read);
        over.store(produced.is_err(), Ordering::Relaxed);
        let began = (Instant::now(), read.load(Ordering::Relaxed));
        let consumed = consumer.join().map_err(|_| "the consumer panicked".to_owned())?;
        let (took, behind) = (began.0.elapsed().as_secs_f64(), messages - began.1);
        tell(&json!({ "caught_up_after_s": took, "read_per_s_alone": behind as f64 / took.max(1e-9) }));
        produced.and(consumed)
    })?;
    let began = Instant::now();
    store.close().map_err(|e| e.to_string())?;
    tell(&json!({ "close_ms": began.elapsed().as_secs_f64() * 1e3 }));
    Ok(())
}

fn produce(store: &Store, messages: u64, sent: &AtomicU64, read: &AtomicU64) -> Result<(), String> {
    let mut load = Load::new(8, 128).slim();
    for _ in 0..10 {
        let (began, read_before) = (Instant::now(), read.load(Ordering::Relaxed));
        for _ in 0..messages / 10_000 {
            load.many(store, 1000)?;
            sent.fetch_add(1000, Ordering::Relaxed);
        }
        let took = began.elapsed().as_secs_f64();
        let consumed = (read.load(Ordering::Relaxed) - read_before) as f64;
        let figures = json!({ "per_s": (messages / 10) as f64 / took, "read_per_s": consumed / took });
        tell(&with(usage(), figures));
    }
    Ok(())
}

/// Reads the queues in turn until all messages were read, and checks that none is missing.
fn consume(store: &Store, messages: u64, read: &AtomicU64, over: &AtomicBool) -> Result<(), String> {
    let load = Load::new(8, 0);
    let mut next = vec![0; load.queues_of_each() as usize];
    let topic = &load.topics()[0];
    while read.load(Ordering::Relaxed) < messages / 10_000 * 10_000 && !over.load(Ordering::Relaxed) {
        let mut idle = true;
        for (queue_id, offset) in (0..).zip(&mut next) {
            let get = Get { topic, queue_id, offset: *offset, max_count: 32, max_bytes: 1 << 20 };
            let got = store.get(&get, &());
            if got.status == GetStatus::Found {
                if got.next_offset != *offset + got.count as i64 {
                    return Err(format!("queue {queue_id} lacks messages behind {offset}"));
                }
                // As a broker's network would, each byte is looked at.
                let touched: u64 =
                    got.records.iter().flat_map(|run| run.chunks(64)).map(|line| u64::from(line[0])).sum();
                std::hint::black_box(touched);
                *offset = got.next_offset;
                read.fetch_add(got.count as u64, Ordering::Relaxed);
                idle = false;
            }
        }
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn with(mut figures: Value, more: Value) -> Value {
    if let (Some(figures), Value::Object(more)) = (figures.as_object_mut(), more) {
        figures.extend(more);
    }
    figures
}
