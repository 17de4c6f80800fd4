//! The end of a client and of what belongs to it: within a deadline, from any thread, once.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{consumer, producer, Cluster};
use crate::clock::deadline_in;
use crate::net::Service;
use crate::sync::{Condvar, Mutex};
use crate::{Error, ErrorKind, Result};

/// Ends a server.
pub(crate) type CloseHome = Box<dyn FnOnce() -> Result<()> + Send>;

/// A server in the same process that lives as long as its client.
pub(crate) struct Home {
    /// What answers at which address.
    pub services: Vec<(String, Arc<dyn Service>)>,
    /// Whether others can be part of its cluster; else nothing outside of this process is called.
    pub listens: bool,
    /// Where broadcasting consumers keep how far they have come, unless they are told: beside the messages, as it means
    /// nothing for those of another store.
    pub offsets: PathBuf,
    /// Ends the server.
    pub close: CloseHome,
}

/// How far the end of a client has come.
#[derive(Default)]
pub(super) struct Closing {
    state: Mutex<State>,
    ended: Condvar,
    /// The threads that do it, or did: one, and a further one for each time that it came to be late.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Those whose callbacks did not end in time.
    late: Mutex<Late>,
    home: Mutex<Option<CloseHome>>,
    /// What went wrong at the server's end, until somebody is told: no later closing finds it out again.
    home_failed: Mutex<Option<Error>>,
}

#[derive(Default)]
struct Late {
    consumers: Vec<Arc<consumer::Shared>>,
    producers: Vec<Arc<producer::Shared>>,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    Closing,
    /// All has ended but callbacks that still run; with what the first who asks is told.
    Late(Option<Error>),
    /// With what went wrong, for the first who asks.
    Closed(Option<Error>),
}

impl Closing {
    pub fn with_home(close: CloseHome) -> Closing {
        Closing { home: Mutex::new(Some(close)), ..Closing::default() }
    }

    /// Whether the caller is to do the closing, of what is still to be closed.
    fn begin(&self) -> bool {
        let mut state = self.state.lock();
        let begins = matches!(*state, State::Open | State::Late(_));
        if begins {
            *state = State::Closing;
        }
        begins
    }

    /// Waits for the end of the closing; `None` if callbacks still run and there is time left to wait for them.
    fn wait(&self, until: Instant, within: Duration) -> Option<Result<()>> {
        let mut state = self.state.lock();
        while matches!(*state, State::Closing) {
            let timed_out = self.ended.wait_until(&mut state, until).timed_out();
            if timed_out && matches!(*state, State::Closing) {
                let context =
                    format!("not ended within {} ms; it ends in the background", within.as_millis());
                return Some(Err(Error::new(ErrorKind::Timeout, "close", context)));
            }
        }
        let failed = match &mut *state {
            State::Late(_) if until > Instant::now() => return None,
            State::Late(failed) | State::Closed(failed) => failed.take(),
            State::Open | State::Closing => None,
        };
        drop(state);
        let failed = self.home_failed.lock().take().or(failed);
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // It has nothing left to do, and its panics were reported.
            let _ended = thread.join();
        }
        Some(failed.map_or(Ok(()), Err))
    }

    fn close_home(&self) -> Result<()> {
        let close = self.home.lock().take();
        close.map_or(Ok(()), |close| close())
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Whether this is a thread of the library, where users' callbacks run: it cannot wait for its own end.
pub(crate) fn on_own_thread() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with("fmq-"))
}

impl Cluster {
    /// Closes producers and consumers, the connections, the threads, and the server in this process if there is one.
    /// Waits for that up to `within`; on a thread of the library's own it starts it and returns at once.
    ///
    /// Errors: [`ErrorKind::Timeout`] past the deadline: callbacks that still run go on by themselves, and all else ends
    /// in the background. What went wrong at the server's end. A second call waits again for what still runs.
    pub(crate) fn end_within(self: &Arc<Self>, within: Duration) -> Result<()> {
        self.check_process()?;
        let until = deadline_in(within);
        loop {
            if self.closing.begin() {
                let (cluster, left) = (self.clone(), left(until));
                // Not on this thread: what hangs there must not hang here.
                let spawned =
                    std::thread::Builder::new().name("fmq-close".into()).spawn(move || cluster.end(left));
                match spawned {
                    Ok(thread) => self.closing.threads.lock().push(thread),
                    Err(_) => self.end(left),
                }
            }
            if on_own_thread() {
                return Ok(());
            }
            if let Some(ended) = self.closing.wait(until, within) {
                return ended;
            }
        }
    }

