//! Sockets that pay for what they move.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{Direction, Permit, Usage};
use crate::gateway::after;

/// How soon a stream that waits notices that its limits have changed.
const LOOK: Duration = Duration::from_secs(1);

/// What a [`Metered`] socket stands on the side of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read from the socket comes from a visitor, or goes out of the gateway for the principal.
    Visitor,
    /// What is read from it comes from the principal.
    Principal,
}

/// A socket whose bytes count for a principal, and go no faster than it may.
pub struct Metered<S> {
    socket: S,
    permit: Permit,
    side: Side,
    reading: Pause,
    writing: Pause,
}

/// A wait that is over until something is paid for.
#[derive(Default)]
struct Pause(Option<Paused>);

struct Paused {
    /// Until then, or until it is time to look at the limits.
    sleep: Pin<Box<Sleep>>,
    until: tokio::time::Instant,
    changes: u64,
}

impl Pause {
    fn poll(&mut self, usage: &Usage, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(paused) = &mut self.0 {
            ready!(paused.sleep.as_mut().poll(cx));
            if paused.until <= tokio::time::Instant::now() {
                self.0 = None;
                break;
            }
            if let Some(wait) = usage.owed(direction, paused.changes) {
                paused.until = after(wait.time);
                paused.changes = wait.changes;
            }
            paused.sleep.as_mut().reset(paused.until.min(after(LOOK)));
        }
        Poll::Ready(())
    }

    fn pay(&mut self, usage: &Usage, direction: Direction, bytes: usize) -> io::Result<()> {
        let wait = usage.moved(direction, bytes).map_err(io::Error::other)?;
        if !wait.time.is_zero() {
            let until = after(wait.time);
            self.0 = Some(Paused {
                sleep: Box::pin(tokio::time::sleep_until(until.min(after(LOOK)))),
                until,
                changes: wait.changes,
            });
        }
        Ok(())
    }
}

impl<S> Metered<S> {
    /// Counts what that socket moves.
    pub fn new(socket: S, permit: Permit, side: Side) -> Self {
        Self {
            socket,
            permit,
            side,
            reading: Pause::default(),
            writing: Pause::default(),
        }
    }

    /// The socket itself.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The same. What is read or written past the meter counts for nobody.
    pub const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Reads from the socket in a way of one's own: what it says was read counts.
    ///
    /// # Errors
    /// That of `read`, or the month's share is used up.
    pub fn poll_read_with(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let (reads, _) = self.directions();
        ready!(self.reading.poll(&self.permit.0, reads, cx));
        let count = ready!(read(&mut self.socket, cx))?;
        self.reading.pay(&self.permit.0, reads, count)?;
        Poll::Ready(Ok(count))
    }

    /// The same of writes.
    ///
    /// # Errors
    /// That of `write`, or the month's share is used up.
    pub fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut S, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let (_, writes) = self.directions();
        ready!(self.writing.poll(&self.permit.0, writes, cx));
        let count = ready!(write(&mut self.socket, cx))?;
        self.writing.pay(&self.permit.0, writes, count)?;
        Poll::Ready(Ok(count))
    }

    const fn directions(&self) -> (Direction, Direction) {
        match self.side {
            Side::Visitor => (Direction::Down, Direction::Up),
            Side::Principal => (Direction::Up, Direction::Down),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metered").field(&self.socket).finish()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.poll_read_with(cx, |socket, cx| {
            let before = buffer.filled().len();
            ready!(Pin::new(socket).poll_read(cx, buffer))?;
            Poll::Ready(Ok(buffer.filled().len().saturating_sub(before)))
        });
        read.map_ok(|_| ())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
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
        self.poll_write_with(cx, |socket, cx| {
            Pin::new(socket).poll_write_vectored(cx, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
