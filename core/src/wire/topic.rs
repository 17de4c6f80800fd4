//! Topics: settings and numbers, asked of a broker.

use std::borrow::Cow;

use super::body::CreateTopicListRequestBody;
use super::header::header;

header! {
    /// UPDATE_AND_CREATE_TOPIC (17): create or change a topic on a broker.
    #[doc(alias = "CreateTopicRequestHeader")]
    UpdateAndCreateTopic<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// Not used by brokers.
        default_topic: Option<Cow<'a, str>> = "defaultTopic",
        /// Queues that can be read.
        read_queue_nums: i32 = "readQueueNums",
        /// Queues that can be written.
        write_queue_nums: i32 = "writeQueueNums",
        /// Permission: 4 read, 2 write, 1 inherit.
        perm: i32 = "perm",
        /// `SINGLE_TAG` or `MULTI_TAG`.
        topic_filter_type: Option<Cow<'a, str>> = "topicFilterType",
        /// Bits of [`crate::message::sys_flag::topic`].
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// Whether it is an ordered topic.
        order: bool = "order" or false,
        /// Changes of attributes, `+key=value,-key` (5.x).
        attributes: Option<Cow<'a, str>> = "attributes",
        /// 5.x.
        force: Option<bool> = "force",
    }
}

header! {
    /// GET_ALL_TOPIC_CONFIG (21): all topics of a broker. Answered with [`super::body::TopicConfigSerializeWrapper`].
    /// The fields are of 5.x's paging.
    #[doc(alias = "GetAllTopicConfigRequestHeader")]
    GetAllTopicConfig<'a> {
        /// First topic wanted, counted from 0.
        topic_seq: Option<i32> = "topicSeq",
        /// Data version of the first page.
        data_version: Option<Cow<'a, str>> = "dataVersion",
        /// Topics wanted at most.
        max_topic_num: Option<i32> = "maxTopicNum",
    }
}

header! {
    /// The answer to GET_ALL_TOPIC_CONFIG.
    #[doc(alias = "GetAllTopicConfigResponseHeader")]
    GetAllTopicConfigResponse {
        /// Topics on the broker (5.x).
        total_topic_num: Option<i32> = "totalTopicNum",
    }
}

header! {
    /// GET_TOPIC_STATS_INFO (202): the bounds of a topic's queues. Answered with [`super::body::TopicStatsTable`].
    #[doc(alias = "GetTopicStatsInfoRequestHeader")]
    GetTopicStatsInfo<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
    }
}

header! {
    /// DELETE_TOPIC_IN_BROKER (215).
    #[doc(alias = "DeleteTopicRequestHeader")]
    DeleteTopicInBroker<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
    }
}

header! {
    /// QUERY_TOPIC_CONSUME_BY_WHO (300): the groups that consume a topic. Answered with [`super::body::GroupList`].
    #[doc(alias = "QueryTopicConsumeByWhoRequestHeader")]
    QueryTopicConsumeByWho<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
    }
}

header! {
    /// GET_TOPIC_CONFIG (351, 5.x): the settings of one topic. Answered with
    /// [`super::body::TopicConfigAndQueueMapping`].
    #[doc(alias = "GetTopicConfigRequestHeader")]
    GetTopicConfig<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
    }
}

header! {
    /// UPDATE_AND_CREATE_TOPIC_LIST (18, 5.x): create or change several topics.
    #[doc(alias = "CreateTopicListRequestHeader")]
    UpdateAndCreateTopicList {}
    body: CreateTopicListRequestBody;
}

header! {
    /// QUERY_TOPICS_BY_CONSUMER (343, 5.x): the topics in which a group has offsets. Answered with
    /// [`super::body::TopicList`].
    #[doc(alias = "QueryTopicsByConsumerRequestHeader")]
    QueryTopicsByConsumer<'a> {
        /// The group.
        group: Cow<'a, str> = "group",
    }
}
