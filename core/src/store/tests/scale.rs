//! What must stay true and cheap when a store is large: checkpoints that promise nothing too early, and searches that
//! look at few entries.

use std::sync::atomic::AtomicUsize;
use std::sync::Weak;

use super::*;
use crate::store::mapping::{looks, Mapping, Writer};
use crate::store::storage::{Entry, File, Open, Operation, Space, SyncDisk};

/// A record as it was appended.
struct Sent {
    queue: i32,
    offset: i64,
    at: i64,
    time: i64,
}

/// The files as a power cut leaves them, and what was appended before it.
struct Image<'a> {
    disk: &'a Memory,
    sent: &'a [Sent],
}

impl Image<'_> {
    fn read(&self, path: &Path, at: u64, out: &mut [u8]) -> usize {
        self.disk.open(path, Open::Existing).and_then(|file| file.read_at(at, out)).unwrap_or(0)
    }

    fn checkpoint(&self) -> [i64; 3] {
        let mut bytes = [0; 24];
        self.read(Path::new("/store/checkpoint"), 0, &mut bytes);
        [0, 8, 16].map(|at| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()))
    }

    fn in_log(&self, sent: &Sent) -> bool {
        let base = sent.at - sent.at % (32 << 10);
        let mut head = [0; 36];
        let path = format!("/store/commitlog/{base:020}");
        self.read(Path::new(&path), (sent.at - base) as u64, &mut head);
        head[28..36] == sent.at.to_be_bytes()
    }

    fn in_queue(&self, sent: &Sent) -> bool {
        let at = sent.offset * 20;
        let base = at - at % 400;
        let mut entry = [0; 20];
        let path = format!("/store/consumequeue/T/{}/{base:020}", sent.queue);
        self.read(Path::new(&path), (at - base) as u64, &mut entry);
        entry[..8] == sent.at.to_be_bytes() && entry[8..12] != [0; 4]
    }

    /// Whether an item of the record is on disk; slots and header may be torn, and are made again from the items.
    fn in_index(&self, sent: &Sent) -> bool {
        let mut items = [0; 40 + 50 * 4 + 100 * 20];
        names(self.disk, "/store/index").iter().any(|name| {
            self.read(&Path::new("/store/index").join(name), 0, &mut items);
            items[40 + 50 * 4..].chunks_exact(20).any(|item| item[4..12] == sent.at.to_be_bytes())
        })
    }

    /// What Apache's recovery takes for granted.
    fn check(&self) {
        let [log, queues, index] = self.checkpoint();
        for sent in self.sent {
            let (at, time) = (sent.at, sent.time);
            assert!(time >= log || self.in_log(sent), "record at {at} of {time} is not on disk, log={log}");
            assert!(time >= queues || self.in_queue(sent), "entry of {at}, {time}, queues={queues}");
            assert!(time >= index || self.in_index(sent), "key of {at}, {time}, index={index}");
        }
        if self.sent.is_empty() || names(self.disk, "/store").contains(&"abort".to_owned()) {
            return;
        }
        assert!(self.sent.iter().all(|sent| self.in_log(sent) && self.in_queue(sent) && self.in_index(sent)));
    }
}

