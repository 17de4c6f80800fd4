//! Setting a group's offsets and asking for them, through the broker. Protocol reference, section 10.

use std::borrow::Cow;

use super::body::ResetOffsetBody;
use super::header::header;

header! {
    /// RESET_CONSUMER_CLIENT_OFFSET (220), broker to consumer, oneway: go on from these offsets.
    #[doc(alias = "ResetOffsetRequestHeader")]
    ResetConsumerClientOffset<'a> {
        /// The group.
        group: Cow<'a, str> = "group",
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// One queue, -1 for all (5.x).
        queue_id: i32 = "queueId" or -1,
        /// The offset wanted instead of a time (5.x).
        offset: Option<i64> = "offset",
        /// The time that was asked for, ms; -1: now.
        timestamp: i64 = "timestamp" or 0,
        /// Whether offsets may go forward too.
        is_force: bool = "isForce" or false,
    }
    body: ResetOffsetBody;
}

header! {
    /// INVOKE_BROKER_TO_RESET_OFFSET (222). Answered with [`super::body::ResetOffsetBody`].
    #[doc(alias = "ResetOffsetRequestHeader")]
    InvokeBrokerToResetOffset<'a> {
        /// The group.
        group: Cow<'a, str> = "group",
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// One queue, -1 for all (5.x).
        queue_id: i32 = "queueId" or -1,
        /// The offset wanted instead of a time (5.x).
        offset: Option<i64> = "offset",
        /// The time wanted, ms; -1: now.
        timestamp: i64 = "timestamp",
        /// Whether offsets may go forward too.
        is_force: bool = "isForce" or false,
    }
}

header! {
    /// GET_CONSUMER_STATUS_FROM_CLIENT (221), broker to consumer: where are you? Answered with
    /// [`super::body::GetConsumerStatusBody`].
    #[doc(alias = "GetConsumerStatusRequestHeader")]
    GetConsumerStatusFromClient<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// The group.
        group: Cow<'a, str> = "group",
        /// Client id of the one member asked for.
        client_addr: Option<Cow<'a, str>> = "clientAddr",
    }
}

header! {
    /// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223). Answered with [`super::body::GetConsumerStatusBody`].
    #[doc(alias = "GetConsumerStatusRequestHeader")]
    InvokeBrokerToGetConsumerStatus<'a> {
        /// The topic.
        topic: Cow<'a, str> = "topic",
        /// The group.
        group: Cow<'a, str> = "group",
        /// Client id of the one member asked for.
        client_addr: Option<Cow<'a, str>> = "clientAddr",
    }
}

header! {
    /// CLONE_GROUP_OFFSET (314): one group goes where another one is.
    #[doc(alias = "CloneGroupOffsetRequestHeader")]
    CloneGroupOffset<'a> {
        /// The group whose offsets are taken.
        src_group: Cow<'a, str> = "srcGroup",
        /// The group that gets them.
        dest_group: Cow<'a, str> = "destGroup",
        /// The topic; all topics of the first group unless given.
        topic: Option<Cow<'a, str>> = "topic",
        /// Whether topics count that the first group, which is connected, does not subscribe to any more.
        offline: bool = "offline" or false,
    }
}

header! {
    /// QUERY_CORRECTION_OFFSET (308): where other groups are that lag behind a group. Answered with
    /// [`super::body::QueryCorrectionOffsetBody`].
    #[doc(alias = "QueryCorrectionOffsetHeader")]
    QueryCorrectionOffset<'a> {
        /// Groups that do not count, comma separated.
        filter_groups: Option<Cow<'a, str>> = "filterGroups",
        /// The group to compare with.
        compare_group: Cow<'a, str> = "compareGroup",
        /// The topic.
        topic: Cow<'a, str> = "topic",
    }
}
