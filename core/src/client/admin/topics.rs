//! Topics: made, listed, looked at and deleted.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{body, Admin};
use crate::client::cluster::{succeeded, Cluster};
use crate::client::topics::NewTopic;
use crate::clock::deadline_in;
use crate::wire::body::{TopicList, TopicRouteData, TopicStatsTable};
use crate::wire::{
    DeleteTopicInBroker, DeleteTopicInNamesrv, GetTopicStatsInfo, Request, UpdateAndCreateTopic,
};
use crate::{Error, ErrorKind, Result};

/// Reading and writing.
const READ_WRITE: i32 = 6;

/// How a topic is made on each broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "TopicConfig")]
pub struct TopicSettings {
    /// Queues that can be consumed from, 1 to 65536.
    pub read_queues: i32,
    /// Queues that can be sent to, 1 to 65536. Before fewer are set for both, set fewer here until the others are empty.
    pub write_queues: i32,
    /// What clients may do: 4 read, 2 write, 6 both.
    pub perm: i32,
    /// Whether it is an ordered topic: brokers and consoles show that, nothing else follows.
    pub order: bool,
}

impl TopicSettings {
    /// A topic with this many queues, to be read and written.
    pub fn new(queues: i32) -> TopicSettings {
        TopicSettings { read_queues: queues, write_queues: queues, perm: READ_WRITE, order: false }
    }
}

/// A topic with its settings, and how much is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicFigures {
    /// The topic.
    pub topic: String,
    /// Its settings on each broker set that has it, by name.
    pub brokers: Vec<TopicOnBroker>,
    /// Its queues, by broker and number.
    pub queues: Vec<QueueFigures>,
    /// Messages in all queues.
    pub messages: i64,
}

/// The settings of a topic on a broker set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicOnBroker {
    /// Name of the broker set.
    pub broker_name: String,
    /// Queues that can be consumed from.
    pub read_queues: i32,
    /// Queues that can be sent to.
    pub write_queues: i32,
    /// 4 read, 2 write, 6 both.
    pub perm: i32,
}

/// What a queue holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueFigures {
    /// Name of the broker set.
    pub broker_name: String,
    /// Number of the queue there.
    pub queue_id: i32,
    /// Offset of the first message that it still has.
    pub min_offset: i64,
    /// Offset that the next message gets.
    pub max_offset: i64,
    /// When the last message was stored, ms since 1970; 0 if there is none.
    pub last_timestamp: i64,
}

impl Admin {
    /// The names of the topics that users made, sorted.
    ///
    /// # Errors
    /// When no name server answers.
    #[doc(alias = "fetchAllTopicList")]
    pub fn topics(&self) -> Result<Vec<String>> {
        let system = self.system_topics()?;
        let mut topics = self.all_topics()?;
        topics.retain(|topic| !topic.starts_with('%') && !system.contains(topic.as_str()));
        Ok(topics)
    }

    /// The names of all topics, sorted: also those of the system, of retries (`%RETRY%group`) and of dead letters
    /// (`%DLQ%group`).
    ///
    /// # Errors
    /// When no name server answers.
    pub fn all_topics(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "list topics";
        let list: TopicList =
            body(OPERATION, &self.ask_name_server(OPERATION, &Request::GetAllTopicListFromNameserver)?)?;
        let own = |topic: String| self.cluster.own_name(&topic);
        let topics: BTreeSet<String> = list.topic_list.into_iter().filter_map(own).collect();
        Ok(topics.into_iter().collect())
    }

    /// The names that are the system's: topics of brokers, and those called like a broker or a cluster.
    fn system_topics(&self) -> Result<BTreeSet<String>> {
        const OPERATION: &str = "list topics of the system";
        let reply = self.ask_name_server(OPERATION, &Request::GetSystemTopicListFromNs)?;
        let list: TopicList = body(OPERATION, &reply)?;
        let mut names: BTreeSet<String> = list.topic_list.into_iter().collect();
        if let Some(broker) = list.broker_addr.filter(|address| !address.is_empty()) {
            let reply = self.cluster.call(&broker, OPERATION, &Request::GetSystemTopicListFromBroker)?;
            names.extend(body::<TopicList>(OPERATION, &reply)?.topic_list);
        }
        for (cluster, brokers) in self.cluster.cluster_info()?.cluster_addr_table {
            names.extend(brokers.into_iter().chain([cluster]));
        }
        Ok(names)
    }

    /// The settings of a topic and what is in its queues.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such topic; when one of its brokers does not answer.
    #[doc(alias = "examineTopicStats")]
    #[doc(alias = "examineTopicConfig")]
    pub fn topic(&self, name: &str) -> Result<TopicFigures> {
        const OPERATION: &str = "look at topic";
        let wire_name = self.cluster.namespace().wrap(name);
        let route = self.route_of(name)?;
        let mut figures = TopicFigures { topic: name.to_owned(), ..TopicFigures::default() };
        for queues in route.queue_datas {
            figures.brokers.push(TopicOnBroker {
                broker_name: queues.broker_name,
                read_queues: queues.read_queue_nums,
                write_queues: queues.write_queue_nums,
                perm: queues.perm,
            });
        }
        for broker in &route.broker_datas {
            let Some(address) = broker.broker_addrs.values().next() else { continue };
            let request = Request::GetTopicStatsInfo(GetTopicStatsInfo { topic: wire_name.as_ref().into() });
            let stats: TopicStatsTable = body(OPERATION, &self.cluster.call(address, OPERATION, &request)?)?;
            figures.queues.extend(stats.offset_table.into_iter().map(|(queue, bounds)| QueueFigures {
                broker_name: queue.broker_name,
                queue_id: queue.queue_id,
                min_offset: bounds.min_offset,
                max_offset: bounds.max_offset,
                last_timestamp: bounds.last_update_timestamp,
            }));
        }
        figures.brokers.sort_by(|one, other| one.broker_name.cmp(&other.broker_name));
        figures.queues.sort_by(|one, other| {
            (&one.broker_name, one.queue_id).cmp(&(&other.broker_name, other.queue_id))
        });
        let in_queue = |queue: &QueueFigures| queue.max_offset.saturating_sub(queue.min_offset);
        figures.messages = figures.queues.iter().map(in_queue).fold(0, i64::saturating_add);
        Ok(figures)
    }

