//! Behaviour over real sockets and files, one module a topic.

mod namesrv;
mod net_bad_input;
mod net_client;
mod net_server;
mod net_support;
mod rooms;
mod store_fixture;
mod store_golden;
mod wire_golden;
