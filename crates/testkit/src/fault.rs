//! Streams that misbehave on demand: late, short, stalled, cut off, reset.
//!
//! [`FaultyStream`] wraps any byte stream of tokio's. What it does to the bytes is fixed when it is made and determined by
//! a seed; stalls and a reset at a chosen moment come through its [`Control`]. Without a fault it changes nothing.
//!
//! Where a fault names a number of bytes, exactly that many pass before it strikes. Faults of the two directions are
//! independent, except a reset, which ends both.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::seeded::SeededRandom;

/// A byte stream with faults; made by [`FaultyStream::new`] and the methods that add faults.
#[derive(Debug)]
pub struct FaultyStream<S> {
    inner: S,
    seed: u64,
    control: Control,
    reading: Reading,
    writing: Writing,
}

/// The hand on a [`FaultyStream`] while others use it. Clones act on the same stream.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Mutex<Levers>>);

/// What a control has set, and who waits for it to change.
#[derive(Debug, Default)]
struct Levers {
    reads_stalled: bool,
    writes_stalled: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Default)]
struct Reading {
    delay: Duration,
    shortening: Option<Shortening>,
    end: Option<End>,
    /// Bytes taken from the inner stream that are not due yet.
    late: VecDeque<(Instant, Vec<u8>)>,
    late_bytes: usize,
    ended: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug, Default)]
struct Writing {
    shortening: Option<Shortening>,
    end: Option<End>,
    cut: bool,
}

/// How many bytes pass at once.
#[derive(Debug)]
struct Shortening {
    most: usize,
    random: SeededRandom,
    /// Drawn and not used yet. A poll that is pending draws nothing new, so that what passes does not depend on how often
    /// the stream is polled.
    next: Option<usize>,
}

/// How a direction ends after a number of bytes.
#[derive(Debug, Clone, Copy)]
enum End {
    Truncation { left: u64 },
    Reset { left: u64 },
}

impl FaultyStream<DuplexStream> {
    /// Two ends of a stream in memory, without faults yet; each direction buffers at most `buffer_bytes`.
    pub fn pair(buffer_bytes: usize, seed: u64) -> (Self, Self) {
        let (one, other) = tokio::io::duplex(buffer_bytes);
        (Self::new(one, seed), Self::new(other, !seed))
    }
}

impl<S> FaultyStream<S> {
    /// Wraps a stream, without faults yet.
    pub fn new(inner: S, seed: u64) -> Self {
        Self {
            inner,
            seed,
            control: Control::default(),
            reading: Reading::default(),
            writing: Writing::default(),
        }
    }

    /// Every byte read comes this long after it could have been read.
    ///
    /// At most [`LATE_BYTES`] are underway; the inner stream keeps the rest. Wrap both ends to delay both directions.
    #[must_use]
    pub fn delay_reads(mut self, delay: Duration) -> Self {
        self.reading.delay = delay;
        self
    }

    /// A read gives 1 to `most` bytes, by the seed.
    #[must_use]
    pub fn shorten_reads(mut self, most: usize) -> Self {
        self.reading.shortening = Some(Shortening::new(most, self.seed));
        self
    }

    /// A write takes 1 to `most` bytes, by the seed.
    #[must_use]
    pub fn shorten_writes(mut self, most: usize) -> Self {
        self.writing.shortening = Some(Shortening::new(most, self.seed.rotate_left(1)));
        self
    }

    /// After `bytes` the reader sees the end of the stream; writes go on, as after a peer's half-close.
    #[must_use]
    pub fn truncate_reads(mut self, bytes: u64) -> Self {
        self.reading.end = Some(End::Truncation { left: bytes });
        self
    }

    /// After `bytes` written, the peer sees the end of the stream, and what is written is taken and lost.
    #[must_use]
    pub fn truncate_writes(mut self, bytes: u64) -> Self {
        self.writing.end = Some(End::Truncation { left: bytes });
        self
    }

    /// After `bytes` read, both directions fail with [`io::ErrorKind::ConnectionReset`].
    #[must_use]
    pub fn reset_after_reading(mut self, bytes: u64) -> Self {
        self.reading.end = Some(End::Reset { left: bytes });
        self
    }

    /// After `bytes` written, both directions fail with [`io::ErrorKind::ConnectionReset`].
    #[must_use]
    pub fn reset_after_writing(mut self, bytes: u64) -> Self {
        self.writing.end = Some(End::Reset { left: bytes });
        self
    }

    /// The hand on this stream.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

impl Control {
    /// From now on nothing can be read.
    pub fn stall_reads(&self) {
        self.lock().reads_stalled = true;
    }

    /// From now on nothing can be written, flushed or shut down.
    pub fn stall_writes(&self) {
        self.lock().writes_stalled = true;
    }

    /// Ends the stalls of both directions.
    pub fn release(&self) {
        let mut levers = self.lock();
        levers.reads_stalled = false;
        levers.writes_stalled = false;
        levers.wake();
    }

