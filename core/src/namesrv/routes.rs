//! Who serves what: the tables that registrations fill and routes are read from. Plain data and plain functions; time
//! and connections come in as numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::wire::body::{
    BrokerData, BrokerMemberGroup, ClusterInfo, DataVersion, QueueData, TopicConfig, TopicList,
    TopicRouteData,
};

/// Milliseconds without registration or heartbeat after which a broker is gone, unless it asked for something else.
pub const BROKER_TIMEOUT_MS: i64 = 120_000;

/// Permission bits of a queue.
const READ: i32 = 4;
const WRITE: i32 = 2;

/// Flags of a topic.
const UNIT: i32 = 1;
const UNIT_SUBSCRIPTION: i32 = 2;

/// The id that makes a broker the master of its name.
const MASTER: i64 = 0;

/// The tables of one name server.
#[doc(alias = "RouteInfoManager")]
#[derive(Default)]
pub struct Routes {
    /// Topic, then broker name.
    topics: BTreeMap<String, BTreeMap<String, Queues>>,
    /// Master and slaves by their common name.
    groups: BTreeMap<String, Group>,
    /// Cluster to the names of its brokers.
    clusters: BTreeMap<String, BTreeSet<String>>,
    /// The single processes, by cluster and address.
    live: HashMap<(String, String), Live>,
}

/// What one broker name serves of one topic.
#[derive(Clone, Copy)]
struct Queues {
    read: i32,
    write: i32,
    perm: i32,
    flags: i32,
}

#[derive(Default)]
struct Group {
    cluster: String,
    addresses: BTreeMap<i64, String>,
    acting_master: bool,
}

struct Live {
    last_heard_ms: i64,
    timeout_ms: i64,
    version: DataVersion,
    connection: u64,
    ha_address: String,
    filter_servers: Vec<String>,
}

/// What a broker says about itself when it registers.
pub struct Registration<'a> {
    /// Cluster that the broker belongs to.
    pub cluster: &'a str,
    /// Name shared by a master and its slaves.
    pub name: &'a str,
    /// 0 for the master.
    pub id: i64,
    /// Address that clients are told.
    pub address: &'a str,
    /// Address that slaves are told.
    pub ha_address: &'a str,
    /// Time without heartbeat after which it counts as gone; [`BROKER_TIMEOUT_MS`] if it does not say (4.9).
    pub timeout_ms: Option<i64>,
    /// Whether its lowest slave may act for a dead master (5.x); shown to clients only.
    pub acting_master: bool,
    /// Version of its topic table.
    pub version: DataVersion,
    /// Its topics: all, or those of one batch, or the one that changed.
    pub topics: &'a [TopicConfig],
    /// Its filter servers (removed in 5.x).
    pub filter_servers: Vec<String>,
    /// The connection that it came over.
    pub connection: u64,
}

/// The master that a registering slave is told of.
#[derive(Debug, PartialEq, Eq)]
pub struct Master {
    /// Address for clients, and for copying tables.
    pub address: String,
    /// Address to copy messages from.
    pub ha_address: String,
}

impl Routes {
    /// Takes a registration in. Topics are merged, never removed; only a master's count, and of those that are known
    /// already only if the broker's version changed. `Ok(Some)` tells a slave its master.
    ///
    /// # Errors
    /// With a reason, if another live process holds this id and its state is newer (5.x controllers count states).
    pub fn register(&mut self, broker: Registration<'_>, now_ms: i64) -> Result<Option<Master>, String> {
        let key = (broker.cluster.to_owned(), broker.address.to_owned());
        if let Some(refusal) = self.outdated(&broker) {
            self.live.remove(&key);
            return Err(refusal);
        }
        self.leave_other_names(&key, broker.name);
        let first = self.join_group(&broker);
        let changed = self.live.get(&key).is_none_or(|live| live.version != broker.version);
        if broker.id == MASTER {
            self.merge_topics(&broker, first || changed);
        }
        let timeout_ms = broker.timeout_ms.filter(|timeout| *timeout > 0).unwrap_or(BROKER_TIMEOUT_MS);
        let live = Live {
            last_heard_ms: now_ms,
            timeout_ms,
            version: broker.version,
            connection: broker.connection,
            ha_address: broker.ha_address.to_owned(),
            filter_servers: broker.filter_servers,
        };
        if self.live.insert(key, live).is_none() {
            tracing::info!(name = broker.name, id = broker.id, address = broker.address, "broker registered");
        }
        Ok(if broker.id == MASTER { None } else { self.master_of(broker.name) })
    }

