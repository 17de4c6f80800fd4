//! [`PushConsumer`]: calls a listener with what arrives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::context::{Action, ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus};
use super::frame::Frame;
use super::threads::Batch;
use super::{Shared, Subscription};
use crate::client::allocate::Strategy;
use crate::client::Cluster;
use crate::config::ConsumerOptions;
use crate::message::StoredMessage;
use crate::sync::Mutex;
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// What a push consumer has beyond a [`Shared`].
#[derive(Default)]
pub(super) struct Push {
    /// Gone when the consumer has ended.
    listener: Mutex<Option<Arc<Listener>>>,
    orderly: AtomicBool,
    /// Whether the listener answers for single messages.
    single: AtomicBool,
    /// What calls are made within.
    frame: OnceLock<Box<Frame>>,
}

type Concurrent = dyn Fn(&[StoredMessage], &ConsumeContext) -> ConsumeStatus + Send + Sync;
type Orderly = dyn Fn(&[StoredMessage], &OrderlyContext) -> OrderlyStatus + Send + Sync;

/// The user's function.
pub(super) enum Listener {
    Concurrent(Box<Concurrent>),
    Orderly(Box<Orderly>),
}

impl Push {
    pub fn is_orderly(&self) -> bool {
        self.orderly.load(Ordering::Relaxed)
    }

    /// Whether the listener gets one message a call, whatever the options say.
    pub fn is_single(&self) -> bool {
        self.single.load(Ordering::Relaxed)
    }

    pub fn listener(&self) -> Option<Arc<Listener>> {
        self.listener.lock().clone()
    }

    /// False if there is one already.
    fn set_listener(&self, listener: Listener, single: bool) -> bool {
        let mut slot = self.listener.lock();
        if slot.is_some() {
            return false;
        }
        self.orderly.store(matches!(listener, Listener::Orderly(_)), Ordering::Relaxed);
        self.single.store(single, Ordering::Relaxed);
        *slot = Some(Arc::new(listener));
        true
    }

    pub fn forget_listener(&self) {
        let listener = self.listener.lock().take();
        // Not under the lock: what the user's function holds is dropped with it.
        drop(listener);
    }
}

