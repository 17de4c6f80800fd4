//! Sends that nobody waits for, sends without an answer, and where messages go that are not sent in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use ferromq::client::trace::{self, MessageKind, TraceEvent};
use ferromq::client::{Cluster, Producer, ProducerOptions, Selector, SendOptions, Sent};
use ferromq::message::{property, Message};
use ferromq::record::RecordView;
use ferromq::{ErrorKind, Result};

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn with(cluster: &FakeCluster, change: impl FnOnce(&mut ProducerOptions)) -> Producer {
    with_client(&cluster.connect(), change)
}

fn with_client(client: &Arc<Cluster>, change: impl FnOnce(&mut ProducerOptions)) -> Producer {
    let mut options = ProducerOptions { send_msg_timeout: HANG, ..ProducerOptions::default() };
    change(&mut options);
    Producer::new(client, options).unwrap()
}

fn message(body: &str) -> Message {
    Message::new("T", body.to_string())
}

/// A callback, and where its results come.
fn told<T: Send + 'static>() -> (impl FnOnce(T) + Send + 'static, mpsc::Receiver<T>) {
    let (tell, heard) = mpsc::channel();
    (move |result| tell.send(result).unwrap(), heard)
}

fn short(ms: u64) -> SendOptions {
    SendOptions::default().with_timeout(Duration::from_millis(ms))
}

/// The smallest executor there is.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut future, mut cx) = (pin!(future), Context::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn oneway_sends_ask_for_no_answer_and_do_not_wait_for_one() {
    let cluster = FakeCluster::start(1, 4);
    let producer = with(&cluster, |_| {});
    producer.send(&message("x")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    for _ in 0..10 {
        producer.send_oneway(&message("x")).unwrap();
    }
    eventually("all came", || cluster.sends() == [11]);
    let seen = cluster.brokers[0].state.lock().seen.clone();
    assert_eq!(seen.iter().filter(|seen| seen.is_oneway).count(), 10);
    // An answer would have come before that of a later send, and nobody waits for it.
    cluster.brokers[0].thaw();
    producer.send(&message("x")).unwrap();
    assert!(producer.send_oneway(&Message::new("Other", "x")).is_err());
}

#[test]
fn ten_thousand_callbacks_run_once_each() {
    let cluster = FakeCluster::start(2, 4);
    let producer = with(&cluster, |_| {});
    let calls: Arc<Vec<AtomicUsize>> = Arc::new((0..10_000).map(|_| AtomicUsize::new(0)).collect());
    for number in 0..10_000 {
        let calls = calls.clone();
        producer.send_callback(&message("x"), &SendOptions::default(), move |sent| {
            sent.unwrap();
            calls[number].fetch_add(1, Ordering::SeqCst);
        });
    }
    producer.close_within(HANG).unwrap();
    assert!(calls.iter().all(|count| count.load(Ordering::SeqCst) == 1));
    assert_eq!(cluster.stored(), [1250; 8]);
    assert_eq!(producer.sends_in_flight(), 0);
}

#[test]
fn eight_thousand_in_turn_are_a_thousand_each_however_they_are_sent() {
    let cluster = FakeCluster::start(2, 4);
    let producer = with(&cluster, |_| {});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    producer.send(&message("x")).unwrap();
                    block_on(producer.send_async(&message("x"))).unwrap();
                }
            });
        }
    });
    assert_eq!(cluster.stored(), [1000; 8]);
}

#[test]
fn a_frozen_broker_holds_up_no_caller() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |_| {});
    // Then it knows the way there.
    producer.send(&message("first")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    let (callback, heard) = told();
    producer.send_callback(&message("x"), &short(100), callback);
    let mut future = producer.send_async_with(&message("y"), &short(100));
    assert!(is_pending(&mut future));
    let error = heard.recv_timeout(HANG).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let failed = error.failed_send().unwrap().clone();
    assert_eq!((failed.topic.as_str(), failed.broker.as_deref()), ("T", Some("broker-0")));
    // What timed out is stored all the same, under the id that the error names.
    eventually("it is stored", || {
        let state = cluster.brokers[0].state.lock();
        state.seen.iter().any(|seen| seen.properties.get("UNIQ_KEY") == Some(&failed.message_id))
    });
    assert_eq!(block_on(future).unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn a_thawed_broker_answers_sends_in_time() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |_| {});
    cluster.brokers[0].state.lock().frozen = true;
    std::thread::scope(|scope| {
        let first = scope.spawn(|| producer.send(&message("1")).and_then(|_| producer.send(&message("2"))));
        eventually("the first came", || cluster.sends() == [1]);
        cluster.brokers[0].thaw();
        assert_eq!(first.join().unwrap().unwrap().queue_offset, 1);
    });
}

