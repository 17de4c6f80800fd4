//! Filters: pure functions over tags and properties. SQL92 comes with a later version; TAG is here.

pub mod tag;

pub use tag::TagExpression;
