//! Many requests in flight on many connections, from one thread: an event loop costs the machine less than a thread
//! a connection would, and what the load costs, the broker on the same cores lacks.

use crate::client::{connect, Inbox};
use crate::frame::{Response, OPAQUE_BASE};
use crate::stats::Histogram;
use mio::{net::TcpStream, Events, Interest, Poll, Token};
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// A broker that answers nothing for this long has failed.
const SILENCE: Duration = Duration::from_secs(20);
/// Opaques must stay below 2^31; far above what a connection can use in minutes.
const OPAQUES: u32 = i32::MAX as u32 - OPAQUE_BASE;

/// What a connection asks for and how it takes the answers.
pub trait Work {
    /// Appends one request; false, and nothing appended, when there is nothing more to ask for now.
    fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool;
    /// Takes a response; returns the messages it stands for.
    fn answered(&mut self, response: &Response<'_>) -> Result<u64, String>;
}

/// What came of a run.
#[derive(Default)]
pub struct Tally {
    /// Messages acknowledged or delivered within the time.
    pub messages: u64,
    /// Responses that were not a success, also later ones.
    pub errors: u64,
    /// The first of them.
    pub first_error: Option<String>,
    /// From the first request until the end of the time, or until the last response if that came sooner.
    pub elapsed: Duration,
    /// Request to response.
    pub latency: Histogram,
}

impl Tally {
    /// Messages per second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }

    /// Counts an answer.
    pub fn count(&mut self, answer: Result<u64, String>, took: Duration) {
        match answer {
            Ok(messages) => {
                self.messages += messages;
                self.latency.record(took);
            }
            Err(text) => self.fault(text),
        }
    }

    fn fault(&mut self, text: String) {
        self.errors += 1;
        self.first_error.get_or_insert(text);
    }
}

/// A request in flight: its opaque and when it was written. A free slot keeps its last opaque, to go on from.
#[derive(Clone, Copy)]
struct Slot {
    opaque: u32,
    since: Instant,
    busy: bool,
}

struct Connection<W> {
    stream: TcpStream,
    work: W,
    inbox: Inbox,
    out: Vec<u8>,
    written: usize,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// Drives a connection for each of `works` with up to `window` requests in flight on it, for `time` or until there is
/// nothing more to ask for. Responses still out then are awaited and checked, but not counted.
pub fn run<W: Work>(port: u16, works: Vec<W>, window: usize, time: Duration) -> Result<Tally, String> {
    drive(port, works, window, time).map_err(|e| format!("load on 127.0.0.1:{port}: {e}"))
}

fn drive<W: Work>(port: u16, works: Vec<W>, window: usize, time: Duration) -> io::Result<Tally> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(works.len());
    let mut connections = Vec::new();
    for (index, work) in works.into_iter().enumerate() {
        let mut connection = Connection::open(port, work, window)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut connection.stream, Token(index), interest)?;
        connections.push(connection);
    }
    let mut tally = Tally::default();
    let start = Instant::now();
    for connection in &mut connections {
        connection.fill(start);
        connection.flush()?;
    }
    while connections.iter().any(|connection| connection.in_flight() > 0) {
        poll.poll(&mut events, Some(SILENCE))?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer for {SILENCE:?}")));
        }
        let now = Instant::now();
        let open = now < start + time;
        for event in &events {
            connections[event.token().0].turn(now, open, &mut tally)?;
        }
        if open {
            tally.elapsed = now - start;
        }
    }
    Ok(tally)
}

