//! Bringing the log to disk, and telling those who wait for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::log::Tail;
use super::signal::Signal;
use super::types::{Durability, WriteState};
use super::{Core, FlushMode};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

type Done = Box<dyn FnOnce(Durability) + Send>;

/// Those who wait for a flush.
#[derive(Default)]
pub(crate) struct Waiters {
    list: Mutex<Vec<Waiter>>,
    /// Length of the list.
    count: AtomicUsize,
    /// Raised when the flush thread has something to do.
    pub wanted: Signal,
    /// Raised when there is a deadline to watch again.
    pub watched: Signal,
    /// Someone watches deadlines.
    pub watching: AtomicBool,
    /// Held while the log is synced.
    flushing: Mutex<()>,
}

struct Waiter {
    end: i64,
    deadline_ms: i64,
    done: Done,
}

impl Core {
    /// Calls `done` once, when everything before the commit-log offset `end` is on disk, or cannot be brought there, or
    /// is not there after `sync_flush_timeout_ms`. Under ASYNC_FLUSH this hurries the flush. `done` runs on the flush
    /// thread, or here if the answer is known; it must not block.
    pub fn when_durable(&self, end: i64, done: Done) {
        if self.log.flushed.load(Ordering::Acquire) >= end {
            return done(Durability::Flushed);
        }
        if self.log.is_broken() {
            let reason = self.log.tail.lock().broken.clone();
            return done(Durability::Failed(reason.unwrap_or_default()));
        }
        let deadline_ms = self.clock.now_ms() + self.options.sync_flush_timeout_ms as i64;
        {
            let mut list = self.waiters.list.lock();
            list.push(Waiter { end, deadline_ms, done });
            self.waiters.count.store(list.len(), Ordering::Relaxed);
        }
        if !self.waiters.watching.swap(true, Ordering::AcqRel) {
            self.waiters.watched.raise();
        }
        self.waiters.wanted.raise();
        if self.stopping.load(Ordering::Acquire) {
            // The flush thread may have done its last round, before this came into the list.
            let _told = self.flush_log();
        }
    }

    /// Whether an append is acknowledged at once or after [`Core::when_durable`].
    pub fn flush_mode(&self) -> FlushMode {
        self.options.flush_mode
    }

    /// Brings to disk everything that was appended before the call.
    pub fn flush(&self) -> Result<()> {
        let result = self.flush_log();
        self.dispatch();
        result.map_err(|reason| Error::new(ErrorKind::NotWritable, "flush", reason))
    }

    /// Syncs the log and tells those who waited. After a failure nothing is synced any more: what the failed call
    /// left unwritten, the next one would not tell.
    pub(crate) fn flush_log(&self) -> std::result::Result<(), String> {
        let result = {
            let _one_at_a_time = self.waiters.flushing.lock();
            self.sync_log()
        };
        match &result {
            Ok(()) => {
                self.tell_durable();
                self.give_back();
            }
            Err(reason) => self.tell_failed(reason),
        }
        result
    }

    fn sync_log(&self) -> std::result::Result<(), String> {
        let (end, time) = {
            let tail = self.log.tail.lock();
            if let Some(reason) = &tail.broken {
                return Err(reason.clone());
            }
            (self.log.end(), tail.last_store_timestamp)
        };
        let from = self.log.flushed.load(Ordering::Acquire);
        if from >= end {
            return Ok(());
        }
        for segment in self.log.segments.overlapping(from, end) {
            if let Err(error) = segment.sync() {
                let reason = format!("sync of {} failed: {error}", segment.path.display());
                self.fail(reason.clone());
                return Err(reason);
            }
        }
        self.saved.log_ms.store(time, Ordering::Release);
        self.log.flushed.fetch_max(end, Ordering::AcqRel);
        Ok(())
    }

    fn tell_durable(&self) {
        let flushed = self.log.flushed.load(Ordering::Acquire);
        let ready = self.take_waiters(|waiter| waiter.end <= flushed);
        ready.into_iter().for_each(|waiter| (waiter.done)(Durability::Flushed));
    }

    fn tell_failed(&self, reason: &str) {
        let all = self.take_waiters(|_| true);
        all.into_iter().for_each(|waiter| (waiter.done)(Durability::Failed(reason.to_owned())));
    }

    fn take_waiters(&self, which: impl Fn(&Waiter) -> bool) -> Vec<Waiter> {
        let mut list = self.waiters.list.lock();
        if list.iter().all(&which) {
            self.waiters.count.store(0, Ordering::Relaxed);
            return std::mem::take(&mut *list);
        }
        let (ready, left) = std::mem::take(&mut *list).into_iter().partition(which);
        *list = left;
        self.waiters.count.store(list.len(), Ordering::Relaxed);
        ready
    }

    /// How many wait for a flush.
    pub fn waiting_for_flush(&self) -> usize {
        self.waiters.count.load(Ordering::Relaxed)
    }

    /// For how long the first of those who wait for a flush has waited, ms; 0 if nobody does.
    pub fn longest_wait_for_flush_ms(&self) -> i64 {
        // They come in order, and all wait equally long at most.
        let first = self.waiters.list.lock().first().map(|waiter| waiter.deadline_ms);
        let timeout_ms = self.options.sync_flush_timeout_ms as i64;
        first.map_or(0, |deadline_ms| (self.clock.now_ms() + timeout_ms - deadline_ms).max(0))
    }

    /// For how long an append has held the log so that the others wait for it in vain, ms; 0 while appends go on.
    pub fn log_stuck_for_ms(&self) -> i64 {
        self.log.stuck_for_ms()
    }

    /// Tells those whose time is over; what they wait for becomes visible, as they are told that it is stored. Returns
    /// the next deadline.
    pub(crate) fn tell_timed_out(&self) -> Option<i64> {
        let now = self.clock.now_ms();
        let late = self.take_waiters(|waiter| waiter.deadline_ms <= now);
        if let Some(end) = late.iter().map(|waiter| waiter.end).max() {
            self.log.timed_out.fetch_max(end, Ordering::AcqRel);
            late.into_iter().for_each(|waiter| (waiter.done)(Durability::TimedOut));
            self.dispatch();
        }
        self.waiters.list.lock().iter().map(|waiter| waiter.deadline_ms).min()
    }

    /// Turns the store read-only for good, and says why to everyone who asks.
    pub(crate) fn fail(&self, reason: String) {
        let mut tail = self.log.tail.lock();
        self.log.break_with(&mut tail, reason);
    }

    /// Whether the store takes writes. Waits as long as an append may for one that holds the log, and not longer.
    pub fn state(&self) -> WriteState {
        let reason = match self.log.look() {
            Some(tail) => refusal(&tail),
            None => Some("a write that was begun before has not ended; others wait for it".to_owned()),
        };
        reason.map_or(WriteState::Writable, |reason| WriteState::ReadOnly { reason })
    }
}

fn refusal(tail: &Tail) -> Option<String> {
    let closed = tail.closed.then(|| "the store is closed".to_owned());
    let passing = || tail.crowded.clone().or_else(|| tail.unwritten.clone()).or_else(|| tail.full.clone());
    tail.broken.clone().or(closed).or_else(passing)
}
