//! The place where a result is waited for: by a thread, or by any executor as a plain future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::{Condvar, Mutex};
use crate::{Error, ErrorKind, Result};

/// Takes one result, once, from any thread.
pub(super) struct Slot<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    result: Option<Result<T>>,
    settled: bool,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    pub fn new() -> Arc<Slot<T>> {
        let state = Mutex::new(State { result: None, settled: false, waker: None });
        Arc::new(Slot { state, filled: Condvar::new() })
    }

    /// Fills the slot and wakes who waits. Only the first result counts.
    pub fn fill(&self, result: Result<T>) {
        let waker = {
            let mut state = self.state.lock();
            if state.settled {
                return;
            }
            state.settled = true;
            state.result = Some(result);
            state.waker.take()
        };
        self.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the result, which is somebody's in the end.
    pub fn wait(&self) -> Result<T> {
        let mut state = self.state.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            if state.settled {
                return Err(taken());
            }
            self.filled.wait(&mut state);
        }
    }
}

/// Waits for a slot as a future does: nothing is needed of the executor but to poll, and the waker may be woken from
/// any thread.
pub(super) struct Filled<T>(pub Arc<Slot<T>>);

impl<T> Future for Filled<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut state = self.0.state.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        if state.settled {
            return Poll::Ready(Err(taken()));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

fn taken() -> Error {
    Error::new(ErrorKind::InvalidArgument, "wait", "the result was taken before; a future ends once")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_future_is_woken_once_filled_and_ends_once() {
        let (slot, count) = (Slot::new(), Arc::new(Count::default()));
        let mut future = Filled(slot.clone());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        slot.fill(Ok(7));
        slot.fill(Ok(8));
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(matches!(Pin::new(&mut future).poll(&mut cx), Poll::Ready(Ok(7))));
        assert!(matches!(Pin::new(&mut future).poll(&mut cx), Poll::Ready(Err(_))));
    }

    #[test]
    fn a_thread_waits() {
        let slot = Slot::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| slot.wait());
            slot.fill(Ok(7));
            assert_eq!(waiting.join().unwrap().unwrap(), 7);
        });
        assert!(slot.wait().is_err());
    }
}
