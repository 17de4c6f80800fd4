//! What a consumer owes its user: every message at least once, in the order of its queue, and none forgotten because
//! someone left, a connection broke or a message was bad.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{
    Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, StartFrom, Subscription,
};
use ferromq::config::Timestamp;
use ferromq::message::{Message, StoredMessage};
use ferromq::wire::RequestCode;
use ferromq::ErrorKind;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn send(cluster: &FakeCluster, range: std::ops::Range<usize>) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in range {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
}

fn options(group: Option<&str>) -> ConsumerOptions {
    ConsumerOptions {
        consumer_group: group.map(String::from),
        consume_from_where: StartFrom::First,
        auto_commit: false,
        ..ConsumerOptions::default()
    }
}

fn all() -> Vec<Subscription> {
    vec![Subscription::all("T")]
}

fn join(cluster: &FakeCluster, group: Option<&str>) -> Consumer {
    Consumer::join(&cluster.connect(), options(group), all()).unwrap()
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

/// Polls until `count` messages are there.
fn take(consumer: &Consumer, count: usize) -> Vec<StoredMessage> {
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.len() < count {
        assert!(start.elapsed() < HANG, "{} of {count} messages", all.len());
        all.extend(consumer.poll(Duration::from_millis(100)).unwrap());
    }
    all
}

fn numbers(messages: &[StoredMessage]) -> BTreeSet<usize> {
    messages.iter().map(number).collect()
}

#[test]
fn a_group_gets_everything_in_the_order_of_each_queue() {
    let cluster = FakeCluster::start(2, 3);
    send(&cluster, 0..300);
    let consumer = join(&cluster, Some("g"));
    assert_eq!(consumer.queues().len(), 6);
    let messages = take(&consumer, 300);
    assert_eq!(numbers(&messages), (0..300).collect());
    let mut places: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for message in &messages {
        let next = places.entry((message.broker_name.to_string(), message.queue_id)).or_default();
        assert_eq!(message.queue_offset, *next);
        *next += 1;
    }
    assert!(consumer.is_caught_up());
    // And what comes later, at once.
    send(&cluster, 300..310);
    assert_eq!(numbers(&take(&consumer, 10)), (300..310).collect());
}

#[test]
fn what_was_committed_does_not_come_again_and_the_rest_does() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..100);
    let first = join(&cluster, Some("g"));
    let taken = take(&first, 32);
    first.commit();
    first.flush().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(taken.len() as i64));
    // Polled and not committed.
    assert_ne!(first.poll(HANG).unwrap().len(), 0);
    first.close().unwrap();
    let second = join(&cluster, Some("g"));
    let rest = take(&second, 100 - taken.len());
    assert_eq!(number(&rest[0]), taken.len());
    assert_eq!(rest.len() + taken.len(), 100);
}

#[test]
fn closing_and_dropping_store_what_was_committed() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..20);
    let consumer = join(&cluster, Some("closed"));
    take(&consumer, 20);
    consumer.commit();
    consumer.close().unwrap();
    consumer.close().unwrap();
    assert_eq!(cluster.brokers[0].offset("closed", "T", 0), Some(20));
    assert_eq!(consumer.poll(HANG).unwrap_err().kind(), ErrorKind::Closed);
    let consumer = join(&cluster, Some("dropped"));
    take(&consumer, 20);
    consumer.commit();
    drop(consumer);
    let broker = &cluster.brokers[0];
    eventually("the offset is stored", || broker.offset("dropped", "T", 0) == Some(20));
    eventually("the group is left", || broker.members("dropped") == 0);
}

