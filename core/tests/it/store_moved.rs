//! Stores that are far along: offsets of the log behind 2^31 and 2^32 bytes, and queues beyond 2^53 messages, where numbers
//! that are no 64-bit integers go wrong. A store of a few messages is moved there, as its files and records would stand if
//! as much had been sent before, and expired.

use std::fs;
use std::path::Path;

use ferromq::client::{ClientOptions, Cluster, Consumer, ConsumerOptions, StartFrom, Subscription};
use ferromq::message::OffsetId;
use ferromq::wire::{
    GetMaxOffset, GetMinOffset, QueryMessage, Request, ResponseCode, SearchOffsetByTimestamp, ViewMessageById,
};

use crate::broker_admin::{commit, make_group, offset_of};
use crate::net_support::HANG;
use crate::support::{start_server, RawClient, TestServer};

/// Bytes of a file of the log.
const FILE: i64 = 65536;
const TOPIC: &str = "Far";
/// Where the numbers stand in a record.
const QUEUE_OFFSET: usize = 20;
const PHYSICAL_OFFSET: usize = 28;

/// Moves the log by a number of bytes, and all messages in their queues; queues and index have to be made again.
fn move_store(root: &Path, bytes: i64, messages: i64) {
    assert_eq!(bytes % FILE, 0);
    for entry in fs::read_dir(root.join("commitlog")).unwrap() {
        let path = entry.unwrap().path();
        let mut content = fs::read(&path).unwrap();
        let mut at = 0;
        while at + 8 <= content.len() {
            let size = u32::from_be_bytes(content[at..at + 4].try_into().unwrap()) as usize;
            let is_blank = content[at + 4..at + 8] == 0xCBD4_3194_u32.to_be_bytes();
            if size == 0 || is_blank {
                break;
            }
            for (place, by) in [(QUEUE_OFFSET, messages), (PHYSICAL_OFFSET, bytes)] {
                let field = &mut content[at + place..at + place + 8];
                let moved = i64::from_be_bytes((&*field).try_into().unwrap()) + by;
                field.copy_from_slice(&moved.to_be_bytes());
            }
            at += size;
        }
        let base: i64 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        fs::write(path.with_file_name(format!("{:020}", base + bytes)), content).unwrap();
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(root.join("consumequeue")).unwrap();
    fs::remove_dir_all(root.join("index")).unwrap();
    fs::remove_file(root.join("checkpoint")).unwrap();
}

fn body(number: usize) -> Vec<u8> {
    let mut body = format!("message {number} ").into_bytes();
    body.resize(2000 + number * 7 % 1000, b'.');
    body
}

fn send(client: &mut RawClient, numbers: std::ops::Range<usize>) -> Vec<(i64, OffsetId)> {
    let one = |number| {
        let answer = client.produce(TOPIC, 0, &body(number), &format!("KEYS=k{number} TAGS=t")).ok();
        (answer.queue_offset(), answer.field("msgId").parse().expect("an offset id"))
    };
    numbers.map(one).collect()
}

fn ask(client: &mut RawClient, request: Request<'_>) -> i64 {
    client.call(&request).ok().field("offset").parse().unwrap()
}

/// Everything that names a message finds the one it should: `count` of them, from queue offset `first` on.
fn check(server: &TestServer, first: i64, count: usize) {
    let mut client = server.broker();
    let end = first + count as i64;
    let topic = || TOPIC.into();
    assert_eq!(ask(&mut client, Request::GetMinOffset(GetMinOffset { topic: topic(), queue_id: 0 })), first);
    let max = GetMaxOffset { topic: topic(), ..Default::default() };
    assert_eq!(ask(&mut client, Request::GetMaxOffset(max)), end);
    let all = client.pull_all(TOPIC, 0, first);
    assert_eq!(all.len(), count);
    for (number, message) in all.iter().enumerate() {
        assert_eq!((message.queue_offset, &message.body), (first + number as i64, &body(number)));
        let view = ViewMessageById { offset: message.physical_offset, ..Default::default() };
        assert_eq!(client.call(&Request::ViewMessageById(view)).ok().records()[0], *message);
        let key = format!("k{number}");
        let query = QueryMessage {
            topic: topic(),
            key: key.into(),
            max_num: 9,
            end_timestamp: i64::MAX,
            ..Default::default()
        };
        assert_eq!(client.call(&Request::QueryMessage(query)).ok().records(), std::slice::from_ref(message));
    }
    let search = |timestamp| {
        Request::SearchOffsetByTimestamp(SearchOffsetByTimestamp {
            topic: topic(),
            timestamp,
            ..Default::default()
        })
    };
    assert_eq!(ask(&mut client, search(0)), first);
    let last = all.last().expect("messages").store_timestamp;
    assert!((first..end).contains(&ask(&mut client, search(last))));
    // Before the first and behind the end.
    let before = client.pull(TOPIC, 0, first - 1);
    assert_eq!((before.code(), before.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, first));
    assert_eq!(client.pull(TOPIC, 0, end).pulled().next_begin_offset, end);
}

/// Queue offsets of what a client of ours gets.
fn consume(server: &TestServer, group: &str, count: usize) -> Vec<i64> {
    let mut options = ClientOptions::new(server.name_server());
    options.clock = server.clock.clone();
    let cluster = Cluster::with_options(options).unwrap();
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) };
    let consumer = Consumer::join(&cluster, options, vec![Subscription::all(TOPIC)]).unwrap();
    let (start, mut offsets) = (std::time::Instant::now(), Vec::new());
    while offsets.len() < count {
        assert!(start.elapsed() < HANG, "{offsets:?}");
        let messages = consumer.poll(std::time::Duration::from_millis(100)).unwrap();
        offsets.extend(messages.iter().map(|message| message.queue_offset));
    }
    consumer.commit();
    consumer.close().unwrap();
    offsets
}

