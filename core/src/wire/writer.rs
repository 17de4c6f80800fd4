//! Fields on their way out, in either encoding.

use super::json_header::{push_int, push_string};

/// Takes the fields of a header one after the other and appends them in its encoding.
pub struct FieldWriter<'o> {
    out: &'o mut Vec<u8>,
    json: bool,
    /// Whether there was a field.
    pub(super) any: bool,
}

impl<'o> FieldWriter<'o> {
    pub(super) fn json(out: &'o mut Vec<u8>) -> Self {
        FieldWriter { out, json: true, any: false }
    }

    pub(super) fn binary(out: &'o mut Vec<u8>) -> Self {
        FieldWriter { out, json: false, any: false }
    }

    /// Appends a field of text.
    pub fn text(&mut self, name: &str, value: &str) {
        if self.json {
            self.json_name(name);
            push_string(self.out, value);
        } else {
            self.binary_field(name, |out| out.extend_from_slice(value.as_bytes()));
        }
    }

    /// Appends a number.
    pub fn int(&mut self, name: &str, value: i64) {
        self.plain(name, |out| push_int(out, value));
    }

    /// Appends a field whose text, which `value` appends, needs no escapes.
    pub(super) fn plain(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if self.json {
            self.json_name(name);
            self.out.push(b'"');
            value(self.out);
            self.out.push(b'"');
        } else {
            self.binary_field(name, value);
        }
    }

    fn json_name(&mut self, name: &str) {
        match self.any {
            true => self.out.push(b','),
            false => self.out.extend_from_slice(b",\"extFields\":{"),
        }
        self.any = true;
        push_string(self.out, name);
        self.out.push(b':');
    }

    fn binary_field(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.any = true;
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
