//! Figures of a broker, and a look into its queues.

use serde::{Deserialize, Serialize};

use super::{MessageQueue, SubscriptionData};

/// The answer to VIEW_BROKER_STATS_DATA (315): one figure over three windows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    /// The last minute.
    pub stats_minute: BrokerStatsItem,
    /// The last hour.
    pub stats_hour: BrokerStatsItem,
    /// The last 24 hours.
    pub stats_day: BrokerStatsItem,
}

/// What was counted in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    /// How much in all.
    pub sum: i64,
    /// How much a second.
    pub tps: f64,
    /// How much a call.
    pub avgpt: f64,
}

/// The answer to QUERY_CONSUME_QUEUE (321).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeQueueResponseBody {
    /// What the group subscribes to, if one was asked for and is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_data: Option<SubscriptionData>,
    /// The group's compiled filter, or why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_data: Option<String>,
    /// The entries.
    pub queue_data: Vec<ConsumeQueueData>,
    /// The queue's next offset to be written.
    pub max_queue_index: i64,
    /// The first offset kept.
    pub min_queue_index: i64,
}

/// An entry of a consume queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    /// Place of the record in the commit log.
    pub physic_offset: i64,
    /// Bytes of the record.
    pub physic_size: i32,
    /// Hash of the tag.
    pub tags_code: i64,
    /// The extended entry, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extend_data_json: Option<String>,
    /// The extended entry's bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bit_map: Option<String>,
    /// Whether the group's filter takes it.
    pub eval: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg: Option<String>,
}

/// The answer to QUERY_CONSUME_TIME_SPAN (303).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryConsumeTimeSpanBody {
    /// One for each queue.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Times of the messages of a queue, ms since 1970; -1 where there is no message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// The queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message kept.
    pub min_time_stamp: i64,
    /// Store time of the last message.
    pub max_time_stamp: i64,
    /// Store time of the last message that the group consumed.
    pub consume_time_stamp: i64,
    /// Age of the next message that it has to consume, ms; 0 if there is none.
    pub delay_time: i64,
}
