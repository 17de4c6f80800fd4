//! The store's own threads. They sleep until there is something to do.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::prepare::prepare;
use super::{Core, FlushMode};

/// Time between checkpoints under load, ms. Each one syncs queue files; recovery reads at most so much of the log.
const CHECKPOINT_MS: i64 = 10_000;
/// And at least so many times as long as the last one took: with many queues it takes the disk some time.
const CHECKPOINT_SHARE: i64 = 10;
/// Time from the start to the first round of retention, ms, as Apache's.
const FIRST_RETENTION_MS: i64 = 60_000;

/// Starts the threads of a store; all or none.
pub(crate) fn start(core: &Arc<Core>) -> io::Result<Vec<JoinHandle<()>>> {
    start_by(core, |name, run| std::thread::Builder::new().name(name.into()).spawn(run))
}

type Run = Box<dyn FnOnce() + Send>;

fn start_by(
    core: &Arc<Core>,
    mut spawn: impl FnMut(&str, Run) -> io::Result<JoinHandle<()>>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut wanted: Vec<(_, fn(&Core))> =
        vec![("fmq-flush", run_flush), ("fmq-prepare", run_prepare), ("fmq-store", run_timer)];
    if core.options.flush_mode == FlushMode::Sync {
        wanted.push(("fmq-timeout", run_timeouts));
    }
    let mut threads = Vec::new();
    for (name, run) in wanted {
        let core_of_thread = core.clone();
        match spawn(name, Box::new(move || run_or_fail(&core_of_thread, name, run))) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                // Those that were made would hold the store, and the lock of its directory.
                stop(core);
                for thread in threads {
                    let _panicked = thread.join();
                }
                return Err(error);
            }
        }
    }
    Ok(threads)
}

/// Without one of its threads a store would let those who wait hang: it takes no more writes.
fn run_or_fail(core: &Core, name: &str, run: fn(&Core)) {
    if catch_unwind(AssertUnwindSafe(|| run(core))).is_err() {
        core.fail(format!("the thread {name} panicked"));
        // Tells those who wait for a flush.
        let _told = core.flush_log();
    }
}

/// Tells the threads to end.
pub(crate) fn stop(core: &Core) {
    core.stopping.store(true, Ordering::Release);
    core.log.preparation.raise();
    core.waiters.wanted.raise();
    core.waiters.watched.raise();
    core.clock.wake();
}

fn stopping(core: &Core) -> bool {
    core.stopping.load(Ordering::Acquire)
}

fn run_flush(core: &Core) {
    loop {
        core.waiters.wanted.wait();
        // What waits is flushed before the thread ends.
        let _told = core.flush_log();
        core.dispatch();
        if stopping(core) {
            return;
        }
    }
}

fn run_prepare(core: &Core) {
    while !stopping(core) {
        core.log.preparation.wait();
        while !stopping(core) && prepare(&core.log) {
            if core.holds_too_much() {
                core.waiters.wanted.raise();
            }
        }
    }
}

/// Watches the deadlines of those who wait for a flush: apart from the timer, which may be waiting for the disk itself.
fn run_timeouts(core: &Core) {
    while !stopping(core) {
        match core.tell_timed_out() {
            Some(deadline) => {
                core.clock.wait_until(deadline, || stopping(core));
            }
            None => {
                // Under load someone always waits; resting only after a while spares a wake-up for each send.
                let until = core.clock.now_ms() + core.options.sync_flush_timeout_ms as i64;
                core.clock.wait_until(until, || stopping(core));
                core.waiters.watching.store(false, Ordering::Release);
                if core.tell_timed_out().is_none() && !stopping(core) {
                    core.waiters.watched.wait();
                }
            }
        }
    }
}

/// What is due when, in ms by the store's clock.
#[derive(Default)]
struct Due {
    flush: i64,
    thorough_flush: i64,
    queues: i64,
    checkpoint: i64,
    thorough_checkpoint: i64,
    retention: i64,
}

fn run_timer(core: &Core) {
    let options = &core.options;
    let first_retention = FIRST_RETENTION_MS.max(options.clean_resource_interval_ms as i64);
    let mut seen = core.clock.now_ms();
    let mut due = Due { retention: seen + first_retention, ..Due::default() };
    due.begin(core);
    let is_ahead = || core.saved.is_ahead.load(Ordering::Acquire);
    while !stopping(core) {
        core.follow_clock();
        let now = core.clock.now_ms();
        if now < seen {
            // The clock was set back, and nothing waits until it is again as late as it was.
            due.begin(core);
            due.retention = due.retention.min(now + options.clean_resource_interval_ms as i64);
        }
        seen = now;
        if now >= due.retention {
            core.run_retention();
            due.retention = core.clock.now_ms() + options.clean_resource_interval_ms as i64;
        }
        if rest_if_saved(core) {
            core.clock
                .wait_until(due.retention, || stopping(core) || core.stirred.swap(false, Ordering::AcqRel));
            core.log.tail.lock().timer_rests = false;
            // Something came: it is due one interval from now, not at once.
            due.begin(core);
            continue;
        }
        flush_if_due(core, &mut due, now);
        save_if_due(core, &mut due, now);
        let next = due.flush.min(due.queues).min(due.retention).max(now + 1);
        core.clock.wait_until(next, || stopping(core) || core.index.is_pressed() || is_ahead());
        if core.index.is_pressed() {
            core.index.drain();
        }
    }
}

