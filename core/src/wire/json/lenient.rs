//! Rewrites what fastjson takes for JSON into strict JSON.
//!
//! | taken | becomes |
//! |---|---|
//! | `{0:1}`, `{name:1}`, `{'a':'b'}` | `{"0":1}`, `{"name":1}`, `{"a":"b"}` |
//! | `{{"topic":"t"}:5}` | `{"{\"topic\":\"t\"}":5}` |
//! | `{"a":null}` | `{}`: null means absent |
//! | `[1,,2,]` | `[1,2]` |
//! | `"\x41\v\0\'"`, half a surrogate pair, control characters | the same text in JSON's escapes, U+FFFD |
//! | `NaN`, `Infinity` | `null` |

use super::super::text::push_string;
use super::JsonError;

/// Objects and lists inside each other.
const MAX_DEPTH: usize = 64;

pub(super) fn to_strict(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(b"null".to_vec());
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError::new(format_args!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut rewriter = Rewriter { text, at: 0, in_key: false };
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 8);
    rewriter.value(&mut out, 0)?;
    match rewriter.peek() {
        None => Ok(out),
        Some(_) => Err(rewriter.fault("something behind the value")),
    }
}

struct Rewriter<'a> {
    text: &'a str,
    at: usize,
    /// Inside an object that is a map key. No further such keys there, whose escapes would double each time.
    in_key: bool,
}

