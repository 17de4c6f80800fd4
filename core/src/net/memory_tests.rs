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

#[test]
fn only_who_holds_much_and_does_not_move_is_to_blame() {
    let memory = memory();
    let mut reader = Peer::of(&memory);
    reader.charge.hold_output(LIMIT / 2);
    assert!(reader.charge.judge(true).is_none(), "memory is not short");
    let mut small = Peer::of(&memory);
    small.charge.hold_output(SMALL + 1);
    let mut sender = Peer::of(&memory);
    assert!(sender.receives(FRAME / 2));
    let mut other = Peer::of(&memory);
    other.charge.hold_output(LIMIT);
    assert!(small.charge.judge(true).is_none());
    let why = reader.charge.judge(true).unwrap();
    assert!(why.contains("does not read") && why.contains(&LIMIT.to_string()), "{why}");
    reader.charge.moved(MOVES);
    assert!(reader.charge.judge(true).is_none(), "it moves");
    // The sender, as long as it is it that we wait for.
    assert!(sender.charge.judge(false).is_none());
    assert!(sender.charge.judge(true).unwrap().contains("a frame that does not come"));
    assert!(sender.room().is_some());
    let mut waiting = Peer::of(&memory);
    waiting.input = std::mem::take(&mut sender.input);
    waiting.charge.hold_input(&waiting.input);
    assert!(waiting.room().is_none());
    assert!(waiting.charge.judge(true).is_none(), "it waits for its turn");
}
