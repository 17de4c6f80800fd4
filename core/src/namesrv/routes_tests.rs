//! The state machine of registrations, with time and connections as plain numbers.

use super::*;

const CLUSTER: &str = "C";

fn topic(name: &str, queues: i32) -> TopicConfig {
    TopicConfig {
        topic_name: name.into(),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm: 6,
        topic_sys_flag: 0,
        ..TopicConfig::default()
    }
}

fn version(counter: i64) -> DataVersion {
    DataVersion { counter, timestamp: 1, ..DataVersion::default() }
}

/// A broker that listens at `a<id>`, connected over connection 10 + id.
fn broker<'a>(name: &'a str, id: i64, counter: i64, topics: &'a [TopicConfig]) -> Registration<'a> {
    Registration {
        cluster: CLUSTER,
        name,
        id,
        address: ["a0", "a1", "a2"][id as usize],
        ha_address: "ha",
        timeout_ms: None,
        acting_master: false,
        version: version(counter),
        topics,
        filter_servers: Vec::new(),
        connection: 10 + id as u64,
    }
}

fn at<'a>(mut broker: Registration<'a>, address: &'a str, connection: u64) -> Registration<'a> {
    broker.address = address;
    broker.connection = connection;
    broker
}

/// Read queues of a topic by broker name.
fn queues(routes: &Routes, topic: &str) -> Vec<(String, i32)> {
    let datas = routes.route(topic).map(|route| route.queue_datas).unwrap_or_default();
    datas.into_iter().map(|data| (data.broker_name, data.read_queue_nums)).collect()
}

fn addresses(routes: &Routes, name: &str) -> Vec<(i64, String)> {
    routes.members(CLUSTER, name).broker_addrs.into_iter().collect()
}

#[test]
fn batches_are_merged_and_topics_change_only_with_the_version() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 4)]), 0).unwrap();
    // The next batch of the same table, and A again with what must not count.
    routes.register(broker("b", 0, 1, &[topic("B", 2), topic("A", 9)]), 0).unwrap();
    assert_eq!(queues(&routes, "A"), [("b".into(), 4)]);
    assert_eq!(queues(&routes, "B"), [("b".into(), 2)]);
    // A single topic that changed; the others stay.
    routes.register(broker("b", 0, 2, &[topic("A", 8)]), 0).unwrap();
    assert_eq!(queues(&routes, "A"), [("b".into(), 8)]);
    assert_eq!(queues(&routes, "B"), [("b".into(), 2)]);
    assert_eq!(routes.topics().topic_list, ["A", "B"]);
    assert_eq!(routes.version(CLUSTER, "a0"), Some(&version(2)));
    assert!(routes.route("C").is_none());
}

#[test]
fn only_masters_bring_topics_and_slaves_learn_their_master() {
    let mut routes = Routes::default();
    assert_eq!(routes.register(broker("b", 1, 1, &[topic("A", 4)]), 0), Ok(None));
    assert!(routes.route("A").is_none());
    assert_eq!(routes.register(broker("b", 0, 1, &[topic("A", 4)]), 0), Ok(None));
    let master = Master { address: "a0".into(), ha_address: "ha".into() };
    assert_eq!(routes.register(broker("b", 1, 1, &[topic("X", 4)]), 0), Ok(Some(master)));
    assert!(routes.route("X").is_none());
    let route = routes.route("A").unwrap();
    assert_eq!(route.broker_datas.len(), 1);
    assert_eq!(addresses(&routes, "b"), [(0, "a0".into()), (1, "a1".into())]);
}

#[test]
fn an_address_moves_to_another_id_and_a_second_address_replaces_the_first() {
    let mut routes = Routes::default();
    routes.register(broker("b", 1, 1, &[]), 0).unwrap();
    // The slave became the master.
    routes.register(at(broker("b", 0, 1, &[topic("A", 1)]), "a1", 11), 0).unwrap();
    assert_eq!(addresses(&routes, "b"), [(0, "a1".into())]);
    // The machine was replaced: same name and id elsewhere.
    routes.register(at(broker("b", 0, 1, &[topic("A", 1)]), "z", 99), 0).unwrap();
    assert_eq!(addresses(&routes, "b"), [(0, "z".into())]);
    // The end of the old connection does not take the new one away.
    routes.connection_closed(11);
    assert_eq!(addresses(&routes, "b"), [(0, "z".into())]);
    assert_eq!(queues(&routes, "A").len(), 1);
}