#[test]
fn a_port_that_never_answers_costs_the_time_limit() {
    let cluster = FakeCluster::start(0, 0);
    // Connections are made by the system, and nobody ever reads them.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.add_broker("hole", &hole.local_addr().unwrap().to_string(), 1);
    let producer = with(&cluster, |options| options.send_msg_timeout = Duration::from_millis(150));
    assert_eq!(producer.send(&message("x")).unwrap_err().kind(), ErrorKind::Timeout);
    let error = producer.send_with(&message("x"), &short(50)).unwrap_err();
    assert_eq!(error.failed_send().unwrap().attempts, 1);
    let (callback, heard) = told();
    producer.send_callback(&message("x"), &short(50), callback);
    assert_eq!(heard.recv_timeout(HANG).unwrap().unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(ProducerOptions::default().send_msg_timeout, Duration::from_millis(3000));
}

#[test]
fn attempts_of_sends_that_wait_are_counted() {
    for (retries, attempts) in [(None, 3), (Some(3), 4), (Some(0), 1)] {
        let cluster = FakeCluster::start(1, 1);
        cluster.brokers[0].state.lock().moods.extend((0..10).map(|_| Mood::Refuse(1)));
        let producer = with(&cluster, |options| options.retry_times_when_send_failed = retries.unwrap_or(2));
        let error = producer.send(&message("x")).unwrap_err();
        assert!(error.is_retriable());
        assert_eq!(error.failed_send().unwrap().attempts, attempts);
        assert_eq!(cluster.sends(), [attempts]);
        assert!(error.to_string().contains("attempt"), "{error}");
    }
}

#[test]
fn sends_that_nobody_waits_for_are_tried_again_after_broken_connections_only() {
    for (retries, attempts) in [(2, 3), (3, 4)] {
        let cluster = FakeCluster::start(1, 1);
        cluster.brokers[0].state.lock().moods.extend((0..10).map(|_| Mood::Cut));
        let producer = with(&cluster, |options| options.retry_times_when_send_async_failed = retries);
        let (callback, heard) = told();
        producer.send_callback(&message("x"), &SendOptions::default(), callback);
        let error = heard.recv_timeout(HANG).unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Connection, true));
        assert!(heard.recv().is_err(), "the callback ran once");
        assert_eq!((error.failed_send().unwrap().attempts, cluster.sends()), (attempts, vec![attempts]));
        let ids: BTreeSet<String> = ids(&cluster).into_iter().collect();
        assert_eq!(ids, [error.failed_send().unwrap().message_id.clone()].into());
    }
    let cluster = FakeCluster::start(2, 1);
    cluster.brokers.iter().for_each(|broker| broker.state.lock().moods.push_back(Mood::Refuse(1)));
    let producer = with(&cluster, |_| {});
    let error = block_on(producer.send_async(&message("x"))).unwrap_err();
    assert_eq!((error.code(), error.is_retriable()), (Some(1), true));
    assert_eq!(cluster.sends().iter().sum::<usize>(), 1);
}

fn ids(cluster: &FakeCluster) -> Vec<String> {
    let state = cluster.brokers[0].state.lock();
    state.seen.iter().filter_map(|seen| seen.properties.get("UNIQ_KEY")).map(String::from).collect()
}

#[test]
fn a_dead_broker_costs_asynchronous_sends_nothing_but_another_attempt() {
    let mut cluster = FakeCluster::start(2, 2);
    let producer = with(&cluster, |_| {});
    block_on(producer.send_async(&message("x"))).unwrap();
    cluster.stop_broker(0);
    let futures: Vec<_> = (0..200).map(|_| producer.send_async(&message("x"))).collect();
    for future in futures {
        assert_eq!(block_on(future).unwrap().queue.broker_name, "broker-1");
    }
}

