//! The bytes a connection has received and not yet handled.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{ready, Context, Poll};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Size of a loop's read buffer: how much one read can bring, and so how many frames share one write of replies.
/// Larger gave nothing in pipelined sends of 128 B, and this still lies in the second-level cache.
const READ: usize = 128 << 10;

thread_local! {
    /// The read buffer that all connections of a loop share. Between two reads a connection keeps only the start of
    /// a frame that is not yet whole.
    static SHARED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Received bytes that wait for the rest of their frame, or for their turn.
#[derive(Default)]
pub(super) struct Input {
    kept: Vec<u8>,
}

/// What one read brought.
pub(super) enum Received {
    /// The peer sends nothing more.
    End,
    /// So many.
    Bytes(usize),
}

impl Input {
    /// Bytes kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of memory that they take.
    pub fn memory(&self) -> usize {
        self.kept.capacity()
    }

    /// Bytes that the first frame still lacks; 0 if it is whole, or too little has come to tell.
    pub fn missing(&self) -> usize {
        claimed(&self.kept).saturating_sub(self.kept.len())
    }

    /// Hands the kept bytes to `handle` again, without reading.
    pub fn again<E>(&mut self, handle: impl FnOnce(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        let taken = handle(&self.kept)?;
        self.forget(taken);
        Ok(())
    }

    /// Reads once, at most `room` bytes, and hands all the bytes there are to `handle`, which takes whole frames and
    /// returns their length.
    pub fn poll_read<S, E>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
        room: usize,
        handle: impl FnOnce(&[u8]) -> Result<usize, E>,
    ) -> Poll<Result<Received, E>>
    where
        S: AsyncRead + Unpin,
        E: From<io::Error>,
    {
        if self.kept.len() >= READ / 2 {
            return self.poll_read_more(socket, cx, room, handle);
        }
        let mut shared = SHARED.take();
        if shared.capacity() == 0 {
            shared.reserve_exact(READ);
        }
        shared.clear();
        shared.extend_from_slice(&self.kept);
        let received = pin!(socket.read_buf(&mut (&mut shared).limit(room))).poll(cx);
        let result = match received {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Received::End)),
            Poll::Ready(Ok(count)) => Poll::Ready(handle(&shared).map(|taken| {
                self.keep(&shared[taken..]);
                Received::Bytes(count)
            })),
        };
        SHARED.set(shared);
        result
    }

    /// Reads the rest of a large frame behind its start. The buffer doubles as bytes arrive, whatever length the
    /// frame claims to have, and not beyond that length.
    fn poll_read_more<S, E>(
        &mut self,
        socket: &mut S,
        cx: &mut Context<'_>,
        room: usize,
        handle: impl FnOnce(&[u8]) -> Result<usize, E>,
    ) -> Poll<Result<Received, E>>
    where
        S: AsyncRead + Unpin,
        E: From<io::Error>,
    {
        let have = self.kept.len();
        if self.kept.capacity() == have {
            self.kept.reserve_exact(self.missing().min(have).max(READ / 2).min(room));
        }
        let count = ready!(pin!(socket.read_buf(&mut (&mut self.kept).limit(room))).poll(cx))?;
        if count == 0 {
            return Poll::Ready(Ok(Received::End));
        }
        Poll::Ready(self.again(handle).map(|()| Received::Bytes(count)))
    }

    /// Keeps a copy of `rest`, and no more memory than that takes.
    fn keep(&mut self, rest: &[u8]) {
        self.kept.clear();
        if rest.is_empty() || self.kept.capacity() > 2 * rest.len() + 1024 {
            self.kept = Vec::new();
        }
        self.kept.extend_from_slice(rest);
    }

    fn forget(&mut self, taken: usize) {
        if taken == self.kept.len() {
            self.kept = Vec::new();
        } else if taken > 0 {
            self.kept = self.kept[taken..].to_vec();
        }
    }
}

/// The length of the first frame, its length field included.
fn claimed(bytes: &[u8]) -> usize {
    bytes.first_chunk().map_or(0, |length| (u32::from_be_bytes(*length) as usize).saturating_add(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sender of the given bytes, some at a time.
    struct Drip<'a> {
        left: &'a [u8],
        width: usize,
    }

    impl AsyncRead for Drip<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let count = self.width.min(self.left.len()).min(buffer.remaining());
            let (now, left) = self.left.split_at(count);
            buffer.put_slice(now);
            self.left = left;
            Poll::Ready(Ok(()))
        }
    }

    fn frames(bytes: &[u8], found: &mut Vec<Vec<u8>>) -> usize {
        let mut at = 0;
        while bytes.len() - at >= 4 && bytes.len() - at >= claimed(&bytes[at..]) {
            let end = at + claimed(&bytes[at..]);
            found.push(bytes[at + 4..end].to_vec());
            at = end;
        }
        at
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_come_whole_however_they_are_cut(
            sizes in prop::collection::vec(prop::sample::select(vec![0usize, 1, 100, READ / 2, READ, 3 * READ]), 1..10),
            width in prop::sample::select(vec![1usize, 3, 1000, READ, usize::MAX]),
            room in prop::sample::select(vec![4096usize, usize::MAX]),
        ) {
            let width = if width < 1000 && sizes.iter().sum::<usize>() > 1000 { 1000 } else { width };
            let expected: Vec<Vec<u8>> =
                sizes.iter().enumerate().map(|(index, size)| vec![index as u8; *size]).collect();
            let mut bytes = Vec::new();
            for frame in &expected {
                bytes.extend((frame.len() as u32).to_be_bytes());
                bytes.extend(frame);
            }
            let mut socket = Drip { left: &bytes, width };
            let (mut input, mut found) = (Input::default(), Vec::new());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            loop {
                let read = input.poll_read(&mut socket, &mut cx, room, |bytes| {
                    Ok::<_, io::Error>(frames(bytes, &mut found))
                });
                match read {
                    Poll::Ready(Ok(Received::Bytes(_))) => {}
                    Poll::Ready(Ok(Received::End)) => break,
                    _ => prop_assert!(false, "neither bytes nor end"),
                }
            }
            prop_assert!(found == expected);
            prop_assert_eq!(input.len(), 0);
            prop_assert_eq!(input.kept.capacity(), 0);
        }
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut bytes = vec![0x7f, 0xff, 0xff, 0xff];
        bytes.resize(100 << 10, 1);
        let mut socket = Drip { left: &bytes, width: usize::MAX };
        let mut input = Input::default();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..4 {
            let read = input.poll_read(&mut socket, &mut cx, usize::MAX, |_| Ok::<_, io::Error>(0));
            assert!(matches!(read, Poll::Ready(Ok(_))));
        }
        assert_eq!(input.len(), bytes.len());
        assert!(input.kept.capacity() <= 4 * bytes.len());
    }
}
