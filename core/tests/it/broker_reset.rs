//! Groups that operators move, and what they ask clients through the broker.

use std::thread::JoinHandle;
use std::time::Duration;

use ferromq::message::OffsetId;
use ferromq::wire::body::{
    ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody, MessageQueue, OffsetTable,
    ProducerConnection, ProducerTableInfo, QueryCorrectionOffsetBody, ResetOffsetBody,
};
use ferromq::wire::*;

use crate::broker_admin::{beat_as, commit, consumer, make_group, offset_of, runtime_info, Beat};
use crate::support::{pull, start_server, Answer, RawClient, TestServer};

fn reset(group: &str, topic: &str, timestamp: i64) -> InvokeBrokerToResetOffset<'static> {
    InvokeBrokerToResetOffset {
        group: group.to_owned().into(),
        topic: topic.to_owned().into(),
        queue_id: -1,
        offset: None,
        timestamp,
        is_force: true,
    }
}

fn moved(answer: &Answer) -> Vec<(i32, i64)> {
    let body: ResetOffsetBody = json::from_slice(answer.frame().body).unwrap();
    offsets(body)
}

fn offsets(body: ResetOffsetBody) -> Vec<(i32, i64)> {
    let ResetOffsetBody::Table { offset_table } = body else { panic!("a list") };
    offset_table.0.into_iter().map(|(queue, offset)| (queue.queue_id, offset)).collect()
}

/// A topic of two queues with ten messages each, and a group that has consumed five of each.
fn half_consumed(server: &TestServer) -> RawClient {
    let mut client = server.broker();
    client.create_topic("T", 2);
    for number in 0..20u8 {
        client.produce("T", i32::from(number % 2), &[number], "").ok();
    }
    make_group(&mut client, "G");
    for queue_id in 0..2 {
        client.call(&commit("G", "T", queue_id, 5)).ok();
    }
    client
}

#[test]
fn a_group_that_is_not_connected_is_moved_in_the_table() {
    let server = start_server("");
    let mut client = half_consumed(&server);
    let answer = client.call(&reset("G", "T", -1).into()).ok();
    assert_eq!(moved(&answer), [(0, 10), (1, 10)], "to the end");
    assert_eq!((offset_of(&mut client, "G", "T", 0), offset_of(&mut client, "G", "T", 1)), (10, 10));
    assert_eq!(moved(&client.call(&reset("G", "T", 0).into()).ok()), [(0, 0), (1, 0)], "to the beginning");
    // One queue, to an offset. What is committed from then on counts.
    let one = InvokeBrokerToResetOffset { queue_id: 1, offset: Some(7), ..reset("G", "T", 0) };
    assert_eq!(moved(&client.call(&one.into()).ok()), [(1, 7)]);
    assert_eq!((offset_of(&mut client, "G", "T", 0), offset_of(&mut client, "G", "T", 1)), (0, 7));
    client.call(&commit("G", "T", 1, 8)).ok();
    assert_eq!(offset_of(&mut client, "G", "T", 1), 8);
    // Without force a group only goes back.
    let gently = InvokeBrokerToResetOffset { is_force: false, ..reset("G", "T", -1) };
    assert_eq!(moved(&client.call(&gently.into()).ok()), [(0, 0), (1, 8)]);
    for (wrong, code, named) in [
        (reset("G", "Nowhere", 0), ResponseCode::TOPIC_NOT_EXIST, "Nowhere"),
        (reset("Nobody", "T", 0), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "Nobody"),
        (
            InvokeBrokerToResetOffset { queue_id: 1, offset: Some(11), ..reset("G", "T", 0) },
            ResponseCode::SYSTEM_ERROR,
            "11 not in consume queue range [0-10]",
        ),
        (
            InvokeBrokerToResetOffset { queue_id: 2, ..reset("G", "T", 0) },
            ResponseCode::INVALID_PARAMETER,
            "no queue 2",
        ),
    ] {
        let answer = client.call(&wrong.into());
        assert_eq!(answer.code(), code, "{}", answer.remark());
        assert!(answer.remark().contains(named), "{}", answer.remark());
    }
}

