//! Processes put together from rooms: a name server, a broker, or both, each behind its listener.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::broker::{Broker, Resolve};
use crate::clock::Clock;
use crate::config::{BrokerConfig, NamesrvConfig};
use crate::namesrv::Namesrv;
use crate::net::{self, Loops};
use crate::store::storage::{Files, Storage};
use crate::store::{Backup, FullFiles};
use crate::wire::{Response, ResponseCode};
use crate::Result;

/// In-flight requests get this long to be answered at a shutdown.
const DRAIN: Duration = Duration::from_secs(3);

/// How `ferromq server` is to be started.
#[derive(Clone)]
pub struct ServerOptions {
    /// Directory of the store; made if missing.
    pub data: PathBuf,
    /// Address that is bound and advertised.
    pub host: String,
    /// Port of the name server; 0 picks a free one.
    pub namesrv_port: u16,
    /// Port of the broker; 0 picks a free one.
    pub broker_port: u16,
    /// Further settings of the broker; host, ports, data directory and name server are set from the above.
    pub broker: BrokerConfig,
    /// Further settings of the name server; what its port makes of TLS is as with the broker.
    pub namesrv: NamesrvConfig,
    /// The clock of both; tests give one that they move.
    pub clock: Clock,
    /// Where the messages are: files, unless tests give a disk that is slow or fails.
    pub storage: Arc<dyn Storage>,
}

impl ServerOptions {
    /// A server on 127.0.0.1 with Apache's ports and default settings.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        ServerOptions {
            data: data.into(),
            host: "127.0.0.1".into(),
            namesrv_port: 9876,
            broker_port: 10911,
            broker: BrokerConfig::default(),
            namesrv: NamesrvConfig::default(),
            clock: Clock::new(),
            storage: Arc::new(Files),
        }
    }
}

/// A name server and a broker in one process.
pub struct Server {
    // Dropped in this order: the broker says goodbye to the name server.
    broker: BrokerProcess,
    namesrv: NamesrvProcess,
    name_servers: String,
}

impl Server {
    /// Starts both. Returns when both accept and the broker is registered.
    ///
    /// # Errors
    /// When a port is in use, or the data directory is in use or not usable.
    pub fn start(options: ServerOptions) -> Result<Server> {
        Self::start_on(&Loops::new(event_loops()), options, true)
    }

    /// As [`Server::start`]; without `listen` nothing is listened on, and only this process reaches the server.
    pub(super) fn start_on(loops: &Arc<Loops>, options: ServerOptions, listen: bool) -> Result<Server> {
        let ServerOptions { data, host, namesrv_port, broker_port, .. } = options;
        let ServerOptions { mut broker, mut namesrv, clock, storage, .. } = options;
        let loops = listen.then_some(loops);
        namesrv.listen_port = namesrv_port;
        namesrv.bind_address.clone_from(&host);
        namesrv.share_tls_of(&broker);
        // One certificate of their own making does for both.
        let kept = Some(data.join("config"));
        broker.store_path_root_dir = data;
        broker.bind_address.clone_from(&host);
        broker.listen_port = broker_port;
        let advertised =
            if host == "0.0.0.0" { crate::config::address::local_ipv4().to_string() } else { host.clone() };
        broker.broker_ip1.clone_from(&advertised);
        broker.broker_ip2 = advertised;
        // First, because it takes the directory's lock: the name server writes a certificate there.
        let broker = OpenBroker::open(loops, broker, clock.clone(), storage, false)?;
        let namesrv = match NamesrvProcess::start_on(loops, namesrv, clock, kept) {
            Ok(namesrv) => namesrv,
            Err(error) => {
                broker.broker.close()?;
                return Err(error);
            }
        };
        let own = if host == "0.0.0.0" { "127.0.0.1" } else { &host };
        let name_servers = format!("{own}:{}", namesrv.port());
        broker.broker.register_with(&name_servers);
        let broker = broker.start(loops, Some((name_servers.as_str(), &namesrv)))?;
        Ok(Server { broker, namesrv, name_servers })
    }

    /// The name server's port.
    pub fn namesrv_port(&self) -> u16 {
        self.namesrv.port()
    }

    /// The broker's port.
    pub fn broker_port(&self) -> u16 {
        self.broker.port()
    }

