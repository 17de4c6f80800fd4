//! Messages checked and made ready to be sent: what all attempts share.

use bytes::Bytes;

use super::compress::compressed;
use super::Shared;
use crate::message::{
    batch, check_property, property, sys_flag, Message, MAX_PROPERTIES, NAME_VALUE_SEPARATOR,
    PROPERTY_SEPARATOR,
};
use crate::wire::body::MessageQueue;
use crate::wire::{Request, SendForm, SendMessage};
use crate::{Error, ErrorKind, Result};

/// Topics of retries begin with this.
const RETRY_PREFIX: &str = "%RETRY%";

/// Longest name of a topic, in characters.
const MAX_TOPIC: usize = 127;

/// Topics that brokers keep for themselves: they refuse what is sent there.
const FORBIDDEN: [&str; 6] = [
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// A message made ready.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// As on the wire.
    pub topic: String,
    /// Of a batch all, joined by commas, as Apache's clients tell them.
    pub message_id: String,
    pub properties: String,
    pub body: Bytes,
    pub sys_flag: i32,
    flag: i32,
    form: SendForm,
    reconsume_times: i32,
    max_reconsume_times: Option<i32>,
}

/// What a message is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Purpose {
    #[default]
    Message,
    /// The first half of a transaction.
    Half,
}

impl Prepared {
    /// Checks one message and makes it ready, with `further` properties in place of its own of these names.
    pub fn one(
        producer: &Shared,
        message: &Message,
        purpose: Purpose,
        further: &[(&str, &str)],
    ) -> Result<Prepared> {
        check(message)?;
        check_size(producer, message.body.len())?;
        let is_reply = message.properties.get(property::MSG_TYPE) == Some(super::REPLY);
        let topic = match is_reply {
            // Its topic is a cluster's own, whatever the namespace of who asked.
            true => message.topic.clone(),
            false => wire_topic(producer, &message.topic)?,
        };
        let (reconsume_times, max_reconsume_times) = retries(&topic, message);
        let message_id = producer.message_id(message);
        let mut properties = String::with_capacity(128);
        let is_retry = topic.starts_with(RETRY_PREFIX);
        let moved = |name: &str| {
            is_retry && (name == property::RECONSUME_TIME || name == property::MAX_RECONSUME_TIMES)
        };
        for (name, value) in message.properties.iter() {
            let replaced = name == property::UNIQ_KEY || further.iter().any(|(other, _)| *other == name);
            if !replaced && !moved(name) {
                write_property(&mut properties, name, value)?;
            }
        }
        for (name, value) in further {
            write_property(&mut properties, name, value)?;
        }
        write_property(&mut properties, property::UNIQ_KEY, &message_id)?;
        if let Some(namespace) = producer.namespace() {
            write_property(&mut properties, property::INSTANCE_ID, namespace)?;
        }
        check_length(&properties)?;
        let options = &producer.options;
        let packed = match message.body.len() {
            length if length < options.compress_msg_body_over_howmuch => None,
            _ => compressed(&message.body, options.compress_type, options.compress_level),
        };
        let (body, compression) = packed.unwrap_or_else(|| (message.body.clone(), 0));
        let transaction = if purpose == Purpose::Half { sys_flag::TRANSACTION_PREPARED } else { 0 };
        Ok(Prepared {
            topic,
            message_id,
            properties,
            body,
            sys_flag: compression | transaction,
            flag: message.flag,
            form: if is_reply { SendForm::ReplyV2 } else { SendForm::V2 },
            reconsume_times,
            max_reconsume_times,
        })
    }

    /// Checks messages that are to be sent together and makes them ready.
    pub fn batch(producer: &Shared, messages: &[Message]) -> Result<Prepared> {
        let first = check_batch(messages)?;
        let topic = wire_topic(producer, &first.topic)?;
        let (mut body, mut ids) = (Vec::new(), Vec::with_capacity(messages.len()));
        for message in messages {
            let id = producer.message_id(message);
            let properties = properties_with_id(message, &id)?;
            let item =
                batch::Item { flag: message.flag, body: &message.body, properties: properties.as_bytes() };
            batch::encode_item(&mut body, &item)?;
            ids.push(id);
        }
        check_size(producer, body.len())?;
        let message_id = ids.join(",");
        let mut properties = String::new();
        // No id of its own: Apache's 5.x broker puts these properties behind those of each item, and one would stand for all.
        if !first.waits_for_store() {
            write_property(&mut properties, property::WAIT, "false")?;
        }
        if let Some(namespace) = producer.namespace() {
            write_property(&mut properties, property::INSTANCE_ID, namespace)?;
        }
        let form = SendForm::Batch;
        Ok(Prepared { topic, message_id, properties, body: body.into(), form, ..Prepared::default() })
    }

    /// The request that sends this to a queue.
    pub fn request<'a>(&'a self, producer: &'a Shared, queue: &MessageQueue) -> Request<'a> {
        let send = SendMessage {
            producer_group: producer.group.as_str().into(),
            topic: self.topic.as_str().into(),
            default_topic: producer.options.create_topic_key.as_str().into(),
            default_topic_queue_nums: producer.options.default_topic_queue_nums,
            queue_id: queue.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: producer.cluster.now_ms(),
            flag: self.flag,
            properties: Some(self.properties.as_str().into()),
            reconsume_times: self.reconsume_times,
            unit_mode: producer.cluster.options().unit_mode,
            max_reconsume_times: self.max_reconsume_times,
            batch: self.form == SendForm::Batch,
            form: self.form,
            body: &self.body,
            ..SendMessage::default()
        };
        match self.form {
            SendForm::ReplyV2 => Request::SendReplyMessage(send),
            _ => Request::SendMessage(send),
        }
    }

