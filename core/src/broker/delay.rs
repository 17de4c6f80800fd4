//! The delay levels: messages in SCHEDULE_TOPIC_XXXX are stored again in their real queue when their time has come.
//!
//! Reference: protocol.md 6. Apache's name: ScheduleMessageService.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::message::property;
use crate::record::{NewRecord, RecordView};
use crate::store::FlushMode;
use crate::sync::Mutex;
use crate::wire::body::{DataVersion, DelayOffsetSerializeWrapper};
use crate::wire::json;
use crate::Result;

use super::state::{next_version, StateFile};
use super::{names, Broker};

/// After a failed delivery the level tries again after this long.
const RETRY_MS: i64 = 10_000;
/// Deliveries of one level in a row before the other levels get their turn.
const BURST: usize = 1000;

/// Progress of every level, in `config/delayOffset.json`.
pub(crate) struct Delay {
    /// Delay of each level in ms; level n is at n - 1.
    levels_ms: Vec<i64>,
    /// Next offset of each level's queue.
    offsets: Mutex<BTreeMap<i32, i64>>,
    version: Mutex<DataVersion>,
    changed: AtomicBool,
    /// Something landed in the schedule topic since the thread last looked.
    arrived: AtomicBool,
    file: Mutex<StateFile>,
}

/// What a level has to say after it was looked at.
enum Turn {
    /// Nothing waits in it.
    Empty,
    /// The next message is due then.
    DueAt(i64),
    /// There may be more right now.
    More,
}

impl Delay {
    /// Loads the progress.
    pub fn open(root: &Path, levels_ms: &[i64]) -> Result<Self> {
        let file = StateFile::new(root, "delayOffset.json");
        let saved = file.load::<DelayOffsetSerializeWrapper>()?.unwrap_or_default();
        Ok(Delay {
            levels_ms: levels_ms.to_vec(),
            offsets: Mutex::new(saved.offset_table),
            version: Mutex::new(saved.data_version.unwrap_or_default()),
            changed: AtomicBool::new(false),
            arrived: AtomicBool::new(false),
            file: Mutex::new(file),
        })
    }

