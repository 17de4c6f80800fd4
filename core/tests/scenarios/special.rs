//! Delays, transactions, requests and replies, traces, namespaces.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::{
    ConsumeContext, ConsumeStatus, ErrorKind, Message, StoredMessage, TransactionListener, TransactionState,
};

use super::world::{
    body, create_topic, eventually, number, numbered, producer_options, quick, Inbox, Stage, SILENCE,
};

/// Level 2 takes two seconds, level 1 one.
pub fn delay_levels(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let (_consumer, inbox) = stage.inbox(&topic, "*");
    let start = Instant::now();
    for (number, level) in [(0, 0), (1, 1), (2, 2)] {
        let message = Message::new(topic.as_str(), body(number)).with_delay_level(level).unwrap();
        producer.send(&message).unwrap();
    }
    let first = inbox.await_count(1);
    assert_eq!(number(&first[0]), 0);
    eventually("the first delayed one", || inbox.all().iter().any(|message| number(message) == 1));
    assert!(start.elapsed() >= Duration::from_secs(1));
    eventually("the second delayed one", || inbox.all().iter().any(|message| number(message) == 2));
    assert!(start.elapsed() >= Duration::from_secs(2));
    for message in inbox.expect(0..3) {
        assert_eq!(message.topic, topic);
    }
}

/// Decides by the message's property now, and later by what it is told; what it has decided it says again, as a busy
/// broker may ask while the decision is under way.
struct Decider {
    later: TransactionState,
    checks: Arc<Mutex<Vec<usize>>>,
}

impl TransactionListener for Decider {
    fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState {
        assert!(!transaction_id.is_empty());
        decision(message.properties.get("decide"))
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        self.checks.lock().unwrap().push(number(message));
        match decision(message.properties.get("decide")) {
            TransactionState::Unknown => self.later,
            decided => decided,
        }
    }
}

fn decision(property: Option<&str>) -> TransactionState {
    match property {
        Some("commit") => TransactionState::Commit,
        Some("rollback") => TransactionState::Rollback,
        _ => TransactionState::Unknown,
    }
}

