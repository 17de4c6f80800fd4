//! Waiting without the interpreter's lock, and without being deaf to Ctrl-C.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyAnyMethods;

use crate::error::Outcome;

/// How long a wait goes on before it looks for signals, which reach Python's main thread only.
const LOOK: Duration = Duration::from_millis(50);

/// No wait is longer: what is said to be endless ends after a century.
const LONGEST: Duration = Duration::from_secs(3_155_760_000);

/// Runs what may wait while other threads run Python.
pub fn detached<T: Send>(py: Python<'_>, call: impl FnOnce() -> ferromq::Result<T> + Send) -> Outcome<T> {
    Ok(py.detach(call)?)
}

/// As [`detached`], for what may take long: Ctrl-C ends the wait; what was begun goes on by itself then.
pub fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> ferromq::Result<T> + Send + 'static,
) -> Outcome<T> {
    if !is_main_thread(py)? {
        return detached(py, call);
    }
    let (done, result) = mpsc::channel();
    let run = move || {
        // Nobody waits for it any more after a signal.
        let _ = done.send(call());
    };
    if std::thread::Builder::new().name("ferromq-wait".into()).spawn(run).is_err() {
        let context = "the system has no thread left";
        let error = ferromq::Error::new(ferromq::ErrorKind::LimitExceeded, "wait", context);
        return Err(error.into());
    }
    let result = std::sync::Mutex::new(result);
    loop {
        let answer = py.detach(|| match result.lock() {
            Ok(result) => result.recv_timeout(LOOK),
            Err(_) => Err(RecvTimeoutError::Disconnected),
        });
        match answer {
            Ok(answer) => return Ok(answer?),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                let error =
                    ferromq::Error::new(ferromq::ErrorKind::Internal, "wait", "the call ended with a panic");
                return Err(error.into());
            }
        }
    }
}

/// Calls `step` with short waits until it has something, or `timeout` (for ever without) is over; looks for signals
/// in between.
pub fn in_steps<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    step: impl Fn(Duration) -> ferromq::Result<Option<T>> + Sync,
) -> Outcome<Option<T>> {
    let until = timeout.map(|timeout| Instant::now() + timeout.min(LONGEST));
    let mut longest = LOOK;
    loop {
        let left = until.map_or(LONGEST, |until| until.saturating_duration_since(Instant::now()));
        if let Some(found) = py.detach(|| step(left.min(longest)))? {
            return Ok(Some(found));
        }
        if left <= longest {
            return Ok(None);
        }
        py.check_signals()?;
        if longest == LOOK && !is_main_thread(py)? {
            longest = LONGEST;
        }
    }
}

/// Whether Python runs signal handlers on this thread.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    main.eq(threading.call_method0("get_ident")?)
}

/// A time limit given in seconds, or as a `timedelta`.
pub fn duration(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    let seconds: f64 = match value.hasattr("total_seconds")? {
        true => value.call_method0("total_seconds")?.extract()?,
        false => value.extract()?,
    };
    if seconds.is_nan() || seconds < 0.0 {
        let text = format!("a time limit is a number of seconds that is not negative, not {seconds}");
        return Err(pyo3::exceptions::PyValueError::new_err(text));
    }
    Ok(Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)))
}

/// What a Python object holds of the library. Its end may wait for listeners, so it comes without the interpreter's
/// lock, which they need.
pub struct Held<T: Send + 'static>(Option<T>);

impl<T: Send> Held<T> {
    pub fn new(inner: T) -> Held<T> {
        Held(Some(inner))
    }
}

impl<T: Send> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // Empty only while it is dropped.
        self.0.as_ref().expect("held until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        // Objects go where the interpreter's lock is held already: no way in, which a fork may have closed.
        Python::try_attach(|py| py.detach(|| drop(inner)));
    }
}
