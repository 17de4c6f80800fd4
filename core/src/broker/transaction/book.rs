//! What a broker keeps in memory of its half messages: which of them are decided. One bit each, from the first undecided
//! one on; the messages themselves stay in the store.

use std::collections::{HashMap, VecDeque};

/// Half messages that were put back are remembered by their unique ids up to this many. A late decision about a further
/// one is refused, and asked for.
const MOST_MOVED: usize = 1 << 20;

/// Half messages from the first undecided one to the end of their queue, before undecided ones among them are few.
const MANY: i64 = 1 << 20;
/// The undecided are few if at most one in so many is.
const ONE_IN: i64 = 8;

/// Steps of progress that wait for the disk at most.
const MOST_PROGRESS: usize = 64;

/// The decided half messages, what is to be written about them, and how far both queues are done.
#[derive(Default)]
pub(super) struct Book {
    /// Everything below is decided: the progress of the half queue.
    base: i64,
    /// A bit for each half message from `base & !63` on.
    words: VecDeque<u64>,
    /// Where a half message that was put back is now, by the hash of its unique id.
    moved: HashMap<u64, i64>,
    /// Decided, and not yet in the op queue.
    marks: Marks,
    /// Messages of the op queue that are still needed: their offset, and the highest half offset in each.
    ops: VecDeque<(i64, i64)>,
    /// Offset behind the newest message of the op queue.
    op_end: i64,
    /// Progress of both queues that waits for the log to be on the disk up to an end, the oldest first.
    unsafe_progress: VecDeque<(i64, (i64, i64))>,
    /// The progress that was told last.
    told: Option<(i64, i64)>,
}

/// Offsets on their way into the op queue.
#[derive(Default)]
pub(super) struct Marks {
    offsets: VecDeque<i64>,
    bytes: usize,
    /// When the oldest was added.
    since_ms: i64,
    /// Not before this, for they could not be written.
    not_before_ms: Option<i64>,
}

impl Book {
    /// With the progress that was saved for both queues.
    pub fn new(base: i64, op_base: i64) -> Self {
        Book { base, op_end: op_base, told: Some((base, op_base)), ..Book::default() }
    }

    /// The first half message that is not decided, as far as known: the progress of the half queue.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// The first message of the op queue that is still needed: its progress.
    pub fn op_base(&self) -> i64 {
        self.ops.front().map_or(self.op_end, |(offset, _)| *offset)
    }

    /// Whether a half message is decided.
    pub fn is_decided(&self, offset: i64) -> bool {
        offset < self.base
            || self.words.get(self.word(offset)).is_some_and(|word| word & (1 << (offset & 63)) != 0)
    }

    /// Counts a half message as decided. Returns false if it was before. `offset` is one of the half queue, so the bits
    /// reach no further than that.
    pub fn decide(&mut self, offset: i64) -> bool {
        if self.is_decided(offset) {
            return false;
        }
        let at = self.word(offset);
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= 1 << (offset & 63);
        true
    }

    /// The first undecided half message from `from` on, below `end`.
    pub fn next_undecided(&self, from: i64, end: i64) -> Option<i64> {
        let mut offset = from.max(self.base);
        while offset < end {
            let open = match self.words.get(self.word(offset)) {
                Some(word) => !word >> (offset & 63),
                None => return Some(offset),
            };
            if open != 0 {
                offset += i64::from(open.trailing_zeros());
                return (offset < end).then_some(offset);
            }
            offset = (offset | 63) + 1;
        }
        None
    }

    /// Up to where the undecided should be put back to `end`, the half queue's, so that the progress and the memory for
    /// it can go on: they are few among many that are decided, which costs at most one in [`ONE_IN`] messages more. Many
    /// stay where they are, at a bit each.
    pub fn put_back_below(&self, end: i64) -> i64 {
        let span = end - self.base;
        let decided: i64 = self.words.iter().map(|word| i64::from(word.count_ones())).sum();
        let below_base = self.words.front().map_or(0, |word| word & ((1 << (self.base & 63)) - 1));
        let open = span - (decided - i64::from(below_base.count_ones()));
        match span > MANY && open <= span / ONE_IN {
            true => end - MANY,
            false => self.base,
        }
    }

    /// Moves the progress over what is decided, at most to `end`, the half queue's; then that of the op queue.
    pub fn advance(&mut self, end: i64) {
        let base = self.next_undecided(self.base, end).unwrap_or(end);
        self.skip_to(base);
    }

    /// Moves the progress to `base`, whatever is before it.
    pub fn skip_to(&mut self, base: i64) {
        if base <= self.base {
            return;
        }
        let gone = self.word(base).min(self.words.len());
        self.words.drain(..gone);
        self.base = base;
        while self.ops.front().is_some_and(|(_, highest)| *highest < base) {
            self.ops.pop_front();
        }
    }

