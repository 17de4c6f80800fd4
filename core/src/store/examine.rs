//! Looking at a store without changing it: `ferromq log check` and `ferromq log dump`. What is wrong with a store is what
//! recovery would do about it, so a check is a recovery of the whole log over a layer of memory that is thrown away.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::index::Index;
use super::index_load::{self, Known};
use super::lock::Lock;
use super::log_files;
use super::scan::{self, LogFile};
use super::segment::{file_name, parse_file_name};
use super::storage::{Files, Open, Overlay, Storage};
use super::types::{Damage, RecoveryReport};
use super::{Core, StoreOptions};
use crate::clock::Clock;
use crate::record::{RecordView, MIN_RECORD};
use crate::{Error, ErrorKind, Result};

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// What opening the store would find and do, if it read the whole log.
    pub report: RecoveryReport,
    /// Damage in the commit log, in log order.
    pub problems: Vec<Problem>,
    /// Damage of the key index; it is made again from the log.
    pub index: Vec<String>,
    /// Files of the commit log.
    pub log_files: usize,
    /// First offset of the commit log.
    pub log_start: i64,
}

/// A damaged stretch of the commit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file it is in, or that should be there.
    pub file: PathBuf,
    /// Where in the file it begins, bytes.
    pub at: u64,
    /// The same as an offset of the commit log, with its length and what is wrong.
    pub damage: Damage,
    /// Valid records follow, so it is passed over; otherwise it is the end of the log and is cut off.
    pub skipped: bool,
    /// What can still be told of the record that was there.
    pub record: Option<String>,
}

impl Findings {
    /// Nothing is damaged or lost. What a killed broker leaves undone is no damage.
    pub fn is_sound(&self) -> bool {
        let report = &self.report;
        self.problems.is_empty() && self.index.is_empty() && report.lost.is_empty() && report.notes.is_empty()
    }
}

/// What stands in the commit log.
#[derive(Debug)]
pub enum Item<'a> {
    /// A valid record.
    Record(RecordView<'a>),
    /// Bytes that are none, up to the next valid record or the end of the file.
    Damage(Problem),
}

/// Checks a store: the whole log, all queues, the key index, and whether they agree. Nothing is written; what recovery
/// would write is kept in memory meanwhile, 20 bytes for each queue entry that it would make.
///
/// # Errors
/// [`ErrorKind::InUse`] when a broker holds the directory, [`ErrorKind::NotFound`] when there is no commit log in it,
/// [`ErrorKind::InvalidArgument`] when the sizes in `options` are not those of the files.
pub fn check(options: &StoreOptions, clock: Clock) -> Result<Findings> {
    let core = over_memory(options, clock.clone())?;
    core.start_checking(true)?;
    let report = core.recovery_report().clone();
    let disk = Overlay::default();
    let files = log_files_in(&core.log.dir, options.mapped_file_size_commit_log)?;
    let problem = |damage: &Damage, skipped| describe(&disk, &core.log.dir, &files, damage, skipped);
    let skipped = report.skipped.iter().map(|damage| problem(damage, true));
    let cut = report.cut.iter().map(|damage| problem(damage, false));
    let problems = skipped.chain(cut).collect();
    let log_start = files.first().map_or(0, |file| file.base);
    let index = check_index(options, clock, log_start..report.end)?;
    Ok(Findings { report, problems, index, log_files: files.len(), log_start })
}

