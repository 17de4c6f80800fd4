//! What goes into a store and comes out of it, besides the records themselves.

use std::fmt;

use bytes::Bytes;

use crate::record::RecordView;

/// Where an appended record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "AppendMessageResult")]
pub struct Appended {
    /// Offset in the commit log, of the first record of a batch.
    pub physical_offset: i64,
    /// Number in the queue, of the first record of a batch.
    pub queue_offset: i64,
    /// Commit-log offset behind the last byte: what to wait for with `Store::when_durable`.
    pub end: i64,
    /// When it was stored, ms.
    pub store_timestamp: i64,
}

/// Why a record was not stored. Nothing of it is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// The store takes no writes, for the reason given. SERVICE_NOT_AVAILABLE on the wire.
    ReadOnly(String),
    /// Body or record is larger than allowed. MESSAGE_ILLEGAL on the wire.
    TooLarge {
        /// What is too large: body, or record.
        what: &'static str,
        /// Its bytes.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A field has no place in the format; the text names it, its value and the limit. MESSAGE_ILLEGAL on the wire.
    Illegal(String),
    /// The log's lock was not to be had in time: whoever holds it waits for the disk. SYSTEM_BUSY on the wire.
    Busy {
        /// For how long appends have waited in vain, ms.
        waited_ms: i64,
        /// How long one waits (`osPageCacheBusyTimeOutMills`).
        limit_ms: u64,
    },
    /// The store was closed.
    Closed,
    /// The topic of a queue that was found before was deleted since. TOPIC_NOT_EXIST on the wire.
    Gone,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AppendError::ReadOnly(reason) => write!(f, "the store does not take writes: {reason}"),
            AppendError::TooLarge { what, size, limit } => {
                write!(f, "the {what} has {size} bytes, allowed are {limit}")
            }
            AppendError::Illegal(what) => f.write_str(what),
            AppendError::Busy { waited_ms, limit_ms } => {
                write!(
                    f,
                    "the commit log has been locked by one append for {waited_ms} ms, more than \
                     osPageCacheBusyTimeOutMills={limit_ms}: the disk does not keep up"
                )
            }
            AppendError::Closed => f.write_str("the store is closed"),
            AppendError::Gone => f.write_str("the topic was deleted"),
        }
    }
}

impl std::error::Error for AppendError {}

/// How the wait for a synchronous flush ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Durability {
    /// The bytes are on disk.
    Flushed,
    /// Not within `sync_flush_timeout_ms`; stored nevertheless. FLUSH_DISK_TIMEOUT on the wire.
    TimedOut,
    /// The flush failed; the record may be lost, and the store takes no more writes.
    Failed(String),
}

/// A record became readable in its queue.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Queue within the topic.
    pub queue_id: i32,
    /// Number in the queue.
    pub offset: i64,
    /// Number of the next one.
    pub next_offset: i64,
    /// Commit-log offset of the record.
    pub physical_offset: i64,
    /// The tags code of its entry.
    pub tags_code: i64,
    /// Store time of the record, ms.
    pub store_timestamp: i64,
}

/// Told of records that became readable. A function that takes an arrival is one that is told of all.
pub trait Listener: Send + Sync {
    /// Whether somebody may want to know of this topic's records. Asked once for several of them, when they can be
    /// read already.
    fn is_listening(&self, topic: &str) -> bool;

    /// Called for each record.
    fn arrived(&self, arrival: &Arrival<'_>);
}

impl<F: Fn(&Arrival<'_>) + Send + Sync> Listener for F {
    fn is_listening(&self, _topic: &str) -> bool {
        true
    }

    fn arrived(&self, arrival: &Arrival<'_>) {
        self(arrival);
    }
}

/// What to read.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Queue within the topic.
    pub queue_id: i32,
    /// First number wanted.
    pub offset: i64,
    /// At most this many records, within the store's own limits.
    pub max_count: usize,
    /// At most this many bytes, within the store's own limits; the first record is given whatever its size.
    pub max_bytes: usize,
}

/// Chooses records of a get. `()` takes all.
#[doc(alias = "MessageFilter")]
pub trait Filter {
    /// By the tags code of the queue entry; `None` where the entry has none. A false positive is harmless.
    fn tags_match(&self, tags_code: Option<i64>) -> bool;

    /// By the record itself, asked only after the tags matched.
    fn record_matches(&self, _record: &RecordView<'_>) -> bool {
        true
    }

    /// Whether [`Filter::record_matches`] must be asked at all.
    fn looks_at_records(&self) -> bool {
        true
    }
}

impl Filter for () {
    fn tags_match(&self, _: Option<i64>) -> bool {
        true
    }

    fn looks_at_records(&self) -> bool {
        false
    }
}

