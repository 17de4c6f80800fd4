//! The topics of a broker, in `config/topics.json`. Apache's name: TopicConfigManager.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::config::BrokerConfig;
use crate::message::sys_flag;
use crate::sync::{Condvar, Mutex, RwLock};
use crate::wire::body::{DataVersion, TopicConfig, TopicConfigSerializeWrapper};
use crate::wire::{json, ResponseCode, SendMessage};
use crate::Result;

use super::super::handler::{refuse, Refusal};
use super::super::stats::Counter;
use super::super::{names, permission, Broker};
use super::{next_version, StateFile};

/// A topic: its settings, to which it dereferences, and what the broker knows of it besides.
pub(crate) struct Topic {
    config: TopicConfig,
    /// What was stored in it.
    pub puts: Arc<Counter>,
    /// The file has it. Before that no message of it may be acknowledged: after a crash nobody would know the topic.
    saved: AtomicBool,
}

impl Deref for Topic {
    type Target = TopicConfig;

    fn deref(&self) -> &TopicConfig {
        &self.config
    }
}

impl Topic {
    fn new(config: TopicConfig, saved: bool, now_ms: i64) -> Arc<Topic> {
        let puts = Arc::new(Counter::new(now_ms));
        Arc::new(Topic { config, puts, saved: AtomicBool::new(saved) })
    }

    /// The same topic with other settings.
    fn with(&self, config: TopicConfig) -> Arc<Topic> {
        let saved = AtomicBool::new(self.saved.load(Ordering::Relaxed));
        Arc::new(Topic { config, puts: self.puts.clone(), saved })
    }

    /// Its settings.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// Whether a crash would not make the broker forget it.
    pub fn is_saved(&self) -> bool {
        self.saved.load(Ordering::Relaxed)
    }
}

/// Every topic of the broker by name. All methods from any thread.
pub(crate) struct Topics {
    table: RwLock<HashMap<String, Arc<Topic>>>,
    version: Mutex<DataVersion>,
    /// Topics whose queues are being removed: nobody makes them anew before that is done.
    doomed: Mutex<HashSet<String>>,
    spared: Condvar,
    /// The file is older than the table.
    changed: AtomicBool,
    /// Held while the file is written, so that an older state never replaces a newer one.
    file: Mutex<StateFile>,
}

/// Ends the doom of a topic when it is dropped.
struct Doomed<'a> {
    topics: &'a Topics,
    name: &'a str,
}

impl Drop for Doomed<'_> {
    fn drop(&mut self) {
        self.topics.doomed.lock().remove(self.name);
        self.topics.spared.notify_all();
    }
}

impl Topics {
    /// Loads the table and adds the topics that every broker has.
    pub fn open(root: &Path, config: &BrokerConfig, now_ms: i64) -> Result<Self> {
        let file = StateFile::new(root, "topics.json");
        let saved = file.load::<TopicConfigSerializeWrapper>()?;
        let is_new = saved.is_none();
        let saved = saved.unwrap_or_default();
        let mut version = saved.data_version;
        let mut table: HashMap<_, _> = saved
            .topic_config_table
            .into_iter()
            .map(|(name, topic)| (name, Topic::new(topic, true, now_ms)))
            .collect();
        let mut added = is_new;
        for topic in system_topics(config) {
            table.entry(topic.topic_name.clone()).or_insert_with(|| {
                added = true;
                Topic::new(topic, false, now_ms)
            });
        }
        if added {
            next_version(&mut version, now_ms);
        }
        let topics = Topics {
            table: RwLock::new(table),
            version: Mutex::new(version),
            doomed: Mutex::default(),
            spared: Condvar::new(),
            changed: AtomicBool::new(added),
            file: Mutex::new(file),
        };
        topics.save()?;
        Ok(topics)
    }

