//! What brokers ask of consumers for those who run the cluster: running info, offsets, moves, a message to consume.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use ferromq::client::{
    ConsumeStatus, Consumer, ConsumerOptions, OrderlyStatus, Producer, ProducerOptions, PushConsumer,
    StartFrom, Subscription,
};
use ferromq::message::{Message, StoredMessage};
use ferromq::wire::body::{
    ConsumeMessageDirectlyResult, ConsumerRunningInfo, GetConsumerStatusBody, MessageQueue, OffsetTable,
    ResetOffsetBody,
};
use ferromq::wire::*;
use parking_lot::Mutex;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn send(cluster: &FakeCluster, range: std::ops::Range<usize>) {
    let producer = Producer::new(&cluster.connect(), ProducerOptions::default()).unwrap();
    for number in range {
        producer.send(&Message::new("T", number.to_string())).unwrap();
    }
}

fn options() -> ConsumerOptions {
    ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") }
}

fn queue(queue_id: i32) -> MessageQueue {
    MessageQueue { topic: "T".into(), broker_name: "broker-0".into(), queue_id }
}

fn counting(cluster: &FakeCluster) -> (PushConsumer, Arc<AtomicUsize>) {
    let consumer = PushConsumer::new(&cluster.connect(), options()).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let listener = move |messages: &[StoredMessage], _: &_| {
        counted.fetch_add(messages.len(), Ordering::SeqCst);
        ConsumeStatus::Success
    };
    consumer.listen(listener).unwrap();
    consumer.start().unwrap();
    (consumer, count)
}

