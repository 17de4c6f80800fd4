//! The JSON header (protocol reference, section 1.1), read and written by hand: this is on the way of every message.
//!
//! ```json
//! {"code":11,"extFields":{"topic":"t"},"flag":0,"language":"JAVA","opaque":0,"serializeTypeCurrentRPC":"JSON","version":0}
//! ```

use std::borrow::Cow;

use super::fields::{Part, Source, Span};
use super::frame::{Frame, Head};
use super::writer::FieldWriter;
use super::{FrameError, Language};

/// Objects and lists inside each other, in members that nobody reads.
const MAX_DEPTH: usize = 32;

/// Fills `frame` from a JSON header. Unknown members are passed over.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Result<(), FrameError> {
    let text = std::str::from_utf8(header)
        .map_err(|error| FrameError::Header { at: error.valid_up_to(), what: "not UTF-8" })?;
    frame.fields = super::Fields::new(Source::Json(text));
    let mut scanner = Scanner { text, at: 0 };
    scanner.object(|scanner, key| match key {
        "code" => scanner.int().map(|value| frame.code = value),
        "extFields" => scanner.fields(frame),
        "flag" => scanner.int().map(|value| frame.flag = value),
        "language" => scanner.language().map(|value| frame.language = value),
        "opaque" => scanner.int().map(|value| frame.opaque = value),
        "remark" => scanner.optional_text().map(|value| frame.remark = value),
        "version" => scanner.int().map(|value| frame.version = value),
        _ => scanner.skip(0),
    })?;
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(scanner.fault("something behind the header's closing brace")),
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn fault(&self, what: &'static str) -> FrameError {
        FrameError::Header { at: self.at, what }
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    /// Reads an object; `member` is called behind each key's colon and reads the value.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        if !self.take(b'{') {
            return Err(self.fault("expected {"));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            let key = &self.text[key.0..key.1];
            if !self.take(b':') {
                return Err(self.fault("expected :"));
            }
            member(self, key)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault("expected , or }"));
            }
        }
    }

    /// The fields: an object whose values are strings; numbers and booleans of careless peers are taken as their text.
    fn fields(&mut self, frame: &mut Frame<'a>) -> Result<(), FrameError> {
        frame.fields.clear();
        if self.peek() == Some(b'n') {
            return self.skip(0);
        }
        if !self.take(b'{') {
            return Err(self.fault("extFields: expected {"));
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let (at, end, escaped) = self.string()?;
            let name = Part::new(at, end, escaped);
            if !self.take(b':') {
                return Err(self.fault("expected :"));
            }
            if let Some(value) = self.field_value()? {
                if !frame.fields.push(Span { name, value }) {
                    return Err(self.fault("over 1024 fields"));
                }
            }
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault("expected , or }"));
            }
        }
    }

    fn field_value(&mut self) -> Result<Option<Part>, FrameError> {
        match self.peek() {
            Some(b'"') => self.string().map(|(at, end, escaped)| Some(Part::new(at, end, escaped))),
            Some(b'n') => self.skip(0).map(|()| None),
            _ => {
                let at = self.at;
                self.skip(0)?;
                Ok(Some(Part::new(at, self.at, false)))
            }
        }
    }

    /// A string's bounds without its quotes, and whether there are escapes in it, which are checked.
    #[inline]
    fn string(&mut self) -> Result<(usize, usize, bool), FrameError> {
        if !self.take(b'"') {
            return Err(self.fault("expected a string"));
        }
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = quote_or_escape(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start, self.at - 1, escaped));
                }
                Some(_) => self.escape()?,
                None => return Err(self.fault("a string without end")),
            }
            escaped = true;
        }
    }

    /// Passes an escape.
    fn escape(&mut self) -> Result<(), FrameError> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.fault("an escape \\u without four hex digits"));
                }
                self.at += 6;
            }
            _ => return Err(self.fault("an unknown escape")),
        }
        Ok(())
    }

    /// A number of 32 bits, perhaps in quotes; null counts as 0.
    fn int(&mut self) -> Result<i32, FrameError> {
        let raw = match self.peek() {
            Some(b'"') => self.string().map(|(at, end, _)| &self.text[at..end])?,
            Some(b'n') => return self.skip(0).map(|()| 0),
            _ => self.literal()?,
        };
        raw.parse().map_err(|_| self.fault("expected a number of 32 bits"))
    }

    fn language(&mut self) -> Result<Language, FrameError> {
        match self.peek() {
            Some(b'"') => {
                let (at, end, _) = self.string()?;
                Ok(Language::from_name(&self.text[at..end]).unwrap_or(Language::OTHER))
            }
            Some(b'n') => self.skip(0).map(|()| Language::OTHER),
            _ => self.int().map(|number| u8::try_from(number).map_or(Language::OTHER, Language)),
        }
    }

    fn optional_text(&mut self) -> Result<Option<Cow<'a, str>>, FrameError> {
        if self.peek() == Some(b'n') {
            return self.skip(0).map(|()| None);
        }
        let (at, end, escaped) = self.string()?;
        let raw = &self.text[at..end];
        Ok(Some(if escaped { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }))
    }

    /// A number, true, false or null.
    fn literal(&mut self) -> Result<&'a str, FrameError> {
        self.peek();
        let rest = &self.text[self.at..];
        let part_of_it = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = rest.bytes().position(|byte| !part_of_it(byte)).unwrap_or(rest.len());
        let literal = &rest[..end];
        let number = matches!(literal.as_bytes().first(), Some(b'-' | b'0'..=b'9'));
        if !number && !matches!(literal, "true" | "false" | "null") {
            return Err(self.fault("expected a value"));
        }
        self.at += end;
        Ok(literal)
    }

    /// Passes any value.
    fn skip(&mut self, depth: usize) -> Result<(), FrameError> {
        if depth > MAX_DEPTH {
            return Err(self.fault("over 32 objects and lists inside each other"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(|scanner, _| scanner.skip(depth + 1)),
            Some(b'[') => self.skip_list(depth),
            _ => self.literal().map(|_| ()),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Result<(), FrameError> {
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth + 1)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault("expected , or ]"));
            }
        }
    }
}

