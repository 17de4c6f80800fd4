//! A small store in memory, one file of which a fuzzer changes.

// Each target uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ferromq::clock::Clock;
use ferromq::record::{records, NewRecord};
use ferromq::store::storage::{Memory, Open, Storage};
use ferromq::store::{Get, Store, StoreOptions};

/// Body by topic, queue and offset.
pub type Served = BTreeMap<(String, i32, i64), Vec<u8>>;

/// The file system of a store that was killed, or closed if `clean`, and what is in it.
pub struct Base {
    pub memory: Memory,
    pub served: Served,
}

static BASES: LazyLock<[Base; 2]> = LazyLock::new(|| [false, true].map(base));

pub fn open(memory: &Memory) -> ferromq::Result<Arc<Store>> {
    let mut options = StoreOptions::new("/store");
    options.mapped_file_size_commit_log = 4096;
    options.mapped_file_size_consume_queue = 200;
    options.max_hash_slot_num = 7;
    options.max_index_num = 20;
    options.allocation_step = 4096;
    options.storage = Arc::new(memory.clone());
    Store::open(options, Clock::new())
}

fn base(clean: bool) -> Base {
    let memory = Memory::new();
    let mut store = open(&memory).unwrap();
    let host = "127.0.0.1:10911".parse().unwrap();
    for number in 0..50 {
        let properties = format!("KEYS\x01k{number}\x02TAGS\x01t\x02");
        let body = vec![b'a' + (number % 26) as u8; number * 5];
        let record = NewRecord {
            topic: ["A", "B"][number % 2],
            queue_id: (number % 3) as i32,
            flag: 0,
            sys_flag: 0,
            born_timestamp: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: properties.as_bytes(),
        };
        store.append(&record).unwrap();
        // A kill leaves queues and index as they were some time before.
        if number == 30 {
            store.close().unwrap();
            store = open(&memory).unwrap();
        }
    }
    let served = served(&store);
    assert_eq!(served.len(), 50);
    if clean {
        store.close().unwrap();
    }
    Base { memory: memory.killed(), served }
}

/// Everything that consumers get; what they get must be whole.
pub fn served(store: &Store) -> Served {
    let mut all = Served::new();
    for topic in store.topics() {
        for queue_id in store.queue_ids(&topic) {
            let bounds = store.queue_bounds(&topic, queue_id).unwrap();
            let mut offset = bounds.start;
            while offset < bounds.end {
                let get = Get { topic: &topic, queue_id, offset, max_count: 32, max_bytes: usize::MAX };
                let got = store.get(&get, &());
                assert!(got.next_offset > offset, "{:?} at {offset} of {bounds:?}", got.status);
                offset = got.next_offset;
                for record in got.records.iter().flat_map(|run| records(run)) {
                    let record = record.unwrap();
                    assert!(record.body_crc_matches());
                    all.insert((topic.clone(), queue_id, record.queue_offset()), record.body().to_vec());
                }
            }
        }
    }
    all
}

/// Changes a file of `dir` as the input says, and opens the store. The input: one byte whose lowest bit chooses the
/// killed or the closed store and whose others choose the file; one that says whether the rest replaces the file, or is
/// a list of patches: place (2 bytes), length (1 byte), bytes.
pub fn damaged(dir: &str, data: &[u8]) -> Option<(&'static Base, Memory)> {
    let [choice, whole, rest @ ..] = data else { return None };
    let base = &BASES[usize::from(choice & 1)];
    let memory = base.memory.killed();
    let mut files: Vec<_> = Vec::new();
    collect(&memory, Path::new("/store"), dir, &mut files);
    let path = files.get(usize::from(choice >> 1) % files.len().max(1))?;
    let file = memory.open(path, Open::Existing).unwrap();
    let len = file.len().unwrap();
    if whole & 1 == 1 {
        // Files of other lengths are another matter.
        let mut bytes = rest.to_vec();
        bytes.resize(if whole & 2 == 2 { rest.len().min(1 << 16) } else { len as usize }, 0);
        file.set_len(bytes.len() as u64).unwrap();
        file.write_at(0, &bytes).unwrap();
        return Some((base, memory));
    }
    let mut rest = rest;
    while let [high, low, count, more @ ..] = rest {
        let count = usize::from(*count).min(more.len());
        let at = u64::from(u16::from_be_bytes([*high, *low])) % len.max(1);
        let fits = count.min((len - at) as usize);
        file.write_at(at, &more[..fits]).unwrap();
        rest = &more[count..];
    }
    Some((base, memory))
}

fn collect(memory: &Memory, at: &Path, dir: &str, files: &mut Vec<std::path::PathBuf>) {
    for entry in memory.list(at).unwrap() {
        let path = at.join(&entry.name);
        if entry.is_dir {
            collect(memory, &path, dir, files);
        } else if path.starts_with(Path::new("/store").join(dir)) {
            files.push(path);
        }
    }
}

/// Whatever became of a file that the log can make again: everything is served, now and after the next start.
pub fn all_is_served(dir: &str, data: &[u8]) {
    let Some((base, memory)) = damaged(dir, data) else { return };
    // Files of another length may be those of other settings; then the start is refused, with words.
    let Ok(store) = open(&memory) else { return };
    assert_eq!(served(&store), base.served);
    assert!(store.recovery_report().skipped.is_empty() && store.recovery_report().cut.is_empty());
    store.close().unwrap();
    drop(store);
    let store = open(&memory).unwrap();
    assert!(store.recovery_report().clean);
    assert_eq!(served(&store), base.served);
}

/// Queue entries of before the last checkpoint are believed until someone reads them: one that was changed costs its
/// message, until a repair, and no other is served in its place.
pub fn no_other_is_served(dir: &str, data: &[u8]) {
    let Some((base, memory)) = damaged(dir, data) else { return };
    let Ok(store) = open(&memory) else { return };
    let found = served(&store);
    assert!(found.iter().all(|(place, body)| base.served.get(place) == Some(body)));
    assert!(store.recovery_report().skipped.is_empty() && store.recovery_report().cut.is_empty());
    store.close().unwrap();
    drop(store);
    let store = open(&memory).unwrap();
    assert!(store.recovery_report().clean);
    assert_eq!(served(&store), found);
}
