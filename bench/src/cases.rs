//! The cases, and how each is measured.

use crate::client::{self, Client};
use crate::drain::Drain;
use crate::frame::{Header, Response, SendTemplate};
use crate::latency;
use crate::load::{self, Tally, Work};
use crate::peer::{cpu, Peer, Running};
use crate::record;
use crate::report::{Better, Figure};
use crate::stats::{median, Histogram};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long everything takes.
pub struct Plan {
    /// Starts of Apache's broker; ours, which is quicker, is started three times as often.
    pub starts: usize,
    /// From the first send until idle memory is read.
    pub settle: Duration,
    /// Load before anything is measured, so that the JIT has compiled what it will.
    pub warm_up: Duration,
    /// Of a send case.
    pub send: Duration,
    /// Of a pull case.
    pub pull: Duration,
    /// Of the end-to-end case.
    pub latency: Duration,
    /// Messages of 1 KiB in each of the four queues that are pulled.
    pub backlog: u64,
    /// A send case ends when about this many bytes were sent.
    pub most_bytes: u64,
}

/// One case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// From spawning the processes to the first accepted send.
    Start,
    /// Resident memory of an idle name server and broker.
    Idle,
    /// Sends: bytes of the body, connections, requests in flight on each.
    Send(usize, usize, usize),
    /// Catch-up pull of this many queues, a connection each.
    Pull(usize),
    /// Producer to consumer at 1,000 messages a second, the consumer's pull held by the broker.
    Latency,
    /// The same, while four connections send 1 KiB to another topic, one in flight on each.
    LoadedLatency,
    /// A backlog consumed by as many as its topic has queues, and by ten times as many after it was moved to another.
    Drain,
    /// As Send, with SYNC_FLUSH.
    Sync(usize, usize, usize),
}

/// Names on the command line; the sync ones only run when asked for.
pub const CASES: [(&str, Case); 15] = [
    ("start", Case::Start),
    ("idle", Case::Idle),
    ("send-128-1", Case::Send(128, 1, 1)),
    ("send-1k-1", Case::Send(1024, 1, 1)),
    ("send-128-4x64", Case::Send(128, 4, 64)),
    ("send-1k-4x64", Case::Send(1024, 4, 64)),
    ("send-128-16x16", Case::Send(128, 16, 16)),
    ("send-1k-16x16", Case::Send(1024, 16, 16)),
    ("pull-1", Case::Pull(1)),
    ("pull-4", Case::Pull(4)),
    ("latency", Case::Latency),
    ("latency-loaded", Case::LoadedLatency),
    ("drain", Case::Drain),
    ("sync-1", Case::Sync(1024, 1, 1)),
    ("sync-4x64", Case::Sync(1024, 4, 64)),
];

/// Runs the chosen cases against one broker, in directories below `dir`; `progress` gets each figure as it comes.
pub fn run(
    peer: &Peer,
    cases: &[Case],
    plan: &Plan,
    form: Header,
    dir: &Path,
    progress: &mut dyn FnMut(&Figure),
) -> Result<Vec<Figure>, String> {
    let is_sync = |case: &&Case| matches!(case, Case::Sync(..));
    let mut figures = Vec::new();
    let mut add = |found: Vec<Figure>| {
        found.iter().for_each(&mut *progress);
        figures.extend(found);
    };
    if cases.iter().any(|case| !is_sync(&case)) {
        let (running, millis) = start(peer, cases, plan, form, dir)?;
        if cases.contains(&Case::Start) {
            add(vec![figure("start to first send", "ms", Better::Lower, median(&millis))]);
        }
        let mut bench = Bench { running, plan, form, keys: 0, runs: 0, warm: false };
        for case in cases.iter().filter(|case| !is_sync(case)) {
            add(bench.case(*case)?);
        }
    }
    if cases.iter().any(|case| is_sync(&case)) {
        let mut running = peer.start(dir, true)?;
        running.ready(form)?;
        let mut bench = Bench { running, plan, form, keys: 0, runs: 0, warm: false };
        for case in cases.iter().filter(is_sync) {
            add(bench.case(*case)?);
        }
    }
    Ok(figures)
}

