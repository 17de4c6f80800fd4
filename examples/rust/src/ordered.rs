//! The steps of an order in their order, while different orders go side by side: all steps of an order go to one queue,
//! one after the other, and a queue is consumed by one thread at a time.

use std::collections::HashMap;
use std::sync::{mpsc, Mutex};

use ferromq::{ConsumerOptions, Instance, Message, OrderlyStatus, SendOptions, StartFrom};

use crate::{text, Failure, PATIENCE};

const STEPS: [&str; 4] = ["created", "paid", "pushed", "completed"];
const ORDERS: usize = 100;

/// Sends the steps of 100 orders and returns how many were consumed. Fails if one order is out of step.
pub fn run(mq: &Instance) -> Result<usize, Failure> {
    mq.create_topic("OrderSteps", 4)?;
    let producer = mq.producer("order-producers")?;
    for step in STEPS {
        for order in 0..ORDERS {
            let order_id = order.to_string();
            let message = Message::new("OrderSteps", step).with_key(&order_id)?;
            producer.send_with(&message, &SendOptions::default().with_sharding_key(order_id))?;
        }
    }

    let (seen, arrived) = mpsc::channel();
    let reached: Mutex<HashMap<String, usize>> = Mutex::default();
    let options =
        ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("order-consumers") };
    let consumer = mq.push_consumer_with(options)?;
    consumer.subscribe("OrderSteps", "*")?;
    consumer.listen_orderly(move |messages, _| {
        for message in messages {
            let order = message.keys().next().unwrap_or_default().to_owned();
            let mut reached = reached.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let next = reached.entry(order.clone()).or_insert(0);
            // A step that was seen before is a second delivery, which may happen; one that comes early must not.
            let step = STEPS.iter().position(|step| *step == text(message)).unwrap_or(STEPS.len());
            let outcome = match step <= *next {
                true => Ok(order),
                false => Err(format!("order {order}: {} came at step {next}", text(message))),
            };
            *next = (step + 1).max(*next);
            // Nobody listens any more when the program is about to end.
            let _ = seen.send(outcome);
        }
        OrderlyStatus::Success
    })?;
    consumer.start()?;

    let mut consumed = 0;
    while consumed < ORDERS * STEPS.len() {
        let order = arrived.recv_timeout(PATIENCE)??;
        println!("a step of order {order}");
        consumed += 1;
    }
    consumer.close()?;
    Ok(consumed)
}
