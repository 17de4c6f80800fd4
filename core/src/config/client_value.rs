//! The types that only settings of clients have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::value::Value;

/// Declares an enum of words; the first word of a variant is written, all are read.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $allowed:literal {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $other:literal)*;)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* #[doc(alias = $word)] $variant,)*
        }

        impl $name {
            /// Apache's word for it.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl Value for $name {
            const KIND: &'static str = "word";
            const ALLOWED: &'static str = $allowed;

            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word $(| $other)* => Some($name::$variant),)*
                    _ => None,
                }
            }

            fn print(&self) -> String {
                self.word().into()
            }
        }
    };
}

words! {
    /// Who of a group gets a message (`messageModel`).
    MessageModel, "CLUSTERING or BROADCASTING" {
        /// One of its members.
        Clustering = "CLUSTERING";
        /// Every member; there are no retries, and each keeps in a file of its own how far it has come.
        Broadcasting = "BROADCASTING";
    }
}

words! {
    /// Where a group begins that has not consumed yet (`consumeFromWhere`).
    #[derive(Default)]
    #[doc(alias = "ConsumeFromWhere")]
    StartFrom, "CONSUME_FROM_LAST_OFFSET, CONSUME_FROM_FIRST_OFFSET or CONSUME_FROM_TIMESTAMP" {
        /// With the first message there is.
        First = "CONSUME_FROM_FIRST_OFFSET" | "CONSUME_FROM_MIN_OFFSET";
        /// With messages that are sent from now on. In a queue that is found after the start: with those of the last
        /// ten minutes before the start, as clocks may be apart.
        #[default]
        Last = "CONSUME_FROM_LAST_OFFSET" | "CONSUME_FROM_MAX_OFFSET";
        /// With the first message stored at `consumeTimestamp` or later.
        Timestamp = "CONSUME_FROM_TIMESTAMP";
    }
}

words! {
    /// How the members of a group share its queues (`allocateMessageQueueStrategy`). Every member computes all shares
    /// from the same queues and members, so all need the same strategy.
    #[derive(Default)]
    #[doc(alias = "AllocateMessageQueueStrategy")]
    AllocationStrategy, "AVG, AVG_BY_CIRCLE, CONFIG, MACHINE_ROOM, MACHINE_ROOM_NEARBY or CONSISTENT_HASH" {
        /// Contiguous blocks, as equal as can be.
        #[default]
        #[doc(alias = "AllocateMessageQueueAveragely")]
        Averagely = "AVG";
        /// Dealt out in turn.
        #[doc(alias = "AllocateMessageQueueAveragelyByCircle")]
        ByCircle = "AVG_BY_CIRCLE";
        /// Those that the application names, whoever else has them.
        #[doc(alias = "AllocateMessageQueueByConfig")]
        Config = "CONFIG";
        /// Those of the rooms in `consumeridcs`, in blocks; a broker's room is what stands before `@` in its name.
        #[doc(alias = "AllocateMessageQueueByMachineRoom")]
        MachineRoom = "MACHINE_ROOM";
        /// Each room's queues to the members of the room, in blocks; those of rooms without members to all.
        #[doc(alias = "AllocateMachineRoomNearby")]
        Nearby = "MACHINE_ROOM_NEARBY" | "MACHINE_ROOM_NEARBY-AVG";
        /// By a ring of hash values, so that few queues move when members come and go.
        #[doc(alias = "AllocateMessageQueueConsistentHash")]
        ConsistentHash = "CONSISTENT_HASH";
    }
}

words! {
    /// How a body is compressed (`compressType`).
    CompressionType, "ZLIB, LZ4 or ZSTD" {
        /// zlib (RFC 1950), which every client reads.
        Zlib = "ZLIB";
        /// LZ4 in frames: much faster, a little larger.
        Lz4 = "LZ4";
        /// Zstandard: faster and smaller.
        Zstd = "ZSTD";
    }
}

words! {
    /// Form of the headers of requests (`serializeType`).
    SerializeType, "JSON or ROCKETMQ" {
        /// Text.
        Json = "JSON";
        /// Binary, about half as long.
        RocketMq = "ROCKETMQ";
    }
}

