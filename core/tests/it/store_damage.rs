//! Stores of Apache's brokers, damaged in every way that files can be: what is whole is served, what is not is told of,
//! and a repair leaves a log that can be read from its beginning to its end.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferromq::clock::Clock;
use ferromq::record::{records, RecordView};
use ferromq::store::{check, repair, walk, Get, Item, Store};
use ferromq::ErrorKind;

use super::store_fixture::Fixture;

type Served = BTreeMap<(String, i32, i64), Vec<u8>>;

/// Every record of every queue, as consumers get them.
fn served(store: &Store) -> Served {
    let mut all = Served::new();
    for topic in store.topics() {
        for queue_id in store.queue_ids(&topic) {
            let Range { start, end } = store.queue_bounds(&topic, queue_id).unwrap();
            let mut offset = start;
            while offset < end {
                let get = Get { topic: &topic, queue_id, offset, max_count: 32, max_bytes: usize::MAX };
                let got = store.get(&get, &());
                assert!(got.next_offset > offset, "{topic}/{queue_id}@{offset}: {:?}", got.status);
                for record in got.records.iter().flat_map(|run| records(run)) {
                    let record = record.unwrap();
                    assert!(record.body_crc_matches());
                    let place = (topic.clone(), queue_id, record.queue_offset());
                    all.insert(place, record.bytes().to_vec());
                }
                offset = got.next_offset;
            }
        }
    }
    all
}

/// What was done to a store; the ranges of the commit log that cannot be read any more.
struct Case {
    name: String,
    lost: Vec<Range<i64>>,
}

