//! `fmq_message` and `fmq_batch`: what is sent.

use std::ffi::{c_char, c_void, CString};
use std::ptr::null;
use std::sync::OnceLock;

use bytes::Bytes;
use ferromq::{property, Message, Properties, Result};

use crate::error::fmq_error;
use crate::guard::{bytes, c_string, from_c, guard, look, output, output_or_null, text, unusable};
use crate::handle::{free, give, thing, thing_mut, Marked, Text, Thing};

/// A message to be sent: a topic, a body, and what describes it. The same one may be sent several times.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_message {
    _opaque: [u8; 0],
}

impl Thing for fmq_message {
    type Value = Draft;
    const NAME: &'static str = "fmq_message";
    const MAGIC: u64 = 0x666d_716d_7367_0000;
}

/// A message with its texts as C reads them.
pub struct Draft {
    pub(crate) message: Message,
    topic: Text,
    properties: PropertyTexts,
}

impl Draft {
    fn new(message: Message) -> Draft {
        Draft { message, topic: Text::default(), properties: PropertyTexts::default() }
    }

    /// Changes it by one of the library's ways. What these judge is what they are given, not the rest of the message.
    fn change(&mut self, change: impl Fn(Message) -> Result<Message>) -> Result<()> {
        change(Message::default())?;
        self.message = change(std::mem::take(&mut self.message))?;
        self.properties = PropertyTexts::default();
        Ok(())
    }
}

/// A message for the time of a callback.
pub(crate) fn lent(message: &Message) -> Marked<fmq_message> {
    Marked::lent(Draft::new(message.clone()))
}

/// Properties as C reads them, by name.
#[derive(Default)]
pub(crate) struct PropertyTexts(OnceLock<Vec<(CString, CString)>>);

impl PropertyTexts {
    pub fn all(&self, properties: &Properties) -> &[(CString, CString)] {
        self.0.get_or_init(|| {
            properties.iter().map(|(name, value)| (c_string(name), c_string(value))).collect()
        })
    }

    /// NULL if there is none of that name.
    pub fn value(&self, properties: &Properties, name: &str) -> *const c_char {
        let all = self.all(properties);
        let found = all.binary_search_by(|(known, _)| known.as_bytes().cmp(name.as_bytes()));
        found.map_or(null(), |at| all[at].1.as_ptr())
    }

    pub fn at(
        &self,
        properties: &Properties,
        index: usize,
        name: Option<&mut *const c_char>,
        value: Option<&mut *const c_char>,
    ) -> bool {
        let Some(pair) = self.all(properties).get(index) else { return false };
        if let Some(name) = name {
            *name = pair.0.as_ptr();
        }
        if let Some(value) = value {
            *value = pair.1.as_ptr();
        }
        true
    }
}

/// Makes a message for a topic. The body is copied: `length` bytes, whatever they mean; NULL with 0 for none.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_new(
    topic: *const c_char,
    body: *const c_void,
    length: usize,
    message: *mut *mut fmq_message,
) -> *mut fmq_error {
    guard(|| {
        let message = from_c!(output(message, "message"))?;
        let (topic, body) = from_c!((text(topic, "topic")?, bytes(body, length, "body")?));
        *message = give(Draft::new(Message::new(topic, Bytes::copy_from_slice(body))));
        Ok(())
    })
}

/// Gives a message another body, which is copied.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_body(
    message: *mut fmq_message,
    body: *const c_void,
    length: usize,
) -> *mut fmq_error {
    guard(|| {
        let body = from_c!(bytes(body, length, "body"))?;
        from_c!(thing_mut(message, "message"))?.message.body = Bytes::copy_from_slice(body);
        Ok(())
    })
}

fn change(message: *mut fmq_message, how: impl Fn(Message) -> Result<Message>) -> *mut fmq_error {
    guard(|| from_c!(thing_mut(message, "message"))?.change(how))
}

/// Gives it the one tag that a message may have: consumers choose by it.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_tag(
    message: *mut fmq_message,
    tag: *const c_char,
) -> *mut fmq_error {
    change(message, |message| message.with_tag(from_c!(text(tag, "tag"))?))
}

/// Adds a business key such as the number of an order, under which the message can be found and told from its duplicates.
/// A key has no spaces.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_add_key(
    message: *mut fmq_message,
    key: *const c_char,
) -> *mut fmq_error {
    change(message, |message| message.with_key(from_c!(text(key, "key"))?))
}

/// Sets a property of the user's. Names that the system uses are refused, and so are empty values.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_property(
    message: *mut fmq_message,
    name: *const c_char,
    value: *const c_char,
) -> *mut fmq_error {
    change(message, |message| {
        let (name, value) = from_c!((text(name, "name")?, text(value, "value")?));
        message.with_property(name, value)
    })
}

/// Delays it: consumers get it when the time of this level of the broker's has passed. By default there are 18: 1 s, 5 s,
/// 10 s, 30 s, 1 to 10 min (one each), 20 min, 30 min, 1 h, 2 h. 0 is no delay.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_delay_level(
    message: *mut fmq_message,
    level: i32,
) -> *mut fmq_error {
    change(message, |message| message.with_delay_level(level))
}

/// Whether the broker answers only when the message is as safe as its modes promise; the default.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_wait(message: *mut fmq_message, wait: bool) -> *mut fmq_error {
    change(message, |message| Ok(message.with_wait(wait)))
}

