//! What programs hold: a client of a cluster, or of a server of their own in this process.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::admin::Admin;
use crate::consumer::Consumer;
use crate::error::Outcome;
use crate::message::{self};
use crate::options;
use crate::producer::Producer;
use crate::push::PushConsumer;
use crate::sent::MessageQueue;
use crate::stored::StoredMessage;
use crate::transaction::{Functions, TransactionProducer};
use crate::wait::{detached, duration, interruptible, Held};

/// How long closing waits unless told otherwise.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// A client, and with `ferromq.open` the server in this process that it uses. What is made from it shares its connections,
/// routes, heartbeats and threads; make one a process and keep it. May be shared by threads.
///
/// In a process made by `os.fork` all its calls fail with `ForkedError`; open or connect anew there.
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct Instance {
    inner: Held<ferromq::Instance>,
    /// Push consumers that were started: they live until they or the instance are closed, as threads do.
    running: Mutex<Vec<Py<PushConsumer>>>,
}

impl Instance {
    fn running(&self) -> MutexGuard<'_, Vec<Py<PushConsumer>>> {
        self.running.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Keeps a consumer alive.
    pub fn keep(&self, consumer: &Bound<'_, PushConsumer>) {
        let mut running = self.running();
        if !running.iter().any(|one| one.is(consumer)) {
            running.push(consumer.clone().unbind());
        }
    }

    /// Does not keep it any more.
    pub fn release(&self, consumer: &Bound<'_, PushConsumer>) {
        let ended = {
            let mut running = self.running();
            let place = running.iter().position(|one| one.is(consumer));
            place.map(|place| running.swap_remove(place))
        };
        // Not under the lock: whatever ends with it may come back here.
        drop(ended);
    }
}

/// Opens a server and its client; `ferromq.open` is its public face.
#[pyfunction]
#[pyo3(name = "_open", signature = (path, options))]
pub fn open(py: Python<'_>, path: Option<PathBuf>, options: &Bound<'_, PyDict>) -> Outcome<Instance> {
    let settings = options::open(path, Some(options))?;
    let inner = interruptible(py, move || ferromq::open_with(settings))?;
    Ok(Instance { inner: Held::new(inner), running: Mutex::default() })
}

/// Makes a client of a cluster; `ferromq.connect` is its public face.
#[pyfunction]
#[pyo3(name = "_connect", signature = (name_servers, options))]
pub fn connect(py: Python<'_>, name_servers: &str, options: &Bound<'_, PyDict>) -> Outcome<Instance> {
    let settings = options::client(name_servers, Some(options))?;
    let inner = detached(py, move || ferromq::connect_with(settings))?;
    Ok(Instance { inner: Held::new(inner), running: Mutex::default() })
}

#[pymethods]
impl Instance {
    /// A producer of this group, with options of producers as keyword arguments.
    #[pyo3(signature = (group, **options))]
    fn producer(
        slf: &Bound<'_, Self>,
        group: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<Producer> {
        let settings = options::producer(group, options)?;
        let client = &slf.get().inner;
        let inner = detached(slf.py(), || client.producer_with(settings))?;
        Ok(Producer::new(inner, slf.clone().unbind()))
    }

    /// A producer of messages that count once their transaction is committed: `listener` is an object with the methods
    /// `execute(message, transaction_id)` and `check(message)`; or give these two functions.
    #[pyo3(signature = (group, listener = None, *, execute = None, check = None, **options))]
    fn transaction_producer<'py>(
        slf: &Bound<'py, Self>,
        group: &str,
        listener: Option<&Bound<'py, PyAny>>,
        execute: Option<Bound<'py, PyAny>>,
        check: Option<Bound<'py, PyAny>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> Outcome<TransactionProducer> {
        let (execute, check) = match (listener, execute, check) {
            (Some(listener), None, None) => (listener.getattr("execute")?, listener.getattr("check")?),
            (None, Some(execute), Some(check)) => (execute, check),
            _ => {
                let text = "give an object with the methods execute and check, or execute= and check=";
                return Err(PyTypeError::new_err(text).into());
            }
        };
        let settings = options::producer(group, options)?;
        let functions = Functions::new(slf.py(), &execute, &check)?;
        TransactionProducer::new(slf, &slf.get().inner, settings, functions)
    }

