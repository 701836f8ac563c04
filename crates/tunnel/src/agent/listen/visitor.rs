//! One visitor of a local or dynamic forward, from the accept to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, warn};

use super::{Link, Visitor};
use crate::agent::direct::OPEN_DEADLINE;
use crate::agent::forward::{Destination, Permits};
use crate::agent::socks::{GreetError, Greeted, Refusal, greet};
use crate::copy::{Meters, copy_metered};
use crate::transport::ssh::unpace_on_loopback;
use crate::transport::{ByteStream, OpenError, Origin, StreamHead, StreamKind, Target};

/// Why a visitor was not served.
#[derive(Debug, thiserror::Error)]
enum VisitError {
    /// It did not say in SOCKS where it wants to go.
    #[error(transparent)]
    Greet(#[from] GreetError),
    /// It wants to go where it may not.
    #[error("{0} is not permitted")]
    NotPermitted(Target),
    /// There is no connection.
    #[error("no connection to the peer came within {} s", PATIENCE.as_secs())]
    Away,
    /// The peer does not say whether it reaches the target.
    #[error("peer did not answer within {} s", OPEN_DEADLINE.as_secs())]
    Silent,
    /// The peer says no, or we have no room.
    #[error(transparent)]
    Open(OpenError),
    /// It left before the answer.
    #[error("visitor left")]
    Left(#[source] io::Error),
}

/// How a visitor's socket is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// All that was sent to it is delivered.
    InOrder,
    /// So that it can tell: this was no end.
    Reset,
}

/// How long a visitor waits for the next connection. A short cut is over by then (the first attempts
/// come within two seconds), and a program that waits longer than this gives up itself.
const PATIENCE: Duration = Duration::from_secs(10);
impl Visitor {
    /// Serves the visitor to its end.
    pub(super) async fn serve(self, to: Destination, link: Link) {
        let origin = self.origin();
        match self {
            Self::Tcp(mut socket, _) => {
                // Until the end is known to be a good one, whatever ends this resets.
                note(socket.set_zero_linger());
                note(socket.set_nodelay(true));
                unpace_on_loopback(&socket);
                if carry(&mut socket, origin, &to, link).await == Close::InOrder {
                    note(keep_lingering(&socket));
                }
            }
            // A Unix socket knows no reset.
            Self::Unix(mut socket) => {
                carry(&mut socket, origin, &to, link).await;
            }
        }
    }
}

/// Takes back that closing the socket resets it.
fn keep_lingering(socket: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(socket).set_linger(None)
}

/// An option that a socket does not take costs little.
fn note(result: io::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "socket option was not taken");
    }
}

/// Has a byte stream opened for the visitor and copies until both halves have ended.
async fn carry<S>(socket: &mut S, origin: Origin, to: &Destination, link: Link) -> Close
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let visit = Arc::clone(&link.meter).visit();
    let stream = match to {
        Destination::One(target) => open(target.clone(), origin, link).await,
        Destination::Named(permits) => open_named(socket, permits, origin, link).await,
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(VisitError::Greet(error)) => {
            debug!(%error, "visitor was turned away");
            return match error {
                GreetError::Socks(_) => Close::InOrder,
                GreetError::Left | GreetError::Broken(_) | GreetError::TimedOut => Close::Reset,
            };
        }
        // Not only debug: visitors come and get nowhere.
        Err(error) => {
            warn!(%error, "visitor was turned away");
            return match (to, error) {
                (Destination::Named(_), VisitError::Left(_)) | (Destination::One(_), _) => {
                    Close::Reset
                }
                // It was told.
                (Destination::Named(_), _) => Close::InOrder,
            };
        }
    };
    let meters = Meters {
        to_stream: Some(visit.to_target()),
        to_socket: Some(visit.to_visitor()),
    };
    let copied = copy_metered(stream, socket, meters).await;
    let (to_target, to_visitor) = (copied.to_stream, copied.to_socket);
    match copied.end {
        Ok(()) => {
            debug!(to_target, to_visitor, "visitor has gone");
            Close::InOrder
        }
        Err(error) => {
            debug!(to_target, to_visitor, %error, "visitor was cut off");
            Close::Reset
        }
    }
}

/// Asks the visitor where it wants to go, and has that opened.
async fn open_named<S>(
    socket: &mut S,
    permits: &Permits,
    origin: Origin,
    link: Link,
) -> Result<ByteStream, VisitError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let greeted = greet(socket).await?;
    let (host, port) = (greeted.wanted.host.clone(), greeted.wanted.port);
    if !permits.allow(&host, port) {
        greeted.refuse(socket, Refusal::NotAllowed).await?;
        return Err(VisitError::NotPermitted(Target::Tcp { host, port }));
    }
    let target = Target::Tcp { host, port };
    match open(target, origin, link).await {
        Ok(mut stream) => {
            greeted.grant(socket).await.map_err(VisitError::Left)?;
            let Greeted { rest, .. } = greeted;
            let sent = stream.write_all(&rest).await;
            // Told by the copy, once what the peer has sent is delivered.
            drop(sent);
            Ok(stream)
        }
        Err(error) => {
            let refusal = match &error {
                VisitError::Open(error) => Refusal::from(error),
                VisitError::Silent => Refusal::HostUnreachable,
                VisitError::Greet(_)
                | VisitError::NotPermitted(_)
                | VisitError::Away
                | VisitError::Left(_) => Refusal::General,
            };
            greeted.refuse(socket, refusal).await?;
            Err(error)
        }
    }
}

/// Has the peer open a byte stream, over the connection that is up, or over the next.
async fn open(target: Target, origin: Origin, mut link: Link) -> Result<ByteStream, VisitError> {
    let deadline = Instant::now().checked_add(PATIENCE);
    let deadline = deadline.unwrap_or_else(Instant::now);
    let head = StreamHead {
        kind: StreamKind::Direct(target),
        origin,
    };
    loop {
        let transport = {
            let up = link.transport.wait_for(|transport| {
                let transport = transport.as_ref();
                transport.is_some_and(|transport| transport.end().now().is_none())
            });
            let up = timeout_at(deadline, up).await;
            up.ok().and_then(Result::ok).and_then(|up| up.clone())
        };
        let Some(transport) = transport else {
            return Err(VisitError::Away);
        };
        // It is never closed.
        let place = timeout(OPEN_DEADLINE, link.opens.acquire()).await;
        if place.is_err() {
            return Err(VisitError::Silent);
        }
        let opened = timeout(OPEN_DEADLINE, transport.open(head.clone())).await;
        drop(place);
        match opened {
            Err(_) => return Err(VisitError::Silent),
            Ok(Ok(stream)) => return Ok(stream),
            // No byte of the visitor has left: the next connection may do.
            Ok(Err(OpenError::Closed)) => {
                let mut end = transport.end();
                drop(transport);
                if timeout_at(deadline, end.wait()).await.is_err() {
                    return Err(VisitError::Away);
                }
            }
            Ok(Err(error)) => return Err(VisitError::Open(error)),
        }
    }
}
