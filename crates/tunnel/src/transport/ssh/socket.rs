//! The socket of a connection: bytes into the engine, packets out of it.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use adit_ssh::Connection as Engine;
use adit_ssh::error::ConnectionError;
use adit_ssh::packet::Outgoing;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

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
    /// A little was read since anything was written.
    owes_answer: bool,
    has_ended: bool,
    is_deaf: bool,
    /// Bytes of unfinished packets that were moved to where their rest goes.
    copied: usize,
}

/// A read of at least this many bytes is part of a bulk transfer, which the kernel acknowledges often
/// enough.
const BULK: usize = 16_384;
/// How long a peer has to hang up after our goodbye. A round trip is enough for one that listens.
const LINGER: Duration = Duration::from_millis(500);
/// Read at a time and thrown away.
const LINGER_READ: usize = 4_096;
/// Slices given to one write.
const SLICES: usize = 16;

impl<S: Carrier> Socket<S> {
    pub(super) fn new(io: S) -> Self {
        Self {
            io,
            out: Outgoing::new(),
            drain: Drain::new(),
            tail: Vec::new(),
            owes_answer: false,
            has_ended: false,
            is_deaf: false,
            copied: 0,
        }
    }

    /// Our own address, if there is one.
    pub(super) fn local(&self) -> Option<IpAddr> {
        self.io.local()
    }

    /// What it was made of.
    pub(super) fn into_io(self) -> S {
        self.io
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

    /// Reads until the socket is empty, or a buffer is full. Says whether the engine took anything;
    /// if not, the socket will wake.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        engine: &mut Engine,
        buffer: &mut [u8],
    ) -> Result<bool, ConnectionError> {
        if self.has_ended {
            return Ok(false);
        }
        // A packet that had to wait for the engine is taken before anything is read.
        let mut moved = self.take_tail(engine)?;
        // What was read and not taken. Before it is room for the tail, should that go in front.
        let mut unread = self.tail.len()..self.tail.len();
        while engine.wants_read() {
            let mut room = ReadBuf::new(buffer.get_mut(unread.end..).unwrap_or_default());
            if room.remaining() == 0 {
                break;
            }
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
                    self.owes_answer |= count < BULK;
                    unread.end = unread.end.saturating_add(count);
                }
            }
            let was_moved = moved;
            moved |= self.join_tail(engine, buffer, &mut unread)?;
            if self.tail.is_empty() {
                let bytes = buffer.get(unread.clone()).unwrap_or_default();
                let taken = engine.receive(now(), bytes)?;
                unread.start = unread.start.saturating_add(taken);
                moved |= taken > 0;
            }
            if was_moved {
                // One buffer a turn: its chunks go to their streams before the next.
                break;
            }
        }
        self.keep(buffer.get(unread).unwrap_or_default());
        Ok(moved)
    }

    /// Gives the engine what was kept. Says whether it took anything.
    fn take_tail(&mut self, engine: &mut Engine) -> Result<bool, ConnectionError> {
        if self.tail.is_empty() {
            return Ok(false);
        }
        let taken = engine.receive(now(), &self.tail)?;
        self.tail.drain(..taken);
        if taken > 0 {
            self.copied = self.copied.saturating_add(self.tail.len());
        }
        Ok(taken > 0)
    }

    /// Brings the beginning of a packet, which was kept, and its rest, which was read, together:
    /// whichever of them is the shorter one is copied to the other. So a packet costs copies of its own
    /// length at most, however small the pieces are in which it comes.
    fn join_tail(
        &mut self,
        engine: &mut Engine,
        buffer: &mut [u8],
        unread: &mut Range<usize>,
    ) -> Result<bool, ConnectionError> {
        if self.tail.is_empty() {
            return Ok(false);
        }
        let missing = engine
            .unfinished()
            .map(|whole| whole.saturating_sub(self.tail.len()));
        let end = match missing {
            Some(missing) if missing > unread.len() => unread.end,
            Some(missing) if missing <= self.tail.len() => unread.start.saturating_add(missing),
            Some(_) | None => {
                let front = unread.start.checked_sub(self.tail.len());
                if let Some(start) = front
                    && let Some(room) = buffer.get_mut(start..unread.start)
                {
                    room.copy_from_slice(&self.tail);
                    self.copied = self.copied.saturating_add(self.tail.len());
                    self.tail.clear();
                    unread.start = start;
                }
                return Ok(false);
            }
        };
        self.keep(buffer.get(unread.start..end).unwrap_or_default());
        unread.start = end;
        self.take_tail(engine)
    }

    /// Keeps bytes behind those that are kept.
    fn keep(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.copied = self.copied.saturating_add(bytes.len());
    }

    /// Writes until the socket is full or nothing is left to say. What was read before and got no
    /// answer is acknowledged by itself.
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
                self.acknowledge();
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
                    self.acknowledge();
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
                    self.owes_answer = false;
                    moved = true;
                }
            }
        }
    }

    /// Ends our half and reads until the peer has ended its own, or a moment is over. A socket that is
    /// closed with bytes unread is reset, and a reset overtakes what was said last: a stock sshd that
    /// writes just then dies of it and never reads the goodbye.
    pub(super) async fn linger(&mut self) {
        let ended = async {
            self.io.shutdown().await?;
            let mut unread = [0; LINGER_READ];
            while self.io.read(&mut unread).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        match timeout(LINGER, ended).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "socket failed at its end"),
            Err(_) => tracing::debug!("peer did not hang up"),
        }
    }

    fn acknowledge(&mut self) {
        if std::mem::take(&mut self.owes_answer) {
            self.io.acknowledge();
        }
    }
}