#[test]
fn futures_need_nothing_but_polls_and_may_be_dropped() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |_| {});
    let sent: Vec<Sent> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| block_on(producer.send_async(&message("x"))).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sent.iter().map(|sent| sent.queue_offset).collect::<BTreeSet<_>>(), [0, 1, 2, 3].into());
    cluster.brokers[0].state.lock().frozen = true;
    let mut dropped = producer.send_async(&message("dropped"));
    assert!(is_pending(&mut dropped));
    drop(dropped);
    eventually("it was sent all the same", || cluster.sends() == [5]);
    cluster.brokers[0].thaw();
    producer.close_within(HANG).unwrap();
    let error = block_on(producer.send_async(&Message::new("T", ""))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn sends_under_way_are_bounded_and_the_next_waits_for_room() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |options| {
        options.back_pressure_for_async_send_num = 3;
        options.back_pressure_for_async_send_size = 10;
    });
    producer.send(&message("route")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    let first = producer.send_async(&message("12345"));
    let mut by_size = producer.send_async(&message("1234567"));
    let dropped = producer.send_async(&message("1"));
    let in_vain = producer.send_async_with(&message("late"), &short(50));
    eventually("the first came", || cluster.sends() == [2]);
    assert!(is_pending(&mut by_size));
    let error = block_on(in_vain).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Timeout && error.context().contains("backPressureForAsyncSend"),
        "{error}"
    );
    assert_eq!(error.failed_send().unwrap().attempts, 0);
    let (callback, heard) = told();
    producer.send_callback(&message("in vain"), &short(50), callback);
    assert!(heard.recv_timeout(HANG).unwrap().unwrap_err().context().contains("too many sends"));
    drop(dropped);
    assert_eq!(cluster.sends(), [2]);
    cluster.brokers[0].thaw();
    block_on(first).unwrap();
    block_on(by_size).unwrap();
    let large = block_on(producer.send_async(&message("larger than all the room")));
    large.unwrap();
    assert_eq!(cluster.sends(), [4], "what was dropped or late was never sent");
    let many: Vec<_> = (0..100).map(|_| producer.send_async(&message("1"))).collect();
    many.into_iter().for_each(|future| drop(block_on(future).unwrap()));
    assert_eq!(cluster.sends(), [104]);
}

#[test]
fn a_send_that_gives_up_waiting_lets_those_behind_it_go() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |options| options.back_pressure_for_async_send_size = 10);
    producer.send(&message("route")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    let first = producer.send_async(&message("12345678"));
    let too_large = producer.send_async_with(&message("1234"), &short(50));
    let behind = producer.send_async(&message("1"));
    assert_eq!(block_on(too_large).unwrap_err().kind(), ErrorKind::Timeout);
    eventually("the one behind it came", || cluster.sends() == [3]);
    let dropped = producer.send_async(&message("1234"));
    let last = producer.send_async(&message("1"));
    drop(dropped);
    eventually("the one behind it came", || cluster.sends() == [4]);
    cluster.brokers[0].thaw();
    for future in [first, behind, last] {
        block_on(future).unwrap();
    }
}

#[test]
fn callbacks_may_send_again() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect_with(|options| options.client_callback_executor_threads = 1);
    let producer = Arc::new(with_client(&client, |options| options.back_pressure_for_async_send_num = 1));
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(1));
    let (callback, heard) = told();
    let again = producer.clone();
    producer.send_callback(&message("x"), &SendOptions::default(), move |sent| {
        let error: ferromq::Error = sent.unwrap_err();
        assert!(error.is_retriable());
        // The one callback thread sends, by both ways, and waits.
        again.send(&message("sync")).unwrap();
        block_on(again.send_async(&message("future"))).unwrap();
        again.send_callback(&message("again"), &SendOptions::default(), callback);
    });
    assert_eq!(heard.recv_timeout(HANG).unwrap().unwrap().queue_offset, 2);
}

