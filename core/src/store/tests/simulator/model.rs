//! What a store has promised, in a few lines.

use std::collections::{BTreeMap, HashSet};

/// Topics and queues of the simulation.
pub(super) const QUEUES: [(&str, i32); 7] =
    [("T0", 0), ("T0", 1), ("T0", 5), ("T1", 0), ("T1", 1), ("%RETRY%G", 0), ("T2", 3)];

/// The body of the message with this number.
pub(super) fn body(serial: u64) -> Vec<u8> {
    let length = [0, 10, 100, 600, 2500][(serial.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize % 5];
    let mut body = format!("{serial}:").into_bytes();
    body.resize(body.len() + length, b'x');
    body
}

/// Its properties.
pub(super) fn keys(serial: u64) -> Vec<u8> {
    format!("KEYS\x01k{serial}\x02TAGS\x01t{}\x02", serial % 3).into_bytes()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message {
    pub serial: u64,
    pub physical: i64,
    pub time: i64,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Queue {
    pub messages: BTreeMap<i64, Message>,
    /// Offset that the next message gets.
    pub next: i64,
    /// No offset between the first and the last is without a message. A power cut may have changed that.
    pub whole: bool,
}

#[derive(Default)]
pub(super) struct Model {
    pub queues: BTreeMap<usize, Queue>,
    serial: u64,
    /// Numbers that were tried at a place since the last check, whatever became of them.
    pub tried: HashSet<(usize, i64, u64)>,
    /// Messages of deleted topics, which must not come back.
    pub deleted: HashSet<u64>,
    /// Messages of topics whose deletion a crash interrupted, deleted ones that came back, and those that a start could not
    /// tell from the ones of a topic that was made anew: not promised.
    pub undecided: HashSet<u64>,
    /// Messages whose records were damaged: they may be lost, or be served under other numbers.
    pub hurt: HashSet<u64>,
    /// There is damage between the records of the log, or in them.
    pub damaged: bool,
    /// Topics that were deleted and perhaps made again.
    twice: HashSet<&'static str>,
    /// Messages that must be there after a crash; filled when it happens.
    pub promised: Vec<(usize, i64, Message)>,
    /// Everything before this commit-log offset survives a power cut.
    durable: i64,
    /// Files before this commit-log offset were removed by retention.
    pub expired_below: i64,
    step: Step,
}

/// Where things stood before the step that a crash interrupts.
#[derive(Default)]
struct Step {
    serial: u64,
    durable: i64,
    deleted: Vec<u64>,
}

impl Model {
    pub fn begin_step(&mut self) {
        let deleted = std::mem::take(&mut self.step.deleted);
        self.deleted.extend(deleted);
        self.step = Step { serial: self.serial, durable: self.durable, deleted: Vec::new() };
    }

    pub fn next(&self, queue: usize) -> i64 {
        self.queues.get(&queue).map_or(0, |queue| queue.next)
    }

    /// A number for a message that is about to be appended at a place.
    pub fn attempt(&mut self, queue: usize, offset: i64) -> u64 {
        self.serial += 1;
        self.tried.insert((queue, offset, self.serial));
        self.serial
    }

    pub fn appended(&mut self, queue: usize, serial: u64, physical: i64, time: i64) {
        let new = || Queue { whole: true, ..Queue::default() };
        let queue = self.queues.entry(queue).or_insert_with(new);
        queue.messages.insert(queue.next, Message { serial, physical, time });
        queue.next += 1;
    }

    pub fn durable_to(&mut self, end: i64) {
        self.durable = self.durable.max(end);
    }

    pub fn delete(&mut self, topic: &'static str) {
        self.twice.insert(topic);
        let gone = |queue: usize| QUEUES[queue].0 == topic;
        for (_, queue) in self.queues.extract_if(.., |queue, _| gone(*queue)) {
            self.step.deleted.extend(queue.messages.values().map(|message| message.serial));
        }
    }

    pub fn expire(&mut self, log_min: i64) {
        self.expired_below = self.expired_below.max(log_min);
        for (at, queue) in &mut self.queues {
            for (offset, message) in queue.messages.extract_if(.., |_, message| message.physical < log_min) {
                // A crash half-way may bring it back.
                self.tried.insert((*at, offset, message.serial));
            }
        }
    }

    /// Notes what must have survived: without the step that was interrupted, and after a power cut without what was not
    /// known to be on disk.
    pub fn crash(&mut self, killed: bool, expired_below: i64) {
        self.expired_below = self.expired_below.max(expired_below);
        self.undecided.extend(self.step.deleted.drain(..));
        let (step, undecided, expired_below) = (&self.step, &self.undecided, self.expired_below);
        let all = self.queues.iter().flat_map(|(at, queue)| {
            queue.messages.iter().map(move |(offset, message)| (*at, *offset, *message))
        });
        let kept = all.filter(|(.., message)| {
            message.serial <= step.serial
                && !undecided.contains(&message.serial)
                && message.physical >= expired_below
                && (killed || message.physical < step.durable)
        });
        self.promised = kept.collect();
    }

    /// The power was cut before the start after a kill was done: what was not on the disk may be gone.
    pub fn power_cut_too(&mut self) {
        let durable = self.step.durable;
        self.promised.retain(|(.., message)| message.physical < durable);
    }

    pub fn hurt(&mut self, serial: u64) {
        self.damaged = true;
        self.hurt.insert(serial);
        self.promised.retain(|(.., message)| message.serial != serial);
    }

    /// Whether old records of a topic may be taken for those of the one that was made anew, when nothing but the log
    /// tells: damage took the first ones of that.
    pub fn is_unclear(&self, topic: &str) -> bool {
        self.damaged && self.twice.contains(topic)
    }

    /// Notes that everything must be there.
    pub fn promise_all(&mut self) {
        let all = self.queues.iter().flat_map(|(at, queue)| {
            queue.messages.iter().map(move |(offset, message)| (*at, *offset, *message))
        });
        self.promised = all.collect();
    }

    /// Goes on with what a store has.
    pub fn resume(&mut self, queues: BTreeMap<usize, Queue>, end: i64) {
        self.tried.clear();
        self.promised.clear();
        self.queues = queues;
        self.durable = end;
        let served = self.queues.values().flat_map(|queue| queue.messages.values());
        let back: Vec<u64> =
            served.map(|message| message.serial).filter(|serial| self.deleted.contains(serial)).collect();
        for serial in back {
            self.deleted.remove(&serial);
            self.undecided.insert(serial);
        }
    }

    pub fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = self.queues.keys().map(|queue| QUEUES[*queue].0.to_owned()).collect();
        topics.extend(self.tried.iter().map(|(queue, ..)| QUEUES[*queue].0.to_owned()));
        topics
    }
}
