//! How a pull consumer tells event loops that there is something to poll.

use std::ffi::c_void;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use ferromq::{Consumer, Error, Result};

use crate::handle::UserData;

/// Who wants to hear of it.
#[derive(Default)]
pub(crate) struct Ready {
    listeners: Mutex<Listeners>,
    /// Held while the client is told of a change, so that it hears of the newest last. Nobody calls the program with it.
    changes: Mutex<()>,
}

#[derive(Default, Clone)]
struct Listeners {
    descriptor: Option<Arc<OwnedFd>>,
    callback: std::sync::Weak<Callback>,
}

/// The program's function.
pub(crate) struct Callback {
    pub function: unsafe extern "C" fn(*mut c_void),
    pub user_data: UserData,
}

impl Ready {
    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A descriptor that can be read while there may be something to poll.
    pub fn descriptor(&self, consumer: &Consumer) -> Result<i32> {
        let changing = self.changing();
        if let Some(descriptor) = &self.listeners().descriptor {
            return Ok(descriptor.as_raw_fd());
        }
        let descriptor = Arc::new(event()?);
        self.listeners().descriptor = Some(descriptor.clone());
        let known = self.listeners().clone();
        // A consumer that is closed meanwhile lets the callback go: not here, where the program is not to be called.
        let callback = known.callback.upgrade();
        known.listen(consumer, callback.clone());
        drop(changing);
        drop(callback);
        Ok(descriptor.as_raw_fd())
    }

    /// Has a function called, in place of the one before.
    pub fn call(&self, consumer: &Consumer, callback: Callback) {
        let callback = Arc::new(callback);
        let changing = self.changing();
        let before = std::mem::replace(&mut self.listeners().callback, Arc::downgrade(&callback)).upgrade();
        let known = self.listeners().clone();
        known.listen(consumer, Some(callback.clone()));
        drop(changing);
        // What they hold is given back to the program, which may come back here.
        drop((before, callback));
    }

    /// A poll, told to the descriptor: it can be read again unless nothing came. Emptied before the poll, not after: what
    /// comes meanwhile is told afterwards.
    pub fn around<T>(&self, poll: impl FnOnce() -> Result<Vec<T>>) -> Result<Vec<T>> {
        let descriptor = self.listeners().descriptor.clone();
        let Some(descriptor) = descriptor else { return poll() };
        empty(&descriptor);
        let polled = poll();
        // An error too: the next poll may have something, and of a closed consumer the loop is to hear.
        if !polled.as_ref().is_ok_and(Vec::is_empty) {
            fill(&descriptor);
        }
        polled
    }
}

impl Listeners {
    /// The client keeps the one function; it holds the callback until the consumer is closed.
    fn listen(self, consumer: &Consumer, callback: Option<Arc<Callback>>) {
        let descriptor = self.descriptor;
        consumer.on_ready(move || {
            if let Some(descriptor) = &descriptor {
                fill(descriptor);
            }
            if let Some(callback) = &callback {
                // SAFETY: the function was given for this user data.
                unsafe { (callback.function)(callback.user_data.pointer()) }
            }
        });
    }
}

#[cfg(target_os = "linux")]
fn event() -> Result<OwnedFd> {
    // SAFETY: it takes no pointers; what it returns is nobody else's.
    let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if descriptor < 0 {
        return Err(Error::io("make descriptor", "eventfd", std::io::Error::last_os_error()));
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(not(target_os = "linux"))]
fn event() -> Result<OwnedFd> {
    let context = "this system has no eventfd; use fmq_consumer_on_ready";
    Err(Error::new(ferromq::ErrorKind::Unsupported, "make descriptor", context))
}

fn fill(descriptor: &OwnedFd) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the bytes are there. It fails where the count is at its end, and then it can be read anyway.
    let _written = unsafe { libc::write(descriptor.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}

fn empty(descriptor: &OwnedFd) {
    let mut count = [0_u8; 8];
    // SAFETY: the bytes are there. It fails where there is nothing to read.
    let _read = unsafe { libc::read(descriptor.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}
