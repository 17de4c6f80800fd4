//! kill -9 of the server in the middle of transactions, decided and undecided ones, and of questions about them: what was
//! committed is in the topic, once; what was not is not; what is undecided is asked for again. 4 rounds for each flush mode,
//! 40 with FERROMQ_SOAK=1 (`make soak`); FERROMQ_SEED repeats the lengths of the rounds.

mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferromq::message::OffsetId;
use ferromq::record::{records, RecordView};
use ferromq::wire::body::{HeartbeatData, ProducerData};
use ferromq::wire::{
    Encoding, EndTransaction, Frame, HeartBeat, PullMessage, PullMessageResponse, Request, ResponseCode,
    SendForm, SendMessage, SendMessageResponse,
};

use server::Server;

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(300);
const TOPIC: &str = "Transfers";
const GROUP: &str = "bank";
const QUEUES: i32 = 4;
/// Prime to what makes the fates of transfers, so that each sender has all.
const SENDERS: u64 = 5;
const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;

/// How a transfer ends, from its number alone.
fn is_committed(id: u64) -> bool {
    id % 2 == 0
}

/// Whether its sender says nothing, and leaves it to who is asked.
fn is_left_open(id: u64) -> bool {
    id % 3 == 0
}

/// Whether who is asked does not know before the server was killed.
fn is_held(id: u64) -> bool {
    id % 9 == 0
}

/// What the bank knows. Transfers that are not in it were never acknowledged as half messages, and not carried out.
#[derive(Default)]
struct Books {
    /// Acknowledged half messages, and whether their senders' decision was acknowledged, too.
    transfers: BTreeMap<u64, bool>,
    /// What the broker asked for.
    asked: BTreeSet<u64>,
}

type Shared = Arc<Mutex<Books>>;

/// A small generator, so that a seed repeats a run.
struct Random(u64);

impl Random {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The next whole frame of a connection.
fn read_frame(stream: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = length.to_vec();
    bytes.resize(4 + u32::from_be_bytes(length) as usize, 0);
    stream.read_exact(&mut bytes[4..])?;
    Ok(bytes)
}

struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(HANG)).unwrap();
        Client(stream)
    }

    /// The answer; none if the connection broke.
    fn call(&mut self, request: &Request<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        request.encode(Encoding::Json, 1, false, &mut out).unwrap();
        self.0.write_all(&out).ok()?;
        read_frame(&mut self.0).ok()
    }

    /// Sends a half message; where it is.
    fn prepare(&mut self, id: u64) -> Option<EndTransaction<'static>> {
        let request = Request::SendMessage(SendMessage {
            form: SendForm::V2,
            producer_group: GROUP.into(),
            topic: TOPIC.into(),
            default_topic: "TBW102".into(),
            default_topic_queue_nums: QUEUES,
            queue_id: (id % QUEUES as u64) as i32,
            sys_flag: 4,
            born_timestamp: 1,
            properties: Some(
                format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{GROUP}\u{2}UNIQ_KEY\u{1}id{id}\u{2}").into(),
            ),
            body: &id.to_be_bytes(),
            ..Default::default()
        });
        let bytes = self.call(&request)?;
        let frame = Frame::decode(&bytes).expect("a well-formed answer");
        assert_eq!(ResponseCode(frame.code), ResponseCode::SUCCESS, "{:?}", frame.remark);
        let place: OffsetId = frame.fields.get("msgId").expect("an id").parse().expect("an offset id");
        Some(EndTransaction {
            producer_group: GROUP.into(),
            tran_state_table_offset: SendMessageResponse::decode(&frame).expect("a send answer").queue_offset,
            commit_log_offset: place.physical_offset,
            ..Default::default()
        })
    }

    /// How often each transfer is in the topic.
    fn delivered(&mut self) -> BTreeMap<u64, usize> {
        let mut found = BTreeMap::new();
        for queue_id in 0..QUEUES {
            let mut offset = 0;
            loop {
                let pull = PullMessage {
                    consumer_group: "G".into(),
                    topic: TOPIC.into(),
                    queue_id,
                    queue_offset: offset,
                    max_msg_nums: 32,
                    sys_flag: 4,
                    subscription: Some("*".into()),
                    ..Default::default()
                };
                let bytes = self.call(&Request::PullMessage(pull)).expect("an answer");
                let frame = Frame::decode(&bytes).expect("a well-formed answer");
                if ResponseCode(frame.code) != ResponseCode::SUCCESS {
                    break;
                }
                for record in records(frame.body).map(|record| record.expect("a whole record")) {
                    assert!(record.body_crc_matches());
                    *found.entry(id_of(&record)).or_default() += 1;
                }
                offset = PullMessageResponse::decode(&frame).unwrap().next_begin_offset;
            }
        }
        found
    }
}

