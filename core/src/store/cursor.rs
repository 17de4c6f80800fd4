//! A queue compared with the log, record by record.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::log_files;
use super::numbers::{Numbers, Ruling, TAKEN};
use super::queue::{Form, Pushed, Queue, Slot};
use super::queue_files::OpenFiles;
use super::scan::LogFile;
use super::types::{QueueEntry, MOST_LOST};
use super::Core;
use crate::record::RecordView;

/// How far a queue agrees with the log.
pub(crate) struct Cursor {
    pub queue: Arc<Queue>,
    /// Offset of the first entry that no record has vouched for yet.
    pub next: i64,
    /// Numbers that have no record, though later ones have.
    pub missing: Vec<Range<i64>>,
    ahead: Vec<Slot>,
    ahead_at: usize,
    /// The first entry that the queue had where the scan begins, until its record comes.
    first: Option<Slot>,
    before_first: Before,
    numbers: Numbers,
    /// An entry was found to be right, so the ones behind it are not those of other numbers.
    agreed: bool,
}

/// Records that the log has before the one of the queue's first entry: of a topic that was deleted, or their entries
/// were lost. Nothing is changed before that is clear, as the entries may be all that tells.
#[derive(Default)]
struct Before {
    /// Behind the last one's number.
    end: Option<i64>,
    /// The lowest of their numbers; one of them may be damaged.
    lowest: Option<i64>,
    /// The queue says of their numbers that they belong to other records, or to none.
    contradicted: bool,
    /// How often it said that they belong to sound records of other queues, and so of none of its own.
    strange: u32,
}

/// So many entries of other queues make a queue's file that of another one.
const MOST_STRANGE: u32 = 16;

/// What became of a record's entry.
pub(crate) enum Accepted {
    /// It is there; so many before it have no record and were made blank.
    Agrees { blanked: i64 },
    /// It was made; so many others were removed before, and so many offsets before it have no record.
    Made { removed: i64, hole: i64 },
    /// It has no place in the queue.
    Refused(&'static str),
}

impl Cursor {
    /// `is_vouched`: the entries before `start` are known to be those of this topic.
    pub fn new(core: &Core, queue: Arc<Queue>, start: i64, is_vouched: bool) -> io::Result<Cursor> {
        let first = Self::first(core, &queue, start)?;
        let next = first.map_or(queue.max(), |slot| slot.offset);
        let numbers = Numbers::new(queue.form, !is_vouched || next == 0);
        Ok(Cursor {
            queue,
            next,
            missing: Vec::new(),
            ahead: Vec::new(),
            ahead_at: 0,
            first,
            before_first: Before::default(),
            numbers,
            agreed: false,
        })
    }

    fn first(core: &Core, queue: &Queue, at: i64) -> io::Result<Option<Slot>> {
        let state = queue.state();
        match state.first_at_or_behind(queue.form, &core.queues.files, at)? {
            Some((number, _)) => state.one(queue.form, &core.queues.files, number),
            None => Ok(None),
        }
    }

    /// The next record of the queue, and what it tells about those before it.
    pub fn follow(&mut self, core: &Core, files: &[LogFile], slot: Slot) -> io::Result<Ruling> {
        while let Some(first) = self.first {
            let (at, first_at) = (slot.entry.physical_offset, first.entry.physical_offset);
            if at < first_at {
                self.note_before(core, files, &slot)?;
                return Ok(Ruling::default());
            }
            let Some(lowest) = self.before_first.lowest else {
                self.first = None;
                break;
            };
            if at == first_at && agree(&first, &slot) {
                self.first = None;
                // Those of a deleted topic are below no number with which the next one of its name began.
                if !self.before_first.contradicted && lowest < first.offset {
                    return Ok(Ruling::REMAKE);
                }
                break;
            }
            // It has no record. Perhaps one of those behind it has.
            self.first = Self::first(core, &self.queue, at + i64::from(at == first_at))?;
            if self.first.is_none() && !self.before_first.contradicted {
                return Ok(Ruling::REMAKE);
            }
        }
        self.judge(core, slot)
    }

