//! Appends to a queue that is known: what is the same for every record of it is found once, not for each.
//!
//! [`Core::append`] takes any record and looks its topic and queue up; whoever has one queue to fill, in this process,
//! asks for it once ([`Core::know`]), makes records ready outside of the log's lock ([`Ready`]), and appends them
//! ([`Core::append_ready`]).

use std::net::SocketAddr;
use std::sync::atomic::{fence, Ordering};
use std::sync::Arc;

use super::dispatch::Pending;
use super::keys::{Indexed, KeyHashes};
use super::queue::{Form, Queue, Slot};
use super::queues::{Topic, MAX_QUEUES};
use super::types::{AppendError, Appended, QueueEntry};
use super::{check_topic, Core};
use crate::record::{self, NewRecord};

/// Bytes that are kept for the next record.
const KEPT_BUFFER: usize = 1 << 20;

/// A queue that was found before. It stays what it is when its topic is deleted: nothing is appended to it then.
#[derive(Clone)]
pub struct KnownQueue {
    pub(super) topic: Arc<Topic>,
    pub(super) queue: Arc<Queue>,
}

impl KnownQueue {
    /// Whether its topic was deleted. One of the same name that was made since has other queues.
    pub fn is_gone(&self) -> bool {
        self.topic.is_forgotten()
    }
}

/// Records of one queue that are ready to be appended: encoded, with their checksums; only what their place decides is
/// still open. Made anew for each append; what it takes in memory is used again.
#[derive(Default)]
pub struct Ready {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Bytes of all bodies.
    bodies: usize,
}

/// One record in the buffer.
struct Item {
    size: usize,
    /// Where its store time stands in it.
    time_at: usize,
    tags_code: i64,
    keys: KeyHashes,
}

/// What records have in common that are made in this process.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Where they are made.
    pub born_host: SocketAddr,
    /// The address under which this broker is known.
    pub store_host: SocketAddr,
}

/// A body on its way into the store, and what describes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Content<'a> {
    /// The body, stored as given.
    pub body: &'a [u8],
    /// Encoded properties, stored as given.
    pub properties: &'a [u8],
    /// The user's flag.
    pub flag: i32,
    /// `message::sys_flag` bits.
    pub sys_flag: i32,
}

impl Ready {
    /// Forgets the records.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.bodies = 0;
        if self.bytes.capacity() > KEPT_BUFFER {
            *self = Ready::default();
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of all their bodies.
    pub fn body_bytes(&self) -> usize {
        self.bodies
    }

    /// Adds a record that `queue` is to get. Prepared and rolled back ones, which get no place in a queue, and inner
    /// batches are none of those.
    ///
    /// # Errors
    /// When a record cannot hold it; the records before it stay.
    pub fn add(
        &mut self,
        core: &Core,
        queue: &KnownQueue,
        origin: &Origin,
        content: &Content<'_>,
    ) -> Result<(), AppendError> {
        let limit = core.options.max_message_size;
        if content.body.len() > limit {
            return Err(AppendError::TooLarge { what: "body", size: content.body.len(), limit });
        }
        let record = NewRecord {
            topic: &queue.topic.name,
            queue_id: queue.queue.id,
            flag: content.flag,
            sys_flag: content.sys_flag,
            born_timestamp: 0,
            born_host: origin.born_host,
            store_host: origin.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: content.body,
            properties: content.properties,
        };
        let (mut tags_code, mut keys) = (0, KeyHashes::default());
        if !content.properties.is_empty() {
            core.check_record(&record)?;
            let indexed = Indexed::of(content.properties);
            tags_code = indexed.tags_code(record.topic, 0, &[]);
            if core.index.is_enabled() {
                keys = indexed.key_hashes(record.sys_flag, queue.topic.key_prefix_hash);
            }
        }
        let start = self.bytes.len();
        record.encode_into(&mut self.bytes);
        let time_at = record.store_timestamp_at();
        self.items.push(Item { size: self.bytes.len() - start, time_at, tags_code, keys });
        self.bodies += content.body.len();
        Ok(())
    }
}

impl Core {
    /// Finds a queue for appends to come; it is made if it is not there.
    ///
    /// # Errors
    /// When the topic or the number cannot be that of a queue.
    pub fn know(&self, topic: &str, queue_id: i32) -> Result<KnownQueue, AppendError> {
        if !(0..MAX_QUEUES).contains(&queue_id) {
            let text = format!("queue id {queue_id} is not within 0 and {}", MAX_QUEUES - 1);
            return Err(AppendError::Illegal(text));
        }
        let topic = match self.queues.topic(topic) {
            Some(topic) => topic,
            None => {
                check_topic(topic).map_err(AppendError::Illegal)?;
                self.queues.topic_or_new(topic, Form::Plain)
            }
        };
        let queue = self.queues.queue_or_new(&topic, queue_id);
        Ok(KnownQueue { topic, queue })
    }

    /// Stores what is ready, adjacent in one file, all or none. Born and stored at the same time. As after
    /// [`Core::append`]: in the page cache; on disk, see [`Core::when_durable`]; in its queue when somebody reads, or
    /// after [`Core::dispatch`].
    ///
    /// Returns the place of the first, with the end of the last, and how many records wait to be passed on.
    ///
    /// # Errors
    /// [`AppendError::Gone`] when the queue's topic was deleted; otherwise as [`Core::append`].
    pub fn append_ready(
        &self,
        known: &KnownQueue,
        ready: &mut Ready,
    ) -> Result<(Appended, usize), AppendError> {
        if ready.is_empty() {
            return Err(AppendError::Illegal("there is nothing to append".into()));
        }
        let mut tail = self.log.claim()?;
        let physical_offset = self.log.reserve(&mut tail, ready.bytes.len())?;
        // Looked at with the lock held, which a deletion takes before it saves what comes after it: what is appended
        // is gone with the topic, whatever happens then, or refused.
        if known.is_gone() {
            return Err(AppendError::Gone);
        }
        let queue = &known.queue;
        let queue_offset = queue.next.load(Ordering::Relaxed);
        let now = self.clock.now_ms();
        let (mut rest, mut at, mut number) = (&mut ready.bytes[..], physical_offset, queue_offset);
        for item in &ready.items {
            let (encoded, behind) = rest.split_at_mut(item.size);
            record::place(encoded, item.time_at, number, at, now);
            record::place_born(encoded, now);
            (rest, at, number) = (behind, at + item.size as i64, number + 1);
        }
        self.log.put(&mut tail, &ready.bytes)?;
        queue.next.store(number, Ordering::Relaxed);
        tail.last_store_timestamp = now;
        let (mut start, mut offset) = (physical_offset, queue_offset);
        for item in &mut ready.items {
            let size = item.size as i32;
            let entry = QueueEntry { physical_offset: start, size, tags_code: item.tags_code };
            let slot = Slot { offset, count: 1, entry, store_timestamp: now };
            let keys = std::mem::take(&mut item.keys);
            self.dispatcher.note(&mut tail.pending, Pending { queue: Some(queue.clone()), slot, keys });
            (start, offset) = (entry.end(), offset + 1);
        }
        let waiting = tail.pending.len();
        self.after_append(tail);
        // Pairs with the one of a reader that has said that it waits: either it sees these records, or who asks now
        // whether somebody waits sees it.
        fence(Ordering::SeqCst);
        Ok((Appended { physical_offset, queue_offset, end: at, store_timestamp: now }, waiting))
    }
}
