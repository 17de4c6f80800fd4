//! A round through the undecided half messages: who is old enough is asked for, who was asked for too often is given up.

use crate::message::property;
use crate::record::RecordView;
use crate::store::{AppendError, Appended, WriteState};

use super::super::{names, Broker};
use super::ask::{Producers, Questions};
use super::half::Found;
use super::load::Same;
use super::{given_up, half, load, op, QUEUE};

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
            // A clock that was never set says nothing.
            Some(_) if record.born_timestamp() > 0 => record.born_timestamp().min(record.store_timestamp()),
            Some(_) => record.store_timestamp(),
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

/// A round under way.
struct Round {
    producers: Producers,
    questions: Questions,
    /// What is undecided below is put back, asked for or not.
    put_back_below: i64,
}

/// Looks at every half message that is undecided when the round begins.
pub(super) fn round(broker: &Broker) {
    let Some(bounds) = broker.store.queue_bounds(names::HALF_TOPIC, QUEUE) else { return };
    let mut round = Round {
        producers: Producers::default(),
        questions: Questions::default(),
        put_back_below: broker.transactions.book.lock().put_back_below(bounds.end),
    };
    let mut at = bounds.start;
    loop {
        let next = broker.transactions.book.lock().next_undecided(at, bounds.end);
        let Some(offset) = next.filter(|_| !broker.is_stopping()) else { break };
        at = offset + 1;
        if let Err(error) = look(broker, offset, &mut round) {
            tracing::error!(
                offset,
                %error,
                "a half message could not be stored again: it waits for the next round"
            );
            if broker.store.state() != WriteState::Writable {
                break;
            }
        }
        op::write_due(broker);
    }
    round.questions.ask(broker);
    broker.transactions.book.lock().tidy_moved();
    op::settle(broker);
}

/// Looks at one half message. An error is the store's.
fn look(broker: &Broker, offset: i64, round: &mut Round) -> Result<(), AppendError> {
    let bytes = match half::read(broker, offset) {
        Found::Half(bytes) => bytes,
        Found::Nothing => {
            tracing::error!(offset, "there is no half message at this offset of their queue: skipped");
            broker.transactions.book.lock().decide(offset);
            return Ok(());
        }
        Found::NotNow => {
            tracing::error!(offset, "a half message cannot be read at present: it waits for the next round");
            return Ok(());
        }
    };
    let Ok(record) = RecordView::parse(&bytes) else { return Ok(()) };
    let half = Half::of(record);
    let config = broker.config();
    let age = broker.clock.now_ms().saturating_sub(half.since_ms);
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
        true => round.producers.next(broker, half.group),
        false => None,
    };
    match producer {
        // A producer that got no answer sent the message again, and told how that one ended.
        Some(_) if load::was_committed(broker, &half.record, half.id, Same::Message) => {
            let mut book = broker.transactions.book.lock();
            book.forget_moved(half.id, offset);
            if book.decide(offset) {
                op::mark(broker, &mut book, offset);
            }
        }
        Some(producer) => {
            let mut properties = half::properties(&half.record);
            properties.insert(property::TRANSACTION_CHECK_TIMES, asked.saturating_add(1).to_string());
            let properties = properties.encode();
            match put_back(broker, &half, &properties, true) {
                Ok(Some(appended)) => round.questions.add(broker, producer, &bytes, properties, appended),
                Ok(None) => {}
                // No place for one property more: it is asked for where it is, and not counted.
                Err(AppendError::Illegal(_) | AppendError::TooLarge { .. }) => {
                    round.questions.add(
                        broker,
                        producer,
                        &bytes,
                        record.properties().to_vec(),
                        place(&record),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        None if offset < round.put_back_below => {
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

/// Where a record is.
fn place(record: &RecordView<'_>) -> Appended {
    Appended {
        physical_offset: record.physical_offset(),
        queue_offset: record.queue_offset(),
        end: record.physical_offset(),
        store_timestamp: record.store_timestamp(),
    }
}

/// Puts a half message at the end of its queue, unless it was decided meanwhile. `mark`: the op queue is told that it is
/// not where it was. Apache's brokers take that of a message that nobody was asked for as its producer's decision.
fn put_back(
    broker: &Broker,
    half: &Half<'_>,
    properties: &[u8],
    mark: bool,
) -> Result<Option<Appended>, AppendError> {
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
