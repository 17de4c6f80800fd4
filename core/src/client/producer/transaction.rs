//! Messages that are sent together with something else being done, or not at all (protocol reference, section 7).
//!
//! The message goes to the broker as a half, which no consumer sees. Then the local transaction runs, and the broker is
//! told how it ended. If the broker never hears of it, it asks: any producer of the group that has a connection. The same
//! transaction may be asked about more than once, also after its end was told, and what was committed may be consumed more
//! than once.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::prepare::{Prepared, Purpose};
use super::sending::Landed;
use super::{CommunicationMode, Producer, SendOptions, SendStatus, Sent, Shared};
use crate::client::callbacks::{panic_message, Pool};
use crate::client::cluster::Cluster;
use crate::client::stored::stored_message;
use crate::config::ProducerOptions;
use crate::message::{property, sys_flag, Message, OffsetId, StoredMessage};
use crate::net::Connection;
use crate::record::RecordView;
use crate::wire::{CheckTransactionState, EndTransaction, Request};
use crate::{Error, ErrorKind, Result};

/// How a local transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "LocalTransactionState")]
pub enum TransactionState {
    /// It is done: consumers get the message.
    #[doc(alias = "COMMIT_MESSAGE")]
    Commit,
    /// It is not done and never will be: nobody gets the message.
    #[doc(alias = "ROLLBACK_MESSAGE")]
    Rollback,
    /// Not known yet: the broker asks again, first after its `transactionTimeOut` (6 s by default) or the message's
    /// [immunity time](Message::with_transaction_check_immunity), later every minute or so, and gives up after 15 times.
    #[doc(alias = "UNKNOW")]
    Unknown,
}

impl TransactionState {
    /// Apache's name for it.
    pub fn name(self) -> &'static str {
        match self {
            TransactionState::Commit => "COMMIT_MESSAGE",
            TransactionState::Rollback => "ROLLBACK_MESSAGE",
            TransactionState::Unknown => "UNKNOW",
        }
    }

    fn bits(self) -> i32 {
        match self {
            TransactionState::Commit => sys_flag::TRANSACTION_COMMIT,
            TransactionState::Rollback => sys_flag::TRANSACTION_ROLLBACK,
            TransactionState::Unknown => 0,
        }
    }
}

/// Runs local transactions, and knows later how they ended. A panic counts as [`TransactionState::Unknown`].
pub trait TransactionListener: Send + Sync + 'static {
    /// Runs the transaction of a message whose half the broker has, on the thread that sends. The transaction's id is
    /// the message's unique id: what is to be found again in [`TransactionListener::check`].
    #[doc(alias = "executeLocalTransaction")]
    fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState;

    /// How the transaction of this message ended, its id being [`StoredMessage::message_id`]. The message may have been
    /// sent by another producer of the group, which is gone. Runs on threads of the producer's own, at most
    /// `checkThreadPoolMaxSize` at a time.
    #[doc(alias = "checkLocalTransaction")]
    fn check(&self, message: &StoredMessage) -> TransactionState;
}

/// The result of a send in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "TransactionSendResult")]
pub struct TransactionSent {
    /// Where the half message is, and how safe. A half that is not [`SendStatus::Ok`] was rolled back.
    pub sent: Sent,
    /// What the broker was told.
    pub state: TransactionState,
}

/// Sends messages in transactions. Its group is no other producer's: brokers ask any member how a transaction ended.
#[doc(alias = "TransactionMQProducer")]
pub struct TransactionProducer {
    producer: Producer,
    checks: Arc<Checks>,
}

/// Answers brokers that ask how transactions ended.
pub(super) struct Checks {
    listener: Box<dyn TransactionListener>,
    pool: Pool,
    waiting: AtomicUsize,
    most: usize,
}

/// A broker's question.
struct Question {
    record: Bytes,
    broker: String,
    connection: Arc<Connection>,
    topic: Option<String>,
    tran_state_table_offset: i64,
    commit_log_offset: i64,
    transaction_id: Option<String>,
}

