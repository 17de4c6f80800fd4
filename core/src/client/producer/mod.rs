//! The producer: chooses a queue, sends, and tries again elsewhere what failed (protocol reference, section 4).

mod choose;
mod compress;
mod flight;
mod prepare;
mod registry;
mod request;
mod result;
mod room;
mod sending;
mod shared;
mod slot;
mod split;
mod traced;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use self::flight::Told;
use self::prepare::Prepared;
use self::slot::Slot;
use self::transaction::Checks;
use super::cluster::Cluster;
use crate::config::ProducerOptions;
use crate::message::Message;
use crate::wire::body::MessageQueue;
use crate::Result;

pub use self::choose::{Choose, Selector};
pub use self::flight::SendFuture;
pub(super) use self::registry::Registry;
pub(super) use self::request::replied;
pub use self::request::RequestFuture;
pub use self::result::{CommunicationMode, SendOptions, SendStatus, SendTo, Sent};
pub(super) use self::shared::Shared;
pub(super) use self::transaction::asked;
pub use self::transaction::{TransactionListener, TransactionProducer, TransactionSent, TransactionState};

/// The type of messages that are replies, in their properties.
const REPLY: &str = "reply";

/// How long closing a producer waits for its sends under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Sends messages to a cluster. May be shared by threads.
///
/// Every failed send surfaces once, as an [`Error`](crate::Error) whose [`failed_send`](crate::Error::failed_send) says which message it was,
/// which [`is_retriable`](crate::Error::is_retriable) tells whether sending it again can help, and which is logged with topic,
/// id and keys. A send that timed out, or whose connection broke, may have been stored all the same: look the message
/// up by its id, or send it again and let consumers recognize the copy by a key of your own, such as the order's number:
/// ids are unique by chance only, keys because you make them so. Copies that the producer itself made, by trying again,
/// have one id.
///
/// Dropping a producer takes it out of its group; what is under way goes on. [`Producer::close`] waits for it.
#[doc(alias = "DefaultMQProducer")]
pub struct Producer {
    shared: Arc<Shared>,
}

impl Producer {
    /// A producer of a group, which is `producerGroup` in the options.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the group has no name or one that brokers do
    /// not take, [`ErrorKind::Closed`](crate::ErrorKind::Closed) if the client was closed.
    pub fn new(cluster: &Arc<Cluster>, options: ProducerOptions) -> Result<Producer> {
        Producer::with_checks(cluster, options, None)
    }

    fn with_checks(
        cluster: &Arc<Cluster>,
        options: ProducerOptions,
        checks: Option<Arc<Checks>>,
    ) -> Result<Producer> {
        let shared = Shared::new(cluster, options, checks)?;
        cluster.producers.add(&shared)?;
        Ok(Producer { shared })
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.shared.options.producer_group
    }

