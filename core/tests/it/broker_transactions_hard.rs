//! Transactions where it is tight: slow disks, ids given twice, properties without room, strangers at the progress.

use std::io;
use std::sync::Arc;

use ferromq::message::OffsetId;
use ferromq::store::storage::{Memory, Operation};
use ferromq::wire::{EndTransaction, PullMessage, Request, ResponseCode, SendMessage, UpdateConsumerOffset};

use crate::broker_transactions::{
    answer, answer_to, asked, assert_not_asked, half_message, member, start, COMMIT, GROUP, ROLLBACK, ROUND,
};
use crate::logs;
use crate::support::{pull, start_server_with, Answer, RawClient};

const PROGRESS: &str = "CID_RMQ_SYS_TRANS";

fn half<'a>(body: &'a [u8], properties: &str) -> SendMessage<'a> {
    half_message("T", 0, body, properties)
}

fn bodies(client: &mut RawClient, count: usize) -> Vec<Vec<u8>> {
    let mut bodies: Vec<_> =
        client.await_messages("T", 0, count).into_iter().map(|found| found.body).collect();
    bodies.sort();
    bodies
}

/// The commit of a half message that was sent.
fn commit_of(sent: &Answer) -> EndTransaction<'static> {
    let place: OffsetId = sent.field("msgId").parse().unwrap();
    EndTransaction {
        producer_group: GROUP.into(),
        tran_state_table_offset: sent.queue_offset(),
        commit_log_offset: place.physical_offset,
        commit_or_rollback: COMMIT,
        ..Default::default()
    }
}

