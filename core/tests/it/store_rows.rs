//! What lies in the directory of a broker, and what does not get there.

use std::collections::BTreeSet;
use std::path::Path;

use ferromq::message::OffsetId;
use ferromq::record::records;
use ferromq::wire::{QueryMessage, Request, UpdateConsumerOffset};

use crate::support::{message, start_server, start_server_with, Answer};

/// Magic number of the filler at the end of a file.
const BLANK: [u8; 4] = 0xCBD4_3194_u32.to_be_bytes();

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn commit<'a>(group: &'a str, topic: &'a str, offset: i64) -> Request<'a> {
    Request::UpdateConsumerOffset(UpdateConsumerOffset {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id: 0,
        commit_offset: offset,
    })
}

fn physical_offset(answer: &Answer) -> i64 {
    answer.field("msgId").parse::<OffsetId>().expect("an offset id").physical_offset
}

#[test]
fn messages_live_in_plain_files_of_known_names() {
    let mut server = start_server("");
    let mut client = server.broker();
    client.produce("Plain", 0, b"x", "KEYS=k").ok();
    client.produce("Plain", 0, b"y", "KEYS=k DELAY=1").ok();
    client.pull("Plain", 0, 0).ok();
    client.call(&commit("G", "Plain", 1)).ok();
    let by_key = QueryMessage {
        topic: "Plain".into(),
        key: "k".into(),
        max_num: 9,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        ..QueryMessage::default()
    };
    client.call(&Request::QueryMessage(by_key)).ok();
    let at_rest = set(&["checkpoint", "commitlog", "config", "consumequeue", "index", "lock"]);
    let mut running = at_rest.clone();
    running.insert("abort".into());
    let there = names(server.data());
    assert!(there.is_subset(&running) && there.contains("abort"), "{there:?}");
    server.stop();
    let there = names(server.data());
    // A name server in the same process keeps what it was told beside the store.
    assert!(there.is_subset(&(&at_rest | &set(&["namesrv"]))), "{there:?}");
    assert!(there.is_superset(&set(&["checkpoint", "commitlog", "config", "consumequeue"])), "{there:?}");
}

#[test]
fn the_log_is_where_the_settings_want_it() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let dir = elsewhere.path().join("log");
    let mut server =
        start_server_with("", |options| options.broker.store_path_commit_log = Some(dir.clone()));
    server.broker().produce("Apart", 0, b"there", "").ok();
    server.restart();
    let mut client = server.broker();
    client.produce("Apart", 0, b"again", "").ok();
    let bodies: Vec<Vec<u8>> = client.pull_all("Apart", 0, 0).into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [b"there", b"again"]);
    assert!(names(&dir).contains("00000000000000000000"));
    assert!(!server.data().join("commitlog").exists());
    assert!(server.data().join("consumequeue/Apart/0").is_dir());
}

#[test]
fn one_log_holds_the_records_of_all_topics() {
    // Each new topic is saved before its first send is answered.
    let topics_wanted = if std::env::var_os("FERROMQ_SOAK").is_some() { 1000 } else { 200 };
    const QUEUES: usize = 8;
    const FILE: usize = 1 << 20;
    let mut server = start_server("mappedFileSizeCommitLog=1048576\ndefaultTopicQueueNums=8\n");
    let mut client = server.broker();
    let topics: Vec<String> = (0..topics_wanted).map(|n| format!("Topic{n}")).collect();
    for queue in 0..QUEUES {
        for topic in &topics {
            let mut one = message(topic, queue as i32, b"body", "");
            one.default_topic_queue_nums = QUEUES as i32;
            client.send(&Request::SendMessage(one));
        }
        topics.iter().for_each(|_| drop(client.receive().ok()));
    }
    server.stop();
    let dir = server.data().join("commitlog");
    let (mut seen, mut last, mut sent) = (BTreeSet::new(), -1, 0);
    for (number, name) in names(&dir).iter().enumerate() {
        // The name is the offset of the first byte, so they step by the size of a file.
        assert_eq!(*name, format!("{:020}", number * FILE));
        let bytes = std::fs::read(dir.join(name)).expect("a file");
        assert_eq!(bytes.len(), FILE);
        let mut at = 0;
        while at + 8 <= FILE {
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            if size == 0 {
                break;
            }
            if bytes[at + 4..at + 8] == BLANK {
                assert_eq!(at + size, FILE, "the filler ends with its file");
                break;
            }
            let record = records(&bytes[at..at + size]).next().unwrap().unwrap();
            assert_eq!(record.physical_offset(), (number * FILE + at) as i64);
            assert!(record.physical_offset() > last);
            last = record.physical_offset();
            seen.insert((record.topic().to_owned(), record.queue_id()));
            sent += usize::from(record.topic().starts_with("Topic"));
            at += size;
        }
    }
    assert!(seen.len() >= topics_wanted * QUEUES);
    assert_eq!(sent, topics_wanted * QUEUES);
}

#[test]
fn a_message_is_stored_once_whatever_the_number_of_groups() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("Shared", 1);
    let first = client.produce("Shared", 0, b"one", "").ok();
    let second = client.produce("Shared", 0, b"one", "").ok();
    let size = physical_offset(&second) - physical_offset(&first);
    for group in 0..10 {
        let group = format!("G{group}");
        let mut request = crate::support::pull(&group, "Shared", 0, 0, 0);
        request.max_msg_nums = 32;
        assert_eq!(client.call(&Request::PullMessage(request)).ok().records().len(), 2);
        client.call(&commit(&group, "Shared", 2)).ok();
    }
    let third = client.produce("Shared", 0, b"one", "").ok();
    assert_eq!(physical_offset(&third), physical_offset(&second) + size);
}
