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
