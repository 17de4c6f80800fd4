//! What a server owes its peers: every request answered, in whatever order, within bounded memory.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::net_support::*;

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let server = start();
    let mut peer = server.raw();
    let mut bytes = Vec::new();
    for opaque in 0..5000 {
        bytes.extend(frame(ECHO, opaque, 0, &opaque.to_be_bytes()));
    }
    let mut writer = peer.stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    for opaque in 0..5000i32 {
        let answer = peer.next().unwrap();
        assert_eq!((answer.opaque, answer.flag), (opaque, 1));
        assert_eq!(answer.body, opaque.to_be_bytes());
    }
    writing.join().unwrap();
    let drained = server.service.drained.load(Ordering::SeqCst);
    assert!((1..=5000).contains(&drained), "{drained} batches");
}

#[test]
fn parked_requests_are_answered_when_they_are_ready_and_hold_up_nobody() {
    let server = start();
    let mut peer = server.raw();
    for opaque in 0..100 {
        peer.send(&frame(PARK, opaque, 0, &[opaque as u8]));
    }
    assert_eq!(peer.ask(ECHO, 100, b"not held up"), b"not held up");
    assert_eq!(server.service.release(), 100);
    for opaque in (0..100).rev() {
        let answer = peer.next().unwrap();
        assert_eq!((answer.opaque, answer.body), (opaque, vec![opaque as u8]));
    }
}

#[test]
fn tickets_answered_by_many_threads_lose_nothing() {
    let server = start();
    let mut peer = server.raw();
    let mut open = std::collections::HashSet::new();
    for opaque in 0..500 {
        peer.send(&frame(LATER, opaque, 0, &opaque.to_be_bytes()));
        open.insert(opaque);
    }
    while !open.is_empty() {
        let answer = peer.next().unwrap();
        assert_eq!(answer.body, answer.opaque.to_be_bytes());
        assert!(open.remove(&answer.opaque), "answered twice: {}", answer.opaque);
    }
    assert_eq!(peer.ask(ECHO, 1, b"on it goes"), b"on it goes");
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let server = start();
    for make in [frame, binary_frame] {
        let mut peer = server.raw();
        for byte in make(ECHO, 7, 0, b"slowly") {
            peer.send(&[byte]);
        }
        let answer = peer.next().unwrap();
        assert_eq!((answer.opaque, answer.body.as_slice()), (7, b"slowly".as_slice()));
    }
}

#[test]
fn a_request_is_answered_in_its_own_encoding() {
    let server = start();
    let mut peer = server.raw();
    for (make, form) in [(frame as fn(i32, i32, i32, &[u8]) -> Vec<u8>, 0), (binary_frame, 1)] {
        peer.send(&make(ECHO, 1, 0, b""));
        let mut head = [0; 8];
        std::io::Read::read_exact(&mut peer.stream, &mut head).unwrap();
        assert_eq!(head[4], form);
        let mut rest = vec![0; u32::from_be_bytes(head[..4].try_into().unwrap()) as usize - 4];
        std::io::Read::read_exact(&mut peer.stream, &mut rest).unwrap();
    }
}

#[test]
fn oneway_requests_are_handled_and_never_answered() {
    let server = start();
    let mut peer = server.raw();
    peer.send(&frame(ECHO, 1, 2, b"x")).send(&frame(PARK, 2, 2, b"x")).send(&frame(LATER, 3, 2, b"x"));
    assert_eq!(peer.ask(ECHO, 4, b"only this"), b"only this");
    assert_eq!(server.service.release(), 1);
    assert_eq!(peer.ask(ECHO, 5, b"and this"), b"and this");
    assert_eq!(server.service.handled.load(Ordering::SeqCst), 5);
}

#[test]
fn bodies_of_all_sizes_arrive_whole() {
    let server = start();
    let mut peer = server.raw();
    for (size, chunk) in [
        (0, 0),
        (1, 0),
        (65_535, 0),
        (65_536, 0),
        (5_000_000, 0),
        (100_000, 1000),
        (3_000_000, 65_536),
        (3_000_000, 40_000),
        (9_000_000, 70_000),
    ] {
        let body = peer.ask(BIG, 1, format!("{size},{chunk}").as_bytes());
        assert!(body == pattern(size), "{size} in chunks of {chunk}: {} came", body.len());
    }
    let body = pattern(16_000_000);
    assert!(peer.ask(ECHO, 2, &body) == body);
}

