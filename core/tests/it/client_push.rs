//! The push consumer against our server: what its listener gets, and what becomes of what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ferromq::client::{
    Action, ClientOptions, Cluster, ConsumeStatus, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions,
    PushConsumer, StartFrom,
};
use ferromq::message::{Message, StoredMessage};
use ferromq::ErrorKind;
use parking_lot::Mutex;

use crate::net_support::{eventually, HANG};
use crate::support::{start_server, TestServer};

/// A client on the server's clock.
fn connect(server: &TestServer) -> Arc<Cluster> {
    let mut options = ClientOptions::new(server.name_server());
    options.clock = server.clock.clone();
    options.reconnect_least = Duration::from_millis(1);
    Cluster::with_options(options).unwrap()
}

fn options(group: &str) -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) }
}

/// A topic `T` with four queues, and messages with these numbers.
fn server_with(settings: &str, messages: std::ops::Range<usize>) -> TestServer {
    let server = start_server(settings);
    server.broker().create_topic("T", 4);
    send(&server, messages);
    server
}

fn send(server: &TestServer, messages: std::ops::Range<usize>) {
    let client = connect(server);
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    for number in messages {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
    client.close();
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

/// What a listener got.
#[derive(Default)]
struct Seen(Mutex<Vec<StoredMessage>>);

impl Seen {
    fn new() -> Arc<Seen> {
        Arc::default()
    }

    fn add(&self, messages: &[StoredMessage]) {
        self.0.lock().extend_from_slice(messages);
    }

    fn count(&self) -> usize {
        self.0.lock().len()
    }

    fn numbers(&self) -> Vec<usize> {
        self.0.lock().iter().map(number).collect()
    }

    fn set(&self) -> BTreeSet<usize> {
        self.numbers().into_iter().collect()
    }
}

/// A consumer of `T` that takes note of everything.
fn noting(client: &Arc<Cluster>, options: ConsumerOptions, seen: &Arc<Seen>) -> PushConsumer {
    let consumer = PushConsumer::new(client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let seen = seen.clone();
    let listener = move |messages: &[StoredMessage], _: &_| {
        seen.add(messages);
        ConsumeStatus::Success
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    consumer
}

/// Moves the clock until the condition holds.
fn in_time(server: &TestServer, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "{what}");
        server.pass(5);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn everything_is_consumed_once_and_a_clean_stop_leaves_nothing_to_come_again() {
    let server = server_with("", 0..200);
    let (client, seen) = (connect(&server), Seen::new());
    let consumer = noting(&client, options("g"), &seen);
    eventually("everything is consumed", || seen.count() == 200);
    send(&server, 200..210);
    eventually("what comes later too", || seen.count() == 210);
    consumer.close().unwrap();
    consumer.close().unwrap();
    assert_eq!(seen.set(), (0..210).collect());
    let again = noting(&client, options("g"), &seen);
    send(&server, 210..220);
    eventually("it goes on", || seen.count() == 220);
    again.close().unwrap();
    assert_eq!(seen.set(), (0..220).collect());
    client.close();
}

#[test]
fn what_is_not_consumed_comes_again_with_its_id_and_topic_and_then_is_a_dead_letter() {
    let server = server_with("", 0..1);
    let (client, seen) = (connect(&server), Seen::new());
    let mut options = options("g");
    options.max_reconsume_times = 3;
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let noted = seen.clone();
    let listener = move |messages: &[StoredMessage], _: &_| {
        noted.add(messages);
        match noted.count() {
            2 => panic!("a listener of a test panics"),
            _ => ConsumeStatus::Later,
        }
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    in_time(&server, "all retries", || seen.count() == 4);
    let mut broker = server.broker();
    in_time(&server, "the dead letter", || !server.broker().pull_all("%DLQ%g", 0, 0).is_empty());
    consumer.close().unwrap();
    let messages = seen.0.lock().clone();
    let ids: BTreeSet<&str> = messages.iter().map(StoredMessage::message_id).collect();
    let places: BTreeSet<&str> = messages.iter().map(|message| message.offset_id.as_str()).collect();
    assert_eq!((ids.len(), places.len()), (1, 4));
    let times: Vec<i32> = messages.iter().map(|message| message.reconsume_times).collect();
    assert_eq!(times, [0, 1, 2, 3]);
    assert!(messages.iter().all(|message| message.topic == "T"), "{messages:?}");
    let dead = broker.pull_all("%DLQ%g", 0, 0);
    assert_eq!((dead.len(), dead[0].body.as_slice()), (1, b"0".as_slice()));
    assert_eq!(dead[0].properties.get("UNIQ_KEY"), ids.first().copied());
    client.close();
}

/// Starts a consumer whose listener always fails, and counts its calls until the message is a dead letter.
fn deliveries(group: &str, max_reconsume_times: i32) -> usize {
    let server = server_with("messageDelayLevel=1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s", 0..1);
    let (client, calls) = (connect(&server), Arc::new(AtomicUsize::new(0)));
    let consumer =
        PushConsumer::new(&client, ConsumerOptions { max_reconsume_times, ..options(group) }).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let counted = calls.clone();
    consumer
        .listen(move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            ConsumeStatus::Later
        })
        .unwrap();
    consumer.start().unwrap();
    let dead_letters = format!("%DLQ%{group}");
    in_time(&server, "the dead letter", || !server.broker().pull_all(&dead_letters, 0, 0).is_empty());
    consumer.close().unwrap();
    client.close();
    calls.load(Ordering::SeqCst)
}

#[test]
fn a_message_comes_again_sixteen_times_or_as_often_as_is_set() {
    assert_eq!(deliveries("default", -1), 17);
    assert_eq!(deliveries("twenty", 20), 21);
    assert_eq!(deliveries("none", 0), 1);
}

#[test]
fn an_ordered_message_blocks_its_queue_until_its_limit_and_is_a_dead_letter_then() {
    let server = server_with("", 0..0);
    for body in ["0", "1"] {
        server.broker().produce("T", 0, body.as_bytes(), "").ok();
    }
    let (client, seen) = (connect(&server), Seen::new());
    let consumer =
        PushConsumer::new(&client, ConsumerOptions { max_reconsume_times: 2, ..options("g") }).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let noted = seen.clone();
    consumer
        .listen_orderly(move |messages, context| {
            noted.add(messages);
            context.set_suspend_time(Duration::from_millis(20));
            match number(&messages[0]) {
                0 => OrderlyStatus::SuspendCurrentQueue,
                _ => OrderlyStatus::Success,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    in_time(&server, "the second message", || seen.count() == 4);
    in_time(&server, "the dead letter", || !server.broker().pull_all("%DLQ%g", 0, 0).is_empty());
    consumer.close().unwrap();
    assert_eq!(seen.numbers(), [0, 0, 0, 1]);
    let times: Vec<i32> = seen.0.lock().iter().map(|message| message.reconsume_times).collect();
    assert_eq!(times, [0, 1, 2, 0]);
    client.close();
}

#[test]
fn the_ack_index_says_how_much_of_a_batch_is_consumed() {
    let server = server_with("", 0..0);
    let mut broker = server.broker();
    for number in 0..8 {
        broker.produce("T", 0, number.to_string().as_bytes(), "").ok();
    }
    let (client, seen) = (connect(&server), Seen::new());
    let mut options = options("g");
    options.consume_message_batch_max_size = 8;
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let noted = seen.clone();
    let first_size = Arc::new(AtomicUsize::new(0));
    let size = first_size.clone();
    consumer
        .listen(move |messages, context| {
            if messages[0].reconsume_times == 0 && messages.len() > 1 {
                size.store(messages.len(), Ordering::SeqCst);
                // The first half only; the rest comes again after a second.
                context.set_ack_index(3);
                context.set_delay_level(1);
            }
            noted.add(messages);
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    in_time(&server, "the rest", || seen.count() == 12);
    consumer.close().unwrap();
    assert_eq!(first_size.load(Ordering::SeqCst), 8);
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    seen.numbers().into_iter().for_each(|number| *counts.entry(number).or_default() += 1);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2, 2, 2]);
    client.close();
}

#[test]
fn an_ordered_listener_gets_each_queue_in_order_and_one_call_at_a_time() {
    let server = server_with("", 0..0);
    let mut broker = server.broker();
    for number in 0..100 {
        broker.produce("T", number % 4, (number / 4).to_string().as_bytes(), "").ok();
    }
    let (client, seen) = (connect(&server), Seen::new());
    let consumer = PushConsumer::new(&client, options("g")).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let (noted, busy) = (seen.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    let failed = Arc::new(AtomicUsize::new(0));
    let (failures, overlaps) = (failed.clone(), Arc::new(AtomicBool::new(false)));
    let overlap = overlaps.clone();
    consumer
        .listen_orderly(move |messages, context| {
            let queue = context.queue().queue_id;
            if !busy.lock().insert(queue) {
                overlap.store(true, Ordering::SeqCst);
            }
            std::thread::yield_now();
            busy.lock().remove(&queue);
            // The tenth message of the first queue fails twice, once by a panic.
            if queue == 0 && number(&messages[0]) == 9 {
                match failures.fetch_add(1, Ordering::SeqCst) {
                    0 => return OrderlyStatus::SuspendCurrentQueue,
                    1 => panic!("an ordered listener of a test panics"),
                    _ => assert_eq!(messages[0].reconsume_times, 2),
                }
            }
            noted.add(messages);
            OrderlyStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    in_time(&server, "everything", || seen.count() >= 100);
    consumer.close().unwrap();
    assert!(!overlaps.load(Ordering::SeqCst));
    assert_eq!(failed.load(Ordering::SeqCst), 3);
    for queue in 0..4 {
        let messages = seen.0.lock();
        let order: Vec<usize> =
            messages.iter().filter(|message| message.queue_id == queue).map(number).collect();
        assert_eq!(order, (0..25).collect::<Vec<_>>());
    }
    client.close();
}

#[test]
fn a_listener_may_close_its_consumer() {
    let server = server_with("", 0..50);
    let client = connect(&server);
    let consumer =
        PushConsumer::new(&client, ConsumerOptions { consume_thread_min: 1, ..options("g") }).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let (calls, own) = (Arc::new(AtomicUsize::new(0)), Arc::new(OnceLock::<PushConsumer>::new()));
    let (counted, inner) = (calls.clone(), own.clone());
    consumer
        .listen_one(move |_, _| {
            if counted.fetch_add(1, Ordering::SeqCst) == 9 {
                inner.get().unwrap().close().unwrap();
            }
            Action::Commit
        })
        .unwrap();
    own.set(consumer.clone()).ok().unwrap();
    consumer.start().unwrap();
    eventually("the listener closes it", || calls.load(Ordering::SeqCst) == 10);
    // From outside it waits for that call, and the offset of what it did is stored.
    consumer.close().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 10);
    let seen = Seen::new();
    let rest = noting(&client, options("g"), &seen);
    eventually("the rest", || seen.count() == 40);
    rest.close().unwrap();
    assert_eq!(seen.set().len(), 40);
    client.close();
}

#[test]
fn what_is_missing_for_a_start_is_said() {
    let server = server_with("", 0..0);
    let client = connect(&server);
    let refused = |consumer: &PushConsumer, what: &str| {
        let error = consumer.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(what), "{error}");
    };
    let consumer = PushConsumer::new(&client, options("g")).unwrap();
    refused(&consumer, "no listener");
    consumer.listen(|_, _| ConsumeStatus::Success).unwrap();
    refused(&consumer, "nothing to consume");
    let error = consumer.listen_orderly(|_, _| OrderlyStatus::Success).unwrap_err();
    assert!(error.to_string().contains("has a listener already"), "{error}");
    consumer.subscribe("T", "*").unwrap();
    consumer.start().unwrap();
    consumer.start().unwrap();
    let second = PushConsumer::new(&client, options("g")).unwrap();
    second.subscribe("T", "*").unwrap();
    second.listen(|_, _| ConsumeStatus::Success).unwrap();
    refused(&second, "has a consumer in this client already");
    assert!(PushConsumer::new(&client, ConsumerOptions::default()).is_err());
    consumer.close().unwrap();
    assert_eq!(consumer.start().unwrap_err().kind(), ErrorKind::Closed);
    client.close();
}

#[test]
fn messages_of_a_topic_that_comes_into_being_after_the_start_are_consumed() {
    let server = start_server("");
    let (client, seen) = (connect(&server), Seen::new());
    let consumer = noting(&client, ConsumerOptions::new("g"), &seen);
    server.broker().create_topic("T", 4);
    send(&server, 0..100);
    in_time(&server, "all that was sent since the start", || seen.count() >= 100);
    consumer.close().unwrap();
    assert_eq!(seen.set(), (0..100).collect());
    client.close();
}

#[test]
fn messages_of_queues_that_are_added_later_are_consumed_and_history_is_not() {
    let server = server_with("", 0..20);
    let (client, seen) = (connect(&server), Seen::new());
    let consumer = noting(&client, ConsumerOptions::new("g"), &seen);
    eventually("it has the queues", || consumer.queues().len() == 4);
    let writable = AtomicUsize::new(4);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut broker = server.broker();
            for number in 60..460 {
                let queue = number % writable.load(Ordering::SeqCst);
                broker.produce("T", queue as i32, number.to_string().as_bytes(), "").ok();
            }
        });
        server.broker().create_topic("T", 8);
        writable.store(8, Ordering::SeqCst);
    });
    send(&server, 20..60);
    in_time(&server, "all that was sent since the start", || seen.count() >= 440);
    assert_eq!(consumer.queues().len(), 8);
    consumer.close().unwrap();
    assert_eq!(seen.set(), (20..460).collect());
    client.close();
}

#[test]
fn of_a_batch_only_what_the_listener_wants_later_comes_again() {
    let server = server_with("", 0..0);
    let mut broker = server.broker();
    for number in 0..8 {
        broker.produce("T", 0, number.to_string().as_bytes(), "").ok();
    }
    let (client, seen) = (connect(&server), Seen::new());
    let options = ConsumerOptions {
        consume_message_batch_max_size: 8,
        // What is not consumed is a dead letter at once.
        max_reconsume_times: 0,
        ..options("g")
    };
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let noted = seen.clone();
    consumer
        .listen_one(move |message, context| {
            noted.add(std::slice::from_ref(message));
            match number(message) {
                1 => {
                    context.set_delay_level(-1);
                    Action::Later
                }
                2 => panic!("a listener of a test panics"),
                3 => Action::Later,
                _ => Action::Commit,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    let dead = |count: usize| server.broker().pull("%DLQ%g", 0, 0).records().len() >= count;
    eventually("the failed ones are dead letters", || dead(3));
    eventually("the listener saw all", || seen.count() == 8);
    consumer.close().unwrap();
    let letters = server.broker().pull("%DLQ%g", 0, 0).records();
    let mut letters: Vec<_> = letters.into_iter().map(|record| record.body).collect();
    letters.sort();
    assert_eq!(letters, [b"1", b"2", b"3"]);
    assert_eq!((seen.count(), seen.set()), (8, (0..8).collect()));
    client.close();
}
