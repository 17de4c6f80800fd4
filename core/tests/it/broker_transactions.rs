//! Transactions as frames: half messages, decisions, questions, and what restarts make of them.

use ferromq::message::OffsetId;
use ferromq::record::RecordView;
use ferromq::wire::body::{HeartbeatData, ProducerData};
use ferromq::wire::{
    CheckTransactionState, EndTransaction, GetProducerConnectionList, HeartBeat, Request, RequestCode,
    ResponseCode, ResumeCheckHalfMessage, SendMessage, UpdateBrokerConfig,
};

use crate::logs;
use crate::support::{message, start_server, Answer, RawClient, Received, TestServer};

const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub const GROUP: &str = "TG";
pub const COMMIT: i32 = 8;
pub const ROLLBACK: i32 = 12;
/// Rounds are an hour apart, so that none comes by itself while a busy machine takes its time. One that finds everything old
/// enough is this far away, in seconds.
pub const ROUND: u64 = 3700;

/// A server whose clients are not forgotten while its time is moved.
pub fn start(settings: &str) -> TestServer {
    start_server(&format!("channelExpiredTimeout=2000000000\ntransactionCheckInterval=3600000\n{settings}"))
}

/// A half message that was sent.
#[derive(Debug, Clone)]
pub struct Half {
    group: String,
    queue_offset: i64,
    log_offset: i64,
    pub id: String,
}

pub fn half_message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8], properties: &str) -> SendMessage<'a> {
    let mut send = message(topic, queue_id, body, &format!("TRAN_MSG=true PGROUP={GROUP} {properties}"));
    (send.producer_group, send.sys_flag) = (GROUP.into(), 4);
    send
}

fn placed(answer: &Answer) -> Half {
    let place: OffsetId = answer.field("msgId").parse().unwrap();
    Half {
        group: GROUP.into(),
        queue_offset: answer.queue_offset(),
        log_offset: place.physical_offset,
        id: answer.field("transactionId"),
    }
}

/// Sends a half message to queue 1 of a topic of two queues.
fn send_half(client: &mut RawClient, topic: &str, body: &str, properties: &str) -> Half {
    placed(&client.call(&Request::SendMessage(half_message(topic, 1, body.as_bytes(), properties))).ok())
}

/// The answer to a question.
pub fn answer_to(half: &Half, decision: i32) -> EndTransaction<'_> {
    end(half, decision, true)
}

fn end(half: &Half, decision: i32, is_answer: bool) -> EndTransaction<'_> {
    EndTransaction {
        producer_group: half.group.as_str().into(),
        tran_state_table_offset: half.queue_offset,
        commit_log_offset: half.log_offset,
        commit_or_rollback: decision,
        from_transaction_check: is_answer,
        msg_id: Some(half.id.as_str().into()),
        transaction_id: Some(half.id.as_str().into()),
        ..Default::default()
    }
}

fn decide(client: &mut RawClient, half: &Half, decision: i32) -> Answer {
    client.call(&Request::EndTransaction(end(half, decision, false)))
}

/// A connection that is a producer of a group, and is asked.
pub fn member(server: &TestServer, client_id: &str, group: &str) -> RawClient {
    let body = HeartbeatData {
        client_id: client_id.into(),
        producer_data_set: vec![ProducerData { group_name: group.into() }],
        ..Default::default()
    };
    let mut member = server.broker();
    member.call(&Request::HeartBeat(HeartBeat { body })).ok();
    member
}

/// The next question, and the half message it is about.
pub fn asked(member: &mut RawClient) -> (Half, Received) {
    let question = member.receive();
    let frame = question.frame();
    assert_eq!((frame.code, frame.is_oneway()), (RequestCode::CHECK_TRANSACTION_STATE.0, true));
    let Request::CheckTransactionState(check) = Request::decode(&frame).unwrap() else { unreachable!() };
    let record = RecordView::parse(check.body).unwrap();
    let CheckTransactionState { tran_state_table_offset, commit_log_offset, .. } = check;
    assert_eq!(
        (record.queue_offset(), record.physical_offset()),
        (tran_state_table_offset, commit_log_offset)
    );
    let place: OffsetId = check.offset_msg_id.unwrap().parse().unwrap();
    assert_eq!(place.physical_offset, commit_log_offset);
    let id = check.msg_id.unwrap().into_owned();
    assert_eq!(record.property("UNIQ_KEY"), Some(&*id));
    let group = record.property("PGROUP").unwrap().to_owned();
    let half = Half { group, queue_offset: tran_state_table_offset, log_offset: commit_log_offset, id };
    (half, Received::from(&record))
}

