//! A round through the undecided half messages: who is old enough is asked for, who was asked for too often is given up.

use crate::message::property;
use crate::record::RecordView;

use super::super::{names, Broker};
use super::ask::{self, Producers};
use super::{given_up, half, load, op, QUEUE};

/// Half messages that may lie between the first undecided one and the end of their queue before those at the front are
/// put back, so that the progress and the memory for it stay within bounds.
const MOST_BEHIND: i64 = 1 << 20;
/// A round in which this many could not be stored ends: the store takes no writes.
const MOST_FAILURES: usize = 10;
const HOUR_MS: i64 = 3_600_000;

/// What the round finds in a half message.
struct Half<'a> {
    record: RecordView<'a>,
    id: &'a str,
    group: &'a str,
    /// How often producers were asked; none if never.
    asked: Option<u32>,
    /// Time that its producer asked for before the first question.
    immunity_ms: Option<i64>,
    /// When it was stored first, as far as known.
    since_ms: i64,
}

impl<'a> Half<'a> {
    fn of(record: RecordView<'a>) -> Self {
        let property = |name| record.property(name);
        let number = |name| property(name).and_then(|text: &str| text.parse::<i64>().ok());
        // Put back without a question, it is as old as its producer says.
        let since_ms = match property(property::TRAN_PREPARED_QUEUE_OFFSET) {
            Some(_) => record.born_timestamp().min(record.store_timestamp()),
            None => record.store_timestamp(),
        };
        Half {
            id: property(property::UNIQ_KEY).unwrap_or_default(),
            group: property(property::PGROUP).unwrap_or_default(),
            asked: property(property::TRANSACTION_CHECK_TIMES).map(|text| text.parse().unwrap_or(0)),
            immunity_ms: number(property::CHECK_IMMUNITY_TIME_IN_SECONDS)
                .filter(|seconds| *seconds >= 0)
                .map(|seconds| seconds.saturating_mul(1000)),
            since_ms,
            record,
        }
    }
}

/// Looks at every half message that is undecided when the round begins.
pub(super) fn round(broker: &Broker) {
    let Some(bounds) = broker.store.queue_bounds(names::HALF_TOPIC, QUEUE) else { return };
    let mut producers = Producers::default();
    let (mut at, mut failures) = (bounds.start, 0);
    loop {
        let next = broker.transactions.book.lock().next_undecided(at, bounds.end);
        let Some(offset) = next.filter(|_| !broker.is_stopping()) else { break };
        at = offset + 1;
        if let Err(error) = look(broker, offset, bounds.end, &mut producers) {
            tracing::error!(
                offset,
                error,
                "a half message could not be stored again: it waits for the next round"
            );
            failures += 1;
            if failures >= MOST_FAILURES {
                break;
            }
        }
        op::write_due(broker);
    }
    op::settle(broker);
}

/// Looks at one half message. An error is the store's.
fn look(broker: &Broker, offset: i64, end: i64, producers: &mut Producers) -> Result<(), String> {
    let bytes = half::at(broker, offset);
    let Some(record) = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok()) else {
        tracing::error!(offset, "a half message is unreadable: skipped");
        broker.transactions.book.lock().decide(offset);
        return Ok(());
    };
    let half = Half::of(record);
    let config = broker.config();
    let age = broker.clock.now_ms() - half.since_ms;
    let asked = half.asked.unwrap_or(0);
    if half.asked.is_some() && i64::from(asked) >= config.transaction_check_max {
        return given_up::give_up(
            broker,
            &half.record,
            asked,
            "its producers were asked transactionCheckMax times",
        );
    }
    if age > config.file_reserved_time.saturating_mul(HOUR_MS) {
        return given_up::give_up(broker, &half.record, asked, "it is older than fileReservedTime");
    }
    let wait = half.immunity_ms.unwrap_or(config.transaction_time_out);
    let producer = match half.asked.is_some() || age > wait {
        true => producers.next(broker, half.group),
        false => None,
    };
    match producer {
        // A producer that got no answer sent the message again, and told how that one ended.
        Some(_) if load::was_committed(broker, &half.record, half.id) => {
            let mut book = broker.transactions.book.lock();
            if book.decide(offset) {
                op::mark(broker, &mut book, offset);
            }
        }
        Some(producer) => {
            let mut properties = half::properties(&half.record);
            properties.insert(property::TRANSACTION_CHECK_TIMES, asked.saturating_add(1).to_string());
            let properties = properties.encode();
            if let Some(appended) = put_back(broker, &half, &properties, true)? {
                ask::ask(broker, &producer, &half.record, &properties, &appended);
            }
        }
        None if end - offset > MOST_BEHIND => {
            let mut properties = half::properties(&half.record);
            if !properties.contains(property::TRAN_PREPARED_QUEUE_OFFSET) {
                properties.insert(property::TRAN_PREPARED_QUEUE_OFFSET, offset.to_string());
            }
            put_back(broker, &half, &properties.encode(), false)?;
        }
        None => {}
    }
    Ok(())
}

/// Puts a half message at the end of its queue, unless it was decided meanwhile. `mark`: the op queue is told that it is
/// not where it was. Apache's brokers take that of a message that nobody was asked for as its producer's decision.
fn put_back(
    broker: &Broker,
    half: &Half<'_>,
    properties: &[u8],
    mark: bool,
) -> Result<Option<crate::store::Appended>, String> {
    let offset = half.record.queue_offset();
    let mut book = broker.transactions.book.lock();
    if book.is_decided(offset) {
        return Ok(None);
    }
    let appended = half::put_back(broker, &half.record, properties)?;
    book.decide(offset);
    book.note_moved(half.id, appended.queue_offset);
    if mark {
        op::mark(broker, &mut book, offset);
    }
    Ok(Some(appended))
}
