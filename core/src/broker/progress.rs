//! How far groups have come (208, 317, 303), and which group consumes which topic (300, 343, 345).
//!
//! Store times stand in records, which may have to be read from the disk: what asks for them runs apart from the event
//! loops.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::body::{
    ConsumeStats, ConsumeStatsList, GroupList, MessageQueue, OffsetWrapper, QueryConsumeTimeSpanBody,
    QuerySubscriptionResponseBody, QueueTimeSpan, TopicList,
};
use crate::wire::{self, Response, ResponseCode};

use super::clients::Subscribed;
use super::handler::{json, old_json, refused, stopping, Answer};
use super::state::Topic;
use super::Broker;

/// GET_CONSUME_STATS (208): of every queue of the group's topics where the group and the queue's end are.
pub(crate) fn of_group(broker: &Broker, request: &wire::GetConsumeStats<'_>) -> Answer {
    let group = request.consumer_group.to_string();
    let one = request.topic.as_deref().filter(|topic| !topic.is_empty());
    let list = request.topic_list.as_deref().filter(|list| !list.is_empty());
    let topics: Vec<String> = match (one, list) {
        (Some(topic), _) => vec![topic.to_owned()],
        (None, Some(list)) => list.split([',', ';']).map(|topic| topic.trim().to_owned()).collect(),
        (None, None) => broker.offsets.topics_of(&group),
    };
    Answer::apart(broker, move |broker| {
        let mut stats = ConsumeStats::default();
        for topic in consumed_topics(broker, &group, topics) {
            add(broker, &group, &topic, topic.read_queue_nums, &mut stats);
        }
        old_json(&stats)
    })
}

/// The topics there are, without those that a connected group does not subscribe to any more.
fn consumed_topics(broker: &Broker, group: &str, topics: Vec<String>) -> Vec<std::sync::Arc<Topic>> {
    let is_left = |topic: &str| matches!(broker.clients.subscription(group, topic), Subscribed::NoTopic);
    let mut topics = topics;
    topics.sort_unstable();
    topics.dedup();
    let there = topics.iter().filter_map(|topic| broker.topics.find(topic));
    there.filter(|topic| !is_left(&topic.topic_name)).collect()
}

fn add(broker: &Broker, group: &str, topic: &Topic, queues: i32, stats: &mut ConsumeStats) {
    let broker_name = broker.config().broker_name.clone();
    let consumed = broker.groups.find(group).and_then(|group| group.consumed(&topic.topic_name));
    for queue_id in 0..queues {
        let queue =
            MessageQueue { topic: topic.topic_name.clone(), broker_name: broker_name.clone(), queue_id };
        let mut progress = queue_progress(broker, group, &topic.topic_name, queue_id);
        let pulled = consumed.as_ref().map_or(0, |consumed| consumed.pulled(queue_id));
        progress.pull_offset = pulled.max(progress.consumer_offset);
        stats.offset_table.insert(queue, progress);
    }
    stats.consume_tps += consumed.map_or(0.0, |consumed| consumed.got.rate(broker.clock.now_ms()));
}

fn queue_progress(broker: &Broker, group: &str, topic: &str, queue_id: i32) -> OffsetWrapper {
    let end = broker.store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.end);
    let consumed = broker.offsets.find(group, topic, queue_id).unwrap_or(0);
    let last = consumed.saturating_sub(1);
    let last_timestamp = if last < 0 { None } else { broker.store.store_time(topic, queue_id, last) };
    OffsetWrapper {
        broker_offset: end,
        consumer_offset: consumed,
        last_timestamp: last_timestamp.unwrap_or(0),
        ..Default::default()
    }
}

