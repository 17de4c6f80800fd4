//! SQL92 at the broker: what is delivered, to whom, and what a wrong expression is answered with.

use ferromq::wire::body::{CheckClientRequestBody, ConsumerData, HeartbeatData, SubscriptionData};
use ferromq::wire::{CheckClientConfig, HeartBeat, PullMessage, Request, ResponseCode, UnregisterClient};

use crate::support::{pull, send_back, start_server, Answer, RawClient};

const ON: &str = "enablePropertyFilter=true";

fn subscription(topic: &str, expression_type: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.into(),
        sub_string: expression.into(),
        sub_version: version,
        expression_type: expression_type.into(),
        ..Default::default()
    }
}

/// A member of `group` says what it wants. Answers that the group changed are read over.
fn subscribe(client: &mut RawClient, group: &str, subscriptions: Vec<SubscriptionData>) {
    let consumer = ConsumerData {
        group_name: group.into(),
        consume_type: "CONSUME_PASSIVELY".into(),
        message_model: "CLUSTERING".into(),
        consume_from_where: "CONSUME_FROM_LAST_OFFSET".into(),
        subscription_data_set: subscriptions,
        ..Default::default()
    };
    let consumer_data_set = vec![consumer];
    let body = HeartbeatData { client_id: format!("of-{group}"), consumer_data_set, ..Default::default() };
    let opaque = client.send(&Request::HeartBeat(HeartBeat { body }));
    loop {
        let answer = client.receive();
        if !answer.frame().is_oneway() && answer.frame().opaque == opaque {
            answer.ok();
            return;
        }
    }
}

fn sql<'a>(group: &'a str, topic: &'a str, expression: &'a str, hold_ms: i64) -> PullMessage<'a> {
    PullMessage {
        subscription: Some(expression.into()),
        expression_type: Some("SQL92".into()),
        ..pull(group, topic, 0, 0, hold_ms)
    }
}

/// A pull that relies on the heartbeat.
fn subscribed<'a>(group: &'a str, topic: &'a str, version: i64) -> PullMessage<'a> {
    PullMessage { sys_flag: 0, subscription: None, sub_version: version, ..pull(group, topic, 0, 0, 0) }
}

fn bodies(answer: &Answer) -> Vec<String> {
    answer.records().into_iter().map(|one| String::from_utf8(one.body).unwrap()).collect()
}

fn call(client: &mut RawClient, request: PullMessage<'_>) -> Answer {
    client.call(&Request::PullMessage(request))
}

fn check(client: &mut RawClient, subscription: SubscriptionData) -> Answer {
    let body =
        CheckClientRequestBody { client_id: "c".into(), group: "G".into(), subscription_data: subscription };
    client.call(&Request::CheckClientConfig(CheckClientConfig { body }))
}

#[test]
fn messages_are_chosen_by_their_properties() {
    let server = start_server(ON);
    let mut client = server.broker();
    for a in 0..10 {
        client.produce("T", 0, a.to_string().as_bytes(), &format!("a={a} TAGS=Odd{} KEYS=k{a}", a % 2)).ok();
    }
    client.produce("T", 0, b"none", "b=1").ok();
    client.produce("T", 0, b"text", "a=three").ok();
    let cases: [(&str, &[&str]); 6] = [
        ("a between 0 and 3", &["0", "1", "2", "3"]),
        ("a > 6 AND TAGS = 'Odd1'", &["7", "9"]),
        ("KEYS IN ('k2', 'k5')", &["2", "5"]),
        ("a IS NULL", &["none"]),
        ("a = 'three' OR b = 1", &["none", "text"]),
        ("a < 0 OR a > 100", &[]),
    ];
    for (expression, expected) in cases {
        let answer = call(&mut client, sql("G", "T", expression, 0));
        match expected {
            [] => assert_eq!(answer.code(), ResponseCode::PULL_RETRY_IMMEDIATELY, "{}", answer.remark()),
            _ => assert_eq!(bodies(&answer.clone().ok()), expected, "{expression}"),
        }
        assert_eq!(answer.pulled().next_begin_offset, 12, "{expression}");
    }
    let by_tag = PullMessage { subscription: Some("Odd0".into()), ..pull("G", "T", 0, 0, 0) };
    assert_eq!(bodies(&call(&mut client, by_tag).ok()), ["0", "2", "4", "6", "8"], "tags work as well");
}

