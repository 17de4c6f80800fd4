//! The files of the commit log as one continuous space of bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::mapping::{Mapping, Writer};
use super::scan;
use super::storage::{File, Storage};
use crate::record::{Layout, RecordView, MIN_RECORD};
use crate::sync::RwLock;

/// One file of the commit log. Readers that hold it keep its bytes, deleted or not.
pub(crate) struct Segment {
    /// Commit-log offset of its first byte; its name.
    pub base: i64,
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    pub map: Arc<Mapping>,
}

impl Segment {
    /// Opens or makes the file that starts at `base`, at its full length. What lies before `published` can be read.
    pub fn open(
        storage: &dyn Storage,
        dir: &Path,
        base: i64,
        size: usize,
        published: usize,
    ) -> io::Result<(Arc<Segment>, Writer)> {
        let path = dir.join(file_name(base));
        let file = storage.make(&path, size as u64)?;
        let (map, writer) = file.map(size, published)?;
        Ok((Arc::new(Segment { base, path, file, map }), writer))
    }

    /// Syncs the file; an error also if it is not all there any more.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.map.check()?;
        let (is, was) = (self.file.len()?, self.map.len());
        if is < was as u64 {
            let text = format!("it has {is} bytes and had {was}: another program shortened it");
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    /// Lets go of the memory of a range that is on the disk; it comes back from there when somebody reads.
    pub fn give_back(&self, at: usize, len: usize) {
        self.map.give_back(at, len);
        self.file.give_back(at as u64, len as u64);
    }

    /// Commit-log offset behind the last byte of the file.
    pub fn end(&self) -> i64 {
        self.base + self.map.len() as i64
    }

    /// The bytes at a commit-log offset, up to what can be read of this file.
    pub fn from(&self, offset: i64) -> &[u8] {
        usize::try_from(offset - self.base).map_or(&[], |at| self.map.from(at))
    }

    /// The record at a commit-log offset, if a valid one that knows its place is there.
    pub fn record(&self, offset: i64) -> Option<RecordView<'_>> {
        RecordView::parse(self.from(offset)).ok().filter(|record| record.physical_offset() == offset)
    }

    /// As [`Segment::record`], of one that was found valid before.
    pub fn record_again(&self, offset: i64, layout: Layout) -> Option<RecordView<'_>> {
        RecordView::again(self.from(offset), layout).filter(|record| record.physical_offset() == offset)
    }

    /// Begins to bring a part of the file into the processor's caches.
    pub fn fetch_ahead(&self, offset: i64, len: usize) {
        if (self.base..self.end()).contains(&offset) {
            self.map.fetch_ahead((offset - self.base) as usize, len);
        }
    }

    /// Whether pages of the mapping could not be had: what they held reads as zeros, and may still be in the file.
    pub fn lost_pages(&self) -> bool {
        self.map.check().is_err()
    }

    /// A copy of the record at a commit-log offset, read from the file; none if what is there is no valid record.
    pub fn read_record(&self, offset: i64) -> Option<Bytes> {
        let at = usize::try_from(offset - self.base).ok()?;
        let read =
            |bytes: &mut [u8]| self.file.read_at(at as u64, bytes).is_ok_and(|read| read == bytes.len());
        let mut size = [0; 4];
        if !read(&mut size) {
            return None;
        }
        let size = usize::try_from(i32::from_be_bytes(size)).ok()?;
        if size < MIN_RECORD || at.checked_add(size)? > self.map.published() {
            return None;
        }
        let mut bytes = vec![0; size];
        let is_whole = read(&mut bytes) && scan::check(&bytes, self.base, at).is_ok();
        is_whole.then(|| bytes.into())
    }

    /// Bytes that keep the mapping alive; no copy.
    pub fn bytes(&self, offset: i64, len: usize) -> Option<Bytes> {
        self.map.bytes(usize::try_from(offset - self.base).ok()?, len)
    }
}

/// Twenty digits, as Apache names its mapped files.
pub(crate) fn file_name(base: i64) -> String {
    format!("{base:020}")
}

/// The offset that a mapped file's name stands for; none for one that no log reaches.
pub(crate) fn parse_file_name(name: &str) -> Option<i64> {
    let is_number = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    let base = is_number.then(|| name.parse().ok()).flatten();
    base.filter(|base| *base <= i64::MAX / 2)
}

/// All files of the log, oldest first. A file may be missing in between; nothing is read there.
#[derive(Default)]
pub(crate) struct Segments {
    list: RwLock<Vec<Arc<Segment>>>,
}

impl Segments {
    pub fn push(&self, segment: Arc<Segment>) {
        self.list.write().push(segment);
    }

    /// The file that holds a commit-log offset.
    pub fn find(&self, offset: i64) -> Option<Arc<Segment>> {
        let list = self.list.read();
        let behind = list.partition_point(|segment| segment.base <= offset);
        list.get(behind.checked_sub(1)?).filter(|segment| offset < segment.end()).cloned()
    }

    /// Files that hold any byte of the range.
    pub fn overlapping(&self, from: i64, to: i64) -> Vec<Arc<Segment>> {
        let list = self.list.read();
        list.iter().filter(|segment| segment.base < to && segment.end() > from).cloned().collect()
    }

    pub fn all(&self) -> Vec<Arc<Segment>> {
        self.list.read().clone()
    }

    pub fn first(&self) -> Option<Arc<Segment>> {
        self.list.read().first().cloned()
    }

    /// Takes the oldest file out, unless it is the only one.
    pub fn pop_first(&self) -> Option<Arc<Segment>> {
        let mut list = self.list.write();
        (list.len() > 1).then(|| list.remove(0))
    }

    /// The record at a commit-log offset, whole and with its bytes kept alive.
    pub fn record(&self, offset: i64) -> Option<Bytes> {
        let segment = self.find(offset)?;
        let mapped = || segment.bytes(offset, segment.record(offset)?.total_size());
        let found = mapped();
        match segment.lost_pages() {
            true => segment.read_record(offset),
            false => found,
        }
    }

    /// Store time of the record at a commit-log offset.
    pub fn store_time(&self, offset: i64) -> Option<i64> {
        Some(self.find(offset)?.record(offset)?.store_timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::Memory;

    #[test]
    fn names_are_twenty_digits() {
        assert_eq!(file_name(1 << 30), "00000000001073741824");
        assert_eq!(parse_file_name("00000000001073741824"), Some(1 << 30));
        for wrong in [
            "",
            "0",
            "09223372036854775807",
            "0000000000107374182x",
            "+0000000001073741824",
            "99999999999999999999",
        ] {
            assert_eq!(parse_file_name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_offset_is_found_in_its_file_and_nowhere_in_a_gap() {
        let memory = Memory::new();
        memory.create_dir_all(Path::new("/log")).unwrap();
        let segments = Segments::default();
        for base in [1000, 2000, 4000] {
            segments.push(Segment::open(&memory, Path::new("/log"), base, 1000, 0).unwrap().0);
        }
        let base = |offset| segments.find(offset).map(|segment| segment.base);
        assert_eq!([base(999), base(1000), base(2999), base(3000)], [None, Some(1000), Some(2000), None]);
        assert_eq!([base(4999), base(5000)], [Some(4000), None]);
        assert_eq!(segments.overlapping(1999, 2000).len(), 1);
        assert_eq!(segments.overlapping(1999, 4001).len(), 3);
    }
}
