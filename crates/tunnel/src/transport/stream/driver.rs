//! The task's side of a byte stream.

use std::fmt;
use std::sync::Arc;

use adit_ssh::block::{BLOCK, Block, HEADROOM};

use super::shared::{InboundEnd, OUT_QUEUE_BLOCKS, OUT_QUEUE_BYTES, Shared, StreamEnd, wake};

/// The task's side of a [`ByteStream`](super::ByteStream). Dropped, it ends the stream as lost unless
/// it has ended.
pub(crate) struct StreamDriver {
    pub(super) shared: Arc<Shared>,
    pub(super) costs: Costs,
}

/// What a stream has cost since it was asked last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// Bytes that were copied from memory to memory on their way through the stream.
    pub(crate) copied: usize,
    /// Wakes of an application that waited for it.
    pub(crate) wakes: usize,
}

/// What the application of a stream did since the task looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// Inbound bytes it took; the count begins anew. The window grows by them.
    pub(crate) consumed: usize,
    /// Inbound bytes that it has not taken.
    pub(crate) inbound: usize,
    /// Outbound bytes that wait for [`StreamDriver::take_block`]. A part of them may be out on loan
    /// for a moment; the stream comes back to the dirty list with it.
    pub(crate) outbound: usize,
    /// How far it has ended the stream.
    pub(crate) end: AppEnd,
    /// How it ended a session; told once.
    pub(crate) exit: Option<u32>,
}

/// How far an application has ended its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppEnd {
    /// It reads and writes.
    Open,
    /// It writes no more: EOF goes out behind what is queued.
    Shut,
    /// It is gone after a shutdown: EOF and CLOSE go out behind what is queued.
    Closed,
    /// It is gone without one: CLOSE goes out at once, without EOF.
    Reset,
}

/// An application that waits for room is woken when this much is left, so that it is woken once for
/// several packets.
const OUT_QUEUE_LOW: usize = OUT_QUEUE_BYTES / 2;
/// Most bytes that are copied behind those of the last block instead of queued in a block of their
/// own. With half a block, what waits in a stream lies in at most twice its size and one block.
const MERGE: usize = BLOCK / 2;

impl StreamDriver {
    /// What the application did. The stream may come to the dirty list again from here on.
    pub(crate) fn news(&mut self) -> News {
        let mut state = self.shared.state();
        state.is_listed = false;
        self.costs.copied = (self.costs.copied).saturating_add(std::mem::take(&mut state.copied));
        News {
            consumed: std::mem::take(&mut state.consumed),
            inbound: state.inbound_bytes,
            outbound: state.outbound_bytes,
            exit: state.exit.take(),
            end: match (state.is_gone, state.is_shut) {
                _ if state.is_cut => AppEnd::Reset,
                (false, false) => AppEnd::Open,
                (false, true) => AppEnd::Shut,
                (true, true) => AppEnd::Closed,
                (true, false) => AppEnd::Reset,
            },
        }
    }

    /// What the stream has cost since this was asked last.
    pub(crate) fn take_costs(&mut self) -> Costs {
        std::mem::take(&mut self.costs)
    }

    /// Gives bytes of the peer to the application. They are dropped when it is gone and after an
    /// end.
    pub(crate) fn push(&mut self, block: Block) {
        if block.len() <= MERGE
            && let Some(mut last) = self.unqueue_last(block.len())
        {
            let count = last.append(block.as_slice());
            drop(block);
            self.costs.copied = self.costs.copied.saturating_add(count);
            let woken = self.shared.queue_inbound(last, count);
            self.costs.woken(woken);
        } else {
            let count = block.len();
            let woken = self.shared.queue_inbound(block, count);
            self.costs.woken(woken);
        }
    }

