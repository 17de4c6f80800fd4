//! Which of the numbers can be right that the records of a queue bear, in log order. No CRC covers a number: the records
//! around it have to tell. One that is out of turn is put off until those behind it confirm or refute it.

use std::cmp::Ordering;

use super::queue::{Form, Slot};
use crate::record::MIN_RECORD;

/// Records whose numbers are out of turn, until it is known what to do with them.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// Bytes of the log that a number takes at least.
    least: i64,
    /// Whether numbers may begin anew.
    may_begin: bool,
    /// Not the number that was expected.
    odd: Option<Slot>,
    /// Behind an odd one that is too high: one that cannot follow it.
    other: Option<Slot>,
}

/// What is known now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The topic was deleted and made again: what was there before the accepted ones goes.
    pub begins_anew: bool,
    /// The queue lacks entries before its first one: it is to be made again by another reading of the log.
    pub remake: bool,
    /// Records whose turn it is, in this order.
    pub accepted: [Option<Slot>; 3],
    /// Records whose numbers cannot be theirs, and why.
    pub refused: [Option<(Slot, &'static str)>; 2],
}

/// How many numbers one that none behind it confirms may leave out, if no more can be lost.
const MOST_LEFT_OUT: i64 = 1 << 16;

pub(crate) const TAKEN: &str = "an earlier record has that offset";
const DAMAGED: &str = "that is not its offset, as those of the records around it show";

impl Ruling {
    pub const REMAKE: Ruling =
        Ruling { begins_anew: false, remake: true, accepted: [None; 3], refused: [None; 2] };

    fn accept(&mut self, slot: Slot) {
        if let Some(free) = self.accepted.iter_mut().find(|place| place.is_none()) {
            *free = Some(slot);
        }
    }

    fn refuse(&mut self, slot: Slot, why: &'static str) {
        if let Some(free) = self.refused.iter_mut().find(|place| place.is_none()) {
            *free = Some((slot, why));
        }
    }
}

fn end(slot: &Slot) -> i64 {
    slot.offset + slot.count
}

impl Numbers {
    /// `may_begin`: whether the topic may have been deleted and made again, so that numbers begin anew.
    pub fn new(form: Form, may_begin: bool) -> Self {
        let least = if form == Form::Plain { MIN_RECORD as i64 } else { 1 };
        Numbers { least, may_begin, odd: None, other: None }
    }

    /// Whether one record can stand behind another one in their queue: whether there is room for those in between.
    fn can_follow(&self, before: &Slot, slot: &Slot) -> bool {
        let between = slot.offset - end(before);
        between >= 0 && between <= (slot.entry.physical_offset - before.entry.end()) / self.least
    }

    /// Whether records are put off.
    pub fn are_open(&self) -> bool {
        self.odd.is_some()
    }

    /// The next record, where `next` is the number that it should have if those that are put off are passed over.
    pub fn follow(&mut self, next: i64, slot: Slot) -> Ruling {
        let mut ruling = Ruling::default();
        if slot.offset < next && !self.may_begin {
            ruling.refuse(slot, TAKEN);
            return ruling;
        }
        match (self.odd.take(), self.other.take()) {
            (None, _) => self.place(next, slot, &mut ruling),
            (Some(odd), None) if odd.offset > next => self.after_jump(next, odd, slot, &mut ruling),
            (Some(odd), None) => self.after_return(next, odd, slot, &mut ruling),
            (Some(odd), Some(other)) if slot.offset == end(&odd) + other.count => {
                ruling.accept(odd);
                ruling.refuse(other, DAMAGED);
                ruling.accept(slot);
            }
            (Some(odd), Some(other)) if self.can_follow(&other, &slot) => {
                ruling.refuse(odd, DAMAGED);
                ruling.begins_anew = other.offset < next;
                ruling.accept(other);
                self.place(end(&other), slot, &mut ruling);
            }
            (Some(odd), Some(other)) if next > 0 && odd.offset - next > MOST_LEFT_OUT => {
                ruling.refuse(odd, DAMAGED);
                match other.offset.cmp(&next) {
                    Ordering::Less => self.after_return(next, other, slot, &mut ruling),
                    Ordering::Equal => {
                        ruling.accept(other);
                        self.place(end(&other), slot, &mut ruling);
                    }
                    Ordering::Greater => self.after_jump(next, other, slot, &mut ruling),
                }
            }
            (Some(odd), Some(other)) => {
                ruling.accept(odd);
                ruling.refuse(other, DAMAGED);
                self.place(end(&odd), slot, &mut ruling);
            }
        }
        ruling
    }

    fn place(&mut self, next: i64, slot: Slot, ruling: &mut Ruling) {
        if slot.offset == next {
            ruling.accept(slot);
        } else if slot.offset < next && !self.may_begin {
            ruling.refuse(slot, TAKEN);
        } else {
            self.odd = Some(slot);
        }
    }

    /// Behind a number that leaves some out: damage took the records before it, or its own is damaged.
    fn after_jump(&mut self, next: i64, odd: Slot, slot: Slot, ruling: &mut Ruling) {
        // Where nothing was before, the log may have begun later than the queue.
        if slot.offset == next + odd.count && next > 0 {
            ruling.refuse(odd, DAMAGED);
            ruling.accept(slot);
        } else if self.can_follow(&odd, &slot) {
            ruling.accept(odd);
            self.place(end(&odd), slot, ruling);
        } else {
            (self.odd, self.other) = (Some(odd), Some(slot));
        }
    }

    /// Behind a number that an earlier record has: the topic was deleted and made again, or it is damaged.
    fn after_return(&mut self, next: i64, odd: Slot, slot: Slot, ruling: &mut Ruling) {
        let goes_on = slot.offset == end(&odd);
        // A topic that had one message may have two now.
        let is_due = slot.offset == next && !(odd.offset == 0 && goes_on);
        if slot.offset == next + odd.count || is_due {
            ruling.refuse(odd, DAMAGED);
            ruling.accept(slot);
        } else if odd.offset > 0 && !goes_on && slot.offset > next {
            ruling.refuse(odd, DAMAGED);
            self.odd = Some(slot);
        } else if slot.offset > odd.offset {
            ruling.begins_anew = true;
            ruling.accept(odd);
            self.place(end(&odd), slot, ruling);
        } else {
            ruling.refuse(odd, TAKEN);
            self.place(next, slot, ruling);
        }
    }

    /// The next record, where its queue says the same of it as it does itself.
    pub fn follow_sure(&mut self, next: i64, slot: Slot) -> Ruling {
        let mut ruling = Ruling::default();
        let other = self.other.take();
        if let Some(odd) = self.odd.take() {
            let is_damaged = odd.offset < next || slot.offset == next + odd.count;
            if is_damaged || !self.can_follow(&odd, &slot) {
                ruling.refuse(odd, DAMAGED);
            } else {
                ruling.accept(odd);
            }
        }
        if let Some(other) = other {
            ruling.refuse(other, DAMAGED);
        }
        ruling.accept(slot);
        ruling
    }

    /// What becomes of records that were put off and have none behind them. `is_next`: whether a record is the one that
    /// its queue had at `next`. `may_begin`: whether a topic that was made again can have a single record. `lost`: bytes
    /// of the log in which there may have been records that were not read.
    pub fn end(&mut self, next: i64, is_next: impl Fn(&Slot) -> bool, may_begin: bool, lost: i64) -> Ruling {
        let mut ruling = Ruling::default();
        let Some(odd) = self.odd.take() else { return ruling };
        let most_left_out = MOST_LEFT_OUT.max(lost / self.least);
        let is_too_high = |slot: &Slot| next > 0 && slot.offset - next > most_left_out;
        // What was passed over as damaged has room for the numbers before it.
        let is_explained = |slot: &Slot| slot.offset > next && slot.offset - next <= lost / self.least;
        let (odd, other) = match self.other.take() {
            Some(other) if is_too_high(&odd) => {
                ruling.refuse(odd, DAMAGED);
                (other, None)
            }
            Some(other) if is_too_high(&other) => {
                ruling.refuse(other, DAMAGED);
                (odd, None)
            }
            // There is no room between them, so one of them is damaged.
            Some(other) if is_explained(&odd) && other.offset > next && !is_explained(&other) => {
                ruling.refuse(other, DAMAGED);
                (odd, None)
            }
            Some(other) if is_explained(&other) && odd.offset > next && !is_explained(&odd) => {
                ruling.refuse(odd, DAMAGED);
                (other, None)
            }
            other => (odd, other),
        };
        let begins = |slot: &Slot| slot.offset == 0 && next > 0 && may_begin && !is_next(slot);
        match other {
            Some(other) if begins(&other) => {
                ruling.refuse(odd, DAMAGED);
                ruling.begins_anew = true;
                ruling.accept(other);
            }
            // Where there is no room between them, the higher one counts: numbers that were given are not given again.
            Some(other)
                if other.offset == next
                    || other.offset == next + odd.count
                    || other.offset > odd.offset
                    || is_next(&odd) =>
            {
                ruling.refuse(odd, DAMAGED);
                ruling.accept(other);
            }
            other => {
                if odd.offset == next || (odd.offset > next && !is_next(&odd) && !is_too_high(&odd)) {
                    ruling.accept(odd);
                } else if begins(&odd) {
                    ruling.begins_anew = true;
                    ruling.accept(odd);
                } else {
                    ruling.refuse(odd, if odd.offset < next { TAKEN } else { DAMAGED });
                }
                if let Some(other) = other {
                    ruling.refuse(other, DAMAGED);
                }
            }
        }
        ruling
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::types::QueueEntry;

    fn slot(at: usize, offset: i64) -> Slot {
        let entry = QueueEntry { physical_offset: at as i64 * 10_000, size: 100, tags_code: 0 };
        Slot { offset, count: 1, entry, store_timestamp: 0 }
    }

    /// Which of the records with these numbers are in the queue in the end, and under which numbers.
    fn queue_from(first: i64, numbers: &[i64]) -> Vec<(i64, usize)> {
        queue_where(first, numbers, true, 0)
    }

    fn queue_where(first: i64, numbers: &[i64], may_begin: bool, lost: i64) -> Vec<(i64, usize)> {
        let (mut judge, mut next, mut queue) = (Numbers::new(Form::Plain, may_begin), first, Vec::new());
        let mut take = |ruling: Ruling, next: &mut i64| {
            if ruling.begins_anew {
                queue.clear();
            }
            for slot in ruling.accepted.into_iter().flatten() {
                queue.push((slot.offset, slot.entry.physical_offset as usize / 10_000));
                *next = slot.offset + 1;
            }
        };
        for (at, number) in numbers.iter().enumerate() {
            let ruling = judge.follow(next, slot(at, *number));
            take(ruling, &mut next);
        }
        let ruling = judge.end(next, |_| false, may_begin, lost);
        take(ruling, &mut next);
        queue
    }

    fn queue(numbers: &[i64]) -> Vec<(i64, usize)> {
        queue_from(numbers[0], numbers)
    }

    /// The log's beginning has expired: nothing tells what to expect.
    #[test]
    fn the_first_number_that_is_there_may_be_damaged() {
        let rest = |numbers: &[i64]| queue_from(0, numbers)[1..].to_vec();
        assert_eq!(queue_from(0, &[5, 5300, 5301, 5302]), [(5300, 1), (5301, 2), (5302, 3)]);
        assert_eq!(queue_from(0, &[5400, 5300, 5301, 5302]), [(5300, 1), (5301, 2), (5302, 3)]);
        assert_eq!(queue_from(0, &[5301, 5300, 5301, 5302]), [(5300, 1), (5301, 2), (5302, 3)]);
        assert_eq!(queue_from(0, &[5299, 1, 5301, 5302]), [(5299, 0), (5301, 2), (5302, 3)]);
        assert_eq!(rest(&[5299, 5300, 1, 5302]), [(5300, 1), (5302, 3)]);
        assert_eq!(queue_from(0, &[9, 1, 2, 3]), [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(queue_from(0, &[9, 1]), [(1, 1)]);
        assert_eq!(queue_from(0, &[5299, 5300, 5301]), [(5299, 0), (5300, 1), (5301, 2)]);
        assert_eq!(queue_from(0, &[5299]), [(5299, 0)]);
    }

    #[test]
    fn a_topic_that_was_made_again_counts() {
        for old in 1..6 {
            for new in 1..8 {
                let numbers: Vec<i64> = (0..old).chain(0..new).collect();
                let expected: Vec<_> = (0..new).zip(old as usize..).collect();
                assert_eq!(queue(&numbers), expected, "{numbers:?}");
            }
        }
    }

    #[test]
    fn records_that_damage_took_leave_holes() {
        assert_eq!(queue(&[0, 1, 5]), [(0, 0), (1, 1), (5, 2)]);
        assert_eq!(queue(&[0, 1, 5, 6]), [(0, 0), (1, 1), (5, 2), (6, 3)]);
        assert_eq!(queue(&[0, 3, 7, 8, 20]), [(0, 0), (3, 1), (7, 2), (8, 3), (20, 4)]);
        assert_eq!(queue(&[7, 8, 0, 1, 2]), [(0, 2), (1, 3), (2, 4)]);
        // Its own damaged, and the next one lost.
        assert_eq!(queue(&[0, 1, 2, 3, 1, 6, 7]), [(0, 0), (1, 1), (2, 2), (3, 3), (6, 5), (7, 6)]);
        // The old topic's last one stands behind a hole, or has a damaged number.
        assert_eq!(queue(&[0, 1, 9, 0, 1]), [(0, 3), (1, 4)]);
        assert_eq!(queue(&[0, 1, 9, 0]), [(0, 3)]);
    }

    /// What was before is known to be this topic's, and is not read again.
    #[test]
    fn numbers_that_are_vouched_for_do_not_begin_anew() {
        let behind = |from: i64, numbers: &[i64]| queue_where(from, numbers, false, 0);
        assert_eq!(behind(1024, &[0, 1026, 1027]), [(1026, 1), (1027, 2)]);
        assert_eq!(behind(512, &[0, 1, 514, 515]), [(514, 2), (515, 3)]);
        assert_eq!(behind(5, &[0, 1, 2, 3, 4]), []);
        assert_eq!(behind(5, &[5, 9, 0, 11, 12]), [(5, 0), (9, 1), (11, 3), (12, 4)]);
        assert_eq!(behind(5, &[9000, 6, 1, 8]), [(6, 1), (8, 3)]);
        assert_eq!(behind(5, &[0, 6]), [(6, 1)]);
        assert_eq!(behind(5, &[5, 6, 0]), [(5, 0), (6, 1)]);
    }

    #[test]
    fn a_number_that_none_behind_it_confirms_leaves_out_what_can_be_lost() {
        let high = 4 + (1 << 20);
        assert_eq!(queue(&[0, 1, 2, 9]), [(0, 0), (1, 1), (2, 2), (9, 3)]);
        assert_eq!(queue(&[0, 1, 2, high]), [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(queue(&[0, 1, 2, high, 4]), [(0, 0), (1, 1), (2, 2), (4, 4)]);
        assert_eq!(queue(&[0, 1, 2, high, 5]), [(0, 0), (1, 1), (2, 2), (5, 4)]);
        assert_eq!(queue(&[0, 1, 2, 5, high]), [(0, 0), (1, 1), (2, 2), (5, 3)]);
        assert_eq!(queue(&[0, 1, 2, high, high + 1000]), [(0, 0), (1, 1), (2, 2)]);
        // The one behind it is damaged as well.
        let kept = [(0, 0), (1, 1), (2, 2), (5, 5), (6, 6), (7, 7)];
        assert_eq!(queue(&[0, 1, 2, high, 9, 5, 6, 7]), kept);
        // As much was lost.
        let all = queue_where(0, &[0, 1, 2, high], true, (1 << 20) * MIN_RECORD as i64 * 2);
        assert_eq!(all, [(0, 0), (1, 1), (2, 2), (high, 3)]);
        // Where nothing was before, the log begins later than the queue.
        assert_eq!(queue_from(0, &[high]), [(high, 0)]);
    }

    proptest! {
        #[test]
        fn one_damaged_number_takes_one_record(
            first in 0..3_i64,
            count in 3..20_usize,
            damaged in 0..20_usize,
            number in prop_oneof![0..40_i64, Just(1 << 40)],
        ) {
            // The first one is what the others go by.
            let damaged = 1 + damaged % (count - 1);
            let mut numbers: Vec<i64> = (first..).take(count).collect();
            let right = std::mem::replace(&mut numbers[damaged], number);
            let mut expected: Vec<(i64, usize)> = (first..).zip(0..count).collect();
            let kept = queue(&numbers);
            if number == right {
                prop_assert_eq!(kept, expected);
            } else if damaged + 1 < count {
                expected.remove(damaged);
                prop_assert_eq!(kept, expected);
            } else if number > 0 {
                // None behind it says that it is wrong.
                expected.pop();
                prop_assert_eq!(&kept[..count - 1], &expected[..]);
            }
        }
    }
}
