//! Programs to copy from: how FerroMQ is used in Rust. One file a program, each complete in its `run`.
//!
//! ```text
//! cargo run -p ferromq-examples -- quickstart                    # everything in this process, in memory
//! cargo run -p ferromq-examples -- quickstart ./data             # the same, kept in a directory
//! cargo run -p ferromq-examples -- quickstart 127.0.0.1:9876     # a cluster, FerroMQ's or Apache's
//! ```

pub mod broadcast;
pub mod consumer;
pub mod dedup;
pub mod delay;
pub mod embed_and_serve;
pub mod filter_sql;
pub mod filter_tag;
pub mod flag_ttl;
pub mod idempotent;
pub mod logappender;
pub mod no_retry;
pub mod order_timeout;
pub mod ordered;
pub mod points;
pub mod producer;
pub mod pull;
pub mod quickstart;
pub mod quickstart_producer;
pub mod retry;
pub mod snowflake;
pub mod transaction;

use std::time::Duration;

use ferromq::{Action, ConsumerOptions, Instance, OpenOptions, PushConsumer, StartFrom, StoredMessage};

/// What the programs fail with: their own words, or an error of any library.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long the programs wait for messages that are sure to come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where messages go: to the cluster whose name servers `place` is (`host:port`), into the directory that it is, or into
/// memory without it.
pub fn instance(place: Option<&str>) -> Result<Instance, Failure> {
    Ok(match place {
        None => ferromq::open_with(OpenOptions::memory())?,
        Some(address) if address.contains(':') => ferromq::connect(address)?,
        Some(directory) => ferromq::open(directory)?,
    })
}

/// A consumer that calls `listener` with each message of a topic whose tag the expression names, from the topic's
/// beginning if the group is new. It runs until it is closed or dropped.
pub fn subscribe(
    mq: &Instance,
    group: &str,
    topic: &str,
    expression: &str,
    listener: impl Fn(&StoredMessage) -> Action + Send + Sync + 'static,
) -> Result<PushConsumer, Failure> {
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) };
    let consumer = mq.push_consumer_with(options)?;
    consumer.subscribe(topic, expression)?;
    consumer.listen_one(move |message, _| listener(message))?;
    consumer.start()?;
    Ok(consumer)
}

/// The body as text, for printing.
pub fn text(message: &StoredMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}
