//! Groups against our server: who owns which queue while members come and go, order that survives it, broadcasting,
//! namespaces, traces.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ferromq::client::trace::{self, TraceEvent};
use ferromq::client::{
    ClientOptions, Cluster, ConsumeStatus, Consumer, ConsumerOptions, OrderlyStatus, Producer,
    ProducerOptions, PushConsumer, StartFrom, Subscription,
};
use ferromq::config::{AllocationStrategy, MessageModel};
use ferromq::message::{Message, StoredMessage};
use ferromq::wire::body::MessageQueue;
use ferromq::{OwnStrategy, Strategy};
use parking_lot::Mutex;

use crate::logs;
use crate::net_support::{eventually, HANG};
use crate::support::{start_server, TestServer};

fn connect_with(server: &TestServer, change: impl FnOnce(&mut ClientOptions)) -> Arc<Cluster> {
    let mut options = ClientOptions::new(server.name_server());
    options.clock = server.clock.clone();
    options.reconnect_least = Duration::from_millis(1);
    change(&mut options);
    Cluster::with_options(options).unwrap()
}

fn connect(server: &TestServer) -> Arc<Cluster> {
    connect_with(server, |_| {})
}

fn options(group: &str) -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new(group) }
}

fn number(message: &StoredMessage) -> usize {
    std::str::from_utf8(&message.body).unwrap().parse().unwrap()
}

/// Keeps every message that all members of a group get, with who got it.
#[derive(Default)]
struct Ledger {
    seen: Mutex<Vec<(usize, StoredMessage)>>,
    busy: Mutex<BTreeSet<i32>>,
    overlaps: AtomicUsize,
}

impl Ledger {
    fn count(&self) -> usize {
        let seen = self.seen.lock();
        seen.iter()
            .map(|(_, message)| (message.queue_id, message.queue_offset))
            .collect::<BTreeSet<_>>()
            .len()
    }
}

