//! Bringing queues, index and checkpoint to disk, now and then: they bound how much of the log recovery has to read.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::checkpoint::{Checkpoint, Own};
use super::storage::{is_full, sync_failed};
use super::Core;

/// What the queues held at one moment.
struct PassedOn {
    end: i64,
    store_timestamp: i64,
    queue_ends: [i64; 2],
    /// Files of the index that go as soon as the checkpoint does not count them.
    index_files_going: usize,
    /// Topics that were forgotten before.
    forgotten: Vec<String>,
}

/// Up to which store time what is on disk.
#[derive(Default)]
pub(crate) struct Saved {
    pub log_ms: AtomicI64,
    queues_ms: AtomicI64,
    /// Values of other brokers, kept as found.
    pub foreign: crate::sync::Mutex<(i64, i64)>,
    /// Queues of topics that are being deleted: the checkpoint does not count them, there or not.
    pub leaving: AtomicI64,
    /// Topics that were forgotten since the last checkpoint. To be changed while no record is passed on.
    pub forgotten: crate::sync::Mutex<Vec<String>>,
    /// What is on the disk.
    checkpoint: crate::sync::Mutex<Option<Checkpoint>>,
    /// [`Checkpoint::safe_ms`] of that.
    safe_ms: AtomicI64,
    /// A record has an earlier time than that: the clock was set back.
    pub is_ahead: AtomicBool,
    /// Whether `Tail::unwritten` says something; changed with the tail's lock held.
    unwritten: AtomicBool,
    /// Held while queues and checkpoint are written.
    saving: crate::sync::Mutex<()>,
}

impl Saved {
    pub fn resume(&self, checkpoint: &Checkpoint) {
        self.log_ms.store(checkpoint.log_ms, Ordering::Release);
        self.queues_ms.store(checkpoint.queues_ms, Ordering::Release);
        *self.foreign.lock() = (checkpoint.master_flushed, checkpoint.confirm);
        self.is_on_disk(checkpoint);
    }

    fn is_on_disk(&self, checkpoint: &Checkpoint) {
        *self.checkpoint.lock() = Some(*checkpoint);
        self.safe_ms.store(checkpoint.safe_ms(), Ordering::Release);
    }

    /// Looks at the time of a record that was passed on. Whether the checkpoint's times do not hold any more and nobody
    /// knew.
    pub fn ends_by(&self, store_timestamp: i64) -> bool {
        store_timestamp <= self.safe_ms.load(Ordering::Relaxed) && !self.is_ahead.swap(true, Ordering::AcqRel)
    }

    /// Whether there is no room for what waits in memory.
    pub fn has_unwritten(&self) -> bool {
        self.unwritten.load(Ordering::Acquire)
    }

    /// Whether a topic was forgotten and the checkpoint on the disk may know of it.
    pub fn is_leaving(&self, topic: &str) -> bool {
        self.forgotten.lock().iter().any(|name| name == topic)
    }
}

impl Core {
    /// Writes entries and keys that wait in memory to their files, without waiting for the disk: enough to survive a
    /// kill of the process.
    pub(crate) fn write_behind(&self) {
        self.index.drain();
        let _told = self.write_queues();
    }

    fn write_queues(&self) -> Result<(), String> {
        let had_no_room = self.saved.has_unwritten();
        self.queues.write_all(had_no_room).map_err(|error| self.not_written("the consume queues", &error))?;
        if had_no_room {
            let mut tail = self.log.tail.lock();
            tail.unwritten = None;
            self.saved.unwritten.store(false, Ordering::Release);
            tracing::info!("there is room for the consume queues again");
        }
        Ok(())
    }

    /// A write of what waits in memory failed. For want of room, which may pass: it waits on, and so do appends. Returns
    /// the reason.
    pub(crate) fn not_written(&self, what: &str, error: &io::Error) -> String {
        let root = self.options.root.display();
        if !is_full(error) {
            let reason = format!("write to {what} in {root} failed: {error}");
            self.fail(reason.clone());
            return reason;
        }
        let reason = format!("no space for {what} in {root}: {error}; free some, or let files expire");
        let mut tail = self.log.tail.lock();
        if tail.unwritten.is_none() {
            tracing::error!(%reason, "the store does not take writes for now");
        }
        tail.unwritten = Some(reason.clone());
        self.saved.unwritten.store(true, Ordering::Release);
        reason
    }

