//! Whose handshake is under way.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::Mutex;

/// Handshakes of a server at a time.
const ALL: usize = 1024;

/// Handshakes of one address at a time. Clients behind one address that come all at once wait a little longer; one that
/// begins handshakes and never goes on leaves the others three quarters.
const OF_ONE: usize = 256;

/// How long a connection waits for its turn; clients give up earlier.
pub(super) const WITHIN: Duration = Duration::from_secs(20);

/// Handshakes under way, bounded in all and for each address. Those beyond wait in the order in which they came.
pub(super) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    addresses: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// Lasts as long as a handshake.
pub(super) struct Turn {
    // Given back in this order; the address is forgotten with its last turn.
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns::of(ALL, OF_ONE)
    }
}

impl Turns {
    fn of(all: usize, of_one: usize) -> Turns {
        Turns { all: Arc::new(Semaphore::new(all)), of_one, addresses: Mutex::default() }
    }

    /// Waits for the turn of a client of this address.
    pub async fn take(&self, address: IpAddr) -> io::Result<Turn> {
        let own = self.address(network(address)).acquire_owned().await.map_err(io::Error::other)?;
        let all = self.all.clone().acquire_owned().await.map_err(io::Error::other)?;
        Ok(Turn { _all: all, _own: own })
    }

    fn address(&self, address: IpAddr) -> Arc<Semaphore> {
        let mut addresses = self.addresses.lock();
        if let Some(own) = addresses.get(&address).and_then(Weak::upgrade) {
            return own;
        }
        // Looking through all of them costs each of many newcomers little.
        if addresses.len() >= 2 * ALL && addresses.len() == addresses.capacity() {
            addresses.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.of_one));
        addresses.insert(address, Arc::downgrade(&own));
        own
    }
}

/// What counts as one address: hosts have a network of IPv6 to choose theirs from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_address_does_not_take_the_turns_of_all() {
        let turns = Turns::of(4, 2);
        let [a, b]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let take = |ip| now(turns.take(ip)).map(Result::unwrap);
        let of_a = [take(a).unwrap(), take(a).unwrap()];
        assert!(take(a).is_none());
        let _of_b = [take(b).unwrap(), take(b).unwrap()];
        assert!(take("10.0.0.3".parse().unwrap()).is_none(), "all are taken");
        drop(of_a);
        assert!(take(a).is_some());
        assert!(take("::ffff:10.0.0.1".parse().unwrap()).is_some());
    }

    #[test]
    fn networks_of_ipv6_are_one_address() {
        let network = |ip: &str| network(ip.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), "10.0.0.1");
    }

    #[test]
    fn addresses_that_are_gone_are_forgotten() {
        let turns = Turns::of(4, 2);
        for count in 0..20_000u32 {
            assert!(now(turns.take(IpAddr::from(count.to_be_bytes()))).is_some());
        }
        assert!(turns.addresses.lock().len() < 8 * ALL);
    }
}
