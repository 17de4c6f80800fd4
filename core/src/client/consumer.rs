//! The consumer: what is assigned, fetched, handed out and committed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::cluster::{succeeded, Cluster};
use super::offsets::Begin;
use super::pull::{retry_after, Pulled};
use super::rebalance::share;
use super::route::Route;
use super::stored::stored_message;
use super::Subscription;
use crate::config::ConsumerOptions;
use crate::message::StoredMessage;
use crate::wire::body::{ConsumerData, GetConsumerListByGroupResponseBody, MessageQueue};
use crate::wire::{json, GetConsumerListByGroup, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// Topics of messages that a group sent back begin with this.
const RETRY_PREFIX: &str = "%RETRY%";

/// A queue of which this many messages wait for the user is not pulled further. Well below Apache's
/// `pullThresholdForQueue` of 1000: more than hides the way to the broker is only memory.
const AHEAD_MESSAGES: usize = 256;

/// The same in bytes.
const AHEAD_BYTES: usize = 8 << 20;

/// Consumes a group's share of its topics' queues, or without group all of them.
///
/// At least once: messages count as consumed when [`Consumer::commit`] is called after the [`Consumer::poll`] that
/// returned them. What was not committed when a consumer ends comes again, to this group's other members or later.
/// May be shared by threads; a commit then covers what all of them have polled.
pub struct Consumer {
    shared: Arc<Shared>,
}

impl Consumer {
    /// Joins the group and begins to fetch. All topics must exist.
    pub fn join(
        cluster: &Arc<Cluster>,
        options: ConsumerOptions,
        subscriptions: Vec<Subscription>,
    ) -> Result<Consumer> {
        let shared = Shared::new(cluster, options, subscriptions)?;
        for subscription in &shared.subscriptions {
            cluster.route(subscription.topic())?;
        }
        let consumer = Consumer { shared };
        let shared = &consumer.shared;
        cluster.add_consumer(shared)?;
        if shared.group().is_some() {
            cluster.send_heartbeats();
        }
        match shared.rebalance() {
            Err(error) if !error.is_retriable() => Err(error),
            // The worker goes on trying.
            _ => Ok(consumer),
        }
    }

    /// The next messages, all of one queue, in their order; none if none came within `timeout`.
    ///
    /// An error does not end the consumer: it tells once what went wrong (a permission that was taken away, a message
    /// that cannot be read and was passed over), and the next call goes on.
    pub fn poll(&self, timeout: Duration) -> Result<Vec<StoredMessage>> {
        self.poll_at_most(self.shared.options.poll_batch, timeout)
    }

    /// As [`Consumer::poll`], but with this limit instead of the option's.
    pub fn poll_at_most(&self, count: usize, timeout: Duration) -> Result<Vec<StoredMessage>> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        let (queue, records) = loop {
            if state.closed {
                return Err(Error::new(ErrorKind::Closed, "poll", "the consumer was closed"));
            }
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            if let Some(taken) = state.take(count.max(1)) {
                break taken;
            }
            let timed_out = match deadline {
                Some(deadline) => self.shared.arrived.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.shared.arrived.wait(&mut state);
                    false
                }
            };
            if timed_out {
                return Ok(Vec::new());
            }
        };
        let token = state.queues.get_mut(&queue).and_then(Assigned::resume);
        drop(state);
        if let Some(token) = token {
            self.shared.pull(&queue, token);
        }
        let read = records.iter().map(|record| stored_message(record, &queue.broker_name));
        Ok(read.filter_map(|message| message.map_err(|error| self.shared.fail(error)).ok()).collect())
    }

    /// All messages that were polled so far are consumed. Brokers are told within seconds; [`Consumer::flush`] tells
    /// them at once.
    #[doc(alias = "commitSync")]
    pub fn commit(&self) {
        for assigned in self.shared.state.lock().queues.values_mut() {
            assigned.consumed = assigned.delivered;
        }
    }

    /// Stores what was committed at the brokers, and waits until it is.
    pub fn flush(&self) -> Result<()> {
        self.shared.persist()
    }

    /// Whether everything has been polled that the queues held when they were last heard of. False before the queues
    /// are known.
    pub fn is_caught_up(&self) -> bool {
        let state = self.shared.state.lock();
        // An offset beyond the end is one that the next pull puts right.
        let at_end = |assigned: &Assigned| assigned.buffered.is_empty() && assigned.next == assigned.end;
        state.complete && state.queues.values().all(at_end)
    }

    /// The queues that are this consumer's at present.
    #[doc(alias = "fetchSubscribeMessageQueues")]
    pub fn queues(&self) -> Vec<MessageQueue> {
        self.shared.state.lock().queues.keys().cloned().collect()
    }

    /// Stores what was committed and leaves the group. Polls that wait end with [`ErrorKind::Closed`]. A second call
    /// does nothing.
    pub fn close(&self) -> Result<()> {
        if !self.shared.stop() {
            return Ok(());
        }
        let stored = self.shared.persist();
        self.shared.leave();
        stored
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.shared.stop() {
            for (queue, offset) in self.shared.unstored() {
                self.shared.store_offset_blindly(&queue, offset);
            }
            self.shared.leave();
        }
    }
}

