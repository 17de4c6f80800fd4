//! Messages in and out of a broker, frame by frame.

use std::collections::HashMap;

use ferromq::broker::Broker;
use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::message::batch::{encode_item, Item};
use ferromq::message::OffsetId;
use ferromq::net::{Loops, Server, ServerOptions};
use ferromq::wire::{
    GetEarliestMsgStoretime, GetMaxOffset, GetMinOffset, PullMessage, QueryMessage, Request, RequestCode,
    ResponseCode, SearchOffsetByTimestamp, SendForm, SendMessage, ViewMessageById,
};

use crate::net_support::HANG;
use crate::support::{message, pull, start_server, RawClient};

#[test]
fn a_message_comes_out_as_it_went_in() {
    let server = start_server("");
    for (form, mut client) in [SendForm::V1, SendForm::V2]
        .into_iter()
        .flat_map(|form| [(form, server.broker()), (form, server.broker().binary())])
    {
        let properties = "TAGS=TagA KEYS=k1 UNIQ_KEY=U1 城市=上海 WAIT=true";
        let sending = SendMessage { form, ..message("Echo", 1, "Grüße".as_bytes(), properties) };
        let sent = client.call(&Request::SendMessage(sending)).ok();
        let offset = sent.queue_offset();
        assert_eq!(sent.field("transactionId"), "U1");
        assert_eq!(sent.field("MSG_REGION"), "DefaultRegion");
        let id: OffsetId = sent.field("msgId").parse().expect("an offset id");
        assert_eq!(id.host.port(), server.broker_port());

        let answer = client.pull("Echo", 1, offset).ok();
        assert_eq!(answer.remark(), "FOUND");
        let records = answer.records();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].body, "Grüße".as_bytes());
        assert_eq!(records[0].physical_offset, id.physical_offset);
        for (name, value) in
            [("TAGS", "TagA"), ("KEYS", "k1"), ("城市", "上海"), ("CLUSTER", "DefaultCluster")]
        {
            assert_eq!(records[0].properties.get(name), Some(value));
        }
        let view = ViewMessageById { offset: id.physical_offset, ..Default::default() };
        let viewed = client.call(&Request::ViewMessageById(view)).ok().records();
        assert_eq!(viewed, records);
    }
}

#[test]
fn bodies_empty_and_large_are_stored() {
    let server = start_server("");
    let mut client = server.broker();
    let large = vec![7; 3 << 20];
    client.produce("Sizes", 0, b"", "UNIQ_KEY=empty").ok();
    client.produce("Sizes", 0, &large, "UNIQ_KEY=large").ok();
    let all = client.pull_all("Sizes", 0, 0);
    assert_eq!(all.len(), 2);
    assert!(all[0].body.is_empty());
    assert!(all[1].body == large);
}

