//! Mapped memory of a file. The only module of the library that touches mapped pages, and it checks every bound.
//!
//! One [`Writer`] exists for a mapping; it writes at and behind the published end only. Readers see what lies before
//! the published end only, which never changes again. So no byte is ever read and written at the same time.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;

use super::guard::{self, Guard};
use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};

/// Asks the processor to bring the line of memory at an address into its caches, for a look that comes later. Any address
/// may be given: where there is nothing, nothing happens.
#[inline]
pub(super) fn fetch_ahead(address: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint to the processor, which reads nothing as far as the program can tell, and never faults.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Memory that simulates a file's pages: byte-wise atomic, so that a simulated power cut may look at it any time.
pub(super) type Heap = Arc<[AtomicU8]>;

enum Memory {
    File(MmapRaw),
    Heap(Heap),
}

impl Memory {
    fn start(&self) -> *mut u8 {
        match self {
            Memory::File(map) => map.as_mut_ptr(),
            Memory::Heap(heap) => heap.as_ptr() as *mut u8,
        }
    }

    fn len(&self) -> usize {
        match self {
            Memory::File(map) => map.len(),
            Memory::Heap(heap) => heap.len(),
        }
    }
}

/// A file's bytes in memory, readable up to the published end. Lives until the last reader is done, also when the
/// file is deleted meanwhile.
pub struct Mapping {
    /// Dropped first: nobody answers for pages that are not mapped any more.
    guard: Option<Guard>,
    memory: Memory,
    /// Its pages are those of the file.
    is_shared: bool,
    published: AtomicUsize,
}

// SAFETY: the memory is owned by the mapping and valid for its whole life; writes happen through the one `Writer`
// only, behind `published`, and reads before it, ordered by release and acquire of `published`.
unsafe impl Sync for Mapping {}
// SAFETY: nothing in the mapping belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file, which must be that long. Everything before `published` can be read.
    pub(super) fn of_file(
        file: &std::fs::File,
        len: usize,
        published: usize,
    ) -> io::Result<(Arc<Self>, Writer)> {
        // The store's lock keeps other brokers away from the file, and this process never shortens a mapped file. What
        // others do to it, or a disk, the guard meets.
        let map = MmapOptions::new().len(len).map_raw(file)?;
        Ok(Self::over(Memory::File(map), published, true))
    }

    /// As [`Mapping::of_file`], but what is written is seen through this mapping only.
    pub(super) fn private(
        file: &std::fs::File,
        len: usize,
        published: usize,
    ) -> io::Result<(Arc<Self>, Writer)> {
        // SAFETY: as above, nobody else changes the file while the store's lock is held; and nothing but the raw
        // pointer is kept, through which this module reads what is published and writes behind it.
        let map = unsafe { MmapOptions::new().len(len).map_copy(file)? };
        Ok(Self::over(Memory::File(map.into()), published, false))
    }

    /// Memory with no file behind it, filled by `read` page by page; stretches of zeros take none.
    pub(super) fn anonymous(
        len: usize,
        published: usize,
        read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<(Arc<Self>, Writer)> {
        let mut map = MmapOptions::new().len(len).map_anon()?;
        let mut page = [0; 4096];
        for (number, to) in map.chunks_mut(page.len()).enumerate() {
            let page = &mut page[..to.len()];
            read(number as u64 * 4096, page)?;
            if page.iter().any(|byte| *byte != 0) {
                to.copy_from_slice(page);
            }
        }
        Ok(Self::over(Memory::File(map.into()), published, false))
    }

    /// A mapping of simulated pages.
    pub(super) fn of_heap(heap: Heap, published: usize) -> (Arc<Self>, Writer) {
        Self::over(Memory::Heap(heap), published, false)
    }

    fn over(memory: Memory, published: usize, is_shared: bool) -> (Arc<Self>, Writer) {
        let published = AtomicUsize::new(published.min(memory.len()));
        let guard = match &memory {
            Memory::File(map) => Some(Guard::new(map.as_ptr(), map.len())),
            Memory::Heap(_) => None,
        };
        let mapping = Arc::new(Mapping { guard, memory, is_shared, published });
        (mapping.clone(), Writer { mapping })
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An error if a page of the file could not be had and reads as zeros since: the file was shortened, or its disk is
    /// full or fails.
    pub(super) fn check(&self) -> io::Result<()> {
        match self.guard.as_ref().is_some_and(Guard::lost_pages) {
            true => Err(guard::lost()),
            false => Ok(()),
        }
    }

    /// Brings pages into memory so that the copies to come do not fault one by one; what they hold stays as it is, so any
    /// thread may. Best effort: old kernels refuse.
    pub fn populate(&self, at: usize, len: usize) {
        if let Memory::File(map) = &self.memory {
            let len = len.min(map.len().saturating_sub(at));
            if len > 0 {
                let _ = map.advise_range(Advice::PopulateWrite, at, len);
            }
        }
    }

    /// Begins to bring bytes into the processor's caches that are looked at soon.
    pub fn fetch_ahead(&self, at: usize, len: usize) {
        const LINE: usize = 64;
        let from = self.memory.start() as usize + at;
        (from..from + len).step_by(LINE).for_each(fetch_ahead);
    }

    /// Lets go of pages, so that the system may have them; they come back from the file when they are touched next. Best
    /// effort.
    pub fn give_back(&self, at: usize, len: usize) {
        let Memory::File(map) = &self.memory else { return };
        if self.is_shared && at < map.len() {
            let len = len.min(map.len() - at);
            // SAFETY: within the mapping, which is shared: whatever is read or written there is the file's page, before
            // and after. Only of a private one would changes be lost.
            let _hint = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, at, len) };
        }
    }

    /// Loses the page of a byte, as a disk that fails does.
    #[cfg(test)]
    pub(super) fn lose_page(&self, at: usize) {
        let guard = self.guard.as_ref().expect("a mapping of a file");
        guard.lose(self.memory.start().wrapping_add(at));
    }

    /// End of what can be read.
    pub fn published(&self) -> usize {
        self.published.load(Ordering::Acquire)
    }

    /// The bytes from `at` on, up to the published end; empty behind it.
    pub fn from(&self, at: usize) -> &[u8] {
        let end = self.published();
        self.view(at, end.saturating_sub(at)).unwrap_or_default()
    }

    /// `len` bytes from `at` on; `None` if they are not all published.
    pub fn view(&self, at: usize, len: usize) -> Option<&[u8]> {
        #[cfg(test)]
        looks::one_more();
        if at.checked_add(len)? > self.published() {
            return None;
        }
        // SAFETY: within the mapping, whose life bounds the slice, and before the published end, where no one writes.
        Some(unsafe { std::slice::from_raw_parts(self.memory.start().add(at), len) })
    }

    /// Like [`Mapping::view`], but the bytes keep the mapping alive. No copy.
    pub fn bytes(self: &Arc<Self>, at: usize, len: usize) -> Option<Bytes> {
        self.view(at, len)?;
        Some(Bytes::from_owner(Piece { mapping: self.clone(), at, len }))
    }
}

