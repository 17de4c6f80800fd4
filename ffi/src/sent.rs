//! `fmq_sent` and `fmq_send_options`: what a send tells, and what it is told.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_void};
use std::ptr::null;

use ferromq::{Message, MessageQueue, Result, Selector, SendOptions, SendStatus, SendTo, Sent};

use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, text, time};
use crate::handle::{
    fmq_free_user_data, free, give, thing, thing_mut, thing_or_null, Marked, Text, Thing, UserData,
};
use crate::message::{fmq_message, lent};
use crate::queue::{fmq_queue, fmq_queues, list_during, queue_of, Queue};

/// Where a message is, after a send.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_sent {
    _opaque: [u8; 0],
}

impl Thing for fmq_sent {
    type Value = Landed;
    const NAME: &'static str = "fmq_sent";
    const MAGIC: u64 = 0x666d_7173_656e_0000;
}

/// A result with its texts as C reads them.
pub struct Landed {
    sent: Sent,
    queue: Marked<fmq_queue>,
    message_id: Text,
    offset_id: Text,
    line: Text,
}

impl Landed {
    fn new(sent: Sent) -> Landed {
        let queue = Marked::lent(Queue::new(sent.queue.clone()));
        Landed { sent, queue, message_id: Text::default(), offset_id: Text::default(), line: Text::default() }
    }
}

/// A result for C to keep, if it wants one.
pub(crate) fn keep(sent: Sent, place: Option<&mut *mut fmq_sent>) {
    if let Some(place) = place {
        *place = give(Landed::new(sent));
    }
}

/// A result for the time of a callback.
pub(crate) fn during(sent: Sent) -> Marked<fmq_sent> {
    Marked::lent(Landed::new(sent))
}

/// How safe a message is that is stored.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_send_status {
    /// As safe as the broker's modes promise: in the memory of its machine, on its disk (SYNC_FLUSH), at a slave as well
    /// (SYNC_MASTER).
    FMQ_SEND_OK = 0,
    /// With SYNC_FLUSH: not known to be on disk in time.
    FMQ_FLUSH_DISK_TIMEOUT = 1,
    /// With SYNC_MASTER: not known to be at a slave in time.
    FMQ_FLUSH_SLAVE_TIMEOUT = 2,
    /// With SYNC_MASTER: there is no slave that could have it.
    FMQ_SLAVE_NOT_AVAILABLE = 3,
}

fn of<T>(sent: *const fmq_sent, otherwise: T, take: impl FnOnce(&'static Landed) -> T) -> T {
    look(otherwise, || Ok(take(from_c!(thing(sent, "sent"))?)))
}

/// How safe the message is: one of `fmq_send_status`; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_status(sent: *const fmq_sent) -> i32 {
    of(sent, -1, |landed| match landed.sent.status {
        SendStatus::Ok => fmq_send_status::FMQ_SEND_OK as i32,
        SendStatus::FlushTimedOut => fmq_send_status::FMQ_FLUSH_DISK_TIMEOUT as i32,
        SendStatus::SlaveTimedOut => fmq_send_status::FMQ_FLUSH_SLAVE_TIMEOUT as i32,
        SendStatus::NoSlave => fmq_send_status::FMQ_SLAVE_NOT_AVAILABLE as i32,
    })
}

/// The message's id, the same in every delivery; of a batch those of all, separated by commas. Valid as long as the result.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_message_id(sent: *const fmq_sent) -> *const c_char {
    of(sent, null(), |landed| landed.message_id.of(|| landed.sent.message_id.clone()))
}

/// The id of its place at the broker; of a batch those of all, separated by commas. Valid as long as the result.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_offset_id(sent: *const fmq_sent) -> *const c_char {
    of(sent, null(), |landed| landed.offset_id.of(|| landed.sent.offset_id.clone()))
}

/// Its queue. Valid as long as the result.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_queue(sent: *const fmq_sent) -> *const fmq_queue {
    of(sent, null(), |landed| landed.queue.handle())
}

/// Its place in the queue; of a batch that of the first message; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_queue_offset(sent: *const fmq_sent) -> i64 {
    of(sent, -1, |landed| landed.sent.queue_offset)
}

/// All of it in a line, for logs. Valid as long as the result.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_line(sent: *const fmq_sent) -> *const c_char {
    of(sent, null(), |landed| landed.line.of(|| landed.sent.to_string()))
}