/// Apache's broker makes the table of a group and topic with its first offset, and loses one of two that come at once.
#[test]
fn the_first_offset_of_a_group_in_a_topic_is_stored_alone() {
    let cluster = FakeCluster::start(1, 4);
    let broker = &cluster.brokers[0];
    send(&cluster, 0..40);
    let store = |first: bool| {
        let consumer = join(&cluster, Some("first"));
        take(&consumer, if first { 40 } else { 4 });
        broker.hold(RequestCode::UPDATE_CONSUMER_OFFSET);
        consumer.commit();
        let closing = std::thread::spawn(move || consumer.close());
        eventually("an offset is on its way", || broker.held() > 0);
        if first {
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(broker.held(), 1, "others wait until the broker has it");
        } else {
            eventually("all at once", || broker.held() == 4);
        }
        broker.let_go();
        closing.join().unwrap().unwrap();
    };
    store(true);
    assert!((0..4).all(|queue| broker.offset("first", "T", queue) == Some(10)));
    send(&cluster, 40..44);
    store(false);
    assert!((0..4).all(|queue| broker.offset("first", "T", queue) == Some(11)));
}

#[test]
fn a_new_group_begins_where_it_is_told() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..10);
    let starting = |group: &str, start_from| {
        let options = ConsumerOptions {
            consume_from_where: start_from,
            consume_timestamp: Some(Timestamp::from_ms(1_700_000_000_004)),
            ..options(Some(group))
        };
        Consumer::join(&cluster.connect(), options, all()).unwrap()
    };
    let last = starting("last", StartFrom::Last);
    let timestamp = starting("timestamp", StartFrom::Timestamp);
    let first = starting("first", StartFrom::First);
    assert_eq!(number(&take(&first, 10)[0]), 0);
    assert_eq!(numbers(&take(&timestamp, 6)), (4..10).collect());
    assert!(last.is_caught_up());
    // Where it begins is kept even if it consumes nothing: what comes before its next start is for it.
    last.close().unwrap();
    send(&cluster, 10..12);
    assert_eq!(numbers(&take(&starting("last", StartFrom::Last), 2)), (10..12).collect());
}

#[test]
fn members_share_the_queues_and_take_over_from_those_who_leave() {
    let cluster = FakeCluster::start(2, 4);
    let first = join(&cluster, Some("g"));
    assert_eq!(first.queues().len(), 8);
    let second = join(&cluster, Some("g"));
    eventually("the queues are shared", || first.queues().len() == 4 && second.queues().len() == 4);
    let both: BTreeSet<_> = first.queues().into_iter().chain(second.queues()).collect();
    assert_eq!(both.len(), 8);
    send(&cluster, 0..80);
    let mut messages = take(&first, 40);
    messages.extend(take(&second, 40));
    assert_eq!(numbers(&messages).len(), 80);
    first.commit();
    first.close().unwrap();
    eventually("the rest is taken over", || second.queues().len() == 8);
    send(&cluster, 80..100);
    assert_eq!(numbers(&take(&second, 20)), (80..100).collect());
    // One that just vanishes is noticed by its connection.
    let third = join(&cluster, Some("g"));
    eventually("the queues are shared", || second.queues().len() == 4 && third.queues().len() == 4);
    std::mem::drop(third);
    eventually("the rest is taken over", || second.queues().len() == 8);
}

#[test]
fn without_group_everything_is_read_and_nothing_kept() {
    let cluster = FakeCluster::start(2, 2);
    send(&cluster, 0..50);
    let readers = [join(&cluster, None), join(&cluster, None)];
    for reader in &readers {
        assert_eq!(numbers(&take(reader, 50)), (0..50).collect());
        reader.commit();
        reader.flush().unwrap();
    }
    for broker in &cluster.brokers {
        let state = broker.state.lock();
        assert!(state.offsets.is_empty() && state.groups.is_empty());
    }
}

#[test]
fn tags_are_compared_by_their_text() {
    let cluster = FakeCluster::start(1, 1);
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for (number, tag) in [Some("Aa"), Some("BB"), Some("C"), None, Some("Aa")].into_iter().enumerate() {
        let message = Message::new("T", number.to_string());
        let message = tag.map_or(Ok(message.clone()), |tag| message.with_tag(tag)).unwrap();
        producer.send(&message).unwrap();
    }
    // The broker of this test passes on everything, as one does for tags with equal hash codes.
    let subscription = Subscription::tags("T", "Aa || C").unwrap();
    let consumer = Consumer::join(&cluster.connect(), options(Some("g")), vec![subscription]).unwrap();
    assert_eq!(numbers(&take(&consumer, 3)), [0, 2, 4].into());
    consumer.commit();
    consumer.flush().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(5));
}