    /// The keys of the message, as they are sent.
    pub fn keys(&self) -> &str {
        crate::message::property(self.properties.as_bytes(), property::KEYS).unwrap_or_default()
    }
}

/// The name of a topic on the wire.
fn wire_topic(producer: &Shared, topic: &str) -> Result<String> {
    let wrapped = producer.cluster.namespace().wrap(topic).into_owned();
    if wrapped.len() > MAX_TOPIC {
        let length = wrapped.len();
        let context =
            format!("topic {topic:?} has {length} bytes with its namespace, the limit is {MAX_TOPIC}");
        return Err(Error::new(ErrorKind::InvalidArgument, "send", context));
    }
    Ok(wrapped)
}

/// Bytes that a message takes in a batch.
pub(super) fn size_in_batch(producer: &Shared, message: &Message) -> usize {
    let pair = |(name, value): (&str, &str)| name.len() + value.len() + 2;
    let others = message.properties.iter().filter(|(name, _)| *name != property::UNIQ_KEY);
    let id = producer.message_id_length(message);
    let properties = others.map(pair).sum::<usize>() + property::UNIQ_KEY.len() + id + 2;
    batch::FIXED + message.body.len() + properties
}

/// How often a message was consumed in vain and may be, of one that a client puts into a retry topic itself.
fn retries(topic: &str, message: &Message) -> (i32, Option<i32>) {
    if !topic.starts_with(RETRY_PREFIX) {
        return (0, None);
    }
    let number = |name| message.properties.get(name).and_then(|value| value.parse().ok());
    (number(property::RECONSUME_TIME).unwrap_or(0), number(property::MAX_RECONSUME_TIMES))
}

/// The checks that need nothing but the message.
pub(super) fn check(message: &Message) -> Result<()> {
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidArgument, "send", what));
    check_topic(&message.topic)?;
    if message.body.is_empty() {
        return wrong(format!("the message for topic {:?} has no body", message.topic));
    }
    match message.properties.get(property::DELAY).map(str::parse::<i32>) {
        Some(Err(_)) => {
            wrong(format!("delay level {:?} is no number", message.properties.get(property::DELAY)))
        }
        Some(Ok(level)) if level < 0 => wrong(format!("delay level {level} is negative")),
        _ => Ok(()),
    }
}

fn check_topic(topic: &str) -> Result<()> {
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidArgument, "send", what));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    if topic.is_empty() {
        return wrong("the message has no topic".into());
    }
    if topic.len() > MAX_TOPIC {
        let start: String = topic.chars().take(32).collect();
        return wrong(format!("topic {start:?}... has {} bytes, the limit is {MAX_TOPIC}", topic.len()));
    }
    if !topic.bytes().all(allowed) {
        return wrong(format!("topic {topic:?} has other characters than letters, digits and % | _ -"));
    }
    match FORBIDDEN.contains(&topic) {
        true => wrong(format!("topic {topic} belongs to the brokers; send to another")),
        false => Ok(()),
    }
}

/// The checks of a batch that Apache's client makes; returns its first message.
fn check_batch(messages: &[Message]) -> Result<&Message> {
    let wrong = |what: String| Err(Error::new(ErrorKind::InvalidArgument, "send batch", what));
    let Some(first) = messages.first() else { return wrong("the batch is empty".into()) };
    if first.topic.starts_with(RETRY_PREFIX) {
        return wrong(format!("{} is a retry topic, which takes no batches", first.topic));
    }
    for message in messages {
        check(message)?;
        if message.topic != first.topic {
            let (one, other) = (&first.topic, &message.topic);
            return wrong(format!("a batch has one topic, this one has {one:?} and {other:?}"));
        }
        if message.delay_level() > 0 {
            return wrong("a message with a delay level cannot be in a batch".into());
        }
        if message.waits_for_store() != first.waits_for_store() {
            return wrong(
                "all messages of a batch wait for the store, or none (waitStoreMsgOK, property WAIT)".into(),
            );
        }
        if message.sharding_key() != first.sharding_key() {
            return wrong(
                "messages of different sharding keys belong to different queues, a batch to one".into(),
            );
        }
    }
    Ok(first)
}

fn check_size(producer: &Shared, size: usize) -> Result<()> {
    let limit = producer.options.max_message_size;
    if size > limit {
        let context = format!("the body has {size} bytes, the limit is {limit} (maxMessageSize)");
        return Err(Error::new(ErrorKind::LimitExceeded, "send", context));
    }
    Ok(())
}

fn properties_with_id(message: &Message, id: &str) -> Result<String> {
    let mut text = String::with_capacity(64);
    for (name, value) in message.properties.iter().filter(|(name, _)| *name != property::UNIQ_KEY) {
        write_property(&mut text, name, value)?;
    }
    write_property(&mut text, property::UNIQ_KEY, id)?;
    check_length(&text)?;
    Ok(text)
}

fn write_property(text: &mut String, name: &str, value: &str) -> Result<()> {
    check_property(name, value)?;
    text.push_str(name);
    text.push(char::from(NAME_VALUE_SEPARATOR));
    text.push_str(value);
    text.push(char::from(PROPERTY_SEPARATOR));
    Ok(())
}

fn check_length(properties: &str) -> Result<()> {
    if properties.len() > MAX_PROPERTIES {
        let context =
            format!("the properties have {} bytes, the limit is {MAX_PROPERTIES}", properties.len());
        return Err(Error::new(ErrorKind::LimitExceeded, "send", context));
    }
    Ok(())
}
