//! SEND_REPLY_MESSAGE (324, 325): the answer to a request, passed on to the client that asked.
//!
//! Reference: protocol.md 9. Apache's name: ReplyMessageProcessor.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::message::{property, OffsetId, Properties};
use crate::net::{Reply, Ticket};
use crate::store::FlushMode;
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
    let given = request.properties.as_deref().unwrap_or_default();
    let mut properties = Properties::parse(given.as_bytes());
    let header = store(broker, caller, request, target);
    let Some(asking) = properties.get(property::REPLY_TO_CLIENT).map(str::to_owned) else {
        let name = property::REPLY_TO_CLIENT;
        return failed(format!("reply message properties[{name}] is null"), header).into();
    };
    let Some(connection) = broker.clients.producer(&asking) else {
        return failed(format!("push reply message fail, channel of <{asking}> not found."), header).into();
    };
    if connection.is_congested() {
        let why = format!("push reply message to {asking} fail: it does not read what it is sent");
        return failed(why, header).into();
    }
    let now = broker.clock.now_ms();
    properties.insert(property::PUSH_REPLY_TIME, now.to_string());
    let encoded = String::from_utf8(properties.encode()).unwrap_or_default();
    // The request is borrowed, so it is passed on before there is a ticket to answer.
    let meeting = Arc::new(Mutex::new(Meeting::Nobody));
    let confirmed = meeting.clone();
    connection.call(&push(broker, caller, request, encoded.into(), now), CONFIRM_WITHIN, move |reply| {
        confirmed.lock().respond(outcome(reply, &asking, header));
    });
    Answer::Later(Box::new(move |ticket| meeting.lock().wait(ticket)))
}

/// Where the ticket of a reply and what becomes of it come together, in whatever order.
enum Meeting {
    Nobody,
    Waiting(Ticket),
    Settled(Response),
}

impl Meeting {
    fn wait(&mut self, ticket: Ticket) {
        match std::mem::replace(self, Meeting::Nobody) {
            Meeting::Settled(response) => ticket.reply(response),
            _ => *self = Meeting::Waiting(ticket),
        }
    }

    fn respond(&mut self, response: Response) {
        match std::mem::replace(self, Meeting::Nobody) {
            Meeting::Waiting(ticket) => ticket.reply(response),
            _ => *self = Meeting::Settled(response),
        }
    }
}

fn outcome(reply: crate::Result<Reply>, asking: &str, header: SendMessageResponse) -> Response {
    let why = match reply {
        Ok(reply) if reply.code() == ResponseCode::SUCCESS => {
            return Response::ok().with_header(ResponseHeader::SendMessage(header));
        }
        Ok(reply) => reply.remark(),
        Err(error) => error.to_string(),
    };
    failed(format!("push reply message to {asking} fail: {why}"), header)
}

fn failed(why: String, header: SendMessageResponse) -> Response {
    tracing::warn!(why, "a reply was not passed on");
    Response::error(ResponseCode::SYSTEM_ERROR, why).with_header(ResponseHeader::SendMessage(header))
}

/// Stores the reply, if that is wanted; where it is, or nowhere. Nobody waits for it, and a failure fails nothing.
fn store(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &SendMessage<'_>,
    target: &Target,
) -> SendMessageResponse {
    let config = broker.config();
    let mut header = SendMessageResponse {
        // What clients can read where there is no message.
        msg_id: MessageIds::Text("0".into()),
        queue_id: target.queue_id,
        msg_region: Some(broker.region.clone()),
        trace_on: Some(config.trace_on),
        ..SendMessageResponse::default()
    };
    if !config.store_reply_message_enable {
        return header;
    }
    let properties = request.properties.as_deref().unwrap_or_default().as_bytes();
    let record = send::record(broker, caller, request, target, request.body, properties);
    match broker.store.append(&record) {
        Ok(appended) => {
            if broker.store.flush_mode() == FlushMode::Sync {
                broker.store.when_durable(appended.end, Box::new(|_| {}));
            }
            let bytes = (appended.end - appended.physical_offset) as usize;
            target.puts.add(1, bytes);
            broker.stats.put(1, bytes);
            let place = OffsetId { host: broker.store_host(), physical_offset: appended.physical_offset };
            header.msg_id = MessageIds::One(place);
            header.queue_offset = appended.queue_offset;
        }
        Err(error) => tracing::error!(%error, topic = %target.topic, "a reply was not stored"),
    }
    header
}

fn push<'a>(
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