impl TransactionProducer {
    /// A producer of a group, which asks `listener`. Brokers learn of it at once, so that it can answer for others of
    /// its group before it sends anything.
    pub fn new(
        cluster: &Arc<Cluster>,
        options: ProducerOptions,
        listener: impl TransactionListener,
    ) -> Result<TransactionProducer> {
        let checks = Arc::new(Checks {
            listener: Box::new(listener),
            pool: Pool::new("fmq-check", options.check_thread_pool_max_size),
            waiting: AtomicUsize::new(0),
            most: options.check_request_hold_max,
        });
        let producer = Producer::with_checks(cluster, options, Some(checks.clone()))?;
        Ok(TransactionProducer { producer, checks })
    }

    /// Sends the half of a message, runs [`TransactionListener::execute`] if the broker has it, and tells the broker how
    /// that ended.
    ///
    /// Errors: as [`Producer::send`], the transaction was not run then; [`ErrorKind::InvalidArgument`] also for a message
    /// with a delay, which cannot be in a transaction. That the broker could not be told is none: it asks.
    #[doc(alias = "sendMessageInTransaction")]
    pub fn send(&self, message: &Message) -> Result<TransactionSent> {
        self.send_half(message, |message, id| self.checks.listener.execute(message, id))
    }

    /// As [`TransactionProducer::send`], but runs `execute` as the local transaction. How it ended is still the
    /// listener's to know later.
    pub fn send_with_executor(
        &self,
        message: &Message,
        execute: impl FnOnce(&Message) -> TransactionState,
    ) -> Result<TransactionSent> {
        self.send_half(message, |message, _| execute(message))
    }

    /// As [`TransactionProducer::send_with_executor`]; `execute` gets the transaction's id as well, as
    /// [`TransactionListener::execute`] does.
    pub fn send_executing(
        &self,
        message: &Message,
        execute: impl FnOnce(&Message, &str) -> TransactionState,
    ) -> Result<TransactionSent> {
        self.send_half(message, execute)
    }

    /// The producer, for what it knows and for messages without transaction. Those should go by a producer of another
    /// group.
    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// As [`Producer::close`]; questions of brokers that wait are dropped, as brokers ask again.
    pub fn close(&self) -> Result<()> {
        self.producer.close()
    }

    /// As [`TransactionProducer::close`], with this time limit.
    pub fn close_within(&self, limit: Duration) -> Result<()> {
        self.producer.close_within(limit)
    }

    fn send_half(
        &self,
        message: &Message,
        execute: impl FnOnce(&Message, &str) -> TransactionState,
    ) -> Result<TransactionSent> {
        let shared = &self.producer.shared;
        shared.check_open()?;
        if message.properties.contains(property::DELAY) {
            let context =
                format!("a message in a transaction cannot have a delay (level {})", message.delay_level());
            return Err(Error::new(ErrorKind::InvalidArgument, "send in transaction", context));
        }
        let options = SendOptions::default();
        let further = [(property::TRAN_MSG, "true"), (property::PGROUP, shared.group.as_str())];
        let prepared = Prepared::one(shared, message, Purpose::Half, &further)?;
        let aim = shared.aim(message, &options)?;
        let topic = prepared.topic.clone();
        let landed = shared.send_here(shared.sending(prepared, CommunicationMode::Sync, aim, &options))?;
        let (state, why) = match landed.sent.status {
            SendStatus::Ok => {
                let id = landed.sent.message_id.as_str();
                guarded(id, || execute(message, id))
            }
            // What may be lost is better sent again.
            _ => (TransactionState::Rollback, None),
        };
        if let Err(error) = tell(shared, topic, &landed, state, why) {
            let id = &landed.sent.message_id;
            tracing::warn!("the broker will ask how transaction {id} ended, it could not be told: {error}");
        }
        if let Some(traced) = &shared.traced {
            traced.decided(shared, message, &landed, state);
        }
        Ok(TransactionSent { sent: landed.sent, state })
    }
}

/// What user code says, or that nothing is known if it panics, and then why, for the broker's log.
fn guarded(id: &str, state: impl FnOnce() -> TransactionState) -> (TransactionState, Option<String>) {
    match catch_unwind(AssertUnwindSafe(state)) {
        Ok(state) => (state, None),
        Err(panic) => {
            let why = format!("transaction {id} ended with a panic: {}", panic_message(&*panic));
            tracing::error!("{why}");
            (TransactionState::Unknown, Some(why))
        }
    }
}

