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
/// Connections remembered of one move. One that is forgotten is told once more.
const MOST_TOLD: usize = 64;

/// A queue in which a group was moved, until its members go on from there.
struct Moved {
    to: i64,
    /// Connections whose pulls were told so. Each is: the first may be that of a member which has just lost the queue.
    told: Vec<u64>,
    /// Connections that asked where to begin since then, and were answered `to`.
    asked: Vec<u64>,
    /// When the last one was told; or when the last one left who could have been.
    since_ms: Option<i64>,
    /// Who has stored `to`, and goes on there.
    going_on: Option<u64>,
}

impl Moved {
    fn to(to: i64) -> Moved {
        Moved { to, told: Vec::new(), asked: Vec::new(), since_ms: None, going_on: None }
    }

    fn tell(&mut self, connection: u64, now_ms: i64) -> i64 {
        remember(&mut self.told, connection);
        self.since_ms = Some(now_ms);
        self.to
    }

    /// Whether this connection knows where the group was moved to.
    fn knows(&self, connection: u64) -> bool {
        self.told.contains(&connection) || self.asked.contains(&connection)
    }

    fn is_past_doubt(&self, now_ms: i64) -> bool {
        self.since_ms.is_some_and(|since| now_ms - since > DOUBTFUL_MS)
    }
}

