//! The wire protocol by hand: just enough to build requests and to read the code and opaque of a response.
//!
//! Independent of the library's codec, so that the load is the same stranger to both brokers. Requests look like
//! those of Apache's Java client 5.3.3; the layouts are those of the protocol reference, sections 1, 3 and 4.

use memchr::memmem;

/// Request code of SEND_MESSAGE_V2.
pub const SEND_V2: u16 = 310;
/// Request code of PULL_MESSAGE.
pub const PULL: u16 = 11;
/// Request code of UPDATE_AND_CREATE_TOPIC.
pub const CREATE_TOPIC: u16 = 17;
/// Version ordinal of the client that the load poses as, 5.3.3.
const VERSION: u16 = 479;
/// Opaques start here so that all have ten digits, and a JSON header can be patched in place.
pub const OPAQUE_BASE: u32 = 1_000_000_000;
/// Opaques end here: the largest number that Java's int holds.
const OPAQUE_END: u32 = i32::MAX as u32;
/// Hex digits of the unique key that change from message to message.
const KEY_DIGITS: usize = 16;
/// No sensible response is larger; a length above means that the stream is not what we think.
const FRAME_LIMIT: usize = 16 << 20;

/// How request headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Header {
    /// What Java clients write unless told otherwise.
    Json,
    /// The ROCKETMQ form.
    Binary,
}

/// Appends a request frame; returns where in `out` its opaque stands.
pub fn request(
    out: &mut Vec<u8>,
    form: Header,
    code: u16,
    opaque: u32,
    fields: &[(&str, &str)],
    body: &[u8],
) -> usize {
    assert!((OPAQUE_BASE..OPAQUE_END).contains(&opaque), "opaque {opaque} is out of range");
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    let opaque_at = match form {
        Header::Json => json_header(out, code, opaque, fields),
        Header::Binary => binary_header(out, code, opaque, fields),
    };
    let header = (out.len() - start - 8) as u32;
    out.extend_from_slice(body);
    let length = (out.len() - start - 4) as u32;
    let kind = u32::from(form == Header::Binary) << 24;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&(kind | header).to_be_bytes());
    opaque_at
}

fn json_header(out: &mut Vec<u8>, code: u16, opaque: u32, fields: &[(&str, &str)]) -> usize {
    out.extend_from_slice(format!("{{\"code\":{code},\"extFields\":{{").as_bytes());
    for (n, (name, value)) in fields.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        out.extend_from_slice(format!("{comma}\"{name}\":\"").as_bytes());
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..=31 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => out.push(byte),
            }
        }
        out.push(b'"');
    }
    out.extend_from_slice(b"},\"flag\":0,\"language\":\"JAVA\",\"opaque\":");
    let opaque_at = out.len();
    let tail = format!("{opaque},\"serializeTypeCurrentRPC\":\"JSON\",\"version\":{VERSION}}}");
    out.extend_from_slice(tail.as_bytes());
    opaque_at
}

