//! The way in: checks, encoding and CRC before the log's lock; offsets and the copy under it.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::keys::{is_queued, Indexed, KeyHashes};
use super::log::Tail;
use super::queue::{Form, Queue, Slot};
use super::queues::{Place, Topic, MAX_QUEUES};
use super::types::{AppendError, Appended, QueueEntry};
use super::{check_topic, Core};
use crate::record::{self, NewRecord};
use crate::sync::MutexGuard;

/// A thread keeps a buffer up to this size between appends.
const KEPT_BUFFER: usize = 1 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is known of a record before it has its place.
struct Prepared<'a> {
    record: &'a NewRecord<'a>,
    queue: Arc<Queue>,
    indexed: Indexed<'a>,
    /// The tags code, unless it is a due time.
    tags_code: i64,
    keys: KeyHashes,
    count: i64,
    size: usize,
}

impl Core {
    /// Stores a record: assigns its offsets and store time, and copies it to the end of the log. It is in the page
    /// cache when this returns; on disk, see [`Core::when_durable`]; in its queue after [`Core::dispatch`].
    #[doc(alias = "putMessage")]
    pub fn append(&self, record: &NewRecord<'_>) -> Result<Appended, AppendError> {
        // One queue of many is in no cache; it comes out of memory while other things are done.
        let place = self.queues.place(record.topic, record.queue_id);
        self.check(record)?;
        with_buffer(|buffer| {
            record.encode_head(buffer);
            self.queues.fetch_ahead(place);
            buffer.extend_from_slice(record.body);
            record.encode_tail(buffer);
            let mut prepared = self.prepare(record, place)?;
            let mut tail = self.log.claim()?;
            let physical_offset = self.log.reserve(&mut tail, buffer.len())?;
            self.see_it_is_there(&mut prepared)?;
            let store_timestamp = self.clock.now_ms();
            let appended = self.place(&mut tail, &mut prepared, buffer, physical_offset, store_timestamp)?;
            self.after_append(tail);
            Ok(appended)
        })
    }

