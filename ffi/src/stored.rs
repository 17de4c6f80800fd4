//! `fmq_stored_message` and `fmq_messages`: what is consumed.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::OnceLock;

use ferromq::{property, Result, StoredMessage};

use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, output_or_null, text};
use crate::handle::{free, give, thing, Marked, Text, Thing};
use crate::message::PropertyTexts;

/// A message as a consumer gets it. One of a list is valid as long as the list; one that a callback gets, during the
/// callback; one that is an output of its own belongs to the caller, who frees it. Threads may read one at the same time.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_stored_message {
    _opaque: [u8; 0],
}

impl Thing for fmq_stored_message {
    type Value = Stored;
    const NAME: &'static str = "fmq_stored_message";
    const MAGIC: u64 = 0x666d_7173_746f_0000;
}

/// A message with its texts as C reads them, which most are never asked for.
pub struct Stored {
    message: Held,
    texts: OnceLock<Box<Texts>>,
}

#[derive(Default)]
struct Texts {
    topic: Text,
    broker: Text,
    offset_id: Text,
    born_host: Text,
    properties: PropertyTexts,
}

#[allow(clippy::large_enum_variant, reason = "lists of own messages are what has to be quick")]
enum Held {
    Own(StoredMessage),
    /// Lives as long as the call that it is made for.
    Lent(*const StoredMessage),
}

// SAFETY: what is lent outlives the handle (see `list_during`), and is only read.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Stored {
    fn of(message: Held) -> Stored {
        Stored { message, texts: OnceLock::new() }
    }

    fn texts(&self) -> &Texts {
        self.texts.get_or_init(Box::default)
    }

    pub(crate) fn message(&self) -> &StoredMessage {
        match &self.message {
            Held::Own(message) => message,
            // SAFETY: it is alive during the callback, and C may use the handle only so long.
            Held::Lent(message) => unsafe { &**message },
        }
    }

    fn offset_id(&self) -> *const c_char {
        self.texts().offset_id.of(|| self.message().offset_id.clone())
    }

    fn property(&self, name: &str) -> *const c_char {
        self.texts().properties.value(&self.message().properties, name)
    }
}

/// A message for C to keep.
pub(crate) fn owned(message: StoredMessage) -> *mut fmq_stored_message {
    give(Stored::of(Held::Own(message)))
}

/// A message for the time of a callback.
pub(crate) fn lent(message: &StoredMessage) -> Marked<fmq_stored_message> {
    Marked::lent(Stored::of(Held::Lent(message)))
}

/// A list of messages that were consumed, in their order.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_messages {
    _opaque: [u8; 0],
}

impl Thing for fmq_messages {
    type Value = Vec<Marked<fmq_stored_message>>;
    const NAME: &'static str = "fmq_messages";
    const MAGIC: u64 = 0x666d_716c_6973_0000;
}

fn own(messages: Vec<StoredMessage>) -> Vec<Marked<fmq_stored_message>> {
    let own = |message| Marked::lent(Stored::of(Held::Own(message)));
    messages.into_iter().map(own).collect()
}

/// A list for C to keep.
pub(crate) fn list(messages: Vec<StoredMessage>) -> *mut fmq_messages {
    give(own(messages))
}

/// A list that is part of something else.
pub(crate) fn in_list(messages: Vec<StoredMessage>) -> Marked<fmq_messages> {
    Marked::lent(own(messages))
}

/// A list for the time of a callback.
pub(crate) fn list_during(messages: &[StoredMessage]) -> Marked<fmq_messages> {
    Marked::lent(messages.iter().map(lent).collect())
}

/// How many messages are in the list; 0 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_messages_count(messages: *const fmq_messages) -> usize {
    if messages.is_null() {
        return 0;
    }
    look(0, || Ok(from_c!(thing(messages, "messages"))?.len()))
}

/// The message with this number, counted from 0; NULL if there are not so many. Valid as long as the list.
#[no_mangle]
pub unsafe extern "C" fn fmq_messages_at(
    messages: *const fmq_messages,
    index: usize,
) -> *const fmq_stored_message {
    look(null(), || Ok(from_c!(thing(messages, "messages"))?.get(index).map_or(null(), Marked::handle)))
}

/// Frees a list with its messages. NULL is fine; that of a callback is left alone.
#[no_mangle]
pub unsafe extern "C" fn fmq_messages_free(messages: *mut fmq_messages) {
    look((), || {
        from_c!(free(messages));
        Ok(())
    });
}