fn id_of(record: &RecordView<'_>) -> u64 {
    u64::from_be_bytes(record.body().try_into().expect("a transfer"))
}

/// Carries out transfers until the connection breaks.
fn transfer(mut client: Client, first: u64, books: &Shared) {
    for id in (first..).step_by(SENDERS as usize) {
        let Some(mut end) = client.prepare(id) else { return };
        books.lock().unwrap().transfers.insert(id, false);
        if is_left_open(id) {
            continue;
        }
        end.commit_or_rollback = if is_committed(id) { COMMIT } else { ROLLBACK };
        let Some(bytes) = client.call(&Request::EndTransaction(end)) else { return };
        let frame = Frame::decode(&bytes).expect("a well-formed answer");
        match ResponseCode(frame.code) {
            ResponseCode::SUCCESS => drop(books.lock().unwrap().transfers.insert(id, true)),
            // It is just put back: the broker will ask.
            ResponseCode::SYSTEM_BUSY => {}
            other => panic!("{other:?}: {:?}", frame.remark),
        }
    }
}

/// A producer of the group, which answers questions until its connection breaks. Not `knowing`, it does not know of what is
/// held, nor of what may still be on its way.
fn answer(mut stream: TcpStream, knowing: bool, books: &Shared) {
    let body = HeartbeatData {
        client_id: "heir".into(),
        producer_data_set: vec![ProducerData { group_name: GROUP.into() }],
        ..Default::default()
    };
    let mut out = Vec::new();
    Request::HeartBeat(HeartBeat { body }).encode(Encoding::Json, 1, false, &mut out).unwrap();
    while stream.write_all(&out).is_ok() {
        out.clear();
        let Ok(bytes) = read_frame(&mut stream) else { return };
        let frame = Frame::decode(&bytes).expect("a well-formed frame");
        if frame.is_response() {
            continue;
        }
        let Ok(Request::CheckTransactionState(check)) = Request::decode(&frame) else { panic!("{frame:?}") };
        let id = id_of(&RecordView::parse(check.body).expect("a half message"));
        let known = {
            let mut books = books.lock().unwrap();
            books.asked.insert(id);
            books.transfers.contains_key(&id)
        };
        let decision = match known {
            _ if !knowing && (!known || is_held(id)) => 0,
            true if is_committed(id) => COMMIT,
            _ => ROLLBACK,
        };
        let end = EndTransaction {
            producer_group: GROUP.into(),
            tran_state_table_offset: check.tran_state_table_offset,
            commit_log_offset: check.commit_log_offset,
            commit_or_rollback: decision,
            from_transaction_check: true,
            ..Default::default()
        };
        Request::EndTransaction(end).encode(Encoding::Json, 0, true, &mut out).unwrap();
    }
}

