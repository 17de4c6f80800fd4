//! The producers of a client by group.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Shared;
use crate::client::cluster::Cluster;
use crate::{Error, ErrorKind, Result};

/// The producers of a client.
#[derive(Default)]
pub(in crate::client) struct Registry {
    state: Mutex<State>,
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
            state.groups.entry(producer.group.clone()).or_default().push(Arc::downgrade(producer));
        }
        cluster.start_worker()?;
        // Brokers know a group before it sends: they may have questions about its transactions.
        cluster.keep_topic(&producer.options.create_topic_key);
        cluster.signal.introduce();
        Ok(())
    }

    /// Takes a producer out, and tells brokers if it was the last of its group.
    pub(super) fn remove(&self, cluster: &Cluster, producer: &Shared) {
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

    /// Closes all producers: the client is being closed.
    pub fn close(&self) {
        let groups = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.groups)
        };
        for producer in groups.values().flatten().filter_map(Weak::upgrade) {
            producer.close();
        }
    }
}
