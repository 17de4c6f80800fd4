//! From the broker's settings to the store's: the only place that knows both.

use std::cell::RefCell;

use crate::config::{file, BrokerConfig, FlushDiskType};
use crate::store::storage::{Files, Storage};
use crate::store::{FlushMode, Retention, StoreOptions};
use crate::wire::body::TopicConfigSerializeWrapper;
use crate::wire::json;
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
        max_store_size: config.max_store_size as u64,
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
    // Only read: the directory is not ours before the store holds its lock.
    let topics = StateFile::new(&config.store_path_root_dir, "topics.json");
    Ok(with_topics(config, topics.load::<TopicConfigSerializeWrapper>()?.map(known)))
}

/// The same for a store that is looked at from outside, whatever state its tables are in; with what is wrong with those.
pub fn examined(config: &BrokerConfig) -> (StoreOptions, Vec<String>) {
    let dir = config.store_path_root_dir.join("config");
    let mut damaged = Vec::new();
    for entry in Files.list(&dir).unwrap_or_default() {
        if entry.is_dir || !entry.name.ends_with(".json") {
            continue;
        }
        let path = dir.join(&entry.name);
        let refused = RefCell::new(None);
        let read = file::load_with(&path, |bytes| {
            json::from_slice::<serde_json::Value>(bytes).map(|_| ()).map_err(|error| {
                let text = error.to_string();
                refused.replace(Some(text.clone()));
                text
            })
        });
        match (read, refused.into_inner()) {
            (Err(error), _) => damaged.push(error.to_string()),
            (Ok(_), Some(why)) => {
                damaged.push(format!("{}: {why}; its .bak is read instead", path.display()))
            }
            (Ok(_), None) => {}
        }
    }
    let topics = StateFile::new(&config.store_path_root_dir, "topics.json");
    let topics = topics.load::<TopicConfigSerializeWrapper>().ok().flatten();
    (with_topics(config, topics.map(known)), damaged)
}

fn with_topics(config: &BrokerConfig, known_topics: Option<Vec<String>>) -> StoreOptions {
    let root = config.store_path_root_dir.clone();
    let retention = retention(config);
    StoreOptions {
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
        max_store_size: retention.max_store_size,
        clean_resource_interval_ms: config.clean_resource_interval as u64,
        max_message_size: config.max_message_size,
        log_kept_in_memory: config.commit_log_kept_in_memory as u64,
        access_message_in_memory_max_ratio: config.access_message_in_memory_max_ratio,
        max_transfer_bytes_on_message_in_memory: config.max_transfer_bytes_on_message_in_memory,
        max_transfer_count_on_message_in_memory: config.max_transfer_count_on_message_in_memory,
        max_transfer_bytes_on_message_in_disk: config.max_transfer_bytes_on_message_in_disk,
        max_transfer_count_on_message_in_disk: config.max_transfer_count_on_message_in_disk,
        max_filter_message_size: config.max_filter_message_size,
        delay_levels_ms: config.message_delay_level.ms().to_vec(),
        known_topics,
        allocation_step: config.allocation_step,
        holder: format!("broker {}", config.broker_name),
        ..StoreOptions::new(root)
    }
}
