//! The threads of a client. The worker does what may wait for others: heartbeats, routes, rebalancing, offsets, each at
//! its time. The timer does what must not be late because of that: it never waits for anyone.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use super::callbacks::panic_message;
use super::Cluster;
use crate::clock::Clock;
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

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
    /// Routes may be wrong: ask for them again.
    routes: AtomicBool,
    /// Worker: look for work now.
    poked: AtomicBool,
    /// Timer: look for work now.
    ticked: AtomicBool,
}

impl Signal {
    pub fn new(clock: Clock) -> Arc<Signal> {
        let (stop, rebalance, introduce, routes, poked, ticked) = Default::default();
        Arc::new(Signal { clock, stop, rebalance, introduce, routes, poked, ticked })
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

    /// Has the timer look when something is due next.
    pub fn tick(&self) {
        self.ticked.store(true, Ordering::SeqCst);
        self.clock.wake();
    }

    pub fn refresh_routes(&self) {
        self.routes.store(true, Ordering::SeqCst);
        self.poke();
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.clock.wake();
    }

    /// Sleeps until `due`, or what `woken` says, or the end, which nothing that is cleared may hide.
    fn sleep(&self, due: i64, woken: &AtomicBool) {
        self.clock.wait_until(due, || self.stop.load(Ordering::SeqCst) || woken.load(Ordering::SeqCst));
    }
}

/// The threads, once something needs them.
#[derive(Default)]
pub(super) struct Worker {
    worker: Mutex<Option<JoinHandle<()>>>,
    timer: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts the worker if it does not run yet.
    pub fn start(&self, cluster: &Arc<Cluster>) -> Result<()> {
        start(&self.worker, "fmq-client", cluster, work)
    }

    /// Starts the timer, which only consumers need, if it does not run yet.
    pub fn start_timer(&self, cluster: &Arc<Cluster>) -> Result<()> {
        start(&self.timer, "fmq-timer", cluster, keep_time)
    }

    /// Waits until the threads have ended, which they were told to; not if this is one of them.
    pub fn join(&self) {
        for thread in [&self.worker, &self.timer] {
            let Some(thread) = thread.lock().take() else { continue };
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the client ended with a panic");
            }
        }
    }
}

fn start(
    thread: &Mutex<Option<JoinHandle<()>>>,
    name: &str,
    cluster: &Arc<Cluster>,
    run: fn(&Weak<Cluster>, &Signal),
) -> Result<()> {
    let mut thread = thread.lock();
    if thread.is_none() {
        let (weak, signal) = (Arc::downgrade(cluster), cluster.signal.clone());
        let started = std::thread::Builder::new().name(name.into()).spawn(move || run(&weak, &signal));
        *thread = Some(started.map_err(|error| Error::io("start a thread", name, error))?);
    }
    Ok(())
}

fn keep_time(cluster: &Weak<Cluster>, signal: &Signal) {
    while !signal.stop.load(Ordering::SeqCst) {
        signal.ticked.store(false, Ordering::SeqCst);
        let Some(cluster) = cluster.upgrade() else { return };
        let tick = || cluster.consumers().iter().map(|consumer| consumer.tick()).min().unwrap_or(i64::MAX);
        let next = surviving(signal, tick);
        // Not held while waiting, so that the last user's reference is the last.
        drop(cluster);
        signal.sleep(next, &signal.ticked);
    }
}

/// What is due next, as `turn` says. Users' code may run in it, and the client must not die of its panic: all that is
/// due is looked at again a little later.
fn surviving(signal: &Signal, turn: impl FnOnce() -> i64) -> i64 {
    catch_unwind(AssertUnwindSafe(turn)).unwrap_or_else(|panic| {
        tracing::error!("a turn of the client panicked: {}", panic_message(&*panic));
        signal.clock.now_ms() + RETRY_AFTER
    })
}

/// When each kind of work is due, ms.
struct Schedule {
    heartbeat: i64,
    routes: i64,
    rebalance: i64,
}

