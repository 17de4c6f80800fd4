//! A broker's registration, in JSON or compressed (protocol reference, section 2.3).

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::Compression;
use serde::{Deserialize, Serialize};

use super::super::{json, version, DecodeError, RequestCode};
use super::{DataVersion, TopicConfig, TopicConfigSerializeWrapper};

/// What a compressed registration may grow to: a million topics.
const MAX_INFLATED: u64 = 64 * 1024 * 1024;

/// REGISTER_BROKER (103): the topics of a broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    /// The topics and their version.
    pub topic_config_serialize_wrapper: TopicConfigSerializeWrapper,
    /// Always empty.
    pub filter_server_list: Vec<String>,
}

impl RegisterBrokerBody {
    /// Reads the body that a broker of version ordinal `broker_version` sent; `compressed` is what its header says. A
    /// zlib stream is recognised even if the header denies it, as 5.3 does. Without a body there are no topics.
    pub fn decode(bytes: &[u8], compressed: bool, broker_version: i32) -> Result<Self, DecodeError> {
        let fault = |reason: String| DecodeError::Body { code: RequestCode::REGISTER_BROKER, reason };
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if compressed || bytes[0] == 0x78 {
            return inflate(bytes).and_then(|inflated| Sections { bytes: &inflated }.body()).map_err(fault);
        }
        if broker_version < version::V3_0_11 {
            let topics = json::from_slice(bytes).map_err(|error| fault(error.to_string()))?;
            return Ok(RegisterBrokerBody { topic_config_serialize_wrapper: topics, ..Self::default() });
        }
        json::from_slice(bytes).map_err(|error| fault(error.to_string()))
    }

    /// The body as bytes, with the compressed form of brokers before 5.0 if asked for.
    pub fn encode(&self, compressed: bool) -> Vec<u8> {
        if !compressed {
            return json::to_vec(self);
        }
        let topics = &self.topic_config_serialize_wrapper;
        let mut plain = Vec::new();
        push_section(&mut plain, &json::to_vec(&topics.data_version));
        plain.extend_from_slice(&(topics.topic_config_table.len() as i32).to_be_bytes());
        for topic in topics.topic_config_table.values() {
            push_section(&mut plain, topic_line(topic).as_bytes());
        }
        push_section(&mut plain, &json::to_vec(&self.filter_server_list));
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        // Writing to memory does not fail.
        zlib.write_all(&plain).and_then(|()| zlib.finish()).unwrap_or_default()
    }
}

/// The header field `bodyCrc32` for a body.
pub fn register_broker_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF) as i32
}

fn push_section(out: &mut Vec<u8>, section: &[u8]) {
    out.extend_from_slice(&(section.len() as i32).to_be_bytes());
    out.extend_from_slice(section);
}

fn topic_line(topic: &TopicConfig) -> String {
    let TopicConfig { topic_name, read_queue_nums, write_queue_nums, perm, topic_filter_type, .. } = topic;
    format!("{topic_name} {read_queue_nums} {write_queue_nums} {perm} {topic_filter_type}")
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(bytes).take(MAX_INFLATED + 1).read_to_end(&mut inflated);
    read.map_err(|error| format!("zlib: {error}"))?;
    match inflated.len() as u64 <= MAX_INFLATED {
        true => Ok(inflated),
        false => Err(format!("zlib: over {MAX_INFLATED} bytes")),
    }
}

/// The inflated form: pieces with their lengths before them.
struct Sections<'a> {
    bytes: &'a [u8],
}

impl<'a> Sections<'a> {
    fn body(mut self) -> Result<RegisterBrokerBody, String> {
        let data_version = self.json("data version")?;
        let mut topic_config_table = BTreeMap::new();
        for _ in 0..self.number("number of topics")? {
            let topic = topic_of(self.section("topic")?)?;
            topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        let filter_server_list = self.json("filter servers")?;
        let mapping_data_version = self.mapping()?;
        let topics = TopicConfigSerializeWrapper {
            topic_config_table,
            data_version,
            mapping_data_version,
            ..TopicConfigSerializeWrapper::default()
        };
        Ok(RegisterBrokerBody { topic_config_serialize_wrapper: topics, filter_server_list })
    }

    /// The part on static topics that 5.x adds; of it only the version is of use, which 5.3 may leave out.
    fn mapping(&mut self) -> Result<Option<DataVersion>, String> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        for _ in 0..self.number("number of queue mappings")? {
            self.section("queue mapping")?;
        }
        if self.bytes.is_empty() {
            return Ok(None);
        }
        self.json("mapping version").map(Some)
    }

