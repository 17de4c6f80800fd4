//! SEND_MESSAGE (10), _V2 (310) and SEND_BATCH_MESSAGE (320): checks, properties, the append, the answer.
//!
//! Reference: protocol.md 4. Apache's name: SendMessageProcessor.

use std::ops::Range;
use std::sync::Arc;

use crate::message::{self, batch, property, sys_flag, OffsetId};
use crate::record::NewRecord;
use crate::store::Appended;
use crate::wire::{MessageIds, Response, ResponseCode, ResponseHeader, SendMessage, SendMessageResponse};

use super::flow;
use super::handler::{refuse, Answer, Caller, Refusal};
use super::names;
use super::permission;
use super::put;
use super::state::Topic;
use super::stats::Counter;
use super::transaction::{self, Half};
use super::Broker;

/// Clients from 3.4.9 on say themselves how often a message may be retried.
pub(super) const VERSION_WITH_MAX_RECONSUME: i32 = 121;

/// Where a checked message goes.
pub(super) struct Target {
    pub topic: String,
    pub queue_id: i32,
    /// The topic was made for this very message.
    is_new: bool,
    /// The topic would be forgotten by a crash: who is told of a message in it waits until it is saved.
    pub is_unsaved: bool,
    /// What was stored in the topic.
    pub puts: Arc<Counter>,
}

/// What the broker reads from the property string of a message before it stores it.
#[derive(Default)]
struct Seen<'a> {
    wait: bool,
    delay_level: i32,
    half: bool,
    timed: bool,
    unique_id: Option<&'a str>,
    /// Group of a half message.
    group: Option<&'a str>,
    /// It has properties that only a broker gives a half message, perhaps copied from another one.
    half_of_old: bool,
}

/// Stores one message or a batch.
pub(crate) fn send(broker: &Broker, caller: &Caller<'_>, request: &SendMessage<'_>) -> Answer {
    let target = match check(broker, caller, request) {
        Ok(target) => target,
        Err(refusal) => return refusal.into(),
    };
    let outcome = match request.is_batch() {
        true => store_batch(broker, caller, request, &target),
        false => store_one(broker, caller, request, &target),
    };
    match outcome {
        // Consumers that start when this is answered find the route.
        Ok(stored) if target.is_new => acknowledge(broker, stored).once_saved(broker).once_routed(broker),
        Ok(stored) if target.is_unsaved => acknowledge(broker, stored).once_saved(broker),
        Ok(stored) => acknowledge(broker, stored),
        Err(refusal) => refusal.into(),
    }
}

/// A stored message that waits for its promise to hold.
struct Stored {
    end: i64,
    wait: bool,
    header: SendMessageResponse,
}

/// Answers at once, or when the bytes are on the disk if the flush mode and the message ask for it.
fn acknowledge(broker: &Broker, stored: Stored) -> Answer {
    let response = Response::ok().with_header(ResponseHeader::SendMessage(stored.header));
    put::answer_when_durable(broker, stored.end, stored.wait, response)
}

