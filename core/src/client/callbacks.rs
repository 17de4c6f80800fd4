//! Threads of a client for what must not be done on an event loop: users' callbacks, and errands that may block or are
//! to be done later. Made when first needed, as many as allowed, and joined when the client is closed.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

type Task = Box<dyn FnOnce() + Send>;

thread_local! {
    /// Whether this is a thread of a pool.
    static IS_POOLED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Threads that run tasks in the order they are given. A task that panics is logged and harms no other.
///
/// Nothing bounds the queue but who fills it: a task given is a task run, or dropped when the pool is closed.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    /// Tasks for later, by time and a number that tells those of one moment apart.
    later: BTreeMap<(Instant, u64), Task>,
    numbers: u64,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
    /// Threads that have not ended.
    alive: usize,
}

/// Names a task for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Appointment((Instant, u64));

impl Pool {
    /// A pool of at most `most` threads, at least one, called `name`.
    pub fn new(name: &'static str, most: usize) -> Pool {
        let (state, changed) = Default::default();
        Pool { shared: Arc::new(Shared { name, most: most.max(1), state, changed }) }
    }

    /// Whether the calling thread belongs to a pool: what blocks here may block who is waited for.
    pub fn is_current() -> bool {
        IS_POOLED.get()
    }

    /// Runs a task soon. Of a closed pool the task is dropped.
    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state.lock();
        if state.closed {
            // What a task holds may come back here when it is dropped.
            drop(state);
            return drop(task);
        }
        state.tasks.push_back(Box::new(task));
        let needed = state.tasks.len();
        self.shared.call_for(&mut state, needed);
    }

    /// Runs a task at a time to come, unless it is [cancelled](Pool::cancel).
    pub fn run_at(&self, at: Instant, task: impl FnOnce() + Send + 'static) -> Appointment {
        let mut state = self.shared.state.lock();
        let appointment = (at, state.numbers);
        state.numbers += 1;
        if state.closed {
            drop(state);
            drop(task);
            return Appointment(appointment);
        }
        state.later.insert(appointment, Box::new(task));
        if state.later.first_key_value().is_some_and(|(first, _)| *first == appointment) {
            self.shared.call_for(&mut state, 1);
        }
        Appointment(appointment)
    }

    /// Drops a task for later, if it has not begun.
    pub fn cancel(&self, Appointment(appointment): Appointment) {
        let task = self.shared.state.lock().later.remove(&appointment);
        drop(task);
    }

    /// Takes no further tasks, drops those for later, and waits until the others have run and the threads have ended,
    /// at most until `deadline`; says whether they have. On a thread of a pool it drops what has not begun and does not
    /// wait: the threads end when they can. May be called again.
    pub fn close(&self, deadline: Instant) -> bool {
        let from_within = Pool::is_current();
        let mut state = self.shared.state.lock();
        state.closed = true;
        let later = std::mem::take(&mut state.later);
        let dropped = if from_within { std::mem::take(&mut state.tasks) } else { VecDeque::new() };
        drop(state);
        drop(later);
        drop(dropped);
        self.shared.changed.notify_all();
        if from_within {
            return true;
        }
        let mut state = self.shared.state.lock();
        while state.alive > 0 {
            if self.shared.changed.wait_until(&mut state, deadline).timed_out() {
                let left: Vec<Task> = state.tasks.drain(..).collect();
                drop(state);
                drop(left);
                return false;
            }
        }
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        for thread in threads {
            // Tasks' panics are caught, so there is none to pass on.
            let _ = thread.join();
        }
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Not joined: this may be one of the threads, or an event loop that a task waits for.
        let mut state = self.shared.state.lock();
        state.closed = true;
        let left = (std::mem::take(&mut state.later), std::mem::take(&mut state.tasks));
        drop(state);
        drop(left);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// Sees to it that `needed` threads look for work, as far as allowed.
    fn call_for(self: &Arc<Self>, state: &mut State, needed: usize) {
        if needed > state.idle && state.alive < self.most {
            let shared = self.clone();
            match std::thread::Builder::new().name(self.name.into()).spawn(move || shared.work()) {
                Ok(thread) => {
                    state.alive += 1;
                    state.threads.push(thread);
                }
                Err(error) => tracing::error!("no further thread {}: {error}", self.name),
            }
        }
        self.changed.notify_one();
    }

    fn work(self: &Arc<Self>) {
        IS_POOLED.set(true);
        while let Some(task) = self.next() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(task)) {
                tracing::error!("a callback panicked: {}", panic_message(&*panic));
            }
        }
        self.state.lock().alive -= 1;
        self.changed.notify_all();
    }

    /// Waits for the next task; none when the pool is closed and empty.
    fn next(self: &Arc<Self>) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            while let Some(due) = state.later.first_entry().filter(|first| first.key().0 <= now) {
                let task = due.remove();
                state.tasks.push_back(task);
            }
            if let Some(task) = state.tasks.pop_front() {
                // This one may block: whatever else there is, now or later, needs another thread to watch it.
                if !state.tasks.is_empty() || state.idle == 0 && !state.later.is_empty() {
                    self.call_for(&mut state, 1);
                }
                return Some(task);
            }
            if state.closed {
                return None;
            }
            state.idle += 1;
            match state.later.first_key_value().map(|((at, _), _)| *at) {
                Some(at) => drop(self.changed.wait_until(&mut state, at)),
                None => self.changed.wait(&mut state),
            }
            state.idle -= 1;
        }
    }
}

