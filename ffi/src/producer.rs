//! `fmq_producer`: sends.

use std::ffi::{c_char, c_void, CString};
use std::ptr::null;
use std::time::Duration;

use bytes::Bytes;
use ferromq::{Producer, Result, SendOptions, Sent, StoredMessage};

use crate::error::fmq_error;
use crate::guard::{
    bytes, c_string, from_c, guard, look, output, output_or_null, text, text_or_null, time, unusable,
};
use crate::handle::{fmq_free_user_data, object, share, thing, thing_or_null, unshare, Shared, UserData};
use crate::instance::fmq_instance;
use crate::message::{fmq_batch, fmq_message, messages_of};
use crate::options::{fmq_options, Pairs};
use crate::queue::{fmq_queues, list};
use crate::sent::{during, fmq_send_options, fmq_sent, keep, send_options};
use crate::stored::{fmq_stored_message, lent, owned};

/// Sends messages. Threads may share it.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_producer {
    _opaque: [u8; 0],
}

impl Shared for fmq_producer {
    type Object = Sender;
    const NAME: &'static str = "fmq_producer";
}

/// A producer with its texts as C reads them.
pub struct Sender {
    producer: Producer,
    group: CString,
}

/// Gets the result of a send: `sent`, or `error` if it failed; the other one is NULL. Both are valid during the call. Runs
/// on a callback thread of the client, and may call everything, also send again and close. Called at most once: never after
/// the producer was closed.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_send_callback =
    Option<unsafe extern "C" fn(sent: *const fmq_sent, error: *const fmq_error, user_data: *mut c_void)>;

/// Gets the reply to a request, or the error if there is none; as `fmq_send_callback`.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_request_callback = Option<
    unsafe extern "C" fn(reply: *const fmq_stored_message, error: *const fmq_error, user_data: *mut c_void),
>;

fn message_of<'a>(message: *const fmq_message) -> Result<&'a ferromq::Message> {
    Ok(&from_c!(thing(message, "message"))?.message)
}

fn within(timeout_ms: i64) -> SendOptions {
    SendOptions { timeout: time(timeout_ms), ..SendOptions::default() }
}

/// Makes a producer of a group. `group` may be NULL if the options have producerGroup, `options` if nothing is set;
/// docs/client.md lists its keys. To be freed with `fmq_producer_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_new(
    instance: *mut fmq_instance,
    group: *const c_char,
    options: *const fmq_options,
    producer: *mut *mut fmq_producer,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(producer, "producer"))?;
        let group = from_c!(text_or_null(group, "group"))?;
        let options = Pairs::producer(from_c!(thing_or_null(options, "options"))?, group)?;
        let producer = object(instance, "instance")?.instance().producer_with(options)?;
        let group = c_string(producer.group());
        *place = share(Sender { producer, group })?;
        Ok(())
    })
}

/// Sends a message and waits until it is stored, at most `timeout_ms` with all attempts (below 0: sendMsgTimeout). `sent`
/// may be NULL; what it gets is to be freed with `fmq_sent_free`. A message whose send timed out may be stored all the same.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    timeout_ms: i64,
    sent: *mut *mut fmq_sent,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(sent));
        let message = message_of(message)?;
        keep(object(producer, "producer")?.producer.send_with(message, &within(timeout_ms))?, place);
        Ok(())
    })
}

/// As `fmq_producer_send`, with options, which may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_with(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    options: *const fmq_send_options,
    sent: *mut *mut fmq_sent,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(sent));
        let (message, options) = (message_of(message)?, send_options(options)?);
        keep(object(producer, "producer")?.producer.send_with(message, &options)?, place);
        Ok(())
    })
}

/// A callback with its user data, as the library calls it.
fn told(
    callback: fmq_send_callback,
    user_data: UserData,
) -> Result<impl FnOnce(Result<Sent>) + Send + 'static> {
    let callback = callback.ok_or_else(|| unusable("callback", "is NULL"))?;
    Ok(move |result: Result<Sent>| {
        let user_data = user_data;
        match result {
            Ok(sent) => from_c!(callback(during(sent).handle(), null(), user_data.pointer())),
            Err(error) => from_c!(callback(null(), fmq_error::lent(&error).handle(), user_data.pointer())),
        }
    })
}

/// Sends a message and returns at once; the callback gets the result. Unlike with the callback, an error that is returned
/// is one of the arguments. At most backPressureForAsyncSendNum sends with backPressureForAsyncSendSize bytes are under
/// way; a further one waits here for room, within its time limit. In a callback it does not wait. `user_data` is given back
/// with `free_user_data` (may be NULL) after the callback, or as soon as it is certain that there will be none.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_callback(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    options: *const fmq_send_options,
    callback: fmq_send_callback,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let told = told(callback, user_data)?;
        let (message, options) = (message_of(message)?, send_options(options)?);
        object(producer, "producer")?.producer.send_callback(message, &options, told);
        Ok(())
    })
}

/// Sends a message without asking for an answer, and returns when it is on its way: for what may be lost. `options` may be
/// NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_oneway(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    options: *const fmq_send_options,
) -> *mut fmq_error {
    guard(|| {
        let (message, options) = (message_of(message)?, send_options(options)?);
        object(producer, "producer")?.producer.send_oneway_with(message, &options)
    })
}