#[test]
fn each_group_gets_its_own_set() {
    let server = start_server(ON);
    let (mut one, mut two) = (server.broker(), server.broker());
    for a in 0..6 {
        one.produce("T", 0, a.to_string().as_bytes(), &format!("a={a}")).ok();
    }
    subscribe(&mut one, "One", vec![subscription("T", "SQL92", "a < 2", 5)]);
    subscribe(&mut two, "Two", vec![subscription("T", "SQL92", "a >= 2 AND a <> 4", 5)]);
    assert_eq!(bodies(&call(&mut one, subscribed("One", "T", 5)).ok()), ["0", "1"]);
    assert_eq!(bodies(&call(&mut two, subscribed("Two", "T", 5)).ok()), ["2", "3", "5"]);
    // A newer subscription takes the old one's place; the pull tells which one it means.
    let newer = call(&mut one, subscribed("One", "T", 6));
    assert_eq!(newer.code(), ResponseCode::SUBSCRIPTION_NOT_LATEST);
    subscribe(&mut one, "One", vec![subscription("T", "SQL92", "a = 4", 6)]);
    assert_eq!(bodies(&call(&mut one, subscribed("One", "T", 6)).ok()), ["4"]);
}

#[test]
fn wrong_expressions_are_refused_with_place_and_reason() {
    let server = start_server(ON);
    let mut client = server.broker();
    client.create_topic("T", 1);
    let wrong = "a > 5 AND b = \"x\"";
    let refusals = [
        call(&mut client, sql("G", "T", wrong, 0)),
        check(&mut client, subscription("T", "SQL92", wrong, 1)),
    ];
    for answer in refusals {
        assert_eq!(answer.code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
        assert!(answer.remark().contains("column 15: "), "{}", answer.remark());
    }
    check(&mut client, subscription("T", "SQL92", "a > 5", 1)).ok();
    check(&mut client, subscription("T", "TAG", "A || B", 1)).ok();
    check(&mut client, subscription("T", "", "*", 1)).ok();
    assert_eq!(
        check(&mut client, subscription("T", "TAG", "||", 1)).code(),
        ResponseCode::SUBSCRIPTION_PARSE_FAILED
    );
    let unknown = check(&mut client, subscription("T", "XPATH", "//a", 1));
    assert_eq!(unknown.code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
    assert!(unknown.remark().contains("XPATH"), "{}", unknown.remark());
    let nested = "(".repeat(10_000) + "a = 1" + &")".repeat(10_000);
    let nested = check(&mut client, subscription("T", "SQL92", &nested, 1));
    assert_eq!(nested.code(), ResponseCode::SUBSCRIPTION_PARSE_FAILED);
    assert!(nested.remark().contains("more than 1000"), "{}", nested.remark());
    // A heartbeat is never refused; the pull that relies on it is.
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a >", 1)]);
    let answer = call(&mut client, subscribed("G", "T", 1));
    assert_eq!(answer.code(), ResponseCode::FILTER_DATA_NOT_EXIST);
    assert!(answer.remark().contains("column 4: "), "{}", answer.remark());
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 2)]);
    assert_eq!(call(&mut client, subscribed("G", "T", 2)).code(), ResponseCode::PULL_NOT_FOUND);
}

/// What a group wanted before does not count once all its members have left.
#[test]
fn a_group_that_comes_again_is_asked_again() {
    let server = start_server(ON);
    let mut client = server.broker();
    client.produce("T", 0, b"two", "a=2").ok();
    client.produce("T", 0, b"three", "a=3").ok();
    for (expression, version, expected) in [("a > 1", 5, &["two", "three"][..]), ("a > 2", 4, &["three"])] {
        subscribe(&mut client, "G", vec![subscription("T", "SQL92", expression, version)]);
        assert_eq!(bodies(&call(&mut client, subscribed("G", "T", version)).ok()), expected);
        let goodbye = UnregisterClient {
            client_id: "of-G".into(),
            consumer_group: Some("G".into()),
            ..Default::default()
        };
        client.call(&Request::UnregisterClient(goodbye)).ok();
    }
}

/// Members that subscribe by tags and by SQL at the same time can leave a filter that is older than the subscription: who
/// pulls by the newer one is told so, and what it says next helps.
#[test]
fn a_filter_that_is_older_than_the_pulls_is_told_of() {
    let server = start_server(ON);
    let mut client = server.broker();
    client.produce("T", 0, b"two", "a=2").ok();
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 5)]);
    subscribe(&mut client, "G", vec![subscription("T", "TAG", "*", 4)]);
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 3)]);
    let answer = call(&mut client, subscribed("G", "T", 5));
    assert_eq!(answer.code(), ResponseCode::FILTER_DATA_NOT_LATEST);
    assert_eq!(answer.remark(), "the consumer's consumer filter data not latest");
    assert_eq!(bodies(&call(&mut client, subscribed("G", "T", 3)).ok()), ["two"]);
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 5)]);
    assert_eq!(bodies(&call(&mut client, subscribed("G", "T", 5)).ok()), ["two"]);
}