impl<W: Work> Connection<W> {
    fn open(port: u16, work: W, window: usize) -> io::Result<Self> {
        let stream = connect(port)?;
        stream.set_nonblocking(true)?;
        let since = Instant::now();
        let slot = |index| Slot { opaque: OPAQUE_BASE + index as u32, since, busy: false };
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            work,
            inbox: Inbox::default(),
            out: Vec::new(),
            written: 0,
            slots: (0..window).map(slot).collect(),
            free: (0..window).collect(),
        })
    }

    fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Reads what is there, answers it with new requests, writes them.
    fn turn(&mut self, now: Instant, open: bool, tally: &mut Tally) -> io::Result<()> {
        loop {
            // A read that leaves room has emptied the socket: what comes later brings a new event.
            let more = match self.inbox.read(&mut self.stream) {
                Ok(more) => more,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.flush(),
                Err(e) => return Err(e),
            };
            self.take_answers(now, open, tally).map_err(io::Error::other)?;
            if open {
                self.fill(now);
            }
            self.flush()?;
            if !more {
                return Ok(());
            }
        }
    }

    fn take_answers(&mut self, now: Instant, open: bool, tally: &mut Tally) -> Result<(), String> {
        while let Some(response) = self.inbox.next()? {
            let window = self.slots.len() as u32;
            let index = (response.opaque.wrapping_sub(OPAQUE_BASE) % window) as usize;
            let slot = self.slots[index];
            if slot.opaque != response.opaque || !slot.busy {
                return Err(format!("a response to {}, which is not in flight", response.opaque));
            }
            self.slots[index].busy = false;
            self.free.push(index);
            match self.work.answered(&response) {
                answer if open => tally.count(answer, now - slot.since),
                Ok(_) => (),
                Err(text) => tally.fault(text),
            }
        }
        Ok(())
    }

    fn fill(&mut self, now: Instant) {
        let window = self.slots.len() as u32;
        while let Some(&index) = self.free.last() {
            let next = self.slots[index].opaque - OPAQUE_BASE + window;
            let opaque = OPAQUE_BASE + if next < OPAQUES { next } else { index as u32 };
            if !self.work.ask(opaque, &mut self.out) {
                return;
            }
            self.free.pop();
            self.slots[index] = Slot { opaque, since: now, busy: true };
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(written) => self.written += written,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{self, Header, SendTemplate};
    use std::net::TcpListener;

    struct Sends {
        template: SendTemplate,
        left: u64,
    }

    impl Work for Sends {
        fn ask(&mut self, opaque: u32, out: &mut Vec<u8>) -> bool {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            self.template.append(out, opaque, self.left);
            true
        }
        fn answered(&mut self, response: &Response<'_>) -> Result<u64, String> {
            crate::client::success(response).map(|()| 1)
        }
    }

    /// Answers each frame on one connection, every tenth with code 2, in pairs of swapped order.
    fn answer(listener: TcpListener, frames: usize) {
        let (mut stream, _) = listener.accept().expect("a connection");
        let (mut inbox, mut held, mut seen) = (Inbox::default(), None, 0);
        while seen < frames {
            inbox.read(&mut stream).expect("bytes");
            let mut out = Vec::new();
            while let Some(request) = inbox.next().expect("a frame") {
                seen += 1;
                let code = if seen % 10 == 0 { 2 } else { 0 };
                let mut bytes = Vec::new();
                frame::request(&mut bytes, Header::Binary, code, request.opaque, &[], b"");
                match held.take() {
                    None if seen < frames => held = Some(bytes),
                    earlier => out.extend([bytes, earlier.unwrap_or_default()].concat()),
                }
            }
            stream.write_all(&out).expect("a reader");
        }
    }

    #[test]
    fn all_answers_are_matched_and_errors_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = std::thread::spawn(move || answer(listener, 1000));
        let template = SendTemplate::new(Header::Json, "t", 0, b"body", 1, 0);
        let work = Sends { template, left: 1000 };
        let tally = run(port, vec![work], 4, Duration::from_secs(60)).expect("a run");
        server.join().expect("the server");
        assert_eq!((tally.messages, tally.errors), (900, 100));
        assert_eq!(tally.latency.len(), 900);
        assert!(tally.first_error.is_some_and(|text| text.contains("code 2")));
    }
}
