//! asyncio: futures of the library, polled on the thread of the loop that waits for them.
//!
//! A result is taken out of the library only there, when it is handed on at once, so that nothing gets lost between two
//! threads if the task that waits is cancelled.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::error::{exception, Outcome};
use crate::pump::{pump, Errand};
use crate::sent::Sent;
use crate::stored::StoredMessage;

/// What a future of the library ends with.
pub enum Answer {
    Sent(ferromq::Sent),
    Message(Box<ferromq::StoredMessage>),
    /// What a function of the user's raised meanwhile.
    Raised(PyErr),
}

type Running<T> = Pin<Box<dyn Future<Output = ferromq::Result<T>> + Send>>;

/// The loop that runs on this thread.
fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

/// A future of the library, and the one of asyncio that tells its end.
struct Flight {
    event_loop: Py<PyAny>,
    state: Mutex<Option<(Running<Answer>, Py<PyAny>)>>,
}

impl Flight {
    fn lock(&self) -> MutexGuard<'_, Option<(Running<Answer>, Py<PyAny>)>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Looks whether it has ended, and tells so then.
    fn look(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock();
        let Some((running, _)) = state.as_mut() else { return Ok(()) };
        let waker = Waker::from(self.clone());
        let Poll::Ready(answer) = running.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return Ok(());
        };
        let ended = state.take();
        drop(state);
        match ended {
            Some((_, future)) => tell(py, future.bind(py), answer),
            None => Ok(()),
        }
    }
}

impl Wake for Flight {
    fn wake(self: Arc<Self>) {
        if let Some(pump) = pump() {
            pump.errand(self);
        }
    }
}

impl Errand for Flight {
    fn event_loop(&self) -> &Py<PyAny> {
        &self.event_loop
    }

    fn run(self: Arc<Self>, py: Python<'_>) {
        if let Err(error) = self.look(py) {
            error.write_unraisable(py, None);
        }
    }
}

fn tell(py: Python<'_>, future: &Bound<'_, PyAny>, answer: ferromq::Result<Answer>) -> PyResult<()> {
    if future.call_method0(pyo3::intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    let error = match answer {
        Ok(Answer::Sent(inner)) => {
            return future.call_method1(pyo3::intern!(py, "set_result"), (Sent { inner },)).map(drop)
        }
        Ok(Answer::Message(inner)) => {
            let message = StoredMessage::new(*inner);
            return future.call_method1(pyo3::intern!(py, "set_result"), (message,)).map(drop);
        }
        Ok(Answer::Raised(error)) => error,
        Err(error) => exception(py, &error),
    };
    future.call_method1(pyo3::intern!(py, "set_exception"), (error.into_value(py),)).map(drop)
}

/// The asyncio future of a future of the library, which has begun. If it is cancelled, the library's is dropped.
pub fn future<'py>(
    py: Python<'py>,
    running: impl Future<Output = ferromq::Result<Answer>> + Send + 'static,
) -> Outcome<Bound<'py, PyAny>> {
    let event_loop = running_loop(py)?;
    let future = event_loop.call_method0(pyo3::intern!(py, "create_future"))?;
    let state = Mutex::new(Some((Box::pin(running) as Running<Answer>, future.clone().unbind())));
    let flight = Arc::new(Flight { event_loop: event_loop.unbind(), state });
    flight.look(py)?;
    if flight.lock().is_some() {
        future.call_method1(pyo3::intern!(py, "add_done_callback"), (Ended(flight),))?;
    }
    Ok(future)
}

/// Told the end of an asyncio future: one that was cancelled takes the library's with it, so that a message that waited for
/// room is not sent any more.
#[pyclass(frozen)]
struct Ended(Arc<Flight>);

#[pymethods]
impl Ended {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        let ended = self.0.lock().take();
        drop(ended);
    }
}

/// A poll of a consumer under way (`ferromq/_aio.py`). Messages are taken out only by `step`, whose caller has them at once;
/// given up before, it has taken none.
#[pyclass(frozen)]
pub struct Polling(Mutex<Option<Running<Vec<ferromq::StoredMessage>>>>);

