//! Delay levels, retries and dead letters, on a clock that the tests move.

use std::collections::BTreeSet;

use ferromq::wire::body::{ConsumerData, HeartbeatData, SubscriptionData, TopicConfigSerializeWrapper};
use ferromq::wire::{
    json, GetAllTopicConfig, GetMinOffset, HeartBeat, Request, ResponseCode, ViewMessageById,
};

use crate::support::{message, send_back, start_server, Answer, RawClient, Received, TestServer};

const MINUTE: u64 = 60;
/// Delays of retries 1 to 16, in seconds: the last sixteen delay levels.
const RETRY_DELAYS: [u64; 16] = [
    10,
    30,
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    4 * MINUTE,
    5 * MINUTE,
    6 * MINUTE,
    7 * MINUTE,
    8 * MINUTE,
    9 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    60 * MINUTE,
    120 * MINUTE,
];

#[test]
fn a_delayed_message_comes_after_its_time_and_not_before() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("Later", 2);
    client.produce("Later", 1, b"in 10 s", "DELAY=3 TAGS=A KEYS=k").ok();
    client.produce("Later", 1, b"now", "").ok();
    server.pass(3);
    // Time for a wrong delivery to happen: the schedule thread was woken by the moved clock.
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(client.pull_all("Later", 1, 0).len(), 1);
    server.pass(8);
    let all = client.await_messages("Later", 1, 2);
    assert_eq!(all[1].body, b"in 10 s");
    assert_eq!(all[1].properties.get("TAGS"), Some("A"));
    assert_eq!(all[1].properties.get("REAL_TOPIC"), Some("Later"));
    let waiting = client.pull_all("SCHEDULE_TOPIC_XXXX", 2, 0);
    assert_eq!(waiting.len(), 1, "level 3 waits in queue 2");
}

#[test]
fn a_level_above_the_highest_counts_as_the_highest() {
    let server = start_server("messageDelayLevel=1s 2s 1h");
    let mut client = server.broker();
    client.produce("Later", 0, b"x", "DELAY=19").ok();
    let waiting = client.pull_all("SCHEDULE_TOPIC_XXXX", 2, 0);
    assert_eq!(waiting[0].properties.get("DELAY"), Some("3"));
    server.pass(3601);
    client.await_messages("Later", 0, 1);
}

#[test]
fn delayed_messages_survive_restarts_and_come_once() {
    let mut server = start_server("");
    for level in [1, 5, 18] {
        server.broker().produce("Later", 0, &[level], &format!("DELAY={level}")).ok();
    }
    server.pass(2);
    server.broker().await_messages("Later", 0, 1);
    server.restart();
    server.pass(3 * 3600);
    let mut client = server.broker();
    let all = client.await_messages("Later", 0, 3);
    assert_eq!(all.iter().map(|message| message.body[0]).collect::<Vec<_>>(), [1, 5, 18]);
    server.restart();
    server.pass(24 * 3600);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(server.broker().pull_all("Later", 0, 0).len(), 3);
}

/// As after a power cut that took messages which were delivered already.
#[test]
fn progress_of_delays_that_is_ahead_of_its_queue_skips_nothing() {
    let server = start_server("");
    let mut client = server.broker();
    (0..3).for_each(|_| drop(client.produce("Later", 0, b"old", "DELAY=1").ok()));
    server.pass(2);
    client.await_messages("Later", 0, 3);
    for there in [r#"{"offsetTable":{1:10,2:10}}"#, r#"{"offsetTable":{1:3,2:1}}"#] {
        let server =
            server.copy_with(|data| std::fs::write(data.join("config/delayOffset.json"), there).unwrap());
        let mut client = server.broker();
        for level in [1, 1, 2, 2] {
            client.produce("Later", 0, b"new", &format!("DELAY={level}")).ok();
        }
        server.pass(6);
        assert_eq!(client.await_messages("Later", 0, 7).len(), 7);
    }
}

/// Delays of all levels, in seconds.
fn all_delays() -> Vec<u64> {
    [1, 5].into_iter().chain(RETRY_DELAYS).collect()
}

