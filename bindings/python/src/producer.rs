//! Producers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferromq::{SendOptions, SendTo};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::aio::{self, Answer};
use crate::enter::enter;
use crate::error::{exception, Outcome, Raised};
use crate::instance::Instance;
use crate::message::{self, Message};
use crate::sent::{MessageQueue, Sent};
use crate::stored::StoredMessage;
use crate::wait::{detached, duration, in_steps, interruptible, Held};

/// Sends messages to a cluster. May be shared by threads and by asyncio tasks. Made by `Instance.producer`.
///
/// Every send takes a `Message`, or a topic, a body and the keyword arguments of `Message`. All take
///
/// - timeout: seconds, all attempts together, instead of the option `send_msg_timeout`;
/// - queue: a `MessageQueue` to send to;
/// - selector: a function of the topic's queues and the message that returns the place of one in the list.
///
/// A message whose send timed out may be stored all the same: the exception has its `message_id`.
///
/// >>> with mq.producer("shop") as producer:
/// ...     sent = producer.send("Orders", b"two apples", tag="fruit", keys="order-1")
/// >>> sent.status
/// <SendStatus.OK: 'SEND_OK'>
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct Producer {
    inner: Held<Arc<ferromq::Producer>>,
    /// Lives as long as what was made from it, to be closed when the interpreter ends.
    _instance: Py<Instance>,
}

impl Producer {
    pub fn new(inner: ferromq::Producer, instance: Py<Instance>) -> Producer {
        Producer { inner: Held::new(Arc::new(inner)), _instance: instance }
    }
}

/// What of the arguments of a send says how, the rest being parts of the message.
pub struct How {
    options: SendOptions,
    /// What a selector raised.
    raised: Arc<Mutex<Option<PyErr>>>,
}

impl How {
    /// The error to raise: the selector's own if there is one.
    fn error(&self, error: ferromq::Error) -> Raised {
        self.take_raised().map_or_else(|| error.into(), Into::into)
    }

    /// The same for asyncio.
    fn answer(&self, sent: ferromq::Result<ferromq::Sent>) -> ferromq::Result<Answer> {
        match sent {
            Ok(sent) => Ok(Answer::Sent(sent)),
            Err(error) => self.take_raised().map_or(Err(error), |raised| Ok(Answer::Raised(raised))),
        }
    }

    fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take()
    }
}

/// A message and how it is sent, of the arguments of a send.
pub fn arguments(
    what: &Bound<'_, PyAny>,
    body: Option<&Bound<'_, PyAny>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> Outcome<(ferromq::Message, How)> {
    let (how, parts) = how(keywords)?;
    if let Ok(message) = what.cast::<Message>() {
        if body.is_some() || parts.as_ref().is_some_and(|parts| !parts.is_empty()) {
            let text =
                "a Message has its body and all else already; give a topic instead, or use Message.replace";
            return Err(PyTypeError::new_err(text).into());
        }
        return Ok((message.get().inner.clone(), how));
    }
    let Ok(topic) = what.cast::<PyString>() else {
        let kind = what.get_type().name()?;
        return Err(PyTypeError::new_err(format!("send a Message, or a topic and a body; not {kind}")).into());
    };
    let message = message::build(topic.to_cow()?.into_owned(), body, parts.as_ref())?;
    Ok((message, how))
}

fn how<'py>(keywords: Option<&Bound<'py, PyDict>>) -> Outcome<(How, Option<Bound<'py, PyDict>>)> {
    let mut how = How { options: SendOptions::default(), raised: Arc::default() };
    let Some(keywords) = keywords else { return Ok((how, None)) };
    let parts = keywords.copy()?;
    let take = |name: &str| -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(value) = parts.get_item(name)? else { return Ok(None) };
        parts.del_item(name)?;
        Ok(Some(value).filter(|value| !value.is_none()))
    };
    how.options.timeout = duration(take("timeout")?.as_ref())?;
    let (queue, selector) = (take("queue")?, take("selector")?);
    if queue.is_some() && selector.is_some() {
        return Err(PyTypeError::new_err("give queue or selector, not both").into());
    }
    if let Some(queue) = queue {
        let queue = queue.cast::<MessageQueue>().map_err(PyErr::from)?.get().inner.clone();
        how.options.to = SendTo::Queue(queue);
    } else if let Some(selector) = selector {
        how.options.to = SendTo::Selected(selector_of(selector.unbind(), how.raised.clone()));
    }
    Ok((how, Some(parts)))
}

/// A selector that asks a Python function.
fn selector_of(choose: Py<PyAny>, raised: Arc<Mutex<Option<PyErr>>>) -> ferromq::Selector {
    let choose = move |queues: &[ferromq::MessageQueue], message: &ferromq::Message| {
        let place = enter(|py| {
            let queues = MessageQueue::list(queues.to_vec());
            let message = Message { inner: message.clone() };
            choose.call1(py, (queues, message))?.extract::<usize>(py)
        });
        // After the interpreter's end there is nobody to ask.
        place.unwrap_or(Ok(usize::MAX)).unwrap_or_else(|error| {
            *raised.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
            usize::MAX
        })
    };
    ferromq::Selector::own(choose)
}