/// The position of the next `"` or `\` from `at` on, or the end. Eight bytes a step.
#[inline]
fn quote_or_escape(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    // The top bit of every byte that is zero; of bytes above a zero byte perhaps too, hence the lowest counts.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// The text of a string whose escapes were checked when it was scanned. Half a surrogate pair becomes U+FFFD.
pub(super) fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let kind = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        text.push(match kind {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => unicode(&mut rest),
            other => char::from(other),
        });
    }
    text.push_str(rest);
    text
}

/// The character of the hex digits that `rest` begins with, and of the escape behind them if they are one pair.
fn unicode(rest: &mut &str) -> char {
    let unit = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let high = unit(rest).unwrap_or(0xFFFD);
    *rest = rest.get(4..).unwrap_or_default();
    if (0xD800..0xDC00).contains(&high) {
        if let Some(low @ 0xDC00..0xE000) = rest.strip_prefix("\\u").and_then(unit) {
            *rest = &rest[6..];
            return char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or('\u{FFFD}');
        }
    }
    char::from_u32(high).unwrap_or('\u{FFFD}')
}

/// Appends a JSON header to `out`.
pub(super) fn write(out: &mut Vec<u8>, head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>)) {
    out.extend_from_slice(b"{\"code\":");
    push_int(out, head.code.into());
    let mut writer = FieldWriter::json(out);
    fields(&mut writer);
    if writer.any {
        out.push(b'}');
    }
    out.extend_from_slice(b",\"flag\":");
    push_int(out, head.flag.into());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(head.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    push_int(out, head.opaque.into());
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":");
        push_string(out, remark);
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    push_int(out, head.version.into());
    out.push(b'}');
}

/// Appends a number in decimal.
#[inline]
pub(super) fn push_int(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a string with its quotes.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        push_escape(out, *byte);
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
