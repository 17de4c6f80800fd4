//! Reading consume queues from disk: which entries can be true. Whether the log agrees, recovery finds out.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::{Form, Queue, Slot};
use super::queues::{added, Queues, MAX_QUEUES};
use super::segment::parse_file_name;
use super::storage::{Entry, Open};
use super::types::QueueEntry;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// Files at the end of a queue whose entries are all looked at, as Apache does.
const FILES_CHECKED: i64 = 3;

/// What file systems allocate at once, or a small multiple of it.
const BLOCK: usize = 4096;

/// What was found on disk.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Commit-log offset behind the furthest record that any queue knows.
    pub covered: i64,
    /// Where the record begins that ends where the checkpoint says, if a queue knows it.
    pub last_saved: Option<i64>,
    /// Digests of where each queue ends with the records before that.
    pub saved_ends: [i64; 2],
    /// Entries are missing behind this commit-log offset: a queue was damaged.
    pub damaged_from: Option<i64>,
    /// Queues found.
    pub queues: usize,
    pub notes: Vec<String>,
}

/// Loads every queue, on all cores: with many queues the time goes into opening files.
/// `log` is the range of the log's files, outside of which nothing can stand; `saved_to` where a record ends, as the
/// checkpoint says.
pub(crate) fn load(queues: &Queues, log: Range<i64>, saved_to: Option<i64>) -> Result<Loaded> {
    let places = places(queues)?;
    check_sizes(queues, &places)?;
    let mut loaded = Loaded { queues: places.len(), ..Loaded::default() };
    for one in on_all_cores(&places, |place| load_one(queues, place, &log, saved_to))? {
        loaded.add(one);
    }
    Ok(loaded)
}

/// The directory of a queue that has files, if there is one.
pub(crate) fn any_with_files(queues: &Queues) -> Result<Option<PathBuf>> {
    let mut places = places(queues)?.into_iter();
    Ok(places.find(|place| place.files().next().is_some()).map(|place| place.dir))
}

/// Does something with each of the items; the results come in their order.
fn on_all_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len() / 64 + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { break };
                let result = work(item);
                done.lock().push((at, result));
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Loaded {
    fn add(&mut self, other: Loaded) {
        self.covered = self.covered.max(other.covered);
        self.last_saved = self.last_saved.or(other.last_saved);
        self.saved_ends = added(self.saved_ends, other.saved_ends);
        self.damaged_from = self.damaged_from.into_iter().chain(other.damaged_from).min();
        self.notes.extend(other.notes);
    }
}

/// A queue's directory, and what is in it.
struct Place {
    topic: String,
    id: i32,
    form: Form,
    dir: PathBuf,
    names: Vec<Entry>,
}

impl Place {
    /// Length of each queue file.
    fn files(&self) -> impl Iterator<Item = u64> + '_ {
        self.names.iter().filter(|entry| base(entry).is_some()).map(|entry| entry.len)
    }
}

/// The offset that a queue file's name stands for; none for anything else.
fn base(entry: &Entry) -> Option<i64> {
    parse_file_name(&entry.name).filter(|_| !entry.is_dir)
}

fn places(queues: &Queues) -> Result<Vec<Place>> {
    let list = |dir: &Path| {
        let entries = queues.storage().list(dir);
        entries.map_err(|error| Error::io("read consume queues", dir.display().to_string(), error))
    };
    let mut dirs = Vec::new();
    for form in [Form::Plain, Form::Batch] {
        let top = queues.dir(form);
        for topic in list(top)?.into_iter().filter(|entry| entry.is_dir) {
            for queue in list(&top.join(&topic.name))?.into_iter().filter(|entry| entry.is_dir) {
                let id = queue.name.parse::<i32>().ok().filter(|id| (0..MAX_QUEUES).contains(id));
                if let Some(id) = id.filter(|id| id.to_string() == queue.name) {
                    dirs.push((topic.name.clone(), id, form));
                }
            }
        }
    }
    on_all_cores(&dirs, |(topic, id, form)| {
        let dir = queues.dir(*form).join(topic).join(id.to_string());
        Ok(Place { topic: topic.clone(), id: *id, form: *form, names: list(&dir)?, dir })
    })
}

fn load_one(queues: &Queues, place: &Place, log: &Range<i64>, saved_to: Option<i64>) -> Result<Loaded> {
    let topic = queues.topic_or_new(&place.topic, place.form);
    if topic.form != place.form {
        let notes = vec![format!("topic {} has queues of both forms; the plain ones count", place.topic)];
        return Ok(Loaded { notes, ..Loaded::default() });
    }
    let queue = queues.queue_or_new(&topic, place.id);
    let error = |error| Error::io("read consume queue", place.dir.display().to_string(), error);
    read_queue(queues, &queue, place, log, saved_to).map_err(error)
}

