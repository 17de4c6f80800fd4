//! FerroMQ: Apache RocketMQ as a library. Broker, name server and client in one process or many, on Apache's wire
//! and in Apache's store files.
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
#[doc(hidden)]
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
#[doc(hidden)]
pub mod wire;

pub use client::allocate::{OwnStrategy, Rooms, Strategy};
pub use client::{
    Action, Choose, CommunicationMode, ConsumeContext, ConsumeStatus, Consumer, OrderlyContext,
    OrderlyStatus, Poll, Producer, PullStatus, Pulled, PushConsumer, Selector, SendFuture, SendOptions,
    SendStatus, SendTo, Sent, Subscription, TransactionListener, TransactionProducer, TransactionSent,
    TransactionState,
};
pub use config::{
    AllocationStrategy, BrokerConfig, ClientOptions, CompressionType, ConsumerOptions, MessageModel,
    NamesrvConfig, ProducerOptions, SerializeType, StartFrom, Timestamp,
};
pub use error::{Error, ErrorKind, FailedSend, Result};
pub use instance::{connect, connect_with, open, open_with, Instance, Listen, OpenOptions, Place};
pub use message::{property, Message, OffsetId, Properties, StoredMessage};
pub use wire::body::MessageQueue;
