//! The first moments of a connection that a server with TLS has accepted.

use std::future::{poll_fn, Future};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::net::TcpStream;

use super::connection::{Phase, Rest};
use super::pump::{self, End, Timer};
use super::stream::Stream;
use super::tls::First;
use super::{Call, Connection, Service, TlsServer};
use crate::wire::{Response, ResponseCode};
use crate::ErrorKind;

/// Serves a connection, encrypted if its first byte says so.
pub(super) async fn run(
    socket: TcpStream,
    tls: &TlsServer,
    connection: Arc<Connection>,
    service: Arc<dyn Service>,
) {
    let first = match unless_ended(&connection, tls.judge(&socket)).await {
        Ok(first) => first.map_err(End::from),
        Err(end) => Err(end),
    };
    let stream = match first {
        Err(end) => return connection.ended(end.kind, &end.why),
        Ok(First::Plain) => Stream::plain(socket),
        Ok(First::Refused) => {
            tls.complain(&connection.peer(), ONLY_TLS);
            return pump::run(Stream::plain(socket), connection, Arc::new(TlsOnly)).await;
        }
        // Apart from the connection's task, which would keep the room for as long as it lives.
        Ok(First::Tls) => {
            let accepted = Box::pin(tls.accept(&socket, connection.memory().cloned()));
            match unless_ended(&connection, accepted).await {
                Ok(Ok(session)) => Stream::encrypted(socket, session),
                Ok(Err(error)) => {
                    let end = End::from(error);
                    tls.complain(&connection.peer(), &end.why);
                    return connection.ended(end.kind, &end.why);
                }
                Err(end) => return connection.ended(end.kind, &end.why),
            }
        }
    };
    pump::run(stream, connection, service).await;
}

/// Does the work, unless the connection is closed from elsewhere, the server stops, or nothing happens for as long as a
/// connection may be idle.
async fn unless_ended<T>(connection: &Connection, work: impl Future<Output = T>) -> Result<T, End> {
    let idle_at = Instant::now() + connection.limits().idle;
    let mut timer = Timer::new();
    let mut work = pin!(work);
    poll_fn(|cx| loop {
        match connection.attend(&mut Vec::new()) {
            Phase::Closing(kind, why) | Phase::Closed(kind, why) => {
                return Poll::Ready(Err(End::new(kind, why)))
            }
            // Nothing was asked yet.
            Phase::Draining => {
                let why = "the server is shutting down";
                return Poll::Ready(Err(End::new(ErrorKind::Connection, why)));
            }
            Phase::Open => {}
        }
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if timer.poll(cx, idle_at) {
            let why = format!("nothing came for {} ms", connection.limits().idle.as_millis());
            return Poll::Ready(Err(End::new(ErrorKind::Connection, why)));
        }
        if let Rest::Sleep(_) = connection.rest(cx.waker(), &mut Vec::new()) {
            return Poll::Pending;
        }
    })
    .await
}

const ONLY_TLS: &str = "plain text, and this port takes TLS only (tls.server.mode=enforcing)";

/// Tells who comes with plain text to a port that takes TLS only; in plain text, as nothing else is understood.
struct TlsOnly;

impl Service for TlsOnly {
    fn handle(&self, call: Call<'_>) {
        let remark = "this port takes TLS only (tls.server.mode=enforcing): connect with tls.enable=true";
        let connection = call.connection.clone();
        call.reply(Response::error(ResponseCode::NO_PERMISSION, remark));
        connection.drain();
    }
}
