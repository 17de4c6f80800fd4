//! A consumer that wants messages whose properties an SQL92 expression holds for. A broker that runs by itself needs
//! `enablePropertyFilter=true`; an embedded one filters as it is.

use std::sync::mpsc;

use ferromq::{ConsumeStatus, ConsumerOptions, Instance, Message, StartFrom, Subscription};

use crate::{Failure, PATIENCE};

/// Sends messages with a = 0 to 9, wants those up to 3, and returns the values that came.
pub fn run(mq: &Instance) -> Result<Vec<String>, Failure> {
    mq.create_topic("TopicTest", 1)?;
    let producer = mq.producer("sql-producers")?;
    for a in 0..10 {
        producer.send(&Message::new("TopicTest", "body").with_property("a", &a.to_string())?)?;
    }

    let (seen, arrived) = mpsc::channel();
    let group = "please_rename_unique_group_name_4";
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) };
    let consumer = mq.push_consumer_with(options)?;
    consumer.subscribe_to(Subscription::sql("TopicTest", "a between 0 and 3")?)?;
    consumer.listen(move |messages, _| {
        for message in messages {
            let a = message.properties.get("a").unwrap_or_default().to_owned();
            println!("a = {a}");
            // Nobody listens any more when the program is about to end.
            let _ = seen.send(a);
        }
        ConsumeStatus::Success
    })?;
    consumer.start()?;
    let mut values: Vec<String> = (0..4).map(|_| arrived.recv_timeout(PATIENCE)).collect::<Result<_, _>>()?;
    consumer.close()?;
    values.extend(arrived.try_iter());
    values.sort();
    Ok(values)
}
