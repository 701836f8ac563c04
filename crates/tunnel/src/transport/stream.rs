//! The byte stream: one two-way flow through a tunnel.
//!
//! An application holds the [`ByteStream`], the task of its connection the `StreamDriver`. Both
//! share one small mutex over block handles, counters and wakers; it is held for lines, never for a
//! copy, a cipher or an await.
//!
//! *Inbound*, the task pushes blocks and the application takes them. What is taken is counted, and
//! the task turns the count into window for the peer, so a slow reader costs only itself.
//! *Outbound*, the application fills blocks that have room for a header in front and for a tail
//! behind, and the task takes, frames and seals them where they lie. At most [`OUT_QUEUE_BYTES`]
//! wait there.
//!
//! Whoever has news for the task puts the stream on the connection's dirty list, where it stands at
//! most once. Nothing here is bound to a runtime.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use adit_ssh::block::{Block, HEADROOM, Pool, TAILROOM};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::driver::Costs;
use self::shared::{InboundEnd, Shared, State, register};
use super::mailbox::DirtyList;

mod cutter;
mod driver;
mod lend;
mod shared;

pub(crate) use self::cutter::Cutter;
pub(crate) use self::driver::{AppEnd, StreamDriver};
pub use self::shared::OUT_QUEUE_BYTES;
pub(crate) use self::shared::StreamEnd;

/// One two-way flow through a tunnel, for one visitor.
///
/// Reading ends with `Ok(0)` (or `Ok(None)`) when the peer has ended its half, and with an error
/// after what had come before a reset. `shutdown` ends our half after everything written; each half
/// goes on without the other. Dropped after a shutdown it takes no more from the peer but still
/// delivers; dropped without one it resets, and what was not sent yet is lost.
///
/// # Cancel safety
///
/// Every poll function may be abandoned: bytes are taken or queued only when it returns `Ready`.
pub struct ByteStream {
    shared: Arc<Shared>,
    /// What comes before all that is with the task: what `poll_read` has begun, and what was put back.
    begun: VecDeque<Chunk>,
    /// What comes behind that, was shown by `poll_drain` and not taken: it is not counted as taken either.
    shown: VecDeque<Block>,
    /// Whether it was filled with all that there was room for, the last time.
    is_bulk: bool,
    /// Bytes that `poll_read` has copied and nobody has counted yet.
    copied: usize,
}

/// Some bytes of a stream, in the block in which they were deciphered.
pub struct Chunk {
    block: Block,
}

/// Room for bytes to be sent, lent by [`ByteStream::poll_reserve`]. Dropped without
/// [`commit`](Self::commit) it sends nothing.
pub struct Reserve<'a> {
    stream: &'a mut ByteStream,
    block: Option<Block>,
    room: usize,
}

/// Most bytes of one packet, whatever the peer would take (`limits::CHANNEL_PACKET`).
const PACKET: usize = 32_768;

