//! The push consumer against brokers that do as the test says: limits of what is fetched, listeners that hold on, locks
//! that are lost, messages that cannot be sent back, brokers that are gone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::allocate::{Rooms, Strategy};
use ferromq::client::{
    ClientOptions, Cluster, ConsumeStatus, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions,
    PushConsumer, StartFrom, Subscription,
};
use ferromq::clock::Clock;
use ferromq::message::{Message, StoredMessage};
use ferromq::ErrorKind;
use parking_lot::{Condvar, Mutex};

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn send(cluster: &FakeCluster, topic: &str, range: std::ops::Range<usize>) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in range {
        producer.send(&Message::new(topic, number.to_string())).unwrap();
    }
}

fn options() -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") }
}

/// A door that listeners stand before until it is opened.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicUsize,
    most: AtomicUsize,
}

impl Door {
    fn pass(&self) {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

/// What a listener is called with, and how it answers.
struct Listening {
    door: Arc<Door>,
    seen: Arc<Mutex<Vec<StoredMessage>>>,
    fails: Arc<AtomicBool>,
}

impl Listening {
    fn count(&self) -> usize {
        self.seen.lock().len()
    }
}

/// A consumer of `T` whose listener stands before a door.
fn start(client: &Arc<Cluster>, options: ConsumerOptions) -> (PushConsumer, Listening) {
    let listening = Listening { door: Arc::default(), seen: Arc::default(), fails: Arc::default() };
    let consumer = PushConsumer::new(client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let (door, seen, fails) = (listening.door.clone(), listening.seen.clone(), listening.fails.clone());
    consumer
        .listen(move |messages, _| {
            door.pass();
            seen.lock().extend_from_slice(messages);
            match fails.load(Ordering::SeqCst) {
                true => ConsumeStatus::Later,
                false => ConsumeStatus::Success,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    (consumer, listening)
}

/// Checks that nothing more is fetched, and that it goes on when the door opens.
fn held_at(cluster: &FakeCluster, options: ConsumerOptions, pulls: usize, total: usize) {
    let (consumer, listening) = start(&cluster.connect(), options);
    let made = || cluster.brokers[0].state.lock().pulls;
    eventually("enough is fetched", || made() == pulls);
    eventually("listeners run", || listening.door.waiting() > 0);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(made(), pulls);
    listening.door.open();
    eventually("everything is consumed", || listening.count() == total);
    consumer.close().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(total as i64));
}

#[test]
fn what_is_fetched_is_limited_by_count() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..500);
    held_at(&cluster, ConsumerOptions { pull_threshold_for_queue: 100, ..options() }, 4, 500);
}

#[test]
fn what_is_fetched_is_limited_by_the_topics_count() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..500);
    held_at(&cluster, ConsumerOptions { pull_threshold_for_topic: 60, ..options() }, 2, 500);
}

#[test]
fn what_is_fetched_is_limited_by_size() {
    let cluster = FakeCluster::start(1, 1);
    let producer = Producer::new(
        &cluster.connect(),
        ProducerOptions { compress_msg_body_over_howmuch: 1 << 30, ..ProducerOptions::default() },
    )
    .unwrap();
    for _ in 0..128 {
        producer.send(&Message::new("T", vec![7; 20_000])).unwrap();
    }
    // Two pulls of 32 messages of 20,000 bytes are more than 1 MiB.
    held_at(&cluster, ConsumerOptions { pull_threshold_size_for_queue: 1, ..options() }, 2, 128);
}

#[test]
fn what_is_fetched_is_limited_by_its_span() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..500);
    held_at(&cluster, ConsumerOptions { consume_concurrently_max_span: 70, ..options() }, 3, 500);
}

#[test]
fn as_many_calls_run_at_a_time_as_there_are_threads() {
    let cluster = FakeCluster::start(1, 4);
    send(&cluster, "T", 0..100);
    let limits = ConsumerOptions { consume_thread_min: 3, consume_thread_max: 6, ..options() };
    let (consumer, listening) = start(&cluster.connect(), limits);
    eventually("three run", || listening.door.waiting() == 3);
    consumer.update_threads(50);
    eventually("six run, which is the most", || listening.door.waiting() == 6);
    consumer.update_threads(2);
    listening.door.open();
    eventually("everything is consumed", || listening.count() == 100);
    assert_eq!(listening.door.most.load(Ordering::SeqCst), 6);
    consumer.close().unwrap();
}

