//! One reading of the log at a start: what it tells is compared with the queues, and they are made to agree.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::cursor::{Accepted, Cursor};
use super::index_file::Key;
use super::numbers::Ruling;
use super::queue::{Form, Queue, Slot};
use super::recovery::{io_error, Before};
use super::scan::{self, Finding, Found, LogFile};
use super::types::{Damage, Lost, QueueEntry, RecoveryReport, MOST_LOST};
use super::Core;
use crate::Result;

/// Told of bytes that were never written, or lost; no damage at the end of the log.
const ZEROS: &str = "zeros";

/// A queue, as the log names it.
pub(crate) type QueueKey = (Arc<scan::TopicName>, i32);

/// One reading of the log.
pub(crate) struct Pass<'a> {
    core: &'a Core,
    before: &'a Before,
    files: &'a [LogFile],
    pub start: i64,
    /// Before this commit-log offset exactly those records have entries that should; 0 if that is not known.
    pub vouched_to: i64,
    /// No record ends where the checkpoint says.
    pub is_of_another_log: bool,
    /// A record ends where this pass begins.
    pub start_is_sure: bool,
    index_from: i64,
    /// No queue directory was lost since the last checkpoint.
    all_queues_there: bool,
    /// Queues of which nothing is to be kept.
    pub remade: HashSet<QueueKey>,
    /// Queues that must be, which another reading of the log does.
    pub to_remake: Vec<QueueKey>,
    known_topics: Option<HashSet<&'a str>>,
    /// File being scanned.
    file: usize,
    cursors: HashMap<QueueKey, Cursor>,
    keys: Vec<Key>,
    /// End of the last valid record.
    pub end: i64,
    pub last_time: i64,
    /// Damage behind the last valid record: skipped if another record follows, else cut.
    open_damage: FirstOf<Damage>,
    skipped: FirstOf<Damage>,
    /// Bytes that were passed over.
    skipped_bytes: i64,
    records: u64,
    indexed: u64,
    entries: Entries,
    /// Numbers whose entries were removed at the end of their queues.
    unfounded: Vec<Lost>,
    /// The scan must begin at this offset instead.
    pub older_wanted: Option<i64>,
}

impl<'a> Pass<'a> {
    pub fn new(
        core: &'a Core,
        before: &'a Before,
        files: &'a [LogFile],
        file: usize,
        start: i64,
        index_from: i64,
        all_queues_there: bool,
    ) -> Self {
        let known = core.options.known_topics.as_ref();
        let most = if before.lists_all { usize::MAX } else { MOST_LOST };
        Pass {
            core,
            before,
            files,
            start,
            vouched_to: 0,
            is_of_another_log: false,
            start_is_sure: false,
            index_from,
            all_queues_there,
            remade: HashSet::new(),
            to_remake: Vec::new(),
            known_topics: known.map(|topics| topics.iter().map(String::as_str).collect()),
            file,
            cursors: HashMap::new(),
            keys: Vec::new(),
            end: start,
            // The time of the record that ends here.
            last_time: if start > files[file].base { before.checkpoint.queues_ms } else { 0 },
            open_damage: FirstOf::new(most),
            skipped: FirstOf::new(most),
            skipped_bytes: 0,
            records: 0,
            indexed: 0,
            entries: Entries::new(most),
            unfounded: Vec::new(),
            older_wanted: None,
        }
    }

    pub fn run(mut self, file: usize) -> Result<Self> {
        let core = self.core;
        let mut taken = Ok(());
        let (files, start) = (&self.files[file..], self.start);
        scan::scan(&*core.options.storage, files, start, &core.options.delay_levels_ms, |finding| {
            taken = self.take(finding);
            taken.is_ok() && self.older_wanted.is_none() && !self.is_of_another_log
        })?;
        taken.map_err(|error| io_error(core, error))?;
        core.index.add_recovered(&self.keys, self.end);
        if self.older_wanted.is_none() {
            self.is_of_another_log |= self.end < self.vouched_to;
        }
        if self.older_wanted.is_none() && !self.is_of_another_log {
            self.take_held().map_err(|error| io_error(core, error))?;
            if self.to_remake.is_empty() && self.older_wanted.is_none() {
                self.remove_unfounded().map_err(|error| io_error(core, error))?;
            }
        }
        Ok(self)
    }