impl<'a> Rewriter<'a> {
    fn fault(&self, what: &str) -> JsonError {
        JsonError::new(format_args!("{what} at byte {}", self.at))
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        if depth > MAX_DEPTH {
            return Err(self.fault("over 64 objects and lists inside each other"));
        }
        match self.peek() {
            Some(b'{') => self.object(out, depth),
            Some(b'[') => self.list(out, depth),
            Some(quote @ (b'"' | b'\'')) => {
                let text = self.string(quote)?;
                push_string(out, &text);
                Ok(())
            }
            _ => {
                let word = self.word()?;
                match word {
                    "NaN" | "Infinity" | "-Infinity" | "undefined" => out.extend_from_slice(b"null"),
                    "true" | "false" | "null" => out.extend_from_slice(word.as_bytes()),
                    number if serde_json::from_str::<serde_json::Number>(number).is_ok() => {
                        out.extend_from_slice(number.as_bytes());
                    }
                    _ => return Err(self.fault("neither a value nor a number before this place")),
                }
                Ok(())
            }
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        out.push(b'{');
        let empty = out.len();
        loop {
            while self.take(b',') {}
            if self.take(b'}') {
                out.push(b'}');
                return Ok(());
            }
            let before = out.len();
            if before > empty {
                out.push(b',');
            }
            self.key(out, depth)?;
            if !self.take(b':') {
                return Err(self.fault("expected :"));
            }
            out.push(b':');
            let value = out.len();
            self.value(out, depth + 1)?;
            if out[value..] == *b"null" {
                out.truncate(before);
            }
            if !matches!(self.peek(), Some(b',' | b'}')) {
                return Err(self.fault("expected , or }"));
            }
        }
    }

    fn key(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) => {
                let text = self.string(quote)?;
                push_string(out, &text);
            }
            Some(b'{') if self.in_key => return Err(self.fault("a key that is an object inside another one")),
            Some(b'{') => {
                let mut object = Vec::new();
                self.in_key = true;
                self.value(&mut object, depth + 1)?;
                self.in_key = false;
                push_string(out, &String::from_utf8_lossy(&object));
            }
            _ => push_string(out, self.word()?),
        }
        Ok(())
    }

    fn list(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        out.push(b'[');
        let empty = out.len();
        loop {
            while self.take(b',') {}
            if self.take(b']') {
                out.push(b']');
                return Ok(());
            }
            if out.len() > empty {
                out.push(b',');
            }
            self.value(out, depth + 1)?;
            if !matches!(self.peek(), Some(b',' | b']')) {
                return Err(self.fault("expected , or ]"));
            }
        }
    }

    /// A number, a literal, or a key without quotes.
    fn word(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = &self.text[self.at..];
        let ends =
            |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ':' | '{' | '}' | '[' | ']' | '"' | '\'');
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        if word.is_empty() {
            return Err(self.fault("expected a value"));
        }
        self.at += word.len();
        Ok(word)
    }

    /// The text of a string in either kind of quotes.
    fn string(&mut self, quote: u8) -> Result<String, JsonError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(end) = rest.find(|c| c == char::from(quote) || c == '\\') else {
                return Err(self.fault("a string without end"));
            };
            text.push_str(&rest[..end]);
            self.at += end + 1;
            if rest.as_bytes()[end] == quote {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// The character of an escape, behind its backslash.
    fn escape(&mut self) -> Result<char, JsonError> {
        let kind = self.text[self.at..].chars().next().ok_or_else(|| self.fault("a string without end"))?;
        self.at += kind.len_utf8();
        Ok(match kind {
            '"' | '\'' | '\\' | '/' => kind,
            'b' => '\u{8}',
            'f' | 'F' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => char::from(kind as u8 - b'0'),
            'x' => char::from(self.hex(2)? as u8),
            'u' => self.unicode()?,
            _ => return Err(self.fault("an unknown escape before this place")),
        })
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.hex(4)?;
        if (0xD800..0xDC00).contains(&high) && self.text[self.at..].starts_with("\\u") {
            let back = self.at;
            self.at += 2;
            match self.hex(4)? {
                low @ 0xDC00..0xE000 => {
                    let pair = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    return Ok(char::from_u32(pair).unwrap_or('\u{FFFD}'));
                }
                _ => self.at = back,
            }
        }
        Ok(char::from_u32(high).unwrap_or('\u{FFFD}'))
    }

    fn hex(&mut self, digits: usize) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + digits).unwrap_or_default();
        let number = match digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u32::from_str_radix(digits, 16).ok(),
            false => None,
        };
        self.at += digits.len();
        number.ok_or_else(|| self.fault("an escape without its hex digits before this place"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strict(text: &str) -> String {
        String::from_utf8(to_strict(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn odd_forms_become_strict() {
        assert_eq!(strict("{0:1,-2 : 2}"), r#"{"0":1,"-2":2}"#);
        assert_eq!(strict("{name:'it\\'s \"it\"'}"), r#"{"name":"it's \"it\""}"#);
        assert_eq!(
            strict(r#"{{"topic":"t\"","queueId":0}:5}"#),
            r#"{"{\"topic\":\"t\\\"\",\"queueId\":0}":5}"#
        );
        assert_eq!(strict(r#"{"a":null,"b":{"c":null},"d":[null],"e":null}"#), r#"{"b":{},"d":[null]}"#);
        assert_eq!(strict("[1,,2,]"), "[1,2]");
        assert_eq!(strict("[NaN,1.5E-4,true]"), "[null,1.5E-4,true]");
        assert_eq!(
            strict("'\\x41\\v\\0\\u00e9\\ud83d\\ude00\\ud83dx\t'"),
            "\"A\\u000b\\u0000é😀\u{FFFD}x\\t\""
        );
        assert_eq!(strict("  "), "null");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = |text: &str| to_strict(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("{a}"), "JSON: expected : at byte 2");
        assert_eq!(error("{} {}"), "JSON: something behind the value at byte 3");
        assert_eq!(error("\"a"), "JSON: a string without end at byte 1");
        assert!(error("{{{}:1}:1}").contains("inside another"));
        assert!(error(&"[".repeat(1_000_000)).contains("over 64"));
        assert!(to_strict(b"\"\xff\"").unwrap_err().to_string().contains("not UTF-8 at byte 1"));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_refused_or_becomes_json(text in r#"[{}\[\]:,"'\\a0\-nultrxu .d83]{0,40}"#) {
            if let Ok(strict) = to_strict(text.as_bytes()) {
                let read = serde_json::from_slice::<serde::de::IgnoredAny>(&strict);
                prop_assert!(read.is_ok(), "{}", String::from_utf8_lossy(&strict));
            }
        }

        #[test]
        fn strict_text_keeps_its_meaning(text: String, number: i64) {
            let written = serde_json::json!({ "text": text, "list": [number, text], &text: true });
            let rewritten = to_strict(written.to_string().as_bytes()).unwrap();
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&rewritten).unwrap(), written);
        }
    }
}
