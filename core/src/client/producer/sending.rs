//! One send, attempt after attempt: where to next, and whether an outcome is the last. The same for sends that wait
//! and those that do not; who drives it waits, or comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::choose::in_turn;
use super::prepare::Prepared;
use super::{CommunicationMode, SendStatus, Sent, Shared};
use crate::client::cluster::succeeded;
use crate::client::route::Route;
use crate::clock::deadline_after;
use crate::error::FailedSend;
use crate::net::Reply;
use crate::wire::body::MessageQueue;
use crate::wire::{ResponseCode, SendMessageResponse};
use crate::{Error, ErrorKind, Result};

/// Pause before a further attempt at the same broker, when there is no other: long enough for a new connection, and
/// for a busy broker to take breath.
const SAME_BROKER_PAUSE: Duration = Duration::from_millis(200);

/// What is to be done next for a send.
pub(super) enum Step {
    /// Ask for the route of its topic, which may take a while, and tell [`Sending::no_route`] if there is none.
    FindRoute,
    /// Wait.
    Pause(Duration),
    /// Call this address within this time, and tell [`Sending::answered`].
    Call(String, Duration),
    /// Nothing: this is the end of it.
    End(Result<Landed>),
}

/// A message that is stored, and what else the broker said.
#[derive(Debug)]
pub(super) struct Landed {
    pub sent: Sent,
    /// The transaction's id of a half message.
    pub transaction_id: Option<String>,
    /// The broker's region.
    pub region: Option<Arc<str>>,
    /// Whether the broker wants the send to be traced.
    pub trace_on: bool,
}

/// Finds the queue of a send that has one, in the route of its topic.
pub(super) type Aim<'a> = Box<dyn FnOnce(&Shared, &Route) -> Result<MessageQueue> + Send + 'a>;

/// A send under way.
pub(super) struct Sending<'a> {
    pub message: Arc<Prepared>,
    mode: CommunicationMode,
    /// Finds the one queue that it may be sent to, if it is not to take turns, and what it found.
    aim: Option<Aim<'a>>,
    fixed: Option<MessageQueue>,
    pub started: Instant,
    timeout: Duration,
    pub deadline: Instant,
    attempts: usize,
    most: usize,
    /// Brokers that failed, the last one last.
    tried: Vec<String>,
    /// Where the attempt under way goes, and since when.
    target: MessageQueue,
    since: Instant,
    /// Whether the next attempt has to wait a little, and whether it has.
    rest_due: bool,
    rested: bool,
    /// Stored at an earlier attempt, though not safe.
    stored: Option<Landed>,
    /// Why the last attempt failed.
    cause: Option<Error>,
}