struct Piece {
    mapping: Arc<Mapping>,
    at: usize,
    len: usize,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.mapping.view(self.at, self.len).unwrap_or_default()
    }
}

/// The one who may write into a mapping, and say up to where it can be read.
pub struct Writer {
    mapping: Arc<Mapping>,
}

impl Writer {
    /// The mapping written to.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Copies `bytes` to `at`, which must not lie before the published end, and must fit. Returns the end.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> usize {
        let end = at + bytes.len();
        assert!(at >= self.mapping.published.load(Ordering::Relaxed) && end <= self.mapping.len());
        match &self.mapping.memory {
            // SAFETY: within the mapping and behind the published end, where this writer is the only one to look;
            // `&mut self` keeps it one thread at a time.
            memory @ Memory::File(_) => unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.start().add(at), bytes.len());
            },
            Memory::Heap(heap) => {
                for (to, from) in heap[at..end].iter().zip(bytes) {
                    to.store(*from, Ordering::Relaxed);
                }
            }
        }
        end
    }

    /// Copies from `at` on into `out`, published or not; what lies behind the mapping reads as zeros.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        #[cfg(test)]
        looks::one_more();
        let there = self.mapping.len().saturating_sub(at).min(out.len());
        out[there..].fill(0);
        // SAFETY: within the mapping; only this writer writes, and it is borrowed here.
        unsafe {
            std::ptr::copy(
                self.mapping.memory.start().add(at.min(self.mapping.len())),
                out.as_mut_ptr(),
                there,
            )
        }
    }

    /// Lets readers see everything before `end`. Never moves back.
    pub fn publish(&mut self, end: usize) {
        assert!(end <= self.mapping.len());
        // There is one writer, so nobody else moves it meanwhile.
        if end > self.mapping.published.load(Ordering::Relaxed) {
            self.mapping.published.store(end, Ordering::Release);
        }
    }
}

