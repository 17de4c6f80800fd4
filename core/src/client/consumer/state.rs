//! What changes while a consumer runs, under one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::task::Waker;

use super::assigned::{Assigned, Room};
use super::frame::Lead;
use super::ready::Ready;
use super::threads::Threads;
use super::Shared;
use crate::config::ConsumerOptions;
use crate::wire::body::MessageQueue;
use crate::Error;

/// See the module.
pub(super) struct State {
    pub queues: BTreeMap<MessageQueue, Assigned>,
    /// Queues that are not this consumer's any more while the ordered listener still runs on them.
    pub leaving: BTreeMap<MessageQueue, Leaving>,
    /// Queues whose locks a renewal brought back after they were given up: to be given back again.
    pub strays: BTreeSet<MessageQueue>,
    /// The queue that messages were taken from last: the next ones have their turn.
    last_taken: Option<MessageQueue>,
    /// Whether all queues of this consumer's share have been taken over.
    pub complete: bool,
    /// What the next poll tells.
    pub failure: Option<Error>,
    /// Polls that wait on their threads.
    pub waiting: usize,
    /// Polls that wait as futures, by their numbers.
    pub wakers: BTreeMap<u64, Waker>,
    /// Whom to tell that a poll does not wait.
    pub ready: Option<Arc<Ready>>,
    /// Whether that was told since a poll found nothing.
    pub ready_told: bool,
    pub started: bool,
    pub closed: bool,
    /// Whether it was closed by a listener, so that the last of its threads leaves the group.
    pub closed_inside: bool,
    /// Nothing is pulled or handed out.
    pub suspended: bool,
    pub threads: Threads,
    pub lead: Lead,
    /// When offsets are stored next, ms.
    pub persist_at: Option<i64>,
    /// Brokers and topics of which the broker is known to have an offset of the group.
    pub kept_topics: BTreeSet<(String, String)>,
    /// When queue locks are renewed next, ms.
    pub renew_locks: i64,
    /// When the messages in consumption are looked at next, ms.
    pub look_overdue: i64,
    tokens: u64,
}

/// An ordered listener that runs on a queue that was given up.
pub(super) struct Leaving {
    pub call: u64,
    /// How far the queue was done when it was given up, if the next owner waits until the listener has returned, so
    /// that what it consumes counts.
    pub progress: Option<i64>,
}

impl State {
    pub fn new(options: &ConsumerOptions) -> State {
        State {
            queues: BTreeMap::new(),
            leaving: BTreeMap::new(),
            strays: BTreeSet::new(),
            last_taken: None,
            complete: false,
            failure: None,
            waiting: 0,
            wakers: BTreeMap::new(),
            ready: None,
            ready_told: false,
            started: false,
            closed: false,
            closed_inside: false,
            suspended: false,
            threads: Threads::new(options.consume_thread_min),
            lead: Lead::default(),
            persist_at: None,
            kept_topics: BTreeSet::new(),
            renew_locks: 0,
            look_overdue: 0,
            tokens: 0,
        }
    }

    /// A number that was not given before.
    pub fn token(&mut self) -> u64 {
        self.tokens += 1;
        self.tokens
    }

    /// The queue whose turn it is of those that `may` hand something out.
    pub fn in_turn(&self, may: impl Fn(&MessageQueue, &Assigned) -> bool) -> Option<MessageQueue> {
        let after = match &self.last_taken {
            Some(queue) => (Bound::Excluded(queue), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut in_turn = self.queues.range(after).chain(self.queues.iter());
        in_turn
            .find(|(queue, assigned)| assigned.has_ready() && may(queue, assigned))
            .map(|(queue, _)| queue.clone())
    }

    /// The next turn is of the queues behind this one.
    pub fn taken(&mut self, queue: &MessageQueue) {
        self.last_taken = Some(queue.clone());
    }

    /// The queue, if it is still assigned as it was under this token.
    pub fn assigned(&mut self, queue: &MessageQueue, token: u64) -> Option<&mut Assigned> {
        self.queues.get_mut(queue).filter(|assigned| assigned.token == token)
    }
}

const MIB: usize = 1 << 20;

impl Shared {
    /// How much of a queue of the topic may be fetched ahead.
    pub(super) fn room(&self, state: &State, topic: &str) -> Room {
        let options = &self.options;
        let mut room = Room {
            messages: options.pull_threshold_for_queue,
            bytes: options.pull_threshold_size_for_queue.saturating_mul(MIB),
            span: if self.orderly() { i64::MAX } else { options.consume_concurrently_max_span },
        };
        let (messages, mib) = (options.pull_threshold_for_topic, options.pull_threshold_size_for_topic);
        if messages >= 0 || mib >= 0 {
            // Topics' limits are shared evenly among their queues.
            let queues = state.queues.keys().filter(|queue| queue.topic == topic).count().max(1);
            let share = |limit: usize| (limit / queues).max(1);
            if let Ok(messages) = usize::try_from(messages) {
                room.messages = share(messages);
            }
            if let Ok(mib) = usize::try_from(mib) {
                room.bytes = share(mib.saturating_mul(MIB));
            }
        }
        room
    }
}
