//! The first program: send some messages and consume them.

use std::sync::mpsc;

use ferromq::{ConsumeStatus, ConsumerOptions, Instance, Message, StartFrom};

use crate::{text, Failure, PATIENCE};

/// Sends ten messages and returns what was consumed.
pub fn run(mq: &Instance) -> Result<Vec<String>, Failure> {
    mq.create_topic("Greetings", 4)?;

    let producer = mq.producer("greeters")?;
    for number in 0..10 {
        let sent = producer.send(&Message::new("Greetings", format!("hello {number}")))?;
        println!("sent: {sent}");
    }

    let (seen, arrived) = mpsc::channel();
    let options =
        ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("listeners") };
    let consumer = mq.push_consumer_with(options)?;
    consumer.subscribe("Greetings", "*")?;
    consumer.listen(move |messages, _context| {
        for message in messages {
            println!("received: {} ({})", text(message), message.message_id());
            // Nobody listens any more when the program is about to end.
            let _ = seen.send(text(message));
        }
        ConsumeStatus::Success
    })?;
    consumer.start()?;

    let bodies: Result<Vec<String>, _> = (0..10).map(|_| arrived.recv_timeout(PATIENCE)).collect();
    consumer.close()?;
    producer.close()?;
    Ok(bodies?)
}
