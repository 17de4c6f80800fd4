//! The name server over real sockets: life and death of registrations, what is kept in files, and the recorded
//! conversations of Apache's brokers, clients and tools with Apache's name server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferromq::clock::Clock;
use ferromq::config::NamesrvConfig;
use ferromq::namesrv::Namesrv;
use ferromq::net::{Loops, Server, ServerOptions};
use ferromq::wire::body::{RegisterBrokerBody, TopicConfig, TopicList};
use ferromq::wire::{
    json, Encoding, Frame, GetKvConfig, GetRouteinfoByTopic, PutKvConfig, RegisterBroker, Request,
    RequestCode, ResponseCode, UnregisterBroker, UpdateNamesrvConfig,
};
use serde_json::Value;

use crate::wire_golden::{recorded, Recorded};

/// A name server that listens; stopped when dropped.
struct Running {
    namesrv: Arc<Namesrv>,
    server: Server,
    loops: Arc<Loops>,
    clock: Clock,
}

fn start(dir: &Path) -> Running {
    start_with(dir, NamesrvConfig::default())
}

fn start_with(dir: &Path, mut config: NamesrvConfig) -> Running {
    config.kv_config_path = dir.join("namesrv/kvConfig.json");
    config.config_store_path = dir.join("namesrv/namesrv.properties");
    let clock = Clock::new();
    let loops = Loops::new(1);
    let namesrv = Namesrv::new(config, clock.clone()).unwrap();
    let options = ServerOptions { host: "127.0.0.1".into(), ..ServerOptions::default() };
    let server = Server::bind(&loops, options, namesrv.clone()).unwrap();
    namesrv.start().unwrap();
    Running { namesrv, server, loops, clock }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.shutdown(Duration::from_secs(5));
        self.namesrv.stop();
        self.loops.shutdown();
    }
}

impl Running {
    fn connect(&self) -> Peer {
        let stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        // Only a hang takes so long.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Peer { stream }
    }

    /// Waits until as many brokers are registered.
    fn await_brokers(&self, count: usize) {
        for _ in 0..6_000 {
            if self.namesrv.broker_count() == count {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} brokers are registered, not {count}", self.namesrv.broker_count());
    }
}

/// A raw connection.
struct Peer {
    stream: TcpStream,
}

/// What was answered.
#[derive(Debug, PartialEq)]
struct Answer {
    code: ResponseCode,
    remark: Option<String>,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn of(frame: &Frame<'_>) -> Answer {
        Answer {
            code: frame.response_code(),
            remark: frame.remark.as_deref().map(str::to_owned),
            fields: frame
                .fields
                .iter()
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            body: frame.body.to_vec(),
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Peer {
    fn ask<'a>(&mut self, request: impl Into<Request<'a>>) -> Answer {
        let mut bytes = Vec::new();
        request.into().encode(Encoding::Json, 5, false, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
        let bytes = self.read();
        let frame = Frame::decode(&bytes).unwrap();
        assert!(frame.is_response() && frame.opaque == 5, "{frame:?}");
        Answer::of(&frame)
    }

    fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        self.stream.read_exact(&mut bytes).unwrap();
        let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        bytes.resize(4 + length, 0);
        self.stream.read_exact(&mut bytes[4..]).unwrap();
        bytes
    }

    /// Whether the other side closed the connection; waits for it.
    fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    fn register(&mut self, name: &str, timeout: Option<i64>, topic: &str) {
        let mut table = RegisterBrokerBody::default();
        let config = TopicConfig { topic_name: topic.into(), ..TopicConfig::default() };
        table.topic_config_serialize_wrapper.topic_config_table.insert(topic.into(), config);
        self.register_table(name, timeout, &table);
    }

    fn register_table(&mut self, name: &str, timeout: Option<i64>, table: &RegisterBrokerBody) {
        let body = table.encode(false);
        let answer = self.ask(RegisterBroker {
            broker_name: name.into(),
            broker_addr: format!("{name}:10911").into(),
            cluster_name: "C".into(),
            ha_server_addr: None,
            broker_id: 0,
            heartbeat_timeout_millis: timeout,
            enable_acting_master: None,
            compressed: false,
            body_crc32: 0,
            body: &body,
        });
        assert_eq!(answer.code, ResponseCode::SUCCESS, "{answer:?}");
    }

    fn route(&mut self, topic: &str) -> Option<Value> {
        let answer = self.ask(GetRouteinfoByTopic { topic: topic.into(), accept_standard_json_only: None });
        match answer.code {
            ResponseCode::SUCCESS => Some(serde_json::from_slice(&answer.body).unwrap()),
            code => {
                assert_eq!(code, ResponseCode::TOPIC_NOT_EXIST);
                None
            }
        }
    }
}

#[test]
fn a_broker_is_gone_at_once_when_its_connection_closes() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let (mut broker, mut client) = (running.connect(), running.connect());
    broker.register("a", None, "T");
    let route = client.route("T").unwrap();
    assert_eq!(route["brokerDatas"][0]["brokerAddrs"]["0"], "a:10911");
    drop(broker);
    running.await_brokers(0);
    assert_eq!(client.route("T"), None);
}

#[test]
fn a_silent_broker_expires_and_is_disconnected() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let (mut slow, mut quick, mut client) = (running.connect(), running.connect(), running.connect());
    slow.register("slow", None, "T");
    quick.register("quick", Some(30_000), "T");
    running.clock.advance(Duration::from_secs(41));
    running.await_brokers(1);
    assert!(quick.is_closed());
    assert_eq!(client.route("T").unwrap()["queueDatas"].as_array().unwrap().len(), 1);
    // A heartbeat keeps it for its time again.
    slow.register("slow", None, "T");
    running.clock.advance(Duration::from_secs(100));
    assert!(client.route("T").is_some());
    running.clock.advance(Duration::from_secs(31));
    running.await_brokers(0);
    assert!(slow.is_closed());
    assert_eq!(client.route("T"), None);
}

#[test]
fn unregistering_leaves_the_connection_open() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut broker = running.connect();
    broker.register("a", None, "T");
    let answer = broker.ask(UnregisterBroker {
        broker_name: "a".into(),
        broker_addr: "a:10911".into(),
        cluster_name: "C".into(),
        broker_id: 0,
    });
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    assert_eq!(broker.route("T"), None);
}

