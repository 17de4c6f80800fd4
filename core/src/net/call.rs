//! A request being handled, a parked one, and the response to one of our own.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::local::{self, Exchange, Parking};
use super::Connection;
use crate::wire::{
    Body, DecodeError, Encoding, Frame, FromResponse, Language, Request, RequestCode, Response, ResponseCode,
    ResponseHeader, VERSION,
};
use crate::Result;

/// One request, borrowed for the time of [`Service::handle`](super::Service::handle): from the connection's read
/// buffer, or from a caller in this process.
pub struct Call<'a> {
    asked: Asked<'a>,
    /// The connection it came on.
    pub connection: &'a Arc<Connection>,
    settled: bool,
}

enum Asked<'a> {
    Frame(&'a Frame<'a>),
    Local(&'a Request<'a>, &'a Exchange<'a>),
}

impl<'a> Call<'a> {
    pub(super) fn new(frame: &'a Frame<'a>, connection: &'a Arc<Connection>) -> Self {
        Call { asked: Asked::Frame(frame), connection, settled: false }
    }

    pub(super) fn local(
        request: &'a Request<'a>,
        exchange: &'a Exchange<'a>,
        connection: &'a Arc<Connection>,
    ) -> Self {
        Call { asked: Asked::Local(request, exchange), connection, settled: false }
    }

    /// The code of the request.
    pub fn code(&self) -> RequestCode {
        match self.asked {
            Asked::Frame(frame) => frame.request_code(),
            Asked::Local(request, _) => request.code(),
        }
    }

    /// The request, decoded; one of this process is only copied, with what it borrows still borrowed.
    ///
    /// Errors: what is wrong with its fields.
    pub fn request(&self) -> Result<Request<'a>, DecodeError> {
        match self.asked {
            Asked::Frame(frame) => Request::decode(frame),
            Asked::Local(request, _) => Ok(request.clone()),
        }
    }

    /// The frame that the request came in; none if it came from this process.
    pub fn frame(&self) -> Option<&'a Frame<'a>> {
        match self.asked {
            Asked::Frame(frame) => Some(frame),
            Asked::Local(..) => None,
        }
    }

    /// The version ordinal of the peer, see [`crate::wire::version`].
    pub fn version(&self) -> i32 {
        self.frame().map_or(VERSION, |frame| frame.version)
    }

    /// The language of the peer.
    pub fn language(&self) -> Language {
        self.frame().map_or(Language::RUST, |frame| frame.language)
    }

    /// Whether no response may be sent; [`Call::reply`] then does nothing.
    pub fn is_oneway(&self) -> bool {
        match self.asked {
            Asked::Frame(frame) => frame.is_oneway(),
            Asked::Local(_, exchange) => exchange.is_oneway(),
        }
    }

    /// Answers now. The response leaves with those of the other requests that the same read brought. Nothing is sent
    /// for a oneway request.
    pub fn reply(mut self, response: Response) {
        self.settled = true;
        match self.asked {
            Asked::Frame(frame) if frame.is_oneway() => {}
            Asked::Frame(frame) => self.connection.respond(frame.encoding, frame.opaque, response),
            Asked::Local(_, exchange) => exchange.answer(response),
        }
    }

    /// Keeps what is needed to answer later, from any thread. The connection goes on with its next request, up to
    /// [`Limits::parked`](super::Limits::parked) tickets.
    pub fn park(mut self) -> Ticket {
        self.settled = true;
        self.connection.ticket_made();
        let to = match self.asked {
            Asked::Frame(frame) if frame.is_oneway() => To::Nobody,
            Asked::Frame(frame) => To::Peer { opaque: frame.opaque, encoding: frame.encoding },
            Asked::Local(_, exchange) => exchange.park().map_or(To::Nobody, To::Caller),
        };
        Ticket { connection: self.connection.clone(), code: self.code(), to }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.settled && !self.is_oneway() {
            warn_unanswered(self.code(), self.connection);
            if let Asked::Frame(frame) = self.asked {
                self.connection.drop_request(frame.request_code(), frame.opaque);
            }
        }
    }
}

/// A request to be answered later: a few words, never the frame. Dropped unanswered, a caller of this process gets an
/// error; to others nothing is sent and they wait for their own deadline.
pub struct Ticket {
    connection: Arc<Connection>,
    code: RequestCode,
    to: To,
}