/// Sends messages of one topic together, into one queue side by side: all are stored or none. Together they may be as large
/// as one message may, 4 MiB by default. `options` and `sent` may be NULL; a selector sees the first message.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_batch(
    producer: *mut fmq_producer,
    batch: *const fmq_batch,
    options: *const fmq_send_options,
    sent: *mut *mut fmq_sent,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(sent));
        let (messages, options) = (messages_of(batch)?, send_options(options)?);
        keep(object(producer, "producer")?.producer.send_batch_with(messages, &options)?, place);
        Ok(())
    })
}

/// As `fmq_producer_send_batch`, but returns at once, as `fmq_producer_send_callback` does.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_batch_callback(
    producer: *mut fmq_producer,
    batch: *const fmq_batch,
    options: *const fmq_send_options,
    callback: fmq_send_callback,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let told = told(callback, user_data)?;
        let (messages, options) = (messages_of(batch)?, send_options(options)?);
        object(producer, "producer")?.producer.send_batch_callback(messages, &options, told);
        Ok(())
    })
}

/// Sends a list of any length as batches of about 1 MiB, into one queue, in its order. `stored` (may be NULL) gets how many
/// messages are stored, also of a list whose end failed; each batch has the time sendMsgTimeout.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_send_split(
    producer: *mut fmq_producer,
    batch: *const fmq_batch,
    stored: *mut usize,
) -> *mut fmq_error {
    guard(|| {
        let stored = from_c!(output_or_null(stored));
        let messages = from_c!(thing(batch, "batch"))?;
        let producer = object(producer, "producer")?;
        let (mut options, mut done) = (SendOptions::default(), 0);
        let mut failed = None;
        for part in producer.producer.split(messages) {
            match producer.producer.send_batch_with(part, &options) {
                Ok(sent) => options = options.with_queue(sent.queue),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            done += part.len();
        }
        if let Some(stored) = stored {
            *stored = done;
        }
        failed.map_or(Ok(()), Err)
    })
}

/// Sends a message and waits for the reply to it, which a consumer makes with `fmq_producer_reply`; at most `timeout_ms`,
/// below 0 as 3000. The reply is to be freed with `fmq_stored_message_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_request(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    timeout_ms: i64,
    reply: *mut *mut fmq_stored_message,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(reply, "reply"))?;
        let message = message_of(message)?;
        *place = owned(object(producer, "producer")?.producer.request(message, request_time(timeout_ms))?);
        Ok(())
    })
}

fn request_time(timeout_ms: i64) -> Duration {
    time(timeout_ms).unwrap_or(Duration::from_secs(3))
}

/// As `fmq_producer_request`, but returns at once; the callback gets the reply. `user_data` as with
/// `fmq_producer_send_callback`.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_request_callback(
    producer: *mut fmq_producer,
    message: *const fmq_message,
    timeout_ms: i64,
    callback: fmq_request_callback,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let callback = callback.ok_or_else(|| unusable("callback", "is NULL"))?;
        let told = move |reply: Result<StoredMessage>| {
            let user_data = user_data;
            match reply {
                Ok(reply) => from_c!(callback(lent(&reply).handle(), null(), user_data.pointer())),
                Err(error) => {
                    from_c!(callback(null(), fmq_error::lent(&error).handle(), user_data.pointer()))
                }
            }
        };
        let message = message_of(message)?;
        object(producer, "producer")?.producer.request_callback(message, request_time(timeout_ms), told);
        Ok(())
    })
}

/// Sends the reply to a request that a consumer got. `sent` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_reply(
    producer: *mut fmq_producer,
    request: *const fmq_stored_message,
    body: *const c_void,
    length: usize,
    sent: *mut *mut fmq_sent,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output_or_null(sent));
        let request = from_c!(thing(request, "request"))?.message();
        let body = Bytes::copy_from_slice(from_c!(bytes(body, length, "body"))?);
        keep(object(producer, "producer")?.producer.reply(request, body)?, place);
        Ok(())
    })
}

/// The queues of a topic that can be sent to, by broker and number; to be freed with `fmq_queues_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_queues(
    producer: *mut fmq_producer,
    topic: *const c_char,
    queues: *mut *mut fmq_queues,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        let topic = from_c!(text(topic, "topic"))?;
        *place = list(object(producer, "producer")?.producer.queues(topic)?);
        Ok(())
    })
}

/// The group. Valid until the producer is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_group(producer: *const fmq_producer) -> *const c_char {
    look(null(), || Ok(object(producer, "producer")?.group.as_ptr()))
}

/// Sends with callback that are under way, running callbacks included.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_sends_in_flight(producer: *const fmq_producer) -> usize {
    look(0, || Ok(object(producer, "producer")?.producer.sends_in_flight()))
}

/// Takes no further sends, waits for those under way and for their callbacks, at most `timeout_ms` (below 0: 10 s), and
/// leaves the group. Closing again is fine. In a callback it does not wait, and no further callback begins.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_close(producer: *mut fmq_producer, timeout_ms: i64) -> *mut fmq_error {
    guard(|| close(&object(producer, "producer")?.producer, timeout_ms))
}

pub(crate) fn close(producer: &Producer, timeout_ms: i64) -> Result<()> {
    match time(timeout_ms) {
        Some(limit) => producer.close_within(limit),
        None => producer.close(),
    }
}

/// Closes a producer, waiting as `fmq_producer_close` with -1 does, and ends the handle. NULL and a handle that was freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_producer_free(producer: *mut fmq_producer) {
    look((), || unshare(producer).map_or(Ok(()), |sender| close(&sender.producer, -1)));
}
