//! The producer: chooses a queue, sends, and tries again elsewhere what failed (protocol reference, section 4).

mod choose;
mod compress;
mod flight;
mod prepare;
mod registry;
mod request;
mod result;
mod room;
mod sending;
mod slot;
mod split;
mod traced;
mod transaction;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::choose::{Faults, Turns};
use self::flight::{Flight, Told};
use self::prepare::{Prepared, Purpose};
use self::room::Room;
use self::sending::{no_queue, Aim, Landed, Sending, Step};
use self::slot::Slot;
use self::traced::Traced;
use self::transaction::Checks;
use super::callbacks::{deadline_in, Pool};
use super::cluster::Cluster;
use super::route::Route;
use super::topics::NewTopic;
use crate::config::ProducerOptions;
use crate::message::{property, unique_id, unique_id_of, Message};
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

pub use self::choose::{Choose, Selector};
pub use self::flight::SendFuture;
pub(super) use self::registry::Registry;
pub(super) use self::request::replied;
pub use self::request::RequestFuture;
pub use self::result::{CommunicationMode, SendOptions, SendStatus, SendTo, Sent};
pub(super) use self::transaction::asked;
pub use self::transaction::{TransactionListener, TransactionProducer, TransactionSent, TransactionState};

/// The type of messages that are replies, in their properties.
const REPLY: &str = "reply";

/// How long closing a producer waits for its sends under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Longest name of a group, in bytes.
const MAX_GROUP: usize = 255;

/// Sends messages to a cluster. May be shared by threads.
///
/// Every failed send surfaces once, as an [`Error`] whose [`failed_send`](Error::failed_send) says which message it was,
/// which [`is_retriable`](Error::is_retriable) tells whether sending it again can help, and which is logged with topic,
/// id and keys. A send that timed out, or whose connection broke, may have been stored all the same: look the message
/// up by its id, or send it again and let consumers recognize the copy, which has the same id if the same [`Message`]
/// with a `UNIQ_KEY` is sent, or by a key of their own.
///
/// Dropping a producer takes it out of its group without waiting; [`Producer::close`] waits for sends under way.
#[doc(alias = "DefaultMQProducer")]
pub struct Producer {
    shared: Arc<Shared>,
}

/// A producer as its sends see it.
pub(in crate::client) struct Shared {
    cluster: Arc<Cluster>,
    options: ProducerOptions,
    /// As on the wire.
    group: String,
    like: NewTopic,
    /// Goes into the ids of messages.
    host: Option<IpAddr>,
    turns: Turns,
    faults: Faults,
    room: Room,
    /// Of a producer of transactions: who knows how they ended.
    checks: Option<Arc<Checks>>,
    /// Of a producer that is to be traced.
    traced: Option<Traced>,
    closed: AtomicBool,
    /// No callback begins any more.
    silent: AtomicBool,
}

impl Producer {
    /// A producer of a group, which is `producerGroup` in the options.
    ///
    /// Errors: [`ErrorKind::InvalidArgument`] if the group has no name or one that brokers do not take,
    /// [`ErrorKind::Closed`] if the client was closed.
    pub fn new(cluster: &Arc<Cluster>, options: ProducerOptions) -> Result<Producer> {
        Producer::with_checks(cluster, options, None)
    }

    fn with_checks(
        cluster: &Arc<Cluster>,
        options: ProducerOptions,
        checks: Option<Arc<Checks>>,
    ) -> Result<Producer> {
        let shared = Shared::new(cluster, options, checks)?;
        cluster.producers.add(&shared)?;
        Ok(Producer { shared })
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.shared.options.producer_group
    }

    /// The queues of a topic that can be sent to, by broker and number.
    #[doc(alias = "fetchPublishMessageQueues")]
    pub fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>> {
        self.shared.check_open()?;
        let topic = self.shared.cluster.namespace().wrap(topic);
        let route = self.shared.route(&topic, self.shared.options.send_msg_timeout)?;
        Ok(self.shared.user_queues(&route))
    }

    /// Sends a message and waits until it is stored.
    ///
    /// Errors after all attempts have failed: the last one's. A message whose send timed out may be stored all the
    /// same.
    pub fn send(&self, message: &Message) -> Result<Sent> {
        self.send_with(message, &SendOptions::default())
    }

