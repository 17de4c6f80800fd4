//! What programs hold: a client of a cluster, or of a server of their own in this process; and the processes of the
//! command line.

mod appender;
mod open;
mod options;
mod process;
mod reader;

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

pub use crate::store::{Backup, FullFiles};
pub use appender::Appender;
pub use open::{Listen, OpenOptions, Place};
pub use process::{BrokerProcess, NamesrvProcess, Server, ServerOptions};
pub use reader::{MessageView, Reader};

use crate::broker::Broker;
use crate::client::{
    Admin, ClientOptions, Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, PushConsumer,
    TransactionListener, TransactionProducer,
};
use crate::message::StoredMessage;
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// How long [`Instance::close`] waits.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// Opens a durable message queue in a directory: name server, broker and client in this process. No socket is opened, and
/// no other process can have the directory meanwhile. The directory is a store of Apache RocketMQ's format.
///
/// # Errors
/// [`ErrorKind::InUse`] names who has the directory; [`ErrorKind::Io`] when
/// it cannot be read or written.
pub fn open(dir: impl AsRef<Path>) -> Result<Instance> {
    open_with(OpenOptions::directory(dir))
}

/// As [`open`], with everything settable: in memory, with a listener that other processes can join.
///
/// # Errors
/// As [`open`]; and when a port is in use or a setting is not usable.
pub fn open_with(options: OpenOptions) -> Result<Instance> {
    let open::Opened { broker, cluster, listening } = open::start(options)?;
    Ok(Instance { cluster, listening, broker })
}

/// A client of a cluster, FerroMQ's or Apache's, by its name servers: `host:port`, several separated by `;`. With an empty
/// text those of the environment variable `NAMESRV_ADDR`. Connects when first needed.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when that is no address.
pub fn connect(name_servers: &str) -> Result<Instance> {
    connect_with(ClientOptions::new(name_servers))
}

/// As [`connect`], with everything settable.
///
/// # Errors
/// As [`connect`].
pub fn connect_with(options: ClientOptions) -> Result<Instance> {
    Ok(Instance { cluster: Cluster::with_options(options)?, listening: None, broker: Weak::new() })
}

/// A client, and with [`open`] the server in this process that it uses. What is made from it shares its connections,
/// routes, heartbeats and threads. Cheap to clone; clones are the same client.
///
/// It lives until it is closed, or until it and all that was made from it are dropped. In a process made by fork() all
/// its calls fail with [`ErrorKind::Forked`].
#[derive(Clone)]
#[doc(alias = "MQClientInstance")]
pub struct Instance {
    cluster: Arc<Cluster>,
    listening: Option<(u16, u16)>,
    /// That of this process, if it was opened here and is not closed.
    broker: Weak<Broker>,
}

impl Instance {
    /// A producer of this group, with default settings.
    ///
    /// # Errors
    /// When the group's name is not usable or the instance is closed.
    pub fn producer(&self, group: &str) -> Result<Producer> {
        self.producer_with(ProducerOptions::new(group))
    }

    /// A producer with these settings.
    ///
    /// # Errors
    /// As [`Instance::producer`].
    pub fn producer_with(&self, options: ProducerOptions) -> Result<Producer> {
        self.cluster.check_open()?;
        Producer::new(&self.cluster, options)
    }

    /// A producer of messages that count once their transaction is committed, with these settings. `listener` runs the
    /// transactions of this program, and answers brokers about those of its group.
    ///
    /// # Errors
    /// As [`Instance::producer`].
    pub fn transaction_producer(
        &self,
        options: ProducerOptions,
        listener: impl TransactionListener,
    ) -> Result<TransactionProducer> {
        self.cluster.check_open()?;
        TransactionProducer::new(&self.cluster, options, listener)
    }

    /// A push consumer of this group, with default settings: it calls a listener. Does nothing before its start.
    ///
    /// # Errors
    /// When the group's name is not usable.
    pub fn push_consumer(&self, group: &str) -> Result<PushConsumer> {
        self.push_consumer_with(ConsumerOptions::new(group))
    }

    /// A push consumer with these settings.
    ///
    /// # Errors
    /// As [`Instance::push_consumer`].
    pub fn push_consumer_with(&self, options: ConsumerOptions) -> Result<PushConsumer> {
        self.cluster.check_open()?;
        PushConsumer::new(&self.cluster, options)
    }

