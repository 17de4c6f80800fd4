//! What a server makes of bytes that are no frames: it closes that connection, answers what came before, and goes on.

use std::io::Write;

use crate::net_support::*;

/// A frame with this header instead of a sound one.
fn with_header(form: u8, header: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend((4 + header.len() as u32).to_be_bytes());
    frame.extend((header.len() as u32 | u32::from(form) << 24).to_be_bytes());
    frame.extend(header);
    frame
}

fn bad_inputs() -> Vec<(&'static str, Vec<u8>)> {
    let sound = frame(ECHO, 1, 0, b"");
    let mut header_beyond = sound.clone();
    header_beyond[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
    vec![
        ("a length of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
        ("a negative length", vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
        ("the most negative length", vec![0x80, 0, 0, 0]),
        ("a length of 0", vec![0, 0, 0, 0]),
        ("a length of 3", vec![0, 0, 0, 3, 1, 2, 3]),
        ("a length of 16 MiB + 1", (16_777_216u32 - 3).to_be_bytes().to_vec()),
        ("a header longer than the frame", header_beyond),
        ("header type 7", with_header(7, br#"{"code":1}"#)),
        ("header type 255", with_header(255, br#"{"code":1}"#)),
        ("a header that is not UTF-8", with_header(0, b"{\"code\":1,\"remark\":\"\xff\xfe\"}")),
        ("a header that is no JSON", with_header(0, b"code=1")),
        ("half a JSON header", with_header(0, br#"{"code":1,"#)),
        ("half a binary header", with_header(1, &[0, 1, 0])),
        ("a binary header with a remark of 2 GiB", {
            let mut header = vec![0; 13];
            header.extend([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
            with_header(1, &header)
        }),
        ("a TLS handshake", vec![0x16, 3, 1, 2, 0, 1, 0, 1]),
        ("a PROXY preamble", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec()),
        ("a PROXY v2 preamble", b"\r\n\r\n\0\r\nQUIT\n".to_vec()),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ]
}

#[test]
fn each_kind_closes_its_connection_only() {
    let server = start();
    let mut bystander = server.raw();
    for (what, bytes) in bad_inputs() {
        let mut peer = server.raw();
        let mut sent = frame(ECHO, 5, 0, b"before");
        sent.extend(&bytes);
        peer.send(&sent);
        assert_eq!(peer.next().expect(what).body, b"before", "{what}");
        assert!(peer.is_closed(), "{what}");
        assert_eq!(bystander.ask(ECHO, 6, b"fine"), b"fine", "{what}");
    }
    drop(bystander);
    eventually("no connection is left", || server.server.connections() == 0);
}

#[test]
fn the_frame_limit_is_a_setting() {
    let server = with_limits(|limits| limits.frame = 1000);
    let fixed = frame(ECHO, 1, 0, b"").len();
    let mut peer = server.raw();
    assert_eq!(peer.ask(ECHO, 1, &pattern(1000 - fixed)), pattern(1000 - fixed));
    peer.send(&frame(ECHO, 1, 0, &pattern(1000 - fixed + 1)));
    assert!(peer.is_closed());
}

#[test]
fn random_bytes_do_no_harm() {
    let server = start();
    let mut random = Random(0x5eed);
    for round in 0..200 {
        let mut peer = server.raw();
        let length = 1 + random.below(5000);
        let mut bytes = random.bytes(length);
        match round % 4 {
            // Nothing but noise, or noise behind a length that is possible.
            0 => {}
            1 => bytes.splice(0..0, (bytes.len() as u32).to_be_bytes()).for_each(drop),
            2 => bytes = with_header(0, &bytes),
            _ => bytes = with_header(1, &bytes),
        }
        // The server may close while this is being written.
        let _ = peer.stream.write_all(&bytes);
        let _ = peer.stream.shutdown(std::net::Shutdown::Write);
        while peer.next().is_some() {}
    }
    assert_eq!(server.raw().ask(ECHO, 1, b"well"), b"well");
    eventually("no connection is left", || server.server.connections() == 0);
}

#[test]
fn sound_frames_with_one_bit_flipped_do_no_harm() {
    let server = start();
    for make in [frame, binary_frame] {
        let sound = make(ECHO, 1, 0, b"body");
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut peer = server.raw();
            let _ = peer.stream.write_all(&bytes);
            let _ = peer.stream.shutdown(std::net::Shutdown::Write);
            while peer.next().is_some() {}
        }
    }
    assert_eq!(server.raw().ask(ECHO, 1, b"well"), b"well");
}

#[test]
fn half_a_frame_and_then_nothing_leaves_nothing_behind() {
    let server = start();
    let whole = frame(ECHO, 1, 0, &pattern(300_000));
    for cut in [1, 3, 4, 5, 8, 30, 1000, 70_000, 200_000, whole.len() - 1] {
        server.raw().send(&whole[..cut]);
    }
    eventually("no connection is left", || server.server.connections() == 0);
    assert_eq!(server.raw().ask(ECHO, 1, b"well"), b"well");
}

#[test]
fn responses_that_nobody_waits_for_are_dropped() {
    let server = start();
    let mut peer = server.raw();
    for opaque in [0, -1, i32::MAX] {
        peer.send(&frame(0, opaque, 1, b"unasked"));
    }
    assert_eq!(peer.ask(ECHO, 1, b"well"), b"well");
}
