//! A consumer tells a program with an event loop of its own that a poll would not wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::Arc;
use std::time::Duration;

use ferromq::{open_with, Consumer, ConsumerOptions, ErrorKind, Instance, Message, OpenOptions, StartFrom};

use crate::net_support::HANG;

fn memory() -> Instance {
    let mq = open_with(OpenOptions::memory()).unwrap();
    mq.create_topic("T", 2).unwrap();
    mq
}

fn consumer(mq: &Instance) -> (Consumer, Receiver<()>) {
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("G") };
    let consumer = mq.consumer_with(options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer.start().unwrap();
    let (told, ready) = mpsc::channel();
    consumer.on_ready(move || told.send(()).unwrap_or_default());
    (consumer, ready)
}

/// Polls until nothing comes, as a program does that was told.
fn drain(consumer: &Consumer) -> usize {
    let mut count = 0;
    loop {
        match consumer.poll(Duration::ZERO).unwrap().len() {
            0 => return count,
            some => count += some,
        }
    }
}

#[test]
fn it_is_told_of_every_message_without_ever_waiting_in_a_poll() {
    let mq = memory();
    let (consumer, ready) = consumer(&mq);
    let sender = {
        let producer = mq.producer("P").unwrap();
        std::thread::spawn(move || {
            for n in 0..2_000 {
                producer.send(&Message::new("T", n.to_string())).unwrap();
            }
        })
    };
    let mut seen = 0;
    while seen < 2_000 {
        ready.recv_timeout(HANG).expect("told while messages are missing");
        seen += drain(&consumer);
    }
    sender.join().unwrap();
    assert_eq!(seen, 2_000);
    mq.close().unwrap();
}

#[test]
fn it_is_told_once_until_a_poll_has_emptied_what_there_is() {
    let mq = memory();
    let (consumer, ready) = consumer(&mq);
    let producer = mq.producer("P").unwrap();
    for _ in 0..3 {
        for n in 0..20 {
            producer.send(&Message::new("T", n.to_string())).unwrap();
        }
        ready.recv_timeout(HANG).unwrap();
        let mut seen = drain(&consumer);
        while seen < 20 {
            ready.recv_timeout(HANG).unwrap();
            seen += drain(&consumer);
        }
        // Each time it was told there was something: no more often than there were messages.
        assert!(ready.try_iter().count() < 20);
    }
    mq.close().unwrap();
}

#[test]
fn who_asks_late_is_told_of_what_is_there_and_closing_is_told_too() {
    let mq = memory();
    let (consumer, ready) = consumer(&mq);
    mq.producer("P").unwrap().send(&Message::new("T", "x")).unwrap();
    ready.recv_timeout(HANG).unwrap();
    let (told, later) = mpsc::channel();
    consumer.on_ready(move || told.send(()).unwrap_or_default());
    later.recv_timeout(HANG).unwrap();
    assert!(ready.recv().is_err(), "the one before is forgotten");
    assert_eq!(drain(&consumer), 1);
    consumer.close().unwrap();
    later.recv_timeout(HANG).unwrap();
    assert!(later.recv().is_err(), "after the close it is forgotten");
    assert_eq!(consumer.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
    mq.close().unwrap();
}

#[test]
fn closing_waits_for_a_callback_that_runs_and_none_runs_afterwards() {
    let mq = memory();
    let (consumer, _ready) = consumer(&mq);
    let (entered, runs) = mpsc::channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    consumer.on_ready(move || {
        entered.send(()).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(200));
        counted.fetch_add(1, Ordering::SeqCst);
    });
    mq.producer("P").unwrap().send(&Message::new("T", "x")).unwrap();
    runs.recv_timeout(HANG).unwrap();
    consumer.close().unwrap();
    let ended = calls.load(Ordering::SeqCst);
    assert!(ended >= 1, "it was waited for");
    mq.close().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), ended);
}

#[test]
fn closing_waits_for_a_replaced_callback_as_well() {
    let mq = memory();
    let (consumer, _ready) = consumer(&mq);
    let (entered, runs) = mpsc::channel();
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = ended.clone();
    consumer.on_ready(move || {
        entered.send(()).unwrap_or_default();
        std::thread::sleep(Duration::from_millis(200));
        counted.fetch_add(1, Ordering::SeqCst);
    });
    mq.producer("P").unwrap().send(&Message::new("T", "x")).unwrap();
    runs.recv_timeout(HANG).unwrap();
    consumer.on_ready(|| {});
    consumer.close().unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 1, "it was waited for");
    assert_eq!(Arc::strong_count(&ended), 1, "what it held is gone");
    mq.close().unwrap();
}

#[test]
fn a_callback_may_close_the_consumer() {
    let mq = memory();
    let (consumer, _ready) = consumer(&mq);
    let consumer = Arc::new(consumer);
    let (told, closed) = mpsc::channel();
    let own = Arc::downgrade(&consumer);
    consumer.on_ready(move || {
        if let Some(consumer) = own.upgrade() {
            told.send(consumer.close().map_err(|error| error.to_string())).unwrap_or_default();
        }
    });
    mq.producer("P").unwrap().send(&Message::new("T", "x")).unwrap();
    closed.recv_timeout(HANG).unwrap().unwrap();
    mq.close().unwrap();
}
