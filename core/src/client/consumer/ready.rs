//! What a program with an event loop of its own is told: that a poll will not wait.

use std::sync::Arc;
use std::time::Instant;

use crate::sync::{Condvar, Mutex};

use super::state::State;
use super::Shared;
use crate::client::callbacks::Pool;

/// A program's callback.
pub(super) struct Ready {
    call: Box<dyn Fn() + Send + Sync>,
    calls: Arc<Calls>,
}

/// How many calls are under way or to come: of a callback, and of those that it has replaced.
#[derive(Default)]
struct Calls {
    pending: Mutex<usize>,
    ended: Condvar,
}

/// A call that is to come; it ends when this is dropped, also uncalled.
struct Call {
    /// None while it is dropped.
    ready: Option<Arc<Ready>>,
    calls: Arc<Calls>,
}

impl Call {
    fn of(ready: &Arc<Ready>) -> Call {
        let calls = ready.calls.clone();
        *calls.pending.lock() += 1;
        Call { ready: Some(ready.clone()), calls }
    }

    fn run(self) {
        if let Some(ready) = &self.ready {
            (ready.call)();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // What a replaced callback holds goes with its last call: before who waits for that is told.
        drop(self.ready.take());
        *self.calls.pending.lock() -= 1;
        self.calls.ended.notify_all();
    }
}

impl Calls {
    /// Waits until no call is under way or to come, unless this is one.
    fn wait(&self, deadline: Instant) -> bool {
        if Pool::is_current() {
            return true;
        }
        let mut pending = self.pending.lock();
        while *pending > 0 {
            if self.ended.wait_until(&mut pending, deadline).timed_out() {
                return *pending == 0;
            }
        }
        true
    }
}

impl Shared {
    /// See [`Consumer::on_ready`](super::Consumer::on_ready).
    pub(super) fn on_ready(&self, call: Box<dyn Fn() + Send + Sync>) {
        let mut state = self.state.lock();
        let calls = state.ready.as_ref().map(|before| before.calls.clone()).unwrap_or_default();
        let before = state.ready.replace(Arc::new(Ready { call, calls }));
        state.ready_told = false;
        self.tell_ready(&mut state);
        drop(state);
        // Without the lock: what it holds may come back here when it goes.
        drop(before);
    }

    /// Has the program called if a poll would not wait, once until a poll has emptied what there is.
    pub(super) fn tell_ready(&self, state: &mut State) {
        let Some(ready) = state.ready.clone() else { return };
        if state.ready_told || !has_something(state) {
            return;
        }
        state.ready_told = true;
        let call = Call::of(&ready);
        self.cluster.callbacks.run(move || call.run());
    }

    /// A poll has taken something, or found nothing.
    pub(super) fn note_taken(&self, state: &mut State) {
        if state.ready_told && !has_something(state) {
            state.ready_told = false;
        }
    }

    /// Waits until the callback does not run any more, and forgets it; says whether it has ended.
    pub(super) fn end_ready(&self, deadline: Instant) -> bool {
        let ready = self.state.lock().ready.take();
        ready.is_none_or(|ready| ready.calls.wait(deadline))
    }
}

fn has_something(state: &State) -> bool {
    state.closed || state.failure.is_some() || state.in_turn(|_, _| true).is_some()
}
