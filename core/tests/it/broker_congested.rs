//! A peer that asks for much and does not read: nothing more is put into its output, and nothing is forgotten.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use ferromq::wire::{Request, ResponseCode};

use crate::net_support::HANG;
use crate::support::{pull, start_server};

/// Waits until nothing more comes in, though much was asked for: what lies between the two ends is full.
fn wait_until_full(stream: &TcpStream) {
    let (mut buffer, mut last, mut since) = (vec![0; 64 << 20], 0, Instant::now());
    let start = Instant::now();
    while last == 0 || since.elapsed() < Duration::from_millis(200) {
        assert!(start.elapsed() < HANG);
        let there = stream.peek(&mut buffer).unwrap();
        if there != last {
            (last, since) = (there, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_pull_that_waits_is_answered_when_its_peer_reads_again() {
    const PULLS: usize = 300;
    let server = start_server("");
    let mut broker = server.broker();
    broker.create_topic("Big", 1);
    broker.create_topic("Idle", 1);
    for _ in 0..3 {
        broker.produce("Big", 0, &[b'x'; 80_000], "").ok();
    }
    let mut slow = server.broker();
    let waiting = slow.send(&Request::PullMessage(pull("G", "Idle", 0, 0, 600_000)));
    for _ in 0..PULLS {
        slow.send(&Request::PullMessage(pull("G", "Big", 0, 0, 0)));
    }
    wait_until_full(&slow.stream);
    // It would be answered now, but there is no room for it. Others are served.
    broker.produce("Idle", 0, b"late", "").ok();
    assert_eq!(broker.pull_all("Idle", 0, 0).len(), 1);
    let (mut others, mut late) = (0, Vec::new());
    while others < PULLS || late.is_empty() {
        let answer = slow.receive();
        assert_eq!(answer.code(), ResponseCode::SUCCESS);
        match answer.frame().opaque == waiting {
            true => late.extend(answer.records()),
            false => others += 1,
        }
    }
    assert_eq!((others, late.len(), late[0].body.as_slice()), (PULLS, 1, b"late".as_slice()));
    // Answered once: the next answer is that to the next request.
    assert_eq!(slow.pull("Idle", 0, 0).ok().records().len(), 1);
}
