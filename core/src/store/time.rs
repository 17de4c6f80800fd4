//! Search by store time: bisection over a queue, whose records ascend in time.

use std::io;

use super::queue::{Form, Queue};
use super::types::Boundary;
use super::Core;

impl Core {
    /// The offset of the record that `boundary` names. Before the first record that is the first offset; behind the
    /// last one, for [`Boundary::Lower`], the next offset to be given, and for [`Boundary::Upper`] the last record's.
    /// `None`: there is no such queue.
    #[doc(alias = "getOffsetInQueueByTime")]
    pub fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Option<i64> {
        self.catch_up();
        let queue = self.queues.queue(topic, queue_id)?;
        let found = self.search_time(&queue, timestamp_ms, boundary);
        found.inspect_err(|error| tracing::error!(topic, queue_id, %error, "search by time failed")).ok()
    }

    /// Store time of the record at an offset of a queue, ms.
    pub fn store_time(&self, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        let entry = self.entry(topic, queue_id, offset)?;
        self.log.segments.store_time(entry.physical_offset)
    }

    fn search_time(&self, queue: &Queue, timestamp_ms: i64, boundary: Boundary) -> io::Result<i64> {
        let (min, max) = (queue.min(), queue.max());
        if min >= max {
            return Ok(min);
        }
        // The first record for which this is false is the one behind the boundary.
        let before = |time: i64| match boundary {
            Boundary::Lower => time < timestamp_ms,
            Boundary::Upper => time <= timestamp_ms,
        };
        let (mut low, mut high) = (min, max);
        let mut last_before = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_time(queue, middle, high)? {
                Some((offset, next, time)) if before(time) => {
                    last_before = Some(offset);
                    low = next;
                }
                Some((offset, ..)) if offset < middle => high = offset,
                _ => high = middle,
            }
        }
        Ok(match (boundary, queue.form) {
            (Boundary::Lower, Form::Plain) => low,
            // Apache's batch queues have no offset behind the last batch.
            (Boundary::Lower, Form::Batch) if low >= max => last_before.unwrap_or(min),
            (Boundary::Lower, Form::Batch) => low,
            (Boundary::Upper, _) => last_before.unwrap_or(min),
        })
    }

    /// Offset, next offset and store time of the first record from `offset` on and before `end`. Entries without a
    /// record are passed over.
    fn next_time(&self, queue: &Queue, offset: i64, end: i64) -> io::Result<Option<(i64, i64, i64)>> {
        let mut at = offset;
        let mut slots = Vec::new();
        while at < end {
            slots.clear();
            queue.read(&self.queues.files, at, if at == offset { 1 } else { 256 }, &mut slots)?;
            for slot in &slots {
                let time = match slot.entry.is_record() {
                    true => self.log.segments.store_time(slot.entry.physical_offset),
                    false => None,
                };
                if let Some(time) = time {
                    return Ok(Some((slot.offset, slot.offset + slot.count, time)));
                }
            }
            match slots.last() {
                Some(last) => at = last.offset + last.count,
                None => break,
            }
        }
        Ok(None)
    }
}
