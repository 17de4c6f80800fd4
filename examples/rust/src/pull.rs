//! Reads one queue to its end, at the program's own pace and with its own offsets: nothing is fetched without a call, and
//! no group keeps anything.

use std::time::Duration;

use ferromq::{Instance, Message, PullStatus, SendOptions, Subscription};

use crate::{text, Failure};

/// Sends 100 messages to one queue and returns the bodies that were read.
pub fn run(mq: &Instance) -> Result<Vec<String>, Failure> {
    mq.create_topic("Pulled", 2)?;
    let producer = mq.producer("pull-producers")?;
    let queue = producer.queues("Pulled")?.into_iter().next().ok_or("the topic has no queue")?;
    let to_queue = SendOptions::default().with_queue(queue.clone());
    for number in 0..100 {
        producer.send_with(&Message::new("Pulled", number.to_string()), &to_queue)?;
    }

    let consumer = mq.consumer_with(ferromq::ConsumerOptions::default())?;
    let all = Subscription::all("Pulled");
    let mut bodies = Vec::new();
    let mut offset = 0;
    loop {
        // Waits for nothing: the queue ends where there are no new messages.
        let pulled = consumer.pull(&queue, &all, offset, 32, Duration::ZERO)?;
        println!("{} messages from offset {offset}, the queue ends at {}", pulled.messages.len(), pulled.max);
        bodies.extend(pulled.messages.iter().map(text));
        offset = pulled.next;
        if pulled.status == PullStatus::NoNewMessages {
            break;
        }
    }
    consumer.close()?;
    Ok(bodies)
}
