//! What an append and a read within the process take: `cargo bench -p ferromq --bench appender -- [SECONDS]`, on the disk that
//! holds TMPDIR. Beside them an ordinary send. Processor time is this thread's; unlike the time on the wall it leaves out
//! what else runs. Appends end at 4 GiB of bodies; those of 1 KiB go on to that, for twenty times as long at most, if there is
//! a second or more. With COUNT=n each case is done n times instead, for tools that count instructions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use ferromq::{Instance, Message, Result};

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
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let seconds: f64 = args.next().map_or(1.0, |text| text.parse().expect("a number of seconds"));
    let only = args.next();
    let time = Duration::from_secs_f64(seconds);
    let dir = tempfile::tempdir().expect("a directory");
    let mq = ferromq::open(dir.path().join("data"))?;
    for (name, size) in [("128", 128), ("1k", 1024)] {
        mq.create_topic(name, 1)?;
        let body = vec![b'x'; size];
        let wanted = |case: &str| only.as_deref().is_none_or(|only| case.starts_with(only));
        if wanted("append") {
            let mut appender = mq.appender(name, 0)?;
            // So much that what the disk has to take counts. C's and Chronicle's end alike.
            let limit = if size == 1024 && seconds >= 1.0 { time * 20 } else { time };
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

fn read(mq: &Instance, topic: &str, size: usize, time: Duration) -> Result<()> {
    let mut reader = mq.reader(topic, 0, 0)?;
    run(&format!("read-{topic}"), size, 1, (time, usize::MAX), || {
        if reader.read()?.is_none() {
            reader.seek(0);
        }
        Ok(())
    })
}

fn run(
    case: &str,
    size: usize,
    each: usize,
    (time, most_bytes): (Duration, usize),
    mut once: impl FnMut() -> Result<()>,
) -> Result<()> {
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