/// Waits until a message with this body is there; all that are there.
fn await_body(client: &mut RawClient, body: &[u8]) -> Vec<Received> {
    for _ in 0..3000 {
        let all = client.pull_all("Later", 0, 0);
        if all.iter().any(|message| message.body == body) {
            return all;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{body:?} never came");
}

#[test]
fn delayed_messages_survive_a_crash_and_none_comes_early() {
    // Whether it is noted what came before the crash or not.
    for settings in ["", "flushDelayOffsetInterval=2000000000"] {
        let server = start_server(settings);
        let mut client = server.broker();
        for level in 1..=18u8 {
            client.produce("Later", 0, &[level], &format!("DELAY={level}")).ok();
        }
        server.pass(31);
        client.await_messages("Later", 0, 4);
        let copy = server.copy();
        let mut client = copy.broker();
        let mut passed = 31;
        for (level, delay) in (1..).zip(all_delays()) {
            copy.pass(delay.saturating_sub(passed));
            passed = passed.max(delay);
            await_body(&mut client, &[level]);
        }
        let all = client.pull_all("Later", 0, 0);
        let waited: Vec<_> =
            (0..18).flat_map(|queue| client.pull_all("SCHEDULE_TOPIC_XXXX", queue, 0)).collect();
        assert_eq!(waited.len(), 18);
        for came in &all {
            let level = usize::from(came.body[0]);
            let stored = waited.iter().find(|waited| waited.body == came.body).unwrap().store_timestamp;
            let due = stored + all_delays()[level - 1] as i64 * 1000;
            assert!(
                came.store_timestamp >= due,
                "level {level} came {} ms early",
                due - came.store_timestamp
            );
        }
        // What came and was not noted comes again, and nothing else.
        let again = all.len() - 18;
        assert!(again <= 4, "{again} came twice");
        let bodies: BTreeSet<_> = all.iter().map(|message| message.body[0]).collect();
        assert!(bodies.into_iter().eq(1..=18));
    }
}

#[test]
fn a_hole_in_a_delay_level_is_skipped() {
    let mut server = start_server("");
    for body in [b"0", b"1", b"2"] {
        server.broker().produce("Later", 0, body, "DELAY=3").ok();
    }
    // From here on entries are read from the file.
    server.restart();
    let path = server.data().join("consumequeue/SCHEDULE_TOPIC_XXXX/2/00000000000000000000");
    let mut entries = std::fs::read(&path).unwrap();
    entries[20..40].fill(0);
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &entries[20..40], 20).unwrap();
    server.pass(11);
    let bodies: Vec<_> =
        server.broker().await_messages("Later", 0, 2).into_iter().map(|found| found.body).collect();
    assert_eq!(bodies, [b"0", b"2"]);
}

/// Fails the newest delivery of a message and waits for the next one.
fn fail(client: &mut RawClient, received: &Received) {
    client.call(&send_back("G", received, 0)).ok();
}

#[test]
fn a_message_that_keeps_failing_is_tried_16_times_and_then_a_dead_letter() {
    let server = start_server("");
    let mut client = server.broker();
    let sent = client.produce("Work", 0, b"poison", "UNIQ_KEY=U TAGS=T KEYS=k").ok();
    // Pulling makes the group, as a heartbeat would.
    let first = client.pull("Work", 0, 0).ok().records().remove(0);
    let mut last = first.clone();
    for (n, delay) in RETRY_DELAYS.iter().enumerate() {
        fail(&mut client, &last);
        let level = client.pull_all("SCHEDULE_TOPIC_XXXX", n as i32 + 2, 0);
        assert_eq!(level.len(), 1, "retry {} waits in level {}", n + 1, n + 3);
        server.pass(delay + 1);
        let retries = client.await_messages("%RETRY%G", 0, n + 1);
        last = retries[n].clone();
        assert_eq!(last.reconsume_times, n as i32 + 1);
        assert_eq!(last.body, b"poison");
        assert_eq!(last.properties.get("RETRY_TOPIC"), Some("Work"));
        assert_eq!(last.properties.get("ORIGIN_MESSAGE_ID"), Some(&*sent.field("msgId")));
        assert_eq!(last.properties.get("UNIQ_KEY"), Some("U"));
    }
    assert_eq!(
        client.pull("%DLQ%G", 0, 0).code(),
        ResponseCode::TOPIC_NOT_EXIST,
        "no dead letter yet, no topic"
    );
    fail(&mut client, &last);
    let dead = client.await_messages("%DLQ%G", 0, 1);
    assert_eq!(dead[0].reconsume_times, 17);
    assert_eq!(dead[0].body, b"poison");
    assert_eq!(dead[0].properties.get("DLQ_ORIGIN_TOPIC"), Some("Work"));
    assert_eq!(dead[0].properties.get("DLQ_ORIGIN_MESSAGE_ID"), Some(&*sent.field("msgId")));
}

#[test]
fn the_consumers_own_limit_counts() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("Work", 0, b"x", "").ok();
    let first = client.pull("Work", 0, 0).ok().records().remove(0);
    let Request::ConsumerSendMsgBack(mut back) = send_back("G", &first, 0) else { unreachable!() };
    back.max_reconsume_times = Some(0);
    client.call(&Request::ConsumerSendMsgBack(back)).ok();
    assert_eq!(client.await_messages("%DLQ%G", 0, 1).len(), 1);
}

