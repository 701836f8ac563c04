//! Channels (RFC 4254 section 5): one two-way flow each, over one connection.
//!
//! A channel is opened by either side, carries data both ways within its windows, and ends in
//! halves: EOF says that no more data comes from that side, CLOSE that the channel is over. Our ends
//! send CLOSE once both halves have ended, so that nothing is lost; a CLOSE without an EOF is how one
//! of our ends says that a flow was cut off.

use std::collections::VecDeque;
use std::time::Instant;

use crate::block::{BLOCK, Block, HEADROOM, Pool};
use crate::error::Violation;
use crate::flow::{ReceiveWindow, SendWindow};
use crate::limits;
use crate::schedule::Turn;

mod linger;
pub(crate) mod open;
pub(crate) mod request;
pub(crate) mod table;

pub use open::{ChannelKind, Endpoint, OpenFailure};
pub use request::{ChannelRequest, ExitStatus};

/// A channel of one connection, by our number for it. Not used again before 2^31 others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

impl ChannelId {
    #[doc(hidden)]
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

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

/// Payloads below this are copied behind the last chunk if there is room. With half a block, two
/// chunks in a row hold more than a block together, so that a stalled channel holds at most twice
/// its bytes and one block.
const SMALL: usize = BLOCK >> 1;

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

/// What the rules for requests on a channel depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// A visitor's bytes.
    Flow,
    /// A session that we asked for.
    OwnSession,
    /// A session that the peer asked for.
    PeerSession,
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
    pub(crate) sort: Sort,
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
    /// When its reader, or its end, was last heard of, once the peer has closed it.
    pub(crate) lingers_since: Option<Instant>,
    pub(crate) requests: request::Pending,
}

impl Channel {
    pub(crate) fn new(
        phase: Phase,
        sort: Sort,
        remote: u32,
        window: u32,
        send: SendWindow,
    ) -> Self {
        Self {
            remote,
            phase,
            sort,
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
            lingers_since: None,
            requests: request::Pending::default(),
        }
    }

    /// Keeps arrived bytes: the range of `block`. Gives the block back if its bytes were copied.
    pub(crate) fn keep(&mut self, block: Block) -> Option<Block> {
        if block.len() < SMALL {
            let room = self.chunks.back_mut();
            if let Some(last) = room.filter(|last| last.spare() >= block.len()) {
                last.append(block.as_slice());
                return Some(block);
            }
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

    /// Forgets what arrived, also what the application has and has not reported as taken: it will
    /// not come back to it.
    pub(crate) fn discard_chunks(&mut self) {
        self.readable = false;
        self.chunks = VecDeque::new();
        self.receive.discard_all();
    }

    /// Whether there is something to send that may be sent, if at most `in_flight` bytes may be in
    /// flight.
    pub(crate) fn can_send(&self, in_flight: u64) -> bool {
        if self.phase != Phase::Open || self.ours == Half::Closed {
            return false;
        }
        let has_data = !self.queue.is_empty();
        match self.ending {
            Ending::Reset => true,
            Ending::Finish if !has_data => self.ours == Half::Open || self.theirs >= Half::Ended,
            Ending::Close if !has_data => true,
            Ending::Finish | Ending::Close | Ending::None => {
                has_data && self.send.packet(in_flight) > 0 && self.ours == Half::Open
            }
        }
    }

    /// The next bytes to send, within the peer's window and what may be in flight, as a block with
    /// room for the headers. Adds what it had to copy to `copied`.
    pub(crate) fn next_block(
        &mut self,
        pool: &Pool,
        in_flight: u64,
        copied: &mut u64,
    ) -> Option<Block> {
        let most = self.send.packet(in_flight);
        let first = self.queue.front_mut()?;
        let block = if first.len() <= most {
            self.queue.pop_front()?
        } else {
            // The window ends inside the block: its first part goes in a block of its own.
            let mut part = pool.take();
            part.set_range(HEADROOM, HEADROOM);
            part.append(first.as_slice().get(..most)?);
            first.advance(most);
            *copied = copied.saturating_add(u64::try_from(most).unwrap_or(u64::MAX));
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

    /// Counts data without a byte in it: it costs no window, so it has a limit of its own.
    pub(crate) fn count_empty(&mut self, bytes: usize) -> Result<(), Violation> {
        self.empty_data = match bytes {
            0 => self.empty_data.saturating_add(1),
            _ => 0,
        };
        if self.empty_data > limits::EMPTY_DATA {
            return Err(Violation::protocol("too much empty channel data"));
        }
        Ok(())
    }

    /// Whether the peer may ask that here: who opened a session asks for what runs in it, the other
    /// side tells how it ended.
    pub(crate) const fn takes(&self, request: &ChannelRequest) -> bool {
        let tells_the_end = matches!(request, ChannelRequest::Exit(_));
        match self.sort {
            Sort::Flow => false,
            Sort::OwnSession => tells_the_end,
            Sort::PeerSession => !tells_the_end,
        }
    }

    /// Whether both sides have closed.
    pub(crate) fn is_over(&self) -> bool {
        self.ours == Half::Closed && self.theirs == Half::Closed
    }

    /// Whether the peer may send data that somebody here will want.
    pub(crate) fn may_fill(&self) -> bool {
        self.theirs == Half::Open && self.ours != Half::Closed && self.ending != Ending::Reset
    }

    /// What it holds of the allowance, in bytes: its whole window while the peer may fill it, then
    /// what the application has not taken.
    pub(crate) fn promised(&self) -> u64 {
        u64::from(if self.may_fill() {
            self.receive.limit()
        } else {
            self.receive.buffered()
        })
    }
}
