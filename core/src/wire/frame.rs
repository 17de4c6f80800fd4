//! The frame: length, serialization, header, body (protocol reference, section 1).
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 4 | length of everything after this field |
//! | 4 | 1 | header serialization: 0 JSON, 1 ROCKETMQ |
//! | 5 | 3 | header length H |
//! | 8 | H | header |
//! | 8+H | rest | body, may be empty |

use std::borrow::Cow;

use super::writer::FieldWriter;
use super::{binary_header, json_header, Encoding, Fields, FrameError, Language, RequestCode, ResponseCode};

/// Bits of a frame's flag.
pub mod flag {
    /// The frame is a response.
    pub const RESPONSE: i32 = 1;
    /// The frame is a request that must not be answered.
    pub const ONEWAY: i32 = 2;
}

/// Length field and header length field.
const PREFIX: usize = 8;
const MAX_HEADER: usize = (1 << 24) - 1;

/// The length in bytes of the frame that `buffer` begins with, its length field included, as soon as four bytes are
/// there. Fails if no such frame exists or it is longer than `max`: then nothing needs to be read or allocated for it.
pub fn length(buffer: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(field) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*field);
    let whole = usize::try_from(length).ok().filter(|length| *length >= 4).map(|length| length + 4);
    let whole = whole.ok_or(FrameError::Length(length))?;
    match whole <= max {
        true => Ok(Some(whole)),
        false => Err(FrameError::TooLong { length: whole, max }),
    }
}

/// A frame: request or response, with its fields not yet interpreted. Borrows from the bytes it was read from.
#[derive(Debug, Clone, PartialEq)]
#[doc(alias = "RemotingCommand")]
pub struct Frame<'a> {
    /// How the header was encoded.
    pub encoding: Encoding,
    /// [`RequestCode`] of a request, [`ResponseCode`] of a response.
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Version ordinal of the sender, see [`super::version`].
    pub version: i32,
    /// Chosen by the requester, repeated in the response.
    pub opaque: i32,
    /// Bits of [`flag`].
    pub flag: i32,
    /// Text of an error.
    pub remark: Option<Cow<'a, str>>,
    /// The header's fields.
    pub fields: Fields<'a>,
    /// The body.
    pub body: &'a [u8],
}

/// What a header says besides its fields.
pub(super) struct Head<'a> {
    pub code: i32,
    pub language: Language,
    pub version: i32,
    pub opaque: i32,
    pub flag: i32,
    pub remark: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// Reads a whole frame, its length field included.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let length = length(bytes, usize::MAX)?.filter(|length| *length >= PREFIX && bytes.len() >= PREFIX);
        if length != Some(bytes.len()) {
            return Err(FrameError::Incomplete { length: length.unwrap_or(PREFIX), found: bytes.len() });
        }
        let (prefix, rest) = bytes.split_at(PREFIX);
        let header = u32::from_be_bytes([0, prefix[5], prefix[6], prefix[7]]) as usize;
        if header > rest.len() {
            return Err(FrameError::HeaderLength { header, rest: rest.len() });
        }
        let (header, body) = rest.split_at(header);
        let encoding = match prefix[4] {
            0 => Encoding::Json,
            1 => Encoding::Binary,
            other => return Err(FrameError::Encoding(other)),
        };
        let mut frame = Frame {
            encoding,
            code: 0,
            language: Language::OTHER,
            version: 0,
            opaque: 0,
            flag: 0,
            remark: None,
            fields: Fields::none(),
            body,
        };
        match encoding {
            Encoding::Json => json_header::decode(header, &mut frame)?,
            Encoding::Binary => binary_header::decode(header, &mut frame)?,
        }
        Ok(frame)
    }

    /// Whether this answers a request of ours.
    pub fn is_response(&self) -> bool {
        self.flag & flag::RESPONSE != 0
    }

    /// Whether this request must not be answered.
    pub fn is_oneway(&self) -> bool {
        self.flag & flag::ONEWAY != 0
    }

    /// The code of a request.
    pub fn request_code(&self) -> RequestCode {
        RequestCode(self.code)
    }

    /// The code of a response.
    pub fn response_code(&self) -> ResponseCode {
        ResponseCode(self.code)
    }

    /// Appends the frame to `out` as it is, with its own sender's language and version.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let head = Head {
            code: self.code,
            language: self.language,
            version: self.version,
            opaque: self.opaque,
            flag: self.flag,
            remark: self.remark.as_deref(),
        };
        write(out, self.encoding, &head, self.body.len(), |writer| {
            for (name, value) in self.fields.iter() {
                writer.text(&name, &value);
            }
        })?;
        out.extend_from_slice(self.body);
        Ok(())
    }
}

