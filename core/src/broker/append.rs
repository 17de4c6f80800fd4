//! Appends by this process itself: no request, no response, and what is checked for each send is checked once, as long as
//! neither topics nor settings change.

use std::sync::mpsc::{sync_channel, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;

use crate::message::{property, Message};
use crate::store::{AppendError, Appended, Content, Durability, FlushMode, Origin, Ready};
use crate::wire::ResponseCode;
use crate::{Error, ErrorKind, Result};

use super::handler::{refuse, Refusal};
use super::home::Home;
use super::stats::PutTally;
use super::{flow, names, put, send, Broker};

/// With so many records that wait to be passed on to their queues, the one who appends does it.
const MOST_PENDING: usize = 256;
/// Bytes of the log that one append takes at most: while it is copied nobody else appends.
const MOST_ENCODED: usize = 32 << 20;
/// What a flush takes at most beyond its own time limit before nobody is expected to tell how it ended.
const GRACE: Duration = Duration::from_secs(10);

/// One queue that this process appends to.
pub struct QueueAppender {
    broker: Arc<Broker>,
    topic: Arc<str>,
    queue_id: i32,
    checked: Option<Checked>,
    home: Home,
}

/// What holds as long as the broker's tables and settings are those of the epoch.
struct Checked {
    epoch: u64,
    ready: Ready,
    puts: PutTally,
    most_bytes: usize,
}

impl QueueAppender {
    /// For appends to this queue of a topic that is there.
    ///
    /// # Errors
    /// As [`QueueAppender::append`].
    pub fn new(broker: Arc<Broker>, topic: &str, queue_id: i32) -> Result<QueueAppender> {
        let (topic, home) = (topic.into(), Home::here());
        let mut this = QueueAppender { broker, topic, queue_id, checked: None, home };
        this.check()?;
        Ok(this)
    }

    /// The queue.
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// Appends a message, and waits for the disk under SYNC_FLUSH. Returns its number in the queue.
    ///
    /// # Errors
    /// By kind: `NotFound` (no such topic any more), `NoPermission`, `InvalidArgument`, `NotWritable`, `Closed`, `Forked`;
    /// `Remote` with SYSTEM_BUSY when too many wait for the disk or the log is not to be had in time. Nothing is stored
    /// then. Under SYNC_FLUSH `Timeout`: stored, but not known to be on the disk in time; and `NotWritable` also when the
    /// disk refused a flush: what is in the log already may be there after a restart.
    pub fn append(&mut self, content: &Content<'_>) -> Result<i64> {
        let mode = self.admit()?;
        let (broker, checked) = self.parts();
        if content.body.is_empty() {
            return Err(invalid("a message has no body"));
        }
        if content.body.len() > checked.most_bytes {
            return Err(too_large(content.body.len(), checked.most_bytes));
        }
        match broker.store.append_one(&checked.ready, content) {
            Ok((appended, pending)) => self.appended(1, &appended, pending, mode),
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// Appends messages, next to one another, all or none, as [`QueueAppender::append`]. Returns the number of the first.
    ///
    /// # Errors
    /// As those of one; also when there is none, or they are too large together.
    pub fn append_all<'a>(&mut self, contents: impl IntoIterator<Item = Content<'a>>) -> Result<i64> {
        let mode = self.admit()?;
        let (broker, checked) = self.parts();
        let ready = &mut checked.ready;
        ready.clear();
        for content in contents {
            if content.body.is_empty() {
                return Err(invalid("a message has no body"));
            }
            if let Err(error) = ready.add(&broker.store, &content) {
                return Err(self.refused(&error));
            }
            if ready.body_bytes() > checked.most_bytes {
                return Err(too_large(ready.body_bytes(), checked.most_bytes));
            }
            if ready.encoded_bytes() > checked.most_bytes.max(MOST_ENCODED) {
                let (messages, bytes) = (ready.len(), ready.encoded_bytes());
                return Err(invalid(format!(
                    "{messages} messages take {bytes} bytes in the log, allowed are {MOST_ENCODED} at a time; append fewer at a time"
                )));
            }
        }
        if ready.is_empty() {
            return Err(invalid("there is nothing to append"));
        }
        let messages = ready.len();
        match broker.store.append_ready(ready) {
            Ok((appended, pending)) => self.appended(messages, &appended, pending, mode),
            Err(error) => Err(self.refused(&error)),
        }
    }

    /// What comes before anything is looked at.
    fn admit(&mut self) -> Result<FlushMode> {
        // First of all: in a child of a fork every lock may be held for ever.
        self.check()?;
        let mode = self.broker.store.flush_mode();
        if mode == FlushMode::Sync {
            flow::admit_send(&self.broker).map_err(|refusal| refusal.into_error(OPERATION))?;
        }
        Ok(mode)
    }

    /// The broker, and what was checked.
    fn parts(&mut self) -> (&Broker, &mut Checked) {
        (&self.broker, self.checked.as_mut().expect("checked when it was admitted"))
    }

    fn appended(
        &mut self,
        messages: usize,
        appended: &Appended,
        pending: usize,
        mode: FlushMode,
    ) -> Result<i64> {
        let bytes = (appended.end - appended.physical_offset) as usize;
        if let Some(checked) = &mut self.checked {
            checked.puts.add(messages, bytes);
        }
        match mode {
            FlushMode::Async => {
                // Otherwise whoever reads next does it.
                if pending >= MOST_PENDING || self.broker.waiters.len() > 0 {
                    self.broker.store.dispatch();
                }
            }
            FlushMode::Sync => self.wait_for_disk(appended)?,
        }
        Ok(appended.queue_offset)
    }

    fn wait_for_disk(&self, appended: &Appended) -> Result<()> {
        let store = &self.broker.store;
        let (tell, told) = sync_channel(1);
        store.when_durable(appended.end, Box::new(move |durability| drop(tell.send(durability))));
        let limit = Duration::from_millis(store.options().sync_flush_timeout_ms) + GRACE;
        let unknown = |why: &str| {
            let context = format!(
                "the message is stored in {}, queue {}, at {}, but {why}",
                self.topic, self.queue_id, appended.queue_offset
            );
            Err(Error::new(ErrorKind::Timeout, OPERATION, context))
        };
        match told.recv_timeout(limit) {
            Ok(Durability::Flushed) => Ok(()),
            Ok(Durability::Failed(why)) => Err(Error::new(ErrorKind::NotWritable, OPERATION, why)),
            Ok(Durability::TimedOut) | Err(RecvTimeoutError::Timeout) => {
                unknown("it was not flushed to the disk within syncFlushTimeout")
            }
            Err(RecvTimeoutError::Disconnected) => unknown("the store was closed before it was flushed"),
        }
    }

    /// Looks at everything again that a change of topics or settings may have changed.
    fn check(&mut self) -> Result<()> {
        self.home.check(OPERATION, "appender")?;
        // Before anything is looked at: what changes from here on is looked at next time.
        let epoch = self.broker.epoch();
        if self.checked.as_ref().is_some_and(|checked| checked.epoch == epoch) {
            return Ok(());
        }
        self.checked = None;
        let checked = look(&self.broker, &self.topic, self.queue_id, epoch);
        self.checked = Some(checked.map_err(|refusal| refusal.into_error(OPERATION))?);
        Ok(())
    }

    fn refused(&mut self, error: &AppendError) -> Error {
        match error {
            AppendError::Gone => {
                // There may be a new topic of this name by the next append.
                self.checked = None;
                put::refusal(&self.broker, error).into_error(OPERATION)
            }
            AppendError::Closed => Error::new(ErrorKind::Closed, OPERATION, "the instance was closed"),
            error => put::refusal(&self.broker, error).into_error(OPERATION),
        }
    }
}

const OPERATION: &str = "append";

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, OPERATION, what)
}

