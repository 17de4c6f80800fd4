//! A client: one connection an address, made when first needed and again when it broke.

use std::collections::HashMap;
use std::future::{poll_fn, Future};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;

use super::calls::Done;
use super::connection::{Origin, Phase, Rest};
use super::local::Locals;
use super::pump::{self, End, Timer};
use super::stream::Stream;
use super::{Connection, Limits, Loops, Reply, Service, TlsClient};
use crate::sync::{Condvar, Mutex};
use crate::wire::{Encoding, Request};
use crate::{Error, ErrorKind, Result};

/// An address to which no connection has been open for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// How a client makes and keeps its connections.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long making a connection may take. Default 3 s, as Apache's.
    #[doc(alias = "connectTimeoutMillis")]
    pub connect_timeout: Duration,
    /// After a connection that could not be made, or broke before anything came over it, the next is not tried for
    /// this long, doubled each time up to `backoff_most`. Calls fail at once meanwhile. Default 100 ms.
    pub backoff_least: Duration,
    /// See `backoff_least`. Default 3 s.
    pub backoff_most: Duration,
    /// Form of the headers that are sent; both are understood. Default JSON, as Apache's.
    #[doc(alias = "serializeTypeConfigInThisServer")]
    pub encoding: Encoding,
    /// How connections are encrypted; they are not unless set.
    #[doc(alias = "useTLS")]
    pub tls: Option<Arc<TlsClient>>,
    /// Bounds of each connection.
    pub limits: Limits,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            connect_timeout: Duration::from_secs(3),
            backoff_least: Duration::from_millis(100),
            backoff_most: Duration::from_secs(3),
            encoding: Encoding::Json,
            tls: None,
            limits: Limits::default(),
        }
    }
}

/// Calls servers by address. Cheap when idle: no thread of its own, connections only where calls go. Dropping it closes
/// its connections.
#[doc(alias = "NettyRemotingClient")]
pub struct Client {
    loops: Arc<Loops>,
    encoding: Encoding,
    backoff_least: Duration,
    backoff_most: Duration,
    dial: Dial,
    peers: Arc<Peers>,
    locals: Locals,
}

/// What a connection's task needs.
#[derive(Clone)]
struct Dial {
    connect_timeout: Duration,
    tls: Option<Arc<TlsClient>>,
    limits: Arc<Limits>,
    pushes: Arc<dyn Service>,
}

#[derive(Default)]
struct Peers {
    table: Mutex<Table>,
    task_ended: Condvar,
}

#[derive(Default)]
struct Table {
    closed: bool,
    by_address: HashMap<String, Peer>,
    /// Connections whose tasks have not ended.
    tasks: usize,
}

/// The last connection to an address.
struct Peer {
    connection: Arc<Connection>,
    /// Connections in a row, before this one, that came to nothing.
    failures: u32,
}

impl Client {
    /// A client without connections. Requests that servers send on its connections go to `pushes`.
    pub fn new(loops: &Arc<Loops>, options: ClientOptions, pushes: Arc<dyn Service>) -> Arc<Client> {
        let limits = Arc::new(options.limits);
        Arc::new(Client {
            loops: loops.clone(),
            encoding: options.encoding,
            backoff_least: options.backoff_least,
            backoff_most: options.backoff_most,
            locals: Locals::new(limits.clone(), pushes.clone()),
            dial: Dial { connect_timeout: options.connect_timeout, tls: options.tls, limits, pushes },
            peers: Arc::default(),
        })
    }

    /// Has calls to `address`, whatever it is, answered by `service` in this process: no socket is opened and nothing
    /// is encoded. The request is handled on the caller's thread, which [`Service::handle`] must not hold up;
    /// responses and requests for this client arrive on one thread of its own, `fmq-local`, started when first needed.
    pub fn attach(&self, address: &str, service: Arc<dyn Service>) {
        self.locals.attach(address, service);
    }

    /// Has calls to addresses that nothing was attached to fail from now on: no socket is opened.
    pub fn stay_in_process(&self) {
        self.locals.stay_alone();
    }

    /// Sends a request to `address` (`host:port`) and waits for the response, whatever its code.
    ///
    /// Errors: [`ErrorKind::Timeout`] when none came within `timeout`, [`ErrorKind::Connection`] as soon as the
    /// connection cannot be made or breaks. Not to be used on an event loop, where it fails.
    #[doc(alias = "invokeSync")]
    pub fn call(&self, address: &str, request: &Request<'_>, timeout: Duration) -> Result<Reply> {
        if let Some(near) = self.locals.connection(address)? {
            return near.ask(request, timeout);
        }
        if Loops::is_current() {
            let context = format!("{} to {address}: a blocking call on an event loop", request.code());
            return Err(Error::new(ErrorKind::Internal, "call", context));
        }
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let answered = slot.clone();
        let done = move |result| {
            *answered.0.lock() = Some(result);
            answered.1.notify_one();
        };
        self.call_async(address, request, timeout, Box::new(done));
        let mut result = slot.0.lock();
        loop {
            if let Some(result) = result.take() {
                return result;
            }
            slot.1.wait(&mut result);
        }
    }

