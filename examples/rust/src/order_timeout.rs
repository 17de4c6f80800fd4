//! An order that is not paid in time is cancelled: a message that arrives an hour after the order looks whether it was
//! paid, and gives its goods back if not.

use std::collections::HashMap;
use std::sync::{mpsc, Arc, Mutex};

use ferromq::{Action, Instance, Message};

use crate::{subscribe, Failure, PATIENCE};

/// One hour with the broker's default table.
const LEVEL: i32 = 17;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Placed,
    Paid,
    Cancelled,
}

struct Shop {
    stock: usize,
    orders: HashMap<String, Order>,
}

/// Places four orders, of which two are paid; returns the stock of ten after the time is over.
pub fn run(mq: &Instance) -> Result<usize, Failure> {
    mq.create_topic("OrderTimeout", 4)?;
    let shop = Arc::new(Mutex::new(Shop { stock: 10, orders: HashMap::new() }));
    let lock = |shop: &Arc<Mutex<Shop>>| -> Result<(), Failure> {
        let shop = shop.lock().map_err(|_| "a listener panicked")?;
        println!("{} pieces, orders {:?}", shop.stock, shop.orders);
        Ok(())
    };
    let producer = mq.producer("shops")?;
    for order in ["A", "B", "C", "D"] {
        place(&shop, order)?;
        producer.send(&Message::new("OrderTimeout", "look").with_key(order)?.with_delay_level(LEVEL)?)?;
    }
    for order in ["B", "D"] {
        let mut shop = shop.lock().map_err(|_| "a listener panicked")?;
        shop.orders.insert(order.into(), Order::Paid);
    }
    lock(&shop)?;

    let (seen, arrived) = mpsc::channel();
    let listener_shop = shop.clone();
    let consumer = subscribe(mq, "CID_TIMEOUT", "OrderTimeout", "*", move |message| {
        let Some(order) = message.keys().next() else { return Action::Commit };
        let mut shop = listener_shop.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Only an order that is still open: a second delivery finds it cancelled.
        if shop.orders.get(order) == Some(&Order::Placed) {
            shop.orders.insert(order.into(), Order::Cancelled);
            shop.stock += 1;
            println!("order {order} was not paid: cancelled");
        }
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(());
        Action::Commit
    })?;
    for _ in 0..4 {
        // With the default table this is an hour.
        arrived.recv_timeout(PATIENCE + std::time::Duration::from_secs(3600))?;
    }
    consumer.close()?;
    lock(&shop)?;
    let stock = shop.lock().map_err(|_| "a listener panicked")?.stock;
    Ok(stock)
}

fn place(shop: &Mutex<Shop>, order: &str) -> Result<(), Failure> {
    let mut shop = shop.lock().map_err(|_| "a listener panicked")?;
    shop.stock = shop.stock.checked_sub(1).ok_or("sold out")?;
    shop.orders.insert(order.into(), Order::Placed);
    Ok(())
}
