//! What a producer owes its user: each message stored where it says, or an error that says why not.

use std::time::Duration;

use ferromq::client::{Cluster, Producer, ProducerOptions, SendOptions, SendStatus, Sent};
use ferromq::message::{batch, property, Message, Properties};
use ferromq::record::RecordView;
use ferromq::wire::body::MessageQueue;
use ferromq::ErrorKind;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn producer(cluster: &FakeCluster) -> Producer {
    with(cluster, |_| {})
}

fn with(cluster: &FakeCluster, change: impl FnOnce(&mut ProducerOptions)) -> Producer {
    let mut options = ProducerOptions { send_msg_timeout: HANG, ..ProducerOptions::default() };
    change(&mut options);
    Producer::new(&cluster.connect(), options).unwrap()
}

fn message(body: &str) -> Message {
    Message::new("T", body.to_string())
}

fn place(sent: &Sent) -> (String, i32, i64) {
    (sent.queue.broker_name.clone(), sent.queue.queue_id, sent.queue_offset)
}

#[test]
fn messages_go_round_all_queues_of_all_brokers() {
    let cluster = FakeCluster::start(2, 4);
    let producer = producer(&cluster);
    for number in 0..80 {
        let sent = producer.send(&message(&number.to_string())).unwrap();
        assert_eq!(sent.status, SendStatus::Ok);
    }
    assert_eq!(cluster.stored(), [10; 8]);
}

#[test]
fn the_result_says_where_the_message_is_and_the_record_has_all_its_parts() {
    let cluster = FakeCluster::start(1, 1);
    let producer = producer(&cluster);
    producer.send(&message("first")).unwrap();
    let mut second = message("second").with_tag("A").unwrap().with_key("k").unwrap();
    second = second.with_property("größe", "übergroß").unwrap();
    second.flag = 42;
    let sent = producer.send(&second).unwrap();
    assert_eq!(place(&sent), ("broker-0".into(), 0, 1));
    assert_eq!(sent.message_id.len(), 32);
    assert!(sent.to_string().contains(&format!("msgId={}", sent.message_id)), "{sent}");
    let state = cluster.brokers[0].state.lock();
    let record = RecordView::parse(&state.topics["T"][0][1]).unwrap();
    assert_eq!((record.body(), record.flag()), (b"second".as_slice(), 42));
    assert_eq!(record.property("größe"), Some("übergroß"));
    assert_eq!((record.property("TAGS"), record.property("KEYS")), (Some("A"), Some("k")));
    assert_eq!(record.property("UNIQ_KEY"), Some(sent.message_id.as_str()));
}

#[test]
fn a_failed_send_is_tried_again_at_another_broker() {
    let cluster = FakeCluster::start(2, 1);
    let producer = producer(&cluster);
    for code in [1, 2, 14, 16, 17] {
        cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(code));
        // One of two sends has its first turn at the broker that refuses.
        for _ in 0..2 {
            assert_eq!(producer.send(&message("x")).unwrap().queue.broker_name, "broker-1", "{code}");
            if cluster.brokers[0].state.lock().moods.is_empty() {
                break;
            }
        }
        assert!(cluster.brokers[0].state.lock().moods.is_empty(), "{code}");
    }
}

#[test]
fn attempts_are_counted() {
    let cluster = FakeCluster::start(2, 1);
    let producer = with(&cluster, |options| options.retry_times_when_send_failed = 3);
    for broker in &cluster.brokers {
        broker.state.lock().moods.extend((0..10).map(|_| Mood::Refuse(1)));
    }
    let error = producer.send(&message("x")).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Remote, Some(1)));
    assert!(error.context().contains("the test says so"), "{error}");
    assert_eq!(cluster.sends(), [2, 2]);
    assert_eq!(cluster.stored(), [0usize; 0]);
}

#[test]
fn what_will_never_be_taken_is_not_tried_again() {
    let cluster = FakeCluster::start(2, 1);
    let producer = producer(&cluster);
    for broker in &cluster.brokers {
        broker.state.lock().moods.push_back(Mood::Refuse(13));
    }
    assert_eq!(producer.send(&message("x")).unwrap_err().code(), Some(13));
    assert_eq!(cluster.sends().iter().sum::<usize>(), 1);
}

#[test]
fn a_cut_connection_is_survived_and_the_copies_have_one_id() {
    let cluster = FakeCluster::start(1, 1);
    let producer = producer(&cluster);
    cluster.brokers[0].state.lock().moods.push_back(Mood::Cut);
    let sent = producer.send(&message("x")).unwrap();
    assert_eq!(sent.queue_offset, 1);
    let state = cluster.brokers[0].state.lock();
    for record in &state.topics["T"][0] {
        let record = RecordView::parse(record).unwrap();
        assert_eq!(record.property(property::UNIQ_KEY), Some(sent.message_id.as_str()));
    }
}

