//! CONSUMER_SEND_MSG_BACK (36): a message that a consumer could not handle goes to its group's retry topic by way of
//! the delay levels, and to the dead-letter queue when it failed too often.
//!
//! Reference: protocol.md 5.4.

use crate::message::{property, OffsetId, Properties};
use crate::record::{NewRecord, RecordView};
use crate::wire::{ConsumerSendMsgBack, Response, ResponseCode};

use super::handler::{refuse, Answer, Caller, Refusal};
use super::send::VERSION_WITH_MAX_RECONSUME;
use super::state::Group;
use super::{flow, names, permission, put, Broker};

/// The first retry waits as long as this delay level says, each further one a level longer.
const FIRST_RETRY_LEVEL: i32 = 3;

/// Stores a copy of the message for another try, or as a dead letter.
pub(crate) fn send_back(broker: &Broker, caller: &Caller<'_>, request: &ConsumerSendMsgBack<'_>) -> Answer {
    match store_again(broker, caller, request) {
        Ok(Some((end, is_saved))) => {
            let answer = put::answer_when_durable(broker, end, true, Response::ok());
            if is_saved {
                answer
            } else {
                answer.once_saved(broker)
            }
        }
        Ok(None) => Response::ok().into(),
        Err(refusal) => refusal.into(),
    }
}

/// The end of the stored copy, and whether its topic would outlive a crash; none if the group wants no retries at all.
fn store_again(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &ConsumerSendMsgBack<'_>,
) -> Result<Option<(i64, bool)>, Refusal> {
    let group = broker.groups.find(&request.group).ok_or_else(|| {
        let remark = format!("subscription group not exist, {}", request.group);
        refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    })?;
    let config = broker.config();
    if !permission::writable(config.broker_permission) {
        let remark = format!("the broker[{}] sending message is forbidden", config.broker_ip1);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    flow::admit_send(broker)?;
    if group.retry_queue_nums <= 0 {
        return Ok(None);
    }
    let bytes = broker.store.record(request.offset);
    let Some(record) = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok()) else {
        let remark = format!("look message by offset failed, {}", request.offset);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let own = request.max_reconsume_times.filter(|_| caller.version >= VERSION_WITH_MAX_RECONSUME);
    let limit = own.unwrap_or(group.retry_max_times);
    let dead = record.reconsume_times() >= limit || request.delay_level < 0;
    let copy =
        if dead { dead_letter(broker, &group, &record) } else { retry(broker, &group, &record, request)? };
    let end = append(broker, &record, &copy)?;
    let origin = record.property(property::RETRY_TOPIC).unwrap_or(record.topic());
    // A property says what its sender likes; what is counted is bounded by the topics that there are.
    if broker.topics.find(origin).is_some() {
        group.consuming(origin, broker.clock.now_ms()).sent_back.add(1, record.body().len());
    }
    broker.stats.sent_back();
    Ok(Some((end, copy.is_saved)))
}

/// Where a copy goes and with what properties.
struct Copy {
    topic: String,
    queue_id: i32,
    delay_level: i32,
    properties: Properties,
    is_saved: bool,
}

fn base_properties(record: &RecordView<'_>) -> Properties {
    let mut properties = Properties::parse(record.properties());
    if !properties.contains(property::RETRY_TOPIC) {
        properties.insert(property::RETRY_TOPIC, record.topic());
    }
    if !properties.contains(property::ORIGIN_MESSAGE_ID) {
        properties.insert(property::ORIGIN_MESSAGE_ID, own_id(record));
    }
    properties.insert(property::WAIT, "false");
    // A checksum of the record it was in.
    properties.remove(property::CRC32);
    properties
}

fn own_id(record: &RecordView<'_>) -> String {
    OffsetId { host: record.store_host(), physical_offset: record.physical_offset() }.to_string()
}

fn retry(
    broker: &Broker,
    group: &Group,
    record: &RecordView<'_>,
    request: &ConsumerSendMsgBack<'_>,
) -> Result<Copy, Refusal> {
    let topic = broker.topics.retry(broker, &group.group_name, group.retry_queue_nums, request.unit_mode);
    if !permission::writable(topic.perm) {
        let remark = format!("the topic[{}] sending message is forbidden", topic.topic_name);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    let delay_level = match request.delay_level {
        0 => FIRST_RETRY_LEVEL.saturating_add(record.reconsume_times()),
        level => level,
    };
    // The topic may have been made when the group had fewer queues; nobody reads from others than the topic's.
    let queue_id = broker.next_number(group.retry_queue_nums.min(topic.read_queue_nums));
    Ok(Copy {
        topic: topic.topic_name.clone(),
        queue_id,
        delay_level,
        properties: base_properties(record),
        is_saved: topic.is_saved(),
    })
}

fn dead_letter(broker: &Broker, group: &Group, record: &RecordView<'_>) -> Copy {
    let topic = broker.topics.dead_letters(broker, &group.group_name);
    let mut properties = base_properties(record);
    properties.insert(property::DELAY, "0");
    let origin_topic = properties.get(property::RETRY_TOPIC).unwrap_or(record.topic()).to_owned();
    let origin_id = properties.get(property::ORIGIN_MESSAGE_ID).map_or_else(|| own_id(record), str::to_owned);
    properties.insert(property::DLQ_ORIGIN_TOPIC, origin_topic);
    properties.insert(property::DLQ_ORIGIN_MESSAGE_ID, origin_id);
    Copy {
        topic: topic.topic_name.clone(),
        queue_id: 0,
        delay_level: 0,
        properties,
        is_saved: topic.is_saved(),
    }
}

fn append(broker: &Broker, origin: &RecordView<'_>, copy: &Copy) -> Result<i64, Refusal> {
    let properties = copy.properties.encode();
    let mut record = NewRecord {
        topic: &copy.topic,
        queue_id: copy.queue_id,
        flag: origin.flag(),
        sys_flag: origin.sys_flag(),
        born_timestamp: origin.born_timestamp(),
        born_host: origin.born_host(),
        store_host: broker.store_host(),
        reconsume_times: origin.reconsume_times().saturating_add(1),
        prepared_transaction_offset: 0,
        body: origin.body(),
        properties: &properties,
    };
    let delayed;
    if copy.delay_level > 0 {
        delayed = put::delayed(broker, &record, copy.delay_level);
        record = NewRecord { topic: names::SCHEDULE_TOPIC, queue_id: delayed.queue_id, ..record };
        record.properties = &delayed.properties;
    }
    let appended = broker.store.append(&record).map_err(|error| put::refusal(broker, &error))?;
    let bytes = (appended.end - appended.physical_offset) as usize;
    broker.topics.count_put(record.topic, 1, bytes);
    broker.stats.put(1, bytes);
    Ok(appended.end)
}
