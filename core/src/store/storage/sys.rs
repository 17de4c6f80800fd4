//! The system calls for which the standard library has no name.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Once;

use super::Space;

/// Makes a file of `len` zeros that has no name before it has its length. Fails if there is one at `path`, and where the
/// file system, or a sandbox, does not know files without names.
pub(super) fn make_whole(path: &Path, len: u64) -> io::Result<File> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(dir)?;
    file.set_len(len)?;
    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let to = CString::new(path.as_os_str().as_bytes())?;
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both texts end with a zero byte and live across the call, and so does the descriptor that one names.
    match unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) } {
        // Opened by its name, so that who looks at this process does not take the file for a deleted one.
        0 => OpenOptions::new().read(true).write(true).open(path),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Allocates blocks without changing what the file holds.
pub(super) fn allocate(file: &File, at: u64, len: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_KEEP_SIZE, at, len)
}

/// Makes a range zeros and gives its blocks back.
pub(super) fn punch(file: &File, at: u64, len: u64) -> io::Result<()> {
    fallocate(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, at, len)
}

fn fallocate(file: &File, mode: i32, at: u64, len: u64) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
        let result =
            unsafe { libc::fallocate(file.as_raw_fd(), mode, at as libc::off_t, len as libc::off_t) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// How many forks this process is away from the one that first asked.
pub(crate) fn forks() -> usize {
    static FORKS: AtomicUsize = AtomicUsize::new(0);
    static COUNTED: Once = Once::new();
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    COUNTED.call_once(|| {
        // SAFETY: the function may be called at any time in a child; it only adds to an atomic.
        let failed = unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        if failed != 0 {
            tracing::error!("forks are not noticed: pthread_atfork returned {failed}");
        }
    });
    FORKS.load(Ordering::Relaxed)
}

/// Tells the kernel to read what is asked for and nothing ahead. Only a hint.
pub(super) fn expect_random_reads(file: &File) {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    let _hint = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
}

/// Tells the kernel that pages of this range are not wanted any more. Those that are dirty or mapped stay. Only a hint.
pub(super) fn give_back(file: &File, at: u64, len: u64) {
    let (at, len) = (at as libc::off_t, len as libc::off_t);
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    let _hint = unsafe { libc::posix_fadvise(file.as_raw_fd(), at, len, libc::POSIX_FADV_DONTNEED) };
}

/// Where the next byte is that is not in a hole.
pub(super) fn next_data(file: &File, at: u64) -> io::Result<Option<u64>> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed. The file position that
    // this moves is used by nobody.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at as libc::off_t, libc::SEEK_DATA) };
    if found >= 0 {
        return Ok(Some(found as u64));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        _ => Err(error),
    }
}

/// Takes an exclusive lock of the open file description on byte 0; whether it was free. Unlike `flock` it excludes
/// Java's file lock, and unlike plain `F_SETLK` it excludes a second open within this process.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    set_lock(file, libc::F_WRLCK)
}

/// As [`try_lock`], but others may have such a lock as well; the file need not be open for writing.
pub(super) fn try_lock_shared(file: &File) -> io::Result<bool> {
    set_lock(file, libc::F_RDLCK)
}

/// Gives back what [`try_lock`] took, whoever else has a copy of the descriptor.
pub(super) fn unlock(file: &File) -> io::Result<()> {
    set_lock(file, libc::F_UNLCK).map(drop)
}

fn set_lock(file: &File, kind: i32) -> io::Result<bool> {
    // SAFETY: `flock` is plain data for which all zeros is a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as _;
    range.l_whence = libc::SEEK_SET as _;
    range.l_len = 1;
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `range` lives across the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &range) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

/// Writes back everything of the file system that holds the open directory.
pub(super) fn sync_filesystem(dir: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `dir` is borrowed; no memory is passed.
    match unsafe { libc::syncfs(dir.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Size and use of the disk that holds `dir`.
pub(super) fn space(dir: &Path) -> io::Result<Space> {
    let dir = std::fs::File::open(dir)?;
    // SAFETY: `statvfs` is plain data for which all zeros is a value.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open for as long as `dir` lives, and `stat` lives across the call.
    if unsafe { libc::fstatvfs(dir.as_raw_fd(), &mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // What is kept for root counts neither as ours nor as used.
    let unit = stat.f_frsize as u64;
    let reserved = stat.f_bfree as u64 - (stat.f_bavail as u64).min(stat.f_bfree as u64);
    Ok(Space { total: (stat.f_blocks as u64 - reserved) * unit, free: stat.f_bavail as u64 * unit })
}

/// A moment as the clock on the wall shows it here: year, month, day, hour, minute, second.
pub(crate) fn local_time(ms: i64) -> [i32; 6] {
    let seconds = ms.div_euclid(1000) as libc::time_t;
    // SAFETY: `tm` is plain data (its zone pointer may be null) for which all zeros is a value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid across the call; the reentrant form keeps no state of ours.
    unsafe { libc::localtime_r(&seconds, &mut tm) };
    [tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec]
}
