//! What programs ask of a cluster besides sending and consuming. All of it waits, and is reported.

use ferromq::{MessageQueue, Result};
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;

use crate::error::invalid;
use crate::instance::Instance;
use crate::message::{pack, queues_json};
use crate::options::queues;
use crate::reports::Payload;

fn one(queue: &str) -> Result<MessageQueue> {
    queues(&format!("[{queue}]"))?.pop().ok_or_else(|| invalid("queue", "there is none"))
}

fn number(offset: i64) -> Payload {
    Payload::text(offset.to_string())
}

#[napi]
impl Instance {
    /// Makes a topic with this many queues.
    #[napi]
    pub fn create_topic(&self, id: u32, name: String, queues: i32) -> napi::Result<()> {
        self.run(id, "create topic", move |instance| {
            instance.create_topic(&name, queues).map(|()| Payload::default())
        })
    }

    /// Gives a topic's masters a group's filter function.
    #[napi]
    pub fn set_filter_function(
        &self,
        id: u32,
        topic: String,
        group: String,
        name: String,
        module: BufferSlice<'_>,
    ) -> napi::Result<()> {
        let module = module.to_vec();
        self.run(id, "set filter function", move |instance| {
            instance.set_filter_function(&topic, &group, &name, &module).map(|()| Payload::default())
        })
    }

    /// The queues of a topic, as JSON.
    #[napi]
    pub fn queues(&self, id: u32, topic: String) -> napi::Result<()> {
        self.run(id, "queues", move |instance| instance.queues(&topic).map(|queues| queues_json(&queues)))
    }

    /// The message at a place, packed.
    #[napi]
    pub fn message_by_id(&self, id: u32, offset_id: String) -> napi::Result<()> {
        self.run(id, "look up message", move |instance| {
            instance.message_by_id(&offset_id).map(|message| pack(&[message]))
        })
    }

    /// The message with this unique id, packed.
    #[napi]
    pub fn message_by_unique_key(&self, id: u32, topic: String, key: String) -> napi::Result<()> {
        self.run(id, "look up message", move |instance| {
            instance.message_by_unique_key(&topic, &key).map(|message| pack(&[message]))
        })
    }

    /// The messages with a key, stored between two times, packed.
    #[napi]
    pub fn messages_by_key(
        &self,
        id: u32,
        topic: String,
        key: String,
        max: u32,
        begin: i64,
        end: i64,
    ) -> napi::Result<()> {
        self.run(id, "look up messages", move |instance| {
            instance.messages_by_key(&topic, &key, max as usize, begin, end).map(|messages| pack(&messages))
        })
    }

    /// The first offset that a queue still has.
    #[napi]
    pub fn min_offset(&self, id: u32, queue: String) -> napi::Result<()> {
        self.run(id, "query start of queue", move |instance| instance.min_offset(&one(&queue)?).map(number))
    }

    /// The offset that a queue's next message gets.
    #[napi]
    pub fn max_offset(&self, id: u32, queue: String) -> napi::Result<()> {
        self.run(id, "query end of queue", move |instance| instance.max_offset(&one(&queue)?).map(number))
    }

    /// The offset of the first message stored at a time or later.
    #[napi]
    pub fn search_offset(&self, id: u32, queue: String, ms: i64) -> napi::Result<()> {
        self.run(id, "query offset by time", move |instance| {
            instance.search_offset(&one(&queue)?, ms).map(number)
        })
    }

    /// When the oldest message of a queue was stored; no text if it has none.
    #[napi]
    pub fn earliest_store_time(&self, id: u32, queue: String) -> napi::Result<()> {
        self.run(id, "query age of queue", move |instance| {
            Ok(instance.earliest_store_time(&one(&queue)?)?.map_or_else(Payload::default, number))
        })
    }
}
