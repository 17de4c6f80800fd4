//! Behaviour over real sockets and files, one module a topic.

mod wire_golden;
