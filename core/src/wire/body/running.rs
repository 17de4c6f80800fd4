//! How a consumer does: what it tells tools that ask it through a broker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::queue::queue_table;
use super::{MessageQueue, SubscriptionData};

/// The answer to GET_CONSUMER_RUNNING_INFO (307), written with [`super::super::json::to_old_vec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Settings and the like by name; those named `PROP_…` are what tools look at.
    pub properties: BTreeMap<String, String>,
    /// What it subscribes to.
    pub subscription_set: Vec<SubscriptionData>,
    /// Its queues.
    pub mq_table: ProcessQueueTable,
    /// How fast it is, by topic.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    /// A thread dump, if one was asked for and can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
}

/// Queues of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessQueueTable(#[serde(with = "queue_table")] pub BTreeMap<MessageQueue, ProcessQueueInfo>);

/// A queue as its consumer has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// The next offset to consume.
    pub commit_offset: i64,
    /// First offset that is fetched and not done.
    pub cached_msg_min_offset: i64,
    /// Last offset that is fetched and not done.
    pub cached_msg_max_offset: i64,
    /// Messages that are fetched and not done.
    pub cached_msg_count: i32,
    /// Their size in MiB.
    pub cached_msg_size_in_mi_b: i32,
    /// First offset that an ordered listener has at present.
    pub transaction_msg_min_offset: i64,
    /// Last offset that it has.
    pub transaction_msg_max_offset: i64,
    /// How many it has.
    pub transaction_msg_count: i32,
    /// Whether the queue is locked for this consumer.
    pub locked: bool,
    /// How often giving back the lock was tried.
    pub try_unlock_times: i64,
    /// When the lock was renewed last, ms.
    pub last_lock_timestamp: i64,
    /// Whether it is this consumer's no more; the spelling is Apache's.
    pub droped: bool,
    /// When it was pulled last, ms.
    pub last_pull_timestamp: i64,
    /// When messages of it were handed out last, ms.
    pub last_consume_timestamp: i64,
}

/// How fast a topic is consumed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    /// Average time of a pull that found messages, ms.
    #[serde(rename = "pullRT")]
    pub pull_rt: f64,
    /// Messages fetched in a second.
    #[serde(rename = "pullTPS")]
    pub pull_tps: f64,
    /// Average time of a call of the listener, ms.
    #[serde(rename = "consumeRT")]
    pub consume_rt: f64,
    /// Messages consumed in a second.
    #[serde(rename = "consumeOKTPS")]
    pub consume_ok_tps: f64,
    /// Messages consumed in vain in a second.
    #[serde(rename = "consumeFailedTPS")]
    pub consume_failed_tps: f64,
    /// Messages consumed in vain in the last hour.
    #[serde(rename = "consumeFailedMsgs")]
    pub consume_failed_msgs: i64,
}

/// The answer to CONSUME_MESSAGE_DIRECTLY (309).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeMessageDirectlyResult {
    /// Whether the listener is an ordered one.
    pub order: bool,
    /// Always true.
    pub auto_commit: bool,
    /// `CR_SUCCESS`, `CR_LATER`, `CR_ROLLBACK`, `CR_COMMIT`, `CR_THROW_EXCEPTION`, `CR_RETURN_NULL`.
    #[doc(alias = "CMResult")]
    pub consume_result: String,
    /// Why, where it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long the listener took, ms.
    pub spent_time_mills: i64,
}

#[cfg(test)]
mod tests {
    use super::super::super::json;
    use super::*;

    #[test]
    fn the_answer_is_written_as_apache_writes_it() {
        let mut info = ConsumerRunningInfo::default();
        info.properties.insert("PROP_CONSUME_TYPE".into(), "CONSUME_PASSIVELY".into());
        let queue = MessageQueue { broker_name: "broker-a".into(), queue_id: 0, topic: "TopicA".into() };
        info.mq_table.0.insert(queue, ProcessQueueInfo { commit_offset: 5, ..ProcessQueueInfo::default() });
        info.status_table.insert("TopicA".into(), ConsumeStatus { pull_rt: 1.5, ..ConsumeStatus::default() });
        let text = String::from_utf8(json::to_old_vec(&info)).unwrap();
        for part in [
            r#""mqTable":{{"brokerName":"broker-a","queueId":0,"topic":"TopicA"}:{"commitOffset":5,"#,
            r#""cachedMsgSizeInMiB":0"#,
            r#""droped":false"#,
            r#""consumeFailedTPS":0.0"#,
            r#""pullRT":1.5"#,
            r#""subscriptionSet":[]"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("jstack"));
        assert_eq!(json::from_slice::<ConsumerRunningInfo>(text.as_bytes()).unwrap(), info);
    }
}
