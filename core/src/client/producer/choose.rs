//! Which queue a message is sent to.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crate::config::ProducerOptions;
use crate::message::{java_hash, Message};
use crate::sync::{Mutex, RwLock};
use crate::wire::body::MessageQueue;
use crate::{Error, ErrorKind, Result};

/// A failed try counts as an answer that took this long, as in Apache's 5.3.
const FAILED_COUNTS_AS: Duration = Duration::from_secs(10);

/// Topics of which a producer remembers whose turn it is.
const MOST_TURNS: usize = 10_000;

/// Chooses a queue for one message out of all of its topic, ordered by broker and number.
#[derive(Clone)]
#[doc(alias = "MessageQueueSelector")]
pub enum Selector {
    /// The queue of a key: the same one for the same key as long as the topic has as many queues, and the same one that
    /// Apache's Java client chooses for a `String`.
    #[doc(alias = "SelectMessageQueueByHash")]
    ByHash(String),
    /// Any.
    #[doc(alias = "SelectMessageQueueByRandom")]
    ByRandom,
    /// One of the brokers in these machine rooms, in turn. A broker's room is what stands before `@` in its name.
    #[doc(alias = "SelectMessageQueueByMachineRoom")]
    ByMachineRoom(BTreeSet<String>),
    /// What this function says: the place in the list, below its length.
    Own(Arc<Choose>),
}

/// A function that chooses a queue for a message: its place in the list.
pub type Choose = dyn Fn(&[MessageQueue], &Message) -> usize + Send + Sync;

impl Selector {
    /// A selector of one's own.
    pub fn own(choose: impl Fn(&[MessageQueue], &Message) -> usize + Send + Sync + 'static) -> Selector {
        Selector::Own(Arc::new(choose))
    }

    /// The place of the queue in `queues`, which are not empty.
    pub(super) fn choose(&self, queues: &[MessageQueue], message: &Message, turns: &Turn) -> Result<usize> {
        let wrong = |what: String| Err(Error::new(ErrorKind::InvalidArgument, "choose a queue", what));
        match self {
            Selector::ByHash(key) => Ok(by_hash(java_hash(key), queues.len())),
            Selector::ByRandom => Ok(RandomState::new().hash_one(queues.len()) as usize % queues.len()),
            Selector::ByMachineRoom(rooms) => {
                let in_rooms = |queue: &MessageQueue| {
                    queue.broker_name.split_once('@').is_some_and(|(room, _)| rooms.contains(room))
                };
                let places: Vec<usize> = (0..queues.len()).filter(|at| in_rooms(&queues[*at])).collect();
                if places.is_empty() {
                    return wrong(format!(
                        "no broker of topic {:?} is in one of the rooms {rooms:?}; brokers are named room@name",
                        message.topic
                    ));
                }
                Ok(places[turns.next() % places.len()])
            }
            Selector::Own(choose) => match choose(queues, message) {
                place if place < queues.len() => Ok(place),
                place => wrong(format!(
                    "the selector chose place {place} of {} queues of topic {:?}",
                    queues.len(),
                    message.topic
                )),
            },
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::ByHash(key) => f.debug_tuple("ByHash").field(key).finish(),
            Selector::ByRandom => f.write_str("ByRandom"),
            Selector::ByMachineRoom(rooms) => f.debug_tuple("ByMachineRoom").field(rooms).finish(),
            Selector::Own(_) => f.write_str("Own"),
        }
    }
}

/// The place of a hash among `count` queues. Java's remainder has the sign of the hash; a negative one counts as its
/// opposite.
fn by_hash(hash: i32, count: usize) -> usize {
    let remainder = i64::from(hash) % count as i64;
    remainder.unsigned_abs() as usize
}

/// An endless count, begun at random so that short-lived producers do not all begin at the same queue.
pub(super) struct Turn(AtomicUsize);

impl Turn {
    fn new() -> Turn {
        Turn(AtomicUsize::new(RandomState::new().hash_one(()) as usize >> 1))
    }

