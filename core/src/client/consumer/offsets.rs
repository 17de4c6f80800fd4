//! How far a group has come: asked when a queue is taken over, stored while it is consumed (protocol reference,
//! section 5.2).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::super::cluster::succeeded;
use super::super::local_offsets::LocalOffsets;
use super::Shared;
use crate::config::{ConsumerOptions, MessageModel, StartFrom, Timestamp};
use crate::sync::Mutex;
use crate::wire::body::MessageQueue;
use crate::wire::{
    GetMaxOffset, GetMaxOffsetResponse, GetMinOffset, GetMinOffsetResponse, QueryConsumerOffset,
    QueryConsumerOffsetResponse, Request, ResponseCode, SearchOffsetByTimestamp,
    SearchOffsetByTimestampResponse, UpdateConsumerOffset,
};
use crate::{Error, ErrorKind, Result};

/// How long ago a group begins whose `consumeTimestamp` is not set, ms.
const DEFAULT_AGO: i64 = 30 * 60_000;

/// How far the clocks of a broker and a client may be apart, ms: what a queue that was found late has got in that time
/// before the first look at its topic is consumed too.
const CLOCKS_APART: i64 = 10 * 60_000;

/// The broker and topic of a queue.
fn place(queue: &MessageQueue) -> (String, String) {
    (queue.broker_name.clone(), queue.topic.clone())
}

/// Where consuming a queue begins.
pub(super) struct Begin {
    /// The next offset to consume.
    pub offset: i64,
    /// Whether the group has that offset stored.
    pub stored: bool,
    /// The end of the queue at present.
    pub end: i64,
}

/// Where it is kept how far the consumer has come.
pub(super) enum Store {
    /// Nowhere: there is no group.
    Nowhere,
    /// At the brokers, for all of the group.
    Brokers,
    /// In a file, for this member, until it has left.
    Local(Mutex<Option<LocalOffsets>>),
}

impl Store {
    /// Lets another consumer of this process have the file.
    pub fn release(&self) {
        if let Store::Local(file) = self {
            file.lock().take();
        }
    }

    /// `directory` holds the files of broadcasting consumers; `client_id` is the same at each start.
    pub fn new(options: &ConsumerOptions, directory: &Path, client_id: &str) -> Result<Store> {
        match (options.consumer_group.as_deref(), options.message_model) {
            (None, _) => Ok(Store::Nowhere),
            (Some(_), MessageModel::Clustering) => Ok(Store::Brokers),
            (Some(group), MessageModel::Broadcasting) => {
                let file = LocalOffsets::open(directory, client_id, group)?;
                Ok(Store::Local(Mutex::new(Some(file))))
            }
        }
    }
}

impl Shared {
    /// Where to begin in a queue that has become this consumer's.
    pub(super) fn begin(&self, queue: &MessageQueue) -> Result<Begin> {
        // In this order, so that an offset which others store meanwhile does not lie beyond the end.
        let stored = self.stored_offset(queue)?;
        let end = self.max_offset(queue)?;
        if let Some(offset) = stored {
            self.state.lock().kept_topics.insert(place(queue));
            return Ok(Begin { offset, stored: true, end });
        }
        let is_retry = Some(queue.topic.as_str()) == self.retry_topic.as_deref();
        let offset = match self.options.consume_from_where {
            // What others sent back for this group is for it from the beginning.
            _ if is_retry => 0,
            StartFrom::First => self.min_offset(queue)?,
            StartFrom::Last => match self.missed(queue) {
                // It came into being, or was found, after the start: what it has got since then is for the group.
                Some(since) => self.offset_at(queue, since.saturating_sub(CLOCKS_APART))?.min(end),
                None => end,
            },
            StartFrom::Timestamp => {
                let ago = || self.started_ms - DEFAULT_AGO;
                self.offset_at(queue, self.options.consume_timestamp.map_or_else(ago, Timestamp::ms))?
            }
        };
        Ok(Begin { offset, stored: false, end })
    }

    /// How far the group has come in a queue, as it is stored.
    pub(super) fn stored_offset(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        match &self.store {
            Store::Nowhere => Ok(None),
            Store::Brokers => self.offset_at_broker(queue),
            Store::Local(file) => Ok(file.lock().as_ref().and_then(|file| file.get(queue))),
        }
    }

