//! [`Consumer`]: is asked for messages.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll as Ready};
use std::time::Duration;

use bytes::Bytes;

use super::state::State;
use super::{Shared, Subscription};
use crate::client::allocate::Strategy;
use crate::client::Cluster;
use crate::clock::deadline_in;
use crate::config::ConsumerOptions;
use crate::message::StoredMessage;
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// Consumes a group's share of its topics' queues, or the queues it is told; without group all of them for itself.
///
/// What to consume is set with [`Consumer::subscribe`] (the group's members share the queues) or [`Consumer::assign`]
/// (the queues are named); the first poll starts it.
///
/// At least once: messages count as consumed when [`Consumer::commit`] is called after the [`Consumer::poll`] that
/// returned them. With `autoCommit`, the default, each poll commits what the polls before it returned, and so does
/// [`Consumer::close`]. What was not committed when a consumer ends comes again, to this group's other members or later.
///
/// May be shared by threads; a commit then covers what all of them have polled, so several threads commit for
/// themselves. Dropping it closes it, and commits nothing more.
#[doc(alias = "DefaultLitePullConsumer")]
#[derive(Clone)]
pub struct Consumer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl Consumer {
    /// A consumer that does nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a group's name that brokers do not take, or broadcasting without group.
    pub fn new(cluster: &Arc<Cluster>, options: ConsumerOptions) -> Result<Consumer> {
        Ok(Consumer { handle: Arc::new(Handle { shared: Shared::new(cluster, options, None)? }) })
    }

    /// A consumer that has joined its group and begun to fetch. All topics must exist.
    ///
    /// # Errors
    /// As [`Consumer::new`], [`Consumer::subscribe_to`] and [`Consumer::start`].
    pub fn join(
        cluster: &Arc<Cluster>,
        options: ConsumerOptions,
        subscriptions: Vec<Subscription>,
    ) -> Result<Consumer> {
        let consumer = Consumer::new(cluster, options)?;
        for subscription in subscriptions {
            consumer.subscribe_to(subscription)?;
        }
        consumer.start()?;
        Ok(consumer)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Consumes a topic: `*` for all of it, or `TagA || TagB`. Replaces what was wanted of the topic before. May be called
    /// before the start and after. All members of a group must subscribe to the same.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an expression that names no tag, or after [`Consumer::assign`].
    pub fn subscribe(&self, topic: &str, expression: &str) -> Result<()> {
        self.subscribe_to(Subscription::tags(topic, expression)?)
    }

    /// As [`Consumer::subscribe`], also with an SQL92 expression.
    ///
    /// # Errors
    /// Also if the consumer runs and a broker refuses the expression, with its reason.
    pub fn subscribe_to(&self, subscription: Subscription) -> Result<()> {
        self.shared().cluster.check_process()?;
        if self.shared().wanted.lock().queues.is_some() {
            return Err(Error::new(ErrorKind::InvalidArgument, "subscribe", EITHER));
        }
        self.shared().subscribe(subscription)
    }

    /// Does not consume a topic any more.
    pub fn unsubscribe(&self, topic: &str) {
        self.shared().unsubscribe(topic);
    }

    /// How the group's members share the queues, in place of what the options say. All members need the same.
    #[doc(alias = "setAllocateMessageQueueStrategy")]
    pub fn allocate_by(&self, strategy: Strategy) {
        self.shared().allocate_by(strategy);
    }

    /// Consumes exactly these queues, all messages of them, whoever else has them; replaces those of an earlier call. With
    /// a group it begins where the group has stored its progress, and stores it there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] after [`Consumer::subscribe`].
    pub fn assign(&self, queues: &[MessageQueue]) -> Result<()> {
        self.shared().assign(queues)
    }

    /// Joins the group and begins to fetch, as the first poll would. A second call does nothing.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidArgument`] if there is nothing to consume, or this client has a consumer of the group
    ///   already;
    /// - [`ErrorKind::NotFound`] if a topic does not exist;
    /// - [`ErrorKind::Connection`] if no name server answers.
    pub fn start(&self) -> Result<()> {
        self.shared().cluster.check_process()?;
        if self.shared().state.lock().closed {
            return Err(Error::new(ErrorKind::Closed, "start consumer", "the consumer was closed"));
        }
        if !self.shared().wants_something() {
            let context = "there is nothing to consume: call subscribe or assign before";
            return Err(Error::new(ErrorKind::InvalidArgument, "start consumer", context));
        }
        self.shared().start(true)
    }

    /// The next messages, all of one queue, in their order, at most `pollBatch`; none if none came within `timeout`.
    ///
    /// # Errors
    /// As [`Consumer::start`] at the first call. Later errors do not end the consumer: each tells once what went wrong (a
    /// permission that was taken away, a message that cannot be read and was passed over), and the next call goes on.
    /// [`ErrorKind::Closed`] after the end.
    pub fn poll(&self, timeout: Duration) -> Result<Vec<StoredMessage>> {
        self.poll_at_most(self.shared().options.poll_batch, timeout)
    }

    /// As [`Consumer::poll`], but with this limit instead of the option's.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub fn poll_at_most(&self, count: usize, timeout: Duration) -> Result<Vec<StoredMessage>> {
        let shared = self.shared();
        self.before_poll()?;
        let deadline = deadline_in(timeout);
        let mut state = shared.state.lock();
        let taken = loop {
            if let Some(taken) = shared.take(&mut state, count) {
                break taken?;
            }
            state.waiting += 1;
            let waited = shared.arrived.wait_until(&mut state, deadline);
            state.waiting -= 1;
            if waited.timed_out() {
                // What came at the last moment: who is told of messages when there were none is not told again.
                let Some(taken) = shared.take(&mut state, count) else {
                    shared.note_taken(&mut state);
                    return Ok(Vec::new());
                };
                break taken?;
            }
        };
        drop(state);
        Ok(shared.deliver(taken))
    }

