//! The name server: brokers register, clients ask for routes, administrators keep a KV table. Name servers know
//! nothing of each other, and all but the KV table and settings is gone with the process.

mod handler;
mod kv;
mod register;
mod routes;
mod settings;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use crate::clock::Clock;
use crate::config::{file, NamesrvConfig};
use crate::net::{Call, Connection, Service, Ticket};
use crate::sync::{Mutex, RwLock};
use crate::wire::{Response, ResponseCode};
use crate::{Error, Result};
use handler::{Answer, Save};
use kv::KvConfig;
use routes::Routes;

/// Milliseconds between two writings of the KV table to the log.
const LOG_KV_EVERY_MS: i64 = 600_000;

/// One name server: its tables, and the thread that expires brokers and keeps changes in files.
#[doc(alias = "NamesrvController")]
pub struct Namesrv {
    config: RwLock<Arc<NamesrvConfig>>,
    clock: Clock,
    routes: RwLock<Routes>,
    kv: Mutex<KvConfig>,
    /// The connections that brokers registered over, to close those of expired ones.
    connections: Mutex<HashMap<u64, Weak<Connection>>>,
    /// Requests that wait for their change to be in its file.
    unsaved: Mutex<Vec<(Ticket, Save)>>,
    stopped: AtomicBool,
    timer: Mutex<Option<JoinHandle<()>>>,
}

impl Namesrv {
    /// Makes a name server and reads its KV file. It answers requests from here on; timers run after
    /// [`Namesrv::start`].
    ///
    /// # Errors
    /// If the KV file is there but cannot be read, naming it.
    pub fn new(config: NamesrvConfig, clock: Clock) -> Result<Arc<Namesrv>> {
        let kv = KvConfig::load(&config.kv_config_path)?;
        Ok(Arc::new(Namesrv {
            config: RwLock::new(Arc::new(config)),
            clock,
            routes: RwLock::default(),
            kv: Mutex::new(kv),
            connections: Mutex::default(),
            unsaved: Mutex::default(),
            stopped: AtomicBool::new(false),
            timer: Mutex::new(None),
        }))
    }

    /// Starts the thread that expires brokers, keeps changes in files and logs the KV table.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        let namesrv = self.clone();
        let started = self.clock.now_ms();
        let timer = std::thread::Builder::new()
            .name("fmq-namesrv".into())
            .spawn(move || namesrv.run_timers(started))
            .map_err(|error| Error::io("start name server", "thread fmq-namesrv", error))?;
        *self.timer.lock() = Some(timer);
        Ok(())
    }

    /// Ends the thread after it answered what waits to be saved. Calling it twice is fine.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.clock.wake();
        if let Some(timer) = self.timer.lock().take() {
            // A panic of the thread was reported by the panic hook; there is nothing left to end.
            let _ended = timer.join();
        }
    }

    /// Tells the port that is listened on, where the settings asked for a free one.
    pub fn listening_on(&self, port: u16) {
        Arc::make_mut(&mut self.config.write()).listen_port = port;
    }

    /// The settings as they are now.
    pub fn config(&self) -> Arc<NamesrvConfig> {
        self.config.read().clone()
    }

    /// Number of broker processes that are registered.
    pub fn broker_count(&self) -> usize {
        self.routes.read().broker_count()
    }

    fn run_timers(&self, started: i64) {
        let (mut scanned, mut logged) = (started, started);
        loop {
            let scan = scanned + self.config().scan_not_active_broker_interval;
            let log = logged + LOG_KV_EVERY_MS;
            self.clock.wait_until(scan.min(log), || self.is_stopped() || !self.unsaved.lock().is_empty());
            self.save();
            if self.is_stopped() {
                // A request may have come between the last save and the stop.
                self.save();
                return;
            }
            let now = self.clock.now_ms();
            if now >= scan {
                scanned = now;
                self.expire(now);
            }
            if now >= log {
                logged = now;
                self.kv.lock().log();
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn expire(&self, now_ms: i64) {
        for id in self.routes.write().expire(now_ms) {
            let connection = self.connections.lock().remove(&id).and_then(|connection| connection.upgrade());
            if let Some(connection) = connection {
                connection.close();
            }
        }
    }

    /// Keeps what changed in files, one write for all that waits, and answers.
    fn save(&self) {
        let waiting = std::mem::take(&mut *self.unsaved.lock());
        if waiting.is_empty() {
            return;
        }
        let kv = waiting.iter().any(|(_, save)| *save == Save::Kv).then(|| self.save_kv());
        for (ticket, save) in waiting {
            let saved = match &save {
                Save::Kv => {
                    kv.as_ref().map_or(Ok(()), |saved| saved.as_ref().map_err(Error::to_string).copied())
                }
                Save::Settings(changes) => self.save_settings(changes).map_err(|error| error.to_string()),
            };
            ticket.reply(match saved {
                Ok(()) => Response::ok(),
                Err(error) => {
                    let remark = format!("changed until the next start only: {error}");
                    Response::error(ResponseCode::SYSTEM_ERROR, remark)
                }
            });
        }
    }

    fn save_kv(&self) -> Result<()> {
        let bytes = self.kv.lock().to_bytes();
        file::save(&self.config().kv_config_path, &bytes)
    }

    fn save_settings(&self, changes: &[(String, String)]) -> Result<()> {
        let config = self.config();
        let path = config.source.as_ref().unwrap_or(&config.config_store_path);
        NamesrvConfig::rewrite_file(path, changes)
    }
}

impl Service for Namesrv {
    fn handle(&self, call: Call<'_>) {
        match handler::answer(self, &call) {
            Answer::Now(response) => call.reply(response),
            Answer::WhenSaved(save) => {
                let mut unsaved = self.unsaved.lock();
                unsaved.push((call.park(), save));
                drop(unsaved);
                self.clock.wake();
            }
        }
    }

    fn connected(&self, connection: &Arc<Connection>) {
        self.connections.lock().insert(connection.id(), Arc::downgrade(connection));
    }

    fn closed(&self, connection: &Arc<Connection>) {
        self.connections.lock().remove(&connection.id());
        self.routes.write().connection_closed(connection.id());
    }
}
