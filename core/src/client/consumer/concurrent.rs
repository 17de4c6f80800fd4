//! Concurrent consumption: the call of the listener, and what becomes of each message.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::super::callbacks::panic_message;
use super::super::stored::{message_of, Common};
use super::assigned::Fetched;
use super::context::{ConsumeContext, ConsumeStatus};
use super::threads::Batch;
use super::{Shared, RETRY_PREFIX};
use crate::message::StoredMessage;
use crate::wire::body::MessageQueue;
use crate::Result;

/// A message that is not consumed and could not be sent back is handed out again after this long, ms.
const AGAIN_AFTER: i64 = 5_000;

/// The delay level that means: to the dead letters.
const DEAD: i32 = -1;

/// A batch that the listener was called with.
pub(super) struct Called {
    pub queue: MessageQueue,
    pub token: u64,
    fates: Vec<(i64, Fate)>,
    rest: Vec<StoredMessage>,
    delay_level: i32,
    unreadable: Vec<(i64, Fetched, crate::Error)>,
}

impl Called {
    /// Whether nothing is left to be sent back.
    pub fn is_consumed(&self) -> bool {
        self.rest.is_empty() && self.unreadable.is_empty()
    }
}

/// What became of a message.
enum Fate {
    Done,
    /// To be handed out again here.
    Again,
}

/// How a listener ended.
pub(super) enum Outcome<S> {
    Returned(S),
    Panicked,
}

pub(super) type Listener = dyn Fn(&[StoredMessage], &ConsumeContext) -> ConsumeStatus + Send + Sync;

impl Shared {
    /// What all messages of a queue have.
    pub(super) fn common(&self, queue: &MessageQueue) -> Common {
        // A dead letter says where it came from too, and is consumed as one.
        let topic = Some(queue.topic.as_str()).filter(|topic| !topic.starts_with(RETRY_PREFIX));
        let own = |topic| self.cluster.namespace().unwrap(topic).into_owned().into();
        Common { broker: queue.broker_name.as_str().into(), topic: topic.map(own) }
    }

    /// The message of a record as the user gets it, after it was consumed in vain `again` times here.
    pub(super) fn message(&self, common: &Common, record: Bytes, again: i32) -> Result<StoredMessage> {
        let mut message = message_of(record, common)?;
        if common.topic.is_none() && self.cluster.namespace().name().is_some() {
            message.topic = self.cluster.namespace().unwrap(&message.topic).into_owned().into();
        }
        message.reconsume_times = message.reconsume_times.saturating_add(again);
        Ok(message)
    }

    pub(super) fn consume_concurrently(self: &Arc<Self>, batch: Batch, listener: &Listener) {
        let called = self.call_batch(batch, listener);
        self.settle_called(called);
    }

    /// Calls the listener with what of a batch can be read. It waits for nothing else.
    pub(super) fn call_batch(&self, batch: Batch, listener: &Listener) -> Called {
        let Batch { queue, token, messages: fetched, .. } = batch;
        let (mut fates, mut unreadable) = (Vec::with_capacity(fetched.len()), Vec::new());
        let mut messages = Vec::with_capacity(fetched.len());
        let common = self.common(&queue);
        for (offset, fetched) in fetched {
            match self.message(&common, fetched.record.clone(), fetched.again) {
                Ok(message) => messages.push(message),
                Err(error) => unreadable.push((offset, fetched, error)),
            }
        }
        let context = ConsumeContext::new(self.own_queue(&queue));
        let consumed = match messages.is_empty() {
            true => 0,
            false => self.call(&queue.topic, listener, &messages, &context),
        };
        let rest = messages.split_off(consumed);
        fates.extend(messages.iter().map(|message| (message.queue_offset, Fate::Done)));
        Called { queue, token, fates, rest, delay_level: context.delay_level(), unreadable }
    }

    /// Sends back what was not consumed, and notes what became of each message.
    pub(super) fn settle_called(self: &Arc<Self>, called: Called) {
        let Called { queue, token, mut fates, rest, delay_level, unreadable } = called;
        for (offset, fetched, error) in &unreadable {
            fates.push((*offset, self.pass_over(&queue, fetched, error)));
        }
        for message in &rest {
            if self.is_pending(&queue, token, message.queue_offset) {
                fates.push((message.queue_offset, self.not_consumed(&queue, message, delay_level)));
            }
        }
        self.settle(&queue, token, &fates);
    }

