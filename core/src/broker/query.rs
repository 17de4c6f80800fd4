//! Messages looked up by id (33) and by key (12), and entries of a queue (321). Apache's name: QueryMessageProcessor.

use crate::filter::TagExpression;
use crate::record::RecordView;
use crate::store::{KeyQuery, QueueEntry};
use crate::wire::body::{ConsumeQueueData, QueryConsumeQueueResponseBody, SubscriptionData};
use crate::wire::{
    Body, QueryConsumeQueue, QueryMessage, QueryMessageResponse, Response, ResponseCode, ResponseHeader,
    ViewMessageById,
};

use super::clients::Subscribed;
use super::handler::{json, refused, Answer};
use super::state::is_tag;
use super::Broker;

/// Entries of a queue that one answer holds at most.
const MOST_ENTRIES: i32 = 10_000;

/// VIEW_MESSAGE_BY_ID (33): the record at a commit-log offset.
pub(crate) fn view(broker: &Broker, request: &ViewMessageById<'_>) -> Answer {
    let offset = request.offset;
    Answer::looked_up(broker, move |broker| match broker.store.record(offset) {
        Some(record) => Response::ok().with_body(Body::Bytes(record)),
        None => {
            let remark = format!("can not find message by the offset, {offset}");
            refused(ResponseCode::SYSTEM_ERROR, remark)
        }
    })
}

/// QUERY_MESSAGE (12): candidates from the key index; clients compare topic and key again.
pub(crate) fn by_key(broker: &Broker, request: &QueryMessage<'_>) -> Answer {
    let config = broker.config();
    let max = match request.unique_key_query.unwrap_or(false) {
        true => config.default_query_max_num,
        false => (request.max_num.max(0) as usize).min(config.max_msgs_num_batch),
    };
    let (topic, key) = (request.topic.to_string(), request.key.to_string());
    let (begin, end) = (request.begin_timestamp, request.end_timestamp);
    Answer::looked_up(broker, move |broker| keyed(broker.store.query_key(&topic, &key, max, begin, end)))
}

fn keyed(found: KeyQuery) -> Response {
    let header = ResponseHeader::QueryMessage(QueryMessageResponse {
        index_last_update_timestamp: found.last_update_timestamp,
        index_last_update_phyoffset: found.last_update_offset,
    });
    if found.records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return refused(ResponseCode::QUERY_NOT_FOUND, remark).with_header(header);
    }
    Response::ok().with_header(header).with_body(Body::Chunks(found.records))
}

/// QUERY_CONSUME_QUEUE (321): entries of a queue from an index on, and whether a group's filter takes them.
pub(crate) fn queue(broker: &Broker, request: &QueryConsumeQueue<'_>) -> Answer {
    let (topic, queue_id) = (request.topic.as_deref().unwrap_or("").to_owned(), request.queue_id);
    let group = request.consumer_group.as_deref().filter(|group| !group.is_empty()).map(str::to_owned);
    let (index, count) = (request.index, request.count.clamp(0, MOST_ENTRIES));
    Answer::apart(broker, move |broker| {
        let Some(bounds) = broker.store.queue_bounds(&topic, queue_id) else {
            return refused(ResponseCode::SYSTEM_ERROR, format!("{queue_id}@{topic} is not exist!"));
        };
        let mut body = QueryConsumeQueueResponseBody {
            max_queue_index: bounds.end,
            min_queue_index: bounds.start,
            ..Default::default()
        };
        let mut takes: Takes = Box::new(|_| true);
        if let Some(group) = group {
            match broker.clients.subscription(&group, &topic) {
                Subscribed::Yes { subscription, .. } => {
                    takes = filter(broker, &group, &topic, &subscription);
                    body.filter_data = Some(subscription.expression_type.clone());
                    body.subscription_data = Some(subscription);
                }
                _ => body.filter_data = Some(format!("{group}@{topic} is not online!")),
            }
        }
        if !bounds.contains(&index) {
            let remark = format!("Index {index} of {queue_id}@{topic} is not exist!");
            return Response { remark: Some(remark), ..json(&body) };
        }
        let end = index.saturating_add(i64::from(count)).min(bounds.end);
        let entries = (index..end).filter_map(|offset| broker.store.entry(&topic, queue_id, offset));
        body.queue_data = entries
            .map(|entry| ConsumeQueueData {
                physic_offset: entry.physical_offset,
                physic_size: entry.size,
                tags_code: entry.tags_code,
                eval: takes(&entry),
                ..Default::default()
            })
            .collect();
        json(&body)
    })
}

/// Whether a filter takes an entry.
type Takes<'a> = Box<dyn Fn(&QueueEntry) -> bool + 'a>;

/// What a subscription takes: by the tag, or by the properties of the record.
fn filter<'a>(broker: &'a Broker, group: &str, topic: &str, subscription: &SubscriptionData) -> Takes<'a> {
    if is_tag(&subscription.expression_type) {
        let tags = TagExpression::parse(&subscription.sub_string).ok();
        return Box::new(move |entry| tags.as_ref().is_none_or(|tags| tags.matches(Some(entry.tags_code))));
    }
    let expression = broker.filters.find(group, topic).and_then(|found| found.expression);
    Box::new(move |entry| {
        let Some(expression) = &expression else { return true };
        let record = broker.store.record(entry.physical_offset);
        let record = record.as_deref().and_then(|record| RecordView::parse(record).ok());
        record.is_none_or(|record| expression.matches_encoded(record.properties()))
    })
}
