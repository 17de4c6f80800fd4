//! Appends to queues of this process's own server, beside ordinary sends, pulls, deletions and restarts.

use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferromq::config::FlushDiskType;
use ferromq::{
    connect, open, open_with, Appender, ConsumeStatus, ConsumerOptions, ErrorKind, Instance, Listen, Message,
    OpenOptions, SendOptions, SendTo, StartFrom, StoredMessage,
};

use crate::net_support::HANG;

fn synchronous(dir: &Path) -> OpenOptions {
    let mut options = OpenOptions::directory(dir);
    options.broker.flush_disk_type = FlushDiskType::Sync;
    options
}

/// The first `count` messages of a topic's only queue.
fn read(mq: &Instance, topic: &str, count: usize) -> Vec<StoredMessage> {
    let consumer = mq
        .consumer_with(ConsumerOptions {
            consume_from_where: StartFrom::First,
            ..ConsumerOptions::new("Reads")
        })
        .unwrap();
    consumer.assign(&mq.queues(topic).unwrap()).unwrap();
    consumer.start().unwrap();
    for queue in mq.queues(topic).unwrap() {
        consumer.seek(&queue, 0).unwrap();
    }
    let mut read = Vec::new();
    while read.len() < count {
        let polled = consumer.poll(HANG).unwrap();
        assert!(!polled.is_empty(), "{} of {count} came", read.len());
        read.extend(polled);
    }
    consumer.close().unwrap();
    read
}

/// One way or the other, one message is stored behind the other, and found so, also after a restart.
#[test]
fn appends_and_sends_fill_one_queue() {
    for sync in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = || if sync { synchronous(dir.path()) } else { OpenOptions::directory(dir.path()) };
        let mut expected: Vec<String> = Vec::new();
        for round in 0..2 {
            let mq = open_with(options()).unwrap();
            mq.create_topic("T", 1).unwrap();
            let (producer, mut appender) = (mq.producer("P").unwrap(), mq.appender("T", 0).unwrap());
            for step in 0..if sync { 40 } else { 1000 } {
                let body = format!("{round} {step}");
                let offset = match step % 4 {
                    0 => producer.send(&Message::new("T", body.clone())).unwrap().queue_offset,
                    1 => appender.append(body.as_bytes()).unwrap(),
                    2 => {
                        let both = [format!("{body} a"), format!("{body} b")];
                        let range = appender.append_batch(&both).unwrap();
                        assert_eq!(range.clone().count(), 2);
                        expected.push(both[0].clone());
                        expected.push(both[1].clone());
                        assert_eq!(range.end, expected.len() as i64);
                        continue;
                    }
                    _ => appender.append_message(&Message::new("T", body.clone())).unwrap(),
                };
                assert_eq!(offset, expected.len() as i64);
                expected.push(body);
            }
            let found = read(&mq, "T", expected.len());
            for (number, (message, body)) in found.iter().zip(&expected).enumerate() {
                assert_eq!((message.queue_offset, &*message.body), (number as i64, body.as_bytes()));
            }
            assert_eq!(found.len(), expected.len());
            mq.close().unwrap();
            assert_eq!(appender.append(b"late").unwrap_err().kind(), ErrorKind::Closed);
        }
    }
}

#[test]
fn what_describes_a_message_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mq = open(dir.path()).unwrap();
    mq.create_topic("T", 1).unwrap();
    let mut appender = mq.appender("T", 0).unwrap();
    let message =
        Message::new("T", "body").with_tag("a").unwrap().with_key("k1").unwrap().with_key("k2").unwrap();
    let message = message.with_property("colour", "red").unwrap().with_flag(7);
    appender.append_message(&message).unwrap();
    appender.append(b"plain").unwrap();
    let [first, second] = &read(&mq, "T", 2)[..] else { panic!("not two") };
    assert_eq!((first.tag(), first.flag, &first.body[..]), (Some("a"), 7, &b"body"[..]));
    assert_eq!(first.user_properties().collect::<Vec<_>>(), [("colour", "red")]);
    assert_eq!(first.born_timestamp, first.store_timestamp);
    assert_eq!(second.message_id(), second.offset_id, "no id was made");
    assert_eq!(mq.message_by_id(&second.offset_id).unwrap().body, second.body);
    for key in ["k1", "k2"] {
        assert_eq!(mq.messages_by_key("T", key, 10, 0, i64::MAX).unwrap().len(), 1);
    }
    mq.close().unwrap();
}

