//! The broker: takes messages, keeps them, hands them out. [`Broker`] holds the state; `handler` is the one match from
//! request to function; each family of requests has its file; background work has its threads here.

mod admin;
mod append;
mod backup;
mod clean;
mod clients;
mod consistency;
mod delay;
mod errands;
mod figures;
mod filters;
mod flow;
#[cfg(feature = "wasm-filter")]
mod functions;
mod handler;
mod home;
mod locks;
pub mod names;
mod offsets;
pub mod permission;
mod progress;
mod pull;
mod put;
mod query;
mod read;
mod registration;
mod relay;
mod reply;
mod reset;
mod retry;
mod send;
mod state;
mod stats;
mod store_options;
mod tasks;
mod topic_admin;
mod transaction;
mod waiters;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

pub use append::{content, QueueAppender};
pub use read::QueueReader;
pub use store_options::examined;
pub use transaction::{GivenUp, Resolve, Undecided};

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::message::property;
use crate::net::Client;
use crate::store::storage::{Files, Storage};
use crate::store::{Arrival, Listener, Store, StoreOptions};
use crate::sync::{Mutex, RwLock};
use crate::{Error, ErrorKind, Result};

/// A broker on its data directory. It serves as a [`crate::net::Service`] behind a listener, from any number of threads.
///
/// Apache's name: BrokerController.
#[doc(alias = "BrokerController")]
pub struct Broker {
    this: Weak<Broker>,
    config: RwLock<Arc<BrokerConfig>>,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<Store>,
    topics: state::Topics,
    groups: state::Groups,
    offsets: state::ConsumerOffsets,
    filters: Arc<state::Filters>,
    #[cfg(feature = "wasm-filter")]
    functions: functions::FilterFunctions,
    clients: clients::Clients,
    locks: locks::QueueLocks,
    waiters: waiters::Waiters,
    delay: delay::Delay,
    transactions: transaction::Transactions,
    registration: registration::Registration,
    /// What operators ask.
    errands: errands::Errands,
    /// What is asked and takes a few reads of the disk.
    lookups: errands::Errands,
    /// Backups.
    copies: errands::Errands,
    /// Saves of tables.
    saving: errands::Errands,
    stats: stats::Stats,
    /// The address records carry and clients are told; known when the listener is.
    store_host: OnceLock<SocketAddr>,
    /// The same with the port that was asked for.
    early_host: SocketAddr,
    /// What every stored message gets: region, trace, cluster. Without and with traceOn, which may change.
    added_properties: [Vec<u8>; 2],
    /// Told with each send.
    region: Arc<str>,
    counter: AtomicU32,
    /// How often topics or settings changed.
    changes: AtomicU64,
    started_ms: i64,
    stopping: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Broker {
    /// Opens the store under `storePathRootDir`, with recovery, and the tables beside it. Nothing runs and nothing is
    /// served until [`Broker::start`].
    ///
    /// # Errors
    /// When brokerIP1 is no address, or the directory is in use, not writable or holds files of other sizes than
    /// configured.
    pub fn open(config: BrokerConfig, clock: Clock) -> Result<Arc<Self>> {
        Self::open_on(Arc::new(Files), config, clock)
    }

    /// As [`Broker::open`], with the store's files elsewhere than on the disk; the tables stay there.
    pub fn open_on(storage: Arc<dyn Storage>, config: BrokerConfig, clock: Clock) -> Result<Arc<Self>> {
        let ip: IpAddr = config.broker_ip1.parse().map_err(|_| {
            let context = format!("brokerIP1 `{}` is not an IP address", config.broker_ip1);
            Error::new(ErrorKind::InvalidArgument, "open broker", context)
        })?;
        let root = config.store_path_root_dir.clone();
        let options = StoreOptions { storage, ..store_options::from_config(&config)? };
        let store = Store::open(options, clock.clone())?;
        let now = clock.now_ms();
        let topics = state::Topics::open(&root, &config, now)?;
        let groups = state::Groups::open(&root, now)?;
        let offsets = state::ConsumerOffsets::open(&root)?;
        let end = |topic: &str, queue_id| store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.end);
        // Offsets in topics that were deleted meanwhile go when one is made anew.
        offsets.cut(|topic, queue_id| topics.find(topic).map(|_| end(topic, queue_id)));
        #[cfg(feature = "wasm-filter")]
        let functions = functions::FilterFunctions::open(&root)?;
        let filters = Arc::new(state::Filters::open(&root, &config, now)?);
        let delay = delay::Delay::open(&root, config.message_delay_level.ms())?;
        delay.cut(|queue_id| end(names::SCHEDULE_TOPIC, queue_id));
        let broker = Arc::new_cyclic(|this| Broker {
            this: this.clone(),
            added_properties: [false, true].map(|trace_on| added_properties(&config, trace_on)),
            region: config.region_id.as_str().into(),
            early_host: SocketAddr::new(ip, config.listen_port),
            config: RwLock::new(Arc::new(config)),
            store,
            topics,
            groups,
            offsets,
            filters,
            #[cfg(feature = "wasm-filter")]
            functions,
            clients: Default::default(),
            locks: Default::default(),
            waiters: Default::default(),
            delay,
            transactions: Default::default(),
            registration: Default::default(),
            errands: Default::default(),
            lookups: Default::default(),
            copies: Default::default(),
            saving: Default::default(),
            stats: stats::Stats::new(now),
            store_host: OnceLock::new(),
            counter: AtomicU32::new(0),
            changes: AtomicU64::new(0),
            started_ms: now,
            stopping: AtomicBool::new(false),
            threads: Mutex::default(),
            clock,
        });
        broker.listen_to_store();
        transaction::open(&broker);
        Ok(broker)
    }

