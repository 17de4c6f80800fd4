//! What programs ask of a cluster besides sending and consuming: topics to be made, messages looked up, where queues begin
//! and end. Apache's name: MQAdminImpl.

use bytes::Bytes;

use super::cluster::{succeeded, Cluster};
use super::stored::stored_message;
use super::topics::NewTopic;
use crate::clock::deadline_in;
use crate::message::{property, OffsetId, StoredMessage};
use crate::record::{body_crc, records};
use crate::wire::body::{ClusterInfo, MessageQueue};
use crate::wire::{
    json, GetEarliestMsgStoretime, GetEarliestMsgStoretimeResponse, GetMaxOffset, GetMaxOffsetResponse,
    GetMinOffset, GetMinOffsetResponse, QueryMessage, RegisterMessageFilterClass, Request, ResponseCode,
    SearchOffsetByTimestamp, SearchOffsetByTimestampResponse, UpdateAndCreateTopic, ViewMessageById,
};
use crate::{Error, ErrorKind, Result};

/// Reading and writing.
const READ_WRITE: i32 = 6;

/// Most messages of a look-up by unique id. Its copies are there when a send was repeated. Apache's number.
const MOST_COPIES: i32 = 32;

impl Cluster {
    /// Makes a topic with this many queues on every master that takes new topics, or changes the number of one that is
    /// there.
    pub(crate) fn create_topic(&self, topic: &str, queues: i32) -> Result<()> {
        self.check_process()?;
        if queues <= 0 {
            let context = format!("topic {topic:?} with {queues} queues; it needs at least one");
            return Err(Error::new(ErrorKind::InvalidArgument, "create topic", context));
        }
        let wire_topic = self.namespace().wrap(topic);
        let request = Request::UpdateAndCreateTopic(UpdateAndCreateTopic {
            topic: wire_topic.as_ref().into(),
            default_topic: Some(NewTopic::default().template.into()),
            read_queue_nums: queues,
            write_queue_nums: queues,
            perm: READ_WRITE,
            topic_filter_type: Some("SINGLE_TAG".into()),
            topic_sys_flag: Some(0),
            ..UpdateAndCreateTopic::default()
        });
        let masters = self.masters_for_new_topics()?;
        let mut made = Err(Error::new(ErrorKind::NotFound, "create topic", "there is no master at present"));
        for address in &masters {
            match self.call(address, "create topic", &request) {
                Ok(_) => made = Ok(()),
                // One that has it is enough to use it; the others are told of.
                Err(error) if made.is_ok() => {
                    tracing::warn!("topic {topic} is not made at {address}: {error}")
                }
                Err(error) => made = Err(error),
            }
        }
        self.forget_route(&wire_topic);
        made
    }

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

    /// Masters that new topics are made on: those with the default topic, or where none makes topics by itself, all.
    fn masters_for_new_topics(&self) -> Result<Vec<String>> {
        let template = NewTopic::default().template;
        // A broker that joined a moment ago is to have the topic too.
        self.forget_route(&template);
        match self.route(&template) {
            Ok(route) => Ok(route.brokers.values().filter_map(|set| set.get(&0)).cloned().collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let limit = self.options().mq_client_api_timeout;
                let until = deadline_in(limit);
                let reply =
                    self.name_servers.ask(self.net(), &Request::GetBrokerClusterInfo, limit, until)?;
                let reply = succeeded("find brokers", reply)?;
                let info: ClusterInfo = json::from_slice(&reply.body())
                    .map_err(|error| Error::new(ErrorKind::Corrupt, "find brokers", error.to_string()))?;
                let sets = info.broker_addr_table.values();
                Ok(sets.filter_map(|set| set.broker_addrs.get(&0)).cloned().collect())
            }
            Err(error) => Err(error),
        }
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
        self.own_message(&reply.body(), &self.broker_at(&address).unwrap_or(address))
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
            found.push(self.own_message(&body.slice_ref(record?.bytes()), broker)?);
        }
        Ok(())
    }

    fn own_message(&self, record: &Bytes, broker: &str) -> Result<StoredMessage> {
        let mut message = stored_message(record, broker)?;
        message.topic = self.namespace().unwrap(&message.topic).into_owned();
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
