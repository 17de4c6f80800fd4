//! Old files go, by a clock that tests move.

use std::time::Duration;

use super::*;
use crate::store::storage::{local_time, Operation, Space};

const HOUR: Duration = Duration::from_secs(3600);

/// A store with some ten files, and a clock to move. Retention runs only when asked.
fn filled(memory: &Memory, change: impl FnOnce(&mut StoreOptions)) -> (Arc<Store>, Clock) {
    let clock = Clock::new();
    let mut options = options(memory);
    options.delete_when = String::new();
    options.clean_resource_interval_ms = u64::MAX >> 8;
    change(&mut options);
    let store = Store::open(options, clock.clone()).unwrap();
    for n in 0..300 {
        store.append(&new("T", n % 3, &[b'x'; 1000], format!("KEYS\u{1}k{n}\u{2}").as_bytes())).unwrap();
    }
    store.flush().unwrap();
    (store, clock)
}

fn hour_in(clock: &Clock, hours: u32) -> String {
    format!("{:02}", local_time(clock.now_ms() + i64::from(hours) * 3_600_000)[3])
}

fn files(memory: &Memory) -> usize {
    names(memory, "/store/commitlog").len()
}

fn use_disk(memory: &Memory, percent: u64) {
    memory.set_space(Space { total: 1000, free: 1000 - percent * 10 });
}

#[test]
fn expired_files_go_at_their_hour_and_what_points_to_them_goes_too() {
    let memory = Memory::new();
    let clock = Clock::new();
    let when = hour_in(&clock, 73);
    let (store, clock) = filled(&memory, |options| options.delete_when = format!("{when};77"));
    let before = files(&memory);
    assert!(before >= 10);
    let held = store.get(&Get { topic: "T", queue_id: 0, offset: 0, max_count: 1, max_bytes: 1 }, &());
    clock.advance(71 * HOUR);
    store.run_retention();
    assert_eq!(files(&memory), before);
    clock.advance(2 * HOUR);
    store.run_retention();
    // Ten a round, and never the file that is written to.
    let left = files(&memory);
    assert_eq!(left, (before - 10).max(1));
    store.run_retention();
    assert_eq!(files(&memory), 1);
    assert_eq!(store.min_physical_offset(), (before as i64 - 1) * (32 << 10));
    let bounds = store.queue_bounds("T", 0).unwrap();
    assert!(bounds.start > 80 && bounds.end == 100, "{bounds:?}");
    let got = store.get(&Get { topic: "T", queue_id: 0, offset: 3, max_count: 1, max_bytes: 1 }, &());
    assert_eq!((got.status, got.next_offset), (GetStatus::OffsetTooSmall, bounds.start));
    assert_eq!(bodies(&store, "T", 0, 0).len() as i64, bounds.end - bounds.start);
    assert!(names(&memory, "/store/consumequeue/T/0").len() <= 2);
    assert!(names(&memory, "/store/index").len() <= 2);
    // A reader keeps what it has.
    assert_eq!(records(&held.records[0]).next().unwrap().unwrap().body(), [b'x'; 1000]);
    store.close().unwrap();
    let (store, _) = (open(&memory), ());
    assert!(store.recovery_report().clean);
    assert_eq!(store.queue_bounds("T", 0), Some(bounds.clone()));
    assert_eq!(store.append(&new("T", 0, b"next", b"")).unwrap().queue_offset, 100);
    assert!(store.earliest_store_time() > 0);
}

#[test]
fn at_another_hour_only_a_full_disk_or_a_request_lets_expired_files_go() {
    let memory = Memory::new();
    let (store, clock) = filled(&memory, |_| {});
    let before = files(&memory);
    clock.advance(73 * HOUR);
    store.run_retention();
    assert_eq!(files(&memory), before);
    use_disk(&memory, 76);
    store.run_retention();
    assert_eq!(files(&memory), (before - 10).max(1));
    let memory = Memory::new();
    let (store, clock) = filled(&memory, |_| {});
    store.delete_expired_files();
    assert_eq!(files(&memory), before);
    clock.advance(73 * HOUR);
    store.delete_expired_files();
    assert!(files(&memory) < before);
}

#[test]
fn a_crowded_disk_takes_files_before_their_time_and_then_refuses_writes() {
    let memory = Memory::new();
    let (store, _) = filled(&memory, |_| {});
    let before = files(&memory);
    use_disk(&memory, 80);
    store.run_retention();
    assert_eq!(files(&memory), before);
    use_disk(&memory, 86);
    store.run_retention();
    assert_eq!(files(&memory), (before - 10).max(1));
    store.append(&new("T", 0, b"x", b"")).unwrap();
    use_disk(&memory, 91);
    store.run_retention();
    let error = store.append(&new("T", 0, b"x", b"")).unwrap_err().to_string();
    assert!(error.contains("91 %") && error.contains("diskSpaceWarningLevelRatio"), "{error}");
    assert!(matches!(store.state(), WriteState::ReadOnly { .. }));
    assert!(!bodies(&store, "T", 0, 0).is_empty());
    use_disk(&memory, 50);
    store.run_retention();
    store.append(&new("T", 0, b"x", b"")).unwrap();
    let memory = Memory::new();
    let (store, _) = filled(&memory, |options| options.clean_file_forcibly_enable = false);
    use_disk(&memory, 89);
    store.run_retention();
    assert_eq!(files(&memory), before);
}

#[test]
fn the_stores_own_timer_does_it() {
    let memory = Memory::new();
    let clock = Clock::new();
    let when = hour_in(&clock, 100);
    let (store, clock) = filled(&memory, |options| {
        options.delete_when = when;
        options.clean_resource_interval_ms = 10_000;
    });
    clock.advance(100 * HOUR);
    let asked = std::time::Instant::now();
    while files(&memory) > 1 && asked.elapsed() < Duration::from_secs(60) {
        clock.advance(Duration::from_secs(11));
        std::thread::yield_now();
    }
    assert_eq!(files(&memory), 1);
    assert!(store.min_physical_offset() > 0);
}