    fn note_before(&mut self, core: &Core, files: &[LogFile], slot: &Slot) -> io::Result<()> {
        let before = &mut self.before_first;
        // Numbers that go back are of another topic of the name.
        before.contradicted &= before.end.is_some_and(|end| slot.offset >= end);
        before.end = Some(slot.offset + slot.count);
        before.lowest = Some(before.lowest.map_or(slot.offset, |lowest| lowest.min(slot.offset)));
        if before.contradicted || before.strange >= MOST_STRANGE {
            return Ok(());
        }
        let mut there = Vec::new();
        self.queue.read(&core.queues.files, slot.offset, 1, &mut there)?;
        match there.first().map(|there| &there.entry) {
            Some(entry) if entry.is_record() => match is_of_another(core, files, entry, &self.queue) {
                true => self.before_first.strange += 1,
                false => self.before_first.contradicted = true,
            },
            there => self.before_first.contradicted = there == Some(&QueueEntry::BLANK),
        }
        Ok(())
    }

    fn judge(&mut self, core: &Core, slot: Slot) -> io::Result<Ruling> {
        let is_odd = slot.offset > self.next || self.numbers.are_open();
        if is_odd && slot.offset >= self.next && self.has(core, &slot)? {
            return Ok(self.numbers.follow_sure(self.next, slot));
        }
        Ok(self.numbers.follow(self.next, slot))
    }

    /// What becomes of records that were put off and have none behind them. `surely_there`: the entries before the start
    /// of the scan are known to be those of this topic. `lost`: bytes of the log in which there may have been records that
    /// were not read.
    pub fn last(&mut self, core: &Core, surely_there: bool, lost: i64) -> io::Result<Ruling> {
        if self.first.is_some() && self.before_first.end.is_some() && !self.before_first.contradicted {
            return Ok(Ruling::REMAKE);
        }
        if !self.numbers.are_open() {
            return Ok(Ruling::default());
        }
        let next = if self.agreed { self.existing(&core.queues.files)? } else { None };
        let is_next =
            |slot: &Slot| next.is_some_and(|next| next.entry.physical_offset == slot.entry.physical_offset);
        Ok(self.numbers.end(self.next, is_next, !surely_there, lost))
    }

    /// Empties the queue. Returns how many offsets went.
    pub fn empty(&mut self, core: &Core) -> io::Result<i64> {
        let removed = self.queue.max();
        self.queue.reset(&core.queues.files)?;
        (self.next, self.ahead_at, self.agreed) = (0, 0, false);
        self.missing.clear();
        self.ahead.clear();
        Ok(removed)
    }

    /// Where the scan must begin for the records that are missing before this one, if it began behind them.
    pub fn lacks_before(&self, slot: &Slot, start: i64, min: i64) -> Option<i64> {
        let known_to = self.queue.state().log_end;
        (slot.offset > self.queue.max() && start > min && known_to < start).then_some(known_to)
    }

    pub fn accept(&mut self, core: &Core, slot: &Slot) -> io::Result<Accepted> {
        let files = &core.queues.files;
        let mut removed = 0;
        if slot.offset < self.next {
            return Ok(Accepted::Refused(TAKEN));
        }
        let expected = self.next;
        // Blanks stand for records that were missing before, too.
        while self.next < slot.offset
            && self.existing(files)?.is_some_and(|there| there.entry == QueueEntry::BLANK)
        {
            self.step(1);
        }
        if self.next < self.queue.max() {
            if self.has(core, slot)? {
                let blanked = slot.offset - self.next;
                if blanked > 0 {
                    self.queue.blank(files, self.next..slot.offset)?;
                    core.queues.note_unsaved(&self.queue);
                }
                self.step(blanked + slot.count);
                self.agreed = true;
                self.misses(expected..slot.offset);
                return Ok(Accepted::Agrees { blanked });
            }
            removed = self.queue.max() - self.next;
            self.queue.cut(files, self.next)?;
        }
        self.misses(expected..self.next);
        self.make(core, slot, removed)
    }

