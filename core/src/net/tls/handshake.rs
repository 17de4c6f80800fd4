//! The handshake, on the event loop but for what takes long, which a server does on other threads.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use rustls::{Connection as Tls, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::explain::{broken_off, refused, Side};
use super::session::Session;
use crate::net::memory::Charge;

/// How long a handshake may take once the client's first flight is there.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// How long a client's first flight may take, from its first byte.
pub(super) const HELLO_WITHIN: Duration = Duration::from_secs(5);

/// Most bytes of a client's first flight; those with session tickets and post-quantum keys have some 4000.
const HELLO: usize = 16 << 10;

/// Bytes read at a time; handshakes are small.
const READ: usize = 4096;

/// Reads a client's whole first flight, which counts towards `charge`. It is parsed where this runs, which takes
/// microseconds, and nothing is computed.
pub(super) async fn hello(socket: &TcpStream, charge: &mut Charge) -> io::Result<Accepted> {
    let mut acceptor = Acceptor::default();
    let mut received = 0;
    loop {
        socket.readable().await?;
        if let Some(accepted) = more_of_hello(socket, &mut acceptor, &mut received)? {
            return Ok(accepted);
        }
        let refusal = if received == HELLO {
            format!("TLS: the client's first message has more than {HELLO} bytes")
        } else if !charge.hold_bytes(received) {
            "TLS: the client's first message is long, and memory is short (maxConnectionMemory)".into()
        } else {
            continue;
        };
        return Err(io::Error::new(io::ErrorKind::InvalidData, refusal));
    }
}

/// Reads once, if there is something. Who waits for more has no buffer.
fn more_of_hello(
    socket: &TcpStream,
    acceptor: &mut Acceptor,
    received: &mut usize,
) -> io::Result<Option<Accepted>> {
    let mut bytes = [0; READ];
    let count = match socket.try_read(&mut bytes[..READ.min(HELLO - *received)]) {
        Ok(0) => return Err(broken_off(&Side::Server)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        result => result?,
    };
    *received += count;
    let mut rest = &bytes[..count];
    while !rest.is_empty() {
        acceptor.read_tls(&mut rest)?;
        match acceptor.accept() {
            Ok(None) => {}
            Ok(accepted) => return Ok(accepted),
            Err((error, alert)) => return Err(alerted(socket, &error, alert)),
        }
    }
    Ok(None)
}

/// Goes through with the handshake of a client. What takes long (signatures, certificates) is done on threads beside the
/// event loop, on as many at a time as `workers` has permits.
pub(super) async fn receive(
    socket: &TcpStream,
    accepted: Accepted,
    config: Arc<ServerConfig>,
    workers: &Arc<Semaphore>,
) -> io::Result<Session> {
    let begin = move || {
        let mut tls = Box::new(Tls::from(accepted.into_connection(config)?));
        // What came behind the first message.
        let taken = tls.process_new_packets().map(drop);
        Ok((tls, taken))
    };
    let begun: Result<_, (rustls::Error, AcceptedAlert)> = beside(workers, begin).await?;
    let (mut tls, taken) = begun.map_err(|(error, alert)| alerted(socket, &error, alert))?;
    settle(socket, &mut tls, &Side::Server, taken).await?;
    shake(socket, tls, Side::Server, Some(workers)).await
}

/// Goes through with the handshake, with `workers` beside the event loop.
pub(super) async fn shake(
    socket: &TcpStream,
    mut tls: Box<Tls>,
    side: Side,
    workers: Option<&Arc<Semaphore>>,
) -> io::Result<Session> {
    let mut kept = Vec::new();
    loop {
        send(socket, &mut tls).await?;
        if !tls.is_handshaking() {
            return Ok(Session::new(tls, side, kept));
        }
        kept.resize(READ, 0);
        let count = read(socket, &mut kept, &side).await?;
        kept.truncate(count);
        let taken;
        (tls, kept, taken) = match workers {
            None => take(tls, kept),
            Some(workers) => beside(workers, move || take(tls, kept)).await?,
        };
        settle(socket, &mut tls, &side, taken).await?;
    }
}

/// Does work on another thread once there is a permit, which the work has until it is done: also when nobody waits for
/// it any more.
async fn beside<T: Send + 'static>(
    workers: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let permit = workers.clone().acquire_owned().await.map_err(io::Error::other)?;
    let work = move || {
        let done = work();
        drop(permit);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Goes on after a good step; after another the peer learns why, if the socket takes it at once. The connection ends
/// anyway.
async fn settle(
    socket: &TcpStream,
    tls: &mut Tls,
    side: &Side,
    taken: Result<(), rustls::Error>,
) -> io::Result<()> {
    let Err(error) = taken else { return Ok(()) };
    let _unsent = poll_once(send(socket, tls)).await;
    Err(refused(side, &error))
}

fn alerted(socket: &TcpStream, error: &rustls::Error, mut alert: AcceptedAlert) -> io::Error {
    // The connection ends anyway.
    let _unsent = alert.write_all(&mut Sink(socket));
    refused(&Side::Server, error)
}

/// Reads at least a byte.
async fn read(socket: &TcpStream, bytes: &mut [u8], side: &Side) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_read(bytes) {
            Ok(0) => return Err(broken_off(side)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

/// Gives the session what was read, up to the end of the handshake; keeps the rest.
fn take(mut tls: Box<Tls>, mut bytes: Vec<u8>) -> (Box<Tls>, Vec<u8>, Result<(), rustls::Error>) {
    let mut rest = &bytes[..];
    let mut result = Ok(());
    while result.is_ok() && !rest.is_empty() && tls.is_handshaking() {
        let read = tls.read_tls(&mut rest).map_err(|error| rustls::Error::General(error.to_string()));
        result = read.and_then(|_| tls.process_new_packets()).map(drop);
    }
    let taken = bytes.len() - rest.len();
    bytes.drain(..taken);
    (tls, bytes, result)
}

async fn send(socket: &TcpStream, tls: &mut Tls) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut Sink(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A try that does not wait.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

struct Sink<'a>(&'a TcpStream);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
