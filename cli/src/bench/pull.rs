//! `ferromq bench pull`: how fast a topic can be read.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ferromq::client::{Consumer, ConsumerOptions, StartFrom};
use ferromq::{Error, ErrorKind};

use super::latency::Latency;
use super::report::Report;
use super::{report, watch, Common, Seen, PAUSE};
use crate::Failure;

/// How long a poll waits before it looks whether to go on.
const WAIT: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Args {
    /// Connections, each with a client of its own, which share the topic's queues; at most one a queue
    #[arg(short, long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Messages asked for at once
    #[arg(short, long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    batch: u16,
    /// Begins again at the first message when all were read; otherwise that is the end
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub fn run(args: &Args) -> Result<Report, Failure> {
    let first = args.common.connect()?;
    let mut queues = first.queues(&args.common.topic)?;
    queues.sort();
    let connections = usize::from(args.connections).min(queues.len());
    if connections == 0 {
        let context = format!("topic {} has no queues to read", args.common.topic);
        return Err(Error::new(ErrorKind::NotFound, "bench pull", context).into());
    }
    // A broker that is not there is known now: consumers keep that to themselves and try again.
    let mut held = 0;
    for queue in &queues {
        held += first.max_offset(queue)? - first.min_offset(queue)?;
    }
    let seen = Seen::new(args.common.warm_up.unwrap_or(u64::from(args.again)), connections);
    let ends: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut threads = Vec::new();
    for connection in 0..connections {
        let instance = args.common.connect()?;
        let consumer = instance.consumer_with(ConsumerOptions {
            consumer_group: None,
            consume_from_where: StartFrom::First,
            auto_commit: false,
            pull_batch_size: i32::from(args.batch),
            poll_batch: usize::from(args.batch),
            ..ConsumerOptions::default()
        })?;
        let own: Vec<_> = queues.iter().skip(connection).step_by(connections).cloned().collect();
        consumer.assign(&own)?;
        let (seen, ends, again) = (seen.clone(), ends.clone(), args.again);
        threads.push(thread::spawn(move || {
            seen.gate.wait();
            let end = read(&consumer, again, &seen);
            ends.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(end);
            instance
        }));
    }
    let measured = watch(&args.common, &seen, || {
        let ends = ends.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if ends.len() == connections {
            ends.iter().max().copied()
        } else {
            None
        }
    })?;
    for thread in threads {
        let panicked = |_| Error::new(ErrorKind::Internal, "bench pull", "a thread of the bench panicked");
        thread.join().map_err(panicked)?.close()?;
    }
    first.close()?;
    let mut report = report("pull", &args.common, &seen, measured, Latency::default());
    report.settings = vec![("connections", connections as u64), ("batch", u64::from(args.batch))];
    report.due &= held > 0;
    if report.due && measured.is_zero() {
        let context =
            "the topic was read to its end before the warm-up was over: use --warm-up 0, or --again";
        return Err(Error::new(ErrorKind::InvalidArgument, "bench pull", context).into());
    }
    Ok(report)
}

/// Returns when the last message came.
fn read(consumer: &Consumer, again: bool, seen: &Seen) -> Instant {
    let mut last = Instant::now();
    while seen.is_open() {
        match consumer.poll(WAIT) {
            Ok(messages) => {
                seen.count(messages.len(), messages.iter().map(|message| message.body.len()).sum());
                if !messages.is_empty() {
                    last = Instant::now();
                } else if consumer.is_caught_up() {
                    if !again {
                        break;
                    }
                    if let Err(error) =
                        consumer.queues().iter().try_for_each(|queue| consumer.seek_to_begin(queue))
                    {
                        seen.fault(error);
                    }
                }
            }
            Err(error) => {
                seen.fault(error);
                thread::sleep(PAUSE);
            }
        }
    }
    last
}
