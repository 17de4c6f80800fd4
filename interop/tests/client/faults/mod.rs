//! Brokers and name server of ours fail again and again, in every way: nothing acknowledged is lost, and the ordered
//! group keeps its order.
//!
//! `FERROMQ_FAULT_SEED` repeats a run's choices, `FERROMQ_FAULT_SECONDS` sets how long the faults go on; with
//! `FERROMQ_SOAK=1` five minutes.

mod ledger;
mod proxy;

use crate::Run;
use ferromq::{
    ClientOptions, ConsumeContext, ConsumeStatus, ConsumerOptions, Instance, Message, MessageQueue,
    OrderlyContext, OrderlyStatus, ProducerOptions, PushConsumer, SendOptions, StoredMessage,
};
use ferromq_interop::process::{free_port, Process};
use ferromq_interop::server::{set, settings, start_broker, start_namesrv, Maker};
use ferromq_interop::Outcome;
use ledger::{Ledger, Mark};
use proxy::Proxy;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOPIC: &str = "faults";
const PRODUCERS: usize = 4;
/// Every group, and whether it consumes in order; two members share the ordered one.
const CONSUMERS: &[(&str, bool)] =
    &[("G-one", false), ("G-two", false), ("G-ordered", true), ("G-ordered", true)];

/// Numbers that look random and can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// A broker with its proxy; the process may be gone for a while.
struct Broker {
    name: &'static str,
    port: u16,
    store: PathBuf,
    process: Option<Process>,
    proxy: Proxy,
}

/// The servers that fail.
struct Cluster<'a> {
    run: &'a Run,
    namesrv_port: u16,
    namesrv: Option<Process>,
    brokers: Vec<Broker>,
}

impl<'a> Cluster<'a> {
    fn start(run: &'a Run) -> Outcome<Cluster<'a>> {
        let mut cluster = Cluster { run, namesrv_port: free_port()?, namesrv: None, brokers: Vec::new() };
        cluster.start_namesrv()?;
        for name in ["faults-a", "faults-b"] {
            let port = free_port()?;
            let store = run.place.subdir(&format!("data-{name}"))?;
            cluster.brokers.push(Broker { name, port, store, process: None, proxy: Proxy::start(port)? });
        }
        cluster.start_broker(0)?;
        cluster.start_broker(1)?;
        Ok(cluster)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.namesrv_port)
    }

    fn start_namesrv(&mut self) -> Outcome {
        self.namesrv = Some(start_namesrv(&self.run.place, Maker::Ours, "faults", self.namesrv_port)?);
        Ok(())
    }

    fn start_broker(&mut self, at: usize) -> Outcome {
        let address = self.address();
        let broker = &mut self.brokers[at];
        let mut all = settings("1s");
        for (key, value) in [
            ("brokerName", broker.name),
            ("bindAddress", "127.0.0.1"),
            ("brokerIP1", proxy::HOST),
            // A name server that comes back knows nobody.
            ("registerNameServerPeriod", "10000"),
        ] {
            set(&mut all, key, value);
        }
        let process = start_broker(
            &self.run.place,
            Maker::Ours,
            broker.name,
            broker.port,
            &address,
            &broker.store,
            &all,
        )?;
        broker.process = Some(process);
        Ok(())
    }

    /// One fault, and its repair.
    fn fault(&mut self, random: &mut Random, maker: &Instance) -> Outcome<String> {
        let at = random.below(2) as usize;
        let name = self.brokers[at].name;
        let pause = random.millis(50, 1500);
        match random.below(10) {
            0..=3 => {
                self.brokers[at].process.take().expect("it runs").kill();
                std::thread::sleep(pause);
                self.start_broker(at)?;
                Ok(format!("{name} killed for {pause:?}"))
            }
            4 => {
                self.namesrv.take().expect("it runs").kill();
                std::thread::sleep(2 * pause);
                self.start_namesrv()?;
                Ok(format!("name server killed for {:?}", 2 * pause))
            }
            5 | 6 => Ok(format!("{} connections of {name} reset", self.brokers[at].proxy.reset())),
            7 => {
                let process = self.brokers[at].process.as_ref().expect("it runs");
                process.freeze(true);
                std::thread::sleep(pause);
                self.brokers[at].process.as_ref().expect("it runs").freeze(false);
                Ok(format!("{name} frozen for {pause:?}"))
            }
            8 => {
                let status =
                    self.brokers[at].process.take().expect("it runs").terminate(Duration::from_secs(30))?;
                std::thread::sleep(pause);
                self.start_broker(at)?;
                Ok(format!("{name} left ({status}) and came back after {pause:?}"))
            }
            _ => {
                let queues = 4 + random.below(5) as i32;
                // It may fail while servers are away; then the count stays.
                let done = maker.create_topic(TOPIC, queues).is_ok();
                Ok(format!("queues changed to {queues}: {done}"))
            }
        }
    }
}

fn connect(ns: &str, name: &str) -> Outcome<Instance> {
    let mut options = ClientOptions::new(ns);
    for (key, value) in [
        ("pollNameServerInterval", "500"),
        ("heartbeatBrokerInterval", "1000"),
        ("rebalanceInterval", "1000"),
        ("persistConsumerOffsetInterval", "500"),
        ("instanceName", name),
    ] {
        options.set(key, value).map_err(|e| e.to_string())?;
    }
    ferromq::connect_with(options).map_err(|e| e.to_string())
}

