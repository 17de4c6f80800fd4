//! The way out: a queue's entries, the filter, and the records as slices of the mapped log.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::queue::{Queue, Slot};
use super::segment::Segment;
use super::types::{Filter, Get, GetResult, GetStatus, QueueEntry};
use super::Core;
use crate::record::RecordView;

/// Entries that one get looks at when none passes the filter: the caller comes back for more. A filter that has to see
/// the records has a bound of its own, in bytes of entries.
const MOST_SCANNED: usize = 16_000;
const ENTRY: usize = 20;
/// And a bound in time: what it costs to look at a record is up to who wrote the filter.
const LONGEST_SCAN: Duration = Duration::from_millis(20);
/// Tags codes at or below this are addresses of extended entries.
const LAST_EXT_ADDRESS: i64 = i32::MIN as i64 - 1;

thread_local! {
    static SLOTS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

impl Core {
    /// Reads records of a queue from an offset on. Sees every append that was acknowledged before the call,
    /// unless another append is stuck with the log's lock: then what is not seen yet counts as still to come.
    #[doc(alias = "getMessage")]
    pub fn get(&self, get: &Get<'_>, filter: &dyn Filter) -> GetResult {
        let caught_up = self.catch_up();
        let Some(queue) = self.queues.queue(get.topic, get.queue_id) else {
            return nothing(GetStatus::NoMatchedLogicQueue, 0, 0, 0);
        };
        let (min, max) = (queue.min(), queue.max());
        let (status, next) = match get.offset {
            // The end may be further on than can be seen for now, so nobody is sent back to it.
            offset if offset > max && !caught_up => (GetStatus::OffsetOverflowOne, offset),
            _ if max == 0 => (GetStatus::NoMessageInQueue, 0),
            offset if offset < min => (GetStatus::OffsetTooSmall, min),
            offset if offset == max => (GetStatus::OffsetOverflowOne, max),
            offset if offset > max => (GetStatus::OffsetOverflowBadly, max),
            _ => return self.read(get, filter, &queue, min, max),
        };
        nothing(status, next, min, max)
    }

    fn read(&self, get: &Get<'_>, filter: &dyn Filter, queue: &Queue, min: i64, max: i64) -> GetResult {
        let mut reader = Reader {
            core: self,
            get,
            filter,
            queue,
            log_end: self.log.end(),
            runs: Vec::new(),
            run: None,
            result: nothing(GetStatus::NoMatchedMessage, get.offset, min, max),
        };
        SLOTS.with_borrow_mut(|slots| reader.scan(slots));
        reader.finish()
    }

    /// The entry of one offset, its tags code resolved where it is an address. `None` also if it cannot be read.
    pub fn entry(&self, topic: &str, queue_id: i32, offset: i64) -> Option<QueueEntry> {
        self.try_entry(topic, queue_id, offset).ok().flatten()
    }

    /// As [`Core::entry`]. Within the bounds of the queue, `None` means that there is no record at this offset for good.
    ///
    /// # Errors
    /// When the queue's file cannot be read, which may pass.
    pub fn try_entry(&self, topic: &str, queue_id: i32, offset: i64) -> io::Result<Option<QueueEntry>> {
        self.catch_up();
        let Some(queue) = self.queues.queue(topic, queue_id) else { return Ok(None) };
        let slot = queue.slot(&self.queues.files, offset)?;
        if slot.is_some_and(|slot| !slot.entry.is_record() && slot.entry != QueueEntry::BLANK) {
            self.damaged.report_entry(&queue, offset);
        }
        let Some(entry) = slot.map(|slot| slot.entry).filter(QueueEntry::is_record) else { return Ok(None) };
        let tags_code = self.tags_code(&queue, &entry).unwrap_or(entry.tags_code);
        Ok(Some(QueueEntry { tags_code, ..entry }))
    }

    /// Whether a record counts as in memory: Apache's rule, by its distance from the end of the log.
    #[doc(alias = "checkInMemByConsumeOffset")]
    pub fn is_in_memory(&self, topic: &str, queue_id: i32, offset: i64) -> bool {
        let entry = self.entry(topic, queue_id, offset);
        entry.is_some_and(|entry| self.log.end() - entry.physical_offset <= self.memory_reach)
    }

    /// The tags code of an entry; `None` if it stands in an extended entry that cannot be read.
    pub(crate) fn tags_code(&self, queue: &Queue, entry: &QueueEntry) -> Option<i64> {
        if entry.tags_code > LAST_EXT_ADDRESS {
            return Some(entry.tags_code);
        }
        self.ext.tags_hash(&queue.topic, queue.id, entry.tags_code)
    }
}

struct Reader<'a> {
    core: &'a Core,
    get: &'a Get<'a>,
    filter: &'a dyn Filter,
    queue: &'a Queue,
    log_end: i64,
    runs: Vec<Bytes>,
    /// Adjacent records of one file: where they start, and their bytes.
    run: Option<(Arc<Segment>, i64, usize)>,
    result: GetResult,
}

