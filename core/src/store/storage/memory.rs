//! Files in memory that can lose power: what was not synced may be there afterwards or not, sector by sector and name
//! by name, as on a disk whose cache writes back in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Entry, File, Open, Space, Storage, SyncDisk};
use crate::store::mapping::{Heap, Mapping, Writer};
use crate::sync::{Mutex, RwLock, RwLockReadGuard};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// Something that can be made to fail, see [`Memory::intercept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A file is opened or made.
    Open,
    /// Bytes are written, not through a mapping.
    Write,
    /// A file is synced.
    Sync,
    /// The names of a directory are synced.
    SyncDir,
    /// Blocks are allocated, or a file lengthened.
    Allocate,
    /// A file is removed.
    Remove,
    /// A directory is made or removed.
    Dir,
    /// A directory is listed.
    List,
    /// Bytes are read, not through a mapping, or looked for.
    Read,
    /// A file is mapped.
    Map,
}

type Hook = dyn Fn(Operation, &Path) -> io::Result<()> + Send + Sync;

/// A file system in memory. Clones are the same file system.
#[derive(Clone)]
pub struct Memory {
    disk: Arc<Disk>,
}

struct Disk {
    names: Mutex<Names>,
    hook: RwLock<Option<Box<Hook>>>,
    space: Mutex<Space>,
    /// Held for reading by every operation, and for writing while the power is cut: a cut hits all files at once.
    power: RwLock<()>,
}

#[derive(Default)]
struct Names {
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone)]
enum Node {
    Dir,
    File(Arc<Content>),
}

struct Content {
    /// Pages as the running process sees them.
    pages: Mutex<Heap>,
    /// What the disk holds for sure.
    durable: Mutex<Vec<u8>>,
    /// The pages at a sync that failed: they count as clean, though the disk does not hold them.
    given_up: Mutex<Option<Vec<u8>>>,
    modified_ms: AtomicI64,
}

struct Handle {
    path: PathBuf,
    content: Arc<Content>,
    disk: Arc<Disk>,
    /// Whether dropping this handle gives the lock on its path back.
    holds_lock: bool,
}

impl Default for Memory {
    fn default() -> Self {
        let space = Mutex::new(Space { total: 1 << 40, free: 1 << 40 });
        let (names, hook, power) = (Mutex::default(), RwLock::new(None), RwLock::new(()));
        Memory { disk: Arc::new(Disk { names, hook, space, power }) }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} names)", self.disk.names.lock().live.len())
    }
}

impl Memory {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `hook` before each operation; its error becomes the result, and the operation has no effect, but for two: a
    /// write that fails with [`io::ErrorKind::WriteZero`] has written its first half, and what a failed sync of a file
    /// left unwritten the next one does not write either, as on Linux. The hook may also wait, so that a slow disk can
    /// be played, or take the state of the disk at this moment.
    pub fn intercept(&self, hook: impl Fn(Operation, &Path) -> io::Result<()> + Send + Sync + 'static) {
        *self.disk.hook.write() = Some(Box::new(hook));
    }

    /// What [`Storage::space`] says from now on. Nothing is counted.
    pub fn set_space(&self, space: Space) {
        *self.disk.space.lock() = space;
    }

