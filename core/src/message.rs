//! What a message consists of besides its body: properties, flags, the two kinds of id, and the items of a batch.
//!
//! Facts from the protocol reference, sections 3.1 to 3.4.

use std::ops::Range;

use crate::{Error, ErrorKind, Result};

pub mod batch;
mod id;
mod name;
mod properties;
pub mod property;
pub mod sys_flag;
mod user;

pub use id::{unique_id, unique_id_in, unique_id_of, OffsetId};
pub use name::Name;
pub use properties::Properties;
pub use user::{Message, StoredMessage};

/// Stands between the name and the value of a property.
pub const NAME_VALUE_SEPARATOR: u8 = 1;
/// Ends a property; the last one may go without.
pub const PROPERTY_SEPARATOR: u8 = 2;
/// The longest property string that a record can hold, in bytes.
pub const MAX_PROPERTIES: usize = 32767;

/// The pairs of an encoded property string, in their order, duplicates included. Pairs that readers of the protocol
/// ignore are left out: without separator, with an empty name or value, not UTF-8.
pub fn properties(encoded: &[u8]) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    encoded.split(|byte| *byte == PROPERTY_SEPARATOR).filter_map(pair)
}

/// The value of property `name` in an encoded property string. Of several the last one counts.
pub fn property<'a>(encoded: &'a [u8], name: &str) -> Option<&'a str> {
    properties(encoded).rev().find_map(|(found, value)| (found == name).then_some(value))
}

/// As [`properties()`], but as bytes, which may not be UTF-8; in one pass, for filters that look at every message.
pub(crate) fn raw_properties(encoded: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    places(encoded).map(|place| (&encoded[place.name()], &encoded[place.value()]))
}

/// Where a pair stands in a property string.
#[derive(Clone, Copy)]
struct Place {
    begin: usize,
    /// Of the separator.
    middle: usize,
    end: usize,
}

impl Place {
    fn name(self) -> Range<usize> {
        self.begin..self.middle
    }

    fn value(self) -> Range<usize> {
        self.middle + 1..self.end
    }
}

/// The places of the pairs that have a name and a value.
fn places(encoded: &[u8]) -> impl Iterator<Item = Place> + '_ {
    let mut separators = memchr::memchr2_iter(NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, encoded);
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < encoded.len() {
            let (mut middle, mut end) = (None, encoded.len());
            for at in separators.by_ref() {
                if encoded[at] == PROPERTY_SEPARATOR {
                    end = at;
                    break;
                }
                // Further ones belong to the value.
                middle.get_or_insert(at);
            }
            let begin = std::mem::replace(&mut start, end + 1);
            if let Some(middle) = middle.filter(|middle| begin < *middle && middle + 1 < end) {
                return Some(Place { begin, middle, end });
            }
        }
        None
    })
}

fn pair(bytes: &[u8]) -> Option<(&str, &str)> {
    let at = bytes.iter().position(|byte| *byte == NAME_VALUE_SEPARATOR)?;
    let (name, value) = (&bytes[..at], &bytes[at + 1..]);
    if name.is_empty() || value.is_empty() {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, std::str::from_utf8(value).ok()?))
}

/// Whether a property string can carry this pair: neither side empty, no separator (U+0001, U+0002) inside.
pub fn check_property(name: &str, value: &str) -> Result<()> {
    let fault = |what: &str| Error::new(ErrorKind::InvalidArgument, "set property", what);
    if name.is_empty() {
        return Err(fault("the name is empty; give it at least one character"));
    }
    if value.is_empty() {
        return Err(fault(&format!("the value of {name:?} is empty; leave the property out instead")));
    }
    let separator = |byte: u8| byte == NAME_VALUE_SEPARATOR || byte == PROPERTY_SEPARATOR;
    if name.bytes().chain(value.bytes()).any(separator) {
        return Err(fault(&format!(
            "{name:?} holds U+0001 or U+0002 in name or value; these end a property"
        )));
    }
    Ok(())
}

/// Java's `String.hashCode`: of tags in consume queues and of keys in the index.
#[doc(alias = "hashCode")]
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_of_the_end_are_read() {
        let with: Vec<_> = properties(b"TAGS\x01a\x02KEYS\x01k\x02").collect();
        let without: Vec<_> = properties(b"TAGS\x01a\x02KEYS\x01k").collect();
        assert_eq!(with, [("TAGS", "a"), ("KEYS", "k")]);
        assert_eq!(with, without);
        assert_eq!(properties(b"").count(), 0);
    }

    #[test]
    fn what_readers_ignore_is_left_out() {
        let odd = b"\x02\x02noseparator\x02empty\x01\x02\x01noname\x02bad\x01\xff\x02ok\x01a\x01b\x02";
        assert_eq!(properties(odd).collect::<Vec<_>>(), [("ok", "a\u{1}b")]);
    }

    #[test]
    fn the_last_duplicate_counts() {
        let twice = b"UNIQ_KEY\x01first\x02WAIT\x01true\x02UNIQ_KEY\x01second\x02";
        assert_eq!(property(twice, "UNIQ_KEY"), Some("second"));
        assert_eq!(property(twice, "UNIQ"), None);
        let parsed = Properties::parse(twice);
        assert_eq!(parsed.get("UNIQ_KEY"), Some("second"));
        assert_eq!(parsed.encode(), b"UNIQ_KEY\x01second\x02WAIT\x01true\x02");
    }

    #[test]
    fn a_value_cannot_forge_another_property() {
        let mut properties = Properties::new();
        properties.insert("a", "x\u{2}TAGS\u{1}forged");
        properties.insert("b", "");
        assert!(properties.encode().is_empty());
        assert!(check_property("a", "x\u{2}").unwrap_err().to_string().contains("\"a\""));
        assert!(check_property("", "x").is_err());
        assert!(check_property("a", "").is_err());
        assert!(check_property("a", "é").is_ok());
    }

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("TagA"), 2598919);
        assert_eq!(java_hash("Aa-collide"), java_hash("BB-collide"));
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("😀"), 0xd83d * 31 + 0xde00);
    }

    proptest! {
        #[test]
        fn properties_survive_encoding(pairs: Vec<(String, String)>) {
            let good: Properties =
                pairs.into_iter().filter(|(name, value)| check_property(name, value).is_ok()).collect();
            prop_assert_eq!(Properties::parse(&good.encode()), good);
        }

        #[test]
        fn arbitrary_bytes_are_read(bytes: Vec<u8>) {
            prop_assert!(properties(&bytes).all(|(name, value)| !name.is_empty() && !value.is_empty()));
        }
    }
}
