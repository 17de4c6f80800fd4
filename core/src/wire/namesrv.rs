//! What is asked of a name server: registration, routes, topics. Protocol reference, sections 2.2 and 2.3.

use std::borrow::Cow;

use super::body::DataVersion;
use super::header::header;

header! {
    /// REGISTER_BROKER (103). The body is read by [`super::body::RegisterBrokerBody::decode`]. Answered with
    /// [`super::RegisterBrokerResponse`] and [`super::body::KvTable`].
    #[doc(alias = "RegisterBrokerRequestHeader")]
    RegisterBroker<'a> {
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
        /// Address for clients, `ip:port`.
        broker_addr: Cow<'a, str> = "brokerAddr",
        /// The cluster.
        cluster_name: Cow<'a, str> = "clusterName",
        /// Address for replication, `ip:port`.
        ha_server_addr: Option<Cow<'a, str>> = "haServerAddr",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
        /// How long the registration holds, ms (5.x).
        heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether a slave may act as master (5.x).
        enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is compressed; 5.3 says false even if it is.
        compressed: bool = "compressed" or false,
        /// CRC-32 of the body without its top bit; 0: not to be checked.
        body_crc32: i32 = "bodyCrc32" or 0,
    }
    body: &'a [u8];
}

header! {
    /// The answer to REGISTER_BROKER; the fields are for slaves whose master is known.
    #[doc(alias = "RegisterBrokerResponseHeader")]
    RegisterBrokerResponse {
        /// The master's address for replication.
        ha_server_addr: Option<String> = "haServerAddr",
        /// The master's address.
        master_addr: Option<String> = "masterAddr",
    }
}

header! {
    /// UNREGISTER_BROKER (104).
    #[doc(alias = "UnRegisterBrokerRequestHeader")]
    UnregisterBroker<'a> {
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
        /// Address for clients, `ip:port`.
        broker_addr: Cow<'a, str> = "brokerAddr",
        /// The cluster.
        cluster_name: Cow<'a, str> = "clusterName",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
    }
}

header! {
    /// GET_ROUTEINFO_BY_TOPIC (105). Answered with [`super::body::TopicRouteData`].
    #[doc(alias = "GetRouteInfoRequestHeader")]
    GetRouteinfoByTopic<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// Whether the asker reads strict JSON only.
        accept_standard_json_only: Option<bool> = "acceptStandardJsonOnly",
    }
}

header! {
    /// WIPE_WRITE_PERM_OF_BROKER (205). Answered with [`super::WipeWritePermOfBrokerResponse`].
    #[doc(alias = "WipeWritePermOfBrokerRequestHeader")]
    WipeWritePermOfBroker<'a> {
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
    }
}

header! {
    /// The answer to WIPE_WRITE_PERM_OF_BROKER.
    #[doc(alias = "WipeWritePermOfBrokerResponseHeader")]
    WipeWritePermOfBrokerResponse {
        /// Topics changed.
        wipe_topic_count: i32 = "wipeTopicCount",
    }
}

header! {
    /// ADD_WRITE_PERM_OF_BROKER (327). Answered with [`super::AddWritePermOfBrokerResponse`].
    #[doc(alias = "AddWritePermOfBrokerRequestHeader")]
    AddWritePermOfBroker<'a> {
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
    }
}

header! {
    /// The answer to ADD_WRITE_PERM_OF_BROKER.
    #[doc(alias = "AddWritePermOfBrokerResponseHeader")]
    AddWritePermOfBrokerResponse {
        /// Topics changed.
        add_topic_count: i32 = "addTopicCount",
    }
}

header! {
    /// DELETE_TOPIC_IN_NAMESRV (216).
    #[doc(alias = "DeleteTopicFromNamesrvRequestHeader")]
    DeleteTopicInNamesrv<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// Only on the brokers of this cluster.
        cluster_name: Option<Cow<'a, str>> = "clusterName",
    }
}

header! {
    /// GET_TOPICS_BY_CLUSTER (224). Answered with [`super::body::TopicList`].
    #[doc(alias = "GetTopicsByClusterRequestHeader")]
    GetTopicsByCluster<'a> {
        /// The cluster.
        cluster: Cow<'a, str> = "cluster",
    }
}

header! {
    /// QUERY_DATA_VERSION (322): whether a broker must register anew. The body is the broker's version, if it
    /// has one. Answered with [`super::QueryDataVersionResponse`] and the name server's version.
    #[doc(alias = "QueryDataVersionRequestHeader")]
    QueryDataVersion<'a> {
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
        /// Address for clients, `ip:port`.
        broker_addr: Cow<'a, str> = "brokerAddr",
        /// The cluster.
        cluster_name: Cow<'a, str> = "clusterName",
        /// 0 is the master.
        broker_id: i64 = "brokerId",
    }
    body: Option<DataVersion>;
}

header! {
    /// The answer to QUERY_DATA_VERSION.
    #[doc(alias = "QueryDataVersionResponseHeader")]
    QueryDataVersionResponse {
        /// Whether the broker must register.
        changed: bool = "changed",
    }
}

header! {
    /// GET_BROKER_MEMBER_GROUP (901, 5.x): the brokers of a set. Answered with
    /// [`super::body::GetBrokerMemberGroupResponseBody`].
    #[doc(alias = "GetBrokerMemberGroupRequestHeader")]
    GetBrokerMemberGroup<'a> {
        /// The cluster.
        cluster_name: Cow<'a, str> = "clusterName",
        /// Name of the broker set.
        broker_name: Cow<'a, str> = "brokerName",
    }
}
