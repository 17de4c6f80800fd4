//! Settings and numbers of topics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::queue::queue_table;
use super::MessageQueue;

/// The settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// The topic.
    pub topic_name: String,
    /// Queues that can be read.
    pub read_queue_nums: i32,
    /// Queues that can be written.
    pub write_queue_nums: i32,
    /// Permission: 4 read, 2 write, 1 inherit.
    pub perm: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// Bits of [`crate::message::sys_flag::topic`].
    pub topic_sys_flag: i32,
    /// Whether it is an ordered topic.
    pub order: bool,
    /// 5.x.
    pub attributes: BTreeMap<String, String>,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            topic_name: String::new(),
            read_queue_nums: 16,
            write_queue_nums: 16,
            perm: 6,
            topic_filter_type: "SINGLE_TAG".into(),
            topic_sys_flag: 0,
            order: false,
            attributes: BTreeMap::new(),
        }
    }
}

/// Tells one state of a table from another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// 5.x; 0 elsewhere.
    pub state_version: i64,
    /// When it changed last, ms.
    pub timestamp: i64,
    /// How often it changed.
    pub counter: i64,
}

/// The answer to GET_ALL_TOPIC_CONFIG (21); the topics in a registration (103); `topics.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "TopicConfigAndMappingSerializeWrapper")]
pub struct TopicConfigSerializeWrapper {
    /// The topics by name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    /// The table's version.
    pub data_version: DataVersion,
    /// Version of the static topics (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_data_version: Option<DataVersion>,
    /// Static topics (5.x), not interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_info_map: Option<Value>,
    /// Static topics (5.x), not interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_queue_mapping_detail_map: Option<Value>,
}

/// The answer to GET_TOPIC_CONFIG (351, 5.x): a topic's settings, and the queue mapping of a static topic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfigAndQueueMapping {
    /// The settings, whose members stand beside the mapping.
    #[serde(flatten)]
    pub config: TopicConfig,
    /// Of a static topic, not interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapping_detail: Option<Value>,
}

/// The answer to GET_TOPIC_STATS_INFO (202), written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    /// Bounds by queue.
    #[serde(with = "queue_table")]
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages a second (5.x).
    pub topic_put_tps: f64,
}

/// The bounds of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicOffset {
    /// First offset kept.
    pub min_offset: i64,
    /// Next offset to be written.
    pub max_offset: i64,
    /// Store time of the last message, ms; 0: none.
    pub last_update_timestamp: i64,
}

/// UPDATE_AND_CREATE_TOPIC_LIST (18, 5.x): the topics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTopicListRequestBody {
    /// Their settings.
    pub topic_config_list: Vec<TopicConfig>,
}
