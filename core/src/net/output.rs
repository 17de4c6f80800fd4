//! The bytes a connection has still to send: small things copied together, large bodies as they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// A body chunk of at least this many bytes is sent from where it lies; a smaller one is copied. Measured with one
/// chunk a reply over the loopback, neither way was faster beyond the noise between 16 and 256 KiB. So it is bookkeeping
/// and memory that decide: sharing takes a segment and a slice of the vectored write, copying takes the memory again.
pub(super) const SHARE_FROM: usize = 32 << 10;

/// Slices handed to the system in one vectored write.
const SLICES: usize = 64;

/// A first-in first-out chain of bytes: shared segments, then a tail that grows by copying.
#[derive(Default)]
pub(super) struct Output {
    segments: VecDeque<Bytes>,
    /// Bytes in `segments`.
    shared: usize,
    tail: Vec<u8>,
    /// Bytes of `tail` that have been written.
    written: usize,
}

impl Output {
    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.shared + self.tail.len() - self.written
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.tail.len() == self.written
    }

    /// The growing end, for encoders. Only to be appended to.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends bytes: by reference when they are many, by copy when few.
    pub fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.tail.extend_from_slice(bytes);
            return;
        }
        let mut before = Bytes::from(std::mem::take(&mut self.tail));
        before.advance(std::mem::take(&mut self.written));
        self.shared += before.len() + bytes.len();
        if !before.is_empty() {
            self.segments.push_back(before);
        }
        self.segments.push_back(bytes.clone());
    }

    /// Writes once and forgets what was taken. Returns how much that was; 0 only when there is nothing to write.
    pub fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        socket: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let socket = Pin::new(socket);
        let taken = if self.segments.is_empty() {
            socket.poll_write(cx, &self.tail[self.written..])
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            let tail = (self.tail.len() > self.written).then_some(&self.tail[self.written..]);
            let parts = self.segments.iter().map(|segment| &segment[..]).chain(tail);
            for (slice, part) in slices.iter_mut().zip(parts) {
                *slice = IoSlice::new(part);
                count += 1;
            }
            socket.poll_write_vectored(cx, &slices[..count])
        };
        match taken {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(taken)) => {
                self.forget(taken);
                Poll::Ready(Ok(taken))
            }
            other => other,
        }
    }

    /// Takes the tail's memory away if it holds nothing and is larger than `spare`'s.
    pub fn take_spare(&mut self, spare: &mut Vec<u8>) {
        if self.tail.is_empty() {
            let memory = std::mem::take(&mut self.tail);
            if memory.capacity() > spare.capacity() {
                *spare = memory;
            }
        }
    }

    /// Gives memory to a tail that has none.
    pub fn give_spare(&mut self, spare: &mut Vec<u8>) {
        debug_assert!(spare.is_empty());
        if self.tail.capacity() == 0 {
            std::mem::swap(&mut self.tail, spare);
        }
    }

    fn forget(&mut self, mut taken: usize) {
        while let Some(first) = self.segments.front_mut() {
            let from_first = taken.min(first.len());
            self.shared -= from_first;
            taken -= from_first;
            if from_first < first.len() {
                first.advance(from_first);
                return;
            }
            self.segments.pop_front();
        }
        self.written += taken;
        if self.written == self.tail.len() {
            self.tail.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A socket that takes a few bytes at a time.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let count = all.len().min(self.width);
            self.taken.extend_from_slice(&all[..count]);
            Poll::Ready(Ok(count))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bytes_leave_in_the_order_they_came(
            parts in prop::collection::vec((prop::sample::select(vec![1, 7, 1000, SHARE_FROM, SHARE_FROM + 5]), any::<u8>()), 1..12),
            width in 1usize..200_000,
            write_between in any::<bool>(),
        ) {
            let mut output = Output::default();
            let mut socket = Narrow { taken: Vec::new(), width: width.max(997) };
            let mut expected = Vec::new();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for (size, byte) in parts {
                expected.extend(std::iter::repeat_n(byte, size));
                output.push(&Bytes::from(vec![byte; size]));
                if write_between {
                    prop_assert!(output.poll_write(&mut socket, &mut cx).is_ready());
                }
                prop_assert_eq!(output.len() + socket.taken.len(), expected.len());
            }
            while !output.is_empty() {
                prop_assert!(output.poll_write(&mut socket, &mut cx).is_ready());
            }
            prop_assert_eq!(output.len(), 0);
            prop_assert!(socket.taken == expected);
        }
    }
}