    /// The disk as a power cut at this moment may leave it. `seed` decides which of the things that were not synced
    /// are there: names made or removed, and sectors written. Stores that use this file system go on undisturbed.
    pub fn power_cut(&self, seed: u64) -> Memory {
        let _all_at_once = self.disk.power.write();
        let mut random = Random(seed);
        // Some cuts keep nearly all, some nearly nothing: both ends find other mistakes than the middle.
        let keep = [0, 30, 50, 90, 100][random.below(5) as usize];
        let names = self.disk.names.lock();
        let mut survived: BTreeMap<PathBuf, Node> = BTreeMap::new();
        let all: BTreeSet<&PathBuf> = names.live.keys().chain(names.durable.keys()).collect();
        for path in all {
            let (live, durable) = (names.live.get(path), names.durable.get(path));
            let chosen = match (live, durable) {
                (Some(Node::File(a)), Some(Node::File(b))) if Arc::ptr_eq(a, b) => live,
                (Some(Node::Dir), Some(Node::Dir)) => live,
                // The root stands in no directory.
                (Some(Node::Dir), None) if path.parent().is_none() => live,
                _ if random.below(100) < keep => live,
                _ => durable,
            };
            // A name needs the directory it stands in; parents come first in the order of paths.
            let parent_there = path
                .parent()
                .is_none_or(|parent| parent.as_os_str().is_empty() || survived.contains_key(parent));
            let Some(node) = chosen.filter(|_| parent_there) else { continue };
            let node = match node {
                Node::Dir => Node::Dir,
                Node::File(content) => Node::File(Arc::new(content.after_power_cut(&mut random, keep))),
            };
            survived.insert(path.clone(), node);
        }
        let cut = Memory::new();
        *cut.disk.space.lock() = *self.disk.space.lock();
        *cut.disk.names.lock() = Names { live: survived.clone(), durable: survived, locked: BTreeSet::new() };
        cut
    }

    /// The file system as a kill of the process leaves it: all that was written is there, and a power cut later on may
    /// still take what was not synced.
    pub fn killed(&self) -> Memory {
        let _all_at_once = self.disk.power.write();
        let names = self.disk.names.lock();
        // A file may have one name in memory and another on the disk.
        let mut copies: BTreeMap<*const Content, Arc<Content>> = BTreeMap::new();
        let mut copy = |node: &Node| match node {
            Node::Dir => Node::Dir,
            Node::File(content) => {
                let copied = copies.entry(Arc::as_ptr(content)).or_insert_with(|| Arc::new(content.copy()));
                Node::File(copied.clone())
            }
        };
        let mut copy_all = |names: &BTreeMap<PathBuf, Node>| {
            names.iter().map(|(path, node)| (path.clone(), copy(node))).collect()
        };
        let (live, durable) = (copy_all(&names.live), copy_all(&names.durable));
        let killed = Memory::new();
        *killed.disk.space.lock() = *self.disk.space.lock();
        *killed.disk.names.lock() = Names { durable, live, locked: BTreeSet::new() };
        killed
    }

    /// The paths of everything there is, in order.
    pub fn names(&self) -> Vec<PathBuf> {
        self.disk.names.lock().live.keys().cloned().collect()
    }

    fn check(&self, operation: Operation, path: &Path) -> io::Result<RwLockReadGuard<'_, ()>> {
        self.disk.check(operation, path)
    }
}

impl Disk {
    /// Asks the hook, and keeps the power on until the operation is done.
    fn check(&self, operation: Operation, path: &Path) -> io::Result<RwLockReadGuard<'_, ()>> {
        self.hook.read().as_ref().map_or(Ok(()), |hook| hook(operation, path))?;
        Ok(self.power.read())
    }
}

impl Storage for Memory {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let _on = self.check(Operation::Dir, dir)?;
        let mut names = self.disk.names.lock();
        for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if !names.live.contains_key(dir) {
                names.live.insert(dir.to_path_buf(), Node::Dir);
                // One that was removed had other files.
                names.durable.retain(|path, _| path == dir || !path.starts_with(dir));
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let _on = self.check(Operation::List, dir)?;
        let names = self.disk.names.lock();
        let inside = names.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        Ok(inside
            .map(|(path, node)| Entry {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                is_dir: matches!(node, Node::Dir),
                len: match node {
                    Node::Dir => 0,
                    Node::File(content) => content.pages.lock().len() as u64,
                },
            })
            .collect())
    }

    fn open(&self, path: &Path, mode: Open) -> io::Result<Arc<dyn File>> {
        let _on = self.check(Operation::Open, path)?;
        Ok(Arc::new(self.handle(path, mode)?))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _on = self.check(Operation::Remove, path)?;
        let removed = self.disk.names.lock().live.remove(path);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let _on = self.check(Operation::Dir, dir)?;
        let mut names = self.disk.names.lock();
        if names.live.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        names.live.remove(dir);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _on = self.check(Operation::SyncDir, dir)?;
        let mut names = self.disk.names.lock();
        let names = &mut *names;
        let is_gone = |path: &Path| path.parent() == Some(dir) && !names.live.contains_key(path);
        names.durable.retain(|path, _| path.parent() != Some(dir) && !path.ancestors().any(is_gone));
        let inside = names.live.iter().filter(|(path, _)| path.parent() == Some(dir));
        names.durable.extend(inside.map(|(path, node)| (path.clone(), node.clone())));
        Ok(())
    }