    /// Makes a copy of the data directory while everything goes on: see [`super::Instance::backup`].
    ///
    /// # Errors
    /// As there.
    pub fn backup(&self, to: impl AsRef<Path>, full: FullFiles) -> Result<Backup> {
        self.broker.broker.backup(to.as_ref(), full)
    }

    /// The broker, for as long as there is one.
    pub(super) fn broker(&self) -> Weak<Broker> {
        Arc::downgrade(&self.broker.broker)
    }

    /// Asks `resolve` about transactional messages that the broker gives up.
    pub(super) fn resolve_given_up(&self, resolve: Resolve) {
        self.broker.broker.resolve_given_up(resolve);
    }

    /// Where clients find the name server.
    pub(super) fn name_servers(&self) -> &str {
        &self.name_servers
    }

    /// What answers at which address, for clients in this process.
    pub(super) fn services(&self) -> Vec<(String, Arc<dyn net::Service>)> {
        vec![
            (self.name_servers.clone(), self.namesrv.namesrv.clone()),
            (self.broker.broker.address(), self.broker.broker.clone()),
        ]
    }

    /// Orderly end of both. Idempotent; dropping does it too.
    ///
    /// # Errors
    /// When the store cannot be flushed or closed.
    pub fn stop(&self) -> Result<()> {
        let stopped = self.broker.stop();
        self.namesrv.stop();
        stopped
    }
}

/// A name server behind its listener.
pub struct NamesrvProcess {
    namesrv: Arc<Namesrv>,
    /// None if it serves this process alone.
    listener: Option<net::Server>,
}

impl NamesrvProcess {
    /// Starts a name server that listens as its settings say.
    ///
    /// # Errors
    /// When the port is in use or the KV file cannot be read.
    pub fn start(config: NamesrvConfig) -> Result<NamesrvProcess> {
        Self::start_on(Some(&Loops::new(event_loops())), config, Clock::new(), None)
    }

    /// `kept` is where a certificate of its own making is kept, beside the KV file unless given.
    fn start_on(
        loops: Option<&Arc<Loops>>,
        config: NamesrvConfig,
        clock: Clock,
        kept: Option<PathBuf>,
    ) -> Result<NamesrvProcess> {
        let tls = match loops {
            None => None,
            Some(_) => {
                let beside = || config.kv_config_path.parent().map(PathBuf::from).unwrap_or_default();
                net::TlsServer::new(
                    config.tls_server()?,
                    kept.unwrap_or_else(beside),
                    names_of(&[&config.bind_address]),
                )?
            }
        };
        let options = net::ServerOptions {
            host: config.bind_address.clone(),
            port: config.listen_port,
            vip: false,
            tls,
            max_connections: config.max_connections,
            max_memory: config.max_connection_memory,
            limits: net::Limits {
                frame: config.frame_max_length,
                idle: Duration::from_secs(u64::from(config.server_channel_max_idle_time_seconds)),
                ..Default::default()
            },
            ..Default::default()
        };
        let namesrv = Namesrv::new(config, clock)?;
        let bind = |loops| listen(loops, options, namesrv.clone());
        let listener = loops.map(bind).transpose()?;
        if let Some(listener) = &listener {
            namesrv.listening_on(listener.port());
        }
        namesrv.start()?;
        Ok(NamesrvProcess { namesrv, listener })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.namesrv.config().listen_port
    }

    /// Orderly end. Idempotent.
    pub fn stop(&self) {
        if let Some(listener) = &self.listener {
            listener.shutdown(DRAIN);
        }
        self.namesrv.stop();
    }
}

impl Drop for NamesrvProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A broker behind its listener.
pub struct BrokerProcess {
    broker: Arc<Broker>,
    /// None if it serves this process alone.
    listener: Option<net::Server>,
    client: Arc<net::Client>,
}

impl BrokerProcess {
    /// Opens the store and starts a broker that listens and registers as its settings say. Returns when it accepts and
    /// every name server knows it, or could not be reached; one that does not answer is waited for 3 s, and told later.
    ///
    /// # Errors
    /// When the port is in use, or the data directory is in use or not usable.
    pub fn start(config: BrokerConfig) -> Result<BrokerProcess> {
        let loops = Loops::new(event_loops());
        OpenBroker::open(Some(&loops), config, Clock::new(), Arc::new(Files), true)?.start(Some(&loops), None)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.broker.config().listen_port
    }

