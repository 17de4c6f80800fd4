//! The memory that frames partly received and answers not yet read take, of all connections of a server together.
//!
//! Each connection's task says what it holds ([`Charge`]) once a batch, and only if that is more than [`SMALL`]: traffic of
//! small frames whose answers are read never writes to what is shared here. What cannot be foreseen is never refused, only
//! counted; so the sum may go over the limit by what the event loops read at the same time, a buffer each. Over it:
//!
//! - Small frames go on, in reads of at most [`SMALL`] bytes, so that heartbeats and small sends live through it.
//! - A connection in the middle of a large frame does not read on but stands in line for the rest of its frame, all of it at
//!   once. Whoever has that can finish without asking again, and gives back more than it took.
//! - A connection with more than [`SMALL`] bytes of answers unread has no further request handled.
//! - One that holds its part and hardly moves in the time of patience is closed, unless it is us that it waits for.
//!
//! Nothing can wait for itself here. The first in line gets what it needs if that fits, and otherwise beyond the limit if
//! nobody else has such an overdraft: so there is always one that may go on, whatever holds the rest of the memory, and the
//! sum stays below the limit and one frame. It ends its frame and returns the overdraft, or its peer stalls and it is closed.
//! Those who hold memory and do not stand in line are either read from and written to without restriction, so that they
//! move, or are closed likewise. Holders of less than half a fair share are left alone: all of them together cannot have
//! more than half of the limit, so there is always somebody else to judge.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::input::Input;
use super::Connection;
use crate::sync::Mutex;

/// What a connection may hold uncounted, in bytes.
pub(super) const SMALL: usize = 4 << 10;

/// Bytes that a connection has to move in the time of patience.
const MOVES: usize = 64 << 10;

/// Time between two lines in the log that say that memory is short.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The budget of a server's connections.
pub(super) struct Memory {
    limit: usize,
    patience: Duration,
    /// Half a fair share.
    share: usize,
    used: AtomicUsize,
    /// Whether anybody stands in line.
    line: AtomicBool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Place>>,
    /// Somebody was given memory beyond the limit.
    overdrawn: bool,
    said: Option<Instant>,
}

/// A place in line.
struct Place {
    need: usize,
    state: AtomicU8,
    connection: Weak<Connection>,
}

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const OVERDRAFT: u8 = 2;
/// Its connection is gone.
const LEFT: u8 = 3;

impl Memory {
    /// `limit` bytes for up to `connections` connections, each of which has to move within `patience` when it is short.
    pub fn new(limit: usize, connections: usize, patience: Duration) -> Arc<Memory> {
        let share = (limit / connections.max(1) / 2).max(SMALL);
        let (used, line, queue) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::default());
        Arc::new(Memory { limit, patience, share, used, line, queue })
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether memory is short: two loads, for every batch.
    pub fn is_short(&self) -> bool {
        self.used() > self.limit || self.line.load(Ordering::Relaxed)
    }

    fn give_back(&self, bytes: usize) {
        // This and who enters the line write one of the two and then read the other.
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.line.load(Ordering::SeqCst) {
            self.serve();
        }
    }

    fn enter_line(&self, place: Arc<Place>) {
        let say = {
            let mut queue = self.queue.lock();
            queue.waiting.push_back(place);
            self.line.store(true, Ordering::SeqCst);
            let say = queue.said.is_none_or(|at| at.elapsed() >= SAY_AGAIN_AFTER);
            if say {
                queue.said = Some(Instant::now());
            }
            say
        };
        if say {
            tracing::warn!(
                "frames partly received and answers not yet read take {} bytes, the limit for all connections together is {} \
                 (maxConnectionMemory): those in the middle of a large frame wait for their turn",
                self.used(),
                self.limit
            );
        }
        self.serve();
    }

    /// Gives memory to those first in line, as far as there is any.
    fn serve(&self) {
        let mut served = Vec::new();
        let mut queue = self.queue.lock();
        while let Some(place) = queue.waiting.front() {
            let fits = self.used.load(Ordering::SeqCst).saturating_add(place.need) <= self.limit;
            if !fits && queue.overdrawn && place.state.load(Ordering::Relaxed) == WAITING {
                break;
            }
            let state = if fits { GRANTED } else { OVERDRAFT };
            // Counted before it is told: from then on it may give it back.
            self.used.fetch_add(place.need, Ordering::SeqCst);
            match place.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    served.push(place.connection.clone());
                    queue.overdrawn |= !fits;
                }
                Err(_) => {
                    self.used.fetch_sub(place.need, Ordering::SeqCst);
                }
            }
            queue.waiting.pop_front();
        }
        if queue.waiting.is_empty() {
            self.line.store(false, Ordering::SeqCst);
        }
        drop(queue);
        served.iter().filter_map(Weak::upgrade).for_each(|connection| connection.go_on());
    }

    fn end_overdraft(&self) {
        self.queue.lock().overdrawn = false;
        if self.line.load(Ordering::SeqCst) {
            self.serve();
        }
    }
}

