//! Apache RocketMQ as a library: a durable message queue in your process, and a client of clusters, FerroMQ's or Apache's.
//!
//! # Embed
//!
//! [`open`] starts name server, broker and client in this process. Messages are kept in the directory, in Apache's store
//! format; no socket is opened and no other process is needed.
//!
//! ```
//! use ferromq::{ConsumeStatus, Message};
//!
//! # fn main() -> ferromq::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let data = directory.path();
//! let mq = ferromq::open(data)?; // a directory such as "./data"
//! mq.create_topic("Orders", 4)?;
//!
//! let producer = mq.producer("shop")?;
//! let sent = producer.send(&Message::new("Orders", "two apples").with_key("order-1")?)?;
//! println!("{sent}"); // SEND_OK msgId=... queueId=0 queueOffset=0
//!
//! # let (seen, arrived) = std::sync::mpsc::channel();
//! let consumer = mq.push_consumer("billing")?;
//! consumer.subscribe("Orders", "*")?;
//! consumer.listen(move |messages, _context| {
//!     for message in messages {
//!         println!("{}: {:?}", message.message_id(), message.body);
//! #       seen.send(()).unwrap();
//!     }
//!     ConsumeStatus::Success
//! })?;
//! consumer.start()?;
//! # producer.send(&Message::new("Orders", "three pears"))?;
//! # arrived.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
//!
//! mq.close()
//! # }
//! ```
//!
//! [`open_with`] has everything settable: in memory instead of a directory, and a listener, so that other processes can
//! join, Apache's clients too.
//!
//! ```
//! use ferromq::{Listen, OpenOptions};
//!
//! # fn main() -> ferromq::Result<()> {
//! let mq = ferromq::open_with(OpenOptions {
//!     listen: Some(Listen::on_free_ports()), // Listen::default() has Apache's ports 9876 and 10911
//!     ..OpenOptions::memory()
//! })?;
//! let (name_server, _broker) = mq.listening().unwrap();
//! println!("export NAMESRV_ADDR=127.0.0.1:{name_server}");
//! # mq.close()
//! # }
//! ```
//!
//! # Connect
//!
//! [`connect`] makes a client of a cluster that runs elsewhere. All that follows is the same for both.
//!
//! ```no_run
//! # fn main() -> ferromq::Result<()> {
//! let mq = ferromq::connect("10.0.0.1:9876;10.0.0.2:9876")?;
//! let same = ferromq::connect("oms:rocketmq://10.0.0.1:9876,10.0.0.2:9876/")?;
//! let from_environment = ferromq::connect("")?; // NAMESRV_ADDR
//! # Ok(())
//! # }
//! ```
//!
//! An [`Instance`] is one client: its producers and consumers share connections, routes and threads. Make one a process
//! and keep it.
//!
//! # Produce
//!
//! A [`Producer`] may be shared by threads. [`Producer::send`] waits until the message is stored, trying again on other
//! brokers; the others do not wait.
//!
//! ```no_run
//! use ferromq::{Message, SendOptions};
//! use std::time::Duration;
//!
//! # async fn example(mq: ferromq::Instance) -> ferromq::Result<()> {
//! let producer = mq.producer("shop")?;
//! let message = Message::new("Orders", "one melon").with_tag("fruit")?.with_key("order-2")?;
//!
//! let sent = producer.send_with(&message, &SendOptions::default().with_timeout(Duration::from_secs(1)))?;
//! let sent = producer.send_async(&message).await?; // a plain future: any executor
//! producer.send_callback(&message, &SendOptions::default(), |result| match result {
//!     Ok(sent) => println!("{sent}"),
//!     Err(error) => eprintln!("not stored: {error}"),
//! });
//! producer.send_oneway(&message)?; // at most once, nobody hears of a failure
//!
//! // Many small ones together: all are stored, or none.
//! let batch: Vec<Message> = (0..100).map(|n| Message::new("Orders", n.to_string())).collect();
//! producer.send_batch(&batch)?;
//! // In ten seconds: delay level 3 of the broker's table.
//! producer.send(&message.clone().with_delay_level(3)?)?;
//! # Ok(())
//! # }
//! ```
//!
//! What fills a queue of this very process ([`open`]) as fast as can be takes an [`Appender`], and a [`Reader`] reads it in
//! place: a fraction of the work of a send, with the same promises.
//!
//! ```
//! # fn main() -> ferromq::Result<()> {
//! # let mq = ferromq::open_with(ferromq::OpenOptions::memory())?;
//! # mq.create_topic("Ticks", 1)?;
//! let mut ticks = mq.appender("Ticks", 0)?; // queue 0
//! ticks.append(b"100.25")?;
//! let mut reader = mq.reader("Ticks", 0, 0)?; // from its beginning
//! while let Some(tick) = reader.read()? {
//!     println!("{}: {:?}", tick.offset(), tick.body());
//! }
//! # mq.close()
//! # }
//! ```
//!
//! # Consume
//!
//! Consumers with the same group share the messages; each group gets all of them. A [`PushConsumer`] calls a listener,
//! several at a time. What a listener answers [`ConsumeStatus::Later`] for, or panics over, comes again: after 10 s, 30 s,
//! 1 min and so on, up to 16 times, and is a dead letter then.
//!
//! ```no_run
//! use ferromq::{Action, ConsumerOptions, StartFrom};
//!
//! # fn work(_: &ferromq::StoredMessage) -> Result<(), String> { Ok(()) }
//! # fn example(mq: ferromq::Instance) -> ferromq::Result<()> {
//! let consumer = mq.push_consumer_with(ConsumerOptions {
//!     consume_from_where: StartFrom::First, // of a group that is new; otherwise what is sent from now on
//!     consume_thread_min: 8,
//!     ..ConsumerOptions::new("billing")
//! })?;
//! consumer.subscribe("Orders", "fruit || vegetables")?;
//! consumer.listen_one(|message, _| match work(message) {
//!     Ok(()) => Action::Commit,
//!     Err(_) => Action::Later,
//! })?;
//! consumer.start()?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Consumer`] is asked instead, at the program's own pace.
//!
//! ```
//! use std::time::Duration;
//! # use ferromq::{Message, OpenOptions};
//!
//! # fn main() -> ferromq::Result<()> {
//! # let mq = ferromq::open_with(OpenOptions::memory())?;
//! # mq.create_topic("Orders", 4)?;
//! let consumer = mq.consumer("reports")?;
//! consumer.subscribe("Orders", "*")?;
//! # consumer.start()?;
//! # mq.producer("shop")?.send(&Message::new("Orders", "one pear"))?;
//! loop {
//!     let messages = consumer.poll(Duration::from_secs(5))?;
//!     for message in &messages {
//!         println!("{}/{}: {:?}", message.queue_id, message.queue_offset, message.body);
//!     }
//!     consumer.commit(); // what was polled so far is done; with autoCommit the next poll says so as well
//! #   if !messages.is_empty() { break; }
//! }
//! # mq.close()
//! # }
//! ```
//!
//! # In order
//!
//! Messages with one sharding key go to one queue; an ordered listener consumes each queue by one call at a time, and waits
//! with the rest of the queue while one fails.
//!
//! ```no_run
//! use ferromq::{Message, OrderlyStatus, SendOptions};
//!
//! # fn example(mq: ferromq::Instance) -> ferromq::Result<()> {
//! let producer = mq.producer("shop")?;
//! for step in ["created", "paid", "sent"] {
//!     producer.send_with(&Message::new("Steps", step), &SendOptions::default().with_sharding_key("order-1"))?;
//! }
//! let consumer = mq.push_consumer("tracking")?;
//! consumer.subscribe("Steps", "*")?;
//! consumer.listen_orderly(|messages, _| OrderlyStatus::Success)?;
//! consumer.start()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Transactions
//!
//! A message together with something else that is done, or not at all. The broker holds the message back until it hears
//! how the local transaction ended, and asks any producer of the group if it does not: `transactionTimeOut` and
//! `transactionCheckInterval` say when, `transactionCheckMax` how often. A transaction may be asked about more than once, and
//! its message consumed more than once: both are to come to the same end each time.
//!
//! ```no_run
//! use ferromq::{Message, ProducerOptions, StoredMessage, TransactionListener, TransactionState};
//!
//! struct Shop;
//!
//! impl TransactionListener for Shop {
//!     fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState {
//!         // Write the order and the id to the database.
//!         TransactionState::Commit
//!     }
//!     fn check(&self, message: &StoredMessage) -> TransactionState {
//!         // Look the id, message.message_id(), up in the database.
//!         TransactionState::Rollback
//!     }
//! }
//!
//! # fn example(mq: ferromq::Instance) -> ferromq::Result<()> {
//! let producer = mq.transaction_producer(ProducerOptions::new("shop-transactions"), Shop)?;
//! producer.send(&Message::new("Orders", "two apples"))?;
//! # Ok(())
//! # }
//! ```
//!
//! # Operate
//!
//! [`Instance::admin`] makes, lists and deletes topics and groups, tells how far groups have come and who is in them, moves
//! them elsewhere, and tells how the brokers are; [`admin::to_json`] writes its answers as JSON.
//!
//! ```
//! # use ferromq::OpenOptions;
//! use ferromq::admin::{to_json, StartAt};
//!
//! # fn main() -> ferromq::Result<()> {
//! # let mq = ferromq::open_with(OpenOptions::memory())?;
//! # mq.create_topic("Orders", 4)?;
//! # mq.consumer("billing").and_then(|c| { c.subscribe("Orders", "*")?; c.start() })?;
//! let admin = mq.admin();
//! println!("{:?}: {}", admin.topics()?, to_json(&admin.topic("Orders")?));
//! println!("billing lags by {}", admin.progress("billing")?.lag);
//! admin.reset_offsets("billing", "Orders", StartAt::Begin)?;
//! # mq.close()
//! # }
//! ```
//!
//! # What goes wrong
//!
//! Every call that can fail returns an [`Error`]: [`Error::kind`] to branch on, [`Error::is_retriable`] tells whether the same call may succeed when
//! repeated, and the text names the thing, the value and the way out. Delivery is at least once, sending as well as
//! consuming: a message may come twice, so let it carry a key of the business by which its work is recognised as done.
//! `docs/client.md` says what exactly is promised, and lists all settings.
//!
//! # Threads and the end
//!
//! Everything is `Send + Sync`. Calls block only where they say so, on any thread, also one of an async runtime. Callbacks and
//! listeners run on threads of the client, never on those that move bytes, and may call everything here, also `close`.
//! [`Instance::close`] ends all producers and consumers, commits what they did, and brings the store to disk; no callback
//! runs after it. A dropped instance closes too, but cannot say what failed. The library writes to its user through the
//! crate `tracing` only.
//!
//! # The house
//!
//! The rooms of the house, and who may know whom, are in ARCHITECTURE.md. The rooms are public for the workspace's own
//! command line, tests and benchmarks only and carry no promise of stability; what is promised is re-exported here.

