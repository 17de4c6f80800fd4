//! `fmq_pulled`: single pulls, for programs that keep their offsets themselves.

use std::ffi::c_char;
use std::ptr::null;
use std::time::Duration;

use ferromq::{PullStatus, Pulled, Subscription};

use crate::consumer::fmq_consumer;
use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, text, time};
use crate::handle::{free, give, object, thing, Marked, Thing};
use crate::queue::{fmq_queue, queue_of};
use crate::stored::{fmq_messages, in_list};

/// What a single pull brought.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_pulled {
    _opaque: [u8; 0],
}

impl Thing for fmq_pulled {
    type Value = Found;
    const NAME: &'static str = "fmq_pulled";
    const MAGIC: u64 = 0x666d_7170_756c_0000;
}

/// A pull with its messages as C reads them.
pub struct Found {
    status: PullStatus,
    next: i64,
    min: i64,
    max: i64,
    messages: Marked<fmq_messages>,
}

/// How a single pull ended.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_pull_status {
    /// There are messages.
    FMQ_PULL_FOUND = 0,
    /// The queue ends at the offset.
    FMQ_PULL_NO_NEW_MESSAGES = 1,
    /// There are messages, and none that is wanted up to `fmq_pulled_next`.
    FMQ_PULL_NO_MATCHED = 2,
    /// The queue has no such offset; `fmq_pulled_next` is the nearest that it has.
    FMQ_PULL_OFFSET_ILLEGAL = 3,
}

/// Asks a broker once for up to `most` messages of a queue from `offset` on, of those whose tag `expression` names (`*` for
/// all). If there is nothing, the broker waits for a message up to `timeout_ms` (below 0 as 0). Neither subscribes nor
/// commits; no start is needed. The result is to be freed with `fmq_pulled_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_pull(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    expression: *const c_char,
    offset: i64,
    most: u32,
    timeout_ms: i64,
    pulled: *mut *mut fmq_pulled,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(pulled, "pulled"))?;
        let queue = queue_of(queue)?;
        let wanted = Subscription::tags(queue.topic.as_str(), from_c!(text(expression, "expression"))?)?;
        let limit = time(timeout_ms).unwrap_or(Duration::ZERO);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let consumer = object(consumer, "consumer")?;
        let Pulled { status, messages, next, min, max } =
            consumer.consumer().pull(queue, &wanted, offset, most, limit)?;
        *place = give(Found { status, next, min, max, messages: in_list(messages) });
        Ok(())
    })
}

fn of<T>(pulled: *const fmq_pulled, otherwise: T, take: impl FnOnce(&'static Found) -> T) -> T {
    look(otherwise, || Ok(take(from_c!(thing(pulled, "pulled"))?)))
}

/// How it ended: one of `fmq_pull_status`; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_status(pulled: *const fmq_pulled) -> i32 {
    of(pulled, -1, |found| match found.status {
        PullStatus::Found => fmq_pull_status::FMQ_PULL_FOUND as i32,
        PullStatus::NoNewMessages => fmq_pull_status::FMQ_PULL_NO_NEW_MESSAGES as i32,
        PullStatus::NoMatched => fmq_pull_status::FMQ_PULL_NO_MATCHED as i32,
        PullStatus::OffsetIllegal => fmq_pull_status::FMQ_PULL_OFFSET_ILLEGAL as i32,
    })
}

/// The messages. Valid as long as the result.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_messages(pulled: *const fmq_pulled) -> *const fmq_messages {
    of(pulled, null(), |found| found.messages.handle())
}

/// The offset to pull from next; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_next(pulled: *const fmq_pulled) -> i64 {
    of(pulled, -1, |found| found.next)
}

/// The first offset of the queue; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_min(pulled: *const fmq_pulled) -> i64 {
    of(pulled, -1, |found| found.min)
}

/// The end of the queue: the offset that its next message gets; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_max(pulled: *const fmq_pulled) -> i64 {
    of(pulled, -1, |found| found.max)
}

/// Frees a result with its messages. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_pulled_free(pulled: *mut fmq_pulled) {
    look((), || {
        from_c!(free(pulled));
        Ok(())
    });
}