pub fn answer(member: &mut RawClient, half: &Half, decision: i32) {
    member.oneway(&Request::EndTransaction(answer_to(half, decision)));
}

/// Nothing was sent to a connection, as far as an answer that came later shows.
pub fn assert_not_asked(member: &mut RawClient) {
    // Time for a wrong question to be asked.
    std::thread::sleep(std::time::Duration::from_millis(50));
    member.pull("NoSuchTopic", 0, 0);
}

/// As many rounds as it takes until the half queue holds `count` messages, put back ones included.
fn rounds_until(server: &TestServer, client: &mut RawClient, topic: &str, count: usize) -> Vec<Received> {
    for _ in 0..1000 {
        let all = client.pull_all(topic, 0, 0);
        if all.len() >= count {
            return all;
        }
        server.pass(ROUND);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{topic} never held {count} messages");
}

fn set(client: &mut RawClient, line: &str) {
    let change = UpdateBrokerConfig { body: line.as_bytes() };
    client.call(&Request::UpdateBrokerConfig(change)).ok();
}

#[test]
fn committed_is_seen_once_and_rolled_back_never() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let committed = send_half(&mut client, "T", "committed", "TAGS=A KEYS=k UNIQ_KEY=U1 color=red");
    let dropped = send_half(&mut client, "T", "dropped", "UNIQ_KEY=U2");
    let waiting = send_half(&mut client, "T", "waiting", "");
    assert!(client.pull_all("T", 1, 0).is_empty(), "a half message is not seen");
    let halves = client.pull_all(HALF, 0, 0);
    assert_eq!(halves.len(), 3);
    for (half, sent) in halves.iter().zip([&committed, &dropped, &waiting]) {
        assert_eq!((half.queue_offset, half.physical_offset), (sent.queue_offset, sent.log_offset));
        assert_eq!(half.properties.get("REAL_TOPIC"), Some("T"));
        assert_eq!(half.properties.get("REAL_QID"), Some("1"));
        assert_eq!(half.properties.get("__transactionId__"), Some(&*sent.id));
    }
    for _ in 0..3 {
        decide(&mut client, &committed, COMMIT).ok();
        decide(&mut client, &dropped, ROLLBACK).ok();
        // What is decided stays so.
        decide(&mut client, &committed, ROLLBACK).ok();
        decide(&mut client, &dropped, COMMIT).ok();
        decide(&mut client, &waiting, 0).ok();
    }
    let all = client.pull_all("T", 1, 0);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].body.as_slice(), all[0].queue_offset), (&b"committed"[..], 0));
    for (name, value) in [("TAGS", "A"), ("KEYS", "k"), ("color", "red"), ("UNIQ_KEY", "U1")] {
        assert_eq!(all[0].properties.get(name), Some(value));
    }
    let bytes = client.pull("T", 1, 0).ok();
    let record = RecordView::parse(bytes.frame().body).unwrap();
    assert_eq!((record.sys_flag(), record.prepared_transaction_offset()), (8, committed.log_offset));
    // Both decisions in one message, as 5.x writes them.
    server.pass(4);
    let marks = client.await_messages(OP, 0, 1);
    let expected = format!("{},{},", committed.queue_offset, dropped.queue_offset);
    assert_eq!(String::from_utf8_lossy(&marks[0].body), expected);
    assert_eq!(marks[0].properties.get("TAGS"), Some("d"));
}

