//! Half messages that are given up: the embedder decides, or they are set aside.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use crate::message::{property, Properties};
use crate::record::RecordView;
use crate::store::AppendError;

use super::super::{names, Broker};
use super::{end, half, op};

/// A message in a transaction whose producers never said how that ended, before it is given up.
#[derive(Debug, Clone)]
pub struct Undecided<'a> {
    /// Its unique id, which is the transaction's.
    pub message_id: &'a str,
    /// The topic that it is meant for.
    pub topic: &'a str,
    /// The group of its producer.
    pub group: &'a str,
    /// The body as it is stored, which may be compressed.
    pub body: &'a [u8],
    /// All properties, those of the broker among them.
    pub properties: Properties,
    /// How often producers were asked; less than `transactionCheckMax` if it got too old for the store instead.
    pub asked: u32,
    /// When the producer made it, ms since 1970 by its clock.
    pub born_timestamp: i64,
}

/// What becomes of a message that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum GivenUp {
    /// It goes to the topic TRANS_CHECK_MAX_TIME_TOPIC, with an error in the log. An operator may have it asked for again
    /// from there.
    #[default]
    SetAside,
    /// It is committed.
    Commit,
    /// It is rolled back.
    Rollback,
}

/// Decides about messages that are given up. Runs on a thread of the broker's own; a panic sets the message aside.
#[doc(alias = "AbstractTransactionalMessageCheckListener")]
pub type Resolve = Arc<dyn Fn(&Undecided<'_>) -> GivenUp + Send + Sync>;

impl Broker {
    /// Asks `resolve` about messages that are given up, which otherwise are set aside. The first call counts.
    pub fn resolve_given_up(&self, resolve: Resolve) {
        let _first = self.transactions.resolve.set(resolve);
    }
}

/// Gives a half message up. An error is the store's.
pub(super) fn give_up(
    broker: &Broker,
    record: &RecordView<'_>,
    asked: u32,
    why: &str,
) -> Result<(), AppendError> {
    let (topic, _) = half::real_queue(record).unwrap_or_default();
    let undecided = Undecided {
        message_id: record.property(property::UNIQ_KEY).unwrap_or_default(),
        topic,
        group: record.property(property::PGROUP).unwrap_or_default(),
        body: record.body(),
        properties: Properties::parse(record.properties()),
        asked,
        born_timestamp: record.born_timestamp(),
    };
    let verdict = match broker.transactions.resolve.get() {
        Some(resolve) => catch_unwind(AssertUnwindSafe(|| resolve(&undecided))).unwrap_or(GivenUp::SetAside),
        None => GivenUp::SetAside,
    };
    let mut book = broker.transactions.book.lock();
    if book.is_decided(record.queue_offset()) {
        return Ok(());
    }
    let commit = match verdict {
        GivenUp::Commit => true,
        GivenUp::Rollback => false,
        GivenUp::SetAside => {
            set_aside(broker, record)?;
            let Undecided { message_id, group, .. } = undecided;
            tracing::error!(
                message_id,
                topic,
                group,
                "a transactional message is given up, {why}: it is in TRANS_CHECK_MAX_TIME_TOPIC now"
            );
            false
        }
    };
    end::settle(broker, &mut book, record, commit).map(drop)
}

fn set_aside(broker: &Broker, record: &RecordView<'_>) -> Result<(), AppendError> {
    broker.topics.system(broker, names::GIVEN_UP_TOPIC);
    let properties = half::properties(record).encode();
    op::store(broker, &half::again(broker, record, names::GIVEN_UP_TOPIC, &properties)).map(drop)
}
