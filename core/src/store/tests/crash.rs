//! Power cuts and kills at random moments: what was acknowledged is there, nothing is torn, and the queues agree with
//! the log. Each survivor goes on and crashes again.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::channel;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::*;
use crate::store::checkpoint::Checkpoint;
use crate::store::index_file::{IndexFile, Shape};

type Place = (String, i32, i64);

/// A store under random work, and what it has promised.
struct Driver {
    memory: Memory,
    clock: Clock,
    mode: FlushMode,
    store: Arc<Store>,
    random: TestRng,
    /// Every body that was ever appended at a place; more than one only where a crash took the place back.
    appended: BTreeMap<Place, Vec<Vec<u8>>>,
    /// What must survive.
    promised: BTreeMap<Place, Vec<u8>>,
    /// Appended, and not promised yet.
    open: Vec<(Place, Vec<u8>)>,
    serial: u64,
    /// A power cut left damage in the log.
    damaged: bool,
}

impl Driver {
    fn new(seed: u64, mode: FlushMode) -> Driver {
        let memory = Memory::new();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &bytes);
        let clock = Clock::new();
        let store = start(&memory, &clock, mode);
        let (appended, promised) = (BTreeMap::new(), BTreeMap::new());
        Driver {
            memory,
            clock,
            mode,
            store,
            random,
            appended,
            promised,
            open: Vec::new(),
            serial: 0,
            damaged: false,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.random_range(0..limit)
    }

    fn step(&mut self) {
        match self.below(20) {
            0..=9 => self.append(1),
            10..=11 => {
                let count = self.below(6) + 1;
                self.append(count);
            }
            12..=14 => self.make_durable(),
            15 => self.store.write_behind(),
            16 => self.store.save().unwrap(),
            // Past the margin that recovery goes back behind the checkpoint.
            17..=18 => self.clock.advance(Duration::from_secs(5)),
            _ => {
                let count = self.below(60);
                (0..count).for_each(|_| self.append(1));
            }
        }
    }

    fn append(&mut self, count: u64) {
        let topic = format!("T{}", self.below(3));
        let queue_id = self.below(3) as i32;
        let made: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
            .map(|_| {
                self.serial += 1;
                let length = [0, 10, 100, 600, 3000][self.below(5) as usize];
                let mut body = format!("{}:", self.serial).into_bytes();
                body.resize(body.len() + length, b'x');
                (body, format!("KEYS\x01k{}\x02", self.serial).into_bytes())
            })
            .collect();
        let records: Vec<_> =
            made.iter().map(|(body, properties)| new(&topic, queue_id, body, properties)).collect();
        let first = match &records[..] {
            [one] => self.store.append(one).unwrap(),
            all => self.store.append_batch(all).unwrap().0,
        };
        for ((body, _), offset) in made.into_iter().zip(first.queue_offset..) {
            let place = (topic.clone(), queue_id, offset);
            self.appended.entry(place.clone()).or_default().push(body.clone());
            self.open.push((place, body));
        }
    }

    fn make_durable(&mut self) {
        let (sender, receiver) = channel();
        self.store
            .when_durable(self.store.max_physical_offset(), Box::new(move |how| sender.send(how).unwrap()));
        assert_eq!(receiver.recv().unwrap(), Durability::Flushed);
        self.promised.extend(self.open.drain(..));
    }

    /// Goes on with what the crash left.
    fn crash(&mut self) {
        let seed = self.below(u64::MAX);
        let kill = self.below(3) == 0;
        let left = if kill {
            // A kill leaves the page cache, so everything appended counts, whatever the mode.
            let open = std::mem::take(&mut self.open);
            self.promised.extend(open);
            self.memory.killed()
        } else {
            self.memory.power_cut(seed)
        };
        self.open.clear();
        self.memory = left;
        self.store = start(&self.memory, &self.clock, self.mode);
        self.check(kill);
    }

    fn check(&mut self, killed: bool) {
        let report = self.store.recovery_report().clone();
        // A kill damages nothing; what a power cut before it damaged stays.
        assert!(!killed || self.damaged || report.skipped.is_empty() && report.holes == 0, "{report:?}");
        self.damaged |= !report.skipped.is_empty();
        let mut served = BTreeMap::new();
        for topic in self.store.topics() {
            for queue_id in self.store.queue_ids(&topic) {
                let bodies = bodies(&self.store, &topic, queue_id, 0);
                let bounds = self.store.queue_bounds(&topic, queue_id).unwrap();
                if !self.damaged {
                    let offsets: Vec<i64> = bodies.iter().map(|(offset, _)| *offset).collect();
                    assert_eq!(offsets, bounds.collect::<Vec<_>>(), "{topic}/{queue_id}: {report:?}");
                }
                for (offset, body) in bodies {
                    served.insert((topic.clone(), queue_id, offset), body);
                }
            }
        }
        let start = |body: &Vec<u8>| String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned();
        for (place, body) in &self.promised {
            let there = served.get(place);
            let (found, expected) = (there.map(start), start(body));
            assert!(
                there == Some(body),
                "{place:?}: {expected} was acknowledged, not {found:?} {:?} {:?}: {report:?}",
                self.store.queue_bounds(&place.0, place.1),
                names(&self.memory, &format!("/store/consumequeue/{}/{}", place.0, place.1))
            );
        }
        for (place, body) in &served {
            let known = self.appended.get(place).is_some_and(|bodies| bodies.contains(body));
            assert!(known, "{place:?} serves what was never appended there: {report:?}");
        }
        self.check_log(&served);
        self.check_keys(&served);
        // What is served now is promised: it has been read.
        self.promised = served;
    }