/// What a panic says.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::clock::deadline_in;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn every_task_runs_once_and_a_panic_harms_no_other() {
        let (pool, ran) = (Pool::new("fmq-test", 3), Arc::new(AtomicUsize::new(0)));
        for number in 0..1000 {
            let ran = ran.clone();
            pool.run(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                assert!(number % 100 != 0, "a panic that a test wants");
            });
        }
        assert!(pool.close(deadline_in(LONG)));
        assert!(pool.close(deadline_in(LONG)), "a second time");
        assert_eq!(ran.load(Ordering::SeqCst), 1000);
        assert_eq!(pool.shared.state.lock().alive, 0);
    }

    #[test]
    fn tasks_that_wait_for_each_other_have_threads_of_their_own() {
        let pool = Pool::new("fmq-test", 2);
        let (give, take) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        pool.run(move || done.send(take.recv().unwrap()).unwrap());
        pool.run(move || give.send(7).unwrap());
        assert_eq!(is_done.recv_timeout(LONG), Ok(7));
    }

    #[test]
    fn later_tasks_run_in_the_order_of_their_times_unless_cancelled() {
        let pool = Pool::new("fmq-test", 1);
        let (told, heard) = mpsc::channel();
        let now = Instant::now();
        let at = |ms: u64| now + Duration::from_millis(ms);
        let task = |name: &'static str| {
            let told = told.clone();
            move || told.send(name).unwrap()
        };
        pool.run_at(at(60), task("last"));
        pool.run_at(at(20), task("first"));
        let never = pool.run_at(at(30), task("never"));
        pool.run_at(now + LONG, task("dropped"));
        pool.cancel(never);
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], ["first", "last"]);
        assert!(pool.close(deadline_in(LONG)));
        drop(told);
        assert!(heard.recv().is_err(), "nobody is left to tell");
    }

    #[test]
    fn a_task_that_blocks_does_not_hold_up_later_ones_while_threads_are_allowed() {
        let pool = Pool::new("fmq-test", 2);
        let (give, take) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        pool.run_at(Instant::now() + Duration::from_millis(50), move || give.send(7).unwrap());
        while pool.shared.state.lock().idle == 0 {
            std::thread::yield_now();
        }
        // The thread that sleeps until then takes this one.
        pool.run(move || done.send(take.recv().unwrap()).unwrap());
        assert_eq!(is_done.recv_timeout(LONG), Ok(7));
    }

    #[test]
    fn closing_is_bounded_and_legal_in_a_task() {
        let pool = Arc::new(Pool::new("fmq-test", 1));
        let (told, heard) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let within = pool.clone();
        pool.run(move || {
            assert!(within.close(Instant::now()));
            told.send(()).unwrap();
            held.recv().unwrap();
        });
        heard.recv_timeout(LONG).unwrap();
        assert!(!pool.close(Instant::now()), "the task still runs");
        let (unheard, never) = mpsc::channel();
        pool.run(move || unheard.send(()).unwrap());
        assert!(never.recv().is_err(), "a closed pool drops tasks");
        release.send(()).unwrap();
        assert!(pool.close(deadline_in(LONG)));
    }
}
