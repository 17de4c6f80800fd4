//! The end of a consumer: no further call of the listener, offsets stored, locks given back, the group left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use crate::clock::deadline_in;
use crate::net::Loops;
use crate::{Error, ErrorKind, Result};

impl Shared {
    /// Marks as closed: nothing is pulled, handed out or polled from now on. False if it was already.
    pub(super) fn stop(&self) -> bool {
        let mut state = self.state.lock();
        let was_closed = std::mem::replace(&mut state.closed, true);
        state.closed_inside |= self.is_own_thread();
        self.wake_polls(state);
        !was_closed
    }

    /// Ends the consumer within `limit`; see [`PushConsumer::close_within`](super::PushConsumer::close_within).
    pub(in crate::client) fn close_within(self: &Arc<Self>, limit: Duration) -> Result<()> {
        self.cluster.check_process()?;
        if self.options.auto_commit && self.push.is_none() {
            self.commit();
        }
        self.end_within(limit)
    }

    fn end_within(self: &Arc<Self>, limit: Duration) -> Result<()> {
        let deadline = deadline_in(limit);
        self.stop();
        if self.is_own_thread() {
            return Ok(());
        }
        let ended = self.wait_for_calls(deadline) & self.end_ready(deadline);
        let left = deadline.saturating_duration_since(Instant::now());
        let stored = self.leave_in_time(left.min(self.cluster.options().mq_client_api_timeout));
        if !ended {
            let context = format!(
                "a listener or callback of group {} has not returned within {} ms; it goes on by itself",
                self.group().unwrap_or_default(),
                limit.as_millis()
            );
            return Err(Error::new(ErrorKind::Timeout, "close consumer", context));
        }
        let handles = std::mem::take(&mut self.state.lock().threads.handles);
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a thread of a consumer ended with a panic");
            }
        }
        stored
    }

    /// Waits until no listener runs and no thread is left; false if that took too long.
    fn wait_for_calls(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.threads.running > 0 || state.threads.calls > 0 {
            if self.ended.wait_until(&mut state, deadline).timed_out() {
                return state.threads.running == 0 && state.threads.calls == 0;
            }
        }
        true
    }

    /// Stores offsets, gives back locks and leaves the group, once. With no time left it sends and does not wait.
    pub(super) fn leave_in_time(self: &Arc<Self>, limit: Duration) -> Result<()> {
        let stored = self.leave_once(limit);
        // Without a lock: it may hold its consumer, and end it when it goes.
        if let Some(push) = &self.push {
            push.forget_listener();
        }
        stored
    }

    fn leave_once(self: &Arc<Self>, limit: Duration) -> Result<()> {
        let mut left = self.left.lock();
        if std::mem::replace(&mut *left, true) {
            return Ok(());
        }
        if !self.state.lock().started {
            self.store.release();
            return Ok(());
        }
        let stored = self.persist_within(limit);
        self.unlock_strays();
        self.forget_queues();
        if let Some(tracer) = &self.tracer {
            tracer.close_within(limit);
        }
        self.store.release();
        self.cluster.remove_consumer(self);
        if let Some(group) = self.group() {
            self.cluster.leave_group(None, Some(group));
        }
        stored
    }

    /// Gives back locks, and has nothing follow what listeners answer that have yet to return.
    fn forget_queues(&self) {
        let queues = {
            let mut state = self.state.lock();
            state.complete = false;
            state.leaving.clear();
            std::mem::take(&mut state.queues)
        };
        // After they were forgotten: a renewal that brings a lock back from now on is noticed.
        self.unlock_all(&queues);
    }

    /// As [`Shared::close_within`], for users who drop their handle, perhaps because they failed: nothing is committed,
    /// and what goes wrong is logged.
    pub(super) fn abandon(self: &Arc<Self>, limit: Duration) {
        if self.cluster.check_process().is_err() {
            // After fork() there is nobody to wait for, and locks may be held by threads that are not here.
            return std::mem::forget(self.clone());
        }
        // On an event loop nothing can be waited for.
        let ended = match Loops::is_current() {
            true => {
                self.stop();
                self.end_ready(Instant::now());
                self.leave_in_time(Duration::ZERO)
            }
            false => self.end_within(limit),
        };
        if let Err(error) = ended {
            tracing::warn!("{error}");
        }
    }
}
