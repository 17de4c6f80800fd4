//! Who is in a group, and what is odd about it.

use std::collections::BTreeMap;

use super::super::cluster::succeeded;
use super::super::route::Route;
use super::Shared;
use crate::wire::body::{ConsumerConnection, GetConsumerListByGroupResponseBody};
use crate::wire::{json, GetConsumerConnectionList, GetConsumerListByGroup, Request, ResponseCode};
use crate::{Error, ErrorKind, Result};

/// What was warned of last, so that it is said once.
#[derive(Default)]
pub(super) struct Oddities {
    /// Members and queues of topics with more members than queues.
    idle: BTreeMap<String, (usize, usize)>,
    /// Topics that members subscribe to differently, with what the others want.
    differing: BTreeMap<String, String>,
    /// The members when their subscriptions were compared last.
    members: Vec<String>,
}

/// The client ids of a group by the broker that told them, in one round over all topics.
pub(super) type Asked = BTreeMap<String, Vec<String>>;

impl Shared {
    /// The client ids of a group.
    pub(super) fn members(&self, group: &str, route: &Route, asked: &mut Asked) -> Result<Vec<String>> {
        let address = route.brokers.values().find_map(|set| set.get(&0).or_else(|| set.values().next()));
        let address = address.ok_or_else(|| {
            let context = format!("{group}: no broker is there at present");
            Error::new(ErrorKind::Connection, "ask for group", context)
        })?;
        if let Some(members) = asked.get(address) {
            return Ok(members.clone());
        }
        let request =
            Request::GetConsumerListByGroup(GetConsumerListByGroup { consumer_group: group.into() });
        let reply =
            self.cluster.net().call(address, &request, self.cluster.options().mq_client_api_timeout)?;
        if reply.code() == ResponseCode::SYSTEM_ERROR {
            // A group without members.
            return Ok(Vec::new());
        }
        let reply = succeeded("ask for group", reply)?;
        let body: GetConsumerListByGroupResponseBody = json::from_slice(&reply.body()).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "ask for group", format!("{group} at {address}: {error}"))
        })?;
        let members = body.consumer_id_list;
        self.compare_subscriptions(group, address, &members);
        asked.insert(address.clone(), members.clone());
        Ok(members)
    }

    /// Says so when members of the group have nothing to do.
    pub(super) fn warn_of_idle_members(&self, topic: &str, members: usize, queues: usize) {
        let is_retry = Some(topic) == self.retry_topic.as_deref();
        let mut oddities = self.oddities.lock();
        if members <= queues || is_retry {
            oddities.idle.remove(topic);
            return;
        }
        if oddities.idle.insert(topic.to_owned(), (members, queues)) != Some((members, queues)) {
            tracing::warn!(
                "group {} has {members} members for {queues} queues of {topic}: {} of them get nothing; give the \
                 topic more queues",
                self.group().unwrap_or_default(),
                members - queues
            );
        }
    }

    /// Says so when the group's other members subscribe to something else; asked when its members change.
    fn compare_subscriptions(&self, group: &str, address: &str, members: &[String]) {
        {
            let mut oddities = self.oddities.lock();
            if oddities.members == members {
                return;
            }
            oddities.members = members.to_vec();
        }
        if members.len() < 2 {
            return;
        }
        let request =
            Request::GetConsumerConnectionList(GetConsumerConnectionList { consumer_group: group.into() });
        let theirs = self.cluster.call(address, "ask for group", &request).ok();
        let theirs = theirs.and_then(|reply| json::from_slice::<ConsumerConnection>(&reply.body()).ok());
        let Some(theirs) = theirs else { return };
        let theirs: BTreeMap<String, String> =
            theirs.subscription_table.into_iter().map(|(topic, data)| (topic, data.sub_string)).collect();
        let mine: BTreeMap<String, String> = {
            let wanted = self.wanted.lock();
            let expression = |(topic, (one, _)): (&String, &(std::sync::Arc<super::Subscription>, i64))| {
                (topic.clone(), one.expression().to_owned())
            };
            wanted.topics.iter().map(expression).collect()
        };
        let topics = mine.keys().chain(theirs.keys().filter(|topic| !mine.contains_key(*topic)));
        let text = |table: &BTreeMap<String, String>, topic: &String| {
            table.get(topic).map_or_else(|| "nothing".to_owned(), |expression| format!("{expression:?}"))
        };
        let mut oddities = self.oddities.lock();
        let before = std::mem::take(&mut oddities.differing);
        for topic in topics.filter(|topic| mine.get(*topic) != theirs.get(*topic)) {
            let their = text(&theirs, topic);
            if before.get(topic) != Some(&their) {
                tracing::warn!(
                    "members of group {group} subscribe to different things and will miss messages: of {topic} \
                     {} wants {}, and the broker was told {their} by another of {members:?}",
                    self.cluster.client_id(),
                    text(&mine, topic),
                );
            }
            oddities.differing.insert(topic.clone(), their);
        }
    }
}
