//! Messages in and out of a broker, frame by frame.

use ferromq::broker::Broker;
use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::message::batch::{encode_item, Item};
use ferromq::message::OffsetId;
use ferromq::net::{Loops, Server, ServerOptions};
use ferromq::wire::{
    GetMaxOffset, GetMinOffset, Request, ResponseCode, SearchOffsetByTimestamp, SendForm, ViewMessageById,
};

use crate::net_support::HANG;
use crate::support::{message, pull, start_server, RawClient};

#[test]
fn a_message_comes_out_as_it_went_in() {
    let server = start_server("");
    for mut client in [server.broker(), server.broker().binary()] {
        let properties = "TAGS=TagA KEYS=k1 UNIQ_KEY=U1 城市=上海 WAIT=true";
        let sent = client.produce("Echo", 1, "Grüße".as_bytes(), properties).ok();
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
    let mut batch = message("Batch", 0, &body, "UNIQ_KEY=all WAIT=true");
    batch.form = SendForm::Batch;
    batch.batch = true;
    let answer = client.call(&Request::SendMessage(batch)).ok();
    assert_eq!(answer.field("msgId").split(',').count(), 100);
    assert_eq!(answer.queue_offset(), 0);
    let all = client.pull_all("Batch", 0, 0);
    assert_eq!(all.len(), 100);
    for (n, received) in all.iter().enumerate() {
        assert_eq!(received.body, format!("body {n}").as_bytes());
        assert_eq!(received.properties.get("KEYS"), Some(&*format!("b{n}")));
        assert_eq!(received.properties.get("UNIQ_KEY"), Some(&*format!("U{n}")), "each keeps its own id");
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
fn a_held_pull_is_answered_when_its_time_is_up() {
    let server = start_server("");
    let mut consumer = server.broker();
    consumer.create_topic("Quiet", 1);
    consumer.send(&Request::PullMessage(pull("G", "Quiet", 0, 0, 15_000)));
    // The pull must be parked before time moves; the answer to a later request shows that it was handled.
    consumer.send(&Request::GetMaxOffset(GetMaxOffset { topic: "Quiet".into(), ..Default::default() }));
    consumer.receive().ok();
    server.pass(20);
    assert_eq!(consumer.receive().code(), ResponseCode::PULL_NOT_FOUND);
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
    assert_eq!(ask(&mut client, &max), "2");
    assert_eq!(ask(&mut client, &min), "0");
    let now = server.clock.now_ms();
    for (timestamp, offset) in [(0, "0"), (now - 1_800_000, "1"), (now + 1_000_000, "2")] {
        let search = SearchOffsetByTimestamp { topic: "Time".into(), timestamp, ..Default::default() };
        assert_eq!(ask(&mut client, &Request::SearchOffsetByTimestamp(search)), offset, "{timestamp}");
    }
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
