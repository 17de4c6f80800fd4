//! One connection as everyone but its task sees it: what to send, what is waited for, whether it is open.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::calls::{Calls, Done, Waiting};
use super::local::{self, Link};
use super::memory::{Memory, SMALL};
use super::output::{Output, SHARE_FROM};
use super::{Limits, Reply};
use crate::sync::Mutex;
use crate::wire::{Body, Encoding, Frame, Request, RequestCode, Response};
use crate::{Error, ErrorKind, Result};

/// One connection, over TCP or within the process, accepted by a [`Server`](super::Server) or made by a
/// [`Client`](super::Client). Both sides may send requests on it.
///
/// All methods may be called from any thread and return at once.
pub struct Connection {
    id: u64,
    origin: Origin,
    limits: Arc<Limits>,
    /// That of all connections of its server.
    memory: Option<Arc<Memory>>,
    /// Whether that was short when the task last looked, which it does once a batch.
    short: AtomicBool,
    encoding: Encoding,
    addresses: OnceLock<(SocketAddr, SocketAddr)>,
    /// Bytes not yet written: those in `state` and those in the task's hands.
    queued: AtomicUsize,
    parked: AtomicUsize,
    /// Set in a connection within the process.
    link: Option<Link>,
    /// Whether anything ever came from the peer.
    heard: AtomicBool,
    state: Mutex<State>,
}

/// Where a connection comes from.
pub(super) enum Origin {
    Accepted {
        vip: bool,
    },
    /// Made to this address.
    Made(String),
}

/// How far a connection's life has come.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Phase {
    Open,
    /// Handles no further requests; closes when all parked ones are answered and all is written.
    Draining,
    /// Writes what it can at once, then closes.
    Closing(ErrorKind, String),
    Closed(ErrorKind, String),
}

struct State {
    phase: Phase,
    /// When the phase became closing or closed.
    ended_at: Option<Instant>,
    output: Output,
    calls: Calls,
    /// The task is running or has been woken: it will look at this state before it sleeps.
    attended: bool,
    /// Something changed since the task last looked.
    poked: bool,
    waker: Option<Waker>,
}

impl State {
    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.ended_at.get_or_insert_with(Instant::now);
    }

    /// Notes a change. The caller wakes what is returned, once the lock is released.
    #[must_use]
    fn poke(&mut self) -> Option<Waker> {
        self.poked = true;
        if self.attended {
            return None;
        }
        self.attended = true;
        self.waker.take()
    }
}

/// How a connection ended.
pub(super) struct Ending {
    pub at: Instant,
    pub why: String,
    /// Whether anything ever came over it, or we closed it ourselves.
    pub useful: bool,
}

/// What a connection's task does when it finds nothing to do.
pub(super) enum Rest {
    /// Something changed meanwhile: go on.
    Again,
    /// Sleep, at most until the first deadline of a call.
    Sleep(Option<Instant>),
}

impl Connection {
    pub(super) fn new(origin: Origin, limits: Arc<Limits>, encoding: Encoding) -> Arc<Connection> {
        Arc::new(Connection::with_link(origin, limits, encoding, None))
    }

    /// One that a server accepts, whose memory counts with that of the others.
    pub(super) fn accepted(vip: bool, limits: Arc<Limits>, memory: Arc<Memory>) -> Arc<Connection> {
        let accepted = Connection::with_link(Origin::Accepted { vip }, limits, Encoding::Json, None);
        Arc::new(Connection { memory: Some(memory), ..accepted })
    }

    /// One end of a connection within the process: the one that the client made to this address, or the service's.
    pub(super) fn local_end(made_to: Option<&str>, link: Link, limits: Arc<Limits>) -> Connection {
        let origin = match made_to {
            Some(address) => Origin::Made(address.into()),
            None => Origin::Accepted { vip: false },
        };
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let remote = made_to.and_then(|address| address.parse().ok()).unwrap_or(here);
        let connection = Connection::with_link(origin, limits, Encoding::Binary, Some(link));
        connection.established(here, remote);
        connection
    }

