//! Appends to queues that were found before.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

const HOST: ([u8; 4], u16) = ([127, 0, 0, 1], 10911);

fn ready(queue: &KnownQueue) -> Ready {
    let host = SocketAddr::from(HOST);
    Ready::new(queue.clone(), &Origin { born_host: host, store_host: host })
}

/// By one of the two ways.
fn put(store: &Core, queue: &KnownQueue, body: &[u8]) -> Result<i64, AppendError> {
    let content = Content { body, ..Content::default() };
    let mut ready = ready(queue);
    let appended = match body.len() % 2 {
        0 => store.append_one(&ready, &content)?,
        _ => {
            ready.add(store, &content)?;
            store.append_ready(&mut ready)?
        }
    };
    Ok(appended.0.queue_offset)
}

/// Whoever found a queue goes on with it while its topic is deleted, and made anew. What is appended is gone with the topic
/// or refused; after a kill nothing of it is in the new one.
#[test]
fn a_deleted_topic_does_not_come_back_by_who_knew_its_queue() {
    for round in 0..10 {
        let memory = Memory::new();
        let mut options = options(&memory);
        options.flush_mode = if round % 2 == 0 { FlushMode::Async } else { FlushMode::Sync };
        // Two threads that append without a pause let a busy machine's third one wait long.
        options.os_page_cache_busy_time_out_ms = 60_000;
        let store = Store::open(options.clone(), Clock::new()).unwrap();
        let old = store.know("T", 0).unwrap();
        put(&store, &old, b"old").unwrap();
        let deleted = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for body in [&b"old"[..], b"older!"] {
                let (store, old, deleted) = (&store, &old, &deleted);
                scope.spawn(move || loop {
                    let after = deleted.load(Ordering::Acquire);
                    match put(store, old, body) {
                        Ok(_) => assert!(!after, "appended to a topic that is gone"),
                        Err(error) => return assert_eq!(error, AppendError::Gone),
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_micros(round * 80));
            store.delete_topic("T").unwrap();
            deleted.store(true, Ordering::Release);
            let new = store.know("T", 0).unwrap();
            for number in 0..3 {
                assert_eq!(put(&store, &new, b"new"), Ok(number));
            }
            store.flush().unwrap();
        });
        let expected: Vec<_> = (0..3).map(|number| (number, b"new".to_vec())).collect();
        assert_eq!(bodies(&store, "T", 0, 0), expected);
        options.storage = Arc::new(memory.killed());
        let store = Store::open(options, Clock::new()).unwrap();
        assert_eq!(bodies(&store, "T", 0, 0), expected);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_of_it_is_stored() {
    let store = open(&Memory::new());
    let queue = store.know("T", 0).unwrap();
    assert_eq!(put(&store, &queue, b"first"), Ok(0));
    let body = vec![b'.'; 10_000];
    let mut ready = ready(&queue);
    for _ in 0..4 {
        // Together they are larger than a file.
        ready.add(&store, &Content { body: &body, ..Content::default() }).unwrap();
    }
    let error = store.append_ready(&mut ready).unwrap_err();
    assert!(matches!(error, AppendError::TooLarge { what: "record", .. }), "{error}");
    let zeros = [&b"k\x01v"[..], &[0; 600], b"v\x02"].concat();
    for properties in [&vec![b'x'; 40_000][..], b"k\x01v\0", &zeros] {
        let content = Content { body: b"x", properties, ..Content::default() };
        assert!(matches!(ready.add(&store, &content), Err(AppendError::Illegal(_))));
        assert!(matches!(store.append_one(&ready, &content), Err(AppendError::Illegal(_))));
    }
    ready.clear();
    assert!(matches!(store.append_ready(&mut ready), Err(AppendError::Illegal(_))));
    assert!(matches!(store.know("T", -1), Err(AppendError::Illegal(_))));
    assert!(matches!(store.know("../T", 0), Err(AppendError::Illegal(_))));
    assert_eq!(put(&store, &queue, b"second"), Ok(1));
    assert_eq!(bodies(&store, "T", 0, 0).len(), 2);
    store.close().unwrap();
    assert_eq!(put(&store, &queue, b"late"), Err(AppendError::Closed));
}
