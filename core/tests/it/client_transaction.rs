//! Transactions: the half message, the decision, and brokers that ask how it ended.

use std::collections::HashMap;
use std::sync::{mpsc, Arc};

use ferromq::client::{
    Cluster, Producer, ProducerOptions, SendStatus, TransactionListener, TransactionProducer,
    TransactionState,
};
use ferromq::message::{sys_flag, Message, StoredMessage};
use ferromq::wire::{CheckTransactionState, Request};
use ferromq::{ErrorKind, Result};
use parking_lot::Mutex;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

/// Says what the body says, and remembers what it was asked.
#[derive(Default)]
struct Ledger {
    states: Mutex<HashMap<String, TransactionState>>,
    asked: Mutex<Vec<StoredMessage>>,
    /// What `check` waits for.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
}

struct Listener(Arc<Ledger>);

fn state_of(body: &[u8]) -> TransactionState {
    match body {
        b"commit" => TransactionState::Commit,
        b"rollback" => TransactionState::Rollback,
        b"panic" => panic!("a panic that a test wants"),
        _ => TransactionState::Unknown,
    }
}

impl TransactionListener for Listener {
    fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState {
        let state = state_of(&message.body);
        self.0.states.lock().insert(transaction_id.into(), state);
        state
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        self.0.asked.lock().push(message.clone());
        if let Some(gate) = &*self.0.gate.lock() {
            gate.recv().unwrap();
        }
        state_of(&message.body)
    }
}

fn start(
    client: &Arc<Cluster>,
    change: impl FnOnce(&mut ProducerOptions),
) -> (TransactionProducer, Arc<Ledger>) {
    let mut options = ProducerOptions::new("TG");
    options.send_msg_timeout = HANG;
    change(&mut options);
    let ledger = Arc::new(Ledger::default());
    (TransactionProducer::new(client, options, Listener(ledger.clone())).unwrap(), ledger)
}

fn ask(broker: &FakeBroker, group: &str, body: &str, offset: i64) {
    let properties = format!("PGROUP\x01{group}\x02UNIQ_KEY\x01ID{offset}\x02TRAN_MSG\x01true\x02");
    let record = ferromq::record::NewRecord {
        topic: "T",
        queue_id: 3,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: "10.0.0.1:5".parse().unwrap(),
        store_host: "10.0.0.2:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: body.as_bytes(),
        properties: properties.as_bytes(),
    };
    let record = record.encode(offset, offset * 1000, 99);
    let id = format!("ID{offset}");
    broker.producer("TG").unwrap().push(&Request::CheckTransactionState(CheckTransactionState {
        tran_state_table_offset: offset,
        commit_log_offset: offset * 1000,
        msg_id: Some(id.as_str().into()),
        transaction_id: Some(id.as_str().into()),
        body: &record,
        ..CheckTransactionState::default()
    }));
}

#[test]
fn the_broker_gets_the_half_and_then_the_decision() {
    let cluster = FakeCluster::start(2, 1);
    let (producer, ledger) = start(&cluster.connect(), |_| {});
    for (body, decision) in [("commit", 8), ("rollback", 12), ("later", 0), ("panic", 0)] {
        let sent = producer.send(&Message::new("T", body).with_tag("A").unwrap()).unwrap();
        let at = usize::from(sent.sent.queue.broker_name == "broker-1");
        let broker = &cluster.brokers[at];
        eventually("the decision came", || !broker.state.lock().ended.is_empty());
        let ended = broker.state.lock().ended.pop().unwrap();
        assert_eq!(ended.decision, decision);
        assert_eq!(
            (ended.queue_offset, ended.log_offset),
            (sent.sent.queue_offset, sent.sent.queue_offset * 1000)
        );
        assert_eq!((ended.group.as_str(), ended.is_answer), ("TG", false));
        // Why it could not decide stands in the broker's log.
        assert_eq!(ended.remark.contains("a panic that a test wants"), body == "panic", "{}", ended.remark);
        assert_eq!(
            (&ended.message_id, &ended.transaction_id),
            (&sent.sent.message_id, &sent.sent.message_id)
        );
        let seen = broker.state.lock().seen.pop().unwrap();
        assert_eq!(seen.sys_flag & sys_flag::TRANSACTION_MASK, sys_flag::TRANSACTION_PREPARED);
        assert_eq!(
            (seen.properties.get("TRAN_MSG"), seen.properties.get("PGROUP")),
            (Some("true"), Some("TG"))
        );
        assert_eq!(seen.properties.get("TAGS"), Some("A"));
        if body != "panic" {
            assert_eq!(ledger.states.lock()[&sent.sent.message_id], sent.state);
        }
    }
}

#[test]
fn the_transaction_is_not_run_if_the_half_is_not_safe_or_not_sent() {
    let cluster = FakeCluster::start(1, 1);
    let (producer, ledger) = start(&cluster.connect(), |options| options.retry_times_when_send_failed = 0);
    cluster.brokers[0].state.lock().moods.push_back(Mood::StoreWith(11));
    let sent = producer.send(&Message::new("T", "commit")).unwrap();
    assert_eq!((sent.sent.status, sent.state), (SendStatus::NoSlave, TransactionState::Rollback));
    eventually("the decision came", || !cluster.brokers[0].state.lock().ended.is_empty());
    assert_eq!(cluster.brokers[0].state.lock().ended[0].decision, 12);
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(1));
    assert_eq!(producer.send(&Message::new("T", "commit")).unwrap_err().code(), Some(1));
    assert!(ledger.states.lock().is_empty());
    let delayed = Message::new("T", "commit").with_delay_level(3).unwrap();
    let error = producer.send(&delayed).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.context().contains("delay"), "{error}");
    assert_eq!(cluster.sends(), [2]);
}

