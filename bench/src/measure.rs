//! How each case is measured on a running broker.

use crate::cases::{Case, Plan, Run};
use crate::client::{self, Client};
use crate::drain::Drain;
use crate::frame::{Header, SendTemplate};
use crate::java;
use crate::latency::{self, Delay};
use crate::load::{self, Tally};
use crate::paced;
use crate::peer::{cpu, Peer, Running};
use crate::report::{number, Better, Figure};
use crate::stats::Histogram;
use crate::works::{Pulls, Scatter, Sends};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sends of 1 KiB a second that Apache's broker took on two cores, for runs that were asked for the paced case by its
/// name and do not measure it.
const USUAL_TOP_RATE: f64 = 72_000.0;
/// Queues of each of the many topics.
const QUEUES_EACH: u32 = 1_000;
/// A run that is to write much takes at most this long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A figure with nothing besides.
pub fn figure(case: &str, unit: &'static str, better: Better, value: f64) -> Figure {
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
pub struct Bench<'a> {
    /// The broker.
    pub running: Running,
    run: &'a Run,
    plan: &'a Plan,
    form: Header,
    peer: &'a Peer,
    dir: PathBuf,
    keys: u64,
    topics: u64,
    warm: bool,
}

impl<'a> Bench<'a> {
    /// Of one broker; `dir` is the directory that it has files below.
    pub fn new(running: Running, run: &'a Run, peer: &'a Peer, dir: &Path) -> Self {
        let (plan, form, dir) = (&run.plan, run.form, dir.to_owned());
        Bench { running, run, plan, form, peer, dir, keys: 0, topics: 0, warm: false }
    }

    /// The figures of one case.
    pub fn case(&mut self, case: Case) -> Result<Vec<Figure>, String> {
        let loaded = !matches!(case, Case::Start | Case::Idle | Case::InProcess | Case::Sizes);
        if loaded && !self.warm {
            self.warm_up()?;
            self.warm = true;
        }
        match case {
            Case::Start | Case::InProcess | Case::Sizes => Ok(Vec::new()),
            Case::Idle => self.idle(),
            Case::Send(body, connections, window) => self.send("send", body, connections, window),
            Case::Sync(body, connections, window) => self.send("sync flush", body, connections, window),
            Case::Paced => self.paced(),
            Case::Pull(queues) => self.pull(queues),
            Case::Latency => self.latency(),
            Case::LoadedLatency => self.loaded(None),
            Case::Delayed => self.loaded(Some(Delay::ONE_SECOND)),
            Case::Drain => self.drain(),
            Case::JavaSend => self.java_send(),
            Case::JavaDrain => self.java_drain(),
            Case::Many(topics) => self.many(topics),
            Case::Memory => self.memory(),
        }
    }

    fn client(&self) -> Result<Client, String> {
        Client::connect(self.running.port, self.form)
    }

    fn fresh_topic(&mut self, queues: u32) -> Result<String, String> {
        self.topics += 1;
        let topic = format!("bench-{}", self.topics);
        self.client()?.create_topic(&topic, queues)?;
        Ok(topic)
    }

    fn idle(&self) -> Result<Vec<Figure>, String> {
        sleep(self.plan.settle);
        let resident = self.running.resident()? as f64 / 1e6;
        let (before, start) = (self.running.exact_cpu(), Instant::now());
        sleep(self.plan.settle);
        let share = (self.running.exact_cpu() - before) / start.elapsed().as_secs_f64() * 100.0;
        Ok(vec![
            figure("idle memory", "MB", Better::Lower, resident),
            figure("idle processor time", "%", Better::Lower, share),
        ])
    }