fn binary_header(out: &mut Vec<u8>, code: u16, opaque: u32, fields: &[(&str, &str)]) -> usize {
    out.extend_from_slice(&code.to_be_bytes());
    out.push(0);
    out.extend_from_slice(&VERSION.to_be_bytes());
    let opaque_at = out.len();
    out.extend_from_slice(&opaque.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    let entries: usize = fields.iter().map(|(name, value)| 6 + name.len() + value.len()).sum();
    out.extend_from_slice(&(entries as u32).to_be_bytes());
    for (name, value) in fields {
        out.extend_from_slice(&(name.len() as u16).to_be_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&(value.len() as u32).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    opaque_at
}

/// A send request encoded once; each message is a copy with opaque and unique key patched.
#[derive(Clone)]
pub struct SendTemplate {
    bytes: Vec<u8>,
    form: Header,
    opaque_at: usize,
    key_at: usize,
    body_at: usize,
}

impl SendTemplate {
    /// A message of `body` bytes for one queue, with the properties that a Java client gives it: a unique key,
    /// which brokers index, and WAIT. `sender` (below 2^32) keeps the unique keys of connections apart.
    pub fn new(form: Header, topic: &str, queue: u32, body: &[u8], sender: u64, born_ms: u64) -> Self {
        SendTemplate::with(form, topic, queue, body, sender, born_ms, "")
    }

    /// As [`SendTemplate::new`], with further encoded properties.
    pub fn with(
        form: Header,
        topic: &str,
        queue: u32,
        body: &[u8],
        sender: u64,
        born_ms: u64,
        more: &str,
    ) -> Self {
        let key = format!("7F000001{:08X}{:0KEY_DIGITS$X}", sender as u32, 0);
        let properties = format!("UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}{more}");
        let (queue, born) = (queue.to_string(), born_ms.to_string());
        let fields = [
            ("a", "bench-producer"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue.as_str()),
            ("f", "0"),
            ("g", born.as_str()),
            ("h", "0"),
            ("i", properties.as_str()),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        let mut bytes = Vec::new();
        let opaque_at = request(&mut bytes, form, SEND_V2, OPAQUE_BASE, &fields, body);
        let key_start = memmem::find(&bytes, key.as_bytes()).expect("the key was just written");
        let key_at = key_start + key.len() - KEY_DIGITS;
        let body_at = bytes.len() - body.len();
        SendTemplate { bytes, form, opaque_at, key_at, body_at }
    }

    /// Appends the frame of one message.
    pub fn append(&self, out: &mut Vec<u8>, opaque: u32, key: u64) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let frame = &mut out[start..];
        match self.form {
            Header::Json => decimal(&mut frame[self.opaque_at..self.opaque_at + 10], opaque),
            Header::Binary => {
                frame[self.opaque_at..self.opaque_at + 4].copy_from_slice(&opaque.to_be_bytes())
            }
        }
        hex(&mut frame[self.key_at..self.key_at + KEY_DIGITS], key);
    }

    /// Where the body starts in a frame that `append` wrote.
    pub fn body_at(&self) -> usize {
        self.body_at
    }
}

fn decimal(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789ABCDEF"[(number & 15) as usize];
        number >>= 4;
    }
}

/// One response, borrowed from the receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Response code, 0 for success.
    pub code: i32,
    /// The opaque of the request it answers.
    pub opaque: u32,
    /// The header as it came, for error texts and rarely needed fields.
    pub header: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

impl Response<'_> {
    /// A field of the header, looked up slowly; None where it is absent or empty.
    pub fn field(&self, name: &str) -> Option<&str> {
        let json = memmem::find(self.header, format!("\"{name}\":\"").as_bytes());
        let value = if let (Some(at), Some(b'{')) = (json, self.header.first()) {
            let rest = &self.header[at + name.len() + 4..];
            &rest[..memchr::memchr(b'"', rest)?]
        } else {
            let mut key = (name.len() as u16).to_be_bytes().to_vec();
            key.extend_from_slice(name.as_bytes());
            let at = memmem::find(self.header, &key)? + key.len();
            let length = be32(self.header.get(at..)?)? as usize;
            self.header.get(at + 4..at + 4 + length)?
        };
        std::str::from_utf8(value).ok().filter(|text| !text.is_empty())
    }
}

/// What the front of a receive buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A whole frame, and its length in the buffer.
    Whole(Response<'a>, usize),
    /// More bytes are needed: this many in all, as far as known.
    Partial(usize),
}

/// Reads the frame at the front of `buffer`, looking at no more of it than length, code and opaque.
pub fn front(buffer: &[u8]) -> Result<Front<'_>, String> {
    let (Some(length), Some(marked)) = (be32(buffer), buffer.get(4..).and_then(be32)) else {
        return Ok(Front::Partial(8));
    };
    let total = length as usize + 4;
    let body_at = 8 + (marked & 0x00FF_FFFF) as usize;
    if total > FRAME_LIMIT || body_at > total {
        return Err(format!("not a frame: length {length}, header {marked:#x}"));
    }
    if buffer.len() < total {
        return Ok(Front::Partial(total));
    }
    let header = &buffer[8..body_at];
    let head = if marked >> 24 == 0 { json_head(header) } else { binary_head(header) };
    let (code, opaque) =
        head.ok_or_else(|| format!("no code and opaque in header {}", header.escape_ascii()))?;
    Ok(Front::Whole(Response { code, opaque, header, body: &buffer[body_at..total] }, total))
}

fn json_head(header: &[u8]) -> Option<(i32, u32)> {
    Some((json_number(header, b"\"code\":")? as i32, json_number(header, b"\"opaque\":")? as u32))
}

/// The number after `key`; ext fields cannot be mistaken for it, since their values are quoted.
fn json_number(header: &[u8], key: &[u8]) -> Option<i64> {
    memmem::find_iter(header, key).find_map(|at| {
        let rest = header[at + key.len()..].trim_ascii_start();
        let (sign, digits) = rest.strip_prefix(b"-").map_or((1, rest), |digits| (-1, digits));
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fold = |sum: i64, digit: &u8| sum * 10 + i64::from(digit - b'0');
        (1..=10).contains(&length).then(|| sign * digits[..length].iter().fold(0, fold))
    })
}