    fn offset_at_broker(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        let request = Request::QueryConsumerOffset(QueryConsumerOffset {
            consumer_group: self.group().unwrap_or_default().into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            // Else a broker answers 0 in a queue that begins there, and the start asked for would not count.
            set_zero_if_not_found: Some(false),
        });
        let address = self.cluster.some_broker(&queue.broker_name)?;
        match self.cluster.call(&address, "query offset", &request) {
            Ok(reply) => Ok(Some(reply.header::<QueryConsumerOffsetResponse>()?.offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND.0) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The end of a queue: the offset that its next message gets.
    pub(super) fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let request = Request::GetMaxOffset(GetMaxOffset {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            committed: true,
        });
        let address = self.cluster.some_broker(&queue.broker_name)?;
        let reply = self.cluster.call(&address, "query end of queue", &request)?;
        Ok(reply.header::<GetMaxOffsetResponse>()?.offset)
    }

    /// The first offset that a queue still has.
    pub(super) fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let request = Request::GetMinOffset(GetMinOffset {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
        });
        let address = self.cluster.some_broker(&queue.broker_name)?;
        let reply = self.cluster.call(&address, "query start of queue", &request)?;
        Ok(reply.header::<GetMinOffsetResponse>()?.offset)
    }

    /// The offset of the first message stored at a time, ms, or later.
    pub(super) fn offset_at(&self, queue: &MessageQueue, timestamp: i64) -> Result<i64> {
        let request = Request::SearchOffsetByTimestamp(SearchOffsetByTimestamp {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            timestamp,
            ..SearchOffsetByTimestamp::default()
        });
        let address = self.cluster.some_broker(&queue.broker_name)?;
        let reply = self.cluster.call(&address, "query offset by time", &request)?;
        Ok(reply.header::<SearchOffsetByTimestampResponse>()?.offset)
    }

    /// Stores how far all queues have come, where that has changed; returns the first failure. What failed is stored
    /// next time.
    pub(in crate::client) fn persist(&self) -> Result<()> {
        self.persist_within(self.cluster.options().mq_client_api_timeout)
    }

    /// As [`Shared::persist`], with a limit of time for all of it.
    pub(super) fn persist_within(&self, limit: Duration) -> Result<()> {
        let mut result = Ok(());
        let _in_order = match limit.is_zero() {
            true => self.storing.try_lock(),
            false => Some(self.storing.lock()),
        };
        for ((queue, token, offset), stored) in self.store_all(self.unstored(), limit) {
            match stored {
                Ok(()) => self.note_stored(&queue, token, offset),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result
    }

    /// Queues whose progress is not stored.
    fn unstored(&self) -> Vec<(MessageQueue, u64, i64)> {
        if matches!(self.store, Store::Nowhere) {
            return Vec::new();
        }
        let state = self.state.lock();
        let progress =
            state.queues.iter().map(|(queue, assigned)| (queue, assigned, self.progress(assigned)));
        let unstored = progress.filter(|(_, assigned, offset)| assigned.stored != Some(*offset));
        unstored.map(|(queue, assigned, offset)| (queue.clone(), assigned.token, offset)).collect()
    }

    /// How far a queue is consumed: what the next owner begins with.
    pub(super) fn progress(&self, assigned: &super::assigned::Assigned) -> i64 {
        match self.push {
            Some(_) => assigned.progress(),
            None => assigned.consumed,
        }
    }

    fn note_stored(&self, queue: &MessageQueue, token: u64, offset: i64) {
        if let Some(assigned) = self.state.lock().assigned(queue, token) {
            assigned.stored = Some(offset);
        }
    }

    /// Stores offsets, all at once, and waits until they are or the time is over.
    #[allow(clippy::type_complexity, reason = "a list of what was given, each with its end")]
    fn store_all(
        &self,
        offsets: Vec<(MessageQueue, u64, i64)>,
        limit: Duration,
    ) -> Vec<((MessageQueue, u64, i64), Result<()>)> {
        if let Store::Local(file) = &self.store {
            let file = file.lock();
            let Some(file) = file.as_ref() else { return Vec::new() };
            offsets.iter().for_each(|(queue, _, offset)| file.set(queue, *offset));
            let failed = file.save().err().map(|error| error.to_string());
            let saved = || match &failed {
                None => Ok(()),
                Some(error) => Err(Error::new(ErrorKind::Io, "store offsets", error.as_str())),
            };
            return offsets.into_iter().map(|one| (one, saved())).collect();
        }
        let begun = Instant::now();
        self.store_first(&offsets, limit);
        // Not zero, which would mean that nobody waits for answers.
        let left = limit.saturating_sub(begun.elapsed()).max(limit.min(Duration::from_millis(1)));
        self.store_at_brokers(offsets, left)
    }

    /// Stores one offset of each topic that its broker may know none of yet, and waits until it does. Apache's broker
    /// makes the table of a group and topic with its first offset, and loses one of two that come at the same time; the
    /// first ones are stored again with the others, so that those of two members do not get in each other's way either.
    fn store_first(&self, offsets: &[(MessageQueue, u64, i64)], limit: Duration) {
        let mut new = BTreeMap::new();
        {
            let state = self.state.lock();
            for one in offsets.iter().filter(|one| !state.kept_topics.contains(&place(&one.0))) {
                new.entry(place(&one.0)).or_insert_with(|| one.clone());
            }
        }
        if new.is_empty() || limit.is_zero() {
            return;
        }
        for ((queue, _, _), stored) in self.store_at_brokers(new.into_values().collect(), limit) {
            // What failed is told when it fails with the others.
            if stored.is_ok() {
                self.state.lock().kept_topics.insert(place(&queue));
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "a list of what was given, each with its end")]
    fn store_at_brokers(
        &self,
        offsets: Vec<(MessageQueue, u64, i64)>,
        limit: Duration,
    ) -> Vec<((MessageQueue, u64, i64), Result<()>)> {
        let (told, answers) = mpsc::channel();
        let mut results = Vec::with_capacity(offsets.len());
        for one in offsets {
            let address = match self.cluster.some_broker(&one.0.broker_name) {
                Ok(address) => address,
                Err(error) => {
                    results.push((one, Err(error)));
                    continue;
                }
            };
            if limit.is_zero() {
                let sent = self.cluster.net().oneway(&address, &self.update(&one.0, one.2));
                results.push((one, sent));
                continue;
            }
            let (told, queue, offset) = (told.clone(), one.0.clone(), one.2);
            let done = move |reply: Result<crate::net::Reply>| {
                // Nobody listens any more only if this end of the channel panicked.
                let _ = told.send((one, reply.and_then(|reply| succeeded("store offset", reply)).map(drop)));
            };
            self.cluster.net().call_async(&address, &self.update(&queue, offset), limit, Box::new(done));
        }
        drop(told);
        results.extend(answers);
        results
    }

    /// Stores the offsets of queues that are given up, for their next owners.
    pub(super) fn store_given_up(&self, offsets: &[(MessageQueue, i64)]) {
        if matches!(self.store, Store::Nowhere) {
            return;
        }
        let _in_order = self.storing.lock();
        let offsets = offsets.iter().map(|(queue, offset)| (queue.clone(), 0, *offset)).collect();
        for ((queue, _, offset), stored) in
            self.store_all(offsets, self.cluster.options().mq_client_api_timeout)
        {
            if let Err(error) = stored {
                tracing::warn!("the offset {offset} of {queue:?}, which is given up, is not stored: {error}");
            }
        }
    }

    fn update<'a>(&'a self, queue: &'a MessageQueue, offset: i64) -> Request<'a> {
        Request::UpdateConsumerOffset(UpdateConsumerOffset {
            consumer_group: self.group().unwrap_or_default().into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            commit_offset: offset,
        })
    }

    /// An error that names a queue that is not this consumer's.
    pub(super) fn not_mine(operation: &'static str, queue: &MessageQueue) -> Error {
        let context = format!(
            "queue {} of {} at {} is not this consumer's at present",
            queue.queue_id, queue.topic, queue.broker_name
        );
        Error::new(ErrorKind::InvalidArgument, operation, context)
    }
}

impl Shared {
    /// Stores offsets if it is time; returns when the next time is, ms.
    pub(in crate::client) fn persist_due(&self) -> i64 {
        let options = self.cluster.options();
        let every = match self.push {
            None if self.options.auto_commit => self.options.auto_commit_interval_millis,
            _ => options.persist_consumer_offset_interval,
        };
        let now = self.cluster.now_ms();
        {
            let mut state = self.state.lock();
            let due = *state.persist_at.get_or_insert(now + every.as_millis() as i64);
            if now < due && due <= now + every.as_millis() as i64 {
                return due;
            }
            state.persist_at = Some(now + every.as_millis() as i64);
        }
        if let Err(error) = self.persist() {
            tracing::warn!("offsets are not stored for now: {error}");
        }
        now + every.as_millis() as i64
    }
}
