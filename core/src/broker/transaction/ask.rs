//! CHECK_TRANSACTION_STATE (39): the question to a producer how a transaction ended.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{property, OffsetId};
use crate::net::Connection;
use crate::record::{NewRecord, RecordView};
use crate::store::{Appended, FlushMode};
use crate::wire::{CheckTransactionState, Request};

use super::super::{names, Broker};
use super::half;

/// Questions that share one flush under SYNC_FLUSH.
const MOST_QUESTIONS: usize = 64;
/// A round waits this long in all for producers that are slow to read their questions.
const PATIENCE_MS: i64 = 5_000;
const PAUSE_MS: i64 = 5;

/// The connected producers of the groups that a round meets, each in its turn.
#[derive(Default)]
pub(super) struct Producers {
    groups: HashMap<String, Group>,
    waited_ms: i64,
}

struct Group {
    members: Vec<Arc<Connection>>,
    next: usize,
}

impl Producers {
    /// The next producer of a group that can take a question.
    pub fn next(&mut self, broker: &Broker, group: &str) -> Option<Arc<Connection>> {
        if !self.groups.contains_key(group) {
            let members = broker.clients.producers_of(group);
            if members.is_empty() {
                tracing::info!(group, "half messages wait: no producer of their group is connected");
            }
            // Rounds with one question each do not all ask the same producer.
            let next = broker.next_number(members.len() as i32) as usize;
            self.groups.insert(group.to_owned(), Group { members, next });
        }
        let group = self.groups.get_mut(group)?;
        loop {
            group.members.retain(|member| member.is_open());
            for _ in 0..group.members.len() {
                let member = &group.members[group.next % group.members.len()];
                group.next = group.next.wrapping_add(1);
                if !member.is_congested() {
                    return Some(member.clone());
                }
            }
            if group.members.is_empty() || self.waited_ms >= PATIENCE_MS || broker.is_stopping() {
                return None;
            }
            self.waited_ms += PAUSE_MS;
            broker.clock.wait_until(broker.clock.now_ms() + PAUSE_MS, || broker.is_stopping());
        }
    }
}

/// Questions of a round that wait for the copies they are about to be on the disk: before that nobody can read the copy,
/// and an answer to it would find nothing.
#[derive(Default)]
pub(super) struct Questions(Vec<Question>);

struct Question {
    producer: Arc<Connection>,
    /// The half message as it was found.
    record: Bytes,
    /// The properties of the copy, and its place.
    properties: Vec<u8>,
    appended: Appended,
}

impl Questions {
    /// Adds a question; asks when they are many, or at once where a record can be read as soon as it is stored.
    pub fn add(
        &mut self,
        broker: &Broker,
        producer: Arc<Connection>,
        record: &Bytes,
        properties: Vec<u8>,
        appended: Appended,
    ) {
        self.0.push(Question { producer, record: record.clone(), properties, appended });
        if broker.store.flush_mode() == FlushMode::Async || self.0.len() >= MOST_QUESTIONS {
            self.ask(broker);
        }
    }

    /// Asks all that wait. What is not safe on the disk is not asked about: the next round does.
    pub fn ask(&mut self, broker: &Broker) {
        let questions = std::mem::take(&mut self.0);
        if questions.is_empty() {
            return;
        }
        if broker.store.flush_mode() == FlushMode::Sync {
            if let Err(error) = broker.store.flush() {
                return tracing::error!(%error, "producers are not asked: what they would answer could not be found");
            }
        }
        for question in questions {
            if let Ok(record) = RecordView::parse(&question.record) {
                ask(broker, &question.producer, &record, &question.properties, &question.appended);
            }
        }
    }
}

/// Asks a producer about a half message that was just put back as `appended`, with `properties`.
fn ask(
    broker: &Broker,
    producer: &Connection,
    record: &RecordView<'_>,
    properties: &[u8],
    appended: &Appended,
) {
    let Some((topic, queue_id)) = half::real_queue(record) else { return };
    let copy = NewRecord { queue_id, ..half::again(broker, record, topic, properties) };
    let body = copy.encode(appended.queue_offset, appended.physical_offset, appended.store_timestamp);
    let id = record.property(property::UNIQ_KEY);
    let place = OffsetId { host: broker.store_host(), physical_offset: appended.physical_offset };
    producer.push(&Request::CheckTransactionState(CheckTransactionState {
        topic: Some(names::HALF_TOPIC.into()),
        tran_state_table_offset: appended.queue_offset,
        commit_log_offset: appended.physical_offset,
        msg_id: id.map(Into::into),
        transaction_id: id.map(Into::into),
        offset_msg_id: Some(place.to_string().into()),
        body: &body,
    }));
}
