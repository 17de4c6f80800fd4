//! Half messages: how they are stored, found, and put back.

use bytes::Bytes;

use crate::message::{property, sys_flag, OffsetId, Properties};
use crate::record::{NewRecord, RecordView};
use crate::store::{AppendError, Appended};
use crate::wire::{Response, ResponseCode, ResumeCheckHalfMessage};

use super::super::handler::{refuse, Answer, Refusal};
use super::super::{names, put, Broker};
use super::load::{self, Same};
use super::{op, QUEUE};

/// Bytes of properties that a half message gets when it is put back: TRANSACTION_CHECK_TIMES and
/// TRAN_PREPARED_QUEUE_OFFSET with their numbers and separators.
const RESERVE: usize = 96;

/// The half of a message on its way to the store.
pub(crate) struct Prepared {
    properties: Vec<u8>,
}

/// What is said of a message to be sent in a transaction, besides its record.
pub(crate) struct Half<'a> {
    /// The id of message and transaction.
    pub unique_id: &'a str,
    /// The producer's group, if the message does not say.
    pub group: Option<&'a str>,
    /// There are properties of another half message among the message's.
    pub of_old: bool,
}

/// Makes the half of a message; its properties are complete and end with their separator.
///
/// # Errors
/// NO_PERMISSION with rejectTransactionMessage, MESSAGE_ILLEGAL if the properties get too long.
pub(crate) fn prepare(broker: &Broker, record: &NewRecord<'_>, half: &Half<'_>) -> Result<Prepared, Refusal> {
    let config = broker.config();
    if config.reject_transaction_message {
        let remark = format!(
            "the broker[{}] sending transaction message is forbidden (rejectTransactionMessage=true)",
            config.broker_ip1
        );
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    broker.topics.system(broker, names::HALF_TOPIC);
    let mut properties = record.properties.to_vec();
    if half.of_old {
        let mut parsed = Properties::parse(&properties);
        parsed.remove(property::TRANSACTION_CHECK_TIMES);
        parsed.remove(property::TRAN_PREPARED_QUEUE_OFFSET);
        properties = parsed.encode();
    }
    // Decisions name the group; without it in the message none could be told from a stranger's.
    if let Some(group) = half.group {
        put::push_property(&mut properties, property::PGROUP, group);
    }
    put::push_property(&mut properties, property::TRANSACTION_ID, half.unique_id);
    put::push_property(&mut properties, property::REAL_TOPIC, record.topic);
    put::push_property(&mut properties, property::REAL_QID, &record.queue_id.to_string());
    // It may have to be put back with more.
    put::check_properties_with(&properties, RESERVE)?;
    Ok(Prepared { properties })
}

impl Prepared {
    /// The record of the half topic for this message.
    pub fn record<'a>(&'a self, real: &NewRecord<'a>) -> NewRecord<'a> {
        NewRecord {
            topic: names::HALF_TOPIC,
            queue_id: QUEUE,
            sys_flag: real.sys_flag & !sys_flag::TRANSACTION_MASK,
            properties: &self.properties,
            ..*real
        }
    }
}

/// What there is at an offset of the half queue.
pub(super) enum Found {
    Half(Bytes),
    /// No half message, now or later: it went with its file, or something else is there.
    Nothing,
    /// It could not be read, which may pass.
    NotNow,
}

/// Reads the half message at an offset of its queue.
pub(super) fn read(broker: &Broker, offset: i64) -> Found {
    let end = broker.store.queue_bounds(names::HALF_TOPIC, QUEUE).map_or(0, |bounds| bounds.end);
    let entry = match broker.store.try_entry(names::HALF_TOPIC, QUEUE, offset) {
        Ok(Some(entry)) => entry,
        Ok(None) if offset < end => return Found::Nothing,
        _ => return Found::NotNow,
    };
    let Some(bytes) = broker.store.record(entry.physical_offset) else {
        let gone = entry.physical_offset < broker.store.min_physical_offset();
        return if gone { Found::Nothing } else { Found::NotNow };
    };
    match RecordView::parse(&bytes) {
        Ok(record) if record.topic() == names::HALF_TOPIC && record.queue_offset() == offset => {
            Found::Half(bytes.clone())
        }
        _ => Found::Nothing,
    }
}

/// Whether two records are the same message: a producer may give two of its messages one id.
pub(super) fn same_message(one: &RecordView<'_>, other: &RecordView<'_>) -> bool {
    one.property(property::UNIQ_KEY) == other.property(property::UNIQ_KEY)
        && one.property(property::PGROUP) == other.property(property::PGROUP)
        && one.body_crc() & 0x7FFF_FFFF == other.body_crc() & 0x7FFF_FFFF
        && one.body() == other.body()
}

/// Whether a half message was put at the end of its queue again.
pub(super) fn was_put_back(record: &RecordView<'_>) -> bool {
    record.property(property::TRANSACTION_CHECK_TIMES).is_some()
        || record.property(property::TRAN_PREPARED_QUEUE_OFFSET).is_some()
}

/// The queue that a half message is meant for.
pub(super) fn real_queue<'a>(record: &RecordView<'a>) -> Option<(&'a str, i32)> {
    let topic = record.property(property::REAL_TOPIC)?;
    let queue_id = record.property(property::REAL_QID)?.parse().ok()?;
    Some((topic, queue_id)).filter(|(topic, id)| !topic.is_empty() && *id >= 0)
}

