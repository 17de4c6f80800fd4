//! What is sent and got: messages, queues, results, subscriptions.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use ferromq::{property, Properties};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyString, PyTuple};
use pyo3::IntoPyObjectExt;

use crate::enums;
use crate::error::Outcome;

/// Bodies at least this long are not copied: the library keeps the `bytes` object.
const SHARED_FROM: usize = 2048;

/// A body: `bytes` or what has a buffer, or text, which is encoded as UTF-8.
pub fn body_of(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(match bytes.as_bytes() {
            long if long.len() >= SHARED_FROM => Bytes::from_owner(PyBackedBytes::from(bytes.clone())),
            short => Bytes::copy_from_slice(short),
        });
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Bytes::from(text.to_cow()?.into_owned()));
    }
    if let Ok(bytes) = value.cast::<PyByteArray>() {
        return Ok(Bytes::from(bytes.to_vec()));
    }
    let py = value.py();
    static MEMORYVIEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let view = MEMORYVIEW.import(py, "builtins", "memoryview")?;
    let view = view.call1((value,)).map_err(|_| {
        let kind = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("a body is bytes, a buffer or a str, not {kind}"))
    })?;
    // One copy, of what may change later.
    let bytes = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
    Ok(Bytes::from_owner(PyBackedBytes::from(bytes)))
}

/// Texts given as one, or as several.
pub fn texts_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(vec![text.extract()?]),
        Err(_) => value.try_iter()?.map(|item| item?.extract()).collect(),
    }
}

fn dict<'py, 'a>(
    py: Python<'py>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in pairs {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

fn properties_of(pairs: &Bound<'_, PyDict>) -> PyResult<Properties> {
    let pairs: PyResult<Vec<(String, String)>> =
        pairs.iter().map(|(name, value)| Ok((name.extract()?, value.extract()?))).collect();
    Ok(pairs?.into_iter().collect())
}

fn hash_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The text of a value as Python shows it.
fn shown<'py, V: IntoPyObject<'py>>(py: Python<'py>, value: V) -> PyResult<String> {
    let value = value.into_bound_py_any(py)?;
    value.repr()?.extract()
}

/// `bytes`, cut to what fits into a line.
fn shown_body(py: Python<'_>, body: &[u8]) -> PyResult<String> {
    match body.len() {
        0..=64 => shown(py, PyBytes::new(py, body)),
        length => Ok(format!("{}... ({length} bytes)", shown(py, PyBytes::new(py, &body[..48]))?)),
    }
}

/// A message to be sent: a topic, a body, and what describes it. It does not change; `replace` makes another one.
///
/// The body is `bytes`, anything with a buffer (`bytearray`, `memoryview`, `array`, numpy), or a `str`, which is encoded as
/// UTF-8. Long `bytes` are not copied.
///
/// - tag: the one tag a message may have; consumers choose by it.
/// - keys: business keys such as an order id, one or several, without spaces: the message is found by them.
/// - properties: further properties, texts by name. Reserved names are refused.
/// - delay_level: consumers get it later: 1 s, 5 s, 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h, 2 h are levels 1 to 18.
/// - sharding_key: messages with one key go to one queue.
/// - wait: whether the broker answers only when the message is as safe as its modes promise.
/// - flag: a number that is carried and never looked at.
/// - transaction_check_immunity: seconds before the broker asks what became of its transaction.
///
/// >>> message = ferromq.Message("Orders", "two apples", tag="fruit", keys=["order-1"], properties={"colour": "red"})
/// >>> message.body, message.tag, message.keys, message.properties["colour"]
/// (b'two apples', 'fruit', ['order-1'], 'red')
/// >>> message.replace(body=b"three pears").body
/// b'three pears'
#[pyclass(module = "ferromq", frozen, eq, weakref)]
pub struct Message {
    pub inner: ferromq::Message,
}

impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.inner == other.inner
    }
}

/// The parts of a message that are keyword arguments.
const PARTS: [&str; 10] = [
    "topic",
    "body",
    "tag",
    "keys",
    "properties",
    "flag",
    "delay_level",
    "sharding_key",
    "wait",
    "transaction_check_immunity",
];

/// Sets one part of a message.
fn set_part(
    mut message: ferromq::Message,
    name: &str,
    value: &Bound<'_, PyAny>,
) -> Outcome<ferromq::Message> {
    let none = value.is_none();
    Ok(match name {
        "topic" => {
            message.topic = value.extract::<String>()?;
            message
        }
        "body" => {
            message.body = body_of(value)?;
            message
        }
        "tag" => {
            message.properties.remove(property::TAGS);
            if none {
                message
            } else {
                message.with_tag(&value.extract::<String>()?)?
            }
        }
        "keys" => {
            message.properties.remove(property::KEYS);
            let keys = if none { Vec::new() } else { texts_of(value)? };
            keys.iter().try_fold(message, |message, key| message.with_key(key))?
        }
        "properties" => with_properties(message, value)?,
        "flag" => message.with_flag(value.extract()?),
        "delay_level" => message.with_delay_level(value.extract()?)?,
        "sharding_key" => {
            message.properties.remove(property::SHARDINGKEY);
            if none {
                message
            } else {
                message.with_sharding_key(&value.extract::<String>()?)?
            }
        }
        "wait" => message.with_wait(value.extract()?),
        "transaction_check_immunity" => {
            message.properties.remove(property::CHECK_IMMUNITY_TIME_IN_SECONDS);
            if none {
                message
            } else {
                message.with_transaction_check_immunity(value.extract()?)
            }
        }
        other => {
            let text = format!("a message has no {other:?}; it has {}", PARTS.join(", "));
            return Err(PyTypeError::new_err(text).into());
        }
    })
}