/// What became of the record of an entry.
enum Look {
    Taken,
    /// The filter does not want it.
    PassedOver,
    /// It is not what was written.
    Damaged,
    /// The entry points to something else.
    NoRecord,
    /// The log does not reach so far.
    NotThere,
}

impl Reader<'_> {
    fn scan(&mut self, slots: &mut Vec<Slot>) {
        let mut scanned = 0;
        // A reader who takes everything needs no more entries than records.
        let most = self.core.options.max_transfer_count_on_message_in_memory;
        let mut chunk = self.get.max_count.clamp(1, most.max(1));
        let started = self.filter.looks_at_records().then(Instant::now);
        let most_scanned = match started.is_some() {
            true => (self.core.options.max_filter_message_size / ENTRY).max(chunk),
            false => MOST_SCANNED,
        };
        while self.result.next_offset < self.result.max_offset && scanned < most_scanned {
            slots.clear();
            let read = self.queue.read(&self.core.queues.files, self.result.next_offset, chunk, slots);
            if let Err(error) = read {
                tracing::error!(topic = %self.queue.topic, queue = self.queue.id, %error, "read of a queue failed");
            }
            if slots.is_empty() {
                if self.result.count == 0 {
                    self.result.status = GetStatus::OffsetFoundNull;
                }
                return;
            }
            scanned += slots.len();
            for slot in slots.iter() {
                // Entries behind the end that the caller is told of wait for the next get.
                if slot.offset >= self.result.max_offset || !self.take(slot) {
                    return;
                }
                self.result.next_offset = slot.offset + slot.count;
                if started.is_some_and(|started| started.elapsed() > LONGEST_SCAN) {
                    return;
                }
            }
            chunk = (chunk * 4).min(1024).min(most_scanned.saturating_sub(scanned)).max(1);
        }
    }

    /// Looks at one entry; `false` if the result is full without it.
    fn take(&mut self, slot: &Slot) -> bool {
        let entry = &slot.entry;
        if !entry.is_record() {
            if *entry != QueueEntry::BLANK {
                self.core.damaged.report_entry(self.queue, slot.offset);
            }
            return true;
        }
        let behind = self.log_end - entry.physical_offset;
        let in_memory = behind <= self.core.memory_reach;
        if self.is_full(entry.size as usize, in_memory) {
            return false;
        }
        if !self.filter.tags_match(self.core.tags_code(self.queue, entry)) {
            return true;
        }
        if self.result.count == 0 {
            self.core.behind.note_reader(entry.physical_offset);
        }
        let Some(segment) = self.segment(entry.physical_offset) else {
            return self.removing();
        };
        let looked = self.look(&segment, slot);
        // What was looked at may be zeros where a page was lost.
        let (look, copy) = match segment.lost_pages() {
            true => self.look_at_copy(&segment, slot),
            false => (looked, None),
        };
        match look {
            Look::Taken => {}
            Look::PassedOver => return true,
            Look::Damaged => {
                self.core.damaged.report(&segment, entry.physical_offset, self.queue, slot.offset);
                return self.removing();
            }
            Look::NoRecord => {
                self.core.damaged.report_entry(self.queue, slot.offset);
                return self.removing();
            }
            Look::NotThere => return self.removing(),
        }
        let size = entry.size as usize;
        match copy {
            Some(copy) => {
                self.end_run();
                self.runs.push(copy);
            }
            None => self.add(segment, entry.physical_offset, size),
        }
        self.result.lagging = !in_memory;
        self.result.count += slot.count as usize;
        self.result.bytes += size;
        true
    }

    /// Looks at the record of an entry where it is mapped.
    fn look(&self, segment: &Segment, slot: &Slot) -> Look {
        let entry = &slot.entry;
        let size = entry.size as usize;
        let Some(head) = segment.from(entry.physical_offset).get(..size.max(crate::record::MIN_RECORD))
        else {
            return Look::NotThere;
        };
        // An entry that a damaged queue file made up must not send anything but records to a client.
        let long = |at: usize| i64::from_be_bytes(head[at..at + 8].try_into().unwrap_or_default());
        if head[..4] != entry.size.to_be_bytes() || long(28) != entry.physical_offset {
            return Look::NoRecord;
        }
        self.judge(segment.record(entry.physical_offset))
    }

    /// As [`Reader::look`], in the file: the page cache or the disk may have what the mapping has lost.
    fn look_at_copy(&self, segment: &Segment, slot: &Slot) -> (Look, Option<Bytes>) {
        let copy = segment.read_record(slot.entry.physical_offset);
        match copy.filter(|copy| copy.len() == slot.entry.size as usize) {
            Some(copy) => (self.judge(RecordView::parse(&copy).ok()), Some(copy)),
            None => (Look::Damaged, None),
        }
    }

    fn judge(&self, view: Option<RecordView<'_>>) -> Look {
        if self.filter.looks_at_records() && !view.is_some_and(|view| self.filter.record_matches(&view)) {
            return Look::PassedOver;
        }
        match view.is_some_and(|view| view.body_crc_matches()) {
            true => Look::Taken,
            false => Look::Damaged,
        }
    }

    fn removing(&mut self) -> bool {
        if self.result.count == 0 {
            self.result.status = GetStatus::MessageWasRemoving;
        }
        true
    }

    /// Whether a record of `size` bytes is too much. The first one never is.
    fn is_full(&self, size: usize, in_memory: bool) -> bool {
        let options = &self.core.options;
        let (bytes, count) = match in_memory {
            true => (
                options.max_transfer_bytes_on_message_in_memory,
                options.max_transfer_count_on_message_in_memory,
            ),
            false => {
                (options.max_transfer_bytes_on_message_in_disk, options.max_transfer_count_on_message_in_disk)
            }
        };
        self.result.count > 0
            && (self.result.count >= self.get.max_count.min(count)
                || self.result.bytes + size > self.get.max_bytes.min(bytes))
    }

    fn segment(&self, offset: i64) -> Option<Arc<Segment>> {
        match &self.run {
            Some((segment, ..)) if (segment.base..segment.end()).contains(&offset) => Some(segment.clone()),
            _ => self.core.log.segments.find(offset),
        }
    }

    /// Lengthens the run, or begins a new one.
    fn add(&mut self, segment: Arc<Segment>, offset: i64, size: usize) {
        match &mut self.run {
            Some((last, start, len)) if *start + *len as i64 == offset && Arc::ptr_eq(last, &segment) => {
                *len += size
            }
            _ => {
                self.end_run();
                self.run = Some((segment, offset, size));
            }
        }
    }

    fn end_run(&mut self) {
        if let Some((segment, start, len)) = self.run.take() {
            self.runs.extend(segment.bytes(start, len));
        }
    }

    fn finish(mut self) -> GetResult {
        self.end_run();
        if self.result.count > 0 {
            self.result.status = GetStatus::Found;
        }
        self.result.records = self.runs;
        self.result
    }
}

fn nothing(status: GetStatus, next_offset: i64, min_offset: i64, max_offset: i64) -> GetResult {
    let (records, count, bytes) = (Vec::new(), 0, 0);
    GetResult { status, next_offset, min_offset, max_offset, records, count, bytes, lagging: false }
}