#[test]
fn decisions_that_name_something_else_are_refused() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let half = send_half(&mut client, "T", "half", "");
    let other = send_half(&mut client, "T", "other", "");
    let normal = placed(&client.produce("T", 1, b"normal", ""));
    let mut refused = |change: &dyn Fn(&mut EndTransaction<'static>), why: &str| {
        let mut request = EndTransaction { producer_group: GROUP.into(), ..Default::default() };
        (request.tran_state_table_offset, request.commit_log_offset) = (half.queue_offset, half.log_offset);
        request.commit_or_rollback = COMMIT;
        change(&mut request);
        let answer = client.call(&Request::EndTransaction(request));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
        assert!(answer.remark().contains(why), "{}", answer.remark());
    };
    refused(&|end| end.producer_group = "Stranger".into(), "producer group wrong");
    refused(&|end| end.tran_state_table_offset += 1, "state table offset wrong");
    refused(&|end| end.tran_state_table_offset = i64::MAX, "state table offset wrong");
    refused(&|end| end.tran_state_table_offset = -1, "state table offset wrong");
    let (at, elsewhere) = (other.log_offset, normal.log_offset);
    refused(&|end| end.commit_log_offset = at, "state table offset wrong");
    refused(&|end| end.commit_log_offset = elsewhere, "Find prepared transaction message failed");
    for offset in [half.log_offset + 1, -1, i64::MIN, i64::MAX] {
        refused(&|end| end.commit_log_offset = offset, "Find prepared transaction message failed");
    }
    for decision in [4, 1, -8] {
        refused(&|end| end.commit_or_rollback = decision, "commitOrRollback");
    }
    assert_eq!(client.pull_all("T", 1, 0).len(), 1);
    decide(&mut client, &half, COMMIT).ok();
    assert_eq!(client.pull_all("T", 1, 0).len(), 2);
}

/// A record in the body of a message, at the place where it says it is, is no half message all the same.
#[test]
fn a_half_message_in_the_body_of_another_one_is_none() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let true_half = send_half(&mut client, "T", "half", "");
    let bytes = client.pull(HALF, 0, 0).ok().frame().body.to_vec();
    let first = placed(&client.produce("T", 0, &bytes, ""));
    let in_body = |log: i64| log + 88;
    let mut forged = bytes.clone();
    // The next message will stand behind this one.
    let next = placed(&client.produce("T", 0, &bytes, "")).log_offset - first.log_offset;
    let place = in_body(first.log_offset + 2 * next);
    forged[28..36].copy_from_slice(&place.to_be_bytes());
    client.produce("T", 0, &forged, "").ok();
    let stored = client.pull_all("T", 0, 2);
    assert_eq!(in_body(stored[0].physical_offset), place);
    let answer = decide(&mut client, &Half { log_offset: place, ..true_half }, COMMIT);
    assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark().contains("commit log offset wrong"), "{}", answer.remark());
    assert!(client.pull_all("T", 1, 0).is_empty());
}

#[test]
fn what_cannot_be_in_a_transaction_is_refused() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut refused = |change: &dyn Fn(&mut SendMessage<'static>), code: ResponseCode, why: &str| {
        let mut send = half_message("T", 1, b"x", "");
        change(&mut send);
        let answer = client.call(&Request::SendMessage(send));
        assert_eq!(answer.code(), code, "{}", answer.remark());
        assert!(answer.remark().contains(why), "{}", answer.remark());
    };
    let illegal = ResponseCode::MESSAGE_ILLEGAL;
    let with = |properties: &str| half_message("T", 1, b"x", properties).properties;
    refused(&|send| send.properties = with("DELAY=3"), illegal, "delayed");
    refused(&|send| send.properties = with("TIMER_DELAY_SEC=3"), illegal, "delayed");
    refused(&|send| send.properties = None, illegal, "sysFlag");
    refused(&|send| (send.properties, send.sys_flag) = (None, 12), illegal, "sysFlag");
    refused(&|send| send.topic = HALF.into(), ResponseCode::NO_PERMISSION, HALF);
    let mut control = server.broker();
    set(&mut control, "rejectTransactionMessage=true");
    refused(&|_| {}, ResponseCode::NO_PERMISSION, "rejectTransactionMessage");
    set(&mut control, "rejectTransactionMessage=false");
    send_half(&mut client, "T", "x", "");
    assert_eq!(client.pull_all(HALF, 0, 0).len(), 1);
}