#[test]
fn nothing_but_tags_unless_it_is_switched_on() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("T", 0, b"x", "a=6 TAGS=A").ok();
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 5", 1)]);
    let refusals = [
        call(&mut client, sql("G", "T", "a > 5", 0)),
        call(&mut client, subscribed("G", "T", 1)),
        check(&mut client, subscription("T", "SQL92", "a > 5", 1)),
    ];
    for answer in refusals {
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        let text = "The broker does not support consumer to filter message by SQL92";
        assert!(answer.remark().starts_with(text), "{}", answer.remark());
        assert!(answer.remark().contains("enablePropertyFilter=true"), "{}", answer.remark());
    }
    let by_tag = PullMessage { subscription: Some("A".into()), ..pull("G", "T", 0, 0, 0) };
    assert_eq!(bodies(&call(&mut client, by_tag).ok()), ["x"]);
}

#[test]
fn a_pull_looks_at_a_bounded_number_of_messages() {
    let server = start_server("enablePropertyFilter=true\nmaxFilterMessageSize=1000");
    let mut client = server.broker();
    for a in 0..120 {
        client.produce("T", 0, b"x", &format!("a={a}")).ok();
    }
    let mut offset = 0;
    let mut answers = Vec::new();
    let last = loop {
        let request = PullMessage { queue_offset: offset, ..sql("G", "T", "a = 119", 0) };
        let answer = call(&mut client, request);
        offset = answer.pulled().next_begin_offset;
        if answer.code() != ResponseCode::PULL_RETRY_IMMEDIATELY {
            break answer.ok();
        }
        answers.push(offset);
    };
    // 1000 bytes are 50 entries; on a busy machine the bound in time may come before.
    assert!(answers.len() >= 2, "{answers:?}");
    let ends = std::iter::once(0).chain(answers.iter().copied());
    assert!(ends.zip(&answers).all(|(from, to)| (1..=50).contains(&(to - from))), "{answers:?}");
    assert_eq!(last.records()[0].queue_offset, 119);
}

#[test]
fn a_waiting_pull_gets_the_message_that_passes() {
    let server = start_server(ON);
    let (mut consumer, mut producer) = (server.broker(), server.broker());
    producer.create_topic("T", 1);
    let mut offset = 0;
    for round in 1..=20 {
        let mut got = Vec::new();
        let mut sent = false;
        while got.is_empty() {
            let request = PullMessage { queue_offset: offset, ..sql("G", "T", "a > 5", 20_000) };
            consumer.send(&Request::PullMessage(request));
            if !sent {
                for (a, body) in [("1", "low"), ("x", "text"), ("6", "high")] {
                    producer.produce("T", 0, body.as_bytes(), &format!("a={a}")).ok();
                }
                sent = true;
            }
            let answer = consumer.receive();
            got = bodies(&answer);
            offset = answer.pulled().next_begin_offset;
        }
        assert_eq!(got, ["high"], "round {round}");
        assert_eq!(offset, round * 3);
    }
}

/// Clients subscribe to retry topics by `*`; who subscribes by SQL gets what the group wants of the original topic.
#[test]
fn retries_are_filtered_like_their_topic_if_that_is_set() {
    for (settings, expected) in [(ON, 2), ("enablePropertyFilter=true\nfilterSupportRetry=true", 1)] {
        let server = start_server(&format!("{settings}\nmessageDelayLevel=1s 1s 1s 1s"));
        let mut client = server.broker();
        client.produce("T", 0, b"one", "a=1").ok();
        client.produce("T", 0, b"two", "a=2").ok();
        let retry = subscription("%RETRY%G", "SQL92", "a > 0", 1);
        subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 1), retry]);
        for received in client.pull_all("T", 0, 0) {
            client.call(&send_back("G", &received, 1)).ok();
        }
        server.pass(2);
        client.await_messages("%RETRY%G", 0, 2);
        let answer = call(&mut client, subscribed("G", "%RETRY%G", 1)).ok();
        assert_eq!(answer.records().len(), expected, "{settings}");
    }
}

#[test]
fn filters_are_kept_in_a_file() {
    let mut server = start_server(ON);
    let mut client = server.broker();
    client.produce("T", 0, b"x", "a=2").ok();
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 7)]);
    server.restart();
    let path = server.data().join("config/consumerFilter.json");
    let text = std::fs::read_to_string(path).unwrap();
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let filter = &table["filterDataByTopic"]["T"]["groupFilterData"]["G"];
    assert_eq!((&filter["expression"], &filter["clientVersion"]), (&"a > 1".into(), &7.into()));
    assert_eq!(filter["bloomFilterData"]["bitNum"], 112);
    let mut client = server.broker();
    subscribe(&mut client, "G", vec![subscription("T", "SQL92", "a > 1", 7)]);
    assert_eq!(bodies(&call(&mut client, subscribed("G", "T", 7)).ok()), ["x"]);
}