#[test]
fn unwanted_messages_at_the_end_are_passed_over_and_need_no_commit() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..40);
    let subscription = Subscription::tags("T", "None").unwrap();
    let consumer = Consumer::join(&cluster.connect(), options(Some("g")), vec![subscription]).unwrap();
    eventually("the end is reached", || consumer.is_caught_up());
    consumer.flush().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(40));
}

#[test]
fn an_offset_that_is_gone_moves_to_the_nearest() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..30);
    cluster.brokers[0].state.lock().min = 10;
    cluster.brokers[0].state.lock().offsets.insert(("g".into(), "T".into(), 0), 3);
    assert_eq!(number(&take(&join(&cluster, Some("g")), 20)[0]), 10);
    cluster.brokers[0].state.lock().offsets.insert(("h".into(), "T".into(), 0), 1000);
    let beyond = join(&cluster, Some("h"));
    eventually("it went back to the end", || beyond.is_caught_up());
    send(&cluster, 30..31);
    assert_eq!(number(&take(&beyond, 1)[0]), 30);
}

#[test]
fn a_broken_connection_is_made_again_and_nothing_is_lost() {
    let cluster = FakeCluster::start(1, 2);
    let consumer = join(&cluster, Some("g"));
    let mut all = BTreeSet::new();
    for round in 0..5 {
        send(&cluster, round * 10..round * 10 + 10);
        if round % 2 == 1 {
            cluster.brokers[0].cut();
        }
        let start = Instant::now();
        while all.len() < round * 10 + 10 {
            assert!(start.elapsed() < HANG, "{} messages", all.len());
            all.extend(numbers(&consumer.poll(Duration::from_millis(100)).unwrap()));
        }
        cluster.brokers[0].cut();
    }
    assert_eq!(all, (0..50).collect());
    // The broker has forgotten the group, as one does that was started anew: it is joined again.
    consumer.commit();
    eventually("the group is joined again", || cluster.brokers[0].members("g") == 1);
}

#[test]
fn a_refusal_is_told_once_and_consuming_goes_on_when_it_ends() {
    let cluster = FakeCluster::start(1, 1);
    cluster.brokers[0].state.lock().refuse_pulls = Some(16);
    send(&cluster, 0..5);
    let consumer = join(&cluster, Some("g"));
    let error = consumer.poll(HANG).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Remote, Some(16)));
    assert!(error.context().contains("T queue 0 at broker-0"), "{error}");
    cluster.brokers[0].state.lock().refuse_pulls = None;
    let (start, mut all) = (Instant::now(), 0);
    while all < 5 {
        assert!(start.elapsed() < HANG);
        // A second refusal may have been on its way.
        all += consumer.poll(Duration::from_millis(100)).map_or(0, |messages| messages.len());
    }
}

#[test]
fn a_message_that_cannot_be_read_is_named_and_passed_over() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..5);
    {
        let mut state = cluster.brokers[0].state.lock();
        let records = &mut state.topics.get_mut("T").unwrap()[0];
        let mut torn = records[2].to_vec();
        let body = ferromq::record::RecordView::parse(&records[2]).unwrap().body().as_ptr();
        let offset = body as usize - records[2].as_ptr() as usize;
        torn[offset] ^= 0xff;
        records[2] = torn.into();
    }
    let consumer = join(&cluster, Some("g"));
    let (mut read, mut errors, start) = (BTreeSet::new(), Vec::new(), Instant::now());
    while read.len() < 4 || errors.is_empty() {
        assert!(start.elapsed() < HANG);
        match consumer.poll(Duration::from_millis(100)) {
            Ok(messages) => read.extend(numbers(&messages)),
            Err(error) => errors.push(error),
        }
    }
    assert_eq!(read, [0, 1, 3, 4].into());
    assert_eq!((errors.len(), errors[0].kind()), (1, ErrorKind::Corrupt));
    assert!(errors[0].context().contains("offset 2"), "{}", errors[0]);
}

