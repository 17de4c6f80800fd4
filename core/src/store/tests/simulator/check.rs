//! A store compared with the model: answer by answer while it runs, as a whole after it was opened.

use std::collections::{BTreeMap, HashSet};

use super::model::{body, Message, Queue};
use super::*;
use crate::store::scan;

/// Told by recovery when it makes all queues again; then it cannot tell deleted topics from lost ones.
const LOST: &str = "queue directories are missing";
/// Told by recovery when nothing but the log tells what the queues held.
const COMPARED: &str = "compared with the whole log";

impl World {
    /// Reads the store from end to end and compares. After an orderly end everything is promised.
    pub(super) fn check(&mut self, orderly: bool) {
        if orderly {
            self.model.promise_all();
        }
        let report = self.core.recovery_report().clone();
        let mut served = BTreeMap::new();
        for topic in self.core.topics() {
            for id in self.core.queue_ids(&topic) {
                let at =
                    QUEUES.iter().position(|queue| *queue == (&topic, id)).expect("no other queue was used");
                served.insert(at, self.read_queue(at));
            }
        }
        self.model.damaged |= !report.skipped.is_empty();
        self.check_promises(&served, &report);
        self.check_origin(&served, &report);
        self.check_log(&served, &report);
        self.check_index(&served, &report);
        served.retain(|_, queue: &mut Queue| queue.next > 0);
        self.model.resume(served, self.core.max_physical_offset());
    }

    fn read_queue(&self, at: usize) -> Queue {
        let (topic, queue_id) = QUEUES[at];
        let bounds = self.core.queue_bounds(topic, queue_id).unwrap();
        let (mut queue, mut offset) = (Queue { next: bounds.end, ..Queue::default() }, bounds.start);
        while offset < bounds.end {
            let got = self.core.get(&Get { topic, queue_id, offset, max_count: 32, max_bytes: 1 << 20 }, &());
            for record in got.records.iter().flat_map(|run| records(run)) {
                let record = record.unwrap();
                assert!(record.body_crc_matches());
                assert_eq!((record.topic(), record.queue_id()), (topic, queue_id));
                let serial = serial(record.body());
                assert!(record.body() == body(serial), "the body of {serial} is another");
                if self.model.hurt.contains(&serial) {
                    continue;
                }
                let (physical, time) = (record.physical_offset(), record.store_timestamp());
                queue.messages.insert(record.queue_offset(), Message { serial, physical, time });
            }
            assert!(got.next_offset > offset, "{topic}/{queue_id}: {:?} at {offset}", got.status);
            offset = got.next_offset;
        }
        queue.whole = queue.messages.keys().copied().eq(bounds);
        queue
    }

    /// Whether the queues of a topic may be those of the one before it.
    fn is_unclear(&self, topic: &str, report: &RecoveryReport) -> bool {
        let compared = report.notes.iter().any(|note| note.contains(COMPARED));
        self.model.is_unclear(topic) && (compared || self.checkpoint_gone)
    }

    fn check_promises(&self, served: &BTreeMap<usize, Queue>, report: &RecoveryReport) {
        for (at, offset, message) in &self.model.promised {
            if self.is_unclear(QUEUES[*at].0, report) {
                continue;
            }
            let found = served.get(at).and_then(|queue| queue.messages.get(offset));
            assert_eq!(found, Some(message), "{:?} at {offset}: was acknowledged {report:?}", QUEUES[*at]);
        }
    }

    /// What is there is what was sent there, and what was deleted is not there.
    fn check_origin(&self, served: &BTreeMap<usize, Queue>, report: &RecoveryReport) {
        let lost = self.checkpoint_gone || report.notes.iter().any(|note| note.contains(LOST));
        for (at, queue) in served {
            let before = self.model.queues.get(at);
            for (offset, message) in &queue.messages {
                let serial = message.serial;
                let known =
                    before.and_then(|queue| queue.messages.get(offset)).is_some_and(|there| there == message);
                let undecided = self.model.undecided.contains(&serial);
                let came_back = self.model.deleted.contains(&serial);
                let unclear = self.is_unclear(QUEUES[*at].0, report);
                assert!(!came_back || lost || unclear, "{:?}: {serial} was deleted {report:?}", QUEUES[*at]);
                assert!(
                    known
                        || unclear
                        || undecided
                        || came_back
                        || self.model.tried.contains(&(*at, *offset, serial)),
                    "{:?} at {offset}: {serial} was never sent there {report:?}",
                    QUEUES[*at]
                );
            }
            // Only damage makes holes.
            let damaged = self.done.power_cuts > 0 || !self.model.hurt.is_empty();
            assert!(queue.whole || damaged, "{:?} has holes {report:?}", QUEUES[*at]);
        }
    }

