//! The file system of the machine, read only: what is written stays in memory and is gone in the end. So recovery can
//! show what it would do to a store without doing it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{sys, Entry, File, Files, Open, Space, Storage, SyncDisk};
use crate::store::mapping::{Mapping, Writer};
use crate::sync::Mutex;

const PAGE: usize = 4096;

/// Real files under a layer of memory. Needs no right to write.
#[derive(Default)]
pub struct Overlay {
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    /// Files that were opened or made.
    layers: BTreeMap<PathBuf, Arc<Layer>>,
    /// Directories that were made.
    made: BTreeSet<PathBuf>,
    /// Files and directories that were removed.
    removed: BTreeSet<PathBuf>,
}

/// A file: what it held, and what was written since.
struct Layer {
    below: Option<fs::File>,
    over: Mutex<Over>,
}

struct Over {
    len: u64,
    /// Bytes of the file below that still count.
    below: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

/// An open file of the overlay; it may be the lock.
struct Handle {
    layer: Arc<Layer>,
    _lock: Option<fs::File>,
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

impl Overlay {
    fn layer(&self, path: &Path, mode: Open) -> io::Result<Arc<Layer>> {
        let mut names = self.names.lock();
        if let Some(layer) = names.layers.get(path) {
            return Ok(layer.clone());
        }
        let below = match names.removed.contains(path) {
            true => Err(io::ErrorKind::NotFound.into()),
            false => fs::File::open(path),
        };
        let layer = match below {
            Ok(file) => Layer::over(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode == Open::Create => Layer::new(),
            Err(error) => return Err(error),
        };
        let layer = Arc::new(layer);
        names.removed.remove(path);
        names.layers.insert(path.to_owned(), layer.clone());
        Ok(layer)
    }
}

impl Storage for Overlay {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.names.lock().made.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let names = self.names.lock();
        let mut entries = match names.removed.contains(dir) {
            true => Vec::new(),
            false => Files.list(dir)?,
        };
        entries.retain(|entry| !names.removed.contains(&dir.join(&entry.name)));
        let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
        for (path, layer) in names.layers.iter().filter(|(path, _)| path.parent() == Some(dir)) {
            let Some(name) = name(path) else { continue };
            entries.retain(|entry| entry.name != name);
            entries.push(Entry { name, is_dir: false, len: layer.over.lock().len });
        }
        for path in names.made.iter().filter(|path| path.parent() == Some(dir)) {
            if let Some(name) = name(path).filter(|name| !entries.iter().any(|entry| entry.name == *name)) {
                entries.push(Entry { name, is_dir: true, len: 0 });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(Handle { layer: self.layer(path, mode)?, _lock: None }))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.layer(path, Open::Existing)?;
        let mut names = self.names.lock();
        names.layers.remove(path);
        names.removed.insert(path.to_owned());
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut names = self.names.lock();
        names.made.remove(dir);
        names.removed.insert(dir.to_owned());
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn disk(&self, _: &Path) -> io::Result<SyncDisk> {
        Ok(Box::new(|| Ok(())))
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        sys::space(dir)
    }

    /// A shared lock, for which reading is enough: it keeps brokers away, and others that only look are let in.
    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        let lock = match fs::File::open(path) {
            Ok(file) if sys::try_lock_shared(&file)? => Some(file),
            Ok(_) => return Ok(None),
            // No broker was ever here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Arc::new(Handle { layer: self.layer(path, Open::Create)?, _lock: lock })))
    }
}

impl Layer {
    fn new() -> Layer {
        Layer { below: None, over: Mutex::new(Over { len: 0, below: 0, pages: BTreeMap::new() }) }
    }

    fn over(file: fs::File) -> io::Result<Layer> {
        let len = file.metadata()?.len();
        let over = Over { len, below: len, pages: BTreeMap::new() };
        Ok(Layer { below: Some(file), over: Mutex::new(over) })
    }

    /// Reads what is below, with zeros behind it.
    fn read_below(&self, over: &Over, at: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let count = over.below.saturating_sub(at).min(out.len() as u64) as usize;
        if let Some(file) = &self.below {
            File::read_at(file, at, &mut out[..count])?;
        }
        Ok(())
    }

