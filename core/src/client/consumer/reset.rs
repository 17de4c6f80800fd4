//! RESET_CONSUMER_CLIENT_OFFSET (220): someone who runs the cluster moves the group.

use std::sync::Arc;

use super::Shared;
use crate::wire::body::MessageQueue;

impl Shared {
    /// Goes on with queues of a topic at other offsets, and stores these for the group. What is being consumed meanwhile
    /// does not count. May wait for brokers.
    pub(in crate::client) fn reset(self: &Arc<Self>, topic: &str, offsets: &[(MessageQueue, i64)]) {
        for (queue, offset) in offsets.iter().filter(|(queue, _)| queue.topic == topic) {
            if self.restart(queue, *offset) {
                tracing::warn!("{queue:?} is consumed from {offset} on, as was asked for");
            }
        }
        // Not the offsets that came: by now more may be consumed, and a later offset be stored.
        if let Err(error) = self.persist() {
            tracing::warn!(
                "the offsets that group {} was moved to are stored later: {error}",
                self.own_group()
            );
        }
        self.cluster.signal.rebalance();
    }
}