    /// Makes log, queues and index durable and says so in the checkpoint.
    pub(crate) fn save(&self) -> Result<(), String> {
        self.save_without(0)
    }

    /// As [`Core::save`], where so many files of the index are about to go: those that are missing after a crash would
    /// otherwise count as lost.
    pub(crate) fn save_without(&self, index_files_going: usize) -> Result<(), String> {
        let _one_at_a_time = self.saved.saving.lock();
        // What is passed on now is in the queues that are saved below.
        self.catch_up();
        let passed_on = self.between_dispatches(|| PassedOn {
            end: self.dispatcher.end.load(Ordering::Acquire),
            store_timestamp: self.dispatcher.store_timestamp.load(Ordering::Acquire),
            queue_ends: self.queues.ends(),
            index_files_going,
            forgotten: self.saved.forgotten.lock().clone(),
        });
        let fresh = self.queues.fresh.swap(0, Ordering::AcqRel);
        self.index.drain();
        let flushed = self.flush_log();
        // What is on the disk now is visible, and whoever comes to wait for that is told at once, by nobody who passes it on.
        self.dispatch();
        let saved = flushed.and_then(|()| self.write_queues()).and_then(|()| {
            let saved = self.save_behind(&passed_on);
            saved.map_err(|error| self.not_written("queues and checkpoint", &error))
        });
        saved.inspect_err(|_| {
            // Something is left to be done, even if nothing came since: the checkpoint.
            self.queues.fresh.fetch_add(fresh.max(1), Ordering::AcqRel);
        })
    }

    fn save_behind(&self, passed_on: &PassedOn) -> io::Result<()> {
        self.queues.save_all()?;
        let queues_ms = passed_on.store_timestamp;
        self.saved.queues_ms.store(queues_ms, Ordering::Release);
        let index = self.index.save().map_err(sync_failed)?;
        let (master_flushed, confirm) = *self.saved.foreign.lock();
        let own = Own {
            queues: (self.queues.on_disk() as i64 - self.saved.leaving.load(Ordering::Acquire)).max(0),
            index_files: self.index.file_count().saturating_sub(passed_on.index_files_going) as i64,
            index_complete_to: index.complete_to,
            dispatched_to: passed_on.end,
            queue_ends: Some(passed_on.queue_ends[0]),
            ends_alone: Some(passed_on.queue_ends[1]),
        };
        // After a crash, Apache's brokers remove the index files that end later than the index's time here, which they
        // only set when a file is full, and index again what came later than the log's or the queues' time. So that no
        // key is in neither, the file that is not full yet holds back the log's. Ours goes by what is its own.
        let log_ms = self.saved.log_ms.load(Ordering::Acquire).min(index.open_from_ms);
        let checkpoint = Checkpoint {
            log_ms,
            queues_ms,
            index_ms: index.full_ms,
            master_flushed,
            confirm,
            own: Some(own),
        };
        // A queue that is known to be damaged is not vouched for.
        let checkpoint = if self.damaged.has_queues() { checkpoint.begun() } else { checkpoint };
        self.write_checkpoint(&checkpoint)?;
        self.saved.forgotten.lock().retain(|topic| !passed_on.forgotten.contains(topic));
        Ok(())
    }

    fn write_checkpoint(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        checkpoint.save(&*self.options.storage, &self.options.root.join("checkpoint"))?;
        self.saved.is_on_disk(checkpoint);
        Ok(())
    }

    /// After the clock was set back, takes back what the checkpoint says by times, until the next one: Apache's brokers would
    /// begin at a file whose first record has an earlier time, and pass over those before it that are in no queue on the disk.
    pub(crate) fn follow_clock(&self) {
        if !self.saved.is_ahead.load(Ordering::Acquire) {
            return;
        }
        let _one_at_a_time = self.saved.saving.lock();
        let known = *self.saved.checkpoint.lock();
        if let Some(checkpoint) = known {
            let without = Checkpoint { log_ms: 0, queues_ms: 0, ..checkpoint };
            if let Err(error) = self.write_checkpoint(&without) {
                self.not_written("the checkpoint", &error);
            }
        }
        self.saved.is_ahead.store(false, Ordering::Release);
    }

    /// Whether there is something to save.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.queues.fresh.load(Ordering::Acquire) > 0
            || self.log.flushed.load(Ordering::Acquire) < self.log.end()
            || self.dispatch_behind() > 0
    }
}
