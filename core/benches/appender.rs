//! What an append and a read within the process take: `cargo bench -p ferromq --bench appender -- [SECONDS [CASES]]
//! [SETTING=VALUE]...`, on the disk that holds TMPDIR. Beside them an ordinary send, and what the machine takes to bring as many
//! bytes into the memory of new files, by copies into mappings and by writes, when nothing else is done. CASES is how their
//! names begin: append (with reads), send, bare. Processor time is this thread's; unlike the time on the wall it leaves out
//! what else runs. Appends end at 4 GiB of bodies; those of 1 KiB go on to that, for twenty times as long at most, if there is
//! a second or more. With COUNT=n each case is done n times instead, for tools that count instructions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ferromq::{Instance, Message, Result};
use memmap2::{Advice, MmapMut};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: all is done by the system's allocator; counting touches a number of the thread's own and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _gone = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes of bodies that a case writes at most.
const MOST: usize = 4 << 30;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<()> {
    let args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let (settings, args): (Vec<String>, Vec<String>) = args.partition(|arg| arg.contains('='));
    let seconds: f64 = args.first().map_or(1.0, |text| text.parse().expect("a number of seconds"));
    let only = args.get(1);
    let time = Duration::from_secs_f64(seconds);
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = ferromq::OpenOptions::directory(dir.path().join("data"));
    for (key, value) in settings.iter().filter_map(|setting| setting.split_once('=')) {
        options.set(key, value)?;
    }
    let mq = ferromq::open_with(options)?;
    for (name, size) in [("128", 128), ("1k", 1024)] {
        mq.create_topic(name, 1)?;
        let body = vec![b'x'; size];
        let wanted = |case: &str| only.is_none_or(|only| case.starts_with(only));
        // So much that what the disk has to take counts. C's and Chronicle's end alike.
        let limit = if size == 1024 && seconds >= 1.0 { time * 20 } else { time };
        if wanted("bare") {
            bare(dir.path(), &body, limit).expect("files");
        }
        if wanted("append") {
            let mut appender = mq.appender(name, 0)?;
            run(&format!("append-{name}"), size, 1, (limit, MOST), || appender.append(&body).map(drop))?;
            let bodies = vec![&body[..]; 100];
            run(&format!("batch-{name}"), size, 100, (time, MOST), || {
                appender.append_batch(&bodies).map(drop)
            })?;
        }
        if wanted("send") {
            let producer = mq.producer("bench")?;
            let message = Message::new(name, body.clone());
            run(&format!("send-{name}"), size, 1, (time, MOST), || producer.send(&message).map(drop))?;
        }
        if wanted("append") {
            read(&mq, name, size, time)?;
        }
    }
    mq.close()
}

/// What a record has beside its body, about.
const FRAME: usize = 94;

/// Bytes in new files, as many as appends bring there.
fn bare(dir: &Path, body: &[u8], limit: Duration) -> std::io::Result<()> {
    const FILE: usize = 1 << 30;
    const AHEAD: usize = 512 << 10;
    const PIECE: usize = 64 << 10;
    let name = if body.len() == 128 { "128" } else { "1k" };
    let record = vec![b'x'; body.len() + FRAME];
    let new = |number: usize| -> std::io::Result<File> {
        let path = dir.join(format!("bare-{number}"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(FILE as u64)?;
        Ok(file)
    };
    let (mut map, mut at, mut ahead, mut files): (Option<MmapMut>, usize, usize, usize) = (None, FILE, 0, 0);
    run(&format!("map-{name}"), body.len(), 1, (limit, MOST), || {
        if at + record.len() > FILE {
            // SAFETY: the file was made just now in a directory of this process's own.
            map = Some(unsafe { MmapMut::map_mut(&new(files)?) }?);
            (at, ahead, files) = (0, 0, files + 1);
        }
        let map = map.as_mut().expect("a file is mapped");
        if at + record.len() > ahead {
            let len = AHEAD.min(FILE - ahead);
            map.advise_range(Advice::PopulateWrite, ahead, len)?;
            ahead += len;
        }
        map[at..at + record.len()].copy_from_slice(&record);
        at += record.len();
        Ok::<(), std::io::Error>(())
    })?;
    drop(map);
    let remove =
        |count: usize| (0..count).try_for_each(|file| std::fs::remove_file(dir.join(format!("bare-{file}"))));
    remove(files)?;
    let (mut file, mut pieces) = (new(0)?, Vec::with_capacity(PIECE + record.len()));
    run(&format!("write-{name}"), body.len(), 1, (limit, MOST), || {
        pieces.extend_from_slice(&record);
        if pieces.len() >= PIECE {
            file.write_all(&pieces)?;
            pieces.clear();
        }
        Ok::<(), std::io::Error>(())
    })?;
    drop(file);
    remove(1)
}

fn read(mq: &Instance, topic: &str, size: usize, time: Duration) -> Result<()> {
    let mut reader = mq.reader(topic, 0, 0)?;
    run(&format!("read-{topic}"), size, 1, (time, usize::MAX), || {
        if reader.read()?.is_none() {
            reader.seek(0);
        }
        Ok(())
    })
}

fn run<E>(
    case: &str,
    size: usize,
    each: usize,
    (time, most_bytes): (Duration, usize),
    mut once: impl FnMut() -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let count = std::env::var("COUNT").ok().and_then(|count| count.parse::<usize>().ok());
    for _ in 0..1000 / each {
        once()?;
    }
    let mut samples = Samples { kept: Vec::with_capacity(1 << 16), seen: 0, every: 1 };
    let allocated = ALLOCATIONS.get();
    let (begun, processor, mut calls) = (Instant::now(), processor_time(), 0);
    let goes_on = |calls| begun.elapsed() < time && calls * each * size < most_bytes;
    while count.map_or_else(|| goes_on(calls), |count| calls < count) {
        // Most calls are timed together: asking for the time takes as long as a part of an append.
        for _ in 0..63 {
            once()?;
        }
        let start = Instant::now();
        once()?;
        samples.add(start.elapsed());
        calls += 64;
    }
    let (took, processor) = (begun.elapsed(), processor_time() - processor);
    let messages = (calls * each) as f64;
    samples.kept.sort_unstable();
    let at = |share: f64| samples.kept[((samples.kept.len() - 1) as f64 * share) as usize];
    println!(
        "{case}\t{:.0}/s\t{:.0} MB\tprocessor {:.0} ns\tp50 {} ns\tp99 {} ns\t{:.2} allocations",
        messages / took.as_secs_f64(),
        messages * size as f64 / 1e6,
        processor.as_nanos() as f64 / messages,
        at(0.5),
        at(0.99),
        (ALLOCATIONS.get() - allocated) as f64 / messages,
    );
    Ok(())
}

/// Nanoseconds of calls from all of a run, at even distances, however long it is.
struct Samples {
    kept: Vec<u64>,
    seen: usize,
    every: usize,
}

impl Samples {
    fn add(&mut self, took: Duration) {
        if self.seen % self.every == 0 {
            // In place, as allocations are counted. An even number was kept: this one is at the new distance as well.
            if self.kept.len() == self.kept.capacity() {
                let mut odd = false;
                self.kept.retain(|_| {
                    odd = !odd;
                    odd
                });
                self.every *= 2;
            }
            self.kept.push(took.as_nanos() as u64);
        }
        self.seen += 1;
    }
}

/// Processor time of this thread.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