/// A point in time as Apache's settings write it, `yyyyMMddHHmmss` in the machine's time zone; or a number of
/// milliseconds since 1970, which has another number of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    ms: i64,
}

impl Timestamp {
    /// This many milliseconds since 1970.
    pub fn from_ms(ms: i64) -> Timestamp {
        Timestamp { ms }
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.ms
    }
}

impl Value for Timestamp {
    const KIND: &'static str = "time";
    const ALLOWED: &'static str = "a time as yyyyMMddHHmmss, or milliseconds since 1970";

    fn read(text: &str) -> Option<Self> {
        if text.len() != 14 || !text.bytes().all(|digit| digit.is_ascii_digit()) {
            return text.parse().ok().filter(|ms| *ms >= 0).map(Timestamp::from_ms);
        }
        let part = |from, to| text[from..to].parse::<u8>().ok();
        let year = text[..4].parse().ok()?;
        let (month, day, hour, minute, second) =
            (part(4, 6)?, part(6, 8)?, part(8, 10)?, part(10, 12)?, part(12, 14)?);
        let zone = tz::TimeZone::local().unwrap_or_else(|_| tz::TimeZone::utc());
        let found = tz::DateTime::find(year, month, day, hour, minute, second, 0, zone.as_ref()).ok()?;
        // An hour that a change of the clock repeats means its first pass; one that it skips, the moment of the change.
        Some(Timestamp::from_ms(found.earliest()?.unix_time().checked_mul(1000)?))
    }

    fn print(&self) -> String {
        self.ms.to_string()
    }
}

/// Milliseconds.
impl Value for Duration {
    const KIND: &'static str = "number";
    const ALLOWED: &'static str = "a number of milliseconds";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(Duration::from_millis)
    }

    fn print(&self) -> String {
        self.as_millis().to_string()
    }

    fn number(&self) -> Option<i64> {
        // A duration too long for a number is beyond every range.
        Some(i64::try_from(self.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Value for Vec<Duration> {
    const KIND: &'static str = "numbers";
    const ALLOWED: &'static str = "numbers of milliseconds separated by commas";

    fn read(text: &str) -> Option<Self> {
        text.split(',').map(|part| Duration::read(part.trim())).collect()
    }

    fn print(&self) -> String {
        self.iter().map(Value::print).collect::<Vec<_>>().join(",")
    }
}

impl Value for BTreeSet<String> {
    const KIND: &'static str = "texts";
    const ALLOWED: &'static str = "texts separated by commas";

    fn read(text: &str) -> Option<Self> {
        Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect())
    }

    fn print(&self) -> String {
        self.iter().map(String::as_str).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_apaches_and_read_strictly() {
        assert_eq!(StartFrom::read("CONSUME_FROM_TIMESTAMP"), Some(StartFrom::Timestamp));
        assert_eq!(StartFrom::read("CONSUME_FROM_MIN_OFFSET"), Some(StartFrom::First));
        assert_eq!(AllocationStrategy::read("MACHINE_ROOM_NEARBY-AVG"), Some(AllocationStrategy::Nearby));
        assert_eq!(MessageModel::read("broadcasting"), None);
        assert_eq!(AllocationStrategy::Nearby.word(), "MACHINE_ROOM_NEARBY");
    }

    #[test]
    fn a_timestamp_is_a_time_of_this_machine_or_milliseconds() {
        assert_eq!(Timestamp::read("1700000000004"), Some(Timestamp::from_ms(1_700_000_000_004)));
        let midnight = Timestamp::read("20240229000000").unwrap();
        let later = Timestamp::read("20240229000130").unwrap();
        assert_eq!(later.ms() - midnight.ms(), 90_000);
        // No zone is further than 14 h from UTC.
        assert!((midnight.ms() - 1_709_164_800_000).abs() <= 14 * 3_600_000);
        for bad in ["20240230000000", "2024022900000x", "-1", "", "20241301000000", "20240101250000"] {
            assert_eq!(Timestamp::read(bad), None, "{bad}");
        }
    }
}
