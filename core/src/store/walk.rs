//! Reads a queue record by record, in place: for readers of this process, which need no copies.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::known::KnownQueue;
use super::queue::Slot;
use super::segment::Segment;
use super::types::QueueEntry;
use super::Core;
use crate::record::{Layout, RecordView};

/// Entries read ahead.
const AHEAD: usize = 128;
/// So many records ahead of the one that is looked at, bytes at the start of one are asked for.
const FETCHED_AHEAD: usize = 4;
const FETCHED_BYTES: usize = 512;

/// A reader of one queue: where it is, and what it has at hand. Its file of the log stays in memory, and on the disk, until
/// it comes to another one or goes, also when retention removes it meanwhile.
pub struct Walk {
    known: KnownQueue,
    next: i64,
    /// Entries from `next` on are those from `at` on.
    slots: Vec<Slot>,
    at: usize,
    segment: Option<Arc<Segment>>,
    /// The last record, where its file's mapping has lost pages, which the file itself may still have.
    copy: Option<Bytes>,
}

impl Walk {
    /// Begins at an offset, which need not be there.
    pub fn new(known: KnownQueue, offset: i64) -> Walk {
        Walk { known, next: offset.max(0), slots: Vec::new(), at: 0, segment: None, copy: None }
    }

    /// The offset from which on the next record is looked for.
    pub fn offset(&self) -> i64 {
        self.next
    }

    /// Goes on from this offset.
    pub fn seek(&mut self, offset: i64) {
        (self.next, self.at) = (offset.max(0), 0);
        self.slots.clear();
    }

    /// Whether the topic was deleted.
    pub fn is_gone(&self) -> bool {
        self.known.is_gone()
    }

    /// The next record with its offset; none if there is none yet. Sees every append that was acknowledged before. What
    /// is gone, or turns out to be damaged, is passed over.
    ///
    /// # Errors
    /// When a file of the queue cannot be read. The next call tries again.
    pub fn step(&mut self, core: &Core) -> io::Result<Option<(i64, RecordView<'_>)>> {
        let (slot, layout) = loop {
            let Some(slot) = self.slots.get(self.at).copied() else {
                if !self.read_ahead(core)? {
                    return Ok(None);
                }
                continue;
            };
            self.at += 1;
            // Never back, whatever a damaged entry says.
            self.next = self.next.max(slot.offset.saturating_add(slot.count));
            if let Some(layout) = self.look(core, &slot) {
                break (slot, layout);
            }
        };
        let at = slot.entry.physical_offset;
        let record = match &self.copy {
            Some(copy) => RecordView::again(copy, layout),
            None => self.segment.as_ref().and_then(|segment| segment.record_again(at, layout)),
        };
        match record {
            Some(record) => Ok(Some((slot.offset, record))),
            None => Err(io::Error::other(format!(
                "the record of offset {} was lost while it was read",
                slot.offset
            ))),
        }
    }

    fn read_ahead(&mut self, core: &Core) -> io::Result<bool> {
        let queue = &self.known.queue;
        if self.next >= queue.max() {
            core.catch_up();
        }
        let max = queue.max();
        (self.next, self.at) = (self.next.max(queue.min()), 0);
        self.slots.clear();
        if self.next >= max {
            return Ok(false);
        }
        let count = AHEAD.min((max - self.next) as usize);
        queue.read(&core.queues.files, self.next, count, &mut self.slots)?;
        if let Some(slot) = self.slots.first() {
            core.behind.note_reader(slot.entry.physical_offset);
        }
        if self.slots.is_empty() {
            let (topic, id, offset) = (&queue.topic, queue.id, self.next);
            return Err(io::Error::other(format!("{topic}, queue {id}: the entry of {offset} is not there")));
        }
        Ok(true)
    }

    /// The layout of the record behind an entry, if a sound one stands there; its file is at hand then.
    fn look(&mut self, core: &Core, slot: &Slot) -> Option<Layout> {
        let (entry, queue) = (&slot.entry, &self.known.queue);
        if !entry.is_record() {
            if *entry != QueueEntry::BLANK {
                core.damaged.report_entry(queue, slot.offset);
            }
            return None;
        }
        let at_hand = |segment: &Arc<Segment>| (segment.base..segment.end()).contains(&entry.physical_offset);
        if !self.segment.as_ref().is_some_and(at_hand) {
            self.segment = core.log.segments.find(entry.physical_offset);
        }
        let segment = self.segment.as_ref()?;
        if let Some(later) = self.slots.get(self.at + FETCHED_AHEAD) {
            let len = (later.entry.size.max(0) as usize).min(FETCHED_BYTES);
            segment.fetch_ahead(later.entry.physical_offset, len);
        }
        let look_at = |record: &RecordView<'_>| {
            let is_its = record.total_size() == entry.size as usize;
            is_its.then(|| record.body_crc_matches().then(|| record.layout()))
        };
        let mut looked = segment.record(entry.physical_offset).as_ref().and_then(look_at);
        // What was looked at may be zeros where a page was lost.
        let has_lost = segment.lost_pages();
        self.copy = has_lost.then(|| segment.read_record(entry.physical_offset)).flatten();
        if has_lost {
            let copy = self.copy.as_ref().and_then(|copy| RecordView::parse(copy).ok());
            looked = copy.as_ref().and_then(look_at);
        }
        match looked {
            Some(Some(layout)) => return Some(layout),
            None if !has_lost => core.damaged.report_entry(queue, slot.offset),
            _ => core.damaged.report(segment, entry.physical_offset, queue, slot.offset),
        }
        None
    }
}
