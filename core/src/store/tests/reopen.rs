//! What a start leaves as it is: files that are not the store's, files of other settings, and what only seems to be lost.

use std::collections::BTreeMap;
use std::io;

use super::*;
use crate::store::storage::Operation;

/// A store with keys that was closed, and what it serves.
fn closed() -> Memory {
    let memory = Memory::new();
    let store = open(&memory);
    for number in 0..300 {
        let properties = format!("KEYS\x01k{number}\x02");
        store.append(&new("T", number % 3, &[b'x'; 200], properties.as_bytes())).unwrap();
    }
    store.close().unwrap();
    memory
}

fn make(memory: &Memory, path: &str, bytes: &[u8]) {
    memory.create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    memory.open(Path::new(path), Open::Create).unwrap().write_at(0, bytes).unwrap();
}

fn contents(memory: &Memory) -> BTreeMap<String, Vec<u8>> {
    let of = |path: std::path::PathBuf| {
        let file = memory.open(&path, Open::Existing).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        Some((path.display().to_string(), bytes))
    };
    // The lock names its holder, and the marker of a running broker comes and goes.
    let mut all: BTreeMap<_, _> = memory.names().into_iter().filter_map(of).collect();
    all.retain(|name, _| !name.ends_with("/lock") && !name.ends_with("/abort"));
    all
}

fn finds_all_keys(store: &Store) {
    for number in 0..300 {
        let found = store.query_key("T", &format!("k{number}"), 9, 0, i64::MAX);
        assert_eq!(found.records.len(), 1, "k{number}");
    }
}

/// Opening fails for a reason that names `words`, and changes no file.
fn is_refused(memory: &Memory, options: StoreOptions, words: &[&str]) {
    let before = contents(memory);
    let error = Store::open(options, Clock::new()).err().expect("the store opens");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    let after = contents(memory);
    let names: Vec<_> = before.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
    assert!(before == after, "changed: {names:?}, {} files", after.len());
    assert!(!super::names(memory, "/store").contains(&"abort".to_owned()));
}

