//! Push consumers: listeners of every form, filters, and where a group begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferromq::{
    Action, ConsumeContext, ConsumeStatus, ErrorKind, Message, OrderlyContext, OrderlyStatus, StoredMessage,
    Subscription,
};

use super::world::{body, eventually, held, number, numbered, spread, Inbox, Stage, SILENCE};

pub fn concurrent(stage: &Stage) {
    let topic = stage.topic(4);
    let producer = stage.producer();
    spread(&producer, &numbered(&topic, 0..40));
    let (consumer, inbox) = stage.inbox(&topic, "*");
    inbox.await_count(40);
    spread(&producer, &numbered(&topic, 40..80));
    for message in inbox.expect(0..80) {
        assert_eq!((message.reconsume_times, message.topic.as_str()), (0, topic.as_str()));
    }
    assert_eq!(held(&consumer, &topic), 4);
    consumer.close().unwrap();
    // Everything is committed: who comes next gets what is new.
    spread(&producer, &numbered(&topic, 80..84));
    stage.inbox(&topic, "*").1.expect(80..84);
}

/// Per queue one at a time and in order; a suspended message comes again before what follows it.
pub fn orderly(stage: &Stage) {
    let topic = stage.topic(4);
    spread(&stage.producer(), &numbered(&topic, 0..80));
    let consumer = stage.push(&[("suspendCurrentQueueTimeMillis", "100")]);
    consumer.subscribe(&topic, "*").unwrap();
    let seen: Arc<Mutex<BTreeMap<i32, Vec<usize>>>> = Arc::default();
    let running: Arc<Mutex<BTreeSet<i32>>> = Arc::default();
    let told = seen.clone();
    consumer
        .listen_orderly(move |messages: &[StoredMessage], context: &OrderlyContext| {
            let queue = messages[0].queue_id;
            assert_eq!(context.queue().queue_id, queue);
            assert!(running.lock().unwrap().insert(queue), "two at a time in queue {queue}");
            std::thread::sleep(Duration::from_millis(1));
            let mut seen = told.lock().unwrap();
            let seen = seen.entry(queue).or_default();
            seen.extend(messages.iter().map(number));
            running.lock().unwrap().remove(&queue);
            // The third message of each queue fails twice.
            let third = 8 + queue as usize;
            match number(&messages[0]) == third && seen.iter().filter(|n| **n == third).count() < 3 {
                true => OrderlyStatus::SuspendCurrentQueue,
                false => OrderlyStatus::Success,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("all messages", || seen.lock().unwrap().values().map(Vec::len).sum::<usize>() >= 88);
    std::thread::sleep(SILENCE);
    for (queue, seen) in seen.lock().unwrap().iter() {
        let queue = *queue as usize;
        let mut expected: Vec<usize> = (0..20).map(|i| 4 * i + queue).collect();
        expected.splice(2..3, [8 + queue; 3]);
        assert_eq!(*seen, expected, "queue {queue}");
    }
}

pub fn one_by_one(stage: &Stage) {
    let topic = stage.topic(2);
    spread(&stage.producer(), &numbered(&topic, 0..10));
    let (consumer, inbox) = (stage.push(&[]), Inbox::default());
    consumer.subscribe(&topic, "*").unwrap();
    let into = inbox.clone();
    consumer
        .listen_one(move |message: &StoredMessage, _: &ConsumeContext| {
            into.add(std::slice::from_ref(message));
            Action::Commit
        })
        .unwrap();
    consumer.start().unwrap();
    inbox.expect(0..10);
}

/// Lists of several messages; after an index that is acknowledged the rest comes again.
pub fn in_batches(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..32));
    let consumer = stage.push(&[("consumeMessageBatchMaxSize", "8")]);
    consumer.subscribe(&topic, "*").unwrap();
    let (inbox, sizes) = (Inbox::default(), Arc::new(Mutex::new(Vec::new())));
    let (into, told) = (inbox.clone(), sizes.clone());
    consumer
        .listen(move |messages: &[StoredMessage], context: &ConsumeContext| {
            told.lock().unwrap().push(messages.len());
            into.add(messages);
            match messages.iter().position(|m| number(m) == 5 && m.reconsume_times == 0) {
                // A broker that is still at it may have handed out what comes before by itself.
                Some(0) => return ConsumeStatus::Later,
                Some(at) => context.set_ack_index(at - 1),
                None => {}
            }
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("all messages, the fifth again", || {
        let all = inbox.all();
        let again = all.iter().any(|m| number(m) == 5 && m.reconsume_times == 1);
        let distinct: BTreeSet<usize> = all.iter().map(number).collect();
        distinct.len() == 32 && again
    });
    let sizes = sizes.lock().unwrap();
    assert!(sizes.iter().all(|size| *size <= 8) && sizes.contains(&8), "{sizes:?}");
}

pub fn tags(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    // AaAa and BBBB have the same hash code, which is all that brokers compare.
    for (number, tag) in ["AaAa", "BBBB", "größe", "other", ""].iter().cycle().take(20).enumerate() {
        let message = Message::new(topic.as_str(), body(number));
        let message = if tag.is_empty() { message } else { message.with_tag(tag).unwrap() };
        producer.send(&message).unwrap();
    }
    let (_consumer, inbox) = stage.inbox(&topic, "AaAa || größe");
    inbox.expect_set(&[0, 2, 5, 7, 10, 12, 15, 17].into());
    assert_eq!(
        stage.push_at(&stage.client, "H", &[]).subscribe(&topic, "||").unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

pub fn sql(stage: &Stage) {
    let topic = stage.topic(2);
    let (consumer, inbox) = (stage.push(&[]), Inbox::default());
    consumer
        .subscribe_to(Subscription::sql(topic.as_str(), "a > 3 AND colour IN ('red', 'blue')").unwrap())
        .unwrap();
    inbox.listen(&consumer);
    let started = consumer.start();
    if !stage.world.supports.sql {
        let error = started.expect_err("the broker knows no SQL: it must say so");
        assert!(error.to_string().to_lowercase().contains("sql"), "{error}");
        return;
    }
    started.unwrap();
    let producer = stage.producer();
    for (number, (a, colour)) in
        [("4", "red"), ("5", "green"), ("3", "red"), ("10", "blue")].into_iter().enumerate()
    {
        let message = Message::new(topic.as_str(), body(number)).with_property("a", a).unwrap();
        producer.send(&message.with_property("colour", colour).unwrap()).unwrap();
    }
    inbox.expect_set(&[0, 3].into());
}

fn from(stage: &Stage, settings: &[(&str, &str)], expected: std::ops::Range<usize>) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    spread(&producer, &numbered(&topic, 0..10));
    // Whole seconds, as the setting has them, and both halves away from it.
    std::thread::sleep(Duration::from_millis(1100));
    let moment =
        stage.client.max_offset(&super::world::queues(&stage.client, &topic)[0]).map(|_| now_ms()).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    spread(&producer, &numbered(&topic, 10..20));
    let moment = moment.to_string();
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(k, v)| (*k, if *v == "MOMENT" { moment.as_str() } else { *v })).collect();
    let (consumer, inbox) = stage.inbox_at(&stage.client, "G", &topic, "*", &settings);
    eventually("the queues", || held(&consumer, &topic) == 2);
    inbox.expect_set(&expected.clone().collect());
    spread(&producer, &numbered(&topic, 20..30));
    inbox.expect_set(&expected.chain(20..30).collect());
}

fn now_ms() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()
}

pub fn from_first(stage: &Stage) {
    from(stage, &[("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET")], 0..20);
}

pub fn from_last(stage: &Stage) {
    // A broker that cannot say that there is no offset says 0 while the queue still begins there.
    let expected = if stage.world.supports.no_offset { 20..20 } else { 0..20 };
    from(stage, &[("consumeFromWhere", "CONSUME_FROM_LAST_OFFSET")], expected);
}

pub fn from_timestamp(stage: &Stage) {
    let expected = if stage.world.supports.no_offset { 10..20 } else { 0..20 };
    from(stage, &[("consumeFromWhere", "CONSUME_FROM_TIMESTAMP"), ("consumeTimestamp", "MOMENT")], expected);
}

/// Everybody gets everything; how far each came is kept in a file over a restart of the client.
pub fn broadcasting(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let named = |name: &str| {
        let mut options = super::world::quick();
        options.set("instanceName", name).unwrap();
        options.set("clientIP", "10.1.2.3").unwrap();
        (stage.world.open)(options).unwrap()
    };
    let join = |client| stage.inbox_at(client, "G", &topic, "*", &[("messageModel", "BROADCASTING")]);
    let (first, second) = (named("first"), named("second"));
    let ((one, into_one), (two, into_two)) = (join(&first), join(&second));
    eventually("all queues", || held(&one, &topic) == 2 && held(&two, &topic) == 2);
    spread(&producer, &numbered(&topic, 0..10));
    into_one.expect(0..10);
    into_two.expect(0..10);
    one.close().unwrap();
    first.close().unwrap();
    spread(&producer, &numbered(&topic, 10..20));
    into_two.expect(0..20);
    let again = named("first");
    let (_one, into_one) = join(&again);
    into_one.expect(10..20);
    let _ = two;
}
