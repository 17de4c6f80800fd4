//! Groups: members and their heartbeats, offsets, queue locks; and the operator's hand on topics.

use ferromq::wire::body::{
    ConsumerData, GetConsumerListByGroupResponseBody, HeartbeatData, LockBatchRequestBody,
    LockBatchResponseBody, MessageQueue, SubscriptionData, UnlockBatchRequestBody,
};
use ferromq::wire::{
    json, DeleteTopicInBroker, GetConsumerListByGroup, HeartBeat, LockBatchMq, QueryConsumerOffset, Request,
    RequestCode, ResponseCode, UnlockBatchMq, UnregisterClient, UpdateConsumerOffset,
};

use crate::broker_admin::make_group;
use crate::support::{pull, start_server, RawClient};

fn heartbeat(client_id: &str, group: &str, topic: &str, expression: &str) -> Request<'static> {
    let subscription = SubscriptionData {
        topic: topic.into(),
        sub_string: expression.into(),
        sub_version: 5,
        expression_type: "TAG".into(),
        ..Default::default()
    };
    let consumer = ConsumerData {
        group_name: group.into(),
        consume_type: "CONSUME_PASSIVELY".into(),
        message_model: "CLUSTERING".into(),
        consume_from_where: "CONSUME_FROM_LAST_OFFSET".into(),
        subscription_data_set: vec![subscription],
        ..Default::default()
    };
    let body = HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![consumer],
        ..Default::default()
    };
    Request::HeartBeat(HeartBeat { body })
}

fn members(client: &mut RawClient, group: &str) -> Vec<String> {
    let ask = GetConsumerListByGroup { consumer_group: group.into() };
    let answer = client.call(&Request::GetConsumerListByGroup(ask));
    match answer.code() {
        ResponseCode::SUCCESS => {
            json::from_slice::<GetConsumerListByGroupResponseBody>(answer.frame().body)
                .unwrap()
                .consumer_id_list
        }
        _ => Vec::new(),
    }
}

/// Waits for the note that the members of a group changed.
fn expect_note(client: &mut RawClient, group: &str) {
    let note = client.receive();
    assert_eq!(note.frame().code, RequestCode::NOTIFY_CONSUMER_IDS_CHANGED.0);
    assert!(note.frame().is_oneway());
    assert_eq!(note.field("consumerGroup"), group);
}

#[test]
fn members_come_and_go_and_everybody_is_told() {
    let server = start_server("");
    let (mut a, mut b, mut watcher) = (server.broker(), server.broker(), server.broker());
    a.send(&heartbeat("a", "G", "T", "*"));
    expect_note(&mut a, "G");
    a.receive().ok();
    b.send(&heartbeat("b", "G", "T", "*"));
    expect_note(&mut b, "G");
    b.receive().ok();
    expect_note(&mut a, "G");
    assert_eq!(members(&mut watcher, "G"), ["a", "b"]);
    // The retry topic of the group is there.
    assert_eq!(watcher.pull("%RETRY%G", 0, 0).code(), ResponseCode::PULL_NOT_FOUND);
    // An orderly goodbye, and a lost connection.
    let goodbye =
        UnregisterClient { client_id: "b".into(), consumer_group: Some("G".into()), ..Default::default() };
    b.call(&Request::UnregisterClient(goodbye)).ok();
    expect_note(&mut a, "G");
    assert_eq!(members(&mut watcher, "G"), ["a"]);
    drop(a);
    while !members(&mut watcher, "G").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_client_without_heartbeats_expires() {
    let server = start_server("");
    let (mut silent, mut watcher) = (server.broker(), server.broker());
    silent.send(&heartbeat("silent", "G", "T", "*"));
    expect_note(&mut silent, "G");
    silent.receive().ok();
    server.pass(60);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(members(&mut watcher, "G"), ["silent"]);
    server.pass(75);
    while !members(&mut watcher, "G").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(silent.is_closed_by_peer());
}

#[test]
fn a_pull_without_text_uses_the_heartbeats_subscription() {
    let server = start_server("");
    let mut client = server.broker();
    for tag in ["A", "B", "A"] {
        client.produce("T", 0, tag.as_bytes(), &format!("TAGS={tag}")).ok();
    }
    client.send(&heartbeat("c", "G", "T", "A"));
    expect_note(&mut client, "G");
    client.receive().ok();
    let mut request = pull("G", "T", 0, 0, 0);
    (request.sys_flag, request.subscription, request.sub_version) = (0, None, 5);
    let got = client.call(&Request::PullMessage(request.clone())).ok().records();
    assert_eq!(got.iter().map(|message| &message.body[..]).collect::<Vec<_>>(), [b"A", b"A"]);
    request.sub_version = 6;
    let newer = client.call(&Request::PullMessage(request.clone()));
    assert_eq!(newer.code(), ResponseCode::SUBSCRIPTION_NOT_LATEST);
    request.topic = "BenchmarkTest".into();
    let other = client.call(&Request::PullMessage(request));
    assert_eq!(other.code(), ResponseCode::SUBSCRIPTION_NOT_EXIST);
}

fn ask_offset<'a>(group: &'a str, topic: &'a str, zero: Option<bool>) -> Request<'a> {
    Request::QueryConsumerOffset(QueryConsumerOffset {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id: 0,
        set_zero_if_not_found: zero,
    })
}

fn commit<'a>(group: &'a str, topic: &'a str, offset: i64) -> Request<'a> {
    Request::UpdateConsumerOffset(UpdateConsumerOffset {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id: 0,
        commit_offset: offset,
    })
}

#[test]
fn offsets_are_kept_over_a_restart_and_a_new_group_starts_at_zero() {
    let mut server = start_server("");
    let mut client = server.broker();
    client.produce("T", 0, b"x", "").ok();
    assert_eq!(client.call(&ask_offset("New", "T", None)).ok().field("offset"), "0");
    assert_eq!(client.call(&ask_offset("New", "Empty", None)).ok().field("offset"), "0");
    assert_eq!(client.call(&ask_offset("New", "T", Some(false))).code(), ResponseCode::QUERY_NOT_FOUND);
    client.pull("T", 0, 0);
    for body in [b"y", b"z"] {
        client.produce("T", 0, body, "").ok();
    }
    client.oneway(&commit("G", "T", 1));
    client.call(&commit("G", "T", 2)).ok();
    assert_eq!(client.call(&commit("G", "NoTopic", 1)).code(), ResponseCode::TOPIC_NOT_EXIST);
    // A pull commits too.
    let mut request = pull("H", "T", 0, 1, 0);
    (request.sys_flag, request.commit_offset) = (4 | 1, 1);
    client.call(&Request::PullMessage(request));
    server.restart();
    let mut client = server.broker();
    assert_eq!(client.call(&ask_offset("G", "T", Some(false))).ok().field("offset"), "2");
    assert_eq!(client.call(&ask_offset("H", "T", Some(false))).ok().field("offset"), "1");
}

#[test]
fn a_deleted_topic_is_gone_and_a_new_one_of_its_name_is_empty() {
    let mut server = start_server("");
    let mut client = server.broker();
    client.create_topic("Gone", 1);
    client.produce("Gone", 0, b"old", "").ok();
    client.pull("Gone", 0, 0);
    client.call(&commit("G", "Gone", 1)).ok();
    let delete = Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "Gone".into() });
    client.call(&delete).ok();
    assert_eq!(client.pull("Gone", 0, 0).code(), ResponseCode::TOPIC_NOT_EXIST);
    server.restart();
    let mut client = server.broker();
    assert_eq!(client.pull("Gone", 0, 0).code(), ResponseCode::TOPIC_NOT_EXIST);
    client.create_topic("Gone", 1);
    assert!(client.pull_all("Gone", 0, 0).is_empty());
    assert_eq!(client.produce("Gone", 0, b"new", "").ok().queue_offset(), 0);
    assert_eq!(client.pull_all("Gone", 0, 0)[0].body, b"new");
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { topic: "T".into(), broker_name: "here".into(), queue_id }
}