    /// Orderly end: goodbye to the name servers, answers for what is in flight, everything saved. Idempotent.
    ///
    /// # Errors
    /// When the store cannot be flushed or closed.
    pub fn stop(&self) -> Result<()> {
        self.broker.stop();
        if let Some(listener) = &self.listener {
            listener.shutdown(DRAIN);
        }
        self.client.shutdown();
        self.broker.close()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the broker did not close cleanly");
        }
    }
}

/// A broker whose directory is this process's, and which nobody reaches yet.
struct OpenBroker {
    broker: Arc<Broker>,
    options: net::ServerOptions,
    outwards: net::ClientOptions,
}

impl OpenBroker {
    /// Opens the store. `outwards` says whether the broker connects to name servers of other processes.
    fn open(
        loops: Option<&Arc<Loops>>,
        config: BrokerConfig,
        clock: Clock,
        storage: Arc<dyn Storage>,
        outwards: bool,
    ) -> Result<OpenBroker> {
        let tls = match loops {
            None => None,
            Some(_) => {
                let kept = config.store_path_root_dir.join("config");
                let names = names_of(&[&config.bind_address, &config.broker_ip1]);
                net::TlsServer::new(config.tls_server()?, kept, names)?
            }
        };
        let outwards = match outwards {
            false => None,
            true => config.tls_client()?.map(net::TlsClient::new).transpose()?,
        };
        let outwards = net::ClientOptions { tls: outwards, ..net::ClientOptions::default() };
        let options = net::ServerOptions {
            host: config.bind_address.clone(),
            port: config.listen_port,
            vip: true,
            tls,
            max_connections: config.max_connections,
            max_memory: config.max_connection_memory,
            limits: net::Limits {
                frame: config.frame_max_length,
                idle: Duration::from_secs(u64::from(config.server_channel_max_idle_time_seconds)),
                ..Default::default()
            },
            ..Default::default()
        };
        let broker = Broker::open_on(storage, config, clock)?;
        Ok(OpenBroker { broker, options, outwards })
    }

    /// Listens and registers. `beside` is a name server of this process and the address under which it is registered
    /// with.
    fn start(
        self,
        loops: Option<&Arc<Loops>>,
        beside: Option<(&str, &NamesrvProcess)>,
    ) -> Result<BrokerProcess> {
        let OpenBroker { broker, options, outwards } = self;
        let port = options.port;
        let bind = |loops| listen(loops, options, broker.clone());
        // The store was opened cleanly; it is left so.
        let listener = match loops.map(bind).transpose() {
            Ok(listener) => listener,
            Err(error) => {
                broker.close()?;
                return Err(error);
            }
        };
        let unused = Loops::new(1);
        let client = net::Client::new(loops.unwrap_or(&unused), outwards, Arc::new(NothingAsked));
        if let Some((address, process)) = beside {
            client.attach(address, process.namesrv.clone());
        }
        broker.start(listener.as_ref().map_or(port, net::Server::port), client.clone())?;
        broker.wait_registered();
        Ok(BrokerProcess { broker, listener, client })
    }
}

fn listen(
    loops: &Arc<Loops>,
    options: net::ServerOptions,
    service: Arc<dyn net::Service>,
) -> Result<net::Server> {
    if let Some(tls) = &options.tls {
        tls.make_ready()?;
    }
    net::Server::bind(loops, options, service)
}

/// What a server of this machine can be called by those who connect to it.
fn names_of(addresses: &[&str]) -> Vec<String> {
    let everywhere =
        [&crate::config::address::host_name(), "localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let own = addresses.iter().filter(|address| **address != "0.0.0.0").map(|address| (*address).to_owned());
    own.chain(everywhere).chain([crate::config::address::local_ipv4().to_string()]).collect()
}

/// One event loop a core.
pub(super) fn event_loops() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a broker as a client of name servers answers to requests of theirs: it expects none.
struct NothingAsked;

impl net::Service for NothingAsked {
    fn handle(&self, call: net::Call<'_>) {
        let code = call.code().0;
        let remark = format!(" request type {code} not supported");
        call.reply(Response::error(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
    }
}
