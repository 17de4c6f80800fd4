//! END_TRANSACTION (37): a producer says how its transaction ended.

use std::time::Duration;

use crate::message::{property, sys_flag};
use crate::record::{NewRecord, RecordView};
use crate::store::AppendError;
use crate::wire::{EndTransaction, Response, ResponseCode};

use super::super::handler::{refuse, Answer, Refusal};
use super::super::{flow, names, put, Broker};
use super::book::Book;
use super::half::Found;
use super::{half, op, QUEUE};

/// How long a decision waits for others that are being stored.
const PATIENCE: Duration = Duration::from_secs(1);
/// Characters of a producer's remark that are logged.
const MOST_OF_REMARK: usize = 500;

/// Stores what was committed, drops what was rolled back. A decision about a message that is decided already does
/// nothing; one about a message that was put back meanwhile counts for where it is now.
pub(crate) fn end(broker: &Broker, request: &EndTransaction<'_>) -> Answer {
    if let Some(why) = request.remark.as_deref().filter(|why| !why.is_empty()) {
        let start: String = why.chars().take(MOST_OF_REMARK).collect();
        tracing::warn!(group = &*request.producer_group, offset = request.commit_log_offset, "{start}");
    }
    let commit = match request.commit_or_rollback {
        sys_flag::TRANSACTION_COMMIT => true,
        sys_flag::TRANSACTION_ROLLBACK => false,
        // Not known yet: the producers will be asked.
        0 => return Response::ok().into(),
        other => {
            let remark =
                format!("commitOrRollback is {other}: known are 0 (unknown), 8 (commit) and 12 (rollback)");
            return refuse(ResponseCode::SYSTEM_ERROR, remark).into();
        }
    };
    match decide(broker, request, commit) {
        Ok(Some(end)) => put::answer_when_durable(broker, end, true, Response::ok()),
        Ok(None) => Response::ok().into(),
        Err(refusal) => refusal.into(),
    }
}

/// The end of the record that a commit stored.
fn decide(broker: &Broker, request: &EndTransaction<'_>, commit: bool) -> Result<Option<i64>, Refusal> {
    let bytes = broker.store.record(request.commit_log_offset);
    let named = bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok());
    let named = checked(broker, request, named)?;
    let id = named.property(property::UNIQ_KEY).unwrap_or_default();
    if commit {
        flow::admit_send(broker)?;
    }
    // Whoever holds it may be stuck with the disk; the other connections of this loop are not to be.
    let Some(mut book) = broker.transactions.book.try_lock_for(PATIENCE) else {
        let remark = format!(
            "[PC_SYNCHRONIZED]broker busy: another decision has been stored for over {} ms; the producers will be asked",
            PATIENCE.as_millis()
        );
        return Err(refuse(ResponseCode::SYSTEM_BUSY, remark));
    };
    let offset = match book.is_decided(named.queue_offset()) {
        false => named.queue_offset(),
        true => match book.moved(id).filter(|offset| !book.is_decided(*offset)) {
            Some(offset) => offset,
            None => return Ok(decided_before(request, commit)),
        },
    };
    if offset == named.queue_offset() {
        return settle(broker, &mut book, &named, commit).map_err(|why| failed(broker, id, &why));
    }
    let Found::Half(bytes) = half::read(broker, offset) else {
        let remark = format!(
            "the half message {} was put back as {offset}, which cannot be read yet; the producers will be asked",
            named.queue_offset()
        );
        return Err(refuse(ResponseCode::SYSTEM_BUSY, remark));
    };
    match RecordView::parse(&bytes).ok().filter(|record| half::same_message(record, &named)) {
        Some(record) => settle(broker, &mut book, &record, commit).map_err(|why| failed(broker, id, &why)),
        None => Ok(decided_before(request, commit)),
    }
}

fn decided_before(request: &EndTransaction<'_>, commit: bool) -> Option<i64> {
    let (group, offset) = (&*request.producer_group, request.tran_state_table_offset);
    tracing::debug!(group, offset, commit, "the transaction is decided already");
    None
}

fn failed(broker: &Broker, id: &str, error: &AppendError) -> Refusal {
    let region = &broker.region;
    tracing::error!(id, %region, %error, "a decision could not be stored: the producers will be asked for it");
    put::refusal(broker, error)
}

/// Compares what the producer says with the half message it names.
fn checked<'a>(
    broker: &Broker,
    request: &EndTransaction<'_>,
    named: Option<RecordView<'a>>,
) -> Result<RecordView<'a>, Refusal> {
    let wrong = |remark: String| Err(refuse(ResponseCode::SYSTEM_ERROR, remark));
    let at = request.commit_log_offset;
    let Some(named) = named.filter(|record| record.topic() == names::HALF_TOPIC) else {
        return wrong(format!(
            "Find prepared transaction message failed: there is none at commitLogOffset {at}"
        ));
    };
    let offset = request.tran_state_table_offset;
    if named.queue_offset() != offset {
        return wrong(format!(
            "The transaction state table offset wrong: {offset} is not that of the message at {at}"
        ));
    }
    // A record may stand in the body of another one; the queue knows the true ones.
    let entry = broker.store.entry(names::HALF_TOPIC, QUEUE, offset);
    if entry.is_none_or(|entry| entry.physical_offset != at) {
        return wrong(format!(
            "The commit log offset wrong: the half message {offset} is not at commitLogOffset {at}"
        ));
    }
    if named.property(property::PGROUP) != Some(&*request.producer_group) {
        let group = &request.producer_group;
        return wrong(format!("The producer group wrong: the half message {offset} is not of group {group}"));
    }
    Ok(named)
}

/// Stores the decision about an undecided half message.
pub(super) fn settle(
    broker: &Broker,
    book: &mut Book,
    half: &RecordView<'_>,
    commit: bool,
) -> Result<Option<i64>, AppendError> {
    let end = if commit { Some(deliver(broker, half)?) } else { None };
    let offset = half.queue_offset();
    book.decide(offset);
    book.forget_moved(half.property(property::UNIQ_KEY).unwrap_or_default(), offset);
    op::mark(broker, book, offset);
    Ok(end)
}

/// Stores a half message as the message that it is the half of.
fn deliver(broker: &Broker, half: &RecordView<'_>) -> Result<i64, AppendError> {
    let Some((topic, queue_id)) = half::real_queue(half) else {
        let offset = half.queue_offset();
        let remark =
            format!("the half message {offset} does not say where it belongs (REAL_TOPIC, REAL_QID)");
        return Err(AppendError::Illegal(remark));
    };
    let without_checksum;
    let mut properties = half.properties();
    if half.property(property::CRC32).is_some() {
        without_checksum = half::properties(half).encode();
        properties = &without_checksum;
    }
    let record = NewRecord {
        queue_id,
        sys_flag: (half.sys_flag() & !sys_flag::TRANSACTION_MASK) | sys_flag::TRANSACTION_COMMIT,
        prepared_transaction_offset: half.physical_offset(),
        ..half::again(broker, half, topic, properties)
    };
    let appended = broker.store.append(&record)?;
    let bytes = (appended.end - appended.physical_offset) as usize;
    broker.topics.count_put(topic, 1, bytes);
    broker.stats.put(1, bytes);
    Ok(appended.end)
}
