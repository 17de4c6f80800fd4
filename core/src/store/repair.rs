//! `ferromq log repair`: what recovery does, and so that Apache's brokers, which end a log at the first damage, read the
//! log to its end as well.
//!
//! Each damaged stretch with valid records behind it becomes one record that fits it exactly: rolled back, so that it
//! has no place in any queue. Nothing is thrown away: every damaged stretch goes into a file below `damaged` first.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::examine::{self, Findings};
use super::log::BLANK_LEN;
use super::segment::file_name;
use super::storage::Open;
use super::types::Damage;
use super::{Core, StoreOptions};
use crate::clock::Clock;
use crate::message::sys_flag;
use crate::record::{NewRecord, RecordView, MAGIC_BLANK, MIN_RECORD};
use crate::{Error, Result};

/// Topic of the records that fill damaged stretches; shortened where there is no room for it.
const TOPIC: &str = "FERROMQ_DAMAGED";
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// What a repair did.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// What was found before.
    pub before: Findings,
    /// What is found now.
    pub after: Findings,
    /// Files that keep the damaged bytes as they were.
    pub kept: Vec<PathBuf>,
    /// Damaged stretches that were filled.
    pub filled: u64,
}

/// Repairs a store and closes it in order.
///
/// # Errors
/// As [`examine::check`], and when something cannot be written; the damaged bytes are kept before that.
pub fn repair(options: &StoreOptions, clock: Clock) -> Result<Repaired> {
    let before = examine::check(options, clock.clone())?;
    let mut kept = Vec::new();
    for problem in &before.problems {
        let failed = |error| Error::io("repair log", problem.file.display().to_string(), error);
        kept.extend(keep(options, &problem.file, problem.at, &problem.damage).map_err(failed)?);
    }
    let core = Core::new(options.clone(), clock.clone());
    core.start_checking(true)?;
    let stretches = merge(&core);
    for stretch in &stretches {
        let path = core.log.dir.join(file_name(stretch.offset));
        fill(&core, stretch).map_err(|error| Error::io("repair log", path.display().to_string(), error))?;
    }
    core.finish()?;
    drop(core);
    let after = examine::check(options, clock)?;
    Ok(Repaired { before, after, kept, filled: stretches.len() as u64 })
}

/// Copies a stretch, up to its last byte that is not zero, to a file of its own. `None` if there are zeros only.
fn keep(options: &StoreOptions, file: &Path, at: u64, damage: &Damage) -> io::Result<Option<PathBuf>> {
    let storage = &*options.storage;
    let from = match storage.open(file, Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let end = (at + damage.length as u64).min(from.len()?);
    let dir = options.root.join("damaged");
    let mut to = None;
    let (mut chunk, mut done) = (vec![0; CHUNK], at);
    while let Some(data) = from.next_data(done)?.filter(|data| *data < end) {
        let count = CHUNK.min((end - data) as usize);
        let read = from.read_at(data, &mut chunk[..count])?;
        let used = chunk[..read].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used > 0 {
            let (_, copy) = match &to {
                Some(to) => to,
                None => {
                    storage.create_dir_all(&dir)?;
                    let path = dir.join(file_name(damage.offset));
                    let copy = storage.open(&path, Open::Create)?;
                    copy.set_len(0)?;
                    to.insert((path, copy))
                }
            };
            copy.write_at(data - at, &chunk[..used])?;
        }
        done = data + read.max(1) as u64;
    }
    let Some((path, copy)) = to else { return Ok(None) };
    copy.sync()?;
    storage.sync_dir(&dir)?;
    storage.sync_dir(&options.root)?;
    Ok(Some(path))
}

/// Adjacent stretches of one file as one.
fn merge(core: &Core) -> Vec<Damage> {
    let mut merged: Vec<Damage> = Vec::new();
    let file = |offset: i64| (offset - core.log.min()).div_euclid(core.log.file_size as i64);
    for damage in &core.recovery_report().skipped {
        match merged.last_mut() {
            Some(last)
                if last.offset + last.length == damage.offset && file(last.offset) == file(damage.offset) =>
            {
                last.length += damage.length
            }
            _ => merged.push(damage.clone()),
        }
    }
    merged
}

fn fill(core: &Core, stretch: &Damage) -> io::Result<()> {
    let size = core.log.file_size as i64;
    let first = core.log.min();
    let end = stretch.offset + stretch.length;
    let mut at = stretch.offset;
    // Files that are missing are made, one blank each.
    while at < end {
        let base = at - (at - first).rem_euclid(size);
        let path = core.log.dir.join(file_name(base));
        let file = core.log.storage.make(&path, size as u64)?;
        let written_ms = file.modified_ms()?;
        if end >= base + size {
            let mut blank = [0; BLANK_LEN];
            blank[..4].copy_from_slice(&((base + size - at) as i32).to_be_bytes());
            blank[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
            file.write_at((at - base) as u64, &blank)?;
        } else {
            let mut bytes = vec![0; (end - at) as usize];
            file.read_at((at - base) as u64, &mut bytes)?;
            file.write_at((at - base) as u64, &filler(&bytes, at, time_before(core, at, end))?)?;
        }
        // Retention goes by it.
        file.set_modified_ms(written_ms)?;
        file.sync()?;
        at = base + size;
    }
    core.log.storage.sync_dir(&core.log.dir)
}

/// A record as long as `damaged`, with the end of that as its body.
fn filler(damaged: &[u8], offset: i64, store_timestamp: i64) -> io::Result<Vec<u8>> {
    let room = damaged.len().saturating_sub(MIN_RECORD);
    let topic = &TOPIC[..TOPIC.len().min(room)];
    if topic.is_empty() {
        let length = damaged.len();
        return Err(io::Error::other(format!("{length} damaged bytes at {offset} are too few for a record")));
    }
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let record = NewRecord {
        topic,
        queue_id: 0,
        flag: 0,
        sys_flag: sys_flag::TRANSACTION_ROLLBACK,
        born_timestamp: store_timestamp,
        born_host: nowhere,
        store_host: nowhere,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &damaged[MIN_RECORD + topic.len()..],
        properties: b"",
    };
    Ok(record.encode(0, offset, store_timestamp))
}

/// Store time of the last record before a damaged stretch in its file, or else of the first one behind it.
fn time_before(core: &Core, offset: i64, end: i64) -> i64 {
    let Some(segment) = core.log.segments.find(offset) else { return 0 };
    let (mut at, mut time) = (segment.base, None);
    // What is before is valid by now.
    while let Some(record) = (at < offset).then(|| RecordView::parse(segment.from(at)).ok()).flatten() {
        time = Some(record.store_timestamp());
        at += record.total_size() as i64;
    }
    time.or_else(|| core.log.segments.store_time(end)).unwrap_or_default()
}
