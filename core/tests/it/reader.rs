//! Reads of queues of this process's own server, beside sends, deletions and the end.

use std::sync::atomic::{AtomicBool, Ordering};

use ferromq::admin::TopicSettings;
use ferromq::{connect, open, open_with, ErrorKind, Message, OpenOptions, Reader};

fn rest(reader: &mut Reader) -> Vec<(i64, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(message) = reader.read().unwrap() {
        all.push((message.offset(), message.body().to_vec()));
    }
    all
}

#[test]
fn what_is_sent_and_appended_is_read_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    // Files end often, and entries of the queue are read from its files.
    options.broker.mapped_file_size_commit_log = 64 << 10;
    options.broker.mapped_file_size_consume_queue = 2000;
    let mq = open_with(options).unwrap();
    mq.create_topic("T", 1).unwrap();
    let producer = mq.producer("P").unwrap();
    let mut reader = mq.reader("T", 0, 0).unwrap();
    assert_eq!((reader.read().unwrap().is_none(), reader.offset()), (true, 0));
    let message = Message::new("T", "tagged").with_tag("a").unwrap().with_property("p", "q").unwrap();
    producer.send(&message.with_flag(3)).unwrap();
    let view = reader.read().unwrap().unwrap();
    assert_eq!((view.offset(), view.body(), view.tag(), view.flag()), (0, &b"tagged"[..], Some("a"), 3));
    assert_eq!((view.property("p"), view.property("q")), (Some("q"), None));
    assert!(view.properties().any(|pair| pair == ("TAGS", "a")));
    assert!(view.store_timestamp() >= view.born_timestamp() && view.physical_offset() == 0);
    assert!(reader.read().unwrap().is_none());

    // A producer compresses what is large; an appender stores it as it is.
    let large: Vec<u8> = (0..20_000_u32).map(|n| (n / 100) as u8).collect();
    producer.send(&Message::new("T", large.clone())).unwrap();
    let mut appender = mq.appender("T", 0).unwrap();
    appender.append(&large).unwrap();
    assert_eq!(rest(&mut reader), [(1, large.clone()), (2, large)]);

    for number in 3..5_000 {
        appender.append(format!("{number}").as_bytes()).unwrap();
    }
    let expected: Vec<_> = (3..5_000).map(|number: i64| (number, number.to_string().into_bytes())).collect();
    assert_eq!(rest(&mut reader), expected);
    for from in [3, 100, 4_990, 5_000] {
        reader.seek(from);
        assert_eq!(rest(&mut reader), expected[from as usize - 3..]);
    }
    reader.seek(6_000);
    assert!(reader.read().unwrap().is_none() && reader.offset() == 6_000);
    reader.seek(-5);
    assert_eq!(reader.offset(), 0);
    mq.close().unwrap();
    assert_eq!(reader.read().unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_reader_follows_an_appender_in_another_thread() {
    const COUNT: i64 = 50_000;
    let dir = tempfile::tempdir().unwrap();
    let mq = open(dir.path()).unwrap();
    mq.create_topic("T", 1).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut appender = mq.appender("T", 0).unwrap();
            for number in 0..COUNT {
                assert_eq!(appender.append(&number.to_be_bytes()).unwrap(), number);
            }
            done.store(true, Ordering::Release);
        });
        let mut reader = mq.reader("T", 0, 0).unwrap();
        let mut next = 0;
        while next < COUNT {
            let over = done.load(Ordering::Acquire);
            match reader.read().unwrap() {
                Some(message) => {
                    assert_eq!((message.offset(), message.body()), (next, &next.to_be_bytes()[..]));
                    next += 1;
                }
                None => {
                    assert!(!over, "{next} of {COUNT} are there, and all were stored");
                    std::thread::yield_now();
                }
            }
        }
    });
    mq.close().unwrap();
}

#[test]
fn what_may_not_be_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mq = open(dir.path()).unwrap();
    mq.create_topic("T", 2).unwrap();
    let kind = |topic, queue| mq.reader(topic, queue, 0).unwrap_err().kind();
    assert_eq!(kind("T", 2), ErrorKind::InvalidArgument);
    assert_eq!(kind("T", -1), ErrorKind::InvalidArgument);
    assert_eq!(kind("NoSuchTopic", 0), ErrorKind::NotFound);
    let elsewhere = connect("127.0.0.1:1").unwrap();
    assert_eq!(elsewhere.reader("T", 0, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
    elsewhere.close().unwrap();

    let mut appender = mq.appender("T", 0).unwrap();
    appender.append_batch(&["one", "two"]).unwrap();
    let mut reader = mq.reader("T", 0, 0).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().body(), b"one");
    let settings = |perm| TopicSettings { perm, ..TopicSettings::new(2) };
    mq.admin().create_topic("T", &settings(2)).unwrap();
    for _ in 0..2 {
        assert_eq!(reader.read().unwrap_err().kind(), ErrorKind::NoPermission);
    }
    mq.admin().create_topic("T", &settings(6)).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().body(), b"two");

    // It reads the queue that it was made for, and no other of the same name.
    reader.seek(0);
    mq.admin().delete_topic("T").unwrap();
    assert_eq!(reader.read().unwrap_err().kind(), ErrorKind::NotFound);
    mq.create_topic("T", 2).unwrap();
    appender.append(b"new").unwrap();
    assert_eq!(reader.read().unwrap_err().kind(), ErrorKind::NotFound);
    let mut reader = mq.reader("T", 0, 0).unwrap();
    assert_eq!(rest(&mut reader), [(0, b"new".to_vec())]);
    mq.close().unwrap();
}
