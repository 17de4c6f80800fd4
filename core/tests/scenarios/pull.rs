//! Consumers that ask: subscribed with a group's share of the queues, or assigned.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferromq::{ErrorKind, PullStatus, Subscription};

use super::world::{eventually, number, numbered, numbers, queues, spread, take, within, Stage, SILENCE};

/// Commits by hand: what was not committed comes again to the next consumer of the group.
pub fn subscribe_and_commit(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    spread(&producer, &numbered(&topic, 0..20));
    let open = || {
        let consumer = stage.pull(&[("autoCommit", "false")]);
        consumer.subscribe(&topic, "*").unwrap();
        consumer
    };
    let consumer = open();
    assert_eq!(numbers(&take(&consumer, 20)), (0..20).collect());
    consumer.commit();
    consumer.flush().unwrap();
    spread(&producer, &numbered(&topic, 20..30));
    assert_eq!(numbers(&take(&consumer, 10)), (20..30).collect());
    for queue in queues(&stage.client, &topic) {
        assert_eq!(consumer.committed(&queue).unwrap(), Some(10));
    }
    consumer.close().unwrap();
    let again = open();
    assert_eq!(numbers(&take(&again, 10)), (20..30).collect());
    for queue in queues(&stage.client, &topic) {
        again.commit_queue(&queue, 12).unwrap();
    }
    again.flush().unwrap();
    again.close().unwrap();
    let third = open();
    let rest = take(&third, 6);
    assert!(rest.iter().all(|message| message.queue_offset >= 12));
    assert_eq!(rest.len(), 6);
    third.close().unwrap();
    assert_eq!(third.poll(Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
}

pub fn assign_and_seek(stage: &Stage) {
    let topic = stage.topic(3);
    spread(&stage.producer(), &numbered(&topic, 0..30));
    let all = queues(&stage.client, &topic);
    let consumer = stage.pull(&[]);
    assert_eq!(consumer.topic_queues(&topic).unwrap().len(), 3);
    consumer.assign(&all[..1]).unwrap();
    assert_eq!(numbers(&take(&consumer, 10)), (0..10).map(|i| 3 * i).collect());
    consumer.seek(&all[0], 7).unwrap();
    assert_eq!(numbers(&take(&consumer, 3)), [21, 24, 27].into());
    consumer.seek_to_begin(&all[0]).unwrap();
    assert_eq!(numbers(&take(&consumer, 10)), (0..10).map(|i| 3 * i).collect());
    consumer.seek_to_end(&all[0]).unwrap();
    consumer.assign(&all[1..2]).unwrap();
    let from_second = take(&consumer, 10);
    assert_eq!(numbers(&from_second), (0..10).map(|i| 3 * i + 1).collect());
    assert!(consumer.poll(SILENCE).unwrap().is_empty());
    assert_eq!(consumer.seek(&all[2], 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

pub fn pause(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let consumer = stage.pull(&[]);
    consumer.subscribe(&topic, "*").unwrap();
    let all = queues(&stage.client, &topic);
    spread(&producer, &numbered(&topic, 0..2));
    assert_eq!(numbers(&take(&consumer, 2)), [0, 1].into());
    consumer.pause(&all[..1]);
    // A request that is already under way may bring what comes right now; it must not be given out.
    spread(&producer, &numbered(&topic, 2..12));
    assert_eq!(numbers(&take(&consumer, 5)), [3, 5, 7, 9, 11].into());
    assert!(consumer.poll(SILENCE).unwrap().is_empty());
    consumer.resume(&all[..1]);
    assert_eq!(numbers(&take(&consumer, 5)), [2, 4, 6, 8, 10].into());
}

pub fn by_time(stage: &Stage) {
    let topic = stage.topic(1);
    let producer = stage.producer();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let begin = now();
    spread(&producer, &numbered(&topic, 0..10));
    std::thread::sleep(Duration::from_millis(30));
    let middle = now();
    spread(&producer, &numbered(&topic, 10..20));
    let queue = &queues(&stage.client, &topic)[0];
    let consumer = stage.pull(&[]);
    consumer.assign(std::slice::from_ref(queue)).unwrap();
    let found =
        |offset: i64| if stage.world.supports.exact_times { offset == 10 } else { [9, 10].contains(&offset) };
    eventually("all messages are in the queue", || stage.client.max_offset(queue).is_ok_and(|end| end == 20));
    eventually("times are found", || consumer.offset_for_time(queue, middle).is_ok_and(found));
    assert_eq!(consumer.offset_for_time(queue, begin - 10_000).unwrap(), 0);
    assert!(found(stage.client.search_offset(queue, middle).unwrap()));
    assert_eq!(stage.client.min_offset(queue).unwrap(), 0);
    let earliest = stage.client.earliest_store_time(queue).unwrap().unwrap();
    assert!(earliest >= begin - 1000 && earliest <= middle + 1000, "{begin} {earliest} {middle}");
    consumer.seek_to_time(queue, middle).unwrap();
    let rest = take(&consumer, 10);
    assert!(
        numbers(&rest).is_superset(&(11..19).collect()) && found(rest[0].queue_offset),
        "{:?}",
        numbers(&rest)
    );
}

/// One request at a time, nothing kept.
pub fn single(stage: &Stage) {
    let topic = stage.topic(1);
    spread(&stage.producer(), &numbered(&topic, 0..10));
    let queue = &queues(&stage.client, &topic)[0];
    let consumer = stage.pull(&[]);
    let pull = |offset, max| {
        let all = Subscription::all(topic.as_str());
        consumer.pull(queue, &all, offset, max, Duration::from_millis(100)).unwrap()
    };
    eventually("the messages", || pull(0, 32).messages.len() == 10);
    let pulled = pull(3, 4);
    assert_eq!(pulled.status, PullStatus::Found);
    assert_eq!(pulled.messages.iter().map(number).collect::<Vec<_>>(), [3, 4, 5, 6]);
    assert_eq!((pulled.next, pulled.min, pulled.max), (7, 0, 10));
    let pulled = pull(10, 4);
    assert_eq!((pulled.status, pulled.messages.len(), pulled.next), (PullStatus::NoNewMessages, 0, 10));
    let pulled = pull(99, 4);
    assert_eq!((pulled.status, pulled.next), (PullStatus::OffsetIllegal, 10));
    let none = Subscription::tags(topic.as_str(), "none").unwrap();
    let matched = || consumer.pull(queue, &none, 0, 4, Duration::from_millis(100)).unwrap();
    assert!(within(SILENCE, || matched().status == PullStatus::NoMatched));
}
