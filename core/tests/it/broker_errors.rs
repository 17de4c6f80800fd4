//! What each mistake is answered with: the response code of Apache's broker, a remark that names the thing and the
//! limit, and a server that goes on.

use ferromq::message::batch::{encode_item, Item};
use ferromq::wire::{Request, ResponseCode, SendForm, UpdateAndCreateTopic, ViewMessageById};

use crate::broker_admin::runtime_info;
use crate::support::{create_topic, message, pull, start_server, RawClient};

/// After every mistake the same connection still works.
fn assert_refused(client: &mut RawClient, request: &Request<'_>, code: ResponseCode, named: &[&str]) {
    let answer = client.call(request);
    assert_eq!(answer.code(), code, "{}", answer.remark());
    for name in named {
        assert!(answer.remark().contains(name), "{name:?} is not in {:?}", answer.remark());
    }
    client.produce("Fine", 0, b"still here", "").ok();
}

#[test]
fn sends_are_refused_with_the_reason() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("There", 2);
    let long = "t".repeat(300);
    let too_large = vec![0; (4 << 20) + 1];
    let properties = format!("X={}", "p".repeat(32_768));
    let mut nowhere = message("Nowhere", 0, b"x", "");
    nowhere.default_topic = "NoTemplate".into();
    let cases = [
        (
            message("There", 99, b"x", ""),
            ResponseCode::INVALID_PARAMETER,
            vec!["queueId[99]", "There", "2 write"],
        ),
        (
            message("bad topic!", 0, b"x", ""),
            ResponseCode::INVALID_PARAMETER,
            vec!["bad topic!", "allowing only"],
        ),
        (message("a/../b", 0, b"x", ""), ResponseCode::INVALID_PARAMETER, vec!["a/../b"]),
        (message("", 0, b"x", ""), ResponseCode::INVALID_PARAMETER, vec!["blank"]),
        (message(&long, 0, b"x", ""), ResponseCode::INVALID_PARAMETER, vec!["127", "300"]),
        (
            message("SCHEDULE_TOPIC_XXXX", 0, b"x", ""),
            ResponseCode::NO_PERMISSION,
            vec!["SCHEDULE_TOPIC_XXXX"],
        ),
        (nowhere, ResponseCode::TOPIC_NOT_EXIST, vec!["Nowhere", "autoCreateTopicEnable"]),
        (message("There", 0, b"x", &properties), ResponseCode::MESSAGE_ILLEGAL, vec!["32767"]),
        (
            message("There", 0, &too_large, ""),
            ResponseCode::MESSAGE_ILLEGAL,
            vec!["4194304", "maxMessageSize"],
        ),
        (
            message("There", 0, b"x", "TRAN_MSG=true DELAY=1"),
            ResponseCode::MESSAGE_ILLEGAL,
            vec!["TRAN_MSG", "DELAY"],
        ),
        (
            message("There", 0, b"x", "TIMER_DELAY_SEC=5"),
            ResponseCode::MESSAGE_ILLEGAL,
            vec!["TIMER_DELAY_SEC"],
        ),
        (
            message("There", 0, b"x", "TIMER_DELAY_MS=5000"),
            ResponseCode::MESSAGE_ILLEGAL,
            vec!["TIMER_DELAY_MS"],
        ),
        (
            message("There", 0, b"x", "TIMER_DELIVER_MS=4000000000000"),
            ResponseCode::MESSAGE_ILLEGAL,
            vec!["TIMER_DELIVER_MS"],
        ),
    ];
    for (send, code, named) in cases {
        assert_refused(&mut client, &Request::SendMessage(send), code, &named);
    }
    assert!(client.pull_all("There", 0, 0).is_empty(), "nothing of it was stored");
}

#[test]
fn broken_batches_are_refused_whole() {
    let server = start_server("");
    let mut client = server.broker();
    let mut body = Vec::new();
    encode_item(&mut body, &Item { flag: 0, body: b"good", properties: b"" }).unwrap();
    let whole = body.len();
    body.extend_from_slice(&[0, 0, 0, 200, 1, 2, 3]);
    for bad in [&body[..], &body[whole..], b""] {
        let mut batch = message("Batch", 0, bad, "");
        batch.form = SendForm::Batch;
        batch.batch = true;
        assert_refused(&mut client, &Request::SendMessage(batch), ResponseCode::MESSAGE_ILLEGAL, &[]);
    }
    assert!(client.pull_all("Batch", 0, 0).is_empty());
}

#[test]
fn topics_are_not_made_when_that_is_switched_off() {
    let mut server = start_server("autoCreateTopicEnable=false\nautoCreateSubscriptionGroup=false");
    for _ in 0..2 {
        let mut client = server.broker();
        let answer = client.produce("Unknown", 0, b"x", "");
        assert_eq!(answer.code(), ResponseCode::TOPIC_NOT_EXIST);
        assert!(answer.remark().contains("autoCreateTopicEnable"), "{}", answer.remark());
        let answer = client.pull("BenchmarkTest", 0, 0);
        assert_eq!(answer.code(), ResponseCode::SUBSCRIPTION_GROUP_NOT_EXIST, "{}", answer.remark());
        server.restart();
    }
}