    fn take(&mut self, finding: Finding) -> io::Result<()> {
        match finding {
            Finding::Record(found) => self.record(&found)?,
            Finding::Damage { from, to, reason } => self.damage(from, to, reason),
            Finding::EndOfFile { at, blank } => self.end_of_file(at, blank),
        }
        Ok(())
    }

    fn damage(&mut self, offset: i64, to: i64, reason: String) {
        let file = self.files[self.file].base;
        if offset == self.start && offset > file && !self.start_is_sure {
            // Perhaps no record ends here at all: the checkpoint may be of another log.
            self.older_wanted = Some(file);
        }
        self.open_damage.push(|| Damage { offset, length: to - offset, reason });
    }

    /// A file that ends early, or is not there, is damage if records follow.
    fn end_of_file(&mut self, at: i64, blank: bool) {
        let file = &self.files[self.file];
        let file_end = file.base + file.size as i64;
        if blank && self.open_damage.is_empty() {
            self.end = file_end;
        } else if !blank && at < file_end {
            self.damage(at, file_end, ZEROS.into());
        }
        if let Some(next) = self.files.get(self.file + 1).filter(|next| next.base > file_end) {
            self.damage(file_end, next.base, "the file is missing".into());
        }
        if self.file % 16 == 15 {
            let (files, records) = (self.files.len(), self.records);
            tracing::info!(file = self.file + 1, files, records, "recovering");
        }
        self.file += 1;
    }

    fn record(&mut self, found: &Found) -> io::Result<()> {
        let end = found.offset + i64::from(found.size);
        if !self.open_damage.is_empty() {
            if found.store_timestamp < self.last_time {
                // What a former, longer log left here; the records before it are younger.
                self.damage(found.offset, end, "remnant of an overwritten record".into());
                return Ok(());
            }
            self.skipped_bytes += found.offset - self.end;
            self.skipped.append(&mut self.open_damage);
        }
        if found.offset < self.vouched_to && end > self.vouched_to {
            self.is_of_another_log = true;
            return Ok(());
        }
        (self.end, self.last_time) = (end, found.store_timestamp);
        self.records += 1;
        if found.offset >= self.index_from && !found.keys.is_empty() {
            let (offset, store_timestamp) = (found.offset, found.store_timestamp);
            self.keys.extend(found.keys.iter().map(|hash| Key { hash, offset, store_timestamp }));
            self.indexed += 1;
            if self.keys.len() > 4096 {
                self.core.index.add_recovered(&self.keys, end);
                self.keys.clear();
            }
        }
        if found.queued && found.offset >= self.vouched_to {
            self.queue_entry(found)?;
        }
        Ok(())
    }

    /// Before this commit-log offset nothing is compared.
    fn compared_from(&self) -> i64 {
        self.start.max(self.vouched_to)
    }

    fn queue_entry(&mut self, found: &Found) -> io::Result<()> {
        let key = (found.topic.clone(), found.queue_id);
        if !self.cursors.contains_key(&key) {
            let Some(cursor) = self.cursor(found)? else { return Ok(()) };
            self.cursors.insert(key.clone(), cursor);
        }
        let first = self.lacks_nothing_before();
        let Some(cursor) = self.cursors.get_mut(&key) else { return Ok(()) };
        let entry =
            QueueEntry { physical_offset: found.offset, size: found.size, tags_code: found.tags_code };
        let count = if cursor.queue.form == Form::Batch { found.count } else { 1 };
        let slot = Slot { offset: found.queue_offset, count, entry, store_timestamp: found.store_timestamp };
        let ruling = cursor.follow(self.core, self.files, slot)?;
        if ruling.remake {
            self.to_remake.push(key);
            return Ok(());
        }
        self.older_wanted = self.entries.take(self.core, cursor, &ruling, self.start, first)?;
        Ok(())
    }

