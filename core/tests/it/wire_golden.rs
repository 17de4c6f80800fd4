//! Frames that Apache's brokers, name servers and clients (5.3.3, some 4.9.4) exchanged: every one decodes, those with
//! a typed form into it, and encodes back to the same fields and body.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ferromq::wire::{body::*, *};
use flate2::read::GzDecoder;
use serde::{de::DeserializeOwned, Serialize};
use serde_json::Value;

/// A line of the recording: what Apache's own decoder saw, and the bytes.
pub(crate) struct Recorded {
    pub(crate) line: Value,
    pub(crate) raw: Vec<u8>,
}

impl Recorded {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.line[name].as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> i64 {
        self.line[name].as_i64().unwrap_or_default()
    }

    pub(crate) fn is_response(&self) -> bool {
        self.text("kind") == "response"
    }

    /// Names the frame in failures.
    pub(crate) fn place(&self) -> String {
        let code = if self.is_response() { "requestCodeName" } else { "codeName" };
        format!("{} #{} {} {}", self.text("session"), self.number("seq"), self.text("kind"), self.text(code))
    }
}

/// Calls `each` for every frame that was recorded whole; returns how many lines of which kind were left out.
pub(crate) fn recorded(mut each: impl FnMut(Recorded)) -> BTreeMap<String, usize> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire/frames.jsonl.gz");
    let mut left_out = BTreeMap::new();
    for line in BufReader::new(GzDecoder::new(std::fs::File::open(path).unwrap())).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let kind = line["kind"].as_str().unwrap();
        match line["raw"].as_str() {
            Some(raw) if !kind.starts_with("ha-") && line["rawTruncated"] != true => {
                each(Recorded { raw: base64(raw), line });
            }
            _ => *left_out.entry(kind.to_owned()).or_default() += 1,
        }
    }
    left_out
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let quads = text.as_bytes().chunks(4).flat_map(|quad| {
        let count = quad.iter().filter(|byte| **byte != b'=').count();
        let bits = quad.iter().take(count).fold(0u32, |bits, byte| bits << 6 | u32::from(digit(*byte)));
        let bits = bits << (6 * (4 - count) + 8);
        bits.to_be_bytes().into_iter().take(count - 1)
    });
    quads.collect()
}

#[test]
fn every_frame_is_read_as_apache_read_it_and_written_back() {
    let mut frames = 0;
    let left_out = recorded(|recorded| {
        frames += 1;
        let place = recorded.place();
        assert_eq!(frame::length(&recorded.raw, 1 << 24).unwrap(), Some(recorded.raw.len()), "{place}");
        let frame = Frame::decode(&recorded.raw).unwrap_or_else(|error| panic!("{place}: {error}"));
        let number = |name: &str| recorded.number(name) as i32;
        let encoding = if recorded.text("serialize") == "JSON" { Encoding::Json } else { Encoding::Binary };
        assert_eq!(
            (frame.encoding, frame.code, frame.opaque, frame.flag, frame.version),
            (encoding, number("code"), number("opaque"), number("flag"), number("version")),
            "{place}"
        );
        assert_eq!(frame.language.name(), recorded.text("language"), "{place}");
        assert_eq!(frame.remark.as_deref(), recorded.line["remark"].as_str(), "{place}");
        let expected = recorded.line["extFields"].as_object().into_iter().flatten();
        let expected =
            expected.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
        let fields: BTreeMap<_, _> =
            frame.fields.iter().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        assert_eq!(fields, expected.collect(), "{place}");
        if frame.body.is_empty() {
            assert_eq!(recorded.number("bodyLen"), 0, "{place}");
        } else {
            let crc = format!("{:08x}", crc32fast::hash(frame.body));
            assert_eq!(
                (frame.body.len() as i64, crc.as_str()),
                (recorded.number("bodyLen"), recorded.text("bodyCrc32"))
            );
        }
        assert_eq!(frame.is_response(), recorded.is_response(), "{place}");
        assert_eq!(frame.is_oneway(), recorded.text("kind") == "oneway", "{place}");

        let mut again = Vec::new();
        frame.encode(&mut again).unwrap();
        assert_eq!(Frame::decode(&again).unwrap(), frame, "{place}");
    });
    assert_eq!(frames, 3986);
    // The replication stream has no frames; one frame of over 64 KiB was recorded without its body.
    let expected = [("close", 252), ("connect", 252), ("ha-report", 23), ("ha-transfer", 22), ("request", 1)];
    let left_out: Vec<_> = left_out.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(left_out, expected);
}

