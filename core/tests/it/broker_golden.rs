//! Stores of Apache's brokers behind our broker: the tables beside the messages, and the messages through pulls. Background
//! work (delayed deliveries, registration) is not started, so nothing is added.

use std::sync::Arc;
use std::time::Duration;

use ferromq::broker::Broker;
use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::net::{Loops, Server, ServerOptions};
use ferromq::wire::{json, GetAllSubscriptiongroupConfig, GetAllTopicConfig, Request};
use serde_json::Value;

use super::store_fixture::Fixture;
use super::support::RawClient;

/// A broker on a fixture, listening, with nothing running in the background.
struct Still {
    broker: Arc<Broker>,
    server: Server,
    fixture: Fixture,
}

impl Still {
    fn open(name: &str) -> Still {
        let fixture = Fixture::unpack(name);
        let sizes = fixture.options();
        let config = BrokerConfig {
            broker_name: "broker-fx".into(),
            broker_cluster_name: "FixCluster".into(),
            broker_ip1: "127.0.0.1".into(),
            store_path_root_dir: fixture.root(),
            mapped_file_size_commit_log: sizes.mapped_file_size_commit_log,
            mapped_file_size_consume_queue: sizes.mapped_file_size_consume_queue,
            max_hash_slot_num: sizes.max_hash_slot_num,
            max_index_num: sizes.max_index_num,
            file_reserved_time: 876_000,
            ..BrokerConfig::default()
        };
        let broker = Broker::open(config, Clock::new()).expect("the store opens");
        let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
        let server = Server::bind(&Loops::new(1), options, broker.clone()).expect("a free port");
        Still { broker, server, fixture }
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.server.port())
    }

    fn ask(&self, request: &Request<'_>) -> Value {
        let answer = self.client().call(request).ok();
        json::from_slice(answer.frame().body).expect("a JSON body")
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        self.server.shutdown(Duration::from_secs(1));
        self.broker.close().expect("an orderly end");
    }
}

/// Every member of `expected` is in `found` with the same value; `found` may have more: topics that each broker makes
/// for itself, settings of the other line.
fn assert_within(expected: &Value, found: &Value, place: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                let there = found.get(name).unwrap_or_else(|| panic!("{place}.{name} is missing"));
                assert_within(value, there, &format!("{place}.{name}"));
            }
        }
        _ => assert_eq!(expected, found, "{place}"),
    }
}

fn compare_tables(still: &Still) {
    let manifest = &still.fixture.manifest;
    let topics = still.ask(&Request::GetAllTopicConfig(GetAllTopicConfig::default()));
    assert_within(&manifest["topicConfig"]["topicConfigTable"], &topics["topicConfigTable"], "topics");
    let groups = still.ask(&Request::GetAllSubscriptiongroupConfig(GetAllSubscriptiongroupConfig::default()));
    let table = "subscriptionGroupTable";
    assert_within(&manifest["subscriptionGroup"][table], &groups[table], "groups");
    let offsets = still.ask(&Request::GetAllConsumerOffset);
    assert_eq!(offsets["offsetTable"], manifest["consumerOffset"]["offsetTable"], "consumer offsets");
    let delays = still.ask(&Request::GetAllDelayOffset);
    assert_eq!(delays["offsetTable"], manifest["delayOffset"]["offsetTable"], "delay offsets");
}

/// Pulls every queue whose topic the broker knows; returns the number of messages compared.
fn compare_messages(still: &Still) -> usize {
    let topics = still.ask(&Request::GetAllTopicConfig(GetAllTopicConfig::default()));
    let mut compared = 0;
    for (topic, queue_id, queue) in still.fixture.queues() {
        if topics["topicConfigTable"].get(topic).is_none() {
            continue;
        }
        let messages = queue["messages"].as_array().unwrap();
        let first = queue["minOffset"].as_i64().unwrap();
        let pulled = still.client().pull_all(topic, queue_id, first);
        let expected: Vec<_> =
            messages.iter().map(|message| message["queueOffset"].as_i64().unwrap()).collect();
        let offsets: Vec<_> = pulled.iter().map(|message| message.queue_offset).collect();
        assert_eq!(offsets, expected, "{topic} queue {queue_id}");
        for (message, pulled) in messages.iter().zip(&pulled) {
            assert_eq!(message["commitLogOffset"].as_i64(), Some(pulled.physical_offset), "{topic}");
            assert_eq!(message["tags"].as_str(), pulled.properties.get("TAGS"), "{topic}");
        }
        compared += pulled.len();
    }
    compared
}

#[test]
fn tables_and_messages_of_533() {
    let still = Still::open("clean-533");
    compare_tables(&still);
    assert_eq!(compare_messages(&still), 557);
}

#[test]
fn tables_and_messages_of_494() {
    let still = Still::open("clean-494");
    compare_tables(&still);
    assert!(compare_messages(&still) > 500);
}