    /// Every record of the log stands in its queue, and the other way round.
    fn check_log(&self, served: &BTreeMap<Place, Vec<u8>>) {
        let mut in_log = HashSet::new();
        for segment in self.store.log.segments.all() {
            let mut offset = segment.base;
            while offset < self.store.max_physical_offset().min(segment.end()) {
                let at = (offset - segment.base) as usize;
                match crate::store::scan::check(segment.from(offset), segment.base, at).ok() {
                    Some(record) => {
                        in_log.insert((record.topic().to_owned(), record.queue_id(), record.queue_offset()));
                        offset += record.total_size() as i64;
                    }
                    // Blanks and skipped damage.
                    None => offset += 1,
                }
            }
        }
        let served: HashSet<Place> = served.keys().cloned().collect();
        let odd: Vec<_> = in_log.symmetric_difference(&served).collect();
        assert!(odd.is_empty(), "only in one of log and queues: {odd:?} {:?}", self.store.recovery_report());
    }

    fn check_keys(&self, served: &BTreeMap<Place, Vec<u8>>) {
        for ((topic, ..), body) in served.iter().step_by(7) {
            let serial = std::str::from_utf8(body).unwrap().split(':').next().unwrap();
            let found = self.store.query_key(topic, &format!("k{serial}"), 10, 0, i64::MAX);
            let bodies: Vec<_> = found
                .records
                .iter()
                .flat_map(|record| records(record))
                .map(|record| record.unwrap().body())
                .collect();
            assert!(
                bodies.contains(&&body[..]),
                "key k{serial} of {topic} {:?}",
                self.store.recovery_report()
            );
        }
    }
}

fn start(memory: &Memory, clock: &Clock, mode: FlushMode) -> Arc<Store> {
    let mut options = options(memory);
    options.flush_mode = mode;
    Store::open(options, clock.clone()).unwrap()
}

fn run(seed: u64, mode: FlushMode, crashes: usize, steps: u64) {
    // Shown with a failure. Threads make it not wholly repeatable.
    println!("seed {seed}, {mode:?}");
    let mut driver = Driver::new(seed, mode);
    for _ in 0..crashes {
        for _ in 0..driver.below(steps) {
            driver.step();
        }
        driver.crash();
    }
    driver.store.close().unwrap();
    driver.store = start(&driver.memory, &driver.clock, mode);
    assert!(driver.store.recovery_report().clean);
    driver.check(true);
}

/// Seeds of each test; more in a soak.
fn seeds() -> u64 {
    std::env::var("FERROMQ_CRASH_SEEDS")
        .map_or(40, |count| count.parse().expect("FERROMQ_CRASH_SEEDS is a number"))
}

#[test]
fn what_was_acknowledged_survives_under_sync_flush() {
    (0..seeds()).for_each(|seed| run(seed, FlushMode::Sync, 4, 40));
}

#[test]
fn what_was_flushed_survives_under_async_flush() {
    (0..seeds()).for_each(|seed| run(seed << 32, FlushMode::Async, 4, 40));
}

/// Apache's brokers remove, after a crash, the index files that end later than the checkpoint's time for the index, and
/// index again what is not 3 s older than its times for log and queues.
#[test]
fn other_brokers_find_every_key_after_a_kill() {
    let (memory, clock) = (Memory::new(), Clock::new());
    let store = Store::open(options(&memory), clock.clone()).unwrap();
    let mut removed = 0;
    for round in 0..60 {
        for n in 0..7 {
            let key = format!("KEYS\u{1}{round}-{n}\u{2}");
            store.append(&new("T", 0, b"x", key.as_bytes())).unwrap();
            clock.advance(Duration::from_millis(1700));
        }
        if round % 3 == 0 {
            store.save().unwrap();
        }
        store.write_behind();
        let killed = memory.killed();
        let path = Path::new("/store/checkpoint");
        let checkpoint = Checkpoint::load(&killed, path, clock.now_ms()).unwrap();
        let shape = Shape { slots: 50, items: 100 };
        for name in names(&killed, "/store/index") {
            let path = Path::new("/store/index").join(name);
            let header = IndexFile::open(&killed, &path, shape, Open::Existing).unwrap().header;
            if header.end_timestamp > checkpoint.index_ms {
                removed += 1;
                assert!(header.begin_timestamp >= checkpoint.log_ms.min(checkpoint.queues_ms) - 3000);
            } else {
                assert_eq!(header.next_item, 100, "a file that is not full ends later");
            }
        }
    }
    assert!(removed > 60, "{removed} files are made again");
    store.close().unwrap();
}
