//! Long polling: pulls that found nothing wait here, by queue, until a message lands or their time is up.
//!
//! Apache's names: PullRequestHoldService, NotifyMessageArrivingListener.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::net::Ticket;
use crate::record::RecordView;
use crate::store::Arrival;
use crate::sync::Mutex;

use super::pull::OwnedPull;
use super::{pull, Broker};

/// Queues are spread over this many locks by the hash of their topic, so that arrivals of different topics do not
/// meet.
const SHARDS: usize = 16;

/// A pull without its frame: what is needed to run it again, the ticket to answer, and when to give up.
pub(crate) struct Parked {
    pub ticket: Ticket,
    pub pull: OwnedPull,
    /// Clock milliseconds at which it is answered with what there is.
    pub deadline_ms: i64,
}

type Queues = HashMap<i32, Vec<Parked>>;

/// The parked pulls of a broker. All methods from any thread.
#[derive(Default)]
pub(crate) struct Waiters {
    shards: [Mutex<HashMap<String, Queues>>; SHARDS],
    parked: AtomicUsize,
    /// Nothing waits any more: the broker ends.
    released: AtomicBool,
}

impl Waiters {
    fn shard(&self, topic: &str) -> &Mutex<HashMap<String, Queues>> {
        let hash = topic.bytes().fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte as usize));
        &self.shards[hash % SHARDS]
    }

    /// Pulls waiting now.
    pub fn len(&self) -> usize {
        self.parked.load(Ordering::Relaxed)
    }

    fn add(&self, parked: Parked) {
        self.parked.fetch_add(1, Ordering::SeqCst);
        let mut shard = self.shard(&parked.pull.topic).lock();
        let queues = match shard.get_mut(&parked.pull.topic) {
            Some(queues) => queues,
            None => shard.entry(parked.pull.topic.clone()).or_default(),
        };
        queues.entry(parked.pull.queue_id).or_default().push(parked);
    }

    /// Takes the pulls of one queue that `wanted` picks, in the order they came.
    fn take(&self, topic: &str, queue_id: i32, mut wanted: impl FnMut(&mut Parked) -> bool) -> Vec<Parked> {
        let mut shard = self.shard(topic).lock();
        let Some(queue) = shard.get_mut(topic).and_then(|queues| queues.get_mut(&queue_id)) else {
            return Vec::new();
        };
        let (mut taken, mut kept) = (Vec::new(), Vec::with_capacity(queue.len()));
        for mut parked in queue.drain(..) {
            match wanted(&mut parked) {
                true => taken.push(parked),
                false => kept.push(parked),
            }
        }
        *queue = kept;
        self.count_out(taken)
    }

    /// The queues that pulls wait for.
    fn queues(&self) -> Vec<(String, i32)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for (topic, queues) in shard.lock().iter() {
                all.extend(queues.keys().map(|queue_id| (topic.clone(), *queue_id)));
            }
        }
        all
    }

    fn count_out(&self, taken: Vec<Parked>) -> Vec<Parked> {
        self.parked.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }

    /// Takes every pull that `wanted` picks, of all queues, and forgets queues nobody waits in.
    fn take_all(&self, wanted: impl Fn(&Parked) -> bool) -> Vec<Parked> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            shard.lock().retain(|_, queues| {
                queues.retain(|_, queue| {
                    let (out, kept): (Vec<_>, Vec<_>) = std::mem::take(queue).into_iter().partition(&wanted);
                    taken.extend(out);
                    *queue = kept;
                    !queue.is_empty()
                });
                !queues.is_empty()
            });
        }
        self.count_out(taken)
    }
}

/// Parks a pull. A message that landed between its look into the queue and now answers it at once.
pub(crate) fn park(broker: &Broker, parked: Parked) {
    let (topic, queue_id) = (parked.pull.topic.clone(), parked.pull.queue_id);
    broker.waiters.add(parked);
    // A group may have been moved since its pull was looked at.
    rouse(broker, &topic, queue_id);
    if broker.waiters.released.load(Ordering::SeqCst) {
        return release_all(broker);
    }
    if let Some(bounds) = broker.store.queue_bounds(&topic, queue_id) {
        run_again(broker, broker.waiters.take(&topic, queue_id, |parked| parked.pull.offset < bounds.end));
    }
}

/// Runs the pulls again of groups that were moved in a queue: they are told so.
pub(crate) fn rouse(broker: &Broker, topic: &str, queue_id: i32) {
    if broker.offsets.has_moved() {
        let moved = |parked: &mut Parked| {
            broker.offsets.is_to_tell(parked.pull.at(), parked.ticket.connection().id())
        };
        run_again(broker, broker.waiters.take(topic, queue_id, moved));
    }
}

/// A topic is gone: runs its pulls again, which wait for offsets that there may never be.
pub(crate) fn topic_deleted(broker: &Broker, topic: &str) {
    run_again(broker, broker.waiters.take_all(|parked| parked.pull.topic == topic));
}

/// A message became readable: answers the pulls of its queue that want it.
pub(crate) fn arrived(broker: &Broker, arrival: &Arrival<'_>) {
    if broker.waiters.len() == 0 {
        return;
    }
    // Read at most once, and only if one of the pulls filters by properties.
    let record = OnceCell::new();
    let record = || {
        let bytes = record.get_or_init(|| broker.store.record(arrival.physical_offset));
        bytes.as_deref().and_then(|bytes| RecordView::parse(bytes).ok())
    };
    let wants = |parked: &mut Parked| {
        let wants = parked.pull.offset <= arrival.offset && parked.pull.filter.wants(arrival, record);
        // What is not wanted need not be looked at again when something comes that is.
        if !wants && parked.pull.offset == arrival.offset {
            parked.pull.offset = arrival.next_offset;
        }
        wants
    };
    run_again(broker, broker.waiters.take(arrival.topic, arrival.queue_id, wants));
}

