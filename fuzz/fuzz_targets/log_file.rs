//! The commit log: whatever stands in a file of it, the store opens or says why not, serves nothing but whole records,
//! all those of the other files, and goes on.

#![no_main]

mod common;

use ferromq::record::RecordView;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for at in 0..data.len().min(64) {
        if let Ok(record) = RecordView::parse(&data[at..]) {
            assert!(record.total_size() <= data.len() - at);
            let _read =
                (record.body_crc_matches(), record.property("KEYS"), record.born_host(), record.store_host());
        }
    }
    let Some((_, memory)) = common::damaged("commitlog", data) else { return };
    let Ok(store) = common::open(&memory) else { return };
    let served = common::served(&store);
    store.close().unwrap();
    drop(store);
    let store = common::open(&memory).unwrap();
    assert_eq!(common::served(&store), served);
    assert_eq!(store.recovery_report().entries_rebuilt, 0, "{:?}", store.recovery_report());
});