/// Frees a result. NULL is fine; that of a callback is left alone.
#[no_mangle]
pub unsafe extern "C" fn fmq_sent_free(sent: *mut fmq_sent) {
    look((), || {
        from_c!(free(sent));
        Ok(())
    });
}

/// What can be different for one send: where to, and within which time. They may be used again, by one thread at a time.
///
/// Where the queue is chosen, a send is not tried at another one: a message whose order counts must not come to a queue
/// that the next one is not sent to.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_send_options {
    _opaque: [u8; 0],
}

impl Thing for fmq_send_options {
    type Value = SendOptions;
    const NAME: &'static str = "fmq_send_options";
    const MAGIC: u64 = 0x666d_7173_6f70_0000;
}

/// What C gave as options of a send, NULL for the defaults.
pub(crate) fn send_options(options: *const fmq_send_options) -> Result<SendOptions> {
    Ok(from_c!(thing_or_null(options, "options"))?.cloned().unwrap_or_default())
}

/// Chooses a queue for a message: its place in the list, counted from 0. A place that is not in the list fails the send.
/// Runs on the sending thread, of a send with callback also on a thread of the library; several at a time.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_choose = Option<
    unsafe extern "C" fn(
        queues: *const fmq_queues,
        message: *const fmq_message,
        user_data: *mut c_void,
    ) -> usize,
>;

/// Makes options that change nothing.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_new(options: *mut *mut fmq_send_options) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(options, "options"))?;
        *place = give(SendOptions::default());
        Ok(())
    })
}

fn to(options: *mut fmq_send_options, to: impl FnOnce() -> Result<SendTo>) -> *mut fmq_error {
    guard(|| {
        from_c!(thing_mut(options, "options"))?.to = to()?;
        Ok(())
    })
}

/// The time limit of the send, all attempts together, ms; below 0 the producer's sendMsgTimeout, the default.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_set_timeout(
    options: *mut fmq_send_options,
    timeout_ms: i64,
) -> *mut fmq_error {
    guard(|| {
        from_c!(thing_mut(options, "options"))?.timeout = time(timeout_ms);
        Ok(())
    })
}

/// To this queue; it has the topic of the message.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_set_queue(
    options: *mut fmq_send_options,
    queue: *const fmq_queue,
) -> *mut fmq_error {
    to(options, || Ok(SendTo::Queue(queue_of(queue)?.clone())))
}

/// To the queue of all messages with this key, which the message carries from then on.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_set_sharding_key(
    options: *mut fmq_send_options,
    key: *const c_char,
) -> *mut fmq_error {
    to(options, || Ok(SendTo::ShardingKey(from_c!(text(key, "key"))?.into())))
}

/// To the queue of a key, the one that Apache's Java client chooses for it too; the message does not carry the key.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_select_by_hash(
    options: *mut fmq_send_options,
    key: *const c_char,
) -> *mut fmq_error {
    to(options, || Ok(SendTo::Selected(Selector::ByHash(from_c!(text(key, "key"))?.into()))))
}

/// To any queue.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_select_by_random(options: *mut fmq_send_options) -> *mut fmq_error {
    to(options, || Ok(SendTo::Selected(Selector::ByRandom)))
}

/// To brokers in these machine rooms, separated by commas, in turn. A broker's room is what stands before @ in its name.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_select_by_machine_room(
    options: *mut fmq_send_options,
    rooms: *const c_char,
) -> *mut fmq_error {
    to(options, || {
        let rooms = from_c!(text(rooms, "rooms"))?.split(',').map(|room| room.trim().to_owned());
        let rooms: BTreeSet<String> = rooms.filter(|room| !room.is_empty()).collect();
        Ok(SendTo::Selected(Selector::ByMachineRoom(rooms)))
    })
}

/// To the queue that `choose` says. `user_data` is given back when neither the options nor a send have it any more.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_select_own(
    options: *mut fmq_send_options,
    choose: fmq_choose,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    to(options, || {
        let choose = choose.ok_or_else(|| crate::guard::unusable("choose", "is NULL"))?;
        Ok(SendTo::Selected(Selector::own(move |queues: &[MessageQueue], message: &Message| {
            let (queues, message) = (list_during(queues), lent(message));
            from_c!(choose(queues.handle(), message.handle(), user_data.pointer()))
        })))
    })
}

/// Frees options. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_send_options_free(options: *mut fmq_send_options) {
    look((), || {
        from_c!(free(options));
        Ok(())
    });
}
