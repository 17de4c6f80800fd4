//! Benchmarks of our broker against Apache's.
fn main() {}
