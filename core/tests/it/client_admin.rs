//! Operators' calls, the same in process and over TCP.

use std::time::{Duration, Instant};

use ferromq::admin::{to_json, StartAt, TopicSettings};
use ferromq::wire::{Request, UpdateConsumerOffset};
use ferromq::{
    connect, connect_with, open_with, Admin, ClientOptions, Consumer, ConsumerOptions, ErrorKind, Instance,
    Listen, Message, OpenOptions, StartFrom,
};

use crate::net_support::HANG;
use crate::support::start_server;

/// A server in memory, its own client and one over TCP.
fn each(settings: &[(&str, &str)], test: impl Fn(&Instance)) {
    let mut options = OpenOptions { listen: Some(Listen::on_free_ports()), ..OpenOptions::memory() };
    for (key, value) in settings {
        options.set(key, value).unwrap();
    }
    let server = open_with(options).unwrap();
    let remote = connect(&format!("127.0.0.1:{}", server.listening().unwrap().0)).unwrap();
    for instance in [&server, &remote] {
        test(instance);
    }
    remote.close().unwrap();
    server.close().unwrap();
}

fn send(mq: &Instance, topic: &str, count: usize) {
    let producer = mq.producer("P").unwrap();
    for n in 0..count {
        producer.send(&Message::new(topic, n.to_string())).unwrap();
    }
    producer.close().unwrap();
}

fn consumer(mq: &Instance, group: &str, topic: &str) -> Consumer {
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) };
    let consumer = mq.consumer_with(options).unwrap();
    consumer.subscribe(topic, "*").unwrap();
    consumer.start().unwrap();
    consumer
}

/// Consumes this many messages and stores that they are.
fn consume(consumer: &Consumer, count: usize) {
    let (start, mut seen) = (Instant::now(), 0);
    while seen < count {
        assert!(start.elapsed() < HANG, "{seen} of {count} messages came");
        seen += consumer.poll(Duration::from_secs(1)).unwrap().len();
        consumer.commit();
    }
    assert_eq!(seen, count);
    consumer.flush().unwrap();
}

