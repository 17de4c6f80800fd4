//! Who is connected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SubscriptionData;

/// A client's connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// The client.
    pub client_id: String,
    /// Its address, `ip:port`.
    pub client_addr: String,
    /// Name of its language.
    pub language: String,
    /// Its version ordinal.
    pub version: i32,
}

/// The answer to GET_CONSUMER_CONNECTION_LIST (203).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    /// The members.
    pub connection_set: Vec<Connection>,
    /// Subscriptions by topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
    /// As in [`super::ConsumerData`].
    pub consume_type: String,
    /// As in [`super::ConsumerData`].
    pub message_model: String,
    /// As in [`super::ConsumerData`].
    pub consume_from_where: String,
}

/// The answer to GET_PRODUCER_CONNECTION_LIST (204).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    /// The members.
    pub connection_set: Vec<Connection>,
}

/// The answer to GET_ALL_PRODUCER_INFO (328).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerTableInfo {
    /// The members by group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// A producer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerInfo {
    /// The client.
    pub client_id: String,
    /// Its address, `ip:port`.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    /// Name of its language.
    pub language: String,
    /// Its version ordinal.
    pub version: i32,
    /// When it was last heard of, ms.
    pub last_update_timestamp: i64,
}
