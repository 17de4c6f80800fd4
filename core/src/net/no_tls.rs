//! What stands in for TLS where the program was built without it (feature `tls`).

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::memory::Memory;
use crate::config::{TlsClientSettings, TlsMode, TlsServerSettings};
use crate::{Error, ErrorKind, Result};

/// What a server's ports make of TLS; there is none in this build.
#[derive(Debug)]
pub struct TlsServer(Infallible);

/// What a connection's first byte says.
#[allow(dead_code, reason = "nobody judges where there is no TLS")]
pub(super) enum First {
    Tls,
    Plain,
    Refused,
}

fn built_without(what: &str) -> Error {
    let context = format!(
        "{what}: this program was built without TLS; build it with the feature `tls` of the crate ferromq"
    );
    Error::new(ErrorKind::Unsupported, "use TLS", context)
}

impl TlsServer {
    /// `None`: ports take plain text, and tell who tries TLS that it is not offered.
    ///
    /// # Errors
    /// When the settings ask for more.
    pub fn new(settings: TlsServerSettings, _: PathBuf, _: Vec<String>) -> Result<Option<Arc<TlsServer>>> {
        if settings.mode == TlsMode::Enforcing || settings.cert_path.is_some() {
            return Err(built_without("tls.server.*"));
        }
        Ok(None)
    }

    /// Nothing to do.
    ///
    /// # Errors
    /// None.
    pub fn make_ready(&self) -> Result<()> {
        match self.0 {}
    }

    pub(super) async fn judge(&self, _: &TcpStream) -> io::Result<First> {
        match self.0 {}
    }

    pub(super) async fn accept(&self, _: &TcpStream, _: Option<Arc<Memory>>) -> io::Result<Session> {
        match self.0 {}
    }

    pub(super) fn complain(&self, _: &str, _: &str) {
        match self.0 {}
    }
}

/// How a client connects with TLS; it does not in this build.
#[derive(Debug)]
pub struct TlsClient(Infallible);

impl TlsClient {
    /// There is none.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: TlsClientSettings) -> Result<Arc<TlsClient>> {
        Err(built_without("tls.enable"))
    }

    pub(super) async fn connect(&self, _: &TcpStream, _: &str) -> io::Result<Session> {
        match self.0 {}
    }
}

/// There is no encrypted connection.
pub(crate) enum Session {}

impl Session {
    pub fn poll_read(
        &mut self,
        _: &mut TcpStream,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub fn poll_write(
        &mut self,
        _: &mut TcpStream,
        _: &mut Context<'_>,
        _: impl FnOnce(&mut dyn io::Write) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub fn poll_flush(&mut self, _: &mut TcpStream, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    pub fn say_goodbye(&mut self) {
        match *self {}
    }
}