    fn step(&mut self, numbers: i64) {
        self.next += numbers;
        if numbers > 1 && self.queue.form == Form::Plain {
            self.ahead.clear();
            self.ahead_at = 0;
        } else {
            self.ahead_at += 1;
        }
    }

    /// Whether the queue has the entry of a record, from `next` on.
    fn has(&mut self, core: &Core, slot: &Slot) -> io::Result<bool> {
        let files = &core.queues.files;
        if slot.offset == self.next {
            return Ok(self.existing(files)?.is_some_and(|there| agree(&there, slot)));
        }
        // Entries of batches cannot be made blank.
        if self.queue.form == Form::Batch || slot.offset >= self.queue.max() {
            return Ok(false);
        }
        let mut there = Vec::with_capacity(1);
        self.queue.read(files, slot.offset, 1, &mut there)?;
        Ok(there.first().is_some_and(|there| agree(there, slot)))
    }

    fn make(&mut self, core: &Core, slot: &Slot, removed: i64) -> io::Result<Accepted> {
        // A queue that begins late lacks nothing: what was before has expired.
        let begins = self.queue.state().log_end == 0;
        let hole = match self.queue.push_behind(&core.queues.files, slot) {
            Pushed::Added => 0,
            Pushed::AfterHole(hole) => {
                if begins {
                    0
                } else {
                    hole
                }
            }
            Pushed::Known => return Ok(Accepted::Refused(TAKEN)),
            Pushed::Impossible => {
                return Ok(Accepted::Refused("the log has no room for the records before it"))
            }
        };
        self.misses(slot.offset - hole..slot.offset);
        core.queues.note_unsaved(&self.queue);
        core.write_if_due(&self.queue);
        self.next = slot.offset + slot.count;
        Ok(Accepted::Made { removed, hole })
    }

    fn misses(&mut self, numbers: Range<i64>) {
        if numbers.is_empty() {
            return;
        }
        let is_full = self.missing.len() >= MOST_LOST;
        match self.missing.last_mut() {
            Some(last) if last.end == numbers.start => last.end = numbers.end,
            _ if is_full => {}
            _ => self.missing.push(numbers),
        }
    }

    fn existing(&mut self, files: &OpenFiles) -> io::Result<Option<Slot>> {
        if self.next >= self.queue.max() {
            return Ok(None);
        }
        if self.ahead_at >= self.ahead.len() {
            self.ahead.clear();
            self.ahead_at = 0;
            self.queue.read(files, self.next, 64, &mut self.ahead)?;
        }
        Ok(self.ahead.get(self.ahead_at).copied())
    }
}

/// Whether the record that an entry stands for is there and says that it is of another queue.
fn is_of_another(core: &Core, files: &[LogFile], entry: &QueueEntry, queue: &Queue) -> bool {
    let at = entry.physical_offset;
    let file = files.get(log_files::file_at(files, at));
    let bytes = file.and_then(|file| log_files::record_at(&*core.options.storage, file, at, entry.end()));
    let record = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok());
    record.is_some_and(|record| record.topic() != &*queue.topic || record.queue_id() != queue.id)
}

/// Whether an entry is the one that the record would get. A tags code that is an address of an extended entry, or a
/// due time made with other delay levels, is as good.
fn agree(there: &Slot, made: &Slot) -> bool {
    let (a, b) = (&there.entry, &made.entry);
    let is_hash = |code: i64| i32::try_from(code).is_ok();
    let codes =
        a.tags_code == b.tags_code || (!is_hash(a.tags_code) && (!is_hash(b.tags_code) || a.tags_code < 0));
    there.offset == made.offset && a.physical_offset == b.physical_offset && a.size == b.size && codes
}