#[test]
fn a_group_is_moved_by_its_next_pulls() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let mut member = consumer(&server, "a", "G", "T", "*");
    // One queue is waited for, in the other the member is at work.
    let held = member.send(&Request::PullMessage(pull("G", "T", 0, 10, 600_000)));
    assert_eq!(moved(&operator.call(&reset("G", "T", 0).into()).ok()), [(0, 0), (1, 0)]);
    let told = member.receive();
    assert_eq!((told.frame().opaque, told.code()), (held, ResponseCode::PULL_OFFSET_MOVED));
    assert_eq!(told.pulled().next_begin_offset, 0);
    // Progress from before does not count until the member was told, by call or by pull.
    let answer = member.call(&commit("G", "T", 1, 9)).ok();
    assert_eq!(answer.remark(), "Offset has been previously reset");
    let mut at_work = pull("G", "T", 1, 9, 0);
    (at_work.sys_flag, at_work.commit_offset) = (4 | 1, 9);
    let told = member.call(&Request::PullMessage(at_work.clone()));
    assert_eq!((told.code(), told.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, 0));
    assert_eq!(offset_of(&mut operator, "G", "T", 1), 0);
    // Nor does what it stores late, until it goes on from there.
    assert_eq!(member.call(&commit("G", "T", 1, 9)).ok().remark(), "Offset has been previously reset");
    assert_eq!(offset_of(&mut operator, "G", "T", 1), 0);
    // Once is enough.
    (at_work.queue_offset, at_work.commit_offset) = (0, 0);
    assert_eq!(member.call(&Request::PullMessage(at_work)).ok().records().len(), 10);
    member.call(&commit("G", "T", 1, 3)).ok();
    assert_eq!(offset_of(&mut operator, "G", "T", 1), 3);
    // Another group is not concerned.
    assert_eq!(operator.call(&Request::PullMessage(pull("H", "T", 1, 9, 0))).ok().records().len(), 1);
}

/// The ordinary use of skipping: who is slow has its cache full of what the group is to skip, and waits for more.
#[test]
fn a_group_is_moved_to_where_its_member_waits_already() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let mut member = consumer(&server, "a", "G", "T", "*");
    let held = member.send(&Request::PullMessage(pull("G", "T", 0, 10, 600_000)));
    while runtime_info(&mut operator)["heldPulls"] != "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(moved(&operator.call(&reset("G", "T", -1).into()).ok()), [(0, 10), (1, 10)]);
    let told = member.receive();
    assert_eq!((told.frame().opaque, told.code()), (held, ResponseCode::PULL_OFFSET_MOVED));
    assert_eq!(told.pulled().next_begin_offset, 10);
    assert_eq!(member.call(&commit("G", "T", 0, 6)).ok().remark(), "Offset has been previously reset");
    assert_eq!(offset_of(&mut operator, "G", "T", 0), 10);
    // Once is enough.
    operator.produce("T", 0, b"new", "").ok();
    assert_eq!(member.call(&Request::PullMessage(pull("G", "T", 0, 10, 0))).ok().records().len(), 1);
    member.call(&commit("G", "T", 0, 11)).ok();
    assert_eq!(offset_of(&mut operator, "G", "T", 0), 11);
    // Who asked where to begin knows, and is not told.
    operator.produce("T", 1, b"new", "").ok();
    assert_eq!(offset_of(&mut member, "G", "T", 1), 10);
    assert_eq!(member.call(&Request::PullMessage(pull("G", "T", 1, 10, 0))).ok().records().len(), 1);
    member.call(&commit("G", "T", 1, 11)).ok();
    assert_eq!(offset_of(&mut operator, "G", "T", 1), 11);
}

/// Some clients store where they go on from before they pull there, others do neither.
#[test]
fn a_member_that_was_told_has_gone_on_sooner_or_later() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let mut member = consumer(&server, "a", "G", "T", "*");
    let mut tell = |target, member: &mut RawClient| {
        let one = InvokeBrokerToResetOffset { queue_id: 1, offset: Some(target), ..reset("G", "T", 0) };
        operator.call(&one.into()).ok();
        let told = member.call(&Request::PullMessage(pull("G", "T", 1, 9, 0)));
        assert_eq!((told.code(), told.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, target));
        member.call(&commit("G", "T", 1, 9)).ok();
        assert_eq!(offset_of(&mut operator, "G", "T", 1), target);
    };
    tell(2, &mut member);
    member.call(&commit("G", "T", 1, 2)).ok();
    member.call(&commit("G", "T", 1, 4)).ok();
    assert_eq!(offset_of(&mut server.broker(), "G", "T", 1), 4);
    tell(3, &mut member);
    server.pass(31);
    member.call(&commit("G", "T", 1, 8)).ok();
    assert_eq!(offset_of(&mut server.broker(), "G", "T", 1), 8);
}

