//! Fetching messages ahead of the user: one pull in flight a queue, held by the broker while there is nothing (protocol
//! reference, section 5.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::worker::RETRY_AFTER;
use super::assigned::Pulling;
use super::subscription::Subscription;
use super::Shared;
use crate::message::{property, sys_flag};
use crate::net::Reply;
use crate::record::{records, RecordView};
use crate::wire::body::MessageQueue;
use crate::wire::{PullMessage, PullMessageResponse, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// How much longer than the broker's hold a pull may take. Apache's `CONSUMER_TIMEOUT_MILLIS_WHEN_SUSPEND` is 30 s for
/// holds of up to 20 s.
const BEYOND_HOLD: Duration = Duration::from_secs(10);

/// Holds at a broker that is asked only because the one to ask is gone: that one may be back, and have more.
const HOLD_ELSEWHERE: Duration = Duration::from_secs(5);

/// The group that a consumer without group names: one that every broker has.
pub(super) const NO_GROUP: &str = "TOOLS_CONSUMER";

/// What a pull brought.
pub(super) struct Brought {
    /// Wanted messages: their offsets and records.
    pub messages: Vec<(i64, Bytes)>,
    /// Where the next pull begins.
    pub next: i64,
    /// The first offset of the queue, and its end.
    pub bounds: (i64, i64),
    /// Broker of the set to ask next.
    pub broker_id: i64,
    /// The offset asked for lies outside the queue: `next` is its nearest place.
    pub moved: bool,
}

/// A pull that is to be made.
struct Plan {
    next: i64,
    broker_id: i64,
    /// Rather not this broker.
    avoid: bool,
}

/// A pull that was made.
struct Made {
    queue: MessageQueue,
    token: u64,
    subscription: Arc<Subscription>,
    broker_id: i64,
    began: Instant,
}

/// How to go on after a pull.
enum Next {
    Pull,
    /// Whoever makes room goes on.
    Wait,
    /// The timer goes on.
    Later,
}

impl Shared {
    /// Asks for the next messages of a queue. `token` is what the queue was assigned under.
    pub(super) fn pull(self: &Arc<Self>, queue: &MessageQueue, token: u64) {
        let Some(plan) = self.begin_pull(queue, token) else { return };
        let Some(subscription) = self.subscription(&queue.topic) else {
            // Given up with the next rebalance, unless it is subscribed to again before.
            return self.pull_later(queue, token);
        };
        let began = Instant::now();
        let mut made = Made { queue: queue.clone(), token, subscription, broker_id: plan.broker_id, began };
        let Some((broker_id, address)) =
            self.cluster.reading_broker(&queue.broker_name, plan.broker_id, plan.avoid)
        else {
            let error =
                Error::new(ErrorKind::Connection, "pull", format!("broker {} is gone", queue.broker_name));
            return self.finish_pull(made, Err(error));
        };
        made.broker_id = broker_id;
        let mut hold = self.options.broker_suspend_max_time_millis;
        if broker_id != plan.broker_id {
            hold = hold.min(HOLD_ELSEWHERE);
        }
        // Without its text a pull depends on the broker having heard of the subscription, which one that was started
        // anew has not; but an SQL92 expression would be compiled for each pull.
        let posts = !made.subscription.is_sql() || self.options.post_subscription_when_pull;
        let flag = if posts { sys_flag::pull::SUBSCRIPTION } else { 0 };
        let subscription = made.subscription.clone();
        let request = Request::PullMessage(PullMessage {
            consumer_group: self.group().unwrap_or(NO_GROUP).into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            queue_offset: plan.next,
            max_msg_nums: self.options.pull_batch_size,
            // No offset goes along: it could come to the broker after a later one that was stored by itself.
            sys_flag: sys_flag::pull::SUSPEND | flag,
            suspend_timeout_millis: hold.as_millis() as i64,
            subscription: posts.then(|| subscription.expression().into()),
            sub_version: self.version(&queue.topic),
            expression_type: Some(subscription.expression_type().into()),
            ..PullMessage::default()
        });
        // Not a strong reference: a consumer that its user has dropped must not live on until the broker answers.
        let weak = Arc::downgrade(self);
        let done = move |result: Result<Reply>| {
            if let Some(shared) = weak.upgrade() {
                let brought = result.and_then(|reply| read_pull(&made.queue, &made.subscription, &reply));
                shared.finish_pull(made, brought);
            }
        };
        self.cluster.net().call_async(&address, &request, hold + BEYOND_HOLD, Box::new(done));
    }

    fn pull_later(&self, queue: &MessageQueue, token: u64) {
        if let Some(assigned) = self.state.lock().assigned(queue, token) {
            assigned.pulling = Pulling::At(self.cluster.now_ms() + RETRY_AFTER);
        }
        self.cluster.signal.tick();
    }

    /// What to ask for; notes that a pull is under way.
    fn begin_pull(&self, queue: &MessageQueue, token: u64) -> Option<Plan> {
        let now = self.cluster.now_ms();
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let assigned = state.queues.get_mut(queue).filter(|assigned| assigned.token == token)?;
        (assigned.pulling, assigned.last_pull) = (Pulling::InFlight, now);
        let (broker_id, avoid) = assigned.broker(now);
        Some(Plan { next: assigned.next, broker_id, avoid })
    }

    /// Takes what a pull brought, and goes on pulling if there is room.
    fn finish_pull(self: &Arc<Self>, made: Made, brought: Result<Brought>) {
        tracing::trace!("{:?}: pull at broker {} ended: {}", made.queue, made.broker_id, told(&brought));
        if let Ok(brought) = &brought {
            self.stats.pulled(&made.queue.topic, brought.messages.len(), made.began.elapsed());
        }
        match self.note_pulled(&made, brought) {
            Next::Pull => self.pull(&made.queue, made.token),
            Next::Wait => {}
            Next::Later => self.cluster.signal.tick(),
        }
    }

    fn note_pulled(self: &Arc<Self>, made: &Made, brought: Result<Brought>) -> Next {
        let now = self.cluster.now_ms();
        let mut state = self.state.lock();
        if state.closed {
            return Next::Wait;
        }
        let room = self.room(&state, &made.queue.topic);
        let suspended = state.suspended;
        let Some(assigned) = state.queues.get_mut(&made.queue).filter(|one| one.token == made.token) else {
            return Next::Wait;
        };
        let brought = match brought {
            // A slave that lags does not know where the queue ends.
            Ok(brought) if brought.moved && made.broker_id != 0 => {
                (assigned.broker_id, assigned.avoid_master) = (0, 0);
                assigned.pulling = Pulling::At(now + RETRY_AFTER);
                return Next::Later;
            }
            Ok(brought) => brought,
            Err(error) => {
                if unanswered(&error) {
                    assigned.unreachable(made.broker_id, now);
                }
                assigned.pulling = Pulling::At(now + retry_after(&error));
                drop(state);
                self.pull_failed(&made.queue, error);
                return Next::Later;
            }
        };
        if brought.moved {
            let (from, to) = (assigned.next, brought.next);
            tracing::warn!("{:?}: offset {from} is not in the queue any more; going on at {to}", made.queue);
        }
        let waits = assigned.add(brought, made.began.elapsed().as_millis() as i64);
        let pause = self.options.pull_interval.as_millis() as i64;
        let next = if waits || pause > 0 {
            assigned.pulling = Pulling::At(now + if waits { RETRY_AFTER } else { pause });
            Next::Later
        } else if suspended || !assigned.has_room(room) {
            assigned.pulling = Pulling::Full;
            Next::Wait
        } else {
            Next::Pull
        };
        self.announce(state);
        next
    }

    fn pull_failed(&self, queue: &MessageQueue, error: Error) {
        if error.code().is_some_and(|code| NOT_INTRODUCED.contains(&ResponseCode(code))) {
            self.cluster.signal.introduce();
        }
        if unanswered(&error) {
            // The broker may be elsewhere by now.
            self.cluster.signal.refresh_routes();
        }
        if passes(&error) {
            tracing::debug!("{queue:?} is pulled again soon: {error}");
        } else {
            self.fail(error);
        }
    }

    /// Pulls what was to be pulled by now; returns when the next is due, ms.
    pub(super) fn pull_due(self: &Arc<Self>, now: i64) -> Option<i64> {
        let (mut due, mut next) = (Vec::new(), None::<i64>);
        let mut state = self.state.lock();
        if state.suspended {
            return None;
        }
        let rooms: Vec<_> = state.queues.keys().map(|queue| self.room(&state, &queue.topic)).collect();
        for ((queue, assigned), room) in state.queues.iter_mut().zip(rooms) {
            if let Pulling::At(at) = assigned.pulling {
                assigned.pulling = Pulling::At(in_reach(at, now));
            }
            match assigned.pulling {
                Pulling::At(at) if at <= now && assigned.has_room(room) => {
                    due.push((queue.clone(), assigned.token))
                }
                Pulling::At(at) if at <= now => assigned.pulling = Pulling::Full,
                Pulling::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Pulling::InFlight | Pulling::Full => {}
            }
        }
        drop(state);
        for (queue, token) in due {
            self.pull(&queue, token);
        }
        next
    }

    /// Pulls the queues that rested and need not any more.
    pub(super) fn resume_pulls(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.closed || state.suspended {
            return;
        }
        let rooms: Vec<_> = state.queues.keys().map(|queue| self.room(&state, &queue.topic)).collect();
        let resumed: Vec<(MessageQueue, u64)> = state
            .queues
            .iter_mut()
            .zip(rooms)
            .filter_map(|((queue, assigned), room)| Some((queue.clone(), assigned.resume(room)?)))
            .collect();
        drop(state);
        for (queue, token) in resumed {
            self.pull(&queue, token);
        }
    }
}

/// A pull's end in a line of the log.
fn told(brought: &Result<Brought>) -> String {
    match brought {
        Ok(brought) => format!(
            "{} messages, next {}, ask broker {}{}",
            brought.messages.len(),
            brought.next,
            brought.broker_id,
            if brought.moved { ", moved" } else { "" }
        ),
        Err(error) => error.to_string(),
    }
}

/// Answers of brokers that do not know the group, its subscription or its filter (yet).
const NOT_INTRODUCED: [ResponseCode; 4] = [
    ResponseCode::SUBSCRIPTION_NOT_EXIST,
    ResponseCode::SUBSCRIPTION_NOT_LATEST,
    ResponseCode::FILTER_DATA_NOT_EXIST,
    ResponseCode::FILTER_DATA_NOT_LATEST,
];

/// The messages that `subscription` wants of those in an answer, and where to go on.
pub(super) fn read_pull(queue: &MessageQueue, subscription: &Subscription, reply: &Reply) -> Result<Brought> {
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
    let header: PullMessageResponse = reply.header()?;
    let mut messages = Vec::new();
    if code == ResponseCode::SUCCESS {
        let (body, all) = (reply.body(), subscription.wants_all());
        for record in records(&body) {
            let record = record?;
            if all || subscription.wants(record.property(property::TAGS)) {
                messages.push((record.queue_offset(), record_bytes(&body, &record)));
            }
        }
    }
    Ok(Brought {
        messages,
        next: header.next_begin_offset,
        bounds: (header.min_offset, header.max_offset),
        broker_id: header.suggest_which_broker_id,
        moved: code == ResponseCode::PULL_OFFSET_MOVED,
    })
}

/// The record's own bytes; they share the memory of the whole response.
fn record_bytes(body: &Bytes, record: &RecordView<'_>) -> Bytes {
    body.slice_ref(record.bytes())
}

/// A time to come, or now if it is further away than any that is set: then the clock was set back.
pub(super) fn in_reach(at: i64, now: i64) -> i64 {
    const FURTHEST: i64 = 70_000;
    if at > now.saturating_add(FURTHEST) {
        now
    } else {
        at
    }
}

/// How long to wait after a failed pull, ms: what the broker refuses will hardly change soon.
fn retry_after(error: &Error) -> i64 {
    if error.code().is_some() {
        3 * RETRY_AFTER
    } else {
        RETRY_AFTER
    }
}

fn unanswered(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connection | ErrorKind::Closed)
}

/// Whether a failed pull is likely to succeed soon, so that the user need not know.
fn passes(error: &Error) -> bool {
    const BUSY: [ResponseCode; 4] = [
        ResponseCode::SYSTEM_ERROR,
        ResponseCode::SYSTEM_BUSY,
        ResponseCode::SERVICE_NOT_AVAILABLE,
        ResponseCode::GO_AWAY,
    ];
    match error.code().map(ResponseCode) {
        Some(code) => BUSY.contains(&code) || NOT_INTRODUCED.contains(&code),
        None => unanswered(error),
    }
}
