//! A producer as a service has it: made once from settings, used for all messages, closed at the end.

use ferromq::{Instance, Message, ProducerOptions};

use crate::Failure;

/// The settings, as they would stand in a file: Apache's keys.
const SETTINGS: &str = "
producerGroup=group_example_java
retryTimesWhenSendFailed=3
retryTimesWhenSendAsyncFailed=3
retryAnotherBrokerWhenNotStoreOK=true
";

/// Sends 10,001 messages and returns how many were stored.
pub fn run(mq: &Instance) -> Result<usize, Failure> {
    let options = ProducerOptions::from_text(SETTINGS, "settings")?;
    let producer = mq.producer_with(options)?;
    let mut stored = 0;
    for number in 0..=10_000 {
        let body = format!("Hello Java Demo RocketMQ:{number}");
        let message = Message::new("topic_example_java", body).with_tag("TagA")?;
        match producer.send(&message) {
            Ok(sent) => {
                stored += 1;
                println!("result of the send: {sent}");
            }
            Err(error) => eprintln!("not sent: {error}"),
        }
    }
    producer.close()?;
    Ok(stored)
}
