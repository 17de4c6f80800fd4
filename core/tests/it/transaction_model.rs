//! Transactions as programs use them, against a model: what the local database committed is in the topic, once; the rest is
//! not; whatever producers and brokers went through meanwhile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::{connect, Message, ProducerOptions, StoredMessage, TransactionListener, TransactionState};

use crate::support::{start_server, TestServer};

/// Not all has come by then: it never will. Many rounds over a disk that syncs slowly take minutes on a busy machine.
const HANG: Duration = Duration::from_secs(600);

/// Numbers that look random (xorshift).
#[derive(Clone)]
struct Random(Arc<Mutex<u64>>);

impl Random {
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % limit
    }
}

/// The program's own database: how transfers ended. One that is not there may still be under way.
#[derive(Clone)]
struct Bank {
    ended: Arc<Mutex<BTreeMap<String, bool>>>,
    random: Random,
}

impl TransactionListener for Bank {
    fn execute(&self, message: &Message, _: &str) -> TransactionState {
        let transfer = String::from_utf8_lossy(&message.body).into_owned();
        let commit = self.random.below(2) == 0;
        self.ended.lock().unwrap().insert(transfer, commit);
        match self.random.below(4) {
            0 => TransactionState::Unknown,
            // Killed before the broker is told.
            1 => std::panic::resume_unwind(Box::new("killed")),
            _ if commit => TransactionState::Commit,
            _ => TransactionState::Rollback,
        }
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        let transfer = String::from_utf8_lossy(&message.body).into_owned();
        match self.ended.lock().unwrap().get(&transfer) {
            Some(_) if self.random.below(4) == 0 => TransactionState::Unknown,
            Some(true) => TransactionState::Commit,
            Some(false) => TransactionState::Rollback,
            None => TransactionState::Unknown,
        }
    }
}

/// How often each transfer is in the topic.
fn transfers(server: &TestServer) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut client = server.broker();
    for queue in 0..4 {
        for message in client.pull_all("Transfers", queue, 0) {
            *counts.entry(String::from_utf8(message.body).unwrap()).or_default() += 1;
        }
    }
    counts
}

fn lives_of_a_bank(seed: u64, flush: &str) {
    // Many rounds may pass before a busy machine has answered a question.
    let settings = format!(
        "transactionTimeOut=50\ntransactionCheckInterval=50\ntransactionCheckMax=1000000\nflushDiskType={flush}"
    );
    let mut server = start_server(&settings);
    server.broker().create_topic("Transfers", 4);
    let random = Random(Arc::new(Mutex::new(seed)));
    let bank = Bank { ended: Arc::default(), random: random.clone() };
    let mut number = 0;
    for life in 0..6 {
        let client = connect(&server.name_server()).unwrap();
        let mut options = ProducerOptions::new("bank");
        options.set("sendMsgTimeout", "60000").unwrap();
        let producer = client.transaction_producer(options, bank.clone()).unwrap();
        for _ in 0..random.below(20) + 5 {
            let transfer = Message::new("Transfers", format!("transfer {number}"));
            producer.send(&transfer).unwrap();
            number += 1;
        }
        std::thread::sleep(Duration::from_millis(random.below(150)));
        if life == 5 {
            break;
        }
        match random.below(3) {
            0 => server.restart(),
            1 => server = server.copy(),
            _ => {}
        }
        client.close().unwrap();
    }
    let client = connect(&server.name_server()).unwrap();
    let _heir = client.transaction_producer(ProducerOptions::new("bank"), bank.clone()).unwrap();
    let ended = bank.ended.lock().unwrap().clone();
    let committed = ended.into_iter().filter(|(_, committed)| *committed);
    let expected: BTreeMap<String, usize> = committed.map(|(transfer, _)| (transfer, 1)).collect();
    let start = Instant::now();
    while transfers(&server).len() < expected.len() && start.elapsed() < HANG {
        std::thread::sleep(Duration::from_millis(50));
    }
    // Some more rounds, for what must not come.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(transfers(&server), expected, "seed {seed}");
    client.close().unwrap();
}

#[test]
fn what_is_committed_arrives_and_nothing_else() {
    for seed in 1..=2 {
        lives_of_a_bank(seed * 7919, "ASYNC_FLUSH");
    }
}

#[test]
fn what_is_committed_arrives_and_nothing_else_with_synchronous_flushes() {
    lives_of_a_bank(104_729, "SYNC_FLUSH");
}
