//! Consumer groups: listed, looked at and deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{body, Admin};
use crate::wire::body::{ConsumeStats, ConsumerConnection, SubscriptionGroupWrapper};
use crate::wire::{
    DeleteSubscriptiongroup, DeleteTopicInBroker, DeleteTopicInNamesrv, GetAllSubscriptiongroupConfig,
    GetConsumeStats, GetConsumerConnectionList, Request, ResponseCode,
};
use crate::{Error, ErrorKind, Result};

/// Groups that brokers make for themselves (protocol reference, section 13); so are those that begin with
/// `CID_RMQ_SYS_` or `CID_ONSAPI_`.
const OF_SYSTEM: [&str; 4] =
    ["TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY"];

/// How far a group has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "ConsumeStats")]
pub struct GroupProgress {
    /// The group.
    pub group: String,
    /// Queues that it has consumed from, by topic, broker and number; also of its retry topic, `%RETRY%group`.
    pub queues: Vec<QueueProgress>,
    /// Messages that it has yet to consume, of all queues.
    pub lag: i64,
    /// Messages a second that it consumes at present.
    pub consume_tps: f64,
}

/// How far a group has come in a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueProgress {
    /// The topic.
    pub topic: String,
    /// Name of the broker set.
    pub broker_name: String,
    /// Number of the queue there.
    pub queue_id: i32,
    /// Offset that the next message gets.
    pub broker_offset: i64,
    /// Offset of the next message that the group consumes.
    pub consumer_offset: i64,
    /// The distance between them.
    pub lag: i64,
    /// When the last message that it consumed was stored, ms since 1970; 0 if it has consumed none.
    pub last_timestamp: i64,
}

/// Who consumes in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "ConsumerConnection")]
pub struct Members {
    /// The group.
    pub group: String,
    /// Its members, by client id; none if nobody is connected.
    pub members: Vec<Member>,
    /// What they subscribe to, by topic.
    pub subscriptions: Vec<Subscribed>,
    /// `CLUSTERING` or `BROADCASTING`.
    pub message_model: String,
    /// `CONSUME_PASSIVELY` (push) or `CONSUME_ACTIVELY` (pull).
    pub consume_type: String,
    /// Where a new group begins, in Apache's words.
    pub consume_from_where: String,
}

/// A member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// What brokers know it by.
    pub client_id: String,
    /// Where it is connected from.
    pub address: String,
    /// The language of its library.
    pub language: String,
    /// The library's version, Apache's ordinal.
    pub version: i32,
}

/// What a group subscribes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    /// The topic.
    pub topic: String,
    /// The expression, `*` for all.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
}

impl Admin {
    /// The names of the groups that users made, sorted.
    ///
    /// # Errors
    /// When a broker does not answer.
    #[doc(alias = "getAllSubscriptionGroup")]
    pub fn groups(&self) -> Result<Vec<String>> {
        const OPERATION: &str = "list groups";
        let mut groups = BTreeSet::new();
        for address in self.cluster.masters()? {
            let request = Request::GetAllSubscriptiongroupConfig(GetAllSubscriptiongroupConfig::default());
            let told: SubscriptionGroupWrapper =
                body(OPERATION, &self.cluster.call(&address, OPERATION, &request)?)?;
            let names = told.subscription_group_table.into_keys().filter(|name| !is_of_system(name));
            groups.extend(names.filter_map(|name| self.cluster.own_name(&name)));
        }
        Ok(groups.into_iter().collect())
    }

    /// How far a group has come in the queues that it has consumed from. A group that nobody knows has come nowhere: no
    /// queues.
    ///
    /// # Errors
    /// When a broker does not answer.
    #[doc(alias = "examineConsumeStats")]
    pub fn progress(&self, group: &str) -> Result<GroupProgress> {
        const OPERATION: &str = "look at group";
        let wire_group = self.cluster.namespace().wrap(group);
        let mut progress = GroupProgress { group: group.to_owned(), ..GroupProgress::default() };
        let mut queues = BTreeMap::new();
        for address in self.cluster.masters()? {
            let request = Request::GetConsumeStats(GetConsumeStats {
                consumer_group: wire_group.as_ref().into(),
                ..GetConsumeStats::default()
            });
            let told: ConsumeStats = match self.cluster.call(&address, OPERATION, &request) {
                Err(error) if is_unknown_group(&error) => continue,
                answer => body(OPERATION, &answer?)?,
            };
            progress.consume_tps += told.consume_tps;
            queues.extend(told.offset_table);
        }
        for (queue, offsets) in queues {
            // Brokers tell what clients committed, whatever that is.
            let lag = offsets.broker_offset.saturating_sub(offsets.consumer_offset);
            progress.lag = progress.lag.saturating_add(lag);
            progress.queues.push(QueueProgress {
                topic: self.cluster.namespace().unwrap(&queue.topic).into_owned(),
                broker_name: queue.broker_name,
                queue_id: queue.queue_id,
                broker_offset: offsets.broker_offset,
                consumer_offset: offsets.consumer_offset,
                lag,
                last_timestamp: offsets.last_timestamp,
            });
        }
        Ok(progress)
    }

