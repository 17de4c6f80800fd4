//! What a send is told, and what it tells.

use std::fmt;
use std::time::Duration;

use super::choose::Selector;
use crate::wire::body::MessageQueue;

/// How a send treats its answer. [`Producer::send`](super::Producer::send) and its like are `Sync`,
/// [`send_async`](super::Producer::send_async) and [`send_callback`](super::Producer::send_callback) are `Async`,
/// [`send_oneway`](super::Producer::send_oneway) is `Oneway`.
///
/// At least once: with `Sync` and `Async`, if what failed is sent again. At most once: with `Oneway`, and with the
/// others if neither the producer nor its user sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommunicationMode {
    /// The caller waits for the broker's answer: for what matters, one after the other.
    #[doc(alias = "SYNC")]
    Sync,
    /// The call returns at once, and the answer comes later: for many sends, or callers who cannot wait.
    #[doc(alias = "ASYNC")]
    Async,
    /// There is no answer: for what may be lost, such as log lines.
    #[doc(alias = "ONEWAY")]
    Oneway,
}

/// What can be different for one send.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// Where to.
    pub to: SendTo,
    /// Time limit, all attempts together, instead of the producer's `sendMsgTimeout`.
    pub timeout: Option<Duration>,
}

impl SendOptions {
    /// To this queue; it has the topic of the message.
    pub fn with_queue(mut self, queue: MessageQueue) -> SendOptions {
        self.to = SendTo::Queue(queue);
        self
    }

    /// To the queue that this selector chooses.
    pub fn with_selector(mut self, selector: Selector) -> SendOptions {
        self.to = SendTo::Selected(selector);
        self
    }

    /// To the queue of all messages with this key, which the message carries from now on.
    pub fn with_sharding_key(mut self, key: impl Into<String>) -> SendOptions {
        self.to = SendTo::ShardingKey(key.into());
        self
    }

    /// With this time limit, all attempts together.
    pub fn with_timeout(mut self, timeout: Duration) -> SendOptions {
        self.timeout = Some(timeout);
        self
    }
}

/// The queue that a message is sent to.
///
/// Where it is chosen (everything but `Turn`), a send is not tried at another one: a message whose order counts must
/// not come to a queue that the next one is not sent to. Sends that are waited for are then tried once only.
#[derive(Debug, Clone, Default)]
pub enum SendTo {
    /// The next one, so that messages spread evenly over all queues and their brokers; a message with a
    /// [sharding key](crate::message::Message::with_sharding_key) goes to the queue of the key.
    #[default]
    Turn,
    /// This one.
    Queue(MessageQueue),
    /// The one that a selector chooses.
    Selected(Selector),
    /// The one of all messages with this key, chosen as by [`Selector::ByHash`].
    ShardingKey(String),
}

/// What became of a message that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendStatus {
    /// As safe as the broker's modes promise: with ASYNC_FLUSH it is in the memory of the broker's machine, with
    /// SYNC_FLUSH on its disk, with SYNC_MASTER at a slave as well.
    #[doc(alias = "SEND_OK")]
    Ok,
    /// With SYNC_FLUSH: not known to be on disk within the broker's `syncFlushTimeout`. Lost if its machine fails now.
    #[doc(alias = "FLUSH_DISK_TIMEOUT")]
    FlushTimedOut,
    /// With SYNC_MASTER: not known to be at a slave in time. Lost if the master is.
    #[doc(alias = "FLUSH_SLAVE_TIMEOUT")]
    SlaveTimedOut,
    /// With SYNC_MASTER: there is no slave that could have it. Lost if the master is.
    #[doc(alias = "SLAVE_NOT_AVAILABLE")]
    NoSlave,
}

impl SendStatus {
    /// Apache's name for it.
    pub fn name(self) -> &'static str {
        match self {
            SendStatus::Ok => "SEND_OK",
            SendStatus::FlushTimedOut => "FLUSH_DISK_TIMEOUT",
            SendStatus::SlaveTimedOut => "FLUSH_SLAVE_TIMEOUT",
            SendStatus::NoSlave => "SLAVE_NOT_AVAILABLE",
        }
    }
}

/// The result of a send: where the message is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "SendResult")]
pub struct Sent {
    /// How safe it is.
    pub status: SendStatus,
    /// Its id, the same in every delivery; of a batch the ids of all, joined by commas, see [`Sent::message_ids`].
    #[doc(alias = "msgId")]
    pub message_id: String,
    /// The id of its place at the broker; of a batch those of all, joined by commas, see [`Sent::offset_ids`].
    #[doc(alias = "offsetMsgId")]
    pub offset_id: String,
    /// Its queue.
    pub queue: MessageQueue,
    /// Its place in the queue; of a batch that of the first message.
    pub queue_offset: i64,
}

impl Sent {
    /// The id of each message that was sent, in their order: one, or those of a batch.
    pub fn message_ids(&self) -> impl Iterator<Item = &str> {
        self.message_id.split(',')
    }

    /// The id of the place of each message that was sent, in their order.
    pub fn offset_ids(&self) -> impl Iterator<Item = &str> {
        self.offset_id.split(',')
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sent { status, message_id, offset_id, queue, queue_offset } = self;
        let MessageQueue { topic, broker_name, queue_id } = queue;
        let status = status.name();
        write!(f, "{status} msgId={message_id} offsetMsgId={offset_id} topic={topic} broker={broker_name} ")?;
        write!(f, "queueId={queue_id} queueOffset={queue_offset}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line_with_everything() {
        let sent = Sent {
            status: SendStatus::NoSlave,
            message_id: "ID".into(),
            offset_id: "OFFSET".into(),
            queue: MessageQueue { topic: "T".into(), broker_name: "b".into(), queue_id: 3 },
            queue_offset: 41,
        };
        let line =
            "SLAVE_NOT_AVAILABLE msgId=ID offsetMsgId=OFFSET topic=T broker=b queueId=3 queueOffset=41";
        assert_eq!(sent.to_string(), line);
    }
}
