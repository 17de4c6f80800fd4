//! A store in this process under load: which messages, in which queues.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use ferromq::clock::Clock;
use ferromq::record::NewRecord;
use ferromq::store::{FlushMode, Store, StoreOptions};

/// Properties as a Java client 5.3.3 and the broker leave them; the last 8 digits of the unique key count.
const PROPERTIES: &[u8] = b"MSG_REGION\x01DefaultRegion\x02UNIQ_KEY\x01C000020246144E0E2F2A692C00000000\x02\
CLUSTER\x01DefaultCluster\x02WAIT\x01true\x02TAGS\x01TagA\x02TRACE_ON\x01true\x02";
/// As short as they get with a unique key.
const FEW_PROPERTIES: &[u8] = b"UNIQ_KEY\x01C000020246144E0E2F2A692C00000000\x02TAGS\x01TagA\x02";
const NO_COUNT: &[u8] = b"00000000\x02";
/// Appends between two dispatches: about what a broker reads at once from busy connections.
const BATCH: u64 = 64;

/// Opens the store in `dir` with Apache's defaults.
pub fn open(dir: &Path, flush_mode: FlushMode) -> Result<Arc<Store>, String> {
    let options = StoreOptions { flush_mode, ..StoreOptions::new(dir) };
    Store::open(options, Clock::new()).map_err(|e| e.to_string())
}

/// A source of messages for the queues of some topics.
pub struct Load {
    name: &'static str,
    topics: Vec<String>,
    /// The name of the topic that the message goes to: 5,000 of them in as many places of the memory would be a cost of the
    /// load's own.
    topic: String,
    per_topic: u64,
    body: Vec<u8>,
    properties: Vec<u8>,
    /// Where the number of the message stands in them.
    counter: usize,
    random: u64,
    sent: u64,
}

impl Load {
    /// For so many queues: up to 8 in one topic, else 10 in each.
    pub fn new(queues: u64, body: usize) -> Load {
        let per_topic = if queues <= 8 { queues } else { 10 };
        Load::spread("Topic", queues / per_topic, per_topic, body)
    }

    /// For so many topics of this name and a number, with so many queues each.
    pub fn spread(name: &'static str, topics: u64, per_topic: u64, body: usize) -> Load {
        let load = Load {
            name,
            topics: (0..topics).map(|number| format!("{name}-{number:05}")).collect(),
            topic: String::new(),
            per_topic,
            body: vec![b'x'; body],
            properties: Vec::new(),
            counter: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            sent: 0,
        };
        load.with(PROPERTIES)
    }

    /// The same messages with few properties.
    pub fn slim(self) -> Load {
        self.with(FEW_PROPERTIES)
    }

    fn with(mut self, properties: &[u8]) -> Load {
        self.properties = properties.to_vec();
        self.counter = memchr::memmem::find(properties, NO_COUNT).unwrap_or_default();
        self
    }

    /// Names of the topics.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// Queues of each topic.
    pub fn queues_of_each(&self) -> i32 {
        self.per_topic as i32
    }

    /// Appends a message to a queue picked at random; where it ends in the log.
    pub fn one(&mut self, store: &Store) -> Result<i64, String> {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.to(store, self.random % (self.topics.len() as u64 * self.per_topic))
    }

    /// Appends a message to each queue.
    pub fn one_for_each(&mut self, store: &Store) -> Result<(), String> {
        (0..self.topics.len() as u64 * self.per_topic)
            .try_for_each(|queue| self.to(store, queue).map(drop))?;
        store.dispatch();
        Ok(())
    }

    fn to(&mut self, store: &Store, queue: u64) -> Result<i64, String> {
        let digits = format_args!("{:08x}", self.sent as u32).to_string();
        self.properties[self.counter..self.counter + 8].copy_from_slice(digits.as_bytes());
        self.topic.clear();
        write!(self.topic, "{}-{:05}", self.name, queue / self.per_topic).map_err(|e| e.to_string())?;
        let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
        let record = NewRecord {
            topic: &self.topic,
            queue_id: (queue % self.per_topic) as i32,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 1,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &self.body,
            properties: &self.properties,
        };
        let appended = store.append(&record).map_err(|e| e.to_string())?;
        self.sent += 1;
        if self.sent % BATCH == 0 {
            store.dispatch();
        }
        Ok(appended.end)
    }

    /// Appends so many.
    pub fn many(&mut self, store: &Store, count: u64) -> Result<(), String> {
        (0..count).try_for_each(|_| self.one(store).map(drop))?;
        store.dispatch();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_gets_messages_with_a_key_each() {
        let dir = std::env::temp_dir().join(format!("ferromq-bench-{}", std::process::id()));
        let store = open(&dir, FlushMode::Async).unwrap();
        let mut load = Load::new(8, 10);
        load.many(&store, 500).unwrap();
        let mut slim = Load::new(8, 10).slim();
        slim.many(&store, 500).unwrap();
        let held: i64 = (0..8).map(|id| store.queue_bounds("Topic-00000", id).unwrap().end).sum();
        assert_eq!(held, 1000);
        let key = "C000020246144E0E2F2A692C000001f3";
        assert_eq!(store.query_key("Topic-00000", key, 9, 0, i64::MAX).records.len(), 2);
        store.close().unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }
}