/// Adds a connection to those that are remembered, in the place of the oldest one if there are many.
fn remember(connections: &mut Vec<u64>, connection: u64) {
    if connections.contains(&connection) {
        return;
    }
    if connections.len() == MOST_TOLD {
        connections.remove(0);
    }
    connections.push(connection);
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

    fn move_to(&mut self, group: &str, topic: &str, queue_id: i32, to: i64) {
        let topics = self.moved.entry(group.to_owned()).or_default();
        topics.entry(topic.to_owned()).or_default().insert(queue_id, Moved::to(to));
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

/// A queue as one group sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueOf<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub queue_id: i32,
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

    /// Sets it as a client says on a connection. Returns whether that counts: progress from before the group was moved does
    /// not.
    pub fn commit(&self, at: QueueOf<'_>, offset: i64, connection: u64, now_ms: i64) -> bool {
        let QueueOf { group, topic, queue_id } = at;
        let mut counts = true;
        self.change(|state| {
            match state.moved(group, topic, queue_id) {
                // Members that lose the queue store this too, and nothing after it.
                Some(moved) if moved.to == offset => moved.going_on = Some(connection),
                Some(moved) if moved.going_on == Some(connection) || moved.is_past_doubt(now_ms) => {
                    state.went_on(group, topic, queue_id);
                }
                Some(_) => {
                    counts = false;
                    return false;
                }
                None => {}
            }
            state.set(group, topic, queue_id, offset) != Some(offset)
        });
        counts
    }

    /// Moves a group in a queue. With `tell` its members learn of it by their next pulls.
    pub fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: i64, tell: bool) {
        self.change(|state| {
            match tell {
                true => state.move_to(group, topic, queue_id, offset),
                false => state.went_on(group, topic, queue_id),
            }
            state.set(group, topic, queue_id, offset) != Some(offset)
        });
    }

    /// A topic is deleted: forgets all offsets in it, and has these groups, which are consuming it, told to begin at 0 in
    /// so many queues of the next topic of this name.
    pub fn begin_anew(&self, topic: &str, groups: &[String], queues: i32) {
        self.remove_topic(topic);
        self.change(|state| {
            for group in groups {
                (0..queues).for_each(|queue_id| state.move_to(group, topic, queue_id, 0));
            }
            false
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

    /// Whether the next pull of this connection is to be told that the group was moved.
    pub fn is_to_tell(&self, at: QueueOf<'_>, connection: u64) -> bool {
        let is_untold = |moved: &mut Moved| !moved.told.contains(&connection);
        self.has_moved() && self.state.lock().moved(at.group, at.topic, at.queue_id).is_some_and(is_untold)
    }

    /// Where the group was moved to, for the first pull of each connection, wherever that pulls: a member that waits at the
    /// very offset may be at work on messages before it, and would store those. Who knows and pulls there has gone on.
    pub fn tell(&self, at: QueueOf<'_>, from: i64, connection: u64, now_ms: i64) -> Option<i64> {
        if !self.has_moved() {
            return None;
        }
        let QueueOf { group, topic, queue_id } = at;
        let mut told = None;
        self.change(|state| {
            match state.moved(group, topic, queue_id) {
                Some(moved) if moved.to == from && moved.knows(connection) => {
                    state.went_on(group, topic, queue_id);
                }
                Some(moved) if !moved.told.contains(&connection) => {
                    told = Some(moved.tell(connection, now_ms));
                }
                _ => {}
            }
            false
        });
        told
    }

    /// A connection is about to hear where its group is in a queue: if the group was moved, it need not be told that.
    pub fn note_asked(&self, at: QueueOf<'_>, connection: u64) {
        if self.has_moved() {
            if let Some(moved) = self.state.lock().moved(at.group, at.topic, at.queue_id) {
                remember(&mut moved.asked, connection);
            }
        }
    }

    /// Nobody of a group is left to be told anything. Who comes back soon may be a member whose connection broke, and goes
    /// on with what it has; who comes later asks where to begin, see [`ConsumerOffsets::forget_moves`].
    pub fn nobody_to_tell(&self, group: &str, now_ms: i64) {
        if self.has_moved() {
            let mut state = self.state.lock();
            let moves = state.moved.get_mut(group).into_iter().flat_map(HashMap::values_mut);
            for moved in moves.flat_map(BTreeMap::values_mut) {
                *moved = Moved { since_ms: Some(now_ms), ..Moved::to(moved.to) };
            }
        }
    }

    /// All members of a group said goodbye: who comes next asks where to begin.
    pub fn all_left(&self, group: &str) {
        if self.has_moved() {
            self.change(|state| {
                state.moved.remove(group);
                false
            });
        }
    }

    /// Forgets moves of groups of which nobody came back. Run every 10 s.
    pub fn forget_moves(&self, now_ms: i64) {
        if self.has_moved() {
            self.change(|state| {
                for queues in state.moved.values_mut().flat_map(HashMap::values_mut) {
                    queues.retain(|_, moved| !(moved.told.is_empty() && moved.is_past_doubt(now_ms)));
                }
                state.tidy();
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

    /// Forgets all offsets in a topic, so that a new topic of the same name starts anew. Who is to be told so, still is.
    pub fn remove_topic(&self, topic: &str) {
        self.change(|state| {
            let there = state.offsets.values_mut().filter_map(|topics| topics.remove(topic)).count();
            state.offsets.retain(|_, topics| !topics.is_empty());
            there > 0
        });
    }

    /// Offsets behind the end of their queue, which a power cut or a deletion that was cut short left there: what is stored
    /// next would be skipped. They become the end that `end` tells, 0 of a queue that there is not; `None` leaves them.
    pub fn cut(&self, end: impl Fn(&str, i32) -> Option<i64>) {
        self.change(|state| {
            let mut any = false;
            for (group, topics) in &mut state.offsets {
                for (topic, queues) in topics {
                    let mut moved = Vec::new();
                    for (queue, offset) in queues {
                        let Some(end) = end(topic, *queue).filter(|end| end < offset) else { continue };
                        moved.push((*queue, std::mem::replace(offset, end), end));
                    }
                    let Some((queue, offset, end)) = moved.first() else { continue };
                    any = true;
                    let queues = moved.len();
                    tracing::warn!(
                        group,
                        topic,
                        queues,
                        queue,
                        offset,
                        end,
                        "offsets are behind the ends of their queues, as in the one that is named: moved there"
                    );
                }
            }
            any
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
