//! Counters of a broker, and the rates that operators ask for (code 28). Apache's names: BrokerStats, StoreStatsService.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// One sample every 10 s, enough of them for a ten-minute rate.
const SAMPLES: usize = 61;

/// The counters. All methods from any thread.
#[derive(Default)]
pub(crate) struct Stats {
    put_messages: AtomicU64,
    put_bytes: AtomicU64,
    put_failures: AtomicU64,
    got_messages: AtomicU64,
    got_bytes: AtomicU64,
    got_calls: AtomicU64,
    sent_back: AtomicU64,
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Clone, Copy)]
struct Sample {
    at_ms: i64,
    put: u64,
    got: u64,
    calls: u64,
}

/// What a broker did since its start.
pub(crate) struct Totals {
    pub put_messages: u64,
    pub put_bytes: u64,
    pub put_failures: u64,
    pub got_messages: u64,
}

/// Rates per second over ten seconds, a minute and ten minutes, as the text that Apache's tools split.
pub(crate) struct Rates {
    pub put: String,
    pub got: String,
    pub got_calls: String,
}

impl Stats {
    /// Messages were stored.
    pub fn put(&self, messages: usize, bytes: usize) {
        self.put_messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.put_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A message was refused by the store.
    pub fn put_failed(&self) {
        self.put_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages were handed to a group.
    pub fn got(&self, _group: &str, messages: usize, bytes: usize) {
        self.got_messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.got_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.got_calls.fetch_add(1, Ordering::Relaxed);
    }

    /// A consumer sent a message back.
    pub fn sent_back(&self) {
        self.sent_back.fetch_add(1, Ordering::Relaxed);
    }

    /// The totals.
    pub fn totals(&self) -> Totals {
        Totals {
            put_messages: self.put_messages.load(Ordering::Relaxed),
            put_bytes: self.put_bytes.load(Ordering::Relaxed),
            put_failures: self.put_failures.load(Ordering::Relaxed),
            got_messages: self.got_messages.load(Ordering::Relaxed),
        }
    }

    /// Takes a sample. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        let mut samples = self.samples.lock();
        samples.push_back(self.now(now_ms));
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    fn now(&self, now_ms: i64) -> Sample {
        Sample {
            at_ms: now_ms,
            put: self.put_messages.load(Ordering::Relaxed),
            got: self.got_messages.load(Ordering::Relaxed),
            calls: self.got_calls.load(Ordering::Relaxed),
        }
    }

    /// The rates up to now.
    pub fn rates(&self, now_ms: i64) -> Rates {
        let samples = self.samples.lock();
        let now = self.now(now_ms);
        let text = |count: fn(&Sample) -> u64| {
            let over = |back: usize| match samples
                .len()
                .checked_sub(back)
                .or(Some(0))
                .and_then(|at| samples.get(at))
            {
                Some(then) if now.at_ms > then.at_ms => {
                    (count(&now) - count(then)) as f64 * 1000.0 / (now.at_ms - then.at_ms) as f64
                }
                _ => 0.0,
            };
            format!("{:.3} {:.3} {:.3}", over(1), over(6), over(60))
        };
        Rates { put: text(|s| s.put), got: text(|s| s.got), got_calls: text(|s| s.calls) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_cover_ten_seconds_a_minute_and_ten_minutes() {
        let stats = Stats::default();
        assert_eq!(stats.rates(0).put, "0.000 0.000 0.000");
        for second in 0..7 {
            stats.sample(second * 10_000);
            stats.put(if second == 6 { 100 } else { 10 }, 0);
        }
        // 100 in the last ten seconds; 150 in the last minute; 160 in the 70 s there are.
        assert_eq!(stats.rates(70_000).put, "10.000 2.500 2.286");
        assert_eq!(stats.totals().put_messages, 160);
    }
}
