//! Copies of a store in use.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::storage::{Files, Operation, Space};

const TO: &str = "/backup";

fn append(store: &Store, n: u32) {
    let properties = format!("KEYS\u{1}k{n}\u{2}");
    let body = n.to_string().repeat(n as usize % 50);
    store
        .append(&new(&format!("T{}", n % 7), (n % 3) as i32, body.as_bytes(), properties.as_bytes()))
        .unwrap();
}

/// Topic, queue, and the numbers and bodies in it.
type Content = (String, i32, Vec<(i64, Vec<u8>)>);

/// All that can be read.
fn content(store: &Store) -> Vec<Content> {
    let ids =
        |topic: &String| store.queue_ids(topic).into_iter().map(|id| (topic.clone(), id)).collect::<Vec<_>>();
    let queues = store.topics().iter().flat_map(ids).collect::<Vec<_>>();
    queues.into_iter().map(|(topic, id)| (topic.clone(), id, bodies(store, &topic, id, 0))).collect()
}

fn check_keys(store: &Store, count: u32) {
    for n in 0..count {
        let found = store.query_key(&format!("T{}", n % 7), &format!("k{n}"), 10, 0, i64::MAX).records;
        assert!(!found.is_empty(), "k{n}");
    }
}

fn restored(memory: &Memory) -> Arc<Store> {
    let store = Store::open(StoreOptions { root: TO.into(), ..options(memory) }, Clock::new()).unwrap();
    let report = store.recovery_report();
    assert!(report.clean && report.skipped.is_empty() && report.cut.is_empty(), "{report:?}");
    assert_eq!((report.entries_rebuilt, report.entries_removed, report.holes), (0, 0, 0), "{report:?}");
    assert!(report.notes.is_empty(), "{report:?}");
    store
}

#[test]
fn a_backup_is_what_the_store_was_and_goes_on_by_itself() {
    let memory = Memory::new();
    let store = open(&memory);
    (0..1000).for_each(|n| append(&store, n));
    let backup = store.backup(Path::new(TO), FullFiles::Linked).unwrap();
    let before = content(&store);
    assert_eq!((backup.log.clone(), backup.queues), (0..store.max_physical_offset(), 21));
    (1000..2000).for_each(|n| append(&store, n));
    let copy = restored(&memory);
    assert_eq!(content(&copy), before);
    check_keys(&copy, 1000);
    assert!(copy.query_key("T0", "k1001", 10, 0, i64::MAX).records.is_empty());
    let appended = copy.append(&new("T1", 1, b"next", b"")).unwrap();
    assert_eq!(appended.physical_offset, backup.log.end);
    assert_eq!(
        appended.queue_offset,
        before.iter().find(|q| (&*q.0, q.1) == ("T1", 1)).unwrap().2.len() as i64
    );
    check_keys(&store, 2000);
}

#[test]
fn a_backup_under_load_holds_everything_up_to_one_moment() {
    for round in 0..5 {
        let memory = Memory::new();
        let store = open(&memory);
        (0..200).for_each(|n| append(&store, n));
        let stop = AtomicBool::new(false);
        let (backup, appended) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut n = 200;
                while !stop.load(Ordering::Relaxed) || n < 400 {
                    append(&store, n);
                    n += 1;
                    if n % 10 == 0 {
                        store.dispatch();
                    }
                }
                n
            });
            let backup = store.backup(Path::new(TO), FullFiles::Copied);
            stop.store(true, Ordering::Relaxed);
            (backup.unwrap(), writer.join().unwrap())
        });
        let copy = restored(&memory);
        assert_eq!(copy.max_physical_offset(), backup.log.end, "round {round}");
        let (all, part) = (content(&store), content(&copy));
        let mut count = 0;
        for (topic, id, records) in &part {
            let whole = &all.iter().find(|queue| (&queue.0, queue.1) == (topic, *id)).unwrap().2;
            assert_eq!(records[..], whole[..records.len()]);
            count += records.len();
        }
        assert!(count >= 200 && count <= appended as usize);
        // In log order the keys are those of the first records: nothing between is missing, nothing more is there.
        check_keys(&copy, count as u32);
        assert!(copy
            .query_key(&format!("T{}", count % 7), &format!("k{count}"), 10, 0, i64::MAX)
            .records
            .is_empty());
    }
}

