//! What an instance offers besides producers and consumers, the same in process and over TCP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{SendOptions, Sent};
use ferromq::config::FlushDiskType;
use ferromq::message::{Message, StoredMessage};
use ferromq::{
    connect, open_with, ErrorKind, GivenUp, Instance, Listen, OpenOptions, ProducerOptions, Result,
    TransactionListener, TransactionState, Undecided,
};

use crate::net_support::HANG;

/// A server in a directory with a listener: this process's own client, and one over TCP.
struct Both {
    server: Instance,
    remote: Instance,
    _dir: tempfile::TempDir,
}

fn both_with(change: impl FnOnce(&mut OpenOptions)) -> Both {
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.listen = Some(Listen::on_free_ports());
    change(&mut options);
    let server = open_with(options).unwrap();
    let remote = connect(&format!("127.0.0.1:{}", server.listening().unwrap().0)).unwrap();
    Both { server, remote, _dir: dir }
}

fn each(test: impl Fn(&Instance)) {
    let Both { server, remote, _dir } = both_with(|_| {});
    for instance in [&server, &remote] {
        test(instance);
    }
    remote.close().unwrap();
    server.close().unwrap();
}

/// A message can be looked up soon after it was sent.
fn soon<T>(look: impl Fn() -> Result<T>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Err(error) if error.kind() == ErrorKind::NotFound && start.elapsed() < HANG => {
                std::thread::sleep(Duration::from_millis(1));
            }
            found => return found.unwrap(),
        }
    }
}

fn send(instance: &Instance, message: Message) -> Sent {
    instance.producer("P").unwrap().send(&message).unwrap()
}

fn is(message: &StoredMessage, sent: &Sent, body: &str) {
    assert_eq!(message.body, body);
    assert_eq!((message.message_id(), message.offset_id.as_str()), (&*sent.message_id, &*sent.offset_id));
    assert_eq!((message.queue_id, message.queue_offset), (sent.queue.queue_id, sent.queue_offset));
    assert_eq!(message.topic, sent.queue.topic);
    assert_eq!(message.broker_name, sent.queue.broker_name);
}

#[test]
fn messages_are_found_by_both_ids() {
    each(|instance| {
        let sent = send(instance, Message::new("Ids", "body"));
        is(&instance.message_by_id(&sent.offset_id).unwrap(), &sent, "body");
        is(&soon(|| instance.message_by_unique_key("Ids", &sent.message_id)), &sent, "body");
        let error = instance.message_by_unique_key("Ids", "7F0000010000000000000000000000FF").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = instance.message_by_unique_key("NoSuchTopic", &sent.message_id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let (host, _) = sent.offset_id.split_at(16);
        let error = instance.message_by_id(&format!("{host}00000000FFFFFFF0")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(instance.message_by_id("nonsense").unwrap_err().kind(), ErrorKind::InvalidArgument);
    });
}

#[test]
fn messages_are_found_by_key_and_time() {
    each(|instance| {
        let key = format!("order-{}", instance.client_id());
        for number in 0..5 {
            let message = Message::new("Keys", format!("{number}")).with_key(&key).unwrap();
            send(instance, message.with_key("common").unwrap());
        }
        let all = soon(|| {
            let found = instance.messages_by_key("Keys", &key, 64, 0, i64::MAX)?;
            match found.len() {
                5 => Ok(found),
                _ => Err(ferromq::Error::new(ErrorKind::NotFound, "test", "not all yet")),
            }
        });
        let mut bodies: Vec<_> = all.iter().map(|message| message.body.clone()).collect();
        bodies.sort();
        assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
        assert_eq!(instance.messages_by_key("Keys", &key, 2, 0, i64::MAX).unwrap().len(), 2);
        assert!(instance.messages_by_key("Keys", &key, 64, 0, 1000).unwrap().is_empty());
        assert!(instance.messages_by_key("Keys", "nobody's", 64, 0, i64::MAX).unwrap().is_empty());
        assert!(instance.messages_by_key("Keys", "common", 64, 0, i64::MAX).unwrap().len() >= 5);
    });
}

#[test]
fn topics_are_made_and_their_queues_asked() {
    let Both { server, remote, _dir } = both_with(|options| options.broker.auto_create_topic_enable = false);
    for (instance, topic) in [(&server, "Own"), (&remote, "Others")] {
        assert_eq!(instance.queues(topic).unwrap_err().kind(), ErrorKind::NotFound);
        let error = instance.producer("P").unwrap().send(&Message::new(topic, "x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(instance.create_topic(topic, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(instance.create_topic("a/b", 1).unwrap_err().kind(), ErrorKind::Remote);
        instance.create_topic(topic, 3).unwrap();
        let queues = instance.queues(topic).unwrap();
        assert_eq!(queues.len(), 3);
        let queue = &queues[1];
        assert_eq!((instance.min_offset(queue).unwrap(), instance.max_offset(queue).unwrap()), (0, 0));
        assert_eq!(instance.earliest_store_time(queue).unwrap(), None);
        let to = SendOptions::default().with_queue(queue.clone());
        let producer = instance.producer("P").unwrap();
        let sent: Vec<Sent> =
            (0..3).map(|_| producer.send_with(&Message::new(topic, "x"), &to).unwrap()).collect();
        assert_eq!((instance.min_offset(queue).unwrap(), instance.max_offset(queue).unwrap()), (0, 3));
        let stored = instance.message_by_id(&sent[0].offset_id).unwrap().store_timestamp;
        assert_eq!(instance.earliest_store_time(queue).unwrap(), Some(stored));
        assert_eq!(instance.search_offset(queue, stored).unwrap(), 0);
        assert_eq!(instance.search_offset(queue, stored + 3_600_000).unwrap(), 3);
        instance.create_topic(topic, 5).unwrap();
        assert_eq!(instance.queues(topic).unwrap().len(), 5);
    }
    remote.close().unwrap();
    assert_eq!(remote.queues("Own").unwrap_err().kind(), ErrorKind::Closed);
    server.close().unwrap();
    assert_eq!(server.create_topic("Late", 1).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(server.producer("P").err().unwrap().kind(), ErrorKind::Closed);
}

#[test]
fn what_is_flushed_before_it_is_answered_waits_without_an_event_loop() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = OpenOptions::directory(dir.path());
    options.broker.flush_disk_type = FlushDiskType::Sync;
    let instance = open_with(options).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let producer = instance.producer("P").unwrap();
                for number in 0..25 {
                    let sent = producer.send(&Message::new("Safe", format!("{number}"))).unwrap();
                    let seen = instance.message_by_id(&sent.offset_id).unwrap();
                    is(&seen, &sent, &number.to_string());
                }
            });
        }
    });
    instance.close().unwrap();
}

