//! Encrypted connections (TLS 1.2 and 1.3), for servers on the same ports as plain text.
//!
//! A connection's first byte decides; a plain one costs a look at that byte and nothing after. What is bounded: handshakes
//! at a time, also of one address, the time of each, the memory of a session. Certificates are read anew once their files have changed.

mod explain;
mod from_files;
mod handshake;
mod material;
mod self_made;
mod session;
mod turns;
mod verify;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use self::explain::Side;
use self::from_files::FromFiles;
pub(super) use self::session::Session;
use self::turns::Turns;
use super::memory::{Charge, Memory};
use crate::config::{ClientAuth, TlsClientSettings, TlsMode, TlsServerSettings};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// First byte of a TLS connection: a record of the handshake. As a frame's first byte it would announce 350 MiB.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a server's ports make of TLS.
#[doc(alias = "TlsHelper")]
pub struct TlsServer {
    enforcing: bool,
    config: Arc<FromFiles<ServerConfig>>,
    handshakes: Turns,
    workers: Arc<Semaphore>,
    complaints: Seldom,
}

/// What a connection's first byte says.
pub(super) enum First {
    Tls,
    Plain,
    /// Plain text, where nothing but TLS is taken.
    Refused,
}

impl TlsServer {
    /// For ports with these settings; `None` if they take plain text only. `home` is where a certificate of one's own making
    /// is kept, `names` are the names and addresses that it is for. One that was given is read now.
    ///
    /// # Errors
    /// When a certificate, key or list of CAs is missing, cannot be read, or does not fit.
    pub fn new(
        settings: TlsServerSettings,
        home: PathBuf,
        names: Vec<String>,
    ) -> Result<Option<Arc<TlsServer>>> {
        if settings.mode == TlsMode::Disabled {
            return Ok(None);
        }
        let given = material::own(&settings)?.is_some();
        // Without, settings that cannot be obeyed should be told now and not at the first handshake.
        let asks = settings.need_client_auth != ClientAuth::None;
        if asks && settings.auth_client && settings.trust_cert_path.is_none() {
            let context = "tls.server.need.client.auth asks for certificates of clients, and tls.server.trustCertPath names no \
                           CA to verify them by; set it, or tls.server.authClient=false to take any";
            return Err(Error::new(ErrorKind::InvalidArgument, "use TLS", context));
        }
        warn_of(&settings, asks);
        let enforcing = settings.mode == TlsMode::Enforcing;
        let files: Vec<PathBuf> = [&settings.cert_path, &settings.key_path, &settings.trust_cert_path]
            .into_iter()
            .filter_map(Clone::clone)
            .collect();
        let make = move || material::server(&settings, &home, &names);
        let config = FromFiles::new("TLS of the server", files, make);
        if given {
            config.look()?;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Some(Arc::new(TlsServer {
            enforcing,
            config: Arc::new(config),
            handshakes: Turns::default(),
            workers: Arc::new(Semaphore::new(cores)),
            complaints: Seldom::default(),
        })))
    }

    /// Makes what is otherwise made at first use, where everybody will use it. Writes the certificate of its own making, so it
    /// is called once the directory is this process's.
    ///
    /// # Errors
    /// When what is there cannot be used.
    pub fn make_ready(&self) -> Result<()> {
        if self.enforcing {
            self.config.look()?;
        }
        Ok(())
    }

    /// Waits for a connection's first byte and judges it.
    pub(super) async fn judge(&self, socket: &TcpStream) -> io::Result<First> {
        let mut first = [0];
        Ok(match socket.peek(&mut first).await? {
            1 if first[0] == HANDSHAKE_RECORD => First::Tls,
            // One that ends at once is noticed by whoever serves it.
            0 => First::Plain,
            _ if self.enforcing => First::Refused,
            _ => First::Plain,
        })
    }

    /// The handshake of an accepted connection. Its turn is taken once the client's first flight is there: who sends none,
    /// or half of one, holds up nobody. Each of the three parts has a time of its own. What waits for its turn counts
    /// towards the memory of all connections.
    pub(super) async fn accept(
        &self,
        socket: &TcpStream,
        memory: Option<Arc<Memory>>,
    ) -> io::Result<Session> {
        let mut charge = Charge::to(memory);
        let hello = handshake::hello(socket, &mut charge);
        let hello = within(handshake::HELLO_WITHIN, "no first message of a handshake", hello).await?;
        let turn = self.handshakes.take(socket.peer_addr()?.ip());
        let _turn = within(turns::WITHIN, "other handshakes were under way and had no end", turn).await?;
        let shaken = async {
            let config = self.config.current().await.map_err(io::Error::other)?;
            handshake::receive(socket, hello, config, &self.workers).await
        };
        within(handshake::WITHIN, "no handshake", shaken).await
    }