#[test]
fn old_files_may_go_and_topics_be_deleted_before_and_meanwhile() {
    let memory = Memory::new();
    let clock = Clock::new();
    let store = Store::open(options(&memory), clock.clone()).unwrap();
    (0..3000).for_each(|n| append(&store, n));
    store.delete_topic("T3").unwrap();
    clock.advance(std::time::Duration::from_secs(100 * 3600));
    store.delete_expired_files();
    assert!(store.min_physical_offset() > 0);
    // Meanwhile: as soon as the first queue is copied.
    let (weak, once) = (Arc::downgrade(&store), AtomicBool::new(false));
    memory.intercept(move |operation, path| {
        if operation == Operation::Write && path.starts_with("/backup/consumequeue/T1") {
            if let Some(store) = weak.upgrade().filter(|_| !once.swap(true, Ordering::SeqCst)) {
                std::thread::spawn(move || {
                    store.delete_expired_files();
                    store.delete_topic("T5").unwrap();
                })
                .join()
                .unwrap();
            }
        }
        Ok(())
    });
    let backup = store.backup(Path::new(TO), FullFiles::Linked).unwrap();
    memory.intercept(|_, _| Ok(()));
    assert!(backup.log.start > 0);
    let copy = Store::open(StoreOptions { root: TO.into(), ..options(&memory) }, clock).unwrap();
    assert!(copy.recovery_report().clean && copy.recovery_report().skipped.is_empty());
    assert_eq!(copy.topics(), ["T0", "T1", "T2", "T4", "T6"]);
    for (topic, id, records) in content(&store) {
        assert_eq!(
            bodies(&copy, &topic, id, copy.queue_bounds(&topic, id).unwrap().end - records.len() as i64),
            records
        );
    }
}

#[test]
fn what_fails_leaves_nothing_and_the_store_goes_on() {
    let memory = Memory::new();
    let store = open(&memory);
    (0..500).for_each(|n| append(&store, n));
    let text = |to: &str| store.backup(Path::new(to), FullFiles::Copied).unwrap_err().to_string();
    assert!(text("/store/config/b").contains("lies within the store /store"));
    assert!(text("/store").contains("lies within"));
    memory.set_space(Space { total: 1 << 30, free: 1000 });
    assert!(text(TO).contains("1000 are free"), "{}", text(TO));
    memory.set_space(Space { total: 1 << 30, free: 1 << 30 });
    for place in ["commitlog/", "consumequeue/", "index/", "checkpoint"] {
        memory.intercept(move |operation, path| {
            let hit = path.starts_with(TO) && path.to_string_lossy().contains(place);
            match hit && operation == Operation::Write {
                true => Err(std::io::Error::from_raw_os_error(libc::ENOSPC)),
                false => Ok(()),
            }
        });
        let error = text(TO);
        assert!(error.contains(TO) && error.contains("os error 28"), "{error}");
        assert_eq!(names(&memory, TO), Vec::<String>::new(), "{place}");
        assert_eq!(store.state(), WriteState::Writable);
        append(&store, 500);
    }
    memory.intercept(|_, _| Ok(()));
    store.backup(Path::new(TO), FullFiles::Copied).unwrap();
    assert!(text(TO).contains("holds something"));
    drop(restored(&memory));
}

#[test]
fn one_that_was_cut_off_is_not_opened() {
    let memory = Memory::new();
    let store = open(&memory);
    (0..500).for_each(|n| append(&store, n));
    let image = Arc::new(crate::sync::Mutex::new(None));
    let (disk, taken) = (memory.clone(), image.clone());
    memory.intercept(move |operation, path| {
        if operation == Operation::Write && path.starts_with("/backup/consumequeue") && taken.lock().is_none()
        {
            *taken.lock() = Some(disk.killed());
        }
        Ok(())
    });
    store.backup(Path::new(TO), FullFiles::Copied).unwrap();
    let killed = image.lock().take().unwrap();
    let error =
        Store::open(StoreOptions { root: TO.into(), ..options(&killed) }, Clock::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("a backup that was not finished"), "{error}");
    drop(restored(&memory.killed()));
}

#[test]
fn full_files_are_linked_where_that_is_possible() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let options = |name: &str| StoreOptions {
        // The disk may be busy with other tests.
        os_page_cache_busy_time_out_ms: 60_000,
        storage: Arc::new(Files),
        root: dir.path().join(name),
        ..options(&Memory::new())
    };
    let store = Store::open(options("store"), Clock::new()).unwrap();
    (0..1000).for_each(|n| append(&store, n));
    for (name, full, names_each) in [("linked", FullFiles::Linked, 2), ("copied", FullFiles::Copied, 1)] {
        let backup = store.backup(&dir.path().join(name), full).unwrap();
        let meta = |of: &str| dir.path().join(of).join("commitlog/00000000000000000000").metadata().unwrap();
        assert_eq!(meta(name).nlink(), names_each);
        let ms = |of: &str| {
            meta(of).modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
        };
        assert_eq!(ms(name), ms("store"));
        assert_eq!(backup.linked > 0, full == FullFiles::Linked);
        let copy = Store::open(options(name), Clock::new()).unwrap();
        assert!(copy.recovery_report().clean && copy.recovery_report().notes.is_empty());
        assert_eq!(content(&copy), content(&store));
        copy.close().unwrap();
        std::fs::remove_dir_all(dir.path().join(name)).unwrap();
    }
}
