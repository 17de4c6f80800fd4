//! Calls of listeners within a frame, as languages with an interpreter make them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};

use ferromq::{
    open_with, Action, ConsumerOptions, Instance, Message, OpenOptions, PushConsumer, StartFrom,
    StoredMessage,
};
use parking_lot::Mutex;

use crate::net_support::{eventually, HANG};

/// An instance with a topic of two queues, and so many messages.
fn with_messages(count: usize) -> Instance {
    let mq = open_with(
        OpenOptions::from_pairs([("memory", "true"), ("messageDelayLevel", "1s 1s 1s 1s")]).unwrap(),
    )
    .unwrap();
    mq.create_topic("T", 2).unwrap();
    let producer = mq.producer("P").unwrap();
    for number in 0..count {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
    mq
}

fn consumer(mq: &Instance) -> PushConsumer {
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("G") };
    let consumer = mq.push_consumer_with(options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

#[test]
fn quick_calls_share_frames_and_each_message_is_consumed_once() {
    const COUNT: usize = 5_000;
    let mq = with_messages(COUNT);
    let consumer = consumer(&mq);
    let frames = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (counted, noted) = (frames.clone(), seen.clone());
    consumer.call_within(move |calls| {
        counted.fetch_add(1, Ordering::SeqCst);
        calls();
    });
    let listener = move |message: &StoredMessage, _: &_| {
        noted.lock().push(number(message));
        Action::Commit
    };
    consumer.listen_one(listener).unwrap();
    consumer.start().unwrap();
    eventually("all are consumed", || seen.lock().len() >= COUNT);
    consumer.close().unwrap();
    let mut seen = std::mem::take(&mut *seen.lock());
    seen.sort_unstable();
    assert_eq!(seen, (0..COUNT).collect::<Vec<_>>());
    let frames = frames.load(Ordering::SeqCst);
    println!("{frames} frames for {COUNT} calls");
    assert!(frames < COUNT, "{frames} frames");
    mq.close().unwrap();
}

#[test]
fn calls_that_wait_for_others_do_not_hold_them_up() {
    let mq = with_messages(12);
    let consumer = consumer(&mq);
    consumer.call_within(|calls| calls());
    // Nobody goes on until twelve listeners run at the same time.
    let barrier = Arc::new(std::sync::Barrier::new(12));
    let (told, done) = mpsc::channel();
    let listener = move |message: &StoredMessage, _: &_| {
        barrier.wait();
        told.send(number(message)).unwrap();
        Action::Commit
    };
    consumer.listen_one(listener).unwrap();
    consumer.start().unwrap();
    let mut numbers: Vec<usize> = (0..12).map(|_| done.recv_timeout(HANG).unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
    consumer.close().unwrap();
    mq.close().unwrap();
}

#[test]
fn what_is_not_consumed_in_a_frame_comes_again_and_the_rest_goes_on() {
    const COUNT: usize = 60;
    let mq = with_messages(COUNT);
    let consumer = consumer(&mq);
    consumer.call_within(|calls| calls());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let noted = calls.clone();
    let listener = move |message: &StoredMessage, _: &_| {
        let (number, again) = (number(message), message.reconsume_times > 0);
        noted.lock().push((number, again));
        match number % 3 {
            0 if !again => Action::Later,
            1 if !again => panic!("a panic that a test wants"),
            _ => Action::Commit,
        }
    };
    consumer.listen_one(listener).unwrap();
    consumer.start().unwrap();
    eventually("all came, two of three twice", || calls.lock().len() >= COUNT + COUNT * 2 / 3);
    consumer.close().unwrap();
    let mut calls = std::mem::take(&mut *calls.lock());
    calls.sort_unstable();
    let expected = (0..COUNT).flat_map(|number| {
        let again = (number % 3 < 2).then_some((number, true));
        std::iter::once((number, false)).chain(again)
    });
    assert_eq!(calls, expected.collect::<Vec<_>>());
    mq.close().unwrap();
}

#[test]
fn a_frame_that_calls_nothing_any_more_is_done_without() {
    let mq = with_messages(100);
    let consumer = consumer(&mq);
    let (frames, seen) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    consumer.call_within(move |calls| {
        if frames.fetch_add(1, Ordering::SeqCst) < 2 {
            calls();
        }
    });
    let counted = seen.clone();
    let listener = move |_: &StoredMessage, _: &_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Action::Commit
    };
    consumer.listen_one(listener).unwrap();
    consumer.start().unwrap();
    eventually("all are consumed", || seen.load(Ordering::SeqCst) == 100);
    consumer.close().unwrap();
    mq.close().unwrap();
}