    fn with_link(origin: Origin, limits: Arc<Limits>, encoding: Encoding, link: Option<Link>) -> Connection {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        Connection {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            origin,
            limits,
            memory: None,
            short: AtomicBool::new(false),
            encoding,
            addresses: OnceLock::new(),
            queued: AtomicUsize::new(0),
            parked: AtomicUsize::new(0),
            heard: AtomicBool::new(false),
            state: Mutex::new(State {
                phase: Phase::Open,
                ended_at: None,
                output: Output::default(),
                calls: Calls::default(),
                // The task that is about to be spawned looks before it first sleeps.
                attended: true,
                poked: false,
                waker: None,
            }),
            link,
        }
    }

    /// A number that no other connection of this process has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer's address; 0.0.0.0:0 while a client's connection is still being made.
    pub fn remote(&self) -> SocketAddr {
        self.addresses.get().map_or(NOWHERE, |(_, remote)| *remote)
    }

    /// This side's address; 0.0.0.0:0 while a client's connection is still being made.
    pub fn local(&self) -> SocketAddr {
        self.addresses.get().map_or(NOWHERE, |(local, _)| *local)
    }

    /// Whether it was accepted on the VIP port (the main port - 2), which serves everything but pulls.
    #[doc(alias = "VIPChannel")]
    pub fn is_vip(&self) -> bool {
        matches!(self.origin, Origin::Accepted { vip: true })
    }