/// Whether there is nothing to save, noted so that the next append wakes the timer.
fn rest_if_saved(core: &Core) -> bool {
    let mut tail = core.log.tail.lock();
    let rests = tail.broken.is_some() || !core.has_unsaved();
    tail.timer_rests = rests;
    rests
}

impl Due {
    /// Everything but retention is due one interval from now.
    fn begin(&mut self, core: &Core) {
        let (options, now) = (&core.options, core.clock.now_ms());
        self.flush = now + options.flush_interval_commit_log_ms as i64;
        self.thorough_flush = now + options.flush_commit_log_thorough_interval_ms as i64;
        self.queues = now + options.flush_interval_consume_queue_ms as i64;
        self.checkpoint = now + CHECKPOINT_MS;
        self.thorough_checkpoint = now + options.flush_consume_queue_thorough_interval_ms as i64;
    }
}

fn flush_if_due(core: &Core, due: &mut Due, now: i64) {
    if now < due.flush {
        return;
    }
    let options = &core.options;
    let dirty = core.log.end() - core.log.flushed.load(Ordering::Acquire);
    let enough = dirty >= 4096 * options.flush_commit_log_least_pages as i64;
    // SYNC_FLUSH has its own thread for senders who wait; this is for those who do not.
    if dirty > 0 && (enough || now >= due.thorough_flush || options.flush_mode == FlushMode::Sync) {
        let _told = core.flush_log();
        core.dispatch();
        due.thorough_flush = now + options.flush_commit_log_thorough_interval_ms as i64;
    }
    due.flush = core.clock.now_ms() + options.flush_interval_commit_log_ms as i64;
}