#[test]
fn who_never_knows_is_asked_three_times_and_given_up() {
    logs::listen();
    let server = start("transactionCheckMax=3");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    let sent = send_half(&mut client, "T", "x", "KEYS=k");
    for times in 1..=3 {
        server.pass(ROUND);
        let (half, message) = asked(&mut producer);
        assert_eq!((half.id.as_str(), message.body.as_slice()), (&*sent.id, &b"x"[..]));
        assert_eq!((message.topic.as_str(), message.queue_id), ("T", 1));
        assert_eq!(message.properties.get("TRANSACTION_CHECK_TIMES"), Some(&*times.to_string()));
        assert_eq!(half.queue_offset, times);
        answer(&mut producer, &half, 0);
    }
    let given_up = rounds_until(&server, &mut client, GIVEN_UP, 1);
    assert_eq!((given_up.len(), given_up[0].body.as_slice()), (1, &b"x"[..]));
    assert_eq!(given_up[0].properties.get("REAL_TOPIC"), Some("T"));
    assert_eq!(logs::said(&["is given up", &sent.id, "\"T\"", GROUP]), 1);
    (0..3).for_each(|_| server.pass(ROUND));
    assert_not_asked(&mut producer);
    assert_eq!(client.pull_all(HALF, 0, 0).len(), 4, "put back three times");
    // The operator gives it another chance.
    let place =
        OffsetId { host: "127.0.0.1:1".parse().unwrap(), physical_offset: given_up[0].physical_offset };
    let resume = Request::ResumeCheckHalfMessage(ResumeCheckHalfMessage {
        msg_id: Some(place.to_string().into()),
        ..Default::default()
    });
    client.call(&resume).ok();
    let again = client.call(&resume);
    assert!(again.code() == ResponseCode::SYSTEM_ERROR && again.remark().contains("already"));
    server.pass(ROUND);
    let (half, message) = asked(&mut producer);
    assert_eq!(message.properties.get("TRANSACTION_CHECK_TIMES"), Some("1"));
    answer(&mut producer, &half, COMMIT);
    assert_eq!(client.await_messages("T", 1, 1)[0].body, b"x");
    let committed = client.call(&resume);
    assert_eq!(committed.code(), ResponseCode::SYSTEM_ERROR);
    assert!(committed.remark().contains("committed already"), "{}", committed.remark());
    for wrong in ["", "nonsense", &place.to_string().replace("0", "7")] {
        let ask = ResumeCheckHalfMessage { msg_id: Some(wrong.to_owned().into()), ..Default::default() };
        let answer = client.call(&Request::ResumeCheckHalfMessage(ask));
        assert_eq!(answer.code(), ResponseCode::SYSTEM_ERROR, "{wrong}");
    }
}

#[test]
fn a_message_has_its_own_time_before_the_first_question() {
    let server = start("transactionTimeOut=3000\ntransactionCheckInterval=1000");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    send_half(&mut client, "T", "patient", "CHECK_IMMUNITY_TIME_IN_SECONDS=20");
    send_half(&mut client, "T", "other", "");
    send_half(&mut client, "T", "hasty", "CHECK_IMMUNITY_TIME_IN_SECONDS=1");
    server.pass(2);
    let (half, message) = asked(&mut producer);
    assert_eq!(message.body, b"hasty");
    answer(&mut producer, &half, COMMIT);
    client.await_messages("T", 1, 1);
    server.pass(2);
    let (half, message) = asked(&mut producer);
    assert_eq!(message.body, b"other");
    answer(&mut producer, &half, COMMIT);
    client.await_messages("T", 1, 2);
    server.pass(13);
    assert_not_asked(&mut producer);
    server.pass(5);
    let (half, message) = asked(&mut producer);
    assert_eq!(message.body, b"patient");
    answer(&mut producer, &half, ROLLBACK);
    server.pass(60);
    assert_not_asked(&mut producer);
    assert_eq!(client.pull_all("T", 1, 0).len(), 2);
}

#[test]
fn another_producer_of_the_group_decides_for_one_that_is_gone() {
    let server = start("");
    let mut control = server.broker();
    control.create_topic("T", 2);
    let mut strangers = member(&server, "s", "OtherGroup");
    let mut sender = member(&server, "a", GROUP);
    send_half(&mut sender, "T", "orphan", "");
    drop(sender);
    let members =
        || Request::GetProducerConnectionList(GetProducerConnectionList { producer_group: GROUP.into() });
    while control.call(&members()).code() == ResponseCode::SUCCESS {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // Nobody can be asked: nothing is counted, nothing is put back.
    (0..20).for_each(|_| server.pass(ROUND));
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(control.pull_all(HALF, 0, 0).len(), 1);
    let mut heir = member(&server, "b", GROUP);
    server.pass(ROUND);
    let (half, message) = asked(&mut heir);
    assert_eq!(message.properties.get("TRANSACTION_CHECK_TIMES"), Some("1"));
    answer(&mut heir, &half, COMMIT);
    assert_eq!(control.await_messages("T", 1, 1)[0].body, b"orphan");
    assert_not_asked(&mut strangers);
}

#[test]
fn the_members_of_a_group_are_asked_in_turn() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut members: Vec<RawClient> = ["a", "b", "c"].map(|id| member(&server, id, GROUP)).into();
    (0..9).for_each(|n| drop(send_half(&mut client, "T", &n.to_string(), "")));
    server.pass(ROUND);
    for member in &mut members {
        for _ in 0..3 {
            let (half, _) = asked(member);
            answer(member, &half, COMMIT);
        }
    }
    assert_eq!(client.await_messages("T", 1, 9).len(), 9);
    members.iter_mut().for_each(assert_not_asked);
}

