//! Channels (RFC 4254 section 5): one two-way flow each, over one connection.
//!
//! A channel is opened by either side, carries data both ways within its windows, and ends in
//! halves: EOF says that no more data comes from that side, CLOSE that the channel is over. Our ends
//! send CLOSE once both halves have ended, so that nothing is lost; a CLOSE without an EOF is how one
//! of our ends says that a flow was cut off.

use std::collections::VecDeque;

use crate::block::{Block, HEADROOM, Pool};
use crate::flow::{ReceiveWindow, SendWindow};
use crate::schedule::Turn;

pub(crate) mod open;
pub(crate) mod request;
pub(crate) mod table;

pub use open::{ChannelKind, Endpoint, OpenFailure};
pub use request::{ChannelRequest, ExitStatus};

/// A channel of one connection, by our number for it. Never used again within the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

impl ChannelId {
    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for ChannelId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Payloads below this are copied behind the last chunk instead of taking a block of their own.
const SMALL: usize = 4_096;

/// How far a channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We asked; the peer has not answered.
    Opening,
    /// We asked and do not want it any more; an answer that still comes is answered with CLOSE.
    Abandoned,
    /// The peer asked; the owner has not answered.
    Asked,
    /// Both ways.
    Open,
}

/// What one side has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Half {
    /// More may come.
    Open,
    /// EOF.
    Ended,
    /// CLOSE.
    Closed,
}

/// How our own half is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not yet.
    None,
    /// With EOF, after what is queued.
    Finish,
    /// With EOF and CLOSE, after what is queued, whether or not the peer has ended its half.
    Close,
    /// At once, with CLOSE.
    Reset,
}

#[derive(Debug)]
pub(crate) struct Channel {
    /// The peer's number.
    pub(crate) remote: u32,
    pub(crate) phase: Phase,
    pub(crate) is_session: bool,
    pub(crate) receive: ReceiveWindow,
    /// Arrived, not yet taken by the owner.
    chunks: VecDeque<Block>,
    /// Whether the owner was told of chunks and has not taken all since.
    pub(crate) readable: bool,
    pub(crate) theirs: Half,
    pub(crate) send: SendWindow,
    /// To be sent.
    queue: VecDeque<Block>,
    queued: usize,
    pub(crate) ours: Half,
    pub(crate) ending: Ending,
    pub(crate) turn: Turn,
    /// Whether it stands in the list of channels that owe their peer a window adjust.
    pub(crate) adjusts: bool,
    pub(crate) empty_data: u32,
    pub(crate) requests: request::Pending,
}

impl Channel {
    pub(crate) fn new(
        phase: Phase,
        is_session: bool,
        remote: u32,
        window: u32,
        send: SendWindow,
    ) -> Self {
        Self {
            remote,
            phase,
            is_session,
            receive: ReceiveWindow::new(window),
            chunks: VecDeque::new(),
            readable: false,
            theirs: Half::Open,
            send,
            queue: VecDeque::new(),
            queued: 0,
            ours: Half::Open,
            ending: Ending::None,
            turn: Turn::default(),
            adjusts: false,
            empty_data: 0,
            requests: request::Pending::default(),
        }
    }

    /// Keeps arrived bytes: the range of `block`. Gives the block back if its bytes were copied.
    pub(crate) fn keep(&mut self, block: Block) -> Option<Block> {
        if block.len() < SMALL {
            let room = self.chunks.back().map_or(0, Block::spare);
            let mut own = if room >= block.len() {
                self.chunks.pop_back()
            } else {
                None
            };
            let chunk = own.get_or_insert_with(|| block.sibling());
            chunk.append(block.as_slice());
            self.chunks.extend(own);
            return Some(block);
        }
        self.chunks.push_back(block);
        None
    }

    pub(crate) fn take_chunk(&mut self) -> Option<Block> {
        let chunk = self.chunks.pop_front();
        if self.chunks.is_empty() {
            self.readable = false;
        }
        chunk
    }

    /// Queues bytes to be sent: the range of `block`, which begins at or after [`HEADROOM`].
    pub(crate) fn write(&mut self, block: Block) {
        self.queued = self.queued.saturating_add(block.len());
        self.queue.push_back(block);
    }

    /// What waits to be sent, in bytes.
    pub(crate) const fn queued(&self) -> usize {
        self.queued
    }

    /// Forgets what waits to be sent.
    pub(crate) fn discard_queue(&mut self) {
        self.queue = VecDeque::new();
        self.queued = 0;
    }

    /// Forgets what arrived; says how many bytes that were.
    pub(crate) fn discard_chunks(&mut self) -> usize {
        self.readable = false;
        let chunks = std::mem::take(&mut self.chunks);
        chunks
            .iter()
            .fold(0, |sum, chunk| sum.saturating_add(chunk.len()))
    }

    /// Whether there is something to send that may be sent.
    pub(crate) fn can_send(&self) -> bool {
        if self.phase != Phase::Open || self.ours == Half::Closed {
            return false;
        }
        let has_data = !self.queue.is_empty();
        match self.ending {
            Ending::Reset => true,
            Ending::Finish if !has_data => self.ours == Half::Open || self.theirs >= Half::Ended,
            Ending::Close if !has_data => true,
            Ending::Finish | Ending::Close | Ending::None => {
                has_data && self.send.packet() > 0 && self.ours == Half::Open
            }
        }
    }

    /// The next bytes to send, within the peer's window, as a block with room for the headers.
    pub(crate) fn next_block(&mut self, pool: &Pool) -> Option<Block> {
        let most = self.send.packet();
        let first = self.queue.front_mut()?;
        let block = if first.len() <= most {
            self.queue.pop_front()?
        } else {
            // The window ends inside the block: its first part goes in a block of its own.
            let mut part = pool.take();
            part.set_range(HEADROOM, HEADROOM);
            part.append(first.as_slice().get(..most)?);
            first.advance(most);
            part
        };
        debug_assert!(
            block.start() >= HEADROOM,
            "no room for the headers in front"
        );
        self.queued = self.queued.saturating_sub(block.len());
        self.send.sent(block.len());
        Some(block)
    }

    /// Whether both sides have closed.
    pub(crate) fn is_over(&self) -> bool {
        self.ours == Half::Closed && self.theirs == Half::Closed
    }

    /// What it holds of the allowance, in bytes: its whole window while the peer may fill it, then
    /// what the application has not taken.
    pub(crate) fn promised(&self) -> u64 {
        let may_fill =
            self.theirs == Half::Open && self.ours != Half::Closed && self.ending != Ending::Reset;
        u64::from(if may_fill {
            self.receive.limit()
        } else {
            self.receive.buffered()
        })
    }
}