fn unknown(admin: &Admin, topic: &str) {
    assert_eq!(admin.topic(topic).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(admin.delete_topic(topic).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn topics_are_made_listed_looked_at_and_deleted() {
    each(&[], |mq| {
        let admin = mq.admin();
        unknown(&admin, "Books");
        let settings = TopicSettings { write_queues: 2, perm: 4, ..TopicSettings::new(3) };
        admin.create_topic("Books", &settings).unwrap();
        let books = admin.topic("Books").unwrap();
        let broker = &books.brokers[0];
        assert_eq!((broker.read_queues, broker.write_queues, broker.perm), (3, 2, 4));
        admin.create_topic("Books", &TopicSettings::new(3)).unwrap();
        send(mq, "Books", 9);
        assert_eq!(admin.topics().unwrap(), ["Books"]);
        let all = admin.all_topics().unwrap();
        assert!(all.contains(&"TBW102".to_owned()) && all.contains(&"Books".to_owned()), "{all:?}");
        let books = admin.topic("Books").unwrap();
        assert_eq!((books.messages, books.queues.len(), books.brokers[0].perm), (9, 3, 6));
        assert!(books.queues.iter().all(|queue| queue.max_offset == 3 && queue.last_timestamp > 0));
        let json = to_json(&books);
        assert!(json.starts_with(r#"{"topic":"Books","brokers":[{"brokerName":"ferromq","readQueues":3,"#));
        admin.delete_topic("Books").unwrap();
        unknown(&admin, "Books");
        assert!(admin.topics().unwrap().is_empty());
    });
}

#[test]
fn a_topic_that_cannot_be_is_refused() {
    each(&[], |mq| {
        let refused = |settings: &TopicSettings| mq.admin().create_topic("T", settings).unwrap_err();
        assert_eq!(refused(&TopicSettings::new(0)).kind(), ErrorKind::InvalidArgument);
        assert_eq!(refused(&TopicSettings::new(70_000)).kind(), ErrorKind::Remote);
        let system = mq.admin().create_topic("TBW102", &TopicSettings::new(1)).unwrap_err();
        assert!(system.to_string().contains("system topic"), "{system}");
    });
}

#[test]
fn a_group_is_listed_with_its_progress_and_members_and_deleted() {
    each(&[], |mq| {
        let admin = mq.admin();
        mq.create_topic("Orders", 2).unwrap();
        send(mq, "Orders", 10);
        assert!(admin.members("billing").unwrap().members.is_empty());
        assert!(admin.progress("billing").unwrap().queues.is_empty());
        assert_eq!(admin.delete_group("billing").unwrap_err().kind(), ErrorKind::NotFound);
        let consumer = consumer(mq, "billing", "Orders");
        consume(&consumer, 10);
        send(mq, "Orders", 4);

        assert_eq!(admin.groups().unwrap(), ["billing"]);
        let members = admin.members("billing").unwrap();
        assert_eq!(members.members.len(), 1);
        assert_eq!(members.members[0].client_id, mq.client_id());
        assert_eq!(
            (members.message_model.as_str(), members.consume_type.as_str()),
            ("CLUSTERING", "CONSUME_ACTIVELY")
        );
        let wanted = members.subscriptions.iter().find(|one| one.topic == "Orders").unwrap();
        assert_eq!((wanted.expression.as_str(), wanted.expression_type.as_str()), ("*", "TAG"));

        let progress = admin.progress("billing").unwrap();
        let orders: Vec<_> = progress.queues.iter().filter(|queue| queue.topic == "Orders").collect();
        assert_eq!((orders.len(), progress.lag), (2, 4));
        assert!(orders.iter().all(|queue| queue.consumer_offset == 5 && queue.broker_offset == 7));
        assert!(orders.iter().all(|queue| queue.lag == 2 && queue.last_timestamp > 0));
        assert!(to_json(&progress).contains(r#""brokerOffset":7,"consumerOffset":5,"lag":2"#));

        consumer.close().unwrap();
        admin.delete_group("billing").unwrap();
        assert!(admin.groups().unwrap().is_empty());
        assert!(admin.progress("billing").unwrap().queues.is_empty());
        assert!(!admin.all_topics().unwrap().contains(&"%RETRY%billing".to_owned()));
        admin.delete_topic("Orders").unwrap();
    });
}

#[test]
fn offsets_that_no_queue_has_are_no_panic() {
    let server = start_server("");
    let mut raw = server.broker();
    raw.create_topic("Orders", 2);
    for queue_id in 0..2 {
        raw.call(&Request::UpdateConsumerOffset(UpdateConsumerOffset {
            consumer_group: "billing".into(),
            topic: "Orders".into(),
            queue_id,
            commit_offset: i64::MAX,
        }));
    }
    let mq = connect(&server.name_server()).unwrap();
    assert!(mq.admin().progress("billing").unwrap().lag <= 0);
    mq.close().unwrap();
}

/// Both ways that brokers have of moving a group.
const WAYS: [&[(&str, &str)]; 2] =
    [&[("useServerSideResetOffset", "false")], &[("useServerSideResetOffset", "true")]];

#[test]
fn a_group_goes_on_elsewhere_whether_somebody_is_there_or_not() {
    for settings in WAYS {
        each(settings, |mq| {
            let admin = mq.admin();
            let group = if mq.listening().is_some() { "Here" } else { "Remote" };
            mq.create_topic("Orders", 2).unwrap();
            send(mq, "Orders", 6);
            let live = consumer(mq, group, "Orders");
            consume(&live, 6);
            let moved = admin.reset_offsets(group, "Orders", StartAt::Begin).unwrap();
            assert_eq!(moved.iter().map(|queue| queue.offset).collect::<Vec<_>>(), [0, 0]);
            consume(&live, 6);
            live.close().unwrap();

            admin.reset_offsets(group, "Orders", StartAt::Begin).unwrap();
            let again = consumer(mq, group, "Orders");
            consume(&again, 6);
            again.close().unwrap();

            admin.reset_offsets(group, "Orders", StartAt::Time(0)).unwrap();
            let moved = admin.reset_offsets(group, "Orders", StartAt::End).unwrap();
            assert_eq!(moved.iter().map(|queue| queue.offset).collect::<Vec<_>>(), [3, 3]);
            send(mq, "Orders", 2);
            consume(&consumer(mq, group, "Orders"), 2);
            admin.delete_topic("Orders").unwrap();
            admin.delete_group(group).unwrap();
        });
    }
}

#[test]
fn what_cannot_be_moved_is_an_error() {
    each(&[], |mq| {
        let admin = mq.admin();
        assert_eq!(admin.reset_offsets("G", "None", StartAt::End).unwrap_err().kind(), ErrorKind::NotFound);
        mq.create_topic("T", 1).unwrap();
        let unknown = admin.reset_offsets("Nobody", "T", StartAt::Begin).unwrap_err();
        assert!(unknown.to_string().contains("Nobody"), "{unknown}");
        let before = admin.reset_offsets("G", "T", StartAt::Time(-5)).unwrap_err();
        assert_eq!(before.kind(), ErrorKind::InvalidArgument);
        admin.delete_topic("T").unwrap();
    });
}

#[test]
fn the_cluster_tells_its_brokers_and_how_they_are() {
    each(&[], |mq| {
        let state = mq.admin().cluster().unwrap();
        assert_eq!(state.name_servers, [mq.name_servers()]);
        let [broker] = &state.brokers[..] else { panic!("{state:?}") };
        assert_eq!((broker.cluster.as_str(), broker.broker_name.as_str()), ("DefaultCluster", "ferromq"));
        assert_eq!((broker.broker_id, &broker.error), (0, &None));
        assert!(broker.address.contains(':') && !broker.version.is_empty());
        assert!(broker.runtime.contains_key("commitLogMaxOffset"), "{:?}", broker.runtime.keys());
        assert!(to_json(&state).contains(r#""brokerName":"ferromq","brokerId":0,"#));
    });
}

#[test]
fn in_a_namespace_names_are_ones_own_and_others_are_not_seen() {
    let options = OpenOptions { listen: Some(Listen::on_free_ports()), ..OpenOptions::memory() };
    let server = open_with(options).unwrap();
    server.create_topic("Elsewhere", 1).unwrap();
    let address = format!("127.0.0.1:{}", server.listening().unwrap().0);
    let tenant = ClientOptions { client_namespace: Some("shop".into()), ..ClientOptions::new(address) };
    let tenant = connect_with(tenant).unwrap();
    let admin = tenant.admin();
    admin.create_topic("Orders", &TopicSettings::new(1)).unwrap();
    send(&tenant, "Orders", 3);
    consume(&consumer(&tenant, "G", "Orders"), 3);
    assert_eq!(admin.topics().unwrap(), ["Orders"]);
    assert_eq!(admin.topic("Orders").unwrap().messages, 3);
    assert_eq!(admin.groups().unwrap(), ["G"]);
    assert!(admin.progress("G").unwrap().queues.iter().any(|queue| queue.topic == "Orders"));
    assert_eq!(admin.reset_offsets("G", "Orders", StartAt::Begin).unwrap()[0].topic, "Orders");
    assert!(server.admin().topics().unwrap().contains(&"shop%Orders".to_owned()));
    admin.delete_group("G").unwrap();
    admin.delete_topic("Orders").unwrap();
    assert!(admin.topics().unwrap().is_empty());
    tenant.close().unwrap();
    server.close().unwrap();
}