    /// Every record of the log stands in its queue, but for deleted ones, and the other way round.
    fn check_log(&mut self, served: &BTreeMap<usize, Queue>, report: &RecoveryReport) {
        let mut in_queues: HashSet<i64> = served
            .values()
            .flat_map(|queue| queue.messages.values())
            .map(|message| message.physical)
            .collect();
        let mut refused = Vec::new();
        for segment in self.core.log.segments.all() {
            let mut offset = segment.base;
            while offset < self.core.max_physical_offset().min(segment.end()) {
                let at = (offset - segment.base) as usize;
                let rest = segment.from(offset);
                match scan::check(rest, segment.base, at).ok() {
                    Some(record) => {
                        let serial = serial(record.body());
                        let gone =
                            self.model.deleted.contains(&serial) || self.model.undecided.contains(&serial);
                        let there = in_queues.remove(&offset);
                        if !there && !gone && !self.model.hurt.contains(&serial) {
                            let unclear = self.is_unclear(record.topic(), report);
                            assert!(unclear, "{serial} at {offset} is in no queue {report:?}");
                            refused.push(serial);
                        }
                        offset += record.total_size() as i64;
                    }
                    None if scan::is_blank(rest) => break,
                    None => offset += 1,
                }
            }
        }
        assert!(in_queues.is_empty(), "not in the log: {in_queues:?} {report:?}");
        // A start tells it once; the starts after it believe what it left.
        self.model.undecided.extend(refused);
    }

    fn check_index(&self, served: &BTreeMap<usize, Queue>, report: &RecoveryReport) {
        for (at, queue) in served {
            for message in queue.messages.values().step_by(5) {
                let found = self.find_key(*at, message.serial);
                assert!(found.contains(&message.serial), "key of {message:?} {report:?}");
            }
        }
    }

    fn find_key(&self, at: usize, serial_asked: u64) -> Vec<u64> {
        let found = self.core.query_key(QUEUES[at].0, &format!("k{serial_asked}"), 10, 0, i64::MAX);
        let found =
            found.records.iter().map(|record| serial(records(record).next().unwrap().unwrap().body()));
        found.collect()
    }

    fn any_queue(&mut self) -> usize {
        if self.mode == FlushMode::Sync {
            // What is not durable is not visible.
            self.make_durable();
        }
        self.random.below(QUEUES.len() as u64) as usize
    }

    pub(super) fn get(&mut self) {
        let at = self.any_queue();
        let (topic, queue_id) = QUEUES[at];
        let none = Queue::default();
        let queue = self.model.queues.get(&at).unwrap_or(&none);
        let end = queue.next;
        let min = queue.messages.keys().next().copied().unwrap_or(end);
        let offset = (min - 2 + self.random.below((end - min) as u64 + 5) as i64).max(-1);
        let max_count = 1 + self.random.below(40) as usize;
        let got = self.core.get(&Get { topic, queue_id, offset, max_count, max_bytes: 1 << 20 }, &());
        let found: Vec<(i64, u64)> = got
            .records
            .iter()
            .flat_map(|run| records(run))
            .map(|record| record.unwrap())
            .map(|record| (record.queue_offset(), serial(record.body())))
            .collect();
        let (status, next) = match offset {
            _ if end == 0 => {
                assert!(matches!(got.status, GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue));
                return;
            }
            _ if !queue.whole => return,
            offset if offset < min => (GetStatus::OffsetTooSmall, min),
            offset if offset == end => (GetStatus::OffsetOverflowOne, end),
            offset if offset > end => (GetStatus::OffsetOverflowBadly, end),
            offset => (GetStatus::Found, offset + found.len() as i64),
        };
        assert_eq!((got.status, got.next_offset), (status, next), "{topic}/{queue_id} at {offset}");
        assert!(status != GetStatus::Found || !found.is_empty());
        let expected = queue.messages.range(offset..).map(|(offset, message)| (*offset, message.serial));
        assert!(
            expected.take(found.len()).eq(found.iter().copied()),
            "{topic}/{queue_id} at {offset}: {found:?}"
        );
    }

    pub(super) fn search_time(&mut self) {
        let at = self.any_queue();
        let (topic, id) = QUEUES[at];
        let Some(queue) = self.model.queues.get(&at).filter(|queue| queue.whole) else { return };
        let (Some(first), Some(last)) = (queue.messages.values().next(), queue.messages.values().last())
        else {
            return;
        };
        let asked = first.time - 10 + self.random.below((last.time - first.time).max(0) as u64 + 20) as i64;
        let min = queue.next - queue.messages.len() as i64;
        let lower = queue
            .messages
            .iter()
            .find(|(_, message)| message.time >= asked)
            .map_or(queue.next, |found| *found.0);
        let upper =
            queue.messages.iter().rfind(|(_, message)| message.time <= asked).map_or(min, |found| *found.0);
        let found = |boundary| self.core.offset_by_time(topic, id, asked, boundary);
        assert_eq!(
            (found(Boundary::Lower), found(Boundary::Upper)),
            (Some(lower), Some(upper)),
            "{topic}/{id}"
        );
    }

    pub(super) fn query_key(&mut self) {
        let at = self.any_queue();
        let Some(queue) = self.model.queues.get(&at).filter(|queue| !queue.messages.is_empty()) else {
            return;
        };
        let nth = self.random.below(queue.messages.len() as u64) as usize;
        let serial = queue.messages.values().nth(nth).expect("below their number").serial;
        assert_eq!(self.find_key(at, serial), [serial]);
    }
}

fn serial(body: &[u8]) -> u64 {
    let digits = body.split(|byte| *byte == b':').next().unwrap_or_default();
    std::str::from_utf8(digits).unwrap().parse().expect("bodies begin with their number")
}
