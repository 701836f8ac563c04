//! A byte stream's own memory, lent: what has come is written from where it was deciphered, and what is to be sent is
//! read to where it will be sealed.

use std::io::{self, IoSliceMut};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use adit_ssh::block::{Block, HEADROOM};

use super::shared::{InboundEnd, register};
use super::{ByteStream, StreamEnd};

/// Most packets that are filled at once: what may wait in a stream.
const PACKETS: usize = 4;
/// Most blocks that are shown at once: a connection's read is 256 KiB, and a block has 32.
const SLICES: usize = 16;

impl ByteStream {
    /// Shows `drain` what has come, in order and without a copy, and takes as much of it as that says. Ready with how
    /// much that was; with 0 behind the last byte. Pending where nothing has come, and where `drain` takes nothing:
    /// then it has to see to being woken.
    ///
    /// What is not taken counts as not read, so a slow reader has no more lie here than its window.
    pub fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        drain: impl FnOnce(&mut Context<'_>, &[io::IoSlice<'_>]) -> usize,
    ) -> Poll<io::Result<usize>> {
        if !self.begun.is_empty() {
            return self.poll_drain_begun(cx, drain);
        }
        {
            let mut state = self.shared.state();
            if state.is_cut {
                return Poll::Ready(Err(StreamEnd::Cut.into()));
            }
            state.copied = state
                .copied
                .saturating_add(std::mem::take(&mut self.copied));
            while self.shown.len() < SLICES
                && let Some(block) = state.inbound.pop_front()
            {
                self.shown.push_back(block);
            }
            if self.shown.is_empty() {
                return match state.inbound_end {
                    None => {
                        register(&mut state.reader, cx);
                        Poll::Pending
                    }
                    Some(InboundEnd::Eof) => Poll::Ready(Ok(0)),
                    Some(InboundEnd::Error(end)) => Poll::Ready(Err(end.into())),
                };
            }
        }
        let taken = offer(self.shown.iter().map(Block::as_slice), cx, drain);
        if taken == 0 {
            return Poll::Pending;
        }
        let mut left = taken;
        while let Some(block) = self.shown.front_mut() {
            if left < block.len() {
                block.advance(left);
                break;
            }
            left = left.saturating_sub(block.len());
            self.shown.pop_front();
        }
        self.shared
            .took(self.shared.state(), taken, self.shown.is_empty());
        Poll::Ready(Ok(taken))
    }

    /// The same of what counts as read already.
    fn poll_drain_begun(
        &mut self,
        cx: &mut Context<'_>,
        drain: impl FnOnce(&mut Context<'_>, &[io::IoSlice<'_>]) -> usize,
    ) -> Poll<io::Result<usize>> {
        if self.shared.is_cut.load(Ordering::Acquire) {
            return Poll::Ready(Err(StreamEnd::Cut.into()));
        }
        let Some(chunk) = self.begun.front_mut() else {
            return Poll::Pending;
        };
        let taken = offer(std::iter::once(chunk.as_ref()), cx, drain);
        chunk.advance(taken);
        if chunk.is_empty() {
            self.begun.pop_front();
        }
        if taken == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    /// Has `fill` put bytes where they are sealed later, without a copy. Ready with how many those were. Pending where
    /// there is no room, and where `fill` has nothing: then it has to see to being woken.
    ///
    /// Who filled all that it was shown is shown several packets' room from then on.
    ///
    /// # Errors
    /// As [`poll_reserve`](Self::poll_reserve).
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        fill: impl FnOnce(&mut Context<'_>, &mut [IoSliceMut<'_>]) -> usize,
    ) -> Poll<io::Result<usize>> {
        let packet = self.shared.packet;
        let others = if self.is_bulk {
            self.shared.state().packets_left(packet).min(PACKETS)
        } else {
            1
        };
        let mut reserve = ready!(self.poll_reserve(cx))?;
        let mut blocks: [Option<Block>; PACKETS] = [const { None }; PACKETS];
        for slot in blocks.iter_mut().take(others.saturating_sub(1)) {
            let mut block = reserve.stream.shared.pool.take();
            block.set_range(HEADROOM, HEADROOM);
            *slot = Some(block);
        }
        let first = reserve.room;
        let (count, is_full) = {
            let mut slices: [IoSliceMut<'_>; PACKETS] =
                std::array::from_fn(|_| IoSliceMut::new(&mut []));
            let rooms = blocks.iter_mut().flatten();
            let rooms = rooms.map(|block| block.spare_mut().get_mut(..packet).unwrap_or_default());
            let rooms = std::iter::once(reserve.buffer_mut()).chain(rooms);
            let (mut shown, mut bytes): (usize, usize) = (0, 0);
            for (slot, room) in slices.iter_mut().zip(rooms) {
                bytes = bytes.saturating_add(room.len());
                *slot = IoSliceMut::new(room);
                shown = shown.saturating_add(1);
            }
            let count = fill(cx, slices.get_mut(..shown).unwrap_or_default()).min(bytes);
            (count, count == bytes)
        };
        if count == 0 {
            return Poll::Pending;
        }
        let own = reserve.block.take();
        let mut left = count;
        let filled = std::iter::once((own, first)).chain(blocks.into_iter().zip([packet; PACKETS]));
        let filled = filled.filter_map(|(block, room)| {
            let mut block = block?;
            let bytes = left.min(room);
            left = left.saturating_sub(bytes);
            block.set_range(block.start(), block.end().saturating_add(bytes));
            Some((block, bytes))
        });
        reserve.stream.shared.queue_outbound(filled, 0);
        drop(reserve);
        self.is_bulk = is_full;
        Poll::Ready(Ok(count))
    }
}

