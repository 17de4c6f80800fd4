//! What stands between C and Rust: panics become errors, NULL and text that is no UTF-8 are refused.

use std::any::Any;
use std::ffi::{c_char, c_void, CStr, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::{null, null_mut};
use std::time::Duration;

use ferromq::{Error, ErrorKind, Result};

use crate::error::fmq_error;

/// Runs what may fail: NULL for success, an error that the caller owns otherwise.
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> *mut fmq_error {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => null_mut(),
        Ok(Err(error)) => fmq_error::boxed(error),
        Err(panic) => fmq_error::boxed(panicked(panic.as_ref())),
    }
}

/// Runs what only looks: `otherwise` if that fails.
pub(crate) fn look<T>(otherwise: T, body: impl FnOnce() -> Result<T>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            tracing::debug!("{error}");
            otherwise
        }
        Err(panic) => {
            tracing::error!("{}", panicked(panic.as_ref()));
            otherwise
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    let context = format!("the library panicked ({words}); please report it");
    Error::new(ErrorKind::Internal, "call", context)
}

/// An argument that cannot be used.
pub(crate) fn unusable(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, "call", format!("argument {name} {what}"))
}

/// A text of the caller's.
///
/// # Safety
/// NULL, or ended by NUL and unchanged for `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: as the caller says.
    match unsafe { text_or_null(pointer, name) }? {
        Some(text) => Ok(text),
        None => Err(unusable(name, "is NULL")),
    }
}

/// As [`text`], where NULL means that there is none.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_null<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: it is not NULL, the rest as the caller says.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|error| unusable(name, "is not UTF-8").with_source(error))
}

/// Bytes of the caller's; NULL with length 0 is none.
///
/// # Safety
/// NULL, or `length` bytes that are unchanged for `'a`.
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, length: usize, name: &str) -> Result<&'a [u8]> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(unusable(name, "is NULL, but its length is not 0")),
        (false, _) if isize::try_from(length).is_err() => Err(unusable(name, "has an impossible length")),
        // SAFETY: it is not NULL, the rest as the caller says.
        (false, _) => Ok(unsafe { std::slice::from_raw_parts(pointer.cast(), length) }),
    }
}

/// The place where a result is to be written; it is NULL or 0 until there is one.
///
/// # Safety
/// NULL, or a place that may be written to during `'a`.
pub(crate) unsafe fn output<'a, T: Nothing>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: as the caller says.
    unsafe { output_or_null(pointer) }.ok_or_else(|| unusable(name, "is NULL"))
}

/// As [`output`], where NULL means that nobody wants it.
///
/// # Safety
/// As [`output`].
pub(crate) unsafe fn output_or_null<'a, T: Nothing>(pointer: *mut T) -> Option<&'a mut T> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: it is not NULL, the rest as the caller says; it is written before a reference is made, as it may hold anything.
    unsafe {
        pointer.write(T::NOTHING);
        Some(&mut *pointer)
    }
}

/// What an output holds when there is no result.
pub(crate) trait Nothing {
    const NOTHING: Self;
}

impl<T> Nothing for *mut T {
    const NOTHING: Self = null_mut();
}

impl<T> Nothing for *const T {
    const NOTHING: Self = null();
}

macro_rules! nothing {
    ($($kind:ty = $value:expr),*) => {
        $(impl Nothing for $kind {
            const NOTHING: Self = $value;
        })*
    };
}

nothing!(bool = false, u16 = 0, i32 = 0, i64 = 0, usize = 0);

/// A time in ms; below 0 is the setting's.
pub(crate) fn time(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// A text for C: up to its first NUL, which C would take for its end.
pub(crate) fn c_string(text: impl Into<Vec<u8>>) -> CString {
    match CString::new(text) {
        Ok(whole) => whole,
        Err(error) => {
            let end = error.nul_position();
            let mut bytes = error.into_vec();
            bytes.truncate(end);
            CString::new(bytes).unwrap_or_default()
        }
    }
}

/// Dereferences what C gave: by the header's front page every pointer is NULL or what its parameter says, alive, and not
/// changed by another thread meanwhile.
macro_rules! from_c {
    ($($given:tt)*) => {{
        // SAFETY: the front page of the header asks the caller for it.
        unsafe { $($given)* }
    }};
}
pub(crate) use from_c;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{fmq_error_code, fmq_error_free, fmq_error_message};

    #[test]
    fn a_panic_becomes_an_error() {
        let quiet = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let error = guard(|| panic!("at the {}", "disco"));
        std::panic::set_hook(quiet);
        assert_eq!(from_c!(fmq_error_code(error)), ErrorKind::Internal as i32);
        let message = from_c!(CStr::from_ptr(fmq_error_message(error))).to_str().unwrap().to_owned();
        assert!(message.contains("at the disco"), "{message}");
        from_c!(fmq_error_free(error));
    }

    #[test]
    fn texts_end_at_their_first_nul() {
        assert_eq!(c_string("a\0b").as_bytes(), b"a");
        assert_eq!(c_string("ab").as_bytes(), b"ab");
    }

    #[test]
    fn what_is_null_or_no_text_is_refused_by_its_name() {
        let refused = from_c!(text(null(), "topic")).unwrap_err().to_string();
        assert!(refused.contains("topic is NULL"), "{refused}");
        let refused = from_c!(text(c"\xff".as_ptr(), "topic")).unwrap_err().to_string();
        assert!(refused.contains("topic is not UTF-8"), "{refused}");
        assert!(from_c!(bytes(null(), 1, "body")).is_err());
        assert_eq!(from_c!(bytes(null(), 0, "body")).unwrap(), b"");
    }
}
