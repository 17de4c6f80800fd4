//! Queue locks.

use serde::{Deserialize, Serialize};

use super::MessageQueue;

/// LOCK_BATCH_MQ (41): queues to lock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequestBody {
    /// The group.
    pub consumer_group: String,
    /// The client that is to own the locks.
    pub client_id: String,
    /// Whether other brokers of the set are left out (5.x).
    pub only_this_broker: bool,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
}

/// UNLOCK_BATCH_MQ (42): queues to unlock; as [`LockBatchRequestBody`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UnlockBatchRequestBody {
    /// The group.
    pub consumer_group: String,
    /// The client that owns the locks.
    pub client_id: String,
    /// Whether other brokers of the set are left out (5.x).
    pub only_this_broker: bool,
    /// The queues.
    pub mq_set: Vec<MessageQueue>,
}

/// The answer to LOCK_BATCH_MQ: the queues that the client now holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponseBody {
    /// The queues.
    #[serde(rename = "lockOKMQSet")]
    pub lock_ok_mq_set: Vec<MessageQueue>,
}