#[test]
fn a_pause_stops_fetching_and_calling() {
    let cluster = FakeCluster::start(1, 1);
    let (consumer, listening) = start(&cluster.connect(), options());
    listening.door.open();
    send(&cluster, "T", 0..10);
    eventually("they are consumed", || listening.count() == 10);
    consumer.suspend();
    assert!(consumer.is_suspended());
    send(&cluster, "T", 10..100);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(listening.count(), 10);
    // The pull that was under way brought some; no further one follows it.
    let pulls = cluster.brokers[0].state.lock().pulls;
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(cluster.brokers[0].state.lock().pulls, pulls);
    consumer.resume();
    eventually("it goes on", || listening.count() == 100);
    consumer.close().unwrap();
}

#[test]
fn topics_are_subscribed_and_unsubscribed_while_it_runs() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("U");
    let (consumer, listening) = start(&cluster.connect(), options());
    listening.door.open();
    send(&cluster, "U", 0..5);
    consumer.subscribe("U", "*").unwrap();
    eventually("the new topic is consumed", || listening.count() == 5);
    for _ in 0..20 {
        consumer.unsubscribe("T");
        consumer.subscribe("T", "*").unwrap();
    }
    send(&cluster, "T", 0..5);
    eventually("still both", || listening.count() == 10);
    consumer.unsubscribe("T");
    eventually("the old one is given up", || consumer.queues().iter().all(|queue| queue.topic == "U"));
    send(&cluster, "T", 5..10);
    send(&cluster, "U", 5..10);
    eventually("only the new one", || listening.count() == 15);
    assert!(listening.seen.lock()[10..].iter().all(|message| message.topic == "U"));
    let error = consumer.subscribe_to(Subscription::sql("U", "a = 1").unwrap()).unwrap_err();
    assert!(error.to_string().contains("does not filter by SQL92"), "{error}");
    let described = cluster.brokers[0].state.lock().described["g"].clone();
    let topics: Vec<&str> = described.subscription_data_set.iter().map(|one| one.topic.as_str()).collect();
    assert_eq!((topics, described.consume_type.as_str()), (vec!["%RETRY%g", "U"], "CONSUME_PASSIVELY"));
    consumer.close().unwrap();
}

fn on_clock(cluster: &FakeCluster, clock: &Clock) -> Arc<Cluster> {
    cluster.connect_with(|options: &mut ClientOptions| options.clock = clock.clone())
}

fn in_time(clock: &Clock, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "{what}");
        clock.advance(Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_listener_holds_for_too_long_is_sent_back_and_holds_up_nothing() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..3);
    let clock = Clock::new();
    let limits = ConsumerOptions { consume_thread_min: 1, ..options() };
    let (consumer, listening) = start(&on_clock(&cluster, &clock), limits);
    eventually("the listener has the first", || listening.door.waiting() == 1);
    in_time(&clock, "it is sent back", || !cluster.brokers[0].state.lock().sent_back.is_empty());
    let back = cluster.brokers[0].state.lock().sent_back.clone();
    assert_eq!(back, [(0, "g".to_owned(), 3, Some(16))]);
    listening.fails.store(true, Ordering::SeqCst);
    listening.door.open();
    eventually("the listener goes on", || listening.count() == 3);
    consumer.close().unwrap();
    // The first one's failure counts for nothing any more.
    let places: Vec<i64> = cluster.brokers[0].state.lock().sent_back.iter().map(|back| back.0).collect();
    assert_eq!(places, [0, 1000, 2000]);
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(3));
}

#[test]
fn what_cannot_be_sent_back_goes_to_the_retry_topic_or_is_consumed_again_here() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..1);
    cluster.brokers[0].state.lock().refuse_back = Some(1);
    let clock = Clock::new();
    let (consumer, listening) = start(&on_clock(&cluster, &clock), options());
    listening.fails.store(true, Ordering::SeqCst);
    listening.door.open();
    // There is no retry topic and none can be made: it is consumed again here.
    in_time(&clock, "it comes again", || listening.count() == 3);
    let times: Vec<i32> = listening.seen.lock().iter().map(|message| message.reconsume_times).collect();
    assert_eq!(times, [0, 1, 2]);
    cluster.add_topic("%RETRY%g");
    let stored = || {
        let state = cluster.brokers[0].state.lock();
        state.topics.get("%RETRY%g").map_or(Vec::new(), |queues| queues[0].clone())
    };
    in_time(&clock, "it is in the retry topic", || !stored().is_empty());
    let record = stored()[0].clone();
    let record = ferromq::record::RecordView::parse(&record).unwrap();
    assert_eq!((record.body(), record.property("RETRY_TOPIC")), (b"0".as_slice(), Some("T")));
    let level: i32 = record.property("DELAY").unwrap().parse().unwrap();
    assert!(level > 3, "{level}");
    let id = listening.seen.lock()[0].message_id().to_owned();
    assert_eq!((record.property("UNIQ_KEY"), record.property("ORIGIN_MESSAGE_ID")), (Some(&*id), Some(&*id)));
    listening.fails.store(false, Ordering::SeqCst);
    consumer.close().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(1));
}