    fn listen_to_store(&self) {
        self.store.set_listener(Wakes(self.this.clone()));
    }

    /// Starts the background work, now that the listener's port is known: timers, delayed deliveries, and registration
    /// with the name servers if there are any (through `client`).
    ///
    /// # Errors
    /// When a thread cannot be made.
    pub fn start(&self, port: u16, client: Arc<Client>) -> Result<()> {
        let config = self.config();
        // A second start keeps the first address; instance never does that.
        let _ = self.store_host.set(SocketAddr::new(self.early_host.ip(), port));
        Arc::make_mut(&mut self.config.write()).listen_port = port;
        self.errands.begin();
        self.spawn("fmq-errands", |broker| errands::run(broker, &broker.errands))?;
        self.lookups.begin();
        self.spawn("fmq-lookups", |broker| errands::run(broker, &broker.lookups))?;
        self.copies.begin();
        self.spawn("fmq-copies", |broker| errands::run(broker, &broker.copies))?;
        self.saving.begin();
        self.spawn("fmq-save", |broker| errands::run(broker, &broker.saving))?;
        self.spawn("fmq-tasks", tasks::run)?;
        self.spawn("fmq-delay", delay::run)?;
        self.spawn("fmq-transaction", transaction::run)?;
        if registration::addresses(config.namesrv_addr.as_deref().unwrap_or("")).next().is_some() {
            self.spawn("fmq-register", move |broker| registration::run(broker, client))?;
        } else {
            self.registration.nobody_tells();
        }
        Ok(())
    }

    /// Waits until the name servers know this broker, or could not be reached: once it started, and 3 s at most.
    pub fn wait_registered(&self) {
        self.registration.wait_told(self);
    }

    /// Has it register with these name servers from its start on, whatever its settings say.
    pub fn register_with(&self, name_servers: &str) {
        Arc::make_mut(&mut self.config.write()).namesrv_addr = Some(name_servers.to_owned());
    }

