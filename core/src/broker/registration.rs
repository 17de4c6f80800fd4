//! How a broker makes itself known: registration with every name server at the start, every 30 s and on each change of
//! topics, and the goodbye.
//!
//! Reference: protocol.md 2.3. Apache's name: BrokerOuterAPI.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::config::BrokerConfig;
use crate::net::{Client, Reply};
use crate::sync::Mutex;
use crate::wire::body::{register_broker_crc, DataVersion, KvTable, RegisterBrokerBody};
use crate::wire::{
    json, QueryDataVersion, QueryDataVersionResponse, RegisterBroker, Request, ResponseCode, UnregisterBroker,
};
use crate::{Error, Result};

use super::state::Topic;
use super::Broker;

/// Shortest and longest time between two registrations, whatever the setting says.
const PERIOD_MS: std::ops::RangeInclusive<i64> = 10_000..=60_000;
/// A name server that does not answer the goodbye in time will notice the closed connection.
const GOODBYE: Duration = Duration::from_secs(3);

/// Who waits for name servers to be told waits about this long at most: clients have deadlines of their own.
const PATIENCE_MS: i64 = 1000;
/// Who starts a broker waits this long at most: longer than a busy machine takes, and short enough for a name server that
/// is switched off to be no trouble.
const START_PATIENCE: Duration = Duration::from_secs(3);

type Topics = HashMap<String, Arc<Topic>>;

/// What there is to tell.
#[derive(Default)]
struct Pending {
    /// Everything has to be told anew.
    all: bool,
    /// Topics to tell alone.
    topics: Topics,
    /// Counts what was taken from here to be told.
    round: u64,
    /// Who goes on once the name servers know.
    waiting: Vec<Waiting>,
    /// Nobody will tell anything any more, or ever did.
    nobody_tells: bool,
}

/// Somebody who waits until the name servers were told.
struct Waiting {
    /// The round that tells what it waits for.
    round: u64,
    /// It waits no longer than this.
    deadline_ms: i64,
    then: Box<dyn FnOnce() + Send>,
}

/// State of the registration thread.
#[derive(Default)]
pub(crate) struct Registration {
    pending: Mutex<Pending>,
    woken: AtomicBool,
    /// Version of the topics that was told last.
    told: Mutex<Option<DataVersion>>,
    client: Mutex<Option<Arc<Client>>>,
}

impl Registration {
    /// One topic was made or changed: it is told alone, name servers merge it.
    pub fn topic_changed(&self, broker: &Broker, topic: &Arc<Topic>) {
        self.pending.lock().topics.insert(topic.topic_name.clone(), topic.clone());
        self.wake(broker);
    }

    /// The table changed in a way that one topic cannot tell.
    pub fn table_changed(&self, broker: &Broker) {
        self.pending.lock().all = true;
        self.wake(broker);
    }

    /// Calls `then` once the name servers were told what changed before this call, so that who makes a topic finds its
    /// route right after. At once if there are no name servers; not much later than [`PATIENCE_MS`] if they are slow.
    pub fn when_told(&self, broker: &Broker, then: Box<dyn FnOnce() + Send>) {
        self.when_told_within(PATIENCE_MS, broker, then);
    }

    /// Waits until the name servers were told what there is to tell now, or could not be reached, at most
    /// [`START_PATIENCE`]: who is told that a broker started finds its topics right after.
    pub fn wait_told(&self, broker: &Broker) {
        let (told, wait) = std::sync::mpsc::sync_channel(1);
        let patience_ms = START_PATIENCE.as_millis() as i64;
        // Nobody listens any more if it took too long.
        self.when_told_within(patience_ms, broker, Box::new(move || _ = told.send(())));
        if wait.recv_timeout(START_PATIENCE).is_err() {
            tracing::warn!("no answer of all name servers yet; registration goes on by itself");
        }
    }

