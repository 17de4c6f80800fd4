//! Counts what `quickstart_producer` has sent, asking for it.

use ferromq::{ConsumerOptions, Instance, StartFrom};

use crate::{text, Failure, PATIENCE};

/// Polls until 10,001 messages have come, and returns how many did.
pub fn run(mq: &Instance) -> Result<usize, Failure> {
    let group = std::env::var("CONSUMER_GROUP").unwrap_or_else(|_| "counters".into());
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(&group) };
    let consumer = mq.consumer_with(options)?;
    consumer.subscribe("topic_example_java", "TagA")?;
    let mut counted = 0;
    while counted < 10_001 {
        let messages = consumer.poll(PATIENCE)?;
        if messages.is_empty() {
            return Err(format!("{counted} came").into());
        }
        if let Some(other) = messages.iter().find(|one| !text(one).starts_with("Hello Java Demo RocketMQ:")) {
            return Err(format!("nobody sent {:?}", text(other)).into());
        }
        counted += messages.len();
    }
    println!("counted: {counted}");
    consumer.close()?;
    Ok(counted)
}
