//! A server in this process that others can join: clients of this library, and Apache's in any language.

use std::sync::mpsc;

use ferromq::{Action, Listen, Message, OpenOptions};

use crate::{subscribe, text, Failure, PATIENCE};

/// Opens a server in a directory (in memory without), lets another client send to it, and returns what was consumed here.
pub fn run(directory: Option<&str>) -> Result<String, Failure> {
    let options = match directory {
        Some(directory) => OpenOptions::directory(directory),
        None => OpenOptions::memory(),
    };
    // Free ports, as this is an example; `Listen::default()` has Apache's 9876 and 10911.
    let mq = ferromq::open_with(OpenOptions { listen: Some(Listen::on_free_ports()), ..options })?;
    let (name_server, _) = mq.listening().ok_or("it was asked to listen")?;
    println!("name server at 127.0.0.1:{name_server}");

    mq.create_topic("Served", 4)?;
    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(&mq, "CID_SERVED", "Served", "*", move |message| {
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(text(message));
        Action::Commit
    })?;

    // As another process would.
    let other = ferromq::connect(&format!("127.0.0.1:{name_server}"))?;
    let sent = other.producer("visitors")?.send(&Message::new("Served", "over the network"))?;
    println!("sent: {sent}");
    let body = arrived.recv_timeout(PATIENCE)?;
    println!("received: {body}");

    other.close()?;
    consumer.close()?;
    mq.close()?;
    Ok(body)
}
