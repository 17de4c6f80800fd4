//! The native half of the Python package `ferromq`: the crate `ferromq` for Python. What users import is `ferromq/`, which
//! adds what is nicer in Python: errors, enums, `open` and `connect`, logging, the pytest plugin.
//!
//! Every call that may wait gives the interpreter free meanwhile, and those that may take long look for signals (`wait`).
//! Threads of the library never wait for the interpreter, but for those that run users' functions: what they have for
//! Python goes through one thread of this module (`pump`).

mod admin;
mod aio;
mod consumer;
mod enter;
mod enums;
mod error;
mod instance;
mod listener;
mod log;
mod message;
mod options;
mod producer;
mod pump;
mod push;
mod sent;
mod stored;
mod transaction;
mod wait;

use pyo3::prelude::*;

/// The native half of ferromq: import `ferromq` instead.
#[pymodule(gil_used = true)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::admin::Admin;
    #[pymodule_export]
    use crate::aio::Polling;
    #[pymodule_export]
    use crate::consumer::{Consumer, Pulled};
    #[pymodule_export]
    use crate::enter::{after_fork, before_fork};
    #[pymodule_export]
    use crate::instance::{connect, open, Instance};
    #[pymodule_export]
    use crate::listener::{ConsumeContext, OrderlyContext};
    #[pymodule_export]
    use crate::log::set_level;
    #[pymodule_export]
    use crate::message::Message;
    #[pymodule_export]
    use crate::producer::Producer;
    #[pymodule_export]
    use crate::push::PushConsumer;
    #[pymodule_export]
    use crate::sent::{MessageQueue, Sent, Subscription, TransactionSent};
    #[pymodule_export]
    use crate::stop;
    #[pymodule_export]
    use crate::stored::StoredMessage;
    #[pymodule_export]
    use crate::transaction::TransactionProducer;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::log::install();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Ends the module's thread, for the end of the interpreter.
#[pyfunction]
#[pyo3(name = "_stop")]
fn stop(py: Python<'_>) {
    py.detach(|| {
        if let Some(pump) = pump::pump() {
            pump.stop();
        }
    });
}
