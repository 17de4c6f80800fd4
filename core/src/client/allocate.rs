//! Which member of a group consumes which queues (protocol reference, section 5.3). Every member computes its own share
//! from the same queues and members, so equal inputs must give equal answers everywhere, Apache's clients included.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::config::{AllocationStrategy, ClientOptions, ConsumerOptions};
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// How the members of a group share its queues. All members need the same.
#[derive(Debug, Clone)]
#[doc(alias = "AllocateMessageQueueStrategy")]
pub enum Strategy {
    /// Contiguous blocks, as equal as can be: the first members get one queue more.
    #[doc(alias = "AllocateMessageQueueAveragely")]
    Averagely,
    /// Dealt out in turn.
    #[doc(alias = "AllocateMessageQueueAveragelyByCircle")]
    ByCircle,
    /// These, whoever else has them.
    #[doc(alias = "AllocateMessageQueueByConfig")]
    Config(Vec<MessageQueue>),
    /// Those of brokers named `room@name` with one of these rooms, in blocks; all others are nobody's.
    #[doc(alias = "AllocateMessageQueueByMachineRoom")]
    MachineRoom(BTreeSet<String>),
    /// The queues of each room to the members in it, those of rooms without members to all.
    #[doc(alias = "AllocateMachineRoomNearby")]
    Nearby {
        /// Tells the room of queues and members.
        rooms: Rooms,
        /// How those who share share.
        within: Box<Strategy>,
    },
    /// By a ring of hash values: when a member comes or goes only its own queues move.
    #[doc(alias = "AllocateMessageQueueConsistentHash")]
    ConsistentHash {
        /// Places of each member on the ring; Apache's default is 10.
        virtual_nodes: usize,
    },
    /// As the application says.
    Own(OwnStrategy),
}

/// An allocation by the application.
#[derive(Clone)]
pub struct OwnStrategy(Arc<Allocation>);

/// From group, own client id, all queues and all members, both sorted, to the own share.
type Allocation = dyn Fn(&str, &str, &[MessageQueue], &[&str]) -> Vec<MessageQueue> + Send + Sync;

impl OwnStrategy {
    /// `allocate` gets the group, the own client id, all queues of a topic and all client ids of the group, both
    /// sorted, and returns the queues that are this member's. Runs on a thread of the client and must not wait.
    pub fn new(
        allocate: impl Fn(&str, &str, &[MessageQueue], &[&str]) -> Vec<MessageQueue> + Send + Sync + 'static,
    ) -> OwnStrategy {
        OwnStrategy(Arc::new(allocate))
    }
}

impl fmt::Debug for OwnStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStrategy")
    }
}

/// Tells in which machine room a queue's broker stands, and a member.
#[derive(Clone)]
#[doc(alias = "MachineRoomResolver")]
pub struct Rooms {
    of_queue: Arc<dyn Fn(&MessageQueue) -> String + Send + Sync>,
    of_member: Arc<dyn Fn(&str) -> String + Send + Sync>,
}

impl Rooms {
    /// Rooms as two functions tell them, of a queue and of a client id. A room must not be empty.
    pub fn new(
        of_queue: impl Fn(&MessageQueue) -> String + Send + Sync + 'static,
        of_member: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Rooms {
        Rooms { of_queue: Arc::new(of_queue), of_member: Arc::new(of_member) }
    }

    /// Rooms by name alone: what stands before the first `@` in the broker's name and in the client id. Clients with a
    /// `machineRoom` have such ids.
    pub fn by_name() -> Rooms {
        let before_at = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
        Rooms::new(move |queue| before_at(&queue.broker_name), before_at)
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rooms")
    }
}

impl Strategy {
    /// The strategy that settings name. A client with a `machineRoom` uses [`Strategy::Nearby`] in place of the
    /// default one.
    pub fn from_options(client: &ClientOptions, consumer: &ConsumerOptions) -> Strategy {
        let nearby = || Strategy::Nearby { rooms: Rooms::by_name(), within: Box::new(Strategy::Averagely) };
        match consumer.allocate_message_queue_strategy {
            AllocationStrategy::Averagely if client.machine_room.is_some() => nearby(),
            AllocationStrategy::Averagely => Strategy::Averagely,
            AllocationStrategy::ByCircle => Strategy::ByCircle,
            AllocationStrategy::Config => Strategy::Config(Vec::new()),
            AllocationStrategy::MachineRoom => Strategy::MachineRoom(consumer.consumer_idcs.clone()),
            AllocationStrategy::Nearby => nearby(),
            AllocationStrategy::ConsistentHash => {
                Strategy::ConsistentHash { virtual_nodes: consumer.virtual_node_cnt }
            }
        }
    }

