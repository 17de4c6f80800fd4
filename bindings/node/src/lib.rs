//! The native part of the npm package `ferromq`. What programs use is JavaScript around it (`lib/`): promises, iterators
//! and the life of the event loop are made there; here are the calls themselves, on the crate `ferromq`.
//!
//! A call that is done at once answers at once. One that waits gets a number from its caller, runs elsewhere, and ends
//! as a report (`reports`) under that number; so do messages for listeners. Reports wait in a queue of the JavaScript
//! environment, a worker's its own, until its thread takes them. No JavaScript value is ever held on another thread,
//! and nothing here belongs to the process but the log.

mod admin;
mod consumer;
mod error;
mod instance;
mod log;
mod message;
mod options;
mod producer;
mod push;
mod reports;
mod transaction;

use napi_derive::napi;

/// The version of the library.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
