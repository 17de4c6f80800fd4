//! Consumers: members of a group that share its queues, fetch ahead, hand out, and store how far the group has come.
//!
//! [`PushConsumer`] calls a listener on threads of its own, [`Consumer`] is asked for messages. Both are a [`Shared`]:
//! subscriptions, the share of the queues (`rebalance`), what was fetched of each ([`assigned`], `fetch`), and offsets.
//! Who does what: answers of brokers arrive on event loops, which only note and wake; the client's worker shares the
//! queues anew and stores offsets, and may wait for brokers; its timer pulls again, wakes what rested, and renews
//! locks, and never waits; listeners run on the consumer's threads with no lock held.

mod answers;
mod assigned;
mod check;
mod concurrent;
mod context;
mod fetch;
mod frame;
mod locks;
mod members;
mod offsets;
mod one_pull;
mod orderly;
mod pull;
mod push;
pub(in crate::client) mod pushes;
mod ready;
mod rebalance;
mod reset;
mod seek;
mod send_back;
mod shutdown;
mod state;
mod stats;
mod subscription;
mod threads;
mod timer;
mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::members::Oddities;
use self::offsets::Store;
use self::push::Push;
use self::state::State;
use self::stats::Stats;
use super::allocate::Strategy;
use super::group::check_group;
use super::tracer::Tracer;
use super::Cluster;
use crate::config::{ConsumerOptions, MessageModel};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wire::body::{ConsumerData, MessageQueue};
use crate::{Error, ErrorKind, Result};

pub use context::{Action, ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus};
pub use one_pull::{PullStatus, Pulled};
pub use pull::{Consumer, Poll};
pub use push::PushConsumer;
pub use subscription::Subscription;

/// Topics of messages that a group sent back begin with this.
const RETRY_PREFIX: &str = "%RETRY%";

/// What the pulls, the threads, the worker and the user's handle of a consumer share.
pub(in crate::client) struct Shared {
    cluster: Arc<Cluster>,
    options: ConsumerOptions,
    /// The group as the user calls it, without namespace.
    own_group: Option<String>,
    retry_topic: Option<String>,
    wanted: Mutex<Wanted>,
    strategy: Mutex<Strategy>,
    store: Store,
    /// Held from looking at offsets until they are stored, so that no earlier one is stored after a later one.
    storing: Mutex<()>,
    stats: Stats,
    oddities: Mutex<Oddities>,
    tracer: Option<Tracer>,
    started_ms: i64,
    /// Held while queues are given out anew, by the starting thread or the worker.
    rebalancing: Mutex<()>,
    state: Mutex<State>,
    /// There is something to hand out, or the consumer was closed.
    arrived: Condvar,
    /// A listener has returned, or a thread has ended.
    ended: Condvar,
    /// Held while the consumer leaves; true once it has left.
    left: Mutex<bool>,
    /// What a push consumer has more.
    push: Option<Push>,
}

/// What is to be consumed.
#[derive(Default)]
struct Wanted {
    /// By topic, with the time of subscribing, ms.
    topics: BTreeMap<String, (Arc<Subscription>, i64)>,
    /// The queues that the user named; then no others are consumed.
    queues: Option<Vec<MessageQueue>>,
    /// What there was of each topic when it was first looked for.
    found: BTreeMap<String, Found>,
}

/// The queues that a topic had at a time, ms.
struct Found {
    queues: BTreeSet<MessageQueue>,
    at: i64,
}

