//! A server: listeners, the connections they accept, and the orderly end.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::memory::Memory;
use super::stream::Stream;
use super::{listen, pump, welcome, Connection, Limits, Loops, Service, TlsServer};
use crate::sync::{Condvar, Mutex};
use crate::{Error, ErrorKind, Result};

/// Accepting pauses this long when the process has no descriptor or memory left for a further connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that did not drain in time are cut, and given this long to notice.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// What a server listens on, and its bounds.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Address or host name to bind. Default 0.0.0.0.
    pub host: String,
    /// Port; 0 takes a free one below 32768, with `vip` one whose ports -2 and +1 are free too. Default 0.
    #[doc(alias = "listenPort")]
    pub port: u16,
    /// Whether to listen on the VIP port (`port` - 2) too. Default false.
    pub vip: bool,
    /// Connections beyond this many are closed as soon as they are accepted. Default 65535.
    pub max_connections: usize,
    /// Bytes that frames partly received and answers not yet read may take, of all connections together; 4 KiB of each do
    /// not count. Above it large frames are received in turn, each whole, no requests of connections with unread answers
    /// are handled, and those that hold much and do not move are closed. Default 1 GiB, which is as much as 64 of the
    /// largest frames, and a thousandth of what all connections could take each for itself.
    pub max_memory: usize,
    /// The time in which a connection that holds much has to move an eighth of that while memory is short; one that does
    /// not read its answers has four times as long. Default 5 s.
    pub memory_patience: Duration,
    /// What the ports make of TLS; they take plain text only unless set.
    pub tls: Option<Arc<TlsServer>>,
    /// Bounds of each connection.
    pub limits: Limits,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            host: "0.0.0.0".into(),
            port: 0,
            vip: false,
            max_connections: 65_535,
            max_memory: 1 << 30,
            memory_patience: Duration::from_secs(5),
            tls: None,
            limits: Limits::default(),
        }
    }
}

/// A listening server. Dropping it stops it at once; [`Server::shutdown`] lets what is in flight be answered.
#[doc(alias = "NettyRemotingServer")]
pub struct Server {
    shared: Arc<Shared>,
    port: u16,
    vip_port: Option<u16>,
    acceptors: Vec<AbortHandle>,
}

struct Shared {
    loops: Arc<Loops>,
    service: Arc<dyn Service>,
    tls: Option<Arc<TlsServer>>,
    limits: Arc<Limits>,
    memory: Arc<Memory>,
    max_connections: usize,
    population: Mutex<Population>,
    left: Condvar,
}

/// Who is there: acceptors and connections whose tasks have not ended.
#[derive(Default)]
struct Population {
    stopping: bool,
    acceptors: usize,
    connections: HashMap<u64, Arc<Connection>>,
    /// Connections refused since the last one that was let in, to log the first only.
    refused: u64,
}

impl Server {
    /// Listens and starts to accept; connections are spread over the loops in turn.
    ///
    /// Errors: [`ErrorKind::InUse`] names an address that another process holds, [`ErrorKind::InvalidArgument`] one
    /// that this machine does not have.
    pub fn bind(loops: &Arc<Loops>, options: ServerOptions, service: Arc<dyn Service>) -> Result<Server> {
        let listeners = listen::listen(&options.host, options.port, options.vip)?;
        let port_of = |listener: &std::net::TcpListener| {
            let address = listener.local_addr();
            address.map(|at| at.port()).map_err(|error| Error::io("listen", options.host.clone(), error))
        };
        let shared = Arc::new(Shared {
            loops: loops.clone(),
            service,
            tls: options.tls,
            limits: Arc::new(options.limits),
            memory: Memory::new(options.max_memory, options.max_connections, options.memory_patience),
            max_connections: options.max_connections,
            population: Mutex::default(),
            left: Condvar::new(),
        });
        let port = port_of(&listeners.main)?;
        let vip_port = listeners.vip.as_ref().map(port_of).transpose()?;
        let mut server = Server { shared, port, vip_port, acceptors: Vec::new() };
        // On one loop, the first that this server uses: a server with no connection needs no second thread.
        let handle = loops.pick()?;
        for (listener, vip) in [(Some(listeners.main), false), (listeners.vip, true)] {
            let Some(listener) = listener else { continue };
            let presence = Acceptor::new(&server.shared);
            server.acceptors.push(handle.spawn(accept(listener, vip, presence)).abort_handle());
        }
        Ok(server)
    }

    /// The main port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The VIP port, if asked for.
    pub fn vip_port(&self) -> Option<u16> {
        self.vip_port
    }