#[test]
fn a_move_that_nobody_is_left_to_be_told_of_is_over() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let mut member = consumer(&server, "a", "G", "T", "*");
    operator.call(&reset("G", "T", 0).into()).ok();
    let goodbye =
        UnregisterClient { client_id: "a".into(), consumer_group: Some("G".into()), ..Default::default() };
    member.call(&Request::UnregisterClient(goodbye)).ok();
    assert_eq!(operator.call(&commit("G", "T", 0, 7)).ok().remark(), "");
    assert_eq!(offset_of(&mut operator, "G", "T", 0), 7);
    assert_eq!(operator.call(&Request::PullMessage(pull("G", "T", 0, 7, 0))).ok().records().len(), 3);
}

/// A member that lost the queue a moment ago may still wait there: it is not the one who goes on.
#[test]
fn all_who_pull_a_queue_are_told_of_a_move() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let [mut old, mut owner] = ["a", "b"].map(|id| consumer(&server, id, "G", "T", "*"));
    let mut waiting = [&mut old, &mut owner].map(|member| {
        let held = member.send(&Request::PullMessage(pull("G", "T", 0, 10, 600_000)));
        (member, held)
    });
    while runtime_info(&mut operator)["heldPulls"] != "2" {
        std::thread::sleep(Duration::from_millis(5));
    }
    operator.call(&reset("G", "T", 0).into()).ok();
    for (member, held) in &mut waiting {
        // Notes of the group's change come before it.
        let mut answers = std::iter::repeat_with(|| member.receive());
        let told =
            answers.find(|answer| answer.frame().opaque == *held && answer.frame().is_response()).unwrap();
        assert_eq!((told.code(), told.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, 0));
    }
    // As a client does when it drops the queue. The other one is still at work on what it had.
    old.call(&commit("G", "T", 0, 0)).ok();
    assert_eq!(owner.call(&commit("G", "T", 0, 9)).ok().remark(), "Offset has been previously reset");
    assert_eq!(owner.call(&Request::PullMessage(pull("G", "T", 0, 0, 0))).ok().records().len(), 10);
    owner.call(&commit("G", "T", 0, 3)).ok();
    assert_eq!(offset_of(&mut operator, "G", "T", 0), 3);
}

#[test]
fn a_member_whose_connection_broke_is_told_of_a_move_all_the_same() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let member = consumer(&server, "a", "G", "T", "*");
    operator.call(&reset("G", "T", 0).into()).ok();
    drop(member);
    let connections = GetConsumerConnectionList { consumer_group: "G".into() };
    let connections = Request::GetConsumerConnectionList(connections);
    while operator.call(&connections).code() == ResponseCode::SUCCESS {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut member = consumer(&server, "a", "G", "T", "*");
    assert_eq!(member.call(&commit("G", "T", 0, 9)).ok().remark(), "Offset has been previously reset");
    let told = member.call(&Request::PullMessage(pull("G", "T", 0, 9, 0)));
    assert_eq!((told.code(), told.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, 0));
    // Who does not come back within half a minute asks where to begin.
    drop(member);
    while operator.call(&connections).code() == ResponseCode::SUCCESS {
        std::thread::sleep(Duration::from_millis(5));
    }
    server.pass(31);
    assert_eq!(operator.call(&commit("G", "T", 0, 7)).ok().remark(), "");
}

