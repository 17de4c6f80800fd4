//! Behaviour over real sockets and files, one module a topic.

mod broker_errors;
mod broker_golden;
mod broker_groups;
mod broker_messages;
mod broker_retry;
mod client_consumer;
mod client_consumer_admin;
mod client_producer;
mod client_push;
mod client_request;
mod client_send;
mod client_support;
mod client_transaction;
mod log_support;
mod namesrv;
mod net_bad_input;
mod net_client;
mod net_local;
mod net_server;
mod net_support;
mod rooms;
mod store_fixture;
mod store_golden;
mod support;
mod wire_golden;
