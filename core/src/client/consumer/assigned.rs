//! A queue that is a consumer's at present: what was fetched of it, what is being consumed, and how far all is done.
//! Nothing here waits, locks or sends.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::super::worker::RETRY_AFTER;
use super::fetch::{in_reach, Brought};
use super::offsets::Begin;

/// A pull that came back empty this many times in a row sooner than brokers answer waits a while.
const QUICK_EMPTIES: u8 = 3;

/// After the master of a set could not be reached, its other brokers are read from for this long, ms.
const AVOID_MASTER: i64 = 10_000;

/// A message that was fetched and is not done.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    /// Its record.
    pub record: Bytes,
    /// How often it was consumed in vain here, in addition to what the record says.
    pub again: i32,
    /// Since when it is being consumed, ms.
    pub since: Option<i64>,
}

/// Whether a queue is being pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulling {
    InFlight,
    /// Enough is there, or the queue is paused; goes on when that has changed.
    Full,
    /// Failed or spaced out; again at this time, ms.
    At(i64),
}

/// How much of a queue may be fetched ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub messages: usize,
    pub bytes: usize,
    /// Offsets between the first and the last message that is not done.
    pub span: i64,
}

/// See the module.
#[doc(alias = "ProcessQueue")]
pub(super) struct Assigned {
    /// Different for each assignment, so that what was pulled or consumed for an earlier one is known.
    pub token: u64,
    /// Where the next pull begins.
    pub next: i64,
    /// The first offset of the queue, and the end, when they were last heard of.
    pub bounds: (i64, i64),
    /// Broker of the set to ask next.
    pub broker_id: i64,
    /// Until then the master is not asked if there is another broker, ms.
    pub avoid_master: i64,
    pub pulling: Pulling,
    /// Not pulled and not handed out, as the user wishes.
    pub paused: bool,
    /// All messages that are not done, by offset.
    pending: BTreeMap<i64, Fetched>,
    /// Offsets of those to be handed out, in turn.
    ready: VecDeque<i64>,
    /// Offsets of those to be handed out again, and when, ms.
    later: Vec<(i64, i64)>,
    bytes: usize,
    empties: u8,
    /// What is before this was polled, or not wanted.
    pub delivered: i64,
    /// What is before this was committed by the user, or not wanted.
    pub consumed: i64,
    /// What the broker has stored for the group.
    pub stored: Option<i64>,
    /// The call of an ordered listener that runs on this queue.
    pub call: Option<u64>,
    /// Nothing is handed out before this time, ms.
    pub rest_until: i64,
    /// When the broker last said that this client has the queue's lock, ms.
    pub locked: Option<i64>,
    pub last_pull: i64,
    pub last_consume: i64,
}

impl Assigned {
    pub fn new(token: u64, begin: &Begin) -> Assigned {
        Assigned {
            token,
            next: begin.offset,
            bounds: (0, begin.end),
            broker_id: 0,
            avoid_master: 0,
            pulling: Pulling::InFlight,
            paused: false,
            pending: BTreeMap::new(),
            ready: VecDeque::new(),
            later: Vec::new(),
            bytes: 0,
            empties: 0,
            delivered: begin.offset,
            consumed: begin.offset,
            stored: begin.stored.then_some(begin.offset),
            call: None,
            rest_until: 0,
            locked: None,
            last_pull: 0,
            last_consume: 0,
        }
    }

    /// Begins anew at another offset: what was fetched is forgotten, and what is being consumed does not count.
    pub fn restart(&mut self, token: u64, offset: i64) {
        self.token = token;
        self.pending.clear();
        self.ready.clear();
        self.later.clear();
        (self.bytes, self.empties, self.rest_until) = (0, 0, 0);
        (self.next, self.delivered, self.consumed) = (offset, offset, offset);
        (self.stored, self.pulling) = (None, Pulling::InFlight);
    }

    pub fn has_room(&self, room: Room) -> bool {
        let span = match (self.pending.first_key_value(), self.pending.last_key_value()) {
            (Some((first, _)), Some((last, _))) => last.saturating_sub(*first),
            _ => 0,
        };
        !self.paused && self.pending.len() < room.messages && self.bytes < room.bytes && span <= room.span
    }

    /// The token for a pull to be made now, if it rested for lack of room and there is some again: not while more than half
    /// of what there may be waits to be handed out. Room comes by a batch, and whoever has made it would pull each batch
    /// by itself, while the thread that goes on pulling where there is much room would rest.
    pub fn resume(&mut self, room: Room) -> Option<u64> {
        let few = self.ready.len() <= room.messages / 2;
        let resumes = self.pulling == Pulling::Full && few && self.has_room(room);
        resumes.then(|| {
            self.pulling = Pulling::InFlight;
            self.token
        })
    }