fn lock(client: &mut RawClient, client_id: &str, ids: &[i32]) -> Vec<i32> {
    lock_queues(client, client_id, ids.iter().copied().map(queue).collect())
}

fn lock_queues(client: &mut RawClient, client_id: &str, mq_set: Vec<MessageQueue>) -> Vec<i32> {
    let (consumer_group, client_id) = ("G".into(), client_id.into());
    let body = LockBatchRequestBody { consumer_group, client_id, mq_set, ..Default::default() };
    let answer = client.call(&Request::LockBatchMq(LockBatchMq { body })).ok();
    let held: LockBatchResponseBody = json::from_slice(answer.frame().body).unwrap();
    held.lock_ok_mq_set.iter().map(|queue| queue.queue_id).collect()
}

#[test]
fn only_queues_that_there_are_can_be_locked() {
    let server = start_server("brokerName=here\nautoCreateSubscriptionGroup=false");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let lock_batch = |group: &str, mq_set: Vec<MessageQueue>| {
        let body = LockBatchRequestBody {
            consumer_group: group.into(),
            client_id: "a".into(),
            mq_set,
            ..Default::default()
        };
        Request::LockBatchMq(LockBatchMq { body })
    };
    let refused = client.call(&lock_batch("G", vec![queue(0)]));
    assert_eq!(refused.code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    make_group(&mut client, "G");
    let elsewhere = MessageQueue { broker_name: "there".into(), ..queue(0) };
    let unknown = MessageQueue { topic: "U".into(), ..queue(0) };
    let asked = vec![queue(-1), queue(2), elsewhere, unknown, queue(1), queue(i32::MAX)];
    assert_eq!(lock_queues(&mut client, "a", asked), [1]);
    let refused = client.call(&lock_batch("G", vec![queue(0); 65_537]));
    assert_eq!(refused.code(), ResponseCode::SYSTEM_ERROR);
    assert!(refused.remark().contains("65537"), "{}", refused.remark());
    assert_eq!(lock(&mut client, "b", &[0, 1]), [0]);
}

#[test]
fn a_queue_has_one_owner() {
    let server = start_server("brokerName=here");
    let mut client = server.broker();
    client.create_topic("T", 4);
    assert_eq!(lock(&mut client, "a", &[0, 1]), [0, 1]);
    assert_eq!(lock(&mut client, "b", &[0, 2]), [2]);
    let body = UnlockBatchRequestBody {
        consumer_group: "G".into(),
        client_id: "a".into(),
        mq_set: vec![queue(0)],
        ..Default::default()
    };
    client.call(&Request::UnlockBatchMq(UnlockBatchMq { body })).ok();
    assert_eq!(lock(&mut client, "b", &[0, 1]), [0]);
    server.pass(61);
    assert_eq!(lock(&mut client, "b", &[1]), [1], "a lock nobody renews goes to the next asker");
}
