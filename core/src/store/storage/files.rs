//! Real files.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::{sys, write_zeros, Entry, File, Open, Space, Storage, SyncDisk};
use crate::store::mapping::{Mapping, Writer};

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Files;

impl Storage for Files {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let found = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
            found => found?,
        };
        for entry in found {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_dir = entry.file_type()?.is_dir();
            // The length of a directory interests nobody, and asking costs a call.
            let len = if is_dir { 0 } else { entry.metadata()?.len() };
            entries.push(Entry { name, is_dir, len });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(open(path, mode)?))
    }

    fn make(&self, path: &Path, len: u64) -> io::Result<Arc<dyn File>> {
        if let Ok(file) = sys::make_whole(path, len) {
            return Ok(Arc::new(file));
        }
        // It is there, or cannot be made that way, or not at all.
        let file = open(path, Open::Create)?;
        if file.metadata()?.len() < len {
            file.set_len(len)?;
        }
        Ok(Arc::new(file))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn disk(&self, dir: &Path) -> io::Result<SyncDisk> {
        // Kept open: the kernel notes for each open file what it was told.
        let dir = fs::File::open(dir)?;
        let tells = fs::read_to_string("/proc/sys/kernel/osrelease").map_or(true, |text| syncfs_tells(&text));
        Ok(Box::new(move || {
            sys::sync_filesystem(&dir)?;
            if tells {
                Ok(())
            } else {
                Err(io::ErrorKind::Unsupported.into())
            }
        }))
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        sys::space(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let file = open(path, Open::Create)?;
        Ok(sys::try_lock(&file)?.then(|| Arc::new(file) as Arc<dyn File>))
    }
}

/// Whether the kernel of a release tells what failed in syncfs.
fn syncfs_tells(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
        _ => true,
    }
}

fn open(path: &Path, mode: Open) -> io::Result<fs::File> {
    OpenOptions::new().read(true).write(true).create(mode == Open::Create).truncate(false).open(path)
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match FileExt::read_at(self, &mut out[done..], at + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        sys::allocate(self, at, len)
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        match sys::punch(self, at, len) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => write_zeros(self, at, len),
            result => result,
        }
    }

    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        sys::next_data(self, at)
    }

    fn expect_random_reads(&self) {
        sys::expect_random_reads(self);
    }

    fn unlock(&self) -> io::Result<()> {
        sys::unlock(self)
    }

    fn give_back(&self, at: u64, len: u64) {
        sys::give_back(self, at, len);
    }

    fn modified_ms(&self) -> io::Result<i64> {
        let modified = self.metadata()?.modified()?;
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
    }

    fn set_modified_ms(&self, ms: i64) -> io::Result<()> {
        self.set_modified(UNIX_EPOCH + Duration::from_millis(ms.max(0) as u64))
    }

    fn map(&self, len: usize, published: usize) -> io::Result<(Arc<Mapping>, Writer)> {
        Mapping::of_file(self, len, published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_excludes_a_second_open_in_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Files.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(Files.lock(&path).unwrap().is_none());
        drop(held);
        assert!(Files.lock(&path).unwrap().is_some());
    }

    #[test]
    fn old_kernels_do_not_tell_what_failed() {
        let told = ["5.8.0", "5.10.0-28-amd64", "6.1.9", "10.0", "unknown"];
        assert!(told.iter().all(|release| syncfs_tells(release)));
        assert!(["5.7.19", "5.4.0-100-generic", "4.19.0"].iter().all(|release| !syncfs_tells(release)));
        let dir = tempfile::tempdir().unwrap();
        Files.sync_all(dir.path()).unwrap();
    }

    #[test]
    fn holes_are_found_and_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = Files.open(&dir.path().join("f"), Open::Create).unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_at(512 << 10, b"x").unwrap();
        let data = file.next_data(0).unwrap().unwrap();
        assert!(data <= 512 << 10);
        file.zero(512 << 10, 1).unwrap();
        let mut byte = [1];
        assert_eq!(file.read_at(512 << 10, &mut byte).unwrap(), 1);
        assert_eq!(byte, [0]);
        assert_eq!(file.len().unwrap(), 1 << 20);
        assert_eq!(file.read_at(1 << 20, &mut byte).unwrap(), 0);
    }

    #[test]
    fn space_is_told() {
        let space = Files.space(Path::new("/")).unwrap();
        assert!(space.total >= space.free && space.total > 0);
        assert!((0.0..=100.0).contains(&space.used_percent()));
        assert!(Files.list(Path::new("/no/such/directory")).unwrap().is_empty());
    }

    #[test]
    fn a_file_is_made_with_its_length_and_one_that_is_there_keeps_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let file = Files.make(&path, 5000).unwrap();
        assert_eq!((file.len().unwrap(), file.next_data(0).unwrap()), (5000, None));
        file.write_at(4990, b"there").unwrap();
        drop(file);
        for (len, then) in [(4000, 5000), (5000, 5000), (9000, 9000)] {
            let file = Files.make(&path, len).unwrap();
            let mut bytes = [0; 5];
            file.read_at(4990, &mut bytes).unwrap();
            assert_eq!((file.len().unwrap(), &bytes), (then, b"there"));
        }
        assert_eq!(Files.list(dir.path()).unwrap().len(), 1, "nothing else is left");
        let nowhere = Files.make(&dir.path().join("none/f"), 1).err().map(|error| error.kind());
        assert_eq!(nowhere, Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn nobody_sees_a_file_that_has_its_name_and_not_its_length() {
        let dir = tempfile::tempdir().unwrap();
        let made = std::sync::atomic::AtomicBool::new(false);
        let shorter = std::thread::scope(|threads| {
            let seen = threads.spawn(|| {
                let mut shorter = 0;
                while !made.load(std::sync::atomic::Ordering::Acquire) {
                    let files = Files.list(dir.path()).unwrap();
                    shorter += files.iter().filter(|file| file.len != 6_000_000).count();
                }
                shorter
            });
            for number in 0..400 {
                Files.make(&dir.path().join(number.to_string()), 6_000_000).unwrap();
            }
            made.store(true, std::sync::atomic::Ordering::Release);
            seen.join().unwrap()
        });
        assert_eq!(shorter, 0);
    }
}