/// What one connection holds, given back when it is dropped.
pub(super) struct Charge {
    /// None where nothing is counted.
    memory: Option<Arc<Memory>>,
    input: usize,
    output: usize,
    /// What `input` may go up to, for a frame that stood in line; 0 for others.
    granted: usize,
    overdrawn: bool,
    place: Option<Arc<Place>>,
    /// Since when it is watched whether it moves, and how much has.
    watched: Option<Instant>,
    moved: usize,
}

impl Charge {
    pub fn to(memory: Option<Arc<Memory>>) -> Charge {
        let (granted, overdrawn, place) = (0, false, None);
        Charge { memory, input: 0, output: 0, granted, overdrawn, place, watched: None, moved: 0 }
    }

    /// How many bytes may be read now; `None` to wait until the connection is told to go on.
    pub fn room(&mut self, connection: &Arc<Connection>, input: &Input) -> Option<usize> {
        let Some(memory) = &self.memory else { return Some(usize::MAX) };
        if self.place.is_none() && self.granted == 0 {
            if !memory.is_short() {
                return Some(usize::MAX);
            }
            if input.len() + input.missing() <= SMALL {
                return Some(SMALL);
            }
            let place = Arc::new(Place {
                need: input.missing(),
                state: AtomicU8::new(WAITING),
                connection: Arc::downgrade(connection),
            });
            self.place = Some(place.clone());
            memory.enter_line(place);
        }
        if let Some(place) = &self.place {
            let state = place.state.load(Ordering::Acquire);
            if state == WAITING {
                return None;
            }
            self.input += place.need;
            self.granted = self.input;
            self.overdrawn = state == OVERDRAFT;
            self.place = None;
            // It could not move before.
            self.watched = None;
            self.watch();
        }
        // Not a byte of what comes behind the frame.
        Some(input.missing().max(1))
    }

    /// Says what is held of frames, after each batch.
    pub fn hold_input(&mut self, input: &Input) {
        let Some(memory) = &self.memory else { return };
        if self.granted > 0 && input.len() == 0 {
            self.granted = 0;
            if std::mem::take(&mut self.overdrawn) {
                memory.end_overdraft();
            }
        }
        let held = counted(input.memory()).max(self.granted);
        if held != self.input {
            adjust(memory, &mut self.input, held);
            self.watch();
        }
    }

    /// Says how many bytes of answers wait for the peer.
    pub fn hold_output(&mut self, queued: usize) {
        let Some(memory) = &self.memory else { return };
        let held = counted(queued);
        if held != self.output {
            adjust(memory, &mut self.output, held);
            self.watch();
        }
    }

    /// Notes that bytes were received or sent.
    pub fn moved(&mut self, bytes: usize) {
        self.moved += bytes;
    }

    /// When to judge the connection, if it is watched.
    pub fn judged_at(&self) -> Option<Instant> {
        Some(self.watched? + self.memory.as_ref()?.patience)
    }

    /// Why the connection should be closed, if it should. `awaits_peer` says whether bytes would be read if they came.
    pub fn judge(&mut self, awaits_peer: bool) -> Option<String> {
        let now = Instant::now();
        if self.judged_at().is_none_or(|at| now < at) {
            return None;
        }
        let memory = self.memory.as_ref()?;
        let moved = std::mem::take(&mut self.moved);
        self.watched = Some(now);
        let reads_nothing = self.output >= memory.share;
        let sends_nothing = awaits_peer && self.place.is_none() && self.input >= memory.share;
        if moved >= MOVES || !memory.is_short() || !(reads_nothing || sends_nothing) {
            return None;
        }
        let what =
            if reads_nothing { "answers that the peer does not read" } else { "a frame that does not come" };
        Some(format!(
            "it holds {} bytes for {what} and moved {moved} in {} ms, while all connections together take {} bytes and the \
             limit is {} (maxConnectionMemory)",
            self.input + self.output,
            memory.patience.as_millis(),
            memory.used(),
            memory.limit
        ))
    }

    fn watch(&mut self) {
        let share = self.memory.as_ref().map_or(usize::MAX, |memory| memory.share);
        if self.input + self.output < share {
            self.watched = None;
        } else if self.watched.is_none() {
            self.watched = Some(Instant::now());
            self.moved = 0;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Some(memory) = &self.memory else { return };
        let mut held = self.input + self.output;
        if let Some(place) = &self.place {
            match place.state.swap(LEFT, Ordering::AcqRel) {
                GRANTED => held += place.need,
                OVERDRAFT => {
                    held += place.need;
                    self.overdrawn = true;
                }
                _ => {}
            }
        }
        memory.give_back(held);
        if self.overdrawn {
            memory.end_overdraft();
        }
    }
}

fn counted(bytes: usize) -> usize {
    if bytes <= SMALL {
        0
    } else {
        bytes
    }
}

fn adjust(memory: &Memory, before: &mut usize, now: usize) {
    let before = std::mem::replace(before, now);
    if now > before {
        memory.used.fetch_add(now - before, Ordering::Relaxed);
    } else {
        memory.give_back(before - now);
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
