//! Offset tables. Their integer keys go without quotes to Apache's readers: [`super::super::json::to_old_vec`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::queue_table;
use super::{DataVersion, MessageQueue};

/// The answer to GET_ALL_CONSUMER_OFFSET (43); `consumerOffset.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsetSerializeWrapper {
    /// By `topic@group`, then by queue: the next offset to consume.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
    /// The table's version (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
}

/// The answer to GET_ALL_DELAY_OFFSET (45); `delayOffset.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsetSerializeWrapper {
    /// By delay level: the next queue offset to deliver.
    pub offset_table: BTreeMap<i32, i64>,
    /// The table's version (5.x).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<DataVersion>,
}

/// Offsets by queue, written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OffsetTable(#[serde(with = "queue_table")] pub BTreeMap<MessageQueue, i64>);

/// RESET_CONSUMER_CLIENT_OFFSET (220), and the answer to INVOKE_BROKER_TO_RESET_OFFSET (222): the new offsets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum ResetOffsetBody {
    /// How it is usually sent.
    #[serde(rename_all = "camelCase")]
    Table {
        /// The next offset to consume of each queue.
        offset_table: OffsetTable,
    },
    /// How it is sent to clients in C++.
    #[doc(alias = "ResetOffsetBodyForC")]
    #[serde(rename_all = "camelCase")]
    List {
        /// The next offset to consume of each queue.
        offset_table: Vec<QueueOffset>,
    },
}

impl Default for ResetOffsetBody {
    fn default() -> Self {
        ResetOffsetBody::Table { offset_table: OffsetTable::default() }
    }
}

/// A queue and an offset in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "MessageQueueForC")]
pub struct QueueOffset {
    /// Name of the broker set.
    pub broker_name: String,
    /// The offset.
    pub offset: i64,
    /// The queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

/// The answer to GET_CONSUMER_STATUS_FROM_CLIENT (221) and INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerStatusBody {
    /// Where the client that answers is (221).
    pub message_queue_table: OffsetTable,
    /// Where each client is (223).
    pub consumer_table: BTreeMap<String, OffsetTable>,
}

/// The answer to QUERY_CORRECTION_OFFSET (308), written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryCorrectionOffsetBody {
    /// By queue: the smallest offset of the other groups; the largest number there is if all are further.
    pub correction_offsets: BTreeMap<i32, i64>,
}
