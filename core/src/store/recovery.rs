//! Opening a store: the log is read and checked as far back as the last state known to be whole, and queues and index
//! are made to agree with it.
//!
//! The scan begins where everything before is known about: where the checkpoint ends, if every queue still ends there as
//! the checkpoint says. Then whatever a queue lacks was lost behind that, and what is before and in no queue was deleted.
//! Otherwise it begins at a file, and further back should a queue or the index turn out to lack something older.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Own};
use super::cursor::{Accepted, Cursor, Ready, TAKEN};
use super::index_file::Key;
use super::index_load::Known;
use super::log::OpenFile;
use super::log_files::{self, file_at};
use super::queue::{Form, Queue, Slot};
use super::queue_load::{self, Loaded};
use super::scan::{self, Finding, Found, LogFile};
use super::segment::Segment;
use super::storage::Open;
use super::types::{Damage, Lost, QueueEntry, RecoveryReport, MOST_LOST};
use super::Core;
use crate::{Error, ErrorKind, Result};

/// Told of bytes that were never written, or lost; no damage at the end of the log.
const ZEROS: &str = "zeros";

/// What recovery starts from.
pub(crate) struct Before {
    pub clean: bool,
    pub checkpoint: Checkpoint,
    /// The whole log is to be read, whatever is known of it.
    pub whole: bool,
}

/// Recovers log, queues and index, and readies the log for appends.
pub(crate) fn recover(core: &Core, before: &Before) -> Result<RecoveryReport> {
    let mut report = RecoveryReport { clean: before.clean, ..RecoveryReport::default() };
    let files = log_files::find(core, &mut report.notes)?;
    let Some((first, last)) = files.first().zip(files.last()) else {
        return start_empty(core, report);
    };
    let (min, log_end) = (first.base, last.base + last.size as i64);
    let own = before.checkpoint.own.filter(|_| !before.whole);
    let saved_to = own.map(|own| own.dispatched_to);
    let loaded = queue_load::load(&core.queues, min..log_end, saved_to)?;
    report.notes.extend(loaded.notes.iter().cloned());
    let index_from = load_index(core, before, min..log_end, &mut report.notes)?;
    let lost_queues = before.checkpoint.own.is_some_and(|own| (loaded.queues as i64) < own.queues);
    let all_queues_there = before.checkpoint.own.is_some() && !lost_queues;
    if lost_queues {
        report.notes.push("queue directories are missing: queues are made again from the log".into());
    }
    if before.checkpoint.is_begun() {
        report
            .notes
            .push("the checkpoint vouches for nothing: queues are compared with the whole log".into());
    }
    let mut vouched =
        own.filter(|own| own.queue_ends == Some(loaded.saved_ends)).map(|own| own.dispatched_to);
    let mut from = match vouched {
        Some(end) => end,
        None if before.whole || lost_queues || loaded.queues == 0 => min,
        None => trusted(core, before, &files, &loaded, &mut report.notes),
    };
    let exact = saved_to.filter(|end| *end == from);
    if vouched.is_none() {
        from = from.min(loaded.damaged_from.unwrap_or(i64::MAX));
    }
    from = from.min(index_from);
    note_begun(core, before, vouched.filter(|end| index_from >= *end), vouched)?;
    let mut index_from = index_from;
    let state = loop {
        let file = file_at(&files, from.max(min));
        // Elsewhere than behind a record that the checkpoint knows, records are found from the start of their file on.
        let first = &files[file];
        let within = first.base..first.base + first.size as i64;
        let start = exact.filter(|end| *end == from && within.contains(end)).unwrap_or(first.base);
        let mut pass = Pass::new(core, before, &files, file, start, index_from, all_queues_there);
        pass.vouched_to = vouched.unwrap_or(0);
        pass.start_is_sure = exact == Some(start)
            && loaded
                .last_saved
                .is_some_and(|at| log_files::has_record(&*core.options.storage, first, at, start));
        let pass = pass.run(file)?;
        match pass.older_wanted {
            _ if pass.is_of_another_log => {
                let note = "the log does not go on where the checkpoint ends: queues are compared with the whole log";
                report.notes.push(note.into());
                vouched = None;
                note_begun(core, before, None, None)?;
                from = start;
                index_from = index_from.max(pass.end);
            }
            Some(older) => {
                report
                    .notes
                    .push(format!("queue entries are missing behind {older}: reading the log from there"));
                from = older;
                index_from = index_from.max(pass.end);
            }
            None => break pass,
        }
    };
    state.tell(&mut report);
    report.checked_from = state.start;
    finish(core, &files, &state, report)
}

