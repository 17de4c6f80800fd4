//! What the producers and consumers of one cluster share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::consumer;
use super::name_servers::NameServers;
use super::pushes::Pushes;
use super::route::{BrokerSet, Route};
use super::worker::{Signal, Worker};
use crate::config::{ClientOptions, SerializeType};
use crate::net::{self, Client, Limits, Loops, Reply};
use crate::wire::body::TopicRouteData;
use crate::wire::{json, Encoding, GetRouteinfoByTopic, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// The topic whose settings a topic gets that is created by the first message for it.
pub(super) const DEFAULT_TOPIC: &str = "TBW102";

/// A topic that nobody asked for in this time is forgotten, ms.
const FORGET_AFTER: i64 = 600_000;

/// A cluster as a client sees it: its name servers, its brokers, and this client's identity towards them.
#[doc(alias = "MQClientInstance")]
pub struct Cluster {
    options: ClientOptions,
    client_id: String,
    name_servers: NameServers,
    net: Arc<Client>,
    loops: Arc<Loops>,
    topics: Mutex<HashMap<String, Topic>>,
    brokers: Mutex<BTreeMap<String, BrokerSet>>,
    members: Mutex<Members>,
    worker: Worker,
    pub(super) signal: Arc<Signal>,
    /// Held while brokers are told who is here, until they have answered.
    pub(super) introducing: Mutex<()>,
}

/// A topic that is in use.
struct Topic {
    route: Arc<Route>,
    turn: Arc<AtomicUsize>,
    used_ms: i64,
}

/// Who of this process takes part in the cluster.
#[derive(Default)]
struct Members {
    /// Producers by group.
    producers: BTreeMap<String, usize>,
    /// Consumers, by group and without.
    consumers: Vec<(Option<String>, Weak<consumer::Shared>)>,
}

impl Cluster {
    /// A client of the cluster with these name servers. Connects when first needed.
    pub fn connect(name_servers: &str) -> Result<Arc<Cluster>> {
        Cluster::with_options(ClientOptions::new(name_servers))
    }

    /// As [`Cluster::connect`], with everything settable.
    pub fn with_options(options: ClientOptions) -> Result<Arc<Cluster>> {
        let name_servers = NameServers::parse(&options.namesrv_addr)?;
        let client_id = client_id(&options, &name_servers);
        let signal = Signal::new(options.clock.clone());
        let loops = Loops::new(0);
        Ok(Arc::new_cyclic(|cluster| {
            let pushes = Pushes::new(signal.clone(), cluster.clone());
            let net = Client::new(&loops, connections(&options), Arc::new(pushes));
            Cluster {
                options,
                client_id,
                name_servers,
                net,
                loops,
                topics: Mutex::default(),
                brokers: Mutex::default(),
                members: Mutex::default(),
                worker: Worker::default(),
                signal,
                introducing: Mutex::default(),
            }
        }))
    }

    /// This client's id towards brokers: `<ip>@<instance>`.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Ends all connections and threads. Producers and consumers should have been closed before; their calls fail
    /// from now on.
    pub fn close(&self) {
        self.signal.stop();
        // First the connections, so that the thread does not wait for answers.
        self.net.shutdown();
        self.worker.join();
        self.loops.shutdown();
    }

    pub(super) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(super) fn net(&self) -> &Client {
        &self.net
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.options.clock.now_ms()
    }

    /// Calls a broker; anything but SUCCESS is an error.
    pub(super) fn call(
        &self,
        address: &str,
        operation: &'static str,
        request: &Request<'_>,
    ) -> Result<Reply> {
        succeeded(operation, self.net.call(address, request, self.options.mq_client_api_timeout)?)
    }

    /// The route of a topic, asked for if it is not known.
    pub(super) fn route(&self, topic: &str) -> Result<Arc<Route>> {
        Ok(self.topic(topic, false)?.0)
    }

    /// The route of a topic to send to, and the number of the turn: each caller gets the next. A topic that does not
    /// exist gets the default topic's brokers.
    pub(super) fn route_for_sending(&self, topic: &str) -> Result<(Arc<Route>, usize)> {
        let (route, turn) = self.topic(topic, true)?;
        Ok((route, turn.fetch_add(1, Ordering::Relaxed)))
    }

    fn topic(&self, name: &str, may_be_new: bool) -> Result<(Arc<Route>, Arc<AtomicUsize>)> {
        let now = self.now_ms();
        if let Some(topic) = self.topics.lock().get_mut(name) {
            let wanted = if may_be_new { &topic.route.publish } else { &topic.route.subscribe };
            topic.used_ms = now;
            if !wanted.is_empty() {
                return Ok((topic.route.clone(), topic.turn.clone()));
            }
        }
        let route = self.find_route(name, may_be_new)?;
        let mut topics = self.topics.lock();
        let topic = topics.entry(name.into()).or_insert_with(|| Topic {
            route: Arc::default(),
            turn: Arc::default(),
            used_ms: now,
        });
        topic.route = Arc::new(route);
        let found = (topic.route.clone(), topic.turn.clone());
        self.note_brokers(&topics);
        Ok(found)
    }

    /// Forgets the route of a topic: it turned out to be wrong.
    pub(super) fn forget_route(&self, topic: &str) {
        if let Some(topic) = self.topics.lock().get_mut(topic) {
            topic.route = Arc::default();
        }
    }

    /// Asks for the routes of all topics in use again.
    pub(super) fn refresh_routes(&self) {
        let now = self.now_ms();
        let names: Vec<String> = {
            let mut topics = self.topics.lock();
            topics.retain(|_, topic| now - topic.used_ms < FORGET_AFTER);
            topics.keys().cloned().collect()
        };
        for name in names {
            match self.find_route(&name, true) {
                Ok(route) => {
                    if let Some(topic) = self.topics.lock().get_mut(&name) {
                        if topic.route.subscribe != route.subscribe {
                            self.signal.rebalance();
                        }
                        topic.route = Arc::new(route);
                    }
                }
                Err(error) => tracing::warn!("the route of {name} is not refreshed: {error}"),
            }
        }
        self.note_brokers(&self.topics.lock());
    }

    /// Keeps the brokers of all routes, and has new ones told of this client.
    fn note_brokers(&self, topics: &HashMap<String, Topic>) {
        let routes = topics.values().map(|topic| &topic.route);
        let sets = routes.flat_map(|route| route.brokers.iter());
        let found: BTreeMap<String, BrokerSet> =
            sets.map(|(name, set)| (name.clone(), set.clone())).collect();
        let mut brokers = self.brokers.lock();
        if found.iter().any(|(name, set)| brokers.get(name) != Some(set)) {
            self.signal.introduce();
        }
        *brokers = found;
    }

    fn find_route(&self, topic: &str, may_be_new: bool) -> Result<Route> {
        if let Some(data) = self.ask_route(topic)? {
            return Ok(Route::new(topic, &data));
        }
        let default = if may_be_new { self.ask_route(DEFAULT_TOPIC)? } else { None };
        if let Some(default) = default {
            return Ok(Route::of_new_topic(topic, &default));
        }
        let context = format!(
            "topic {topic:?} has no route at name server {}: create it, or check that its broker is registered",
            self.name_servers.first()
        );
        Err(Error::new(ErrorKind::NotFound, "find topic", context))
    }

    fn ask_route(&self, topic: &str) -> Result<Option<TopicRouteData>> {
        let request = GetRouteinfoByTopic { topic: topic.into(), ..GetRouteinfoByTopic::default() };
        let reply = self.name_servers.ask(&self.net, &request.into(), self.options.mq_client_api_timeout)?;
        if reply.code() == ResponseCode::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let reply = succeeded("find topic", reply)?;
        let data = json::from_slice(&reply.body()).map_err(|error| {
            let context = format!("route of {topic:?} from {}: {error}", self.name_servers.first());
            Error::new(ErrorKind::Corrupt, "find topic", context)
        })?;
        Ok(Some(data))
    }

    /// The address of a broker of a set; that of another of the set if there is none with this id and `any` will do.
    pub(super) fn broker(&self, name: &str, id: i64, any: bool) -> Option<String> {
        let brokers = self.brokers.lock();
        let set = brokers.get(name)?;
        set.get(&id).or_else(|| set.values().next().filter(|_| any)).cloned()
    }

    /// The address of the master of a set, or an error that names the set.
    pub(super) fn master(&self, name: &str) -> Result<String> {
        self.broker(name, 0, false).ok_or_else(|| {
            let context = format!("broker {name} has no master at present");
            Error::new(ErrorKind::Connection, "find broker", context)
        })
    }

    /// The address of the master of a set, or that of another broker of the set while there is none; else an error that
    /// names the set.
    pub(super) fn some_broker(&self, name: &str) -> Result<String> {
        self.broker(name, 0, true).map_or_else(|| self.master(name), Ok)
    }

    /// Id and address of the broker of a set to read from: the one with this id, if `avoid` rather not that one; another
    /// if there is no such.
    pub(super) fn reading_broker(&self, name: &str, id: i64, avoid: bool) -> Option<(i64, String)> {
        let brokers = self.brokers.lock();
        let set = brokers.get(name)?;
        let other = || set.iter().find(|(other, _)| **other != id);
        let found = if avoid {
            other().or_else(|| set.get_key_value(&id))
        } else {
            set.get_key_value(&id).or_else(other)
        };
        found.map(|(id, address)| (*id, address.clone()))
    }

    /// The addresses of all masters, with `slaves` of all brokers.
    pub(super) fn broker_addresses(&self, slaves: bool) -> Vec<String> {
        let brokers = self.brokers.lock();
        let all = brokers.values().flatten().filter(|(id, _)| slaves || **id == 0);
        all.map(|(_, address)| address.clone()).collect()
    }

    pub(super) fn add_producer(self: &Arc<Self>, group: &str) -> Result<()> {
        *self.members.lock().producers.entry(group.into()).or_insert(0) += 1;
        self.worker.start(self)
    }

    /// True if it was the last producer of its group.
    pub(super) fn remove_producer(&self, group: &str) -> bool {
        let mut members = self.members.lock();
        let Some(count) = members.producers.get_mut(group) else { return false };
        *count -= 1;
        let was_last = *count == 0;
        if was_last {
            members.producers.remove(group);
        }
        was_last
    }

    /// Enrols a consumer. A client id is one member of a group, so a group has one consumer in a client.
    pub(super) fn add_consumer(self: &Arc<Self>, consumer: &Arc<consumer::Shared>) -> Result<()> {
        let group = consumer.group().map(String::from);
        let mut members = self.members.lock();
        members.consumers.retain(|(_, consumer)| consumer.strong_count() > 0);
        if group.is_some() && members.consumers.iter().any(|(other, _)| *other == group) {
            let context = format!(
                "group {} has a consumer in this client already; connect once more for another",
                group.unwrap_or_default()
            );
            return Err(Error::new(ErrorKind::InvalidArgument, "join group", context));
        }
        members.consumers.push((group, Arc::downgrade(consumer)));
        drop(members);
        self.worker.start(self)?;
        self.worker.start_timer(self)?;
        self.signal.poke();
        self.signal.tick();
        Ok(())
    }

    pub(super) fn remove_consumer(&self, consumer: &consumer::Shared) {
        let this = consumer as *const consumer::Shared;
        self.members.lock().consumers.retain(|(_, other)| other.as_ptr() != this);
    }

    pub(super) fn producer_groups(&self) -> Vec<String> {
        self.members.lock().producers.keys().cloned().collect()
    }

    pub(super) fn consumers(&self) -> Vec<Arc<consumer::Shared>> {
        self.members.lock().consumers.iter().filter_map(|(_, consumer)| consumer.upgrade()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Not joined: this may run on the thread itself, or on an event loop that the thread waits for.
        self.signal.stop();
    }
}

/// A reply with code SUCCESS; any other as an error with code and remark.
pub(super) fn succeeded(operation: &'static str, reply: Reply) -> Result<Reply> {
    let code = reply.code();
    if code == ResponseCode::SUCCESS {
        return Ok(reply);
    }
    let remark = reply.remark();
    let why = if remark.is_empty() { code.name() } else { remark.as_str() };
    Err(Error::remote(operation, code.0, why))
}

fn connections(options: &ClientOptions) -> net::ClientOptions {
    net::ClientOptions {
        connect_timeout: options.connect_timeout_millis,
        backoff_least: options.reconnect_least,
        backoff_most: options.reconnect_most,
        encoding: match options.serialize_type {
            SerializeType::Json => Encoding::Json,
            SerializeType::RocketMq => Encoding::Binary,
        },
        limits: Limits {
            frame: options.frame_max_length,
            idle: Duration::from_secs(u64::from(options.client_channel_max_idle_time_seconds)),
            ..Limits::default()
        },
    }
}

fn client_id(options: &ClientOptions, name_servers: &NameServers) -> String {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let local = || net::local_ip_towards(name_servers.first()).map(|ip| ip.to_string());
    let ip = options.client_ip.clone().or_else(local).unwrap_or_else(|| "127.0.0.1".into());
    match &options.instance_name {
        Some(instance) => format!("{ip}@{instance}"),
        None => {
            let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
            format!("{ip}@{}#{}-{number}", std::process::id(), options.clock.now_ms())
        }
    }
}
