//! A socket and who it comes from.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::place::Newcomer;
use crate::transport::ssh::Carrier;

/// A socket and who it comes from.
#[derive(Debug)]
pub struct Sourced {
    socket: TcpStream,
    source: SocketAddr,
    /// To be told of the first byte.
    newcomer: Option<Arc<Newcomer>>,
}

impl Sourced {
    /// That socket comes from there.
    pub const fn new(socket: TcpStream, source: SocketAddr) -> Self {
        Self {
            socket,
            source,
            newcomer: None,
        }
    }

    /// Where it comes from.
    pub(super) const fn address(&self) -> SocketAddr {
        self.source
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// That one is told when the first byte is read.
    pub(super) fn announce(&mut self, newcomer: Arc<Newcomer>) {
        self.newcomer = Some(newcomer);
    }
}

impl Carrier for Sourced {
    fn acknowledge(&self) {
        self.socket.acknowledge();
    }

    fn source(&self) -> Option<IpAddr> {
        Some(self.source.ip().to_canonical())
    }

    fn local(&self) -> Option<IpAddr> {
        self.socket.local()
    }
}

impl AsyncRead for Sourced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if read.is_ready()
            && let Some(newcomer) = self.newcomer.take()
        {
            newcomer.speaks();
        }
        read
    }
}

impl AsyncWrite for Sourced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
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
