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

type Table<V> = HashMap<String, HashMap<String, BTreeMap<i32, V>>>;

/// For how long after a pull was told that its group was moved commits of other offsets are taken for progress from
/// before: clients of 4.9 store that for another 10 s, and go on from the new offset only then.
const DOUBTFUL_MS: i64 = 30_000;

/// A queue in which a group was moved, until its members go on from there.
struct Moved {
    to: i64,
    /// When a pull was told so.
    told_ms: Option<i64>,
}

#[derive(Default)]
struct State {
    offsets: Table<i64>,
    moved: Table<Moved>,
}

impl State {
    fn set(&mut self, group: &str, topic: &str, queue_id: i32, offset: i64) -> Option<i64> {
        // A pull commits without making a key.
        let queues = match self.offsets.get_mut(group).and_then(|topics| topics.get_mut(topic)) {
            Some(queues) => queues,
            None => self.offsets.entry(group.to_owned()).or_default().entry(topic.to_owned()).or_default(),
        };
        queues.insert(queue_id, offset)
    }

    fn moved(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<&mut Moved> {
        self.moved.get_mut(group)?.get_mut(topic)?.get_mut(&queue_id)
    }

    fn went_on(&mut self, group: &str, topic: &str, queue_id: i32) {
        if let Some(queues) = self.moved.get_mut(group).and_then(|topics| topics.get_mut(topic)) {
            queues.remove(&queue_id);
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        self.moved.retain(|_, topics| {
            topics.retain(|_, queues| !queues.is_empty());
            !topics.is_empty()
        });
    }
}

/// Offsets by group, topic and queue. All methods from any thread.
pub(crate) struct ConsumerOffsets {
    state: Mutex<State>,
    /// Groups were moved, and have not all gone on from there; a pull looks no further otherwise.
    has_moved: AtomicBool,
    version: Mutex<DataVersion>,
    changed: AtomicBool,
    /// Held while the file is written, so that an older state never replaces a newer one.
    file: Mutex<StateFile>,
}

impl ConsumerOffsets {
    /// Loads the table.
    pub fn open(root: &Path) -> Result<Self> {
        let file = StateFile::new(root, "consumerOffset.json");
        let saved = file.load::<ConsumerOffsetSerializeWrapper>()?.unwrap_or_default();
        let mut offsets = Table::new();
        for (key, queues) in saved.offset_table {
            // A group cannot hold the separator, a topic neither; 5.x appends marks of its own to the group.
            let Some((topic, group)) = key.split_once(SEPARATOR) else { continue };
            offsets.entry(group.to_owned()).or_default().insert(topic.to_owned(), queues);
        }
        Ok(ConsumerOffsets {
            state: Mutex::new(State { offsets, moved: Table::new() }),
            has_moved: AtomicBool::new(false),
            version: Mutex::new(saved.data_version.unwrap_or_default()),
            changed: AtomicBool::new(false),
            file: Mutex::new(file),
        })
    }

    /// Sets the next offset that `group` wants from a queue, whatever it was before.
    pub fn set(&self, group: &str, topic: &str, queue_id: i32, offset: i64) {
        self.change(|state| state.set(group, topic, queue_id, offset) != Some(offset));
    }

    /// Sets it as a client says. Returns whether that counts: progress from before the group was moved does not.
    pub fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: i64, now_ms: i64) -> bool {
        let mut counts = true;
        self.change(|state| {
            if let Some(moved) = state.moved(group, topic, queue_id) {
                let sure =
                    moved.told_ms.is_some_and(|told| moved.to == offset || now_ms - told > DOUBTFUL_MS);
                if !sure {
                    counts = false;
                    return false;
                }
                state.went_on(group, topic, queue_id);
            }
            state.set(group, topic, queue_id, offset) != Some(offset)
        });
        counts
    }

    /// Moves a group in a queue. With `tell` its members learn of it by their next pull.
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64, tell: bool) {
        self.change(|state| {
            if !tell {
                state.went_on(group, topic, queue_id);
            } else {
                let topics = state.moved.entry(group.to_owned()).or_default();
                let moved = Moved { to: offset, told_ms: None };
                topics.entry(topic.to_owned()).or_default().insert(queue_id, moved);
            }
            state.set(group, topic, queue_id, offset) != Some(offset)
        });
    }

    /// Changes the state; whether the file has to follow is what `change` says.
    fn change(&self, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if change(&mut state) {
            self.changed.store(true, Ordering::Relaxed);
        }
        self.has_moved.store(!state.moved.is_empty(), Ordering::SeqCst);
    }

