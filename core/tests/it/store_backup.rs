//! Copies of a running broker's directory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use ferromq::client::ClientOptions;
use ferromq::instance::{FullFiles, ServerOptions};
use ferromq::message::Message;
use ferromq::store::storage::{Memory, Operation};
use ferromq::wire::{FerromqBackup, QueryConsumerOffset, Request, ResponseCode, UpdateConsumerOffset};
use ferromq::ErrorKind;

use crate::support::{
    pull, start_server, start_server_on, start_server_with, RawClient, Received, TestServer,
};

const TIMEOUT: Duration = Duration::from_secs(60);

fn ask(client: &mut RawClient, name: &str) -> (ResponseCode, String) {
    let answer = client.call(&Request::FerromqBackup(FerromqBackup { name: name.into(), copy: false }));
    (answer.code(), answer.remark())
}

fn commit(client: &mut RawClient, offset: i64) {
    let update = UpdateConsumerOffset {
        consumer_group: "G".into(),
        topic: "T".into(),
        queue_id: 0,
        commit_offset: offset,
    };
    client.call(&Request::UpdateConsumerOffset(update)).ok();
}

fn committed(client: &mut RawClient) -> i64 {
    let query = QueryConsumerOffset {
        consumer_group: "G".into(),
        topic: "T".into(),
        queue_id: 0,
        ..Default::default()
    };
    client.call(&Request::QueryConsumerOffset(query)).ok().field("offset").parse().unwrap()
}

/// A server on a copy.
fn restored(dir: &std::path::Path, of: &ServerOptions) -> TestServer {
    let mut options = of.clone();
    (options.data, options.namesrv_port, options.broker_port) = (dir.to_owned(), 0, 0);
    start_server_on(options)
}

#[test]
fn a_running_broker_is_copied_while_it_is_sent_to() {
    let kept = tempfile::tempdir().unwrap();
    let mut options = None;
    let server = start_server_with(
        &format!("osPageCacheBusyTimeOutMills=60000\nbackupPath={}", kept.path().display()),
        |with| {
            with.broker.mapped_file_size_commit_log = 64 << 10;
            options = Some(with.clone());
        },
    );
    let options = options.unwrap();
    let mut client = server.broker();
    client.create_topic("T", 2);
    for n in 0..300 {
        client.produce("T", 0, format!("{n}").as_bytes(), &format!("KEYS=k{n}")).ok();
    }
    // The group is made by its first pull.
    client.call(&Request::PullMessage(pull("G", "T", 0, 0, 0))).ok();
    commit(&mut client, 250);
    client.produce("T", 1, b"later", "DELAY=1").ok();
    let stop = AtomicBool::new(false);
    let sent = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = server.broker();
            let mut n = 300usize;
            while !stop.load(Ordering::Relaxed) {
                client.produce("T", 0, format!("{n}").as_bytes(), "").ok();
                n += 1;
                commit(&mut client, n as i64);
            }
            n
        });
        assert_eq!(ask(&mut client, "one"), (ResponseCode::SUCCESS, String::new()));
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    let (code, why) = ask(&mut client, "one");
    assert!(code == ResponseCode::SYSTEM_ERROR && why.contains("holds something"), "{why}");
    // Numbers and bodies that are not each other's.
    let odd = |all: &[Received]| {
        let odd = all.iter().enumerate().filter(|(n, record)| {
            record.queue_offset != *n as i64 || record.body != n.to_string().as_bytes()
        });
        odd.map(|(n, record)| (n, record.queue_offset, record.physical_offset)).next()
    };
    assert_eq!(odd(&client.pull_all("T", 0, 0)), None);
    // Both go on, each by itself.
    let copy = restored(&kept.path().join("one"), &options);
    let mut other = copy.broker();
    let there = other.pull_all("T", 0, 0);
    assert!((300..=sent).contains(&there.len()), "{} of {sent}", there.len());
    assert_eq!(odd(&there), None);
    let known = committed(&mut other);
    assert!(known >= 250 && known <= there.len() as i64, "{known} of {}", there.len());
    assert_eq!(other.produce("T", 0, b"x", "").ok().queue_offset(), there.len() as i64);
    copy.pass(2);
    assert_eq!(other.await_messages("T", 1, 1)[0].body, b"later");
    assert_eq!(client.produce("T", 0, b"y", "").ok().queue_offset(), sent as i64);
    assert_eq!(client.pull_all("T", 0, 0).len(), sent + 1);
}

