//! The fields of a header, `extFields`: found once in the frame's bytes, read where and when they are asked for.

use std::borrow::Cow;
use std::fmt;

use super::json_header;

/// So many fields lie in the frame itself; more go to the heap.
const INLINE: usize = 24;
/// Apache's requests have about twenty at most; a peer that sends more than this wants to cost us something.
pub(super) const MAX_FIELDS: usize = 1024;

/// The fields of a header: names and values as text, in their order. Borrows from the frame.
#[derive(Clone)]
pub struct Fields<'a> {
    source: Source<'a>,
    count: usize,
    /// Whether a name has escapes, which makes finding it a matter of patience.
    odd_names: bool,
    inline: [Span; INLINE],
    more: Vec<Span>,
}

/// The bytes that spans point into.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A JSON header.
    Json(&'a str),
    /// A binary header; the spans' bytes are UTF-8, what is between them is not.
    Binary(&'a [u8]),
}

/// Where a field's name and value stand in the source.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    pub name: Part,
    pub value: Part,
}

impl Span {
    #[inline(always)]
    fn is_named(&self, name: &str, source: &[u8]) -> bool {
        self.name.length as usize == name.len() && {
            let found = &source[self.name.range()];
            // Names of one letter, which the commonest request has, are not worth a call that compares memory.
            found.first() == name.as_bytes().first() && (found.len() == 1 || found == name.as_bytes())
        }
    }
}

/// A piece of the source. Headers are shorter than 2^24 bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    at: u32,
    /// The length, and in the top bit whether there are JSON escapes in it.
    length: u32,
}

impl<'a> Source<'a> {
    #[inline]
    fn bytes(self) -> &'a [u8] {
        match self {
            Source::Json(text) => text.as_bytes(),
            Source::Binary(bytes) => bytes,
        }
    }
}

impl Part {
    const ESCAPED: u32 = 1 << 31;

    pub fn new(at: usize, end: usize, escaped: bool) -> Self {
        Part { at: at as u32, length: (end - at) as u32 | if escaped { Self::ESCAPED } else { 0 } }
    }

    /// Whether there are JSON escapes in it.
    pub fn is_escaped(self) -> bool {
        self.length & Self::ESCAPED != 0
    }

    /// The piece of a JSON header, escapes not resolved.
    #[inline]
    pub fn of(self, header: &str) -> &str {
        &header[self.range()]
    }

    #[inline]
    fn range(self) -> std::ops::Range<usize> {
        let at = self.at as usize;
        at..at + (self.length & !Self::ESCAPED) as usize
    }
}

/// The value of a field.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    source: Source<'a>,
    part: Part,
}

impl<'a> Value<'a> {
    /// The value's text; owned only if the header has escapes in it.
    pub fn text(self) -> Cow<'a, str> {
        match self.source {
            Source::Json(text) => {
                let raw = self.part.of(text);
                match self.part.is_escaped() {
                    true => Cow::Owned(json_header::unescape(raw)),
                    false => Cow::Borrowed(raw),
                }
            }
            Source::Binary(bytes) => String::from_utf8_lossy(&bytes[self.part.range()]),
        }
    }

    /// The value's bytes in the header, escapes not resolved: enough for numbers and for comparing.
    #[inline]
    pub(super) fn raw(self) -> &'a [u8] {
        &self.source.bytes()[self.part.range()]
    }

    /// Whether this is a value of length 0 in a binary header, which does not tell it from null.
    pub(super) fn is_null(self) -> bool {
        matches!(self.source, Source::Binary(_)) && self.part.length == 0
    }
}

impl<'a> Fields<'a> {
    /// No fields.
    pub fn none() -> Self {
        Fields::new(Source::Json(""))
    }

    fn new(source: Source<'a>) -> Self {
        Fields { source, count: 0, odd_names: false, inline: [Span::default(); INLINE], more: Vec::new() }
    }

    /// Sets the bytes that the fields to come point into.
    pub(super) fn point_to(&mut self, source: Source<'a>) {
        self.clear();
        self.source = source;
    }

    /// Adds a field; false if there are too many.
    #[must_use]
    #[inline]
    pub(super) fn push(&mut self, span: Span) -> bool {
        self.odd_names |= span.name.is_escaped();
        match self.inline.get_mut(self.count) {
            Some(place) => *place = span,
            None if self.count < MAX_FIELDS => self.more.push(span),
            None => return false,
        }
        self.count += 1;
        true
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.odd_names = false;
        self.more.clear();
    }

    /// The value of the field `name`.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.search(name, &mut 0).map(Value::text)
    }

    /// The value of the field `name`. Looks at position `*next` first and leaves it behind the field found: who asks
    /// in the order of the fields finds each at once.
    #[inline(always)]
    pub(super) fn search(&self, name: &str, next: &mut usize) -> Option<Value<'a>> {
        let bytes = self.source.bytes();
        match self.inline[..self.count.min(INLINE)].get(*next) {
            Some(span) if span.is_named(name, bytes) => {
                *next += 1;
                Some(self.part(span.value))
            }
            _ => self.search_all(name, next),
        }
    }

    #[inline(never)]
    fn search_all(&self, name: &str, next: &mut usize) -> Option<Value<'a>> {
        let bytes = self.source.bytes();
        let inline = &self.inline[..self.count.min(INLINE)];
        let found = inline.iter().position(|span| span.is_named(name, bytes));
        let at = found.or_else(|| self.search_patiently(name))?;
        *next = at + 1;
        Some(self.part(self.span(at).value))
    }

    fn search_patiently(&self, name: &str) -> Option<usize> {
        if self.more.is_empty() && !self.odd_names {
            return None;
        }
        (0..self.count).find(|at| self.part(self.span(*at).name).text() == name)
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + '_ {
        (0..self.count).map(|at| {
            let span = self.span(at);
            (self.part(span.name).text(), self.part(span.value).text())
        })
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn span(&self, at: usize) -> Span {
        match at.checked_sub(INLINE) {
            None => self.inline[at],
            Some(at) => self.more[at],
        }
    }

    fn part(&self, part: Part) -> Value<'a> {
        Value { source: self.source, part }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Fields<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}