#[test]
fn callbacks_that_wait_for_sends_do_not_wait_for_each_other() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect_with(|options| options.client_callback_executor_threads = 1);
    let producer = Arc::new(with_client(&client, |options| options.back_pressure_for_async_send_num = 2));
    producer.send(&message("x")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    let heard: Vec<_> = (0..2)
        .map(|_| {
            let ((callback, heard), again) = (told(), producer.clone());
            producer.send_callback(&message("x"), &SendOptions::default(), move |sent| {
                sent.unwrap();
                callback(block_on(again.send_async(&message("again"))));
            });
            heard
        })
        .collect();
    eventually("both are under way", || cluster.sends() == [3]);
    cluster.brokers[0].thaw();
    heard.iter().for_each(|heard| drop(heard.recv_timeout(HANG).unwrap().unwrap()));
}

#[test]
fn a_panic_in_a_callback_harms_no_other() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect_with(|options| options.client_callback_executor_threads = 1);
    let producer = with_client(&client, |_| {});
    producer.send_callback(&message("x"), &SendOptions::default(), |_| panic!("a panic that a test wants"));
    let (callback, heard) = told();
    producer.send_callback(&message("x"), &SendOptions::default(), callback);
    heard.recv_timeout(HANG).unwrap().unwrap();
    producer.close_within(HANG).unwrap();
}

