//! What crosses on the way: locks that come back when the queue is gone, answers that take too long, an end amid a start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{
    ClientOptions, Cluster, ConsumeStatus, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions,
    PushConsumer, StartFrom,
};
use ferromq::clock::Clock;
use ferromq::message::Message;
use ferromq::wire::RequestCode;
use ferromq::ErrorKind;
use parking_lot::Mutex;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn client(cluster: &FakeCluster, name: &str, clock: &Clock) -> Arc<Cluster> {
    cluster.connect_with(|options: &mut ClientOptions| {
        options.instance_name = Some(name.into());
        options.clock = clock.clone();
        options.mq_client_api_timeout = HANG;
    })
}

/// Who consumed what: the member's name and the queue.
type Calls = Arc<Mutex<Vec<(String, i32)>>>;

fn orderly(client: &Arc<Cluster>, name: &str, calls: &Calls) -> PushConsumer {
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") };
    let consumer = PushConsumer::new(client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let (calls, name) = (calls.clone(), name.to_owned());
    consumer
        .listen_orderly(move |messages, _| {
            calls.lock().push((name.clone(), messages[0].queue_id));
            OrderlyStatus::Success
        })
        .unwrap();
    consumer
}

fn send(cluster: &FakeCluster, count: usize) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in 0..count {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
}

fn in_time(clock: &Clock, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}");
        clock.advance(Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_lock_that_is_renewed_while_its_queue_is_given_up_is_given_back() {
    let (cluster, clock, calls) = (FakeCluster::start(1, 2), Clock::new(), Calls::default());
    let broker = &cluster.brokers[0];
    send(&cluster, 4);
    let first = orderly(&client(&cluster, "1", &clock), "1", &calls);
    first.start().unwrap();
    eventually("it has both queues", || first.queues().len() == 2);
    eventually("it consumes", || calls.lock().len() == 4);
    // The renewal is on its way, and does not get there before the queue is given up and its lock returned.
    broker.hold(RequestCode::LOCK_BATCH_MQ);
    in_time(&clock, "locks are renewed", || broker.held() > 0);
    let second = orderly(&client(&cluster, "2", &clock), "2", &calls);
    std::thread::scope(|scope| {
        // Its own start waits for the locks that it asks for.
        let starting = scope.spawn(|| second.start());
        eventually("one queue is given up", || first.queues().len() == 1);
        eventually("its lock is returned", || broker.state.lock().locks.len() == 1);
        broker.let_go();
        starting.join().unwrap().unwrap();
    });
    in_time(&clock, "the queue has its new owner", || second.queues().len() == 1);
    send(&cluster, 4);
    in_time(&clock, "who consumes it", || calls.lock().iter().any(|call| call.0 == "2"));
    first.close().unwrap();
    second.close().unwrap();
}

#[test]
fn a_queue_whose_lock_ran_out_while_it_was_taken_over_is_locked_anew() {
    let (cluster, clock, calls) = (FakeCluster::start(1, 2), Clock::new(), Calls::default());
    let broker = &cluster.brokers[0];
    send(&cluster, 2);
    let consumer = orderly(&client(&cluster, "1", &clock), "1", &calls);
    broker.hold(RequestCode::QUERY_CONSUMER_OFFSET);
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| consumer.start());
        // The queues are locked together and taken over one after the other.
        eventually("they are locked, and it is asked where one begins", || broker.held() > 0);
        // The broker has given the locks to somebody else by now.
        clock.advance(Duration::from_secs(61));
        broker.state.lock().locks.values_mut().for_each(|owner| *owner = "another".into());
        broker.let_go();
        starting.join().unwrap().unwrap();
    });
    for _ in 0..20 {
        clock.advance(Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(calls.lock().is_empty(), "it consumes what another has");
    broker.state.lock().locks.clear();
    in_time(&clock, "it consumes", || calls.lock().len() == 2);
    consumer.close().unwrap();
}

#[test]
fn a_consumer_that_is_closed_while_it_starts_is_no_member() {
    let (cluster, clock) = (FakeCluster::start(1, 1), Clock::new());
    let client = client(&cluster, "1", &clock);
    let consumer = PushConsumer::new(&client, ConsumerOptions::new("g")).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer.listen(|_, _| ConsumeStatus::Success).unwrap();
    cluster.names.hold();
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| consumer.start());
        eventually("the route is asked for", || cluster.names.held() > 0);
        consumer.close().unwrap();
        cluster.names.let_go();
        assert_eq!(starting.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    // Another one makes the client send heartbeats; the closed one's group is in none of them.
    let other = PushConsumer::new(&client, ConsumerOptions::new("h")).unwrap();
    other.subscribe("T", "*").unwrap();
    other.listen(|_, _| ConsumeStatus::Success).unwrap();
    other.start().unwrap();
    in_time(&clock, "heartbeats", || cluster.brokers[0].members("h") == 1);
    assert_eq!(cluster.brokers[0].members("g"), 0);
    // The place in the client is free as well.
    let again = PushConsumer::new(&client, ConsumerOptions::new("g")).unwrap();
    again.subscribe("T", "*").unwrap();
    again.listen(|_, _| ConsumeStatus::Success).unwrap();
    again.start().unwrap();
    again.close().unwrap();
    other.close().unwrap();
}