/// A store of some files moved there; sends, reads, restarts and a crash go on from where it is.
fn goes_on(bytes: i64, messages: i64) {
    let mut server = start_server(&format!("mappedFileSizeCommitLog={FILE}\n"));
    server.broker().create_topic(TOPIC, 1);
    send(&mut server.broker(), 0..60);
    server.stop();
    move_store(server.data(), bytes, messages);
    server.start_again();
    check(&server, messages, 60);
    let sent = send(&mut server.broker(), 60..120);
    for (number, (offset, id)) in sent.iter().enumerate() {
        assert_eq!(*offset, messages + 60 + number as i64);
        assert!(id.physical_offset > bytes);
    }
    check(&server, messages, 120);
    assert!(consume(&server, "G", 120).into_iter().eq(messages..messages + 120));
    let mut client = server.broker();
    assert_eq!(offset_of(&mut client, "G", TOPIC, 0), messages + 120);
    make_group(&mut client, "H");
    client.call(&commit("H", TOPIC, 0, messages + 1)).ok();
    check(&server.copy(), messages, 120);
    server.restart();
    check(&server, messages, 120);
    let mut client = server.broker();
    assert_eq!(offset_of(&mut client, "H", TOPIC, 0), messages + 1);
    assert_eq!(offset_of(&mut client, "G", TOPIC, 0), messages + 120);
    assert!(consume(&server, "H", 119).into_iter().eq(messages + 1..messages + 120));
}

#[test]
fn the_log_passes_2_to_the_31_bytes() {
    goes_on((1 << 31) - 2 * FILE, 0);
}

#[test]
fn the_log_passes_2_to_the_32_bytes() {
    goes_on((1 << 32) - 2 * FILE, 0);
}

#[test]
fn queues_pass_2_to_the_31_and_the_32_messages() {
    goes_on(1 << 40, (1 << 31) - 60);
    goes_on(1 << 40, (1 << 32) - 60);
}

#[test]
fn a_queue_goes_on_beyond_2_to_the_53_messages() {
    goes_on(1 << 60, (1 << 53) - 61);
    goes_on(1 << 60, (1 << 53) + 1);
}
