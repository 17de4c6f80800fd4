//! Stored records in a pull reply: enough of their layout to count them, check their order and find their bodies.

use crate::frame::be32;

/// Offset of the queue offset within a record.
const QUEUE_OFFSET_AT: usize = 20;
/// Offset of sysFlag.
const SYS_FLAG_AT: usize = 36;
/// Offset of the body length when both hosts are IPv4.
const BODY_LENGTH_AT: usize = 84;
/// sysFlag bits of an IPv6 born host and store host, each of which is 12 bytes longer than IPv4.
const IPV6_HOSTS: [u32; 2] = [0x10, 0x20];

/// Visits `(queue offset, body)` of records standing back to back; returns how many there were.
pub fn walk(mut bytes: &[u8], mut visit: impl FnMut(u64, &[u8])) -> Result<u64, String> {
    let mut count = 0;
    while !bytes.is_empty() {
        let size = be32(bytes).unwrap_or(0) as usize;
        let record = bytes.get(..size).ok_or_else(|| cut(count))?;
        visit(queue_offset(record).ok_or_else(|| cut(count))?, body(record).ok_or_else(|| cut(count))?);
        count += 1;
        bytes = &bytes[size..];
    }
    Ok(count)
}

fn cut(count: u64) -> String {
    format!("record {} of a pull reply is cut short or has a wrong size", count + 1)
}

fn queue_offset(record: &[u8]) -> Option<u64> {
    record.get(QUEUE_OFFSET_AT..)?.first_chunk().map(|chunk| u64::from_be_bytes(*chunk))
}

fn body(record: &[u8]) -> Option<&[u8]> {
    let sys_flag = be32(record.get(SYS_FLAG_AT..)?)?;
    let longer: usize = IPV6_HOSTS.iter().map(|bit| if sys_flag & bit != 0 { 12 } else { 0 }).sum();
    let at = BODY_LENGTH_AT + longer;
    let length = be32(record.get(at..)?)? as usize;
    record.get(at + 4..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, sys_flag: u32, body: &[u8]) -> Vec<u8> {
        let hosts = 8 + 8 + IPV6_HOSTS.iter().filter(|bit| sys_flag & **bit != 0).count() * 12;
        let mut out = vec![0; 20];
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&sys_flag.to_be_bytes());
        // Born and store time, the two hosts, reconsume times, prepared transaction offset.
        out.resize(out.len() + 16 + hosts + 4 + 8, 0);
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\x01t\x00\x00");
        let size = out.len() as u32;
        out[..4].copy_from_slice(&size.to_be_bytes());
        out
    }

    #[test]
    fn walks_records_of_both_address_families() {
        let bytes = [record(5, 0, b"one"), record(6, 0x30, b""), record(7, 0x10, b"three")].concat();
        let mut seen = Vec::new();
        assert_eq!(walk(&bytes, |offset, body| seen.push((offset, body.to_vec()))), Ok(3));
        assert_eq!(seen, [(5, b"one".to_vec()), (6, Vec::new()), (7, b"three".to_vec())]);
        assert_eq!(walk(b"", |_, _| ()), Ok(0));
    }

    #[test]
    fn cuts_and_absurd_sizes_are_errors() {
        let bytes = record(5, 0, b"one");
        for cut in 1..bytes.len() {
            assert!(walk(&bytes[..cut], |_, _| ()).is_err(), "cut at {cut}");
        }
        assert!(walk(&[0; 8], |_, _| ()).is_err());
        assert!(walk(&[0xFF; 200], |_, _| ()).is_err());
    }
}