    fn end(&self, within: Duration) {
        let until = deadline_in(within);
        let mut failed = None;
        // Says whether it was too late for something.
        let mut note = |ended: Result<()>| {
            let Err(error) = ended else { return false };
            tracing::warn!("not closed in order: {error}");
            let is_late = error.kind() == ErrorKind::Timeout;
            failed.get_or_insert(error);
            is_late
        };
        let Late { mut consumers, mut producers } = std::mem::take(&mut *self.closing.late.lock());
        consumers.extend(self.consumers());
        producers.extend(self.producers.all());
        // Listeners may send, so consumers end first.
        consumers.retain(|consumer| note(consumer.close_within(left(until))));
        producers.retain(|producer| note(producer.close_within(left(until))));
        let mut is_late = !consumers.is_empty() || !producers.is_empty();
        *self.closing.late.lock() = Late { consumers, producers };
        is_late |= note(self.close_within(left(until)));
        if let Err(error) = self.closing.close_home() {
            tracing::error!("the server did not close in order: {error}");
            *self.closing.home_failed.lock() = Some(error);
        }
        *self.closing.state.lock() = match is_late {
            true => State::Late(failed),
            false => State::Closed(failed),
        };
        self.closing.ended.notify_all();
    }

    /// Whether the client can be used: not closed, and not another process's.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_process()?;
        match *self.closing.state.lock() {
            State::Open => Ok(()),
            _ => Err(Error::new(ErrorKind::Closed, "use the client", "it was closed")),
        }
    }

    /// Whether this process is the one that made the client. After fork() the child has neither its threads nor the
    /// right to its files. Costs a system call (about 0.1 µs).
    pub(crate) fn check_process(&self) -> Result<()> {
        let pid = self.pid.load(Ordering::Relaxed);
        if std::process::id() == pid {
            return Ok(());
        }
        let context = format!(
            "this process was forked from {pid}, which made the client; let the child make one of its own"
        );
        Err(Error::new(ErrorKind::Forked, "use the client", context))
    }

    /// The end without [`Cluster::end_within`], when the last reference goes.
    pub(super) fn drop_home(&self) {
        let Some(close) = self.closing.home.lock().take() else { return };
        if !on_own_thread() {
            // The connections first: nobody is served by a store that is closed.
            self.close();
            return log(close());
        }
        // It may be this very thread that the server's end would wait for.
        let spawned = std::thread::Builder::new().name("fmq-close".into()).spawn(move || log(close()));
        if let Err(error) = spawned {
            tracing::error!("the server is not closed in order: {error}");
        }
    }
}

fn log(closed: Result<()>) {
    if let Err(error) = closed {
        tracing::error!("the server did not close in order: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_another_process_every_call_fails_and_dropping_only_forgets() {
        let ended = Arc::new(());
        let held = ended.clone();
        let close = Box::new(move || {
            drop(held);
            Ok(())
        });
        let options = crate::config::ClientOptions::new("127.0.0.1:9");
        let cluster = Cluster::at_home(
            options,
            Some(Home { services: Vec::new(), listens: true, offsets: PathBuf::new(), close }),
        )
        .unwrap();
        // As it looks to a child of fork().
        cluster.pid.store(std::process::id() + 1, Ordering::Relaxed);
        let failures = [
            cluster.end_within(Duration::from_secs(60)),
            cluster.check_open(),
            cluster.create_topic("T", 1),
            cluster.route("T").map(drop),
            cluster.message_by_id("7F00000100002A9F00000000000003E8").map(drop),
        ];
        for failure in failures {
            let error = failure.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forked, "{error}");
        }
        drop(cluster);
        assert_eq!(Arc::strong_count(&ended), 2, "the server is not this process's to end");
    }

    #[test]
    fn what_went_wrong_at_the_servers_end_is_told_once_though_callbacks_are_late() {
        let close = Box::new(|| Err(Error::new(ErrorKind::NotWritable, "test", "")));
        let options = crate::config::ClientOptions::new("127.0.0.1:9");
        let cluster = Cluster::at_home(
            options,
            Some(Home { services: Vec::new(), listens: true, offsets: PathBuf::new(), close }),
        )
        .unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        cluster.callbacks.run(move || held.recv().unwrap_or_default());
        let first = cluster.end_within(Duration::from_millis(50));
        let late = cluster.end_within(Duration::from_millis(50));
        drop(release);
        let rest = [(); 3].map(|()| cluster.end_within(Duration::from_secs(60)));
        let told = [first, late].into_iter().chain(rest).filter_map(Result::err);
        let told: Vec<ErrorKind> = told.map(|error| error.kind()).collect();
        let of_home = told.iter().filter(|kind| **kind == ErrorKind::NotWritable).count();
        assert_eq!(of_home, 1, "{told:?}");
    }

    #[test]
    fn the_server_in_the_process_ends_once_with_its_client() {
        let (told, ends) = std::sync::mpsc::channel();
        let home = |told: std::sync::mpsc::Sender<()>| {
            let close =
                Box::new(move || told.send(()).map_err(|_| Error::new(ErrorKind::Internal, "test", "")));
            Some(Home { services: Vec::new(), listens: true, offsets: PathBuf::new(), close })
        };
        let options = crate::config::ClientOptions::new("127.0.0.1:9");
        let cluster = Cluster::at_home(options.clone(), home(told.clone())).unwrap();
        for _ in 0..2 {
            cluster.end_within(Duration::from_secs(60)).unwrap();
        }
        drop(cluster);
        drop(Cluster::at_home(options, home(told)).unwrap());
        assert_eq!(ends.iter().count(), 2);
    }
}