    fn when_told_within(&self, patience_ms: i64, broker: &Broker, then: Box<dyn FnOnce() + Send>) {
        let mut pending = self.pending.lock();
        if pending.nobody_tells {
            drop(pending);
            return then();
        }
        let waiting =
            Waiting { round: pending.round + 1, deadline_ms: broker.clock.now_ms() + patience_ms, then };
        pending.waiting.push(waiting);
        drop(pending);
        self.wake(broker);
    }

    /// Lets those go on who waited long enough. Run about once a second.
    pub fn release_overdue(&self, now_ms: i64) {
        self.release(|waiting| waiting.deadline_ms <= now_ms);
    }

    /// There is no thread that tells, or it ended: who waits goes on, now and from now on.
    pub fn nobody_tells(&self) {
        self.pending.lock().nobody_tells = true;
        self.release(|_| true);
    }

    fn release(&self, is_over: impl Fn(&Waiting) -> bool) {
        let over = {
            let mut pending = self.pending.lock();
            let (over, left) = std::mem::take(&mut pending.waiting).into_iter().partition(is_over);
            pending.waiting = left;
            over
        };
        let over: Vec<Waiting> = over;
        over.into_iter().for_each(|waiting| (waiting.then)());
    }

    /// Takes what there is to tell.
    fn take(&self) -> (u64, bool, Topics) {
        let mut pending = self.pending.lock();
        pending.round += 1;
        (pending.round, std::mem::take(&mut pending.all), std::mem::take(&mut pending.topics))
    }

    fn wake(&self, broker: &Broker) {
        self.woken.store(true, Ordering::Release);
        broker.clock.wake();
    }
}

/// Body of the registration thread: registers at once, then on changes and periodically, until the broker stops.
pub(crate) fn run(broker: &Broker, client: Arc<Client>) {
    let registration = &broker.registration;
    *registration.client.lock() = Some(client.clone());
    registration.pending.lock().all = true;
    // When the whole table was told last: topics that are made meanwhile do not put it off.
    let mut told_all_at = broker.clock.now_ms();
    while !broker.is_stopping() {
        registration.woken.store(false, Ordering::Release);
        let (round, all, topics) = registration.take();
        if all {
            register_all(broker, &client);
            told_all_at = broker.clock.now_ms();
        } else if !topics.is_empty() {
            register_topics(broker, &client, topics);
        }
        registration.release(|waiting| waiting.round <= round);
        let period = broker.config().register_name_server_period.clamp(*PERIOD_MS.start(), *PERIOD_MS.end());
        let woken = || broker.is_stopping() || registration.woken.load(Ordering::Acquire);
        if broker.clock.wait_until(told_all_at + period, woken) {
            registration.pending.lock().all = true;
        }
    }
    registration.nobody_tells();
}

/// The addresses in a `;` separated list.
pub(crate) fn addresses(list: &str) -> impl Iterator<Item = &str> {
    list.split(';').map(str::trim).filter(|address| !address.is_empty())
}

/// Tells every name server at the same time, so that a dead one does not delay the others.
fn tell_each(broker: &Broker, tell: impl Fn(&str) + Sync) {
    let config = broker.config();
    let list = config.namesrv_addr.as_deref().unwrap_or("");
    std::thread::scope(|scope| {
        for address in addresses(list).skip(1) {
            let tell = &tell;
            scope.spawn(move || tell(address));
        }
        if let Some(first) = addresses(list).next() {
            tell(first);
        }
    });
}

fn register_all(broker: &Broker, client: &Client) {
    let topic_config_serialize_wrapper = broker.topics.snapshot();
    register(broker, client, RegisterBrokerBody { topic_config_serialize_wrapper, ..Default::default() });
}