/// A member of its own client, concurrent or ordered.
fn join(
    server: &TestServer,
    options: ConsumerOptions,
    me: usize,
    ledger: &Arc<Ledger>,
    orderly: bool,
) -> PushConsumer {
    let consumer = PushConsumer::new(&connect(server), options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let ledger = ledger.clone();
    let note = move |messages: &[StoredMessage]| {
        let queue = messages[0].queue_id;
        if orderly && !ledger.busy.lock().insert(queue) {
            ledger.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        std::thread::sleep(Duration::from_micros(200));
        ledger.seen.lock().extend(messages.iter().map(|message| (me, message.clone())));
        ledger.busy.lock().remove(&queue);
    };
    if orderly {
        consumer.listen_orderly(move |messages, _| {
            note(messages);
            OrderlyStatus::Success
        })
    } else {
        consumer.listen(move |messages, _| {
            note(messages);
            ConsumeStatus::Success
        })
    }
    .unwrap();
    consumer.start().unwrap();
    consumer
}

/// Whether the members have all queues and none has another's.
fn share_all(members: &[PushConsumer], queues: usize) -> bool {
    let all: Vec<MessageQueue> = members.iter().flat_map(|member| member.queues()).collect();
    let of_topic = all.iter().filter(|queue| queue.topic == "T").count();
    of_topic == queues && all.iter().collect::<BTreeSet<_>>().len() == all.len()
}

#[test]
fn order_survives_members_that_come_and_go() {
    let server = start_server("");
    let mut broker = server.broker();
    broker.create_topic("T", 8);
    let ledger = Arc::new(Ledger::default());
    let mut members = vec![join(&server, options("g"), 0, &ledger, true)];
    let mut sent = 0;
    let mut send = |count: usize| {
        for _ in 0..count {
            broker.produce("T", (sent % 8) as i32, (sent / 8).to_string().as_bytes(), "").ok();
            sent += 1;
        }
        sent
    };
    for me in 1..4 {
        send(400);
        members.push(join(&server, options("g"), me, &ledger, true));
    }
    eventually("the queues are shared", || share_all(&members, 8));
    let sent_by_now = send(400);
    members.remove(0).close().unwrap();
    // One that just goes, with messages in its hands.
    std::mem::drop(members.remove(0));
    eventually("the queues are shared again", || share_all(&members, 8));
    eventually("everything is consumed", || ledger.count() == sent_by_now);
    assert_eq!(ledger.overlaps.load(Ordering::SeqCst), 0);
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for (_, message) in ledger.seen.lock().iter() {
        let before = last.insert(message.queue_id, message.queue_offset).unwrap_or(-1);
        assert!(
            message.queue_offset == before + 1,
            "queue {}: {before} then {}",
            message.queue_id,
            message.queue_offset
        );
    }
    for member in members {
        member.close().unwrap();
    }
}

#[test]
fn concurrent_members_lose_nothing_when_they_come_and_go() {
    let server = start_server("");
    server.broker().create_topic("T", 8);
    let ledger = Arc::new(Ledger::default());
    let client = connect(&server);
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    let mut members = Vec::new();
    for me in 0..3 {
        members.push(join(&server, options("g"), me, &ledger, false));
        for number in 0..300 {
            producer.send(&Message::new("T", number.to_string())).unwrap();
        }
    }
    members.remove(1).close().unwrap();
    for number in 0..300 {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
    eventually("everything is consumed", || ledger.count() == 1200);
    eventually("all queues have one owner", || share_all(&members, 8));
    members.into_iter().for_each(|member| member.close().unwrap());
    client.close();
}

#[test]
fn members_beyond_the_queues_are_idle_until_one_leaves() {
    let server = start_server("");
    server.broker().create_topic("T", 2);
    let ledger = Arc::new(Ledger::default());
    logs::listen();
    let mut members: Vec<_> =
        (0..3).map(|me| join(&server, options("crowded"), me, &ledger, false)).collect();
    let owners = |members: &[PushConsumer]| {
        let has = |member: &PushConsumer| member.queues().iter().any(|queue| queue.topic == "T");
        members.iter().filter(|member| has(member)).count()
    };
    eventually("two have a queue each", || share_all(&members, 2) && owners(&members) == 2);
    eventually("it is said", || logs::said(&["group crowded has 3 members for 2 queues of T"]) > 0);
    let busy =
        members.iter().position(|member| member.queues().iter().any(|queue| queue.topic == "T")).unwrap();
    members.remove(busy).close().unwrap();
    eventually("the idle one takes over", || share_all(&members, 2) && owners(&members) == 2);
    members.into_iter().for_each(|member| member.close().unwrap());
}

#[test]
fn members_that_subscribe_to_different_things_are_warned() {
    logs::listen();
    let server = start_server("");
    server.broker().create_topic("T", 2);
    let members: Vec<_> = ["A", "B"]
        .into_iter()
        .map(|tag| {
            let consumer = PushConsumer::new(&connect(&server), options("differing")).unwrap();
            consumer.subscribe("T", tag).unwrap();
            consumer.listen(|_, _| ConsumeStatus::Success).unwrap();
            consumer.start().unwrap();
            consumer
        })
        .collect();
    let parts = ["members of group differing subscribe to different things", "\"A\"", "\"B\""];
    eventually("it is said", || logs::said(&parts) > 0);
    members.into_iter().for_each(|member| member.close().unwrap());
}

#[test]
fn every_strategy_gives_each_queue_one_owner() {
    let server = start_server("");
    server.broker().create_topic("T", 8);
    for (index, strategy) in
        [AllocationStrategy::ByCircle, AllocationStrategy::ConsistentHash, AllocationStrategy::Nearby]
            .into_iter()
            .enumerate()
    {
        let ledger = Arc::new(Ledger::default());
        let options =
            ConsumerOptions { allocate_message_queue_strategy: strategy, ..options(&format!("g{index}")) };
        let members: Vec<_> = (0..3).map(|me| join(&server, options.clone(), me, &ledger, false)).collect();
        eventually("the queues are shared", || share_all(&members, 8));
        if strategy == AllocationStrategy::ByCircle {
            eventually("in turn", || {
                members.iter().any(|member| {
                    let queues = member.queues();
                    let ids = queues.iter().filter(|queue| queue.topic == "T").map(|queue| queue.queue_id);
                    ids.collect::<Vec<_>>() == [0, 3, 6]
                })
            });
        }
        members.into_iter().for_each(|member| member.close().unwrap());
    }
}

#[test]
fn broadcasting_gives_everything_to_everyone_once_and_keeps_its_place_in_a_file() {
    let server = start_server("");
    server.broker().create_topic("T", 4);
    let dir = tempfile::tempdir().unwrap();
    let client = connect(&server);
    let producer = Producer::new(&client, ProducerOptions::default()).unwrap();
    let send = |range: std::ops::Range<usize>| {
        for number in range {
            producer.send(&Message::new("T", number.to_string())).unwrap();
        }
    };
    send(0..40);
    let start = |name: &str, seen: &Arc<Mutex<Vec<usize>>>| {
        let client = connect_with(&server, |options| options.instance_name = Some(name.into()));
        let options = ConsumerOptions {
            message_model: MessageModel::Broadcasting,
            offset_store_dir: Some(dir.path().into()),
            ..options("g")
        };
        let consumer = PushConsumer::new(&client, options).unwrap();
        consumer.subscribe("T", "*").unwrap();
        let seen = seen.clone();
        consumer
            .listen(move |messages, _| {
                seen.lock().extend(messages.iter().map(number));
                // One fails: there are no retries.
                match number(&messages[0]) {
                    7 => ConsumeStatus::Later,
                    _ => ConsumeStatus::Success,
                }
            })
            .unwrap();
        consumer.start().unwrap();
        consumer
    };
    let seen: Vec<_> = (0..3).map(|_| Arc::new(Mutex::new(Vec::new()))).collect();
    let members: Vec<_> = seen.iter().enumerate().map(|(me, seen)| start(&format!("m{me}"), seen)).collect();
    for seen in &seen {
        eventually("each gets all", || seen.lock().len() == 40);
    }
    assert!(members.iter().all(|member| member.queues().len() == 4));
    members.iter().for_each(|member| member.close().unwrap());
    assert_eq!(find(dir.path(), "offsets.json"), 3);
    assert!(server.broker().pull("%RETRY%g", 0, 0).records().is_empty());
    send(40..50);
    let again = start("m1", &seen[1]);
    eventually("it goes on", || seen[1].lock().len() == 50);
    again.close().unwrap();
    let mut all = seen[1].lock().clone();
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>());
    client.close();
}

/// Files of this name below a directory.
fn find(dir: &Path, name: &str) -> usize {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.is_dir() {
            true => find(&path, name),
            false => usize::from(path.file_name().is_some_and(|file| file == name)),
        })
        .sum()
}

#[test]
fn namespaces_keep_tenants_apart_and_users_do_not_see_them() {
    let server = start_server("");
    for topic in ["one%T", "two%T"] {
        server.broker().create_topic(topic, 2);
    }
    let seen: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|namespace| {
            let client =
                connect_with(&server, |options| options.client_namespace = Some(namespace.to_owned()));
            let consumer = PushConsumer::new(&client, options("g")).unwrap();
            consumer.subscribe("T", "*").unwrap();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let noted = seen.clone();
            consumer
                .listen(move |messages, context| {
                    noted.lock().push((messages[0].clone(), context.queue().clone()));
                    match messages[0].reconsume_times {
                        0 => {
                            context.set_delay_level(1);
                            ConsumeStatus::Later
                        }
                        _ => ConsumeStatus::Success,
                    }
                })
                .unwrap();
            consumer.start().unwrap();
            assert_eq!(consumer.group(), "g");
            (consumer, seen)
        })
        .collect();
    for (number, topic) in ["one%T", "two%T"].into_iter().enumerate() {
        server.broker().produce(topic, 0, number.to_string().as_bytes(), "").ok();
    }
    for (index, (consumer, seen)) in seen.iter().enumerate() {
        eventually("it comes again", || {
            server.pass(2);
            seen.lock().len() == 2
        });
        for (message, queue) in seen.lock().iter() {
            assert_eq!((message.topic.as_str(), number(message)), ("T", index));
            assert!(["T", "%RETRY%g"].contains(&queue.topic.as_str()), "{queue:?}");
        }
        assert!(consumer.queues().iter().any(|queue| queue.topic == "T"));
        consumer.close().unwrap();
    }
}

