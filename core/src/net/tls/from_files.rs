//! What is made from files, and made anew once they have changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::config::tls::{stamp, Stamp};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// How long the files are taken for unchanged after a look. A look is made when a connection needs it, so nothing here costs
/// anything while no connections are made.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// How long files that were no good are left alone unless they change: what was wrong may have been the moment (no
/// descriptor left) or something that no stamp shows.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A value made from files.
pub(super) struct FromFiles<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    current: Mutex<Current<T>>,
    /// Held while files are looked at, which may take as long as a disk or a network takes.
    seen: Mutex<Seen>,
    /// One look at a time has a thread; who needs the value meanwhile takes the one that is there.
    looks: Arc<Semaphore>,
}

/// Never locked over anything slow.
struct Current<T> {
    value: Option<Arc<T>>,
    looked: Option<Instant>,
}

#[derive(Default)]
struct Seen {
    /// Of the files that the value was made from.
    good: Vec<Stamp>,
    bad: Option<Bad>,
}

/// Files that are no good.
struct Bad {
    stamps: Vec<Stamp>,
    why: String,
    tried: Instant,
}

impl<T: Send + Sync + 'static> FromFiles<T> {
    /// Makes nothing yet. `what` names it in the log.
    pub fn new(
        what: &'static str,
        files: impl IntoIterator<Item = PathBuf>,
        make: impl Fn() -> Result<T> + Send + Sync + 'static,
    ) -> FromFiles<T> {
        FromFiles {
            what,
            files: files.into_iter().collect(),
            make: Box::new(make),
            current: Mutex::new(Current { value: None, looked: None }),
            seen: Mutex::default(),
            looks: Arc::new(Semaphore::new(1)),
        }
    }

    /// The value, with a look at the files if the last one was some time ago. New files that are no good are reported, and the
    /// value from the old ones stays.
    ///
    /// # Errors
    /// When there is no value yet and none can be made.
    pub fn look(&self) -> Result<Arc<T>> {
        let mut seen = self.seen.lock();
        if let Some(value) = self.current.lock().fresh() {
            return Ok(value);
        }
        let stamps: Vec<Stamp> = self.files.iter().map(|path| stamp(path)).collect();
        let old = {
            let mut current = self.current.lock();
            current.looked = Some(Instant::now());
            current.value.clone()
        };
        if let Some(value) = old.clone().filter(|_| seen.need_not_be_read(&stamps)) {
            return Ok(value);
        }
        match ((self.make)(), old) {
            (Ok(value), old) => {
                if old.is_some() {
                    tracing::info!("{}: the changed files are in use for new connections", self.what);
                }
                // The stamps are older than what was read: a change in between shows at the next look.
                *seen = Seen { good: stamps, bad: None };
                Ok(self.current.lock().value.insert(Arc::new(value)).clone())
            }
            (Err(error), Some(old)) => {
                if seen.is_news(stamps, error.to_string()) {
                    tracing::warn!(
                        "{}: the changed files are no good, the old ones stay in use: {error}",
                        self.what
                    );
                }
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// As [`FromFiles::look`], on an event loop: files are looked at on another thread. While that takes its time, others
    /// get the value as it was.
    pub async fn current(self: &Arc<Self>) -> Result<Arc<T>> {
        let old = {
            let current = self.current.lock();
            if let Some(value) = current.fresh() {
                return Ok(value);
            }
            current.value.clone()
        };
        let turn = match (self.looks.clone().try_acquire_owned(), old) {
            (Ok(turn), _) => turn,
            (Err(_), Some(old)) => return Ok(old),
            // There is nothing to go on with until whoever looks is done.
            (Err(_), None) => {
                self.looks.clone().acquire_owned().await.map_err(|error| self.broken(&error))?
            }
        };
        let this = self.clone();
        let look = move || {
            let looked = this.look();
            drop(turn);
            looked
        };
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(self.broken(&error)))
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(ErrorKind::Internal, "use TLS", format!("{}: {error}", self.what))
    }
}

impl<T> Current<T> {
    fn fresh(&self) -> Option<Arc<T>> {
        self.value.clone().filter(|_| self.looked.is_some_and(|at| at.elapsed() < FRESH_FOR))
    }
}

impl Seen {
    /// Whether files with these stamps are those in use, or were found to be no good a moment ago.
    fn need_not_be_read(&self, stamps: &[Stamp]) -> bool {
        let bad = |bad: &Bad| bad.stamps == stamps && bad.tried.elapsed() < AGAIN_AFTER;
        self.good == stamps || self.bad.as_ref().is_some_and(bad)
    }

    /// Notes files that are no good; says whether that, or why, is not known yet.
    fn is_news(&mut self, stamps: Vec<Stamp>, why: String) -> bool {
        let known = self.bad.as_ref().is_some_and(|bad| bad.stamps == stamps && bad.why == why);
        self.bad = Some(Bad { stamps, why, tried: Instant::now() });
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    /// Looks as if the last look were long ago.
    fn look_again<T: Send + Sync + 'static>(of: &FromFiles<T>) -> Result<Arc<T>> {
        of.current.lock().looked = None;
        of.look()
    }

    #[test]
    fn changed_files_are_taken_up_and_bad_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let read = path.clone();
        let number = FromFiles::new("a number", [path.clone()], move || {
            let text = String::from_utf8(crate::config::tls::read(&read)?).unwrap();
            text.parse::<u32>().map_err(|_| Error::new(ErrorKind::Corrupt, "test", text))
        });
        assert!(number.look().is_err());
        write("1");
        assert_eq!(*look_again(&number).unwrap(), 1);
        write("22");
        assert_eq!(*look_again(&number).unwrap(), 22);
        write("none");
        assert_eq!(*look_again(&number).unwrap(), 22);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*look_again(&number).unwrap(), 22);
        write("333");
        assert_eq!(*look_again(&number).unwrap(), 333);
    }

    #[test]
    fn unchanged_files_are_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "x").unwrap();
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let value = FromFiles::new("a count", [path], move || Ok(count.fetch_add(1, Ordering::SeqCst)));
        for _ in 0..3 {
            assert_eq!(*look_again(&value).unwrap(), 0);
        }
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn files_that_could_not_be_read_once_are_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let (no_descriptor, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (fails, counted, read) = (no_descriptor.clone(), tries.clone(), path.clone());
        let number = FromFiles::new("a number", [path.clone()], move || {
            counted.fetch_add(1, Ordering::SeqCst);
            if fails.load(Ordering::SeqCst) {
                return Err(Error::new(ErrorKind::Io, "test", "too many open files"));
            }
            Ok(std::fs::read_to_string(&read).unwrap())
        });
        assert_eq!(*look_again(&number).unwrap(), "1");
        std::fs::write(&path, "22").unwrap();
        no_descriptor.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            assert_eq!(*look_again(&number).unwrap(), "1");
        }
        assert!(tries.load(Ordering::SeqCst) < 12, "not at every look");
        no_descriptor.store(false, Ordering::SeqCst);
        number.seen.lock().bad.as_mut().unwrap().tried -= AGAIN_AFTER;
        assert_eq!(*look_again(&number).unwrap(), "22");
    }

    #[test]
    fn a_changed_mode_is_a_change() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "x").unwrap();
        let before = stamp(&path);
        eventually(|| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            stamp(&path) != before
        });
    }

    /// The system's clock for files ticks some hundred times a second.
    fn eventually(mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn while_one_looks_for_long_others_go_on_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "x").unwrap();
        let (hang, hanging) = std::sync::mpsc::channel::<()>();
        let hanging = Mutex::new(hanging);
        let made = Arc::new(AtomicUsize::new(0));
        let count = made.clone();
        let value = Arc::new(FromFiles::new("a count", [path.clone()], move || {
            let number = count.fetch_add(1, Ordering::SeqCst);
            if number > 0 {
                // Until the test lets go of the other end.
                let _ = hanging.lock().recv();
            }
            Ok(number)
        }));
        assert_eq!(*value.look().unwrap(), 0);
        std::fs::write(&path, "changed").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).build().unwrap();
        runtime.block_on(async {
            value.current.lock().looked = None;
            let looks = tokio::spawn({
                let value = value.clone();
                async move { value.current().await }
            });
            while made.load(Ordering::SeqCst) < 2 {
                tokio::task::yield_now().await;
            }
            for _ in 0..100 {
                value.current.lock().looked = None;
                assert_eq!(*value.current().await.unwrap(), 0);
            }
            drop(hang);
            assert_eq!(*looks.await.unwrap().unwrap(), 1);
        });
    }
}
