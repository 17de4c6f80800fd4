//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361): checks, the look into the queue, the answer or the wait.
//!
//! Reference: protocol.md 5.1. Apache's name: PullMessageProcessor.

use std::sync::Arc;

use crate::config::BrokerConfig;
use crate::message::sys_flag::pull as pull_flag;
use crate::store::{Get, GetResult, GetStatus};
use crate::wire::body::SubscriptionGroupConfig;
use crate::wire::{Body, PullMessage, PullMessageResponse, Response, ResponseCode, ResponseHeader};

use super::filters::{self, PullFilter};
use super::flow;
use super::handler::{refuse, refused, Answer, Caller, Refusal};
use super::names;
use super::permission;
use super::state::QueueOf;
use super::stats::Consumption;
use super::waiters::{self, Parked};
use super::Broker;

/// A checked pull that owns what it needs, so that it can wait.
pub(crate) struct OwnedPull {
    pub group: String,
    pub topic: String,
    pub queue_id: i32,
    pub offset: i64,
    pub filter: PullFilter,
    max_count: usize,
    max_bytes: usize,
    /// The group's brokers for normal times and for when it lags.
    suggest: [i64; 2],
    topic_sys_flag: i32,
    group_sys_flag: i32,
    consumed: Arc<Consumption>,
}

impl OwnedPull {
    /// The queue it pulls.
    pub fn at(&self) -> QueueOf<'_> {
        QueueOf { group: &self.group, topic: &self.topic, queue_id: self.queue_id }
    }
}

/// Answers a pull, or parks it until a message lands or the hold time is over.
pub(crate) fn pull(broker: &Broker, caller: &Caller<'_>, request: &PullMessage<'_>) -> Answer {
    let pull = match check(broker, caller, request) {
        Ok(pull) => pull,
        Err(refusal) => return refusal.into(),
    };
    if let Some(moved) = moved(broker, &pull, caller.connection.id()) {
        return moved.into();
    }
    if request.sys_flag & pull_flag::COMMIT_OFFSET != 0
        && request.commit_offset >= 0
        && !names::is_own_progress(&pull.group)
    {
        let now = broker.clock.now_ms();
        broker.offsets.commit(pull.at(), request.commit_offset, caller.connection.id(), now);
    }
    let found = look(broker, &pull);
    let response = response(broker, &pull, found);
    if response.code != ResponseCode::PULL_NOT_FOUND || request.sys_flag & pull_flag::SUSPEND == 0 {
        return response.into();
    }
    let config = broker.config();
    let hold_ms = if config.long_polling_enable {
        request.suspend_timeout_millis
    } else {
        config.short_polling_time_mills
    };
    if hold_ms <= 0 {
        return response.into();
    }
    if let Err(refusal) = flow::admit_wait(broker) {
        return refusal.into();
    }
    let deadline_ms = broker.clock.now_ms().saturating_add(hold_ms);
    let broker = broker.shared();
    Answer::Later(Box::new(move |ticket| waiters::park(&broker, Parked { ticket, pull, deadline_ms })))
}

/// Runs a parked pull again: answers it, or parks it anew when a false alarm woke it before its time.
pub(crate) fn answer_parked(broker: &Broker, parked: Parked) {
    if let Some(moved) = moved(broker, &parked.pull, parked.ticket.connection().id()) {
        return parked.ticket.reply(moved);
    }
    if let Err(refusal) = check_again(broker, &parked.pull) {
        return parked.ticket.reply(refusal.into());
    }
    let found = look(broker, &parked.pull);
    let response = response(broker, &parked.pull, found);
    if response.code == ResponseCode::PULL_NOT_FOUND && parked.deadline_ms > broker.clock.now_ms() {
        waiters::park(broker, parked);
    } else {
        parked.ticket.reply(response);
    }
}

/// What a pull is told once after an operator moved its group: go on from there.
fn moved(broker: &Broker, pull: &OwnedPull, connection: u64) -> Option<Response> {
    let (group, topic, queue) = (&pull.group, &pull.topic, pull.queue_id);
    let now = broker.clock.now_ms();
    let next_begin_offset = broker.offsets.tell(pull.at(), pull.offset, connection, now)?;
    tracing::info!(group, topic, queue, next_begin_offset, "a consumer is told that its group was moved");
    let bounds = broker.store.queue_bounds(topic, queue).unwrap_or(0..0);
    let header = PullMessageResponse {
        suggest_which_broker_id: pull.suggest[0],
        next_begin_offset,
        min_offset: bounds.start,
        max_offset: bounds.end,
        ..Default::default()
    };
    Some(refused(ResponseCode::PULL_OFFSET_MOVED, "OFFSET_RESET").with_header(header))
}

/// Answers a parked pull without a look into the queue: the client is to ask again.
pub(crate) fn answer_later(broker: &Broker, parked: Parked) {
    let Parked { ticket, pull, .. } = parked;
    let bounds = broker.store.queue_bounds(&pull.topic, pull.queue_id).unwrap_or(pull.offset..pull.offset);
    let found = GetResult {
        status: GetStatus::NoMatchedMessage,
        next_offset: pull.offset,
        min_offset: bounds.start,
        max_offset: bounds.end,
        records: Vec::new(),
        count: 0,
        bytes: 0,
        lagging: false,
    };
    ticket.reply(response(broker, &pull, found));
}