fn of<T>(message: *const fmq_stored_message, otherwise: T, take: impl FnOnce(&'static Stored) -> T) -> T {
    look(otherwise, || Ok(take(from_c!(thing(message, "message"))?)))
}

/// The topic; of a retried message the one that it was first sent to.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_topic(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| stored.texts().topic.of(|| stored.message().topic.to_string()))
}

/// The body, `*length` bytes, not ended by NUL; `length` may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_body(
    message: *const fmq_stored_message,
    length: *mut usize,
) -> *const c_char {
    let length = from_c!(output_or_null(length));
    of(message, null(), |stored| {
        let body = &stored.message().body;
        if let Some(length) = length {
            *length = body.len();
        }
        body.as_ptr().cast()
    })
}

/// The id that its producer gave it, the same in every delivery.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_id(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| match stored.property(property::UNIQ_KEY) {
        id if id.is_null() => stored.offset_id(),
        id => id,
    })
}

/// The id of the place where it is stored; another one after each retry.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_offset_id(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), Stored::offset_id)
}

/// The tag; NULL without.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_tag(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| stored.property(property::TAGS))
}

/// The keys, separated by spaces; NULL without.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_keys(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| stored.property(property::KEYS))
}

/// The value of a property, the user's or the system's; NULL without.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_property(
    message: *const fmq_stored_message,
    name: *const c_char,
) -> *const c_char {
    let name: Result<&str> = from_c!(text(name, "name"));
    let Ok(name) = name else { return null() };
    of(message, null(), |stored| stored.property(name))
}

/// The property with this number, counted from 0 and ordered by name; false if there are not so many.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_property_at(
    message: *const fmq_stored_message,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> bool {
    let (name, value) = from_c!((output_or_null(name), output_or_null(value)));
    of(message, false, |stored| {
        stored.texts().properties.at(&stored.message().properties, index, name, value)
    })
}

/// Name of the broker that it comes from.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_broker(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| stored.texts().broker.of(|| stored.message().broker_name.to_string()))
}

/// Number of the queue that it comes from; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_queue_id(message: *const fmq_stored_message) -> i32 {
    of(message, -1, |stored| stored.message().queue_id)
}

/// Its place in the queue; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_queue_offset(message: *const fmq_stored_message) -> i64 {
    of(message, -1, |stored| stored.message().queue_offset)
}

/// Its place in the broker's log, bytes; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_physical_offset(message: *const fmq_stored_message) -> i64 {
    of(message, -1, |stored| stored.message().physical_offset)
}

/// The number that its producer gave it.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_flag(message: *const fmq_stored_message) -> i32 {
    of(message, 0, |stored| stored.message().flag)
}

/// The system's bits: compression, transactions.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_sys_flag(message: *const fmq_stored_message) -> i32 {
    of(message, 0, |stored| stored.message().sys_flag)
}

/// When it was made, ms since 1970 by its producer's clock.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_born_timestamp(message: *const fmq_stored_message) -> i64 {
    of(message, 0, |stored| stored.message().born_timestamp)
}

/// Where it was made: address and port.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_born_host(message: *const fmq_stored_message) -> *const c_char {
    of(message, null(), |stored| stored.texts().born_host.of(|| stored.message().born_host.to_string()))
}

/// When it was stored, ms since 1970 by the broker's clock.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_store_timestamp(message: *const fmq_stored_message) -> i64 {
    of(message, 0, |stored| stored.message().store_timestamp)
}

/// How often it was consumed in vain.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_reconsume_times(message: *const fmq_stored_message) -> i32 {
    of(message, 0, |stored| stored.message().reconsume_times)
}

/// Makes a copy that belongs to the caller: for what outlives its list or callback. The body is shared, not copied.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_clone(
    message: *const fmq_stored_message,
    copy: *mut *mut fmq_stored_message,
) -> *mut fmq_error {
    guard(|| {
        let copy = from_c!(output(copy, "copy"))?;
        *copy = owned(from_c!(thing(message, "message"))?.message().clone());
        Ok(())
    })
}

/// Frees a message that the caller owns. NULL is fine; one of a list or a callback is left alone.
#[no_mangle]
pub unsafe extern "C" fn fmq_stored_message_free(message: *mut fmq_stored_message) {
    look((), || {
        from_c!(free(message));
        Ok(())
    });
}
