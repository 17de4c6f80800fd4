//! Requests as frames, answers as values, no sockets.

use std::borrow::Cow;

use super::*;
use crate::clock::Clock;
use crate::config::NamesrvConfig;
use crate::wire::body::{register_broker_crc, DataVersion, RegisterBrokerBody, TopicConfig, TopicRouteData};
use crate::wire::{Body, Encoding, RegisterBroker, ResponseHeader, UpdateNamesrvConfig};
use std::sync::Arc;

struct Fixture {
    namesrv: Arc<Namesrv>,
    _dir: tempfile::TempDir,
}

fn namesrv(settings: &str) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let mut config = NamesrvConfig::from_text(settings, "test").unwrap();
    config.kv_config_path = dir.path().join("kvConfig.json");
    config.config_store_path = dir.path().join("namesrv.properties");
    Fixture { namesrv: Namesrv::new(config, Clock::new()).unwrap(), _dir: dir }
}

impl Fixture {
    /// Answers a request of a caller of `version` over connection 7; what waits for its file counts as saved.
    fn ask_as(&self, version: i32, request: &Request<'_>) -> Response {
        let mut bytes = Vec::new();
        request.encode(Encoding::Json, 1, false, &mut bytes).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let caller = Caller { connection: 7, version };
        match answer_request(
            &self.namesrv,
            frame.request_code(),
            Request::decode(&frame),
            Some(&frame),
            caller,
        ) {
            Answer::Now(response) => response,
            Answer::WhenSaved(_) => Response::ok(),
        }
    }

    fn ask(&self, request: impl Into<Request<'static>>) -> Response {
        self.ask_as(crate::wire::VERSION, &request.into())
    }

    fn register(&self, body: &[u8], compressed: bool, crc: i32, version: i32) -> Response {
        let request = RegisterBroker { compressed, body_crc32: crc, body, ..registration() };
        self.ask_as(version, &request.into())
    }

    fn route(&self, topic: &'static str) -> Option<TopicRouteData> {
        let response = self.ask(GetRouteinfoByTopic { topic: topic.into(), accept_standard_json_only: None });
        (response.code == ResponseCode::SUCCESS)
            .then(|| json::from_slice(&text(&response).into_bytes()).unwrap())
    }
}

fn registration() -> RegisterBroker<'static> {
    RegisterBroker {
        broker_name: "broker-a".into(),
        broker_addr: "127.0.0.1:10911".into(),
        cluster_name: "C".into(),
        ha_server_addr: Some("127.0.0.1:10912".into()),
        broker_id: 0,
        heartbeat_timeout_millis: None,
        enable_acting_master: None,
        compressed: false,
        body_crc32: 0,
        body: b"",
    }
}

fn table(topics: &[&str]) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    body.topic_config_serialize_wrapper.data_version = DataVersion { counter: 1, ..DataVersion::default() };
    for topic in topics {
        let config = TopicConfig { topic_name: (*topic).into(), ..TopicConfig::default() };
        body.topic_config_serialize_wrapper.topic_config_table.insert((*topic).into(), config);
    }
    body
}

fn text(response: &Response) -> String {
    let mut bytes = Vec::new();
    response.body.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
    String::from_utf8(bytes).unwrap()
}

fn remark(response: &Response) -> &str {
    response.remark.as_deref().unwrap_or_default()
}

#[test]
fn a_registration_is_read_in_every_form_brokers_send() {
    for (compressed, says_so) in [(false, false), (true, true), (true, false)] {
        let fixture = namesrv("");
        let body = table(&["A"]).encode(compressed);
        let crc = register_broker_crc(&body);
        let response = fixture.register(&body, says_so, crc, crate::wire::VERSION);
        assert_eq!(response.code, ResponseCode::SUCCESS, "{response:?}");
        assert_eq!(fixture.route("A").unwrap().queue_datas[0].broker_name, "broker-a");
    }
    // Before 3.0.11 the body is the topic table alone.
    let fixture = namesrv("");
    let body = json::to_vec(&table(&["A"]).topic_config_serialize_wrapper);
    assert_eq!(fixture.register(&body, false, 0, 36).code, ResponseCode::SUCCESS);
    assert!(fixture.route("A").is_some());
}