    /// Whether there may be members that have not gone on from where their group was moved to.
    pub fn has_moved(&self) -> bool {
        self.has_moved.load(Ordering::SeqCst)
    }

    /// Whether the next pull is to be told that the group was moved.
    pub fn is_to_tell(&self, group: &str, topic: &str, queue_id: i32) -> bool {
        let is_untold = |moved: &mut Moved| moved.told_ms.is_none();
        self.has_moved() && self.state.lock().moved(group, topic, queue_id).is_some_and(is_untold)
    }

    /// Where the group was moved to, for the one pull that is told so. A later one from there has gone on.
    pub fn tell(&self, group: &str, topic: &str, queue_id: i32, from: i64, now_ms: i64) -> Option<i64> {
        if !self.has_moved() {
            return None;
        }
        let mut told = None;
        self.change(|state| {
            match state.moved(group, topic, queue_id) {
                Some(moved) if moved.told_ms.is_none() => {
                    moved.told_ms = Some(now_ms);
                    told = Some(moved.to);
                }
                Some(moved) if moved.to == from => state.went_on(group, topic, queue_id),
                _ => {}
            }
            false
        });
        told
    }

    /// Nobody of a group is left to be told anything: who comes next asks where to begin.
    pub fn nobody_to_tell(&self, group: &str) {
        if self.has_moved() {
            self.change(|state| {
                state.moved.remove(group);
                false
            });
        }
    }

    /// Where a group is in the queues of a topic.
    pub fn queues_of(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let state = self.state.lock();
        state.offsets.get(group).and_then(|topics| topics.get(topic)).cloned().unwrap_or_default()
    }

    /// Moves a group to where another one is in a topic, if that one is anywhere.
    pub fn clone_group(&self, source: &str, target: &str, topic: &str) {
        let queues = self.queues_of(source, topic);
        if !queues.is_empty() {
            self.change(|state| {
                state.moved.get_mut(target).and_then(|topics| topics.remove(topic));
                state.tidy();
                state.offsets.entry(target.to_owned()).or_default().insert(topic.to_owned(), queues);
                true
            });
        }
    }

    /// The next offset that `group` wants from a queue, if it ever said so.
    pub fn find(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.state.lock().offsets.get(group)?.get(topic)?.get(&queue_id).copied()
    }

    /// Topics of which a group has offsets.
    pub fn topics_of(&self, group: &str) -> Vec<String> {
        let state = self.state.lock();
        state.offsets.get(group).map(|topics| topics.keys().cloned().collect()).unwrap_or_default()
    }

    /// Groups that have offsets in a topic.
    pub fn groups_of(&self, topic: &str) -> Vec<String> {
        let state = self.state.lock();
        let mut groups: Vec<_> = state
            .offsets
            .iter()
            .filter(|(_, topics)| topics.contains_key(topic))
            .map(|(group, _)| group.clone())
            .collect();
        groups.sort_unstable();
        groups
    }

    /// Forgets all offsets of a group.
    pub fn remove_group(&self, group: &str) {
        self.change(|state| {
            state.moved.remove(group);
            state.offsets.remove(group).is_some()
        });
    }

    /// Forgets all offsets in a topic, so that a new topic of the same name starts anew.
    pub fn remove_topic(&self, topic: &str) {
        self.change(|state| {
            state.moved.values_mut().for_each(|topics| drop(topics.remove(topic)));
            state.tidy();
            let there = state.offsets.values_mut().filter_map(|topics| topics.remove(topic)).count();
            state.offsets.retain(|_, topics| !topics.is_empty());
            there > 0
        });
    }

    /// The whole table in the form of the file.
    pub fn snapshot(&self) -> ConsumerOffsetSerializeWrapper {
        let state = self.state.lock();
        let mut offsets = BTreeMap::new();
        for (group, topics) in &state.offsets {
            for (topic, queues) in topics {
                offsets.insert(format!("{topic}{SEPARATOR}{group}"), queues.clone());
            }
        }
        ConsumerOffsetSerializeWrapper { offset_table: offsets, data_version: Some(*self.version.lock()) }
    }

    /// Saves the table if it changed since the last time. What changed before this call is on the disk then.
    pub fn save(&self, now_ms: i64) -> Result<()> {
        let file = self.file.lock();
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        next_version(&mut self.version.lock(), now_ms);
        file.save(&json::to_old_vec(&self.snapshot()))
            .inspect_err(|_| self.changed.store(true, Ordering::Relaxed))
    }
}
