//! Consumers that are asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ferromq::ErrorKind;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::aio::{self, Polling};
use crate::enums;
use crate::error::{Outcome, Raised};
use crate::instance::Instance;
use crate::push::subscription;
use crate::sent::{queues_of, MessageQueue};
use crate::stored::StoredMessage;
use crate::wait::{detached, duration, in_steps, interruptible, Held};

/// Consumes a group's share of its topics' queues, or the queues it is told, at the program's own pace; without a group all
/// of them for itself. Made by `Instance.consumer`. Iterate over it, or `poll`; `async for` and `poll_async` are the
/// same for asyncio.
///
/// At least once: messages count as consumed when `commit` is called after they were returned. With `auto_commit`, the
/// default, the next poll says so, or the next step of an iteration, and `close`. A `with` block that is left by an
/// exception commits nothing more, so what was in hand comes again.
///
/// May be shared by threads; a commit then covers what all of them have polled.
///
/// >>> sent = mq.producer("shop").send("Orders", b"one pear")
/// >>> with mq.consumer("reports", consume_from_where="CONSUME_FROM_FIRST_OFFSET") as consumer:
/// ...     consumer.subscribe("Orders")
/// ...     for message in consumer:
/// ...         print(message.body)
/// ...         break
/// b'one pear'
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct Consumer {
    inner: Held<ferromq::Consumer>,
    started: AtomicBool,
    /// Lives as long as what was made from it, to be closed when the interpreter ends.
    _instance: Py<Instance>,
}

impl Consumer {
    pub fn new(inner: ferromq::Consumer, instance: Py<Instance>) -> Consumer {
        Consumer { inner: Held::new(inner), started: AtomicBool::new(false), _instance: instance }
    }

    /// The next messages, at most `count`; none if none came in time.
    fn next(
        &self,
        py: Python<'_>,
        count: Option<usize>,
        timeout: Option<Duration>,
    ) -> Outcome<Vec<Py<StoredMessage>>> {
        let inner = &*self.inner;
        let some = |messages: Vec<_>| Some(messages).filter(|messages| !messages.is_empty());
        let messages = in_steps(py, timeout, |slice| match count {
            Some(count) => inner.poll_at_most(count, slice).map(some),
            None => inner.poll(slice).map(some),
        })?;
        Ok(StoredMessage::list(py, messages.unwrap_or_default())?)
    }
}

#[pymethods]
impl Consumer {
    /// Consumes a topic: `*` for all of it, `TagA || TagB`, or a `Subscription` (which can be one by SQL92). Replaces what
    /// was wanted of the topic before. All members of a group must subscribe to the same.
    #[pyo3(signature = (topic, expression = "*"))]
    fn subscribe(&self, py: Python<'_>, topic: &Bound<'_, PyAny>, expression: &str) -> Outcome<()> {
        let (inner, subscription) = (self.inner.clone(), subscription(topic, expression)?);
        interruptible(py, move || inner.subscribe_to(subscription))
    }

    /// Does not consume a topic any more.
    fn unsubscribe(&self, py: Python<'_>, topic: &str) {
        py.detach(|| self.inner.unsubscribe(topic));
    }

    /// Consumes exactly these queues, whoever else has them; replaces those of an earlier call.
    fn assign(&self, py: Python<'_>, queues: &Bound<'_, PyAny>) -> Outcome<()> {
        let (inner, queues) = (self.inner.clone(), queues_of(queues)?);
        interruptible(py, move || inner.assign(&queues))
    }

    /// Joins the group and begins to fetch, as the first poll would.
    fn start(&self, py: Python<'_>) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.start())?;
        self.started.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The next messages, all of one queue, in their order, at most `count` (`poll_batch`); an empty list if none came within
    /// `timeout` seconds. `None` waits for ever.
    #[pyo3(signature = (timeout = None, count = None))]
    fn poll(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        count: Option<usize>,
    ) -> Outcome<Vec<Py<StoredMessage>>> {
        self.next(py, count, duration(timeout)?)
    }

    /// As `poll`, for asyncio: a coroutine. Cancelled, it has taken no message.
    #[pyo3(signature = (timeout = None, count = None))]
    fn poll_async<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<&Bound<'py, PyAny>>,
        count: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let seconds = duration(timeout)?.map(|limit| limit.as_secs_f64());
        aio::helper(slf.py(), "poll", (slf, seconds, count), None)
    }

