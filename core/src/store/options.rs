//! What a store is opened with. Names and defaults are Apache's (`MessageStoreConfig`), in snake case.

use std::path::PathBuf;
use std::sync::Arc;

use super::storage::{Files, Storage};

/// When a send may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "FlushDiskType")]
pub enum FlushMode {
    /// Once the record is in the page cache; written to disk in bulk (`ASYNC_FLUSH`).
    Async,
    /// Once the record is on disk; senders that wait at the same time share one fdatasync (`SYNC_FLUSH`).
    Sync,
}

/// Settings of a store. [`StoreOptions::new`] gives Apache's defaults.
#[derive(Debug, Clone)]
#[doc(alias = "MessageStoreConfig")]
pub struct StoreOptions {
    /// The store directory (`storePathRootDir`).
    pub root: PathBuf,
    /// Where the commit log is, if not in `commitlog` below the root (`storePathCommitLog`).
    pub commit_log_dir: Option<PathBuf>,
    /// Bytes per commit-log file. Files that are there must have this size.
    pub mapped_file_size_commit_log: usize,
    /// Bytes per consume-queue file; rounded up to whole entries of 20 bytes.
    pub mapped_file_size_consume_queue: usize,
    /// Bytes per file of `consumequeue_ext`, which is only read.
    pub mapped_file_size_consume_queue_ext: usize,
    /// Bytes per batch-consume-queue file (`mapperFileSizeBatchConsumeQueue`); rounded up to whole entries of 46 bytes.
    pub mapped_file_size_batch_consume_queue: usize,
    /// Slots per index file.
    pub max_hash_slot_num: usize,
    /// Items per index file.
    pub max_index_num: usize,
    /// Whether keys are indexed.
    pub message_index_enable: bool,
    /// When a send may be acknowledged (`flushDiskType`).
    pub flush_mode: FlushMode,
    /// How long a send waits for a synchronous flush, ms.
    pub sync_flush_timeout_ms: u64,
    /// How long an append waits for another that holds the log, ms.
    pub os_page_cache_busy_time_out_ms: u64,
    /// Time between asynchronous flushes of the log, ms.
    pub flush_interval_commit_log_ms: u64,
    /// Pages of 4 KiB that must be dirty before a timed flush of the log.
    pub flush_commit_log_least_pages: usize,
    /// After this time a flush of the log ignores the page minimum, ms.
    pub flush_commit_log_thorough_interval_ms: u64,
    /// Time between flushes of queues and checkpoint, ms.
    pub flush_interval_consume_queue_ms: u64,
    /// Pages of 4 KiB of entries that must have come before a timed flush of the queues.
    pub flush_consume_queue_least_pages: usize,
    /// After this time a flush of the queues ignores the page minimum, ms.
    pub flush_consume_queue_thorough_interval_ms: u64,
    /// Hours that commit-log files are kept (`fileReservedTime`).
    pub file_reserved_time_hours: u64,
    /// Hours of the day, local time, at which expired files go: two digits each, `;` between them.
    pub delete_when: String,
    /// Percent of disk use at which expired files go at any hour; used within 10 to 95.
    pub disk_max_used_space_ratio: u32,
    /// Percent of disk use at which files go before their time; used within 30 to 85.
    pub disk_space_clean_forcibly_ratio: u32,
    /// Percent of disk use at which writes are refused; used within 35 to 90.
    pub disk_space_warning_level_ratio: u32,
    /// Whether files may go before their time when the disk is full.
    pub clean_file_forcibly_enable: bool,
    /// Bytes that log, queues and index may take; above, the oldest files go before their time, whatever
    /// `clean_file_forcibly_enable` says. The file that is written to stays. 0: no limit. Ours, not Apache's.
    pub max_store_size: u64,
    /// Time between two rounds of retention, ms.
    pub clean_resource_interval_ms: u64,
    /// Largest body, bytes.
    pub max_message_size: usize,
    /// Bytes of the log behind its end that stay in memory. What lies further behind goes back to the system once it is on
    /// the disk, but for what is read right now. 0: the system decides. Ours, not Apache's.
    pub log_kept_in_memory: u64,
    /// Percent of the machine's memory; a record further behind the end of the log counts as on disk.
    pub access_message_in_memory_max_ratio: u32,
    /// Bytes per get, from memory.
    pub max_transfer_bytes_on_message_in_memory: usize,
    /// Messages per get, from memory.
    pub max_transfer_count_on_message_in_memory: usize,
    /// Bytes per get, from disk.
    pub max_transfer_bytes_on_message_in_disk: usize,
    /// Messages per get, from disk.
    pub max_transfer_count_on_message_in_disk: usize,
    /// Bytes of queue entries, 20 each, that one get looks at when the filter has to see the records.
    pub max_filter_message_size: usize,
    /// Delay of each level, ms; a record of `SCHEDULE_TOPIC_XXXX` gets its due time as tags code.
    pub delay_levels_ms: Vec<i64>,
    /// Topics that exist. After a queue directory was lost, or a topic deleted, old records tell of queues that are
    /// not there: those of known topics are rebuilt, the others stay deleted. `None`: all are rebuilt.
    pub known_topics: Option<Vec<String>>,
    /// Who holds the lock; stands in `lock` after process id and host, and in the error of whoever comes second.
    pub holder: String,
    /// Memory of the machine in bytes; `None` asks the operating system.
    pub machine_memory: Option<u64>,
    /// Queue files kept open at most.
    pub open_queue_files: usize,
    /// Blocks of the commit log are allocated ahead in steps of this many bytes.
    pub allocation_step: usize,
    /// Where the bytes are.
    pub storage: Arc<dyn Storage>,
}

