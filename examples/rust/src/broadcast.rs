//! Every member of a group gets every message: caches to clear, settings to reload. Each member keeps how far it has
//! come in a file of its own, and a message that fails does not come again.

use std::sync::mpsc;

use ferromq::{
    ConsumeStatus, ConsumerOptions, Instance, Listen, Message, MessageModel, OpenOptions, PushConsumer,
    StartFrom,
};

use crate::{text, Failure, PATIENCE};

/// Sends five messages to two members, and returns the ten deliveries: member and body.
pub fn run(place: Option<&str>) -> Result<Vec<(usize, String)>, Failure> {
    // Two clients, as two processes would be. A server in this process listens so that the second can join.
    let first = match place {
        Some(address) => ferromq::connect(address)?,
        None => ferromq::open_with(OpenOptions {
            listen: Some(Listen::on_free_ports()),
            ..OpenOptions::memory()
        })?,
    };
    let second = match (place, first.listening()) {
        (None, Some((port, _))) => ferromq::connect(&format!("127.0.0.1:{port}"))?,
        (address, _) => ferromq::connect(address.unwrap_or_default())?,
    };
    first.create_topic("Broadcast", 4)?;
    let (seen, arrived) = mpsc::channel();
    let files = std::env::temp_dir().join(format!("ferromq-broadcast-{}", std::process::id()));
    let members: Vec<PushConsumer> = [&first, &second]
        .into_iter()
        .enumerate()
        .map(|(number, mq)| member(mq, number, &files, seen.clone()))
        .collect::<Result<_, _>>()?;

    let producer = first.producer("broadcasters")?;
    for number in 0..5 {
        producer.send(&Message::new("Broadcast", format!("reload {number}")))?;
    }
    let mut deliveries: Vec<(usize, String)> =
        (0..10).map(|_| arrived.recv_timeout(PATIENCE)).collect::<Result<_, _>>()?;
    deliveries.sort();
    for member in members {
        member.close()?;
    }
    second.close()?;
    first.close()?;
    // A real program keeps the files: with them it goes on where it stopped.
    std::fs::remove_dir_all(&files)?;
    Ok(deliveries)
}

fn member(
    mq: &Instance,
    number: usize,
    files: &std::path::Path,
    seen: mpsc::Sender<(usize, String)>,
) -> Result<PushConsumer, Failure> {
    let consumer = mq.push_consumer_with(ConsumerOptions {
        message_model: MessageModel::Broadcasting,
        consume_from_where: StartFrom::First,
        offset_store_dir: Some(files.into()),
        ..ConsumerOptions::new("CID_BROADCAST")
    })?;
    consumer.subscribe("Broadcast", "*")?;
    consumer.listen(move |messages, _| {
        for message in messages {
            println!("member {number}: {}", text(message));
            // Nobody listens any more when the program is about to end.
            let _ = seen.send((number, text(message)));
        }
        ConsumeStatus::Success
    })?;
    consumer.start()?;
    Ok(consumer)
}