#[test]
fn closing_waits_for_callbacks_and_leaves_the_group() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let producer = with_client(&client, |options| options.producer_group = "PG".into());
    producer.send(&message("x")).unwrap();
    eventually("the broker knows the group", || cluster.brokers[0].producer("PG").is_some());
    let second = with_client(&client, |options| options.producer_group = "PG".into());
    cluster.brokers[0].state.lock().frozen = true;
    let (callback, heard) = told();
    producer.send_callback(&message("x"), &SendOptions::default(), callback);
    eventually("it came", || cluster.sends() == [2]);
    let error = producer.close_within(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(producer.send(&message("x")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(producer.send_oneway(&message("x")).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(producer.queues("T").unwrap_err().kind(), ErrorKind::Closed);
    cluster.brokers[0].thaw();
    producer.close_within(HANG).unwrap();
    producer.close().unwrap();
    assert!(heard.recv().is_err(), "no callback begins once a close has timed out");
    assert!(cluster.brokers[0].producer("PG").is_some(), "the group has another producer");
    second.send(&message("x")).unwrap();
    drop(second);
    eventually("the broker forgot the group", || cluster.brokers[0].producer("PG").is_none());
}

#[test]
fn closing_the_client_ends_everything_once() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let producer = with_client(&client, |options| options.back_pressure_for_async_send_num = 2);
    producer.send(&message("x")).unwrap();
    cluster.brokers[0].state.lock().frozen = true;
    let (callback, heard) = told();
    producer.send_callback(&message("x"), &SendOptions::default(), callback);
    let futures: Vec<_> = (0..5).map(|_| producer.send_async(&message("x"))).collect();
    client.close_within(HANG).unwrap();
    assert_eq!(heard.recv().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    for future in futures {
        assert_eq!(block_on(future).unwrap_err().kind(), ErrorKind::Closed);
    }
    let (callback, heard) = told::<Result<Sent>>();
    producer.send_callback(&message("x"), &SendOptions::default(), callback);
    assert!(heard.recv().is_err(), "no callback runs after the client was closed");
    assert!(Producer::new(&client, ProducerOptions::default()).is_err());
    client.close_within(HANG).unwrap();
}

#[test]
fn closing_in_a_callback_does_not_wait_for_itself() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let producer = Arc::new(with_client(&client, |_| {}));
    let (callback, heard) = told();
    let (within, within_client) = (producer.clone(), client.clone());
    producer.send_callback(&message("x"), &SendOptions::default(), move |sent| {
        sent.unwrap();
        callback((within.close(), within_client.close_within(HANG)));
    });
    let (closed, client_closed) = heard.recv_timeout(HANG).unwrap();
    closed.unwrap();
    client_closed.unwrap();
    assert_eq!(producer.send(&message("x")).unwrap_err().kind(), ErrorKind::Closed);
    client.close_within(HANG).unwrap();
}

#[test]
fn messages_of_one_order_go_to_one_queue() {
    let cluster = FakeCluster::start(2, 4);
    let producer = with(&cluster, |_| {});
    let own = |order: usize| Selector::own(move |queues, _| order % queues.len());
    for (step, order) in (0..4).flat_map(|step| (0..50).map(move |order| (step, order))) {
        let numbered = message(&format!("{order}:{step}"));
        let options = SendOptions::default().with_selector(own(order));
        match step % 2 {
            0 => producer.send_with(&numbered, &options).unwrap(),
            _ => block_on(producer.send_async_with(&numbered, &options)).unwrap(),
        };
    }
    let steps = steps_by_order(&cluster);
    assert_eq!(steps.len(), 50);
    assert!(steps.values().all(|steps| *steps == ["0", "1", "2", "3"]), "{steps:?}");
}

/// The steps of each order as its queue has them; panics if an order is in two queues.
fn steps_by_order(cluster: &FakeCluster) -> BTreeMap<String, Vec<String>> {
    let (mut steps, mut place) = (BTreeMap::<String, Vec<String>>::new(), HashMap::new());
    for (number, broker) in cluster.brokers.iter().enumerate() {
        for (id, queue) in broker.state.lock().topics["T"].iter().enumerate() {
            for record in queue {
                let record = RecordView::parse(record).unwrap();
                let text = std::str::from_utf8(record.body()).unwrap();
                let (order, step) = text.split_once(':').unwrap();
                assert_eq!(*place.entry(order.to_string()).or_insert((number, id)), (number, id));
                steps.entry(order.into()).or_default().push(step.into());
            }
        }
    }
    steps
}

#[test]
fn a_key_goes_to_the_queue_of_its_hash_whichever_way_it_is_given() {
    let cluster = FakeCluster::start(2, 4);
    let producer = with(&cluster, |_| {});
    // Java: Math.abs("order-1".hashCode() % 8) is 6, the third of the second broker.
    let carried = message("x").with_sharding_key("order-1").unwrap();
    let options = [
        SendOptions::default().with_sharding_key("order-1"),
        SendOptions::default().with_selector(Selector::ByHash("order-1".into())),
    ];
    let mut sent: Vec<Sent> =
        options.iter().map(|options| producer.send_with(&message("x"), options).unwrap()).collect();
    sent.push(producer.send(&carried).unwrap());
    sent.push(block_on(producer.send_async(&carried)).unwrap());
    sent.push(producer.send_batch(&[carried.clone(), carried.clone()]).unwrap());
    for sent in &sent {
        assert_eq!((sent.queue.broker_name.as_str(), sent.queue.queue_id), ("broker-1", 2));
    }
    let state = cluster.brokers[1].state.lock();
    let records = state.topics["T"][2].iter().map(|record| RecordView::parse(record).unwrap());
    let keyed: Vec<bool> =
        records.map(|record| record.property(property::SHARDINGKEY) == Some("order-1")).collect();
    assert_eq!(keyed, [true, false, true, true, true, true]);
    drop(state);
    let queues = producer.queues("T").unwrap();
    assert_eq!((queues.len(), queues[6].queue_id, queues[6].broker_name.as_str()), (8, 2, "broker-1"));
    let other = message("x").with_sharding_key("order-2").unwrap();
    let error = producer.send_batch(&[carried, other]).unwrap_err();
    assert!(error.context().contains("sharding"), "{error}");
}

#[test]
fn what_has_a_queue_of_its_own_is_not_sent_to_another() {
    let cluster = FakeCluster::start(2, 1);
    let producer = with(&cluster, |_| {});
    let options = SendOptions::default().with_selector(Selector::own(|_, _| 0));
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(1));
    assert_eq!(producer.send_with(&message("x"), &options).unwrap_err().code(), Some(1));
    cluster.brokers[0].state.lock().moods.push_back(Mood::Cut);
    let sent = block_on(producer.send_async_with(&message("x"), &options)).unwrap();
    assert_eq!((sent.queue.broker_name.as_str(), sent.queue_offset), ("broker-0", 1));
    assert_eq!(cluster.sends(), [3, 0]);
    let wrong = SendOptions::default().with_selector(Selector::own(|queues, _| queues.len()));
    assert_eq!(producer.send_with(&message("x"), &wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let error = block_on(producer.send_async_with(&message("x"), &wrong)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_broker_that_failed_is_avoided_for_a_while_if_wanted() {
    let cluster = FakeCluster::start(2, 2);
    let clock = ferromq::clock::Clock::new();
    let client = cluster.connect_with(|options| options.clock = clock.clone());
    let producer = with_client(&client, |options| options.send_latency_fault_enable = true);
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(2));
    while cluster.sends()[0] == 0 {
        assert_eq!(
            producer.send(&message("x")).unwrap().queue.broker_name,
            "broker-1",
            "sent again, or there first"
        );
    }
    for _ in 0..20 {
        assert_eq!(producer.send(&message("x")).unwrap().queue.broker_name, "broker-1");
    }
    assert_eq!(cluster.sends()[0], 1);
    clock.advance(Duration::from_secs(11));
    let brokers: BTreeSet<String> =
        (0..8).map(|_| producer.send(&message("x")).unwrap().queue.broker_name).collect();
    assert_eq!(brokers.len(), 2);
}

#[test]
fn lists_of_any_size_are_sent_in_their_order() {
    let cluster = FakeCluster::start(2, 2);
    let producer = with(&cluster, |_| {});
    let body = "x".repeat(1000);
    let messages: Vec<Message> =
        (0..10_000).map(|number| message(&format!("{number}:{body}")).with_key("k").unwrap()).collect();
    let parts: Vec<usize> = producer.split(&messages).map(<[Message]>::len).collect();
    assert!(parts.len() >= 10 && parts.iter().sum::<usize>() == 10_000, "{parts:?}");
    let results = producer.send_split(&messages).unwrap();
    assert_eq!(results.len(), parts.len());
    assert!(results.iter().all(|sent| sent.queue == results[0].queue));
    let mut stored = Vec::new();
    for broker in &cluster.brokers {
        for record in broker.state.lock().topics.get("T").into_iter().flatten().flatten() {
            let record = RecordView::parse(record).unwrap();
            let text = std::str::from_utf8(record.body()).unwrap();
            stored.push(text.split(':').next().unwrap().parse::<usize>().unwrap());
        }
    }
    assert_eq!(stored, (0..10_000).collect::<Vec<_>>());
    assert!(producer.send_split(&[]).unwrap().is_empty());
    let huge = [message("a"), Message::new("T", vec![0; 5 << 20]), message("b")];
    assert_eq!(producer.split(&huge).map(<[Message]>::len).collect::<Vec<_>>(), [1, 1, 1]);
    let error = producer.send_split(&huge).unwrap_err();
    assert!(error.to_string().contains("1 of 3") && error.to_string().contains("4194304"), "{error}");
}

#[test]
fn batches_may_be_sent_without_waiting() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |_| {});
    let (callback, heard) = told();
    producer.send_batch_callback(&[message("a"), message("b")], &SendOptions::default(), callback);
    assert_eq!(heard.recv_timeout(HANG).unwrap().unwrap().queue_offset, 0);
    assert_eq!(cluster.stored(), [2]);
    assert_eq!(cluster.brokers[0].state.lock().seen[0].code, 320, "in one request");
    let (callback, heard) = told();
    producer.send_batch_callback(&[], &SendOptions::default(), callback);
    let error: ferromq::Error = heard.recv_timeout(HANG).unwrap().unwrap_err();
    assert!(error.context().contains("empty"), "{error}");
}

#[test]
fn brokers_know_a_producer_before_it_sends() {
    let cluster = FakeCluster::start(2, 1);
    cluster.add_topic("TBW102");
    let producer = with(&cluster, |options| options.producer_group = "Early".into());
    for broker in &cluster.brokers {
        eventually("the broker knows the group", || broker.producer("Early").is_some());
    }
    assert_eq!(producer.group(), "Early");
    assert_eq!(cluster.sends(), [0, 0]);
}

#[test]
fn names_that_brokers_do_not_take_are_refused() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    for group in ["", "a b", "10.0.0.1@7", &"x".repeat(256)] {
        let options = || ferromq::ConsumerOptions::new(group);
        let errors = [
            Producer::new(&client, ProducerOptions::new(group)).err(),
            ferromq::PushConsumer::new(&client, options()).err(),
            ferromq::Consumer::new(&client, options()).err(),
        ];
        for error in errors {
            assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::InvalidArgument), "{group}");
        }
    }
    let producer = with_client(&client, |_| {});
    for topic in ["a b", "ü", &"x".repeat(128), "SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC"] {
        let error = producer.send(&Message::new(topic, "x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{topic}");
        assert!(error.context().contains(&topic[..10.min(topic.len())]), "{error}");
    }
    assert_eq!(cluster.sends(), [0]);
}

