//! `ferromq bench send`: connections that each keep so many sends in flight.

use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use ferromq::client::{Producer, SendOptions};
use ferromq::message::Message;
use ferromq::{Error, Instance};

use super::latency::Latency;
use super::report::Report;
use super::{producer, report, watch, Common, Seen, PAUSE};
use crate::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Connections, each with a client and a producer of its own
    #[arg(short, long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Sends that each connection keeps unanswered; 1 waits for each
    #[arg(short, long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    in_flight: u16,
    /// Bytes of each body
    #[arg(short, long, value_name = "BYTES", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    size: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

pub fn run(args: &Args) -> Result<Report, Failure> {
    let in_flight_bytes = u64::from(args.in_flight) * u64::from(args.size);
    let Ok(bytes) = i32::try_from(in_flight_bytes) else {
        let text = format!("{in_flight_bytes} bytes in flight on a connection: --in-flight times --size has to be below 2 GiB");
        return Err(Failure::Usage(text));
    };
    let seen = Seen::new(args.common.warm_up.unwrap_or(1), usize::from(args.connections));
    let mut threads = Vec::new();
    for _ in 0..args.connections {
        let instance = args.common.connect()?;
        let producer = producer(&instance, bytes as usize)?;
        // Before the clock runs: the route is asked for, and what is wrong with the topic is said at once.
        producer.send(&message(args))?;
        let (message, window, seen) = (message(args), usize::from(args.in_flight), seen.clone());
        threads.push(thread::spawn(move || {
            seen.gate.wait();
            let latency = if window == 1 {
                one_by_one(&producer, &message, &seen)
            } else {
                in_flight(&producer, &message, window, &seen)
            };
            (instance, latency)
        }));
    }
    let measured = watch(&args.common, &seen, || None)?;
    let mut latency = Latency::default();
    for thread in threads {
        let (instance, own): (Instance, Latency) = thread.join().map_err(|_| panicked())?;
        latency.add(&own);
        instance.close()?;
    }
    let mut report = report("send", &args.common, &seen, measured, latency);
    let numbers = [u64::from(args.connections), u64::from(args.in_flight), u64::from(args.size)];
    report.settings = ["connections", "in flight", "body bytes"].into_iter().zip(numbers).collect();
    Ok(report)
}

fn panicked() -> Error {
    Error::new(ferromq::ErrorKind::Internal, "bench", "a thread of the bench panicked")
}

fn message(args: &Args) -> Message {
    Message::new(&*args.common.topic, vec![b'x'; args.size as usize])
}

fn one_by_one(producer: &Producer, message: &Message, seen: &Seen) -> Latency {
    let mut latency = Latency::default();
    while seen.is_open() {
        let start = Instant::now();
        match producer.send(message) {
            Ok(sent) => {
                seen.note(&sent);
                if seen.is_measured() {
                    latency.record(start.elapsed());
                    seen.count(1, message.body.len());
                }
            }
            Err(error) => {
                seen.fault(error);
                thread::sleep(PAUSE);
            }
        }
    }
    latency
}

fn in_flight(producer: &Producer, message: &Message, window: usize, seen: &Arc<Seen>) -> Latency {
    let latency = Arc::new(Mutex::new(Latency::default()));
    let (returned, permits): (SyncSender<bool>, Receiver<bool>) = sync_channel(window);
    let (mut free, mut out) = (window, 0);
    while seen.is_open() {
        if free == 0 {
            // The channel has room for all: no callback waits, and each gives its permit back.
            match permits.recv() {
                Ok(true) => {}
                _ => thread::sleep(PAUSE),
            }
            (free, out) = (free + 1, out - 1);
        }
        let (returned, latency, seen, bytes) =
            (returned.clone(), latency.clone(), seen.clone(), message.body.len());
        let start = Instant::now();
        producer.send_callback(message, &SendOptions::default(), move |sent| {
            let well = sent.is_ok();
            match sent {
                Ok(sent) => {
                    seen.note(&sent);
                    if seen.is_measured() && seen.is_open() {
                        latency
                            .lock()
                            .unwrap_or_else(|poisoned| poisoned.into_inner())
                            .record(start.elapsed());
                        seen.count(1, bytes);
                    }
                }
                Err(error) => seen.fault(error),
            }
            let _ended = returned.send(well);
        });
        (free, out) = (free - 1, out + 1);
    }
    for _ in 0..out {
        let _answered = permits.recv();
    }
    let mut all = Latency::default();
    all.add(&latency.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    all
}