#[test]
fn members_get_every_message_of_a_topic_that_was_deleted_and_made_again() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let mut member = consumer(&server, "a", "G", "T", "*");
    let delete = Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "T".into() });
    // One queue is waited for, in the other the member is at work.
    let held = member.send(&Request::PullMessage(pull("G", "T", 0, 10, 600_000)));
    while runtime_info(&mut operator)["heldPulls"] != "1" {
        std::thread::sleep(Duration::from_millis(5));
    }
    operator.call(&delete).ok();
    let told = member.receive();
    assert_eq!((told.frame().opaque, told.code()), (held, ResponseCode::PULL_OFFSET_MOVED));
    assert_eq!(told.pulled().next_begin_offset, 0);
    for queue_id in [0, 0, 0, 1, 1, 1] {
        operator.produce("T", queue_id, b"new", "").ok();
    }
    for queue_id in 0..2 {
        assert_eq!(
            member.call(&commit("G", "T", queue_id, 5)).ok().remark(),
            "Offset has been previously reset"
        );
        assert_eq!(offset_of(&mut operator, "G", "T", queue_id), -1);
    }
    // Also where the old place is one of the new topic.
    let told = member.call(&Request::PullMessage(pull("G", "T", 1, 2, 0)));
    assert_eq!((told.code(), told.pulled().next_begin_offset), (ResponseCode::PULL_OFFSET_MOVED, 0));
    for queue_id in 0..2 {
        assert_eq!(
            member.call(&Request::PullMessage(pull("G", "T", queue_id, 0, 0))).ok().records().len(),
            3
        );
        member.call(&commit("G", "T", queue_id, 3)).ok();
        assert_eq!(offset_of(&mut operator, "G", "T", queue_id), 3);
    }
}

/// A deletion that a crash cuts short must not leave some of the queues and all of the offsets.
#[test]
fn queues_are_removed_only_when_their_offsets_are() {
    let server = start_server("flushConsumerOffsetInterval=3600000");
    let mut client = half_consumed(&server);
    let in_the_way = server.data().join("config/consumerOffset.json.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let delete = Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "T".into() });
    let failed = client.call(&delete);
    assert_eq!(failed.code(), ResponseCode::SYSTEM_ERROR);
    assert!(failed.remark().contains("consumerOffset.json"), "{}", failed.remark());
    let end = Request::GetMaxOffset(GetMaxOffset { topic: "T".into(), queue_id: 0, ..Default::default() });
    assert_eq!(client.call(&end).ok().field("offset"), "10");
    std::fs::remove_dir(in_the_way).unwrap();
    client.call(&delete).ok();
    assert_eq!(client.call(&end).ok().field("offset"), "0");
}

/// As after a power cut that took the end of the log.
#[test]
fn an_offset_behind_the_end_of_its_queue_is_moved_there_at_the_start() {
    let server = start_server("");
    half_consumed(&server).create_topic("Empty", 1);
    let restarted = server.copy_with(|data| {
        let file = data.join("config/consumerOffset.json");
        std::fs::write(file, r#"{"offsetTable":{"T@G":{0:99,1:7},"Empty@G":{0:10}}}"#).unwrap();
    });
    let mut client = restarted.broker();
    assert_eq!((offset_of(&mut client, "G", "T", 0), offset_of(&mut client, "G", "T", 1)), (10, 7));
    // Of this queue nothing is left at all.
    client.produce("Empty", 0, b"new", "").ok();
    assert_eq!(offset_of(&mut client, "G", "Empty", 0), 0);
}

/// What operators were told is done is so after a crash.
#[test]
fn moved_offsets_outlive_a_crash() {
    let mut server = start_server("flushConsumerOffsetInterval=3600000");
    let mut client = half_consumed(&server);
    for group in ["Cloned", "Removed"] {
        make_group(&mut client, group);
        client.call(&commit(group, "T", 0, 3)).ok();
    }
    // From here on the file has all that.
    server.restart();
    let mut client = server.broker();
    client.call(&reset("G", "T", 0).into()).ok();
    assert_eq!(offset_of(&mut server.copy().broker(), "G", "T", 0), 0);
    let clone =
        CloneGroupOffset { src_group: "Removed".into(), dest_group: "G".into(), topic: None, offline: true };
    client.call(&Request::CloneGroupOffset(clone)).ok();
    assert_eq!(offset_of(&mut server.copy().broker(), "G", "T", 0), 3);
    let delete =
        DeleteSubscriptiongroup { group_name: "Removed".into(), clean_offset: true, ..Default::default() };
    client.call(&Request::DeleteSubscriptiongroup(delete)).ok();
    assert_eq!(offset_of(&mut server.copy().broker(), "Removed", "T", 0), -1);
    client.call(&Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "T".into() })).ok();
    let crashed = server.copy();
    let mut client = crashed.broker();
    client.create_topic("T", 2);
    client.produce("T", 0, b"new", "").ok();
    assert_eq!(offset_of(&mut client, "G", "T", 0), -1);
}

