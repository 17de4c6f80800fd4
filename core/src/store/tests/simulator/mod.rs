//! The simulator: random operations on a store in memory, crashes in the middle of any of its operations on the disk, and
//! a model that knows what must be there afterwards.
//!
//! In a third of the seeds crashes damage files as well, which may cost what they hit and nothing else.
//!
//! `make test` runs a fixed number of seeds. FERROMQ_SOAK=1 (`make soak`) runs them until 1,000,000 operations and 10,000
//! crashes are done, FERROMQ_SEED=n repeats one and tells each step. The store has no threads here: what they do are steps like the others, and
//! the clock stands, so that a seed is the same run each time, but for the order in which files are read at a start.

mod check;
mod hurt;
mod model;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use self::model::{body, keys, Model, QUEUES};
use super::*;
use crate::store::prepare::prepare;
use crate::store::storage::{Operation, Random, Space};

/// How a run ends at some moment, and what is left then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    /// The process is killed: what was written is there, though the disk may not hold it yet.
    Kill,
    /// The power is cut: of what was not synced some is there, some is torn, some is lost. The seed decides.
    PowerCut(u64),
}

impl Crash {
    fn of(self, memory: &Memory) -> Memory {
        match self {
            Crash::Kill => memory.killed(),
            Crash::PowerCut(seed) => memory.power_cut(seed),
        }
    }
}

/// Takes the state of a disk in the middle of an operation on it.
struct Trap {
    /// Operations until then.
    left: AtomicI64,
    crash: Crash,
    taken: Mutex<Option<Memory>>,
}

/// What a run has done.
#[derive(Debug, Default, Clone, Copy)]
struct Done {
    operations: u64,
    crashes: u64,
    in_the_middle: u64,
    while_recovering: u64,
    power_cuts: u64,
    hurts: u64,
}

struct World {
    random: Random,
    memory: Memory,
    clock: Clock,
    mode: FlushMode,
    /// Whether the store is told which topics there are, as a broker tells it.
    knows_topics: bool,
    core: Arc<Core>,
    model: Model,
    trap: Arc<Trap>,
    /// Checkpoints to be written until there is no room for one.
    no_room: Arc<AtomicI64>,
    done: Done,
    /// Whether crashes damage what is on the disk.
    hurts: bool,
    /// The checkpoint was removed before the last start.
    checkpoint_gone: bool,
    /// Whether each step is told.
    aloud: bool,
}

impl World {
    fn new(seed: u64, aloud: bool) -> World {
        let mut random = Random(seed);
        let mode = [FlushMode::Sync, FlushMode::Async][random.below(2) as usize];
        let knows_topics = random.below(2) == 0;
        let (memory, clock, model) = (Memory::new(), Clock::standing(), Model::default());
        let core = open(&memory, &clock, mode, None);
        let trap = Arc::new(Trap { left: AtomicI64::new(0), crash: Crash::Kill, taken: Mutex::new(None) });
        let done = Done::default();
        World {
            random,
            memory,
            clock,
            mode,
            knows_topics,
            core,
            model,
            trap,
            no_room: Arc::new(AtomicI64::new(i64::MAX)),
            done,
            hurts: seed % 3 == 2,
            checkpoint_gone: false,
            aloud,
        }
    }

    /// Works until the next crash, goes on with what it left, and checks that.
    fn live(&mut self, most_steps: u64) {
        let steps = self.random.below(most_steps) + 1;
        let in_the_middle = self.random.below(3) > 0;
        self.set_trap(in_the_middle.then_some(steps * 4));
        for _ in 0..steps {
            self.model.begin_step();
            self.step();
            if self.trap.taken.lock().is_some() {
                return self.crash(true);
            }
        }
        self.model.begin_step();
        self.crash(false);
    }