/// Says on the disk what is not known any more should the power be cut while it is made again. Entries before
/// `queues_to` and keys before `index_to` stay as they are.
fn note_begun(core: &Core, before: &Before, index_to: Option<i64>, queues_to: Option<i64>) -> Result<()> {
    let (storage, path) = (&*core.options.storage, core.options.root.join("checkpoint"));
    let begun = match (queues_to, index_to) {
        (Some(_), Some(_)) => return Ok(()),
        (Some(_), None) => before.checkpoint.without_index(),
        (None, _) => before.checkpoint.begun(),
    };
    // One that says nothing now may do so again when the clock is right.
    match storage.open(&path, Open::Existing) {
        Ok(_) => begun.save(storage, &path).map_err(|error| io_error(core, error)),
        Err(_) => Ok(()),
    }
}

fn io_error(core: &Core, error: io::Error) -> Error {
    Error::io("recover store", core.options.root.display().to_string(), error)
}

/// A store begins without a log. Queues that have entries say that there was one: it is somewhere else, and they must
/// not go for that.
fn start_empty(core: &Core, report: RecoveryReport) -> Result<RecoveryReport> {
    if let Some(queue) = queue_load::any_with_files(&core.queues)? {
        let text = format!(
            "{} holds no commit log, but the queue in {} has messages; mount the log, or set storePathCommitLog to where \
             it is; to begin anew without the messages, remove consumequeue, batchconsumequeue, index and checkpoint in {}",
            core.log.dir.display(),
            queue.display(),
            core.options.root.display()
        );
        return Err(Error::new(ErrorKind::InvalidArgument, "open store", text));
    }
    core.index.load(&Known { crashed: true, ..Known::default() }, &mut Vec::new())?;
    core.log.resume(&mut core.log.tail.lock(), None, 0);
    Ok(report)
}

fn load_index(core: &Core, before: &Before, log: Range<i64>, notes: &mut Vec<String>) -> Result<i64> {
    let checkpoint = &before.checkpoint;
    let saved = checkpoint.own.map(|own| (own.index_files as usize, own.index_complete_to));
    let known = Known {
        crashed: !before.clean,
        synced_ms: checkpoint.index_ms,
        saved,
        log_start: log.start,
        log_end: log.end,
    };
    core.index.load(&known, notes)
}

/// The commit-log offset before which log and queues agree as far as is known, where the ends of the queues do not tell.
fn trusted(core: &Core, before: &Before, files: &[LogFile], loaded: &Loaded, notes: &mut Vec<String>) -> i64 {
    match (before.clean, before.checkpoint.own) {
        (_, Some(Own { queue_ends: Some(_), .. })) => {
            notes.push("queues are not as they were left: they are compared with the whole log".into());
            0
        }
        (false, Some(own)) => own.dispatched_to,
        (true, _) => loaded.covered.saturating_sub(1),
        (false, None) => {
            let safe = before.checkpoint.safe_ms();
            let storage = &*core.options.storage;
            let first_record_is_safe = |file: &&LogFile| {
                log_files::first_store_time(storage, file).is_some_and(|time| time > 0 && time <= safe)
            };
            files.iter().rev().find(first_record_is_safe).map_or(files[0].base, |file| file.base)
        }
    }
}

