//! Errors on their way to JavaScript: as JSON, from which `lib/errors.cjs` makes a `FerromqError`.

use std::panic::{catch_unwind, AssertUnwindSafe};

use ferromq::{Error, ErrorKind, Result};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    code: String,
    number: i32,
    message: String,
    operation: &'a str,
    retriable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<usize>,
}

/// The error with all it knows, as JSON.
pub fn to_json(error: &Error) -> String {
    let send = error.failed_send();
    let told = Told {
        code: format!("{:?}", error.kind()),
        number: error.kind() as i32,
        message: error.to_string(),
        operation: error.operation(),
        retriable: error.is_retriable(),
        remote_code: error.code(),
        topic: send.map(|send| send.topic.as_str()),
        message_id: send.map(|send| send.message_id.as_str()),
        broker: send.and_then(|send| send.broker.as_deref()),
        attempts: send.map(|send| send.attempts),
    };
    serde_json::to_string(&told).unwrap_or_else(|error| format!("{{\"message\":\"{error}\"}}"))
}

/// An argument that is not usable, and why.
pub fn invalid(operation: &'static str, context: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, operation, context)
}

/// Runs a call; a panic is an error of the kind `Internal`.
pub fn caught<T>(operation: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("without a message").to_owned();
        // What it holds may panic again when it is dropped.
        std::mem::forget(panic);
        Err(Error::new(
            ErrorKind::Internal,
            operation,
            format!("a defect of the library: it panicked: {text}"),
        ))
    })
}

/// Runs a call for JavaScript, which gets its error thrown.
pub fn guard<T>(operation: &'static str, call: impl FnOnce() -> Result<T>) -> napi::Result<T> {
    caught(operation, call).map_err(|error| napi::Error::from_reason(to_json(&error)))
}
