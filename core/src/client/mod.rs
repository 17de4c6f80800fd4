//! The client: producers and consumers of a cluster that other processes run.
//!
//! - [`Cluster`]: what all producers and consumers towards one cluster share: connections, routes, heartbeats, and the
//!   one thread that keeps them up to date.
//! - [`Producer`]: sends, and tries again elsewhere what failed.
//! - [`Consumer`]: shares the queues of its topics with the other members of its group, pulls ahead, and stores how far
//!   the group has come. At least once: what was not committed comes again.

pub mod allocate;
mod cluster;
mod consumer;
mod heartbeat;
mod name_servers;
mod offsets;
mod producer;
mod pull;
mod pushes;
mod rebalance;
mod route;
mod stored;
mod subscription;
mod worker;

pub use crate::config::{ClientOptions, ConsumerOptions, ProducerOptions, StartFrom};
pub use cluster::Cluster;
pub use consumer::Consumer;
pub use producer::{Producer, SendOptions, SendStatus, Sent};
pub use subscription::Subscription;
