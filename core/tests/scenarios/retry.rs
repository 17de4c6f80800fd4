//! What failed comes again, and in the end is a dead letter. The servers' delay levels take a second.

use std::sync::{Arc, Mutex};

use ferromq::{ConsumeContext, ConsumeStatus, OrderlyContext, OrderlyStatus, PushConsumer, StoredMessage};

use super::send::everything;
use super::world::{eventually, held, number, numbered, spread, Inbox, Stage, SILENCE};

/// Listens, collects, and fails as `fails` says.
fn listen(
    consumer: &PushConsumer,
    fails: impl Fn(&StoredMessage, &ConsumeContext) -> bool + Send + Sync + 'static,
) -> Inbox {
    let inbox = Inbox::default();
    let into = inbox.clone();
    consumer
        .listen(move |messages: &[StoredMessage], context: &ConsumeContext| {
            into.add(messages);
            match fails(&messages[0], context) {
                true => ConsumeStatus::Later,
                false => ConsumeStatus::Success,
            }
        })
        .unwrap();
    inbox
}

/// How often it had been consumed in vain, of each delivery of message `n`.
fn times(inbox: &Inbox, n: usize) -> Vec<i32> {
    inbox.all().iter().filter(|message| number(message) == n).map(|message| message.reconsume_times).collect()
}

pub fn later(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let sent: Vec<_> = numbered(&topic, 0..5).iter().map(|message| producer.send(message).unwrap()).collect();
    let consumer = stage.push(&[]);
    consumer.subscribe(&topic, "*").unwrap();
    let inbox = listen(&consumer, |message, context| match (number(message), message.reconsume_times) {
        (2, 0 | 1) => true,
        (4, 0) => {
            context.set_delay_level(1);
            true
        }
        _ => false,
    });
    consumer.start().unwrap();
    inbox.await_count(8);
    std::thread::sleep(SILENCE);
    assert_eq!(inbox.count(), 8);
    assert_eq!((times(&inbox, 2), times(&inbox, 4)), (vec![0, 1, 2], vec![0, 1]));
    for message in inbox.all() {
        let sent = &sent[number(&message)];
        assert_eq!(
            (message.message_id(), message.topic.as_str()),
            (sent.message_id.as_str(), topic.as_str())
        );
        if message.reconsume_times > 0 {
            assert_ne!(message.offset_id, sent.offset_id);
            assert_eq!(message.properties.get("ORIGIN_MESSAGE_ID"), Some(sent.offset_id.as_str()));
        }
    }
    consumer.close().unwrap();
    // Nothing is left for the group, not even retries.
    let (_consumer, inbox) = stage.inbox(&topic, "*");
    inbox.expect(0..0);
}

/// A listener that panics fails, and nothing else happens.
pub fn panic(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..3));
    let consumer = stage.push(&[]);
    consumer.subscribe(&topic, "*").unwrap();
    let inbox = listen(&consumer, |message, _| {
        assert!(number(message) != 1 || message.reconsume_times > 0, "the listener's own mistake");
        false
    });
    consumer.start().unwrap();
    inbox.await_count(4);
    std::thread::sleep(SILENCE);
    assert_eq!(times(&inbox, 1), [0, 1]);
    assert_eq!(inbox.count(), 4);
}

/// What must hold of the group's one dead letter.
fn dead_letter_is(stage: &Stage, topic: &str, n: usize) -> StoredMessage {
    let dead = format!("%DLQ%{}", stage.name("G"));
    eventually("a dead letter", || {
        let queues = stage.client.queues(&dead);
        queues.is_ok_and(|queues| {
            queues.iter().any(|queue| stage.client.max_offset(queue).is_ok_and(|end| end > 0))
        })
    });
    let message = everything(stage, &dead, 1).remove(0);
    assert_eq!(number(&message), n);
    assert_eq!(message.properties.get("RETRY_TOPIC"), Some(topic));
    assert_eq!(message.properties.get("KEYS"), Some(format!("k-{n}").as_str()));
    message
}

pub fn dead_letter(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..3));
    let consumer = stage.push(&[("maxReconsumeTimes", "2")]);
    consumer.subscribe(&topic, "*").unwrap();
    let inbox = listen(&consumer, |message, _| number(message) == 1);
    consumer.start().unwrap();
    dead_letter_is(stage, &topic, 1);
    assert_eq!(times(&inbox, 1), [0, 1, 2]);
    assert_eq!(inbox.count(), 5);
}

/// Without retries, and by a listener that asks for it.
pub fn dead_at_once(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..3));
    let consumer = stage.push(&[]);
    consumer.subscribe(&topic, "*").unwrap();
    let inbox = listen(&consumer, |message, context| {
        context.set_delay_level(-1);
        number(message) == 2
    });
    consumer.start().unwrap();
    dead_letter_is(stage, &topic, 2);
    assert_eq!((times(&inbox, 2), inbox.count()), (vec![0], 3));
}

/// An ordered listener's message blocks its queue until its tries are used up.
pub fn orderly_dead_letter(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..4));
    let consumer = stage.push(&[("maxReconsumeTimes", "2"), ("suspendCurrentQueueTimeMillis", "50")]);
    consumer.subscribe(&topic, "*").unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    consumer
        .listen_orderly(move |messages: &[StoredMessage], _: &OrderlyContext| {
            told.lock().unwrap().extend(messages.iter().map(number));
            match number(&messages[0]) {
                1 => OrderlyStatus::SuspendCurrentQueue,
                _ => OrderlyStatus::Success,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    dead_letter_is(stage, &topic, 1);
    eventually("the rest", || seen.lock().unwrap().last() == Some(&3));
    assert_eq!(*seen.lock().unwrap(), [0, 1, 1, 1, 2, 3]);
}

pub fn broadcasting_has_none(stage: &Stage) {
    let topic = stage.topic(1);
    let consumer = stage.push(&[("messageModel", "BROADCASTING")]);
    consumer.subscribe(&topic, "*").unwrap();
    let inbox = listen(&consumer, |_, _| true);
    consumer.start().unwrap();
    eventually("the queue", || held(&consumer, &topic) == 1);
    spread(&stage.producer(), &numbered(&topic, 0..3));
    inbox.await_count(3);
    std::thread::sleep(2 * SILENCE);
    assert_eq!(inbox.count(), 3);
    consumer.close().unwrap();
}