    /// The queues of a topic that can be sent to, by broker and number.
    #[doc(alias = "fetchPublishMessageQueues")]
    pub fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        self.shared.check_open()?;
        let topic = self.shared.cluster.namespace().wrap(topic);
        let route = self.shared.route(&topic, self.shared.options.send_msg_timeout)?;
        Ok(self.shared.user_queues(&route))
    }

    /// Sends a message and waits until it is stored.
    ///
    /// # Errors
    /// After all attempts have failed, the last one's. A message whose send timed out may be stored all the same.
    pub fn send(&self, message: &Message) -> Result<Sent> {
        self.send_with(message, &SendOptions::default())
    }

    /// As [`Producer::send`], with options.
    pub fn send_with(&self, message: &Message, options: &SendOptions) -> Result<Sent> {
        let prepared = self.shared.prepare(message, options)?;
        let aim = self.shared.aim(message, options)?;
        let sending = self.shared.sending(prepared, CommunicationMode::Sync, aim, options);
        Ok(self.shared.send_here(sending)?.sent)
    }

    /// Sends a message and returns at once; the future has the result. The route of a topic that is sent to for the
    /// first time is asked for in the background.
    ///
    /// At most `backPressureForAsyncSendNum` sends with `backPressureForAsyncSendSize` bytes of bodies are under way; a
    /// further one waits for room, within its time limit, until its future is dropped. In a callback none waits.
    pub fn send_async(&self, message: &Message) -> SendFuture {
        self.send_async_with(message, &SendOptions::default())
    }

    /// As [`Producer::send_async`], with options.
    pub fn send_async_with(&self, message: &Message, options: &SendOptions) -> SendFuture {
        let slot = Slot::new();
        match self.shared.flight(message, options, Told::Slot(slot.clone())) {
            Ok(flight) => {
                let waiting = self.shared.start(flight).map(|number| (self.shared.clone(), number));
                SendFuture::new(slot, waiting)
            }
            Err((error, _)) => {
                slot.fill(Err(error));
                SendFuture::new(slot, None)
            }
        }
    }

    /// Sends a message and returns at once; `callback` gets the result, once, on a callback thread of the client. It may
    /// send again there, also waiting.
    ///
    /// At most `backPressureForAsyncSendNum` sends with `backPressureForAsyncSendSize` bytes of bodies are under way; a
    /// further one waits here for room, within its time limit. In a callback it does not wait.
    pub fn send_callback(
        &self,
        message: &Message,
        options: &SendOptions,
        callback: impl FnOnce(Result<Sent>) + Send + 'static,
    ) {
        let told = Told::Callback(Box::new(callback));
        self.shared.fly_or_tell(self.shared.flight(message, options, told));
    }

    /// Sends a message without asking for an answer, and returns when it is on its way: for what may be lost. The topic's
    /// route is waited for if it is not known.
    pub fn send_oneway(&self, message: &Message) -> Result<()> {
        self.send_oneway_with(message, &SendOptions::default())
    }

    /// As [`Producer::send_oneway`], with options.
    pub fn send_oneway_with(&self, message: &Message, options: &SendOptions) -> Result<()> {
        let prepared = self.shared.prepare(message, options)?;
        let aim = self.shared.aim(message, options)?;
        self.shared.send_blindly(self.shared.sending(prepared, CommunicationMode::Oneway, aim, options))
    }

    /// Sends messages of one topic together, into one queue side by side: all are stored or none. Much faster than one
    /// by one when they are small. Together they may be as large as one message may (4 MiB by default); about 1 MiB is
    /// a good size, which [`Producer::send_split`] keeps to.
    ///
    /// They are alike in whether they wait for the store, have no delay and no retry topic; else nothing is sent.
    pub fn send_batch(&self, messages: &[Message]) -> Result<Sent> {
        self.send_batch_with(messages, &SendOptions::default())
    }

    /// As [`Producer::send_batch`], with options. A selector sees the first message.
    pub fn send_batch_with(&self, messages: &[Message], options: &SendOptions) -> Result<Sent> {
        self.shared.check_open()?;
        let prepared = Prepared::batch(&self.shared, messages)?;
        let aim = self.shared.aim(&messages[0], options)?;
        let sending = self.shared.sending(prepared, CommunicationMode::Sync, aim, options);
        Ok(self.shared.send_here(sending)?.sent)
    }

    /// As [`Producer::send_batch_with`], but returns at once, as [`Producer::send_callback`] does.
    pub fn send_batch_callback(
        &self,
        messages: &[Message],
        options: &SendOptions,
        callback: impl FnOnce(Result<Sent>) + Send + 'static,
    ) {
        let told = Told::Callback(Box::new(callback));
        let shared = &self.shared;
        let prepared = shared.check_open().and_then(|()| Prepared::batch(shared, messages));
        shared.fly_or_tell(match prepared {
            Ok(prepared) => shared.flight_of(prepared, &messages[0], options, told),
            Err(error) => Err((error, told)),
        });
    }

    /// Asynchronous sends under way, running callbacks included.
    pub fn sends_in_flight(&self) -> usize {
        if self.shared.cluster.check_process().is_err() {
            return 0;
        }
        self.shared.room.in_flight()
    }

    /// Takes no further sends, waits for those under way and for their callbacks, at most ten seconds, and leaves the
    /// group. Idempotent. In a callback it does not wait, and no further callback begins.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if not all have ended; no further callback begins then.
    #[doc(alias = "shutdown")]
    pub fn close(&self) -> Result<()> {
        self.close_within(CLOSE_WITHIN)
    }

    /// As [`Producer::close`], with this time limit.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        self.shared.close_within(limit)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.shared.cluster.check_process().is_err() {
            // After fork() the group is not this process's to leave.
            return std::mem::forget(self.shared.clone());
        }
        self.shared.close();
    }
}