    pub fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Whose turn it is, topic by topic.
#[derive(Default)]
pub(super) struct Turns {
    by_topic: RwLock<HashMap<String, Arc<Turn>>>,
}

impl Turns {
    pub fn of(&self, topic: &str) -> Arc<Turn> {
        if let Some(turn) = self.by_topic.read().get(topic) {
            return turn.clone();
        }
        let mut by_topic = self.by_topic.write();
        if by_topic.len() >= MOST_TURNS {
            by_topic.clear();
        }
        by_topic.entry(topic.into()).or_insert_with(|| Arc::new(Turn::new())).clone()
    }
}

/// Brokers to be avoided for a while because they were slow or failed.
#[doc(alias = "MQFaultStrategy")]
#[doc(alias = "LatencyFaultTolerance")]
pub(super) struct Faults {
    pub enabled: bool,
    /// From which latency on for how long, ascending.
    steps: Vec<(Duration, Duration)>,
    /// Until when brokers are avoided, ms.
    until: Mutex<HashMap<String, i64>>,
}

impl Faults {
    pub fn new(options: &ProducerOptions) -> Faults {
        let steps = options.latency_max.iter().copied().zip(options.not_available_duration.iter().copied());
        Faults { enabled: options.send_latency_fault_enable, steps: steps.collect(), until: Mutex::default() }
    }

    /// Notes how a try went.
    pub fn note(&self, broker: &str, latency: Duration, failed: bool, now_ms: i64) {
        if !self.enabled {
            return;
        }
        let latency = if failed { FAILED_COUNTS_AS } else { latency };
        let avoided = self.steps.iter().rev().find(|(from, _)| latency >= *from);
        let avoided = avoided.map_or(0, |(_, avoided)| avoided.as_millis() as i64);
        if avoided == 0 {
            return;
        }
        let mut until = self.until.lock();
        until.retain(|_, until| *until > now_ms);
        let until = until.entry(broker.into()).or_insert(0);
        if *until < now_ms + avoided {
            tracing::info!("broker {broker} is avoided for {avoided} ms: it was slow or failed");
            *until = now_ms + avoided;
        }
    }

