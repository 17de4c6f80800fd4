//! The commit log's tail: one lock, under which a record gets its offsets and is copied, nothing else.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{compiler_fence, AtomicBool, AtomicI64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dispatch::Pending;
use super::mapping::Writer;
use super::segment::{Segment, Segments};
use super::signal::Signal;
use super::storage::{is_full, sync_failed, write_zeros, Storage};
use super::types::AppendError;
use super::FlushMode;
use crate::record::MAGIC_BLANK;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// Room that must be left behind a record for the filler's size and magic.
pub(crate) const BLANK_LEN: usize = 8;
/// What share of their patience appends wait once one has waited all of it in vain.
const STUCK_SHARE: u32 = 50;
/// How far ahead of the tail pages are brought into memory at most; as far as was written so far, but at least so much.
const POPULATE_MOST: usize = 2 << 20;
const POPULATE_LEAST: usize = 64 << 10;
/// Bytes behind the last record that are brought into the processor's caches.
const FETCHED_AHEAD: usize = 512;
/// Pages that are brought into memory at once.
const POPULATE_CHUNK: usize = 512 << 10;

/// The commit log.
pub(crate) struct Log {
    pub dir: PathBuf,
    pub file_size: usize,
    pub storage: Arc<dyn Storage>,
    pub segments: Segments,
    pub tail: Mutex<Tail>,
    /// Notified when zeros were written or a file was made ahead.
    pub prepared: Condvar,
    /// End of what was appended.
    end: AtomicI64,
    /// End of what is known to be on disk.
    pub flushed: AtomicI64,
    /// End of what was answered with a timeout: visible though perhaps not on disk.
    pub timed_out: AtomicI64,
    pub mode: FlushMode,
    pub step: usize,
    /// How long an append waits for the tail.
    patience: Duration,
    /// Since when appends wait for the tail in vain; none that got it since.
    stuck: Mutex<Option<Instant>>,
    is_stuck: AtomicBool,
    /// Whether [`Tail::broken`] says something.
    is_broken: AtomicBool,
    /// Raised by the appender when the preparing thread has something to do.
    pub preparation: Signal,
}

/// Where the next record goes. Held by whoever appends.
pub(crate) struct Tail {
    /// The file written to; none before the first append of an empty log.
    pub open: Option<OpenFile>,
    /// The file after that, made ahead.
    pub next: Option<OpenFile>,
    /// Start of the file that the preparing thread is making right now: nobody else may.
    pub making: Option<i64>,
    /// Appended and not yet passed on to queues and index.
    pub pending: Pending,
    /// Why no more is written, until the store is opened again.
    pub broken: Option<String>,
    /// Why nothing is written for now: the disk is full.
    pub full: Option<String>,
    /// Why nothing is written for now: retention found too little space left.
    pub crowded: Option<String>,
    /// Why nothing is written for now: there is no room for what waits in memory for the files of queues.
    pub unwritten: Option<String>,
    pub closed: bool,
    /// Store time of the last record.
    pub last_store_timestamp: i64,
    /// The timer sleeps because everything is saved: the next append wakes it.
    pub timer_rests: bool,
}

/// A file that is written to.
pub(crate) struct OpenFile {
    pub segment: Arc<Segment>,
    writer: Writer,
    /// Where the next byte goes, within the file.
    pub at: usize,
    /// Blocks are there up to here.
    pub allocated: usize,
    /// Pages are in memory up to here, or are being brought there.
    pub populated: usize,
    /// Where the first byte went since the file was opened.
    began: usize,
    /// Zeros were written up to here (SYNC_FLUSH).
    pub zeroed: usize,
    /// The range into which zeros are being written right now: nobody else may.
    pub zeroing: Option<(usize, usize)>,
}

impl OpenFile {
    pub fn new(segment: Arc<Segment>, writer: Writer, at: usize) -> Self {
        let start = at & !4095;
        OpenFile {
            segment,
            writer,
            at,
            allocated: start,
            populated: start,
            began: start,
            zeroed: start,
            zeroing: None,
        }
    }

    /// Bytes of the file.
    pub fn size(&self) -> usize {
        self.writer.mapping().len()
    }

    /// Claims the next stretch of pages to be brought into memory; none while there are enough, or no blocks for them.
    pub fn populate_step(&mut self, mode: FlushMode) -> Option<(usize, usize)> {
        if mode != FlushMode::Async || !self.wants_pages(self.pages_ahead()) {
            return None;
        }
        let from = self.populated;
        self.populated = self.allocated.min(from + self.pages_ahead().min(POPULATE_CHUNK));
        Some((from, self.populated))
    }

