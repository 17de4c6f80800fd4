//! The threads that listeners run on: started when there is something to do, as many as wanted at most.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::assigned::Fetched;
use super::locks::TRUSTED;
use super::push::Push;
use super::state::State;
use super::Shared;
use crate::sync::MutexGuard;
use crate::wire::body::MessageQueue;

/// The threads of a push consumer.
pub(super) struct Threads {
    /// As many as there may be.
    pub size: usize,
    /// As many as there are.
    pub running: usize,
    /// Those that wait for messages.
    idle: usize,
    /// Calls of the listener that other threads make.
    pub calls: usize,
    started: usize,
    pub handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub fn new(size: usize) -> Threads {
        Threads { size, running: 0, idle: 0, calls: 0, started: 0, handles: Vec::new() }
    }
}

/// Messages that a listener gets in one call.
pub(super) struct Batch {
    pub queue: MessageQueue,
    pub token: u64,
    /// Of an ordered listener.
    pub call: u64,
    pub messages: Vec<(i64, Fetched)>,
}

thread_local! {
    /// The consumer whose thread this is, or whose listener runs on it.
    static CONSUMER: Cell<usize> = const { Cell::new(0) };
}

impl Shared {
    fn address(&self) -> usize {
        self as *const Shared as usize
    }

    /// Whether the caller is inside this consumer's listener, or is one of its threads.
    pub(super) fn is_own_thread(&self) -> bool {
        CONSUMER.get() == self.address()
    }

    /// Runs a call of the listener on a thread that is not the consumer's; `None` if the consumer was closed. Closing
    /// waits for it.
    pub(super) fn with_call<T>(self: &Arc<Self>, call: impl FnOnce() -> T) -> Option<T> {
        {
            let mut state = self.state.lock();
            if state.closed {
                return None;
            }
            state.threads.calls += 1;
        }
        let before = CONSUMER.replace(self.address());
        // A panic of the listener does not come this far.
        let result = call();
        CONSUMER.set(before);
        let mut state = self.state.lock();
        state.threads.calls -= 1;
        self.note_ended(state);
        Some(result)
    }

    /// Has a thread look for messages: one that waits, or else a new one.
    pub(super) fn wake_thread(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.closed || self.queue_in_turn(&state).is_none() {
            return;
        }
        if state.threads.idle > 0 {
            self.arrived.notify_one();
            return;
        }
        if state.threads.running >= state.threads.size {
            return;
        }
        state.threads.running += 1;
        state.threads.started += 1;
        let name = format!("fmq-consume-{}", state.threads.started);
        drop(state);
        let shared = self.clone();
        match std::thread::Builder::new().name(name).spawn(move || shared.work()) {
            Ok(handle) => {
                let mut state = self.state.lock();
                state.threads.handles.retain(|handle| !handle.is_finished());
                state.threads.handles.push(handle);
            }
            Err(error) => {
                tracing::error!("a thread for listeners is not started: {error}");
                let mut state = self.state.lock();
                state.threads.running -= 1;
                self.note_ended(state);
            }
        }
    }

    fn work(self: Arc<Self>) {
        CONSUMER.set(self.address());
        while let Some(batch) = self.next_batch() {
            // The user's panics do not come this far; one of ours must not cost the thread.
            if catch_unwind(AssertUnwindSafe(|| self.consume(batch))).is_err() {
                tracing::error!(
                    "a batch of messages was not settled; they come again after the consumer's end"
                );
            }
        }
        self.note_ended(self.state.lock());
    }

    /// Waits for messages; `None` if the thread should end, which is noted.
    fn next_batch(self: &Arc<Self>) -> Option<Batch> {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.threads.running > state.threads.size {
                state.threads.running -= 1;
                return None;
            }
            let leave = state.lead.leave_until(Instant::now());
            if leave.is_none() {
                if let Some(batch) = self.take_batch(&mut state) {
                    // What is left is for another thread.
                    self.wake_thread(state);
                    return Some(batch);
                }
            }
            state.threads.idle += 1;
            match leave.filter(|_| !state.lead.watched) {
                Some(until) => {
                    state.lead.watched = true;
                    self.arrived.wait_until(&mut state, until);
                    state.lead.watched = false;
                }
                None => self.arrived.wait(&mut state),
            }
            state.threads.idle -= 1;
        }
    }

    fn queue_in_turn(&self, state: &State) -> Option<MessageQueue> {
        if state.suspended {
            return None;
        }
        let (orderly, locks, now) = (self.orderly(), self.locks_queues(), self.cluster.now_ms());
        state.in_turn(|_, assigned| {
            let has_lock = !locks || assigned.locked.is_some_and(|at| now < at + TRUSTED);
            !orderly || (assigned.call.is_none() && assigned.rest_until <= now && has_lock)
        })
    }

    pub(super) fn take_batch(&self, state: &mut State) -> Option<Batch> {
        let queue = self.queue_in_turn(state)?;
        let (call, now) = (state.token(), self.cluster.now_ms());
        state.taken(&queue);
        let assigned = state.queues.get_mut(&queue)?;
        if self.orderly() {
            assigned.call = Some(call);
        }
        let single = self.push.as_ref().is_some_and(Push::is_single);
        let count = if single { 1 } else { self.options.consume_message_batch_max_size };
        let messages = assigned.take(count, now);
        Some(Batch { queue, token: assigned.token, call, messages })
    }

    /// Tells who waits for the end of calls; the last thread of a consumer that its listener closed leaves the group.
    fn note_ended(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        let quiet = state.threads.running == 0 && state.threads.calls == 0;
        let leaves = state.closed_inside && quiet;
        drop(state);
        self.ended.notify_all();
        if leaves {
            if let Err(error) = self.leave_in_time(self.cluster.options().mq_client_api_timeout) {
                tracing::warn!("{error}");
            }
        }
    }

    /// Changes how many calls of the listener there may be at a time.
    pub(super) fn resize(self: &Arc<Self>, size: usize) {
        let mut state = self.state.lock();
        state.threads.size = size;
        self.arrived.notify_all();
        self.wake_thread(state);
    }
}
