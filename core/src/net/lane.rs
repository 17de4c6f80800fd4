//! The one thread on which a client's calls within the process are told their end.

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{JoinHandle, ThreadId};
use std::time::Instant;

use super::calls::Done;
use super::{Call, Connection, Loops, Reply, Service};
use crate::sync::{Condvar, Mutex};
use crate::wire::{Frame, Response};
use crate::{Error, ErrorKind, Result};

/// A queue of work and the thread `fmq-local`, made when the first work comes, that does it in order. Nothing here
/// may block.
pub(super) struct Lane {
    /// What answers the requests that services send to the client.
    pushes: Arc<dyn Service>,
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes of requests that wait to be handed to an end, or are being handed.
    asked: AtomicUsize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The near ends, whose calls in flight may become overdue.
    ends: Vec<Weak<Connection>>,
    /// When to look for overdue calls.
    look_at: Option<Instant>,
    closed: bool,
    asleep: bool,
    thread: Option<JoinHandle<()>>,
    /// Also when somebody has taken `thread` to join it.
    thread_id: Option<ThreadId>,
}

/// Work for the lane.
pub(super) enum Job {
    /// Tells a call its end.
    Tell(Done, Result<Response>),
    /// Hands a request to an end of a connection.
    Ask { to: Arc<Connection>, frame: Vec<u8> },
    /// Tells both sides that their connection is closed.
    End { near: Arc<Connection>, far: Arc<Connection>, service: Arc<dyn Service> },
}

impl Job {
    /// What a service put there for a client that has not taken it yet; the ends of calls are bounded by their number.
    fn bytes(&self) -> usize {
        match self {
            Job::Ask { frame, .. } => frame.len(),
            Job::Tell(..) | Job::End { .. } => 0,
        }
    }
}

impl Lane {
    pub fn new(pushes: Arc<dyn Service>) -> Arc<Lane> {
        Arc::new(Lane {
            pushes,
            state: Mutex::default(),
            changed: Condvar::new(),
            asked: AtomicUsize::new(0),
        })
    }

    pub fn pushes(&self) -> &Arc<dyn Service> {
        &self.pushes
    }

    /// Looks after the calls of this near end and its far one.
    pub fn serve(&self, near: &Arc<Connection>) {
        let mut state = self.state.lock();
        state.ends.retain(|end| end.strong_count() > 0);
        state.ends.push(Arc::downgrade(near));
    }

    /// Jobs that wait.
    pub fn backlog(&self) -> usize {
        self.state.lock().jobs.len()
    }

    /// Bytes of requests to an end that has not taken them yet.
    pub fn queued_bytes(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Starts the thread if it does not run.
    pub fn start(self: &Arc<Self>) -> Result<()> {
        self.started(&mut self.state.lock())
    }

    fn started(self: &Arc<Self>, state: &mut State) -> Result<()> {
        if state.thread_id.is_some() {
            return Ok(());
        }
        if state.closed {
            return Err(Error::new(ErrorKind::Closed, "call", "the client was closed"));
        }
        let lane = self.clone();
        let thread = std::thread::Builder::new().name("fmq-local".into()).spawn(move || lane.run());
        let thread = thread.map_err(|error| Error::io("start a thread", "fmq-local", error))?;
        state.thread_id = Some(thread.thread().id());
        state.thread = Some(thread);
        Ok(())
    }

    /// Queues a job. After the end, or when there is no thread to be had, it is done on the spot.
    pub fn post(self: &Arc<Self>, job: Job) {
        self.asked.fetch_add(job.bytes(), Ordering::Relaxed);
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return self.work(job);
        }
        if let Err(error) = self.started(&mut state) {
            drop(state);
            tracing::error!("{error}");
            return self.work(job);
        }
        state.jobs.push_back(job);
        if std::mem::take(&mut state.asleep) {
            self.changed.notify_one();
        }
    }

    /// Has overdue calls looked for when `deadline` has come.
    pub fn look_at(self: &Arc<Self>, deadline: Instant) {
        let mut state = self.state.lock();
        if state.look_at.is_none_or(|at| deadline < at) {
            state.look_at = Some(deadline);
            if let Err(error) = self.started(&mut state) {
                return tracing::error!("{error}");
            }
            if std::mem::take(&mut state.asleep) {
                self.changed.notify_one();
            }
        }
    }

    /// Does what is queued, and ends the thread; waits for that with `join`, unless this is the thread.
    pub fn close(self: &Arc<Self>, join: bool) {
        let mut state = self.state.lock();
        state.closed = true;
        state.asleep = false;
        self.changed.notify_one();
        let thread = state.thread.take();
        let own = state.thread_id == Some(std::thread::current().id());
        drop(state);
        if let Some(thread) = thread.filter(|_| join && !own) {
            // Panics of callbacks are caught, and there is nothing else that could.
            let _ended = thread.join();
        }
    }

    fn run(self: &Arc<Self>) {
        Loops::count_in();
        let mut batch = VecDeque::new();
        while self.next_batch(&mut batch) {
            batch.drain(..).for_each(|job| self.work(job));
            self.expire();
        }
    }

    /// Waits for work; false at the end.
    fn next_batch(&self, batch: &mut VecDeque<Job>) -> bool {
        let mut state = self.state.lock();
        while state.jobs.is_empty() {
            if state.closed {
                return false;
            }
            state.asleep = true;
            let look_at = state.look_at;
            let overdue = match look_at {
                Some(at) => self.changed.wait_until(&mut state, at).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    false
                }
            };
            state.asleep = false;
            if overdue {
                return true;
            }
        }
        std::mem::swap(&mut state.jobs, batch);
        true
    }

    /// Times out calls that are overdue.
    fn expire(&self) {
        let ends = {
            let mut state = self.state.lock();
            if state.look_at.is_none_or(|at| at > Instant::now()) {
                return;
            }
            state.look_at = None;
            state.ends.clone()
        };
        let next = ends.iter().filter_map(Weak::upgrade).filter_map(|end| end.expire_locally()).min();
        let mut state = self.state.lock();
        state.look_at = [state.look_at, next].into_iter().flatten().min();
    }

    fn work(self: &Arc<Self>, job: Job) {
        let bytes = job.bytes();
        // A callback that panics must not take along the calls of all others.
        if catch_unwind(AssertUnwindSafe(|| self.do_work(job))).is_err() {
            tracing::error!("what was to be told the end of a call in this process panicked");
        }
        self.asked.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn do_work(&self, job: Job) {
        match job {
            Job::Tell(done, result) => done(result.map(Reply::local)),
            Job::Ask { to, frame } => match Frame::decode(&frame) {
                Ok(frame) => to.take_request(Call::new(&frame, &to), &self.pushes),
                Err(error) => tracing::error!("a request within the process does not decode: {error}"),
            },
            Job::End { near, far, service } => {
                service.closed(&far);
                self.pushes.closed(&near);
                let this = Arc::as_ptr(&near);
                self.state.lock().ends.retain(|end| !std::ptr::eq(end.as_ptr(), this));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Service for Nothing {
        fn handle(&self, _: Call<'_>) {}
    }

    #[test]
    fn who_is_told_on_the_lane_is_known_not_to_be_able_to_wait() {
        let lane = Lane::new(Arc::new(Nothing));
        let (told, heard) = std::sync::mpsc::channel();
        let done: Done = Box::new(move |_| told.send(Loops::is_current()).unwrap());
        lane.post(Job::Tell(done, Err(Error::new(ErrorKind::Closed, "test", ""))));
        assert_eq!(heard.recv(), Ok(true));
        lane.close(true);
    }
}
