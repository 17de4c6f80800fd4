//! What the modules share: a server on free ports in a temporary directory, and a client that speaks frames.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use ferromq::clock::Clock;
use ferromq::config::BrokerConfig;
use ferromq::instance::{Server, ServerOptions};
use ferromq::message::Properties;
use ferromq::record::{records, RecordView};
use ferromq::wire::{
    ConsumerSendMsgBack, Encoding, Frame, PullMessage, PullMessageResponse, Request, ResponseCode, SendForm,
    SendMessage, SendMessageResponse, UpdateAndCreateTopic,
};
use tempfile::TempDir;

/// A name server and a broker in this process, on a directory that goes away with it.
pub struct TestServer {
    server: Option<Server>,
    options: ServerOptions,
    /// Moves the server's time.
    pub clock: Clock,
    _dir: TempDir,
}

/// Starts a server; `settings` are lines of broker.conf.
pub fn start_server(settings: &str) -> TestServer {
    start_server_with(settings, |_| {})
}

/// As [`start_server`], with further options.
pub fn start_server_with(settings: &str, change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    start(BrokerConfig::from_text(settings, "test").expect("good settings"), change)
}

/// Starts a server with these settings, which may come from a file.
pub fn start_with(broker: BrokerConfig) -> TestServer {
    start(broker, |_| {})
}

fn start(broker: BrokerConfig, change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut options = ServerOptions::new(dir.path().join("data"));
    options.namesrv_port = 0;
    options.broker_port = 0;
    options.broker = broker;
    options.broker.mapped_file_size_commit_log = options.broker.mapped_file_size_commit_log.min(16 << 20);
    options.broker.max_hash_slot_num = 1000;
    options.broker.max_index_num = 4000;
    // On a busy disk one sender may make the others wait for longer.
    let (patience, usual) = (&mut options.broker.os_page_cache_busy_time_out_mills, BrokerConfig::default());
    if *patience == usual.os_page_cache_busy_time_out_mills {
        *patience = 20_000;
    }
    change(&mut options);
    let server = Server::start(options.clone()).expect("the server starts");
    TestServer { server: Some(server), clock: options.clock.clone(), options, _dir: dir }
}

/// Starts a server with these options, on a directory that somebody else removes.
pub fn start_server_on(options: ServerOptions) -> TestServer {
    let server = Server::start(options.clone()).expect("the server starts");
    let dir = tempfile::tempdir().expect("a temporary directory");
    TestServer { server: Some(server), clock: options.clock.clone(), options, _dir: dir }
}

impl TestServer {
    /// A new connection to the broker.
    pub fn broker(&self) -> RawClient {
        RawClient::connect(self.broker_port())
    }

    /// The broker's port.
    pub fn broker_port(&self) -> u16 {
        self.server.as_ref().unwrap().broker_port()
    }

    /// The server's directory.
    pub fn data(&self) -> &std::path::Path {
        &self.options.data
    }

    /// The name server's address.
    pub fn name_server(&self) -> String {
        format!("127.0.0.1:{}", self.server.as_ref().unwrap().namesrv_port())
    }

    /// Stops the server and starts another one on the same directory (and other ports).
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops the server for good; its directory stays.
    pub fn stop(&mut self) {
        self.server.take().unwrap().stop().expect("a clean stop");
    }

    /// Starts it again after [`TestServer::stop`], on the same directory (and other ports).
    pub fn start_again(&mut self) {
        self.server = Some(Server::start(self.options.clone()).expect("the server starts again"));
    }

    /// As [`TestServer::restart`], with other settings of the broker from now on.
    pub fn restart_with(&mut self, change: impl FnOnce(&mut BrokerConfig)) {
        change(&mut self.options.broker);
        self.restart();
    }

    /// A further server, on a copy of this one's directory as a crash now would leave it. Its time goes on from here, by
    /// itself.
    pub fn copy(&self) -> TestServer {
        self.copy_with(|_| {})
    }

