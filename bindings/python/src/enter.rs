//! The way of the library's threads into the interpreter, closed while it forks.
//!
//! A thread that the interpreter does not know gets a state in it before it waits for its lock, and the list of these has
//! a lock of its own. CPython 3.11 and others take that one in a forked child before they make it new: a fork that meets
//! a thread on its way in leaves a child that waits for ever. So `os.fork` waits until nobody is on the way.

use std::cell::{Cell, RefCell};
use std::sync::{RwLock, RwLockWriteGuard};

use pyo3::prelude::*;

static WAY_IN: RwLock<()> = RwLock::new(());

thread_local! {
    /// Held by the thread that forks, from before until after.
    static FORKING: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
    /// Whether the interpreter knows this thread, which is in `stay`.
    static KNOWN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call` in the interpreter, on a thread of the library; `None` once the interpreter has ended.
pub fn enter<R>(call: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    if KNOWN.get() {
        // Who has the interpreter's lock must not wait for a fork, which waits for that.
        return Python::try_attach(call);
    }
    let on_the_way = WAY_IN.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    Python::try_attach(|py| {
        drop(on_the_way);
        call(py)
    })
}

/// Enters the interpreter once for all calls that `work` makes; without it once that has ended.
pub fn stay(work: &mut dyn FnMut()) {
    struct Leaves;

    impl Drop for Leaves {
        fn drop(&mut self) {
            KNOWN.set(false);
        }
    }

    enter(|_| {
        KNOWN.set(true);
        let _leaves = Leaves;
        work();
    });
}

/// Waits until no thread is on its way in, and lets none begin until `after_fork`.
#[pyfunction]
#[pyo3(name = "_before_fork")]
pub fn before_fork(py: Python<'_>) {
    // Who is on the way needs the interpreter's lock to arrive.
    py.detach(|| {
        let closed = WAY_IN.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        FORKING.with_borrow_mut(|forking| *forking = Some(closed));
    });
}

/// Opens the way again, in the parent and in the child.
#[pyfunction]
#[pyo3(name = "_after_fork")]
pub fn after_fork() {
    FORKING.with_borrow_mut(|forking| drop(forking.take()));
}
