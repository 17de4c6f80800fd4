//! Random operations on a store and on a model of a few lines, which must agree on every answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append { queue: usize, length: usize, tag: u8, count: usize, known: bool },
    Get { queue: usize, offset: i64, max_count: usize, max_bytes: usize, tag: Option<u8> },
    Walk { queue: usize, offset: i64, count: usize },
    Time { queue: usize, back_ms: i64 },
    Key { queue: usize, tag: u8 },
    Wait(u64),
    Save,
    DeleteTopic(usize),
    Reopen,
    Kill,
}

const QUEUES: [(&str, i32); 4] = [("A", 0), ("A", 1), ("B", 0), ("%RETRY%C", 7)];

fn step() -> impl Strategy<Value = Step> {
    let queue = 0..QUEUES.len();
    prop_oneof![
        20 => (queue.clone(), 0..3000_usize, 0..4_u8, 1..5_usize, any::<bool>()).prop_map(
            |(queue, length, tag, count, known)| Step::Append { queue, length, tag, count, known }
        ),
        20 => (queue.clone(), -2..60_i64, 0..40_usize, 0..300_000_usize, prop::option::of(0..4_u8)).prop_map(
            |(queue, offset, max_count, max_bytes, tag)| Step::Get { queue, offset, max_count, max_bytes, tag }
        ),
        10 => (queue.clone(), -2..60_i64, 0..40_usize)
            .prop_map(|(queue, offset, count)| Step::Walk { queue, offset, count }),
        4 => (queue.clone(), 0..20_000_i64).prop_map(|(queue, back_ms)| Step::Time { queue, back_ms }),
        4 => (queue, 0..4_u8).prop_map(|(queue, tag)| Step::Key { queue, tag }),
        4 => (0..5_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Save),
        1 => (0..QUEUES.len()).prop_map(Step::DeleteTopic),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

#[derive(Clone)]
struct Message {
    body: Vec<u8>,
    tag: u8,
    time: i64,
    size: usize,
}

struct ByTag(Option<u8>);

impl Filter for ByTag {
    /// The time that a look at records may take does not count here: the answer is the same on a machine that is busy.
    fn looks_at_records(&self) -> bool {
        false
    }

    fn tags_match(&self, tags_code: Option<i64>) -> bool {
        self.0.is_none_or(|tag| tags_code == Some(i64::from(java_hash(&format!("t{tag}")))))
    }
}

/// The store's rule in a few lines: what a get of a queue answers.
fn expected_get(messages: &[Message], offset: i64, max: usize, bytes: usize, tag: Option<u8>) -> Answer {
    let end = messages.len() as i64;
    let none = |status, next| (status, next, Vec::new());
    match offset {
        _ if end == 0 => return none(GetStatus::NoMessageInQueue, 0),
        offset if offset < 0 => return none(GetStatus::OffsetTooSmall, 0),
        offset if offset == end => return none(GetStatus::OffsetOverflowOne, end),
        offset if offset > end => return none(GetStatus::OffsetOverflowBadly, end),
        _ => {}
    }
    let (mut found, mut total, mut next) = (Vec::new(), 0, offset);
    for message in &messages[offset as usize..] {
        let full = found.len() >= max.min(32) || total + message.size > bytes.min(262_144);
        if !found.is_empty() && full {
            break;
        }
        if tag.is_none_or(|tag| tag == message.tag) {
            found.push(message.body.clone());
            total += message.size;
        }
        next += 1;
    }
    let status = if found.is_empty() { GetStatus::NoMatchedMessage } else { GetStatus::Found };
    (status, next, found)
}

type Answer = (GetStatus, i64, Vec<Vec<u8>>);

struct World {
    memory: Memory,
    clock: Clock,
    store: Arc<Store>,
    model: BTreeMap<usize, Vec<Message>>,
    /// Topics that were made anew: the log still has records of the old ones.
    reborn: bool,
    /// Queues that were found before.
    known: BTreeMap<usize, KnownQueue>,
    /// Readers that stay where they are.
    walks: BTreeMap<usize, Walk>,
    busy: bool,
}

impl World {
    fn new(memory: Memory) -> World {
        let clock = Clock::new();
        let store = Store::open(options(&memory), clock.clone()).unwrap();
        World {
            memory,
            clock,
            store,
            model: BTreeMap::new(),
            reborn: false,
            known: BTreeMap::new(),
            walks: BTreeMap::new(),
            busy: false,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { queue, length, tag, count, known } => {
                self.append(queue, length, tag, count, known);
            }
            Step::Get { queue, offset, max_count, max_bytes, tag } => {
                self.get(queue, offset, max_count, max_bytes, tag);
            }
            Step::Walk { queue, offset, count } => self.walk(queue, offset, count),
            Step::Time { queue, back_ms } => self.time(queue, back_ms),
            Step::Key { queue, tag } => self.key(queue, tag),
            Step::Wait(ms) => self.clock.advance(Duration::from_millis(ms)),
            Step::Save => self.store.save().unwrap(),
            Step::DeleteTopic(queue) => self.delete(QUEUES[queue].0),
            Step::Reopen => {
                self.known.clear();
                self.walks.clear();
                self.store.close().unwrap();
                self.store = Store::open(options(&self.memory), self.clock.clone()).unwrap();
                assert!(self.store.recovery_report().clean);
            }
            Step::Kill => {
                self.known.clear();
                self.walks.clear();
                let killed = self.memory.killed();
                if self.busy {
                    play_a_busy_machine(&killed);
                }
                self.memory = killed;
                self.store = Store::open(options(&self.memory), self.clock.clone()).unwrap();
            }
        }
    }

    /// Appends what is for a queue that was found before, which is found anew only if its topic was deleted.
    fn append_known(&mut self, queue: usize, new: &[NewRecord<'_>]) -> Appended {
        let (topic, queue_id) = QUEUES[queue];
        let find = || self.store.know(topic, queue_id).unwrap();
        let before = self.known.remove(&queue);
        let gone = before.as_ref().is_some_and(KnownQueue::is_gone);
        let mut known = before.unwrap_or_else(find);
        let origin = Origin { born_host: new[0].born_host, store_host: new[0].store_host };
        let append = |known: &KnownQueue| {
            let mut ready = Ready::new(known.clone(), &origin);
            if let [one] = new {
                return self.store.append_one(&ready, &content(one));
            }
            new.iter().for_each(|record| ready.add(&self.store, &content(record)).unwrap());
            self.store.append_ready(&mut ready)
        };
        if gone {
            assert_eq!(append(&known), Err(AppendError::Gone));
            known = find();
        }
        let (appended, _) = append(&known).unwrap();
        self.known.insert(queue, known);
        appended
    }

    fn append(&mut self, queue: usize, length: usize, tag: u8, count: usize, known: bool) {
        let (topic, queue_id) = QUEUES[queue];
        let first = self.model.get(&queue).map_or(0, Vec::len);
        let properties = format!("KEYS\u{1}{topic}{queue_id}t{tag}\u{2}TAGS\u{1}t{tag}\u{2}");
        let made: Vec<Vec<u8>> = (0..count)
            .map(|n| {
                let mut body = format!("{}:", first + n).into_bytes();
                body.resize(body.len() + length / count, b'.');
                body
            })
            .collect();
        let new: Vec<_> = made.iter().map(|body| new(topic, queue_id, body, properties.as_bytes())).collect();
        let appended = match &new[..] {
            all if known => self.append_known(queue, all),
            [one] => self.store.append(one).unwrap(),
            all => self.store.append_batch(all).unwrap().0,
        };
        assert_eq!(appended.queue_offset, first as i64);
        let time = appended.store_timestamp;
        let messages = self.model.entry(queue).or_default();
        let sizes: Vec<usize> = new.iter().map(NewRecord::encoded_len).collect();
        messages.extend(made.into_iter().zip(sizes).map(|(body, size)| Message { body, tag, time, size }));
        assert_eq!(self.store.queue_bounds(topic, queue_id), Some(0..messages.len() as i64));
    }

    fn get(&self, queue: usize, offset: i64, max_count: usize, max_bytes: usize, tag: Option<u8>) {
        let (topic, queue_id) = QUEUES[queue];
        let got = self.store.get(&Get { topic, queue_id, offset, max_count, max_bytes }, &ByTag(tag));
        let Some(messages) = self.model.get(&queue) else {
            assert!(matches!(got.status, GetStatus::NoMatchedLogicQueue | GetStatus::NoMessageInQueue));
            return;
        };
        let bodies =
            got.records.iter().flat_map(|run| records(run)).map(|record| record.unwrap().body().to_vec());
        let answer = (got.status, got.next_offset, bodies.collect());
        assert_eq!(answer, expected_get(messages, offset, max_count, max_bytes, tag));
        assert_eq!(got.count, answer.2.len());
        assert_eq!(got.bytes, got.records.iter().map(Bytes::len).sum::<usize>());
    }

    /// A walk that is kept goes on where it was; after a jump it is where it was sent.
    fn walk(&mut self, queue: usize, offset: i64, count: usize) {
        let (topic, queue_id) = QUEUES[queue];
        let walk = self.walks.remove(&queue).filter(|walk| !walk.is_gone());
        let mut walk = walk.unwrap_or_else(|| Walk::new(self.store.know(topic, queue_id).unwrap(), offset));
        if offset % 2 == 0 {
            walk.seek(offset);
        }
        let messages = self.model.get(&queue).map_or(&[][..], Vec::as_slice);
        for at in (walk.offset() as usize..).take(count) {
            let found = walk.step(&self.store).unwrap();
            let Some(message) = messages.get(at) else {
                assert!(found.is_none());
                break;
            };
            let (offset, record) = found.unwrap();
            assert_eq!((offset, record.body()), (at as i64, &message.body[..]));
        }
        self.walks.insert(queue, walk);
    }

    fn time(&self, queue: usize, back_ms: i64) {
        let (topic, queue_id) = QUEUES[queue];
        let Some(messages) = self.model.get(&queue) else { return };
        let asked = messages.last().map_or(0, |last| last.time) + 5_000 - back_ms;
        let lower = messages.iter().position(|message| message.time >= asked).unwrap_or(messages.len());
        let upper = messages.iter().rposition(|message| message.time <= asked).unwrap_or(0);
        let found = |boundary| self.store.offset_by_time(topic, queue_id, asked, boundary);
        assert_eq!(found(Boundary::Lower), Some(lower as i64));
        assert_eq!(found(Boundary::Upper), Some(upper as i64));
    }

    fn key(&self, queue: usize, tag: u8) {
        let (topic, queue_id) = QUEUES[queue];
        let Some(messages) = self.model.get(&queue) else { return };
        let found = self.store.query_key(topic, &format!("{topic}{queue_id}t{tag}"), 5, 0, i64::MAX);
        let found: Vec<Vec<u8>> = found
            .records
            .iter()
            .map(|record| records(record).next().unwrap().unwrap().body().to_vec())
            .collect();
        let all: Vec<Vec<u8>> = messages
            .iter()
            .filter(|message| message.tag == tag)
            .map(|message| message.body.clone())
            .collect();
        let newest = &all[all.len().saturating_sub(5)..];
        // Records of a deleted topic stay in the log, and so in the index.
        if self.reborn {
            assert!(newest.iter().all(|body| found.contains(body)));
        } else {
            assert_eq!(found, newest);
        }
    }

    fn delete(&mut self, topic: &str) {
        self.store.delete_topic(topic).unwrap();
        self.model.retain(|queue, _| QUEUES[*queue].0 != topic);
        self.reborn = true;
    }
}

/// Holds up operations at random for a moment, whichever thread they come from, as a machine does that has more to do.
fn play_a_busy_machine(memory: &Memory) {
    let count = AtomicU64::new(0);
    memory.intercept(move |_, _| {
        let mixed = count.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
        match mixed {
            0..=15 => std::thread::sleep(Duration::from_micros(mixed * 200)),
            16..=63 => std::thread::yield_now(),
            _ => {}
        }
        Ok(())
    });
}

fn run(steps: &[Step], busy: bool) {
    let memory = Memory::new();
    if busy {
        play_a_busy_machine(&memory);
    }
    let mut world = World::new(memory);
    world.busy = busy;
    for step in steps {
        world.take(step);
    }
    world.take(&Step::Reopen);
    for queue in 0..QUEUES.len() {
        world.get(queue, 0, 32, usize::MAX, None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn store_and_model_agree(steps in prop::collection::vec(step(), 1..250)) {
        run(&steps, false);
    }

    #[test]
    fn store_and_model_agree_on_a_busy_machine(steps in prop::collection::vec(step(), 1..250)) {
        run(&steps, true);
    }
}

fn content<'a>(record: &NewRecord<'a>) -> Content<'a> {
    let NewRecord { body, properties, flag, sys_flag, .. } = *record;
    Content { body, properties, flag, sys_flag }
}