/// Many transfers, and in the middle of them the end of the server.
fn load_and_kill(server: Server, next: u64, lasts: Duration, books: &Shared) {
    // A thread may begin when the server is gone already.
    let heir = Client::connect(server.port).0;
    std::thread::scope(|scope| {
        scope.spawn(|| answer(heir, false, books));
        for sender in 0..SENDERS {
            let client = Client::connect(server.port);
            scope.spawn(move || transfer(client, next + sender, books));
        }
        let start = Instant::now();
        let before = books.lock().unwrap().transfers.len();
        while books.lock().unwrap().transfers.len() < before + 60 {
            assert!(start.elapsed() < HANG, "hardly any transfers");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(lasts);
        server.kill();
    });
}

/// Nobody is there to be asked: what was acknowledged as committed is there all the same.
fn check_before_questions(client: &mut Client, books: &Shared) {
    let (delivered, books) = (client.delivered(), books.lock().unwrap());
    for (id, decided) in &books.transfers {
        let count = delivered.get(id).copied().unwrap_or(0);
        let committed = usize::from(is_committed(*id));
        let least = if *decided { committed } else { 0 };
        assert!(
            (least..=committed).contains(&count),
            "transfer {id} is there {count} times, decided: {decided}"
        );
    }
    let stranger = delivered.keys().find(|id| !books.transfers.contains_key(id));
    assert_eq!(stranger, None, "a transfer that nobody carried out");
}

/// A producer comes back: in the end everything is as the books say. What was held until then is asked for.
fn check_after_questions(port: u16, client: &mut Client, since: u64, books: &Shared) {
    let expected: BTreeMap<u64, usize> = {
        let mut books = books.lock().unwrap();
        books.asked.clear();
        books.transfers.keys().filter(|id| is_committed(**id)).map(|id| (*id, 1)).collect()
    };
    let heir = Client::connect(port).0;
    let other_end = heir.try_clone().unwrap();
    let (delivered, held_asked) = std::thread::scope(|scope| {
        scope.spawn(|| answer(heir, true, books));
        let start = Instant::now();
        let settled =
            |client: &mut Client| all_held_asked(since, books) && client.delivered().len() >= expected.len();
        while !settled(client) && start.elapsed() < HANG {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Some more rounds, for what must not come.
        std::thread::sleep(Duration::from_millis(500));
        let seen = (client.delivered(), all_held_asked(since, books));
        other_end.shutdown(Shutdown::Both).unwrap();
        seen
    });
    assert!(held_asked, "not all that was undecided was asked for again");
    let wrong: Vec<_> = (delivered.keys().chain(expected.keys()))
        .filter(|id| delivered.get(id) != expected.get(id))
        .map(|id| (id, delivered.get(id), expected.get(id)))
        .collect();
    assert!(wrong.is_empty(), "not as the books say (transfer, delivered, committed): {wrong:?}");
}

fn all_held_asked(since: u64, books: &Shared) -> bool {
    let books = books.lock().unwrap();
    let mut held =
        books.transfers.range(since..).map(|(id, _)| *id).filter(|id| is_left_open(*id) && is_held(*id));
    held.all(|id| books.asked.contains(&id))
}

fn killed_again_and_again(flush: &str) {
    let rounds = if std::env::var_os("FERROMQ_SOAK").is_some() { 40 } else { 4 };
    let given = std::env::var("FERROMQ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("{flush}, {rounds} rounds, FERROMQ_SEED={seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let (data, conf) = (dir.path().join("data"), dir.path().join("broker.conf"));
    let settings = format!(
        "flushDiskType={flush}\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=5000\nmaxIndexNum=20000\n\
         transactionTimeOut=100\ntransactionCheckInterval=100\ntransactionCheckMax=1000000\n"
    );
    std::fs::write(&conf, settings).unwrap();
    let books = Shared::default();
    for round in 0..rounds {
        // Numbers go on, so that each round has transfers of its own.
        let next = round << 32;
        load_and_kill(Server::start(&data, &conf), next, Duration::from_millis(random.below(600)), &books);
        let server = Server::start(&data, &conf);
        let mut client = Client::connect(server.port);
        check_before_questions(&mut client, &books);
        check_after_questions(server.port, &mut client, next, &books);
        server.kill();
    }
    let books = books.lock().unwrap();
    let acknowledged = books.transfers.values().filter(|decided| **decided).count();
    println!("{} transfers, {acknowledged} of them decided before the kill", books.transfers.len());
}

#[test]
fn transactions_end_as_their_producers_say() {
    killed_again_and_again("ASYNC_FLUSH");
}

#[test]
fn transactions_end_as_their_producers_say_with_synchronous_flushes() {
    killed_again_and_again("SYNC_FLUSH");
}
