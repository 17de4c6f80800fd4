//! What a bench tells in the end: lines for people, or JSON.

use std::io::{self, Write};

use ferromq::client::SendStatus;
use ferromq::{Error, ErrorKind};
use serde_json::{json, Map, Value};

use super::latency::Latency;
use crate::Failure;

/// The percentiles that are told.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0)];

/// What a bench found.
pub struct Report {
    /// The subcommand.
    pub what: &'static str,
    /// The topic.
    pub topic: String,
    /// How it was done: name and number.
    pub settings: Vec<(&'static str, u64)>,
    /// How long was measured.
    pub seconds: f64,
    /// Messages in that time.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// What failed, warm-up included.
    pub errors: u64,
    /// The first of them.
    pub failure: Option<Error>,
    /// Whether there were to be messages, so that none is a failure.
    pub due: bool,
    /// Messages that are stored, but not as safely as the broker was told to, warm-up included.
    pub unsafe_sends: u64,
    /// What the first of them was answered.
    pub first_unsafe: Option<SendStatus>,
    /// Of each message, where that is known.
    pub latency: Latency,
}

impl Report {
    /// Writes it to stdout.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        let text = if json { format!("{}\n", self.json()) } else { self.text() };
        match io::stdout().write_all(text.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::new(ErrorKind::Io, "write", "standard output").with_source(error).into())
            }
            // Nobody wants to know any more.
            _ => Ok(()),
        }
    }

    fn rate(&self) -> f64 {
        if self.seconds > 0.0 {
            self.messages as f64 / self.seconds
        } else {
            0.0
        }
    }

    fn megabytes_a_second(&self) -> f64 {
        self.rate() * self.bytes as f64 / self.messages.max(1) as f64 / 1e6
    }

    fn text(&self) -> String {
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let mut text = format!(
            "{} {}: {} messages in {:.2} s ({})\n{} messages/s, {:.1} MB/s of bodies\n",
            self.what,
            self.topic,
            grouped(self.messages as f64),
            self.seconds,
            settings.join(", "),
            grouped(self.rate()),
            self.megabytes_a_second()
        );
        if !self.latency.is_empty() {
            let latencies = PERCENTILES.map(|(name, p)| format!("{name} {:.0}", self.latency.micros(p)));
            text += &format!("latency in microseconds: {}\n", latencies.join(", "));
        }
        if let Some(status) = self.first_unsafe {
            text += &format!(
                "{} sends were not answered SEND_OK, the first {}\n",
                self.unsafe_sends,
                status.name()
            );
        }
        if let Some(error) = &self.failure {
            text += &format!("{} errors, the first: {error}\n", self.errors);
        }
        text
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| {
            object.insert(name.to_owned(), value);
        };
        put("bench", json!(self.what));
        put("topic", json!(self.topic));
        self.settings.iter().for_each(|(name, value)| put(&camel(name), json!(value)));
        put("seconds", json!(self.seconds));
        put("messages", json!(self.messages));
        put("messagesPerSecond", json!(self.rate()));
        put("bodyMegabytesPerSecond", json!(self.megabytes_a_second()));
        put("errors", json!(self.errors));
        if let Some(status) = self.first_unsafe {
            put("notSendOk", json!(self.unsafe_sends));
            put("firstStatus", json!(status.name()));
        }
        if let Some(error) = &self.failure {
            put("firstError", json!(error.to_string()));
        }
        if !self.latency.is_empty() {
            let latencies = PERCENTILES.map(|(name, p)| (name.to_owned(), json!(self.latency.micros(p))));
            put("latencyMicros", Value::Object(Map::from_iter(latencies)));
        }
        Value::Object(object)
    }
}

/// `in flight` as `inFlight`.
fn camel(name: &str) -> String {
    let mut words = name.split(' ');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| all + &word[..1].to_uppercase() + &word[1..])
}

/// A number without decimals, its digits in groups of three.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn report() -> Report {
        let mut latency = Latency::default();
        (1..=100).for_each(|n| latency.record(Duration::from_micros(n * 10)));
        Report {
            what: "send",
            topic: "T".into(),
            settings: vec![("connections", 4), ("in flight", 64)],
            seconds: 2.0,
            messages: 2_469_134,
            bytes: 2_469_134 * 1024,
            errors: 0,
            failure: None,
            due: true,
            unsafe_sends: 0,
            first_unsafe: None,
            latency,
        }
    }

    #[test]
    fn people_get_rates_and_percentiles() {
        let text = report().text();
        assert!(
            text.starts_with("send T: 2,469,134 messages in 2.00 s (connections 4, in flight 64)\n"),
            "{text}"
        );
        assert!(text.contains("1,234,567 messages/s, 1264.2 MB/s"), "{text}");
        assert!(text.contains("max 1000\n") && !text.contains("error"), "{text}");
        let failure = Some(Error::new(ErrorKind::Timeout, "send", "no answer"));
        let text = Report { errors: 3, failure, latency: Latency::default(), ..report() }.text();
        assert!(text.contains("3 errors, the first: ") && text.contains("no answer"), "{text}");
        assert!(!text.contains("latency"), "{text}");
        let first_unsafe = Some(SendStatus::FlushTimedOut);
        let text = Report { unsafe_sends: 7, first_unsafe, ..report() }.text();
        assert!(
            text.ends_with("7 sends were not answered SEND_OK, the first FLUSH_DISK_TIMEOUT\n"),
            "{text}"
        );
    }

    #[test]
    fn programs_get_json() {
        let json = report().json();
        assert_eq!((&json["inFlight"], &json["messages"]), (&json!(64), &json!(2_469_134)));
        assert_eq!((&json["messagesPerSecond"], &json["errors"]), (&json!(1_234_567.0), &json!(0)));
        assert_eq!((&json["latencyMicros"]["max"], &json["firstError"]), (&json!(1000.0), &Value::Null));
        let nothing = Report { seconds: 0.0, messages: 0, bytes: 0, ..report() }.json();
        assert_eq!(
            (&nothing["messagesPerSecond"], &nothing["bodyMegabytesPerSecond"]),
            (&json!(0.0), &json!(0.0))
        );
    }
}