pub(super) fn check(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
) -> Result<Target, Refusal> {
    check_broker(broker)?;
    flow::admit_send(broker)?;
    names::check_topic(&request.topic).map_err(|why| refuse(ResponseCode::INVALID_PARAMETER, why))?;
    if names::is_forbidden_to_send(&request.topic) {
        let remark = format!("Sending message to topic[{}] is forbidden.", request.topic);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    let known = broker.topics.find(&request.topic);
    let is_new = known.is_none();
    let topic = match known {
        Some(topic) => topic,
        None => broker.topics.create_for_send(broker, request)?,
    };
    check_writable(&topic)?;
    let queue_id = queue_id(broker, caller, request, &topic)?;
    redirect_dead(broker, caller, request, target(&topic, queue_id, is_new))
}

/// Whether the broker takes messages at all.
pub(super) fn check_broker(broker: &Broker) -> Result<(), Refusal> {
    let config = broker.config();
    if broker.clock.now_ms() < config.start_accept_send_request_time_stamp {
        let at = config.start_accept_send_request_time_stamp;
        let remark = format!("broker unable to service, until {at} (startAcceptSendRequestTimeStamp)");
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    }
    if !permission::writable(config.broker_permission) {
        let remark = format!("the broker[{}] sending message is forbidden", config.broker_ip1);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(())
}

/// Whether a topic takes messages.
pub(super) fn check_writable(topic: &Topic) -> Result<(), Refusal> {
    if !permission::writable(topic.perm) {
        let perm = topic.perm;
        let remark =
            format!("topic[{}] is not writable: its perm is {perm}, writing needs 2", topic.topic_name);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    Ok(())
}

fn target(topic: &Topic, queue_id: i32, is_new: bool) -> Target {
    Target {
        topic: topic.topic_name.clone(),
        queue_id,
        is_new,
        is_unsaved: !topic.is_saved(),
        puts: topic.puts.clone(),
    }
}

fn queue_id(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    topic: &Topic,
) -> Result<i32, Refusal> {
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    if request.queue_id >= queues {
        let remark = format!(
            "request queueId[{}] is illegal, topic {} has {} read and {} write queues. Producer: {}",
            request.queue_id,
            request.topic,
            topic.read_queue_nums,
            topic.write_queue_nums,
            caller.remote()
        );
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    Ok(match request.queue_id {
        id if id < 0 => broker.next_number(topic.write_queue_nums),
        id => id,
    })
}

/// A message that a client itself sends to a retry topic for too often goes to the dead-letter queue.
fn redirect_dead(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    target: Target,
) -> Result<Target, Refusal> {
    let Some(group_name) = target.topic.strip_prefix(names::RETRY_PREFIX) else { return Ok(target) };
    let Some(group) = broker.groups.find_or_create(broker, group_name) else {
        let remark = format!("subscription group not exist, {group_name}");
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    let own = request.max_reconsume_times.filter(|_| caller.version >= VERSION_WITH_MAX_RECONSUME);
    if request.reconsume_times < own.unwrap_or(group.retry_max_times) {
        return Ok(target);
    }
    let dead_letters = broker.topics.dead_letters(broker, group_name);
    Ok(self::target(&dead_letters, 0, target.is_new))
}

fn scan<'a>(request: &SendMessage<'_>, properties: &'a [u8]) -> Seen<'a> {
    let mut seen = Seen { wait: true, ..Seen::default() };
    for (name, value) in message::properties(properties) {
        match name {
            property::WAIT => seen.wait = value != "false",
            property::DELAY => seen.delay_level = value.parse().unwrap_or(0),
            property::TRAN_MSG => seen.half = value == "true",
            property::UNIQ_KEY => seen.unique_id = Some(value),
            property::PGROUP => seen.group = Some(value),
            property::TRANSACTION_CHECK_TIMES | property::TRAN_PREPARED_QUEUE_OFFSET => {
                seen.half_of_old = true;
            }
            property::TIMER_DELIVER_MS | property::TIMER_DELAY_MS | property::TIMER_DELAY_SEC => {
                seen.timed = true;
            }
            _ => {}
        }
    }
    // Consumers before 4.6.1 leave the mark in what they send themselves to be tried again.
    seen.half &= request.reconsume_times == 0 || seen.delay_level == 0;
    seen
}

/// What is not supported is refused: a half message stored as a normal one would reach consumers uncommitted.
fn refuse_unsupported(seen: &Seen<'_>, sys: i32, in_batch: bool) -> Result<(), Refusal> {
    let illegal = |remark| Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark));
    if seen.half && in_batch {
        return illegal("messages of a batch can not be transactional (TRAN_MSG)");
    }
    if seen.half && (seen.delay_level > 0 || seen.timed) {
        return illegal("a transactional message can not be delayed (TRAN_MSG with DELAY or TIMER_...)");
    }
    let bits = sys & sys_flag::TRANSACTION_MASK;
    if !seen.half && [sys_flag::TRANSACTION_PREPARED, sys_flag::TRANSACTION_ROLLBACK].contains(&bits) {
        return illegal("the message counts as transactional by its sysFlag (0xc), but not by TRAN_MSG=true");
    }
    if seen.timed && seen.delay_level == 0 {
        let remark = "the broker does not deliver at arbitrary times (TIMER_DELIVER_MS, TIMER_DELAY_MS, \
                      TIMER_DELAY_SEC); use a delay level";
        return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    if in_batch && seen.delay_level > 0 {
        return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, "messages of a batch can not be delayed (DELAY)"));
    }
    Ok(())
}

fn store_one(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    target: &Target,
) -> Result<Stored, Refusal> {
    let given = request.properties.as_deref().unwrap_or("").as_bytes();
    let seen = scan(request, given);
    refuse_unsupported(&seen, request.sys_flag, false)?;
    put::check_body(broker, request.body)?;
    put::check_properties(given)?;
    let (properties, made_id) = complete(broker, given, &seen);
    let unique_id = seen.unique_id.map(str::to_owned).or(made_id);
    let mut record = record(broker, caller, request, target, request.body, &properties);
    let (delayed, prepared);
    if seen.half {
        let half = Half {
            unique_id: unique_id.as_deref().unwrap_or_default(),
            group: seen.group.is_none().then_some(&*request.producer_group),
            of_old: seen.half_of_old,
        };
        prepared = transaction::prepare(broker, &record, &half)?;
        record = prepared.record(&record);
    } else if seen.delay_level > 0 && !names::is_dead_letter(&target.topic) {
        delayed = put::delayed(broker, &record, seen.delay_level);
        record = NewRecord { topic: names::SCHEDULE_TOPIC, queue_id: delayed.queue_id, ..record };
        record.properties = &delayed.properties;
    }
    let appended = broker.store.append(&record).map_err(|error| put::refusal(broker, &error))?;
    let bytes = (appended.end - appended.physical_offset) as usize;
    match record.topic == target.topic {
        true => target.puts.add(1, bytes),
        // It counts for its topic when it gets there.
        false => broker.topics.count_put(record.topic, 1, bytes),
    }
    broker.stats.put(1, bytes);
    let msg_id = MessageIds::One(offset_id(broker, appended.physical_offset));
    let header = header(broker, target.queue_id, &appended, msg_id, unique_id);
    Ok(Stored { end: appended.end, wait: seen.wait, header })
}

fn store_batch(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    target: &Target,
) -> Result<Stored, Refusal> {
    if names::is_retry(&target.topic) {
        let remark = "batch request does not support retry group [topic begins with %RETRY%]";
        return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, remark));
    }
    put::check_body(broker, request.body)?;
    let envelope = request.properties.as_deref().unwrap_or("").as_bytes();
    let wait = scan(request, envelope).wait;
    let batch = Batch::read(broker, request)?;
    let records: Vec<_> = batch.records(broker, caller, request, target);
    let appended = broker.store.append_batch(&records).map_err(|error| put::refusal(broker, &error))?;
    let (first, offsets) = appended;
    let bytes = (first.end - first.physical_offset) as usize;
    target.puts.add(records.len(), bytes);
    broker.stats.put(records.len(), bytes);
    let ids = MessageIds::Many(offsets.iter().map(|&offset| offset_id(broker, offset)).collect());
    let unique_id = message::property(envelope, property::UNIQ_KEY).map(str::to_owned);
    let header = header(broker, target.queue_id, &first, ids, unique_id);
    Ok(Stored { end: first.end, wait, header })
}

