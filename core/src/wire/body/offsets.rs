//! Offset tables. Their integer keys go without quotes to Apache's readers: [`super::super::json::to_old_vec`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::DataVersion;

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
