//! Tests of the store as a whole, in process.

mod again;
mod backup;
mod basics;
mod crash;
mod damage;
mod every_call;
mod faults;
mod known;
mod model;
mod reopen;
mod retention;
mod rolls;
mod scale;
mod simulator;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::storage::{Memory, Open, Storage};
use super::*;
use crate::record::{records, NewRecord};

pub(super) fn options(storage: &Memory) -> StoreOptions {
    let mut options = StoreOptions::new("/store");
    options.mapped_file_size_commit_log = 32 << 10;
    options.mapped_file_size_consume_queue = 400;
    options.max_hash_slot_num = 50;
    options.max_index_num = 100;
    options.allocation_step = 8 << 10;
    options.open_queue_files = 8;
    options.storage = Arc::new(storage.clone());
    options
}

pub(super) fn open(storage: &Memory) -> Arc<Store> {
    Store::open(options(storage), Clock::new()).unwrap()
}

pub(super) fn new<'a>(topic: &'a str, queue_id: i32, body: &'a [u8], properties: &'a [u8]) -> NewRecord<'a> {
    let host: SocketAddr = "127.0.0.1:10911".parse().unwrap();
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties,
    }
}

/// Bodies of a queue from an offset on, by as many gets as it takes.
pub(super) fn bodies(store: &Core, topic: &str, queue_id: i32, mut offset: i64) -> Vec<(i64, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let get = Get { topic, queue_id, offset, max_count: 32, max_bytes: usize::MAX };
        let got = store.get(&get, &());
        for record in got.records.iter().flat_map(|run| records(run)) {
            let record = record.unwrap();
            assert!(record.body_crc_matches() && !record.properties().contains(&0));
            assert_eq!((record.topic(), record.queue_id()), (topic, queue_id));
            all.push((record.queue_offset(), record.body().to_vec()));
        }
        use GetStatus::{Found, MessageWasRemoving, NoMatchedMessage, OffsetTooSmall};
        if !matches!(got.status, Found | NoMatchedMessage | MessageWasRemoving | OffsetTooSmall) {
            return all;
        }
        assert!(got.next_offset > offset);
        offset = got.next_offset;
    }
}

pub(super) fn names(storage: &Memory, dir: &str) -> Vec<String> {
    storage.list(Path::new(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}
