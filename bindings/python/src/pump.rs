//! The one thread that carries what the library's threads have for Python: they never wait for the interpreter.
//!
//! A thread that moves messages and waited for the interpreter's lock would be as slow as the slowest Python code, and with
//! a lock of the library in hand it could wait for ever. So it only notes what is to be done; this thread takes all
//! that has gathered, enters the interpreter once, and hands it on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread::JoinHandle;

use pyo3::prelude::*;

use crate::enter::enter;
use crate::log::Line;

/// Lines of the log that wait; further ones are counted and dropped.
const MOST_LINES: usize = 10_000;

/// Processes that each made the next by fork() and all use the library.
const GENERATIONS: usize = 64;

/// Something to be done on the thread of an asyncio loop.
pub trait Errand: Send + Sync {
    /// The loop.
    fn event_loop(&self) -> &Py<PyAny>;

    /// Does it.
    fn run(self: Arc<Self>, py: Python<'_>);
}

#[derive(Default)]
struct State {
    errands: Vec<Arc<dyn Errand>>,
    lines: VecDeque<Line>,
    dropped: usize,
    thread: Option<JoinHandle<()>>,
    stopped: bool,
}

#[derive(Default)]
pub struct Pump {
    state: Mutex<State>,
    arrived: Condvar,
}

/// One pump a process: a forked one has neither the thread nor the certainty that nobody holds the lock.
static PUMPS: [OnceLock<(u32, Pump)>; GENERATIONS] = [const { OnceLock::new() }; GENERATIONS];
static NEWEST: AtomicUsize = AtomicUsize::new(0);

/// The pump of this process; `None` in the 65th generation of forks.
pub fn pump() -> Option<&'static Pump> {
    let process = std::process::id();
    let newest = NEWEST.load(Ordering::Acquire);
    for (place, slot) in PUMPS.iter().enumerate().skip(newest) {
        let (owner, pump) = slot.get_or_init(|| (process, Pump::default()));
        if *owner == process {
            NEWEST.fetch_max(place, Ordering::Release);
            return Some(pump);
        }
    }
    None
}

impl Pump {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Has a loop do something, soon.
    pub fn errand(&'static self, errand: Arc<dyn Errand>) {
        let mut state = self.lock();
        if state.stopped {
            // What it holds may come back here when it is dropped.
            drop(state);
            return drop(errand);
        }
        state.errands.push(errand);
        self.wake(state);
    }

    /// Hands a line to Python's logging, soon.
    pub fn line(&'static self, line: Line) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        if state.lines.len() >= MOST_LINES {
            state.dropped += 1;
            return;
        }
        state.lines.push_back(line);
        self.wake(state);
    }

    fn wake(&'static self, mut state: MutexGuard<'_, State>) {
        if state.thread.is_none() {
            let thread = std::thread::Builder::new().name("ferromq-python".into()).spawn(|| self.run());
            state.thread = thread.ok();
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            while state.errands.is_empty() && state.lines.is_empty() && !state.stopped {
                state = self.arrived.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            let (errands, lines) = (std::mem::take(&mut state.errands), std::mem::take(&mut state.lines));
            let dropped = std::mem::take(&mut state.dropped);
            let stopped = state.stopped;
            drop(state);
            let entered = enter(|py| {
                crate::aio::hand_over(py, errands);
                crate::log::hand_over(py, lines, dropped);
            });
            if stopped || entered.is_none() {
                return;
            }
        }
    }

    /// Ends the thread after what it has to do, for the end of the interpreter.
    pub fn stop(&self) {
        let thread = {
            let mut state = self.lock();
            state.stopped = true;
            state.thread.take()
        };
        self.arrived.notify_one();
        if let Some(thread) = thread {
            // It has nothing left to do, and its panics were reported.
            let _ended = thread.join();
        }
    }
}