/// Starts the broker, several times when that is what is measured; the last one goes on running.
fn start(
    peer: &Peer,
    cases: &[Case],
    plan: &Plan,
    form: Header,
    dir: &Path,
) -> Result<(Running, Vec<f64>), String> {
    let starts = match (cases.contains(&Case::Start), peer) {
        (false, _) => 1,
        (true, Peer::Ferromq { .. }) => plan.starts * 3,
        (true, Peer::Apache { .. }) => plan.starts,
    };
    let mut millis = Vec::new();
    loop {
        let mut running = peer.start(dir, false)?;
        millis.push(running.ready(form)?.as_secs_f64() * 1000.0);
        if millis.len() == starts {
            return Ok((running, millis));
        }
    }
}

fn figure(case: &str, unit: &'static str, better: Better, value: f64) -> Figure {
    Figure { case: case.to_owned(), unit, better, value, more: Vec::new() }
}

fn size(bytes: usize) -> String {
    if bytes % 1024 == 0 {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

/// A running broker under test.
struct Bench<'a> {
    running: Running,
    plan: &'a Plan,
    form: Header,
    keys: u64,
    runs: u64,
    warm: bool,
}

impl Bench<'_> {
    fn case(&mut self, case: Case) -> Result<Vec<Figure>, String> {
        let loaded = !matches!(case, Case::Start | Case::Idle);
        if loaded && !self.warm {
            self.warm_up()?;
            self.warm = true;
        }
        let figures = match case {
            Case::Start => Ok(Vec::new()),
            Case::Idle => self.idle().map(|figure| vec![figure]),
            Case::Send(body, connections, window) => self.send("send", body, connections, window),
            Case::Sync(body, connections, window) => self.send("sync flush", body, connections, window),
            Case::Pull(queues) => self.pull(queues),
            Case::Latency => self.latency(),
            Case::LoadedLatency => self.loaded_latency(),
            Case::Drain => self.drain(),
        };
        figures.map_err(|text| self.running.alive().err().unwrap_or(text))
    }

    fn client(&self) -> Result<Client, String> {
        Client::connect(self.running.port, self.form)
    }

    fn fresh_topic(&mut self, queues: u32) -> Result<String, String> {
        self.runs += 1;
        let topic = format!("bench-{}", self.runs);
        self.client()?.create_topic(&topic, queues)?;
        Ok(topic)
    }

    fn idle(&self) -> Result<Figure, String> {
        sleep(self.plan.settle);
        Ok(figure("idle memory", "MB", Better::Lower, self.running.resident()? as f64 / 1e6))
    }

    /// Load of all kinds, unmeasured.
    fn warm_up(&mut self) -> Result<(), String> {
        let part = self.plan.warm_up / 5;
        let topic = self.fresh_topic(4)?;
        self.sends(&topic, 128, (4, 4), 64, part * 2)?;
        self.one_at_a_time(&topic, 1024, part)?;
        let pulls = (0..4).map(|queue| Pulls::new(self.form, &topic, queue, u64::MAX)).collect();
        load::run(self.running.port, pulls, 1, part)?;
        latency::run(self.running.port, self.form, &self.fresh_topic(1)?, part).map(|_| ())
    }

    /// Sends from `connections` spread over `queues`, until the time or the plan's bytes are used up.
    fn sends(
        &mut self,
        topic: &str,
        body: usize,
        (connections, queues): (usize, usize),
        window: usize,
        time: Duration,
    ) -> Result<Tally, String> {
        let share = self.plan.most_bytes / (body as u64 + 256) / connections as u64;
        let works = (0..connections).map(|n| self.sender(topic, n % queues, body, share)).collect();
        load::run(self.running.port, works, window, time)
    }

    fn sender(&mut self, topic: &str, queue: usize, body: usize, left: u64) -> Sends {
        self.keys += 1;
        let bytes: Vec<u8> = (0..body).map(|n| (n * 31 + n / 7) as u8).collect();
        let template = SendTemplate::new(self.form, topic, queue as u32, &bytes, self.keys, client::now_ms());
        Sends { template, left, next_key: 0 }
    }

    fn one_at_a_time(&mut self, topic: &str, body: usize, time: Duration) -> Result<Tally, String> {
        let template = self.sender(topic, 0, body, 0).template;
        let mut client = self.client()?;
        let mut tally = Tally::default();
        let start = Instant::now();
        let mut before = start;
        while tally.elapsed < time {
            let response = client.call(|out, opaque| template.append(out, opaque, tally.latency.len()))?;
            let answer = client::success(&response).map(|()| 1);
            let now = Instant::now();
            tally.count(answer, now - before);
            tally.elapsed = now - start;
            before = now;
        }
        Ok(tally)
    }

    fn send(
        &mut self,
        kind: &str,
        body: usize,
        connections: usize,
        window: usize,
    ) -> Result<Vec<Figure>, String> {
        let queues = if connections > 4 { 8 } else { 4 };
        let topic = self.fresh_topic(queues as u32)?;
        let first = self.client()?.log_end(&topic, 0)?;
        let meter = Meter::start(&self.running);
        let tally = if connections * window == 1 {
            self.one_at_a_time(&topic, body, self.plan.send)?
        } else {
            self.sends(&topic, body, (connections, queues), window, self.plan.send)?
        };
        let mut more = meter.stop(&self.running, &tally);
        let written = self.client()?.log_end(&topic, 1)? - first;
        more.push(("bytes_written", written as f64));
        let shape = match connections * window {
            1 => "one in flight".to_owned(),
            _ => format!("{connections}x{window}"),
        };
        let case = format!("{kind} {}, {shape}", size(body));
        Ok(vec![Figure { more, ..figure(&case, "msg/s", Better::Higher, checked(&tally, &case)?) }])
    }

    fn pull(&mut self, queues: usize) -> Result<Vec<Figure>, String> {
        let topic = self.fresh_topic(queues as u32)?;
        let backlog = self.plan.backlog;
        let first = self.client()?.log_end(&topic, 0)?;
        let works = (0..queues).map(|queue| self.sender(&topic, queue, 1024, backlog)).collect();
        let filled = load::run(self.running.port, works, 64, Duration::from_secs(300))?;
        checked(&filled, "filling the queues")?;
        let mut client = self.client()?;
        let written = client.log_end(&topic, 1)? - first;
        for queue in 0..queues as u32 {
            client.wait_for(&topic, queue, backlog - 1)?;
        }
        let meter = Meter::start(&self.running);
        let works = (0..queues).map(|queue| Pulls::new(self.form, &topic, queue as u32, backlog)).collect();
        let tally = load::run(self.running.port, works, 1, self.plan.pull)?;
        let mut more = meter.stop(&self.running, &tally);
        more.push(("bytes_written", written as f64));
        let case = format!("pull 1 KiB, {queues} queue{}", if queues == 1 { "" } else { "s" });
        Ok(vec![Figure { more, ..figure(&case, "msg/s", Better::Higher, checked(&tally, &case)?) }])
    }

    fn latency(&mut self) -> Result<Vec<Figure>, String> {
        let topic = self.fresh_topic(1)?;
        let seen = latency::run(self.running.port, self.form, &topic, self.plan.latency)?;
        Ok(percentiles("end to end", &seen))
    }

    fn loaded_latency(&mut self) -> Result<Vec<Figure>, String> {
        let (topic, other) = (self.fresh_topic(1)?, self.fresh_topic(4)?);
        let works = (0..4).map(|queue| self.sender(&other, queue, 1024, u64::MAX)).collect();
        let (port, form, time) = (self.running.port, self.form, self.plan.latency);
        std::thread::scope(|scope| {
            // Until the last message was received, and a little longer.
            let load = scope.spawn(move || load::run(port, works, 1, time + Duration::from_millis(500)));
            let seen = latency::run(port, form, &topic, time);
            let tally = load.join().map_err(|_| "the load panicked".to_owned())??;
            let mut figures = percentiles("beside load", &seen?);
            let rate = checked(&tally, "the load beside")?;
            figures.iter_mut().for_each(|figure| figure.more.push(("load_per_s", rate)));
            Ok(figures)
        })
    }

    fn drain(&mut self) -> Result<Vec<Figure>, String> {
        const FEW: u32 = 4;
        const MANY: u32 = 40;
        let each = (self.plan.backlog / 20).clamp(40, 1000);
        let (from, to) = (self.fresh_topic(FEW)?, self.fresh_topic(MANY)?);
        let works = (0..FEW as usize).map(|queue| self.sender(&from, queue, 128, each)).collect();
        checked(&load::run(self.running.port, works, 8, Duration::from_secs(60))?, "filling the queues")?;
        let mut client = self.client()?;
        (0..FEW).try_for_each(|queue| client.wait_for(&from, queue, each - 1))?;
        let drain = Drain { port: self.running.port, form: self.form };
        let count = each * u64::from(FEW);
        let before = drain.consume(&from, FEW, count)?;
        let moved = drain.scatter(&from, FEW, &to, MANY, count)?;
        let after = drain.consume(&to, MANY, count)?;
        let rate = |took: Duration| count as f64 / took.as_secs_f64();
        let row = |case: &str, unit, value| Figure {
            more: vec![("messages", count as f64), ("moved_ms", moved.as_secs_f64() * 1e3)],
            ..figure(case, unit, Better::Higher, value)
        };
        Ok(vec![
            row("drain, 4 queues and consumers", "msg/s", rate(before)),
            row("drain, moved to 40", "msg/s", rate(after)),
            row("drain, 40 to 4, moving counted", "x", before.as_secs_f64() / (moved + after).as_secs_f64()),
        ])
    }
}