    /// For a moment within so many operations on the disk, or for none.
    fn set_trap(&mut self, within: Option<u64>) {
        let operations = within.map_or(i64::MAX, |within| 1 + self.random.below(within) as i64);
        let crash = match self.random.below(3) {
            0 => Crash::Kill,
            _ => Crash::PowerCut(self.random.below(u64::MAX)),
        };
        let trap = Arc::new(Trap { left: AtomicI64::new(operations), crash, taken: Mutex::new(None) });
        self.trap = trap.clone();
        let (memory, no_room) = (self.memory.clone(), self.no_room.clone());
        self.memory.intercept(move |operation, path| {
            if trap.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                *trap.taken.lock() = Some(trap.crash.of(&memory));
            }
            let is_checkpoint = operation == Operation::Write && path.ends_with("checkpoint");
            match is_checkpoint && no_room.fetch_sub(1, Ordering::Relaxed) == 1 {
                true => Err(std::io::Error::from_raw_os_error(libc::ENOSPC)),
                false => Ok(()),
            }
        });
    }

    /// Lets the trap go, which knows the disk that knows the trap.
    fn release(&self) {
        self.memory.intercept(|_, _| Ok(()));
    }

    fn crash(&mut self, in_the_middle: bool) {
        let mut crash = self.trap.crash;
        let taken = self.trap.taken.lock().take();
        self.release();
        let expired_below = self.core.log.min();
        self.memory = taken.unwrap_or_else(|| crash.of(&self.memory));
        self.done.crashes += 1;
        self.done.in_the_middle += u64::from(in_the_middle);
        self.model.crash(crash == Crash::Kill, expired_below);
        self.checkpoint_gone = false;
        if self.hurts && self.random.below(3) == 0 {
            self.hurt();
        }
        loop {
            self.done.power_cuts += u64::from(crash != Crash::Kill);
            let again = self.random.below(4) == 0;
            self.set_trap(again.then_some(60));
            self.core = self.open();
            self.say(|core| format!("{crash:?}: {:?}", core.recovery_report()));
            let Some(left) = self.trap.taken.lock().take() else { break };
            crash = self.trap.crash;
            self.release();
            self.memory = left;
            self.done.crashes += 1;
            self.done.while_recovering += 1;
            if crash != Crash::Kill {
                self.model.power_cut_too();
            }
        }
        self.release();
        self.check(false);
    }

    fn open(&self) -> Arc<Core> {
        let topics = self.knows_topics.then(|| self.model.topics());
        // A crash in the middle of retention left a disk without room; some was made meanwhile.
        self.memory.set_space(Space { total: 100, free: 90 });
        if self.aloud {
            let path = std::path::Path::new("/store/checkpoint");
            println!("opening: {:?}", Checkpoint::load(&self.memory.killed(), path, self.clock.now_ms()));
        }
        open(&self.memory, &self.clock, self.mode, topics)
    }

    fn step(&mut self) {
        self.done.operations += 1;
        let kind = self.random.below(44);
        self.clock.advance(Duration::from_millis(self.random.below(3)));
        self.say(|core| format!("step {kind}, log {}..{}", core.log.min(), core.log.end()));
        match kind {
            0..=11 => self.append(1),
            12..=15 => {
                let count = 2 + self.random.below(5);
                self.append(count);
            }
            16..=19 => self.make_durable(),
            20..=21 => self.core.write_behind(),
            22 => self.save(),
            // Past the margin that recovery goes back behind the checkpoint.
            23..=24 => self.clock.advance(Duration::from_secs(5)),
            25..=29 => self.get(),
            30..=31 => self.search_time(),
            32..=33 => self.query_key(),
            34 => self.delete_topic(),
            35 => self.retain(),
            36..=38 => while prepare(&self.core.log) {},
            39 => self.reopen(),
            40..=41 => self.refuse(),
            _ => {
                let count = self.random.below(60);
                self.done.operations += count;
                (0..count).for_each(|_| self.append(1));
            }
        }
    }

    fn say(&self, what: impl Fn(&Core) -> String) {
        if self.aloud {
            println!("{}", what(&self.core));
        }
    }

    fn append(&mut self, count: u64) {
        let queue = self.random.below(QUEUES.len() as u64) as usize;
        let (topic, id) = QUEUES[queue];
        let first = self.model.next(queue);
        let serials: Vec<u64> =
            (first..).map(|offset| self.model.attempt(queue, offset)).take(count as usize).collect();
        let made: Vec<_> = serials.iter().map(|serial| (body(*serial), keys(*serial))).collect();
        let records: Vec<_> = made.iter().map(|(body, keys)| new(topic, id, body, keys)).collect();
        let (placed, offsets) = match &records[..] {
            [one] => {
                let placed = self.core.append(one).unwrap();
                (placed, vec![placed.physical_offset])
            }
            all => self.core.append_batch(all).unwrap(),
        };
        assert_eq!(placed.queue_offset, first, "{topic}/{id}");
        for (serial, physical) in serials.into_iter().zip(offsets) {
            self.model.appended(queue, serial, physical, placed.store_timestamp);
        }
    }

    /// What cannot be stored is refused, and nothing of it is there.
    fn refuse(&mut self) {
        let end = self.core.max_physical_offset();
        let large = vec![b'x'; 40 << 10];
        let wrong = [
            new("T0", 0, &large, b""),
            new("a/b", 0, b"", b""),
            new("T0", -1, b"", b""),
            new("", 0, b"", b""),
        ];
        let wrong = &wrong[self.random.below(4) as usize];
        assert!(self.core.append(wrong).is_err());
        assert!(self.core.append_batch(&[new("T1", 0, b"good", b""), *wrong]).is_err());
        assert_eq!(self.core.max_physical_offset(), end);
    }

    fn make_durable(&mut self) {
        let (end, (sender, told)) = (self.core.max_physical_offset(), channel());
        self.core.when_durable(end, Box::new(move |how| sender.send(how).unwrap()));
        self.core.flush().unwrap();
        assert_eq!(told.recv().unwrap(), Durability::Flushed);
        self.model.durable_to(end);
    }

    fn save(&mut self) {
        let end = self.core.max_physical_offset();
        self.core.save().unwrap();
        self.model.durable_to(end);
    }

    fn delete_topic(&mut self) {
        let (topic, _) = QUEUES[self.random.below(QUEUES.len() as u64) as usize];
        self.model.delete(topic);
        if self.random.below(4) == 0 && self.delete_without_room(topic) {
            return;
        }
        let deleted = self.core.delete_topic(topic);
        deleted.unwrap_or_else(|error| panic!("{error}: {:?}", self.memory.names()));
        assert!(self.core.queue_ids(topic).is_empty());
    }

    /// There is no room for one of the checkpoints of a deletion. Whether a later one told of it.
    fn delete_without_room(&mut self, topic: &str) -> bool {
        let is_there = |core: &Core| core.queues.topic(topic).is_some();
        let was_there = is_there(&self.core);
        self.no_room.store(1 + self.random.below(2) as i64, Ordering::Relaxed);
        assert!(self.core.delete_topic(topic).is_err());
        self.no_room.store(i64::MAX, Ordering::Relaxed);
        self.core.write_behind();
        if !was_there || is_there(&self.core) {
            return false;
        }
        let refused = self.core.append(&new(topic, 0, b"", b""));
        assert!(matches!(refused, Err(AppendError::ReadOnly(_))), "{refused:?}");
        let saved = self.random.below(2) == 0;
        if saved {
            self.core.save().unwrap();
        }
        saved
    }

    /// A disk so full that old files go, and now and then so full that nothing is taken.
    fn retain(&mut self) {
        let free = [25, 13, 5][self.random.below(3) as usize];
        self.memory.set_space(Space { total: 100, free });
        if self.random.below(4) == 0 {
            self.clock.advance(Duration::from_secs(80 * 3600));
        }
        self.core.run_retention();
        if free == 5 {
            assert!(matches!(self.core.append(&new("T0", 0, b"", b"")), Err(AppendError::ReadOnly(_))));
        }
        self.memory.set_space(Space { total: 100, free: 90 });
        self.core.run_retention();
        self.model.expire(self.core.log.min());
    }

    fn reopen(&mut self) {
        self.close();
        self.core = self.open();
        if self.trap.taken.lock().is_none() {
            assert!(self.core.recovery_report().clean);
            self.check(true);
        }
    }

    /// As [`Store::close`] and the threads that it ends.
    fn close(&mut self) {
        let end = self.core.max_physical_offset();
        self.core.log.tail.lock().closed = true;
        self.core.flush().unwrap();
        self.core.finish().unwrap();
        assert!(matches!(self.core.append(&new("T0", 0, b"", b"")), Err(AppendError::Closed)));
        self.model.durable_to(end);
    }
}

