//! How far a group has come: asked when a queue is taken over, stored while it is consumed (protocol reference,
//! section 5.2).

use super::consumer::Shared;
use crate::config::{StartFrom, Timestamp};
use crate::message::sys_flag;
use crate::wire::body::MessageQueue;
use crate::wire::{
    GetMaxOffset, GetMaxOffsetResponse, GetMinOffset, GetMinOffsetResponse, QueryConsumerOffset,
    QueryConsumerOffsetResponse, Request, ResponseCode, SearchOffsetByTimestamp,
    SearchOffsetByTimestampResponse, UpdateConsumerOffset,
};
use crate::{ErrorKind, Result};

/// Where consuming a queue begins.
pub(super) struct Begin {
    /// The next offset to consume.
    pub offset: i64,
    /// Whether the group has that offset stored.
    pub stored: bool,
    /// The end of the queue at present.
    pub end: i64,
}

impl Shared {
    /// Where to begin in a queue that has become this consumer's.
    pub(super) fn begin(&self, queue: &MessageQueue) -> Result<Begin> {
        // In this order, so that an offset which others store meanwhile does not lie beyond the end.
        let stored = self.stored_offset(queue)?;
        let end = self.max_offset(queue)?;
        if let Some(offset) = stored {
            return Ok(Begin { offset, stored: true, end });
        }
        let is_retry = Some(queue.topic.as_str()) == self.retry_topic();
        let offset = match self.options().consume_from_where {
            // What others sent back for this group is for it from the beginning.
            _ if is_retry => 0,
            StartFrom::First => self.min_offset(queue)?,
            StartFrom::Last => end,
            StartFrom::Timestamp => {
                let half_an_hour_ago = || self.cluster().now_ms() - 1_800_000;
                let time = self.options().consume_timestamp.map_or_else(half_an_hour_ago, Timestamp::ms);
                self.offset_at(queue, time)?
            }
        };
        Ok(Begin { offset, stored: false, end })
    }

    fn stored_offset(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        let Some(group) = self.group() else { return Ok(None) };
        let request = Request::QueryConsumerOffset(QueryConsumerOffset {
            consumer_group: group.into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            // Else a broker answers 0 in a queue that begins there, and the start asked for would not count.
            set_zero_if_not_found: Some(false),
        });
        let address = self.cluster().master(&queue.broker_name)?;
        match self.cluster().call(&address, "query offset", &request) {
            Ok(reply) => Ok(Some(reply.header::<QueryConsumerOffsetResponse>()?.offset)),
            Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND.0) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let request = Request::GetMaxOffset(GetMaxOffset {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            committed: true,
        });
        let address = self.cluster().master(&queue.broker_name)?;
        let reply = self.cluster().call(&address, "query end of queue", &request)?;
        Ok(reply.header::<GetMaxOffsetResponse>()?.offset)
    }

    fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let request = Request::GetMinOffset(GetMinOffset {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
        });
        let address = self.cluster().master(&queue.broker_name)?;
        let reply = self.cluster().call(&address, "query start of queue", &request)?;
        Ok(reply.header::<GetMinOffsetResponse>()?.offset)
    }

    fn offset_at(&self, queue: &MessageQueue, timestamp: i64) -> Result<i64> {
        let request = Request::SearchOffsetByTimestamp(SearchOffsetByTimestamp {
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            timestamp,
            ..SearchOffsetByTimestamp::default()
        });
        let address = self.cluster().master(&queue.broker_name)?;
        let reply = self.cluster().call(&address, "query offset by time", &request)?;
        Ok(reply.header::<SearchOffsetByTimestampResponse>()?.offset)
    }

    /// Stores how far all queues have been committed, where that has changed. Goes on after a failure and returns the
    /// first one; what failed is stored next time.
    pub(super) fn persist(&self) -> Result<()> {
        let mut result = Ok(());
        let mut unreachable: Vec<String> = Vec::new();
        for (queue, offset) in self.unstored() {
            if unreachable.contains(&queue.broker_name) {
                continue;
            }
            match self.store_offset(&queue, offset) {
                Ok(()) => self.note_stored(&queue, offset),
                Err(error) => {
                    if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connection) {
                        unreachable.push(queue.broker_name);
                    }
                    result = result.and(Err(error));
                }
            }
        }
        result
    }

    pub(super) fn store_offset(&self, queue: &MessageQueue, offset: i64) -> Result<()> {
        let Some(request) = self.update(queue, offset) else { return Ok(()) };
        let address = self.cluster().master(&queue.broker_name)?;
        self.cluster().call(&address, "store offset", &request).map(drop)
    }

    /// As [`Shared::store_offset`], without waiting.
    pub(super) fn store_offset_blindly(&self, queue: &MessageQueue, offset: i64) {
        let Some(request) = self.update(queue, offset) else { return };
        let sent = self.cluster().master(&queue.broker_name);
        if let Err(error) = sent.and_then(|address| self.cluster().net().oneway(&address, &request)) {
            tracing::debug!("the offset of {queue:?} is not stored: {error}");
        }
    }

    fn update<'a>(&'a self, queue: &'a MessageQueue, offset: i64) -> Option<Request<'a>> {
        Some(Request::UpdateConsumerOffset(UpdateConsumerOffset {
            consumer_group: self.group()?.into(),
            topic: queue.topic.as_str().into(),
            queue_id: queue.queue_id,
            commit_offset: offset,
        }))
    }

    /// The flag and value with which a pull stores an offset along the way.
    pub(super) fn commit_along(&self, consumed: i64, broker_id: i64) -> (i32, i64) {
        match self.group() {
            Some(_) if consumed > 0 && broker_id == 0 => (sys_flag::pull::COMMIT_OFFSET, consumed),
            _ => (0, 0),
        }
    }
}