pub fn transactions(stage: &Stage) {
    let topic = stage.topic(2);
    let checks: Arc<Mutex<Vec<usize>>> = Arc::default();
    let producer = |group: &str, later| {
        let decider = Decider { later, checks: checks.clone() };
        stage.client.transaction_producer(producer_options(&stage.name(group), &[]), decider).unwrap()
    };
    let commits = producer("commits", TransactionState::Commit);
    let rolls_back = producer("rolls-back", TransactionState::Rollback);
    let message = |n: usize, decide: &str| {
        Message::new(topic.as_str(), body(n)).with_property("decide", decide).unwrap()
    };
    let delayed = message(9, "commit").with_delay_level(1).unwrap();
    assert_eq!(commits.send(&delayed).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let (_consumer, inbox) = stage.inbox(&topic, "*");
    assert_eq!(commits.send(&message(0, "commit")).unwrap().state, TransactionState::Commit);
    assert_eq!(commits.send(&message(1, "rollback")).unwrap().state, TransactionState::Rollback);
    let unknown = commits.send(&message(2, "unknown")).unwrap();
    assert_eq!(unknown.state, TransactionState::Unknown);
    rolls_back.send(&message(3, "unknown")).unwrap();
    eventually("both are asked for", || {
        let checks = checks.lock().unwrap();
        checks.contains(&2) && checks.contains(&3)
    });
    eventually("what was committed", || super::world::numbers(&inbox.all()) == [0, 2].into());
    std::thread::sleep(2 * SILENCE);
    let all = inbox.all();
    assert_eq!(super::world::numbers(&all), [0, 2].into());
    let late = all.iter().find(|message| number(message) == 2).unwrap();
    assert_eq!(late.message_id(), unknown.sent.message_id);
}

pub fn request_reply(stage: &Stage) {
    let topic = stage.topic(2);
    let answers = stage.producer();
    let consumer = stage.push(&[]);
    consumer.subscribe(&topic, "*").unwrap();
    consumer
        .listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            let answer = [b"re: ", &messages[0].body[..]].concat();
            match answers.reply(&messages[0], answer) {
                Ok(_) => ConsumeStatus::Success,
                Err(_) => ConsumeStatus::Later,
            }
        })
        .unwrap();
    consumer.start().unwrap();
    // A client of its own: Apache's brokers find nobody to pass replies on to once another producer of a client has left.
    let asking = stage.another();
    let asks = asking.producer_with(producer_options(&stage.name("asks"), &[])).unwrap();
    let question = Message::new(topic.as_str(), "hello");
    for _ in 0..5 {
        let reply = asks.request(&question, Duration::from_secs(20)).unwrap();
        assert_eq!(&reply.body[..], b"re: hello");
    }
    // Nobody answers there.
    let silent = stage.topic_named("silent", 1);
    let error = asks.request(&Message::new(silent, "hello"), Duration::from_millis(700)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// Every send and every call of a listener leaves a record in the trace topic, in Apache's form.
pub fn trace(stage: &Stage) {
    let (topic, traces) = (stage.topic(2), stage.topic_named("traces", 1));
    let settings = [("enableMsgTrace", "true"), ("customizedTraceTopic", traces.as_str())];
    let producer = stage.producer_with(&settings);
    let (_traces, records) = stage.inbox_at(&stage.client, "R", &traces, "*", &[]);
    let (_consumer, inbox) = stage.inbox_at(&stage.client, "G", &topic, "*", &settings);
    let sent = producer.send(&numbered(&topic, 0..1)[0]).unwrap();
    inbox.expect(0..1);
    let lines = || -> Vec<String> {
        let text = |message: &StoredMessage| String::from_utf8_lossy(&message.body).into_owned();
        let split = |text: String| text.split('\u{2}').map(str::to_owned).collect::<Vec<_>>();
        records
            .all()
            .iter()
            .map(text)
            .flat_map(split)
            .filter(|line| line.contains(&sent.message_id))
            .collect()
    };
    let kind = |line: &String| line.split('\u{1}').next().unwrap().to_owned();
    eventually("three records", || {
        let mut kinds: Vec<String> = lines().iter().map(kind).collect();
        kinds.sort();
        kinds == ["Pub", "SubAfter", "SubBefore"]
    });
    let lines = lines();
    let publish: Vec<&str> = lines.iter().find(|line| kind(line) == "Pub").unwrap().split('\u{1}').collect();
    assert_eq!(publish.len(), 14);
    assert_eq!((publish[4], publish[5], publish[7]), (topic.as_str(), sent.message_id.as_str(), "k-0"));
    assert_eq!((publish[12], publish[13]), (sent.offset_id.as_str(), "true"));
}

/// Two namespaces do not see each other; inside, names are short.
pub fn namespace(stage: &Stage) {
    let (topic, group) = (stage.name("T"), stage.name("G"));
    let (one, two) = (stage.name("one"), stage.name("two"));
    let mut inboxes = Vec::new();
    for space in [&one, &two] {
        create_topic(&stage.client, &format!("{space}%{topic}"), 1);
        let mut options = quick();
        options.set("namespace", space).unwrap();
        let client = (stage.world.open)(options).unwrap();
        let mut consumer = ferromq::ConsumerOptions::new(group.as_str());
        consumer.set("consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET").unwrap();
        let (consumer, inbox) = (client.push_consumer_with(consumer).unwrap(), Inbox::default());
        consumer.subscribe(&topic, "*").unwrap();
        inbox.listen(&consumer);
        consumer.start().unwrap();
        let sent = client
            .producer(&stage.name("P"))
            .unwrap()
            .send(&Message::new(topic.as_str(), space.clone()))
            .unwrap();
        assert_eq!(sent.queue.topic, topic);
        inboxes.push((client, consumer, inbox));
    }
    for ((_, _, inbox), space) in inboxes.iter().zip([&one, &two]) {
        inbox.await_count(1);
        std::thread::sleep(SILENCE);
        let all = inbox.all();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].topic.as_str(), &all[0].body[..]), (topic.as_str(), space.as_bytes()));
    }
}
