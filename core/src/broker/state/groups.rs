//! The subscription groups of a broker, in `config/subscriptionGroup.json`. Apache's name: SubscriptionGroupManager.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::wire::body::{DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper};
use crate::wire::json;
use crate::Result;

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

/// Every group of the broker by name. All methods from any thread.
pub(crate) struct Groups {
    table: RwLock<HashMap<String, Arc<SubscriptionGroupConfig>>>,
    version: Mutex<DataVersion>,
    file: Mutex<StateFile>,
}

impl Groups {
    /// Loads the table and adds the groups that every broker has.
    pub fn open(root: &Path, now_ms: i64) -> Result<Self> {
        let file = StateFile::new(root, "subscriptionGroup.json");
        let saved = file.load::<SubscriptionGroupWrapper>()?.unwrap_or_default();
        let mut version = saved.data_version;
        let mut table: HashMap<_, _> =
            saved.subscription_group_table.into_iter().map(|(name, group)| (name, Arc::new(group))).collect();
        let before = table.len();
        for name in SYSTEM_GROUPS {
            table.entry((*name).to_owned()).or_insert_with(|| Arc::new(new_group(name)));
        }
        if table.len() > before {
            next_version(&mut version, now_ms);
        }
        Ok(Groups { table: RwLock::new(table), version: Mutex::new(version), file: Mutex::new(file) })
    }

    /// The group `name`.
    pub fn find(&self, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        self.table.read().get(name).cloned()
    }

    /// The group `name`, made with the defaults if autoCreateSubscriptionGroup allows it and the name is a good one.
    pub fn find_or_create(&self, broker: &Broker, name: &str) -> Option<Arc<SubscriptionGroupConfig>> {
        if let Some(group) = self.find(name) {
            return Some(group);
        }
        let wanted = broker.config().auto_create_subscription_group || name.starts_with(SYSTEM_GROUP_PREFIX);
        if !wanted || names::check_group(name).is_err() {
            return None;
        }
        Some(self.put(broker, new_group(name)))
    }

    /// Creates a group or replaces its settings.
    pub fn put(&self, broker: &Broker, changed: SubscriptionGroupConfig) -> Arc<SubscriptionGroupConfig> {
        let group = Arc::new(changed);
        self.table.write().insert(group.group_name.clone(), group.clone());
        self.changed(broker);
        group
    }

    /// Forgets a group. Returns whether there was one.
    pub fn remove(&self, broker: &Broker, name: &str) -> bool {
        let removed = self.table.write().remove(name).is_some();
        if removed {
            self.changed(broker);
        }
        removed
    }

    /// All groups with their version.
    pub fn snapshot(&self) -> SubscriptionGroupWrapper {
        let table = self.table.read();
        SubscriptionGroupWrapper {
            subscription_group_table: table
                .iter()
                .map(|(name, group)| (name.clone(), (**group).clone()))
                .collect(),
            data_version: *self.version.lock(),
            ..Default::default()
        }
    }

    fn changed(&self, broker: &Broker) {
        next_version(&mut self.version.lock(), broker.clock.now_ms());
        let file = self.file.lock();
        file.save(&json::to_vec(&self.snapshot()));
    }
}

fn new_group(name: &str) -> SubscriptionGroupConfig {
    SubscriptionGroupConfig { group_name: name.to_owned(), ..SubscriptionGroupConfig::default() }
}
