//! A producer as its sends see it: how it names things, and the ways of a send.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::choose::{Faults, Selector, Turns};
use super::flight::{Flight, Told};
use super::prepare::{Prepared, Purpose};
use super::room::Room;
use super::sending::{no_queue, Aim, Landed, Sending, Step};
use super::traced::Traced;
use super::transaction::Checks;
use super::{CommunicationMode, SendOptions, SendTo};
use crate::client::callbacks::Pool;
use crate::client::cluster::Cluster;
use crate::client::group::check_group;
use crate::client::route::Route;
use crate::client::topics::NewTopic;
use crate::clock::deadline_in;
use crate::config::ProducerOptions;
use crate::message::{property, unique_id, unique_id_in, Message};
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// A producer as its sends see it.
pub(in crate::client) struct Shared {
    pub(super) cluster: Arc<Cluster>,
    pub(super) options: ProducerOptions,
    /// As on the wire.
    pub(super) group: String,
    pub(super) like: NewTopic,
    /// Goes into the ids of messages.
    pub(super) host: Option<IpAddr>,
    pub(super) turns: Turns,
    pub(super) faults: Faults,
    pub(super) room: Room,
    /// Of a producer of transactions: who knows how they ended.
    pub(super) checks: Option<Arc<Checks>>,
    /// Of a producer that is to be traced.
    pub(super) traced: Option<Traced>,
    pub(super) closed: AtomicBool,
    /// No callback begins any more.
    pub(super) silent: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        options: ProducerOptions,
        checks: Option<Arc<Checks>>,
    ) -> Result<Arc<Shared>> {
        check_group("make producer", &options.producer_group)?;
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
        self.cluster.check_process()?;
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
    pub(super) fn close(&self) {
        if self.cluster.check_process().is_err() {
            // In a forked process locks may be held by threads that are not there.
            return;
        }
        if !self.closed.swap(true, Ordering::SeqCst) {
            self.cluster.producers.requests.close(self);
            self.cluster.producers.remove(&self.cluster, self);
        }
    }

    /// Waits for what is under way, callbacks included, and says whether it has ended at the deadline; if not, or on a
    /// callback thread, where it does not wait, it goes no further and no further callback begins.
    pub(super) fn finish(&self, deadline: Instant) -> bool {
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

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::SeqCst)
    }

    pub(super) fn closed_error(&self) -> Error {
        let context = format!("the producer of group {} was closed", self.options.producer_group);
        Error::new(ErrorKind::Closed, "send", context)
    }

    pub(super) fn check_open(&self) -> Result<()> {
        self.cluster.check_process()?;
        match self.is_closed() {
            true => Err(self.closed_error()),
            false => Ok(()),
        }
    }

    /// The name of a topic as the user knows it.
    pub(super) fn user_topic<'a>(&self, topic: &'a str) -> Cow<'a, str> {
        self.cluster.namespace().unwrap(topic)
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.cluster.namespace().name()
    }

    /// The message's own id, or a new one.
    pub(super) fn message_id(&self, message: &Message) -> String {
        message.properties.get(property::UNIQ_KEY).map_or_else(|| self.new_id(), String::from)
    }

    pub(super) fn new_id(&self) -> String {
        match self.host {
            Some(host) => unique_id_in(self.cluster.pid.load(Ordering::Relaxed), host),
            None => unique_id(),
        }
    }

    pub(super) fn message_id_length(&self, message: &Message) -> usize {
        match (message.properties.get(property::UNIQ_KEY), self.host) {
            (Some(id), _) => id.len(),
            (None, Some(IpAddr::V6(_))) => 56,
            (None, _) => 32,
        }
    }

    /// Whether a broker is to be avoided for a while.
    pub(super) fn avoids(&self, broker: &str) -> bool {
        self.faults.enabled && self.faults.avoids(broker, self.cluster.now_ms())
    }

    /// Where the master of a broker set is reached.
    pub(super) fn address(&self, broker: &str) -> Result<String> {
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

    pub(super) fn route(&self, topic: &str, within: Duration) -> Result<Arc<Route>> {
        match self.cluster.known_publish_route(topic) {
            Some(route) => Ok(route),
            None => self.find_route(topic, within),
        }
    }

    /// Asks for the route of a topic; an error if it has no queue to send to.
    pub(super) fn find_route(&self, topic: &str, within: Duration) -> Result<Arc<Route>> {
        let route = self.cluster.find_publish_route(topic, &self.like, within)?;
        match route.publish.is_empty() {
            true => Err(no_queue(self.user_topic(topic).as_ref(), &route)),
            false => Ok(route),
        }
    }

    pub(super) fn user_queues(&self, route: &Route) -> Vec<MessageQueue> {
        let user = |queue: &MessageQueue| MessageQueue {
            topic: self.user_topic(&queue.topic).into_owned(),
            ..queue.clone()
        };
        route.publish.iter().map(user).collect()
    }

    /// The message made ready.
    pub(super) fn prepare(&self, message: &Message, options: &SendOptions) -> Result<Prepared> {
        self.check_open()?;
        match &options.to {
            SendTo::ShardingKey(key) => {
                Prepared::one(self, message, Purpose::Message, &[(property::SHARDINGKEY, key)])
            }
            _ => Prepared::one(self, message, Purpose::Message, &[]),
        }
    }

    pub(super) fn sending<'a>(
        &self,
        prepared: Prepared,
        mode: CommunicationMode,
        aim: Option<Aim<'a>>,
        options: &SendOptions,
    ) -> Sending<'a> {
        Sending::new(self, Arc::new(prepared), mode, aim, options.timeout)
    }

    /// How to find the one queue that a send goes to, if it is not the next in turn.
    pub(super) fn aim<'a>(&self, message: &'a Message, options: &'a SendOptions) -> Result<Option<Aim<'a>>> {
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

    pub(super) fn selected(
        &self,
        selector: &Selector,
        message: &Message,
        route: &Route,
    ) -> Result<MessageQueue> {
        let queues = match self.namespace() {
            Some(_) => Cow::Owned(self.user_queues(route)),
            None => Cow::Borrowed(&route.publish),
        };
        let place = selector.choose(&queues, message, &self.turns.of(&message.topic))?;
        Ok(route.publish[place].clone())
    }

    /// Sends on this thread.
    pub(super) fn send_here(&self, mut sending: Sending<'_>) -> Result<Landed> {
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
    pub(super) fn send_blindly(&self, mut sending: Sending<'_>) -> Result<()> {
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
    pub(super) fn flight(
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

    pub(super) fn flight_of(
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
    pub(super) fn start(self: &Arc<Self>, mut flight: Box<Flight>) -> Option<u64> {
        if Pool::is_current() {
            // Others give room back on these threads, and may have to wait for this one.
            flight.place = Some(self.room.take_anyway(self, flight.bytes()));
            flight.fly();
            return None;
        }
        let deadline = flight.deadline();
        let number = self.room.start_or_wait(self, flight.bytes(), flight);
        if let Some(number) = number {
            let producer = Arc::downgrade(self);
            self.cluster.errands.run_at(deadline, move || {
                let Some(producer) = producer.upgrade() else { return };
                if let Some(flight) = producer.room.stop_waiting(&producer, number) {
                    flight.no_room();
                }
            });
        }
        number
    }

    /// Starts an asynchronous send that has a callback, waiting for room; or tells why there is none.
    pub(super) fn fly_or_tell(self: &Arc<Self>, flight: Result<Box<Flight>, (Error, Told)>) {
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
            // A forked process has no callback threads.
            Err((error, Told::Callback(callback))) if error.kind() == ErrorKind::Forked => {
                callback(Err(error))
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
    pub(super) fn ended(&self, sending: &Sending<'_>, end: &Result<Landed>) {
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
