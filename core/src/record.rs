//! The stored record (store reference, section 2.1): encoding, and a borrowed view of its bytes. The same bytes stand
//! in the commit log and in the body of a pull response.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::{property, sys_flag, MAX_PROPERTIES};
use crate::{Error, ErrorKind, Result};

/// Magic of a record whose topic length takes one byte.
pub const MAGIC_V1: i32 = 0xDAA320A7_u32 as i32;
/// Magic of a record whose topic length takes two bytes (5.x), for topics of more than 127 bytes.
pub const MAGIC_V2: i32 = 0xDAA320AB_u32 as i32;
/// Magic of the filler at the end of a commit-log file.
pub const MAGIC_BLANK: i32 = 0xCBD43194_u32 as i32;
/// Size of the smallest record: IPv4 hosts, version 1, nothing in body, topic and properties.
pub const MIN_RECORD: usize = 91;
/// The longest topic that version 1 can hold, in bytes.
pub const MAX_TOPIC_V1: usize = 127;
/// Where the queue offset stands in a record.
pub(crate) const QUEUE_OFFSET_AT: usize = 20;
/// Where the physical offset stands in a record.
pub(crate) const PHYSICAL_OFFSET_AT: usize = 28;
/// Where the `message::sys_flag` bits stand.
const SYS_FLAG_AT: usize = 36;
/// Where the time stands at which the message was made.
const BORN_TIMESTAMP_AT: usize = 40;
/// Where the born host stands in a record; what follows it depends on its length.
const BORN_HOST_AT: usize = 48;
/// What a disk writes whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// A message on its way into the store. The store assigns queue offset, physical offset and store time.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Topic, not empty.
    pub topic: &'a str,
    /// Queue within the topic, from 0.
    pub queue_id: i32,
    /// The user's flag; carried, never looked at.
    pub flag: i32,
    /// `message::sys_flag` bits. The bits that tell the length of the hosts are set by the writer.
    pub sys_flag: i32,
    /// When the producer made the message, ms by its clock.
    pub born_timestamp: i64,
    /// Where it came from.
    pub born_host: SocketAddr,
    /// The address under which this broker is known; goes into the message id.
    pub store_host: SocketAddr,
    /// How often the message was consumed in vain so far.
    pub reconsume_times: i32,
    /// Physical offset of the half message, or 0.
    pub prepared_transaction_offset: i64,
    /// Body, stored as given.
    pub body: &'a [u8],
    /// Encoded properties, stored as given; at most 32767 bytes.
    pub properties: &'a [u8],
}

