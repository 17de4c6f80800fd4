//! What programs ask of a cluster besides sending and consuming: messages looked up, where queues begin and end. Apache's
//! name: MQAdminImpl.

use bytes::Bytes;

use crate::client::cluster::{succeeded, Cluster};
use crate::client::stored::stored_message;
use crate::message::{property, OffsetId, StoredMessage};
use crate::record::{body_crc, records};
use crate::wire::body::MessageQueue;
use crate::wire::{
    GetEarliestMsgStoretime, GetEarliestMsgStoretimeResponse, GetMaxOffset, GetMaxOffsetResponse,
    GetMinOffset, GetMinOffsetResponse, QueryMessage, RegisterMessageFilterClass, Request, ResponseCode,
    SearchOffsetByTimestamp, SearchOffsetByTimestampResponse, ViewMessageById,
};
use crate::{Error, ErrorKind, Result};

/// Most messages of a look-up by unique id. Its copies are there when a send was repeated. Apache's number.
const MOST_COPIES: i32 = 32;

impl Cluster {
    /// Gives every master of a topic a group's filter function; an empty module takes it away.
    pub(crate) fn set_filter_function(
        &self,
        topic: &str,
        group: &str,
        name: &str,
        module: &[u8],
    ) -> Result<()> {
        let (topic, group) = (self.namespace().wrap(topic), self.namespace().wrap(group));
        let request = Request::RegisterMessageFilterClass(RegisterMessageFilterClass {
            consumer_group: group.as_ref().into(),
            topic: topic.as_ref().into(),
            class_name: name.into(),
            class_crc: body_crc(module),
            body: module,
        });
        let route = self.route(&topic)?;
        for address in route.brokers.values().filter_map(|set| set.get(&0)) {
            self.call(address, "set filter function", &request)?;
        }
        Ok(())
    }

