//! The `ferromq` command.
fn main() {}