fn too_large(bytes: usize, most: usize) -> Error {
    invalid(format!(
        "{bytes} bytes or more are to be appended, allowed are {most} at a time (maxMessageSize)"
    ))
}

/// The checks of a send that need nothing but topic and queue.
fn look(broker: &Arc<Broker>, name: &str, queue_id: i32, epoch: u64) -> Result<Checked, Refusal> {
    send::check_broker(broker)?;
    let illegal = |remark: String| Err(refuse(ResponseCode::INVALID_PARAMETER, remark));
    names::check_topic(name).map_err(|why| refuse(ResponseCode::INVALID_PARAMETER, why))?;
    if names::is_forbidden_to_send(name) || names::is_retry(name) || names::is_dead_letter(name) {
        return illegal(format!("topic {name} is filled by brokers only; append to another"));
    }
    let found = broker.topics.with(name, |topic| {
        // With the topic in the table its queues are not being deleted, so these are the right ones.
        let queue = (0..topic.write_queue_nums.max(topic.read_queue_nums))
            .contains(&queue_id)
            .then(|| broker.store.know(name, queue_id));
        (topic.clone(), queue)
    });
    let Some((topic, queue)) = found else {
        let remark = format!("there is no topic {name}; make it with create_topic first");
        return Err(refuse(ResponseCode::TOPIC_NOT_EXIST, remark));
    };
    send::check_writable(&topic)?;
    let Some(queue) = queue else {
        let (read, write) = (topic.read_queue_nums, topic.write_queue_nums);
        return illegal(format!(
            "queue {queue_id} is not there: topic {name} has {read} read and {write} write queues"
        ));
    };
    let queue = queue.map_err(|error| put::refusal(broker, &error))?;
    if !topic.is_saved() {
        // After a crash nobody would know the topic; this may wait for the disk.
        broker.save_tables().map_err(|why| refuse(ResponseCode::SYSTEM_ERROR, why))?;
    }
    let origin = Origin { born_host: broker.store_host(), store_host: broker.store_host() };
    let most_bytes = broker.config().max_message_size;
    let puts = PutTally::new(broker.clone(), topic.puts.clone());
    Ok(Checked { epoch, ready: Ready::new(queue, &origin), puts, most_bytes })
}

/// What of a message is stored, in its order; its properties go to `encoded`.
///
/// # Errors
/// When it is one that only a producer can send: with a delay, or half of a transaction.
pub fn content<'a>(message: &'a Message, topic: &str, encoded: &'a mut Vec<u8>) -> Result<Content<'a>> {
    if message.topic != topic {
        let other = &message.topic;
        return Err(invalid(format!("the message is for topic {other:?}, the appender for {topic:?}")));
    }
    for name in ONLY_SENT {
        if let Some(value) = message.properties.get(name) {
            return Err(invalid(format!(
                "a message with {name}={value} takes another way through the broker; send it with a producer"
            )));
        }
    }
    *encoded = message.properties.encode();
    put::check_properties(encoded).map_err(|refusal| refusal.into_error(OPERATION))?;
    Ok(Content { body: &message.body, properties: encoded, flag: message.flag, sys_flag: 0 })
}

/// Properties by which the broker does something else with a message than store it where it is sent to.
const ONLY_SENT: [&str; 9] = [
    property::DELAY,
    property::TRAN_MSG,
    property::TIMER_DELIVER_MS,
    property::TIMER_DELAY_MS,
    property::TIMER_DELAY_SEC,
    property::MSG_TYPE,
    property::INNER_NUM,
    property::INNER_BASE,
    property::INNER_MULTI_DISPATCH,
];