    /// As [`Client::call`], but returns at once and tells `done`, on an event loop (it must not block there) or on
    /// the caller's thread if the request could not be sent.
    #[doc(alias = "invokeAsync")]
    pub fn call_async(&self, address: &str, request: &Request<'_>, timeout: Duration, done: Done) {
        let mut done = done;
        match self.locals.connection(address) {
            Ok(None) => {}
            Err(error) => return done(Err(error)),
            Ok(Some(near)) => {
                if let Err((error, unsent)) = near.ask_async(request, timeout, done) {
                    unsent(Err(error));
                }
                return;
            }
        }
        // A connection that closes between being found and being used is replaced, once: nothing was sent on it.
        for last in [false, true] {
            let connection = match self.connection(address) {
                Ok(connection) => connection,
                Err(error) => return done(Err(error)),
            };
            match connection.try_call(request, timeout, done) {
                Ok(()) => return,
                Err((error, unsent)) if last || error.kind() == ErrorKind::LimitExceeded => {
                    return unsent(Err(error))
                }
                Err((_, unsent)) => done = unsent,
            }
        }
    }

    /// Sends a request that must not be answered. Success means that it was queued.
    #[doc(alias = "invokeOneway")]
    pub fn oneway(&self, address: &str, request: &Request<'_>) -> Result<()> {
        if let Some(near) = self.locals.connection(address)? {
            return near.tell(request);
        }
        match self.connection(address)?.try_oneway(request) {
            Err(error) if error.kind() != ErrorKind::LimitExceeded => {
                self.connection(address)?.try_oneway(request)
            }
            result => result,
        }
    }

    /// Closes the connection to `address`, if there is one; its calls in flight fail. The next call makes a new one.
    pub fn close_addr(&self, address: &str) {
        if self.locals.close_addr(address) {
            return;
        }
        let peer = self.peers.table.lock().by_address.remove(address);
        if let Some(peer) = peer {
            peer.connection.close();
        }
    }

    /// Closes all connections and waits until their tasks have ended (not on an event loop). Later calls fail with
    /// [`ErrorKind::Closed`].
    pub fn shutdown(&self) {
        self.close_all();
        self.locals.close(true);
        let mut table = self.peers.table.lock();
        while table.tasks > 0 && !Loops::is_current() {
            self.peers.task_ended.wait(&mut table);
        }
    }

    /// Calls that wait for a response, on all connections.
    pub fn calls_in_flight(&self) -> usize {
        let here: usize = self.locals.connections().iter().map(|near| near.calls_in_flight()).sum();
        let table = self.peers.table.lock();
        here + table.by_address.values().map(|peer| peer.connection.calls_in_flight()).sum::<usize>()
    }

    /// Connections that are open or being made.
    pub fn connections(&self) -> usize {
        let here = self.locals.connections().len();
        let table = self.peers.table.lock();
        here + table.by_address.values().filter(|peer| peer.connection.is_open()).count()
    }

    fn close_all(&self) {
        let peers: Vec<Peer> = {
            let mut table = self.peers.table.lock();
            table.closed = true;
            table.by_address.drain().map(|(_, peer)| peer).collect()
        };
        for peer in peers {
            peer.connection.end(ErrorKind::Closed, "the client was closed".into());
        }
    }

    /// The open connection to `address`, or a new one that is being made.
    fn connection(&self, address: &str) -> Result<Arc<Connection>> {
        let mut table = self.peers.table.lock();
        if table.closed {
            return Err(Error::new(ErrorKind::Closed, "call", format!("{address}: the client was closed")));
        }
        let failures = match table.by_address.get(address) {
            Some(peer) if peer.connection.is_open() => return Ok(peer.connection.clone()),
            Some(peer) => self.failures_before_next(peer, address)?,
            None => 0,
        };
        check_address(address)?;
        let handle = self.loops.pick()?;
        let origin = Origin::Made(address.into());
        let connection = Connection::new(origin, self.dial.limits.clone(), self.encoding);
        // Addresses that were given up long ago are forgotten, so that the map stays as small as the cluster.
        table
            .by_address
            .retain(|_, peer| peer.connection.ending().is_none_or(|end| end.at.elapsed() < FORGET_AFTER));
        table.by_address.insert(address.into(), Peer { connection: connection.clone(), failures });
        table.tasks += 1;
        // A runtime that has ended drops the task at once, and the task looks into the table at its end.
        drop(table);
        let (peers, loops) = (self.peers.clone(), self.loops.clone());
        let task = Task { peers, connection: connection.clone(), _loops: loops };
        handle.spawn(task.run(self.dial.clone(), address.to_string()));
        Ok(connection)
    }

