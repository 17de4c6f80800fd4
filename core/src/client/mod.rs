//! The client: producers and consumers of a cluster that other processes run.
//!
//! - [`Cluster`]: what all producers and consumers towards one cluster share: connections, routes, heartbeats, and the
//!   threads that keep them up to date.
//! - [`Producer`]: sends, and tries again elsewhere what failed.
//! - [`PushConsumer`] and [`Consumer`]: share the queues of their topics with the other members of their group, pull
//!   ahead, and store how far the group has come. The first calls a listener, the second is asked. At least once: what
//!   was not committed comes again.

mod access_point;
pub mod admin;
pub mod allocate;
mod callbacks;
mod client_id;
mod closing;
mod cluster;
mod consumer;
mod group;
mod heartbeat;
mod local_offsets;
mod name_servers;
mod namespace;
mod producer;
mod pushes;
mod route;
mod stored;
mod topics;
pub mod trace;
mod tracer;
mod worker;

pub use crate::config::{ClientOptions, ConsumerOptions, ProducerOptions, StartFrom};
pub use admin::Admin;
pub(crate) use closing::Home;
pub use cluster::Cluster;
pub use consumer::{
    Action, ConsumeContext, ConsumeStatus, Consumer, OrderlyContext, OrderlyStatus, Poll, PullStatus, Pulled,
    PushConsumer, Subscription,
};
pub use producer::{
    Choose, CommunicationMode, Producer, RequestFuture, Selector, SendFuture, SendOptions, SendStatus,
    SendTo, Sent, TransactionListener, TransactionProducer, TransactionSent, TransactionState,
};
pub(crate) use stored::unpack;