fn percentiles(what: &str, seen: &Histogram) -> Vec<Figure> {
    let row = |(name, p): (&str, f64)| Figure {
        more: vec![("messages", seen.len() as f64)],
        ..figure(&format!("{what} {name}"), "us", Better::Lower, seen.micros(p))
    };
    [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)].map(row).into()
}

/// The rate; an error when nothing succeeded, so that no table is made of failures.
fn checked(tally: &Tally, case: &str) -> Result<f64, String> {
    match (&tally.first_error, tally.messages) {
        (Some(text), 0) => Err(format!("{case}: every response was an error, the first: {text}")),
        (None, 0) => Err(format!("{case}: no message in {:?}", tally.elapsed)),
        (first_error, _) => {
            if let Some(text) = first_error {
                eprintln!("{case}: {} responses were errors, the first: {text}", tally.errors);
            }
            Ok(tally.rate())
        }
    }
}

/// Processor time around a case.
struct Meter {
    broker: f64,
    load: f64,
}

impl Meter {
    fn start(running: &Running) -> Self {
        Meter { broker: running.cpu(), load: cpu("self") }
    }

    fn stop(self, running: &Running, tally: &Tally) -> Vec<(&'static str, f64)> {
        let each = |seconds: f64| seconds * 1e6 / tally.messages as f64;
        vec![
            ("messages", tally.messages as f64),
            ("errors", tally.errors as f64),
            ("seconds", tally.elapsed.as_secs_f64()),
            ("request_p50_us", tally.latency.micros(50.0)),
            ("request_p99_us", tally.latency.micros(99.0)),
            ("broker_cpu_us_per_message", each(running.cpu() - self.broker)),
            ("load_cpu_us_per_message", each(cpu("self") - self.load)),
        ]
    }
}