    /// A process that was restarted under another name may register before its old connection is seen to close.
    fn leave_other_names(&mut self, key: &(String, String), name: &str) {
        let others: Vec<String> =
            self.names_at(key).filter(|other| *other != name).map(str::to_owned).collect();
        for other in others {
            self.leave_group(&other, &key.1);
        }
    }

    fn outdated(&self, broker: &Registration<'_>) -> Option<String> {
        let present = self.groups.get(broker.name)?.addresses.get(&broker.id)?;
        if present == broker.address {
            return None;
        }
        let newest = self.live.get(&(broker.cluster.to_owned(), present.clone()))?.version.state_version;
        (newest > broker.version.state_version).then(|| {
            format!(
                "broker {} id {} is registered at {present} with state {newest}, newer than {} of {}",
                broker.name, broker.id, broker.version.state_version, broker.address
            )
        })
    }

    /// Puts the broker under its name and cluster; whether it was not there under this id before.
    fn join_group(&mut self, broker: &Registration<'_>) -> bool {
        self.clusters.entry(broker.cluster.to_owned()).or_default().insert(broker.name.to_owned());
        let group = self.groups.entry(broker.name.to_owned()).or_default();
        if group.cluster != broker.cluster {
            let left = std::mem::replace(&mut group.cluster, broker.cluster.to_owned());
            leave_cluster(&mut self.clusters, &left, broker.name);
        }
        group.acting_master = broker.acting_master;
        // A slave that became the master comes with the address it had.
        group.addresses.retain(|id, address| *id == broker.id || address != broker.address);
        match group.addresses.insert(broker.id, broker.address.to_owned()) {
            None => true,
            Some(before) => {
                if before != broker.address {
                    let (name, id, address) = (broker.name, broker.id, broker.address);
                    tracing::warn!(
                        name,
                        id,
                        address,
                        before,
                        "another address registered under this name and id"
                    );
                }
                false
            }
        }
    }

    fn merge_topics(&mut self, broker: &Registration<'_>, changed: bool) {
        for topic in broker.topics {
            let queues = Queues {
                read: topic.read_queue_nums,
                write: topic.write_queue_nums,
                perm: topic.perm,
                flags: topic.topic_sys_flag,
            };
            let known = match self.topics.get_mut(&topic.topic_name) {
                Some(known) => known,
                None => self.topics.entry(topic.topic_name.clone()).or_default(),
            };
            // One that is missing is taken in any case: a batch comes with the version of the batch before.
            if changed || !known.contains_key(broker.name) {
                known.insert(broker.name.to_owned(), queues);
            }
        }
    }

    fn master_of(&self, name: &str) -> Option<Master> {
        let group = self.groups.get(name)?;
        let address = group.addresses.get(&MASTER)?;
        let live = self.live.get(&(group.cluster.clone(), address.clone()))?;
        Some(Master { address: address.clone(), ha_address: live.ha_address.clone() })
    }

    /// A broker says that it leaves.
    pub fn unregister(&mut self, cluster: &str, name: &str, address: &str) {
        self.live.remove(&(cluster.to_owned(), address.to_owned()));
        self.leave_group(name, address);
    }

    /// A broker says that it is alive; nothing if it is not registered.
    pub fn heard_of(&mut self, cluster: &str, address: &str, now_ms: i64) {
        if let Some(live) = self.live.get_mut(&(cluster.to_owned(), address.to_owned())) {
            live.last_heard_ms = now_ms;
        }
    }

