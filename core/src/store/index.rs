//! The key index: which records carry a key. Keys gather in memory while messages come in and go to the files in
//! bulk, off the way of a send; a query waits for that. The log can always make the index again.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;

use super::index_file::{IndexFile, Key, Shape, Snapshot};
use super::storage::{local_time, Open, Storage};
use super::StoreOptions;
use crate::sync::Mutex;

/// With so many keys waiting the background thread is woken before its time; with four times as many the dispatcher
/// does the work itself, so that memory stays bounded.
pub(crate) const BACKLOG: usize = 1 << 17;
/// Apache's limit on the results of a query.
pub(crate) const MOST_RESULTS: usize = 64;

/// All index files of a store.
pub(crate) struct Index {
    pub(super) dir: PathBuf,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) shape: Shape,
    enabled: bool,
    backlog: Mutex<Backlog>,
    waiting: AtomicUsize,
    pub(super) files: Mutex<Files>,
    /// Every record before this commit-log offset is indexed.
    pub(super) complete_to: AtomicI64,
}

/// What of the index is on the disk.
pub(crate) struct Durable {
    /// Store time of the last record in a full file; 0 if none is full.
    pub full_ms: i64,
    /// Store time of the first record in the file that takes more; none takes any if in the far future.
    pub open_from_ms: i64,
    /// Every record before this commit-log offset is indexed.
    pub complete_to: i64,
}

#[derive(Default)]
struct Backlog {
    keys: Vec<Key>,
    end: i64,
}

/// The files, oldest first.
#[derive(Default)]
pub(super) struct Files {
    pub list: Vec<IndexFile>,
    /// Why nothing more is indexed, until the store is opened again. Sends are not disturbed.
    failed: Option<String>,
    /// A file was removed since the directory was synced.
    pub renamed: bool,
}

impl Files {
    fn expiring(&self, log_min: i64) -> usize {
        let newest = self.list.len().saturating_sub(1);
        self.list[..newest].iter().take_while(|file| file.header.end_offset < log_min).count()
    }
}

impl Index {
    pub fn new(options: &StoreOptions) -> Self {
        Index {
            dir: options.root.join("index"),
            storage: options.storage.clone(),
            shape: Shape { slots: options.max_hash_slot_num.max(1), items: options.max_index_num.max(2) },
            enabled: options.message_index_enable,
            backlog: Mutex::default(),
            waiting: AtomicUsize::new(0),
            files: Mutex::default(),
            complete_to: AtomicI64::new(0),
        }
    }

    /// Takes the keys of records that became visible, which end at a commit-log offset.
    pub fn note(&self, keys: &[Key], end: i64) {
        if !self.enabled {
            return;
        }
        let mut backlog = self.backlog.lock();
        backlog.end = end;
        backlog.keys.extend_from_slice(keys);
        let waiting = backlog.keys.len();
        drop(backlog);
        self.waiting.store(waiting, Ordering::Relaxed);
        if waiting > 4 * BACKLOG {
            self.drain();
        }
    }

    /// Whether so many keys wait that they should not wait longer.
    pub fn is_pressed(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > BACKLOG
    }

    /// Puts into the files what waits.
    pub fn drain(&self) {
        let mut files = self.files.lock();
        let mut backlog = std::mem::take(&mut *self.backlog.lock());
        self.waiting.store(0, Ordering::Relaxed);
        if backlog.end > 0 && files.failed.is_none() {
            self.put(&mut files, &backlog.keys, backlog.end);
        }
        // Capacity is worth keeping under load, and not worth much memory at rest.
        if backlog.keys.capacity() <= 4096 || backlog.keys.len() > BACKLOG / 4 {
            backlog.keys.clear();
            let mut fresh = self.backlog.lock();
            if fresh.keys.is_empty() {
                fresh.keys = backlog.keys;
            }
        }
    }

    /// Adds keys of records up to `end`; those below the end of the newest file are there already.
    fn put(&self, files: &mut Files, keys: &[Key], end: i64) {
        for key in keys {
            if let Err(error) = self.add(files, key) {
                let reason = error.to_string();
                tracing::error!(%reason, "the key index takes no more keys; sends and pulls go on");
                files.failed = Some(reason);
                return;
            }
        }
        self.complete_to.fetch_max(end, Ordering::AcqRel);
    }

    fn add(&self, files: &mut Files, key: &Key) -> io::Result<()> {
        if files.list.last().is_none_or(IndexFile::is_full) {
            if let Some(full) = files.list.last_mut() {
                full.sync()?;
            }
            let file = self.create(files, key.store_timestamp)?;
            files.list.push(file);
        }
        match files.list.last_mut() {
            Some(file) => file.add(key),
            None => Ok(()),
        }
    }

