//! A request being handled, a parked one, and the response to one of our own.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::Connection;
use crate::wire::{Encoding, Frame, FromResponse, RequestCode, Response, ResponseCode};
use crate::Result;

/// One request, borrowed from the connection's read buffer for the time of [`Service::handle`](super::Service::handle).
pub struct Call<'a> {
    /// The request.
    pub frame: &'a Frame<'a>,
    /// The connection it came on.
    pub connection: &'a Arc<Connection>,
    settled: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(frame: &'a Frame<'a>, connection: &'a Arc<Connection>) -> Self {
        Call { frame, connection, settled: false }
    }

    /// Whether no response may be sent; [`Call::reply`] then does nothing.
    pub fn is_oneway(&self) -> bool {
        self.frame.is_oneway()
    }

    /// Answers now. The response leaves with those of the other requests that the same read brought. Nothing is sent
    /// for a oneway request.
    pub fn reply(mut self, response: &Response) {
        self.settled = true;
        if !self.frame.is_oneway() {
            self.connection.respond(self.frame.encoding, self.frame.opaque, response);
        }
    }

    /// Keeps what is needed to answer later, from any thread. The connection goes on with its next request, up to
    /// [`Limits::parked`](super::Limits::parked) tickets.
    pub fn park(mut self) -> Ticket {
        self.settled = true;
        self.connection.ticket_made();
        Ticket {
            connection: self.connection.clone(),
            code: self.frame.code,
            opaque: self.frame.opaque,
            encoding: self.frame.encoding,
            oneway: self.frame.is_oneway(),
            settled: false,
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.settled && !self.frame.is_oneway() {
            warn_unanswered(self.frame.code, self.connection);
        }
    }
}

/// A request to be answered later: a few words, never the frame. Dropped unanswered, nothing is sent and its peer
/// waits for its own deadline.
pub struct Ticket {
    connection: Arc<Connection>,
    code: i32,
    opaque: i32,
    encoding: Encoding,
    oneway: bool,
    settled: bool,
}

impl Ticket {
    /// Answers, from any thread. Nothing is sent if the connection is closed or the request was oneway.
    pub fn reply(mut self, response: &Response) {
        self.settled = true;
        if !self.oneway {
            self.connection.respond(self.encoding, self.opaque, response);
        }
    }

    /// The connection the request came on.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether no response may be sent; [`Ticket::reply`] then does nothing.
    pub fn is_oneway(&self) -> bool {
        self.oneway
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.ticket_gone();
        if !self.settled && !self.oneway && self.connection.is_open() {
            warn_unanswered(self.code, &self.connection);
        }
    }
}

fn warn_unanswered(code: i32, connection: &Connection) {
    let request = RequestCode(code);
    tracing::warn!("a {} request of {} was dropped without an answer", request, connection.peer());
}

/// The response to a call: owns its frame.
pub struct Reply {
    bytes: Bytes,
}

impl Reply {
    /// `bytes` is one whole frame that has been decoded before.
    pub(super) fn new(bytes: Bytes) -> Reply {
        Reply { bytes }
    }

    /// The response, decoded anew at each call.
    pub fn frame(&self) -> Frame<'_> {
        Frame::decode(&self.bytes).expect("the frame was decoded when it arrived")
    }

    /// The response code.
    pub fn code(&self) -> ResponseCode {
        ResponseCode(self.frame().code)
    }

    /// What the peer said about a request that did not end well; empty if nothing.
    pub fn remark(&self) -> String {
        self.frame().remark.map(Cow::into_owned).unwrap_or_default()
    }

    /// The fields of the response, typed.
    ///
    /// Errors: [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) names the field that is missing or not what it should be.
    pub fn header<T: FromResponse>(&self) -> Result<T> {
        Ok(T::from_frame(&self.frame())?)
    }

    /// The text of one field of the response, by its name on the wire.
    pub fn field(&self, name: &str) -> Option<String> {
        self.frame().fields.get(name).map(Cow::into_owned)
    }

    /// The body, sharing the frame's memory.
    pub fn body(&self) -> Bytes {
        self.bytes.slice_ref(self.frame().body)
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frame = self.frame();
        write!(f, "Reply({}, {} bytes of body)", ResponseCode(frame.code), frame.body.len())
    }
}
