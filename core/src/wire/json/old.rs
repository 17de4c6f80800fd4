//! Writing fastjson's form of map keys: `{0:"a"}` and `{{"topic":"t"}:5}`.

use std::io;

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter, Serializer};

pub(super) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, OldKeys { key: Key::No });
    match value.serialize(&mut serializer) {
        Ok(()) => out,
        Err(_) => Vec::new(),
    }
}

/// serde_json passes a key as a string: its quotes, and between them fragments or a number.
struct OldKeys {
    key: Key,
}

/// What is being written.
#[derive(PartialEq)]
enum Key {
    /// No key.
    No,
    /// A key of which nothing was written yet.
    Begun,
    /// A key in quotes.
    Text,
    /// A key that is a number, or the JSON of an object: without quotes and escapes.
    Bare,
}

macro_rules! bare_numbers {
    ($($name:ident: $type:ty,)*) => { $(
        fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: $type) -> io::Result<()> {
            if self.key == Key::Begun {
                self.key = Key::Bare;
            }
            write!(writer, "{value}")
        }
    )* };
}

impl Formatter for OldKeys {
    bare_numbers! {
        write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64,
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64,
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.key = Key::Begun;
        if first {
            Ok(())
        } else {
            writer.write_all(b",")
        }
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.key = Key::No;
        Ok(())
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match self.key {
            Key::Begun => Ok(()),
            _ => writer.write_all(b"\""),
        }
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match self.key {
            Key::Begun => writer.write_all(b"\"\""),
            Key::Bare => Ok(()),
            Key::No | Key::Text => writer.write_all(b"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        if self.key == Key::Begun {
            self.key = if text.starts_with('{') { Key::Bare } else { Key::Text };
            if self.key == Key::Text {
                writer.write_all(b"\"")?;
            }
        }
        writer.write_all(text.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        if self.key == Key::Begun {
            self.key = Key::Text;
            writer.write_all(b"\"")?;
        }
        match (&self.key, &escape) {
            (Key::Bare, CharEscape::Quote) => writer.write_all(b"\""),
            (Key::Bare, CharEscape::ReverseSolidus) => writer.write_all(b"\\"),
            _ => serde_json::ser::CompactFormatter.write_char_escape(writer, escape),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_have_their_old_form_and_values_do_not_change() {
        let numbers: BTreeMap<i64, &str> = [(-1, "a\n"), (0, "")].into();
        assert_eq!(to_vec(&numbers), br#"{-1:"a\n",0:""}"#);
        let texts: BTreeMap<&str, Vec<i32>> = [("", vec![1]), ("\"q", vec![]), ("1", vec![2])].into();
        assert_eq!(to_vec(&texts), br#"{"":[1],"\"q":[],"1":[2]}"#);
        let objects: BTreeMap<&str, &str> = [(r#"{"a":"\\\"x"}"#, r#"{"b":1}"#)].into();
        assert_eq!(to_vec(&objects), br#"{{"a":"\\\"x"}:"{\"b\":1}"}"#);
    }
}