impl ByteStream {
    /// Takes the next bytes from the peer, without a copy; `None` after the last.
    ///
    /// They count as taken at once and the peer may send as many again, so a caller must limit how
    /// many chunks it holds.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        if let Some(begun) = self.begun.pop_front() {
            if self.shared.is_cut.load(Ordering::Acquire) {
                return Poll::Ready(Err(StreamEnd::Cut.into()));
            }
            return Poll::Ready(Ok(Some(begun)));
        }
        let mut state = self.shared.state();
        state.copied = state
            .copied
            .saturating_add(std::mem::take(&mut self.copied));
        if state.is_cut {
            self.shown.clear();
        }
        let next = self.shown.pop_front();
        let Some(block) = next.or_else(|| state.inbound.pop_front()) else {
            return match state.inbound_end {
                None => {
                    register(&mut state.reader, cx);
                    Poll::Pending
                }
                Some(InboundEnd::Eof) => Poll::Ready(Ok(None)),
                Some(InboundEnd::Error(end)) => Poll::Ready(Err(end.into())),
            };
        };
        self.shared.took(state, block.len(), self.shown.is_empty());
        Poll::Ready(Ok(Some(Chunk { block })))
    }

    /// Puts bytes back that were read from it, in front of all others; no more than a block holds.
    pub fn unread(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut block = self.shared.pool.take();
        let taken = block.append(bytes);
        debug_assert!(taken == bytes.len(), "{} bytes are too many", bytes.len());
        self.copied = self.copied.saturating_add(taken);
        self.begun.push_front(Chunk { block });
    }

    /// Borrows room for up to a packet's bytes to be sent, without a copy.
    ///
    /// Waits while [`OUT_QUEUE_BYTES`] are queued. Fails after a shutdown, after a reset and when
    /// the peer has closed.
    pub fn poll_reserve(&mut self, cx: &Context<'_>) -> Poll<io::Result<Reserve<'_>>> {
        let packet = self.shared.packet;
        let lent = {
            let mut state = self.shared.state();
            if let Some(end) = state.outbound_end {
                return Poll::Ready(Err(end.into()));
            }
            if state.is_shut {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if state.has_no_room(packet) {
                register(&mut state.writer, cx);
                return Poll::Pending;
            }
            // A block that is less than half full is filled up before another is begun.
            state.outbound.pop_back_if(|last| {
                last.len() < packet / 2 && last.spare().saturating_sub(TAILROOM) >= packet / 2
            })
        };
        let block = lent.unwrap_or_else(|| {
            let mut block = self.shared.pool.take();
            block.set_range(HEADROOM, HEADROOM);
            block
        });
        let room = packet
            .saturating_sub(block.len())
            .min(block.spare().saturating_sub(TAILROOM));
        Poll::Ready(Ok(Reserve {
            stream: self,
            block: Some(block),
            room,
        }))
    }

    /// Waits until the peer has closed the stream, or it is lost: of what was sent nothing is on its
    /// way any more. A peer closes when both halves have ended and it has delivered everything.
    pub fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        if state.outbound_end.is_some() {
            return Poll::Ready(());
        }
        register(&mut state.writer, cx);
        Poll::Pending
    }

    /// Waits until the stream is broken off: cut off from its connection, or lost with it. What it holds
    /// then is not to be delivered any more. Neither the peer's end of file nor its reset is that.
    ///
    /// Has a waker of its own, so it may be polled beside reads and writes.
    pub fn poll_cut(&self, cx: &Context<'_>) -> Poll<io::Error> {
        self.shared.poll_cut(cx)
    }

    /// The same as a future, which keeps no hold of the stream. Of both, one task may wait at a time.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub(crate) fn cut(&self) -> impl Future<Output = io::Error> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        poll_fn(move |cx| shared.poll_cut(cx))
    }

    /// Waits until the peer has left for good: it has reset the stream, or closed it with nothing left to
    /// read, or the stream is lost. Who has sent something and closed in good order still wants it
    /// delivered.
    pub(crate) fn poll_left(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.state();
        let is_cut = matches!(state.inbound_end, Some(InboundEnd::Error(_)));
        let is_read = state.inbound.is_empty() && self.begun.is_empty() && self.shown.is_empty();
        if state.outbound_end.is_some() && (is_cut || is_read) {
            return Poll::Ready(());
        }
        register(&mut state.writer, cx);
        Poll::Pending
    }

    /// Ends our half behind what was written, of a session that ends with that status. The peer learns
    /// the status before the end.
    pub(crate) fn exit(self, status: u32) {
        let mut state = self.shared.state();
        state.exit = Some(status);
        state.is_shut = true;
        self.shared.list(state);
    }

    /// What cuts the stream off from elsewhere.
    pub(crate) fn cutter(&self) -> Cutter {
        Cutter::of(&self.shared)
    }

    /// A stream and its task's side.
    ///
    /// `channel` is what the dirty list knows it by, `packet` the most bytes of one packet to the
    /// peer (cut to what a block holds).
    pub(crate) fn pair(
        channel: u32,
        packet: usize,
        pool: Pool,
        dirty: Arc<DirtyList>,
    ) -> (Self, StreamDriver) {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            dirty,
            pool,
            channel,
            is_cut: AtomicBool::new(false),
            packet: packet.clamp(1, PACKET),
        });
        let driver = StreamDriver {
            shared: Arc::clone(&shared),
            costs: Costs::default(),
        };
        let stream = Self {
            shared,
            begun: VecDeque::new(),
            shown: VecDeque::new(),
            is_bulk: false,
            copied: 0,
        };
        (stream, driver)
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let mut chunk = match self.poll_chunk(cx) {
                Poll::Ready(Ok(Some(chunk))) => chunk,
                // What was read is given first; the end or the error comes with the next call.
                _ if buffer.filled().len() > before => break,
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            let count = chunk.len().min(buffer.remaining());
            buffer.put_slice(chunk.as_ref().get(..count).unwrap_or_default());
            chunk.advance(count);
            self.copied = self.copied.saturating_add(count);
            if !chunk.is_empty() {
                self.begun.push_front(chunk);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let mut reserve = ready!(self.poll_reserve(cx))?;
        let mut room = reserve.buffer_mut();
        let mut written: usize = 0;
        for slice in slices {
            let count = slice.len().min(room.len());
            let (now, rest) = room.split_at_mut(count);
            now.copy_from_slice(slice.get(..count).unwrap_or_default());
            room = rest;
            written = written.saturating_add(count);
        }
        reserve.commit_copied(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: what was written is with the task already.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends our half behind what was written. Returns at once.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.state();
        if state.is_shut {
            return Poll::Ready(Ok(()));
        }
        if let Some(end) = state.outbound_end {
            return Poll::Ready(Err(end.into()));
        }
        state.is_shut = true;
        self.shared.list(state);
        Poll::Ready(Ok(()))
    }
}

impl Drop for ByteStream {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_gone = true;
        state.copied = state.copied.saturating_add(self.copied);
        let inbound = std::mem::take(&mut state.inbound);
        state.inbound_bytes = 0;
        let outbound = if state.is_shut {
            VecDeque::new()
        } else {
            state.drop_outbound()
        };
        self.shared.list(state);
        drop((inbound, outbound));
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteStream({})", self.shared.channel)
    }
}

