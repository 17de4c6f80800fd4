//! What Apache's classes answer, and what must hold for every strategy.

use super::*;
use proptest::strategy::{Just, Strategy as _};
use proptest::{collection, prop_assert, prop_assert_eq, prop_oneof, proptest};

const TOPIC: &str = "T";

fn queues(brokers: &[(&str, i32)]) -> Vec<MessageQueue> {
    let of = |(name, count): &(&str, i32)| {
        let name = name.to_string();
        (0..*count).map(move |queue_id| MessageQueue {
            topic: TOPIC.into(),
            broker_name: name.clone(),
            queue_id,
        })
    };
    brokers.iter().flat_map(of).collect()
}

fn members(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

fn ids(strategy: &Strategy, me: &str, queues: &[MessageQueue], members: &[String]) -> Vec<i32> {
    let mine = allocate(strategy, "g", me, queues, members).unwrap();
    mine.into_iter().map(|queue| queue.queue_id).collect()
}

fn by_prefix(within: Strategy) -> Strategy {
    let before_dash = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let rooms = Rooms::new(move |queue: &MessageQueue| before_dash(&queue.broker_name), before_dash);
    Strategy::Nearby { rooms, within: Box::new(within) }
}

fn named(name: &str, argument: &str) -> Strategy {
    match (name, argument) {
        ("AVG", _) => Strategy::Averagely,
        ("AVG_BY_CIRCLE", _) => Strategy::ByCircle,
        ("CONSISTENT_HASH", count) => Strategy::ConsistentHash { virtual_nodes: count.parse().unwrap() },
        ("MACHINE_ROOM", rooms) => Strategy::MachineRoom(rooms.split(',').map(String::from).collect()),
        ("MACHINE_ROOM_NEARBY", within) => by_prefix(named(within, "")),
        other => panic!("{other:?}"),
    }
}

/// A line of the table: strategy, its argument, topic, queues `broker:count,...`, then `member=broker:queue,...` for
/// each member, as the classes of rocketmq-client 5.3.3 gave them out; among the lines are the inputs of Apache's
/// AllocateMessageQueueAveragelyByCircleTest, AllocateMessageQueueConsitentHashTest,
/// AllocateMessageQueueByMachineRoomTest and AllocateMachineRoomNearByTest.
#[test]
fn every_member_gets_what_apaches_classes_give_it() {
    let mut checked = 0;
    for line in include_str!("../../tests/fixtures/client/allocate.tsv").lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap();
        let (name, argument, topic, spec) = (next(), next(), next(), next());
        let mut queues = Vec::new();
        for broker in spec.split(',') {
            let (broker_name, count) = broker.rsplit_once(':').unwrap();
            queues.extend((0..count.parse().unwrap()).map(|queue_id| MessageQueue {
                topic: topic.into(),
                broker_name: broker_name.into(),
                queue_id,
            }));
        }
        let expected: Vec<(&str, &str)> = fields.map(|field| field.rsplit_once('=').unwrap()).collect();
        let mut members: Vec<String> = expected.iter().map(|(member, _)| member.to_string()).collect();
        // The order in which they come does not matter.
        members.reverse();
        queues.reverse();
        for (member, expected) in expected {
            let mine = allocate(&named(name, argument), "g", member, &queues, &members).unwrap();
            let mine: Vec<String> =
                mine.iter().map(|queue| format!("{}:{}", queue.broker_name, queue.queue_id)).collect();
            assert_eq!(mine.join(","), expected, "{name} {argument} {spec} {member}");
            checked += 1;
        }
    }
    assert!(checked > 900, "{checked}");
}

#[test]
fn eight_queues_for_three_members() {
    let (queues, members) = (queues(&[("b", 8)]), members("c", 3));
    assert_eq!(ids(&Strategy::Averagely, "c0", &queues, &members), [0, 1, 2]);
    assert_eq!(ids(&Strategy::Averagely, "c1", &queues, &members), [3, 4, 5]);
    assert_eq!(ids(&Strategy::Averagely, "c2", &queues, &members), [6, 7]);
    assert_eq!(ids(&Strategy::ByCircle, "c0", &queues, &members), [0, 3, 6]);
    assert_eq!(ids(&Strategy::ByCircle, "c2", &queues, &members), [2, 5]);
}

#[test]
fn a_stranger_and_a_member_without_queues_get_nothing() {
    let (queues, members) = (queues(&[("b", 2)]), members("c", 3));
    for strategy in [Strategy::Averagely, Strategy::ByCircle, Strategy::ConsistentHash { virtual_nodes: 10 }]
    {
        assert!(ids(&strategy, "stranger", &queues, &members).is_empty());
        assert!(ids(&strategy, "c0", &[], &members).is_empty());
    }
    assert!(ids(&Strategy::Averagely, "c2", &queues, &members).is_empty());
}

#[test]
fn configured_queues_are_each_members_that_names_them() {
    let list = queues(&[("b", 4)])[1..3].to_vec();
    let strategy = Strategy::Config(list.clone());
    for me in ["c0", "c1"] {
        assert_eq!(allocate(&strategy, "g", me, &queues(&[("b", 4)]), &members("c", 2)).unwrap(), list);
    }
}

