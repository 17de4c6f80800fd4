//! Messages that arrive later: delay level 3 is 10 s with the broker's default table.

use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferromq::{Action, Instance, Message};

use crate::{subscribe, Failure, PATIENCE};

/// Sends 100 messages with delay level 3, which is `expected` long, and returns how long each took. Fails if one came
/// early.
pub fn run(mq: &Instance, expected: Duration) -> Result<Vec<Duration>, Failure> {
    mq.create_topic("TestTopic", 4)?;
    let producer = mq.producer("ExampleProducerGroup")?;
    for number in 0..100 {
        let body = format!("Hello scheduled message {number}");
        producer.send(&Message::new("TestTopic", body).with_delay_level(3)?)?;
    }

    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(mq, "ExampleConsumer", "TestTopic", "*", move |message| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sent = Duration::from_millis(message.born_timestamp.unsigned_abs());
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(now.saturating_sub(sent));
        Action::Commit
    })?;
    let mut delays = Vec::new();
    for number in 0..100 {
        let delay = arrived.recv_timeout(PATIENCE)?;
        println!("message {number} arrived {} ms after it was sent", delay.as_millis());
        if delay < expected {
            return Err(format!("{delay:?} is earlier than {expected:?}").into());
        }
        delays.push(delay);
    }
    consumer.close()?;
    Ok(delays)
}
