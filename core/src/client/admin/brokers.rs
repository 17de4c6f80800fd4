//! The brokers of a cluster, and how they are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{body, Admin};
use crate::client::cluster::{succeeded, Cluster};
use crate::clock::deadline_in;
use crate::wire::body::{BackupMade, ClusterInfo, KvTable};
use crate::wire::{FerromqBackup, Request};
use crate::{Error, ErrorKind, Result};

/// The name servers and brokers that a client knows of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterState {
    /// Addresses of the name servers.
    pub name_servers: Vec<String>,
    /// The brokers, by cluster, name and id.
    pub brokers: Vec<BrokerState>,
}

/// A broker and how it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerState {
    /// Its cluster.
    pub cluster: String,
    /// Name of its set.
    pub broker_name: String,
    /// 0 for the master of the set.
    pub broker_id: i64,
    /// Where it is reached.
    pub address: String,
    /// Its version, as it says; empty if it did not answer.
    pub version: String,
    /// What it tells about itself, by Apache's names (`putTps`, `commitLogMaxOffset`, `bootTimestamp` ...); empty if it
    /// did not answer.
    pub runtime: BTreeMap<String, String>,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Admin {
    /// The name servers and brokers with their addresses, versions and figures. A broker that does not answer is among
    /// them, with the reason.
    ///
    /// # Errors
    /// When no name server answers.
    #[doc(alias = "examineBrokerClusterInfo")]
    #[doc(alias = "fetchBrokerRuntimeStats")]
    pub fn cluster(&self) -> Result<ClusterState> {
        let info = self.cluster.cluster_info()?;
        let mut brokers = Vec::new();
        for (name, set) in &info.broker_addr_table {
            for (id, address) in &set.broker_addrs {
                let mut state = self.broker_state(address);
                state.cluster.clone_from(&set.cluster);
                state.broker_name.clone_from(name);
                state.broker_id = *id;
                brokers.push(state);
            }
        }
        brokers.sort_by(|one, other| one.cluster.cmp(&other.cluster));
        let name_servers = self.cluster.name_servers().split(';').map(String::from).collect();
        Ok(ClusterState { name_servers, brokers })
    }

    /// Has every master, or the broker at `address` alone, make a copy of its directory while it goes on: below its
    /// `backupPath`, under `name`. With `copy` all files are copied; else those that never change again are linked where
    /// that is possible. FerroMQ's brokers only. Each gets `mqClientApiTimeout` for it, so set that high enough. Returns
    /// addresses with what was made there.
    ///
    /// # Errors
    /// With the first broker that does not do it, and why; copies that were made by then stay.
    pub fn backup(&self, name: &str, address: Option<&str>, copy: bool) -> Result<Vec<(String, BackupMade)>> {
        const OPERATION: &str = "back up broker";
        let addresses = address.map_or_else(|| self.cluster.masters(), |one| Ok(vec![one.to_owned()]))?;
        let request = Request::FerromqBackup(FerromqBackup { name: name.into(), copy });
        let made = addresses.into_iter().map(|address| {
            let reply = self.cluster.call(&address, OPERATION, &request)?;
            Ok((address, body::<BackupMade>(OPERATION, &reply)?))
        });
        made.collect()
    }

    fn broker_state(&self, address: &str) -> BrokerState {
        const OPERATION: &str = "look at broker";
        let asked = self.cluster.call(address, OPERATION, &Request::GetBrokerRuntimeInfo);
        let mut state = BrokerState { address: address.to_owned(), ..BrokerState::default() };
        match asked.and_then(|reply| body::<KvTable>(OPERATION, &reply)) {
            Ok(told) => {
                state.version = told.table.get("brokerVersionDesc").cloned().unwrap_or_default();
                state.runtime = told.table;
            }
            Err(error) => state.error = Some(error.to_string()),
        }
        state
    }
}

impl Cluster {
    /// All brokers, as a name server knows them.
    pub(super) fn cluster_info(&self) -> Result<ClusterInfo> {
        const OPERATION: &str = "find brokers";
        self.check_process()?;
        let limit = self.options().mq_client_api_timeout;
        let reply =
            self.name_servers.ask(self.net(), &Request::GetBrokerClusterInfo, limit, deadline_in(limit))?;
        body(OPERATION, &succeeded(OPERATION, reply)?)
    }

    /// The addresses of all masters.
    ///
    /// Errors: also when there is none, as every answer would be empty then.
    pub(super) fn masters(&self) -> Result<Vec<String>> {
        let info = self.cluster_info()?;
        let sets = info.broker_addr_table.values();
        let masters: Vec<String> = sets.filter_map(|set| set.broker_addrs.get(&0)).cloned().collect();
        if masters.is_empty() {
            let context = format!("no broker is registered at {} at present", self.name_servers());
            return Err(Error::new(ErrorKind::NotFound, "find brokers", context));
        }
        Ok(masters)
    }
}
