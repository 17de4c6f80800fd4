//! Many append at once while files end, and the thread that prepares the next ones is slow.

use std::time::Duration;

use super::*;
use crate::store::storage::Operation;

const THREADS: i32 = 8;
const EACH: usize = 150;

/// A body that tells who sent it, and of a length of its own.
fn body(thread: i32, number: usize) -> Vec<u8> {
    let mut body = format!("{thread}/{number}/").into_bytes();
    body.resize(300 + (number * 37 + thread as usize * 101) % 1700, b'x');
    body
}

fn nothing_is_overwritten(mode: FlushMode, slow: Operation) {
    let memory = Memory::new();
    memory.intercept(move |operation, path| {
        let ahead = std::thread::current().name() == Some("fmq-prepare");
        if operation == slow && ahead && path.to_string_lossy().contains("commitlog/") {
            std::thread::sleep(Duration::from_millis(3));
        }
        Ok(())
    });
    let mut options = options(&memory);
    options.flush_mode = mode;
    let store = Store::open(options.clone(), Clock::new()).unwrap();
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let store = &store;
            threads.spawn(move || {
                for number in 0..EACH {
                    let appended = store.append(&new("T", thread, &body(thread, number), b"")).unwrap();
                    assert_eq!(appended.queue_offset, number as i64);
                }
            });
        }
    });
    store.flush().unwrap();
    let holds_all = |store: &Store, when: &str| {
        for thread in 0..THREADS {
            let expected: Vec<_> = (0..EACH).map(|number| (number as i64, body(thread, number))).collect();
            let found = bodies(store, "T", thread, 0);
            assert!(found == expected, "{mode:?}, {when}: queue {thread} holds {} of {EACH}", found.len());
        }
    };
    holds_all(&store, "at once");
    assert!(names(&memory, "/store/commitlog").len() > 20, "files were meant to end");
    holds_all(
        &Store::open(StoreOptions { storage: Arc::new(memory.killed()), ..options }, Clock::new()).unwrap(),
        "after a kill",
    );
}

#[test]
fn appends_that_wait_for_the_same_file_do_not_overwrite_each_other() {
    nothing_is_overwritten(FlushMode::Async, Operation::Open);
}

#[test]
fn appends_that_wait_for_the_same_zeros_do_not_overwrite_each_other() {
    nothing_is_overwritten(FlushMode::Sync, Operation::Write);
}
