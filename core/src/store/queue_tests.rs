use super::*;
use crate::store::storage::Memory;
use crate::store::tests::open;
use crate::store::QueueEntry;

#[test]
fn a_large_hole_takes_little_memory() {
    let store = open(&Memory::new());
    let (queue, files) = (store.know("A", 0).unwrap().queue, &store.queues.files);
    let slot = |at: i64, offset: i64| {
        let entry = QueueEntry { physical_offset: at, size: 100, tags_code: 0 };
        Slot { offset, count: 1, entry, store_timestamp: 0 }
    };
    queue.push(&slot(0, 0));
    let end = 10 * BLANKS_AT_ONCE + 7;
    assert_eq!(queue.push_behind(files, &slot(end * 90, end)), Pushed::Impossible);
    assert_eq!(queue.max(), 1);
    assert_eq!(queue.push_behind(files, &slot(end * 200, end)), Pushed::AfterHole(end - 1));
    assert_eq!((queue.max(), queue.state().end), (end + 1, end + 1));
    assert!(queue.state().tail.len() <= 3 * BLANKS_AT_ONCE as usize * ENTRY_LEN);
    for at in [1, BLANKS_AT_ONCE, 5 * BLANKS_AT_ONCE + 3, end - 1] {
        assert_eq!(queue.slot(files, at).unwrap(), Some(Slot::blank(at)), "{at}");
    }
    assert_eq!(queue.slot(files, 0).unwrap(), Some(slot(0, 0)));
    assert_eq!(queue.slot(files, end).unwrap(), Some(slot(end * 200, end)));
}

#[test]
fn a_queue_knows_its_topic_by_more_than_how_it_begins() {
    let store = open(&Memory::new());
    let long = "abcdefghijklmnopqrst-one";
    for topic in ["T", "abcdefghijklmnopqrst", long] {
        let queue = store.know(topic, 3).unwrap().queue;
        for (other, id) in [("T", 3), ("abcdefghijklmnopqrst", 3), (long, 3), (topic, 2)] {
            assert_eq!(queue.is(other, id), other == topic && id == 3, "{topic} {other} {id}");
        }
        for other in
            ["", "U", "Tt", "abcdefghijklmnopqrst-two", "abcdefghijklmnopqrst-one-two", "abcdefghijklmnopqrs"]
        {
            assert!(!queue.is(other, 3), "{topic} {other}");
        }
    }
}
