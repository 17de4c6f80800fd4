//! The handshake, on the event loop but for what takes long, which a server does on other threads.

use std::future::Future;
use std::io;
use std::time::Duration;

use rustls::Connection as Tls;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::explain::{broken_off, refused, Side};
use super::session::Session;

/// How long a handshake may take, from its first byte.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// Bytes read at a time; handshakes are small.
const READ: usize = 4096;

/// Goes through with the handshake. With `workers` what takes long (signatures, certificates) is done on threads beside the
/// event loop, on as many at a time as there are permits.
pub(super) async fn shake(
    socket: &TcpStream,
    tls: Tls,
    side: Side,
    workers: Option<&Semaphore>,
) -> io::Result<Session> {
    let mut tls = Box::new(tls);
    let mut kept = Vec::with_capacity(READ);
    loop {
        send(socket, &mut tls).await?;
        if !tls.is_handshaking() {
            return Ok(Session::new(tls, side, kept));
        }
        kept.clear();
        socket.readable().await?;
        match socket.try_read_buf(&mut kept) {
            Ok(0) => return Err(broken_off(&side)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        let taken;
        (tls, kept, taken) = match workers {
            None => take(tls, kept),
            Some(workers) => {
                let permit = workers.acquire().await.map_err(io::Error::other)?;
                let taken = tokio::task::spawn_blocking(move || take(tls, kept)).await;
                drop(permit);
                taken.map_err(io::Error::other)?
            }
        };
        if let Err(error) = taken {
            // The peer learns why, if the socket takes it at once; the connection ends anyway.
            let _unsent = poll_once(send(socket, &mut tls)).await;
            return Err(refused(&side, &error));
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