/// Fields that a struct writes though they were absent: those that an absent field reads as.
const DEFAULTS: [(&str, &str); 17] = [
    ("reconsumeTimes", "0"),
    ("unitMode", "false"),
    ("batch", "false"),
    ("j", "0"),
    ("k", "false"),
    ("m", "false"),
    ("committed", "true"),
    ("fromTransactionCheck", "false"),
    ("compressed", "false"),
    ("bodyCrc32", "0"),
    ("order", "false"),
    ("cleanOffset", "false"),
    ("removeOffset", "false"),
    ("jstackEnable", "false"),
    ("storeTimestamp", "0"),
    ("IS_SUB_CHANGE", "false"),
    ("TRACE_ON", "true"),
];

/// The fields by name. Null and the empty text are one in the binary header.
fn fields_of(frame: &Frame<'_>) -> BTreeMap<String, String> {
    let fields = frame.fields.iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
    fields.filter(|(_, value)| frame.encoding == Encoding::Json || !value.is_empty()).collect()
}

fn assert_same_fields(original: &Frame<'_>, again: &Frame<'_>, place: &str) {
    let original = fields_of(original);
    let mut again = fields_of(again);
    for (name, value) in DEFAULTS {
        if !original.contains_key(name) && again.get(name).is_some_and(|found| found == value) {
            again.remove(name);
        }
    }
    assert_eq!(original, again, "{place}");
}

/// Equal bytes, or JSON of equal meaning.
fn assert_same_body(original: &[u8], again: &[u8], place: &str) {
    if original != again {
        let read = |bytes: &[u8]| {
            json::from_slice::<Value>(bytes).unwrap_or_else(|error| panic!("{place}: {error}"))
        };
        assert_same_json(&read(original), &read(again), place);
    }
}

/// Every member of `original` stands in `again`; what is new there says nothing. Lists of text are sets in Java.
fn assert_same_json(original: &Value, again: &Value, place: &str) {
    match (original, again) {
        (Value::Object(original), Value::Object(again)) => {
            // What 5.3.3 derives from the table beside it.
            for (name, value) in original.iter().filter(|(name, _)| *name != "groupTopicMap") {
                let found = again.get(name).unwrap_or_else(|| panic!("{place}: {name} is lost"));
                assert_same_json(value, found, place);
            }
            for (name, value) in again.iter().filter(|(name, _)| !original.contains_key(*name)) {
                let empty = match value {
                    Value::Array(list) => list.is_empty(),
                    Value::Object(object) => object.values().all(|value| *value == 0),
                    value => *value == 0 || *value == 0.0 || *value == false || *value == "",
                };
                assert!(empty || name == "consumeTimeoutMinute", "{place}: {name} is new: {value}");
            }
        }
        (Value::Array(original), Value::Array(again)) if original.iter().all(Value::is_string) => {
            let sorted = |list: &[Value]| {
                let mut list: Vec<_> = list.iter().map(ToString::to_string).collect();
                list.sort();
                list
            };
            assert_eq!(sorted(original), sorted(again), "{place}");
        }
        (Value::Array(original), Value::Array(again)) => {
            assert_eq!(original.len(), again.len(), "{place}");
            original.iter().zip(again).for_each(|(original, again)| assert_same_json(original, again, place));
        }
        _ => assert_eq!(original, again, "{place}"),
    }
}