    /// A push consumer of this group, which calls a listener; with options of consumers as keyword arguments. Does nothing
    /// before its start.
    #[pyo3(signature = (group, **options))]
    fn push_consumer(
        slf: &Bound<'_, Self>,
        group: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<PushConsumer> {
        let settings = options::consumer(Some(group), options)?;
        let client = &slf.get().inner;
        let inner = detached(slf.py(), || client.push_consumer_with(settings))?;
        Ok(PushConsumer::new(inner, slf.clone().unbind()))
    }

    /// A consumer of this group that is asked for messages, with options of consumers as keyword arguments; without a
    /// group it reads all queues for itself.
    #[pyo3(signature = (group = None, **options))]
    fn consumer(
        slf: &Bound<'_, Self>,
        group: Option<&str>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<Consumer> {
        let settings = options::consumer(group, options)?;
        let client = &slf.get().inner;
        let inner = detached(slf.py(), || client.consumer_with(settings))?;
        Ok(Consumer::new(inner, slf.clone().unbind()))
    }

    /// Makes a topic with this many queues on every master, or changes the number of one that is there. Where brokers
    /// allow it, a topic is also made by its first message.
    #[pyo3(signature = (name, queues = 4))]
    fn create_topic(&self, py: Python<'_>, name: String, queues: i32) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.create_topic(&name, queues))
    }

    /// Operators' calls: topics, groups, offsets, brokers.
    fn admin(slf: &Bound<'_, Self>) -> Admin {
        Admin::new(slf.get().inner.admin(), slf.clone().unbind())
    }

    /// Gives the masters of a topic a filter function of a group: a WebAssembly module; an empty one takes it away.
    fn set_filter_function(
        &self,
        py: Python<'_>,
        topic: String,
        group: String,
        name: String,
        module: &Bound<'_, PyAny>,
    ) -> Outcome<()> {
        let (inner, module) = (self.inner.clone(), message::body_of(module)?);
        interruptible(py, move || inner.set_filter_function(&topic, &group, &name, &module))
    }

    /// The queues of a topic.
    fn queues(&self, py: Python<'_>, topic: String) -> Outcome<Vec<MessageQueue>> {
        let inner = self.inner.clone();
        Ok(MessageQueue::list(interruptible(py, move || inner.queues(&topic))?))
    }

    /// The message at a place, by `Sent.offset_id` or `StoredMessage.offset_id`.
    fn message_by_id(&self, py: Python<'_>, offset_id: String) -> Outcome<StoredMessage> {
        let inner = self.inner.clone();
        Ok(StoredMessage::new(interruptible(py, move || inner.message_by_id(&offset_id))?))
    }

    /// The message with this unique id: `Sent.message_id`, or `message_id` of the error of a send whose end is not known.
    fn message_by_unique_key(&self, py: Python<'_>, topic: String, id: String) -> Outcome<StoredMessage> {
        let inner = self.inner.clone();
        Ok(StoredMessage::new(interruptible(py, move || inner.message_by_unique_key(&topic, &id))?))
    }

    /// Messages that have this key and were stored between the times, ms since 1970: the oldest first, at most `max`.
    #[pyo3(signature = (topic, key, max = 64, begin_ms = 0, end_ms = i64::MAX))]
    fn messages_by_key(
        &self,
        py: Python<'_>,
        topic: String,
        key: String,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Outcome<Vec<Py<StoredMessage>>> {
        let inner = self.inner.clone();
        let found = interruptible(py, move || inner.messages_by_key(&topic, &key, max, begin_ms, end_ms))?;
        Ok(StoredMessage::list(py, found)?)
    }

    /// The offset of the first message that a queue still has.
    fn min_offset(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<i64> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.min_offset(&queue))
    }

    /// The offset that the next message of a queue gets.
    fn max_offset(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<i64> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.max_offset(&queue))
    }

    /// The offset of the first message of a queue that was stored at this time, ms since 1970, or later.
    fn search_offset(&self, py: Python<'_>, queue: &MessageQueue, ms: i64) -> Outcome<i64> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.search_offset(&queue, ms))
    }

    /// When the oldest message of a queue was stored, ms since 1970; `None` if the queue is empty.
    fn earliest_store_time(&self, py: Python<'_>, queue: &MessageQueue) -> Outcome<Option<i64>> {
        let (inner, queue) = (self.inner.clone(), queue.inner.clone());
        interruptible(py, move || inner.earliest_store_time(&queue))
    }

    /// What brokers know this client by.
    #[getter]
    fn client_id(&self) -> &str {
        self.inner.client_id()
    }

    /// The name servers, as `host:port;host:port`: what other processes give to `ferromq.connect`.
    #[getter]
    fn name_servers(&self, py: Python<'_>) -> String {
        py.detach(|| self.inner.name_servers())
    }

    /// The ports of name server and broker, if this instance listens.
    #[getter]
    fn listening(&self) -> Option<(u16, u16)> {
        self.inner.listening()
    }

    /// Ends everything in order: producers and consumers (offsets are committed, groups left), connections, threads, and the
    /// server in this process, whose store is brought to disk. No callback runs any more when it returns. Waits at most
    /// `timeout` seconds (30) for listeners that run. In a listener it starts the end and returns at once. Closing again
    /// is fine.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> Outcome<()> {
        let (inner, limit) = (self.inner.clone(), duration(timeout)?.unwrap_or(CLOSE_WITHIN));
        let closed = interruptible(py, move || inner.close_within(limit));
        let ended = std::mem::take(&mut *self.running());
        drop(ended);
        closed
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

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Instance {} at {}>", self.client_id(), self.name_servers(py))
    }
}