#[test]
fn a_late_decision_counts_for_a_message_that_was_put_back() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    let (slow, lost) = (send_half(&mut client, "T", "slow", ""), send_half(&mut client, "T", "lost", ""));
    server.pass(ROUND);
    let (slow_now, _) = asked(&mut producer);
    let (lost_now, _) = asked(&mut producer);
    assert_eq!((&slow_now.id, &lost_now.id), (&slow.id, &lost.id));
    // Both the late decision and the answer arrive.
    decide(&mut client, &slow, COMMIT).ok();
    answer(&mut producer, &slow_now, COMMIT);
    decide(&mut client, &lost, ROLLBACK).ok();
    answer(&mut producer, &lost_now, COMMIT);
    server.pass(ROUND);
    assert_not_asked(&mut producer);
    assert_eq!(client.pull_all("T", 1, 0).len(), 1);
}

#[test]
fn pending_ones_survive_a_restart() {
    let mut server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    let halves: Vec<Half> = (0..6).map(|n| send_half(&mut client, "T", &n.to_string(), "")).collect();
    decide(&mut client, &halves[1], COMMIT).ok();
    decide(&mut client, &halves[4], ROLLBACK).ok();
    server.pass(ROUND);
    let (asked_first, _) = asked(&mut producer);
    assert_eq!(asked_first.id, halves[0].id);
    server.restart();
    let mut client = server.broker();
    // Those of 4.9 can read, too, which is decided.
    let marks = client.pull_all(OP, 0, 0);
    assert!(marks.iter().all(|mark| mark.properties.get("TAGS") == Some("d")));
    // A decision about what was put back before the restart.
    decide(&mut client, &halves[0], COMMIT).ok();
    decide(&mut client, &halves[1], COMMIT).ok();
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (half, _) = asked(&mut producer);
        answer(&mut producer, &half, COMMIT);
        ids.push(half.id);
    }
    ids.sort();
    let mut expected: Vec<String> = [2, 3, 5].map(|n: usize| halves[n].id.clone()).into();
    expected.sort();
    assert_eq!(ids, expected);
    let mut bodies: Vec<Vec<u8>> =
        client.await_messages("T", 1, 5).into_iter().map(|message| message.body).collect();
    bodies.sort();
    assert_eq!(bodies, [b"0", b"1", b"2", b"3", b"5"]);
    server.restart();
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    assert_not_asked(&mut producer);
    assert_eq!(server.broker().pull_all("T", 1, 0).len(), 5);
}

/// The state of the disk after each step is a store that goes on without asking for what was committed, and that commits
/// nothing twice.
#[test]
fn pending_ones_survive_a_crash() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    let halves: Vec<Half> = (0..3).map(|n| send_half(&mut client, "T", &n.to_string(), "")).collect();
    let check = |server: &TestServer, committed: usize, open: &[&str]| {
        let copy = server.copy();
        let mut client = copy.broker();
        assert_eq!(client.pull_all("T", 1, 0).len(), committed);
        let mut producer = member(&copy, "p", GROUP);
        copy.pass(ROUND);
        let mut ids: Vec<String> = open.iter().map(|_| asked(&mut producer).0.id).collect();
        ids.sort();
        let mut expected: Vec<String> = open.iter().map(|id| id.to_string()).collect();
        expected.sort();
        assert_eq!(ids, expected);
        assert_not_asked(&mut producer);
    };
    let ids: Vec<&str> = halves.iter().map(|half| half.id.as_str()).collect();
    check(&server, 0, &ids);
    // The mark waits in memory.
    decide(&mut client, &halves[1], COMMIT).ok();
    check(&server, 1, &[ids[0], ids[2]]);
    // Put back, and the progress is not saved.
    server.pass(ROUND);
    let (first, _) = asked(&mut producer);
    let _second = asked(&mut producer);
    check(&server, 1, &[ids[0], ids[2]]);
    answer(&mut producer, &first, COMMIT);
    client.await_messages("T", 1, 2);
    check(&server, 2, &[ids[2]]);
    decide(&mut client, &halves[2], ROLLBACK).ok();
    server.pass(4);
    let names_4 = |mark: &Received| mark.body.split(|byte| *byte == b',').any(|offset| offset == b"4");
    while !client.pull_all(OP, 0, 0).iter().any(names_4) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    check(&server, 2, &[]);
}