/// How a get ended (protocol reference, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "GetMessageStatus")]
pub enum GetStatus {
    /// Records are there.
    Found,
    /// Entries were there, none passed the filter.
    NoMatchedMessage,
    /// The entries point to records that are no longer there.
    MessageWasRemoving,
    /// The queue should have an entry there, but has not.
    OffsetFoundNull,
    /// The offset lies behind the end of the queue.
    OffsetOverflowBadly,
    /// The offset is the end of the queue: nothing new yet.
    OffsetOverflowOne,
    /// The offset lies before the beginning of the queue.
    OffsetTooSmall,
    /// There is no such queue.
    NoMatchedLogicQueue,
    /// The queue never held a message.
    NoMessageInQueue,
}

impl GetStatus {
    /// Apache's name, as it stands in the remark of a pull response.
    pub fn name(self) -> &'static str {
        match self {
            GetStatus::Found => "FOUND",
            GetStatus::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            GetStatus::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            GetStatus::OffsetFoundNull => "OFFSET_FOUND_NULL",
            GetStatus::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            GetStatus::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            GetStatus::OffsetTooSmall => "OFFSET_TOO_SMALL",
            GetStatus::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            GetStatus::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }
}

/// What a get found.
#[derive(Debug, Clone)]
#[doc(alias = "GetMessageResult")]
pub struct GetResult {
    /// How it ended.
    pub status: GetStatus,
    /// The offset to ask for next.
    pub next_offset: i64,
    /// First number of the queue.
    pub min_offset: i64,
    /// Number that the next readable record will have.
    pub max_offset: i64,
    /// Runs of whole records, each run adjacent in the log.
    pub records: Vec<Bytes>,
    /// Number of records.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
    /// The reader is further behind than the machine's memory reaches: a slave would serve it as well.
    pub lagging: bool,
}

/// An entry of a consume queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueEntry {
    /// Commit-log offset of the record.
    pub physical_offset: i64,
    /// Bytes of the record.
    pub size: i32,
    /// Hash of the tag, or the due time in the delay topic.
    pub tags_code: i64,
}

impl QueueEntry {
    /// Fills the place of a number whose record is not there.
    pub(crate) const BLANK: QueueEntry = QueueEntry { physical_offset: 0, size: i32::MAX, tags_code: 0 };

    /// Whether a record stands behind this entry.
    pub(crate) fn is_record(&self) -> bool {
        self.physical_offset >= 0 && self.size > 0 && self.size != i32::MAX
    }

    /// Commit-log offset behind the record.
    pub(crate) fn end(&self) -> i64 {
        self.physical_offset + i64::from(self.size)
    }
}

/// Which of several records a search by time means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "BoundaryType")]
pub enum Boundary {
    /// The first record stored at or after the time.
    #[default]
    Lower,
    /// The last record stored at or before the time.
    Upper,
}

/// What a search by key found.
#[derive(Debug, Clone, Default)]
#[doc(alias = "QueryMessageResult")]
pub struct KeyQuery {
    /// Candidates in log order: their keys have the hash of the key asked for. The reader compares.
    pub records: Vec<Bytes>,
    /// Store time of the last indexed record.
    pub last_update_timestamp: i64,
    /// Commit-log offset of the last indexed record.
    pub last_update_offset: i64,
}

/// Whether the store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteState {
    /// It does.
    Writable,
    /// It does not.
    ReadOnly {
        /// Why, naming the file and the operating system's error.
        reason: String,
    },
}

/// A stretch of the commit log and what was wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Commit-log offset of the first damaged byte.
    pub offset: i64,
    /// Damaged bytes.
    pub length: i64,
    /// What was wrong.
    pub reason: String,
}

/// Stretches of lost messages, of damage, and of records without a place that a report lists.
pub const MOST_LOST: usize = 1000;

/// Adjacent numbers of a queue that have no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Topic.
    pub topic: String,
    /// Queue within the topic.
    pub queue_id: i32,
    /// The numbers.
    pub offsets: std::ops::Range<i64>,
}

/// What opening the store found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The store was shut down in order.
    pub clean: bool,
    /// Records that were read and checked.
    pub records_checked: u64,
    /// Where checking began.
    pub checked_from: i64,
    /// End of the log.
    pub end: i64,
    /// Damage with valid records behind it: left as it is, not served. The first [`MOST_LOST`]; a check of the whole log
    /// lists all.
    pub skipped: Vec<Damage>,
    /// Damage at the end: cut off. As many at most.
    pub cut: Vec<Damage>,
    /// Queue entries made from the log.
    pub entries_rebuilt: u64,
    /// Queue entries removed or blanked because the log has no record for them.
    pub entries_removed: u64,
    /// Numbers of queues for which the log has no record any more.
    pub holes: u64,
    /// Which numbers of which queues have no record, though later ones have, or they had an entry; at most
    /// [`MOST_LOST`] stretches. A check of the whole log tells of those that were lost long ago, too.
    pub lost: Vec<Lost>,
    /// Records put into the key index again.
    pub index_rebuilt: u64,
    /// Anything else worth telling: files extended, ignored or deleted.
    pub notes: Vec<String>,
}