    fn disk(&self, dir: &Path) -> io::Result<SyncDisk> {
        let (memory, dir) = (self.clone(), dir.to_owned());
        Ok(Box::new(move || memory.sync_disk(&dir)))
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(*self.disk.space.lock())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Arc<dyn File>>> {
        if !self.disk.names.lock().locked.insert(path.to_path_buf()) {
            return Ok(None);
        }
        let mut handle = self.handle(path, Open::Create)?;
        handle.holds_lock = true;
        Ok(Some(Arc::new(handle)))
    }
}

impl Memory {
    fn sync_disk(&self, dir: &Path) -> io::Result<()> {
        let _on = self.check(Operation::Sync, dir)?;
        let mut names = self.disk.names.lock();
        for node in names.live.values() {
            if let Node::File(content) = node {
                content.sync();
            }
        }
        names.durable = names.live.clone();
        Ok(())
    }

    fn handle(&self, path: &Path, mode: Open) -> io::Result<Handle> {
        let mut names = self.disk.names.lock();
        let content = match names.live.get(path) {
            Some(Node::File(content)) => content.clone(),
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None if mode == Open::Existing => return Err(io::ErrorKind::NotFound.into()),
            None => {
                if path.parent().is_some_and(|parent| !names.live.contains_key(parent)) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                let content = Arc::new(Content::new(Vec::new()));
                names.live.insert(path.to_path_buf(), Node::File(content.clone()));
                content
            }
        };
        Ok(Handle { path: path.to_path_buf(), content, disk: self.disk.clone(), holds_lock: false })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.holds_lock {
            self.disk.names.lock().locked.remove(&self.path);
        }
    }
}

impl File for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.content.pages.lock().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let _on = self.disk.check(Operation::Allocate, &self.path)?;
        let mut pages = self.content.pages.lock();
        resize(&mut pages, len as usize)?;
        self.content.touch();
        Ok(())
    }

    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let _on = self.disk.check(Operation::Read, &self.path)?;
        let pages = self.content.pages.lock();
        let from = pages.get(at as usize..).unwrap_or_default();
        let count = from.len().min(out.len());
        for (to, from) in out.iter_mut().zip(from) {
            *to = from.load(Ordering::Relaxed);
        }
        Ok(count)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let _on = match self.disk.check(Operation::Write, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::WriteZero => {
                let first_half = &bytes[..bytes.len() / 2];
                self.put(at, first_half.len(), first_half.iter().copied())?;
                return Err(error);
            }
            checked => checked?,
        };
        self.put(at, bytes.len(), bytes.iter().copied())
    }

    fn sync(&self) -> io::Result<()> {
        match self.disk.check(Operation::Sync, &self.path) {
            Ok(_on) => self.content.sync(),
            Err(error) => {
                *self.content.given_up.lock() = Some(bytes_of(&self.content.pages.lock()));
                return Err(error);
            }
        }
        Ok(())
    }

    fn allocate(&self, _: u64, _: u64) -> io::Result<()> {
        self.disk.check(Operation::Allocate, &self.path).map(drop)
    }

    fn zero(&self, at: u64, len: u64) -> io::Result<()> {
        let _on = self.disk.check(Operation::Write, &self.path)?;
        let there = self.len()?.saturating_sub(at).min(len) as usize;
        self.put(at, there, std::iter::repeat_n(0, there))
    }

    fn next_data(&self, at: u64) -> io::Result<Option<u64>> {
        let _on = self.disk.check(Operation::Read, &self.path)?;
        let pages = self.content.pages.lock();
        let from = pages.get(at as usize..).unwrap_or_default();
        Ok(from.iter().position(|byte| byte.load(Ordering::Relaxed) != 0).map(|found| at + found as u64))
    }

    fn modified_ms(&self) -> io::Result<i64> {
        Ok(self.content.modified_ms.load(Ordering::Relaxed))
    }

    fn set_modified_ms(&self, ms: i64) -> io::Result<()> {
        self.content.modified_ms.store(ms, Ordering::Relaxed);
        Ok(())
    }

    fn map(&self, len: usize, published: usize) -> io::Result<(Arc<Mapping>, Writer)> {
        let _on = self.disk.check(Operation::Map, &self.path)?;
        let pages = self.content.pages.lock();
        if pages.len() != len {
            return Err(io::Error::other(format!("{} bytes to map, {} are there", len, pages.len())));
        }
        Ok(Mapping::of_heap(pages.clone(), published))
    }
}

