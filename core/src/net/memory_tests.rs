use super::*;
use crate::net::input::Received;
use crate::net::Limits;
use std::task::{Context, Poll, Waker};

const LIMIT: usize = 1 << 20;
const FRAME: usize = 400 << 10;

/// A connection as its task has it.
struct Peer {
    connection: Arc<Connection>,
    charge: Charge,
    input: Input,
}

fn memory() -> Arc<Memory> {
    Memory::new(LIMIT, 100, Duration::ZERO)
}

impl Peer {
    fn of(memory: &Arc<Memory>) -> Peer {
        let connection = Connection::accepted(false, Arc::new(Limits::default()), memory.clone());
        Peer { connection, charge: Charge::to(Some(memory.clone())), input: Input::default() }
    }

    fn room(&mut self) -> Option<usize> {
        self.charge.room(&self.connection, &self.input)
    }

    /// Receives bytes of a frame of [`FRAME`] bytes, if there is room for them; says whether there was.
    fn receives(&mut self, bytes: usize) -> bool {
        let mut left = bytes;
        while left > 0 {
            let Some(room) = self.room() else { return false };
            let mut sent = vec![0; left.min(room).min(64 << 10)];
            if self.input.len() == 0 {
                sent[..4].copy_from_slice(&(FRAME as u32 - 4).to_be_bytes());
            }
            let mut cx = Context::from_waker(Waker::noop());
            let mut socket = &sent[..];
            let read = self.input.poll_read(&mut socket, &mut cx, room, |bytes| {
                Ok::<_, std::io::Error>(if bytes.len() >= FRAME { FRAME } else { 0 })
            });
            let Poll::Ready(Ok(Received::Bytes(count))) = read else { panic!("bytes were there") };
            left -= count;
            self.charge.hold_input(&self.input);
        }
        true
    }
}

#[test]
fn what_is_small_does_not_count_and_is_never_held_up() {
    let memory = memory();
    let mut peer = Peer::of(&memory);
    assert!(peer.receives(SMALL));
    peer.charge.hold_output(SMALL);
    assert_eq!(memory.used(), 0);
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(2 * LIMIT);
    assert_eq!(memory.used(), 2 * LIMIT);
    assert_eq!(Peer::of(&memory).room(), Some(SMALL));
    drop(hog);
    assert_eq!(memory.used(), 0);
    assert_eq!(Peer::of(&memory).room(), Some(usize::MAX));
}

#[test]
fn large_frames_are_received_in_turn_each_whole() {
    let memory = memory();
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::of(&memory)).collect();
    for peer in &mut peers {
        assert!(peer.receives(FRAME / 2));
    }
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(LIMIT / 2);
    assert!(memory.is_short());
    // The first goes on beyond the limit, the others wait.
    assert!(peers[0].room().is_some());
    for waiting in &mut peers[1..] {
        assert!(waiting.room().is_none());
    }
    assert!(peers[0].room().is_some(), "asked again");
    assert!(memory.used() <= LIMIT + LIMIT / 2 + FRAME);
    // Its end makes room for the next; nobody has to ask for it.
    for peer in &mut peers {
        assert!(peer.receives(FRAME / 2));
        assert_eq!(peer.input.len(), 0);
    }
    assert_eq!(memory.used(), LIMIT / 2);
    assert!(!memory.is_short());
}

#[test]
fn who_leaves_gives_back_what_it_had_and_what_it_was_given() {
    let memory = memory();
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(2 * LIMIT);
    let mut peers: Vec<Peer> = (0..4).map(|_| Peer::of(&memory)).collect();
    for peer in &mut peers {
        assert!(peer.receives(SMALL));
    }
    let lets: Vec<bool> = peers.iter_mut().map(|peer| peer.room().is_some()).collect();
    assert_eq!(lets, [true, false, false, false]);
    // One that waits, then the one that may go on, then the next, which was told and has not looked.
    peers.remove(1);
    peers.remove(0);
    peers.remove(0);
    assert!(peers[0].receives(FRAME - SMALL));
    drop(peers);
    assert!(memory.is_short());
    drop(hog);
    assert_eq!(memory.used(), 0);
    assert!(!memory.is_short());
}

/// What becomes of a peer that moves no more than it has.
fn verdict(peer: &mut Peer, awaits_peer: bool) -> Option<String> {
    (0..PATIENT_WITH_READERS).find_map(|_| peer.charge.judge(awaits_peer))
}

