//! Records that were whole when they were written and are not when they are read: told of once, and never served.

use std::collections::BTreeSet;

use super::queue::Queue;
use super::segment::Segment;
use crate::sync::Mutex;

/// Damaged records that are remembered; a disk that is going loses more than anyone wants to read about.
const REMEMBERED: usize = 1000;

/// Commit-log offsets of the damaged records that were met.
#[derive(Default)]
pub(crate) struct Damaged {
    met: Mutex<BTreeSet<i64>>,
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

    pub fn offsets(&self) -> Vec<i64> {
        self.met.lock().iter().copied().collect()
    }
}
