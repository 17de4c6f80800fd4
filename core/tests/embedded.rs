//! A server in this process, by what it takes from the process: sockets, threads, descriptors, memory. These tests count
//! what the whole process has, so they have a binary of their own and run one after the other.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ferromq::client::{ConsumeContext, ConsumeStatus, Consumer, ConsumerOptions, SendOptions, StartFrom};
use ferromq::message::{Message, StoredMessage};
use ferromq::{open, open_with, ErrorKind, Instance, Listen, OpenOptions};
use parking_lot::{Mutex, MutexGuard};

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock()
}

/// Whether the long forms are asked for.
fn soak() -> bool {
    std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1")
}

fn message(topic: &str, number: usize) -> Message {
    let mut body = vec![b'x'; 128];
    body[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Message::new(topic, body)
}

fn number(body: &[u8]) -> usize {
    u64::from_be_bytes(body[..8].try_into().unwrap()) as usize
}

fn consumer(instance: &Instance, topic: &str) -> Consumer {
    let options = ConsumerOptions {
        consumer_group: Some("G".into()),
        consume_from_where: StartFrom::First,
        ..ConsumerOptions::default()
    };
    let consumer = instance.consumer_with(options).unwrap();
    consumer.subscribe(topic, "*").unwrap();
    consumer.start().unwrap();
    consumer
}

fn receive(consumer: &Consumer, count: usize) -> Vec<usize> {
    let (start, mut seen) = (Instant::now(), Vec::new());
    while seen.len() < count {
        assert!(start.elapsed() < HANG, "{} of {count} messages came", seen.len());
        let messages = consumer.poll(Duration::from_secs(1)).unwrap();
        seen.extend(messages.iter().map(|message| number(&message.body)));
        consumer.commit();
    }
    seen
}

/// Waits until `condition` holds.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the process has at the moment.
#[derive(Debug, Clone, Copy)]
struct Usage {
    threads: usize,
    descriptors: usize,
    sockets: usize,
    /// Memory that is no file's, KiB.
    anonymous: usize,
}

fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let links: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    Usage {
        // The test runner has threads of its own.
        threads: thread_names().iter().filter(|name| name.starts_with("fmq-")).count(),
        descriptors: links.len(),
        sockets: links.iter().filter(|link| link.starts_with("socket:")).count(),
        anonymous: field("RssAnon:"),
    }
}

/// Bytes that the files of a directory take.
fn taken(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => taken(&entry.path()),
            false => entry.metadata().unwrap().blocks() * 512,
        })
        .sum()
}

#[test]
fn messages_are_sent_and_received_without_a_socket_or_an_event_loop() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let before = usage();
    let instance = open(dir.path()).unwrap();
    let producer = instance.producer("P").unwrap();
    for number in 0..100 {
        producer.send(&message("Orders", number)).unwrap();
    }
    let consumer = consumer(&instance, "Orders");
    let mut seen = receive(&consumer, 100);
    seen.sort_unstable();
    assert_eq!(seen, (0..100).collect::<Vec<_>>());
    assert_eq!(usage().sockets, before.sockets);
    let loops = |name: &str| name.starts_with("fmq-net");
    assert!(!thread_names().iter().any(|name| loops(name)), "{:?}", thread_names());
    assert_eq!(instance.listening(), None);
    instance.close().unwrap();
    let error = producer.send(&message("Orders", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(consumer.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
    instance.close().unwrap();
}

fn thread_names() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
}

#[test]
fn what_was_sent_is_there_after_the_next_open_and_the_broker_keeps_its_name() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.broker.broker_name = "mine".into();
    let instance = open_with(options).unwrap();
    let sent = instance.producer("P").unwrap().send(&message("Orders", 7)).unwrap();
    assert_eq!(sent.queue.broker_name, "mine");
    instance.close().unwrap();
    let instance = open(dir.path()).unwrap();
    assert_eq!(receive(&consumer(&instance, "Orders"), 1), [7]);
    let sent = instance.producer("P").unwrap().send(&message("Orders", 8)).unwrap();
    assert_eq!(sent.queue.broker_name, "mine");
    drop(instance);
}

