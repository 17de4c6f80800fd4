//! Appends to a queue that is known: what is the same for every record of it is found once, not for each.
//!
//! [`Core::append`] takes any record and looks its topic and queue up; whoever has one queue to fill, in this process,
//! asks for it once ([`Core::know`]), makes records ready outside of the log's lock ([`Ready`]), and appends them
//! ([`Core::append_ready`]).

use std::net::SocketAddr;
use std::sync::atomic::{fence, Ordering};
use std::sync::Arc;

use super::keys::{Indexed, KeyHashes};
use super::log::Tail;
use super::queue::{Queue, Slot};
use super::queues::{Topic, MAX_QUEUES};
use super::types::{AppendError, Appended, QueueEntry};
use super::Core;
use crate::record::{self, Mould, NewRecord};
use crate::sync::MutexGuard;

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
pub struct Ready {
    queue: KnownQueue,
    mould: Mould,
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// Bytes of all bodies.
    bodies: usize,
}

/// One record in the buffer.
struct Item {
    size: usize,
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
    /// For records of a queue, none so far.
    pub fn new(queue: KnownQueue, origin: &Origin) -> Ready {
        let mould = Mould::new(&NewRecord {
            topic: &queue.topic.name,
            queue_id: queue.queue.id,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: origin.born_host,
            store_host: origin.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &[],
            properties: &[],
        });
        Ready { queue, mould, bytes: Vec::new(), items: Vec::new(), bodies: 0 }
    }

