//! Reads of a queue of this process's own server, in place.

use std::sync::Arc;

use bytes::Bytes;

use super::Instance;
use crate::broker::QueueReader;
use crate::client::{unpack, Cluster};
use crate::message::{self, property, sys_flag};
use crate::record::RecordView;
use crate::{Error, Result};

/// Reads one queue of an instance that [`open`](crate::open) opened, message by message, each where it lies: nothing is
/// copied. Made by [`Instance::reader`].
///
/// It belongs to no group and commits nothing: where it is, is its own affair. It sees every message whose send or append
/// has ended, and none that a consumer would not get, such as one that waits for the disk under SYNC_FLUSH. It does not
/// wait: at the end of the queue it says that there is nothing, and goes on when there is. Messages that are gone, because
/// their time was over, or turn out to be damaged, are passed over: [`MessageView::offset`] shows where.
///
/// One thread uses it at a time. The file of the log that it is in stays on the disk as long as it stays there. What a view
/// shows was checked (its CRC); should another program shorten the file under it, the lost pages read as zeros.
///
/// ```
/// # fn main() -> ferromq::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let data = directory.path();
/// let mq = ferromq::open(data)?; // a directory such as "./data"
/// mq.create_topic("Ticks", 1)?;
/// mq.appender("Ticks", 0)?.append_batch(&["100.25", "100.50"])?;
/// let mut ticks = mq.reader("Ticks", 0, 0)?;
/// while let Some(tick) = ticks.read()? {
///     println!("{}: {}", tick.offset(), String::from_utf8_lossy(tick.body()));
/// }
/// assert_eq!(ticks.offset(), 2);
/// mq.close()
/// # }
/// ```
pub struct Reader {
    queue: QueueReader,
    topic: String,
    /// The body of a message that was stored compressed.
    unpacked: Bytes,
    /// The instance lives as long as something that was made from it.
    _cluster: Arc<Cluster>,
}

/// A message where it lies in the store.
#[derive(Debug, Clone, Copy)]
pub struct MessageView<'a> {
    record: RecordView<'a>,
    offset: i64,
    body: &'a [u8],
}

impl Instance {
    /// For reads of a queue of a topic that is there, from an offset on, of an instance that [`open`](crate::open)
    /// opened. Queues count from 0, and so do offsets.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when there is no such topic,
    /// [`NoPermission`](crate::ErrorKind::NoPermission) when it cannot be read,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when it has no such queue, or the instance is a client of
    /// servers elsewhere.
    pub fn reader(&self, topic: &str, queue_id: i32, offset: i64) -> Result<Reader> {
        let broker = self.own_broker("read")?;
        let queue = QueueReader::new(broker, &self.cluster.name_at_servers(topic), queue_id, offset)?;
        let (topic, unpacked) = (topic.to_owned(), Bytes::new());
        Ok(Reader { queue, topic, unpacked, _cluster: self.cluster.clone() })
    }
}

impl Reader {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The queue.
    pub fn queue_id(&self) -> i32 {
        self.queue.queue_id()
    }

    /// The offset from which on the next message is looked for.
    pub fn offset(&self) -> i64 {
        self.queue.offset()
    }

    /// Goes on from this offset. If it is not there any more, the first one that is comes next; if it is not there yet,
    /// nothing comes until it is.
    pub fn seek(&mut self, offset: i64) {
        self.queue.seek(offset);
    }

    /// The next message; none if there is none for now.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) when the topic was deleted, also if there is a new one of its name by now,
    /// of which a new reader is to be made; [`NoPermission`](crate::ErrorKind::NoPermission),
    /// [`Closed`](crate::ErrorKind::Closed), [`Forked`](crate::ErrorKind::Forked);
    /// [`Io`](crate::ErrorKind::Io) when a file of the queue cannot be read: the next call tries again;
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when a compressed body does not unpack: the next call reads the next message.
    pub fn read(&mut self) -> Result<Option<MessageView<'_>>> {
        let Some((offset, record)) = self.queue.read()? else { return Ok(None) };
        if record.sys_flag() & sys_flag::COMPRESSED == 0 {
            return Ok(Some(MessageView { record, offset, body: record.body() }));
        }
        self.unpacked = unpack(record.body(), record.sys_flag()).map_err(|(kind, what)| {
            let place = format!("{}, queue {}, offset {offset}", record.topic(), record.queue_id());
            Error::new(kind, "read", format!("{place}: {what}"))
        })?;
        Ok(Some(MessageView { record, offset, body: &self.unpacked }))
    }
}

impl<'a> MessageView<'a> {
    /// Its place in the queue.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The body, unpacked if it was stored compressed.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The tag.
    pub fn tag(&self) -> Option<&'a str> {
        self.property(property::TAGS)
    }

    /// The value of one property; of several the last one counts.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        self.record.property(name)
    }

    /// All properties, those of the system too, as they were stored.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        message::properties(self.record.properties())
    }

    /// The number that its producer gave it.
    pub fn flag(&self) -> i32 {
        self.record.flag()
    }

    /// When it was made, ms since 1970 by its producer's clock.
    pub fn born_timestamp(&self) -> i64 {
        self.record.born_timestamp()
    }

    /// When it was stored, ms since 1970.
    pub fn store_timestamp(&self) -> i64 {
        self.record.store_timestamp()
    }

    /// Its place in the log.
    pub fn physical_offset(&self) -> i64 {
        self.record.physical_offset()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({}, queue {}, at {})", self.topic, self.queue_id(), self.offset())
    }
}