#[test]
fn a_client_that_sends_its_retries_itself_meets_the_same_limit() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("Work", 0, b"x", "").ok();
    client.pull("Work", 0, 0).ok();
    for (times, topic, count) in [(15, "%RETRY%G", 1), (16, "%DLQ%G", 1)] {
        let mut retry = message("%RETRY%G", 0, b"again", "RETRY_TOPIC=Work");
        retry.reconsume_times = times;
        client.call(&Request::SendMessage(retry)).ok();
        assert_eq!(client.await_messages(topic, 0, count).len(), count);
    }
}

#[test]
fn sending_back_what_is_not_there_is_refused() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("Work", 0, b"x", "").ok();
    let mut first = client.pull("Work", 0, 0).ok().records().remove(0);
    let unknown = client.call(&send_back("NoSuchGroup", &first, 0));
    assert_eq!(unknown.code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST);
    first.physical_offset += 3;
    let nothing = client.call(&send_back("G", &first, 0));
    assert_eq!(nothing.code(), ResponseCode::SYSTEM_ERROR);
    assert!(nothing.remark().contains(&first.physical_offset.to_string()), "{}", nothing.remark());
}

#[test]
fn a_message_tried_more_often_than_can_be_counted_becomes_a_dead_letter() {
    let server = start_server("");
    let mut client = server.broker();
    let mut tried = message("T", 0, b"x", "");
    tried.reconsume_times = i32::MAX;
    client.call(&Request::SendMessage(tried)).ok();
    let received = client.pull_all("T", 0, 0).remove(0);
    assert_eq!(received.reconsume_times, i32::MAX);
    client.call(&send_back("G", &received, 0)).ok();
}

/// A member of group G that consumes topics A and B.
fn member(server: &TestServer, client_id: &str) -> RawClient {
    let subscription =
        |topic: &str| SubscriptionData { topic: topic.into(), sub_string: "*".into(), ..Default::default() };
    let consumer = ConsumerData {
        group_name: "G".into(),
        subscription_data_set: vec![subscription("A"), subscription("B")],
        ..Default::default()
    };
    let body = HeartbeatData {
        client_id: client_id.into(),
        consumer_data_set: vec![consumer],
        ..Default::default()
    };
    let mut member = server.broker();
    ask(&mut member, &Request::HeartBeat(HeartBeat { body }));
    member
}

/// The answer to a request; notes that the group changed are passed over.
fn ask(member: &mut RawClient, request: &Request<'_>) -> Answer {
    let opaque = member.send(request);
    loop {
        let answer = member.receive();
        if answer.frame().is_response() && answer.frame().opaque == opaque {
            return answer.ok();
        }
    }
}

