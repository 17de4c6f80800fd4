//! What listeners get besides messages, and what they answer.

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::wire::body::MessageQueue;

/// How a concurrent listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "ConsumeConcurrentlyStatus")]
pub enum ConsumeStatus {
    /// The messages are consumed, up to the [`ConsumeContext::set_ack_index`].
    #[doc(alias = "CONSUME_SUCCESS")]
    Success,
    /// They come again later.
    #[doc(alias = "RECONSUME_LATER")]
    Later,
}

/// How an ordered listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "ConsumeOrderlyStatus")]
pub enum OrderlyStatus {
    /// The messages are consumed.
    #[doc(alias = "SUCCESS")]
    Success,
    /// They come again after a pause, and nothing else of the queue before them.
    #[doc(alias = "SUSPEND_CURRENT_QUEUE_A_MOMENT")]
    SuspendCurrentQueue,
}

/// How a listener for single messages ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The message is consumed.
    #[doc(alias = "CommitMessage")]
    Commit,
    /// It comes again later.
    #[doc(alias = "ReconsumeLater")]
    Later,
}

/// What a concurrent listener knows and may wish beyond its messages.
#[derive(Debug)]
#[doc(alias = "ConsumeConcurrentlyContext")]
pub struct ConsumeContext {
    queue: MessageQueue,
    acked: AtomicUsize,
    delay_level: AtomicI32,
}

impl ConsumeContext {
    pub(super) fn new(queue: MessageQueue) -> ConsumeContext {
        ConsumeContext { queue, acked: AtomicUsize::new(usize::MAX), delay_level: AtomicI32::new(0) }
    }

    /// The queue that all of the messages come from.
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// Only the messages up to the one with this index, counted from 0, are consumed; those behind it come again
    /// later. Counts if the listener answers [`ConsumeStatus::Success`]; if it does not call this, all are consumed.
    #[doc(alias = "setAckIndex")]
    pub fn set_ack_index(&self, index: usize) {
        self.acked.store(index.saturating_add(1), Ordering::Relaxed);
    }

    /// When messages come again: after the time of this delay level; 0, the default: later each time as the broker
    /// chooses; below 0: never, they go to the dead letters at once.
    #[doc(alias = "setDelayLevelWhenNextConsume")]
    pub fn set_delay_level(&self, level: i32) {
        self.delay_level.store(level, Ordering::Relaxed);
    }

    /// How many of the messages are consumed after all.
    pub(super) fn acked(&self) -> usize {
        self.acked.load(Ordering::Relaxed)
    }

    pub(super) fn delay_level(&self) -> i32 {
        self.delay_level.load(Ordering::Relaxed)
    }
}

/// What an ordered listener knows and may wish beyond its messages.
#[derive(Debug)]
#[doc(alias = "ConsumeOrderlyContext")]
pub struct OrderlyContext {
    queue: MessageQueue,
    suspend_ms: AtomicI64,
}

impl OrderlyContext {
    pub(super) fn new(queue: MessageQueue) -> OrderlyContext {
        OrderlyContext { queue, suspend_ms: AtomicI64::new(-1) }
    }

    /// The queue that all of the messages come from.
    pub fn queue(&self) -> &MessageQueue {
        &self.queue
    }

    /// How long the queue pauses if the listener answers [`OrderlyStatus::SuspendCurrentQueue`]: 10 ms to 30 s;
    /// otherwise as the options say.
    #[doc(alias = "setSuspendCurrentQueueTimeMillis")]
    pub fn set_suspend_time(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.suspend_ms.store(ms.clamp(10, 30_000), Ordering::Relaxed);
    }

    /// The pause in ms, if the listener set one.
    pub(super) fn suspend_ms(&self) -> Option<i64> {
        Some(self.suspend_ms.load(Ordering::Relaxed)).filter(|ms| *ms >= 0)
    }
}
