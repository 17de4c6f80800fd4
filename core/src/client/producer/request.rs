//! Requests and their replies: a message, and another one that a consumer sends back to who sent the first (protocol
//! reference, section 9).

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::flight::{Flight, Told};
use super::prepare::{Prepared, Purpose};
use super::room::Unfinished;
use super::slot::{Filled, Slot};
use super::{Producer, SendOptions, Sent, Shared, REPLY};
use crate::client::callbacks::Appointment;
use crate::client::cluster::Cluster;
use crate::client::stored::unpack;
use crate::clock::deadline_in;
use crate::message::{property, sys_flag, Message, Name, Properties, StoredMessage};
use crate::sync::Mutex;
use crate::wire::PushReplyMessageToClient;
use crate::{Error, ErrorKind, Result};

/// Told the reply to a request, or why there is none. Perhaps on an event loop: it only hands on.
type Tell = Box<dyn FnOnce(Result<StoredMessage>) + Send>;

/// Requests that wait for their replies, by correlation id.
#[derive(Default)]
pub(in crate::client) struct Requests {
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    tell: Tell,
    timer: Option<Appointment>,
    /// Whose request it is.
    producer: Weak<Shared>,
}

impl Producer {
    /// Sends a message and waits for the reply to it, which a consumer makes with [`Producer::reply`].
    ///
    /// Errors: those of a send; [`ErrorKind::Timeout`] also if the message was sent and no reply came in time. Needs
    /// brokers that pass replies on: Apache's from 4.6.
    pub fn request(&self, message: &Message, timeout: Duration) -> Result<StoredMessage> {
        let slot = Slot::new();
        self.shared.request(message, timeout, filling(slot.clone()), true);
        slot.wait()
    }

    /// As [`Producer::request`], but returns at once; the future has the reply.
    pub fn request_async(&self, message: &Message, timeout: Duration) -> RequestFuture {
        let slot = Slot::new();
        self.shared.request(message, timeout, filling(slot.clone()), false);
        RequestFuture(Filled(slot))
    }

    /// As [`Producer::request`], but returns at once; `callback` gets the reply, once, on a callback thread.
    pub fn request_callback(
        &self,
        message: &Message,
        timeout: Duration,
        callback: impl FnOnce(Result<StoredMessage>) + Send + 'static,
    ) {
        if let Err(error) = self.shared.cluster.check_process() {
            // A forked process has no callback threads.
            return callback(Err(error));
        }
        let unfinished = self.shared.room.unfinished(&self.shared);
        let tell = called_back(self.shared.clone(), unfinished, callback);
        self.shared.request(message, timeout, tell, false);
    }

    /// Sends the reply to a request that a consumer got.
    ///
    /// Errors: [`ErrorKind::InvalidArgument`] if the message is no request; [`ErrorKind::Remote`] if the broker cannot
    /// reach who asked any more.
    pub fn reply(&self, request: &StoredMessage, body: impl Into<Bytes>) -> Result<Sent> {
        self.send(&Message::reply_to(request, body)?)
    }
}

impl Message {
    /// The reply to a request, to be sent by any producer.
    ///
    /// Errors: [`ErrorKind::InvalidArgument`] if the message is no request, or does not say which cluster it is from.
    #[doc(alias = "createReplyMessage")]
    pub fn reply_to(request: &StoredMessage, body: impl Into<Bytes>) -> Result<Message> {
        let get = |name: &str| {
            request.properties.get(name).ok_or_else(|| {
                let id = request.message_id();
                let context =
                    format!("message {id} of topic {:?} is no request: it has no {name}", request.topic);
                Error::new(ErrorKind::InvalidArgument, "make reply", context)
            })
        };
        let mut reply = Message::new(format!("{}_REPLY_TOPIC", get(property::CLUSTER)?), body);
        reply.properties.insert(property::MSG_TYPE, REPLY);
        for name in [property::CORRELATION_ID, property::REPLY_TO_CLIENT] {
            reply.properties.insert(name, get(name)?);
        }
        if let Some(ttl) = request.properties.get(property::TTL) {
            reply.properties.insert(property::TTL, ttl);
        }
        Ok(reply)
    }
}

/// The reply to a request that was sent without waiting, for any executor.
#[must_use = "the request is sent without it, but nobody gets the reply"]
pub struct RequestFuture(Filled<StoredMessage>);

impl Future for RequestFuture {
    type Output = Result<StoredMessage>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StoredMessage>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

fn filling(slot: Arc<Slot<StoredMessage>>) -> Tell {
    Box::new(move |reply| {
        slot.fill(reply);
    })
}

fn called_back(
    producer: Arc<Shared>,
    unfinished: Unfinished,
    callback: impl FnOnce(Result<StoredMessage>) + Send + 'static,
) -> Tell {
    Box::new(move |reply| {
        let cluster = producer.cluster.clone();
        cluster.callbacks.run(move || {
            if !producer.is_silent() {
                callback(reply);
            }
            drop(unfinished);
        });
    })
}

impl Shared {
    /// Sends a request; its end is told once. On the caller's thread where it `may_wait`.
    fn request(self: &Arc<Self>, message: &Message, timeout: Duration, tell: Tell, may_wait: bool) {
        let id = self.new_id();
        let ttl = timeout.as_millis().to_string();
        let further = [
            (property::CORRELATION_ID, id.as_str()),
            (property::REPLY_TO_CLIENT, self.cluster.client_id()),
            (property::TTL, &ttl),
        ];
        let prepared =
            self.check_open().and_then(|()| Prepared::one(self, message, Purpose::Message, &further));
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return tell(Err(error)),
        };
        let topic = prepared.topic.clone();
        self.expect_reply(&id, &topic, timeout, tell);
        let (weak, failed_id) = (Arc::downgrade(self), id.clone());
        let told = Told::Here(Box::new(move |sent| {
            if let (Err(error), Some(producer)) = (sent, weak.upgrade()) {
                producer.cluster.producers.requests.end(&producer.cluster, &failed_id, Err(error));
            }
        }));
        let options = SendOptions::default().with_timeout(timeout);
        let flight = self.flight_of(prepared, message, &options, told);
        if may_wait {
            return self.introduce_and_fly(&topic, flight);
        }
        let producer = self.clone();
        match self.cluster.known_publish_route(&topic) {
            Some(_) => self.fly_without_waiting(flight),
            None => self.cluster.errands.run(move || producer.introduce_and_fly(&topic, flight)),
        }
    }

