//! The log: what the library has to say to its user, handed to a callback.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ferromq::{Error, ErrorKind};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::fmq_error;
use crate::guard::{c_string, guard, unusable};
use crate::handle::{fmq_free_user_data, UserData};
use crate::process::Own;

/// How much a line of the log matters.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_log_level {
    /// No lines.
    FMQ_LOG_OFF = 0,
    /// Something failed, and somebody has to look at it.
    FMQ_LOG_ERROR = 1,
    /// Something is odd or went wrong; the library goes on.
    FMQ_LOG_WARN = 2,
    /// Starts, ends, changes of who consumes what.
    FMQ_LOG_INFO = 3,
    /// What helps to find out why.
    FMQ_LOG_DEBUG = 4,
    /// Everything.
    FMQ_LOG_TRACE = 5,
}

/// Gets a line of the log: its level (one of `fmq_log_level`), the part of the library that it is from, and the text. Both
/// texts are valid during the call. Runs on whichever thread has something to say, several at a time, and should be quick.
/// What the library says about calls from here is dropped.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_log_callback = Option<
    unsafe extern "C" fn(level: i32, part: *const c_char, text: *const c_char, user_data: *mut c_void),
>;

/// Has the log of the whole library, of this level and what matters more, handed to a callback, in place of the one before.
/// NULL, or FMQ_LOG_OFF, ends that; without callback nothing is logged, nor written anywhere else. `user_data` is given back
/// with `free_user_data` (may be NULL) when the last line that it gets has ended.
///
/// FMQ_UNSUPPORTED in a Rust program that collects `tracing` itself.
#[no_mangle]
pub unsafe extern "C" fn fmq_log_set(
    level: i32,
    callback: fmq_log_callback,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        if !(fmq_log_level::FMQ_LOG_OFF as i32..=fmq_log_level::FMQ_LOG_TRACE as i32).contains(&level) {
            return Err(unusable("level", &format!("is {level}; allowed is 0 to 5")));
        }
        let sink = callback.map(|callback| Arc::new(Sink { callback, user_data }));
        let level = if sink.is_some() { level } else { fmq_log_level::FMQ_LOG_OFF as i32 };
        listen()?;
        LEVEL.store(level, Ordering::Relaxed);
        let before = std::mem::replace(&mut *place().write().unwrap_or_else(PoisonError::into_inner), sink);
        // Not under the lock: the program's function may log.
        drop(before);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    })
}

struct Sink {
    callback: unsafe extern "C" fn(i32, *const c_char, *const c_char, *mut c_void),
    user_data: UserData,
}

type Place = RwLock<Option<Arc<Sink>>>;

/// Where the callback is. A forked child takes its parent's over, if nobody was about to change it.
fn place() -> &'static Place {
    static PLACE: Own<Place> = Own::new();
    PLACE.of(|parents| {
        let taken = parents.and_then(|parents| match parents.try_write() {
            Ok(mut sink) => sink.take(),
            // Somebody read it at that moment, and for ever.
            Err(_) => parents.try_read().ok()?.clone(),
        });
        RwLock::new(taken)
    })
}

static LEVEL: AtomicI32 = AtomicI32::new(0);

thread_local! {
    /// Whether this thread is in the callback.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Becomes what the process's lines go to, once.
fn listen() -> ferromq::Result<()> {
    static IS_OURS: OnceLock<bool> = OnceLock::new();
    if *IS_OURS.get_or_init(|| tracing::subscriber::set_global_default(Lines).is_ok()) {
        return Ok(());
    }
    let context = "this program collects the lines of `tracing` itself; read them there";
    Err(Error::new(ErrorKind::Unsupported, "set log", context))
}

fn number(level: Level) -> i32 {
    match level {
        Level::ERROR => fmq_log_level::FMQ_LOG_ERROR as i32,
        Level::WARN => fmq_log_level::FMQ_LOG_WARN as i32,
        Level::INFO => fmq_log_level::FMQ_LOG_INFO as i32,
        Level::DEBUG => fmq_log_level::FMQ_LOG_DEBUG as i32,
        Level::TRACE => fmq_log_level::FMQ_LOG_TRACE as i32,
    }
}

/// Hands events to the callback. The library opens no spans.
struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        number(*metadata.level()) <= LEVEL.load(Ordering::Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match LEVEL.load(Ordering::Relaxed) {
            1 => LevelFilter::ERROR,
            2 => LevelFilter::WARN,
            3 => LevelFilter::INFO,
            4 => LevelFilter::DEBUG,
            5 => LevelFilter::TRACE,
            _ => LevelFilter::OFF,
        })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        // Somebody who holds the lock is changing the callback.
        let Ok(sink) = place().try_read().map(|sink| sink.clone()) else { return };
        let Some(sink) = sink else { return };
        // At the end of a thread there is nothing left to be inside of.
        if INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(false) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let (part, text) = (c_string(metadata.target()), c_string(line.text));
        // SAFETY: the callback was given for this user data, which the sink keeps.
        unsafe {
            (sink.callback)(
                number(*metadata.level()),
                part.as_ptr(),
                text.as_ptr(),
                sink.user_data.pointer(),
            );
        }
        drop(sink);
        let _ended = INSIDE.try_with(|inside| inside.set(false));
    }
}

/// An event as a text: the message, then the other fields.
#[derive(Default)]
struct Line {
    text: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.text);
                write!(self.text, "{value:?}{fields}")
            }
            name => write!(self.text, " {name}={value:?}"),
        };
        // A text always takes more.
        debug_assert!(written.is_ok());
    }
}
