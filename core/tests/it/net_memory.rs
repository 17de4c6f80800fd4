//! The memory of all connections of a server together: bounded, and nobody waits for ever because of it.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::logs;
use crate::net_support::*;

const LIMIT: usize = 4 << 20;
const BODY: usize = 1 << 20;
const MOST: usize = BODY * 9 / 10;
const PEERS: usize = 30;
/// The reads that are under way when the limit is reached, on two loops, and what is not counted.
const SLACK: usize = 1 << 20;

fn small_memory(patience: Duration) -> TestServer {
    start_with(|options| {
        options.max_memory = LIMIT;
        options.memory_patience = patience;
    })
}

/// Looks at the memory all the time, until it is stopped; returns the most that was seen.
fn watch(server: &Arc<TestServer>, stop: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (server, stop) = (server.clone(), stop.clone());
    std::thread::spawn(move || {
        let mut most = 0;
        while !stop.load(Ordering::SeqCst) {
            most = most.max(server.server.memory_used());
            std::thread::sleep(Duration::from_micros(100));
        }
        most
    })
}

#[test]
fn many_half_received_frames_stay_within_the_limit_and_all_are_answered() {
    let server = Arc::new(small_memory(HANG));
    let stop = Arc::new(AtomicBool::new(false));
    let most = watch(&server, &stop);
    let (rest_may_come, most_is_sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let senders: Vec<JoinHandle<()>> = (0..PEERS as i32)
        .map(|number| {
            let mut peer = server.raw();
            let (may, sent) = (rest_may_come.clone(), most_is_sent.clone());
            std::thread::spawn(move || {
                let body = pattern(BODY + number as usize);
                let frame = frame(ECHO, number, 0, &body);
                peer.send(&frame[..MOST]);
                sent.fetch_add(1, Ordering::SeqCst);
                eventually("the rest may come", || may.load(Ordering::SeqCst));
                peer.send(&frame[MOST..]);
                assert!(peer.next().unwrap().body == body);
                // And once more on the same connection.
                assert_eq!(peer.ask(ECHO, 1, b"again"), b"again");
            })
        })
        .collect();
    eventually("memory is short", || server.server.memory_used() > LIMIT);
    let mut bystander = server.raw();
    for opaque in 0..100 {
        assert_eq!(bystander.ask(ECHO, opaque, &[7; 1000]), [7; 1000]);
    }
    rest_may_come.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    eventually("all is given back", || server.server.memory_used() == 0);
    stop.store(true, Ordering::SeqCst);
    let most = most.join().unwrap();
    assert!((LIMIT..LIMIT + 2 * BODY + SLACK).contains(&most), "{most}");
    assert_eq!(bystander.ask(ECHO, 1, &pattern(BODY)).len(), BODY);
}

#[test]
fn who_announces_much_and_stops_makes_room_for_those_who_go_on() {
    logs::listen();
    let server = small_memory(Duration::from_millis(200));
    let stalled: Vec<Raw> = (0..PEERS)
        .map(|_| {
            let mut peer = server.raw();
            let frame = frame(ECHO, 1, 0, &pattern(BODY));
            peer.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            // It is closed while this is being written, or not read on.
            let _ = peer.stream.write_all(&frame[..MOST]);
            peer
        })
        .collect();
    for round in 0..5 {
        assert_eq!(server.raw().ask(ECHO, round, &pattern(BODY)), pattern(BODY));
    }
    let limit = format!("the limit is {LIMIT}");
    eventually("the log says who and why", || {
        logs::said(&["closing the connection with 127.0.0.1", "does not come", &limit]) > 0
    });
    drop(stalled);
    eventually("all is given back", || server.server.memory_used() == 0);
}

#[test]
fn who_never_reads_is_closed_when_memory_is_short_and_the_others_are_served() {
    logs::listen();
    let server = small_memory(Duration::from_millis(200));
    let ask = frame(BIG, 1, 0, b"3000000,0");
    let mut silent: Vec<Raw> = (0..PEERS)
        .map(|_| {
            let mut peer = server.raw();
            for _ in 0..8 {
                peer.send(&ask);
            }
            peer
        })
        .collect();
    let mut bystander = server.raw();
    for opaque in 0..20 {
        assert_eq!(bystander.ask(ECHO, opaque, b"small"), b"small");
    }
    assert_eq!(bystander.ask(ECHO, 1, &pattern(BODY)), pattern(BODY));
    let limit = format!("the limit is {LIMIT}");
    eventually("the log says who and why", || {
        logs::said(&["closing the connection with 127.0.0.1", "does not read", &limit]) > 0
    });
    eventually("no more than the limit is held", || server.server.memory_used() <= LIMIT);
    assert_eq!(bystander.ask(ECHO, 1, &pattern(BODY)), pattern(BODY));
    // Those that are left get what they asked for, as soon as they read.
    silent
        .retain_mut(|peer| (0..8).all(|_| peer.next().is_some_and(|answer| answer.body.len() == 3_000_000)));
    drop(silent);
    eventually("all is given back", || server.server.memory_used() == 0);
}

#[test]
fn slow_readers_that_go_on_get_everything() {
    let server = Arc::new(small_memory(HANG));
    let stop = Arc::new(AtomicBool::new(false));
    let most = watch(&server, &stop);
    let ask = frame(BIG, 1, 0, b"300000,0");
    let peers: Vec<Raw> = (0..PEERS)
        .map(|_| {
            let mut peer = server.raw();
            for _ in 0..50 {
                peer.send(&ask);
            }
            peer
        })
        .collect();
    eventually("memory is short", || server.server.memory_used() > LIMIT);
    let readers: Vec<JoinHandle<()>> = peers
        .into_iter()
        .map(|mut peer| {
            std::thread::spawn(move || {
                let expected = pattern(300_000);
                for _ in 0..50 {
                    assert!(peer.next().unwrap().body == expected);
                }
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    eventually("all is given back", || server.server.memory_used() == 0);
    stop.store(true, Ordering::SeqCst);
    // Each has at most one answer more than it would have had.
    let most = most.join().unwrap();
    assert!(most < LIMIT + PEERS * 300_000 + SLACK, "{most}");
}

#[test]
fn a_frame_larger_than_the_limit_of_all_comes_through() {
    let server = start_with(|options| options.max_memory = 100_000);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let mut peer = server.raw();
                for size in [5_000, 50_000, BODY] {
                    assert!(peer.ask(ECHO, number, &pattern(size)) == pattern(size));
                }
            });
        }
    });
    eventually("all is given back", || server.server.memory_used() == 0);
}

#[test]
fn a_server_stops_while_connections_wait_for_memory() {
    let server = small_memory(HANG);
    let peers: Vec<Raw> = (0..PEERS)
        .map(|_| {
            let mut peer = server.raw();
            let frame = frame(ECHO, 1, 0, &pattern(BODY));
            peer.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            let _ = peer.stream.write_all(&frame[..MOST]);
            peer
        })
        .collect();
    eventually("memory is short", || server.server.memory_used() > LIMIT);
    assert!(server.server.shutdown(HANG));
    assert_eq!(server.server.memory_used(), 0);
    drop(peers);
}