    /// Load of all kinds, unmeasured.
    fn warm_up(&mut self) -> Result<(), String> {
        let part = self.plan.warm_up / 5;
        if matches!(self.peer, Peer::Nothing { .. }) {
            return self.sends("warm-up", 128, (4, 4), 64, part).map(drop);
        }
        let topic = self.fresh_topic(4)?;
        self.sends(&topic, 128, (4, 4), 64, part * 2)?;
        self.one_at_a_time(&topic, 1024, part)?;
        let pulls = (0..4).map(|queue| Pulls::new(self.form, &topic, queue, u64::MAX)).collect();
        load::run(self.running.port, pulls, 1, part)?;
        let topic = self.fresh_topic(1)?;
        latency::run(self.running.port, self.form, &topic, part, None).map(drop)
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
        // A stored message has some 200 bytes besides its body.
        let bytes = if time == PATIENCE { self.plan.volume } else { self.plan.most_bytes };
        let share = bytes / (body as u64 + 200) / connections as u64;
        let works = (0..connections).map(|n| self.sender(topic, n % queues, body, share)).collect();
        load::run(self.running.port, works, window, time)
    }

    fn sender(&mut self, topic: &str, queue: usize, body: usize, left: u64) -> Sends {
        Sends::new(self.template(topic, queue as u32, body), left)
    }

    fn template(&mut self, topic: &str, queue: u32, body: usize) -> SendTemplate {
        self.keys += 1;
        let bytes: Vec<u8> = (0..body).map(|n| (n * 31 + n / 7) as u8).collect();
        SendTemplate::new(self.form, topic, queue, &bytes, self.keys, client::now_ms())
    }

    fn one_at_a_time(&mut self, topic: &str, body: usize, time: Duration) -> Result<Tally, String> {
        let template = self.template(topic, 0, body);
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
        let single = connections * window == 1;
        let volume = (kind, body, connections, window) == ("send", 1024, 4, 64);
        let tally = match (single, volume) {
            (true, _) => self.one_at_a_time(&topic, body, self.plan.send)?,
            (_, true) => self.sends(&topic, body, (connections, queues), window, PATIENCE)?,
            _ => self.sends(&topic, body, (connections, queues), window, self.plan.send)?,
        };
        let mut more = meter.stop(&self.running, &tally);
        let written = self.client()?.log_end(&topic, 1)? - first;
        more.push(("bytes_written", written as f64));
        let shape = if single { "one in flight".to_owned() } else { format!("{connections}x{window}") };
        let case = format!("{kind} {}, {shape}", size(body));
        let rate = checked(&tally, &case)?;
        if volume && matches!(self.peer, Peer::Apache { .. }) {
            self.run.top_rate.set(Some(self.run.top_rate.get().unwrap_or(0.0).max(rate)));
        }
        let mut figures = vec![Figure { more, ..figure(&case, "msg/s", Better::Higher, rate) }];
        if single {
            let p50 = tally.latency.micros(50.0);
            figures.push(figure(&format!("{case} p50"), "us", Better::Lower, p50));
        }
        Ok(figures)
    }

    fn paced(&mut self) -> Result<Vec<Figure>, String> {
        let topic = self.fresh_topic(4)?;
        let (rate, case) = match (self.run.top_rate.get(), self.run.named) {
            (Some(top), _) => (top / 2.0, "send 1 KiB at half of Apache's top rate".to_owned()),
            // A row of its own, which no aim is judged by.
            (None, true) => {
                let rate = USUAL_TOP_RATE / 2.0;
                (rate, format!("send 1 KiB, {} a second", number(rate)))
            }
            (None, false) => {
                return Err("Apache's top rate is not known: its send-1k-4x64 was not measured".into())
            }
        };
        let (port, time) = (self.running.port, self.plan.latency);
        let seen = paced::run(port, self.form, &topic, 1024, rate, time)?;
        if let Some(text) = &seen.first_error {
            eprintln!("{case}: {} responses were errors, the first: {text}", seen.errors);
        }
        let mut figures = percentiles(&case, &seen.times);
        for figure in &mut figures {
            figure.more.extend([("per_s", seen.rate), ("errors", seen.errors as f64)]);
        }
        Ok(figures)
    }