#[test]
fn a_damaged_registration_is_refused_with_what_is_wrong() {
    let fixture = namesrv("");
    let body = table(&["A"]).encode(false);
    let cases: [(&[u8], bool, i32, &str); 4] = [
        (&body, false, register_broker_crc(&body) ^ 1, "crc32 not match"),
        (b"{\"topicConfig", false, 0, "broker-a"),
        (&[0x78, 1, 2, 3], false, 0, "zlib"),
        (&body, true, 0, "zlib"),
    ];
    for (body, compressed, crc, expected) in cases {
        let response = fixture.register(body, compressed, crc, crate::wire::VERSION);
        assert_eq!(response.code, ResponseCode::SYSTEM_ERROR);
        assert!(remark(&response).contains(expected), "{response:?}");
    }
    let empty = RegisterBroker { broker_name: "".into(), ..registration() };
    assert!(remark(&fixture.ask(empty)).contains("brokerName"));
    assert_eq!(fixture.namesrv.broker_count(), 0);
}

#[test]
fn a_missing_field_and_an_unknown_code_are_answered() {
    let fixture = namesrv("");
    let frame = |code: i32, fields: &str| {
        let header = format!(
            "{{\"code\":{code},\"flag\":0,\"language\":\"JAVA\",\"opaque\":1,\"version\":409,\"extFields\":{fields}}}"
        );
        let mut bytes = (header.len() as u32 + 4).to_be_bytes().to_vec();
        bytes.extend((header.len() as u32).to_be_bytes());
        bytes.extend(header.as_bytes());
        let frame = Frame::decode(&bytes).unwrap();
        let caller = Caller { connection: 7, version: frame.version };
        match answer_request(
            &fixture.namesrv,
            frame.request_code(),
            Request::decode(&frame),
            Some(&frame),
            caller,
        ) {
            Answer::Now(response) => response,
            Answer::WhenSaved(save) => panic!("{save:?}"),
        }
    };
    let missing = frame(100, "{\"namespace\":\"N\",\"key\":\"k\"}");
    assert_eq!(missing.code, ResponseCode::SYSTEM_ERROR);
    assert!(remark(&missing).contains("value"), "{missing:?}");
    let unknown = frame(1999, "{}");
    assert_eq!(unknown.code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(remark(&unknown), " request type 1999 not supported");
    // A request that only a broker serves.
    assert_eq!(frame(26, "{}").code, ResponseCode::REQUEST_CODE_NOT_SUPPORTED);
    assert_eq!(frame(904, "{}").code, ResponseCode::SYSTEM_ERROR);
    assert_eq!(frame(904, "{\"clusterName\":\"C\",\"brokerAddr\":\"x\"}").code, ResponseCode::SUCCESS);
}

#[test]
fn routes_are_written_for_the_reader() {
    let fixture = namesrv("");
    fixture.register(&table(&["A"]).encode(false), false, 0, 409);
    let ask = |version, accept_standard_json_only| {
        let topic = Cow::Borrowed("A");
        text(&fixture.ask_as(version, &GetRouteinfoByTopic { topic, accept_standard_json_only }.into()))
    };
    let (old, strict) = ("{0:\"127.0.0.1:10911\"}", "{\"0\":\"127.0.0.1:10911\"}");
    assert!(ask(399, None).contains(old));
    assert!(ask(399, Some(false)).contains(old));
    assert!(ask(399, Some(true)).contains(strict));
    assert!(ask(401, None).contains(strict));
    // The cluster is always in the old form: that is what every reader of it takes.
    assert!(text(&fixture.ask_as(479, &Request::GetBrokerClusterInfo)).contains(old));
    let unknown = fixture.ask(GetRouteinfoByTopic { topic: "B".into(), accept_standard_json_only: None });
    assert_eq!(unknown.code, ResponseCode::TOPIC_NOT_EXIST);
    assert!(remark(&unknown).contains("topic B"), "{unknown:?}");
}

#[test]
fn the_order_table_goes_to_brokers_and_if_wanted_into_routes() {
    let put =
        || PutKvConfig { namespace: ORDER_TOPIC_CONFIG.into(), key: "A".into(), value: "broker-a:4".into() };
    for wanted in [false, true] {
        let fixture = namesrv(&format!("orderMessageEnable={wanted}"));
        let body = table(&["A"]).encode(false);
        assert_eq!(fixture.register(&body, false, 0, 409).body, Body::Empty);
        assert_eq!(fixture.ask(put()).code, ResponseCode::SUCCESS);
        let registered = fixture.register(&body, false, 0, 409);
        assert_eq!(text(&registered), "{\"table\":{\"A\":\"broker-a:4\"}}");
        let order = fixture.route("A").unwrap().order_topic_conf;
        assert_eq!(order.as_deref(), wanted.then_some("broker-a:4"));
    }
    let fixture = namesrv("returnOrderTopicConfigToBroker=false");
    fixture.ask(put());
    assert_eq!(fixture.register(b"", false, 0, 409).body, Body::Empty);
}

#[test]
fn a_slave_is_told_its_master() {
    let fixture = namesrv("");
    fixture.register(b"", false, 0, 409);
    let slave = RegisterBroker { broker_id: 1, broker_addr: "127.0.0.1:20911".into(), ..registration() };
    let ResponseHeader::RegisterBroker(header) = fixture.ask(slave).header else { panic!("no header") };
    assert_eq!(header.master_addr.as_deref(), Some("127.0.0.1:10911"));
    assert_eq!(header.ha_server_addr.as_deref(), Some("127.0.0.1:10912"));
}

#[test]
fn the_data_version_tells_a_broker_whether_to_register() {
    let fixture = namesrv("");
    let ask = |counter| {
        let response = fixture.ask(QueryDataVersion {
            broker_name: "broker-a".into(),
            broker_addr: "127.0.0.1:10911".into(),
            cluster_name: "C".into(),
            broker_id: 0,
            body: Some(DataVersion { counter, ..DataVersion::default() }),
        });
        let ResponseHeader::QueryDataVersion(header) = &response.header else { panic!("{response:?}") };
        (header.changed, text(&response))
    };
    assert_eq!(ask(1), (true, String::new()));
    fixture.register(&table(&["A"]).encode(false), false, 0, 409);
    let (changed, known) = ask(1);
    assert!(!changed && known.contains("\"counter\":1"), "{known}");
    assert!(ask(2).0);
}

#[test]
fn keys_are_set_read_listed_and_deleted() {
    let fixture = namesrv("");
    let get = || fixture.ask(GetKvConfig { namespace: "N".into(), key: "k".into() });
    let list = || {
        let request = crate::wire::GetKvlistByNamespace { namespace: "N".into() };
        fixture.ask(request)
    };
    assert_eq!((get().code, list().code), (ResponseCode::QUERY_NOT_FOUND, ResponseCode::QUERY_NOT_FOUND));
    fixture.ask(PutKvConfig { namespace: "N".into(), key: "k".into(), value: "值 1".into() });
    let ResponseHeader::GetKvConfig(header) = get().header else { panic!("no header") };
    assert_eq!(header.value.as_deref(), Some("值 1"));
    assert_eq!(text(&list()), "{\"table\":{\"k\":\"值 1\"}}");
    fixture.ask(DeleteKvConfig { namespace: "N".into(), key: "k".into() });
    assert_eq!(get().code, ResponseCode::QUERY_NOT_FOUND);
    assert_eq!(text(&list()), "{\"table\":{}}");
}

#[test]
fn settings_are_changed_whole_or_not_at_all() {
    let fixture = namesrv("");
    let update = |body: &'static [u8]| fixture.ask(UpdateNamesrvConfig { body });
    assert_eq!(update(b"orderMessageEnable=true\n").code, ResponseCode::SUCCESS);
    assert!(fixture.namesrv.config().order_message_enable);
    assert!(text(&fixture.ask(Request::GetNamesrvConfig)).contains("\norderMessageEnable=true\n"));
    let refusals: [(&[u8], ResponseCode, &str); 6] = [
        (b"orderMessageEnable=false\nkvConfigPath=/x", ResponseCode::NO_PERMISSION, "kvConfigPath"),
        (b"orderMessageEnable=false\nlistenPort=1", ResponseCode::SYSTEM_ERROR, "at the start only"),
        (b"orderMessageEnable=no", ResponseCode::SYSTEM_ERROR, "true or false"),
        (b"orderMessageEnabel=true", ResponseCode::SYSTEM_ERROR, "did you mean orderMessageEnable?"),
        (b"orderMessageEnable=\\u00", ResponseCode::SYSTEM_ERROR, "hex digits"),
        (b"\xff\xfe=1", ResponseCode::SYSTEM_ERROR, "UTF-8"),
    ];
    for (body, code, words) in refusals {
        let response = update(body);
        assert_eq!(response.code, code, "{response:?}");
        assert!(remark(&response).contains(words), "{response:?}");
        assert!(fixture.namesrv.config().order_message_enable);
    }
    assert_eq!(update(b"").code, ResponseCode::SUCCESS);
}

#[test]
fn lists_can_be_switched_off() {
    let fixture = namesrv("enableAllTopicList=false\nenableTopicList=false");
    for request in [Request::GetAllTopicListFromNameserver, Request::GetSystemTopicListFromNs] {
        let response = fixture.ask(request);
        assert_eq!(response.code, ResponseCode::SYSTEM_ERROR);
        assert!(remark(&response).contains("TopicList=false"), "{response:?}");
    }
}
