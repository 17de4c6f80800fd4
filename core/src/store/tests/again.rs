//! Topics that were deleted, wholly or half-way, and made again: what a start takes for theirs.

use super::*;

fn append_to(store: &Core, topic: &str, names: std::ops::Range<usize>) {
    for name in names {
        store.append(&new(topic, 0, format!("{name}").as_bytes(), b"KEYS\x01k\x02")).unwrap();
    }
    store.flush().unwrap();
}

/// Offsets and bodies of the topic's queue.
fn served(store: &Core, topic: &str) -> Vec<(i64, usize)> {
    let number = |body: Vec<u8>| String::from_utf8(body).unwrap().parse().unwrap();
    bodies(store, topic, 0, 0).into_iter().map(|(offset, body)| (offset, number(body))).collect()
}

fn write(memory: &Memory, path: &str, at: u64, bytes: &[u8]) {
    memory.open(Path::new(path), Open::Existing).unwrap().write_at(at, bytes).unwrap();
}

/// A store of which topic T was deleted and made again, with 30 to 34 in it, and the offset at which these begin.
fn made_again(memory: &Memory) -> (Arc<Store>, i64) {
    let store = open(memory);
    append_to(&store, "T", 0..30);
    store.delete_topic("T").unwrap();
    let end = store.max_physical_offset();
    append_to(&store, "T", 30..35);
    // Its directory is there again.
    store.write_behind();
    (store, end)
}

const LOG: &str = "/store/commitlog/00000000000000000000";

#[test]
fn damage_behind_the_checkpoint_does_not_bring_a_deleted_topic_back() {
    let memory = Memory::new();
    let (_store, end) = made_again(&memory);
    let left = memory.killed();
    // As a power cut leaves the first record of the new topic.
    write(&left, LOG, end as u64, &[0; 60]);
    let store = open(&left);
    assert_eq!(store.recovery_report().skipped.len(), 1);
    assert_eq!(served(&store, "T"), [(1, 31), (2, 32), (3, 33), (4, 34)]);
}

#[test]
fn a_new_topics_records_stand_for_it_also_where_nothing_but_the_log_is_left() {
    let memory = Memory::new();
    let (_store, end) = made_again(&memory);
    for damaged in [false, true] {
        let left = memory.killed();
        left.remove_file(Path::new("/store/checkpoint")).unwrap();
        if damaged {
            write(&left, LOG, end as u64, &[0; 60]);
        }
        let expected: Vec<_> = (0..5).map(|at| (at, at as usize + 30)).skip(damaged.into()).collect();
        assert_eq!(served(&open(&left), "T"), expected);
    }
}

/// Also where damage left a single record of the topic that was made again: its entry says that its number is right.
#[test]
fn entries_that_are_there_count_more_than_records_of_a_deleted_topic() {
    for (older, lost) in [(3, 0), (3, 1), (3, 2), (30, 0), (30, 1), (30, 2)] {
        let memory = Memory::new();
        let store = open(&memory);
        append_to(&store, "T", 0..older);
        append_to(&store, "Other", 0..1);
        store.delete_topic("T").unwrap();
        let places: Vec<_> = (30..33)
            .map(|name| store.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap())
            .collect();
        store.flush().unwrap();
        let left = memory.killed();
        for place in &places[..lost] {
            write(&left, LOG, place.physical_offset as u64, &[0; 60]);
        }
        let expected: Vec<_> = (lost..3).map(|at| (at as i64, at + 30)).collect();
        let store = open(&left);
        assert_eq!(served(&store, "T"), expected);
        // As the deletion of another topic leaves it that is cut off half-way: all of the log is compared.
        let left = left.killed();
        left.remove_file(Path::new("/store/consumequeue/Other/0/00000000000000000000")).unwrap();
        let store = open(&left);
        assert_eq!(served(&store, "T"), expected, "{older} {lost} {:?}", store.recovery_report());
    }
}

#[test]
fn a_deletion_that_was_cut_off_half_way_does_not_give_numbers_twice() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, "T", 0..50);
    store.save().unwrap();
    let left = memory.killed();
    // Of three files of its queue the last one is gone.
    left.remove_file(Path::new("/store/consumequeue/T/0/00000000000000000800")).unwrap();
    let store = open(&left);
    append_to(&store, "T", 50..55);
    let all: Vec<_> = (0..55).map(|at| (at, at as usize)).collect();
    assert_eq!(served(&store, "T"), all);
    let left = left.killed();
    for name in names(&left, "/store/index") {
        left.remove_file(&Path::new("/store/index").join(name)).unwrap();
    }
    assert_eq!(served(&open(&left), "T"), all);
}

#[test]
fn one_damaged_number_does_not_empty_a_queue() {
    let memory = Memory::new();
    let store = open(&memory);
    let places: Vec<_> =
        (0..10).map(|name| store.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap()).collect();
    store.flush().unwrap();
    store.write_behind();
    for without_checkpoint in [false, true] {
        let left = memory.killed();
        if without_checkpoint {
            left.remove_file(Path::new("/store/checkpoint")).unwrap();
        }
        // No CRC covers the queue offset.
        write(&left, LOG, places[5].physical_offset as u64 + 20, &0_i64.to_be_bytes());
        let store = open(&left);
        let expected: Vec<_> = (0..10).filter(|at| *at != 5).map(|at| (at, at as usize)).collect();
        assert_eq!(served(&store, "T"), expected, "{:?}", store.recovery_report());
    }
}

/// While it was busy with a store of another broker, which knows nothing of ours.
#[test]
fn a_start_that_was_cut_off_brings_no_deleted_topic_back() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, "Old", 0..10);
    append_to(&store, "T", 0..10);
    store.delete_topic("Old").unwrap();
    store.close().unwrap();
    let path = Path::new("/store/checkpoint");
    let apaches = Checkpoint { own: None, ..Checkpoint::load(&memory, path, i64::MAX / 2).unwrap() };
    apaches.begun().save(&memory, path).unwrap();
    let mut options = options(&memory);
    options.known_topics = Some(vec!["T".into()]);
    memory.open(Path::new("/store/abort"), Open::Create).unwrap();
    let store = Store::open(options, Clock::new()).unwrap();
    assert_eq!(store.topics(), ["T"]);
    assert_eq!(served(&store, "T").len(), 10);
}
