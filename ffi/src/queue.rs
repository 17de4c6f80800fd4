//! `fmq_queue` and `fmq_queues`: one queue of a topic, and lists of them.

use std::ffi::c_char;
use std::ptr::null;

use ferromq::{MessageQueue, Result};

use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, text};
use crate::handle::{free, give, thing, thing_mut, Marked, Text, Thing};

/// One queue of a topic: topic, broker and number. One of a list is valid as long as the list, one of a result or a
/// context as long as that.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_queue {
    _opaque: [u8; 0],
}

impl Thing for fmq_queue {
    type Value = Queue;
    const NAME: &'static str = "fmq_queue";
    const MAGIC: u64 = 0x666d_7171_7565_0000;
}

/// A queue with its texts as C reads them.
pub struct Queue {
    pub(crate) queue: MessageQueue,
    topic: Text,
    broker: Text,
}

impl Queue {
    pub(crate) fn new(queue: MessageQueue) -> Queue {
        Queue { queue, topic: Text::default(), broker: Text::default() }
    }
}

/// A list of queues.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_queues {
    _opaque: [u8; 0],
}

impl Thing for fmq_queues {
    // Each by itself, so that it stays where it is when the list grows.
    type Value = Vec<Box<Marked<fmq_queue>>>;
    const NAME: &'static str = "fmq_queues";
    const MAGIC: u64 = 0x666d_7171_6c69_0000;
}

fn in_list(queue: MessageQueue) -> Box<Marked<fmq_queue>> {
    Box::new(Marked::lent(Queue::new(queue)))
}

/// A list for C to keep.
pub(crate) fn list(queues: impl IntoIterator<Item = MessageQueue>) -> *mut fmq_queues {
    give(queues.into_iter().map(in_list).collect())
}

/// A list for the time of a callback.
pub(crate) fn list_during(queues: &[MessageQueue]) -> Marked<fmq_queues> {
    Marked::lent(queues.iter().cloned().map(in_list).collect())
}

/// An empty list for the time of a callback, which adds to it.
pub(crate) fn list_to_fill() -> Marked<fmq_queues> {
    Marked::lent_to_change(Vec::new())
}

/// What C gave as a queue.
pub(crate) fn queue_of<'a>(queue: *const fmq_queue) -> Result<&'a MessageQueue> {
    Ok(&from_c!(thing(queue, "queue"))?.queue)
}

/// What C gave as a list of queues.
pub(crate) fn queues_of(queues: *const fmq_queues) -> Result<Vec<MessageQueue>> {
    Ok(from_c!(thing(queues, "queues"))?.iter().map(|queue| queue.value.queue.clone()).collect())
}

/// Makes a queue from its parts. Mostly they come from `fmq_instance_queues`.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_new(
    topic: *const c_char,
    broker: *const c_char,
    id: i32,
    queue: *mut *mut fmq_queue,
) -> *mut fmq_error {
    guard(|| {
        let queue = from_c!(output(queue, "queue"))?;
        let (topic, broker) = from_c!((text(topic, "topic")?, text(broker, "broker")?));
        let made = MessageQueue { topic: topic.into(), broker_name: broker.into(), queue_id: id };
        *queue = give(Queue::new(made));
        Ok(())
    })
}

/// The topic. Valid as long as the queue.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_topic(queue: *const fmq_queue) -> *const c_char {
    look(null(), || {
        let queue = from_c!(thing(queue, "queue"))?;
        Ok(queue.topic.of(|| queue.queue.topic.clone()))
    })
}

/// Name of the broker. Valid as long as the queue.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_broker(queue: *const fmq_queue) -> *const c_char {
    look(null(), || {
        let queue = from_c!(thing(queue, "queue"))?;
        Ok(queue.broker.of(|| queue.queue.broker_name.clone()))
    })
}

/// The number at the broker; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_id(queue: *const fmq_queue) -> i32 {
    look(-1, || Ok(queue_of(queue)?.queue_id))
}

/// Whether both are the same queue. False if one is NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_equals(queue: *const fmq_queue, other: *const fmq_queue) -> bool {
    look(false, || Ok(queue_of(queue)? == queue_of(other)?))
}

/// Makes a copy that belongs to the caller.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_clone(
    queue: *const fmq_queue,
    copy: *mut *mut fmq_queue,
) -> *mut fmq_error {
    guard(|| {
        let copy = from_c!(output(copy, "copy"))?;
        *copy = give(Queue::new(queue_of(queue)?.clone()));
        Ok(())
    })
}

/// Frees a queue that the caller owns. NULL is fine; one of a list, a result or a context is left alone.
#[no_mangle]
pub unsafe extern "C" fn fmq_queue_free(queue: *mut fmq_queue) {
    look((), || {
        from_c!(free(queue));
        Ok(())
    });
}

/// Makes an empty list.
#[no_mangle]
pub unsafe extern "C" fn fmq_queues_new(queues: *mut *mut fmq_queues) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        *place = list([]);
        Ok(())
    })
}

/// Adds a copy of a queue.
#[no_mangle]
pub unsafe extern "C" fn fmq_queues_add(queues: *mut fmq_queues, queue: *const fmq_queue) -> *mut fmq_error {
    guard(|| {
        let queue = queue_of(queue)?.clone();
        from_c!(thing_mut(queues, "queues"))?.push(in_list(queue));
        Ok(())
    })
}

/// How many queues are in the list; 0 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_queues_count(queues: *const fmq_queues) -> usize {
    if queues.is_null() {
        return 0;
    }
    look(0, || Ok(from_c!(thing(queues, "queues"))?.len()))
}

/// The queue with this number, counted from 0; NULL if there are not so many. Valid as long as the list.
#[no_mangle]
pub unsafe extern "C" fn fmq_queues_at(queues: *const fmq_queues, index: usize) -> *const fmq_queue {
    look(null(), || Ok(from_c!(thing(queues, "queues"))?.get(index).map_or(null(), |queue| queue.handle())))
}

/// Frees a list with its queues. NULL is fine; that of a callback is left alone.
#[no_mangle]
pub unsafe extern "C" fn fmq_queues_free(queues: *mut fmq_queues) {
    look((), || {
        from_c!(free(queues));
        Ok(())
    });
}
