//! Topics that were deleted, wholly or half-way, and made again: what a start takes for theirs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use super::*;
use crate::store::storage::Operation;

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

/// No CRC covers a record's number. Whatever it says, its neighbours stay, and the report names what is lost.
#[test]
fn one_damaged_number_takes_one_message() {
    let memory = Memory::new();
    let store = open(&memory);
    let append = |name: usize| {
        // Much else stands between, so that there is room in the log for high numbers.
        for _ in 0..5 {
            store.append(&new("Other", 0, &[b'a'; 400], b"")).unwrap();
        }
        store.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap()
    };
    let places: Vec<_> = (0..10).map(append).collect();
    store.flush().unwrap();
    for written in [false, true] {
        if written {
            store.write_behind();
        }
        for (damaged, number) in (0..10).flat_map(|at| [0, 3, 5, 6, 7, 9, 12, 40].map(|number| (at, number)))
        {
            let left = memory.killed();
            left.remove_file(Path::new("/store/checkpoint")).unwrap();
            write(&left, LOG, places[damaged].physical_offset as u64 + 20, &(number as i64).to_be_bytes());
            let store = open(&left);
            let report = store.recovery_report();
            let served = served(&store, "T");
            if damaged == number {
                assert_eq!((served.len(), &report.lost[..]), (10, &[][..]), "{report:?}");
                continue;
            }
            // None behind the last one tells, but for one that is far too high; with 0 it may be the first of a topic that
            // was made again.
            let alone = damaged == 9 && !written;
            if alone && number == 0 {
                continue;
            }
            let kept = (0..10).filter(|at| *at != damaged).map(|at| (at as i64, at));
            let wrong = (alone && number == 12).then_some((number as i64, damaged));
            let expected: Vec<_> = kept.chain(wrong).collect();
            assert_eq!(served, expected, "{damaged} as {number}, {written}: {report:?}");
            let at = damaged as i64;
            let told = report.lost.iter().any(|lost| lost.topic == "T" && lost.offsets.contains(&at));
            let named = report.notes.iter().any(|note| note.contains("is in no queue"));
            assert!(told || (alone && named) || (at == 0 && named), "{damaged} as {number}: {report:?}");
        }
    }
}

/// What the checkpoint vouches for is not read again, so two damaged records behind it do not look like a topic that was
/// made again.
#[test]
fn damage_behind_the_checkpoint_does_not_empty_a_queue() {
    let memory = Memory::new();
    let core = Core::new(options(&memory), Clock::new());
    core.start().unwrap();
    append_to(&core, "T", 0..8);
    core.save().unwrap();
    let places: Vec<_> = (8..11)
        .map(|name| core.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap().physical_offset)
        .collect();
    core.flush().unwrap();
    let left = memory.killed();
    // One bit of the first one's number.
    write(&left, LOG, places[0] as u64 + 20, &0_i64.to_be_bytes());
    write(&left, LOG, places[1] as u64, &[0; 60]);
    let expected: Vec<_> = (0..8).chain([10]).map(|at| (at as i64, at)).collect();
    let store = open(&left);
    assert_eq!(served(&store, "T"), expected, "{:?}", store.recovery_report());
}

/// The last record of a queue says that 131,072 others stood before it, for which there is room in the log.
#[test]
fn one_damaged_number_does_not_make_a_queue_of_holes() {
    let memory = Memory::new();
    let mut options = options(&memory);
    options.mapped_file_size_commit_log = 16 << 20;
    options.mapped_file_size_consume_queue = 1 << 20;
    let core = Core::new(options.clone(), Clock::new());
    core.start().unwrap();
    append_to(&core, "T", 0..3);
    for _ in 0..4 {
        core.append(&new("Other", 0, &vec![b'x'; 3 << 20], b"")).unwrap();
    }
    let place = core.append(&new("T", 0, b"3", b"")).unwrap().physical_offset;
    core.flush().unwrap();
    for number in [3 | 1 << 17, 3] {
        let left = memory.killed();
        write(&left, LOG, place as u64 + 20, &i64::to_be_bytes(number));
        options.storage = Arc::new(left.clone());
        let core = Core::new(options.clone(), Clock::new());
        core.start().unwrap();
        let report = core.recovery_report();
        let all: Vec<_> = (0..if number == 3 { 4 } else { 3 }).map(|at| (at as i64, at)).collect();
        assert_eq!(served(&core, "T"), all, "{report:?}");
        assert_eq!(core.queue_bounds("T", 0), Some(0..all.len() as i64));
        assert_eq!(report.notes.iter().any(|note| note.contains("is in no queue")), number != 3);
    }
}