    /// Makes a topic on every master, or changes the settings of one that is there.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for numbers that no topic can have; when no broker makes it, with what the last
    /// one said.
    #[doc(alias = "createAndUpdateTopicConfig")]
    pub fn create_topic(&self, name: &str, settings: &TopicSettings) -> Result<()> {
        self.cluster.create_topic_with(name, settings)
    }

    /// Deletes a topic with all its messages, on its brokers and name servers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such topic; when a broker or a name server does not do it.
    #[doc(alias = "deleteTopicInBroker")]
    #[doc(alias = "deleteTopicInNameServer")]
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "delete topic";
        let wire_name = self.cluster.namespace().wrap(name);
        for broker in self.route_of(name)?.broker_datas {
            // Slaves hear of it from their master.
            let Some(address) = broker.broker_addrs.get(&0) else { continue };
            let request =
                Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: wire_name.as_ref().into() });
            self.cluster.call(address, OPERATION, &request)?;
        }
        let request = Request::DeleteTopicInNamesrv(DeleteTopicInNamesrv {
            topic: wire_name.as_ref().into(),
            cluster_name: None,
        });
        for address in self.cluster.name_servers().split(';') {
            self.cluster.call(address, OPERATION, &request)?;
        }
        self.cluster.forget_route(&wire_name);
        Ok(())
    }

    fn route_of(&self, topic: &str) -> Result<TopicRouteData> {
        let until = deadline_in(self.cluster.options().mq_client_api_timeout);
        self.cluster.check_process()?;
        let route = self.cluster.ask_route(&self.cluster.namespace().wrap(topic), until)?;
        route.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find topic", format!("there is no topic {topic:?}"))
        })
    }

    fn ask_name_server(&self, operation: &'static str, request: &Request<'_>) -> Result<crate::net::Reply> {
        self.cluster.check_process()?;
        let limit = self.cluster.options().mq_client_api_timeout;
        let reply = self.cluster.name_servers.ask(self.cluster.net(), request, limit, deadline_in(limit))?;
        succeeded(operation, reply)
    }
}

impl Cluster {
    /// Makes a topic with this many queues on every master that takes new topics, or changes the number of one that is
    /// there.
    pub(crate) fn create_topic(&self, topic: &str, queues: i32) -> Result<()> {
        self.create_topic_with(topic, &TopicSettings::new(queues))
    }

    fn create_topic_with(&self, topic: &str, settings: &TopicSettings) -> Result<()> {
        const OPERATION: &str = "create topic";
        self.check_process()?;
        let queues = settings.read_queues.min(settings.write_queues);
        if queues <= 0 {
            let context = format!("topic {topic:?} with {queues} queues; it needs at least one");
            return Err(Error::new(ErrorKind::InvalidArgument, OPERATION, context));
        }
        let wire_topic = self.namespace().wrap(topic);
        let request = Request::UpdateAndCreateTopic(UpdateAndCreateTopic {
            topic: wire_topic.as_ref().into(),
            default_topic: Some(NewTopic::default().template.into()),
            read_queue_nums: settings.read_queues,
            write_queue_nums: settings.write_queues,
            perm: settings.perm,
            topic_filter_type: Some("SINGLE_TAG".into()),
            topic_sys_flag: Some(0),
            order: settings.order,
            ..UpdateAndCreateTopic::default()
        });
        let masters = self.masters_for_new_topics()?;
        let mut made = Err(Error::new(ErrorKind::NotFound, OPERATION, "there is no master at present"));
        for address in &masters {
            match self.call(address, OPERATION, &request) {
                Ok(_) => made = Ok(()),
                // One that has it is enough to use it; the others are told of.
                Err(error) if made.is_ok() => {
                    tracing::warn!("topic {topic} is not made at {address}: {error}")
                }
                Err(error) => made = Err(error),
            }
        }
        self.forget_route(&wire_topic);
        made
    }

    /// Masters that new topics are made on: those with the default topic, or where none makes topics by itself, all.
    fn masters_for_new_topics(&self) -> Result<Vec<String>> {
        let template = NewTopic::default().template;
        // A broker that joined a moment ago is to have the topic too.
        self.forget_route(&template);
        match self.route(&template) {
            Ok(route) => Ok(route.brokers.values().filter_map(|set| set.get(&0)).cloned().collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => self.masters(),
            Err(error) => Err(error),
        }
    }

    /// A topic's or group's name as the user calls it; `None` if it is another namespace's.
    pub(super) fn own_name(&self, name: &str) -> Option<String> {
        match self.namespace().name() {
            None => Some(name.to_owned()),
            Some(_) => {
                let own = self.namespace().unwrap(name);
                (own != name).then(|| own.into_owned())
            }
        }
    }
}
