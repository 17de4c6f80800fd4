//! A broker that answers SYSTEM_BUSY to what consumers ask: they go on, and nothing is lost, doubled or committed unseen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{
    Cluster, ConsumeStatus, Consumer, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions,
    PushConsumer, StartFrom,
};
use ferromq::clock::Clock;
use ferromq::message::{Message, StoredMessage};
use ferromq::wire::RequestCode;
use parking_lot::Mutex;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

/// How messages are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Concurrently,
    Orderly,
    Pulled,
}

const WAYS: [Way; 3] = [Way::Concurrently, Way::Orderly, Way::Pulled];

/// What a consumer asks its broker again and again while it runs. Heartbeats are sent too, but their failure is the
/// business of all groups of the client.
fn asked_while_running(way: Way) -> Vec<RequestCode> {
    let mut codes = vec![
        RequestCode::PULL_MESSAGE,
        RequestCode::UPDATE_CONSUMER_OFFSET,
        RequestCode::GET_CONSUMER_LIST_BY_GROUP,
    ];
    if way == Way::Orderly {
        codes.push(RequestCode::LOCK_BATCH_MQ);
    }
    codes
}

type Seen = Arc<Mutex<Vec<usize>>>;

enum Running {
    Push(PushConsumer),
    Pull(Consumer),
}

impl Running {
    fn start(client: &Arc<Cluster>, way: Way, seen: &Seen) -> Running {
        let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") };
        if way == Way::Pulled {
            let consumer = Consumer::new(client, options).unwrap();
            consumer.subscribe("T", "*").unwrap();
            consumer.start().unwrap();
            return Running::Pull(consumer);
        }
        let consumer = PushConsumer::new(client, options).unwrap();
        consumer.subscribe("T", "*").unwrap();
        let noted = seen.clone();
        let note = move |messages: &[StoredMessage]| noted.lock().extend(messages.iter().map(number));
        match way {
            Way::Orderly => consumer.listen_orderly(move |messages, _| {
                note(messages);
                OrderlyStatus::Success
            }),
            _ => consumer.listen(move |messages, _| {
                note(messages);
                ConsumeStatus::Success
            }),
        }
        .unwrap();
        consumer.start().unwrap();
        Running::Push(consumer)
    }

    /// Gives it the chance to hand something out.
    fn turn(&self, seen: &Seen) {
        if let Running::Pull(consumer) = self {
            match consumer.poll(Duration::from_millis(1)) {
                Ok(messages) => seen.lock().extend(messages.iter().map(number)),
                Err(error) => assert_eq!(error.code(), Some(2), "{error}"),
            }
        }
    }

    fn close(self) {
        match self {
            Running::Push(consumer) => consumer.close().unwrap(),
            Running::Pull(consumer) => consumer.close().unwrap(),
        }
    }
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

fn send(cluster: &FakeCluster, range: std::ops::Range<usize>) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in range {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
}

/// Lets time pass until the condition holds.
fn in_time(clock: &Clock, running: &Running, seen: &Seen, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}; {} came", seen.lock().len());
        clock.advance(Duration::from_secs(5));
        running.turn(seen);
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sorted(seen: &Seen) -> Vec<usize> {
    let mut all = seen.lock().clone();
    all.sort_unstable();
    all
}

fn busy_for(cluster: &FakeCluster, codes: &[RequestCode]) {
    cluster.brokers[0].state.lock().busy = codes.iter().map(|code| (code.0, 0)).collect();
}

fn each_was_refused(cluster: &FakeCluster, least: usize) -> bool {
    cluster.brokers[0].state.lock().busy.values().all(|count| *count >= least)
}

fn is_over(cluster: &FakeCluster) {
    cluster.brokers[0].state.lock().busy = BTreeMap::new();
}

fn stored_offsets(cluster: &FakeCluster) -> i64 {
    (0..2).map(|queue| cluster.brokers[0].offset("g", "T", queue).unwrap_or(0)).sum()
}

#[test]
fn a_broker_that_is_busy_for_a_while_costs_a_running_consumer_nothing() {
    for way in WAYS {
        let (cluster, clock, seen) = (FakeCluster::start(1, 2), Clock::new(), Seen::default());
        send(&cluster, 0..20);
        let client = cluster.connect_with(|options| options.clock = clock.clone());
        let running = Running::start(&client, way, &seen);
        in_time(&clock, &running, &seen, "it consumes", || seen.lock().len() == 20);
        busy_for(&cluster, &asked_while_running(way));
        // Wakes the pulls that wait at the broker; the next ones are refused.
        send(&cluster, 20..40);
        in_time(&clock, &running, &seen, &format!("{way:?}: each kind is refused"), || {
            each_was_refused(&cluster, 2)
        });
        is_over(&cluster);
        send(&cluster, 40..60);
        in_time(&clock, &running, &seen, &format!("{way:?}: it goes on"), || seen.lock().len() >= 60);
        running.close();
        assert_eq!(sorted(&seen), (0..60).collect::<Vec<_>>(), "{way:?}");
        assert_eq!(stored_offsets(&cluster), 60, "{way:?}");
    }
}

#[test]
fn a_broker_that_is_busy_at_the_start_is_waited_for() {
    for way in WAYS {
        let (cluster, clock, seen) = (FakeCluster::start(1, 2), Clock::new(), Seen::default());
        send(&cluster, 0..20);
        let client = cluster.connect_with(|options| options.clock = clock.clone());
        let mut first = vec![RequestCode::QUERY_CONSUMER_OFFSET];
        if way == Way::Orderly {
            first = vec![RequestCode::LOCK_BATCH_MQ];
        }
        busy_for(&cluster, &first);
        let running = Running::start(&client, way, &seen);
        in_time(&clock, &running, &seen, &format!("{way:?}: it is refused"), || {
            each_was_refused(&cluster, 2)
        });
        assert!(seen.lock().is_empty(), "{way:?}: where to begin is not known yet");
        is_over(&cluster);
        in_time(&clock, &running, &seen, &format!("{way:?}: it begins"), || seen.lock().len() >= 20);
        running.close();
        assert_eq!(sorted(&seen), (0..20).collect::<Vec<_>>(), "{way:?}");
        assert_eq!(stored_offsets(&cluster), 20, "{way:?}");
    }
}

#[test]
fn offsets_that_a_busy_broker_did_not_take_are_stored_later() {
    let (cluster, clock, seen) = (FakeCluster::start(1, 2), Clock::new(), Seen::default());
    send(&cluster, 0..20);
    busy_for(&cluster, &[RequestCode::UPDATE_CONSUMER_OFFSET]);
    let client = cluster.connect_with(|options| options.clock = clock.clone());
    let running = Running::start(&client, Way::Concurrently, &seen);
    in_time(&clock, &running, &seen, "offsets are refused", || {
        seen.lock().len() == 20 && each_was_refused(&cluster, 4)
    });
    assert_eq!(stored_offsets(&cluster), 0);
    is_over(&cluster);
    in_time(&clock, &running, &seen, "offsets are stored", || stored_offsets(&cluster) == 20);
    running.close();
    eventually("the group is left", || cluster.brokers[0].members("g") == 0);
}
