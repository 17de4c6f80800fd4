//! The event loops of a process: named threads, each with a current-thread runtime, made when first needed.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};

/// Event loops, shared by the servers and clients of a process. Each connection is pinned to one of them, in turn.
///
/// A loop's thread (`fmq-net-0`, ...) is started by the first connection or listener that it gets. Dropping the last
/// reference ends the threads.
pub struct Loops {
    slots: Mutex<Slots>,
    next: AtomicUsize,
}

struct Slots {
    closed: bool,
    loops: Vec<Option<EventLoop>>,
}

struct EventLoop {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

thread_local! {
    static ON_LOOP: Cell<bool> = const { Cell::new(false) };
}

impl Loops {
    /// Room for `count` event loops; 0 means one a core. Starts nothing.
    pub fn new(count: usize) -> Arc<Loops> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let loops = (0..count).map(|_| None).collect();
        Arc::new(Loops { slots: Mutex::new(Slots { closed: false, loops }), next: AtomicUsize::new(0) })
    }

    /// Ends the loops and joins their threads; connections still open are closed. Called on a loop it cannot join
    /// that one, which then ends by itself. Later uses fail with [`ErrorKind::Closed`].
    pub fn shutdown(&self) {
        let loops: Vec<EventLoop> = {
            let mut slots = self.slots.lock();
            slots.closed = true;
            slots.loops.iter_mut().filter_map(Option::take).collect()
        };
        let threads: Vec<JoinHandle<()>> = loops
            .into_iter()
            .map(|event_loop| {
                // An error means that the loop has ended already, which is what is wanted.
                let _ = event_loop.stop.send(());
                event_loop.thread
            })
            .collect();
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("an event loop ended with a panic");
            }
        }
    }

    /// The next loop in turn, started if need be.
    pub(super) fn pick(&self) -> Result<Handle> {
        let mut slots = self.slots.lock();
        if slots.closed {
            return Err(Error::new(ErrorKind::Closed, "use the network", "the event loops were shut down"));
        }
        let index = self.next.fetch_add(1, Ordering::Relaxed) % slots.loops.len();
        let slot = &mut slots.loops[index];
        if slot.is_none() {
            *slot = Some(start(index)?);
        }
        Ok(slot.as_ref().map(|event_loop| event_loop.handle.clone()).expect("just started"))
    }

    /// Whether the calling thread is an event loop, or does the work of one: it must not wait.
    pub(crate) fn is_current() -> bool {
        ON_LOOP.get()
    }

    /// Counts the calling thread among the event loops: what others wait for is told on it.
    pub(crate) fn count_in() {
        ON_LOOP.set(true);
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn start(index: usize) -> Result<EventLoop> {
    let name = format!("fmq-net-{index}");
    let failed = |source| Error::io("start an event loop", name.clone(), source);
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    let run = move || {
        Loops::count_in();
        // Either way of ending, a message or a lost sender, means stop.
        let _ = runtime.block_on(stopped);
        // Look-ups of host names may still hang in the resolver: they are left behind.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name(name.clone()).spawn(run).map_err(failed)?;
    Ok(EventLoop { handle, stop, thread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_made_when_needed_and_named() {
        let loops = Loops::new(3);
        assert!(loops.slots.lock().loops.iter().all(Option::is_none));
        let (sender, receiver) = std::sync::mpsc::channel();
        loops.pick().unwrap().spawn(async move {
            sender.send((std::thread::current().name().map(String::from), Loops::is_current())).unwrap();
        });
        assert_eq!(receiver.recv().unwrap(), (Some("fmq-net-0".to_string()), true));
        assert_eq!(loops.slots.lock().loops.iter().flatten().count(), 1);
        assert!(!Loops::is_current());
    }

    #[test]
    fn shutdown_drops_what_runs_and_refuses_new_work() {
        struct Dropped(std::sync::mpsc::Sender<()>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let loops = Loops::new(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let guard = Dropped(sender);
        loops.pick().unwrap().spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await
        });
        loops.shutdown();
        receiver.recv().unwrap();
        assert_eq!(loops.pick().unwrap_err().kind(), ErrorKind::Closed);
        loops.shutdown();
    }

    #[test]
    fn the_last_reference_may_be_dropped_on_a_loop() {
        let loops = Loops::new(1);
        let (sender, receiver) = std::sync::mpsc::channel();
        let held = loops.clone();
        loops.pick().unwrap().spawn(async move {
            tokio::task::yield_now().await;
            drop(held);
            sender.send(()).unwrap();
        });
        drop(loops);
        receiver.recv().unwrap();
    }
}
