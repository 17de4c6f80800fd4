//! Consumer groups: settings and progress, asked of a broker.

use std::borrow::Cow;

use super::body::{SubscriptionGroupConfig, SubscriptionGroupList};
use super::header::header;

header! {
    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200): create or change a group.
    UpdateAndCreateSubscriptiongroup {}
    body: SubscriptionGroupConfig;
}

header! {
    /// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201): all groups. Answered with [`super::body::SubscriptionGroupWrapper`]. The
    /// fields are of 5.x's paging.
    #[doc(alias = "GetAllSubscriptionGroupRequestHeader")]
    GetAllSubscriptiongroupConfig<'a> {
        /// First group wanted, counted from 0.
        group_seq: Option<i32> = "groupSeq",
        /// Data version of the first page.
        data_version: Option<Cow<'a, str>> = "dataVersion",
        /// Groups wanted at most.
        max_group_num: Option<i32> = "maxGroupNum",
    }
}

header! {
    /// The answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
    #[doc(alias = "GetAllSubscriptionGroupResponseHeader")]
    GetAllSubscriptiongroupConfigResponse {
        /// Groups on the broker (5.x).
        total_group_num: Option<i32> = "totalGroupNum",
    }
}

header! {
    /// DELETE_SUBSCRIPTIONGROUP (207).
    #[doc(alias = "DeleteSubscriptionGroupRequestHeader")]
    DeleteSubscriptiongroup<'a> {
        /// The group.
        group_name: Cow<'a, str> = "groupName",
        /// Whether its offsets go too (name in 5.x).
        clean_offset: bool = "cleanOffset" or false,
        /// Whether its offsets go too (name in 4.9).
        remove_offset: bool = "removeOffset" or false,
    }
}

header! {
    /// GET_CONSUME_STATS (208): progress of a group. Answered with [`super::body::ConsumeStats`].
    #[doc(alias = "GetConsumeStatsRequestHeader")]
    GetConsumeStats<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// Only this topic.
        topic: Option<Cow<'a, str>> = "topic",
        /// Only these topics, comma separated (5.x).
        topic_list: Option<Cow<'a, str>> = "topicList",
    }
}

header! {
    /// GET_SUBSCRIPTIONGROUP_CONFIG (352, 5.x): the settings of one group. Answered with
    /// [`super::body::SubscriptionGroupConfig`].
    #[doc(alias = "GetSubscriptionGroupConfigRequestHeader")]
    GetSubscriptiongroupConfig<'a> {
        /// The group.
        group: Cow<'a, str> = "group",
    }
}

header! {
    /// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST (225, 5.x): create or change several groups.
    UpdateAndCreateSubscriptiongroupList {}
    body: SubscriptionGroupList;
}

header! {
    /// GET_BROKER_CONSUME_STATS (317): progress of all groups. Answered with [`super::body::ConsumeStatsList`].
    #[doc(alias = "GetConsumeStatsInBrokerHeader")]
    GetBrokerConsumeStats {
        /// Whether only ordered topics are wanted.
        is_order: bool = "isOrder" or false,
    }
}

header! {
    /// QUERY_CONSUME_TIME_SPAN (303): how old what a group has yet to consume is. Answered with
    /// [`super::body::QueryConsumeTimeSpanBody`].
    #[doc(alias = "QueryConsumeTimeSpanRequestHeader")]
    QueryConsumeTimeSpan<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// The group.
        group: Cow<'a, str> = "group",
    }
}

header! {
    /// QUERY_SUBSCRIPTION_BY_CONSUMER (345, 5.x): what a connected group subscribes to. Answered with
    /// [`super::body::QuerySubscriptionResponseBody`].
    #[doc(alias = "QuerySubscriptionByConsumerRequestHeader")]
    QuerySubscriptionByConsumer<'a> {
        /// The group.
        group: Cow<'a, str> = "group",
        /// The topic.
        topic: Option<Cow<'a, str>> = "topic",
    }
}