/// Messages of a batch: a list of them, or a topic and a list of bodies.
fn batch(
    what: &Bound<'_, PyAny>,
    bodies: Option<&Bound<'_, PyAny>>,
    parts: Option<&Bound<'_, PyDict>>,
) -> Outcome<Vec<ferromq::Message>> {
    match (what.cast::<PyString>(), bodies) {
        (Ok(topic), Some(bodies)) => {
            let one = message::build(topic.to_cow()?.into_owned(), None, parts)?;
            let with = |body: PyResult<Bound<'_, PyAny>>| -> PyResult<ferromq::Message> {
                Ok(ferromq::Message { body: message::body_of(&body?)?, ..one.clone() })
            };
            Ok(bodies.try_iter()?.map(with).collect::<PyResult<_>>()?)
        }
        (Err(_), None) if parts.is_none_or(|parts| parts.is_empty()) => {
            let messages = what.try_iter()?;
            let inner = |one: PyResult<Bound<'_, PyAny>>| Ok(one?.cast::<Message>()?.get().inner.clone());
            Ok(messages.map(inner).collect::<PyResult<_>>()?)
        }
        _ => {
            let text = "a batch is a list of messages, or a topic and a list of bodies with what they have in common";
            Err(PyTypeError::new_err(text).into())
        }
    }
}

/// A Python function that is told the end of a send or request: `callback(result, None)` or `callback(None, error)`.
fn teller<T>(callback: Py<PyAny>) -> impl FnOnce(ferromq::Result<T>) + Send + 'static
where
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    move |result| {
        // After the interpreter's end nobody listens.
        enter(|py| {
            let called = match result {
                Ok(answer) => callback.call1(py, (answer, py.None())),
                Err(error) => callback.call1(py, (py.None(), exception(py, &error).into_value(py))),
            };
            if let Err(error) = called {
                error.write_unraisable(py, Some(callback.bind(py)));
            }
        });
    }
}

#[pymethods]
impl Producer {
    /// The group.
    #[getter]
    fn group(&self) -> &str {
        self.inner.group()
    }

    /// The queues of a topic that can be sent to, by broker and number.
    fn queues(&self, py: Python<'_>, topic: String) -> Outcome<Vec<MessageQueue>> {
        let inner = Arc::clone(&self.inner);
        Ok(MessageQueue::list(interruptible(py, move || inner.queues(&topic))?))
    }

    /// Sends a message and waits until it is stored, trying again on other brokers.
    #[pyo3(signature = (message, body = None, /, **how))]
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        how: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<Sent> {
        let (message, how) = arguments(message, body, how)?;
        let sent = py.detach(|| self.inner.send_with(&message, &how.options));
        Ok(Sent { inner: sent.map_err(|error| how.error(error))? })
    }

