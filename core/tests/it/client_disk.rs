//! A disk that is slow to sync, and what producers are told of it.

use std::io;
use std::sync::mpsc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::client::{
    ClientOptions, Cluster, Consumer, ConsumerOptions, Producer, ProducerOptions, SendOptions, SendStatus,
    StartFrom,
};
use ferromq::message::Message;
use ferromq::store::storage::{Memory, Operation};
use parking_lot::{Condvar, Mutex};

use crate::net_support::{eventually, HANG};
use crate::support::{start_server_with, TestServer};

/// Syncs of the log wait here while it is closed.
#[derive(Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock();
        state.1 += 1;
        while state.0 {
            self.changed.wait(&mut state);
        }
        state.1 -= 1;
    }

    fn close(&self) {
        self.state.lock().0 = true;
    }

    fn open(&self) {
        self.state.lock().0 = false;
        self.changed.notify_all();
    }

    fn is_waited_at(&self) -> bool {
        self.state.lock().1 > 0
    }
}

/// A server whose log is on a disk behind a gate, which is open; and a producer.
fn behind_a_gate(settings: &str) -> (TestServer, Arc<Gate>, Producer) {
    let (disk, gate) = (Memory::new(), Arc::new(Gate::default()));
    let way = gate.clone();
    disk.intercept(move |operation, path| {
        if operation == Operation::Sync && path.components().any(|part| part.as_os_str() == "commitlog") {
            way.pass();
        }
        io::Result::Ok(())
    });
    let settings = format!("mappedFileSizeCommitLog=1048576\nmappedFileSizeConsumeQueue=20000\n{settings}");
    let server = start_server_with(&settings, |options| options.storage = Arc::new(disk));
    server.broker().create_topic("T", 1);
    let client = Cluster::with_options(ClientOptions::new(server.name_server())).unwrap();
    let options = ProducerOptions { send_msg_timeout: HANG, ..ProducerOptions::default() };
    let producer = Producer::new(&client, options).unwrap();
    assert_eq!(producer.send(&Message::new("T", "0")).unwrap().status, SendStatus::Ok);
    (server, gate, producer)
}

fn bodies(server: &TestServer) -> Vec<Vec<u8>> {
    server.broker().pull_all("T", 0, 0).into_iter().map(|message| message.body).collect()
}

/// Sends while syncs hang; the status, and how long the server's clock says that took.
fn send_on_a_stuck_disk(settings: &str, limit: Duration) {
    let (server, gate, producer) = behind_a_gate(&format!("flushDiskType=SYNC_FLUSH\n{settings}"));
    gate.close();
    let (told, answers) = mpsc::channel();
    let start = server.clock.now_ms();
    producer.send_callback(&Message::new("T", "1"), &SendOptions::default(), move |sent| {
        told.send(sent).unwrap();
    });
    eventually("the disk is asked", || gate.is_waited_at());
    assert!(answers.recv_timeout(Duration::from_millis(50)).is_err(), "answered before it is on the disk");
    server.clock.advance(limit);
    let sent = answers.recv_timeout(HANG).expect("an answer when the time is over").unwrap();
    assert_eq!(sent.status, SendStatus::FlushTimedOut, "{sent}");
    assert!(server.clock.now_ms() - start >= limit.as_millis() as i64);
    assert_eq!(sent.queue_offset, 1);
    // It is stored, and who was told so can read it.
    assert_eq!(bodies(&server), [b"0", b"1"]);
    gate.open();
    let sent = producer.send(&Message::new("T", "2")).unwrap();
    assert_eq!((sent.status, sent.queue_offset), (SendStatus::Ok, 2));
    assert_eq!(bodies(&server), [b"0", b"1", b"2"]);
}

#[test]
fn a_send_that_is_not_on_the_disk_after_five_seconds_says_so() {
    send_on_a_stuck_disk("", Duration::from_secs(5));
}

#[test]
fn the_time_to_be_on_the_disk_can_be_set() {
    send_on_a_stuck_disk("syncFlushTimeout=2500", Duration::from_millis(2500));
    // Not so long that the server takes its clients for gone.
    send_on_a_stuck_disk("syncFlushTimeout=60000", Duration::from_secs(60));
}

#[test]
fn a_longer_time_to_be_on_the_disk_is_waited_for() {
    let (server, gate, producer) = behind_a_gate("flushDiskType=SYNC_FLUSH\nsyncFlushTimeout=600000");
    gate.close();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| producer.send(&Message::new("T", "1")).unwrap());
        eventually("the disk is asked", || gate.is_waited_at());
        server.pass(60);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!sending.is_finished());
        gate.open();
        assert_eq!(sending.join().unwrap().status, SendStatus::Ok);
    });
}

#[test]
fn without_sync_flush_nobody_waits_for_the_disk() {
    let (server, gate, producer) = behind_a_gate("flushDiskType=ASYNC_FLUSH\nsyncFlushTimeout=1");
    gate.close();
    for number in 1..200 {
        if number == 100 {
            server.pass(60);
        }
        assert_eq!(producer.send(&Message::new("T", number.to_string())).unwrap().status, SendStatus::Ok);
    }
    eventually("the disk is asked in the background", || gate.is_waited_at());
    let options = ConsumerOptions { consume_from_where: StartFrom::First, ..ConsumerOptions::new("g") };
    let client = Cluster::with_options(ClientOptions::new(server.name_server())).unwrap();
    let consumer = Consumer::new(&client, options).unwrap();
    consumer.subscribe("T", "*").unwrap();
    consumer.start().unwrap();
    let (start, mut count) = (Instant::now(), 0);
    while count < 200 {
        assert!(start.elapsed() < HANG, "{count} messages");
        count += consumer.poll(Duration::from_millis(100)).unwrap().len();
    }
    gate.open();
    consumer.close().unwrap();
}
