//! End to end: a producer at a steady pace, a consumer whose pull the broker holds until a message lands.

use crate::client::{self, Client, Inbox};
use crate::frame::{Header, SendTemplate, OPAQUE_BASE};
use crate::record;
use crate::stats::Histogram;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Between two messages: 1,000 a second.
const PACE: Duration = Duration::from_millis(1);
/// Body bytes; the first eight carry the time of sending.
const BODY: usize = 128;
/// The first part of a run, in which connections and caches warm up, is not counted: this fraction of it.
const UNCOUNTED: u64 = 5;
/// What has not come this long after the last message was due is not awaited any longer; above the hold time of a pull.
const SILENCE: Duration = Duration::from_secs(20);

/// A delay that messages ask for.
#[derive(Debug, Clone, Copy)]
pub struct Delay {
    /// How long.
    pub time: Duration,
    /// The level, a property, that stands for it.
    level: &'static str,
}

impl Delay {
    /// Level 1.
    pub const ONE_SECOND: Delay = Delay { time: Duration::from_secs(1), level: "1" };
}

/// What a run saw.
#[derive(Default)]
pub struct Seen {
    /// Without delay from just before the producer's write until after the consumer's read of the same message; with
    /// one how much later than it was due.
    pub times: Histogram,
    /// Messages that came before they were due, by more than the millisecond that brokers' clocks are exact to.
    pub early: u64,
}

/// Sends for `time` to queue 0 of an empty topic, and consumes. The producer never waits for its acknowledgements, so
/// that a slow one does not hide the delay of the messages behind it.
pub fn run(
    port: u16,
    form: Header,
    topic: &str,
    time: Duration,
    delay: Option<Delay>,
) -> Result<Seen, String> {
    let messages = (time.as_millis() / PACE.as_millis()).max(10) as u64;
    let epoch = Instant::now();
    let wait = Wait {
        over: AtomicBool::new(false),
        until: epoch + PACE * messages as u32 + delay.map_or(Duration::ZERO, |delay| delay.time) + SILENCE,
    };
    thread::scope(|scope| {
        let consumer = scope.spawn(|| consume(port, form, topic, messages, epoch, delay, &wait));
        // Lets the first pull arrive, so that it is held.
        thread::sleep(Duration::from_millis(50));
        let produced = produce(port, form, topic, messages, epoch, delay);
        // What was not sent will not come.
        wait.over.store(produced.is_err(), Ordering::Relaxed);
        let consumed = consumer.join().map_err(|_| "the consumer panicked".to_owned())?;
        produced.and(consumed)
    })
}

/// How long a consumer waits for the messages that it has not got.
struct Wait {
    /// The producer has failed.
    over: AtomicBool,
    until: Instant,
}

fn consume(
    port: u16,
    form: Header,
    topic: &str,
    messages: u64,
    epoch: Instant,
    delay: Option<Delay>,
    wait: &Wait,
) -> Result<Seen, String> {
    let mut client = Client::connect(port, form)?;
    let mut seen = Seen::default();
    let mut offset = 0;
    while offset < messages {
        if wait.over.load(Ordering::Relaxed) || Instant::now() > wait.until {
            return Err(format!("{topic}: {} of {messages} messages did not come", messages - offset));
        }
        let response = client.pull(topic, 0, offset, true)?;
        let now = epoch.elapsed();
        match response.code {
            // Held until its time was over, or a false alarm.
            19 | 20 => continue,
            _ => client::success(&response)?,
        }
        let mut lost = None;
        offset += record::walk(response.body, |at, body| {
            let sent = body.first_chunk().map(|chunk| Duration::from_nanos(u64::from_be_bytes(*chunk)));
            match sent {
                Some(sent) if at >= messages / UNCOUNTED => {
                    let due = sent + delay.map_or(Duration::ZERO, |delay| delay.time);
                    seen.early += u64::from(now + Duration::from_millis(1) < due);
                    seen.times.record(now.saturating_sub(due));
                }
                Some(_) => (),
                None => lost = Some(at),
            }
        })?;
        if let Some(at) = lost {
            return Err(format!("{topic}: message {at} came without its body"));
        }
    }
    Ok(seen)
}

fn produce(
    port: u16,
    form: Header,
    topic: &str,
    messages: u64,
    epoch: Instant,
    delay: Option<Delay>,
) -> Result<(), String> {
    let more = delay.map_or_else(String::new, |delay| format!("DELAY\u{1}{}\u{2}", delay.level));
    let template = SendTemplate::with(form, topic, 0, &[0x55; BODY], 0, client::now_ms(), &more);
    let mut stream = client::connect(port).map_err(|e| format!("connect to 127.0.0.1:{port}: {e}"))?;
    stream.set_nonblocking(true).map_err(|e| e.to_string())?;
    let (mut inbox, mut out, mut answered) = (Inbox::default(), Vec::new(), 0);
    let start = Instant::now();
    for n in 0..messages {
        let due = start + PACE * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        answered += answers(&mut stream, &mut inbox)?;
        out.clear();
        template.append(&mut out, OPAQUE_BASE + n as u32, n);
        let at = template.body_at();
        out[at..at + 8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_be_bytes());
        // A frame of 500 bytes finds room in the socket's buffer unless the broker has stopped reading.
        stream.write_all(&out).map_err(|e| format!("write to the broker: {e}"))?;
    }
    let patience = Instant::now() + Duration::from_secs(10);
    while answered < messages {
        if Instant::now() > patience {
            return Err(format!("{} of {messages} sends were not answered", messages - answered));
        }
        thread::sleep(Duration::from_millis(1));
        answered += answers(&mut stream, &mut inbox)?;
    }
    Ok(())
}

/// Takes what answers are there; each must be a success.
fn answers(stream: &mut std::net::TcpStream, inbox: &mut Inbox) -> Result<u64, String> {
    let mut count = 0;
    loop {
        match inbox.read(stream) {
            Ok(_) => (),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(count),
            Err(e) => return Err(format!("read from the broker: {e}")),
        }
        while let Some(response) = inbox.next()? {
            client::success(&response)?;
            count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nothing;
    use std::net::TcpListener;

    /// A server that answers all pulls with nothing, and the first connection only.
    fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for (n, stream) in listener.incoming().flatten().enumerate() {
                if n == 0 {
                    thread::spawn(move || nothing::converse(stream));
                }
            }
        });
        port
    }

    #[test]
    fn a_producer_that_fails_ends_its_consumer() {
        let start = Instant::now();
        let seen = run(server(), Header::Json, "t", Duration::from_secs(1), None);
        let text = seen.err().expect("a failure");
        assert!(text.contains("the broker"), "{text}");
        assert!(start.elapsed() < SILENCE, "{:?}", start.elapsed());
    }

    #[test]
    fn what_does_not_come_is_told() {
        let now = Instant::now();
        let wait = Wait { over: AtomicBool::new(false), until: now + Duration::from_millis(50) };
        let seen = consume(server(), Header::Json, "t", 10, now, None, &wait);
        assert_eq!(seen.err().as_deref(), Some("t: 10 of 10 messages did not come"));
    }
}