/// A consumer that waits gets an append at once, by tag too, in this process and in another.
#[test]
fn consumers_that_wait_are_woken() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.listen = Some(Listen::on_free_ports());
    let mq = open_with(options).unwrap();
    mq.create_topic("T", 1).unwrap();
    let joined = connect(&format!("127.0.0.1:{}", mq.listening().unwrap().0)).unwrap();
    let mut appender = mq.appender("T", 0).unwrap();
    let mut consumers = Vec::new();
    for (instance, group) in [(&mq, "G1"), (&joined, "G2")] {
        let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) };
        let consumer = instance.push_consumer_with(options).unwrap();
        consumer.subscribe("T", "wanted").unwrap();
        let (tell, told) = channel();
        let tell = Mutex::new(tell);
        consumer
            .listen(move |messages, _| {
                messages.iter().for_each(|message| tell.lock().unwrap().send(message.queue_offset).unwrap());
                ConsumeStatus::Success
            })
            .unwrap();
        consumer.start().unwrap();
        consumers.push((consumer, told));
    }
    let wanted = Message::new("T", "x").with_tag("wanted").unwrap();
    for _ in 0..50 {
        appender.append(b"not wanted").unwrap();
        let offset = appender.append_message(&wanted).unwrap();
        for (_, told) in &consumers {
            assert_eq!(told.recv_timeout(HANG).unwrap(), offset);
        }
    }
    joined.close().unwrap();
    mq.close().unwrap();
}

#[test]
fn threads_share_one_sequence() {
    const EACH: usize = 2000;
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    // Files end often.
    options.broker.mapped_file_size_commit_log = 64 << 10;
    let mq = open_with(options).unwrap();
    mq.create_topic("T", 1).unwrap();
    let queue = mq.queues("T").unwrap().remove(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (mq, queue) = (&mq, &queue);
            scope.spawn(move || {
                let mut appender = mq.appender("T", 0).unwrap();
                let producer = mq.producer(&format!("P{thread}")).unwrap();
                let mut last = -1;
                for number in 0..EACH {
                    let body = format!("{thread} {number}");
                    let offset = match thread {
                        0 => {
                            let options =
                                SendOptions { to: SendTo::Queue(queue.clone()), ..Default::default() };
                            producer.send_with(&Message::new("T", body), &options).unwrap().queue_offset
                        }
                        _ => appender.append(body.as_bytes()).unwrap(),
                    };
                    assert!(offset > last);
                    last = offset;
                }
            });
        }
    });
    let found = read(&mq, "T", 4 * EACH);
    let mut next = [0; 4];
    for (offset, message) in found.iter().enumerate() {
        let text = std::str::from_utf8(&message.body).unwrap();
        let (thread, number) = text.split_once(' ').unwrap();
        let thread: usize = thread.parse().unwrap();
        assert_eq!(number.parse(), Ok(next[thread]), "in the order in which each thread stored them");
        next[thread] += 1;
        assert_eq!(message.queue_offset, offset as i64);
    }
    assert_eq!(next, [EACH; 4]);
    mq.close().unwrap();
}

