//! A consumer that wants messages with some tags only. The broker filters, so the others do not travel.

use std::sync::mpsc;

use ferromq::{Action, Instance, Message};

use crate::{subscribe, Failure, PATIENCE};

/// Sends messages with four tags, wants three, and returns the tags that came.
pub fn run(mq: &Instance) -> Result<Vec<String>, Failure> {
    mq.create_topic("Tagged", 1)?;
    let producer = mq.producer("tag-producers")?;
    for tag in ["TAGD", "TAGA", "TAGB", "TAGD", "TAGC"] {
        producer.send(&Message::new("Tagged", "body").with_tag(tag)?)?;
    }

    let (seen, arrived) = mpsc::channel();
    let consumer = subscribe(mq, "CID_EXAMPLE", "Tagged", "TAGA || TAGB || TAGC", move |message| {
        println!("tag {:?}", message.tag());
        // Nobody listens any more when the program is about to end.
        let _ = seen.send(message.tag().unwrap_or_default().to_owned());
        Action::Commit
    })?;
    let mut tags: Vec<String> = (0..3).map(|_| arrived.recv_timeout(PATIENCE)).collect::<Result<_, _>>()?;
    consumer.close()?;
    // One that was not wanted would have come by now.
    tags.extend(arrived.try_iter());
    tags.sort();
    Ok(tags)
}
