//! Listening sockets: addresses, options, free ports, and errors that name the address.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{Error, ErrorKind, Result};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Free ports are looked for here: below 32768, where systems by default begin to give ports to outgoing connections.
/// In that range a client that reconnects to a stopped server of the same machine could be given the server's own
/// port and connect to itself.
const FREE_PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Candidates tried before any port at all is taken.
const ATTEMPTS: u32 = 500;

/// The listening sockets of a server: the main one, and the VIP one on the port two below.
pub(super) struct Listeners {
    pub main: TcpListener,
    pub vip: Option<TcpListener>,
}

/// Listens on `host` and `port`, with `vip` also on `port` - 2. Port 0 takes a free port, with `vip` one whose
/// neighbours -2 and +1 (replication) are free too.
pub(super) fn listen(host: &str, port: u16, vip: bool) -> Result<Listeners> {
    let ip = resolve(host)?;
    if port == 0 {
        return free_port(ip, vip);
    }
    let main = open(SocketAddr::new(ip, port)).map_err(|error| failed(ip, port, "", error))?;
    let vip = match (vip, port.checked_sub(2)) {
        (false, _) => None,
        (true, None | Some(0)) => {
            let context = format!("port {port}: the VIP channel needs the port two below; use one above 2");
            return Err(Error::new(ErrorKind::InvalidArgument, "listen", context));
        }
        (true, Some(below)) => {
            let purpose = format!(" (VIP channel of port {port})");
            Some(open(SocketAddr::new(ip, below)).map_err(|error| failed(ip, below, &purpose, error))?)
        }
    };
    Ok(Listeners { main, vip })
}

/// The address of this machine that connections to `address` (`host:port`) start from. Sends nothing.
pub fn local_ip_towards(address: &str) -> Option<IpAddr> {
    let target = address.to_socket_addrs().ok()?.next()?;
    let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a datagram socket only chooses the route.
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn resolve(host: &str) -> Result<IpAddr> {
    let unusable = || format!("\"{host}\" is no address of this machine; use an IP address or host name");
    let mut found = (host, 0)
        .to_socket_addrs()
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, "listen", unusable()).with_source(error))?;
    let first = found.next().ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "listen", unusable()))?;
    Ok(first.ip())
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait for connections of its predecessor to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn failed(ip: IpAddr, port: u16, purpose: &str, error: io::Error) -> Error {
    let address = SocketAddr::new(ip, port);
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let context =
                format!("{address}{purpose} is in use by another process; stop it or choose another port");
            Error::new(ErrorKind::InUse, "listen", context).with_source(error)
        }
        io::ErrorKind::AddrNotAvailable => {
            let context = format!("{address}{purpose}: this machine has no such address");
            Error::new(ErrorKind::InvalidArgument, "listen", context).with_source(error)
        }
        _ => Error::io("listen", format!("{address}{purpose}"), error),
    }
}

fn free_port(ip: IpAddr, vip: bool) -> Result<Listeners> {
    for port in candidates() {
        if let Ok(listeners) = with_neighbours(ip, port, vip) {
            return Ok(listeners);
        }
    }
    // All taken or forbidden: whatever the system gives, if it has room around it.
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let port =
            open(SocketAddr::new(ip, 0)).and_then(|listener| listener.local_addr()).map(|at| at.port());
        match port.and_then(|port| with_neighbours(ip, port, vip)) {
            Ok(listeners) => return Ok(listeners),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
    Err(Error::io("listen", format!("no free port on {ip}"), error))
}

fn with_neighbours(ip: IpAddr, port: u16, vip: bool) -> io::Result<Listeners> {
    let main = open(SocketAddr::new(ip, port))?;
    if !vip {
        return Ok(Listeners { main, vip: None });
    }
    let (Some(below), Some(above)) = (port.checked_sub(2), port.checked_add(1)) else {
        return Err(io::ErrorKind::AddrInUse.into());
    };
    let vip = open(SocketAddr::new(ip, below))?;
    open(SocketAddr::new(ip, above))?;
    Ok(Listeners { main, vip: Some(vip) })
}

/// Ports to try, different from call to call and from process to process, so that servers that start together
/// seldom meet.
fn candidates() -> impl Iterator<Item = u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let start =
        (nanos / 1000).wrapping_add(std::process::id().wrapping_mul(7919)).wrapping_add(call * 104_729);
    let span = u32::from(FREE_PORTS.end - FREE_PORTS.start);
    // Steps of 4 keep the three ports of one candidate apart from those of the next.
    (0..ATTEMPTS).map(move |step| FREE_PORTS.start + (start.wrapping_add(step * 4) % span) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_finds_room_for_vip_and_replication() {
        let first = listen("127.0.0.1", 0, true).unwrap();
        let port = first.main.local_addr().unwrap().port();
        assert_eq!(first.vip.unwrap().local_addr().unwrap().port(), port - 2);
        assert!(port < 32_768);
        let above = open(SocketAddr::new([127, 0, 0, 1].into(), port + 1)).unwrap();
        drop(above);
    }

    #[test]
    fn a_port_in_use_is_named() {
        let first = listen("127.0.0.1", 0, false).unwrap();
        let port = first.main.local_addr().unwrap().port();
        let error = listen("127.0.0.1", port, false).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.context().starts_with(&format!("127.0.0.1:{port} is in use")), "{error}");
        let error = listen("127.0.0.1", port + 2, true).err();
        // Another test may hold port + 2 itself: then the error names that one.
        assert_eq!(error.as_ref().map(Error::kind), Some(ErrorKind::InUse), "{error:?}");
    }

    #[test]
    fn the_local_address_depends_on_the_target() {
        assert_eq!(local_ip_towards("127.0.0.1:9876"), Some([127, 0, 0, 1].into()));
        assert_eq!(local_ip_towards("nonsense"), None);
    }

    #[test]
    fn unusable_hosts_and_ports_are_named() {
        let error = listen("no.such.host.invalid", 0, false).err().unwrap();
        assert!(error.to_string().contains("no.such.host.invalid"), "{error}");
        let error = listen("127.0.0.1", 2, true).err().unwrap();
        assert!(error.kind() != ErrorKind::Internal);
        let error = listen("192.0.2.1", 20_000, false).err().unwrap();
        assert!(error.context().contains("192.0.2.1:20000"), "{error}");
    }
}
