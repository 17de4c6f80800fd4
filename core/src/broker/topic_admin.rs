//! Topics made, changed and listed by operators (17, 18, 21, 202, 351, 305).

use std::cmp::Ordering;

use crate::wire::body::{MessageQueue, TopicConfig, TopicList, TopicOffset, TopicStatsTable};
use crate::wire::{self, Response, ResponseCode};

use super::handler::{json, old_json, refuse, refused, Answer, Caller, Refusal};
use super::{names, Broker};

/// UPDATE_AND_CREATE_TOPIC (17). Answered when the file has it and the name servers know, so that the route can be asked
/// for right after.
pub(crate) fn update(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::UpdateAndCreateTopic<'_>,
) -> Answer {
    match checked(request) {
        Err(refusal) => refusal.into(),
        Ok(topic) => put(broker, caller, vec![topic]),
    }
}

/// UPDATE_AND_CREATE_TOPIC_LIST (18): all topics or none.
pub(crate) fn update_list(
    broker: &Broker,
    caller: &Caller<'_>,
    request: wire::UpdateAndCreateTopicList,
) -> Answer {
    let topics = request.body.topic_config_list;
    match topics.iter().find_map(|topic| check(topic).err()) {
        Some(refusal) => refusal.into(),
        None => put(broker, caller, topics),
    }
}

fn put(broker: &Broker, caller: &Caller<'_>, topics: Vec<TopicConfig>) -> Answer {
    let from = caller.remote();
    // Apart, and so behind the removal of a topic of the same name that came before.
    Answer::apart(broker, move |broker| {
        let mut warnings = Vec::new();
        for topic in topics {
            tracing::info!(%from, topic = %topic.topic_name, read = topic.read_queue_nums,
                write = topic.write_queue_nums, perm = topic.perm, "topic created or changed");
            if let Some(warning) = unreachable_queues(&topic) {
                tracing::warn!("{warning}");
                warnings.push(warning);
            }
            broker.topics.put(broker, topic);
        }
        let mut done = Response::ok();
        if !warnings.is_empty() {
            done.remark = Some(warnings.join("; "));
        }
        Answer::from(done).once_saved(broker).once_routed(broker)
    })
}

/// What is wrong with a topic whose queues are not written and read alike, in words.
fn unreachable_queues(topic: &TopicConfig) -> Option<String> {
    let (read, write) = (topic.read_queue_nums, topic.write_queue_nums);
    let queues = |from: i32, to: i32| match to - from {
        1 => format!("queue {from} is"),
        _ => format!("queues {from} to {} are", to - 1),
    };
    let which = match read.cmp(&write) {
        Ordering::Equal => return None,
        Ordering::Less => format!("{} written and never read", queues(read, write)),
        Ordering::Greater => {
            format!(
                "{} read and not written: make readQueueNums {write} once they are empty",
                queues(write, read)
            )
        }
    };
    Some(format!("topic {}: {which} (readQueueNums={read}, writeQueueNums={write})", topic.topic_name))
}

fn checked(request: &wire::UpdateAndCreateTopic<'_>) -> Result<TopicConfig, Refusal> {
    let attributes = request.attributes.as_deref().unwrap_or("").trim();
    if !attributes.is_empty() {
        return Err(no_attributes(attributes));
    }
    let topic = TopicConfig {
        topic_name: request.topic.to_string(),
        read_queue_nums: request.read_queue_nums,
        write_queue_nums: request.write_queue_nums,
        perm: request.perm,
        topic_filter_type: request.topic_filter_type.as_deref().unwrap_or("SINGLE_TAG").to_owned(),
        topic_sys_flag: request.topic_sys_flag.unwrap_or(0),
        order: request.order,
        ..Default::default()
    };
    check(&topic)?;
    Ok(topic)
}

fn no_attributes(attributes: &str) -> Refusal {
    let remark = format!("topic attributes are not supported by this broker: {attributes}");
    refuse(ResponseCode::INVALID_PARAMETER, remark)
}

fn check(topic: &TopicConfig) -> Result<(), Refusal> {
    let invalid = |why: String| refuse(ResponseCode::INVALID_PARAMETER, why);
    names::check_topic(&topic.topic_name).map_err(invalid)?;
    if names::is_system_topic(&topic.topic_name) {
        return Err(invalid(format!("The topic[{}] is conflict with system topic.", topic.topic_name)));
    }
    check_numbers(topic).map_err(invalid)?;
    match topic.attributes.iter().next() {
        Some((name, value)) => Err(no_attributes(&format!("{name}={value}"))),
        None => Ok(()),
    }
}

/// Apache's limit for queues of a topic would be the wire's 2^31; this many still list and register in a frame.
const MAX_QUEUES: i32 = 65_536;

fn check_numbers(topic: &TopicConfig) -> Result<(), String> {
    let name = &topic.topic_name;
    for (what, count) in
        [("readQueueNums", topic.read_queue_nums), ("writeQueueNums", topic.write_queue_nums)]
    {
        if !(0..=MAX_QUEUES).contains(&count) {
            return Err(format!("{what} {count} of topic {name} is not within 0..{MAX_QUEUES}"));
        }
    }
    if !(0..=15).contains(&topic.perm) {
        let allowed = "2 (write), 4 (read), 6 (both), 7 (both, and a template for new topics)";
        return Err(format!("perm {} of topic {name} is not one of {allowed}", topic.perm));
    }
    Ok(())
}

/// GET_ALL_TOPIC_CONFIG (21).
pub(crate) fn all(broker: &Broker) -> Response {
    json(&broker.topics.snapshot())
}

/// GET_TOPIC_CONFIG (351).
pub(crate) fn one(broker: &Broker, request: &wire::GetTopicConfig<'_>) -> Response {
    match broker.topics.find(&request.topic) {
        Some(topic) => json(topic.config()),
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

/// GET_TOPIC_STATS_INFO (202): first, last and latest store time of every queue. Apart, as store times may have to be
/// read from the disk.
pub(crate) fn stats(broker: &Broker, request: &wire::GetTopicStatsInfo<'_>) -> Answer {
    let Some(topic) = broker.topics.find(&request.topic) else {
        let remark = format!("topic[{}] not exist", request.topic);
        return refused(ResponseCode::TOPIC_NOT_EXIST, remark).into();
    };
    Answer::apart(broker, move |broker| {
        let queues = topic.write_queue_nums.max(topic.read_queue_nums);
        let broker_name = broker.config().broker_name.clone();
        let one = |queue_id: i32| {
            let queue =
                MessageQueue { topic: topic.topic_name.clone(), broker_name: broker_name.clone(), queue_id };
            (queue, queue_stats(broker, &topic.topic_name, queue_id))
        };
        let topic_put_tps = topic.puts.rate(broker.clock.now_ms());
        old_json(&TopicStatsTable { offset_table: (0..queues).map(one).collect(), topic_put_tps })
    })
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
