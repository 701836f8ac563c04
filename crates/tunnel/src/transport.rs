//! What carries a tunnel: one live, authenticated, multiplexed connection to a peer.
//!
//! A [`Transport`] opens byte streams to the peer and asks it for forwards. What the *peer* asks
//! arrives as [`PeerRequest`]s on a bounded queue; each has an answer handle, and dropping that
//! handle refuses. One task per connection does the work; nothing here waits for it but futures
//! that can be dropped.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;

pub use self::address::{Bind, Origin, Target};
pub use self::request::{
    CancelAnswer, CancelRequest, ForwardAnswer, ForwardRequest, OpenAnswer, OpenRequest,
    PeerRequest, Requests, SessionRequest,
};
pub use self::session::{AskAnswer, Session, SessionAnswer, SessionAsk, SessionWish};
pub(crate) use self::stream::Cutter;
pub use self::stream::{ByteStream, Chunk, OUT_QUEUE_BYTES, Reserve};

mod address;
mod handle;
mod mailbox;
pub mod memory;
mod request;
mod session;
pub mod ssh;
mod stream;

/// What has happened to the network under a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Addresses that this machine has no more. A connection that goes from one of them ends at once.
    pub lost: Vec<IpAddr>,
    /// Whether the peer is asked if it is there: unless it answers, the connection ends within seconds,
    /// or, where it has been silent for longer, within as long again.
    pub asks: bool,
}

/// One connection. The last handle to it dropped closes it.
pub trait Transport: fmt::Debug + Send + Sync {
    /// Opens a byte stream to the peer. Nothing is sent before the future is polled; dropping it
    /// cancels: a confirmation that still comes is answered with a close.
    fn open(&self, head: StreamHead) -> Opening;

    /// Asks the peer to send us the visitors of `bind`. Once asked it is not taken back by dropping
    /// the future; [`cancel`](Self::cancel) does that.
    fn forward(&self, bind: Bind) -> Asking;

    /// Takes a forward back: `bind` as it was asked for, with the port that was granted. Visitors
    /// that the peer sends from here on are refused.
    fn cancel(&self, bind: Bind) -> Asking;

    /// Closes the connection; every stream of it ends as lost. Returns at once; the first reason
    /// counts.
    fn close(&self, reason: CloseReason);

    /// Says something to the peer's person, as far as the peer shows it; what finds no room is not said. Returns at
    /// once.
    fn say(&self, text: &str);

    /// There is reason to think that the connection is not there any more. Returns at once.
    fn doubt(&self, doubt: Doubt);

    /// Asks the peer whether it is there. Any packet of it that comes after the question says so, whatever
    /// it is about.
    fn is_alive(&self, within: Duration) -> Liveness;

    /// How far away the peer is: the least time that an answer has taken. `None` before the first.
    fn round_trip(&self) -> Option<Duration>;

    /// Whether the peer says that it is an adit too, so that it can be asked what no other knows.
    fn is_own_peer(&self) -> bool {
        false
    }

    /// Tells when and why the connection ended.
    fn end(&self) -> EndWatch;
}

/// One end of a connection, as its task hands it to the application.
#[derive(Debug)]
pub struct Connection {
    /// To open streams, to ask for forwards, to close.
    pub transport: Arc<dyn Transport>,
    /// What the peer asks. Ends with the connection. Who does not read it refuses in the end: the
    /// task never waits for room here.
    pub requests: Requests,
}

/// What a byte stream is for: the head of its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamHead {
    /// Which end it leads to, and where.
    pub kind: StreamKind,
    /// Who caused it, as told by the end that opens it.
    pub origin: Origin,
}

/// Where a byte stream leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamKind {
    /// To an address that the other end dials: `direct-tcpip` (RFC 4254 section 7.2),
    /// `direct-streamlocal@openssh.com`.
    Direct(Target),
    /// To whoever asked for that forward: `forwarded-tcpip`, `forwarded-streamlocal@openssh.com`.
    /// The port is the one that was granted.
    Forwarded(Bind),
    /// To whoever asked for that forward, who is to say by it that visitors get through: `probe@adit`, of adit
    /// alone. The port is the one that was granted.
    Probe {
        /// The host, word for word as it was asked for.
        host: String,
        /// The port.
        port: u16,
    },
    /// To a subsystem of the peer's, by its name (RFC 4254 section 6.5). Open once the peer has granted it.
    Subsystem(&'static str),
    /// To the standard streams of a program of the peer's, by its command line (RFC 4254 section 6.5). The line is part of
    /// this program: nothing that comes from elsewhere can stand in it. What it writes to its standard error is dropped.
    Command(&'static str),
}

/// A byte stream that is being opened.
///
/// # Cancel safety
///
/// Dropping it is the cancel.
#[must_use = "a stream is opened by awaiting this"]
pub struct Opening(Later<Result<ByteStream, OpenError>>);

/// A forward that is being asked for, or taken back: the port, where one was granted.
///
/// # Cancel safety
///
/// Dropped before it was polled, nothing was asked; later, the answer is lost.
#[must_use = "nothing is asked before this is awaited"]
pub struct Asking(Later<Result<u16, ForwardError>>);

/// A question whether the peer is there. `false` if nothing came from it in time, or the connection ended.
///
/// # Cancel safety
///
/// Dropped, the answer is lost.
#[must_use = "nothing is asked before this is awaited"]
pub struct Liveness(Later<bool>);

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a byte stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The connection has ended.
    #[error("connection is closed")]
    Closed,
    /// The peer said no; it could not reach its own service, for example.
    #[error("peer refused the stream ({code}): {reason}")]
    Refused {
        /// The peer's reason by its number.
        code: RefusalCode,
        /// The peer's own words, escaped and cut.
        reason: String,
    },
    /// This end has no memory or channel left to promise for another stream.
    #[error("too many streams for this connection")]
    Shortage,
}

