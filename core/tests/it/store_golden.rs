//! Stores made by Apache's brokers 5.3.3 and 4.9.4, whole and damaged, opened and compared with their ground truth.

use std::collections::BTreeMap;

use ferromq::message::{java_hash, Properties};
use ferromq::record::{records, NewRecord, RecordView};
use ferromq::store::{Appended, Boundary, Get, GetStatus, RecoveryReport, Store};
use serde_json::Value;

use super::store_fixture::Fixture;

/// Codes at or below this are addresses of extended entries.
const LAST_EXT_ADDRESS: i64 = i32::MIN as i64 - 1;

/// Every record of a queue, its bytes by its offset, read as a consumer would.
fn read_queue(store: &Store, topic: &str, queue_id: i32) -> BTreeMap<i64, Vec<u8>> {
    let mut all = BTreeMap::new();
    let Some(bounds) = store.queue_bounds(topic, queue_id) else { return all };
    let mut offset = bounds.start;
    while offset < bounds.end {
        let got = store.get(&Get { topic, queue_id, offset, max_count: 32, max_bytes: usize::MAX }, &());
        let passable = [GetStatus::Found, GetStatus::NoMatchedMessage, GetStatus::MessageWasRemoving];
        assert!(passable.contains(&got.status), "{topic}/{queue_id}@{offset}: {:?}", got.status);
        assert!(got.next_offset > offset);
        for record in got.records.iter().flat_map(|run| records(run)) {
            let record = record.unwrap();
            all.insert(record.queue_offset(), record.bytes().to_vec());
        }
        offset = got.next_offset;
    }
    all
}

/// Compares a record with the manifest's message; fields that the manifest leaves out are not compared.
fn compare(store: &Store, topic: &str, queue_id: i32, record: &RecordView<'_>, message: &Value) {
    let place = format!("{topic}/{queue_id}@{}", message["queueOffset"]);
    let longs = [
        ("queueOffset", record.queue_offset()),
        ("commitLogOffset", record.physical_offset()),
        ("storeSize", record.total_size() as i64),
        ("flag", record.flag().into()),
        ("sysFlag", record.sys_flag().into()),
        ("bornTimestamp", record.born_timestamp()),
        ("storeTimestamp", record.store_timestamp()),
        ("reconsumeTimes", record.reconsume_times().into()),
        ("preparedTransactionOffset", record.prepared_transaction_offset()),
        ("bodyCRC", record.body_crc().into()),
        ("storedBodyLength", record.body().len() as i64),
        ("recordVersion", record.version().into()),
    ];
    for (name, value) in longs.into_iter().filter(|(name, _)| !message[name].is_null()) {
        assert_eq!(message[name].as_i64(), Some(value), "{place} {name}");
    }
    let properties = Properties::parse(record.properties());
    let texts = [
        ("msgId", Some(msg_id(record))),
        ("keys", properties.get("KEYS").map(str::to_owned)),
        ("tags", properties.get("TAGS").map(str::to_owned)),
        ("uniqId", properties.get("UNIQ_KEY").map(str::to_owned)),
    ];
    for (name, value) in texts.into_iter().filter(|(name, _)| !message[name].is_null()) {
        assert_eq!(message[name].as_str(), value.as_deref(), "{place} {name}");
    }
    for (name, value) in [("bornHost", record.born_host()), ("storeHost", record.store_host())] {
        if let Some(expected) = message[name].as_str() {
            assert_eq!(expected.parse(), Ok(value), "{place} {name}");
        }
    }
    if let Some(expected) = message["properties"].as_object() {
        let found: BTreeMap<_, _> = properties.iter().collect();
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        assert_eq!(found, expected, "{place}");
    }
    assert!(record.body_crc_matches(), "{place}");
    compare_entry(store, topic, queue_id, record, message, &place);
}

fn msg_id(record: &RecordView<'_>) -> String {
    let host = record.store_host();
    ferromq::message::OffsetId { host, physical_offset: record.physical_offset() }.to_string()
}

