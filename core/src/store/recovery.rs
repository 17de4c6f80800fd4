//! Opening a store: the log is read and checked as far back as the last state known to be whole, and queues and index
//! are made to agree with it.
//!
//! The scan begins where everything before is known about: where the checkpoint ends, if every queue still ends there as
//! the checkpoint says. Then whatever a queue lacks was lost behind that, and what is before and in no queue was deleted.
//! Otherwise it begins at a file, and further back should a queue or the index turn out to lack something older.

use std::collections::HashSet;
use std::io;
use std::ops::Range;

use super::checkpoint::{Checkpoint, Own};
use super::index_load::Known;
use super::log::OpenFile;
use super::log_files::{self, file_at};
use super::pass::Pass;
use super::queue_load::{self, Loaded};
use super::scan::LogFile;
use super::segment::Segment;
use super::storage::Open;
use super::types::RecoveryReport;
use super::Core;
use crate::{Error, ErrorKind, Result};

/// What recovery starts from.
pub(crate) struct Before {
    pub clean: bool,
    pub checkpoint: Checkpoint,
    /// The whole log is to be read, whatever is known of it.
    pub whole: bool,
    /// All that is wrong is to be listed, however much that is.
    pub lists_all: bool,
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
    let vouches = own.map_or(Ok(false), |own| vouches(core, &own, loaded.saved_ends, min));
    let is_vouched = vouches.map_err(|error| io_error(core, error))?;
    let mut vouched = own.filter(|_| is_vouched).map(|own| own.dispatched_to);
    let mut from = match vouched {
        Some(end) => end,
        None if before.whole || lost_queues || loaded.queues == 0 => min,
        None => trusted(core, before, &files, &loaded, &mut report.notes)
            .map_err(|error| io_error(core, error))?,
    };
    let exact = saved_to.filter(|end| *end == from);
    if vouched.is_none() {
        from = from.min(loaded.damaged_from.unwrap_or(i64::MAX));
    }
    from = from.min(index_from);
    note_begun(core, before, vouched.filter(|end| index_from >= *end), vouched)?;
    let (mut index_from, mut remade) = (index_from, HashSet::new());
    let state = loop {
        let file = file_at(&files, from.max(min));
        // Elsewhere than behind a record that the checkpoint knows, records are found from the start of their file on.
        let first = &files[file];
        let within = first.base..first.base + first.size as i64;
        let start = exact.filter(|end| *end == from && within.contains(end)).unwrap_or(first.base);
        let mut pass = Pass::new(core, before, &files, file, start, index_from, all_queues_there);
        pass.vouched_to = vouched.unwrap_or(0);
        pass.remade.clone_from(&remade);
        pass.start_is_sure = exact == Some(start)
            && loaded
                .last_saved
                .is_some_and(|at| log_files::record_at(&*core.options.storage, first, at, start).is_some());
        let pass = pass.run(file)?;
        remade.extend(pass.to_remake.iter().cloned());
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
            None if !pass.to_remake.is_empty() => {
                let note = "queues lack entries before their first ones: reading the whole log again";
                report.notes.push(note.into());
                vouched = None;
                note_begun(core, before, None, None)?;
                from = min;
                index_from = index_from.max(pass.end);
            }
            None => break pass,
        }
    };
    state.tell(&mut report);
    report.checked_from = state.start;
    finish(core, &files, &state, report)
}

/// Whether the queues that are there end as the checkpoint says. A process that was killed in the middle of retention may
/// have removed first files of some.
fn vouches(core: &Core, own: &Own, ends: [i64; 2], log_min: i64) -> io::Result<bool> {
    if own.queue_ends == Some(ends[0]) {
        return Ok(true);
    }
    if own.ends_alone != Some(ends[1]) {
        return Ok(false);
    }
    begin_with_log(core, log_min)
}

/// Whether no queue can have lost its first files: the log has nothing before what they begin with.
fn begin_with_log(core: &Core, log_min: i64) -> io::Result<bool> {
    for queue in core.queues.all() {
        if !queue.lacks_nothing_before(&core.queues.files, log_min)? {
            return Ok(false);
        }
    }
    Ok(true)
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

pub(crate) fn io_error(core: &Core, error: io::Error) -> Error {
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
fn trusted(
    core: &Core,
    before: &Before,
    files: &[LogFile],
    loaded: &Loaded,
    notes: &mut Vec<String>,
) -> io::Result<i64> {
    if before.checkpoint.own.is_some_and(|own| own.queue_ends.is_some()) {
        notes.push("queues are not as they were left: they are compared with the whole log".into());
        return Ok(0);
    }
    // How far they go tells nothing of where they began.
    if !begin_with_log(core, files[0].base)? {
        notes.push("queues begin later than the log: they are compared with the whole log".into());
        return Ok(0);
    }
    Ok(match (before.clean, before.checkpoint.own) {
        (true, _) => loaded.covered.saturating_sub(1),
        (false, Some(own)) => own.dispatched_to,
        (false, None) => {
            let safe = before.checkpoint.safe_ms();
            let storage = &*core.options.storage;
            let first_record_is_safe = |file: &&LogFile| {
                log_files::first_store_time(storage, file).is_some_and(|time| time > 0 && time <= safe)
            };
            files.iter().rev().find(first_record_is_safe).map_or(files[0].base, |file| file.base)
        }
    })
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
