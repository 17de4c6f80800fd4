//! Queues, subscriptions, and the results of sends.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::enums;
use crate::error::Outcome;
use crate::message::{hash_of, shown};

/// A queue of a topic: the broker that has it, and its number there.
///
/// >>> queue = ferromq.MessageQueue("Orders", "broker-a", 0)
/// >>> queue == ferromq.MessageQueue("Orders", "broker-a", 0), queue < ferromq.MessageQueue("Orders", "broker-a", 1)
/// (True, True)
#[pyclass(module = "ferromq", frozen, eq, ord, hash, weakref)]
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageQueue {
    pub inner: ferromq::MessageQueue,
}

impl MessageQueue {
    pub fn list(queues: Vec<ferromq::MessageQueue>) -> Vec<MessageQueue> {
        queues.into_iter().map(|inner| MessageQueue { inner }).collect()
    }
}

/// The queues of an argument.
pub fn queues_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<ferromq::MessageQueue>> {
    if let Ok(one) = value.cast::<MessageQueue>() {
        return Ok(vec![one.get().inner.clone()]);
    }
    value.try_iter()?.map(|queue| Ok(queue?.cast::<MessageQueue>()?.get().inner.clone())).collect()
}

#[pymethods]
impl MessageQueue {
    #[new]
    fn new(topic: String, broker_name: String, queue_id: i32) -> MessageQueue {
        MessageQueue { inner: ferromq::MessageQueue { topic, broker_name, queue_id } }
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// Name of the broker that has it.
    #[getter]
    fn broker_name(&self) -> &str {
        &self.inner.broker_name
    }

    /// Its number at the broker.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.inner.queue_id
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let queue = &slf.get().inner;
        let state = (queue.topic.as_str(), queue.broker_name.as_str(), queue.queue_id);
        Ok((slf.get_type().into_any(), state.into_pyobject(slf.py())?))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (topic, broker) = (shown(py, self.topic())?, shown(py, self.broker_name())?);
        Ok(format!("MessageQueue({topic}, {broker}, {})", self.queue_id()))
    }
}

/// The result of a send: where the message is, and how safe. `print` shows it in one line.
#[pyclass(module = "ferromq", frozen, eq, weakref)]
#[derive(PartialEq)]
pub struct Sent {
    pub inner: ferromq::Sent,
}

#[pymethods]
impl Sent {
    /// How safe it is.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enums::send_status(py, self.inner.status)
    }

    /// Its id, the same in every delivery; of a batch the ids of all, joined by commas.
    #[getter]
    fn message_id(&self) -> &str {
        &self.inner.message_id
    }

    /// The ids of all messages that were sent, in their order.
    #[getter]
    fn message_ids(&self) -> Vec<&str> {
        self.inner.message_ids().collect()
    }

    /// The id of its place at the broker; of a batch those of all, joined by commas.
    #[getter]
    fn offset_id(&self) -> &str {
        &self.inner.offset_id
    }

    /// The ids of the places of all messages that were sent, in their order.
    #[getter]
    fn offset_ids(&self) -> Vec<&str> {
        self.inner.offset_ids().collect()
    }

    /// Its queue.
    #[getter]
    fn queue(&self) -> MessageQueue {
        MessageQueue { inner: self.inner.queue.clone() }
    }

    /// Its place in the queue; of a batch that of the first message.
    #[getter]
    fn queue_offset(&self) -> i64 {
        self.inner.queue_offset
    }

    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        status: &Bound<'_, PyAny>,
        message_id: String,
        offset_id: String,
        queue: &MessageQueue,
        queue_offset: i64,
    ) -> PyResult<Sent> {
        let status = enums::send_status_of(status)?;
        Ok(Sent {
            inner: ferromq::Sent { status, message_id, offset_id, queue: queue.inner.clone(), queue_offset },
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let state =
            (this.status(py)?, this.message_id(), this.offset_id(), this.queue(), this.queue_offset())
                .into_pyobject(py)?;
        Ok((slf.get_type().getattr("_restore")?, state))
    }

    fn __hash__(&self) -> u64 {
        hash_of((&self.inner.message_id, &self.inner.queue, self.inner.queue_offset))
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<Sent {}>", self.inner)
    }
}

/// The result of a send in a transaction.
#[pyclass(module = "ferromq", frozen, eq, weakref)]
#[derive(PartialEq)]
pub struct TransactionSent {
    pub inner: ferromq::TransactionSent,
}

#[pymethods]
impl TransactionSent {
    /// Where the half message is, and how safe. A half that is not `SEND_OK` was rolled back.
    #[getter]
    fn sent(&self) -> Sent {
        Sent { inner: self.inner.sent.clone() }
    }

    /// What the broker was told.
    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        enums::transaction_state(py, self.inner.state)
    }

    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(sent: &Sent, state: &Bound<'_, PyAny>) -> PyResult<TransactionSent> {
        let state = enums::transaction_state_of(state)?;
        Ok(TransactionSent { inner: ferromq::TransactionSent { sent: sent.inner.clone(), state } })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        Ok((slf.get_type().getattr("_restore")?, (this.sent(), this.state(py)?).into_pyobject(py)?))
    }

    fn __hash__(&self) -> u64 {
        hash_of(&self.inner.sent.message_id)
    }

    fn __repr__(&self) -> String {
        format!("<TransactionSent {} {}>", self.inner.state.name(), self.inner.sent)
    }
}

/// A topic and what of it is wanted: all, by tags, or by an SQL92 expression over the properties.
///
/// >>> ferromq.Subscription.sql("Orders", "a between 0 and 3")
/// Subscription.sql('Orders', 'a between 0 and 3')
#[pyclass(module = "ferromq", frozen, eq, weakref)]
#[derive(PartialEq)]
pub struct Subscription {
    pub inner: ferromq::Subscription,
}

#[pymethods]
impl Subscription {
    /// All messages of a topic.
    #[staticmethod]
    fn all(topic: &str) -> Subscription {
        Subscription { inner: ferromq::Subscription::all(topic) }
    }

    /// Those whose tag is among `TagA || TagB`; `*` for all.
    #[staticmethod]
    fn tags(topic: &str, expression: &str) -> Outcome<Subscription> {
        Ok(Subscription { inner: ferromq::Subscription::tags(topic, expression)? })
    }

    /// Those whose properties an SQL92 expression holds for, such as `a > 5 AND b = 'x'`.
    #[staticmethod]
    fn sql(topic: &str, expression: &str) -> Outcome<Subscription> {
        Ok(Subscription { inner: ferromq::Subscription::sql(topic, expression)? })
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        self.inner.topic()
    }

    /// The filter as it was given.
    #[getter]
    fn expression(&self) -> &str {
        self.inner.expression()
    }

    /// `TAG` or `SQL92`.
    #[getter]
    fn expression_type(&self) -> &'static str {
        self.inner.expression_type()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let this = slf.get();
        let make = if this.expression_type() == "SQL92" { "sql" } else { "tags" };
        Ok((slf.get_type().getattr(make)?, (this.topic(), this.expression()).into_pyobject(slf.py())?))
    }

    fn __hash__(&self) -> u64 {
        hash_of((self.topic(), self.expression(), self.expression_type()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let make = if self.expression_type() == "SQL92" { "sql" } else { "tags" };
        Ok(format!("Subscription.{make}({}, {})", shown(py, self.topic())?, shown(py, self.expression())?))
    }
}
