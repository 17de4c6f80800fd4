//! What programs and operators ask of a cluster besides sending and consuming: topics and groups, made, looked at and
//! deleted; how far groups have come, and where they are to go on; the brokers and how they are.
//!
//! [`Instance::admin`](crate::Instance::admin) gives an [`Admin`]. Its answers are plain structs, and [`to_json`] writes
//! each as JSON with the same names in camel case, which is what the bindings hand out.

mod brokers;
mod groups;
mod lookup;
mod offsets;
mod topics;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::Serialize;

pub use brokers::{BrokerState, ClusterState};
pub use groups::{GroupProgress, Member, Members, QueueProgress, Subscribed};
pub use offsets::{MovedQueue, StartAt};
pub use topics::{QueueFigures, TopicFigures, TopicOnBroker, TopicSettings};

use super::cluster::Cluster;
use crate::net::Reply;
use crate::wire::json;
use crate::{Error, ErrorKind, Result};

/// Operators' calls to a cluster, by a client of it. Cheap to clone.
///
/// Each asks the brokers that it concerns and waits for their answers, `mqClientApiTimeout` each at most. Where the client
/// has a namespace, names are those without it, and only what lies in it is listed.
#[derive(Clone)]
#[doc(alias = "DefaultMQAdminExt")]
#[doc(alias = "MQAdminExt")]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Admin {
        Admin { cluster: cluster.clone() }
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Admin({} at {})", self.cluster.client_id(), self.cluster.name_servers())
    }
}

/// An answer of [`Admin`] as JSON, with names in camel case and times in ms since 1970.
pub fn to_json<T: Serialize + ?Sized>(answer: &T) -> String {
    // The answers have text keys and nothing that does not write.
    serde_json::to_string(answer).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
}

/// The body of an answer.
fn body<T: DeserializeOwned>(operation: &'static str, reply: &Reply) -> Result<T> {
    json::from_slice(&reply.body())
        .map_err(|error| Error::new(ErrorKind::Corrupt, operation, error.to_string()))
}
