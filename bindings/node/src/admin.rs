//! What programs ask of a cluster besides sending and consuming. All of it waits, and is reported.

use std::sync::Arc;

use ferromq::admin::{to_json, StartAt, TopicSettings};
use ferromq::{MessageQueue, Result};
use napi::bindgen_prelude::BufferSlice;
use napi_derive::napi;
use serde::{Deserialize, Serialize};

use crate::error::{guard, invalid};
use crate::instance::Instance;
use crate::message::{pack, queues_json};
use crate::options::queues;
use crate::reports::{Payload, Shared};

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

/// Operators' calls; `lib/admin.cjs` has what programs see of it. All of them report JSON.
#[napi]
pub struct Admin {
    admin: ferromq::Admin,
    reports: Arc<Shared>,
}

/// Settings of a topic, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    queues: Option<i32>,
    read_queues: Option<i32>,
    write_queues: Option<i32>,
    perm: Option<i32>,
    order: Option<bool>,
}

impl Settings {
    fn apply(self) -> TopicSettings {
        let mut settings = TopicSettings::new(self.queues.unwrap_or(4));
        settings.read_queues = self.read_queues.unwrap_or(settings.read_queues);
        settings.write_queues = self.write_queues.unwrap_or(settings.write_queues);
        settings.perm = self.perm.unwrap_or(settings.perm);
        settings.order = self.order.unwrap_or(settings.order);
        settings
    }
}

fn told<T: Serialize>(answer: T) -> Payload {
    Payload::text(to_json(&answer))
}

#[napi]
impl Admin {
    pub(crate) fn of(admin: ferromq::Admin, reports: Arc<Shared>) -> Admin {
        Admin { admin, reports }
    }

    fn run(
        &self,
        id: u32,
        operation: &'static str,
        call: impl FnOnce(&ferromq::Admin) -> Result<Payload> + Send + 'static,
    ) -> napi::Result<()> {
        let admin = self.admin.clone();
        guard(operation, || self.reports.run(id, operation, move || call(&admin)))
    }

    /// The topics, of which `all` are also the system's.
    #[napi]
    pub fn topics(&self, id: u32, all: bool) -> napi::Result<()> {
        self.run(id, "list topics", move |admin| {
            let topics = if all { admin.all_topics() } else { admin.topics() };
            topics.map(told)
        })
    }

    /// Figures of a topic.
    #[napi]
    pub fn topic(&self, id: u32, name: String) -> napi::Result<()> {
        self.run(id, "look at topic", move |admin| admin.topic(&name).map(told))
    }

    /// Makes a topic or changes it; the settings are JSON.
    #[napi]
    pub fn create_topic(&self, id: u32, name: String, settings: String) -> napi::Result<()> {
        self.run(id, "create topic", move |admin| {
            let settings: Settings = serde_json::from_str(&settings)
                .map_err(|error| invalid("create topic", format!("settings: {error}")))?;
            admin.create_topic(&name, &settings.apply()).map(|()| Payload::default())
        })
    }

    /// Deletes a topic with its messages.
    #[napi]
    pub fn delete_topic(&self, id: u32, name: String) -> napi::Result<()> {
        self.run(id, "delete topic", move |admin| admin.delete_topic(&name).map(|()| Payload::default()))
    }

    /// The groups that consume.
    #[napi]
    pub fn groups(&self, id: u32) -> napi::Result<()> {
        self.run(id, "list groups", |admin| admin.groups().map(told))
    }

    /// How far a group has come.
    #[napi]
    pub fn progress(&self, id: u32, group: String) -> napi::Result<()> {
        self.run(id, "look at group", move |admin| admin.progress(&group).map(told))
    }

    /// Who is in a group.
    #[napi]
    pub fn members(&self, id: u32, group: String) -> napi::Result<()> {
        self.run(id, "look at group", move |admin| admin.members(&group).map(told))
    }

    /// Moves a group in a topic: to `begin`, `end` or `time`.
    #[napi]
    pub fn reset_offsets(
        &self,
        id: u32,
        group: String,
        topic: String,
        to: String,
        ms: i64,
    ) -> napi::Result<()> {
        self.run(id, "reset offsets", move |admin| {
            let at = match to.as_str() {
                "begin" => StartAt::Begin,
                "end" => StartAt::End,
                _ => StartAt::Time(ms),
            };
            admin.reset_offsets(&group, &topic, at).map(told)
        })
    }

    /// Deletes what brokers know of a group.
    #[napi]
    pub fn delete_group(&self, id: u32, group: String) -> napi::Result<()> {
        self.run(id, "delete group", move |admin| admin.delete_group(&group).map(|()| Payload::default()))
    }

    /// How the brokers are.
    #[napi]
    pub fn cluster(&self, id: u32) -> napi::Result<()> {
        self.run(id, "look at cluster", |admin| admin.cluster().map(told))
    }
}