#[test]
fn a_send_that_failed_for_good_is_one_line_in_the_log() {
    let cluster = FakeCluster::start(1, 1);
    let producer = with(&cluster, |_| {});
    cluster.brokers[0].state.lock().moods.extend((0..3).map(|_| Mood::Refuse(14)));
    let keyed = message("x").with_key("ORDER_7").unwrap();
    let (lines, error) = crate::log_support::logged(|| producer.send(&keyed).unwrap_err());
    let lines: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in ["topic=\"T\"", "ORDER_7", "the test says so", &error.failed_send().unwrap().message_id] {
        assert!(lines[0].contains(part), "{part} in {lines:?}");
    }
}

#[test]
fn sends_are_traced_if_wanted_and_the_traces_are_not() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("RMQ_SYS_TRACE_TOPIC");
    let producer = with(&cluster, |options| {
        options.producer_group = "Traced".into();
        options.enable_msg_trace = true;
        options.retry_times_when_send_failed = 0;
    });
    let keyed = message("x").with_key("k1").unwrap().with_key("k2").unwrap().with_tag("A").unwrap();
    let sent = producer.send(&keyed).unwrap();
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(13));
    let failed = producer.send(&message("y").with_delay_level(3).unwrap()).unwrap_err();
    block_on(producer.send_async(&message("z"))).unwrap();
    producer.close_within(HANG).unwrap();
    let state = cluster.brokers[0].state.lock();
    let mut events = Vec::new();
    for record in state.topics["RMQ_SYS_TRACE_TOPIC"].iter().flatten() {
        let record = RecordView::parse(record).unwrap();
        assert!(record.property("KEYS").is_some());
        events.extend(trace::decode(record.body()).unwrap());
    }
    assert_eq!(events.len(), 3, "{events:?}");
    let TraceEvent::Sent { group, topic, message_id, tag, keys, broker, kind, offset_id, is_sent, .. } =
        &events[0]
    else {
        panic!("{:?}", events[0]);
    };
    assert_eq!((group.as_str(), topic.as_str(), message_id), ("Traced", "T", &sent.message_id));
    assert_eq!((tag.as_deref(), keys.as_deref()), (Some("A"), Some("k1 k2")));
    assert!(broker.starts_with("127.0.0.1:") && *is_sent && *kind == MessageKind::Normal);
    assert_eq!(offset_id.as_ref(), Some(&sent.offset_id));
    let TraceEvent::Sent { message_id, kind, is_sent, .. } = &events[1] else { panic!("{:?}", events[1]) };
    assert_eq!(message_id, &failed.failed_send().unwrap().message_id);
    assert!(!is_sent && *kind == MessageKind::Delayed);
    assert!(state.seen.iter().any(|seen| seen.group == "_INNER_TRACE_PRODUCER-Traced"));
}