#[test]
fn a_fresh_directory_takes_little_room() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().close().unwrap();
    let empty = taken(dir.path());
    assert!(empty < 1 << 20, "{empty} bytes");
    let instance = open(dir.path()).unwrap();
    instance.producer("P").unwrap().send(&message("Orders", 0)).unwrap();
    instance.close().unwrap();
    // Most of it are the slots of Apache's key index, whose number its brokers expect.
    let first = taken(dir.path());
    assert!(first < 32 << 20, "{first} bytes");
}

#[test]
fn a_directory_is_opened_once_and_the_error_names_who_has_it() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    let holder = format!("process {}", std::process::id());
    assert!(error.context().contains(&holder) && error.context().contains("ferromq"), "{error}");
    // The one that has it is none the worse.
    instance.producer("P").unwrap().send(&message("Orders", 0)).unwrap();
    instance.close().unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn memory_is_given_back_at_the_close() {
    let _alone = alone();
    let place = || {
        let names = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
        let own = format!("ferromq-scratch-{}-", std::process::id());
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).count()
    };
    let instance = open_with(OpenOptions::memory()).unwrap();
    let producer = instance.producer("P").unwrap();
    for number in 0..1000 {
        producer.send(&message("Orders", number)).unwrap();
    }
    let consumer = consumer(&instance, "Orders");
    assert_eq!(receive(&consumer, 1000).len(), 1000);
    instance.close().unwrap();
    assert_eq!(place(), 0);
    // Dropped without a close it is gone as well, as soon as the client's threads let go of it.
    let instance = open_with(OpenOptions::memory()).unwrap();
    instance.producer("P").unwrap().send(&message("Orders", 0)).unwrap();
    drop(instance);
    eventually("the directory is gone", || place() == 0);
}

#[test]
fn others_join_by_the_listener_while_this_process_needs_none() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.listen = Some(Listen::on_free_ports());
    let instance = open_with(options).unwrap();
    let (namesrv, broker) = instance.listening().unwrap();
    let listening = usage().sockets;
    let sent = instance.producer("P").unwrap().send(&message("Orders", 1)).unwrap();
    assert_eq!(usage().sockets, listening);
    // The id of a place names the address that others can ask.
    assert!(sent.offset_id.starts_with(&format!("7F000001{:08X}", u32::from(broker))), "{sent}");
    let other = ferromq::connect(&format!("127.0.0.1:{namesrv}")).unwrap();
    other.producer("Q").unwrap().send(&message("Orders", 2)).unwrap();
    assert!(usage().sockets > listening);
    let mut seen = receive(&consumer(&instance, "Orders"), 2);
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
    let both = [&instance, &other].map(|instance| instance.client_id().to_owned());
    assert_ne!(both[0], both[1]);
    other.close().unwrap();
    instance.close().unwrap();
}

#[test]
fn a_dropped_instance_lives_on_in_what_was_made_from_it() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let producer = open(dir.path()).unwrap().producer("P").unwrap();
    producer.send(&message("Orders", 0)).unwrap();
    assert_eq!(open(dir.path()).unwrap_err().kind(), ErrorKind::InUse);
    drop(producer);
    eventually("the directory is free", || match open(dir.path()) {
        Ok(instance) => instance.close().is_ok(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InUse);
            false
        }
    });
}

