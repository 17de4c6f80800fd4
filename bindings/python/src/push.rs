//! Consumers that call a listener.

use ferromq::{Action, ConsumeStatus, OrderlyStatus};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::enter::{enter, stay};
use crate::error::Outcome;
use crate::instance::Instance;
use crate::listener::{ConsumeContext, Listener, Messages, OrderlyContext};
use crate::sent::{MessageQueue, Subscription};
use crate::wait::{detached, duration, interruptible, Held};

/// A member of a group whose listener is called with the messages of the member's share of the queues, on threads of the
/// library. Made by `Instance.push_consumer`. Set it up with `subscribe` and one of `listen`, `listen_one` and
/// `listen_orderly`, then `start` it; from then on it lives until it is closed, or its instance is, also if nobody
/// holds it any more.
///
/// A listener that returns `None` or `True` has consumed its messages. They come again later (after 10 s, 30 s, 1 min and so
/// on, 16 times, and are dead letters then) if it returns `False` or raises; what it raised is logged. The enums
/// `ConsumeStatus`, `OrderlyStatus` and `Action` say the same. Coroutine functions are listeners, too: they run on the
/// asyncio loop that was running when they were given.
///
/// At least once: a listener should recognise what it has done before.
///
/// >>> import queue
/// >>> seen = queue.Queue()
/// >>> with mq.push_consumer("billing", consume_from_where="CONSUME_FROM_FIRST_OFFSET") as consumer:
/// ...     consumer.subscribe("Orders", "fruit || vegetables")
/// ...     @consumer.listen_one
/// ...     def bill(message):
/// ...         seen.put(message.body)
/// ...     consumer.start()
/// ...     sent = mq.producer("shop").send("Orders", b"one melon", tag="fruit")
/// ...     seen.get(timeout=60)
/// b'one melon'
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct PushConsumer {
    inner: Held<ferromq::PushConsumer>,
    instance: Py<Instance>,
}

impl PushConsumer {
    pub fn new(inner: ferromq::PushConsumer, instance: Py<Instance>) -> PushConsumer {
        PushConsumer { inner: Held::new(inner), instance }
    }
}

/// A subscription given as one, or as a topic and tags.
pub fn subscription(topic: &Bound<'_, PyAny>, expression: &str) -> Outcome<ferromq::Subscription> {
    if let Ok(subscription) = topic.cast::<Subscription>() {
        return Ok(subscription.get().inner.clone());
    }
    let topic = topic.cast::<PyString>().map_err(PyErr::from)?;
    Ok(ferromq::Subscription::tags(topic.to_cow()?, expression)?)
}

#[pymethods]
impl PushConsumer {
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

    /// The listener, called with up to `consume_message_batch_max_size` messages of one queue, and a `ConsumeContext` if it
    /// takes a second argument; several times at once, in no order. Can be used as a decorator.
    fn listen<'py>(&self, py: Python<'py>, listener: Bound<'py, PyAny>) -> Outcome<Bound<'py, PyAny>> {
        let called = Listener::new(py, &listener)?;
        let call = move |messages: &[ferromq::StoredMessage], context: &ferromq::ConsumeContext| {
            let consumed = enter(|py| {
                let own = ConsumeContext::new(context.queue());
                called.call(py, Messages::All(messages), own, |own| own.apply(context))
            });
            if consumed == Some(true) {
                ConsumeStatus::Success
            } else {
                ConsumeStatus::Later
            }
        };
        self.inner.call_within(stay);
        detached(py, || self.inner.listen(call))?;
        Ok(listener)
    }

    /// The listener for one message at a time: `listener(message)` or `listener(message, context)`. Can be used as a
    /// decorator.
    fn listen_one<'py>(&self, py: Python<'py>, listener: Bound<'py, PyAny>) -> Outcome<Bound<'py, PyAny>> {
        let called = Listener::new(py, &listener)?;
        let call = move |message: &ferromq::StoredMessage, context: &ferromq::ConsumeContext| {
            let consumed = enter(|py| {
                let own = ConsumeContext::new(context.queue());
                called.call(py, Messages::One(message), own, |own| own.apply(context))
            });
            if consumed == Some(true) {
                Action::Commit
            } else {
                Action::Later
            }
        };
        self.inner.call_within(stay);
        detached(py, || self.inner.listen_one(call))?;
        Ok(listener)
    }

