//! Reading the commit log from disk, trusting nothing: magic, sizes, place, CRC. Several files at once.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::Arc;

use super::keys::{is_queued, Indexed, KeyHashes};
use super::queues::MAX_QUEUES;
use super::storage::{File, Open, Storage};
use crate::message::java_hash;
use crate::record::{RecordView, MAGIC_BLANK, MAGIC_V1, MAGIC_V2, MIN_RECORD, SECTOR};
use crate::{Error, Result};

/// Findings handed over at once, and how many such batches wait at most for each thread: bounds memory.
const BATCH: usize = 1024;
const BATCHES: usize = 8;
const PAGE: usize = 4096;

/// A file of the commit log, as found in the directory.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub base: i64,
    pub path: PathBuf,
    pub size: usize,
}

/// A topic met in the log, once a thread.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TopicName {
    pub name: String,
    pub key_prefix_hash: i32,
}

/// A valid record.
#[derive(Debug)]
pub(crate) struct Found {
    pub offset: i64,
    pub size: i32,
    pub topic: Arc<TopicName>,
    pub queue_id: i32,
    pub queue_offset: i64,
    /// Messages in it; more than 1 in an inner batch.
    pub count: i64,
    /// Whether it has a place in its queue.
    pub queued: bool,
    pub tags_code: i64,
    pub store_timestamp: i64,
    pub keys: KeyHashes,
}

/// What the scan of the log meets, in log order.
#[derive(Debug)]
pub(crate) enum Finding {
    Record(Found),
    /// Bytes that are no record, up to the next valid one or the end of the file.
    Damage {
        from: i64,
        to: i64,
        reason: String,
    },
    /// Nothing more in the file: a blank that says so, or zeros from here on.
    EndOfFile {
        at: i64,
        blank: bool,
    },
}

/// Scans files in order, on all cores, the first one from the commit-log offset `start` on, and hands what they hold to
/// `take`, which may end the scan with `false`.
pub(crate) fn scan(
    storage: &dyn Storage,
    files: &[LogFile],
    start: i64,
    delay_levels_ms: &[i64],
    mut take: impl FnMut(Finding) -> bool,
) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(files.len());
    std::thread::scope(|scope| {
        // Thread t scans files t, t + threads, …; reading the receivers in turn gives log order.
        let receivers: Vec<Receiver<Result<Vec<Finding>>>> = (0..threads)
            .map(|thread| {
                let (sender, receiver) = sync_channel(BATCHES);
                let mine = files.iter().skip(thread).step_by(threads);
                scope.spawn(move || {
                    for file in mine {
                        let at = (start - file.base).max(0) as usize;
                        let result = scan_file(storage, file, at, delay_levels_ms, &sender);
                        let failed = result.is_err();
                        if sender.send(result).is_err() || failed {
                            break;
                        }
                    }
                });
                receiver
            })
            .collect();
        for at in 0..files.len() {
            // Every file ends with its EndOfFile.
            'file: loop {
                let Ok(batch) = receivers[at % threads].recv() else { return Ok(()) };
                for finding in batch? {
                    let end = matches!(finding, Finding::EndOfFile { .. });
                    if !take(finding) {
                        return Ok(());
                    }
                    if end {
                        break 'file;
                    }
                }
            }
        }
        Ok(())
    })
}

/// Scans one file from byte `at` on; the last batch is returned, those before go through `sender`.
fn scan_file(
    storage: &dyn Storage,
    file: &LogFile,
    mut at: usize,
    delay_levels_ms: &[i64],
    sender: &SyncSender<Result<Vec<Finding>>>,
) -> Result<Vec<Finding>> {
    let error = |error| Error::io("recover commit log", file.path.display().to_string(), error);
    let open = storage.open(&file.path, Open::Existing).map_err(error)?;
    let (map, _writer) = open.map(file.size, file.size).map_err(error)?;
    let mut topics = Topics::default();
    let mut batch = Vec::with_capacity(BATCH);
    let bytes = map.from(0);
    let mut last_time = 0;
    loop {
        if batch.len() >= BATCH {
            // What is made of pages that cannot be read is no finding.
            map.check().map_err(error)?;
            if sender.send(Ok(std::mem::replace(&mut batch, Vec::with_capacity(BATCH)))).is_err() {
                // Nobody wants more.
                return Ok(batch);
            }
        }
        if bytes.len() - at < 8 || is_blank(&bytes[at..]) {
            batch.push(Finding::EndOfFile { at: file.base + at as i64, blank: true });
            map.check().map_err(error)?;
            return Ok(batch);
        }
        let reason = match check(&bytes[at..], file.base, at) {
            Ok(record) => {
                last_time = record.store_timestamp();
                batch.push(Finding::Record(topics.found(&record, delay_levels_ms)));
                at += record.total_size();
                continue;
            }
            Err(reason) => reason,
        };
        let next = next_record(&*open, bytes, file.base, at, last_time).map_err(error)?;
        map.check().map_err(error)?;
        let zeros = next.is_none() && all_zero(&*open, bytes, at).map_err(error)?;
        if zeros {
            batch.push(Finding::EndOfFile { at: file.base + at as i64, blank: false });
            return Ok(batch);
        }
        let to = next.unwrap_or(bytes.len());
        batch.push(Finding::Damage { from: file.base + at as i64, to: file.base + to as i64, reason });
        at = to;
        if next.is_none() {
            batch.push(Finding::EndOfFile { at: file.base + at as i64, blank: false });
            return Ok(batch);
        }
    }
}

