//! Fetching messages ahead of the user: one pull in flight a queue, held by the broker while there is nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::consumer::{Next, Shared};
use super::worker::RETRY_AFTER;
use crate::message::{property, sys_flag};
use crate::net::Reply;
use crate::record::{records, RecordView};
use crate::wire::body::MessageQueue;
use crate::wire::{PullMessage, PullMessageResponse, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// How long a broker holds a pull while there is nothing. Apache's `BROKER_SUSPEND_MAX_TIME_MILLIS`.
const HOLD: Duration = Duration::from_secs(15);

/// How long a pull may take. Apache's `CONSUMER_TIMEOUT_MILLIS_WHEN_SUSPEND`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Messages asked for at once. Apache's `pullBatchSize`; brokers give no more than this from memory anyway.
const BATCH: i32 = 32;

/// The group that a consumer without group names: one that every broker has.
const NO_GROUP: &str = "TOOLS_CONSUMER";

/// What a pull brought.
pub(super) struct Pulled {
    /// Wanted messages: their offsets and records.
    pub messages: Vec<(i64, Bytes)>,
    /// Where the next pull begins.
    pub next: i64,
    /// The end of the queue.
    pub end: i64,
    /// Broker of the set to ask next.
    pub broker_id: i64,
    /// The offset asked for lies outside the queue: `next` is its nearest place.
    pub moved: bool,
}

impl Shared {
    /// Asks for the next messages of a queue. `token` is what the queue was assigned under.
    pub(super) fn pull(self: &Arc<Self>, queue: &MessageQueue, token: u64) {
        let Some((next, consumed, broker_id)) = self.begin_pull(queue, token) else { return };
        let Some(subscription) = self.subscription(&queue.topic) else { return };
        let Some(address) = self.cluster().broker(&queue.broker_name, broker_id, true) else {
            let error =
                Error::new(ErrorKind::Connection, "pull", format!("broker {} is gone", queue.broker_name));
            return self.finish_pull(queue, token, Err(error));
        };
        let (commit, commit_offset) = self.commit_along(consumed, broker_id);
        let request = Request::PullMessage(PullMessage {
            consumer_group: self.group().unwrap_or(NO_GROUP).into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            queue_offset: next,
            max_msg_nums: BATCH,
            sys_flag: sys_flag::pull::SUSPEND | sys_flag::pull::SUBSCRIPTION | commit,
            commit_offset,
            suspend_timeout_millis: HOLD.as_millis() as i64,
            subscription: Some(subscription.expression().into()),
            sub_version: self.version(),
            expression_type: Some("TAG".into()),
            ..PullMessage::default()
        });
        // Not a strong reference: a consumer that its user has dropped must not live on until the broker answers.
        let (weak, queue) = (Arc::downgrade(self), queue.clone());
        let done = move |result: Result<Reply>| {
            if let Some(shared) = weak.upgrade() {
                let pulled = result.and_then(|reply| shared.read_pull(&queue, &reply));
                shared.finish_pull(&queue, token, pulled);
            }
        };
        self.cluster().net().call_async(&address, &request, TIMEOUT, Box::new(done));
    }

    /// Takes what a pull brought, and goes on pulling if there is room.
    fn finish_pull(self: &Arc<Self>, queue: &MessageQueue, token: u64, pulled: Result<Pulled>) {
        match self.note_pulled(queue, token, pulled) {
            Next::Pull => self.pull(queue, token),
            // Whoever takes messages out, or the worker when the time has come, goes on.
            Next::Wait => {}
            Next::Retry => self.cluster().signal.poke(),
        }
    }

    fn read_pull(&self, queue: &MessageQueue, reply: &Reply) -> Result<Pulled> {
        let code = reply.code();
        if !matches!(
            code,
            ResponseCode::SUCCESS
                | ResponseCode::PULL_NOT_FOUND
                | ResponseCode::PULL_RETRY_IMMEDIATELY
                | ResponseCode::PULL_OFFSET_MOVED
        ) {
            let remark = reply.remark();
            let remark = if remark.is_empty() { code.name() } else { &remark };
            let place = format!("{} queue {} at {}", queue.topic, queue.queue_id, queue.broker_name);
            return Err(Error::remote("pull", code.0, format!("{place}: {remark}")));
        }
        let header = reply.header::<PullMessageResponse>()?;
        let mut messages = Vec::new();
        if code == ResponseCode::SUCCESS {
            let body = reply.body();
            let subscription = self.subscription(&queue.topic);
            for record in records(&body) {
                let record = record?;
                let wanted = |tag| subscription.is_none_or(|subscription| subscription.wants(tag));
                if wanted(record.property(property::TAGS)) {
                    messages.push((record.queue_offset(), record_bytes(&body, &record)));
                }
            }
        }
        Ok(Pulled {
            messages,
            next: header.next_begin_offset,
            end: header.max_offset,
            broker_id: header.suggest_which_broker_id,
            moved: code == ResponseCode::PULL_OFFSET_MOVED,
        })
    }
}

/// The record's own bytes; they share the memory of the whole response.
fn record_bytes(body: &Bytes, record: &RecordView<'_>) -> Bytes {
    body.slice_ref(record.bytes())
}

/// How long to wait after a failed pull, ms: what the broker refuses will hardly change soon.
pub(super) fn retry_after(error: &Error) -> i64 {
    if error.code().is_some() {
        3 * RETRY_AFTER
    } else {
        RETRY_AFTER
    }
}
