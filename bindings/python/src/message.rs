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

use crate::error::Outcome;
use crate::stored::StoredMessage;

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

pub fn dict<'py, 'a>(
    py: Python<'py>,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in pairs {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

pub fn properties_of(pairs: &Bound<'_, PyDict>) -> PyResult<Properties> {
    let pairs: PyResult<Vec<(String, String)>> =
        pairs.iter().map(|(name, value)| Ok((name.extract()?, value.extract()?))).collect();
    Ok(pairs?.into_iter().collect())
}

pub fn hash_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The text of a value as Python shows it.
pub fn shown<'py, V: IntoPyObject<'py>>(py: Python<'py>, value: V) -> PyResult<String> {
    let value = value.into_bound_py_any(py)?;
    value.repr()?.extract()
}

/// `bytes`, cut to what fits into a line.
pub fn shown_body(py: Python<'_>, body: &[u8]) -> PyResult<String> {
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
