//! The producer: chooses a queue, sends, and tries again elsewhere what failed (protocol reference, section 4).

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::{write::ZlibEncoder, Compression};

use crate::client::cluster::{succeeded, Cluster, DEFAULT_TOPIC};
use crate::client::route::DEFAULT_QUEUES;
use crate::config::ProducerOptions;
use crate::message::{
    batch, check_property, property, sys_flag, unique_id, Message, Properties, MAX_PROPERTIES,
};
use crate::net::Reply;
use crate::wire::body::MessageQueue;
use crate::wire::{Request, ResponseCode, SendForm, SendMessage, SendMessageResponse};
use crate::{Error, ErrorKind, Result};

/// Pause before a further attempt at the same broker, when there is no other: long enough for a new connection.
const SAME_BROKER_PAUSE: Duration = Duration::from_millis(200);

/// What can be different for one send.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// The queue to send to; there are no further attempts then. Default: the producer takes turns.
    pub queue: Option<MessageQueue>,
    /// Time limit instead of the producer's.
    pub timeout: Option<Duration>,
}

/// What became of a message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// As safe as the broker promises.
    #[doc(alias = "SEND_OK")]
    Ok,
    /// Not known to be on disk: lost if the broker's machine fails now.
    #[doc(alias = "FLUSH_DISK_TIMEOUT")]
    FlushTimedOut,
    /// Not known to be at a slave.
    #[doc(alias = "FLUSH_SLAVE_TIMEOUT")]
    SlaveTimedOut,
    /// There is no slave that could have it.
    #[doc(alias = "SLAVE_NOT_AVAILABLE")]
    NoSlave,
}

/// The result of a send: where the message is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "SendResult")]
pub struct Sent {
    /// How safe it is.
    pub status: SendStatus,
    /// Its id, the same in every delivery; of a batch that of the first message.
    #[doc(alias = "msgId")]
    pub message_id: String,
    /// The id of its place at the broker; of a batch all, joined by commas.
    #[doc(alias = "offsetMsgId")]
    pub offset_id: String,
    /// Its queue.
    pub queue: MessageQueue,
    /// Its place in the queue; of a batch that of the first message.
    pub queue_offset: i64,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { status, message_id, offset_id, queue, queue_offset } = self;
        let MessageQueue { topic, broker_name, queue_id } = queue;
        write!(
            f,
            "{status:?} msgId={message_id} offsetMsgId={offset_id} topic={topic} broker={broker_name} "
        )?;
        write!(f, "queueId={queue_id} queueOffset={queue_offset}")
    }
}

/// Sends messages to a cluster. May be shared by threads.
#[doc(alias = "DefaultMQProducer")]
pub struct Producer {
    cluster: Arc<Cluster>,
    options: ProducerOptions,
}

/// A message made ready: what all attempts share.
struct Prepared<'a> {
    topic: &'a str,
    message_id: String,
    properties: String,
    body: Bytes,
    sys_flag: i32,
    flag: i32,
    form: SendForm,
}

impl Producer {
    /// A producer of a group.
    pub fn new(cluster: &Arc<Cluster>, options: ProducerOptions) -> Result<Producer> {
        if options.producer_group.is_empty() {
            let context = "the group's name is empty";
            return Err(Error::new(ErrorKind::InvalidArgument, "make producer", context));
        }
        cluster.add_producer(&options.producer_group)?;
        Ok(Producer { cluster: cluster.clone(), options })
    }

    /// Sends a message and waits until it is stored.
    ///
    /// Errors after all attempts have failed: the last one's. A message whose send timed out may be stored all the
    /// same.
    pub fn send(&self, message: &Message) -> Result<Sent> {
        self.send_with(message, &SendOptions::default())
    }

    /// As [`Producer::send`], with options.
    pub fn send_with(&self, message: &Message, options: &SendOptions) -> Result<Sent> {
        self.send_prepared(&self.prepare(message)?, options)
    }

    /// Sends messages of one topic together, into one queue side by side: all are stored or none. Much faster than one
    /// by one when they are small. Together they may be as large as one message may.
    pub fn send_batch(&self, messages: &[Message]) -> Result<Sent> {
        self.send_prepared(&self.prepare_batch(messages)?, &SendOptions::default())
    }