/// A consumer as its pulls and the worker see it.
pub(super) struct Shared {
    cluster: Arc<Cluster>,
    options: ConsumerOptions,
    subscriptions: Vec<Subscription>,
    retry: Option<Subscription>,
    version: i64,
    /// Held while queues are given out anew, by the joining thread or the worker.
    rebalancing: Mutex<()>,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<MessageQueue, Assigned>,
    /// The queue that messages were taken from last: the next ones have their turn.
    last_taken: Option<MessageQueue>,
    /// Whether all queues of this consumer's share have been taken over.
    complete: bool,
    failure: Option<Error>,
    closed: bool,
    tokens: u64,
}

/// A queue that is this consumer's.
struct Assigned {
    /// Different for each assignment, so that what was pulled for an earlier one is known.
    token: u64,
    /// Where the next pull begins.
    next: i64,
    /// Fetched and not yet polled: offsets and records.
    buffered: VecDeque<(i64, Bytes)>,
    buffered_bytes: usize,
    /// What is before this was polled, or not wanted.
    delivered: i64,
    /// What is before this was committed, or not wanted.
    consumed: i64,
    /// What the broker has stored for the group.
    stored: Option<i64>,
    end: i64,
    broker_id: i64,
    pulling: Pulling,
}

/// Whether a queue is being pulled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pulling {
    InFlight,
    /// Enough is there; goes on when some was polled.
    Full,
    /// Failed; again at this time, ms.
    At(i64),
}

/// How to go on after a pull.
pub(super) enum Next {
    Pull,
    Wait,
    Retry,
}

impl State {
    /// Takes up to `count` messages of the queue whose turn it is.
    fn take(&mut self, count: usize) -> Option<(MessageQueue, Vec<Bytes>)> {
        let after = match &self.last_taken {
            Some(queue) => (Bound::Excluded(queue), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut in_turn = self.queues.range(after).chain(self.queues.iter());
        let queue = in_turn.find(|(_, assigned)| !assigned.buffered.is_empty())?.0.clone();
        let assigned = self.queues.get_mut(&queue)?;
        let count = count.min(assigned.buffered.len());
        let taken: Vec<(i64, Bytes)> = assigned.buffered.drain(..count).collect();
        assigned.buffered_bytes -= taken.iter().map(|(_, record)| record.len()).sum::<usize>();
        assigned.delivered = match taken.last() {
            // What lies between the last message and the next pull was not wanted.
            Some((offset, _)) if !assigned.buffered.is_empty() => offset + 1,
            _ => assigned.next,
        };
        self.last_taken = Some(queue.clone());
        Some((queue, taken.into_iter().map(|(_, record)| record).collect()))
    }
}

impl Assigned {
    fn new(token: u64, begin: &Begin) -> Assigned {
        Assigned {
            token,
            next: begin.offset,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            delivered: begin.offset,
            consumed: begin.offset,
            stored: begin.stored.then_some(begin.offset),
            end: begin.end,
            broker_id: 0,
            pulling: Pulling::InFlight,
        }
    }

    fn has_room(&self) -> bool {
        self.buffered.len() < AHEAD_MESSAGES && self.buffered_bytes < AHEAD_BYTES
    }

    /// The token for a pull to be made now, if it rested for lack of room and there is some again.
    fn resume(&mut self) -> Option<u64> {
        let resumes = self.pulling == Pulling::Full && self.has_room();
        resumes.then(|| {
            self.pulling = Pulling::InFlight;
            self.token
        })
    }

    fn add(&mut self, pulled: Pulled) {
        (self.end, self.broker_id) = (pulled.end, pulled.broker_id);
        self.buffered_bytes += pulled.messages.iter().map(|(_, record)| record.len()).sum::<usize>();
        self.buffered.extend(pulled.messages);
        self.next = pulled.next;
        if self.buffered.is_empty() {
            // Nothing of what was passed over is wanted: it needs no commit, unless the user still has earlier ones.
            if self.consumed == self.delivered {
                self.consumed = self.next;
            }
            self.delivered = self.next;
        }
    }
}

impl Shared {
    fn new(
        cluster: &Arc<Cluster>,
        options: ConsumerOptions,
        subscriptions: Vec<Subscription>,
    ) -> Result<Arc<Shared>> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidArgument, "join group", what));
        if options.consumer_group.as_deref().is_some_and(str::is_empty) {
            return wrong("the group's name is empty");
        }
        if subscriptions.is_empty() {
            return wrong("there is nothing to consume: give a subscription");
        }
        let retry =
            options.consumer_group.as_ref().map(|group| Subscription::all(format!("{RETRY_PREFIX}{group}")));
        Ok(Arc::new(Shared {
            cluster: cluster.clone(),
            retry,
            version: cluster.now_ms(),
            options,
            subscriptions,
            rebalancing: Mutex::default(),
            state: Mutex::default(),
            arrived: Condvar::new(),
        }))
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    pub(super) fn options(&self) -> &ConsumerOptions {
        &self.options
    }

