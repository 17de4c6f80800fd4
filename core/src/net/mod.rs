//! Sockets: servers and clients over TCP, event loops, and the trait [`Service`] that broker and name server implement.
//!
//! Every connection, accepted or made, is one task pinned to one event loop. The task reads what has arrived, hands
//! each whole frame to the [`Service`], writes all replies of the batch with one call, and only then tells the service
//! that the batch is [`drained`](Service::drained). A request that cannot be answered at once is parked as a
//! [`Ticket`], answered later from any thread; responses leave as they become ready, matched by opaque.
//!
//! What is bounded, and by what:
//! - a frame: [`Limits::frame`]; the connection is closed when a length beyond it is announced;
//! - memory for input: what has arrived of one frame, and one shared buffer a loop;
//! - memory for output: above [`Limits::output`] no further request of the connection is handled until the peer has
//!   read; above [`Limits::output_ceiling`] the connection is closed;
//! - both of all connections of a server together: [`ServerOptions::max_memory`];
//! - parked tickets: [`Limits::parked`], likewise by not handling further requests;
//! - connections of a server: [`ServerOptions::max_connections`];
//! - handshakes of encrypted connections: their number and time, and the memory of each.
//!
//! An idle connection holds no buffer and costs no CPU.
//!
//! A client and a service in one process need no socket: after [`Client::attach`] the client's calls are handed to the
//! service as they are, on the caller's thread.

mod call;
mod calls;
mod client;
mod connection;
mod input;
mod lane;
mod limits;
mod listen;
mod local;
mod loops;
mod memory;
mod output;
mod pump;
mod server;
mod stream;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod welcome;

use std::sync::Arc;

pub use call::{Call, Reply, Ticket};
pub use client::{Client, ClientOptions};
pub use connection::Connection;
pub use limits::Limits;
pub use listen::local_ip_towards;
pub use loops::Loops;
pub use server::{Server, ServerOptions};
pub use tls::{TlsClient, TlsServer};

/// What answers requests: the broker, the name server, or a client's handler of requests that servers push.
///
/// All methods run on the event loop of the connection and must not block: everything else on that loop waits
/// meanwhile. For a [`Client`] in the same process they run on the calling threads, several at a time.
#[doc(alias = "NettyRequestProcessor")]
pub trait Service: Send + Sync + 'static {
    /// Answers one request, or parks it: [`Call::reply`] now, or [`Call::park`] and [`Ticket::reply`] later.
    fn handle(&self, call: Call<'_>);

    /// The replies of the requests that one read brought have been written to the socket (as far as it took them), or
    /// the caller in this process has its response.
    /// The place for work that should not delay a reply: passing new messages on to waiting consumers.
    fn drained(&self, connection: &Arc<Connection>) {
        let _ = connection;
    }

    /// A connection is open: accepted, or made by a [`Client`].
    #[doc(alias = "ChannelEventListener")]
    fn connected(&self, connection: &Arc<Connection>) {
        let _ = connection;
    }

    /// A connection that was [`connected`](Service::connected) is closed; called once, after the last
    /// [`handle`](Service::handle). Tickets of the connection may still be answered: nothing is sent.
    fn closed(&self, connection: &Arc<Connection>) {
        let _ = connection;
    }
}