    fn send_prepared(&self, message: &Prepared<'_>, options: &SendOptions) -> Result<Sent> {
        let deadline = Instant::now() + options.timeout.unwrap_or(self.options.send_msg_timeout);
        let mut retries = if options.queue.is_some() { 0 } else { self.options.retry_times_when_send_failed };
        let mut avoid = None;
        loop {
            let result = self.attempt(message, options.queue.as_ref(), &mut avoid, deadline);
            let is_last = retries == 0 || Instant::now() >= deadline;
            match result {
                Ok(sent)
                    if is_last
                        || sent.status == SendStatus::Ok
                        || !self.options.retry_another_broker_when_not_store_ok =>
                {
                    return Ok(sent);
                }
                Err(error) if is_last || !error.is_retriable() => return Err(error),
                Ok(sent) => tracing::debug!("sent again elsewhere: {sent}"),
                Err(error) => {
                    tracing::debug!("sent again: {error}");
                    if error.code() == Some(ResponseCode::TOPIC_NOT_EXIST.0) {
                        self.cluster.forget_route(message.topic);
                    }
                }
            }
            retries -= 1;
        }
    }

    /// Sends once, to another broker than `avoid` if there is one, and leaves its name there.
    fn attempt(
        &self,
        message: &Prepared<'_>,
        queue: Option<&MessageQueue>,
        avoid: &mut Option<String>,
        deadline: Instant,
    ) -> Result<Sent> {
        let (route, turn) = self.cluster.route_for_sending(message.topic)?;
        let queue = match queue {
            Some(queue) if queue.topic != message.topic => {
                let context =
                    format!("a message of topic {:?} for a queue of {:?}", message.topic, queue.topic);
                return Err(Error::new(ErrorKind::InvalidArgument, "send", context));
            }
            Some(queue) => queue.clone(),
            None => {
                route.queue_in_turn(turn, avoid.as_deref()).cloned().ok_or_else(|| no_queue(message.topic))?
            }
        };
        let before = avoid.replace(queue.broker_name.clone());
        let mut left = deadline.saturating_duration_since(Instant::now());
        if before == *avoid {
            // There is only this broker, and it failed just now.
            std::thread::sleep(SAME_BROKER_PAUSE.min(left));
            left = deadline.saturating_duration_since(Instant::now());
        }
        let address = self.cluster.master(&queue.broker_name)?;
        let reply = self.cluster.net().call(&address, &message.request(self, &queue), left)?;
        let status = match reply.code() {
            ResponseCode::FLUSH_DISK_TIMEOUT => SendStatus::FlushTimedOut,
            ResponseCode::FLUSH_SLAVE_TIMEOUT => SendStatus::SlaveTimedOut,
            ResponseCode::SLAVE_NOT_AVAILABLE => SendStatus::NoSlave,
            _ => return message.sent(SendStatus::Ok, queue, &succeeded("send", reply)?),
        };
        message.sent(status, queue, &reply)
    }