/// Also a server that is stopped does not wait for a copy that takes long.
#[test]
fn nobody_waits_for_a_backup() {
    let kept = tempfile::tempdir().unwrap();
    let (disk, dir) = (Memory::new(), kept.path().to_owned());
    let (begun, begins) = std::sync::mpsc::sync_channel(1);
    let is_open = Arc::new(AtomicBool::new(false));
    let opened = is_open.clone();
    disk.intercept(move |operation, path| {
        if operation == Operation::Write && path.starts_with(dir.join("one/commitlog")) {
            let _first = begun.try_send(());
            while !opened.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    });
    let mut server = start_server_with(&format!("backupPath={}", kept.path().display()), |options| {
        options.storage = Arc::new(disk.clone());
    });
    let mut client = server.broker();
    client.create_topic("T", 1);
    // More than one piece of what is copied at once.
    let body = vec![b'x'; 128 << 10];
    (0..20).for_each(|_| drop(client.produce("T", 0, &body, "").ok()));
    let mut operator = server.broker();
    operator.send(&Request::FerromqBackup(FerromqBackup { name: "one".into(), copy: true }));
    begins.recv_timeout(TIMEOUT).unwrap();
    client.create_topic("Meanwhile", 1);
    let stopping = std::thread::spawn(move || {
        server.stop();
        server
    });
    while client.call(&Request::CleanUnusedTopic).code() != ResponseCode::SERVICE_NOT_AVAILABLE {}
    is_open.store(true, Ordering::Relaxed);
    drop(stopping.join().unwrap());
    let left: Vec<_> =
        disk.names().into_iter().filter(|name| name.starts_with(kept.path().join("one"))).collect();
    assert!(left.is_empty(), "what there was of it is removed: {left:?}");
}

#[test]
fn backups_are_made_where_the_settings_say_and_nowhere_else() {
    let server = start_server("");
    let (code, why) = ask(&mut server.broker(), "one");
    assert!(code == ResponseCode::NO_PERMISSION && why.contains("set backupPath"), "{code} {why}");
    let kept = tempfile::tempdir().unwrap();
    let server = start_server(&format!("backupPath={}", kept.path().join("below").display()));
    let mut client = server.broker();
    for name in ["", "..", "../up", "a/b", "/tmp/x", ".hidden", &"x".repeat(201), "a b"] {
        let (code, why) = ask(&mut client, name);
        assert_eq!(code, ResponseCode::INVALID_PARAMETER, "{name}: {why}");
    }
    assert_eq!(std::fs::read_dir(kept.path()).unwrap().count(), 0);
    // By the operators' call, with what it made.
    let client = ClientOptions { mq_client_api_timeout: TIMEOUT, ..ClientOptions::new(server.name_server()) };
    let instance = ferromq::connect_with(client).unwrap();
    let made = instance.admin().backup("daily-1.2_3", None, true).unwrap();
    assert_eq!(made.len(), 1);
    assert!(std::path::Path::new(&made[0].1.directory).join("checkpoint").exists());
    let error = instance.backup(kept.path().join("here"), FullFiles::Copied).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    instance.close().unwrap();
}

#[test]
fn an_embedded_store_is_copied_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
    let instance = ferromq::open(&from).unwrap();
    let producer = instance.producer("P").unwrap();
    for n in 0..50 {
        producer.send(&Message::new("T", format!("{n}").into_bytes())).unwrap();
    }
    let made = instance.backup(&to, FullFiles::Copied).unwrap();
    assert!(made.queues > 0 && made.copied > 0 && made.linked == 0, "{made:?}");
    assert!(instance.backup(&to, FullFiles::Copied).unwrap_err().to_string().contains("holds something"));
    let copy = ferromq::open(&to).unwrap();
    let count = |of: &ferromq::Instance| of.admin().topic("T").unwrap().messages;
    assert_eq!(count(&copy), 50);
    producer.send(&Message::new("T", b"more".to_vec())).unwrap();
    assert_eq!((count(&instance), count(&copy)), (51, 50));
    copy.close().unwrap();
    instance.close().unwrap();
    assert_eq!(
        instance.backup(dir.path().join("late"), FullFiles::Copied).unwrap_err().kind(),
        ErrorKind::Closed
    );
}
