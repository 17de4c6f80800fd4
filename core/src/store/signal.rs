//! How a thread with something to do is told so, without cost while it is awake or nothing changed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::{Condvar, Mutex};

/// A flag that one thread waits for. Raising it again before it was seen costs one atomic exchange.
#[derive(Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    /// Wakes the waiting thread, or keeps it from falling asleep.
    pub fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            let _ordered = self.lock.lock();
            self.changed.notify_all();
        }
    }

    /// Whether the thread is still to look. For who holds a lock that the thread takes for its look: raising it again
    /// would tell nothing new then.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Waits until raised, and lowers the flag.
    pub fn wait(&self) {
        let mut lock = self.lock.lock();
        while !self.raised.swap(false, Ordering::AcqRel) {
            self.changed.wait(&mut lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_raised_is_lost() {
        let (there, back) = (Arc::new(Signal::default()), Arc::new(Signal::default()));
        let echo = std::thread::spawn({
            let (there, back) = (there.clone(), back.clone());
            move || {
                for _ in 0..10_000 {
                    there.wait();
                    back.raise();
                }
            }
        });
        for _ in 0..10_000 {
            there.raise();
            back.wait();
        }
        echo.join().unwrap();
    }
}
