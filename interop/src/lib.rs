//! Interop runner.
