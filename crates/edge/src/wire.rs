//! Both ends of a visitor's stay, whatever they are made of: dropped before they were finished, they reset.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, BorrowedFd};
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

/// Which way a system call moves bytes.
#[derive(Debug, Clone, Copy)]
enum Way {
    In,
    Out,
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

    /// Reads to several places at once, where the system can.
    pub(crate) fn poll_read_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Self::Other(stream) = self {
            let Some(first) = slices.first_mut() else {
                return Poll::Ready(Ok(0));
            };
            let mut buffer = ReadBuf::new(first);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            return Poll::Ready(Ok(buffer.filled().len()));
        }
        let most = slices.iter().map(|slice| slice.len()).sum();
        self.poll_system(cx, Way::In, most, |socket| {
            rustix::io::readv(socket, slices)
        })
    }

    /// A system call that reads or writes, as soon as it can move anything.
    ///
    /// One that moves less than it was asked for has emptied or filled the socket: what the system will have to say
    /// of it is waited for, and not asked at once only to hear that there is nothing. Tokio's own do the same.
    fn poll_system(
        &self,
        cx: &mut Context<'_>,
        way: Way,
        most: usize,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let (socket, interest) = match (self, way) {
            (Self::Tcp(socket), Way::In) => (socket.as_fd(), Interest::READABLE),
            (Self::Tcp(socket), Way::Out) => (socket.as_fd(), Interest::WRITABLE),
            (Self::Unix(socket), Way::In) => (socket.as_fd(), Interest::READABLE),
            (Self::Unix(socket), Way::Out) => (socket.as_fd(), Interest::WRITABLE),
            (Self::Other(_), _) => return Poll::Ready(Ok(0)),
        };
        loop {
            ready!(self.poll_ready(cx, way))?;
            let mut part = None;
            let attempt = || {
                let count = call(socket)?;
                if count == 0 || count >= most {
                    return Ok(count);
                }
                part = Some(count);
                Err(io::ErrorKind::WouldBlock.into())
            };
            let moved = match self {
                Self::Tcp(socket) => socket.try_io(interest, attempt),
                Self::Unix(socket) => socket.try_io(interest, attempt),
                Self::Other(_) => Ok(0),
            };
            match (part, moved) {
                (Some(count), _) => return Poll::Ready(Ok(count)),
                (None, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                (None, moved) => return Poll::Ready(moved),
            }
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>, way: Way) -> Poll<io::Result<()>> {
        match (self, way) {
            (Self::Tcp(socket), Way::In) => socket.poll_read_ready(cx),
            (Self::Tcp(socket), Way::Out) => socket.poll_write_ready(cx),
            (Self::Unix(socket), Way::In) => socket.poll_read_ready(cx),
            (Self::Unix(socket), Way::Out) => socket.poll_write_ready(cx),
            (Self::Other(_), _) => Poll::Ready(Ok(())),
        }
    }

    /// What lends its memory, if it does.
    pub(crate) fn lender(&mut self) -> Option<&mut dyn Io> {
        match self {
            Self::Other(stream) if stream.lends() => Some(&mut **stream),
            Self::Tcp(_) | Self::Unix(_) | Self::Other(_) => None,
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
        let this = self.get_mut();
        if let Self::Other(stream) = this {
            return Pin::new(stream).poll_read(cx, buffer);
        }
        let room = IoSliceMut::new(buffer.initialize_unfilled());
        let count = ready!(this.poll_read_vectored(cx, &mut [room]))?;
        buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Self::Other(stream) = this {
            return Pin::new(stream).poll_write_vectored(cx, slices);
        }
        let most = slices.iter().map(|slice| slice.len()).sum();
        this.poll_system(cx, Way::Out, most, |socket| {
            rustix::io::writev(socket, slices)
        })
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            Self::Other(stream) => stream.is_write_vectored(),
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
