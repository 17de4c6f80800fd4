//! `ferromq bench`: what a cluster takes and gives, through the public client.

mod end_to_end;
mod latency;
mod pull;
mod report;
mod send;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use ferromq::client::{Producer, ProducerOptions, SendStatus, Sent};
use ferromq::{Error, ErrorKind, Instance};
use indicatif::{ProgressBar, ProgressStyle};

use crate::process::{connect, stop_flag};
use crate::tls::Tls;
use crate::Failure;
use latency::Latency;
use report::Report;

/// How often the progress is shown, and signals and the end are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a failure, before the same is tried again: a broker that refuses everything is not to be hammered.
const PAUSE: Duration = Duration::from_millis(10);

#[derive(clap::Subcommand)]
pub enum Command {
    /// Sends messages as fast as their answers allow; they stay in the topic
    Send(send::Args),
    /// Reads a topic from its first message on, without a group, so that nobody's progress changes
    Pull(pull::Args),
    /// Sends at a steady rate and consumes: how long messages take from one to the other
    Latency(end_to_end::Args),
}

/// What every bench is told.
#[derive(clap::Args)]
struct Common {
    /// Name servers, host:port;host:port [default: the environment's NAMESRV_ADDR, else 127.0.0.1:9876]
    #[arg(short, long, value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// Topic; brokers that may create topics create it
    #[arg(short, long, default_value = "ferromq-bench")]
    topic: String,
    /// How long is measured
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Before it, for so long, the same without being measured [default: 1, where a topic is read once 0]
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=3_600))]
    warm_up: Option<u64>,
    /// Writes one JSON object instead of lines for people
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tls: Tls,
}

impl Common {
    fn connect(&self) -> Result<Instance, Failure> {
        connect(self.namesrv.as_deref(), &self.tls)
    }
}

/// A producer that counts each attempt: what is sent again would hide the first one's failure. Its bodies travel and are
/// stored at their length: they are all one letter, and compressing that is all that would be measured. So many bytes may
/// be under way.
fn producer(instance: &Instance, bytes_in_flight: usize) -> ferromq::Result<Producer> {
    let usual = ProducerOptions::default();
    instance.producer_with(ProducerOptions {
        producer_group: "ferromq-bench".into(),
        retry_times_when_send_failed: 0,
        retry_times_when_send_async_failed: 0,
        compress_msg_body_over_howmuch: i32::MAX as usize,
        back_pressure_for_async_send_size: usual.back_pressure_for_async_send_size.max(bytes_in_flight),
        ..usual
    })
}

/// What the threads of a bench count.
struct Seen {
    /// All of them and who watches them begin together.
    gate: Barrier,
    warm_up: Duration,
    open: AtomicBool,
    measured: AtomicBool,
    /// By a signal, before its time was over.
    stopped: AtomicBool,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    first_error: Mutex<Option<Error>>,
    unsafe_sends: AtomicU64,
    first_unsafe: Mutex<Option<SendStatus>>,
}

impl Seen {
    /// For so many threads, with a warm-up of so many seconds.
    fn new(warm_up: u64, threads: usize) -> Arc<Seen> {
        Arc::new(Seen {
            gate: Barrier::new(threads + 1),
            warm_up: Duration::from_secs(warm_up),
            open: AtomicBool::new(true),
            measured: AtomicBool::new(warm_up == 0),
            stopped: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_error: Mutex::new(None),
            unsafe_sends: AtomicU64::new(0),
            first_unsafe: Mutex::new(None),
        })
    }

    /// Whether to go on.
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    fn is_measured(&self) -> bool {
        self.measured.load(Ordering::Relaxed)
    }