    /// As [`Consumer::poll`] for any executor: ready when there are messages, however long that takes. Dropped before, no
    /// message is lost.
    pub fn poll_async(&self) -> Poll {
        self.poll_async_at_most(self.shared().options.poll_batch)
    }

    /// As [`Consumer::poll_async`], but with this limit instead of the option's.
    pub fn poll_async_at_most(&self, count: usize) -> Poll {
        Poll { consumer: self.clone(), count, number: None }
    }

    /// Has `callback` called on a thread of the client whenever a poll would not wait any more: messages have come while
    /// there were none, something is to be told, or the consumer was closed. It is called once until the polls have
    /// emptied what there is, so poll until nothing comes. For programs with an event loop: let it write to a descriptor
    /// that the loop watches, or wake the loop. It replaces the one before. The consumer has to be started.
    ///
    /// It must not block, as sends' callbacks wait for it. It holds what it owns until the consumer is closed, so let it
    /// not own the consumer. After [`Consumer::close`] has returned it does not run any more.
    pub fn on_ready(&self, callback: impl Fn() + Send + Sync + 'static) {
        if !self.shared().is_forked() {
            self.shared().on_ready(Box::new(callback));
        }
    }

    pub(super) fn start_if_needed(&self) -> Result<()> {
        self.shared().cluster.check_process()?;
        let is_started = self.shared().state.lock().started;
        if is_started {
            return Ok(());
        }
        self.start()
    }

    fn before_poll(&self) -> Result<()> {
        self.start_if_needed()?;
        if self.shared().options.auto_commit {
            self.commit();
        }
        Ok(())
    }

    /// All messages that were polled so far are consumed. Brokers are told within seconds (`autoCommitIntervalMillis`);
    /// [`Consumer::flush`] tells them at once.
    #[doc(alias = "commitSync")]
    pub fn commit(&self) {
        self.shared().commit();
    }

    /// What is before `offset` in a queue is consumed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the queue is not this consumer's.
    pub fn commit_queue(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        self.shared().cluster.check_process()?;
        let queue = self.shared().wire_queue(queue);
        let mut state = self.shared().state.lock();
        let assigned = state.queues.get_mut(&queue).ok_or_else(|| Shared::not_mine("commit", &queue))?;
        assigned.consumed = offset;
        Ok(())
    }

    /// Stores what was committed, and waits until it is.
    ///
    /// # Errors
    /// What kept it from being stored; it is tried again within seconds.
    pub fn flush(&self) -> Result<()> {
        self.shared().cluster.check_process()?;
        self.shared().persist()
    }

