//! How far each group has consumed each queue, in `config/consumerOffset.json`. Apache's name: ConsumerOffsetManager.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sync::Mutex;
use crate::wire::body::{ConsumerOffsetSerializeWrapper, DataVersion};
use crate::wire::json;
use crate::Result;

use super::{next_version, StateFile};

/// Stands between topic and group in the keys of the file.
const SEPARATOR: char = '@';

type Queues = BTreeMap<i32, i64>;
type Table = HashMap<String, HashMap<String, Queues>>;

/// Offsets by group, topic and queue. All methods from any thread.
pub(crate) struct ConsumerOffsets {
    /// By group, then topic: a pull commits without making a joined key.
    table: Mutex<Table>,
    /// Queues whose next pull is to be told that the group was moved, and where to.
    resets: Mutex<Table>,
    /// There may be some; a pull looks no further otherwise.
    has_resets: AtomicBool,
    version: Mutex<DataVersion>,
    changed: AtomicBool,
    file: Mutex<StateFile>,
}

impl ConsumerOffsets {
    /// Loads the table.
    pub fn open(root: &Path) -> Result<Self> {
        let file = StateFile::new(root, "consumerOffset.json");
        let saved = file.load::<ConsumerOffsetSerializeWrapper>()?.unwrap_or_default();
        let mut table = Table::new();
        for (key, queues) in saved.offset_table {
            // A group cannot hold the separator, a topic neither; 5.x appends marks of its own to the group.
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            table.entry(group.to_owned()).or_default().insert(topic.to_owned(), queues);
        }
        Ok(ConsumerOffsets {
            table: Mutex::new(table),
            resets: Mutex::default(),
            has_resets: AtomicBool::new(false),
            version: Mutex::new(saved.data_version.unwrap_or_default()),
            changed: AtomicBool::new(false),
            file: Mutex::new(file),
        })
    }

    /// Sets the next offset that `group` wants from a queue. It may go backwards: a reset does.
    pub fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        let mut table = self.table.lock();
        let queues = match table.get_mut(group).and_then(|topics| topics.get_mut(topic)) {
            Some(queues) => queues,
            None => table.entry(group.to_owned()).or_default().entry(topic.to_owned()).or_default(),
        };
        if queues.insert(queue_id, offset) != Some(offset) {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Moves a group in a queue. With `tell` its members learn of it by their next pull, and what they commit until
    /// then does not count: it is progress from before.
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64, tell: bool) {
        if tell {
            let mut resets = self.resets.lock();
            let topics = resets.entry(group.to_owned()).or_default();
            topics.entry(topic.to_owned()).or_default().insert(queue_id, offset);
            self.has_resets.store(true, Ordering::SeqCst);
        }
        self.commit(group, topic, queue_id, offset);
    }

    /// Whether there may be members that have not been told yet that their group was moved.
    pub fn has_resets(&self) -> bool {
        self.has_resets.load(Ordering::SeqCst)
    }

    /// Whether the members have not been told yet that the group was moved.
    pub fn is_reset(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        self.has_resets()
            && self
                .resets
                .lock()
                .get(group)
                .and_then(|topics| topics.get(topic))
                .is_some_and(|queues| queues.contains_key(&queue_id))
    }

    /// Where the group was moved to, for the one pull that is told so.
    pub fn take_reset(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if !self.has_resets() {
            return None;
        }
        let mut resets = self.resets.lock();
        let topics = resets.get_mut(group)?;
        let queues = topics.get_mut(topic)?;
        let offset = queues.remove(&queue_id)?;
        if queues.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            resets.remove(group);
        }
        self.has_resets.store(!resets.is_empty(), Ordering::SeqCst);
        Some(offset)
    }

    /// Where a group is in the queues of a topic.
    pub fn queues_of(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let table = self.table.lock();
        table.get(group).and_then(|topics| topics.get(topic)).cloned().unwrap_or_default()
    }

    /// Moves a group to where another one is in a topic, if that one is anywhere.
    pub fn clone_group(&self, source: &str, target: &str, topic: &str) {
        let queues = self.queues_of(source, topic);
        if !queues.is_empty() {
            let mut table = self.table.lock();
            table.entry(target.to_owned()).or_default().insert(topic.to_owned(), queues);
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// The next offset that `group` wants from a queue, if it ever said so.
    pub fn find(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.table.lock().get(group)?.get(topic)?.get(&queue_id).copied()
    }

    /// Topics of which a group has offsets.
    pub fn topics_of(&self, group: &str) -> Vec<String> {
        let table = self.table.lock();
        table.get(group).map(|topics| topics.keys().cloned().collect()).unwrap_or_default()
    }

    /// Groups that have offsets in a topic.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let table = self.table.lock();
        let mut groups: Vec<_> = table
            .iter()
            .filter(|(_, topics)| topics.contains_key(topic))
            .map(|(group, _)| group.clone())
            .collect();
        groups.sort_unstable();
        groups
    }

    /// Forgets all offsets of a group.
    pub fn remove_group(&self, group: &str) {
        self.resets.lock().remove(group);
        if self.table.lock().remove(group).is_some() {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets all offsets in a topic, so that a new topic of the same name starts anew.
    pub fn remove_topic(&self, topic: &str) {
        self.resets.lock().values_mut().for_each(|topics| {
            topics.remove(topic);
        });
        let mut table = self.table.lock();
        for topics in table.values_mut() {
            if topics.remove(topic).is_some() {
                self.changed.store(true, Ordering::Relaxed);
            }
        }
        table.retain(|_, topics| !topics.is_empty());
    }

    /// The whole table in the form of the file.
    pub fn snapshot(&self) -> ConsumerOffsetSerializeWrapper {
        let table = self.table.lock();
        let mut offsets = BTreeMap::new();
        for (group, topics) in table.iter() {
            for (topic, queues) in topics {
                offsets.insert(format!("{topic}{SEPARATOR}{group}"), queues.clone());
            }
        }
        ConsumerOffsetSerializeWrapper { offset_table: offsets, data_version: Some(*self.version.lock()) }
    }

    /// Saves the table if it changed since the last time.
    pub fn save(&self, now_ms: i64) {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let file = self.file.lock();
        next_version(&mut self.version.lock(), now_ms);
        if file.save(&json::to_old_vec(&self.snapshot())).is_err() {
            self.changed.store(true, Ordering::Relaxed);
        }
    }
}
