//! Queue locks for ordered consumption: per group and queue one client, for 60 s after its last request.
//!
//! Reference: protocol.md 5.5. Apache's name: RebalanceLockManager.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::wire::body::{LockBatchResponseBody, MessageQueue};
use crate::wire::{self, Response};

use super::handler::json;
use super::Broker;

/// A lock not renewed for this long goes to the next asker.
const LIFETIME_MS: i64 = 60_000;

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
    fn lock(&self, group: &str, client_id: &str, queues: &[MessageQueue], now: i64) -> Vec<MessageQueue> {
        let mut groups = self.groups.lock();
        let held = groups.entry(group.to_owned()).or_default();
        let mut locked = Vec::with_capacity(queues.len());
        for queue in queues {
            let free = held.get(queue).is_none_or(|owner| {
                owner.client_id == client_id || owner.renewed_ms.saturating_add(LIFETIME_MS) < now
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
    pub fn expire(&self, now: i64) {
        self.groups.lock().retain(|_, held| {
            held.retain(|_, owner| owner.renewed_ms.saturating_add(LIFETIME_MS) >= now);
            !held.is_empty()
        });
    }
}

/// LOCK_BATCH_MQ (41).
pub(crate) fn lock(broker: &Broker, request: &wire::LockBatchMq) -> Response {
    let body = &request.body;
    let now = broker.clock.now_ms();
    let locked = broker.locks.lock(&body.consumer_group, &body.client_id, &body.mq_set, now);
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

    fn queue(id: i32) -> MessageQueue {
        MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: id }
    }

    #[test]
    fn one_owner_until_it_lets_go_or_falls_silent() {
        let locks = QueueLocks::default();
        assert_eq!(locks.lock("G", "a", &[queue(0), queue(1)], 0).len(), 2);
        assert_eq!(locks.lock("G", "b", &[queue(0), queue(2)], 1), vec![queue(2)]);
        assert_eq!(locks.lock("H", "b", &[queue(0)], 1).len(), 1, "another group has locks of its own");
        locks.unlock("G", "b", &[queue(0)]);
        assert!(locks.lock("G", "b", &[queue(0)], 2).is_empty(), "only the owner unlocks");
        locks.unlock("G", "a", &[queue(0)]);
        assert_eq!(locks.lock("G", "b", &[queue(0)], 3).len(), 1);
        assert!(locks.lock("G", "b", &[queue(1)], LIFETIME_MS).is_empty());
        assert_eq!(locks.lock("G", "b", &[queue(1)], LIFETIME_MS + 1).len(), 1, "expired");
        locks.expire(LIFETIME_MS * 3);
        assert!(locks.groups.lock().is_empty());
    }
}