/// The properties of a half message, to be stored again. A checksum is that of the record it was in.
pub(super) fn properties(record: &RecordView<'_>) -> Properties {
    let mut properties = Properties::parse(record.properties());
    properties.remove(property::CRC32);
    properties
}

/// A record like this one, with other properties.
pub(super) fn again<'a>(
    broker: &Broker,
    record: &RecordView<'a>,
    topic: &'a str,
    properties: &'a [u8],
) -> NewRecord<'a> {
    NewRecord {
        topic,
        queue_id: QUEUE,
        flag: record.flag(),
        sys_flag: record.sys_flag(),
        born_timestamp: record.born_timestamp(),
        born_host: record.born_host(),
        store_host: broker.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: 0,
        body: record.body(),
        properties,
    }
}

/// Stores a half message at the end of its queue.
pub(super) fn put_back(
    broker: &Broker,
    record: &RecordView<'_>,
    properties: &[u8],
) -> Result<Appended, AppendError> {
    op::store(broker, &again(broker, record, names::HALF_TOPIC, properties))
}

/// RESUME_CHECK_HALF_MESSAGE (323): a half message that was given up waits for its producers again, as if it had never
/// been asked for.
pub(crate) fn resume(broker: &Broker, request: &ResumeCheckHalfMessage<'_>) -> Answer {
    let id = request.msg_id.as_deref().unwrap_or_default().to_owned();
    // One after the other, so that none is resumed twice.
    Answer::apart(broker, move |broker| match try_resume(broker, &id) {
        Ok(()) => Response::ok(),
        Err(why) => Response::error(ResponseCode::SYSTEM_ERROR, why),
    })
}

fn try_resume(broker: &Broker, id: &str) -> Result<(), String> {
    let place: OffsetId = id.parse().map_err(|error: crate::Error| error.to_string())?;
    let bytes = broker.store.record(place.physical_offset);
    let Some(record) = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok()) else {
        return Err(format!("there is no message {id}"));
    };
    // A record may stand in the body of another one; the queue knows the true ones.
    let entry = broker.store.entry(record.topic(), record.queue_id(), record.queue_offset());
    if entry.is_none_or(|entry| entry.physical_offset != place.physical_offset) {
        return Err(format!("there is no message {id}"));
    }
    let from = record.topic();
    let real = real_queue(&record).filter(|(topic, _)| !names::is_forbidden_to_send(topic));
    if from != names::GIVEN_UP_TOPIC || real.is_none() {
        let wanted = names::GIVEN_UP_TOPIC;
        return Err(format!(
            "the message {id} is in topic {from}, meant for {real:?}: only those in {wanted} that are meant \
             for a topic of clients can be resumed"
        ));
    }
    let unique_id = record.property(property::UNIQ_KEY).unwrap_or_default();
    if load::was_committed(broker, &record, unique_id, Same::Message) {
        return Err(format!("the message {id} was resumed and committed already"));
    }
    let mut properties = properties(&record);
    properties.insert(property::TRANSACTION_CHECK_TIMES, "0");
    properties.remove(property::TRAN_PREPARED_QUEUE_OFFSET);
    let mut book = broker.transactions.book.lock();
    if book.moved(unique_id).is_some_and(|offset| !book.is_decided(offset)) {
        return Err(format!("the message {id} waits for a decision already"));
    }
    let appended = put_back(broker, &record, &properties.encode()).map_err(|error| error.to_string())?;
    book.note_moved(unique_id, appended.queue_offset);
    tracing::info!(id, unique_id, "a transaction that was given up is asked for again");
    Ok(())
}
