//! The store: commit log, consume queues, key index, in Apache's files (store reference). Synchronous; it knows neither
//! wire nor broker.
//!
//! A send: [`Core::append`] encodes and checks before the log's one lock, and under it assigns offsets and copies;
//! [`Core::dispatch`] puts what is visible into queues and index and tells the listener. Under SYNC_FLUSH a record is
//! visible once [`Core::when_durable`] has answered, under ASYNC_FLUSH at once. A pull: [`Core::get`] looks up the
//! queue's entries and answers with slices of the mapped log.
//!
//! What is on disk is trusted by nobody: `recovery` reads the log back to the last checkpoint, and queues and index are
//! made to agree with it. After a failed write or sync the store is read-only; what could be read can still be read.

mod append;
mod backup;
mod behind;
mod checkpoint;
mod cursor;
mod damaged;
mod dispatch;
mod durable;
mod examine;
mod ext;
mod get;
mod guard;
mod index;
mod index_file;
mod index_load;
mod keys;
mod known;
mod lock;
mod log;
mod log_files;
mod mapping;
mod numbers;
mod options;
mod pass;
mod prepare;
mod queue;
mod queue_files;
mod queue_load;
mod queues;
mod recovery;
mod repair;
mod retention;
mod save;
mod scan;
mod scratch;
mod segment;
mod short_cut;
mod signal;
mod slot;
pub mod storage;
mod threads;
mod time;
mod types;
mod walk;

use std::collections::BTreeSet;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use self::behind::Behind;
use self::checkpoint::Checkpoint;
use self::damaged::Damaged;
use self::dispatch::Dispatcher;
use self::durable::Waiters;
use self::ext::Ext;
use self::index::Index;
use self::lock::{Abort, Lock};
use self::log::Log;
use self::queues::Queues;
use self::recovery::Before;
use self::save::Saved;
use crate::clock::Clock;
use crate::message::java_hash;
use crate::record::RecordView;
use crate::sync::{Mutex, RwLock};
use crate::{Error, ErrorKind, Result};

pub use self::backup::{Backup, FullFiles};
pub use self::examine::{check, fit_to_files, walk, Findings, Item, Problem};
pub use self::known::{Content, KnownQueue, Origin, Ready};
pub use self::options::{FlushMode, StoreOptions};
pub use self::queues::MAX_QUEUES;
pub use self::repair::{repair, Repaired};
pub use self::retention::Retention;
pub use self::scratch::Scratch;
pub(crate) use self::storage::{forks, local_time};
pub use self::types::*;
pub use self::walk::Walk;

/// The longest topic, in bytes: it names a directory.
pub const MAX_TOPIC: usize = 255;

/// An open store. Everything but opening and closing is in [`Core`], which this dereferences to.
#[doc(alias = "DefaultMessageStore")]
pub struct Store {
    core: Arc<Core>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The parts of a store, shared with its threads.
pub struct Core {
    pub(crate) options: StoreOptions,
    pub(crate) clock: Clock,
    pub(crate) log: Log,
    pub(crate) queues: Queues,
    pub(crate) index: Index,
    pub(crate) ext: Ext,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) waiters: Waiters,
    pub(crate) behind: Behind,
    pub(crate) saved: Saved,
    pub(crate) damaged: Damaged,
    pub(crate) listener: RwLock<Option<Box<dyn Listener>>>,
    /// Bytes behind the end of the log that count as in memory.
    pub(crate) memory_reach: i64,
    pub(crate) stopping: AtomicBool,
    /// Backups are not finished any more.
    pub(crate) backups_ended: AtomicBool,
    /// Something was appended while the timer rested.
    pub(crate) stirred: AtomicBool,
    /// When files go.
    pub(crate) retention: RwLock<Retention>,
    /// Start of the log when queues and index were last made to follow it.
    pub(crate) retained_to: AtomicI64,
    report: std::sync::OnceLock<RecoveryReport>,
    held: Mutex<Option<(Lock, Abort)>>,
}