/// Tells the broker that has the half how its transaction ended.
fn tell(
    producer: &Shared,
    topic: String,
    landed: &Landed,
    state: TransactionState,
    why: Option<String>,
) -> Result<()> {
    let Sent { message_id, offset_id, queue, queue_offset, .. } = &landed.sent;
    let place: OffsetId = offset_id.parse()?;
    let request = EndTransaction {
        topic: Some(topic.into()),
        producer_group: producer.group.as_str().into(),
        tran_state_table_offset: *queue_offset,
        commit_log_offset: place.physical_offset,
        commit_or_rollback: state.bits(),
        from_transaction_check: false,
        msg_id: Some(message_id.as_str().into()),
        transaction_id: landed.transaction_id.as_deref().map(Into::into),
        remark: why.map(Into::into),
    };
    let address = producer.address(&queue.broker_name)?;
    producer.cluster.net().oneway(&address, &Request::EndTransaction(request))
}

/// A broker asks how a transaction ended. On an event loop.
pub(in crate::client) fn asked(
    cluster: &Cluster,
    check: &CheckTransactionState<'_>,
    connection: &Arc<Connection>,
) {
    let record = Bytes::copy_from_slice(check.body);
    let group = match RecordView::parse(&record) {
        Ok(record) => record.property(property::PGROUP).unwrap_or_default().to_string(),
        Err(error) => return tracing::warn!("a question about a transaction was not understood: {error}"),
    };
    let Some((producer, checks)) = cluster.producers.transactional(&group) else {
        return tracing::warn!(
            "a broker asks about a transaction of group {group}, which has no producer here"
        );
    };
    if checks.waiting.fetch_add(1, Ordering::SeqCst) >= checks.most {
        checks.waiting.fetch_sub(1, Ordering::SeqCst);
        let most = checks.most;
        return tracing::warn!(
            "a question about a transaction is left to be asked again: {most} wait already"
        );
    }
    let question = Question {
        record,
        broker: cluster.broker_at(&connection.remote().to_string()).unwrap_or_default(),
        connection: connection.clone(),
        topic: check.topic.as_deref().map(String::from),
        tran_state_table_offset: check.tran_state_table_offset,
        commit_log_offset: check.commit_log_offset,
        transaction_id: check.transaction_id.as_deref().map(String::from),
    };
    let pool_of = checks.clone();
    pool_of.pool.run(move || {
        checks.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Err(error) = checks.answer(&producer, &question) {
            tracing::warn!("a question about a transaction of group {group} was not answered: {error}");
        }
    });
}

impl Checks {
    /// Waits until no question is being answered; says whether that was so until the deadline.
    pub fn close(&self, deadline: Instant) -> bool {
        self.pool.close(deadline)
    }

    fn answer(&self, producer: &Shared, question: &Question) -> Result<()> {
        let mut message = stored_message(question.record.clone(), &question.broker)?;
        let wire_topic = std::mem::take(&mut message.topic);
        message.topic = producer.user_topic(&wire_topic).into_owned().into();
        let id = message.message_id();
        let (state, why) = guarded(id, || self.listener.check(&message));
        if state != TransactionState::Commit {
            tracing::info!("transaction {id} of group {} was looked up: {state:?}", producer.group);
        }
        question.connection.push(&Request::EndTransaction(EndTransaction {
            topic: Some(question.topic.as_deref().unwrap_or(&wire_topic).into()),
            producer_group: producer.group.as_str().into(),
            tran_state_table_offset: question.tran_state_table_offset,
            commit_log_offset: question.commit_log_offset,
            commit_or_rollback: state.bits(),
            from_transaction_check: true,
            msg_id: Some(id.into()),
            transaction_id: question.transaction_id.as_deref().map(Into::into),
            remark: why.map(Into::into),
        }));
        if let Some(traced) = &producer.traced {
            traced.checked(producer, &message, &question.connection.remote().to_string(), state);
        }
        Ok(())
    }
}