impl OpenError {
    /// Whether the same request may be tried again on another connection. No byte of the visitor
    /// has left in any case, so a retry repeats nothing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Closed | Self::Shortage)
    }
}

/// Why an end refuses a byte stream (RFC 4254 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// It is not allowed.
    Prohibited,
    /// The target cannot be reached.
    ConnectFailed,
    /// There is no such kind of stream.
    UnknownKind,
    /// Memory or channels have run out.
    Shortage,
    /// A number of the peer's own.
    Other(u32),
}

impl RefusalCode {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::Prohibited => 1,
            Self::ConnectFailed => 2,
            Self::UnknownKind => 3,
            Self::Shortage => 4,
            Self::Other(number) => number,
        }
    }

    /// The reason of that number.
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Prohibited,
            2 => Self::ConnectFailed,
            3 => Self::UnknownKind,
            4 => Self::Shortage,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prohibited => f.write_str("administratively prohibited"),
            Self::ConnectFailed => f.write_str("connect failed"),
            Self::UnknownKind => f.write_str("unknown channel type"),
            Self::Shortage => f.write_str("resource shortage"),
            Self::Other(number) => write!(f, "reason {number}"),
        }
    }
}

/// Why a forward was not granted, or not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The connection has ended.
    #[error("connection is closed")]
    Closed,
    /// The peer said no. SSH knows no reasons here: the port is taken or not allowed.
    #[error("peer refused the forward")]
    Refused,
    /// Too many forwards or questions for one connection.
    #[error("too many forwards for this connection")]
    Shortage,
}

/// Why this end closes a connection. The peer is told by its text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The tunnel is being stopped.
    Stopping,
    /// A newer connection of the same tunnel has taken over.
    Superseded,
    /// What it carries has fallen silent, and so may it. Over SSH nothing is said to the peer, and what
    /// it goes over can be kept.
    Silent,
    /// The peer may not be here any more: what let it in was taken away, has changed or has expired.
    Revoked(Arc<str>),
    /// Nothing is left to do for it, for a reason in words.
    Useless(Arc<str>),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopping => "stopping",
            Self::Superseded => "superseded by a newer connection",
            Self::Silent => "what it carries has fallen silent",
            Self::Revoked(text) | Self::Useless(text) => text,
        })
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// This end closed it.
    #[error("connection was closed: {0}")]
    Ours(CloseReason),
    /// The peer closed it in good order.
    #[error("peer closed the connection: {text}")]
    Theirs {
        /// The peer's own words, escaped and cut.
        text: String,
    },
    /// It broke.
    #[error("connection was lost")]
    Lost(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Its task was dropped, or panicked.
    #[error("connection was abandoned")]
    Abandoned,
}

/// Tells when a connection has ended, and why: a level, not an event.
#[derive(Debug, Clone)]
pub struct EndWatch(watch::Receiver<Option<ConnectionEnd>>);

impl EndWatch {
    /// Waits for the end; returns at once when it has come.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait(&mut self) -> ConnectionEnd {
        let end = self.0.wait_for(Option::is_some).await;
        let end = end.ok().and_then(|end| end.clone());
        end.unwrap_or(ConnectionEnd::Abandoned)
    }

    /// The end, if it has come.
    pub fn now(&self) -> Option<ConnectionEnd> {
        let end = self.0.borrow().clone();
        end.or_else(|| self.0.has_changed().err().map(|_| ConnectionEnd::Abandoned))
    }
}

impl Opening {
    fn new(later: impl Future<Output = Result<ByteStream, OpenError>> + Send + 'static) -> Self {
        Self(Box::pin(later))
    }
}

impl Future for Opening {
    type Output = Result<ByteStream, OpenError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

impl Asking {
    fn new(later: impl Future<Output = Result<u16, ForwardError>> + Send + 'static) -> Self {
        Self(Box::pin(later))
    }
}

impl Future for Asking {
    type Output = Result<u16, ForwardError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl Liveness {
    fn new(later: impl Future<Output = bool> + Send + 'static) -> Self {
        Self(Box::pin(later))
    }
}

impl Future for Liveness {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Liveness")
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}
