//! Consumer offsets through crashes: random commits, saves in the rhythm of flushConsumerOffsetInterval, crashes between
//! any two of a save's steps, and a model that knows what may be there afterwards: an offset that was committed, at least as
//! new as the last save, and after an orderly end the last one.
//!
//! FERROMQ_SOAK=1 runs more seeds, FERROMQ_SEED=n repeats one.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use tempfile::TempDir;

use super::{ConsumerOffsets, QueueOf};
use crate::config::file::steps;
use crate::store::storage::Random;

/// flushConsumerOffsetInterval.
const INTERVAL_MS: i64 = 5_000;
const QUEUES: [(&str, &str, i32); 6] = [
    ("G0", "T0", 0),
    ("G0", "T0", 1),
    ("G0", "T1", 0),
    ("G1", "T0", 0),
    ("G1", "%RETRY%G1", 0),
    ("G2", "T1", 7),
];

/// One queue's offsets and when they were committed; `None` where it was forgotten.
type History = Vec<(i64, Option<i64>)>;

struct World {
    random: Random,
    dir: TempDir,
    offsets: ConsumerOffsets,
    now_ms: i64,
    due_ms: i64,
    histories: BTreeMap<usize, History>,
    crashes: u64,
    in_a_save: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let dir = tempfile::tempdir().unwrap();
        let offsets = ConsumerOffsets::open(dir.path()).unwrap();
        let histories = (0..QUEUES.len()).map(|at| (at, vec![(0, None)])).collect();
        let random = Random(seed);
        let (now_ms, due_ms) = (0, INTERVAL_MS);
        World { random, dir, offsets, now_ms, due_ms, histories, crashes: 0, in_a_save: 0 }
    }

    /// Works until the next end, orderly or not, and checks what is there then.
    fn live(&mut self) {
        let steps = self.random.below(60);
        for _ in 0..steps {
            self.step();
        }
        match self.random.below(4) {
            0 => self.stop(),
            1 => self.crash_while_saving(),
            _ => self.crash(self.now_ms),
        }
    }

    fn step(&mut self) {
        self.now_ms += self.random.below(400) as i64;
        match self.random.below(20) {
            0 => self.forget_topic(),
            1 => self.reset(),
            _ => self.commit(),
        }
        // As the broker's thread of timed tasks does it.
        if self.due_ms <= self.now_ms {
            self.offsets.save(self.now_ms).unwrap();
            self.due_ms = self.now_ms + INTERVAL_MS;
        }
    }

    fn commit(&mut self) {
        let at = self.random.below(QUEUES.len() as u64) as usize;
        let (group, topic, queue_id) = QUEUES[at];
        let offset = self.last(at).unwrap_or(0) + self.random.below(50) as i64;
        self.offsets.commit(QueueOf { group, topic, queue_id }, offset, 1, self.now_ms);
        self.note(at, Some(offset));
    }

    /// Operators move a group back.
    fn reset(&mut self) {
        let at = self.random.below(QUEUES.len() as u64) as usize;
        let (group, topic, queue_id) = QUEUES[at];
        let offset = self.random.below(self.last(at).unwrap_or(0) as u64 + 1) as i64;
        self.offsets.reset(group, topic, queue_id, offset, false);
        self.note(at, Some(offset));
        // Resets are on the disk when they are answered.
        self.offsets.save(self.now_ms).unwrap();
        self.saved();
    }

    fn forget_topic(&mut self) {
        let (_, gone, _) = QUEUES[self.random.below(QUEUES.len() as u64) as usize];
        self.offsets.remove_topic(gone);
        for at in (0..QUEUES.len()).filter(|at| QUEUES[*at].1 == gone) {
            self.note(at, None);
        }
        self.offsets.save(self.now_ms).unwrap();
        self.saved();
    }

    fn last(&self, at: usize) -> Option<i64> {
        self.histories[&at].last().and_then(|(_, offset)| *offset)
    }

    fn note(&mut self, at: usize, offset: Option<i64>) {
        let now = self.now_ms;
        self.histories.get_mut(&at).expect("all are there").push((now, offset));
    }

    /// Only what is there now may be there from here on.
    fn saved(&mut self) {
        for history in self.histories.values_mut() {
            history.drain(..history.len() - 1);
        }
    }

    fn stop(&mut self) {
        self.offsets.save(self.now_ms).unwrap();
        self.saved();
        self.crash(self.now_ms);
    }

    /// The process ends, and with it what was in memory only.
    fn crash(&mut self, at_ms: i64) {
        self.crashes += 1;
        self.offsets = ConsumerOffsets::open(self.dir.path()).unwrap();
        for (at, history) in &self.histories {
            let (group, topic, queue_id) = QUEUES[*at];
            let found = self.offsets.find(group, topic, queue_id);
            // What was true within the interval before the crash.
            let since = history.iter().rposition(|(when, _)| *when < at_ms - INTERVAL_MS).unwrap_or(0);
            let allowed: Vec<_> = history[since..].iter().map(|(_, offset)| *offset).collect();
            assert!(allowed.contains(&found), "{group} {topic} {queue_id}: {found:?}, not of {allowed:?}");
        }
        for (at, (group, topic, queue_id)) in QUEUES.into_iter().enumerate() {
            let found = self.offsets.find(group, topic, queue_id);
            self.histories.insert(at, vec![(at_ms, found)]);
        }
        self.due_ms = self.now_ms + INTERVAL_MS;
    }

    /// Ends in the middle of a save, at any of its steps; names that were not synced may be as before.
    fn crash_while_saving(&mut self) {
        self.in_a_save += 1;
        let before = copy(self.dir.path());
        let left = self.random.below(7);
        let now = self.now_ms;
        let (path, taken) = (self.dir.path().to_owned(), Rc::new(Cell::new(None)));
        let found = taken.clone();
        steps::look_after(left, move || found.set(Some(copy(&path))));
        self.offsets.save(now).unwrap();
        let Some(taken) = taken.take() else {
            // The save was over before that.
            self.saved();
            return self.crash(now);
        };
        self.dir = if self.random.below(3) == 0 { before } else { taken };
        self.tear();
        self.crash(now);
    }

    /// What was not synced is not there as a whole.
    fn tear(&mut self) {
        let tmp = self.dir.path().join("config/consumerOffset.json.tmp");
        if let Ok(content) = fs::read(&tmp) {
            let kept = self.random.below(content.len() as u64 + 1) as usize;
            fs::write(&tmp, &content[..kept]).unwrap();
        }
    }
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::create_dir_all(to.path().join("config")).unwrap();
    let Ok(entries) = fs::read_dir(from.join("config")) else { return to };
    for entry in entries {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join("config").join(entry.file_name())).unwrap();
    }
    to
}

#[test]
fn after_a_crash_a_group_is_where_it_was_within_the_interval_and_after_a_stop_where_it_is() {
    let run = |seed| {
        let mut world = World::new(seed);
        (0..20).for_each(|_| world.live());
        world.stop();
        (world.crashes, world.in_a_save)
    };
    if let Ok(seed) = std::env::var("FERROMQ_SEED") {
        println!("{:?}", run(seed.parse().expect("FERROMQ_SEED is a number")));
        return;
    }
    let soak = std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1");
    let mut total = (0, 0);
    for seed in 0..if soak { 2000 } else { 6 } {
        let done = std::panic::catch_unwind(|| run(seed)).unwrap_or_else(|panic| {
            eprintln!("FERROMQ_SEED={seed} repeats this");
            std::panic::resume_unwind(panic)
        });
        total = (total.0 + done.0, total.1 + done.1);
    }
    println!("{} crashes, {} of them in a save", total.0, total.1);
    assert!(total.1 > 10);
}