/// A member of a group whose listener is called with the messages of the member's share of the queues, as they arrive.
///
/// Set it up with [`PushConsumer::subscribe`] and one of `listen`, `listen_orderly` and `listen_one`, then
/// [`PushConsumer::start`] it. The listener runs on threads of the consumer, up to `consumeThreadMin` at a time, and may
/// use anything of this library, also close its consumer.
///
/// At least once: a message is done when the listener said so. What was not done when a consumer ends or fails comes
/// again, here or at another member; so a listener should recognise what it has done before. A listener that panics
/// counts as one that answers "later"; the panic is logged and ends nothing.
///
/// Dropping it closes it and waits as [`PushConsumer::close`] does.
#[doc(alias = "DefaultMQPushConsumer")]
#[derive(Clone)]
pub struct PushConsumer {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

impl PushConsumer {
    /// A consumer of the group that `options` name, which does nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] without a group, or for a name of one that brokers do not take.
    pub fn new(cluster: &Arc<Cluster>, options: ConsumerOptions) -> Result<PushConsumer> {
        let shared = Shared::new(cluster, options, Some(Push::default()))?;
        Ok(PushConsumer { handle: Arc::new(Handle { shared }) })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Consumes a topic: `*` for all of it, or `TagA || TagB`. Replaces what was wanted of the topic before. May be called
    /// before the start and after. All members of a group must subscribe to the same.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for an expression that names no tag.
    pub fn subscribe(&self, topic: &str, expression: &str) -> Result<()> {
        self.subscribe_to(Subscription::tags(topic, expression)?)
    }

    /// As [`PushConsumer::subscribe`], also with an SQL92 expression.
    ///
    /// # Errors
    /// If the consumer runs and a broker refuses the expression, with its reason.
    pub fn subscribe_to(&self, subscription: Subscription) -> Result<()> {
        self.shared().subscribe(subscription)
    }

    /// Does not consume a topic any more.
    pub fn unsubscribe(&self, topic: &str) {
        self.shared().unsubscribe(topic);
    }

    /// The listener, called with up to `consumeMessageBatchMaxSize` messages of one queue at a time and several times at
    /// once, in no order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is one already.
    #[doc(alias = "registerMessageListener")]
    #[doc(alias = "MessageListenerConcurrently")]
    pub fn listen(
        &self,
        listener: impl Fn(&[StoredMessage], &ConsumeContext) -> ConsumeStatus + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_listener(Listener::Concurrent(Box::new(listener)), false)
    }

    /// The listener for one message at a time; `consumeMessageBatchMaxSize` does not count.
    ///
    /// # Errors
    /// As [`PushConsumer::listen`].
    pub fn listen_one(
        &self,
        listener: impl Fn(&StoredMessage, &ConsumeContext) -> Action + Send + Sync + 'static,
    ) -> Result<()> {
        let listener = move |messages: &[StoredMessage], context: &ConsumeContext| match messages
            .iter()
            .all(|message| listener(message, context) == Action::Commit)
        {
            true => ConsumeStatus::Success,
            false => ConsumeStatus::Later,
        };
        // In batches of one, or what is said of one message would be said of its neighbours.
        self.set_listener(Listener::Concurrent(Box::new(listener)), true)
    }

    /// The listener for ordered consumption: of each queue one call at a time, in the order of the queue. A message that
    /// is not consumed holds up its queue and comes again.
    ///
    /// # Errors
    /// As [`PushConsumer::listen`].
    #[doc(alias = "MessageListenerOrderly")]
    pub fn listen_orderly(
        &self,
        listener: impl Fn(&[StoredMessage], &OrderlyContext) -> OrderlyStatus + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_listener(Listener::Orderly(Box::new(listener)), false)
    }

    /// Has calls of a concurrent listener made within `frame`, several one after the other while messages are at hand: for
    /// languages whose interpreter is costly to enter and lets one thread run at a time. `frame` calls what it gets once,
    /// on the same thread, and returns; when it does not, the listener is called without it. What is done within besides
    /// the calls waits for nobody. While calls take less than 0.2 ms on average, one thread makes them, and others
    /// only when one takes longer than a millisecond. The first frame stays.
    pub fn call_within(&self, frame: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) {
        if let Some(push) = &self.shared().push {
            // A second one is not taken.
            let _ = push.frame.set(Box::new(frame));
        }
    }

    fn set_listener(&self, listener: Listener, single: bool) -> Result<()> {
        self.shared().cluster.check_process()?;
        if self.shared().push.as_ref().is_some_and(|push| push.set_listener(listener, single)) {
            return Ok(());
        }
        let context = format!("the consumer of group {} has a listener already", self.group());
        Err(Error::new(ErrorKind::InvalidArgument, "set listener", context))
    }

    /// How the group's members share the queues, in place of what the options say. All members need the same.
    #[doc(alias = "setAllocateMessageQueueStrategy")]
    pub fn allocate_by(&self, strategy: Strategy) {
        self.shared().allocate_by(strategy);
    }

    /// Joins the group and begins to consume. A topic that does not exist yet is consumed once it does. A second call
    /// does nothing.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidArgument`] without a listener, without a subscription, or if this client has a consumer of
    ///   the group already;
    /// - [`ErrorKind::Connection`] if no name server answers;
    /// - what kept it from sharing the queues, if trying again would not help.
    ///
    /// Nothing of it stays then, and it may be started again.
    pub fn start(&self) -> Result<()> {
        let shared = self.shared();
        shared.cluster.check_process()?;
        if shared.state.lock().closed {
            return Err(Error::new(ErrorKind::Closed, "start consumer", "the consumer was closed"));
        }
        let wrong = |what: &str| {
            let context = format!("the consumer of group {} {what}", self.group());
            Err(Error::new(ErrorKind::InvalidArgument, "start consumer", context))
        };
        if shared.push.as_ref().and_then(Push::listener).is_none() {
            return wrong("has no listener: call listen, listen_orderly or listen_one before start");
        }
        if !shared.wants_something() {
            return wrong("has nothing to consume: call subscribe before start");
        }
        shared.start(false)
    }

    /// Pauses: nothing is fetched and the listener is not called until [`PushConsumer::resume`]. Calls that run go on.
    pub fn suspend(&self) {
        self.shared().suspend(true);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.shared().suspend(false);
    }

    /// Whether it was paused.
    #[doc(alias = "isPause")]
    pub fn is_suspended(&self) -> bool {
        !self.shared().is_forked() && self.shared().state.lock().suspended
    }

    /// Changes how many calls of the listener run at a time: from 1 to `consumeThreadMax`, what is beyond is cut.
    #[doc(alias = "updateCorePoolSize")]
    pub fn update_threads(&self, count: usize) {
        let shared = self.shared();
        if shared.is_forked() {
            return;
        }
        shared.resize(count.clamp(1, shared.options.consume_thread_max.max(1)));
    }

    /// The queues that are this consumer's at present.
    #[doc(alias = "fetchSubscribeMessageQueues")]
    pub fn queues(&self) -> Vec<MessageQueue> {
        self.shared().own_queues()
    }

    /// The group.
    pub fn group(&self) -> &str {
        self.shared().own_group()
    }

    /// Ends it, waiting for running listeners as long as `awaitTerminationMillisWhenShutdown` says; see
    /// [`PushConsumer::close_within`].
    ///
    /// # Errors
    /// As [`PushConsumer::close_within`].
    #[doc(alias = "shutdown")]
    pub fn close(&self) -> Result<()> {
        self.close_within(self.shared().options.await_termination_millis_when_shutdown)
    }

    /// Fetches nothing more, waits for running listeners, stores offsets, gives back locks and leaves the group. When it
    /// returns, the listener is not called any more. A second call does nothing.
    ///
    /// Called by the listener itself it returns at once, and all of this happens when the listener has returned.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`] if a listener still runs after `limit`: the group is left, what that listener holds comes
    ///   again elsewhere, and nothing follows when it returns;
    /// - what kept the offsets from being stored: messages may come again.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        self.shared().close_within(limit)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.abandon(self.shared.options.await_termination_millis_when_shutdown);
    }
}

impl Shared {
    /// Calls the listener with a batch, and notes what became of it.
    pub(super) fn consume(self: &Arc<Self>, batch: Batch) {
        match self.push.as_ref().and_then(Push::listener).as_deref() {
            Some(Listener::Concurrent(listener)) => {
                match self.push.as_ref().and_then(|push| push.frame.get()) {
                    Some(frame) => self.consume_in(frame, batch, listener),
                    None => self.consume_concurrently(batch, listener),
                }
            }
            Some(Listener::Orderly(listener)) => self.consume_orderly(batch, listener),
            None => {}
        }
    }

