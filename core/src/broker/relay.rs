//! What operators ask of clients, through the broker that these are connected to: where they are (223), how they do (307),
//! and to consume one message (309). The asker waits in a ticket until the client answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::message::OffsetId;
use crate::net::{Reply, Ticket};
use crate::sync::Mutex;
use crate::wire::body::{GetConsumerStatusBody, OffsetTable};
use crate::wire::{
    json, Body, ConsumeMessageDirectly, GetConsumerRunningInfo, GetConsumerStatusFromClient,
    InvokeBrokerToGetConsumerStatus, Request, Response, ResponseCode,
};
use crate::{ErrorKind, Result};

use super::clients::Peer;
use super::handler::{old_json, refuse, refused, Answer, Refusal};
use super::Broker;

/// A client has this long to say how it does, or to consume a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client has this long to say where it is.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
/// Version ordinal of 3.0.7's snapshot, from which on clients say where they are.
const VERSION_WITH_STATUS: i32 = 28;
/// Version ordinal of 3.1.8's snapshot, from which on clients answer the rest.
const VERSION_WITH_INFO: i32 = 62;

/// GET_CONSUMER_RUNNING_INFO (307).
pub(crate) fn running_info(broker: &Broker, request: &GetConsumerRunningInfo<'_>) -> Answer {
    match member(broker, &request.consumer_group, &request.client_id) {
        Ok(member) => {
            ask(&member, &request.consumer_group, &Request::GetConsumerRunningInfo(request.clone()))
        }
        Err(refusal) => refusal.into(),
    }
}

/// CONSUME_MESSAGE_DIRECTLY (309): the client gets the record with the request.
pub(crate) fn consume_directly(broker: &Broker, request: &ConsumeMessageDirectly<'_>) -> Answer {
    let client_id = request.client_id.as_deref().unwrap_or("");
    let member = match member(broker, &request.consumer_group, client_id) {
        Ok(member) => member,
        Err(refusal) => return refusal.into(),
    };
    let own = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Cow::Owned(text.to_owned()));
    let onward = ConsumeMessageDirectly {
        consumer_group: request.consumer_group.to_string().into(),
        client_id: own(&request.client_id),
        msg_id: own(&request.msg_id),
        broker_name: Some(broker.config().broker_name.clone().into()),
        topic: own(&request.topic),
        body: &[],
        ..*request
    };
    Answer::looked_up(broker, move |broker| match record(broker, onward.msg_id.as_deref().unwrap_or("")) {
        Ok(record) => {
            let group = onward.consumer_group.to_string();
            ask(
                &member,
                &group,
                &Request::ConsumeMessageDirectly(ConsumeMessageDirectly { body: &record, ..onward }),
            )
        }
        Err(refusal) => refusal.into(),
    })
}

fn record(broker: &Broker, id: &str) -> Result<bytes::Bytes, Refusal> {
    let refusal = |why: String| refuse(ResponseCode::SYSTEM_ERROR, why);
    let parsed: OffsetId = id.parse().map_err(|_| refusal(format!("msgId {id:?} is no message id")))?;
    let record = broker.store.record(parsed.physical_offset);
    record.ok_or_else(|| refusal(format!("can not find message by the offset, {}", parsed.physical_offset)))
}

fn member(broker: &Broker, group: &str, client_id: &str) -> Result<Peer, Refusal> {
    let refusal = |why| refuse(ResponseCode::SYSTEM_ERROR, why);
    let members = broker.clients.members(group).into_iter();
    let Some(member) = members.filter(|member| member.client_id == client_id).last() else {
        return Err(refusal(format!("The Consumer <{group}> <{client_id}> not online")));
    };
    if member.version < VERSION_WITH_INFO {
        return Err(refusal(format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
            member.version
        )));
    }
    Ok(member)
}

/// Asks a client and answers with what it says.
fn ask(member: &Peer, group: &str, request: &Request<'_>) -> Answer {
    let mut told = Told::default();
    let (group, client_id) = (group.to_owned(), member.client_id.clone());
    let slot = told.slot();
    member.connection.call(request, PATIENCE, move |reply| slot.fill(answer(&group, &client_id, reply)));
    Answer::Later(Box::new(move |ticket| told.wait(ticket)))
}