impl Polling {
    pub fn new(
        running: impl Future<Output = ferromq::Result<Vec<ferromq::StoredMessage>>> + Send + 'static,
    ) -> Polling {
        Polling(Mutex::new(Some(Box::pin(running))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running<Vec<ferromq::StoredMessage>>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[pymethods]
impl Polling {
    /// The messages; `None` if there are none yet, and then `future` gets `None` as soon as it is worth to look again.
    fn step(&self, py: Python<'_>, future: Py<PyAny>) -> Outcome<Option<Vec<Py<StoredMessage>>>> {
        let event_loop = running_loop(py)?.unbind();
        let waker = Waker::from(Arc::new(Waiting { event_loop, future }));
        let polled = py.detach(|| {
            let mut state = self.lock();
            match state.as_mut() {
                Some(running) => running.as_mut().poll(&mut Context::from_waker(&waker)),
                None => Poll::Ready(Ok(Vec::new())),
            }
        });
        match polled {
            Poll::Ready(messages) => Ok(Some(StoredMessage::list(py, messages?)?)),
            Poll::Pending => Ok(None),
        }
    }

    /// Gives up.
    fn end(&self, py: Python<'_>) {
        py.detach(|| drop(self.lock().take()));
    }
}

/// A task that waits until it is worth to look again.
struct Waiting {
    event_loop: Py<PyAny>,
    future: Py<PyAny>,
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        if let Some(pump) = pump() {
            pump.errand(self);
        }
    }
}

impl Errand for Waiting {
    fn event_loop(&self) -> &Py<PyAny> {
        &self.event_loop
    }

    fn run(self: Arc<Self>, py: Python<'_>) {
        let future = self.future.bind(py);
        let told = future.call_method0("done").and_then(|done| match done.is_truthy()? {
            true => Ok(()),
            false => future.call_method1("set_result", (py.None(),)).map(drop),
        });
        if let Err(error) = told {
            error.write_unraisable(py, None);
        }
    }
}

type Errands = Vec<Arc<dyn Errand>>;

/// Errands of one loop, called by it.
#[pyclass(frozen)]
struct Batch(Mutex<Errands>);

#[pymethods]
impl Batch {
    fn __call__(&self, py: Python<'_>) {
        let errands = std::mem::take(&mut *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        errands.into_iter().for_each(|errand| errand.run(py));
    }
}

/// Gives errands to their loops, each all of its own with one call.
pub fn hand_over(py: Python<'_>, errands: Errands) {
    let mut loops: Vec<(Py<PyAny>, Errands)> = Vec::new();
    for errand in errands {
        let event_loop = errand.event_loop();
        match loops.iter_mut().find(|(one, _)| one.is(event_loop)) {
            Some((_, batch)) => batch.push(errand),
            None => loops.push((event_loop.clone_ref(py), vec![errand])),
        }
    }
    for (event_loop, batch) in loops {
        let called = Py::new(py, Batch(Mutex::new(batch))).and_then(|batch| {
            event_loop.call_method1(py, pyo3::intern!(py, "call_soon_threadsafe"), (batch,))
        });
        if let Err(error) = called {
            // A loop that was closed meanwhile has nobody who waits.
            if !error.is_instance_of::<pyo3::exceptions::PyRuntimeError>(py) {
                error.write_unraisable(py, None);
            }
        }
    }
}

/// A coroutine of `ferromq/_aio.py`.
pub fn helper<'py>(
    py: Python<'py>,
    name: &str,
    arguments: impl pyo3::call::PyCallArgs<'py>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    py.import("ferromq._aio")?.getattr(name)?.call(arguments, keywords)
}

/// A result that a callback of the library brings, for a thread or a future that waits for it.
pub struct Told<T>(Arc<Mutex<Slot<T>>>, Arc<Condvar>);

/// Brings it. The library drops callbacks that it does not call any more, and who waits is told so.
pub struct Teller<T>(Told<T>);

impl<T> Teller<T> {
    pub fn tell(self, result: ferromq::Result<T>) {
        self.0.settle(result);
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        let context = "the producer was closed before the answer came";
        self.0.settle(Err(ferromq::Error::new(ferromq::ErrorKind::Closed, "send", context)));
    }
}

struct Slot<T> {
    result: Option<ferromq::Result<T>>,
    settled: bool,
    waker: Option<Waker>,
}

impl<T> Told<T> {
    pub fn new() -> Told<T> {
        Told(Arc::new(Mutex::new(Slot { result: None, settled: false, waker: None })), Arc::default())
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn teller(&self) -> Teller<T> {
        Teller(Told(self.0.clone(), self.1.clone()))
    }

    /// Only the first result counts.
    fn settle(&self, result: ferromq::Result<T>) {
        let waker = {
            let mut slot = self.lock();
            if std::mem::replace(&mut slot.settled, true) {
                return;
            }
            slot.result = Some(result);
            slot.waker.take()
        };
        self.1.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits up to `time`.
    pub fn wait(&self, time: Duration) -> ferromq::Result<Option<T>> {
        let slot = self.1.wait_timeout_while(self.lock(), time, |slot| slot.result.is_none());
        slot.unwrap_or_else(|poisoned| poisoned.into_inner()).0.result.take().transpose()
    }
}

impl<T> Future for Told<T> {
    type Output = ferromq::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.lock();
        match slot.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