    fn prepare<'a>(&self, message: &'a Message) -> Result<Prepared<'a>> {
        self.check(message)?;
        self.check_size(message.body.len())?;
        let (message_id, properties) = identified(message)?;
        let (body, sys_flag) = match message.body.len() {
            length if length >= self.options.compress_msg_body_over_howmuch => {
                compressed(&message.body, self.options.compress_level)
            }
            _ => (message.body.clone(), 0),
        };
        let (topic, flag) = (message.topic.as_str(), message.flag);
        Ok(Prepared { topic, message_id, properties, body, sys_flag, flag, form: SendForm::V2 })
    }

    fn prepare_batch<'a>(&self, messages: &'a [Message]) -> Result<Prepared<'a>> {
        let wrong = |what: String| Error::new(ErrorKind::InvalidArgument, "send batch", what);
        let first = messages.first().ok_or_else(|| wrong("the batch is empty".into()))?;
        let topic = first.topic.as_str();
        if topic.starts_with("%RETRY%") {
            return Err(wrong(format!("{topic} is a retry topic, which takes no batches")));
        }
        let (mut body, mut first_id) = (Vec::new(), None);
        for message in messages {
            self.check(message)?;
            if message.topic != topic {
                let what = format!("a batch has one topic, this one has {topic:?} and {:?}", message.topic);
                return Err(wrong(what));
            }
            if message.properties.contains(property::DELAY) {
                return Err(wrong("a message with a delay level cannot be in a batch".into()));
            }
            if message.properties.get(property::WAIT) != first.properties.get(property::WAIT) {
                return Err(wrong("all messages of a batch wait for the store, or none (WAIT)".into()));
            }
            let (id, properties) = identified(message)?;
            first_id.get_or_insert(id);
            let properties = properties.as_bytes();
            let item = batch::Item { flag: message.flag, body: &message.body, properties };
            batch::encode_item(&mut body, &item)?;
        }
        self.check_size(body.len())?;
        let message_id = first_id.unwrap_or_default();
        let mut properties = Properties::new();
        properties.insert(property::UNIQ_KEY, message_id.as_str());
        let properties = text(&properties)?;
        let form = SendForm::Batch;
        Ok(Prepared { topic, message_id, properties, body: body.into(), sys_flag: 0, flag: 0, form })
    }

    fn check(&self, message: &Message) -> Result<()> {
        let what = match (message.topic.is_empty(), message.body.is_empty()) {
            (true, _) => "the message has no topic",
            (_, true) => "the message has no body",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::InvalidArgument, "send", what))
    }

    fn check_size(&self, size: usize) -> Result<()> {
        let limit = self.options.max_message_size;
        if size > limit {
            let context = format!("the body has {size} bytes, the limit is {limit} (maxMessageSize)");
            return Err(Error::new(ErrorKind::LimitExceeded, "send", context));
        }
        Ok(())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.cluster.remove_producer(&self.options.producer_group) {
            self.cluster.leave_group(Some(&self.options.producer_group), None);
        }
    }
}

impl Prepared<'_> {
    fn request<'a>(&'a self, producer: &'a Producer, queue: &MessageQueue) -> Request<'a> {
        Request::SendMessage(SendMessage {
            producer_group: producer.options.producer_group.as_str().into(),
            topic: self.topic.into(),
            default_topic: DEFAULT_TOPIC.into(),
            default_topic_queue_nums: DEFAULT_QUEUES,
            queue_id: queue.queue_id,
            sys_flag: self.sys_flag,
            born_timestamp: producer.cluster.now_ms(),
            flag: self.flag,
            properties: Some(self.properties.as_str().into()),
            batch: self.form == SendForm::Batch,
            form: self.form,
            body: &self.body,
            ..SendMessage::default()
        })
    }

    fn sent(&self, status: SendStatus, queue: MessageQueue, reply: &Reply) -> Result<Sent> {
        let stored = reply.header::<SendMessageResponse>()?;
        Ok(Sent {
            status,
            message_id: self.message_id.clone(),
            offset_id: stored.msg_id.to_string(),
            queue: MessageQueue { queue_id: stored.queue_id, ..queue },
            queue_offset: stored.queue_offset,
        })
    }
}

fn no_queue(topic: &str) -> Error {
    let context =
        format!("no queue of topic {topic:?} can be written to: no broker with master and permission");
    Error::new(ErrorKind::NoPermission, "send", context)
}

/// The message's id, made now if it has none, and its encoded properties with the id.
fn identified(message: &Message) -> Result<(String, String)> {
    if let Some(id) = message.properties.get(property::UNIQ_KEY) {
        return Ok((id.into(), text(&message.properties)?));
    }
    let (id, mut properties) = (unique_id(), message.properties.clone());
    properties.insert(property::UNIQ_KEY, id.as_str());
    Ok((id, text(&properties)?))
}

fn text(properties: &Properties) -> Result<String> {
    for (name, value) in properties.iter() {
        check_property(name, value)?;
    }
    let encoded = properties.encode();
    if encoded.len() > MAX_PROPERTIES {
        let context = format!("the properties have {} bytes, the limit is {MAX_PROPERTIES}", encoded.len());
        return Err(Error::new(ErrorKind::LimitExceeded, "send", context));
    }
    String::from_utf8(encoded)
        .map_err(|error| Error::new(ErrorKind::Internal, "encode properties", "not UTF-8").with_source(error))
}

/// The compressed body and its flag; the body as it is if that does not make it smaller.
fn compressed(body: &Bytes, level: u32) -> (Bytes, i32) {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    match encoder.write_all(body).and_then(|()| encoder.finish()) {
        Ok(packed) if packed.len() < body.len() => (packed.into(), sys_flag::COMPRESSED),
        _ => (body.clone(), 0),
    }
}
