//! Python functions as listeners.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::sync::PyOnceLock;

use crate::enums;
use crate::sent::MessageQueue;
use crate::stored::StoredMessage;
use crate::wait::duration;

/// A function that is called with messages, and with a context if it takes a second argument. Coroutine functions run on
/// the loop that was running when they were given (`ferromq/_listeners.py`).
pub struct Listener {
    function: Py<PyAny>,
    wants_context: bool,
}

impl Listener {
    pub fn new(py: Python<'_>, function: &Bound<'_, PyAny>) -> PyResult<Listener> {
        let adapted = py.import("ferromq._listeners")?.getattr("adapt")?.call1((function,))?;
        let (function, wants_context) = adapted.extract()?;
        Ok(Listener { function, wants_context })
    }

    /// Whether the messages are consumed. What is raised is logged and means that they are not.
    pub fn call<C>(&self, py: Python<'_>, messages: Messages<'_>, context: C, apply: impl FnOnce(&C)) -> bool
    where
        C: pyo3::PyClass<Frozen = True> + Into<PyClassInitializer<C>> + Send + Sync,
    {
        let answer = self.ask(py, messages, context, apply);
        answer.unwrap_or_else(|error| {
            report(py, &self.function, error);
            false
        })
    }

    fn ask<C>(
        &self,
        py: Python<'_>,
        messages: Messages<'_>,
        context: C,
        apply: impl FnOnce(&C),
    ) -> PyResult<bool>
    where
        C: pyo3::PyClass<Frozen = True> + Into<PyClassInitializer<C>> + Send + Sync,
    {
        let messages = match messages {
            Messages::One(message) => Py::new(py, StoredMessage::new(message.clone()))?.into_any(),
            Messages::All(messages) => {
                StoredMessage::list(py, messages.to_vec())?.into_pyobject(py)?.into_any().unbind()
            }
        };
        if !self.wants_context {
            return enums::is_success(self.function.bind(py).call1((messages,))?.as_any());
        }
        let context = Py::new(py, context)?;
        let answer = self.function.bind(py).call1((messages, context.clone_ref(py)))?;
        apply(context.get());
        enums::is_success(&answer)
    }
}

/// What a listener is called with.
pub enum Messages<'a> {
    One(&'a ferromq::StoredMessage),
    All(&'a [ferromq::StoredMessage]),
}

/// Writes what a function of the user's raised to the log, with its traceback.
pub fn report(py: Python<'_>, function: &Py<PyAny>, error: PyErr) {
    static REPORT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let reported = REPORT
        .import(py, "ferromq._listeners", "report")
        .and_then(|report| report.call1((function, error.clone_ref(py).into_value(py))));
    if reported.is_err() {
        error.write_unraisable(py, Some(function.bind(py)));
    }
}

/// No number of the library's.
const UNSET: i64 = i64::MIN;

/// What a concurrent listener knows and may wish beyond its messages: its second argument, if it takes one.
#[pyclass(module = "ferromq", frozen)]
pub struct ConsumeContext {
    queue: ferromq::MessageQueue,
    ack_index: AtomicI64,
    delay_level: AtomicI64,
}

impl ConsumeContext {
    pub fn new(queue: &ferromq::MessageQueue) -> ConsumeContext {
        let (ack_index, delay_level) = (AtomicI64::new(UNSET), AtomicI64::new(UNSET));
        ConsumeContext { queue: queue.clone(), ack_index, delay_level }
    }

    /// Tells the library what was wished.
    pub fn apply(&self, context: &ferromq::ConsumeContext) {
        if let Ok(index) = usize::try_from(self.ack_index.load(Ordering::Relaxed)) {
            context.set_ack_index(index);
        }
        if let Ok(level) = i32::try_from(self.delay_level.load(Ordering::Relaxed)) {
            context.set_delay_level(level);
        }
    }
}

#[pymethods]
impl ConsumeContext {
    /// The queue that all of the messages come from.
    #[getter]
    fn queue(&self) -> MessageQueue {
        MessageQueue { inner: self.queue.clone() }
    }

    /// Only the messages up to the one with this index, counted from 0, are consumed; those behind it come again. Counts
    /// if the listener succeeds.
    fn set_ack_index(&self, index: u32) {
        self.ack_index.store(i64::from(index), Ordering::Relaxed);
    }

    /// When messages come again: after the time of this delay level; 0: later each time as the broker chooses; below 0:
    /// never, they go to the dead letters at once.
    fn set_delay_level(&self, level: i32) {
        self.delay_level.store(i64::from(level), Ordering::Relaxed);
    }
}

/// What an ordered listener knows and may wish beyond its messages: its second argument, if it takes one.
#[pyclass(module = "ferromq", frozen)]
pub struct OrderlyContext {
    queue: ferromq::MessageQueue,
    suspend_ms: AtomicI64,
}

impl OrderlyContext {
    pub fn new(queue: &ferromq::MessageQueue) -> OrderlyContext {
        OrderlyContext { queue: queue.clone(), suspend_ms: AtomicI64::new(UNSET) }
    }

    /// Tells the library what was wished.
    pub fn apply(&self, context: &ferromq::OrderlyContext) {
        if let Ok(ms) = u64::try_from(self.suspend_ms.load(Ordering::Relaxed)) {
            context.set_suspend_time(std::time::Duration::from_millis(ms));
        }
    }
}

#[pymethods]
impl OrderlyContext {
    /// The queue that all of the messages come from.
    #[getter]
    fn queue(&self) -> MessageQueue {
        MessageQueue { inner: self.queue.clone() }
    }

    /// How long the queue pauses if the listener fails, seconds: 0.01 to 30; otherwise as the options say.
    fn set_suspend_time(&self, time: &Bound<'_, PyAny>) -> PyResult<()> {
        let time = duration(Some(time))?.unwrap_or_default();
        self.suspend_ms.store(i64::try_from(time.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        Ok(())
    }
}