    pub(super) fn suspend(self: &Arc<Self>, suspended: bool) {
        if self.is_forked() {
            return;
        }
        let mut state = self.state.lock();
        state.suspended = suspended;
        if suspended {
            return;
        }
        self.wake_thread(state);
        self.resume_pulls();
        self.cluster.signal.tick();
    }

    pub(super) fn subscribe(self: &Arc<Self>, subscription: Subscription) -> Result<()> {
        self.cluster.check_process()?;
        let is_running = {
            let state = self.state.lock();
            if state.closed {
                return Err(Error::new(ErrorKind::Closed, "subscribe", "the consumer was closed"));
            }
            state.started
        };
        let topic = self.cluster.namespace().wrap(subscription.topic()).into_owned();
        let subscription = subscription.named(topic.as_str());
        if is_running && subscription.is_sql() {
            self.check(&subscription)?;
        }
        let version = self.cluster.now_ms();
        self.wanted.lock().topics.insert(topic, (Arc::new(subscription), version));
        self.share_anew();
        Ok(())
    }

    pub(super) fn unsubscribe(self: &Arc<Self>, topic: &str) {
        if self.is_forked() {
            return;
        }
        {
            let (mut wanted, topic) = (self.wanted.lock(), self.cluster.namespace().wrap(topic));
            wanted.topics.remove(topic.as_ref());
            wanted.found.remove(topic.as_ref());
        }
        self.share_anew();
    }

    pub(super) fn allocate_by(&self, strategy: Strategy) {
        if self.is_forked() {
            return;
        }
        *self.strategy.lock() = strategy;
        self.share_anew();
    }

    /// Tells brokers of what is wanted now, and shares the queues accordingly, soon.
    pub(super) fn share_anew(&self) {
        if self.state.lock().started {
            self.cluster.signal.introduce();
            self.cluster.signal.rebalance();
        }
    }

    /// Whether the user named a topic or a queue.
    pub(super) fn wants_something(&self) -> bool {
        let wanted = self.wanted.lock();
        let own = wanted.topics.keys().any(|topic| Some(topic) != self.retry_topic.as_ref());
        own || wanted.queues.is_some()
    }

    /// Joins the group; with `strict` all topics must exist.
    pub(super) fn start(self: &Arc<Self>, strict: bool) -> Result<()> {
        self.cluster.check_open()?;
        if self.state.lock().started {
            return Ok(());
        }
        let once = self.rebalancing.lock();
        {
            let state = self.state.lock();
            if state.closed {
                return Err(Error::new(ErrorKind::Closed, "start consumer", "the consumer was closed"));
            }
            if state.started {
                return Ok(());
            }
        }
        for topic in self.topics() {
            if Some(&topic) == self.retry_topic.as_ref() {
                continue;
            }
            match self.cluster.route(&topic) {
                Err(error) if error.kind() == ErrorKind::NotFound && !strict => {
                    self.note_found(&topic, &[]);
                    tracing::warn!("{error}");
                }
                route => drop(route?),
            }
            if let Some(subscription) = self.subscription(&topic).filter(|one| one.is_sql()) {
                self.check(&subscription)?;
            }
        }
        self.cluster.add_consumer(self)?;
        {
            let mut state = self.state.lock();
            if state.closed {
                // Meanwhile; who closed it found nothing to leave.
                drop((state, once));
                self.cluster.remove_consumer(self);
                if let Some(group) = self.group() {
                    // A heartbeat may have told of it already.
                    self.cluster.leave_group(None, Some(group));
                }
                return Err(Error::new(ErrorKind::Closed, "start consumer", "the consumer was closed"));
            }
            state.started = true;
        }
        drop(once);
        self.cluster.signal.tick();
        if self.group().is_some() {
            self.cluster.send_heartbeats();
        }
        match self.rebalance() {
            // Its own listener may have closed it by now, and the client with it: then it had started.
            Err(error) if self.state.lock().closed => {
                tracing::debug!("closed while it started: {error}");
                Ok(())
            }
            Err(error) if !error.is_retriable() && !self.passes_later(&error) => {
                self.undo_start();
                Err(error)
            }
            // The worker goes on trying.
            _ => Ok(()),
        }
    }

    /// Whether an error of the first rebalance is of a topic that does not exist yet.
    fn passes_later(&self, error: &Error) -> bool {
        self.push.is_some() && error.kind() == ErrorKind::NotFound
    }
}