    fn count(&self, messages: usize, bytes: usize) {
        if self.is_measured() {
            self.messages.fetch_add(messages as u64, Ordering::Relaxed);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Notes a message that is stored, but not as safely as the broker was told to store it, also one of the warm-up.
    fn note(&self, sent: &Sent) {
        if sent.status != SendStatus::Ok {
            self.unsafe_sends.fetch_add(1, Ordering::Relaxed);
            let mut first = self.first_unsafe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            first.get_or_insert(sent.status);
        }
    }

    /// Notes an error, also one of the warm-up.
    fn fault(&self, error: Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(error);
    }
}

/// Shows progress until the time is over, `ended` says when it was, or a signal comes; returns how long was measured.
fn watch(common: &Common, seen: &Seen, ended: impl Fn() -> Option<Instant>) -> Result<Duration, Failure> {
    let stopped = stop_flag()?;
    let (warm_up, duration) = (seen.warm_up, Duration::from_secs(common.duration));
    let bar = ProgressBar::new((warm_up + duration).as_millis() as u64);
    let style = ProgressStyle::with_template("{bar:30} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    // Before the others begin: they may be through before this thread goes on.
    let begun = Instant::now();
    seen.gate.wait();
    let (mut start, mut measured) = (begun, Duration::ZERO);
    while !stopped.load(Ordering::SeqCst) && measured < duration {
        let left = duration.saturating_sub(measured);
        std::thread::sleep(LOOK_EVERY.min(left.max(Duration::from_millis(1))));
        if !seen.is_measured() && begun.elapsed() >= warm_up {
            start = Instant::now();
            seen.measured.store(true, Ordering::Relaxed);
        }
        if seen.is_measured() {
            measured = start.elapsed();
        }
        bar.set_position(begun.elapsed().as_millis() as u64);
        bar.set_message(progress(seen, measured));
        if let Some(end) = ended() {
            measured = if seen.is_measured() { end.saturating_duration_since(start) } else { Duration::ZERO };
            break;
        }
    }
    seen.stopped.store(stopped.load(Ordering::SeqCst), Ordering::Relaxed);
    seen.open.store(false, Ordering::Relaxed);
    bar.finish_and_clear();
    Ok(measured)
}

fn progress(seen: &Seen, measured: Duration) -> String {
    if measured.is_zero() {
        return "warming up".into();
    }
    let (messages, errors) = (seen.messages.load(Ordering::Relaxed), seen.errors.load(Ordering::Relaxed));
    let rate = report::grouped(messages as f64 / measured.as_secs_f64());
    let failed = if errors > 0 { format!(", {errors} errors") } else { String::new() };
    format!("{} messages, {rate} a second{failed}", report::grouped(messages as f64))
}

pub fn run(command: Command) -> Result<(), Failure> {
    let (report, json) = match command {
        Command::Send(args) => (send::run(&args)?, args.common.json),
        Command::Pull(args) => (pull::run(&args)?, args.common.json),
        Command::Latency(args) => (end_to_end::run(&args)?, args.common.json),
    };
    report.print(json)?;
    match report.failure {
        // Figures made of failures only are no figures.
        Some(error) if report.messages == 0 => Err(error.into()),
        None if report.messages == 0 && report.due => {
            let context = format!("topic {}: no message in {:.2} s", report.topic, report.seconds);
            Err(Error::new(ErrorKind::Timeout, "bench", context).into())
        }
        _ => Ok(()),
    }
}

/// What was counted, put together with what the threads saw of latency.
fn report(what: &'static str, common: &Common, seen: &Seen, measured: Duration, latency: Latency) -> Report {
    let failure = seen.first_error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    Report {
        what,
        topic: common.topic.clone(),
        settings: Vec::new(),
        seconds: measured.as_secs_f64(),
        messages: seen.messages.load(Ordering::Relaxed),
        bytes: seen.bytes.load(Ordering::Relaxed),
        errors: seen.errors.load(Ordering::Relaxed),
        failure,
        due: !seen.stopped.load(Ordering::Relaxed),
        unsafe_sends: seen.unsafe_sends.load(Ordering::Relaxed),
        first_unsafe: seen.first_unsafe.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take(),
        latency,
    }
}
