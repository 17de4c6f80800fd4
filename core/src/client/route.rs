//! Where the queues of a topic are (protocol reference, section 2.2).

use std::collections::BTreeMap;

use crate::wire::body::{MessageQueue, QueueData, TopicRouteData};

/// Permission bits of a topic on a broker.
const WRITE: i32 = 2;
const READ: i32 = 4;

/// Most queues of a topic on a broker, as brokers have it: a route that names more is not believed.
const MOST_QUEUES: i32 = 65_536;

/// Most queues of a route, of all brokers together.
const MOST_OF_ALL: usize = 262_144;

/// The addresses of a broker set by broker id; 0 is the master.
pub(super) type BrokerSet = BTreeMap<i64, String>;

/// A topic's queues and their brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Route {
    /// Queues to send to, a broker's side by side.
    pub publish: Vec<MessageQueue>,
    /// Queues to consume from, in their order.
    pub subscribe: Vec<MessageQueue>,
    /// The broker sets by name.
    pub brokers: BTreeMap<String, BrokerSet>,
}

impl Route {
    pub fn new(topic: &str, data: &TopicRouteData) -> Route {
        let brokers: BTreeMap<String, BrokerSet> =
            data.broker_datas.iter().map(|set| (set.broker_name.clone(), set.broker_addrs.clone())).collect();
        let mut queue_datas: Vec<&QueueData> = data.queue_datas.iter().collect();
        queue_datas.sort_by(|a, b| a.broker_name.cmp(&b.broker_name));
        let publish = match data.order_topic_conf.as_deref().filter(|conf| !conf.is_empty()) {
            Some(conf) => ordered(topic, conf),
            None => {
                let writable = queue_datas.iter().filter(|data| {
                    let master = brokers.get(&data.broker_name).and_then(|set| set.get(&0));
                    data.perm & WRITE != 0 && master.is_some()
                });
                writable
                    .flat_map(|data| queues(topic, &data.broker_name, data.write_queue_nums))
                    .take(MOST_OF_ALL)
                    .collect()
            }
        };
        let readable = queue_datas.iter().filter(|data| data.perm & READ != 0);
        let subscribe = readable
            .flat_map(|data| queues(topic, &data.broker_name, data.read_queue_nums))
            .take(MOST_OF_ALL)
            .collect();
        Route { publish, subscribe, brokers }
    }

    /// The route of a topic that does not exist yet, from that of its template: a broker that gets a message for it
    /// creates it, with at most so many `queues`.
    pub fn of_new_topic(topic: &str, template: &TopicRouteData, queues: i32) -> Route {
        let mut data = template.clone();
        for queue in &mut data.queue_datas {
            let count = queue.read_queue_nums.min(queues);
            (queue.read_queue_nums, queue.write_queue_nums) = (count, count);
        }
        Route { subscribe: Vec::new(), ..Route::new(topic, &data) }
    }
}

fn queues<'a>(topic: &'a str, broker: &'a str, count: i32) -> impl Iterator<Item = MessageQueue> + 'a {
    (0..count.min(MOST_QUEUES)).map(move |queue_id| MessageQueue {
        topic: topic.into(),
        broker_name: broker.into(),
        queue_id,
    })
}

/// Reads `broker-a:4;broker-b:4`; what is malformed is left out.
fn ordered(topic: &str, conf: &str) -> Vec<MessageQueue> {
    let brokers = conf.split(';').filter_map(|part| part.split_once(':'));
    let counted = brokers.filter_map(|(broker, count)| Some((broker, count.trim().parse().ok()?)));
    counted.flat_map(|(broker, count)| queues(topic, broker.trim(), count)).take(MOST_OF_ALL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::BrokerData;

    fn data(queues: &[(&str, i32, i32, i32)], brokers: &[(&str, &[i64])]) -> TopicRouteData {
        let queue = |(name, read, write, perm): &(&str, i32, i32, i32)| QueueData {
            broker_name: name.to_string(),
            read_queue_nums: *read,
            write_queue_nums: *write,
            perm: *perm,
            ..QueueData::default()
        };
        let broker = |(name, ids): &(&str, &[i64])| BrokerData {
            broker_name: name.to_string(),
            broker_addrs: ids.iter().map(|id| (*id, format!("{name}-{id}:1"))).collect(),
            ..BrokerData::default()
        };
        TopicRouteData {
            queue_datas: queues.iter().map(queue).collect(),
            broker_datas: brokers.iter().map(broker).collect(),
            ..TopicRouteData::default()
        }
    }

    fn names(queues: &[MessageQueue]) -> Vec<String> {
        queues.iter().map(|queue| format!("{}{}", queue.broker_name, queue.queue_id)).collect()
    }

    #[test]
    fn permissions_and_masters_decide() {
        let data = data(
            &[("d", 1, 1, 6), ("a", 2, 1, 6), ("b", 1, 1, 4), ("c", 1, 1, 2), ("s", 1, 1, 6)],
            &[("a", &[0, 1]), ("b", &[0]), ("c", &[0]), ("d", &[0]), ("s", &[1])],
        );
        let route = Route::new("T", &data);
        assert_eq!(names(&route.publish), ["a0", "c0", "d0"]);
        assert_eq!(names(&route.subscribe), ["a0", "a1", "b0", "d0", "s0"]);
        assert!(route.subscribe.is_sorted());
        assert_eq!(route.brokers["a"][&1], "a-1:1");
    }

    #[test]
    fn an_order_configuration_counts_instead() {
        let mut data = data(&[("a", 4, 4, 6)], &[("a", &[0])]);
        data.order_topic_conf = Some("a:1; b:2;nonsense;c:x".into());
        assert_eq!(names(&Route::new("T", &data).publish), ["a0", "b0", "b1"]);
    }

    #[test]
    fn a_route_does_not_take_all_memory() {
        let most = MOST_QUEUES as usize;
        let mut data = data(&[("a", i32::MAX, i32::MAX, 6), ("b", -1, 2, 6)], &[("a", &[0]), ("b", &[0])]);
        let route = Route::new("T", &data);
        assert_eq!([route.publish.len(), route.subscribe.len()], [most + 2, most]);
        data.order_topic_conf = Some("a:2147483647;".repeat(1000));
        assert_eq!(Route::new("T", &data).publish.len(), MOST_OF_ALL);
        data.order_topic_conf = None;
        data.queue_datas = vec![data.queue_datas[0].clone(); 100];
        let route = Route::new("T", &data);
        assert_eq!([route.publish.len(), route.subscribe.len()], [MOST_OF_ALL, MOST_OF_ALL]);
    }

    #[test]
    fn a_new_topic_gets_few_queues_of_the_default_topic() {
        let route = Route::of_new_topic(
            "New",
            &data(&[("a", 8, 8, 7), ("b", 2, 8, 7)], &[("a", &[0]), ("b", &[0])]),
            4,
        );
        assert_eq!(names(&route.publish), ["a0", "a1", "a2", "a3", "b0", "b1"]);
        assert!(route.publish.iter().all(|queue| queue.topic == "New"));
        assert!(route.subscribe.is_empty());
    }
}
