//! Flow: suspended, slow and closed consumers, and servers that are restarted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferromq::{ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus, PushConsumer, StoredMessage};

use super::world::{eventually, number, numbered, numbers, spread, Inbox, Stage, SILENCE};

pub fn suspend(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let (consumer, inbox) = stage.inbox(&topic, "*");
    spread(&producer, &numbered(&topic, 0..10));
    inbox.expect(0..10);
    consumer.suspend();
    spread(&producer, &numbered(&topic, 10..20));
    std::thread::sleep(2 * SILENCE);
    assert_eq!(inbox.count(), 10);
    consumer.resume();
    inbox.expect(0..20);
}

/// Nothing comes faster than the listener takes it, and nothing gets lost.
pub fn slow(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..600));
    let consumer =
        stage.push(&[("pullThresholdForQueue", "20"), ("pullBatchSize", "8"), ("consumeThreadMin", "2")]);
    consumer.subscribe(&topic, "*").unwrap();
    let (inbox, gate) = (Inbox::default(), Arc::new(AtomicBool::new(false)));
    let running = Arc::new(AtomicUsize::new(0));
    let (into, opened, counted) = (inbox.clone(), gate.clone(), running.clone());
    consumer
        .listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            counted.fetch_add(1, Ordering::SeqCst);
            while !opened.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            into.add(messages);
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("both threads are busy", || running.load(Ordering::SeqCst) == 2);
    std::thread::sleep(SILENCE);
    assert_eq!(running.load(Ordering::SeqCst), 2);
    gate.store(true, Ordering::SeqCst);
    inbox.expect(0..600);
}

/// A listener may close its own consumer; what it is consuming counts.
pub fn close_in_listener(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..10));
    let consumer = Arc::new(stage.push(&[("consumeThreadMin", "1"), ("consumeThreadMax", "1")]));
    consumer.subscribe(&topic, "*").unwrap();
    let (inbox, closed) = (Inbox::default(), Arc::new(AtomicBool::new(false)));
    let itself: Arc<OnceLock<Arc<PushConsumer>>> = Arc::default();
    let (into, told, own) = (inbox.clone(), closed.clone(), itself.clone());
    itself.set(consumer.clone()).ok().unwrap();
    consumer
        .listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            into.add(messages);
            if into.count() == 3 {
                own.get().unwrap().close().unwrap();
                told.store(true, Ordering::SeqCst);
            }
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("it closed itself", || closed.load(Ordering::SeqCst));
    consumer.close().unwrap();
    std::thread::sleep(SILENCE);
    let (before, all) = (inbox.count(), (0..10).collect());
    // The group goes on where it stopped: at least what was not consumed, and the one in hand at most again.
    let (_consumer, rest) = stage.inbox(&topic, "*");
    eventually("the rest", || {
        let mut both = inbox.all();
        both.extend(rest.all());
        numbers(&both) == all
    });
    std::thread::sleep(SILENCE);
    assert!(before + rest.count() <= 11, "{before} and {}", rest.count());
}

pub fn close_twice(stage: &Stage) {
    let topic = stage.topic(1);
    let client = stage.another();
    let (consumer, inbox) = stage.inbox_at(&client, "G", &topic, "*", &[]);
    let producer = client.producer(&stage.name("P2")).unwrap();
    producer.send(&numbered(&topic, 0..1)[0]).unwrap();
    inbox.expect(0..1);
    for _ in 0..2 {
        consumer.close().unwrap();
        producer.close().unwrap();
    }
    for _ in 0..2 {
        client.close_within(Duration::from_secs(10)).unwrap();
    }
    assert_eq!(client.producer("x").err().map(|error| error.kind()), Some(ferromq::ErrorKind::Closed));
}

/// Clients stay while the servers go and come: nothing acknowledged is lost, and everybody goes on.
pub fn restart(stage: &Stage) {
    let restart = stage.world.restart.as_ref().expect("a cluster that can be restarted");
    let topic = stage.topic(4);
    let client = stage.another();
    let options = super::world::producer_options(&stage.name("P"), &[]);
    let producer = client.producer_with(options).unwrap();
    let (_consumer, inbox) = stage.inbox_at(&client, "G", &topic, "*", &[]);
    spread(&producer, &numbered(&topic, 0..20));
    eventually("20 messages", || numbers(&inbox.all()).len() == 20);
    restart();
    for message in numbered(&topic, 20..40) {
        eventually("a send after the restart", || producer.send(&message).is_ok());
    }
    eventually("all messages", || numbers(&inbox.all()) == (0..40).collect());
    restart();
    for message in numbered(&topic, 40..60) {
        eventually("a send after the second restart", || producer.send(&message).is_ok());
    }
    eventually("all messages", || numbers(&inbox.all()) == (0..60).collect());
    client.close().unwrap();
}

/// Strict order needs one queue and one producer, and survives that the servers go and come: what came once comes again at
/// most behind it.
pub fn restart_in_order(stage: &Stage) {
    let restart = stage.world.restart.as_ref().expect("a cluster that can be restarted");
    let topic = stage.topic(1);
    let client = stage.another();
    let producer = client.producer_with(super::world::producer_options(&stage.name("P"), &[])).unwrap();
    let settings = [("suspendCurrentQueueTimeMillis", "100")];
    let (consumer, inbox) = (stage.push_at(&client, "G", &settings), Inbox::default());
    consumer.subscribe(&topic, "*").unwrap();
    let (into, fails) = (inbox.clone(), Arc::new(AtomicBool::new(true)));
    consumer
        .listen_orderly(move |messages: &[StoredMessage], _: &OrderlyContext| {
            // One in the middle is not consumed at first.
            if number(&messages[0]) == 35 && fails.swap(false, Ordering::SeqCst) {
                return OrderlyStatus::SuspendCurrentQueue;
            }
            into.add(messages);
            OrderlyStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    for (round, range) in [0..20, 20..40, 40..60].into_iter().enumerate() {
        for message in numbered(&topic, range.clone()) {
            eventually("a send", || producer.send(&message).is_ok());
        }
        if round < 2 {
            restart();
        }
        let end = range.end;
        eventually("all messages", || numbers(&inbox.all()).len() >= end);
    }
    let mut next = 0;
    for message in inbox.all() {
        // Sent or delivered again it may be, but nothing comes before what was sent before it.
        assert!(number(&message) <= next, "{} came before {next}", number(&message));
        next = next.max(number(&message) + 1);
    }
    assert_eq!(next, 60);
    client.close().unwrap();
}
