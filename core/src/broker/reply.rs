//! SEND_REPLY_MESSAGE (324, 325): the answer to a request, passed on to the client that asked.
//!
//! Reference: protocol.md 9. Apache's name: ReplyMessageProcessor.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::message::{property, OffsetId, Properties};
use crate::net::Ticket;
use crate::store::{Durability, FlushMode};
use crate::sync::Mutex;
use crate::wire::{
    MessageIds, PushReplyMessageToClient, Request, Response, ResponseCode, ResponseHeader, SendMessage,
    SendMessageResponse,
};

use super::handler::{Answer, Caller, Refusal};
use super::send::{self, Target};
use super::{put, Broker};

/// How long the client that asked may take to confirm the reply.
const CONFIRM_WITHIN: Duration = Duration::from_secs(10);

/// Stores the reply, unless storeReplyMessageEnable is false, and passes it on. The answer says whether it was passed on.
pub(crate) fn send(broker: &Broker, caller: &Caller<'_>, request: &SendMessage<'_>) -> Answer {
    match checked(broker, caller, request) {
        Ok(target) => pass_on(broker, caller, request, &target),
        Err(refusal) => refusal.into(),
    }
}

fn checked(broker: &Broker, caller: &Caller<'_>, request: &SendMessage<'_>) -> Result<Target, Refusal> {
    let target = send::check(broker, caller, request)?;
    put::check_body(broker, request.body)?;
    put::check_properties(request.properties.as_deref().unwrap_or_default().as_bytes())?;
    Ok(target)
}

fn pass_on(broker: &Broker, caller: &Caller<'_>, request: &SendMessage<'_>, target: &Target) -> Answer {
    let stored = store(broker, caller, request, target);
    // The request is borrowed, so it is passed on before there is a ticket to answer.
    let meeting = Arc::new(Mutex::new(Meeting::Nobody));
    if let Err(why) = push(broker, caller, request, &meeting) {
        meeting.lock().settle(Err(why));
    }
    let answer = match stored {
        Stored { header, waits_for: None } => {
            Answer::Later(Box::new(move |ticket| meeting.lock().wait(ticket, header)))
        }
        Stored { header, waits_for: Some(end) } => {
            let store = broker.store.clone();
            Answer::Later(Box::new(move |ticket| {
                let settled = move |durability| {
                    let header = match durability {
                        Durability::Flushed | Durability::TimedOut => header,
                        Durability::Failed(why) => {
                            tracing::error!(why, "a reply was passed on and not stored");
                            nowhere(header)
                        }
                    };
                    meeting.lock().wait(ticket, header);
                };
                store.when_durable(end, Box::new(settled));
            }))
        }
    };
    match target.is_unsaved {
        true => answer.once_saved(broker),
        false => answer,
    }
}

/// Passes the reply on to the client that asked; `meeting` is told what becomes of it. An error says why it cannot be.
fn push(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    meeting: &Arc<Mutex<Meeting>>,
) -> Result<(), String> {
    let mut properties = Properties::parse(request.properties.as_deref().unwrap_or_default().as_bytes());
    let Some(asking) = properties.get(property::REPLY_TO_CLIENT).map(str::to_owned) else {
        return Err(format!("reply message properties[{}] is null", property::REPLY_TO_CLIENT));
    };
    let Some(connection) = broker.clients.producer(&asking) else {
        return Err(format!("push reply message fail, channel of <{asking}> not found."));
    };
    if connection.is_congested() {
        return Err(format!("push reply message to {asking} fail: it does not read what it is sent"));
    }
    let now = broker.clock.now_ms();
    properties.insert(property::PUSH_REPLY_TIME, now.to_string());
    let encoded = String::from_utf8(properties.encode()).unwrap_or_default();
    let meeting = meeting.clone();
    connection.call(&passed_on(broker, caller, request, encoded.into(), now), CONFIRM_WITHIN, move |reply| {
        let why = match reply {
            Ok(reply) if reply.code() == ResponseCode::SUCCESS => return meeting.lock().settle(Ok(())),
            Ok(reply) => reply.remark(),
            Err(error) => error.to_string(),
        };
        meeting.lock().settle(Err(format!("push reply message to {asking} fail: {why}")));
    });
    Ok(())
}