#[test]
fn closing_does_not_wait_for_ever_and_nothing_follows() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..10);
    let client = cluster.connect();
    let limits = ConsumerOptions { consume_thread_min: 2, ..options() };
    let (consumer, listening) = start(&client, limits);
    eventually("two run", || listening.door.waiting() == 2);
    let error = consumer.close_within(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("group g"), "{error}");
    eventually("the group is left", || cluster.brokers[0].members("g") == 0);
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(0));
    listening.fails.store(true, Ordering::SeqCst);
    listening.door.open();
    eventually("they return", || listening.count() == 2);
    consumer.close().unwrap();
    assert_eq!(listening.count(), 2);
    assert!(cluster.brokers[0].state.lock().sent_back.is_empty());
    // What they held comes again.
    let (next, again) = start(&client, options());
    again.door.open();
    eventually("all of it", || again.count() == 10);
    next.close().unwrap();
}

#[test]
fn dropping_it_waits_for_its_listeners_and_stores_what_they_did() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..10);
    let (consumer, listening) = start(&cluster.connect(), options());
    eventually("they run", || listening.door.waiting() == 10);
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| drop(consumer));
        listening.door.open();
        dropping.join().unwrap();
    });
    assert_eq!(listening.count(), 10);
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(10));
    assert_eq!(Arc::strong_count(&listening.door), 1, "the listener is gone");
}

#[test]
fn a_lost_lock_ends_consumption_until_it_is_held_again() {
    let cluster = FakeCluster::start(1, 2);
    send(&cluster, "T", 0..10);
    let clock = Clock::new();
    let client = on_clock(&cluster, &clock);
    let consumer = PushConsumer::new(&client, options()).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    consumer
        .listen_orderly(move |messages, _| {
            noted.lock().extend(messages.iter().map(|message| (message.queue_id, message.queue_offset)));
            OrderlyStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("it consumes", || seen.lock().len() == 10);
    cluster.brokers[0].state.lock().refuse_locks = Some(false);
    in_time(&clock, "it loses its queues", || consumer.queues().is_empty());
    send(&cluster, "T", 10..20);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(seen.lock().len(), 10);
    // Meanwhile another member has gone further in one queue.
    cluster.brokers[0].state.lock().offsets.insert(("g".into(), "T".into(), 0), 8);
    cluster.brokers[0].state.lock().refuse_locks = None;
    in_time(&clock, "it has them again", || consumer.queues().len() == 2);
    eventually("it goes on where the group is", || seen.lock().len() == 17);
    consumer.close().unwrap();
    let of_first: Vec<i64> =
        seen.lock().iter().filter(|(queue, _)| *queue == 0).map(|(_, offset)| *offset).collect();
    assert_eq!(of_first, [0, 1, 2, 3, 4, 8, 9]);
    eventually("locks are given back", || cluster.brokers[0].state.lock().locks.is_empty());
}

#[test]
fn an_ordered_queue_waits_for_the_listener_of_its_last_owner() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, "T", 0..3);
    let (door, calls) = (Arc::new(Door::default()), Arc::new(Mutex::new(Vec::new())));
    let start = |me: usize, door: Option<Arc<Door>>| {
        let client = cluster.connect_with(|options| options.instance_name = Some(format!("member-{me}")));
        let consumer = PushConsumer::new(&client, options()).unwrap();
        consumer.subscribe("T", "*").unwrap();
        let calls = calls.clone();
        consumer
            .listen_orderly(move |messages, _| {
                if let Some(door) = &door {
                    door.pass();
                }
                calls.lock().push((me, messages[0].queue_offset));
                OrderlyStatus::Success
            })
            .unwrap();
        consumer.start().unwrap();
        consumer
    };
    // The member with the lower id gets the one queue.
    let second = start(2, Some(door.clone()));
    eventually("its listener runs", || door.waiting() == 1);
    let first = start(1, None);
    eventually("the queue is given up", || second.queues().is_empty());
    std::thread::sleep(Duration::from_millis(50));
    assert!(calls.lock().is_empty() && first.queues().is_empty());
    door.open();
    eventually("the next owner goes on", || calls.lock().len() == 3);
    assert_eq!(*calls.lock(), [(2, 0), (1, 1), (1, 2)]);
    first.close().unwrap();
    second.close().unwrap();
}

