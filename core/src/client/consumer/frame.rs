//! Calls of a listener made one after the other within a frame, for languages whose interpreter is costly to enter and lets
//! one thread run at a time.
//!
//! While calls are quick one thread makes them all, within one frame for a short turn, and another one watches: whoever
//! waits for an interpreter only holds up who has it. When a call takes longer than the watcher's patience, the watcher
//! goes on with the next messages, and a further thread watches. When calls are not quick on average, all threads work
//! side by side as without a frame.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::concurrent::{Called, Listener};
use super::state::State;
use super::threads::Batch;
use super::Shared;

/// Calls what it gets, once.
pub(super) type Frame = dyn Fn(&mut dyn FnMut()) + Send + Sync;

/// How long a frame goes on at most once its calls return.
const TURN: Duration = Duration::from_millis(1);

/// How long the watcher lets a call run before it takes over.
const PATIENCE: Duration = Duration::from_millis(1);

/// Calls that take less on average are quick.
const QUICK: Duration = Duration::from_micros(200);

/// What the threads of a consumer with a frame know of each other.
#[derive(Default)]
pub(super) struct Lead {
    /// The thread that makes the calls, by its turn's number, and when its last call began; none while it waits to enter
    /// its frame, as others would have to.
    leader: Option<(u64, Option<Instant>)>,
    turns: u64,
    /// Somebody wakes in time to look after the leader.
    pub watched: bool,
    /// How long a call takes on average.
    average: Duration,
}

impl Lead {
    /// Begins a turn; its number.
    fn begin(&mut self) -> u64 {
        self.turns += 1;
        self.leader = Some((self.turns, None));
        self.turns
    }

    /// Another call of a turn begins, unless somebody has taken over.
    fn goes_on(&mut self, turn: u64, now: Instant) -> bool {
        match &mut self.leader {
            Some((number, since)) if *number == turn => {
                *since = Some(now);
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, turn: u64, calls: u32, taken: Duration) {
        if self.leader.is_some_and(|(number, _)| number == turn) {
            self.leader = None;
        }
        // Recent turns count more: how listeners are changes.
        self.average = (self.average * 7 + taken / calls.max(1)) / 8;
    }

    /// Until when to leave messages to the leader.
    pub fn leave_until(&self, now: Instant) -> Option<Instant> {
        let (_, since) = self.leader.filter(|_| self.average < QUICK)?;
        Some(since.unwrap_or(now) + PATIENCE).filter(|until| now < *until)
    }
}

impl Shared {
    /// Calls the listener with a batch and, in the same frame, with those that come next as long as that goes well: whatever
    /// may wait is done outside.
    pub(super) fn consume_in(self: &Arc<Self>, frame: &Frame, first: Batch, listener: &Listener) {
        let turn = self.state.lock().lead.begin();
        let (mut next, mut last) = (Some(first), None);
        let (mut entered, mut calls) = (Instant::now(), 0);
        frame(&mut || {
            // What was waited for to enter is not the listener's time.
            entered = Instant::now();
            while let Some(batch) = next.take() {
                if calls == 0 {
                    self.state.lock().lead.goes_on(turn, entered);
                }
                let called = self.call_batch(batch, listener);
                calls += 1;
                match self.finish_within(&called) {
                    Finished::Wholly => {}
                    Finished::Resumed(token) => {
                        last = Some((called, Some(token)));
                        return;
                    }
                    Finished::No => {
                        last = Some((called, None));
                        return;
                    }
                }
                if entered.elapsed() < TURN {
                    next = self.next_of_turn(turn);
                }
            }
        });
        self.state.lock().lead.end(turn, calls, entered.elapsed());
        match last {
            Some((called, Some(token))) => self.pull(&called.queue, token),
            Some((called, None)) => self.settle_called(called),
            None => {}
        }
        if let Some(batch) = next {
            // The frame was not for calls any more.
            self.consume_concurrently(batch, listener);
        }
    }

    fn finish_within(&self, called: &Called) -> Finished {
        if !called.is_consumed() {
            return Finished::No;
        }
        self.note_consumed(called).map_or(Finished::Wholly, Finished::Resumed)
    }

    /// The next messages for the thread that leads; none if it does not any more.
    fn next_of_turn(self: &Arc<Self>, turn: u64) -> Option<Batch> {
        let mut state = self.state.lock();
        let stops = state.closed || state.threads.running > state.threads.size;
        if stops || !state.lead.goes_on(turn, Instant::now()) {
            return None;
        }
        let batch = self.take_batch(&mut state);
        self.look_after(state);
        batch
    }

    /// Sees to it that somebody watches the leader while there are messages.
    fn look_after(self: &Arc<Self>, state: crate::sync::MutexGuard<'_, State>) {
        if !state.lead.watched {
            self.wake_thread(state);
        }
    }
}

/// How far a call could be settled within the frame.
enum Finished {
    Wholly,
    /// All is consumed, and its queue is to be pulled with this token.
    Resumed(u64),
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_left_to_a_leader_that_is_quick_and_waited_for_while_it_enters() {
        let (mut lead, now) = (Lead::default(), Instant::now());
        assert_eq!(lead.leave_until(now), None);
        let first = lead.begin();
        assert_eq!(lead.leave_until(now), Some(now + PATIENCE));
        assert!(lead.goes_on(first, now));
        assert_eq!(lead.leave_until(now + PATIENCE / 2), Some(now + PATIENCE));
        assert_eq!(lead.leave_until(now + PATIENCE), None, "it takes too long");
        let second = lead.begin();
        assert!(!lead.goes_on(first, now), "somebody has taken over");
        lead.end(first, 1, PATIENCE);
        assert!(lead.leave_until(now).is_some());
        lead.end(second, 1, PATIENCE);
        assert_eq!(lead.leave_until(now), None);
        lead.begin();
        assert_eq!(lead.leave_until(now), None, "calls are slow on average");
        for _ in 0..50 {
            let turn = lead.begin();
            lead.end(turn, 100, QUICK);
        }
        lead.begin();
        assert!(lead.leave_until(now).is_some(), "they have become quick");
    }
}
