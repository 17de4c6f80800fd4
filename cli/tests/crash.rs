//! kill -9 of the server under load, with both flush modes: what was acknowledged is there, whole, at its place, once, and
//! queues and key index agree with the log. 4 rounds of each mode here, 200 of each with FERROMQ_SOAK=1 (`make soak`);
//! FERROMQ_SEED repeats the times of a run.

mod load;
mod server;

use std::path::Path;
use std::time::Duration;

use load::{check, mix, send_until_broken, Acked, Found, ALL, SENDERS, WINDOW};
use server::Server;

/// Rounds after which a store gives way to a new one, so that a round stays short.
const LIFE: u64 = 10;

/// One kill after a while of load; what was acknowledged.
fn round(server: Server, round: u64, after: Duration) -> Vec<Acked> {
    let port = server.port;
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| std::thread::spawn(move || send_until_broken(port, round, sender, WINDOW, || true)))
        .collect();
    std::thread::sleep(after);
    server.kill();
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
        let acked = round(server, number, Duration::from_millis(50 + chance % 600));
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
