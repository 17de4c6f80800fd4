//! The transaction producer's calls, and its listener's way to JavaScript and back.

use std::sync::Arc;

use ferromq::{Message, ProducerOptions, Result, StoredMessage, TransactionListener, TransactionState};
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::error::guard;
use crate::message::{pack, pack_sent};
use crate::options::{limit, message};
use crate::reports::{Answer, Payload, Shared};

/// Sends messages in transactions; `lib/transaction.cjs` has what programs see of it.
#[napi]
pub struct TransactionProducer {
    producer: Arc<ferromq::TransactionProducer>,
    reports: Arc<Shared>,
}

/// What JavaScript answers for a listener.
struct Asked {
    reports: Arc<Shared>,
    check: u32,
}

fn state(answer: Option<Answer>) -> TransactionState {
    match answer.map(|answer| answer.status) {
        Some(0) => TransactionState::Commit,
        Some(1) => TransactionState::Rollback,
        _ => TransactionState::Unknown,
    }
}

impl TransactionListener for Asked {
    fn execute(&self, _: &Message, _: &str) -> TransactionState {
        // Every send brings its own, below.
        TransactionState::Unknown
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        state(self.reports.ask(self.check, pack(std::slice::from_ref(message))))
    }
}

#[napi]
impl TransactionProducer {
    pub(crate) fn make(
        instance: &ferromq::Instance,
        options: ProducerOptions,
        reports: Arc<Shared>,
        check: u32,
    ) -> Result<TransactionProducer> {
        let listener = Asked { reports: reports.clone(), check };
        let producer = Arc::new(instance.transaction_producer(options, listener)?);
        Ok(TransactionProducer { producer, reports })
    }

    /// The group.
    #[napi(getter)]
    pub fn group(&self) -> String {
        self.producer.producer().group().to_owned()
    }

    /// Sends the half of a message, has `execute` called, and reports the packed result with the state before it.
    #[napi]
    pub fn send(
        &self,
        id: u32,
        execute: u32,
        topic: String,
        body: BufferSlice<'_>,
        extras: Option<String>,
    ) -> napi::Result<()> {
        guard("send in transaction", || {
            let message = message(topic, body.to_vec(), extras.as_deref())?;
            let (producer, reports) = (self.producer.clone(), self.reports.clone());
            self.reports.run(id, "send in transaction", move || {
                // Who sends has the message already, under the same number.
                let sent = producer.send_executing(&message, |_, transaction_id| {
                    state(reports.ask(execute, Payload::text(transaction_id)))
                })?;
                Ok(Payload::text(format!("{}\t{}", sent.state.name(), pack_sent(&sent.sent))))
            })
        })
    }

    /// Ends it, within a number of ms if one is given; reported.
    #[napi]
    pub fn close(&self, id: u32, within: Option<f64>, ask: Option<u32>) -> napi::Result<()> {
        let producer = self.producer.clone();
        let close = move || {
            match within {
                Some(ms) => producer.close_within(limit(ms))?,
                None => producer.close()?,
            }
            Ok(Payload::default())
        };
        guard("close", || self.reports.run_within(ask, id, "close", close))
    }
}
