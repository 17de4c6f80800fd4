//! Options on their way from JavaScript: pairs of Apache's keys and values as JSON, and what single sends are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ferromq::{Message, MessageQueue, Result, Selector, SendOptions, Subscription};
use serde::Deserialize;

use crate::error::invalid;

/// The keys and values of a JSON list of pairs.
pub fn pairs(json: &str) -> Result<Vec<(String, String)>> {
    serde_json::from_str(json).map_err(|error| invalid("set option", error.to_string()))
}

/// A queue as JavaScript writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    topic: String,
    broker_name: String,
    queue_id: i32,
}

impl From<Queue> for MessageQueue {
    fn from(queue: Queue) -> MessageQueue {
        MessageQueue { topic: queue.topic, broker_name: queue.broker_name, queue_id: queue.queue_id }
    }
}

/// Several queues, a JSON list.
pub fn queues(json: &str) -> Result<Vec<MessageQueue>> {
    let queues: Vec<Queue> = read("queues", json)?;
    Ok(queues.into_iter().map(MessageQueue::from).collect())
}

/// A time limit in ms.
pub fn limit(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or(if ms > 0.0 { Duration::MAX } else { Duration::ZERO })
}

/// Reads what the package's own JavaScript wrote.
fn read<'a, T: Deserialize<'a>>(operation: &'static str, json: &'a str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| invalid(operation, error.to_string()))
}

/// What a message has besides topic and body.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Extras {
    tag: Option<String>,
    keys: Vec<String>,
    properties: BTreeMap<String, String>,
    delay_level: Option<i32>,
    wait: Option<bool>,
    flag: i32,
    sharding_key: Option<String>,
    check_immunity: Option<u32>,
}

/// What a send is told.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct To {
    queue: Option<Queue>,
    sharding_key: Option<String>,
    hash_key: Option<String>,
    random: bool,
    rooms: Option<BTreeSet<String>>,
    timeout: Option<f64>,
}

/// Makes a message; `extras` is JSON.
pub fn message(topic: String, body: Vec<u8>, extras: Option<&str>) -> Result<Message> {
    let message = Message::new(topic, body);
    match extras {
        None => Ok(message),
        Some(json) => with_extras(message, read("make message", json)?),
    }
}

/// Makes the messages of a batch: their bodies side by side with the length of each, and for each its extras.
pub fn batch(topic: &str, bodies: Vec<u8>, lengths: &[u32], extras: Option<&str>) -> Result<Vec<Message>> {
    let mut extras = match extras {
        None => Vec::new(),
        Some(json) => read::<Vec<Option<Extras>>>("make batch", json)?,
    };
    extras.resize_with(lengths.len(), || None);
    // One copy of all bodies, which the messages share.
    let whole = Message::new(topic, bodies).body;
    let mut begin = 0;
    let make = |(length, extras): (&u32, Option<Extras>)| {
        let end = begin + *length as usize;
        if end > whole.len() {
            return Err(invalid("make batch", "the lengths are longer than the bodies"));
        }
        let message = Message::new(topic, whole.slice(begin..end));
        begin = end;
        match extras {
            None => Ok(message),
            Some(extras) => with_extras(message, extras),
        }
    };
    lengths.iter().zip(extras).map(make).collect()
}

fn with_extras(mut message: Message, extras: Extras) -> Result<Message> {
    let Extras { tag, keys, properties, delay_level, wait, flag, sharding_key, check_immunity } = extras;
    if let Some(tag) = tag {
        message = message.with_tag(&tag)?;
    }
    for key in keys {
        message = message.with_key(&key)?;
    }
    for (name, value) in properties {
        message = message.with_property(&name, &value)?;
    }
    if let Some(level) = delay_level {
        message = message.with_delay_level(level)?;
    }
    if let Some(key) = sharding_key {
        message = message.with_sharding_key(&key)?;
    }
    if let Some(seconds) = check_immunity {
        message = message.with_transaction_check_immunity(seconds);
    }
    Ok(message.with_wait(wait.unwrap_or(true)).with_flag(flag))
}

/// The options of a send, which are JSON.
pub fn send_options(json: Option<&str>) -> Result<SendOptions> {
    let Some(json) = json else { return Ok(SendOptions::default()) };
    let To { queue, sharding_key, hash_key, random, rooms, timeout } = read("send", json)?;
    let mut options = SendOptions::default();
    if let Some(queue) = queue {
        options = options.with_queue(queue.into());
    }
    if let Some(key) = sharding_key {
        options = options.with_sharding_key(key);
    }
    if let Some(key) = hash_key {
        options = options.with_selector(Selector::ByHash(key));
    }
    if random {
        options = options.with_selector(Selector::ByRandom);
    }
    if let Some(rooms) = rooms {
        options = options.with_selector(Selector::ByMachineRoom(rooms));
    }
    if let Some(ms) = timeout {
        options = options.with_timeout(limit(ms));
    }
    Ok(options)
}

/// What is wanted of a topic: by tags, or by SQL92.
pub fn subscription(topic: &str, expression: &str, sql: bool) -> Result<Subscription> {
    match sql {
        true => Subscription::sql(topic, expression),
        false => Subscription::tags(topic, expression),
    }
}
