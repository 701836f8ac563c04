//! The copier: moves bytes between a local socket and a byte stream, both ways, until both halves
//! have ended.
//!
//! From the socket it reads straight into the block that is sealed later; to the socket it writes
//! the blocks in which packets were deciphered, several at once. So no byte is copied in user space.
//! Each half ends by itself: an end of file on one side becomes a shutdown on the other, behind
//! every byte before it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::transport::{ByteStream, Chunk};

/// How a copy ended.
#[derive(Debug)]
pub struct Copied {
    /// Bytes that the socket gave and the stream took.
    pub to_stream: u64,
    /// Bytes that the stream gave and the socket took.
    pub to_socket: u64,
    /// Whether both halves ended in good order.
    pub end: Result<(), CopyError>,
}

/// Why a copy ended before both halves had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The local socket broke. The stream was reset, unless all that came from the socket was sent.
    #[error("local socket broke")]
    Socket(#[source] io::Error),
    /// The stream broke. The socket should be reset too, so that its peer can tell.
    #[error("byte stream broke")]
    Stream(#[source] io::Error),
}

/// Copies until both halves have ended. The stream is consumed: after an error its drop resets it.
/// The socket is left to the caller, who resets it after an error.
///
/// It has no deadline of its own: a quiet pair may stay quiet for days.
///
/// # Cancel safety
///
/// Dropping the future resets the stream; bytes on their way to the socket are lost.
pub async fn copy<S>(mut stream: ByteStream, socket: &mut S) -> Copied
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    copy_through(&mut stream, socket).await
}

/// The same, counted as it goes, too.
///
/// # Cancel safety
///
/// As [`copy`].
pub(crate) async fn copy_metered<S>(
    mut stream: ByteStream,
    socket: &mut S,
    meters: Meters<'_>,
) -> Copied
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    copy_both(&mut stream, socket, meters, read_one).await
}

/// The same of a socket of TCP, which is read to several packets at once.
///
/// # Cancel safety
///
/// As [`copy`].
pub(crate) async fn copy_metered_tcp(
    mut stream: ByteStream,
    socket: &mut TcpStream,
    meters: Meters<'_>,
) -> Copied {
    copy_both(&mut stream, socket, meters, read_several).await
}

/// The same, and the stream is left to the caller too.
///
/// # Cancel safety
///
/// Dropping the future loses bytes on their way to the socket.
pub(crate) async fn copy_through<S>(stream: &mut ByteStream, socket: &mut S) -> Copied
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    copy_both(stream, socket, Meters::default(), read_one).await
}

/// Reads to several places at once.
type Read<S> = fn(&mut S, &mut Context<'_>, &mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>>;

/// To the first of them, which is all that can be done with what is no socket.
fn read_one<S: AsyncRead + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    rooms: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    let Some(first) = rooms.first_mut() else {
        return Poll::Ready(Ok(0));
    };
    let mut buffer = ReadBuf::new(first);
    ready!(Pin::new(socket).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

/// To all of them by one system call. One that fills not all has emptied the socket, and the system is not asked again
/// only to say so; Tokio's own reads do the same.
fn read_several(
    socket: &mut TcpStream,
    cx: &mut Context<'_>,
    rooms: &mut [IoSliceMut<'_>],
) -> Poll<io::Result<usize>> {
    let most: usize = rooms.iter().map(|room| room.len()).sum();
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let mut part = None;
        let read = socket.try_io(Interest::READABLE, || {
            let count = rustix::io::readv(&socket, rooms)?;
            if count == 0 || count >= most {
                return Ok(count);
            }
            part = Some(count);
            Err(io::ErrorKind::WouldBlock.into())
        });
        match (part, read) {
            (Some(count), _) => return Poll::Ready(Ok(count)),
            (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            (None, read) => return Poll::Ready(read),
        }
    }
}

async fn copy_both<S>(
    stream: &mut ByteStream,
    socket: &mut S,
    meters: Meters<'_>,
    read: Read<S>,
) -> Copied
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut copier = Copier {
        stream,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        has_all: false,
        to_stream: Half::counting(meters.to_stream),
        to_socket: Half::counting(meters.to_socket),
    };
    let end = poll_fn(|cx| copier.poll(Pin::new(&mut *socket), read, cx)).await;
    Copied {
        to_stream: copier.to_stream.bytes,
        to_socket: copier.to_socket.bytes,
        end,
    }
}

struct Copier<'a> {
    stream: &'a mut ByteStream,
    /// What the socket has not taken yet.
    waiting: VecDeque<Chunk>,
    waiting_bytes: usize,
    /// Whether the stream has given its last byte.
    has_all: bool,
    to_stream: Half<'a>,
    to_socket: Half<'a>,
}

/// Where bytes are counted as they go, for others to see.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meters<'a> {
    /// Bytes that the stream took.
    pub(crate) to_stream: Option<&'a AtomicU64>,
    /// Bytes that the socket took.
    pub(crate) to_socket: Option<&'a AtomicU64>,
}

