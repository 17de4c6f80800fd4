//! Order: of one queue, and of what fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{
    ClientOptions, Cluster, Consumer, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions,
    PushConsumer, StartFrom,
};
use ferromq::clock::Clock;
use ferromq::message::{Message, StoredMessage};
use parking_lot::Mutex;

use crate::client_support::FakeCluster;
use crate::net_support::{eventually, HANG};
use crate::support::start_server;

fn options() -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") }
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

#[test]
fn a_topic_of_one_queue_keeps_the_order_of_its_one_producer() {
    const COUNT: usize = 10_000;
    let server = start_server("");
    server.broker().create_topic("T", 1);
    let client = Cluster::with_options(ClientOptions::new(server.name_server())).unwrap();
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    let consumer = PushConsumer::new(&client, options()).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = seen.clone();
    consumer
        .listen_orderly(move |messages, _| {
            noted.lock().extend(messages.iter().map(number));
            OrderlyStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    for number in 0..COUNT {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
    eventually("everything is consumed", || seen.lock().len() >= COUNT);
    consumer.close().unwrap();
    assert!(*seen.lock() == (0..COUNT).collect::<Vec<_>>(), "not in the order of sending");
    // Another group, which polls.
    let consumer = Consumer::new(&client, ConsumerOptions { consumer_group: Some("h".into()), ..options() });
    let consumer = consumer.unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer.start().unwrap();
    let (start, mut polled) = (Instant::now(), Vec::new());
    while polled.len() < COUNT {
        assert!(start.elapsed() < HANG, "{} of {COUNT} messages", polled.len());
        polled.extend(consumer.poll(Duration::from_millis(100)).unwrap().iter().map(number));
    }
    assert!(polled == (0..COUNT).collect::<Vec<_>>(), "not in the order of sending");
    client.close();
}

/// Queue, offset and time of each call of a listener.
type Calls = Arc<Mutex<Vec<(i32, i64, i64)>>>;

/// One queue that fails and one that does not, on a clock that the test moves.
#[test]
fn a_failing_ordered_message_comes_again_after_the_set_time_and_holds_its_queue() {
    for (suspend, interval_ms) in [(None, 1000), (Some(Duration::from_secs(7)), 7000)] {
        let (cluster, clock) = (FakeCluster::start(1, 2), Clock::new());
        let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
        for number in 0..8 {
            producer.send(&Message::new("T", number.to_string())).unwrap();
        }
        let client = cluster.connect_with(|options| options.clock = clock.clone());
        let mut options = options();
        if let Some(suspend) = suspend {
            options.set("suspendCurrentQueueTimeMillis", &suspend.as_millis().to_string()).unwrap();
        }
        let consumer = PushConsumer::new(&client, options).unwrap();
        consumer.subscribe("T", "*").unwrap();
        let (calls, fails) = (Calls::default(), Arc::new(AtomicBool::new(true)));
        let (noted, failing, now) = (calls.clone(), fails.clone(), clock.clone());
        consumer
            .listen_orderly(move |messages, _| {
                let message = &messages[0];
                noted.lock().push((message.queue_id, message.queue_offset, now.now_ms()));
                match message.queue_id == 0 && message.queue_offset == 1 && failing.load(Ordering::SeqCst) {
                    true => OrderlyStatus::SuspendCurrentQueue,
                    false => OrderlyStatus::Success,
                }
            })
            .unwrap();
        consumer.start().unwrap();
        let of = |queue: i32| -> Vec<(i64, i64)> {
            let calls = calls.lock();
            calls.iter().filter(|call| call.0 == queue).map(|call| (call.1, call.2)).collect()
        };
        eventually("the other queue goes on", || of(1).len() == 4);
        for tries in 1..6 {
            eventually(&format!("try {tries} of the message that fails"), || of(0).len() > tries);
            clock.advance(Duration::from_millis(interval_ms as u64));
        }
        fails.store(false, Ordering::SeqCst);
        clock.advance(Duration::from_millis(interval_ms as u64));
        eventually("the queue goes on", || of(0).last().is_some_and(|call| call.0 == 3));
        consumer.close().unwrap();
        let queue = of(0);
        let offsets: Vec<i64> = queue.iter().map(|call| call.0).collect();
        let failed = offsets.iter().filter(|offset| **offset == 1).count();
        assert!(failed >= 6, "{offsets:?}");
        // Nothing behind it came before it was consumed, and what lies between is never less than the set time.
        assert_eq!(offsets, [vec![0], vec![1; failed], vec![2, 3]].concat());
        let tries: Vec<i64> = queue.iter().filter(|call| call.0 == 1).map(|call| call.1).collect();
        assert!(tries.windows(2).all(|two| two[1] - two[0] >= interval_ms), "{tries:?}");
        assert_eq!(of(1).iter().map(|call| call.0).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