/// Cuts the power before operations of a store at work, by whichever of its threads.
#[test]
fn checkpoints_never_say_more_than_is_on_disk() {
    let seeds = if std::env::var_os("FERROMQ_SOAK").is_some() { 300 } else { 3 };
    for seed in 0..seeds {
        let (memory, clock) = (Memory::new(), Clock::new());
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let (operations, checked) = (AtomicUsize::new(seed), Arc::new(AtomicUsize::new(0)));
        let (disk, known, counted) = (memory.clone(), Arc::downgrade(&sent), checked.clone());
        let store = Store::open(options(&memory), clock.clone()).unwrap();
        memory.intercept(move |operation, path| {
            let number = operations.fetch_add(1, Ordering::Relaxed);
            let interesting = operation == Operation::Remove || path.ends_with("checkpoint");
            if let Some(sent) = Weak::upgrade(&known).filter(|_| interesting || number % 13 == 0) {
                let cut = disk.power_cut(number as u64);
                Image { disk: &cut, sent: &sent.lock() }.check();
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        let mut number = 0;
        for round in 0..12_i32 {
            // Some queues get much, others one record in a while.
            for queue in [0, 0, 1, 0, 2, round % 7, 3 + round % 11] {
                let properties = format!("KEYS\x01k{number}\x02");
                let appended = store.append(&new("T", queue, &[b'x'; 300], properties.as_bytes())).unwrap();
                let (offset, at, time) =
                    (appended.queue_offset, appended.physical_offset, appended.store_timestamp);
                sent.lock().push(Sent { queue, offset, at, time });
                number += 1;
                clock.advance(Duration::from_millis(7));
            }
            match round % 4 {
                0 => store.flush().unwrap(),
                1 => store.write_behind(),
                2 => store.save().unwrap(),
                _ => store.dispatch(),
            }
        }
        store.close().unwrap();
        let cut = memory.power_cut(seed as u64);
        assert!(!names(&cut, "/store").contains(&"abort".to_owned()));
        Image { disk: &cut, sent: &sent.lock() }.check();
        assert!(checked.load(Ordering::Relaxed) > 20);
    }
}

/// Files of which every read and every open is counted.
#[derive(Debug, Clone)]
struct Counted {
    inner: Memory,
    reads: Arc<AtomicUsize>,
    /// Called when the file system was synced.
    synced: Hook,
}

type Once = Box<dyn FnOnce() + Send>;

#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<Once>>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

struct CountedFile {
    inner: Arc<dyn File>,
    reads: Arc<AtomicUsize>,
}

fn counted(memory: &Memory) -> Counted {
    Counted { inner: memory.clone(), reads: Arc::default(), synced: Hook::default() }
}

impl Counted {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(CountedFile { inner, reads: self.reads.clone() })
    }

    /// How many reads of files and mappings `task` needs.
    fn count<R>(&self, task: impl FnOnce() -> R) -> (usize, R) {
        let before = (self.reads.load(Ordering::Relaxed), looks::so_far());
        let result = task();
        (self.reads.load(Ordering::Relaxed) - before.0 + looks::so_far() - before.1, result)
    }
}

impl Storage for Counted {
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> std::io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn open(&self, path: &Path, mode: Open) -> std::io::Result<Arc<dyn File>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.open(path, mode).map(|file| self.file(file))
    }

    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn disk(&self, dir: &Path) -> std::io::Result<SyncDisk> {
        let (sync, synced) = (self.inner.disk(dir)?, self.synced.clone());
        Ok(Box::new(move || {
            sync()?;
            let hook = synced.0.lock().take();
            hook.into_iter().for_each(|hook| hook());
            Ok(())
        }))
    }

    fn space(&self, dir: &Path) -> std::io::Result<Space> {
        self.inner.space(dir)
    }

    fn lock(&self, path: &Path) -> std::io::Result<Option<Arc<dyn File>>> {
        self.inner.lock(path)
    }
}

impl File for CountedFile {
    fn len(&self) -> std::io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.inner.set_len(len)
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> std::io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.inner.read_at(at, out)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.inner.write_at(at, bytes)
    }

    fn sync(&self) -> std::io::Result<()> {
        self.inner.sync()
    }

    fn allocate(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.inner.allocate(at, len)
    }

    fn zero(&self, at: u64, len: u64) -> std::io::Result<()> {
        self.inner.zero(at, len)
    }

    fn next_data(&self, at: u64) -> std::io::Result<Option<u64>> {
        self.inner.next_data(at)
    }

    fn modified_ms(&self) -> std::io::Result<i64> {
        self.inner.modified_ms()
    }

    fn set_modified_ms(&self, ms: i64) -> std::io::Result<()> {
        self.inner.set_modified_ms(ms)
    }

    fn map(&self, len: usize, published: usize) -> std::io::Result<(Arc<Mapping>, Writer)> {
        self.inner.map(len, published)
    }
}

