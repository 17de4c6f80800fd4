//! `fmq_consumer`: is asked for messages.

use std::ffi::{c_char, c_void, CString};
use std::ptr::null;
use std::time::Duration;

use ferromq::{Consumer, Result, Subscription};

use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, look, output, text, text_or_null, time, unusable};
use crate::handle::{fmq_free_user_data, object, share, thing_or_null, unshare, Shared, UserData};
use crate::instance::fmq_instance;
use crate::options::{fmq_options, Pairs};
use crate::queue::{fmq_queue, fmq_queues, list, queue_of, queues_of};
use crate::ready::{Callback, Ready};
use crate::stored::{self, fmq_messages};

/// Is asked for messages, at the program's own pace. Threads may share it; a commit then covers what all of them polled.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_consumer {
    _opaque: [u8; 0],
}

impl Shared for fmq_consumer {
    type Object = Polled;
    const NAME: &'static str = "fmq_consumer";
}

/// A pull consumer with its texts as C reads them.
pub struct Polled {
    consumer: Consumer,
    group: Option<CString>,
    ready: Ready,
}

impl Polled {
    pub(crate) fn consumer(&self) -> &Consumer {
        &self.consumer
    }
}

/// Makes a pull consumer of a group. With `group` NULL, and no consumerGroup in the options, it reads all queues for
/// itself. `options` may be NULL; docs/client.md lists its keys. To be freed with `fmq_consumer_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_new(
    instance: *mut fmq_instance,
    group: *const c_char,
    options: *const fmq_options,
    consumer: *mut *mut fmq_consumer,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(consumer, "consumer"))?;
        let group = from_c!(text_or_null(group, "group"))?;
        let options = Pairs::consumer(from_c!(thing_or_null(options, "options"))?, group)?;
        let consumer = object(instance, "instance")?.instance().consumer_with(options)?;
        let group = consumer.group().map(c_string);
        *place = share(Polled { consumer, group, ready: Ready::default() })?;
        Ok(())
    })
}

fn with(consumer: *const fmq_consumer, body: impl FnOnce(&Consumer) -> Result<()>) -> *mut fmq_error {
    guard(|| body(&object(consumer, "consumer")?.consumer))
}

/// Consumes a topic: `*` for all of it, or `TagA || TagB`. Replaces what was wanted of the topic before. All members of a
/// group must subscribe to the same. Not together with `fmq_consumer_assign`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_subscribe(
    consumer: *mut fmq_consumer,
    topic: *const c_char,
    expression: *const c_char,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        let (topic, expression) = from_c!((text(topic, "topic")?, text(expression, "expression")?));
        consumer.subscribe(topic, expression)
    })
}

/// As `fmq_consumer_subscribe`, with an SQL92 expression over the properties (docs/filters.md).
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_subscribe_sql(
    consumer: *mut fmq_consumer,
    topic: *const c_char,
    expression: *const c_char,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        let (topic, expression) = from_c!((text(topic, "topic")?, text(expression, "expression")?));
        consumer.subscribe_to(Subscription::sql(topic, expression)?)
    })
}

/// Does not consume a topic any more.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_unsubscribe(
    consumer: *mut fmq_consumer,
    topic: *const c_char,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.unsubscribe(from_c!(text(topic, "topic"))?);
        Ok(())
    })
}

/// Consumes exactly these queues, whoever else has them; replaces those of an earlier call. With a group it begins where
/// the group has stored its progress, and stores it there. Not together with `fmq_consumer_subscribe`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_assign(
    consumer: *mut fmq_consumer,
    queues: *const fmq_queues,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.assign(&queues_of(queues)?))
}

/// Joins the group and begins to fetch, as the first poll would.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_start(consumer: *mut fmq_consumer) -> *mut fmq_error {
    with(consumer, Consumer::start)
}

/// Waits until a message comes or the consumer is closed, as far as time is measured.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The next messages, all of one queue, in their order, at most pollBatch; an empty list if none came within `timeout_ms`.
/// 0 does not wait; below 0 waits until some come or the consumer is closed. The first call starts the consumer. With
/// autoCommit, the default, it commits what the polls before it returned. The list is to be freed with
/// `fmq_messages_free`.
///
/// Errors do not end the consumer, but for FMQ_CLOSED: the next call goes on.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_poll(
    consumer: *mut fmq_consumer,
    timeout_ms: i64,
    messages: *mut *mut fmq_messages,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(messages, "messages"))?;
        let Polled { consumer, ready, .. } = &*object(consumer, "consumer")?;
        let limit = time(timeout_ms).unwrap_or(FOR_EVER);
        *place = stored::list(ready.around(|| consumer.poll(limit))?);
        Ok(())
    })
}

/// As `fmq_consumer_poll`, with at most `most` messages.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_poll_at_most(
    consumer: *mut fmq_consumer,
    most: usize,
    timeout_ms: i64,
    messages: *mut *mut fmq_messages,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(messages, "messages"))?;
        let Polled { consumer, ready, .. } = &*object(consumer, "consumer")?;
        let limit = time(timeout_ms).unwrap_or(FOR_EVER);
        *place = stored::list(ready.around(|| consumer.poll_at_most(most, limit))?);
        Ok(())
    })
}

/// A file descriptor for poll(), epoll and event loops: it can be read while there may be something to poll. When it can,
/// call `fmq_consumer_poll` with 0, once or until the list is empty; it can be read until a poll came back empty. Do not
/// read or close it. It starts the consumer, and is valid until that is freed. FMQ_UNSUPPORTED where the system has no
/// eventfd.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_fd(consumer: *mut fmq_consumer, fd: *mut i32) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(fd, "fd"))?;
        *place = -1;
        let Polled { consumer, ready, .. } = &*object(consumer, "consumer")?;
        consumer.start()?;
        *place = ready.descriptor(consumer)?;
        Ok(())
    })
}