#[test]
fn an_answer_finds_the_message_that_was_asked_about_under_sync_flush() {
    let server = start("flushDiskType=SYNC_FLUSH");
    let mut client = server.broker();
    client.create_topic("T", 1);
    // More than share one flush.
    let sent: Vec<Vec<u8>> = (0..150u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for body in &sent {
        client.call(&Request::SendMessage(half(body, ""))).ok();
    }
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    for _ in &sent {
        // At once: the copy that the question names must be readable by then.
        let (half, _) = asked(&mut producer);
        answer(&mut producer, &half, COMMIT);
    }
    assert_eq!(bodies(&mut client, sent.len()), sent);
}

#[test]
fn two_messages_of_one_id_are_two_messages() {
    for crash in [false, true] {
        let mut server = start("");
        let mut client = server.broker();
        client.create_topic("T", 1);
        let first = client.call(&Request::SendMessage(half(b"first", "UNIQ_KEY=Same"))).ok();
        client.call(&Request::SendMessage(half(b"second", "UNIQ_KEY=Same"))).ok();
        let commit = commit_of(&first);
        client.call(&Request::EndTransaction(commit.clone())).ok();
        if crash {
            server.restart();
            client = server.broker();
        }
        let mut producer = member(&server, "p", GROUP);
        server.pass(ROUND);
        let (waiting, message) = asked(&mut producer);
        assert_eq!(message.body, b"second");
        // A late decision about the first is none about the second.
        client.call(&Request::EndTransaction(EndTransaction { commit_or_rollback: ROLLBACK, ..commit })).ok();
        answer(&mut producer, &waiting, COMMIT);
        assert_eq!(bodies(&mut client, 2), [b"first".to_vec(), b"second".to_vec()], "crash: {crash}");
    }
}

#[test]
fn a_half_message_has_room_for_what_questions_add() {
    let server = start("");
    let mut client = server.broker();
    client.create_topic("T", 1);
    let mut accepted = Vec::new();
    for size in (32_000..32_767).step_by(7) {
        let name = format!("{size:08}");
        let filler = "x".repeat(size);
        let sent = client.call(&Request::SendMessage(half(name.as_bytes(), &format!("filler={filler}"))));
        match sent.code() {
            ResponseCode::SUCCESS => accepted.push(name.into_bytes()),
            code => assert_eq!(code, ResponseCode::MESSAGE_ILLEGAL, "{}", sent.remark()),
        }
    }
    assert!(accepted.len() > 10, "most fit");
    let mut producer = member(&server, "p", GROUP);
    // Asked again and again, they are put back each time.
    for _ in 0..2 {
        server.pass(ROUND);
        for _ in &accepted {
            let (half, _) = asked(&mut producer);
            answer(&mut producer, &half, 0);
        }
    }
    server.pass(ROUND);
    for _ in &accepted {
        let (half, _) = asked(&mut producer);
        answer(&mut producer, &half, COMMIT);
    }
    assert_eq!(bodies(&mut client, accepted.len()), accepted);
}

#[test]
fn nobody_moves_the_progress_from_outside() {
    let mut server = start("");
    let mut client = server.broker();
    client.create_topic("T", 1);
    client.call(&Request::SendMessage(half(b"pending", ""))).ok();
    let topic = "RMQ_SYS_TRANS_HALF_TOPIC";
    let update = UpdateConsumerOffset {
        consumer_group: PROGRESS.into(),
        topic: topic.into(),
        queue_id: 0,
        commit_offset: 1,
    };
    client.call(&Request::PullMessage(pull(PROGRESS, topic, 0, 1, 0)));
    let refused = client.call(&Request::UpdateConsumerOffset(update));
    assert_eq!(refused.code(), ResponseCode::NO_PERMISSION, "{}", refused.remark());
    let commits = PullMessage { sys_flag: 4 | 1, commit_offset: 1, ..pull(PROGRESS, topic, 0, 1, 0) };
    client.call(&Request::PullMessage(commits));
    server.restart();
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    assert_eq!(asked(&mut producer).1.body, b"pending");
}

#[test]
fn without_the_key_index_a_crash_doubles_no_commit() {
    let server = start("messageIndexEnable=false");
    let mut client = server.broker();
    client.create_topic("T", 1);
    let sent: Vec<Vec<u8>> = (0..20u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for body in &sent {
        let placed = client.call(&Request::SendMessage(half(body, ""))).ok();
        client.call(&Request::EndTransaction(commit_of(&placed))).ok();
    }
    client.call(&Request::SendMessage(half(b"pending", ""))).ok();
    // Before marks that wait are written.
    let copy = server.copy();
    let mut producer = member(&copy, "p", GROUP);
    copy.pass(ROUND);
    assert_eq!(asked(&mut producer).1.body, b"pending", "nothing else is asked for");
    assert_eq!(bodies(&mut copy.broker(), sent.len()), sent);
}

#[test]
fn commits_beyond_what_may_wait_for_the_disk_are_refused_and_asked_for() {
    let server = start("flushDiskType=SYNC_FLUSH\nsendThreadPoolQueueCapacity=4");
    let mut client = server.broker();
    client.create_topic("T", 1);
    let (mut sent, mut refused) = (Vec::new(), 0);
    // A flush takes longer than the handling of the next frames; should a disk ever be faster, there are more rounds.
    for _ in 0..50 {
        let commits: Vec<EndTransaction<'_>> = (0..100)
            .map(|_| {
                sent.push((sent.len() as u32).to_be_bytes().to_vec());
                commit_of(&client.call(&Request::SendMessage(half(sent.last().unwrap(), ""))).ok())
            })
            .collect();
        for commit in &commits {
            client.send(&Request::EndTransaction(commit.clone()));
        }
        for _ in &commits {
            let answer = client.receive();
            if answer.code() != ResponseCode::SUCCESS {
                assert_eq!(answer.code(), ResponseCode::SYSTEM_BUSY);
                assert!(answer.remark().contains("sendThreadPoolQueueCapacity=4"), "{}", answer.remark());
                refused += 1;
            }
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "nothing was refused");
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    // Not before the last: what a round puts back waits for the disk, too.
    let questions: Vec<_> = (0..refused).map(|_| asked(&mut producer).0).collect();
    for half in questions {
        client.call(&Request::EndTransaction(answer_to(&half, COMMIT))).ok();
    }
    assert_eq!(bodies(&mut client, sent.len()), sent);
}

#[test]
fn a_commit_that_meets_a_full_disk_is_asked_for_when_there_is_room_again() {
    logs::listen();
    let disk = Memory::new();
    let settings = "channelExpiredTimeout=2000000000\ntransactionCheckInterval=3600000\n\
        mappedFileSizeCommitLog=1048576\nmappedFileSizeConsumeQueue=20000";
    let server = start_server_with(settings, |options| options.storage = Arc::new(disk.clone()));
    let mut client = server.broker();
    client.create_topic("T", 1);
    client.create_topic("Filler", 1);
    let body = [b'x'; 2000];
    let sent = client.call(&Request::SendMessage(half(&body, ""))).ok();
    disk.intercept(|operation, path| {
        let in_the_log = path.components().any(|part| part.as_os_str() == "commitlog");
        match operation {
            Operation::Allocate | Operation::Open if in_the_log => {
                Err(io::Error::from_raw_os_error(libc::ENOSPC))
            }
            _ => Ok(()),
        }
    });
    // What is left in the files that are there is less than the commit needs.
    let filler = [b'f'; 500];
    let full = (0..5000).find_map(|_| {
        let answer = client.produce("Filler", 0, &filler, "");
        (answer.code() != ResponseCode::SUCCESS).then_some(answer)
    });
    let full = full.expect("the disk is full at some time");
    assert_eq!(full.code(), ResponseCode::SERVICE_NOT_AVAILABLE, "{}", full.remark());
    let refused = client.call(&Request::EndTransaction(commit_of(&sent)));
    assert_eq!(refused.code(), ResponseCode::SERVICE_NOT_AVAILABLE, "{}", refused.remark());
    assert!(refused.remark().contains("no space"), "{}", refused.remark());
    let id = sent.field("transactionId");
    assert!(logs::said(&["could not be stored", &id, "no space"]) > 0);
    assert!(client.pull_all("T", 0, 0).is_empty());
    disk.intercept(|_, _| Ok(()));
    let mut producer = member(&server, "p", GROUP);
    server.pass(ROUND);
    let (question, message) = asked(&mut producer);
    assert_eq!((question.id.as_str(), message.body.as_slice()), (id.as_str(), &body[..]));
    answer(&mut producer, &question, COMMIT);
    assert_eq!(bodies(&mut client, 1), [body.to_vec()]);
    server.pass(ROUND);
    assert_not_asked(&mut producer);
    assert_eq!(client.pull_all("T", 0, 0).len(), 1);
}
