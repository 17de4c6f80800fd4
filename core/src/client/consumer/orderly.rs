//! Ordered consumption: one call of the listener a queue, in the queue's order, also through changes of owner.

use std::sync::Arc;
use std::time::Instant;

use super::concurrent::{run, Outcome};
use super::context::{OrderlyContext, OrderlyStatus};
use super::threads::Batch;
use super::Shared;
use crate::message::StoredMessage;
use crate::wire::body::MessageQueue;

type Listener = dyn Fn(&[StoredMessage], &OrderlyContext) -> OrderlyStatus + Send + Sync;

/// What became of a call.
#[derive(Default)]
struct Ended {
    done: Vec<i64>,
    /// To be consumed again before all others of the queue, after the pause.
    again: Vec<i64>,
    pause: i64,
}

impl Shared {
    pub(super) fn consume_orderly(self: &Arc<Self>, batch: Batch, listener: &Listener) {
        let Batch { queue, token, call, messages: fetched } = batch;
        let mut ended = Ended { pause: self.pause(None), ..Ended::default() };
        let mut messages = Vec::with_capacity(fetched.len());
        let common = self.common(&queue);
        for (offset, fetched) in &fetched {
            match self.message(&common, fetched.record.clone(), fetched.again) {
                Ok(message) => messages.push(message),
                Err(error) => {
                    tracing::error!("a message is passed over: {error}");
                    let kept =
                        self.broadcasts() || self.send_record_back(&queue, &fetched.record, -1).is_ok();
                    if kept { &mut ended.done } else { &mut ended.again }.push(*offset);
                }
            }
        }
        // What is not safe must not be overtaken.
        if ended.again.is_empty() && !messages.is_empty() {
            self.call_orderly(&queue, listener, &messages, &mut ended);
        } else {
            ended.again = fetched
                .iter()
                .map(|(offset, _)| *offset)
                .filter(|offset| !ended.done.contains(offset))
                .collect();
        }
        self.end_call(&queue, token, call, ended);
    }

    fn pause(&self, wished: Option<i64>) -> i64 {
        wished.unwrap_or(self.options.suspend_current_queue_time_millis.as_millis() as i64).clamp(10, 30_000)
    }

    fn call_orderly(
        &self,
        queue: &MessageQueue,
        listener: &Listener,
        messages: &[StoredMessage],
        ended: &mut Ended,
    ) {
        let context = OrderlyContext::new(self.own_queue(queue));
        let traced = self.trace_before(messages);
        let began = Instant::now();
        let outcome = run(|| listener(messages, &context));
        let success = matches!(outcome, Outcome::Returned(OrderlyStatus::Success));
        let consumed = if success { messages.len() } else { 0 };
        self.stats.consumed(&queue.topic, messages.len(), consumed, began.elapsed());
        self.trace_after(traced, messages, &outcome, success, began.elapsed());
        ended.pause = self.pause(context.suspend_ms());
        for message in messages {
            let done = success || self.gives_up(message);
            if done { &mut ended.done } else { &mut ended.again }.push(message.queue_offset);
        }
    }

    /// Whether the message failed so often that it went to the dead letters. There is no limit unless one is set.
    fn gives_up(&self, message: &StoredMessage) -> bool {
        let limit = self.options.max_reconsume_times;
        if limit < 0 || message.reconsume_times < limit || self.broadcasts() {
            return false;
        }
        match self.send_to_retry_topic(message, message.reconsume_times) {
            Ok(()) => {
                let id = message.message_id();
                tracing::warn!("message {id} failed {limit} times and goes to the dead letters");
                true
            }
            Err(error) => {
                tracing::warn!(
                    "message {} cannot become a dead letter for now: {error}",
                    message.message_id()
                );
                false
            }
        }
    }

    /// Notes what became of a call. If the queue was given up meanwhile, its next owner gets it now; if it was begun
    /// anew elsewhere, the call does not count.
    fn end_call(self: &Arc<Self>, queue: &MessageQueue, token: u64, call: u64, ended: Ended) {
        let now = self.cluster.now_ms();
        let mut state = self.state.lock();
        let room = self.room(&state, &queue.topic);
        let idle = state.suspended || state.closed;
        let Some(assigned) = state.queues.get_mut(queue).filter(|assigned| assigned.call == Some(call))
        else {
            let leaving = state.leaving.get(queue).filter(|leaving| leaving.call == call);
            let progress = leaving.map(|leaving| leaving.progress);
            drop(state);
            if let Some(progress) = progress {
                self.hand_over(queue, &ended, progress);
            }
            return;
        };
        assigned.call = None;
        if assigned.token == token {
            for offset in &ended.done {
                assigned.done(*offset);
            }
            if !ended.again.is_empty() {
                assigned.again_first(&ended.again);
                assigned.rest_until = now + ended.pause;
            }
        }
        let resumed = if idle { None } else { assigned.resume(room) };
        if !ended.again.is_empty() {
            self.cluster.signal.tick();
        }
        self.wake_thread(state);
        if let Some(token) = resumed {
            self.pull(queue, token);
        }
    }

    /// Lets the next owner of a queue have it that the listener has just ended with.
    fn hand_over(self: &Arc<Self>, queue: &MessageQueue, ended: &Ended, progress: Option<i64>) {
        if let Some(progress) = progress {
            let last = ended.done.iter().max().filter(|_| ended.again.is_empty());
            self.store_given_up(&[(
                queue.clone(),
                last.map_or(progress, |last| progress.max(last.saturating_add(1))),
            )]);
        }
        self.unlock(std::slice::from_ref(queue));
        self.state.lock().leaving.remove(queue);
        // It may have become this consumer's again.
        self.cluster.signal.rebalance();
    }
}
