//! A copy of a store that is in use, as of one moment: the end of the log up to which everything is in its queue. The copy
//! is a store directory that was closed in order, for this library's brokers and Apache's.
//!
//! Nothing is held up. The moment is a commit-log offset; what lies before it never changes, so log, queues and index are
//! read one after the other while records come in, each up to that offset.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;

use super::checkpoint::{Checkpoint, Own};
use super::index_file::{IndexFile, Verified};
use super::queue::Queue;
use super::segment::{file_name, Segment};
use super::storage::{File, Open, Storage};
use super::Core;
use crate::{Error, ErrorKind, Result};

/// Stands in a backup until it is whole.
const INCOMPLETE: &str = "backup-incomplete";
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;
/// How often a queue is begun again because its oldest file expired meanwhile.
const ATTEMPTS: usize = 5;

/// How files of the log that are full, and so never change again, come into a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FullFiles {
    /// As further names of the same files where the file system allows it, else copied. Takes no time and no space until
    /// the store removes its own names. A disk that fails, or a program that writes into such a file, hits both.
    #[default]
    Linked,
    /// Copied.
    Copied,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backup {
    /// Commit-log offsets of the records in it.
    pub log: Range<i64>,
    /// Consume queues.
    pub queues: u64,
    /// Files of the key index.
    pub index_files: u64,
    /// Bytes written.
    pub copied: u64,
    /// Bytes of files that are shared with the store.
    pub linked: u64,
}

impl Core {
    /// Makes a consistent copy of the store in `to`, a directory that is made, or is empty. Appends and gets go on
    /// meanwhile; what they append after the beginning is not in it. The tables beside the store are not copied: see
    /// [`crate::Instance::backup`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when `to` holds something or lies within the store, [`ErrorKind::NotWritable`] when
    /// the store cannot bring its own files to disk, [`ErrorKind::Io`] when a file cannot be read or written, or the disk
    /// has too little room. What was written is then removed.
    pub fn backup(&self, to: &Path, full: FullFiles) -> Result<Backup> {
        self.backup_with(to, full, || Ok(()))
    }

    /// As [`Core::backup`]; `also` puts in what else belongs there, before the backup counts as whole.
    pub fn backup_with(
        &self,
        to: &Path,
        full: FullFiles,
        also: impl FnOnce() -> Result<()>,
    ) -> Result<Backup> {
        let storage = &*self.options.storage;
        let failed = |error| Error::io("back up store", to.display().to_string(), error);
        self.check_target(to)?;
        storage.create_dir_all(to).map_err(failed)?;
        let mark = to.join(INCOMPLETE);
        let begun = storage.open(&mark, Open::Create).and_then(|file| {
            file.write_at(0, b"This copy of a store was begun and not finished.\n")?;
            storage.sync_dir(to)
        });
        let made = begun.map_err(failed).and_then(|()| {
            let made = Target { core: self, to, full, backup: Backup::default() }.make()?;
            also()?;
            storage.sync_all(to).and_then(|()| storage.remove_file(&mark)).map_err(failed)?;
            storage.sync_dir(to).map_err(failed)?;
            Ok(made)
        });
        made.inspect_err(|_| {
            // The mark goes last, so that what cannot be removed is not taken for a backup.
            let removed = remove_all(storage, to, Some(INCOMPLETE)).and_then(|()| storage.remove_file(&mark));
            if let Err(error) = removed.and_then(|()| storage.remove_dir(to)) {
                tracing::warn!(dir = %to.display(), %error, "what there is of a failed backup cannot be removed");
            }
        })
    }

    /// Has backups that are being made fail soon, and those that are asked for later: the store is about to be closed,
    /// and who closes it must not wait for them.
    pub fn end_backups(&self) {
        self.backups_ended.store(true, Ordering::Release);
    }

