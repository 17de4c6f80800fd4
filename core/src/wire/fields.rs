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

/// A piece of the source. Headers are shorter than 2^24 bytes.
#[derive(Clone, Copy, Default)]
pub(super) struct Part {
    at: u32,
    /// The length, and in the top bit whether there are JSON escapes in it.
    length: u32,
}

impl Part {
    const ESCAPED: u32 = 1 << 31;

    pub fn new(at: usize, end: usize, escaped: bool) -> Self {
        Part { at: at as u32, length: (end - at) as u32 | if escaped { Self::ESCAPED } else { 0 } }
    }

    fn is_escaped(self) -> bool {
        self.length & Self::ESCAPED != 0
    }

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
                let raw = &text[self.part.range()];
                match self.part.is_escaped() {
                    true => Cow::Owned(json_header::unescape(raw)),
                    false => Cow::Borrowed(raw),
                }
            }
            Source::Binary(bytes) => String::from_utf8_lossy(&bytes[self.part.range()]),
        }
    }

    /// The value's bytes in the header, escapes not resolved: enough for numbers and for comparing.
    pub(super) fn raw(self) -> &'a [u8] {
        match self.source {
            Source::Json(text) => &text.as_bytes()[self.part.range()],
            Source::Binary(bytes) => &bytes[self.part.range()],
        }
    }

    /// Whether this is a value of length 0 in a binary header, which does not tell it from null.
    pub(super) fn is_null(self) -> bool {
        matches!(self.source, Source::Binary(_)) && self.part.length == 0
    }

    fn is(self, text: &str) -> bool {
        if self.part.is_escaped() {
            self.text() == text
        } else {
            self.raw() == text.as_bytes()
        }
    }
}

impl<'a> Fields<'a> {
    /// No fields.
    pub fn none() -> Self {
        Fields::new(Source::Json(""))
    }

    pub(super) fn new(source: Source<'a>) -> Self {
        Fields { source, count: 0, inline: [Span::default(); INLINE], more: Vec::new() }
    }

    /// Adds a field; false if there are too many.
    #[must_use]
    pub(super) fn push(&mut self, span: Span) -> bool {
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
        self.more.clear();
    }

    /// The value of the field `name`.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.search(name, &mut 0).map(Value::text)
    }

    /// The value of the field `name`. Looks at position `*next` first and leaves it behind the field found: who asks
    /// in the order of the fields finds each at once.
    pub(super) fn search(&self, name: &str, next: &mut usize) -> Option<Value<'a>> {
        let start = (*next).min(self.count);
        let at = (start..self.count).chain(0..start).find(|at| self.part(self.span(*at).name).is(name))?;
        *next = at + 1;
        Some(self.part(self.span(at).value))
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
