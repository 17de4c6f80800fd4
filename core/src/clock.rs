//! The one clock of a process: wall time in milliseconds, and timed waiting. Tests can move it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};

/// Wall clock in milliseconds since 1970 that everything with a timer asks. Cheap to clone; clones share the offset
/// that [`Clock::advance`] moves.
#[derive(Clone, Default)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Milliseconds by which tests moved this clock ahead of the system's.
    offset: Mutex<i64>,
    moved: Condvar,
}

impl Clock {
    /// A clock that shows the system's time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        system_ms() + *self.shared.offset.lock()
    }

    /// Moves the clock forward and wakes every [`Clock::wait_until`]. For tests.
    pub fn advance(&self, by: Duration) {
        *self.shared.offset.lock() += by.as_millis() as i64;
        self.shared.moved.notify_all();
    }

    /// Waits until the clock shows `deadline_ms`, or is moved, or `interrupted` says so when [`Clock::wake`] is called.
    /// Returns whether the deadline has come. Spurious returns with `false` are possible.
    pub fn wait_until(&self, deadline_ms: i64, interrupted: impl Fn() -> bool) -> bool {
        let mut offset = self.shared.offset.lock();
        loop {
            let left = deadline_ms - (system_ms() + *offset);
            if left <= 0 {
                return true;
            }
            if interrupted() {
                return false;
            }
            self.shared.moved.wait_for(&mut offset, Duration::from_millis(left as u64));
        }
    }

    /// Wakes all waits so that they look at their `interrupted` condition again (at shutdown, or when an earlier
    /// deadline was added). The condition must have been made true before the call.
    pub fn wake(&self) {
        // Taking the lock orders the caller's change before the waiter's next look.
        let _ordered = self.shared.offset.lock();
        self.shared.moved.notify_all();
    }
}

fn system_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

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
