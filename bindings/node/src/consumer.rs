//! The pull consumer's calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferromq::{MessageQueue, Poll, PullStatus, Result, StoredMessage};
use napi_derive::napi;
use serde_json::json;

use crate::error::guard;
use crate::message::{pack, queues_json};
use crate::options::{limit, queues, subscription};
use crate::reports::{Payload, Report, Shared, Waiting};

type Waits = Arc<Waiting<Poll, Vec<StoredMessage>>>;

/// Is asked for messages; `lib/consumer.cjs` has what programs see of it.
#[napi]
pub struct Consumer {
    consumer: ferromq::Consumer,
    reports: Arc<Shared>,
    /// Polls under way.
    polls: Mutex<HashMap<u32, Waits>>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.reports.drop_elsewhere(self.consumer.clone());
    }
}

fn packed(messages: Vec<StoredMessage>) -> Result<Payload> {
    Ok(pack(&messages))
}

fn status_name(status: PullStatus) -> &'static str {
    match status {
        PullStatus::Found => "FOUND",
        PullStatus::NoNewMessages => "NO_NEW_MSG",
        PullStatus::NoMatched => "NO_MATCHED_MSG",
        PullStatus::OffsetIllegal => "OFFSET_ILLEGAL",
    }
}

#[napi]
impl Consumer {
    pub(crate) fn of(consumer: ferromq::Consumer, reports: Arc<Shared>) -> Consumer {
        Consumer { consumer, reports, polls: Mutex::default() }
    }

    /// The group, if it has one.
    #[napi(getter)]
    pub fn group(&self) -> Option<String> {
        self.consumer.group().map(str::to_owned)
    }

    /// Runs a call on this consumer that may wait, and reports its end.
    fn run(
        &self,
        id: u32,
        operation: &'static str,
        call: impl FnOnce(&ferromq::Consumer) -> Result<Payload> + Send + 'static,
    ) -> napi::Result<()> {
        let consumer = self.consumer.clone();
        guard(operation, || self.reports.run(id, operation, move || call(&consumer)))
    }

    /// Consumes a topic; does not wait before the start.
    #[napi]
    pub fn subscribe(&self, topic: String, expression: String, sql: bool) -> napi::Result<()> {
        guard("subscribe", || self.consumer.subscribe_to(subscription(&topic, &expression, sql)?))
    }

    /// As `subscribe`, once it has started; reported.
    #[napi]
    pub fn subscribe_later(&self, id: u32, topic: String, expression: String, sql: bool) -> napi::Result<()> {
        self.run(id, "subscribe", move |consumer| {
            consumer.subscribe_to(subscription(&topic, &expression, sql)?).map(|()| Payload::default())
        })
    }

    /// Does not consume a topic any more.
    #[napi]
    pub fn unsubscribe(&self, topic: String) {
        self.consumer.unsubscribe(&topic);
    }

    /// Consumes these queues, a JSON list; reported.
    #[napi]
    pub fn assign(&self, id: u32, wanted: String) -> napi::Result<()> {
        self.run(id, "assign", move |consumer| {
            consumer.assign(&queues(&wanted)?).map(|()| Payload::default())
        })
    }

    /// Joins the group and begins to fetch; reported.
    #[napi]
    pub fn start(&self, id: u32) -> napi::Result<()> {
        self.run(id, "start consumer", |consumer| consumer.start().map(|()| Payload::default()))
    }

    /// The next messages, packed, if there are some, at most `max` if that is given; else they are reported under `id` when
    /// they come. It has started.
    #[napi]
    pub fn poll(&self, id: u32, max: Option<u32>) -> napi::Result<Option<Report>> {
        guard("poll", || {
            let poll = match max {
                Some(max) => self.consumer.poll_async_at_most(max as usize),
                None => self.consumer.poll_async(),
            };
            let (waiting, end) = self.reports.wait_for(id, poll, packed);
            match end {
                Some(end) => end.map(|payload| Some(Report::of(id, Ok(payload)))),
                None => {
                    self.polls().insert(id, waiting);
                    Ok(None)
                }
            }
        })
    }

    /// Gives up a poll, or forgets one that has ended; whether it would have gone on. No message is lost.
    #[napi]
    pub fn give_up(&self, id: u32) -> bool {
        let waiting = self.polls().remove(&id);
        waiting.is_some_and(|waiting| waiting.give_up())
    }

