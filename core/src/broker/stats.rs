//! What a broker counts: messages in and out, in all and by topic and group, with the rates and sums that operators ask
//! for (28, 202, 208, 315, 317).
//!
//! Counting is three relaxed additions; the thread of the timed tasks takes a sample every 10 s. Apache's names: BrokerStats,
//! BrokerStatsManager, StoreStatsService, StatsItem.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::home::Home;
use super::Broker;
use crate::sync::Mutex;
use crate::wire::body::{BrokerStatsData, BrokerStatsItem};

/// One sample every 10 s, enough of them for a ten-minute rate.
const SAMPLES: usize = 61;

/// A window: time between two of its points and how many it keeps. Together they reach over one minute, hour or day.
struct Window {
    step_ms: i64,
    points: usize,
}

const MINUTE: Window = Window { step_ms: 10_000, points: 7 };
const HOUR: Window = Window { step_ms: 600_000, points: 7 };
const DAY: Window = Window { step_ms: 3_600_000, points: 25 };

/// Which of the three counts is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Messages.
    Messages,
    /// Their bytes.
    Bytes,
}

/// The counts at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Point {
    at_ms: i64,
    calls: u64,
    messages: u64,
    bytes: u64,
}

impl Point {
    fn same_counts(&self, other: &Point) -> bool {
        (self.calls, self.messages, self.bytes) == (other.calls, other.messages, other.bytes)
    }

    fn of(&self, measure: Measure) -> u64 {
        match measure {
            Measure::Messages => self.messages,
            Measure::Bytes => self.bytes,
        }
    }
}

/// What happened with one thing, a topic say, and when. All methods from any thread.
#[derive(Default)]
pub(crate) struct Counter {
    calls: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
    /// What others count apart.
    tallies: Mutex<Vec<Arc<Tally>>>,
    past: Mutex<Past>,
}

/// What one thread at a time counts, for several counters together: no more than additions to its own memory.
#[derive(Debug, Default)]
struct Tally {
    calls: AtomicU64,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    fn point(&self) -> Point {
        let [calls, messages, bytes] =
            [&self.calls, &self.messages, &self.bytes].map(|count| count.load(Ordering::Relaxed));
        Point { at_ms: 0, calls, messages, bytes }
    }
}

/// Counts what a broker and one of its topics take in, for who brings much of it: the counters see it at once.
pub(crate) struct PutTally {
    broker: Arc<Broker>,
    topic: Arc<Counter>,
    own: Arc<Tally>,
    home: Home,
}

impl PutTally {
    /// Nothing so far.
    pub fn new(broker: Arc<Broker>, topic: Arc<Counter>) -> PutTally {
        let own = Arc::new(Tally::default());
        for counter in [&*topic, &broker.stats.puts] {
            counter.tallies.lock().push(own.clone());
        }
        PutTally { broker, topic, own, home: Home::here() }
    }

    /// One call brought so much.
    pub fn add(&mut self, messages: usize, bytes: usize) {
        let own = &self.own;
        for (count, more) in [(&own.calls, 1), (&own.messages, messages), (&own.bytes, bytes)] {
            // Nobody else writes them, so what was read is still there.
            count.store(count.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
        }
    }
}

impl Drop for PutTally {
    fn drop(&mut self) {
        if self.home.is_left() {
            return;
        }
        for counter in [&*self.topic, &self.broker.stats.puts] {
            let mut tallies = counter.tallies.lock();
            tallies.retain(|tally| !Arc::ptr_eq(tally, &self.own));
            let last = self.own.point();
            counter.calls.fetch_add(last.calls, Ordering::Relaxed);
            counter.messages.fetch_add(last.messages, Ordering::Relaxed);
            counter.bytes.fetch_add(last.bytes, Ordering::Relaxed);
        }
    }
}

/// Most things rest most of the time: what rested for a day keeps one point.
#[derive(Default)]
struct Past {
    /// The counts when they last were what they had been before.
    rested: Point,
    windows: Option<Box<[VecDeque<Point>; 3]>>,
}

impl Counter {
    /// A counter made at this time.
    pub fn new(now_ms: i64) -> Self {
        let past = Past { rested: Point { at_ms: now_ms, ..Point::default() }, windows: None };
        Counter { past: Mutex::new(past), ..Counter::default() }
    }

