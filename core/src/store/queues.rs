//! All consume queues, found by topic with one look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

use super::queue::{Form, Queue, Tails};
use super::queue_files::{OpenFiles, Removing, UnitFiles};
use super::storage::{sync_failed, Storage};
use super::StoreOptions;
use crate::message::java_hash;
use crate::sync::{Mutex, RwLock};

/// Queue ids are below this. Apache has no limit of its own; a queue costs memory, and the id comes off the wire.
pub const MAX_QUEUES: i32 = 1 << 16;

/// With so many queues each may hold less in memory.
const MANY: u32 = 10_000;
/// With so many queues to write to, what waits in memory waits for the next checkpoint or until it is enough for a
/// write of its own: the log has it anyway.
const WRITTEN_BEHIND: usize = 1_000;

/// The queues of one topic.
pub(crate) struct Topic {
    pub name: Arc<str>,
    pub form: Form,
    /// Java's hash of the topic and `#`, with which the hash of every index key of the topic begins.
    pub key_prefix_hash: i32,
    queues: RwLock<Vec<Option<Arc<Queue>>>>,
    /// Set with the lock of `queues`: this one is in no table any more, though somebody may still be about to use it.
    forgotten: AtomicBool,
}

impl Topic {
    pub fn queue(&self, id: i32) -> Option<Arc<Queue>> {
        self.queues.read().get(usize::try_from(id).ok()?)?.clone()
    }

    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.queues.read().iter().flatten().cloned().collect()
    }

    /// Whether it was deleted.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Number of queues that have files.
    pub fn on_disk(&self) -> usize {
        self.all().iter().filter(|queue| queue.is_on_disk()).count()
    }
}

/// For keys that are hashes already.
#[derive(Default)]
struct IsHash(u64);

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The table of topics and their queues.
pub(crate) struct Queues {
    dirs: [PathBuf; 2],
    file_sizes: [usize; 2],
    pub files: OpenFiles,
    topics: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    /// Queues of the topics above by a hash of topic and id: with many queues each step to one has to wait for memory, and
    /// by its topic there are five. Of two with one hash the second is not here.
    short_cut: RwLock<HashMap<u64, Arc<Queue>, BuildHasherDefault<IsHash>>>,
    hasher: RandomState,
    next_uid: AtomicU32,
    /// Queues with entries to write or files to sync.
    unsaved: Mutex<Vec<Arc<Queue>>>,
    /// Entries that came since the last checkpoint.
    pub fresh: std::sync::atomic::AtomicU64,
}

impl Queues {
    pub fn new(options: &StoreOptions) -> Self {
        Queues {
            dirs: [options.root.join("consumequeue"), options.root.join("batchconsumequeue")],
            file_sizes: [
                options.mapped_file_size_consume_queue,
                options.mapped_file_size_batch_consume_queue,
            ],
            files: OpenFiles::new(options.storage.clone(), options.open_queue_files),
            topics: RwLock::default(),
            short_cut: RwLock::default(),
            hasher: RandomState::new(),
            next_uid: AtomicU32::new(0),
            unsaved: Mutex::default(),
            fresh: Default::default(),
        }
    }

    pub fn storage(&self) -> &dyn Storage {
        &*self.files.storage
    }

    /// Bytes of every file of one form.
    pub fn file_size(&self, form: Form) -> u64 {
        (self.file_sizes[form as usize].div_ceil(form.unit()).max(1) * form.unit()) as u64
    }

