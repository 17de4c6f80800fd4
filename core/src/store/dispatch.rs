//! From the log to queues and index: what was appended and has become visible is passed on in log order, by whoever
//! comes by, never by a thread that sleeps and looks.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{fence, AtomicBool, AtomicI64, Ordering};
use std::sync::Arc;

use super::index_file::Key;
use super::keys::KeyHashes;
use super::queue::{Queue, Slot};
use super::types::{AppendError, Arrival, Listener};
use super::Core;
use crate::sync::Mutex;

/// Appended records that queues and index do not know yet, in log order.
#[derive(Default)]
pub(crate) struct Pending {
    /// Which queues the slots are for.
    runs: Vec<Run>,
    slots: Vec<Slot>,
    keys: Vec<Key>,
}

/// Records next to one another that have the same queue.
struct Run {
    /// None for what gets no place there.
    queue: Option<Arc<Queue>>,
    records: usize,
}

impl Pending {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn push(&mut self, queue: Option<&Arc<Queue>>, slot: Slot, keys: &KeyHashes) {
        let is_same = |run: &&mut Run| run.queue.as_ref().map(Arc::as_ptr) == queue.map(Arc::as_ptr);
        match self.runs.last_mut().filter(is_same) {
            Some(run) => run.records += 1,
            None => self.runs.push(Run { queue: queue.cloned(), records: 1 }),
        }
        let (offset, store_timestamp) = (slot.entry.physical_offset, slot.store_timestamp);
        if !keys.is_empty() {
            self.keys.extend(keys.iter().map(|hash| Key { hash, offset, store_timestamp }));
        }
        self.slots.push(slot);
    }

    /// Moves the first records to `to`, which has none.
    fn move_first(&mut self, count: usize, to: &mut Pending) {
        if count == self.slots.len() {
            return std::mem::swap(self, to);
        }
        let behind = self.slots[count].entry.physical_offset;
        to.slots.extend(self.slots.drain(..count));
        let keys = self.keys.partition_point(|key| key.offset < behind);
        to.keys.extend(self.keys.drain(..keys));
        let (mut left, mut whole) = (count, 0);
        for run in &mut self.runs {
            let records = run.records.min(left);
            left -= records;
            if records > 0 {
                to.runs.push(Run { queue: run.queue.clone(), records });
            }
            run.records -= records;
            whole += usize::from(run.records == 0);
        }
        self.runs.drain(..whole);
    }

    /// The records queue by queue.
    fn runs(&self) -> impl Iterator<Item = (Option<&Arc<Queue>>, &[Slot])> {
        let mut slots = &self.slots[..];
        self.runs.iter().map(move |run| {
            let (these, behind) = slots.split_at(run.records);
            slots = behind;
            (run.queue.as_ref(), these)
        })
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.slots.clear();
        self.keys.clear();
    }
}

/// State of the passing on.
pub(crate) struct Dispatcher {
    /// Held by the one who passes records on; its memory is used again.
    work: Mutex<Pending>,
    /// End of the first record that waits; `i64::MAX` if none does.
    first_pending: AtomicI64,
    /// Records were taken and are not all readable yet.
    busy: AtomicBool,
    /// End and store time of the last record that was passed on.
    pub end: AtomicI64,
    pub store_timestamp: AtomicI64,
}

impl Default for Dispatcher {
    fn default() -> Self {
        Dispatcher {
            work: Mutex::default(),
            first_pending: AtomicI64::new(i64::MAX),
            busy: AtomicBool::new(false),
            end: AtomicI64::new(0),
            store_timestamp: AtomicI64::new(0),
        }
    }
}

impl Dispatcher {
    /// Notes a record; the log's lock is held.
    pub fn note(&self, pending: &mut Pending, queue: Option<&Arc<Queue>>, slot: Slot, keys: &KeyHashes) {
        if pending.is_empty() {
            self.first_pending.store(slot.entry.end(), Ordering::Release);
        }
        pending.push(queue, slot, keys);
    }
}

thread_local! {
    /// Address of the store for which this thread is passing on records right now; 0 for none. Listeners may read.
    static PASSING_ON: Cell<usize> = const { Cell::new(0) };
}

/// A listener that panics must not leave its thread marked.
struct ResetPassingOn;

impl Drop for ResetPassingOn {
    fn drop(&mut self) {
        PASSING_ON.set(0);
    }
}

impl Core {
    /// Passes visible records on to queues, index and the listener, in log order. Call it after a batch of appends;
    /// reads do it by themselves. Does nothing if another thread is at it: that one looks again before it ends.
    pub fn dispatch(&self) {
        if self.passing_on() {
            return;
        }
        while self.something_visible_waits() {
            let Some(mut work) = self.dispatcher.work.try_lock() else {
                return;
            };
            let passed_on = self.pass_on(&mut work);
            drop(work);
            if passed_on.is_err() {
                return;
            }
            // Pairs with the one in the appender's way to here: either it gets the lock, or this loop sees its record.
            fence(Ordering::SeqCst);
        }
    }