impl Handle {
    fn put(&self, at: u64, len: usize, bytes: impl Iterator<Item = u8>) -> io::Result<()> {
        let mut pages = self.content.pages.lock();
        let end = at as usize + len;
        if end > pages.len() {
            resize(&mut pages, end)?;
        }
        for (to, from) in pages[at as usize..end].iter().zip(bytes) {
            to.store(from, Ordering::Relaxed);
        }
        self.content.touch();
        Ok(())
    }
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        let pages = Mutex::new(pages_of(&bytes));
        let (durable, given_up) = (Mutex::new(bytes), Mutex::default());
        let content = Content { pages, durable, given_up, modified_ms: AtomicI64::new(0) };
        content.touch();
        content
    }

    fn touch(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        self.modified_ms.store(now, Ordering::Relaxed);
    }

    fn sync(&self) {
        let mut bytes = bytes_of(&self.pages.lock());
        let mut durable = self.durable.lock();
        if let Some(given_up) = &*self.given_up.lock() {
            durable.resize(bytes.len(), 0);
            let sectors = bytes.chunks_mut(SECTOR).zip(given_up.chunks(SECTOR)).zip(durable.chunks(SECTOR));
            sectors
                .filter(|((now, then), _)| now == then)
                .for_each(|((now, _), disk)| now.copy_from_slice(disk));
        }
        *durable = bytes;
    }

    fn copy(&self) -> Content {
        Content {
            pages: Mutex::new(pages_of(&bytes_of(&self.pages.lock()))),
            durable: Mutex::new(self.durable.lock().clone()),
            given_up: Mutex::new(self.given_up.lock().clone()),
            modified_ms: AtomicI64::new(self.modified_ms.load(Ordering::Relaxed)),
        }
    }

    fn after_power_cut(&self, random: &mut Random, keep: u64) -> Content {
        let (live, mut disk) = (bytes_of(&self.pages.lock()), self.durable.lock().clone());
        if live.len() != disk.len() && random.below(100) < keep {
            disk.resize(live.len(), 0);
        }
        for (old, new) in disk.chunks_mut(SECTOR).zip(live.chunks(SECTOR)) {
            if old.len() == new.len() && *old != *new && random.below(100) < keep {
                old.copy_from_slice(new);
            }
        }
        Content::new(disk)
    }
}

/// Gives a file another length. What is mapped has to stay the same bytes as the file, and these pages cannot grow where
/// they are.
fn resize(pages: &mut Heap, len: usize) -> io::Result<()> {
    if len == pages.len() {
        return Ok(());
    }
    if Arc::strong_count(pages) > 1 {
        let text =
            format!("simulated pages are mapped, their length cannot change from {} to {len}", pages.len());
        return Err(io::Error::other(text));
    }
    let mut bytes = bytes_of(pages);
    bytes.resize(len, 0);
    *pages = pages_of(&bytes);
    Ok(())
}

fn bytes_of(pages: &Heap) -> Vec<u8> {
    pages.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
}

fn pages_of(bytes: &[u8]) -> Heap {
    bytes.iter().map(|byte| AtomicU8::new(*byte)).collect()
}

/// SplitMix64: enough to choose sectors, and the same on every machine.
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
