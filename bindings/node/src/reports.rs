//! How what happens on other threads comes to JavaScript: one queue for each of its environments, emptied in batches.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use ferromq::{Error, ErrorKind, Instance, PushConsumer, Result};
use napi::bindgen_prelude::{Buffer, Float64Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;

use crate::error::{caught, guard, to_json};

/// How long the end of an environment waits for what runs in it.
const END_WITHIN: Duration = Duration::from_secs(10);

/// What the environment's end waits for when it was told to be quick: nothing that could block is left then.
const STEP: Duration = Duration::from_millis(50);

/// Log lines that wait to be taken, at most; more are dropped, and their number is told.
const MOST_LOGS: usize = 10_000;

/// The call with this number has its result.
pub const DONE: u32 = 0;
/// The call with this number failed: the text is the error.
pub const FAILED: u32 = 1;
/// The listener with this number is to be called, and its answer given under `ask`.
pub const ASKED: u32 = 2;
/// A line of the library's log.
pub const LOGGED: u32 = 3;

/// Text, bytes and numbers: what a report brings, and in which form is a matter of who made it and who takes it.
#[derive(Default)]
pub struct Payload {
    pub text: Option<String>,
    pub bytes: Option<Vec<u8>>,
    pub numbers: Option<Vec<f64>>,
}

impl Payload {
    pub fn text(text: impl Into<String>) -> Payload {
        Payload { text: Some(text.into()), ..Payload::default() }
    }

    /// `value` as JSON.
    pub fn json(value: &impl serde::Serialize) -> Result<Payload> {
        let text = serde_json::to_string(value);
        text.map(Payload::text).map_err(|error| Error::new(ErrorKind::Internal, "answer", error.to_string()))
    }
}

/// What happened.
#[napi(object)]
pub struct Report {
    /// Which kind of report: done 0, failed 1, asked 2, logged 3.
    pub kind: u32,
    /// The number of the call or listener.
    pub id: u32,
    /// The number that the answer is given under.
    pub ask: Option<u32>,
    /// Text that belongs to it.
    pub text: Option<String>,
    /// Bytes that belong to it.
    pub bytes: Option<Buffer>,
    /// Numbers that belong to it.
    pub numbers: Option<Float64Array>,
}

impl Report {
    pub fn new(kind: u32, id: u32, ask: Option<u32>, payload: Payload) -> Report {
        Report {
            kind,
            id,
            ask,
            text: payload.text,
            bytes: payload.bytes.map(Buffer::from),
            numbers: payload.numbers.map(Float64Array::new),
        }
    }

    /// The end of a call.
    pub fn of(id: u32, result: Result<Payload>) -> Report {
        match result {
            Ok(payload) => Report::new(DONE, id, None, payload),
            Err(error) => Report::new(FAILED, id, None, Payload::text(to_json(&error))),
        }
    }
}

/// What a listener answered.
#[derive(Clone, Copy)]
pub struct Answer {
    /// Which of its answers: 0 is the good one.
    pub status: u32,
    /// What it wishes beyond that: a place, a level or a time.
    pub wishes: [Option<i64>; 2],
}

/// What a thread is told that waits for an answer.
enum Told {
    Answer(Answer),
    /// To do this, on the thread that is the listener's in the eyes of the library.
    Run(Box<dyn FnOnce() + Send>),
}

enum Entry {
    Report {
        kind: u32,
        id: u32,
        ask: Option<u32>,
        payload: Payload,
    },
    End {
        id: u32,
        result: Result<Payload>,
    },
    /// A future that can go on.
    Ready(Arc<dyn Pending>),
}

/// A future that somebody waits for under a number.
pub trait Pending: Send + Sync {
    /// Goes on, on the thread of the environment; its end, once.
    fn advance(self: Arc<Self>) -> Option<(u32, Result<Payload>)>;
}

type Notify = ThreadsafeFunction<(), (), (), Status, false, true>;

/// The queue of one environment.
pub struct Shared {
    notify: Notify,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// The environment has been told that there are entries.
    notified: bool,
    /// Nobody takes reports any more.
    closed: bool,
    /// Calls that run on threads of their own.
    running: usize,
    asked: HashMap<u32, Sender<Told>>,
    asks: u32,
    logs: usize,
    logs_lost: usize,
    instances: Vec<Weak<Instance>>,
    consumers: Vec<Weak<PushConsumer>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, entry: Entry) {
        let mut state = self.state();
        if state.closed {
            // What it holds may come back here when it is dropped.
            drop(state);
            return drop(entry);
        }
        state.entries.push_back(entry);
        let notified = std::mem::replace(&mut state.notified, true);
        drop(state);
        if !notified {
            self.notify.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Reports the end of a call.
    pub fn end(&self, id: u32, result: Result<Payload>) {
        self.push(Entry::End { id, result });
    }

    /// What reports the end of a call that a callback tells; when nobody calls that any more, that it was closed.
    pub fn promise(self: &Arc<Self>, id: u32, operation: &'static str) -> Promised {
        Promised { shared: Some(self.clone()), id, operation }
    }

    /// Runs a call that may wait on a thread of its own, and reports its end.
    pub fn run(
        self: &Arc<Self>,
        id: u32,
        operation: &'static str,
        call: impl FnOnce() -> Result<Payload> + Send + 'static,
    ) -> Result<()> {
        self.spawn(operation, move |shared| shared.end(id, caught(operation, call)))
    }

    /// Drops what may wait for its end when it is dropped.
    pub fn drop_elsewhere(self: &Arc<Self>, thing: impl Send + 'static) {
        // Without a thread it is dropped here, which is slow at worst.
        let _ = self.spawn("drop", move |_| {
            let _ = caught("drop", move || {
                drop(thing);
                Ok(())
            });
        });
    }

    /// Its name does not begin as those of the library, which do not wait for their own end.
    fn spawn(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> Result<()> {
        self.state().running += 1;
        let running = Running(self.clone());
        let spawned = std::thread::Builder::new().name("node-call".into()).spawn(move || work(&running.0));
        spawned.map(drop).map_err(|error| Error::io(operation, "no further thread", error))
    }

    /// Begins to wait for a future. Its end if that is there at once; else it is reported.
    pub fn wait_for<F, T>(
        self: &Arc<Self>,
        id: u32,
        future: F,
        read: fn(T) -> Result<Payload>,
    ) -> (Arc<Waiting<F, T>>, Option<Result<Payload>>)
    where
        F: Future<Output = Result<T>> + Send + Unpin + 'static,
        T: 'static,
    {
        let future = Mutex::new(Some(future));
        let waiting = Arc::new(Waiting { id, shared: self.clone(), future, read });
        let end = waiting.clone().advance();
        (waiting, end.map(|(_, result)| result))
    }

    /// Asks a listener and waits for its answer; `None` when there is nobody to answer any more.
    pub fn ask(&self, listener: u32, payload: Payload) -> Option<Answer> {
        let (ask, told) = self.expect_answer()?;
        self.push(Entry::Report { kind: ASKED, id: listener, ask: Some(ask), payload });
        loop {
            match told.recv().ok()? {
                Told::Run(work) => work(),
                Told::Answer(answer) => return Some(answer),
            }
        }
    }

    fn expect_answer(&self) -> Option<(u32, Receiver<Told>)> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.asks = state.asks.wrapping_add(1);
        let (ask, (tell, told)) = (state.asks, channel());
        state.asked.insert(ask, tell);
        Some((ask, told))
    }

    /// Runs a call inside the listener that is asked under this number, so that the library knows whence it comes; on a
    /// thread of its own if that has answered already.
    pub fn run_within(
        self: &Arc<Self>,
        ask: Option<u32>,
        id: u32,
        operation: &'static str,
        call: impl FnOnce() -> Result<Payload> + Send + 'static,
    ) -> Result<()> {
        let tell = ask.and_then(|ask| self.state().asked.get(&ask).cloned());
        let Some(tell) = tell else { return self.run(id, operation, call) };
        let shared = self.clone();
        let work = Box::new(move || shared.end(id, caught(operation, call)));
        match tell.send(Told::Run(work)) {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Closed, operation, "the listener has returned")),
        }
    }

    /// Passes a line of the log on.
    pub fn log(&self, text: String) {
        {
            let mut state = self.state();
            if state.logs >= MOST_LOGS {
                state.logs_lost += 1;
                return;
            }
            state.logs += 1;
        }
        self.push(Entry::Report { kind: LOGGED, id: 0, ask: None, payload: Payload::text(text) });
    }

    /// Remembers what the end of the environment ends too; that has come already where a call outlived it.
    pub fn remember(&self, instance: &Arc<Instance>) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            // There is nobody to tell; the log has it.
            let _ = caught("close", || instance.close_within(END_WITHIN));
            return;
        }
        state.instances.retain(|instance| instance.strong_count() > 0);
        state.instances.push(Arc::downgrade(instance));
    }

    /// As [`Shared::remember`].
    pub fn remember_consumer(&self, consumer: &Arc<PushConsumer>) {
        let mut state = self.state();
        state.consumers.retain(|consumer| consumer.strong_count() > 0);
        state.consumers.push(Arc::downgrade(consumer));
    }

    /// Ends what was made in this environment, when its JavaScript does not run any more. Listeners that run are taken
    /// for ones that failed, so that their messages come again.
    fn shut_down(&self) {
        let (entries, instances, consumers) = {
            let mut state = self.state();
            if std::mem::replace(&mut state.closed, true) {
                return;
            }
            let instances: Vec<Weak<Instance>> = std::mem::take(&mut state.instances);
            (std::mem::take(&mut state.entries), instances, std::mem::take(&mut state.consumers))
        };
        // Before their listeners are let go, or they would be called with the next messages at once.
        for consumer in consumers.iter().filter_map(Weak::upgrade) {
            consumer.suspend();
        }
        let asked = std::mem::take(&mut self.state().asked);
        drop(asked);
        drop(entries);
        let until = Instant::now() + END_WITHIN;
        for instance in instances.iter().filter_map(Weak::upgrade) {
            let left = until.saturating_duration_since(Instant::now()).max(STEP);
            // There is nobody to tell; the log has it.
            let _ = caught("close", || instance.close_within(left));
        }
        let mut state = self.state();
        while state.running > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(&self) -> Vec<Report> {
        let (entries, lost) = {
            let mut state = self.state();
            state.notified = false;
            state.logs = 0;
            (std::mem::take(&mut state.entries), std::mem::take(&mut state.logs_lost))
        };
        let mut reports = Vec::with_capacity(entries.len());
        for entry in entries {
            match entry {
                Entry::Report { kind, id, ask, payload } => reports.push(Report::new(kind, id, ask, payload)),
                Entry::End { id, result } => reports.push(Report::of(id, result)),
                Entry::Ready(pending) => {
                    reports.extend(pending.advance().map(|(id, result)| Report::of(id, result)))
                }
            }
        }
        if lost > 0 {
            let line = format!("WARN\tferromq\t{lost} lines of the log are lost: they came too fast");
            reports.push(Report::new(LOGGED, 0, None, Payload::text(line)));
        }
        reports
    }
}