#[test]
fn files_in_the_index_directory_that_are_not_the_stores_stay() {
    let memory = closed();
    let others = ["notes.txt", "2026112204000012", "202611220400001234", "20261122x40000123"];
    for name in others {
        make(&memory, &format!("/store/index/{name}"), b"somebody's");
    }
    memory.create_dir_all(Path::new("/store/index/20261122040000123")).unwrap();
    let store = open(&memory);
    assert_eq!(store.recovery_report().index_rebuilt, 0, "{:?}", store.recovery_report());
    finds_all_keys(&store);
    let left = names(&memory, "/store/index");
    assert!(others.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
}

#[test]
fn index_files_that_cannot_be_opened_now_are_kept() {
    let memory = closed();
    let before = contents(&memory);
    for code in [libc::EMFILE, libc::EACCES, libc::ENOMEM] {
        memory.intercept(move |operation, path| match path.starts_with("/store/index") {
            true if operation == Operation::Open => Err(io::Error::from_raw_os_error(code)),
            _ => Ok(()),
        });
        let error = Store::open(options(&memory), Clock::new()).err().unwrap().to_string();
        assert!(error.contains("/store/index/2"), "{error}");
    }
    memory.intercept(|_, _| Ok(()));
    let index = |contents: BTreeMap<String, Vec<u8>>| {
        contents.into_iter().filter(|(name, _)| name.contains("/index/")).collect::<Vec<_>>()
    };
    assert!(index(before) == index(contents(&memory)));
    let store = open(&memory);
    assert_eq!(store.recovery_report().index_rebuilt, 0, "{:?}", store.recovery_report());
    finds_all_keys(&store);
}

/// A kill between making the file and its first key, or before it had its length.
#[test]
fn a_newest_index_file_without_keys_costs_the_others_nothing() {
    for length in [0, 40 + 4 * 50 + 20 * 100] {
        let memory = closed();
        let before = names(&memory, "/store/index").len();
        assert!(before > 2);
        make(&memory, "/store/index/29991231235959999", &vec![0; length]);
        let store = open(&memory);
        let report = store.recovery_report();
        assert!(report.index_rebuilt <= 100, "{report:?}");
        finds_all_keys(&store);
        assert_eq!(names(&memory, "/store/index").len(), before);
    }
}

#[test]
fn queues_do_not_go_because_the_log_is_somewhere_else() {
    let memory = closed();
    let mut options = options(&memory);
    options.commit_log_dir = Some("/elsewhere/commitlog".into());
    is_refused(&memory, options, &["/elsewhere/commitlog", "storePathCommitLog", "/store/consumequeue/T/0"]);
    let store = open(&memory);
    assert_eq!(bodies(&store, "T", 0, 0).len(), 100);
    finds_all_keys(&store);
    store.close().unwrap();
    drop(store);
    // To begin anew is a wish that has to be said.
    for path in memory.names() {
        let gone = ["commitlog/", "consumequeue/", "index/", "checkpoint"];
        if gone.iter().any(|part| path.display().to_string().contains(&format!("/store/{part}"))) {
            let _directories_stay = memory.remove_file(&path);
        }
    }
    let store = open(&memory);
    assert_eq!(store.append(&new("T", 0, b"first", b"")).unwrap().queue_offset, 0);
    assert_eq!(bodies(&store, "T", 0, 0).len(), 1);
}

#[test]
fn a_store_of_a_broker_in_dledger_mode_is_left_alone() {
    let memory = closed();
    make(&memory, "/store/dledger-n0/data/00000000000000000000", b"log");
    is_refused(&memory, options(&memory), &["/store/dledger-n0", "DLedger"]);
}

/// Each queue has one file, as in most small stores.
#[test]
fn queue_files_of_a_smaller_setting_keep_their_length() {
    let memory = Memory::new();
    let store = open(&memory);
    (0..30).for_each(|number| {
        store.append(&new("T", number % 3, b"x", b"")).unwrap();
    });
    store.close().unwrap();
    drop(store);
    for size in [800, 6_000_000] {
        let mut options = options(&memory);
        options.mapped_file_size_consume_queue = size;
        is_refused(&memory, options, &["400 bytes", "mappedFileSizeConsumeQueue", &size.to_string()]);
    }
    let store = open(&memory);
    assert_eq!(store.recovery_report().entries_rebuilt, 0, "{:?}", store.recovery_report());
    assert_eq!(bodies(&store, "T", 2, 0).len(), 10);
}

#[test]
fn a_log_file_of_a_smaller_setting_keeps_its_length() {
    let memory = Memory::new();
    let store = open(&memory);
    store.append(&new("T", 0, b"x", b"")).unwrap();
    store.close().unwrap();
    drop(store);
    let mut larger = options(&memory);
    larger.mapped_file_size_commit_log = 64 << 10;
    is_refused(&memory, larger.clone(), &["32768 bytes", "mappedFileSizeCommitLog", "65536"]);
    // Where a copy was cut off there is no setting to be seen.
    let path = Path::new("/store/commitlog/00000000000000000000");
    memory.open(path, Open::Existing).unwrap().set_len(20_001).unwrap();
    let store = Store::open(larger, Clock::new()).unwrap();
    assert_eq!(bodies(&store, "T", 0, 0).len(), 1);
}

/// A full disk ends the index between two keys of a record.
#[test]
fn keys_that_an_index_did_not_take_before_an_orderly_end_are_found_after_the_next_start() {
    let memory = Memory::new();
    let store = open(&memory);
    // There is room for one file.
    let disk = memory.clone();
    memory.intercept(move |operation, path| {
        let grows = operation == Operation::Allocate && path.parent() == Some(Path::new("/store/index"));
        match grows && names(&disk, "/store/index").len() > 1 {
            true => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
            false => Ok(()),
        }
    });
    let keys = |number: usize| format!("KEYS\x01a{number} b{number}\x02");
    for number in 0..80 {
        store.append(&new("T", 0, b"x", keys(number).as_bytes())).unwrap();
    }
    store.dispatch();
    store.close().unwrap();
    drop(store);
    memory.intercept(|_, _| Ok(()));
    let store = open(&memory);
    for number in 0..80 {
        for key in ["a", "b"] {
            let found = store.query_key("T", &format!("{key}{number}"), 9, 0, i64::MAX);
            assert_eq!(found.records.len(), 1, "{key}{number}: {:?}", store.recovery_report());
        }
    }
}
