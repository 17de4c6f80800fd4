//! What is made from files, and made anew once they have changed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::tls::{stamp, Stamp};
use crate::sync::Mutex;
use crate::Result;

/// How long the files are taken for unchanged after a look. A look is made when a connection needs it, so nothing here costs
/// anything while no connections are made.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// A value made from files.
pub(super) struct FromFiles<T> {
    what: &'static str,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// Of the files that were read last, whether they were any good or not.
    stamps: Vec<Stamp>,
    looked: Option<Instant>,
}

impl<T: Send + Sync + 'static> FromFiles<T> {
    /// Makes nothing yet. `what` names it in the log.
    pub fn new(
        what: &'static str,
        files: impl IntoIterator<Item = PathBuf>,
        make: impl Fn() -> Result<T> + Send + Sync + 'static,
    ) -> FromFiles<T> {
        let state = Mutex::new(State { value: None, stamps: Vec::new(), looked: None });
        FromFiles { what, files: files.into_iter().collect(), make: Box::new(make), state }
    }

    /// The value, with a look at the files if the last one was some time ago. New files that are no good are reported, and the
    /// value from the old ones stays.
    ///
    /// # Errors
    /// When there is no value yet and none can be made.
    pub fn look(&self) -> Result<Arc<T>> {
        let mut state = self.state.lock();
        if let Some(value) = state.fresh() {
            return Ok(value);
        }
        let stamps: Vec<Stamp> = self.files.iter().map(|path| stamp(path)).collect();
        state.looked = Some(Instant::now());
        if let Some(value) = state.value.clone().filter(|_| stamps == state.stamps) {
            return Ok(value);
        }
        // The stamps are older than what is read: a change in between shows at the next look.
        state.stamps = stamps;
        match ((self.make)(), state.value.clone()) {
            (Ok(value), before) => {
                if before.is_some() {
                    tracing::info!("{}: the changed files are in use for new connections", self.what);
                }
                Ok(state.value.insert(Arc::new(value)).clone())
            }
            (Err(error), Some(old)) => {
                tracing::warn!(
                    "{}: the changed files are no good, the old ones stay in use: {error}",
                    self.what
                );
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// As [`FromFiles::look`], on an event loop: files are looked at on another thread.
    pub async fn current(self: &Arc<Self>) -> Result<Arc<T>> {
        if let Some(value) = self.state.try_lock().and_then(|state| state.fresh()) {
            return Ok(value);
        }
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.look()).await {
            Ok(looked) => looked,
            Err(error) => Err(crate::Error::new(
                crate::ErrorKind::Internal,
                "use TLS",
                format!("{}: {error}", self.what),
            )),
        }
    }
}

impl<T> State<T> {
    fn fresh(&self) -> Option<Arc<T>> {
        self.value.clone().filter(|_| self.looked.is_some_and(|at| at.elapsed() < FRESH_FOR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, ErrorKind};

    /// Looks as if the last look were long ago.
    fn look_again<T: Send + Sync + 'static>(of: &FromFiles<T>) -> Result<Arc<T>> {
        of.state.lock().looked = None;
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
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = made.clone();
        let value = FromFiles::new("a count", [path], move || {
            Ok(count.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        });
        for _ in 0..3 {
            assert_eq!(*look_again(&value).unwrap(), 0);
        }
        assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
