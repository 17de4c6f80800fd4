//! What queues and index need to know of a record's properties, found in one pass.

use crate::message::{java_hash, property, sys_flag, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR};

/// Topic of delayed messages: their entries carry the due time.
pub(crate) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// The properties that queues and index look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Indexed<'a> {
    tags: Option<&'a str>,
    keys: Option<&'a str>,
    unique: Option<&'a str>,
    delay: Option<&'a str>,
    inner_num: Option<&'a str>,
}

impl<'a> Indexed<'a> {
    /// Reads as [`crate::message::properties`] does, but looks at nothing that is not wanted: this is on the way of
    /// every send.
    pub fn of(encoded: &'a [u8]) -> Self {
        let mut found = Indexed::default();
        let mut rest = encoded;
        while !rest.is_empty() {
            let end = find(rest, PROPERTY_SEPARATOR);
            let pair = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            let (place, name) = match pair.first() {
                Some(b'T') => (&mut found.tags, property::TAGS),
                Some(b'K') => (&mut found.keys, property::KEYS),
                Some(b'U') => (&mut found.unique, property::UNIQ_KEY),
                Some(b'D') => (&mut found.delay, property::DELAY),
                Some(b'I') => (&mut found.inner_num, property::INNER_NUM),
                _ => continue,
            };
            let value = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(&[NAME_VALUE_SEPARATOR]));
            let text =
                value.filter(|value| !value.is_empty()).and_then(|value| std::str::from_utf8(value).ok());
            // Of several the last one counts.
            *place = text.or(*place);
        }
        found
    }

    /// The third field of the queue entry: the hash of the tag, or when a delayed message is due.
    pub fn tags_code(&self, topic: &str, store_timestamp: i64, delay_levels_ms: &[i64]) -> i64 {
        if topic == SCHEDULE_TOPIC {
            if let Some(level) =
                self.delay.and_then(|level| level.parse::<i64>().ok()).filter(|level| *level > 0)
            {
                let level = (level as usize).min(delay_levels_ms.len());
                // Without levels at all Apache takes a second.
                let delay = level.checked_sub(1).map_or(1000, |level| delay_levels_ms[level]);
                return store_timestamp + delay;
            }
        }
        self.tags.map_or(0, |tags| i64::from(java_hash(tags)))
    }

    /// Whether the due time, not the tag, is the code; then it is known only with the store time.
    pub fn due_time_is_code(&self, topic: &str) -> bool {
        topic == SCHEDULE_TOPIC && self.delay.is_some()
    }

    /// Messages in an inner batch; 1 for everything else.
    pub fn count(&self, flags: i32) -> i64 {
        if flags & sys_flag::INNER_BATCH == 0 {
            return 1;
        }
        self.inner_num.and_then(|count| count.parse::<i16>().ok()).map_or(1, |count| i64::from(count.max(1)))
    }

    /// Hashes of all index keys, the unique one first.
    pub fn key_hashes(&self, flags: i32, topic_prefix_hash: i32) -> KeyHashes {
        let mut hashes = KeyHashes::default();
        if flags & sys_flag::TRANSACTION_MASK == sys_flag::TRANSACTION_ROLLBACK {
            return hashes;
        }
        let tokens = self.keys.into_iter().flat_map(|keys| keys.split(' ')).filter(|key| !key.is_empty());
        for key in self.unique.into_iter().chain(tokens) {
            hashes.push(key_hash(topic_prefix_hash, key));
        }
        hashes
    }
}

/// Where `byte` stands first, or the length; eight bytes a step.
fn find(bytes: &[u8], byte: u8) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let differs = u64::from_le_bytes(chunk.try_into().unwrap_or_default()) ^ (ONES * u64::from(byte));
        // The lowest set bit is that of the first byte that is zero here.
        let zeros = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if zeros != 0 {
            return at + zeros.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    bytes[at..].iter().position(|found| *found == byte).map_or(bytes.len(), |found| at + found)
}

/// Whether a record of these flags gets a place in its queue: prepared and rolled back ones do not.
pub(crate) fn is_queued(flags: i32) -> bool {
    let transaction = flags & sys_flag::TRANSACTION_MASK;
    transaction != sys_flag::TRANSACTION_PREPARED && transaction != sys_flag::TRANSACTION_ROLLBACK
}