#[test]
fn consumption_is_traced_where_it_is_asked_for() {
    let server = start_server("");
    server.broker().create_topic("T", 1);
    server.broker().create_topic("Traces", 1);
    let client = connect(&server);
    let options =
        ConsumerOptions { enable_msg_trace: true, customized_trace_topic: "Traces".into(), ..options("g") };
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer
        .listen(|messages, _| match messages[0].queue_offset {
            0 => ConsumeStatus::Success,
            _ => panic!("a listener of a test panics"),
        })
        .unwrap();
    consumer.start().unwrap();
    for body in ["0", "1"] {
        server.broker().produce("T", 0, body.as_bytes(), &format!("UNIQ_KEY=id{body} KEYS=k{body}")).ok();
    }
    let events = || -> Vec<TraceEvent> {
        let records = server.broker().pull_all("Traces", 0, 0);
        records.iter().flat_map(|record| trace::decode(&record.body).unwrap()).collect()
    };
    eventually("four records", || events().len() == 4);
    consumer.close().unwrap();
    let mut ended = BTreeMap::new();
    for event in events() {
        match event {
            TraceEvent::Consuming { group, message_id, keys, retries, .. } => {
                assert_eq!((group.as_str(), retries), ("g", 0));
                assert_eq!(keys.unwrap(), message_id.replace("id", "k"));
            }
            TraceEvent::Consumed { message_id, is_consumed, outcome, group, .. } => {
                assert_eq!(group.as_deref(), Some("g"));
                ended.insert(message_id, (is_consumed, outcome));
            }
            other => panic!("{other:?}"),
        }
    }
    let expected = [
        ("id0".to_owned(), (true, Some(trace::Outcome::Success))),
        ("id1".to_owned(), (false, Some(trace::Outcome::Panicked))),
    ];
    assert_eq!(ended, expected.into());
    client.close();
}

