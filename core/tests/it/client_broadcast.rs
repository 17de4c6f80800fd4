//! Broadcasting with a server in this process: how far a member has come belongs to the messages, and stays with them.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use ferromq::{ConsumeStatus, ConsumerOptions, Message, MessageModel, StartFrom};

/// Sends messages, lets a broadcasting member consume `expected` ones, and ends everything.
fn session(directory: &Path, bodies: &[&str], expected: usize) -> Vec<String> {
    let mq = ferromq::open(directory).unwrap();
    let producer = mq.producer("p").unwrap();
    for body in bodies {
        producer.send(&Message::new("B", body.to_string())).unwrap();
    }
    let consumer = mq.push_consumer_with(ConsumerOptions {
        message_model: MessageModel::Broadcasting,
        consume_from_where: StartFrom::First,
        ..ConsumerOptions::new("members")
    });
    let consumer = consumer.unwrap();
    consumer.subscribe("B", "*").unwrap();
    let (seen, arrived) = mpsc::channel();
    let listener = move |messages: &[ferromq::StoredMessage], _: &ferromq::ConsumeContext| {
        for message in messages {
            seen.send(String::from_utf8_lossy(&message.body).into_owned()).unwrap();
        }
        ConsumeStatus::Success
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    let mut bodies: Vec<String> =
        (0..expected).map(|_| arrived.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
    consumer.close().unwrap();
    mq.close().unwrap();
    bodies.extend(arrived.try_iter());
    bodies.sort();
    bodies
}

#[test]
fn progress_is_kept_beside_the_messages_and_means_nothing_for_others() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(session(one.path(), &["1", "2", "3"], 3), ["1", "2", "3"]);
    let file = one.path().join("broadcast/127.0.0.1@DEFAULT/members/offsets.json");
    assert!(std::fs::read_to_string(file).unwrap().contains("\"topic\":\"B\""));
    // The same member of the same group, but of other messages.
    assert_eq!(session(other.path(), &["a", "b"], 2), ["a", "b"]);
    // It goes on where it stopped.
    assert_eq!(session(one.path(), &["4"], 1), ["4"]);
}
