//! What encrypted connections make of bytes that are no handshake, or half of one: they end that connection and nothing else.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use crate::logs;
use crate::net_support::*;
use crate::net_tls::{ask, client, foreign, plain_client, usual};
use crate::tls_support::*;

/// The first bytes that a sound client sends.
fn client_hello(ca: &Ca) -> Vec<u8> {
    let (mut near, mut far) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = foreign(ca, listener.local_addr().unwrap().port());
        (near, listener.accept().unwrap().0)
    };
    while near.conn.wants_write() {
        near.conn.write_tls(&mut near.sock).unwrap();
    }
    near.sock.shutdown(std::net::Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    far.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn bad_input_closes_its_connection_only() {
    logs::listen();
    let (ca, server) = usual();
    let bystander = client(client_settings(Some(&ca.cert())));
    ask(&bystander, &server, b"x").unwrap();
    let mut random = Random(0x715);
    let mut inputs = vec![
        vec![0x16],
        vec![0x16, 3, 1, 0xff, 0xff],
        vec![0x16, 3, 1, 0, 0],
        vec![0x16, 3, 3, 0x40, 0x01, 1, 0xff, 0xff, 0xff],
        vec![0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        vec![0x16, 0, 0, 0, 0, 0, 0, 0],
        // The length of a frame that begins like a handshake.
        frame(ECHO, 1, 0, b"")
            .iter()
            .enumerate()
            .map(|(at, byte)| if at == 0 { 0x16 } else { *byte })
            .collect(),
    ];
    for length in [5, 100, 5_000, 200_000] {
        let mut bytes = random.bytes(length);
        bytes[0] = 0x16;
        inputs.push(bytes.clone());
        bytes[..5].copy_from_slice(&[0x16, 3, 1, 0x3f, 0xff]);
        inputs.push(bytes);
    }
    for bytes in inputs {
        let mut peer = server.raw();
        // The server may close while this is being written.
        let _ = peer.stream.write_all(&bytes);
        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = peer.stream.read_to_end(&mut answer);
        // At most an alert.
        assert!(answer.len() < 100, "{} bytes", answer.len());
    }
    assert_eq!(ask(&bystander, &server, b"fine").unwrap(), b"fine");
    eventually("only the bystander is left", || server.server.connections() == 1);
    assert_eq!(server.service.connected.load(Ordering::SeqCst), 1);
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_handshake_does_no_harm() {
    let (ca, server) = usual();
    let hello = client_hello(&ca);
    for at in 0..hello.len() {
        let mut flipped = hello.clone();
        flipped[at] ^= 1 << (at % 8);
        for bytes in [&hello[..at], &flipped[..]] {
            let mut peer = server.raw();
            let _ = peer.stream.write_all(bytes);
            let _ = peer.stream.shutdown(std::net::Shutdown::Write);
            let _ = peer.stream.read_to_end(&mut Vec::new());
        }
    }
    assert_eq!(ask(&client(client_settings(Some(&ca.cert()))), &server, b"well").unwrap(), b"well");
    eventually("no connection is left", || server.server.connections() <= 1);
}

#[test]
fn garbage_in_an_encrypted_stream_ends_it() {
    let (ca, server) = usual();
    // Behind the handshake: no record, a record too large, a record that cannot be decrypted, a second handshake.
    for garbage in [
        &b"garbage garbage"[..],
        &[0x17, 3, 3, 0xff, 0xff],
        &[0x17, 3, 3, 0, 20, 1, 2, 3],
        &client_hello(&ca),
    ] {
        let mut peer = foreign(&ca, server.server.port());
        peer.write_all(&frame(ECHO, 1, 0, b"x")).unwrap();
        peer.read_exact(&mut [0; 4]).unwrap();
        peer.sock.write_all(garbage).unwrap();
        peer.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = peer.sock.read_to_end(&mut Vec::new());
        // Encrypted, but no frame.
        let mut peer = foreign(&ca, server.server.port());
        peer.write_all(&[0xff; 100]).unwrap();
        assert!(matches!(peer.read(&mut [0; 10]), Ok(0) | Err(_)));
    }
    assert_eq!(ask(&client(client_settings(Some(&ca.cert()))), &server, b"well").unwrap(), b"well");
    eventually("no connection is left", || server.server.connections() <= 1);
}

#[test]
fn many_half_open_handshakes_hold_nobody_up() {
    let (ca, server) = usual();
    let hello = client_hello(&ca);
    let half_open: Vec<Raw> = (0..300)
        .map(|count| {
            let mut peer = server.raw();
            peer.send(&hello[..1 + count % hello.len()]);
            peer
        })
        .collect();
    let client = client(client_settings(Some(&ca.cert())));
    assert_eq!(ask(&client, &server, b"fine").unwrap(), b"fine");
    assert_eq!(ask(&plain_client(), &server, b"fine").unwrap(), b"fine");
    drop(half_open);
    eventually("they are gone", || server.server.connections() <= 2);
}

#[test]
fn half_handshakes_count_as_memory_and_are_refused_when_it_is_short() {
    const LIMIT: usize = 100_000;
    logs::listen();
    let ca = Ca::new("usual");
    let server = start_with(|options| {
        options.tls = server_tls(server_settings(Some(&ca.signs("server", Like::default()))));
        options.max_memory = LIMIT;
    });
    let half_open: Vec<Raw> = (0..20)
        .map(|_| {
            let mut peer = server.raw();
            // A record of 16000 bytes, and a first message that fills it.
            let mut bytes = vec![0x16, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c];
            bytes.resize(12_000, 0);
            // It may be closed while this is being written.
            let _ = peer.stream.write_all(&bytes);
            peer
        })
        .collect();
    eventually("it counts", || server.server.memory_used() > LIMIT / 2);
    eventually("the log says why", || logs::said(&["first message is long, and memory is short"]) > 0);
    assert!(server.server.memory_used() < LIMIT + 20_000);
    assert_eq!(ask(&client(client_settings(Some(&ca.cert()))), &server, b"fine").unwrap(), b"fine");
    drop(half_open);
    eventually("all is given back", || server.server.memory_used() == 0);
}

#[test]
fn a_handshake_that_does_not_go_on_is_given_up() {
    logs::listen();
    let (ca, server) = usual();
    let hello = client_hello(&ca);
    let mut slow = server.raw();
    slow.send(&hello[..hello.len() / 2]);
    let mut silent = server.raw();
    silent.send(&hello);
    for mut peer in [slow, silent] {
        peer.stream.read_to_end(&mut Vec::new()).unwrap();
    }
    eventually("the log says why", || logs::said(&["no handshake within"]) > 0);
    eventually("they are gone", || server.server.connections() == 0);
    assert_eq!(server.service.connected.load(Ordering::SeqCst), 0);
}

#[test]
fn who_never_goes_on_holds_up_nobody_however_many_they_are() {
    let (ca, server) = usual();
    let hello = client_hello(&ca);
    // More than handshakes are under way at a time.
    let silent: Vec<Raw> = (0..1100)
        .map(|count| {
            let mut peer = server.raw();
            peer.send(&hello[..1 + count % (hello.len() - 1)]);
            peer
        })
        .collect();
    let client = client(client_settings(Some(&ca.cert())));
    assert_eq!(ask(&client, &server, b"fine").unwrap(), b"fine");
    drop(silent);
}
