//! Queue locks of ordered consumption: one member of a group a queue (protocol reference, section 5.5).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::cluster::succeeded;
use super::assigned::Assigned;
use super::fetch::in_reach;
use super::state::Leaving;
use super::Shared;
use crate::net::Reply;
use crate::wire::body::{LockBatchRequestBody, LockBatchResponseBody, MessageQueue, UnlockBatchRequestBody};
use crate::wire::{json, LockBatchMq, Request, UnlockBatchMq};
use crate::{Error, ErrorKind, Result};

/// How often locks are renewed, ms. Apache's `rocketmq.client.rebalance.lockInterval`.
const RENEW_EVERY: i64 = 20_000;

/// For how long after its last renewal a lock is believed in, ms. Apache's `rocketmq.client.rebalance.lockMaxLiveTime`.
pub(super) const TRUSTED: i64 = 30_000;

/// Brokers give a lock that was not renewed for this long to others, ms.
const HELD: i64 = 60_000;

fn by_broker(queues: impl IntoIterator<Item = MessageQueue>) -> BTreeMap<String, Vec<MessageQueue>> {
    let mut by_broker: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        by_broker.entry(queue.broker_name.clone()).or_default().push(queue);
    }
    by_broker
}

fn read_locked(reply: Result<Reply>) -> Result<BTreeSet<MessageQueue>> {
    let reply = succeeded("lock queues", reply?)?;
    let body: LockBatchResponseBody = json::from_slice(&reply.body())
        .map_err(|error| Error::new(ErrorKind::Corrupt, "lock queues", error.to_string()))?;
    Ok(body.lock_ok_mq_set.into_iter().collect())
}