    /// How many connections in a row have come to nothing, or an error if it is too early for the next one.
    fn failures_before_next(&self, peer: &Peer, address: &str) -> Result<u32> {
        let Some(end) = peer.connection.ending().filter(|end| !end.useful) else { return Ok(0) };
        let factor = 1u32 << peer.failures.min(16);
        let delay = self.backoff_least.saturating_mul(factor).min(self.backoff_most);
        let left = delay.saturating_sub(end.at.elapsed());
        if left.is_zero() {
            return Ok(peer.failures.saturating_add(1));
        }
        let context = format!("{address}: {}; the next try is in {} ms", end.why, left.as_millis());
        Err(Error::new(ErrorKind::Connection, "call", context))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close_all();
        self.locals.close(false);
    }
}

fn check_address(address: &str) -> Result<()> {
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => {
            let context = format!("\"{address}\" is no address; write host:port");
            Err(Error::new(ErrorKind::InvalidArgument, "call", context))
        }
    }
}

/// The task of a connection, from making it to its end.
struct Task {
    peers: Arc<Peers>,
    connection: Arc<Connection>,
    /// Keeps the loop running until the last bytes of a dropped client are written.
    _loops: Arc<Loops>,
}

impl Task {
    async fn run(self, dial: Dial, address: String) {
        match self.connect(&dial, &address).await {
            Ok(stream) => pump::run(stream, self.connection.clone(), dial.pushes).await,
            Err(end) => {
                tracing::debug!("no connection to {address}: {}", end.why);
                self.connection.ended(end.kind, &end.why);
            }
        }
    }

    /// Makes the connection; calls that wait for it may time out meanwhile.
    async fn connect(&self, dial: &Dial, address: &str) -> Result<Stream, End> {
        let mut timer = Timer::new();
        let mut connecting =
            pin!(tokio::time::timeout(dial.connect_timeout, reach(address, dial.tls.as_deref())));
        let connected = poll_fn(|cx| loop {
            if let Phase::Closing(kind, why) | Phase::Closed(kind, why) =
                self.connection.attend(&mut Vec::new())
            {
                return Poll::Ready(Err(End::new(kind, why)));
            }
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Ok(connected));
            }
            match self.connection.rest(cx.waker(), &mut Vec::new()) {
                Rest::Again => {}
                Rest::Sleep(Some(deadline)) if timer.poll(cx, deadline) => {
                    self.connection.expire();
                }
                Rest::Sleep(_) => return Poll::Pending,
            }
        });
        let why = match connected.await? {
            Ok(Ok((stream, local, remote))) => {
                self.connection.established(local, remote);
                return Ok(stream);
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no connection within {} ms", dial.connect_timeout.as_millis()),
        };
        Err(End::new(ErrorKind::Connection, why))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // Has an effect only if the event loop was shut down before the task came to its end.
        self.connection.ended(ErrorKind::Closed, "the event loop was shut down");
        self.peers.table.lock().tasks -= 1;
        self.peers.task_ended.notify_all();
    }
}

/// Connects, and goes through the handshake if the connection is to be encrypted.
async fn reach(address: &str, tls: Option<&TlsClient>) -> Result<(Stream, SocketAddr, SocketAddr), String> {
    let (socket, local, remote) = connect(address).await?;
    let stream = match tls {
        None => Stream::plain(socket),
        Some(tls) => {
            let session = tls.connect(&socket, address).await.map_err(|error| error.to_string())?;
            Stream::encrypted(socket, session)
        }
    };
    Ok((stream, local, remote))
}

/// Connects to the first of the host's addresses that answers.
async fn connect(address: &str) -> Result<(TcpStream, SocketAddr, SocketAddr), String> {
    let candidates: Vec<SocketAddr> = match address.parse() {
        Ok(literal) => vec![literal],
        Err(_) => {
            let found = tokio::net::lookup_host(address).await;
            found.map_err(|error| format!("host unknown: {error}"))?.collect()
        }
    };
    let mut why = "host without address".to_string();
    for candidate in candidates {
        match connect_to(candidate).await {
            Ok(connected) => return Ok(connected),
            Err(error) => why = format!("cannot connect to {candidate}: {error}"),
        }
    }
    Err(why)
}

async fn connect_to(address: SocketAddr) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    prepare(TcpStream::connect(address).await?)
}

fn prepare(stream: TcpStream) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
    if local == remote {
        // Possible when the server is down and its port lies in the range for outgoing connections.
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "only this connection itself is there"));
    }
    stream.set_nodelay(true)?;
    Ok((stream, local, remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_itself_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let error = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let itself = socket.local_addr().unwrap();
            prepare(socket.connect(itself).await.unwrap()).unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn addresses_are_checked() {
        for good in ["127.0.0.1:10911", "[::1]:9876", "broker-a.example:1"] {
            check_address(good).unwrap();
        }
        for bad in ["", "127.0.0.1", "127.0.0.1:0", ":9876", "a:b", "a:70000", "a:-1"] {
            let error = check_address(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.context().contains(&format!("{bad:?}")), "{error}");
        }
    }
}
