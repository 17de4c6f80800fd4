//! The client: producers and consumers of a cluster that other processes run.
//!
//! - [`Cluster`]: what all producers and consumers towards one cluster share: connections, routes, heartbeats, and the
//!   threads that keep them up to date.
//! - [`Producer`]: sends, and tries again elsewhere what failed.
//! - [`PushConsumer`] and [`Consumer`]: share the queues of their topics with the other members of their group, pull
//!   ahead, and store how far the group has come. The first calls a listener, the second is asked. At least once: what
//!   was not committed comes again.

pub mod allocate;
mod callbacks;
mod cluster;
mod consumer;
mod heartbeat;
mod name_servers;
mod producer;
mod pushes;
mod route;
mod stored;
mod topics;
mod worker;

pub use crate::config::{ClientOptions, ConsumerOptions, ProducerOptions, StartFrom};
pub use cluster::Cluster;
pub use consumer::{
    Action, ConsumeContext, ConsumeStatus, Consumer, OrderlyContext, OrderlyStatus, Poll, PullStatus, Pulled,
    PushConsumer, Subscription,
};
pub use producer::{
    Choose, CommunicationMode, Producer, Selector, SendFuture, SendOptions, SendStatus, SendTo, Sent,
};
