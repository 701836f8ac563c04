//! The socket of a connection: bytes into the engine, packets out of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use adit_ssh::Connection as Engine;
use adit_ssh::error::ConnectionError;
use adit_ssh::packet::Outgoing;
use tokio::io::ReadBuf;

use super::carrier::Carrier;
use super::clock::now;
use super::drain::Drain;

/// The socket and what waits at its two ends.
pub(super) struct Socket<S> {
    io: S,
    out: Outgoing,
    drain: Drain,
    /// The beginning of a packet whose rest has not come.
    tail: Vec<u8>,
    has_ended: bool,
    is_deaf: bool,
    /// Bytes of unfinished packets that were moved to where their rest goes.
    copied: usize,
}

/// Slices given to one write.
const SLICES: usize = 16;

impl<S: Carrier> Socket<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            out: Outgoing::new(),
            drain: Drain::new(),
            tail: Vec::new(),
            has_ended: false,
            is_deaf: false,
            copied: 0,
        }
    }

    /// Bytes of unfinished packets that were moved so far.
    pub(super) const fn copied(&self) -> usize {
        self.copied
    }

    /// Whether a write has failed: the peer takes nothing more. What it sent before may still be
    /// read.
    pub(super) const fn is_deaf(&self) -> bool {
        self.is_deaf
    }

    /// Reads until the socket is empty, or a few buffers full.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        engine: &mut Engine,
        buffer: &mut [u8],
    ) -> Result<bool, ConnectionError> {
        if self.has_ended {
            return Ok(false);
        }
        let mut filled = self.tail.len();
        let mut start = 0;
        let mut moved = false;
        // A packet that had to wait for the engine is taken before anything is read.
        if let Some(front) = buffer.get_mut(..filled) {
            front.copy_from_slice(&self.tail);
            self.copied = self.copied.saturating_add(filled);
        }
        self.tail.clear();
        loop {
            let bytes = buffer.get(..filled).unwrap_or_default();
            let taken = engine.receive(now(), bytes)?;
            if taken > 0 {
                buffer.copy_within(taken..filled, 0);
                filled = filled.saturating_sub(taken);
                self.copied = self.copied.saturating_add(filled);
                moved = true;
            }
            if !engine.wants_read() {
                break;
            }
            let mut room = ReadBuf::new(buffer.get_mut(filled..).unwrap_or_default());
            match Pin::new(&mut self.io).poll_read(cx, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "socket failed to read");
                    return Err(engine.end_of_input());
                }
                Poll::Ready(Ok(())) if room.filled().is_empty() => {
                    self.has_ended = true;
                    return Err(engine.end_of_input());
                }
                Poll::Ready(Ok(())) => {
                    let count = room.filled().len();
                    self.io.has_read(count);
                    filled = filled.saturating_add(count);
                    if moved {
                        // One buffer a turn: its chunks go to their streams before the next.
                        let taken =
                            engine.receive(now(), buffer.get(..filled).unwrap_or_default())?;
                        start = taken;
                        break;
                    }
                }
            }
        }
        self.tail
            .extend_from_slice(buffer.get(start..filled).unwrap_or_default());
        self.copied = self.copied.saturating_add(self.tail.len());
        Ok(moved)
    }

    /// Writes until the socket is full or nothing is left to say.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        engine: &mut Engine,
    ) -> Result<bool, ConnectionError> {
        let mut moved = false;
        if self.is_deaf {
            return Ok(false);
        }
        loop {
            let result = engine.transmit(now(), &mut self.out, self.drain.most());
            if self.out.is_empty() {
                result?;
                self.drain.is_idle();
                return Ok(moved);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count: usize = 0;
            for (slot, bytes) in slices.iter_mut().zip(self.out.slices()) {
                *slot = IoSlice::new(bytes);
                count = count.saturating_add(1);
            }
            let slices = slices.get(..count).unwrap_or_default();
            match Pin::new(&mut self.io).poll_write_vectored(cx, slices) {
                Poll::Pending => {
                    result?;
                    self.drain.is_full(now());
                    return Ok(moved);
                }
                Poll::Ready(Ok(0)) => {
                    self.is_deaf = true;
                    return Ok(moved);
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, kind = ?io::Error::kind(&error), "socket failed to write");
                    self.is_deaf = true;
                    return Ok(moved);
                }
                Poll::Ready(Ok(bytes)) => {
                    self.out.advance(bytes);
                    self.drain.wrote(bytes);
                    moved = true;
                }
            }
        }
    }
}