impl Deref for Store {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Store {
    /// Opens the store in `options.root`, making it if it is not there: takes the lock, recovers, starts the threads.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`] when another broker holds the directory, [`ErrorKind::InvalidArgument`] when its files were
    /// made with other sizes, [`ErrorKind::Io`] when it cannot be read or written.
    #[doc(alias = "load")]
    pub fn open(options: StoreOptions, clock: Clock) -> Result<Arc<Store>> {
        let core = Arc::new(Core::new(options, clock));
        core.start()?;
        let threads = threads::start(&core).map_err(|error| {
            // As good as an orderly end: nothing came yet.
            let _kept = core.finish();
            Error::io("open store", "starting threads", error)
        })?;
        Ok(Arc::new(Store { core, threads: Mutex::new(threads) }))
    }

    /// Ends the store in order: what was appended is passed on, and log, queues, index and checkpoint are brought to
    /// disk. Later appends are refused; reads still work. Calling it again does nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotWritable`] when something could not be brought to disk; `abort` then stays, so that the next
    /// start recovers as after a crash.
    pub fn close(&self) -> Result<()> {
        let threads = std::mem::take(&mut *self.threads.lock());
        self.core.log.tail.lock().closed = true;
        threads::stop(&self.core);
        for thread in threads {
            // A callback on one of the store's threads may hold the last reference.
            if thread.thread().id() != std::thread::current().id() {
                let _panicked = thread.join();
            }
        }
        self.core.finish()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store was not closed in order");
        }
    }
}

impl Core {
    pub(crate) fn new(options: StoreOptions, clock: Clock) -> Core {
        let (storage, mode) = (options.storage.clone(), options.flush_mode);
        let size = options.mapped_file_size_commit_log;
        let ext = Ext {
            dir: options.root.join("consumequeue_ext"),
            file_size: options.mapped_file_size_consume_queue_ext.max(1) as u64,
            storage: storage.clone(),
        };
        let memory = options.machine_memory.unwrap_or_else(machine_memory);
        Core {
            log: Log::new(
                options.commit_log_path(),
                size,
                storage,
                mode,
                options.allocation_step,
                Duration::from_millis(options.os_page_cache_busy_time_out_ms),
            ),
            queues: Queues::new(&options),
            index: Index::new(&options),
            ext,
            dispatcher: Dispatcher::default(),
            waiters: Waiters::default(),
            behind: Behind::new(options.log_kept_in_memory),
            saved: Saved::default(),
            damaged: Damaged::default(),
            listener: RwLock::new(None),
            memory_reach: (memory / 100 * u64::from(options.access_message_in_memory_max_ratio)) as i64,
            stopping: AtomicBool::new(false),
            backups_ended: AtomicBool::new(false),
            stirred: AtomicBool::new(false),
            retention: RwLock::new(Retention::from(&options)),
            retained_to: AtomicI64::new(0),
            report: std::sync::OnceLock::new(),
            held: Mutex::new(None),
            options,
            clock,
        }
    }

    fn start(&self) -> Result<()> {
        self.start_checking(false)?;
        recovery::log_report(self.recovery_report());
        Ok(())
    }