impl Shared {
    fn lock_request(&self, queues: Vec<MessageQueue>) -> Request<'static> {
        let body = LockBatchRequestBody {
            consumer_group: self.group().unwrap_or_default().into(),
            client_id: self.cluster.client_id().into(),
            only_this_broker: false,
            mq_set: queues,
        };
        Request::LockBatchMq(LockBatchMq { body })
    }

    /// Asks for the locks of queues of one broker; those that this client has now.
    pub(super) fn lock(&self, broker: &str, queues: Vec<MessageQueue>) -> Result<BTreeSet<MessageQueue>> {
        let address = self.cluster.master(broker)?;
        let limit = self.cluster.options().mq_client_api_timeout;
        read_locked(self.cluster.net().call(&address, &self.lock_request(queues), limit))
    }

    /// Asks for all locks again when it is time, also of queues that a listener still runs on, without waiting; returns
    /// when the next time is, ms.
    pub(super) fn renew_locks(self: &Arc<Self>, now: i64) -> i64 {
        let queues: Vec<MessageQueue> = {
            let mut state = self.state.lock();
            state.renew_locks = in_reach(state.renew_locks, now);
            if now < state.renew_locks {
                return state.renew_locks;
            }
            state.renew_locks = now + RENEW_EVERY;
            state.queues.keys().chain(state.leaving.keys()).cloned().collect()
        };
        for (broker, queues) in by_broker(queues) {
            let Ok(address) = self.cluster.master(&broker) else { continue };
            let (weak, asked) = (Arc::downgrade(self), queues.clone());
            let done = move |reply: Result<Reply>| {
                let Some(shared) = weak.upgrade() else { return };
                match read_locked(reply) {
                    Ok(locked) => shared.note_locked(&asked, &locked, now),
                    Err(error) => tracing::warn!("locks at broker {broker} are not renewed: {error}"),
                }
            };
            let limit = self.cluster.options().mq_client_api_timeout;
            self.cluster.net().call_async(&address, &self.lock_request(queues), limit, Box::new(done));
        }
        now + RENEW_EVERY
    }

    /// Notes which of the locks `asked` for at a time this client has. A queue without lock is not consumed further and
    /// taken over anew, as others may have gone on with it.
    fn note_locked(self: &Arc<Self>, asked: &[MessageQueue], locked: &BTreeSet<MessageQueue>, now: i64) {
        let mut state = self.state.lock();
        let (mut lost, mut strays) = (false, Vec::new());
        for queue in asked {
            let Some(assigned) = state.queues.get_mut(queue) else {
                if locked.contains(queue) && !state.leaving.contains_key(queue) {
                    strays.push(queue.clone());
                }
                continue;
            };
            let in_time = assigned.locked.is_none_or(|at| now < at + HELD);
            if locked.contains(queue) && in_time {
                assigned.locked = Some(now);
                continue;
            }
            lost = true;
            tracing::warn!("{queue:?}: the lock is lost; the queue is dropped and taken over anew");
            if let Some(assigned) = state.queues.remove(queue) {
                if let Some(call) = assigned.call {
                    state.leaving.insert(queue.clone(), Leaving { call, progress: None });
                }
            }
        }
        if lost {
            state.complete = false;
            self.cluster.signal.rebalance();
        }
        if state.closed || !state.started {
            // Where a listener still runs after the end its lock is to run out.
            let runs = state.closed && (state.threads.running > 0 || state.threads.calls > 0);
            drop(state);
            if !runs {
                self.unlock(&strays);
            }
            return;
        }
        if !strays.is_empty() {
            // Not here: they may just be taken over anew.
            state.strays.extend(strays);
            self.cluster.signal.rebalance();
        }
        self.wake_thread(state);
    }

    /// Gives back locks of queues that are not this consumer's. Called with nothing being taken over.
    pub(super) fn unlock_strays(&self) {
        let strays: Vec<MessageQueue> = {
            let mut state = self.state.lock();
            let mut strays = std::mem::take(&mut state.strays);
            strays.retain(|queue| !state.queues.contains_key(queue) && !state.leaving.contains_key(queue));
            strays.into_iter().collect()
        };
        self.unlock(&strays);
    }

    /// Gives locks back, without waiting: brokers notice it later anyway.
    pub(super) fn unlock(&self, queues: &[MessageQueue]) {
        if !self.locks_queues() {
            return;
        }
        for (broker, queues) in by_broker(queues.iter().cloned()) {
            let body = UnlockBatchRequestBody {
                consumer_group: self.group().unwrap_or_default().into(),
                client_id: self.cluster.client_id().into(),
                only_this_broker: false,
                mq_set: queues,
            };
            let request = Request::UnlockBatchMq(UnlockBatchMq { body });
            let sent = self.cluster.master(&broker);
            if let Err(error) = sent.and_then(|address| self.cluster.net().oneway(&address, &request)) {
                tracing::debug!("locks at broker {broker} are not given back: {error}");
            }
        }
    }

    /// Gives back the locks of queues but those that a listener still runs on, which run out.
    pub(super) fn unlock_all(&self, queues: &BTreeMap<MessageQueue, Assigned>) {
        let quiet = queues.iter().filter(|(_, assigned)| assigned.call.is_none());
        let queues: Vec<MessageQueue> = quiet.map(|(queue, _)| queue.clone()).collect();
        self.unlock(&queues);
    }

    /// The queues of `wanted` whose locks this client gets, asking each broker once; the first failure.
    pub(super) fn lock_new(&self, wanted: Vec<MessageQueue>) -> (Vec<MessageQueue>, Result<()>) {
        let (mut granted, mut result) = (Vec::new(), Ok(()));
        for (broker, queues) in by_broker(wanted) {
            let count = queues.len();
            match self.lock(&broker, queues) {
                Ok(locked) => {
                    if locked.len() < count {
                        let context = format!(
                            "{} queues at broker {broker} are another member's yet",
                            count - locked.len()
                        );
                        result = result.and(Err(Error::new(ErrorKind::Connection, "lock queues", context)));
                    }
                    granted.extend(locked);
                }
                Err(error) => result = result.and(Err(error)),
            }
        }
        (granted, result)
    }
}