#[test]
fn ten_thousand_pending_ones_are_asked_for_in_one_round() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    let body = [7; 32];
    for chunk in 0..100 {
        for _ in 0..100 {
            client.send(&Request::SendMessage(half_message("T", 1, &body, "")));
        }
        for _ in 0..100 {
            assert_eq!(client.receive().code(), ResponseCode::SUCCESS, "{chunk}");
        }
    }
    server.pass(ROUND);
    for _ in 0..10_000 {
        let (half, _) = asked(&mut producer);
        answer(&mut producer, &half, COMMIT);
    }
    let all = client.await_messages("T", 1, 10_000);
    assert_eq!(all.len(), 10_000);
    server.pass(ROUND);
    assert_not_asked(&mut producer);
    // One question and few marks each: nothing else was stored.
    assert_eq!(client.pull_all(HALF, 0, 0).len(), 20_000);
    let marks = client.pull_all(OP, 0, 0);
    assert!(marks.len() < 200 && marks.iter().all(|mark| mark.body.len() < 4200), "{}", marks.len());
}

#[test]
fn decisions_come_through_changed_settings() {
    let server = start("transactionCheckInterval=86400000");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let mut producer = member(&server, "p", GROUP);
    send_half(&mut client, "T", "x", "");
    server.pass(3600);
    assert_not_asked(&mut producer);
    // Counts at once, not after the day that the thread sleeps.
    set(&mut client, "transactionCheckInterval=60000");
    let (half, _) = asked(&mut producer);
    answer(&mut producer, &half, COMMIT);
    client.await_messages("T", 1, 1);
}

#[test]
fn a_message_too_old_is_given_up_unasked() {
    let server = start("fileReservedTime=2\ntransactionCheckInterval=30000");
    let mut client = server.broker();
    client.create_topic("T", 2);
    send_half(&mut client, "T", "old", "");
    server.pass(3600);
    send_half(&mut client, "T", "newer", "");
    server.pass(3700);
    let given_up = client.await_messages(GIVEN_UP, 0, 1);
    assert_eq!((given_up.len(), given_up[0].body.as_slice()), (1, &b"old"[..]));
    let mut producer = member(&server, "p", GROUP);
    server.pass(40);
    let (half, message) = asked(&mut producer);
    assert_eq!(message.body, b"newer");
    answer(&mut producer, &half, COMMIT);
    client.await_messages("T", 1, 1);
}

#[test]
fn a_commit_that_cannot_be_stored_is_asked_for_again() {
    let mut server = start("");
    let mut client = server.broker();
    client.create_topic("T", 2);
    let body = "x".repeat(100_000);
    let large = send_half(&mut client, "T", &body, "");
    let small = send_half(&mut client, "T", "small", "");
    // The disk is full, as far as the large one is concerned.
    server.restart_with(|broker| broker.max_message_size = 1000);
    let mut client = server.broker();
    let answer_to_commit = decide(&mut client, &large, COMMIT);
    assert_eq!(answer_to_commit.code(), ResponseCode::MESSAGE_ILLEGAL, "{}", answer_to_commit.remark());
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    // It cannot be put back either: it is asked for where it is, and holds up nothing behind it.
    let (half, message) = asked(&mut producer);
    assert_eq!((half.id.as_str(), message.body.len()), (&*large.id, body.len()));
    answer(&mut producer, &half, COMMIT);
    let (half, message) = asked(&mut producer);
    assert_eq!((half.id.as_str(), message.body.as_slice()), (&*small.id, &b"small"[..]));
    answer(&mut producer, &half, COMMIT);
    assert_eq!(client.await_messages("T", 1, 1).len(), 1);
    server.restart_with(|broker| broker.max_message_size = 4 << 20);
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    let (half, message) = asked(&mut producer);
    assert_eq!((half.id.as_str(), message.body.len()), (&*large.id, body.len()));
    answer(&mut producer, &half, COMMIT);
    assert_eq!(server.broker().await_messages("T", 1, 2)[1].body, body.as_bytes());
}
