//! The file `checkpoint` (store reference, section 5.1): up to which time everything is on disk.

use std::io;
use std::path::Path;

use super::storage::{sync_failed, Open, Storage};

const LEN: usize = 4096;
/// Apache uses the first 40 bytes and leaves the rest alone, so there is room for what it does not know. All of it stands
/// in the first sector, which a power cut cannot tear: times of one moment with this block of another would say that
/// another broker was here.
const OWN_AT: usize = 256;
const OWN_MAGIC: &[u8; 8] = b"FerroMQ2";
const OWN_LEN: usize = 84;
/// Recovery goes back this much further than the times say.
const MARGIN_MS: i64 = 3000;

/// What the file says. Zeros, when there is no file or it cannot be true: then recovery reads everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[doc(alias = "StoreCheckpoint")]
pub(crate) struct Checkpoint {
    /// Store time of the last record known to be on disk, or of an older one, if not all keys since are in files of the
    /// index that will not change any more.
    pub log_ms: i64,
    /// Store time of the last record whose queue entry is known to be on disk.
    pub queues_ms: i64,
    /// Store time of the last record of the full index files known to be on disk.
    pub index_ms: i64,
    /// Kept as found; 5.x writes it.
    pub master_flushed: i64,
    /// Kept as found; 5.x writes it.
    pub confirm: i64,
    /// What was true at the same moment, if no other broker wrote the file since.
    pub own: Option<Own>,
}

/// Counts by which the loss of whole directories shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub queues: i64,
    pub index_files: i64,
    pub index_complete_to: i64,
    /// Every record before this commit-log offset has its queue entry on disk; a record ends here.
    pub dispatched_to: i64,
    /// Digest of where each queue ended with the records before that offset, if it is known; 0 in the file if not. It
    /// tells whether all of them are still there, and no others.
    pub queue_ends: Option<i64>,
    /// The same without where each queue's first file begins: retention may have moved that since.
    pub ends_alone: Option<i64>,
}

/// In place of the digest while a recovery changes files: none of what the checkpoint says can be relied on.
const BEGUN: i64 = i64::MIN;

impl Checkpoint {
    /// As it stands on the disk while recovery changes queues and index: were the power cut then, what was made durable
    /// before could be gone, and all of it has to be compared with the log.
    pub fn begun(&self) -> Checkpoint {
        // Of what another broker left, the table of topics tells what was deleted.
        let nothing = Own { queues: i64::MAX, dispatched_to: i64::MAX, ..Own::default() };
        let own = Own { queue_ends: Some(BEGUN), ends_alone: None, ..self.own.unwrap_or(nothing) };
        Checkpoint { log_ms: 0, queues_ms: 0, index_ms: 0, own: Some(own), ..*self }
    }

    /// As it stands on the disk while recovery makes the index again.
    pub fn without_index(&self) -> Checkpoint {
        let without = |own| Own { index_files: i64::MAX, index_complete_to: 0, ..own };
        Checkpoint { index_ms: 0, own: self.own.map(without), ..*self }
    }

    /// Whether a recovery was begun and not ended since.
    pub fn is_begun(&self) -> bool {
        self.own.is_some_and(|own| own.queue_ends == Some(BEGUN))
    }

    /// Reads the file. Times in the future or before 1970 are garbage.
    pub fn load(storage: &dyn Storage, path: &Path, now_ms: i64) -> io::Result<Checkpoint> {
        const DAY_MS: i64 = 86_400_000;
        let mut bytes = [0; LEN];
        match storage.open(path, Open::Existing) {
            Ok(file) => file.read_at(0, &mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::default()),
            Err(error) => return Err(error),
        };
        let long = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let mut read = Checkpoint {
            log_ms: long(0),
            queues_ms: long(8),
            index_ms: long(16),
            master_flushed: long(24),
            confirm: long(32),
            own: None,
        };
        if [read.log_ms, read.queues_ms, read.index_ms]
            .iter()
            .any(|time| !(0..now_ms + DAY_MS).contains(time))
        {
            return Ok(Checkpoint::default());
        }
        let own = Own {
            queues: long(OWN_AT + 32),
            index_files: long(OWN_AT + 40),
            index_complete_to: long(OWN_AT + 48),
            dispatched_to: long(OWN_AT + 56),
            queue_ends: Some(long(OWN_AT + 64)).filter(|ends| *ends != 0),
            ends_alone: Some(long(OWN_AT + 72)).filter(|ends| *ends != 0),
        };
        read.own = Some(own);
        // Bound to the three times, so that what is said here ends when another broker moves them.
        if read.encode()[OWN_AT..OWN_AT + OWN_LEN] != bytes[OWN_AT..OWN_AT + OWN_LEN] {
            read.own = None;
        }
        Ok(read)
    }

