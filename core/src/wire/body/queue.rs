//! Queues, and maps by queue.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// A queue of a topic on a broker. Ordered as Java orders it: topic, broker name, queue id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    // In the order in which Apache writes them, so that a map key is the same text.
    /// Name of the broker set.
    pub broker_name: String,
    /// The queue.
    pub queue_id: i32,
    /// The topic.
    pub topic: String,
}

impl MessageQueue {
    fn sort_key(&self) -> (&str, &str, i32) {
        (&self.topic, &self.broker_name, self.queue_id)
    }
}

impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sort_key().cmp(&other.sort_key())
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// For `#[serde(with = "queue_table")]`: maps whose keys are queues. A key goes as text with the queue's JSON, which
/// [`super::super::json`] makes an object of and back.
pub(super) mod queue_table {
    use std::collections::BTreeMap;

    use serde::de::{DeserializeOwned, Error};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::MessageQueue;

    pub fn serialize<S: Serializer, V: Serialize>(
        table: &BTreeMap<MessageQueue, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let json = |queue| serde_json::to_string(queue).unwrap_or_default();
        serializer.collect_map(table.iter().map(|(queue, value)| (json(queue), value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, V: DeserializeOwned>(
        deserializer: D,
    ) -> Result<BTreeMap<MessageQueue, V>, D::Error> {
        let table = BTreeMap::<String, V>::deserialize(deserializer)?;
        let queue = |(key, value): (String, V)| {
            let queue = serde_json::from_str(&key);
            queue
                .map(|queue| (queue, value))
                .map_err(|_| Error::custom(format_args!("the key {key:?} is no queue")))
        };
        table.into_iter().map(queue).collect()
    }
}
