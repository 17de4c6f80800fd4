//! Messages as consumers get them.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::message::{body_of, dict, hash_of, properties_of, shown_body};
use crate::sent::MessageQueue;

/// A message as a consumer gets it. Its body becomes `bytes` when it is first asked for.
#[pyclass(module = "ferromq", frozen, eq, weakref)]
pub struct StoredMessage {
    pub inner: ferromq::StoredMessage,
    body: PyOnceLock<Py<PyBytes>>,
}

impl StoredMessage {
    pub fn new(inner: ferromq::StoredMessage) -> StoredMessage {
        StoredMessage { inner, body: PyOnceLock::new() }
    }

    /// A list of them.
    pub fn list(py: Python<'_>, messages: Vec<ferromq::StoredMessage>) -> PyResult<Vec<Py<StoredMessage>>> {
        messages.into_iter().map(|message| Py::new(py, StoredMessage::new(message))).collect()
    }
}

impl PartialEq for StoredMessage {
    fn eq(&self, other: &StoredMessage) -> bool {
        self.inner == other.inner
    }
}

#[pymethods]
impl StoredMessage {
    /// The topic; of a retried message the one it was first sent to.
    #[getter]
    fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// The body.
    #[getter]
    fn body(&self, py: Python<'_>) -> Py<PyBytes> {
        self.body.get_or_init(py, || PyBytes::new(py, &self.inner.body).unbind()).clone_ref(py)
    }

    /// The number that its producer gave it.
    #[getter]
    fn flag(&self) -> i32 {
        self.inner.flag
    }

    /// All its properties, the reserved ones too: a copy.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.inner.properties.iter())
    }

    /// The properties that are the user's own: a copy.
    #[getter]
    fn user_properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.inner.user_properties())
    }

    /// The value of one property, or `default`.
    #[pyo3(signature = (name, default = None))]
    fn get<'py>(&self, py: Python<'py>, name: &str, default: Option<Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
        match self.inner.properties.get(name) {
            Some(value) => PyString::new(py, value).into_any(),
            None => default.unwrap_or_else(|| py.None().into_bound(py)),
        }
    }

    /// The id that its producer gave it, the same in every delivery.
    #[getter]
    fn message_id(&self) -> &str {
        self.inner.message_id()
    }

    /// The tag.
    #[getter]
    fn tag(&self) -> Option<&str> {
        self.inner.tag()
    }

    /// The business keys.
    #[getter]
    fn keys(&self) -> Vec<&str> {
        self.inner.keys().collect()
    }

    /// Name of the broker that it comes from.
    #[getter]
    fn broker_name(&self) -> &str {
        &self.inner.broker_name
    }

    /// The queue that it comes from.
    #[getter]
    fn queue(&self) -> MessageQueue {
        let ferromq::StoredMessage { topic, broker_name, queue_id, .. } = &self.inner;
        let inner = ferromq::MessageQueue {
            topic: topic.to_string(),
            broker_name: broker_name.to_string(),
            queue_id: *queue_id,
        };
        MessageQueue { inner }
    }

    /// The number of that queue.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.inner.queue_id
    }

    /// Its place in the queue.
    #[getter]
    fn queue_offset(&self) -> i64 {
        self.inner.queue_offset
    }

    /// Its place in the broker's log.
    #[getter]
    fn physical_offset(&self) -> i64 {
        self.inner.physical_offset
    }

    /// Id of the place where it is stored; another one after each retry.
    #[getter]
    fn offset_id(&self) -> &str {
        &self.inner.offset_id
    }

    /// Bits that tell of compression and transactions.
    #[getter]
    fn sys_flag(&self) -> i32 {
        self.inner.sys_flag
    }

    /// When it was made, ms since 1970 by its producer's clock.
    #[getter]
    fn born_timestamp(&self) -> i64 {
        self.inner.born_timestamp
    }

    /// Where it was made, host:port.
    #[getter]
    fn born_host(&self) -> String {
        self.inner.born_host.to_string()
    }

    /// When it was stored, ms since 1970 by the broker's clock.
    #[getter]
    fn store_timestamp(&self) -> i64 {
        self.inner.store_timestamp
    }

    /// How often it was consumed in vain.
    #[getter]
    fn reconsume_times(&self) -> i32 {
        self.inner.reconsume_times
    }

    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        names: (String, String, String, String),
        numbers: (i32, i32, i64, i64, i32, i64, i64, i32),
        body: &Bound<'_, PyAny>,
        properties: &Bound<'_, PyDict>,
    ) -> PyResult<StoredMessage> {
        let (topic, broker_name, offset_id, born_host) = names;
        let born_host = born_host.parse().map_err(|_| {
            pyo3::exceptions::PyValueError::new_err(format!("{born_host:?} is no address (host:port)"))
        })?;
        let (
            flag,
            queue_id,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp,
            store_timestamp,
            reconsume_times,
        ) = numbers;
        Ok(StoredMessage::new(ferromq::StoredMessage {
            topic: topic.into(),
            body: body_of(body)?,
            flag,
            properties: properties_of(properties)?,
            broker_name: broker_name.into(),
            queue_id,
            queue_offset,
            physical_offset,
            offset_id,
            sys_flag,
            born_timestamp,
            born_host,
            store_timestamp,
            reconsume_times,
        }))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let message = &this.inner;
        let names = (
            message.topic.as_str(),
            message.broker_name.as_str(),
            message.offset_id.as_str(),
            this.born_host(),
        );
        let numbers = (
            message.flag,
            message.queue_id,
            message.queue_offset,
            message.physical_offset,
            message.sys_flag,
            message.born_timestamp,
            message.store_timestamp,
            message.reconsume_times,
        );
        let state = (names, numbers, this.body(py), this.properties(py)?).into_pyobject(py)?;
        Ok((slf.get_type().getattr("_restore")?, state))
    }

    fn __hash__(&self) -> u64 {
        let message = &self.inner;
        hash_of((
            &message.topic,
            &message.broker_name,
            message.queue_id,
            message.queue_offset,
            self.message_id(),
        ))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let message = &self.inner;
        Ok(format!(
            "<StoredMessage {} {}/{}/{} at {}: {}>",
            message.message_id(),
            message.topic,
            message.broker_name,
            message.queue_id,
            message.queue_offset,
            shown_body(py, &message.body)?
        ))
    }
}