    /// As [`Producer::send`], with options.
    pub fn send_with(&self, message: &Message, options: &SendOptions) -> Result<Sent> {
        let prepared = self.shared.prepare(message, options)?;
        let aim = self.shared.aim(message, options)?;
        let sending = self.shared.sending(prepared, CommunicationMode::Sync, aim, options);
        Ok(self.shared.send_here(sending)?.sent)
    }

    /// Sends a message and returns at once; the future has the result. The route of a topic that is sent to for the
    /// first time is asked for in the background.
    ///
    /// At most `backPressureForAsyncSendNum` sends with `backPressureForAsyncSendSize` bytes of bodies are under way; a
    /// further one waits for room, within its time limit, until its future is dropped.
    pub fn send_async(&self, message: &Message) -> SendFuture {
        self.send_async_with(message, &SendOptions::default())
    }

    /// As [`Producer::send_async`], with options.
    pub fn send_async_with(&self, message: &Message, options: &SendOptions) -> SendFuture {
        let slot = Slot::new();
        match self.shared.flight(message, options, Told::Slot(slot.clone())) {
            Ok(flight) => {
                let waiting = self.shared.start(flight).map(|number| (self.shared.clone(), number));
                SendFuture::new(slot, waiting)
            }
            Err((error, _)) => {
                slot.fill(Err(error));
                SendFuture::new(slot, None)
            }
        }
    }

    /// Sends a message and returns at once; `callback` gets the result, once, on a callback thread of the client. It may
    /// send again there, also waiting.
    ///
    /// At most `backPressureForAsyncSendNum` sends with `backPressureForAsyncSendSize` bytes of bodies are under way; a
    /// further one waits here for room, within its time limit. In a callback it does not wait.
    pub fn send_callback(
        &self,
        message: &Message,
        options: &SendOptions,
        callback: impl FnOnce(Result<Sent>) + Send + 'static,
    ) {
        let told = Told::Callback(Box::new(callback));
        self.shared.fly_or_tell(self.shared.flight(message, options, told));
    }

    /// Sends a message without asking for an answer, and returns when it is on its way: for what may be lost. The topic's
    /// route is waited for if it is not known.
    pub fn send_oneway(&self, message: &Message) -> Result<()> {
        self.send_oneway_with(message, &SendOptions::default())
    }

    /// As [`Producer::send_oneway`], with options.
    pub fn send_oneway_with(&self, message: &Message, options: &SendOptions) -> Result<()> {
        let prepared = self.shared.prepare(message, options)?;
        let aim = self.shared.aim(message, options)?;
        self.shared.send_blindly(self.shared.sending(prepared, CommunicationMode::Oneway, aim, options))
    }

    /// Sends messages of one topic together, into one queue side by side: all are stored or none. Much faster than one
    /// by one when they are small. Together they may be as large as one message may (4 MiB by default); about 1 MiB is
    /// a good size, which [`Producer::send_split`] keeps to.
    ///
    /// They are alike in whether they wait for the store, have no delay and no retry topic; else nothing is sent.
    pub fn send_batch(&self, messages: &[Message]) -> Result<Sent> {
        self.send_batch_with(messages, &SendOptions::default())
    }

    /// As [`Producer::send_batch`], with options. A selector sees the first message.
    pub fn send_batch_with(&self, messages: &[Message], options: &SendOptions) -> Result<Sent> {
        self.shared.check_open()?;
        let prepared = Prepared::batch(&self.shared, messages)?;
        let aim = self.shared.aim(&messages[0], options)?;
        let sending = self.shared.sending(prepared, CommunicationMode::Sync, aim, options);
        Ok(self.shared.send_here(sending)?.sent)
    }

    /// As [`Producer::send_batch_with`], but returns at once, as [`Producer::send_callback`] does.
    pub fn send_batch_callback(
        &self,
        messages: &[Message],
        options: &SendOptions,
        callback: impl FnOnce(Result<Sent>) + Send + 'static,
    ) {
        let told = Told::Callback(Box::new(callback));
        let shared = &self.shared;
        let prepared = shared.check_open().and_then(|()| Prepared::batch(shared, messages));
        shared.fly_or_tell(match prepared {
            Ok(prepared) => shared.flight_of(prepared, &messages[0], options, told),
            Err(error) => Err((error, told)),
        });
    }

    /// Asynchronous sends under way, running callbacks included.
    pub fn sends_in_flight(&self) -> usize {
        self.shared.room.in_flight()
    }

