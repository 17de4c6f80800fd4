//! Runs the clients, tools and brokers of Apache RocketMQ against our processes and back.
//!
//! * [`process`]: child processes that never outlive the run, and free ports.
//! * [`java`]: builds the Maven project and talks to its driver JVMs.
//! * [`server`]: name servers and brokers, ours and Apache's, under one face.
//! * [`member`]: processes of producers and consumers, Apache's and ours, that are told what to do.
//! * [`report`]: one line a case, and the closing line.
//!
//! The scenarios themselves are in `tests/interop`. With `FERROMQ_INTEROP_SERVER=apache` they run against Apache's own
//! name server and broker: what fails there is a mistake of the test. `FERROMQ_INTEROP_KEEP=1` keeps the directory with
//! all data and logs.

pub mod java;
pub mod member;
pub mod process;
pub mod report;
pub mod server;

/// What a step gives back: nothing, or why it failed.
pub type Outcome<T = ()> = Result<T, String>;
