//! Files of fixed-size units: consume queues keep their entries in them. A bounded number of them is open.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segment::file_name;
use super::storage::{File, Open, Storage};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Open files of all queues; the ones unused longest are closed when there are too many.
pub(crate) struct OpenFiles {
    pub storage: Arc<dyn Storage>,
    limit: usize,
    open: Mutex<Used>,
    /// Directories of topics that are being removed: nobody makes a file there meanwhile.
    going: Mutex<Vec<PathBuf>>,
    gone: Condvar,
}

/// A directory that is being removed until this is dropped.
pub(crate) struct Removing<'a> {
    files: &'a OpenFiles,
    dir: PathBuf,
}

impl Removing<'_> {
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        self.files.going.lock().retain(|dir| *dir != self.dir);
        self.files.gone.notify_all();
    }
}

#[derive(Default)]
struct Used {
    files: HashMap<(u32, i64), (Arc<dyn File>, u64)>,
    clock: u64,
}

impl OpenFiles {
    pub fn new(storage: Arc<dyn Storage>, limit: usize) -> Self {
        let (going, gone) = (Mutex::default(), Condvar::new());
        OpenFiles { storage, limit: limit.max(8), open: Mutex::default(), going, gone }
    }

    /// Holds up who wants to make files below `dir`.
    pub fn removing(&self, dir: PathBuf) -> Removing<'_> {
        self.wait_until_gone(&dir).push(dir.clone());
        Removing { files: self, dir }
    }

    /// Whether a directory is being removed.
    pub fn is_going(&self, dir: impl FnOnce() -> PathBuf) -> bool {
        let going = self.going.lock();
        !going.is_empty() && going.contains(&dir())
    }

    fn wait_until_gone(&self, dir: &Path) -> MutexGuard<'_, Vec<PathBuf>> {
        let mut going = self.going.lock();
        while going.iter().any(|going| dir.starts_with(going)) {
            self.gone.wait(&mut going);
        }
        going
    }

    /// The file of queue `uid` that starts at byte `base`, opened by `open` if it is not.
    fn file(
        &self,
        uid: u32,
        base: i64,
        open: impl FnOnce(&dyn Storage) -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        {
            let mut used = self.open.lock();
            used.clock += 1;
            let now = used.clock;
            if let Some((file, last)) = used.files.get_mut(&(uid, base)) {
                *last = now;
                return Ok(file.clone());
            }
        }
        let file = open(&*self.storage)?;
        // The files are sparse: reading ahead of the entries would fill pages with zeros, for 50,000 queues gigabytes.
        file.expect_random_reads();
        let mut used = self.open.lock();
        if used.files.len() >= self.limit {
            used.close_oldest(self.limit / 4);
        }
        let now = used.clock;
        used.files.insert((uid, base), (file.clone(), now));
        Ok(file)
    }

    fn forget(&self, uid: u32, base: i64) {
        self.open.lock().files.remove(&(uid, base));
    }
}

impl Used {
    /// Closing several at once spreads the cost of looking for the oldest.
    fn close_oldest(&mut self, count: usize) {
        let mut ages: Vec<u64> = self.files.values().map(|(_, last)| *last).collect();
        let count = count.clamp(1, ages.len());
        let (_, youngest_to_go, _) = ages.select_nth_unstable(count - 1);
        let limit = *youngest_to_go;
        self.files.retain(|_, (_, last)| *last > limit);
    }
}

/// The files of one queue: a continuous space of units from `first` on.
#[derive(Debug, Clone)]
pub(crate) struct UnitFiles {
    pub dir: PathBuf,
    /// Number under which the open files are found.
    pub uid: u32,
    pub unit: usize,
    /// Units in a file.
    pub per_file: i64,
    /// First unit of the first file, and unit behind the last file; equal if there is none.
    pub first: i64,
    pub end: i64,
    /// Files written since the last sync, by their first unit.
    pub unsynced: BTreeSet<i64>,
    /// A file was made or removed since the last sync of the directory.
    pub renamed: bool,
}

