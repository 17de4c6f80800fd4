//! JSON bodies as fastjson writes and reads them (protocol reference, section 2).
//!
//! Reading: strict JSON goes straight to serde_json. What it refuses is rewritten to strict JSON first (`lenient`) and
//! read once more; `{"$ref":"$.a.b"}` is replaced by what it refers to (`refs`). Map keys that are objects arrive as
//! text with the object's JSON; `super::body::queue_table` reads them.
//!
//! Writing: strict JSON, or the old form, in which integer keys have no quotes and object keys are objects (`old`).

mod lenient;
mod old;
mod refs;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::Serialize;

/// Bytes that are no JSON, or JSON without the form expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(String);

impl JsonError {
    fn new(what: impl fmt::Display) -> Self {
        JsonError(what.to_string())
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JSON: {}", self.0)
    }
}

impl std::error::Error for JsonError {}

impl From<JsonError> for crate::Error {
    fn from(error: JsonError) -> Self {
        crate::Error::new(crate::ErrorKind::Corrupt, "read JSON", error.0)
    }
}

/// Objects in a body. An empty one takes 2 bytes here and some hundred once it is read.
const MAX_OBJECTS: usize = 1_000_000;

/// Reads a body. Empty bytes are null.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, JsonError> {
    if bytes.iter().filter(|byte| **byte == b'{').count() > MAX_OBJECTS {
        return Err(JsonError::new(format_args!("over {MAX_OBJECTS} objects")));
    }
    let has_refs = refs::may_be_in(bytes);
    if !has_refs {
        if let Ok(value) = serde_json::from_slice(bytes) {
            return Ok(value);
        }
    }
    let strict = lenient::to_strict(bytes)?;
    if !has_refs {
        return serde_json::from_slice(&strict).map_err(JsonError::new);
    }
    let mut value = serde_json::from_slice(&strict).map_err(JsonError::new)?;
    refs::resolve(&mut value)?;
    serde_json::from_value(value).map_err(JsonError::new)
}

/// Writes strict JSON: what every reader takes, except where map keys are objects.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // Fails only for map keys that are no text or number, which bodies do not have; a test writes each.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Writes fastjson's form: integer map keys without quotes, object map keys as objects. For bodies with object keys,
/// and for readers older than 4.9.4.
pub fn to_old_vec<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    old::to_vec(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_nothing_but_objects_is_refused() {
        let many = format!("[{}]", vec!["{}"; MAX_OBJECTS + 1].join(","));
        let error = from_slice::<Vec<crate::wire::body::MessageQueue>>(many.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "JSON: over 1000000 objects");
    }
}
