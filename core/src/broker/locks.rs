//! Queue locks for ordered consumption: per group and queue one client, until some time after its last request
//! (rocketmq.broker.rebalance.lockMaxLiveTime). A member that dies keeps its locks for that time, as its listener may still
//! be at work; it trusts them for half of it.
//!
//! Reference: protocol.md 5.5. Apache's name: RebalanceLockManager.

use std::collections::HashMap;

use crate::store::MAX_QUEUES;
use crate::sync::Mutex;
use crate::wire::body::{LockBatchResponseBody, MessageQueue};
use crate::wire::{self, Response, ResponseCode};

use super::handler::{json, refused};
use super::Broker;

struct Owner {
    client_id: String,
    renewed_ms: i64,
}

/// Who holds which queue. All methods from any thread.
#[derive(Default)]
pub(crate) struct QueueLocks {
    groups: Mutex<HashMap<String, HashMap<MessageQueue, Owner>>>,
}

impl QueueLocks {
    /// Tries to lock (or renews) each queue for the client; gives back those it holds now.
    fn lock(
        &self,
        group: &str,
        client_id: &str,
        queues: &[&MessageQueue],
        now: i64,
        lifetime_ms: i64,
    ) -> Vec<MessageQueue> {
        let mut groups = self.groups.lock();
        let held = groups.entry(group.to_owned()).or_default();
        let mut locked = Vec::with_capacity(queues.len());
        for &queue in queues {
            let free = held.get(queue).is_none_or(|owner| {
                owner.client_id == client_id || owner.renewed_ms.saturating_add(lifetime_ms) < now
            });
            if free {
                held.insert(queue.clone(), Owner { client_id: client_id.to_owned(), renewed_ms: now });
                locked.push(queue.clone());
            }
        }
        locked
    }

    /// Frees those of the queues that the client holds.
    fn unlock(&self, group: &str, client_id: &str, queues: &[MessageQueue]) {
        let mut groups = self.groups.lock();
        let Some(held) = groups.get_mut(group) else { return };
        for queue in queues {
            if held.get(queue).is_some_and(|owner| owner.client_id == client_id) {
                held.remove(queue);
            }
        }
        if held.is_empty() {
            groups.remove(group);
        }
    }

    /// Forgets locks that nobody renewed, so that groups that are gone take no memory.
    pub fn expire(&self, now: i64, lifetime_ms: i64) {
        self.groups.lock().retain(|_, held| {
            held.retain(|_, owner| owner.renewed_ms.saturating_add(lifetime_ms) >= now);
            !held.is_empty()
        });
    }
}

/// LOCK_BATCH_MQ (41). Queues that this broker does not have are not locked.
pub(crate) fn lock(broker: &Broker, request: &wire::LockBatchMq) -> Response {
    let body = &request.body;
    let (group, asked) = (&body.consumer_group, body.mq_set.len());
    if asked > MAX_QUEUES as usize {
        let remark =
            format!("group {group} asks for the locks of {asked} queues at once, allowed are {MAX_QUEUES}");
        return refused(ResponseCode::SYSTEM_ERROR, remark);
    }
    if broker.groups.find_or_create(broker, group).is_none() {
        let remark = format!("subscription group [{group}] does not exist");
        return refused(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark);
    }
    let config = broker.config();
    // What is locked here is bounded by the queues that there are.
    let is_here = |queue: &&MessageQueue| {
        let topic = broker.topics.find(&queue.topic).filter(|_| queue.broker_name == config.broker_name);
        topic.is_some_and(|topic| {
            (0..topic.read_queue_nums.max(topic.write_queue_nums)).contains(&queue.queue_id)
        })
    };
    let queues: Vec<_> = body.mq_set.iter().filter(is_here).collect();
    let now = broker.clock.now_ms();
    let locked = broker.locks.lock(group, &body.client_id, &queues, now, config.lock_max_live_time);
    json(&LockBatchResponseBody { lock_ok_mq_set: locked })
}

/// UNLOCK_BATCH_MQ (42).
pub(crate) fn unlock(broker: &Broker, request: &wire::UnlockBatchMq) -> Response {
    let body = &request.body;
    broker.locks.unlock(&body.consumer_group, &body.client_id, &body.mq_set);
    Response::ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME_MS: i64 = 60_000;

    fn queue(id: i32) -> MessageQueue {
        MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: id }
    }

    #[test]
    fn one_owner_until_it_lets_go_or_falls_silent() {
        let locks = QueueLocks::default();
        let lock = |group: &str, client: &str, ids: &[i32], now| {
            let queues: Vec<_> = ids.iter().map(|id| queue(*id)).collect();
            let queues: Vec<_> = queues.iter().collect();
            let locked = locks.lock(group, client, &queues, now, LIFETIME_MS);
            locked.iter().map(|queue| queue.queue_id).collect::<Vec<_>>()
        };
        assert_eq!(lock("G", "a", &[0, 1], 0), [0, 1]);
        assert_eq!(lock("G", "b", &[0, 2], 1), [2]);
        assert_eq!(lock("H", "b", &[0], 1), [0], "another group has locks of its own");
        locks.unlock("G", "b", &[queue(0)]);
        assert!(lock("G", "b", &[0], 2).is_empty(), "only the owner unlocks");
        locks.unlock("G", "a", &[queue(0)]);
        assert_eq!(lock("G", "b", &[0], 3), [0]);
        assert!(lock("G", "b", &[1], LIFETIME_MS).is_empty());
        assert_eq!(lock("G", "b", &[1], LIFETIME_MS + 1), [1], "expired");
        // The old owner comes back late: it neither frees nor renews what is another's now.
        locks.unlock("G", "a", &[queue(1)]);
        assert!(lock("G", "a", &[1], LIFETIME_MS + 2).is_empty());
        locks.expire(LIFETIME_MS * 3, LIFETIME_MS);
        assert!(locks.groups.lock().is_empty());
    }
}
