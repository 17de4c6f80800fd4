//! Three ways in which a listener asks for a message again. It comes again after 10 s, 30 s, 1 min and so on, 16 times by
//! default, and then becomes a dead letter.

use std::sync::mpsc;

use ferromq::{Action, Instance, Message};

use crate::{subscribe, text, Failure, PATIENCE};

/// Sends two messages whose first delivery fails, and returns each delivery: what, and how often it had failed before.
pub fn run(mq: &Instance) -> Result<Vec<(String, i32)>, Failure> {
    mq.create_topic("Retried", 4)?;
    let producer = mq.producer("retry-producers")?;
    for body in ["answer later", "panic"] {
        producer.send(&Message::new("Retried", body))?;
    }

    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(mq, "CID_RETRY", "Retried", "*", move |message| {
        println!("delivery {} of {:?}", message.reconsume_times + 1, text(message));
        // Nobody listens any more when the program is about to end.
        let _ = seen.send((text(message), message.reconsume_times));
        match (message.reconsume_times, text(message).as_str()) {
            // The work failed: the message comes again.
            (0, "answer later") => Action::Later,
            // A panic counts as the same, and ends nothing but this call. An early return with `Later` is kinder to
            // the log.
            (0, "panic") => panic!("this example panics to be called again"),
            _ => Action::Commit,
        }
    })?;

    let deliveries: Result<Vec<_>, _> = (0..4).map(|_| arrived.recv_timeout(PATIENCE)).collect();
    consumer.close()?;
    Ok(deliveries?)
}