#[test]
fn a_dead_broker_is_passed_over() {
    let mut cluster = FakeCluster::start(2, 2);
    cluster.stop_broker(0);
    let producer = producer(&cluster);
    for _ in 0..20 {
        assert_eq!(producer.send(&message("x")).unwrap().queue.broker_name, "broker-1");
    }
}

#[test]
fn a_send_ends_at_its_deadline() {
    let cluster = FakeCluster::start(1, 1);
    let producer = producer(&cluster);
    // Then it knows the way there.
    producer.send(&message("first")).unwrap();
    cluster.brokers[0].state.lock().moods.push_back(Mood::Silence);
    let options = SendOptions::default().with_timeout(Duration::from_millis(50));
    let error = producer.send_with(&message("x"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    eventually("it has come", || cluster.sends() == [2]);
    assert_eq!(producer.send(&message("next")).unwrap().queue_offset, 2);
}

#[test]
fn a_message_that_is_stored_but_not_safe_is_a_result_or_tried_elsewhere() {
    let cluster = FakeCluster::start(2, 1);
    for (code, status) in
        [(10, SendStatus::FlushTimedOut), (12, SendStatus::SlaveTimedOut), (11, SendStatus::NoSlave)]
    {
        for broker in &cluster.brokers {
            broker.state.lock().moods.clear();
            broker.state.lock().moods.push_back(Mood::StoreWith(code));
        }
        assert_eq!(producer(&cluster).send(&message("x")).unwrap().status, status);
    }
    let cluster = FakeCluster::start(2, 1);
    cluster.brokers[0].state.lock().moods.push_back(Mood::StoreWith(10));
    let careful = with(&cluster, |options| options.retry_another_broker_when_not_store_ok = true);
    for _ in 0..2 {
        let sent = careful.send(&message("x")).unwrap();
        assert_eq!((sent.status, sent.queue.broker_name.as_str()), (SendStatus::Ok, "broker-1"));
        cluster.brokers[0].state.lock().moods.push_back(Mood::StoreWith(10));
    }
}

#[test]
fn a_chosen_queue_gets_the_message_and_no_other() {
    let cluster = FakeCluster::start(2, 4);
    let producer = producer(&cluster);
    let queue = MessageQueue { topic: "T".into(), broker_name: "broker-1".into(), queue_id: 2 };
    let options = SendOptions::default().with_queue(queue.clone());
    for _ in 0..3 {
        assert_eq!(producer.send_with(&message("x"), &options).unwrap().queue, queue);
    }
    cluster.brokers[1].state.lock().moods.push_back(Mood::Refuse(1));
    assert_eq!(producer.send_with(&message("x"), &options).unwrap_err().code(), Some(1));
    assert_eq!(cluster.sends(), [0, 4]);
    let error = producer.send_with(&Message::new("Other", "x"), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let nowhere = MessageQueue { broker_name: "broker-9".into(), ..queue };
    let error = producer.send_with(&message("x"), &options.with_queue(nowhere)).unwrap_err();
    assert!(error.context().contains("broker-9"), "{error}");
}

#[test]
fn a_topic_is_created_by_its_first_message_where_that_is_allowed() {
    let cluster = FakeCluster::start(1, 8);
    let producer = producer(&cluster);
    let new = Message::new("New", "x");
    let error = producer.send(&new).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.context().contains("\"New\""), "{error}");
    cluster.add_topic("TBW102");
    let mut queues: Vec<i32> = (0..8).map(|_| producer.send(&new).unwrap().queue.queue_id).collect();
    queues.sort_unstable();
    assert_eq!(queues, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[test]
fn batches_are_stored_side_by_side() {
    let cluster = FakeCluster::start(1, 2);
    let producer = producer(&cluster);
    let messages: Vec<Message> =
        (0..100).map(|number| message(&number.to_string()).with_tag("A").unwrap()).collect();
    let sent = producer.send_batch(&messages).unwrap();
    assert_eq!(cluster.sends(), [1]);
    let state = cluster.brokers[0].state.lock();
    let queue = &state.topics["T"][sent.queue.queue_id as usize];
    let mut ids = Vec::new();
    for (record, number) in queue.iter().zip(0..) {
        let record = RecordView::parse(record).unwrap();
        assert_eq!(record.body(), number.to_string().as_bytes());
        assert_eq!(record.property("TAGS"), Some("A"));
        ids.push(record.property("UNIQ_KEY").unwrap().to_string());
    }
    assert_eq!(queue.len(), 100);
    // The result names them all, in their order.
    assert_eq!(sent.message_ids().collect::<Vec<_>>(), ids);
    assert_eq!(sent.message_id, ids.join(","));
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 100);
}

#[test]
fn batches_that_brokers_refuse_are_refused_here() {
    let cluster = FakeCluster::start(1, 1);
    let producer = producer(&cluster);
    let delayed = Message { properties: Properties::from_iter([(property::DELAY, "3")]), ..message("x") };
    let unsafe_one =
        Message { properties: Properties::from_iter([(property::WAIT, "false")]), ..message("x") };
    for (batch, says) in [
        (vec![], "empty"),
        (vec![message("a"), Message::new("Other", "b")], "\"Other\""),
        (vec![message("a"), delayed], "delay"),
        (vec![message("a"), unsafe_one], "WAIT"),
        (vec![Message::new("%RETRY%g", "a")], "%RETRY%g"),
        (vec![message("a"), message("")], "no body"),
        (vec![Message::new("T", vec![0; 3 << 20]); 2], "4194304"),
    ] {
        let error = producer.send_batch(&batch).unwrap_err();
        assert!(error.context().contains(says), "{error}");
    }
    assert_eq!(cluster.sends(), [0]);
    let items = [batch::Item { flag: 0, body: b"x", properties: b"" }; 2];
    let mut body = Vec::new();
    items.iter().for_each(|item| batch::encode_item(&mut body, item).unwrap());
    assert_eq!(batch::items(&body).count(), 2);
}

#[test]
fn messages_that_brokers_refuse_are_refused_here() {
    let cluster = FakeCluster::start(1, 1);
    let producer = producer(&cluster);
    let long = (0..40).map(|number| (format!("p{number}"), "x".repeat(1000)));
    let many = Message { properties: Properties::from_iter(long), ..message("x") };
    let separator = Message { properties: Properties::from_iter([("a", "x\u{1}y")]), ..message("x") };
    for (message, kind, says) in [
        (Message::new("", "x"), ErrorKind::InvalidArgument, "no topic"),
        (Message::new("T", ""), ErrorKind::InvalidArgument, "no body"),
        (Message::new("T", vec![0; (4 << 20) + 1]), ErrorKind::LimitExceeded, "4194304"),
        (many, ErrorKind::LimitExceeded, "32767"),
        (separator, ErrorKind::InvalidArgument, "U+0001"),
    ] {
        let error = producer.send(&message).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    assert_eq!(cluster.sends(), [0]);
}

#[test]
fn large_bodies_travel_compressed() {
    let cluster = FakeCluster::start(1, 1);
    producer(&cluster).send(&Message::new("T", vec![7; 100_000])).unwrap();
    with(&cluster, |options| options.compress_msg_body_over_howmuch = usize::MAX)
        .send(&Message::new("T", vec![7; 100_000]))
        .unwrap();
    let state = cluster.brokers[0].state.lock();
    let records: Vec<RecordView<'_>> =
        state.topics["T"][0].iter().map(|record| RecordView::parse(record).unwrap()).collect();
    assert!(records[0].body().len() < 1000 && records[0].sys_flag() & 1 == 1);
    assert!(records[1].body().len() == 100_000 && records[1].sys_flag() & 1 == 0);
}

#[test]
fn any_living_name_server_will_do() {
    let cluster = FakeCluster::start(1, 1);
    for dead in ["127.0.0.1:1;", "no.such.host.invalid:9876;127.0.0.1:1;"] {
        let client = cluster.connect_with(|options| {
            options.namesrv_addr = format!("{dead}{}", cluster.name_server());
        });
        // A resolver may take its time to say that there is no such host.
        let options = ProducerOptions { send_msg_timeout: HANG, ..ProducerOptions::default() };
        let producer = Producer::new(&client, options).unwrap();
        producer.send(&message("x")).unwrap();
    }
    let client = Cluster::connect("127.0.0.1:1;127.0.0.1:2").unwrap();
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    let error = producer.send(&message("x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.context().contains("127.0.0.1:1;127.0.0.1:2"), "{error}");
}

#[test]
fn threads_share_a_producer_and_after_close_sends_fail() {
    let cluster = FakeCluster::start(2, 2);
    let client = cluster.connect();
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| drop(producer.send(&message("x")).unwrap())));
        }
    });
    assert_eq!(cluster.stored(), [100; 4]);
    client.close();
    assert_eq!(producer.send(&message("x")).unwrap_err().kind(), ErrorKind::Closed);
    client.close();
}
