//! Looking up messages.

use std::borrow::Cow;

use super::header::header;

header! {
    /// QUERY_MESSAGE (12): messages by key. Answered with [`super::QueryMessageResponse`] and records back to back.
    #[doc(alias = "QueryMessageRequestHeader")]
    QueryMessage<'a> {
        /// Topic to look in.
        topic: Cow<'a, str> = "topic",
        /// One key, or the unique id.
        key: Cow<'a, str> = "key",
        /// Messages wanted at most.
        max_num: i32 = "maxNum",
        /// Stored not before this time, ms.
        begin_timestamp: i64 = "beginTimestamp",
        /// Stored not after this time, ms.
        end_timestamp: i64 = "endTimestamp",
        /// Whether the key is a unique id.
        unique_key_query: Option<bool> = "_UNIQUE_KEY_QUERY",
    }
}

header! {
    /// The answer to QUERY_MESSAGE.
    #[doc(alias = "QueryMessageResponseHeader")]
    QueryMessageResponse {
        /// Store time of the newest message in the index, ms.
        index_last_update_timestamp: i64 = "indexLastUpdateTimestamp",
        /// Its place in the commit log.
        index_last_update_phyoffset: i64 = "indexLastUpdatePhyoffset",
    }
}

header! {
    /// VIEW_MESSAGE_BY_ID (33): the message at a place in the commit log. Answered with one record.
    #[doc(alias = "ViewMessageRequestHeader")]
    ViewMessageById<'a> {
        /// The message's topic (5.x).
        topic: Option<Cow<'a, str>> = "topic",
        /// Place in the commit log.
        offset: i64 = "offset",
    }
}

header! {
    /// QUERY_CONSUME_QUEUE (321): entries of a consume queue. Answered with
    /// [`super::body::QueryConsumeQueueResponseBody`].
    #[doc(alias = "QueryConsumeQueueRequestHeader")]
    QueryConsumeQueue<'a> {
        /// The topic.
        topic: Option<Cow<'a, str>> = "topic",
        /// The queue.
        queue_id: i32 = "queueId" or 0,
        /// First entry wanted.
        index: i64 = "index" or 0,
        /// Entries wanted at most.
        count: i32 = "count" or 0,
        /// Group whose filter is tried on each entry.
        consumer_group: Option<Cow<'a, str>> = "consumerGroup",
    }
}

header! {
    /// VIEW_BROKER_STATS_DATA (315): a figure over the last minute, hour and day. Answered with
    /// [`super::body::BrokerStatsData`].
    #[doc(alias = "ViewBrokerStatsDataRequestHeader")]
    ViewBrokerStatsData<'a> {
        /// Name of the figure, `TOPIC_PUT_NUMS` for example.
        stats_name: Cow<'a, str> = "statsName",
        /// What it is of: a topic, `topic@group`, a cluster.
        stats_key: Cow<'a, str> = "statsKey",
    }
}
