//! The two ids of a message: where it is stored (offset id), and the unique id that its producer makes.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, ErrorKind, Result};

/// The offset id: the broker that stores a message and its place in the commit log. As text 32 upper-case hex digits,
/// 56 with an IPv6 host: address (4 or 16 bytes), port (4), offset (8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "MessageId")]
pub struct OffsetId {
    /// The broker's store host.
    pub host: SocketAddr,
    /// Byte offset of the record in the commit log.
    pub physical_offset: i64,
}

impl OffsetId {
    /// Appends the text to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self.host.ip() {
            IpAddr::V4(ip) => hex_into(out, &ip.octets()),
            IpAddr::V6(ip) => hex_into(out, &ip.octets()),
        }
        hex_into(out, &u32::from(self.host.port()).to_be_bytes());
        hex_into(out, &self.physical_offset.to_be_bytes());
    }

    /// The text, in one piece of memory: every message that is consumed has one.
    pub(crate) fn into_text(self) -> String {
        let mut text = Vec::with_capacity(if self.host.is_ipv4() { 32 } else { 56 });
        self.write_to(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for OffsetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.into_text())
    }
}

impl FromStr for OffsetId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = |why: &str| {
            let text: String = text.chars().take(80).collect();
            Error::new(ErrorKind::InvalidArgument, "read message id", format!("{text:?}: {why}"))
        };
        let bytes =
            from_hex(text).ok_or_else(|| fault("not hexadecimal; an offset id has 32 or 56 hex digits"))?;
        let (ip, rest): (IpAddr, _) = match bytes.len() {
            16 => (Ipv4Addr::from(array::<4>(&bytes)).into(), &bytes[4..]),
            28 => (Ipv6Addr::from(array::<16>(&bytes)).into(), &bytes[16..]),
            _ => return Err(fault("an offset id has 32 hex digits, or 56 with an IPv6 host")),
        };
        let port = u32::from_be_bytes(array(rest));
        let port = u16::try_from(port)
            .map_err(|_| fault(&format!("port {port} is over 65535; not an offset id")))?;
        let physical_offset = i64::from_be_bytes(array(&rest[4..]));
        if physical_offset < 0 {
            return Err(fault("its commit log offset is negative; not an offset id"));
        }
        Ok(OffsetId { host: SocketAddr::new(ip, port), physical_offset })
    }
}

/// A new unique id in the form of Apache's clients: 32 upper-case hex digits of host (4 bytes), process id (2), class
/// loader (4), ms since the start of the month (4), counter (2). The host bytes are random per process here; a client
/// that knows its address uses [`unique_id_of`]. The class loader bytes are random per process, a forked one included:
/// process ids and addresses repeat in containers.
///
/// No two ids of a process are the same within a month, however many a millisecond and however its clock jumps. Across
/// processes only chance keeps them apart, so whoever must not do a thing twice relies on a key of its own.
#[doc(alias = "createUniqID")]
pub fn unique_id() -> String {
    // The highest class A block is reserved, so a made-up host is never taken for a real one.
    let random = process_random(std::process::id()).to_be_bytes();
    unique_id_of(Ipv4Addr::new(0xF0 | random[0], random[1], random[2], random[3]).into())
}

/// As [`unique_id`] with the address of this host: 32 digits, 56 with an IPv6 host.
pub fn unique_id_of(host: IpAddr) -> String {
    unique_id_in(std::process::id(), host)
}

/// As [`unique_id_of`], for callers who know the id of this process: asking the system takes as long as all the rest.
pub fn unique_id_in(process: u32, host: IpAddr) -> String {
    let mut text = Vec::with_capacity(56);
    match host {
        IpAddr::V4(ip) => hex_into(&mut text, &ip.octets()),
        IpAddr::V6(ip) => hex_into(&mut text, &ip.octets()),
    }
    hex_into(&mut text, &(process as u16).to_be_bytes());
    hex_into(&mut text, &(process_random(process) as u32).to_be_bytes());
    let moment = next_moment();
    hex_into(&mut text, &ms_of_month(moment >> COUNTER_BITS).to_be_bytes());
    hex_into(&mut text, &(moment as u16).to_be_bytes());
    String::from_utf8(text).unwrap_or_default()
}

/// A random number of this process. Not locked: a process forked while another thread was here must get its own too.
fn process_random(process: u32) -> u64 {
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    static RANDOM: AtomicU64 = AtomicU64::new(0);
    if PROCESS.load(Ordering::Acquire) == process {
        return RANDOM.load(Ordering::Relaxed);
    }
    // A forked process inherits the state of the hasher, so its own number has to go in.
    let random = RandomState::new().hash_one((SystemTime::now(), process));
    RANDOM.store(random, Ordering::Relaxed);
    PROCESS.store(process, Ordering::Release);
    random
}

const COUNTER_BITS: u32 = 16;

/// A moment that no other id of this process has: ms since 1970, and below them the counter.
fn next_moment() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(moment_after(last, now)));
    moment_after(last.unwrap_or_else(|last| last), now)
}

/// The first moment of `now_ms`, or the one after `last` if that is later: when the counter of a millisecond is used up
/// or the clock was set back, ids take from the milliseconds to come.
fn moment_after(last: u64, now_ms: u64) -> u64 {
    (last + 1).max(now_ms << COUNTER_BITS)
}

/// Milliseconds since the start of the month (UTC) that the time `ms` since 1970 is in, below 2^32.
fn ms_of_month(ms: u64) -> u32 {
    (u64::from(day_of_month(ms / 86_400_000)) * 86_400_000 + ms % 86_400_000) as u32
}

