//! Reads by this process itself: a queue record by record, without a group, and without copies.

use std::sync::Arc;

use crate::record::RecordView;
use crate::store::Walk;
use crate::wire::ResponseCode;
use crate::{Error, ErrorKind, Result};

use super::handler::{refuse, Refusal};
use super::home::Home;
use super::{names, permission, put, Broker};

const OPERATION: &str = "read";

/// One queue that this process reads.
pub struct QueueReader {
    broker: Arc<Broker>,
    topic: Arc<str>,
    queue_id: i32,
    walk: Walk,
    /// That of the tables and settings by which it may read.
    epoch: Option<u64>,
    home: Home,
}

impl QueueReader {
    /// For reads of this queue from an offset on.
    ///
    /// # Errors
    /// As [`QueueReader::read`].
    pub fn new(broker: Arc<Broker>, topic: &str, queue_id: i32, offset: i64) -> Result<QueueReader> {
        let epoch = broker.epoch();
        let walk = look(&broker, topic, queue_id, |known| Walk::new(known, offset));
        let walk = walk.map_err(|refusal| refusal.into_error(OPERATION))?;
        let home = Home::here();
        Ok(QueueReader { broker, topic: topic.into(), queue_id, walk, epoch: Some(epoch), home })
    }

    /// The offset from which on the next record is looked for.
    pub fn offset(&self) -> i64 {
        self.walk.offset()
    }

    /// Goes on from this offset.
    pub fn seek(&mut self, offset: i64) {
        self.walk.seek(offset);
    }

    /// The queue.
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// The next record with its offset, as [`Walk::step`].
    ///
    /// # Errors
    /// By kind: `NotFound` (the topic was deleted, even if there is a new one of its name), `NoPermission`,
    /// `InvalidArgument` (no such queue any more), `Closed`, `Forked`, `Io`.
    pub fn read(&mut self) -> Result<Option<(i64, RecordView<'_>)>> {
        self.check()?;
        let topic = &self.topic;
        self.walk.step(&self.broker.store).map_err(|error| Error::io(OPERATION, topic.to_string(), error))
    }

    fn check(&mut self) -> Result<()> {
        self.home.check(OPERATION, "reader")?;
        if self.broker.is_stopping() {
            return Err(Error::new(ErrorKind::Closed, OPERATION, "the instance was closed"));
        }
        let epoch = self.broker.epoch();
        if self.epoch != Some(epoch) {
            self.epoch = None;
            let looked = look(&self.broker, &self.topic, self.queue_id, |_| ());
            looked.map_err(|refusal| refusal.into_error(OPERATION))?;
            self.epoch = Some(epoch);
        }
        if self.walk.is_gone() {
            let context = format!("topic {} was deleted; make a reader of what is there now", self.topic);
            return Err(Error::new(ErrorKind::NotFound, OPERATION, context));
        }
        Ok(())
    }
}

/// The checks of a pull that need nothing but topic and queue.
fn look<R>(
    broker: &Broker,
    name: &str,
    queue_id: i32,
    with: impl FnOnce(crate::store::KnownQueue) -> R,
) -> Result<R, Refusal> {
    let config = broker.config();
    if !permission::readable(config.broker_permission) {
        let remark = format!("the broker[{}] does not serve messages (brokerPermission)", config.broker_ip1);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    names::check_topic(name).map_err(|why| refuse(ResponseCode::INVALID_PARAMETER, why))?;
    let found = broker.topics.with(name, |topic| {
        let known = (0..topic.read_queue_nums).contains(&queue_id).then(|| broker.store.know(name, queue_id));
        (topic.clone(), known)
    });
    let Some((topic, known)) = found else {
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, format!("there is no topic {name}")));
    };
    if !permission::readable(topic.perm) {
        let remark = format!("the topic[{name}] cannot be read: its perm is {}, reading needs 4", topic.perm);
        return Err(refuse(ResponseCode::NO_PERMISSION, remark));
    }
    let known = known.ok_or_else(|| {
        let queues = topic.read_queue_nums;
        let remark = format!("queue {queue_id} is not there: topic {name} has {queues} queues to read");
        refuse(ResponseCode::INVALID_PARAMETER, remark)
    })?;
    known.map(with).map_err(|error| put::refusal(broker, &error))
}