    /// Apache's name of it, which code 400 carries.
    pub fn name(&self) -> String {
        match self {
            Strategy::Averagely => "AVG".into(),
            Strategy::ByCircle => "AVG_BY_CIRCLE".into(),
            Strategy::Config(_) => "CONFIG".into(),
            Strategy::MachineRoom(_) => "MACHINE_ROOM".into(),
            Strategy::Nearby { within, .. } => format!("MACHINE_ROOM_NEARBY-{}", within.name()),
            Strategy::ConsistentHash { .. } => "CONSISTENT_HASH".into(),
            Strategy::Own(_) => "OWN".into(),
        }
    }
}

/// The share of the member `me` of all `queues` of a topic. Queues and members may come in any order; a member that is
/// named twice counts once. Empty if `me` is not among the members.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] if [`Rooms`] do not know the room of a queue or a member.
pub fn allocate(
    strategy: &Strategy,
    group: &str,
    me: &str,
    queues: &[MessageQueue],
    members: &[String],
) -> Result<Vec<MessageQueue>> {
    let mut queues = queues.to_vec();
    queues.sort_by(queue_order);
    let mut members: Vec<&str> = members.iter().map(String::as_str).collect();
    members.sort_by(|one, other| java_order(one, other));
    members.dedup();
    if !members.contains(&me) {
        return Ok(Vec::new());
    }
    share(strategy, group, me, &queues, &members)
}

fn share(
    strategy: &Strategy,
    group: &str,
    me: &str,
    queues: &[MessageQueue],
    members: &[&str],
) -> Result<Vec<MessageQueue>> {
    let index = members.iter().position(|member| *member == me).unwrap_or(members.len());
    Ok(match strategy {
        Strategy::Averagely => averagely(index, members.len(), queues),
        Strategy::ByCircle => queues.iter().skip(index).step_by(members.len().max(1)).cloned().collect(),
        Strategy::Config(list) => list.clone(),
        Strategy::MachineRoom(rooms) => by_machine_room(rooms, index, members.len(), queues),
        Strategy::Nearby { rooms, within } => nearby(rooms, within, group, me, queues, members)?,
        Strategy::ConsistentHash { virtual_nodes } => by_ring(*virtual_nodes, me, queues, members),
        Strategy::Own(OwnStrategy(allocate)) => allocate(group, me, queues, members),
    })
}

fn averagely(index: usize, count: usize, queues: &[MessageQueue]) -> Vec<MessageQueue> {
    let (least, more) = (queues.len() / count, queues.len() % count);
    let start = index * least + index.min(more);
    queues.iter().skip(start).take(least + usize::from(index < more)).cloned().collect()
}

/// Blocks, but what is left over after equal blocks is dealt out from the end.
fn by_machine_room(
    rooms: &BTreeSet<String>,
    index: usize,
    count: usize,
    queues: &[MessageQueue],
) -> Vec<MessageQueue> {
    let in_rooms: Vec<&MessageQueue> = queues
        .iter()
        .filter(|queue| room_prefix(&queue.broker_name).is_some_and(|room| rooms.contains(room)))
        .collect();
    let block = in_rooms.len() / count;
    let left_over = in_rooms.get(block * count + index);
    in_rooms.iter().skip(block * index).take(block).chain(left_over).map(|queue| (*queue).clone()).collect()
}

/// `room` of `room@name`. Trailing `@` do not count, as in the parts that Java splits a text into.
fn room_prefix(broker_name: &str) -> Option<&str> {
    let (room, name) = broker_name.trim_end_matches('@').split_once('@')?;
    (!name.contains('@')).then_some(room)
}

fn nearby(
    rooms: &Rooms,
    within: &Strategy,
    group: &str,
    me: &str,
    queues: &[MessageQueue],
    members: &[&str],
) -> Result<Vec<MessageQueue>> {
    let unknown = |what: String| {
        let context = format!("{what} has no machine room; rooms are told by the resolver or `machineRoom`");
        Error::new(ErrorKind::InvalidArgument, "share queues", context)
    };
    let mut queues_of: BTreeMap<String, Vec<MessageQueue>> = BTreeMap::new();
    for queue in queues {
        let room = (rooms.of_queue)(queue);
        if room.is_empty() {
            return Err(unknown(format!("queue {} of broker {}", queue.queue_id, queue.broker_name)));
        }
        queues_of.entry(room).or_default().push(queue.clone());
    }
    let mut members_of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for member in members {
        let room = (rooms.of_member)(member);
        if room.is_empty() {
            return Err(unknown(format!("client {member}")));
        }
        members_of.entry(room).or_default().push(member);
    }
    let mine = (rooms.of_member)(me);
    let mut shares = Vec::new();
    if let (Some(queues), Some(members)) = (queues_of.remove(&mine), members_of.get(&mine)) {
        shares.extend(share(within, group, me, &queues, members)?);
    }
    for (_, queues) in queues_of.iter().filter(|(room, _)| !members_of.contains_key(*room)) {
        shares.extend(share(within, group, me, queues, members)?);
    }
    Ok(shares)
}

/// Each queue to the member whose place on the ring is the next at or after the queue's.
fn by_ring(virtual_nodes: usize, me: &str, queues: &[MessageQueue], members: &[&str]) -> Vec<MessageQueue> {
    let mut ring: BTreeMap<u32, &str> = BTreeMap::new();
    for member in members {
        // Where two places coincide, the later member in the order has it.
        ring.extend((0..virtual_nodes).map(|number| (place(&format!("{member}-{number}")), *member)));
    }
    let is_mine = |queue: &&MessageQueue| {
        let MessageQueue { topic, broker_name, queue_id } = queue;
        let text = format!("MessageQueue [topic={topic}, brokerName={broker_name}, queueId={queue_id}]");
        let next = ring.range(place(&text)..).next().or_else(|| ring.first_key_value());
        next.is_some_and(|(_, owner)| *owner == me)
    };
    queues.iter().filter(is_mine).cloned().collect()
}

/// The first four bytes of the MD5 sum.
fn place(key: &str) -> u32 {
    let sum = Md5::digest(key.as_bytes());
    u32::from_be_bytes([sum[0], sum[1], sum[2], sum[3]])
}

fn queue_order(one: &MessageQueue, other: &MessageQueue) -> Ordering {
    java_order(&one.topic, &other.topic)
        .then_with(|| java_order(&one.broker_name, &other.broker_name))
        .then_with(|| one.queue_id.cmp(&other.queue_id))
}

/// Java compares texts by UTF-16 units, in which characters beyond 0xFFFF come before some of those below.
fn java_order(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