impl StoreOptions {
    /// Apache's defaults for a store in `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        const MINUTE: i64 = 60_000;
        let minutes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].map(|minutes| minutes * MINUTE);
        StoreOptions {
            root: root.into(),
            commit_log_dir: None,
            mapped_file_size_commit_log: 1 << 30,
            mapped_file_size_consume_queue: 6_000_000,
            mapped_file_size_consume_queue_ext: 48 << 20,
            mapped_file_size_batch_consume_queue: 13_800_000,
            max_hash_slot_num: 5_000_000,
            max_index_num: 20_000_000,
            message_index_enable: true,
            flush_mode: FlushMode::Async,
            sync_flush_timeout_ms: 5_000,
            os_page_cache_busy_time_out_ms: 1_000,
            flush_interval_commit_log_ms: 500,
            flush_commit_log_least_pages: 4,
            flush_commit_log_thorough_interval_ms: 10_000,
            flush_interval_consume_queue_ms: 1_000,
            flush_consume_queue_least_pages: 2,
            flush_consume_queue_thorough_interval_ms: 60_000,
            file_reserved_time_hours: 72,
            delete_when: "04".into(),
            disk_max_used_space_ratio: 75,
            disk_space_clean_forcibly_ratio: 85,
            disk_space_warning_level_ratio: 90,
            clean_file_forcibly_enable: true,
            max_store_size: 0,
            clean_resource_interval_ms: 10_000,
            max_message_size: 4 << 20,
            log_kept_in_memory: 0,
            access_message_in_memory_max_ratio: 40,
            max_transfer_bytes_on_message_in_memory: 256 << 10,
            max_transfer_count_on_message_in_memory: 32,
            max_transfer_bytes_on_message_in_disk: 64 << 10,
            max_transfer_count_on_message_in_disk: 8,
            max_filter_message_size: 16_000,
            delay_levels_ms: [1_000, 5_000, 10_000, 30_000].into_iter().chain(minutes).collect(),
            known_topics: None,
            holder: "ferromq".into(),
            machine_memory: None,
            open_queue_files: 512,
            allocation_step: 64 << 20,
            storage: Arc::new(Files),
        }
    }

    /// The directory of the commit log.
    pub fn commit_log_path(&self) -> PathBuf {
        self.commit_log_dir.clone().unwrap_or_else(|| self.root.join("commitlog"))
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions::new("store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_apache() {
        let options = StoreOptions::default();
        assert_eq!(options.mapped_file_size_commit_log, 1_073_741_824);
        assert_eq!(options.mapped_file_size_consume_queue_ext, 50_331_648);
        assert_eq!(options.delay_levels_ms.len(), 18);
        assert_eq!(options.delay_levels_ms[17], 2 * 3_600_000);
        assert_eq!(options.max_transfer_bytes_on_message_in_memory, 262_144);
    }
}
