//! Disks that fail, are full or slow: every failure is told to whoever waits, and nothing is promised that was not done.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::time::Duration;

use super::*;
use crate::store::storage::Operation;

fn sync_store(memory: &Memory, clock: &Clock) -> Arc<Store> {
    let mut options = options(memory);
    options.flush_mode = FlushMode::Sync;
    Store::open(options, clock.clone()).unwrap()
}

fn wait(store: &Store, end: i64) -> Receiver<Durability> {
    let (sender, receiver) = channel();
    store.when_durable(end, Box::new(move |how| sender.send(how).unwrap()));
    receiver
}

/// Lets operations of a kind fail on paths that contain `part`.
fn fail(memory: &Memory, operation: Operation, part: &'static str, code: i32) {
    memory.intercept(move |asked, path| {
        if asked == operation && path.to_string_lossy().contains(part) {
            return Err(io::Error::from_raw_os_error(code));
        }
        Ok(())
    });
}

fn heal(memory: &Memory) {
    memory.intercept(|_, _| Ok(()));
}

fn reason(store: &Store) -> String {
    match store.state() {
        WriteState::ReadOnly { reason } => reason,
        WriteState::Writable => panic!("the store is writable"),
    }
}

/// What the process before had in memory is made again at the start, and there is no room for it yet.
#[test]
fn a_store_that_was_killed_on_a_full_disk_opens_and_takes_writes_when_there_is_room() {
    for count in [5, 300, 700] {
        let memory = Memory::new();
        let store = open(&memory);
        store.append(&new("T", 7, b"saved", b"")).unwrap();
        store.save().unwrap();
        (0..count).for_each(|number: i64| {
            store.append(&new("T", 0, &number.to_be_bytes(), b"")).unwrap();
        });
        // None of it goes to the queue's file.
        let left = memory.killed();
        drop(store);
        left.intercept(|operation, path| {
            let path = path.to_string_lossy();
            let no_room = match operation {
                Operation::Write => ["consumequeue", "abort", "lock"].iter().any(|part| path.contains(part)),
                Operation::Allocate => path.contains("consumequeue"),
                _ => false,
            };
            if no_room {
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            } else {
                Ok(())
            }
        });
        let clock = Clock::new();
        let store = Store::open(options(&left), clock.clone()).unwrap();
        assert_eq!(bodies(&store, "T", 0, 0).len(), count as usize);
        assert!(reason(&store).contains("no space"));
        assert!(matches!(store.append(&new("T", 0, b"", b"")), Err(AppendError::ReadOnly(_))));
        heal(&left);
        // Nobody but the store's timer looks.
        while store.state() != WriteState::Writable {
            clock.advance(Duration::from_millis(200));
            std::thread::sleep(Duration::from_millis(5));
        }
        store.append(&new("T", 0, b"more", b"")).unwrap();
        store.close().unwrap();
        drop(store);
        let store = open(&left);
        assert!(store.recovery_report().clean);
        assert_eq!(bodies(&store, "T", 0, 0).len(), count as usize + 1);
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_not_taken_for_one_that_is_not_there() {
    let memory = Memory::new();
    for n in 0..20 {
        let store = open(&memory);
        store.append(&new("T", n, b"x", b"")).unwrap();
        store.close().unwrap();
    }
    let store = open(&memory);
    // More queues than files are kept open.
    for n in 10..20 {
        assert!(store.entry("T", n, 0).is_some());
    }
    fail(&memory, Operation::Open, "consumequeue", libc::EMFILE);
    assert!(store.try_entry("T", 0, 0).is_err());
    assert_eq!(store.entry("T", 0, 0), None);
    assert!(matches!(store.try_entry("T", 0, 1), Ok(None)), "behind the end");
    heal(&memory);
    assert!(matches!(store.try_entry("T", 0, 0), Ok(Some(_))));
}

#[test]
fn a_failed_sync_is_told_and_never_becomes_a_success() {
    let memory = Memory::new();
    let store = sync_store(&memory, &Clock::new());
    let first = store.append(&new("T", 0, b"safe", b"")).unwrap();
    assert_eq!(wait(&store, first.end).recv().unwrap(), Durability::Flushed);
    fail(&memory, Operation::Sync, "commitlog", libc::EIO);
    let lost = store.append(&new("T", 0, b"lost", b"")).unwrap();
    let told = wait(&store, lost.end).recv().unwrap();
    assert!(matches!(&told, Durability::Failed(why) if why.contains("00000000000000000000")), "{told:?}");
    // The disk works again, but the pages of the failed sync count as clean: only a restart looks at what is there.
    heal(&memory);
    assert!(matches!(wait(&store, lost.end).recv().unwrap(), Durability::Failed(_)));
    assert!(store.flush().is_err());
    assert_eq!(store.append(&new("T", 0, b"more", b"")), Err(AppendError::ReadOnly(reason(&store))));
    assert!(reason(&store).contains("sync of"));
    // Never visible; what was safe can still be read.
    assert_eq!(store.queue_bounds("T", 0), Some(0..1));
    assert!(store.record(lost.physical_offset).is_none());
    assert_eq!(bodies(&store, "T", 0, 0), [(0, b"safe".to_vec())]);
    assert!(store.close().is_err());
    assert!(names(&memory, "/store").contains(&"abort".to_owned()));
    let store = sync_store(&memory, &Clock::new());
    assert!(!store.recovery_report().clean);
    assert_eq!(bodies(&store, "T", 0, 0)[0], (0, b"safe".to_vec()));
}

#[test]
fn a_failed_sync_in_the_background_stops_the_store() {
    let memory = Memory::new();
    let clock = Clock::new();
    let store = Store::open(options(&memory), clock.clone()).unwrap();
    fail(&memory, Operation::Sync, "commitlog/", libc::EIO);
    // The file's own length is synced when it is made.
    assert!(store.append(&new("T", 0, b"x", b"")).is_err());
    assert!(reason(&store).contains("commitlog"));
    drop(store);
    heal(&memory);
    let store = Store::open(options(&memory), clock.clone()).unwrap();
    store.append(&new("T", 0, b"x", b"")).unwrap();
    fail(&memory, Operation::Sync, "commitlog/", libc::EIO);
    assert!(store.save().is_err());
    assert!(matches!(store.append(&new("T", 0, b"x", b"")), Err(AppendError::ReadOnly(_))));
    // Under ASYNC_FLUSH it was acknowledged from the page cache, and stays readable.
    assert_eq!(bodies(&store, "T", 0, 0).len(), 1);
}

#[test]
fn a_failed_write_is_told_and_stops_the_store() {
    let memory = Memory::new();
    let store = sync_store(&memory, &Clock::new());
    let first = store.append(&new("T", 0, b"safe", b"")).unwrap();
    assert_eq!(wait(&store, first.end).recv().unwrap(), Durability::Flushed);
    fail(&memory, Operation::Write, "commitlog", libc::EIO);
    let error = store.append(&new("T", 0, b"x", b"")).unwrap_err().to_string();
    assert!(error.contains("commitlog/00000000000000000000") && error.contains("os error 5"), "{error}");
    heal(&memory);
    assert!(store.append(&new("T", 0, b"x", b"")).is_err());
    assert_eq!(store.queue_bounds("T", 0), Some(0..1));
}

#[test]
fn a_full_disk_is_met_before_anything_is_written_and_may_end() {
    let memory = Memory::new();
    let store = open(&memory);
    let body = [b'x'; 1000];
    store.append(&new("T", 0, &body, b"")).unwrap();
    fail(&memory, Operation::Allocate, "commitlog", libc::ENOSPC);
    let mut stored = 1;
    let error = loop {
        match store.append(&new("T", 0, &body, b"")) {
            Ok(_) => stored += 1,
            Err(error) => break error.to_string(),
        }
        assert!(stored < 100);
    };
    assert!(error.contains("commitlog/0000") && error.contains("os error 28"), "{error}");
    assert!(reason(&store).contains("no space"));
    assert_eq!(bodies(&store, "T", 0, 0).len(), stored);
    heal(&memory);
    for _ in 0..100 {
        store.append(&new("T", 0, &body, b"")).unwrap();
    }
    assert_eq!(store.state(), WriteState::Writable);
    store.close().unwrap();
    let store = open(&memory);
    assert_eq!(bodies(&store, "T", 0, 0).len(), stored + 100);
}

#[test]
fn a_slow_disk_is_a_timeout_and_the_record_is_there() {
    let memory = Memory::new();
    let clock = Clock::new();
    let store = sync_store(&memory, &clock);
    let first = store.append(&new("T", 0, b"quick", b"")).unwrap();
    assert_eq!(wait(&store, first.end).recv().unwrap(), Durability::Flushed);
    let (entered, inside) = channel();
    let (release, gate) = channel::<()>();
    let (entered, gate) = (Mutex::new(entered), Mutex::new(Some(gate)));
    memory.intercept(move |operation, path| {
        if operation == Operation::Sync && path.to_string_lossy().contains("commitlog") {
            if let Some(gate) = gate.lock().take() {
                entered.lock().send(()).unwrap();
                gate.recv().unwrap();
            }
        }
        Ok(())
    });
    let late = store.append(&new("T", 0, b"late", b"")).unwrap();
    let told = wait(&store, late.end);
    inside.recv().unwrap();
    assert_eq!(store.queue_bounds("T", 0), Some(0..1));
    // Until the deadline nothing is told, and then it is.
    clock.advance(Duration::from_millis(4_000));
    assert!(told.try_recv().is_err());
    clock.advance(Duration::from_millis(1_100));
    assert_eq!(told.recv().unwrap(), Durability::TimedOut);
    // Told to be stored, so it is visible.
    assert_eq!(bodies(&store, "T", 0, 0).len(), 2);
    assert!(store.flushed_offset() < late.end);
    release.send(()).unwrap();
    assert_eq!(wait(&store, late.end).recv().unwrap(), Durability::Flushed);
}

#[test]
fn nothing_is_visible_before_it_is_durable() {
    let memory = Memory::new();
    let store = sync_store(&memory, &Clock::new());
    let seen = Arc::new(Mutex::new(Vec::new()));
    store.set_listener({
        let seen = seen.clone();
        move |arrival: &Arrival<'_>| seen.lock().push(arrival.offset)
    });
    let appended = store.append(&new("T", 0, b"x", b"")).unwrap();
    store.dispatch();
    // The timer may flush by itself, but not before its interval is over by a clock that only tests move on.
    if store.flushed_offset() < appended.end {
        assert!(seen.lock().is_empty());
    }
    assert_eq!(wait(&store, appended.end).recv().unwrap(), Durability::Flushed);
    assert_eq!(store.queue_bounds("T", 0), Some(0..1));
    store.close().unwrap();
    assert_eq!(*seen.lock(), [0]);
}

#[test]
fn a_queue_that_cannot_be_written_stops_sends_but_not_reads() {
    let memory = Memory::new();
    let store = open(&memory);
    fail(&memory, Operation::Open, "consumequeue", libc::EMFILE);
    let mut appended = 0;
    while appended < 2000 && store.append(&new("T", 0, b"x", b"")).is_ok() {
        store.dispatch();
        appended += 1;
    }
    assert!((200..2000).contains(&appended));
    assert!(reason(&store).contains("consume queue of T"));
    assert_eq!(bodies(&store, "T", 0, 0).len(), appended);
    drop(store);
    heal(&memory);
    let store = open(&memory);
    assert_eq!(bodies(&store, "T", 0, 0).len(), appended);
}

#[test]
fn no_room_for_queue_files_stops_sends_until_there_is() {
    for operation in [Operation::Write, Operation::Allocate] {
        let memory = Memory::new();
        let clock = Clock::new();
        let store = Store::open(options(&memory), clock.clone()).unwrap();
        fail(&memory, operation, "consumequeue", libc::ENOSPC);
        let mut appended = 0;
        let refused = loop {
            match store.append(&new("T", 0, b"x", b"")) {
                Ok(_) => appended += 1,
                Err(error) => break error.to_string(),
            }
            store.dispatch();
            assert!(appended < 2000);
        };
        assert!(
            refused.contains("no space for the consume queue of T") && refused.contains("/store"),
            "{refused}"
        );
        assert_eq!(bodies(&store, "T", 0, 0).len(), appended);
        assert!(store.save().is_err());
        assert!(store.append(&new("T", 0, b"x", b"")).is_err());
        heal(&memory);
        // The store's own timer tries again.
        let asked = std::time::Instant::now();
        while store.state() != WriteState::Writable {
            assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", store.state());
            clock.advance(Duration::from_secs(2));
            std::thread::yield_now();
        }
        store.append(&new("T", 0, b"x", b"")).unwrap();
        store.close().unwrap();
        assert_eq!(bodies(&open(&memory), "T", 0, 0).len(), appended + 1);
    }
}

#[test]
fn room_for_the_log_is_seen_also_when_nobody_appends() {
    let memory = Memory::new();
    let store = open(&memory);
    store.append(&new("T", 0, b"x", b"")).unwrap();
    fail(&memory, Operation::Allocate, "commitlog", libc::ENOSPC);
    while store.append(&new("T", 0, &[b'x'; 1000], b"")).is_ok() {}
    assert!(reason(&store).contains("no space"));
    store.run_retention();
    assert!(reason(&store).contains("no space"));
    heal(&memory);
    store.run_retention();
    assert_eq!(store.state(), WriteState::Writable);
}

#[test]
fn a_crowded_disk_is_seen_at_the_start() {
    let memory = Memory::new();
    memory.set_space(crate::store::storage::Space { total: 1000, free: 50 });
    let store = open(&memory);
    let error = store.append(&new("T", 0, b"x", b"")).unwrap_err().to_string();
    assert!(error.contains("95 % full") && error.contains("/store"), "{error}");
}

#[test]
fn an_index_that_cannot_be_written_disturbs_nothing() {
    let memory = Memory::new();
    let store = open(&memory);
    fail(&memory, Operation::Allocate, "index", libc::ENOSPC);
    for n in 0..50 {
        store.append(&new("T", 0, b"x", format!("KEYS\u{1}k{n}\u{2}").as_bytes())).unwrap();
    }
    assert!(store.query_key("T", "k1", 10, 0, i64::MAX).records.is_empty());
    assert_eq!(store.state(), WriteState::Writable);
    heal(&memory);
    store.close().unwrap();
    // The next start makes up for it.
    let store = open(&memory);
    assert_eq!(store.query_key("T", "k1", 10, 0, i64::MAX).records.len(), 1);
    assert_eq!(store.query_key("T", "k49", 10, 0, i64::MAX).records.len(), 1);
}

#[test]
fn a_directory_in_use_or_not_writable_is_named() {
    let memory = Memory::new();
    let first = open(&memory);
    let error = Store::open(options(&memory), Clock::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains("/store is in use by process"), "{error}");
    drop(first);
    let memory = Memory::new();
    fail(&memory, Operation::Open, "abort", libc::EACCES);
    let error = Store::open(options(&memory), Clock::new()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("/store") && error.to_string().contains("os error 13"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Store::open(StoreOptions::new(file.path().join("below")), Clock::new()).err().unwrap();
    assert!(error.to_string().contains("below"), "{error}");
}

#[test]
fn other_file_sizes_are_refused_with_the_way_out_and_nothing_is_touched() {
    let memory = Memory::new();
    let store = open(&memory);
    for _ in 0..100 {
        store.append(&new("T", 0, &[b'x'; 1000], b"")).unwrap();
    }
    store.close().unwrap();
    let change: [fn(&mut StoreOptions); 4] = [
        |options| options.mapped_file_size_commit_log = 1 << 20,
        |options| options.mapped_file_size_commit_log = 16 << 10,
        |options| options.mapped_file_size_consume_queue = 4000,
        |options| options.mapped_file_size_commit_log = 100,
    ];
    for change in change {
        let mut options = options(&memory);
        change(&mut options);
        let error = Store::open(options, Clock::new()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("mappedFileSize"), "{error}");
    }
    let store = open(&memory);
    assert!(store.recovery_report().clean);
    assert_eq!(bodies(&store, "T", 0, 0).len(), 100);
}

#[test]
fn an_append_that_holds_the_log_for_too_long_makes_the_others_busy() {
    let memory = Memory::new();
    let mut options = options(&memory);
    options.os_page_cache_busy_time_out_ms = 20;
    let store = Store::open(options, Clock::new()).unwrap();
    store.append(&new("T", 0, b"before", b"")).unwrap();
    store.dispatch();
    store.append(&new("T", 0, b"not passed on", b"")).unwrap();
    let held = store.core.log.tail.lock();
    for _ in 0..3 {
        let error = store.append(&new("T", 0, b"refused", b"")).unwrap_err();
        assert!(
            matches!(error, AppendError::Busy { waited_ms, limit_ms: 20 } if waited_ms >= 20),
            "{error:?}"
        );
        // Nor does anything else wait: readers see what was there before.
        store.dispatch();
        assert_eq!(bodies(&store, "T", 0, 0), [(0, b"before".to_vec())]);
        // Who knows of the record that is not passed on waits for what comes behind it, and is not sent back.
        let behind = Get { topic: "T", queue_id: 0, offset: 2, max_count: 1, max_bytes: 1000 };
        let got = store.get(&behind, &());
        assert_eq!((got.status, got.next_offset), (GetStatus::OffsetOverflowOne, 2));
        store.when_durable(i64::MAX, Box::new(|_| {}));
        assert!(error.to_string().contains("osPageCacheBusyTimeOutMills=20"), "{error}");
    }
    drop(held);
    // The store's own threads may hold it for a moment.
    while store.append(&new("T", 0, b"after", b"")).is_err() {}
    let all: &[&[u8]] = &[b"before", b"not passed on", b"after"];
    assert!(bodies(&store, "T", 0, 0).iter().map(|(_, body)| &body[..]).eq(all.iter().copied()));
}

#[test]
fn those_who_wait_for_a_flush_are_counted_until_they_are_told() {
    let memory = Memory::new();
    let clock = Clock::new();
    let store = sync_store(&memory, &clock);
    let (at_sync, released) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(std::sync::Barrier::new(2)));
    let appended = store.append(&new("T", 0, b"x", b"")).unwrap();
    let (there, go) = (at_sync.clone(), released.clone());
    let once = std::sync::atomic::AtomicBool::new(false);
    memory.intercept(move |asked, path| {
        let first = asked == Operation::Sync
            && path.to_string_lossy().contains("commitlog/")
            && !once.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first {
            there.wait();
            go.wait();
        }
        Ok(())
    });
    let told = wait(&store, appended.end);
    at_sync.wait();
    clock.advance(Duration::from_millis(1_500));
    assert_eq!(store.waiting_for_flush(), 1);
    assert!(store.longest_wait_for_flush_ms() >= 1_500);
    released.wait();
    assert_eq!(told.recv().unwrap(), Durability::Flushed);
    assert_eq!((store.waiting_for_flush(), store.longest_wait_for_flush_ms()), (0, 0));
}

/// The thread that makes files ahead is slow, and the appender needs the file meanwhile.
#[test]
fn a_file_that_is_being_made_ahead_is_not_made_a_second_time() {
    let memory = Memory::new();
    let opened = Arc::new(Mutex::new(Vec::new()));
    let held_up = Arc::new(AtomicUsize::new(0));
    memory.intercept({
        let (opened, held_up) = (opened.clone(), held_up.clone());
        move |operation, path| {
            let in_log = path.to_string_lossy().contains("commitlog/");
            if operation == Operation::Open && in_log {
                opened.lock().push(path.to_owned());
            }
            let ahead = std::thread::current().name() == Some("fmq-prepare");
            if operation == Operation::Allocate && in_log && ahead {
                held_up.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
    });
    let store = open(&memory);
    for _ in 0..300 {
        store.append(&new("T", 0, &[b'x'; 1000], b"")).unwrap();
        // So that the other thread gets its turn.
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut paths = std::mem::take(&mut *opened.lock());
    paths.sort();
    assert!(paths.len() > 5 && held_up.load(Ordering::Relaxed) > 0);
    assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "{paths:?}");
    assert_eq!(bodies(&open(&memory.killed()), "T", 0, 0).len(), 300);
}
