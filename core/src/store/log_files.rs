//! The files of the commit log as they are found at the start: names and lengths.

use std::path::Path;

use super::scan::{self, LogFile};
use super::segment::{file_name, parse_file_name};
use super::storage::{Open, Storage};
use super::Core;
use crate::message::sys_flag;
use crate::record::{MAGIC_V1, MAGIC_V2};
use crate::{Error, ErrorKind, Result};

/// The files, oldest first, each with the length of the setting. One that is shorter, as a crash or a copy that was cut
/// off leaves it, is made longer and told of; files of another setting are an error.
pub(crate) fn find(core: &Core, notes: &mut Vec<String>) -> Result<Vec<LogFile>> {
    let (dir, size) = (&core.log.dir, core.log.file_size);
    let storage = &*core.options.storage;
    let failed = |error| Error::io("open store", dir.display().to_string(), error);
    refuse_dledger(core)?;
    let mut files = Vec::new();
    for entry in storage.list(dir).map_err(failed)? {
        match parse_file_name(&entry.name).filter(|_| !entry.is_dir) {
            Some(base) => files.push((base, entry.len as usize)),
            None => {
                notes.push(format!("{}: not a commit-log file, left alone", dir.join(&entry.name).display()))
            }
        }
    }
    check_lengths(core, &files)?;
    for (base, len) in files.iter().filter(|(_, len)| *len < size) {
        let path = dir.join(file_name(*base));
        storage.open(&path, Open::Existing).and_then(|file| file.set_len(size as u64)).map_err(failed)?;
        // A broker that was stopped while it made the file left nothing in it.
        if *len > 0 {
            let path = path.display();
            notes.push(format!(
                "{path}: had {len} bytes instead of {size}; made longer, what stood behind is gone"
            ));
        }
    }
    Ok(files.into_iter().map(|(base, _)| LogFile { base, path: dir.join(file_name(base)), size }).collect())
}

/// Apache's brokers in DLedger mode keep their log elsewhere, in another format; their queues would be found to point to
/// nothing, and go.
fn refuse_dledger(core: &Core) -> Result<()> {
    let root = &core.options.root;
    let entries = core.options.storage.list(root);
    let entries = entries.map_err(|error| Error::io("open store", root.display().to_string(), error))?;
    match entries.iter().find(|entry| entry.is_dir && entry.name.starts_with("dledger-")) {
        None => Ok(()),
        Some(entry) => {
            let text = format!(
                "{} holds the log of a broker in DLedger mode, which is not read here; start from a store of a broker \
                 without it, or, if it is a leftover, move it away",
                root.join(&entry.name).display()
            );
            Err(Error::new(ErrorKind::InvalidArgument, "open store", text))
        }
    }
}

fn check_lengths(core: &Core, files: &[(i64, usize)]) -> Result<()> {
    let size = core.log.file_size;
    let right_ones = files.iter().any(|(_, len)| *len == size);
    let is_wrong = |(base, len): &&(i64, usize)| {
        let path = core.log.dir.join(file_name(*base));
        *len > size
            || base % size as i64 != files[0].0 % size as i64
            || (*len > 0 && !right_ones && (files.len() > 1 || is_whole(core, &path, *base, *len)))
    };
    let Some((base, len)) = files.iter().find(is_wrong) else { return Ok(()) };
    let text = format!(
        "{} has {len} bytes and starts at {base}, mappedFileSizeCommitLog is {size}; set it to the size that the files \
         were made with, or, if this one was cut off, give it back its length",
        core.log.dir.join(file_name(*base)).display()
    );
    Err(Error::new(ErrorKind::InvalidArgument, "open store", text))
}

/// Whether a file is whole though shorter than the setting says: it ends with its blank, or was never filled and has a
/// length that somebody would set.
fn is_whole(core: &Core, path: &Path, base: i64, len: usize) -> bool {
    let Ok(file) = core.options.storage.open(path, Open::Existing) else { return false };
    let Ok((map, _)) = file.map(len, len) else { return false };
    let bytes = map.from(0);
    let mut at = 0;
    while let Ok(record) = scan::check(&bytes[at..], base, at) {
        at += record.total_size();
    }
    let never_filled = || len % 1024 == 0 && at < len && scan::all_zero(&*file, bytes, at).unwrap_or(false);
    scan::is_blank(&bytes[at..]) || never_filled()
}

/// Store time of a file's first record, read from its head alone: the record may be long.
pub(crate) fn first_store_time(storage: &dyn Storage, file: &LogFile) -> Option<i64> {
    let mut head = [0; 128];
    let read = storage.open(&file.path, Open::Existing).ok()?.read_at(0, &mut head).ok()?;
    let head = &head[..read];
    let int = |at: usize| Some(i32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(i64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let is_record = matches!(int(4)?, MAGIC_V1 | MAGIC_V2) && long(28)? == file.base;
    let time_at = if int(36)? & sys_flag::BORN_HOST_V6 == 0 { 56 } else { 68 };
    long(time_at).filter(|_| is_record)
}

/// Number of the file that holds a commit-log offset, or of the first one.
pub(crate) fn file_at(files: &[LogFile], offset: i64) -> usize {
    files.partition_point(|file| file.base <= offset).saturating_sub(1)
}

/// The bytes of a valid record that stands at a commit-log offset and ends at another.
pub(crate) fn record_at(storage: &dyn Storage, file: &LogFile, offset: i64, end: i64) -> Option<Vec<u8>> {
    let place = usize::try_from(offset - file.base).ok().zip(usize::try_from(end - offset).ok());
    let (at, len) = place.filter(|(at, len)| at.saturating_add(*len) <= file.size)?;
    let open = storage.open(&file.path, Open::Existing).ok()?;
    let read = |bytes: &mut [u8]| open.read_at(at as u64, bytes).is_ok_and(|read| read == bytes.len());
    // The length may come from a damaged entry.
    let mut size = [0; 4];
    if !read(&mut size) || usize::try_from(i32::from_be_bytes(size)) != Ok(len) {
        return None;
    }
    let mut bytes = vec![0; len];
    let is_whole =
        read(&mut bytes) && scan::check(&bytes, file.base, at).is_ok_and(|record| record.total_size() == len);
    is_whole.then_some(bytes)
}