#[test]
fn pulls_are_refused_with_the_reason() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("There", 2);
    for body in [b"a", b"b"] {
        client.produce("There", 0, body, "").ok();
    }
    let mut sql = pull("G", "There", 0, 0, 0);
    (sql.subscription, sql.expression_type) = (Some("a > 1".into()), Some("SQL92".into()));
    let mut unparsable = pull("G", "There", 0, 0, 0);
    unparsable.subscription = Some("||".into());
    let mut unknown = pull("G", "There", 0, 0, 0);
    unknown.sys_flag = 0;
    let cases = [
        (pull("G", "Nowhere", 0, 0, 0), ResponseCode::TOPIC_NOT_EXIST, vec!["Nowhere"]),
        (pull("G", "There", 77, 0, 0), ResponseCode::INVALID_PARAMETER, vec!["77", "There", "2"]),
        (pull("G", "There", -1, 0, 0), ResponseCode::INVALID_PARAMETER, vec!["-1"]),
        (sql, ResponseCode::SYSTEM_ERROR, vec!["SQL92"]),
        (unparsable, ResponseCode::SUBSCRIPTION_PARSE_FAILED, vec!["||"]),
        (unknown, ResponseCode::SUBSCRIPTION_NOT_EXIST, vec!["group info"]),
    ];
    for (wrong, code, named) in cases {
        assert_refused(&mut client, &Request::PullMessage(wrong), code, &named);
    }
    for (offset, next) in [(100, 2), (-5, 0)] {
        let answer = client.pull("There", 0, offset);
        assert_eq!(answer.code(), ResponseCode::PULL_OFFSET_MOVED);
        assert_eq!(answer.pulled().next_begin_offset, next);
    }
}

#[test]
fn permissions_of_a_topic_close_each_side() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("Perm", 1);
    client.produce("Perm", 0, b"x", "").ok();
    client.call(&create_topic("Perm", 1, 4)).ok();
    let refused = client.produce("Perm", 0, b"x", "");
    assert_eq!(refused.code(), ResponseCode::NO_PERMISSION);
    assert!(refused.remark().contains("Perm") && refused.remark().contains('4'), "{}", refused.remark());
    assert_eq!(client.pull("Perm", 0, 0).ok().records().len(), 1);
    client.call(&create_topic("Perm", 1, 2)).ok();
    client.produce("Perm", 0, b"x", "").ok();
    let refused = client.pull("Perm", 0, 0);
    assert_eq!(refused.code(), ResponseCode::NO_PERMISSION);
    assert!(refused.remark().contains("Perm") && refused.remark().contains('2'), "{}", refused.remark());
    client.call(&create_topic("Perm", 1, 6)).ok();
    assert_eq!(client.pull_all("Perm", 0, 0).len(), 2);
    // Who waits gets nothing more either.
    let held = client.send(&Request::PullMessage(pull("G", "Perm", 0, 2, 600_000)));
    let mut operator = server.broker();
    while runtime_info(&mut operator)["heldPulls"] != "1" {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    operator.call(&create_topic("Perm", 1, 2)).ok();
    operator.produce("Perm", 0, b"x", "").ok();
    let refused = client.receive();
    assert_eq!((refused.frame().opaque, refused.code()), (held, ResponseCode::NO_PERMISSION));
}

#[test]
fn admin_mistakes_are_refused() {
    let server = start_server("");
    let mut client = server.broker();
    let invalid = ResponseCode::INVALID_PARAMETER;
    assert_refused(&mut client, &create_topic("TBW102", 1, 6), invalid, &["TBW102", "system topic"]);
    assert_refused(&mut client, &create_topic("Many", i32::MAX, 6), invalid, &["readQueueNums", "Many"]);
    assert_refused(&mut client, &create_topic("Perm", 1, 64), invalid, &["perm 64"]);
    let attributes = UpdateAndCreateTopic {
        topic: "Attr".into(),
        default_topic: Some("TBW102".into()),
        topic_filter_type: Some("SINGLE_TAG".into()),
        read_queue_nums: 1,
        write_queue_nums: 1,
        perm: 6,
        attributes: Some("+queue.type=BatchCQ".into()),
        ..Default::default()
    };
    assert_refused(&mut client, &Request::UpdateAndCreateTopic(attributes), invalid, &["BatchCQ"]);
    for offset in [999_999_999, -1, i64::MAX] {
        let view = Request::ViewMessageById(ViewMessageById { offset, ..Default::default() });
        assert_refused(&mut client, &view, ResponseCode::SYSTEM_ERROR, &[&offset.to_string()]);
    }
}

#[test]
fn an_offset_inside_a_record_is_no_message() {
    let server = start_server("");
    let mut client = server.broker();
    // A body that itself looks like a record must not pass for one.
    let inner = client.produce("T", 0, b"inner", "").ok().field("msgId");
    let start = i64::from_str_radix(&inner[16..], 16).unwrap();
    let view = |client: &mut RawClient, offset| {
        client.call(&Request::ViewMessageById(ViewMessageById { offset, ..Default::default() })).code()
    };
    assert_eq!(view(&mut client, start), ResponseCode::SUCCESS);
    for offset in start + 1..start + 120 {
        assert_eq!(view(&mut client, offset), ResponseCode::SYSTEM_ERROR);
    }
}

#[test]
fn a_code_without_a_handler_says_so() {
    let server = start_server("");
    let mut client = server.broker();
    let mut frame = br#"....{"code":1999,"flag":0,"language":"JAVA","opaque":7,"version":401}"#.to_vec();
    let header = frame.len() as u32 - 4;
    frame.splice(0..4, header.to_be_bytes());
    frame.splice(0..0, (header + 4).to_be_bytes());
    client.write(&frame);
    let answer = client.receive();
    assert_eq!(answer.code(), ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(answer.remark(), " request type 1999 not supported");
}
