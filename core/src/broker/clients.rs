//! Who is connected: producers and consumers by group, kept by heartbeats, gone with their connection.
//!
//! Reference: protocol.md 2.1. Apache's names: ProducerManager, ConsumerManager, ClientManageProcessor.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::net::Connection;
use crate::sync::Mutex;
use crate::wire::body::{
    Connection as ConnectionInfo, ConsumerConnection, ConsumerData, GetConsumerListByGroupResponseBody,
    HeartbeatData, ProducerConnection, ProducerInfo, ProducerTableInfo, SubscriptionData,
};
use crate::wire::{self, Language, Request, Response, ResponseCode};

use super::consistency::{Stance, Stances};
use super::handler::{json, refused, Caller};
use super::{names, Broker};

/// One connected member of a group.
#[derive(Clone)]
struct Member {
    client_id: String,
    connection: Arc<Connection>,
    language: Language,
    version: i32,
    last_beat_ms: i64,
    /// Of a consumer: what it consumes and how.
    stance: Arc<Stance>,
}

impl Member {
    fn name_and_address(&self) -> String {
        format!("{} ({})", self.client_id, self.connection.remote())
    }

    fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            client_id: self.client_id.clone(),
            client_addr: self.connection.remote().to_string(),
            language: self.language.name().to_owned(),
            version: self.version,
        }
    }
}

/// Members by connection: a client reconnecting is a new member until the old connection is seen closed.
type Members = HashMap<u64, Member>;

#[derive(Default)]
struct ConsumerGroup {
    consume_type: String,
    message_model: String,
    consume_from_where: String,
    subscriptions: BTreeMap<String, SubscriptionData>,
    members: Members,
    stances: Stances,
    /// Two members that do not agree, and on what.
    inconsistency: Option<String>,
}

/// Groups and their members. All methods from any thread.
#[derive(Default)]
pub(crate) struct Clients {
    producers: Mutex<HashMap<String, Members>>,
    consumers: Mutex<HashMap<String, ConsumerGroup>>,
    asking: Mutex<Asking>,
}

/// The newest connection of each client that has or had a producer: where replies to its requests go. A connection is one
/// client's, whatever ids its heartbeats name.
#[derive(Default)]
struct Asking {
    by_client: HashMap<String, Arc<Connection>>,
    by_connection: HashMap<u64, String>,
}

impl Asking {
    fn beat(&mut self, client_id: &str, connection: &Arc<Connection>) {
        if self.by_connection.get(&connection.id()).is_none_or(|known| known != client_id) {
            self.forget(connection.id());
            self.by_connection.insert(connection.id(), client_id.to_owned());
        }
        self.by_client.insert(client_id.to_owned(), connection.clone());
    }

    fn forget(&mut self, connection: u64) {
        let Some(client_id) = self.by_connection.remove(&connection) else { return };
        if self.by_client.get(&client_id).is_some_and(|newest| newest.id() == connection) {
            self.by_client.remove(&client_id);
        }
    }
}

/// A member of a group, to be asked something.
pub(crate) struct Peer {
    pub client_id: String,
    pub connection: Arc<Connection>,
    pub language: Language,
    pub version: i32,
}

/// What the broker knows of a group's subscription to a topic.
pub(crate) enum Subscribed {
    /// A heartbeat told it.
    Yes { broadcasting: bool, subscription: SubscriptionData },
    /// No member of the group is connected.
    NoGroup,
    /// The group is there and has not subscribed to the topic.
    NoTopic,
}

impl Clients {
    /// The newest subscription that members of the group sent for a topic.
    pub fn subscription(&self, group: &str, topic: &str) -> Subscribed {
        let consumers = self.consumers.lock();
        let Some(group) = consumers.get(group) else { return Subscribed::NoGroup };
        match group.subscriptions.get(topic) {
            Some(subscription) => Subscribed::Yes {
                broadcasting: group.message_model == "BROADCASTING",
                subscription: subscription.clone(),
            },
            None => Subscribed::NoTopic,
        }
    }

