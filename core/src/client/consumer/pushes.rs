//! The requests that brokers send to consumers, on their way to who answers.

use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use crate::client::Cluster;
use crate::net::{Call, Ticket};
use crate::wire::body::{MessageQueue, ResetOffsetBody};
use crate::wire::{json, Request, Response, ResponseCode};

/// Hands a request to where it may take its time. `None` if it was none for consumers, then it is given back.
pub(in crate::client) fn handle<'a>(cluster: &Arc<Cluster>, call: Call<'a>) -> Option<Call<'a>> {
    let request = match call.request() {
        Ok(request) => request,
        Err(_) => return Some(call),
    };
    match request {
        Request::ResetConsumerClientOffset(request) => {
            let (group, topic) = (request.group.to_string(), request.topic.to_string());
            let offsets = offsets(&request.body);
            errand(cluster, call, group, move |consumer| {
                consumer.reset(&topic, &offsets);
                Response::ok()
            });
        }
        Request::GetConsumerStatusFromClient(request) => {
            let (group, topic) = (request.group.to_string(), request.topic.to_string());
            errand(cluster, call, group, move |consumer| {
                Response::ok().with_body(json::to_old_vec(&consumer.status(&topic)))
            });
        }
        Request::GetConsumerRunningInfo(request) => {
            let group = request.consumer_group.to_string();
            errand(cluster, call, group, move |consumer| {
                Response::ok().with_body(json::to_old_vec(&consumer.running_info()))
            });
        }
        Request::ConsumeMessageDirectly(request) => {
            let group = request.consumer_group.to_string();
            let broker = request.broker_name.as_deref().unwrap_or_default().to_owned();
            let record = Bytes::copy_from_slice(request.body);
            let (cluster, ticket) = (cluster.clone(), call.park());
            cluster.clone().callbacks.run(move || {
                answer(&cluster, ticket, &group, |consumer| {
                    match consumer.consume_directly(record, &broker) {
                        Ok(result) => Response::ok().with_body(json::to_vec(&result)),
                        Err(error) => Response::error(ResponseCode::SYSTEM_ERROR, error.to_string()),
                    }
                });
            });
        }
        _ => return Some(call),
    }
    None
}

fn errand(
    cluster: &Arc<Cluster>,
    call: Call<'_>,
    group: String,
    work: impl FnOnce(&Arc<Shared>) -> Response + Send + 'static,
) {
    let (cluster, ticket) = (cluster.clone(), call.park());
    cluster.clone().errands.run(move || answer(&cluster, ticket, &group, work));
}

fn answer(cluster: &Arc<Cluster>, ticket: Ticket, group: &str, work: impl FnOnce(&Arc<Shared>) -> Response) {
    let response = match cluster.consumers().into_iter().find(|consumer| consumer.group() == Some(group)) {
        Some(consumer) => work(&consumer),
        None => {
            let remark = format!("The Consumer Group <{group}> not exist in this consumer");
            Response::error(ResponseCode::SYSTEM_ERROR, remark)
        }
    };
    ticket.reply(response);
}

fn offsets(body: &ResetOffsetBody) -> Vec<(MessageQueue, i64)> {
    match body {
        ResetOffsetBody::Table { offset_table } => {
            offset_table.0.iter().map(|(queue, offset)| (queue.clone(), *offset)).collect()
        }
        ResetOffsetBody::List { offset_table } => offset_table
            .iter()
            .map(|one| {
                let queue = MessageQueue {
                    topic: one.topic.clone(),
                    broker_name: one.broker_name.clone(),
                    queue_id: one.queue_id,
                };
                (queue, one.offset)
            })
            .collect(),
    }
}
