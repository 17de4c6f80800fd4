//! Locks: the standard library's, without poisoning, so that a panic under a lock is nobody else's.
//!
//! They are words in memory and nothing else. Locks that keep their waiting threads in a table of the process (parking_lot's)
//! leave a forked child with a table of threads that are not there, on whose stacks its own threads come to lie: a child
//! could not use a client of its own.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, PoisonError, TryLockError};
use std::time::{Duration, Instant};

pub use std::sync::RwLockReadGuard;

/// Looks at a lock before they are far between, and how far they are then.
const SPINS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_micros(50);

/// A lock that one has at a time.
#[derive(Default)]
pub struct Mutex<T: ?Sized>(sync::Mutex<T>);

/// Lets those have a lock who look for it; whoever gives it back and takes it again at once would always be first.
pub fn step_aside() {
    std::thread::sleep(4 * BETWEEN_LOOKS);
}

/// The lock, until it is dropped.
#[must_use = "the lock is given back at once"]
pub struct MutexGuard<'a, T: ?Sized>(
    /// `None` only while a [`Condvar`] has it.
    Option<sync::MutexGuard<'a, T>>,
);

impl<T> Mutex<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// What it guards, to keep.
    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The lock, if nobody has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(Some(guard))),
            Err(TryLockError::Poisoned(poisoned)) => Some(MutexGuard(Some(poisoned.into_inner()))),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The lock, if it can be had within so long. Looks again and again: for locks that are rarely held for long. Who
    /// takes it again and again has to [`step_aside`] between.
    pub fn try_lock_for(&self, limit: Duration) -> Option<MutexGuard<'_, T>> {
        let (mut start, mut looks) = (None, 0);
        loop {
            let locked = self.try_lock();
            if locked.is_some() || start.get_or_insert_with(Instant::now).elapsed() >= limit {
                return locked;
            }
            match looks < SPINS {
                true => std::thread::yield_now(),
                false => std::thread::sleep(BETWEEN_LOOKS),
            }
            looks += 1;
        }
    }

    /// What it guards: who has the lock for itself needs not take it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect(HELD)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect(HELD)
    }
}

const HELD: &str = "a guard has its lock but in a wait";

/// A lock that one has for writing, or several for reading.
#[derive(Default)]
pub struct RwLock<T: ?Sized>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock that nobody has.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody writes.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Waits for others to change what a lock guards. Waits may end early: what is waited for has to be looked at again.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

/// Why a wait with a time limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited(bool);

impl Waited {
    /// Whether the time was over.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// One that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    /// Gives the lock back until somebody notifies.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect(HELD);
        guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// As [`Condvar::wait`], for so long at most.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Duration) -> Waited {
        let held = guard.0.take().expect(HELD);
        let (held, waited) = self.0.wait_timeout(held, limit).unwrap_or_else(PoisonError::into_inner);
        guard.0 = Some(held);
        Waited(waited.timed_out())
    }

    /// As [`Condvar::wait`], until then at most.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> Waited {
        let left = deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Waited(true),
            false => self.wait_for(guard, left),
        }
    }

    /// Wakes one of those who wait.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_panic_under_a_lock_is_nobody_elses() {
        let (lock, many) = (Arc::new(Mutex::new(1)), Arc::new(RwLock::new(1)));
        let (own, both) = (lock.clone(), many.clone());
        let ended = std::thread::spawn(move || {
            let (mut one, mut other) = (own.lock(), both.write());
            (*one, *other) = (2, 2);
            panic!("a panic that a test wants");
        });
        assert!(ended.join().is_err());
        assert_eq!((*lock.lock(), *many.read()), (2, 2));
        assert!(lock.try_lock().is_some());
        assert_eq!(Arc::into_inner(lock).unwrap().into_inner(), 2);
    }

    #[test]
    fn who_steps_aside_lets_others_have_a_lock() {
        let both = Arc::new((Mutex::new(()), AtomicBool::new(false)));
        let other = both.clone();
        let thread = std::thread::spawn(move || {
            while !other.1.load(Ordering::Relaxed) {
                let held = other.0.lock();
                std::thread::sleep(Duration::from_millis(1));
                drop(held);
                step_aside();
            }
        });
        let had = (0..20).filter(|_| both.0.try_lock_for(Duration::from_secs(60)).is_some()).count();
        both.1.store(true, Ordering::Relaxed);
        thread.join().unwrap();
        assert_eq!(had, 20);
        let held = both.0.lock();
        assert!(both.0.try_lock_for(Duration::ZERO).is_none());
        drop(held);
    }

    #[test]
    fn waits_end_with_a_notice_or_their_time() {
        let both = Arc::new((Mutex::new(0), Condvar::new()));
        let mut count = both.0.lock();
        assert!(both.1.wait_until(&mut count, Instant::now()).timed_out());
        while !both.1.wait_for(&mut count, Duration::from_millis(1)).timed_out() {}
        let other = both.clone();
        let thread = std::thread::spawn(move || {
            *other.0.lock() += 1;
            other.1.notify_all();
        });
        while *count == 0 {
            both.1.wait(&mut count);
        }
        drop(count);
        thread.join().unwrap();
        assert!(both.0.try_lock().is_some());
    }
}
