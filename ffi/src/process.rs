//! What a process has for itself: a child of fork() makes it anew, as a lock that a thread of its parent held at that moment
//! is never released in it.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::Once;

static FORKS: AtomicUsize = AtomicUsize::new(0);

/// How many forks this process is away from the first.
pub(crate) fn forks() -> usize {
    count_forks();
    FORKS.load(Ordering::Relaxed)
}

#[cfg(unix)]
fn count_forks() {
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function may be called at any time in a child; it only adds to an atomic.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        if failed != 0 {
            tracing::error!("forks are not noticed: pthread_atfork returned {failed}");
        }
    });
}

#[cfg(not(unix))]
fn count_forks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {});
}

/// A value that each process of a line of forks has its own of. Those of its parents stay in memory.
pub(crate) struct Own<T> {
    newest: AtomicPtr<Made<T>>,
}

struct Made<T> {
    forks: usize,
    value: T,
}

impl<T: Sync + 'static> Own<T> {
    pub const fn new() -> Own<T> {
        Own { newest: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The value of this process, made of its parent's, if that had one, when it is first asked for.
    pub fn of(&'static self, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
        self.after(forks(), make)
    }

    fn after(&'static self, forks: usize, make: impl FnOnce(Option<&'static T>) -> T) -> &'static T {
        let current = self.newest.load(Ordering::Acquire);
        // SAFETY: what was made is never freed.
        let before = unsafe { current.as_ref() };
        if let Some(made) = before.filter(|made| made.forks == forks) {
            return &made.value;
        }
        let made = Made { forks, value: make(before.map(|made| &made.value)) };
        let made = Box::into_raw(Box::new(made));
        match self.newest.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &(*made).value },
            Err(others) => {
                // SAFETY: nobody else has seen it; as above.
                unsafe {
                    drop(Box::from_raw(made));
                    &(*others).value
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_process_has_one_value_and_its_child_makes_its_own() {
        static NUMBER: Own<Mutex<u32>> = Own::new();
        let make = |parents: Option<&'static Mutex<u32>>| {
            Mutex::new(parents.and_then(|parents| Some(*parents.try_lock().ok()? + 1)).unwrap_or(1))
        };
        let first = NUMBER.of(make);
        assert_eq!(*first.lock().unwrap(), 1);
        assert!(std::ptr::eq(first, NUMBER.of(make)));
        let child = NUMBER.after(forks() + 1, make);
        assert_eq!(*child.lock().unwrap(), 2);
        let held = child.lock().unwrap();
        let grandchild = NUMBER.after(forks() + 2, make);
        assert_eq!(*grandchild.lock().unwrap(), 1, "whose lock was held is not asked");
        drop(held);
    }
}