/// What 5.x brokers send every second; each field that is given.
fn brokers_heartbeat(peer: &mut Peer, fields: &str) -> Answer {
    let header = format!(
        r#"{{"code":904,"extFields":{{{fields}}},"flag":0,"language":"JAVA","opaque":5,"version":401}}"#
    );
    let mut bytes = (header.len() as u32 + 4).to_be_bytes().to_vec();
    bytes.extend_from_slice(&(header.len() as u32).to_be_bytes());
    bytes.extend_from_slice(header.as_bytes());
    peer.stream.write_all(&bytes).unwrap();
    Answer::of(&Frame::decode(&peer.read()).unwrap())
}

#[test]
fn a_heartbeat_of_5_x_keeps_a_broker() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let (mut broker, mut client) = (running.connect(), running.connect());
    broker.register("a", None, "T");
    for _ in 0..3 {
        running.clock.advance(Duration::from_secs(100));
        let fields = r#""clusterName":"C","brokerName":"a","brokerAddr":"a:10911","brokerId":"0""#;
        assert_eq!(brokers_heartbeat(&mut broker, fields).code, ResponseCode::SUCCESS);
        assert!(client.route("T").is_some());
    }
    // That of another one keeps nobody, and one without a name is refused.
    let other = r#""clusterName":"C","brokerAddr":"b:10911""#;
    running.clock.advance(Duration::from_secs(100));
    assert_eq!(brokers_heartbeat(&mut client, other).code, ResponseCode::SUCCESS);
    let nameless = brokers_heartbeat(&mut client, r#""clusterName":"C""#);
    assert_eq!(nameless.code, ResponseCode::SYSTEM_ERROR);
    assert!(nameless.remark.unwrap().contains("brokerAddr"));
    running.clock.advance(Duration::from_secs(31));
    running.await_brokers(0);
    assert!(broker.is_closed());
    assert_eq!(client.route("T"), None);
}