fn work(cluster: &Weak<Cluster>, signal: &Signal) {
    let now = signal.clock.now_ms();
    let mut due = Schedule { heartbeat: now, routes: now, rebalance: now };
    if let Some(cluster) = cluster.upgrade() {
        due.heartbeat += cluster.options().heartbeat_broker_interval.as_millis() as i64;
        due.routes += cluster.options().poll_name_server_interval.as_millis() as i64;
        due.rebalance += cluster.options().rebalance_interval.as_millis() as i64;
    }
    while !signal.stop.load(Ordering::SeqCst) {
        signal.poked.store(false, Ordering::SeqCst);
        let Some(cluster) = cluster.upgrade() else { return };
        let next = surviving(signal, || turn(&cluster, signal, &mut due));
        // Not held while waiting, so that the last user's reference is the last.
        drop(cluster);
        signal.sleep(next, &signal.poked);
    }
}

/// Does what is due; returns when something is due next.
fn turn(cluster: &Arc<Cluster>, signal: &Signal, due: &mut Schedule) -> i64 {
    let options = cluster.options();
    let asked = signal.routes.swap(false, Ordering::SeqCst);
    if is_due(&mut due.routes, signal, options.poll_name_server_interval.as_millis() as i64) || asked {
        cluster.refresh_routes();
    }
    let asked = signal.introduce.swap(false, Ordering::SeqCst);
    if is_due(&mut due.heartbeat, signal, options.heartbeat_broker_interval.as_millis() as i64) || asked {
        cluster.send_heartbeats();
    }
    let consumers = cluster.consumers();
    let asked = signal.rebalance.swap(false, Ordering::SeqCst);
    if is_due(&mut due.rebalance, signal, options.rebalance_interval.as_millis() as i64) || asked {
        // A topic that does not exist may come any time, and is looked for at the usual pace.
        let fails = |result: Result<()>| result.is_err_and(|error| error.kind() != ErrorKind::NotFound);
        let failed = consumers.iter().filter(|consumer| fails(consumer.rebalance())).count();
        if failed > 0 {
            due.rebalance = signal.clock.now_ms() + RETRY_AFTER;
        }
    }
    let persist = consumers.iter().map(|consumer| consumer.persist_due()).min().unwrap_or(i64::MAX);
    due.heartbeat.min(due.routes).min(due.rebalance).min(persist)
}

fn is_due(at: &mut i64, signal: &Signal, every: i64) -> bool {
    let now = signal.clock.now_ms();
    // Further away than it was ever set: the clock was set back.
    let is_due = *at <= now || *at > now.saturating_add(every);
    if is_due {
        *at = now + every;
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end comes when the thread has seen that it goes on, and has yet to forget why it was woken.
    #[test]
    fn an_end_is_not_forgotten_with_what_woke_the_thread() {
        let signal = Signal::new(Clock::new());
        for woken in [&signal.ticked, &signal.poked] {
            signal.stop();
            woken.store(false, Ordering::SeqCst);
            signal.sleep(i64::MAX, woken);
        }
    }

    #[test]
    fn the_threads_end_whenever_they_are_told_to() {
        let cluster = Cluster::connect("127.0.0.1:9").unwrap();
        for run in [keep_time, work] {
            for round in 0..2000 {
                let signal = Signal::new(Clock::new());
                let (weak, own) = (Arc::downgrade(&cluster), signal.clone());
                let thread = std::thread::spawn(move || run(&weak, &own));
                for _ in 0..round % 100 {
                    signal.tick();
                    signal.poke();
                }
                signal.stop();
                thread.join().unwrap();
            }
        }
    }

    #[test]
    fn a_turn_that_panics_is_not_the_last() {
        let signal = Signal::new(Clock::new());
        let before = signal.clock.now_ms();
        assert!(surviving(&signal, || panic!("a panic that a test wants")) >= before + RETRY_AFTER);
        assert_eq!(surviving(&signal, || 7), 7);
    }
}
