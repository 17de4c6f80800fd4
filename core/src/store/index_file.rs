//! One file of the key index (store reference, section 4): a hash table of chains, each item pointing to the one
//! before it in its chain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mapping::Writer;
use super::storage::{write_zeros, File, Open, Storage};

const HEADER_LEN: usize = 40;
const SLOT_LEN: usize = 4;
const ITEM_LEN: usize = 20;
/// Blocks for items are allocated ahead in steps of this many bytes.
const STEP: usize = 1 << 20;
/// Slots are looked through in pages of this many bytes.
const PAGE: usize = 4096;
const PER_PAGE: usize = PAGE / SLOT_LEN;

/// Slots and items of every file of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub slots: usize,
    pub items: usize,
}

impl Shape {
    pub fn file_size(self) -> usize {
        HEADER_LEN + SLOT_LEN * self.slots + ITEM_LEN * self.items
    }

    fn slot(self, hash: i32) -> usize {
        hash.unsigned_abs() as usize % self.slots
    }

    fn slot_at(self, hash: i32) -> usize {
        HEADER_LEN + SLOT_LEN * self.slot(hash)
    }

    fn item_at(self, number: i32) -> usize {
        HEADER_LEN + SLOT_LEN * self.slots + ITEM_LEN * number as usize
    }
}

/// A key of a record on its way into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub hash: i32,
    pub offset: i64,
    pub store_timestamp: i64,
}

/// The first 40 bytes of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub begin_timestamp: i64,
    pub end_timestamp: i64,
    pub begin_offset: i64,
    pub end_offset: i64,
    pub slots_used: i32,
    /// Number of the next item; item 0 is never used.
    pub next_item: i32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let longs = [self.begin_timestamp, self.end_timestamp, self.begin_offset, self.end_offset];
        for (at, long) in longs.into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&long.to_be_bytes());
        }
        bytes[32..36].copy_from_slice(&self.slots_used.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.next_item.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Header {
        let long = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        Header {
            begin_timestamp: long(0),
            end_timestamp: long(8),
            begin_offset: long(16),
            end_offset: long(24),
            slots_used: int(32),
            // Files of before the first item hold 0.
            next_item: int(36).max(1),
        }
    }
}

/// An item as it stands in the file.
#[derive(Debug, Clone, Copy)]
struct Item {
    hash: i32,
    offset: i64,
    seconds: i32,
    previous: i32,
}

/// What a check of a file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// All items are there and lie before the limit.
    Whole,
    /// Items behind the limit were dropped; the others are whole.
    Cut,
    /// The file cannot be used.
    Damaged,
}

/// A file of the index as it is at one moment.
pub(crate) struct Snapshot {
    pub path: PathBuf,
    pub file: Arc<dyn File>,
    /// Header and slots, which change with every item; none of a file that is full and holds nothing else. Items never
    /// change.
    pub head: Option<Vec<u8>>,
    /// Where the items end.
    pub items_end: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Store time of the last record.
    pub end_timestamp: i64,
}

/// An open index file.
pub(crate) struct IndexFile {
    pub path: PathBuf,
    pub header: Header,
    /// Changed since the last sync.
    pub dirty: bool,
    /// A sync failed: what it was to write may be gone, and no other one tells.
    pub is_lost: bool,
    shape: Shape,
    file: Arc<dyn File>,
    writer: Writer,
    allocated: usize,
}

