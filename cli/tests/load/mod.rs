//! Load for brokers that are killed under it, and the look at what they kept. Many topics, their queues unevenly full;
//! frames of our own, so that nothing is sent twice and the next sends do not wait for answers. The tests of this command
//! use it, and the interop tests, which let Apache's brokers open what was left.

mod read;
mod send;

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::time::Duration;

pub use read::{check, Found};
pub use send::{send_until_broken, Acked, WINDOW};

/// Topics, made by the first send to each.
pub const TOPICS: usize = 130;
/// Queues of each topic: what a topic gets that is made by a send.
pub const QUEUES: usize = 8;
/// Queues in all.
pub const ALL: usize = TOPICS * QUEUES;
/// Connections that send at the same time.
pub const SENDERS: usize = 4;
/// Longer than any answer takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(120);

/// Every bit of a number depends on every bit of the other.
pub fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The id of the `n`-th message of a sender in a round; all else about a message follows from it.
fn id_of(round: u64, sender: usize, n: u64) -> u64 {
    (round << 40) | ((sender as u64) << 32) | n
}

/// The queue of a message. Half of the first ones go to each queue in turn, so that none is empty for long; all others
/// mostly to few: the first tenth of the queues takes more than half of them.
fn queue_of(id: u64) -> usize {
    let (sender, n) = ((id >> 32) as usize & 0xFF, (id & 0xFFFF_FFFF) as usize);
    let turn = n / 2 * SENDERS + sender;
    if n % 2 == 0 && turn < ALL {
        return turn;
    }
    let share = mix(id) as f64 / (u64::MAX as f64);
    ((share.powi(4) * ALL as f64) as usize).min(ALL - 1)
}

fn topic(queue: usize) -> String {
    format!("Crash-{}", queue / QUEUES)
}

/// Mostly up to a kilobyte, some up to 32.
fn body(id: u64) -> Vec<u8> {
    let bits = mix(!id);
    let most = if bits % 128 == 0 { 32 << 10 } else { 1 << 10 };
    let mut body = id.to_be_bytes().to_vec();
    body.resize(8 + (bits >> 32) as usize % most, id as u8);
    body
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(stream)
}

/// The next whole frame.
fn read_frame(stream: &mut BufReader<TcpStream>, frame: &mut Vec<u8>) -> std::io::Result<()> {
    frame.resize(4, 0);
    stream.read_exact(frame)?;
    let length = frame.first_chunk().map_or(0, |length| u32::from_be_bytes(*length));
    frame.resize(4 + length as usize, 0);
    stream.read_exact(&mut frame[4..])
}