/// With these properties of the user's in place of those it has.
fn with_properties(mut message: ferromq::Message, value: &Bound<'_, PyAny>) -> Outcome<ferromq::Message> {
    let own: Vec<String> = message.properties.iter().map(|(name, _)| name.to_owned()).collect();
    for name in own.iter().filter(|name| !property::is_reserved(name)) {
        message.properties.remove(name);
    }
    if value.is_none() {
        return Ok(message);
    }
    for pair in value.call_method0("items")?.try_iter()? {
        let (name, value): (String, String) = pair?.extract()?;
        message = message.with_property(&name, &value)?;
    }
    Ok(message)
}

/// A message of a topic and keyword arguments.
pub fn build(
    topic: String,
    body: Option<&Bound<'_, PyAny>>,
    parts: Option<&Bound<'_, PyDict>>,
) -> Outcome<ferromq::Message> {
    let body = body.map(body_of).transpose()?.unwrap_or_default();
    let mut message = ferromq::Message::new(topic, body);
    for (name, value) in parts.into_iter().flat_map(|parts| parts.iter()) {
        message =
            set_part(message, name.cast::<PyString>().map_err(PyErr::from)?.to_cow()?.as_ref(), &value)?;
    }
    Ok(message)
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (topic, body = None, *, tag = None, keys = None, properties = None, flag = 0, delay_level = 0,
        sharding_key = None, wait = true, transaction_check_immunity = None))]
    #[allow(clippy::too_many_arguments)] // They are keyword arguments.
    fn new(
        topic: String,
        body: Option<&Bound<'_, PyAny>>,
        tag: Option<&str>,
        keys: Option<&Bound<'_, PyAny>>,
        properties: Option<&Bound<'_, PyAny>>,
        flag: i32,
        delay_level: i32,
        sharding_key: Option<&str>,
        wait: bool,
        transaction_check_immunity: Option<u32>,
    ) -> Outcome<Message> {
        let body = body.map(body_of).transpose()?.unwrap_or_default();
        let mut message = ferromq::Message::new(topic, body).with_flag(flag);
        if let Some(tag) = tag {
            message = message.with_tag(tag)?;
        }
        if let Some(keys) = keys {
            message = set_part(message, "keys", keys)?;
        }
        if let Some(properties) = properties {
            message = with_properties(message, properties)?;
        }
        if delay_level != 0 {
            message = message.with_delay_level(delay_level)?;
        }
        if let Some(key) = sharding_key {
            message = message.with_sharding_key(key)?;
        }
        if !wait {
            message = message.with_wait(false);
        }
        if let Some(seconds) = transaction_check_immunity {
            message = message.with_transaction_check_immunity(seconds);
        }
        Ok(Message { inner: message })
    }

    /// The reply to a request that a consumer got, to be sent by any producer.
    #[staticmethod]
    fn reply_to(request: &StoredMessage, body: &Bound<'_, PyAny>) -> Outcome<Message> {
        Ok(Message { inner: ferromq::Message::reply_to(&request.inner, body_of(body)?)? })
    }

    /// The same message with some of its parts changed, by the names of the constructor.
    #[pyo3(signature = (**changes))]
    fn replace(&self, changes: Option<&Bound<'_, PyDict>>) -> Outcome<Message> {
        let mut message = self.inner.clone();
        for (name, value) in changes.into_iter().flat_map(|changes| changes.iter()) {
            message = set_part(message, &name.extract::<String>()?, &value)?;
        }
        Ok(Message { inner: message })
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.inner.topic
    }

    /// The body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.body)
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

    /// All properties, the reserved ones too: a copy.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, self.inner.properties.iter())
    }

    /// A number that is carried and never looked at.
    #[getter]
    fn flag(&self) -> i32 {
        self.inner.flag
    }

    /// The delay level, 0 without delay.
    #[getter]
    fn delay_level(&self) -> i32 {
        self.inner.delay_level()
    }

    /// The key by which its order counts.
    #[getter]
    fn sharding_key(&self) -> Option<&str> {
        self.inner.sharding_key()
    }

    /// Whether the broker answers only when the message is as safe as its modes promise.
    #[getter]
    fn wait(&self) -> bool {
        self.inner.waits_for_store()
    }

    #[staticmethod]
    #[pyo3(name = "_restore")]
    fn restore(
        topic: String,
        body: &Bound<'_, PyAny>,
        flag: i32,
        properties: &Bound<'_, PyDict>,
    ) -> PyResult<Message> {
        let properties = properties_of(properties)?;
        Ok(Message { inner: ferromq::Message { topic, body: body_of(body)?, flag, properties } })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let state = (this.topic(), this.body(py), this.flag(), this.properties(py)?).into_pyobject(py)?;
        Ok((slf.get_type().getattr("_restore")?, state))
    }

    fn __hash__(&self) -> u64 {
        let message = &self.inner;
        hash_of((&message.topic, &message.body, message.flag))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut text = format!("Message({}, {}", shown(py, self.topic())?, shown_body(py, &self.inner.body)?);
        if let Some(tag) = self.tag() {
            text += &format!(", tag={}", shown(py, tag)?);
        }
        if !self.keys().is_empty() {
            text += &format!(", keys={}", shown(py, self.keys())?);
        }
        let own = self.inner.properties.iter().filter(|(name, _)| !property::is_reserved(name));
        let own = dict(py, own)?;
        if !own.is_empty() {
            text += &format!(", properties={}", own.repr()?);
        }
        Ok(text + ")")
    }
}

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
            topic: topic.clone(),
            broker_name: broker_name.clone(),
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
            topic,
            body: body_of(body)?,
            flag,
            properties: properties_of(properties)?,
            broker_name,
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
