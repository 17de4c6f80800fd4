//! The JSON header (protocol reference, section 1.1), read and written by hand: this is on the way of every message.
//!
//! ```json
//! {"code":11,"extFields":{"topic":"t"},"flag":0,"language":"JAVA","opaque":0,"serializeTypeCurrentRPC":"JSON","version":0}
//! ```

use std::borrow::Cow;

use super::fields::{Part, Source, Span};
use super::frame::{Frame, Head};
use super::text::{decimal, push_escaped, push_int, quote_or_escape};
use super::writer::FieldWriter;
use super::{Fields, FrameError, Language};

/// Objects and lists inside each other, in members that nobody reads.
const MAX_DEPTH: usize = 32;

/// Fills `frame` from a JSON header. Unknown members are passed over.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Result<(), FrameError> {
    let text = std::str::from_utf8(header)
        .map_err(|error| FrameError::Header { at: error.valid_up_to(), what: "not UTF-8" })?;
    let mut scanner = Scanner { text, bytes: header, at: 0 };
    frame.fields.point_to(Source::Json(text));
    scanner.header(frame).map_err(|what| FrameError::Header { at: scanner.at, what })
}

/// Reads on from `at`. What is wrong is said in words; [`decode`] adds the place.
struct Scanner<'a> {
    text: &'a str,
    /// The same as bytes.
    bytes: &'a [u8],
    at: usize,
}

type Scan<T> = Result<T, &'static str>;

impl<'a> Scanner<'a> {
    fn header(&mut self, frame: &mut Frame<'a>) -> Scan<()> {
        self.expect(b'{', "expected {")?;
        if !self.take(b'}') {
            self.member(frame)?;
            while self.take(b',') {
                self.member(frame)?;
            }
            self.expect(b'}', "expected , or }")?;
        }
        match self.peek() {
            0 if self.at == self.bytes.len() => Ok(()),
            _ => Err("something behind the header's closing brace"),
        }
    }

    /// Reads a member of the header. That the known names begin with different letters saves looking for their ends.
    #[inline]
    fn member(&mut self, frame: &mut Frame<'a>) -> Scan<()> {
        match self.byte(self.at + 1) {
            b'c' if self.take_text("\"code\":") => frame.code = self.int()?,
            b'e' if self.take_text("\"extFields\":") => self.fields(&mut frame.fields)?,
            b'f' if self.take_text("\"flag\":") => frame.flag = self.int()?,
            b'l' if self.take_text("\"language\":") => frame.language = self.language()?,
            b'o' if self.take_text("\"opaque\":") => frame.opaque = self.int()?,
            b'r' if self.take_text("\"remark\":") => frame.remark = self.remark()?,
            b's' if self.take_text("\"serializeTypeCurrentRPC\":\"JSON\"") => {}
            b'v' if self.take_text("\"version\":") => frame.version = self.int()?,
            _ => self.member_with_space(frame)?,
        }
        Ok(())
    }

    /// Reads a member that is unknown, or written with white space or escapes.
    fn member_with_space(&mut self, frame: &mut Frame<'a>) -> Scan<()> {
        let key = self.string()?.of(self.text);
        self.expect(b':', "expected :")?;
        match key {
            "code" => frame.code = self.int()?,
            "extFields" => self.fields(&mut frame.fields)?,
            "flag" => frame.flag = self.int()?,
            "language" => frame.language = self.language()?,
            "opaque" => frame.opaque = self.int()?,
            "remark" => frame.remark = self.remark()?,
            "version" => frame.version = self.int()?,
            _ => self.skip(0)?,
        }
        Ok(())
    }

    /// The next byte that is no white space; 0 at the end.
    fn peek(&mut self) -> u8 {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.byte(self.at)
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        let taken = self.byte(self.at) == byte || self.peek() == byte;
        self.at += usize::from(taken);
        taken
    }