#[test]
fn a_namespace_stands_before_topics_and_groups_on_the_wire_only() {
    let cluster = FakeCluster::start(1, 2);
    cluster.add_topic("NS%T");
    let client = cluster.connect_with(|options| options.client_namespace = Some("NS".into()));
    let producer = with_client(&client, |options| options.producer_group = "PG".into());
    let own = SendOptions::default().with_selector(Selector::own(|queues, message| {
        assert!(queues.iter().all(|queue| queue.topic == message.topic));
        1
    }));
    let queues = producer.queues("T").unwrap();
    assert!(queues.iter().all(|queue| queue.topic == "T"));
    let to_queue = SendOptions::default().with_queue(queues[0].clone());
    let mut sent = vec![producer.send(&message("x")).unwrap()];
    sent.push(producer.send_with(&message("x"), &own).unwrap());
    sent.push(producer.send_with(&message("x"), &to_queue).unwrap());
    sent.push(block_on(producer.send_async_with(&message("x"), &own)).unwrap());
    sent.push(producer.send_batch(&[message("x")]).unwrap());
    assert!(sent.iter().all(|sent| sent.queue.topic == "T"));
    let seen = cluster.brokers[0].state.lock().seen.clone();
    assert_eq!(seen.len(), 5);
    for seen in seen {
        assert_eq!((seen.topic.as_str(), seen.group.as_str()), ("NS%T", "NS%PG"));
        assert_eq!(seen.properties.get("INSTANCE_ID"), Some("NS"));
    }
    eventually("the broker knows the group", || cluster.brokers[0].producer("NS%PG").is_some());
    let long = "x".repeat(126);
    assert!(producer.send(&Message::new(long, "x")).unwrap_err().context().contains("namespace"));
}