fn compare_entry(
    store: &Store,
    topic: &str,
    queue_id: i32,
    record: &RecordView<'_>,
    message: &Value,
    place: &str,
) {
    let entry = store.entry(topic, queue_id, record.queue_offset()).unwrap();
    assert_eq!(entry.physical_offset, record.physical_offset(), "{place}");
    assert_eq!(entry.size as usize, record.total_size(), "{place}");
    let Some(mut code) = message["tagsCode"].as_i64() else { return };
    if code <= LAST_EXT_ADDRESS {
        code = match topic {
            // The due time stands in the extended entry, which only the entry itself can confirm.
            "SCHEDULE_TOPIC_XXXX" => entry.tags_code,
            _ => record.property("TAGS").map_or(0, |tags| java_hash(tags).into()),
        };
    }
    assert_eq!(entry.tags_code, code, "{place} tagsCode");
}

/// Compares all queues: bounds, messages and that nothing else is there. `missing` are numbers of messages that the
/// manifest does not have, though ours serves them: (topic, queue, offset).
fn compare_queues(fixture: &Fixture, store: &Store, ours_only: &[(&str, i32, i64)]) -> usize {
    let mut compared = 0;
    for (topic, queue_id, queue) in fixture.queues() {
        let mut found = read_queue(store, topic, queue_id);
        for message in queue["messages"].as_array().unwrap() {
            let offset = message["queueOffset"].as_i64().unwrap();
            let bytes =
                found.remove(&offset).unwrap_or_else(|| panic!("{topic}/{queue_id}@{offset} is missing"));
            compare(store, topic, queue_id, &RecordView::parse(&bytes).unwrap(), message);
            compared += 1;
        }
        let more: Vec<i64> = found.into_keys().collect();
        let here = |(t, q, _): &&(&str, i32, i64)| *t == topic && *q == queue_id;
        let expected: Vec<i64> = ours_only.iter().filter(here).map(|(_, _, offset)| *offset).collect();
        assert_eq!(more, expected, "{topic}/{queue_id}: more than the manifest has");
        let bounds = store.queue_bounds(topic, queue_id).unwrap_or(0..0);
        assert_eq!(Some(bounds.start), queue["minOffset"].as_i64(), "{topic}/{queue_id}");
        if expected.is_empty() {
            assert_eq!(Some(bounds.end), queue["maxOffset"].as_i64(), "{topic}/{queue_id}");
        }
    }
    let listed: Vec<_> =
        fixture.queues().iter().map(|(topic, queue, _)| (topic.to_string(), *queue)).collect();
    for topic in store.topics() {
        for queue in store.queue_ids(&topic) {
            assert!(listed.contains(&(topic.clone(), queue)), "{topic}/{queue} is not in the manifest");
        }
    }
    compared
}

fn compare_key_queries(fixture: &Fixture, store: &Store) -> usize {
    let queries = fixture.manifest["keyQueries"].as_array().unwrap();
    for query in queries {
        let long = |name: &str| query[name].as_i64().unwrap();
        let (topic, key) = (query["topic"].as_str().unwrap(), query["key"].as_str().unwrap());
        let found = store.query_key(topic, key, long("maxNum") as usize, long("begin"), long("end"));
        let offsets: Vec<i64> =
            found.records.iter().map(|record| RecordView::parse(record).unwrap().physical_offset()).collect();
        let results = query["results"].as_array().map_or(&[][..], Vec::as_slice);
        let expected: Vec<i64> =
            results.iter().map(|result| result["commitLogOffset"].as_i64().unwrap()).collect();
        assert_eq!(offsets, expected, "{query}");
        let header = &query["responseHeader"];
        for (name, value) in [
            ("indexLastUpdatePhyoffset", found.last_update_offset),
            ("indexLastUpdateTimestamp", found.last_update_timestamp),
        ] {
            // Where nothing is found Apache leaves the header as it was made.
            if let Some(expected) = header[name].as_str().filter(|_| query["responseCode"] == 0) {
                assert_eq!(expected, value.to_string(), "{name} of {query}");
            }
        }
    }
    queries.len()
}

fn compare_times(fixture: &Fixture, store: &Store) -> usize {
    let searches = fixture.manifest["offsetByTimestamp"].as_array().unwrap();
    for search in searches {
        let boundary = match search["boundaryType"].as_str() {
            Some("UPPER") => Boundary::Upper,
            _ => Boundary::Lower,
        };
        let topic = search["topic"].as_str().unwrap();
        let queue_id = search["queueId"].as_i64().unwrap() as i32;
        let found = store.offset_by_time(topic, queue_id, search["timestamp"].as_i64().unwrap(), boundary);
        // Apache's brokers answer 0 for a queue that is not there.
        let found = found.unwrap_or(0);
        let expected = search["offset"].as_i64().unwrap();
        if fixture.manifest["name"].as_str().unwrap().ends_with("494") {
            same_for_494(store, topic, queue_id, found, expected);
        } else {
            assert_eq!(found, expected, "{search}");
        }
    }
    searches.len()
}

