//! The pull consumer's own ways: named queues, moving in them, pauses, commits, futures, single pulls.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ferromq::client::{
    Consumer, ConsumerOptions, Producer, ProducerOptions, PullStatus, StartFrom, Subscription,
};
use ferromq::message::{Message, StoredMessage};
use ferromq::wire::body::MessageQueue;
use ferromq::ErrorKind;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn send(cluster: &FakeCluster, range: std::ops::Range<usize>) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in range {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
}

fn options() -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, auto_commit: false, ..ConsumerOptions::new("g") }
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { topic: "T".into(), broker_name: "broker-0".into(), queue_id }
}

/// One queue with the messages 0 to 19, and a consumer that is assigned it.
fn assigned(cluster: &FakeCluster) -> Consumer {
    send(cluster, 0..20);
    let consumer = Consumer::new(&cluster.connect(), options()).unwrap();
    consumer.assign(&[queue(0)]).unwrap();
    consumer
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

fn take(consumer: &Consumer, count: usize) -> Vec<usize> {
    let (start, mut all) = (Instant::now(), Vec::new());
    while all.len() < count {
        assert!(start.elapsed() < HANG, "{all:?} of {count} messages");
        let left = count - all.len();
        all.extend(consumer.poll_at_most(left, Duration::from_millis(100)).unwrap().iter().map(number));
    }
    all
}

#[test]
fn named_queues_are_read_and_nothing_else_also_when_they_change() {
    let cluster = FakeCluster::start(1, 4);
    send(&cluster, 0..40);
    let consumer = Consumer::new(&cluster.connect(), options()).unwrap();
    assert_eq!(consumer.topic_queues("T").unwrap(), (0..4).map(queue).collect::<Vec<_>>());
    assert_eq!(consumer.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::InvalidArgument);
    consumer.assign(&[queue(1), queue(2)]).unwrap();
    let start = Instant::now();
    let mut seen = Vec::new();
    while seen.len() < 20 {
        assert!(start.elapsed() < HANG);
        seen.extend(consumer.poll(Duration::from_millis(100)).unwrap());
    }
    assert!(seen.iter().all(|message| [1, 2].contains(&message.queue_id)));
    assert!(consumer.subscribe("T", "*").unwrap_err().to_string().contains("either"));
    consumer.commit();
    consumer.assign(&[queue(2), queue(3)]).unwrap();
    assert_eq!(consumer.queues(), [queue(2), queue(3)]);
    // The one that was given up had its offset stored before.
    assert_eq!(cluster.brokers[0].offset("g", "T", 1), Some(10));
    assert_eq!(take(&consumer, 10).len(), 10);
    consumer.close().unwrap();
    let subscribed = Consumer::new(&cluster.connect(), options()).unwrap();
    subscribed.subscribe("T", "*").unwrap();
    assert!(subscribed.assign(&[queue(0)]).unwrap_err().to_string().contains("either"));
}

#[test]
fn seeking_forgets_what_was_fetched_and_goes_on_there() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = assigned(&cluster);
    consumer.seek(&queue(0), 18).unwrap();
    assert_eq!(take(&consumer, 1), [18]);
    consumer.seek_to_begin(&queue(0)).unwrap();
    assert_eq!(take(&consumer, 5), [0, 1, 2, 3, 4]);
    consumer.seek(&queue(0), 12).unwrap();
    assert_eq!(take(&consumer, 3), [12, 13, 14]);
    consumer.seek_to_begin(&queue(0)).unwrap();
    assert_eq!(take(&consumer, 2), [0, 1]);
    consumer.seek_to_time(&queue(0), 1_700_000_000_017).unwrap();
    assert_eq!(take(&consumer, 2), [17, 18]);
    assert_eq!(consumer.offset_for_time(&queue(0), 1_700_000_000_004).unwrap(), 4);
    consumer.seek_to_end(&queue(0)).unwrap();
    send(&cluster, 20..21);
    assert_eq!(take(&consumer, 1), [20]);
    let error = consumer.seek(&queue(0), 22).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("from 0 to 21, not 22"), "{error}");
    let error = consumer.seek(&queue(7), 0).unwrap_err();
    assert!(error.to_string().contains("not this consumer's"), "{error}");
    // Seeking is a commit.
    consumer.seek(&queue(0), 6).unwrap();
    consumer.flush().unwrap();
    assert_eq!(consumer.committed(&queue(0)).unwrap(), Some(6));
}

#[test]
fn commits_are_by_hand_or_with_the_next_poll() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = assigned(&cluster);
    take(&consumer, 5);
    consumer.flush().unwrap();
    assert_eq!(consumer.committed(&queue(0)).unwrap(), Some(0));
    consumer.commit_queue(&queue(0), 3).unwrap();
    consumer.flush().unwrap();
    assert_eq!(consumer.committed(&queue(0)).unwrap(), Some(3));
    assert!(consumer.commit_queue(&queue(9), 3).is_err());
    consumer.close().unwrap();
    let automatic = ConsumerOptions { auto_commit: true, ..options() };
    let consumer = Consumer::join(&cluster.connect(), automatic, vec![Subscription::all("T")]).unwrap();
    assert_eq!(take(&consumer, 4), [3, 4, 5, 6]);
    consumer.flush().unwrap();
    assert_eq!(consumer.committed(&queue(0)).unwrap(), Some(3), "the user may still be at it");
    assert_eq!(take(&consumer, 1), [7]);
    consumer.flush().unwrap();
    assert_eq!(consumer.committed(&queue(0)).unwrap(), Some(7));
    consumer.close().unwrap();
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(8));
}

