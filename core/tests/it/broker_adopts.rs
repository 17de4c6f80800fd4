//! Stores of Apache's brokers with pending transactions and delayed messages go on in our broker.

use std::time::Duration;

use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::instance::ServerOptions;

use crate::broker_transactions::{answer, asked, assert_not_asked, member, COMMIT, ROLLBACK, ROUND};
use crate::store_fixture::Fixture;
use crate::support::{start_server_on, RawClient, TestServer};

/// A server on a fixture, at a time at which all that was delayed in it is due.
fn adopt(fixture: &Fixture) -> TestServer {
    let sizes = fixture.options();
    let newest = fixture.manifest["topics"]["RMQ_SYS_TRANS_HALF_TOPIC"]["queues"][0]["messages"]
        .as_array()
        .and_then(|messages| messages.last()?["storeTimestamp"].as_i64())
        .unwrap();
    let clock = Clock::new();
    let due = newest + 3 * 3_600_000 - clock.now_ms();
    clock.advance(Duration::from_millis(due.max(0) as u64));
    let mut options = ServerOptions::new(fixture.root());
    (options.namesrv_port, options.broker_port, options.clock) = (0, 0, clock);
    options.broker = BrokerConfig {
        broker_name: "broker-fx".into(),
        broker_cluster_name: "FixCluster".into(),
        mapped_file_size_commit_log: sizes.mapped_file_size_commit_log,
        mapped_file_size_consume_queue: sizes.mapped_file_size_consume_queue,
        max_hash_slot_num: sizes.max_hash_slot_num,
        max_index_num: sizes.max_index_num,
        file_reserved_time: 876_000,
        channel_expired_timeout: 2_000_000_000,
        transaction_check_interval: 3_600_000,
        ..BrokerConfig::default()
    };
    start_server_on(options)
}

fn keys(client: &mut RawClient, topic: &str, queues: i32) -> Vec<String> {
    let mut keys: Vec<String> = (0..queues)
        .flat_map(|queue| client.pull_all(topic, queue, 0))
        .map(|message| message.properties.get("KEYS").unwrap_or_default().to_owned())
        .collect();
    keys.sort();
    keys
}

fn await_keys(client: &mut RawClient, topic: &str, queues: i32, expected: &[&str]) {
    for _ in 0..1000 {
        let found = keys(client, topic, queues);
        if found.len() >= expected.len() {
            return assert_eq!(found, expected);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{topic} has {:?} only", keys(client, topic, queues));
}

fn goes_on(name: &str) {
    let fixture = Fixture::unpack(name);
    let mut server = adopt(&fixture);
    let mut client = server.broker();
    assert_eq!(keys(&mut client, "FxTxn", 2), ["txn0", "txn3", "txn6"]);
    // What waited two hours is due.
    await_keys(&mut client, "FxDelay", 2, &["delay0", "delay1", "delay2", "delay3", "delay4", "delay5"]);
    let mut producer = member(&server, "p", "Fx_pg_txn");
    server.pass(ROUND);
    let mut questions: Vec<_> = (0..3).map(|_| asked(&mut producer)).collect();
    questions.sort_by_key(|(half, _)| half.id.clone());
    let asked_for: Vec<_> =
        questions.iter().map(|(_, message)| message.properties.get("KEYS").unwrap()).collect();
    assert_eq!(asked_for, ["txn2", "txn5", "txn8"]);
    for ((half, message), decision) in questions.iter().zip([COMMIT, ROLLBACK, COMMIT]) {
        assert_eq!(message.topic, "FxTxn");
        answer(&mut producer, half, decision);
    }
    let expected = ["txn0", "txn2", "txn3", "txn6", "txn8"];
    await_keys(&mut client, "FxTxn", 2, &expected);
    server.restart();
    let mut producer = member(&server, "p", "Fx_pg_txn");
    server.pass(ROUND);
    assert_not_asked(&mut producer);
    assert_eq!(keys(&mut server.broker(), "FxTxn", 2), expected);
    assert_eq!(keys(&mut server.broker(), "FxDelay", 2).len(), 6);
}

#[test]
fn a_store_of_533() {
    goes_on("clean-533");
}

#[test]
fn a_store_of_494() {
    goes_on("clean-494");
}