impl NewRecord<'_> {
    /// Bytes that the record will take in the log.
    pub fn encoded_len(&self) -> usize {
        let hosts = host_len(&self.born_host) + host_len(&self.store_host);
        let topic_length = if self.topic.len() > MAX_TOPIC_V1 { 2 } else { 1 };
        72 + hosts + self.body.len() + topic_length + self.topic.len() + 2 + self.properties.len()
    }

    /// Appends all that stands before the body. Queue offset, physical offset and store time are left 0.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>) {
        let magic = if self.topic.len() > MAX_TOPIC_V1 { MAGIC_V2 } else { MAGIC_V1 };
        let mut sys_flag = self.sys_flag & !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        sys_flag |= if self.born_host.is_ipv6() { sys_flag::BORN_HOST_V6 } else { 0 };
        sys_flag |= if self.store_host.is_ipv6() { sys_flag::STORE_HOST_V6 } else { 0 };
        let mut fixed = [0; BORN_HOST_AT];
        fixed[0..4].copy_from_slice(&(self.encoded_len() as i32).to_be_bytes());
        fixed[4..8].copy_from_slice(&magic.to_be_bytes());
        fixed[8..12].copy_from_slice(&body_crc(self.body).to_be_bytes());
        fixed[12..16].copy_from_slice(&self.queue_id.to_be_bytes());
        fixed[16..20].copy_from_slice(&self.flag.to_be_bytes());
        fixed[36..40].copy_from_slice(&sys_flag.to_be_bytes());
        fixed[40..48].copy_from_slice(&self.born_timestamp.to_be_bytes());
        out.extend_from_slice(&fixed);
        encode_host(&self.born_host, out);
        out.extend_from_slice(&[0; 8]);
        encode_host(&self.store_host, out);
        out.extend_from_slice(&self.reconsume_times.to_be_bytes());
        out.extend_from_slice(&self.prepared_transaction_offset.to_be_bytes());
        out.extend_from_slice(&(self.body.len() as i32).to_be_bytes());
    }

    /// Appends all that stands behind the body.
    pub(crate) fn encode_tail(&self, out: &mut Vec<u8>) {
        if self.topic.len() > MAX_TOPIC_V1 {
            out.extend_from_slice(&(self.topic.len() as i16).to_be_bytes());
        } else {
            out.push(self.topic.len() as u8);
        }
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(&(self.properties.len() as i16).to_be_bytes());
        out.extend_from_slice(self.properties);
    }

    /// Appends the record, without what its place decides.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        out.extend_from_slice(self.body);
        self.encode_tail(out);
    }

    /// Where the store time stands in the encoded record.
    pub(crate) fn store_timestamp_at(&self) -> usize {
        BORN_HOST_AT + host_len(&self.born_host)
    }

    /// The whole record as it stands in the log once its place is known. The store itself encodes in parts.
    pub fn encode(&self, queue_offset: i64, physical_offset: i64, store_timestamp: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode_head(&mut out);
        place(&mut out, self.store_timestamp_at(), queue_offset, physical_offset, store_timestamp);
        out.extend_from_slice(self.body);
        self.encode_tail(&mut out);
        out
    }
}

/// The longest head: all that stands before the body, with hosts of 20 bytes.
const MAX_HEAD: usize = 112;

/// What records of one queue that come from one place have in common, encoded once.
#[derive(Debug, Clone)]
pub(crate) struct Mould {
    head: [u8; MAX_HEAD],
    head_len: usize,
    sys_flag: i32,
    /// The topic with its length, and the length of no properties.
    tail: Box<[u8]>,
    /// Where the store time stands.
    pub store_timestamp_at: usize,
}

impl Mould {
    /// From a record of that kind; its flags, body and properties do not count.
    pub fn new(record: &NewRecord<'_>) -> Mould {
        let bare = NewRecord { body: &[], properties: &[], flag: 0, sys_flag: 0, ..*record };
        let (mut encoded, mut tail, mut head) = (Vec::new(), Vec::new(), [0; MAX_HEAD]);
        bare.encode_head(&mut encoded);
        bare.encode_tail(&mut tail);
        head[..encoded.len()].copy_from_slice(&encoded);
        let sys_flag = int(&head, SYS_FLAG_AT).unwrap_or_default();
        let store_timestamp_at = bare.store_timestamp_at();
        Mould { head, head_len: encoded.len(), sys_flag, tail: tail.into(), store_timestamp_at }
    }

    /// The topic with its length, as it stands between body and properties.
    pub fn topic(&self) -> &[u8] {
        &self.tail[..self.tail.len() - 2]
    }

    /// All that stands behind the body of a record without properties.
    pub fn bare_tail(&self) -> &[u8] {
        &self.tail
    }

    /// Bytes of the record.
    pub fn encoded_len(&self, body: usize, properties: usize) -> usize {
        self.head_len + body + self.tail.len() + properties
    }