    #[getter]
    fn _started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    #[pyo3(signature = (count = None))]
    fn _polling(&self, count: Option<usize>) -> Polling {
        Polling::new(match count {
            Some(count) => self.inner.poll_async_at_most(count),
            None => self.inner.poll_async(),
        })
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// One at a time, so that what is not in hand yet is not committed. The iteration ends when the consumer is closed.
    fn __next__(&self, py: Python<'_>) -> Outcome<Py<StoredMessage>> {
        match self.next(py, Some(1), None) {
            Ok(messages) => Ok(messages.into_iter().next().ok_or_else(|| PyStopIteration::new_err(()))?),
            Err(Raised::Library(error)) if error.kind() == ErrorKind::Closed => {
                Err(PyStopIteration::new_err(()).into())
            }
            Err(error) => Err(error),
        }
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        aio::helper(slf.py(), "next_message", (slf,), None)
    }

    /// All messages that were returned so far are consumed. Brokers are told within seconds; `flush` tells them at once.
    fn commit(&self, py: Python<'_>) {
        py.detach(|| self.inner.commit());
    }

    /// What is before `offset` in a queue is consumed.
    fn commit_queue(&self, py: Python<'_>, queue: &MessageQueue, offset: i64) -> Outcome<()> {
        detached(py, || self.inner.commit_queue(&queue.inner, offset))
    }

    /// Stores what was committed, and waits until it is.
    fn flush(&self, py: Python<'_>) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.flush())
    }

    /// How far the group has come in a queue, as it is stored; `None` if it has not consumed there yet.
    fn committed(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<Option<i64>> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.committed(&queue))
    }

    /// Goes on with a queue at `offset`; what was fetched is forgotten.
    fn seek(&self, py: Python<'_>, queue: &MessageQueue, offset: i64) -> Outcome<()> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.seek(&queue, offset))
    }

