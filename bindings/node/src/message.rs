//! Messages and results on their way to JavaScript: a batch as one text, one row of bytes and one row of numbers, from
//! which `lib/message.cjs` makes its objects. A call for each property of each message would cost more than the rest.

use ferromq::{property, MessageQueue, Sent, StoredMessage};
use serde_json::json;

use crate::reports::Payload;

/// Below this, and above its opposite, every integer is a number of JavaScript's.
const SAFE: u64 = 1 << 53;

/// The packed messages. Numbers of each: flag, queue, its offset, place in the log, bits, made at, stored at, failures,
/// then the lengths of body, topic, broker, id of its place, host, properties and of the numbers that are too large,
/// which are written out in the text, separated by commas, while NaN stands in their places.
pub fn pack(messages: &[StoredMessage]) -> Payload {
    let mut packed = Packed::default();
    packed.bytes.reserve(messages.iter().map(|message| message.body.len()).sum());
    packed.numbers.reserve(messages.len() * 15);
    for message in messages {
        packed.add(message);
    }
    Payload { text: Some(packed.text), bytes: Some(packed.bytes), numbers: Some(packed.numbers) }
}

#[derive(Default)]
struct Packed {
    text: String,
    bytes: Vec<u8>,
    numbers: Vec<f64>,
    large: String,
}

impl Packed {
    fn add(&mut self, message: &StoredMessage) {
        self.large.clear();
        self.number(message.flag.into());
        self.number(message.queue_id.into());
        self.number(message.queue_offset);
        self.number(message.physical_offset);
        self.number(message.sys_flag.into());
        self.number(message.born_timestamp);
        self.number(message.store_timestamp);
        self.number(message.reconsume_times.into());
        self.bytes.extend_from_slice(&message.body);
        self.numbers.push(message.body.len() as f64);
        self.text(&message.topic);
        self.text(&message.broker_name);
        self.text(&message.offset_id);
        self.text(&message.born_host.to_string());
        self.properties(message);
        let large = std::mem::take(&mut self.large);
        self.text(&large);
        self.large = large;
    }

    fn number(&mut self, number: i64) {
        if number.unsigned_abs() < SAFE {
            return self.numbers.push(number as f64);
        }
        self.numbers.push(f64::NAN);
        if !self.large.is_empty() {
            self.large.push(',');
        }
        self.large.push_str(&number.to_string());
    }

    fn text(&mut self, text: &str) {
        self.text.push_str(text);
        self.numbers.push(utf16_length(text));
    }

    /// `u` or `s`, whether it is the user's own or the system's, then name, 1, value, 2: what separates them in a record
    /// as well.
    fn properties(&mut self, message: &StoredMessage) {
        let begin = self.text.len();
        for (name, value) in message.properties.iter() {
            self.text.push(if property::is_reserved(name) { 's' } else { 'u' });
            self.text.push_str(name);
            self.text.push('\u{1}');
            self.text.push_str(value);
            self.text.push('\u{2}');
        }
        self.numbers.push(utf16_length(&self.text[begin..]));
    }
}

/// As long as JavaScript says that a text is.
fn utf16_length(text: &str) -> f64 {
    let length = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
    length as f64
}

/// The result of a send: its parts, which hold no tabs, separated by such.
pub fn pack_sent(sent: &Sent) -> String {
    let Sent { status, message_id, offset_id, queue, queue_offset } = sent;
    let MessageQueue { topic, broker_name, queue_id } = queue;
    let status = status.name();
    format!("{status}\t{message_id}\t{offset_id}\t{topic}\t{broker_name}\t{queue_id}\t{queue_offset}")
}

/// A queue as JSON.
pub fn queue_json(queue: &MessageQueue) -> serde_json::Value {
    json!({ "topic": queue.topic, "brokerName": queue.broker_name, "queueId": queue.queue_id })
}

/// Queues as JSON.
pub fn queues_json(queues: &[MessageQueue]) -> Payload {
    let queues: Vec<serde_json::Value> = queues.iter().map(queue_json).collect();
    Payload::text(serde_json::Value::from(queues).to_string())
}