    /// Adds what a pull brought. True if the next pull should wait a while: the broker answers emptily at once.
    pub fn add(&mut self, pulled: Brought, took_ms: i64) -> bool {
        let progress = self.next != pulled.next;
        if pulled.next < self.next {
            // Someone moved the group back at the broker: what was stored last is not what is stored there now.
            self.stored = None;
        }
        (self.bounds, self.broker_id) = (pulled.bounds, pulled.broker_id);
        let is_empty = pulled.messages.is_empty();
        let idle = self.pending.is_empty();
        for (offset, record) in pulled.messages {
            let length = record.len();
            if self.pending.insert(offset, Fetched { record, again: 0, since: None }).is_none() {
                self.bytes += length;
                self.ready.push_back(offset);
            }
        }
        self.next = pulled.next;
        if is_empty && idle {
            // Nothing of what was passed over is wanted: it needs no commit, unless the user still has earlier ones.
            if self.consumed == self.delivered {
                self.consumed = self.next;
            }
            self.delivered = self.next;
        }
        let quick = is_empty && !progress && took_ms < RETRY_AFTER / 10;
        self.empties = if quick { self.empties.saturating_add(1) } else { 0 };
        self.empties >= QUICK_EMPTIES
    }

    /// A pull from the broker with this id got no answer.
    pub fn unreachable(&mut self, broker_id: i64, now: i64) {
        if broker_id == 0 {
            self.avoid_master = now + AVOID_MASTER;
        }
    }

    /// The broker of the set to ask, and whether another would be better.
    pub fn broker(&self, now: i64) -> (i64, bool) {
        let avoids = now < self.avoid_master && self.avoid_master <= now + AVOID_MASTER;
        (self.broker_id, self.broker_id == 0 && avoids)
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() && !self.paused
    }

    /// Whether nothing is left of what was fetched.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Hands out up to `count` messages for good.
    pub fn poll(&mut self, count: usize) -> Vec<(i64, Bytes)> {
        let count = count.min(self.ready.len());
        let offsets: Vec<i64> = self.ready.drain(..count).collect();
        let taken: Vec<(i64, Bytes)> = offsets
            .into_iter()
            .filter_map(|offset| Some((offset, self.pending.remove(&offset)?.record)))
            .collect();
        self.bytes -= taken.iter().map(|(_, record)| record.len()).sum::<usize>();
        self.delivered = match taken.last() {
            // What lies between the last message and the next pull was not wanted.
            Some((offset, _)) if !self.pending.is_empty() => offset.saturating_add(1),
            _ => self.next,
        };
        taken
    }