    /// Goes on with the first message that the queue still has.
    fn seek_to_begin(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<()> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.seek_to_begin(&queue))
    }

    /// Goes on with what is stored from now on.
    fn seek_to_end(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<()> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.seek_to_end(&queue))
    }

    /// Goes on with the first message stored at a time, ms since 1970, or later.
    fn seek_to_time(&self, py: Python<'_>, queue: &MessageQueue, ms: i64) -> Outcome<()> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.seek_to_time(&queue, ms))
    }

    /// The offset of the first message of a queue stored at a time, ms since 1970, or later; the end if there is none.
    fn offset_for_time(&self, py: Python<'_>, queue: &MessageQueue, ms: i64) -> Outcome<i64> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.offset_for_time(&queue, ms))
    }

    /// Fetches and hands out nothing of these queues until `resume`.
    fn pause(&self, py: Python<'_>, queues: &Bound<'_, PyAny>) -> Outcome<()> {
        let queues = queues_of(queues)?;
        py.detach(|| self.inner.pause(&queues));
        Ok(())
    }

    /// Ends a pause of these queues.
    fn resume(&self, py: Python<'_>, queues: &Bound<'_, PyAny>) -> Outcome<()> {
        let queues = queues_of(queues)?;
        py.detach(|| self.inner.resume(&queues));
        Ok(())
    }

    /// Whether everything was returned that the queues held when they were last heard of.
    #[getter]
    fn is_caught_up(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.is_caught_up())
    }

    /// The queues that are this consumer's at present.
    fn queues(&self, py: Python<'_>) -> Vec<MessageQueue> {
        MessageQueue::list(py.detach(|| self.inner.queues()))
    }

    /// All queues of a topic, to be chosen from for `assign`.
    fn topic_queues(&self, py: Python<'_>, topic: String) -> Outcome<Vec<MessageQueue>> {
        let inner = self.inner.clone();
        Ok(MessageQueue::list(interruptible(py, move || inner.topic_queues(&topic))?))
    }

    /// Asks a broker once for up to `count` messages of a queue from `offset` on, of those that the subscription wants (all
    /// without). If there is nothing, the broker waits for a message up to `timeout` seconds. Neither subscribes nor
    /// commits; no start is needed.
    #[pyo3(signature = (queue, offset, *, subscription = None, count = 32, timeout = None))]
    fn pull(
        &self,
        py: Python<'_>,
        queue: &MessageQueue,
        offset: i64,
        subscription: Option<&Bound<'_, PyAny>>,
        count: i32,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> Outcome<Pulled> {
        let subscription = match subscription {
            Some(subscription) => self::subscription(subscription, "*")?,
            None => ferromq::Subscription::all(queue.inner.topic.as_str()),
        };
        let limit = duration(timeout)?.unwrap_or_default();
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        let pull = move || inner.pull(&queue, &subscription, offset, count, limit);
        // What answers at once needs no thread that watches for signals.
        let pulled = if limit.is_zero() { detached(py, pull)? } else { interruptible(py, pull)? };
        Pulled::new(py, pulled)
    }

    /// The group; `None` if it consumes for itself.
    #[getter]
    fn group(&self) -> Option<&str> {
        self.inner.group()
    }

    /// Stores what was committed (with `auto_commit` all that was returned) and leaves the group, within `timeout` seconds
    /// (`await_termination_millis_when_shutdown`). Polls that wait end with `ClosedError`. Closing again is fine.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> Outcome<()> {
        let (inner, limit) = (self.inner.clone(), duration(timeout)?);
        interruptible(py, move || match limit {
            Some(limit) => inner.close_within(limit),
            None => inner.close(),
        })
    }

    /// As `close`, but commits nothing more, also with `auto_commit`: what was returned last comes again.
    fn abandon(&self, py: Python<'_>) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || {
            inner.abandon();
            Ok(())
        })
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> Outcome<()> {
        match exception.iter().any(|part| !part.is_none()) {
            true => self.abandon(py),
            false => self.close(py, None),
        }
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        aio::helper(slf.py(), "value", (slf,), None)
    }

    #[pyo3(signature = (*exception))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exception: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let failed = exception.iter().any(|part| !part.is_none());
        let end = slf.getattr(if failed { "abandon" } else { "close" })?;
        aio::helper(slf.py(), "in_thread", (end,), None)
    }

    fn __repr__(&self) -> String {
        match self.inner.group() {
            Some(group) => format!("<Consumer of group {group}>"),
            None => "<Consumer without group>".into(),
        }
    }
}

/// What a single pull brought.
#[pyclass(module = "ferromq", frozen, get_all)]
pub struct Pulled {
    /// How it ended.
    status: Py<PyAny>,
    /// The messages.
    messages: Vec<Py<StoredMessage>>,
    /// Offset to pull from next.
    next: i64,
    /// First offset of the queue.
    min: i64,
    /// End of the queue: the offset that its next message gets.
    max: i64,
}

impl Pulled {
    fn new(py: Python<'_>, pulled: ferromq::Pulled) -> Outcome<Pulled> {
        let ferromq::Pulled { status, messages, next, min, max } = pulled;
        let (status, messages) = (enums::pull_status(py, status)?, StoredMessage::list(py, messages)?);
        Ok(Pulled { status, messages, next, min, max })
    }
}

#[pymethods]
impl Pulled {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let status = self.status.bind(py).getattr("name")?;
        let (count, next) = (self.messages.len(), self.next);
        Ok(format!("<Pulled {status}: {count} messages, next {next} of {} to {}>", self.min, self.max))
    }
}