    /// All that stands before the body, without what its place decides.
    #[inline]
    pub fn head(&self, flag: i32, sys_flag: i32, body: &[u8], properties: usize) -> Head {
        let mut head = Head { bytes: self.head, len: self.head_len };
        let size = self.encoded_len(body.len(), properties) as i32;
        let hosts = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        let sys_flag = self.sys_flag & hosts | sys_flag & !hosts;
        head.bytes[0..4].copy_from_slice(&size.to_be_bytes());
        head.bytes[8..12].copy_from_slice(&body_crc(body).to_be_bytes());
        head.bytes[16..20].copy_from_slice(&flag.to_be_bytes());
        head.bytes[SYS_FLAG_AT..SYS_FLAG_AT + 4].copy_from_slice(&sys_flag.to_be_bytes());
        let length_at = self.head_len - 4;
        head.bytes[length_at..length_at + 4].copy_from_slice(&(body.len() as i32).to_be_bytes());
        head
    }
}

/// What stands before a body.
pub(crate) struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::DerefMut for Head {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

/// Writes into an encoded head what is known only when the record gets its place.
pub(crate) fn place(head: &mut [u8], store_timestamp_at: usize, queue: i64, physical: i64, store_time: i64) {
    head[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&queue.to_be_bytes());
    head[PHYSICAL_OFFSET_AT..PHYSICAL_OFFSET_AT + 8].copy_from_slice(&physical.to_be_bytes());
    head[store_timestamp_at..store_timestamp_at + 8].copy_from_slice(&store_time.to_be_bytes());
}

/// Writes into an encoded head when the message was made.
pub(crate) fn place_born(head: &mut [u8], born_time: i64) {
    head[BORN_TIMESTAMP_AT..BORN_TIMESTAMP_AT + 8].copy_from_slice(&born_time.to_be_bytes());
}

/// CRC-32 (IEEE) of a body with the top bit cleared, as records carry it.
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF) as i32
}

fn host_len(host: &SocketAddr) -> usize {
    if host.is_ipv6() {
        20
    } else {
        8
    }
}

fn encode_host(host: &SocketAddr, out: &mut Vec<u8>) {
    match host.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
    out.extend_from_slice(&i32::from(host.port()).to_be_bytes());
}

/// A record in place: fields are read from the borrowed bytes when asked for.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    topic: &'a str,
    born_v6: bool,
    store_v6: bool,
    body_at: u32,
    body_len: u32,
    properties_at: u32,
}

/// Where the parts of a record stand that was found valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    size: u32,
    topic_at: u32,
    body_at: u32,
    body_len: u32,
    properties_at: u32,
    born_v6: bool,
    store_v6: bool,
}

impl<'a> RecordView<'a> {
    /// Where its parts stand.
    pub(crate) fn layout(&self) -> Layout {
        Layout {
            size: self.bytes.len() as u32,
            topic_at: self.properties_at - 2 - self.topic.len() as u32,
            body_at: self.body_at,
            body_len: self.body_len,
            properties_at: self.properties_at,
            born_v6: self.born_v6,
            store_v6: self.store_v6,
        }
    }

    /// The record at the start of bytes that were found to hold one of this layout, which is not looked at again.
    pub(crate) fn again(bytes: &'a [u8], layout: Layout) -> Option<Self> {
        let Layout { size, topic_at, body_at, body_len, properties_at, born_v6, store_v6 } = layout;
        let bytes = bytes.get(..size as usize)?;
        let topic = std::str::from_utf8(bytes.get(topic_at as usize..properties_at as usize - 2)?).ok()?;
        Some(RecordView { bytes, topic, born_v6, store_v6, body_at, body_len, properties_at })
    }

