//! A consume queue: which records of the log belong to one queue, in order. Entries live in a memory tail that is
//! written behind; the log can always make them again.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::Arc;

use super::mapping::fetch_ahead;
use super::queue_files::{OpenFiles, UnitFiles};
use super::queues::Topic;
use super::slot::decode;
use crate::sync::{Mutex, MutexGuard};

pub(crate) use super::slot::{Form, Slot, ENTRY_LEN};

/// Entries for which a queue takes memory with its first one; then for twice as many, and so on.
const FIRST_ENTRIES: usize = 4;

/// Bytes of its topic's name that a queue has at hand: as many as go into its first line of memory.
const NAME_START: usize = 20;

/// Blanks of a large hole that are in memory at a time.
const BLANKS_AT_ONCE: i64 = 1 << 12;

/// How many entries of a queue are held in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tails {
    /// Entries are written to their file when this many wait.
    pub write_at: i64,
    /// Entries that stay in memory after they were written, for readers at the end of the queue.
    pub keep: i64,
}

impl Tails {
    /// About a page.
    pub const FEW_QUEUES: Tails = Tails { write_at: 200, keep: 100 };
    /// So that 50,000 queues that are all written to take less than 150 MB: an allocation of 2,560 bytes each. Fewer
    /// entries would save little, as each write costs the opening of a file.
    pub const MANY_QUEUES: Tails = Tails { write_at: 128, keep: 0 };
}

/// One queue of a topic. What every record touches stands together, here and in [`State`]: where there are many queues,
/// each line of memory has to be waited for.
#[repr(C)]
pub(crate) struct Queue {
    /// The offset that the next record gets. Changed under the log's lock only.
    pub next: AtomicI64,
    /// The offset behind the last readable record.
    max: AtomicI64,
    pub id: i32,
    /// Java's hash of the topic and `#`, with which the hash of every index key of the topic begins.
    pub key_prefix_hash: i32,
    pub form: Form,
    /// Whether the queue stands in the list of those with something to write or sync.
    pub listed: AtomicBool,
    /// Its topic was deleted.
    forgotten: AtomicBool,
    /// Length of the topic's name; all that are longer have the largest.
    name_len: u8,
    /// How it begins: most need no look at the name itself, which stands elsewhere.
    name_start: [u8; NAME_START],
    /// Address of where the next entry will stand in memory; an old one does no harm.
    tail_at: AtomicUsize,
    state: Mutex<State>,
    /// First offset whose record is still in the log.
    min: AtomicI64,
    pub topic: Arc<str>,
}

#[repr(C)]
pub(crate) struct State {
    /// Encoded entries from number `tail_from` on, up to the end of the queue.
    tail: Vec<u8>,
    /// Number behind the last entry; in a plain queue that is the offset.
    pub end: i64,
    /// Commit-log offset behind the last record.
    pub log_end: i64,
    /// Entries before this number are in the files.
    written: i64,
    tail_from: i64,
    /// Entries came since the last write-behind.
    touched: bool,
    /// The topic was deleted: nothing is written any more, by whoever still holds the queue.
    pub deleted: bool,
    /// Commit-log offset of the record at [`Queue::min`], if it is known without a look.
    first_at: Option<i64>,
    pub files: UnitFiles,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is the new last one.
    Added,
    /// The queue has this offset already.
    Known,
    /// It is the new last one, and this many offsets before it have no record.
    AfterHole(i64),
    /// The offset cannot be right: there is no room in the log for the records that would have to stand between.
    Impossible,
}