    /// As [`TestServer::copy`], with the copy changed before the server starts on it.
    pub fn copy_with(&self, change: impl FnOnce(&Path)) -> TestServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (data, clock) = (dir.path().join("data"), Clock::new());
        clock.advance(Duration::from_millis((self.clock.now_ms() - clock.now_ms()).max(0) as u64));
        let options = ServerOptions { data, clock, ..self.options.clone() };
        copy_dir(&self.options.data, &options.data);
        change(&options.data);
        let server = Server::start(options.clone()).expect("the server starts on the copy");
        TestServer { server: Some(server), clock: options.clock.clone(), options, _dir: dir }
    }

    /// Seconds on the server's clock pass.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// Copies what a broker has there while it runs.
fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), target) {
                // A table that was being saved.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("a copy")),
            }
        }
    }
}

/// One response, owned.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The whole frame.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The frame.
    pub fn frame(&self) -> Frame<'_> {
        Frame::decode(&self.bytes).expect("a well-formed response")
    }

    /// The response code.
    pub fn code(&self) -> ResponseCode {
        ResponseCode(self.frame().code)
    }

    /// The remark, empty if there is none.
    pub fn remark(&self) -> String {
        self.frame().remark.unwrap_or_default().into_owned()
    }

    /// A header field as text.
    pub fn field(&self, name: &str) -> String {
        self.frame().fields.get(name).unwrap_or_else(|| panic!("no field {name} in {self:?}")).into_owned()
    }

    /// The body of a pull as records.
    pub fn records(&self) -> Vec<Received> {
        records(self.frame().body).map(|record| Received::from(&record.expect("a whole record"))).collect()
    }

    /// Fails unless the code is SUCCESS.
    pub fn ok(self) -> Self {
        assert_eq!(self.code(), ResponseCode::SUCCESS, "{}", self.remark());
        self
    }

    /// The header of a pull answer.
    pub fn pulled(&self) -> PullMessageResponse {
        PullMessageResponse::decode(&self.frame()).expect("a pull answer")
    }

    /// The queue offset of a send answer.
    pub fn queue_offset(&self) -> i64 {
        SendMessageResponse::decode(&self.frame()).expect("a send answer").queue_offset
    }
}

/// What a test looks at in a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    pub topic: String,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub store_timestamp: i64,
    pub body: Vec<u8>,
    pub reconsume_times: i32,
    pub properties: Properties,
}

impl From<&RecordView<'_>> for Received {
    fn from(record: &RecordView<'_>) -> Self {
        assert!(record.body_crc_matches(), "checksum of {record:?}");
        Received {
            topic: record.topic().to_owned(),
            queue_id: record.queue_id(),
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            store_timestamp: record.store_timestamp(),
            body: record.body().to_vec(),
            reconsume_times: record.reconsume_times(),
            properties: Properties::parse(record.properties()),
        }
    }
}

/// A connection that sends requests as frames, one at a time or raw.
pub struct RawClient {
    pub stream: TcpStream,
    encoding: Encoding,
    opaque: i32,
}