/// Counts a thread as long as it runs.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.changed.notify_all();
    }
}

/// The end of a call that is still to come.
pub struct Promised {
    /// None once it has come.
    shared: Option<Arc<Shared>>,
    id: u32,
    operation: &'static str,
}

impl Promised {
    pub fn end(mut self, result: Result<Payload>) {
        if let Some(shared) = self.shared.take() {
            shared.end(self.id, result);
        }
    }
}

impl Drop for Promised {
    fn drop(&mut self) {
        // A client that is closed drops its callbacks.
        if let Some(shared) = self.shared.take() {
            shared
                .end(self.id, Err(Error::new(ErrorKind::Closed, self.operation, "it was closed meanwhile")));
        }
    }
}

/// A future under a number.
pub struct Waiting<F, T> {
    id: u32,
    shared: Arc<Shared>,
    /// None once it has ended or was given up.
    future: Mutex<Option<F>>,
    read: fn(T) -> Result<Payload>,
}

impl<F: Send + 'static, T: 'static> Waiting<F, T>
where
    F: Future<Output = Result<T>> + Unpin,
{
    /// Drops the future; false if it has ended already.
    pub fn give_up(&self) -> bool {
        let future = self.future.lock().unwrap_or_else(PoisonError::into_inner).take();
        future.is_some()
    }
}