    /// The topic `name`.
    pub fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.table.read().get(name).cloned()
    }

    /// Runs `look` with the topic, if it is there; until that ends, it is not removed.
    pub fn with<R>(&self, name: &str, look: impl FnOnce(&Arc<Topic>) -> R) -> Option<R> {
        self.table.read().get(name).map(look)
    }

    /// All topics with their version, as they are registered and saved.
    pub fn snapshot(&self) -> TopicConfigSerializeWrapper {
        let table = self.table.read();
        let topics: BTreeMap<_, _> =
            table.iter().map(|(name, topic)| (name.clone(), topic.config.clone())).collect();
        TopicConfigSerializeWrapper {
            topic_config_table: topics,
            data_version: *self.version.lock(),
            ..Default::default()
        }
    }

    /// Messages were stored in a topic by one call.
    pub fn count_put(&self, name: &str, messages: usize, bytes: usize) {
        if let Some(topic) = self.table.read().get(name) {
            topic.puts.add(messages, bytes);
        }
    }

    /// Notes what was counted. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        let topics: Vec<_> = self.table.read().values().cloned().collect();
        topics.iter().for_each(|topic| topic.puts.sample(now_ms));
    }

    /// The version of the table.
    pub fn version(&self) -> DataVersion {
        *self.version.lock()
    }

    /// Raises the version as a change would.
    pub fn count_change(&self, now_ms: i64) {
        next_version(&mut self.version.lock(), now_ms);
    }

    /// The topic of a send to one that is not there, made from the template the client names, if that allows it.
    pub fn create_for_send(&self, broker: &Broker, request: &SendMessage<'_>) -> Result<Arc<Topic>, Refusal> {
        if let Some(group) = request.topic.strip_prefix(names::RETRY_PREFIX) {
            return Ok(self.retry(broker, group, 1, request.unit_mode));
        }
        let made = self.made_from_template(broker, request);
        made.and_then(|topic| self.create(broker, topic, false)).ok_or_else(|| {
            let topic = &request.topic;
            let remark = format!(
                "topic[{topic}] not exist, apply first please! (create it, or set autoCreateTopicEnable=true)"
            );
            refuse(ResponseCode::TOPIC_NOT_EXIST, remark)
        })
    }

    fn made_from_template(&self, broker: &Broker, request: &SendMessage<'_>) -> Option<TopicConfig> {
        let template = self.find(&request.default_topic)?;
        let perm = match template.topic_name == names::AUTO_CREATE_TOPIC {
            // The template outlives the setting in topics.json, so the setting has the last word.
            true if !broker.config().auto_create_topic_enable => template.perm & !permission::INHERIT,
            _ => template.perm,
        };
        if !permission::inheritable(perm) {
            return None;
        }
        let queues = request.default_topic_queue_nums.min(template.write_queue_nums).max(1);
        tracing::info!(topic = %request.topic, queues, "topic created by a send");
        let topic_sys_flag = if request.unit_mode { sys_flag::topic::UNIT } else { 0 };
        Some(TopicConfig { topic_sys_flag, ..topic(&request.topic, queues, perm & !permission::INHERIT) })
    }

    /// The retry topic of a group, made when missing.
    pub fn retry(&self, broker: &Broker, group: &str, queues: i32, unit_mode: bool) -> Arc<Topic> {
        let name = format!("{}{group}", names::RETRY_PREFIX);
        let flags = if unit_mode { sys_flag::topic::UNIT_SUB } else { 0 };
        self.find_or_create(broker, name, queues.max(1), permission::READ | permission::WRITE, flags)
    }

    /// The dead-letter topic of a group, made when missing.
    pub fn dead_letters(&self, broker: &Broker, group: &str) -> Arc<Topic> {
        let name = format!("{}{group}", names::DEAD_LETTER_PREFIX);
        self.find_or_create(broker, name, 1, broker.config().dead_letter_topic_perm, 0)
    }

    /// A topic that the broker itself writes to, made when missing.
    pub fn system(&self, broker: &Broker, name: &str) -> Arc<Topic> {
        let perm = permission::READ | permission::WRITE;
        self.find(name).unwrap_or_else(|| self.find_or_create(broker, name.to_owned(), 1, perm, 0))
    }

    fn find_or_create(
        &self,
        broker: &Broker,
        name: String,
        queues: i32,
        perm: i32,
        flags: i32,
    ) -> Arc<Topic> {
        self.find(&name).unwrap_or_else(|| {
            let made = topic(&name, queues, perm);
            let made = TopicConfig { topic_sys_flag: flags, ..made };
            self.create(broker, made, true).expect("only topics of users are refused")
        })
    }

    /// Makes a topic unless it is there. While its queues are being removed, one `of_the_system` is waited for, which has
    /// few, and another one is not made.
    fn create(&self, broker: &Broker, made: TopicConfig, of_the_system: bool) -> Option<Arc<Topic>> {
        let name = made.topic_name.clone();
        forget_older_namesake(broker, &name);
        let topic = loop {
            let mut table = self.table.write();
            // Another thread may have made it since we looked.
            if let Some(there) = table.get(&name) {
                return Some(there.clone());
            }
            let mut doomed = self.doomed.lock();
            if doomed.contains(&name) {
                drop(table);
                if !of_the_system {
                    return None;
                }
                self.spared.wait(&mut doomed);
                continue;
            }
            let topic = Topic::new(made, false, broker.clock.now_ms());
            table.insert(name, topic.clone());
            next_version(&mut self.version.lock(), broker.clock.now_ms());
            break topic;
        };
        self.note_change(broker);
        broker.registration.topic_changed(broker, &topic);
        Some(topic)
    }

    /// Runs `remove`, which removes the queues of a topic; until it ends nobody makes the topic anew, whose first
    /// messages would go with the queues.
    pub fn while_doomed<R>(&self, name: &str, remove: impl FnOnce() -> R) -> R {
        self.doomed.lock().insert(name.to_owned());
        let _doomed = Doomed { topics: self, name };
        remove()
    }

    /// Creates a topic or replaces its settings.
    pub fn put(&self, broker: &Broker, changed: TopicConfig) {
        if self.find(&changed.topic_name).is_none() {
            forget_older_namesake(broker, &changed.topic_name);
        }
        let topic = {
            let mut table = self.table.write();
            let topic = match table.get(&changed.topic_name) {
                Some(there) => there.with(changed),
                None => Topic::new(changed, false, broker.clock.now_ms()),
            };
            table.insert(topic.topic_name.clone(), topic.clone());
            topic
        };
        next_version(&mut self.version.lock(), broker.clock.now_ms());
        self.note_change(broker);
        broker.registration.topic_changed(broker, &topic);
    }

    /// Forgets a topic. Returns whether there was one.
    pub fn remove(&self, broker: &Broker, name: &str) -> bool {
        let removed = self.table.write().remove(name).is_some();
        if removed {
            next_version(&mut self.version.lock(), broker.clock.now_ms());
            self.note_change(broker);
            broker.registration.table_changed(broker);
        }
        removed
    }

    /// Takes over the `order` marks that name servers keep for topics (ORDER_TOPIC_CONFIG).
    pub fn mark_ordered(&self, ordered: &dyn Fn(&str) -> bool) {
        let mut table = self.table.write();
        for topic in table.values_mut() {
            let order = ordered(&topic.topic_name);
            if order && !topic.order {
                *topic = topic.with(TopicConfig { order: true, ..topic.config.clone() });
            }
        }
    }

    fn note_change(&self, broker: &Broker) {
        broker.note_change();
        self.changed.store(true, Ordering::Release);
        broker.saving.save(broker);
    }

    /// Brings the table to its file, if it changed. May wait for the disk.
    pub fn save(&self) -> Result<()> {
        let file = self.file.lock();
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let unsaved: Vec<_> = self.table.read().values().filter(|topic| !topic.is_saved()).cloned().collect();
        if let Err(error) = file.save(&json::to_vec(&self.snapshot())) {
            self.changed.store(true, Ordering::Release);
            return Err(error);
        }
        self.mark_saved(&unsaved);
        Ok(())
    }

    /// The file has these topics now. Settings may have been replaced meanwhile, which does not unmake a topic.
    fn mark_saved(&self, topics: &[Arc<Topic>]) {
        let table = self.table.read();
        for topic in topics {
            topic.saved.store(true, Ordering::Relaxed);
            let now = table.get(&topic.topic_name).filter(|now| Arc::ptr_eq(&now.puts, &topic.puts));
            if let Some(now) = now {
                now.saved.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// A topic that is made has no progress: offsets that are there were left by one that was deleted (by a crash before its
/// offsets were saved, or a commit that came late). As long as there are queues they may be true.
fn forget_older_namesake(broker: &Broker, name: &str) {
    if broker.store.queue_ids(name).is_empty() {
        broker.offsets.remove_topic(name);
    }
}

fn topic(name: &str, queues: i32, perm: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.to_owned(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        ..TopicConfig::default()
    }
}

/// The topics that a broker makes for itself at its start. Reference: protocol.md 13.
pub(crate) fn system_topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    use permission::{INHERIT, READ, WRITE};
    let all = READ | WRITE | INHERIT;
    let own = |enabled: bool| if enabled { all } else { READ | WRITE };
    let levels = config.message_delay_level.ms().len() as i32;
    let mut topics = vec![
        topic("SELF_TEST_TOPIC", 1, READ | WRITE),
        topic("BenchmarkTest", 1024, READ | WRITE),
        topic(&config.broker_cluster_name, 16, own(config.cluster_topic_enable)),
        topic(&config.broker_name, 1, own(config.broker_topic_enable)),
        topic("OFFSET_MOVED_EVENT", 1, READ | WRITE),
        topic(names::SCHEDULE_TOPIC, levels.max(18), READ | WRITE),
        topic(&format!("{}_REPLY_TOPIC", config.broker_cluster_name), 1, READ | WRITE),
    ];
    if config.auto_create_topic_enable {
        topics.push(topic(names::AUTO_CREATE_TOPIC, config.default_topic_queue_nums, all));
    }
    if config.trace_topic_enable {
        topics.push(topic(&config.msg_trace_topic_name, 1, READ | WRITE));
    }
    topics
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    /// Otherwise dead letters that are stored meanwhile would go with the old queues.
    #[test]
    fn a_topic_of_the_system_is_made_when_its_older_namesake_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            broker_ip1: "127.0.0.1".into(),
            store_path_root_dir: dir.path().join("data"),
            mapped_file_size_commit_log: 1 << 20,
            max_hash_slot_num: 1000,
            max_index_num: 4000,
            ..BrokerConfig::default()
        };
        let broker = Broker::open(config, Clock::new()).unwrap();
        let topics = &broker.topics;
        topics.dead_letters(&broker, "G");
        std::thread::scope(|scope| {
            let made = topics.while_doomed("%DLQ%G", || {
                assert!(topics.remove(&broker, "%DLQ%G"));
                let made = scope.spawn(|| topics.dead_letters(&broker, "G"));
                std::thread::sleep(Duration::from_millis(50));
                assert!(topics.find("%DLQ%G").is_none());
                made
            });
            assert_eq!(made.join().unwrap().topic_name, "%DLQ%G");
        });
    }
}
