//! A server of one's own, in this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use super::process::{event_loops, Server, ServerOptions};
use crate::broker::{Broker, Resolve};
use crate::client::{ClientOptions, Cluster, Home};
use crate::clock::Clock;
use crate::config::{BrokerConfig, NamesrvConfig};
use crate::net::Loops;
use crate::store::Scratch;
use crate::{Error, ErrorKind, Result};

/// The broker's name unless the options or the directory's settings say otherwise.
const BROKER_NAME: &str = "ferromq";

/// Where a directory keeps what its broker is called: consumers that keep their own offsets know queues by it.
const SETTINGS: &str = "config/ferromq.properties";

/// Where an embedded server keeps its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In this directory, which is made if missing. One process at a time has it.
    Directory(PathBuf),
    /// In memory, until the close: in a private directory of `/dev/shm`, or of the directory for temporary files where
    /// there is no such place (its files then lie on a disk, but are not synced for their own sake). What a killed
    /// process leaves there is removed by the next that opens in memory. Messages are kept for the time that
    /// `fileReservedTime` says, so memory grows as much as is sent in that time.
    Memory,
}

/// Where an embedded server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Address that is bound and advertised; 0.0.0.0 binds all and advertises the first that is not a loopback.
    pub host: String,
    /// Port of the name server; 0 picks a free one.
    pub namesrv_port: u16,
    /// Port of the broker; 0 picks a free one. The port two below it is taken too (Apache's VIP channel).
    pub broker_port: u16,
}

impl Default for Listen {
    /// 127.0.0.1 with Apache's ports 9876 and 10911.
    fn default() -> Self {
        Listen { host: "127.0.0.1".into(), namesrv_port: 9876, broker_port: 10911 }
    }
}

impl Listen {
    /// 127.0.0.1 with free ports, which [`Instance::listening`](super::Instance::listening) tells.
    pub fn on_free_ports() -> Self {
        Listen { namesrv_port: 0, broker_port: 0, ..Listen::default() }
    }
}

/// What [`open_with`](super::open_with) opens.
#[derive(Clone)]
pub struct OpenOptions {
    /// Where messages are kept.
    pub place: Place,
    /// Where other processes can join; none unless set: no socket is opened then.
    pub listen: Option<Listen>,
    /// Settings of the broker; its directory, addresses, ports and name server are set from the above. Its name and its
    /// cluster are those that the directory was first opened with, unless they are set to something else here.
    pub broker: BrokerConfig,
    /// Settings of the name server; what its port makes of TLS is as with the broker.
    pub namesrv: NamesrvConfig,
    /// Settings of the client; its name server is this one.
    pub client: ClientOptions,
    /// Decides about transactional messages that the broker gives up, after `transactionCheckMax` questions that brought
    /// no answer; unless set they go to the topic TRANS_CHECK_MAX_TIME_TOPIC.
    pub resolve_given_up: Option<Resolve>,
    /// The clock of all three; tests give one that they move.
    pub clock: Clock,
}

impl OpenOptions {
    /// A server in this directory, for this process alone, with default settings.
    pub fn directory(dir: impl AsRef<Path>) -> OpenOptions {
        OpenOptions::at(Place::Directory(dir.as_ref().to_owned()))
    }

    /// A server in memory, for this process alone, with default settings.
    pub fn memory() -> OpenOptions {
        let mut options = OpenOptions::directory("");
        options.keep_in(Place::Memory);
        options
    }

    /// Changes the place, and the sizes of files that nobody chose.
    pub(super) fn keep_in(&mut self, place: Place) {
        let to_memory = place == Place::Memory;
        let moved = to_memory != (self.place == Place::Memory);
        self.place = place;
        let mut usual = OpenOptions::directory("").broker;
        for (size, small) in SMALL_SIZES {
            let (default, size) = (*size(&mut usual), size(&mut self.broker));
            let (from, to) = if to_memory { (default, small) } else { (small, default) };
            if moved && *size == from {
                *size = to;
            }
        }
    }

    fn at(place: Place) -> OpenOptions {
        let broker = BrokerConfig {
            broker_name: BROKER_NAME.into(),
            // A process that sends a little should not take much of the disk.
            allocation_step: 4 << 20,
            // Who embeds a broker has nobody else to switch it on; Apache's broker has it off.
            enable_property_filter: true,
            ..BrokerConfig::default()
        };
        let (namesrv, client) = (NamesrvConfig::default(), ClientOptions::default());
        let clock = Clock::new();
        OpenOptions { place, listen: None, broker, namesrv, client, resolve_given_up: None, clock }
    }
}

