//! The routes of the topics in use, and with them the brokers (protocol reference, section 2.2).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::{succeeded, Cluster};
use super::route::{BrokerSet, Route};
use crate::clock::deadline_in;
use crate::wire::body::TopicRouteData;
use crate::wire::{json, GetRouteinfoByTopic, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// A topic that nobody asked for in this time is forgotten, ms.
const FORGET_AFTER: i64 = 600_000;

/// Routes that turned out to be wrong are asked for again at most this often, ms.
const SUSPECT_EVERY: i64 = 1_000;

/// A topic that is in use.
#[derive(Default)]
pub(super) struct Topic {
    route: Arc<Route>,
    used_ms: i64,
    /// Whether it stays in use until the client is closed.
    kept: bool,
    /// How it is made if it does not exist and may be made.
    like: Option<NewTopic>,
}

/// How a topic is made by the first message for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewTopic {
    /// Topic whose brokers and settings it gets. Apache's `createTopicKey`.
    pub template: String,
    /// Queues that it gets on each broker, unless the template has fewer.
    pub queues: i32,
}

impl Default for NewTopic {
    /// As clients have always asked for.
    fn default() -> NewTopic {
        NewTopic { template: "TBW102".into(), queues: 4 }
    }
}

/// The topics in use.
#[derive(Default)]
pub(super) struct Topics {
    by_name: HashMap<String, Topic>,
    suspected_ms: i64,
}

impl Cluster {
    /// The route of a topic to consume from, asked for if it is not known.
    pub(super) fn route(&self, topic: &str) -> Result<Arc<Route>> {
        self.check_process()?;
        match self.known_route(topic) {
            Some(route) if !route.subscribe.is_empty() => Ok(route),
            _ => self.find_route(topic, None, deadline_in(self.options().mq_client_api_timeout)),
        }
    }

    /// The route of a topic to send to, if it is known. Does not wait.
    pub(super) fn known_publish_route(&self, topic: &str) -> Option<Arc<Route>> {
        self.known_route(topic).filter(|route| !route.publish.is_empty())
    }

    /// Asks for the route of a topic to send to; one that does not exist gets the brokers of its template. The time
    /// limit is `within`, or that of calls if it is shorter.
    pub(super) fn find_publish_route(
        &self,
        topic: &str,
        like: &NewTopic,
        within: Duration,
    ) -> Result<Arc<Route>> {
        self.find_route(topic, Some(like), deadline_in(within))
    }

    fn known_route(&self, topic: &str) -> Option<Arc<Route>> {
        let now = self.now_ms();
        self.topics.lock().by_name.get_mut(topic).map(|topic| {
            topic.used_ms = now;
            topic.route.clone()
        })
    }

    fn find_route(&self, name: &str, like: Option<&NewTopic>, until: Instant) -> Result<Arc<Route>> {
        self.check_process()?;
        let route = Arc::new(self.ask_for_route(name, like, until)?);
        let mut topics = self.topics.lock();
        let topic = topics.by_name.entry(name.into()).or_default();
        topic.route = route.clone();
        topic.used_ms = self.now_ms();
        if let Some(like) = like {
            topic.like = Some(like.clone());
        }
        self.note_brokers(&topics);
        Ok(route)
    }

    /// Forgets the route of a topic: it turned out to be wrong.
    pub(super) fn forget_route(&self, topic: &str) {
        if let Some(topic) = self.topics.lock().by_name.get_mut(topic) {
            topic.route = Arc::default();
        }
    }

    /// A broker could not be reached: perhaps it is elsewhere by now, or gone. Has the routes asked for again soon.
    pub(super) fn suspect_routes(&self) {
        let now = self.now_ms();
        let mut topics = self.topics.lock();
        if (now - topics.suspected_ms).abs() >= SUSPECT_EVERY {
            topics.suspected_ms = now;
            drop(topics);
            self.signal.refresh_routes();
        }
    }

    /// Keeps to the brokers of this topic, whoever uses it: they are told of this client's groups.
    pub(super) fn keep_topic(&self, name: &str) {
        let mut topics = self.topics.lock();
        let topic = topics.by_name.entry(name.into()).or_default();
        topic.kept = true;
        if topic.route.brokers.is_empty() {
            drop(topics);
            self.signal.refresh_routes();
        }
    }

    /// Asks for the routes of all topics in use again.
    pub(super) fn refresh_routes(&self) {
        let now = self.now_ms();
        let in_use: Vec<(String, Option<NewTopic>, bool)> = {
            let mut topics = self.topics.lock();
            topics.by_name.retain(|_, topic| topic.kept || now - topic.used_ms < FORGET_AFTER);
            let all = topics.by_name.iter();
            all.map(|(name, topic)| (name.clone(), topic.like.clone(), topic.used_ms == 0)).collect()
        };
        for (name, like, only_kept) in in_use {
            let until = deadline_in(self.options().mq_client_api_timeout);
            match self.ask_for_route(&name, like.as_ref(), until) {
                Ok(route) => {
                    if let Some(topic) = self.topics.lock().by_name.get_mut(&name) {
                        if topic.route.subscribe != route.subscribe {
                            self.signal.rebalance();
                        }
                        topic.route = Arc::new(route);
                    }
                }
                // A template does not have to exist.
                Err(error) if only_kept => tracing::debug!("no brokers by {name}: {error}"),
                Err(error) => {
                    tracing::warn!("the route of {name} is not refreshed: {error}");
                    if error.is_retriable() {
                        // No name server answers, so none will for the other topics.
                        break;
                    }
                }
            }
        }
        self.note_brokers(&self.topics.lock());
    }

    /// Keeps the brokers of all routes, and has new ones told of this client.
    fn note_brokers(&self, topics: &Topics) {
        let routes = topics.by_name.values().map(|topic| &topic.route);
        let sets = routes.flat_map(|route| route.brokers.iter());
        let found: BTreeMap<String, BrokerSet> =
            sets.map(|(name, set)| (name.clone(), set.clone())).collect();
        let mut brokers = self.brokers.lock();
        if found.iter().any(|(name, set)| brokers.get(name) != Some(set)) {
            self.signal.introduce();
        }
        *brokers = found;
    }

    fn ask_for_route(&self, topic: &str, like: Option<&NewTopic>, until: Instant) -> Result<Route> {
        if let Some(data) = self.ask_route(topic, until)? {
            return Ok(Route::new(topic, &data));
        }
        if let Some(like) = like {
            if let Some(template) = self.ask_route(&like.template, until)? {
                return Ok(Route::of_new_topic(topic, &template, like.queues));
            }
        }
        let context = format!(
            "topic {topic:?} has no route at name server {}: create it, or check that its broker is registered",
            self.name_servers.first()
        );
        Err(Error::new(ErrorKind::NotFound, "find topic", context))
    }

    pub(super) fn ask_route(&self, topic: &str, until: Instant) -> Result<Option<TopicRouteData>> {
        let request = GetRouteinfoByTopic { topic: topic.into(), ..GetRouteinfoByTopic::default() };
        let limit = self.options().mq_client_api_timeout;
        let reply = self.name_servers.ask(self.net(), &request.into(), limit, until)?;
        if reply.code() == ResponseCode::TOPIC_NOT_EXIST {
            return Ok(None);
        }
        let reply = succeeded("find topic", reply)?;
        let data = json::from_slice(&reply.body()).map_err(|error| {
            let context = format!("route of {topic:?} from {}: {error}", self.name_servers.first());
            Error::new(ErrorKind::Corrupt, "find topic", context)
        })?;
        Ok(Some(data))
    }
}