#[test]
fn reads_go_to_the_slave_when_the_master_says_so_or_is_gone_and_back() {
    let mut cluster = FakeCluster::start(1, 1);
    let slave = cluster.start_slave(0);
    send(&cluster, "T", 0..40);
    let records = cluster.brokers[0].state.lock().topics["T"].clone();
    slave.state.lock().topics.insert("T".into(), records);
    let (consumer, listening) = start(&cluster.connect(), options());
    listening.door.open();
    eventually("it reads from the master", || listening.count() == 40);
    assert_eq!(slave.state.lock().pulls, 0);
    // The master wants to be spared.
    cluster.brokers[0].state.lock().suggest = 1;
    send(&cluster, "T", 40..41);
    eventually("it reads from the slave", || slave.state.lock().pulls > 0);
    assert_eq!(slave.state.lock().hold, 20_000);
    eventually("heartbeats go there too", || slave.members("g") == 1);
    // The slave sends it back.
    cluster.brokers[0].state.lock().suggest = 0;
    let records = cluster.brokers[0].state.lock().topics["T"].clone();
    let before = cluster.brokers[0].state.lock().pulls;
    slave.state.lock().topics.insert("T".into(), records);
    slave.wake_all();
    eventually("it reads from the master again", || cluster.brokers[0].state.lock().pulls > before);
    // And is gone.
    let mut records = cluster.brokers[0].state.lock().topics["T"].clone();
    let more = records[0][..5].to_vec();
    records[0].extend(more);
    slave.state.lock().topics.insert("T".into(), records);
    cluster.stop_broker(0);
    eventually("it goes on from the slave", || slave.state.lock().pulls > 1);
    // The master may be back long before a slave would answer, and have more.
    eventually("it looks for the master often", || slave.state.lock().hold == 5_000);
    let seen: BTreeSet<i64> = listening.seen.lock().iter().map(|message| message.queue_offset).collect();
    assert!(seen.is_superset(&(0..41).collect()));
    drop(consumer);
}

#[test]
fn an_idle_consumer_asks_less_than_once_in_ten_seconds_and_queue() {
    let cluster = FakeCluster::start(1, 4);
    let clock = Clock::new();
    let (consumer, listening) = start(&on_clock(&cluster, &clock), options());
    eventually("all queues are held", || cluster.brokers[0].state.lock().pulls == 4);
    let before = cluster.brokers[0].state.lock().requests;
    for _ in 0..60 {
        clock.advance(Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = cluster.brokers[0].state.lock().requests - before;
    // 300 s with 4 queues; the broker of this test holds pulls for ever, others for 20 s: 60 more.
    assert!(asked + 60 < 30 * 4, "{asked} requests");
    // What comes then arrives all the same.
    listening.door.open();
    send(&cluster, "T", 0..4);
    eventually("it arrives", || listening.count() == 4);
    consumer.close().unwrap();
}

#[test]
fn a_start_that_fails_leaves_nothing_behind_and_can_be_made_again() {
    let cluster = FakeCluster::start(1, 2);
    cluster.add_topic("U");
    send(&cluster, "T", 0..10);
    let client = cluster.connect();
    let consumer = PushConsumer::new(&client, options()).unwrap();
    for topic in ["T", "U"] {
        consumer.subscribe(topic, "*").unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let listener = move |messages: &[StoredMessage], _: &_| {
        noted.lock().extend(messages.iter().map(|message| (message.queue_id, message.queue_offset)));
        OrderlyStatus::Success
    };
    consumer.listen_orderly(listener).unwrap();
    // T's queues are shared out before those of U turn out to be in no room.
    let no_room = |topic: &str| if topic == "U" { String::new() } else { "room".into() };
    let rooms = Rooms::new(move |queue| no_room(&queue.topic), |_| "room".into());
    consumer.allocate_by(Strategy::Nearby { rooms, within: Box::new(Strategy::Averagely) });
    assert_eq!(consumer.start().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(consumer.queues().is_empty());
    let broker = &cluster.brokers[0];
    eventually("it has left", || broker.members("g") == 0);
    eventually("locks are given back", || broker.state.lock().locks.is_empty());
    consumer.allocate_by(Strategy::Averagely);
    consumer.start().unwrap();
    let all = (0..2).flat_map(|queue| (0..5).map(move |offset| (queue, offset))).collect::<BTreeSet<_>>();
    eventually("it consumes", || seen.lock().iter().copied().collect::<BTreeSet<_>>() == all);
    consumer.close().unwrap();
}
