//! `ferromq bench latency`: from the call of a send until a consumer has the message.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ferromq::client::{Consumer, ConsumerOptions, Producer, SendOptions, StartFrom};
use ferromq::message::Message;
use ferromq::{Error, ErrorKind, Instance};

use super::latency::Latency;
use super::report::Report;
use super::{producer, report, watch, Common, Seen, PAUSE};
use crate::Failure;

/// How long a poll waits before it looks whether to go on.
const WAIT: Duration = Duration::from_millis(50);
/// What says that a message is of this run, before the time of its sending.
const MARK: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    /// Messages a second
    #[arg(short, long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Bytes of each body
    #[arg(short, long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(16..=4_194_304))]
    size: u32,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What both ends know of a run.
struct Run {
    epoch: Instant,
    /// Other messages in the topic are passed over.
    mark: [u8; MARK],
}

pub fn run(args: &Args) -> Result<Report, Failure> {
    let seen = Seen::new(args.common.warm_up.unwrap_or(1), 2);
    let (sends, receives) = (args.common.connect()?, args.common.connect()?);
    let producer = producer(&sends, 0)?;
    let run = Arc::new(Run { epoch: Instant::now(), mark: mark() });
    // The topic exists then, and its route is known.
    producer.send(&Message::new(&*args.common.topic, "ferromq bench latency begins"))?;
    let consumer = consumer(&receives, &args.common.topic)?;
    let receiver = thread::spawn({
        let (seen, run) = (seen.clone(), run.clone());
        move || receive(&consumer, &run, &seen)
    });
    let sender = thread::spawn({
        let (seen, topic, size, rate) =
            (seen.clone(), args.common.topic.clone(), args.size as usize, args.rate);
        move || send(&producer, &topic, size, rate, &run, &seen)
    });
    let measured = watch(&args.common, &seen, || None)?;
    let panicked = |_| Error::new(ErrorKind::Internal, "bench latency", "a thread of the bench panicked");
    sender.join().map_err(panicked)?;
    let latency = receiver.join().map_err(panicked)?;
    sends.close()?;
    receives.close()?;
    let mut report = report("latency", &args.common, &seen, measured, latency);
    report.settings = vec![("rate", u64::from(args.rate)), ("body bytes", u64::from(args.size))];
    Ok(report)
}

/// Tells messages of this run from those of others: the process and the time.
fn mark() -> [u8; MARK] {
    let nanos = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    (nanos ^ u64::from(std::process::id()).rotate_left(40)).to_be_bytes()
}

/// One that has all queues of the topic, from their ends.
fn consumer(instance: &Instance, topic: &str) -> Result<Consumer, Failure> {
    let consumer = instance.consumer_with(ConsumerOptions {
        consumer_group: None,
        consume_from_where: StartFrom::Last,
        auto_commit: false,
        ..ConsumerOptions::default()
    })?;
    let queues = consumer.topic_queues(topic)?;
    consumer.assign(&queues)?;
    consumer.start()?;
    queues.iter().try_for_each(|queue| consumer.seek_to_end(queue))?;
    Ok(consumer)
}

/// Sends what is due, whether answers come or not.
fn send(producer: &Producer, topic: &str, size: usize, rate: u32, run: &Run, seen: &Arc<Seen>) {
    seen.gate.wait();
    let start = Instant::now();
    let mut number: u64 = 0;
    while seen.is_open() {
        let due = start + Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate));
        thread::sleep(due.saturating_duration_since(Instant::now()).min(WAIT));
        if Instant::now() < due {
            continue;
        }
        let mut body = vec![b'x'; size];
        body[..MARK].copy_from_slice(&run.mark);
        body[MARK..MARK + 8].copy_from_slice(&(run.epoch.elapsed().as_nanos() as u64).to_be_bytes());
        let told = seen.clone();
        producer.send_callback(&Message::new(topic, body), &SendOptions::default(), move |sent| match sent {
            Ok(sent) => told.note(&sent),
            Err(error) => told.fault(error),
        });
        number += 1;
    }
    // Waits for those under way, which a drop would not.
    if let Err(error) = producer.close() {
        seen.fault(error);
    }
}

fn receive(consumer: &Consumer, run: &Run, seen: &Seen) -> Latency {
    let mut latency = Latency::default();
    seen.gate.wait();
    while seen.is_open() {
        match consumer.poll(WAIT) {
            Ok(messages) => {
                let now = run.epoch.elapsed();
                for message in &messages {
                    let Some(sent) = sent_at(&message.body, run) else { continue };
                    if seen.is_measured() {
                        latency.record(now.saturating_sub(sent));
                        seen.count(1, message.body.len());
                    }
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

fn sent_at(body: &[u8], run: &Run) -> Option<Duration> {
    let nanos = body.strip_prefix(&run.mark)?.first_chunk()?;
    Some(Duration::from_nanos(u64::from_be_bytes(*nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_this_run_have_a_time() {
        let run = Run { epoch: Instant::now(), mark: *b"the run!" };
        let body = [&b"the run!"[..], &1_500u64.to_be_bytes(), b"xxxx"].concat();
        assert_eq!(sent_at(&body, &run), Some(Duration::from_nanos(1_500)));
        for other in [&b"the run?\0\0\0\0\0\0\0\0"[..], b"the run!\0", b""] {
            assert_eq!(sent_at(other, &run), None);
        }
    }
}
