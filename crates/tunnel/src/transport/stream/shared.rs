//! What the two ends of a byte stream share.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use adit_ssh::block::{Block, Pool};

use crate::transport::mailbox::DirtyList;

/// Why a stream ends other than by the peer's EOF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The peer reset it.
    Reset,
    /// Its connection ended.
    Lost,
    /// Its connection has lost what the stream was opened for.
    Cut,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) dirty: Arc<DirtyList>,
    pub(super) pool: Pool,
    pub(super) channel: u32,
    /// As `State::is_cut`, for who reads bytes that were taken out before.
    pub(super) is_cut: AtomicBool,
    /// Most bytes in one packet to the peer.
    pub(super) packet: usize,
}

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they come independently of each other, from either side"
)]
pub(super) struct State {
    pub(super) inbound: VecDeque<Block>,
    pub(super) inbound_bytes: usize,
    pub(super) inbound_end: Option<InboundEnd>,
    pub(super) consumed: usize,
    /// Bytes that the application's reads and writes copied.
    pub(super) copied: usize,
    pub(super) outbound: VecDeque<Block>,
    pub(super) outbound_bytes: usize,
    /// Taken by the task and not yet sealed.
    pub(super) unsealed_bytes: usize,
    /// The peer takes no more.
    pub(super) outbound_end: Option<StreamEnd>,
    pub(super) is_shut: bool,
    /// How a session ended, until the task knows.
    pub(super) exit: Option<u32>,
    pub(super) is_gone: bool,
    /// It was cut off: for the task it is as if the application had gone.
    pub(super) is_cut: bool,
    pub(super) is_listed: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Waits for the stream to be broken off, beside those two.
    pub(super) watcher: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InboundEnd {
    Eof,
    Error(StreamEnd),
}

/// Most bytes of one stream that wait to be sealed: four packets, so that the application fills two
/// while the task seals two.
pub const OUT_QUEUE_BYTES: usize = 131_072;
/// Most blocks that they may lie in, however small the peer's packets are.
pub(super) const OUT_QUEUE_BLOCKS: usize = 16;

/// Taken bytes are told to the task in steps of this size: a quarter of the smallest window, so that
/// a peer never waits for what is held back.
const CONSUMED_STEP: usize = 16_384;

impl Shared {
    /// The application took bytes; whether none are left that it was given before.
    pub(super) fn took(&self, mut state: MutexGuard<'_, State>, count: usize, is_all: bool) {
        state.inbound_bytes = state.inbound_bytes.saturating_sub(count);
        state.consumed = state.consumed.saturating_add(count);
        let is_last = is_all && state.inbound.is_empty() && state.inbound_end.is_some();
        if state.consumed >= CONSUMED_STEP || is_last {
            self.list(state);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No step between two assignments to it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the stream on the dirty list unless it stands there.
    pub(super) fn list(&self, mut state: MutexGuard<'_, State>) {
        let was_listed = std::mem::replace(&mut state.is_listed, true);
        drop(state);
        if !was_listed {
            self.dirty.post(self.channel);
        }
    }

    /// Ready once the stream is broken off.
    pub(super) fn poll_cut(&self, cx: &Context<'_>) -> Poll<io::Error> {
        let mut state = self.state();
        if let Some(end) = state.broken_off() {
            return Poll::Ready(end.into());
        }
        register(&mut state.watcher, cx);
        Poll::Pending
    }

    /// Queues blocks, each with as many bytes as were added to it, `copied` in all by a copy. Empty ones are none.
    pub(super) fn queue_outbound(
        &self,
        blocks: impl Iterator<Item = (Block, usize)>,
        copied: usize,
    ) {
        let mut state = self.state();
        if state.outbound_end.is_some() {
            return;
        }
        state.copied = state.copied.saturating_add(copied);
        let before = state.outbound.len();
        for (block, count) in blocks {
            if !block.is_empty() {
                state.outbound_bytes = state.outbound_bytes.saturating_add(count);
                state.outbound.push_back(block);
            }
        }
        if state.outbound.len() > before {
            self.list(state);
        }
    }

    /// Queues a lent block again, to which `count` bytes were added, `copied` of them by a copy.
    pub(super) fn give_back(&self, block: Block, count: usize, copied: usize) {
        if !block.is_empty() {
            self.queue_outbound(std::iter::once((block, count)), copied);
        }
    }

    /// Queues a block for the application, to which `count` bytes were added. Says whether somebody
    /// was woken.
    pub(super) fn queue_inbound(&self, block: Block, count: usize) -> bool {
        if block.is_empty() {
            return false;
        }
        let mut state = self.state();
        if state.is_gone || state.is_cut || state.inbound_end.is_some() {
            return false;
        }
        state.inbound_bytes = state.inbound_bytes.saturating_add(count);
        state.inbound.push_back(block);
        wake(state, |state| state.reader.take())
    }
}

impl State {
    /// Why nothing is to be carried any more, not even what has come already: it was cut off, or its
    /// connection has ended before it. A reset by the peer is none: what came before it still counts.
    pub(super) fn broken_off(&self) -> Option<StreamEnd> {
        let inbound = match self.inbound_end {
            Some(InboundEnd::Error(end)) => Some(end),
            Some(InboundEnd::Eof) | None => None,
        };
        [inbound, self.outbound_end]
            .into_iter()
            .flatten()
            .find(|end| matches!(end, StreamEnd::Cut | StreamEnd::Lost))
    }

    /// Who is to be told of that, if it is so.
    pub(super) fn take_watcher(&mut self) -> Option<Waker> {
        self.broken_off().and_then(|_| self.watcher.take())
    }

    pub(super) fn queued(&self) -> usize {
        self.outbound_bytes.saturating_add(self.unsealed_bytes)
    }

    /// How many packets there is room for.
    pub(super) fn packets_left(&self, packet: usize) -> usize {
        let bytes = OUT_QUEUE_BYTES.saturating_sub(self.queued());
        let blocks = OUT_QUEUE_BLOCKS.saturating_sub(self.outbound.len());
        bytes.checked_div(packet).unwrap_or(0).min(blocks)
    }

    pub(super) fn has_no_room(&self, packet: usize) -> bool {
        self.queued().saturating_add(packet) > OUT_QUEUE_BYTES
            || self.outbound.len() >= OUT_QUEUE_BLOCKS
    }

    /// Empties the outbound queue; the blocks are for the caller to drop without the lock.
    pub(super) fn drop_outbound(&mut self) -> VecDeque<Block> {
        self.outbound_bytes = 0;
        self.unsealed_bytes = 0;
        std::mem::take(&mut self.outbound)
    }
}

impl From<StreamEnd> for io::Error {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Reset => Self::new(
                io::ErrorKind::ConnectionReset,
                "byte stream was reset by the peer",
            ),
            StreamEnd::Cut => Self::new(
                io::ErrorKind::ConnectionReset,
                "byte stream was cut off: its connection does not hold the lease any more",
            ),
            StreamEnd::Lost => Self::new(
                io::ErrorKind::ConnectionAborted,
                "connection that carried the byte stream ended",
            ),
        }
    }
}

/// Keeps the waker of `cx` unless it is there already.
pub(super) fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !matches!(slot, Some(known) if known.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Wakes without the lock: a waker may run anything. Says whether somebody waited.
pub(super) fn wake(
    mut state: MutexGuard<'_, State>,
    which: impl FnOnce(&mut State) -> Option<Waker>,
) -> bool {
    let waker = which(&mut state);
    drop(state);
    let is_there = waker.is_some();
    if let Some(waker) = waker {
        waker.wake();
    }
    is_there
}