fn open(memory: &Memory, clock: &Clock, mode: FlushMode, known_topics: Option<Vec<String>>) -> Arc<Core> {
    let mut options = options(memory);
    options.flush_mode = mode;
    options.known_topics = known_topics;
    let core = Core::new(options, clock.clone());
    core.start().unwrap_or_else(|error| panic!("the store cannot be opened: {error}"));
    Arc::new(core)
}

/// One seed's run, which is told of if it fails.
fn run(seed: u64, lives: u64, aloud: bool) -> Done {
    struct Tell(u64);
    impl Drop for Tell {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("FERROMQ_SEED={} repeats this", self.0);
            }
        }
    }
    let _tell = Tell(seed);
    let mut world = World::new(seed, aloud);
    (0..lives).for_each(|_| world.live(60));
    world.set_trap(None);
    world.model.begin_step();
    world.reopen();
    world.release();
    world.done
}

fn soak() -> bool {
    std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1")
}

#[test]
fn whatever_happens_the_store_keeps_its_promises() {
    const LIVES: u64 = 12;
    if let Ok(seed) = std::env::var("FERROMQ_SEED") {
        let seed = seed.parse().expect("FERROMQ_SEED is a number");
        println!("{:?}", run(seed, LIVES, true));
        return;
    }
    let (seeds, operations, crashes) = if soak() { (u64::MAX, 1_000_000, 10_000) } else { (40, 0, 0) };
    let mut total = Done::default();
    let mut seed = 0;
    while seed < seeds && (!soak() || total.operations < operations || total.crashes < crashes) {
        let done = run(seed, LIVES, false);
        total.operations += done.operations;
        total.crashes += done.crashes;
        total.in_the_middle += done.in_the_middle;
        total.while_recovering += done.while_recovering;
        total.power_cuts += done.power_cuts;
        total.hurts += done.hurts;
        seed += 1;
        if seed % 500 == 0 {
            println!("seeds 0 to {}: {total:?}", seed - 1);
        }
    }
    println!("seeds 0 to {}: {total:?}", seed - 1);
}
