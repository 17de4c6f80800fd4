//! Requests and replies as frames: a reply finds the client that asked.

use ferromq::wire::body::{HeartbeatData, ProducerData};
use ferromq::wire::{
    Encoding, HeartBeat, Request, RequestCode, Response, ResponseCode, SendForm, SendMessage,
    UnregisterClient,
};

use crate::support::{message, start_server, Answer, RawClient, TestServer};

const TOPIC: &str = "DefaultCluster_REPLY_TOPIC";

fn asking(server: &TestServer, client_id: &str, groups: &[&str]) -> RawClient {
    let producers = groups.iter().map(|group| ProducerData { group_name: group.to_string() }).collect();
    let body =
        HeartbeatData { client_id: client_id.into(), producer_data_set: producers, ..Default::default() };
    let mut client = server.broker();
    client.call(&Request::HeartBeat(HeartBeat { body })).ok();
    client
}

fn reply<'a>(form: SendForm, properties: &str) -> Request<'a> {
    let mut send: SendMessage<'a> = message(TOPIC, 0, b"answer", properties);
    send.form = form;
    Request::SendReplyMessage(send)
}

/// Receives the reply that is passed on, and confirms it with `code`.
fn confirm(client: &mut RawClient, code: ResponseCode) -> Answer {
    let push = client.receive();
    let frame = push.frame();
    assert_eq!((frame.code, frame.is_oneway()), (RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT.0, false));
    let mut out = Vec::new();
    let response = if code == ResponseCode::SUCCESS { Response::ok() } else { Response::error(code, "no") };
    response.encode(Encoding::Json, frame.opaque, &mut out);
    client.write(&out);
    push
}

#[test]
fn a_reply_goes_to_the_client_that_asked_and_is_kept() {
    let server = start_server("");
    let mut replying = server.broker();
    let mut others = asking(&server, "other@1", &["Asks"]);
    let mut client = asking(&server, "me@1", &["Asks", "AsksToo"]);
    for (n, form) in [SendForm::ReplyV2, SendForm::Reply].into_iter().enumerate() {
        let opaque =
            replying.send(&reply(form, "CORRELATION_ID=7 REPLY_TO_CLIENT=me@1 TTL=3000 MSG_TYPE=reply"));
        let push = confirm(&mut client, ResponseCode::SUCCESS);
        assert_eq!(push.frame().body, b"answer");
        let properties = push.field("properties");
        assert!(properties.contains("CORRELATION_ID\u{1}7\u{2}") && properties.contains("PUSH_REPLY_TIME"));
        assert_eq!((push.field("topic").as_str(), push.field("producerGroup").as_str()), (TOPIC, "PG"));
        assert!(push.field("bornHost").starts_with("127.0.0.1:"));
        let answer = replying.receive().ok();
        assert_eq!((answer.frame().opaque, answer.queue_offset()), (opaque, n as i64));
        assert_eq!(answer.field("msgId").len(), 32);
    }
    assert_eq!(replying.pull_all(TOPIC, 0, 0).len(), 2);
    // A producer of the client leaves; the client is still there.
    let goodbye = UnregisterClient {
        client_id: "me@1".into(),
        producer_group: Some("Asks".into()),
        ..Default::default()
    };
    client.call(&Request::UnregisterClient(goodbye)).ok();
    replying.send(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1"));
    confirm(&mut client, ResponseCode::SUCCESS);
    replying.receive().ok();
    others.pull("NoSuchTopic", 0, 0);
}

#[test]
fn a_reply_that_reaches_nobody_says_so() {
    let server = start_server("");
    let mut replying = server.broker();
    let mut refused = |properties: &str, why: &str| {
        let answer = replying.call(&reply(SendForm::ReplyV2, properties));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().contains(why), "{}", answer.remark());
    };
    refused("CORRELATION_ID=7", "REPLY_TO_CLIENT] is null");
    refused("REPLY_TO_CLIENT=nobody@1", "channel of <nobody@1> not found");
    let client = asking(&server, "gone@1", &["Asks"]);
    drop(client);
    refused("REPLY_TO_CLIENT=gone@1", "gone@1");
    let mut client = asking(&server, "me@1", &["Asks"]);
    // What clients do not take, or do not live to take.
    replying.send(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1"));
    confirm(&mut client, ResponseCode::SYSTEM_ERROR);
    assert_eq!(replying.receive().code(), ResponseCode::SYSTEM_ERROR);
    replying.send(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1"));
    assert_eq!(client.receive().frame().code, RequestCode::PUSH_REPLY_MESSAGE_TO_CLIENT.0);
    drop(client);
    assert_eq!(replying.receive().code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(replying.pull_all(TOPIC, 0, 0).len(), 5, "each is kept all the same");
}

#[test]
fn a_reply_that_is_answered_is_on_the_disk_and_its_topic_in_the_table() {
    let server = start_server("flushDiskType=SYNC_FLUSH");
    let mut replying = server.broker();
    let mut client = asking(&server, "me@1", &["Asks"]);
    for n in 0..20 {
        let topic = format!("Replies{n}");
        let Request::SendReplyMessage(mut send) = reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1") else {
            unreachable!()
        };
        send.topic = topic.as_str().into();
        replying.send(&Request::SendReplyMessage(send));
        confirm(&mut client, ResponseCode::SUCCESS);
        replying.receive().ok();
        // A record is seen once it is flushed.
        assert_eq!(replying.pull_all(&topic, 0, 0).len(), 1, "{topic}");
        let table = std::fs::read_to_string(server.data().join("config/topics.json")).unwrap();
        assert!(table.contains(&format!("\"{topic}\"")), "{table}");
    }
}

#[test]
fn a_connection_is_one_clients_whatever_its_heartbeats_say() {
    let server = start_server("");
    let mut replying = server.broker();
    let mut client = asking(&server, "first@1", &["Asks"]);
    let body = HeartbeatData {
        client_id: "second@1".into(),
        producer_data_set: vec![ProducerData { group_name: "Asks".into() }],
        ..Default::default()
    };
    client.call(&Request::HeartBeat(HeartBeat { body })).ok();
    let answer = replying.call(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=first@1"));
    assert!(answer.remark().contains("channel of <first@1> not found"), "{}", answer.remark());
    replying.send(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=second@1"));
    confirm(&mut client, ResponseCode::SUCCESS);
    replying.receive().ok();
}

#[test]
fn replies_are_only_passed_on_if_they_are_not_to_be_kept() {
    let server = start_server("storeReplyMessageEnable=false");
    let mut replying = server.broker();
    let mut client = asking(&server, "me@1", &["Asks"]);
    replying.send(&reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1"));
    confirm(&mut client, ResponseCode::SUCCESS);
    assert_eq!(replying.receive().ok().field("msgId"), "0");
    assert!(replying.pull_all(TOPIC, 0, 0).is_empty());
    let Request::SendReplyMessage(mut unknown) = reply(SendForm::ReplyV2, "REPLY_TO_CLIENT=me@1") else {
        unreachable!()
    };
    (unknown.topic, unknown.default_topic) = ("NoSuchTopic".into(), "NoTemplate".into());
    let answer = replying.call(&Request::SendReplyMessage(unknown));
    assert_eq!(answer.code(), ResponseCode::TOPIC_NOT_EXIST);
}
