//! Moving in queues by hand. All of it starts the consumer if need be.

use std::sync::Arc;

use super::pull::{Consumer, EITHER};
use super::{Shared, Subscription};
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

impl Consumer {
    /// Goes on with a queue at `offset`: what was fetched is forgotten. Counts as committed up to there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the queue is not this consumer's, or has no such offset: it names the bounds.
    pub fn seek(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        self.start_if_needed()?;
        let shared = self.shared();
        let queue = &shared.wire_queue(queue);
        if !shared.state.lock().queues.contains_key(queue) {
            return Err(Shared::not_mine("seek", queue));
        }
        let (min, max) = (shared.min_offset(queue)?, shared.max_offset(queue)?);
        if offset < min || offset > max {
            let context = format!("{queue:?} has offsets from {min} to {max}, not {offset}");
            return Err(Error::new(ErrorKind::InvalidArgument, "seek", context));
        }
        self.go_to(queue, offset)
    }

    /// Goes on with the first message that the queue still has.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to_begin(&self, queue: &MessageQueue) -> Result<()> {
        self.start_if_needed()?;
        let queue = &self.shared().wire_queue(queue);
        self.go_to(queue, self.shared().min_offset(queue)?)
    }

    /// Goes on with what is stored from now on.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to_end(&self, queue: &MessageQueue) -> Result<()> {
        self.start_if_needed()?;
        let queue = &self.shared().wire_queue(queue);
        self.go_to(queue, self.shared().max_offset(queue)?)
    }

    /// Goes on with the first message stored at a time, ms since 1970, or later.
    ///
    /// # Errors
    /// As [`Consumer::seek`].
    pub fn seek_to_time(&self, queue: &MessageQueue, ms: i64) -> Result<()> {
        self.start_if_needed()?;
        let queue = &self.shared().wire_queue(queue);
        self.go_to(queue, self.shared().offset_at(queue, ms)?)
    }

    fn go_to(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        match self.shared().restart(queue, offset) {
            true => Ok(()),
            false => Err(Shared::not_mine("seek", queue)),
        }
    }

    /// The offset of the first message of a queue stored at a time, ms since 1970, or later; the end if there is none.
    ///
    /// # Errors
    /// If the topic does not exist or the broker does not answer.
    #[doc(alias = "offsetForTimestamp")]
    pub fn offset_for_time(&self, queue: &MessageQueue, ms: i64) -> Result<i64> {
        let queue = &self.shared().wire_queue(queue);
        self.shared().cluster.route(&queue.topic)?;
        self.shared().offset_at(queue, ms)
    }

    /// Fetches and hands out nothing of these queues until [`Consumer::resume`]; those that are not this consumer's are
    /// passed over.
    pub fn pause(&self, queues: &[MessageQueue]) {
        self.set_paused(queues, true);
    }

    /// Ends a pause of these queues.
    pub fn resume(&self, queues: &[MessageQueue]) {
        self.set_paused(queues, false);
    }

    fn set_paused(&self, queues: &[MessageQueue], paused: bool) {
        if let Err(error) = self.start_if_needed() {
            // The next poll tells it.
            tracing::debug!("no queues to pause: {error}");
        }
        if self.shared().is_forked() {
            return;
        }
        let mut state = self.shared().state.lock();
        for queue in queues {
            if let Some(assigned) = state.queues.get_mut(&self.shared().wire_queue(queue)) {
                assigned.paused = paused;
            }
        }
        self.shared().announce(state);
        self.shared().resume_pulls();
    }
}

impl Shared {
    pub(super) fn assign(self: &Arc<Self>, queues: &[MessageQueue]) -> Result<()> {
        self.cluster.check_process()?;
        let queues: Vec<MessageQueue> = queues.iter().map(|queue| self.wire_queue(queue)).collect();
        {
            let mut wanted = self.wanted.lock();
            let subscribed = wanted.topics.keys().any(|topic| Some(topic) != self.retry_topic.as_ref());
            if subscribed && wanted.queues.is_none() {
                return Err(Error::new(ErrorKind::InvalidArgument, "assign", EITHER));
            }
            let now = self.cluster.now_ms();
            let topics = queues.iter().map(|queue| queue.topic.as_str());
            wanted.topics =
                topics.map(|topic| (topic.to_owned(), (Arc::new(Subscription::all(topic)), now))).collect();
            wanted.queues = Some(queues);
        }
        if self.state.lock().started {
            self.cluster.signal.introduce();
            // At once, so that the next call may seek.
            self.rebalance()?;
        }
        Ok(())
    }

    /// Goes on with a queue elsewhere; false if it is not this consumer's. What is being consumed of it does not count.
    pub(super) fn restart(self: &Arc<Self>, queue: &MessageQueue, offset: i64) -> bool {
        let token = {
            let mut state = self.state.lock();
            let token = state.token();
            let Some(assigned) = state.queues.get_mut(queue) else { return false };
            assigned.restart(token, offset);
            token
        };
        self.pull(queue, token);
        true
    }
}
