//! The agent's side of a visitor: dials the local service of a forward and copies.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tracing::debug;

use super::dial::tcp::{DialError, dial, dial_for_stranger};
use super::forward::{Destination, Permits};
use super::socks::{GreetError, Refusal, greet};
use super::visitors::Entered;
use crate::agent::meter::Visit;
use crate::copy::{Copied, Meters, copy_metered, copy_metered_tcp};
use crate::transport::ssh::unpace_on_loopback;
use crate::transport::{ByteStream, OpenAnswer, RefusalCode, Target};

/// Why a visitor could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The service cannot be reached over TCP.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The visitor did not say in SOCKS where it wants to go.
    #[error(transparent)]
    Greet(#[from] GreetError),
    /// The visitor wants to go where it may not.
    #[error("{0} is not permitted to visitors")]
    NotPermitted(Target),
    /// The visitor left while its target was dialled.
    #[error("visitor left before its target answered")]
    Left,
    /// The visitor or the service left before the first byte, or there are too many visitors.
    #[error("visitor and service did not come together")]
    Begin(#[source] io::Error),
    /// The service's socket cannot be reached.
    #[error("cannot connect to {path}")]
    Unix {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A service on this machine or beside it answers sooner, or something is wrong that waiting does
/// not mend; the visitor waits as long.
const DIAL_DEADLINE: Duration = Duration::from_secs(10);

/// Serves a visitor: dials where it goes, accepts the stream and copies until both ends have
/// finished. What cannot be reached is refused; the words for the peer are ours and tell nothing
/// about this network.
///
/// # Cancel safety
///
/// Dropping the future refuses or resets the stream.
pub async fn serve(
    answer: OpenAnswer,
    to: &Destination,
    visit: &Visit,
) -> Result<Copied, LocalError> {
    match to {
        Destination::One(Target::Tcp { host, port }) => {
            match dial(host, *port, DIAL_DEADLINE).await {
                Ok(socket) => copy_tcp(answer.accept(), socket, visit).await,
                Err(error) => {
                    answer.refuse(RefusalCode::ConnectFailed, refusal(&error));
                    Err(error.into())
                }
            }
        }
        Destination::One(Target::Unix { path }) => match dial_unix(path, DIAL_DEADLINE).await {
            Ok(mut socket) => Ok(copy_metered(answer.accept(), &mut socket, meters(visit)).await),
            Err(source) => {
                answer.refuse(RefusalCode::ConnectFailed, words(source.kind()));
                let path = path.clone();
                Err(LocalError::Unix { path, source })
            }
        },
        Destination::Named(permits) => serve_named(answer.accept(), permits, visit).await,
    }
}

/// The same for a visitor whose stream was accepted before it was known where it leads. What cannot be
/// reached resets it; a visitor who leaves ends the dial.
///
/// # Cancel safety
///
/// Dropping the future resets the stream.
pub async fn serve_accepted(
    stream: ByteStream,
    to: &Destination,
    visit: &Visit,
) -> Result<Copied, LocalError> {
    match to {
        Destination::One(Target::Tcp { host, port }) => {
            let socket = while_there(&stream, dial(host, *port, DIAL_DEADLINE)).await??;
            copy_tcp(stream, socket, visit).await
        }
        Destination::One(Target::Unix { path }) => {
            let path = path.clone();
            match while_there(&stream, dial_unix(&path, DIAL_DEADLINE)).await? {
                Ok(mut socket) => Ok(copy_metered(stream, &mut socket, meters(visit)).await),
                Err(source) => Err(LocalError::Unix { path, source }),
            }
        }
        Destination::Named(permits) => serve_named(stream, permits, visit).await,
    }
}

/// Waits for a dial for as long as the visitor does. Before its stream is accepted a visitor of SSH
/// cannot say that it has left (RFC 4254 section 5.3: a channel is closed by the number that its
/// confirmation gives), so this is for streams that are.
async fn while_there<T>(
    stream: &ByteStream,
    dialled: impl Future<Output = T>,
) -> Result<T, LocalError> {
    tokio::select! {
        biased;
        () = poll_fn(|cx| stream.poll_left(cx)) => Err(LocalError::Left),
        dialled = dialled => Ok(dialled),
    }
}

/// Connects to a Unix socket within `deadline`.
pub(super) async fn dial_unix(path: &str, deadline: Duration) -> io::Result<UnixStream> {
    let connected = timeout(deadline, UnixStream::connect(path)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Serves a visitor that says by SOCKS where it wants to go, within what is permitted.
async fn serve_named(
    mut stream: ByteStream,
    permits: &Permits,
    visit: &Visit,
) -> Result<Copied, LocalError> {
    let greeted = greet(&mut stream).await?;
    let (host, port) = (greeted.wanted.host.as_str(), greeted.wanted.port);
    if !permits.allow(host, port) {
        let host = host.to_owned();
        greeted.refuse(&mut stream, Refusal::NotAllowed).await?;
        return Err(LocalError::NotPermitted(Target::Tcp { host, port }));
    }
    let dialled = dial_for_stranger(host, port, DIAL_DEADLINE);
    match while_there(&stream, dialled).await? {
        Ok(mut socket) => {
            // What it sent behind its greeting goes first.
            let entered = visit.enter(&socket).map_err(LocalError::Begin)?;
            let begun = async {
                greeted.grant(&mut stream).await?;
                socket.write_all(&greeted.rest).await
            };
            begun.await.map_err(LocalError::Begin)?;
            Ok(copy_entered(stream, socket, visit, entered).await)
        }
        Err(error) => {
            greeted.refuse(&mut stream, socks_refusal(&error)).await?;
            Err(error.into())
        }
    }
}

/// Copies for a visitor whom its service can look up from the first byte on.
async fn copy_tcp(
    stream: ByteStream,
    socket: TcpStream,
    visit: &Visit,
) -> Result<Copied, LocalError> {
    let entered = visit.enter(&socket).map_err(LocalError::Begin)?;
    Ok(copy_entered(stream, socket, visit, entered).await)
}

async fn copy_entered(
    stream: ByteStream,
    mut socket: TcpStream,
    visit: &Visit,
    entered: Option<Entered>,
) -> Copied {
    note(socket.set_nodelay(true));
    unpace_on_loopback(&socket);
    let copied = copy_metered_tcp(stream, &mut socket, meters(visit)).await;
    if copied.end.is_err() {
        // So that the service, too, can tell a reset from an end.
        note(socket.set_zero_linger());
    }
    drop(socket);
    // Not before: it is known for as long as its connection stands.
    drop(entered);
    copied
}

fn meters(visit: &Visit) -> Meters<'_> {
    Meters {
        to_stream: Some(visit.to_visitor()),
        to_socket: Some(visit.to_target()),
    }
}

/// An option that a socket does not take costs speed at most.
fn note(result: io::Result<()>) {
    if let Err(error) = result {
        debug!(%error, "socket option was not taken");
    }
}

fn refusal(error: &DialError) -> &'static str {
    match error {
        DialError::Resolve { .. } => "service's name is not known",
        DialError::TimedOut { .. } => words(io::ErrorKind::TimedOut),
        DialError::Unreachable { attempts, .. } => attempts
            .first()
            .map_or("connect failed", |(_, error)| words(error.kind())),
    }
}

fn socks_refusal(error: &DialError) -> Refusal {
    let first = match error {
        DialError::Unreachable { attempts, .. } => attempts.first(),
        DialError::Resolve { .. } | DialError::TimedOut { .. } => None,
    };
    match first.map(|(_, error)| error.kind()) {
        Some(io::ErrorKind::ConnectionRefused) => Refusal::ConnectionRefused,
        Some(io::ErrorKind::NetworkUnreachable) => Refusal::NetworkUnreachable,
        Some(_) | None => Refusal::HostUnreachable,
    }
}

fn words(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::ConnectionRefused {
        "connection refused"
    } else if kind == io::ErrorKind::TimedOut {
        "connection timed out"
    } else {
        "connect failed"
    }
}

#[cfg(test)]
mod tests;