    /// Makes readable what is visible, for a reader: waits for a thread that is at it. Not done when it says `false`: an
    /// append is stuck with the log's lock.
    pub(crate) fn catch_up(&self) -> bool {
        if self.passing_on() {
            return true;
        }
        if self.something_visible_waits() || self.dispatcher.busy.load(Ordering::Acquire) {
            let mut work = self.dispatcher.work.lock();
            let passed_on = self.pass_on(&mut work);
            drop(work);
            if passed_on.is_err() {
                return false;
            }
            // Others may have relied on this thread while it held the lock.
            fence(Ordering::SeqCst);
            self.dispatch();
        }
        true
    }

    /// Runs `change` while no record is passed on, and then passes on what others left to this thread meanwhile.
    pub(crate) fn between_dispatches<R>(&self, change: impl FnOnce() -> R) -> R {
        let changed = self.without_dispatches(change);
        // Others may have relied on this thread while it held the lock.
        self.dispatch();
        changed
    }

    /// As [`Core::between_dispatches`], where the caller dispatches later: with what it holds until then, it would wait for
    /// queues that wait for it.
    pub(crate) fn without_dispatches<R>(&self, change: impl FnOnce() -> R) -> R {
        let _work = self.dispatcher.work.lock();
        change()
    }

    /// Bytes of the log that queues and index do not know yet.
    pub fn dispatch_behind(&self) -> i64 {
        match self.dispatcher.first_pending.load(Ordering::Acquire) {
            i64::MAX => 0,
            _ => (self.log.end() - self.dispatcher.end.load(Ordering::Acquire)).max(0),
        }
    }

    fn passing_on(&self) -> bool {
        PASSING_ON.get() == std::ptr::from_ref(self) as usize
    }

    fn something_visible_waits(&self) -> bool {
        fence(Ordering::SeqCst);
        self.dispatcher.first_pending.load(Ordering::Acquire) <= self.log.visible()
    }

    /// Fails when an append is stuck with the log's lock: who is behind it looks again, and a loop must not wait for it.
    fn pass_on(&self, work: &mut Pending) -> Result<(), AppendError> {
        PASSING_ON.set(std::ptr::from_ref(self) as usize);
        let _reset = ResetPassingOn;
        while self.take_visible(work)? {
            for (queue, slots) in work.runs() {
                queue.into_iter().for_each(|queue| self.pass_on_to(queue, slots));
            }
            if let Some(last) = work.slots.last() {
                self.index.note(&work.keys, last.entry.end());
                self.dispatcher.end.store(last.entry.end(), Ordering::Release);
                self.dispatcher.store_timestamp.store(last.store_timestamp, Ordering::Release);
                if self.saved.ends_by(last.store_timestamp) {
                    self.clock.wake();
                }
            }
            self.queues.fresh.fetch_add(work.len() as u64, Ordering::Relaxed);
            self.dispatcher.busy.store(false, Ordering::Release);
            if let Some(listener) = self.listener.read().as_deref() {
                // Pairs with the one of whoever begins to wait: either it sees these records, or the listener sees it.
                fence(Ordering::SeqCst);
                for (queue, slots) in work.runs() {
                    let queue = queue.filter(|queue| listener.is_listening(&queue.topic));
                    queue.into_iter().for_each(|queue| {
                        slots.iter().for_each(|slot| tell_safely(listener, queue, slot));
                    });
                }
            }
            work.clear();
        }
        Ok(())
    }

    /// Moves the records that are visible out of the log's list. Whether there were any.
    fn take_visible(&self, work: &mut Pending) -> Result<bool, AppendError> {
        let mut tail = self.log.claim()?;
        let visible = self.log.visible();
        let slots = &tail.pending.slots;
        let count = match slots.last() {
            Some(last) if last.entry.end() <= visible => slots.len(),
            _ => slots.partition_point(|slot| slot.entry.end() <= visible),
        };
        if count == 0 {
            return Ok(false);
        }
        self.dispatcher.busy.store(true, Ordering::Release);
        tail.pending.move_first(count, work);
        let first = tail.pending.slots.first().map_or(i64::MAX, |slot| slot.entry.end());
        self.dispatcher.first_pending.store(first, Ordering::Release);
        Ok(true)
    }

    fn pass_on_to(&self, queue: &Arc<Queue>, slots: &[Slot]) {
        let (strange, waiting) = queue.push_all(slots);
        if let Some(other) = strange {
            // Numbers are given out in log order under the log's lock, so nothing else can come from an append, but
            // for a queue whose topic was deleted in between.
            tracing::warn!(topic = %queue.topic, queue = queue.id, ?other, "entry out of order");
        }
        self.queues.note_unsaved(queue);
        if waiting >= self.queues.tails().write_at {
            self.write_if_due(queue);
        }
    }

