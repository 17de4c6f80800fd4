//! Producers: every way to send, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use ferromq::{ErrorKind, Message, MessageQueue, Selector, SendOptions, SendStatus, StoredMessage};

use super::world::{block_on, body, eventually, number, numbered, queues, take, Stage};

/// All of a topic's messages, pulled for oneself.
pub fn everything(stage: &Stage, topic: &str, count: usize) -> Vec<StoredMessage> {
    let consumer = stage.pull_at(&stage.client, &format!("reader-{topic}"), &[]);
    consumer.assign(&queues(&stage.client, topic)).unwrap();
    let all = take(&consumer, count);
    consumer.close().unwrap();
    assert_eq!(all.len(), count);
    all
}

pub fn sync(stage: &Stage) {
    let topic = stage.topic(4);
    let producer = stage.producer();
    let messages = numbered(&topic, 0..8);
    let sent: Vec<_> = messages.iter().map(|message| producer.send(message).unwrap()).collect();
    let mut per_queue = BTreeMap::new();
    for sent in &sent {
        assert_eq!(sent.status, SendStatus::Ok);
        *per_queue.entry(sent.queue.clone()).or_insert(0) += 1;
    }
    // In turn over all queues.
    assert_eq!(per_queue.values().collect::<Vec<_>>(), [&2; 4]);
    for message in everything(stage, &topic, 8) {
        let sent = &sent[number(&message)];
        assert_eq!(message.message_id(), sent.message_id);
        assert_eq!(message.offset_id, sent.offset_id);
        assert_eq!((message.queue_id, message.queue_offset), (sent.queue.queue_id, sent.queue_offset));
        assert_eq!(message.broker_name, sent.queue.broker_name);
        let line = sent.to_string();
        assert!(!line.contains('\n') && line.contains(&sent.message_id), "{line}");
    }
}

pub fn future(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let messages = numbered(&topic, 0..100);
    let under_way: Vec<_> = messages.iter().map(|message| producer.send_async(message)).collect();
    for future in under_way {
        assert_eq!(block_on(future).unwrap().status, SendStatus::Ok);
    }
    let all = everything(stage, &topic, 100);
    assert_eq!(all.iter().map(number).collect::<BTreeSet<_>>().len(), 100);
}

pub fn callback(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let (to, from) = mpsc::channel();
    for message in numbered(&topic, 0..100) {
        let to = to.clone();
        producer.send_callback(&message, &SendOptions::default(), move |result| to.send(result).unwrap());
    }
    drop(to);
    let mut ids = BTreeSet::new();
    for _ in 0..100 {
        ids.insert(from.recv_timeout(Duration::from_secs(60)).unwrap().unwrap().message_id);
    }
    // Each exactly once.
    assert_eq!(ids.len(), 100);
    assert!(from.recv_timeout(Duration::from_secs(5)).is_err());
    let all = everything(stage, &topic, 100);
    assert_eq!(all.iter().map(|m| m.message_id().to_owned()).collect::<BTreeSet<_>>(), ids);
}

pub fn oneway(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    for message in numbered(&topic, 0..20) {
        producer.send_oneway(&message).unwrap();
    }
    assert_eq!(everything(stage, &topic, 20).iter().map(number).collect::<BTreeSet<_>>(), (0..20).collect());
}

pub fn batch(stage: &Stage) {
    let topic = stage.topic(4);
    let producer = stage.producer();
    let sent = producer.send_batch(&numbered(&topic, 0..50)).unwrap();
    let all = everything(stage, &topic, 50);
    for message in &all {
        let number = number(message);
        assert_eq!(message.queue_id, sent.queue.queue_id);
        assert_eq!(message.queue_offset, sent.queue_offset + number as i64);
        assert_eq!(message.properties.get("KEYS"), Some(format!("k-{number}").as_str()));
    }
    let ids: BTreeSet<_> = all.iter().map(|message| message.message_id().to_owned()).collect();
    assert_eq!(ids.len(), 50);
    let by_number: BTreeMap<_, _> = all.iter().map(|message| (number(message), message)).collect();
    let told: Vec<_> = sent.message_ids().zip(sent.offset_ids()).collect();
    let stored: Vec<_> =
        by_number.values().map(|message| (message.message_id(), message.offset_id.as_str())).collect();
    assert_eq!(told, stored);
    let refused = |messages: &[Message]| {
        assert_eq!(producer.send_batch(messages).unwrap_err().kind(), ErrorKind::InvalidArgument);
    };
    refused(&[]);
    refused(&[Message::new(topic.as_str(), "a"), Message::new("other", "b")]);
    refused(&[Message::new(topic.as_str(), "a"), Message::new(topic.as_str(), "b").with_wait(false)]);
    refused(&[Message::new(topic.as_str(), "a").with_delay_level(1).unwrap()]);
}