    /// Forgets the records.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.bodies = 0;
        if self.bytes.capacity() > KEPT_BUFFER {
            (self.bytes, self.items) = (Vec::new(), Vec::new());
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

    /// Bytes of all the records.
    pub fn encoded_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record that the queue is to get. Prepared and rolled back ones, which get no place in a queue, and inner
    /// batches are none of those.
    ///
    /// # Errors
    /// When a record cannot hold it; the records before it stay.
    pub fn add(&mut self, core: &Core, content: &Content<'_>) -> Result<(), AppendError> {
        let (tags_code, keys) = self.look(core, content)?;
        let Content { body, properties, flag, sys_flag } = *content;
        self.bytes.extend_from_slice(&self.mould.head(flag, sys_flag, body, properties.len()));
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(self.mould.topic());
        self.bytes.extend_from_slice(&(properties.len() as i16).to_be_bytes());
        self.bytes.extend_from_slice(properties);
        let size = self.mould.encoded_len(body.len(), properties.len());
        self.items.push(Item { size, tags_code, keys });
        self.bodies += body.len();
        Ok(())
    }

    /// What queue and index are to know of a record, if there can be such a one.
    fn look(&self, core: &Core, content: &Content<'_>) -> Result<(i64, KeyHashes), AppendError> {
        let limit = core.options.max_message_size;
        if content.body.len() > limit {
            return Err(AppendError::TooLarge { what: "body", size: content.body.len(), limit });
        }
        if content.properties.is_empty() {
            return Ok((0, KeyHashes::default()));
        }
        record::check_properties(content.properties).map_err(AppendError::Illegal)?;
        let (indexed, topic) = (Indexed::of(content.properties), &self.queue.topic);
        let keys = match core.index.is_enabled() {
            true => indexed.key_hashes(content.sys_flag, topic.key_prefix_hash),
            false => KeyHashes::default(),
        };
        Ok((indexed.tags_code(&topic.name, 0, &[]), keys))
    }
}

impl Core {
    /// Finds a queue for appends to come; it is made if it is not there.
    ///
    /// # Errors
    /// When the topic or the number cannot be that of a queue, or the topic is being deleted.
    pub fn know(&self, topic: &str, queue_id: i32) -> Result<KnownQueue, AppendError> {
        if !(0..MAX_QUEUES).contains(&queue_id) {
            let text = format!("queue id {queue_id} is not within 0 and {}", MAX_QUEUES - 1);
            return Err(AppendError::Illegal(text));
        }
        let topic = self.topic_for_appends(topic)?;
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
    pub fn append_ready(&self, ready: &mut Ready) -> Result<(Appended, usize), AppendError> {
        if ready.is_empty() {
            return Err(AppendError::Illegal("there is nothing to append".into()));
        }
        let (mut tail, physical_offset) = self.claim_for(&ready.queue, ready.bytes.len())?;
        let queue = &ready.queue.queue;
        let queue_offset = queue.next.load(Ordering::Relaxed);
        let now = self.clock.now_ms();
        let (mut rest, mut at, mut number) = (&mut ready.bytes[..], physical_offset, queue_offset);
        for item in &ready.items {
            let (encoded, behind) = rest.split_at_mut(item.size);
            record::place(encoded, ready.mould.store_timestamp_at, number, at, now);
            record::place_born(encoded, now);
            (rest, at, number) = (behind, at + item.size as i64, number + 1);
        }
        self.log.put(&mut tail, &ready.bytes)?;
        queue.next.store(number, Ordering::Relaxed);
        let mut slot = Slot {
            offset: queue_offset,
            count: 1,
            entry: QueueEntry { physical_offset, size: 0, tags_code: 0 },
            store_timestamp: now,
        };
        for item in &ready.items {
            (slot.entry.size, slot.entry.tags_code) = (item.size as i32, item.tags_code);
            self.dispatcher.note(&mut tail.pending, Some(queue), slot, &item.keys);
            slot.entry.physical_offset = slot.entry.end();
            slot.offset += 1;
        }
        let waiting = self.leave(tail, now);
        Ok((Appended { physical_offset, queue_offset, end: at, store_timestamp: now }, waiting))
    }

    /// Stores one record of the queue that `ready` is for, which is not looked at otherwise: as [`Ready::add`] and
    /// [`Core::append_ready`], with a copy less.
    ///
    /// # Errors
    /// As those.
    pub fn append_one(&self, ready: &Ready, content: &Content<'_>) -> Result<(Appended, usize), AppendError> {
        let (tags_code, keys) = ready.look(self, content)?;
        let Content { body, properties, flag, sys_flag } = *content;
        let mut head = ready.mould.head(flag, sys_flag, body, properties.len());
        let size = ready.mould.encoded_len(body.len(), properties.len());
        let (mut tail, physical_offset) = self.claim_for(&ready.queue, size)?;
        let queue = &ready.queue.queue;
        let offset = queue.next.load(Ordering::Relaxed);
        let now = self.clock.now_ms();
        record::place(&mut head, ready.mould.store_timestamp_at, offset, physical_offset, now);
        record::place_born(&mut head, now);
        match properties.is_empty() {
            true => self.log.put_parts(&mut tail, &[&head, body, ready.mould.bare_tail()])?,
            false => {
                let length = (properties.len() as i16).to_be_bytes();
                let parts: [&[u8]; 5] = [&head, body, ready.mould.topic(), &length, properties];
                self.log.put_parts(&mut tail, &parts)?;
            }
        }
        queue.next.store(offset + 1, Ordering::Relaxed);
        let entry = QueueEntry { physical_offset, size: size as i32, tags_code };
        let slot = Slot { offset, count: 1, entry, store_timestamp: now };
        self.dispatcher.note(&mut tail.pending, Some(queue), slot, &keys);
        let waiting = self.leave(tail, now);
        Ok((
            Appended { physical_offset, queue_offset: offset, end: entry.end(), store_timestamp: now },
            waiting,
        ))
    }

    /// The log's lock, and the place of so many bytes for a queue that is still there.
    fn claim_for(&self, known: &KnownQueue, size: usize) -> Result<(MutexGuard<'_, Tail>, i64), AppendError> {
        let mut tail = self.log.claim()?;
        let physical_offset = self.log.reserve(&mut tail, size)?;
        // Looked at with the lock held, which a deletion takes before it saves what comes after it: what is appended
        // is gone with the topic, whatever happens then, or refused.
        match known.is_gone() {
            true => Err(AppendError::Gone),
            false => Ok((tail, physical_offset)),
        }
    }

    /// Lets the lock go. Returns how many records wait to be passed on.
    fn leave(&self, mut tail: MutexGuard<'_, Tail>, now: i64) -> usize {
        tail.last_store_timestamp = now;
        let waiting = tail.pending.len();
        self.after_append(tail);
        // Pairs with the one of a reader that has said that it waits: either it sees these records, or who asks now
        // whether somebody waits sees it.
        fence(Ordering::SeqCst);
        waiting
    }
}
