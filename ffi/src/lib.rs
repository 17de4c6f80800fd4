//! The C ABI of FerroMQ: `libferromq`, described by `include/ferromq.h`, which is made from this crate (`tests/header.rs`).
//!
//! Every function stands in a `guard`: no panic leaves it, and what is NULL, freed or of another type is refused where
//! that can be told. Handles are the business of `handle`. Names, order and lifetimes follow the rules on the header's
//! front page. Symbols are only ever added: `symbols.txt` lists them in the order in which they came.

#![allow(
    clippy::missing_safety_doc,
    reason = "the header's front page says what pointers must be, once for all"
)]

mod admin;
mod allocate;
mod appender;
mod consumer;
mod error;
mod guard;
mod handle;
mod instance;
mod log;
mod message;
mod options;
mod process;
mod producer;
mod pulled;
mod push;
mod queue;
mod reader;
mod ready;
mod sent;
mod server;
mod stored;
mod transaction;
mod version;

pub use admin::*;
pub use allocate::*;
pub use appender::*;
pub use consumer::*;
pub use error::*;
pub use handle::fmq_free_user_data;
pub use instance::*;
pub use log::*;
pub use message::*;
pub use options::*;
pub use producer::*;
pub use pulled::*;
pub use push::*;
pub use queue::*;
pub use reader::*;
pub use sent::*;
pub use server::*;
pub use stored::*;
pub use transaction::*;
pub use version::*;
