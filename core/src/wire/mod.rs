//! The codec of Apache RocketMQ's remoting protocol: bytes in, typed requests and responses out, and back. Pure: no
//! sockets, no clock.
//!
//! - [`frame`]: a frame with its fields not yet interpreted; [`Frame::decode`] never allocates for what Apache's
//!   clients send.
//! - [`Request`]: what a request asks, one variant a code. The structs stand in one file a family (`send`, `pull`,
//!   `offset` ...), and there a field's name, type and wire name stand in one place.
//! - [`Response`]: what is answered.
//! - [`body`] and [`json`]: bodies in JSON, in the forms of fastjson.
//!
//! Facts from the protocol reference, sections 1, 2, 4 and 5.

mod binary_header;
pub mod body;
mod client;
mod codes;
mod config;
mod error;
mod fields;
pub mod frame;
mod group;
mod header;
pub mod json;
mod json_header;
mod kv;
mod lock;
mod namesrv;
mod offset;
mod pull;
mod query;
mod request;
mod reset;
mod response;
#[cfg(test)]
mod sample;
mod send;
mod text;
mod topic;
mod transaction;
pub mod treatment;
mod writer;

pub use client::*;
pub use codes::{Language, RequestCode, ResponseCode};
pub use config::*;
pub use error::{DecodeError, FrameError};
pub use fields::{Fields, Value};
pub use frame::{flag, Frame};
pub use group::*;
pub use kv::*;
pub use lock::*;
pub use namesrv::*;
pub use offset::*;
pub use pull::*;
pub use query::*;
pub use request::Request;
pub use reset::*;
pub use response::{Body, FromResponse, Response, ResponseHeader};
pub use send::*;
pub use topic::*;
pub use transaction::*;
pub use writer::FieldWriter;

/// The version ordinal that we tell peers: 4.9.8.
pub const VERSION: i32 = version::V4_9_8;

/// Version ordinals of releases that peers are told apart by (protocol reference, section 1.4).
#[doc(alias = "MQVersion")]
pub mod version {
    /// From here a broker's registration has a body.
    pub const V3_0_11: i32 = 37;
    /// From here a client's `maxReconsumeTimes` counts.
    pub const V3_4_9: i32 = 121;
    /// From here a client reads routes as strict JSON.
    pub const V4_9_4: i32 = 401;
    /// What we tell peers.
    pub const V4_9_8: i32 = 409;
    /// From here a broker's compressed registration has a section for static topics.
    pub const V5_0_0: i32 = 413;
}

/// How a header is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "SerializeType")]
pub enum Encoding {
    /// JSON, Apache's default.
    #[default]
    Json = 0,
    /// `ROCKETMQ`. Codes over 32767 do not fit and go in JSON.
    Binary = 1,
}