#[test]
fn requests_become_typed_and_back() {
    let mut typed = BTreeMap::new();
    let mut untyped = BTreeMap::new();
    let mut refused = Vec::new();
    recorded(|recorded| {
        if recorded.is_response() {
            return;
        }
        let place = recorded.place();
        let frame = Frame::decode(&recorded.raw).unwrap();
        let request = match Request::decode(&frame) {
            Ok(Request::Other { code }) => return *untyped.entry(code.0).or_insert(0) += 1,
            Ok(request) => request,
            Err(error) => return refused.push(format!("{place}: {error}")),
        };
        assert_eq!(request.code(), frame.request_code(), "{place}");
        *typed.entry(frame.code).or_insert(0) += 1;

        let further = frame.fields.iter().filter(|(name, _)| !request.knows(name));
        let mut bytes = Vec::new();
        request.encode_with(frame.encoding, frame.opaque, frame.is_oneway(), further, &mut bytes).unwrap();
        let again = Frame::decode(&bytes).unwrap();
        assert_eq!((again.code, again.opaque, again.flag), (frame.code, frame.opaque, frame.flag), "{place}");
        assert_same_fields(&frame, &again, &place);
        assert_same_body(frame.body, again.body, &place);
        assert_eq!(Request::decode(&again).unwrap(), request, "{place}");
        if let Request::RegisterBroker(request) = &request {
            assert_registration_survives(request, frame.version, &place);
        }
    });
    assert_eq!(typed.values().sum::<i32>(), 1984, "{typed:?}");
    // The session in which everything is wrong.
    assert_eq!(
        refused,
        [
            "errors #15 request SEND_MESSAGE: SEND_MESSAGE: the field producerGroup is missing",
            "errors #61 request HEART_BEAT: the body of HEART_BEAT(34): JSON: neither a value nor a number before \
             this place at byte 3",
        ]
    );
    let admin_and_5x = [
        60, 61, 370, 400, 401, 402, 907, 1999, 2003, 3001, 3005, 3442, 200050, 200051, 200052, 200053,
        200054, 200151,
    ];
    assert_eq!(untyped.keys().copied().collect::<Vec<_>>(), admin_and_5x);
}

/// The body of a registration in its compressed form means the same as in JSON.
fn assert_registration_survives(request: &RegisterBroker<'_>, version: i32, place: &str) {
    if request.body_crc32 != 0 {
        assert_eq!(register_broker_crc(request.body), request.body_crc32, "{place}");
    }
    let mut body = RegisterBrokerBody::decode(request.body, request.compressed, version).unwrap();
    let compressed = body.encode(true);
    let topics = &mut body.topic_config_serialize_wrapper;
    assert!(!topics.topic_config_table.is_empty() || request.body.is_empty(), "{place}");
    // The compressed form has no static topics, and of the topics no more than this.
    (topics.mapping_data_version, topics.topic_queue_mapping_info_map) = (None, None);
    topics.topic_queue_mapping_detail_map = None;
    topics.topic_config_table.values_mut().for_each(|topic| {
        topic.order = false;
        topic.topic_sys_flag = 0;
        topic.attributes.clear();
    });
    assert_eq!(RegisterBrokerBody::decode(&compressed, true, version).unwrap(), body, "{place}");
}

/// Reads a body as `T` and writes it again.
fn json_body<T: DeserializeOwned + Serialize>(frame: &Frame<'_>, old: bool) -> Body {
    let body: T = json::from_slice(frame.body).unwrap();
    if old { json::to_old_vec(&body) } else { json::to_vec(&body) }.into()
}

