//! The one clock of a process: wall time in milliseconds, and timed waiting. Tests can move it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::{Condvar, Mutex};

/// Wall clock in milliseconds since 1970 that everything with a timer asks. Cheap to clone; clones share the offset
/// that [`Clock::advance`] moves.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Milliseconds by which tests moved this clock ahead of the system's.
    offset: AtomicI64,
    /// Where the clock stands but for that; 0 if it goes with the system's.
    stands_at: i64,
    /// Counts the wake-ups, so that one between a waiter's look and its sleep is not lost.
    wakes: Mutex<u64>,
    woken: Condvar,
}

impl Clock {
    /// A clock that shows the system's time.
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock that goes on only when it is moved. For tests.
    #[cfg(test)]
    pub(crate) fn standing() -> Self {
        Clock { shared: Arc::new(Shared { stands_at: system_ms(), ..Shared::default() }) }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        let base = if self.shared.stands_at > 0 { self.shared.stands_at } else { system_ms() };
        base + self.shared.offset.load(Ordering::Acquire)
    }

    /// Moves the clock forward and wakes every [`Clock::wait_until`]. For tests.
    pub fn advance(&self, by: Duration) {
        self.shared.offset.fetch_add(by.as_millis() as i64, Ordering::AcqRel);
        self.wake();
    }

    /// Sets the clock back, and wakes nobody. For tests.
    #[cfg(test)]
    pub(crate) fn set_back(&self, by: Duration) {
        self.shared.offset.fetch_sub(by.as_millis() as i64, Ordering::AcqRel);
    }

    /// Waits until the clock shows `deadline_ms` or has been set back and the time until then has passed, or `interrupted` says so when [`Clock::wake`] is called. Returns
    /// whether the deadline has come. No lock of the clock is held while `interrupted` runs, so it may take its own.
    pub fn wait_until(&self, deadline_ms: i64, interrupted: impl Fn() -> bool) -> bool {
        loop {
            let seen = *self.shared.wakes.lock();
            let left = deadline_ms.saturating_sub(self.now_ms());
            if left <= 0 {
                return true;
            }
            if interrupted() {
                return false;
            }
            let mut wakes = self.shared.wakes.lock();
            if *wakes == seen {
                let wait = Duration::from_millis(left as u64);
                if self.shared.woken.wait_for(&mut wakes, wait).timed_out() {
                    return true;
                }
            }
        }
    }

    /// Wakes all waits so that they look at their `interrupted` condition again (at shutdown, or when an earlier
    /// deadline was added). The condition must have been made true before the call.
    pub fn wake(&self) {
        *self.shared.wakes.lock() += 1;
        self.shared.woken.notify_all();
    }
}

/// The time in `wait` from now: a time limit of the system's time, whatever clock there is.
pub(crate) fn deadline_in(wait: Duration) -> Instant {
    deadline_after(Instant::now(), wait)
}

/// The time in `wait` from `now`.
pub(crate) fn deadline_after(now: Instant, wait: Duration) -> Instant {
    // A wait that is too long to be told means no limit in practice: a century.
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(3_155_760_000))
}

fn system_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_moved_clock_ends_a_long_wait() {
        let clock = Clock::new();
        let deadline = clock.now_ms() + 3_600_000;
        let waiter = std::thread::spawn({
            let clock = clock.clone();
            move || clock.wait_until(deadline, || false)
        });
        clock.advance(Duration::from_secs(3601));
        assert!(waiter.join().unwrap());
    }

    #[test]
    fn a_condition_may_take_a_lock_that_who_wakes_holds() {
        let (clock, list) = (Clock::new(), Arc::new(Mutex::new(Vec::new())));
        let waiter = std::thread::spawn({
            let (clock, list) = (clock.clone(), list.clone());
            move || {
                for n in 1..=10_000 {
                    clock.wait_until(i64::MAX, || list.lock().len() >= n);
                }
            }
        });
        for n in 0..10_000 {
            let mut list = list.lock();
            list.push(n);
            clock.wake();
        }
        waiter.join().unwrap();
    }

    #[test]
    fn wake_lets_a_waiter_see_its_interruption() {
        let clock = Clock::new();
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = std::thread::spawn({
            let (clock, stop) = (clock.clone(), stop.clone());
            move || clock.wait_until(i64::MAX / 2, || stop.load(Ordering::Relaxed))
        });
        stop.store(true, Ordering::Relaxed);
        clock.wake();
        assert!(!waiter.join().unwrap());
    }
}