    /// One call brought or took so much.
    pub fn add(&self, messages: usize, bytes: usize) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.messages.fetch_add(messages as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Messages in all.
    pub fn messages(&self) -> u64 {
        self.now(0).messages
    }

    fn now(&self, at_ms: i64) -> Point {
        // Held so that a tally that ends meanwhile is counted once.
        let tallies = self.tallies.lock();
        let own = Point {
            at_ms,
            calls: self.calls.load(Ordering::Relaxed),
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        };
        tallies.iter().map(|tally| tally.point()).fold(own, |sum, more| Point {
            at_ms,
            calls: sum.calls + more.calls,
            messages: sum.messages + more.messages,
            bytes: sum.bytes + more.bytes,
        })
    }

    /// Notes the counts. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        let now = self.now(now_ms);
        let mut past = self.past.lock();
        let rested = past.rested;
        match &mut past.windows {
            None if rested.same_counts(&now) => past.rested = now,
            None => {
                past.windows = Some(Box::new([&MINUTE, &HOUR, &DAY].map(|window| {
                    let mut points = VecDeque::from([rested]);
                    note(&mut points, window, now);
                    points
                })));
            }
            Some(windows) => {
                for (points, window) in windows.iter_mut().zip([&MINUTE, &HOUR, &DAY]) {
                    note(points, window, now);
                }
                // The oldest of the minute and of the day: a day's points are an hour apart.
                let is_old = |points: &VecDeque<Point>| points.iter().all(|point| point.same_counts(&now));
                if is_old(&windows[2]) && is_old(&windows[0]) && windows[2].len() == DAY.points {
                    *past = Past { rested: now, windows: None };
                }
            }
        }
    }

    /// Sums and rates of the last minute, hour and day, up to now.
    pub fn view(&self, measure: Measure, now_ms: i64) -> BrokerStatsData {
        let now = self.now(now_ms);
        let past = self.past.lock();
        let since = |at: usize, window: &Window| {
            let oldest = now_ms - window.step_ms * (window.points as i64 - 1);
            let points = past.windows.as_ref().map(|windows| &windows[at]);
            // The last point at or before the window's beginning, else the first there is.
            let first = points.and_then(|points| {
                points.iter().rev().find(|point| point.at_ms <= oldest).or(points.front()).copied()
            });
            item(&first.unwrap_or(past.rested), &now, measure)
        };
        BrokerStatsData {
            stats_minute: since(0, &MINUTE),
            stats_hour: since(1, &HOUR),
            stats_day: since(2, &DAY),
        }
    }

    /// Messages a second over the last minute.
    pub fn rate(&self, now_ms: i64) -> f64 {
        self.view(Measure::Messages, now_ms).stats_minute.tps
    }
}

fn note(points: &mut VecDeque<Point>, window: &Window, now: Point) {
    // Samples come a little late at times; one that is due within half a second counts as due.
    if points.back().is_none_or(|last| now.at_ms - last.at_ms >= window.step_ms - 500) {
        points.push_back(now);
        if points.len() > window.points {
            points.pop_front();
        }
    }
}

fn item(then: &Point, now: &Point, measure: Measure) -> BrokerStatsItem {
    let sum = now.of(measure).saturating_sub(then.of(measure));
    let calls = now.calls.saturating_sub(then.calls);
    // Before the first point nothing happened: a rate is over a minute at least.
    let elapsed = (now.at_ms - then.at_ms).max(60_000);
    BrokerStatsItem {
        sum: i64::try_from(sum).unwrap_or(i64::MAX),
        tps: sum as f64 * 1000.0 / elapsed as f64,
        avgpt: if calls == 0 { 0.0 } else { sum as f64 / calls as f64 },
    }
}

/// What a group did in a topic.
pub(crate) struct Consumption {
    /// Pulls that found something.
    pub got: Counter,
    /// Messages sent back for another try.
    pub sent_back: Counter,
    /// By queue the offset that a pull was told to go on at.
    pulled: Mutex<Vec<i64>>,
}

impl Consumption {
    /// Counters made at this time.
    pub fn new(now_ms: i64) -> Self {
        Consumption { got: Counter::new(now_ms), sent_back: Counter::new(now_ms), pulled: Mutex::default() }
    }

    /// A pull of a queue, whose id was checked, took what stands before `next`.
    pub fn pulled_to(&self, queue_id: i32, next: i64) {
        let mut pulled = self.pulled.lock();
        let at = queue_id.max(0) as usize;
        if pulled.len() <= at {
            pulled.resize(at + 1, 0);
        }
        pulled[at] = next;
    }

    /// The offset that the last pull of a queue was told to go on at; 0 if there was none.
    pub fn pulled(&self, queue_id: i32) -> i64 {
        let at = usize::try_from(queue_id).unwrap_or(usize::MAX);
        self.pulled.lock().get(at).copied().unwrap_or(0)
    }

    /// Notes the counts. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        self.got.sample(now_ms);
        self.sent_back.sample(now_ms);
    }
}