    /// From now on both directions fail with [`io::ErrorKind::ConnectionReset`], stalled or not.
    pub fn reset(&self) {
        let mut levers = self.lock();
        levers.reset = true;
        levers.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Levers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_reads(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut levers = self.lock();
        levers.reader = Some(context.waker().clone());
        levers.poll(levers.reads_stalled)
    }

    fn poll_writes(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut levers = self.lock();
        levers.writer = Some(context.waker().clone());
        levers.poll(levers.writes_stalled)
    }
}

impl Levers {
    fn poll(&self, stalled: bool) -> Poll<io::Result<()>> {
        if self.reset {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        } else if stalled {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

impl Shortening {
    fn new(most: usize, seed: u64) -> Self {
        Self {
            most,
            random: SeededRandom::new(seed),
            next: None,
        }
    }

    fn next(&mut self) -> usize {
        *self.next.get_or_insert_with(|| self.random.size(self.most))
    }

    fn take(&mut self) {
        self.next = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FaultyStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.control.poll_reads(context))?;
        let mut most = buffer.remaining();
        if let Some(shortening) = &mut this.reading.shortening {
            most = most.min(shortening.next());
        }
        most = match this.reading.end {
            Some(End::Truncation { left: 0 }) => return Poll::Ready(Ok(())),
            Some(End::Reset { left: 0 }) => {
                this.control.reset();
                return this.control.poll_reads(context);
            }
            end => most.min(bytes_left(end)),
        };
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
        if this.reading.delay.is_zero() {
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut part))?;
        } else {
            ready!(this.reading.poll_late(&mut this.inner, context, &mut part))?;
        }
        let read = part.filled().len();
        buffer.advance(read);
        this.reading
            .shortening
            .iter_mut()
            .for_each(Shortening::take);
        spend(&mut this.reading.end, read);
        Poll::Ready(Ok(()))
    }
}

impl Reading {
    /// Takes what the inner stream has, and gives what is due.
    fn poll_late<S: AsyncRead + Unpin>(
        &mut self,
        inner: &mut S,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.ended && self.late_bytes < LATE_BYTES {
            let mut bytes = vec![0; CHUNK_BYTES];
            let mut chunk = ReadBuf::new(&mut bytes);
            if Pin::new(&mut *inner)
                .poll_read(context, &mut chunk)?
                .is_pending()
            {
                break;
            }
            let read = chunk.filled().len();
            bytes.truncate(read);
            self.ended = read == 0;
            self.late_bytes += read;
            self.late.push_back((Instant::now() + self.delay, bytes));
        }
        let Some((due, bytes)) = self.late.front_mut() else {
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(*due)));
        if timer.deadline() != *due {
            timer.as_mut().reset(*due);
        }
        ready!(timer.as_mut().poll(context));
        let (now, later) = bytes.split_at(bytes.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.late_bytes -= now.len();
        // The empty chunk that stands for the end stays, so that every later read sees the end again.
        if later.is_empty() && !now.is_empty() {
            self.late.pop_front();
        } else {
            *bytes = later.to_vec();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FaultyStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.control.poll_writes(context))?;
        let mut most = bytes.len();
        if let Some(shortening) = &mut this.writing.shortening {
            most = most.min(shortening.next());
        }
        most = match this.writing.end {
            Some(End::Truncation { left: 0 }) => {
                if !this.writing.cut {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
                    this.writing.cut = true;
                }
                return Poll::Ready(Ok(most));
            }
            Some(End::Reset { left: 0 }) => {
                this.control.reset();
                return this.control.poll_writes(context).map_ok(|()| 0);
            }
            end => most.min(bytes_left(end)),
        };
        let (now, _) = bytes.split_at(most);
        let written = ready!(Pin::new(&mut this.inner).poll_write(context, now))?;
        this.writing
            .shortening
            .iter_mut()
            .for_each(Shortening::take);
        spend(&mut this.writing.end, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.control.poll_writes(context))?;
        Pin::new(&mut this.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.control.poll_writes(context))?;
        Pin::new(&mut this.inner).poll_shutdown(context)
    }
}

/// How many bytes may still pass.
fn bytes_left(end: Option<End>) -> usize {
    match end {
        None => usize::MAX,
        Some(End::Truncation { left } | End::Reset { left }) => {
            usize::try_from(left).unwrap_or(usize::MAX)
        }
    }
}

/// Counts bytes that have passed.
fn spend(end: &mut Option<End>, bytes: usize) {
    if let Some(End::Truncation { left } | End::Reset { left }) = end {
        *left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

/// How many delayed bytes are underway at most: the product of 100 ms and 10 MB/s, more than a test moves.
pub const LATE_BYTES: usize = 1024 * 1024;

/// As much as one read of the inner stream takes.
const CHUNK_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests;