impl UnitFiles {
    pub fn new(dir: PathBuf, uid: u32, unit: usize, file_size: usize) -> Self {
        let per_file = (file_size.div_ceil(unit) as i64).max(1);
        UnitFiles { dir, uid, unit, per_file, first: 0, end: 0, unsynced: BTreeSet::new(), renamed: false }
    }

    /// The files, to be removed; none are left here.
    pub fn take(&mut self) -> UnitFiles {
        let taken = self.clone();
        (self.first, self.end) = (0, 0);
        self.unsynced.clear();
        taken
    }

    /// Bytes of a file.
    pub fn file_size(&self) -> u64 {
        self.per_file as u64 * self.unit as u64
    }

    /// Writes whole units from number `at` on, making files as needed.
    pub fn write(&mut self, files: &OpenFiles, mut at: i64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let base = at - at.rem_euclid(self.per_file);
            let count = (bytes.len() / self.unit).min((base + self.per_file - at) as usize);
            let (now, rest) = bytes.split_at(count * self.unit);
            self.file(files, base)?.write_at(((at - base) as usize * self.unit) as u64, now)?;
            self.unsynced.insert(base);
            at += count as i64;
            bytes = rest;
        }
        Ok(())
    }

    /// The file whose first unit is `base`; it is made if it lies behind the others or is the first one.
    fn file(&mut self, files: &OpenFiles, base: i64) -> io::Result<Arc<dyn File>> {
        if (self.first..self.end).contains(&base) {
            return files.file(self.uid, base, |storage| storage.open(&self.path(base), Open::Existing));
        }
        let (path, size) = (self.path(base), self.file_size());
        drop(files.wait_until_gone(&self.dir));
        let file = files.file(self.uid, base, |storage| {
            storage.create_dir_all(path.parent().unwrap_or(Path::new("")))?;
            storage.make(&path, size)
        })?;
        if self.first == self.end {
            self.first = base;
        }
        self.end = base + self.per_file;
        self.renamed = true;
        Ok(file)
    }

    fn path(&self, base: i64) -> PathBuf {
        self.dir.join(file_name(base * self.unit as i64))
    }

    /// Reads up to `count` units from number `at` on, within one file, appending them to `out`.
    pub fn read(&self, files: &OpenFiles, at: i64, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
        self.locate(files, at, count)?.map_or(Ok(()), |place| place.read(out, self.unit))
    }

    /// Where up to `count` units from number `at` on can be read, within one file.
    pub fn locate(&self, files: &OpenFiles, at: i64, count: usize) -> io::Result<Option<Place>> {
        if !(self.first..self.end).contains(&at) {
            return Ok(None);
        }
        let base = at - at.rem_euclid(self.per_file);
        let count = count.min((base + self.per_file - at) as usize);
        let file = files.file(self.uid, base, |storage| storage.open(&self.path(base), Open::Existing))?;
        Ok(Some(Place { file, at: (at - base) as u64 * self.unit as u64, len: count * self.unit }))
    }

    /// Removes the first file. The caller knows that nothing in it is wanted.
    pub fn remove_first(&mut self, files: &OpenFiles) -> io::Result<()> {
        let base = self.first;
        self.first += self.per_file;
        self.remove(files, base)
    }

    /// Removes everything from unit `to` on: later files go, the rest of its own file becomes zeros. At least one
    /// file stays, unless `to` is the very first unit.
    pub fn cut(&mut self, files: &OpenFiles, to: i64) -> io::Result<()> {
        while self.end > self.first && self.end - self.per_file >= to {
            self.end -= self.per_file;
            self.remove(files, self.end)?;
        }
        if to < self.end {
            let base = self.end - self.per_file;
            let at = (to - base) as u64 * self.unit as u64;
            let file =
                files.file(self.uid, base, |storage| storage.open(&self.path(base), Open::Existing))?;
            file.zero(at, self.file_size() - at)?;
            self.unsynced.insert(base);
        }
        Ok(())
    }

    fn remove(&mut self, files: &OpenFiles, base: i64) -> io::Result<()> {
        files.forget(self.uid, base);
        self.unsynced.remove(&base);
        self.renamed = true;
        match files.storage.remove_file(&self.path(base)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The files to sync so that everything written so far is durable.
    pub fn take_unsynced(&mut self, files: &OpenFiles) -> io::Result<Vec<Arc<dyn File>>> {
        let bases = std::mem::take(&mut self.unsynced);
        let open =
            |base: i64| files.file(self.uid, base, |storage| storage.open(&self.path(base), Open::Existing));
        bases.into_iter().map(open).collect()
    }
}

/// Units in an open file; they can be read whatever becomes of the queue.
pub(crate) struct Place {
    file: Arc<dyn File>,
    at: u64,
    pub len: usize,
}

impl Place {
    /// Where in the file, from these units on, something other than zeros may stand.
    pub fn next_data(&self) -> io::Result<Option<u64>> {
        self.file.next_data(self.at)
    }

    /// Appends the units to `out`, as far as the file has them whole.
    pub fn read(&self, out: &mut Vec<u8>, unit: usize) -> io::Result<()> {
        let start = out.len();
        out.resize(start + self.len, 0);
        let read = self.file.read_at(self.at, &mut out[start..])?;
        out.truncate(start + read / unit * unit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::Memory;

    fn files(memory: &Memory) -> (OpenFiles, UnitFiles) {
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        (OpenFiles::new(storage, 8), UnitFiles::new("/q/T/0".into(), 1, 4, 40))
    }

    fn read(units: &UnitFiles, files: &OpenFiles, at: i64, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        units.read(files, at, count, &mut out).unwrap();
        out
    }

    #[test]
    fn units_go_over_file_ends() {
        let memory = Memory::new();
        let (files, mut units) = files(&memory);
        units.write(&files, 8, &[1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]).unwrap();
        assert_eq!((units.first, units.end), (0, 20));
        let names: Vec<_> =
            memory.list(Path::new("/q/T/0")).unwrap().into_iter().map(|e| (e.name, e.len)).collect();
        assert_eq!(names, [(file_name(0), 40), (file_name(40), 40)]);
        assert_eq!(read(&units, &files, 9, 9), [2; 4]);
        assert_eq!(read(&units, &files, 10, 1), [3; 4]);
        assert!(read(&units, &files, 20, 1).is_empty());
    }

    #[test]
    fn a_cut_removes_files_and_zeroes_the_rest() {
        let memory = Memory::new();
        let (files, mut units) = files(&memory);
        units.write(&files, 0, &[7; 100]).unwrap();
        units.cut(&files, 12).unwrap();
        assert_eq!((units.first, units.end), (0, 20));
        assert_eq!(read(&units, &files, 11, 3), [7, 7, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        units.cut(&files, 0).unwrap();
        assert_eq!(memory.list(Path::new("/q/T/0")).unwrap(), []);
        assert_eq!(units.first, units.end);
    }

    #[test]
    fn no_more_files_are_open_than_allowed_and_all_can_be_read() {
        let memory = Memory::new();
        let (files, _) = files(&memory);
        let mut queues: Vec<_> =
            (0..50).map(|uid| UnitFiles::new(format!("/q/T/{uid}").into(), uid, 4, 40)).collect();
        for (number, units) in queues.iter_mut().enumerate() {
            units.write(&files, 0, &[number as u8; 4]).unwrap();
            assert!(files.open.lock().files.len() <= 8);
        }
        for (number, units) in queues.iter().enumerate() {
            assert_eq!(read(units, &files, 0, 1), [number as u8; 4]);
        }
    }
}
