//! What the library writes to its user, for Python's `logging`.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::pump;

/// One line: level as `logging` counts, target, text, and when, seconds since 1970.
pub struct Line {
    level: u32,
    target: &'static str,
    text: String,
    time: f64,
}

/// The lowest level that is handed over, as `logging` counts.
static LEVEL: AtomicUsize = AtomicUsize::new(WARNING as usize);

const WARNING: u32 = 30;

fn number(level: &Level) -> u32 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => WARNING,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// Takes the library's events; its spans, if it ever has some, are passed over.
struct Bridge;

impl Subscriber for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(metadata.level()) as usize >= LEVEL.load(Ordering::Relaxed)
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level can change.
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (level, target) = (number(event.metadata().level()), event.metadata().target());
        if let Some(pump) = pump::pump() {
            pump.line(Line { level, target, text: text.0, time });
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The text of an event: its message, then its fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Installs the bridge. The library is linked into this module, so no other Rust code of the process is concerned.
pub fn install() {
    // Once a process; a second import finds it there.
    let _ = tracing::subscriber::set_global_default(Bridge);
}

/// Sets the lowest level of the library's messages that reach `logging`, as `logging` counts: 40 error, 30 warning, 20
/// info, 10 debug, 5 trace.
#[pyfunction]
#[pyo3(name = "_set_level")]
pub fn set_level(level: usize) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Gives lines to `logging`.
pub fn hand_over(py: Python<'_>, lines: VecDeque<Line>, dropped: usize) {
    if lines.is_empty() {
        return;
    }
    static WRITE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let lines: Vec<_> =
        lines.into_iter().map(|line| (line.level, line.target, line.text, line.time)).collect();
    let written =
        WRITE.import(py, "ferromq.logging", "_write").and_then(|write| write.call1((lines, dropped)));
    if let Err(error) = written {
        error.write_unraisable(py, None);
    }
}