/// An answer that may come before the ticket that waits for it, or after.
#[derive(Default)]
struct Told(Arc<Mutex<Meeting>>);

#[derive(Default)]
struct Meeting {
    response: Option<Response>,
    ticket: Option<Ticket>,
}

struct Slot(Arc<Mutex<Meeting>>);

impl Told {
    fn slot(&mut self) -> Slot {
        Slot(self.0.clone())
    }

    fn wait(self, ticket: Ticket) {
        let response = {
            let mut meeting = self.0.lock();
            match meeting.response.take() {
                Some(response) => response,
                None => {
                    meeting.ticket = Some(ticket);
                    return;
                }
            }
        };
        ticket.reply(response);
    }
}

impl Slot {
    fn fill(self, response: Response) {
        let ticket = {
            let mut meeting = self.0.lock();
            match meeting.ticket.take() {
                Some(ticket) => ticket,
                None => {
                    meeting.response = Some(response);
                    return;
                }
            }
        };
        ticket.reply(response);
    }
}

fn answer(group: &str, client_id: &str, reply: Result<Reply>) -> Response {
    match reply {
        Ok(reply) => Response {
            code: reply.code(),
            remark: Some(reply.remark()).filter(|remark| !remark.is_empty()),
            body: Body::Bytes(reply.body()),
            ..Response::ok()
        },
        Err(error) if error.kind() == ErrorKind::Timeout => {
            let remark = format!("consumer <{group}> <{client_id}> Timeout: {error}");
            refused(ResponseCode::CONSUME_MSG_TIMEOUT, remark)
        }
        Err(error) => {
            let remark = format!("invoke consumer <{group}> <{client_id}> Exception: {error}");
            refused(ResponseCode::SYSTEM_ERROR, remark)
        }
    }
}

/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223): asks every member, or one. Who does not answer is left out.
pub(crate) fn status(broker: &Broker, request: &InvokeBrokerToGetConsumerStatus<'_>) -> Answer {
    let group = &*request.group;
    let members = broker.clients.members(group);
    if members.is_empty() {
        let remark = format!("No Any Consumer online in the consumer group: [{group}]");
        return refused(ResponseCode::SYSTEM_ERROR, remark).into();
    }
    if let Some(old) = members.iter().find(|member| member.version < VERSION_WITH_STATUS) {
        let remark =
            format!("the client {} does not support this feature. version={}", old.client_id, old.version);
        return refused(ResponseCode::SYSTEM_ERROR, remark).into();
    }
    let only = request.client_addr.as_deref().filter(|id| !id.trim().is_empty());
    let asked: Vec<_> =
        members.into_iter().filter(|member| only.is_none_or(|only| member.client_id == only)).collect();
    let mut told = Told::default();
    let gathered = Arc::new(Gathered { slot: Mutex::new(Some(told.slot())), table: Mutex::default() });
    let onward = Request::GetConsumerStatusFromClient(GetConsumerStatusFromClient {
        topic: request.topic.clone(),
        group: request.group.clone(),
        client_addr: None,
    });
    for member in asked {
        let (gathered, client_id) = (gathered.clone(), member.client_id.clone());
        member.connection.call(&onward, STATUS_PATIENCE, move |reply| gathered.take(client_id, reply));
    }
    Answer::Later(Box::new(move |ticket| told.wait(ticket)))
}

/// What members said. Once the last one was heard nobody has it any more, and it answers.
struct Gathered {
    slot: Mutex<Option<Slot>>,
    table: Mutex<BTreeMap<String, OffsetTable>>,
}

impl Gathered {
    fn take(&self, client_id: String, reply: Result<Reply>) {
        let said = reply.ok().filter(|reply| reply.code() == ResponseCode::SUCCESS);
        let said = said.and_then(|reply| json::from_slice::<GetConsumerStatusBody>(&reply.body()).ok());
        match said {
            Some(body) => {
                self.table.lock().insert(client_id, body.message_queue_table);
            }
            None => tracing::warn!(client_id, "the client did not say where it is"),
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let consumer_table = std::mem::take(self.table.get_mut());
        if let Some(slot) = self.slot.get_mut().take() {
            slot.fill(old_json(&GetConsumerStatusBody { consumer_table, ..Default::default() }));
        }
    }
}