/// Sends until `left` are out.
struct Sends {
    template: SendTemplate,
    left: u64,
    next_key: u64,
}

impl Work for Sends {
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.template.append(out, opaque, self.next_key);
        self.next_key += 1;
        true
    }

    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
        client::success(response).map(|()| 1)
    }
}

/// Pulls a queue from its beginning, again and again: a backlog of fixed size serves for any length of run.
struct Pulls {
    form: Header,
    topic: String,
    queue: u32,
    offset: u64,
    /// Starts again from here, or where the broker has nothing more.
    end: u64,
}

impl Pulls {
    fn new(form: Header, topic: &str, queue: u32, end: u64) -> Self {
        Pulls { form, topic: topic.to_owned(), queue, offset: 0, end }
    }
}

impl Work for Pulls {
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
        client::pull_request(out, self.form, opaque, &self.topic, self.queue, self.offset, false);
        true
    }

    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
        if self.end == u64::MAX && response.code == 19 {
            self.offset = 0;
            return Ok(0);
        }
        client::success(response)?;
        let (mut next, mut gap) = (self.offset, None);
        let count = record::walk(response.body, |offset, _| {
            gap = gap.or((offset != next).then_some((next, offset)));
            next += 1;
        })?;
        if let Some((want, have)) = gap {
            return Err(format!("{} queue {}: message {have} in place of {want}", self.topic, self.queue));
        }
        self.offset = if next >= self.end { 0 } else { next };
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_stop_at_their_number() {
        let template = SendTemplate::new(Header::Binary, "t", 0, b"b", 1, 0);
        let mut work = Sends { template, left: 2, next_key: 0 };
        let mut out = Vec::new();
        let asked: Vec<bool> = (0..3).map(|n| work.ask(crate::frame::OPAQUE_BASE + n, &mut out)).collect();
        assert_eq!(asked, [true, true, false]);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!((size(128).as_str(), size(1024).as_str()), ("128 B", "1 KiB"));
    }
}
