//! The memory that frames partly received and answers not yet read take, of all connections of a server together.
//!
//! Each connection's task says what it holds ([`Charge`]) once a batch, and only if that is more than [`SMALL`]: traffic of
//! small frames whose answers are read never writes to what is shared here. What cannot be foreseen is never refused, only
//! counted; so the sum may go over the limit by what the event loops read at the same time, a buffer each. Over it:
//!
//! - Small frames go on, in reads of at most [`SMALL`] bytes, so that heartbeats and small sends live through it.
//! - A connection in the middle of a large frame does not read on but stands in line for the rest of its frame, all of it at
//!   once. Whoever has that can finish without asking again, and gives back more than it took. Who needs little more
//!   ([`FEW`]) has a line of its own and an eighth of the limit besides, so as not to wait behind megabytes.
//! - A connection with more than [`SMALL`] bytes of answers unread has no further request handled. It looks again after the
//!   time of patience.
//! - One that holds its part, or was given memory out of turn, has to move an eighth of what it holds in the time of
//!   patience, so that its frame ends and its answers are read before long. Otherwise it is closed, unless it is us that
//!   it waits for.
//!
//! Nothing can wait for itself here. The first of a line gets what it needs if that fits, and otherwise beyond the limit if
//! nobody else of the line has such an overdraft: so there is always one that may go on, whatever holds the rest of the
//! memory, and the sum stays below nine eighths of the limit and two frames. It ends its frame and returns the overdraft,
//! or its peer stalls and it is closed. Those who hold memory and do not stand in line are either read from and written to
//! without restriction, so that they move, or are closed likewise. Holders of less than half a fair share that were given
//! nothing are left alone: all of them together cannot have more than half of the limit, so there is always somebody else
//! to judge.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::input::Input;
use super::Connection;
use crate::sync::Mutex;

/// What a connection may hold uncounted, in bytes.
pub(super) const SMALL: usize = 4 << 10;

/// Bytes up to which the rest of a frame does not wait behind larger ones.
const FEW: usize = 64 << 10;

/// What a connection has to move in the time of patience: this part of what it holds, and no less than so many bytes.
const PART: usize = 8;
const MOVES: usize = 64 << 10;

/// Times of patience for a peer that does not read: a third of the socket's buffer, up to megabytes, has to drain to it
/// before any of that is seen here.
const PATIENT_WITH_READERS: u32 = 4;

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
    /// For those who need few bytes, and for the others.
    lines: [Line; 2],
    said: Option<Instant>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Arc<Place>>,
    /// Somebody was given memory beyond the limit.
    overdrawn: bool,
}

/// A place in line.
struct Place {
    need: usize,
    state: AtomicU8,
    connection: Weak<Connection>,
}

impl Place {
    /// Which line it is in.
    fn line(&self) -> usize {
        usize::from(self.need > FEW)
    }
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
            queue.lines[place.line()].waiting.push_back(place);
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
        let [few, many] = &mut queue.lines;
        self.serve_line(few, self.limit + self.limit / 8, &mut served);
        self.serve_line(many, self.limit, &mut served);
        if few.waiting.is_empty() && many.waiting.is_empty() {
            self.line.store(false, Ordering::SeqCst);
        }
        drop(queue);
        served.iter().filter_map(Weak::upgrade).for_each(|connection| connection.go_on());
    }

    fn serve_line(&self, line: &mut Line, limit: usize, served: &mut Vec<Weak<Connection>>) {
        while let Some(place) = line.waiting.front() {
            let fits = self.used.load(Ordering::SeqCst).saturating_add(place.need) <= limit;
            if !fits && line.overdrawn && place.state.load(Ordering::Relaxed) == WAITING {
                break;
            }
            let state = if fits { GRANTED } else { OVERDRAFT };
            // Counted before it is told: from then on it may give it back.
            self.used.fetch_add(place.need, Ordering::SeqCst);
            match place.state.compare_exchange(WAITING, state, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    served.push(place.connection.clone());
                    line.overdrawn |= !fits;
                }
                Err(_) => {
                    self.used.fetch_sub(place.need, Ordering::SeqCst);
                }
            }
            line.waiting.pop_front();
        }
    }

    fn end_overdraft(&self, line: usize) {
        self.queue.lock().lines[line].overdrawn = false;
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
    /// The line whose overdraft it has.
    overdraft: Option<usize>,
    place: Option<Arc<Place>>,
    /// When it was last looked whether it moves; while anything is held.
    watched: Option<Instant>,
    /// How much has moved since it last had moved enough, and how often it was too little since.
    moved: usize,
    strikes: u32,
}

impl Charge {
    pub fn to(memory: Option<Arc<Memory>>) -> Charge {
        let (input, output, granted, moved, strikes) = (0, 0, 0, 0, 0);
        let (overdraft, place, watched) = (None, None, None);
        Charge { memory, input, output, granted, overdraft, place, watched, moved, strikes }
    }

    /// Counts bytes received before there are frames, which can be let go; says whether they may be kept.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    pub fn hold_bytes(&mut self, bytes: usize) -> bool {
        let Some(memory) = &self.memory else { return true };
        adjust(memory, &mut self.input, counted(bytes));
        self.input == 0 || !memory.is_short()
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
            self.overdraft = (state == OVERDRAFT).then(|| place.line());
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
            if let Some(line) = self.overdraft.take() {
                memory.end_overdraft(line);
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

    /// Whether nothing comes because we do not read, which is not the peer's fault.
    pub fn waits_for_us(&self) -> bool {
        self.place.is_some() && self.output == 0
    }

    /// When to look at the connection, if it is watched: to judge it, and in case that it was held back for the shortage.
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
        self.watched = Some(now);
        let told = self.place.as_ref().filter(|place| place.state.load(Ordering::Acquire) != WAITING);
        let given = self.granted > 0 || told.is_some();
        let held = self.input + self.output + told.map_or(0, |place| place.need);
        // Nothing is read while answers wait, so that who does not read does not send either.
        let reads = self.output == 0;
        let must_move = memory.is_short() && (given || held >= memory.share) && (awaits_peer || !reads);
        if !must_move || self.moved >= (held / PART).max(MOVES) {
            (self.moved, self.strikes) = (0, 0);
            return None;
        }
        self.strikes += 1;
        let most = if reads { 1 } else { PATIENT_WITH_READERS };
        if self.strikes < most {
            return None;
        }
        let what = if reads { "a frame that does not come" } else { "answers that the peer does not read" };
        Some(format!(
            "it holds {held} bytes for {what} and moved {} in {} ms, while all connections together take {} bytes and the \
             limit is {} (maxConnectionMemory)",
            self.moved,
            memory.patience.as_millis() * u128::from(most),
            memory.used(),
            memory.limit
        ))
    }

    fn watch(&mut self) {
        if self.input + self.output == 0 {
            self.watched = None;
        } else if self.watched.is_none() {
            self.watched = Some(Instant::now());
            (self.moved, self.strikes) = (0, 0);
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
                    self.overdraft = Some(place.line());
                }
                _ => {}
            }
        }
        memory.give_back(held);
        if let Some(line) = self.overdraft {
            memory.end_overdraft(line);
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
