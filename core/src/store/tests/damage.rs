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

/// Offsets that a walk through the queue comes by.
fn walked(store: &Core) -> Vec<i64> {
    let mut walk = Walk::new(store.know("T", 0).unwrap(), 0);
    std::iter::from_fn(|| walk.step(store).unwrap().map(|(offset, _)| offset)).collect()
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
    assert_eq!(walked(&store), served);
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

/// The page cache or the disk may have what a mapping has lost, as when a page cannot be written to.
#[test]
fn records_on_pages_that_a_mapping_lost_are_read_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::new(dir.path());
    options.mapped_file_size_commit_log = 64 << 10;
    let store = Store::open(options, Clock::new()).unwrap();
    let appended: Vec<Appended> = (0..90u8)
        .map(|number| {
            store.append(&new("T", 0, &[number; 400], format!("KEYS\x01k{number}").as_bytes())).unwrap()
        })
        .collect();
    let segment = store.log.segments.first().unwrap();
    segment.map.lose_page(9000);
    segment.map.lose_page(20_000);
    let served: Vec<i64> = bodies(&store, "T", 0, 0).into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(served, (0..90).collect::<Vec<_>>());
    assert_eq!(walked(&store), served);
    for (number, appended) in appended.iter().enumerate() {
        let record = store.record(appended.physical_offset).unwrap();
        assert!(record.windows(400).any(|window| window == [number as u8; 400]), "{number}");
        assert_eq!(store.query_key("T", &format!("k{number}"), 9, 0, i64::MAX).records.len(), 1);
    }
    assert!(store.damaged_records().is_empty());
}

/// In a file that no start looks at, as it is not one of the last three.
#[test]
fn an_entry_that_a_disk_lost_is_made_again_by_the_next_start() {
    let flipped = |mut entry: [u8; 20]| {
        entry[7] ^= 1;
        entry
    };
    let damages: [&dyn Fn([u8; 20]) -> [u8; 20]; 3] = [&|_| [0; 20], &|_| [0xFF; 20], &flipped];
    for (number, damage) in damages.into_iter().enumerate() {
        for killed in [false, true] {
            let memory = Memory::new();
            let store = open(&memory);
            (0..200).for_each(|number: i64| {
                store.append(&new("T", 0, &number.to_be_bytes(), b"")).unwrap();
            });
            store.close().unwrap();
            drop(store);
            let path = Path::new("/store/consumequeue/T/0/00000000000000000400");
            let file = memory.open(path, Open::Existing).unwrap();
            let mut entry = [0; 20];
            file.read_at(100, &mut entry).unwrap();
            file.write_at(100, &damage(entry)).unwrap();

            let store = open(&memory);
            let offsets = |store: &Store| {
                bodies(store, "T", 0, 0).into_iter().map(|(offset, _)| offset).collect::<Vec<_>>()
            };
            let all: Vec<i64> = (0..200).collect();
            let without: Vec<i64> = (0..200).filter(|offset| *offset != 25).collect();
            assert_eq!(offsets(&store), without, "{number}");
            let left = if killed {
                store.save().unwrap();
                memory.killed()
            } else {
                store.close().unwrap();
                memory
            };
            drop(store);
            let store = open(&left);
            assert_eq!(offsets(&store), all, "{number}: {:?}", store.recovery_report());
            store.close().unwrap();
            drop(store);
            assert_eq!(open(&left).recovery_report().records_checked, 0);
        }
    }
}

/// Messages of an inner batch take few bytes each, so offsets behind it are large.
#[test]
fn a_message_behind_an_inner_batch_survives_a_crash() {
    let memory = Memory::new();
    let store = open(&memory);
    store.queues.topic_or_new("B", queue::Form::Batch);
    let mut batch = new("B", 0, &[b'x'; 1200], b"INNER_NUM\x011000\x02");
    batch.sys_flag = crate::message::sys_flag::INNER_BATCH;
    store.append(&batch).unwrap();
    store.save().unwrap();
    assert_eq!(store.append(&new("B", 0, b"one", b"")).unwrap().queue_offset, 1000);
    store.dispatch();
    let store = open(&memory.killed());
    assert!(store.recovery_report().cut.is_empty(), "{:?}", store.recovery_report());
    assert_eq!(store.queue_bounds("B", 0), Some(0..1001));
    assert_eq!(bodies(&store, "B", 0, 1000), [(1000, b"one".to_vec())]);
}

#[test]
fn a_listener_that_panics_costs_nobody_else_a_message() {
    let memory = Memory::new();
    let store = open(&memory);
    let told: Arc<Mutex<Vec<i64>>> = Arc::default();
    let list = told.clone();
    store.set_listener(move |arrival: &Arrival<'_>| {
        assert!(arrival.offset != 3, "as if");
        list.lock().push(arrival.offset);
    });
    for number in 0..9 {
        store.append(&new("T", 0, b"x", format!("KEYS\x01k{number}").as_bytes())).unwrap();
        if number % 4 == 3 {
            store.dispatch();
        }
    }
    assert_eq!(bodies(&store, "T", 0, 0).len(), 9);
    assert_eq!(*told.lock(), [0, 1, 2, 4, 5, 6, 7, 8]);
    store.close().unwrap();
    assert_eq!(store.dispatch_behind(), 0);
}

#[test]
fn of_much_damage_a_start_lists_the_first_and_a_check_all() {
    let memory = Memory::new();
    let store = open(&memory);
    let places: Vec<_> = (0..2 * MOST_LOST as i64 + 20)
        .map(|number| store.append(&new("T", 0, &number.to_be_bytes(), b"")).unwrap().physical_offset)
        .collect();
    let left = memory.killed();
    for place in places.iter().step_by(2) {
        let base = place / (32 << 10) * (32 << 10);
        let file = Path::new("/store/commitlog").join(file_name(base));
        let file = left.open(&file, Open::Existing).unwrap();
        file.write_at((place - base) as u64 + 90, b"damaged").unwrap();
    }
    let check = Core::new(options(&left.killed()), Clock::new());
    check.start_checking(true).unwrap();
    let all = places.len() / 2;
    assert_eq!(check.recovery_report().skipped.len(), all);
    let store = open(&left);
    let report = store.recovery_report();
    assert_eq!(report.skipped[..], check.recovery_report().skipped[..MOST_LOST]);
    let more = format!("{} more stretches of the log are damaged", all - MOST_LOST);
    assert!(report.notes.iter().any(|note| note.starts_with(&more)), "{:?}", report.notes);
    assert_eq!(bodies(&store, "T", 0, 0).len(), all);
}
