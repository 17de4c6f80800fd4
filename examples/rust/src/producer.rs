//! The three ways to send, each with what it is for.

use std::sync::mpsc;

use ferromq::{Instance, Message, SendOptions, SendStatus};

use crate::{Failure, PATIENCE};

/// How many messages went each way.
#[derive(Debug, PartialEq, Eq)]
pub struct Counts {
    /// Sent and waited for.
    pub sync: usize,
    /// Sent, and told of later.
    pub asynchronous: usize,
    /// Sent without an answer.
    pub oneway: usize,
}

/// Sends three kinds of messages and returns how many of each.
pub fn run(mq: &Instance) -> Result<Counts, Failure> {
    mq.create_topic("Notices", 4)?;
    let producer = mq.producer("senders")?;

    // Mails and short messages to customers are important: wait until each is stored, and look how safe it is.
    let mut counts = Counts { sync: 0, asynchronous: 0, oneway: 0 };
    for customer in ["ann", "bob"] {
        let sent =
            producer.send(&Message::new("Notices", format!("mail to {customer}")).with_tag("mail")?)?;
        if sent.status != SendStatus::Ok {
            println!("stored, but not as safe as it could be: {sent}");
        }
        println!("sync: {sent}");
        counts.sync += 1;
    }

    // After an upload a video is converted, which takes long, and the uploader must not wait: the callback hears how
    // the send went. It may send again if it failed and `is_retriable`.
    let (heard, hear) = mpsc::channel();
    for video in 0..3 {
        let message = Message::new("Notices", format!("convert video {video}")).with_tag("video")?;
        let heard = heard.clone();
        producer.send_callback(&message, &SendOptions::default(), move |result| {
            // The program does not end before it has heard of all.
            let _ = heard.send(result);
        });
    }
    for _ in 0..3 {
        println!("async: {}", hear.recv_timeout(PATIENCE)??);
        counts.asynchronous += 1;
    }

    // Log lines are many, and one lost is no harm: do not ask for an answer.
    for line in 0..100 {
        producer.send_oneway(&Message::new("Notices", format!("log line {line}")).with_tag("log")?)?;
        counts.oneway += 1;
    }
    println!("oneway: {} log lines", counts.oneway);
    producer.close()?;
    Ok(counts)
}