/// Shows some slices, as many as one system call takes.
fn offer<'a>(
    slices: impl Iterator<Item = &'a [u8]>,
    cx: &mut Context<'_>,
    drain: impl FnOnce(&mut Context<'_>, &[io::IoSlice<'_>]) -> usize,
) -> usize {
    let mut shown = [io::IoSlice::new(&[]); SLICES];
    let mut count: usize = 0;
    for (slot, slice) in shown.iter_mut().zip(slices) {
        *slot = io::IoSlice::new(slice);
        count = count.saturating_add(1);
    }
    drain(cx, shown.get(..count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Waker;

    use adit_ssh::block::Pool;

    use super::*;
    use crate::transport::mailbox::DirtyList;
    use crate::transport::stream::{OUT_QUEUE_BYTES, StreamDriver};

    fn stream() -> (ByteStream, StreamDriver, Pool) {
        let pool = Pool::new(64);
        let (stream, driver) =
            ByteStream::pair(7, 32_768, pool.clone(), Arc::new(DirtyList::new()));
        (stream, driver, pool)
    }

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn block(pool: &Pool, byte: u8, count: usize) -> Block {
        let mut block = pool.take();
        assert_eq!(block.append(&vec![byte; count]), count);
        block
    }

    /// What was shown, of which so much is taken.
    fn drain(stream: &mut ByteStream, most: usize) -> (Vec<u8>, Poll<io::Result<usize>>) {
        let mut shown = Vec::new();
        let taken = stream.poll_drain(&mut context(), |_, slices| {
            shown = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            most.min(shown.len())
        });
        (shown, taken)
    }

    #[test]
    fn what_is_shown_and_not_taken_is_shown_again_and_counts_as_not_read() {
        let (mut stream, mut driver, pool) = stream();
        driver.push(block(&pool, 1, 30_000));
        driver.push(block(&pool, 2, 30_000));
        let (shown, taken) = drain(&mut stream, 0);
        assert_eq!(shown.len(), 60_000);
        assert!(taken.is_pending());
        let news = driver.news();
        assert_eq!((news.consumed, news.inbound), (0, 60_000));
        let (_, taken) = drain(&mut stream, 40_000);
        assert!(matches!(taken, Poll::Ready(Ok(40_000))));
        let news = driver.news();
        assert_eq!((news.consumed, news.inbound), (40_000, 20_000));
        driver.push(block(&pool, 3, 30_000));
        driver.push_eof();
        let (shown, _) = drain(&mut stream, 0);
        assert_eq!(shown, [vec![2; 20_000], vec![3; 30_000]].concat());
        // Whoever reads otherwise from here on goes on where that stopped.
        let Poll::Ready(Ok(Some(chunk))) = stream.poll_chunk(&context()) else {
            panic!("a part of a block is left");
        };
        assert!(chunk.as_ref() == vec![2; 20_000]);
        stream.unread(b"back");
        assert_eq!(drain(&mut stream, 4).0, b"back");
        assert!(matches!(
            drain(&mut stream, 30_000),
            (_, Poll::Ready(Ok(30_000)))
        ));
        assert!(matches!(drain(&mut stream, 1), (_, Poll::Ready(Ok(0)))));
        assert_eq!(driver.news().consumed, 50_000);
    }

    #[test]
    fn what_was_shown_is_not_shown_any_more_once_the_stream_is_cut_off() {
        let (mut stream, mut driver, pool) = stream();
        driver.push(block(&pool, 1, 30_000));
        assert_eq!(drain(&mut stream, 10_000).0.len(), 30_000);
        stream.cutter().cut();
        let (shown, taken) = drain(&mut stream, 1);
        assert!(shown.is_empty() && matches!(taken, Poll::Ready(Err(_))));
        assert!(matches!(
            stream.poll_chunk(&context()),
            Poll::Ready(Err(_) | Ok(None))
        ));
    }

    #[test]
    fn what_fills_nothing_sends_nothing() {
        let (mut stream, mut driver, _) = stream();
        assert!(stream.poll_fill(&mut context(), |_, _| 0).is_pending());
        assert!(driver.take_block(usize::MAX).is_none());
        let filled = stream.poll_fill(&mut context(), |_, rooms| {
            rooms[0][..3].copy_from_slice(b"abc");
            3
        });
        assert!(matches!(filled, Poll::Ready(Ok(3))));
        assert_eq!(driver.take_block(usize::MAX).unwrap().as_slice(), b"abc");
    }

    #[test]
    fn who_fills_all_is_shown_more_and_never_more_than_may_wait() {
        let (mut stream, mut driver, pool) = stream();
        let mut shown = Vec::new();
        let mut sent = Vec::new();
        for round in 0_u8..4 {
            let filled = stream.poll_fill(&mut context(), |_, rooms| {
                shown.push(rooms.len());
                let fill = |room: &mut IoSliceMut<'_>| {
                    room.fill(round);
                    room.len()
                };
                rooms.iter_mut().map(fill).sum()
            });
            if let Poll::Ready(count) = filled {
                sent.extend(vec![round; count.unwrap()]);
            }
        }
        assert_eq!((&shown[..], sent.len()), (&[1, 3][..], OUT_QUEUE_BYTES));
        let mut got = Vec::new();
        while let Some(block) = driver.take_block(usize::MAX) {
            got.extend_from_slice(block.as_slice());
        }
        assert!(got == sent);
        driver.sealed(OUT_QUEUE_BYTES);
        // A part of the second is all that comes: the others are given back, and the next one sees one again.
        let part = stream.poll_fill(&mut context(), |_, rooms| {
            assert_eq!(rooms.len(), PACKETS);
            40_000
        });
        assert!(matches!(part, Poll::Ready(Ok(40_000))));
        let lengths: Vec<usize> = std::iter::from_fn(|| driver.take_block(usize::MAX))
            .map(|block| block.len())
            .collect();
        assert_eq!(lengths, [32_768, 7_232]);
        assert_eq!(pool.free(), 4, "no block is lost");
        let next = stream.poll_fill(&mut context(), |_, rooms| {
            assert_eq!(rooms.len(), 1);
            0
        });
        assert!(next.is_pending());
    }
}
