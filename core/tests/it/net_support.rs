//! What the tests of the net room share: a service with a few made-up codes, a raw peer, a bad network.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ferromq::net::{Call, Connection, Limits, Loops, Server, ServerOptions, Service, Ticket};
use ferromq::wire::{Body, Frame, Request, Response};
use parking_lot::Mutex;

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
pub const HANG: Duration = Duration::from_secs(60);

/// Answered at once with its own body.
pub const ECHO: i32 = 9001;
/// Parked until [`Echo::release`].
pub const PARK: i32 = 9002;
/// Answered with as many bytes as the body says, in chunks of as many bytes as it says behind the comma.
pub const BIG: i32 = 9003;
/// Answered with "vip" or "main".
pub const WHICH: i32 = 9004;
/// Makes the service panic.
pub const PANIC: i32 = 9005;
/// Parked, and answered with its body after a while by a thread of its own.
pub const LATER: i32 = 9006;

/// A service of the codes above that counts what happens to it.
#[derive(Default)]
pub struct Echo {
    pub handled: AtomicUsize,
    pub connected: AtomicUsize,
    pub closed: AtomicUsize,
    pub drained: AtomicUsize,
    pub last: Mutex<Option<Arc<Connection>>>,
    parked: Mutex<Vec<(Ticket, Bytes)>>,
}

impl Echo {
    pub fn parked(&self) -> usize {
        self.parked.lock().len()
    }

    /// Forgets all parked requests without an answer.
    pub fn forget(&self) {
        self.parked.lock().clear();
    }

    /// Answers all parked requests with their bodies, the last one first, from the calling thread.
    pub fn release(&self) -> usize {
        let mut parked = std::mem::take(&mut *self.parked.lock());
        parked.reverse();
        let count = parked.len();
        for (ticket, body) in parked {
            ticket.reply(Response::ok().with_body(Body::Bytes(body)));
        }
        count
    }
}

impl Service for Echo {
    fn handle(&self, call: Call<'_>) {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let body = Bytes::copy_from_slice(body_of(&call));
        match call.code().0 {
            PARK => self.parked.lock().push((call.park(), body)),
            BIG => call.reply(Response::ok().with_body(big(&body))),
            WHICH => {
                let name: &[u8] = if call.connection.is_vip() { b"vip" } else { b"main" };
                call.reply(Response::ok().with_body(Body::Bytes(Bytes::from_static(name))));
            }
            PANIC => panic!("a service that panics, for a test"),
            LATER => {
                let ticket = call.park();
                std::thread::spawn(move || ticket.reply(Response::ok().with_body(Body::Bytes(body))));
            }
            _ => call.reply(Response::ok().with_body(Body::Bytes(body))),
        }
    }

    fn drained(&self, _: &Arc<Connection>) {
        self.drained.fetch_add(1, Ordering::SeqCst);
    }

    fn connected(&self, connection: &Arc<Connection>) {
        self.connected.fetch_add(1, Ordering::SeqCst);
        *self.last.lock() = Some(connection.clone());
    }

    fn closed(&self, _: &Arc<Connection>) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }
}

fn body_of<'a>(call: &Call<'a>) -> &'a [u8] {
    match (call.frame(), call.request()) {
        (Some(frame), _) => frame.body,
        (None, Ok(Request::UpdateBrokerConfig(request))) => request.body,
        _ => b"",
    }
}

fn big(body: &[u8]) -> Body {
    let (size, chunk) = std::str::from_utf8(body).unwrap().split_once(',').unwrap();
    let (size, chunk): (usize, usize) = (size.parse().unwrap(), chunk.parse().unwrap());
    let whole = Bytes::from(pattern(size));
    if chunk == 0 {
        return Body::Bytes(whole);
    }
    Body::Chunks((0..size).step_by(chunk).map(|at| whole.slice(at..size.min(at + chunk))).collect())
}

/// Bytes in which a missing or exchanged part shows.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 251 + at) as u8).collect()
}

/// A running server with an [`Echo`].
pub struct TestServer {
    pub service: Arc<Echo>,
    pub server: Server,
}

pub fn start() -> TestServer {
    start_with(|_| {})
}

pub fn start_with(change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    let mut options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    change(&mut options);
    let (loops, service) = (Loops::new(2), Arc::new(Echo::default()));
    let server = Server::bind(&loops, options, service.clone()).unwrap();
    TestServer { service, server }
}

pub fn with_limits(change: impl FnOnce(&mut Limits)) -> TestServer {
    start_with(|options| change(&mut options.limits))
}