    /// Notes the progress as it is; everything that led to it stands in the log before `log_end`.
    pub fn note_progress(&mut self, log_end: i64) {
        let progress = (self.base(), self.op_base());
        let last = self.unsafe_progress.back().map(|(_, progress)| *progress).or(self.told);
        if last == Some(progress) {
            return;
        }
        if self.unsafe_progress.len() >= MOST_PROGRESS {
            // One step for the last two: what waits is bounded, and waits a little longer.
            self.unsafe_progress.pop_back();
        }
        self.unsafe_progress.push_back((log_end, progress));
    }

    /// The newest progress for which the log is on the disk far enough, if it was not told before.
    pub fn safe_progress(&mut self, flushed: i64) -> Option<(i64, i64)> {
        let mut safe = None;
        while self.unsafe_progress.front().is_some_and(|(log_end, _)| *log_end <= flushed) {
            safe = self.unsafe_progress.pop_front().map(|(_, progress)| progress);
        }
        self.told = safe.or(self.told);
        safe
    }

    /// A message of the op queue was written or read.
    pub fn note_op(&mut self, op_offset: i64, highest: i64) {
        self.op_end = self.op_end.max(op_offset + 1);
        if highest >= self.base {
            self.ops.push_back((op_offset, highest));
        }
    }

    /// Where the half message with this unique id was put back to.
    pub fn moved(&self, id: &str) -> Option<i64> {
        self.moved.get(&hash(id)).copied()
    }

    /// A half message was put back.
    pub fn note_moved(&mut self, id: &str, offset: i64) {
        let key = hash(id);
        if self.moved.len() < MOST_MOVED || self.moved.contains_key(&key) {
            self.moved.insert(key, offset);
        }
    }

    /// The half message at `offset` waits no more.
    pub fn forget_moved(&mut self, id: &str, offset: i64) {
        let key = hash(id);
        if self.moved.get(&key) == Some(&offset) {
            self.moved.remove(&key);
        }
    }

    /// Makes room for those that are put back, if there is none: forgets those whose end was not heard of here.
    pub fn tidy_moved(&mut self) {
        if self.moved.len() >= MOST_MOVED {
            let mut moved = std::mem::take(&mut self.moved);
            moved.retain(|_, offset| !self.is_decided(*offset));
            self.moved = moved;
        }
    }

    /// Offsets that are to be written into the op queue.
    pub fn marks(&mut self) -> &mut Marks {
        &mut self.marks
    }

    /// Decided half messages from the first undecided one on.
    pub fn decided_ahead(&self) -> impl Iterator<Item = i64> + '_ {
        let first = self.base & !63;
        let bits = self.words.iter().enumerate().flat_map(move |(at, word)| {
            let start = first + at as i64 * 64;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| start + bit)
        });
        bits.filter(|offset| *offset >= self.base)
    }

    fn word(&self, offset: i64) -> usize {
        ((offset >> 6) - (self.base >> 6)).max(0) as usize
    }
}

impl Marks {
    /// Adds an offset. Returns whether it is the first.
    pub fn add(&mut self, offset: i64, now_ms: i64) -> bool {
        let first = self.offsets.is_empty();
        if first {
            self.since_ms = now_ms;
        }
        self.offsets.push_back(offset);
        self.bytes += offset.to_string().len() + 1;
        first
    }

    /// The bytes they take as text.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the oldest was added, if there is one.
    pub fn since_ms(&self) -> Option<i64> {
        (!self.offsets.is_empty()).then_some(self.since_ms)
    }

    /// They could not be written: not again before `at_ms`. Returns whether it is the first time in a row.
    pub fn postpone(&mut self, at_ms: i64) -> bool {
        self.not_before_ms.replace(at_ms).is_none()
    }

    /// When they may be written again, after they could not be.
    pub fn not_before_ms(&self) -> Option<i64> {
        self.not_before_ms
    }

    /// The body of the next op message, of about `most` bytes, and the offsets in it, if there are any. One alone stands
    /// there without comma: brokers of 4.9 read no others.
    pub fn body(&self, most: usize) -> Option<(String, usize)> {
        let mut text = self.offsets.front()?.to_string();
        let mut count = 1;
        for offset in self.offsets.iter().skip(1) {
            if text.len() >= most {
                break;
            }
            text.push(',');
            text += &offset.to_string();
            count += 1;
        }
        if count > 1 {
            text.push(',');
        }
        Some((text, count))
    }

    /// Takes out the first ones, which were written. Returns the highest of them.
    pub fn written(&mut self, count: usize) -> i64 {
        self.not_before_ms = None;
        let written = self.offsets.drain(..count);
        let mut highest = i64::MIN;
        for offset in written {
            self.bytes -= offset.to_string().len() + 1;
            highest = highest.max(offset);
        }
        highest
    }
}