/// Hash of `<topic>#<key>` as the index uses it, from the hash of its beginning.
pub(crate) fn key_hash(topic_prefix_hash: i32, key: &str) -> i32 {
    let step = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = key.encode_utf16().fold(topic_prefix_hash, step);
    hash.checked_abs().unwrap_or(0)
}

/// The hashes of a record's keys; few records have more than three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyHashes {
    few: [i32; 3],
    len: u8,
    more: Vec<i32>,
}

impl KeyHashes {
    fn push(&mut self, hash: i32) {
        match self.few.get_mut(usize::from(self.len)) {
            Some(place) => {
                *place = hash;
                self.len += 1;
            }
            None => self.more.push(hash),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        self.few[..usize::from(self.len)].iter().chain(&self.more).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message;

    proptest! {
        #[test]
        fn properties_are_read_as_everywhere_else(
            bytes in prop::collection::vec(prop_oneof![
                Just(b"TAGS\x01".to_vec()), Just(b"KEYS\x01".to_vec()), Just(b"UNIQ_KEY\x01".to_vec()),
                Just(b"DELAY\x01".to_vec()), Just(b"INNER_NUM\x01".to_vec()), Just(b"\x02".to_vec()),
                Just(b"\x01".to_vec()), Just(b"TAGS".to_vec()), prop::collection::vec(any::<u8>(), 0..12),
            ], 0..30)
        ) {
            let encoded = bytes.concat();
            let last = |name| message::property(&encoded, name);
            let expected = Indexed {
                tags: last(property::TAGS),
                keys: last(property::KEYS),
                unique: last(property::UNIQ_KEY),
                delay: last(property::DELAY),
                inner_num: last(property::INNER_NUM),
            };
            prop_assert_eq!(Indexed::of(&encoded), expected);
        }

        #[test]
        fn a_byte_is_found_where_it_is_first(bytes: Vec<u8>, byte: u8) {
            let expected = bytes.iter().position(|found| *found == byte).unwrap_or(bytes.len());
            prop_assert_eq!(find(&bytes, byte), expected);
        }
    }

    #[test]
    fn keys_are_the_unique_one_and_each_token() {
        let encoded = b"KEYS\x01a  bb c d e\x02UNIQ_KEY\x01U\x02";
        let prefix = java_hash("T#");
        let hashes: Vec<_> = Indexed::of(encoded).key_hashes(0, prefix).iter().collect();
        let expected = ["T#U", "T#a", "T#bb", "T#c", "T#d", "T#e"].map(|key| java_hash(key).abs());
        assert_eq!(hashes, expected);
        assert!(Indexed::of(encoded).key_hashes(sys_flag::TRANSACTION_ROLLBACK, prefix).is_empty());
    }

    #[test]
    fn the_smallest_hash_has_no_absolute_value() {
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(key_hash(java_hash("polygene"), "lubricants"), 0);
    }

    #[test]
    fn delayed_messages_carry_their_due_time() {
        let levels = [1_000, 5_000];
        let code = |properties: &[u8]| Indexed::of(properties).tags_code(SCHEDULE_TOPIC, 100, &levels);
        assert_eq!(code(b"DELAY\x012\x02TAGS\x01a\x02"), 5_100);
        assert_eq!(code(b"DELAY\x0199\x02"), 5_100);
        assert_eq!(code(b"DELAY\x010\x02TAGS\x01a\x02"), 97);
        assert_eq!(Indexed::of(b"DELAY\x012\x02TAGS\x01a").tags_code("T", 100, &levels), 97);
    }

    #[test]
    fn only_inner_batches_count_more_than_one() {
        let encoded = b"INNER_NUM\x0116\x02";
        assert_eq!(Indexed::of(encoded).count(sys_flag::INNER_BATCH), 16);
        assert_eq!(Indexed::of(encoded).count(0), 1);
        assert_eq!(Indexed::of(b"").count(sys_flag::INNER_BATCH), 1);
    }
}
