//! `fmq_server`: name servers and brokers for other processes.

use std::ffi::{c_char, CString};
use std::ptr::null;

use ferromq::instance::{BrokerProcess, NamesrvProcess};
use ferromq::{Instance, Result};

use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, look, output, output_or_null, text_or_null, time};
use crate::handle::{object, share, thing_or_null, unshare, Shared};
use crate::options::{fmq_options, Pairs};

/// A name server, a broker, or both, for other processes; in this one as well `fmq_open` with the option `listen` is the
/// better choice. Threads may share it.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_server {
    _opaque: [u8; 0],
}

impl Shared for fmq_server {
    type Object = Serving;
    const NAME: &'static str = "fmq_server";
}

/// A server with its texts as C reads them.
pub struct Serving {
    server: Server,
    name_servers: CString,
}

enum Server {
    Both(Instance),
    Namesrv(NamesrvProcess),
    Broker(BrokerProcess),
}

impl Server {
    /// The ports of name server and broker, 0 for what is not there.
    fn ports(&self) -> (u16, u16) {
        match self {
            Server::Both(instance) => instance.listening().unwrap_or_default(),
            Server::Namesrv(namesrv) => (namesrv.port(), 0),
            Server::Broker(broker) => (0, broker.port()),
        }
    }

    fn stop(&self, timeout_ms: i64) -> Result<()> {
        match (self, time(timeout_ms)) {
            (Server::Both(instance), Some(limit)) => instance.close_within(limit),
            (Server::Both(instance), None) => instance.close(),
            (Server::Namesrv(namesrv), _) => {
                namesrv.stop();
                Ok(())
            }
            (Server::Broker(broker), _) => broker.stop(),
        }
    }
}

/// Starts a name server and a broker in one, with the messages in a directory (`path` NULL: in memory). They listen as the
/// option `listen` says: true (127.0.0.1 with Apache's ports 9876 and 10911, the default), free, or
/// host:port of the name server:port of the broker. The other options are those of `fmq_open`; NULL for none. Returns when
/// both accept and the broker is registered. To be freed with `fmq_server_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_start(
    path: *const c_char,
    options: *const fmq_options,
    server: *mut *mut fmq_server,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(server, "server"))?;
        let (path, options) = from_c!((text_or_null(path, "path")?, thing_or_null(options, "options")?));
        let mut options = Pairs::open(options, path)?;
        options.listen.get_or_insert_default();
        let instance = ferromq::open_with(options)?;
        let name_servers = c_string(instance.name_servers());
        *place = share(Serving { server: Server::Both(instance), name_servers })?;
        Ok(())
    })
}

/// Starts a name server alone, as its options say (docs/settings.md: listenPort, bindAddress, ...); NULL for the defaults.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_start_namesrv(
    options: *const fmq_options,
    server: *mut *mut fmq_server,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(server, "server"))?;
        let options = Pairs::namesrv(from_c!(thing_or_null(options, "options"))?)?;
        let host = match options.bind_address.as_str() {
            "0.0.0.0" => "127.0.0.1".to_owned(),
            "::" => "[::1]".to_owned(),
            six if six.contains(':') && !six.starts_with('[') => format!("[{six}]"),
            other => other.to_owned(),
        };
        let namesrv = NamesrvProcess::start(options)?;
        let name_servers = c_string(format!("{host}:{}", namesrv.port()));
        *place = share(Serving { server: Server::Namesrv(namesrv), name_servers })?;
        Ok(())
    })
}

/// Starts a broker alone, as its options say (docs/settings.md: storePathRootDir, listenPort, namesrvAddr, ...); NULL for
/// the defaults. It need not find its name servers at once.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_start_broker(
    options: *const fmq_options,
    server: *mut *mut fmq_server,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(server, "server"))?;
        let options = Pairs::broker(from_c!(thing_or_null(options, "options"))?)?;
        let name_servers = c_string(options.namesrv_addr.as_deref().unwrap_or_default());
        let broker = BrokerProcess::start(options)?;
        *place = share(Serving { server: Server::Broker(broker), name_servers })?;
        Ok(())
    })
}

/// The ports of name server and broker, 0 for what is not there. Either output may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_ports(
    server: *const fmq_server,
    name_server_port: *mut u16,
    broker_port: *mut u16,
) -> *mut fmq_error {
    guard(|| {
        let places = from_c!((output_or_null(name_server_port), output_or_null(broker_port)));
        let (name_server, broker) = object(server, "server")?.server.ports();
        if let Some(place) = places.0 {
            *place = name_server;
        }
        if let Some(place) = places.1 {
            *place = broker;
        }
        Ok(())
    })
}

/// Where clients of this machine find the name server, for `fmq_connect`. Valid until the server is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_name_servers(server: *const fmq_server) -> *const c_char {
    look(null(), || Ok(object(server, "server")?.name_servers.as_ptr()))
}

/// Orderly end: goodbye to the name servers, answers for what is in flight (3 s at most), everything saved. A server of
/// both ends within `timeout_ms`, below 0: 30 s. Stopping again is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_stop(server: *mut fmq_server, timeout_ms: i64) -> *mut fmq_error {
    guard(|| object(server, "server")?.server.stop(timeout_ms))
}

/// Stops a server as `fmq_server_stop` with -1 does, and ends the handle. NULL and a handle that was freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_server_free(server: *mut fmq_server) {
    look((), || unshare(server).map_or(Ok(()), |serving| serving.server.stop(-1)));
}
