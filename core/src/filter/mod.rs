//! Filters: which messages a consumer wants, decided from their tags or their other properties. Pure functions.
//!
//! A tag expression chooses by the one tag of a message; an SQL92 expression by any of its properties. `docs/filters.md`
//! says how they are used with brokers.

mod bloom;
#[cfg(feature = "wasm-filter")]
mod function;
mod sql;
pub mod tag;

#[doc(hidden)]
pub use bloom::{Bloom, BloomBits};
#[cfg(feature = "wasm-filter")]
pub use function::{FilterFunction, MAX_MODULE};
pub use sql::{SqlExpression, SyntaxError, MAX_DEPTH, MAX_LENGTH, MAX_NESTING, MAX_OPERANDS};
pub use tag::TagExpression;
