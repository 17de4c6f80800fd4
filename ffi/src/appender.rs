//! `fmq_appender`: fills a queue of an instance of this process, without the way through client and broker.

use std::ffi::{c_char, c_void};
use std::slice;

use ferromq::{Appender, Result};

use crate::error::fmq_error;
use crate::guard::{bytes, from_c, guard, look, output, output_or_null, text, unusable};
use crate::handle::{free, give, object, thing, thing_mut, Thing};
use crate::instance::fmq_instance;
use crate::message::fmq_message;

/// Fills one queue of an instance that `fmq_open` opened: by far the fastest way to store a message, as what a send does for
/// each message is done once. What is promised is what a send promises: a message is stored as the flush mode says when the
/// call returns (with SYNC_FLUSH it waits for the disk), and everyone who reads afterwards finds it. It is stored as it is
/// given: no unique id is made, bodies are not compressed, nothing is tried a second time. Delayed and transactional
/// messages take a producer.
///
/// One thread uses it at a time; several threads make one each.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_appender {
    _opaque: [u8; 0],
}

impl Thing for fmq_appender {
    type Value = Appender;
    const NAME: &'static str = "fmq_appender";
    const MAGIC: u64 = 0x666d_7161_7070_0000;
}

/// Makes an appender for a queue, counted from 0, of a topic that is there. Of an instance that `fmq_connect` made none can be
/// had. To be freed with `fmq_appender_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_appender_new(
    instance: *mut fmq_instance,
    topic: *const c_char,
    queue_id: i32,
    appender: *mut *mut fmq_appender,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(appender, "appender"))?;
        let topic = from_c!(text(topic, "topic"))?;
        *place = give(object(instance, "instance")?.instance().appender(topic, queue_id)?);
        Ok(())
    })
}

/// Stores a message that is nothing but its body, of `length` bytes. Its number in the queue goes to `offset`, which may be
/// NULL. When it fails nothing is stored, with two exceptions under SYNC_FLUSH: with FMQ_TIMEOUT it is, and not known to be
/// on the disk in time; with FMQ_NOT_WRITABLE the disk may have refused it when it was in the log already, and a restart
/// may find it.
#[no_mangle]
pub unsafe extern "C" fn fmq_appender_append(
    appender: *mut fmq_appender,
    body: *const c_void,
    length: usize,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(offset));
        let body = from_c!(bytes(body, length, "body"))?;
        let stored = from_c!(thing_mut(appender, "appender"))?.append(body)?;
        place.into_iter().for_each(|place| *place = stored);
        Ok(())
    })
}

/// Stores `count` messages that are nothing but their bodies, one behind the other, all or none; together the bodies may have
/// `maxMessageSize` bytes. The number of the first goes to `offset`, which may be NULL. Fails as `fmq_appender_append`.
#[no_mangle]
pub unsafe extern "C" fn fmq_appender_append_batch(
    appender: *mut fmq_appender,
    bodies: *const *const c_void,
    lengths: *const usize,
    count: usize,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(offset));
        let bodies = from_c!(bodies_of(bodies, lengths, count))?;
        let stored = from_c!(thing_mut(appender, "appender"))?.append_batch(&bodies)?;
        place.into_iter().for_each(|place| *place = stored.start);
        Ok(())
    })
}

/// Stores a message with its tag, keys, properties and flag; its topic is the appender's. As `fmq_appender_append`.
#[no_mangle]
pub unsafe extern "C" fn fmq_appender_append_message(
    appender: *mut fmq_appender,
    message: *const fmq_message,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(offset));
        let message = &from_c!(thing(message, "message"))?.message;
        let stored = from_c!(thing_mut(appender, "appender"))?.append_message(message)?;
        place.into_iter().for_each(|place| *place = stored);
        Ok(())
    })
}

/// Frees an appender. NULL is fine. What it stored stays.
#[no_mangle]
pub unsafe extern "C" fn fmq_appender_free(appender: *mut fmq_appender) {
    look((), || {
        from_c!(free(appender));
        Ok(())
    });
}

/// The bodies of a batch.
///
/// # Safety
/// Both arrays have `count` elements, each pair as [`bytes`] takes it, unchanged for `'a`.
unsafe fn bodies_of<'a>(
    bodies: *const *const c_void,
    lengths: *const usize,
    count: usize,
) -> Result<Vec<&'a [u8]>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    for (is_null, name) in [(bodies.is_null(), "bodies"), (lengths.is_null(), "lengths")] {
        if is_null {
            return Err(unusable(name, "is NULL, but there should be some"));
        }
    }
    if count > isize::MAX as usize / size_of::<usize>() {
        return Err(unusable("count", "is impossible"));
    }
    // SAFETY: they are not NULL, the rest as the caller says.
    let pairs =
        unsafe { slice::from_raw_parts(bodies, count).iter().zip(slice::from_raw_parts(lengths, count)) };
    // SAFETY: as the caller says.
    pairs.map(|(body, length)| unsafe { self::bytes(*body, *length, "bodies") }).collect()
}
