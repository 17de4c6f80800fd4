//! kill -9 of the server under load with SYNC_FLUSH: what was acknowledged is there, whole, at its place, and the queues
//! agree with the log. 5 rounds here, 50 with FERROMQ_SOAK=1 (`make soak`); FERROMQ_SEED repeats a run.

mod server;

use std::collections::HashMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use ferromq::message::property;
use ferromq::record::records;
use ferromq::wire::{
    Encoding, Frame, GetMaxOffset, PullMessage, PullMessageResponse, QueryMessage, Request, ResponseCode,
    SendForm, SendMessage, SendMessageResponse,
};

use server::{read_frame, Random, Server};

const TOPIC: &str = "Crash";
const QUEUES: i32 = 4;
const SENDERS: usize = 4;
/// Sends that each connection keeps in flight.
const WINDOW: usize = 16;

/// An acknowledged message: its id, and the queue and offset the server told.
#[derive(Clone)]
struct Acked {
    id: u64,
    queue_id: i32,
    offset: i64,
}

fn body(id: u64) -> Vec<u8> {
    let length = 8 + (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize;
    let mut body = id.to_be_bytes().to_vec();
    body.resize(length, id as u8);
    body
}

fn send(out: &mut Vec<u8>, id: u64, opaque: i32) {
    let body = body(id);
    let request = Request::SendMessage(SendMessage {
        form: SendForm::V2,
        producer_group: "PG".into(),
        topic: TOPIC.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: QUEUES,
        queue_id: (id % QUEUES as u64) as i32,
        born_timestamp: 1,
        properties: Some(format!("KEYS\u{1}key{id}\u{2}UNIQ_KEY\u{1}id{id}\u{2}").into()),
        body: &body,
        ..Default::default()
    });
    request.encode(Encoding::Json, opaque, false, out).unwrap();
}

/// Sends with a window until the connection breaks; what was acknowledged.
fn load(port: u16, sender: usize, round: u64) -> Vec<Acked> {
    let mut acked = Vec::new();
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return acked };
    let mut next = 0u64;
    let id_of = |n: u64| (round << 40) | ((sender as u64) << 32) | n;
    let mut out = Vec::new();
    for _ in 0..WINDOW {
        send(&mut out, id_of(next), next as i32);
        next += 1;
    }
    while stream.write_all(&out).is_ok() {
        let Ok(bytes) = read_frame(&mut stream) else { break };
        let frame = Frame::decode(&bytes).expect("a well-formed answer");
        assert_eq!(ResponseCode(frame.code), ResponseCode::SUCCESS, "{:?}", frame.remark);
        let header = SendMessageResponse::decode(&frame).expect("a send answer");
        let id = id_of(frame.opaque as u64);
        acked.push(Acked { id, queue_id: header.queue_id, offset: header.queue_offset });
        out.clear();
        send(&mut out, id_of(next), next as i32);
        next += 1;
    }
    acked
}

struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client(stream)
    }

    fn call(&mut self, request: &Request<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        request.encode(Encoding::Json, 1, false, &mut out).unwrap();
        self.0.write_all(&out).expect("write");
        read_frame(&mut self.0).expect("an answer")
    }

    fn max_offset(&mut self, queue_id: i32) -> i64 {
        let ask = GetMaxOffset { topic: TOPIC.into(), queue_id, ..Default::default() };
        let answer = self.call(&Request::GetMaxOffset(ask));
        Frame::decode(&answer).unwrap().fields.get("offset").expect("an offset").parse().unwrap()
    }

    /// Every message of a queue by offset, each checked to be whole.
    fn drain(&mut self, queue_id: i32) -> HashMap<i64, u64> {
        let mut found = HashMap::new();
        let mut offset = 0;
        loop {
            let answer = self.call(&Request::PullMessage(PullMessage {
                consumer_group: "G".into(),
                topic: TOPIC.into(),
                queue_id,
                queue_offset: offset,
                max_msg_nums: 32,
                sys_flag: 4,
                subscription: Some("*".into()),
                ..Default::default()
            }));
            let frame = Frame::decode(&answer).expect("a well-formed answer");
            if ResponseCode(frame.code) != ResponseCode::SUCCESS {
                // Before the first send there is no topic.
                let end = [ResponseCode::PULL_NOT_FOUND, ResponseCode::TOPIC_NOT_EXIST];
                assert!(end.contains(&ResponseCode(frame.code)), "{:?}", frame.remark);
                return found;
            }
            for record in records(frame.body) {
                let record = record.expect("a whole record");
                assert!(record.body_crc_matches(), "torn: queue {queue_id} offset {}", record.queue_offset());
                let id = u64::from_be_bytes(record.body()[..8].try_into().unwrap());
                assert_eq!(
                    record.body(),
                    body(id),
                    "mixed up: queue {queue_id} offset {}",
                    record.queue_offset()
                );
                assert_eq!(record.property(property::UNIQ_KEY), Some(&*format!("id{id}")));
                assert_eq!(record.queue_offset(), found.len() as i64, "a gap in queue {queue_id}");
                found.insert(record.queue_offset(), id);
            }
            offset = PullMessageResponse::decode(&frame).unwrap().next_begin_offset;
        }
    }

    fn has_key(&mut self, id: u64) -> bool {
        let key = format!("key{id}");
        let answer = self.call(&Request::QueryMessage(QueryMessage {
            topic: TOPIC.into(),
            key: key.as_str().into(),
            max_num: 32,
            begin_timestamp: 0,
            end_timestamp: i64::MAX,
            ..Default::default()
        }));
        let frame = Frame::decode(&answer).unwrap();
        let found = records(frame.body).any(|record| record.unwrap().property(property::KEYS) == Some(&key));
        found
    }
}

fn check(port: u16, acked: &[Acked], random: &mut Random) {
    let mut client = Client::connect(port);
    let queues: Vec<_> = (0..QUEUES).map(|queue_id| client.drain(queue_id)).collect();
    for (queue_id, found) in queues.iter().enumerate() {
        assert_eq!(client.max_offset(queue_id as i32), found.len() as i64, "end of queue {queue_id}");
    }
    for acked in acked {
        let found = queues[acked.queue_id as usize].get(&acked.offset);
        assert_eq!(
            found,
            Some(&acked.id),
            "acknowledged at queue {} offset {}",
            acked.queue_id,
            acked.offset
        );
    }
    let stored: usize = queues.iter().map(HashMap::len).sum();
    let mut ids: Vec<u64> = queues.iter().flat_map(|queue| queue.values().copied()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), stored, "no message is there twice");
    for _ in 0..20.min(acked.len()) {
        let one = &acked[random.below(acked.len() as u64) as usize];
        assert!(client.has_key(one.id), "acknowledged message {} is in the key index", one.id);
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let soak = std::env::var_os("FERROMQ_SOAK").is_some();
    let rounds = if soak { 50 } else { 5 };
    let given = std::env::var("FERROMQ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("{rounds} rounds, FERROMQ_SEED={seed}");
    let mut random = Random(seed);
    let (mut dir, mut all) = (tempfile::tempdir().unwrap(), Vec::new());
    let mut total = 0;
    for round in 0..rounds {
        if round % 10 == 0 {
            // A store that crashed ten times gives way to a new one, so that a round stays short.
            (dir, all) = (tempfile::tempdir().unwrap(), Vec::new());
        }
        let conf = dir.path().join("broker.conf");
        let settings = "flushDiskType=SYNC_FLUSH\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=5000\n\
                        maxIndexNum=20000\nmappedFileSizeConsumeQueue=20000\n";
        std::fs::write(&conf, settings).unwrap();
        let server = Server::start(&dir.path().join("data"), &conf);
        check(server.port, &all, &mut random);
        let port = server.port;
        let senders: Vec<_> =
            (0..SENDERS).map(|sender| std::thread::spawn(move || load(port, sender, round))).collect();
        std::thread::sleep(Duration::from_millis(50 + random.below(600)));
        server.kill();
        for sender in senders {
            let acked = sender.join().expect("the sender ends with the connection");
            total += acked.len();
            all.extend(acked);
        }
        let server = Server::start(&dir.path().join("data"), &conf);
        check(server.port, &all, &mut random);
        server.kill();
    }
    assert!(total > 0, "something was acknowledged");
    println!("{total} acknowledged messages, all there");
}
