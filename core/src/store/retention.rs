//! Old files go (store reference, section 7.2): of the log by age or for want of space, of queues and index with what
//! they point to.

use super::log;
use super::queue::Queue;
use super::storage::local_time;
use super::{Core, StoreOptions};

/// Files of the log that one round removes at most.
const FILES_A_ROUND: usize = 10;

/// When files go. May be changed while the store is open; the fields are those of [`StoreOptions`].
#[derive(Debug, Clone)]
pub struct Retention {
    /// Hours that commit-log files are kept.
    pub file_reserved_time_hours: u64,
    /// Hours of the day at which expired files go.
    pub delete_when: String,
    /// Percent of disk use at which expired files go at any hour.
    pub disk_max_used_space_ratio: u32,
    /// Percent of disk use at which files go before their time.
    pub disk_space_clean_forcibly_ratio: u32,
    /// Percent of disk use at which writes are refused.
    pub disk_space_warning_level_ratio: u32,
    /// Whether files may go before their time.
    pub clean_file_forcibly_enable: bool,
    /// Bytes that the store may take; above, files go before their time. 0: no limit.
    pub max_store_size: u64,
}

impl From<&StoreOptions> for Retention {
    fn from(options: &StoreOptions) -> Self {
        Retention {
            file_reserved_time_hours: options.file_reserved_time_hours,
            delete_when: options.delete_when.clone(),
            disk_max_used_space_ratio: options.disk_max_used_space_ratio,
            disk_space_clean_forcibly_ratio: options.disk_space_clean_forcibly_ratio,
            disk_space_warning_level_ratio: options.disk_space_warning_level_ratio,
            clean_file_forcibly_enable: options.clean_file_forcibly_enable,
            max_store_size: options.max_store_size,
        }
    }
}

impl Core {
    /// Changes when files go, from the next round on.
    pub fn set_retention(&self, retention: Retention) {
        *self.retention.write() = retention;
    }

    /// Bytes of the commit log's disk, and of them the free ones.
    pub fn disk_space(&self) -> Option<[u64; 2]> {
        self.options.storage.space(&self.log.dir).ok().map(|space| [space.total, space.free])
    }

    /// Percent in use of the disks of the commit log and of the queues.
    pub fn disk_use_percent(&self) -> [f64; 2] {
        let storage = &*self.options.storage;
        let dirs = [&self.log.dir, &self.options.root];
        dirs.map(|dir| storage.space(dir).map_or(0.0, |space| space.used_percent()))
    }

    /// One round of retention, as the store's timer does it every `clean_resource_interval_ms`.
    #[doc(alias = "CleanCommitLogService")]
    pub fn run_retention(&self) {
        self.retain(false);
    }

    /// One round of retention at which expired files go whatever the hour.
    #[doc(alias = "executeDeleteFilesManually")]
    pub fn delete_expired_files(&self) {
        self.retain(true);
    }

    /// Removes files of queues and index all of whose records are gone, also where the log has not moved since that was
    /// done last.
    #[doc(alias = "cleanExpiredConsumerQueue")]
    pub fn remove_expired_queue_files(&self) {
        self.catch_up();
        self.retained_to.store(-1, std::sync::atomic::Ordering::Release);
        self.follow_log();
    }

    fn retain(&self, now_or_later: bool) {
        self.catch_up();
        let used = self.note_space();
        let rules = self.retention.read().clone();
        let crowded = rules.clean_file_forcibly_enable
            && used > f64::from(rules.disk_space_clean_forcibly_ratio.clamp(30, 85));
        let time_is_up = now_or_later
            || self.is_delete_hour(&rules)
            || used > f64::from(rules.disk_max_used_space_ratio.clamp(10, 95));
        let mut removed = 0;
        if time_is_up || crowded {
            while removed < FILES_A_ROUND && self.remove_oldest(&rules, crowded) {
                removed += 1;
            }
        }
        if rules.max_store_size > 0 {
            let beside = self.bytes_beside_log();
            // As many as it takes: a quota that is kept only on average is none.
            while beside + self.log_bytes() > rules.max_store_size && self.remove_oldest(&rules, true) {
                removed += 1;
            }
        }
        if removed > 0 {
            tracing::info!(removed, min = self.log.min(), "commit-log files removed");
            self.note_space();
        }
        self.follow_log();
    }

