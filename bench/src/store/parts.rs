//! What is measured. Each step is a process of its own, so that memory and descriptors are its own, too.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ferromq::store::FlushMode;
use serde_json::{json, Value};

use crate::load::{open, Load};
use crate::process::Running;
use crate::show;

/// Rounds in turn, so that a noisy moment hits all numbers of queues alike; the median counts.
pub fn queues(dir: &Path, messages: u64, rounds: usize) -> Result<Value, String> {
    let mut figures = Vec::new();
    let numbers = [8, 1_000, 50_000];
    let mut rates = vec![Vec::new(); numbers.len()];
    for round in 0..rounds {
        for (queues, rates) in numbers.into_iter().zip(&mut rates) {
            let mut filled = filled(dir, queues, 128, messages, true)?;
            rates.push(filled["per_s"].as_f64().unwrap_or(0.0));
            if round + 1 == rounds {
                rates.sort_unstable_by(f64::total_cmp);
                filled["per_s"] = json!(rates[rates.len() / 2]);
                figures.push(show(&format!("{queues} queues"), filled));
                figures.push(show("  start", started(dir)?));
                let killed = killed(dir, queues, 128, messages / 4)?;
                figures.push(show("  start after kill -9", killed));
            }
            clean(dir)?;
        }
    }
    Ok(json!(figures))
}

/// One round of many messages, each number of queues in a directory of its own.
pub fn steady(dir: &Path, messages: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    for queues in [8, 1_000, 50_000] {
        let name = format!("{queues} queues, {:.1} M", messages as f64 / 1e6);
        figures.push(show(&name, filled(dir, queues, 128, messages, true)?));
        figures.push(show("  start", started(dir)?));
        clean(dir)?;
    }
    Ok(json!(figures))
}

/// A log of so many MB, of messages of 1 KiB.
pub fn restart(dir: &Path, megabytes: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    for queues in [8, 1_000] {
        let filled = filled(dir, queues, 1024, megabytes * 1_000_000 / 1_300, true)?;
        figures.push(show(&format!("{megabytes} MB, {queues} queues"), filled));
        figures.push(show("  start", started(dir)?));
        figures.push(show("  start after kill -9", killed(dir, queues, 1024, 500_000)?));
        figures.push(show("  start once more", started(dir)?));
        clean(dir)?;
    }
    Ok(json!(figures))
}

fn filled(dir: &Path, queues: u64, body: u64, messages: u64, then_close: bool) -> Result<Value, String> {
    let mut child = Running::start("fill", dir, &[queues, body, messages, u64::from(then_close)])?;
    let mut figures = child.next()?;
    figures["close_ms"] = child.next()?["close_ms"].clone();
    child.end()?;
    Ok(figures)
}

fn started(dir: &Path) -> Result<Value, String> {
    let mut child = Running::start("start", dir, &[])?;
    let figures = child.next()?;
    child.end()?;
    Ok(figures)
}

/// Kills a process that is appending, and starts again.
fn killed(dir: &Path, queues: u64, body: u64, messages: u64) -> Result<Value, String> {
    let mut child = Running::start("fill", dir, &[queues, body, messages, 0])?;
    child.next()?;
    std::thread::sleep(Duration::from_millis(500));
    drop(child);
    started(dir)
}

/// So many MB with bodies of several sizes, synced in the end, and as much by dd.
pub fn disk(dir: &Path, megabytes: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    for body in [1 << 10, 16 << 10, 128 << 10, 1 << 20] {
        let store = open(dir, FlushMode::Async)?;
        let mut load = Load::new(8, body);
        let count = megabytes * 1_000_000 / body as u64;
        let began = Instant::now();
        load.many(&store, count)?;
        let appended = began.elapsed().as_secs_f64();
        store.flush().map_err(|e| e.to_string())?;
        let synced = began.elapsed().as_secs_f64();
        let mb = store.max_physical_offset() as f64 / 1e6;
        store.close().map_err(|e| e.to_string())?;
        let rates = json!({ "mb_per_s": mb / appended, "mb_per_s_synced": mb / synced });
        figures.push(show(&format!("bodies of {} KiB", body >> 10), rates));
        clean(dir)?;
    }
    std::fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    let began = Instant::now();
    let (to, count) = (format!("of={}", dir.join("dd").display()), format!("count={megabytes}"));
    let dd = Command::new("dd")
        .args(["if=/dev/zero", &to, "bs=1MB", &count, "conv=fdatasync", "status=none"])
        .status();
    if dd.is_ok_and(|status| status.success()) {
        figures
            .push(show("dd", json!({ "mb_per_s_synced": megabytes as f64 / began.elapsed().as_secs_f64() })));
    }
    clean(dir)?;
    Ok(json!(figures))
}

/// Many messages of 128 B, a consumer behind, and the starts afterwards.
pub fn long(dir: &Path, messages: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    let mut child = Running::start("long", dir, &[messages])?;
    for tenth in 1..=10 {
        figures.push(show(&format!("{} M messages", messages / 10 * tenth / 1_000_000), child.next()?));
    }
    for _ in 0..2 {
        figures.push(show("  end", child.next()?));
    }
    child.end()?;
    figures.push(show("  start", started(dir)?));
    figures.push(show("  start after kill -9", killed(dir, 8, 128, 1_000_000)?));
    Ok(json!(figures))
}

/// So many MB of messages that are in no cache, in 1, 100 and 10,000 topics, read while others send and read.
pub fn cold(dir: &Path, megabytes: u64) -> Result<Value, String> {
    let mut figures = Vec::new();
    for topics in [1, 100, 10_000] {
        let mut child = Running::start("cold", dir, &[topics, megabytes * 1_000_000 / 1_300])?;
        figures.push(show(&format!("{megabytes} MB, {topics} topics"), child.next()?));
        child.end()?;
        clean(dir)?;
    }
    Ok(json!(figures))
}

fn clean(dir: &Path) -> Result<(), String> {
    std::fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}
