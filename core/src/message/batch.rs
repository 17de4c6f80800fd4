//! The body of a batch send: items back to back (protocol reference, section 3.4).
//!
//! An item is size (4 bytes), magic 0 (4), CRC 0 (4), flag (4), body length (4), body, properties length (2),
//! properties; the size counts itself.

use crate::{Error, ErrorKind, Result};

/// Bytes of an item besides its body and properties.
pub const FIXED: usize = 22;

/// One message of a batch; borrows from the batch's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// The user's flag.
    pub flag: i32,
    /// The message's body.
    pub body: &'a [u8],
    /// The message's encoded properties.
    pub properties: &'a [u8],
}

/// The items of a batch body. After an error, which names the position and what is wrong there, nothing follows.
pub fn items(body: &[u8]) -> impl Iterator<Item = Result<Item<'_>>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = body.get(at..).filter(|rest| !rest.is_empty())?;
        let item = item(rest).map_err(|why| {
            Error::new(
                ErrorKind::Corrupt,
                "read batch",
                format!("item at byte {at} of {}: {why}", body.len()),
            )
        });
        at = item.as_ref().map_or(body.len(), |item| at + FIXED + item.body.len() + item.properties.len());
        Some(item)
    })
}

/// The item that `bytes` begin with.
fn item(bytes: &[u8]) -> Result<Item<'_>, String> {
    let number =
        |at: usize| -> Option<i32> { Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    let fixed = || format!("{} bytes left, an item has at least {FIXED}", bytes.len());
    let size = number(0).ok_or_else(fixed)?;
    let flag = number(12).ok_or_else(fixed)?;
    let body_length = number(16).ok_or_else(fixed)?;
    let past = |what: &str, length: i64| format!("{what} of {length} bytes in {} bytes left", bytes.len());
    let body_end = usize::try_from(body_length).ok().and_then(|length| length.checked_add(20));
    let body = body_end.and_then(|end| bytes.get(20..end)).ok_or_else(|| past("body", body_length.into()))?;
    let rest = &bytes[20 + body.len()..];
    let [high, low, rest @ ..] = rest else {
        return Err(past("body without properties", body_length.into()));
    };
    let length = i16::from_be_bytes([*high, *low]);
    let properties = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let properties = properties.ok_or_else(|| past("properties", length.into()))?;
    let actual = FIXED + body.len() + properties.len();
    if usize::try_from(size) != Ok(actual) {
        return Err(format!("size {size}, but its parts take {actual} bytes"));
    }
    Ok(Item { flag, body, properties })
}

/// Appends an item to a batch body. Fails with a body over 2 GiB or properties over 32,767 bytes.
pub fn encode_item(out: &mut Vec<u8>, item: &Item<'_>) -> Result<()> {
    let too_long = |what: &str, length: usize, limit: usize| {
        let context = format!("{what} of {length} bytes; at most {limit} fit");
        Error::new(ErrorKind::InvalidArgument, "encode batch", context)
    };
    let (body, properties) = (item.body, item.properties);
    let size = i32::try_from(FIXED + body.len() + properties.len())
        .map_err(|_| too_long("a message", body.len(), i32::MAX as usize - FIXED))?;
    let properties_length = i16::try_from(properties.len())
        .map_err(|_| too_long("properties", properties.len(), super::MAX_PROPERTIES))?;
    out.reserve(size as usize);
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&item.flag.to_be_bytes());
    out.extend_from_slice(&(body.len() as i32).to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&properties_length.to_be_bytes());
    out.extend_from_slice(properties);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_reference() {
        let item = Item { flag: 0, body: b"hi", properties: b"TAGS\x01TagA\x02WAIT\x01true\x02" };
        let mut encoded = Vec::new();
        encode_item(&mut encoded, &item).unwrap();
        assert_eq!(encoded[..22], *b"\0\0\0\x2c\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi");
        assert_eq!(encoded[22..24], [0, 0x14]);
        assert_eq!(encoded.len(), 0x2c);
        assert_eq!(items(&encoded).map(Result::unwrap).collect::<Vec<_>>(), [item]);
    }

    #[test]
    fn a_broken_item_ends_the_batch_and_is_named() {
        let mut batch = Vec::new();
        encode_item(&mut batch, &Item { flag: 7, body: b"one", properties: b"" }).unwrap();
        let good = batch.len();
        encode_item(&mut batch, &Item { flag: 7, body: b"two", properties: b"" }).unwrap();
        batch[good + 16] = 0x80;
        let read: Vec<_> = items(&batch).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].as_ref().unwrap().body, b"one");
        let error = read[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("item at byte 25 of 50: body of -2147483645 bytes"), "{error}");
    }

    proptest! {
        #[test]
        fn items_survive_encoding(
            messages in prop::collection::vec((any::<i32>(), any::<Vec<u8>>(), any::<Vec<u8>>()), 0..5),
        ) {
            let written: Vec<Item> =
                messages.iter().map(|(flag, body, properties)| Item { flag: *flag, body, properties }).collect();
            let mut encoded = Vec::new();
            for item in &written {
                encode_item(&mut encoded, item).unwrap();
            }
            let read: Result<Vec<Item>> = items(&encoded).collect();
            prop_assert_eq!(read.unwrap(), written);
        }

        #[test]
        fn arbitrary_bytes_end(bytes: Vec<u8>) {
            prop_assert!(items(&bytes).count() <= bytes.len());
        }
    }
}
