//! Settings and progress of consumer groups.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::queue::queue_table;
use super::{DataVersion, MessageQueue, SubscriptionData};

/// The settings of a consumer group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupConfig {
    /// The group.
    pub group_name: String,
    /// Whether it may consume.
    pub consume_enable: bool,
    /// Whether a new member may start at the first offset.
    pub consume_from_min_enable: bool,
    /// Whether it may broadcast.
    pub consume_broadcast_enable: bool,
    /// Whether pop consumes in order (5.x).
    pub consume_message_orderly: bool,
    /// Queues of its retry topic.
    pub retry_queue_nums: i32,
    /// Retries before the dead letters.
    pub retry_max_times: i32,
    /// Not interpreted (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_retry_policy: Option<Value>,
    /// Broker of the set that it pulls from.
    pub broker_id: i64,
    /// Broker of the set that it pulls from when it lags behind.
    pub which_broker_when_consume_slowly: i64,
    /// Whether members hear of changes at once.
    pub notify_consumer_ids_changed_enable: bool,
    /// 5.x.
    pub group_sys_flag: i32,
    /// Minutes after which a message counts as not consumed (5.x).
    pub consume_timeout_minute: i32,
    /// Not interpreted (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data_set: Option<Value>,
    /// 5.x.
    pub attributes: BTreeMap<String, String>,
}

impl Default for SubscriptionGroupConfig {
    fn default() -> Self {
        SubscriptionGroupConfig {
            group_name: String::new(),
            consume_enable: true,
            consume_from_min_enable: true,
            consume_broadcast_enable: true,
            consume_message_orderly: false,
            retry_queue_nums: 1,
            retry_max_times: 16,
            group_retry_policy: None,
            broker_id: 0,
            which_broker_when_consume_slowly: 1,
            notify_consumer_ids_changed_enable: true,
            group_sys_flag: 0,
            consume_timeout_minute: 15,
            subscription_data_set: None,
            attributes: BTreeMap::new(),
        }
    }
}

/// The answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201); `subscriptionGroup.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupWrapper {
    /// The groups by name.
    pub subscription_group_table: BTreeMap<String, SubscriptionGroupConfig>,
    /// Forbidden kinds of use by group and topic (5.x).
    pub forbidden_table: BTreeMap<String, BTreeMap<String, i32>>,
    /// The table's version.
    pub data_version: DataVersion,
}

/// The answer to GET_CONSUME_STATS (208), written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Progress by queue.
    #[serde(with = "queue_table")]
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
    /// Messages a second.
    pub consume_tps: f64,
}

/// A group's progress in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OffsetWrapper {
    /// The queue's next offset to be written.
    pub broker_offset: i64,
    /// The group's next offset to consume.
    pub consumer_offset: i64,
    /// The group's next offset to pull (5.x).
    pub pull_offset: i64,
    /// Store time of the last message consumed, ms; 0: none.
    pub last_timestamp: i64,
}

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225, 5.x): the groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionGroupList {
    /// Their settings.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}

/// The answer to GET_BROKER_CONSUME_STATS (317), written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    /// One map a group, from its name to its progress in each of its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// The broker.
    pub broker_addr: String,
    /// Messages that groups have yet to consume, of all of them.
    pub total_diff: i64,
    /// Of those, the ones under way (5.x).
    pub total_inflight_diff: i64,
}

/// The answer to QUERY_SUBSCRIPTION_BY_CONSUMER (345, 5.x).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponseBody {
    /// The subscription, if the group is connected and has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The group.
    pub group: String,
    /// The topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}