    /// Logs why a connection comes to nothing; of many in a short time only some, with their number.
    pub(super) fn complain(&self, peer: &str, why: &str) {
        if let Some(more) = self.complaints.may_say() {
            let more = if more > 0 {
                format!(" ({more} more since the last line like this)")
            } else {
                String::new()
            };
            tracing::warn!("closing the connection with {peer}: {why}{more}");
        }
    }
}

async fn within<T>(time: Duration, what: &str, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| {
        let why = format!("TLS: {what} within {} s", time.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, why))
    })
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.enforcing { "TlsServer(enforcing)" } else { "TlsServer(permissive)" })
    }
}

fn warn_of(settings: &TlsServerSettings, asks: bool) {
    if settings.test_mode && (settings.cert_path.is_some() || settings.key_path.is_some()) {
        tracing::warn!("tls.test.mode.enable=true: the self-signed certificate is shown, tls.server.certPath is not used");
    }
    if asks && !settings.auth_client {
        tracing::warn!("tls.server.authClient=false: clients' certificates are asked for and not verified");
    }
    if settings.need_client_auth == ClientAuth::Require && settings.mode == TlsMode::Permissive {
        tracing::warn!(
            "tls.server.need.client.auth=require holds for encrypted connections only, and plain ones are taken too: \
             tls.server.mode=enforcing keeps out who has no certificate"
        );
    }
    if !asks && settings.trust_cert_path.is_some() {
        tracing::warn!(
            "tls.server.trustCertPath is set and clients are not asked for a certificate; tls.server.need.client.auth=require \
             does that"
        );
    }
}

/// How a client connects with TLS.
pub struct TlsClient {
    config: Arc<FromFiles<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    /// With these settings.
    ///
    /// # Errors
    /// When a certificate, key or list of CAs is missing, cannot be read, or does not fit.
    pub fn new(settings: TlsClientSettings) -> Result<Arc<TlsClient>> {
        if settings.test_mode || !settings.auth_server {
            let which =
                if settings.test_mode { "tls.test.mode.enable=true" } else { "tls.client.authServer=false" };
            tracing::warn!(
                "{which}: every server is trusted, whoever stands between can read and change what is sent"
            );
        }
        let server_name = settings.server_name.as_deref().map(|name| server_name(name)).transpose()?;
        let files: Vec<PathBuf> = [&settings.cert_path, &settings.key_path, &settings.trust_cert_path]
            .into_iter()
            .filter_map(Clone::clone)
            .collect();
        let config = FromFiles::new("TLS of the client", files, move || material::client(&settings));
        config.look()?;
        Ok(Arc::new(TlsClient { config: Arc::new(config), server_name }))
    }

    /// The handshake of a connection that was made to `address`.
    pub(super) async fn connect(&self, socket: &TcpStream, address: &str) -> io::Result<Session> {
        let host = host_of(address);
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(io::Error::other)?,
        };
        let config = self.config.current().await.map_err(io::Error::other)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        handshake::shake(socket, Box::new(tls.into()), Side::Client(address.to_owned()), None).await
    }
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient")
    }
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|error| {
        let context = format!("{name:?} is no name that a certificate can be for; set tls.client.serverName");
        Error::new(ErrorKind::InvalidArgument, "use TLS", context).with_source(error)
    })
}

/// Counts what happens often, and says seldom that it does.
#[derive(Default)]
struct Seldom {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Whether to say it now, and how often it went unsaid.
    fn may_say(&self) -> Option<u64> {
        let (said, unsaid) = &mut *self.state.lock();
        if said.is_some_and(|at| at.elapsed().as_secs() < 1) {
            *unsaid += 1;
            return None;
        }
        *said = Some(Instant::now());
        Some(std::mem::take(unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_the_name_to_verify() {
        for (address, host) in [
            ("127.0.0.1:10911", "127.0.0.1"),
            ("[::1]:9876", "::1"),
            ("broker-a.example:1", "broker-a.example"),
        ] {
            assert_eq!(host_of(address), host);
            server_name(host_of(address)).unwrap();
        }
        assert!(server_name("no name").is_err());
    }

    #[test]
    fn what_happens_often_is_said_seldom() {
        let seldom = Seldom::default();
        assert_eq!(seldom.may_say(), Some(0));
        let said: Vec<u64> = (0..1000).filter_map(|_| seldom.may_say()).collect();
        assert!(said.len() < 1000);
    }
}