/// A store with `count` records in one queue, one a second, each with its own key, opened again so that nothing of
/// them is in memory; and the store time of the first.
fn long_queue(count: i64) -> (Counted, Arc<Store>, i64) {
    let (clock, memory) = (Clock::new(), Memory::new());
    let storage = counted(&memory);
    let mut options = options(&memory);
    options.mapped_file_size_commit_log = 1 << 20;
    options.mapped_file_size_consume_queue = 20_000;
    (options.max_hash_slot_num, options.max_index_num) = (20_000, 4_000);
    options.storage = Arc::new(storage.clone());
    let store = Store::open(options.clone(), clock.clone()).unwrap();
    let begin = clock.now_ms();
    for number in 0..count {
        let properties = format!("KEYS\x01k{number}\x02");
        store.append(&new("T", 0, b"x", properties.as_bytes())).unwrap();
        clock.advance(Duration::from_secs(1));
    }
    store.close().unwrap();
    (storage, Store::open(options, clock).unwrap(), begin)
}

#[test]
fn searches_by_time_take_a_logarithmic_number_of_reads() {
    for (count, steps) in [(1_000, 10), (30_000, 15)] {
        let (storage, store, begin) = long_queue(count);
        for at in [0, 1, count / 3, count / 2, count - 1] {
            let time = begin + at * 1000 + 500;
            let (reads, found) = storage.count(|| store.offset_by_time("T", 0, time, Boundary::Lower));
            let found = found.unwrap();
            assert!(found == 0 || store.store_time("T", 0, found - 1).unwrap() < time, "{found} for {at}");
            assert!(store.store_time("T", 0, found).is_none_or(|stored| stored >= time), "{found} for {at}");
            // A step opens a file at most, reads an entry and looks at the record's time.
            assert!(reads <= 4 * (steps + 1), "{reads} reads for one of {count}");
        }
    }
}

#[test]
fn gets_and_searches_by_key_take_reads_that_do_not_grow_with_the_queue() {
    let mut most = [0; 3];
    for (count, round) in [(1_000, 0), (30_000, 1)] {
        let (storage, store, begin) = long_queue(count);
        for at in [0, count / 3, count - 1] {
            let get = Get { topic: "T", queue_id: 0, offset: at, max_count: 1, max_bytes: 1 << 20 };
            let (got, result) = storage.count(|| store.get(&get, &()));
            assert_eq!((result.status, result.next_offset), (GetStatus::Found, at + 1));
            let (key, (from, to)) = (format!("k{at}"), (begin + at * 1000 - 5000, begin + at * 1000 + 5000));
            let (near, found) = storage.count(|| store.query_key("T", &key, 64, from, to));
            assert_eq!(found.records.len(), 1);
            // Eight files of keys; each is asked for one slot.
            let (ever, found) = storage.count(|| store.query_key("T", &key, 64, 0, i64::MAX));
            assert_eq!(found.records.len(), 1);
            let (missing, found) = storage.count(|| store.query_key("T", "none", 64, 0, i64::MAX));
            assert_eq!(found.records.len(), 0);
            let files = names(&storage.inner, "/store/index").len();
            let by_files = |reads: usize| reads.div_ceil(files);
            for (most, reads) in most.iter_mut().zip([got, near, by_files(ever.max(missing))]) {
                assert!(round == 1 || reads <= 16, "{reads} reads at {at} of {count}");
                *most = (*most).max(reads);
            }
        }
    }
    assert!(
        most[0] <= 8 && most[1] <= 16 && most[2] <= 8,
        "{most:?} reads of a get, a key, a key in each file"
    );
}

fn append_to(store: &Store, queues: i32, count: i64) {
    for number in 0..count {
        store.append(&new("T", number as i32 % queues, &number.to_be_bytes(), b"")).unwrap();
    }
    store.dispatch();
}

fn total(store: &Store) -> usize {
    store.queue_ids("T").into_iter().map(|queue| bodies(store, "T", queue, 0).len()).sum()
}

#[test]
fn an_orderly_start_reads_no_records_unless_the_queues_are_not_as_they_were_left() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, 7, 1000);
    store.close().unwrap();
    let left = memory.killed();
    let store = open(&memory);
    let report = store.recovery_report();
    let (checked, from) = (report.records_checked, report.checked_from);
    assert_eq!((report.clean, checked, from), (true, 0, report.end), "{report:?}");
    assert_eq!(total(&store), 1000);
    append_to(&store, 7, 10);
    assert_eq!(total(&store), 1010);
    store.close().unwrap();
    // The end of one queue is lost: nothing in the files shows it.
    let dir = "/store/consumequeue/T/3";
    let last = names(&left, dir).pop().unwrap();
    let file = left.open(&Path::new(dir).join(last), Open::Existing).unwrap();
    file.write_at(0, &[0; 400]).unwrap();
    let store = open(&left);
    let report = store.recovery_report();
    assert_eq!((report.clean, report.records_checked, report.checked_from), (true, 1000, 0));
    assert!(report.entries_rebuilt > 0 && report.notes.iter().any(|note| note.contains("as they were left")));
    assert_eq!(total(&store), 1000);
}

