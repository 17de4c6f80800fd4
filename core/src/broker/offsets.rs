//! Offsets asked and told: of groups (14, 15) and of queues (29 to 32). Reference: protocol.md 5.2.

use crate::store::Boundary;
use crate::wire::{
    self, GetEarliestMsgStoretimeResponse, GetMaxOffsetResponse, GetMinOffsetResponse,
    QueryConsumerOffsetResponse, Response, ResponseCode, ResponseHeader, SearchOffsetByTimestampResponse,
};

use super::handler::{refused, Answer, Caller};
use super::state::QueueOf;
use super::{names, Broker};

/// QUERY_CONSUMER_OFFSET (14). A group without an offset starts at 0 in a queue that still begins there, so that it
/// misses nothing that is sent before its first pull (4.9's answer; 5.3 says "not found" for an empty queue).
pub(crate) fn query(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::QueryConsumerOffset<'_>,
) -> Response {
    let (group, topic, queue_id) = (&*request.consumer_group, &*request.topic, request.queue_id);
    broker.offsets.note_asked(QueueOf { group, topic, queue_id }, caller.connection.id());
    if let Some(offset) = broker.offsets.find(group, topic, queue_id) {
        return found(offset);
    }
    let may_start_at_min = broker.groups.find(group).is_none_or(|settings| settings.consume_from_min_enable);
    let starts_at_zero = || match broker.store.queue_bounds(topic, queue_id) {
        None => true,
        Some(bounds) if bounds.is_empty() => bounds.start <= 0,
        Some(bounds) => bounds.start <= 0 && broker.store.is_in_memory(topic, queue_id, 0),
    };
    if request.set_zero_if_not_found != Some(false) && may_start_at_min && starts_at_zero() {
        return found(0);
    }
    refused(ResponseCode::QUERY_NOT_FOUND, "Not found, maybe this group consumer boot first")
}

fn found(offset: i64) -> Response {
    let header = QueryConsumerOffsetResponse { offset };
    Response::ok().with_header(ResponseHeader::QueryConsumerOffset(header))
}

/// UPDATE_CONSUMER_OFFSET (15). An offset for a topic or group that does not exist is refused, as in 5.x: it would
/// stay in the table for ever.
pub(crate) fn update(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::UpdateConsumerOffset<'_>,
) -> Response {
    let (group, topic) = (&*request.consumer_group, &*request.topic);
    if broker.groups.find(group).is_none() {
        return refused(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, format!("Group {group} not exist!"));
    }
    if names::is_own_progress(group) {
        return refused(ResponseCode::NO_PERMISSION, names::own_progress(group));
    }
    if broker.topics.find(topic).is_none() {
        return refused(ResponseCode::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!"));
    }
    if request.queue_id < 0 || request.commit_offset < 0 {
        let (queue, offset) = (request.queue_id, request.commit_offset);
        let remark = format!("offset {offset} of queue {queue} is illegal: neither may be negative");
        return refused(ResponseCode::SYSTEM_ERROR, remark);
    }
    let (at, now) = (QueueOf { group, topic, queue_id: request.queue_id }, broker.clock.now_ms());
    if !broker.offsets.commit(at, request.commit_offset, caller.connection.id(), now) {
        // Progress from before the reset; the client hears of it with its next pull.
        return Response { remark: Some("Offset has been previously reset".into()), ..Response::ok() };
    }
    Response::ok()
}

/// `answer`, once the offsets of groups are on the disk as they are now; an error if they cannot be. Waits for the disk.
pub(crate) fn once_kept(broker: &Broker, answer: Response) -> Response {
    match broker.offsets.save(broker.clock.now_ms()) {
        Ok(()) => answer,
        Err(error) => {
            let remark = format!("offsets are changed until the next start only: {error}");
            refused(ResponseCode::SYSTEM_ERROR, remark)
        }
    }
}

/// GET_MAX_OFFSET (30): the offset the next message will get; 0 for a queue that does not exist.
pub(crate) fn max(broker: &Broker, request: &wire::GetMaxOffset<'_>) -> Response {
    let offset = broker.store.queue_bounds(&request.topic, request.queue_id).map_or(0, |bounds| bounds.end);
    Response::ok().with_header(ResponseHeader::GetMaxOffset(GetMaxOffsetResponse { offset }))
}

/// GET_MIN_OFFSET (31): the first offset still kept.
pub(crate) fn min(broker: &Broker, request: &wire::GetMinOffset<'_>) -> Response {
    let offset = broker.store.queue_bounds(&request.topic, request.queue_id).map_or(0, |bounds| bounds.start);
    Response::ok().with_header(ResponseHeader::GetMinOffset(GetMinOffsetResponse { offset }))
}

/// SEARCH_OFFSET_BY_TIMESTAMP (29). Times stand in records, which may have to be read from the disk.
pub(crate) fn search(broker: &Broker, request: &wire::SearchOffsetByTimestamp<'_>) -> Answer {
    let boundary = match request.boundary_type.as_deref() {
        Some(text) if text.eq_ignore_ascii_case("UPPER") => Boundary::Upper,
        _ => Boundary::Lower,
    };
    let (topic, queue_id, time) = (request.topic.to_string(), request.queue_id, request.timestamp);
    Answer::looked_up(broker, move |broker| {
        let found = broker.store.offset_by_time(&topic, queue_id, time, boundary);
        let header = SearchOffsetByTimestampResponse { offset: found.unwrap_or(0) };
        Response::ok().with_header(ResponseHeader::SearchOffsetByTimestamp(header))
    })
}

/// GET_EARLIEST_MSG_STORETIME (32): store time of the first message still kept, -1 for none.
pub(crate) fn earliest_store_time(broker: &Broker, request: &wire::GetEarliestMsgStoretime<'_>) -> Answer {
    let (topic, queue_id) = (request.topic.to_string(), request.queue_id);
    Answer::looked_up(broker, move |broker| {
        let bounds = broker.store.queue_bounds(&topic, queue_id);
        let time = bounds.and_then(|bounds| broker.store.store_time(&topic, queue_id, bounds.start));
        let header = GetEarliestMsgStoretimeResponse { timestamp: time.unwrap_or(-1) };
        Response::ok().with_header(ResponseHeader::GetEarliestMsgStoretime(header))
    })
}
