//! kill -9 of the broker under clients of ours: what a sync send acknowledged is consumed at least once, and what was sent
//! one-way is stored at most once, as nobody sends it again; what is delayed comes no earlier for a crash. 4 rounds here,
//! 40 with FERROMQ_SOAK=1 (`make soak`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::config::NamesrvConfig;
use ferromq::instance::NamesrvProcess;
use ferromq::{
    ClientOptions, ConsumeContext, ConsumeStatus, ConsumerOptions, Instance, Message, ProducerOptions,
    StartFrom, StoredMessage,
};

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);
const ACKED: &str = "Acked";
const ONEWAY: &str = "Oneway";
const DELAYED: &str = "Delayed";

struct Broker(Child);

impl Broker {
    fn start(name_server: &str, dir: &Path, flush: &str) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ferromq"))
            .args(["broker", "-n", name_server])
            .arg(format!("storePathRootDir={}", dir.display()))
            .arg(format!("flushDiskType={flush}"))
            .args(["brokerIP1=127.0.0.1", "bindAddress=127.0.0.1", "listenPort=0"])
            .args(["mappedFileSizeCommitLog=1048576", "maxHashSlotNum=5000", "maxIndexNum=20000"])
            .arg("messageDelayLevel=1s")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).expect("the ready line");
        assert!(line.contains("ready"), "{line:?}");
        Broker(child)
    }

    fn kill(&mut self) {
        self.0.kill().expect("kill -9");
        self.0.wait().expect("the end");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn connect(name_server: &str) -> Instance {
    let mut options = ClientOptions::new(name_server);
    for (key, value) in [("pollNameServerInterval", "500"), ("heartbeatBrokerInterval", "500")] {
        options.set(key, value).unwrap();
    }
    ferromq::connect_with(options).unwrap()
}

fn number(message: &StoredMessage) -> u64 {
    u64::from_be_bytes(message.body[..8].try_into().unwrap())
}

fn message(topic: &str, number: u64) -> Message {
    Message::new(topic, number.to_be_bytes().to_vec())
}

/// Messages by number, and the places where they were seen.
type Seen = Arc<Mutex<BTreeMap<u64, Vec<(i32, i64)>>>>;

fn note(seen: &Seen, messages: &[StoredMessage]) {
    let mut seen = seen.lock().unwrap();
    for message in messages {
        let place = (message.queue_id, message.queue_offset);
        let places = seen.entry(number(message)).or_default();
        if !places.contains(&place) {
            places.push(place);
        }
    }
}

fn consumer_options(group: Option<&str>) -> ConsumerOptions {
    ConsumerOptions {
        consumer_group: group.map(String::from),
        consume_from_where: StartFrom::First,
        ..ConsumerOptions::default()
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < HANG, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Everything in a topic, read without a group.
fn stored(client: &Instance, topic: &str, last: u64) -> BTreeMap<u64, Vec<(i32, i64)>> {
    let seen = Seen::default();
    let consumer = client.consumer_with(consumer_options(None)).unwrap();
    consumer.subscribe(topic, "*").unwrap();
    eventually("the last message is read", || {
        // An error tells of one refusal or cut; the next poll goes on.
        note(&seen, &consumer.poll(Duration::from_millis(100)).unwrap_or_default());
        seen.lock().unwrap().contains_key(&last) && consumer.is_caught_up()
    });
    consumer.close().unwrap();
    let seen = seen.lock().unwrap().clone();
    seen
}

fn killed_again_and_again(flush: &str) {
    let rounds = if std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1") { 40 } else { 4 };
    let dir = tempfile::tempdir().unwrap();
    let namesrv = NamesrvConfig::from_text("listenPort=0\nbindAddress=127.0.0.1", "test").unwrap();
    let namesrv = NamesrvProcess::start(namesrv).unwrap();
    let name_server = format!("127.0.0.1:{}", namesrv.port());
    let data = dir.path().join("data");
    let mut broker = Broker::start(&name_server, &data, flush);
    let client = connect(&name_server);
    for topic in [ACKED, ONEWAY, DELAYED] {
        eventually("the topic is made", || client.create_topic(topic, 4).is_ok());
    }
    let consumed = Seen::default();
    let consumer = client.push_consumer_with(consumer_options(Some("G"))).unwrap();
    consumer.subscribe(ACKED, "*").unwrap();
    consumer.subscribe(DELAYED, "*").unwrap();
    let (into, early) = (consumed.clone(), Arc::new(Mutex::new(Vec::new())));
    let hasty = early.clone();
    consumer
        .listen(move |messages: &[StoredMessage], _: &ConsumeContext| {
            note(&into, messages);
            for message in messages.iter().filter(|message| message.topic == DELAYED) {
                // Both are this machine's time, in ms.
                let waited = message.store_timestamp - message.born_timestamp;
                if waited < 1000 {
                    hasty.lock().unwrap().push((number(message), waited));
                }
            }
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    let producer = client.producer_with(ProducerOptions::new("P")).unwrap();
    let (stop, numbers, acked) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let delayed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let number = numbers.fetch_add(1, Ordering::SeqCst);
                    if producer.send(&message(ACKED, number)).is_ok() {
                        acked.lock().unwrap().push(number);
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                if producer.send(&message(DELAYED, number).with_delay_level(1).unwrap()).is_ok() {
                    acked.lock().unwrap().push(number);
                    delayed.fetch_add(1, Ordering::SeqCst);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let number = numbers.fetch_add(1, Ordering::SeqCst);
                // Nobody hears whether it came.
                let _gone = producer.send_oneway(&message(ONEWAY, number));
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        for round in 0..rounds {
            let before = acked.lock().unwrap().len();
            eventually("sends are acknowledged", || acked.lock().unwrap().len() > before + 50);
            std::thread::sleep(Duration::from_millis(50 * (round % 5)));
            broker.kill();
            broker = Broker::start(&name_server, &data, flush);
        }
        stop.store(true, Ordering::SeqCst);
    });
    let acked = acked.into_inner().unwrap();
    eventually("what was acknowledged is consumed", || {
        let consumed = consumed.lock().unwrap();
        acked.iter().all(|number| consumed.contains_key(number))
    });
    assert!(delayed.load(Ordering::SeqCst) > 0, "nothing delayed was acknowledged");
    let early = early.lock().unwrap().clone();
    assert!(early.is_empty(), "delayed messages that waited less than 1 s, by number, ms: {early:?}");
    // Its offsets cannot be stored while the broker's new address is not known; messages would come again then.
    let _not_stored = consumer.close();
    // One that is acknowledged marks the end of what the one-way sends left.
    let last = numbers.fetch_add(1, Ordering::SeqCst);
    // A broker that has just started may not be registered yet.
    eventually("the route", || client.queues(ONEWAY).is_ok_and(|queues| queues.len() == 4));
    for queue in client.queues(ONEWAY).unwrap() {
        let to = ferromq::SendOptions::default().with_queue(queue);
        eventually("the end is marked", || producer.send_with(&message(ONEWAY, last), &to).is_ok());
    }
    let mut oneway = stored(&client, ONEWAY, last);
    oneway.remove(&last);
    let twice: Vec<_> = oneway.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "sent one-way and there more than once: {twice:?}");
    assert!(!oneway.is_empty(), "nothing came one-way");
    let copies = consumed.lock().unwrap().values().filter(|places| places.len() > 1).count();
    println!(
        "{flush}, {rounds} kills: {} acknowledged and all consumed ({copies} stored twice), {} of the one-way ones stored",
        acked.len(),
        oneway.len()
    );
    client.close().unwrap();
    broker.kill();
}

#[test]
fn acknowledged_sends_are_consumed_and_oneway_sends_are_there_once_at_most() {
    killed_again_and_again("ASYNC_FLUSH");
    killed_again_and_again("SYNC_FLUSH");
}
