//! The bytes of a connection, encrypted or not.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::Session;

/// A connected socket, with encryption or without. Flushing sends what is encrypted; without it there is nothing to flush.
pub(super) struct Stream {
    socket: TcpStream,
    session: Option<Box<Session>>,
}

impl Stream {
    pub fn plain(socket: TcpStream) -> Stream {
        Stream { socket, session: None }
    }

    pub fn encrypted(socket: TcpStream, session: Session) -> Stream {
        Stream { socket, session: Some(Box::new(session)) }
    }

    pub fn is_encrypted(&self) -> bool {
        self.session.is_some()
    }

    /// The socket itself, to wait until the peer has closed it.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.session {
            None => Pin::new(&mut this.socket).poll_read(cx, out),
            Some(session) => session.poll_read(&mut this.socket, cx, out),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.session {
            None => Pin::new(&mut this.socket).poll_write(cx, bytes),
            Some(session) => session.poll_write(&mut this.socket, cx, |writer| writer.write(bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match &mut this.session {
            None => Pin::new(&mut this.socket).poll_write_vectored(cx, slices),
            Some(session) => session.poll_write(&mut this.socket, cx, |writer| writer.write_vectored(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match &mut this.session {
            None => Poll::Ready(Ok(())),
            Some(session) => session.poll_flush(&mut this.socket, cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(session) = &mut this.session {
            session.say_goodbye();
            std::task::ready!(session.poll_flush(&mut this.socket, cx))?;
        }
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}