#[test]
fn after_a_crash_records_are_read_from_the_last_checkpoint_on() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, 7, 700);
    store.save().unwrap();
    append_to(&store, 9, 90);
    store.flush().unwrap();
    for left in [memory.killed(), memory.power_cut(3)] {
        let store = open(&left);
        let report = store.recovery_report();
        assert_eq!((report.clean, report.records_checked), (false, 90), "{report:?}");
        assert_eq!(total(&store), 790);
    }
}

/// A checkpoint of another log: no record ends where it says.
#[test]
fn a_checkpoint_that_points_into_a_record_is_not_believed() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, 1, 100);
    store.save().unwrap();
    let path = Path::new("/store/checkpoint");
    let now = Clock::new().now_ms();
    let mut checkpoint = Checkpoint::load(&memory, path, now).unwrap();
    let left = memory.killed();
    checkpoint.own.as_mut().unwrap().dispatched_to -= 5;
    checkpoint.save(&left, path).unwrap();
    let store = open(&left);
    assert_eq!((store.recovery_report().skipped.len(), total(&store)), (0, 100));
    append_to(&store, 1, 10);
    assert_eq!(total(&store), 110);
}

/// Times cannot say where recovery has to begin: here a file begins with an older record than the checkpoint vouches
/// for, and records before it have no entries on disk.
#[test]
fn a_clock_that_was_set_back_costs_no_record() {
    let memory = Memory::new();
    let ahead = Clock::new();
    ahead.advance(Duration::from_secs(3600));
    let store = Store::open(options(&memory), ahead).unwrap();
    append_to(&store, 3, 20);
    store.close().unwrap();
    let store = open(&memory);
    store.append(&new("T", 77, b"the only one of its queue", b"")).unwrap();
    while names(&memory, "/store/commitlog").len() < 3 {
        append_to(&store, 3, 10);
    }
    store.dispatch();
    let before = total(&store);
    let store = open(&memory.killed());
    assert_eq!(total(&store), before);
    assert_eq!(bodies(&store, "T", 77, 0).len(), 1);
}

/// A sync of the whole file system takes its time, and entries are written to queue files behind its back.
#[test]
fn what_is_written_while_the_file_system_is_synced_waits_for_the_next_sync() {
    let memory = Memory::new();
    let storage = counted(&memory);
    let mut options = options(&memory);
    options.storage = Arc::new(storage.clone());
    let store = Store::open(options, Clock::new()).unwrap();
    append_to(&store, 70, 70);
    let busy = Arc::downgrade(&store);
    *storage.synced.0.lock() = Some(Box::new(move || append_to(&busy.upgrade().unwrap(), 1, 200)));
    store.save().unwrap();
    // The queue is at rest now.
    assert_eq!(store.queue_bounds("T", 0), Some(0..201));
    store.save().unwrap();
    for seed in 0..20 {
        let store = open(&memory.power_cut(seed));
        assert_eq!(total(&store), 270, "{:?}", store.recovery_report());
    }
}

#[test]
fn what_a_killed_process_wrote_is_brought_to_disk_by_the_next_start() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, 3, 100);
    let left = memory.killed();
    let storage = counted(&left);
    let mut options = options(&left);
    options.storage = Arc::new(storage.clone());
    let synced = Arc::new(AtomicBool::new(false));
    let told = synced.clone();
    *storage.synced.0.lock() = Some(Box::new(move || told.store(true, Ordering::Relaxed)));
    let store = Store::open(options.clone(), Clock::new()).unwrap();
    assert!(synced.swap(false, Ordering::Relaxed));
    store.close().unwrap();
    drop(store);
    let told = synced.clone();
    *storage.synced.0.lock() = Some(Box::new(move || told.store(true, Ordering::Relaxed)));
    drop(Store::open(options, Clock::new()).unwrap());
    assert!(!synced.load(Ordering::Relaxed), "after an orderly stop everything is there");
}