    /// Writes the file and makes it durable.
    pub fn save(&self, storage: &dyn Storage, path: &Path) -> io::Result<()> {
        let file = storage.open(path, Open::Create)?;
        let is_new = file.len()? == 0;
        file.write_at(0, &self.encode())?;
        file.sync().map_err(sync_failed)?;
        match path.parent().filter(|_| is_new) {
            Some(dir) => storage.sync_dir(dir).map_err(sync_failed),
            None => Ok(()),
        }
    }

    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let longs = [self.log_ms, self.queues_ms, self.index_ms, self.master_flushed, self.confirm];
        let mut put = |at: usize, long: i64| bytes[at..at + 8].copy_from_slice(&long.to_be_bytes());
        longs.iter().enumerate().for_each(|(at, long)| put(at * 8, *long));
        if let Some(own) = self.own {
            put(OWN_AT, i64::from_be_bytes(*OWN_MAGIC));
            let values = [
                self.log_ms,
                self.queues_ms,
                self.index_ms,
                own.queues,
                own.index_files,
                own.index_complete_to,
                own.dispatched_to,
                own.queue_ends.unwrap_or(0),
                own.ends_alone.unwrap_or(0),
            ];
            values.iter().enumerate().for_each(|(at, value)| put(OWN_AT + 8 + at * 8, *value));
            let crc = crc32fast::hash(&bytes[OWN_AT..OWN_AT + OWN_LEN - 4]);
            bytes[OWN_AT + OWN_LEN - 4..OWN_AT + OWN_LEN].copy_from_slice(&crc.to_be_bytes());
        }
        bytes
    }

    /// Records stored up to this time are on disk, and so are their queue entries.
    pub fn safe_ms(&self) -> i64 {
        (self.log_ms.min(self.queues_ms) - MARGIN_MS).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::{Memory, Operation};

    const NOW: i64 = 1_800_000_000_000;

    fn sample() -> Checkpoint {
        let own = Some(Own {
            queues: 7,
            index_files: 2,
            index_complete_to: 12345,
            dispatched_to: 54321,
            queue_ends: Some(-9),
            ends_alone: Some(11),
        });
        Checkpoint {
            log_ms: NOW - 5000,
            queues_ms: NOW - 6000,
            index_ms: 3,
            master_flushed: 4,
            confirm: 5,
            own,
        }
    }

    fn path() -> &'static Path {
        Path::new("/s/checkpoint")
    }

    fn saved() -> Memory {
        let memory = Memory::new();
        memory.create_dir_all(Path::new("/s")).unwrap();
        memory.sync_dir(Path::new("/")).unwrap();
        sample().save(&memory, path()).unwrap();
        memory
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let memory = saved();
        assert_eq!(Checkpoint::load(&memory, path(), NOW).unwrap(), sample());
        assert_eq!(sample().safe_ms(), NOW - 9000);
        assert_eq!(memory.list(Path::new("/s")).unwrap()[0].len, 4096);
    }

    #[test]
    fn a_power_cut_leaves_all_of_the_old_or_all_of_the_new() {
        let memory = saved();
        let new = Checkpoint { log_ms: NOW, queues_ms: NOW + 1, index_ms: NOW + 2, ..sample().begun() };
        memory.intercept(|operation, _| match operation {
            Operation::Sync => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => Ok(()),
        });
        assert!(new.save(&memory, path()).is_err());
        let left = |seed| Checkpoint::load(&memory.power_cut(seed), path(), NOW).unwrap();
        let all: Vec<_> = (0..50).map(left).collect();
        assert!(all.contains(&sample()) && all.contains(&new));
        assert!(all.iter().all(|one| *one == sample() || *one == new));
    }

    #[test]
    fn another_brokers_write_ends_what_only_this_one_knows() {
        let memory = saved();
        let file = memory.open(path(), Open::Existing).unwrap();
        file.write_at(0, &(NOW - 4000).to_be_bytes()).unwrap();
        let read = Checkpoint::load(&memory, path(), NOW).unwrap();
        assert_eq!((read.log_ms, read.own), (NOW - 4000, None));
    }

    #[test]
    fn missing_short_and_garbage_files_say_nothing() {
        let memory = Memory::new();
        memory.create_dir_all(Path::new("/s")).unwrap();
        assert_eq!(Checkpoint::load(&memory, path(), NOW).unwrap(), Checkpoint::default());
        let file = memory.open(path(), Open::Create).unwrap();
        file.write_at(0, &[1, 2, 3]).unwrap();
        assert_eq!(Checkpoint::load(&memory, path(), NOW).unwrap(), Checkpoint::default());
        file.write_at(0, &[0xFE; 4096]).unwrap();
        assert_eq!(Checkpoint::load(&memory, path(), NOW).unwrap(), Checkpoint::default());
    }
}