    fn wants_pages(&self, ahead: usize) -> bool {
        self.populated < self.allocated && self.populated < self.at + ahead
    }

    fn pages_ahead(&self) -> usize {
        (self.at - self.began).clamp(POPULATE_LEAST, POPULATE_MOST)
    }

    /// Whether zeros are being written right now into the next `need` bytes.
    fn is_zeroed_now(&self, need: usize) -> bool {
        self.zeroing.is_some_and(|(from, to)| from < self.at + need && self.at < to)
    }
}

impl Log {
    pub fn new(
        dir: PathBuf,
        file_size: usize,
        storage: Arc<dyn Storage>,
        mode: FlushMode,
        step: usize,
        patience: Duration,
    ) -> Self {
        let tail = Tail {
            open: None,
            next: None,
            making: None,
            pending: Pending::default(),
            broken: None,
            full: None,
            crowded: None,
            unwritten: None,
            closed: false,
            last_store_timestamp: 0,
            timer_rests: false,
        };
        Log {
            dir,
            file_size,
            storage,
            segments: Segments::default(),
            tail: Mutex::new(tail),
            prepared: Condvar::new(),
            end: AtomicI64::new(0),
            flushed: AtomicI64::new(0),
            timed_out: AtomicI64::new(0),
            mode,
            step: step.max(4096),
            patience,
            stuck: Mutex::new(None),
            is_stuck: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            preparation: Signal::default(),
        }
    }

    /// Goes on where recovery found the end of the log.
    pub fn resume(&self, tail: &mut Tail, open: Option<OpenFile>, end: i64) {
        tail.open = open;
        self.end.store(end, Ordering::Release);
        self.flushed.store(end, Ordering::Release);
    }

    /// End of what was appended.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// First offset that can be read.
    pub fn min(&self) -> i64 {
        self.segments.first().map_or(0, |segment| segment.base)
    }

    /// End of what readers may see.
    pub fn visible(&self) -> i64 {
        match self.mode {
            FlushMode::Async => self.end(),
            FlushMode::Sync => self
                .flushed
                .load(Ordering::Acquire)
                .max(self.timed_out.load(Ordering::Acquire))
                .min(self.end()),
        }
    }