/// Appends everything but the body, of which the length is needed. A code that 16 bits do not hold is written in
/// JSON. On failure `out` is as it was.
pub(super) fn write(
    out: &mut Vec<u8>,
    encoding: Encoding,
    head: &Head<'_>,
    body: usize,
    fields: impl FnOnce(&mut FieldWriter<'_>),
) -> Result<(), FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    let encoding = if i16::try_from(head.code).is_ok() { encoding } else { Encoding::Json };
    match encoding {
        Encoding::Json => json_header::write(out, head, fields),
        Encoding::Binary => binary_header::write(out, head, fields),
    }
    let header = out.len() - start - PREFIX;
    let length = i32::try_from(header + body + 4).ok().filter(|_| header <= MAX_HEADER);
    let Some(length) = length else {
        out.truncate(start);
        return Err(FrameError::Unwritable { header, body });
    };
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&(header as u32 | (encoding as u32) << 24).to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame around a header, with lengths as they should be.
    fn framed(encoding: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = ((header.len() + body.len() + 4) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(header.len() as u32 | u32::from(encoding) << 24).to_be_bytes());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(body);
        bytes
    }

    fn refused(bytes: &[u8]) -> String {
        Frame::decode(bytes).unwrap_err().to_string()
    }

    #[test]
    fn the_length_is_known_or_refused_before_anything_is_read() {
        assert_eq!(length(&[], 100), Ok(None));
        assert_eq!(length(&[0, 0, 0], 100), Ok(None));
        assert_eq!(length(&[0, 0, 0, 96], 100), Ok(Some(100)));
        assert_eq!(length(&[0, 0, 0, 97], 100), Err(FrameError::TooLong { length: 101, max: 100 }));
        assert_eq!(length(&[0, 0, 0, 3], 100), Err(FrameError::Length(3)));
        assert_eq!(length(&[0xFF; 4], 100), Err(FrameError::Length(-1)));
        let two_gib = length(&[0x7F, 0xFF, 0xFF, 0xFF], 16 << 20).unwrap_err();
        assert_eq!(two_gib.to_string(), "frame of 2147483651 bytes; the limit is 16777216");
    }

    #[test]
    fn frames_that_contradict_themselves_are_refused() {
        assert_eq!(refused(&[]), "0 bytes of a frame of 8");
        assert_eq!(refused(&[0, 0, 0, 4]), "4 bytes of a frame of 8");
        assert_eq!(refused(&[0, 0, 0, 5, 0, 0, 0, 0]), "8 bytes of a frame of 9");
        assert_eq!(
            refused(&framed(2, b"{}", b"")),
            "header serialization 2; 0 (JSON) and 1 (ROCKETMQ) are known"
        );
        let mut long_header = framed(0, b"{}", b"body");
        long_header[7] = 7;
        assert_eq!(refused(&long_header), "header length 7 in a frame with 6 bytes for header and body");
        assert_eq!(refused(&framed(1, &[0; 20], b"")), "header, byte 17: the header ends too early");
        let mut header = [0; 21];
        header[13..17].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(refused(&framed(1, &header, b"")), "header, byte 13: a length beyond the header's end");
        header[13..17].copy_from_slice(&[0xFF; 4]);
        assert_eq!(refused(&framed(1, &header, b"")), "header, byte 13: a length beyond the header's end");
    }

    #[test]
    fn binary_fields_must_fill_their_length() {
        let mut header = [0; 17].to_vec();
        header.extend_from_slice(&9i32.to_be_bytes());
        header.extend_from_slice(b"\0\x01k\0\0\0\x02vw");
        let bytes = framed(1, &header, b"body");
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!((frame.fields.get("k").as_deref(), frame.body), (Some("vw"), &b"body"[..]));
        header[20] = 8;
        assert_eq!(
            refused(&framed(1, &header, b"")),
            "header, byte 30: a field reaches beyond the fields' length"
        );
        header[20] = 9;
        header[22] = 200;
        assert_eq!(refused(&framed(1, &header, b"")), "header, byte 23: a length beyond the header's end");
        header[22] = 1;
        header[28] = 0xFF;
        assert_eq!(refused(&framed(1, &header, b"")), "header, byte 28: not UTF-8");
    }

    #[test]
    fn json_headers_that_are_none_are_refused_with_their_place() {
        let refused = |header: &str| refused(&framed(0, header.as_bytes(), b""));
        assert_eq!(refused(""), "header, byte 0: expected {");
        assert_eq!(refused("{\"code\":1"), "header, byte 9: expected , or }");
        assert_eq!(refused("{\"code\":1} x"), "header, byte 11: something behind the header's closing brace");
        assert_eq!(refused("{\"code\":12345678901}"), "header, byte 19: expected a number of 32 bits");
        assert_eq!(refused("{\"extFields\":{\"a\":\"b"), "header, byte 20: a string without end");
        assert_eq!(refused("{\"remark\":\"\\x\"}"), "header, byte 11: an unknown escape");
        assert_eq!(
            refused("{\"remark\":\"\\u12g4\"}"),
            "header, byte 11: an escape \\u without four hex digits"
        );
        assert_eq!(refused("{\"x\":nope}"), "header, byte 9: expected a value");
        let deep = format!("{{\"x\":{}1}}", "[".repeat(1_000_000));
        assert_eq!(refused(&deep), "header, byte 38: over 32 objects and lists inside each other");
        let fields: Vec<_> = (0..1025).map(|at| format!("\"{at}\":\"\"")).collect();
        assert!(refused(&format!("{{\"extFields\":{{{}}}}}", fields.join(","))).contains("over 1024 fields"));
        assert_eq!(
            Frame::decode(&framed(0, b"{\"remark\":\"\xff\"}", b"")).unwrap_err().to_string(),
            "header, byte 11: not UTF-8"
        );
    }

    #[test]
    fn careless_json_is_read() {
        let header = "{ \"code\" : \"310\" ,\r\n\"language\":\"COBOL\",\"unknown\":{\"a\":[1,{\"b\":null}]},\"flag\":null,
            \"extFields\": {\"n\":-1.5e3, \"t\":true, \"gone\":null, \"\\u0061b\":\"\\\"\\n\\u0001\\ud83d\\ude00\\ud83d\"},
            \"version\":317,\"opaque\":-2147483648,\"remark\":\"\"}\n";
        let bytes = framed(0, header.as_bytes(), b"");
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!((frame.code, frame.flag, frame.version, frame.opaque), (310, 0, 317, i32::MIN));
        assert_eq!((frame.language, frame.remark.as_deref()), (Language::OTHER, Some("")));
        let fields: Vec<_> = frame.fields.iter().collect();
        let field = |name, value| (Cow::Borrowed(name), Cow::Borrowed(value));
        let odd = "\"\n\u{1}\u{1f600}\u{fffd}";
        assert_eq!(fields, [field("n", "-1.5e3"), field("t", "true"), field("ab", odd)]);
        assert_eq!(frame.fields.get("ab").unwrap(), odd);
        assert_eq!(frame.fields.get("gone"), None);
        for empty in ["{}", "{\"extFields\":null}", "{\"extFields\":{}}", " { \"extFields\" : { } } "] {
            assert!(Frame::decode(&framed(0, empty.as_bytes(), b"")).unwrap().fields.is_empty());
        }
    }

    #[test]
    fn fields_beyond_the_inline_ones_are_found() {
        let fields: Vec<_> = (0..100).map(|at| format!("\"name{at}\":\"{at}\"")).collect();
        let bytes = framed(0, format!("{{\"extFields\":{{{}}}}}", fields.join(",")).as_bytes(), b"");
        let frame = Frame::decode(&bytes).unwrap();
        assert_eq!(frame.fields.len(), 100);
        assert!((0..100).all(|at| frame.fields.get(&format!("name{at}")).unwrap() == at.to_string()));
        assert_eq!(frame.fields.get("name100"), None);
    }

    #[test]
    fn codes_of_more_than_16_bits_go_in_json() {
        let head =
            |code| Head { code, language: Language::RUST, version: 409, opaque: 1, flag: 0, remark: None };
        for (code, encoding) in [(32767, Encoding::Binary), (32768, Encoding::Json), (200050, Encoding::Json)]
        {
            let mut bytes = Vec::new();
            write(&mut bytes, Encoding::Binary, &head(code), 0, |_| {}).unwrap();
            let frame = Frame::decode(&bytes).unwrap();
            assert_eq!((frame.code, frame.encoding), (code, encoding));
        }
    }

    #[test]
    fn a_header_over_16_mib_is_not_written() {
        let head = Head { code: 0, language: Language::RUST, version: 0, opaque: 0, flag: 0, remark: None };
        let long = "x".repeat(1 << 24);
        for encoding in [Encoding::Json, Encoding::Binary] {
            let mut bytes = b"before".to_vec();
            let written = write(&mut bytes, encoding, &head, 0, |writer| writer.text("long", &long));
            assert!(matches!(written, Err(FrameError::Unwritable { .. })));
            assert_eq!(bytes, b"before");
        }
        let written = write(&mut Vec::new(), Encoding::Json, &head, i32::MAX as usize, |_| {});
        assert!(matches!(written, Err(FrameError::Unwritable { .. })));
    }
}
