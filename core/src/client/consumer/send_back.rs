//! What is not consumed goes back to the broker, to come again later or to become a dead letter (protocol reference,
//! section 5.4).

use std::sync::Arc;

use bytes::Bytes;

use super::super::cluster::succeeded;
use super::super::topics::NewTopic;
use super::Shared;
use crate::message::{property, StoredMessage};
use crate::record::RecordView;
use crate::wire::body::MessageQueue;
use crate::wire::{ConsumerSendMsgBack, Request, SendForm, SendMessage};
use crate::{Error, ErrorKind, Result};

/// How often a message of a concurrent consumer comes again unless the options say otherwise.
const DEFAULT_RECONSUME_TIMES: i32 = 16;

/// The delay level of a message that a listener has held for too long: 10 s.
const OVERDUE_LEVEL: i32 = 3;

/// The producer group that Apache's clients name for what they send of themselves.
const INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";

impl Shared {
    fn max_reconsume_times(&self) -> i32 {
        match self.options.max_reconsume_times {
            limit if limit >= 0 => limit,
            _ if self.orderly() => i32::MAX,
            _ => DEFAULT_RECONSUME_TIMES,
        }
    }

    fn back<'a>(&'a self, queue: &'a MessageQueue, offset: i64, id: &'a str, level: i32) -> Request<'a> {
        Request::ConsumerSendMsgBack(ConsumerSendMsgBack {
            offset,
            group: self.group().unwrap_or_default().into(),
            delay_level: level,
            origin_msg_id: Some(id.into()),
            origin_topic: Some(queue.topic.as_str().into()),
            unit_mode: self.cluster.options().unit_mode,
            max_reconsume_times: Some(self.max_reconsume_times()),
        })
    }

    /// Has the broker store the message again; if it cannot, the message is sent anew to the retry topic.
    pub(super) fn send_back(&self, queue: &MessageQueue, message: &StoredMessage, level: i32) -> Result<()> {
        let request = self.back(queue, message.physical_offset, message.message_id(), level);
        let address = self.cluster.master(&queue.broker_name);
        let sent = address.and_then(|address| self.cluster.call(&address, "send back", &request));
        let Err(error) = sent else { return Ok(()) };
        tracing::debug!("message {} is sent to the retry topic, as: {error}", message.message_id());
        self.send_to_retry_topic(message, message.reconsume_times.saturating_add(1))
            .map_err(|second| error.with_source(second))
    }

    /// As [`Shared::send_back`], of a record that need not be readable, without the second way.
    pub(super) fn send_record_back(&self, queue: &MessageQueue, record: &Bytes, level: i32) -> Result<()> {
        let offset = RecordView::parse(record)?.physical_offset();
        let request = self.back(queue, offset, "", level);
        let address = self.cluster.master(&queue.broker_name)?;
        self.cluster.call(&address, "send back", &request).map(drop)
    }

    /// Sends back a message that a listener holds; when the broker has it, it is done here. Does not wait.
    pub(super) fn send_back_overdue(
        self: &Arc<Self>,
        queue: MessageQueue,
        token: u64,
        offset: i64,
        record: Bytes,
    ) {
        let Ok(place) = RecordView::parse(&record).map(|record| record.physical_offset()) else { return };
        let Ok(address) = self.cluster.master(&queue.broker_name) else { return };
        let request = self.back(&queue, place, "", OVERDUE_LEVEL);
        let (weak, at) = (Arc::downgrade(self), queue.clone());
        let done = move |result: Result<crate::net::Reply>| {
            let Some(shared) = weak.upgrade() else { return };
            match result.and_then(|reply| succeeded("send back", reply)) {
                Ok(_) => shared.settle_overdue(&at, token, offset),
                Err(error) => tracing::warn!("{at:?} offset {offset} is sent back later: {error}"),
            }
        };
        let limit = self.cluster.options().mq_client_api_timeout;
        self.cluster.net().call_async(&address, &request, limit, Box::new(done));
    }

    /// Sends the message anew to the group's retry topic, as consumed in vain `times` times. The broker makes a dead
    /// letter of it at the limit.
    pub(super) fn send_to_retry_topic(&self, message: &StoredMessage, times: i32) -> Result<()> {
        let topic = self.retry_topic.as_deref().unwrap_or_default();
        let new_topic = NewTopic::default();
        let route = match self.cluster.known_publish_route(topic) {
            Some(route) => route,
            None => {
                let limit = self.cluster.options().mq_client_api_timeout;
                self.cluster.find_publish_route(topic, &new_topic, limit)?
            }
        };
        let turn = times.unsigned_abs() as usize;
        let queue = route.publish.get(turn % route.publish.len().max(1)).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "send back", format!("topic {topic} has no queue to send to"))
        })?;
        let mut properties = message.properties.clone();
        if !properties.contains(property::RETRY_TOPIC) {
            properties.insert(property::RETRY_TOPIC, self.cluster.namespace().wrap(&message.topic));
        }
        if !properties.contains(property::ORIGIN_MESSAGE_ID) {
            properties.insert(property::ORIGIN_MESSAGE_ID, message.message_id());
        }
        // The broker's to set, or of the record that it was in.
        for name in [property::TRAN_MSG, property::REAL_TOPIC, property::REAL_QID, property::CRC32] {
            properties.remove(name);
        }
        let level = 3i32.saturating_add(message.reconsume_times);
        properties.insert(property::DELAY, level.to_string());
        let encoded = String::from_utf8_lossy(&properties.encode()).into_owned();
        let request = Request::SendMessage(SendMessage {
            form: SendForm::V2,
            producer_group: INNER_PRODUCER.into(),
            topic: topic.into(),
            default_topic: new_topic.template.as_str().into(),
            default_topic_queue_nums: new_topic.queues,
            queue_id: queue.queue_id,
            born_timestamp: self.cluster.now_ms(),
            flag: message.flag,
            properties: Some(encoded.into()),
            reconsume_times: times,
            max_reconsume_times: Some(self.max_reconsume_times()),
            body: &message.body,
            ..SendMessage::default()
        });
        let address = self.cluster.master(&queue.broker_name)?;
        self.cluster.call(&address, "send back", &request).map(drop)
    }
}
