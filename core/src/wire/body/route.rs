//! Routes and clusters. `brokerAddrs` has integer keys: [`super::super::json::to_vec`] quotes them,
//! [`super::super::json::to_old_vec`] does not.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The answer to GET_ROUTEINFO_BY_TOPIC (105).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    /// `broker-a:4;broker-b:4` of an ordered topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_topic_conf: Option<String>,
    /// The topic's queues on each broker.
    pub queue_datas: Vec<QueueData>,
    /// The brokers.
    pub broker_datas: Vec<BrokerData>,
    /// Always empty.
    pub filter_server_table: BTreeMap<String, Vec<String>>,
}

/// The queues of a topic on a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    /// Name of the broker set.
    pub broker_name: String,
    /// Queues that can be read.
    pub read_queue_nums: i32,
    /// Queues that can be written.
    pub write_queue_nums: i32,
    /// Permission: 4 read, 2 write.
    pub perm: i32,
    /// Bits of [`crate::message::sys_flag::topic`].
    #[serde(alias = "topicSynFlag")]
    pub topic_sys_flag: i32,
}

/// A broker set: master and slaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    /// The cluster.
    pub cluster: String,
    /// Name of the set.
    pub broker_name: String,
    /// Addresses by broker id; 0 is the master.
    pub broker_addrs: BTreeMap<i64, String>,
    /// 5.x.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_name: Option<String>,
    /// Whether a slave may act as master (5.x).
    pub enable_acting_master: bool,
}

/// The answer to GET_BROKER_CLUSTER_INFO (106).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// Broker sets by name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Names of broker sets by cluster.
    pub cluster_addr_table: BTreeMap<String, BTreeSet<String>>,
}

/// The answer to GET_BROKER_MEMBER_GROUP (901, 5.x).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponseBody {
    /// The set; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_member_group: Option<BrokerMemberGroup>,
}

/// The members of a broker set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    /// The cluster.
    pub cluster: String,
    /// Name of the set.
    pub broker_name: String,
    /// Addresses by broker id.
    pub broker_addrs: BTreeMap<i64, String>,
}