/// Where the ticket of a reply, once that is stored, and what becomes of it come together, in whatever order.
enum Meeting {
    Nobody,
    Waiting(Ticket, SendMessageResponse),
    Settled(Result<(), String>),
}

impl Meeting {
    fn wait(&mut self, ticket: Ticket, header: SendMessageResponse) {
        match std::mem::replace(self, Meeting::Nobody) {
            Meeting::Settled(passed) => ticket.reply(response(passed, header)),
            _ => *self = Meeting::Waiting(ticket, header),
        }
    }

    fn settle(&mut self, passed: Result<(), String>) {
        match std::mem::replace(self, Meeting::Nobody) {
            Meeting::Waiting(ticket, header) => ticket.reply(response(passed, header)),
            _ => *self = Meeting::Settled(passed),
        }
    }
}

fn response(passed: Result<(), String>, header: SendMessageResponse) -> Response {
    let response = match passed {
        Ok(()) => Response::ok(),
        Err(why) => {
            tracing::warn!(why, "a reply was not passed on");
            Response::error(ResponseCode::SYSTEM_ERROR, why)
        }
    };
    response.with_header(ResponseHeader::SendMessage(header))
}

/// Where a reply is.
struct Stored {
    header: SendMessageResponse,
    /// End of the record, if the flush is to be waited for.
    waits_for: Option<i64>,
}

/// The header of a reply that is stored nowhere, in terms that clients can read.
fn nowhere(header: SendMessageResponse) -> SendMessageResponse {
    SendMessageResponse { msg_id: MessageIds::Text("0".into()), queue_offset: 0, ..header }
}

/// Stores the reply, if that is wanted. A failure fails nothing.
fn store(broker: &Broker, caller: &Caller<'_>, request: &SendMessage<'_>, target: &Target) -> Stored {
    let config = broker.config();
    let header = nowhere(SendMessageResponse {
        queue_id: target.queue_id,
        msg_region: Some(broker.region.clone()),
        trace_on: Some(config.trace_on),
        ..SendMessageResponse::default()
    });
    let mut stored = Stored { header, waits_for: None };
    if !config.store_reply_message_enable {
        return stored;
    }
    let properties = request.properties.as_deref().unwrap_or_default().as_bytes();
    let record = send::record(broker, caller, request, target, request.body, properties);
    match broker.store.append(&record) {
        Ok(appended) => {
            stored.waits_for = (broker.store.flush_mode() == FlushMode::Sync).then_some(appended.end);
            let bytes = (appended.end - appended.physical_offset) as usize;
            target.puts.add(1, bytes);
            broker.stats.put(1, bytes);
            let place = OffsetId { host: broker.store_host(), physical_offset: appended.physical_offset };
            stored.header.msg_id = MessageIds::One(place);
            stored.header.queue_offset = appended.queue_offset;
        }
        Err(error) => tracing::error!(%error, topic = %target.topic, "a reply was not stored"),
    }
    stored
}

fn passed_on<'a>(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &'a SendMessage<'a>,
    properties: Cow<'a, str>,
    now: i64,
) -> Request<'a> {
    Request::PushReplyMessageToClient(PushReplyMessageToClient {
        producer_group: request.producer_group.clone(),
        topic: request.topic.clone(),
        default_topic: request.default_topic.clone(),
        default_topic_queue_nums: request.default_topic_queue_nums,
        queue_id: request.queue_id,
        sys_flag: request.sys_flag,
        born_timestamp: request.born_timestamp,
        flag: request.flag,
        properties: Some(properties),
        reconsume_times: Some(request.reconsume_times),
        unit_mode: request.unit_mode,
        born_host: caller.remote().to_string().into(),
        store_host: broker.store_host().to_string().into(),
        store_timestamp: now,
        body: request.body,
    })
}