    fn check_target(&self, to: &Path) -> Result<()> {
        let refused = |why: String| Err(Error::new(ErrorKind::InvalidArgument, "back up store", why));
        let failed = |error| Error::io("back up store", to.display().to_string(), error);
        if [&self.options.root, &self.log.dir].iter().any(|own| to.starts_with(own)) {
            let root = self.options.root.display();
            return refused(format!(
                "{} lies within the store {root}; name a directory outside",
                to.display()
            ));
        }
        if !self.options.storage.list(to).map_err(failed)?.is_empty() {
            return refused(format!(
                "{} holds something; name a directory that is new or empty",
                to.display()
            ));
        }
        Ok(())
    }
}

/// An error if the directory is a backup that was not finished.
pub(crate) fn check_whole(storage: &dyn Storage, root: &Path) -> Result<()> {
    let mark = root.join(INCOMPLETE);
    if storage.open(&mark, Open::Existing).is_err() {
        return Ok(());
    }
    let text = format!(
        "{} is a backup that was not finished, much may be missing; use another one, or remove {INCOMPLETE} in it to \
         open what there is",
        root.display()
    );
    Err(Error::new(ErrorKind::Corrupt, "open store", text))
}

/// A backup that is being made.
struct Target<'a> {
    core: &'a Core,
    to: &'a Path,
    full: FullFiles,
    backup: Backup,
}