    /// Progress behind the ends of its queues, which a power cut leaves there that takes the messages: what is sent next
    /// would be skipped. It becomes the end that `end` tells of a queue.
    pub fn cut(&self, end: impl Fn(i32) -> i64) {
        for (level, offset) in self.offsets.lock().iter_mut() {
            let end = end(level - 1);
            if *offset > end {
                tracing::warn!(
                    level,
                    offset,
                    end,
                    "progress of a delay level is behind the end of its queue: moved there"
                );
                *offset = end;
                self.changed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The highest level; larger ones in messages count as this one.
    pub fn highest_level(&self) -> i32 {
        self.levels_ms.len() as i32
    }

    /// The table in the form of the file.
    pub fn snapshot(&self) -> DelayOffsetSerializeWrapper {
        DelayOffsetSerializeWrapper {
            offset_table: self.offsets.lock().clone(),
            data_version: Some(*self.version.lock()),
        }
    }

    /// Saves the progress if it changed. What was delivered up to it is on the disk before, where that was promised.
    pub fn save(&self, broker: &Broker) {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let snapshot = {
            next_version(&mut self.version.lock(), broker.clock.now_ms());
            self.snapshot()
        };
        if broker.store.flush_mode() == FlushMode::Sync {
            if let Err(error) = broker.store.flush() {
                tracing::error!(%error, "progress of delayed messages not saved: what they became is not on the disk");
                self.changed.store(true, Ordering::Relaxed);
                return;
            }
        }
        if self.file.lock().save(&json::to_old_vec(&snapshot)).is_err() {
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// A message landed in the schedule topic.
    pub fn wake(&self, broker: &Broker) {
        if !self.arrived.swap(true, Ordering::AcqRel) {
            broker.clock.wake();
        }
    }
}

/// Body of the thread that delivers. Sleeps until the next message is due or a new one lands.
pub(crate) fn run(broker: &Broker) {
    while !broker.is_stopping() {
        broker.delay.arrived.store(false, Ordering::Release);
        let next = deliver_due(broker);
        broker.store.dispatch();
        let woken = || broker.is_stopping() || broker.delay.arrived.load(Ordering::Acquire);
        broker.clock.wait_until(next.unwrap_or(i64::MAX), woken);
    }
}

/// Delivers what is due in all levels; the time at which the next message is due, if there is one.
fn deliver_due(broker: &Broker) -> Option<i64> {
    let mut next: Option<i64> = None;
    for level in 1..=broker.delay.highest_level() {
        let due = match turn(broker, level) {
            Turn::Empty => continue,
            Turn::DueAt(due) => due,
            Turn::More => broker.clock.now_ms(),
        };
        next = Some(next.map_or(due, |next| next.min(due)));
    }
    next
}

fn turn(broker: &Broker, level: i32) -> Turn {
    let Some(bounds) = broker.store.queue_bounds(names::SCHEDULE_TOPIC, level - 1) else {
        return Turn::Empty;
    };
    let saved = broker.delay.offsets.lock().get(&level).copied().unwrap_or(0);
    let mut offset = saved.clamp(bounds.start, bounds.end);
    if offset != saved {
        tracing::warn!(
            level,
            saved,
            ?bounds,
            "progress of the delay level lies outside its queue; going on inside"
        );
        // Kept at once: the next message moves the end.
        broker.delay.offsets.lock().insert(level, offset);
    }
    let mut turn = Turn::More;
    for _ in 0..BURST {
        match step(broker, level, offset, bounds.end) {
            Ok(()) => offset += 1,
            Err(stop) => {
                turn = stop;
                break;
            }
        }
        broker.delay.offsets.lock().insert(level, offset);
        broker.delay.changed.store(true, Ordering::Relaxed);
    }
    turn
}

/// Delivers the message at `offset` of a level whose queue ends at `end`, or says why not now.
fn step(broker: &Broker, level: i32, offset: i64, end: i64) -> Result<(), Turn> {
    if offset >= end {
        return Err(Turn::Empty);
    }
    let now = broker.clock.now_ms();
    let entry = match broker.store.try_entry(names::SCHEDULE_TOPIC, level - 1, offset) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            tracing::error!(
                level,
                offset,
                "there is no delayed message at this offset of its queue: skipped"
            );
            return Ok(());
        }
        Err(error) => {
            tracing::error!(level, offset, %error, "the queue of delayed messages cannot be read; next try in 10 s");
            return Err(Turn::DueAt(now + RETRY_MS));
        }
    };
    // The entry's third field is the due time. One further away than the level allows comes at once, as in Apache:
    // the level was made shorter, or the clock was set back.
    let due = entry.tags_code;
    if due > now && due - now <= broker.delay.levels_ms[level as usize - 1] {
        return Err(Turn::DueAt(due));
    }
    let Some(bytes) = broker.store.record(entry.physical_offset) else {
        tracing::error!(
            level,
            offset,
            physical_offset = entry.physical_offset,
            "delayed message is unreadable: skipped"
        );
        return Ok(());
    };
    match RecordView::parse(&bytes) {
        Ok(record) => deliver(broker, &record).map_err(|why| {
            tracing::error!(level, offset, why, "delayed message could not be delivered; next try in 10 s");
            Turn::DueAt(now + RETRY_MS)
        }),
        Err(error) => {
            tracing::error!(level, offset, %error, "delayed message is unreadable: skipped");
            Ok(())
        }
    }
}

fn deliver(broker: &Broker, record: &RecordView<'_>) -> Result<(), String> {
    let Some(topic) = record.property(property::REAL_TOPIC) else {
        tracing::error!(
            physical_offset = record.physical_offset(),
            "delayed message without REAL_TOPIC: skipped"
        );
        return Ok(());
    };
    let queue_id = record.property(property::REAL_QID).and_then(|id| id.parse().ok()).unwrap_or(0);
    let delivered = NewRecord {
        topic,
        queue_id,
        flag: record.flag(),
        sys_flag: record.sys_flag(),
        born_timestamp: record.born_timestamp(),
        born_host: record.born_host(),
        store_host: broker.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: record.prepared_transaction_offset(),
        body: record.body(),
        properties: record.properties(),
    };
    let appended = broker.store.append(&delivered).map_err(|error| error.to_string())?;
    if broker.store.flush_mode() == FlushMode::Sync {
        // Nobody waits; the flush makes the message visible.
        broker.store.when_durable(appended.end, Box::new(|_| {}));
    }
    let bytes = (appended.end - appended.physical_offset) as usize;
    broker.topics.count_put(topic, 1, bytes);
    broker.stats.put(1, bytes);
    Ok(())
}