    fn polls(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Waits>> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a broker once; the packed messages and the rest as JSON before them, up to its first line's end, are reported.
    #[napi]
    #[allow(clippy::too_many_arguments)]
    pub fn pull(
        &self,
        id: u32,
        queue: String,
        expression: String,
        sql: bool,
        offset: i64,
        max: i32,
        timeout: f64,
    ) -> napi::Result<()> {
        self.run(id, "pull", move |consumer| {
            let queue = one(&queue)?;
            let wanted = subscription(&queue.topic, &expression, sql)?;
            let pulled = consumer.pull(&queue, &wanted, offset, max, limit(timeout))?;
            let head = json!({
                "status": status_name(pulled.status),
                "next": pulled.next.to_string(),
                "min": pulled.min.to_string(),
                "max": pulled.max.to_string(),
            });
            let payload = pack(&pulled.messages);
            let text = format!("{head}\n{}", payload.text.unwrap_or_default());
            Ok(Payload { text: Some(text), ..payload })
        })
    }

    /// All that was polled so far is consumed.
    #[napi]
    pub fn commit(&self) {
        self.consumer.commit();
    }

    /// What is before an offset of a queue is consumed.
    #[napi]
    pub fn commit_queue(&self, queue: String, offset: i64) -> napi::Result<()> {
        guard("commit", || self.consumer.commit_queue(&one(&queue)?, offset))
    }

    /// Stores what was committed; reported.
    #[napi]
    pub fn flush(&self, id: u32) -> napi::Result<()> {
        self.run(id, "flush", |consumer| consumer.flush().map(|()| Payload::default()))
    }

    /// Reports how far the group has come in a queue: a number as text, or nothing.
    #[napi]
    pub fn committed(&self, id: u32, queue: String) -> napi::Result<()> {
        self.run(id, "committed", move |consumer| {
            let offset = consumer.committed(&one(&queue)?)?;
            Ok(offset.map_or_else(Payload::default, |offset| Payload::text(offset.to_string())))
        })
    }

    /// Goes to a place of a queue: `begin`, `end`, `offset` or `time`; reported.
    #[napi]
    pub fn seek(&self, id: u32, queue: String, to: String, place: i64) -> napi::Result<()> {
        self.run(id, "seek", move |consumer| {
            let queue = one(&queue)?;
            match to.as_str() {
                "begin" => consumer.seek_to_begin(&queue),
                "end" => consumer.seek_to_end(&queue),
                "time" => consumer.seek_to_time(&queue, place),
                _ => consumer.seek(&queue, place),
            }
            .map(|()| Payload::default())
        })
    }

    /// Reports the offset of a time in a queue, as text.
    #[napi]
    pub fn offset_for_time(&self, id: u32, queue: String, ms: i64) -> napi::Result<()> {
        self.run(id, "offset for time", move |consumer| {
            consumer.offset_for_time(&one(&queue)?, ms).map(|offset| Payload::text(offset.to_string()))
        })
    }

    /// Fetches nothing more of these queues, or goes on.
    #[napi]
    pub fn pause(&self, wanted: String, resume: bool) -> napi::Result<()> {
        guard("pause", || {
            let queues = queues(&wanted)?;
            match resume {
                true => self.consumer.resume(&queues),
                false => self.consumer.pause(&queues),
            }
            Ok(())
        })
    }

    /// Whether everything has been polled that there was.
    #[napi(getter)]
    pub fn is_caught_up(&self) -> bool {
        self.consumer.is_caught_up()
    }

    /// The queues that are this consumer's, as JSON.
    #[napi]
    pub fn queues(&self) -> String {
        queues_json(&self.consumer.queues()).text.unwrap_or_default()
    }

    /// Reports all queues of a topic.
    #[napi]
    pub fn topic_queues(&self, id: u32, topic: String) -> napi::Result<()> {
        self.run(id, "queues", move |consumer| {
            consumer.topic_queues(&topic).map(|queues| queues_json(&queues))
        })
    }

    /// Ends it, within a number of ms if one is given; reported.
    #[napi]
    pub fn close(&self, id: u32, within: Option<f64>, ask: Option<u32>) -> napi::Result<()> {
        let consumer = self.consumer.clone();
        let close = move || {
            match within {
                Some(ms) => consumer.close_within(limit(ms))?,
                None => consumer.close()?,
            }
            Ok(Payload::default())
        };
        guard("close", || self.reports.run_within(ask, id, "close", close))
    }
}

/// The queue that a JSON text describes.
fn one(queue: &str) -> Result<MessageQueue> {
    let mut found = queues(&format!("[{queue}]"))?;
    found.pop().ok_or_else(|| crate::error::invalid("queue", "there is none"))
}
