//! Small configuration files kept by a process (JSON tables, properties): read with a fallback, replaced so that a
//! crash at any moment leaves the old content or the new one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind as IoKind, Read, Write};
use std::os::unix::fs::{fchown, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

/// Most bytes that are read from one file: far above any real table, below what would exhaust the memory.
const MAX_BYTES: u64 = 1 << 30;

/// Reads `path`; if it is missing or empty, the copy beside it with `.bak` appended. `None` if there is neither.
///
/// # Errors
/// [`ErrorKind::Io`] naming the file that could not be read.
pub fn load(path: &Path) -> Result<Option<Vec<u8>>> {
    load_with(path, |bytes| Ok::<_, std::convert::Infallible>(bytes.to_vec()))
}

/// Like [`load`], but also falls back to the copy if `parse` refuses the file (a torn write of another program), and
/// says so in the log.
///
/// # Errors
/// [`ErrorKind::Io`] if a file could not be read; [`ErrorKind::Corrupt`] naming the file and what `parse` said if
/// something is there and none of it parses: starting empty would lose it at the next save.
pub fn load_with<T, E: std::fmt::Display>(
    path: &Path,
    parse: impl Fn(&[u8]) -> std::result::Result<T, E>,
) -> Result<Option<T>> {
    let mut refused = None;
    for path in [path.to_owned(), backup(path)] {
        let Some(bytes) = read(&path)? else { continue };
        match parse(&bytes) {
            Ok(value) => {
                if let Some(refused) = refused {
                    tracing::warn!("{refused}; went on with {}", path.display());
                }
                return Ok(Some(value));
            }
            Err(error) => {
                refused.get_or_insert_with(|| format!("{} cannot be read: {error}", path.display()));
            }
        }
    }
    match refused {
        None => Ok(None),
        Some(refused) => {
            let context =
                format!("{refused}; repair the file, or move it and its .bak away to start without");
            Err(Error::new(ErrorKind::Corrupt, "load configuration file", context))
        }
    }
}

/// Replaces `path` by `bytes`; what was there before stands in `.bak` afterwards. On disk (fsync of the file and of
/// its directory) when it returns. Makes missing directories. The file keeps its mode and, where that is allowed, its
/// owner and group; where `path` is a link, what it leads to is replaced. One save of a file at a time: that is up to the
/// caller, since a lock for all would be held for ever in a process that is forked meanwhile.
///
/// # Errors
/// [`ErrorKind::Io`] naming the file; what was there before is then still there, in the file or its `.bak`.
pub fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |path: &Path, error| Error::io("save configuration file", path.display().to_string(), error);

    let target = fs::canonicalize(path).ok().filter(|_| path.is_symlink());
    let path = target.as_deref().unwrap_or(path);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).map_err(|error| fail(directory, error))?;
    let tmp = beside(path, ".tmp");
    let write = || -> std::io::Result<()> {
        let mut file = create_like(path, &tmp)?;
        step();
        file.write_all(bytes)?;
        step();
        file.sync_all()
    };
    write().map_err(|error| fail(&tmp, error))?;
    step();
    match fs::metadata(path) {
        // An empty file is no state: the copy of the last real one stays.
        Ok(present) if present.len() > 0 => {
            keep_copy(path).map_err(|error| fail(&backup(path), error))?;
        }
        _ => {}
    }
    step();
    fs::rename(&tmp, path).map_err(|error| fail(path, error))?;
    step();
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| fail(directory, error))
}

/// Makes what `path` holds its copy, without a moment in which it is not at `path`: not all readers look at the copy.
fn keep_copy(path: &Path) -> std::io::Result<()> {
    let linked = beside(path, ".bak.tmp");
    remove_if_there(&linked)?;
    match fs::hard_link(path, &linked) {
        Ok(()) => {
            step();
            fs::rename(linked, backup(path))
        }
        // File systems without links.
        Err(_) => fs::rename(path, backup(path)),
    }
}

/// Between any two of these a process may end.
fn step() {
    #[cfg(test)]
    steps::next();
}

