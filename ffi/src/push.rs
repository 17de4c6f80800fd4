//! `fmq_push_consumer`: calls a listener.

use std::ffi::{c_char, c_void, CString};
use std::ptr::null;
use std::time::Duration;

use ferromq::{
    Action, ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus, PushConsumer, Result,
    StoredMessage, Subscription,
};

use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, look, output, text, text_or_null, time, unusable};
use crate::handle::{
    fmq_free_user_data, object, share, thing, thing_or_null, unshare, Marked, Shared, Thing, UserData,
};
use crate::instance::fmq_instance;
use crate::options::{fmq_options, Pairs};
use crate::queue::{fmq_queue, fmq_queues, list, Queue};
use crate::stored::{fmq_messages, fmq_stored_message, lent, list_during};

/// Calls a listener with what arrives. Threads may share it.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_push_consumer {
    _opaque: [u8; 0],
}

impl Shared for fmq_push_consumer {
    type Object = Listening;
    const NAME: &'static str = "fmq_push_consumer";
}

/// A push consumer with its texts as C reads them.
pub struct Listening {
    consumer: PushConsumer,
    group: CString,
}

impl Listening {
    pub(crate) fn consumer(&self) -> &PushConsumer {
        &self.consumer
    }
}

/// How a listener ended. Whatever else it answers counts as FMQ_LATER.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_consume_status {
    /// The messages are consumed.
    FMQ_SUCCESS = 0,
    /// They come again later; of an ordered listener after a pause, and nothing else of the queue before them.
    FMQ_LATER = 1,
}

const SUCCESS: i32 = fmq_consume_status::FMQ_SUCCESS as i32;

/// What a listener knows and may wish beyond its messages. Valid during the call.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_consume_context {
    _opaque: [u8; 0],
}

impl Thing for fmq_consume_context {
    type Value = OfCall<ConsumeContext>;
    const NAME: &'static str = "fmq_consume_context";
    const MAGIC: u64 = 0x666d_7163_7478_0000;
}

/// What an ordered listener knows and may wish beyond its messages. Valid during the call.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_orderly_context {
    _opaque: [u8; 0],
}

impl Thing for fmq_orderly_context {
    type Value = OfCall<OrderlyContext>;
    const NAME: &'static str = "fmq_orderly_context";
    const MAGIC: u64 = 0x666d_716f_7264_0000;
}

/// A context with its queue as C reads it.
pub struct OfCall<C> {
    context: *const C,
    queue: Marked<fmq_queue>,
}

impl<C> OfCall<C> {
    fn context(&self) -> &C {
        // SAFETY: it is alive during the call of the listener, and C may use the handle only so long.
        unsafe { &*self.context }
    }
}

/// Consumes messages of one queue, consumeMessageBatchMaxSize at most, and answers one of `fmq_consume_status`. Runs on
/// threads of the consumer's own, consumeThreadMin at a time, with no lock held: it may call everything, also close and
/// free its own consumer.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_listener = Option<
    unsafe extern "C" fn(
        messages: *const fmq_messages,
        context: *const fmq_consume_context,
        user_data: *mut c_void,
    ) -> i32,
>;

/// Consumes one message, and answers one of `fmq_consume_status`; as `fmq_listener`.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_one_listener = Option<
    unsafe extern "C" fn(
        message: *const fmq_stored_message,
        context: *const fmq_consume_context,
        user_data: *mut c_void,
    ) -> i32,
>;

/// Consumes messages of one queue in their order, one call at a time for each queue, and answers one of
/// `fmq_consume_status`; as `fmq_listener`.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_orderly_listener = Option<
    unsafe extern "C" fn(
        messages: *const fmq_messages,
        context: *const fmq_orderly_context,
        user_data: *mut c_void,
    ) -> i32,
>;

/// The queue that all messages of the call come from. Valid during the call.
#[no_mangle]
pub unsafe extern "C" fn fmq_consume_context_queue(context: *const fmq_consume_context) -> *const fmq_queue {
    look(null(), || Ok(from_c!(thing(context, "context"))?.queue.handle()))
}