#[test]
fn topics_of_the_system_and_of_units_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut broker = running.connect();
    let mut table = RegisterBrokerBody::default();
    for (topic, topic_sys_flag) in [("plain", 0), ("unit", 1), ("sub", 2), ("both", 3)] {
        let config = TopicConfig { topic_name: topic.into(), topic_sys_flag, ..TopicConfig::default() };
        table.topic_config_serialize_wrapper.topic_config_table.insert(topic.into(), config);
    }
    broker.register_table("a", None, &table);
    let mut list = |code: RequestCode| -> Vec<String> {
        let request = match code {
            RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => Request::GetSystemTopicListFromNs,
            code => Request::Other { code },
        };
        let answer = broker.ask(request);
        assert_eq!(answer.code, ResponseCode::SUCCESS, "{answer:?}");
        let mut list: TopicList = json::from_slice(&answer.body).unwrap();
        if code == RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS {
            assert_eq!(list.broker_addr.as_deref(), Some("a:10911"), "whom to ask for its own");
        }
        list.topic_list.sort();
        list.topic_list
    };
    assert_eq!(list(RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS), ["C", "a"]);
    assert_eq!(list(RequestCode::GET_UNIT_TOPIC_LIST), ["both", "unit"]);
    assert_eq!(list(RequestCode::GET_HAS_UNIT_SUB_TOPIC_LIST), ["both", "sub"]);
    assert_eq!(list(RequestCode::GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST), ["sub"]);
}

#[test]
fn name_servers_know_nothing_of_each_other() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, other) = (start(dirs[0].path()), start(dirs[1].path()));
    let mut broker = one.connect();
    broker.register("a", None, "T");
    let answer = other.connect().ask(Request::GetBrokerClusterInfo);
    assert_eq!(answer.text(), "{\"brokerAddrTable\":{},\"clusterAddrTable\":{}}");
    drop(other);
    assert!(one.connect().route("T").is_some());
}

#[test]
fn keys_and_settings_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut admin = running.connect();
    for (key, value) in [("k", "1"), ("k", "值"), ("other", "3")] {
        let put = PutKvConfig { namespace: "N".into(), key: key.into(), value: value.into() };
        assert_eq!(admin.ask(put).code, ResponseCode::SUCCESS);
    }
    let update = UpdateNamesrvConfig { body: b"orderMessageEnable=true\n" };
    assert_eq!(admin.ask(update).code, ResponseCode::SUCCESS);
    let shown = admin.ask(Request::GetNamesrvConfig);
    assert_eq!(shown.code, ResponseCode::SUCCESS);
    assert!(shown.text().lines().any(|line| line == "orderMessageEnable=true"), "{}", shown.text());
    assert!(shown.text().lines().any(|line| line.starts_with("kvConfigPath=")), "{}", shown.text());
    drop(running);

    let file = dir.path().join("namesrv/kvConfig.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(kept, serde_json::json!({"configTable": {"N": {"k": "值", "other": "3"}}}));
    let settings = std::fs::read_to_string(dir.path().join("namesrv/namesrv.properties")).unwrap();
    assert_eq!(settings, "orderMessageEnable=true\n");

    // The file is lost: its copy knows all but the last change.
    std::fs::remove_file(&file).unwrap();
    let running = start(dir.path());
    let mut admin = running.connect();
    let answer = admin.ask(GetKvConfig { namespace: "N".into(), key: "k".into() });
    assert_eq!(answer.fields["value"], "值");
    let lost = admin.ask(GetKvConfig { namespace: "N".into(), key: "other".into() });
    assert_eq!(lost.code, ResponseCode::QUERY_NOT_FOUND);
}

#[test]
fn a_change_that_cannot_be_kept_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut admin = running.connect();
    std::fs::write(dir.path().join("namesrv"), "in the way").unwrap();
    let answer = admin.ask(PutKvConfig { namespace: "N".into(), key: "k".into(), value: "v".into() });
    assert_eq!(answer.code, ResponseCode::SYSTEM_ERROR);
    assert!(answer.remark.as_deref().unwrap().contains("namesrv"), "{answer:?}");
    // It goes on, and keeps the next change together with this one once it can.
    std::fs::remove_file(dir.path().join("namesrv")).unwrap();
    let answer = admin.ask(PutKvConfig { namespace: "N".into(), key: "l".into(), value: "w".into() });
    assert_eq!(answer.code, ResponseCode::SUCCESS);
    let kept = std::fs::read_to_string(dir.path().join("namesrv/kvConfig.json")).unwrap();
    assert_eq!(kept, "{\"configTable\":{\"N\":{\"k\":\"v\",\"l\":\"w\"}}}");
}

