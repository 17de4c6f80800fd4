//! How a consumed message is written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use ferromq::message::StoredMessage;
use serde::Serialize;

/// What is written of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The body and a line end.
    Raw,
    /// One JSON object a line.
    Json,
    /// A text with the message's parts in it.
    Text(Vec<Piece>),
}

/// A part of a text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Written as it is.
    Literal(Vec<u8>),
    /// The part of a message that this letter stands for.
    Field(char),
}

/// The letters that stand for a part of a message.
const FIELDS: &str = "bktTiBqoscpr";

impl Format {
    /// Reads what `--format` says.
    pub fn parse(text: &str) -> Result<Format, String> {
        match text {
            "raw" => return Ok(Format::Raw),
            "json" => return Ok(Format::Json),
            _ => {}
        }
        let (mut pieces, mut literal, mut chars) = (Vec::new(), String::new(), text.chars());
        while let Some(char) = chars.next() {
            match char {
                '%' => match chars.next() {
                    Some('%') => literal.push('%'),
                    Some(field) if FIELDS.contains(field) => {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal).into()));
                        pieces.push(Piece::Field(field));
                    }
                    other => return Err(unknown('%', other, "%b %k %t %T %i %B %q %o %s %c %p %r %%")),
                },
                '\\' => literal.push(match chars.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some('r') => '\r',
                    Some('0') => '\0',
                    Some('\\') => '\\',
                    other => return Err(unknown('\\', other, "\\n \\t \\r \\0 \\\\")),
                }),
                char => literal.push(char),
            }
        }
        pieces.push(Piece::Literal(literal.into()));
        pieces.retain(|piece| *piece != Piece::Literal(Vec::new()));
        Ok(Format::Text(pieces))
    }

    /// Writes one message.
    pub fn write(&self, message: &StoredMessage, out: &mut impl Write) -> io::Result<()> {
        match self {
            Format::Raw => {
                out.write_all(&message.body)?;
                out.write_all(b"\n")
            }
            Format::Json => {
                serde_json::to_writer(&mut *out, &Object::new(message))?;
                out.write_all(b"\n")
            }
            Format::Text(pieces) => pieces.iter().try_for_each(|piece| match piece {
                Piece::Literal(bytes) => out.write_all(bytes),
                Piece::Field(field) => write_field(*field, message, out),
            }),
        }
    }
}

fn unknown(before: char, found: Option<char>, known: &str) -> String {
    let found = found.map_or_else(|| "nothing".into(), |found| format!("{found:?}"));
    format!("{before} with {found} behind it; known are {known}, and the words raw and json")
}

fn write_field(field: char, message: &StoredMessage, out: &mut impl Write) -> io::Result<()> {
    match field {
        'b' => out.write_all(&message.body),
        'k' => write!(out, "{}", message.keys().collect::<Vec<_>>().join(" ")),
        't' => write!(out, "{}", message.tag().unwrap_or_default()),
        'T' => write!(out, "{}", message.topic),
        'i' => write!(out, "{}", message.message_id()),
        'B' => write!(out, "{}", message.broker_name),
        'q' => write!(out, "{}", message.queue_id),
        'o' => write!(out, "{}", message.queue_offset),
        's' => write!(out, "{}", message.store_timestamp),
        'c' => write!(out, "{}", message.born_timestamp),
        'r' => write!(out, "{}", message.reconsume_times),
        _ => {
            let pairs: Vec<String> =
                message.user_properties().map(|(name, value)| format!("{name}={value}")).collect();
            write!(out, "{}", pairs.join(","))
        }
    }
}

/// A message as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    topic: &'a str,
    broker: &'a str,
    queue_id: i32,
    offset: i64,
    message_id: &'a str,
    offset_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<&'a str, &'a str>,
    flag: i32,
    born_timestamp: i64,
    born_host: String,
    store_timestamp: i64,
    reconsume_times: i32,
    /// If it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// If it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl<'a> Object<'a> {
    fn new(message: &'a StoredMessage) -> Self {
        let body = std::str::from_utf8(&message.body).ok();
        Object {
            topic: &message.topic,
            broker: &message.broker_name,
            queue_id: message.queue_id,
            offset: message.queue_offset,
            message_id: message.message_id(),
            offset_id: &message.offset_id,
            tag: message.tag(),
            keys: message.keys().collect(),
            properties: message.user_properties().collect(),
            flag: message.flag,
            born_timestamp: message.born_timestamp,
            born_host: message.born_host.to_string(),
            store_timestamp: message.store_timestamp,
            reconsume_times: message.reconsume_times,
            body,
            body_base64: body.is_none().then(|| base64(&message.body)),
        }
    }
}

/// Base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= group.len() { DIGITS[value].into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferromq::message::Properties;

    fn message(body: &'static [u8]) -> StoredMessage {
        StoredMessage {
            topic: "Orders".into(),
            body: body.into(),
            flag: 7,
            properties: Properties::from_iter([
                ("TAGS", "paid"),
                ("KEYS", "k1 k2"),
                ("colour", "red"),
                ("a", "1"),
            ]),
            broker_name: "broker-a".into(),
            queue_id: 3,
            queue_offset: 41,
            physical_offset: 9,
            offset_id: "0A".into(),
            sys_flag: 0,
            born_timestamp: 5,
            born_host: "10.0.0.1:4".parse().unwrap(),
            store_timestamp: 6,
            reconsume_times: 2,
        }
    }

    fn written(format: &str, body: &'static [u8]) -> String {
        let mut out = Vec::new();
        Format::parse(format).unwrap().write(&message(body), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn texts_have_the_parts_of_the_message() {
        assert_eq!(written("raw", b"body"), "body\n");
        assert_eq!(written("%k %t %b\\n", b"body"), "k1 k2 paid body\n");
        assert_eq!(
            written("%T/%B/%q/%o\\t%i %s %c %r %p%%", b""),
            "Orders/broker-a/3/41\t0A 6 5 2 a=1,colour=red%"
        );
        assert_eq!(written("", b"body"), "");
        assert_eq!(written("übrig\\\\", b""), "übrig\\");
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (format, named) in [("%x", "'x'"), ("100%", "nothing"), ("\\q", "'q'"), ("\\", "nothing")] {
            let error = Format::parse(format).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn json_is_one_line_and_says_what_the_body_is() {
        let line = written("json", b"say \"hi\"\n");
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["body"], "say \"hi\"\n");
        assert_eq!(object["keys"], serde_json::json!(["k1", "k2"]));
        assert_eq!(object["properties"], serde_json::json!({"a": "1", "colour": "red"}));
        assert_eq!((&object["offset"], &object["bodyBase64"]), (&41.into(), &serde_json::Value::Null));
        let object: serde_json::Value = serde_json::from_str(&written("json", b"\xff\xfe")).unwrap();
        assert_eq!((&object["bodyBase64"], &object["body"]), (&"//4=".into(), &serde_json::Value::Null));
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
