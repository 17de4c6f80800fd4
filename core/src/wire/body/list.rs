//! Lists of names, and the table of keys and values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer to 206, 224, 304, 305: topics.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// The topics.
    pub topic_list: Vec<String>,
    /// A broker, with codes 304 and 305.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_addr: Option<String>,
}

/// The answer to QUERY_TOPIC_CONSUME_BY_WHO (300): groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    /// The groups.
    pub group_list: Vec<String>,
}

/// The answer to GET_CONSUMER_LIST_BY_GROUP (38): client ids.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetConsumerListByGroupResponseBody {
    /// The clients.
    pub consumer_id_list: Vec<String>,
}

/// The answer to 28, 103, 219: texts by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[doc(alias = "KVTable")]
pub struct KvTable {
    /// The texts.
    pub table: BTreeMap<String, String>,
}
