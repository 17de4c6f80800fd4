//! Every call to the disk fails once, whichever it is, or from then on: nothing is acknowledged wrongly, what could be
//! read can still be read, the reason is told, and when the cause is gone the store opens with all that was acknowledged.
//!
//! The calls are counted, so the store has no threads here. FERROMQ_SOAK=1 goes through all kinds of failures for each call.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::channel;

use super::*;
use crate::store::prepare::prepare;
use crate::store::storage::Operation;

/// How a call fails.
#[derive(Debug, Clone, Copy)]
struct Fault {
    mode: FlushMode,
    code: Code,
    /// Not once, but all from then on.
    lasting: bool,
    call: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Io,
    NoSpace,
    /// Half is written.
    Short,
}

impl Code {
    fn error(self, operation: Operation) -> io::Error {
        match self {
            Code::NoSpace => io::Error::from_raw_os_error(libc::ENOSPC),
            Code::Short if operation == Operation::Write => io::ErrorKind::WriteZero.into(),
            _ => io::Error::from_raw_os_error(libc::EIO),
        }
    }
}

/// What a store has said so far.
#[derive(Default)]
struct Said {
    /// Appended and acknowledged under ASYNC_FLUSH.
    appended: BTreeMap<(i32, i64), Vec<u8>>,
    /// Known to be on disk, acknowledged under SYNC_FLUSH.
    durable: BTreeMap<(i32, i64), Vec<u8>>,
}

struct Disk {
    memory: Memory,
    /// The first call that failed.
    failed: Arc<Mutex<Option<(Operation, PathBuf)>>>,
    /// Calls that go well until one fails.
    left: Arc<AtomicI64>,
    /// Whether calls are counted and fail.
    armed: Arc<AtomicBool>,
}

impl Disk {
    fn new(fault: Fault) -> Disk {
        let (memory, left) = (Memory::new(), Arc::new(AtomicI64::new(fault.call)));
        let armed = Arc::new(AtomicBool::new(true));
        let (count, on, failed) = (left.clone(), armed.clone(), Arc::new(Mutex::new(None)));
        let first = failed.clone();
        memory.intercept(move |operation, path| {
            if !on.load(Ordering::Relaxed) {
                return Ok(());
            }
            let left = count.fetch_sub(1, Ordering::Relaxed);
            if left == 0 || (left < 0 && fault.lasting) {
                first.lock().get_or_insert_with(|| (operation, path.to_owned()));
                return Err(fault.code.error(operation));
            }
            Ok(())
        });
        Disk { memory, failed, left, armed }
    }

    fn has_failed(&self) -> bool {
        self.left.load(Ordering::Relaxed) < 0
    }

    /// After a sync that failed nobody knows what the disk holds, nor after a write to what is not written again: the
    /// store takes nothing more then, until it is opened again, and says why. Of the index it can do without.
    fn ends_writing(&self, fault: Fault) -> bool {
        let Some((operation, path)) = self.failed.lock().clone() else { return false };
        let is_in = |name: &str| path.starts_with(Path::new("/store").join(name));
        match operation {
            Operation::Sync => is_in("commitlog") || is_in("consumequeue") || is_in("checkpoint"),
            Operation::Write => fault.code != Code::NoSpace && (is_in("commitlog") || is_in("checkpoint")),
            _ => false,
        }
    }
}

fn open_core(memory: &Memory, mode: FlushMode) -> Result<Arc<Core>> {
    let mut options = options(memory);
    options.mapped_file_size_commit_log = 8 << 10;
    options.allocation_step = 4 << 10;
    options.flush_mode = mode;
    let core = Arc::new(Core::new(options, Clock::new()));
    core.start().map(|()| core)
}

/// Two lives of a store: one that ends in order, one that is killed, with everything in between that a broker does.
fn work(disk: &Disk, fault: Fault, said: &mut Said) -> Result<()> {
    let mode = fault.mode;
    let core = open_core(&disk.memory, mode)?;
    appends(&core, 6, said);
    let _told = core.save();
    let before = disk.has_failed();
    while prepare(&core.log) {}
    // What cannot be made ahead is made again by who needs it.
    let ahead = disk.has_failed() && !before;
    appends(&core, 12, said);
    core.run_retention();
    let _told = core.delete_topic("Other");
    appends(&core, 12, said);
    reads_go_on(disk, &core, mode, said);
    if disk.ends_writing(fault) && !ahead {
        let WriteState::ReadOnly { reason } = core.state() else {
            panic!("{:?} failed, and the store goes on", disk.failed.lock().clone());
        };
        assert!(reason.contains("/store"), "{reason}");
    }
    core.log.tail.lock().closed = true;
    let flushed = core.flush();
    if core.finish().is_ok() && flushed.is_ok() {
        said.durable.extend(said.appended.clone());
    }
    drop(core);
    if disk.has_failed() {
        // The pages that a failed sync left are gone with the machine only; the caller starts it again.
        return Ok(());
    }
    let core = open_core(&disk.memory, mode)?;
    appends(&core, 8, said);
    core.write_behind();
    appends(&core, 4, said);
    reads_go_on(disk, &core, mode, said);
    Ok(())
}