    /// Bytes that log, queues and index take, without what is allocated ahead.
    pub fn size(&self) -> u64 {
        self.log_bytes() + self.bytes_beside_log()
    }

    fn log_bytes(&self) -> u64 {
        (self.log.end() - self.log.min()).max(0) as u64
    }

    fn bytes_beside_log(&self) -> u64 {
        let entries = |queue: &std::sync::Arc<Queue>| {
            let state = queue.state();
            (state.end - state.first()).max(0) as u64 * queue.form.unit() as u64
        };
        self.queues.all().iter().map(entries).sum::<u64>() + self.index.bytes()
    }

    /// Looks at the disks of log and queues; past the warning level the store takes no writes. Returns the larger use
    /// in percent.
    pub(crate) fn note_space(&self) -> f64 {
        let level = f64::from(self.retention.read().disk_space_warning_level_ratio.clamp(35, 90));
        let dirs = [&self.log.dir, &self.options.root];
        let used = self.disk_use_percent();
        let (percent, dir) = if used[0] >= used[1] { (used[0], dirs[0]) } else { (used[1], dirs[1]) };
        let mut tail = self.log.tail.lock();
        tail.crowded = (percent > level).then(|| {
            let dir = dir.display();
            format!("the disk of {dir} is {percent:.0} % full, writes are refused above {level} % (diskSpaceWarningLevelRatio)")
        });
        self.try_room(&mut tail);
        percent
    }

    /// Whether there is room again where there was none is seen here too, in case nobody appends.
    fn try_room(&self, tail: &mut log::Tail) {
        if tail.full.is_none() {
            return;
        }
        let log = &self.log;
        let has_room = tail.open.as_mut().is_none_or(|open| {
            let next = (open.allocated + 1).min(open.size());
            next <= open.allocated || log::allocate(open, next, log.step).is_ok()
        });
        if has_room {
            tail.full = None;
        }
    }

    fn is_delete_hour(&self, rules: &Retention) -> bool {
        let hour = local_time(self.clock.now_ms())[3];
        rules.delete_when.split(';').any(|when| when.trim().parse() == Ok(hour))
    }

    /// Removes the oldest file of the log, if its time is over or `anyway`. The file that is written to stays.
    fn remove_oldest(&self, rules: &Retention, anyway: bool) -> bool {
        let all = self.log.segments.all();
        let [oldest, _, ..] = &all[..] else { return false };
        let kept_ms = rules.file_reserved_time_hours.saturating_mul(3_600_000);
        let modified = oldest.file.modified_ms().unwrap_or(i64::MAX);
        let age = self.clock.now_ms().saturating_sub(modified);
        let expired = age > i64::try_from(kept_ms).unwrap_or(i64::MAX);
        // What is not on disk yet, or not in its queue, is not old.
        let settled = oldest.end() <= self.log.flushed.load(std::sync::atomic::Ordering::Acquire)
            && oldest.end() <= self.dispatcher.end.load(std::sync::atomic::Ordering::Acquire);
        if !(expired || anyway) || !settled {
            return false;
        }
        if let Err(error) = self.options.storage.remove_file(&oldest.path) {
            tracing::error!(file = %oldest.path.display(), %error, "the file cannot be removed");
            return false;
        }
        self.log.segments.pop_first();
        let _later = self.options.storage.sync_dir(&self.log.dir);
        true
    }

    /// Removes files of queues and index all of whose records are gone.
    fn follow_log(&self) {
        let min = self.log.min();
        if self.retained_to.swap(min, std::sync::atomic::Ordering::AcqRel) == min {
            return;
        }
        for queue in self.queues.all() {
            // Whole files go, so entries have to be in files.
            let written = queue.write_behind(&self.queues.files, self.queues.tails(), true);
            match written.and_then(|()| queue.expire(&self.queues.files, min)) {
                Ok(0) => {}
                Ok(_) => self.queues.note_unsaved(&queue),
                Err(error) => {
                    tracing::error!(topic = %queue.topic, queue = queue.id, %error, "queue files cannot be removed");
                }
            }
        }
        self.index.drain();
        // The checkpoint counts the files that stay, and before the others go.
        if self.save_without(self.index.expiring(min)).is_ok() {
            if let Err(error) = self.index.expire(min) {
                tracing::error!(%error, "index files cannot be removed");
            }
        }
    }
}