impl<F, T> Wake for Waiting<F, T>
where
    F: Future<Output = Result<T>> + Send + Unpin + 'static,
    T: 'static,
{
    fn wake(self: Arc<Self>) {
        // Polled where the result is needed: a waker is woken in the middle of other work.
        self.shared.clone().push(Entry::Ready(self));
    }
}

impl<F, T> Pending for Waiting<F, T>
where
    F: Future<Output = Result<T>> + Send + Unpin + 'static,
    T: 'static,
{
    fn advance(self: Arc<Self>) -> Option<(u32, Result<Payload>)> {
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = Waker::from(self.clone());
        let polled = match Pin::new(slot.as_mut()?).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => return None,
            Poll::Ready(polled) => polled,
        };
        let future = slot.take();
        drop(slot);
        drop(future);
        Some((self.id, polled.and_then(self.read)))
    }
}

/// The queue of reports of this environment, made once by the package.
#[napi]
pub struct Reports {
    #[napi(skip)]
    pub shared: Arc<Shared>,
}

#[napi]
impl Reports {
    /// `notify` is called when there are reports to take. It does not keep the event loop alive.
    #[napi(constructor)]
    pub fn new(env: Env, notify: Notify) -> napi::Result<Reports> {
        let (state, changed) = Default::default();
        let shared = Arc::new(Shared { notify, state, changed });
        env.add_env_cleanup_hook(shared.clone(), |shared| shared.shut_down())?;
        Ok(Reports { shared })
    }

    /// All reports that wait.
    #[napi]
    pub fn take(&self) -> napi::Result<Vec<Report>> {
        guard("take reports", || Ok(self.shared.take()))
    }

    /// The answer of a listener. One that comes too late is no harm.
    #[napi]
    pub fn answer(&self, ask: u32, status: u32, first: Option<f64>, second: Option<f64>) {
        let tell = self.shared.state().asked.remove(&ask);
        if let Some(tell) = tell {
            let wishes = [first, second].map(|wish| wish.map(|wish| wish as i64));
            // The thread may have been let go.
            let _ = tell.send(Told::Answer(Answer { status, wishes }));
        }
    }

    /// Ends everything that was made here, waiting at most ten seconds: for the end of the process. No listener is called
    /// any more, and no call is answered.
    #[napi]
    pub fn shut_down(&self) -> napi::Result<()> {
        guard("shut down", || {
            self.shared.shut_down();
            Ok(())
        })
    }
}
