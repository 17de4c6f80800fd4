//! What is undecided, found out from the store when it is opened.

use std::collections::{HashMap, HashSet};

use crate::message::{property, sys_flag};
use crate::record::RecordView;

use super::super::{names, Broker};
use super::book::Book;
use super::half::Found;
use super::{half, op, QUEUE};

/// Copies of a message that are looked at to find one that was committed.
const COPIES: usize = 64;

/// Reads both queues from the progress that was saved on.
pub(super) fn load(broker: &Broker) -> Book {
    let Some(halves) = broker.store.queue_bounds(names::HALF_TOPIC, QUEUE) else { return Book::default() };
    let ops = broker.store.queue_bounds(names::OP_HALF_TOPIC, QUEUE).unwrap_or(0..0);
    let saved = |topic| broker.offsets.find(names::TRANSACTION_GROUP, topic, QUEUE);
    let base = saved(names::HALF_TOPIC).unwrap_or(0).clamp(halves.start, halves.end);
    let op_base = saved(names::OP_HALF_TOPIC).unwrap_or(0).clamp(ops.start, ops.end);
    let mut book = Book::new(base, op_base);
    let mut below = HashSet::new();
    for offset in op_base..ops.end {
        read_op(broker, &mut book, offset, halves.end, &mut below);
    }
    let known = match broker.store.recovery_report().clean {
        true => Known::Everything,
        // Marks wait up to transactionOpBatchInterval in memory. What was committed meanwhile is in its real queue.
        false => Known::WhatWasWritten,
    };
    read_halves(broker, &mut book, halves.end, &below, known);
    book.advance(halves.end);
    let waiting = book.next_undecided(0, halves.end).is_some();
    if waiting {
        tracing::info!(progress = book.base(), end = halves.end, "half messages wait for their producers");
    }
    book
}

/// Whether the op queue has every decision that was made.
#[derive(PartialEq)]
enum Known {
    Everything,
    WhatWasWritten,
}

/// Takes over one message of the op queue. `below` gets the offsets that the progress has passed.
fn read_op(broker: &Broker, book: &mut Book, offset: i64, end: i64, below: &mut HashSet<i64>) {
    let entry = broker.store.entry(names::OP_HALF_TOPIC, QUEUE, offset);
    let bytes = entry.and_then(|entry| broker.store.record(entry.physical_offset));
    let record = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok());
    let Some(record) = record.filter(|record| record.property(property::TAGS) == Some(op::DONE_TAG)) else {
        tracing::error!(offset, "a message of the op queue is unreadable or has another tag: skipped");
        return book.note_op(offset, i64::MIN);
    };
    let mut highest = i64::MIN;
    for text in String::from_utf8_lossy(record.body()).split(',').map(str::trim) {
        match text.parse::<i64>() {
            Ok(half) if half < book.base() => {
                below.insert(half);
            }
            Ok(half) if half < end => {
                book.decide(half);
                highest = highest.max(half);
            }
            Err(_) if text.is_empty() => {}
            _ => tracing::error!(offset, text, "a mark of the op queue names no half message: skipped"),
        }
    }
    book.note_op(offset, highest);
}

/// Looks at the half messages without a mark: which are decided all the same, which were put back.
fn read_halves(broker: &Broker, book: &mut Book, end: i64, below: &HashSet<i64>, known: Known) {
    // By id, with the body's checksum: a producer may give two messages one id.
    let mut newest: HashMap<(String, i32), i64> = HashMap::new();
    let mut at = 0;
    while let Some(offset) = book.next_undecided(at, end) {
        at = offset + 1;
        let bytes = match half::read(broker, offset) {
            Found::Half(bytes) => bytes,
            Found::Nothing => {
                tracing::error!(offset, "there is no half message at this offset of their queue: skipped");
                book.decide(offset);
                continue;
            }
            // The rounds come back to it.
            Found::NotNow => continue,
        };
        let Ok(record) = RecordView::parse(&bytes) else { continue };
        let id = record.property(property::UNIQ_KEY).unwrap_or_default();
        let key = (id.to_owned(), record.body_crc() & 0x7FFF_FFFF);
        // Decisions that name the place where it was first. A place that this loop came by had no mark.
        let first = record.property(property::TRAN_PREPARED_QUEUE_OFFSET).and_then(|text| text.parse().ok());
        let decided_where_it_was = first.is_some_and(|first: i64| {
            below.contains(&first)
                || (first >= book.base() && book.is_decided(first) && !newest.contains_key(&key))
        });
        if decided_where_it_was
            || (known == Known::WhatWasWritten && was_committed(broker, &record, id, Same::Place))
        {
            book.decide(offset);
            op::mark(broker, book, offset);
            continue;
        }
        if id.is_empty() {
            continue;
        }
        let before = newest.insert(key, offset);
        if half::was_put_back(&record) {
            // The progress was saved before the message was put back.
            if let Some(before) = before {
                book.decide(before);
            }
            book.note_moved(id, offset);
        }
    }
}

/// What makes a committed message that of a half.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Same {
    /// It was made from this very record.
    Place,
    /// It is the same message, made from this record or from another one of it.
    Message,
}

/// Whether the message of a half is in its real queue, as far as the key index knows.
pub(super) fn was_committed(broker: &Broker, half: &RecordView<'_>, id: &str, same: Same) -> bool {
    let Some((topic, _)) = half::real_queue(half) else { return false };
    if id.is_empty() {
        return false;
    }
    let found = broker.store.query_key(
        topic,
        id,
        COPIES,
        half.born_timestamp().min(half.store_timestamp()).saturating_sub(60_000),
        i64::MAX,
    );
    found.records.iter().filter_map(|bytes| RecordView::parse(bytes).ok()).any(|record| {
        record.topic() == topic
            && record.sys_flag() & sys_flag::TRANSACTION_MASK == sys_flag::TRANSACTION_COMMIT
            && match same {
                Same::Place => record.prepared_transaction_offset() == half.physical_offset(),
                Same::Message => half::same_message(&record, half),
            }
    })
}