    /// The listener for ordered consumption: of each queue one call at a time, in the order of the queue; called with a list
    /// of messages, and an `OrderlyContext` if it takes a second argument. While it fails, the rest of the queue waits.
    /// Can be used as a decorator.
    fn listen_orderly<'py>(
        &self,
        py: Python<'py>,
        listener: Bound<'py, PyAny>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let called = Listener::new(py, &listener)?;
        let call = move |messages: &[ferromq::StoredMessage], context: &ferromq::OrderlyContext| {
            let consumed = enter(|py| {
                let own = OrderlyContext::new(context.queue());
                called.call(py, Messages::All(messages), own, |own| own.apply(context))
            });
            if consumed == Some(true) {
                OrderlyStatus::Success
            } else {
                OrderlyStatus::SuspendCurrentQueue
            }
        };
        detached(py, || self.inner.listen_orderly(call))?;
        Ok(listener)
    }

    /// Joins the group and begins to consume. A topic that does not exist yet is consumed once it does.
    fn start(slf: &Bound<'_, Self>) -> Outcome<()> {
        let (py, this) = (slf.py(), slf.get());
        let inner = this.inner.clone();
        // Before it starts: its listener may close it at once.
        this.instance.get().keep(slf);
        let started = interruptible(py, move || inner.start());
        if started.is_err() {
            this.instance.get().release(slf);
        }
        started
    }

    /// Pauses: nothing is fetched and the listener is not called until `resume`. Calls that run go on.
    fn suspend(&self, py: Python<'_>) {
        py.detach(|| self.inner.suspend());
    }

    /// Ends a pause.
    fn resume(&self, py: Python<'_>) {
        py.detach(|| self.inner.resume());
    }

    /// Whether it was paused.
    #[getter]
    fn is_suspended(&self, py: Python<'_>) -> bool {
        py.detach(|| self.inner.is_suspended())
    }

    /// Changes how many calls of the listener run at a time: from 1 to `consume_thread_max`, what is beyond is cut.
    fn update_threads(&self, py: Python<'_>, count: usize) {
        py.detach(|| self.inner.update_threads(count));
    }

    /// The queues that are this consumer's at present.
    fn queues(&self, py: Python<'_>) -> Vec<MessageQueue> {
        MessageQueue::list(py.detach(|| self.inner.queues()))
    }

    /// The group.
    #[getter]
    fn group(&self) -> &str {
        self.inner.group()
    }

    /// Fetches nothing more, waits for running listeners at most `timeout` seconds
    /// (`await_termination_millis_when_shutdown`), stores how far it has come and leaves the group. When it returns, the
    /// listener is not called any more. Called by the listener itself, it returns at once. Closing again is fine.
    #[pyo3(signature = (timeout = None))]
    fn close(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> Outcome<()> {
        let (py, this) = (slf.py(), slf.get());
        let (inner, limit) = (this.inner.clone(), duration(timeout)?);
        let closed = interruptible(py, move || match limit {
            Some(limit) => inner.close_within(limit),
            None => inner.close(),
        });
        this.instance.get().release(slf);
        closed
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(slf: &Bound<'_, Self>, _exception: &Bound<'_, PyAny>) -> Outcome<()> {
        PushConsumer::close(slf, None)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        crate::aio::helper(slf.py(), "value", (slf,), None)
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__<'py>(slf: &Bound<'py, Self>, _exception: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        crate::aio::helper(slf.py(), "in_thread", (slf.getattr("close")?,), None)
    }

    fn __repr__(&self) -> String {
        format!("<PushConsumer of group {}>", self.inner.group())
    }
}
