//! Groups moved by operators: to a time, a place or the end (222), to where another group is (314); and where groups are
//! that lag behind one (308).
//!
//! Two ways to move a group that is consuming, chosen by useServerSideResetOffset. The broker tells the next pull of each
//! queue to go on elsewhere, as 5.x does; or it sends every member the new offsets, as 4.9 does.

use std::collections::BTreeMap;

use crate::store::Boundary;
use crate::wire::body::{
    MessageQueue, OffsetTable, QueryCorrectionOffsetBody, QueueOffset, ResetOffsetBody, TopicConfig,
};
use crate::wire::{
    self, InvokeBrokerToResetOffset, Language, Request, ResetConsumerClientOffset, Response, ResponseCode,
};

use super::clients::{Peer, Subscribed};
use super::handler::{old_json, refuse, refused, Answer, Caller, Refusal};
use super::{names, offsets, waiters, Broker};

/// Version ordinal of 3.0.7's snapshot: clients before it cannot be moved.
const VERSION_WITH_RESET: i32 = 28;

type Offsets = BTreeMap<i32, i64>;

/// INVOKE_BROKER_TO_RESET_OFFSET (222). Answered with the offsets the queues have now, when they are saved.
pub(crate) fn reset(broker: &Broker, caller: &Caller<'_>, request: &InvokeBrokerToResetOffset<'_>) -> Answer {
    let (from, language) = (caller.remote(), caller.language);
    let request = InvokeBrokerToResetOffset {
        group: request.group.to_string().into(),
        topic: request.topic.to_string().into(),
        queue_id: request.queue_id,
        offset: request.offset,
        timestamp: request.timestamp,
        is_force: request.is_force,
    };
    // Where a time is in a queue stands in records that may have to be read from the disk.
    Answer::apart(broker, move |broker| {
        let (group, topic) = (&request.group, &request.topic);
        tracing::info!(%from, %group, %topic, timestamp = request.timestamp, queue = request.queue_id,
            offset = request.offset, force = request.is_force, "offsets of a group are reset");
        let moved = match broker.config().use_server_side_reset_offset {
            true => reset_here(broker, &request),
            false => reset_members(broker, language, &request),
        };
        match moved {
            Ok(offsets) => {
                let offset_table = OffsetTable(by_queue(broker, topic, &offsets));
                offsets::once_kept(broker, old_json(&ResetOffsetBody::Table { offset_table }))
            }
            Err(refusal) => refusal.into(),
        }
    })
}

fn by_queue(broker: &Broker, topic: &str, offsets: &Offsets) -> BTreeMap<MessageQueue, i64> {
    let broker_name = broker.config().broker_name.clone();
    let queue =
        |queue_id| MessageQueue { topic: topic.to_owned(), broker_name: broker_name.clone(), queue_id };
    offsets.iter().map(|(id, offset)| (queue(*id), *offset)).collect()
}

/// Moves the group in the broker's table, and its members with their next pull.
fn reset_here(broker: &Broker, request: &InvokeBrokerToResetOffset<'_>) -> Result<Offsets, Refusal> {
    let (group, topic) = (&*request.group, &*request.topic);
    let Some(settings) = broker.topics.find(topic) else {
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {topic} does not exist")));
    };
    if broker.groups.find(group).is_none() {
        let remark = format!("Group {group} does not exist");
        return Err(refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let mut offsets = targets(broker, request, settings.read_queue_nums, &settings)?;
    if !request.is_force {
        hold_back(broker, request, &mut offsets);
    }
    let is_live = !broker.clients.members(group).is_empty();
    for (&queue_id, &offset) in &offsets {
        broker.offsets.reset(group, topic, queue_id, offset, is_live);
        if is_live {
            waiters::rouse(broker, topic, queue_id);
        }
    }
    if is_live && broker.clients.members(group).is_empty() {
        // The last one left meanwhile.
        broker.offsets.nobody_to_tell(group, broker.clock.now_ms());
    }
    Ok(offsets)
}

/// Tells every member where to go on. Members that are gone before they store it find the offsets stored already.
fn reset_members(
    broker: &Broker,
    language: Language,
    request: &InvokeBrokerToResetOffset<'_>,
) -> Result<Offsets, Refusal> {
    let (group, topic) = (&*request.group, &*request.topic);
    let Some(settings) = broker.topics.find(topic) else {
        let remark = format!("[reset-offset] reset offset failed, no topic in this broker. topic={topic}");
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    };
    let mut offsets = targets(broker, request, settings.write_queue_nums, &settings)?;
    if offsets.keys().any(|queue_id| broker.offsets.find(group, topic, *queue_id).is_none()) {
        // The spelling is Apache's, which tools may look for.
        return Err(refuse(ResponseCode::SYSTEM_ERROR, format!("THe consumer group <{group}> not exist")));
    }
    if !request.is_force {
        hold_back(broker, request, &mut offsets);
    }
    let members = broker.clients.members(group);
    if members.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} Timestamp: {} \
             (commit the offsets instead, as mqadmin does, or set useServerSideResetOffset=true)",
            request.timestamp
        );
        return Err(refuse(ResponseCode::CONSUMER_NOT_ONLINE, remark));
    }
    if let Some(old) = members.iter().find(|member| member.version < VERSION_WITH_RESET) {
        let remark =
            format!("the client {} does not support this feature. version={}", old.client_id, old.version);
        return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    }
    for (&queue_id, &offset) in &offsets {
        broker.offsets.set(group, topic, queue_id, offset);
    }
    for member in members {
        let as_list = language == Language::CPP || member.language == Language::CPP;
        send_offsets(broker, &member, request, &offsets, as_list);
    }
    Ok(offsets)
}