impl IndexFile {
    /// Opens a file, or makes it. One of another size than the shape's is an error, of kind `InvalidData`.
    pub fn open(storage: &dyn Storage, path: &Path, shape: Shape, mode: Open) -> io::Result<Self> {
        let size = shape.file_size();
        let file = match mode {
            Open::Create => storage.make(path, size as u64)?,
            Open::Existing => storage.open(path, mode)?,
        };
        let is = file.len()?;
        if is != size as u64 {
            let text = format!("has {is} bytes, maxHashSlotNum and maxIndexNum make {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let (_, writer) = file.map(size, 0)?;
        let mut header = [0; HEADER_LEN];
        writer.read(0, &mut header);
        let header = Header::decode(&header);
        Ok(IndexFile {
            path: path.to_path_buf(),
            header,
            dirty: false,
            is_lost: false,
            shape,
            file,
            writer,
            allocated: 0,
        })
    }

    /// What a copy of the file is made of, up to the records before a commit-log offset, while items are added. Call it
    /// with the files of the index held.
    pub fn snapshot(&self, log_end: i64) -> io::Result<Snapshot> {
        let mut head = None;
        if !self.is_full() || self.header.end_offset >= log_end {
            let mut bytes = vec![0; self.shape.item_at(0)];
            let mut at = 0;
            while let Some(data) =
                self.file.next_data(at as u64)?.filter(|data| (*data as usize) < bytes.len())
            {
                let from = at.max(data as usize);
                at = bytes.len().min(from + (1 << 20));
                self.file.read_at(from as u64, &mut bytes[from..at])?;
            }
            head = Some(bytes);
        }
        Ok(Snapshot {
            path: self.path.clone(),
            file: self.file.clone(),
            head,
            items_end: self.shape.item_at(self.header.next_item) as u64,
            size: self.shape.file_size() as u64,
            end_timestamp: self.header.end_timestamp,
        })
    }

    /// Bytes up to the last item.
    pub fn bytes(&self) -> u64 {
        self.shape.item_at(self.header.next_item) as u64
    }

    /// Whether the next item needs a new file.
    pub fn is_full(&self) -> bool {
        self.header.next_item as usize >= self.shape.items
    }

    /// Whether the header can be true at all.
    pub fn is_sane(&self) -> bool {
        let header = &self.header;
        header.next_item as usize <= self.shape.items
            && (0..=self.shape.slots as i32).contains(&header.slots_used)
            && header.begin_offset >= 0
            && header.begin_offset <= header.end_offset
            && header.begin_timestamp >= 0
    }

    /// Adds an item to the chain of its slot. The file must not be full. The order of the writes leaves every chain
    /// whole, but for the newest item's, when the process is killed in between.
    pub fn add(&mut self, key: &Key) -> io::Result<()> {
        let number = self.header.next_item;
        let at = self.shape.item_at(number);
        self.allocate(at + ITEM_LEN)?;
        let slot_at = self.shape.slot_at(key.hash);
        let previous = self.number_at(slot_at);
        if number == 1 {
            self.header.begin_offset = key.offset;
            self.header.begin_timestamp = key.store_timestamp;
        }
        let seconds = (key.store_timestamp - self.header.begin_timestamp) / 1000;
        let seconds = seconds.clamp(0, i64::from(i32::MAX)) as i32;
        let item = Item { hash: key.hash, offset: key.offset, seconds, previous };
        self.put_item(number, &item);
        self.writer.write(slot_at, &number.to_be_bytes());
        if previous == 0 {
            self.header.slots_used += 1;
        }
        self.header.next_item += 1;
        self.header.end_offset = key.offset;
        self.header.end_timestamp = key.store_timestamp;
        self.write_header();
        self.writer.mapping().check()
    }

    fn allocate(&mut self, end: usize) -> io::Result<()> {
        if end > self.allocated {
            let to = (end + STEP).min(self.shape.file_size());
            match self.file.allocate(self.allocated as u64, (to - self.allocated) as u64) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    // Never where items are, nor slots that lead to them.
                    let items =
                        if self.header.next_item > 1 { self.shape.item_at(self.header.next_item) } else { 0 };
                    let from = self.allocated.max(items);
                    write_zeros(&*self.file, from as u64, to.saturating_sub(from) as u64)?;
                }
                result => result?,
            }
            self.allocated = to;
        }
        Ok(())
    }

    fn write_header(&mut self) {
        self.writer.write(0, &self.header.encode());
        self.dirty = true;
    }

