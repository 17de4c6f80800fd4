//! Numbers that are unique over many machines without asking anyone: time, node and a counter in 64 bits.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// 2024-01-01, from which the milliseconds are counted.
const BEGIN_MS: u64 = 1_704_067_200_000;

/// Makes up to 4096 numbers a millisecond, each larger than the one before. Up to 1024 nodes make different ones.
pub struct Snowflakes {
    node: u64,
    /// The last millisecond, and how many numbers it has given.
    last: Mutex<(u64, u64)>,
}

impl Snowflakes {
    /// `node` is 0 to 1023 and another one in each process; what is beyond is cut off.
    pub fn new(node: u64) -> Snowflakes {
        Snowflakes { node: node & 1023, last: Mutex::new((0, 0)) }
    }

    /// The next number: 41 bits of milliseconds, 10 of the node, 12 of the counter.
    pub fn next_id(&self) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // A clock that was set back does not matter: the time of the last number goes on counting.
        let now = now_ms().max(last.0);
        *last = match (now == last.0, last.1) {
            (true, 4095) => (last.0 + 1, 0),
            (true, count) => (last.0, count + 1),
            (false, _) => (now, 0),
        };
        (last.0 << 22) | (self.node << 12) | last.1
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    now.saturating_sub(BEGIN_MS)
}
