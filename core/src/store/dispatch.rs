//! From the log to queues and index: what was appended and has become visible is passed on in log order, by whoever
//! comes by, never by a thread that sleeps and looks.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{fence, AtomicBool, AtomicI64, Ordering};
use std::sync::Arc;

use super::keys::KeyHashes;
use super::queue::{Pushed, Queue, Slot};
use super::types::{AppendError, Arrival, Listener};
use super::Core;
use crate::sync::Mutex;

/// An appended record that queues and index do not know yet.
pub(crate) struct Pending {
    /// Its queue; none for what gets no place there.
    pub queue: Option<Arc<Queue>>,
    pub slot: Slot,
    pub keys: KeyHashes,
}

impl Pending {
    fn end(&self) -> i64 {
        self.slot.entry.end()
    }
}

/// State of the passing on.
pub(crate) struct Dispatcher {
    /// Held by the one who passes records on; the vector is reused.
    work: Mutex<Vec<Pending>>,
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
    pub fn note(&self, pending: &mut Vec<Pending>, record: Pending) {
        if pending.is_empty() {
            self.first_pending.store(record.end(), Ordering::Release);
        }
        pending.push(record);
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

    /// Runs `change` while no record is passed on.
    pub(crate) fn between_dispatches<R>(&self, change: impl FnOnce() -> R) -> R {
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
    fn pass_on(&self, work: &mut Vec<Pending>) -> Result<(), AppendError> {
        PASSING_ON.set(std::ptr::from_ref(self) as usize);
        let _reset = ResetPassingOn;
        while self.take_visible(work)? {
            for record in work.iter() {
                self.pass_on_one(record);
            }
            self.index.note(work);
            if let Some(last) = work.last() {
                self.dispatcher.end.store(last.end(), Ordering::Release);
                self.dispatcher.store_timestamp.store(last.slot.store_timestamp, Ordering::Release);
            }
            self.queues.fresh.fetch_add(work.len() as u64, Ordering::Relaxed);
            self.dispatcher.busy.store(false, Ordering::Release);
            if let Some(listener) = self.listener.read().as_ref() {
                work.iter().for_each(|record| tell_safely(listener, record));
            }
            work.clear();
        }
        Ok(())
    }

    /// Moves the records that are visible out of the log's list. Whether there were any.
    fn take_visible(&self, work: &mut Vec<Pending>) -> Result<bool, AppendError> {
        let mut tail = self.log.claim()?;
        let visible = self.log.visible();
        let count = tail.pending.partition_point(|record| record.end() <= visible);
        if count == 0 {
            return Ok(false);
        }
        self.dispatcher.busy.store(true, Ordering::Release);
        if count == tail.pending.len() {
            std::mem::swap(&mut tail.pending, work);
        } else {
            work.extend(tail.pending.drain(..count));
        }
        let first = tail.pending.first().map_or(i64::MAX, Pending::end);
        self.dispatcher.first_pending.store(first, Ordering::Release);
        Ok(true)
    }

    fn pass_on_one(&self, record: &Pending) {
        let Some(queue) = &record.queue else { return };
        match queue.push(&record.slot) {
            Pushed::Added => {}
            // Numbers are given out in log order under the log's lock, so nothing else can come from an append, but
            // for a queue whose topic was deleted in between.
            other => tracing::warn!(topic = %queue.topic, queue = queue.id, ?other, "entry out of order"),
        }
        self.queues.note_unsaved(queue);
        self.write_if_due(queue);
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
fn tell_safely(listener: &Listener, record: &Pending) {
    let told = catch_unwind(AssertUnwindSafe(|| tell(listener, record)));
    if told.is_err() {
        let (offset, queue) = (record.slot.offset, record.queue.as_ref());
        let place = queue.map_or(String::new(), |queue| format!("{}, queue {}", queue.topic, queue.id));
        tracing::error!(%place, offset, "a listener panicked when it was told of a message");
    }
}

fn tell(listener: &Listener, record: &Pending) {
    if let Some(queue) = &record.queue {
        listener(&Arrival {
            topic: &queue.topic,
            queue_id: queue.id,
            offset: record.slot.offset,
            next_offset: record.slot.offset + record.slot.count,
            physical_offset: record.slot.entry.physical_offset,
            tags_code: record.slot.entry.tags_code,
            store_timestamp: record.slot.store_timestamp,
        });
    }
}