    /// A pull consumer of this group, with default settings: it is asked for messages.
    ///
    /// # Errors
    /// When the group's name is not usable.
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_with(ConsumerOptions::new(group))
    }

    /// A pull consumer with these settings; without a group it reads all queues for itself.
    ///
    /// # Errors
    /// As [`Instance::consumer`].
    pub fn consumer_with(&self, options: ConsumerOptions) -> Result<Consumer> {
        self.cluster.check_open()?;
        Consumer::new(&self.cluster, options)
    }

    /// Makes a topic with this many queues on every master, or changes the number of one that is there. Where brokers
    /// allow it, a topic is also made by its first message.
    ///
    /// # Errors
    /// When no broker makes it, with what the last one said.
    #[doc(alias = "createTopic")]
    pub fn create_topic(&self, name: &str, queues: i32) -> Result<()> {
        self.cluster.create_topic(name, queues)
    }

    /// Makes a consistent copy of the directory of an instance that [`open`] opened, in `to`, which is made, or is empty.
    /// Everything goes on meanwhile. `to` can then be opened, or a broker of Apache's be started on it: it has the
    /// messages up to one moment after the call began, and groups where they were or a little before. Servers elsewhere
    /// are asked by [`Admin::backup`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when `to` holds something, or the instance is
    /// a client of servers elsewhere; [`ErrorKind::Io`] when a file cannot be read or written, or
    /// there is too little room for it; what was written is then removed.
    pub fn backup(&self, to: impl AsRef<Path>, full: FullFiles) -> Result<Backup> {
        self.cluster.check_open()?;
        let Some(broker) = self.broker.upgrade() else {
            let text =
                "this instance has no directory: it is a client of servers elsewhere; use admin().backup()";
            return Err(Error::new(ErrorKind::InvalidArgument, "back up", text));
        };
        broker.backup(to.as_ref(), full)
    }

    /// Operators' calls: topics, groups and how far they have come, the state of the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.cluster)
    }

    /// Gives the masters of a topic a filter function of a consumer group: a WebAssembly module that is asked for each
    /// message that tags or SQL leave, as `docs/filters.md` describes it. It takes the place of the one before; an empty
    /// module takes that away. `name` is for people.
    ///
    /// # Errors
    /// With the first master that does not take it, and why: it has to have been built with the feature `wasm-filter` and to
    /// run with `enableFilterFunction=true`, and the module has to be usable.
    #[doc(alias = "registerMessageFilterClass")]
    pub fn set_filter_function(&self, topic: &str, group: &str, name: &str, module: &[u8]) -> Result<()> {
        self.cluster.set_filter_function(topic, group, name, module)
    }

    /// The queues of a topic.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such topic.
    #[doc(alias = "fetchSubscribeMessageQueues")]
    pub fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        self.cluster.topic_queues(topic)
    }

    /// The message at a place, by [`Sent::offset_id`](crate::client::Sent::offset_id) or
    /// [`StoredMessage::offset_id`]. Asks the broker whose address is part of the id.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when that is no such id,
    /// [`ErrorKind::NotFound`] when nothing is there (any more).
    #[doc(alias = "viewMessage")]
    pub fn message_by_id(&self, offset_id: &str) -> Result<StoredMessage> {
        self.cluster.message_by_id(offset_id)
    }

    /// The message with this unique id: [`Sent::message_id`](crate::client::Sent::message_id), or the id in the error of a
    /// send whose end is not known. Of several copies the first. A broker that was told to flush before it answers finds
    /// a message once it is flushed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when no broker of the topic has it.
    #[doc(alias = "queryMessageByUniqKey")]
    pub fn message_by_unique_key(&self, topic: &str, id: &str) -> Result<StoredMessage> {
        self.cluster.message_by_unique_key(topic, id)
    }

    /// Messages that have this key among theirs and were stored between the times, ms since 1970: the oldest first, at most
    /// `max` (brokers give 64 each at most).
    ///
    /// # Errors
    /// When there is no such topic, or none of its brokers answers.
    #[doc(alias = "queryMessage")]
    pub fn messages_by_key(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<Vec<StoredMessage>> {
        self.cluster.messages_by_key(topic, key, max, begin_ms, end_ms)
    }

    /// The offset of the first message that a queue still has.
    ///
    /// # Errors
    /// When its broker does not answer.
    pub fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        self.cluster.min_offset(queue)
    }

    /// The offset that the next message of a queue gets.
    ///
    /// # Errors
    /// When its broker does not answer.
    pub fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        self.cluster.max_offset(queue)
    }

    /// The offset of the first message of a queue that was stored at this time, ms since 1970, or later.
    ///
    /// # Errors
    /// When its broker does not answer.
    pub fn search_offset(&self, queue: &MessageQueue, ms: i64) -> Result<i64> {
        self.cluster.search_offset(queue, ms)
    }

    /// When the oldest message of a queue was stored, ms since 1970; `None` if the queue is empty.
    ///
    /// # Errors
    /// When its broker does not answer.
    #[doc(alias = "earliestMsgStoreTime")]
    pub fn earliest_store_time(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        self.cluster.earliest_store_time(queue)
    }

    /// What brokers know this client by: `<ip>@<instance>`.
    pub fn client_id(&self) -> &str {
        self.cluster.client_id()
    }

    /// The name servers, as `host:port;host:port`.
    pub fn name_servers(&self) -> String {
        self.cluster.name_servers()
    }

    /// The ports of name server and broker, if this instance listens.
    pub fn listening(&self) -> Option<(u16, u16)> {
        self.listening
    }

    /// As [`Instance::close_within`] with 30 s.
    ///
    /// # Errors
    /// As [`Instance::close_within`].
    pub fn close(&self) -> Result<()> {
        self.close_within(CLOSE_WITHIN)
    }

    /// Ends everything in order: producers and consumers (offsets are committed, groups left), connections, threads, and
    /// the server in this process, whose store is brought to disk. Afterwards all calls answer
    /// [`ErrorKind::Closed`]. No callback runs any more when it returns. In a callback, such as
    /// a listener, it starts the end and returns at once. Closing again is fine.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when it takes longer than `within`, because a callback does not
    /// return; the rest is done when it does.
    /// [`ErrorKind::NotWritable`] when the store could not be brought to disk.
    pub fn close_within(&self, within: Duration) -> Result<()> {
        self.cluster.end_within(within)
    }

    /// The client behind it, for what has no method here yet.
    #[doc(hidden)]
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Instance({} at {})", self.client_id(), self.name_servers())
    }
}
