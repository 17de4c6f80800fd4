//! Who owns what C holds.
//!
//! Two kinds of handles cross the border:
//!
//! - A [`Thing`] is memory that C owns: messages, lists, results, errors, options. One thread uses it at a time. A word in
//!   front of it says what it is and whether C may free it, so that most mistakes are noticed.
//! - A [`Shared`] object has threads and callbacks behind it: instance, producers, consumers, servers. Its handle is a
//!   number that only looks like a pointer: a place in a table, and how often that was used before. So a handle that was
//!   freed is told from one that is alive whatever happens: freed twice, while another thread is in a call with it, from a
//!   callback of its own. The object lives on until the last call that uses it returns.

use std::any::Any;
use std::collections::VecDeque;
use std::ffi::{c_char, c_void, CString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use ferromq::{Error, ErrorKind, Result};

use crate::guard::{c_string, unusable};
use crate::process::{self, Own};

/// A type of things that C owns; its name is the one of the header.
pub(crate) trait Thing {
    /// What is behind the pointer.
    type Value;
    /// The type's name in the header.
    const NAME: &'static str;
    /// The word in front of it, a multiple of four; one more where C only looks at it, two more where C may change it, too,
    /// but not free it.
    const MAGIC: u64;
}

/// What is added to the word of what is lent.
const LENT: u64 = 1;
const LENT_TO_CHANGE: u64 = 2;

/// The word in front of what was freed.
const FREED: u64 = 0xdead_f3ed_dead_f3ed;

/// A thing as it lies in memory.
#[repr(C)]
pub(crate) struct Marked<H: Thing> {
    magic: AtomicU64,
    pub value: H::Value,
}

impl<H: Thing> Marked<H> {
    /// A thing that C may look at, but not free.
    pub fn lent(value: H::Value) -> Marked<H> {
        Marked { magic: AtomicU64::new(H::MAGIC + LENT), value }
    }

    /// A thing that C may look at and change, but not free.
    pub fn lent_to_change(value: H::Value) -> Marked<H> {
        Marked { magic: AtomicU64::new(H::MAGIC + LENT_TO_CHANGE), value }
    }

    /// The handle to it, for as long as it stays where it is.
    pub fn handle(&self) -> *const H {
        (self as *const Marked<H>).cast()
    }

    /// The handle to it, where it may be changed.
    pub fn handle_mut(&mut self) -> *mut H {
        (self as *mut Marked<H>).cast()
    }

    fn is_one(&self) -> bool {
        self.magic.load(Ordering::Relaxed) & !3 == H::MAGIC
    }
}

impl<H: Thing> Drop for Marked<H> {
    fn drop(&mut self) {
        self.magic.store(FREED, Ordering::Relaxed);
    }
}

/// Gives a thing to C, which frees it.
pub(crate) fn give<H: Thing>(value: H::Value) -> *mut H {
    Box::into_raw(Box::new(Marked::<H> { magic: AtomicU64::new(H::MAGIC), value })).cast()
}

/// A thing that C has.
///
/// # Safety
/// NULL, or a live handle (of whatever type) that nobody changes during `'a`.
pub(crate) unsafe fn thing<'a, H: Thing + 'a>(pointer: *const H, name: &str) -> Result<&'a H::Value> {
    check::<H>(pointer)
        .and_then(|marked| {
            // SAFETY: it is not NULL and no number of the table, the rest as the caller says; the word comes first in all.
            let marked = unsafe { &*marked };
            marked.is_one().then_some(&marked.value).ok_or_else(other)
        })
        .map_err(|what| unusable(name, &what(H::NAME)))
}

/// A thing that C has, to be changed.
///
/// # Safety
/// NULL, or a live handle (of whatever type) that nobody else uses during `'a`.
pub(crate) unsafe fn thing_mut<'a, H: Thing + 'a>(pointer: *mut H, name: &str) -> Result<&'a mut H::Value> {
    check::<H>(pointer)
        .and_then(|marked| {
            // SAFETY: as in `thing`.
            let marked = unsafe { &mut *marked.cast_mut() };
            match marked.magic.load(Ordering::Relaxed) {
                magic if magic == H::MAGIC || magic == H::MAGIC + LENT_TO_CHANGE => Ok(&mut marked.value),
                magic if magic == H::MAGIC + LENT => {
                    Err(|_: &str| "is only lent and cannot be changed".to_owned())
                }
                _ => Err(other()),
            }
        })
        .map_err(|what| unusable(name, &what(H::NAME)))
}

