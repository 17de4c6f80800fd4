//! Appends to a queue of this process's own server, without the way through client and broker.

use std::ops::Range;
use std::sync::Arc;

use super::Instance;
use crate::broker::{self, QueueAppender};
use crate::client::Cluster;
use crate::message::Message;
use crate::store::Content;
use crate::{Error, ErrorKind, Result};

/// Fills one queue of an instance that [`open`](crate::open) opened: by far the fastest way to store a message, as what a
/// send does for each message is done once here. Made by [`Instance::appender`].
///
/// What is promised is what a send promises: a message is stored as the flush mode says when its append returns (under
/// SYNC_FLUSH it waits for the disk), and everyone who reads afterwards finds it, other processes that joined too. Its
/// number in the queue comes from the one sequence that all who send there share.
///
/// What is stored is the message as it is given: no unique id is made (consumers show the id of its place instead), bodies
/// are not compressed, nothing is traced, and there is no second try. Delayed and transactional messages, requests and
/// replies take a producer.
///
/// One thread uses it at a time. Several threads make one each; they meet at the one lock of the log only.
///
/// ```
/// # fn main() -> ferromq::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let data = directory.path();
/// let mq = ferromq::open(data)?; // a directory such as "./data"
/// mq.create_topic("Ticks", 1)?;
/// let mut ticks = mq.appender("Ticks", 0)?;
/// assert_eq!(ticks.append(b"100.25")?, 0);
/// assert_eq!(ticks.append_batch(&["100.50", "100.75"])?, 1..3); // all or none
/// mq.close()
/// # }
/// ```
pub struct Appender {
    queue: QueueAppender,
    /// As this program calls it.
    topic: String,
    encoded: Vec<u8>,
    /// The instance lives as long as something that was made from it.
    _cluster: Arc<Cluster>,
}

impl Instance {
    /// For appends to a queue of a topic that is there, of an instance that [`open`](crate::open) opened. Queues count
    /// from 0.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such topic, [`ErrorKind::NoPermission`] when it cannot be written,
    /// [`ErrorKind::InvalidArgument`] when it has no such queue, is filled by brokers only, or the instance is a client of
    /// servers elsewhere.
    pub fn appender(&self, topic: &str, queue_id: i32) -> Result<Appender> {
        let broker = self.own_broker("append")?;
        let queue = QueueAppender::new(broker, &self.cluster.name_at_servers(topic), queue_id)?;
        Ok(Appender { queue, topic: topic.to_owned(), encoded: Vec::new(), _cluster: self.cluster.clone() })
    }

    /// The broker of this process.
    pub(super) fn own_broker(&self, operation: &'static str) -> Result<Arc<broker::Broker>> {
        self.cluster.check_open()?;
        self.broker.upgrade().ok_or_else(|| {
            let text = "this instance has no queues of its own: it is a client of servers elsewhere; use a producer \
                        or a consumer";
            Error::new(ErrorKind::InvalidArgument, operation, text)
        })
    }
}

impl Appender {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The queue.
    pub fn queue_id(&self) -> i32 {
        self.queue.queue_id()
    }

    /// Stores a message that is nothing but its body, and returns its number in the queue.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when the body is empty or larger than `maxMessageSize`, [`ErrorKind::NotFound`] when
    /// the topic was deleted, [`ErrorKind::NoPermission`], [`ErrorKind::NotWritable`] when the store takes no writes,
    /// [`ErrorKind::Closed`], [`ErrorKind::Forked`], [`ErrorKind::Remote`] with SYSTEM_BUSY when too many wait for the disk;
    /// in all these cases nothing is stored. Under SYNC_FLUSH also [`ErrorKind::Timeout`]: it is stored, but not known to be
    /// on the disk within `syncFlushTimeout`; and [`ErrorKind::NotWritable`] when the disk refused the flush: it is not
    /// stored for sure, but a restart may find it.
    pub fn append(&mut self, body: &[u8]) -> Result<i64> {
        self.queue.append(&Content { body, ..Content::default() })
    }

    /// Stores messages that are nothing but their bodies, one behind the other, all or none, and returns their numbers.
    /// Together the bodies may have `maxMessageSize` bytes.
    ///
    /// # Errors
    /// As [`Appender::append`]; also when there is none.
    pub fn append_batch<B: AsRef<[u8]>>(&mut self, bodies: &[B]) -> Result<Range<i64>> {
        let contents = bodies.iter().map(|body| Content { body: body.as_ref(), ..Content::default() });
        let first = self.queue.append_all(contents)?;
        Ok(first..first + bodies.len() as i64)
    }

    /// Stores a message with its tag, keys, properties and flag. Its topic is this one.
    ///
    /// # Errors
    /// As [`Appender::append`]; also when it has another topic, or a delay.
    pub fn append_message(&mut self, message: &Message) -> Result<i64> {
        let mut encoded = std::mem::take(&mut self.encoded);
        let content = broker::content(message, &self.topic, &mut encoded);
        let appended = content.and_then(|content| self.queue.append(&content));
        self.encoded = encoded;
        appended
    }
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Appender({}, queue {})", self.topic(), self.queue_id())
    }
}
