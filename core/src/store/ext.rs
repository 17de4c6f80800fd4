//! Extended queue entries (store reference, section 3.2), which brokers with `enableConsumeQueueExt` write. They are
//! read for the tags hash; entries made here carry the hash themselves.

use std::path::PathBuf;
use std::sync::Arc;

use super::segment::file_name;
use super::storage::{Open, Storage};

/// Bytes of a unit without its bit map: size, tags hash, store time, length of the map.
const HEAD_LEN: usize = 20;

/// The directory of extended entries.
pub(crate) struct Ext {
    pub dir: PathBuf,
    pub file_size: u64,
    pub storage: Arc<dyn Storage>,
}

impl Ext {
    /// The hash of the tag in the unit at `address`, as it stands in the entry's tags code.
    pub fn tags_hash(&self, topic: &str, queue_id: i32, address: i64) -> Option<i64> {
        let at = address.wrapping_sub(i64::MIN) as u64;
        let base = at - at % self.file_size;
        let path = self.dir.join(topic).join(queue_id.to_string()).join(file_name(base as i64));
        let file = self.storage.open(&path, Open::Existing).ok()?;
        let mut head = [0; HEAD_LEN];
        let read = file.read_at(at - base, &mut head).ok()?;
        let size = i16::from_be_bytes([head[0], head[1]]);
        let map = i16::from_be_bytes([head[18], head[19]]);
        let whole = read == HEAD_LEN && i32::from(size) == HEAD_LEN as i32 + i32::from(map);
        whole.then(|| i64::from_be_bytes(head[2..10].try_into().unwrap_or_default()))
    }
}
