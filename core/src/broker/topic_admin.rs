//! Topics made, changed, deleted and listed by operators (17, 215, 21, 202, 351, 305).

use crate::wire::body::{MessageQueue, TopicConfig, TopicList, TopicOffset, TopicStatsTable};
use crate::wire::{self, Response, ResponseCode};

use super::handler::{json, old_json, refuse, refused, Answer, Caller, Refusal};
use super::{names, Broker};

/// UPDATE_AND_CREATE_TOPIC (17). Answered when the name servers know, so that the route can be asked for right after.
pub(crate) fn update(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::UpdateAndCreateTopic<'_>,
) -> Answer {
    match checked(request) {
        Err(refusal) => refusal.into(),
        Ok(topic) => {
            let from = caller.remote();
            tracing::info!(%from, topic = %request.topic, read = topic.read_queue_nums,
                write = topic.write_queue_nums, perm = topic.perm, "topic created or changed");
            broker.topics.put(broker, topic);
            Answer::from(Response::ok()).once_routed(broker)
        }
    }
}

fn checked(request: &wire::UpdateAndCreateTopic<'_>) -> Result<TopicConfig, Refusal> {
    let invalid = |why: String| refuse(ResponseCode::INVALID_PARAMETER, why);
    names::check_topic(&request.topic).map_err(invalid)?;
    if names::is_system_topic(&request.topic) {
        return Err(invalid(format!("The topic[{}] is conflict with system topic.", request.topic)));
    }
    check_numbers(request).map_err(invalid)?;
    let attributes = request.attributes.as_deref().unwrap_or("").trim();
    if !attributes.is_empty() {
        return Err(invalid(format!("topic attributes are not supported by this broker: {attributes}")));
    }
    Ok(TopicConfig {
        topic_name: request.topic.to_string(),
        read_queue_nums: request.read_queue_nums,
        write_queue_nums: request.write_queue_nums,
        perm: request.perm,
        topic_filter_type: request.topic_filter_type.as_deref().unwrap_or("SINGLE_TAG").to_owned(),
        topic_sys_flag: request.topic_sys_flag.unwrap_or(0),
        order: request.order,
        ..Default::default()
    })
}

/// Apache's limit for queues of a topic would be the wire's 2^31; this many still list and register in a frame.
const MAX_QUEUES: i32 = 65_536;

fn check_numbers(request: &wire::UpdateAndCreateTopic<'_>) -> Result<(), String> {
    for (what, count) in
        [("readQueueNums", request.read_queue_nums), ("writeQueueNums", request.write_queue_nums)]
    {
        if !(0..=MAX_QUEUES).contains(&count) {
            return Err(format!("{what} {count} of topic {} is not within 0..{MAX_QUEUES}", request.topic));
        }
    }
    if !(0..=15).contains(&request.perm) {
        let allowed = "2 (write), 4 (read), 6 (both), 7 (both, and a template for new topics)";
        return Err(format!("perm {} of topic {} is not one of {allowed}", request.perm, request.topic));
    }
    Ok(())
}

/// DELETE_TOPIC_IN_BROKER (215): the topic, its queues and the offsets of groups in it. Its messages stay in the
/// commit log until that is cleaned.
pub(crate) fn delete(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::DeleteTopicInBroker<'_>,
) -> Response {
    let topic = &*request.topic;
    if topic.trim().is_empty() {
        return refused(ResponseCode::INVALID_PARAMETER, "The specified topic is blank.");
    }
    if names::is_system_topic(topic) {
        let remark = format!("The topic[{topic}] is conflict with system topic.");
        return refused(ResponseCode::INVALID_PARAMETER, remark);
    }
    let from = caller.remote();
    tracing::info!(%from, topic, "topic deleted");
    // Configuration first: from here on sends and pulls are refused, so that nothing is stored behind our back.
    broker.topics.remove(broker, topic);
    broker.offsets.remove_topic(topic);
    match broker.store.delete_topic(topic) {
        Ok(()) => Response::ok(),
        Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
    }
}

/// GET_ALL_TOPIC_CONFIG (21).
pub(crate) fn all(broker: &Broker) -> Response {
    json(&broker.topics.snapshot())
}

/// GET_TOPIC_CONFIG (351).
pub(crate) fn one(broker: &Broker, request: &wire::GetTopicConfig<'_>) -> Response {
    match broker.topics.find(&request.topic) {
        Some(topic) => json(&*topic),
        None => refused(
            ResponseCode::TOPIC_NOT_EXIST,
            format!("No topic in this broker. topic: {}", request.topic),
        ),
    }
}

/// GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305).
pub(crate) fn system(broker: &Broker) -> Response {
    let own = super::state::system_topics(&broker.config());
    let mut topic_list: Vec<_> = own.into_iter().map(|topic| topic.topic_name).collect();
    topic_list.extend(names::SYSTEM_TOPICS.iter().map(|name| (*name).to_owned()));
    topic_list.sort_unstable();
    topic_list.dedup();
    json(&TopicList { topic_list, ..Default::default() })
}

/// GET_TOPIC_STATS_INFO (202): first, last and latest store time of every queue.
pub(crate) fn stats(broker: &Broker, request: &wire::GetTopicStatsInfo<'_>) -> Response {
    let Some(topic) = broker.topics.find(&request.topic) else {
        return refused(ResponseCode::TOPIC_NOT_EXIST, format!("topic[{}] not exist", request.topic));
    };
    let queues = topic.write_queue_nums.max(topic.read_queue_nums);
    let broker_name = broker.config().broker_name.clone();
    let one = |queue_id: i32| {
        let queue =
            MessageQueue { topic: topic.topic_name.clone(), broker_name: broker_name.clone(), queue_id };
        (queue, queue_stats(broker, &topic.topic_name, queue_id))
    };
    let offset_table = (0..queues).map(one).collect();
    old_json(&TopicStatsTable { offset_table, ..Default::default() })
}

fn queue_stats(broker: &Broker, topic: &str, queue_id: i32) -> TopicOffset {
    let bounds = broker.store.queue_bounds(topic, queue_id).unwrap_or(0..0);
    let last = bounds.end - 1;
    let latest = if bounds.is_empty() { None } else { broker.store.store_time(topic, queue_id, last) };
    TopicOffset {
        min_offset: bounds.start,
        max_offset: bounds.end,
        last_update_timestamp: latest.unwrap_or(0),
    }
}
