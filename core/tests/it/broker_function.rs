//! Filter functions: WebAssembly modules that users upload for a group and a topic.

use ferromq::wire::{PullMessage, RegisterMessageFilterClass, Request, ResponseCode};
use ferromq::{ErrorKind, Message, OpenOptions, Subscription};

use crate::support::{pull, start_server, Answer, RawClient};

/// Takes bodies that begin with `y`; see the text beside it.
const MODULE: &[u8] = include_bytes!("../fixtures/filter/function.wasm");
const ON: &str = "enableFilterFunction=true\nenablePropertyFilter=true";

fn register(client: &mut RawClient, topic: &str, group: &str, module: &[u8]) -> Answer {
    client.call(&Request::RegisterMessageFilterClass(RegisterMessageFilterClass {
        consumer_group: group.into(),
        topic: topic.into(),
        class_name: "test".into(),
        class_crc: 0,
        body: module,
    }))
}

fn got(client: &mut RawClient, request: PullMessage<'_>) -> Vec<String> {
    let answer = client.call(&Request::PullMessage(request));
    answer.records().into_iter().map(|one| String::from_utf8(one.body).unwrap()).collect()
}

#[test]
fn a_groups_function_chooses_what_tags_and_sql_leave() {
    let mut server = start_server(ON);
    let mut client = server.broker();
    for (body, properties) in [("yes", "a=1 TAGS=A"), ("no", "a=1 TAGS=A"), ("yes 2", "a=2 TAGS=B")] {
        client.produce("T", 0, body.as_bytes(), properties).ok();
    }
    register(&mut client, "T", "G", MODULE).ok();
    for _ in 0..2 {
        assert_eq!(got(&mut client, pull("G", "T", 0, 0, 0)), ["yes", "yes 2"]);
        assert_eq!(got(&mut client, pull("Other", "T", 0, 0, 0)), ["yes", "no", "yes 2"]);
        let tagged = PullMessage { subscription: Some("A".into()), ..pull("G", "T", 0, 0, 0) };
        assert_eq!(got(&mut client, tagged), ["yes"]);
        let sql = PullMessage {
            subscription: Some("a > 1".into()),
            expression_type: Some("SQL92".into()),
            ..pull("G", "T", 0, 0, 0)
        };
        assert_eq!(got(&mut client, sql), ["yes 2"]);
        // It is there again after a restart.
        server.restart();
        client = server.broker();
    }
    register(&mut client, "T", "G", b"").ok();
    assert_eq!(got(&mut client, pull("G", "T", 0, 0, 0)).len(), 3);
}

#[test]
fn what_cannot_be_a_function_is_refused_and_changes_nothing() {
    let server = start_server(ON);
    let mut client = server.broker();
    client.produce("T", 0, b"no", "").ok();
    register(&mut client, "T", "G", MODULE).ok();
    let wrong = Request::RegisterMessageFilterClass(RegisterMessageFilterClass {
        consumer_group: "G".into(),
        topic: "T".into(),
        class_crc: 7,
        body: MODULE,
        ..Default::default()
    });
    let refusals = [
        (
            register(&mut client, "T", "G", b"public class F {}"),
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            "module",
        ),
        (register(&mut client, "Nowhere", "G", MODULE), ResponseCode::TOPIC_NOT_EXIST, "Nowhere"),
        (client.call(&wrong), ResponseCode::INVALID_PARAMETER, "classCRC is 7"),
        (
            register(&mut client, "T", "G", &vec![0; 600_000]),
            ResponseCode::SUBSCRIPTION_PARSE_FAILED,
            "allowed are 524288",
        ),
    ];
    for (answer, code, named) in refusals {
        assert_eq!(answer.code(), code, "{}", answer.remark());
        assert!(answer.remark().contains(named), "{}", answer.remark());
    }
    assert!(got(&mut client, pull("G", "T", 0, 0, 0)).is_empty(), "the first one still filters");
    for group in 0..63 {
        register(&mut client, "T", &format!("G{group}"), MODULE).ok();
    }
    let one_too_many = register(&mut client, "T", "H", MODULE);
    assert_eq!(one_too_many.code(), ResponseCode::SYSTEM_ERROR, "{}", one_too_many.remark());
    register(&mut client, "T", "G", MODULE).ok();

    let off = start_server("");
    let answer = register(&mut off.broker(), "T", "G", MODULE);
    assert_eq!(answer.code(), ResponseCode::NO_PERMISSION);
    assert!(answer.remark().contains("enableFilterFunction=true"), "{}", answer.remark());
}

#[test]
fn runaway_code_is_stopped_and_loses_no_message() {
    let server = start_server(ON);
    let mut client = server.broker();
    // Each of these runs for ever or fails, so each is delivered; what the function refuses properly is not.
    for body in ["loop", "no", "trap", "memory", "yes"] {
        client.produce("T", 0, body.as_bytes(), "").ok();
    }
    register(&mut client, "T", "G", MODULE).ok();
    // Several pulls: one ends when the function has taken too long.
    let bodies: Vec<_> = client.pull_all("T", 0, 0).into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [&b"loop"[..], b"trap", b"memory", b"yes"]);
    // One that does nothing but fail is not asked any more, until there is another one.
    for _ in 0..20 {
        client.produce("U", 0, b"loop", "").ok();
    }
    client.produce("U", 0, b"no", "").ok();
    register(&mut client, "U", "G", MODULE).ok();
    assert_eq!(client.pull_all("U", 0, 0).len(), 21);
    register(&mut client, "U", "G", MODULE).ok();
    assert!(client.pull_all("U", 0, 20).is_empty());
}

#[test]
fn programs_upload_functions_too() {
    let mut options = OpenOptions::memory();
    options.broker.set("enableFilterFunction", "true").unwrap();
    let mq = ferromq::open_with(options).unwrap();
    mq.create_topic("T", 1).unwrap();
    mq.set_filter_function("T", "G", "yes", MODULE).unwrap();
    let error = mq.set_filter_function("T", "G", "no", b"nothing").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    let producer = mq.producer("P").unwrap();
    for (n, body) in ["yes 0", "no 1", "yes 2", "yes 3"].iter().enumerate() {
        let message = Message::new("T", *body).with_property("n", &n.to_string()).unwrap();
        producer.send(&message).unwrap();
    }
    let mut options = ferromq::ConsumerOptions::new("G");
    options.consume_from_where = ferromq::StartFrom::First;
    let consumer = mq.consumer_with(options).unwrap();
    consumer.subscribe_to(Subscription::sql("T", "n < 3").unwrap()).unwrap();
    consumer.start().unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let polled = consumer.poll(std::time::Duration::from_secs(30)).unwrap();
        bodies.extend(polled.iter().map(|message| message.body.to_vec()));
    }
    assert_eq!(bodies, [b"yes 0", b"yes 2"]);
    mq.close().unwrap();
}