impl Shared {
    fn new(cluster: &Arc<Cluster>, mut options: ConsumerOptions, push: Option<Push>) -> Result<Arc<Shared>> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidArgument, "join group", what));
        let broadcasting = options.message_model == MessageModel::Broadcasting;
        match options.consumer_group.as_deref() {
            Some(group) => check_group("join group", group)?,
            None if push.is_some() => return wrong("a push consumer needs a group: set consumerGroup"),
            None if broadcasting => return wrong("broadcasting needs a group: set consumerGroup"),
            _ => {}
        }
        let own_group = options.consumer_group.clone();
        // From here on names are those of the wire.
        options.consumer_group = own_group.as_ref().map(|group| cluster.namespace().wrap(group).into_owned());
        let group = options.consumer_group.as_ref().filter(|_| !broadcasting);
        let retry_topic = group.map(|group| format!("{RETRY_PREFIX}{group}"));
        let mut wanted = Wanted::default();
        if let Some(topic) = &retry_topic {
            let all = Arc::new(Subscription::all(topic.as_str()));
            wanted.topics.insert(topic.clone(), (all, cluster.now_ms()));
        }
        Ok(Arc::new(Shared {
            store: Store::new(&options, &cluster.offset_dir(&options), cluster.lasting_id())?,
            tracer: push.as_ref().and_then(|_| traces::tracer(cluster, &options)),
            own_group,
            cluster: cluster.clone(),
            retry_topic,
            wanted: Mutex::new(wanted),
            strategy: Mutex::new(Strategy::from_options(cluster.options(), &options)),
            stats: Stats::new(cluster.options().clock.clone()),
            storing: Mutex::default(),
            oddities: Mutex::default(),
            started_ms: cluster.now_ms(),
            rebalancing: Mutex::default(),
            state: Mutex::new(State::new(&options)),
            arrived: Condvar::new(),
            ended: Condvar::new(),
            left: Mutex::new(false),
            push,
            options,
        }))
    }

    /// The group's name; `None` for a consumer for itself.
    pub(in crate::client) fn group(&self) -> Option<&str> {
        self.options.consumer_group.as_deref()
    }

    fn own_group(&self) -> &str {
        self.own_group.as_deref().unwrap_or_default()
    }

    /// A queue as the wire calls it.
    fn wire_queue(&self, queue: &MessageQueue) -> MessageQueue {
        MessageQueue { topic: self.cluster.namespace().wrap(&queue.topic).into_owned(), ..queue.clone() }
    }

    /// A queue as the user calls it.
    fn own_queue(&self, queue: &MessageQueue) -> MessageQueue {
        match self.cluster.namespace().name() {
            None => queue.clone(),
            Some(_) => MessageQueue {
                topic: self.cluster.namespace().unwrap(&queue.topic).into_owned(),
                ..queue.clone()
            },
        }
    }

    /// The queues that are this consumer's at present, as the user calls them; without those of the retry topic, which
    /// users need not know of.
    fn own_queues(&self) -> Vec<MessageQueue> {
        if self.is_forked() {
            return Vec::new();
        }
        let state = self.state.lock();
        let queues = state.queues.keys().filter(|queue| Some(&queue.topic) != self.retry_topic.as_ref());
        queues.map(|queue| self.own_queue(queue)).collect()
    }

    /// Whether this is a child of the process that the consumer runs in: threads that are not here may hold its locks.
    fn is_forked(&self) -> bool {
        self.cluster.check_process().is_err()
    }

    fn broadcasts(&self) -> bool {
        self.options.message_model == MessageModel::Broadcasting
    }

    fn orderly(&self) -> bool {
        self.push.as_ref().is_some_and(Push::is_orderly)
    }

    /// Whether queues must be locked at their brokers.
    fn locks_queues(&self) -> bool {
        self.orderly() && !self.broadcasts()
    }

    /// What is wanted of a topic.
    fn subscription(&self, topic: &str) -> Option<Arc<Subscription>> {
        self.wanted.lock().topics.get(topic).map(|(subscription, _)| subscription.clone())
    }

    /// When the topic was subscribed to, ms.
    fn version(&self, topic: &str) -> i64 {
        self.wanted.lock().topics.get(topic).map_or(0, |(_, version)| *version)
    }

    /// Notes the queues of a topic, if this is the first look at it.
    fn note_found(&self, topic: &str, queues: &[MessageQueue]) {
        let mut wanted = self.wanted.lock();
        if wanted.topics.contains_key(topic) && !wanted.found.contains_key(topic) {
            let found = Found { queues: queues.iter().cloned().collect(), at: self.cluster.now_ms() };
            wanted.found.insert(topic.to_owned(), found);
        }
    }

    /// For a queue that was not there when its topic was first looked for: when that was, ms.
    fn missed(&self, queue: &MessageQueue) -> Option<i64> {
        let wanted = self.wanted.lock();
        let found = wanted.found.get(&queue.topic)?;
        (!found.queues.contains(queue)).then_some(found.at)
    }

    fn topics(&self) -> Vec<String> {
        self.wanted.lock().topics.keys().cloned().collect()
    }

    /// For heartbeats; `None` without group.
    pub(in crate::client) fn describe(&self) -> Option<ConsumerData> {
        let topics = self.wanted.lock();
        let subscriptions = topics.topics.values().map(|(subscription, version)| subscription.data(*version));
        Some(ConsumerData {
            group_name: self.group()?.into(),
            consume_type: self.consume_type().into(),
            message_model: self.options.message_model.word().into(),
            consume_from_where: self.options.consume_from_where.word().into(),
            subscription_data_set: subscriptions.collect(),
            unit_mode: self.cluster.options().unit_mode,
        })
    }

    fn consume_type(&self) -> &'static str {
        match self.push {
            Some(_) => "CONSUME_PASSIVELY",
            None => "CONSUME_ACTIVELY",
        }
    }

    /// Remembers what the next poll tells; a push consumer has only the log.
    fn fail(&self, error: Error) {
        tracing::warn!("{error}");
        let mut state = self.state.lock();
        if self.push.is_none() {
            state.failure.get_or_insert(error);
            self.wake_polls(state);
        }
    }

    /// Tells who hands out that there is something.
    fn announce(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        match self.push {
            Some(_) => self.wake_thread(state),
            None => self.wake_polls(state),
        }
    }

    fn wake_polls(&self, mut state: MutexGuard<'_, State>) {
        self.tell_ready(&mut state);
        // A call that nobody hears is not made: it goes to the system, once a pull. A push consumer's threads wait here, too.
        let heard = state.waiting > 0 || self.push.is_some();
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        if heard {
            self.arrived.notify_all();
        }
        wakers.into_values().for_each(std::task::Waker::wake);
    }
}