    /// Whether requests and responses can still be sent; true also while a client's connection is being made.
    pub fn is_open(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Open | Phase::Draining)
    }

    /// Bytes waiting for the peer to read them; within the process, those of requests that the client has not taken yet.
    pub fn queued_bytes(&self) -> usize {
        match &self.link {
            None => self.queued.load(Ordering::Relaxed),
            Some(link) => link.lane().queued_bytes(),
        }
    }

    /// Whether more than [`Limits::output`] bytes wait for the peer, or any number worth counting while the memory of all
    /// connections of the server is short. What answers parked requests with much data
    /// should answer such a connection with none, and let it ask again.
    pub fn is_congested(&self) -> bool {
        let queued = self.queued_bytes();
        queued > self.limits.output
            || queued > SMALL && self.memory.as_ref().is_some_and(|memory| memory.is_short())
    }

    /// Calls of this side that wait for a response.
    pub fn calls_in_flight(&self) -> usize {
        self.state.lock().calls.len()
    }

    /// Closes: what is queued is written as far as the socket takes it at once, calls in flight fail.
    pub fn close(&self) {
        self.end(ErrorKind::Closed, "the connection was closed on this side".into());
    }

    /// Sends a request that the peer must not answer.
    #[doc(alias = "invokeOneway")]
    pub fn push(&self, request: &Request<'_>) {
        if self.link.is_some() {
            if let Err(error) = self.try_oneway(request) {
                tracing::debug!("a {} was not sent: {error}", request.code());
            }
            return;
        }
        self.append(|state| {
            let opaque = state.calls.opaque();
            if let Err(error) = request.encode(self.encoding, opaque, true, state.output.tail()) {
                tracing::warn!("a {} for {} was not sent: {error}", request.code(), self.peer());
            }
        });
    }

    /// Sends a request and tells `done` the response, or the failure: [`ErrorKind::Timeout`],
    /// [`ErrorKind::Connection`] as soon as the connection breaks, [`ErrorKind::LimitExceeded`] if the frame is larger
    /// than [`Limits::frame`] or too much is in flight. `done` runs on the event loop and must not block; it runs on
    /// the caller's thread if the request could not be sent.
    #[doc(alias = "invokeAsync")]
    pub fn call(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        done: impl FnOnce(Result<Reply>) + Send + 'static,
    ) {
        if let Err((error, done)) = self.try_call(request, timeout, Box::new(done)) {
            done(Err(error));
        }
    }

    /// As [`Connection::call`], but hands `done` back if nothing was sent.
    pub(super) fn try_call(
        &self,
        request: &Request<'_>,
        timeout: Duration,
        done: Done,
    ) -> Result<(), (Error, Done)> {
        let waker = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            if let Err(error) = self.may_call(state, request) {
                return Err((error, done));
            }
            let opaque = state.calls.opaque();
            if let Err(error) = self.encode_request(state, request, opaque, false) {
                return Err((error, done));
            }
            let call = Waiting::new(request.code(), timeout, done);
            if self.link.is_some() {
                self.watch(call.deadline());
            }
            state.calls.insert(opaque, call);
            state.poke()
        };
        wake(waker);
        Ok(())
    }

    /// Sends a request that the peer must not answer, or says why it could not be queued.
    pub(super) fn try_oneway(&self, request: &Request<'_>) -> Result<()> {
        let waker = {
            let mut guard = self.state.lock();
            let state = &mut *guard;
            self.may_send(state, request)?;
            let opaque = state.calls.opaque();
            self.encode_request(state, request, opaque, true)?;
            state.poke()
        };
        wake(waker);
        Ok(())
    }

    fn may_call(&self, state: &State, request: &Request<'_>) -> Result<()> {
        if state.calls.len() >= self.limits.calls {
            let (code, limit) = (request.code(), self.limits.calls);
            let context = format!("{} at {}: {limit} calls are in flight already", code, self.peer());
            return Err(Error::new(ErrorKind::LimitExceeded, "call", context));
        }
        self.may_send(state, request)
    }

    fn may_send(&self, state: &State, request: &Request<'_>) -> Result<()> {
        let refuse = |kind, why: &str| {
            Err(Error::new(kind, "call", format!("{} at {}: {why}", request.code(), self.peer())))
        };
        match &state.phase {
            Phase::Closing(kind, why) | Phase::Closed(kind, why) => return refuse(*kind, why),
            Phase::Open | Phase::Draining => {}
        }
        if self.queued_bytes() > self.limits.output_ceiling {
            let why = format!("{} bytes wait for the peer to read them", self.queued_bytes());
            return refuse(ErrorKind::LimitExceeded, &why);
        }
        Ok(())
    }

    fn encode_request(
        &self,
        state: &mut State,
        request: &Request<'_>,
        opaque: i32,
        oneway: bool,
    ) -> Result<()> {
        if self.link.is_some() {
            return self.post_request(request, opaque, oneway);
        }
        let tail = state.output.tail();
        let before = tail.len();
        request.encode(self.encoding, opaque, oneway, tail)?;
        let added = tail.len() - before;
        if added > self.limits.frame {
            tail.truncate(before);
            let (code, limit) = (request.code(), self.limits.frame);
            let context = format!("{} of {added} bytes: a frame may have {limit} bytes", code);
            return Err(Error::new(ErrorKind::LimitExceeded, "call", context));
        }
        self.queued.fetch_add(added, Ordering::Relaxed);
        Ok(())
    }

    /// Queues a response.
    pub(super) fn respond(&self, encoding: Encoding, opaque: i32, response: Response) {
        if self.link.is_some() {
            return self.respond_locally(opaque, Ok(response));
        }
        let large = |chunk: &Bytes| chunk.len() >= SHARE_FROM;
        self.append(|state| match &response.body {
            Body::Bytes(body) if large(body) => {
                if response.encode_head(encoding, opaque, state.output.tail()) {
                    state.output.push(body);
                }
            }
            Body::Chunks(chunks) if chunks.iter().any(large) => {
                if response.encode_head(encoding, opaque, state.output.tail()) {
                    chunks.iter().for_each(|chunk| state.output.push(chunk));
                }
            }
            _ => response.encode(encoding, opaque, state.output.tail()),
        });
    }

    /// A request of the peer's was dropped; one in this process is told.
    pub(super) fn drop_request(&self, code: RequestCode, opaque: i32) {
        if self.link.is_some() {
            self.respond_locally(opaque, Err(local::unanswered(code, &self.peer())));
        }
    }

    /// Lets `encode` append to the output of an open connection, and wakes the task once.
    fn append(&self, encode: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Open | Phase::Draining) {
                return;
            }
            let before = state.output.len();
            encode(&mut state);
            let added = state.output.len() - before;
            let queued = self.queued.fetch_add(added, Ordering::Relaxed) + added;
            if queued > self.limits.output_ceiling {
                let why = format!(
                    "{queued} bytes wait for {} to read them, more than {}",
                    self.peer(),
                    self.limits.output_ceiling
                );
                state.end(Phase::Closing(ErrorKind::LimitExceeded, why));
            }
            state.poke()
        };
        wake(waker);
    }

    /// Who is at the other end, for messages.
    pub(super) fn peer(&self) -> String {
        match &self.origin {
            Origin::Made(address) => address.clone(),
            Origin::Accepted { .. } => self.remote().to_string(),
        }
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.origin, Origin::Accepted { .. })
    }

    pub(super) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Enters a call without sending anything; gives it back if the connection is closed.
    pub(super) fn enter_waiting(&self, call: Waiting) -> Result<i32, (ErrorKind, String, Waiting)> {
        let mut state = self.state.lock();
        if let Phase::Closing(kind, why) | Phase::Closed(kind, why) = &state.phase {
            return Err((*kind, why.clone(), call));
        }
        let opaque = state.calls.opaque();
        state.calls.insert(opaque, call);
        Ok(opaque)
    }

    /// Takes a call in flight out; whoever has it tells its end.
    pub(super) fn take_call(&self, opaque: i32) -> Option<Waiting> {
        self.state.lock().calls.remove(opaque)
    }

    /// When to look for overdue calls next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.state.lock().calls.next_deadline()
    }

    /// Closes an end of a connection within the process, and takes its calls.
    pub(super) fn close_at_once(&self, phase: Phase) -> Vec<Waiting> {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Open | Phase::Draining) {
            state.end(phase);
        }
        state.calls.take_all()
    }

    /// Why nothing can be sent any more.
    pub(super) fn why_closed(&self) -> (ErrorKind, String) {
        match &self.state.lock().phase {
            Phase::Closing(kind, why) | Phase::Closed(kind, why) => (*kind, why.clone()),
            Phase::Open | Phase::Draining => (ErrorKind::Closed, "the connection is being closed".into()),
        }
    }

    /// Looks whether memory is short, for the frames of the next batch.
    pub(super) fn look_at_memory(&self) {
        let short = self.memory.as_ref().is_some_and(|memory| memory.is_short());
        if short != self.short.load(Ordering::Relaxed) {
            self.short.store(short, Ordering::Relaxed);
        }
    }

    /// Bytes that may wait for the peer when its next request is handled.
    fn most_queued(&self) -> usize {
        match self.short.load(Ordering::Relaxed) {
            true => SMALL.min(self.limits.output),
            false => self.limits.output,
        }
    }

    pub(super) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }

    /// Wakes the task.
    pub(super) fn go_on(&self) {
        let waker = self.state.lock().poke();
        wake(waker);
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn established(&self, local: SocketAddr, remote: SocketAddr) {
        // A connection is established once; a second time would change nothing.
        let _ = self.addresses.set((local, remote));
    }

    pub(super) fn ticket_made(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
    }

    /// A parked request was answered or dropped: the task may take further ones, or finish draining.
    pub(super) fn ticket_gone(&self) {
        let before = self.parked.fetch_sub(1, Ordering::SeqCst);
        if before == self.limits.parked || before == 1 {
            self.go_on();
        }
    }

    /// Whether the next request may be handled: neither too much waits for the peer nor for an answer. Only requests
    /// that were accepted are held back: a client that stopped reading responses could block both sides for good.
    pub(super) fn takes_requests(&self) -> bool {
        !self.is_accepted()
            || (self.queued_bytes() <= self.most_queued()
                && self.parked.load(Ordering::SeqCst) < self.limits.parked)
    }

    pub(super) fn parked(&self) -> usize {
        self.parked.load(Ordering::SeqCst)
    }

    /// Tells the waiting call the response `frame`, whose bytes are `bytes`. Late and unknown ones are dropped.
    pub(super) fn answered(&self, frame: &Frame<'_>, bytes: &[u8]) {
        let call = self.state.lock().calls.remove(frame.opaque);
        match call {
            Some(call) => call.succeed(Reply::new(Bytes::copy_from_slice(bytes))),
            None => tracing::debug!("dropped a response of {} with opaque {}", self.peer(), frame.opaque),
        }
    }

    /// Fails the calls that are overdue; says whether there were any.
    pub(super) fn expire(&self) -> bool {
        let overdue = self.state.lock().calls.overdue(Instant::now());
        let any = !overdue.is_empty();
        if any {
            let peer = self.peer();
            overdue.into_iter().for_each(|call| call.time_out(&peer));
        }
        any
    }

    /// The task looks at the state. Until it rests, changes need not wake it. `spare` is lent to an output without
    /// memory.
    pub(super) fn attend(&self, spare: &mut Vec<u8>) -> Phase {
        let mut state = self.state.lock();
        state.attended = true;
        state.poked = false;
        state.output.give_spare(spare);
        state.phase.clone()
    }

    /// Takes what is to be written; `writing` must be empty. Returns whether there is something.
    pub(super) fn refill(&self, writing: &mut Output) -> bool {
        let mut state = self.state.lock();
        if !state.output.is_empty() {
            std::mem::swap(writing, &mut state.output);
        }
        !writing.is_empty()
    }

    /// Bytes were written.
    pub(super) fn wrote(&self, count: usize) {
        self.queued.fetch_sub(count, Ordering::Relaxed);
    }

    /// The task is about to sleep; `waker` will be woken by the next change. Takes the output's empty memory along.
    pub(super) fn rest(&self, waker: &Waker, spare: &mut Vec<u8>) -> Rest {
        let mut state = self.state.lock();
        if state.poked {
            return Rest::Again;
        }
        state.attended = false;
        state.waker = Some(waker.clone());
        state.output.take_spare(spare);
        Rest::Sleep(state.calls.next_deadline())
    }

    /// Marks as closed unless something has happened since the task last looked; for idle connections.
    pub(super) fn close_idle(&self, why: &str) -> bool {
        let mut state = self.state.lock();
        if !state.poked {
            state.end(Phase::Closed(ErrorKind::Connection, why.into()));
        }
        !state.poked
    }

    /// Stops handling requests and closes when what is in flight is answered.
    pub(super) fn drain(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
            let waker = state.poke();
            drop(state);
            wake(waker);
        }
    }

    /// Asks the task to close.
    pub(super) fn end(&self, kind: ErrorKind, why: String) {
        if self.link.is_some() {
            return self.end_locally(kind, &why);
        }
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Open | Phase::Draining) {
            state.end(Phase::Closing(kind, why));
            let waker = state.poke();
            drop(state);
            wake(waker);
        }
    }

    /// How it ended, if it has.
    pub(super) fn ending(&self) -> Option<Ending> {
        let state = self.state.lock();
        let (Phase::Closing(kind, why) | Phase::Closed(kind, why)) = &state.phase else { return None };
        let useful = self.heard.load(Ordering::Relaxed) || *kind != ErrorKind::Connection;
        Some(Ending { at: state.ended_at?, why: why.clone(), useful })
    }

    /// Something came from the peer.
    pub(super) fn heard(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// The task has ended: fails the calls in flight and frees what was to be sent.
    pub(super) fn ended(&self, kind: ErrorKind, why: &str) {
        let calls = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Closed(..)) {
                state.end(Phase::Closed(kind, why.into()));
            }
            self.queued.store(0, Ordering::Relaxed);
            state.output = Output::default();
            state.waker = None;
            state.calls.take_all()
        };
        if !calls.is_empty() {
            let peer = self.peer();
            calls.into_iter().for_each(|call| call.fail(kind, &peer, why));
        }
    }
}

/// What a connection without addresses shows.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({}, {})", self.id, self.peer())
    }
}
