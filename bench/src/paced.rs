//! Sends at a steady rate that no answer holds up: what a send takes when there is as much to do as there is.

use crate::client::{self, Inbox};
use crate::frame::{Header, SendTemplate, OPAQUE_BASE};
use crate::stats::Histogram;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// Connections, in turn.
const CONNECTIONS: usize = 4;
/// Messages that are due within this time are due together, and go out on one connection.
const TICK: Duration = Duration::from_micros(250);
/// What is not answered this long after its end has failed.
const SILENCE: Duration = Duration::from_secs(20);
/// The first part of a run is not counted: this fraction of it.
const UNCOUNTED: u32 = 5;

/// The plan of a run: what is due when, known to both ends.
#[derive(Clone, Copy)]
struct Pace {
    start: Instant,
    per_tick: u32,
    ticks: u32,
}

impl Pace {
    /// When the message with this number on its connection was to go out.
    fn due(&self, connection: usize, number: u32) -> (Instant, u32) {
        let tick = number / self.per_tick * CONNECTIONS as u32 + connection as u32;
        (self.start + TICK * tick, tick)
    }

    /// Messages on one connection in the whole run.
    fn on(&self, connection: usize) -> u32 {
        (self.ticks + CONNECTIONS as u32 - 1 - connection as u32) / CONNECTIONS as u32 * self.per_tick
    }
}

/// What a run saw.
#[derive(Default)]
pub struct Seen {
    /// From when each was due, not from when it came to be written, until its answer: what delays the sender counts.
    pub times: Histogram,
    /// Messages a second that were due.
    pub rate: f64,
    /// Answers that were not a success.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
}

/// Sends `rate` messages a second of `body` bytes for `time`.
pub fn run(
    port: u16,
    form: Header,
    topic: &str,
    body: usize,
    rate: f64,
    time: Duration,
) -> Result<Seen, String> {
    let per_tick = (rate * TICK.as_secs_f64()).round().max(1.0) as u32;
    let ticks = (time.as_secs_f64() / TICK.as_secs_f64()) as u32;
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = client::connect(port).map_err(|e| format!("connect to 127.0.0.1:{port}: {e}"))?;
        stream.set_read_timeout(Some(SILENCE)).map_err(|e| e.to_string())?;
        // A broker that cannot write its answers may stop reading.
        stream.set_write_timeout(Some(SILENCE)).map_err(|e| e.to_string())?;
        streams.push(stream);
    }
    let pace = Pace { start: Instant::now() + Duration::from_millis(20), per_tick, ticks };
    thread::scope(|scope| {
        let mut readers = Vec::new();
        for (connection, stream) in streams.iter().enumerate() {
            let stream = stream.try_clone().map_err(|e| e.to_string())?;
            readers.push(scope.spawn(move || read(stream, connection, pace)));
        }
        let templates: Vec<_> = (0..CONNECTIONS)
            .map(|n| SendTemplate::new(form, topic, n as u32, &vec![0x55; body], n as u64, client::now_ms()))
            .collect();
        let mut out = Vec::new();
        for tick in 0..ticks {
            let connection = tick as usize % CONNECTIONS;
            let first = tick / CONNECTIONS as u32 * per_tick;
            let (due, _) = pace.due(connection, first);
            out.clear();
            for number in first..first + per_tick {
                templates[connection].append(&mut out, OPAQUE_BASE + number, u64::from(number));
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            (&streams[connection]).write_all(&out).map_err(|e| format!("write to the broker: {e}"))?;
        }
        let mut all = Seen { rate: f64::from(per_tick) / TICK.as_secs_f64(), ..Seen::default() };
        for reader in readers {
            let seen = reader.join().map_err(|_| "a reader panicked".to_owned())??;
            all.times.add(&seen.times);
            all.errors += seen.errors;
            all.first_error = all.first_error.or(seen.first_error);
        }
        Ok(all)
    })
}

fn read(mut stream: std::net::TcpStream, connection: usize, pace: Pace) -> Result<Seen, String> {
    let (mut inbox, mut seen, mut left) = (Inbox::default(), Seen::default(), pace.on(connection));
    while left > 0 {
        inbox.read(&mut stream).map_err(|e| format!("read from the broker, {left} sends unanswered: {e}"))?;
        let now = Instant::now();
        while let Some(response) = inbox.next()? {
            left = left.saturating_sub(1);
            // The others are still to be read: who writes them would wait for ever otherwise.
            if let Err(text) = client::success(&response) {
                seen.errors += 1;
                seen.first_error.get_or_insert(text);
                continue;
            }
            let (due, tick) = pace.due(connection, response.opaque.wrapping_sub(OPAQUE_BASE));
            if tick >= pace.ticks / UNCOUNTED {
                seen.times.record(now.saturating_duration_since(due));
            }
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_on_what_is_due() {
        let pace = Pace { start: Instant::now(), per_tick: 3, ticks: 10 };
        // Connections 0 and 1 get a third tick.
        assert_eq!((0..4).map(|n| pace.on(n)).collect::<Vec<_>>(), [9, 9, 6, 6]);
        assert_eq!(pace.due(0, 0), (pace.start, 0));
        assert_eq!(pace.due(2, 2), (pace.start + TICK * 2, 2));
        assert_eq!(pace.due(1, 3), (pace.start + TICK * 5, 5));
    }

    #[test]
    fn every_send_after_the_first_part_is_counted_once() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || crate::nothing::converse(stream));
            }
        });
        let time = Duration::from_millis(100);
        let seen = run(port, Header::Json, "t", 64, 9_000.0, time).expect("a run");
        // 400 ticks of 2; the first fifth is not counted.
        assert_eq!((seen.times.len(), seen.rate, seen.errors), (640, 8_000.0, 0));
    }
}