/// As when a broker dies after a topic is out of its table, and before its offsets are out of theirs.
#[test]
fn a_new_topic_does_not_take_over_offsets_of_an_older_one() {
    let server = start_server("flushConsumerOffsetInterval=3600000");
    let mut client = half_consumed(&server);
    client.call(&Request::DeleteTopicInBroker(DeleteTopicInBroker { topic: "T".into() })).ok();
    drop(client);
    let crashed = server.copy_with(|data| {
        let file = data.join("config/consumerOffset.json");
        std::fs::write(file, r#"{"offsetTable":{"T@G":{0:5,1:5},"Other@G":{0:1}}}"#).unwrap();
    });
    let mut client = crashed.broker();
    assert_eq!(offset_of(&mut client, "G", "T", 0), 5);
    client.produce("T", 0, b"new", "").ok();
    assert_eq!(offset_of(&mut client, "G", "T", 0), -1);
    assert_eq!(offset_of(&mut client, "G", "Other", 0), 1);
}

#[test]
fn a_reset_says_where_to() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let header = r#"{"code":222,"flag":0,"language":"JAVA","opaque":7,"version":401,"extFields":{"group":"G","topic":"T","isForce":"true"}}"#;
    let mut frame = (header.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(header.as_bytes());
    operator.write(&frame);
    let answer = operator.receive();
    assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().contains("timestamp"), "{}", answer.remark());
    assert_eq!(offset_of(&mut operator, "G", "T", 0), 5);
}

#[test]
fn a_group_is_moved_by_its_members() {
    let server = start_server("useServerSideResetOffset=false");
    let mut operator = half_consumed(&server);
    let nobody = operator.call(&reset("G", "T", 0).into());
    assert_eq!(nobody.code(), ResponseCode::CONSUMER_NOT_ONLINE, "{}", nobody.remark());
    let mut members = [
        consumer(&server, "java", "G", "T", "*"),
        beat_as(&server, &Beat { language: "CPP", ..Beat::new("cpp", "G", "T", "*") }),
    ];
    // The first hears of the second.
    assert_eq!(members[0].receive().frame().code, RequestCode::NOTIFY_CONSUMER_IDS_CHANGED.0);
    let gently = InvokeBrokerToResetOffset { is_force: false, ..reset("G", "T", -1) };
    assert_eq!(moved(&operator.call(&gently.into()).ok()), [(0, 5), (1, 5)], "not forwards");
    assert_eq!(moved(&operator.call(&reset("G", "T", 0).into()).ok()), [(0, 0), (1, 0)]);
    for (member, (list, expected)) in members.iter_mut().zip([(false, [5, 0]), (true, [5, 0])]) {
        for offset in expected {
            let push = member.receive();
            let frame = push.frame();
            assert!(frame.is_oneway());
            let Request::ResetConsumerClientOffset(told) = Request::decode(&frame).unwrap() else {
                panic!("no reset: {frame:?}")
            };
            assert_eq!((&*told.group, &*told.topic), ("G", "T"));
            let found: Vec<i64> = match told.body {
                ResetOffsetBody::List { offset_table } if list => {
                    offset_table.iter().map(|queue| queue.offset).collect()
                }
                body if !list => offsets(body).iter().map(|(_, offset)| *offset).collect(),
                body => panic!("{body:?}"),
            };
            assert_eq!(found, [offset, offset]);
        }
    }
    assert_eq!(
        offset_of(&mut operator, "G", "T", 0),
        0,
        "kept though the members may die before they store it"
    );
    let unknown = operator.call(&reset("Never", "T", 0).into());
    assert_eq!(unknown.code(), ResponseCode::SYSTEM_ERROR);
    assert!(unknown.remark().contains("<Never> not exist"), "{}", unknown.remark());
}