#[test]
fn pipelined_sends_are_all_answered_and_queues_count_up() {
    let server = start_server("");
    let mut client = server.broker();
    client.create_topic("Pipe", 4);
    let bodies: Vec<Vec<u8>> = (0..1000u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for (n, body) in bodies.iter().enumerate() {
        client.send(&Request::SendMessage(message("Pipe", (n % 4) as i32, body, "")));
    }
    for _ in &bodies {
        client.receive().ok();
    }
    for queue in 0..4 {
        let all = client.pull_all("Pipe", queue, 0);
        assert_eq!(all.len(), 250);
        for (n, received) in all.iter().enumerate() {
            assert_eq!(received.queue_offset, n as i64);
            assert_eq!(received.body, bodies[n * 4 + queue as usize]);
        }
    }
}

#[test]
fn a_batch_is_stored_message_by_message() {
    let server = start_server("");
    let mut client = server.broker();
    let mut body = Vec::new();
    for n in 0..100 {
        let properties = format!("KEYS\u{1}b{n}\u{2}UNIQ_KEY\u{1}U{n}");
        let text = format!("body {n}");
        encode_item(&mut body, &Item { flag: n, body: text.as_bytes(), properties: properties.as_bytes() })
            .unwrap();
    }
    for (round, form) in [SendForm::Batch, SendForm::BatchV1].into_iter().enumerate() {
        let mut batch = message("Batch", 0, &body, "UNIQ_KEY=all WAIT=true");
        (batch.form, batch.batch) = (form, true);
        let answer = client.call(&Request::SendMessage(batch)).ok();
        assert_eq!(answer.field("msgId").split(',').count(), 100);
        assert_eq!(answer.queue_offset(), 100 * round as i64);
        let all = client.pull_all("Batch", 0, answer.queue_offset());
        assert_eq!(all.len(), 100);
        for (n, received) in all.iter().enumerate() {
            assert_eq!(received.body, format!("body {n}").as_bytes());
            assert_eq!(received.properties.get("KEYS"), Some(&*format!("b{n}")));
            assert_eq!(received.properties.get("UNIQ_KEY"), Some(&*format!("U{n}")), "each keeps its own id");
        }
    }
}

#[test]
fn a_held_pull_is_answered_when_a_message_lands() {
    let server = start_server("");
    let (mut producer, mut consumer) = (server.broker(), server.broker());
    producer.create_topic("Held", 1);
    for n in 0..50 {
        let held = consumer.send(&Request::PullMessage(pull("G", "Held", 0, n, 3_600_000)));
        producer.produce("Held", 0, b"wake", "").ok();
        let answer = consumer.receive().ok();
        assert_eq!(answer.frame().opaque, held);
        assert_eq!(answer.records().len(), 1);
    }
}

#[test]
fn a_lite_pull_is_answered_as_a_pull_is() {
    let server = start_server("");
    let (mut producer, mut consumer) = (server.broker(), server.broker());
    producer.create_topic("Lite", 1);
    let lite = |offset, hold_ms| {
        Request::PullMessage(PullMessage { lite: true, ..pull("G", "Lite", 0, offset, hold_ms) })
    };
    assert_eq!(lite(0, 0).code(), RequestCode::LITE_PULL_MESSAGE);
    producer.produce("Lite", 0, b"first", "").ok();
    assert_eq!(consumer.call(&lite(0, 0)).ok().records()[0].body, b"first");
    let held = consumer.send(&lite(1, 3_600_000));
    producer.produce("Lite", 0, b"second", "").ok();
    let answer = consumer.receive().ok();
    assert_eq!((answer.frame().opaque, &*answer.records()[0].body), (held, &b"second"[..]));
    let server = start_server("litePullMessageEnable=false");
    let refused = server.broker().call(&lite(0, 0));
    assert_eq!(refused.code(), ResponseCode::NO_PERMISSION);
    assert!(refused.remark().contains("litePullMessageEnable"), "{}", refused.remark());
}

fn max_offset(topic: &str) -> Request<'_> {
    Request::GetMaxOffset(GetMaxOffset { topic: topic.into(), ..Default::default() })
}

#[test]
fn a_held_pull_is_answered_when_its_time_is_up() {
    let server = start_server("");
    let mut consumer = server.broker();
    consumer.create_topic("Quiet", 1);
    for (hold_ms, before, rest) in [(15_000, 14, 6), (30_000, 29, 6)] {
        let asked = server.clock.now_ms();
        let held = consumer.send(&Request::PullMessage(pull("G", "Quiet", 0, 0, hold_ms)));
        // The pull must be parked before time moves; the answer to a later request shows that it was handled.
        consumer.send(&max_offset("Quiet"));
        assert_ne!(consumer.receive().ok().frame().opaque, held);
        server.pass(before);
        // Time for a wrong answer to happen.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let next = consumer.send(&max_offset("Quiet"));
        let mut answer = consumer.receive();
        if answer.frame().opaque == next {
            server.pass(rest);
            answer = consumer.receive();
        } else {
            // A machine that takes a second for this.
            assert!(server.clock.now_ms() - asked >= hold_ms, "answered before its time was up");
            consumer.receive().ok();
        }
        assert_eq!((answer.frame().opaque, answer.code()), (held, ResponseCode::PULL_NOT_FOUND));
    }
}