    /// Takes the lock and recovers, reading the whole log if `whole` is set.
    pub(crate) fn start_checking(&self, whole: bool) -> Result<()> {
        let options = &self.options;
        if !(4096..=i32::MAX as usize).contains(&options.mapped_file_size_commit_log) {
            let size = options.mapped_file_size_commit_log;
            let text = format!("mappedFileSizeCommitLog is {size}, allowed are 4096 to {}", i32::MAX);
            return Err(Error::new(ErrorKind::InvalidArgument, "open store", text));
        }
        let storage = &*options.storage;
        for dir in [&options.root, &self.log.dir] {
            let made = storage.create_dir_all(dir).and_then(|()| match dir.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => storage.sync_dir(parent),
                _ => Ok(()),
            });
            made.map_err(|error| Error::io("open store", dir.display().to_string(), error))?;
        }
        backup::check_whole(storage, &options.root)?;
        let lock = Lock::take(storage, &options.root, &options.holder)?;
        let failed = |error| Error::io("open store", options.root.display().to_string(), error);
        self.queues.disk().map_err(failed)?;
        let checkpoint_path = options.root.join("checkpoint");
        let checkpoint = Checkpoint::load(storage, &checkpoint_path, self.clock.now_ms()).map_err(failed)?;
        let (abort, stood) = Abort::set(storage, &options.root).map_err(failed)?;
        let before =
            Before { clean: !stood, checkpoint, whole: whole || checkpoint.is_begun(), lists_all: whole };
        let report = recovery::recover(self, &before).inspect_err(|error| {
            // A store that is not opened for a wrong setting is as it was before; after any other failure queues
            // may be half made, and the next start must not take them for those of an orderly stop.
            if !stood && error.kind() == ErrorKind::InvalidArgument {
                let _kept = abort.clear(storage);
            }
        })?;
        self.saved.resume(&checkpoint);
        self.behind.resume(self.log.end());
        self.retained_to.store(self.log.min(), Ordering::Release);
        self.note_space();
        self.settle(stood);
        let _first = self.report.set(report);
        *self.held.lock() = Some((lock, abort));
        Ok(())
    }

    /// Makes durable what recovery found and made, so that the checkpoint holds again. After a crash that is also what the
    /// process before had written: the page cache had it, the disk perhaps not. A failure turns the store read-only, or
    /// waits for room; what is there can be read.
    fn settle(&self, crashed: bool) {
        let (root, log) = (&self.options.root, &self.log.dir);
        let dirs = [Some(root), Some(log).filter(|log| !log.starts_with(root))];
        for dir in dirs.into_iter().flatten().filter(|_| crashed) {
            if let Err(error) = self.options.storage.sync_all(dir) {
                return self.fail(format!("sync of {} failed: {error}", dir.display()));
            }
        }
        // What failed is noted where appends see it.
        let _told = self.save();
    }

    /// Brings everything to disk and lets the directory go.
    pub(crate) fn finish(&self) -> Result<()> {
        let Some((lock, abort)) = self.held.lock().take() else { return Ok(()) };
        self.dispatch();
        let storage = &*self.options.storage;
        let result = self.save().and_then(|()| {
            if let Some(next) = self.log.tail.lock().next.take() {
                // The file that was made ahead holds nothing.
                match storage.remove_file(&next.segment.path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(format!("{}: {error}", next.segment.path.display()));
                    }
                    _ => {}
                }
            }
            abort.clear(storage).map_err(|error| format!("{}: {error}", self.options.root.display()))
        });
        drop(lock);
        result.map_err(|reason| Error::new(ErrorKind::NotWritable, "close store", reason))
    }

    /// Sets who is told of each record that became readable, in queue order, by the thread that passes it on.
    pub fn set_listener(&self, listener: impl Listener + 'static) {
        *self.listener.write() = Some(Box::new(listener));
    }

    /// What opening found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        static NONE: std::sync::LazyLock<RecoveryReport> = std::sync::LazyLock::new(RecoveryReport::default);
        self.report.get().unwrap_or(&NONE)
    }

    /// First offset of a queue, and the offset behind its last readable record. `None`: there is no such queue.
    pub fn queue_bounds(&self, topic: &str, queue_id: i32) -> Option<Range<i64>> {
        self.catch_up();
        let queue = self.queues.queue(topic, queue_id)?;
        Some(queue.min()..queue.max())
    }

    /// Queues of a topic that hold or held records.
    pub fn queue_ids(&self, topic: &str) -> Vec<i32> {
        let queues = self.queues.topic(topic).map_or_else(Vec::new, |topic| topic.all());
        queues.iter().map(|queue| queue.id).collect()
    }

    /// Topics that have queues, in order.
    pub fn topics(&self) -> Vec<String> {
        let names: BTreeSet<String> =
            self.queues.topics().iter().map(|topic| topic.name.to_string()).collect();
        names.into_iter().collect()
    }

    /// The whole record at a commit-log offset, if one starts there, is visible, and is what was written.
    #[doc(alias = "lookMessageByOffset")]
    pub fn record(&self, physical_offset: i64) -> Option<Bytes> {
        if physical_offset >= self.log.visible() {
            return None;
        }
        let bytes = self.log.segments.record(physical_offset)?;
        let view = RecordView::parse(&bytes).ok()?;
        if !view.body_crc_matches() {
            self.damaged.note(physical_offset, || format!("of {}, queue {}", view.topic(), view.queue_id()));
            return None;
        }
        Some(bytes)
    }

    /// Commit-log offsets of the records that turned out damaged when they were read, as many as are remembered. They
    /// are not served; `ferromq log check` tells more.
    pub fn damaged_records(&self) -> Vec<i64> {
        self.damaged.offsets()
    }

    /// Records whose keys have the hash of `key`, stored between the times (ms): the newest `max`, at most 64, in log
    /// order.
    #[doc(alias = "queryMessage")]
    pub fn query_key(&self, topic: &str, key: &str, max: usize, begin_ms: i64, end_ms: i64) -> KeyQuery {
        self.catch_up();
        let prefix = java_hash(topic).wrapping_mul(31).wrapping_add(i32::from(b'#'));
        let (mut found, last_update_timestamp, last_update_offset) =
            self.index.find(keys::key_hash(prefix, key), begin_ms, end_ms, max);
        found.sort_unstable();
        // A record that a crash caught between two of its keys may stand there twice.
        found.dedup();
        let records = found.into_iter().filter_map(|offset| self.record(offset)).collect();
        KeyQuery { records, last_update_timestamp, last_update_offset }
    }

    /// Forgets the queues of a topic and removes their files. Its records stay in the log until they expire.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let failed = |reason| Error::new(ErrorKind::NotWritable, "delete topic", reason);
        // A crash half-way must not look like the loss of queues, for which all are made again from the log.
        let leaving = self.queues.topic(topic).map_or(0, |topic| topic.on_disk()) as i64;
        self.saved.leaving.fetch_add(leaving, Ordering::AcqRel);
        let removed = self.save().map_err(failed).and_then(|()| {
            // Under SYNC_FLUSH the save let records be passed on; after the one below they would bring the topic back.
            self.catch_up();
            // Readers wait while no record is passed on, so the files are removed after that.
            let forget = || {
                self.queues.topic(topic)?;
                self.saved.forgotten.lock().push(topic.to_owned());
                self.queues.forget(topic)
            };
            let removed = self.without_dispatches(forget).map(|removed| self.queues.remove_files(removed));
            self.dispatch();
            let failed_to_remove = |error| Error::io("delete topic", topic.to_owned(), error);
            removed.unwrap_or(Ok(())).map_err(failed_to_remove)?;
            // What was appended by someone who had found the queue before: with it on disk, and so passed on below, nobody
            // takes it for a record of a topic of this name. What comes later is refused.
            self.flush_log().map_err(failed)?;
            // The checkpoint below would lie before what is not passed on.
            match self.catch_up() {
                true => Ok(()),
                false => Err(failed("an append is stuck with the log; delete the topic again".into())),
            }
        });
        self.saved.leaving.fetch_sub(leaving, Ordering::AcqRel);
        removed?;
        // Behind the checkpoint nothing is made again from the log, so the topic does not come back.
        self.save().map_err(failed)
    }

    /// First commit-log offset that can be read.
    pub fn min_physical_offset(&self) -> i64 {
        self.log.min()
    }

    /// End of what was appended.
    pub fn max_physical_offset(&self) -> i64 {
        self.log.end()
    }

    /// End of what is known to be on disk.
    pub fn flushed_offset(&self) -> i64 {
        self.log.flushed.load(Ordering::Acquire)
    }

    /// Store time of the oldest record, ms; -1 if there is none.
    pub fn earliest_store_time(&self) -> i64 {
        self.log.segments.store_time(self.log.min()).unwrap_or(-1)
    }

    /// The options that the store was opened with.
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }
}

/// Whether a topic can name a directory, and how long it is.
pub(crate) fn check_topic(topic: &str) -> std::result::Result<(), String> {
    if topic.is_empty() || topic == "." || topic == ".." || topic.contains(['/', '\0']) {
        return Err(format!("topic {topic:?} cannot be stored: it names a directory"));
    }
    if topic.len() > MAX_TOPIC {
        return Err(format!("the topic has {} bytes, allowed are {MAX_TOPIC}", topic.len()));
    }
    Ok(())
}

/// Memory of the machine in bytes; 8 GiB where it cannot be found out.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map_or(8 << 30, |kib| kib << 10)
}

#[cfg(test)]
mod tests;