impl<'a> Sending<'a> {
    pub fn new(
        producer: &Shared,
        message: Arc<Prepared>,
        mode: CommunicationMode,
        aim: Option<Aim<'a>>,
        timeout: Option<Duration>,
    ) -> Sending<'a> {
        let options = &producer.options;
        let timeout = timeout.unwrap_or(options.send_msg_timeout);
        let retries = match mode {
            CommunicationMode::Sync if aim.is_some() => 0,
            CommunicationMode::Sync => options.retry_times_when_send_failed,
            CommunicationMode::Async => options.retry_times_when_send_async_failed,
            CommunicationMode::Oneway => 0,
        };
        let started = Instant::now();
        let target = MessageQueue { topic: message.topic.clone(), broker_name: String::new(), queue_id: 0 };
        Sending {
            message,
            mode,
            aim,
            fixed: None,
            started,
            timeout,
            deadline: deadline_after(started, timeout),
            attempts: 0,
            most: retries.saturating_add(1),
            tried: Vec::new(),
            target,
            since: started,
            rest_due: false,
            rested: false,
            stored: None,
            cause: None,
        }
    }

    /// The queue of the attempt under way.
    pub fn target(&self) -> &MessageQueue {
        &self.target
    }

    /// The time that is left.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What to do next. Does not wait.
    pub fn next(&mut self, producer: &Shared) -> Step {
        loop {
            if producer.is_silent() {
                return Step::End(self.fail(producer.closed_error()));
            }
            let now = Instant::now();
            let left = self.deadline.saturating_duration_since(now);
            if left.is_zero() {
                let error = self.out_of_time();
                return Step::End(self.fail(error));
            }
            if std::mem::take(&mut self.rest_due) {
                return Step::Pause(SAME_BROKER_PAUSE.min(left));
            }
            let Some(route) = producer.cluster.known_publish_route(&self.message.topic) else {
                return Step::FindRoute;
            };
            let chosen = self.choose(producer, &route);
            if chosen.is_ok() && !self.rested && self.tried.contains(&self.target.broker_name) {
                // There is no other broker, and this one failed just now.
                self.rested = true;
                return Step::Pause(SAME_BROKER_PAUSE.min(left));
            }
            let address = chosen.and_then(|()| producer.address(&self.target.broker_name));
            self.attempts += 1;
            self.since = now;
            match address {
                Ok(address) => return Step::Call(address, left),
                Err(error) => {
                    if let Some(end) = self.failed(producer, error) {
                        return Step::End(end);
                    }
                }
            }
        }
    }

    fn choose(&mut self, producer: &Shared, route: &Route) -> Result<()> {
        if let Some(aim) = self.aim.take() {
            self.fixed = Some(aim(producer, route)?);
        }
        let chosen = match &self.fixed {
            Some(queue) => queue,
            None => {
                let turn = producer.turns.of(&self.message.topic);
                in_turn(&route.publish, &turn, &self.tried, |broker| producer.avoids(broker))
                    .ok_or_else(|| no_queue(&self.message.topic, route))?
            }
        };
        self.target.clone_from(chosen);
        Ok(())
    }

    /// The outcome of [`Step::FindRoute`] if it failed; the end of the send, or none if it goes on.
    pub fn no_route(&mut self, producer: &Shared, error: Error) -> Option<Result<Landed>> {
        self.attempts += 1;
        let end = self.judge(producer, error);
        self.rest_due = end.is_none();
        end
    }

    /// The outcome of [`Step::Call`]; the end of the send, or none if it goes on.
    pub fn answered(&mut self, producer: &Shared, reply: Result<Reply>) -> Option<Result<Landed>> {
        let landed = reply.and_then(|reply| self.read(producer, reply));
        if producer.faults.enabled {
            let (latency, now) = (self.since.elapsed(), producer.cluster.now_ms());
            producer.faults.note(&self.target.broker_name, latency, landed.is_err(), now);
        }
        let landed = match landed {
            Ok(landed) => landed,
            Err(error) => return self.failed(producer, error),
        };
        let careful = producer.options.retry_another_broker_when_not_store_ok;
        let again = careful && self.mode == CommunicationMode::Sync && landed.sent.status != SendStatus::Ok;
        if again && self.may_go_on() {
            tracing::debug!("sent again elsewhere: {}", landed.sent);
            self.stored = Some(landed);
            self.avoid_target();
            return None;
        }
        Some(Ok(landed))
    }

    fn failed(&mut self, producer: &Shared, error: Error) -> Option<Result<Landed>> {
        if error.code() == Some(ResponseCode::TOPIC_NOT_EXIST.0) {
            producer.cluster.forget_route(&self.message.topic);
        }
        if error.kind() == ErrorKind::Connection {
            producer.cluster.suspect_routes();
        }
        if !self.target.broker_name.is_empty() {
            self.avoid_target();
        }
        self.judge(producer, error)
    }

    /// Notes the broker of the attempt as the last that failed.
    fn avoid_target(&mut self) {
        self.rested = false;
        let broker = &self.target.broker_name;
        self.tried.retain(|other| other != broker);
        self.tried.push(broker.clone());
    }

    fn judge(&mut self, producer: &Shared, error: Error) -> Option<Result<Landed>> {
        let passing = match self.mode {
            CommunicationMode::Sync => error.is_retriable(),
            // What a broker answers is the user's to judge.
            _ => matches!(error.kind(), ErrorKind::Connection | ErrorKind::Timeout),
        };
        if passing && self.may_go_on() && !producer.is_silent() {
            let (topic, id) = (&self.message.topic, &self.message.message_id);
            tracing::debug!(topic, message_id = id, "sent again after attempt {}: {error}", self.attempts);
            self.cause = Some(error);
            return None;
        }
        Some(self.fail(error))
    }

    fn may_go_on(&self) -> bool {
        self.attempts < self.most && !self.left().is_zero()
    }

    /// The end after a failure: what was stored at an earlier attempt, or the error with all that is known.
    pub fn fail(&mut self, error: Error) -> Result<Landed> {
        if let Some(landed) = self.stored.take() {
            return Ok(landed);
        }
        let broker = Some(&self.target.broker_name).filter(|name| !name.is_empty()).cloned();
        Err(error.with_send(FailedSend {
            topic: self.message.topic.clone(),
            message_id: self.message.message_id.clone(),
            broker,
            attempts: self.attempts,
        }))
    }

    /// The error of a send whose time is over before an attempt; with the reason why the last attempt failed.
    pub fn out_of_time(&mut self) -> Error {
        let context = format!("not done within {} ms", self.timeout.as_millis());
        let error = Error::new(ErrorKind::Timeout, "send", context);
        match self.cause.take() {
            Some(cause) => error.with_source(cause),
            None => error,
        }
    }

    fn read(&self, producer: &Shared, reply: Reply) -> Result<Landed> {
        let (status, reply) = match reply.code() {
            ResponseCode::FLUSH_DISK_TIMEOUT => (SendStatus::FlushTimedOut, reply),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => (SendStatus::SlaveTimedOut, reply),
            ResponseCode::SLAVE_NOT_AVAILABLE => (SendStatus::NoSlave, reply),
            _ => (SendStatus::Ok, succeeded("send", reply)?),
        };
        let stored: SendMessageResponse = reply.into_header()?;
        let queue = MessageQueue {
            topic: producer.user_topic(&self.message.topic).to_string(),
            broker_name: self.target.broker_name.clone(),
            queue_id: stored.queue_id,
        };
        Ok(Landed {
            sent: Sent {
                status,
                message_id: self.message.message_id.clone(),
                offset_id: stored.msg_id.into_text(),
                queue,
                queue_offset: stored.queue_offset,
            },
            transaction_id: stored.transaction_id,
            region: stored.msg_region,
            trace_on: stored.trace_on.unwrap_or(true),
        })
    }
}

/// Why nothing can be sent to a topic that has a route.
pub(super) fn no_queue(topic: &str, route: &Route) -> Error {
    let has_master = route.brokers.values().any(|set| set.contains_key(&0));
    let (kind, why) = match has_master {
        true => (ErrorKind::NoPermission, "its brokers do not permit writing"),
        false => (ErrorKind::Connection, "none of its brokers has a master at present"),
    };
    Error::new(kind, "send", format!("no queue of topic {topic:?} can be written to: {why}"))
}