/// The typed form of an answer to the request with this code.
fn typed_response(code: RequestCode, frame: &Frame<'_>) -> Option<Response> {
    let header: Result<ResponseHeader, DecodeError> = match code {
        RequestCode::SEND_MESSAGE
        | RequestCode::SEND_MESSAGE_V2
        | RequestCode::SEND_BATCH_MESSAGE
        | RequestCode::SEND_REPLY_MESSAGE_V2 => SendMessageResponse::decode(frame).map(Into::into),
        RequestCode::PULL_MESSAGE | RequestCode::LITE_PULL_MESSAGE => {
            PullMessageResponse::decode(frame).map(Into::into)
        }
        RequestCode::QUERY_MESSAGE => QueryMessageResponse::decode(frame).map(Into::into),
        RequestCode::QUERY_CONSUMER_OFFSET => QueryConsumerOffsetResponse::decode(frame).map(Into::into),
        RequestCode::SEARCH_OFFSET_BY_TIMESTAMP => {
            SearchOffsetByTimestampResponse::decode(frame).map(Into::into)
        }
        RequestCode::GET_MAX_OFFSET => GetMaxOffsetResponse::decode(frame).map(Into::into),
        RequestCode::GET_MIN_OFFSET => GetMinOffsetResponse::decode(frame).map(Into::into),
        RequestCode::GET_EARLIEST_MSG_STORETIME => {
            GetEarliestMsgStoretimeResponse::decode(frame).map(Into::into)
        }
        RequestCode::HEART_BEAT => HeartBeatResponse::decode(frame).map(Into::into),
        RequestCode::GET_BROKER_CONFIG => GetBrokerConfigResponse::decode(frame).map(Into::into),
        RequestCode::GET_KV_CONFIG => GetKvConfigResponse::decode(frame).map(Into::into),
        RequestCode::REGISTER_BROKER => RegisterBrokerResponse::decode(frame).map(Into::into),
        RequestCode::WIPE_WRITE_PERM_OF_BROKER => {
            WipeWritePermOfBrokerResponse::decode(frame).map(Into::into)
        }
        RequestCode::ADD_WRITE_PERM_OF_BROKER => AddWritePermOfBrokerResponse::decode(frame).map(Into::into),
        RequestCode::QUERY_DATA_VERSION => QueryDataVersionResponse::decode(frame).map(Into::into),
        RequestCode::GET_ALL_TOPIC_CONFIG => GetAllTopicConfigResponse::decode(frame).map(Into::into),
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => {
            GetAllSubscriptiongroupConfigResponse::decode(frame).map(Into::into)
        }
        _ => Ok(ResponseHeader::None),
    };
    let header = match header {
        _ if frame.fields.is_empty() => ResponseHeader::None,
        Ok(header) => header,
        // A refused send has the broker's region, but no place.
        Err(error) => {
            assert_eq!((frame.fields.len(), code), (2, RequestCode::SEND_MESSAGE_V2), "{error}");
            let fields =
                frame.fields.iter().map(|(name, value)| (name.into_owned().into(), value.into_owned()));
            ResponseHeader::Fields(fields.collect())
        }
    };
    let body = if frame.body.is_empty() { Body::Empty } else { typed_body(code, frame)? };
    let remark = frame.remark.as_ref().map(ToString::to_string);
    Some(Response { code: frame.response_code(), remark, header, body })
}

fn typed_body(code: RequestCode, frame: &Frame<'_>) -> Option<Body> {
    Some(match code {
        RequestCode::GET_CONSUMER_LIST_BY_GROUP => {
            json_body::<GetConsumerListByGroupResponseBody>(frame, false)
        }
        RequestCode::LOCK_BATCH_MQ => json_body::<LockBatchResponseBody>(frame, false),
        RequestCode::GET_ALL_CONSUMER_OFFSET => json_body::<ConsumerOffsetSerializeWrapper>(frame, true),
        RequestCode::GET_ALL_DELAY_OFFSET => json_body::<DelayOffsetSerializeWrapper>(frame, true),
        RequestCode::GET_ALL_TOPIC_CONFIG => json_body::<TopicConfigSerializeWrapper>(frame, false),
        RequestCode::GET_ALL_SUBSCRIPTIONGROUP_CONFIG => json_body::<SubscriptionGroupWrapper>(frame, false),
        RequestCode::GET_ROUTEINFO_BY_TOPIC => json_body::<TopicRouteData>(frame, false),
        RequestCode::GET_BROKER_CLUSTER_INFO => json_body::<ClusterInfo>(frame, true),
        RequestCode::GET_BROKER_RUNTIME_INFO
        | RequestCode::REGISTER_BROKER
        | RequestCode::GET_KVLIST_BY_NAMESPACE => json_body::<KvTable>(frame, false),
        RequestCode::GET_TOPIC_STATS_INFO => json_body::<TopicStatsTable>(frame, true),
        RequestCode::GET_CONSUMER_CONNECTION_LIST => json_body::<ConsumerConnection>(frame, false),
        RequestCode::GET_PRODUCER_CONNECTION_LIST => json_body::<ProducerConnection>(frame, false),
        RequestCode::GET_ALL_TOPIC_LIST_FROM_NAMESERVER
        | RequestCode::GET_TOPICS_BY_CLUSTER
        | RequestCode::GET_SYSTEM_TOPIC_LIST_FROM_NS => json_body::<TopicList>(frame, false),
        RequestCode::GET_CONSUME_STATS => json_body::<ConsumeStats>(frame, true),
        RequestCode::INVOKE_BROKER_TO_RESET_OFFSET => json_body::<ResetOffsetBody>(frame, true),
        RequestCode::GET_CONSUMER_STATUS_FROM_CLIENT | RequestCode::INVOKE_BROKER_TO_GET_CONSUMER_STATUS => {
            json_body::<GetConsumerStatusBody>(frame, true)
        }
        RequestCode::QUERY_TOPIC_CONSUME_BY_WHO => json_body::<GroupList>(frame, false),
        RequestCode::QUERY_DATA_VERSION => json_body::<DataVersion>(frame, false),
        RequestCode::GET_ALL_PRODUCER_INFO => json_body::<ProducerTableInfo>(frame, false),
        RequestCode::GET_TOPIC_CONFIG => json_body::<TopicConfigAndQueueMapping>(frame, false),
        RequestCode::GET_BROKER_MEMBER_GROUP => json_body::<GetBrokerMemberGroupResponseBody>(frame, true),
        RequestCode::PULL_MESSAGE
        | RequestCode::LITE_PULL_MESSAGE
        | RequestCode::QUERY_MESSAGE
        | RequestCode::VIEW_MESSAGE_BY_ID
        | RequestCode::GET_BROKER_CONFIG
        | RequestCode::GET_CONSUMER_RUNNING_INFO
        | RequestCode::GET_NAMESRV_CONFIG => Body::Bytes(frame.body.to_vec().into()),
        _ => return None,
    })
}

