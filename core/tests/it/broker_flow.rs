//! What a broker takes on at a time, and what it says beyond that.

use ferromq::wire::{Request, ResponseCode};

use crate::support::{message, pull, start_server};

#[test]
fn sends_beyond_what_may_wait_for_the_disk_are_refused_with_the_figures() {
    let server = start_server("flushDiskType=SYNC_FLUSH\nsendThreadPoolQueueCapacity=4");
    let mut client = server.broker();
    client.create_topic("Busy", 1);
    let (mut stored, mut refused) = (Vec::new(), 0);
    // A flush takes longer than the handling of the next frames; should a disk ever be faster, there are more rounds.
    for round in 0..50u32 {
        let bodies: Vec<Vec<u8>> =
            (0..200u32).map(|n| [round.to_be_bytes(), n.to_be_bytes()].concat()).collect();
        let sent: Vec<i32> = bodies
            .iter()
            .map(|body| client.send(&Request::SendMessage(message("Busy", 0, body, ""))))
            .collect();
        for _ in &bodies {
            let answer = client.receive();
            let nth = sent.iter().position(|opaque| *opaque == answer.frame().opaque).expect("one of ours");
            match answer.code() {
                ResponseCode::SUCCESS => stored.push((answer.queue_offset(), bodies[nth].clone())),
                ResponseCode::SYSTEM_BUSY => {
                    refused += 1;
                    let remark = answer.remark();
                    assert!(remark.starts_with("[OVERLOAD]"), "{remark}");
                    assert!(remark.contains("sendThreadPoolQueueCapacity=4"), "{remark}");
                }
                other => panic!("{other:?}: {}", answer.remark()),
            }
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "nothing was refused");
    stored.sort();
    let kept: Vec<(i64, Vec<u8>)> =
        client.pull_all("Busy", 0, 0).into_iter().map(|record| (record.queue_offset, record.body)).collect();
    assert_eq!(kept, stored, "what was acknowledged is there, and nothing else");
    client.produce("Busy", 0, b"later", "").ok();
}

#[test]
fn pulls_beyond_what_may_wait_are_refused_and_those_that_wait_are_not_disturbed() {
    let server = start_server("maxHeldPulls=2");
    let mut client = server.broker();
    client.create_topic("Held", 1);
    let held: Vec<i32> =
        (0..2).map(|_| client.send(&Request::PullMessage(pull("G", "Held", 0, 0, 1_000_000_000)))).collect();
    let answer = client.call(&Request::PullMessage(pull("G", "Held", 0, 0, 1_000_000_000)));
    assert_eq!(answer.code(), ResponseCode::SYSTEM_BUSY);
    assert!(answer.remark().contains("2 pulls wait for messages (maxHeldPulls=2)"), "{}", answer.remark());
    // One that does not want to wait is answered as ever.
    assert_eq!(client.pull("Held", 0, 0).code(), ResponseCode::PULL_NOT_FOUND);
    server.broker().produce("Held", 0, b"wake", "").ok();
    let mut woken: Vec<i32> = (0..2).map(|_| client.receive().ok().frame().opaque).collect();
    woken.sort_unstable();
    assert_eq!(woken, held);
}
