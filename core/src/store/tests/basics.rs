use std::sync::mpsc;

use super::*;
use crate::store::storage::Operation;

/// What takes this long hangs.
const HANG: Duration = Duration::from_secs(30);

#[test]
fn what_is_appended_is_read_in_order_and_again_after_a_restart() {
    let memory = Memory::new();
    let mut expected = [Vec::new(), Vec::new()];
    for round in 0..3 {
        let store = open(&memory);
        assert!(store.recovery_report().clean);
        for n in 0..300 {
            let body = format!("round {round} message {n}").into_bytes();
            let queue = n % 2;
            let appended = store.append(&new("T", queue, &body, b"TAGS\x01a\x02")).unwrap();
            let list = &mut expected[queue as usize];
            assert_eq!(appended.queue_offset, list.len() as i64);
            list.push((list.len() as i64, body));
        }
        for queue in 0..2 {
            assert_eq!(bodies(&store, "T", queue, 0), expected[queue as usize]);
            assert_eq!(store.queue_bounds("T", queue), Some(0..expected[queue as usize].len() as i64));
        }
        store.close().unwrap();
        assert_eq!(bodies(&store, "T", 0, 100), expected[0][100..]);
        assert!(matches!(store.append(&new("T", 0, b"", b"")), Err(AppendError::Closed)));
    }
    assert!(names(&memory, "/store/commitlog").len() > 2);
    assert_eq!(names(&memory, "/store/consumequeue/T/0").len(), 450_usize.div_ceil(20));
    assert!(!names(&memory, "/store").contains(&"abort".to_owned()));
}

#[test]
fn real_files_work_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let mut options = StoreOptions::new(dir.path());
        options.flush_mode = if round == 0 { FlushMode::Async } else { FlushMode::Sync };
        let store = Store::open(options, Clock::new()).unwrap();
        for n in 0..1000_i64 {
            let appended = store.append(&new("T", 0, &n.to_be_bytes(), b"KEYS\x01k\x02")).unwrap();
            assert_eq!(appended.queue_offset, round * 1000 + n);
        }
        store.flush().unwrap();
        assert_eq!(bodies(&store, "T", 0, 0).len() as i64, (round + 1) * 1000);
        assert_eq!(store.query_key("T", "k", 100, 0, i64::MAX).records.len(), 64);
        store.close().unwrap();
    }
}

/// The files of a topic that goes are removed while others read on.
#[test]
fn readers_do_not_wait_for_a_topic_to_be_removed() {
    let memory = Memory::new();
    let store = open(&memory);
    for topic in ["Going", "Staying"] {
        store.append(&new(topic, 0, b"x", b"")).unwrap();
    }
    // Now the queues have files.
    store.close().unwrap();
    let store = open(&memory);
    let (begun, begins) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    memory.intercept(move |operation, path| {
        if operation == Operation::Remove && path.to_str().unwrap().contains("Going") {
            begun.send(()).unwrap();
            let in_vain = |_| std::io::Error::other("readers waited for this");
            goes_on.lock().recv_timeout(HANG).map_err(in_vain)?;
        }
        Ok(())
    });
    std::thread::scope(|scope| {
        let deleted = scope.spawn(|| store.delete_topic("Going"));
        begins.recv_timeout(HANG).unwrap();
        store.append(&new("Staying", 0, b"y", b"")).unwrap();
        assert_eq!(bodies(&store, "Staying", 0, 0).len(), 2);
        assert!(store.queue_bounds("Going", 0).is_none());
        go_on.send(()).unwrap();
        deleted.join().unwrap().unwrap();
    });
    assert_eq!(names(&memory, "/store/consumequeue"), ["Staying"]);
}