/// The items of a batch with their completed properties, which stand one behind the other in one buffer.
struct Batch<'a> {
    items: Vec<(batch::Item<'a>, Range<usize>)>,
    properties: Vec<u8>,
}

impl<'a> Batch<'a> {
    fn read(broker: &Broker, request: &SendMessage<'a>) -> Result<Self, Refusal> {
        let mut batch = Batch { items: Vec::new(), properties: Vec::new() };
        for item in batch::items(request.body) {
            let item = item.map_err(|error| refuse(ResponseCode::MESSAGE_ILLEGAL, error.to_string()))?;
            let seen = scan(request, item.properties);
            refuse_unsupported(&seen, request.sys_flag, true)?;
            put::check_properties(item.properties)?;
            let start = batch.properties.len();
            complete_into(broker, item.properties, &seen, &mut batch.properties);
            let range = start..batch.properties.len();
            batch.items.push((item, range));
        }
        if batch.items.is_empty() {
            return Err(refuse(ResponseCode::MESSAGE_ILLEGAL, "the batch holds no message"));
        }
        Ok(batch)
    }

    fn records<'b>(
        &'b self,
        broker: &Broker,
        caller: &Caller<'_>,
        request: &SendMessage<'_>,
        target: &'b Target,
    ) -> Vec<NewRecord<'b>> {
        let one = |(item, range): &'b (batch::Item<'a>, Range<usize>)| NewRecord {
            flag: item.flag,
            ..record(broker, caller, request, target, item.body, &self.properties[range.clone()])
        };
        self.items.iter().map(one).collect()
    }
}

pub(super) fn record<'a>(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    target: &'a Target,
    body: &'a [u8],
    properties: &'a [u8],
) -> NewRecord<'a> {
    NewRecord {
        topic: &target.topic,
        queue_id: target.queue_id,
        flag: request.flag,
        sys_flag: request.sys_flag,
        born_timestamp: request.born_timestamp,
        born_host: caller.remote(),
        store_host: broker.store_host(),
        reconsume_times: request.reconsume_times,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

fn complete(broker: &Broker, given: &[u8], seen: &Seen<'_>) -> (Vec<u8>, Option<String>) {
    let mut properties = Vec::with_capacity(given.len() + 128);
    let made_id = complete_into(broker, given, seen, &mut properties);
    (properties, made_id)
}

/// The property string to store: what the client gave, with the separator that 4.9 clients leave out at the end, and
/// what the broker adds. Returns the unique id if it had to make one.
fn complete_into(broker: &Broker, given: &[u8], seen: &Seen<'_>, out: &mut Vec<u8>) -> Option<String> {
    out.extend_from_slice(given);
    if given.last().is_some_and(|&last| last != message::PROPERTY_SEPARATOR) {
        out.push(message::PROPERTY_SEPARATOR);
    }
    out.extend_from_slice(broker.added_properties());
    if seen.unique_id.is_some() {
        return None;
    }
    let id = message::unique_id();
    put::push_property(out, property::UNIQ_KEY, &id);
    Some(id)
}

fn offset_id(broker: &Broker, physical_offset: i64) -> OffsetId {
    OffsetId { host: broker.store_host(), physical_offset }
}

fn header(
    broker: &Broker,
    queue_id: i32,
    appended: &Appended,
    msg_id: MessageIds,
    unique_id: Option<String>,
) -> SendMessageResponse {
    SendMessageResponse {
        msg_id,
        queue_id,
        queue_offset: appended.queue_offset,
        transaction_id: unique_id,
        batch_uniq_id: None,
        recall_handle: None,
        msg_region: Some(broker.region.clone()),
        trace_on: Some(broker.config().trace_on),
    }
}
