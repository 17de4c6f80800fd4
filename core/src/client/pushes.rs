//! Requests that brokers send to clients (protocol reference, section 10). All of them come together in one match.
//!
//! Nothing here blocks or runs a user's code: it is on an event loop, or on the thread that answers in this process.
//! What takes longer is handed to another thread, with a [`Ticket`](crate::net::Ticket) if there is something to answer.

use std::sync::{Arc, Weak};

use super::worker::Signal;
use super::{consumer, producer, Cluster};
use crate::net::{Call, Connection, Service};
use crate::wire::{Request, Response, ResponseCode};

/// What answers brokers on behalf of a client.
pub(super) struct Pushes {
    signal: Arc<Signal>,
    cluster: Weak<Cluster>,
}

impl Pushes {
    /// Answers for `cluster`, as long as it lives.
    pub fn new(signal: Arc<Signal>, cluster: Weak<Cluster>) -> Pushes {
        Pushes { signal, cluster }
    }
}

impl Service for Pushes {
    fn handle(&self, call: Call<'_>) {
        let Some(cluster) = self.cluster.upgrade() else {
            return call.reply(Response::error(ResponseCode::SYSTEM_ERROR, "this client is being closed"));
        };
        let request = match call.request() {
            Ok(request) => request,
            Err(error) => return call.reply(Response::error(ResponseCode::SYSTEM_ERROR, error.to_string())),
        };
        match request {
            Request::NotifyConsumerIdsChanged(_) => {
                self.signal.rebalance();
                call.reply(Response::ok());
            }
            Request::CheckTransactionState(check) => {
                producer::asked(&cluster, &check, call.connection);
                call.reply(Response::ok());
            }
            Request::PushReplyMessageToClient(push) => {
                producer::replied(&cluster, &push);
                call.reply(Response::ok());
            }
            _ => {
                if let Some(call) = consumer::pushes::handle(&cluster, call) {
                    let remark = format!(" request type {} not supported", call.code().0);
                    call.reply(Response::error(ResponseCode::REQUEST_CODE_NOT_SUPPORTED, remark));
                }
            }
        }
    }

    /// A broker forgets a client whose connection broke, so each new one begins with an introduction.
    fn connected(&self, _: &Arc<Connection>) {
        self.signal.introduce();
    }
}