    /// Calls the listener; how many it has consumed.
    fn call(
        &self,
        topic: &str,
        listener: &Listener,
        messages: &[StoredMessage],
        context: &ConsumeContext,
    ) -> usize {
        let traced = self.trace_before(messages);
        let began = Instant::now();
        let outcome = run(|| listener(messages, context));
        let consumed = match outcome {
            Outcome::Returned(ConsumeStatus::Success) => context.acked().min(messages.len()),
            Outcome::Returned(ConsumeStatus::Later) | Outcome::Panicked => 0,
        };
        self.stats.consumed(topic, messages.len(), consumed, began.elapsed());
        self.trace_after(traced, messages, &outcome, consumed > 0, began.elapsed());
        consumed
    }

    /// What to do with a message that the listener did not consume.
    fn not_consumed(&self, queue: &MessageQueue, message: &StoredMessage, delay_level: i32) -> Fate {
        if self.broadcasts() {
            tracing::warn!(
                "{queue:?} offset {}: message {} is not consumed, and broadcasting has no retries",
                message.queue_offset,
                message.message_id()
            );
            return Fate::Done;
        }
        match self.send_back(queue, message, delay_level) {
            Ok(()) => Fate::Done,
            Err(error) => {
                tracing::warn!(
                    "message {} is consumed again here in {AGAIN_AFTER} ms, as it cannot be sent back: {error}",
                    message.message_id()
                );
                Fate::Again
            }
        }
    }

    /// What to do with a message that cannot be read: it is kept among the dead letters.
    fn pass_over(&self, queue: &MessageQueue, fetched: &Fetched, error: &crate::Error) -> Fate {
        tracing::error!("a message is passed over: {error}");
        if self.broadcasts() {
            return Fate::Done;
        }
        match self.send_record_back(queue, &fetched.record, DEAD) {
            Ok(()) => Fate::Done,
            Err(error) => {
                tracing::warn!("it cannot become a dead letter for now: {error}");
                Fate::Again
            }
        }
    }

    /// Whether the message is still this consumer's to consume.
    fn is_pending(&self, queue: &MessageQueue, token: u64, offset: i64) -> bool {
        let mut state = self.state.lock();
        state.assigned(queue, token).is_some_and(|assigned| assigned.holds(offset))
    }

    /// Notes what became of messages. Nothing, if the queue was given up meanwhile: then they come again elsewhere.
    fn settle(self: &Arc<Self>, queue: &MessageQueue, token: u64, fates: &[(i64, Fate)]) {
        if let Some(token) = self.note(queue, token, fates) {
            self.pull(queue, token);
        }
    }

    /// Notes that a batch is consumed; the token to go on pulling its queue with, if there is room again.
    pub(super) fn note_consumed(&self, called: &Called) -> Option<u64> {
        self.note(&called.queue, called.token, &called.fates)
    }

    fn note(&self, queue: &MessageQueue, token: u64, fates: &[(i64, Fate)]) -> Option<u64> {
        let now = self.cluster.now_ms();
        let mut state = self.state.lock();
        let room = self.room(&state, &queue.topic);
        let suspended = state.suspended || state.closed;
        let assigned = state.assigned(queue, token)?;
        let mut again = false;
        for (offset, fate) in fates {
            match fate {
                Fate::Done => {
                    assigned.done(*offset);
                }
                Fate::Again => {
                    assigned.again_at(*offset, now + AGAIN_AFTER);
                    again = true;
                }
            }
        }
        let resumed = if suspended { None } else { assigned.resume(room) };
        drop(state);
        if again {
            self.cluster.signal.tick();
        }
        resumed
    }

    /// A message that was sent back because its listener holds it is done here.
    pub(super) fn settle_overdue(self: &Arc<Self>, queue: &MessageQueue, token: u64, offset: i64) {
        self.settle(queue, token, &[(offset, Fate::Done)]);
    }
}

/// Runs the user's function; a panic goes no further.
pub(super) fn run<S>(call: impl FnOnce() -> S) -> Outcome<S> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(status) => Outcome::Returned(status),
        Err(panic) => {
            let text = panic_message(&*panic);
            tracing::error!("a listener panicked, its messages come again: {text}");
            // What it holds may panic again when it is dropped.
            std::mem::forget(panic);
            Outcome::Panicked
        }
    }
}