/// 4.9.4 takes any one of several records of one time, and the last record where all are older. Ours answers as 5.x.
fn same_for_494(store: &Store, topic: &str, queue_id: i32, found: i64, expected: i64) {
    let end = store.queue_bounds(topic, queue_id).map_or(0, |bounds| bounds.end);
    let time = |offset: i64| store.store_time(topic, queue_id, offset.min(end - 1));
    assert_eq!(time(found), time(expected), "{topic}/{queue_id}: {found} for {expected}");
}

fn compare_views(fixture: &Fixture, store: &Store) -> usize {
    let views = fixture.manifest["viewByOffset"].as_array().unwrap();
    for view in views {
        let record = store.record(view["offset"].as_i64().unwrap());
        assert_eq!(record.is_some(), view["responseCode"] == 0, "{view}");
        if let Some(bytes) = record {
            let record = RecordView::parse(&bytes).unwrap();
            assert_eq!(view["bodyLength"].as_u64(), Some(bytes.len() as u64), "{view}");
            assert_eq!(view["topic"], record.topic(), "{view}");
            assert_eq!(view["msgId"], msg_id(&record), "{view}");
        }
    }
    views.len()
}

/// Opens a store, compares everything, closes it, and does so once more: what ours leaves behind is as good.
fn check_all(name: &str, messages: usize) {
    let fixture = Fixture::unpack(name);
    for round in 0..2 {
        let store = fixture.open();
        let report = store.recovery_report();
        assert!(report.skipped.is_empty(), "{report:?}");
        assert_eq!(compare_queues(&fixture, &store, &[]), messages);
        assert!(compare_key_queries(&fixture, &store) > 0);
        assert!(compare_times(&fixture, &store) > 0);
        assert!(compare_views(&fixture, &store) > 0);
        let end = fixture.manifest["commitLog"]["rawEnd"].as_i64().unwrap();
        assert_eq!(store.max_physical_offset(), end);
        assert_eq!(store.min_physical_offset(), 0);
        if round == 1 {
            assert!(report.clean && report.cut.is_empty() && report.entries_rebuilt == 0, "{report:?}");
        }
        store.close().unwrap();
        assert!(!fixture.files().contains_key("abort"));
    }
}

#[test]
fn clean_533() {
    check_all("clean-533", 557);
}

#[test]
fn clean_494() {
    check_all("clean-494", 545);
}

#[test]
fn variants_533() {
    check_all("variants-533", 29);
}

#[test]
fn killed_533() {
    check_all("killed-533", 653);
}

#[test]
fn killed_494() {
    check_all("killed-494", 403);
}

/// Opens a damaged store and checks that its 90 messages are served but for `lost`. What Java serves must be the same;
/// the manifests' `acks` know the rest.
fn check_damaged(name: &str, lost: &[&str], end: i64) -> (Fixture, RecoveryReport) {
    let fixture = Fixture::unpack(name);
    let store = fixture.open();
    let report = store.recovery_report().clone();
    for (topic, queue_id, queue) in fixture.queues() {
        let found = read_queue(&store, topic, queue_id);
        for message in queue["messages"].as_array().unwrap() {
            let bytes = &found[&message["queueOffset"].as_i64().unwrap()];
            compare(&store, topic, queue_id, &RecordView::parse(bytes).unwrap(), message);
        }
    }
    check_acks(&fixture, &store, lost);
    assert_eq!(store.max_physical_offset(), end);
    store.close().unwrap();
    // What was repaired stays repaired.
    let store = fixture.open();
    check_acks(&fixture, &store, lost);
    assert_eq!(store.recovery_report().entries_rebuilt, 0, "{:?}", store.recovery_report());
    // And the store goes on: the numbers of lost messages are given again only where nothing follows them.
    let bounds: Vec<_> = ["FxSmall", "FxOther"].map(|topic| store.queue_bounds(topic, 0).unwrap().end).into();
    for (topic, next) in ["FxSmall", "FxOther"].into_iter().zip(bounds) {
        assert_eq!(append(&store, topic).queue_offset, next);
        assert_eq!(store.queue_bounds(topic, 0).unwrap().end, next + 1);
    }
    store.close().unwrap();
    (fixture, report)
}

