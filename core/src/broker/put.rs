//! What everything that stores a message shares: limits, properties, the delay, and the answer once it is durable.

use crate::message::{self, property, Properties};
use crate::record::NewRecord;
use crate::store::{AppendError, Durability, FlushMode};
use crate::wire::{Response, ResponseCode};

use super::handler::{refuse, refused, Answer, Refusal};
use super::Broker;

/// A message on its way through the schedule topic.
pub(crate) struct Delayed {
    /// Queue of the schedule topic: the level less one.
    pub queue_id: i32,
    /// The properties with the way back in them.
    pub properties: Vec<u8>,
}

/// Sends a message through the schedule topic: its queue there, and its properties with the real topic and queue.
/// A level above the highest counts as the highest.
pub(crate) fn delayed(broker: &Broker, record: &NewRecord<'_>, level: i32) -> Delayed {
    let level = level.clamp(1, broker.delay.highest_level());
    let mut properties = Properties::parse(record.properties);
    properties.insert(property::DELAY, level.to_string());
    properties.insert(property::REAL_TOPIC, record.topic);
    properties.insert(property::REAL_QID, record.queue_id.to_string());
    Delayed { queue_id: level - 1, properties: properties.encode() }
}

/// Appends one pair to an encoded property string that ends with its separator.
pub(crate) fn push_property(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(message::NAME_VALUE_SEPARATOR);
    out.extend_from_slice(value.as_bytes());
    out.push(message::PROPERTY_SEPARATOR);
}

/// Refuses a body over maxMessageSize.
pub(crate) fn check_body(broker: &Broker, body: &[u8]) -> Result<(), Refusal> {
    let limit = broker.config().max_message_size;
    if body.len() <= limit {
        return Ok(());
    }
    let remark = format!(
        "the message is illegal: its body has {} bytes, the limit is {limit} (maxMessageSize); \
         msg properties length limit 32KB",
        body.len()
    );
    Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark))
}

/// Refuses properties that do not fit a record.
pub(crate) fn check_properties(properties: &[u8]) -> Result<(), Refusal> {
    check_properties_with(properties, 0)
}

/// Refuses properties that do not fit a record together with `reserve` bytes more.
pub(crate) fn check_properties_with(properties: &[u8], reserve: usize) -> Result<(), Refusal> {
    let limit = message::MAX_PROPERTIES - reserve;
    if properties.len() <= limit {
        return Ok(());
    }
    let remark = format!(
        "the message is illegal: its properties have {} bytes, the limit is {limit}",
        properties.len()
    );
    Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark))
}

/// The answer to a send that the store refused.
pub(crate) fn refusal(broker: &Broker, error: &AppendError) -> Refusal {
    broker.stats.put_failed();
    let code = match error {
        AppendError::Busy { .. } => {
            return refuse(ResponseCode::SYSTEM_BUSY, format!("[PC_SYNCHRONIZED]broker busy: {error}"));
        }
        AppendError::ReadOnly(_) | AppendError::Closed => ResponseCode::SERVICE_NOT_AVAILABLE,
        AppendError::Gone => ResponseCode::TOPIC_NOT_EXIST,
        AppendError::TooLarge { .. } | AppendError::Illegal(_) => ResponseCode::MESSAGE_ILLEGAL,
    };
    refuse(code, error.to_string())
}

/// Answers with `response` at once under ASYNC_FLUSH or when the message does not want to wait, else once the bytes up
/// to `end` are on the disk.
pub(crate) fn answer_when_durable(broker: &Broker, end: i64, wait: bool, response: Response) -> Answer {
    match broker.store.flush_mode() {
        FlushMode::Async => response.into(),
        FlushMode::Sync if !wait => {
            broker.store.when_durable(end, Box::new(|_| {}));
            response.into()
        }
        FlushMode::Sync => {
            let broker = broker.shared();
            Answer::Later(Box::new(move |ticket| {
                let store = broker.store.clone();
                store.when_durable(
                    end,
                    Box::new(move |durability| ticket.reply(settle(response, durability))),
                );
            }))
        }
    }
}

fn settle(response: Response, durability: Durability) -> Response {
    match durability {
        Durability::Flushed => response,
        Durability::TimedOut => Response {
            code: ResponseCode::FLUSH_DISK_TIMEOUT,
            remark: Some("stored, but not flushed to the disk within syncFlushTimeout".into()),
            ..response
        },
        Durability::Failed(why) => refused(ResponseCode::SERVICE_NOT_AVAILABLE, why),
    }
}
