//! What a connection's bytes travel over: usually a TCP socket, under a jump or a proxy command
//! another byte stream or a pipe.

use std::io;
use std::net::IpAddr;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::super::ByteStream;

/// Bytes both ways. The hooks are for sockets; other carriers have no use for them.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {
    /// A little was read, and nothing that would carry its acknowledgement is on the way.
    fn acknowledge(&self) {}

    /// The address at the other end, if there is one: what the certificates of a login may name.
    fn source(&self) -> Option<IpAddr> {
        None
    }

    /// Our own address, if there is one: a connection does not outlive it.
    fn local(&self) -> Option<IpAddr> {
        None
    }

    /// Keeps what can be reset later, of a carrier whose peer has fallen silent.
    fn hold(self: Box<Self>) -> Option<Held> {
        None
    }
}

/// A socket whose peer has said nothing for too long. It says nothing either, and is not closed: the
/// word of a close would be lost with all others, and a stock sshd would keep its ports for a
/// connection that nobody speaks of any more.
///
/// Once the same peer has been reached again, a [`reset`](Self::reset) of it arrives, and its sshd
/// frees the ports in that instant, if our address is still the same (measured 2026-11-21 after a cut
/// of 60 s: 0.03 s; closed during the cut, they were held 70 s later still).
///
/// What went through a hop is held by the socket to the nearest one: reset, that hop hears of its end and
/// ends what it had dialled for us.
#[derive(Debug)]
pub struct Held(Kept);

#[derive(Debug)]
enum Kept {
    Socket(TcpStream),
    /// Over another connection, which has to be held in its turn. As long as this is kept, its peer is
    /// not told to close it.
    Stream(ByteStream),
}

impl Held {
    /// Resets it.
    pub fn reset(self) {
        match self.0 {
            // One that has ended by itself needs none.
            Kept::Socket(socket) => drop(socket.set_zero_linger()),
            Kept::Stream(stream) => drop(stream),
        }
    }
}

impl Carrier for TcpStream {
    /// Asks the kernel to acknowledge at once, which it forgets after each time. A stock sshd leaves
    /// Nagle's algorithm on for a connection without a session, so a delayed acknowledgement costs
    /// 20 to 40 ms a small exchange (measured 2026-11-21: 560 new streams a second without, 5,300
    /// with).
    fn acknowledge(&self) {
        // A socket that cannot do it works all the same.
        drop(SockRef::from(self).set_tcp_quickack(true));
    }

    fn source(&self) -> Option<IpAddr> {
        self.peer_addr().ok().map(|addr| addr.ip())
    }

    fn local(&self) -> Option<IpAddr> {
        let addr = self.local_addr().ok()?;
        Some(addr.ip().to_canonical())
    }

    fn hold(self: Box<Self>) -> Option<Held> {
        Some(Held(Kept::Socket(*self)))
    }
}

impl<T: Carrier + ?Sized> Carrier for Box<T> {
    fn acknowledge(&self) {
        (**self).acknowledge();
    }

    fn source(&self) -> Option<IpAddr> {
        (**self).source()
    }

    fn local(&self) -> Option<IpAddr> {
        (**self).local()
    }

    fn hold(self: Box<Self>) -> Option<Held> {
        (*self).hold()
    }
}

impl Carrier for tokio::io::DuplexStream {}

impl Carrier for ByteStream {
    fn hold(self: Box<Self>) -> Option<Held> {
        Some(Held(Kept::Stream(*self)))
    }
}

#[cfg(unix)]
impl Carrier for tokio::net::UnixStream {}

/// What may lie unsent in the kernel before it asks for no more: what lies there cannot be overtaken
/// by a more urgent packet.
const UNSENT_BYTES: u32 = 131_072;

/// Sets the options of a socket that carries a connection: no delay, little unsent, and no pacing
/// between two programs of one machine (a jump through a local forward, say).
///
/// # Errors
/// The system refused TCP_NODELAY. TCP_NOTSENT_LOWAT is a wish and may be refused.
pub fn tune(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    super::congestion::unpace_on_loopback(socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    drop(SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES));
    Ok(())
}