#[test]
fn mixed_sizes_pipelined_keep_their_order() {
    let server = start();
    let mut peer = server.raw();
    let mut random = Random(42);
    let sizes: Vec<(usize, usize)> =
        (0..200).map(|_| (random.below(300_000), [0, 1000, 65_536, 100_000][random.below(4)])).collect();
    let mut writer = peer.stream.try_clone().unwrap();
    let requests: Vec<u8> = sizes
        .iter()
        .zip(0..)
        .flat_map(|((size, chunk), opaque)| frame(BIG, opaque, 0, format!("{size},{chunk}").as_bytes()))
        .collect();
    let writing = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    for ((size, _), opaque) in sizes.iter().zip(0..) {
        let answer = peer.next().unwrap();
        assert_eq!(answer.opaque, opaque);
        assert!(answer.body == pattern(*size));
    }
    writing.join().unwrap();
}

#[test]
fn a_peer_that_does_not_read_is_not_served_beyond_the_bound() {
    let server = with_limits(|limits| limits.output = 1 << 20);
    let mut peer = server.raw();
    const REQUESTS: i32 = 400;
    for opaque in 0..REQUESTS {
        peer.send(&frame(BIG, opaque, 0, b"200000,0"));
    }
    eventually("the bound is reached", || {
        server.service.last.lock().as_ref().is_some_and(|connection| connection.is_congested())
    });
    // Another connection of the same server, on either loop, is served meanwhile.
    for _ in 0..4 {
        assert_eq!(server.raw().ask(ECHO, 1, b"me"), b"me");
    }
    let connection = server.service.last.lock().clone().unwrap();
    assert!(connection.queued_bytes() <= (1 << 20) + 300_000);
    assert!(server.service.handled.load(Ordering::SeqCst) < REQUESTS as usize);
    for opaque in 0..REQUESTS {
        let answer = peer.next().unwrap();
        assert_eq!((answer.opaque, answer.body.len()), (opaque, 200_000));
    }
}

#[test]
fn parked_requests_are_bounded_and_all_answered_in_the_end() {
    let server = with_limits(|limits| limits.parked = 10);
    let mut peer = server.raw();
    for opaque in 0..95 {
        peer.send(&frame(PARK, opaque, 0, b""));
    }
    let mut answered = 0;
    while answered < 95 {
        let expected = 10.min(95 - answered);
        eventually("as many are parked as may be", || server.service.parked() == expected);
        assert!(server.service.handled.load(Ordering::SeqCst) <= answered + 10);
        answered += server.service.release();
    }
    for _ in 0..95 {
        assert_eq!(peer.next().unwrap().flag, 1);
    }
}

#[test]
fn a_peer_over_the_ceiling_is_cut() {
    let server = with_limits(|limits| limits.output_ceiling = 8 << 20);
    let mut peer = server.raw();
    let body = vec![7; 100_000];
    for opaque in 0..400 {
        peer.send(&frame(PARK, opaque, 0, &body));
    }
    eventually("all are parked", || server.service.parked() == 400);
    server.service.release();
    eventually("the connection is closed", || server.server.connections() == 0);
    while peer.next().is_some() {}
    assert_eq!(server.raw().ask(ECHO, 1, b"next"), b"next");
}

#[test]
fn an_idle_connection_is_closed() {
    let server = with_limits(|limits| limits.idle = Duration::from_secs(2));
    let (mut silent, mut spoke) = (server.raw(), server.raw());
    assert_eq!(spoke.ask(ECHO, 1, b"x"), b"x");
    spoke.send(&frame(ECHO, 1, 0, b"never finished")[..20]);
    assert!(silent.is_closed());
    assert!(spoke.is_closed());
    eventually("both are told", || server.service.closed.load(Ordering::SeqCst) == 2);
    eventually("both places are free", || server.server.connections() == 0);
}

#[test]
fn a_connection_over_the_limit_is_closed_and_the_next_is_welcome() {
    let server = start_with(|options| options.max_connections = 2);
    let mut peers: Vec<Raw> = (0..2).map(|_| server.raw()).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask(ECHO, 1, b"in"), b"in");
    }
    assert!(server.raw().is_closed());
    assert_eq!(peers[1].ask(ECHO, 1, b"still in"), b"still in");
    peers.pop();
    eventually("the place is free", || server.server.connections() == 1);
    assert_eq!(server.raw().ask(ECHO, 1, b"in again"), b"in again");
}