    /// The queues of a topic that can be consumed from.
    pub(crate) fn topic_queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        let route = self.route(&self.namespace().wrap(topic))?;
        let own = |queue: &MessageQueue| MessageQueue { topic: topic.into(), ..queue.clone() };
        Ok(route.subscribe.iter().map(own).collect())
    }

    /// The message at a place, by the id that a broker gave it.
    pub(crate) fn message_by_id(&self, offset_id: &str) -> Result<StoredMessage> {
        let id: OffsetId = offset_id.parse()?;
        let address = id.host.to_string();
        let request = Request::ViewMessageById(ViewMessageById { topic: None, offset: id.physical_offset });
        self.check_process()?;
        let reply = self.net().call(&address, &request, self.options().mq_client_api_timeout)?;
        // So brokers answer when nothing is there.
        if reply.code() == ResponseCode::SYSTEM_ERROR {
            let context = format!("{offset_id} at {address}: {}", reply.remark());
            return Err(Error::new(ErrorKind::NotFound, "look up message", context));
        }
        let reply = succeeded("look up message", reply)?;
        self.own_message(reply.body(), &self.broker_at(&address).unwrap_or(address))
    }

    /// The message with this unique id, the first that was stored if a repeated send left several.
    pub(crate) fn message_by_unique_key(&self, topic: &str, id: &str) -> Result<StoredMessage> {
        let found = self.query(topic, id, MOST_COPIES, (0, i64::MAX), true)?;
        let mut copies =
            found.into_iter().filter(|message| message.properties.get(property::UNIQ_KEY) == Some(id));
        copies.next().ok_or_else(|| {
            let context = format!("no message of topic {topic:?} has the id {id}; brokers index a message soon after it is stored");
            Error::new(ErrorKind::NotFound, "look up message", context)
        })
    }

    /// Messages with this key, stored between the times, ms since 1970; the oldest first, at most `max`.
    pub(crate) fn messages_by_key(
        &self,
        topic: &str,
        key: &str,
        max: usize,
        begin: i64,
        end: i64,
    ) -> Result<Vec<StoredMessage>> {
        let count = i32::try_from(max).unwrap_or(i32::MAX);
        let mut found = self.query(topic, key, count, (begin, end), false)?;
        // Brokers compare hashes.
        found.retain(|message| message.keys().any(|own| own == key));
        found.truncate(max);
        Ok(found)
    }

    /// Asks one broker of each set of the topic; an error if none answers.
    fn query(
        &self,
        topic: &str,
        key: &str,
        max: i32,
        (begin, end): (i64, i64),
        unique: bool,
    ) -> Result<Vec<StoredMessage>> {
        let wire_topic = self.namespace().wrap(topic);
        let route = self.route(&wire_topic)?;
        let request = Request::QueryMessage(QueryMessage {
            topic: wire_topic.as_ref().into(),
            key: key.into(),
            max_num: max,
            begin_timestamp: begin,
            end_timestamp: end,
            unique_key_query: Some(unique),
        });
        let (mut found, mut failed, mut answered) = (Vec::new(), None, false);
        for (name, set) in &route.brokers {
            let Some(address) = set.get(&0).or_else(|| set.values().next()) else { continue };
            match self.call(address, "look up message", &request) {
                Ok(reply) => {
                    answered = true;
                    self.read_messages(&reply.body(), name, &mut found)?;
                }
                Err(error) if error.code() == Some(ResponseCode::QUERY_NOT_FOUND.0) => answered = true,
                Err(error) => {
                    tracing::warn!("broker {name} is left out of a look-up: {error}");
                    failed.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failed.filter(|_| !answered) {
            return Err(error);
        }
        found.retain(|message| message.topic == topic);
        found.sort_by_key(|message| (message.store_timestamp, message.physical_offset));
        Ok(found)
    }

    fn read_messages(&self, body: &Bytes, broker: &str, found: &mut Vec<StoredMessage>) -> Result<()> {
        for record in records(body) {
            found.push(self.own_message(body.slice_ref(record?.bytes()), broker)?);
        }
        Ok(())
    }

    fn own_message(&self, record: Bytes, broker: &str) -> Result<StoredMessage> {
        let mut message = stored_message(record, broker)?;
        message.topic = self.namespace().unwrap(&message.topic).into_owned().into();
        Ok(message)
    }

    /// The first offset that a queue still has.
    pub(crate) fn min_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let topic = self.namespace().wrap(&queue.topic);
        let request = Request::GetMinOffset(GetMinOffset { topic, queue_id: queue.queue_id });
        let reply = self.call(&self.master_of(queue)?, "query start of queue", &request)?;
        Ok(reply.header::<GetMinOffsetResponse>()?.offset)
    }

    /// The offset that the next message of a queue gets.
    pub(crate) fn max_offset(&self, queue: &MessageQueue) -> Result<i64> {
        let topic = self.namespace().wrap(&queue.topic);
        let request =
            Request::GetMaxOffset(GetMaxOffset { topic, queue_id: queue.queue_id, committed: true });
        let reply = self.call(&self.master_of(queue)?, "query end of queue", &request)?;
        Ok(reply.header::<GetMaxOffsetResponse>()?.offset)
    }

    /// The offset of the first message stored at a time, ms since 1970, or later.
    pub(crate) fn search_offset(&self, queue: &MessageQueue, ms: i64) -> Result<i64> {
        let request = Request::SearchOffsetByTimestamp(SearchOffsetByTimestamp {
            topic: self.namespace().wrap(&queue.topic),
            queue_id: queue.queue_id,
            timestamp: ms,
            ..SearchOffsetByTimestamp::default()
        });
        let reply = self.call(&self.master_of(queue)?, "query offset by time", &request)?;
        Ok(reply.header::<SearchOffsetByTimestampResponse>()?.offset)
    }

    /// When the oldest message of a queue was stored, ms since 1970; `None` if it has none.
    pub(crate) fn earliest_store_time(&self, queue: &MessageQueue) -> Result<Option<i64>> {
        let topic = self.namespace().wrap(&queue.topic);
        let request =
            Request::GetEarliestMsgStoretime(GetEarliestMsgStoretime { topic, queue_id: queue.queue_id });
        let reply = self.call(&self.master_of(queue)?, "query age of queue", &request)?;
        let timestamp = reply.header::<GetEarliestMsgStoretimeResponse>()?.timestamp;
        Ok((timestamp >= 0).then_some(timestamp))
    }

    /// The master that has a queue; its route is asked for if this client has not used it yet.
    fn master_of(&self, queue: &MessageQueue) -> Result<String> {
        self.check_process()?;
        if self.broker(&queue.broker_name, 0, false).is_none() {
            self.route(&self.namespace().wrap(&queue.topic))?;
        }
        self.master(&queue.broker_name)
    }
}