#[test]
fn a_listener_may_close_everything_and_goes_on_to_its_end() {
    let _alone = alone();
    let before = usage();
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).unwrap();
    let producer = instance.producer("P").unwrap();
    (0..10).for_each(|number| drop(producer.send(&message("Orders", number)).unwrap()));
    let mut options = ConsumerOptions::new("G");
    options.consume_from_where = StartFrom::First;
    let consumer = instance.push_consumer_with(options).unwrap();
    consumer.subscribe("Orders", "*").unwrap();
    let (told, calls) = mpsc::channel();
    let own = instance.clone();
    let listener = move |_: &[StoredMessage], _: &ConsumeContext| {
        let closed = own.close().is_ok();
        // Still there: what it uses is not gone under its feet.
        let again = own.close_within(Duration::from_millis(1)).is_ok();
        told.send(closed && again && !own.client_id().is_empty()).unwrap();
        ConsumeStatus::Success
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    assert!(calls.recv_timeout(HANG).unwrap());
    instance.close().unwrap();
    assert_eq!(producer.send(&message("Orders", 0)).unwrap_err().kind(), ErrorKind::Closed);
    // A thread that was joined may be listed for a moment more.
    let left = || (usage().threads, usage().descriptors);
    eventually("nothing is left", || left() == (before.threads, before.descriptors));
    drop((producer, consumer, instance));
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn a_close_does_not_wait_longer_than_told_and_ends_when_it_can() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).unwrap();
    instance.producer("P").unwrap().send(&message("Orders", 0)).unwrap();
    let mut options = ConsumerOptions::new("G");
    options.consume_from_where = StartFrom::First;
    let consumer = instance.push_consumer_with(options).unwrap();
    consumer.subscribe("Orders", "*").unwrap();
    let (called, calls) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let listener = move |_: &[StoredMessage], _: &ConsumeContext| {
        called.send(()).unwrap();
        gone.lock().recv_timeout(HANG).unwrap();
        ConsumeStatus::Success
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    calls.recv_timeout(HANG).unwrap();
    let error = instance.close_within(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    go.send(()).unwrap();
    // Now it waits for the listener's end.
    instance.close().unwrap();
    eventually("the last thread is gone", || usage().threads == 0);
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn callbacks_of_sends_may_close_too() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).unwrap();
    let producer = instance.producer("P").unwrap();
    let (told, results) = mpsc::channel();
    let own = instance.clone();
    producer.send_callback(&message("Orders", 0), &SendOptions::default(), move |sent| {
        told.send((sent.is_ok(), own.close().is_ok())).unwrap();
    });
    assert_eq!(results.recv_timeout(HANG).unwrap(), (true, true));
    instance.close().unwrap();
    open(dir.path()).unwrap().close().unwrap();
}

#[test]
fn memory_stays_bounded_while_the_consumer_is_slow() {
    let _alone = alone();
    let count = if soak() { 1_000_000 } else { 30_000 };
    let dir = tempfile::tempdir().unwrap();
    let instance = open(dir.path()).unwrap();
    let producer = instance.producer("P").unwrap();
    producer.send(&message("Orders", 0)).unwrap();
    let consumer = consumer(&instance, "Orders");
    assert_eq!(receive(&consumer, 1), [0]);
    let before = usage().anonymous;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..count {
                producer.send(&message("Orders", number)).unwrap();
            }
        });
        let mut seen = vec![false; count];
        seen[0] = true;
        let (mut left, mut most, mut came) = (count - 1, 0, Instant::now());
        while left > 0 {
            for message in consumer.poll(Duration::from_secs(1)).unwrap() {
                let number = number(&message.body);
                if !std::mem::replace(&mut seen[number], true) {
                    left -= 1;
                    came = Instant::now();
                }
            }
            consumer.commit();
            if left > count / 2 && left.is_multiple_of(7) {
                std::thread::sleep(Duration::from_millis(1));
            }
            most = most.max(usage().anonymous);
            assert!(came.elapsed() < HANG, "{left} messages did not come");
        }
        let grown = most.saturating_sub(before);
        println!("{count} messages; anonymous memory grew by {grown} KiB at most");
        assert!(grown < 64 << 10, "{grown} KiB");
    });
    instance.close().unwrap();
}

#[test]
fn many_lives_leave_nothing_behind() {
    let _alone = alone();
    let cycles = if soak() { 2000 } else { 100 };
    let dir = tempfile::tempdir().unwrap();
    let cycle = |number: usize| {
        let instance = open(dir.path()).unwrap();
        instance.producer("P").unwrap().send(&message("Orders", number)).unwrap();
        let seen = receive(&consumer(&instance, "Orders"), 1);
        assert_eq!(seen, [number]);
        instance.close().unwrap();
    };
    // What is made once stays: buffers of threads, tables of the allocator.
    (0..cycles / 4).for_each(cycle);
    let before = usage();
    (cycles / 4..cycles).for_each(cycle);
    // A thread that was joined may be listed for a moment more.
    eventually("the last thread is gone", || usage().threads == before.threads);
    let after = usage();
    println!("{cycles} lives: before {before:?}, after {after:?}");
    assert_eq!(
        (after.threads, after.descriptors, after.sockets),
        (before.threads, before.descriptors, before.sockets)
    );
    let grown = after.anonymous.saturating_sub(before.anonymous);
    assert!(grown < 4 << 10, "memory grew by {grown} KiB over {cycles} lives");
}