    /// Who is connected to consume in a group, and what for.
    ///
    /// # Errors
    /// When a broker does not answer.
    #[doc(alias = "examineConsumerConnectionInfo")]
    pub fn members(&self, group: &str) -> Result<Members> {
        const OPERATION: &str = "ask for members";
        let wire_group = self.cluster.namespace().wrap(group);
        let (mut found, mut members) = (Members::default(), BTreeMap::new());
        let mut subscriptions = BTreeMap::new();
        for address in self.cluster.masters()? {
            let request = Request::GetConsumerConnectionList(GetConsumerConnectionList {
                consumer_group: wire_group.as_ref().into(),
            });
            let told: ConsumerConnection = match self.cluster.call(&address, OPERATION, &request) {
                Err(error) if error.code() == Some(ResponseCode::CONSUMER_NOT_ONLINE.0) => continue,
                Err(error) if is_unknown_group(&error) => continue,
                answer => body(OPERATION, &answer?)?,
            };
            for one in told.connection_set {
                let (address, language, version) = (one.client_addr, one.language, one.version);
                let member = Member { client_id: one.client_id.clone(), address, language, version };
                members.entry(one.client_id).or_insert(member);
            }
            for (topic, one) in told.subscription_table {
                let topic = self.cluster.namespace().unwrap(&topic).into_owned();
                let (expression, expression_type) = (one.sub_string, one.expression_type);
                subscriptions.insert(topic.clone(), Subscribed { topic, expression, expression_type });
            }
            found.message_model = told.message_model;
            found.consume_type = told.consume_type;
            found.consume_from_where = told.consume_from_where;
        }
        found.group = group.to_owned();
        found.members = members.into_values().collect();
        found.subscriptions = subscriptions.into_values().collect();
        Ok(found)
    }

    /// Deletes a group with its offsets and its retry topic. Its dead letters stay: they are the topic `%DLQ%group`. A
    /// group whose members are still there is made again by them, without offsets.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such group; when a broker does not do it.
    #[doc(alias = "deleteSubscriptionGroup")]
    pub fn delete_group(&self, group: &str) -> Result<()> {
        const OPERATION: &str = "delete group";
        if !self.groups()?.iter().any(|known| known == group) {
            let context = format!("there is no group {group:?}");
            return Err(Error::new(ErrorKind::NotFound, OPERATION, context));
        }
        let wire_group = self.cluster.namespace().wrap(group);
        let retry = format!("%RETRY%{wire_group}");
        for address in self.cluster.masters()? {
            let request = Request::DeleteSubscriptiongroup(DeleteSubscriptiongroup {
                group_name: wire_group.as_ref().into(),
                clean_offset: true,
                remove_offset: true,
            });
            self.cluster.call(&address, OPERATION, &request)?;
            let request = Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: retry.as_str().into() });
            match self.cluster.call(&address, OPERATION, &request) {
                Err(error) if error.code() != Some(ResponseCode::TOPIC_NOT_EXIST.0) => return Err(error),
                _ => {}
            }
        }
        let request = Request::DeleteTopicInNamesrv(DeleteTopicInNamesrv {
            topic: retry.as_str().into(),
            cluster_name: None,
        });
        for address in self.cluster.name_servers().split(';') {
            self.cluster.call(address, OPERATION, &request)?;
        }
        self.cluster.forget_route(&retry);
        Ok(())
    }
}

/// So brokers answer about a group that they do not have.
fn is_unknown_group(error: &Error) -> bool {
    error.code() == Some(ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST.0)
}

fn is_of_system(group: &str) -> bool {
    OF_SYSTEM.contains(&group) || group.starts_with("CID_RMQ_SYS_") || group.starts_with("CID_ONSAPI_")
}
