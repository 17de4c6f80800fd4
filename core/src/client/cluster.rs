//! What the producers and consumers of one cluster share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::access_point::AccessPoint;
use super::callbacks::Pool;
use super::client_id::Identity;
use super::closing::{Closing, Home};
use super::consumer;
use super::name_servers::NameServers;
use super::namespace::Namespace;
use super::producer;
use super::pushes::Pushes;
use super::route::BrokerSet;
use super::topics::Topics;
use super::worker::{Signal, Worker};
use crate::clock::deadline_in;
use crate::config::{ClientOptions, ConsumerOptions, SerializeType};
use crate::net::{self, Client, Limits, Loops, Reply};
use crate::sync::Mutex;
use crate::wire::{Encoding, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// Threads for errands, such as asking for the route of an asynchronous send.
const ERRAND_THREADS: usize = 2;

/// How long closing a client waits for callbacks that run.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// A cluster as a client sees it: its name servers, its brokers, and this client's identity towards them.
#[doc(alias = "MQClientInstance")]
pub struct Cluster {
    options: ClientOptions,
    identity: Identity,
    /// The server's in this process.
    offsets: Option<PathBuf>,
    namespace: Namespace,
    pub(super) name_servers: NameServers,
    net: Arc<Client>,
    loops: Arc<Loops>,
    pub(super) topics: Mutex<Topics>,
    pub(super) brokers: Mutex<BTreeMap<String, BrokerSet>>,
    members: Mutex<Members>,
    pub(super) producers: producer::Registry,
    /// Runs what users gave to be called.
    pub(super) callbacks: Pool,
    /// Runs what must not hold up an event loop; never a user's code.
    pub(super) errands: Pool,
    worker: Worker,
    pub(super) signal: Arc<Signal>,
    /// Held while brokers are told who is here, until they have answered.
    pub(super) introducing: Mutex<()>,
    pub(super) closing: Closing,
    /// The process that made this client.
    pub(super) pid: AtomicU32,
}

/// Who of this process takes part in the cluster.
#[derive(Default)]
struct Members {
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
        Cluster::at_home(options, None)
    }

    /// As [`Cluster::with_options`]; `home` is a server in this process, which the client reaches without sockets and
    /// takes along when it ends.
    pub(crate) fn at_home(options: ClientOptions, home: Option<Home>) -> Result<Arc<Cluster>> {
        let place = AccessPoint::read(&options.namesrv_addr)?;
        let name_servers = NameServers::parse(&place.name_servers)?;
        let namespace = Namespace::new(options.client_namespace.as_deref().or(place.namespace.as_deref()));
        let local_ip = || net::local_ip_towards(name_servers.first()).map(|ip| ip.to_string());
        let identity = Identity::new(&options, local_ip);
        let offsets = home.as_ref().map(|home| home.offsets.clone());
        let signal = Signal::new(options.clock.clone());
        let loops = Loops::new(0);
        let callback_threads = match options.client_callback_executor_threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let alone = home.as_ref().is_some_and(|home| !home.listens);
        let connections = connections(&options, alone)?;
        Ok(Arc::new_cyclic(|cluster| {
            let pushes = Pushes::new(signal.clone(), cluster.clone());
            let net = Client::new(&loops, connections, Arc::new(pushes));
            let closing = home.map(|home| {
                home.services.into_iter().for_each(|(address, service)| net.attach(&address, service));
                if !home.listens {
                    net.stay_in_process();
                }
                Closing::with_home(home.close)
            });
            Cluster {
                options,
                identity,
                offsets,
                namespace,
                name_servers,
                net,
                loops,
                topics: Mutex::default(),
                brokers: Mutex::default(),
                members: Mutex::default(),
                producers: producer::Registry::default(),
                callbacks: Pool::new("fmq-callback", callback_threads),
                errands: Pool::new("fmq-errand", ERRAND_THREADS),
                worker: Worker::default(),
                signal,
                introducing: Mutex::default(),
                closing: closing.unwrap_or_default(),
                pid: AtomicU32::new(std::process::id()),
            }
        }))
    }

    /// This client's id towards brokers: `<ip>@<instance>`.
    pub fn client_id(&self) -> &str {
        &self.identity.id
    }

    /// The client id for files that outlive the process: the same at the next start.
    pub(super) fn lasting_id(&self) -> &str {
        &self.identity.lasting
    }

    /// Where a broadcasting consumer keeps how far it has come.
    pub(super) fn offset_dir(&self, options: &ConsumerOptions) -> PathBuf {
        let own = self.offsets.clone().filter(|_| options.offset_store_dir.is_none());
        own.unwrap_or_else(|| options.offset_dir())
    }

    /// What topics and groups are wrapped in on the wire.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A topic of this program's as servers call it: in the client's namespace, if it has one.
    pub(crate) fn name_at_servers<'a>(&self, topic: &'a str) -> Cow<'a, str> {
        self.namespace().wrap(topic)
    }

    /// The name servers, `host:port;host:port`.
    pub fn name_servers(&self) -> String {
        self.name_servers.text()
    }

    /// Ends all connections and threads. Producers and consumers should have been closed before; their calls fail
    /// from now on. Callbacks that run get ten seconds to end.
    pub fn close(&self) {
        if let Err(error) = self.close_within(CLOSE_WITHIN) {
            tracing::warn!("{error}");
        }
    }

    /// As [`Cluster::close`], with a time limit for callbacks that run. Called in a callback it does not wait for any,
    /// and no further one begins.
    ///
    /// Errors: [`ErrorKind::Timeout`] if callbacks still run; what they hold is left to them.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        let deadline = deadline_in(limit);
        self.signal.stop();
        // First the connections, so that the threads do not wait for answers, and every call has its end.
        self.net.shutdown();
        let ended = self.producers.close(deadline);
        let ended = self.errands.close(deadline) & self.callbacks.close(deadline) & ended;
        self.worker.join();
        self.loops.shutdown();
        if ended {
            return Ok(());
        }
        let context = format!("callbacks still run after {} ms", limit.as_millis());
        Err(Error::new(ErrorKind::Timeout, "close client", context))
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
        self.check_process()?;
        succeeded(operation, self.net.call(address, request, self.options.mq_client_api_timeout)?)
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

    /// The name of the broker set that one of has this address.
    pub(super) fn broker_at(&self, address: &str) -> Option<String> {
        let brokers = self.brokers.lock();
        let mut sets = brokers.iter();
        sets.find(|(_, set)| set.values().any(|other| other == address)).map(|(name, _)| name.clone())
    }

    /// The addresses of all masters, with `slaves` of all brokers.
    pub(super) fn broker_addresses(&self, slaves: bool) -> Vec<String> {
        let brokers = self.brokers.lock();
        let all = brokers.values().flatten().filter(|(id, _)| slaves || **id == 0);
        all.map(|(_, address)| address.clone()).collect()
    }

    /// Starts the thread that keeps brokers informed, if it does not run yet.
    pub(super) fn start_worker(self: &Arc<Self>) -> Result<()> {
        self.worker.start(self)
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

    pub(super) fn consumers(&self) -> Vec<Arc<consumer::Shared>> {
        self.members.lock().consumers.iter().filter_map(|(_, consumer)| consumer.upgrade()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // Nothing here is this process's to end, and locks may be held by threads that it does not have.
            let no_pool = || Pool::new("fmq-none", 1);
            let pools =
                [&mut self.callbacks, &mut self.errands].map(|pool| std::mem::replace(pool, no_pool()));
            let closing = std::mem::take(&mut self.closing);
            return std::mem::forget((self.net.clone(), self.loops.clone(), pools, closing));
        }
        // Not joined: this may run on the thread itself, or on an event loop that the thread waits for.
        self.signal.stop();
        self.drop_home();
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

/// `alone` says that nothing outside this process is connected to.
fn connections(options: &ClientOptions, alone: bool) -> Result<net::ClientOptions> {
    Ok(net::ClientOptions {
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
        tls: match alone {
            true => None,
            false => options.tls_client()?.map(net::TlsClient::new).transpose()?,
        },
    })
}