fn appends(core: &Core, count: usize, said: &mut Said) {
    for n in 0..count {
        let id = n as i32 % 2;
        let body = format!("message {n} {}", "x".repeat(n * 131 % 900)).into_bytes();
        let records = [new("T", id, &body, b"KEYS\x01k\x02"), new("T", id, b"second", b"")];
        let appended = match n % 3 {
            0 => core.append_batch(&records).map(|(placed, _)| (placed, 2)),
            _ => core.append(&records[0]).map(|placed| (placed, 1)),
        };
        match appended {
            Ok((placed, count)) => {
                for (offset, body) in (placed.queue_offset..).zip([&body[..], b"second"]).take(count) {
                    said.appended.insert((id, offset), body.to_vec());
                }
            }
            // Told with what it concerns, and to all who ask.
            Err(AppendError::ReadOnly(reason)) => {
                assert!(reason.contains("/store") || reason.contains("consume queue"), "{reason}");
                assert!(matches!(core.state(), WriteState::ReadOnly { reason: told } if told == reason));
            }
            Err(other) => panic!("{other}"),
        }
        let _other = core.append(&new("Other", 0, b"other", b""));
        if n % 4 == 3 {
            let (sender, told) = channel();
            core.when_durable(core.max_physical_offset(), Box::new(move |how| sender.send(how).unwrap()));
            let flushed = core.flush();
            match told.recv().unwrap() {
                Durability::Flushed => said.durable.extend(said.appended.clone()),
                Durability::Failed(reason) => {
                    assert!(reason.contains("/store") && flushed.is_err(), "{reason}")
                }
                Durability::TimedOut => panic!("nothing waits here"),
            }
        }
    }
}

/// What was acknowledged is served, whether or not anything can be written.
fn reads_go_on(disk: &Disk, core: &Core, mode: FlushMode, said: &Said) {
    disk.armed.store(false, Ordering::Relaxed);
    let acknowledged = if mode == FlushMode::Sync { &said.durable } else { &said.appended };
    check(core, acknowledged, &said.appended);
    disk.armed.store(true, Ordering::Relaxed);
}

fn check(core: &Core, must: &BTreeMap<(i32, i64), Vec<u8>>, may: &BTreeMap<(i32, i64), Vec<u8>>) {
    let mut served = BTreeMap::new();
    for id in core.queue_ids("T") {
        for (offset, body) in bodies(core, "T", id, 0) {
            served.insert((id, offset), body);
        }
    }
    for (place, body) in must {
        assert!(served.get(place) == Some(body), "{place:?} was acknowledged: {:?}", core.recovery_report());
    }
    for (place, body) in &served {
        // What was refused half-way may have its place all the same, but nothing else has.
        let known = may.get(place).is_none_or(|there| there == body);
        assert!(known && (body.starts_with(b"message") || body == b"second"), "{place:?}");
    }
}

/// Whether the call was among those that the work makes.
fn fails(fault: Fault) -> bool {
    let (disk, mut said) = (Disk::new(fault), Said::default());
    let worked = work(&disk, fault, &mut said);
    if let Err(error) = &worked {
        assert!(error.to_string().contains("/store"), "{error}");
    }
    disk.armed.store(false, Ordering::Relaxed);
    for (left, must) in
        [(disk.memory.killed(), &said.appended), (disk.memory.power_cut(fault.call as u64), &said.durable)]
    {
        // What was not acknowledged under SYNC_FLUSH may be lost with the failure.
        let must = if fault.mode == FlushMode::Sync { &said.durable } else { must };
        let core = open_core(&left, fault.mode).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        check(&core, must, &said.appended);
        let mut more = Said::default();
        appends(&core, 4, &mut more);
        assert_eq!(more.durable.len(), 6, "{fault:?}: the store does not take messages again");
    }
    disk.memory.intercept(|_, _| Ok(()));
    disk.has_failed()
}

#[test]
fn whichever_call_fails_nothing_acknowledged_is_lost_and_the_store_opens_again() {
    let all = std::env::var_os("FERROMQ_SOAK").is_some_and(|value| value == "1");
    let kinds: Vec<(FlushMode, Code, bool)> = [FlushMode::Async, FlushMode::Sync]
        .into_iter()
        .flat_map(|mode| [Code::Io, Code::NoSpace, Code::Short].map(|code| (mode, code)))
        .flat_map(|(mode, code)| [false, true].map(|lasting| (mode, code, lasting)))
        .collect();
    let mut runs = 0;
    for (nth, (mode, code, lasting)) in kinds.iter().copied().enumerate() {
        // Every call fails in some way; in a soak in all ways.
        let (first, step) = if all { (0, 1) } else { (nth as i64, kinds.len() / 2) };
        for call in (first..).step_by(step) {
            let fault = Fault { mode, code, lasting, call };
            let outcome = std::panic::catch_unwind(|| fails(fault));
            runs += 1;
            match outcome {
                Ok(true) => {}
                Ok(false) => break,
                Err(panic) => {
                    eprintln!("{fault:?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    println!("{runs} runs");
    assert!(runs > 100);
}
