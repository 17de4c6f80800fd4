//! Transactions: half messages that no consumer sees until their producer has decided, and the questions to producers
//! that did not. Everything is stored as Apache's brokers store it, so that either goes on with the other's pending ones.
//!
//! A half message is an ordinary record of queue 0 of the half topic, with the real topic and queue in its properties. A
//! decision puts its queue offset into a message of the op topic, after the message itself was stored in its real queue
//! if it was committed. The consumer offsets of the group CID_RMQ_SYS_TRANS say how far both queues are done with. What
//! is undecided for long is asked for, and put back at the end of the half queue each time, so that this can go on.
//!
//! Reference: protocol.md 7. Apache's names: TransactionalMessageService, TransactionalMessageCheckService,
//! TransactionalOpBatchService.

mod ask;
mod book;
mod check;
mod end;
mod given_up;
mod half;
mod load;
mod op;

pub(crate) use end::end;
pub use given_up::{GivenUp, Resolve, Undecided};
pub(crate) use half::{prepare, resume, Half};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::OnceLock;

use self::book::Book;
use super::Broker;
use crate::sync::Mutex;

/// Where everything about transactions is: Apache uses queue 0 only.
const QUEUE: i32 = 0;

/// What a broker knows of its half messages. All methods from any thread.
#[derive(Default)]
pub(crate) struct Transactions {
    /// Held while a decision is stored, so that a second one about the same message finds the first.
    book: Mutex<Book>,
    closed: AtomicBool,
    /// Decides about those that are given up.
    resolve: OnceLock<Resolve>,
}

/// Finds out which half messages are undecided. Before anything is served.
pub(crate) fn open(broker: &Broker) {
    *broker.transactions.book.lock() = load::load(broker);
}

/// Body of the thread that writes the marks that wait, and asks producers in rounds.
pub(crate) fn run(broker: &Broker) {
    let mut last = broker.started_ms;
    loop {
        let next = |last: i64| last.saturating_add(broker.config().transaction_check_interval.max(1));
        let due = next(last).min(op::due(broker).unwrap_or(i64::MAX));
        let earlier = || next(last).min(op::due(broker).unwrap_or(i64::MAX)) < due;
        broker.clock.wait_until(due, || broker.is_stopping() || earlier());
        if broker.is_stopping() {
            return;
        }
        op::write_due(broker);
        let now = broker.clock.now_ms();
        if next(last) <= now {
            check::round(broker);
            last = now;
        }
        // What was stored here becomes readable.
        broker.store.dispatch();
    }
}

/// Writes the marks that wait: for a copy of the store.
pub(crate) fn write_marks(broker: &Broker) {
    op::write_all(broker);
}

/// Writes the marks that wait, and once more, one a message, those that brokers of 4.9 could not read. The very last
/// before the tables are saved.
pub(crate) fn close(broker: &Broker) {
    if broker.transactions.closed.swap(true, Ordering::AcqRel) {
        return;
    }
    op::write_all(broker);
    if let Err(error) = broker.store.flush() {
        tracing::error!(%error, "the progress of transactions stays where it was: decisions may not be on the disk");
    }
    op::settle(broker);
    op::write_for_4_9(broker);
}