#[test]
fn a_filter_that_the_broker_does_not_have_is_refused_at_the_start() {
    let server = start_server("");
    server.broker().create_topic("T", 1);
    let client = connect(&server);
    let consumer = PushConsumer::new(&client, options("g")).unwrap();
    consumer.subscribe_to(Subscription::sql("T", "a > 5").unwrap()).unwrap();
    consumer.listen(|_, _| ConsumeStatus::Success).unwrap();
    let error = consumer.start().unwrap_err().to_string();
    assert!(error.contains("SQL92 expression \"a > 5\" for topic T"), "{error}");
    assert!(error.contains("enablePropertyFilter"), "{error}");
    // It may be started with another one.
    consumer.subscribe("T", "A || B").unwrap();
    consumer.start().unwrap();
    consumer.close().unwrap();
    client.close();
}

#[test]
fn a_strategy_that_panics_harms_nobody_else() {
    let server = start_server("");
    server.broker().create_topic("T", 4);
    let cluster = connect_with(&server, |options| options.rebalance_interval = Duration::from_millis(20));
    let join = |group: &str| {
        let consumer = PushConsumer::new(&cluster, options(group)).unwrap();
        consumer.subscribe("T", "*").unwrap();
        consumer.listen(|_, _| ConsumeStatus::Success).unwrap();
        consumer
    };
    let (panics, defect) = (Arc::new(AtomicUsize::new(0)), join("Defect"));
    let left = panics.clone();
    let one_less = |left: usize| left.checked_sub(1);
    let own = OwnStrategy::new(move |_, _, queues, _| {
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => panic!("a panic that a test wants"),
            Err(_) => queues.to_vec(),
        }
    });
    defect.allocate_by(Strategy::Own(own));
    defect.start().unwrap();
    panics.store(3, Ordering::SeqCst);
    eventually("the client goes on after the panics", || {
        server.pass(1);
        panics.load(Ordering::SeqCst) == 0
    });
    let other = join("Fine");
    other.start().unwrap();
    eventually("both have all queues", || {
        share_all(std::slice::from_ref(&other), 4) && share_all(std::slice::from_ref(&defect), 4)
    });
    defect.close_within(HANG).unwrap();
    other.close_within(HANG).unwrap();
}

#[test]
fn a_strategy_may_have_the_queues_shared_anew() {
    let server = start_server("");
    server.broker().create_topic("T", 4);
    let consumer = Arc::new(Consumer::new(&connect(&server), options("G")).unwrap());
    consumer.subscribe("T", "*").unwrap();
    let weak = Arc::downgrade(&consumer);
    let own = OwnStrategy::new(move |_, _, queues, _| {
        let consumer = weak.upgrade().unwrap();
        if consumer.queues().is_empty() {
            consumer.unsubscribe("T");
            consumer.assign(&queues[..1]).unwrap();
        }
        Vec::new()
    });
    consumer.allocate_by(Strategy::Own(own));
    consumer.start().unwrap();
    eventually("it has what it was given", || consumer.queues().len() == 1);
    consumer.close().unwrap();
}

#[test]
fn while_nothing_goes_wrong_nothing_comes_twice() {
    const SENDERS: usize = 4;
    let count = if std::env::var_os("FERROMQ_SOAK").is_some() { 1_000_000 } else { 10_000 };
    let server = start_server("");
    server.broker().create_topic("T", 4);
    let ledger = Arc::new(Ledger::default());
    let members: Vec<_> = (0..2).map(|me| join(&server, options("Steady"), me, &ledger, false)).collect();
    eventually("each has its queues", || members.iter().all(|member| member.queues().len() == 2));
    std::thread::scope(|threads| {
        for sender in 0..SENDERS {
            let client = connect(&server);
            threads.spawn(move || {
                let once = ProducerOptions { retry_times_when_send_failed: 0, ..ProducerOptions::default() };
                let producer = Producer::new(&client, once).unwrap();
                for number in (sender..count).step_by(SENDERS) {
                    producer.send(&Message::new("T", number.to_string())).unwrap();
                }
            });
        }
    });
    eventually("all came", || ledger.seen.lock().len() >= count);
    members.iter().for_each(|member| member.close().unwrap());
    let seen = ledger.seen.lock();
    let numbers: BTreeSet<usize> = seen.iter().map(|(_, message)| number(message)).collect();
    println!("{count} messages, {} duplicates", seen.len() - numbers.len());
    assert_eq!((seen.len(), numbers.len()), (count, count));
}