    /// Before this commit-log offset no queue lacks anything: one that ends as the checkpoint says does not.
    fn lacks_nothing_before(&self) -> i64 {
        if self.vouched_to > 0 {
            self.start
        } else {
            self.files[0].base
        }
    }

    /// Records that were put off and have none behind them in their queues.
    fn take_held(&mut self) -> io::Result<()> {
        let first = self.lacks_nothing_before();
        for (key, cursor) in &mut self.cursors {
            let is_lacking = self.start > first && cursor.queue.state().log_end < self.start;
            let lost = if is_lacking { i64::MAX } else { self.skipped_bytes };
            let ruling = cursor.last(self.core, self.vouched_to > 0, lost)?;
            if ruling.remake {
                self.to_remake.push(key.clone());
            }
            let older = self.entries.take(self.core, cursor, &ruling, self.start, first)?;
            self.older_wanted = self.older_wanted.into_iter().chain(older).min();
        }
        Ok(())
    }

    /// The queue of a record that is the first of its queue in this pass; none if its topic was deleted since.
    fn cursor(&mut self, found: &Found) -> io::Result<Option<Cursor>> {
        let queues = &self.core.queues;
        let name = found.topic.name.as_str();
        let gone = queues.queue(name, found.queue_id).is_none() && self.was_deleted(found);
        if gone || super::check_topic(name).is_err() {
            return Ok(None);
        }
        let topic = queues.topic_or_new(name, Form::Plain);
        let queue = queues.queue_or_new(&topic, found.queue_id);
        if self.remade.contains(&(found.topic.clone(), found.queue_id)) {
            queue.reset(&queues.files)?;
            queues.note_unsaved(&queue);
        }
        Ok(Some(Cursor::new(self.core, queue, self.compared_from(), self.vouched_to > 0)?))
    }

    /// Whether a queue that is not there was deleted, rather than lost. A record that had its entry before the end was
    /// in a queue that was there; so if all of those are still there, its own was deleted. Otherwise the table of
    /// topics tells. What came after a checkpoint and before a crash may be the first of a new topic: losing its messages would be worse
    /// than a deleted one's coming back.
    fn was_deleted(&self, found: &Found) -> bool {
        let checkpoint = &self.before.checkpoint;
        let had_its_entry = match checkpoint.own {
            Some(own) => found.offset < own.dispatched_to,
            None => self.before.clean || found.store_timestamp < checkpoint.queues_ms,
        };
        let name = found.topic.name.as_str();
        let unknown = self.known_topics.as_ref().is_some_and(|known| !known.contains(name));
        had_its_entry && (unknown || self.all_queues_there)
    }

    /// Removes entries for which the log has no record. Where that leaves a queue that ends before this pass began,
    /// the removed entries may have stood in the place of older ones.
    fn remove_unfounded(&mut self) -> io::Result<()> {
        let vouched: HashMap<*const Queue, i64> =
            self.cursors.values().map(|cursor| (Arc::as_ptr(&cursor.queue), cursor.next)).collect();
        let start = self.compared_from();
        for queue in self.core.queues.all() {
            if queue.state().log_end <= start {
                continue;
            }
            let next = match vouched.get(&Arc::as_ptr(&queue)) {
                Some(next) => *next,
                None => Cursor::new(self.core, queue.clone(), start, true)?.next,
            };
            if next >= queue.max() {
                continue;
            }
            self.entries.removed += (queue.max() - next) as u64;
            let offsets = next..queue.max();
            self.unfounded.push(Lost { topic: queue.topic.to_string(), queue_id: queue.id, offsets });
            queue.cut(&self.core.queues.files, next)?;
            self.core.queues.note_unsaved(&queue);
            let known_to = queue.state().log_end;
            if known_to < self.start && self.start > self.files[0].base && self.vouched_to == 0 {
                self.older_wanted = Some(self.older_wanted.map_or(known_to, |older| older.min(known_to)));
            }
        }
        Ok(())
    }

