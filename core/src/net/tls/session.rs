//! An encrypted connection once its handshake is over: plain bytes in and out on one side, the socket on the other.

use std::cell::Cell;
use std::io::{self, BufRead, IoSlice, Write};
use std::pin::Pin;
use std::task::{ready, Context, Poll};

use rustls::Connection as Tls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::explain::{refused, Side};

/// Encrypted bytes taken from a socket by one read: about four full records.
const READ: usize = 64 << 10;

thread_local! {
    /// The read buffer that all encrypted connections of a loop share.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Encrypts and decrypts. Holds at most one read's encrypted bytes, one record's plain ones, and 64 KiB to be sent.
pub(crate) struct Session {
    tls: Box<Tls>,
    side: Side,
    /// Encrypted bytes that were read and have to wait until plain ones are fetched.
    kept: Vec<u8>,
    said_goodbye: bool,
}

impl Session {
    /// `tls` has its handshake behind it; `kept` was read from the socket and not yet given to it.
    pub(super) fn new(tls: Box<Tls>, side: Side, kept: Vec<u8>) -> Session {
        let mut session = Session { tls, side, kept, said_goodbye: false };
        session.forget(0);
        session
    }

    /// Reads plain bytes; none at the end.
    pub fn poll_read(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        loop {
            if !self.kept.is_empty() {
                let kept = std::mem::take(&mut self.kept);
                let taken = self.decrypt(&kept, out);
                self.kept = kept;
                let taken = self.said_why(taken, socket, cx)?;
                self.forget(taken);
            } else if self.fetch(out)? {
                return Poll::Ready(Ok(()));
            }
            if out.filled().len() > before || out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.kept.is_empty() && ready!(self.poll_more(socket, cx, out))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Drops what was decrypted of the bytes kept. An idle connection holds no buffer.
    fn forget(&mut self, taken: usize) {
        self.kept.drain(..taken);
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }

    /// Reads once from the socket and decrypts; 0 at the end.
    fn poll_more(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        // What the peer has to be told about what came before, such as new keys.
        let _blocked = self.poll_flush(socket, cx)?;
        let mut shared = SHARED.take();
        shared.resize(READ, 0);
        let mut buffer = ReadBuf::new(&mut shared);
        let read = match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled();
                let taken = self.decrypt(bytes, out);
                self.said_why(taken, socket, cx).map(|taken| {
                    self.kept.extend_from_slice(&bytes[taken..]);
                    bytes.len()
                })
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                SHARED.set(shared);
                return Poll::Pending;
            }
        };
        SHARED.set(shared);
        Poll::Ready(read)
    }

    /// Decrypts into `out` until it is full; says how much was taken.
    fn decrypt(&mut self, bytes: &[u8], out: &mut ReadBuf<'_>) -> Result<usize, rustls::Error> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let ended = self.fetch(out).unwrap_or(true);
            if ended {
                // Nothing counts that comes after the end.
                return Ok(bytes.len());
            }
            if out.remaining() == 0 {
                break;
            }
            // Reading from memory fails only for want of room, which was made.
            let read = self.tls.read_tls(&mut rest);
            read.map_err(|error| rustls::Error::General(error.to_string()))?;
            self.tls.process_new_packets()?;
        }
        let _ended = self.fetch(out);
        Ok(bytes.len() - rest.len())
    }

    /// Moves decrypted bytes to `out`; says whether the peer has ended the stream.
    fn fetch(&mut self, out: &mut ReadBuf<'_>) -> io::Result<bool> {
        let mut reader = self.tls.reader();
        while out.remaining() > 0 {
            match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(bytes) => {
                    let count = bytes.len().min(out.remaining());
                    out.put_slice(&bytes[..count]);
                    reader.consume(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// An error of the session as one of I/O, after telling the peer, as far as the socket takes it.
    fn said_why<T>(
        &mut self,
        result: Result<T, rustls::Error>,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> io::Result<T> {
        result.map_err(|error| {
            // The connection ends anyway.
            let _unsent = self.poll_flush(socket, cx);
            refused(&self.side, &error)
        })
    }

    /// Encrypts as much as there is room for, at least something, and sends what the socket takes.
    pub fn poll_write(
        &mut self,
        socket: &mut TcpStream,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(socket, cx))?;
        let taken = write(&mut self.tls.writer())?;
        let _blocked = self.poll_flush(socket, cx)?;
        Poll::Ready(Ok(taken))
    }

    /// Sends what is encrypted.
    pub fn poll_flush(&mut self, socket: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            let mut sink = Sink { socket: &mut *socket, cx: &mut *cx };
            match self.tls.write_tls(&mut sink) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has the next flush tell the peer that nothing more comes.
    pub fn say_goodbye(&mut self) {
        if !std::mem::replace(&mut self.said_goodbye, true) {
            self.tls.send_close_notify();
        }
    }
}

/// A socket to write to, as far as it takes it.
struct Sink<'a, 'b> {
    socket: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl Write for Sink<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