/// Hands out what stands in the commit log from an offset on, in order, until `take` answers `false`.
///
/// # Errors
/// As [`check`].
pub fn walk(options: &StoreOptions, from: i64, take: &mut dyn FnMut(Item<'_>) -> Result<bool>) -> Result<()> {
    let core = over_memory(options, Clock::new())?;
    let storage = &*core.options.storage;
    let _lock = Lock::take(storage, &options.root, &core.options.holder)?;
    let files = log_files::find(&core, &mut Vec::new())?;
    for file in files.iter().skip(log_files::file_at(&files, from)) {
        if !walk_file(storage, file, from, take)? {
            break;
        }
    }
    Ok(())
}

/// Sets the sizes in `options` to those that the files tell, for stores whose settings are not at hand. Says what
/// cannot be found out so.
///
/// # Errors
/// When the directory cannot be read.
pub fn fit_to_files(options: &mut StoreOptions) -> Result<Vec<String>> {
    let list = |dir: &Path| {
        let entries = Files.list(dir);
        entries.map_err(|error| Error::io("examine store", dir.display().to_string(), error))
    };
    let log = list(&options.commit_log_path())?;
    let bases: Vec<i64> = log.iter().filter_map(|entry| parse_file_name(&entry.name)).collect();
    let apart = bases.windows(2).map(|pair| (pair[1] - pair[0]) as u64).min();
    let longest = log.iter().map(|entry| entry.len).max().filter(|len| *len >= 4096);
    // A file that was cut off, or one that is missing, leaves the others' lengths and names.
    if let Some(size) = longest.into_iter().chain(apart).min() {
        options.mapped_file_size_commit_log = size as usize;
    }
    for (name, size) in [
        ("consumequeue", &mut options.mapped_file_size_consume_queue),
        ("batchconsumequeue", &mut options.mapped_file_size_batch_consume_queue),
    ] {
        let dir = options.root.join(name);
        let mut longest = None;
        for topic in list(&dir)?.into_iter().filter(|entry| entry.is_dir) {
            for queue in list(&dir.join(&topic.name))?.into_iter().filter(|entry| entry.is_dir) {
                let files = list(&dir.join(&topic.name).join(&queue.name))?;
                longest = longest.max(files.iter().map(|entry| entry.len).max());
            }
        }
        *size = longest.filter(|len| *len > 0).map_or(*size, |len| len as usize);
    }
    let shape = super::index_file::Shape { slots: options.max_hash_slot_num, items: options.max_index_num };
    let other = |len: u64| len != shape.file_size() as u64;
    let index = list(&options.root.join("index"))?;
    if index.iter().any(|entry| index_load::is_file_name(&entry.name) && other(entry.len)) {
        options.message_index_enable = false;
        return Ok(vec![
            "the key index is not looked at: its files have another size than maxHashSlotNum and \
                        maxIndexNum make, give the broker's settings with -c"
                .into(),
        ]);
    }
    Ok(Vec::new())
}

/// The parts of a store whose writes stay in memory, not started yet.
fn over_memory(options: &StoreOptions, clock: Clock) -> Result<Core> {
    let dir = options.commit_log_path();
    if !dir.is_dir() {
        let context = format!("{} is not there: no commit log", dir.display());
        return Err(Error::new(ErrorKind::NotFound, "examine store", context));
    }
    let mut options = options.clone();
    options.storage = Arc::new(Overlay::default());
    options.message_index_enable = false;
    Ok(Core::new(options, clock))
}

fn log_files_in(dir: &Path, size: usize) -> Result<Vec<LogFile>> {
    let entries =
        Files.list(dir).map_err(|error| Error::io("examine store", dir.display().to_string(), error))?;
    let file = |name: &str| Some((parse_file_name(name)?, dir.join(name)));
    let files = entries.iter().filter_map(|entry| file(&entry.name));
    Ok(files.map(|(base, path)| LogFile { base, path, size }).collect())
}

fn check_index(options: &StoreOptions, clock: Clock, log: Range<i64>) -> Result<Vec<String>> {
    let mut options = options.clone();
    options.storage = Arc::new(Overlay::default());
    let path = options.root.join("checkpoint");
    let checkpoint = Checkpoint::load(&*options.storage, &path, clock.now_ms());
    let own = checkpoint.map_err(|error| Error::io("examine store", path.display().to_string(), error))?.own;
    // As after a crash of which nothing is known: every item is looked at.
    let saved = own.map(|own| (own.index_files as usize, i64::MAX));
    let known = Known { crashed: true, synced_ms: -1, saved, log_start: log.start, log_end: log.end };
    let mut notes = Vec::new();
    Index::new(&options).load(&known, &mut notes)?;
    Ok(notes)
}

fn describe(storage: &dyn Storage, dir: &Path, files: &[LogFile], damage: &Damage, skipped: bool) -> Problem {
    let file = files.iter().rev().find(|file| file.base <= damage.offset);
    let file = file.filter(|file| damage.offset < file.base + file.size as i64);
    let (base, path) = match file {
        Some(file) => (file.base, file.path.clone()),
        None => (damage.offset, dir.join(file_name(damage.offset))),
    };
    let at = (damage.offset - base) as u64;
    let record = file.and_then(|_| {
        let mut bytes = vec![0; damage.length.clamp(0, 1 << 26) as usize];
        let read = storage.open(&path, Open::Existing).ok()?.read_at(at, &mut bytes).ok()?;
        remains(&bytes[..read], damage.offset)
    });
    Problem { file: path, at, damage: damage.clone(), skipped, record }
}

/// What can be told of a damaged record.
fn remains(bytes: &[u8], offset: i64) -> Option<String> {
    if let Ok(record) = RecordView::parse(bytes) {
        let keys = record.property("KEYS").map_or(String::new(), |keys| format!(", keys {keys}"));
        let (topic, queue, number) = (record.topic(), record.queue_id(), record.queue_offset());
        return Some(format!(
            "{topic}, queue {queue}, offset {number}{keys}, stored at {}",
            record.store_timestamp()
        ));
    }
    let int = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let head_is_whole = long(crate::record::PHYSICAL_OFFSET_AT)? == offset;
    let queue_offset = long(crate::record::QUEUE_OFFSET_AT)?;
    head_is_whole
        .then_some(format!("queue {}, offset {queue_offset}, of a topic that cannot be read", int(12)?))
}

/// Whether more is wanted.
fn walk_file(
    storage: &dyn Storage,
    file: &LogFile,
    from: i64,
    take: &mut dyn FnMut(Item<'_>) -> Result<bool>,
) -> Result<bool> {
    let failed = |error| Error::io("read commit log", file.path.display().to_string(), error);
    let open = storage.open(&file.path, Open::Existing).map_err(failed)?;
    let (map, _writer) = open.map(file.size, file.size).map_err(failed)?;
    let bytes = map.from(0);
    let (mut at, mut last_time) = (0, 0);
    while bytes.len() - at >= MIN_RECORD && !scan::is_blank(&bytes[at..]) {
        let offset = file.base + at as i64;
        let reason = match scan::check(&bytes[at..], file.base, at) {
            Ok(record) => {
                (at, last_time) = (at + record.total_size(), record.store_timestamp());
                if offset >= from && !take(Item::Record(record))? {
                    return Ok(false);
                }
                continue;
            }
            Err(reason) => reason,
        };
        let next = scan::next_record(&*open, bytes, file.base, at, last_time).map_err(failed)?;
        if next.is_none() && scan::all_zero(&*open, bytes, at).map_err(failed)? {
            break;
        }
        let to = next.unwrap_or(bytes.len());
        let damage = Damage { offset, length: (to - at) as i64, reason };
        let record = remains(&bytes[at..to], offset);
        let skipped = next.is_some();
        let problem = Problem { file: file.path.clone(), at: at as u64, damage, skipped, record };
        if offset + (to - at) as i64 > from && !take(Item::Damage(problem))? {
            return Ok(false);
        }
        at = to;
    }
    Ok(true)
}
