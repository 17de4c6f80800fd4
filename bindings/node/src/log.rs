//! The library's own log, for who wants to see it: the only thing here that belongs to the process. It is passed on to
//! the environments that asked for it.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use napi_derive::napi;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::{guard, invalid};
use crate::reports::{Reports, Shared};

/// The most detailed level that anybody wants: 0 is none, 5 is TRACE.
static WANTED: AtomicUsize = AtomicUsize::new(0);
static LISTENING: Mutex<Vec<(usize, Weak<Shared>)>> = Mutex::new(Vec::new());
static INSTALLED: Once = Once::new();

const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn detail(level: &Level) -> usize {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Passes lines on, and knows no spans.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && detail(metadata.level()) <= WANTED.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let line = format!("{}\t{}\t{}{}", metadata.level(), metadata.target(), text.message, text.fields);
        let detail = detail(metadata.level());
        let listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let interested = listening.iter().filter(|(wanted, _)| detail <= *wanted);
        for reports in interested.filter_map(|(_, reports)| reports.upgrade()) {
            reports.log(line.clone());
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[napi]
impl Reports {
    /// Reports the library's log from now on, up to this level: `off`, `error`, `warn`, `info`, `debug` or `trace`.
    #[napi]
    pub fn listen_to_log(&self, level: String) -> napi::Result<()> {
        guard("listen to log", || {
            let Some(wanted) = NAMES.iter().position(|name| *name == level) else {
                let context = format!("{level:?} is no level; levels are {}", NAMES.join(", "));
                return Err(invalid("listen to log", context));
            };
            let mut listening = LISTENING.lock().unwrap_or_else(PoisonError::into_inner);
            let own = Arc::downgrade(&self.shared);
            listening.retain(|(_, other)| other.strong_count() > 0 && !other.ptr_eq(&own));
            if wanted > 0 {
                listening.push((wanted, own));
            }
            let most = listening.iter().map(|(wanted, _)| *wanted).max().unwrap_or(0);
            drop(listening);
            WANTED.store(most, Ordering::Relaxed);
            // Whoever loaded the library first has it; there is no other in this shared library.
            INSTALLED.call_once(|| drop(tracing::subscriber::set_global_default(Lines)));
            tracing::callsite::rebuild_interest_cache();
            Ok(())
        })
    }
}