fn register_topics(broker: &Broker, client: &Client, topics: Topics) {
    // Name servers pass over a version that they have. A topic that was made while the last registration was put
    // together may already be counted in its version without being in it.
    if broker.registration.told.lock().as_ref() == Some(&broker.topics.version()) {
        broker.topics.count_change(broker.clock.now_ms());
    }
    let mut body = RegisterBrokerBody::default();
    body.topic_config_serialize_wrapper.data_version = broker.topics.version();
    body.topic_config_serialize_wrapper.topic_config_table =
        topics.into_iter().map(|(name, topic)| (name, topic.config().clone())).collect();
    register(broker, client, body);
}

fn register(broker: &Broker, client: &Client, mut body: RegisterBrokerBody) {
    let config = broker.config();
    // The broker's own permission caps those of its topics.
    for topic in body.topic_config_serialize_wrapper.topic_config_table.values_mut() {
        topic.perm &= config.broker_permission | super::permission::INHERIT;
    }
    let version = body.topic_config_serialize_wrapper.data_version;
    *broker.registration.told.lock() = Some(version);
    let bytes = body.encode(config.compressed_register);
    let request = Request::RegisterBroker(RegisterBroker {
        broker_name: config.broker_name.as_str().into(),
        broker_addr: broker.address().into(),
        cluster_name: config.broker_cluster_name.as_str().into(),
        ha_server_addr: Some(broker.ha_address().into()),
        broker_id: config.broker_id,
        compressed: config.compressed_register,
        body_crc32: register_broker_crc(&bytes),
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        body: &bytes,
    });
    tell_each(broker, |address| {
        if !config.force_register && is_up_to_date(&config, broker, client, address, &version) {
            return;
        }
        match call(&config, client, address, &request) {
            Ok(reply) => take_over_orders(broker, &reply),
            Err(error) => tracing::warn!(address, %error, "registration with the name server failed"),
        }
    });
}

fn call(config: &BrokerConfig, client: &Client, address: &str, request: &Request<'_>) -> Result<Reply> {
    let timeout = Duration::from_millis(config.register_broker_timeout_mills.max(1) as u64);
    let reply = client.call(address, request, timeout)?;
    match reply.code() {
        ResponseCode::SUCCESS => Ok(reply),
        code => Err(Error::remote("register broker", code.0, reply.remark())),
    }
}

/// Asks a name server whether it has this version of the topics already (QUERY_DATA_VERSION, 322).
fn is_up_to_date(
    config: &BrokerConfig,
    broker: &Broker,
    client: &Client,
    address: &str,
    version: &DataVersion,
) -> bool {
    let request = Request::QueryDataVersion(QueryDataVersion {
        broker_name: config.broker_name.as_str().into(),
        broker_addr: broker.address().into(),
        cluster_name: config.broker_cluster_name.as_str().into(),
        broker_id: config.broker_id,
        body: Some(*version),
    });
    match call(config, client, address, &request) {
        Ok(reply) => reply.header::<QueryDataVersionResponse>().is_ok_and(|known| !known.changed),
        Err(_) => false,
    }
}

/// Name servers answer with their table of ordered topics.
fn take_over_orders(broker: &Broker, reply: &Reply) {
    let body = reply.body();
    if body.is_empty() {
        return;
    }
    if let Ok(orders) = json::from_slice::<KvTable>(&body) {
        broker.topics.mark_ordered(&|topic| orders.table.contains_key(topic));
    }
}

/// Says goodbye to every name server (UNREGISTER_BROKER, 104).
pub(crate) fn unregister(broker: &Broker) {
    let Some(client) = broker.registration.client.lock().take() else { return };
    let config = broker.config();
    let request = Request::UnregisterBroker(UnregisterBroker {
        broker_name: config.broker_name.as_str().into(),
        broker_addr: broker.address().into(),
        cluster_name: config.broker_cluster_name.as_str().into(),
        broker_id: config.broker_id,
    });
    tell_each(broker, |address| {
        if let Err(error) = client.call(address, &request, GOODBYE) {
            tracing::warn!(address, %error, "the name server did not take the goodbye");
        }
    });
}