impl TestServer {
    pub fn raw(&self) -> Raw {
        Raw::connect(self.server.port())
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.server.port())
    }
}

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A frame with a JSON header, made here byte by byte. Flag: 0 request, 1 response, 2 oneway.
pub fn frame(code: i32, opaque: i32, flag: i32, body: &[u8]) -> Vec<u8> {
    let header =
        format!(r#"{{"code":{code},"flag":{flag},"language":"JAVA","opaque":{opaque},"version":401}}"#);
    let mut frame = Vec::new();
    frame.extend((4 + header.len() as u32 + body.len() as u32).to_be_bytes());
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header.as_bytes());
    frame.extend(body);
    frame
}

/// The same with a binary header.
pub fn binary_frame(code: i32, opaque: i32, flag: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend((4 + 21 + body.len() as u32).to_be_bytes());
    frame.extend((21u32 | 1 << 24).to_be_bytes());
    frame.extend((code as i16).to_be_bytes());
    frame.push(0);
    frame.extend(401u16.to_be_bytes());
    frame.extend(opaque.to_be_bytes());
    frame.extend(flag.to_be_bytes());
    frame.extend([0; 8]);
    frame.extend(body);
    frame
}

/// What a raw peer reads: code, opaque, flag and body of a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub code: i32,
    pub opaque: i32,
    pub flag: i32,
    pub body: Vec<u8>,
}

/// A peer that speaks with its fists.
pub struct Raw {
    pub stream: TcpStream,
}

impl Raw {
    pub fn connect(port: u16) -> Raw {
        Raw::over(TcpStream::connect(("127.0.0.1", port)).unwrap())
    }

    pub fn over(stream: TcpStream) -> Raw {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        Raw { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) -> &mut Raw {
        self.stream.write_all(bytes).unwrap();
        self
    }

    /// The next frame; `None` when the peer has closed.
    pub fn next(&mut self) -> Option<Seen> {
        let mut bytes = vec![0; 4];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return None,
            Err(error) => panic!("no answer: {error}"),
        }
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        bytes.resize(4 + length, 0);
        match self.stream.read_exact(&mut bytes[4..]) {
            Ok(()) => {}
            Err(error) if is_end(&error) => return None,
            Err(error) => panic!("half an answer: {error}"),
        }
        let frame = Frame::decode(&bytes).unwrap();
        Some(Seen { code: frame.code, opaque: frame.opaque, flag: frame.flag, body: frame.body.to_vec() })
    }

    /// Sends one request and returns the body of the answer.
    pub fn ask(&mut self, code: i32, opaque: i32, body: &[u8]) -> Vec<u8> {
        let answer = self.send(&frame(code, opaque, 0, body)).next().expect("an answer, not the end");
        assert_eq!((answer.code, answer.opaque, answer.flag), (0, opaque, 1));
        answer.body
    }

    /// Whether the peer closes without a further frame.
    pub fn is_closed(&mut self) -> bool {
        self.next().is_none()
    }
}

/// Both ways in which a closed connection shows: orderly, or by reset when it had not read everything.
pub fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// A small deterministic random source.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A bad network between a client and a server: delays what passes, and cuts connections on demand.
pub struct Proxy {
    pub port: u16,
    shared: Arc<ProxyState>,
    acceptor: Option<JoinHandle<()>>,
}

struct ProxyState {
    delay_ms: AtomicU64,
    refusing: AtomicBool,
    stopped: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub fn to(target: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(ProxyState {
            delay_ms: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let state = shared.clone();
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if state.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                if !state.refusing.load(Ordering::SeqCst) {
                    forward(&state, stream, target);
                }
            }
        });
        Proxy { port, shared, acceptor: Some(acceptor) }
    }

    /// Delays each piece by up to this long.
    pub fn delay(&self, most: Duration) {
        self.shared.delay_ms.store(most.as_millis() as u64, Ordering::SeqCst);
    }

    /// Closes new connections as soon as they are there, or no longer does.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }

    /// Cuts all connections; with `reset` by RST, so that bytes in flight are lost.
    pub fn cut(&self, reset: bool) {
        for stream in self.shared.open.lock().drain(..) {
            if reset {
                // Fails only if the stream has ended already.
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.cut(true);
        // Wakes the acceptor, which then sees that it should stop.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.acceptor.take().map(JoinHandle::join);
    }
}

fn forward(state: &Arc<ProxyState>, client: TcpStream, target: u16) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        state.open.lock().push(stream.try_clone().unwrap());
    }
    let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
    for (mut from, mut to) in pairs {
        let state = state.clone();
        std::thread::spawn(move || {
            let mut random = Random(u64::from(from.peer_addr().map_or(1, |at| at.port())) + 1);
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let delay = state.delay_ms.load(Ordering::SeqCst);
                if delay > 0 {
                    std::thread::sleep(Duration::from_millis(random.next() % delay));
                }
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            // Either end may be gone already.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
