//! The registry: which connection serves each lease now, and the way of a visitor to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use adit_model::lease::Holding;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::{ByteStream, Origin, RefusalCode};

/// Leads visitors to connections.
#[derive(Debug)]
pub struct Registry {}

/// A visitor's byte stream. It is reset in the instant in which its connection loses the lease.
#[derive(Debug)]
pub struct Fenced {
    stream: ByteStream,
}

/// Why a visitor is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unserved {
    /// There is no such lease, or it ended while the visitor waited.
    #[error("nobody holds it")]
    NoLease,
    /// Its owner did not come back in time.
    #[error("its tunnel is away")]
    Away,
    /// Too many visitors wait for its owner already.
    #[error("its tunnel is away, and too many wait for it")]
    Crowded,
    /// The owner's connection has no place for another stream.
    #[error("its tunnel carries as many streams as it can")]
    Shortage,
    /// The owner refused it; it could not reach its own service, for example.
    #[error("its tunnel refused the stream ({code}): {reason}")]
    Refused {
        /// The reason by its number.
        code: RefusalCode,
        /// The owner's own words, escaped and cut.
        reason: String,
    },
    /// The owner did not answer in time.
    #[error("its tunnel did not answer in time")]
    Slow,
}

impl Registry {
    /// Opens a byte stream to whoever holds the lease, and waits for a holder for a while.
    ///
    /// # Errors
    /// See [`Unserved`].
    ///
    /// # Cancel safety
    /// Dropping it is the cancel.
    pub async fn open(&self, holding: &Holding, origin: Origin) -> Result<Fenced, Unserved> {
        std::future::ready(()).await;
        todo!("{holding:?} {origin:?}")
    }
}

impl Fenced {
    /// The stream, for a copy without copies. The fence holds for it too.
    pub const fn stream_mut(&mut self) -> &mut ByteStream {
        &mut self.stream
    }
}

impl AsyncRead for Fenced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Fenced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