#[test]
fn offsets_are_cloned_and_compared() {
    let server = start_server("");
    let mut client = half_consumed(&server);
    client.create_topic("U", 1);
    client.call(&commit("G", "U", 0, 3)).ok();
    let clone = |topic: Option<&'static str>, offline| {
        Request::CloneGroupOffset(CloneGroupOffset {
            src_group: "G".into(),
            dest_group: "H".into(),
            topic: topic.map(Into::into),
            offline,
        })
    };
    client.call(&clone(Some("T"), false)).ok();
    assert_eq!((offset_of(&mut client, "H", "T", 0), offset_of(&mut client, "H", "U", 0)), (5, -1));
    // A connected group that does not subscribe to U any more: only on demand.
    let _member = consumer(&server, "a", "G", "T", "*");
    client.call(&clone(None, false)).ok();
    assert_eq!(offset_of(&mut client, "H", "U", 0), -1);
    client.call(&clone(None, true)).ok();
    assert_eq!(offset_of(&mut client, "H", "U", 0), 3);
    // Who lags behind G: H in queue 1, nobody in queue 0.
    client.call(&commit("H", "T", 0, 9)).ok();
    client.call(&commit("H", "T", 1, 2)).ok();
    let mut compare = |filter: Option<&'static str>| {
        let ask = QueryCorrectionOffset {
            filter_groups: filter.map(Into::into),
            compare_group: "G".into(),
            topic: "T".into(),
        };
        let answer = client.call(&Request::QueryCorrectionOffset(ask)).ok();
        json::from_slice::<QueryCorrectionOffsetBody>(answer.frame().body).unwrap().correction_offsets
    };
    assert_eq!(compare(None), [(0, 5), (1, 2)].into());
    assert_eq!(compare(Some("G")), [(0, i64::MAX), (1, 2)].into());
}

/// A member that answers what it is asked, `count` times.
fn answering(mut member: RawClient, count: usize) -> JoinHandle<RawClient> {
    std::thread::spawn(move || {
        for _ in 0..count {
            let asked = member.receive();
            let frame = asked.frame();
            let body = match Request::decode(&frame).unwrap() {
                Request::GetConsumerRunningInfo(ask) => {
                    let jstack = ask.jstack_enable.then(|| "a stack".to_owned());
                    json::to_old_vec(&ConsumerRunningInfo { jstack, ..Default::default() })
                }
                Request::ConsumeMessageDirectly(ask) => {
                    let record = ferromq::record::RecordView::parse(ask.body).unwrap();
                    let remark = Some(format!("{:?} from {}", record.body(), ask.broker_name.unwrap()));
                    json::to_vec(&ConsumeMessageDirectlyResult { remark, ..Default::default() })
                }
                Request::GetConsumerStatusFromClient(ask) => {
                    let queue = MessageQueue { topic: ask.topic.to_string(), ..Default::default() };
                    let message_queue_table = OffsetTable([(queue, 5)].into());
                    json::to_old_vec(&GetConsumerStatusBody { message_queue_table, ..Default::default() })
                }
                other => panic!("{other:?}"),
            };
            let mut out = Vec::new();
            Response::ok().with_body(body).encode(Encoding::Json, frame.opaque, &mut out);
            member.write(&out);
        }
        member
    })
}