/// One reading of the log.
struct Pass<'a> {
    core: &'a Core,
    before: &'a Before,
    files: &'a [LogFile],
    start: i64,
    /// Before this commit-log offset exactly those records have entries that should; 0 if that is not known.
    vouched_to: i64,
    /// No record ends where the checkpoint says.
    is_of_another_log: bool,
    /// A record ends where this pass begins.
    start_is_sure: bool,
    index_from: i64,
    /// No queue directory was lost since the last checkpoint.
    all_queues_there: bool,
    known_topics: Option<HashSet<&'a str>>,
    /// File being scanned.
    file: usize,
    cursors: HashMap<(Arc<scan::TopicName>, i32), Cursor>,
    keys: Vec<Key>,
    /// End of the last valid record.
    end: i64,
    last_time: i64,
    /// Damage behind the last valid record: skipped if another record follows, else cut.
    open_damage: Vec<Damage>,
    skipped: Vec<Damage>,
    records: u64,
    indexed: u64,
    entries: Entries,
    /// Numbers whose entries were removed at the end of their queues.
    unfounded: Vec<Lost>,
    /// The scan must begin at this offset instead.
    older_wanted: Option<i64>,
}

impl<'a> Pass<'a> {
    fn new(
        core: &'a Core,
        before: &'a Before,
        files: &'a [LogFile],
        file: usize,
        start: i64,
        index_from: i64,
        all_queues_there: bool,
    ) -> Self {
        let known = core.options.known_topics.as_ref();
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
            known_topics: known.map(|topics| topics.iter().map(String::as_str).collect()),
            file,
            cursors: HashMap::new(),
            keys: Vec::new(),
            end: start,
            // The time of the record that ends here.
            last_time: if start > files[file].base { before.checkpoint.queues_ms } else { 0 },
            open_damage: Vec::new(),
            skipped: Vec::new(),
            records: 0,
            indexed: 0,
            entries: Entries::default(),
            unfounded: Vec::new(),
            older_wanted: None,
        }
    }

    fn run(mut self, file: usize) -> Result<Self> {
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
            self.take_held().and_then(|()| self.remove_unfounded()).map_err(|error| io_error(core, error))?;
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
        self.open_damage.push(Damage { offset, length: to - offset, reason });
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
        let Some(cursor) = self.cursors.get_mut(&key) else { return Ok(()) };
        let entry =
            QueueEntry { physical_offset: found.offset, size: found.size, tags_code: found.tags_code };
        let count = if cursor.queue.form == Form::Batch { found.count } else { 1 };
        let slot = Slot { offset: found.queue_offset, count, entry, store_timestamp: found.store_timestamp };
        let ready = cursor.follow(self.core, slot, self.vouched_to > 0)?;
        // A queue that ends as the checkpoint says lacks nothing from before.
        let first = if self.vouched_to > 0 { self.start } else { self.files[0].base };
        self.older_wanted = self.entries.take(self.core, cursor, &ready, self.start, first)?;
        Ok(())
    }

    /// Records that were put off and have none behind them in their queues.
    fn take_held(&mut self) -> io::Result<()> {
        for cursor in self.cursors.values_mut() {
            let ready = cursor.last(self.core, self.vouched_to > 0)?;
            self.entries.take(self.core, cursor, &ready, self.start, self.start)?;
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
        Ok(Some(Cursor::new(self.core, queue, self.compared_from())?))
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
                None => Cursor::new(self.core, queue.clone(), start)?.next,
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
        let of = |(topic, queue_id): &(Arc<scan::TopicName>, i32), offsets: &Range<i64>| Lost {
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

    fn tell(&self, report: &mut RecoveryReport) {
        report.records_checked = self.records;
        report.end = self.end;
        report.skipped = self.skipped.clone();
        report.cut = self.open_damage.iter().filter(|damage| damage.reason != ZEROS).cloned().collect();
        report.entries_rebuilt = self.entries.rebuilt;
        report.entries_removed = self.entries.removed;
        report.holes = self.entries.holes;
        report.lost = self.lost();
        report.index_rebuilt = self.indexed;
        report.notes.extend(self.entries.notes.iter().cloned());
    }
}

/// What was done to the queues.
#[derive(Default)]
struct Entries {
    rebuilt: u64,
    removed: u64,
    holes: u64,
    notes: Vec<String>,
}

impl Entries {
    /// Compares records whose turn it is with their queue. Where the scan must begin if it began behind records that
    /// the queue lacks; none stand before `first`.
    fn take(
        &mut self,
        core: &Core,
        cursor: &mut Cursor,
        ready: &Ready,
        start: i64,
        first: i64,
    ) -> io::Result<Option<i64>> {
        self.removed += ready.removed as u64;
        if let Some(refused) = &ready.refused {
            self.refuse(cursor, refused, TAKEN);
        }
        for slot in ready.now.iter().flatten() {
            if let Some(older) = cursor.lacks_before(slot, start, first) {
                return Ok(Some(older));
            }
            match cursor.accept(core, slot)? {
                Accepted::Agrees => {}
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
        let place = format!("{}, queue {}, offset {}", cursor.queue.topic, cursor.queue.id, slot.offset);
        let at = slot.entry.physical_offset;
        self.notes.push(format!("record at {at} ({place}) is in no queue: {why}"));
    }
}

/// Cuts the log behind its last valid record and readies its last file for appends.
fn finish(
    core: &Core,
    files: &[LogFile],
    state: &Pass<'_>,
    report: RecoveryReport,
) -> Result<RecoveryReport> {
    let end = state.end;
    let storage = &*core.options.storage;
    let failed = |error| io_error(core, error);
    let mut open = None;
    for file in files {
        let file_end = file.base + file.size as i64;
        if file.base > end {
            storage.remove_file(&file.path).map_err(failed)?;
            continue;
        }
        let published = (end - file.base).clamp(0, file.size as i64) as usize;
        let opened =
            Segment::open(storage, &core.log.dir, file.base, file.size, published).map_err(failed)?;
        let (segment, writer) = opened;
        if end < file_end {
            // Nothing of what is cut may look like a record one day.
            segment.file.zero(published as u64, (file.size - published) as u64).map_err(failed)?;
            segment.file.sync().map_err(failed)?;
            open = Some(OpenFile::new(segment.clone(), writer, published));
        }
        core.log.segments.push(segment);
    }
    storage.sync_dir(&core.log.dir).map_err(failed)?;
    let mut tail = core.log.tail.lock();
    tail.last_store_timestamp = state.last_time;
    core.log.resume(&mut tail, open, end);
    drop(tail);
    core.dispatcher.end.store(end, std::sync::atomic::Ordering::Release);
    core.dispatcher.store_timestamp.store(state.last_time, std::sync::atomic::Ordering::Release);
    core.index.cut(end).map_err(failed)?;
    let min = core.log.min();
    for queue in core.queues.all() {
        // Entries made from the log moved the end of the queue, not what the next append gets.
        queue.next.store(queue.max(), std::sync::atomic::Ordering::Release);
        queue.expire(&core.queues.files, min).map_err(failed)?;
    }
    Ok(report)
}

/// Writes to the log what recovery found and did.
pub(crate) fn log_report(report: &RecoveryReport) {
    for damage in &report.skipped {
        let (offset, length, reason) = (damage.offset, damage.length, &damage.reason);
        tracing::error!(offset, length, %reason, "damage in the commit log, skipped: valid records follow");
    }
    for damage in &report.cut {
        let (offset, length, reason) = (damage.offset, damage.length, &damage.reason);
        tracing::warn!(offset, length, %reason, "damage at the end of the commit log, cut off");
    }
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(
        clean = report.clean,
        records = report.records_checked,
        end = report.end,
        rebuilt = report.entries_rebuilt,
        removed = report.entries_removed,
        "store recovered"
    );
}