fn base(path: &Path) -> i64 {
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Files below `dir` in the store, in order.
fn files(fixture: &Fixture, dir: &str) -> Vec<PathBuf> {
    let names = fixture.files().into_keys().filter(|name| name.starts_with(dir));
    names.map(|name| fixture.root().join(name)).collect()
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// A bit in the middle of the data.
    Flip,
    Halve,
    Empty,
    Zero,
    Remove,
    /// With the file before.
    Swap,
}

const EVERY_WAY: [How; 6] = [How::Flip, How::Halve, How::Empty, How::Zero, How::Remove, How::Swap];

/// Damages file number `at` of `files`, and says which bytes of it are bad then.
fn damage(files: &[PathBuf], at: usize, how: How, flip_at: usize) -> Range<usize> {
    let path = &files[at];
    let mut bytes = fs::read(path).unwrap();
    let len = bytes.len();
    match how {
        How::Flip => {
            bytes[flip_at] ^= 0x10;
            fs::write(path, bytes).unwrap();
            flip_at..flip_at + 1
        }
        How::Halve => {
            fs::write(path, &bytes[..len / 2]).unwrap();
            len / 2..len
        }
        How::Empty => {
            fs::write(path, b"").unwrap();
            0..len
        }
        How::Zero => {
            fs::write(path, vec![0; len]).unwrap();
            0..len
        }
        How::Remove => {
            fs::remove_file(path).unwrap();
            0..len
        }
        How::Swap => {
            let other = &files[(at + 1) % files.len()];
            fs::write(path, fs::read(other).unwrap()).unwrap();
            fs::write(other, bytes).unwrap();
            0..len
        }
    }
}

/// Damages a copy of the store of `name` by `harm`, and compares what is served with what was served before.
fn survives(name: &str, before: &Served, harm: impl FnOnce(&Fixture) -> Case) {
    let fixture = Fixture::unpack(name);
    let Case { name: case, lost } = harm(&fixture);
    let is_whole = |record: &[u8]| {
        let record = RecordView::parse(record).unwrap();
        let (from, to) = (record.physical_offset(), record.physical_offset() + record.total_size() as i64);
        !lost.iter().any(|lost| lost.start < to && from < lost.end)
    };
    let expected: Served = before
        .iter()
        .filter(|(_, bytes)| is_whole(bytes))
        .map(|(place, bytes)| (place.clone(), bytes.clone()))
        .collect();
    let files = contents(&fixture);
    let findings =
        check(&fixture.options(), Clock::new()).unwrap_or_else(|error| panic!("{name}, {case}: {error}"));
    assert!(files == contents(&fixture), "{name}, {case}: the check changed files");
    // A log may begin anywhere.
    let can_tell = !lost.is_empty() && !case.contains("log file 0 of") || findings.log_start == 0;
    assert!(lost.is_empty() || !can_tell || !findings.is_sound(), "{name}, {case}: {findings:?}");

    for round in 0..3 {
        let store = open(&fixture, &format!("{name}, {case}, round {round}"));
        let found = served(&store);
        let missing: Vec<_> = expected.keys().filter(|place| !found.contains_key(*place)).collect();
        let more: Vec<_> = found.keys().filter(|place| !expected.contains_key(*place)).collect();
        let report = store.recovery_report();
        assert!(missing.is_empty(), "{name}, {case}, round {round}: {missing:?} not served: {report:?}");
        assert!(more.is_empty(), "{name}, {case}, round {round}: {more:?} served: {report:?}");
        assert!(found == expected, "{name}, {case}, round {round}: other bytes are served");
        find_by_key(&store, &expected, &case);
        store.close().unwrap();
        drop(store);
        // The third round is that of the repaired store.
        if round == 1 {
            if lost.is_empty() {
                break;
            }
            repair_and_walk(&fixture, &format!("{name}, {case}"));
        }
    }
}

fn open(fixture: &Fixture, case: &str) -> Arc<Store> {
    Store::open(fixture.options(), Clock::new()).unwrap_or_else(|error| panic!("{case}: {error}"))
}

fn contents(fixture: &Fixture) -> BTreeMap<String, Vec<u8>> {
    let read = |name: String| (name.clone(), fs::read(fixture.root().join(name)).unwrap());
    fixture.files().into_keys().filter(|name| name != "timerwheel").map(read).collect()
}

fn find_by_key(store: &Store, expected: &Served, case: &str) {
    for ((topic, ..), bytes) in expected.iter().step_by(11) {
        let record = RecordView::parse(bytes).unwrap();
        let Some(key) = record.property("UNIQ_KEY") else { continue };
        let found = store.query_key(topic, key, 64, 0, i64::MAX).records;
        assert!(found.iter().any(|found| found == bytes), "{case}: {topic}, key {key} is not found");
    }
}

/// Repairs, and reads as brokers do that end at the first damage.
fn repair_and_walk(fixture: &Fixture, case: &str) {
    let options = fixture.options();
    let repaired = repair(&options, Clock::new()).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(repaired.after.problems.is_empty(), "{case}: {:?}", repaired.after);
    assert!(repaired.before.problems.is_empty() || repaired.filled > 0, "{case}: {:?}", repaired.before);
    let mut next = repaired.after.log_start;
    let size = options.mapped_file_size_commit_log as i64;
    walk(&options, 0, &mut |item| {
        let Item::Record(record) = item else { panic!("{case}: {item:?}") };
        let offset = record.physical_offset();
        // The rest of a file, or all of it, may be a blank.
        assert!(offset == next || offset % size == 0 && offset > next, "{case}: {next} to {offset}");
        next = offset + record.total_size() as i64;
        Ok(true)
    })
    .unwrap();
    assert!(next <= repaired.after.report.end && repaired.after.report.end <= next + size);
}

fn before(name: &str) -> Served {
    let fixture = Fixture::unpack(name);
    let store = fixture.open();
    let all = served(&store);
    store.close().unwrap();
    all
}

/// Where in its file the body of a record in the middle of the file is.
fn a_body(before: &Served, log_file: &Path, size: i64) -> usize {
    let base = base(log_file);
    let records = before.values().map(|bytes| RecordView::parse(bytes).unwrap());
    let mut inside: Vec<_> = records
        .filter(|record| (base..base + size).contains(&record.physical_offset()) && !record.body().is_empty())
        .collect();
    inside.sort_by_key(RecordView::physical_offset);
    let record = &inside[inside.len() / 2];
    let body_at = record.body().as_ptr() as usize - record.bytes().as_ptr() as usize;
    (record.physical_offset() - base) as usize + body_at + record.body().len() / 2
}

fn damaged_log(name: &str, which: impl Fn(usize) -> Vec<usize>) {
    let before = before(name);
    assert!(!before.is_empty());
    let count = log_files_with_records(&Fixture::unpack(name), &before);
    for at in which(count) {
        for how in EVERY_WAY {
            survives(name, &before, |fixture| {
                let size = fixture.options().mapped_file_size_commit_log as i64;
                let mut all = files(fixture, "commitlog/");
                all.truncate(count);
                let flip_at = a_body(&before, &all[at], size);
                let bad = damage(&all, at, how, flip_at);
                let range = |at: usize| base(&all[at]) + bad.start as i64..base(&all[at]) + bad.end as i64;
                let mut lost = vec![range(at)];
                if matches!(how, How::Swap) {
                    lost.push(range((at + 1) % all.len()));
                }
                Case { name: format!("log file {at} of {count}, {how:?}"), lost }
            });
        }
    }
}

fn log_files_with_records(fixture: &Fixture, before: &Served) -> usize {
    let last =
        before.values().map(|bytes| RecordView::parse(bytes).unwrap().physical_offset()).max().unwrap();
    files(fixture, "commitlog/").iter().filter(|path| base(path) <= last).count()
}

#[test]
fn log_files_of_a_killed_broker() {
    damaged_log("killed-533", |count| vec![count / 2]);
    damaged_log("killed-494", |count| (0..count).collect());
}

#[test]
fn log_files_of_a_stopped_broker() {
    damaged_log("clean-494", |count| (0..count).collect());
}

/// The log makes everything else again.
#[test]
fn every_other_file() {
    for name in ["killed-494", "clean-494"] {
        let before = before(name);
        for dir in ["consumequeue/", "index/", "checkpoint"] {
            let count = files(&Fixture::unpack(name), dir).len();
            let mut which = vec![0, count / 2, count - 1];
            which.dedup();
            for at in which {
                for how in EVERY_WAY {
                    survives(name, &before, |fixture| {
                        let all = files(fixture, dir);
                        let flip_at = if dir == "index/" { 60 } else { 13 };
                        damage(&all, at, how, flip_at);
                        Case { name: format!("{dir} {at} of {count}, {how:?}"), lost: Vec::new() }
                    });
                }
            }
        }
        survives(name, &before, |fixture| {
            for dir in ["consumequeue", "index"] {
                fs::remove_dir_all(fixture.root().join(dir)).unwrap();
            }
            fs::remove_file(fixture.root().join("checkpoint")).unwrap();
            Case { name: "all but the log removed".into(), lost: Vec::new() }
        });
    }
}

#[test]
fn a_check_tells_which_message_a_flipped_bit_hit_and_repair_keeps_what_was_there() {
    let fixture = Fixture::unpack("corrupt-crc-middle-of-last-file");
    let findings = check(&fixture.options(), Clock::new()).unwrap();
    assert_eq!((findings.problems.len(), findings.log_start, findings.log_files), (1, 0, 3));
    let problem = &findings.problems[0];
    assert!(problem.file.ends_with("commitlog/00000000000000040960") && problem.skipped);
    assert_eq!((problem.at, problem.damage.offset), (51_026 - 40_960, 51_026));
    let record = problem.record.as_ref().unwrap();
    assert!(record.contains("keys o77"), "{record}");
    assert_eq!(findings.report.lost.len(), 1);
    let lost = &findings.report.lost[0];
    assert_eq!(lost.offsets.end - lost.offsets.start, 1);
    assert!(record
        .starts_with(&format!("{}, queue {}, offset {},", lost.topic, lost.queue_id, lost.offsets.start)));

    let bytes = fs::read(&problem.file).unwrap();
    let there = &bytes[problem.at as usize..][..problem.damage.length as usize];
    let repaired = repair(&fixture.options(), Clock::new()).unwrap();
    assert_eq!((repaired.filled, repaired.kept.len()), (1, 1));
    let kept = fs::read(&repaired.kept[0]).unwrap();
    assert!(kept == there[..kept.len()] && there[kept.len()..].iter().all(|byte| *byte == 0));
    assert!(repaired.after.problems.is_empty(), "{:?}", repaired.after);
    // The message stays lost, and a second repair has nothing to do.
    assert_eq!(repaired.after.report.lost, findings.report.lost);
    assert_eq!(repair(&fixture.options(), Clock::new()).unwrap().filled, 0);
}

#[test]
fn whole_stores_are_sound_and_a_store_in_use_is_left_alone() {
    for name in ["clean-533", "clean-494", "variants-533", "killed-533", "killed-494"] {
        let fixture = Fixture::unpack(name);
        let before = contents(&fixture);
        let findings = check(&fixture.options(), Clock::new()).unwrap();
        // The torn tail of the killed ones is what an unfinished append leaves.
        let torn = name.starts_with("killed") && findings.problems.iter().all(|problem| !problem.skipped);
        assert!(findings.is_sound() || torn, "{name}: {findings:?}");
        assert!(contents(&fixture) == before, "{name}");
        let store = fixture.open();
        assert_eq!(check(&fixture.options(), Clock::new()).unwrap_err().kind(), ErrorKind::InUse);
        assert_eq!(repair(&fixture.options(), Clock::new()).unwrap_err().kind(), ErrorKind::InUse);
        assert_eq!(walk(&fixture.options(), 0, &mut |_| Ok(true)).unwrap_err().kind(), ErrorKind::InUse);
        store.close().unwrap();
    }
    let empty = tempfile::tempdir().unwrap();
    let options = ferromq::store::StoreOptions::new(empty.path());
    assert_eq!(check(&options, Clock::new()).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}
