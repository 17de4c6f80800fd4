//! The ROCKETMQ header (protocol reference, section 1.2).
//!
//! Code (2 bytes), language (1), version (2), opaque (4), flag (4), remark length (4), remark, length of the fields
//! (4), then fields of name length (2), name, value length (4), value. Length 0 means null.

use std::borrow::Cow;

use super::fields::{Part, Source, Span};
use super::frame::{Frame, Head};
use super::writer::FieldWriter;
use super::{FrameError, Language};

/// Fills `frame` from a binary header.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Result<(), FrameError> {
    let mut reader = Reader { bytes: header, at: 0 };
    frame.code = i16::from_be_bytes(reader.array()?).into();
    frame.language = Language(reader.array::<1>()?[0]);
    frame.version = i16::from_be_bytes(reader.array()?).into();
    frame.opaque = i32::from_be_bytes(reader.array()?);
    frame.flag = i32::from_be_bytes(reader.array()?);
    let remark = reader.long_part()?;
    if !remark.is_empty() {
        frame.remark = Some(Cow::Borrowed(std::str::from_utf8(&header[remark]).unwrap_or_default()));
    }
    frame.fields.point_to(Source::Binary(header));
    let length = reader.length()?;
    let end = reader.at + length;
    while reader.at < end {
        let name = reader.short_part()?;
        let value = reader.long_part()?;
        let part = |range: std::ops::Range<usize>| Part::new(range.start, range.end, false);
        if !frame.fields.push(Span { name: part(name), value: part(value) }) {
            return Err(reader.fault("over 1024 fields"));
        }
    }
    match reader.at == end {
        true => Ok(()),
        false => Err(reader.fault("a field reaches beyond the fields' length")),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fault(&self, what: &'static str) -> FrameError {
        FrameError::Header { at: self.at, what }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let bytes = self.bytes.get(self.at..self.at + N).and_then(|bytes| bytes.try_into().ok());
        self.at += N;
        bytes.ok_or_else(|| FrameError::Header { at: self.at - N, what: "the header ends too early" })
    }

    /// A length of four bytes, of bytes that are there.
    fn length(&mut self) -> Result<usize, FrameError> {
        let length = i32::from_be_bytes(self.array()?);
        let fits = usize::try_from(length).ok().filter(|length| *length <= self.bytes.len() - self.at);
        fits.ok_or_else(|| FrameError::Header { at: self.at - 4, what: "a length beyond the header's end" })
    }

    fn long_part(&mut self) -> Result<std::ops::Range<usize>, FrameError> {
        let length = self.length()?;
        self.part(length)
    }

    fn short_part(&mut self) -> Result<std::ops::Range<usize>, FrameError> {
        let length = i16::from_be_bytes(self.array()?);
        let length = usize::try_from(length).map_err(|_| self.fault("a negative length"))?;
        self.part(length)
    }

    /// The bounds of the next `length` bytes, which must be UTF-8.
    fn part(&mut self, length: usize) -> Result<std::ops::Range<usize>, FrameError> {
        let range = self.at..self.at + length;
        let bytes =
            self.bytes.get(range.clone()).ok_or_else(|| self.fault("a length beyond the header's end"))?;
        if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
            return Err(self.fault("not UTF-8"));
        }
        self.at = range.end;
        Ok(range)
    }
}

/// Appends a binary header to `out`. The code must fit into 16 bits.
pub(super) fn write(out: &mut Vec<u8>, head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>)) {
    out.extend_from_slice(&(head.code as i16).to_be_bytes());
    out.push(head.language.0);
    out.extend_from_slice(&(head.version as i16).to_be_bytes());
    out.extend_from_slice(&head.opaque.to_be_bytes());
    out.extend_from_slice(&head.flag.to_be_bytes());
    let remark = head.remark.unwrap_or_default().as_bytes();
    out.extend_from_slice(&(remark.len() as i32).to_be_bytes());
    out.extend_from_slice(remark);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fields(&mut FieldWriter::binary(out));
    let length = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}