/// The first message of the new topic is damaged, and its entry is all that tells that the records before it are not
/// those of the queue.
#[test]
fn an_entry_without_its_record_does_not_bring_a_deleted_topic_back() {
    for more in [0, 1] {
        let memory = Memory::new();
        let core = Core::new(options(&memory), Clock::new());
        core.start().unwrap();
        append_to(&core, "T", 0..30);
        append_to(&core, "Other", 0..1);
        core.delete_topic("T").unwrap();
        let place = core.append(&new("T", 0, b"30", b"")).unwrap().physical_offset;
        core.save().unwrap();
        // Its entry is not in the file.
        append_to(&core, "T", 31..31 + more);
        let left = memory.killed();
        write(&left, LOG, place as u64, &[0; 60]);
        left.remove_file(Path::new("/store/consumequeue/Other/0/00000000000000000000")).unwrap();
        let expected: Vec<_> = (1..1 + more).map(|at| (at as i64, at + 30)).collect();
        let store = open(&left);
        assert_eq!(served(&store, "T"), expected, "{more} {:?}", store.recovery_report());
    }
}

/// An append is stuck with the log when the last record of the topic is to be passed on, so that the checkpoint would lie
/// before it.
#[test]
fn a_deletion_that_a_crash_would_undo_is_not_told_as_done() {
    let memory = Memory::new();
    let mut options = options(&memory);
    (options.flush_mode, options.os_page_cache_busy_time_out_ms) = (FlushMode::Sync, 20);
    let core = Arc::new(Core::new(options, Clock::new()));
    core.start().unwrap();
    append_to(&core, "T", 0..3);
    let (stuck, step) = (core.clone(), AtomicUsize::new(0));
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    memory.intercept(move |operation, path| {
        let of_log = path.to_string_lossy().contains("/commitlog/");
        match (step.load(Ordering::Relaxed), operation == Operation::Sync, of_log) {
            // The first save of the deletion has passed on what was there before.
            (0, true, false) if path.ends_with("checkpoint") => {
                step.store(1, Ordering::Relaxed);
                stuck.append(&new("T", 0, b"3", b"")).unwrap();
            }
            (1, true, true) => {
                step.store(2, Ordering::Relaxed);
                let ((locked, is_locked), core, released) = (channel(), stuck.clone(), released.clone());
                std::thread::spawn(move || {
                    let _tail = core.log.tail.lock();
                    locked.send(()).unwrap();
                    let _released = released.lock().recv_timeout(Duration::from_secs(5));
                });
                is_locked.recv().unwrap();
            }
            _ => {}
        }
        Ok(())
    });
    let told = core.delete_topic("T");
    assert!(told.is_err_and(|error| error.to_string().contains("stuck")));
    release.send(()).unwrap();
    core.delete_topic("T").unwrap();
    let left = memory.killed();
    memory.intercept(|_, _| Ok(()));
    let store = open(&left);
    assert_eq!(store.topics(), [""; 0], "{:?}", store.recovery_report());
}

/// The end of a deletion fails. Nothing is acknowledged for a new topic of the name before a checkpoint tells that the old one
/// is gone: a start would take its numbers for damaged ones.
#[test]
fn a_topic_is_not_made_anew_before_its_deletion_is_on_the_disk() {
    let room = (Operation::Write, libc::ENOSPC);
    for ((failing, code), count) in [(room, 1), (room, 3), ((Operation::Remove, libc::EIO), 1)] {
        let memory = Memory::new();
        let core = Core::new(options(&memory), Clock::new());
        core.start().unwrap();
        append_to(&core, "T", 0..30);
        let removing = AtomicBool::new(false);
        memory.intercept(move |operation, path| {
            let of_topic = operation == Operation::Remove && path.starts_with("/store/consumequeue/T");
            let begun = removing.fetch_or(of_topic, Ordering::Relaxed) || of_topic;
            match begun && operation == failing && (of_topic || path.ends_with("checkpoint")) {
                true => Err(std::io::Error::from_raw_os_error(code)),
                false => Ok(()),
            }
        });
        assert!(core.delete_topic("T").is_err());
        memory.intercept(|_, _| Ok(()));
        // There is room again.
        core.write_behind();
        let refused = core.append(&new("T", 0, b"30", b""));
        assert!(
            matches!(&refused, Err(AppendError::ReadOnly(why)) if why.contains("deleted")),
            "{refused:?}"
        );
        assert!(core.know("T", 0).is_err());
        core.append(&new("Other", 0, b"0", b"")).unwrap();
        core.save().unwrap();
        append_to(&core, "T", 30..30 + count);
        let expected: Vec<_> = (0..count).map(|at| (at as i64, 30 + at)).collect();
        let store = open(&memory.killed());
        assert_eq!(served(&store, "T"), expected, "{failing:?}: {:?}", store.recovery_report());
    }
}

/// A record that says that it is of another queue.
#[test]
fn a_damaged_queue_id_does_not_empty_the_queue_it_names() {
    let memory = Memory::new();
    let store = open(&memory);
    let append = |id: i32, name: usize| {
        store.append(&new("T", id, format!("{name}").as_bytes(), b"")).unwrap().physical_offset
    };
    for name in 0..4 {
        append(0, name);
    }
    let places: Vec<_> = (4..8).map(|name| (append(1, name - 4), append(0, name)).0).collect();
    store.flush().unwrap();
    for place in places {
        let left = memory.killed();
        left.remove_file(Path::new("/store/checkpoint")).unwrap();
        write(&left, LOG, place as u64 + 12, &0_i32.to_be_bytes());
        let store = open(&left);
        let expected: Vec<_> = (0..8).map(|at| (at as i64, at)).collect();
        assert_eq!(served(&store, "T"), expected, "{:?}", store.recovery_report());
    }
}