    pub(super) fn group(&self) -> Option<&str> {
        self.options.consumer_group.as_deref()
    }

    pub(super) fn retry_topic(&self) -> Option<&str> {
        self.retry.as_ref().map(Subscription::topic)
    }

    /// When the subscriptions were made, ms.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().chain(&self.retry)
    }

    pub(super) fn subscription(&self, topic: &str) -> Option<&Subscription> {
        self.subscriptions().find(|subscription| subscription.topic() == topic)
    }

    /// For heartbeats; `None` without group.
    pub(super) fn describe(&self) -> Option<ConsumerData> {
        Some(ConsumerData {
            group_name: self.group()?.into(),
            consume_type: "CONSUME_ACTIVELY".into(),
            consume_from_where: self.options.consume_from_where.word().into(),
            subscription_data_set: self.subscriptions().map(|one| one.data(self.version)).collect(),
            ..ConsumerData::default()
        })
    }

    /// Remembers what the next poll tells.
    fn fail(&self, error: Error) {
        tracing::warn!("{error}");
        self.state.lock().failure.get_or_insert(error);
        self.arrived.notify_all();
    }

    /// Marks as closed; false if it was already.
    fn stop(&self) -> bool {
        let was_closed = std::mem::replace(&mut self.state.lock().closed, true);
        self.arrived.notify_all();
        !was_closed
    }

    fn leave(&self) {
        self.cluster.remove_consumer(self);
        if let Some(group) = self.group() {
            self.cluster.leave_group(None, Some(group));
        }
    }

    /// Where to pull next, how far is committed, and at which broker of the set; notes that a pull is under way.
    pub(super) fn begin_pull(&self, queue: &MessageQueue, token: u64) -> Option<(i64, i64, i64)> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let assigned = state.queues.get_mut(queue).filter(|assigned| assigned.token == token)?;
        assigned.pulling = Pulling::InFlight;
        Some((assigned.next, assigned.consumed, assigned.broker_id))
    }

    pub(super) fn note_pulled(&self, queue: &MessageQueue, token: u64, pulled: Result<Pulled>) -> Next {
        let mut state = self.state.lock();
        if state.closed {
            return Next::Wait;
        }
        let Some(assigned) = state.queues.get_mut(queue).filter(|assigned| assigned.token == token) else {
            return Next::Wait;
        };
        match pulled {
            Ok(pulled) => {
                if pulled.moved {
                    let (from, to) = (assigned.next, pulled.next);
                    tracing::warn!("{queue:?}: offset {from} is not in the queue any more; going on at {to}");
                }
                assigned.add(pulled);
                assigned.pulling = if assigned.has_room() { Pulling::InFlight } else { Pulling::Full };
                let next = if assigned.pulling == Pulling::Full { Next::Wait } else { Next::Pull };
                self.arrived.notify_all();
                next
            }
            Err(error) => {
                assigned.pulling = Pulling::At(self.cluster.now_ms() + retry_after(&error));
                drop(state);
                if passes(&error) {
                    tracing::debug!("{queue:?} is pulled again soon: {error}");
                } else {
                    self.fail(error);
                }
                Next::Retry
            }
        }
    }

    /// Pulls what was to be tried again by now; returns when the next is due, ms.
    pub(super) fn pull_due(self: &Arc<Self>) -> Option<i64> {
        let now = self.cluster.now_ms();
        let (mut due, mut next) = (Vec::new(), None::<i64>);
        for (queue, assigned) in &self.state.lock().queues {
            match assigned.pulling {
                Pulling::At(at) if at <= now => due.push((queue.clone(), assigned.token)),
                Pulling::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Pulling::InFlight | Pulling::Full => {}
            }
        }
        for (queue, token) in due {
            self.pull(&queue, token);
        }
        next
    }

    /// Queues whose committed offset the broker does not have.
    pub(super) fn unstored(&self) -> Vec<(MessageQueue, i64)> {
        if self.group().is_none() {
            return Vec::new();
        }
        let state = self.state.lock();
        let unstored = state.queues.iter().filter(|(_, assigned)| assigned.stored != Some(assigned.consumed));
        unstored.map(|(queue, assigned)| (queue.clone(), assigned.consumed)).collect()
    }

    pub(super) fn note_stored(&self, queue: &MessageQueue, offset: i64) {
        if let Some(assigned) = self.state.lock().queues.get_mut(queue) {
            assigned.stored = Some(offset);
        }
    }

    /// Takes over the queues that are this consumer's by now, and gives up those that are no more. Goes on after a
    /// failure and returns the first one.
    pub(super) fn rebalance(self: &Arc<Self>) -> Result<()> {
        let _one_at_a_time = self.rebalancing.lock();
        let mut result = Ok(());
        for subscription in self.subscriptions() {
            result = result.and(self.rebalance_topic(subscription.topic()));
        }
        self.state.lock().complete |= result.is_ok();
        self.arrived.notify_all();
        result
    }

    fn rebalance_topic(self: &Arc<Self>, topic: &str) -> Result<()> {
        let route = match self.cluster.route(topic) {
            // A retry topic comes into being with the group, and its route a little later.
            Err(error) if error.kind() == ErrorKind::NotFound && Some(topic) == self.retry_topic() => {
                return Ok(());
            }
            route => route?,
        };
        let mine = match self.group() {
            None => route.subscribe.clone(),
            Some(group) => {
                let me = self.cluster.client_id();
                let members = self.members(group, &route)?;
                if !members.iter().any(|member| member == me) {
                    // The broker was started anew, or did not get the first heartbeat.
                    self.cluster.send_heartbeats();
                    let context = format!("the broker does not know {me} as a member of {group} yet");
                    return Err(Error::new(ErrorKind::Connection, "join group", context));
                }
                share(&route.subscribe, &members, me)
            }
        };
        self.give_up_others(topic, &mine);
        let mut result = Ok(());
        for queue in mine {
            result = result.and(self.take_over(queue));
        }
        result
    }

    /// The client ids of a group.
    fn members(&self, group: &str, route: &Route) -> Result<Vec<String>> {
        let address = route.brokers.values().find_map(|set| set.get(&0).or_else(|| set.values().next()));
        let address = address.ok_or_else(|| {
            Error::new(
                ErrorKind::Connection,
                "ask for group",
                format!("{group}: no broker is there at present"),
            )
        })?;
        let request =
            Request::GetConsumerListByGroup(GetConsumerListByGroup { consumer_group: group.into() });
        let reply =
            self.cluster.net().call(address, &request, self.cluster.options().mq_client_api_timeout)?;
        if reply.code() == ResponseCode::SYSTEM_ERROR {
            // A group without members.
            return Ok(Vec::new());
        }
        let reply = succeeded("ask for group", reply)?;
        let body: GetConsumerListByGroupResponseBody = json::from_slice(&reply.body()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "ask for group", format!("{group} at {address}: {error}"))
        })?;
        Ok(body.consumer_id_list)
    }

    fn give_up_others(&self, topic: &str, mine: &[MessageQueue]) {
        let mut given_up = Vec::new();
        self.state.lock().queues.retain(|queue, assigned| {
            let keep = queue.topic != topic || mine.contains(queue);
            if !keep {
                given_up.push((queue.clone(), assigned.consumed, assigned.stored));
            }
            keep
        });
        for (queue, consumed, stored) in given_up {
            tracing::debug!("{queue:?} is given up at {consumed}");
            if stored != Some(consumed) {
                if let Err(error) = self.store_offset(&queue, consumed) {
                    tracing::warn!("the offset of {queue:?}, which is given up, is not stored: {error}");
                }
            }
        }
    }

    fn take_over(self: &Arc<Self>, queue: MessageQueue) -> Result<()> {
        if self.state.lock().queues.contains_key(&queue) {
            return Ok(());
        }
        let begin = self.begin(&queue)?;
        let token = {
            let mut state = self.state.lock();
            if state.closed {
                return Ok(());
            }
            state.tokens += 1;
            let token = state.tokens;
            tracing::debug!("{queue:?} is taken over at {}", begin.offset);
            state.queues.insert(queue.clone(), Assigned::new(token, &begin));
            token
        };
        self.pull(&queue, token);
        Ok(())
    }
}

/// Whether a failed pull is likely to succeed soon, so that the user need not know.
fn passes(error: &Error) -> bool {
    let busy = [ResponseCode::SYSTEM_ERROR, ResponseCode::SYSTEM_BUSY, ResponseCode::SERVICE_NOT_AVAILABLE];
    match error.code() {
        Some(code) => busy.contains(&ResponseCode(code)) || code == ResponseCode::GO_AWAY.0,
        None => matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connection | ErrorKind::Closed),
    }
}