fn send_offsets(
    broker: &Broker,
    member: &Peer,
    request: &InvokeBrokerToResetOffset<'_>,
    offsets: &Offsets,
    as_list: bool,
) {
    let table = by_queue(broker, &request.topic, offsets);
    let one = |(queue, offset): (MessageQueue, i64)| {
        let MessageQueue { topic, broker_name, queue_id } = queue;
        QueueOffset { topic, broker_name, queue_id, offset }
    };
    let body = match as_list {
        true => ResetOffsetBody::List { offset_table: table.into_iter().map(one).collect() },
        false => ResetOffsetBody::Table { offset_table: OffsetTable(table) },
    };
    member.connection.push(&Request::ResetConsumerClientOffset(ResetConsumerClientOffset {
        group: request.group.clone(),
        topic: request.topic.clone(),
        queue_id: request.queue_id,
        offset: request.offset,
        timestamp: request.timestamp,
        is_force: request.is_force,
        body,
    }));
}

/// The offset wanted for each queue: one queue's or all.
fn targets(
    broker: &Broker,
    request: &InvokeBrokerToResetOffset<'_>,
    queues: i32,
    settings: &TopicConfig,
) -> Result<Offsets, Refusal> {
    if names::is_own_progress(&request.group) {
        return Err(refuse(ResponseCode::NO_PERMISSION, names::own_progress(&request.group)));
    }
    let topic = &*request.topic;
    if request.queue_id >= queues.max(settings.read_queue_nums) {
        let remark = format!("topic {topic} has no queue {}: it has {queues}", request.queue_id);
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    if request.queue_id < 0 {
        return Ok((0..queues)
            .map(|queue| (queue, at_time(broker, topic, queue, request.timestamp)))
            .collect());
    }
    let offset = match request.offset.filter(|offset| *offset != -1) {
        None => at_time(broker, topic, request.queue_id, request.timestamp),
        Some(offset) => {
            let bounds = broker.store.queue_bounds(topic, request.queue_id).unwrap_or(0..0);
            if offset < bounds.start || offset > bounds.end {
                let (min, max) = (bounds.start, bounds.end);
                let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
                return Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
            }
            offset
        }
    };
    Ok([(request.queue_id, offset)].into())
}

/// The first message stored at or after a time; the end of the queue for a time before 1970.
fn at_time(broker: &Broker, topic: &str, queue_id: i32, timestamp: i64) -> i64 {
    let end = || broker.store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.end);
    if timestamp < 0 {
        return end();
    }
    let found = broker.store.offset_by_time(topic, queue_id, timestamp, Boundary::Lower);
    found.unwrap_or(0).max(0)
}

/// Without force a group only goes back.
fn hold_back(broker: &Broker, request: &InvokeBrokerToResetOffset<'_>, offsets: &mut Offsets) {
    for (queue_id, offset) in offsets {
        if let Some(now) = broker.offsets.find(&request.group, &request.topic, *queue_id) {
            *offset = now.min(*offset);
        }
    }
}

/// CLONE_GROUP_OFFSET (314). Answered when the offsets are saved.
pub(crate) fn clone(broker: &Broker, caller: &Caller<'_>, request: &wire::CloneGroupOffset<'_>) -> Answer {
    let (source, target) = (request.src_group.to_string(), request.dest_group.to_string());
    if broker.groups.find_or_create(broker, &target).is_none() {
        let remark = format!("Group {target} not exist!");
        return refused(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark).into();
    }
    if names::is_own_progress(&target) {
        return refused(ResponseCode::NO_PERMISSION, names::own_progress(&target)).into();
    }
    let topics = match request.topic.as_deref().filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => vec![topic.to_owned()],
        None => broker.offsets.topics_of(&source),
    };
    let (from, offline) = (caller.remote(), request.offline);
    Answer::apart(broker, move |broker| {
        tracing::info!(%from, source, target, ?topics, "offsets of a group are cloned");
        for topic in &topics {
            clone_topic(broker, &source, &target, topic, offline);
        }
        offsets::once_kept(broker, Response::ok())
    })
}

fn clone_topic(broker: &Broker, source: &str, target: &str, topic: &str, offline: bool) {
    if broker.topics.find(topic).is_none() {
        tracing::warn!(topic, "the topic does not exist: no offsets of it are cloned");
        return;
    }
    let gone = matches!(broker.clients.subscription(source, topic), Subscribed::NoTopic);
    if gone && !offline {
        tracing::warn!(topic, source, "the group does not subscribe to the topic any more: not cloned");
        return;
    }
    broker.offsets.clone_group(source, target, topic);
}

/// QUERY_CORRECTION_OFFSET (308).
pub(crate) fn corrections(broker: &Broker, request: &wire::QueryCorrectionOffset<'_>) -> Response {
    let topic = &*request.topic;
    let filter = request.filter_groups.as_deref().unwrap_or("");
    let left_out: Vec<&str> = filter.split(',').map(str::trim).collect();
    let min = |queue_id| broker.store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.start);
    let mut smallest = Offsets::new();
    for group in broker.offsets.groups_of(topic) {
        if left_out.contains(&group.as_str()) {
            continue;
        }
        for (queue_id, offset) in broker.offsets.queues_of(&group, topic) {
            if offset >= min(queue_id) {
                let least = smallest.entry(queue_id).or_insert(offset);
                *least = offset.min(*least);
            }
        }
    }
    for (queue_id, offset) in broker.offsets.queues_of(&request.compare_group, topic) {
        let least = smallest.entry(queue_id).or_insert(i64::MAX);
        if *least > offset {
            *least = i64::MAX;
        }
    }
    old_json(&QueryCorrectionOffsetBody { correction_offsets: smallest })
}