impl Chunk {
    /// Drops the first `count` bytes, which were used; all of them if there are fewer.
    pub fn advance(&mut self, count: usize) {
        self.block.advance(count);
    }

    /// How many bytes are left.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        self.block.as_slice()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes: they are a visitor's.
        write!(f, "Chunk({})", self.len())
    }
}

impl Reserve<'_> {
    /// Where to write to: at least one byte, at most a packet's. What it holds before is not
    /// defined.
    pub fn buffer_mut(&mut self) -> &mut [u8] {
        let spare = self.block.as_mut().map(Block::spare_mut);
        spare
            .and_then(|spare| spare.get_mut(..self.room))
            .unwrap_or_default()
    }

    /// Sends the first `count` bytes of the buffer; no more than it has.
    pub fn commit(self, count: usize) {
        self.commit_with(count, 0);
    }

    /// The same where the bytes were copied from elsewhere in memory.
    fn commit_copied(self, count: usize) {
        self.commit_with(count, count);
    }

    fn commit_with(mut self, count: usize, copied: usize) {
        debug_assert!(count <= self.room, "{count} bytes in {}", self.room);
        let count = count.min(self.room);
        if let Some(mut block) = self.block.take() {
            block.set_range(block.start(), block.end().saturating_add(count));
            self.stream.shared.give_back(block, count, copied);
        }
    }
}

impl Drop for Reserve<'_> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.stream.shared.give_back(block, 0, 0);
        }
    }
}

impl fmt::Debug for Reserve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserve({})", self.room)
    }
}

#[cfg(test)]
mod tests;
