//! Directories for stores that nobody wants to keep: in memory where the system has a file system for that.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::storage::{Files, Storage};
use crate::{Error, Result};

/// Where Linux keeps shared memory: files there have no disk behind them.
const IN_MEMORY: &str = "/dev/shm";

const PREFIX: &str = "ferromq-scratch-";

/// A younger directory is left alone: its owner may not have taken its lock yet.
const GRACE: Duration = Duration::from_secs(60);

/// A directory of this process's own, removed with [`Scratch::remove`], or else by the next [`Scratch::make`] of any
/// process after this one has ended.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory in `/dev/shm`, or in the directory for temporary files where there is no such place. Removes
    /// those that processes left behind which did not end in order.
    ///
    /// # Errors
    /// When neither place can be written to.
    pub fn make() -> Result<Scratch> {
        let in_memory = PathBuf::from(IN_MEMORY);
        let temporary = std::env::temp_dir();
        for place in [&in_memory, &temporary] {
            sweep(place);
        }
        make_in(&in_memory).or_else(|_| make_in(&temporary)).map_err(|error| {
            let context = format!("neither {IN_MEMORY} nor {} takes a directory", temporary.display());
            Error::io("open in memory", context, error)
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory with all that is in it. Done a second time it does nothing.
    ///
    /// # Errors
    /// When something in it cannot be removed; it then stays until the next [`Scratch::make`].
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove store in memory", self.path.display().to_string(), error))
            }
            _ => Ok(()),
        }
    }
}

fn make_in(place: &Path) -> io::Result<Scratch> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("{PREFIX}{}-{number}", std::process::id()));
        // Messages are nobody else's business.
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(Scratch { path }),
            // Process ids come again, in containers all the time.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes what dead processes left: directories whose lock can be had. What cannot be looked at is somebody else's.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            let path = entry.path();
            if is_abandoned(&path) {
                match fs::remove_dir_all(&path) {
                    Ok(()) => {
                        tracing::info!(path = %path.display(), "removed a store in memory of a process that died")
                    }
                    Err(error) => tracing::debug!(path = %path.display(), %error, "not removed"),
                }
            }
        }
    }
}

fn is_abandoned(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
    // Without a lock file the owner never came to open its store.
    age.is_ok_and(|age| age >= GRACE)
        && (!path.join("lock").exists() || Files.lock(&path.join("lock")).is_ok_and(|held| held.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aged(path: &Path) {
        let old = SystemTime::now() - 2 * GRACE;
        fs::File::open(path).unwrap().set_modified(old).unwrap();
    }

    #[test]
    fn only_what_nobody_holds_and_is_old_enough_goes() {
        let place = tempfile::tempdir().unwrap();
        let made: Vec<Scratch> = (0..4).map(|_| make_in(place.path()).unwrap()).collect();
        let held = Files.lock(&made[1].path().join("lock")).unwrap().unwrap();
        drop(Files.lock(&made[2].path().join("lock")).unwrap().unwrap());
        fs::write(made[2].path().join("data"), "x").unwrap();
        let other = place.path().join("someone-elses");
        fs::create_dir(&other).unwrap();
        [made[1].path(), made[2].path(), made[3].path(), &other].into_iter().for_each(aged);
        sweep(place.path());
        let there = |at: usize| made[at].path().exists();
        assert_eq!([there(0), there(1), there(2), there(3)], [true, true, false, false]);
        assert!(other.exists());
        drop(held);
        made[1].remove().unwrap();
        made[1].remove().unwrap();
        assert!(!there(1));
    }

    #[test]
    fn directories_are_private_and_different() {
        use std::os::unix::fs::PermissionsExt;
        let (one, two) = (Scratch::make().unwrap(), Scratch::make().unwrap());
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        one.remove().unwrap();
        two.remove().unwrap();
    }
}
