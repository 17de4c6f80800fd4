//! Push is pull underneath: what goes over the wire between a push consumer and its broker, frame by frame.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ferromq::client::{ConsumeStatus, ConsumerOptions, OrderlyStatus, PushConsumer, StartFrom};
use ferromq::record::records;
use ferromq::wire::{Frame, Request, RequestCode, ResponseCode};
use parking_lot::Mutex;

use crate::client_support::FakeCluster;
use crate::net_support::eventually;
use crate::support::{message, start_server};

/// A frame as it passed.
#[derive(Debug, Clone)]
struct Passed {
    from_broker: bool,
    connection: usize,
    bytes: Vec<u8>,
}

impl Passed {
    fn frame(&self) -> Frame<'_> {
        Frame::decode(&self.bytes).expect("a well-formed frame")
    }

    /// Begins at this side, not as the answer to something.
    fn is_request(&self) -> bool {
        !self.frame().is_response()
    }
}

type Log = Arc<Mutex<Vec<Passed>>>;

/// Passes frames on between those who connect and a broker, and writes them down.
struct Recorder {
    port: u16,
    log: Log,
}

impl Recorder {
    fn before(target: u16) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, log) = (listener.local_addr().unwrap().port(), Log::default());
        let into = log.clone();
        std::thread::spawn(move || {
            static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
            for client in listener.incoming().flatten() {
                let Ok(broker) = TcpStream::connect(("127.0.0.1", target)) else { return };
                let connection = CONNECTIONS.fetch_add(1, Ordering::SeqCst);
                let back = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                for (from_broker, (from, to)) in [(false, (client, broker)), (true, back)] {
                    let log = into.clone();
                    std::thread::spawn(move || {
                        pass(from, to, &log, |bytes| Passed { from_broker, connection, bytes })
                    });
                }
            }
        });
        Recorder { port, log }
    }

    fn all(&self) -> Vec<Passed> {
        self.log.lock().clone()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, log: &Log, passed: impl Fn(Vec<u8>) -> Passed) {
    let mut length = [0; 4];
    while from.read_exact(&mut length).is_ok() {
        let mut bytes = length.to_vec();
        bytes.resize(4 + u32::from_be_bytes(length) as usize, 0);
        if from.read_exact(&mut bytes[4..]).is_err() {
            break;
        }
        log.lock().push(passed(bytes.clone()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Either end may be gone already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// What a push consumer of four queues and its broker said to each other while 40 messages were consumed.
fn recorded(orderly: bool) -> Vec<Passed> {
    let server = start_server("brokerName=broker-a");
    server.broker().create_topic("T", 4);
    let recorder = Recorder::before(server.broker_port());
    let names = FakeCluster::start(0, 0);
    names.add_broker("broker-a", &format!("127.0.0.1:{}", recorder.port), 4);
    let client = names.connect();
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") };
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    match orderly {
        true => consumer.listen_orderly(move |messages, _| {
            counted.fetch_add(messages.len(), Ordering::SeqCst);
            OrderlyStatus::Success
        }),
        false => consumer.listen(move |messages, _| {
            counted.fetch_add(messages.len(), Ordering::SeqCst);
            ConsumeStatus::Success
        }),
    }
    .unwrap();
    let produce = |range: std::ops::Range<i32>| {
        let mut broker = server.broker();
        range.for_each(|number| drop(broker.produce("T", number % 4, b"a body to be told apart", "").ok()));
    };
    produce(0..20);
    consumer.start().unwrap();
    eventually("what was there is consumed", || count.load(Ordering::SeqCst) == 20);
    // Now its pulls wait at the broker; what comes answers them.
    std::thread::sleep(Duration::from_millis(50));
    produce(20..40);
    eventually("what came is consumed", || count.load(Ordering::SeqCst) == 40);
    consumer.close().unwrap();
    client.close();
    recorder.all()
}

#[test]
fn a_push_consumer_asks_for_everything_it_gets_queue_by_queue() {
    for orderly in [false, true] {
        let log = recorded(orderly);
        let is_pull = |frame: &Frame<'_>| frame.request_code() == RequestCode::PULL_MESSAGE;
        // Each pull names one queue; all queues are asked.
        let mut pulls: BTreeMap<(usize, i32), i32> = BTreeMap::new();
        for passed in log.iter().filter(|passed| !passed.from_broker && is_pull(&passed.frame())) {
            let frame = passed.frame();
            let field = |long: &str, short: &str| frame.fields.get(long).or(frame.fields.get(short)).unwrap();
            assert_eq!(field("topic", "b"), "T");
            let queue: i32 = field("queueId", "c").parse().unwrap();
            pulls.insert((passed.connection, frame.opaque), queue);
        }
        let queues: BTreeSet<i32> = pulls.values().copied().collect();
        assert_eq!(queues, (0..4).collect(), "orderly: {orderly}");
        // Messages come in answers to these pulls and in nothing else, and of the queue that was asked for.
        let mut messages = 0;
        for passed in log.iter().filter(|passed| passed.from_broker) {
            let frame = passed.frame();
            let asked = pulls.get(&(passed.connection, frame.opaque)).filter(|_| frame.is_response());
            let text = b"a body to be told apart";
            let has_messages = frame.body.windows(text.len()).any(|window| window == text);
            assert_eq!(has_messages, asked.is_some() && frame.response_code() == ResponseCode::SUCCESS);
            for record in records(if has_messages { frame.body } else { &[] }) {
                assert_eq!(Some(&record.unwrap().queue_id()), asked);
                messages += 1;
            }
        }
        assert_eq!(messages, 40, "orderly: {orderly}");
        // What begins at the broker tells that the group changed, and carries no data.
        for passed in log.iter().filter(|passed| passed.from_broker && passed.is_request()) {
            let frame = passed.frame();
            assert_eq!(frame.request_code(), RequestCode::NOTIFY_CONSUMER_IDS_CHANGED, "{frame:?}");
            assert!(frame.body.is_empty());
        }
    }
}

#[test]
fn what_a_tag_leaves_out_never_leaves_the_broker() {
    let server = start_server("");
    let mut broker = server.broker();
    broker.create_topic("T", 4);
    for number in 0..2000 {
        let (rare, queue) = (number % 100 == 0, (number / 100 + number) % 4);
        let tag = if rare { "TAGS=Rare" } else { "TAGS=Common" };
        broker.send(&Request::SendMessage(message("T", queue, b"a body to be told apart", tag)));
    }
    (0..2000).for_each(|_| drop(broker.receive().ok()));
    let recorder = Recorder::before(server.broker_port());
    let names = FakeCluster::start(0, 0);
    names.add_broker("broker-a", &format!("127.0.0.1:{}", recorder.port), 4);
    let client = names.connect();
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") };
    let consumer = PushConsumer::new(&client, options).unwrap();
    consumer.subscribe("T", "Rare").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    consumer
        .listen(move |messages, _| {
            assert!(messages.iter().all(|message| message.tag() == Some("Rare")));
            counted.fetch_add(messages.len(), Ordering::SeqCst);
            ConsumeStatus::Success
        })
        .unwrap();
    consumer.start().unwrap();
    eventually("what is wanted is consumed", || count.load(Ordering::SeqCst) == 20);
    consumer.close().unwrap();
    client.close();
    let mut bodies = 0;
    for passed in recorder.all().iter().filter(|passed| passed.from_broker) {
        let text = b"a body to be told apart";
        bodies += passed.frame().body.windows(text.len()).filter(|window| window == text).count();
    }
    assert_eq!(bodies, 20, "1 % of the messages goes over the wire");
}
