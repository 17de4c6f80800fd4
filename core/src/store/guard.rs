//! What a process does when a mapped page cannot be had: the file was shortened by somebody, its disk fails or is full. The
//! system then sends SIGBUS, which ends a process that does not expect it. Here the page becomes one of zeros, which is no
//! record, and the mapping is marked: reads find damage, writes are refused, and the process lives.
//!
//! The signal's handler is set once, when the first file is mapped. Pages of mappings that are not the store's are left
//! to the handler that was there before, or to the system.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::OnceLock;

/// Mappings that are watched at most; more are used without.
const SLOTS: usize = 1 << 14;
/// Start of a place that is taken and not ready. No mapping starts there.
const TAKEN: usize = 1;

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    lost: AtomicBool,
}

static TABLE: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0), lost: AtomicBool::new(false) } };
        SLOTS];
/// Places behind this one were never taken.
static USED: AtomicUsize = AtomicUsize::new(0);
static BEFORE: OnceLock<Option<libc::sigaction>> = OnceLock::new();
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// A mapping that is watched until this is dropped, which must be before it is unmapped.
pub(super) struct Guard(Option<&'static Slot>);

impl Guard {
    /// Watches `len` mapped bytes from `start` on.
    pub fn new(start: *const u8, len: usize) -> Guard {
        BEFORE.get_or_init(install);
        let take = |(number, slot): (usize, &'static Slot)| {
            slot.start.compare_exchange(0, TAKEN, Ordering::AcqRel, Ordering::Relaxed).ok()?;
            slot.lost.store(false, Ordering::Relaxed);
            slot.end.store(start as usize + len, Ordering::Relaxed);
            slot.start.store(start as usize, Ordering::Release);
            USED.fetch_max(number + 1, Ordering::AcqRel);
            Some(slot)
        };
        Guard(TABLE.iter().enumerate().find_map(take))
    }

    /// Whether a page could not be had and is zeros since.
    pub fn lost_pages(&self) -> bool {
        self.0.is_some_and(|slot| slot.lost.load(Ordering::Acquire))
    }
}

#[cfg(test)]
impl Guard {
    /// Does what the handler does when a page cannot be had.
    pub fn lose(&self, address: *const u8) {
        assert!(replace(address as usize));
        self.0.expect("the mapping is watched").lost.store(true, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            slot.start.store(0, Ordering::Release);
        }
    }
}

/// What is told of a file whose pages were lost.
pub(super) fn lost() -> io::Error {
    io::Error::other(
        "a page of it cannot be had: the file was shortened by another program, or its disk is full or fails",
    )
}

/// Sets the handler; returns the one before, or none if it could not be set.
fn install() -> Option<libc::sigaction> {
    // SAFETY: asks for a number; no memory is passed.
    if let Ok(size @ 1..) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) {
        PAGE.store(size, Ordering::Relaxed);
    }
    // SAFETY: `sigaction` is plain data for which all zeros is a value.
    let mut ours: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut before = ours;
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_bus_error;
    ours.sa_sigaction = handler as usize;
    // On the thread's own stack for signals, as runtimes of other languages need it.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both structures live across the call. The handler only does what may be done in one.
    let set = unsafe { libc::sigaction(libc::SIGBUS, &ours, &mut before) };
    (set == 0).then_some(before)
}

/// Only loads and stores of atomics and system calls: it may come in between anything.
extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes a valid description of the signal, and SIGBUS has an address.
    let address = unsafe { (*info).si_addr() } as usize;
    let used = USED.load(Ordering::Acquire).min(SLOTS);
    for slot in &TABLE[..used] {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Acquire);
        // Another mapping may have got the place between the two looks.
        let is_one = start > TAKEN && slot.start.load(Ordering::Acquire) == start;
        if is_one && (start..end).contains(&address) && replace(address) {
            slot.lost.store(true, Ordering::Release);
            return;
        }
    }
    hand_on(signal, info, context);
}

/// Puts a page of zeros where the address is.
fn replace(address: usize) -> bool {
    let size = PAGE.load(Ordering::Relaxed);
    // SAFETY: the address of this thread's errno, which the interrupted code may be about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; valid for the thread's life.
    let kept = unsafe { *errno };
    // SAFETY: replaces a page within a mapping of ours that nobody can use as it is; the thread that was interrupted
    // borrows the mapping, so it is not unmapped meanwhile. Nothing else lies in that page.
    let page = unsafe {
        libc::mmap(
            (address & !(size - 1)) as *mut libc::c_void,
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    // SAFETY: as above.
    unsafe { *errno = kept };
    page != libc::MAP_FAILED
}

/// The signal is not about pages of ours.
fn hand_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // A fault of another mapping while the handler is being set finds nobody to hand it on to.
    let before = BEFORE.get().copied().flatten();
    match before.map(|before| (before.sa_sigaction, before.sa_flags & libc::SA_SIGINFO != 0)) {
        Some((handler, true)) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            // SAFETY: whoever set it with SA_SIGINFO gave a function of this type.
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        Some((handler, false)) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            // SAFETY: whoever set it without SA_SIGINFO gave a function of this type.
            let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
        // The fault comes again, and then the system ends the process, as it would have.
        _ => {
            // SAFETY: only sets what the system does by default.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}