    fn lost(&self) -> Vec<Lost> {
        let of = |(topic, queue_id): &QueueKey, offsets: &Range<i64>| Lost {
            topic: topic.name.clone(),
            queue_id: *queue_id,
            offsets: offsets.clone(),
        };
        let missing = self
            .cursors
            .iter()
            .flat_map(|(queue, cursor)| cursor.missing.iter().map(move |offsets| of(queue, offsets)));
        let mut lost: Vec<Lost> = missing.chain(self.unfounded.iter().cloned()).collect();
        lost.sort_by(|a, b| {
            (&a.topic, a.queue_id, a.offsets.start).cmp(&(&b.topic, b.queue_id, b.offsets.start))
        });
        lost.truncate(MOST_LOST);
        lost
    }

    pub fn tell(&self, report: &mut RecoveryReport) {
        report.records_checked = self.records;
        report.end = self.end;
        report.skipped.clone_from(&self.skipped.list);
        report.cut = self.open_damage.list.iter().filter(|damage| damage.reason != ZEROS).cloned().collect();
        report.entries_rebuilt = self.entries.rebuilt;
        report.entries_removed = self.entries.removed;
        report.holes = self.entries.holes;
        report.lost = self.lost();
        report.index_rebuilt = self.indexed;
        report.notes.extend(self.entries.notes.list.iter().cloned());
        let more = [
            (self.skipped.more, "more stretches of the log are damaged"),
            (self.open_damage.more, "more stretches at the end of the log are damaged"),
            (self.entries.notes.more, "more records are in no queue"),
        ];
        let more = more.iter().filter(|(more, _)| *more > 0);
        report
            .notes
            .extend(more.map(|(more, what)| format!("{more} {what}: `ferromq log check` lists them")));
    }
}

/// The first of many, as damage all over a large log must not take its memory.
struct FirstOf<T> {
    list: Vec<T>,
    most: usize,
    /// How many came behind them.
    more: u64,
}

impl<T> FirstOf<T> {
    fn new(most: usize) -> Self {
        FirstOf { list: Vec::new(), most, more: 0 }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn push(&mut self, make: impl FnOnce() -> T) {
        match self.list.len() < self.most {
            true => self.list.push(make()),
            false => self.more += 1,
        }
    }

    fn append(&mut self, other: &mut Self) {
        other.list.drain(..).for_each(|item| self.push(|| item));
        self.more += std::mem::take(&mut other.more);
    }
}

/// What was done to the queues.
struct Entries {
    rebuilt: u64,
    removed: u64,
    holes: u64,
    notes: FirstOf<String>,
}

impl Entries {
    fn new(most: usize) -> Self {
        Entries { rebuilt: 0, removed: 0, holes: 0, notes: FirstOf::new(most) }
    }

    /// Compares records whose turn it is with their queue. Where the scan must begin if it began behind records that
    /// the queue lacks; none stand before `first`.
    fn take(
        &mut self,
        core: &Core,
        cursor: &mut Cursor,
        ruling: &Ruling,
        start: i64,
        first: i64,
    ) -> io::Result<Option<i64>> {
        for (slot, why) in ruling.refused.iter().flatten() {
            self.refuse(cursor, slot, why);
        }
        if ruling.begins_anew {
            self.removed += cursor.empty(core)? as u64;
        }
        for slot in ruling.accepted.iter().flatten() {
            if let Some(older) = cursor.lacks_before(slot, start, first) {
                return Ok(Some(older));
            }
            match cursor.accept(core, slot)? {
                Accepted::Agrees { blanked } => {
                    self.removed += blanked as u64;
                    self.holes += blanked as u64;
                }
                Accepted::Made { removed, hole } => {
                    self.rebuilt += 1;
                    self.removed += removed as u64;
                    self.holes += hole as u64;
                }
                Accepted::Refused(why) => self.refuse(cursor, slot, why),
            }
        }
        Ok(None)
    }

    fn refuse(&mut self, cursor: &Cursor, slot: &Slot, why: &str) {
        self.notes.push(|| {
            let place = format!("{}, queue {}, offset {}", cursor.queue.topic, cursor.queue.id, slot.offset);
            let at = slot.entry.physical_offset;
            format!("record at {at} ({place}) is in no queue: {why}")
        });
    }
}
