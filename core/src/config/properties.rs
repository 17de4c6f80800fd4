//! The text form of Java's properties files: what Apache's `broker.conf` and `namesrv.properties` are written in.

use crate::{Error, ErrorKind, Result};

/// One key with its value, and the lines of the file it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, escapes resolved.
    pub key: String,
    /// The value, escapes resolved; not trimmed at its end.
    pub value: String,
    /// First line, counted from 1.
    pub line: usize,
    /// Last line: later than `line` if the entry goes on over several lines.
    pub last_line: usize,
}

/// Reads the text of a properties file. `#` and `!` begin comments; `=`, `:` or blanks separate key and value; a
/// backslash escapes, and at the end of a line continues the entry on the next one.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] with `file` and line if a `\u` escape has no four hex digits or no key stands before
/// a separator.
pub fn parse(text: &str, file: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (line, last_line, logical) in logical_lines(text) {
        let (key, value) = split(&logical);
        let unescape = |part: &str| {
            unescape(part).ok_or_else(|| {
                let context = format!("{file} line {line}: \\u must be followed by four hex digits");
                Error::new(ErrorKind::InvalidArgument, "read settings", context)
            })
        };
        let (key, value) = (unescape(key)?, unescape(value)?);
        if key.is_empty() {
            let context = format!("{file} line {line}: no key before the separator; write key=value");
            return Err(Error::new(ErrorKind::InvalidArgument, "read settings", context));
        }
        entries.push(Entry { key, value, line, last_line });
    }
    Ok(entries)
}

/// The text with `changes` made: the lines of a changed key are replaced where the key stands last (where it counts),
/// new keys are appended, and everything else, comments too, stays as it is.
///
/// # Errors
/// As [`parse`], of the present text.
pub fn rewrite(text: &str, file: &str, changes: &[(String, String)]) -> Result<String> {
    let entries = parse(text, file)?;
    let mut lines: Vec<Option<String>> = natural_lines(text).map(|line| Some(line.to_owned())).collect();
    for (key, value) in changes {
        let line = format!("{}={}", escape(key, true), escape(value, false));
        match entries.iter().rfind(|entry| entry.key == *key) {
            Some(entry) => {
                lines[entry.line - 1..entry.last_line].fill(None);
                lines[entry.line - 1] = Some(line);
            }
            None => lines.push(Some(line)),
        }
    }
    Ok(lines.into_iter().flatten().flat_map(|line| [line, "\n".into()]).collect())
}

/// `key=value` lines in the given order, escaped so that [`parse`], and Java, read the same again.
pub fn write<'a>(entries: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let line = |(key, value): (&str, String)| format!("{}={}\n", escape(key, true), escape(&value, false));
    entries.into_iter().map(line).collect()
}

fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\n', '\r'])).unwrap_or("");
        Some(line)
    })
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// First line, last line and text of each entry; comments and blank lines are left out, continued lines joined.
fn logical_lines(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let mut lines = natural_lines(text).zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut logical = line.trim_start_matches(BLANKS).to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        let mut last = number;
        while continues(&logical) {
            logical.pop();
            let Some((more, number)) = lines.next() else { break };
            logical.push_str(more.trim_start_matches(BLANKS));
            last = number;
        }
        if !logical.is_empty() {
            found.push((number, last, logical));
        }
    }
    found
}

/// Whether the line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical.find(|c: char| {
        let separates = !escaped && (c == '=' || c == ':' || BLANKS.contains(&c));
        escaped = !escaped && c == '\\';
        separates
    });
    let (key, rest) = logical.split_at(end.unwrap_or(logical.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Option<String> {
    // As UTF-16, because characters beyond 0xFFFF are written as two \u escapes.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let four = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    units.push(four.then(|| u16::from_str_radix(&digits, 16).ok()).flatten()?);
                    continue;
                }
                Some(other) => other,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn escape(text: &str, key: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            ' ' if key || at == 0 => out.push_str("\\ "),
            '=' | ':' | '#' | '!' if key => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            // Java reads these files as Latin-1, so nothing beyond ASCII is safe unescaped.
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text, "f").unwrap().into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.into(), value.into())
    }

    #[test]
    fn comments_separators_escapes_and_continuations_are_javas() {
        let text = "# c\n  ! d\\\n\na=1\r\nb : 2\rc 3\nd\\ e\\==f=g\\n\\u00e9\\uD83D\\uDE00\nlong = x\\\n   \ty\\\\\nempty\ne2=";
        let expected = [
            pair("a", "1"),
            pair("b", "2"),
            pair("c", "3"),
            pair("d e=", "f=g\né😀"),
            pair("long", "xy\\"),
            pair("empty", ""),
            pair("e2", ""),
        ];
        assert_eq!(pairs(text), expected);
        let lines: Vec<_> =
            parse(text, "f").unwrap().iter().map(|entry| (entry.line, entry.last_line)).collect();
        assert_eq!(lines, [(4, 4), (5, 5), (6, 6), (7, 7), (8, 9), (10, 10), (11, 11)]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_file_and_line() {
        let error = parse("a=1\nb=\\u12x4", "broker.conf").unwrap_err().to_string();
        assert!(error.contains("broker.conf line 2"), "{error}");
        let error = parse("= 5", "broker.conf").unwrap_err().to_string();
        assert!(error.contains("broker.conf line 1"), "{error}");
        assert!(parse("a=\\u+123", "f").is_err());
    }

    #[test]
    fn rewriting_keeps_comments_and_changes_the_entry_that_counts() {
        let text = "# mine\na=1\nlong=x\\\n  y\na=2\n";
        let changes = [pair("a", "3"), pair("long", "z"), pair("new", "w\\")];
        let rewritten = rewrite(text, "f", &changes).unwrap();
        assert_eq!(rewritten, "# mine\na=1\nlong=z\na=3\nnew=w\\\\\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(key in "\\PC{1,12}", value in any::<String>()) {
            let text = write([(key.as_str(), value.clone())]);
            prop_assert_eq!(pairs(&text), vec![(key, value)]);
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = rewrite(&text, "f", &[pair("k", "v")]);
        }
    }
}