    /// The tail, for an append. Waits for whoever holds it, but not longer than appends may; once one has waited in
    /// vain the next ones hardly wait, so that event loops can go on with what needs no tail.
    pub fn claim(&self) -> Result<MutexGuard<'_, Tail>, AppendError> {
        let wait = match self.is_stuck.load(Ordering::Relaxed) {
            true => self.patience / STUCK_SHARE,
            false => self.patience,
        };
        match self.tail.try_lock_for(wait) {
            Some(tail) => {
                if self.is_stuck.load(Ordering::Relaxed) {
                    self.is_stuck.store(false, Ordering::Relaxed);
                    *self.stuck.lock() = None;
                }
                Ok(tail)
            }
            None => Err(self.busy()),
        }
    }

    /// The tail, for who only looks; `None` when that would take longer than appends may wait.
    pub fn look(&self) -> Option<MutexGuard<'_, Tail>> {
        self.tail.try_lock_for(self.patience)
    }

    /// Whether nothing is written any more until the store is opened again.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// For how long nobody has got the tail, ms; 0 while appends go on.
    pub fn stuck_for_ms(&self) -> i64 {
        self.stuck.lock().map_or(0, |since| since.elapsed().as_millis() as i64)
    }

    fn busy(&self) -> AppendError {
        let mut stuck = self.stuck.lock();
        let since = *stuck.get_or_insert_with(|| {
            let now = Instant::now();
            now.checked_sub(self.patience).unwrap_or(now)
        });
        self.is_stuck.store(true, Ordering::Relaxed);
        AppendError::Busy {
            waited_ms: since.elapsed().as_millis() as i64,
            limit_ms: self.patience.as_millis() as u64,
        }
    }

    /// Makes room for `size` adjacent bytes and returns their commit-log offset. Ends the file if they do not fit.
    pub fn reserve(&self, tail: &mut MutexGuard<'_, Tail>, size: usize) -> Result<i64, AppendError> {
        loop {
            if let Some(reason) = &tail.broken {
                return Err(AppendError::ReadOnly(reason.clone()));
            }
            if tail.closed {
                return Err(AppendError::Closed);
            }
            if let Some(reason) = tail.crowded.as_ref().or(tail.unwritten.as_ref()) {
                return Err(AppendError::ReadOnly(reason.clone()));
            }
            if size + BLANK_LEN > self.file_size {
                let limit = self.file_size - BLANK_LEN;
                return Err(AppendError::TooLarge { what: "record", size, limit });
            }
            match &tail.open {
                None => self.open_first(tail)?,
                Some(open) if open.at + size + BLANK_LEN <= open.size() => {
                    if !open.is_zeroed_now(size + BLANK_LEN) {
                        break;
                    }
                    self.wait_for_preparation(tail)?;
                }
                Some(open) if open.is_zeroed_now(BLANK_LEN) || tail.making == Some(open.segment.end()) => {
                    self.wait_for_preparation(tail)?;
                }
                Some(_) => self.roll(tail)?,
            }
        }
        self.make_room(tail, size + BLANK_LEN)?;
        let open = tail.open.as_ref().expect("a file was opened above");
        Ok(open.segment.base + open.at as i64)
    }

    /// Lets the tail go meanwhile: others append, end the file, break the log. What was known of it is known no more.
    fn wait_for_preparation(&self, tail: &mut MutexGuard<'_, Tail>) -> Result<(), AppendError> {
        match self.prepared.wait_for(tail, self.patience).timed_out() {
            true => Err(self.busy()),
            false => Ok(()),
        }
    }

    /// Copies bytes to the place that [`Log::reserve`] gave. They can be read afterwards, once visible.
    pub fn put(&self, tail: &mut Tail, bytes: &[u8]) -> Result<(), AppendError> {
        self.put_parts(tail, &[bytes])
    }

    /// As [`Log::put`], of bytes that are not in one piece.
    pub fn put_parts(&self, tail: &mut Tail, parts: &[&[u8]]) -> Result<(), AppendError> {
        let open = tail.open.as_mut().expect("room was reserved in an open file");
        let at = open.at;
        let end = at + parts.iter().map(|part| part.len()).sum::<usize>();
        match self.mode {
            FlushMode::Async => {
                let Some((head, behind)) = parts.split_first() else { return Ok(()) };
                let mut next = at + head.len();
                for part in behind {
                    next = open.writer.write(next, part);
                }
                // Last of all: a process that is killed on the way leaves nothing that looks like a record.
                compiler_fence(Ordering::Release);
                open.writer.write(at, head);
                // What comes next goes there, most likely: its lines may be in the caches of who made the pages.
                open.segment.map.fetch_ahead(end, (end - at).min(FETCHED_AHEAD));
                if let Err(error) = open.segment.map.check() {
                    let reason = format!("write to {} failed: {error}", open.segment.path.display());
                    return Err(self.break_with(tail, reason));
                }
            }
            FlushMode::Sync => {
                // One write, which a disk that is full or fails does not end in the middle of a record.
                let whole: Cow<'_, [u8]> = match parts {
                    [bytes] => Cow::Borrowed(bytes),
                    parts => Cow::Owned(parts.concat()),
                };
                if let Err(error) = open.segment.file.write_at(at as u64, &whole) {
                    let reason = format!("write to {} failed: {error}", open.segment.path.display());
                    return Err(self.break_with(tail, reason));
                }
            }
        }
        open.at = end;
        open.writer.publish(end);
        self.end.store(open.segment.base + end as i64, Ordering::Release);
        Ok(())
    }

    /// Turns the log read-only for good.
    pub fn break_with(&self, tail: &mut Tail, reason: String) -> AppendError {
        if tail.broken.is_none() {
            tracing::error!(%reason, "the store turns read-only");
            tail.broken = Some(reason);
            self.is_broken.store(true, Ordering::Release);
        }
        AppendError::ReadOnly(tail.broken.clone().unwrap_or_default())
    }

    fn make_room(&self, tail: &mut Tail, need: usize) -> Result<(), AppendError> {
        let open = tail.open.as_mut().expect("a file is open");
        let end = open.at + need;
        if end > open.allocated {
            if let Err(error) = allocate(open, end, self.step) {
                return Err(self.no_space(tail, error));
            }
            tail.full = None;
        }
        let open = tail.open.as_mut().expect("a file is open");
        if self.mode == FlushMode::Async && end > open.populated {
            // Nothing was made ready, or not fast enough: all that is needed now, and no more, while others wait.
            let to = end.max(open.populated + POPULATE_LEAST);
            open.segment.map.populate(open.populated, to - open.populated);
            open.populated = to;
        }
        if !self.preparation.is_raised() && self.wants_preparation(tail) {
            self.preparation.raise();
        }
        Ok(())
    }

    fn no_space(&self, tail: &mut Tail, error: io::Error) -> AppendError {
        let path = tail.open.as_ref().map(|open| open.segment.path.display().to_string()).unwrap_or_default();
        self.cannot_extend(tail, &path, error)
    }

    /// A full disk is met here, before anything is written, so it may end without a restart. Anything else may not.
    fn cannot_extend(&self, tail: &mut Tail, path: &str, error: io::Error) -> AppendError {
        if is_full(&error) {
            let reason = format!("no space for {path}: {error}; free some, or let files expire");
            if tail.full.is_none() {
                tracing::error!(%reason, "the store does not take writes for now");
            }
            tail.full = Some(reason.clone());
            return AppendError::ReadOnly(reason);
        }
        self.break_with(tail, format!("cannot extend {path}: {error}"))
    }

    fn open_first(&self, tail: &mut Tail) -> Result<(), AppendError> {
        let base = self.end();
        match self.create(base) {
            Ok(open) => {
                self.segments.push(open.segment.clone());
                tail.open = Some(open);
                Ok(())
            }
            Err(error) => {
                let path = self.dir.join(super::segment::file_name(base));
                Err(self.cannot_extend(tail, &path.display().to_string(), error))
            }
        }
    }

    /// Fills the file with a blank and goes on in the next one.
    fn roll(&self, tail: &mut Tail) -> Result<(), AppendError> {
        // After a restart nothing may be allocated behind the last record yet.
        self.make_room(tail, BLANK_LEN)?;
        let base = tail.open.as_ref().expect("only an open file is ended").segment.end();
        if tail.next.is_none() {
            match self.create(base) {
                Ok(next) => tail.next = Some(next),
                Err(error) => {
                    let path = self.dir.join(super::segment::file_name(base));
                    return Err(self.cannot_extend(tail, &path.display().to_string(), error));
                }
            }
        }
        let open = tail.open.as_mut().expect("only an open file is ended");
        let left = open.size() - open.at;
        let mut blank = [0; BLANK_LEN];
        blank[..4].copy_from_slice(&(left as i32).to_be_bytes());
        blank[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
        self.put(tail, &blank)?;
        let next = tail.next.take().expect("made above");
        self.segments.push(next.segment.clone());
        let mut old = tail.open.replace(next).expect("only an open file is ended");
        old.writer.publish(old.size());
        self.end.store(base, Ordering::Release);
        Ok(())
    }

    /// Makes the file that starts at `base`, its name and length durable, no blocks in it yet.
    pub fn create(&self, base: i64) -> io::Result<OpenFile> {
        let (segment, writer) = Segment::open(&*self.storage, &self.dir, base, self.file_size, 0)?;
        // The length must not be lost while the name stays.
        segment.file.sync().map_err(sync_failed)?;
        self.storage.sync_dir(&self.dir).map_err(sync_failed)?;
        Ok(OpenFile::new(segment, writer, 0))
    }

    /// Whether the thread that prepares files should look.
    pub fn wants_preparation(&self, tail: &Tail) -> bool {
        let Some(open) = &tail.open else { return false };
        let size = open.size();
        let next_due = tail.next.is_none() && open.at > size / 4 * 3;
        let blocks_due =
            open.allocated < size && open.allocated - open.at.min(open.allocated) < self.step / 2;
        let zeros_due = self.mode == FlushMode::Sync
            && open.zeroed < open.allocated
            && open.zeroed < open.at + super::prepare::ZERO_AHEAD / 2;
        let pages_due = self.mode == FlushMode::Async && open.wants_pages(open.pages_ahead() / 2);
        next_due || blocks_due || zeros_due || pages_due
    }
}

/// Allocates blocks behind those that are there, at least up to `end`, one step at a time.
pub(crate) fn allocate(open: &mut OpenFile, end: usize, step: usize) -> io::Result<()> {
    /// Zeros written while appends wait.
    const ZEROS: usize = 1 << 20;
    let to = end.max(open.allocated + step).min(open.size());
    let file = &*open.segment.file;
    open.allocated = match file.allocate(open.allocated as u64, (to - open.allocated) as u64) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            // Never where records are: after a restart the last ones share their page with what is to be allocated.
            let from = open.allocated.max(open.at);
            let to = end.max(from + ZEROS).min(open.size());
            write_zeros(file, from as u64, (to - from) as u64)?;
            to
        }
        result => result.map(|()| to)?,
    };
    Ok(())
}
