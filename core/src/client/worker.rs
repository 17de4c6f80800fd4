//! The one thread of a client: heartbeats, routes, rebalancing, offsets, each at its time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::Cluster;
use crate::clock::Clock;
use crate::{Error, Result};

/// How often consumers store how far they have come, ms. Apache's `persistConsumerOffsetInterval`.
const PERSIST_EVERY: i64 = 5_000;

/// What could not be done is tried again after this long, ms.
pub(super) const RETRY_AFTER: i64 = 1_000;

/// What others want of the worker.
pub(super) struct Signal {
    clock: Clock,
    stop: AtomicBool,
    /// Groups may have changed: share the queues anew.
    rebalance: AtomicBool,
    /// Brokers were found that do not know this client.
    introduce: AtomicBool,
    /// Look for work now.
    poked: AtomicBool,
}

impl Signal {
    pub fn new(clock: Clock) -> Arc<Signal> {
        let (stop, rebalance, introduce, poked) = Default::default();
        Arc::new(Signal { clock, stop, rebalance, introduce, poked })
    }

    pub fn poke(&self) {
        self.poked.store(true, Ordering::SeqCst);
        self.clock.wake();
    }

    pub fn rebalance(&self) {
        self.rebalance.store(true, Ordering::SeqCst);
        self.poke();
    }

    pub fn introduce(&self) {
        self.introduce.store(true, Ordering::SeqCst);
        self.poke();
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.poke();
    }
}

/// The thread, once something needs it.
#[derive(Default)]
pub(super) struct Worker {
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts the thread if it does not run yet.
    pub fn start(&self, cluster: &Arc<Cluster>) -> Result<()> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let (weak, signal) = (Arc::downgrade(cluster), cluster.signal.clone());
            let run = move || work(&weak, &signal);
            let started = std::thread::Builder::new().name("fmq-client".into()).spawn(run);
            *thread = Some(started.map_err(|error| Error::io("start a thread", "fmq-client", error))?);
        }
        Ok(())
    }

    /// Waits until the thread has ended, which it was told to; not if this is the thread itself.
    pub fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("the client's thread ended with a panic");
            }
        }
    }
}

/// When each kind of work is due, ms.
struct Schedule {
    heartbeat: i64,
    routes: i64,
    rebalance: i64,
    persist: i64,
}

fn work(cluster: &Weak<Cluster>, signal: &Signal) {
    let now = signal.clock.now_ms();
    let mut due = Schedule { heartbeat: now, routes: now, rebalance: now, persist: now + PERSIST_EVERY };
    if let Some(cluster) = cluster.upgrade() {
        due.heartbeat += cluster.options().heartbeat_broker_interval.as_millis() as i64;
        due.routes += cluster.options().poll_name_server_interval.as_millis() as i64;
        due.rebalance += cluster.options().rebalance_interval.as_millis() as i64;
    }
    while !signal.stop.load(Ordering::SeqCst) {
        signal.poked.store(false, Ordering::SeqCst);
        let Some(cluster) = cluster.upgrade() else { return };
        let next = turn(&cluster, signal, &mut due);
        // Not held while waiting, so that the last user's reference is the last.
        drop(cluster);
        signal.clock.wait_until(next, || signal.poked.load(Ordering::SeqCst));
    }
}

/// Does what is due; returns when something is due next.
fn turn(cluster: &Arc<Cluster>, signal: &Signal, due: &mut Schedule) -> i64 {
    let options = cluster.options();
    if is_due(&mut due.routes, signal, options.poll_name_server_interval.as_millis() as i64) {
        cluster.refresh_routes();
    }
    let asked = signal.introduce.swap(false, Ordering::SeqCst);
    if is_due(&mut due.heartbeat, signal, options.heartbeat_broker_interval.as_millis() as i64) || asked {
        cluster.send_heartbeats();
    }
    let consumers = cluster.consumers();
    let asked = signal.rebalance.swap(false, Ordering::SeqCst);
    if is_due(&mut due.rebalance, signal, options.rebalance_interval.as_millis() as i64) || asked {
        let failed = consumers.iter().filter(|consumer| consumer.rebalance().is_err()).count();
        if failed > 0 {
            due.rebalance = signal.clock.now_ms() + RETRY_AFTER;
        }
    }
    if is_due(&mut due.persist, signal, PERSIST_EVERY) {
        for consumer in &consumers {
            if let Err(error) = consumer.persist() {
                tracing::warn!("offsets are not stored for now: {error}");
            }
        }
    }
    let retry = consumers.iter().filter_map(|consumer| consumer.pull_due()).min();
    let next = due.heartbeat.min(due.routes).min(due.rebalance).min(due.persist);
    next.min(retry.unwrap_or(i64::MAX))
}

fn is_due(at: &mut i64, signal: &Signal, every: i64) -> bool {
    let now = signal.clock.now_ms();
    let is_due = *at <= now;
    if is_due {
        *at = now + every;
    }
    is_due
}