#[test]
fn clients_are_asked_through_the_broker() {
    let server = start_server("brokerName=asked");
    let mut operator = server.broker();
    let id = operator.produce("T", 0, b"x", "").ok().field("msgId");
    let member = answering(consumer(&server, "a", "G", "T", "*"), 3);
    let info = |client_id: &'static str| {
        Request::GetConsumerRunningInfo(GetConsumerRunningInfo {
            consumer_group: "G".into(),
            client_id: client_id.into(),
            jstack_enable: true,
        })
    };
    let answer = operator.call(&info("a")).ok();
    let told: ConsumerRunningInfo = json::from_slice(answer.frame().body).unwrap();
    assert_eq!(told.jstack.as_deref(), Some("a stack"));
    let absent = operator.call(&info("b"));
    assert_eq!(absent.code(), ResponseCode::SYSTEM_ERROR);
    assert_eq!(absent.remark(), "The Consumer <G> <b> not online");

    let consume = |id: &str| {
        Request::ConsumeMessageDirectly(ConsumeMessageDirectly {
            consumer_group: "G".into(),
            client_id: Some("a".into()),
            msg_id: Some(id.to_owned().into()),
            ..Default::default()
        })
    };
    let answer = operator.call(&consume(&id)).ok();
    let told: ConsumeMessageDirectlyResult = json::from_slice(answer.frame().body).unwrap();
    assert_eq!(told.remark.as_deref(), Some("[120] from asked"));
    let host = "127.0.0.1:1".parse().unwrap();
    for (wrong, named) in [
        ("no id".to_owned(), "no id"),
        (OffsetId { host, physical_offset: 1 << 40 }.to_string(), "1099511627776"),
    ] {
        let answer = operator.call(&consume(&wrong));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().contains(named), "{}", answer.remark());
    }

    let status = |group: &'static str, client: Option<&'static str>| {
        Request::InvokeBrokerToGetConsumerStatus(InvokeBrokerToGetConsumerStatus {
            topic: "T".into(),
            group: group.into(),
            client_addr: client.map(Into::into),
        })
    };
    let answer = operator.call(&status("G", None)).ok();
    let told: GetConsumerStatusBody = json::from_slice(answer.frame().body).unwrap();
    assert_eq!(told.consumer_table["a"].0.values().copied().collect::<Vec<_>>(), [5]);
    let answer = operator.call(&status("G", Some("someone else"))).ok();
    let told: GetConsumerStatusBody = json::from_slice(answer.frame().body).unwrap();
    assert!(told.consumer_table.is_empty());
    let nobody = operator.call(&status("Nobody", None));
    assert_eq!(nobody.code(), ResponseCode::SYSTEM_ERROR);
    assert!(nobody.remark().contains("[Nobody]"), "{}", nobody.remark());
    drop(member.join().unwrap());
}

#[test]
fn a_client_that_goes_away_while_it_is_asked_is_told_of() {
    let server = start_server("");
    let mut operator = server.broker();
    let mut member = consumer(&server, "a", "G", "T", "*");
    let ask =
        GetConsumerRunningInfo { consumer_group: "G".into(), client_id: "a".into(), jstack_enable: false };
    operator.send(&Request::GetConsumerRunningInfo(ask));
    member.receive();
    drop(member);
    let answer = operator.receive();
    assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().contains("invoke consumer <G> <a>"), "{}", answer.remark());
}

#[test]
fn a_client_of_a_version_that_cannot_answer_is_not_asked() {
    let server = start_server("");
    let mut operator = half_consumed(&server);
    let _old = beat_as(&server, &Beat { version: 20, ..Beat::new("old", "G", "T", "*") });
    let ask =
        GetConsumerRunningInfo { consumer_group: "G".into(), client_id: "old".into(), jstack_enable: false };
    let answer = operator.call(&Request::GetConsumerRunningInfo(ask));
    assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().contains("Version <20> too low"), "{}", answer.remark());
}

#[test]
fn producers_are_listed_with_where_they_are() {
    let server = start_server("");
    let mut operator = server.broker();
    let _producer = beat_as(&server, &Beat { produces: true, ..Beat::new("p", "PG", "", "") });
    let answer = operator.call(&Request::GetAllProducerInfo).ok();
    let all: ProducerTableInfo = json::from_slice(answer.frame().body).unwrap();
    assert_eq!((all.data.len(), all.data["PG"][0].client_id.as_str()), (1, "p"));
    let ask = GetProducerConnectionList { producer_group: "PG".into() };
    let answer = operator.call(&Request::GetProducerConnectionList(ask)).ok();
    let one: ProducerConnection = json::from_slice(answer.frame().body).unwrap();
    let connection = &one.connection_set[0];
    assert!(all.data["PG"][0].remote_ip.starts_with("/127.0.0.1:"));
    assert_eq!((connection.language.as_str(), connection.version), ("JAVA", 401));
    assert!(connection.client_addr.starts_with("127.0.0.1:"), "{}", connection.client_addr);
}
