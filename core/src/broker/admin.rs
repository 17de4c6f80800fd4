//! Groups, settings, tables and figures for operators and slaves (200, 207, 201, 352, 43, 45, 25, 26, 28, 208, 300).

use std::collections::BTreeMap;

use crate::config::{properties, BrokerConfig};
use crate::store::WriteState;
use crate::wire::body::{ConsumeStats, GroupList, KvTable, MessageQueue, OffsetWrapper};
use crate::wire::{self, Body, GetBrokerConfigResponse, Response, ResponseCode, ResponseHeader};

use super::handler::{json, old_json, refused, Caller};
use super::{names, Broker};

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200).
pub(crate) fn update_group(
    broker: &Broker,
    caller: &Caller<'_>,
    request: wire::UpdateAndCreateSubscriptiongroup,
) -> Response {
    let group = request.body;
    if let Err(why) = names::check_group(&group.group_name) {
        return refused(ResponseCode::INVALID_PARAMETER, why);
    }
    let from = caller.remote();
    tracing::info!(%from, group = %group.group_name, "subscription group created or changed");
    broker.groups.put(broker, group);
    Response::ok()
}

/// DELETE_SUBSCRIPTIONGROUP (207).
pub(crate) fn delete_group(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::DeleteSubscriptiongroup<'_>,
) -> Response {
    let from = caller.remote();
    tracing::info!(%from, group = %request.group_name, "subscription group deleted");
    broker.groups.remove(broker, &request.group_name);
    if request.clean_offset {
        broker.offsets.remove_group(&request.group_name);
    }
    Response::ok()
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
pub(crate) fn all_groups(broker: &Broker) -> Response {
    json(&broker.groups.snapshot())
}

/// GET_SUBSCRIPTIONGROUP_CONFIG (352).
pub(crate) fn one_group(broker: &Broker, request: &wire::GetSubscriptiongroupConfig<'_>) -> Response {
    match broker.groups.find(&request.group) {
        Some(group) => json(&*group),
        None => {
            let remark = format!("No group in this broker. group: {}", request.group);
            refused(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
        }
    }
}

/// GET_ALL_CONSUMER_OFFSET (43).
pub(crate) fn all_consumer_offsets(broker: &Broker) -> Response {
    old_json(&broker.offsets.snapshot())
}

/// GET_ALL_DELAY_OFFSET (45).
pub(crate) fn all_delay_offsets(broker: &Broker) -> Response {
    old_json(&broker.delay.snapshot())
}

/// GET_BROKER_CONFIG (26).
pub(crate) fn config(broker: &Broker) -> Response {
    let version = broker.topics.version();
    let version = format!(r#"{{"counter":{},"timestamp":{}}}"#, version.counter, version.timestamp);
    let header = ResponseHeader::GetBrokerConfig(GetBrokerConfigResponse { version });
    let text = broker.config().to_properties_text();
    Response::ok().with_header(header).with_body(Body::Bytes(text.into_bytes().into()))
}

/// UPDATE_BROKER_CONFIG (25): all changes or none; kept in the file the broker was started with.
pub(crate) fn update_config(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::UpdateBrokerConfig<'_>,
) -> Response {
    let Ok(text) = std::str::from_utf8(request.body) else {
        return refused(ResponseCode::SYSTEM_ERROR, "the settings are not UTF-8 text");
    };
    let changes: Vec<(String, String)> = match properties::parse(text, "request") {
        Ok(entries) => entries.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        Err(error) => return refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
    };
    let from = caller.remote();
    tracing::info!(%from, ?changes, "settings changed");
    match apply(broker, &changes) {
        Ok(()) => Response::ok(),
        Err(error) => refused(ResponseCode::SYSTEM_ERROR, error.to_string()),
    }
}

fn apply(broker: &Broker, changes: &[(String, String)]) -> crate::Result<()> {
    let before = broker.config();
    let after = before.updated(changes)?;
    if let Some(path) = &before.source {
        BrokerConfig::rewrite_file(path, changes)?;
    }
    let permission_changed = before.broker_permission != after.broker_permission;
    broker.replace_config(after);
    if permission_changed {
        broker.registration.table_changed(broker);
    }
    Ok(())
}

/// GET_BROKER_RUNTIME_INFO (28): figures as text, under the names that Apache's tools print.
pub(crate) fn runtime_info(broker: &Broker) -> Response {
    let mut table = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        table.insert(name.to_owned(), value);
    };
    let (store, totals) = (&broker.store, broker.stats.totals());
    let now = broker.clock.now_ms();
    let rates = broker.stats.rates(now);
    let minutes = (now - broker.started_ms) / 60_000;
    put("brokerVersionDesc", format!("FerroMQ {}", env!("CARGO_PKG_VERSION")));
    put("brokerVersion", wire::VERSION.to_string());
    put("bootTimestamp", broker.started_ms.to_string());
    put(
        "runtime",
        format!("[ {} days, {} hours, {} minutes ]", minutes / 1440, minutes / 60 % 24, minutes % 60),
    );
    put("msgPutTotalTodayNow", totals.put_messages.to_string());
    put("msgGetTotalTodayNow", totals.got_messages.to_string());
    put("putMessageTimesTotal", totals.put_messages.to_string());
    put("putMessageSizeTotal", totals.put_bytes.to_string());
    put("putMessageFailedTimes", totals.put_failures.to_string());
    put("putMessageAverageSize", (totals.put_bytes as f64 / totals.put_messages.max(1) as f64).to_string());
    put("putTps", rates.put);
    put("getTransferredTps", rates.got.clone());
    put("getTransferedTps", rates.got);
    put("getTotalTps", rates.got_calls.clone());
    put("getFoundTps", rates.got_calls);
    put("commitLogMinOffset", store.min_physical_offset().to_string());
    put("commitLogMaxOffset", store.max_physical_offset().to_string());
    put("dispatchBehindBytes", store.dispatch_behind().to_string());
    let unflushed = store.max_physical_offset() - store.flushed_offset();
    put("remainHowManyDataToFlush", format!("{unflushed} B"));
    let [log, queues] = store.disk_use_percent().map(|percent| (percent / 100.0).to_string());
    put("commitLogDiskRatio", log);
    put("consumeQueueDiskRatio", queues);
    put("earliestMessageTimeStamp", store.earliest_store_time().to_string());
    put("startAcceptSendRequestTimeStamp", broker.config().start_accept_send_request_time_stamp.to_string());
    put("brokerActive", matches!(store.state(), WriteState::Writable).to_string());
    let (producers, consumers) = broker.clients.counts();
    put("producerCount", producers.to_string());
    put("consumerCount", consumers.to_string());
    put("heldPulls", broker.waiters.len().to_string());
    json(&KvTable { table })
}

/// GET_CONSUME_STATS (208): of every queue of the group's topics where the group and the queue's end are.
pub(crate) fn consume_stats(broker: &Broker, request: &wire::GetConsumeStats<'_>) -> Response {
    let group = &*request.consumer_group;
    let topics = match request.topic.as_deref().filter(|topic| !topic.is_empty()) {
        Some(topic) => vec![topic.to_owned()],
        None => broker.offsets.topics_of(group),
    };
    let mut offset_table = Vec::new();
    for topic in topics.iter().filter_map(|topic| broker.topics.find(topic)) {
        for queue_id in 0..topic.read_queue_nums {
            let queue = MessageQueue {
                topic: topic.topic_name.clone(),
                broker_name: broker.config().broker_name.clone(),
                queue_id,
            };
            offset_table.push((queue, queue_progress(broker, group, &topic.topic_name, queue_id)));
        }
    }
    let stats = ConsumeStats { offset_table: offset_table.into_iter().collect(), ..Default::default() };
    old_json(&stats)
}

fn queue_progress(broker: &Broker, group: &str, topic: &str, queue_id: i32) -> OffsetWrapper {
    let end = broker.store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.end);
    let consumed = broker.offsets.find(group, topic, queue_id).unwrap_or(0);
    let last = consumed - 1;
    let last_timestamp = if last < 0 { None } else { broker.store.store_time(topic, queue_id, last) };
    OffsetWrapper {
        broker_offset: end,
        consumer_offset: consumed,
        last_timestamp: last_timestamp.unwrap_or(0),
        ..Default::default()
    }
}

/// QUERY_TOPIC_CONSUME_BY_WHO (300): groups that have offsets in a topic.
pub(crate) fn groups_of_topic(broker: &Broker, request: &wire::QueryTopicConsumeByWho<'_>) -> Response {
    json(&GroupList { group_list: broker.offsets.groups_of(&request.topic) })
}