#[test]
fn ten_thousand_held_pulls_hold_up_no_send() {
    const QUEUES: i32 = 100;
    const EACH: usize = 100;
    let server = start_server("");
    let (mut holding, mut sending) = (server.broker(), server.broker());
    sending.create_topic("Held", QUEUES);
    let mut queue_of = HashMap::new();
    for _ in 0..EACH {
        for queue in 0..QUEUES {
            let held = Request::PullMessage(pull("G", "Held", queue, 0, 1_000_000_000));
            queue_of.insert(holding.send(&held), queue);
        }
    }
    assert_eq!(queue_of.len(), 10_000);
    // All of them are held; nothing else is answered.
    holding.call(&max_offset("Held")).ok();
    for n in 0..1000u32 {
        sending.send(&Request::SendMessage(message("Other", 0, &n.to_be_bytes(), "")));
    }
    (0..1000).for_each(|_| drop(sending.receive().ok()));
    assert_eq!(sending.call(&max_offset("Other")).ok().field("offset"), "1000");
    holding.call(&max_offset("Held")).ok();
    for queue in (0..QUEUES).rev() {
        sending.produce("Held", queue, &queue.to_be_bytes(), "").ok();
        for _ in 0..EACH {
            let answer = holding.receive().ok();
            assert_eq!(
                queue_of.remove(&answer.frame().opaque),
                Some(queue),
                "only whom it concerns is woken"
            );
            assert_eq!(answer.records()[0].body, queue.to_be_bytes());
        }
    }
    holding.call(&max_offset("Held")).ok();
}

#[test]
fn messages_that_land_while_held_pulls_are_looked_after_hold_up_nothing() {
    let server = start_server("");
    let (mut holding, mut sending) = (server.broker(), server.broker());
    sending.create_topic("Swept", 2);
    holding.send(&Request::PullMessage(pull("G", "Swept", 1, 0, 1_000_000_000)));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            for _ in 0..50 {
                for _ in 0..100 {
                    sending.send(&Request::SendMessage(message("Swept", 0, b"x", "")));
                }
                (0..100).for_each(|_| drop(sending.receive().ok()));
            }
        });
        // Each second that passes has the held pull looked after.
        while !sender.is_finished() {
            server.pass(1);
            std::thread::yield_now();
        }
    });
    sending.produce("Swept", 1, b"wanted", "").ok();
    assert_eq!(holding.receive().ok().records()[0].body, b"wanted");
}

#[test]
fn a_held_pull_waits_for_its_tag() {
    let server = start_server("");
    let (mut producer, mut consumer) = (server.broker(), server.broker());
    producer.create_topic("Tags", 1);
    let mut wanted = pull("G", "Tags", 0, 0, 3_600_000);
    wanted.subscription = Some("TagA || TagB".into());
    consumer.send(&Request::PullMessage(wanted));
    for tag in ["TagC", "TagD", "TagB"] {
        producer.produce("Tags", 0, tag.as_bytes(), &format!("TAGS={tag}")).ok();
    }
    // The first answer may come for the unwanted ones (scanned, nothing matched); then the client pulls on.
    let answer = consumer.receive();
    let received = match answer.code() {
        ResponseCode::PULL_RETRY_IMMEDIATELY => {
            let mut again = pull("G", "Tags", 0, answer.pulled().next_begin_offset, 3_600_000);
            again.subscription = Some("TagA || TagB".into());
            consumer.call(&Request::PullMessage(again)).ok().records()
        }
        _ => answer.ok().records(),
    };
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, b"TagB");
}

#[test]
fn offsets_of_a_queue_by_end_and_by_time() {
    let server = start_server("");
    let mut client = server.broker();
    client.produce("Time", 0, b"first", "").ok();
    server.pass(3600);
    client.produce("Time", 0, b"second", "").ok();
    let ask = |client: &mut RawClient, request: &Request<'_>| client.call(request).ok().field("offset");
    let max = Request::GetMaxOffset(GetMaxOffset { topic: "Time".into(), ..Default::default() });
    let min = Request::GetMinOffset(GetMinOffset { topic: "Time".into(), ..Default::default() });
    let earliest = |client: &mut RawClient, topic: &'static str| -> i64 {
        let ask = GetEarliestMsgStoretime { topic: topic.into(), queue_id: 0 };
        client.call(&Request::GetEarliestMsgStoretime(ask)).ok().field("timestamp").parse().unwrap()
    };
    let hour = server.clock.now_ms() - 3_600_000;
    assert!((hour - 60_000..=hour).contains(&earliest(&mut client, "Time")), "that of the first");
    client.create_topic("Empty", 1);
    assert_eq!(earliest(&mut client, "Empty"), -1);
    assert_eq!(ask(&mut client, &max), "2");
    assert_eq!(ask(&mut client, &min), "0");
    let now = server.clock.now_ms();
    for (timestamp, offset) in [(0, "0"), (now - 1_800_000, "1"), (now + 1_000_000, "2")] {
        let search = SearchOffsetByTimestamp { topic: "Time".into(), timestamp, ..Default::default() };
        assert_eq!(ask(&mut client, &Request::SearchOffsetByTimestamp(search)), offset, "{timestamp}");
    }
}

