//! Clients and their groups: heartbeats, members, connections. Protocol reference, sections 2.1 and 10.

use std::borrow::Cow;

use super::body::{CheckClientRequestBody, HeartbeatData};
use super::header::header;

header! {
    /// HEART_BEAT (34): a client is alive, with its groups and subscriptions. Answered with
    /// [`super::HeartBeatResponse`].
    #[doc(alias = "HeartbeatRequestHeader")]
    HeartBeat {}
    body: HeartbeatData;
}

header! {
    /// The answer to HEART_BEAT (fields of 5.x).
    HeartBeatResponse {
        /// Whether the broker takes heartbeats without subscriptions.
        is_support_heart_beat_v2: Option<bool> = "IS_SUPPORT_HEART_BEAT_V2",
        /// Whether the next heartbeat must have its subscriptions.
        is_sub_change: Option<bool> = "IS_SUB_CHANGE",
    }
}

header! {
    /// UNREGISTER_CLIENT (35): a client leaves its groups.
    #[doc(alias = "UnregisterClientRequestHeader")]
    UnregisterClient<'a> {
        /// The client.
        client_id: Cow<'a, str> = "clientID",
        /// Producer group it leaves.
        producer_group: Option<Cow<'a, str>> = "producerGroup",
        /// Consumer group it leaves.
        consumer_group: Option<Cow<'a, str>> = "consumerGroup",
    }
}

header! {
    /// GET_CONSUMER_LIST_BY_GROUP (38): the client ids of a group. Answered with
    /// [`super::body::GetConsumerListByGroupResponseBody`].
    #[doc(alias = "GetConsumerListByGroupRequestHeader")]
    GetConsumerListByGroup<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
    }
}

header! {
    /// NOTIFY_CONSUMER_IDS_CHANGED (40), broker to consumers, oneway: rebalance now.
    #[doc(alias = "NotifyConsumerIdsChangedRequestHeader")]
    NotifyConsumerIdsChanged<'a> {
        /// The group that changed.
        consumer_group: Cow<'a, str> = "consumerGroup",
    }
}

header! {
    /// CHECK_CLIENT_CONFIG (46): whether the broker takes a filter expression.
    CheckClientConfig {}
    body: CheckClientRequestBody;
}

header! {
    /// REGISTER_MESSAGE_FILTER_CLASS (302): a filter function of a group for a topic; no body removes it. Up to 4.2 it went
    /// to Apache's filter servers, with a Java class.
    #[doc(alias = "RegisterMessageFilterClassRequestHeader")]
    RegisterMessageFilterClass<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// The function's name, for people.
        class_name: Cow<'a, str> = "className",
        /// CRC-32 of the body, top bit cleared; 0: not given.
        class_crc: i32 = "classCRC" or 0,
    }
    body: &'a [u8];
}

header! {
    /// GET_CONSUMER_CONNECTION_LIST (203): who consumes in a group. Answered with [`super::body::ConsumerConnection`].
    #[doc(alias = "GetConsumerConnectionListRequestHeader")]
    GetConsumerConnectionList<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
    }
}

header! {
    /// GET_PRODUCER_CONNECTION_LIST (204): who produces in a group. Answered with [`super::body::ProducerConnection`].
    #[doc(alias = "GetProducerConnectionListRequestHeader")]
    GetProducerConnectionList<'a> {
        /// The group.
        producer_group: Cow<'a, str> = "producerGroup",
    }
}

header! {
    /// GET_CONSUMER_RUNNING_INFO (307): the state of one client, which the broker asks for it. Answered with
    /// [`super::body::ConsumerRunningInfo`].
    #[doc(alias = "GetConsumerRunningInfoRequestHeader")]
    GetConsumerRunningInfo<'a> {
        /// The client's group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// The client.
        client_id: Cow<'a, str> = "clientId",
        /// Whether to add a thread dump.
        jstack_enable: bool = "jstackEnable" or false,
    }
}

header! {
    /// CONSUME_MESSAGE_DIRECTLY (309): have one client consume one message, which the broker puts into the body as a
    /// record on its way to the client. Answered with [`super::body::ConsumeMessageDirectlyResult`].
    #[doc(alias = "ConsumeMessageDirectlyResultRequestHeader")]
    ConsumeMessageDirectly<'a> {
        /// The client's group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// The client.
        client_id: Option<Cow<'a, str>> = "clientId",
        /// The message's id.
        msg_id: Option<Cow<'a, str>> = "msgId",
        /// Name of the broker that has the message.
        broker_name: Option<Cow<'a, str>> = "brokerName",
        /// The message's topic (5.x).
        topic: Option<Cow<'a, str>> = "topic",
        /// 5.x.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// 5.x.
        group_sys_flag: Option<i32> = "groupSysFlag",
    }
    body: &'a [u8];
}