#[test]
fn running_info_tells_what_tools_show() {
    let cluster = FakeCluster::start(1, 2);
    send(&cluster, 0..20);
    let (consumer, count) = counting(&cluster);
    eventually("everything is consumed", || count.load(Ordering::SeqCst) == 20);
    let request = GetConsumerRunningInfo {
        consumer_group: "g".into(),
        client_id: "whoever".into(),
        jstack_enable: true,
    };
    let replies = cluster.brokers[0].ask_members("g", &request.into());
    assert_eq!(replies[0].code(), ResponseCode::SUCCESS);
    let info: ConsumerRunningInfo = json::from_slice(&replies[0].body()).unwrap();
    for (name, value) in [
        ("PROP_CONSUME_TYPE", "CONSUME_PASSIVELY"),
        ("PROP_CONSUMEORDERLY", "false"),
        ("PROP_THREADPOOL_CORE_SIZE", "20"),
        ("messageModel", "CLUSTERING"),
        ("consumerGroup", "g"),
    ] {
        assert_eq!(info.properties.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(info.properties["PROP_CONSUMER_START_TIMESTAMP"].parse::<i64>().unwrap() > 0);
    assert_eq!(info.mq_table.0.len(), 2);
    assert_eq!(info.mq_table.0[&queue(0)].commit_offset, 10);
    assert!(info.mq_table.0[&queue(0)].last_pull_timestamp > 0);
    let topics: Vec<&str> = info.subscription_set.iter().map(|one| one.topic.as_str()).collect();
    assert_eq!(topics, ["%RETRY%g", "T"]);
    assert!(info.status_table["T"].consume_ok_tps > 0.0 && info.status_table["T"].pull_tps > 0.0);
    consumer.close().unwrap();
}

#[test]
fn a_pull_consumer_answers_too() {
    let cluster = FakeCluster::start(1, 1);
    let consumer = Consumer::join(&cluster.connect(), options(), vec![Subscription::all("T")]).unwrap();
    let request =
        GetConsumerRunningInfo { consumer_group: "g".into(), client_id: "c".into(), jstack_enable: false };
    let replies = cluster.brokers[0].ask_members("g", &request.into());
    let info: ConsumerRunningInfo = json::from_slice(&replies[0].body()).unwrap();
    assert_eq!(info.properties["PROP_CONSUME_TYPE"], "CONSUME_ACTIVELY");
    let request = GetConsumerRunningInfo {
        consumer_group: "other".into(),
        client_id: "c".into(),
        jstack_enable: false,
    };
    let replies = cluster.brokers[0].ask_members("g", &request.into());
    assert_eq!(replies[0].code(), ResponseCode::SYSTEM_ERROR);
    assert!(replies[0].remark().contains("other"), "{}", replies[0].remark());
    consumer.close().unwrap();
}

#[test]
fn offsets_are_told_and_moved_backwards_and_forwards() {
    let cluster = FakeCluster::start(1, 2);
    send(&cluster, 0..20);
    let (consumer, count) = counting(&cluster);
    eventually("everything is consumed", || count.load(Ordering::SeqCst) == 20);
    let status = || {
        let request = GetConsumerStatusFromClient { topic: "T".into(), group: "g".into(), client_addr: None };
        let replies = cluster.brokers[0].ask_members("g", &request.into());
        let status: GetConsumerStatusBody = json::from_slice(&replies[0].body()).unwrap();
        status.message_queue_table.0
    };
    eventually("the progress is told", || status() == [(queue(0), 10), (queue(1), 10)].into());
    let reset = |offsets: &[(i32, i64)]| {
        let table = offsets.iter().map(|(id, offset)| (queue(*id), *offset)).collect();
        let request = ResetConsumerClientOffset {
            group: "g".into(),
            topic: "T".into(),
            queue_id: -1,
            is_force: true,
            body: ResetOffsetBody::Table { offset_table: OffsetTable(table) },
            ..ResetConsumerClientOffset::default()
        };
        cluster.brokers[0].ask_members("g", &request.into())
    };
    assert_eq!(reset(&[(0, 4), (1, 10)])[0].code(), ResponseCode::SUCCESS);
    assert_eq!(cluster.brokers[0].offset("g", "T", 1), Some(10));
    eventually("six come again", || count.load(Ordering::SeqCst) == 26);
    eventually("and only they", || status() == [(queue(0), 10), (queue(1), 10)].into());
    consumer.suspend();
    send(&cluster, 20..40);
    reset(&[(0, 18), (1, 20)]);
    consumer.resume();
    eventually("it goes on behind what is passed over", || count.load(Ordering::SeqCst) == 28);
    consumer.close().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 28);
    assert_eq!(cluster.brokers[0].offset("g", "T", 0), Some(20));
}

#[test]
fn a_message_is_consumed_directly_and_its_result_told() {
    let cluster = FakeCluster::start(1, 1);
    send(&cluster, 0..1);
    let record = cluster.brokers[0].state.lock().topics["T"][0][0].clone();
    let direct = |order: bool| {
        let request = ConsumeMessageDirectly {
            consumer_group: "g".into(),
            broker_name: Some("broker-0".into()),
            body: &record,
            ..ConsumeMessageDirectly::default()
        };
        let replies = cluster.brokers[0].ask_members("g", &request.into());
        assert_eq!(replies[0].code(), ResponseCode::SUCCESS, "{}", replies[0].remark());
        let result: ConsumeMessageDirectlyResult = json::from_slice(&replies[0].body()).unwrap();
        assert_eq!((result.order, result.auto_commit), (order, true));
        result.consume_result
    };
    // The broker of this test delivers from the end, so that only what is sent directly arrives.
    let options = || ConsumerOptions { consume_from_where: StartFrom::Last, ..options() };
    let consumer = PushConsumer::new(&cluster.connect(), options()).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let (calls, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (called, seen) = (calls.clone(), bodies.clone());
    consumer
        .listen(move |messages, context| {
            seen.lock().push((messages[0].body.clone(), context.queue().clone()));
            match called.fetch_add(1, Ordering::SeqCst) {
                0 => ConsumeStatus::Success,
                1 => ConsumeStatus::Later,
                _ => panic!("a listener of a test panics"),
            }
        })
        .unwrap();
    consumer.start().unwrap();
    assert_eq!(
        [direct(false), direct(false), direct(false)],
        ["CR_SUCCESS", "CR_LATER", "CR_THROW_EXCEPTION"]
    );
    assert!(bodies.lock().iter().all(|(body, at)| body == "0" && *at == queue(0)));
    assert!(cluster.brokers[0].state.lock().sent_back.is_empty());
    consumer.close().unwrap();
    cluster.brokers[0].cut();
    let consumer = PushConsumer::new(&cluster.connect(), options()).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer.listen_orderly(|_, _| OrderlyStatus::SuspendCurrentQueue).unwrap();
    consumer.start().unwrap();
    assert_eq!(direct(true), "CR_LATER");
    consumer.close_within(HANG).unwrap();
}