    /// Stores records so that they are adjacent in one file, all or none. Returns the place of the first, with the end
    /// of the last, and the commit-log offset of each.
    #[doc(alias = "putMessages")]
    pub fn append_batch(&self, records: &[NewRecord<'_>]) -> Result<(Appended, Vec<i64>), AppendError> {
        let prepare = |record| {
            self.check(record)?;
            self.prepare(record, self.queues.place(record.topic, record.queue_id))
        };
        let mut all = records.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() {
            return Err(AppendError::Illegal("the batch has no messages".into()));
        }
        with_buffer(|buffer| {
            records.iter().for_each(|record| record.encode_into(buffer));
            let mut tail = self.log.claim()?;
            let mut at = self.log.reserve(&mut tail, buffer.len())?;
            // All or none.
            all.iter_mut().try_for_each(|prepared| self.see_it_is_there(prepared))?;
            let store_timestamp = self.clock.now_ms();
            let mut offsets = Vec::with_capacity(all.len());
            let mut places: Option<Appended> = None;
            let mut rest = &mut buffer[..];
            for prepared in &mut all {
                let (encoded, behind) = rest.split_at_mut(prepared.size);
                rest = behind;
                let placed = self.place(&mut tail, prepared, encoded, at, store_timestamp)?;
                offsets.push(at);
                at = placed.end;
                places = Some(Appended { end: placed.end, ..places.unwrap_or(placed) });
            }
            self.after_append(tail);
            places.map(|places| (places, offsets)).ok_or(AppendError::Closed)
        })
    }

    /// Whether the store takes a record of these lengths.
    pub(super) fn check_record(&self, record: &NewRecord<'_>) -> Result<(), AppendError> {
        let limit = self.options.max_message_size;
        if record.body.len() > limit {
            return Err(AppendError::TooLarge { what: "body", size: record.body.len(), limit });
        }
        record::check_lengths(record).map_err(AppendError::Illegal)
    }

    /// Whether the store takes a record like this one.
    fn check(&self, record: &NewRecord<'_>) -> Result<(), AppendError> {
        self.check_record(record)?;
        if !(0..MAX_QUEUES).contains(&record.queue_id) {
            let id = record.queue_id;
            return Err(AppendError::Illegal(format!(
                "queue id {id} is not within 0 and {}",
                MAX_QUEUES - 1
            )));
        }
        Ok(())
    }

    /// What can be known of a record that was checked before it has its place. `place` is that of its queue.
    fn prepare<'a>(&self, record: &'a NewRecord<'a>, place: Place) -> Result<Prepared<'a>, AppendError> {
        let indexed = Indexed::of(record.properties);
        let tags_code = match indexed.due_time_is_code(record.topic) {
            true => 0,
            false => indexed.tags_code(record.topic, 0, &[]),
        };
        let queue = match self.queues.queue_at(place, record.topic, record.queue_id) {
            Some(queue) => queue,
            None => {
                let topic = self.topic_for_appends(record.topic)?;
                self.queues.queue_or_new(&topic, record.queue_id)
            }
        };
        queue.fetch_tail_ahead();
        let keys = match self.index.is_enabled() {
            true => indexed.key_hashes(record.sys_flag, queue.key_prefix_hash),
            false => KeyHashes::default(),
        };
        let count = if queue.form == Form::Batch { indexed.count(record.sys_flag) } else { 1 };
        Ok(Prepared { record, queue, indexed, tags_code, keys, count, size: record.encoded_len() })
    }

    /// The topic, made if it is not there.
    ///
    /// # Errors
    /// When it can name no directory; or while the checkpoint on the disk still knows of one of its name that was deleted: a
    /// start that goes by it would take the numbers of the new one for damaged ones of the old.
    pub(super) fn topic_for_appends(&self, name: &str) -> Result<Arc<Topic>, AppendError> {
        if let Some(topic) = self.queues.topic(name) {
            return Ok(topic);
        }
        check_topic(name).map_err(AppendError::Illegal)?;
        if self.saved.is_leaving(name) {
            let text = format!("topic {name} was deleted, and that is not on the disk yet; delete it again");
            return Err(AppendError::ReadOnly(text));
        }
        Ok(self.queues.topic_or_new(name, Form::Plain))
    }

    /// Gives a record its offsets and copies it to the end of the log, under the log's lock, which was held since
    /// [`Core::see_it_is_there`].
    fn place(
        &self,
        tail: &mut MutexGuard<'_, Tail>,
        prepared: &mut Prepared<'_>,
        encoded: &mut [u8],
        physical_offset: i64,
        store_timestamp: i64,
    ) -> Result<Appended, AppendError> {
        let queued = is_queued(prepared.record.sys_flag);
        let queue_offset = if queued { prepared.queue.next.load(Ordering::Relaxed) } else { 0 };
        let time_at = prepared.record.store_timestamp_at();
        record::place(encoded, time_at, queue_offset, physical_offset, store_timestamp);
        self.log.put(tail, encoded)?;
        if queued {
            prepared.queue.next.store(queue_offset + prepared.count, Ordering::Relaxed);
        }
        tail.last_store_timestamp = store_timestamp;
        let tags_code = match prepared.indexed.due_time_is_code(prepared.record.topic) {
            true => {
                let levels = &self.options.delay_levels_ms;
                prepared.indexed.tags_code(prepared.record.topic, store_timestamp, levels)
            }
            false => prepared.tags_code,
        };
        let size = prepared.size as i32;
        let slot = Slot {
            offset: queue_offset,
            count: prepared.count,
            entry: QueueEntry { physical_offset, size, tags_code },
            store_timestamp,
        };
        let queue = queued.then_some(&prepared.queue);
        self.dispatcher.note(&mut tail.pending, queue, slot, &prepared.keys);
        let end = physical_offset + prepared.size as i64;
        Ok(Appended { physical_offset, queue_offset, end, store_timestamp })
    }

    /// The topic may have been deleted since. Where it was made anew, the record is for the new one: a number of the old one
    /// behind the first record of the new one would look, in the log, as if numbers had begun anew again. Looked at with the
    /// log's lock held, which a deletion takes before it saves what comes after it (`Core::delete_topic`).
    fn see_it_is_there(&self, prepared: &mut Prepared<'_>) -> Result<(), AppendError> {
        if !prepared.queue.is_forgotten() {
            return Ok(());
        }
        let now = self.queues.topic(&prepared.queue.topic).filter(|topic| !topic.is_forgotten());
        let topic = now.ok_or(AppendError::Gone)?;
        prepared.queue = self.queues.queue_or_new(&topic, prepared.record.queue_id);
        let is_batch = topic.form == Form::Batch;
        prepared.count = if is_batch { prepared.indexed.count(prepared.record.sys_flag) } else { 1 };
        Ok(())
    }

    /// Lets the lock go, and wakes the timer if it sleeps because there was nothing to do.
    pub(super) fn after_append(&self, mut tail: MutexGuard<'_, Tail>) {
        let wake = std::mem::take(&mut tail.timer_rests);
        drop(tail);
        if wake {
            self.stirred.store(true, Ordering::Release);
            self.clock.wake();
        }
    }
}

fn with_buffer<R>(use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        let result = use_it(buffer);
        if buffer.capacity() > KEPT_BUFFER {
            *buffer = Vec::new();
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::segment::file_name;
    use crate::store::storage::{Memory, Open, Storage};
    use crate::store::tests::{bodies, new, open, options};

    /// A send is on its way while its topic is deleted, and another sends to a new one of that name.
    #[test]
    fn what_comes_late_stands_in_the_topic_that_was_made_anew() {
        let memory = Memory::new();
        let store = open(&memory);
        for _ in 0..5 {
            store.append(&new("T", 0, b"old", b"")).unwrap();
        }
        let late = new("T", 0, b"late", b"");
        let mut prepared = store.prepare(&late, store.queues.place("T", 0)).unwrap();
        store.delete_topic("T").unwrap();
        store.append(&new("T", 0, b"first", b"")).unwrap();
        let mut bytes = Vec::new();
        late.encode_head(&mut bytes);
        bytes.extend_from_slice(late.body);
        late.encode_tail(&mut bytes);
        let mut tail = store.log.claim().unwrap();
        let at = store.log.reserve(&mut tail, bytes.len()).unwrap();
        store.see_it_is_there(&mut prepared).unwrap();
        assert_eq!(store.place(&mut tail, &mut prepared, &mut bytes, at, 1).unwrap().queue_offset, 1);
        store.after_append(tail);
        store.append(&new("T", 0, b"next", b"")).unwrap();
        let all = [(0, b"first".to_vec()), (1, b"late".to_vec()), (2, b"next".to_vec())];
        assert_eq!(bodies(&store, "T", 0, 0), all);
        let store = open(&memory.killed());
        assert_eq!(bodies(&store, "T", 0, 0), all, "{:?}", store.recovery_report());
    }

    /// It was on its way when the topic went; a crash must not bring the topic back for it.
    #[test]
    fn what_comes_late_for_a_topic_that_is_gone_is_refused() {
        let memory = Memory::new();
        let mut options = options(&memory);
        options.os_page_cache_busy_time_out_ms = 30_000;
        let core = Core::new(options, Clock::new());
        core.start().unwrap();
        for topic in ["T", "Other"] {
            core.append(&new(topic, 0, b"old", b"")).unwrap();
        }
        std::thread::scope(|scope| {
            let (sender, answers) = std::sync::mpsc::channel();
            let held = || Arc::strong_count(&core.queues.queue("T", 0).unwrap());
            let before = held();
            let tail = core.log.tail.lock();
            let batch = [new("Other", 0, b"late", b""), new("T", 0, b"late", b"")];
            let (core, one) = (&core, sender.clone());
            scope.spawn(move || one.send(core.append(&new("T", 0, b"late", b"")).map(drop)).unwrap());
            scope.spawn(move || sender.send(core.append_batch(&batch).map(drop)).unwrap());
            // They hold the queue now, and wait for the log.
            while held() < before + 2 {
                std::thread::yield_now();
            }
            core.queues.delete("T").unwrap();
            drop(tail);
            for _ in 0..2 {
                assert_eq!(answers.recv().unwrap(), Err(AppendError::Gone));
            }
        });
        assert_eq!(core.topics(), ["Other"]);
        assert_eq!(core.queue_bounds("Other", 0), Some(0..1), "all of a batch or none");
    }

    /// The parts of a record come one after the other; a process that was killed in between left out the last ones.
    #[test]
    fn a_record_without_its_properties_or_their_end_was_not_written() {
        let properties = b"TAGS\x01a\x02KEYS\x01b\x02";
        for missing in [1, 5, properties.len()] {
            let memory = Memory::new();
            let store = open(&memory);
            store.append(&new("T", 0, b"whole", properties)).unwrap();
            let cut_off = store.append(&new("T", 0, b"cut off", properties)).unwrap();
            let left = memory.killed();
            let log = left.open(&store.log.dir.join(file_name(0)), Open::Existing).unwrap();
            log.write_at(cut_off.end as u64 - missing as u64, &vec![0; missing]).unwrap();
            let store = open(&left);
            assert_eq!(bodies(&store, "T", 0, 0), [(0, b"whole".to_vec())], "{missing}");
            assert_eq!(store.max_physical_offset(), cut_off.physical_offset);
        }
    }

    #[test]
    fn properties_that_recovery_would_take_for_lost_are_refused() {
        let memory = Memory::new();
        let store = open(&memory);
        let zeros = [&b"k\x01v"[..], &[0; 600], b"v\x02"].concat();
        for refused in [&b"k\x01v\0"[..], &zeros] {
            assert!(matches!(store.append(&new("T", 0, b"x", refused)), Err(AppendError::Illegal(_))));
        }
        let fine = [&b"k\x01v"[..], &[0; 500], b"v\x02"].concat();
        for number in 0..600 {
            store.append(&new("T", 0, &vec![b'x'; number], &fine)).unwrap();
        }
        let store = open(&memory.killed());
        assert_eq!(store.queue_bounds("T", 0), Some(0..600), "{:?}", store.recovery_report());
    }
}