impl Target<'_> {
    fn make(mut self) -> Result<Backup> {
        let core = self.core;
        let unsaved = |reason| Error::new(ErrorKind::NotWritable, "back up store", reason);
        core.save().map_err(unsaved)?;
        let (end, time) = core.between_dispatches(|| {
            let dispatcher = &core.dispatcher;
            (dispatcher.end.load(Ordering::Acquire), dispatcher.store_timestamp.load(Ordering::Acquire))
        });
        // Files of the log first: what is held stays readable, whatever expires meanwhile.
        let segments = core.log.segments.overlapping(0, end);
        let begin = segments.first().map_or(end, |first| first.base);
        self.backup.log = begin..end;
        // What was appended since the save is in queues, and has to be on disk as well.
        core.flush_log().map_err(unsaved)?;
        core.dispatch();
        self.check_room(&segments)?;
        let to = self.to;
        let failed = |error| Error::io("back up store", to.display().to_string(), error);
        self.log(&segments).map_err(failed)?;
        self.queues().map_err(failed)?;
        self.ext().map_err(failed)?;
        let (index_ms, index_complete_to) = self.index().map_err(failed)?;
        let (master_flushed, confirm) = *core.saved.foreign.lock();
        let own = Own {
            queues: self.backup.queues as i64,
            index_files: self.backup.index_files as i64,
            index_complete_to,
            dispatched_to: end,
            queue_ends: None,
            ends_alone: None,
        };
        let checkpoint =
            Checkpoint { log_ms: time, queues_ms: time, index_ms, master_flushed, confirm, own: Some(own) };
        checkpoint.save(self.storage(), &to.join("checkpoint")).map_err(failed)?;
        Ok(self.backup)
    }

    /// An error once nobody waits for the backup any more.
    fn go_on(&self) -> io::Result<()> {
        match self.core.backups_ended.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(io::Error::other("the broker is stopping; make it again once it runs")),
        }
    }

    fn storage(&self) -> &dyn Storage {
        &*self.core.options.storage
    }

    /// Refuses early what would fill the disk, on which the store itself may be.
    fn check_room(&self, segments: &[Arc<Segment>]) -> Result<()> {
        let log = match (self.full, segments) {
            (FullFiles::Linked, [.., last]) => self.backup.log.end - last.base,
            _ => self.backup.log.end - self.backup.log.start,
        };
        let entries = |queue: &Arc<Queue>| {
            let state = queue.state();
            (state.end - state.first()) * queue.form.unit() as i64
        };
        let need = log as u64 + self.core.queues.all().iter().map(entries).sum::<i64>() as u64;
        let space = self.storage().space(self.to);
        match space.map(|space| space.free) {
            Ok(free) if free < need => {
                let text = format!("{}: {need} bytes are needed, {free} are free", self.to.display());
                Err(Error::io("back up store", text, io::ErrorKind::StorageFull.into()))
            }
            _ => Ok(()),
        }
    }

    fn log(&mut self, segments: &[Arc<Segment>]) -> io::Result<()> {
        let dir = self.to.join("commitlog");
        self.storage().create_dir_all(&dir)?;
        let end = self.backup.log.end;
        for segment in segments {
            let path = dir.join(file_name(segment.base));
            let size = segment.map.len() as u64;
            // One that nothing follows may be written to by a recovery of the copy.
            if segment.end() < end {
                self.full_file(&segment.path, &*segment.file, &path, size)?;
            } else {
                let modified = segment.file.modified_ms()?;
                let there = ((end - segment.base) as u64).min(size);
                self.copy(&*segment.file, &path, 0..there, size)?.set_modified_ms(modified)?;
            }
        }
        Ok(())
    }

    /// Links or copies a file that never changes again.
    fn full_file(&mut self, from: &Path, open: &dyn File, to: &Path, size: u64) -> io::Result<()> {
        // A file that expired meanwhile has no name to link, but can still be read.
        if self.full == FullFiles::Linked && self.storage().link(from, to).is_ok() {
            self.backup.linked += size;
            return Ok(());
        }
        let modified = open.modified_ms()?;
        self.copy(open, to, 0..size, size)?.set_modified_ms(modified)
    }

    /// Copies a range of bytes to a file of `size` bytes; holes stay holes.
    fn copy(
        &mut self,
        from: &dyn File,
        to: &Path,
        range: Range<u64>,
        size: u64,
    ) -> io::Result<Arc<dyn File>> {
        let target = self.storage().open(to, Open::Create)?;
        target.set_len(size)?;
        let mut chunk = vec![0; CHUNK.min(size as usize)];
        let mut at = range.start;
        while let Some(data) = from.next_data(at)?.filter(|data| *data < range.end) {
            self.go_on()?;
            at = at.max(data);
            let count = chunk.len().min((range.end - at) as usize);
            let read = from.read_at(at, &mut chunk[..count])?;
            if read == 0 {
                break;
            }
            target.write_at(at, &chunk[..read])?;
            at += read as u64;
            self.backup.copied += read as u64;
        }
        Ok(target)
    }

    fn queues(&mut self) -> io::Result<()> {
        for queue in self.core.queues.all() {
            self.go_on()?;
            let form = self.core.queues.dir(queue.form).file_name().unwrap_or_default().to_owned();
            let dir = self.to.join(form).join(&*queue.topic).join(queue.id.to_string());
            let mut made = Err(io::ErrorKind::NotFound.into());
            for _ in 0..ATTEMPTS {
                made = self.queue(&queue, &dir);
                // Its oldest files expired while they were copied: once more.
                if !matches!(&made, Err(error) if error.kind() == io::ErrorKind::NotFound) {
                    break;
                }
                remove_all(self.storage(), &dir, None)?;
            }
            if queue.state().deleted {
                remove_all(self.storage(), &dir, None)?;
                continue;
            }
            self.backup.queues += u64::from(made?);
        }
        Ok(())
    }

    /// Copies the entries of records that are in the backup; whether there are any.
    fn queue(&mut self, queue: &Queue, dir: &Path) -> io::Result<bool> {
        let files = &self.core.queues.files;
        let numbers = queue.numbers_before(files, self.backup.log.end)?;
        if numbers.is_empty() {
            return Ok(false);
        }
        self.storage().create_dir_all(dir)?;
        let (unit, per_file, size) = {
            let units = &queue.state().files;
            (units.unit, units.per_file, units.file_size())
        };
        let mut at = numbers.start;
        let mut bytes = Vec::new();
        while at < numbers.end {
            let base = at - at.rem_euclid(per_file);
            let file = self.storage().open(&dir.join(file_name(base * unit as i64)), Open::Create)?;
            file.set_len(size)?;
            let end = numbers.end.min(base + per_file);
            while at < end {
                bytes.clear();
                queue.raw(files, at, (end - at).min((CHUNK / unit) as i64) as usize, &mut bytes)?;
                let units = bytes.len() / unit;
                if units == 0 {
                    return Err(io::ErrorKind::NotFound.into());
                }
                file.write_at((at - base) as u64 * unit as u64, &bytes)?;
                at += units as i64;
                self.backup.copied += bytes.len() as u64;
            }
        }
        Ok(true)
    }

    /// Extended entries are Apache's, and only read here.
    fn ext(&mut self) -> io::Result<()> {
        let from = self.core.options.root.join("consumequeue_ext");
        let mut dirs = vec![PathBuf::new()];
        while let Some(below) = dirs.pop() {
            let dir = from.join(&below);
            for entry in self.storage().list(&dir)? {
                if entry.is_dir {
                    dirs.push(below.join(&entry.name));
                    continue;
                }
                let to = self.to.join("consumequeue_ext").join(&below);
                self.storage().create_dir_all(&to)?;
                let open = self.storage().open(&dir.join(&entry.name), Open::Existing)?;
                self.copy(&*open, &to.join(&entry.name), 0..entry.len, entry.len)?;
            }
        }
        Ok(())
    }

    /// Copies the key index; returns the store time of its last record, and the commit-log offset before which every
    /// record is indexed.
    fn index(&mut self) -> io::Result<(i64, i64)> {
        let index = &self.core.index;
        let dir = self.to.join("index");
        let end = self.backup.log.end;
        if !index.is_enabled() {
            return Ok((0, 0));
        }
        index.drain();
        let complete_to = index.complete_to.load(Ordering::Acquire).min(end);
        let snapshots = index.snapshots(end)?;
        let mut index_ms = 0;
        for snapshot in snapshots {
            self.storage().create_dir_all(&dir)?;
            let to = dir.join(snapshot.path.file_name().unwrap_or_default());
            let Some(head) = snapshot.head else {
                self.full_file(&snapshot.path, &*snapshot.file, &to, snapshot.size)?;
                (index_ms, self.backup.index_files) = (snapshot.end_timestamp, self.backup.index_files + 1);
                continue;
            };
            let items = head.len() as u64..snapshot.items_end;
            let file = self.copy(&*snapshot.file, &to, items, snapshot.size)?;
            write_without_zeros(&*file, &head)?;
            let mut copy = IndexFile::open(self.storage(), &to, index.shape, Open::Existing)?;
            if copy.verify(end)? == Verified::Damaged {
                tracing::warn!(file = %snapshot.path.display(), "the key index is damaged, the backup gets none");
                drop(copy);
                remove_all(self.storage(), &dir, None)?;
                self.backup.index_files = 0;
                return Ok((0, 0));
            }
            copy.sync()?;
            (index_ms, self.backup.index_files) = (copy.header.end_timestamp, self.backup.index_files + 1);
        }
        Ok((index_ms, complete_to))
    }
}

/// Writes the start of a file, and leaves out pages that are zeros anyway.
fn write_without_zeros(file: &dyn File, bytes: &[u8]) -> io::Result<()> {
    const PIECE: usize = 64 << 10;
    for (piece, at) in bytes.chunks(PIECE).zip((0..).step_by(PIECE)) {
        if piece.iter().any(|byte| *byte != 0) {
            file.write_at(at, piece)?;
        }
    }
    Ok(())
}

/// Removes what is in a directory, but for one name.
fn remove_all(storage: &dyn Storage, dir: &Path, but: Option<&str>) -> io::Result<()> {
    for entry in storage.list(dir)? {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            remove_all(storage, &path, None)?;
            storage.remove_dir(&path)?;
        } else if but != Some(&*entry.name) {
            storage.remove_file(&path)?;
        }
    }
    Ok(())
}