/// Sizes of files that have another default in memory than in a directory.
type Sizes = [(fn(&mut BrokerConfig) -> &mut usize, usize); 5];

/// Whatever is touched in memory is memory: files in small steps, and an index whose slots lie close together.
const SMALL_SIZES: Sizes = [
    (|broker| &mut broker.mapped_file_size_commit_log, 64 << 20),
    (|broker| &mut broker.mapped_file_size_consume_queue, 600_000),
    (|broker| &mut broker.max_hash_slot_num, 50_000),
    (|broker| &mut broker.max_index_num, 200_000),
    (|broker| &mut broker.allocation_step, 1 << 20),
];

/// A started server with its client.
pub(super) struct Opened {
    pub broker: Weak<Broker>,
    pub cluster: Arc<Cluster>,
    pub listening: Option<(u16, u16)>,
}

pub(super) fn start(options: OpenOptions) -> Result<Opened> {
    let OpenOptions { place, listen, mut broker, mut namesrv, mut client, resolve_given_up, clock } = options;
    let (data, scratch) = match place {
        Place::Directory(dir) => (absolute(&dir)?, None),
        Place::Memory => {
            let scratch = Scratch::make()?;
            (scratch.path().to_owned(), Some(scratch))
        }
    };
    let settings = data.join(SETTINGS);
    let offsets = data.join("broadcast");
    let named = name_broker(&mut broker, &settings)?;
    namesrv.kv_config_path = data.join("namesrv/kvConfig.json");
    namesrv.config_store_path = data.join("namesrv/namesrv.properties");
    let listens = listen.is_some();
    let Listen { host, namesrv_port, broker_port } = listen.unwrap_or_default();
    let server = ServerOptions {
        host,
        namesrv_port,
        broker_port,
        broker,
        namesrv,
        clock: clock.clone(),
        ..ServerOptions::new(data)
    };
    // Only the listeners use it: an embedded server without them has no event loop.
    let server = Server::start_on(&Loops::new(event_loops()), server, listens)?;
    if let Some(resolve) = resolve_given_up {
        server.resolve_given_up(resolve);
    }
    if let Some(changes) = named {
        BrokerConfig::rewrite_file(&settings, &changes)?;
    }
    let broker = server.broker();
    let listening = listens.then(|| (server.namesrv_port(), server.broker_port()));
    client.namesrv_addr = server.name_servers().to_owned();
    // Not asked of the system, which takes a socket.
    client.client_ip.get_or_insert_with(|| "127.0.0.1".into());
    // The broker's second port answers who comes over a socket, and may be another server's of this machine.
    client.vip_channel_enabled = false;
    client.clock = clock;
    let home = Home {
        services: server.services(),
        listens,
        offsets,
        close: Box::new(move || {
            let stopped = server.stop();
            // Before the files go, nothing has them open any more.
            drop(server);
            stopped.and(scratch.map_or(Ok(()), |scratch| scratch.remove()))
        }),
    };
    Ok(Opened { broker, cluster: Cluster::at_home(client, Some(home))?, listening })
}

fn absolute(dir: &Path) -> Result<PathBuf> {
    std::path::absolute(dir).map_err(|error| {
        let context = format!("{:?} is not usable as a directory", dir.display().to_string());
        Error::new(ErrorKind::InvalidArgument, "open", context).with_source(error)
    })
}

/// Gives the broker the name and the cluster that the directory knows. Returns what the directory is to be told.
fn name_broker(broker: &mut BrokerConfig, settings: &Path) -> Result<Option<Vec<(String, String)>>> {
    let fresh = BrokerConfig::default();
    if settings.exists() {
        let kept = BrokerConfig::from_file(settings)?;
        if broker.broker_name == BROKER_NAME {
            broker.broker_name.clone_from(&kept.broker_name);
        }
        if broker.broker_cluster_name == fresh.broker_cluster_name {
            broker.broker_cluster_name.clone_from(&kept.broker_cluster_name);
        }
        let same =
            kept.broker_name == broker.broker_name && kept.broker_cluster_name == broker.broker_cluster_name;
        if same {
            return Ok(None);
        }
    }
    Ok(Some(vec![
        ("brokerClusterName".into(), broker.broker_cluster_name.clone()),
        ("brokerName".into(), broker.broker_name.clone()),
    ]))
}
