//! Single pulls: the caller keeps the offsets.

use std::time::Duration;

use super::fetch::{read_pull, NO_GROUP};
use super::pull::Consumer;
use super::Subscription;
use crate::message::{sys_flag, StoredMessage};
use crate::wire::body::MessageQueue;
use crate::wire::{PullMessage, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// How a single pull ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullStatus {
    /// There are messages.
    #[doc(alias = "FOUND")]
    Found,
    /// The queue ends at the offset.
    #[doc(alias = "NO_NEW_MSG")]
    NoNewMessages,
    /// There are messages, and none that is wanted up to [`Pulled::next`].
    #[doc(alias = "NO_MATCHED_MSG")]
    NoMatched,
    /// The queue has no such offset; [`Pulled::next`] is the nearest that it has.
    #[doc(alias = "OFFSET_ILLEGAL")]
    OffsetIllegal,
}

/// What a single pull brought.
#[derive(Debug, Clone, PartialEq)]
#[doc(alias = "PullResult")]
pub struct Pulled {
    /// How it ended.
    pub status: PullStatus,
    /// The messages.
    pub messages: Vec<StoredMessage>,
    /// Offset to pull from next.
    pub next: i64,
    /// First offset of the queue.
    pub min: i64,
    /// End of the queue: the offset that its next message gets.
    pub max: i64,
}

impl Consumer {
    /// Asks a broker once for up to `max` messages of a queue from `offset` on, of those that `subscription` wants. If
    /// there is nothing, the broker waits for a message up to `timeout`. Neither subscribes nor commits; no start is
    /// needed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the topic does not exist, what the broker refuses with its reason, and a message that
    /// cannot be read.
    #[doc(alias = "pullBlockIfNotFound")]
    pub fn pull(
        &self,
        queue: &MessageQueue,
        subscription: &Subscription,
        offset: i64,
        max: i32,
        timeout: Duration,
    ) -> Result<Pulled> {
        let shared = self.shared();
        if max < 1 {
            let context = format!("max is {max}; ask for at least one message");
            return Err(Error::new(ErrorKind::InvalidArgument, "pull", context));
        }
        let queue = &shared.wire_queue(queue);
        shared.cluster.route(&queue.topic)?;
        let address = shared.cluster.some_broker(&queue.broker_name)?;
        let hold = if timeout.is_zero() { 0 } else { sys_flag::pull::SUSPEND };
        let request = Request::PullMessage(PullMessage {
            consumer_group: shared.group().unwrap_or(NO_GROUP).into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            queue_offset: offset,
            max_msg_nums: max,
            sys_flag: sys_flag::pull::SUBSCRIPTION | hold,
            suspend_timeout_millis: i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX),
            subscription: Some(subscription.expression().into()),
            sub_version: shared.cluster.now_ms(),
            expression_type: Some(subscription.expression_type().into()),
            ..PullMessage::default()
        });
        let limit = timeout.saturating_add(shared.options.consumer_pull_timeout_millis);
        let reply = shared.cluster.net().call(&address, &request, limit)?;
        let brought = read_pull(queue, subscription, &reply)?;
        let status = match reply.code() {
            ResponseCode::SUCCESS if brought.messages.is_empty() => PullStatus::NoMatched,
            ResponseCode::SUCCESS => PullStatus::Found,
            ResponseCode::PULL_NOT_FOUND => PullStatus::NoNewMessages,
            ResponseCode::PULL_OFFSET_MOVED => PullStatus::OffsetIllegal,
            _ => PullStatus::NoMatched,
        };
        let common = shared.common(queue);
        let messages: Result<Vec<StoredMessage>> =
            brought.messages.into_iter().map(|(_, record)| shared.message(&common, record, 0)).collect();
        let (min, max) = brought.bounds;
        Ok(Pulled { status, messages: messages?, next: brought.next, min, max })
    }
}