    /// Version of the topic table that the broker registered with.
    pub fn version(&self, cluster: &str, address: &str) -> Option<&DataVersion> {
        self.live.get(&(cluster.to_owned(), address.to_owned())).map(|live| &live.version)
    }

    /// A connection closed: whoever registered over it last is gone.
    pub fn connection_closed(&mut self, connection: u64) {
        self.remove_live(|live| live.connection == connection, "its connection closed");
    }

    /// Removes the brokers that were not heard of for their time; their connections are returned.
    pub fn expire(&mut self, now_ms: i64) -> Vec<u64> {
        self.remove_live(|live| now_ms - live.last_heard_ms > live.timeout_ms, "no heartbeat in time")
    }

    fn remove_live(&mut self, gone: impl Fn(&Live) -> bool, why: &str) -> Vec<u64> {
        let gone: Vec<(String, String)> =
            self.live.iter().filter(|(_, live)| gone(live)).map(|(key, _)| key.clone()).collect();
        let mut connections = Vec::new();
        for key in gone {
            let names: Vec<String> = self.names_at(&key).map(str::to_owned).collect();
            connections.extend(self.live.remove(&key).map(|live| live.connection));
            for name in names {
                tracing::warn!(name, address = key.1, why, "broker is gone");
                self.leave_group(&name, &key.1);
            }
        }
        connections
    }

    /// The broker names that a process (cluster, address) stands under; it is one.
    fn names_at<'a>(&'a self, (cluster, address): &'a (String, String)) -> impl Iterator<Item = &'a str> {
        let here =
            move |group: &Group| group.cluster == *cluster && group.addresses.values().any(|a| a == address);
        self.groups.iter().filter(move |(_, group)| here(group)).map(|(name, _)| name.as_str())
    }

    /// Takes an address from under a name; with the last one the name goes, and with it its queues of all topics.
    fn leave_group(&mut self, name: &str, address: &str) {
        let Some(group) = self.groups.get_mut(name) else { return };
        group.addresses.retain(|_, present| present != address);
        if group.addresses.is_empty() {
            let cluster = std::mem::take(&mut group.cluster);
            self.groups.remove(name);
            leave_cluster(&mut self.clusters, &cluster, name);
            self.topics.retain(|_, brokers| {
                brokers.remove(name);
                !brokers.is_empty()
            });
        }
    }

    /// Number of broker processes that are registered.
    pub fn broker_count(&self) -> usize {
        self.live.len()
    }

    /// Where a topic is: `None` if no broker serves it.
    pub fn route(&self, topic: &str) -> Option<TopicRouteData> {
        let brokers = self.topics.get(topic)?;
        let mut route = TopicRouteData::default();
        for (name, queues) in brokers {
            let Some(group) = self.groups.get(name) else { continue };
            route.queue_datas.push(QueueData {
                broker_name: name.clone(),
                read_queue_nums: queues.read,
                write_queue_nums: queues.write,
                perm: queues.perm,
                topic_sys_flag: queues.flags,
            });
            for address in group.addresses.values() {
                let live = self.live.get(&(group.cluster.clone(), address.clone()));
                if let Some(live) = live.filter(|live| !live.filter_servers.is_empty()) {
                    route.filter_server_table.insert(address.clone(), live.filter_servers.clone());
                }
            }
            route.broker_datas.push(group.data(name));
        }
        (!route.broker_datas.is_empty()).then_some(route)
    }

    /// All clusters and brokers.
    pub fn cluster_info(&self) -> ClusterInfo {
        let mut info = ClusterInfo::default();
        for (name, group) in &self.groups {
            info.broker_addr_table.insert(name.clone(), group.data(name));
        }
        for (cluster, names) in &self.clusters {
            info.cluster_addr_table.insert(cluster.clone(), names.iter().cloned().collect());
        }
        info
    }

