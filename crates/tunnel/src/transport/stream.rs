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
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use adit_ssh::block::{BLOCK, Block, HEADROOM, Pool, TAILROOM};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::mailbox::DirtyList;

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
    /// What `poll_read` has begun.
    begun: Option<Chunk>,
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

/// The task's side of a [`ByteStream`]. Dropped, it ends the stream as lost unless it has ended.
pub(crate) struct StreamDriver {
    shared: Arc<Shared>,
    costs: Costs,
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

/// Why a stream ends other than by the peer's EOF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The peer reset it.
    Reset,
    /// Its connection ended.
    Lost,
}

struct Shared {
    state: Mutex<State>,
    dirty: Arc<DirtyList>,
    pool: Pool,
    channel: u32,
    /// Most bytes in one packet to the peer.
    packet: usize,
}

#[derive(Default)]
struct State {
    inbound: VecDeque<Block>,
    inbound_bytes: usize,
    inbound_end: Option<InboundEnd>,
    consumed: usize,
    /// Bytes that the application's reads and writes copied.
    copied: usize,
    outbound: VecDeque<Block>,
    outbound_bytes: usize,
    /// Taken by the task and not yet sealed.
    unsealed_bytes: usize,
    /// The peer takes no more.
    outbound_end: Option<StreamEnd>,
    is_shut: bool,
    is_gone: bool,
    is_listed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum InboundEnd {
    Eof,
    Error(StreamEnd),
}

/// Most bytes of one stream that wait to be sealed: four packets, so that the application fills two
/// while the task seals two.
pub const OUT_QUEUE_BYTES: usize = 131_072;
/// Most blocks that they may lie in, however small the peer's packets are.
const OUT_QUEUE_BLOCKS: usize = 16;
/// An application that waits for room is woken when this much is left, so that it is woken once for
/// several packets.
const OUT_QUEUE_LOW: usize = OUT_QUEUE_BYTES / 2;
/// Taken bytes are told to the task in steps of this size: a quarter of the smallest window, so that
/// a peer never waits for what is held back.
const CONSUMED_STEP: usize = 16_384;
/// Most bytes that are copied behind those of the last block instead of queued in a block of their
/// own. With half a block, what waits in a stream lies in at most twice its size and one block.
const MERGE: usize = BLOCK / 2;
/// Most bytes of one packet, whatever the peer would take (`limits::CHANNEL_PACKET`).
const PACKET: usize = 32_768;

impl ByteStream {
    /// Takes the next bytes from the peer, without a copy; `None` after the last.
    ///
    /// They count as taken at once and the peer may send as many again, so a caller must limit how
    /// many chunks it holds.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<io::Result<Option<Chunk>>> {
        if let Some(begun) = self.begun.take() {
            return Poll::Ready(Ok(Some(begun)));
        }
        let mut state = self.shared.state();
        state.copied = state
            .copied
            .saturating_add(std::mem::take(&mut self.copied));
        let Some(block) = state.inbound.pop_front() else {
            return match state.inbound_end {
                None => {
                    register(&mut state.reader, cx);
                    Poll::Pending
                }
                Some(InboundEnd::Eof) => Poll::Ready(Ok(None)),
                Some(InboundEnd::Error(end)) => Poll::Ready(Err(end.into())),
            };
        };
        state.inbound_bytes = state.inbound_bytes.saturating_sub(block.len());
        state.consumed = state.consumed.saturating_add(block.len());
        let is_last = state.inbound.is_empty() && state.inbound_end.is_some();
        if state.consumed >= CONSUMED_STEP || is_last {
            self.shared.list(state);
        }
        Poll::Ready(Ok(Some(Chunk { block })))
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
            packet: packet.clamp(1, PACKET),
        });
        let driver = StreamDriver {
            shared: Arc::clone(&shared),
            costs: Costs::default(),
        };
        let stream = Self {
            shared,
            begun: None,
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
                self.begun = Some(chunk);
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
        let mut reserve = std::task::ready!(self.poll_reserve(cx))?;
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
            end: match (state.is_gone, state.is_shut) {
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
        let woken = wake(state, |state| state.writer.take());
        self.costs.woken(woken);
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
    /// [`HEADROOM`] in front and [`TAILROOM`] behind. They count as queued until
    /// [`sealed`](Self::sealed).
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
        if state.is_gone && !state.is_shut {
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

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No step between two assignments of this file can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the stream on the dirty list unless it stands there.
    fn list(&self, mut state: MutexGuard<'_, State>) {
        let was_listed = std::mem::replace(&mut state.is_listed, true);
        drop(state);
        if !was_listed {
            self.dirty.post(self.channel);
        }
    }

    /// Queues a lent block again, to which `count` bytes were added, `copied` of them by a copy.
    fn give_back(&self, block: Block, count: usize, copied: usize) {
        if block.is_empty() {
            return;
        }
        let mut state = self.state();
        if state.outbound_end.is_some() {
            return;
        }
        state.outbound_bytes = state.outbound_bytes.saturating_add(count);
        state.copied = state.copied.saturating_add(copied);
        state.outbound.push_back(block);
        self.list(state);
    }

    /// Queues a block for the application, to which `count` bytes were added. Says whether somebody
    /// was woken.
    fn queue_inbound(&self, block: Block, count: usize) -> bool {
        if block.is_empty() {
            return false;
        }
        let mut state = self.state();
        if state.is_gone || state.inbound_end.is_some() {
            return false;
        }
        state.inbound_bytes = state.inbound_bytes.saturating_add(count);
        state.inbound.push_back(block);
        wake(state, |state| state.reader.take())
    }
}

impl State {
    fn queued(&self) -> usize {
        self.outbound_bytes.saturating_add(self.unsealed_bytes)
    }

    fn has_no_room(&self, packet: usize) -> bool {
        self.queued().saturating_add(packet) > OUT_QUEUE_BYTES
            || self.outbound.len() >= OUT_QUEUE_BLOCKS
    }

    /// Empties the outbound queue; the blocks are for the caller to drop without the lock.
    fn drop_outbound(&mut self) -> VecDeque<Block> {
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
            StreamEnd::Lost => Self::new(
                io::ErrorKind::ConnectionAborted,
                "connection that carried the byte stream ended",
            ),
        }
    }
}

/// Keeps the waker of `cx` unless it is there already.
fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !matches!(slot, Some(known) if known.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Wakes without the lock: a waker may run anything. Says whether somebody waited.
fn wake(mut state: MutexGuard<'_, State>, which: impl FnOnce(&mut State) -> Option<Waker>) -> bool {
    let waker = which(&mut state);
    drop(state);
    let is_there = waker.is_some();
    if let Some(waker) = waker {
        waker.wake();
    }
    is_there
}

#[cfg(test)]
mod tests;