/// Whether `bytes`, the rest of a file, are its filler.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    int(bytes, 4) == MAGIC_BLANK && int(bytes, 0) as usize == bytes.len()
}

/// The record at the start of `bytes`, if everything about it is right, or what is not. It stands at `at` in the file
/// that begins at `base`.
pub(crate) fn check(bytes: &[u8], base: i64, at: usize) -> std::result::Result<RecordView<'_>, String> {
    let record = RecordView::parse(bytes).map_err(|error| error.context().to_owned())?;
    let offset = base + at as i64;
    if record.physical_offset() != offset {
        return Err(format!("the record says it stands at {}", record.physical_offset()));
    }
    if !(0..MAX_QUEUES).contains(&record.queue_id()) {
        return Err(format!("queue id {} is not within 0 and {MAX_QUEUES}", record.queue_id()));
    }
    // Each number of a queue was given to a message, and each took a byte at least; messages of inner batches take no
    // record of their own, and others may stand in the queue behind them.
    if !(0..=offset).contains(&record.queue_offset()) {
        return Err(format!("queue offset {} cannot be right this early in the log", record.queue_offset()));
    }
    if record.topic().contains('\0') {
        return Err("the topic holds zeros".into());
    }
    if !record.body_crc_matches() {
        return Err(format!("the body's CRC is not {:#010x}", record.body_crc()));
    }
    if lacks_properties(&record, at) {
        return Err("a part of the properties is missing".into());
    }
    Ok(record)
}

/// No CRC covers the properties. A sector of them that did not come to disk is zeros, which their text never is; nor is
/// its end, which a process that was killed while it wrote the record left out.
fn lacks_properties(record: &RecordView<'_>, at: usize) -> bool {
    let properties = record.properties();
    if properties.ends_with(&[0]) {
        return true;
    }
    let starts_at = at + record.total_size() - properties.len();
    let first = starts_at.next_multiple_of(SECTOR) - starts_at;
    let rest = properties.get(first..).unwrap_or_default();
    rest.chunks(SECTOR).any(|sector| sector.iter().all(|byte| *byte == 0))
}

/// Where the next valid record stands behind damage. One stored before what was read so far is a remnant of what was
/// overwritten, not a record.
pub(crate) fn next_record(
    file: &dyn File,
    bytes: &[u8],
    base: i64,
    damaged: usize,
    last_time: i64,
) -> std::io::Result<Option<usize>> {
    let mut at = damaged + 1;
    while at + MIN_RECORD <= bytes.len() {
        // Up to the end of a page: in a file system in memory a page that was looked at is no hole any more.
        let look = (at + 3) / PAGE * PAGE + PAGE - at;
        let zeros = bytes[at..].iter().take(look).take_while(|byte| **byte == 0).count();
        if zeros == look {
            // Sparse stretches are passed without being read in.
            let Some(data) = file.next_data((at + look) as u64)? else { return Ok(None) };
            at = (data as usize).max(at + look) - 3;
            continue;
        }
        // A size has at most three leading zero bytes.
        if zeros > 3 {
            at += zeros - 3;
            continue;
        }
        let magic = int(bytes, at + 4);
        if magic == MAGIC_V1 || magic == MAGIC_V2 {
            if let Ok(record) = check(&bytes[at..], base, at) {
                if record.store_timestamp() >= last_time {
                    return Ok(Some(at));
                }
            }
        }
        at += 1;
    }
    Ok(None)
}

pub(crate) fn all_zero(file: &dyn File, bytes: &[u8], from: usize) -> std::io::Result<bool> {
    let mut at = from;
    while at < bytes.len() {
        let chunk = &bytes[at..bytes.len().min(at / PAGE * PAGE + PAGE)];
        if chunk.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at += chunk.len();
        match file.next_data(at as u64)? {
            Some(data) => at = at.max(data as usize),
            None => return Ok(true),
        }
    }
    Ok(true)
}

fn int(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).map_or(0, |bytes| i32::from_be_bytes(bytes.try_into().unwrap_or_default()))
}

#[derive(Default)]
struct Topics {
    known: HashSet<Arc<TopicName>>,
    last: Option<Arc<TopicName>>,
}

impl Topics {
    fn name(&mut self, name: &str) -> Arc<TopicName> {
        if let Some(last) = self.last.as_ref().filter(|last| last.name == name) {
            return last.clone();
        }
        let key_prefix_hash = java_hash(name).wrapping_mul(31).wrapping_add(i32::from(b'#'));
        let topic = TopicName { name: name.to_owned(), key_prefix_hash };
        let topic = match self.known.get(&topic) {
            Some(topic) => topic.clone(),
            None => {
                let topic = Arc::new(topic);
                self.known.insert(topic.clone());
                topic
            }
        };
        self.last = Some(topic.clone());
        topic
    }

    fn found(&mut self, record: &RecordView<'_>, delay_levels_ms: &[i64]) -> Found {
        let topic = self.name(record.topic());
        let indexed = Indexed::of(record.properties());
        let store_timestamp = record.store_timestamp();
        Found {
            offset: record.physical_offset(),
            size: record.total_size() as i32,
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset(),
            count: indexed.count(record.sys_flag()),
            queued: is_queued(record.sys_flag()),
            tags_code: indexed.tags_code(record.topic(), store_timestamp, delay_levels_ms),
            store_timestamp,
            keys: indexed.key_hashes(record.sys_flag(), topic.key_prefix_hash),
            topic,
        }
    }
}