impl Queue {
    pub fn new(topic: &Topic, id: i32, files: UnitFiles) -> Self {
        let deleted = topic.is_forgotten();
        let state = State {
            tail: Vec::new(),
            end: 0,
            log_end: 0,
            written: 0,
            tail_from: 0,
            touched: false,
            // Its files would be those of a new topic of this name.
            deleted,
            first_at: None,
            files,
        };
        let mut name_start = [0; NAME_START];
        let start = topic.name.len().min(NAME_START);
        name_start[..start].copy_from_slice(&topic.name.as_bytes()[..start]);
        Queue {
            next: AtomicI64::new(0),
            max: AtomicI64::new(0),
            id,
            key_prefix_hash: topic.key_prefix_hash,
            form: topic.form,
            listed: AtomicBool::new(false),
            forgotten: AtomicBool::new(deleted),
            name_len: topic.name.len().min(usize::from(u8::MAX)) as u8,
            name_start,
            tail_at: AtomicUsize::new(0),
            state: Mutex::new(state),
            min: AtomicI64::new(0),
            topic: topic.name.clone(),
        }
    }

    /// Whether it is the queue of this topic and id.
    pub fn is(&self, topic: &str, id: i32) -> bool {
        let start = topic.len().min(NAME_START);
        self.id == id
            && usize::from(self.name_len) == topic.len().min(usize::from(u8::MAX))
            && self.name_start[..start] == topic.as_bytes()[..start]
            && (topic.len() <= NAME_START || *self.topic == *topic)
    }

    /// Begins to bring what every record touches of it into the caches, without a look at it and so without waiting.
    pub fn fetch_ahead(&self) {
        const LINE: usize = 64;
        // The counts of its `Arc` stand before it.
        let from = std::ptr::from_ref(self) as usize - 2 * size_of::<usize>();
        for line in 0..3 {
            fetch_ahead(from + line * LINE);
        }
    }

    /// The same for where its next entry will stand.
    pub fn fetch_tail_ahead(&self) {
        let at = self.tail_at.load(Ordering::Relaxed);
        fetch_ahead(at);
        fetch_ahead(at + ENTRY_LEN - 1);
    }

    /// Whether its topic was deleted.
    pub fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// Lets nothing be written any more, and gives away the files.
    pub fn forget(&self) -> UnitFiles {
        self.forgotten.store(true, Ordering::Release);
        let mut state = self.state.lock();
        state.deleted = true;
        state.files.take()
    }

    /// First offset that can be read; equal to [`Queue::max`] if none can.
    pub fn min(&self) -> i64 {
        self.min.load(Ordering::Acquire)
    }

