//! What is made ahead of the tail, off the appending thread: blocks, pages, zeros, the next file.

use std::io;
use std::sync::Arc;

use super::log::{Log, OpenFile, Tail};
use super::segment::{file_name, Segment};
use super::{storage, FlushMode};

/// Under SYNC_FLUSH zeros are written this far ahead: syncing bytes over written zeros takes half the time of syncing
/// into fresh blocks, because no metadata changes.
pub(crate) const ZERO_AHEAD: usize = 16 << 20;
/// Zeros written and synced at once. A sender's sync may have to wait for one of these.
const ZERO_CHUNK: usize = 1 << 20;

enum Step {
    Allocate { segment: Arc<Segment>, from: usize, to: usize },
    Zero { segment: Arc<Segment>, from: usize, to: usize },
    Populate { segment: Arc<Segment>, from: usize, to: usize },
    NextFile { base: i64 },
}

/// Does one piece of what is due; whether there was any. An error has been noted in the log.
pub(crate) fn prepare(log: &Log) -> bool {
    let Some(step) = choose(log) else { return false };
    let done = match &step {
        Step::Allocate { segment, from, to } => segment.file.allocate(*from as u64, (*to - *from) as u64),
        Step::Zero { segment, from, to } => write_zeros(segment, *from, *to),
        Step::Populate { segment, from, to } => {
            segment.map.populate(*from, *to - *from);
            return true;
        }
        Step::NextFile { base } => return next_file(log, *base),
    };
    let mut tail = log.tail.lock();
    let going_on = match (done, step) {
        (Ok(()), Step::Allocate { segment, to, .. }) => {
            with_file(&mut tail, &segment, |open| open.allocated = open.allocated.max(to));
            true
        }
        // A full disk is met again by the appender, who has someone to tell.
        (Err(_), Step::Allocate { .. }) => false,
        (result, Step::Zero { segment, to, .. }) => {
            with_file(&mut tail, &segment, |open| {
                open.zeroing = None;
                open.zeroed = to;
            });
            log.prepared.notify_all();
            if let Err(error) = &result {
                log.break_with(&mut tail, format!("write to {} failed: {error}", segment.path.display()));
            }
            result.is_ok()
        }
        (_, Step::NextFile { .. } | Step::Populate { .. }) => unreachable!("returned above"),
    };
    going_on
}

fn choose(log: &Log) -> Option<Step> {
    let mut tail = log.tail.lock();
    let tail = &mut *tail;
    if tail.broken.is_some() || tail.closed || tail.full.is_some() {
        return None;
    }
    let open = tail.open.as_mut()?;
    let size = open.size();
    if open.allocated < size && open.allocated.saturating_sub(open.at) < log.step / 2 {
        let (from, to) = (open.allocated, (open.allocated + log.step).min(size));
        return Some(Step::Allocate { segment: open.segment.clone(), from, to });
    }
    if let Some((from, to)) = open.populate_step(log.mode) {
        return Some(Step::Populate { segment: open.segment.clone(), from, to });
    }
    if let Some(zero) = zero_step(log, open) {
        return Some(zero);
    }
    if open.at > size / 4 * 3 {
        match &mut tail.next {
            None => {
                let base = open.segment.end();
                tail.making = Some(base);
                return Some(Step::NextFile { base });
            }
            Some(next) if next.allocated == 0 => {
                let to = log.step.min(next.size());
                return Some(Step::Allocate { segment: next.segment.clone(), from: 0, to });
            }
            Some(next) => {
                let pages = next.populate_step(log.mode);
                let pages =
                    pages.map(|(from, to)| Step::Populate { segment: next.segment.clone(), from, to });
                return pages.or_else(|| zero_step(log, next));
            }
        }
    }
    None
}

/// Claims the next stretch to be zeroed, well ahead of the appender so that it rarely has to wait.
fn zero_step(log: &Log, open: &mut OpenFile) -> Option<Step> {
    if log.mode != FlushMode::Sync || open.zeroing.is_some() || open.zeroed >= open.at + ZERO_AHEAD {
        return None;
    }
    let margin = if open.at == 0 { 0 } else { 16 << 10 };
    let from = open.zeroed.max((open.at + margin + 4095) & !4095);
    let to = (from + ZERO_CHUNK).min(open.allocated);
    if from >= to {
        return None;
    }
    open.zeroing = Some((from, to));
    Some(Step::Zero { segment: open.segment.clone(), from, to })
}

fn write_zeros(segment: &Segment, from: usize, to: usize) -> io::Result<()> {
    storage::write_zeros(&*segment.file, from as u64, (to - from) as u64)?;
    segment.file.sync()
}

fn next_file(log: &Log, base: i64) -> bool {
    let made = log.create(base);
    let mut tail = log.tail.lock();
    tail.making = None;
    log.prepared.notify_all();
    match made {
        Ok(next) => {
            let still_wanted = tail.open.as_ref().is_some_and(|open| open.segment.end() == base);
            if still_wanted && tail.next.is_none() && !tail.closed {
                tail.next = Some(next);
            }
            true
        }
        Err(error) => {
            drop(tail);
            // The appender meets it again when it needs the file, and turns it into an answer.
            tracing::warn!(file = %file_name(base), %error, "the next commit-log file cannot be made ahead");
            false
        }
    }
}

fn with_file(tail: &mut Tail, segment: &Arc<Segment>, change: impl FnOnce(&mut OpenFile)) {
    let files = tail.open.iter_mut().chain(tail.next.iter_mut());
    if let Some(open) = files.into_iter().find(|open| Arc::ptr_eq(&open.segment, segment)) {
        change(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::tests::new;
    use crate::store::{Core, StoreOptions};

    #[test]
    fn pages_are_ahead_of_the_tail_by_as_much_as_was_written_within_bounds() {
        let mut options = StoreOptions::new("/store");
        options.storage = Arc::new(storage::Memory::new());
        options.mapped_file_size_commit_log = 16 << 20;
        let core = Core::new(options, Clock::new());
        core.start().unwrap();
        let body = vec![b'x'; 100 << 10];
        for written in 1..26 {
            core.append(&new("T", 0, &body, b"")).unwrap();
            while prepare(&core.log) {}
            let tail = core.log.tail.lock();
            let open = tail.open.as_ref().unwrap();
            let (ahead, chunk) = (open.populated - open.at, 512 << 10);
            assert!(ahead >= (written * body.len()).min(2 << 20), "{written}: {ahead}");
            assert!(ahead < (written * (body.len() + 200)).min(2 << 20) + chunk, "{written}: {ahead}");
            assert!(open.populated <= open.allocated);
            assert!(!core.log.wants_preparation(&tail), "{written}");
        }
        core.finish().unwrap();
    }
}