/// More than fits into one frame is sent in several.
pub fn split(stage: &Stage) {
    let topic = stage.topic(1);
    let producer =
        stage.producer_with(&[("maxMessageSize", "100000"), ("compressMsgBodyOverHowmuch", "1000000")]);
    let filler = "x".repeat(3000);
    let messages: Vec<_> = (0..100)
        .map(|i| {
            Message::new(topic.as_str(), filler.clone()).with_property("number", &i.to_string()).unwrap()
        })
        .collect();
    let parts = producer.split(&messages).count();
    assert!((4..=5).contains(&parts), "{parts} parts");
    assert_eq!(producer.send_batch(&messages).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(producer.send_split(&messages).unwrap().len(), parts);
    let all = everything(stage, &topic, 100);
    let order: Vec<usize> =
        all.iter().map(|message| message.properties.get("number").unwrap().parse().unwrap()).collect();
    assert_eq!(order, (0..100).collect::<Vec<_>>());
}

pub fn selectors(stage: &Stage) {
    let topic = stage.topic(8);
    let producer = stage.producer();
    let message = Message::new(topic.as_str(), "x");
    let to = |selector: Selector| {
        producer.send_with(&message, &SendOptions::default().with_selector(selector)).unwrap().queue
    };
    // The queue that Java's clients choose: the hash code of the argument modulo the queues.
    assert_eq!(
        to(Selector::ByHash("order-1".into())).queue_id,
        (java_hash("order-1").unsigned_abs() % 8) as i32
    );
    assert_eq!(to(Selector::ByHash("größe".into())), to(Selector::ByHash("größe".into())));
    let random: BTreeSet<i32> = (0..60).map(|_| to(Selector::ByRandom).queue_id).collect();
    assert!(random.len() > 3, "{random:?}");
    let own = Selector::own(|queues: &[MessageQueue], _: &Message| {
        queues.iter().position(|queue| queue.queue_id == 5).unwrap()
    });
    assert_eq!(to(own).queue_id, 5);
    let third = queues(&stage.client, &topic)[3].clone();
    let sent = producer.send_with(&message, &SendOptions::default().with_queue(third.clone())).unwrap();
    assert_eq!(sent.queue, third);
    let beyond = Selector::own(|queues: &[MessageQueue], _: &Message| queues.len());
    let refused = producer.send_with(&message, &SendOptions::default().with_selector(beyond));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Messages of one business key stay in order.
pub fn sharding_key(stage: &Stage) {
    let topic = stage.topic(8);
    let producer = stage.producer();
    for step in 0..4 {
        for order in 0..10 {
            let message = Message::new(topic.as_str(), body(step * 10 + order));
            let to = SendOptions::default().with_sharding_key(format!("order-{order}"));
            producer.send_with(&message, &to).unwrap();
        }
    }
    let mut steps: BTreeMap<usize, Vec<(i32, i64, usize)>> = BTreeMap::new();
    for message in everything(stage, &topic, 40) {
        let number = number(&message);
        let place = (message.queue_id, message.queue_offset, number / 10);
        steps.entry(number % 10).or_default().push(place);
    }
    for (order, mut places) in steps {
        places.sort_unstable();
        assert!(places.iter().all(|place| place.0 == places[0].0), "order {order} is in several queues");
        assert_eq!(places.iter().map(|place| place.2).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

/// Everything a message can say arrives, byte for byte.
pub fn fields(stage: &Stage) {
    let topic = stage.topic(1);
    let producer = stage.producer();
    let bytes: Vec<u8> = (0..=255).collect();
    let message = Message::new(topic.as_str(), bytes.clone())
        .with_tag("Tag ü")
        .and_then(|m| m.with_key("order-1"))
        .and_then(|m| m.with_key("user-2"))
        .and_then(|m| m.with_property("colour", "größe = \"5\" 你好"))
        .unwrap()
        .with_flag(-7);
    let sent = producer.send(&message).unwrap();
    let got = everything(stage, &topic, 1).remove(0);
    assert_eq!((got.topic.as_str(), &got.body[..], got.flag), (topic.as_str(), &bytes[..], -7));
    assert_eq!((got.tag(), got.keys().collect::<Vec<_>>()), (Some("Tag ü"), vec!["order-1", "user-2"]));
    assert_eq!(got.user_properties().collect::<Vec<_>>(), [("colour", "größe = \"5\" 你好")]);
    assert_eq!((got.message_id(), got.reconsume_times), (sent.message_id.as_str(), 0));
    assert!(got.born_timestamp > 0 && got.store_timestamp >= got.born_timestamp - 60_000);
}

pub fn compression(stage: &Stage) {
    let topic = stage.topic(1);
    let text = "queue offset message broker ".repeat(500);
    let kinds = if stage.world.supports.all_compressions { &["ZLIB", "LZ4", "ZSTD"][..] } else { &["ZLIB"] };
    for kind in kinds {
        let producer = stage.producer_with(&[("compressType", kind)]);
        producer.send(&Message::new(topic.as_str(), format!("{kind} {text}"))).unwrap();
        producer.close().unwrap();
    }
    let all = everything(stage, &topic, kinds.len());
    for (message, kind) in all.iter().zip(kinds) {
        assert!(message.body == format!("{kind} {text}"), "{kind}");
        // It was stored compressed.
        assert_eq!(message.sys_flag & 1, 1, "{kind}");
    }
}

pub fn big(stage: &Stage) {
    let topic = stage.topic(1);
    let producer = stage.producer_with(&[("compressMsgBodyOverHowmuch", "8000000")]);
    let bytes: Vec<u8> = (0..3_900_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    producer.send(&Message::new(topic.as_str(), bytes.clone())).unwrap();
    let error = producer.send(&Message::new(topic.as_str(), vec![0; 4_194_305])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("4194304"), "{error}");
    assert!(everything(stage, &topic, 1)[0].body == bytes);
}

/// What cannot be sent is refused before anything leaves.
pub fn refused(stage: &Stage) {
    let producer = stage.producer();
    for message in [
        Message::default(),
        Message::new("", "body"),
        Message::new("a topic with blanks", "body"),
        Message::new("t".repeat(300), "body"),
        Message::new(stage.name("T"), ""),
    ] {
        let error = producer.send(&message).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    producer.close().unwrap();
    let error = producer.send(&Message::new(stage.name("T"), "x")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

/// A message is found by each of its ids and by its keys.
pub fn ids_and_keys(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let sent = producer.send(&Message::new(topic.as_str(), body(1)).with_key("order-77").unwrap()).unwrap();
    producer.send(&Message::new(topic.as_str(), body(2)).with_key("order-78").unwrap()).unwrap();
    assert_eq!(number(&stage.client.message_by_id(&sent.offset_id).unwrap()), 1);
    eventually("the message by its unique id", || {
        let found = stage.client.message_by_unique_key(&topic, &sent.message_id);
        found.is_ok_and(|message| number(&message) == 1)
    });
    eventually("the message by its key", || {
        let found = stage.client.messages_by_key(&topic, "order-77", 10, 0, i64::MAX);
        found.is_ok_and(|found| found.iter().map(number).collect::<Vec<_>>() == [1])
    });
    assert!(stage
        .client
        .message_by_unique_key(&topic, "FD000000000000000000000000000002F09D4E0E2F2A6A2DB6000028")
        .is_err());
}