    /// Sends a message and returns an asyncio future of its `Sent` at once; the send has begun. Does not block the loop:
    /// one that has to wait for room (`back_pressure_for_async_send_num`) waits in the future. A send that is cancelled
    /// may be stored all the same, unless it still waited for room.
    #[pyo3(signature = (message, body = None, /, **how))]
    fn send_async<'py>(
        &self,
        py: Python<'py>,
        message: &Bound<'py, PyAny>,
        body: Option<&Bound<'py, PyAny>>,
        how: Option<&Bound<'py, PyDict>>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let (message, how) = arguments(message, body, how)?;
        // It does not wait, and who gave the lock away here would have to fight for it with the thread that brings results.
        // A selector needs its own way in.
        let sending = match how.options.to {
            SendTo::Selected(_) => py.detach(|| self.inner.send_async_with(&message, &how.options)),
            _ => self.inner.send_async_with(&message, &how.options),
        };
        aio::future(py, async move { how.answer(sending.await) })
    }

    /// Sends a message and returns at once. `callback(sent, None)` or `callback(None, error)` is called on a thread of the
    /// library; it may use anything of it. Waits for room if too many are under way.
    #[pyo3(signature = (message, body = None, /, *, callback, **how))]
    fn send_callback(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        callback: Py<PyAny>,
        how: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<()> {
        let (message, how) = arguments(message, body, how)?;
        let tell = teller(callback);
        let told = move |sent: ferromq::Result<ferromq::Sent>| tell(sent.map(|inner| Sent { inner }));
        py.detach(|| self.inner.send_callback(&message, &how.options, told));
        Ok(())
    }

    /// Sends a message without asking for an answer: for what may be lost, such as log lines.
    #[pyo3(signature = (message, body = None, /, **how))]
    fn send_oneway(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        how: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<()> {
        let (message, how) = arguments(message, body, how)?;
        py.detach(|| self.inner.send_oneway_with(&message, &how.options)).map_err(|error| how.error(error))
    }

    /// Sends messages of one topic together, side by side into one queue: all are stored or none. Give a list of
    /// messages, or a topic and a list of bodies, with what they have in common as keyword arguments. Together they may
    /// be as large as one message (4 MiB).
    ///
    /// >>> sent = mq.producer("shop").send_batch("Orders", [b"one", b"two", b"three"], tag="fruit")
    /// >>> len(sent.message_ids)
    /// 3
    #[pyo3(signature = (messages, bodies = None, /, **how))]
    fn send_batch(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        bodies: Option<&Bound<'_, PyAny>>,
        how: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<Sent> {
        let (how, parts) = self::how(how)?;
        let messages = batch(messages, bodies, parts.as_ref())?;
        let sent = py.detach(|| self.inner.send_batch_with(&messages, &how.options));
        Ok(Sent { inner: sent.map_err(|error| how.error(error))? })
    }

    /// As `send_batch`, but returns an asyncio future of its `Sent` at once.
    #[pyo3(signature = (messages, bodies = None, /, **how))]
    fn send_batch_async<'py>(
        &self,
        py: Python<'py>,
        messages: &Bound<'py, PyAny>,
        bodies: Option<&Bound<'py, PyAny>>,
        how: Option<&Bound<'py, PyDict>>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let (how, parts) = self::how(how)?;
        let messages = batch(messages, bodies, parts.as_ref())?;
        let told = aio::Told::new();
        let teller = told.teller();
        py.detach(|| self.inner.send_batch_callback(&messages, &how.options, move |sent| teller.tell(sent)));
        aio::future(py, async move { how.answer(told.await) })
    }

    /// Sends any number of messages in batches of about a MiB, one after the other. Each batch is stored or not by itself.
    #[pyo3(signature = (messages, bodies = None, /, **parts))]
    fn send_split(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        bodies: Option<&Bound<'_, PyAny>>,
        parts: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<Vec<Sent>> {
        let messages = batch(messages, bodies, parts)?;
        let sent = detached(py, || self.inner.send_split(&messages))?;
        Ok(sent.into_iter().map(|inner| Sent { inner }).collect())
    }

    /// Sends a message and waits for the reply to it, which a consumer makes with `reply`; `timeout` in seconds.
    #[pyo3(signature = (message, body = None, /, *, timeout, **parts))]
    fn request(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        timeout: &Bound<'_, PyAny>,
        parts: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<StoredMessage> {
        let (message, _) = arguments(message, body, parts)?;
        let limit = duration(Some(timeout))?.unwrap_or_default();
        let told = aio::Told::new();
        let teller = told.teller();
        py.detach(|| self.inner.request_callback(&message, limit, move |reply| teller.tell(reply)));
        let reply = in_steps(py, None, |slice| told.wait(slice))?;
        match reply {
            Some(reply) => Ok(StoredMessage::new(reply)),
            None => Err(ferromq::Error::new(ferromq::ErrorKind::Timeout, "request", "no reply").into()),
        }
    }

    /// As `request`, but returns an asyncio future of the reply at once.
    #[pyo3(signature = (message, body = None, /, *, timeout, **parts))]
    fn request_async<'py>(
        &self,
        py: Python<'py>,
        message: &Bound<'py, PyAny>,
        body: Option<&Bound<'py, PyAny>>,
        timeout: &Bound<'py, PyAny>,
        parts: Option<&Bound<'py, PyDict>>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let (message, _) = arguments(message, body, parts)?;
        let limit = duration(Some(timeout))?.unwrap_or_default();
        let asking = py.detach(|| self.inner.request_async(&message, limit));
        aio::future(py, async move { asking.await.map(|reply| Answer::Message(Box::new(reply))) })
    }

    /// Sends the reply to a request that a consumer got.
    fn reply(&self, py: Python<'_>, request: &StoredMessage, body: &Bound<'_, PyAny>) -> Outcome<Sent> {
        let body = message::body_of(body)?;
        Ok(Sent { inner: detached(py, || self.inner.reply(&request.inner, body))? })
    }

    /// Asynchronous sends under way, running callbacks included.
    #[getter]
    fn sends_in_flight(&self, py: Python<'_>) -> usize {
        py.detach(|| self.inner.sends_in_flight())
    }

    /// Takes no further sends, waits for those under way and for their callbacks, at most `timeout` seconds (ten), and
    /// leaves the group. Closing again is fine.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> Outcome<()> {
        let inner = Arc::clone(&self.inner);
        let limit = duration(timeout)?.unwrap_or(CLOSE_WITHIN);
        interruptible(py, move || inner.close_within(limit))
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> Outcome<()> {
        self.close(py, None)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        crate::aio::helper(slf.py(), "value", (slf,), None)
    }

    #[pyo3(signature = (*_exception))]
    fn __aexit__<'py>(slf: &Bound<'py, Self>, _exception: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        crate::aio::helper(slf.py(), "in_thread", (slf.getattr("close")?,), None)
    }

    fn __repr__(&self) -> String {
        format!("<Producer of group {}>", self.inner.group())
    }
}

/// How long closing a producer waits for its sends under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