/// As [`thing`], where NULL means that there is none.
///
/// # Safety
/// As [`thing`].
pub(crate) unsafe fn thing_or_null<'a, H: Thing + 'a>(
    pointer: *const H,
    name: &str,
) -> Result<Option<&'a H::Value>> {
    match pointer.is_null() {
        true => Ok(None),
        // SAFETY: as the caller says.
        false => unsafe { thing(pointer, name) }.map(Some),
    }
}

/// Frees a thing. NULL, what is only lent, and what is of another type is left alone.
///
/// # Safety
/// NULL, or a live handle (of whatever type) that nobody uses any more.
pub(crate) unsafe fn free<H: Thing>(pointer: *mut H) {
    if pointer.is_null() {
        return;
    }
    let Ok(marked) = check::<H>(pointer) else {
        return tracing::error!("what is freed as {} is none: {pointer:?}", H::NAME);
    };
    // SAFETY: as in `thing`. What was not given by `give` as this type has another word.
    unsafe {
        if (*marked).magic.load(Ordering::Relaxed) != H::MAGIC {
            return tracing::error!("what is freed as {} is only lent, or none: {pointer:?}", H::NAME);
        }
        drop(Box::from_raw(marked.cast_mut()));
    }
}

/// What is wrong with an argument, given the type it should have.
type What = fn(&str) -> String;

fn other() -> What {
    |kind| format!("is no {kind}, or was freed")
}

/// The memory behind a handle, unless it cannot be any.
fn check<H: Thing>(pointer: *const H) -> Result<*const Marked<H>, What> {
    if pointer.is_null() {
        return Err(|_| "is NULL".to_owned());
    }
    if Place::of(pointer.addr()).is_some() || !pointer.cast::<u64>().is_aligned() {
        return Err(other());
    }
    Ok(pointer.cast())
}

/// A type of objects that threads share; its name is the one of the header.
pub(crate) trait Shared {
    /// What is behind the handle.
    type Object: Any + Send + Sync;
    /// The type's name in the header.
    const NAME: &'static str;
}

const INDEX_BITS: u32 = if usize::BITS == 64 { 20 } else { 14 };
const USE_BITS: u32 = if usize::BITS == 64 { 20 } else { 12 };
const FORK_BITS: u32 = if usize::BITS == 64 { 8 } else { 5 };
const TAG_SHIFT: u32 = INDEX_BITS + USE_BITS + FORK_BITS;
/// What is in front of all of them: no address of a process begins so.
const TAG: usize = if usize::BITS == 64 { 0xfe0d } else { 1 };

const fn low(bits: u32) -> usize {
    (1 << bits) - 1
}

/// What the number in a handle says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    index: usize,
    /// How often the place was used before.
    uses: usize,
    /// How many forks the process is away from the first.
    forks: usize,
}

impl Place {
    fn address(self) -> usize {
        let Place { index, uses, forks } = self;
        TAG << TAG_SHIFT | forks << (INDEX_BITS + USE_BITS) | uses << INDEX_BITS | index
    }

    fn of(address: usize) -> Option<Place> {
        (address >> TAG_SHIFT == TAG).then_some(Place {
            index: address & low(INDEX_BITS),
            uses: address >> INDEX_BITS & low(USE_BITS),
            forks: address >> (INDEX_BITS + USE_BITS) & low(FORK_BITS),
        })
    }
}

/// The objects of one process.
struct Table {
    forks: usize,
    slots: RwLock<Slots>,
}

#[derive(Default)]
struct Slots {
    all: Vec<Slot>,
    /// Those without object, the one that rests longest first.
    free: VecDeque<usize>,
}

struct Slot {
    uses: usize,
    object: Option<Arc<dyn Any + Send + Sync>>,
}