#[test]
fn responses_become_typed_and_back() {
    let mut typed = 0;
    let mut untyped = BTreeMap::new();
    recorded(|recorded| {
        if !recorded.is_response() {
            return;
        }
        let place = recorded.place();
        let frame = Frame::decode(&recorded.raw).unwrap();
        let code = recorded.number("requestCode") as i32;
        let Some(response) = typed_response(RequestCode(code), &frame) else {
            return *untyped.entry(code).or_insert(0) += 1;
        };
        if response.header == ResponseHeader::None && !frame.fields.is_empty() {
            return *untyped.entry(code).or_insert(0) += 1;
        }
        typed += 1;
        let mut bytes = Vec::new();
        response.encode(frame.encoding, frame.opaque, &mut bytes);
        let again = Frame::decode(&bytes).unwrap();
        assert_eq!((again.code, again.opaque, again.flag), (frame.code, frame.opaque, frame.flag), "{place}");
        assert_eq!(again.remark, frame.remark, "{place}");
        assert_same_fields(&frame, &again, &place);
        assert_same_body(frame.body, again.body, &place);
    });
    let admin_and_5x = [60, 61, 309, 315, 317, 321, 370, 400, 402, 907, 2003, 200050, 200052, 200053, 200054];
    assert_eq!(untyped.keys().copied().collect::<Vec<_>>(), admin_and_5x);
    assert_eq!(typed, 1826);
}

/// Frames with flipped, cut and repeated bytes are read or refused.
#[test]
fn damaged_frames_are_read_or_refused() {
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |limit: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % limit
    };
    let (mut read, mut refused) = (0, 0);
    recorded(|recorded| {
        for _ in 0..8 {
            let mut bytes = recorded.raw.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] ^= 1 << random(8),
                    1 => bytes[at] = [0, 0x7F, 0x80, 0xFF, b'"', b'\\', b'{', b'}'][random(8)],
                    2 => drop(bytes.drain(at..(at + 1 + random(16)).min(bytes.len() - 1).max(at))),
                    _ => bytes.extend_from_within(at..(at + 16).min(bytes.len())),
                }
            }
            // Mostly past the check of the length, to the header.
            if bytes.len() >= 8 && random(4) > 0 {
                let length = bytes.len() as u32 - 4;
                bytes[..4].copy_from_slice(&length.to_be_bytes());
            }
            let _ = frame::length(&bytes, 1 << 24);
            match Frame::decode(&bytes) {
                Ok(frame) => {
                    read += 1;
                    let _ = Request::decode(&frame);
                    let _ = json::from_slice::<TopicRouteData>(frame.body);
                    let _ = json::from_slice::<ConsumeStats>(frame.body);
                    let _ = RegisterBrokerBody::decode(frame.body, random(2) == 0, frame.version);
                }
                Err(_) => refused += 1,
            }
        }
    });
    assert!(read > 5_000 && refused > 5_000, "{read} read, {refused} refused");
}