/// Only the messages up to the one with this index, counted from 0, are consumed; those behind it come again later.
/// Counts if the listener answers FMQ_SUCCESS; without it all are consumed.
#[no_mangle]
pub unsafe extern "C" fn fmq_consume_context_set_ack_index(
    context: *const fmq_consume_context,
    index: usize,
) -> *mut fmq_error {
    guard(|| {
        from_c!(thing(context, "context"))?.context().set_ack_index(index);
        Ok(())
    })
}

/// When messages come again: after the time of this delay level; 0, the default: later each time as the broker chooses;
/// below 0: never, they go to the dead letters at once.
#[no_mangle]
pub unsafe extern "C" fn fmq_consume_context_set_delay_level(
    context: *const fmq_consume_context,
    level: i32,
) -> *mut fmq_error {
    guard(|| {
        from_c!(thing(context, "context"))?.context().set_delay_level(level);
        Ok(())
    })
}

/// The queue that all messages of the call come from. Valid during the call.
#[no_mangle]
pub unsafe extern "C" fn fmq_orderly_context_queue(context: *const fmq_orderly_context) -> *const fmq_queue {
    look(null(), || Ok(from_c!(thing(context, "context"))?.queue.handle()))
}

/// How long the queue pauses if the listener answers FMQ_LATER: 10 ms to 30 s; otherwise suspendCurrentQueueTimeMillis.
#[no_mangle]
pub unsafe extern "C" fn fmq_orderly_context_set_suspend_time(
    context: *const fmq_orderly_context,
    time_ms: u32,
) -> *mut fmq_error {
    guard(|| {
        let time = Duration::from_millis(time_ms.into());
        from_c!(thing(context, "context"))?.context().set_suspend_time(time);
        Ok(())
    })
}

/// Makes a push consumer of a group. `group` may be NULL if the options have consumerGroup, `options` if nothing is set;
/// docs/client.md lists its keys. It does nothing before `fmq_push_consumer_start`. To be freed with
/// `fmq_push_consumer_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_new(
    instance: *mut fmq_instance,
    group: *const c_char,
    options: *const fmq_options,
    consumer: *mut *mut fmq_push_consumer,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(consumer, "consumer"))?;
        let group = from_c!(text_or_null(group, "group"))?;
        let options = Pairs::consumer(from_c!(thing_or_null(options, "options"))?, group)?;
        let consumer = object(instance, "instance")?.instance().push_consumer_with(options)?;
        let group = c_string(consumer.group());
        *place = share(Listening { consumer, group })?;
        Ok(())
    })
}

fn with(
    consumer: *const fmq_push_consumer,
    body: impl FnOnce(&PushConsumer) -> Result<()>,
) -> *mut fmq_error {
    guard(|| body(&object(consumer, "consumer")?.consumer))
}

/// Consumes a topic: `*` for all of it, or `TagA || TagB`. Replaces what was wanted of the topic before. May be called
/// before the start and after. All members of a group must subscribe to the same.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_subscribe(
    consumer: *mut fmq_push_consumer,
    topic: *const c_char,
    expression: *const c_char,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        let (topic, expression) = from_c!((text(topic, "topic")?, text(expression, "expression")?));
        consumer.subscribe(topic, expression)
    })
}

/// As `fmq_push_consumer_subscribe`, with an SQL92 expression over the properties, such as `a > 5 AND b = 'x'`
/// (docs/filters.md).
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_subscribe_sql(
    consumer: *mut fmq_push_consumer,
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
pub unsafe extern "C" fn fmq_push_consumer_unsubscribe(
    consumer: *mut fmq_push_consumer,
    topic: *const c_char,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.unsubscribe(from_c!(text(topic, "topic"))?);
        Ok(())
    })
}

/// Sets the listener. A consumer has one. `user_data` is given back with `free_user_data` (may be NULL) when it is not
/// called any more, or at once if it is not taken.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_listen(
    consumer: *mut fmq_push_consumer,
    listener: fmq_listener,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    with(consumer, |consumer| {
        let listener = listener.ok_or_else(|| unusable("listener", "is NULL"))?;
        consumer.listen(move |messages: &[StoredMessage], context: &ConsumeContext| {
            let (messages, context) = (list_during(messages), consume_context(context));
            match from_c!(listener(messages.handle(), context.handle(), user_data.pointer())) {
                SUCCESS => ConsumeStatus::Success,
                _ => ConsumeStatus::Later,
            }
        })
    })
}

