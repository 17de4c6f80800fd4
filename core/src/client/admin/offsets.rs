//! Groups moved elsewhere.

use serde::Serialize;

use super::{body, Admin};
use crate::wire::body::{MessageQueue, ResetOffsetBody};
use crate::wire::{InvokeBrokerToResetOffset, Request, ResponseCode, UpdateConsumerOffset};
use crate::{Error, ErrorKind, Result};

/// Where a group is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the first message that each queue still has.
    Begin,
    /// With what is sent from now on.
    End,
    /// With the first message stored at this time, ms since 1970, or later.
    Time(i64),
}

/// A queue, and where the group goes on in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MovedQueue {
    /// The topic.
    pub topic: String,
    /// Name of the broker set.
    pub broker_name: String,
    /// Number of the queue there.
    pub queue_id: i32,
    /// Offset of the next message that the group consumes.
    pub offset: i64,
}

impl Admin {
    /// Has a group go on elsewhere in a topic: back, so that messages come again, or forward, so that they never come. Its
    /// members need not be there; those that are go on there within seconds. What they are working on meanwhile may still
    /// be delivered. Returns where it goes on.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such topic; when a broker does not do it, as for a group that it does not
    /// know.
    #[doc(alias = "resetOffsetByTimestamp")]
    pub fn reset_offsets(&self, group: &str, topic: &str, at: StartAt) -> Result<Vec<MovedQueue>> {
        if let StartAt::Time(ms) = at {
            if ms < 0 {
                let context = format!("{ms} is before 1970; for the end there is StartAt::End");
                return Err(Error::new(ErrorKind::InvalidArgument, "reset offsets", context));
            }
        }
        let route = self.cluster.route(&self.cluster.namespace().wrap(topic))?;
        let mut moved = Vec::new();
        for (broker_name, set) in &route.brokers {
            let Some(address) = set.get(&0) else {
                let context = format!("broker {broker_name} of topic {topic:?} has no master at present");
                return Err(Error::new(ErrorKind::Connection, "reset offsets", context));
            };
            moved.extend(match self.reset_by_broker(address, group, topic, at) {
                Err(error) if self.has_to_be_stored(&error, group) => {
                    let queues = route.subscribe.iter().filter(|queue| queue.broker_name == *broker_name);
                    self.store_offsets(address, group, topic, at, queues)?
                }
                answer => answer?,
            });
        }
        Ok(moved)
    }

    fn reset_by_broker(
        &self,
        address: &str,
        group: &str,
        topic: &str,
        at: StartAt,
    ) -> Result<Vec<MovedQueue>> {
        const OPERATION: &str = "reset offsets";
        let namespace = self.cluster.namespace();
        let request = Request::InvokeBrokerToResetOffset(InvokeBrokerToResetOffset {
            group: namespace.wrap(group),
            topic: namespace.wrap(topic),
            queue_id: -1,
            offset: None,
            timestamp: match at {
                StartAt::Begin => 0,
                StartAt::End => -1,
                StartAt::Time(ms) => ms,
            },
            is_force: true,
        });
        let queues = match body(OPERATION, &self.cluster.call(address, OPERATION, &request)?)? {
            ResetOffsetBody::Table { offset_table } => offset_table
                .0
                .into_iter()
                .map(|(queue, offset)| (queue.broker_name, queue.queue_id, offset))
                .collect(),
            ResetOffsetBody::List { offset_table } => {
                let one = offset_table.into_iter();
                one.map(|queue| (queue.broker_name, queue.queue_id, queue.offset)).collect::<Vec<_>>()
            }
        };
        let own = |(broker_name, queue_id, offset)| MovedQueue {
            topic: topic.into(),
            broker_name,
            queue_id,
            offset,
        };
        Ok(queues.into_iter().map(own).collect())
    }

    /// Whether a broker that does not move a group by itself says so because nobody is there to be moved: 4.9 and 5.3 as
    /// they are set by default.
    fn has_to_be_stored(&self, error: &Error, group: &str) -> bool {
        let nobody_is_there = || self.members(group).is_ok_and(|members| members.members.is_empty());
        match error.code().map(ResponseCode) {
            Some(ResponseCode::CONSUMER_NOT_ONLINE) => true,
            Some(ResponseCode::SYSTEM_ERROR) => nobody_is_there(),
            _ => false,
        }
    }

    /// Stores where the group goes on, as a member of it would.
    fn store_offsets<'a>(
        &self,
        address: &str,
        group: &str,
        topic: &str,
        at: StartAt,
        queues: impl Iterator<Item = &'a MessageQueue>,
    ) -> Result<Vec<MovedQueue>> {
        let namespace = self.cluster.namespace();
        let mut moved = Vec::new();
        for queue in queues {
            let own = MessageQueue { topic: topic.into(), ..queue.clone() };
            let offset = match at {
                StartAt::Begin => self.cluster.min_offset(&own)?,
                StartAt::End => self.cluster.max_offset(&own)?,
                StartAt::Time(ms) => self.cluster.search_offset(&own, ms)?,
            };
            let request = Request::UpdateConsumerOffset(UpdateConsumerOffset {
                consumer_group: namespace.wrap(group),
                topic: namespace.wrap(topic),
                queue_id: queue.queue_id,
                commit_offset: offset,
            });
            self.cluster.call(address, "reset offsets", &request)?;
            let MessageQueue { topic, broker_name, queue_id } = own;
            moved.push(MovedQueue { topic, broker_name, queue_id, offset });
        }
        Ok(moved)
    }
}
