//! The key index: which records carry a key. Keys gather in memory while messages come in and go to the files in
//! bulk, off the way of a send; a query waits for that. The log can always make the index again.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;

use super::dispatch::Pending;
use super::index_file::{IndexFile, Key, Shape};
use super::storage::{local_time, Open, Storage};
use super::StoreOptions;
use crate::Result;

/// With so many keys waiting the background thread is woken before its time; with four times as many the dispatcher
/// does the work itself, so that memory stays bounded.
pub(crate) const BACKLOG: usize = 1 << 17;
/// Apache's limit on the results of a query.
pub(crate) const MOST_RESULTS: usize = 64;

/// All index files of a store.
pub(crate) struct Index {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
    shape: Shape,
    enabled: bool,
    backlog: Mutex<Backlog>,
    waiting: AtomicUsize,
    files: Mutex<Files>,
    /// Every record before this commit-log offset is indexed.
    complete_to: AtomicI64,
}

#[derive(Default)]
struct Backlog {
    keys: Vec<Key>,
    end: i64,
}

/// The files, oldest first.
#[derive(Default)]
struct Files {
    list: Vec<IndexFile>,
    /// Why nothing more is indexed, until the store is opened again. Sends are not disturbed.
    failed: Option<String>,
    /// A file was made or removed since the directory was synced.
    renamed: bool,
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

    /// Takes the keys of records that became visible.
    pub fn note(&self, records: &[Pending]) {
        let Some(last) = records.last().filter(|_| self.enabled) else { return };
        let mut backlog = self.backlog.lock();
        backlog.end = last.slot.entry.end();
        for record in records {
            let (offset, store_timestamp) = (record.slot.entry.physical_offset, record.slot.store_timestamp);
            backlog.keys.extend(record.keys.iter().map(|hash| Key { hash, offset, store_timestamp }));
        }
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
            files.renamed = true;
        }
        match files.list.last_mut() {
            Some(file) => file.add(key),
            None => Ok(()),
        }
    }

    /// A new file, named after the time; behind the newest one's name in any case, as the names are the order.
    fn create(&self, files: &Files, now_ms: i64) -> io::Result<IndexFile> {
        self.storage.create_dir_all(&self.dir)?;
        let [year, month, day, hour, minute, second] = local_time(now_ms);
        let milli = now_ms.rem_euclid(1000);
        let mut name = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{milli:03}");
        let newest = files.list.last().and_then(|file| file.path.file_name()?.to_str());
        if let Some(newest) = newest.filter(|newest| **newest >= *name) {
            name = newest
                .parse::<u64>()
                .map_or_else(|_| format!("{newest}0"), |number| (number + 1).to_string());
        }
        IndexFile::open(&*self.storage, &self.dir.join(name), self.shape, Open::Create)
    }

    /// Makes durable what is in the files; returns the store time and commit-log offset up to which that is so.
    pub fn save(&self) -> io::Result<(i64, i64)> {
        let mut files = self.files.lock();
        let complete_to = self.complete_to.load(Ordering::Acquire);
        if files.list.iter().any(|file| file.dirty) || files.renamed {
            files.list.iter_mut().try_for_each(IndexFile::sync)?;
            if std::mem::take(&mut files.renamed) {
                self.storage.sync_dir(&self.dir)?;
                self.storage.sync_dir(self.dir.parent().unwrap_or(&self.dir))?;
            }
        }
        Ok((files.list.last().map_or(0, |file| file.header.end_timestamp), complete_to))
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

    /// Removes files all of whose records lie before `log_min`; the newest stays.
    pub fn expire(&self, log_min: i64) -> io::Result<usize> {
        let mut files = self.files.lock();
        let mut removed = 0;
        while files.list.len() > 1 && files.list[0].header.end_offset < log_min {
            self.storage.remove_file(&files.list[0].path)?;
            files.list.remove(0);
            files.renamed = true;
            removed += 1;
        }
        Ok(removed)
    }

    /// Reads the files that are there. What cannot be used is removed and told; the return value is the commit-log
    /// offset from which records must be indexed again. `unsynced_after`: files with later items are checked whole,
    /// as they may have been cut off by the loss of power.
    pub fn load(
        &self,
        log_end: i64,
        unsynced_after: Option<i64>,
        saved: Option<Saved>,
        notes: &mut Vec<String>,
    ) -> Result<i64> {
        if !self.enabled {
            return Ok(i64::MAX);
        }
        let error = |error| crate::Error::io("read index", self.dir.display().to_string(), error);
        let mut files = self.files.lock();
        let names = self.storage.list(&self.dir).map_err(error)?;
        let names: Vec<_> = names.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
        let expected = saved.map_or(0, |saved| saved.index_files);
        let mut damage =
            (names.len() < expected).then(|| format!("{} of {expected} files are there", names.len()));
        for name in &names {
            let path = self.dir.join(name);
            match IndexFile::open(&*self.storage, &path, self.shape, Open::Existing) {
                Ok(file) if file.is_sane() => files.list.push(file),
                Ok(_) => damage = Some(format!("the header of {} cannot be true", path.display())),
                Err(error) => damage = Some(format!("{}: {error}", path.display())),
            }
        }
        if !files.list.windows(2).all(|pair| pair[0].header.end_offset <= pair[1].header.begin_offset) {
            damage = Some("the files do not follow each other".into());
        }
        if let Some(damage) = damage {
            notes.push(format!("the key index is made again: {damage}"));
            files.list.clear();
            names
                .iter()
                .try_for_each(|name| self.storage.remove_file(&self.dir.join(name)))
                .map_err(error)?;
            return Ok(0);
        }
        self.check(&mut files, log_end, unsynced_after, notes).map_err(error)?;
        let mut through_files = files.list.last().map_or(0, |file| file.header.end_offset + 1);
        let saved_to = saved.map_or(0, |saved| saved.index_complete_to.min(log_end));
        if let Some(newest) = files
            .list
            .last_mut()
            .filter(|file| unsynced_after.is_some() && file.header.end_offset >= saved_to)
        {
            // The crash may have come between two keys of the last record: it is indexed again.
            through_files = newest.header.end_offset;
            newest.verify(through_files);
        }
        Ok(saved_to.max(through_files))
    }

    /// Checks items, all of small files and of those that may not have been synced, and drops what is not true.
    fn check(
        &self,
        files: &mut Files,
        log_end: i64,
        unsynced_after: Option<i64>,
        notes: &mut Vec<String>,
    ) -> io::Result<()> {
        const SMALL: i32 = 100_000;
        for at in 0..files.list.len() {
            let file = &mut files.list[at];
            let unsynced = unsynced_after.is_some_and(|time| file.header.end_timestamp > time);
            if !unsynced && file.header.next_item > SMALL && file.header.end_offset < log_end {
                continue;
            }
            let dropped = file.verify(log_end);
            if dropped == 0 {
                continue;
            }
            notes.push(format!("{}: the last {dropped} items were not whole", file.path.display()));
            // Items must follow each other over the files, so later files go with the dropped items.
            for later in files.list.drain(at + 1..) {
                self.storage.remove_file(&later.path)?;
            }
            files.renamed = true;
            break;
        }
        if files.list.last().is_some_and(|file| file.header.next_item == 1) {
            let empty = files.list.pop();
            empty.map_or(Ok(()), |file| self.storage.remove_file(&file.path))?;
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

/// What the last checkpoint says about the index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Saved {
    pub index_files: usize,
    pub index_complete_to: i64,
}