    fn number(&mut self, what: &str) -> Result<i32, String> {
        let (number, rest) =
            self.bytes.split_first_chunk::<4>().ok_or_else(|| format!("ends before the {what}"))?;
        self.bytes = rest;
        Ok(i32::from_be_bytes(*number))
    }

    fn section(&mut self, what: &str) -> Result<&'a [u8], String> {
        let length = self.number(what)?;
        let section = usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length));
        let (section, rest) =
            section.ok_or_else(|| format!("{what} of {length} bytes, {} are left", self.bytes.len()))?;
        self.bytes = rest;
        Ok(section)
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, what: &str) -> Result<T, String> {
        json::from_slice(self.section(what)?).map_err(|error| format!("{what}: {error}"))
    }
}

/// `name readQueues writeQueues perm filterType`, from 5.x with the attributes as JSON behind.
fn topic_of(line: &[u8]) -> Result<TopicConfig, String> {
    let line = std::str::from_utf8(line).map_err(|_| "a topic is not UTF-8".to_owned())?;
    let fault = || format!("the topic {:?} does not read", line.chars().take(200).collect::<String>());
    let mut words = line.splitn(6, ' ');
    let topic_name = words.next().filter(|name| !name.is_empty()).ok_or_else(fault)?.to_owned();
    let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(fault);
    let (read_queue_nums, write_queue_nums, perm) = (number()?, number()?, number()?);
    let topic_filter_type = words.next().unwrap_or("SINGLE_TAG").to_owned();
    let attributes = words.next().map_or(Ok(BTreeMap::new()), |text| json::from_slice(text.as_bytes()));
    Ok(TopicConfig {
        topic_name,
        read_queue_nums,
        write_queue_nums,
        perm,
        topic_filter_type,
        attributes: attributes.map_err(|_| fault())?,
        ..TopicConfig::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body() -> RegisterBrokerBody {
        let topic = |name: &str| TopicConfig { topic_name: name.into(), perm: 4, ..TopicConfig::default() };
        RegisterBrokerBody {
            topic_config_serialize_wrapper: TopicConfigSerializeWrapper {
                topic_config_table: ["a", "%RETRY%g"].map(|name| (name.into(), topic(name))).into(),
                data_version: DataVersion { state_version: 0, timestamp: 1_700_000_000_000, counter: 3 },
                ..TopicConfigSerializeWrapper::default()
            },
            filter_server_list: Vec::new(),
        }
    }

    #[test]
    fn both_forms_are_read() {
        for compressed in [false, true] {
            let bytes = body().encode(compressed);
            assert_eq!(RegisterBrokerBody::decode(&bytes, false, 401).unwrap(), body(), "recognised");
            assert_eq!(RegisterBrokerBody::decode(&bytes, compressed, 401).unwrap(), body());
        }
        assert_eq!(RegisterBrokerBody::decode(b"", false, 401).unwrap(), RegisterBrokerBody::default());
    }

    #[test]
    fn a_5x_broker_adds_attributes_and_mappings() {
        let mut plain = Vec::new();
        push_section(&mut plain, br#"{"counter":1}"#);
        plain.extend_from_slice(&1i32.to_be_bytes());
        push_section(&mut plain, br#"t 1 2 6 SINGLE_TAG {"+a":"b c"}"#);
        push_section(&mut plain, b"[]");
        plain.extend_from_slice(&1i32.to_be_bytes());
        push_section(&mut plain, b"{}");
        push_section(&mut plain, br#"{"counter":9}"#);
        let read = Sections { bytes: &plain }.body().unwrap().topic_config_serialize_wrapper;
        assert_eq!(read.topic_config_table["t"].attributes["+a"], "b c");
        assert_eq!(read.mapping_data_version.unwrap().counter, 9);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |bytes: &[u8], compressed| {
            RegisterBrokerBody::decode(bytes, compressed, 401).unwrap_err().to_string()
        };
        assert!(error(b"{", false).starts_with("the body of REGISTER_BROKER(103): JSON"));
        assert!(error(b"\x78\x01\xff", false).contains("zlib"));
        let mut bomb = ZlibEncoder::new(Vec::new(), Compression::fast());
        bomb.write_all(&vec![0; 65 << 20]).unwrap();
        assert!(error(&bomb.finish().unwrap(), true).contains("over 67108864 bytes"));
        assert!(topic_of(b"t 1 x 6").unwrap_err().contains("\"t 1 x 6\""));
    }

    proptest! {
        #[test]
        fn arbitrary_sections_are_read(bytes: Vec<u8>) {
            let _ = Sections { bytes: &bytes }.body();
        }
    }
}
