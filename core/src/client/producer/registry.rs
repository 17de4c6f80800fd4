//! The producers of a client by group.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::request::Requests;
use super::transaction::Checks;
use super::Shared;
use crate::client::cluster::Cluster;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// The producers of a client.
#[derive(Default)]
pub(in crate::client) struct Registry {
    state: Mutex<State>,
    pub(super) requests: Requests,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<String, Vec<Weak<Shared>>>,
    closed: bool,
}

impl Registry {
    /// Enrols a producer and has brokers told of its group.
    pub(super) fn add(&self, producer: &Arc<Shared>) -> Result<()> {
        let cluster = &producer.cluster;
        {
            let mut state = self.state.lock();
            if state.closed {
                return Err(Error::new(ErrorKind::Closed, "make producer", "the client was closed"));
            }
            let group = state.groups.entry(producer.group.clone()).or_default();
            let is_mixed = |other: Arc<Shared>| other.checks.is_some() != producer.checks.is_some();
            if group.iter().filter_map(Weak::upgrade).any(is_mixed) {
                tracing::warn!(
                    "group {} has a producer of transactions and another producer: a broker may ask the one that does \
                     not know how a transaction ended; give each a group of its own",
                    producer.group
                );
            }
            group.push(Arc::downgrade(producer));
        }
        cluster.start_worker()?;
        // Brokers know a group before it sends: they may have questions about its transactions.
        cluster.keep_topic(&producer.options.create_topic_key);
        cluster.signal.introduce();
        Ok(())
    }

    /// Takes a producer out, and tells brokers if it was the last of its group.
    pub(super) fn remove(&self, cluster: &Arc<Cluster>, producer: &Shared) {
        let was_last = {
            let mut state = self.state.lock();
            let Some(group) = state.groups.get_mut(&producer.group) else { return };
            group.retain(|other| !std::ptr::eq(other.as_ptr(), producer));
            let was_last = group.is_empty();
            if was_last {
                state.groups.remove(&producer.group);
            }
            was_last && !state.closed
        };
        if was_last {
            cluster.leave_group(Some(&producer.group), None);
        }
    }

    /// The groups.
    pub fn groups(&self) -> Vec<String> {
        self.state.lock().groups.keys().cloned().collect()
    }

    /// A producer of the group that knows how transactions ended.
    pub(super) fn transactional(&self, group: &str) -> Option<(Arc<Shared>, Arc<Checks>)> {
        let state = self.state.lock();
        let mut producers = state.groups.get(group)?.iter().filter_map(Weak::upgrade);
        producers.find_map(|producer| {
            let checks = producer.checks.clone()?;
            Some((producer, checks))
        })
    }

    /// The producers.
    pub fn all(&self) -> Vec<Arc<Shared>> {
        self.state.lock().groups.values().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Closes all producers, the client being closed; says whether all that was under way has ended at the deadline.
    pub fn close(&self, deadline: Instant) -> bool {
        let groups = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.groups)
        };
        let producers: Vec<Arc<Shared>> = groups.values().flatten().filter_map(Weak::upgrade).collect();
        for producer in &producers {
            producer.close();
            // There is no connection any more.
            producer.room.close();
        }
        producers.iter().filter(|producer| !producer.finish(deadline)).count() == 0
    }
}
