//! Taking over the queues that are this consumer's by now, and giving up the others (protocol reference, section 5.3).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use super::super::allocate::allocate;
use super::super::callbacks::panic_message;
use super::assigned::Assigned;
use super::locks::TRUSTED;
use super::members::Asked;
use super::state::Leaving;
use super::Shared;
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

thread_local! {
    /// Whether a user's strategy runs on this thread.
    static ALLOCATES: Cell<bool> = const { Cell::new(false) };
}

/// What `allocate` says, which may be a user's code: its panic is an error of this topic alone.
fn own_share(allocate: impl FnOnce() -> Result<Vec<MessageQueue>>) -> Result<Vec<MessageQueue>> {
    ALLOCATES.set(true);
    let share = catch_unwind(AssertUnwindSafe(allocate));
    ALLOCATES.set(false);
    share.unwrap_or_else(|panic| {
        let context = format!("the strategy panicked: {}", panic_message(&*panic));
        tracing::error!("{context}");
        Err(Error::new(ErrorKind::InvalidArgument, "share queues", context))
    })
}

impl Shared {
    /// Shares the queues anew. Goes on after a failure and returns the first one.
    pub(in crate::client) fn rebalance(self: &Arc<Self>) -> Result<()> {
        if ALLOCATES.get() {
            // The user's strategy, which a rebalance waits for, wants another one: after it.
            self.cluster.signal.rebalance();
            return Ok(());
        }
        let _one_at_a_time = self.rebalancing.lock();
        if !self.state.lock().started {
            return Ok(());
        }
        let (topics, named) = {
            let wanted = self.wanted.lock();
            (wanted.topics.keys().cloned().collect::<BTreeSet<_>>(), wanted.queues.clone())
        };
        let mut result = Ok(());
        let mut members = Asked::default();
        match named {
            Some(named) => {
                self.give_up(|queue| !named.contains(queue));
                result = result.and(self.take_over(named));
            }
            None => {
                self.give_up(|queue| !topics.contains(&queue.topic));
                for topic in topics {
                    result = result.and(self.rebalance_topic(&topic, &mut members));
                }
            }
        }
        self.unlock_strays();
        let mut state = self.state.lock();
        state.complete |= result.is_ok();
        self.announce(state);
        result
    }

    fn rebalance_topic(self: &Arc<Self>, topic: &str, asked: &mut Asked) -> Result<()> {
        if self.state.lock().closed {
            return Ok(());
        }
        let route = match self.cluster.route(topic) {
            // A retry topic comes into being with the group, and its route a little later.
            Err(error)
                if error.kind() == ErrorKind::NotFound && Some(topic) == self.retry_topic.as_deref() =>
            {
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.note_found(topic, &[]);
                return Err(error);
            }
            route => route?,
        };
        self.note_found(topic, &route.subscribe);
        let mine = match self.group() {
            Some(group) if !self.broadcasts() => {
                let me = self.cluster.client_id();
                let members = self.members(group, &route, asked)?;
                if !members.iter().any(|member| member == me) {
                    // The broker was started anew, or did not get the first heartbeat.
                    self.cluster.send_heartbeats();
                    let context = format!("the broker does not know {me} as a member of {group} yet");
                    return Err(Error::new(ErrorKind::Connection, "join group", context));
                }
                self.warn_of_idle_members(topic, members.len(), route.subscribe.len());
                let strategy = self.strategy.lock().clone();
                own_share(|| allocate(&strategy, group, me, &route.subscribe, &members))?
            }
            _ => route.subscribe.clone(),
        };
        self.give_up(|queue| queue.topic == topic && !mine.contains(queue));
        self.take_over(mine)
    }

    /// Undoes a start that failed: gives up what was taken over, and leaves the group.
    pub(super) fn undo_start(self: &Arc<Self>) {
        let _one_at_a_time = self.rebalancing.lock();
        self.state.lock().started = false;
        self.give_up(|_| true);
        self.cluster.remove_consumer(self);
        if let Some(group) = self.group() {
            self.cluster.leave_group(None, Some(group));
        }
    }

    /// Ends consuming some queues: what was done of them is stored before anyone else can begin. Those that an ordered
    /// listener runs on keep their locks until it has returned.
    fn give_up(self: &Arc<Self>, which: impl Fn(&MessageQueue) -> bool) {
        let (mut stored, mut unlocked) = (Vec::new(), Vec::new());
        {
            let mut state = self.state.lock();
            let queues: Vec<MessageQueue> =
                state.queues.keys().filter(|queue| which(queue)).cloned().collect();
            for queue in queues {
                let Some(assigned) = state.queues.remove(&queue) else { continue };
                let progress = self.progress(&assigned);
                tracing::debug!("{queue:?} is given up at {progress}");
                if let Some(call) = assigned.call {
                    // Its offset is stored once, when the listener has returned: an earlier one might come later.
                    state.leaving.insert(queue, Leaving { call, progress: Some(progress) });
                    continue;
                }
                if assigned.stored != Some(progress) {
                    stored.push((queue.clone(), progress));
                }
                unlocked.push(queue);
            }
        }
        self.store_given_up(&stored);
        self.unlock(&unlocked);
    }

    fn take_over(self: &Arc<Self>, mine: Vec<MessageQueue>) -> Result<()> {
        let (mut new, mut result) = (Vec::new(), Ok(()));
        {
            let state = self.state.lock();
            for queue in mine {
                if state.leaving.contains_key(&queue) {
                    let context = format!("{queue:?}: its listener has yet to return");
                    result = Err(Error::new(ErrorKind::Connection, "take over queue", context));
                } else if !state.queues.contains_key(&queue) {
                    new.push(queue);
                }
            }
        }
        let asked = self.cluster.now_ms();
        if self.locks_queues() && !new.is_empty() {
            let (granted, locked) = self.lock_new(new);
            new = granted;
            result = result.and(locked);
        }
        let mut silent: BTreeSet<String> = BTreeSet::new();
        let mut left = Vec::new();
        for queue in new {
            if silent.contains(&queue.broker_name) {
                left.push(queue);
                continue;
            }
            if let Err(error) = self.take_over_one(&queue, asked) {
                if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connection) {
                    // Its other queues would only cost as much time again.
                    silent.insert(queue.broker_name.clone());
                }
                result = result.and(Err(error));
                left.push(queue);
            }
        }
        self.unlock(&left);
        result
    }

    /// Takes a queue over, whose lock was asked for at a time, ms.
    fn take_over_one(self: &Arc<Self>, queue: &MessageQueue, asked: i64) -> Result<()> {
        if self.locks_queues() && self.cluster.now_ms() >= asked + TRUSTED {
            let context = format!("{queue:?}: its lock is too old by now; it is asked for again");
            return Err(Error::new(ErrorKind::Connection, "take over queue", context));
        }
        let begin = self.begin(queue)?;
        let token = {
            let mut state = self.state.lock();
            if state.closed {
                drop(state);
                self.unlock(std::slice::from_ref(queue));
                return Ok(());
            }
            let token = state.token();
            tracing::debug!("{queue:?} is taken over at {}", begin.offset);
            let mut assigned = Assigned::new(token, &begin);
            assigned.locked = Some(asked);
            state.queues.insert(queue.clone(), assigned);
            token
        };
        self.pull(queue, token);
        Ok(())
    }
}