#[test]
fn an_older_state_is_refused() {
    let mut routes = Routes::default();
    let topics = [topic("A", 1)];
    let mut newer = broker("b", 0, 1, &topics);
    newer.version.state_version = 7;
    routes.register(newer, 0).unwrap();
    let refusal = routes.register(at(broker("b", 0, 9, &[topic("A", 5)]), "z", 99), 0).unwrap_err();
    assert!(refusal.contains("a0") && refusal.contains('7'), "{refusal}");
    assert_eq!(addresses(&routes, "b"), [(0, "a0".into())]);
    assert_eq!(queues(&routes, "A"), [("b".into(), 1)]);
}

#[test]
fn a_broker_goes_when_its_connection_closes_and_its_topics_with_the_last_of_its_name() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 1), topic("B", 1)]), 0).unwrap();
    routes.register(broker("b", 1, 1, &[]), 0).unwrap();
    routes.register(at(broker("c", 0, 1, &[topic("A", 2)]), "c0", 30), 0).unwrap();
    routes.connection_closed(10);
    // The slave still serves what there is to read.
    assert_eq!(addresses(&routes, "b"), [(1, "a1".into())]);
    assert_eq!(queues(&routes, "B"), [("b".into(), 1)]);
    routes.connection_closed(11);
    assert!(routes.route("B").is_none());
    assert_eq!(queues(&routes, "A"), [("c".into(), 2)]);
    assert_eq!(routes.cluster_info().broker_addr_table.len(), 1);
    routes.connection_closed(30);
    let info = routes.cluster_info();
    assert!(info.broker_addr_table.is_empty() && info.cluster_addr_table.is_empty());
    assert!(routes.topics().topic_list.is_empty());
    assert_eq!(routes.broker_count(), 0);
}

#[test]
fn a_connection_that_was_replaced_takes_nothing_with_it() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 1)]), 0).unwrap();
    routes.register(at(broker("b", 0, 1, &[topic("A", 1)]), "a0", 77), 0).unwrap();
    routes.connection_closed(10);
    assert_eq!(queues(&routes, "A").len(), 1);
    routes.connection_closed(77);
    assert!(routes.route("A").is_none());
}

#[test]
fn a_broker_restarted_under_another_name_leaves_its_old_one() {
    let mut routes = Routes::default();
    routes.register(broker("old", 0, 1, &[topic("A", 1)]), 0).unwrap();
    routes.register(at(broker("new", 0, 1, &[topic("A", 1)]), "a0", 77), 0).unwrap();
    assert_eq!(queues(&routes, "A"), [("new".into(), 1)]);
    routes.connection_closed(10);
    assert_eq!(routes.cluster_info().broker_addr_table.len(), 1);
}

#[test]
fn silence_expires_a_broker_after_its_own_time() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 1)]), 0).unwrap();
    let mut quick = broker("b", 1, 1, &[]);
    quick.timeout_ms = Some(10_000);
    routes.register(quick, 0).unwrap();
    assert_eq!(routes.expire(10_000), Vec::<u64>::new());
    routes.heard_of(CLUSTER, "a1", 5_000);
    assert_eq!(routes.expire(10_001), Vec::<u64>::new());
    assert_eq!(routes.expire(15_001), [11]);
    assert_eq!(routes.expire(BROKER_TIMEOUT_MS), Vec::<u64>::new());
    assert_eq!(routes.expire(BROKER_TIMEOUT_MS + 1), [10]);
    assert!(routes.route("A").is_none());
    // A heartbeat alone does not bring it back.
    routes.heard_of(CLUSTER, "a0", BROKER_TIMEOUT_MS + 2);
    assert_eq!(routes.broker_count(), 0);
    assert_eq!(routes.version(CLUSTER, "a0"), None);
}

#[test]
fn unregistering_takes_one_address_only() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 1)]), 0).unwrap();
    routes.register(broker("b", 1, 1, &[]), 0).unwrap();
    // Somebody else's address under this name: nothing happens.
    routes.unregister(CLUSTER, "b", "elsewhere");
    assert_eq!(addresses(&routes, "b").len(), 2);
    routes.unregister(CLUSTER, "b", "a0");
    assert_eq!(addresses(&routes, "b"), [(1, "a1".into())]);
    routes.unregister(CLUSTER, "b", "a1");
    assert!(routes.topics().topic_list.is_empty());
    routes.unregister("none", "none", "none");
}