/// The day of the month, from 0, of a day counted from 1970-01-01 (Gregorian calendar).
fn day_of_month(days: u64) -> u32 {
    // Years begin on 1 March, so that the leap day is the last of its year; eras have 400 years.
    let day_of_era = (days + 719_468) % 146_097;
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    (day_of_year - (153 * month + 2) / 5) as u32
}

/// Appends the upper-case hex digits of `bytes`, four bytes a step: every send is answered with an id.
fn hex_into(out: &mut Vec<u8>, bytes: &[u8]) {
    for four in bytes.chunks(4) {
        let word = four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let digits = hex_digits(word).to_be_bytes();
        out.extend_from_slice(&digits[8 - 2 * four.len()..]);
    }
}

/// The eight digits of `word`, the last one in the lowest byte.
fn hex_digits(word: u32) -> u64 {
    let halves = (u64::from(word) | u64::from(word) << 16) & 0x0000_FFFF_0000_FFFF;
    let bytes = (halves | halves << 8) & 0x00FF_00FF_00FF_00FF;
    let nibbles = (bytes | bytes << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    let above_nine = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    nibbles + 0x3030_3030_3030_3030 + above_nine * u64::from(b'A' - b'9' - 1)
}

/// At most 28 bytes are of interest; longer text is none of our ids and not worth reading.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() % 2 != 0 || text.len() > 56 {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|two| Some(digit(two[0])? << 4 | digit(two[1])?)).collect()
}

/// The first `N` of `bytes`, which are at least as many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| bytes[at])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offset_ids_have_apaches_form() {
        let id = OffsetId { host: "127.0.0.1:10911".parse().unwrap(), physical_offset: 0x1234 };
        assert_eq!(id.to_string(), "7F00000100002A9F0000000000001234");
        assert_eq!("7f00000100002a9f0000000000001234".parse::<OffsetId>().unwrap(), id);
        let id = OffsetId { host: "[::1]:1".parse().unwrap(), physical_offset: 7 };
        assert_eq!(id.to_string(), "00000000000000000000000000000001000000010000000000000007");
    }

    #[test]
    fn every_digit_is_written() {
        let mut text = Vec::new();
        hex_into(&mut text, &[0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0x90, 0xFA, 0x0A]);
        assert_eq!(text, b"0123456789ABCDEF90FA0A");
    }

    #[test]
    fn what_is_no_offset_id_is_explained() {
        let error = |text: &str| text.parse::<OffsetId>().unwrap_err().to_string();
        assert!(error("").contains("32 hex digits"));
        assert!(error("xyz").contains("not hexadecimal"));
        assert!(error(&"a".repeat(1000)).len() < 200);
        assert!(error("7F000001FFFFFFFF0000000000001234").contains("port 4294967295"));
        assert!(error("7F00000100002A9FFFFFFFFFFFFFFFFF").contains("negative"));
        assert!(error("ééééééééééééééééé").contains("not hexadecimal"));
    }

    #[test]
    fn unique_ids_are_unique_and_of_apaches_form() {
        let ids: HashSet<String> = (0..10_000).map(|_| unique_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32 && from_hex(id).is_some()));
        assert!(unique_id_of(Ipv4Addr::LOCALHOST.into()).starts_with("7F000001"));
        assert_eq!(unique_id_of(Ipv6Addr::LOCALHOST.into()).len(), 56);
    }

    #[test]
    fn threads_never_make_the_same_id() {
        let make = || (0..50_000).map(|_| unique_id_of(Ipv4Addr::LOCALHOST.into())).collect::<Vec<_>>();
        let made: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), 200_000);
    }

    #[test]
    fn a_used_up_millisecond_and_a_clock_set_back_take_from_the_time_to_come() {
        let mut last = 0;
        let mut seen = HashSet::new();
        for now_ms in std::iter::repeat_n(1_000, 200_000).chain(std::iter::repeat_n(5, 1_000)).chain([2_000])
        {
            last = moment_after(last, now_ms);
            assert!(seen.insert((ms_of_month(last >> COUNTER_BITS), last as u16)));
        }
        assert_eq!(last, 2_000 << COUNTER_BITS, "what was borrowed is paid back");
    }

    #[test]
    fn another_process_has_another_number() {
        let process = std::process::id();
        let (own, forked) = (process_random(process), process_random(process + 1));
        assert_ne!(own as u32, forked as u32);
        assert_ne!(own >> 32, forked >> 32);
    }

    #[test]
    fn the_month_begins_at_zero() {
        let at = |seconds: u64| ms_of_month(seconds * 1000);
        assert_eq!(at(0), 0);
        assert_eq!(at(951_782_400), 28 * 86_400_000, "2000-02-29");
        assert_eq!(at(951_868_800), 0, "2000-03-01");
        assert_eq!(at(1_735_689_599), 30 * 86_400_000 + 86_399_000, "the last second of 2024");
    }

    proptest! {
        #[test]
        fn offset_ids_survive_their_text(ip: IpAddr, port: u16, offset in 0..i64::MAX) {
            let id = OffsetId { host: SocketAddr::new(ip, port), physical_offset: offset };
            prop_assert_eq!(id.to_string().parse::<OffsetId>().unwrap(), id);
        }

        #[test]
        fn arbitrary_text_is_read(text: String) {
            let _ = text.parse::<OffsetId>();
        }
    }
}
