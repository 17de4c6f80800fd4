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
