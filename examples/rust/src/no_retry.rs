//! A listener that never wants a message again: it handles every failure itself and commits. What it cannot do is lost
//! then, so this is rarely right.

use std::sync::mpsc;

use ferromq::{Action, Instance, Message};

use crate::{subscribe, text, Failure, PATIENCE};

/// The group; its retry topic stays empty.
pub const GROUP: &str = "CID_NO_RETRY";

/// Sends five messages that cannot be worked on, and returns how many were delivered.
pub fn run(mq: &Instance) -> Result<usize, Failure> {
    mq.create_topic("Hopeless", 4)?;
    let producer = mq.producer("no-retry-producers")?;
    for number in 0..5 {
        producer.send(&Message::new("Hopeless", format!("not a number: {number}")))?;
    }

    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(mq, GROUP, "Hopeless", "*", move |message| {
        if let Err(error) = text(message).parse::<u64>() {
            println!("{:?} is given up: {error}", text(message));
        }
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(());
        Action::Commit
    })?;

    let delivered: Result<Vec<()>, _> = (0..5).map(|_| arrived.recv_timeout(PATIENCE)).collect();
    consumer.close()?;
    Ok(delivered?.len())
}