#[doc(hidden)]
pub mod broker;
#[doc(hidden)]
pub mod client;
pub mod clock;
#[doc(hidden)]
pub mod config;
mod error;
pub mod filter;
pub mod instance;
#[doc(hidden)]
pub mod message;
#[doc(hidden)]
pub mod namesrv;
#[doc(hidden)]
pub mod net;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod store;
mod sync;
#[doc(hidden)]
pub mod wire;

pub use broker::{GivenUp, Undecided};
pub use client::admin::{self, Admin};
pub use client::allocate::{OwnStrategy, Rooms, Strategy};
pub use client::trace;
pub use client::{
    Action, Choose, CommunicationMode, ConsumeContext, ConsumeStatus, Consumer, OrderlyContext,
    OrderlyStatus, Poll, Producer, PullStatus, Pulled, PushConsumer, RequestFuture, Selector, SendFuture,
    SendOptions, SendStatus, SendTo, Sent, Subscription, TransactionListener, TransactionProducer,
    TransactionSent, TransactionState,
};
pub use config::{
    AllocationStrategy, BrokerConfig, ClientOptions, CompressionType, ConsumerOptions, MessageModel,
    NamesrvConfig, ProducerOptions, SerializeType, StartFrom, Timestamp,
};
pub use error::{Error, ErrorKind, FailedSend, Result};
#[doc(inline)]
pub use instance::{
    connect, connect_with, open, open_with, Appender, Instance, Listen, MessageView, OpenOptions, Place,
    Reader,
};
pub use message::property::{self};
pub use message::{Message, Name, OffsetId, Properties, StoredMessage};
pub use wire::body::MessageQueue;
