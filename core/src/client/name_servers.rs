//! The name servers of a cluster: any of them will do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::net::{Client, Reply};
use crate::wire::Request;
use crate::{Error, ErrorKind, Result};

/// Addresses of name servers, and which one was last found alive.
pub(super) struct NameServers {
    addresses: Vec<String>,
    current: AtomicUsize,
}

impl NameServers {
    /// Reads `host:port;host:port`.
    pub fn parse(text: &str) -> Result<NameServers> {
        let addresses: Vec<String> =
            text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect();
        let wrong = |what: String| {
            let context =
                format!("{what}; write host:port, several separated by ';' (such as 127.0.0.1:9876)");
            Err(Error::new(ErrorKind::InvalidArgument, "connect", context))
        };
        if addresses.is_empty() {
            return wrong("no name server address is given".into());
        }
        for address in &addresses {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if port.is_none_or(|port| port == 0) {
                return wrong(format!("name server address {address:?} has no port"));
            }
        }
        // Each process begins somewhere else, so that clients spread over the servers.
        let current = AtomicUsize::new(std::process::id() as usize);
        Ok(NameServers { addresses, current })
    }

    /// The address to start with.
    pub fn first(&self) -> &str {
        &self.addresses[self.current.load(Ordering::Relaxed) % self.addresses.len()]
    }

    /// All addresses.
    pub fn text(&self) -> String {
        self.addresses.join(";")
    }

    /// Asks one name server after the other, each for `limit` at most, until one answers, whatever it answers, or the
    /// time `until` has come.
    pub fn ask(&self, net: &Client, request: &Request<'_>, limit: Duration, until: Instant) -> Result<Reply> {
        let start = self.current.load(Ordering::Relaxed);
        let mut failed = None;
        for index in (start..).take(self.addresses.len()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() && failed.is_some() {
                break;
            }
            match net.call(&self.addresses[index % self.addresses.len()], request, limit.min(left)) {
                Ok(reply) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) if error.is_retriable() => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        let context = match self.addresses.len() {
            1 => "the name server does not answer".to_string(),
            count => format!("none of {count} name servers ({}) answers", self.addresses.join(";")),
        };
        let error = Error::new(ErrorKind::Connection, "ask name server", context);
        Err(match failed {
            Some(failed) => error.with_source(failed),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_addresses_are_separated_by_semicolons() {
        let servers = NameServers::parse(" a:1; b:2;;[::1]:9876 ").unwrap();
        assert_eq!(servers.addresses, ["a:1", "b:2", "[::1]:9876"]);
        assert!(servers.addresses.iter().any(|address| address == servers.first()));
    }

    #[test]
    fn what_is_no_address_is_named() {
        for (text, named) in
            [("", "no name server"), (" ; ", "no name server"), ("a:1;b", "\"b\""), ("a:0", "\"a:0\"")]
        {
            let error = NameServers::parse(text).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.context().contains(named), "{error}");
        }
    }
}