/// Sends numbered messages to all queues in turn until told to stop, each again until it is acknowledged.
fn produce(producer: usize, instance: &Instance, ledger: &Ledger, over: &AtomicBool) -> Outcome {
    let mut options = ProducerOptions::new("P-faults");
    options.set("sendMsgTimeout", "2000").map_err(|e| e.to_string())?;
    let sender = instance.producer_with(options).map_err(|e| e.to_string())?;
    let mut numbers: HashMap<MessageQueue, u64> = HashMap::new();
    let mut failures_in_a_row = 0;
    while !over.load(Ordering::Relaxed) {
        let queues = sender.queues(TOPIC).unwrap_or_default();
        for queue in queues {
            let number = numbers.entry(queue.clone()).or_insert(0);
            let place = format!("{}:{}", queue.broker_name, queue.queue_id);
            let mark = Mark { producer, queue: place, number: *number + 1 };
            let message = Message::new(TOPIC, mark.body());
            match sender.send_with(&message, &SendOptions::default().with_queue(queue)) {
                Ok(sent) => {
                    *number += 1;
                    failures_in_a_row = 0;
                    ledger.acknowledged(mark, sent.queue_offset);
                }
                Err(error) => {
                    ledger.failed(format!("{:?}", error.kind()));
                    failures_in_a_row += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            if failures_in_a_row > 2000 {
                return Err(format!("producer {producer} cannot send any more"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}

fn consume(
    instance: &Instance,
    group: &'static str,
    ordered: bool,
    ledger: &Arc<Ledger>,
) -> Outcome<PushConsumer> {
    let mut options = ConsumerOptions::new(group);
    let text = |e: ferromq::Error| e.to_string();
    options.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").map_err(text)?;
    options.set("consumeThreadMin", "2").map_err(text)?;
    let consumer = instance.push_consumer_with(options).map_err(text)?;
    consumer.subscribe(TOPIC, "*").map_err(text)?;
    let ledger = ledger.clone();
    let note = move |messages: &[StoredMessage]| {
        for mark in messages.iter().filter_map(|message| Mark::parse(&message.body)) {
            ledger.consumed(group, ordered, mark);
        }
    };
    if ordered {
        consumer.listen_orderly(move |messages: &[StoredMessage], _: &OrderlyContext| {
            note(messages);
            OrderlyStatus::Success
        })
    } else {
        consumer.listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            note(messages);
            ConsumeStatus::Success
        })
    }
    .map_err(text)?;
    consumer.start().map_err(text)?;
    Ok(consumer)
}

/// The run.
pub fn run(run: &Run) {
    if run.report.wants("faults") {
        run.report.case("faults", || scenario(run));
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn scenario(run: &Run) -> Outcome {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |d| d.as_millis() as u64);
    let seed = number_of("FERROMQ_FAULT_SEED").unwrap_or(now % 1_000_000);
    let usual = if std::env::var_os("FERROMQ_SOAK").is_some() { 300 } else { 15 };
    let seconds = number_of("FERROMQ_FAULT_SECONDS").unwrap_or(usual);
    run.report.note(&format!("faults for {seconds} s, FERROMQ_FAULT_SEED={seed}"));
    faults(run, seed, Duration::from_secs(seconds)).map_err(|why| format!("FERROMQ_FAULT_SEED={seed}: {why}"))
}

fn faults(run: &Run, seed: u64, time: Duration) -> Outcome {
    let mut random = Random(seed);
    let mut cluster = Cluster::start(run)?;
    let ns = cluster.address();
    let maker = connect(&ns, "maker")?;
    crate::eventually("the topic", || {
        maker.create_topic(TOPIC, 4).map_err(|e| e.to_string())?;
        let queues = maker.queues(TOPIC).map_err(|e| e.to_string())?.len();
        crate::same("queues", &8, &queues)
    })?;
    let ledger = Arc::new(Ledger::default());
    let mut consumers = Vec::new();
    for (at, (group, ordered)) in CONSUMERS.iter().enumerate() {
        let instance = connect(&ns, &format!("consumer-{at}"))?;
        let consumer = consume(&instance, group, *ordered, &ledger)?;
        consumers.push((instance, consumer));
    }
    let over = AtomicBool::new(false);
    let mut log = Vec::new();
    std::thread::scope(|threads| {
        let mut producing = Vec::new();
        for producer in 0..PRODUCERS {
            let instance = connect(&ns, &format!("producer-{producer}"))?;
            let (ledger, over) = (&ledger, &over);
            producing.push(threads.spawn(move || produce(producer, &instance, ledger, over)));
        }
        let end = Instant::now() + time;
        let mut outcome = Ok(());
        while Instant::now() < end && outcome.is_ok() {
            std::thread::sleep(random.millis(300, 2500));
            match cluster.fault(&mut random, &maker) {
                Ok(what) => log.push(what),
                Err(why) => outcome = Err(why),
            }
        }
        over.store(true, Ordering::Relaxed);
        let sent: Outcome =
            producing.into_iter().try_for_each(|p| p.join().unwrap_or_else(|_| Err("panicked".into())));
        outcome.and(sent)
    })
    .map_err(|why| format!("{why}; faults: {log:?}"))?;
    // Whatever is still under way has this long; the servers all run.
    let end = Instant::now() + Duration::from_secs(60);
    while ledger.missing() > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    let holders = || -> Vec<String> {
        let of = |(_, consumer): &(Instance, PushConsumer)| {
            let queues = consumer.queues().into_iter().map(|q| format!("{}:{}", q.broker_name, q.queue_id));
            format!("{}: {:?}", consumer.group(), queues.collect::<Vec<_>>())
        };
        consumers.iter().map(of).collect()
    };
    let words = ledger.close(3).map_err(|why| format!("{why}; queues: {:?}; faults: {log:?}", holders()))?;
    run.report.note(&format!("seed {seed}, {} faults; {words}", log.len()));
    for (instance, consumer) in consumers {
        consumer.close().map_err(|e| e.to_string())?;
        instance.close().map_err(|e| e.to_string())?;
    }
    maker.close().map_err(|e| e.to_string())
}