fn check(broker: &Broker, caller: &Caller<'_>, request: &PullMessage<'_>) -> Result<OwnedPull, Refusal> {
    if caller.connection.is_vip() {
        let remark = format!(
            "pulls are not supported on the VIP port; pull from port {}",
            caller.connection.local().port() + 2
        );
        return Err(refuse(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
    }
    let config = broker.config();
    if request.lite && !config.lite_pull_message_enable {
        let remark = "the broker serves no lite pulls (litePullMessageEnable=false)";
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    check_broker(&config)?;
    let group = broker.groups.find_or_create(broker, &request.consumer_group).ok_or_else(|| {
        let remark = format!(
            "subscription group [{}] does not exist; create it, or set autoCreateSubscriptionGroup=true",
            request.consumer_group
        );
        refuse(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, remark)
    })?;
    check_group(&group)?;
    let topic = broker.topics.find(&request.topic).ok_or_else(|| {
        let remark = format!("topic[{}] not exist, apply first please!", request.topic);
        refuse(ResponseCode::TOPIC_NOT_EXIST, remark)
    })?;
    check_topic(&request.topic, topic.perm)?;
    if request.queue_id < 0 || request.queue_id >= topic.read_queue_nums {
        let remark = format!(
            "queueId[{}] is illegal, topic:[{}] topicConfig.readQueueNums:[{}] consumer:[{}]",
            request.queue_id,
            request.topic,
            topic.read_queue_nums,
            caller.remote()
        );
        return Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    }
    let filter = filters::of_pull(broker, &group, request)?;
    let suggest = match config.slave_read_enable {
        true => [group.broker_id, group.which_broker_when_consume_slowly],
        false => [0, 0],
    };
    Ok(OwnedPull {
        group: request.consumer_group.to_string(),
        topic: request.topic.to_string(),
        queue_id: request.queue_id,
        offset: request.queue_offset,
        filter,
        max_count: request.max_msg_nums.max(1) as usize,
        max_bytes: request
            .max_msg_bytes
            .filter(|&bytes| bytes > 0)
            .map_or(usize::MAX, |bytes| bytes as usize),
        suggest,
        topic_sys_flag: topic.topic_sys_flag,
        group_sys_flag: group.group_sys_flag,
        consumed: group.consuming(&request.topic, broker.clock.now_ms()),
    })
}

/// What operators may have changed while a pull waited.
fn check_again(broker: &Broker, pull: &OwnedPull) -> Result<(), Refusal> {
    check_broker(&broker.config())?;
    broker.groups.find(&pull.group).map_or(Ok(()), |group| check_group(&group))?;
    broker.topics.find(&pull.topic).map_or(Ok(()), |topic| check_topic(&pull.topic, topic.perm))
}

fn check_broker(config: &BrokerConfig) -> Result<(), Refusal> {
    if permission::readable(config.broker_permission) {
        return Ok(());
    }
    let remark = format!("the broker[{}] pulling message is forbidden", config.broker_ip1);
    Err(refuse(ResponseCode::NO_PERMISSION, remark))
}

fn check_group(group: &SubscriptionGroupConfig) -> Result<(), Refusal> {
    if group.consume_enable {
        return Ok(());
    }
    let remark = format!("subscription group no permission, {}", group.group_name);
    Err(refuse(ResponseCode::NO_PERMISSION, remark))
}

fn check_topic(topic: &str, perm: i32) -> Result<(), Refusal> {
    if permission::readable(perm) {
        return Ok(());
    }
    let way_out = match topic.starts_with(names::DEAD_LETTER_PREFIX) {
        true => "; set it to 6 with updateTopicPerm",
        false => "",
    };
    let remark = format!(
        "the topic[{topic}] pulling message is forbidden: its perm is {perm}, reading needs 4{way_out}"
    );
    Err(refuse(ResponseCode::NO_PERMISSION, remark))
}

fn look(broker: &Broker, pull: &OwnedPull) -> GetResult {
    let get = Get {
        topic: &pull.topic,
        queue_id: pull.queue_id,
        offset: pull.offset,
        max_count: pull.max_count,
        max_bytes: pull.max_bytes,
    };
    broker.store.get(&get, &pull.filter)
}

fn response(broker: &Broker, pull: &OwnedPull, found: GetResult) -> Response {
    let code = code_of(found.status, pull.offset);
    if found.status == GetStatus::Found {
        pull.consumed.got.add(found.count, found.bytes);
        pull.consumed.pulled_to(pull.queue_id, found.next_offset);
        broker.stats.got(found.count, found.bytes);
    } else {
        broker.stats.missed();
    }
    let header = PullMessageResponse {
        suggest_which_broker_id: pull.suggest[usize::from(found.lagging)],
        next_begin_offset: found.next_offset,
        min_offset: found.min_offset,
        max_offset: found.max_offset,
        topic_sys_flag: Some(pull.topic_sys_flag),
        group_sys_flag: Some(pull.group_sys_flag),
        offset_delta: None,
        forbidden_type: None,
    };
    Response {
        code,
        remark: Some(found.status.name().to_owned()),
        header: ResponseHeader::PullMessage(header),
        body: match found.records.is_empty() {
            true => Body::Empty,
            false => Body::Chunks(found.records),
        },
    }
}

/// The response code of a store status.
fn code_of(status: GetStatus, offset: i64) -> ResponseCode {
    match status {
        GetStatus::Found => ResponseCode::SUCCESS,
        GetStatus::NoMatchedMessage | GetStatus::MessageWasRemoving => ResponseCode::PULL_RETRY_IMMEDIATELY,
        GetStatus::OffsetFoundNull | GetStatus::OffsetOverflowOne => ResponseCode::PULL_NOT_FOUND,
        GetStatus::OffsetOverflowBadly | GetStatus::OffsetTooSmall => ResponseCode::PULL_OFFSET_MOVED,
        // A queue that is not there yet is an empty queue to who starts at 0, and a moved one to who has an offset.
        GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue if offset == 0 => {
            ResponseCode::PULL_NOT_FOUND
        }
        GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue => ResponseCode::PULL_OFFSET_MOVED,
    }
}