static TABLE: Own<Table> = Own::new();

/// How many forks this process is away from the first, as handles say it.
fn forks() -> usize {
    process::forks() & low(FORK_BITS)
}

fn table() -> &'static Table {
    TABLE.of(|_| Table { forks: forks(), slots: RwLock::default() })
}

/// Makes a handle to an object.
pub(crate) fn share<H: Shared>(object: H::Object) -> Result<*mut H> {
    let table = table();
    let mut slots = table.slots.write().unwrap_or_else(PoisonError::into_inner);
    let index = match slots.free.pop_front() {
        Some(index) => index,
        None if slots.all.len() > low(INDEX_BITS) => {
            let context = format!("there are {} objects; free some", slots.all.len());
            return Err(Error::new(ErrorKind::LimitExceeded, "make handle", context));
        }
        None => {
            slots.all.push(Slot { uses: 0, object: None });
            slots.all.len() - 1
        }
    };
    let slot = &mut slots.all[index];
    slot.object = Some(Arc::new(object));
    let place = Place { index, uses: slot.uses, forks: table.forks };
    Ok(std::ptr::without_provenance_mut(place.address()))
}

/// The object of a handle, alive until the last use of it ends.
pub(crate) fn object<H: Shared>(handle: *const H, name: &str) -> Result<Arc<H::Object>> {
    if handle.is_null() {
        return Err(unusable(name, "is NULL"));
    }
    let Some(place) = Place::of(handle.addr()) else {
        return Err(unusable(name, &format!("is no {}", H::NAME)));
    };
    if place.forks != forks() {
        let context = format!("{} was made by the process that this one was forked from", H::NAME);
        return Err(Error::new(ErrorKind::Forked, "call", context));
    }
    let slots = table().slots.read().unwrap_or_else(PoisonError::into_inner);
    let object = slots.all.get(place.index).filter(|slot| slot.uses == place.uses);
    let Some(object) = object.and_then(|slot| slot.object.clone()) else {
        return Err(Error::new(ErrorKind::Closed, "call", format!("{name}: the {} was freed", H::NAME)));
    };
    drop(slots);
    object.downcast().map_err(|_| unusable(name, &format!("is no {}", H::NAME)))
}

/// Ends a handle; returns its object unless there is none: NULL, freed before, of another type, of a forked process.
pub(crate) fn unshare<H: Shared>(handle: *mut H) -> Option<Arc<H::Object>> {
    let place = Place::of(handle.addr())?;
    let object = object::<H>(handle, "handle").ok()?;
    let mut slots = table().slots.write().unwrap_or_else(PoisonError::into_inner);
    let slot = slots.all.get_mut(place.index).filter(|slot| slot.uses == place.uses)?;
    // Another thread may have been faster.
    let last = slot.object.take()?;
    slot.uses = (slot.uses + 1) & low(USE_BITS);
    slots.free.push_back(place.index);
    drop((slots, last));
    Some(object)
}

/// What a callback gets of the program's, and how it is given back. Given back once: when the callback is not called any
/// more, whatever became of the call that it was handed to.
pub(crate) struct UserData {
    pointer: *mut c_void,
    free: fmq_free_user_data,
}

/// Gives `user_data` back to the program: called once, on any thread, when no callback gets it any more.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_free_user_data = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

// SAFETY: the header says that user data goes to other threads.
unsafe impl Send for UserData {}
// SAFETY: as above; listeners run on several threads at a time.
unsafe impl Sync for UserData {}

impl UserData {
    pub fn new(pointer: *mut c_void, free: fmq_free_user_data) -> UserData {
        UserData { pointer, free }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the function was given for this pointer, and is called once.
            unsafe { free(self.pointer) }
        }
    }
}

/// A text for C that is made when it is first asked for and stays where it is.
#[derive(Default)]
pub(crate) struct Text(OnceLock<CString>);