    /// Hands out up to `count` messages, which are not done until [`Assigned::done`] says so.
    pub fn take(&mut self, count: usize, now: i64) -> Vec<(i64, Fetched)> {
        let count = count.min(self.ready.len());
        let offsets: Vec<i64> = self.ready.drain(..count).collect();
        self.last_consume = now;
        let mut taken = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if let Some(fetched) = self.pending.get_mut(&offset) {
                fetched.since = Some(now);
                taken.push((offset, fetched.clone()));
            }
        }
        taken
    }

    /// The message was consumed, or went back to the broker. False if it was done before.
    pub fn done(&mut self, offset: i64) -> bool {
        let removed = self.pending.remove(&offset);
        self.bytes -= removed.as_ref().map_or(0, |fetched| fetched.record.len());
        removed.is_some()
    }

    /// Messages that were handed out come again: before all others, in this order.
    pub fn again_first(&mut self, offsets: &[i64]) {
        for offset in offsets.iter().rev() {
            if let Some(fetched) = self.pending.get_mut(offset) {
                (fetched.again, fetched.since) = (fetched.again.saturating_add(1), None);
                self.ready.push_front(*offset);
            }
        }
    }

    /// A message that was handed out comes again at a time, ms.
    pub fn again_at(&mut self, offset: i64, at: i64) {
        if let Some(fetched) = self.pending.get_mut(&offset) {
            (fetched.again, fetched.since) = (fetched.again.saturating_add(1), None);
            self.later.push((at, offset));
        }
    }

    /// Makes ready what is to come again by now; returns when more is, ms.
    pub fn ripen(&mut self, now: i64) -> Option<i64> {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.later).into_iter().partition(|(at, _)| in_reach(*at, now) <= now);
        self.later = later;
        self.ready.extend(due.into_iter().map(|(_, offset)| offset));
        self.later.iter().map(|(at, _)| *at).min()
    }

    /// Messages that have been in consumption since before `then`, ms, at most `count`; with the time of the oldest of
    /// the others.
    pub fn overdue(&self, then: i64, count: usize) -> (Vec<(i64, Bytes)>, Option<i64>) {
        let (mut overdue, mut oldest) = (Vec::new(), None::<i64>);
        for (offset, fetched) in &self.pending {
            match fetched.since {
                Some(since) if since <= then && overdue.len() < count => {
                    overdue.push((*offset, fetched.record.clone()));
                }
                Some(since) => oldest = Some(oldest.map_or(since, |oldest| oldest.min(since))),
                None => {}
            }
        }
        (overdue, oldest)
    }

    /// Whether the message is not done.
    pub fn holds(&self, offset: i64) -> bool {
        self.pending.contains_key(&offset)
    }

    /// What is before this is done, or not wanted.
    pub fn progress(&self) -> i64 {
        // The next pull lies before all others when the broker has moved the group back.
        self.pending.first_key_value().map_or(self.next, |(offset, _)| self.next.min(*offset))
    }

    /// Messages and bytes that are not done.
    pub fn held(&self) -> (usize, usize) {
        (self.pending.len(), self.bytes)
    }

    /// The offsets of the first and the last message that is not done.
    pub fn held_span(&self) -> Option<(i64, i64)> {
        Some((*self.pending.first_key_value()?.0, *self.pending.last_key_value()?.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn assigned() -> Assigned {
        Assigned::new(1, &Begin { offset: 0, stored: true, end: 0 })
    }

    fn pulled(offsets: &[i64], next: i64) -> Brought {
        let message = |offset: &i64| (*offset, Bytes::from(vec![0; 10]));
        Brought {
            messages: offsets.iter().map(message).collect(),
            next,
            bounds: (0, next),
            broker_id: 0,
            moved: false,
        }
    }

    const ROOM: Room = Room { messages: 10, bytes: 1000, span: 20 };

    #[test]
    fn progress_is_stored_again_after_the_broker_moved_the_group_back() {
        let mut queue = assigned();
        queue.add(pulled(&[0, 1, 2], 3), 0);
        queue.take(3, 5);
        (0..3).for_each(|offset| assert!(queue.done(offset)));
        queue.stored = Some(queue.progress());
        // Apache's 5.x broker answers the next pull so after resetOffsetByTime, and stores 0 by itself.
        queue.add(pulled(&[], 0), 0);
        queue.add(pulled(&[0, 1, 2], 3), 0);
        queue.take(3, 5);
        (0..3).for_each(|offset| assert!(queue.done(offset)));
        assert_eq!((queue.progress(), queue.stored), (3, None));
    }

    #[test]
    fn the_group_stays_moved_back_while_earlier_messages_are_consumed() {
        let mut queue = assigned();
        queue.add(pulled(&[100, 101], 102), 0);
        queue.take(2, 5);
        queue.add(pulled(&[], 0), 0);
        assert_eq!(queue.progress(), 0);
        queue.add(pulled(&[0], 1), 0);
        assert!(queue.done(100));
        assert_eq!(queue.progress(), 0);
    }

    #[test]
    fn offsets_of_any_size_are_borne() {
        let mut queue = assigned();
        queue.add(pulled(&[i64::MIN, i64::MAX], i64::MAX), 0);
        assert!(!queue.has_room(ROOM));
        assert_eq!(queue.poll(1).len(), 1);
    }

    #[test]
    fn count_size_and_span_limit_what_is_fetched() {
        let mut queue = assigned();
        assert!(queue.has_room(ROOM));
        queue.add(pulled(&[0, 1, 2], 3), 0);
        assert!(queue.has_room(ROOM));
        assert!(!queue.has_room(Room { messages: 3, ..ROOM }));
        assert!(!queue.has_room(Room { bytes: 30, ..ROOM }));
        queue.add(pulled(&[21], 22), 0);
        assert!(!queue.has_room(ROOM));
        queue.take(1, 5);
        assert!(!queue.has_room(ROOM), "taken is not done");
        assert!(queue.done(0) && !queue.done(0));
        assert!(queue.has_room(ROOM));
        queue.paused = true;
        assert!(!queue.has_room(ROOM));
    }

    #[test]
    fn what_is_full_is_pulled_again_when_half_of_it_was_handed_out() {
        let mut queue = assigned();
        let offsets: Vec<i64> = (0..10).collect();
        queue.add(pulled(&offsets, 10), 0);
        queue.pulling = Pulling::Full;
        queue.poll(4);
        assert_eq!(queue.resume(ROOM), None);
        queue.poll(1);
        assert_eq!((queue.resume(ROOM), queue.pulling), (Some(1), Pulling::InFlight));
        assert_eq!(queue.resume(ROOM), None, "it is being pulled");
        // What listeners have is not waited for: each that returns makes room.
        let mut queue = assigned();
        queue.add(pulled(&offsets, 10), 0);
        queue.pulling = Pulling::Full;
        queue.take(10, 5);
        assert_eq!(queue.resume(ROOM), None);
        assert!(queue.done(3));
        assert_eq!(queue.resume(ROOM), Some(1));
        // One is the least that there may be.
        let (mut queue, least) = (assigned(), Room { messages: 1, ..ROOM });
        queue.add(pulled(&[0], 1), 0);
        queue.pulling = Pulling::Full;
        assert_eq!(queue.resume(least), None);
        queue.poll(1);
        assert_eq!(queue.resume(least), Some(1));
    }

    #[test]
    fn what_comes_again_comes_first_or_later() {
        let mut queue = assigned();
        queue.add(pulled(&[0, 1, 2, 3], 4), 0);
        let offsets = |taken: Vec<(i64, Fetched)>| -> Vec<(i64, i32)> {
            taken.into_iter().map(|(offset, fetched)| (offset, fetched.again)).collect()
        };
        assert_eq!(offsets(queue.take(2, 5)), [(0, 0), (1, 0)]);
        queue.again_first(&[0, 1]);
        assert_eq!(offsets(queue.take(3, 5)), [(0, 1), (1, 1), (2, 0)]);
        queue.again_at(1, 100);
        assert_eq!(queue.ripen(99), Some(100));
        assert_eq!(offsets(queue.take(9, 99)), [(3, 0)]);
        assert_eq!(queue.ripen(100), None);
        assert_eq!(offsets(queue.take(9, 100)), [(1, 2)]);
        assert_eq!(queue.overdue(99, 9).0.len(), 3);
        assert_eq!(queue.overdue(5, 1), (vec![(0, Bytes::from(vec![0; 10]))], Some(5)));
    }

    #[test]
    fn a_broker_that_answers_emptily_at_once_is_asked_less_often() {
        let mut queue = assigned();
        let waits: Vec<bool> = (0..4).map(|_| queue.add(pulled(&[], 0), 0)).collect();
        assert_eq!(waits, [false, false, true, true]);
        assert!(!queue.add(pulled(&[], 5), 0), "it passed over something");
        assert!(!queue.add(pulled(&[], 5), 15_000));
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// A pull brings messages at some of the next offsets.
        Pull(Vec<bool>),
        Take(usize),
        /// One of those in consumption is done.
        Done(usize),
        /// One of those in consumption comes again.
        Again(usize),
        Later(usize),
        Ripen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::collection::vec(any::<bool>(), 0..8).prop_map(Step::Pull),
            (1usize..6).prop_map(Step::Take),
            (0usize..100).prop_map(Step::Done),
            (0usize..100).prop_map(Step::Done),
            (0usize..100).prop_map(Step::Again),
            (0usize..100).prop_map(Step::Later),
            Just(Step::Ripen),
        ]
    }

    /// Removes one of a set by a random number.
    fn pick(from: &mut BTreeSet<i64>, number: usize) -> Option<i64> {
        let offset = *from.iter().nth(number % from.len().max(1))?;
        from.remove(&offset);
        Some(offset)
    }

    proptest! {
        /// Whatever the order of completions: progress is the smallest offset that is not done, never goes back, and
        /// every message is handed out until it is done.
        #[test]
        fn progress_is_the_smallest_offset_not_done(script in proptest::collection::vec(step(), 1..200)) {
            let mut queue = assigned();
            let (mut next, mut last) = (0i64, 0i64);
            let (mut waiting, mut out, mut later) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
            for step in script {
                match step {
                    Step::Pull(wanted) => {
                        let offsets: Vec<i64> = wanted
                            .iter().zip(next..).filter(|(wanted, _)| **wanted).map(|(_, offset)| offset).collect();
                        next += wanted.len() as i64;
                        waiting.extend(&offsets);
                        queue.add(pulled(&offsets, next), 1000);
                    }
                    Step::Take(count) => {
                        for (offset, _) in queue.take(count, 0) {
                            prop_assert!(waiting.remove(&offset), "{offset} was not to be handed out");
                            out.insert(offset);
                        }
                    }
                    Step::Done(number) => {
                        if let Some(offset) = pick(&mut out, number) {
                            prop_assert!(queue.done(offset));
                        }
                    }
                    Step::Again(number) => {
                        if let Some(offset) = pick(&mut out, number) {
                            queue.again_first(&[offset]);
                            waiting.insert(offset);
                        }
                    }
                    Step::Later(number) => {
                        if let Some(offset) = pick(&mut out, number) {
                            queue.again_at(offset, 10);
                            later.insert(offset);
                        }
                    }
                    Step::Ripen => {
                        queue.ripen(10);
                        waiting.append(&mut later);
                    }
                }
                let undone = waiting.iter().chain(&out).chain(&later);
                let held = undone.clone().count();
                prop_assert_eq!(queue.progress(), undone.min().copied().unwrap_or(next));
                prop_assert!(queue.progress() >= last);
                prop_assert_eq!(queue.held(), (held, held * 10));
                prop_assert_eq!(queue.has_ready(), !waiting.is_empty());
                last = queue.progress();
            }
        }
    }
}
