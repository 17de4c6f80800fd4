//! The subscription groups of a broker, in `config/subscriptionGroup.json`. Apache's name: SubscriptionGroupManager.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::sync::{Mutex, RwLock};
use crate::wire::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};
use crate::wire::json;
use crate::Result;

use super::super::stats::Consumption;
use super::super::{names, Broker};
use super::{next_version, StateFile};

/// Groups that exist without anybody making them. Reference: protocol.md 13.
const SYSTEM_GROUPS: &[&str] = &[
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
];
/// Prefix of the groups of the system itself.
const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";

/// Topics of a group whose figures are kept at most.
const COUNTED_TOPICS: usize = 10_000;

/// What a group did, by topic.
type Consumed = RwLock<HashMap<String, Arc<Consumption>>>;

/// A group: its settings, to which it dereferences, and what it did.
pub(crate) struct Group {
    config: SubscriptionGroupConfig,
    consumed: Arc<Consumed>,
}

impl Deref for Group {
    type Target = SubscriptionGroupConfig;

    fn deref(&self) -> &SubscriptionGroupConfig {
        &self.config
    }
}

impl Group {
    fn new(config: SubscriptionGroupConfig) -> Arc<Group> {
        Arc::new(Group { config, consumed: Arc::default() })
    }

    /// Its settings.
    pub fn config(&self) -> &SubscriptionGroupConfig {
        &self.config
    }

    /// What it did in a topic, if it did anything.
    pub fn consumed(&self, topic: &str) -> Option<Arc<Consumption>> {
        self.consumed.read().get(topic).cloned()
    }

    /// Where to count what it does in a topic. Of a topic more than there is room for nobody will ask.
    pub fn consuming(&self, topic: &str, now_ms: i64) -> Arc<Consumption> {
        if let Some(there) = self.consumed(topic) {
            return there;
        }
        let mut consumed = self.consumed.write();
        if consumed.len() >= COUNTED_TOPICS && !consumed.contains_key(topic) {
            return Arc::new(Consumption::new(now_ms));
        }
        consumed.entry(topic.to_owned()).or_insert_with(|| Arc::new(Consumption::new(now_ms))).clone()
    }
}

/// Every group of the broker by name. All methods from any thread.
pub(crate) struct Groups {
    table: RwLock<HashMap<String, Arc<Group>>>,
    version: Mutex<DataVersion>,
    /// Which groups may not use which topics, of brokers of 5.x: kept for them.
    forbidden: Mutex<BTreeMap<String, BTreeMap<String, i32>>>,
    /// The file is older than the table.
    changed: AtomicBool,
    file: Mutex<StateFile>,
}

impl Groups {
    /// Loads the table and adds the groups that every broker has.
    pub fn open(root: &Path, now_ms: i64) -> Result<Self> {
        let file = StateFile::new(root, "subscriptionGroup.json");
        let saved = file.load::<SubscriptionGroupWrapper>()?.unwrap_or_default();
        let mut version = saved.data_version;
        let mut table: HashMap<_, _> = saved
            .subscription_group_table
            .into_iter()
            .map(|(name, group)| (name, Group::new(group)))
            .collect();
        let before = table.len();
        for name in SYSTEM_GROUPS {
            table.entry((*name).to_owned()).or_insert_with(|| Group::new(new_group(name)));
        }
        if table.len() > before {
            next_version(&mut version, now_ms);
        }
        Ok(Groups {
            table: RwLock::new(table),
            version: Mutex::new(version),
            forbidden: Mutex::new(saved.forbidden_table),
            changed: AtomicBool::new(false),
            file: Mutex::new(file),
        })
    }

    /// The group `name`.
    pub fn find(&self, name: &str) -> Option<Arc<Group>> {
        self.table.read().get(name).cloned()
    }

    /// The group `name`, made with the defaults if autoCreateSubscriptionGroup allows it and the name is a good one.
    pub fn find_or_create(&self, broker: &Broker, name: &str) -> Option<Arc<Group>> {
        if let Some(group) = self.find(name) {
            return Some(group);
        }
        let wanted = broker.config().auto_create_subscription_group || name.starts_with(SYSTEM_GROUP_PREFIX);
        if !wanted || names::check_group(name).is_err() {
            return None;
        }
        // Somebody may have made it meanwhile, with settings of their own.
        let made = match self.table.write().entry(name.to_owned()) {
            Entry::Occupied(there) => return Some(there.get().clone()),
            Entry::Vacant(place) => place.insert(Group::new(new_group(name))).clone(),
        };
        self.note_change(broker);
        Some(made)
    }

    /// Creates a group or replaces its settings.
    pub fn put(&self, broker: &Broker, changed: SubscriptionGroupConfig) -> Arc<Group> {
        let group = {
            let mut table = self.table.write();
            let group = match table.get(&changed.group_name) {
                Some(there) => Arc::new(Group { config: changed, consumed: there.consumed.clone() }),
                None => Group::new(changed),
            };
            table.insert(group.group_name.clone(), group.clone());
            group
        };
        self.note_change(broker);
        group
    }

    /// Forgets a group. Returns whether there was one.
    pub fn remove(&self, broker: &Broker, name: &str) -> bool {
        let removed = self.table.write().remove(name).is_some();
        if removed {
            self.forbidden.lock().remove(name);
            self.note_change(broker);
        }
        removed
    }

    /// All groups with their version.
    pub fn snapshot(&self) -> SubscriptionGroupWrapper {
        let table = self.table.read();
        SubscriptionGroupWrapper {
            subscription_group_table: table
                .iter()
                .map(|(name, group)| (name.clone(), group.config.clone()))
                .collect(),
            forbidden_table: self.forbidden.lock().clone(),
            data_version: *self.version.lock(),
        }
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.table.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Notes what was counted. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        let groups: Vec<_> = self.table.read().values().cloned().collect();
        for group in groups {
            group.consumed.read().values().for_each(|topic| topic.sample(now_ms));
        }
    }

    /// Forgets what groups did in a topic.
    pub fn forget_topic(&self, topic: &str) {
        let groups: Vec<_> = self.table.read().values().cloned().collect();
        for group in groups {
            group.consumed.write().remove(topic);
        }
    }

    fn note_change(&self, broker: &Broker) {
        next_version(&mut self.version.lock(), broker.clock.now_ms());
        self.changed.store(true, Ordering::Release);
        broker.saving.save(broker);
    }

    /// Brings the table to its file, if it changed. May wait for the disk.
    pub fn save(&self) -> Result<()> {
        let file = self.file.lock();
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        file.save(&json::to_vec(&self.snapshot()))
            .inspect_err(|_| self.changed.store(true, Ordering::Release))
    }
}

fn new_group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::clock::Clock;
    use crate::config::BrokerConfig;

    #[test]
    fn what_an_operator_makes_is_not_replaced_by_what_a_client_makes_at_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig { store_path_root_dir: dir.path().into(), ..BrokerConfig::default() };
        let broker = Broker::open(config, Clock::new()).unwrap();
        let names: Vec<_> = (0..100).map(|n| format!("G{n}")).collect();
        let together = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for name in &names {
                    together.wait();
                    broker.groups.find_or_create(&broker, name);
                }
            });
            for name in &names {
                together.wait();
                broker.groups.put(&broker, SubscriptionGroupConfig { retry_max_times: 3, ..new_group(name) });
            }
        });
        let lost = names.iter().filter(|name| broker.groups.find(name).unwrap().retry_max_times != 3).count();
        assert_eq!(lost, 0);
        broker.close().unwrap();
    }
}