#[test]
fn who_failed_at_what_was_polled_gets_it_again() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..5);
    let automatic = ConsumerOptions { auto_commit: true, ..options() };
    let join =
        || Consumer::join(&cluster.connect(), automatic.clone(), vec![Subscription::all("T")]).unwrap();
    let consumer = join();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut one = || {
        let mut polled = pin!(consumer.poll_async_at_most(1));
        loop {
            match polled.as_mut().poll(&mut context) {
                Poll::Ready(messages) => return messages.unwrap(),
                Poll::Pending => std::thread::park_timeout(HANG),
            }
        }
    };
    assert_eq!((one().len(), one().len()), (1, 1));
    // The second poll said that the first message is done; nobody says so of the second one.
    consumer.abandon();
    assert_eq!(consumer.poll(HANG).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(1));
    assert_eq!(take(&join(), 4), [1, 2, 3, 4]);
}

#[test]
fn a_paused_queue_rests_and_the_others_go_on() {
    let cluster = FakeCluster::start(1, 2);
    send(&cluster, 0..20);
    let consumer = Consumer::new(&cluster.connect(), options()).unwrap();
    consumer.assign(&[queue(0), queue(1)]).unwrap();
    consumer.pause(&[queue(0)]);
    let mut seen = Vec::new();
    while seen.len() < 10 {
        seen.extend(consumer.poll(HANG).unwrap());
    }
    assert!(seen.iter().all(|message| message.queue_id == 1));
    assert!(consumer.poll(Duration::from_millis(50)).unwrap().is_empty());
    consumer.resume(&[queue(0)]);
    assert_eq!(take(&consumer, 10).len(), 10);
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_poll_can_be_awaited() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = Consumer::join(&cluster.connect(), options(), vec![Subscription::all("T")]).unwrap();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    {
        let mut given_up = pin!(consumer.poll_async());
        assert!(given_up.as_mut().poll(&mut context).is_pending());
    }
    let mut polled = pin!(consumer.poll_async());
    assert!(polled.as_mut().poll(&mut context).is_pending());
    send(&cluster, 0..1);
    let start = Instant::now();
    let messages = loop {
        match polled.as_mut().poll(&mut context) {
            Poll::Ready(messages) => break messages.unwrap(),
            Poll::Pending => std::thread::park_timeout(HANG),
        }
        assert!(start.elapsed() < HANG);
    };
    assert_eq!(messages.iter().map(number).collect::<Vec<_>>(), [0]);
    let mut closed = pin!(consumer.poll_async());
    assert!(closed.as_mut().poll(&mut context).is_pending());
    consumer.close().unwrap();
    match closed.as_mut().poll(&mut context) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Closed),
        other => panic!("{:?}", other.is_pending()),
    }
}

#[test]
fn a_poll_that_is_given_up_leaves_no_waker_behind() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = Consumer::join(&cluster.connect(), options(), vec![Subscription::all("T")]).unwrap();
    let task = || Arc::new(Unpark(std::thread::current()));
    let (first, second) = (task(), task());
    {
        let mut polled = pin!(consumer.poll_async());
        for task in [&first, &first, &second] {
            let waker = Waker::from(task.clone());
            assert!(polled.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&first), 1, "it has moved to another task");
        assert_eq!(Arc::strong_count(&second), 2);
    }
    assert_eq!(Arc::strong_count(&second), 1);
    // One poll's end is not the other's, though both have the same waker.
    let waker = Waker::from(first.clone());
    let mut stays = pin!(consumer.poll_async());
    assert!(stays.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    {
        let mut goes = pin!(consumer.poll_async());
        assert!(goes.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 3);
}

#[test]
fn a_single_pull_says_how_it_ended() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..20);
    let consumer = Consumer::new(&cluster.connect(), options()).unwrap();
    let pull = |offset, tags: &str, timeout| {
        let subscription = Subscription::tags("T", tags).unwrap();
        consumer.pull(&queue(0), &subscription, offset, 8, timeout).unwrap()
    };
    let found = pull(3, "*", Duration::ZERO);
    assert_eq!((found.status, found.next, found.min, found.max), (PullStatus::Found, 11, 0, 20));
    assert_eq!(found.messages.iter().map(number).collect::<Vec<_>>(), (3..11).collect::<Vec<_>>());
    let unmatched = pull(3, "NoSuchTag", Duration::ZERO);
    assert_eq!((unmatched.status, unmatched.next), (PullStatus::NoMatched, 11));
    assert!(unmatched.messages.is_empty());
    let illegal = pull(100, "*", Duration::ZERO);
    assert_eq!((illegal.status, illegal.next), (PullStatus::OffsetIllegal, 20));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pull(20, "*", HANG));
        eventually("the broker holds it", || cluster.brokers[0].state.lock().pulls >= 4);
        send(&cluster, 20..21);
        assert_eq!(waiting.join().unwrap().messages.len(), 1);
    });
    let none = consumer.pull(&queue(0), &Subscription::all("T"), 0, 0, Duration::ZERO).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::InvalidArgument);
    assert_eq!(cluster.brokers[0].members("g"), 0, "a single pull joins nothing");
}
