//! The task of a connection: reads, hands out, writes, and notices the end.

use std::cell::Cell;
use std::future::{poll_fn, Future};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

use super::connection::{Phase, Rest};
use super::input::{Input, Received};
use super::memory::Charge;
use super::output::Output;
use super::stream::Stream;
use super::{Call, Connection, Service};
use crate::wire::{frame, Frame, FrameError};
use crate::ErrorKind;

/// Reads of one connection after which the others of its loop have their turn.
const READS_A_TURN: usize = 16;

/// Memory for replies above this size is given back rather than kept for the next batch.
const SPARE_UP_TO: usize = 256 << 10;

/// How long a connection that we close may take to read its last replies and close too. Closing earlier, with
/// requests still unread here, could make the peer's system throw those replies away.
const LINGER: Duration = Duration::from_millis(500);

/// A call times out on a connection over which nothing has come for this long: the connection is taken for dead.
const SILENT_FOR: Duration = Duration::from_secs(10);

thread_local! {
    /// The reply buffer of a loop, lent to the connection that is being served.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why a connection ends.
#[derive(Debug)]
pub(super) struct End {
    pub kind: ErrorKind,
    pub why: String,
    /// Whether the peer is given time to read what was sent.
    linger: bool,
}

impl End {
    pub fn new(kind: ErrorKind, why: impl Into<String>) -> End {
        End { kind, why: why.into(), linger: false }
    }

    fn lingering(kind: ErrorKind, why: impl Into<String>) -> End {
        End { linger: true, ..End::new(kind, why) }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.get_ref() {
            // Not the system's: it says itself what happened.
            Some(own) => End::new(ErrorKind::Connection, own.to_string()),
            None => End::new(ErrorKind::Connection, format!("the connection broke: {error}")),
        }
    }
}

/// Serves an open connection until it ends.
pub(super) async fn run(stream: Stream, connection: Arc<Connection>, service: Arc<dyn Service>) {
    service.connected(&connection);
    let mut pump = Pump {
        stream,
        timer: Timer::new(),
        input: Input::default(),
        waiting_turn: false,
        writing: Output::default(),
        moved: Instant::now(),
        received: Instant::now(),
        bad_input: None,
        charge: Charge::to(connection.memory().cloned()),
        awaits_peer: false,
        presence: Presence { connection, service, end: None },
    };
    let end = poll_fn(|cx| pump.turn(cx)).await;
    let linger = end.linger;
    let Pump { mut stream, mut presence, input, writing, charge, .. } = pump;
    presence.end = Some(end);
    drop((presence, input, writing, charge));
    if linger {
        // Whatever goes wrong now, the connection is given up next.
        let _ = tokio::time::timeout(LINGER, see_off(&mut stream)).await;
    } else if stream.is_encrypted() {
        // An encrypted stream has an end of its own, which the peer gets if the socket takes it at once.
        let _ = tokio::time::timeout(Duration::ZERO, stream.shutdown()).await;
    }
}

/// Tells the peer that nothing more comes, and waits until it has closed too.
async fn see_off(stream: &mut Stream) -> io::Result<()> {
    stream.shutdown().await?;
    loop {
        stream.socket().readable().await?;
        match stream.socket().try_read(&mut [0; 4096]) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends the connection for everyone else when its task ends, also when the task is dropped with its loop.
struct Presence {
    connection: Arc<Connection>,
    service: Arc<dyn Service>,
    end: Option<End>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let end = self.end.take();
        let end = end.unwrap_or_else(|| End::new(ErrorKind::Closed, "the event loop was shut down"));
        tracing::debug!(
            "connection {} with {} ends: {}",
            self.connection.id(),
            self.connection.peer(),
            end.why
        );
        self.connection.ended(end.kind, &end.why);
        self.service.closed(&self.connection);
    }
}

struct Pump {
    stream: Stream,
    presence: Presence,
    timer: Timer,
    input: Input,
    /// Whole frames may be waiting in `input` until the connection takes requests again.
    waiting_turn: bool,
    writing: Output,
    /// When bytes last went either way.
    moved: Instant,
    /// When bytes last came in.
    received: Instant,
    /// Input that cannot be understood: nothing further is read, and the connection ends once all is written.
    bad_input: Option<String>,
    /// What it holds of the memory of all connections.
    charge: Charge,
    /// The last try to read found nothing.
    awaits_peer: bool,
}

impl Pump {
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut spare = SPARE.take();
        let ended = self.turn_with(cx, &mut spare);
        self.writing.take_spare(&mut spare);
        if spare.capacity() <= SPARE_UP_TO {
            SPARE.set(spare);
        }
        match ended {
            Ok(poll) => poll,
            Err(end) => Poll::Ready(end),
        }
    }

    fn turn_with(&mut self, cx: &mut Context<'_>, spare: &mut Vec<u8>) -> Result<Poll<End>, End> {
        for _ in 0..READS_A_TURN {
            let phase = self.presence.connection.attend(spare);
            let all_written = self.write(cx)?;
            let draining = phase == Phase::Draining;
            self.check(phase, all_written)?;
            if !draining && self.read(cx)? {
                self.write(cx)?;
                self.presence.service.drained(&self.presence.connection);
                continue;
            }
            self.charge.hold_output(self.presence.connection.queued_bytes());
            if let Rest::Sleep(call_deadline) = self.presence.connection.rest(cx.waker(), spare) {
                if !self.alarm(cx, call_deadline)? {
                    return Ok(Poll::Pending);
                }
            }
        }
        self.charge.hold_output(self.presence.connection.queued_bytes());
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Whether the connection should end now.
    fn check(&mut self, phase: Phase, all_written: bool) -> Result<(), End> {
        match phase {
            // A client's last requests are not to be lost by closing over responses that were not read.
            Phase::Closing(ErrorKind::Closed, why) if !self.presence.connection.is_accepted() => {
                Err(End::lingering(ErrorKind::Closed, why))
            }
            Phase::Closing(kind, why) | Phase::Closed(kind, why) => Err(End::new(kind, why)),
            Phase::Draining if all_written && self.presence.connection.parked() == 0 => {
                Err(End::lingering(ErrorKind::Connection, "the server is shutting down"))
            }
            Phase::Open | Phase::Draining => match self.bad_input.take_if(|_| all_written) {
                Some(why) => Err(End::lingering(ErrorKind::Connection, why)),
                None => Ok(()),
            },
        }
    }

    /// Writes what is queued, as far as the socket takes it; says whether that was all.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let connection = &self.presence.connection;
        loop {
            if self.writing.is_empty() && !connection.refill(&mut self.writing) {
                return Ok(Pin::new(&mut self.stream).poll_flush(cx)?.is_ready());
            }
            match self.writing.poll_write(&mut self.stream, cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(written) => {
                    let written = written?;
                    connection.wrote(written);
                    self.charge.moved(written);
                    self.moved = Instant::now();
                }
            }
        }
    }

    /// Reads once and handles what came, or what was left waiting; says whether there was something.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let Presence { connection, service, .. } = &self.presence;
        self.awaits_peer = false;
        connection.look_at_memory();
        if self.bad_input.is_some() || !connection.takes_requests() {
            return Ok(false);
        }
        let (waiting_turn, bad_input) = (&mut self.waiting_turn, &mut self.bad_input);
        let again = std::mem::take(waiting_turn);
        let handle = |bytes: &[u8]| -> Result<usize, End> {
            let (taken, outcome) = handle_frames(bytes, connection, service.as_ref());
            match outcome {
                Outcome::AllTaken => {}
                Outcome::Held => *waiting_turn = true,
                Outcome::Bad(why) => *bad_input = Some(why),
            }
            Ok(taken)
        };
        if again {
            self.input.again(handle)?;
            self.charge.hold_input(&self.input);
            return Ok(true);
        }
        let Some(room) = self.charge.room(connection, &self.input) else { return Ok(false) };
        match self.input.poll_read(&mut self.stream, cx, room, handle) {
            Poll::Pending => {
                self.awaits_peer = true;
                Ok(false)
            }
            Poll::Ready(Ok(Received::Bytes(count))) => {
                self.charge.moved(count);
                self.charge.hold_input(&self.input);
                connection.heard();
                self.moved = Instant::now();
                self.received = self.moved;
                Ok(true)
            }
            Poll::Ready(Ok(Received::End)) => {
                Err(End::new(ErrorKind::Connection, "the peer closed the connection"))
            }
            Poll::Ready(Err(end)) => Err(end),
        }
    }

    /// Sets the timer; says whether it has rung, after doing what was due.
    fn alarm(&mut self, cx: &mut Context<'_>, call_deadline: Option<Instant>) -> Result<bool, End> {
        let connection = &self.presence.connection;
        let idle_at = self.moved + connection.limits().idle;
        let due = [call_deadline, self.charge.judged_at()].into_iter().flatten().fold(idle_at, Instant::min);
        if !self.timer.poll(cx, due) {
            return Ok(false);
        }
        if let Some(why) = self.charge.judge(self.awaits_peer) {
            tracing::warn!("closing the connection with {}: {why}", connection.peer());
            return Err(End::new(ErrorKind::LimitExceeded, why));
        }
        let silent = self.received.elapsed();
        if connection.expire() && !connection.is_accepted() && silent >= SILENT_FOR {
            let why = format!("nothing has come for {} ms while calls timed out", silent.as_millis());
            return Err(End::new(ErrorKind::Connection, why));
        }
        if Instant::now() >= idle_at && self.charge.waits_for_us() {
            self.moved = Instant::now();
        } else if Instant::now() >= idle_at {
            let why = format!("nothing moved for {} ms", connection.limits().idle.as_millis());
            if connection.close_idle(&why) {
                return Err(End::new(ErrorKind::Connection, why));
            }
        }
        Ok(true)
    }
}