#[test]
fn rooms_are_named_by_the_clients_setting() {
    let client = ClientOptions { machine_room: Some("r1".into()), ..ClientOptions::default() };
    let strategy = Strategy::from_options(&client, &ConsumerOptions::default());
    assert_eq!(strategy.name(), "MACHINE_ROOM_NEARBY-AVG");
    let queues = queues(&[("r1@a", 2), ("r2@b", 2), ("r3@c", 2)]);
    let members = ["r1@10.0.0.1@x", "r2@10.0.0.2@y"].map(String::from);
    let mine = |me: &str| {
        let mine = allocate(&strategy, "g", me, &queues, &members).unwrap();
        mine.into_iter().map(|queue| format!("{}{}", queue.broker_name, queue.queue_id)).collect::<Vec<_>>()
    };
    // Nobody is in the third room: all share its queues.
    assert_eq!(mine(&members[0]), ["r1@a0", "r1@a1", "r3@c0"]);
    assert_eq!(mine(&members[1]), ["r2@b0", "r2@b1", "r3@c1"]);
}

#[test]
fn a_queue_or_member_without_room_is_named() {
    let rooms = |queue: &'static str, member: &'static str| {
        let rooms = Rooms::new(move |_| queue.into(), move |_| member.into());
        let strategy = Strategy::Nearby { rooms, within: Box::new(Strategy::Averagely) };
        allocate(&strategy, "g", "c0", &queues(&[("b", 1)]), &members("c", 1)).unwrap_err()
    };
    assert!(rooms("", "r").to_string().contains("queue 0 of broker b"), "{}", rooms("", "r"));
    assert!(rooms("r", "").to_string().contains("client c0"), "{}", rooms("r", ""));
}

#[test]
fn an_own_strategy_sees_everything_in_order() {
    let strategy = Strategy::Own(OwnStrategy::new(|group, me, queues, members| {
        assert_eq!((group, me, members), ("g", "c1", ["c0", "c1"].as_slice()));
        vec![queues[0].clone()]
    }));
    let mut queues = queues(&[("b", 3)]);
    queues.reverse();
    assert_eq!(ids(&strategy, "c1", &queues, &["c1".into(), "c0".into()]), [0]);
}

#[test]
fn an_eleventh_member_takes_about_a_tenth_of_the_ring_and_moves_nothing_else() {
    let queues = queues(&[("broker-a", 500), ("broker-b", 500)]);
    let strategy = Strategy::ConsistentHash { virtual_nodes: 100 };
    let owners = |members: &[String]| -> BTreeMap<MessageQueue, String> {
        let of = |me: &String| {
            let mine = allocate(&strategy, "g", me, &queues, members).unwrap();
            mine.into_iter().map(|queue| (queue, me.clone())).collect::<Vec<_>>()
        };
        members.iter().flat_map(of).collect()
    };
    let before = owners(&members("10.0.0.1@", 10));
    let after = owners(&members("10.0.0.1@", 11));
    let moved: Vec<_> = before.iter().filter(|(queue, owner)| after[*queue] != **owner).collect();
    assert!((50..=150).contains(&moved.len()), "{} of 1000 moved", moved.len());
    assert!(moved.iter().all(|(queue, _)| after[*queue] == "10.0.0.1@10"));
}

fn any_strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    prop_oneof![
        Just(Strategy::Averagely),
        Just(Strategy::ByCircle),
        Just(Strategy::MachineRoom(["r0", "r1", "r2"].map(String::from).into())),
        (1usize..20).prop_map(|virtual_nodes| Strategy::ConsistentHash { virtual_nodes }),
        Just(Strategy::Nearby { rooms: Rooms::by_name(), within: Box::new(Strategy::ByCircle) }),
    ]
}

proptest! {
    #[test]
    fn every_queue_has_one_owner_in_whatever_order_they_come(
        strategy in any_strategy(),
        counts in collection::vec(0i32..12, 1..4),
        members in collection::btree_set((0u8..4, 0u8..50), 1..20),
        seed in 0usize..1000,
    ) {
        let brokers: Vec<String> = (0..counts.len()).map(|room| format!("r{room}@b")).collect();
        let spec: Vec<(&str, i32)> = brokers.iter().map(String::as_str).zip(counts).collect();
        let all = queues(&spec);
        let members: Vec<String> = members.iter().map(|(room, ip)| format!("r{room}@10.0.0.{ip}@1")).collect();
        let (mut shuffled_queues, mut shuffled_members) = (all.clone(), members.clone());
        let turn = |length: usize| seed % length.max(1);
        shuffled_queues.rotate_left(turn(all.len()));
        shuffled_members.rotate_left(turn(members.len()));
        shuffled_queues.reverse();
        let mut given = Vec::new();
        for me in &members {
            let mine = allocate(&strategy, "g", me, &all, &members).unwrap();
            prop_assert_eq!(&mine, &allocate(&strategy, "g", me, &shuffled_queues, &shuffled_members).unwrap());
            given.extend(mine);
        }
        given.sort();
        prop_assert_eq!(given, all);
    }

    #[test]
    fn average_shares_differ_by_one_at_most(count in 0..40, size in 1usize..20) {
        let (queues, members) = (queues(&[("b", count)]), members("c", size));
        for strategy in [Strategy::Averagely, Strategy::ByCircle] {
            let shares = members.iter().map(|me| ids(&strategy, me, &queues, &members).len());
            let (least, most) = shares.fold((usize::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
            prop_assert!(most - least <= 1);
        }
    }
}
