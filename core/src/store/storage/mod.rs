//! The seam between the store and the bytes: real files, or memory that can simulate power cuts, full disks and
//! failing syncs, or real files that nothing is written to.

mod files;
mod memory;
mod overlay;
mod sys;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::mapping::{Mapping, Writer};

pub use files::Files;
#[cfg(test)]
pub(crate) use memory::Random;
pub use memory::{Memory, Operation};
pub use overlay::Overlay;
pub(crate) use sys::{forks, local_time};

/// A place for directories and files.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Makes a directory and those above it. Their names are durable after [`Storage::sync_dir`] of each parent.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// What is in a directory, ordered by name; empty if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn File>>;

    /// Opens a file of at least `len` bytes for reading and writing. One that is not there is made of zeros that take no
    /// blocks, and has its name only once it has its length, where the file system can do that: a kill in between would
    /// leave an empty file, and Apache's brokers start on no store with a file that is shorter than it should be.
    fn make(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>> {
        let file = self.open(path, Open::Create)?;
        if file.len()? < len {
            file.set_len(len)?;
        }
        Ok(file)
    }

    /// Gives a file a second name, in a directory that is there. The default has no such thing.
    fn link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file. Readers that have it open or mapped keep it.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Opens the disk that holds `dir`, to make durable everything on it: for when too many files changed to sync each of
    /// them.
    fn disk(&self, dir: &Path) -> io::Result<SyncDisk>;

    /// Does that once. What failed before is not told for sure.
    fn sync_all(&self, dir: &Path) -> io::Result<()> {
        match self.disk(dir)?() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            result => result,
        }
    }

    /// Size and use of the disk that holds `dir`.
    fn space(&self, dir: &Path) -> io::Result<Space>;

    /// Takes the lock that byte 0 of `path` stands for, until the returned file is dropped. The file is made if need
    /// be. `None`: someone else holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>>;
}

/// Makes everything on a disk durable, and tells what failed since it was called last, or made.
///
/// # Errors
/// Besides what failed, [`io::ErrorKind::Unsupported`] when the system has written everything and does not tell whether that
/// worked (Linux before 5.8).
pub type SyncDisk = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// An open file.
pub trait File: Send + Sync {
    /// Bytes in the file.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Shortens the file, or lengthens it with zeros that take no blocks.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reads into `out` from `at` on, as much as there is; returns how much that was.
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `at`.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable, through mappings too, and the length.
    fn sync(&self) -> io::Result<()>;

    /// Makes sure that there are blocks for the range, so that writing there cannot fail for want of space. What is there
    /// stays.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] when the file system cannot do that; see `write_zeros`.
    fn allocate(&self, at: u64, len: u64) -> io::Result<()>;

    /// Makes the range zeros, giving its blocks back where possible.
    fn zero(&self, at: u64, len: u64) -> io::Result<()>;

    /// The first byte at or behind `at` that may be other than zero; `None` if there is none.
    fn next_data(&self, at: u64) -> io::Result<Option<u64>>;

    /// Says that little will be read at a time, here and there: reading ahead would only fill the memory.
    fn expect_random_reads(&self) {}

    /// Gives back the lock that [`Storage::lock`] took. Closing the file does that too, but not as long as another process,
    /// one that was forked and is about to begin its own program, has a copy of the descriptor.
    fn unlock(&self) -> io::Result<()> {
        Ok(())
    }

    /// Says that the range will not be read soon: what of it is on the disk need not stay in memory.
    fn give_back(&self, _at: u64, _len: u64) {}

    /// When the file was last written, ms since 1970.
    fn modified_ms(&self) -> io::Result<i64>;

    /// Changes when the file counts as last written, ms since 1970.
    fn set_modified_ms(&self, ms: i64) -> io::Result<()>;

    /// Maps the first `len` bytes; what lies before `published` can be read at once. The file must be that long.
    fn map(&self, len: usize, published: usize) -> io::Result<(Arc<Mapping>, Writer)>;
}

/// Writes zeros to a range: where blocks cannot be allocated, what is written has them.
pub(crate) fn write_zeros(file: &dyn File, at: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let mut done = 0;
    while done < len {
        let count = (len - done).min(ZEROS.len() as u64);
        file.write_at(at + done, &ZEROS[..count as usize])?;
        done += count;
    }
    Ok(())
}

/// Whether there is no room, which may pass; nothing was written then.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

/// The error of a sync, which never passes, whatever the reason: what it was to write may be gone.
pub(crate) fn sync_failed(error: io::Error) -> io::Error {
    io::Error::other(format!("sync: {error}"))
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// It must be there.
    Existing,
    /// It is made if it is not there.
    Create,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name within the directory. Names that are not UTF-8 are left out: the store makes none.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes of a file.
    pub len: u64,
}

/// Size and use of a disk, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it, as far as this process may use it.
    pub total: u64,
    /// What is free for this process.
    pub free: u64,
}

impl Space {
    /// Percent in use, 0 to 100.
    pub fn used_percent(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        100.0 * (self.total - self.free.min(self.total)) as f64 / self.total as f64
    }
}