impl Text {
    pub fn of(&self, text: impl FnOnce() -> String) -> *const c_char {
        self.0.get_or_init(|| c_string(text())).as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number;

    impl Shared for Number {
        type Object = u32;
        const NAME: &'static str = "number";
    }

    struct Word;

    impl Shared for Word {
        type Object = String;
        const NAME: &'static str = "word";
    }

    struct Box1;

    impl Thing for Box1 {
        type Value = u32;
        const NAME: &'static str = "box1";
        const MAGIC: u64 = 0x1000;
    }

    struct Box2;

    impl Thing for Box2 {
        type Value = u32;
        const NAME: &'static str = "box2";
        const MAGIC: u64 = 0x2000;
    }

    #[test]
    fn a_freed_handle_is_told_from_the_next_one_in_its_place() {
        let first = share::<Number>(7).unwrap();
        assert_eq!(*object(first, "n").unwrap(), 7);
        assert_eq!(*unshare(first).unwrap(), 7);
        assert!(unshare(first).is_none());
        for _ in 0..100 {
            let next = share::<Number>(8).unwrap();
            assert_ne!(next, first);
            assert_eq!(object(first, "n").unwrap_err().kind(), ErrorKind::Closed);
            assert!(unshare(first).is_none());
            assert!(unshare(next).is_some());
        }
    }

    #[test]
    fn null_pointers_and_other_types_are_refused() {
        let number = share::<Number>(7).unwrap();
        let kind = |handle: *mut Word| object(handle, "w").unwrap_err().kind();
        assert_eq!(kind(number.cast()), ErrorKind::InvalidArgument);
        assert_eq!(kind(std::ptr::null_mut()), ErrorKind::InvalidArgument);
        let mut memory = 5_u64;
        assert_eq!(kind((&raw mut memory).cast()), ErrorKind::InvalidArgument);
        assert!(unshare::<Word>(number.cast()).is_none());
        assert!(unshare::<Word>(std::ptr::null_mut()).is_none());
        assert!(unshare(number).is_some());
    }

    #[test]
    fn a_handle_of_another_process_is_refused() {
        let number = share::<Number>(7).unwrap();
        let mut place = Place::of(number.addr()).unwrap();
        place.forks ^= 1;
        let forked: *mut Number = std::ptr::without_provenance_mut(place.address());
        assert_eq!(object(forked, "n").unwrap_err().kind(), ErrorKind::Forked);
        assert!(unshare(forked).is_none());
        assert!(unshare(number).is_some());
    }

    #[test]
    fn things_are_told_apart_by_the_word_in_front() {
        let one = give::<Box1>(5);
        // SAFETY: it is alive, and used by nobody else.
        unsafe {
            assert_eq!(*thing(one.cast_const(), "b").unwrap(), 5);
            *thing_mut(one, "b").unwrap() = 6;
            assert!(thing::<Box2>(one.cast(), "b").is_err());
            free::<Box2>(one.cast());
            assert_eq!(*thing(one.cast_const(), "b").unwrap(), 6);
            free(one);
            let number = share::<Number>(7).unwrap();
            assert!(thing::<Box1>(number.cast(), "b").is_err());
            assert!(unshare(number).is_some());
        }
        let lent = Marked::<Box1>::lent(7);
        // SAFETY: as above.
        unsafe {
            assert_eq!(*thing(lent.handle(), "b").unwrap(), 7);
            assert!(thing_mut(lent.handle().cast_mut(), "b").is_err());
            free(lent.handle().cast_mut());
            assert_eq!(*thing(lent.handle(), "b").unwrap(), 7);
        }
        let mut lent = Marked::<Box1>::lent_to_change(7);
        let handle = lent.handle_mut();
        // SAFETY: as above.
        unsafe {
            *thing_mut(handle, "b").unwrap() = 8;
            free(handle);
            assert_eq!(*thing(handle.cast_const(), "b").unwrap(), 8);
            assert!(thing::<Box2>(handle.cast_const().cast(), "b").is_err());
        }
    }

    #[test]
    fn threads_free_one_handle_once() {
        for _ in 0..1000 {
            let number = share::<Number>(7).unwrap().addr();
            let freed: usize = std::thread::scope(|scope| {
                let free = || unshare::<Number>(std::ptr::without_provenance_mut(number)).is_some();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(free)).collect();
                threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
            });
            assert_eq!(freed, 1);
        }
    }
}