    /// Fills each queue of a topic; returns what the log grew by.
    fn fill(&mut self, topic: &str, queues: usize, body: usize, each: u64) -> Result<u64, String> {
        let first = self.client()?.log_end(topic, 0)?;
        let works = (0..queues).map(|queue| self.sender(topic, queue, body, each)).collect();
        all(&load::run(self.running.port, works, 64, PATIENCE)?, each * queues as u64, "filling the queues")?;
        let mut client = self.client()?;
        let written = client.log_end(topic, 1)? - first;
        (0..queues as u32).try_for_each(|queue| client.wait_for(topic, queue, each - 1))?;
        Ok(written)
    }

    fn pull(&mut self, queues: usize) -> Result<Vec<Figure>, String> {
        let topic = self.fresh_topic(queues as u32)?;
        let backlog = self.plan.backlog;
        let written = self.fill(&topic, queues, 1024, backlog)?;
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
        let seen = latency::run(self.running.port, self.form, &topic, self.plan.latency, None)?;
        Ok(percentiles("end to end", &seen.times))
    }

    fn loaded(&mut self, delay: Option<Delay>) -> Result<Vec<Figure>, String> {
        let (topic, other) = (self.fresh_topic(1)?, self.fresh_topic(4)?);
        let works = (0..4).map(|queue| self.sender(&other, queue, 1024, u64::MAX)).collect();
        let (port, form, time) = (self.running.port, self.form, self.plan.latency);
        let beside = time + Duration::from_millis(500) + delay.map_or(Duration::ZERO, |delay| delay.time);
        std::thread::scope(|scope| {
            // Until the last message was received, and a little longer.
            let load = scope.spawn(move || load::run(port, works, 1, beside));
            let seen = latency::run(port, form, &topic, time, delay);
            let tally = load.join().map_err(|_| "the load panicked".to_owned())??;
            let (seen, rate) = (seen?, checked(&tally, "the load beside")?);
            let mut figures = match delay {
                None => percentiles("beside load", &seen.times),
                Some(_) => lateness(&seen),
            };
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

    fn java_send(&mut self) -> Result<Vec<Figure>, String> {
        let topic = self.fresh_topic(8)?;
        let client = java::Client::new(&self.dir)?;
        let before = self.running.cpu();
        let found = client.send(self.running.namesrv, &topic, self.plan.warm_up / 3, self.plan.send)?;
        Ok(vec![self.java_figure("Java client, 64 threads send 1 KiB", found, before)])
    }

    fn java_drain(&mut self) -> Result<Vec<Figure>, String> {
        let (topic, each) = (self.fresh_topic(8)?, self.plan.backlog);
        self.fill(&topic, 8, 1024, each)?;
        let client = java::Client::new(&self.dir)?;
        let before = self.running.cpu();
        // The two messages that look where the log ends are there as well.
        let found = client.drain(self.running.namesrv, &topic, each * 8 + 2)?;
        Ok(vec![self.java_figure("Java push consumer drains", found, before)])
    }

    fn java_figure(&self, case: &str, found: java::Found, cpu_before: f64) -> Figure {
        let each = |seconds: f64| seconds * 1e6 / found.messages;
        let more = vec![
            ("messages", found.messages),
            ("client_cpu_us_per_message", each(found.cpu)),
            // Its work for the warm-up is in it, so its messages are as well.
            ("broker_cpu_us_per_message", (self.running.cpu() - cpu_before) * 1e6 / found.all),
            ("errors", found.errors),
        ];
        Figure { more, ..figure(case, "msg/s", Better::Higher, found.rate) }
    }

    fn many(&mut self, topics: u32) -> Result<Vec<Figure>, String> {
        let queues = topics * QUEUES_EACH;
        let mut each_connection: [Vec<SendTemplate>; 4] = Default::default();
        for _ in 0..topics {
            let topic = self.fresh_topic(QUEUES_EACH)?;
            for queue in 0..QUEUES_EACH {
                each_connection[queue as usize % 4].push(self.template(&topic, queue, 128));
            }
        }
        let port = self.running.port;
        let works =
            |left: u64| each_connection.iter().map(move |own| Scatter::new(own.clone(), left)).collect();
        // Every queue has begun before anything is measured.
        checked(&load::run(port, works(u64::from(queues / 4)), 64, PATIENCE)?, "beginning the queues")?;
        let meter = Meter::start(&self.running);
        let tally = load::run(port, works(self.plan.most_bytes / 330 / 4), 64, self.plan.send)?;
        let more = meter.stop(&self.running, &tally);
        let case = format!("send 128 B to {},000 queues, 4x64", topics);
        let rate = checked(&tally, &case)?;
        let anonymous = self.running.anonymous()? as f64 / 1e6;
        let files = self.running.open_files().map_or(f64::NAN, |files| files as f64);
        Ok(vec![
            Figure { more, ..figure(&case, "msg/s", Better::Higher, rate) },
            figure(&format!("anonymous memory with {topics},000 queues"), "MB", Better::Lower, anonymous),
            figure(&format!("open files with {topics},000 queues"), "", Better::Lower, files),
        ])
    }

    fn memory(&mut self) -> Result<Vec<Figure>, String> {
        let (topic, each) = (self.fresh_topic(4)?, self.plan.messages / 4);
        let works = (0..4).map(|queue| self.sender(&topic, queue, 128, each)).collect();
        let tally = load::run(self.running.port, works, 64, PATIENCE)?;
        all(&tally, each * 4, "the messages before")?;
        let sent = tally.messages as f64 / 1e6;
        let case = format!("anonymous memory after {:.0} million messages", self.plan.messages as f64 / 1e6);
        let more = vec![("million_messages", sent), ("resident_mb", self.running.resident()? as f64 / 1e6)];
        let anonymous = self.running.anonymous()? as f64 / 1e6;
        Ok(vec![Figure { more, ..figure(&case, "MB", Better::Lower, anonymous) }])
    }
}

fn percentiles(what: &str, seen: &Histogram) -> Vec<Figure> {
    let row = |(name, p): (&str, f64)| Figure {
        more: vec![("messages", seen.len() as f64)],
        ..figure(&format!("{what} {name}"), "us", Better::Lower, seen.micros(p))
    };
    [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)].map(row).into()
}

/// How late delayed messages came.
fn lateness(seen: &latency::Seen) -> Vec<Figure> {
    let row = |(name, p): (&str, f64)| Figure {
        more: vec![("messages", seen.times.len() as f64), ("early", seen.early as f64)],
        ..figure(&format!("delayed messages late {name}"), "ms", Better::Lower, seen.times.micros(p) / 1e3)
    };
    let mut figures: Vec<Figure> = [("p50", 50.0), ("p99", 99.0)].map(row).into();
    figures.push(figure("delayed messages early", "", Better::Lower, seen.early as f64));
    figures
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

/// An error unless so many messages succeeded: what is measured afterwards is told of that many.
fn all(tally: &Tally, wanted: u64, what: &str) -> Result<(), String> {
    if tally.messages == wanted {
        return Ok(());
    }
    let why = tally.first_error.as_deref().unwrap_or("no error");
    Err(format!(
        "{what}: {} of {wanted} messages in {:.0} s, {} errors, the first: {why}",
        tally.messages,
        tally.elapsed.as_secs_f64(),
        tally.errors
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!((size(128).as_str(), size(1024).as_str()), ("128 B", "1 KiB"));
    }

    #[test]
    fn messages_that_lack_are_told() {
        let mut tally = Tally::default();
        (0..3).for_each(|_| tally.count(Ok(1), Duration::from_millis(1)));
        tally.count(Err("busy".into()), Duration::ZERO);
        assert_eq!(all(&tally, 3, "before"), Ok(()));
        let text = all(&tally, 4, "before").expect_err("one lacks");
        assert_eq!(text, "before: 3 of 4 messages in 0 s, 1 errors, the first: busy");
    }

    #[test]
    fn lateness_says_how_many_came_early() {
        let mut seen = latency::Seen::default();
        seen.times.record(Duration::from_millis(3));
        seen.early = 2;
        let figures = lateness(&seen);
        let values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [3.0, 3.0, 2.0]);
    }
}