    fn spawn(&self, name: &str, body: impl FnOnce(&Broker) + Send + 'static) -> Result<()> {
        let broker = self.shared();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || body(&broker))
            .map_err(|error| Error::io("start thread", name, error))?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Orderly end, before the listener goes: tells the name servers, answers waiting pulls, joins the threads.
    /// Idempotent.
    pub fn stop(&self) {
        if self.stopping.swap(true, Ordering::AcqRel) {
            return;
        }
        self.clock.wake();
        self.errands.wake();
        self.lookups.wake();
        self.store.end_backups();
        self.copies.wake();
        self.saving.wake();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
        registration::unregister(self);
        waiters::release_all(self);
    }

    /// The very end, after the listener: saves the tables and closes the store. Idempotent.
    ///
    /// # Errors
    /// When the store cannot be flushed; what was acknowledged under SYNC_FLUSH is on the disk all the same.
    pub fn close(&self) -> Result<()> {
        self.stop();
        transaction::close(self);
        // Why a table could not be saved is in the log; a change since its last save was not answered as done.
        let _told = self.save_tables();
        let _told = self.offsets.save(self.clock.now_ms());
        self.save_filters();
        self.delay.save(self);
        self.store.close()
    }

    /// Brings the tables of topics and groups to their files, if they changed. May wait for the disk.
    fn save_tables(&self) -> errands::Saved {
        let (topics, groups) = (self.topics.save(), self.groups.save());
        topics.and(groups).map_err(|error| format!("changed until the next start only: {error}"))
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<BrokerConfig> {
        self.config.read().clone()
    }

    fn replace_config(&self, config: BrokerConfig) {
        self.store.set_retention(store_options::retention(&config));
        *self.config.write() = Arc::new(config);
        self.note_change();
        // What waits by the clock may have to wait less.
        self.clock.wake();
    }

    /// Topics or settings have changed: who relies on them looks again.
    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// A number that is another one after each change of topics or settings.
    fn epoch(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn save_filters(&self) {
        self.filters.save(self.config().filter_data_clean_time_span, self.clock.now_ms());
    }

    /// Whether [`Broker::stop`] was called.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// This broker, owned, for closures that outlive a call.
    fn shared(&self) -> Arc<Broker> {
        self.this.upgrade().expect("self is alive, and only ever made inside an Arc")
    }

    fn store_host(&self) -> SocketAddr {
        // A request may come between the listener's start and ours.
        *self.store_host.get().unwrap_or(&self.early_host)
    }

    /// The address clients are told.
    pub(crate) fn address(&self) -> String {
        self.store_host().to_string()
    }

    /// The address slaves are told.
    fn ha_address(&self) -> String {
        let config = self.config();
        let port = config.ha_listen_port.unwrap_or(self.store_host().port().wrapping_add(1));
        format!("{}:{port}", config.broker_ip2)
    }

    fn added_properties(&self) -> &[u8] {
        &self.added_properties[usize::from(self.config.read().trace_on)]
    }

    /// A number below `bound`, spread evenly over calls.
    fn next_number(&self, bound: i32) -> i32 {
        (self.counter.fetch_add(1, Ordering::Relaxed) % bound.max(1) as u32) as i32
    }
}

fn added_properties(config: &BrokerConfig, trace_on: bool) -> Vec<u8> {
    let mut out = Vec::new();
    put::push_property(&mut out, property::MSG_REGION, &config.region_id);
    put::push_property(&mut out, property::TRACE_ON, if trace_on { "true" } else { "false" });
    put::push_property(&mut out, property::CLUSTER, &config.broker_cluster_name);
    out
}

/// Wakes who waits for what arrives in the store: pulls, and the deliveries of delayed messages.
struct Wakes(Weak<Broker>);

impl Listener for Wakes {
    fn is_listening(&self, topic: &str) -> bool {
        topic == names::SCHEDULE_TOPIC || self.0.upgrade().is_some_and(|broker| broker.waiters.len() > 0)
    }

    fn arrived(&self, arrival: &Arrival<'_>) {
        let Some(broker) = self.0.upgrade() else { return };
        if arrival.topic == names::SCHEDULE_TOPIC {
            broker.delay.wake(&broker);
        }
        waiters::arrived(&broker, arrival);
    }
}
