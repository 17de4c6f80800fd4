//! Groups, settings and tables for operators and slaves (200, 225, 207, 201, 352, 43, 45, 25, 26).

use crate::config::{properties, BrokerConfig};
use crate::wire::body::SubscriptionGroupConfig;
use crate::wire::{self, Body, GetBrokerConfigResponse, Response, ResponseCode, ResponseHeader};

use super::handler::{json, old_json, refused, Answer, Caller};
use super::{names, offsets, Broker};

/// Queues of a retry topic at most; so many still list and register in a frame.
const MAX_RETRY_QUEUES: i32 = 65_536;

/// UPDATE_AND_CREATE_SUBSCRIPTIONGROUP (200) and its list (225): all groups or none.
pub(crate) fn update_groups(
    broker: &Broker,
    caller: &Caller<'_>,
    groups: Vec<SubscriptionGroupConfig>,
) -> Answer {
    if let Some(why) = groups.iter().find_map(|group| check_group(group).err()) {
        return refused(ResponseCode::INVALID_PARAMETER, why).into();
    }
    let from = caller.remote();
    for group in groups {
        tracing::info!(%from, group = %group.group_name, "subscription group created or changed");
        broker.groups.put(broker, group);
    }
    Answer::from(Response::ok()).once_saved(broker)
}

fn check_group(group: &SubscriptionGroupConfig) -> Result<(), String> {
    names::check_group(&group.group_name)?;
    if !(0..=MAX_RETRY_QUEUES).contains(&group.retry_queue_nums) {
        let (name, queues) = (&group.group_name, group.retry_queue_nums);
        return Err(format!("retryQueueNums {queues} of group {name} is not within 0..{MAX_RETRY_QUEUES}"));
    }
    Ok(())
}

/// DELETE_SUBSCRIPTIONGROUP (207).
pub(crate) fn delete_group(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::DeleteSubscriptiongroup<'_>,
) -> Answer {
    let (from, group) = (caller.remote(), request.group_name.to_string());
    let with_offsets = request.clean_offset || request.remove_offset;
    Answer::apart(broker, move |broker| {
        tracing::info!(%from, group, "subscription group deleted");
        broker.groups.remove(broker, &group);
        if with_offsets {
            broker.offsets.remove_group(&group);
        }
        Answer::from(offsets::once_kept(broker, Response::ok())).once_saved(broker)
    })
}

/// GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
pub(crate) fn all_groups(broker: &Broker) -> Response {
    json(&broker.groups.snapshot())
}

/// GET_SUBSCRIPTIONGROUP_CONFIG (352).
pub(crate) fn one_group(broker: &Broker, request: &wire::GetSubscriptiongroupConfig<'_>) -> Response {
    match broker.groups.find(&request.group) {
        Some(group) => json(group.config()),
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
) -> Answer {
    let error = |remark: String| refused(ResponseCode::SYSTEM_ERROR, remark);
    let Ok(text) = std::str::from_utf8(request.body) else {
        return error("the settings are not UTF-8 text".into()).into();
    };
    let changes: Vec<(String, String)> = match properties::parse(text, "request") {
        Ok(entries) => entries.into_iter().map(|entry| (entry.key, entry.value)).collect(),
        Err(unreadable) => return error(unreadable.to_string()).into(),
    };
    let from = caller.remote();
    // One change at a time: that thread makes them all.
    Answer::apart(broker, move |broker| match apply(broker, &changes) {
        Ok(()) => {
            tracing::info!(%from, ?changes, "settings changed");
            Response::ok()
        }
        Err(refusal) => error(refusal.to_string()),
    })
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