    /// Whether a broker is to be avoided now.
    pub fn avoids(&self, broker: &str, now_ms: i64) -> bool {
        self.enabled && self.until.lock().get(broker).is_some_and(|until| *until > now_ms)
    }
}

/// The queue whose turn it is: of a broker that is neither `tried` nor avoided if there is one, else of one that was not
/// tried, else of one that was not the last to fail. None if there are no queues.
pub(super) fn in_turn<'a>(
    queues: &'a [MessageQueue],
    turn: &Turn,
    tried: &[String],
    avoids: impl Fn(&str) -> bool,
) -> Option<&'a MessageQueue> {
    let round = |wanted: &dyn Fn(&MessageQueue) -> bool| {
        // Each queue passed over has had its turn, so that the others go on taking theirs evenly.
        let mut taken = (0..queues.len()).map(|_| &queues[turn.next() % queues.len()]);
        taken.find(|queue| wanted(queue))
    };
    let untried = |queue: &MessageQueue| !tried.contains(&queue.broker_name);
    round(&|queue| untried(queue) && !avoids(&queue.broker_name))
        .or_else(|| round(&untried))
        .or_else(|| round(&|queue| tried.last() != Some(&queue.broker_name)))
        .or_else(|| round(&|_| true))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn queues(brokers: &[&str], each: i32) -> Vec<MessageQueue> {
        let queue =
            |broker: &str, queue_id| MessageQueue { topic: "T".into(), broker_name: broker.into(), queue_id };
        brokers.iter().flat_map(|broker| (0..each).map(move |id| queue(broker, id))).collect()
    }

    fn faults(enabled: bool) -> Faults {
        Faults::new(&ProducerOptions { send_latency_fault_enable: enabled, ..ProducerOptions::default() })
    }

    fn counts(queues: &[MessageQueue], sends: usize, tried: &[String], faults: &Faults) -> Vec<usize> {
        let turn = Turn::new();
        let mut counts = vec![0; queues.len()];
        for _ in 0..sends {
            let queue = in_turn(queues, &turn, tried, |broker| faults.avoids(broker, 0)).unwrap();
            counts[queues.iter().position(|other| other == queue).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn turns_are_even_also_where_a_broker_is_passed_over() {
        let queues = queues(&["a", "b"], 2);
        assert_eq!(counts(&queues, 8000, &[], &faults(false)), [2000; 4]);
        assert_eq!(counts(&queues, 8000, &["a".into()], &faults(false)), [0, 0, 4000, 4000]);
        assert!(in_turn(&[], &Turn::new(), &[], |_| false).is_none());
        // All were tried: not the last one again, if it can be helped.
        let all = ["a".to_string(), "b".to_string()];
        assert_eq!(counts(&queues, 80, &all, &faults(true)), [40, 40, 0, 0]);
        assert_eq!(counts(&queues[..2], 80, &all[..1], &faults(true)), [40, 40]);
    }

    #[test]
    fn slow_and_failed_brokers_are_avoided_for_a_while_if_wanted() {
        let queues = queues(&["a", "b"], 1);
        let at = |faults: &Faults, now_ms| {
            let turn = Turn::new();
            let avoids = |broker: &str| faults.avoids(broker, now_ms);
            let chosen = |_| in_turn(&queues, &turn, &[], avoids).unwrap().broker_name.clone();
            (0..2).map(chosen).collect::<BTreeSet<_>>().into_iter().collect::<String>()
        };
        let ms = Duration::from_millis;
        let (off, on) = (faults(false), faults(true));
        off.note("a", ms(0), true, 0);
        on.note("a", ms(549), false, 0);
        assert_eq!((at(&off, 1), at(&on, 1)), ("ab".into(), "ab".into()));
        on.note("a", ms(550), false, 0);
        assert_eq!((at(&on, 1_999), at(&on, 2_000)), ("b".into(), "ab".into()));
        on.note("a", ms(1), true, 10_000);
        assert_eq!((at(&on, 19_999), at(&on, 20_000)), ("b".into(), "ab".into()));
        on.note("a", ms(60_000), false, 30_000);
        on.note("a", ms(550), false, 30_000);
        assert_eq!((at(&on, 59_999), at(&on, 60_000)), ("b".into(), "ab".into()), "the longer one counts");
        on.note("a", ms(60_000), false, 0);
        on.note("b", ms(60_000), false, 0);
        assert_eq!(at(&on, 1), "ab", "some broker has to do it");
    }

    #[test]
    fn a_key_has_the_queue_that_java_gives_it() {
        // Java's hashes: Integer.MIN_VALUE, -1207111310, 108119.
        for (key, count, place) in
            [("polygenelubricants", 8, 0), ("polygenelubricants", 7, 2), ("order-1", 8, 6), ("o-5", 8, 7)]
        {
            assert_eq!(by_hash(java_hash(key), count), place, "{key} {count}");
        }
        assert_eq!((by_hash(-7, 4), by_hash(7, 4), by_hash(-8, 4), by_hash(i32::MIN, 1)), (3, 3, 0, 0));
    }

    #[test]
    fn selectors_choose_what_they_promise() {
        let (queues, message, turn) =
            (queues(&["r1@a", "r2@b", "c"], 2), Message::new("T", "x"), Turn::new());
        let choose = |selector: &Selector| selector.choose(&queues, &message, &turn);
        let rooms =
            |names: &[&str]| Selector::ByMachineRoom(names.iter().map(|name| name.to_string()).collect());
        let places: BTreeSet<usize> = (0..4).map(|_| choose(&rooms(&["r2", "r9"])).unwrap()).collect();
        assert_eq!(places, [2, 3].into());
        assert!(choose(&rooms(&["r9"])).unwrap_err().context().contains("r9"));
        let places: BTreeSet<usize> = (0..1000).map(|_| choose(&Selector::ByRandom).unwrap()).collect();
        assert_eq!(places.len(), 6);
        assert_eq!(choose(&Selector::own(|queues, _| queues.len() - 1)).unwrap(), 5);
        let error = choose(&Selector::own(|queues, _| queues.len())).unwrap_err();
        assert!(error.context().contains("place 6 of 6"), "{error}");
    }

    proptest! {
        #[test]
        fn every_hash_has_a_place(hash: i32, count in 1usize..10_000) {
            prop_assert!(by_hash(hash, count) < count);
        }
    }
}
