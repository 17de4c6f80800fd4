//! Pulling. Protocol reference, section 5.1.

use std::borrow::Cow;

use super::header::{header, Form};
use super::{Frame, RequestCode};

header! {
    /// PULL_MESSAGE (11), LITE_PULL_MESSAGE (361). Answered with [`super::PullMessageResponse`] and records back to back.
    #[doc(alias = "PullMessageRequestHeader")]
    PullMessage<'a> {
        /// Group that consumes.
        consumer_group: Cow<'a, str> = "consumerGroup",
        /// Topic to pull from.
        topic: Cow<'a, str> = "topic",
        /// Queue to pull from.
        queue_id: i32 = "queueId",
        /// First offset wanted.
        queue_offset: i64 = "queueOffset",
        /// Messages wanted at most.
        max_msg_nums: i32 = "maxMsgNums",
        /// Bits of [`crate::message::sys_flag::pull`].
        sys_flag: i32 = "sysFlag",
        /// The group's offset, to be stored if the flag says so.
        commit_offset: i64 = "commitOffset",
        /// How long to hold the request if nothing is there, ms.
        suspend_timeout_millis: i64 = "suspendTimeoutMillis",
        /// The filter expression, if the flag says so.
        subscription: Option<Cow<'a, str>> = "subscription",
        /// Version of the subscription: when it was made, ms.
        sub_version: i64 = "subVersion",
        /// `TAG` or `SQL92`; absent means `TAG`.
        expression_type: Option<Cow<'a, str>> = "expressionType",
        /// Bytes wanted at most (5.x).
        max_msg_bytes: Option<i32> = "maxMsgBytes",
        /// Who asks for whom (5.x).
        request_source: Option<i32> = "requestSource",
        /// Client that a proxy asks for (5.x); the spelling is Apache's.
        proxy_froward_client_id: Option<Cow<'a, str>> = "proxyFrowardClientId",
    }
    form lite: bool;
}

header! {
    /// The answer to a pull, whatever its code.
    #[doc(alias = "PullMessageResponseHeader")]
    PullMessageResponse {
        /// Broker of the set to pull from next; 0 is the master.
        suggest_which_broker_id: i64 = "suggestWhichBrokerId",
        /// Offset to pull from next.
        next_begin_offset: i64 = "nextBeginOffset",
        /// First offset of the queue.
        min_offset: i64 = "minOffset",
        /// The queue's next offset to be written.
        max_offset: i64 = "maxOffset",
        /// Static topics (5.x).
        offset_delta: Option<i64> = "offsetDelta",
        /// 5.x.
        topic_sys_flag: Option<i32> = "topicSysFlag",
        /// 5.x.
        group_sys_flag: Option<i32> = "groupSysFlag",
        /// Why consumption is forbidden (5.x).
        forbidden_type: Option<i32> = "forbiddenType",
    }
}

/// `lite` of a [`PullMessage`]: LITE_PULL_MESSAGE instead of PULL_MESSAGE.
impl Form for bool {
    fn of(frame: &Frame<'_>) -> Self {
        frame.request_code() == RequestCode::LITE_PULL_MESSAGE
    }

    fn code(self) -> RequestCode {
        match self {
            true => RequestCode::LITE_PULL_MESSAGE,
            false => RequestCode::PULL_MESSAGE,
        }
    }
}