#[test]
fn many_futures_wait_on_no_thread_of_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let instance = open_with(OpenOptions::directory(dir.path())).unwrap();
    let producer = instance.producer("P").unwrap();
    let sends: Vec<_> =
        (0..1000).map(|number| producer.send_async(&Message::new("Futures", format!("{number}")))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ids: std::collections::BTreeSet<String> = runtime.block_on(async {
        let mut ids = std::collections::BTreeSet::new();
        for send in sends {
            ids.insert(send.await.unwrap().offset_id);
        }
        ids
    });
    assert_eq!(ids.len(), 1000);
    instance.close().unwrap();
}

#[test]
fn the_second_port_is_not_asked_for_what_is_in_the_process() {
    let mut options = OpenOptions::memory();
    options.client.vip_channel_enabled = true;
    let instance = open_with(options).unwrap();
    send(&instance, Message::new("T", "x"));
    instance.close().unwrap();
}

#[test]
fn without_a_listener_nobody_else_is_called() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let instance = open_with(OpenOptions::memory()).unwrap();
    let sent = send(&instance, Message::new("T", "x"));
    // The id of a place at another server.
    let elsewhere = format!("7F000001{:08X}{}", u32::from(port), &sent.offset_id[16..]);
    let error = instance.message_by_id(&elsewhere).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.context().contains(&port.to_string()), "{error}");
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "somebody called");
    assert_eq!(&instance.message_by_id(&sent.offset_id).unwrap().body[..], b"x");
    instance.close().unwrap();
}

/// What a consumer of the instance gets first.
fn first(instance: &Instance, group: &str) -> StoredMessage {
    let options = ferromq::ConsumerOptions {
        consume_from_where: ferromq::StartFrom::First,
        ..ferromq::ConsumerOptions::new(group)
    };
    let consumer = instance.consumer_with(options).unwrap();
    consumer.subscribe("Fields", "*").unwrap();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < HANG);
        if let Some(message) = consumer.poll(Duration::from_millis(100)).unwrap().pop() {
            return message;
        }
    }
}

