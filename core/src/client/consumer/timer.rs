//! What a consumer does at its time and without waiting for anyone; the client's timer calls it.

use std::sync::Arc;

use super::fetch::in_reach;
use super::Shared;

/// Messages that go back to the broker at a time because their listener has not returned.
const OVERDUE_AT_ONCE: usize = 16;

/// How often it is looked for such messages at least, ms.
const LOOK_FOR_OVERDUE: i64 = 60_000;

impl Shared {
    /// Does what is due; returns when something is due next, ms.
    pub(in crate::client) fn tick(self: &Arc<Self>) -> i64 {
        let now = self.cluster.now_ms();
        {
            let state = self.state.lock();
            if state.closed || !state.started {
                return i64::MAX;
            }
        }
        let mut next = self.pull_due(now).unwrap_or(i64::MAX);
        if self.push.is_some() {
            next = next.min(self.ripen(now));
            next = next.min(self.return_overdue(now));
        }
        if self.locks_queues() {
            next = next.min(self.renew_locks(now));
        }
        next
    }

    /// Hands out what was to rest until now.
    fn ripen(self: &Arc<Self>, now: i64) -> i64 {
        let mut state = self.state.lock();
        let mut next = i64::MAX;
        for assigned in state.queues.values_mut() {
            assigned.rest_until = in_reach(assigned.rest_until, now);
            next = next.min(assigned.ripen(now).unwrap_or(i64::MAX));
            if assigned.rest_until > now {
                next = next.min(assigned.rest_until);
            }
        }
        self.wake_thread(state);
        next
    }

    /// Sends back what a listener has held for too long, so that it is consumed elsewhere.
    fn return_overdue(self: &Arc<Self>, now: i64) -> i64 {
        if self.orderly() || self.broadcasts() {
            return i64::MAX;
        }
        let timeout = i64::from(self.options.consume_timeout) * 60_000;
        let (mut all, mut next) = (Vec::new(), now + LOOK_FOR_OVERDUE);
        {
            let mut state = self.state.lock();
            state.look_overdue = in_reach(state.look_overdue, now);
            if now < state.look_overdue {
                return state.look_overdue;
            }
            for (queue, assigned) in &state.queues {
                let (overdue, oldest) = assigned.overdue(now - timeout, OVERDUE_AT_ONCE);
                next = next.min(oldest.map_or(i64::MAX, |oldest| (oldest + timeout).max(now + 1_000)));
                all.extend(
                    overdue
                        .into_iter()
                        .map(|(offset, record)| (queue.clone(), assigned.token, offset, record)),
                );
            }
            state.look_overdue = next;
        }
        for (queue, token, offset, record) in all {
            tracing::warn!(
                "{queue:?} offset {offset}: the listener holds it for {timeout} ms; it is sent back"
            );
            self.send_back_overdue(queue, token, offset, record);
        }
        next
    }
}