    fn write(&self, over: &mut Over, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let (number, within) = place(at + done as u64);
            let count = (PAGE - within).min(bytes.len() - done);
            if !over.pages.contains_key(&number) {
                let mut page = Box::new([0; PAGE]);
                self.read_below(over, number * PAGE as u64, &mut page[..])?;
                over.pages.insert(number, page);
            }
            if let Some(page) = over.pages.get_mut(&number) {
                page[within..within + count].copy_from_slice(&bytes[done..done + count]);
            }
            done += count;
        }
        over.len = over.len.max(at + bytes.len() as u64);
        Ok(())
    }

    /// Makes everything from `at` on zeros.
    fn forget(&self, over: &mut Over, at: u64) {
        let (number, within) = place(at);
        over.pages.split_off(&(number + u64::from(within > 0)));
        if let Some(page) = over.pages.get_mut(&number) {
            page[within..].fill(0);
        }
        over.below = over.below.min(at);
    }
}

/// Number of a byte's page, and where it is within.
fn place(at: u64) -> (u64, usize) {
    (at / PAGE as u64, (at % PAGE as u64) as usize)
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer.over.lock().len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.layer.over.lock();
        self.layer.forget(&mut over, len);
        over.len = len;
        Ok(())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let over = self.layer.over.lock();
        let count = over.len.saturating_sub(at).min(out.len() as u64) as usize;
        self.layer.read_below(&over, at, &mut out[..count])?;
        let last = place(at + (count as u64).max(1) - 1).0;
        for (number, page) in over.pages.range(place(at).0..=last) {
            let start = (number * PAGE as u64).max(at);
            let end = ((number + 1) * PAGE as u64).min(at + count as u64);
            if start < end {
                let within = place(start).1;
                let count = (end - start) as usize;
                out[(start - at) as usize..][..count].copy_from_slice(&page[within..within + count]);
            }
        }
        Ok(count)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.layer.write(&mut self.layer.over.lock(), at, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        let mut over = self.layer.over.lock();
        if at + len >= over.len {
            self.layer.forget(&mut over, at);
            return Ok(());
        }
        let end = at + len;
        let mut at = at;
        while at < end {
            let count = (PAGE as u64).min(end - at);
            self.layer.write(&mut over, at, &[0; PAGE][..count as usize])?;
            at += count;
        }
        Ok(())
    }

    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        let over = self.layer.over.lock();
        if at >= over.len {
            return Ok(None);
        }
        let written =
            over.pages.range(place(at).0..).next().map(|(number, _)| (number * PAGE as u64).max(at));
        let below = match &self.layer.below {
            Some(file) if at < over.below => sys::next_data(file, at)?.filter(|at| *at < over.below),
            _ => None,
        };
        Ok(written.into_iter().chain(below).min())
    }

    fn modified_ms(&self) -> io::Result<i64> {
        self.layer.below.as_ref().map_or(Ok(0), File::modified_ms)
    }

    fn set_modified_ms(&self, _: i64) -> io::Result<()> {
        Ok(())
    }