#[test]
fn every_field_of_a_message_can_be_read() {
    let Both { server, remote, _dir } = both_with(|_| {});
    server.create_topic("Fields", 1).unwrap();
    let now =
        || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let before = now();
    let message = Message::new("Fields", "a body")
        .with_tag("Tag")
        .and_then(|message| message.with_key("one"))
        .and_then(|message| message.with_key("two"))
        .and_then(|message| message.with_property("colour", "red"))
        .unwrap()
        .with_flag(5);
    let sent = server.producer("P").unwrap().send(&message).unwrap();
    let after = now();
    let got = first(&server, "near");
    assert_eq!((got.topic.as_str(), &got.body[..], got.flag), ("Fields", b"a body".as_slice(), 5));
    assert_eq!((got.tag(), got.keys().collect::<Vec<_>>()), (Some("Tag"), vec!["one", "two"]));
    assert_eq!(got.user_properties().collect::<Vec<_>>(), [("colour", "red")]);
    assert_eq!(got.properties.get("WAIT"), None);
    assert_eq!(
        (got.message_id(), got.offset_id.as_str()),
        (sent.message_id.as_str(), sent.offset_id.as_str())
    );
    let place: ferromq::OffsetId = got.offset_id.parse().unwrap();
    assert_eq!(
        (place.physical_offset, place.host.port()),
        (got.physical_offset, server.listening().unwrap().1)
    );
    assert_eq!((&*got.broker_name, got.queue_id), (&*sent.queue.broker_name, sent.queue.queue_id));
    assert_eq!((got.queue_offset, got.reconsume_times, got.sys_flag), (sent.queue_offset, 0, 0));
    assert!((before..=after).contains(&got.born_timestamp), "{}", got.born_timestamp);
    assert!((before..=after).contains(&got.store_timestamp), "{}", got.store_timestamp);
    assert!(got.born_host.ip().is_loopback(), "{}", got.born_host);
    // All of it is the same over TCP, and when it is looked up.
    assert_eq!(first(&remote, "far").born_host, got.born_host);
    for looked_up in [server.message_by_id(&got.offset_id), remote.message_by_id(&got.offset_id)] {
        let mut looked_up = looked_up.unwrap();
        // A pull adds what it knows of the queue.
        looked_up.properties = got.properties.clone();
        assert_eq!(looked_up, got);
    }
    remote.close().unwrap();
    server.close().unwrap();
}

/// Never says how its transactions ended.
struct Forgets;

impl TransactionListener for Forgets {
    fn execute(&self, _: &Message, _: &str) -> TransactionState {
        TransactionState::Unknown
    }

    fn check(&self, _: &StoredMessage) -> TransactionState {
        TransactionState::Unknown
    }
}

#[test]
fn who_embeds_a_broker_decides_about_transactions_that_are_given_up() {
    let mut options = OpenOptions::memory();
    for (key, value) in
        [("transactionTimeOut", "1"), ("transactionCheckInterval", "20"), ("transactionCheckMax", "2")]
    {
        options.broker.set(key, value).unwrap();
    }
    let (told, given_up) = std::sync::mpsc::channel();
    options.resolve_given_up = Some(Arc::new(move |undecided: &Undecided<'_>| {
        let body = String::from_utf8_lossy(undecided.body).into_owned();
        told.send((body.clone(), undecided.topic.to_owned(), undecided.group.to_owned(), undecided.asked))
            .unwrap();
        match body.as_str() {
            "commit" => GivenUp::Commit,
            "rollback" => GivenUp::Rollback,
            "panic" => std::panic::resume_unwind(Box::new("decides nothing")),
            _ => GivenUp::SetAside,
        }
    }));
    let mq = open_with(options).unwrap();
    mq.create_topic("T", 1).unwrap();
    let producer = mq.transaction_producer(ProducerOptions::new("forgets"), Forgets).unwrap();
    for body in ["rollback", "aside", "panic", "commit"] {
        producer.send(&Message::new("T", body)).unwrap();
    }
    let mut decided = std::collections::BTreeSet::new();
    while decided.len() < 4 {
        let (body, topic, group, asked) = given_up.recv_timeout(HANG).unwrap();
        assert_eq!((topic.as_str(), group.as_str(), asked), ("T", "forgets", 2));
        assert!(decided.insert(body), "each is decided once");
    }
    let count = |topic: &str| -> i64 {
        let queues = mq.queues(topic).unwrap_or_default();
        queues.iter().map(|queue| mq.max_offset(queue).unwrap()).sum()
    };
    let start = Instant::now();
    while (count("T"), count("TRANS_CHECK_MAX_TIME_TOPIC")) != (1, 2) {
        assert!(start.elapsed() < HANG);
        std::thread::sleep(Duration::from_millis(5));
    }
    mq.close().unwrap();
}