    /// Makes the items durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync().inspect_err(|_| self.is_lost = true)?;
        }
        Ok(())
    }

    /// Whether the file may have items of the time range.
    pub fn meets(&self, begin: i64, end: i64) -> bool {
        self.header.next_item > 1 && self.header.begin_timestamp <= end && self.header.end_timestamp >= begin
    }

    /// Collects commit-log offsets of items with this hash and within the times, newest first, until there are `max`.
    pub fn find(&self, hash: i32, begin: i64, end: i64, max: usize, out: &mut Vec<i64>) {
        let mut number = self.number_at(self.shape.slot_at(hash));
        while number != 0 && out.len() < max {
            let item = self.item(number);
            let time = self.header.begin_timestamp + i64::from(item.seconds) * 1000;
            if item.seconds < 0 || time < begin {
                // Older ones are still older.
                break;
            }
            if item.hash == hash && time <= end {
                out.push(item.offset);
            }
            // Chains go back; a damaged one must not go round.
            number = if item.previous < number { item.previous.max(0) } else { 0 };
        }
    }

    /// The item number in a slot, 0 if there is none that can be true.
    fn number_at(&self, slot_at: usize) -> i32 {
        let mut bytes = [0; SLOT_LEN];
        self.writer.read(slot_at, &mut bytes);
        let number = i32::from_be_bytes(bytes);
        if (1..self.header.next_item).contains(&number) {
            number
        } else {
            0
        }
    }

    fn item(&self, number: i32) -> Item {
        let mut bytes = [0; ITEM_LEN];
        self.writer.read(self.shape.item_at(number), &mut bytes);
        let int = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        let offset = i64::from_be_bytes(bytes[4..12].try_into().unwrap_or_default());
        Item { hash: int(0), offset, seconds: int(12), previous: int(16) }
    }

    fn put_item(&mut self, number: i32, item: &Item) {
        let mut bytes = [0; ITEM_LEN];
        bytes[0..4].copy_from_slice(&item.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&item.offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&item.seconds.to_be_bytes());
        bytes[16..20].copy_from_slice(&item.previous.to_be_bytes());
        self.writer.write(self.shape.item_at(number), &bytes);
    }

    /// Checks every chain, and drops the items of records from the commit-log offset `limit` on.
    pub fn verify(&mut self, limit: i64) -> io::Result<Verified> {
        let count = self.header.next_item;
        let mut newest = Newest::none(self.shape);
        let mut last = (self.header.begin_offset, self.header.begin_timestamp);
        let mut good = 1;
        while good < count {
            let item = self.item(good);
            if item.offset >= limit {
                break;
            }
            let expected = newest.of(self.shape.slot(item.hash));
            if item.offset < last.0 || item.seconds < 0 || item.hash < 0 || item.previous != *expected {
                return Ok(Verified::Damaged);
            }
            last = (item.offset, self.header.begin_timestamp + i64::from(item.seconds) * 1000);
            *expected = good;
            good += 1;
        }
        if good == count {
            return Ok(if self.slots_are(&newest)? { Verified::Whole } else { Verified::Damaged });
        }
        // Where there are no blocks yet, as in files of Apache's, a full disk is met here.
        self.allocate(self.shape.item_at(0))?;
        self.rebuild_slots(&newest)?;
        self.header.next_item = good;
        self.header.slots_used = newest.count();
        (self.header.end_offset, self.header.end_timestamp) = last;
        self.write_header();
        Ok(Verified::Cut)
    }

    /// Whether the slots hold these numbers and nothing else. Read from the file, not through the mapping: the table is
    /// large and mostly empty, and need not come into memory.
    fn slots_are(&self, newest: &Newest) -> io::Result<bool> {
        let mut chunk = vec![0; 16 * PAGE];
        let (end, mut next) = (self.shape.item_at(0), 0);
        while let Some(data) =
            self.file.next_data(page_at(next) as u64)?.filter(|data| (*data as usize) < end)
        {
            let page = next.max((data as usize).saturating_sub(HEADER_LEN) / PAGE);
            let at = page_at(page);
            let count = chunk.len().min(end - at);
            self.file.read_at(at as u64, &mut chunk[..count])?;
            let pages = page..page + count.div_ceil(PAGE);
            let passed_over = newest.pages[next..page].iter().all(Option::is_none);
            next = pages.end;
            let mut read = newest.pages[pages].iter().zip(chunk[..count].chunks(PAGE));
            if !passed_over || !read.all(|(numbers, bytes)| holds(bytes, numbers.as_deref())) {
                return Ok(false);
            }
        }
        Ok(newest.pages[next..].iter().all(Option::is_none))
    }

    /// Writes the pages that differ: one that stays as it is need not come into memory, nor go to the disk.
    fn rebuild_slots(&mut self, newest: &Newest) -> io::Result<()> {
        let mut there = [0; PAGE];
        for (number, numbers) in newest.pages.iter().enumerate() {
            let at = page_at(number);
            let there = &mut there[..PAGE.min(self.shape.item_at(0) - at)];
            self.file.read_at(at as u64, there)?;
            if !holds(there, numbers.as_deref()) {
                let numbers = numbers.as_deref().unwrap_or(&[0; PER_PAGE]);
                let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
                self.writer.write(at, &bytes[..there.len()]);
            }
        }
        Ok(())
    }
}

/// The newest item of each slot, as the items tell. Most files have few items, and then there are few pages.
struct Newest {
    pages: Vec<Option<Box<[i32]>>>,
}

impl Newest {
    fn none(shape: Shape) -> Self {
        Newest { pages: vec![None; shape.slots.div_ceil(PER_PAGE)] }
    }

    fn of(&mut self, slot: usize) -> &mut i32 {
        let page = &mut self.pages[slot / PER_PAGE];
        &mut page.get_or_insert_with(|| vec![0; PER_PAGE].into())[slot % PER_PAGE]
    }