#[test]
fn all_sends_share_one_connection_to_each_broker() {
    let cluster = FakeCluster::start(2, 2);
    let producer = with(&cluster, |_| {});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| drop(producer.send(&message("x")).unwrap())));
        }
    });
    for broker in &cluster.brokers {
        let connections: BTreeSet<u64> =
            broker.state.lock().seen.iter().map(|seen| seen.connection).collect();
        assert_eq!(connections.len(), 1);
    }
}

#[test]
fn a_broker_that_joins_gets_its_share_when_routes_are_refreshed() {
    let cluster = FakeCluster::start(1, 1);
    let clock = ferromq::clock::Clock::new();
    let client = cluster.connect_with(|options| options.clock = clock.clone());
    let producer = with_client(&client, |_| {});
    producer.send(&message("x")).unwrap();
    let joined = FakeCluster::start(1, 1);
    cluster.add_broker("joined", &joined.broker_address(0), 1);
    clock.advance(Duration::from_secs(31));
    eventually("the new broker is sent to", || {
        producer.send(&message("x")).unwrap();
        joined.sends() != [0]
    });
    eventually("the new broker knows the group", || joined.brokers[0].producer("DEFAULT_PRODUCER").is_some());
}

#[test]
fn a_broker_that_dies_under_load_costs_no_send() {
    let mut cluster = FakeCluster::start(2, 2);
    let producer = with(&cluster, |_| {});
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..500).try_for_each(|_| producer.send(&message("x")).map(drop))))
            .collect();
        cluster.stop_broker(0);
        threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
    assert!(cluster.sends().iter().sum::<usize>() >= 2000);
}

#[test]
fn a_storm_of_all_kinds_of_sends_leaves_nothing_behind() {
    let cluster = FakeCluster::start(2, 2);
    let producer = with(&cluster, |options| options.back_pressure_for_async_send_num = 7);
    let (given, called) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (producer, cluster, given, called) = (&producer, &cluster, &given, &called);
            scope.spawn(move || {
                let mut random = thread + 1;
                for _ in 0..300 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let broker = &cluster.brokers[(random >> 30) as usize & 1];
                    match (random >> 20) % 16 {
                        0 => broker.state.lock().moods.push_back(Mood::Cut),
                        1 => broker.state.lock().moods.push_back(Mood::Refuse(2)),
                        2..=5 => drop(producer.send_async(&message("dropped"))),
                        6..=8 => drop(block_on(producer.send_async(&message("awaited")))),
                        9 => drop(producer.send_oneway(&message("oneway"))),
                        10 | 11 => drop(producer.send(&message("waited for"))),
                        _ => {
                            given.fetch_add(1, Ordering::SeqCst);
                            let called = called.clone();
                            producer.send_callback(
                                &message("called back"),
                                &SendOptions::default(),
                                move |_| {
                                    called.fetch_add(1, Ordering::SeqCst);
                                },
                            );
                        }
                    }
                }
            });
        }
    });
    producer.close_within(HANG).unwrap();
    assert_eq!(
        (producer.sends_in_flight(), called.load(Ordering::SeqCst)),
        (0, given.load(Ordering::SeqCst))
    );
}
