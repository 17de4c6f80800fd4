use super::*;
use crate::store::queue::{Pushed, Slot};
use crate::store::storage::{Memory, Operation};
use crate::store::types::QueueEntry;

fn table(memory: &Memory) -> Queues {
    let mut options = StoreOptions::new("/s");
    options.storage = Arc::new(memory.clone());
    options.mapped_file_size_consume_queue = 2000;
    options.open_queue_files = 8;
    Queues::new(&options)
}

fn slot(offset: i64) -> Slot {
    let entry = QueueEntry { physical_offset: offset * 100, size: 100, tags_code: -offset };
    Slot { offset, count: 1, entry, store_timestamp: 0 }
}

#[test]
fn entries_read_the_same_from_memory_and_from_files() {
    let queues = table(&Memory::new());
    let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 3);
    for offset in 0..1000 {
        assert_eq!(queue.push(&slot(offset)), Pushed::Added);
        queues.note_unsaved(&queue);
        queues.write_if_due(&queue).unwrap();
    }
    for round in 0..3 {
        let mut at = 0;
        while at < 1000 {
            let mut found = Vec::new();
            queue.read(&queues.files, at, 37, &mut found).unwrap();
            assert!(!found.is_empty() && found.iter().zip(at..).all(|(found, at)| *found == slot(at)));
            at += found.len() as i64;
        }
        assert_eq!(queue.slot(&queues.files, 1000).unwrap(), None);
        if round == 0 { queues.write_all(false) } else { queues.save_all() }.unwrap();
    }
    assert_eq!(queue.push(&slot(999)), Pushed::Known);
    queue.expire(&queues.files, 55_000).unwrap();
    assert_eq!((queue.min(), queue.max()), (550, 1000));
    let names = queues.storage().list(&queues.dir(Form::Plain).join("T/3")).unwrap();
    assert_eq!(names.first().unwrap().name, "00000000000000010000");
    queue.expire(&queues.files, 1 << 40).unwrap();
    assert_eq!((queue.min(), queue.max()), (1000, 1000));
    assert_eq!(queues.storage().list(&queues.dir(Form::Plain).join("T/3")).unwrap().len(), 1);
}

#[test]
fn a_queue_that_begins_late_is_blank_before_and_holes_inside_are_bounded_by_the_log() {
    let queues = table(&Memory::new());
    let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0);
    assert_eq!(queue.push(&slot(250)), Pushed::AfterHole(250));
    assert_eq!((queue.min(), queue.max()), (250, 251));
    assert_eq!(queue.push(&slot(260)), Pushed::AfterHole(9));
    assert_eq!(queue.push(&Slot { offset: 1 << 40, ..slot(300) }), Pushed::Impossible);
    queues.note_unsaved(&queue);
    queues.save_all().unwrap();
    let mut found = Vec::new();
    queue.read(&queues.files, 250, 100, &mut found).unwrap();
    let records: Vec<_> = found.iter().filter(|s| s.entry.is_record()).map(|s| s.offset).collect();
    assert_eq!((found.len(), &records[..]), (11, &[250, 260][..]));
    let names = queues.storage().list(&queues.dir(Form::Plain).join("T/0")).unwrap();
    assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["00000000000000004000"]);
    queue.expire(&queues.files, 25_001).unwrap();
    assert_eq!(queue.min(), 260);
}

/// One writer is at work when the topic is forgotten, and the next needs a file that is not there yet.
#[test]
fn a_topic_goes_while_its_queues_are_written() {
    let memory = Memory::new();
    let queues = table(&memory);
    let topic = queues.topic_or_new("T", Form::Plain);
    let [first, second] = [0, 1].map(|id| queues.queue_or_new(&topic, id));
    first.push(&slot(0));
    first.write_behind(&queues.files, queues.tails(), true).unwrap();
    first.push(&slot(1));
    second.push(&slot(0));
    let (gate, (reached, at_gate)) = (std::sync::Barrier::new(2), std::sync::mpsc::channel());
    let (gate, once) = (Arc::new(gate), AtomicBool::new(true));
    let passed = gate.clone();
    memory.intercept(move |operation, _| {
        if operation == Operation::Write && once.swap(false, Ordering::Relaxed) {
            reached.send(()).unwrap();
            passed.wait();
        }
        Ok(())
    });
    let write = |queue: &Arc<Queue>| queue.write_behind(&queues.files, queues.tails(), true);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| write(&first));
        at_gate.recv().unwrap();
        let gone = scope.spawn(|| queues.delete("T"));
        // It waits for the first queue then.
        while !first.is_forgotten() {
            std::thread::yield_now();
        }
        let (wrote, written) = std::sync::mpsc::channel();
        let (write, second) = (&write, &second);
        let two = scope.spawn(move || {
            let result = write(second);
            wrote.send(()).unwrap();
            result
        });
        // What the deletion did so far must not keep the second writer.
        let kept = written.recv_timeout(std::time::Duration::from_secs(30));
        gate.wait();
        kept.unwrap();
        one.join().unwrap().unwrap();
        two.join().unwrap().unwrap();
        gone.join().unwrap().unwrap();
    });
    assert_eq!(memory.list(queues.dir(Form::Plain)).unwrap(), []);
}