#[test]
fn a_quota_takes_the_oldest_files_whatever_their_age() {
    let memory = Memory::new();
    let quota = 5 * (32 << 10);
    let (store, _) = filled(&memory, |options| {
        options.max_store_size = quota;
        options.clean_file_forcibly_enable = false;
    });
    let before = files(&memory);
    assert!(store.size() > quota && before >= 10);
    store.run_retention();
    assert!(store.size() <= quota, "{}", store.size());
    let left = files(&memory);
    assert!((2..=5).contains(&left), "{left} of {before}");
    store.run_retention();
    assert_eq!(files(&memory), left);
    let bounds = store.queue_bounds("T", 0).unwrap();
    assert!(bounds.start > 0 && bounds.end == 100, "{bounds:?}");
    assert_eq!(bodies(&store, "T", 0, 0).len() as i64, bounds.end - bounds.start);
    // The file that is written to stays, and so do the records in it.
    let mut rules = Retention::from(store.options());
    rules.max_store_size = 1;
    store.set_retention(rules);
    store.run_retention();
    assert_eq!(files(&memory), 1);
    assert!(!bodies(&store, "T", 0, 0).is_empty());
    store.append(&new("T", 0, b"x", b"")).unwrap();
}

/// Files of queues and index go one by one, and the checkpoint of before may be the last one.
#[test]
fn a_kill_in_the_middle_of_retention_costs_no_reading_of_the_whole_log() {
    let memory = Memory::new();
    let (store, _) = filled(&memory, |_| {});
    store.save().unwrap();
    let expected: Vec<_> = (0..3).map(|id| store.queue_bounds("T", id).unwrap().end).collect();
    let images = Arc::new(Mutex::new(Vec::new()));
    let (disk, taken) = (memory.clone(), images.clone());
    memory.intercept(move |operation, path| {
        let path = path.to_string_lossy();
        let removes = operation == Operation::Remove && !path.contains("/commitlog/");
        if removes || operation == Operation::Write && path.ends_with("checkpoint") {
            taken.lock().push((path.into_owned(), disk.killed()));
        }
        Ok(())
    });
    use_disk(&memory, 90);
    store.run_retention();
    memory.intercept(|_, _| Ok(()));
    let images = std::mem::take(&mut *images.lock());
    let of = |part: &str| images.iter().filter(|(path, _)| path.contains(part)).count();
    assert!(of("consumequeue") >= 6 && of("index") >= 2 && of("checkpoint") >= 1, "{}", images.len());
    for (path, image) in images {
        use_disk(&image, 50);
        let store = open(&image);
        let report = store.recovery_report();
        assert_eq!((report.records_checked, report.entries_rebuilt), (0, 0), "{path}: {report:?}");
        for (id, end) in (0..).zip(&expected) {
            let bounds = store.queue_bounds("T", id).unwrap();
            assert_eq!((bounds.end, bodies(&store, "T", id, 0).len() as i64), (*end, end - bounds.start));
        }
        assert_eq!(store.query_key("T", "k299", 9, 0, i64::MAX).records.len(), 1);
        store.close().unwrap();
    }
}

/// The first file of a queue was not removed by retention, which is in the middle of its work as well.
#[test]
fn a_first_file_that_is_lost_is_not_taken_for_one_that_expired() {
    let memory = Memory::new();
    let (store, _) = filled(&memory, |options| options.max_store_size = 8 * (32 << 10));
    store.save().unwrap();
    let (disk, image) = (memory.clone(), Arc::new(Mutex::new(None)));
    let taken = image.clone();
    memory.intercept(move |operation, path| {
        if operation == Operation::Remove && path.to_string_lossy().contains("/consumequeue/T/1/") {
            taken.lock().get_or_insert_with(|| disk.killed());
        }
        Ok(())
    });
    store.run_retention();
    memory.intercept(|_, _| Ok(()));
    let end = store.queue_bounds("T", 2).unwrap();
    let image = image.lock().take().unwrap();
    let dir = Path::new("/store/consumequeue/T/2");
    let files = names(&image, "/store/consumequeue/T/2");
    let lost = files.len() - 1;
    files[..lost].iter().for_each(|name| image.remove_file(&dir.join(name)).unwrap());
    let store = open(&image);
    assert_eq!(store.queue_bounds("T", 2), Some(end.clone()), "{:?}", store.recovery_report());
    assert_eq!(bodies(&store, "T", 2, 0).len() as i64, end.end - end.start);
}

#[test]
fn a_first_file_that_is_lost_is_noticed_also_without_a_checkpoint() {
    for closed in [false, true] {
        let memory = Memory::new();
        let (store, _) = filled(&memory, |options| options.max_store_size = 8 * (32 << 10));
        store.run_retention();
        let bounds = store.queue_bounds("T", 2).unwrap();
        store.save().unwrap();
        if closed {
            store.close().unwrap();
        }
        let left = memory.killed();
        left.remove_file(Path::new("/store/checkpoint")).unwrap();
        let dir = "/store/consumequeue/T/2";
        let files = names(&left, dir);
        for name in &files[..files.len() - 1] {
            left.remove_file(&Path::new(dir).join(name)).unwrap();
        }
        let store = open(&left);
        assert_eq!(store.queue_bounds("T", 2), Some(bounds.clone()), "{:?}", store.recovery_report());
        assert_eq!(bodies(&store, "T", 2, 0).len() as i64, bounds.end - bounds.start);
        store.close().unwrap();
    }
}