    /// The same for bytes that lie elsewhere, for small ones: copies them behind those of the last
    /// block.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "memory hands over whole blocks and waits for readers"
        )
    )]
    pub(crate) fn push_slice(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let last = self.unqueue_last(1);
            let mut block = last.unwrap_or_else(|| self.shared.pool.take());
            let count = block.append(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
            self.costs.copied = self.costs.copied.saturating_add(count);
            let woken = self.shared.queue_inbound(block, count);
            self.costs.woken(woken);
        }
    }

    /// Ends the peer's half, behind what it sent.
    pub(crate) fn push_eof(&mut self) {
        let mut state = self.shared.state();
        state.inbound_end.get_or_insert(InboundEnd::Eof);
        let woken = wake(state, |state| state.reader.take());
        self.costs.woken(woken);
    }

    /// Ends both halves. What came before is still read; what was not sent is lost.
    pub(crate) fn reset(&mut self, end: StreamEnd) {
        let mut state = self.shared.state();
        state.inbound_end.get_or_insert(InboundEnd::Error(end));
        let woken = wake(state, |state| state.reader.take());
        self.costs.woken(woken);
        self.stop_output(end);
    }

    /// Ends our half: the peer has closed and takes no more.
    pub(crate) fn stop_output(&mut self, end: StreamEnd) {
        let mut state = self.shared.state();
        state.outbound_end.get_or_insert(end);
        let outbound = state.drop_outbound();
        let watcher = state.take_watcher();
        let woken = wake(state, |state| state.writer.take());
        self.costs.woken(woken);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        drop(outbound);
    }

    /// Drops what the application has not taken, when it was given long enough after an end.
    pub(crate) fn drop_inbound(&mut self) {
        let mut state = self.shared.state();
        let inbound = std::mem::take(&mut state.inbound);
        if !inbound.is_empty() {
            state.inbound_bytes = 0;
            state.inbound_end = Some(InboundEnd::Error(StreamEnd::Reset));
        }
        let woken = wake(state, |state| state.reader.take());
        self.costs.woken(woken);
        drop(inbound);
    }

    /// The next bytes to send, at most `most` (the peer's window, say) and at most a packet, with
    /// [`HEADROOM`] in front and [`TAILROOM`](adit_ssh::block::TAILROOM) behind. They count as
    /// queued until [`sealed`](Self::sealed).
    pub(crate) fn take_block(&mut self, most: usize) -> Option<Block> {
        if most == 0 {
            return None;
        }
        let mut front = self.shared.state().outbound.pop_front()?;
        let mut rest = None;
        if front.len() > most {
            let mut head = self.shared.pool.take();
            head.set_range(HEADROOM, HEADROOM);
            let copied = head.append(front.as_slice().get(..most).unwrap_or_default());
            self.costs.copied = self.costs.copied.saturating_add(copied);
            front.advance(most);
            rest = Some(std::mem::replace(&mut front, head));
        }
        let mut state = self.shared.state();
        if state.is_cut || (state.is_gone && !state.is_shut) {
            // It was dropped in between: a reset loses what was not sent.
            return None;
        }
        state.outbound_bytes = state.outbound_bytes.saturating_sub(front.len());
        state.unsealed_bytes = state.unsealed_bytes.saturating_add(front.len());
        if let Some(rest) = rest {
            state.outbound.push_front(rest);
        }
        Some(front)
    }

    /// `count` bytes of taken blocks were sealed (or dropped): the application may queue as many.
    /// To be called once per stream and turn, so that it is woken once.
    pub(crate) fn sealed(&mut self, count: usize) {
        let mut state = self.shared.state();
        state.unsealed_bytes = state.unsealed_bytes.saturating_sub(count);
        if state.queued() <= OUT_QUEUE_LOW && state.outbound.len() <= OUT_QUEUE_BLOCKS / 2 {
            let woken = wake(state, |state| state.writer.take());
            self.costs.woken(woken);
        }
    }

    /// Takes the last inbound block out of the queue if it has room, to be copied to without the
    /// lock. Who reads meanwhile waits, and is woken when the block is queued again.
    fn unqueue_last(&self, room: usize) -> Option<Block> {
        let mut state = self.shared.state();
        if state.inbound_end.is_some() {
            // Nothing follows an end, and what came before it must stay where it is.
            return None;
        }
        state.inbound.pop_back_if(|last| last.spare() >= room)
    }
}

impl Costs {
    fn woken(&mut self, was_woken: bool) {
        self.wakes = self.wakes.saturating_add(usize::from(was_woken));
    }
}

impl Drop for StreamDriver {
    fn drop(&mut self) {
        self.reset(StreamEnd::Lost);
    }
}

impl fmt::Debug for StreamDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamDriver({})", self.shared.channel)
    }
}