    /// Looks at the record at the start of `bytes`, which may be longer. Checked are the magic, that all lengths add
    /// up to the size, and that the topic is UTF-8; not the CRC ([`RecordView::body_crc_matches`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let size = int(bytes, 0).ok_or_else(|| corrupt("fewer than 4 bytes".into()))?;
        let magic = int(bytes, 4).ok_or_else(|| corrupt("fewer than 8 bytes".into()))?;
        let topic_length_bytes = match magic {
            MAGIC_V1 => 1,
            MAGIC_V2 => 2,
            other => return Err(corrupt(format!("magic {:#010x} is not that of a record", other as u32))),
        };
        if size < MIN_RECORD as i32 || size as usize > bytes.len() {
            let there = bytes.len();
            return Err(corrupt(format!(
                "size {size} is not within {MIN_RECORD} and the {there} bytes there"
            )));
        }
        RecordView::read(&bytes[..size as usize], topic_length_bytes).ok_or_else(|| {
            corrupt(format!("lengths do not add up to the size {size}, or the topic is not UTF-8"))
        })
    }

    fn read(bytes: &'a [u8], topic_length_bytes: usize) -> Option<Self> {
        let sys_flag = int(bytes, 36)?;
        let (born_v6, store_v6) =
            (sys_flag & sys_flag::BORN_HOST_V6 != 0, sys_flag & sys_flag::STORE_HOST_V6 != 0);
        let body_at = 72 + if born_v6 { 20 } else { 8 } + if store_v6 { 20 } else { 8 };
        let body_len = usize::try_from(int(bytes, body_at - 4)?).ok()?;
        let topic_length_at = body_at.checked_add(body_len)?;
        let topic_at = topic_length_at + topic_length_bytes;
        let topic_len = match bytes.get(topic_length_at..topic_at)? {
            [one] => usize::try_from(*one as i8).ok()?,
            two => usize::try_from(i16::from_be_bytes([two[0], two[1]])).ok()?,
        };
        let properties_at = topic_at + topic_len + 2;
        let length = bytes.get(properties_at - 2..properties_at)?;
        let properties_len = usize::try_from(i16::from_be_bytes([length[0], length[1]])).ok()?;
        if properties_at + properties_len != bytes.len() || topic_len == 0 {
            return None;
        }
        let topic = std::str::from_utf8(&bytes[topic_at..topic_at + topic_len]).ok()?;
        let (body_at, body_len) = (body_at as u32, body_len as u32);
        Some(RecordView {
            bytes,
            topic,
            born_v6,
            store_v6,
            body_at,
            body_len,
            properties_at: properties_at as u32,
        })
    }

    /// The whole record.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes that the record takes.
    pub fn total_size(&self) -> usize {
        self.bytes.len()
    }

    /// 1, or 2 for a topic length of two bytes.
    pub fn version(&self) -> u8 {
        if self.int(4) == MAGIC_V1 {
            1
        } else {
            2
        }
    }

    /// CRC-32 of the body as stored, top bit cleared.
    pub fn body_crc(&self) -> i32 {
        self.int(8)
    }

    /// Whether the body is the one whose CRC was stored.
    pub fn body_crc_matches(&self) -> bool {
        // Other writers of the format keep the top bit; it carries no meaning.
        self.body_crc() & 0x7FFF_FFFF == body_crc(self.body())
    }

    /// Queue within the topic.
    pub fn queue_id(&self) -> i32 {
        self.int(12)
    }

    /// The user's flag.
    pub fn flag(&self) -> i32 {
        self.int(16)
    }

    /// Number of this record in its queue.
    pub fn queue_offset(&self) -> i64 {
        self.long(QUEUE_OFFSET_AT)
    }

    /// Offset of this record in the commit log.
    pub fn physical_offset(&self) -> i64 {
        self.long(PHYSICAL_OFFSET_AT)
    }

    /// `message::sys_flag` bits.
    pub fn sys_flag(&self) -> i32 {
        self.int(36)
    }

    /// When the producer made the message, ms by its clock.
    pub fn born_timestamp(&self) -> i64 {
        self.long(40)
    }

    /// Where it came from.
    pub fn born_host(&self) -> SocketAddr {
        self.host(BORN_HOST_AT, self.born_v6)
    }

    /// When the broker stored it, ms by its clock.
    pub fn store_timestamp(&self) -> i64 {
        self.long(self.store_timestamp_at())
    }

    /// The address under which the storing broker was known.
    pub fn store_host(&self) -> SocketAddr {
        self.host(self.store_timestamp_at() + 8, self.store_v6)
    }

    /// How often the message was consumed in vain so far.
    pub fn reconsume_times(&self) -> i32 {
        self.int(self.body_at as usize - 16)
    }

    /// Physical offset of the half message, or 0.
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.long(self.body_at as usize - 12)
    }

    /// The body as stored, perhaps compressed.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_range()]
    }

    /// Where the body stands in the record.
    pub(crate) fn body_range(&self) -> std::ops::Range<usize> {
        self.body_at as usize..(self.body_at + self.body_len) as usize
    }

    /// The topic.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The encoded properties.
    pub fn properties(&self) -> &'a [u8] {
        &self.bytes[self.properties_at as usize..]
    }

    /// The value of one property; of several the last one counts.
    pub fn property(&self, name: &str) -> Option<&'a str> {
        property(self.properties(), name)
    }

    fn store_timestamp_at(&self) -> usize {
        BORN_HOST_AT + if self.born_v6 { 20 } else { 8 }
    }

    // `read` has checked that everything up to the properties is there.
    fn int(&self, at: usize) -> i32 {
        int(self.bytes, at).unwrap_or_default()
    }

    fn long(&self, at: usize) -> i64 {
        self.bytes.get(at..at + 8).map_or(0, |bytes| i64::from_be_bytes(bytes.try_into().unwrap_or_default()))
    }

    fn host(&self, at: usize, v6: bool) -> SocketAddr {
        let ip: IpAddr = if v6 {
            let octets: [u8; 16] = self.bytes[at..at + 16].try_into().unwrap_or_default();
            Ipv6Addr::from(octets).into()
        } else {
            let octets: [u8; 4] = self.bytes[at..at + 4].try_into().unwrap_or_default();
            Ipv4Addr::from(octets).into()
        };
        SocketAddr::new(ip, self.int(at + if v6 { 16 } else { 4 }) as u16)
    }
}

