//! Prints what the store does in process, without network: `cargo bench -p ferromq --bench store [-- PART]`, on the disk
//! that holds TMPDIR. Processor time is this thread's; unlike the time on the wall it leaves out what else runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferromq::clock::Clock;
use ferromq::record::NewRecord;
use ferromq::store::{FlushMode, Get, Store, StoreOptions};

/// Properties as a Java client 5.3.3 and the broker leave them.
const PROPERTIES: &[u8] = b"MSG_REGION\x01DefaultRegion\x02UNIQ_KEY\x01C000020246144E0E2F2A692C421B0000\x02\
CLUSTER\x01DefaultCluster\x02WAIT\x01true\x02TAGS\x01TagA\x02TRACE_ON\x01true\x02";

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let parts: [(&str, fn()); 6] = [
        ("open", open_empty),
        ("append", append),
        ("get", get),
        ("sync", sync),
        ("queues", many_queues),
        ("recover", recover),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| name == wanted)) {
        part();
    }
}

fn open(dir: &tempfile::TempDir, flush_mode: FlushMode) -> Arc<Store> {
    let options = StoreOptions { flush_mode, ..StoreOptions::new(dir.path()) };
    Store::open(options, Clock::new()).expect("a store")
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn record<'a>(topic: &'a str, queue_id: i32, body: &'a [u8]) -> NewRecord<'a> {
    let host = std::net::SocketAddr::from(([127, 0, 0, 1], 10911));
    NewRecord {
        topic,
        queue_id,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: PROPERTIES,
    }
}

fn put(store: &Store, topic: &str, queue_id: i32, body: &[u8]) -> i64 {
    store.append(&record(topic, queue_id, body)).expect("an append").end
}

/// A number in a file of the kernel: the first behind `key`.
fn kernel(path: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rest = text.split_once(key).map_or("", |(_, rest)| rest).trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn resident_kib() -> u64 {
    kernel("/proc/self/status", "VmRSS:")
}

/// Wall and processor time since it was made.
struct Since(Instant, u64);

impl Since {
    fn now() -> Since {
        Since(Instant::now(), kernel("/proc/thread-self/schedstat", ""))
    }

    fn tell(&self, what: &str, count: usize) {
        let cpu = kernel("/proc/thread-self/schedstat", "") - self.1;
        let (wall, each) = (self.0.elapsed(), cpu as f64 / count as f64);
        let rate = count as f64 / wall.as_secs_f64() / 1e6;
        println!("{what}: {each:.0} ns of processor each, {rate:.3} M/s on the wall");
    }
}

fn open_empty() {
    let (dir, before, start) = (directory(), resident_kib(), Instant::now());
    let store = open(&dir, FlushMode::Async);
    println!("open empty: {:?}, {} KiB more resident", start.elapsed(), resident_kib() - before);
    put(&store, "T", 0, b"x");
    println!("first append: {:?} after the start", start.elapsed());
}

fn append() {
    for (size, count) in [(128, 2_000_000), (1024, 1_000_000)] {
        let dir = directory();
        let store = open(&dir, FlushMode::Async);
        let body = vec![b'x'; size];
        for batch in [1, 64] {
            let since = Since::now();
            for n in 0..count {
                put(&store, "BenchTopic", n % 8, &body);
                if n % batch == batch - 1 {
                    store.dispatch();
                }
            }
            since.tell(&format!("append {size} B, dispatch every {batch}"), count as usize);
        }
        println!("  {} MiB written", store.max_physical_offset() >> 20);
    }
}

fn get() {
    for size in [128, 1024] {
        let dir = directory();
        let store = open(&dir, FlushMode::Async);
        let body = vec![b'x'; size];
        for n in 0..1_000_000 {
            put(&store, "BenchTopic", n % 4, &body);
        }
        store.dispatch();
        let since = Since::now();
        let mut records = 0;
        for queue_id in 0..4 {
            let mut offset = 0;
            loop {
                let get = Get { topic: "BenchTopic", queue_id, offset, max_count: 32, max_bytes: 1 << 20 };
                let got = store.get(&get, &());
                if got.count == 0 {
                    break;
                }
                records += got.count;
                offset = got.next_offset;
            }
        }
        since.tell(&format!("get {size} B in 32s, no two adjacent"), records);
    }
}

fn sync() {
    let dir = directory();
    let store = open(&dir, FlushMode::Sync);
    let one = |body: &[u8]| {
        let start = Instant::now();
        let (sender, receiver) = channel();
        store.when_durable(
            put(&store, "BenchTopic", 0, body),
            Box::new(move |how| sender.send(how).expect("a receiver")),
        );
        receiver.recv().expect("an answer");
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..3_000).map(|_| one(&[b'x'; 1024])).collect();
    times.sort();
    println!("sync, one in flight: p50 {:?}, p99 {:?}", times[1_500], times[2_970]);
    const COUNT: u64 = 400_000;
    let (done, since) = (Arc::new(AtomicU64::new(0)), Since::now());
    for n in 0..COUNT {
        while n - done.load(Ordering::Relaxed) >= 256 {
            std::thread::yield_now();
        }
        let done = done.clone();
        let end = put(&store, "BenchTopic", 0, &[b'x'; 128]);
        let count = move |_| {
            done.fetch_add(1, Ordering::Relaxed);
        };
        store.when_durable(end, Box::new(count));
    }
    while done.load(Ordering::Relaxed) < COUNT {
        std::thread::yield_now();
    }
    since.tell("sync, 256 in flight, 128 B", COUNT as usize);
}

fn many_queues() {
    let dir = directory();
    let store = open(&dir, FlushMode::Async);
    const QUEUES: u64 = 50_000;
    let topics: Vec<String> = (0..QUEUES / 8).map(|n| format!("topic-{n:05}")).collect();
    let (before, mut random) = (resident_kib(), 1_u64);
    for round in 0..4 {
        let since = Since::now();
        for _ in 0..500_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let queue = (random >> 33) % QUEUES;
            put(&store, &topics[(queue / 8) as usize], (queue % 8) as i32, b"small");
            if random >> 60 == 0 {
                store.dispatch();
            }
        }
        store.dispatch();
        since.tell(&format!("50,000 queues in random order, round {round}"), 500_000);
    }
    println!("  {} MiB more resident, the log's pages included", (resident_kib() - before) >> 10);
    let start = Instant::now();
    store.close().expect("an orderly end");
    println!("  close: {:?}", start.elapsed());
    let start = Instant::now();
    drop(open(&dir, FlushMode::Async));
    println!("  open and close: {:?}", start.elapsed());
}

fn recover() {
    let dir = directory();
    let store = open(&dir, FlushMode::Async);
    for n in 0..3_000_000 {
        put(&store, "BenchTopic", n % 8, &[b'x'; 128]);
        if n % 64 == 0 {
            store.dispatch();
        }
    }
    store.close().expect("an orderly end");
    for what in ["after an orderly end", "after a crash, without checkpoint"] {
        let start = Instant::now();
        let store = open(&dir, FlushMode::Async);
        let checked = store.recovery_report().records_checked;
        println!("open {what}: {:?}, {checked} records checked", start.elapsed());
        drop(store);
        std::fs::write(dir.path().join("abort"), "").expect("a marker");
        std::fs::remove_file(dir.path().join("checkpoint")).expect("a checkpoint");
    }
}
