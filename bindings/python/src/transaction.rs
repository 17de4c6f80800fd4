//! Producers of messages that count once their transaction is committed.

use std::sync::{Arc, Mutex};

use ferromq::TransactionState;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::enter::enter;
use crate::enums;
use crate::error::Outcome;
use crate::instance::Instance;
use crate::listener::report;
use crate::message::Message;
use crate::producer;
use crate::sent::TransactionSent;
use crate::stored::StoredMessage;
use crate::wait::{detached, duration, interruptible, Held};

/// Python's functions that run transactions, and know later how they ended.
pub struct Functions {
    execute: Py<PyAny>,
    check: Py<PyAny>,
    /// What `execute` raised that ends programs (KeyboardInterrupt, SystemExit), by the message's id.
    ending: Mutex<Vec<(String, PyErr)>>,
}

impl Functions {
    pub fn new(py: Python<'_>, execute: &Bound<'_, PyAny>, check: &Bound<'_, PyAny>) -> PyResult<Functions> {
        let (execute, check) = (callable(py, execute)?, callable(py, check)?);
        Ok(Functions { execute, check, ending: Mutex::default() })
    }

    fn ending(&self) -> std::sync::MutexGuard<'_, Vec<(String, PyErr)>> {
        self.ending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn take_ending(&self, id: &str) -> Option<PyErr> {
        let mut ending = self.ending();
        let at = ending.iter().position(|(one, _)| one == id)?;
        Some(ending.swap_remove(at).1)
    }
}

/// A function to be called on any thread; one that is a coroutine function runs on the loop that runs now.
fn callable(py: Python<'_>, function: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(py.import("ferromq._listeners")?.getattr("blocking")?.call1((function,))?.unbind())
}

/// What a function says of a transaction; what it raises means that nothing is known.
fn ask(
    py: Python<'_>,
    function: &Py<PyAny>,
    answer: PyResult<Bound<'_, PyAny>>,
) -> Result<TransactionState, PyErr> {
    match answer.and_then(|answer| enums::transaction_state_of(&answer)) {
        Ok(state) => Ok(state),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
            report(py, function, error);
            Ok(TransactionState::Unknown)
        }
        Err(error) => Err(error),
    }
}

struct Listener(Arc<Functions>);

impl ferromq::TransactionListener for Listener {
    fn execute(&self, message: &ferromq::Message, transaction_id: &str) -> TransactionState {
        let execute = &self.0.execute;
        let state = enter(|py| {
            let message = Message { inner: message.clone() };
            let answer = execute.bind(py).call1((message, transaction_id));
            ask(py, execute, answer).unwrap_or_else(|error| {
                self.0.ending().push((transaction_id.to_owned(), error));
                TransactionState::Unknown
            })
        });
        state.unwrap_or(TransactionState::Unknown)
    }

    fn check(&self, message: &ferromq::StoredMessage) -> TransactionState {
        let check = &self.0.check;
        let state = enter(|py| {
            let answer = check.bind(py).call1((StoredMessage::new(message.clone()),));
            ask(py, check, answer).unwrap_or_else(|error| {
                report(py, check, error);
                TransactionState::Unknown
            })
        });
        state.unwrap_or(TransactionState::Unknown)
    }
}

/// Sends messages in transactions: the broker holds a message back until it hears how the local transaction ended, and asks
/// any producer of the group if it does not. Made by `Instance.transaction_producer`, with an object that has `execute` and
/// `check`, or with these two functions.
///
/// - `execute(message, transaction_id)` runs the transaction, on the thread that sends; the id is the message's unique id.
/// - `check(message)` says how it ended, its id being `message.message_id`; on a thread of the library.
///
/// Both answer with a `TransactionState`, `True` (commit), `False` (rollback), or `None` (not known yet: the broker asks
/// again). An exception is logged and means that nothing is known.
///
/// >>> orders = {}
/// >>> def execute(message, transaction_id):
/// ...     orders[transaction_id] = message.body
/// ...     return True
/// >>> def check(message):
/// ...     return message.message_id in orders
/// >>> with mq.transaction_producer("shop-transactions", execute=execute, check=check) as producer:
/// ...     producer.send("Orders", b"two apples").state
/// <TransactionState.COMMIT: 'COMMIT_MESSAGE'>
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct TransactionProducer {
    inner: Held<Arc<ferromq::TransactionProducer>>,
    functions: Arc<Functions>,
    /// Lives as long as what was made from it, to be closed when the interpreter ends.
    _instance: Py<Instance>,
}

impl TransactionProducer {
    pub fn new(
        instance: &Bound<'_, Instance>,
        client: &ferromq::Instance,
        options: ferromq::ProducerOptions,
        functions: Functions,
    ) -> Outcome<TransactionProducer> {
        let functions = Arc::new(functions);
        let listener = Listener(functions.clone());
        let inner = detached(instance.py(), || client.transaction_producer(options, listener))?;
        let (inner, instance) = (Held::new(Arc::new(inner)), instance.clone().unbind());
        Ok(TransactionProducer { inner, functions, _instance: instance })
    }
}

#[pymethods]
impl TransactionProducer {
    /// The group.
    #[getter]
    fn group(&self) -> &str {
        self.inner.producer().group()
    }

    /// Sends the half of a message, runs `execute` if the broker has it, and tells the broker how that ended. `execute` as
    /// a keyword argument runs in place of the producer's own.
    #[pyo3(signature = (message, body = None, /, *, execute = None, **parts))]
    fn send(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        body: Option<&Bound<'_, PyAny>>,
        execute: Option<&Bound<'_, PyAny>>,
        parts: Option<&Bound<'_, PyDict>>,
    ) -> Outcome<TransactionSent> {
        let (message, _) = producer::arguments(message, body, parts)?;
        let Some(execute) = execute else {
            let inner = py.detach(|| self.inner.send(&message))?;
            return match self.functions.take_ending(&inner.sent.message_id) {
                Some(error) => Err(error.into()),
                None => Ok(TransactionSent { inner }),
            };
        };
        let execute = callable(py, execute)?;
        let ending = Mutex::new(None);
        let run = |message: &ferromq::Message, id: &str| {
            Python::attach(|py| {
                let answer = execute.bind(py).call1((Message { inner: message.clone() }, id));
                ask(py, &execute, answer).unwrap_or_else(|error| {
                    *ending.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
                    TransactionState::Unknown
                })
            })
        };
        let inner = py.detach(|| self.inner.send_executing(&message, run))?;
        match ending.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error.into()),
            None => Ok(TransactionSent { inner }),
        }
    }

    /// As `send`, for asyncio: a coroutine. The send and `execute` run on a thread of the loop's executor; `execute` may be
    /// a coroutine function, which runs on the loop.
    #[pyo3(signature = (message, body = None, /, **parts))]
    fn send_async<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
        body: Option<&Bound<'py, PyAny>>,
        parts: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let send = slf.getattr("send")?;
        crate::aio::helper(slf.py(), "in_thread", (send, message, body), parts)
    }

    /// Takes no further sends, waits for those under way, at most `timeout` seconds (ten), and leaves the group.
    #[pyo3(signature = (timeout = None))]
    fn close(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> Outcome<()> {
        let inner = Arc::clone(&self.inner);
        let limit = duration(timeout)?;
        interruptible(py, move || match limit {
            Some(limit) => inner.close_within(limit),
            None => inner.close(),
        })
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
        format!("<TransactionProducer of group {}>", self.group())
    }
}