/// Recordings that were joined: connections below 1000, from 1001, from 2001; each had its own name server.
#[test]
fn recorded_conversations_are_answered_as_apaches_name_server_did() {
    let mut by_recording: BTreeMap<i64, Vec<Recorded>> = BTreeMap::new();
    recorded(|frame| {
        if frame.text("dir").contains("namesrv") {
            by_recording.entry(frame.number("conn") / 1000).or_default().push(frame);
        }
    });
    let mut compared = BTreeMap::new();
    for frames in by_recording.into_values() {
        replay(frames, &mut compared);
    }
    let all: usize = compared.values().sum();
    assert!(all > 750, "{all} answers were compared: {compared:?}");
    for code in [100, 101, 102, 103, 104, 105, 106, 205, 206, 216, 219, 224, 322, 327, 901, 1999] {
        assert!(compared.contains_key(&code), "no request {code} was compared: {compared:?}");
    }
}

fn replay(frames: Vec<Recorded>, compared: &mut BTreeMap<i64, usize>) {
    let dir = tempfile::tempdir().unwrap();
    // No broker expires meanwhile, however slow this machine is.
    let config =
        NamesrvConfig { scan_not_active_broker_interval: i64::from(i32::MAX), ..NamesrvConfig::default() };
    let running = start_with(dir.path(), config);
    let refused = refused_registrations(&frames);
    let mut peers: HashMap<i64, Peer> = HashMap::new();
    let mut answers: HashMap<(i64, i64), Answer> = HashMap::new();
    for frame in frames {
        let (conn, opaque) = (frame.number("conn"), frame.number("opaque"));
        let peer = peers.entry(conn).or_insert_with(|| running.connect());
        match frame.text("kind") {
            "request" if refused.contains(&(conn, opaque)) => is_taken(&frame),
            "response" if refused.contains(&(conn, opaque)) => {}
            "request" => {
                peer.stream.write_all(&frame.raw).unwrap();
                let bytes = peer.read();
                let answer = Frame::decode(&bytes).unwrap();
                assert_eq!(i64::from(answer.opaque), opaque, "{}", frame.place());
                answers.insert((conn, opaque), Answer::of(&answer));
            }
            "oneway" => peer.stream.write_all(&frame.raw).unwrap(),
            _ => {
                let ours = answers.remove(&(conn, opaque)).unwrap();
                if compare(&frame, &ours) {
                    *compared.entry(frame.number("requestCode")).or_default() += 1;
                }
            }
        }
    }
}

/// Connection and opaque of the registrations that Apache's name server refused: 5.3.3 fails at bodies that its own
/// broker compressed, and wants no single topic of a broker that it does not know yet.
fn refused_registrations(frames: &[Recorded]) -> HashSet<(i64, i64)> {
    let register = i64::from(RequestCode::REGISTER_BROKER.0);
    let refused = frames.iter().filter(|frame| {
        frame.is_response() && frame.number("requestCode") == register && frame.number("code") != 0
    });
    refused.map(|frame| (frame.number("conn"), frame.number("opaque"))).collect()
}

/// Ours takes such a registration; in a name server of its own, for the others to stay comparable.
fn is_taken(frame: &Recorded) {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path());
    let mut broker = running.connect();
    broker.stream.write_all(&frame.raw).unwrap();
    let answer = Answer::of(&Frame::decode(&broker.read()).unwrap());
    assert_eq!(answer.code, ResponseCode::SUCCESS, "{}: {answer:?}", frame.place());
    assert_eq!(running.namesrv.broker_count(), 1);
    let topics = broker.ask(Request::GetAllTopicListFromNameserver);
    assert_ne!(topics.text(), "{\"topicList\":[]}");
}

/// Asserts that both answered the same; false where they need not.
fn compare(frame: &Recorded, ours: &Answer) -> bool {
    let place = frame.place();
    let theirs = Answer::of(&Frame::decode(&frame.raw).unwrap());
    let code = RequestCode(frame.number("requestCode") as i32);
    if matches!(code, RequestCode::GET_NAMESRV_CONFIG | RequestCode::UPDATE_NAMESRV_CONFIG) {
        // Each has settings of its own.
        return false;
    }
    assert_eq!(ours.code, theirs.code, "{place}: {ours:?}");
    assert_eq!(ours.fields, theirs.fields, "{place}");
    assert_eq!(body(ours), body(&theirs), "{place}");
    if theirs.code == ResponseCode::REQUEST_CODE_NOT_SUPPORTED {
        assert_eq!(ours.remark, theirs.remark, "{place}");
    }
    true
}

/// The body with lists in an order: Apache's come from hash maps.
fn body(answer: &Answer) -> Value {
    let mut value: Value = json::from_slice(&answer.body).unwrap();
    sort(&mut value);
    value
}

fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(Value::to_string);
        }
        Value::Object(members) => members.values_mut().for_each(sort),
        _ => {}
    }
}
