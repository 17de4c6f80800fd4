//! What was acknowledged and what was consumed, and whether that fits.

use ferromq_interop::Outcome;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

/// A message of the run: its producer, the queue it was sent to, and its number there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// Which producer.
    pub producer: usize,
    /// Name of broker and number of queue.
    pub queue: String,
    /// Counts up per producer and queue, each acknowledged before the next is sent.
    pub number: u64,
}

impl Mark {
    /// As a body.
    pub fn body(&self) -> String {
        format!("{} {} {}", self.producer, self.queue, self.number)
    }

    /// Of a body.
    pub fn parse(body: &[u8]) -> Option<Mark> {
        let mut words = std::str::from_utf8(body).ok()?.split(' ');
        let producer = words.next()?.parse().ok()?;
        let queue = words.next()?.to_owned();
        Some(Mark { producer, queue, number: words.next()?.parse().ok()? })
    }
}

/// What one group consumed.
#[derive(Default)]
struct Consumed {
    seen: HashSet<Mark>,
    deliveries: u64,
    /// Of an ordered group: the last new number, by producer and queue.
    last: HashMap<(usize, String), u64>,
    disorder: Vec<String>,
}

/// The books of a run.
#[derive(Default)]
pub struct Ledger {
    /// With the offset that the broker told.
    acknowledged: Mutex<BTreeMap<Mark, i64>>,
    groups: Mutex<BTreeMap<&'static str, Consumed>>,
    failed_sends: Mutex<BTreeMap<String, u64>>,
}

impl Ledger {
    /// The broker said that it is stored.
    pub fn acknowledged(&self, mark: Mark, offset: i64) {
        self.acknowledged.lock().expect("ledger").insert(mark, offset);
    }

    /// A send failed; it is tried again until it does not.
    pub fn failed(&self, kind: String) {
        *self.failed_sends.lock().expect("ledger").entry(kind).or_default() += 1;
    }

    /// A listener of the group got it.
    pub fn consumed(&self, group: &'static str, ordered: bool, mark: Mark) {
        let mut groups = self.groups.lock().expect("ledger");
        let book = groups.entry(group).or_default();
        book.deliveries += 1;
        if !book.seen.insert(mark.clone()) || !ordered {
            return;
        }
        // New to the group: everything its producer sent to this queue before must have been seen before.
        let last = book.last.entry((mark.producer, mark.queue.clone())).or_insert(0);
        if mark.number != *last + 1 {
            let line = format!("{mark:?} came after number {last}");
            book.disorder.push(line);
        }
        *last = (*last).max(mark.number);
    }

    /// How many acknowledged messages a group has not consumed yet, at most over all groups.
    pub fn missing(&self) -> usize {
        let groups = self.groups.lock().expect("ledger");
        let acknowledged = self.acknowledged.lock().expect("ledger");
        let missing = |book: &Consumed| acknowledged.keys().filter(|mark| !book.seen.contains(mark)).count();
        groups.values().map(missing).max().unwrap_or(acknowledged.len())
    }

    /// The end: nothing acknowledged is missing anywhere, order was kept; the figures in words.
    pub fn close(&self, groups_expected: usize) -> Outcome<String> {
        let groups = self.groups.lock().expect("ledger");
        let acknowledged = self.acknowledged.lock().expect("ledger");
        if groups.len() != groups_expected || acknowledged.len() < 100 {
            return Err(format!(
                "{} groups consumed, {} messages acknowledged",
                groups.len(),
                acknowledged.len()
            ));
        }
        let mut words = format!("{} acknowledged", acknowledged.len());
        for (name, book) in groups.iter() {
            let missing: Vec<_> = acknowledged.iter().filter(|(mark, _)| !book.seen.contains(mark)).collect();
            if !missing.is_empty() {
                let some = &missing[..missing.len().min(5)];
                return Err(format!(
                    "{name} misses {} acknowledged messages, such as {some:?}",
                    missing.len()
                ));
            }
            if let Some(first) = book.disorder.first() {
                return Err(format!("{name} saw {} messages out of order: {first}", book.disorder.len()));
            }
            let twice = book.deliveries - book.seen.len() as u64;
            words += &format!("; {name}: {} consumed, {twice} duplicates", book.seen.len());
        }
        let failed = self.failed_sends.lock().expect("ledger");
        words += &format!("; failed sends that were repeated: {failed:?}");
        Ok(words)
    }
}
