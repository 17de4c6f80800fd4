//! All consume queues, found by topic with one look-up.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::queue::{Form, Queue, Tails};
use super::queue_files::{OpenFiles, Removing, UnitFiles};
use super::short_cut::ShortCut;
use super::storage::{sync_failed, Storage, SyncDisk};
use super::StoreOptions;
use crate::message::java_hash;
use crate::sync::{Mutex, RwLock};

/// Queue ids are below this. Apache has no limit of its own; a queue costs memory, and the id comes off the wire.
pub const MAX_QUEUES: i32 = 1 << 16;

/// With so many queues each may hold less in memory.
const MANY: u32 = 10_000;
/// So many are in the processor's caches anyway.
const IN_CACHES: u32 = 2_000;
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

/// Where to look for a queue in the table of all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place(u64);

/// The table of topics and their queues.
pub(crate) struct Queues {
    dirs: [PathBuf; 2],
    file_sizes: [usize; 2],
    pub files: OpenFiles,
    topics: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    /// Queues of the topics above by a hash of topic and id. Of two with one hash the second is not here.
    short_cut: RwLock<ShortCut>,
    hasher: RandomState,
    next_uid: AtomicU32,
    /// The disk of all files, open since before they were written to.
    disk: OnceLock<SyncDisk>,
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
            disk: OnceLock::new(),
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
        self.queue_at(self.place(topic, id), topic, id)
    }

    /// Where a queue is looked for, there or not. If there are many, its place in the table begins to come into the caches.
    pub fn place(&self, topic: &str, id: i32) -> Place {
        let hash = self.hasher.hash_one((topic, id));
        if self.are_many() {
            self.short_cut.read().fetch_ahead(hash);
        }
        Place(hash)
    }

    /// Begins to bring into the caches what an append to a queue looks at, without waiting for it. Of use where something
    /// else is to be done before, and after the queue's place was asked for.
    pub fn fetch_ahead(&self, place: Place) {
        if !self.are_many() {
            return;
        }
        if let Some(queue) = self.short_cut.read().get(place.0) {
            queue.fetch_ahead();
        }
    }

    fn are_many(&self) -> bool {
        self.next_uid.load(Ordering::Relaxed) > IN_CACHES
    }

    /// The queue, whose place this is.
    pub fn queue_at(&self, place: Place, topic: &str, id: i32) -> Option<Arc<Queue>> {
        if let Some(queue) = self.short_cut.read().get(place.0) {
            if queue.is(topic, id) {
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
                let (hash, mut short_cut) = (self.place(&topic.name, id).0, self.short_cut.write());
                if short_cut.get(hash).is_none() {
                    short_cut.insert(hash, queue.clone());
                }
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
            match self.sync_file_system(&unsynced) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => return result.map_err(sync_failed),
            }
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

    /// The disk that holds the queues. Asked for before anything is written, it tells whatever fails.
    pub fn disk(&self) -> io::Result<&SyncDisk> {
        if let Some(disk) = self.disk.get() {
            return Ok(disk);
        }
        let disk = self.storage().disk(self.dir(Form::Plain).parent().unwrap_or(Path::new("/")))?;
        Ok(self.disk.get_or_init(|| disk))
    }

    /// What is written to the queues meanwhile may miss the sync, and has to wait for the next one.
    fn sync_file_system(&self, queues: &[Arc<Queue>]) -> io::Result<()> {
        let written = |queue: &Arc<Queue>| std::mem::take(&mut queue.state().files.unsynced);
        let written: Vec<_> = queues.iter().map(written).collect();
        let synced = self.disk().and_then(|sync| sync());
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
            let places: Vec<_> = queues.iter().flatten().map(|queue| self.place(name, queue.id)).collect();
            let mut short_cut = self.short_cut.write();
            for (queue, place) in queues.iter().flatten().zip(places) {
                if short_cut.get(place.0).is_some_and(|there| Arc::ptr_eq(there, queue)) {
                    short_cut.remove(place.0);
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

/// Sums of digests.
pub(crate) fn added(sums: [i64; 2], digests: [i64; 2]) -> [i64; 2] {
    [sums[0].wrapping_add(digests[0]), sums[1].wrapping_add(digests[1])]
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
#[path = "queues_tests.rs"]
mod tests;