/// GET_BROKER_CONSUME_STATS (317): the same of all groups.
pub(crate) fn of_all(broker: &Broker, request: &wire::GetBrokerConsumeStats) -> Answer {
    let only_ordered = request.is_order;
    Answer::apart(broker, move |broker| {
        let mut list = ConsumeStatsList { broker_addr: broker.address(), ..Default::default() };
        for group in broker.groups.names() {
            if broker.is_stopping() {
                return stopping();
            }
            let mut of_topics = Vec::new();
            for topic in consumed_topics(broker, &group, broker.offsets.topics_of(&group)) {
                if only_ordered && !topic.order {
                    continue;
                }
                let mut stats = ConsumeStats::default();
                add(broker, &group, &topic, topic.write_queue_nums, &mut stats);
                for at in stats.offset_table.values() {
                    // Clients may say any offset.
                    let behind = at.broker_offset.saturating_sub(at.consumer_offset);
                    list.total_diff = list.total_diff.saturating_add(behind);
                    let under_way = at.pull_offset.saturating_sub(at.consumer_offset);
                    list.total_inflight_diff = list.total_inflight_diff.saturating_add(under_way);
                }
                of_topics.push(stats);
            }
            list.consume_stats_list.push(BTreeMap::from([(group, of_topics)]));
        }
        old_json(&list)
    })
}

/// QUERY_CONSUME_TIME_SPAN (303).
pub(crate) fn time_span(broker: &Broker, request: &wire::QueryConsumeTimeSpan<'_>) -> Answer {
    let Some(topic) = broker.topics.find(&request.topic) else {
        let remark = format!("topic[{}] not exist", request.topic);
        return refused(ResponseCode::TOPIC_NOT_EXIST, remark).into();
    };
    let group = request.group.to_string();
    Answer::apart(broker, move |broker| {
        let spans = (0..topic.write_queue_nums).map(|queue_id| queue_span(broker, &group, &topic, queue_id));
        json(&QueryConsumeTimeSpanBody { consume_time_span_set: spans.collect() })
    })
}

fn queue_span(broker: &Broker, group: &str, topic: &Topic, queue_id: i32) -> QueueTimeSpan {
    let name = &topic.topic_name;
    let time = |offset| broker.store.store_time(name, queue_id, offset).unwrap_or(-1);
    let bounds = broker.store.queue_bounds(name, queue_id).unwrap_or(0..0);
    let earliest = time(bounds.start);
    let consumed = broker.offsets.find(group, name, queue_id).unwrap_or(-1);
    let waits = consumed < bounds.end && !bounds.is_empty();
    let next = time(consumed.max(bounds.start));
    QueueTimeSpan {
        message_queue: MessageQueue {
            topic: name.clone(),
            broker_name: broker.config().broker_name.clone(),
            queue_id,
        },
        min_time_stamp: earliest,
        max_time_stamp: time(bounds.end - 1),
        consume_time_stamp: if consumed > 0 { time(consumed - 1) } else { earliest },
        delay_time: if waits && next >= 0 { (broker.clock.now_ms() - next).max(0) } else { 0 },
    }
}

/// QUERY_TOPIC_CONSUME_BY_WHO (300): groups that have offsets in a topic, or are connected and subscribe to it.
pub(crate) fn groups_of_topic(broker: &Broker, request: &wire::QueryTopicConsumeByWho<'_>) -> Response {
    let mut groups = BTreeSet::from_iter(broker.offsets.groups_of(&request.topic));
    groups.extend(broker.clients.subscribers(&request.topic));
    json(&GroupList { group_list: groups.into_iter().collect() })
}

/// QUERY_TOPICS_BY_CONSUMER (343): topics in which a group has offsets.
pub(crate) fn topics_of_group(broker: &Broker, request: &wire::QueryTopicsByConsumer<'_>) -> Response {
    let mut topic_list = broker.offsets.topics_of(&request.group);
    topic_list.sort_unstable();
    json(&TopicList { topic_list, broker_addr: Some(broker.address()) })
}

/// QUERY_SUBSCRIPTION_BY_CONSUMER (345): what the members of a group told of a topic.
pub(crate) fn subscription(broker: &Broker, request: &wire::QuerySubscriptionByConsumer<'_>) -> Response {
    let topic = request.topic.as_deref().unwrap_or("");
    let subscription_data = match broker.clients.subscription(&request.group, topic) {
        Subscribed::Yes { subscription, .. } => Some(subscription),
        Subscribed::NoGroup | Subscribed::NoTopic => None,
    };
    json(&QuerySubscriptionResponseBody {
        subscription_data,
        group: request.group.to_string(),
        topic: request.topic.as_deref().map(str::to_owned),
    })
}