    /// Master and slaves of one name; empty if it is unknown.
    pub fn members(&self, cluster: &str, name: &str) -> BrokerMemberGroup {
        let addresses = self.groups.get(name).map(|group| group.addresses.clone()).unwrap_or_default();
        BrokerMemberGroup {
            cluster: cluster.to_owned(),
            broker_name: name.to_owned(),
            broker_addrs: addresses,
        }
    }

    /// Takes the right to write from all queues of a broker until its next changed registration; how many topics.
    pub fn wipe_write(&mut self, name: &str) -> i32 {
        self.change_permissions(name, |perm| perm & !WRITE)
    }

    /// Gives all queues of a broker the right to read and write; how many topics.
    pub fn add_write(&mut self, name: &str) -> i32 {
        self.change_permissions(name, |_| READ | WRITE)
    }

    fn change_permissions(&mut self, name: &str, change: impl Fn(i32) -> i32) -> i32 {
        let mut count = 0;
        for queues in self.topics.values_mut().filter_map(|brokers| brokers.get_mut(name)) {
            queues.perm = change(queues.perm);
            count += 1;
        }
        count
    }

    /// Removes a topic: from the brokers of one cluster, or from all.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(brokers) = self.topics.get_mut(topic) else { return };
        match cluster {
            None => brokers.clear(),
            Some(cluster) => {
                let of_cluster = self.clusters.get(cluster);
                brokers.retain(|name, _| of_cluster.is_none_or(|names| !names.contains(name)));
            }
        }
        if brokers.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// All topics.
    pub fn topics(&self) -> TopicList {
        self.topics_where(|_| true)
    }

    /// The topics that brokers of a cluster serve.
    pub fn topics_of_cluster(&self, cluster: &str) -> TopicList {
        let Some(names) = self.clusters.get(cluster) else { return TopicList::default() };
        self.topics_where(|brokers| brokers.keys().any(|name| names.contains(name)))
    }

    /// The topics named like clusters and brokers, and the address of some broker.
    pub fn system_topics(&self) -> TopicList {
        let mut list = TopicList::default();
        for (cluster, names) in &self.clusters {
            list.topic_list.extend(std::iter::once(cluster).chain(names).cloned());
        }
        list.broker_addr = self.groups.values().flat_map(|group| group.addresses.values()).next().cloned();
        list
    }

    /// The topics of units.
    pub fn unit_topics(&self) -> TopicList {
        self.topics_flagged(|flags| flags & UNIT != 0)
    }

    /// The topics that units subscribe to; with `outside`, those of them that belong to no unit.
    pub fn unit_subscribed_topics(&self, outside: bool) -> TopicList {
        self.topics_flagged(|flags| flags & UNIT_SUBSCRIPTION != 0 && !(outside && flags & UNIT != 0))
    }

    fn topics_flagged(&self, wanted: impl Fn(i32) -> bool) -> TopicList {
        self.topics_where(|brokers| brokers.values().next().is_some_and(|queues| wanted(queues.flags)))
    }

    fn topics_where(&self, wanted: impl Fn(&BTreeMap<String, Queues>) -> bool) -> TopicList {
        let names = self.topics.iter().filter(|(_, brokers)| wanted(brokers)).map(|(topic, _)| topic.clone());
        TopicList { topic_list: names.collect(), ..TopicList::default() }
    }
}

impl Group {
    fn data(&self, name: &str) -> BrokerData {
        BrokerData {
            cluster: self.cluster.clone(),
            broker_name: name.to_owned(),
            broker_addrs: self.addresses.clone(),
            enable_acting_master: self.acting_master,
            ..BrokerData::default()
        }
    }
}

fn leave_cluster(clusters: &mut BTreeMap<String, BTreeSet<String>>, cluster: &str, name: &str) {
    if let Some(names) = clusters.get_mut(cluster) {
        names.remove(name);
        if names.is_empty() {
            clusters.remove(cluster);
        }
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