/// How often this thread looked at mapped bytes: tests count what a search costs.
#[cfg(test)]
pub(super) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn one_more() {
        LOOKS.set(LOOKS.get() + 1);
    }

    pub(in crate::store) fn so_far() -> usize {
        LOOKS.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(len: usize) -> Heap {
        (0..len).map(|_| AtomicU8::new(0)).collect()
    }

    #[test]
    fn only_what_is_published_can_be_read() {
        let (mapping, mut writer) = Mapping::of_heap(heap(100), 0);
        writer.write(0, b"hello");
        assert!(mapping.view(0, 5).is_none());
        assert!(mapping.from(0).is_empty());
        writer.publish(5);
        assert_eq!(mapping.view(1, 4), Some(&b"ello"[..]));
        assert!(mapping.view(1, 5).is_none());
        assert!(mapping.view(usize::MAX, 2).is_none());
        assert!(mapping.from(200).is_empty());
    }

    #[test]
    fn bytes_outlive_file_and_writer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let (mapping, mut writer) = Mapping::of_file(file.as_file(), 8192, 0).unwrap();
        mapping.populate(0, 8192);
        let end = writer.write(4094, b"over the page's edge");
        writer.publish(end);
        let bytes = mapping.bytes(4099, 3).unwrap();
        drop((file, mapping, writer));
        assert_eq!(&bytes[..], b"the");
    }

    #[test]
    fn what_is_given_back_is_there_again_also_where_the_file_never_had_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8192).unwrap();
        let of_file = Mapping::of_file(file.as_file(), 8192, 0).unwrap();
        let private = Mapping::private(file.as_file(), 8192, 0).unwrap();
        let anonymous = Mapping::anonymous(8192, 0, |_, _| Ok(())).unwrap();
        for (mapping, mut writer) in [of_file, private, anonymous] {
            let end = writer.write(4090, b"over the page's edge");
            writer.publish(end);
            mapping.give_back(0, 8192);
            mapping.give_back(8192, 1);
            assert_eq!(mapping.view(4090, 20), Some(&b"over the page's edge"[..]));
        }
    }

    #[test]
    fn a_page_that_cannot_be_had_is_zeros_and_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 * 4096).unwrap();
        let (mapping, mut writer) = Mapping::of_file(file.as_file(), 4 * 4096, 0).unwrap();
        let end = writer.write(0, &[7; 4 * 4096 - 10]);
        writer.publish(end);
        assert!(mapping.check().is_ok());
        file.as_file().set_len(4096).unwrap();
        assert_eq!(mapping.view(4000, 200).unwrap()[..96], [7; 96]);
        assert_eq!(mapping.view(4096, 100).unwrap(), [0; 100]);
        assert!(mapping.check().unwrap_err().to_string().contains("shortened"));
        // Writes neither end the process nor come to the file.
        writer.write(4 * 4096 - 5, b"lost");
        assert_eq!(file.as_file().metadata().unwrap().len(), 4096);
        // A mapping in the same place later is another one.
        drop((mapping, writer));
        file.as_file().set_len(4 * 4096).unwrap();
        let (mapping, _writer) = Mapping::of_file(file.as_file(), 4 * 4096, 4096).unwrap();
        assert!(mapping.check().is_ok());
        assert_eq!(mapping.view(0, 10).unwrap(), [7; 10]);
    }

    /// Faults of others are what they were without the guard.
    #[test]
    fn a_foreign_page_that_cannot_be_had_still_ends_the_process() {
        const CHILD: &str = "FERROMQ_TEST_BUS_ERROR";
        let name = "store::mapping::tests::a_foreign_page_that_cannot_be_had_still_ends_the_process";
        if std::env::var_os(CHILD).is_some() {
            let file = tempfile::tempfile().unwrap();
            file.set_len(4096).unwrap();
            let _guarded = Mapping::of_file(&file, 4096, 0).unwrap();
            let foreign = MmapOptions::new().len(4096).map_raw(&file).unwrap();
            file.set_len(0).unwrap();
            // SAFETY: the page is mapped; that it cannot be had is what is tested.
            let byte = unsafe { foreign.as_ptr().read_volatile() };
            panic!("read {byte}");
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(CHILD, "1").output().unwrap();
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{output:?}");
    }

    #[test]
    #[should_panic]
    fn what_is_published_cannot_be_written() {
        let (_mapping, mut writer) = Mapping::of_heap(heap(10), 4);
        writer.write(3, b"x");
    }
}