/// Is told that there may be something to poll. Runs on a callback thread of the client; it must not wait, as callbacks of
/// sends wait for it, but may poll with 0.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_ready_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Has a callback called, in place of the one before, when a poll would not wait any more: once until polls have emptied
/// what there is, and when the consumer is closed. For event loops that can be woken. It starts the consumer. `user_data`
/// is given back with `free_user_data` (may be NULL) when the consumer is closed or another one is set.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_on_ready(
    consumer: *mut fmq_consumer,
    callback: fmq_ready_callback,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let function = callback.ok_or_else(|| unusable("callback", "is NULL"))?;
        let Polled { consumer, ready, .. } = &*object(consumer, "consumer")?;
        consumer.start()?;
        ready.call(consumer, Callback { function, user_data });
        Ok(())
    })
}

/// All messages that were polled so far are consumed. Brokers are told within seconds; `fmq_consumer_flush` tells them at
/// once.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_commit(consumer: *mut fmq_consumer) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.commit();
        Ok(())
    })
}

/// What is before `offset` in a queue is consumed.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_commit_queue(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    offset: i64,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.commit_queue(queue_of(queue)?, offset))
}

/// Stores what was committed, and waits until it is.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_flush(consumer: *mut fmq_consumer) -> *mut fmq_error {
    with(consumer, Consumer::flush)
}

/// How far the group has come in a queue, as it is stored; -1 if it has not consumed there yet.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_committed(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(offset, "offset"))?;
        let consumer = &object(consumer, "consumer")?.consumer;
        *place = consumer.committed(queue_of(queue)?)?.unwrap_or(-1);
        Ok(())
    })
}

/// Goes on with a queue at `offset`: what was fetched is forgotten. Counts as committed up to there.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_seek(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    offset: i64,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.seek(queue_of(queue)?, offset))
}

/// Goes on with the first message that the queue still has.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_seek_to_begin(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.seek_to_begin(queue_of(queue)?))
}

/// Goes on with what is stored from now on.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_seek_to_end(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.seek_to_end(queue_of(queue)?))
}

/// Goes on with the first message stored at a time, ms since 1970, or later.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_seek_to_time(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    time_ms: i64,
) -> *mut fmq_error {
    with(consumer, |consumer| consumer.seek_to_time(queue_of(queue)?, time_ms))
}

/// The offset of the first message of a queue stored at a time, ms since 1970, or later; the end if there is none.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_offset_for_time(
    consumer: *mut fmq_consumer,
    queue: *const fmq_queue,
    time_ms: i64,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(offset, "offset"))?;
        let consumer = &object(consumer, "consumer")?.consumer;
        *place = consumer.offset_for_time(queue_of(queue)?, time_ms)?;
        Ok(())
    })
}

/// Fetches and hands out nothing of these queues until `fmq_consumer_resume`; those that are not this consumer's are passed
/// over.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_pause(
    consumer: *mut fmq_consumer,
    queues: *const fmq_queues,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.pause(&queues_of(queues)?);
        Ok(())
    })
}

/// Ends a pause of these queues.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_resume(
    consumer: *mut fmq_consumer,
    queues: *const fmq_queues,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.resume(&queues_of(queues)?);
        Ok(())
    })
}

/// Whether everything has been polled that the queues held when they were last heard of.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_is_caught_up(consumer: *const fmq_consumer) -> bool {
    look(false, || Ok(object(consumer, "consumer")?.consumer.is_caught_up()))
}

/// The queues that are this consumer's at present; to be freed with `fmq_queues_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_queues(
    consumer: *mut fmq_consumer,
    queues: *mut *mut fmq_queues,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        let consumer = &object(consumer, "consumer")?.consumer;
        *place = list(consumer.queues());
        Ok(())
    })
}

/// All queues of a topic, to be chosen from for `fmq_consumer_assign`; to be freed with `fmq_queues_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_topic_queues(
    consumer: *mut fmq_consumer,
    topic: *const c_char,
    queues: *mut *mut fmq_queues,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        let consumer = &object(consumer, "consumer")?.consumer;
        *place = list(consumer.topic_queues(from_c!(text(topic, "topic"))?)?);
        Ok(())
    })
}

/// The group; NULL if it consumes for itself. Valid until the consumer is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_group(consumer: *const fmq_consumer) -> *const c_char {
    look(null(), || Ok(object(consumer, "consumer")?.group.as_ref().map_or(null(), |group| group.as_ptr())))
}

/// Stores what was committed (with autoCommit all that was polled) and leaves the group, within `timeout_ms` (below 0:
/// awaitTerminationMillisWhenShutdown). Polls that wait end with FMQ_CLOSED. Closing again is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_close(consumer: *mut fmq_consumer, timeout_ms: i64) -> *mut fmq_error {
    with(consumer, |consumer| close(consumer, timeout_ms))
}

fn close(consumer: &Consumer, timeout_ms: i64) -> Result<()> {
    match time(timeout_ms) {
        Some(limit) => consumer.close_within(limit),
        None => consumer.close(),
    }
}

/// Closes a consumer as `fmq_consumer_close` with -1 does, and ends the handle; also while other threads poll. NULL and a
/// handle that was freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_free(consumer: *mut fmq_consumer) {
    look((), || unshare(consumer).map_or(Ok(()), |polled| close(&polled.consumer, -1)));
}
