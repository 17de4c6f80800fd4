//! A queue compared with the log, record by record.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::queue::{Pushed, Queue, Slot};
use super::queue_files::OpenFiles;
use super::types::{QueueEntry, MOST_LOST};
use super::Core;

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
    /// A record with a number that an earlier one has. The next one of the queue tells which of the two is right.
    held: Option<Slot>,
}

/// Records whose turn it is.
#[derive(Default)]
pub(crate) struct Ready {
    pub now: [Option<Slot>; 2],
    /// The one that was put off, if it turned out to have the number of another.
    pub refused: Option<Slot>,
    /// So many offsets were removed because the queue begins anew.
    pub removed: i64,
}

pub(crate) const TAKEN: &str = "an earlier record has that offset";

/// What became of a record's entry.
pub(crate) enum Accepted {
    /// It is there.
    Agrees,
    /// It was made; so many others were removed before, and so many offsets before it have no record.
    Made { removed: i64, hole: i64 },
    /// It has no place in the queue.
    Refused(&'static str),
}

impl Cursor {
    pub fn new(core: &Core, queue: Arc<Queue>, start: i64) -> io::Result<Cursor> {
        let state = queue.state();
        let first = match state.first_at_or_behind(queue.form, &core.queues.files, start)? {
            Some((number, _)) => state.one(queue.form, &core.queues.files, number)?,
            None => None,
        };
        drop(state);
        let next = first.map_or(queue.max(), |slot| slot.offset);
        Ok(Cursor { queue, next, missing: Vec::new(), ahead: Vec::new(), ahead_at: 0, first, held: None })
    }

    /// The next record of the queue, and what it tells about the one before. Numbers that begin anew show that the topic
    /// was deleted and made again: the queue is emptied then. No CRC covers a number, so it takes two records to show
    /// that, unless what stood there is gone anyway, or the queue began with this record: damage may have left but one of a
    /// topic that was made again. `surely_there`: the entries before the start of the scan are known to be those of this
    /// topic.
    pub fn follow(&mut self, core: &Core, slot: Slot, surely_there: bool) -> io::Result<Ready> {
        let mut ready = Ready::default();
        if self.has_first_entry(&slot) && slot.offset < self.next && !surely_there {
            self.held = None;
            ready.removed = self.empty(core)?;
            ready.now[0] = Some(slot);
            return Ok(ready);
        }
        if let Some(held) = self.held.take() {
            // Were its number damaged, it would have been the one that is missing now.
            let is_damaged = slot.offset == self.next + held.count;
            if slot.offset > held.offset && !is_damaged {
                ready.removed = self.empty(core)?;
                ready.now = [Some(held), Some(slot)];
                return Ok(ready);
            }
            ready.refused = Some(held);
        }
        if slot.offset < self.next {
            if surely_there || self.has_record(core, slot.offset)? {
                self.held = Some(slot);
                return Ok(ready);
            }
            // The file that the entry stood in was lost.
            ready.removed = self.empty(core)?;
        }
        ready.now[0] = Some(slot);
        Ok(ready)
    }

    /// What becomes of a record that was put off and has no other behind it: the first one of a new topic, or none.
    pub fn last(&mut self, core: &Core, surely_there: bool) -> io::Result<Ready> {
        let Some(held) = self.held.take() else { return Ok(Ready::default()) };
        if held.offset > 0 || surely_there {
            return Ok(Ready { refused: Some(held), ..Ready::default() });
        }
        Ok(Ready { removed: self.empty(core)?, now: [Some(held), None], refused: None })
    }

    /// Whether this is the record of the queue's first entry.
    fn has_first_entry(&mut self, slot: &Slot) -> bool {
        let first = self.first.take_if(|first| first.entry.physical_offset <= slot.entry.physical_offset);
        first.is_some_and(|first| agree(&first, slot))
    }

    fn has_record(&self, core: &Core, offset: i64) -> io::Result<bool> {
        let mut there = Vec::new();
        self.queue.read(&core.queues.files, offset, 1, &mut there)?;
        Ok(there.first().is_some_and(|there| there.entry.is_record()))
    }

    /// Returns how many offsets went.
    fn empty(&mut self, core: &Core) -> io::Result<i64> {
        let removed = self.queue.max();
        self.queue.reset(&core.queues.files)?;
        (self.next, self.ahead_at) = (0, 0);
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
            self.next += 1;
            self.ahead_at += 1;
        }
        self.misses(expected..self.next);
        if self.next < self.queue.max() {
            if slot.offset == self.next && self.existing(files)?.is_some_and(|there| agree(&there, slot)) {
                self.next += slot.count;
                self.ahead_at += 1;
                return Ok(Accepted::Agrees);
            }
            removed = self.queue.max() - self.next;
            self.queue.cut(files, self.next)?;
        }
        self.make(core, slot, removed)
    }

    fn make(&mut self, core: &Core, slot: &Slot, removed: i64) -> io::Result<Accepted> {
        // A queue that begins late lacks nothing: what was before has expired.
        let begins = self.queue.state().log_end == 0;
        let hole = match self.queue.push(slot) {
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
        if self.ahead_at >= self.ahead.len() {
            self.ahead.clear();
            self.ahead_at = 0;
            self.queue.read(files, self.next, 64, &mut self.ahead)?;
        }
        Ok(self.ahead.get(self.ahead_at).copied())
    }
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
