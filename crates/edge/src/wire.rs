//! Both ends of a visitor's stay, whatever they are made of: dropped before they were finished, they reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::dial::{Carrier, Io};

/// One end. Dropped, it is reset, so that a stay that is broken off, also by a panic, never looks like one that
/// ended. A Unix socket has no reset: its peer sees an end of file there.
pub(crate) struct Wire {
    made_of: MadeOf,
    is_finished: bool,
}

pub(crate) enum MadeOf {
    Tcp(TcpStream),
    Unix(UnixStream),
    Other(Box<dyn Io>),
}

/// One end, lent to a copy.
pub(crate) enum Lent<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
    Other(&'a mut dyn Io),
}

impl Wire {
    pub(crate) const fn new(made_of: MadeOf) -> Self {
        Self {
            made_of,
            is_finished: false,
        }
    }

    pub(crate) fn lend(&mut self) -> Lent<'_> {
        match &mut self.made_of {
            MadeOf::Tcp(socket) => Lent::Tcp(socket),
            MadeOf::Unix(socket) => Lent::Unix(socket),
            MadeOf::Other(stream) => Lent::Other(&mut **stream),
        }
    }

    pub(crate) const fn tcp(&self) -> Option<&TcpStream> {
        match &self.made_of {
            MadeOf::Tcp(socket) => Some(socket),
            MadeOf::Unix(_) | MadeOf::Other(_) => None,
        }
    }

    /// The socket itself, for whoever closes it otherwise; nothing if it is none of TCP.
    pub(crate) fn into_tcp(mut self) -> Option<TcpStream> {
        let made_of = std::mem::replace(&mut self.made_of, MadeOf::Other(Box::new(Taken)));
        match made_of {
            MadeOf::Tcp(socket) => Some(socket),
            MadeOf::Unix(_) | MadeOf::Other(_) => None,
        }
    }

    /// All that was to be said has been: dropped from here on, it closes as the system closes.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// What tells when the other side breaks off.
    pub(crate) const fn watch(&self) -> Watch<'_> {
        match &self.made_of {
            MadeOf::Tcp(socket) => Watch::Tcp(socket),
            MadeOf::Unix(socket) => Watch::Unix(socket),
            MadeOf::Other(_) => Watch::Nothing,
        }
    }
}

/// Tells when the other side of a socket has broken off, also while nobody reads or writes here.
#[derive(Clone, Copy)]
pub(crate) enum Watch<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
    /// What is no socket tells by its reads and writes alone.
    Nothing,
}

impl Watch<'_> {
    /// Ends when it has.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub(crate) async fn broken(self) -> io::Error {
        let (ready, error) = match self {
            Self::Tcp(socket) => (socket.ready(Interest::ERROR).await, socket.take_error()),
            Self::Unix(socket) => (socket.ready(Interest::ERROR).await, socket.take_error()),
            Self::Nothing => std::future::pending().await,
        };
        match (ready, error) {
            (Err(error), _) | (Ok(_), Ok(Some(error)) | Err(error)) => error,
            // Another call has taken it already.
            (Ok(_), Ok(None)) => io::ErrorKind::ConnectionReset.into(),
        }
    }
}

impl<'a> Lent<'a> {
    pub(crate) const fn watch(&self) -> Watch<'a> {
        match *self {
            Self::Tcp(socket) => Watch::Tcp(socket),
            Self::Unix(socket) => Watch::Unix(socket),
            Self::Other(_) => Watch::Nothing,
        }
    }

    /// Ready when the other side has closed; of a socket its [`watch`](Self::watch) tells.
    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Pending,
            Self::Other(stream) => stream.poll_closed(cx),
        }
    }

    /// Ready when what lies behind has been cut off; no socket is.
    pub(crate) fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Poll::Pending,
            Self::Other(stream) => stream.poll_cut(cx),
        }
    }
}

impl AsyncRead for Lent<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let read = match self.as_ref().get_ref() {
                Self::Tcp(socket) => {
                    ready!(socket.poll_read_ready(cx))?;
                    socket.try_read(buffer.initialize_unfilled())
                }
                Self::Unix(socket) => {
                    ready!(socket.poll_read_ready(cx))?;
                    socket.try_read(buffer.initialize_unfilled())
                }
                Self::Other(_) => break,
            };
            match read {
                Ok(length) => {
                    buffer.advance(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        match self.get_mut() {
            Self::Other(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Lent<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let written = match self.as_ref().get_ref() {
                Self::Tcp(socket) => {
                    ready!(socket.poll_write_ready(cx))?;
                    socket.try_write(bytes)
                }
                Self::Unix(socket) => {
                    ready!(socket.poll_write_ready(cx))?;
                    socket.try_write(bytes)
                }
                Self::Other(_) => break,
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        match self.get_mut() {
            Self::Other(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(0)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match self.get_mut() {
            Self::Tcp(socket) => rustix::net::shutdown(socket, Shutdown::Write),
            Self::Unix(socket) => rustix::net::shutdown(socket, Shutdown::Write),
            Self::Other(stream) => return Pin::new(stream).poll_shutdown(cx),
        };
        Poll::Ready(done.map_err(io::Error::from))
    }
}

impl From<Carrier> for Wire {
    fn from(carrier: Carrier) -> Self {
        Self::new(match carrier {
            Carrier::Tcp(socket) => MadeOf::Tcp(socket),
            Carrier::Other(stream) => MadeOf::Other(stream),
        })
    }
}

/// Stands where a socket was taken from.
struct Taken;

impl Io for Taken {}

impl AsyncRead for Taken {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Taken {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let (MadeOf::Tcp(socket), false) = (&self.made_of, self.is_finished) {
            // It fails only where there is nothing to reset any more.
            socket.set_zero_linger().ok();
        }
    }
}