    /// Writes the entries of a queue that wait in memory, if they are enough. What that fails for is noted where appends
    /// see it; the entries can be read.
    pub(crate) fn write_if_due(&self, queue: &Queue) {
        if let Err(error) = self.queues.write_if_due(queue) {
            let (topic, id) = (&queue.topic, queue.id);
            self.not_written(&format!("the consume queue of {topic}, queue {id}"), &error);
        }
    }
}

/// A listener that panics costs itself this record, and nobody else anything.
fn tell_safely(listener: &dyn Listener, queue: &Queue, slot: &Slot) {
    let arrival = Arrival {
        topic: &queue.topic,
        queue_id: queue.id,
        offset: slot.offset,
        next_offset: slot.offset + slot.count,
        physical_offset: slot.entry.physical_offset,
        tags_code: slot.entry.tags_code,
        store_timestamp: slot.store_timestamp,
    };
    if catch_unwind(AssertUnwindSafe(|| listener.arrived(&arrival))).is_err() {
        let (topic, id, offset) = (&queue.topic, queue.id, slot.offset);
        tracing::error!(%topic, queue = id, offset, "a listener panicked when it was told of a message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::keys::Indexed;
    use crate::store::storage::Memory;
    use crate::store::tests::{new, open, options};
    use crate::store::{FlushMode, QueueEntry};

    /// A store without threads, and how many records its listener was told of.
    fn listened_to(mode: FlushMode) -> (Core, Arc<AtomicI64>) {
        let mut options = options(&Memory::new());
        options.flush_mode = mode;
        let (core, told) = (Core::new(options, Clock::new()), Arc::new(AtomicI64::new(0)));
        core.start().unwrap();
        let count = told.clone();
        core.set_listener(move |_: &Arrival<'_>| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (core, told)
    }

    #[test]
    fn who_relied_on_a_change_between_dispatches_is_not_let_down() {
        let (core, told) = listened_to(FlushMode::Async);
        core.between_dispatches(|| {
            core.append(&new("T", 0, b"x", b"")).unwrap();
            core.dispatch();
            assert_eq!(told.load(Ordering::Relaxed), 0);
        });
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    /// Whoever waits for the disk later is told at once, and wakes nobody who would pass the record on.
    #[test]
    fn what_a_save_makes_visible_is_passed_on() {
        let (core, told) = listened_to(FlushMode::Sync);
        core.append(&new("T", 0, b"x", b"")).unwrap();
        core.save().unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn records_are_split_wherever_they_become_visible() {
        let store = open(&Memory::new());
        let queues = [store.know("A", 0).unwrap().queue, store.know("A", 1).unwrap().queue];
        // Queue 0, 0, 0, 1, none, 0, 1, 1; the second and the last have keys.
        let of = [Some(0), Some(0), Some(0), Some(1), None, Some(0), Some(1), Some(1)];
        let keys = Indexed::of(b"KEYS\x01a b").key_hashes(0, 0);
        let note = |pending: &mut Pending| {
            for (at, queue) in (0..).zip(of) {
                let entry = QueueEntry { physical_offset: at * 100, size: 100, tags_code: 0 };
                let slot = Slot { offset: at, count: 1, entry, store_timestamp: at };
                let keys = if at % 6 == 1 { keys.clone() } else { KeyHashes::default() };
                store.dispatcher.note(pending, queue.map(|queue: usize| &queues[queue]), slot, &keys);
            }
        };
        let list = |pending: &Pending| -> Vec<_> {
            let flat = |(queue, slots): (Option<&Arc<Queue>>, &[Slot])| {
                let id = queue.map(|queue| queue.id);
                slots.iter().map(move |slot| (id, slot.offset)).collect::<Vec<_>>()
            };
            pending.runs().flat_map(flat).collect()
        };
        let all: Vec<_> = of.iter().map(|queue| queue.map(|queue| queue as i32)).zip(0..).collect();
        for count in 1..=8 {
            let (mut pending, mut work) = (Pending::default(), Pending::default());
            note(&mut pending);
            pending.move_first(count, &mut work);
            assert_eq!((list(&work), list(&pending)), (all[..count].to_vec(), all[count..].to_vec()));
            assert_eq!((work.len(), pending.is_empty()), (count, count == 8));
            let offsets = |pending: &Pending| pending.keys.iter().map(|key| key.offset).collect::<Vec<_>>();
            let keyed = |from: usize, to: usize| {
                [1, 1, 7, 7]
                    .into_iter()
                    .filter(|at| (from..to).contains(at))
                    .map(|at| at as i64 * 100)
                    .collect()
            };
            let expected: (Vec<i64>, Vec<i64>) = (keyed(0, count), keyed(count, 8));
            assert_eq!((offsets(&work), offsets(&pending)), expected);
        }
    }
}
