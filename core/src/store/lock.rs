//! The files `lock` and `abort` (store reference, section 5.2): one broker a directory, and whether the last one went
//! in order.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::storage::{is_full, File, Open, Storage};
use crate::{Error, ErrorKind, Result};

/// The held lock of a store directory. Dropping it gives the directory free.
pub(crate) struct Lock {
    file: Arc<dyn File>,
    /// The process that took it. One that was forked from it has a copy, which is not its own to give back.
    owner: u32,
}

impl Lock {
    /// Takes the lock, or says who holds it. What stands behind the first four bytes is for people.
    pub fn take(storage: &dyn Storage, root: &Path, holder: &str) -> Result<Lock> {
        let path = root.join("lock");
        let failed = |error| Error::io("open store", path.display().to_string(), error);
        let Some(file) = storage.lock(&path).map_err(failed)? else {
            let holder = holder_in(storage, &path);
            let text = format!(
                "{} is in use{holder}; stop that broker, or give this one another directory (storePathRootDir)",
                root.display()
            );
            return Err(Error::new(ErrorKind::InUse, "open store", text));
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let text = format!("lock\nprocess {} on {}: {holder}\n", std::process::id(), host.trim());
        file.set_len(0).and_then(|()| unless_full(file.write_at(0, text.as_bytes()))).map_err(failed)?;
        Ok(Lock { file, owner: std::process::id() })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // A Java broker that comes next names nobody; it should not stand there under this one's name.
        let _ = self.file.set_len(4);
        // If that fails, closing the file does it.
        let _ = self.file.unlock();
    }
}

/// The names of these files count, not what is in them: a store on a full disk opens, so that room can be made.
fn unless_full(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
}

fn holder_in(storage: &dyn Storage, path: &Path) -> String {
    let mut text = [0; 512];
    let read = storage.open(path, Open::Existing).and_then(|file| file.read_at(0, &mut text)).unwrap_or(0);
    let named = String::from_utf8_lossy(&text[4.min(read)..read]).trim().to_owned();
    if named.is_empty() {
        " by another broker".into()
    } else {
        format!(" by {named}")
    }
}

/// The marker that stands while a broker runs.
pub(crate) struct Abort {
    path: PathBuf,
}

impl Abort {
    /// Sets the marker; whether it stood there already, so that the last shutdown was none.
    pub fn set(storage: &dyn Storage, root: &Path) -> io::Result<(Abort, bool)> {
        let path = root.join("abort");
        let stood = storage.list(root)?.iter().any(|entry| entry.name == "abort");
        let file = storage.open(&path, Open::Create)?;
        file.set_len(0)?;
        unless_full(file.write_at(0, std::process::id().to_string().as_bytes()))?;
        storage.sync_dir(root)?;
        Ok((Abort { path }, stood))
    }

    /// Removes the marker: everything is in order.
    pub fn clear(&self, storage: &dyn Storage) -> io::Result<()> {
        storage.remove_file(&self.path)?;
        storage.sync_dir(self.path.parent().unwrap_or(Path::new("/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::storage::Files;

    #[test]
    fn the_second_one_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(&Files, dir.path(), "broker-a at port 10911").unwrap();
        let error = Lock::take(&Files, dir.path(), "broker-b").err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InUse);
        let text = error.to_string();
        assert!(text.contains("broker-a at port 10911") && text.contains("storePathRootDir"), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(lock);
        assert_eq!(std::fs::read(dir.path().join("lock")).unwrap(), b"lock");
        assert!(Lock::take(&Files, dir.path(), "broker-b").is_ok());
    }

    /// Between fork and exec a child has copies of all descriptors: a directory that was given back is free all the same.
    #[test]
    fn a_directory_is_free_at_once_while_other_programs_are_started() {
        let dir = tempfile::tempdir().unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::process::Command::new("true").status().unwrap();
                }
            });
            let taken: Result<()> =
                (0..2000).try_for_each(|_| Lock::take(&Files, dir.path(), "broker-a").map(drop));
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            taken.unwrap();
        });
    }

    #[test]
    fn the_marker_tells_of_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let (abort, stood) = Abort::set(&Files, dir.path()).unwrap();
        assert!(!stood);
        assert!(Abort::set(&Files, dir.path()).unwrap().1);
        abort.clear(&Files).unwrap();
        assert!(!Abort::set(&Files, dir.path()).unwrap().1);
    }
}