/// Where a sync of the whole disk tells nothing, each file is synced by itself.
#[test]
fn many_queues_are_synced_one_by_one_where_the_system_does_not_tell_what_failed() {
    for tells in [true, false] {
        let memory = Memory::new();
        let queues = table(&memory);
        if !tells {
            let silent: SyncDisk = Box::new(|| Err(io::ErrorKind::Unsupported.into()));
            assert!(queues.disk.set(silent).is_ok());
        }
        for id in 0..100 {
            let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), id);
            queue.push(&slot(0));
            queues.note_unsaved(&queue);
        }
        let syncs = Arc::new(AtomicU32::new(0));
        let counted = syncs.clone();
        memory.intercept(move |operation, _| {
            counted.fetch_add(u32::from(operation == Operation::Sync), Ordering::Relaxed);
            Ok(())
        });
        queues.save_all().unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), if tells { 1 } else { 100 });
    }
}

#[test]
fn a_deleted_topic_leaves_nothing() {
    let memory = Memory::new();
    let queues = table(&memory);
    for id in 0..3 {
        let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), id);
        queue.push(&slot(0));
        queues.note_unsaved(&queue);
    }
    queues.save_all().unwrap();
    queues.delete("T").unwrap();
    assert!(queues.queue("T", 0).is_none());
    assert_eq!(memory.list(queues.dir(Form::Plain)).unwrap(), []);
    assert_eq!(queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0).max(), 0);
}

#[test]
fn of_two_queues_with_one_hash_both_are_found() {
    let queues = table(&Memory::new());
    let [a, b] = ["A", "B"].map(|name| queues.queue_or_new(&queues.topic_or_new(name, Form::Plain), 0));
    let Place(hash) = queues.place("B", 0);
    queues.short_cut.write().insert(hash, a.clone());
    assert!(Arc::ptr_eq(&queues.queue("B", 0).unwrap(), &b));
    queues.delete("B").unwrap();
    assert!(queues.queue("B", 0).is_none() && b.is_forgotten());
    assert!(Arc::ptr_eq(queues.short_cut.read().get(hash).unwrap(), &a) && !a.is_forgotten());
    queues.delete("A").unwrap();
    let again = queues.queue_or_new(&queues.topic_or_new("A", Form::Plain), 0);
    assert!(Arc::ptr_eq(&queues.queue("A", 0).unwrap(), &again) && !Arc::ptr_eq(&again, &a));
}

#[test]
fn a_queue_made_in_a_topic_that_was_just_forgotten_has_no_files() {
    let queues = table(&Memory::new());
    let old = queues.topic_or_new("T", Form::Plain);
    queues.delete("T").unwrap();
    let late = queues.queue_or_new(&old, 5);
    late.push(&slot(0));
    late.write_behind(&queues.files, queues.tails(), true).unwrap();
    assert_eq!(late.state().files.end, 0);
    assert_eq!(queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 5).max(), 0);
}

#[test]
fn a_topic_of_the_name_of_one_that_is_being_removed_keeps_its_files() {
    let memory = Memory::new();
    let queues = table(&memory);
    let push = |offset| {
        let queue = queues.queue_or_new(&queues.topic_or_new("T", Form::Plain), 0);
        queue.push(&slot(offset));
        queues.note_unsaved(&queue);
        queue
    };
    let old = push(0);
    queues.save_all().unwrap();
    let forgotten = queues.forget("T").unwrap();
    let new = push(0);
    std::thread::scope(|scope| {
        let saved = scope.spawn(|| queues.save_all());
        queues.remove_files(forgotten).unwrap();
        saved.join().unwrap().unwrap();
    });
    assert_eq!(memory.list(&queues.dir(Form::Plain).join("T/0")).unwrap().len(), 1);
    let mut found = Vec::new();
    new.state().files.read(&queues.files, 0, 1, &mut found).unwrap();
    assert_eq!(found.len(), Form::Plain.unit());
    // Who still holds the old one writes nothing.
    old.push(&slot(1));
    old.write_behind(&queues.files, queues.tails(), true).unwrap();
    assert_eq!(old.state().files.end, 0);
}