#[test]
fn an_executor_of_its_own_may_run_the_transaction() {
    let cluster = FakeCluster::start(1, 1);
    let (producer, ledger) = start(&cluster.connect(), |_| {});
    let immune = Message::new("T", "unknown").with_transaction_check_immunity(20);
    let sent = producer.send_with_executor(&immune, |message| {
        assert_eq!(message.body, "unknown");
        TransactionState::Commit
    });
    assert_eq!(sent.unwrap().state, TransactionState::Commit);
    assert!(ledger.states.lock().is_empty());
    let seen = cluster.brokers[0].state.lock().seen.pop().unwrap();
    assert_eq!(seen.properties.get("CHECK_IMMUNITY_TIME_IN_SECONDS"), Some("20"));
}

#[test]
fn any_producer_of_the_group_answers_a_broker_that_asks() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("TBW102");
    // This one never sends: whoever sent the half is gone.
    let (_producer, ledger) = start(&cluster.connect(), |_| {});
    let broker = &cluster.brokers[0];
    eventually("the broker knows the group", || broker.producer("TG").is_some());
    for (offset, (body, decision)) in (1..).zip([("commit", 8), ("rollback", 12), ("later", 0), ("panic", 0)])
    {
        ask(broker, "TG", body, offset);
        eventually("the answer came", || !broker.state.lock().ended.is_empty());
        let ended = broker.state.lock().ended.pop().unwrap();
        let id = format!("ID{offset}");
        let expected = Ended {
            group: "TG".into(),
            queue_offset: offset,
            log_offset: offset * 1000,
            decision,
            is_answer: true,
            message_id: id.clone(),
            transaction_id: id,
            remark: ended.remark.clone(),
        };
        assert_eq!(ended, expected);
        assert_eq!(ended.remark.contains("a panic that a test wants"), body == "panic", "{}", ended.remark);
    }
    let asked = ledger.asked.lock();
    assert_eq!((asked.len(), asked[0].topic.as_str(), asked[0].message_id()), (4, "T", "ID1"));
    assert_eq!((asked[0].queue_id, asked[0].broker_name.as_str()), (3, "broker-0"));
}

#[test]
fn questions_wait_in_a_bounded_queue_and_closing_drops_them() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("TBW102");
    let (producer, ledger) = start(&cluster.connect(), |options| options.check_request_hold_max = 3);
    let (release, gate) = mpsc::channel();
    *ledger.gate.lock() = Some(gate);
    let broker = &cluster.brokers[0];
    eventually("the broker knows the group", || broker.producer("TG").is_some());
    ask(broker, "TG", "commit", 1);
    eventually("the first is being answered", || ledger.asked.lock().len() == 1);
    (2..=20).for_each(|offset| ask(broker, "TG", "commit", offset));
    ask(broker, "Other", "commit", 21);
    // The connection has handed on all questions once a later request of the client is answered.
    producer.producer().send(&Message::new("T", "x")).unwrap();
    (0..20).for_each(|_| release.send(()).unwrap());
    eventually("those that could wait are answered", || broker.state.lock().ended.len() == 4);
    let answered: Vec<i64> = broker.state.lock().ended.iter().map(|ended| ended.queue_offset).collect();
    assert_eq!(answered, [1, 2, 3, 4]);
    producer.close().unwrap();
    producer.close().unwrap();
    assert_eq!(producer.send(&Message::new("T", "x")).unwrap_err().kind(), ErrorKind::Closed);
    eventually("the broker forgot the group", || broker.producer("TG").is_none());
}

#[test]
fn a_group_of_transactions_and_of_other_messages_is_warned_of() -> Result<()> {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let (warnings, result) = crate::log_support::logged(|| {
        let _plain = Producer::new(&client, ProducerOptions::new("TG"))?;
        let _other = Producer::new(&client, ProducerOptions::new("Fine"))?;
        drop(start(&client, |_| {}));
        Ok(())
    });
    assert_eq!(
        warnings.iter().filter(|line| line.contains("TG") && line.contains("transactions")).count(),
        1
    );
    result
}

#[test]
fn the_time_before_the_first_question_travels_with_the_half() {
    let cluster = FakeCluster::start(1, 1);
    let (producer, _) = start(&cluster.connect(), |_| {});
    let message = Message::new("T", "later").with_property("CHECK_IMMUNITY_TIME_IN_SECONDS", "20").unwrap();
    producer.send(&message).unwrap();
    let seen = cluster.brokers[0].state.lock().seen.pop().unwrap();
    assert_eq!(seen.properties.get("CHECK_IMMUNITY_TIME_IN_SECONDS"), Some("20"));
    assert_eq!(seen.properties.get("TRAN_MSG"), Some("true"));
}
