//! Consumer offsets and queue bounds. Protocol reference, section 5.2.

use std::borrow::Cow;

use super::header::header;

header! {
    /// QUERY_CONSUMER_OFFSET (14): where a group stands. Answered with [`super::QueryConsumerOffsetResponse`].
    #[doc(alias = "QueryConsumerOffsetRequestHeader")]
    QueryConsumerOffset<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// False: an unknown offset is QUERY_NOT_FOUND, never 0 (5.x).
        set_zero_if_not_found: Option<bool> = "setZeroIfNotFound",
    }
}

header! {
    /// The answer to QUERY_CONSUMER_OFFSET.
    #[doc(alias = "QueryConsumerOffsetResponseHeader")]
    QueryConsumerOffsetResponse {
        /// The next offset to consume.
        offset: i64 = "offset",
    }
}

header! {
    /// UPDATE_CONSUMER_OFFSET (15): a group has consumed up to here. Usually oneway.
    #[doc(alias = "UpdateConsumerOffsetRequestHeader")]
    UpdateConsumerOffset<'a> {
        /// The group.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The next offset to consume.
        commit_offset: i64 = "commitOffset",
    }
}

header! {
    /// SEARCH_OFFSET_BY_TIMESTAMP (29): the first message stored at or after a time. Answered with
    /// [`super::SearchOffsetByTimestampResponse`].
    #[doc(alias = "SearchOffsetRequestHeader")]
    SearchOffsetByTimestamp<'a> {
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// The time, ms.
        timestamp: i64 = "timestamp",
        /// `LOWER` or `UPPER` of several messages stored at that time (5.x); absent means `LOWER`.
        boundary_type: Option<Cow<'a, str>> = "boundaryType",
    }
}

header! {
    /// The answer to SEARCH_OFFSET_BY_TIMESTAMP.
    #[doc(alias = "SearchOffsetResponseHeader")]
    SearchOffsetByTimestampResponse {
        /// The offset found.
        offset: i64 = "offset",
    }
}

header! {
    /// GET_MAX_OFFSET (30): the next offset to be written. Answered with [`super::GetMaxOffsetResponse`].
    #[doc(alias = "GetMaxOffsetRequestHeader")]
    GetMaxOffset<'a> {
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
        /// Whether only what consumers may see counts (5.x); absent means yes.
        committed: bool = "committed" or true,
    }
}

header! {
    /// The answer to GET_MAX_OFFSET.
    #[doc(alias = "GetMaxOffsetResponseHeader")]
    GetMaxOffsetResponse {
        /// The next offset to be written.
        offset: i64 = "offset",
    }
}

header! {
    /// GET_MIN_OFFSET (31): the first offset kept. Answered with [`super::GetMinOffsetResponse`].
    #[doc(alias = "GetMinOffsetRequestHeader")]
    GetMinOffset<'a> {
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
    }
}

header! {
    /// The answer to GET_MIN_OFFSET.
    #[doc(alias = "GetMinOffsetResponseHeader")]
    GetMinOffsetResponse {
        /// The first offset kept.
        offset: i64 = "offset",
    }
}

header! {
    /// GET_EARLIEST_MSG_STORETIME (32): when the first message kept was stored. Answered with
    /// [`super::GetEarliestMsgStoretimeResponse`].
    #[doc(alias = "GetEarliestMsgStoretimeRequestHeader")]
    GetEarliestMsgStoretime<'a> {
        /// Topic of the queue.
        topic: Cow<'a, str> = "topic",
        /// The queue.
        queue_id: i32 = "queueId",
    }
}

header! {
    /// The answer to GET_EARLIEST_MSG_STORETIME.
    #[doc(alias = "GetEarliestMsgStoretimeResponseHeader")]
    GetEarliestMsgStoretimeResponse {
        /// Store time of the first message kept, ms; -1: there is none.
        timestamp: i64 = "timestamp",
    }
}