/// FNV-1a: ids of one prefix and a counter spread well, and nobody gains by making two alike.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn progress_goes_over_what_is_decided() {
        let mut book = Book::new(100, 7);
        assert_eq!((book.base(), book.op_base()), (100, 7));
        assert!(book.decide(101) && book.decide(300) && !book.decide(101) && !book.decide(99));
        book.note_op(7, 101);
        book.note_op(8, 300);
        book.advance(301);
        assert_eq!((book.base(), book.op_base()), (100, 7));
        assert!(book.decide(100));
        book.advance(301);
        assert_eq!((book.base(), book.op_base()), (102, 8));
        assert_eq!(book.decided_ahead().collect::<Vec<_>>(), [300]);
        (102..300).for_each(|offset| assert!(book.decide(offset)));
        book.advance(301);
        assert_eq!((book.base(), book.op_base()), (301, 9));
        book.note_op(9, 250);
        assert_eq!(book.op_base(), 10, "nothing in it is needed");
        assert!(book.words.len() <= 1);
    }

    #[test]
    fn marks_are_cut_into_messages() {
        let mut marks = Marks::default();
        assert_eq!(marks.body(10), None);
        assert!(marks.add(5, 1000));
        assert_eq!(marks.body(10), Some(("5".into(), 1)));
        (10..20).for_each(|offset| assert!(!marks.add(offset, 2000)));
        assert_eq!((marks.bytes(), marks.since_ms()), (32, Some(1000)));
        let (text, count) = marks.body(10).unwrap();
        assert_eq!((text.as_str(), count), ("5,10,11,12,", 4));
        assert_eq!(marks.written(count), 12);
        assert_eq!(marks.body(4096), Some(("13,14,15,16,17,18,19,".into(), 7)));
        assert_eq!(marks.written(7), 19);
        assert_eq!((marks.bytes(), marks.since_ms()), (0, None));
    }

    #[test]
    fn progress_is_told_when_the_log_is_safe_so_far_and_once() {
        let mut book = Book::new(0, 0);
        book.note_progress(50);
        assert_eq!(book.safe_progress(1000), None, "nothing is new");
        book.decide(0);
        book.advance(2);
        book.note_progress(100);
        book.decide(1);
        book.advance(2);
        book.note_progress(200);
        assert_eq!(book.safe_progress(99), None);
        assert_eq!(book.safe_progress(150), Some((1, 0)));
        assert_eq!(book.safe_progress(199), None);
        assert_eq!(book.safe_progress(200), Some((2, 0)));
        assert_eq!(book.safe_progress(i64::MAX), None);
        for offset in 2..1000 {
            book.decide(offset);
            book.advance(offset + 1);
            book.note_progress(offset * 100);
        }
        assert!(book.unsafe_progress.len() <= MOST_PROGRESS);
        assert_eq!(book.safe_progress(99_899).map(|(half, _)| half < 1000), Some(true));
        assert_eq!(book.safe_progress(99_900), Some((1000, 0)));
    }

    #[test]
    fn marks_that_could_not_be_written_rest() {
        let mut marks = Marks::default();
        marks.add(1, 10);
        assert!(marks.postpone(1_010) && !marks.postpone(2_010));
        assert_eq!(marks.not_before_ms(), Some(2_010));
        marks.written(1);
        assert_eq!(marks.not_before_ms(), None);
    }

    #[test]
    fn few_among_many_are_put_back_and_many_stay() {
        let end = MANY + 10 * ONE_IN + 77;
        let mut book = Book::new(77, 0);
        assert_eq!(book.put_back_below(end), 77, "nothing is decided");
        // All but each eighth, from a base within a word on.
        for offset in (77..end).filter(|offset| (offset - 77) % ONE_IN != 0) {
            book.decide(offset);
        }
        assert_eq!(book.put_back_below(end), end - MANY);
        assert_eq!(book.put_back_below(MANY + 77), 77, "not that many");
        assert_eq!(book.put_back_below(end + 8), 77, "one more in eight is undecided");
        book.decide(77);
        book.advance(end);
        assert_eq!((book.base(), book.put_back_below(end)), (85, end - MANY));
    }

    proptest! {
        #[test]
        fn a_book_says_what_a_set_says(
            base in 0i64..200,
            steps in prop::collection::vec((0i64..500, any::<bool>()), 0..300),
        ) {
            let mut book = Book::new(base, 0);
            let mut decided: BTreeSet<i64> = (0..base).collect();
            for (offset, advance) in steps {
                prop_assert_eq!(book.decide(offset), decided.insert(offset));
                if advance {
                    book.advance(500);
                    let first = (0..500).find(|offset| !decided.contains(offset)).unwrap_or(500);
                    prop_assert_eq!(book.base(), first);
                }
                let open: Vec<i64> = (0..500).filter(|offset| !decided.contains(offset)).collect();
                let mut found = Vec::new();
                while let Some(next) = book.next_undecided(found.last().map_or(0, |last| last + 1), 500) {
                    found.push(next);
                }
                prop_assert_eq!(found, open);
                let ahead: Vec<i64> = decided.range(book.base()..).copied().collect();
                prop_assert_eq!(book.decided_ahead().collect::<Vec<_>>(), ahead);
            }
        }
    }
}
