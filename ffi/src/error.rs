//! `fmq_error`: why a call failed.

use std::ffi::{c_char, CString};

use ferromq::{Error, FailedSend};

use crate::guard::{c_string, from_c, look};
use crate::handle::{free, give, thing, Marked, Thing};

/// Why a call failed. Who gets one as the result of a call frees it; one that a callback gets is valid during the callback.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_error {
    _opaque: [u8; 0],
}

impl Thing for fmq_error {
    type Value = Failure;
    const NAME: &'static str = "fmq_error";
    const MAGIC: u64 = 0x666d_7165_7272_0000;
}

/// An error with its texts as C reads them.
pub struct Failure {
    code: i32,
    name: CString,
    message: CString,
    is_retriable: bool,
    response_code: i32,
    send: Option<Unsent>,
}

struct Unsent {
    topic: CString,
    message_id: CString,
    broker: Option<CString>,
    attempts: usize,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        Failure {
            code: error.kind() as i32,
            name: c_string(format!("{:?}", error.kind())),
            message: c_string(error.to_string()),
            is_retriable: error.is_retriable(),
            response_code: error.code().unwrap_or(-1),
            send: error.failed_send().map(|FailedSend { topic, message_id, broker, attempts }| Unsent {
                topic: c_string(topic.as_str()),
                message_id: c_string(message_id.as_str()),
                broker: broker.as_deref().map(c_string),
                attempts: *attempts,
            }),
        }
    }
}

impl fmq_error {
    /// Gives an error to C.
    pub(crate) fn boxed(error: Error) -> *mut fmq_error {
        give(Failure::from(&error))
    }

    /// An error for the time of a callback.
    pub(crate) fn lent(error: &Error) -> Marked<fmq_error> {
        Marked::lent(Failure::from(error))
    }
}

/// The kinds of errors, as `fmq_error_code` tells them. The numbers are fixed; later versions may add some.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_code {
    /// No error: the code of NULL.
    FMQ_OK = 0,
    /// An argument or a setting is not usable as given.
    FMQ_INVALID_ARGUMENT = 1,
    /// The operating system refused: file, socket, disk full.
    FMQ_IO = 2,
    /// Bytes do not have the form they should: a frame, a record, a file.
    FMQ_CORRUPT = 3,
    /// The call did not end within its time.
    FMQ_TIMEOUT = 4,
    /// The peer could not be reached, or the connection broke while waiting.
    FMQ_CONNECTION = 5,
    /// The object was closed or freed, or what it was made from was.
    FMQ_CLOSED = 6,
    /// The thing asked for does not exist: topic, route, group, message.
    FMQ_NOT_FOUND = 7,
    /// Permission missing.
    FMQ_NO_PERMISSION = 8,
    /// A limit was reached: sizes, memory, connections.
    FMQ_LIMIT_EXCEEDED = 9,
    /// The directory or the port is in use by another process.
    FMQ_IN_USE = 10,
    /// The store does not take writes: disk full, failed write, shutting down.
    FMQ_NOT_WRITABLE = 11,
    /// The peer answered with an error of the protocol: see `fmq_error_response_code`.
    FMQ_REMOTE = 12,
    /// The peer does not support the request.
    FMQ_UNSUPPORTED = 13,
    /// A defect of the library itself.
    FMQ_INTERNAL = 14,
    /// The process was made by fork() from the one that the object belongs to.
    FMQ_FORKED = 15,
}

fn get<T>(error: *const fmq_error, otherwise: T, take: impl FnOnce(&'static Failure) -> T) -> T {
    if error.is_null() {
        return otherwise;
    }
    look(otherwise, || Ok(take(from_c!(thing(error, "error"))?)))
}

fn unsent<T>(error: *const fmq_error, otherwise: T, take: impl FnOnce(&'static Unsent) -> T) -> T {
    get(error, None, |failure| failure.send.as_ref()).map_or(otherwise, take)
}

/// What kind of error it is: one of `fmq_code`. 0 (FMQ_OK) of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_code(error: *const fmq_error) -> i32 {
    get(error, fmq_code::FMQ_OK as i32, |failure| failure.code)
}

/// The name of the kind, the same in all languages: "Timeout", "NotFound". "Ok" of NULL. Valid until the error is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_name(error: *const fmq_error) -> *const c_char {
    get(error, c"Ok".as_ptr(), |failure| failure.name.as_ptr())
}

/// What went wrong, in a line that names the thing, the value and the way out. "" of NULL. Valid until the error is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_message(error: *const fmq_error) -> *const c_char {
    get(error, c"".as_ptr(), |failure| failure.message.as_ptr())
}

/// Whether the same call may succeed when repeated.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_is_retriable(error: *const fmq_error) -> bool {
    get(error, false, |failure| failure.is_retriable)
}

/// The response code of the protocol that a peer answered with; -1 where there is none.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_response_code(error: *const fmq_error) -> i32 {
    get(error, -1, |failure| failure.response_code)
}

/// Of a failed send: the topic. NULL of other errors. Valid until the error is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_topic(error: *const fmq_error) -> *const c_char {
    unsent(error, std::ptr::null(), |send| send.topic.as_ptr())
}

/// Of a failed send: the message's id, under which `fmq_instance_message_by_unique_key` finds it if it was stored all the
/// same; of a batch those of all, separated by commas. NULL of other errors. Valid until the error is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_message_id(error: *const fmq_error) -> *const c_char {
    unsent(error, std::ptr::null(), |send| send.message_id.as_ptr())
}

/// Of a failed send: the broker that was tried last. NULL if none was, and of other errors. Valid until the error is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_broker(error: *const fmq_error) -> *const c_char {
    unsent(error, std::ptr::null(), |send| {
        send.broker.as_ref().map_or(std::ptr::null(), |name| name.as_ptr())
    })
}

/// Of a failed send: how often it was tried. 0 of other errors.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_attempts(error: *const fmq_error) -> usize {
    unsent(error, 0, |send| send.attempts)
}

/// Frees an error. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_error_free(error: *mut fmq_error) {
    look((), || {
        from_c!(free(error));
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use ferromq::ErrorKind;

    use super::*;

    #[test]
    fn the_codes_are_those_of_the_library() {
        use ErrorKind::*;
        let kinds = [
            InvalidArgument,
            Io,
            Corrupt,
            Timeout,
            Connection,
            Closed,
            NotFound,
            NoPermission,
            LimitExceeded,
            InUse,
            NotWritable,
            Remote,
            Unsupported,
            Internal,
            Forked,
        ];
        let codes = [
            fmq_code::FMQ_INVALID_ARGUMENT,
            fmq_code::FMQ_IO,
            fmq_code::FMQ_CORRUPT,
            fmq_code::FMQ_TIMEOUT,
            fmq_code::FMQ_CONNECTION,
            fmq_code::FMQ_CLOSED,
            fmq_code::FMQ_NOT_FOUND,
            fmq_code::FMQ_NO_PERMISSION,
            fmq_code::FMQ_LIMIT_EXCEEDED,
            fmq_code::FMQ_IN_USE,
            fmq_code::FMQ_NOT_WRITABLE,
            fmq_code::FMQ_REMOTE,
            fmq_code::FMQ_UNSUPPORTED,
            fmq_code::FMQ_INTERNAL,
            fmq_code::FMQ_FORKED,
        ];
        for (kind, code) in kinds.into_iter().zip(codes) {
            assert_eq!(kind as i32, code as i32, "{kind:?}");
        }
    }
}
