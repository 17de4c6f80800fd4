//! Bits that change under an open store.

use super::*;
use crate::store::segment::file_name;

/// Changes one bit of the log, as a disk does that goes bad.
fn flip(storage: &Memory, at: i64) {
    let path = Path::new("/store/commitlog").join(file_name(0));
    let file = storage.open(&path, Open::Existing).unwrap();
    let mut byte = [0];
    file.read_at(at as u64, &mut byte).unwrap();
    file.write_at(at as u64, &[byte[0] ^ 4]).unwrap();
}

#[test]
fn a_record_whose_body_changed_is_not_served_and_its_neighbours_are() {
    let memory = Memory::new();
    let store = open(&memory);
    let appended: Vec<Appended> = (0..9u8)
        .map(|number| {
            store.append(&new("T", 0, &[number; 40], format!("KEYS\x01k{number}").as_bytes())).unwrap()
        })
        .collect();
    assert_eq!(bodies(&store, "T", 0, 0).len(), 9);
    for hit in [0, 4, 5, 8] {
        let body_at = appended[hit].physical_offset + 88;
        flip(&memory, body_at + 7);
    }
    let served: Vec<i64> = bodies(&store, "T", 0, 0).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(served, [1, 2, 3, 6, 7]);
    for (number, appended) in appended.iter().enumerate() {
        let whole = served.contains(&(number as i64));
        assert_eq!(store.record(appended.physical_offset).is_some(), whole, "{number}");
        let found = store.query_key("T", &format!("k{number}"), 9, 0, i64::MAX);
        assert_eq!(found.records.len(), usize::from(whole), "{number}");
    }
    let expected: Vec<i64> = [0, 4, 5, 8].map(|hit: usize| appended[hit].physical_offset).into();
    assert_eq!(store.damaged_records(), expected);
    // A reader that starts at a damaged one is led past it, and the end is not taken for a hole.
    let get =
        |offset| store.get(&Get { topic: "T", queue_id: 0, offset, max_count: 1, max_bytes: 1000 }, &());
    assert_eq!((get(4).status, get(4).next_offset), (GetStatus::Found, 7));
    assert_eq!((get(8).status, get(8).next_offset), (GetStatus::MessageWasRemoving, 9));
    // Appends and the next start do not mind.
    assert_eq!(store.append(&new("T", 0, b"more", b"")).unwrap().queue_offset, 9);
    store.close().unwrap();
    drop(store);
    let store = open(&memory);
    let served: Vec<i64> = bodies(&store, "T", 0, 0).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(served, [1, 2, 3, 6, 7, 9]);
}