/// Wherever a start is cut off that compares the whole log, and once more: the only thing that tells whose the single
/// record is, its entry, stays until it is clear.
#[test]
fn a_start_that_was_cut_off_keeps_the_last_message_of_a_topic_that_was_made_again() {
    for (older, lost) in [(30, 2), (30, 1), (3, 2), (2, 2)] {
        let memory = Memory::new();
        let store = open(&memory);
        append_to(&store, "T", 0..older);
        store.delete_topic("T").unwrap();
        let places: Vec<_> = (30..33)
            .map(|name| store.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap())
            .collect();
        store.save().unwrap();
        let left = memory.killed();
        left.remove_file(Path::new("/store/checkpoint")).unwrap();
        for place in &places[..lost] {
            write(&left, LOG, place.physical_offset as u64, &[0; 60]);
        }
        left.open(Path::new(LOG), Open::Existing).unwrap().sync().unwrap();
        left.sync_dir(Path::new("/store")).unwrap();
        let expected: Vec<_> = (lost..3).map(|at| (at as i64, at + 30)).collect();
        // States of the disk in the middle of the start.
        let states = Arc::new(Mutex::new(vec![left.killed()]));
        let (all, disk) = (states.clone(), left.clone());
        left.intercept(move |_, _| {
            let now = [disk.killed(), disk.power_cut(all.lock().len() as u64)];
            all.lock().extend(now);
            Ok(())
        });
        let store = Core::new(options(&left), Clock::new());
        store.start().unwrap();
        assert_eq!(served(&store, "T"), expected, "{:?}", store.recovery_report());
        left.intercept(|_, _| Ok(()));
        let states = std::mem::take(&mut *states.lock());
        assert!(states.len() > 20);
        for (nth, state) in states.iter().enumerate() {
            let store = Core::new(options(state), Clock::new());
            store.start().unwrap();
            assert_eq!(served(&store, "T"), expected, "{older} {lost} {nth}: {:?}", store.recovery_report());
        }
    }
}

/// The first file of its queue is lost, and the checkpoint with it: what the log has of it is its own.
#[test]
fn a_queue_without_its_first_file_is_made_again() {
    let memory = Memory::new();
    let store = open(&memory);
    append_to(&store, "Old", 0..5);
    append_to(&store, "T", 0..50);
    store.delete_topic("Old").unwrap();
    store.save().unwrap();
    let left = memory.killed();
    left.remove_file(Path::new("/store/checkpoint")).unwrap();
    let path = "/store/consumequeue/T/0/00000000000000000000";
    let zeros = vec![0; left.open(Path::new(path), Open::Existing).unwrap().len().unwrap() as usize];
    write(&left, path, 0, &zeros);
    for _ in 0..2 {
        let store = open(&left);
        let all: Vec<_> = (0..50).map(|at| (at, at as usize)).collect();
        assert_eq!(served(&store, "T"), all, "{:?}", store.recovery_report());
        store.close().unwrap();
    }
}

/// The log began further back once, and the files of the queue that are left begin behind what the log has now. The number
/// of the last record without an entry may be damaged, too.
#[test]
fn a_queue_without_the_first_file_that_did_not_expire_is_made_again() {
    let memory = Memory::new();
    let store = open(&memory);
    let append = |name: usize| {
        for _ in 0..5 {
            store.append(&new("Other", 0, &[b'a'; 400], b"")).unwrap();
        }
        store.append(&new("T", 0, format!("{name}").as_bytes(), b"")).unwrap().physical_offset
    };
    let places: Vec<_> = (0..60).map(append).collect();
    store.flush().unwrap();
    store.save().unwrap();
    let begin = 64 << 10;
    let first = places.partition_point(|place| *place < begin);
    assert!((21..39).contains(&first), "{first}");
    for damaged in [false, true] {
        let left = memory.killed();
        for (dir, base) in
            [("commitlog", 0), ("commitlog", 32 << 10), ("consumequeue/T/0", 0), ("consumequeue/T/0", 400)]
        {
            left.remove_file(Path::new(&format!("/store/{dir}/{base:020}"))).unwrap();
        }
        left.remove_file(Path::new("/store/checkpoint")).unwrap();
        if damaged {
            let base = places[39] / (32 << 10) * (32 << 10);
            let at = (places[39] - base) as u64 + 20;
            write(&left, &format!("/store/commitlog/{base:020}"), at, &79_i64.to_be_bytes());
        }
        let all: Vec<_> = (first..60).filter(|at| !damaged || *at != 39).map(|at| (at as i64, at)).collect();
        for _ in 0..2 {
            let store = open(&left);
            assert_eq!(served(&store, "T"), all, "{damaged}: {:?}", store.recovery_report());
            store.close().unwrap();
        }
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