    #[inline(always)]
    fn take_text(&mut self, text: &str) -> bool {
        let taken = self.bytes[self.at..].starts_with(text.as_bytes());
        self.at += if taken { text.len() } else { 0 };
        taken
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8, what: &'static str) -> Scan<()> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(what),
        }
    }

    /// The fields: an object whose values are strings; numbers and booleans of careless peers are taken as their text.
    fn fields(&mut self, fields: &mut Fields<'a>) -> Scan<()> {
        fields.clear();
        if self.peek() == b'n' {
            return self.skip(0);
        }
        self.object(|scanner, name| {
            let value = match scanner.byte(scanner.at) {
                b'"' => scanner.string()?,
                _ => match scanner.field_value()? {
                    Some(value) => value,
                    None => return Ok(()),
                },
            };
            match fields.push(Span { name, value }) {
                true => Ok(()),
                false => Err("over 1024 fields"),
            }
        })
    }

    #[cold]
    fn field_value(&mut self) -> Scan<Option<Part>> {
        match self.peek() {
            b'"' => self.string().map(Some),
            b'n' => self.skip(0).map(|()| None),
            _ => {
                let at = self.at;
                self.skip(0)?;
                Ok(Some(Part::new(at, self.at, false)))
            }
        }
    }

    /// Reads an object; `member` is called behind each key's colon and reads the value.
    #[inline(always)]
    fn object(&mut self, mut member: impl FnMut(&mut Self, Part) -> Scan<()>) -> Scan<()> {
        self.expect(b'{', "expected {")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "expected :")?;
            member(self, key)?;
            if !self.take(b',') {
                return self.expect(b'}', "expected , or }");
            }
        }
    }

    /// A string without its quotes. Its escapes are checked.
    #[inline(always)]
    fn string(&mut self) -> Scan<Part> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        self.at = quote_or_escape(self.bytes, start);
        if self.byte(self.at) == b'"' {
            self.at += 1;
            return Ok(Part::new(start, self.at - 1, false));
        }
        self.string_with_escapes(start)
    }

    /// The rest of a string, from its first escape on.
    fn string_with_escapes(&mut self, start: usize) -> Scan<Part> {
        loop {
            match self.byte(self.at) {
                b'"' => {
                    self.at += 1;
                    return Ok(Part::new(start, self.at - 1, true));
                }
                b'\\' => self.escape()?,
                _ => return Err("a string without end"),
            }
            self.at = quote_or_escape(self.bytes, self.at);
        }
    }

    /// Passes an escape.
    fn escape(&mut self) -> Scan<()> {
        match self.byte(self.at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err("an escape \\u without four hex digits");
                }
                self.at += 6;
            }
            _ => return Err("an unknown escape"),
        }
        Ok(())
    }

    /// A number of 32 bits, perhaps in quotes; null counts as 0.
    #[inline]
    fn int(&mut self) -> Scan<i32> {
        let (start, mut number) = (self.at, 0i32);
        // Nine digits fit for sure.
        while let digit @ b'0'..=b'9' = self.byte(self.at) {
            number = number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
            self.at += 1;
        }
        if matches!(self.at - start, 1..=9) && matches!(self.byte(self.at), b',' | b'}') {
            return Ok(number);
        }
        self.at = start;
        self.odd_int()
    }

    fn odd_int(&mut self) -> Scan<i32> {
        let part = match self.peek() {
            b'"' => self.string()?,
            b'n' => return self.skip(0).map(|()| 0),
            _ => self.literal()?,
        };
        let number = decimal(part.of(self.text).as_bytes()).and_then(|number| i32::try_from(number).ok());
        number.ok_or("expected a number of 32 bits")
    }

    fn language(&mut self) -> Scan<Language> {
        match self.peek() {
            b'"' => {
                let name = self.string()?;
                Ok(Language::from_name(name.of(self.text)).unwrap_or(Language::OTHER))
            }
            b'n' => self.skip(0).map(|()| Language::OTHER),
            _ => self.int().map(|number| u8::try_from(number).map_or(Language::OTHER, Language)),
        }
    }

    fn remark(&mut self) -> Scan<Option<Cow<'a, str>>> {
        if self.peek() == b'n' {
            return self.skip(0).map(|()| None);
        }
        let part = self.string()?;
        let raw = part.of(self.text);
        Ok(Some(if part.is_escaped() { Cow::Owned(unescape(raw)) } else { Cow::Borrowed(raw) }))
    }

    /// A number, true, false or null.
    fn literal(&mut self) -> Scan<Part> {
        self.peek();
        let start = self.at;
        while matches!(self.byte(self.at), b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.') {
            self.at += 1;
        }
        let literal = Part::new(start, self.at, false);
        match self.byte(start) {
            b'-' | b'0'..=b'9' => Ok(literal),
            _ if matches!(literal.of(self.text), "true" | "false" | "null") => Ok(literal),
            _ => Err("expected a value"),
        }
    }

    /// Passes any value.
    fn skip(&mut self, depth: usize) -> Scan<()> {
        if depth > MAX_DEPTH {
            return Err("over 32 objects and lists inside each other");
        }
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(|scanner, _| scanner.skip(depth + 1)),
            b'[' => self.skip_list(depth),
            _ => self.literal().map(|_| ()),
        }
    }

    fn skip_list(&mut self, depth: usize) -> Scan<()> {
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth + 1)?;
            if !self.take(b',') {
                return self.expect(b']', "expected , or ]");
            }
        }
    }
}