fn kind(result: ferromq::Result<i64>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn what_cannot_be_stored_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.broker.max_message_size = 10_000;
    let mq = open_with(options).unwrap();
    mq.create_topic("T", 2).unwrap();
    for (topic, queue) in
        [("T", 2), ("T", -1), ("SCHEDULE_TOPIC_XXXX", 0), ("%RETRY%G", 0), ("a/b", 0), ("", 0)]
    {
        assert_eq!(
            mq.appender(topic, queue).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{topic} {queue}"
        );
    }
    let error = mq.appender("NoSuchTopic", 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("create_topic"), "{error}");
    let mut appender = mq.appender("T", 1).unwrap();
    assert_eq!(kind(appender.append(b"")), ErrorKind::InvalidArgument);
    assert_eq!(kind(appender.append(&[b'x'; 10_001])), ErrorKind::InvalidArgument);
    let message = Message::new("T", "x");
    for wrong in [
        Message::new("U", "x"),
        message.clone().with_delay_level(3).unwrap(),
        message.clone().with_property("big", &"x".repeat(40_000)).unwrap(),
    ] {
        assert_eq!(kind(appender.append_message(&wrong)), ErrorKind::InvalidArgument);
    }
    for wrong in [&[&b"x"[..], b""][..], &[&[b'x'; 6_000][..], &[b'y'; 6_000]], &[]] {
        assert_eq!(appender.append_batch(wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(appender.append(&[b'x'; 10_000]).unwrap(), 0, "nothing was stored before");
    let elsewhere = connect("127.0.0.1:1").unwrap();
    assert_eq!(elsewhere.appender("T", 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
    elsewhere.close().unwrap();
    mq.close().unwrap();
    assert_eq!(mq.appender("T", 0).unwrap_err().kind(), ErrorKind::Closed);
}

/// An appender goes on with what the topic is now: deleted, made anew, not writable, with other queues.
#[test]
fn changes_of_the_topic_count_from_the_next_append_on() {
    let dir = tempfile::tempdir().unwrap();
    let mq = open(dir.path()).unwrap();
    mq.create_topic("T", 2).unwrap();
    let admin = mq.admin();
    let mut appender = mq.appender("T", 1).unwrap();
    assert_eq!(appender.append(b"old").unwrap(), 0);
    admin.delete_topic("T").unwrap();
    for _ in 0..2 {
        assert_eq!(kind(appender.append(b"x")), ErrorKind::NotFound);
    }
    mq.create_topic("T", 1).unwrap();
    assert_eq!(kind(appender.append(b"x")), ErrorKind::InvalidArgument, "it has one queue now");
    mq.create_topic("T", 2).unwrap();
    assert_eq!(appender.append(b"new").unwrap(), 0);
    let settings = |perm| ferromq::admin::TopicSettings { perm, ..ferromq::admin::TopicSettings::new(2) };
    admin.create_topic("T", &settings(4)).unwrap();
    assert_eq!(kind(appender.append(b"x")), ErrorKind::NoPermission);
    admin.create_topic("T", &settings(6)).unwrap();
    assert_eq!(appender.append(b"newer").unwrap(), 1);
    mq.close().unwrap();
    let mq = open(dir.path()).unwrap();
    let bodies: Vec<_> = read(&mq, "T", 2).into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, ["new", "newer"]);
    mq.close().unwrap();
}

/// Appends while the topic is deleted and made anew, again and again: each is either in the topic as it is in the end, or
/// was refused, or went with a deletion; never is one found that the topic did not get.
#[test]
fn a_topic_may_be_deleted_under_appenders() {
    let dir = tempfile::tempdir().unwrap();
    let mq = open(dir.path()).unwrap();
    mq.create_topic("T", 1).unwrap();
    let rounds = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let stored: Vec<(i64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let (mq, rounds) = (&mq, rounds.clone());
                scope.spawn(move || {
                    let mut appender: Option<Appender> = None;
                    let mut stored = Vec::new();
                    loop {
                        let round = rounds.load(std::sync::atomic::Ordering::SeqCst);
                        if round == 6 {
                            return stored;
                        }
                        if appender.is_none() {
                            appender = mq.appender("T", 0).ok();
                        }
                        let Some(appender) = appender.as_mut() else { continue };
                        let body = format!("{round} {thread} {}", stored.len());
                        match appender.append(body.as_bytes()) {
                            Ok(offset) => stored.push((offset, body)),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    }
                })
            })
            .collect();
        for round in 1..=5 {
            std::thread::sleep(Duration::from_millis(10));
            mq.admin().delete_topic("T").unwrap();
            mq.create_topic("T", 1).unwrap();
            rounds.store(round, std::sync::atomic::Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_millis(50));
        rounds.store(6, std::sync::atomic::Ordering::SeqCst);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let queue = mq.queues("T").unwrap().remove(0);
    let count = mq.max_offset(&queue).unwrap() as usize;
    assert_eq!(mq.min_offset(&queue).unwrap(), 0);
    let found = read(&mq, "T", count);
    for (number, message) in found.iter().enumerate() {
        let body = String::from_utf8(message.body.to_vec()).unwrap();
        assert_eq!(message.queue_offset, number as i64);
        assert!(
            stored.contains(&(number as i64, body.clone())),
            "{body} at {number} was not acknowledged so"
        );
    }
    // What began after the last deletion had ended is there.
    for (offset, body) in stored.iter().filter(|(_, body)| body.starts_with("5 ")) {
        assert_eq!(found[*offset as usize].body, *body);
    }
    mq.close().unwrap();
}
