//! kill -9 of the server under load, with both flush modes: what was acknowledged is there, whole, at its place, once, and
//! queues and key index agree with the log. 4 rounds of each mode here, 200 of each with FERROMQ_SOAK=1 (`make soak`);
//! FERROMQ_SEED repeats the times of a run.

mod load;
mod server;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::{check, mix, send_until_broken, Acked, Found, ALL, SENDERS, WINDOW};
use server::Server;

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
const HANG: Duration = Duration::from_secs(300);
/// Rounds after which a store gives way to a new one, so that a round stays short.
const LIFE: u64 = 10;

/// Load until so many are acknowledged and for a while on, until the server is ended; what was acknowledged.
fn round(
    server: Server,
    round: u64,
    (least, after): (usize, Duration),
    end: impl FnOnce(Server),
) -> Vec<Acked> {
    let (port, count) = (server.port, Arc::new(AtomicUsize::new(0)));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let count = count.clone();
            let seen = move |_| count.fetch_add(1, Ordering::Relaxed) < usize::MAX;
            std::thread::spawn(move || send_until_broken(port, round, sender, WINDOW, seen))
        })
        .collect();
    let start = Instant::now();
    while count.load(Ordering::Relaxed) < least {
        assert!(start.elapsed() < HANG, "{count:?} of {least} messages are acknowledged");
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(after);
    end(server);
    senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends with its connection")).collect()
}

/// Settings for files that roll over soon. Every second store writes queues, index and checkpoint all the time.
fn settings(flush: &str, eager: bool) -> String {
    let eager = match eager {
        true => "flushIntervalConsumeQueue=20\nflushConsumeQueueThoroughInterval=100\n",
        false => "",
    };
    format!(
        "flushDiskType={flush}\nmappedFileSizeCommitLog=1048576\nmaxHashSlotNum=5000\nmaxIndexNum=20000\n\
         mappedFileSizeConsumeQueue=20000\n{eager}"
    )
}

fn killed_again_and_again(flush: &str) {
    let rounds = if std::env::var_os("FERROMQ_SOAK").is_some() { 200 } else { 4 };
    let given = std::env::var("FERROMQ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{flush}: {rounds} rounds, FERROMQ_SEED={seed}");
    let (mut dir, mut all, mut total, mut most) =
        (tempfile::tempdir().unwrap(), Vec::new(), 0, Found::default());
    let again = |dir: &Path, all: &[Acked]| {
        let server = Server::start(&dir.join("data"), &dir.join("broker.conf"));
        let found = check(server.port, all).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(found.twice, 0, "messages that are there twice, of {found:?}");
        (server, found)
    };
    for number in 0..rounds {
        if number % LIFE == 0 {
            (dir, all) = (tempfile::tempdir().unwrap(), Vec::new());
        }
        let eager = number / LIFE % 2 == 1 || rounds < LIFE && number >= rounds / 2;
        std::fs::write(dir.path().join("broker.conf"), settings(flush, eager)).unwrap();
        let (server, _) = again(dir.path(), &all);
        let chance = mix(seed ^ number << 32);
        // No queue is empty after the first round.
        let least = if number % LIFE == 0 { 3 * ALL } else { 0 };
        let load = (least, Duration::from_millis(50 + chance % 600));
        let acked = round(server, number, load, Server::kill);
        total += acked.len();
        all.extend(acked);
        if chance >> 32 & 3 == 0 {
            // Another one while it recovers, or soon after.
            Server::kill_while_starting(
                &dir.path().join("data"),
                &dir.path().join("broker.conf"),
                chance >> 40 & 63,
            );
        }
        let (server, found) = again(dir.path(), &all);
        server.kill();
        most = if found.messages > most.messages { found } else { most };
    }
    assert!(total > 0, "something was acknowledged");
    assert!(most.queues > ALL * 9 / 10, "all queues were meant to be used: {most:?}");
    assert!(most.fullest > 10 * most.messages / most.queues, "meant to be filled unevenly: {most:?}");
    println!("{flush}: {total} acknowledged messages, all there, none twice; the largest store: {most:?}");
}

#[test]
fn nothing_acknowledged_under_sync_flush_is_lost_by_kill_9() {
    killed_again_and_again("SYNC_FLUSH");
}

#[test]
fn nothing_acknowledged_under_async_flush_is_lost_by_kill_9() {
    killed_again_and_again("ASYNC_FLUSH");
}

type Inflict = fn(&Path);

/// What becomes of the checkpoint between two lives of a server.
const DAMAGES: [(&str, Inflict); 4] = [
    ("gone", |checkpoint| std::fs::remove_file(checkpoint).unwrap()),
    ("garbage", |checkpoint| std::fs::write(checkpoint, [0xA5; 4096]).unwrap()),
    ("short", |checkpoint| std::fs::write(checkpoint, [0; 10]).unwrap()),
    ("of the future", |checkpoint| {
        let times = [i64::MAX / 2; 5].map(i64::to_be_bytes).concat();
        std::fs::write(checkpoint, [times, vec![0; 4056]].concat()).unwrap();
    }),
];

/// The first three numbers of a checkpoint: store times, ms, up to which log, queues and index are on disk.
fn times(checkpoint: &Path) -> [i64; 3] {
    let bytes = std::fs::read(checkpoint).unwrap();
    assert_eq!(bytes.len(), 4096);
    [0, 8, 16].map(|at| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()))
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_millis() as i64
}

#[test]
fn how_it_ended_is_seen_at_the_next_start_and_a_damaged_checkpoint_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, conf, log) = (dir.path().join("data"), dir.path().join("broker.conf"), dir.path().join("log"));
    std::fs::write(&conf, settings("ASYNC_FLUSH", true)).unwrap();
    let (mut all, mut store, mut number) = (Vec::new(), None, 0);
    let begin = now_ms();
    for (damage, inflict) in DAMAGES {
        for (end, clean) in [(Server::terminate as fn(Server), true), (Server::kill, false)] {
            let server = Server::start_with_log(&data, &conf, &log);
            check(server.port, &all).unwrap_or_else(|why| panic!("checkpoint {damage}: {why}"));
            all.extend(round(server, number, (200, Duration::from_millis(100)), end));
            number += 1;
            let store = store.get_or_insert_with(|| store_in(&data));
            assert_eq!(store.join("abort").exists(), !clean, "the marker of a store in use");
            if clean {
                let [log, queues, index] = times(&store.join("checkpoint"));
                assert!([log, queues].iter().all(|time| (begin..=now_ms()).contains(time)), "{log} {queues}");
                // None until a file of the index is full.
                assert!(index == 0 || (begin..=now_ms()).contains(&index), "{index}");
            }
            inflict(&store.join("checkpoint"));
            let server = Server::start_with_log(&data, &conf, &log);
            let told = std::fs::read_to_string(&log).unwrap();
            let recovered = told.lines().find(|line| line.contains("store recovered"));
            let recovered = recovered.unwrap_or_else(|| panic!("no word of what was found: {told}"));
            assert!(recovered.contains(&format!("clean={clean}")), "{recovered}");
            check(server.port, &all).unwrap_or_else(|why| panic!("checkpoint {damage}: {why}"));
            server.terminate();
        }
    }
}

/// The directory with the commit log in it.
fn store_in(data: &Path) -> std::path::PathBuf {
    let found = [data.to_owned(), data.join("store")].into_iter().find(|dir| dir.join("commitlog").is_dir());
    found.expect("a commit log")
}