    /// Connections of the producers of a group.
    pub fn producers_of(&self, group: &str) -> Vec<Arc<Connection>> {
        let producers = self.producers.lock();
        let members = producers.get(group).into_iter().flat_map(HashMap::values);
        members.map(|member| member.connection.clone()).collect()
    }

    /// The connection of a client that has a producer, whatever other producers it had.
    pub fn producer(&self, client_id: &str) -> Option<Arc<Connection>> {
        if let Some(known) =
            self.asking.lock().by_client.get(client_id).filter(|connection| connection.is_open())
        {
            return Some(known.clone());
        }
        let producers = self.producers.lock();
        let mut members = producers.values().flat_map(HashMap::values);
        let found = members.find(|member| member.client_id == client_id && member.connection.is_open());
        found.map(|member| member.connection.clone())
    }

    /// Client ids of a group, in order.
    fn consumer_ids(&self, group: &str) -> Vec<String> {
        let consumers = self.consumers.lock();
        let mut ids: Vec<_> = consumers
            .get(group)
            .map(|group| group.members.values().map(|member| member.client_id.clone()).collect())
            .unwrap_or_default();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The members of a group, by the age of their connections.
    pub fn members(&self, group: &str) -> Vec<Peer> {
        let consumers = self.consumers.lock();
        let peer = |member: &Member| Peer {
            client_id: member.client_id.clone(),
            connection: member.connection.clone(),
            language: member.language,
            version: member.version,
        };
        let mut peers: Vec<_> =
            consumers.get(group).map(|group| group.members.values().map(peer).collect()).unwrap_or_default();
        peers.sort_unstable_by_key(|peer| peer.connection.id());
        peers
    }

    /// Groups whose members do not agree on what they consume, in order.
    pub fn inconsistent_groups(&self) -> Vec<String> {
        let consumers = self.consumers.lock();
        let disagree = consumers.iter().filter(|(_, group)| group.inconsistency.is_some());
        let mut names: Vec<_> = disagree.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Groups that are connected and subscribe to a topic.
    pub fn subscribers(&self, topic: &str) -> Vec<String> {
        let consumers = self.consumers.lock();
        let subscribes = |group: &ConsumerGroup| group.subscriptions.contains_key(topic);
        consumers.iter().filter(|(_, group)| subscribes(group)).map(|(name, _)| name.clone()).collect()
    }

    /// Producers and consumers connected now.
    pub fn counts(&self) -> (usize, usize) {
        let producers = self.producers.lock().values().map(HashMap::len).sum();
        let consumers = self.consumers.lock().values().map(|group| group.members.len()).sum();
        (producers, consumers)
    }
}

impl ConsumerGroup {
    /// Takes over what a heartbeat says. Returns whether members should share the queues anew.
    fn beat(&mut self, mut member: Member, data: ConsumerData) -> bool {
        member.stance = self.stances.enter(Stance::of(&data));
        self.consume_type = data.consume_type;
        self.message_model = data.message_model;
        self.consume_from_where = data.consume_from_where;
        let id = member.connection.id();
        warn_of_namesake(&self.members, &data.group_name, &member);
        let stance = member.stance.clone();
        let before = self.members.insert(id, member);
        if let Some(before) = &before {
            self.stances.leave(&before.stance);
        }
        if before.as_ref().is_none_or(|before| before.stance != stance) {
            self.compare(&data.group_name);
        }
        self.subscribe(data.subscription_data_set) || before.is_none()
    }

    /// These members are gone.
    fn left(&mut self, group: &str, members: &[Member]) {
        members.iter().for_each(|member| self.stances.leave(&member.stance));
        self.compare(group);
        self.follow_members();
    }

    /// What the group is told to be is what some member says: of one that left nothing stays.
    fn follow_members(&mut self) {
        let said = |member: &&Member| {
            member.stance.consume_type == self.consume_type
                && member.stance.message_model == self.message_model
        };
        if self.members.values().any(|member| said(&member)) {
            return;
        }
        if let Some(newest) = self.members.values().max_by_key(|member| member.connection.id()) {
            self.consume_type = newest.stance.consume_type.clone();
            self.message_model = newest.stance.message_model.clone();
        }
    }

    /// Looks whether the members agree, and tells when that changed.
    fn compare(&mut self, group: &str) {
        let inconsistency = if self.stances.agree() { None } else { self.disagreement() };
        match (&self.inconsistency, &inconsistency) {
            (None, Some(why)) => {
                tracing::warn!(group, "members of the group do not agree on what they consume: {why}");
            }
            (Some(_), None) => tracing::info!(group, "the members of the group agree again"),
            _ => {}
        }
        self.inconsistency = inconsistency;
    }

    /// What the oldest member and the oldest of those that do not agree with it differ in.
    fn disagreement(&self) -> Option<String> {
        let age = |member: &&Member| member.connection.id();
        let one = self.members.values().min_by_key(age)?;
        let others = self.members.values().filter(|member| !Arc::ptr_eq(&member.stance, &one.stance));
        let two = others.min_by_key(age)?;
        let difference = one.stance.difference(&two.stance)?;
        Some(format!("{} and {}: {difference}", one.name_and_address(), two.name_and_address()))
    }

    fn subscribe(&mut self, heard: Vec<SubscriptionData>) -> bool {
        let before = self.subscriptions.len();
        let topics: Vec<String> = heard.iter().map(|heard| heard.topic.clone()).collect();
        let mut changed = false;
        for heard in heard {
            match self.subscriptions.get_mut(&heard.topic) {
                None => {
                    changed = true;
                    self.subscriptions.insert(heard.topic.clone(), heard);
                }
                Some(known) if heard.sub_version > known.sub_version => *known = heard,
                Some(_) => {}
            }
        }
        self.subscriptions.retain(|topic, _| topics.contains(topic));
        changed || self.subscriptions.len() != before
    }
}

/// HEART_BEAT (34): registers the producers and consumers of a client.
pub(crate) fn heartbeat(broker: &Broker, caller: &Caller<'_>, request: wire::HeartBeat) -> Response {
    let mut data = request.body;
    leave_out_groups(&mut data);
    if let Err(why) = check_size(&data) {
        return refused(ResponseCode::INVALID_PARAMETER, why);
    }
    let member = Member {
        client_id: data.client_id,
        connection: caller.connection.clone(),
        language: caller.language,
        version: caller.version,
        last_beat_ms: broker.clock.now_ms(),
        stance: Arc::default(),
    };
    if !data.producer_data_set.is_empty() {
        broker.clients.asking.lock().beat(&member.client_id, &member.connection);
    }
    for producer in data.producer_data_set {
        let mut producers = broker.clients.producers.lock();
        let members = producers.entry(producer.group_name.clone()).or_default();
        warn_of_namesake(members, &producer.group_name, &member);
        members.insert(member.connection.id(), member.clone());
    }
    for consumer in data.consumer_data_set {
        register_consumer(broker, member.clone(), consumer);
    }
    Response::ok()
}

/// Groups of a client, and subscriptions of all its groups together, at most: a table entry each, for as long as it is
/// connected, and a topic for each group of consumers.
const MOST_GROUPS: usize = 1_000;
const MOST_SUBSCRIPTIONS: usize = 10_000;

/// The groups of a client that are too many are not registered; its other ones are, so that they live on.
fn leave_out_groups(data: &mut HeartbeatData) {
    let groups = data.producer_data_set.len() + data.consumer_data_set.len();
    if groups > MOST_GROUPS {
        let client = &data.client_id;
        tracing::warn!(
            client,
            groups,
            "a heartbeat names too many groups: the first {MOST_GROUPS} are registered"
        );
        data.consumer_data_set.truncate(MOST_GROUPS);
        data.producer_data_set.truncate(MOST_GROUPS - data.consumer_data_set.len());
    }
}

fn check_size(data: &HeartbeatData) -> Result<(), String> {
    let subscriptions: usize = data.consumer_data_set.iter().map(|one| one.subscription_data_set.len()).sum();
    if subscriptions > MOST_SUBSCRIPTIONS {
        return Err(format!(
            "the heartbeat has {subscriptions} subscriptions, allowed are {MOST_SUBSCRIPTIONS}"
        ));
    }
    Ok(())
}

/// Two clients with one id share queues that each takes for its own. A client that connects anew is its own namesake until
/// its old connection is seen closed.
fn warn_of_namesake(members: &Members, group: &str, new: &Member) {
    if members.contains_key(&new.connection.id()) {
        return;
    }
    let namesake =
        members.values().find(|there| there.client_id == new.client_id && there.connection.is_open());
    if let Some(there) = namesake {
        let (client, one, other) = (&new.client_id, there.connection.remote(), new.connection.remote());
        tracing::warn!(
            group,
            client,
            %one,
            %other,
            "two clients have the same id; give each an instanceName of its own"
        );
    }
}

fn register_consumer(broker: &Broker, member: Member, data: ConsumerData) {
    let name = data.group_name.clone();
    // As in Apache, a group that may not be made is skipped silently; its pulls are refused with the reason.
    let Some(group) = broker.groups.find_or_create(broker, &name) else { return };
    let retry_topic = format!("{}{name}", names::RETRY_PREFIX);
    if names::check_topic(&retry_topic).is_ok() {
        broker.topics.retry(broker, &name, group.retry_queue_nums, data.unit_mode);
    }
    broker.filters.register(&name, &data.subscription_data_set, broker.clock.now_ms());
    let changed = broker.clients.consumers.lock().entry(name.clone()).or_default().beat(member, data);
    if changed {
        notify_members(broker, &name);
    }
}

/// Tells every member of a group to share the queues anew (NOTIFY_CONSUMER_IDS_CHANGED, 40), unless the group or the
/// broker is set not to.
fn notify_members(broker: &Broker, group: &str) {
    let wanted = broker.groups.find(group).is_none_or(|group| group.notify_consumer_ids_changed_enable);
    if !wanted || !broker.config().notify_consumer_ids_changed_enable {
        return;
    }
    let members: Vec<_> = {
        let consumers = broker.clients.consumers.lock();
        let Some(group) = consumers.get(group) else { return };
        group.members.values().map(|member| member.connection.clone()).collect()
    };
    let note = wire::NotifyConsumerIdsChanged { consumer_group: group.into() };
    let request = Request::NotifyConsumerIdsChanged(note);
    for connection in members {
        connection.push(&request);
    }
}

/// UNREGISTER_CLIENT (35): an orderly goodbye of a producer or consumer group of a client.
pub(crate) fn unregister(
    broker: &Broker,
    caller: &Caller<'_>,
    request: &wire::UnregisterClient<'_>,
) -> Response {
    let id = caller.connection.id();
    if let Some(group) = request.producer_group.as_deref() {
        let mut producers = broker.clients.producers.lock();
        if let Some(members) = producers.get_mut(group) {
            members.remove(&id);
            if members.is_empty() {
                producers.remove(group);
            }
        }
    }
    if let Some(group) = request.consumer_group.as_deref() {
        remove_consumers(broker, |name, members| match name == group {
            true => members.remove(&id).into_iter().collect(),
            false => Vec::new(),
        });
        if broker.clients.members(group).is_empty() {
            broker.offsets.all_left(group);
        }
    }
    Response::ok()
}

/// A connection is gone, and with it every client on it.
pub(crate) fn connection_closed(broker: &Broker, connection: &Arc<Connection>) {
    let id = connection.id();
    broker.clients.asking.lock().forget(id);
    remove_producers(broker, |members| drop(members.remove(&id)));
    remove_consumers(broker, |_, members| members.remove(&id).into_iter().collect());
}

/// Removes and disconnects clients whose heartbeats stopped. Run every 10 s.
pub(crate) fn expire(broker: &Broker) {
    let oldest = broker.clock.now_ms() - broker.config().channel_expired_timeout;
    // Closed without the locks: their end comes back here, on this thread if there is no other.
    let closed = RefCell::new(Vec::new());
    let silent = |member: &Member| {
        let silent = member.last_beat_ms < oldest;
        if silent {
            let (client, remote) = (&member.client_id, member.connection.remote());
            tracing::warn!(client, %remote, "no heartbeat within channelExpiredTimeout: client removed, connection closed");
            closed.borrow_mut().push(member.connection.clone());
        }
        silent
    };
    remove_producers(broker, |members| members.retain(|_, member| !silent(member)));
    remove_consumers(broker, |_, members| {
        let gone: Vec<u64> = members.iter().filter(|(_, member)| silent(member)).map(|(id, _)| *id).collect();
        gone.iter().filter_map(|id| members.remove(id)).collect()
    });
    closed.into_inner().iter().for_each(|connection| connection.close());
    broker.offsets.forget_moves(broker.clock.now_ms());
}

/// Removes what `remove` takes out of each group.
fn remove_producers(broker: &Broker, remove: impl Fn(&mut Members)) {
    broker.clients.producers.lock().retain(|_, members| {
        remove(members);
        !members.is_empty()
    });
}

/// Removes what `take` takes out of each group, and tells the others.
fn remove_consumers(broker: &Broker, take: impl Fn(&str, &mut Members) -> Vec<Member>) {
    let mut changed = Vec::new();
    broker.clients.consumers.lock().retain(|name, group| {
        let gone = take(name, &mut group.members);
        if !gone.is_empty() {
            changed.push(name.clone());
            group.left(name, &gone);
        }
        if group.members.is_empty() {
            broker.filters.unregister(name, broker.clock.now_ms());
            broker.offsets.nobody_to_tell(name, broker.clock.now_ms());
        }
        !group.members.is_empty()
    });
    for name in changed {
        notify_members(broker, &name);
    }
}

/// GET_CONSUMER_LIST_BY_GROUP (38).
pub(crate) fn consumer_ids(broker: &Broker, request: &wire::GetConsumerListByGroup<'_>) -> Response {
    let ids = broker.clients.consumer_ids(&request.consumer_group);
    if ids.is_empty() {
        let remark = format!("no consumer for this group, {}", request.consumer_group);
        return refused(ResponseCode::SYSTEM_ERROR, remark);
    }
    json(&GetConsumerListByGroupResponseBody { consumer_id_list: ids })
}

/// GET_CONSUMER_CONNECTION_LIST (203).
pub(crate) fn consumer_connections(
    broker: &Broker,
    request: &wire::GetConsumerConnectionList<'_>,
) -> Response {
    let consumers = broker.clients.consumers.lock();
    let Some(group) = consumers.get(&*request.consumer_group) else {
        let remark = format!("the consumer group[{}] not online", request.consumer_group);
        return refused(ResponseCode::CONSUMER_NOT_ONLINE, remark);
    };
    let body = ConsumerConnection {
        connection_set: group.members.values().map(Member::info).collect(),
        consume_type: group.consume_type.clone(),
        message_model: group.message_model.clone(),
        consume_from_where: group.consume_from_where.clone(),
        subscription_table: group.subscriptions.clone(),
    };
    Response { remark: group.inconsistency.clone(), ..json(&body) }
}

/// GET_PRODUCER_CONNECTION_LIST (204).
pub(crate) fn producer_connections(
    broker: &Broker,
    request: &wire::GetProducerConnectionList<'_>,
) -> Response {
    let producers = broker.clients.producers.lock();
    let Some(members) = producers.get(&*request.producer_group) else {
        let remark = format!("the producer group[{}] not exist", request.producer_group);
        return refused(ResponseCode::SYSTEM_ERROR, remark);
    };
    let connection_set = members.values().map(Member::info).collect();
    json(&ProducerConnection { connection_set })
}

/// GET_ALL_PRODUCER_INFO (328).
pub(crate) fn all_producers(broker: &Broker) -> Response {
    let one = |member: &Member| ProducerInfo {
        client_id: member.client_id.clone(),
        // As Java shows addresses; tools print it as it is.
        remote_ip: format!("/{}", member.connection.remote()),
        language: member.language.name().to_owned(),
        version: member.version,
        last_update_timestamp: member.last_beat_ms,
    };
    let producers = broker.clients.producers.lock();
    let data =
        producers.iter().map(|(name, members)| (name.clone(), members.values().map(one).collect())).collect();
    json(&ProducerTableInfo { data })
}