    /// Takes no further sends, waits for those under way and for their callbacks, at most ten seconds, and leaves the
    /// group. Idempotent. In a callback it does not wait, and no further callback begins.
    ///
    /// Errors: [`ErrorKind::Timeout`] if not all have ended; no further callback begins then.
    #[doc(alias = "shutdown")]
    pub fn close(&self) -> Result<()> {
        self.close_within(CLOSE_WITHIN)
    }

    /// As [`Producer::close`], with this time limit.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        self.shared.close_within(limit)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn new(
        cluster: &Arc<Cluster>,
        options: ProducerOptions,
        checks: Option<Arc<Checks>>,
    ) -> Result<Arc<Shared>> {
        check_group(&options.producer_group)?;
        let host = cluster.client_id().split('@').find_map(|part| part.parse().ok());
        let like =
            NewTopic { template: options.create_topic_key.clone(), queues: options.default_topic_queue_nums };
        let mut shared = Shared {
            cluster: cluster.clone(),
            group: cluster.namespace().wrap(&options.producer_group).into_owned(),
            like,
            host,
            turns: Turns::default(),
            faults: Faults::new(&options),
            room: Room::new(
                options.back_pressure_for_async_send_num,
                options.back_pressure_for_async_send_size,
            ),
            checks,
            closed: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            traced: None,
            options,
        };
        shared.traced = Traced::new(&shared, &shared.options)?;
        Ok(Arc::new(shared))
    }

    /// See [`Producer::close_within`].
    pub(in crate::client) fn close_within(&self, limit: Duration) -> Result<()> {
        let deadline = deadline_in(limit);
        self.close();
        if self.finish(deadline) {
            return Ok(());
        }
        let left = self.room.in_flight();
        let context = format!("{left} sends or their callbacks have not ended in {} ms", limit.as_millis());
        Err(Error::new(ErrorKind::Timeout, "close producer", context))
    }

    /// Takes no further sends and leaves the group, once. What is under way goes on.
    fn close(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.cluster.producers.requests.close(self);
            self.cluster.producers.remove(&self.cluster, self);
        }
    }

    /// Waits for what is under way, callbacks included, and says whether it has ended at the deadline; if not, or on a
    /// callback thread, where it does not wait, it goes no further and no further callback begins.
    fn finish(&self, deadline: Instant) -> bool {
        let checks_ended = self.checks.as_ref().is_none_or(|checks| checks.close(deadline));
        let ended = Pool::is_current() || self.room.wait_for_all(deadline);
        if let Some(traced) = self.traced.as_ref().filter(|_| !Pool::is_current()) {
            traced.close(deadline);
        }
        if !ended || Pool::is_current() {
            self.silent.store(true, Ordering::SeqCst);
            self.room.close();
        }
        ended && checks_ended
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }

    fn closed_error(&self) -> Error {
        let context = format!("the producer of group {} was closed", self.options.producer_group);
        Error::new(ErrorKind::Closed, "send", context)
    }

    fn check_open(&self) -> Result<()> {
        match self.is_closed() {
            true => Err(self.closed_error()),
            false => Ok(()),
        }
    }

    /// The name of a topic as the user knows it.
    fn user_topic<'a>(&self, topic: &'a str) -> Cow<'a, str> {
        self.cluster.namespace().unwrap(topic)
    }

    fn namespace(&self) -> Option<&str> {
        self.cluster.namespace().name()
    }

    /// The message's own id, or a new one.
    fn message_id(&self, message: &Message) -> String {
        message.properties.get(property::UNIQ_KEY).map_or_else(|| self.new_id(), String::from)
    }

    fn new_id(&self) -> String {
        self.host.map_or_else(unique_id, unique_id_of)
    }

    fn message_id_length(&self, message: &Message) -> usize {
        match (message.properties.get(property::UNIQ_KEY), self.host) {
            (Some(id), _) => id.len(),
            (None, Some(IpAddr::V6(_))) => 56,
            (None, _) => 32,
        }
    }

    /// Where the master of a broker set is reached.
    fn address(&self, broker: &str) -> Result<String> {
        let address = self.cluster.master(broker)?;
        if !self.cluster.options().vip_channel_enabled {
            return Ok(address);
        }
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
        Ok(match port.parse::<u16>() {
            Ok(port) if port > 2 => format!("{host}:{}", port - 2),
            _ => address,
        })
    }

    fn route(&self, topic: &str, within: Duration) -> Result<Arc<Route>> {
        match self.cluster.known_publish_route(topic) {
            Some(route) => Ok(route),
            None => self.find_route(topic, within),
        }
    }

    /// Asks for the route of a topic; an error if it has no queue to send to.
    fn find_route(&self, topic: &str, within: Duration) -> Result<Arc<Route>> {
        let route = self.cluster.find_publish_route(topic, &self.like, within)?;
        match route.publish.is_empty() {
            true => Err(no_queue(self.user_topic(topic).as_ref(), &route)),
            false => Ok(route),
        }
    }

    fn user_queues(&self, route: &Route) -> Vec<MessageQueue> {
        let user = |queue: &MessageQueue| MessageQueue {
            topic: self.user_topic(&queue.topic).into_owned(),
            ..queue.clone()
        };
        route.publish.iter().map(user).collect()
    }

    /// The message made ready.
    fn prepare(&self, message: &Message, options: &SendOptions) -> Result<Prepared> {
        self.check_open()?;
        match &options.to {
            SendTo::ShardingKey(key) => {
                Prepared::one(self, message, Purpose::Message, &[(property::SHARDINGKEY, key)])
            }
            _ => Prepared::one(self, message, Purpose::Message, &[]),
        }
    }

    fn sending<'a>(
        &self,
        prepared: Prepared,
        mode: CommunicationMode,
        aim: Option<Aim<'a>>,
        options: &SendOptions,
    ) -> Sending<'a> {
        Sending::new(self, Arc::new(prepared), mode, aim, options.timeout)
    }

    /// How to find the one queue that a send goes to, if it is not the next in turn.
    fn aim<'a>(&self, message: &'a Message, options: &'a SendOptions) -> Result<Option<Aim<'a>>> {
        let by_key = |key: &str| Some(Selector::ByHash(key.into()));
        let selector = match &options.to {
            SendTo::Queue(queue) if queue.topic != message.topic => {
                let (topic, other) = (&message.topic, &queue.topic);
                let context = format!("a message of topic {topic:?} for a queue of {other:?}");
                return Err(Error::new(ErrorKind::InvalidArgument, "send", context));
            }
            SendTo::Queue(queue) => {
                let queue = MessageQueue {
                    topic: self.cluster.namespace().wrap(&queue.topic).into_owned(),
                    ..queue.clone()
                };
                return Ok(Some(Box::new(move |_, _| Ok(queue))));
            }
            SendTo::Selected(selector) => Some(selector.clone()),
            SendTo::ShardingKey(key) => by_key(key),
            SendTo::Turn => message.sharding_key().and_then(by_key),
        };
        Ok(selector.map(|selector| -> Aim<'a> {
            Box::new(move |producer, route| producer.selected(&selector, message, route))
        }))
    }

    fn selected(&self, selector: &Selector, message: &Message, route: &Route) -> Result<MessageQueue> {
        let queues = match self.namespace() {
            Some(_) => Cow::Owned(self.user_queues(route)),
            None => Cow::Borrowed(&route.publish),
        };
        let place = selector.choose(&queues, message, &self.turns.of(&message.topic))?;
        Ok(route.publish[place].clone())
    }

    /// Sends on this thread.
    fn send_here(&self, mut sending: Sending<'_>) -> Result<Landed> {
        let end = loop {
            let end = match sending.next(self) {
                Step::FindRoute => match self.find_route(&sending.message.topic, sending.left()) {
                    Ok(_) => None,
                    Err(error) => sending.no_route(self, error),
                },
                Step::Pause(pause) => {
                    std::thread::sleep(pause);
                    None
                }
                Step::Call(address, left) => {
                    let request = sending.message.request(self, sending.target());
                    let reply = self.cluster.net().call(&address, &request, left);
                    drop(request);
                    sending.answered(self, reply)
                }
                Step::End(end) => Some(end),
            };
            if let Some(end) = end {
                break end;
            }
        };
        self.ended(&sending, &end);
        end
    }

    /// Sends once, on this thread, without an answer.
    fn send_blindly(&self, mut sending: Sending<'_>) -> Result<()> {
        let sent = loop {
            match sending.next(self) {
                Step::FindRoute => {
                    if let Err(error) = self.find_route(&sending.message.topic, sending.left()) {
                        break Err(error);
                    }
                }
                Step::Pause(pause) => std::thread::sleep(pause),
                Step::Call(address, _) => {
                    let request = sending.message.request(self, sending.target());
                    break self.cluster.net().oneway(&address, &request);
                }
                Step::End(end) => break end.map(drop),
            }
        };
        sent.map_err(|error| {
            let end = sending.fail(error);
            self.ended(&sending, &end);
            end.err().unwrap_or_else(|| sending.out_of_time())
        })
    }

    /// An asynchronous send made ready, or why not.
    fn flight(
        self: &Arc<Self>,
        message: &Message,
        options: &SendOptions,
        told: Told,
    ) -> Result<Box<Flight>, (Error, Told)> {
        match self.prepare(message, options) {
            Ok(prepared) => self.flight_of(prepared, message, options, told),
            Err(error) => Err((error, told)),
        }
    }

    fn flight_of(
        self: &Arc<Self>,
        prepared: Prepared,
        message: &Message,
        options: &SendOptions,
        told: Told,
    ) -> Result<Box<Flight>, (Error, Told)> {
        let aim: Option<Aim<'static>> = match self.aim(message, options) {
            Err(error) => return Err((error, told)),
            Ok(None) => None,
            Ok(Some(_)) => {
                // The queue may have to be chosen later, on another thread.
                let (message, options) = (message.clone(), options.clone());
                Some(Box::new(move |producer, route| match producer.aim(&message, &options)? {
                    Some(aim) => aim(producer, route),
                    None => Err(no_queue(&message.topic, route)),
                }))
            }
        };
        let sending = self.sending(prepared, CommunicationMode::Async, aim, options);
        Ok(Flight::new(self, sending, told))
    }

    /// Starts an asynchronous send, or lets it wait for room; then its number is returned.
    fn start(self: &Arc<Self>, flight: Box<Flight>) -> Option<u64> {
        let deadline = flight.deadline();
        let number = self.room.start_or_wait(self, flight.bytes(), flight);
        if let Some(number) = number {
            let producer = Arc::downgrade(self);
            self.cluster.errands.run_at(deadline, move || {
                let waiting = producer.upgrade().and_then(|producer| producer.room.stop_waiting(number));
                if let Some(flight) = waiting {
                    flight.no_room();
                }
            });
        }
        number
    }

    /// Starts an asynchronous send that has a callback, waiting for room; or tells why there is none.
    fn fly_or_tell(self: &Arc<Self>, flight: Result<Box<Flight>, (Error, Told)>) {
        match flight {
            Ok(mut flight) => {
                let bytes = flight.bytes();
                flight.place = match Pool::is_current() {
                    true => Some(self.room.take_anyway(self, bytes)),
                    false => self.room.take_until(self, bytes, flight.deadline()),
                };
                match flight.place.is_some() {
                    true => flight.fly(),
                    false if self.is_closed() => drop(flight),
                    false => flight.no_room(),
                }
            }
            Err((error, Told::Callback(callback))) => {
                let unfinished = self.room.unfinished(self);
                let producer = self.clone();
                self.cluster.callbacks.run(move || {
                    if !producer.is_silent() {
                        callback(Err(error));
                    }
                    drop(unfinished);
                });
            }
            Err((error, Told::Slot(slot))) => slot.fill(Err(error)),
            Err((error, Told::Here(told))) => told(Err(error)),
        }
    }

    /// Notes the end of a send.
    fn ended(&self, sending: &Sending<'_>, end: &Result<Landed>) {
        if let Some(traced) = &self.traced {
            traced.sent(self, sending, end);
        }
        if let Err(error) = end {
            let message = &sending.message;
            let (topic, message_id, keys) =
                (message.topic.as_str(), message.message_id.as_str(), message.keys());
            tracing::error!(topic, message_id, keys, "a message was not sent: {error}");
        }
    }
}

/// A group's name: what brokers take.
fn check_group(group: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    let what = match group.len() {
        0 => "the group's name is empty".to_string(),
        length if length > MAX_GROUP => {
            format!("the group's name has {length} bytes, the limit is {MAX_GROUP}")
        }
        _ if !group.bytes().all(allowed) => {
            format!("group {group:?} has other characters than letters, digits and % | _ -")
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidArgument, "make producer", what))
}