#[test]
fn the_right_to_write_is_taken_and_given_until_the_next_change() {
    let mut routes = Routes::default();
    let read_only = TopicConfig { perm: 4, ..topic("R", 1) };
    let topics = [topic("A", 1), read_only];
    routes.register(broker("b", 0, 1, &topics), 0).unwrap();
    routes.register(at(broker("c", 0, 1, &topics), "c0", 30), 0).unwrap();
    let perms = |routes: &Routes, topic: &str| -> Vec<i32> {
        routes.route(topic).unwrap().queue_datas.iter().map(|data| data.perm).collect()
    };
    assert_eq!(routes.wipe_write("b"), 2);
    assert_eq!((perms(&routes, "A"), perms(&routes, "R")), (vec![4, 6], vec![4, 4]));
    // The heartbeat without change leaves it so.
    routes.register(broker("b", 0, 1, &topics), 0).unwrap();
    assert_eq!(perms(&routes, "A"), [4, 6]);
    routes.register(broker("b", 0, 2, &topics), 0).unwrap();
    assert_eq!(perms(&routes, "A"), [6, 6]);
    assert_eq!(routes.add_write("b"), 2);
    assert_eq!(perms(&routes, "R"), [6, 4]);
    assert_eq!((routes.wipe_write("none"), routes.add_write("none")), (0, 0));
}

#[test]
fn a_topic_is_deleted_of_one_cluster_or_of_all() {
    let mut routes = Routes::default();
    routes.register(broker("b", 0, 1, &[topic("A", 1), topic("B", 1)]), 0).unwrap();
    let mut other = at(broker("c", 0, 1, &[]), "c0", 30);
    let topics = [topic("A", 2)];
    other.cluster = "D";
    other.topics = &topics;
    routes.register(other, 0).unwrap();
    assert_eq!(routes.topics_of_cluster("D").topic_list, ["A"]);
    routes.delete_topic("A", Some(CLUSTER));
    assert_eq!(queues(&routes, "A"), [("c".into(), 2)]);
    routes.delete_topic("A", Some("none"));
    assert_eq!(queues(&routes, "A"), [("c".into(), 2)]);
    routes.delete_topic("A", None);
    routes.delete_topic("A", None);
    assert_eq!(routes.topics().topic_list, ["B"]);
    assert!(routes.topics_of_cluster("none").topic_list.is_empty());
    // A broker that still has it brings it back.
    routes.register(broker("b", 0, 1, &[topic("A", 3)]), 0).unwrap();
    assert_eq!(queues(&routes, "A"), [("b".into(), 3)]);
}

#[test]
fn system_and_unit_topics_are_listed() {
    let mut routes = Routes::default();
    let flagged = |name, flags| TopicConfig { topic_sys_flag: flags, ..topic(name, 1) };
    let topics = [flagged("plain", 0), flagged("unit", 1), flagged("sub", 2), flagged("both", 3)];
    routes.register(broker("b", 0, 1, &topics), 0).unwrap();
    let system = routes.system_topics();
    assert_eq!(system.topic_list, [CLUSTER, "b"]);
    assert_eq!(system.broker_addr.as_deref(), Some("a0"));
    assert_eq!(routes.unit_topics().topic_list, ["both", "unit"]);
    assert_eq!(routes.unit_subscribed_topics(false).topic_list, ["both", "sub"]);
    assert_eq!(routes.unit_subscribed_topics(true).topic_list, ["sub"]);
}

#[test]
fn filter_servers_stand_in_the_route_while_their_broker_lives() {
    let mut routes = Routes::default();
    let topics = [topic("A", 1)];
    let mut with_filters = broker("b", 0, 1, &topics);
    with_filters.filter_servers = vec!["f:1".into()];
    routes.register(with_filters, 0).unwrap();
    let route = routes.route("A").unwrap();
    assert_eq!(route.filter_server_table.get("a0").map(Vec::as_slice), Some(&["f:1".to_owned()][..]));
    routes.register(broker("b", 0, 1, &topics), 0).unwrap();
    assert!(routes.route("A").unwrap().filter_server_table.is_empty());
}