    /// Connections that are open now.
    pub fn connections(&self) -> usize {
        self.shared.population.lock().connections.len()
    }

    /// Bytes that count towards [`ServerOptions::max_memory`] now.
    pub fn memory_used(&self) -> usize {
        self.shared.memory.used()
    }

    /// Stops: accepts no connection and handles no request any more, waits until what is in flight is answered and
    /// written, closes. What is not done by the deadline is cut. Returns whether all was answered.
    ///
    /// Long-parked tickets keep it waiting: their owner should answer them first. Called on an event loop it cannot
    /// wait and cuts at once.
    pub fn shutdown(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        self.shared.population.lock().stopping = true;
        for connection in self.open_connections() {
            connection.drain();
        }
        self.acceptors.iter().for_each(AbortHandle::abort);
        let wait = !Loops::is_current();
        let drained = wait && self.wait_until_empty(until);
        if !drained {
            for connection in self.open_connections() {
                connection.end(ErrorKind::Closed, "the server was shut down".into());
            }
            if wait {
                self.wait_until_empty(Instant::now() + CUT_WITHIN);
            }
        }
        drained
    }

    fn open_connections(&self) -> Vec<Arc<Connection>> {
        self.shared.population.lock().connections.values().cloned().collect()
    }

    fn wait_until_empty(&self, until: Instant) -> bool {
        let mut population = self.shared.population.lock();
        while population.acceptors > 0 || !population.connections.is_empty() {
            if self.shared.left.wait_until(&mut population, until).timed_out() {
                return population.acceptors == 0 && population.connections.is_empty();
            }
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.population.lock().stopping = true;
        self.acceptors.iter().for_each(AbortHandle::abort);
        for connection in self.open_connections() {
            connection.end(ErrorKind::Closed, "the server was dropped".into());
        }
    }
}

/// Counts an acceptor for as long as its task lives.
struct Acceptor {
    shared: Arc<Shared>,
}

impl Acceptor {
    fn new(shared: &Arc<Shared>) -> Acceptor {
        shared.population.lock().acceptors += 1;
        Acceptor { shared: shared.clone() }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.shared.population.lock().acceptors -= 1;
        self.shared.left.notify_all();
    }
}

/// Counts a connection for as long as its task lives.
struct Seat {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl Seat {
    /// `None` if the server is full or stopping.
    fn take(shared: &Arc<Shared>, vip: bool, stream: &TcpStream) -> io::Result<Option<Seat>> {
        let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
        let mut population = shared.population.lock();
        if population.stopping {
            return Ok(None);
        }
        if population.connections.len() >= shared.max_connections {
            population.refused += 1;
            if population.refused == 1 {
                let limit = shared.max_connections;
                tracing::warn!(
                    "refused a connection of {remote}: {limit} are open, the limit; more may follow"
                );
            }
            return Ok(None);
        }
        population.refused = 0;
        let connection = Connection::accepted(vip, shared.limits.clone(), shared.memory.clone());
        connection.established(local, remote);
        population.connections.insert(connection.id(), connection.clone());
        Ok(Some(Seat { shared: shared.clone(), connection }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.population.lock().connections.remove(&self.connection.id());
        self.shared.left.notify_all();
    }
}

async fn accept(listener: std::net::TcpListener, vip: bool, presence: Acceptor) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot listen: {error}"),
    };
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                failing = false;
                if let Err(error) = admit(&presence.shared, vip, stream) {
                    tracing::debug!("lost the connection of {remote} while accepting it: {error}");
                }
            }
            // The peer gave up before we came to it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!("cannot accept connections for now: {error}");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Gives an accepted connection its place and its loop.
fn admit(shared: &Arc<Shared>, vip: bool, stream: TcpStream) -> io::Result<()> {
    let Some(seat) = Seat::take(shared, vip, &stream)? else { return Ok(()) };
    stream.set_nodelay(true)?;
    let handle = shared.loops.pick().map_err(io::Error::other)?;
    // A stream is bound to the loop that accepted it and has to be bound anew to its own.
    let stream = stream.into_std()?;
    let (service, tls) = (shared.service.clone(), shared.tls.clone());
    handle.spawn(async move {
        match (TcpStream::from_std(stream), tls) {
            (Ok(stream), None) => {
                pump::run(Stream::plain(stream), seat.connection.clone(), service).await;
            }
            (Ok(stream), Some(tls)) => welcome::run(stream, &tls, seat.connection.clone(), service).await,
            (Err(error), _) => tracing::error!("cannot serve {}: {error}", seat.connection.remote()),
        }
        drop(seat);
    });
    Ok(())
}
