//! Frames that Apache's brokers, name servers and clients (5.3.3, some 4.9.4) exchanged: every one decodes, those with
//! a typed form into it, and encodes back to the same fields and body.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use ferromq::wire::{frame, Encoding, Frame};
use flate2::read::GzDecoder;
use serde_json::Value;

/// A line of the recording: what Apache's own decoder saw, and the bytes.
struct Recorded {
    line: Value,
    raw: Vec<u8>,
}

impl Recorded {
    fn text(&self, name: &str) -> &str {
        self.line[name].as_str().unwrap_or_default()
    }

    fn number(&self, name: &str) -> i64 {
        self.line[name].as_i64().unwrap_or_default()
    }

    fn is_response(&self) -> bool {
        self.text("kind") == "response"
    }

    /// Names the frame in failures.
    fn place(&self) -> String {
        let code = if self.is_response() { "requestCodeName" } else { "codeName" };
        format!("{} #{} {} {}", self.text("session"), self.number("seq"), self.text("kind"), self.text(code))
    }
}

/// Calls `each` for every frame that was recorded whole; returns how many lines of which kind were left out.
fn recorded(mut each: impl FnMut(Recorded)) -> BTreeMap<String, usize> {
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
