//! Requests and their replies.

use std::sync::{mpsc, Arc};
use std::time::Duration;

use ferromq::client::{Cluster, Producer, ProducerOptions};
use ferromq::message::{Message, OffsetId, Properties, StoredMessage};
use ferromq::ErrorKind;

use crate::client_support::*;
use crate::net_support::{eventually, HANG};

fn producer(client: &Arc<Cluster>, group: &str) -> Producer {
    Producer::new(client, ProducerOptions { send_msg_timeout: HANG, ..ProducerOptions::new(group) }).unwrap()
}

/// The newest message of `T` as a consumer gets it.
fn newest(broker: &FakeBroker) -> Option<StoredMessage> {
    let state = broker.state.lock();
    let record = state.topics.get("T")?.iter().flatten().last()?.clone();
    let record = ferromq::record::RecordView::parse(&record).unwrap();
    let mut properties = Properties::parse(record.properties());
    properties.insert("CLUSTER", "C");
    Some(StoredMessage {
        topic: "T".into(),
        body: record.body().to_vec().into(),
        flag: 0,
        properties,
        broker_name: "broker-0".into(),
        queue_id: 0,
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        offset_id: OffsetId { host: record.store_host(), physical_offset: 0 }.to_string(),
        sys_flag: record.sys_flag(),
        born_timestamp: 0,
        born_host: record.born_host(),
        store_timestamp: 0,
        reconsume_times: 0,
    })
}

#[test]
fn a_reply_comes_back_to_who_asked() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("C_REPLY_TOPIC");
    let broker = &cluster.brokers[0];
    let (asking, replying) =
        (producer(&cluster.connect(), "Asking"), producer(&cluster.connect(), "Replying"));
    let large = "r".repeat(100_000);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| asking.request(&Message::new("T", "question"), HANG).unwrap());
        eventually("the question came", || newest(broker).is_some());
        let question = newest(broker).unwrap();
        assert_eq!(question.properties.get("TTL"), Some("60000"));
        assert!(question.properties.get("REPLY_TO_CLIENT").unwrap().contains('@'));
        replying.reply(&question, large.clone()).unwrap();
        let reply = asked.join().unwrap();
        assert_eq!((reply.body.len(), reply.topic.as_str()), (100_000, "C_REPLY_TOPIC"));
        assert_eq!(reply.properties.get("CORRELATION_ID"), question.properties.get("CORRELATION_ID"));
        assert_eq!((reply.properties.get("MSG_TYPE"), reply.born_host.port()), (Some("reply"), 5));
        // A second one is too late, and nobody is bothered.
        replying.reply(&question, "late").unwrap();
    });
}

#[test]
fn replies_come_to_callbacks_and_futures_in_any_order() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("C_REPLY_TOPIC");
    let broker = &cluster.brokers[0];
    let (asking, replying) =
        (producer(&cluster.connect(), "Asking"), producer(&cluster.connect(), "Replying"));
    let first = asking.request_async(&Message::new("T", "1"), HANG);
    eventually("the first came", || cluster.sends() == [1]);
    let question_1 = newest(broker).unwrap();
    let (tell, heard) = mpsc::channel();
    asking.request_callback(&Message::new("T", "2"), HANG, move |reply| tell.send(reply).unwrap());
    eventually("the second came", || cluster.sends() == [2]);
    let question_2 = newest(broker).unwrap();
    replying.reply(&question_2, "to 2").unwrap();
    assert_eq!(heard.recv_timeout(HANG).unwrap().unwrap().body, "to 2");
    replying.reply(&question_1, "to 1").unwrap();
    assert_eq!(crate::client_send::block_on(first).unwrap().body, "to 1");
}

#[test]
fn requests_without_reply_end() {
    let cluster = FakeCluster::start(1, 1);
    let client = cluster.connect();
    let asking = producer(&client, "Asking");
    // Then it knows the way there.
    asking.send(&Message::new("T", "first")).unwrap();
    let short = Duration::from_millis(50);
    let error = asking.request(&Message::new("T", "x"), short).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.context().contains("no reply"), "{error}");
    let error =
        crate::client_send::block_on(asking.request_async(&Message::new("T", "x"), short)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    cluster.brokers[0].state.lock().moods.push_back(Mood::Refuse(13));
    let error = asking.request(&Message::new("T", "x"), HANG).unwrap_err();
    assert_eq!(error.code(), Some(13), "the send failed, so there is nothing to wait for");
    assert_eq!(asking.request(&Message::new("None", "x"), HANG).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(asking.request(&Message::new("T", ""), HANG).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let (tell, heard) = mpsc::channel();
    asking.request_callback(&Message::new("T", "x"), HANG, move |reply| tell.send(reply).unwrap());
    let waiting = asking.request_async(&Message::new("T", "x"), HANG);
    asking.close_within(HANG).unwrap();
    assert_eq!(heard.recv_timeout(HANG).unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(crate::client_send::block_on(waiting).unwrap_err().kind(), ErrorKind::Closed);
    let error = asking.request(&Message::new("T", "x"), HANG).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    client.close();
}

#[test]
fn replies_that_cannot_be_are_refused() {
    let cluster = FakeCluster::start(1, 1);
    cluster.add_topic("C_REPLY_TOPIC");
    let replying = producer(&cluster.connect(), "Replying");
    replying.send(&Message::new("T", "no question")).unwrap();
    let mut message = newest(&cluster.brokers[0]).unwrap();
    let error = replying.reply(&message, "x").unwrap_err();
    assert!(
        error.kind() == ErrorKind::InvalidArgument && error.context().contains("CORRELATION_ID"),
        "{error}"
    );
    message.properties.insert("CORRELATION_ID", "1");
    message.properties.insert("REPLY_TO_CLIENT", "nobody@1");
    let options = ProducerOptions { retry_times_when_send_failed: 0, ..ProducerOptions::new("Once") };
    let replying = Producer::new(&cluster.connect(), options).unwrap();
    let error = replying.reply(&message, "x").unwrap_err();
    assert!(error.code() == Some(1) && error.context().contains("not here"), "{error}");
}