/// Answers pulls whose time is up, or whose queue holds something after all; drops those whose connection is gone.
/// Run about once a second.
pub(crate) fn sweep(broker: &Broker) {
    if broker.waiters.len() == 0 {
        return;
    }
    let now = broker.clock.now_ms();
    // Asked for without any lock of the waiters: the store may pass messages on meanwhile, which come to `arrived`.
    let ends: HashMap<(String, i32), i64> = broker
        .waiters
        .queues()
        .into_iter()
        .filter_map(|queue| {
            let bounds = broker.store.queue_bounds(&queue.0, queue.1)?;
            Some((queue, bounds.end))
        })
        .collect();
    let moved = |pull: &OwnedPull| {
        let end = ends.get(&(pull.topic.clone(), pull.queue_id));
        end.is_some_and(|end| pull.offset < *end)
    };
    let due = broker.waiters.take_all(|parked| {
        parked.deadline_ms <= now || !parked.ticket.connection().is_open() || moved(&parked.pull)
    });
    run_again(broker, due);
}

/// Answers all waiting pulls with "nothing new" so that clients ask elsewhere, and from now on every pull that would
/// wait; for the shutdown, which waits for those that wait here.
pub(crate) fn release_all(broker: &Broker) {
    broker.waiters.released.store(true, Ordering::SeqCst);
    for parked in broker.waiters.take_all(|_| true) {
        pull::answer_parked(broker, Parked { deadline_ms: i64::MIN, ..parked });
    }
}

fn run_again(broker: &Broker, taken: Vec<Parked>) {
    for parked in taken {
        let connection = parked.ticket.connection();
        if !connection.is_open() {
            continue;
        }
        if !connection.is_congested() {
            pull::answer_parked(broker, parked);
        } else if parked.deadline_ms > broker.clock.now_ms() {
            // A peer that does not read gets no more to read: the next arrival or sweep looks again.
            broker.waiters.add(parked);
            if broker.waiters.released.load(Ordering::SeqCst) {
                release_all(broker);
            }
        } else {
            pull::answer_later(broker, parked);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clock::Clock;
    use crate::config::BrokerConfig;
    use crate::net::{Client, ClientOptions, Loops, Server, ServerOptions};
    use crate::wire::{Encoding, Frame, PullMessage, Request, ResponseCode, SendMessage};

    /// Only a hang takes so long.
    const HANG: Duration = Duration::from_secs(60);

    fn send(stream: &mut TcpStream, request: impl Into<Request<'static>>) {
        let mut bytes = Vec::new();
        request.into().encode(Encoding::Json, 7, false, &mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    }

    /// Code and body of the next answer.
    fn receive(stream: &mut TcpStream) -> (ResponseCode, Vec<u8>) {
        let mut bytes = vec![0; 4];
        stream.read_exact(&mut bytes).unwrap();
        bytes.resize(4 + u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, 0);
        stream.read_exact(&mut bytes[4..]).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        (frame.response_code(), frame.body.to_vec())
    }

    #[test]
    fn a_pull_that_no_append_wakes_is_answered_within_five_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let config = BrokerConfig {
            broker_ip1: "127.0.0.1".into(),
            store_path_root_dir: dir.path().join("data"),
            mapped_file_size_commit_log: 1 << 20,
            max_hash_slot_num: 1000,
            max_index_num: 4000,
            ..BrokerConfig::default()
        };
        let (clock, loops) = (Clock::new(), Loops::new(1));
        let broker = Broker::open(config, clock.clone()).unwrap();
        let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
        let server = Server::bind(&loops, options, broker.clone()).unwrap();
        let outwards = Client::new(&loops, ClientOptions::default(), broker.clone());
        broker.start(server.port(), outwards.clone()).unwrap();
        // From here on nobody is told of what lands.
        broker.store.set_listener(|_: &Arrival<'_>| {});
        let connect = || {
            let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            stream.set_read_timeout(Some(HANG)).unwrap();
            stream
        };
        let (mut consumer, mut producer) = (connect(), connect());
        let pull = PullMessage {
            consumer_group: "G".into(),
            topic: "BenchmarkTest".into(),
            max_msg_nums: 32,
            sys_flag: 4 | 2,
            suspend_timeout_millis: 1_000_000_000,
            subscription: Some("*".into()),
            ..Default::default()
        };
        send(&mut consumer, Request::PullMessage(pull));
        let start = Instant::now();
        while broker.waiters.len() == 0 {
            assert!(start.elapsed() < HANG, "the pull is not held");
            std::thread::sleep(Duration::from_millis(1));
        }
        let message = SendMessage { topic: "BenchmarkTest".into(), body: b"x", ..Default::default() };
        send(&mut producer, Request::SendMessage(message));
        assert_eq!(receive(&mut producer).0, ResponseCode::SUCCESS);
        clock.advance(Duration::from_secs(5));
        let (code, body) = receive(&mut consumer);
        assert_eq!(code, ResponseCode::SUCCESS);
        assert_eq!(RecordView::parse(&body).unwrap().body(), b"x");
        broker.stop();
        server.shutdown(HANG);
        outwards.shutdown();
        broker.close().unwrap();
    }
}