struct Half<'a> {
    bytes: u64,
    meter: Option<&'a AtomicU64>,
    end: Option<Result<(), CopyError>>,
}

/// Most bytes that wait for the socket, on top of what the kernel holds: two reads of a connection
/// for one system call.
const WAITING_BYTES: usize = 524_288;
/// Most blocks in one system call. Small packets share blocks, so more are rare.
const SLICES: usize = 16;
/// Rounds in one direction before others on this thread have their turn.
const ROUNDS: usize = 16;

impl Copier<'_> {
    fn poll<S>(
        &mut self,
        mut socket: Pin<&mut S>,
        read: Read<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CopyError>>
    where
        S: AsyncWrite + Unpin,
    {
        if self.to_stream.end.is_none() {
            self.to_stream.end = done(self.poll_to_stream(socket.as_mut(), read, cx));
        }
        if self.to_socket.end.is_none() {
            self.to_socket.end = done(self.poll_to_socket(socket, cx));
        }
        match (&self.to_stream.end, &self.to_socket.end) {
            // A broken source of either half leaves nothing to wait for.
            (Some(Err(CopyError::Socket(_))), _) => {
                Poll::Ready(self.to_stream.end.take().unwrap_or(Ok(())))
            }
            (_, Some(Err(CopyError::Stream(_)))) => {
                Poll::Ready(self.to_socket.end.take().unwrap_or(Ok(())))
            }
            // The peer took no more, but all that it had sent was delivered: that is how SSH closes.
            (Some(Err(CopyError::Stream(_))), Some(Ok(()))) => Poll::Ready(Ok(())),
            (Some(_), Some(_)) => Poll::Ready(self.to_socket.end.take().unwrap_or(Ok(()))),
            (None, _) | (_, None) => Poll::Pending,
        }
    }

    fn poll_to_stream<S: Unpin>(
        &mut self,
        mut socket: Pin<&mut S>,
        read: Read<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CopyError>> {
        for _ in 0..ROUNDS {
            let mut outcome = None;
            let filled = self.stream.poll_fill(cx, |cx, rooms| {
                let read = read(&mut socket, cx, rooms);
                let count = match &read {
                    Poll::Ready(Ok(count)) => *count,
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                outcome = Some(read);
                count
            });
            match (filled, outcome) {
                (Poll::Ready(filled), _) => {
                    self.to_stream.count(filled.map_err(CopyError::Stream)?);
                }
                (Poll::Pending, None | Some(Poll::Pending)) => return Poll::Pending,
                (Poll::Pending, Some(Poll::Ready(Err(error)))) => {
                    return Poll::Ready(Err(CopyError::Socket(error)));
                }
                // The socket has given its last byte.
                (Poll::Pending, Some(Poll::Ready(Ok(_)))) => {
                    let shutdown = Pin::new(&mut *self.stream).poll_shutdown(cx);
                    return shutdown.map_err(CopyError::Stream);
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_to_socket<S: AsyncWrite>(
        &mut self,
        mut socket: Pin<&mut S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CopyError>> {
        for _ in 0..ROUNDS {
            let stream_end = self.fill(cx);
            if self.waiting.is_empty() {
                // An error of the stream counts once all that came before it is written.
                ready!(stream_end).map_err(CopyError::Stream)?;
                return socket.poll_shutdown(cx).map_err(CopyError::Socket);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            for (slice, chunk) in slices.iter_mut().zip(&self.waiting) {
                *slice = IoSlice::new(chunk.as_ref());
            }
            let used = slices.get(..self.waiting.len()).unwrap_or(&slices);
            let written = socket.as_mut().poll_write_vectored(cx, used);
            let count = ready!(written).map_err(CopyError::Socket)?;
            if count == 0 {
                let error = io::ErrorKind::WriteZero.into();
                return Poll::Ready(Err(CopyError::Socket(error)));
            }
            self.to_socket.count(count);
            self.forget(count);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what the stream has, up to the limits. `Ready` when it has given all.
    fn fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_all && self.waiting_bytes < WAITING_BYTES && self.waiting.len() < SLICES {
            match ready!(self.stream.poll_chunk(cx))? {
                None => self.has_all = true,
                Some(chunk) => {
                    self.waiting_bytes = self.waiting_bytes.saturating_add(chunk.len());
                    self.waiting.push_back(chunk);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Drops what the socket took.
    fn forget(&mut self, mut count: usize) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(count);
        while let Some(chunk) = self.waiting.front_mut() {
            if count < chunk.len() {
                chunk.advance(count);
                break;
            }
            count = count.saturating_sub(chunk.len());
            self.waiting.pop_front();
        }
    }
}

impl<'a> Half<'a> {
    const fn counting(meter: Option<&'a AtomicU64>) -> Self {
        Self {
            bytes: 0,
            meter,
            end: None,
        }
    }

    fn count(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(count);
        if let Some(meter) = self.meter {
            meter.fetch_add(count, Ordering::Relaxed);
        }
    }
}

fn done<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