/// The counters of the whole broker. All methods from any thread.
pub(crate) struct Stats {
    /// What was stored.
    puts: Counter,
    /// What was handed to groups.
    gets: Counter,
    /// What consumers sent back.
    returns: Counter,
    /// Pulls that found nothing.
    misses: AtomicU64,
    put_failures: AtomicU64,
    samples: Mutex<VecDeque<Sample>>,
    mornings: Mutex<Mornings>,
}

#[derive(Clone, Copy)]
struct Sample {
    at_ms: i64,
    put: u64,
    got: u64,
    found: u64,
    missed: u64,
}

/// Messages put and got before midnight, today's and yesterday's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mornings {
    /// Year, month and day of today.
    date: [i32; 3],
    /// Before today.
    pub today: [u64; 2],
    /// Before yesterday.
    pub yesterday: [u64; 2],
}

/// What a broker did since its start.
pub(crate) struct Totals {
    pub put_messages: u64,
    pub put_bytes: u64,
    pub put_failures: u64,
    pub got_messages: u64,
}

/// Rates per second over ten seconds, a minute and ten minutes, as the text that Apache's tools split.
pub(crate) struct Rates {
    pub put: String,
    pub got: String,
    /// Pulls that found something, nothing, and all of them.
    pub found: String,
    pub missed: String,
    pub pulls: String,
}

impl Stats {
    /// Counters made at this time.
    pub fn new(now_ms: i64) -> Self {
        let mornings = Mornings { date: date(now_ms), ..Mornings::default() };
        Stats {
            puts: Counter::new(now_ms),
            gets: Counter::new(now_ms),
            returns: Counter::new(now_ms),
            misses: AtomicU64::new(0),
            put_failures: AtomicU64::new(0),
            samples: Mutex::default(),
            mornings: Mutex::new(mornings),
        }
    }

    /// Messages were stored by one call.
    pub fn put(&self, messages: usize, bytes: usize) {
        self.puts.add(messages, bytes);
    }

    /// Messages were handed to a group by one call.
    pub fn got(&self, messages: usize, bytes: usize) {
        self.gets.add(messages, bytes);
    }

    /// A pull found nothing.
    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    /// A consumer sent a message back.
    pub fn sent_back(&self) {
        self.returns.add(1, 0);
    }

    /// The counter of the whole broker behind one of Apache's names.
    pub fn named(&self, name: &str) -> Option<&Counter> {
        match name {
            "BROKER_PUT_NUMS" => Some(&self.puts),
            "BROKER_GET_NUMS" => Some(&self.gets),
            _ => None,
        }
    }

    /// A message was refused by the store.
    pub fn put_failed(&self) {
        self.put_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The totals.
    pub fn totals(&self) -> Totals {
        Totals {
            put_messages: self.puts.messages(),
            put_bytes: self.puts.now(0).bytes,
            put_failures: self.put_failures.load(Ordering::Relaxed),
            got_messages: self.gets.messages(),
        }
    }

    /// The totals of past midnights.
    pub fn mornings(&self) -> Mornings {
        *self.mornings.lock()
    }

    /// Takes a sample. Run every 10 s.
    pub fn sample(&self, now_ms: i64) {
        [&self.puts, &self.gets, &self.returns].iter().for_each(|counter| counter.sample(now_ms));
        let mut mornings = self.mornings.lock();
        if mornings.date != date(now_ms) {
            *mornings = Mornings {
                date: date(now_ms),
                today: [self.puts.messages(), self.gets.messages()],
                yesterday: mornings.today,
            };
        }
        drop(mornings);
        let mut samples = self.samples.lock();
        samples.push_back(self.now(now_ms));
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    fn now(&self, now_ms: i64) -> Sample {
        Sample {
            at_ms: now_ms,
            put: self.puts.messages(),
            got: self.gets.messages(),
            found: self.gets.calls.load(Ordering::Relaxed),
            missed: self.misses.load(Ordering::Relaxed),
        }
    }

    /// The rates up to now.
    pub fn rates(&self, now_ms: i64) -> Rates {
        let samples = self.samples.lock();
        let now = self.now(now_ms);
        let text = |count: fn(&Sample) -> u64| {
            let over = |back: usize| match samples
                .len()
                .checked_sub(back)
                .or(Some(0))
                .and_then(|at| samples.get(at))
            {
                Some(then) if now.at_ms > then.at_ms => {
                    (count(&now) - count(then)) as f64 * 1000.0 / (now.at_ms - then.at_ms) as f64
                }
                _ => 0.0,
            };
            format!("{:.3} {:.3} {:.3}", over(1), over(6), over(60))
        };
        Rates {
            put: text(|s| s.put),
            got: text(|s| s.got),
            found: text(|s| s.found),
            missed: text(|s| s.missed),
            pulls: text(|s| s.found + s.missed),
        }
    }
}

fn date(now_ms: i64) -> [i32; 3] {
    let [year, month, day, ..] = crate::store::local_time(now_ms);
    [year, month, day]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::BrokerConfig;

    #[test]
    fn rates_cover_ten_seconds_a_minute_and_ten_minutes() {
        let stats = Stats::new(0);
        assert_eq!(stats.rates(0).put, "0.000 0.000 0.000");
        for second in 0..7 {
            stats.sample(second * 10_000);
            stats.put(if second == 6 { 100 } else { 10 }, 0);
        }
        // 100 in the last ten seconds; 150 in the last minute; 160 in the 70 s there are.
        assert_eq!(stats.rates(70_000).put, "10.000 2.500 2.286");
        assert_eq!(stats.totals().put_messages, 160);
    }

    #[test]
    fn what_is_counted_apart_is_seen_at_once_and_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            store_path_root_dir: dir.path().join("data"),
            mapped_file_size_commit_log: 1 << 20,
            max_hash_slot_num: 1000,
            max_index_num: 4000,
            ..BrokerConfig::default()
        };
        let broker = Broker::open(config, Clock::new()).unwrap();
        let topic = Arc::new(Counter::new(0));
        topic.add(1, 10);
        let mut first = PutTally::new(broker.clone(), topic.clone());
        let mut second = PutTally::new(broker.clone(), topic.clone());
        first.add(3, 30);
        second.add(1, 5);
        let seen = || {
            let counters = [topic.now(0), broker.stats.puts.now(0)];
            counters.map(|now| (now.calls, now.messages, now.bytes))
        };
        assert_eq!(seen(), [(3, 5, 45), (2, 4, 35)]);
        drop(first);
        assert_eq!(seen(), [(3, 5, 45), (2, 4, 35)]);
        second.add(2, 20);
        assert_eq!(seen(), [(4, 7, 65), (3, 6, 55)]);
        assert_eq!((topic.messages(), broker.stats.totals().put_bytes), (7, 55));
    }

