//! From the broker's settings to the store's: the only place that knows both.

use crate::config::{BrokerConfig, FlushDiskType};
use crate::store::{FlushMode, Retention, StoreOptions};
use crate::wire::body::TopicConfigSerializeWrapper;
use crate::Result;

use super::names;
use super::state::StateFile;

/// When files go, which may change while the broker runs.
pub(super) fn retention(config: &BrokerConfig) -> Retention {
    Retention {
        file_reserved_time_hours: config.file_reserved_time as u64,
        delete_when: config.get("deleteWhen").unwrap_or_default(),
        disk_max_used_space_ratio: config.disk_max_used_space_ratio,
        disk_space_clean_forcibly_ratio: config.disk_space_clean_forcibly_ratio,
        disk_space_warning_level_ratio: config.disk_space_warning_level_ratio,
        clean_file_forcibly_enable: config.clean_file_forcibly_enable,
    }
}

/// Topics whose messages are kept: those of the table, and the system's, which some brokers keep out of it.
fn known(topics: TopicConfigSerializeWrapper) -> Vec<String> {
    let system = names::SYSTEM_TOPICS.iter().map(|name| (*name).to_owned());
    topics.topic_config_table.into_keys().chain(system).collect()
}

/// The store's options as the settings ask for them.
///
/// # Errors
/// When the table of topics is there and not readable.
pub(super) fn from_config(config: &BrokerConfig) -> Result<StoreOptions> {
    let root = config.store_path_root_dir.clone();
    // Only read: the directory is not ours before the store holds its lock.
    let topics = StateFile::new(&root, "topics.json").load::<TopicConfigSerializeWrapper>()?;
    let retention = retention(config);
    Ok(StoreOptions {
        commit_log_dir: config.store_path_commit_log.clone(),
        mapped_file_size_commit_log: config.mapped_file_size_commit_log,
        mapped_file_size_consume_queue: config.mapped_file_size_consume_queue,
        message_index_enable: config.message_index_enable,
        max_hash_slot_num: config.max_hash_slot_num,
        max_index_num: config.max_index_num,
        flush_mode: match config.flush_disk_type {
            FlushDiskType::Async => FlushMode::Async,
            FlushDiskType::Sync => FlushMode::Sync,
        },
        sync_flush_timeout_ms: config.sync_flush_timeout as u64,
        os_page_cache_busy_time_out_ms: config.os_page_cache_busy_time_out_mills as u64,
        flush_interval_commit_log_ms: config.flush_interval_commit_log as u64,
        flush_commit_log_least_pages: config.flush_commit_log_least_pages,
        flush_commit_log_thorough_interval_ms: config.flush_commit_log_thorough_interval as u64,
        flush_interval_consume_queue_ms: config.flush_interval_consume_queue as u64,
        flush_consume_queue_least_pages: config.flush_consume_queue_least_pages,
        flush_consume_queue_thorough_interval_ms: config.flush_consume_queue_thorough_interval as u64,
        file_reserved_time_hours: retention.file_reserved_time_hours,
        delete_when: retention.delete_when,
        disk_max_used_space_ratio: retention.disk_max_used_space_ratio,
        disk_space_clean_forcibly_ratio: retention.disk_space_clean_forcibly_ratio,
        disk_space_warning_level_ratio: retention.disk_space_warning_level_ratio,
        clean_file_forcibly_enable: retention.clean_file_forcibly_enable,
        clean_resource_interval_ms: config.clean_resource_interval as u64,
        max_message_size: config.max_message_size,
        access_message_in_memory_max_ratio: config.access_message_in_memory_max_ratio,
        max_transfer_bytes_on_message_in_memory: config.max_transfer_bytes_on_message_in_memory,
        max_transfer_count_on_message_in_memory: config.max_transfer_count_on_message_in_memory,
        max_transfer_bytes_on_message_in_disk: config.max_transfer_bytes_on_message_in_disk,
        max_transfer_count_on_message_in_disk: config.max_transfer_count_on_message_in_disk,
        max_filter_message_size: config.max_filter_message_size,
        delay_levels_ms: config.message_delay_level.ms().to_vec(),
        known_topics: topics.map(known),
        allocation_step: config.allocation_step,
        holder: format!("broker {}", config.broker_name),
        ..StoreOptions::new(root)
    })
}
