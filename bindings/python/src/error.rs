//! Errors of the library as Python's exceptions, one class a kind (`ferromq/errors.py`).

use ferromq::FailedSend;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What a call fails with: an error of the library, or one of Python that passes through.
pub enum Raised {
    Library(ferromq::Error),
    Python(PyErr),
}

/// What fallible functions of this crate return.
pub type Outcome<T> = Result<T, Raised>;

impl From<ferromq::Error> for Raised {
    fn from(error: ferromq::Error) -> Self {
        Raised::Library(error)
    }
}

impl From<PyErr> for Raised {
    fn from(error: PyErr) -> Self {
        Raised::Python(error)
    }
}

impl From<Raised> for PyErr {
    fn from(raised: Raised) -> Self {
        match raised {
            Raised::Python(error) => error,
            Raised::Library(error) => Python::attach(|py| exception(py, &error)),
        }
    }
}

/// The exception of an error.
pub fn exception(py: Python<'_>, error: &ferromq::Error) -> PyErr {
    match instance(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

fn instance<'py>(py: Python<'py>, error: &ferromq::Error) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = MAKE.import(py, "ferromq.errors", "_from_native")?;
    let (topic, id, broker, attempts) = match error.failed_send() {
        Some(FailedSend { topic, message_id, broker, attempts }) => {
            (Some(topic.as_str()), Some(message_id.as_str()), broker.as_deref(), *attempts)
        }
        None => (None, None, None, 0),
    };
    make.call1((
        error.kind() as i32,
        error.to_string(),
        error.operation(),
        error.context(),
        error.code(),
        error.is_retriable(),
        (topic, id, broker, attempts),
    ))
}