#[test]
fn the_vip_port_lies_two_below_and_is_known_as_such() {
    let server = start_with(|options| options.vip = true);
    assert_eq!(server.server.vip_port(), Some(server.server.port() - 2));
    assert_eq!(server.raw().ask(WHICH, 1, b""), b"main");
    assert_eq!(Raw::connect(server.server.port() - 2).ask(WHICH, 1, b""), b"vip");
}

#[test]
fn shutdown_answers_what_is_in_flight_and_then_closes() {
    let server = start();
    let mut peer = server.raw();
    for opaque in 0..20 {
        peer.send(&frame(PARK, opaque, 0, b"in flight"));
    }
    eventually("all are parked", || server.service.parked() == 20);
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.server.shutdown(HANG));
        eventually("nobody is let in", || TcpStream::connect(("127.0.0.1", server.server.port())).is_err());
        peer.send(&frame(ECHO, 99, 0, b"too late"));
        server.service.release();
        for _ in 0..20 {
            assert_eq!(peer.next().unwrap().body, b"in flight");
        }
        assert!(peer.is_closed());
        assert!(stopping.join().unwrap(), "all was answered");
    });
    assert_eq!(server.server.connections(), 0);
    let (connected, closed) = (&server.service.connected, &server.service.closed);
    assert_eq!(connected.load(Ordering::SeqCst), closed.load(Ordering::SeqCst));
}

#[test]
fn shutdown_does_not_wait_beyond_its_deadline() {
    let server = start();
    let mut peer = server.raw();
    peer.send(&frame(PARK, 1, 0, b"forgotten"));
    eventually("it is parked", || server.service.parked() == 1);
    assert!(!server.server.shutdown(Duration::from_millis(100)));
    assert!(peer.is_closed());
    // A ticket that outlives its connection does no harm.
    assert_eq!(server.service.release(), 1);
    assert!(server.server.shutdown(Duration::ZERO), "a second shutdown finds nothing to do");
}

#[test]
fn a_port_is_free_again_after_shutdown() {
    let first = start();
    let port = first.server.port();
    first.raw().ask(ECHO, 1, b"");
    first.server.shutdown(HANG);
    let second = start_with(|options| options.port = port);
    assert_eq!(second.raw().ask(ECHO, 1, b"again"), b"again");
}

#[test]
fn dropping_a_server_closes_its_connections() {
    let server = start();
    let mut peer = server.raw();
    peer.ask(ECHO, 1, b"");
    let service = server.service.clone();
    drop(server);
    assert!(peer.is_closed());
    eventually("the service is told", || service.closed.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_panic_in_the_service_costs_one_connection() {
    let server = start();
    let (mut unlucky, mut other) = (server.raw(), server.raw());
    other.ask(ECHO, 1, b"");
    unlucky.send(&frame(PANIC, 1, 0, b""));
    assert!(unlucky.is_closed());
    assert_eq!(other.ask(ECHO, 2, b"alive"), b"alive");
    for _ in 0..4 {
        assert_eq!(server.raw().ask(ECHO, 1, b"both loops live"), b"both loops live");
    }
    eventually("the place is free", || {
        server.server.connections() <= 1 || server.raw().ask(ECHO, 1, b"").is_empty()
    });
    eventually("the service is told", || server.service.closed.load(Ordering::SeqCst) >= 1);
}

#[test]
fn many_connections_at_once() {
    let server = start();
    let mut peers: Vec<Raw> = (0..200).map(|_| server.raw()).collect();
    for (peer, opaque) in peers.iter_mut().zip(0..) {
        peer.send(&frame(ECHO, opaque, 0, &pattern(opaque as usize * 100)));
    }
    for (peer, opaque) in peers.iter_mut().zip(0..) {
        let answer = peer.next().unwrap();
        assert_eq!(answer.opaque, opaque);
        assert!(answer.body == pattern(opaque as usize * 100));
    }
    drop(peers);
    eventually("all are gone", || server.server.connections() == 0);
    assert_eq!(server.service.connected.load(Ordering::SeqCst), server.service.closed.load(Ordering::SeqCst));
}