impl RawClient {
    /// Connects to a port of this machine.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        // A test that waits this long has failed; nothing is asserted about times below it.
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        RawClient { stream, encoding: Encoding::Json, opaque: 0 }
    }

    /// Speaks the binary header from now on.
    pub fn binary(mut self) -> Self {
        self.encoding = Encoding::Binary;
        self
    }

    /// Sends a request and waits for its response.
    pub fn call(&mut self, request: &Request<'_>) -> Answer {
        let opaque = self.send(request);
        let answer = self.receive();
        assert_eq!(answer.frame().opaque, opaque);
        answer
    }

    /// Sends a request; its opaque.
    pub fn send(&mut self, request: &Request<'_>) -> i32 {
        self.opaque += 1;
        let mut out = Vec::new();
        request.encode(self.encoding, self.opaque, false, &mut out).expect("an encodable request");
        self.stream.write_all(&out).expect("write");
        self.opaque
    }

    /// Sends a request that wants no response.
    pub fn oneway(&mut self, request: &Request<'_>) {
        let mut out = Vec::new();
        request.encode(self.encoding, 0, true, &mut out).expect("an encodable request");
        self.stream.write_all(&out).expect("write");
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    /// The next frame.
    pub fn receive(&mut self) -> Answer {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("a response");
        let mut bytes = length.to_vec();
        bytes.resize(4 + u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut bytes[4..]).expect("a whole response");
        Answer { bytes }
    }

    /// Whether the peer closes the connection instead of answering.
    pub fn is_closed_by_peer(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Makes a topic with `queues` queues.
    pub fn create_topic(&mut self, topic: &str, queues: i32) {
        self.call(&create_topic(topic, queues, 6)).ok();
    }

    /// Sends `body` to a queue.
    pub fn produce(&mut self, topic: &str, queue_id: i32, body: &[u8], properties: &str) -> Answer {
        self.call(&Request::SendMessage(message(topic, queue_id, body, properties)))
    }

    /// Pulls up to 32 messages without waiting.
    pub fn pull(&mut self, topic: &str, queue_id: i32, offset: i64) -> Answer {
        self.call(&Request::PullMessage(pull("G", topic, queue_id, offset, 0)))
    }

    /// Everything in a queue from `offset` on.
    pub fn pull_all(&mut self, topic: &str, queue_id: i32, mut offset: i64) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let answer = self.pull(topic, queue_id, offset);
            match answer.code() {
                ResponseCode::SUCCESS => all.extend(answer.records()),
                ResponseCode::PULL_RETRY_IMMEDIATELY => {}
                _ => return all,
            }
            offset = answer.pulled().next_begin_offset;
        }
    }

    /// Waits until a queue holds `count` messages and returns them.
    pub fn await_messages(&mut self, topic: &str, queue_id: i32, count: usize) -> Vec<Received> {
        for _ in 0..3000 {
            let all = self.pull_all(topic, queue_id, 0);
            if all.len() >= count {
                return all;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{topic} queue {queue_id} never held {count} messages");
    }
}

/// A request that makes a topic.
pub fn create_topic(topic: &str, queues: i32, perm: i32) -> Request<'_> {
    Request::UpdateAndCreateTopic(UpdateAndCreateTopic {
        topic: topic.into(),
        default_topic: Some("TBW102".into()),
        read_queue_nums: queues,
        write_queue_nums: queues,
        perm,
        topic_filter_type: Some("SINGLE_TAG".into()),
        ..Default::default()
    })
}

/// A request that sends one message; `properties` as pairs `name=value` separated by spaces.
pub fn message<'a>(topic: &'a str, queue_id: i32, body: &'a [u8], properties: &str) -> SendMessage<'a> {
    let mut encoded = String::new();
    for pair in properties.split_whitespace() {
        let (name, value) = pair.split_once('=').expect("name=value");
        encoded += &format!("{name}\u{1}{value}\u{2}");
    }
    SendMessage {
        form: SendForm::V2,
        producer_group: "PG".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id,
        born_timestamp: 1_700_000_000_000,
        properties: Some(encoded.into()),
        body,
        ..Default::default()
    }
}

/// A request that pulls up to 32 messages, every tag, and waits up to `hold_ms`.
pub fn pull<'a>(group: &'a str, topic: &'a str, queue_id: i32, offset: i64, hold_ms: i64) -> PullMessage<'a> {
    PullMessage {
        consumer_group: group.into(),
        topic: topic.into(),
        queue_id,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: if hold_ms > 0 { 4 | 2 } else { 4 },
        suspend_timeout_millis: hold_ms,
        subscription: Some("*".into()),
        ..Default::default()
    }
}

/// A request that sends a message back for another try.
pub fn send_back<'a>(group: &'a str, received: &Received, delay_level: i32) -> Request<'a> {
    Request::ConsumerSendMsgBack(ConsumerSendMsgBack {
        offset: received.physical_offset,
        group: group.into(),
        delay_level,
        ..Default::default()
    })
}