    /// The offset behind the last readable record.
    pub fn max(&self) -> i64 {
        self.max.load(Ordering::Acquire)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Sets the bounds that recovery found; entries before `end` are in the files. `first_at` is where the record of
    /// `min` stands in the log, if that is known.
    pub fn resume(&self, end: i64, log_end: i64, min: i64, max: i64, first_at: Option<i64>) {
        let mut state = self.state.lock();
        (state.tail_from, state.written, state.end, state.log_end) = (end, end, end, log_end);
        state.first_at = first_at;
        state.tail.clear();
        self.min.store(min, Ordering::Release);
        self.max.store(max, Ordering::Release);
        self.next.store(max, Ordering::Release);
    }

    /// Adds the entry of the record that follows in the log. Offsets without a record before it become blanks.
    #[cfg(test)]
    pub fn push(&self, slot: &Slot) -> Pushed {
        self.push_in(&mut self.state.lock(), slot)
    }

    /// Adds the entry of a record at a start, where the hole before it may be large: its blanks are written as they are
    /// made, as long as that works.
    pub fn push_behind(&self, files: &OpenFiles, slot: &Slot) -> Pushed {
        let mut state = self.state.lock();
        if self.form == Form::Plain && !state.is_empty() && self.has_room(&state, slot) {
            while slot.offset - state.end > BLANKS_AT_ONCE {
                let end = state.end + BLANKS_AT_ONCE;
                state.fill(end, false);
                if state.write(self.form, files).is_err() {
                    // Whoever writes the rest meets it again, and tells.
                    break;
                }
                state.trim(self.form, 0);
            }
        }
        self.push_in(&mut state, slot)
    }

    /// Whether there is room in the log for the records before one. Each takes 91 bytes at least.
    fn has_room(&self, state: &State, slot: &Slot) -> bool {
        let log_between = slot.entry.physical_offset - if state.is_empty() { 0 } else { state.log_end };
        let least = if self.form == Form::Plain { crate::record::MIN_RECORD as i64 } else { 1 };
        slot.offset - self.max.load(Ordering::Relaxed) <= log_between / least
    }

    /// Adds the entries of records that follow in the log. Returns what the last did of those that were not simply added,
    /// and how many entries wait to be written.
    pub fn push_all(&self, slots: &[Slot]) -> (Option<Pushed>, i64) {
        let mut state = self.state.lock();
        let mut strange = None;
        for slot in slots {
            match self.push_in(&mut state, slot) {
                Pushed::Added => {}
                other => strange = Some(other),
            }
        }
        self.tail_at.store(state.tail.as_ptr_range().end as usize, Ordering::Relaxed);
        (strange, state.end - state.written)
    }

    fn push_in(&self, state: &mut State, slot: &Slot) -> Pushed {
        let max = self.max.load(Ordering::Relaxed);
        let empty = state.is_empty();
        let hole = slot.offset - max;
        if hole < 0 {
            return Pushed::Known;
        }
        if hole > 0 {
            // So the log bounds how many can be missing before this one.
            if !self.has_room(state, slot) {
                return Pushed::Impossible;
            }
            if self.form == Form::Plain {
                state.fill(slot.offset, empty);
            }
        }
        if state.log_end == 0 {
            self.min.store(slot.offset, Ordering::Release);
            state.first_at = Some(slot.entry.physical_offset);
        }
        state.append(self.form, slot);
        self.max.store(slot.offset + slot.count, Ordering::Release);
        if hole > 0 {
            return Pushed::AfterHole(hole);
        }
        Pushed::Added
    }

    /// Writes the tail to its files if it has grown enough, or if `all` is set. Readers see no difference.
    pub fn write_behind(&self, files: &OpenFiles, tails: Tails, all: bool) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.deleted || (!all && (state.end - state.written) < tails.write_at) {
            return Ok(());
        }
        state.write(self.form, files)?;
        if all {
            // Queues that rest need no memory. Many that do not would take it again, bit by bit.
            let is_in_use = std::mem::take(&mut state.touched);
            state.trim(self.form, if is_in_use { tails.keep } else { 0 });
            if !is_in_use || tails != Tails::MANY_QUEUES {
                state.tail.shrink_to_fit();
            }
        } else {
            state.trim(self.form, tails.keep);
        }
        Ok(())
    }

    /// Whether enough entries wait to be written.
    pub fn wants_writing(&self, tails: Tails) -> bool {
        let state = self.state.lock();
        state.end - state.written >= tails.write_at
    }

    /// Reads up to `count` entries from `offset` on, the one that holds `offset` first; perhaps fewer than there are.
    pub fn read(&self, files: &OpenFiles, offset: i64, count: usize, out: &mut Vec<Slot>) -> io::Result<()> {
        let state = self.state.lock();
        let number = match self.form {
            Form::Plain => offset,
            Form::Batch => match state.find_batch(files, offset)? {
                Some(number) => number,
                None => return Ok(()),
            },
        };
        if number >= state.tail_from {
            return state.read(self.form, files, number, count, out);
        }
        // A read of the disk must not hold up the entries to come.
        let count = count.min((state.tail_from - number) as usize);
        let Some(place) = state.files.locate(files, number, count)? else { return Ok(()) };
        drop(state);
        let mut bytes = Vec::with_capacity(place.len);
        place.read(&mut bytes, self.form.unit())?;
        decode(self.form, number, &bytes, out);
        Ok(())
    }

    /// Numbers of the entries whose records lie before a commit-log offset, which is where a record ends.
    pub fn numbers_before(&self, files: &OpenFiles, log_offset: i64) -> io::Result<std::ops::Range<i64>> {
        let state = self.state.lock();
        let behind = state.first_at_or_behind(self.form, files, log_offset)?;
        Ok(state.first()..behind.map_or(state.end, |(number, _)| number))
    }

