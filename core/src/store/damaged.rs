//! Records that were whole when they were written and are not when they are read: told of once, and never served.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::queue::Queue;
use super::segment::Segment;
use crate::sync::Mutex;

/// Damaged records that are remembered; a disk that is going loses more than anyone wants to read about.
const REMEMBERED: usize = 1000;

/// Commit-log offsets of the damaged records that were met, and what is wrong with queues.
#[derive(Default)]
pub(crate) struct Damaged {
    met: Mutex<BTreeSet<i64>>,
    /// Entries that lead to no record: topic, queue, offset.
    entries: Mutex<BTreeSet<(Arc<str>, i32, i64)>>,
    /// Some were met: the next start has to compare the queues with the log.
    queues: AtomicBool,
}

impl Damaged {
    /// Tells of a record that a reader of a queue passes over.
    pub fn report(&self, segment: &Segment, physical_offset: i64, queue: &Queue, offset: i64) {
        self.note(physical_offset, || {
            let (topic, id, path) = (&queue.topic, queue.id, segment.path.display());
            format!("in {path}: {topic}, queue {id}, offset {offset}")
        });
    }

    /// Tells of a record, unless it was told of before: those who want it may ask again and again.
    pub fn note(&self, physical_offset: i64, place: impl FnOnce() -> String) {
        let mut met = self.met.lock();
        if met.len() < REMEMBERED && met.insert(physical_offset) {
            drop(met);
            let place = place();
            tracing::error!(
                physical_offset,
                "a record was damaged since it was written, and is not served, {place}; `ferromq log check` tells more"
            );
        }
    }

    /// Tells of an entry that no record ever had; the log may well have its message.
    pub fn report_entry(&self, queue: &Queue, offset: i64) {
        self.queues.store(true, Ordering::Release);
        let mut met = self.entries.lock();
        if met.len() < REMEMBERED && met.insert((queue.topic.clone(), queue.id, offset)) {
            drop(met);
            let (topic, queue) = (&queue.topic, queue.id);
            tracing::error!(
                %topic, queue, offset,
                "the queue entry leads to no record; the next start compares all queues with the log"
            );
        }
    }

    /// Whether a queue is known to be damaged.
    pub fn has_queues(&self) -> bool {
        self.queues.load(Ordering::Acquire)
    }

    pub fn offsets(&self) -> Vec<i64> {
        self.met.lock().iter().copied().collect()
    }
}
