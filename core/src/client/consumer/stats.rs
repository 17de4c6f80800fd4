//! How fast a consumer fetches and consumes, for tools that ask.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::sync::Mutex;

/// Lengths of the windows, ms.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 3_600_000;

/// Parts of a window, each of which is forgotten as a whole.
const PARTS: usize = 6;

/// Figures by topic.
pub(super) struct Stats {
    clock: Clock,
    topics: Mutex<BTreeMap<String, Topic>>,
}

struct Topic {
    pulled: Window,
    consumed: Window,
    failed: Window,
    failed_in_hour: Window,
}

/// What happened in the last minute or hour.
struct Window {
    part_ms: i64,
    /// Number of the newest part since 1970.
    newest: i64,
    parts: [Part; PARTS],
}

#[derive(Clone, Copy, Default)]
struct Part {
    calls: u64,
    messages: u64,
    ms: u64,
}

/// Figures of a topic as tools show them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Figures {
    /// Average time of a pull that found messages, ms.
    pub pull_rt: f64,
    /// Messages fetched in a second.
    pub pull_tps: f64,
    /// Average time of a call of the listener, ms.
    pub consume_rt: f64,
    pub consume_ok_tps: f64,
    pub consume_failed_tps: f64,
    /// Messages consumed in vain in the last hour.
    pub consume_failed_msgs: i64,
}

impl Window {
    fn new(length_ms: i64) -> Window {
        Window { part_ms: length_ms / PARTS as i64, newest: 0, parts: [Part::default(); PARTS] }
    }

    fn turn(&mut self, now: i64) {
        let number = now / self.part_ms;
        let passed = number.saturating_sub(self.newest);
        // A clock that goes back does not bring back what was forgotten.
        if passed > 0 {
            for step in 1..=passed.min(PARTS as i64) {
                self.parts[((self.newest + step).rem_euclid(PARTS as i64)) as usize] = Part::default();
            }
            if passed >= PARTS as i64 {
                self.parts = [Part::default(); PARTS];
            }
            self.newest = number;
        }
    }

    fn add(&mut self, now: i64, messages: usize, took: Duration) {
        self.turn(now);
        let part = &mut self.parts[self.newest.rem_euclid(PARTS as i64) as usize];
        part.calls += 1;
        part.messages += messages as u64;
        part.ms += took.as_millis() as u64;
    }

    fn sum(&mut self, now: i64) -> Part {
        self.turn(now);
        self.parts.iter().fold(Part::default(), |sum, part| Part {
            calls: sum.calls + part.calls,
            messages: sum.messages + part.messages,
            ms: sum.ms + part.ms,
        })
    }
}

impl Part {
    fn average_ms(self) -> f64 {
        self.ms as f64 / self.calls.max(1) as f64
    }

    fn per_second(self) -> f64 {
        self.messages as f64 / (MINUTE / 1000) as f64
    }
}

impl Topic {
    fn new() -> Topic {
        Topic {
            pulled: Window::new(MINUTE),
            consumed: Window::new(MINUTE),
            failed: Window::new(MINUTE),
            failed_in_hour: Window::new(HOUR),
        }
    }
}

impl Stats {
    pub fn new(clock: Clock) -> Stats {
        Stats { clock, topics: Mutex::default() }
    }

    fn note(&self, topic: &str, note: impl FnOnce(&mut Topic, i64)) {
        let now = self.clock.now_ms();
        let mut topics = self.topics.lock();
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), Topic::new());
        }
        if let Some(topic) = topics.get_mut(topic) {
            note(topic, now);
        }
    }

    /// A pull brought messages.
    pub fn pulled(&self, topic: &str, messages: usize, took: Duration) {
        if messages > 0 {
            self.note(topic, |topic, now| topic.pulled.add(now, messages, took));
        }
    }

    /// A listener was called with messages, of which it consumed some.
    pub fn consumed(&self, topic: &str, messages: usize, consumed: usize, took: Duration) {
        self.note(topic, |topic, now| {
            topic.consumed.add(now, consumed, took);
            if consumed < messages {
                topic.failed.add(now, messages - consumed, took);
                topic.failed_in_hour.add(now, messages - consumed, took);
            }
        });
    }

    pub fn of(&self, topic: &str) -> Figures {
        let now = self.clock.now_ms();
        let mut topics = self.topics.lock();
        let Some(topic) = topics.get_mut(topic) else { return Figures::default() };
        let (pulled, consumed) = (topic.pulled.sum(now), topic.consumed.sum(now));
        Figures {
            pull_rt: pulled.average_ms(),
            pull_tps: pulled.per_second(),
            consume_rt: consumed.average_ms(),
            consume_ok_tps: consumed.per_second(),
            consume_failed_tps: topic.failed.sum(now).per_second(),
            consume_failed_msgs: topic.failed_in_hour.sum(now).messages as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_last_minute_and_hour() {
        let clock = Clock::new();
        let stats = Stats::new(clock.clone());
        let ms = Duration::from_millis;
        stats.pulled("T", 60, ms(4));
        stats.pulled("T", 0, ms(400));
        stats.consumed("T", 120, 90, ms(10));
        stats.consumed("T", 30, 30, ms(20));
        let figures = stats.of("T");
        assert_eq!((figures.pull_rt, figures.pull_tps), (4.0, 1.0));
        assert_eq!((figures.consume_rt, figures.consume_ok_tps), (15.0, 2.0));
        assert_eq!((figures.consume_failed_tps, figures.consume_failed_msgs), (0.5, 30));
        clock.advance(ms(70_000));
        let figures = stats.of("T");
        assert_eq!((figures.consume_ok_tps, figures.consume_failed_msgs), (0.0, 30));
        clock.advance(ms(3_700_000));
        assert_eq!(stats.of("T"), Figures::default());
        assert_eq!(stats.of("other"), Figures::default());
    }
}