    /// Appends entries from number `number` on to `out` as they stand in the file; perhaps fewer than `count`.
    pub fn raw(&self, files: &OpenFiles, number: i64, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let (state, unit) = (self.state.lock(), self.form.unit());
        if number >= state.tail_from {
            let from = (number - state.tail_from) as usize * unit;
            let there = state.tail.get(from..).unwrap_or_default();
            out.extend_from_slice(&there[..there.len().min(count * unit)]);
            return Ok(());
        }
        let count = count.min((state.tail_from - number) as usize);
        let Some(place) = state.files.locate(files, number, count)? else { return Ok(()) };
        drop(state);
        place.read(out, unit)
    }

    /// The entry that holds `offset`.
    pub fn slot(&self, files: &OpenFiles, offset: i64) -> io::Result<Option<Slot>> {
        if !(self.min()..self.max()).contains(&offset) {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(1);
        self.read(files, offset, 1, &mut found)?;
        Ok(found.pop())
    }

    /// Whether it has files.
    pub fn is_on_disk(&self) -> bool {
        let state = self.state.lock();
        state.files.first < state.files.end
    }

    /// A number that stands for this queue, its first file, and an end: the number of an entry, and the commit-log offset
    /// behind the record before it; and one that does for the queue and the end alone. 0 if there is nothing before the end.
    pub fn digests(&self, first: i64, end: i64, log_end: i64) -> [i64; 2] {
        if end <= first {
            return [0; 2];
        }
        let mix =
            |digest: u64, value: u64| (digest.rotate_left(23) ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let topic = self.topic.bytes().map(u64::from).fold(1, mix);
        [first, -1].map(|first| {
            let numbers = [i64::from(self.id), self.form as i64, first, end, log_end];
            let digest = numbers.into_iter().map(|number| number as u64).fold(topic, mix);
            (digest ^ digest >> 32) as i64
        })
    }

    /// The digests of the end as it is now.
    pub fn end_digests(&self) -> [i64; 2] {
        let state = self.state.lock();
        let (first, end, log_end) = (state.files.first, state.end, state.log_end);
        drop(state);
        self.digests(first, end, log_end)
    }

    /// Whether the log has nothing before the first entry that can have stood in files that are gone: it begins at the
    /// commit-log offset `log_min`.
    pub fn lacks_nothing_before(&self, files: &OpenFiles, log_min: i64) -> io::Result<bool> {
        let state = self.state.lock();
        let first = state.first();
        if first == 0 {
            return Ok(true);
        }
        let there = state.one(self.form, files, first)?;
        Ok(there.is_some_and(|slot| slot.entry.is_record() && slot.entry.physical_offset <= log_min))
    }

    /// Removes every entry from the one that holds `offset` on. The next record gets that entry's offset.
    pub fn cut(&self, files: &OpenFiles, offset: i64) -> io::Result<()> {
        let mut state = self.state.lock();
        let number = match self.form {
            Form::Plain => Some(offset),
            Form::Batch => state.find_batch(files, offset)?,
        };
        let Some(number) = number.filter(|number| *number < state.end) else { return Ok(()) };
        let number = number.max(state.first());
        let new_max = state.one(self.form, files, number)?.map_or(offset, |slot| slot.offset);
        state.first_at = None;
        if number < state.written {
            state.files.cut(files, number)?;
            state.written = number;
        }
        // What is not written yet need not be: there may be no room for it.
        let left = (number - state.tail_from).max(0) as usize * self.form.unit();
        state.tail.truncate(left);
        (state.tail_from, state.end) = (state.tail_from.min(number), number);
        state.log_end = state.last_record(self.form, files)?.map_or(0, |slot| slot.entry.end());
        self.max.store(new_max, Ordering::Release);
        self.next.store(new_max, Ordering::Release);
        self.min.fetch_min(new_max, Ordering::AcqRel);
        Ok(())
    }

    /// Makes entries blank for which there is no record, though there is for the ones behind them. Plain queues only.
    pub fn blank(&self, files: &OpenFiles, mut numbers: std::ops::Range<i64>) -> io::Result<()> {
        const AT_ONCE: i64 = 4096;
        let (mut state, mut bytes) = (self.state.lock(), Vec::new());
        state.first_at = None;
        while !numbers.is_empty() {
            let count = AT_ONCE.min(numbers.end - numbers.start);
            bytes.clear();
            (0..count).for_each(|_| Slot::blank(0).encode(self.form, &mut bytes));
            let in_files = (state.written - numbers.start).clamp(0, count) as usize * ENTRY_LEN;
            state.files.write(files, numbers.start, &bytes[..in_files])?;
            for (number, blank) in (numbers.start..).zip(bytes.chunks_exact(ENTRY_LEN)) {
                if number >= state.tail_from {
                    let at = (number - state.tail_from) as usize * ENTRY_LEN;
                    state.tail[at..at + ENTRY_LEN].copy_from_slice(blank);
                }
            }
            numbers.start += count;
        }
        Ok(())
    }

    /// Makes the queue as it was before its first record.
    pub fn reset(&self, files: &OpenFiles) -> io::Result<()> {
        let mut state = self.state.lock();
        let first = state.files.first;
        state.files.cut(files, first)?;
        (state.files.first, state.files.end, state.first_at) = (0, 0, None);
        state.tail.clear();
        (state.tail_from, state.written, state.end, state.log_end) = (0, 0, 0, 0);
        drop(state);
        for bound in [&self.min, &self.max, &self.next] {
            bound.store(0, Ordering::Release);
        }
        Ok(())
    }

    /// Removes files whose records all lie before `log_min`, and moves the first offset. The last file stays. Returns
    /// how many went.
    pub fn expire(&self, files: &OpenFiles, log_min: i64) -> io::Result<usize> {
        let mut state = self.state.lock();
        // Most queues have nothing before the offset, and a look would open a file.
        if state.first_at.is_some_and(|first_at| first_at >= log_min) {
            return Ok(0);
        }
        state.first_at = None;
        let first = state.first_at_or_behind(self.form, files, log_min)?;
        let first_number = first.map_or(state.end, |(number, _)| number);
        let mut removed = 0;
        while state.files.first + state.files.per_file < state.files.end.min(state.written + 1)
            && state.files.first + state.files.per_file <= first_number
        {
            state.files.remove_first(files)?;
            removed += 1;
        }
        self.min.store(first.map_or(self.max(), |(_, offset)| offset), Ordering::Release);
        Ok(removed)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.files.first == self.files.end && self.tail.is_empty()
    }

    fn append(&mut self, form: Form, slot: &Slot) {
        if self.tail.capacity() == 0 {
            self.tail.reserve_exact(FIRST_ENTRIES * form.unit());
        }
        slot.encode(form, &mut self.tail);
        self.end += 1;
        self.touched = true;
        if slot.entry.is_record() {
            self.log_end = slot.entry.end();
        }
    }

    /// Blanks up to `offset`. An empty queue begins at the start of the file that will hold `offset`.
    fn fill(&mut self, offset: i64, empty: bool) {
        if empty {
            let start = offset - offset.rem_euclid(self.files.per_file);
            (self.tail_from, self.written, self.end) = (start, start, start);
            (self.files.first, self.files.end) = (start, start);
            self.tail.clear();
        }
        while self.end < offset {
            self.append(Form::Plain, &Slot::blank(self.end));
        }
    }

    fn write(&mut self, form: Form, files: &OpenFiles) -> io::Result<()> {
        let from = (self.written - self.tail_from) as usize * form.unit();
        self.files.write(files, self.written, &self.tail[from..])?;
        self.written = self.end;
        Ok(())
    }

    fn trim(&mut self, form: Form, keep: i64) {
        let spare = (self.written - self.tail_from).min(self.end - self.tail_from - keep);
        if spare > 0 {
            self.tail.drain(..spare as usize * form.unit());
            self.tail_from += spare;
        }
    }

    /// Decodes entries from number `number` on, out of memory or out of one file.
    pub fn read(
        &self,
        form: Form,
        files: &OpenFiles,
        number: i64,
        count: usize,
        out: &mut Vec<Slot>,
    ) -> io::Result<()> {
        let count = count.min((self.end - number).max(0) as usize);
        if count == 0 || number < self.files.first.min(self.tail_from) {
            return Ok(());
        }
        if number >= self.tail_from {
            let from = (number - self.tail_from) as usize * form.unit();
            decode(form, number, &self.tail[from..from + count * form.unit()], out);
            return Ok(());
        }
        let count = count.min((self.tail_from - number) as usize);
        let mut bytes = Vec::with_capacity(count * form.unit());
        self.files.read(files, number, count, &mut bytes)?;
        decode(form, number, &bytes, out);
        Ok(())
    }

    pub fn one(&self, form: Form, files: &OpenFiles, number: i64) -> io::Result<Option<Slot>> {
        let mut found = Vec::with_capacity(1);
        self.read(form, files, number, 1, &mut found)?;
        Ok(found.pop())
    }

    /// First number of an entry that is there.
    pub fn first(&self) -> i64 {
        if self.files.first < self.files.end {
            self.files.first
        } else {
            self.tail_from
        }
    }

    /// Number of the batch entry that holds `offset`, by bisection: bases ascend.
    fn find_batch(&self, files: &OpenFiles, offset: i64) -> io::Result<Option<i64>> {
        let (mut low, mut high) = (self.first(), self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(slot) = self.one(Form::Batch, files, middle)? else { return Ok(None) };
            if slot.offset + slot.count <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok((low < self.end).then_some(low))
    }

    /// Number and offset of the first entry whose record lies at or behind `log_offset`, by bisection: records ascend,
    /// and a blank counts as lying where the next record does.
    pub fn first_at_or_behind(
        &self,
        form: Form,
        files: &OpenFiles,
        log_offset: i64,
    ) -> io::Result<Option<(i64, i64)>> {
        if self.log_end <= log_offset {
            return Ok(None);
        }
        // Most queues have nothing before the offset.
        if let Some(first) = self.one(form, files, self.first())? {
            if first.entry.is_record() && first.entry.physical_offset >= log_offset {
                return Ok(Some((self.first(), first.offset)));
            }
        }
        let (mut low, mut high) = (self.first(), self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_record(form, files, middle)? {
                Some((number, slot)) if slot.entry.physical_offset < log_offset => low = number + 1,
                _ => high = middle,
            }
        }
        Ok(self.next_record(form, files, low)?.map(|(number, slot)| (number, slot.offset)))
    }

    /// The last entry that is not a blank.
    pub fn last_record(&self, form: Form, files: &OpenFiles) -> io::Result<Option<Slot>> {
        let mut number = self.end;
        while number > self.first() {
            number -= 1;
            match self.one(form, files, number)? {
                Some(slot) if slot.entry.is_record() => return Ok(Some(slot)),
                Some(_) => {}
                None => break,
            }
        }
        Ok(None)
    }

    /// The first entry from number `number` on that is not a blank.
    fn next_record(&self, form: Form, files: &OpenFiles, mut number: i64) -> io::Result<Option<(i64, Slot)>> {
        let (mut chunk, mut count) = (Vec::new(), 1);
        loop {
            chunk.clear();
            self.read(form, files, number, count, &mut chunk)?;
            count = 512;
            if chunk.is_empty() {
                return Ok(None);
            }
            if let Some(at) = chunk.iter().position(|slot| slot.entry.is_record()) {
                return Ok(Some((number + at as i64, chunk[at])));
            }
            number += chunk.len() as i64;
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