    #[test]
    fn windows_hold_what_happened_in_them() {
        let counter = Counter::new(0);
        let mut now = 0;
        // Two messages of 5 bytes a call, one call a second, for three hours.
        for _ in 0..3 * 360 {
            for _ in 0..10 {
                counter.add(2, 10);
            }
            now += 10_000;
            counter.sample(now);
        }
        let seen = counter.view(Measure::Messages, now);
        assert_eq!((seen.stats_minute.sum, seen.stats_hour.sum), (120, 7_200));
        assert_eq!(seen.stats_day.sum, 21_600, "all there is");
        for item in [seen.stats_minute, seen.stats_hour, seen.stats_day] {
            assert!((item.tps - 2.0).abs() < 0.01 && (item.avgpt - 2.0).abs() < 1e-9, "{item:?}");
        }
        assert_eq!(counter.view(Measure::Bytes, now).stats_minute.sum, 600);
        // What comes between two samples counts at once.
        counter.add(7, 0);
        assert_eq!(counter.view(Measure::Messages, now).stats_minute.sum, 127);
    }

    #[test]
    fn what_rests_is_forgotten_window_by_window_and_takes_no_memory() {
        let counter = Counter::new(0);
        counter.sample(10_000);
        assert!(counter.past.lock().windows.is_none(), "nothing happened yet");
        counter.add(1, 1);
        let mut now = 10_000;
        let mut pass = |ms: i64| {
            for _ in 0..ms / 10_000 {
                now += 10_000;
                counter.sample(now);
            }
            let seen = counter.view(Measure::Messages, now);
            [seen.stats_minute.sum, seen.stats_hour.sum, seen.stats_day.sum]
        };
        assert_eq!(pass(20_000), [1, 1, 1]);
        assert_eq!(pass(120_000), [0, 1, 1]);
        assert_eq!(pass(2 * 3_600_000), [0, 0, 1]);
        assert_eq!(pass(26 * 3_600_000), [0, 0, 0]);
        assert!(counter.past.lock().windows.is_none());
        counter.add(3, 3);
        assert_eq!(counter.view(Measure::Messages, now).stats_day.sum, 3);
        assert_eq!(counter.messages(), 4);
    }

    #[test]
    fn totals_of_mornings_move_at_midnight() {
        let stats = Stats::new(0);
        stats.put(5, 5);
        stats.got(2, 2);
        stats.sample(1_000);
        assert_eq!((stats.mornings().today, stats.mornings().yesterday), ([0, 0], [0, 0]));
        let day = 24 * 3_600_000;
        stats.sample(day);
        assert_eq!((stats.mornings().today, stats.mornings().yesterday), ([5, 2], [0, 0]));
        stats.put(1, 1);
        stats.sample(2 * day);
        assert_eq!((stats.mornings().today, stats.mornings().yesterday), ([6, 2], [5, 2]));
    }
}
