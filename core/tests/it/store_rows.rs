//! What lies in the directory of a broker, and what does not get there.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferromq::client::{ClientOptions, Cluster, Consumer, ConsumerOptions, Subscription};
use ferromq::message::OffsetId;
use ferromq::record::{records, RecordView};
use ferromq::wire::{QueryMessage, Request, ResponseCode, UpdateConsumerOffset};

use crate::broker_admin::{make_group, offset_of, runtime_info};
use crate::logs;
use crate::net_support::HANG;
use crate::support::{message, start_server, start_server_with, Answer, RawClient};

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

/// Bodies of the messages with a key.
fn keyed(client: &mut RawClient, topic: &str, key: &str) -> Vec<Vec<u8>> {
    let query = QueryMessage {
        topic: topic.into(),
        key: key.into(),
        max_num: 9,
        begin_timestamp: 0,
        end_timestamp: i64::MAX,
        ..QueryMessage::default()
    };
    let answer = client.call(&Request::QueryMessage(query));
    match answer.code() {
        ResponseCode::QUERY_NOT_FOUND => Vec::new(),
        _ => answer.ok().records().into_iter().map(|record| record.body).collect(),
    }
}

#[test]
fn messages_live_in_plain_files_of_known_names() {
    let mut server = start_server("");
    let mut client = server.broker();
    client.produce("Plain", 0, b"x", "KEYS=k").ok();
    client.produce("Plain", 0, b"y", "KEYS=k DELAY=1").ok();
    client.pull("Plain", 0, 0).ok();
    client.call(&commit("G", "Plain", 1)).ok();
    assert_eq!(keyed(&mut client, "Plain", "k").len(), 1);
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

#[test]
fn a_large_body_leaves_from_where_it_lies_in_the_log() {
    // More than the buffers of both sockets take, so that the end of it is still the broker's when its beginning is here.
    const BODY: usize = 12 << 20;
    const PATCH: &[u8] = b"written into the file meanwhile";
    let server = start_server_with("maxMessageSize=13000000\n", |options| {
        options.broker.mapped_file_size_commit_log = 32 << 20;
    });
    let mut client = server.broker();
    client.produce("Large", 0, &vec![b'a'; BODY], "").ok();
    let path = server.data().join("commitlog/00000000000000000000");
    let bytes = std::fs::read(&path).expect("a file");
    let record = RecordView::parse(&bytes).expect("a record");
    let end = record.body().as_ptr() as usize - bytes.as_ptr() as usize + BODY;
    client.send(&Request::PullMessage(crate::support::pull("G", "Large", 0, 0, 0)));
    assert_eq!(client.stream.peek(&mut [0]).expect("an answer has begun"), 1);
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file");
    file.write_all_at(PATCH, (end - PATCH.len()) as u64).expect("a write");
    let answer = client.receive();
    assert_eq!(answer.code(), ResponseCode::SUCCESS);
    let served = records(answer.frame().body).next().expect("a record").expect("a record");
    // A copy in the broker's memory would not have changed.
    assert_eq!(served.body().len(), BODY);
    assert!(served.body().ends_with(PATCH) && served.body().starts_with(&[b'a'; BODY / 4]));
}

#[test]
fn keys_are_found_again_whenever_the_index_goes() {
    let mut server = start_server("");
    let mut client = server.broker();
    let mut all: Vec<String> = Vec::new();
    let mut send = |client: &mut RawClient, count: usize| {
        for _ in 0..count {
            let key = format!("k{}", all.len());
            client.produce("Keyed", 0, key.as_bytes(), &format!("KEYS={key}")).ok();
            all.push(key);
        }
        all.clone()
    };
    let check = |client: &mut RawClient, all: &[String]| {
        let bodies: Vec<Vec<u8>> = client.pull_all("Keyed", 0, 0).into_iter().map(|one| one.body).collect();
        assert!(bodies.iter().map(Vec::as_slice).eq(all.iter().map(String::as_bytes)));
        for key in all.iter().step_by(7) {
            // Keys come to the index in the background.
            let start = Instant::now();
            while keyed(client, "Keyed", key) != [key.as_bytes()] {
                assert!(start.elapsed() < HANG, "{key} is not found");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    };
    // More than a file of the index takes.
    let sent = send(&mut client, 5000);
    check(&mut client, &sent);
    assert!(names(&server.data().join("index")).len() > 1);
    // Under the running broker: nothing fails, and the next start makes up for it.
    let remove = |data: &Path| std::fs::remove_dir_all(data.join("index")).expect("the index was there");
    remove(server.data());
    send(&mut client, 2000);
    server.restart();
    let mut client = server.broker();
    let sent = send(&mut client, 10);
    check(&mut client, &sent);
    // After a crash, and while nothing runs.
    let crashed = server.copy_with(remove);
    check(&mut crashed.broker(), &sent);
    server.stop();
    remove(server.data());
    server.start_again();
    check(&mut server.broker(), &sent);
}

/// Bytes of the log that are not in their queues yet, as the broker tells operators.
fn behind(client: &mut RawClient) -> i64 {
    runtime_info(client)["dispatchBehindBytes"].parse().expect("a number")
}

#[test]
fn queues_follow_the_log_while_messages_come() {
    const SENDERS: usize = 3;
    const BODY: usize = 1000;
    let server = start_server("");
    let mut client = server.broker();
    let nothing_waits = |client: &mut RawClient| {
        let start = Instant::now();
        while behind(client) != 0 {
            assert!(start.elapsed() < HANG, "nobody makes the entries of what was answered");
        }
    };
    for n in 0..200 {
        client.produce("Followed", n % 4, b"x", "").ok();
        nothing_waits(&mut client);
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for queue in 0..SENDERS {
            let (mut sender, over) = (server.broker(), &over);
            threads.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    sender.produce("Followed", queue as i32, &[7; BODY], "").ok();
                }
            });
        }
        let mut lag: Vec<i64> = (0..300).map(|_| behind(&mut client)).collect();
        over.store(true, Ordering::Relaxed);
        lag.sort_unstable();
        // One message of each connection is on its way; more waits only while a thread that makes entries has no processor.
        let (median, on_their_way) = (lag[lag.len() / 2], SENDERS * (BODY + 300));
        assert!((0..=on_their_way as i64).contains(&median), "{lag:?}");
    });
    nothing_waits(&mut client);
}

