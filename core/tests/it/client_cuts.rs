//! A producer and a consumer over a bad network to a real broker: what was acknowledged is consumed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ferromq::client::{Consumer, ConsumerOptions, Producer, ProducerOptions, StartFrom, Subscription};
use ferromq::message::Message;
use parking_lot::Mutex;

use crate::client_support::FakeCluster;
use crate::net_support::{eventually, Proxy, HANG};
use crate::support::start_server;

fn send(producer: &Producer, number: usize) -> bool {
    match producer.send(&Message::new("T", number.to_string())) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_retriable(), "{error}");
            false
        }
    }
}

/// Consumes until `done`, and adds the numbers that came.
fn consume(consumer: &Consumer, seen: &Mutex<BTreeSet<usize>>, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < 2 * HANG, "{} numbers came", seen.lock().len());
        let messages = consumer.poll(Duration::from_millis(20)).unwrap();
        let number = |body: &[u8]| std::str::from_utf8(body).unwrap().parse::<usize>().unwrap();
        seen.lock().extend(messages.iter().map(|message| number(&message.body)));
        consumer.commit();
    }
}

#[test]
fn flash_cuts_under_load_lose_nothing_that_was_acknowledged() {
    let server = start_server("");
    let proxy = Proxy::to(server.broker_port());
    // The name server of this test sends everyone through the bad network.
    let names = FakeCluster::start(0, 0);
    names.add_broker("b", &format!("127.0.0.1:{}", proxy.port), 4);
    let producing = ProducerOptions { timeout: HANG, retries: 1000, ..ProducerOptions::default() };
    let producer = Producer::new(&names.connect(), producing).unwrap();
    assert!(send(&producer, 0), "the first one, which makes the topic");
    let consuming = ConsumerOptions {
        start_from: StartFrom::First,
        ..ConsumerOptions::new(Some("g"), Subscription::all("T"))
    };
    let consumer = Consumer::join(&names.connect(), consuming).unwrap();
    let (acked, seen) = (Mutex::new(BTreeSet::from([0])), Mutex::new(BTreeSet::new()));
    let quiet = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let numbers = (1..).take_while(|_| !quiet.load(Ordering::SeqCst));
            numbers.filter(|number| send(&producer, *number)).for_each(|number| {
                acked.lock().insert(number);
            });
        });
        scope.spawn(|| {
            consume(&consumer, &seen, || {
                quiet.load(Ordering::SeqCst) && acked.lock().is_subset(&seen.lock())
            });
        });
        proxy.delay(Duration::from_millis(2));
        for round in 0..12 {
            let before = acked.lock().len();
            eventually("sends pass between two cuts", || acked.lock().len() > before + 5);
            proxy.refuse(round % 4 == 3);
            proxy.cut(round % 2 == 0);
            if round % 4 == 3 {
                std::thread::sleep(Duration::from_millis(50));
                proxy.refuse(false);
            }
        }
        quiet.store(true, Ordering::SeqCst);
    });
    // What was committed is stored, so that the next member begins behind it.
    consumer.close().unwrap();
    let last = *acked.lock().last().unwrap();
    assert!(send(&producer, last + 1));
    let next = ConsumerOptions::new(Some("g"), Subscription::all("T"));
    let (next, later) = (Consumer::join(&names.connect(), next).unwrap(), Mutex::new(BTreeSet::new()));
    consume(&next, &later, || later.lock().contains(&(last + 1)));
    // At most a copy or two besides, of sends that were tried again and came late.
    let later = later.into_inner();
    assert!(later.len() <= 3, "{later:?}");
}
