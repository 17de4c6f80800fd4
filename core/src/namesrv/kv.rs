//! The KV table: namespaces of keys and values that administrators set, kept in a file of Apache's form.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::file;
use crate::wire::json;
use crate::Result;

/// Namespace of the queue counts of ordered topics.
pub const ORDER_TOPIC_CONFIG: &str = "ORDER_TOPIC_CONFIG";

/// Namespace, key, value. A namespace stays when its last key went.
#[doc(alias = "KVConfigManager")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvConfig {
    config_table: BTreeMap<String, BTreeMap<String, String>>,
}

impl KvConfig {
    /// Reads the file, or its copy; empty if there is neither.
    ///
    /// # Errors
    /// Naming the file, if something is there that cannot be read: starting empty would lose it.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(file::load_with(path, json::from_slice::<KvConfig>)?.unwrap_or_default())
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::to_vec(self)
    }

    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.config_table.get(namespace)?.get(key).map(String::as_str)
    }

    /// Sets a key.
    pub fn put(&mut self, namespace: &str, key: &str, value: &str) {
        self.config_table.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, namespace: &str, key: &str) {
        if let Some(table) = self.config_table.get_mut(namespace) {
            table.remove(key);
        }
    }

    /// All keys of a namespace; `None` if there is no such namespace.
    pub fn namespace(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.config_table.get(namespace)
    }

    /// Writes everything to the log.
    pub fn log(&self) {
        for (namespace, table) in &self.config_table {
            for (key, value) in table {
                tracing::info!(namespace, key, value, "KV configuration");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apaches_file_is_read_and_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("namesrv/kvConfig.json");
        assert_eq!(KvConfig::load(&path).unwrap(), KvConfig::default());

        let apaches = include_bytes!("../../tests/fixtures/namesrv/kvConfig.json");
        file::save(&path, apaches).unwrap();
        let mut kv = KvConfig::load(&path).unwrap();
        assert!(kv.namespace(ORDER_TOPIC_CONFIG).unwrap().is_empty());
        kv.put(ORDER_TOPIC_CONFIG, "TopicA", "broker-a:4");
        kv.put("NS", "k", "值 \"1\"");
        kv.delete("NS", "other");
        kv.delete("none", "k");
        file::save(&path, &kv.to_bytes()).unwrap();

        let again = KvConfig::load(&path).unwrap();
        assert_eq!(again, kv);
        assert_eq!(again.get("NS", "k"), Some("值 \"1\""));
        assert_eq!(again.get(ORDER_TOPIC_CONFIG, "TopicA"), Some("broker-a:4"));
        assert_eq!(again.get("NS", "other"), None);
    }

    #[test]
    fn a_file_that_cannot_be_read_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kvConfig.json");
        std::fs::write(&path, "{\"configTable\":{\"NS\"").unwrap();
        let error = KvConfig::load(&path).unwrap_err().to_string();
        assert!(error.contains("kvConfig.json"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"configTable\":{\"NS\"", "what was there stays");
    }
}
