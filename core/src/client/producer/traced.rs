//! What a producer records about its sends, if it is to (`enableMsgTrace`; protocol reference, section 11).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sending::{Landed, Sending};
use super::transaction::TransactionState;
use super::{CommunicationMode, SendOptions, Shared};
use crate::client::trace::{MessageKind, TraceEvent};
use crate::client::tracer::Tracer;
use crate::config::ProducerOptions;
use crate::message::{self, property, sys_flag, Message, StoredMessage};
use crate::wire::body::MessageQueue;
use crate::Result;

/// The region of brokers that do not say theirs.
const DEFAULT_REGION: &str = "DefaultRegion";

/// Groups of producers that send traces begin with this.
const GROUP_PREFIX: &str = "_INNER_TRACE_PRODUCER-";

/// Records what a producer does, and sends the records by a producer of its own.
pub(super) struct Traced {
    tracer: Tracer,
    /// Sends the traces; is not traced itself.
    sender: Arc<Shared>,
}

impl Traced {
    /// For a producer with these options, if it is to be traced.
    pub fn new(producer: &Shared, options: &ProducerOptions) -> Result<Option<Traced>> {
        if !options.enable_msg_trace {
            return Ok(None);
        }
        let own = ProducerOptions {
            producer_group: format!("{GROUP_PREFIX}{}", options.producer_group),
            enable_msg_trace: false,
            max_message_size: ProducerOptions::default().max_message_size,
            ..options.clone()
        };
        // Not enrolled: brokers have nothing to ask it, and it lives as long as what it sends for.
        let sender = Shared::new(&producer.cluster, own, None)?;
        let sends = sender.clone();
        let tracer = Tracer::new(options.customized_trace_topic.as_str(), move |trace: &Message| {
            let options = SendOptions::default();
            let prepared = sends.prepare(trace, &options)?;
            let sending = sends.sending(prepared, CommunicationMode::Sync, None, &options);
            sends.send_here(sending).map(drop)
        });
        Ok(Some(Traced { tracer, sender }))
    }

    /// Sends what was recorded.
    pub fn close(&self, deadline: Instant) {
        self.tracer.close_within(deadline.saturating_duration_since(Instant::now()));
        self.sender.close();
    }

    /// A send ended.
    pub fn sent(&self, producer: &Shared, sending: &Sending<'_>, end: &Result<Landed>) {
        let landed = end.as_ref().ok();
        if landed.is_some_and(|landed| !landed.trace_on) {
            return;
        }
        let (message, cost) = (&sending.message, sending.started.elapsed());
        let text = |name: &str| message::property(message.properties.as_bytes(), name).map(String::from);
        let kind = if message.sys_flag & sys_flag::TRANSACTION_MASK != 0 {
            MessageKind::Half
        } else if text(property::DELAY).is_some() {
            MessageKind::Delayed
        } else {
            MessageKind::Normal
        };
        self.tracer.record(TraceEvent::Sent {
            time: producer.cluster.now_ms() - ms(cost),
            region: region(landed.and_then(|landed| landed.region.as_deref())),
            group: producer.options.producer_group.clone(),
            topic: producer.user_topic(&message.topic).into_owned(),
            message_id: message.message_id.clone(),
            tag: text(property::TAGS),
            keys: text(property::KEYS),
            broker: broker(producer, sending.target()),
            body_length: i32::try_from(message.body.len()).unwrap_or(i32::MAX),
            cost: i32::try_from(ms(cost)).unwrap_or(i32::MAX),
            kind,
            offset_id: landed.map(|landed| landed.sent.offset_id.clone()),
            is_sent: landed.is_some(),
            client: None,
        });
    }

    /// A transaction ended, and its producer knew how.
    pub fn decided(&self, producer: &Shared, message: &Message, landed: &Landed, state: TransactionState) {
        if !landed.trace_on {
            return;
        }
        let id = &landed.sent.message_id;
        self.tracer.record(TraceEvent::EndTransaction {
            time: producer.cluster.now_ms(),
            region: region(landed.region.as_deref()),
            group: producer.options.producer_group.clone(),
            topic: message.topic.clone(),
            message_id: id.clone(),
            tag: message.tag().map(String::from),
            keys: message.properties.get(property::KEYS).map(String::from),
            broker: broker(producer, &landed.sent.queue),
            kind: MessageKind::Transaction,
            transaction_id: landed.transaction_id.as_ref().unwrap_or(id).clone(),
            state: state.name().into(),
            is_from_check: false,
        });
    }

    /// A broker asked how a transaction ended.
    pub fn checked(&self, producer: &Shared, message: &StoredMessage, broker: &str, state: TransactionState) {
        let id = message.message_id();
        self.tracer.record(TraceEvent::EndTransaction {
            time: producer.cluster.now_ms(),
            region: region(message.properties.get(property::MSG_REGION)),
            group: producer.options.producer_group.clone(),
            topic: message.topic.to_string(),
            message_id: id.into(),
            tag: message.tag().map(String::from),
            keys: message.properties.get(property::KEYS).map(String::from),
            broker: broker.into(),
            kind: MessageKind::Transaction,
            transaction_id: id.into(),
            state: state.name().into(),
            is_from_check: true,
        });
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn region(region: Option<&str>) -> String {
    region.filter(|region| !region.is_empty()).unwrap_or(DEFAULT_REGION).into()
}

/// The address of a queue's broker, as far as it is known.
fn broker(producer: &Shared, queue: &MessageQueue) -> String {
    producer.cluster.master(&queue.broker_name).unwrap_or_default()
}
