//! Stores on small disks, on file systems that can little, and under files that somebody else shortens. Where this machine
//! lets nobody mount, that is said, and the simulated disk of `store::tests` has to do.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::clock::Clock;
use ferromq::record::NewRecord;
use ferromq::store::{Get, GetStatus, Store, StoreOptions, WriteState};
use ferromq::wire::{Request, ResponseCode};

use crate::support::{pull, start_server_with};

/// A file system of its own, gone with this.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(kind: &str, options: &str) -> Option<Mounted> {
        let dir = tempfile::tempdir().unwrap();
        let mount =
            Command::new("mount").args(["-t", kind, "-o", options, "ferromq-test"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Mounted(dir)),
            refused => {
                eprintln!(
                    "no {kind} can be mounted here, see store::tests for the simulated disk: {refused:?}"
                );
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn options(root: impl Into<PathBuf>) -> StoreOptions {
    let mut options = StoreOptions::new(root);
    options.mapped_file_size_commit_log = 1 << 20;
    options.mapped_file_size_consume_queue = 20_000;
    options.max_hash_slot_num = 1000;
    options.max_index_num = 2000;
    options.allocation_step = 256 << 10;
    options.disk_space_warning_level_ratio = 90;
    options.delete_when = String::new();
    // Tests run beside each other.
    options.os_page_cache_busy_time_out_ms = 60_000;
    options.clean_file_forcibly_enable = false;
    options
}

fn open(options: StoreOptions) -> Arc<Store> {
    Store::open(options, Clock::new()).unwrap()
}

fn append(store: &Store, body: &[u8]) -> Result<i64, String> {
    let host = "127.0.0.1:10911".parse().unwrap();
    let record = NewRecord {
        topic: "T",
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: b"KEYS\x01k\x02",
    };
    store.append(&record).map(|appended| appended.queue_offset).map_err(|error| error.to_string())
}

fn append_many(store: &Store, records: u32, size: usize) {
    for n in 0..records {
        append(store, &n.to_be_bytes().repeat(size / 4)).unwrap();
    }
}

/// Records that can be read from an offset on.
fn count(store: &Store, mut offset: i64) -> usize {
    let mut count = 0;
    loop {
        let got = store.get(&Get { topic: "T", queue_id: 0, offset, max_count: 32, max_bytes: 1 << 20 }, &());
        if !matches!(got.status, GetStatus::Found | GetStatus::MessageWasRemoving | GetStatus::OffsetTooSmall)
        {
            return count;
        }
        count += got.count;
        offset = got.next_offset;
    }
}

fn fill(store: &Store) -> (usize, String) {
    let mut stored = 0;
    loop {
        match append(store, &[b'x'; 2000]) {
            Ok(_) => stored += 1,
            Err(error) => return (stored, error),
        }
        if stored % 10 == 0 {
            store.dispatch();
        }
        assert!(stored < 100_000);
    }
}

/// Tries until it works: a process that another test is starting may hold a removed file for a moment, and what waits in memory
/// is tried again by a timer.
fn in_time<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ballast(path: PathBuf, bytes: usize) {
    let written = fs::File::create(path).unwrap().write_all(&vec![1; bytes]);
    drop(written);
}

#[test]
fn a_full_disk_is_told_of_reads_go_on_and_so_do_sends_when_there_is_room() {
    let Some(disk) = Mounted::new("tmpfs", "size=8m") else { return };
    ballast(disk.path().join("ballast"), 3 << 20);
    let root = disk.path().join("store");
    let store = open(options(&root));
    // Without a look at the disk in between: the blocks themselves run out.
    let (stored, error) = fill(&store);
    assert!(error.contains(&*root.to_string_lossy()) && error.contains("o space"), "{error}");
    assert!(stored > 500);
    assert_eq!(count(&store, 0), stored);
    // With one, writes are refused before that.
    store.run_retention();
    let error = append(&store, b"x").unwrap_err();
    assert!(error.contains("diskSpaceWarningLevelRatio") || error.contains("o space"), "{error}");
    assert!(matches!(store.state(), WriteState::ReadOnly { .. }));
    fs::remove_file(disk.path().join("ballast")).unwrap();
    in_time(|| {
        store.run_retention();
        append(&store, &[b'y'; 2000])
    });
    for _ in 1..100 {
        in_time(|| append(&store, &[b'y'; 2000]));
    }
    store.close().unwrap();
    let store = open(options(&root));
    assert_eq!(count(&store, 0), stored + 100);
}

#[test]
fn a_start_on_a_full_disk_neither_ends_the_process_nor_loses_anything() {
    let Some(disk) = Mounted::new("tmpfs", "size=8m") else { return };
    // After an orderly end as well as after a crash; with files as Apache's brokers leave them: holes where nothing was
    // written. Every page of the disk is taken.
    for crashed in [false, true] {
        let root = disk.path().join(if crashed { "crashed" } else { "closed" });
        let store = open(options(&root));
        append_many(&store, 600, 2000);
        store.close().unwrap();
        drop(store);
        if crashed {
            fs::write(root.join("abort"), b"1").unwrap();
        }
        ballast(disk.path().join("ballast"), 8 << 20);
        match Store::open(options(&root), Clock::new()) {
            Ok(store) => {
                assert_eq!(count(&store, 0), 600);
                assert!(append(&store, &[b'x'; 300_000]).is_err());
            }
            Err(error) => assert!(error.to_string().contains(&*root.to_string_lossy()), "{error}"),
        }
        fs::remove_file(disk.path().join("ballast")).unwrap();
        let store = in_time(|| Store::open(options(&root), Clock::new()).map_err(|error| error.to_string()));
        assert_eq!(count(&store, 0), 600);
        in_time(|| append(&store, b"x"));
        store.close().unwrap();
        drop(store);
        fs::remove_dir_all(&root).unwrap();
    }
}

#[test]
fn where_blocks_cannot_be_allocated_nothing_that_is_there_is_lost() {
    // It has no fallocate.
    let Some(disk) = Mounted::new("ramfs", "mode=0700") else { return };
    let root = disk.path().join("store");
    for round in 0..4 {
        let store = open(options(&root));
        assert_eq!(count(&store, 0), round * 700);
        for n in 0..700 {
            append(&store, format!("{n}").repeat(n % 900).as_bytes()).unwrap();
        }
        store.dispatch();
        assert_eq!(count(&store, 0), (round + 1) * 700);
        let found = store.query_key("T", "k", 64, 0, i64::MAX);
        assert_eq!(found.records.len(), 64);
        store.close().unwrap();
        assert!(store.recovery_report().skipped.is_empty());
    }
}

#[test]
fn a_file_that_somebody_shortens_stops_the_store_and_not_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = open(options(&root));
    append_many(&store, 1500, 2000);
    store.flush().unwrap();
    assert_eq!(count(&store, 0), 1500);
    assert_eq!(store.query_key("T", "k", 64, 0, i64::MAX).records.len(), 64);
    let files: Vec<PathBuf> = {
        let mut files: Vec<_> =
            fs::read_dir(root.join("commitlog")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    };
    let shorten = |file: &Path, len| OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
    // One that is only read: what is left of it can be, and so can the others.
    shorten(&files[0], 100_000);
    let left = count(&store, 0);
    assert!((1000..1500).contains(&left), "{left}");
    append(&store, b"goes on").unwrap();
    // The one that is written to.
    let written = files.iter().rev().find(|file| store.max_physical_offset() > base(file)).unwrap();
    shorten(written, 0);
    let refused = (0..10).find_map(|_| {
        append(&store, &[b'x'; 5000]).err().or_else(|| store.flush().err().map(|e| e.to_string()))
    });
    let refused = refused.expect("nothing is acknowledged that is nowhere");
    assert!(refused.contains(&*written.to_string_lossy()), "{refused}");
    assert!(matches!(store.state(), WriteState::ReadOnly { .. }));
    assert!(count(&store, 0) > 0);
    for index in fs::read_dir(root.join("index")).unwrap() {
        shorten(&index.unwrap().path(), 10);
    }
    store.query_key("T", "k", 64, 0, i64::MAX);
    assert!(store.close().is_err());
    drop(store);
    // What there is, is there again.
    let store = open(options(&root));
    assert!(count(&store, 0) > 500);
    append(&store, b"x").unwrap();
}

fn base(file: &Path) -> i64 {
    file.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_being_read_stays_readable_when_its_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path().join("store"));
    options.max_store_size = 1 << 20;
    let store = open(options);
    append_many(&store, 2000, 2000);
    store.flush().unwrap();
    let held = store.get(&Get { topic: "T", queue_id: 0, offset: 0, max_count: 32, max_bytes: 1 << 20 }, &());
    let before: Vec<Vec<u8>> = held.records.iter().map(|run| run.to_vec()).collect();
    store.run_retention();
    assert!(
        store.min_physical_offset() > 0 && !dir.path().join("store/commitlog/00000000000000000000").exists()
    );
    assert!(held.records.iter().eq(before.iter()));
    let got = store.get(&Get { topic: "T", queue_id: 0, offset: 0, max_count: 32, max_bytes: 1 << 20 }, &());
    assert_eq!(
        (got.status, got.next_offset),
        (GetStatus::OffsetTooSmall, store.queue_bounds("T", 0).unwrap().start)
    );
}

#[test]
fn who_lags_behind_what_is_kept_is_sent_to_the_first_message() {
    let server = start_server_with(
        "flushDiskType=SYNC_FLUSH\nmaxStoreSize=200000\nmappedFileSizeCommitLog=65536\nmappedFileSizeConsumeQueue=400",
        |_| {},
    );
    let mut client = server.broker();
    client.create_topic("T", 1);
    for _ in 0..600 {
        client.produce("T", 0, &[b'x'; 1000], "").ok();
    }
    client.call(&Request::DeleteExpiredCommitlog).ok();
    let told = client.call(&Request::PullMessage(pull("G", "T", 0, 5, 0)));
    // As Apache's brokers: OFFSET_TOO_SMALL is PULL_OFFSET_MOVED with the first offset there is.
    assert_eq!(told.code(), ResponseCode::PULL_OFFSET_MOVED);
    let (next, min) = (told.pulled().next_begin_offset, told.pulled().min_offset);
    assert!(next == min && min > 300 && min < 600, "{next} {min}");
    let left = client.pull_all("T", 0, next);
    assert_eq!((left[0].queue_offset, left.len() as i64), (min, 600 - min));
}