    /// How far the group has come in a queue, as it is stored; `None` if it has not consumed there yet.
    ///
    /// # Errors
    /// If the broker does not answer.
    pub fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        let queue = self.shared().wire_queue(queue);
        self.shared().cluster.route(&queue.topic)?;
        self.shared().stored_offset(&queue)
    }

    /// Whether everything has been polled that the queues held when they were last heard of. False before the queues
    /// are known.
    pub fn is_caught_up(&self) -> bool {
        if self.shared().is_forked() {
            return false;
        }
        let state = self.shared().state.lock();
        // An offset beyond the end is one that the next pull puts right.
        state.complete && state.queues.values().all(|one| one.is_empty() && one.next == one.bounds.1)
    }

    /// The queues that are this consumer's at present.
    #[doc(alias = "assignment")]
    pub fn queues(&self) -> Vec<MessageQueue> {
        self.shared().own_queues()
    }

    /// All queues of a topic, to be chosen from for [`Consumer::assign`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the topic does not exist.
    #[doc(alias = "fetchMessageQueues")]
    pub fn topic_queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        let shared = self.shared();
        let route = shared.cluster.route(&shared.cluster.namespace().wrap(topic))?;
        Ok(route.subscribe.iter().map(|queue| shared.own_queue(queue)).collect())
    }

    /// The group; `None` if it consumes for itself.
    pub fn group(&self) -> Option<&str> {
        self.shared().own_group.as_deref()
    }

    /// As [`Consumer::close_within`] with `awaitTerminationMillisWhenShutdown`.
    ///
    /// # Errors
    /// As [`Consumer::close_within`].
    #[doc(alias = "shutdown")]
    pub fn close(&self) -> Result<()> {
        self.close_within(self.shared().options.await_termination_millis_when_shutdown)
    }

    /// Stores what was committed (with `autoCommit` all that was polled) and leaves the group. Polls that wait end with
    /// [`ErrorKind::Closed`]. A second call does nothing.
    ///
    /// # Errors
    /// What kept the offsets from being stored: messages may come again.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        self.shared().close_within(limit)
    }

    /// As [`Consumer::close`], but commits nothing more, also with `autoCommit`: for who failed at what was polled last,
    /// which comes again then. Dropping a consumer does the same.
    pub fn abandon(&self) {
        self.shared().abandon(self.shared().options.await_termination_millis_when_shutdown);
    }
}

/// What is wrong with mixing the two ways.
pub(super) const EITHER: &str =
    "a consumer either subscribes to topics or is assigned queues; make another one";

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon(self.shared.options.await_termination_millis_when_shutdown);
    }
}

/// Messages that were taken out, and the queue's token for the next pull if it rested.
pub(super) struct Taken {
    queue: MessageQueue,
    records: Vec<(i64, Bytes)>,
    resumed: Option<u64>,
}

impl Shared {
    /// All that was polled is consumed.
    pub(super) fn commit(&self) {
        if self.is_forked() {
            return;
        }
        for assigned in self.state.lock().queues.values_mut() {
            assigned.consumed = assigned.delivered;
        }
    }

    /// What a poll returns at once; `None` if it has to wait.
    fn take(&self, state: &mut State, count: usize) -> Option<Result<Taken>> {
        if state.closed {
            return Some(Err(Error::new(ErrorKind::Closed, "poll", "the consumer was closed")));
        }
        if let Some(error) = state.failure.take() {
            self.note_taken(state);
            return Some(Err(error));
        }
        let queue = state.in_turn(|_, _| true)?;
        let room = self.room(state, &queue.topic);
        state.taken(&queue);
        let assigned = state.queues.get_mut(&queue)?;
        let records = assigned.poll(count.max(1));
        assigned.last_consume = self.cluster.now_ms();
        let resumed = assigned.resume(room);
        self.note_taken(state);
        Some(Ok(Taken { queue, records, resumed }))
    }

    /// Makes the user's messages of what was taken, and goes on fetching.
    fn deliver(self: &Arc<Self>, taken: Taken) -> Vec<StoredMessage> {
        let Taken { queue, records, resumed } = taken;
        if let Some(token) = resumed {
            self.pull(&queue, token);
        }
        let common = self.common(&queue);
        let read = records.into_iter().map(|(_, record)| self.message(&common, record, 0));
        let messages: Vec<StoredMessage> =
            read.filter_map(|message| message.map_err(|error| self.fail(error)).ok()).collect();
        if !messages.is_empty() {
            self.stats.consumed(&queue.topic, messages.len(), messages.len(), Duration::ZERO);
        }
        messages
    }
}

/// A poll that is waited for by an executor.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Poll {
    consumer: Consumer,
    count: usize,
    /// Its place among those that wait, once it has begun.
    number: Option<u64>,
}

impl Future for Poll {
    type Output = Result<Vec<StoredMessage>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Ready<Self::Output> {
        let begun = self.number;
        match begun {
            None => self.consumer.before_poll()?,
            Some(_) => self.consumer.shared().cluster.check_process()?,
        }
        let shared = self.consumer.shared().clone();
        let waker = context.waker().clone();
        let mut state = shared.state.lock();
        let number = begun.unwrap_or_else(|| state.token());
        let (taken, earlier) = match shared.take(&mut state, self.count) {
            Some(taken) => (Some(taken), state.wakers.remove(&number)),
            None => (None, state.wakers.insert(number, waker)),
        };
        shared.note_taken(&mut state);
        drop(state);
        // Not under the lock: a waker may own what polls, and end it.
        drop(earlier);
        self.number = Some(number);
        match taken {
            Some(taken) => Ready::Ready(taken.map(|taken| shared.deliver(taken))),
            None => Ready::Pending,
        }
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let shared = self.consumer.shared();
        let Some(number) = self.number.filter(|_| shared.cluster.check_process().is_ok()) else { return };
        let waker = shared.state.lock().wakers.remove(&number);
        drop(waker);
    }
}