    /// A new file, named after the time; behind the newest one's name in any case, as the names are the order.
    fn create(&self, files: &Files, now_ms: i64) -> io::Result<IndexFile> {
        self.make_dir()?;
        let [year, month, day, hour, minute, second] = local_time(now_ms);
        let milli = now_ms.rem_euclid(1000);
        let mut name = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milli:03}");
        let newest = files.list.last().and_then(|file| file.path.file_name()?.to_str());
        if let Some(newest) = newest.filter(|newest| **newest >= *name) {
            name = newest
                .parse::<u64>()
                .map_or_else(|_| format!("{newest}0"), |number| (number + 1).to_string());
        }
        let file = IndexFile::open(&*self.storage, &self.dir.join(name), self.shape, Open::Create)?;
        // A later file must never be found without the ones before it.
        self.storage.sync_dir(&self.dir)?;
        Ok(file)
    }

    fn make_dir(&self) -> io::Result<()> {
        self.storage.create_dir_all(&self.dir)?;
        self.storage.sync_dir(self.dir.parent().unwrap_or(&self.dir))
    }

    /// Makes durable what is in the files; up to where that is so.
    pub fn save(&self) -> io::Result<Durable> {
        let mut files = self.files.lock();
        let complete_to = self.complete_to.load(Ordering::Acquire);
        if files.list.iter().any(|file| file.dirty) || files.renamed {
            files.list.iter_mut().try_for_each(IndexFile::sync)?;
            if std::mem::take(&mut files.renamed) {
                self.storage.sync_dir(&self.dir)?;
            }
        }
        // One that could not be synced counts as if it were to be filled: a start makes it again.
        let is_done = |file: &&IndexFile| file.is_full() && !file.is_lost;
        let full = files.list.iter().take_while(is_done).last();
        let open = files.list.iter().find(|file| !is_done(file));
        let lost_from = open.filter(|file| file.is_lost).map_or(i64::MAX, |file| file.header.begin_offset);
        Ok(Durable {
            full_ms: full.map_or(0, |file| file.header.end_timestamp),
            open_from_ms: open.map_or(i64::MAX, |file| file.header.begin_timestamp),
            complete_to: complete_to.min(lost_from),
        })
    }

    /// The files with records before a commit-log offset, as they are now.
    pub fn snapshots(&self, log_end: i64) -> io::Result<Vec<Snapshot>> {
        let files = self.files.lock();
        let wanted = |file: &&IndexFile| file.header.next_item > 1 && file.header.begin_offset < log_end;
        files.list.iter().filter(wanted).map(|file| file.snapshot(log_end)).collect()
    }

    /// Bytes that the files take.
    pub fn bytes(&self) -> u64 {
        self.files.lock().list.iter().map(IndexFile::bytes).sum()
    }

    /// Number of files.
    pub fn file_count(&self) -> usize {
        self.files.lock().list.len()
    }

    /// Candidates for a key hash, newest first, with store time and offset of the newest item of all.
    pub fn find(&self, hash: i32, begin: i64, end: i64, max: usize) -> (Vec<i64>, i64, i64) {
        self.drain();
        let max = max.min(MOST_RESULTS);
        let files = self.files.lock();
        let mut found = Vec::new();
        for file in files.list.iter().rev() {
            if file.meets(begin, end) {
                file.find(hash, begin, end, max, &mut found);
            }
            if file.header.begin_timestamp < begin || found.len() >= max {
                break;
            }
        }
        let newest = files.list.last().map(|file| file.header).unwrap_or_default();
        (found, newest.end_timestamp, newest.end_offset)
    }

    /// Number of files all of whose records lie before `log_min`; the newest is none of them.
    pub fn expiring(&self, log_min: i64) -> usize {
        self.files.lock().expiring(log_min)
    }

    /// Removes those files.
    pub fn expire(&self, log_min: i64) -> io::Result<()> {
        let mut files = self.files.lock();
        for _ in 0..files.expiring(log_min) {
            self.storage.remove_file(&files.list[0].path)?;
            files.list.remove(0);
            files.renamed = true;
        }
        Ok(())
    }

    /// Adds the keys of a record that recovery read. `end` is the commit-log offset behind it.
    pub fn add_recovered(&self, keys: &[Key], end: i64) {
        let mut files = self.files.lock();
        if self.enabled && files.failed.is_none() {
            self.put(&mut files, keys, end);
        }
    }

    /// Whether keys are indexed at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::{Memory, Operation};
    use crate::store::tests::options;

    #[test]
    fn a_file_that_could_not_be_synced_does_not_count() {
        let memory = Memory::new();
        let index = Index::new(&options(&memory));
        let key = |number: i64| Key { hash: number as i32, offset: number * 100, store_timestamp: number };
        let add = |numbers: std::ops::Range<i64>| {
            let keys: Vec<_> = numbers.clone().map(key).collect();
            index.note(&keys, numbers.end * 100);
            index.drain();
            let saved = index.save().unwrap();
            (saved.full_ms, saved.open_from_ms, saved.complete_to)
        };
        // 99 keys a file.
        assert_eq!(add(1..120), (99, 100, 12_000));
        index.note(&[key(120)], 12_100);
        index.drain();
        memory.intercept(|operation, _| match operation {
            Operation::Sync => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => Ok(()),
        });
        index.note(&(121..210).map(key).collect::<Vec<_>>(), 21_000);
        index.drain();
        memory.intercept(|_, _| Ok(()));
        // A later one does not tell what that one lost.
        assert_eq!(add(210..211), (99, 100, 10_000));
        assert_eq!(index.find(150, 0, i64::MAX, 1).0, [15_000]);
    }
}