/// Lets tests look at what a process leaves that ends in the middle of a save.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::{Cell, RefCell};

    thread_local! {
        static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
        static LOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    /// Calls `look` after so many steps of this thread's saves.
    pub fn look_after(steps: u64, look: impl FnOnce() + 'static) {
        LEFT.set(steps);
        LOOK.set(Some(Box::new(look)));
    }

    pub(super) fn next() {
        let left = LEFT.get();
        LEFT.set(left.saturating_sub(1));
        if left == 0 {
            LOOK.take().into_iter().for_each(|look| look());
        }
    }
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != IoKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A new file at `tmp` that those may read who may read `path`, before there is anything to be read in it.
fn create_like(path: &Path, tmp: &Path) -> std::io::Result<File> {
    // One that a crash left may be anybody's.
    remove_if_there(tmp)?;
    let Ok(present) = fs::metadata(path) else { return File::create_new(tmp) };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(tmp)?;
    // Only root may give files away; to others the owner is theirs already, mostly.
    let _owner = fchown(&file, Some(present.uid()), None);
    let group = fchown(&file, None, Some(present.gid()));
    // Another group than could read it is not to.
    let shared = if group.is_ok() { 0o7777 } else { 0o7707 };
    file.set_permissions(Permissions::from_mode(present.mode() & shared))?;
    Ok(file)
}

/// The small files below some directories of `root`, each as [`load`] gives it, with its path below `root`. Copies and
/// what an interrupted save left are passed over.
///
/// # Errors
/// [`ErrorKind::Io`] naming what could not be read.
pub fn below(root: &Path, directories: &[&str]) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    while let Some(directory) = directories.pop() {
        let path = root.join(&directory);
        let fail = |error| Error::io("list configuration files", path.display().to_string(), error);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == IoKind::NotFound => continue,
            entries => entries.map_err(fail)?,
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let name = directory.join(entry.file_name());
            if entry.file_type().map_err(fail)?.is_dir() {
                directories.push(name);
            } else if matches!(name.extension().and_then(|ext| ext.to_str()), Some("json" | "properties")) {
                found.extend(load(&root.join(&name))?.map(|bytes| (name, bytes)));
            }
        }
    }
    Ok(found)
}

/// Content of a regular file; `None` if it is missing or empty.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let fail = |error| Error::io("load configuration file", path.display().to_string(), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        let context = format!("{} is larger than {MAX_BYTES} bytes", path.display());
        return Err(Error::new(ErrorKind::LimitExceeded, "load configuration file", context));
    }
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// The path of the copy that [`save`] leaves.
pub fn backup(path: &Path) -> PathBuf {
    beside(path, ".bak")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> std::result::Result<i32, String> {
        std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or("not a number".into())
    }

    #[test]
    fn a_saved_file_is_loaded_and_the_one_before_is_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/topics.json");
        assert_eq!(load(&path).unwrap(), None);
        save(&path, b"1").unwrap();
        save(&path, b"2").unwrap();
        assert_eq!(load(&path).unwrap().unwrap(), b"2");
        assert_eq!(fs::read(backup(&path)).unwrap(), b"1");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2, "no .tmp stays");
    }

    #[test]
    fn a_file_stays_as_private_as_it_was_and_a_link_stays_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real/broker.conf"), dir.path().join("broker.conf"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        save(&real, b"1").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
        // What a crash left.
        fs::write(beside(&real, ".tmp"), "torn").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        save(&link, b"2").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"2");
        assert_eq!((mode(&real), mode(&backup(&real))), (0o600, 0o600));
        fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
        save(&real, b"3").unwrap();
        assert_eq!(mode(&real), 0o664);
    }

    #[test]
    fn there_is_a_file_at_every_moment_of_a_save() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broker.conf");
        save(&path, b"1").unwrap();
        std::thread::scope(|scope| {
            let saves = scope.spawn(|| (0..200).for_each(|_| save(&path, b"1").unwrap()));
            while !saves.is_finished() {
                assert_eq!(fs::read(&path).unwrap(), b"1");
            }
        });
    }

    #[test]
    fn a_missing_empty_or_torn_file_falls_back_to_its_copy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        save(&path, b"1").unwrap();
        save(&path, b"2").unwrap();
        for torn in [None, Some(""), Some("2x")] {
            match torn {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            assert_eq!(load_with(&path, number).unwrap(), Some(1), "{torn:?}");
        }
        fs::write(&path, "").unwrap();
        save(&path, b"3").unwrap();
        assert_eq!(fs::read(backup(&path)).unwrap(), b"1", "an empty file does not replace the copy");
    }

    #[test]
    fn when_nothing_parses_the_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "x").unwrap();
        let error = load_with(&path, number).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("f cannot be read: not a number"), "{error}");
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        let error = save(&dir.path().join("file/config/f"), b"1").unwrap_err();
        assert!(error.to_string().contains("file/config"), "{error}");
        assert!(load(dir.path()).is_err());
    }
}