fn append(store: &Store, topic: &str) -> Appended {
    let host = "127.0.0.1:10911".parse().unwrap();
    let record = NewRecord {
        topic,
        queue_id: 0,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 0,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"after the repair",
        properties: b"",
    };
    store.append(&record).unwrap()
}

/// Every acknowledged message is found by queue offset and by key, but for those whose keys are `lost`.
fn check_acks(fixture: &Fixture, store: &Store, lost: &[&str]) {
    let acks = fixture.manifest["acks"].as_array().unwrap();
    assert_eq!(acks.len(), 90);
    let mut missing = Vec::new();
    for ack in acks {
        let (topic, key) = (ack["topic"].as_str().unwrap(), ack["keys"].as_str().unwrap());
        let queue_id = ack["queueId"].as_i64().unwrap() as i32;
        let offset = ack["queueOffset"].as_i64().unwrap();
        let served = read_queue(store, topic, queue_id).remove(&offset);
        let key_of = |bytes: &[u8]| RecordView::parse(bytes).unwrap().property("KEYS").map(str::to_owned);
        if served.as_deref().and_then(key_of).as_deref() != Some(key) {
            missing.push(key);
            continue;
        }
        let by_key = store.query_key(topic, key, 32, 0, i64::MAX);
        assert!(by_key.records.iter().any(|record| key_of(record).as_deref() == Some(key)), "{topic} {key}");
    }
    assert_eq!(missing, lost);
}

#[test]
fn a_torn_last_record_is_cut() {
    let (_, report) = check_damaged("corrupt-torn-half", &["o89"], 61_908);
    assert_eq!((report.cut.len(), report.cut[0].offset), (1, 61_908));
    assert_eq!(report.entries_removed, 1);
}

#[test]
fn a_last_record_with_a_wrong_crc_is_cut_after_a_crash_and_after_a_shutdown() {
    for name in ["corrupt-crc-last", "corrupt-crc-last-no-abort"] {
        let (_, report) = check_damaged(name, &["o89"], 61_908);
        assert_eq!(report.clean, name.ends_with("no-abort"));
        assert!(report.cut[0].reason.contains("CRC"), "{report:?}");
        assert_eq!((report.cut[0].offset, report.cut[0].length), (61_908, 40_960 * 2 - 61_908));
    }
}

/// Java cuts the log there, and 13 acknowledged messages are gone; ours loses the damaged one alone.
#[test]
fn a_damaged_record_with_valid_ones_behind_it_is_skipped() {
    let (_, report) = check_damaged("corrupt-crc-middle-of-last-file", &["o77"], 62_439);
    assert!(report.cut.is_empty());
    assert_eq!((report.skipped.len(), report.skipped[0].offset), (1, 51_026));
    assert!(report.skipped[0].reason.contains("CRC"));
    assert_eq!(report.holes, 1);
}

#[test]
fn queue_entries_without_records_are_removed() {
    let (_, report) = check_damaged("corrupt-cq-ahead", &["s85", "o86", "s87", "s88", "o89"], 57_991);
    assert_eq!(report.entries_removed, 5);
}

#[test]
fn garbage_behind_the_last_record_is_cut() {
    let (_, report) = check_damaged("corrupt-garbage-tail", &[], 62_439);
    assert_eq!(report.cut[0].offset, 62_439);
    assert_eq!(report.entries_rebuilt, 0);
}

#[test]
fn removed_queues_and_index_are_made_again() {
    let (fixture, report) = check_damaged("corrupt-no-consumequeue", &[], 62_439);
    assert_eq!((report.entries_rebuilt, report.index_rebuilt), (90, 90));
    assert!(compare_key_queries(&fixture, &fixture.open()) > 0);
}

/// Java refuses to start; ours serves what is there and says what happened to the file.
#[test]
fn a_short_last_file_is_made_whole_and_explained() {
    let (fixture, report) = check_damaged("corrupt-short-commitlog-file", &["o89"], 61_908);
    let note = report.notes.iter().find(|note| note.contains("00000000000000040960")).unwrap();
    assert!(note.contains("21213") && note.contains("40960"), "{note}");
    assert_eq!(fixture.files()["commitlog/00000000000000040960"], 40_960);
}