    /// The directory that holds the topics of one form.
    pub fn dir(&self, form: Form) -> &Path {
        &self.dirs[form as usize]
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    pub fn queue(&self, topic: &str, id: i32) -> Option<Arc<Queue>> {
        let hash = self.hasher.hash_one((topic, id));
        if let Some(queue) = self.short_cut.read().get(&hash) {
            if queue.id == id && *queue.topic == *topic {
                return Some(queue.clone());
            }
        }
        self.topics.read().get(topic)?.queue(id)
    }

    /// The topic; a new one is of the given form.
    pub fn topic_or_new(&self, name: &str, form: Form) -> Arc<Topic> {
        if let Some(topic) = self.topic(name) {
            return topic;
        }
        let mut topics = self.topics.write();
        if let Some(topic) = topics.get(name) {
            return topic.clone();
        }
        let name: Arc<str> = name.into();
        let key_prefix_hash = java_hash(&name).wrapping_mul(31).wrapping_add(i32::from(b'#'));
        let topic = Arc::new(Topic {
            name: name.clone(),
            form,
            key_prefix_hash,
            queues: RwLock::default(),
            forgotten: AtomicBool::new(false),
        });
        topics.insert(name, topic.clone());
        topic
    }

    /// The queue of a topic; `id` is within 0 and [`MAX_QUEUES`].
    pub fn queue_or_new(&self, topic: &Topic, id: i32) -> Arc<Queue> {
        if let Some(queue) = topic.queue(id) {
            return queue;
        }
        let mut queues = topic.queues.write();
        let at = id.clamp(0, MAX_QUEUES - 1) as usize;
        if queues.len() <= at {
            queues.resize(at + 1, None);
        }
        let new = || {
            let queue = Arc::new(Queue::new(topic, id, self.unit_files(&topic.name, id, topic.form)));
            if !queue.is_forgotten() {
                let hash = self.hasher.hash_one((&*topic.name, id));
                self.short_cut.write().entry(hash).or_insert_with(|| queue.clone());
            }
            queue
        };
        queues[at].get_or_insert_with(new).clone()
    }

    fn unit_files(&self, topic: &str, id: i32, form: Form) -> UnitFiles {
        let dir = self.dir(form).join(topic).join(id.to_string());
        let uid = self.next_uid.fetch_add(1, Ordering::Relaxed);
        UnitFiles::new(dir, uid, form.unit(), self.file_sizes[form as usize])
    }

    pub fn topics(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self.topics.read().values().cloned().collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        topics
    }

    /// All queues there are.
    pub fn all(&self) -> Vec<Arc<Queue>> {
        self.topics().iter().flat_map(|topic| topic.all()).collect()
    }

    /// Number of queues that have files.
    pub fn on_disk(&self) -> usize {
        self.topics().iter().map(|topic| topic.on_disk()).sum()
    }

    /// Digests of where each queue ends, with its first file and without.
    pub fn ends(&self) -> [i64; 2] {
        self.all().iter().fold([0; 2], |sums, queue| added(sums, queue.end_digests()))
    }

    /// How many entries a queue holds in memory.
    pub fn tails(&self) -> Tails {
        match self.next_uid.load(Ordering::Relaxed) {
            few if few <= MANY => Tails::FEW_QUEUES,
            _ => Tails::MANY_QUEUES,
        }
    }

    /// Writes the entries of a queue that wait in memory to its files, if they are enough.
    pub fn write_if_due(&self, queue: &Queue) -> io::Result<()> {
        let tails = self.tails();
        // Those of a topic whose namesake is being removed wait: others wait for who is here.
        if !queue.wants_writing(tails) || self.files.is_going(|| self.dir(queue.form).join(&*queue.topic)) {
            return Ok(());
        }
        queue.write_behind(&self.files, tails, false)
    }

    /// Notes that a queue has something to write or sync.
    pub fn note_unsaved(&self, queue: &Arc<Queue>) {
        // Who takes the queue off the list locks its state afterwards: either the entry that the caller added is seen then,
        // or the caller sees here that the queue is off.
        if !queue.listed.load(Ordering::Acquire) && !queue.listed.swap(true, Ordering::AcqRel) {
            self.unsaved.lock().push(queue.clone());
        }
    }

    /// Writes what waits in memory to the files, unless too many queues have something; not yet durable. Then only what
    /// has waited long enough, if there was no room for it before. The queues stay noted.
    pub fn write_all(&self, had_no_room: bool) -> io::Result<()> {
        let (queues, all) = {
            let unsaved = self.unsaved.lock();
            let too_many = unsaved.len() > WRITTEN_BEHIND;
            if too_many && !had_no_room {
                return Ok(());
            }
            (unsaved.clone(), !too_many)
        };
        queues.iter().try_for_each(|queue| queue.write_behind(&self.files, self.tails(), all))
    }

    /// Makes everything durable that came before this call. When too many queues changed, the whole file system is
    /// synced at once: one call instead of one for each file.
    pub fn save_all(&self) -> io::Result<()> {
        const ONE_BY_ONE: usize = 64;
        let queues = std::mem::take(&mut *self.unsaved.lock());
        for queue in &queues {
            queue.listed.store(false, Ordering::Release);
        }
        let result = self.save(&queues, ONE_BY_ONE);
        if result.is_err() {
            for queue in &queues {
                queue.state().files.renamed = true;
                self.note_unsaved(queue);
            }
        }
        result
    }

    fn save(&self, queues: &[Arc<Queue>], one_by_one: usize) -> io::Result<()> {
        let mut dirs = Vec::new();
        let mut unsynced = Vec::new();
        for queue in queues {
            queue.write_behind(&self.files, self.tails(), true)?;
            let mut state = queue.state();
            if std::mem::take(&mut state.files.renamed) {
                dirs.push((queue.form, state.files.dir.clone()));
            }
            if !state.files.unsynced.is_empty() {
                unsynced.push(queue.clone());
            }
        }
        if unsynced.len() + dirs.len() > one_by_one {
            return self.sync_file_system(&unsynced).map_err(sync_failed);
        }
        for queue in unsynced {
            // The appender may push to the queue meanwhile, so its state must not be held during the disk's work.
            let files = queue.state().files.take_unsynced(&self.files)?;
            files.iter().try_for_each(|file| file.sync()).map_err(sync_failed)?;
        }
        for (form, dir) in dirs {
            self.sync_names(form, &dir).map_err(sync_failed)?;
        }
        Ok(())
    }

    /// What is written to the queues meanwhile may miss the sync, and has to wait for the next one.
    fn sync_file_system(&self, queues: &[Arc<Queue>]) -> io::Result<()> {
        let written = |queue: &Arc<Queue>| std::mem::take(&mut queue.state().files.unsynced);
        let written: Vec<_> = queues.iter().map(written).collect();
        let synced = self.storage().sync_all(self.dir(Form::Plain).parent().unwrap_or(Path::new("/")));
        if synced.is_err() {
            for (queue, mut bases) in queues.iter().zip(written) {
                let mut state = queue.state();
                // Files that are gone by now need no sync.
                bases.retain(|base| (state.files.first..state.files.end).contains(base));
                state.files.unsynced.append(&mut bases);
            }
        }
        synced
    }

    /// Makes the names durable that lead to a queue's files.
    fn sync_names(&self, form: Form, dir: &Path) -> io::Result<()> {
        let top = self.dir(form).parent().unwrap_or(Path::new("/"));
        for dir in dir.ancestors() {
            match self.storage().sync_dir(dir) {
                // Deleted meanwhile, with its topic.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
            if dir == top {
                break;
            }
        }
        Ok(())
    }

    /// Forgets a topic: nothing is written to its queues any more, and new ones of its name get no files before those of
    /// the old ones are gone. To be called while no record is passed on.
    pub fn forget(&self, name: &str) -> Option<Forgotten<'_>> {
        let topic = self.topic(name)?;
        let queues: Vec<UnitFiles> = {
            let queues = topic.queues.write();
            if topic.forgotten.swap(true, Ordering::AcqRel) {
                return None;
            }
            let mut short_cut = self.short_cut.write();
            for queue in queues.iter().flatten() {
                let hash = self.hasher.hash_one((name, queue.id));
                if short_cut.get(&hash).is_some_and(|there| Arc::ptr_eq(there, queue)) {
                    short_cut.remove(&hash);
                }
            }
            drop(short_cut);
            queues.iter().flatten().map(|queue| queue.forget()).collect()
        };
        // Only now that nobody writes to them: who makes a file waits for the directory with its queue held.
        let removing = self.files.removing(self.dir(topic.form).join(name));
        self.topics.write().remove(name);
        Some(Forgotten { form: topic.form, queues, removing })
    }

    /// Forgets a topic and removes its files and directories.
    #[cfg(test)]
    pub fn delete(&self, name: &str) -> io::Result<()> {
        self.forget(name).map_or(Ok(()), |forgotten| self.remove_files(forgotten))
    }

    /// Removes the files and directories of a topic that was forgotten.
    pub fn remove_files(&self, forgotten: Forgotten<'_>) -> io::Result<()> {
        let mut result = Ok(());
        // One that fails does not keep the others, which would be back with the next start.
        for mut files in forgotten.queues {
            let first = files.first;
            let removed = files.cut(&self.files, first).and_then(|()| self.remove_dir(&files.dir));
            result = result.and(removed);
        }
        result?;
        self.remove_dir(forgotten.removing.dir())?;
        ignore_missing(self.storage().sync_dir(self.dir(forgotten.form)))
    }

    /// Removes a directory, if nothing is in it that somebody else put there.
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        match ignore_missing(self.storage().remove_dir(dir)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tracing::warn!(dir = %dir.display(), "holds files that are not the store's, so it stays");
                Ok(())
            }
            result => result,
        }
    }
}