#[test]
fn compressed_bodies_arrive_unpacked() {
    let cluster = FakeCluster::start(1, 1);
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    let body = "ferro".repeat(100_000);
    let sent = producer.send(&Message::new("T", body.clone())).unwrap();
    let message = take(&join(&cluster, Some("g")), 1).remove(0);
    assert!(message.body == body);
    assert_eq!(
        (message.message_id(), message.offset_id.as_str()),
        (sent.message_id.as_str(), sent.offset_id.as_str())
    );
}

#[test]
fn a_slow_user_is_not_flooded() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..2000);
    let limited = ConsumerOptions { pull_threshold_for_queue: 256, ..options(Some("g")) };
    let consumer = Consumer::join(&cluster.connect(), limited, all()).unwrap();
    let pulls = || cluster.brokers[0].state.lock().pulls;
    eventually("enough is fetched", || pulls() == 256 / 32);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(pulls(), 256 / 32);
    assert_eq!(numbers(&take(&consumer, 2000)).len(), 2000);
}

#[test]
fn a_topic_without_route_and_a_second_member_of_one_client_are_refused() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let unknown = vec![Subscription::all("Unknown")];
    let error = Consumer::join(&client, options(Some("g")), unknown).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.context().contains("\"Unknown\""), "{error}");
    let _first = Consumer::join(&client, options(Some("g")), all()).unwrap();
    let error = Consumer::join(&client, options(Some("g")), all()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        Consumer::join(&client, options(Some("h")), Vec::new()).err().unwrap().kind(),
        ErrorKind::InvalidArgument
    );
    assert_eq!(
        Consumer::join(&client, options(Some("")), all()).err().unwrap().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn close_ends_a_poll_that_waits() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = join(&cluster, Some("g"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.poll(Duration::MAX));
        std::thread::sleep(Duration::from_millis(20));
        consumer.close().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn several_topics_and_what_was_sent_back_come_to_one_consumer() {
    let cluster = FakeCluster::start(1, 1);
    for topic in ["U", "%RETRY%g"] {
        cluster.add_topic(topic);
    }
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for (topic, body) in [("T", "1"), ("U", "2")] {
        producer.send(&Message::new(topic, body)).unwrap();
    }
    let mut sent_back = Message::new("%RETRY%g", "3");
    sent_back.properties.insert("RETRY_TOPIC", "T");
    producer.send(&sent_back).unwrap();
    let mut options = options(Some("g"));
    // From the end: but what was sent back is the group's from the beginning.
    options.consume_from_where = StartFrom::Last;
    let subscriptions = vec![Subscription::all("T"), Subscription::all("U")];
    let consumer = Consumer::join(&cluster.connect(), options, subscriptions).unwrap();
    let message = take(&consumer, 1).remove(0);
    assert_eq!((message.topic.as_str(), number(&message)), ("T", 3));
    for (topic, body) in [("T", "4"), ("U", "5")] {
        producer.send(&Message::new(topic, body)).unwrap();
    }
    let topics: BTreeMap<String, usize> =
        take(&consumer, 2).iter().map(|message| (message.topic.to_string(), number(message))).collect();
    assert_eq!(topics, [("T".to_string(), 4), ("U".to_string(), 5)].into());
}

#[test]
fn a_client_that_is_gone_leaves_no_thread_and_no_connection() {
    let cluster = FakeCluster::start(1, 1);
    for close in [true, false] {
        let client: Arc<Cluster> = cluster.connect();
        let weak = Arc::downgrade(&client);
        let consumer = Consumer::join(&client, options(Some("g")), all()).unwrap();
        if close {
            consumer.close().unwrap();
            client.close();
        }
        drop(consumer);
        drop(client);
        eventually("nobody holds it", || weak.strong_count() == 0);
        eventually("its connections are closed", || cluster.brokers[0].members("g") == 0);
    }
}
