//! Reading the key index at the start: what of it can be used, and from where on records must be indexed again.

use std::io;
use std::sync::atomic::Ordering;

use super::index::{Files, Index};
use super::index_file::{IndexFile, Verified};
use super::storage::{is_full, Open};
use crate::{Error, Result};

/// Files with at most so many items are always checked whole; larger ones only when a crash may have damaged them.
const SMALL: i32 = 100_000;

/// What is known from before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// The last shutdown was none.
    pub crashed: bool,
    /// Files with records up to this time are full and on disk.
    pub synced_ms: i64,
    /// What the checkpoint says besides: number of files, and the commit-log offset up to which items are on disk.
    pub saved: Option<(usize, i64)>,
    /// First record of the log.
    pub log_start: i64,
    /// No record stands behind this commit-log offset.
    pub log_end: i64,
}

/// Whether a name is one of Apache's for index files: a time, in 17 digits.
pub(super) fn is_file_name(name: &str) -> bool {
    name.len() == 17 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// A file that cannot be mended for want of room goes, which makes some; the log can make it again.
fn unless_full(verified: io::Result<Verified>) -> io::Result<Verified> {
    verified.or_else(|error| if is_full(&error) { Ok(Verified::Damaged) } else { Err(error) })
}

impl Index {
    /// Reads the files that are there; what cannot be used is removed and told. Returns the commit-log offset from
    /// which records must be indexed.
    pub fn load(&self, known: &Known, notes: &mut Vec<String>) -> Result<i64> {
        if !self.is_enabled() {
            return Ok(i64::MAX);
        }
        let failed = |error| Error::io("read index", self.dir.display().to_string(), error);
        let mut files = self.files.lock();
        let from = match self.open_files(&mut files, known, notes).map_err(failed)? {
            Some(damage) => {
                notes.push(format!("the key index is made again: {damage}"));
                self.remove_from(&mut files, 0).map_err(failed)?;
                0
            }
            None => self.check(&mut files, known, notes).map_err(failed)?,
        };
        self.complete_to.store(from, Ordering::Release);
        Ok(from)
    }

    /// Opens all files; what is wrong with them as a whole.
    fn open_files(
        &self,
        files: &mut Files,
        known: &Known,
        notes: &mut Vec<String>,
    ) -> io::Result<Option<String>> {
        let mut damage = None;
        let (ours, others): (Vec<_>, Vec<_>) = self
            .storage
            .list(&self.dir)?
            .into_iter()
            .partition(|entry| !entry.is_dir && is_file_name(&entry.name));
        for other in others {
            notes.push(format!("{}: not an index file, left alone", self.dir.join(other.name).display()));
        }
        for (at, entry) in ours.iter().enumerate() {
            let path = self.dir.join(&entry.name);
            let why = match IndexFile::open(&*self.storage, &path, self.shape, Open::Existing) {
                Ok(file) if file.is_sane() => {
                    files.list.push(file);
                    continue;
                }
                Ok(_) => "its header cannot be true".into(),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
                // Too many open files, no permission: that passes, and the file is as good as before.
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
                }
            };
            // A process that was killed while it made the newest left nothing in it.
            if entry.len > 0 || at + 1 < ours.len() {
                damage = Some(format!("{}: {why}", path.display()));
            }
            self.storage.remove_file(&path)?;
            files.renamed = true;
        }
        let (there, expected) = (files.list.len(), known.saved.map_or(0, |(files, _)| files));
        if damage.is_none() && there < expected {
            damage = Some(format!("{there} of {expected} files are there"));
        }
        // Without a count of ours, a missing first file shows by what is behind it.
        let first = files.list.first().map_or(0, |first| first.header.begin_offset);
        if damage.is_none() && known.saved.is_none() && first > known.log_start {
            damage = Some(format!("what is before offset {first} is in no file"));
        }
        // The newest may have been made and never got an item.
        let in_order = |pair: &[IndexFile]| {
            pair[1].header.next_item == 1 || pair[0].header.end_offset <= pair[1].header.begin_offset
        };
        if damage.is_none() && !files.list.windows(2).all(in_order) {
            damage = Some("the files do not follow each other".into());
        }
        Ok(damage)
    }

    /// Checks items and drops those that may not have come to disk whole: behind what the checkpoint vouches for, or
    /// where it does not say, of the last record.
    fn check(&self, files: &mut Files, known: &Known, notes: &mut Vec<String>) -> io::Result<i64> {
        let mut limit = known.log_end;
        let last_item = files.list.last().map(|file| file.header.end_offset);
        // The index may have failed before the end, in the middle of a record's keys. It may also have been off.
        let complete_to = match known.saved {
            Some((_, complete_to)) if known.crashed || complete_to > 0 => Some(complete_to),
            None if !known.crashed => None,
            _ => Some(last_item.unwrap_or(0)),
        };
        limit = limit.min(complete_to.unwrap_or(limit));
        let mut at = 0;
        while let Some(file) = files.list.get_mut(at) {
            let header = file.header;
            if header.next_item == 1 {
                // A file gets its first item when it is made, so what was in this one is gone.
                notes.push(format!("{}: holds nothing, made again", file.path.display()));
                self.remove_from(files, at)?;
                return Ok(files.list.last().map_or(0, |last| last.header.end_offset).min(limit));
            }
            let suspect = known.crashed && header.end_timestamp > known.synced_ms;
            if suspect || header.next_item <= SMALL || header.end_offset >= limit {
                match unless_full(file.verify(limit))? {
                    Verified::Whole => {}
                    Verified::Cut => {
                        let empty = file.header.next_item == 1;
                        self.remove_from(files, if empty { at } else { at + 1 })?;
                        break;
                    }
                    Verified::Damaged => {
                        notes.push(format!("{}: damaged, made again", file.path.display()));
                        self.remove_from(files, at)?;
                        return Ok(header.begin_offset.min(limit));
                    }
                }
            }
            at += 1;
        }
        Ok(match complete_to {
            Some(_) => limit,
            None => last_item.map_or(0, |end| end + 1).min(limit),
        })
    }

    /// Drops the items of records from a commit-log offset on: the log was cut there.
    pub fn cut(&self, log_end: i64) -> io::Result<()> {
        let mut files = self.files.lock();
        while let Some(file) = files.list.last_mut().filter(|file| file.header.end_offset >= log_end) {
            if unless_full(file.verify(log_end))? == Verified::Cut && file.header.next_item > 1 {
                break;
            }
            let last = files.list.len() - 1;
            self.remove_from(&mut files, last)?;
        }
        self.complete_to.fetch_min(log_end, Ordering::AcqRel);
        Ok(())
    }

    fn remove_from(&self, files: &mut Files, at: usize) -> io::Result<()> {
        for file in files.list.drain(at..) {
            self.storage.remove_file(&file.path)?;
            files.renamed = true;
        }
        Ok(())
    }
}