    /// The brokers have to know who waits for a reply before there is one.
    fn introduce_and_fly(self: &Arc<Self>, topic: &str, flight: Result<Box<Flight>, (Error, Told)>) {
        let is_new = self.cluster.known_publish_route(topic).is_none();
        let left = flight.as_ref().map_or(Duration::ZERO, |flight| flight.left());
        if is_new && !left.is_zero() && self.find_route(topic, left).is_ok() {
            self.cluster.send_heartbeats();
        }
        self.fly_or_tell(flight);
    }

    fn fly_without_waiting(self: &Arc<Self>, flight: Result<Box<Flight>, (Error, Told)>) {
        match flight {
            Ok(flight) => {
                self.start(flight);
            }
            failed => self.fly_or_tell(failed),
        }
    }

    fn expect_reply(self: &Arc<Self>, id: &str, topic: &str, timeout: Duration, tell: Tell) {
        let requests = &self.cluster.producers.requests;
        let waiting = Waiting { tell, timer: None, producer: Arc::downgrade(self) };
        requests.waiting.lock().insert(id.into(), waiting);
        let (weak, late) = (Arc::downgrade(&self.cluster), id.to_string());
        let context = format!("no reply from topic {topic:?} within {} ms", timeout.as_millis());
        let timer = self.cluster.errands.run_at(deadline_in(timeout), move || {
            if let Some(cluster) = weak.upgrade() {
                let error = Error::new(ErrorKind::Timeout, "request", context);
                cluster.producers.requests.end(&cluster, &late, Err(error));
            }
        });
        match requests.waiting.lock().get_mut(id) {
            Some(waiting) => waiting.timer = Some(timer),
            None => self.cluster.errands.cancel(timer),
        }
        if self.is_closed() {
            // Perhaps too late for being ended with the producer's others.
            requests.end(&self.cluster, id, Err(self.closed_error()));
        }
    }
}

impl Requests {
    /// Tells the end of a request, if it has not ended.
    fn end(&self, cluster: &Cluster, id: &str, reply: Result<StoredMessage>) -> bool {
        let Some(waiting) = self.waiting.lock().remove(id) else { return false };
        if let Some(timer) = waiting.timer {
            cluster.errands.cancel(timer);
        }
        (waiting.tell)(reply);
        true
    }

    /// Ends all requests of a producer.
    pub(super) fn close(&self, producer: &Shared) {
        let ended: Vec<Waiting> = {
            let mut waiting = self.waiting.lock();
            let of_it: Vec<String> = waiting
                .iter()
                .filter(|(_, waiting)| std::ptr::eq(waiting.producer.as_ptr(), producer))
                .map(|(id, _)| id.clone())
                .collect();
            of_it.iter().filter_map(|id| waiting.remove(id)).collect()
        };
        for waiting in ended {
            if let Some(timer) = waiting.timer {
                producer.cluster.errands.cancel(timer);
            }
            (waiting.tell)(Err(producer.closed_error()));
        }
    }
}

/// A broker passes a reply on. On an event loop.
pub(in crate::client) fn replied(cluster: &Arc<Cluster>, push: &PushReplyMessageToClient<'_>) {
    let properties = Properties::parse(push.properties.as_deref().unwrap_or_default().as_bytes());
    let Some(id) = properties.get(property::CORRELATION_ID).map(String::from) else {
        return tracing::warn!(
            "a reply of group {} has no {}",
            push.producer_group,
            property::CORRELATION_ID
        );
    };
    if !cluster.producers.requests.waiting.lock().contains_key(&id) {
        return tracing::debug!("a reply of group {} to request {id} came too late", push.producer_group);
    }
    let host = |text: &str| text.parse().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut reply = StoredMessage {
        topic: push.topic.as_ref().into(),
        body: Bytes::copy_from_slice(push.body),
        flag: push.flag,
        properties,
        broker_name: Name::default(),
        queue_id: push.queue_id,
        queue_offset: 0,
        physical_offset: 0,
        offset_id: String::new(),
        sys_flag: push.sys_flag,
        born_timestamp: push.born_timestamp,
        born_host: host(&push.born_host),
        store_timestamp: push.store_timestamp,
        reconsume_times: push.reconsume_times.unwrap_or(0),
    };
    reply.properties.insert(property::ARRIVE_TIME, cluster.now_ms().to_string());
    let weak = Arc::downgrade(cluster);
    cluster.errands.run(move || {
        let Some(cluster) = weak.upgrade() else { return };
        let reply = unpacked(reply);
        cluster.producers.requests.end(&cluster, &id, reply);
    });
}

fn unpacked(mut reply: StoredMessage) -> Result<StoredMessage> {
    if reply.sys_flag & sys_flag::COMPRESSED != 0 {
        let unpacked = unpack(&reply.body, reply.sys_flag);
        reply.body = unpacked.map_err(|(kind, what)| {
            Error::new(kind, "request", format!("the reply {}: {what}", reply.message_id()))
        })?;
    }
    Ok(reply)
}
