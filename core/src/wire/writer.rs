//! Fields on their way out, in either encoding.

use super::text::{push_escaped, push_int};

/// Takes the fields of a header one after the other and appends them in its encoding.
pub struct FieldWriter<'o> {
    out: &'o mut Vec<u8>,
    json: bool,
}

/// A field's name as it stands in our tables, together with its form in JSON up to the value.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub wire: &'static str,
    pub json: &'static str,
}

impl<'o> FieldWriter<'o> {
    pub(super) fn json(out: &'o mut Vec<u8>) -> Self {
        FieldWriter { out, json: true }
    }

    pub(super) fn binary(out: &'o mut Vec<u8>) -> Self {
        FieldWriter { out, json: false }
    }

    /// Appends a field whose name is not in our tables.
    pub fn text(&mut self, name: &str, value: &str) {
        if self.json {
            self.out.push(b'"');
            push_escaped(self.out, name);
            self.out.extend_from_slice(b"\":\"");
            push_escaped(self.out, value);
            self.out.extend_from_slice(b"\",");
        } else {
            self.binary_field(name, |out| out.extend_from_slice(value.as_bytes()));
        }
    }

    /// Appends a field of text.
    pub(super) fn known(&mut self, name: Name, value: &str) {
        if self.json {
            self.out.extend_from_slice(name.json.as_bytes());
            push_escaped(self.out, value);
            self.out.extend_from_slice(b"\",");
        } else {
            self.binary_field(name.wire, |out| out.extend_from_slice(value.as_bytes()));
        }
    }

    /// Appends a number.
    pub(super) fn int(&mut self, name: Name, value: i64) {
        self.plain(name, |out| push_int(out, value));
    }

    /// Appends a field whose text, which `value` appends, needs no escapes.
    pub(super) fn plain(&mut self, name: Name, value: impl FnOnce(&mut Vec<u8>)) {
        if self.json {
            self.out.extend_from_slice(name.json.as_bytes());
            value(self.out);
            self.out.extend_from_slice(b"\",");
        } else {
            self.binary_field(name.wire, value);
        }
    }

    fn binary_field(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        // Names come from our tables, or from frames that were read, where they are as short.
        let name = &name.as_bytes()[..name.len().min(i16::MAX as usize)];
        self.out.extend_from_slice(&(name.len() as i16).to_be_bytes());
        self.out.extend_from_slice(name);
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        value(self.out);
        let length = (self.out.len() - at - 4) as i32;
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}
