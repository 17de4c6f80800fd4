//! Groups: members share, come, go, and are killed.

use std::collections::BTreeSet;

use super::world::{eventually, held, number, numbered, numbers, spread, Stage, SILENCE};

/// The queues of a topic are shared evenly, by all that are there; nobody gets what another one has.
pub fn members_share(stage: &Stage) {
    let topic = stage.topic(8);
    let producer = stage.producer();
    let clients = [stage.another(), stage.another(), stage.another()];
    let join = |at: usize| stage.inbox_at(&clients[at], "G", &topic, "*", &[]);
    let (one, into_one) = join(0);
    eventually("all queues", || held(&one, &topic) == 8);
    let (two, into_two) = join(1);
    let (three, into_three) = join(2);
    let owned = || {
        let all = [&one, &two, &three].map(|member| {
            let mut queues = member.queues();
            queues.retain(|queue| queue.topic == topic);
            queues
        });
        let distinct: BTreeSet<_> = all.iter().flatten().collect();
        let mut sizes = all.each_ref().map(Vec::len);
        sizes.sort_unstable();
        distinct.len() == 8 && sizes == [2, 3, 3]
    };
    eventually("the queues are shared", owned);
    spread(&producer, &numbered(&topic, 0..80));
    let inboxes = [&into_one, &into_two, &into_three];
    let all = || inboxes.iter().flat_map(|inbox| inbox.all()).collect::<Vec<_>>();
    eventually("80 messages", || numbers(&all()).len() == 80);
    std::thread::sleep(SILENCE);
    assert_eq!(all().len(), 80);
    assert!(inboxes.iter().all(|inbox| inbox.count() >= 20));
    // Two leave, one in order and one with its client.
    two.close().unwrap();
    clients[2].close().unwrap();
    eventually("the rest is taken over", || held(&one, &topic) == 8);
    spread(&producer, &numbered(&topic, 80..120));
    eventually("40 more", || numbers(&into_one.all()).is_superset(&(80..120).collect()));
    std::thread::sleep(SILENCE);
    assert_eq!(all().len(), 120);
}

pub fn groups_get_all(stage: &Stage) {
    let topic = stage.topic(2);
    spread(&stage.producer(), &numbered(&topic, 0..20));
    let (_one, into_one) = stage.inbox_at(&stage.client, "G", &topic, "*", &[]);
    let (_two, into_two) = stage.inbox_at(&stage.client, "H", &topic, "*", &[]);
    into_one.expect(0..20);
    into_two.expect(0..20);
    // Two consumers of one group in one client would be one member with two minds.
    let again = stage.push(&[]);
    again.subscribe(&topic, "*").unwrap();
    super::world::Inbox::default().listen(&again);
    assert_eq!(again.start().unwrap_err().kind(), ferromq::ErrorKind::InvalidArgument);
}

/// What is sent while nobody of the group is there waits for it.
pub fn comes_back(stage: &Stage) {
    let topic = stage.topic(2);
    let producer = stage.producer();
    let (consumer, inbox) = stage.inbox(&topic, "*");
    spread(&producer, &numbered(&topic, 0..10));
    inbox.expect(0..10);
    consumer.close().unwrap();
    spread(&producer, &numbered(&topic, 10..30));
    let (consumer, inbox) = stage.inbox(&topic, "*");
    let all = inbox.expect(10..30);
    assert!(all.iter().all(|message| number(message) >= 10));
    consumer.close().unwrap();
}
