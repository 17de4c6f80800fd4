//! What a broker takes on at a time, and what it says beyond that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ferromq::store::storage::{Memory, Operation};
use ferromq::wire::{Request, ResponseCode};

use crate::broker_admin::runtime_info;
use crate::net_support::eventually;
use crate::support::{message, pull, start_server, start_server_with};

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

/// A delivery of a delayed message hangs in its write: it has the log's lock, and is on no event loop.
#[test]
fn sends_behind_a_write_that_hangs_are_refused_with_the_limit() {
    let (disk, hangs, is_at_it) =
        (Memory::new(), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (gate, arrived) = (hangs.clone(), is_at_it.clone());
    disk.intercept(move |operation, path| {
        let in_the_log = path.components().any(|part| part.as_os_str() == "commitlog");
        while operation == Operation::Write && in_the_log && gate.load(Ordering::Relaxed) {
            arrived.store(true, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    });
    let settings =
        "flushDiskType=SYNC_FLUSH\nosPageCacheBusyTimeOutMills=20\nmappedFileSizeCommitLog=1048576\n\
        mappedFileSizeConsumeQueue=20000";
    let server = start_server_with(settings, |options| options.storage = Arc::new(disk));
    let mut client = server.broker();
    client.create_topic("T", 1);
    client.produce("T", 0, b"later", "DELAY=1").ok();
    assert_eq!(runtime_info(&mut client)["pageCacheLockTimeMills"], "0");
    hangs.store(true, Ordering::Relaxed);
    server.pass(2);
    eventually("the message is delivered", || is_at_it.load(Ordering::Relaxed));
    let refused = client.produce("T", 0, b"now", "");
    assert_eq!(refused.code(), ResponseCode::SYSTEM_BUSY);
    let remark = refused.remark();
    assert!(remark.starts_with("[PC_SYNCHRONIZED]broker busy"), "{remark}");
    assert!(remark.contains("osPageCacheBusyTimeOutMills=20"), "{remark}");
    assert_ne!(runtime_info(&mut client)["pageCacheLockTimeMills"], "0");
    hangs.store(false, Ordering::Relaxed);
    eventually("it goes on", || server.broker().produce("T", 0, b"now", "").code() == ResponseCode::SUCCESS);
    let bodies: Vec<_> = client.await_messages("T", 0, 2).into_iter().map(|message| message.body).collect();
    assert_eq!(bodies, [b"later".to_vec(), b"now".to_vec()]);
    assert_eq!(runtime_info(&mut client)["pageCacheLockTimeMills"], "0");
}