#[test]
fn only_who_holds_much_and_does_not_move_is_to_blame() {
    let memory = memory();
    let mut reader = Peer::of(&memory);
    reader.charge.hold_output(LIMIT / 2);
    assert!(verdict(&mut reader, true).is_none(), "memory is not short");
    let mut small = Peer::of(&memory);
    small.charge.hold_output(SMALL + 1);
    let mut sender = Peer::of(&memory);
    assert!(sender.receives(FRAME / 2));
    let mut other = Peer::of(&memory);
    other.charge.hold_output(LIMIT);
    assert!(verdict(&mut small, true).is_none());
    // What a reader takes may show late.
    for _ in 1..PATIENT_WITH_READERS {
        assert!(reader.charge.judge(false).is_none());
    }
    let why = reader.charge.judge(false).unwrap();
    assert!(why.contains("does not read") && why.contains(&LIMIT.to_string()), "{why}");
    reader.charge.moved(LIMIT / 2 / PART);
    assert!(verdict(&mut reader, false).is_none(), "it moves");
    // The sender, as long as it is it that we wait for.
    assert!(sender.charge.judge(false).is_none());
    assert!(sender.charge.judge(true).unwrap().contains("a frame that does not come"));
    assert!(sender.room().is_some());
    let mut waiting = Peer::of(&memory);
    waiting.input = std::mem::take(&mut sender.input);
    waiting.charge.hold_input(&waiting.input);
    assert!(waiting.room().is_none());
    assert!(waiting.charge.judge(false).is_none() && waiting.charge.waits_for_us(), "it waits for its turn");
}

#[test]
fn who_was_given_memory_has_to_use_it_however_little_it_is() {
    let memory = Memory::new(LIMIT, 1, Duration::ZERO);
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(2 * LIMIT);
    let mut silent = Peer::of(&memory);
    assert!(silent.receives(SMALL));
    assert!(silent.room().is_some(), "out of turn");
    silent.charge.hold_input(&silent.input);
    assert!(silent.charge.granted < memory.share);
    assert!(silent.charge.judge(true).unwrap().contains("does not come"));
    // Given while answers wait, so that nobody asks what was given.
    let mut deaf = Peer::of(&memory);
    assert!(deaf.receives(SMALL));
    assert!(deaf.room().is_none());
    deaf.charge.hold_output(SMALL + 1);
    assert!(verdict(&mut deaf, false).is_none(), "it has less than its share");
    drop(silent);
    assert!(verdict(&mut deaf, false).unwrap().contains("does not read"));
}

#[test]
fn unread_answers_do_not_excuse_what_is_held_of_a_frame() {
    let memory = memory();
    let mut peer = Peer::of(&memory);
    assert!(peer.receives(FRAME / 2));
    peer.charge.hold_output(SMALL + 1);
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(LIMIT);
    assert!(verdict(&mut peer, false).is_some());
}

#[test]
fn it_is_not_enough_to_move_a_little_of_much() {
    let memory = memory();
    let mut reader = Peer::of(&memory);
    reader.charge.hold_output(2 * LIMIT);
    let mut moves = |bytes| {
        (0..PATIENT_WITH_READERS).find_map(|_| {
            reader.charge.moved(bytes);
            reader.charge.judge(false)
        })
    };
    assert!(moves(2 * LIMIT / PART / PATIENT_WITH_READERS as usize).is_none());
    assert!(moves(MOVES / 2).is_some());
}

#[test]
fn who_needs_little_does_not_wait_behind_those_who_need_much() {
    let memory = memory();
    let (mut few, mut hog) = (Peer::of(&memory), Peer::of(&memory));
    assert!(few.receives(FRAME - FEW));
    hog.charge.hold_output(2 * LIMIT);
    let mut large: Vec<Peer> = (0..2).map(|_| Peer::of(&memory)).collect();
    let lets: Vec<bool> =
        large.iter_mut().map(|peer| peer.receives(SMALL) && peer.room().is_some()).collect();
    assert_eq!(lets, [true, false]);
    assert!(few.receives(FEW) && few.input.len() == 0);
    assert!(large[1].room().is_none());
    drop((hog, large, few));
    assert_eq!(memory.used(), 0);
    assert!(!memory.is_short());
}

#[test]
fn who_is_held_back_by_a_shortage_looks_again() {
    let memory = memory();
    let mut peer = Peer::of(&memory);
    assert!(peer.charge.judged_at().is_none());
    peer.charge.hold_output(SMALL + 1);
    assert!(SMALL + 1 < memory.share && peer.charge.judged_at().is_some());
    peer.charge.hold_output(SMALL);
    assert!(peer.charge.judged_at().is_none());
}

#[test]
fn what_comes_before_frames_counts_and_is_not_kept_in_a_shortage() {
    let memory = memory();
    let mut early = Charge::to(Some(memory.clone()));
    assert!(early.hold_bytes(SMALL));
    assert_eq!(memory.used(), 0);
    assert!(early.hold_bytes(2 * SMALL));
    assert_eq!(memory.used(), 2 * SMALL);
    let mut hog = Peer::of(&memory);
    hog.charge.hold_output(LIMIT);
    assert!(!early.hold_bytes(3 * SMALL));
    assert!(Charge::to(Some(memory.clone())).hold_bytes(SMALL));
    drop((early, hog));
    assert_eq!(memory.used(), 0);
}