/// Whom a ticket answers.
enum To {
    Nobody,
    Peer {
        opaque: i32,
        encoding: Encoding,
    },
    /// A caller in this process.
    Caller(Parking),
}

impl Ticket {
    /// Answers, from any thread. Nothing is sent if the connection is closed or the request was oneway.
    pub fn reply(mut self, response: Response) {
        match std::mem::replace(&mut self.to, To::Nobody) {
            To::Nobody => {}
            To::Peer { opaque, encoding } => self.connection.respond(encoding, opaque, response),
            To::Caller(parking) => self.connection.respond_parked(&parking, Ok(response)),
        }
    }

    /// The connection the request came on.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Whether no response may be sent; [`Ticket::reply`] then does nothing.
    pub fn is_oneway(&self) -> bool {
        matches!(self.to, To::Nobody)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.ticket_gone();
        if matches!(self.to, To::Nobody) || !self.connection.is_open() {
            return;
        }
        warn_unanswered(self.code, &self.connection);
        match &self.to {
            To::Nobody => {}
            To::Peer { opaque, .. } => self.connection.drop_request(self.code, *opaque),
            To::Caller(parking) => {
                let error = local::unanswered(self.code, &self.connection.peer());
                self.connection.respond_parked(parking, Err(error));
            }
        }
    }
}

fn warn_unanswered(code: RequestCode, connection: &Connection) {
    tracing::warn!("a {code} request of {} was dropped without an answer", connection.peer());
}

/// The response to a call. One that came in a frame owns the frame's memory.
pub struct Reply {
    from: From,
}

enum From {
    Frame(Bytes),
    /// Of a service in this process. The body is in one piece.
    Local(Response),
}

impl Reply {
    /// `bytes` is one whole frame that has been decoded before.
    pub(super) fn new(bytes: Bytes) -> Reply {
        Reply { from: From::Frame(bytes) }
    }

    /// Copies the body: services answer with pieces of files that they have mapped.
    pub(super) fn local(mut response: Response) -> Reply {
        if !matches!(response.body, Body::Empty) {
            let mut copy = Vec::with_capacity(response.body.len());
            response.body.chunks().for_each(|chunk| copy.extend_from_slice(chunk));
            response.body = Body::Bytes(copy.into());
        }
        Reply { from: From::Local(response) }
    }

    /// The response code.
    pub fn code(&self) -> ResponseCode {
        match &self.from {
            From::Frame(bytes) => ResponseCode(decoded(bytes).code),
            From::Local(response) => response.code,
        }
    }

    /// What the peer said about a request that did not end well; empty if nothing.
    pub fn remark(&self) -> String {
        match &self.from {
            From::Frame(bytes) => decoded(bytes).remark.map(Cow::into_owned).unwrap_or_default(),
            From::Local(response) => response.remark.clone().unwrap_or_default(),
        }
    }

    /// The fields of the response, typed.
    ///
    /// Errors: [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) names the field that is missing or not what it should be.
    pub fn header<T: FromResponse>(&self) -> Result<T> {
        match &self.from {
            From::Frame(bytes) => Ok(T::from_frame(&decoded(bytes))?),
            From::Local(response) => typed(response.header.clone()),
        }
    }

    /// As [`Reply::header`], of a reply that is not needed any more: nothing is copied if it is one of this process.
    pub fn into_header<T: FromResponse>(self) -> Result<T> {
        match self.from {
            From::Frame(bytes) => Ok(T::from_frame(&decoded(&bytes))?),
            From::Local(response) => typed(response.header),
        }
    }

    /// The body, in one piece; of a frame it shares the memory.
    pub fn body(&self) -> Bytes {
        match &self.from {
            From::Frame(bytes) => bytes.slice_ref(decoded(bytes).body),
            From::Local(Response { body: Body::Bytes(bytes), .. }) => bytes.clone(),
            From::Local(_) => Bytes::new(),
        }
    }
}

fn typed<T: FromResponse>(header: ResponseHeader) -> Result<T> {
    T::from_header(header).or_else(|other| {
        // Of another type, or as names and values: what its bytes say counts.
        let mut bytes = Vec::new();
        Response::ok().with_header(other).encode(Encoding::Binary, 0, &mut bytes);
        Ok(T::from_frame(&decoded(&bytes))?)
    })
}

fn decoded(bytes: &[u8]) -> Frame<'_> {
    Frame::decode(bytes).expect("the frame was decoded when it arrived")
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({}, {} bytes of body)", self.code(), self.body().len())
    }
}