/// Files that all have one other size tell of another setting, and are left as they are; an odd one is damage. All of
/// one queue, or all of the store: most queues of small stores have a single file.
fn check_sizes(queues: &Queues, places: &[Place]) -> Result<()> {
    for form in [Form::Plain, Form::Batch] {
        let of_form = || places.iter().filter(|place| place.form == form);
        let (size, unit) = (queues.file_size(form), form.unit() as u64);
        let is_setting = |sizes: &mut dyn Iterator<Item = u64>| {
            let first = sizes.next().filter(|first| *first != size && *first > 0 && first % unit == 0)?;
            let (others, same) =
                sizes.fold((0, true), |(others, same), other| (others + 1, same && other == first));
            // A single short file may as well have been cut off.
            (same && (others > 0 || first > size)).then_some(first)
        };
        let one = of_form().find_map(|place| is_setting(&mut place.files()).map(|is| (is, place)));
        let all = || is_setting(&mut of_form().flat_map(Place::files)).zip(of_form().next());
        if let Some((is, place)) = one.or_else(all) {
            return Err(other_size(form, is, size, &place.dir));
        }
    }
    Ok(())
}

fn other_size(form: Form, is: u64, size: u64, dir: &Path) -> Error {
    let key = match form {
        Form::Plain => "mappedFileSizeConsumeQueue",
        Form::Batch => "mapperFileSizeBatchConsumeQueue",
    };
    let text = format!(
        "the files in {} have {is} bytes, {key} is {size}; set it to {is}, or remove the directory and the \
         queue is made again",
        dir.display()
    );
    Error::new(ErrorKind::InvalidArgument, "open store", text)
}

fn read_queue(
    queues: &Queues,
    queue: &Queue,
    place: &Place,
    log: &Range<i64>,
    saved_to: Option<i64>,
) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut damaged = take_files(queues, queue, place, &mut loaded.notes)?;
    let begins_late = queue.state().files.first > 0 && queue.form == Form::Plain;
    if begins_late && log.start == 0 {
        // No record was ever removed, so none of the entries can have been either.
        loaded.notes.push(format!("{}: the first files are missing", place.dir.display()));
        queue.reset(&queues.files)?;
        damaged = true;
    }
    let last = valid_end(queues, queue, log.end, saved_to)?;
    let none = (queue.state().files.first, 0, 0);
    let (number, max, log_end) = last.as_ref().map_or(none, |end| (end.number, end.offset, end.log_end));
    let max = if queue.form == Form::Plain { number } else { max };
    damaged |= has_data_behind(queues, queue, number)?;
    if damaged {
        let (topic, id) = (&queue.topic, queue.id);
        loaded.notes.push(format!("consume queue of {topic}, queue {id}: not usable from offset {max} on"));
        queue.state().files.cut(&queues.files, number)?;
        loaded.damaged_from = Some(log_end);
    }
    let first = queue.state().files.first;
    let min = if queue.form == Form::Plain { first } else { 0 };
    let first_at = last.as_ref().and_then(|end| end.first).filter(|slot| slot.offset == min);
    queue.resume(number, log_end, min, max, first_at.map(|slot| slot.entry.physical_offset));
    loaded.covered = log_end;
    loaded.last_saved = last.as_ref().and_then(|end| end.last_saved);
    loaded.saved_ends = saved_end(queues, queue, saved_to, last)?;
    Ok(loaded)
}

/// Digests of where the queue ends with the records before the commit-log offset `saved_to`.
fn saved_end(
    queues: &Queues,
    queue: &Queue,
    saved_to: Option<i64>,
    found: Option<ValidEnd>,
) -> io::Result<[i64; 2]> {
    let Some((end, saved_to)) = found.zip(saved_to) else { return Ok([0; 2]) };
    let state = queue.state();
    let first = state.files.first;
    if end.saved.is_some() || end.looked_from == first {
        drop(state);
        let (number, log_end) = end.saved.unwrap_or_default();
        return Ok(queue.digests(first, number, log_end));
    }
    // More came since then than was looked at.
    let behind = state.first_at_or_behind(queue.form, &queues.files, saved_to)?;
    let number = behind.map_or(state.end, |(number, _)| number);
    let last = if number > first { state.one(queue.form, &queues.files, number - 1)? } else { None };
    drop(state);
    Ok(queue.digests(first, number, last.map_or(0, |slot| slot.entry.end())))
}