fn consume_context(context: &ConsumeContext) -> Marked<fmq_consume_context> {
    let queue = Marked::lent(Queue::new(context.queue().clone()));
    Marked::lent(OfCall { context, queue })
}

/// Sets a listener for single messages, as `fmq_push_consumer_listen`.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_listen_one(
    consumer: *mut fmq_push_consumer,
    listener: fmq_one_listener,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    with(consumer, |consumer| {
        let listener = listener.ok_or_else(|| unusable("listener", "is NULL"))?;
        consumer.listen_one(move |message: &StoredMessage, context: &ConsumeContext| {
            let (message, context) = (lent(message), consume_context(context));
            match from_c!(listener(message.handle(), context.handle(), user_data.pointer())) {
                SUCCESS => Action::Commit,
                _ => Action::Later,
            }
        })
    })
}

/// Sets an ordered listener, as `fmq_push_consumer_listen`.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_listen_orderly(
    consumer: *mut fmq_push_consumer,
    listener: fmq_orderly_listener,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    with(consumer, |consumer| {
        let listener = listener.ok_or_else(|| unusable("listener", "is NULL"))?;
        consumer.listen_orderly(move |messages: &[StoredMessage], context: &OrderlyContext| {
            let queue = Marked::lent(Queue::new(context.queue().clone()));
            let context = Marked::<fmq_orderly_context>::lent(OfCall { context, queue });
            let messages = list_during(messages);
            match from_c!(listener(messages.handle(), context.handle(), user_data.pointer())) {
                SUCCESS => OrderlyStatus::Success,
                _ => OrderlyStatus::SuspendCurrentQueue,
            }
        })
    })
}

/// Joins the group and begins to consume. A second call does nothing.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_start(consumer: *mut fmq_push_consumer) -> *mut fmq_error {
    with(consumer, PushConsumer::start)
}

/// Calls the listener no more until `fmq_push_consumer_resume`; calls that run go on.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_suspend(consumer: *mut fmq_push_consumer) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.suspend();
        Ok(())
    })
}

/// Ends a suspension.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_resume(consumer: *mut fmq_push_consumer) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.resume();
        Ok(())
    })
}

/// Whether it is suspended.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_is_suspended(consumer: *const fmq_push_consumer) -> bool {
    look(false, || Ok(object(consumer, "consumer")?.consumer.is_suspended()))
}

/// How many calls of the listener may run at a time from now on, up to consumeThreadMax.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_update_threads(
    consumer: *mut fmq_push_consumer,
    count: usize,
) -> *mut fmq_error {
    with(consumer, |consumer| {
        consumer.update_threads(count);
        Ok(())
    })
}

/// The queues that are this consumer's at present; to be freed with `fmq_queues_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_queues(
    consumer: *mut fmq_push_consumer,
    queues: *mut *mut fmq_queues,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        let consumer = &object(consumer, "consumer")?.consumer;
        *place = list(consumer.queues());
        Ok(())
    })
}

/// The group. Valid until the consumer is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_group(consumer: *const fmq_push_consumer) -> *const c_char {
    look(null(), || Ok(object(consumer, "consumer")?.group.as_ptr()))
}

/// Ends it: no further call of the listener begins; those that run are waited for, at most `timeout_ms` (below 0:
/// awaitTerminationMillisWhenShutdown); offsets are stored and the group is left. In a callback it starts the end and
/// returns at once. Closing again is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_close(
    consumer: *mut fmq_push_consumer,
    timeout_ms: i64,
) -> *mut fmq_error {
    with(consumer, |consumer| close(consumer, timeout_ms))
}

fn close(consumer: &PushConsumer, timeout_ms: i64) -> Result<()> {
    match time(timeout_ms) {
        Some(limit) => consumer.close_within(limit),
        None => consumer.close(),
    }
}

/// Closes a consumer as `fmq_push_consumer_close` with -1 does, and ends the handle; also from its own listener. NULL and a
/// handle that was freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_free(consumer: *mut fmq_push_consumer) {
    look((), || unshare(consumer).map_or(Ok(()), |listening| close(&listening.consumer, -1)));
}
