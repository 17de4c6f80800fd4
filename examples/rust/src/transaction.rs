//! An order and the message about it, together or not at all. The shop writes the order in its own database; the cart
//! service clears the cart when it gets the message, which it does if and only if the order was committed. What the cart
//! service makes of the message is its own business: if it fails it gets the message again, and the order stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{mpsc, Mutex};

use ferromq::{
    Action, Instance, Message, ProducerOptions, StoredMessage, TransactionListener, TransactionState,
};

use crate::{subscribe, text, Failure, PATIENCE};

/// The shop's database: which orders were committed, by transaction.
#[derive(Default)]
struct Orders {
    committed: Mutex<BTreeMap<String, String>>,
}

impl TransactionListener for Orders {
    /// The local transaction, once the broker holds the message back for us.
    fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState {
        let order = String::from_utf8_lossy(&message.body).into_owned();
        if order.ends_with("without money") {
            println!("{order}: rolled back");
            return TransactionState::Rollback;
        }
        let mut committed = self.committed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        committed.insert(transaction_id.into(), order.clone());
        println!("{order}: committed");
        // The answer may get lost: this one does not give it, so the broker will ask.
        if order.ends_with("with a slow answer") {
            return TransactionState::Unknown;
        }
        TransactionState::Commit
    }

    /// The broker asks, this producer or another of the group, perhaps after a crash: look into the database.
    fn check(&self, message: &StoredMessage) -> TransactionState {
        let committed = self.committed.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match committed.contains_key(message.message_id()) {
            true => TransactionState::Commit,
            false => TransactionState::Rollback,
        }
    }
}

/// Places three orders, of which one is rolled back; returns those whose carts were cleared.
pub fn run(mq: &Instance) -> Result<BTreeSet<String>, Failure> {
    mq.create_topic("OrdersPlaced", 4)?;
    // A group of its own: brokers ask any producer of the group how a transaction ended.
    let producer = mq.transaction_producer(ProducerOptions::new("shop-transactions"), Orders::default())?;
    for order in ["order 1", "order 2 without money", "order 3 with a slow answer"] {
        // Ask after a second, not after the broker's `transactionTimeOut`.
        let message = Message::new("OrdersPlaced", order).with_transaction_check_immunity(1);
        let sent = producer.send(&message)?;
        println!("{:?}: {}", sent.state, sent.sent);
    }

    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(mq, "CID_CART", "OrdersPlaced", "*", move |message| {
        if message.reconsume_times == 0 && text(message) == "order 1" {
            println!("the cart of {} is not cleared yet: its service has a problem", text(message));
            return Action::Later;
        }
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(text(message));
        Action::Commit
    })?;
    let mut cleared = BTreeSet::new();
    while cleared.len() < 2 {
        // Brokers look for answers that are missing every `transactionCheckInterval`: half a minute by default, a minute at
        // 4.9's.
        let order = arrived.recv_timeout(PATIENCE * 3)?;
        println!("the cart of {order} is cleared");
        cleared.insert(order);
    }
    consumer.close()?;
    producer.close()?;
    cleared.extend(arrived.try_iter());
    Ok(cleared)
}