/// The text of a string whose escapes were checked when it was scanned. Half a surrogate pair becomes U+FFFD.
pub(super) fn unescape(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut text = String::with_capacity(raw.len());
    let (mut copied, mut at) = (0, quote_or_escape(bytes, 0));
    while at + 1 < bytes.len() {
        text.push_str(&raw[copied..at]);
        let kind = bytes[at + 1];
        at += 2;
        text.push(match kind {
            b'u' => match bytes.get(at..at + 4) {
                // The separators of properties, which every message has.
                Some(b"0001") => ascii(&mut at, '\u{1}'),
                Some(b"0002") => ascii(&mut at, '\u{2}'),
                _ => unicode(bytes, &mut at),
            },
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            other => char::from(other),
        });
        copied = at;
        at = quote_or_escape(bytes, at);
    }
    text.push_str(&raw[copied..]);
    text
}

fn ascii(at: &mut usize, character: char) -> char {
    *at += 4;
    character
}

/// The character of the four hex digits at `at`, and of the escape behind them if they are a pair.
fn unicode(bytes: &[u8], at: &mut usize) -> char {
    let high = unit(bytes, *at);
    *at = bytes.len().min(*at + 4);
    if (0xD800..0xDC00).contains(&high) && bytes[*at..].starts_with(b"\\u") {
        let low = unit(bytes, *at + 2);
        if (0xDC00..0xE000).contains(&low) {
            *at += 6;
            return char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or('\u{FFFD}');
        }
    }
    char::from_u32(high).unwrap_or('\u{FFFD}')
}

fn unit(bytes: &[u8], at: usize) -> u32 {
    let digits = bytes.get(at..at + 4).unwrap_or_default();
    digits.iter().fold(0, |unit, digit| unit << 4 | char::from(*digit).to_digit(16).unwrap_or(0))
}

/// Appends a JSON header to `out`.
pub(super) fn write(out: &mut Vec<u8>, head: &Head<'_>, fields: impl FnOnce(&mut FieldWriter<'_>)) {
    out.extend_from_slice(b"{\"code\":");
    push_int(out, head.code.into());
    let before = out.len();
    out.extend_from_slice(b",\"extFields\":{");
    let empty = out.len();
    fields(&mut FieldWriter::json(out));
    if out.len() == empty {
        out.truncate(before);
    } else {
        // In place of the last field's comma.
        out.pop();
        out.push(b'}');
    }
    out.extend_from_slice(b",\"flag\":");
    push_int(out, head.flag.into());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(head.language.name().as_bytes());
    out.extend_from_slice(b"\",\"opaque\":");
    push_int(out, head.opaque.into());
    if let Some(remark) = head.remark {
        out.extend_from_slice(b",\"remark\":\"");
        push_escaped(out, remark);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    push_int(out, head.version.into());
    out.push(b'}');
}