impl std::fmt::Debug for RecordView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordView")
            .field("topic", &self.topic)
            .field("queue_id", &self.queue_id())
            .field("queue_offset", &self.queue_offset())
            .field("physical_offset", &self.physical_offset())
            .field("total_size", &self.total_size())
            .finish_non_exhaustive()
    }
}

/// The records that stand back to back in the body of a pull response. After the first one that is not valid the
/// iteration ends with its error.
pub fn records(body: &[u8]) -> impl Iterator<Item = Result<RecordView<'_>>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = RecordView::parse(rest);
        rest = match &record {
            Ok(record) => &rest[record.total_size()..],
            Err(_) => &[],
        };
        Some(record)
    })
}

/// Checks what the format cannot hold: names the field, its length and the limit.
pub(crate) fn check_lengths(record: &NewRecord<'_>) -> std::result::Result<(), String> {
    check_properties(record.properties)?;
    if record.topic.is_empty() {
        return Err("the topic is empty".into());
    }
    Ok(())
}

/// Whether a record takes these encoded properties.
pub(crate) fn check_properties(properties: &[u8]) -> std::result::Result<(), String> {
    if properties.len() > MAX_PROPERTIES {
        let length = properties.len();
        return Err(format!("the properties have {length} bytes, a record holds at most {MAX_PROPERTIES}"));
    }
    // Text has none. After a crash zeros are taken for a part that did not come to the disk.
    let has_zeros = |bytes: &[u8]| bytes.split(|byte| *byte != 0).any(|zeros| zeros.len() >= SECTOR);
    if properties.ends_with(&[0]) || properties.len() >= SECTOR && has_zeros(properties) {
        return Err(format!("the properties end with a zero byte, or have {SECTOR} of them in a row"));
    }
    Ok(())
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn corrupt(what: String) -> Error {
    Error::new(ErrorKind::Corrupt, "read record", what)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
