//! The types a setting can have, and how each is read and written.

use std::fmt;
use std::path::PathBuf;

use crate::{Error, ErrorKind, Result};

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// Name of the type, for documentation.
    const KIND: &'static str;
    /// What may be written, for error messages. Numbers get their range from the table instead.
    const ALLOWED: &'static str;
    /// Reads a value; `None` if the text is not one.
    fn read(text: &str) -> Option<Self>;
    /// Writes a value so that [`Value::read`] reads the same again.
    fn print(&self) -> String;
    /// The value as a number, for the range check of the table.
    fn number(&self) -> Option<i64> {
        None
    }
}

impl Value for bool {
    const KIND: &'static str = "boolean";
    const ALLOWED: &'static str = "true or false";

    fn read(text: &str) -> Option<Self> {
        // Java takes every other word for false; a misspelt "ture" should not switch anything off silently.
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

macro_rules! numbers {
    ($($kind:ty),*) => { $(
        impl Value for $kind {
            const KIND: &'static str = "number";
            const ALLOWED: &'static str = "a number";

            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn number(&self) -> Option<i64> {
                i64::try_from(*self).ok()
            }
        }
    )* };
}
numbers!(u16, u32, i32, i64, usize);

impl Value for String {
    const KIND: &'static str = "text";
    const ALLOWED: &'static str = "any text";

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";
    const ALLOWED: &'static str = "a path";

    fn read(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| PathBuf::from(text))
    }

    fn print(&self) -> String {
        self.display().to_string()
    }
}

/// An empty text is "not given".
impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const ALLOWED: &'static str = T::ALLOWED;

    fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        T::read(text).map(Some)
    }

    fn print(&self) -> String {
        self.as_ref().map_or_else(String::new, Value::print)
    }

    fn number(&self) -> Option<i64> {
        self.as_ref().and_then(Value::number)
    }
}

/// When an append may be acknowledged (`flushDiskType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushDiskType {
    /// In the page cache (`ASYNC_FLUSH`): survives the end of the process, not of the machine.
    Async,
    /// On the disk (`SYNC_FLUSH`).
    Sync,
}

impl Value for FlushDiskType {
    const KIND: &'static str = "word";
    const ALLOWED: &'static str = "ASYNC_FLUSH or SYNC_FLUSH";

    fn read(text: &str) -> Option<Self> {
        match text {
            "ASYNC_FLUSH" => Some(FlushDiskType::Async),
            "SYNC_FLUSH" => Some(FlushDiskType::Sync),
            _ => None,
        }
    }

    fn print(&self) -> String {
        match self {
            FlushDiskType::Async => "ASYNC_FLUSH".into(),
            FlushDiskType::Sync => "SYNC_FLUSH".into(),
        }
    }
}

/// Part that a broker plays in its group (`brokerRole`). Replication is not there yet, so only masters without
/// replicas are taken: a file that asks for more stops the start rather than promise what is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerRole {
    /// `ASYNC_MASTER`: acknowledges without waiting for replicas.
    AsyncMaster,
}

impl Value for BrokerRole {
    const KIND: &'static str = "word";
    const ALLOWED: &'static str = "ASYNC_MASTER (replication, so SYNC_MASTER and SLAVE, is not there yet)";

    fn read(text: &str) -> Option<Self> {
        (text == "ASYNC_MASTER").then_some(BrokerRole::AsyncMaster)
    }

    fn print(&self) -> String {
        "ASYNC_MASTER".into()
    }
}

/// Hours of the day at which expired files are deleted (`deleteWhen`): two digits each, separated by `;`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteHours(Vec<u8>);

impl DeleteHours {
    /// The hours, 0 to 23.
    pub fn hours(&self) -> &[u8] {
        &self.0
    }
}

impl Value for DeleteHours {
    const KIND: &'static str = "hours";
    const ALLOWED: &'static str = "hours from 00 to 23, separated by ;";

    fn read(text: &str) -> Option<Self> {
        let hour = |part: &str| part.trim().parse().ok().filter(|hour| *hour < 24);
        let parts = text.split(';').filter(|part| !part.trim().is_empty());
        let hours = parts.map(hour).collect::<Option<Vec<u8>>>()?;
        (!hours.is_empty()).then_some(DeleteHours(hours))
    }

    fn print(&self) -> String {
        self.0.iter().map(|hour| format!("{hour:02}")).collect::<Vec<_>>().join(";")
    }
}

/// The delays of levels 1 to n (`messageDelayLevel`): numbers with unit s, m, h or d, separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels {
    text: String,
    ms: Vec<i64>,
}

impl DelayLevels {
    /// Delay of each level in milliseconds; level 1 is the first.
    pub fn ms(&self) -> &[i64] {
        &self.ms
    }
}

impl fmt::Display for DelayLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Value for DelayLevels {
    const KIND: &'static str = "durations";
    const ALLOWED: &'static str = "numbers with unit s, m, h or d, separated by spaces, such as 1s 5s 10m 2h";

    fn read(text: &str) -> Option<Self> {
        let ms = delay_levels(text).ok()?;
        Some(DelayLevels { text: text.to_owned(), ms })
    }

    fn print(&self) -> String {
        self.text.clone()
    }
}

/// Reads a list of delays such as `1s 5s 10m 2h` into milliseconds.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] naming the first entry that is not a positive number with unit s, m, h or d, or if
/// there is none at all.
pub fn delay_levels(text: &str) -> Result<Vec<i64>> {
    let refuse = |what: String| {
        let context = format!("{what}; allowed are {}", DelayLevels::ALLOWED);
        Error::new(ErrorKind::InvalidArgument, "read delay levels", context)
    };
    let level = |part: &str| -> Option<i64> {
        let unit = match part.chars().last()? {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        let count: i64 = part[..part.len() - 1].parse().ok()?;
        (count > 0).then_some(count)?.checked_mul(unit)
    };
    let parts = text.split_ascii_whitespace();
    let ms: Vec<i64> =
        parts.map(|part| level(part).ok_or_else(|| refuse(format!("{part:?}")))).collect::<Result<_>>()?;
    if ms.is_empty() {
        return Err(refuse("an empty list".into()));
    }
    Ok(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_levels_know_four_units_and_name_the_bad_entry() {
        assert_eq!(delay_levels("1s  2m 3h 4d").unwrap(), [1_000, 120_000, 10_800_000, 345_600_000]);
        for bad in ["", "5", "s", "1s 2x", "0s", "-1s", "9223372036854775807d", "1s,2s", "é"] {
            let error = delay_levels(bad).unwrap_err();
            assert!(error.to_string().contains("unit s, m, h or d"), "{bad}: {error}");
        }
        assert!(delay_levels("1s 2x").unwrap_err().to_string().contains("\"2x\""));
    }

    #[test]
    fn words_and_hours_are_read_strictly() {
        assert_eq!(bool::read("TRUE"), Some(true));
        assert_eq!(bool::read("ture"), None);
        assert_eq!(DeleteHours::read("04;16").unwrap().hours(), [4, 16]);
        assert_eq!(DeleteHours::read("4").unwrap().print(), "04");
        assert!(DeleteHours::read("24").is_none() && DeleteHours::read(";").is_none());
        assert_eq!(FlushDiskType::read("SYNC_FLUSH"), Some(FlushDiskType::Sync));
        assert_eq!(FlushDiskType::read("sync"), None);
        assert_eq!(<Option<PathBuf>>::read(""), Some(None));
    }
}
