//! Room for asynchronous sends: how many are under way at most, and how many bytes of bodies they hold.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::flight::Flight;
use super::Shared;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// What is taken, and who waits.
pub(super) struct Room {
    most: usize,
    most_bytes: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    count: usize,
    bytes: usize,
    /// Sends that wait for room, in their order.
    waiting: VecDeque<(u64, Box<Flight>)>,
    numbers: u64,
    /// Sends whose users have not been told everything.
    unfinished: usize,
    closed: bool,
}

/// Room taken by a send; dropping it gives it back.
pub(super) struct Place {
    producer: Arc<Shared>,
    bytes: usize,
}

/// A send whose user has not been told; dropping it counts it as told.
pub(super) struct Unfinished(Arc<Shared>);

impl Room {
    pub fn new(most: usize, most_bytes: usize) -> Room {
        Room { most, most_bytes, state: Mutex::default(), changed: Condvar::new() }
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        // One that is larger than all the room goes alone.
        state.count == 0 || state.count < self.most && state.bytes + bytes <= self.most_bytes
    }

    /// Takes room whether there is some or not: for callers whose waiting could keep others from giving it back.
    pub fn take_anyway(&self, producer: &Arc<Shared>, bytes: usize) -> Place {
        let mut state = self.state.lock();
        self.taken(&mut state, producer, bytes)
    }

    /// Takes room when there is some, in turn with those that wait; none if there was none until `deadline`, or the
    /// producer is closed.
    pub fn take_until(&self, producer: &Arc<Shared>, bytes: usize, deadline: Instant) -> Option<Place> {
        let mut state = self.state.lock();
        loop {
            if state.closed {
                return None;
            }
            if state.waiting.is_empty() && self.fits(&state, bytes) {
                return Some(self.taken(&mut state, producer, bytes));
            }
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return None;
            }
        }
    }

    /// Starts a send if there is room for it, or lets it wait for some; then its number is returned.
    pub fn start_or_wait(
        &self,
        producer: &Arc<Shared>,
        bytes: usize,
        mut flight: Box<Flight>,
    ) -> Option<u64> {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            drop(flight);
            return None;
        }
        if state.waiting.is_empty() && self.fits(&state, bytes) {
            flight.place = Some(self.taken(&mut state, producer, bytes));
            drop(state);
            flight.fly();
            return None;
        }
        let number = state.numbers;
        state.numbers += 1;
        state.waiting.push_back((number, flight));
        Some(number)
    }

    /// Takes a send that waits out of the queue, if it does. Those behind it may fit.
    pub fn stop_waiting(&self, producer: &Arc<Shared>, number: u64) -> Option<Box<Flight>> {
        let mut state = self.state.lock();
        let at = state.waiting.iter().position(|(other, _)| *other == number)?;
        let (_, flight) = state.waiting.remove(at)?;
        self.start_waiting(state, producer);
        Some(flight)
    }

    /// Starts those that wait, in their order, as long as there is room.
    fn start_waiting(&self, mut state: MutexGuard<'_, State>, producer: &Arc<Shared>) {
        let mut started = Vec::new();
        while state.waiting.front().is_some_and(|(_, next)| self.fits(&state, next.bytes())) {
            let Some((_, mut flight)) = state.waiting.pop_front() else { break };
            let bytes = flight.bytes();
            flight.place = Some(self.taken(&mut state, producer, bytes));
            started.push(flight);
        }
        drop(state);
        self.changed.notify_all();
        for flight in started {
            // Not here: the place may be given back anywhere, and this send's end would be within the other's.
            producer.cluster.errands.run(move || flight.fly());
        }
    }

    fn taken(&self, state: &mut State, producer: &Arc<Shared>, bytes: usize) -> Place {
        state.count += 1;
        state.bytes += bytes;
        Place { producer: producer.clone(), bytes }
    }

    /// Counts a send whose user has to be told.
    pub fn unfinished(&self, producer: &Arc<Shared>) -> Unfinished {
        self.state.lock().unfinished += 1;
        Unfinished(producer.clone())
    }

    /// Sends that are under way, their callbacks included.
    pub fn in_flight(&self) -> usize {
        self.state.lock().unfinished
    }

    /// Ends all waiting for room.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        // Their users are told that the producer is closed.
        drop(waiting);
    }

    /// Waits until all users have been told everything; false if that was not until `deadline`.
    pub fn wait_for_all(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.unfinished > 0 {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return state.unfinished == 0;
            }
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let room = &self.producer.room;
        let mut state = room.state.lock();
        state.count -= 1;
        state.bytes -= self.bytes;
        room.start_waiting(state, &self.producer);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.room.state.lock().unfinished -= 1;
        self.0.room.changed.notify_all();
    }
}
