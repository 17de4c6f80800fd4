//! The op queue: which half messages are decided, by their queue offsets.

use crate::message::property;
use crate::record::NewRecord;
use crate::store::{AppendError, Appended, FlushMode};
use crate::sync::step_aside;

use super::super::{names, put, Broker};
use super::book::Book;
use super::QUEUE;

/// Tag of a message of the op queue: the half messages in it are done with.
pub(super) const DONE_TAG: &str = "d";
/// Pause after marks could not be written.
const RETRY_MS: i64 = 1_000;
/// Decided half messages that an orderly end writes one a message. More than that waited behind an undecided one, and
/// a broker of 4.9 would ask for them again.
const MOST_FOR_4_9: usize = 100_000;

/// Adds a decided half message to those that wait to be written, and writes a message of them if they are many; a backlog
/// is the thread's. Without the key index nothing else tells after a crash that a message was committed, so its mark does
/// not wait.
pub(super) fn mark(broker: &Broker, book: &mut Book, offset: i64) {
    let first = book.marks().add(offset, broker.clock.now_ms());
    let config = broker.config();
    let full = book.marks().bytes() >= config.transaction_op_msg_max_size || !config.message_index_enable;
    let failed = full && book.marks().not_before_ms().is_none() && !write_one(broker, book);
    // The thread waits for the first of those that are left, and for the next try of those that could not be written.
    if failed || (first && book.marks().since_ms().is_some()) {
        broker.clock.wake();
    }
}

/// When the marks that wait are to be written, if there are any.
pub(super) fn due(broker: &Broker) -> Option<i64> {
    let mut book = broker.transactions.book.lock();
    let since = book.marks().since_ms()?;
    let due = since.saturating_add(broker.config().transaction_op_batch_interval);
    Some(book.marks().not_before_ms().map_or(due, |not_before| due.max(not_before)))
}

/// Writes the marks that waited long enough, and moves the progress.
pub(super) fn write_due(broker: &Broker) {
    if due(broker).is_some_and(|due| due <= broker.clock.now_ms()) {
        write_all(broker);
        settle(broker);
    }
}

/// Writes all marks that wait. Decisions come between, for which event loops wait.
pub(super) fn write_all(broker: &Broker) {
    while write_one(broker, &mut broker.transactions.book.lock()) {
        step_aside();
    }
}

/// Moves the progress of both queues over what is decided, as far as the decisions are on the disk: a message behind the
/// progress is never looked at again, so what was made of it must not be lost.
pub(super) fn settle(broker: &Broker) {
    let Some(bounds) = broker.store.queue_bounds(names::HALF_TOPIC, QUEUE) else { return };
    let mut book = broker.transactions.book.lock();
    book.skip_to(bounds.start);
    book.advance(bounds.end);
    book.note_progress(broker.store.max_physical_offset());
    if let Some((half, op)) = book.safe_progress(broker.store.flushed_offset()) {
        // In this order: marks before the op queue's progress are about half messages before that of the half queue.
        broker.offsets.set(names::TRANSACTION_GROUP, names::HALF_TOPIC, QUEUE, half);
        broker.offsets.set(names::TRANSACTION_GROUP, names::OP_HALF_TOPIC, QUEUE, op);
    }
}

/// Writes one message of the marks that wait. Returns whether there may be more to write now.
fn write_one(broker: &Broker, book: &mut Book) -> bool {
    let Some((body, count)) = book.marks().body(broker.config().transaction_op_msg_max_size) else {
        return false;
    };
    match append(broker, &body) {
        Ok(op_offset) => {
            let highest = book.marks().written(count);
            book.note_op(op_offset, highest);
            true
        }
        Err(error) => {
            // They stay; the thread tries again.
            let waiting = book.marks().bytes();
            if book.marks().postpone(broker.clock.now_ms().saturating_add(RETRY_MS)) {
                tracing::error!(%error, waiting, "decisions about half messages could not be stored");
            }
            false
        }
    }
}

/// Brokers of 4.9 read one offset a message. Those of them that are decided and lie behind an undecided one are written
/// again in that form.
pub(super) fn write_for_4_9(broker: &Broker) {
    let book = broker.transactions.book.lock();
    if book.decided_ahead().count() > MOST_FOR_4_9 {
        tracing::warn!("more than {MOST_FOR_4_9} half messages were decided behind an undecided one: a broker of 4.9 would ask for them again");
        return;
    }
    for offset in book.decided_ahead() {
        if let Err(error) = append(broker, &offset.to_string()) {
            tracing::error!(%error, "decisions about half messages could not be stored in 4.9's form");
            return;
        }
    }
}

fn append(broker: &Broker, body: &str) -> Result<i64, AppendError> {
    broker.topics.system(broker, names::OP_HALF_TOPIC);
    let mut properties = Vec::new();
    put::push_property(&mut properties, property::TAGS, DONE_TAG);
    put::push_property(&mut properties, property::WAIT, "true");
    let record = NewRecord {
        topic: names::OP_HALF_TOPIC,
        queue_id: QUEUE,
        flag: 0,
        sys_flag: 0,
        born_timestamp: broker.clock.now_ms(),
        born_host: broker.store_host(),
        store_host: broker.store_host(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: &properties,
    };
    store(broker, &record).map(|appended| appended.queue_offset)
}

/// Stores a record that nobody waits for.
pub(super) fn store(broker: &Broker, record: &NewRecord<'_>) -> Result<Appended, AppendError> {
    let appended = broker.store.append(record)?;
    if broker.store.flush_mode() == FlushMode::Sync {
        // The flush makes the record visible.
        broker.store.when_durable(appended.end, Box::new(|_| {}));
    }
    Ok(appended)
}