/// What is left of a topic that was forgotten: its files.
pub(crate) struct Forgotten<'a> {
    form: Form,
    queues: Vec<UnitFiles>,
    removing: Removing<'a>,
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::queue::{Pushed, Slot};
    use crate::store::storage::{Memory, Operation};
    use crate::store::types::QueueEntry;

    fn table(memory: &Memory) -> Queues {
/// Sums of digests.
pub(crate) fn added(sums: [i64; 2], digests: [i64; 2]) -> [i64; 2] {
    [sums[0].wrapping_add(digests[0]), sums[1].wrapping_add(digests[1])]
}

        let mut options = StoreOptions::new("/s");
        options.storage = Arc::new(memory.clone());
        options.mapped_file_size_consume_queue = 2000;
        options.open_queue_files = 8;
        Queues::new(&options)
    }

    fn slot(offset: i64) -> Slot {
        let entry = QueueEntry { physical_offset: offset * 100, size: 100, tags_code: -offset };
        Slot { offset, count: 1, entry, store_timestamp: 0 }
    }

    #[test]
    fn entries_read_the_same_from_memory_and_from_files() {
        let queues = table(&Memory::new());
        let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 3);
        for offset in 0..1000 {
            assert_eq!(queue.push(&slot(offset)), Pushed::Added);
            queues.note_unsaved(&queue);
            queues.write_if_due(&queue).unwrap();
        }
        for round in 0..3 {
            let mut at = 0;
            while at < 1000 {
                let mut found = Vec::new();
                queue.read(&queues.files, at, 37, &mut found).unwrap();
                assert!(!found.is_empty() && found.iter().zip(at..).all(|(found, at)| *found == slot(at)));
                at += found.len() as i64;
            }
            assert_eq!(queue.slot(&queues.files, 1000).unwrap(), None);
            if round == 0 { queues.write_all(false) } else { queues.save_all() }.unwrap();
        }
        assert_eq!(queue.push(&slot(999)), Pushed::Known);
        queue.expire(&queues.files, 55_000).unwrap();
        assert_eq!((queue.min(), queue.max()), (550, 1000));
        let names = queues.storage().list(&queues.dir(Form::Plain).join("T/3")).unwrap();
        assert_eq!(names.first().unwrap().name, "00000000000000010000");
        queue.expire(&queues.files, 1 << 40).unwrap();
        assert_eq!((queue.min(), queue.max()), (1000, 1000));
        assert_eq!(queues.storage().list(&queues.dir(Form::Plain).join("T/3")).unwrap().len(), 1);
    }

    #[test]
    fn a_queue_that_begins_late_is_blank_before_and_holes_inside_are_bounded_by_the_log() {
        let queues = table(&Memory::new());
        let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0);
        assert_eq!(queue.push(&slot(250)), Pushed::AfterHole(250));
        assert_eq!((queue.min(), queue.max()), (250, 251));
        assert_eq!(queue.push(&slot(260)), Pushed::AfterHole(9));
        assert_eq!(queue.push(&Slot { offset: 1 << 40, ..slot(300) }), Pushed::Impossible);
        queues.note_unsaved(&queue);
        queues.save_all().unwrap();
        let mut found = Vec::new();
        queue.read(&queues.files, 250, 100, &mut found).unwrap();
        let records: Vec<_> = found.iter().filter(|s| s.entry.is_record()).map(|s| s.offset).collect();
        assert_eq!((found.len(), &records[..]), (11, &[250, 260][..]));
        let names = queues.storage().list(&queues.dir(Form::Plain).join("T/0")).unwrap();
        assert_eq!(
            names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
            ["00000000000000004000"]
        );
        queue.expire(&queues.files, 25_001).unwrap();
        assert_eq!(queue.min(), 260);
    }

    /// One writer is at work when the topic is forgotten, and the next needs a file that is not there yet.
    #[test]
    fn a_topic_goes_while_its_queues_are_written() {
        let memory = Memory::new();
        let queues = table(&memory);
        let topic = queues.topic_or_new("T", Form::Plain);
        let [first, second] = [0, 1].map(|id| queues.queue_or_new(&topic, id));
        first.push(&slot(0));
        first.write_behind(&queues.files, queues.tails(), true).unwrap();
        first.push(&slot(1));
        second.push(&slot(0));
        let (gate, (reached, at_gate)) = (std::sync::Barrier::new(2), std::sync::mpsc::channel());
        let (gate, once) = (Arc::new(gate), AtomicBool::new(true));
        let passed = gate.clone();
        memory.intercept(move |operation, _| {
            if operation == Operation::Write && once.swap(false, Ordering::Relaxed) {
                reached.send(()).unwrap();
                passed.wait();
            }
            Ok(())
        });
        let write = |queue: &Arc<Queue>| queue.write_behind(&queues.files, queues.tails(), true);
        std::thread::scope(|scope| {
            let one = scope.spawn(|| write(&first));
            at_gate.recv().unwrap();
            let gone = scope.spawn(|| queues.delete("T"));
            // It waits for the first queue; what it did before shows in the second.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let two = scope.spawn(|| write(&second));
            std::thread::sleep(std::time::Duration::from_millis(50));
            gate.wait();
            one.join().unwrap().unwrap();
            two.join().unwrap().unwrap();
            gone.join().unwrap().unwrap();
        });
        assert_eq!(memory.list(queues.dir(Form::Plain)).unwrap(), []);
    }

    #[test]
    fn a_deleted_topic_leaves_nothing() {
        let memory = Memory::new();
        let queues = table(&memory);
        for id in 0..3 {
            let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), id);
            queue.push(&slot(0));
            queues.note_unsaved(&queue);
        }
        queues.save_all().unwrap();
        queues.delete("T").unwrap();
        assert!(queues.queue("T", 0).is_none());
        assert_eq!(memory.list(queues.dir(Form::Plain)).unwrap(), []);
        assert_eq!(queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0).max(), 0);
    }

    #[test]
    fn of_two_queues_with_one_hash_both_are_found() {
        let queues = table(&Memory::new());
        let [a, b] = ["A", "B"].map(|name| queues.queue_or_new(&queues.topic_or_new(name, Form::Plain), 0));
        let hash = queues.hasher.hash_one(("B", 0_i32));
        queues.short_cut.write().insert(hash, a.clone());
        assert!(Arc::ptr_eq(&queues.queue("B", 0).unwrap(), &b));
        queues.delete("B").unwrap();
        assert!(queues.queue("B", 0).is_none() && b.is_forgotten());
        assert!(Arc::ptr_eq(&queues.short_cut.read()[&hash], &a) && !a.is_forgotten());
        queues.delete("A").unwrap();
        let again = queues.queue_or_new(&queues.topic_or_new("A", Form::Plain), 0);
        assert!(Arc::ptr_eq(&queues.queue("A", 0).unwrap(), &again) && !Arc::ptr_eq(&again, &a));
    }

    #[test]
    fn a_queue_made_in_a_topic_that_was_just_forgotten_has_no_files() {
        let queues = table(&Memory::new());
        let old = queues.topic_or_new("T", Form::Plain);
        queues.delete("T").unwrap();
        let late = queues.queue_or_new(&old, 5);
        late.push(&slot(0));
        late.write_behind(&queues.files, queues.tails(), true).unwrap();
        assert_eq!(late.state().files.end, 0);
        assert_eq!(queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 5).max(), 0);
    }

    #[test]
    fn a_topic_of_the_name_of_one_that_is_being_removed_keeps_its_files() {
        let memory = Memory::new();
        let queues = table(&memory);
        let push = |offset| {
            let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0);
            queue.push(&slot(offset));
            queues.note_unsaved(&queue);
            queue
        };
        let old = push(0);
        queues.save_all().unwrap();
        let forgotten = queues.forget("T").unwrap();
        let new = push(0);
        std::thread::scope(|scope| {
            let saved = scope.spawn(|| queues.save_all());
            queues.remove_files(forgotten).unwrap();
            saved.join().unwrap().unwrap();
        });
        assert_eq!(memory.list(&queues.dir(Form::Plain).join("T/0")).unwrap().len(), 1);
        let mut found = Vec::new();
        new.state().files.read(&queues.files, 0, 1, &mut found).unwrap();
        assert_eq!(found.len(), Form::Plain.unit());
        // Who still holds the old one writes nothing.
        old.push(&slot(1));
        old.write_behind(&queues.files, queues.tails(), true).unwrap();
        assert_eq!(old.state().files.end, 0);
    }
}