#[test]
fn a_group_behind_what_has_expired_goes_on_at_the_first_message_and_says_so_once() {
    const TOPIC: &str = "ExpiredBeneath";
    logs::listen();
    let server =
        start_server("flushDiskType=SYNC_FLUSH\nmappedFileSizeCommitLog=65536\nfileReservedTime=48\n");
    let mut client = server.broker();
    client.create_topic(TOPIC, 1);
    for n in 0..40 {
        client.produce(TOPIC, 0, &[n; 10_000], "").ok();
    }
    make_group(&mut client, "Behind");
    client.call(&commit("Behind", TOPIC, 3)).ok();
    server.pass(47 * 3600);
    client.call(&Request::DeleteExpiredCommitlog).ok();
    assert_eq!(client.pull(TOPIC, 0, 3).code(), ResponseCode::SUCCESS, "not expired");
    server.pass(2 * 3600);
    client.call(&Request::DeleteExpiredCommitlog).ok();
    let answer = client.pull(TOPIC, 0, 3);
    assert_eq!(answer.code(), ResponseCode::PULL_OFFSET_MOVED);
    let first = answer.pulled().next_begin_offset;
    assert!(first > 3 && first == answer.pulled().min_offset);

    let mut options = ClientOptions::new(server.name_server());
    options.clock = server.clock.clone();
    let cluster = Cluster::with_options(options).expect("a client");
    let start = Instant::now();
    let consumer = loop {
        // Two days without a heartbeat: the name server forgets the broker until its next one.
        match Consumer::join(&cluster, ConsumerOptions::new("Behind"), vec![Subscription::all(TOPIC)]) {
            Ok(consumer) => break consumer,
            Err(error) => assert!(start.elapsed() < HANG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (start, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < (40 - first) as usize {
        assert!(start.elapsed() < HANG, "{seen:?}");
        seen.extend(
            consumer.poll(Duration::from_millis(100)).expect("messages").iter().map(|one| one.queue_offset),
        );
    }
    assert!(seen.iter().copied().eq(first..40), "{seen:?}");
    assert_eq!(logs::said(&[TOPIC, "offset 3 is not in the queue any more", &first.to_string()]), 1);
    assert_eq!(logs::said(&[TOPIC, "not in the queue any more"]), 1);
}

/// Tears a table as a disk may, and keeps its copy.
fn tear(data: &Path, table: &str) {
    let path = data.join("config").join(table);
    let bytes = std::fs::read(&path).expect("a table");
    assert!(data.join("config").join(format!("{table}.bak")).exists(), "a copy of {table}");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("a write");
}

#[test]
fn a_torn_table_costs_what_its_last_save_brought_and_no_message() {
    let server = start_server("autoCreateTopicEnable=true\n");
    let mut client = server.broker();
    // The copy of a table lacks what was made last.
    for topic in ["Early", "Late"] {
        client.create_topic(topic, 1);
    }
    for group in ["EarlyGroup", "LateGroup"] {
        make_group(&mut client, group);
    }
    for n in 0..20 {
        for topic in ["Early", "Late"] {
            client.produce(topic, 0, &[n], "").ok();
        }
    }
    for offset in [7, 9] {
        client.call(&commit("EarlyGroup", "Early", offset)).ok();
        // Progress is saved now and then.
        server.pass(6);
        let start = Instant::now();
        let saved = || {
            let table = std::fs::read_to_string(server.data().join("config/consumerOffset.json"));
            table.is_ok_and(|table| table.contains(&format!("0:{offset}")))
        };
        while !saved() {
            assert!(start.elapsed() < HANG, "progress {offset} is not saved");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for table in ["topics.json", "subscriptionGroup.json", "consumerOffset.json"] {
        let mut torn = server.copy_with(|data| tear(data, table));
        for _ in 0..2 {
            let mut client = torn.broker();
            // A topic that is not in the table any more is made again by whoever needs it.
            client.create_topic("Late", 1);
            for topic in ["Early", "Late"] {
                let bodies: Vec<Vec<u8>> =
                    client.pull_all(topic, 0, 0).into_iter().map(|message| message.body).collect();
                assert!(
                    bodies.iter().map(Vec::as_slice).eq((0..20).map(|n| [n])),
                    "{table}: {topic} {bodies:?}"
                );
            }
            let progress = offset_of(&mut client, "EarlyGroup", "Early", 0);
            let expected = if table == "consumerOffset.json" { 7 } else { 9 };
            assert_eq!(progress, expected, "{table}");
            torn.restart();
        }
    }
}