fn save_if_due(core: &Core, due: &mut Due, now: i64) {
    if now < due.queues {
        return;
    }
    let options = &core.options;
    core.dispatch();
    let fresh = core.queues.fresh.load(Ordering::Acquire);
    let entries_a_page = (4096 / super::queue::ENTRY_LEN) as u64;
    let enough = fresh >= options.flush_consume_queue_least_pages as u64 * entries_a_page;
    if (enough && now >= due.checkpoint) || now >= due.thorough_checkpoint {
        // The reason has been noted where sends see it.
        let began = Instant::now();
        let _told = core.save();
        let took_ms = began.elapsed().as_millis() as i64;
        due.checkpoint = core.clock.now_ms() + CHECKPOINT_MS.max(CHECKPOINT_SHARE * took_ms);
        due.thorough_checkpoint = now + options.flush_consume_queue_thorough_interval_ms as i64;
    } else if enough || core.saved.has_unwritten() {
        core.write_behind();
    }
    due.queues = core.clock.now_ms() + options.flush_interval_consume_queue_ms as i64;
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::store::checkpoint::Checkpoint;
    use crate::store::storage::{Memory, Operation};
    use crate::store::tests::new;
    use crate::store::{Durability, Store, StoreOptions};

    #[test]
    fn who_waits_when_a_thread_panics_is_told() {
        let memory = Memory::new();
        let mut options = StoreOptions::new("/store");
        (options.storage, options.flush_mode) = (Arc::new(memory.clone()), FlushMode::Sync);
        options.mapped_file_size_commit_log = 32 << 10;
        // The clock stands: the timer would flush sooner or later, too.
        let store = Store::open(options, Clock::standing()).unwrap();
        let end = store.append(&new("T", 0, b"x", b"")).unwrap().end;
        memory.intercept(|operation, _| {
            assert!(
                operation != Operation::Sync || std::thread::current().name() != Some("fmq-flush"),
                "as if"
            );
            Ok(())
        });
        let wait = |end| {
            let (sender, receiver) = std::sync::mpsc::channel();
            store.when_durable(end, Box::new(move |how| sender.send(how).unwrap()));
            receiver.recv().unwrap()
        };
        assert!(matches!(wait(end), Durability::Failed(reason) if reason.contains("fmq-flush")));
        assert!(store.append(&new("T", 0, b"x", b"")).is_err());
        assert!(matches!(wait(end + 1), Durability::Failed(_)));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_neither_flush_nor_checkpoint() {
        const HOUR: Duration = Duration::from_secs(3600);
        let (memory, clock) = (Memory::new(), Clock::new());
        clock.advance(10 * HOUR);
        let mut options = StoreOptions::new("/store");
        options.storage = Arc::new(memory.clone());
        options.mapped_file_size_commit_log = 32 << 10;
        (options.flush_interval_commit_log_ms, options.flush_commit_log_least_pages) = (10, 0);
        let store = Store::open(options, clock.clone()).unwrap();
        let saved =
            || Checkpoint::load(&memory, Path::new("/store/checkpoint"), clock.now_ms()).unwrap().safe_ms();
        for _ in 0..8 {
            store.append(&new("T", 0, b"x", b"")).unwrap();
            store.save().unwrap();
            let before = saved();
            store.append(&new("T", 0, b"x", b"")).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            clock.set_back(HOUR);
            let appended = store.append(&new("T", 0, b"x", b"")).unwrap();
            store.dispatch();
            let begun = Instant::now();
            // Apache's brokers go by the checkpoint's times.
            while store.flushed_offset() < appended.end || saved() >= appended.store_timestamp {
                assert!(begun.elapsed() < Duration::from_secs(30), "{before} {} {appended:?}", saved());
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(before > appended.store_timestamp);
        }
        store.close().unwrap();
    }

    /// Every sync of the log is counted: one an interval at most, and none for less than the pages but after a long time.
    #[test]
    fn under_async_flush_the_log_is_synced_when_enough_has_gathered_or_long_ago() {
        let (memory, clock, syncs) = (Memory::new(), Clock::standing(), Arc::new(AtomicUsize::new(0)));
        let mut options = StoreOptions::new("/store");
        options.storage = Arc::new(memory.clone());
        options.mapped_file_size_commit_log = 2 << 20;
        let core = Core::new(options, clock.clone());
        core.start().unwrap();
        let page = || assert!(core.append(&new("T", 0, &[b'x'; 4000], b"")).is_ok());
        page();
        core.flush().unwrap();
        let counted = syncs.clone();
        memory.intercept(move |operation, path| {
            let is_log = path.to_string_lossy().contains("/commitlog/");
            counted.fetch_add(usize::from(operation == Operation::Sync && is_log), Ordering::Relaxed);
            Ok(())
        });
        let mut due = Due::default();
        due.begin(&core);
        let mut tick = |ms| {
            clock.advance(Duration::from_millis(ms));
            flush_if_due(&core, &mut due, clock.now_ms());
            syncs.swap(0, Ordering::Relaxed)
        };
        (0..3).for_each(|_| page());
        assert_eq!([tick(499), tick(1), tick(500), tick(2500)], [0; 4], "less than flushCommitLogLeastPages");
        (0..2).for_each(|_| page());
        assert_eq!([tick(499), tick(1), tick(500)], [0, 1, 0], "once, and nothing came since");
        let many: usize = (0..100)
            .map(|_| {
                (0..3).for_each(|_| page());
                tick(50)
            })
            .sum();
        assert_eq!(many, 10, "300 messages in 5 s, flushIntervalCommitLog is 500 ms");
        assert_eq!(core.flushed_offset(), core.max_physical_offset());
        page();
        assert_eq!((0..19).map(|_| tick(500)).sum::<usize>(), 0);
        assert_eq!(tick(500), 1, "flushCommitLogThoroughInterval");
        assert_eq!(core.flushed_offset(), core.max_physical_offset());
    }

    #[test]
    fn a_flush_that_is_asked_for_while_the_store_is_closed_is_made() {
        let mut options = StoreOptions::new("/store");
        (options.storage, options.flush_mode) = (Arc::new(Memory::new()), FlushMode::Sync);
        options.mapped_file_size_commit_log = 32 << 10;
        let core = Core::new(options, Clock::new());
        core.start().unwrap();
        let end = core.append(&new("T", 0, b"x", b"")).unwrap().end;
        // Its threads are gone, and the last flush was before the append.
        stop(&core);
        let (sender, receiver) = std::sync::mpsc::channel();
        core.when_durable(end, Box::new(move |how| sender.send(how).unwrap()));
        assert_eq!(receiver.try_recv(), Ok(Durability::Flushed));
        core.finish().unwrap();
    }

    #[test]
    fn threads_that_cannot_all_be_had_let_the_store_go() {
        for allowed in 0..4 {
            let memory = Memory::new();
            let mut options = StoreOptions::new("/store");
            (options.storage, options.flush_mode) = (Arc::new(memory.clone()), FlushMode::Sync);
            options.mapped_file_size_commit_log = 32 << 10;
            let core = Arc::new(Core::new(options.clone(), Clock::new()));
            core.start().unwrap();
            let mut made = 0;
            let started = start_by(&core, |name, run| {
                made += 1;
                match made > allowed {
                    true => Err(io::ErrorKind::WouldBlock.into()),
                    false => std::thread::Builder::new().name(name.into()).spawn(run),
                }
            });
            assert_eq!(started.err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
            assert_eq!(Arc::strong_count(&core), 1);
            core.finish().unwrap();
            drop(core);
            let store = Store::open(options, Clock::new()).unwrap();
            assert!(store.recovery_report().clean);
        }
    }
}