/// What was left behind by [`handle_frames`].
enum Outcome {
    /// At most the start of a frame.
    AllTaken,
    /// Perhaps whole frames: the connection takes no further requests for now.
    Held,
    /// Bytes that are no frame.
    Bad(String),
}

/// Hands out the whole frames at the start of `bytes`; returns their length and why it stopped.
fn handle_frames(bytes: &[u8], connection: &Arc<Connection>, service: &dyn Service) -> (usize, Outcome) {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let decoded = match frame::length(rest, connection.limits().frame) {
            Ok(Some(length)) if rest.len() >= length => {
                let bytes = &rest[..length];
                Frame::decode(bytes).map(|frame| (frame, bytes))
            }
            Ok(_) => return (at, Outcome::AllTaken),
            Err(error) => Err(error),
        };
        let (frame, bytes) = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return (at, Outcome::Bad(bad_input(rest, &error, connection))),
        };
        if frame.is_response() {
            connection.answered(&frame, bytes);
        } else if connection.takes_requests() {
            service.handle(Call::new(&frame, connection));
        } else {
            return (at, Outcome::Held);
        }
        at += bytes.len();
    }
}

/// Logs input that is no frame, with what it looks like, and says why the connection is closed.
fn bad_input(bytes: &[u8], error: &FrameError, connection: &Connection) -> String {
    let guess = match bytes {
        [0x16, 0x03, ..] => "; this is a TLS handshake, and TLS is not offered on this port",
        [b'P', b'R', b'O', b'X', ..] | [0x0d, 0x0a, 0x0d, 0x0a, ..] => {
            "; this is a PROXY protocol preamble, which is not supported: connect without it"
        }
        [b'G', b'E', b'T', b' ', ..] | [b'P', b'O', b'S', b'T', ..] => "; this is an HTTP request",
        _ => "",
    };
    let why = format!("input is no frame: {error}{guess}");
    tracing::warn!("closing the connection with {}: {why}", connection.peer());
    why
}

/// One timer for the several deadlines of a task.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub fn new() -> Timer {
        // Set by the first poll.
        Timer { sleep: Box::pin(tokio::time::sleep(Duration::from_secs(3600))) }
    }

    /// Whether `at` has come; if not, the task is woken then. An earlier time set before may wake it once more.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> bool {
        let at = tokio::time::Instant::from_std(at);
        if at < self.sleep.deadline() {
            self.sleep.as_mut().reset(at);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if tokio::time::Instant::now() >= at {
                self.sleep.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(3600));
                return true;
            }
            self.sleep.as_mut().reset(at);
        }
        false
    }
}