    /// What is written through the mapping is seen through it alone.
    fn map(&self, len: usize, published: usize) -> io::Result<(Arc<Mapping>, Writer)> {
        let over = self.layer.over.lock();
        if let Some(file) = &self.layer.below {
            let untouched = over.pages.is_empty() && over.below >= len as u64;
            // Whoever writes without a lock may have shortened the file.
            if untouched && File::len(file)? >= len as u64 {
                return Mapping::private(file, len, published);
            }
        }
        drop(over);
        Mapping::anonymous(len, published, |at, out| self.read_at(at, out).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEN: usize = 3 * PAGE;

    #[derive(Debug, Clone)]
    enum Step {
        Write(usize, Vec<u8>),
        Zero(usize, usize),
        SetLen(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = prop::collection::vec(1u8.., 1..2000);
        prop_oneof![
            4 => (0..LEN, bytes).prop_map(|(at, bytes)| Step::Write(at, bytes)),
            1 => (0..LEN, 0..LEN).prop_map(|(at, len)| Step::Zero(at, len)),
            1 => (0..LEN).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn it_reads_like_a_file_that_was_written_and_the_file_stays(steps in prop::collection::vec(step(), 0..12)) {
            let dir = tempfile::tempdir().unwrap();
            let (real, copy) = (dir.path().join("real"), dir.path().join("copy"));
            let before: Vec<u8> = (0..LEN).map(|at| (at % 251) as u8).collect();
            fs::write(&real, &before).unwrap();
            fs::write(&copy, &before).unwrap();
            let overlay = Overlay::default();
            let over = overlay.open(&real, Open::Existing).unwrap();
            let written = Files.open(&copy, Open::Existing).unwrap();
            for step in &steps {
                for file in [&over, &written] {
                    match step {
                        Step::Write(at, bytes) => file.write_at(*at as u64, bytes).unwrap(),
                        Step::SetLen(len) => file.set_len(*len as u64).unwrap(),
                        Step::Zero(at, len) if *len > 0 => {
                            let len = (*len as u64).min(file.len().unwrap().saturating_sub(*at as u64));
                            if len > 0 { file.zero(*at as u64, len).unwrap() }
                        }
                        Step::Zero(..) => {}
                    }
                }
            }
            let expected = fs::read(&copy).unwrap();
            prop_assert_eq!(over.len().unwrap(), expected.len() as u64);
            let mut found = vec![7; expected.len() + 9];
            prop_assert_eq!(over.read_at(0, &mut found).unwrap(), expected.len());
            found.truncate(expected.len());
            prop_assert_eq!(&found, &expected);
            let mut part = vec![7; expected.len().saturating_sub(5000).min(300)];
            over.read_at(5000, &mut part).unwrap();
            prop_assert!(expected.len() <= 5000 || part == expected[5000..5000 + part.len()]);
            if !expected.is_empty() {
                let (map, _) = over.map(expected.len(), expected.len()).unwrap();
                prop_assert_eq!(map.from(0), &expected[..]);
            }
            let mut at = 0;
            while let Some(data) = over.next_data(at).unwrap() {
                prop_assert!(expected[at as usize..data as usize].iter().all(|byte| *byte == 0));
                at = data + 1;
            }
            prop_assert!(expected[(at as usize).min(expected.len())..].iter().all(|byte| *byte == 0));
            prop_assert_eq!(fs::read(&real).unwrap(), before);
        }
    }

    #[test]
    fn names_come_and_go_over_the_directory_only() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "a").unwrap();
        fs::write(at("b"), "b").unwrap();
        let overlay = Overlay::default();
        let names = || -> Vec<_> {
            overlay.list(dir.path()).unwrap().into_iter().map(|entry| (entry.name, entry.len)).collect()
        };
        let pair = |name: &str, len| (name.to_owned(), len);
        overlay.remove_file(&at("a")).unwrap();
        assert_eq!(overlay.remove_file(&at("a")).unwrap_err().kind(), io::ErrorKind::NotFound);
        overlay.open(&at("c"), Open::Create).unwrap().set_len(9).unwrap();
        overlay.create_dir_all(&at("d")).unwrap();
        assert_eq!(names(), [pair("b", 1), pair("c", 9), pair("d", 0)]);
        assert_eq!(overlay.open(&at("a"), Open::Create).unwrap().len().unwrap(), 0);
        assert_eq!(names().len(), 4);
        assert_eq!(Files.list(dir.path()).unwrap().len(), 2);
        assert_eq!(fs::read(at("a")).unwrap(), b"a");
    }

    #[test]
    fn its_lock_lets_others_look_and_keeps_brokers_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(Overlay::default().lock(&path).unwrap().is_some());
        assert!(!path.exists());
        let broker = Files.lock(&path).unwrap();
        assert!(broker.is_some() && Overlay::default().lock(&path).unwrap().is_none());
        drop(broker);
        let looks = [Overlay::default().lock(&path).unwrap(), Overlay::default().lock(&path).unwrap()];
        assert!(looks.iter().all(Option::is_some) && Files.lock(&path).unwrap().is_none());
    }
}