/// Gives it the key by which its order counts: messages with one sharding key go to one queue, unless the send names
/// another, and are consumed in the order they were sent by one thread.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_sharding_key(
    message: *mut fmq_message,
    key: *const c_char,
) -> *mut fmq_error {
    change(message, |message| message.with_sharding_key(from_c!(text(key, "key"))?))
}

/// Gives it a number that is carried and never looked at.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_flag(message: *mut fmq_message, flag: i32) -> *mut fmq_error {
    change(message, |message| Ok(message.with_flag(flag)))
}

/// Of a message sent in a transaction: the broker does not ask what became of it before this many seconds, instead of its
/// own transactionTimeOut.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_set_transaction_check_immunity(
    message: *mut fmq_message,
    seconds: u32,
) -> *mut fmq_error {
    change(message, |message| Ok(message.with_transaction_check_immunity(seconds)))
}

/// The topic. Valid until the message is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_topic(message: *const fmq_message) -> *const c_char {
    look(null(), || {
        let draft = from_c!(thing(message, "message"))?;
        Ok(draft.topic.of(|| draft.message.topic.clone()))
    })
}

/// The body, `*length` bytes. Valid until the message is freed or gets another one.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_body(message: *const fmq_message, length: *mut usize) -> *const c_char {
    look(null(), || {
        let length = from_c!(output_or_null(length));
        let body = &from_c!(thing(message, "message"))?.message.body;
        if let Some(length) = length {
            *length = body.len();
        }
        Ok(body.as_ptr().cast())
    })
}

fn property_of(message: *const fmq_message, name: &str) -> Result<*const c_char> {
    let draft = from_c!(thing(message, "message"))?;
    Ok(draft.properties.value(&draft.message.properties, name))
}

/// The tag; NULL without. Valid until the message is changed or freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_tag(message: *const fmq_message) -> *const c_char {
    look(null(), || property_of(message, property::TAGS))
}

/// The keys, separated by spaces; NULL without. Valid until the message is changed or freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_keys(message: *const fmq_message) -> *const c_char {
    look(null(), || property_of(message, property::KEYS))
}

/// The value of a property, the user's or the system's; NULL without. Valid until the message is changed or freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_property(
    message: *const fmq_message,
    name: *const c_char,
) -> *const c_char {
    look(null(), || property_of(message, from_c!(text(name, "name"))?))
}

/// The property with this number, counted from 0 and ordered by name; false if there are not so many. Name and value are
/// valid until the message is changed or freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_property_at(
    message: *const fmq_message,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
) -> bool {
    look(false, || {
        let (name, value) = from_c!((output_or_null(name), output_or_null(value)));
        let draft = from_c!(thing(message, "message"))?;
        Ok(draft.properties.at(&draft.message.properties, index, name, value))
    })
}

/// Frees a message. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_message_free(message: *mut fmq_message) {
    look((), || {
        from_c!(free(message));
        Ok(())
    });
}

/// Messages of one topic that are sent together: all are stored, or none.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_batch {
    _opaque: [u8; 0],
}

impl Thing for fmq_batch {
    type Value = Vec<Message>;
    const NAME: &'static str = "fmq_batch";
    const MAGIC: u64 = 0x666d_7162_6174_0000;
}

/// Makes an empty batch.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_new(batch: *mut *mut fmq_batch) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(batch, "batch"))?;
        *place = give(Vec::new());
        Ok(())
    })
}

/// Adds a message as it is now. Its body is shared, not copied; it may be changed and freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_add(batch: *mut fmq_batch, message: *const fmq_message) -> *mut fmq_error {
    guard(|| {
        let message = from_c!(thing(message, "message"))?.message.clone();
        from_c!(thing_mut(batch, "batch"))?.push(message);
        Ok(())
    })
}

/// Adds a message that has only a topic and a body, which are copied: `length` bytes; NULL with 0 for none. Quicker than to
/// make it, add it and free it.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_add_body(
    batch: *mut fmq_batch,
    topic: *const c_char,
    body: *const c_void,
    length: usize,
) -> *mut fmq_error {
    guard(|| {
        let (topic, body) = from_c!((text(topic, "topic")?, bytes(body, length, "body")?));
        let message = Message::new(topic, Bytes::copy_from_slice(body));
        from_c!(thing_mut(batch, "batch"))?.push(message);
        Ok(())
    })
}

/// How many messages are in it.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_count(batch: *const fmq_batch) -> usize {
    look(0, || Ok(from_c!(thing(batch, "batch"))?.len()))
}

/// Takes all messages out.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_clear(batch: *mut fmq_batch) -> *mut fmq_error {
    guard(|| {
        from_c!(thing_mut(batch, "batch"))?.clear();
        Ok(())
    })
}

/// Frees a batch. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_batch_free(batch: *mut fmq_batch) {
    look((), || {
        from_c!(free(batch));
        Ok(())
    });
}

/// The messages of a batch, of which there must be one.
pub(crate) fn messages_of<'a>(batch: *const fmq_batch) -> Result<&'a [Message]> {
    match from_c!(thing(batch, "batch"))?.as_slice() {
        [] => Err(unusable("batch", "is empty")),
        messages => Ok(messages),
    }
}