fn binary_head(header: &[u8]) -> Option<(i32, u32)> {
    let code = i16::from_be_bytes([*header.first()?, *header.get(1)?]);
    Some((i32::from(code), header.get(5..).and_then(be32)?))
}

/// The big-endian number at the front, if four bytes are there.
pub fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(frame: &[u8]) -> (Response<'_>, usize) {
        match front(frame).expect("a frame") {
            Front::Whole(response, length) => (response, length),
            partial => panic!("{partial:?}"),
        }
    }

    #[test]
    fn bytes_of_a_json_request() {
        let mut out = Vec::new();
        request(&mut out, Header::Json, 17, OPAQUE_BASE + 7, &[("topic", "a\u{1}\"b")], b"xy");
        let header = concat!(
            r#"{"code":17,"extFields":{"topic":"a\u0001\"b"},"flag":0,"language":"JAVA","#,
            r#""opaque":1000000007,"serializeTypeCurrentRPC":"JSON","version":479}"#
        );
        assert_eq!(&out[8..8 + header.len()], header.as_bytes());
        assert_eq!(out[..4], (header.len() as u32 + 6).to_be_bytes());
        assert_eq!(out[4..8], (header.len() as u32).to_be_bytes());
        assert_eq!(&out[8 + header.len()..], b"xy");
    }

    #[test]
    fn bytes_of_a_binary_request() {
        let mut out = Vec::new();
        request(&mut out, Header::Binary, 310, OPAQUE_BASE, &[("b", "tt")], b"z");
        let want = b"\0\0\0\x23\x01\0\0\x1e\x01\x36\0\x01\xdf\x3b\x9a\xca\0\0\0\0\0\0\0\0\0\0\0\0\x09\0\x01b\0\0\0\x02ttz";
        assert_eq!(out, want);
    }

    #[test]
    fn patched_messages_are_what_encoding_them_anew_gives() {
        for form in [Header::Json, Header::Binary] {
            let template = SendTemplate::new(form, "t", 3, b"body", 5, 1_700_000_000_000);
            let mut out = b"before".to_vec();
            template.append(&mut out, OPAQUE_BASE + 123_456_789, 0xABCDEF);
            let frame = &out[6..];
            let (parsed, length) = whole(frame);
            assert_eq!((parsed.opaque, parsed.code, length), (OPAQUE_BASE + 123_456_789, 310, frame.len()));
            assert_eq!(&frame[template.body_at()..], b"body");
            assert_eq!(parsed.body, b"body");
            assert_eq!(parsed.field("e"), Some("3"));
            let key = "7F000001000000050000000000ABCDEF";
            assert!(parsed.field("i").is_some_and(|properties| properties.contains(key)));
        }
    }

    #[test]
    fn responses_in_both_forms() {
        let json =
            br#"{"extFields":{"code":"9","opaque":"8","queueId":"1"},"code": -3,"flag":1,"opaque": 42}"#;
        let mut frame = (json.len() as u32 + 4).to_be_bytes().to_vec();
        frame.extend_from_slice(&(json.len() as u32).to_be_bytes());
        frame.extend_from_slice(json);
        let length = frame.len();
        frame.extend_from_slice(b"the next frame");
        let (response, used) = whole(&frame);
        assert_eq!((response.code, response.opaque, used), (-3, 42, length));
        assert_eq!(response.field("queueId"), Some("1"));
        assert_eq!(response.field("msgId"), None);

        let mut binary = Vec::new();
        request(&mut binary, Header::Binary, 19, OPAQUE_BASE, &[("nextBeginOffset", "77")], b"");
        let (response, _) = whole(&binary);
        assert_eq!((response.code, response.opaque), (19, OPAQUE_BASE));
        assert_eq!(response.field("nextBeginOffset"), Some("77"));
    }

    #[test]
    fn every_cut_is_partial_and_nonsense_is_an_error() {
        let mut frame = Vec::new();
        request(&mut frame, Header::Json, 0, OPAQUE_BASE, &[], b"body");
        for cut in 0..frame.len() {
            let want = if cut < 8 { 8 } else { frame.len() };
            assert_eq!(front(&frame[..cut]), Ok(Front::Partial(want)));
        }
        assert!(front(b"\x7f\xff\xff\xff\0\0\0\x01").is_err());
        assert!(front(b"\0\0\0\x05\0\0\0\x09xxxxx").is_err());
        assert!(front(b"\0\0\0\x06\0\0\0\x02{}").is_err());
        assert!(front(b"GET / HTTP/1.1\r\n").is_err());
    }
}