/// Bodies of the messages with a key that were stored between two times. Looked for until there are as many: the index
/// follows the log.
fn by_key(client: &mut RawClient, topic: &str, times: (i64, i64), count: usize) -> Vec<Vec<u8>> {
    let ask = QueryMessage {
        topic: topic.into(),
        key: "order-7".into(),
        max_num: 64,
        begin_timestamp: times.0,
        end_timestamp: times.1,
        unique_key_query: None,
    };
    for _ in 0..6000 {
        let answer = client.call(&Request::QueryMessage(ask.clone()));
        if answer.code() == ResponseCode::SUCCESS {
            let mut bodies: Vec<_> = answer.records().into_iter().map(|record| record.body).collect();
            if bodies.len() >= count {
                bodies.sort();
                return bodies;
            }
        } else {
            assert_eq!(answer.code(), ResponseCode::QUERY_NOT_FOUND, "{}", answer.remark());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{topic}: never {count} messages between {times:?}");
}

#[test]
fn a_key_finds_the_messages_of_a_time() {
    let server = start_server("");
    let mut client = server.broker();
    let mut stored = Vec::new();
    for body in [b"1", b"2", b"3"] {
        let before = server.clock.now_ms();
        client.produce("Keys", 0, body, "KEYS=order-7").ok();
        client.produce("Keys", 0, b"another", "KEYS=order-8").ok();
        client.produce("Elsewhere", 0, b"another", "KEYS=order-7").ok();
        stored.push((before, server.clock.now_ms()));
        server.pass(3600);
    }
    let all = by_key(&mut client, "Keys", (0, i64::MAX), 3);
    assert_eq!(all, [b"1", b"2", b"3"]);
    let minute = 60_000;
    let middle = (stored[1].0 - minute, stored[1].1 + minute);
    assert_eq!(by_key(&mut client, "Keys", middle, 1), [b"2"]);
    assert_eq!(by_key(&mut client, "Keys", (middle.0, i64::MAX), 2), [b"2", b"3"]);
    assert_eq!(by_key(&mut client, "Keys", (0, middle.1), 2), [b"1", b"2"]);
    let between = QueryMessage {
        topic: "Keys".into(),
        key: "order-7".into(),
        max_num: 64,
        begin_timestamp: stored[0].1 + minute,
        end_timestamp: stored[1].0 - minute,
        unique_key_query: None,
    };
    let nothing = client.call(&Request::QueryMessage(between));
    assert_eq!(nothing.code(), ResponseCode::QUERY_NOT_FOUND);
}

#[test]
fn everything_is_there_after_a_restart() {
    let mut server = start_server("");
    let mut client = server.broker();
    for n in 0..100 {
        client.produce("Stay", n % 3, &n.to_be_bytes(), &format!("KEYS=k{n}")).ok();
    }
    server.restart();
    let mut client = server.broker();
    let count: usize = (0..3).map(|queue| client.pull_all("Stay", queue, 0).len()).sum();
    assert_eq!(count, 100);
    assert_eq!(client.produce("Stay", 0, b"on", "").ok().queue_offset(), 34);
}

#[test]
fn a_broker_that_ends_lets_no_pull_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        broker_ip1: "127.0.0.1".into(),
        store_path_root_dir: dir.path().join("data"),
        mapped_file_size_commit_log: 1 << 20,
        max_hash_slot_num: 1000,
        max_index_num: 4000,
        ..BrokerConfig::default()
    };
    let broker = Broker::open(config, Clock::new()).unwrap();
    let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    let server = Server::bind(&Loops::new(1), options, broker.clone()).unwrap();
    let mut client = RawClient::connect(server.port());
    let waits = || Request::PullMessage(pull("G", "TBW102", 0, 0, 3_600_000));
    client.send(&waits());
    broker.stop();
    assert_eq!(client.receive().code(), ResponseCode::PULL_NOT_FOUND);
    // As consumers do, which are told nothing else: the end of the listener waits for what it has in hand.
    assert_eq!(client.call(&waits()).code(), ResponseCode::PULL_NOT_FOUND);
    assert!(server.shutdown(HANG));
    broker.close().unwrap();
}