#[test]
fn a_group_has_one_topic_for_the_dead_letters_of_all_members_and_topics() {
    let server = start_server("");
    let mut client = server.broker();
    let mut members = ["a", "b", "c"].map(|id| member(&server, id));
    for topic in ["A", "B"] {
        for number in 0..3u8 {
            client.produce(topic, 0, &[number], "").ok();
        }
        let received = client.pull_all(topic, 0, 0);
        for (member, message) in members.iter_mut().zip(&received) {
            ask(member, &send_back("G", message, -1));
        }
    }
    let dead = client.await_messages("%DLQ%G", 0, 6);
    let mut from: Vec<_> = dead
        .iter()
        .map(|letter| {
            assert_eq!(letter.properties.get("DLQ_ORIGIN_TOPIC"), letter.properties.get("RETRY_TOPIC"));
            (letter.properties.get("DLQ_ORIGIN_TOPIC").unwrap(), letter.body[0])
        })
        .collect();
    from.sort_unstable();
    assert_eq!(from, [("A", 0), ("A", 1), ("A", 2), ("B", 0), ("B", 1), ("B", 2)]);
    let all = client.call(&Request::GetAllTopicConfig(GetAllTopicConfig::default())).ok();
    let all: TopicConfigSerializeWrapper = json::from_slice(all.frame().body).unwrap();
    let dead: Vec<_> = all.topic_config_table.keys().filter(|name| name.starts_with("%DLQ%")).collect();
    assert_eq!(dead, ["%DLQ%G"]);
}

#[test]
fn dead_letters_go_with_the_other_messages_of_their_time() {
    let settings = "flushDiskType=SYNC_FLUSH\nmappedFileSizeCommitLog=65536\nmaxMessageSize=20000\n\
        cleanFileForciblyEnable=false";
    let server = start_server(settings);
    let mut client = server.broker();
    let mut places = Vec::new();
    for body in [b"consumed", b"in peace"] {
        client.produce("Work", 0, body, "").ok();
        let received = client.pull_all("Work", 0, 0).pop().unwrap();
        client.call(&send_back("G", &received, -1)).ok();
        places.push(received.physical_offset);
    }
    let dead = client.await_messages("%DLQ%G", 0, 2);
    places.extend(dead.iter().map(|letter| letter.physical_offset));
    client.call(&crate::broker_admin::commit("G", "%DLQ%G", 0, 1)).ok();
    for _ in 0..30 {
        client.produce("Filler", 0, &[7; 10_000], "").ok();
    }
    let view = |client: &mut RawClient, offset| {
        client.call(&Request::ViewMessageById(ViewMessageById { offset, ..Default::default() })).code()
    };
    // Only what is flushed can go.
    server.pass(71 * 3600);
    client.call(&Request::DeleteExpiredCommitlog).ok();
    assert_eq!(client.pull_all("%DLQ%G", 0, 0).len(), 2);
    server.pass(2 * 3600);
    client.call(&Request::DeleteExpiredCommitlog).ok();
    for place in places {
        assert_eq!(view(&mut client, place), ResponseCode::SYSTEM_ERROR, "whatever stood at {place} is gone");
    }
    assert!(client.pull_all("%DLQ%G", 0, 0).is_empty());
    let min = GetMinOffset { topic: "%DLQ%G".into(), queue_id: 0 };
    assert_eq!(client.call(&Request::GetMinOffset(min)).ok().field("offset"), "2");
    // The next one has the next number.
    client.produce("Work", 0, b"later", "").ok();
    let offset = client.produce("Work", 0, b"later", "").ok().queue_offset();
    let received = client.pull("Work", 0, offset).ok().records().remove(0);
    client.call(&send_back("G", &received, -1)).ok();
    let letter = client.pull("%DLQ%G", 0, 2).ok().records().remove(0);
    assert_eq!((letter.queue_offset, letter.body.as_slice()), (2, &b"later"[..]));
}
