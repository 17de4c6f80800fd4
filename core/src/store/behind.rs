//! Memory behind the log's tail: pages that are on the disk and that nobody reads go back to the system, which gives the same
//! ones to what is appended next. Memory that was never touched, or that a hypervisor took back, costs many times more.

use std::sync::atomic::{AtomicI64, Ordering};

use super::Core;
use crate::sync::Mutex;

/// Pages are given back in whole pieces of this size, within a file.
const PIECE: i64 = 2 << 20;
/// Bytes that wait for the disk before a flush is asked for, in shares of what stays in memory.
const FLUSH_SHARE: i64 = 4;
/// Who read within this time, ms, is taken to go on reading.
const ACTIVE_MS: i64 = 5_000;
/// Nobody reads.
const NOBODY: i64 = i64::MAX;

/// What stays in memory of the log, and who reads there.
pub(crate) struct Behind {
    /// Bytes behind the end that stay in memory; 0 if all may.
    keep: i64,
    /// What lies before was given back.
    given_back: Mutex<i64>,
    /// Readers before this offset, and not before the other, hold up what lies before them.
    near: AtomicI64,
    far: AtomicI64,
    /// Where they read first, in this stretch of time, which began then, and in the one before.
    lowest: AtomicI64,
    lowest_before: AtomicI64,
    began_ms: AtomicI64,
}

impl Behind {
    pub fn new(keep: u64) -> Behind {
        Behind {
            keep: i64::try_from(keep).unwrap_or(i64::MAX),
            given_back: Mutex::new(0),
            near: AtomicI64::new(i64::MIN),
            far: AtomicI64::new(0),
            lowest: AtomicI64::new(NOBODY),
            lowest_before: AtomicI64::new(NOBODY),
            began_ms: AtomicI64::new(0),
        }
    }

    /// What was there before the start is left alone.
    pub fn resume(&self, end: i64) {
        *self.given_back.lock() = end;
    }

    /// Somebody reads the log from here on.
    pub fn note_reader(&self, offset: i64) {
        if offset < self.near.load(Ordering::Relaxed)
            && offset < self.lowest.load(Ordering::Relaxed)
            && offset >= self.far.load(Ordering::Relaxed)
        {
            self.lowest.fetch_min(offset, Ordering::Relaxed);
        }
    }

    /// Where the first of the active readers is.
    fn first_reader(&self, now_ms: i64) -> i64 {
        let lowest = self.lowest.load(Ordering::Relaxed);
        let first = lowest.min(self.lowest_before.load(Ordering::Relaxed));
        if !(0..ACTIVE_MS).contains(&(now_ms - self.began_ms.load(Ordering::Relaxed))) {
            self.began_ms.store(now_ms, Ordering::Relaxed);
            self.lowest_before.store(self.lowest.swap(NOBODY, Ordering::Relaxed), Ordering::Relaxed);
        }
        first
    }
}

impl Core {
    /// Whether so much waits for the disk that memory is not given back fast enough.
    pub(crate) fn holds_too_much(&self) -> bool {
        let keep = self.behind.keep;
        keep > 0 && self.log.end() - self.log.flushed.load(Ordering::Acquire) > keep / FLUSH_SHARE
    }

    /// Gives back what may go. Only after a sync that succeeded: what it did not bring to the disk is nowhere else.
    pub(crate) fn give_back(&self) {
        let behind = &self.behind;
        if behind.keep == 0 {
            return;
        }
        let Some(mut from) = behind.given_back.try_lock() else { return };
        let flushed = self.log.flushed.load(Ordering::Acquire);
        let keep_from = flushed - behind.keep;
        behind.near.store(keep_from + behind.keep / 2, Ordering::Relaxed);
        // Who is so far behind reads from the disk anyway.
        behind.far.store(flushed - self.memory_reach, Ordering::Relaxed);
        let to = keep_from.min(behind.first_reader(self.clock.now_ms()));
        for segment in self.log.segments.overlapping(*from, to) {
            let first = (*from - segment.base).max(0) / PIECE * PIECE;
            let behind = match to >= segment.end() {
                true => segment.map.len() as i64,
                false => (to - segment.base) / PIECE * PIECE,
            };
            if first < behind {
                segment.give_back(first as usize, (behind - first) as usize);
                *from = segment.base + behind;
            }
        }
    }
}

#[cfg(test)]
#[path = "behind_tests.rs"]
mod tests;