    fn count(&self) -> i32 {
        self.pages.iter().flatten().flat_map(|page| page.iter()).filter(|number| **number != 0).count() as i32
    }
}

/// Where in the file a page of slots begins.
fn page_at(number: usize) -> usize {
    HEADER_LEN + number * PAGE
}

/// Whether a page of slots, or what there is of it, holds these numbers; none stand for zeros.
fn holds(bytes: &[u8], numbers: Option<&[i32]>) -> bool {
    static ZEROS: [u8; PAGE] = [0; PAGE];
    match numbers {
        None => bytes == &ZEROS[..bytes.len()],
        Some(numbers) => {
            bytes.chunks_exact(SLOT_LEN).zip(numbers).all(|(slot, number)| slot == number.to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::Memory;

    const SHAPE: Shape = Shape { slots: 5, items: 50 };

    fn filled(memory: &Memory, count: i64) -> IndexFile {
        memory.create_dir_all(Path::new("/i")).unwrap();
        let mut file = IndexFile::open(memory, Path::new("/i/x"), SHAPE, Open::Create).unwrap();
        for n in 0..count {
            file.add(&Key { hash: (n % 7) as i32, offset: n * 100, store_timestamp: 5000 + n * 1000 })
                .unwrap();
        }
        file
    }

    fn find(file: &IndexFile, hash: i32, begin: i64, end: i64, max: usize) -> Vec<i64> {
        let mut out = Vec::new();
        file.find(hash, begin, end, max, &mut out);
        out
    }

    #[test]
    fn items_are_found_newest_first_by_hash_and_time() {
        let file = filled(&Memory::new(), 49);
        assert!(file.is_full() && file.is_sane());
        assert_eq!(find(&file, 3, 0, i64::MAX, 3), [4500, 3800, 3100]);
        assert_eq!(find(&file, 3, 0, 5000 + 10_000, 64), [1000, 300]);
        assert_eq!(find(&file, 3, 5000 + 38_000, i64::MAX, 64), [4500, 3800]);
        assert!(find(&file, 12, 0, i64::MAX, 64).is_empty());
        assert!(file.meets(53_000, 60_000) && !file.meets(53_001, 60_000) && !file.meets(0, 4999));
    }

    #[test]
    fn a_whole_file_is_left_alone_and_a_cut_one_keeps_its_beginning() {
        let memory = Memory::new();
        let mut file = filled(&memory, 30);
        let before = file.header;
        assert_eq!((file.verify(1 << 30).unwrap(), file.header), (Verified::Whole, before));
        assert_eq!(file.verify(2000).unwrap(), Verified::Cut);
        assert_eq!(file.header.end_offset, 1900);
        assert_eq!(find(&file, 3, 0, i64::MAX, 64), [1700, 1000, 300]);
        let mut again = IndexFile::open(&memory, Path::new("/i/x"), SHAPE, Open::Existing).unwrap();
        assert_eq!(again.header, file.header);
        assert_eq!(again.verify(2000).unwrap(), Verified::Whole);
    }

    #[test]
    fn damage_anywhere_neither_panics_nor_loops_and_is_found_where_it_hides_keys() {
        let all = |file: &IndexFile| (0..7).map(|hash| find(file, hash, 0, i64::MAX, 64)).collect::<Vec<_>>();
        let whole = all(&filled(&Memory::new(), 30));
        for at in 0..SHAPE.file_size() {
            let memory = Memory::new();
            drop(filled(&memory, 30));
            let raw = memory.open(Path::new("/i/x"), Open::Existing).unwrap();
            raw.write_at(at as u64, &[0xA5]).unwrap();
            let mut file = IndexFile::open(&memory, Path::new("/i/x"), SHAPE, Open::Existing).unwrap();
            let found = all(&file);
            assert!(found.iter().all(|list| list.len() <= 64));
            let usable = file.is_sane() && file.verify(3000).unwrap() == Verified::Whole;
            let item_part = at.checked_sub(SHAPE.item_at(0)).map(|at| at % ITEM_LEN);
            // The hash, offset and time of an item are known only to the record.
            let content = item_part.is_some_and(|part| part < 16);
            assert!(!usable || content || at < HEADER_LEN || found == whole, "byte {at}");
        }
    }

    #[test]
    fn another_shape_is_refused_with_both_sizes() {
        let memory = Memory::new();
        drop(filled(&memory, 1));
        let other = Shape { slots: 6, items: 50 };
        let error =
            IndexFile::open(&memory, Path::new("/i/x"), other, Open::Existing).err().unwrap().to_string();
        assert!(error.contains("1060") && error.contains("1064"), "{error}");
    }
}
