//! Behaviour over real sockets and files, one module a topic.

mod net_bad_input;
mod net_client;
mod net_server;
mod net_support;
mod wire_golden;
