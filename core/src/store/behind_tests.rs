use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::Clock;
use crate::store::storage::Memory;
use crate::store::tests::{bodies, new};
use crate::store::{Get, StoreOptions};

const FILE: i64 = 32 << 10;

/// Nine files of the log are full and on the disk, one message each.
fn store(keep: u64, memory: u64) -> Core {
    let mut options = StoreOptions::new("/store");
    options.storage = Arc::new(Memory::new());
    options.mapped_file_size_commit_log = FILE as usize;
    (options.log_kept_in_memory, options.machine_memory) = (keep, Some(memory));
    let core = Core::new(options, Clock::standing());
    core.start().unwrap();
    (0..9).for_each(|_| add(&core));
    core
}

fn add(core: &Core) {
    core.append(&new("T", 0, &[b'x'; 31 << 10], b"")).unwrap();
    core.dispatch();
    core.flush().unwrap();
}

fn read(core: &Core, offset: i64) {
    let get = Get { topic: "T", queue_id: 0, offset, max_count: 1, max_bytes: usize::MAX };
    assert_eq!(core.get(&get, &()).count, 1);
}

/// In files.
fn given_back(core: &Core) -> i64 {
    *core.behind.given_back.lock() / FILE
}

#[test]
fn what_lies_further_behind_than_is_kept_goes_unless_all_stays() {
    assert_eq!(given_back(&store(2 * FILE as u64, 1 << 30)), 6);
    assert_eq!(given_back(&store(1, 1 << 30)), 8);
    assert_eq!(given_back(&store(0, 1 << 30)), 0);
}

#[test]
fn who_reads_holds_up_what_is_before_him_and_is_forgotten_when_he_rests() {
    let core = store(4 * FILE as u64, 1 << 30);
    assert_eq!(given_back(&core), 4);
    // The sixth file is nearer to what goes than to the end.
    read(&core, 5);
    (0..4).for_each(|_| add(&core));
    assert_eq!(given_back(&core), 5);
    // At the end nobody is held up for.
    read(&core, 12);
    add(&core);
    assert_eq!(given_back(&core), 5);
    for expected in [5, 5, 12] {
        core.clock.advance(Duration::from_millis(ACTIVE_MS as u64));
        add(&core);
        assert_eq!(given_back(&core), expected);
    }
}

#[test]
fn who_is_further_behind_than_memory_reaches_holds_up_nothing() {
    // Four files, at 40 percent.
    let core = store(2 * FILE as u64, 10 * FILE as u64);
    read(&core, 0);
    (0..2).for_each(|_| add(&core));
    assert_eq!(given_back(&core), 8);
}

#[test]
fn what_was_given_back_is_read_as_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(dir.path());
    options.mapped_file_size_commit_log = 8 << 20;
    options.log_kept_in_memory = 1;
    let core = Core::new(options, Clock::new());
    core.start().unwrap();
    for number in 0..200_u64 {
        let body = number.to_le_bytes().repeat(16 << 10);
        core.append(&new("T", 0, &body, b"")).unwrap();
        if number % 10 == 9 {
            core.flush().unwrap();
        }
    }
    assert!(*core.behind.given_back.lock() > 20 << 20);
    let all = bodies(&core, "T", 0, 0);
    let expected = |number: u64| (number as i64, number.to_le_bytes().repeat(16 << 10));
    assert!(all == (0..200).map(expected).collect::<Vec<_>>());
    core.finish().unwrap();
}