/// Takes over the files that follow each other from the first one on; whether there were others.
fn take_files(queues: &Queues, queue: &Queue, place: &Place, notes: &mut Vec<String>) -> io::Result<bool> {
    let mut state = queue.state();
    let files = &mut state.files;
    let (unit, size) = (files.unit as i64, files.file_size());
    let mut damaged = false;
    for entry in &place.names {
        let path = place.dir.join(&entry.name);
        let Some(base) = base(entry) else {
            notes.push(format!("{}: not a queue file, left alone", path.display()));
            continue;
        };
        let number = base / unit;
        let follows = files.first == files.end || number == files.end;
        if damaged || base % unit != 0 || number % files.per_file != 0 || !follows {
            damaged = true;
            queues.storage().remove_file(&path)?;
            continue;
        }
        if entry.len != size {
            // What is there is read; what lies behind it is zeros, so the queue ends there.
            queues.storage().open(&path, Open::Existing)?.set_len(size)?;
            notes.push(format!("{}: had {} bytes, {size} are right", path.display(), entry.len));
            damaged |= entry.len > size;
        }
        if files.first == files.end {
            files.first = number;
        }
        files.end = number + files.per_file;
    }
    Ok(damaged)
}

/// What stands behind the last entry that can be true.
struct ValidEnd {
    number: i64,
    offset: i64,
    log_end: i64,
    /// Where the record begins that ends where the checkpoint says.
    last_saved: Option<i64>,
    /// Number and commit-log offset behind the last entry that the checkpoint knows.
    saved: Option<(i64, i64)>,
    /// Number of the first entry that was looked at.
    looked_from: i64,
    /// The first entry of all, if it was looked at and has a record.
    first: Option<Slot>,
}

/// The end of the entries that can be true; none if the first one cannot.
fn valid_end(
    queues: &Queues,
    queue: &Queue,
    most: i64,
    saved_to: Option<i64>,
) -> io::Result<Option<ValidEnd>> {
    let state = queue.state();
    let files = &state.files;
    let start = files.first.max(files.end - FILES_CHECKED * files.per_file);
    let (mut end, mut first) = (None, None);
    let (mut number, mut log_end, mut count) = (start, 0, 64);
    let (mut last_saved, mut saved) = (None, None);
    let mut bytes = Vec::new();
    while number < files.end {
        bytes.clear();
        files.read(&queues.files, number, count, &mut bytes)?;
        for unit in bytes.chunks_exact(files.unit) {
            let slot = Slot::decode(queue.form, number, unit);
            if !can_be_true(&slot, queue.form, log_end, most) {
                return Ok(end);
            }
            if slot.entry.is_record() {
                log_end = slot.entry.end();
                if saved_to.is_some_and(|saved_to| log_end <= saved_to) {
                    saved = Some((number + 1, log_end));
                    last_saved = Some(slot.entry.physical_offset).filter(|_| saved_to == Some(log_end));
                }
                if number == files.first {
                    first = Some(slot);
                }
            }
            number += 1;
            let offset = slot.offset + slot.count;
            end = Some(ValidEnd { number, offset, log_end, last_saved, saved, looked_from: start, first });
        }
        if bytes.is_empty() {
            break;
        }
        count = (count * 4).min(1 << 15);
    }
    Ok(end)
}

/// Records follow each other in the log, so entries do; none lies behind the log's last file.
fn can_be_true(slot: &Slot, form: Form, log_end: i64, most: i64) -> bool {
    let entry = &slot.entry;
    if form == Form::Plain && *entry == QueueEntry::BLANK {
        return true;
    }
    let in_order = entry.physical_offset >= log_end && entry.physical_offset < most;
    entry.is_record() && in_order && slot.count > 0 && slot.offset >= 0
}

/// Whether anything but zeros stands from number `number` on.
fn has_data_behind(queues: &Queues, queue: &Queue, number: i64) -> io::Result<bool> {
    let state = queue.state();
    let files = &state.files;
    let (mut at, mut bytes) = (number, Vec::new());
    // At first to the end of the block that the last entry stands in: behind it is a hole, most likely.
    let byte = (number - files.first).max(0) as usize * files.unit % files.file_size() as usize;
    let mut count = (BLOCK - byte % BLOCK) / files.unit + 1;
    while at < files.end {
        let base = at - at.rem_euclid(files.per_file);
        let Some(place) = files.locate(&queues.files, at, 1)? else { break };
        let Some(data) = place.next_data()? else {
            at = base + files.per_file;
            continue;
        };
        at = (base + data as i64 / files.unit as i64).max(at);
        bytes.clear();
        files.read(&queues.files, at, count, &mut bytes)?;
        count = (count * 4).min(1 << 15);
        if bytes.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
        at += (bytes.len() / files.unit).max(1) as i64;
    }
    Ok(false)
}
