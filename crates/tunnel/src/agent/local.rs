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
use crate::copy::{Copied, Meters, copy_metered};
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
    let copied = copy_metered(stream, &mut socket, meters(visit)).await;
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
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, UnixListener};
    use tokio::task::JoinSet;

    use std::sync::Arc;

    use super::*;
    use crate::agent::meter::Meter;
    use crate::agent::visitors::Visitors;
    use crate::transport::{
        Connection, OpenError, Origin, PeerRequest, StreamHead, StreamKind, memory,
    };

    /// Opens a stream that is served so.
    async fn open(
        to: Destination,
        tasks: &mut JoinSet<()>,
    ) -> (Result<ByteStream, OpenError>, Connection) {
        let (near, far, driver) = memory::pair();
        tasks.spawn(driver.run());
        tasks.spawn(async move {
            let Connection {
                transport,
                mut requests,
            } = far;
            while let Some(PeerRequest::Open(request)) = requests.recv().await {
                let visit = Arc::<Meter>::default().visit();
                drop(serve(request.answer, &to, &visit).await);
            }
            drop(transport);
        });
        let head = StreamHead {
            kind: StreamKind::Direct(Target::Unix {
                path: String::from("/x"),
            }),
            origin: Origin {
                host: String::new(),
                port: 0,
            },
        };
        (near.transport.open(head).await, near)
    }

    async fn exchange(stream: &mut ByteStream) -> Vec<u8> {
        stream.write_all(b"question").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    async fn answer(mut socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
        let mut question = Vec::new();
        socket.read_to_end(&mut question).await.unwrap();
        socket.write_all(b"answer to ").await.unwrap();
        socket.write_all(&question).await.unwrap();
    }

    #[tokio::test]
    async fn a_tcp_service_is_reached() {
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn(async move { answer(listener.accept().await.unwrap().0).await });
        let host = String::from("127.0.0.1");
        let (stream, _connection) =
            open(Destination::One(Target::Tcp { host, port }), &mut tasks).await;
        assert_eq!(exchange(&mut stream.unwrap()).await, b"answer to question");
    }

    #[tokio::test]
    async fn a_service_finds_its_visitor_as_soon_as_it_has_read() {
        let mut tasks = JoinSet::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (near, mut far, driver) = memory::pair();
        tasks.spawn(driver.run());
        let visitors = Visitors::default();
        let known = visitors.clone();
        tasks.spawn(async move {
            let host = String::from("127.0.0.1");
            let to = Destination::One(Target::Tcp { host, port });
            let Some(PeerRequest::Open(request)) = far.requests.recv().await else {
                panic!("nobody came");
            };
            let visit = Arc::<Meter>::default().visit();
            let visit = visit.known_to(known, request.head.origin.clone());
            serve(request.answer, &to, &visit).await.unwrap();
        });
        let head = StreamHead {
            kind: StreamKind::Direct(Target::Unix {
                path: String::from("/x"),
            }),
            origin: Origin {
                host: String::from("192.0.2.7"),
                port: 5_000,
            },
        };
        let mut stream = near.transport.open(head).await.unwrap();
        stream.write_all(b"question").await.unwrap();
        let (mut socket, peer) = listener.accept().await.unwrap();
        assert_eq!(socket.read_u8().await.unwrap(), b'q');
        let expected = "192.0.2.7:5000".parse().unwrap();
        assert_eq!(visitors.visitor(peer, port), Some(expected));
        let stranger = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(visitors.visitor(stranger.local_addr().unwrap(), port), None);
        // It has sent and left, and is no less a visitor for that.
        drop(stream);
        let mut rest = Vec::new();
        drop(socket.read_to_end(&mut rest).await);
        drop(near);
        while tasks.join_next().await.is_some() {}
        assert_eq!(visitors.visitor(peer, port), Some(expected));
    }

    #[tokio::test]
    async fn a_unix_socket_is_reached() {
        let mut tasks = JoinSet::new();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("service");
        let listener = UnixListener::bind(&path).unwrap();
        tasks.spawn(async move { answer(listener.accept().await.unwrap().0).await });
        let path = path.to_str().unwrap().to_owned();
        let (stream, _connection) = open(Destination::One(Target::Unix { path }), &mut tasks).await;
        assert_eq!(exchange(&mut stream.unwrap()).await, b"answer to question");
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_without_telling_where_it_was_looked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let host = String::from("127.0.0.1");
        for (target, expected) in [
            (Target::Tcp { host, port }, "connection refused"),
            (
                Target::Unix {
                    path: String::from("/nowhere/at/all"),
                },
                "connect failed",
            ),
        ] {
            let mut tasks = JoinSet::new();
            let (stream, _connection) = open(Destination::One(target), &mut tasks).await;
            assert_eq!(
                stream.unwrap_err(),
                OpenError::Refused {
                    code: RefusalCode::ConnectFailed,
                    reason: expected.to_owned(),
                }
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_who_leaves_ends_the_dial_and_one_who_has_sent_does_not() {
        let mut tasks = JoinSet::new();
        let (near, mut far, driver) = memory::pair();
        tasks.spawn(driver.run());
        let head = || StreamHead {
            kind: StreamKind::Direct(Target::Unix {
                path: String::from("/x"),
            }),
            origin: Origin {
                host: String::new(),
                port: 0,
            },
        };
        for (bytes, is_cut) in [
            (&b""[..], true),
            (b"abc", true),
            (b"", false),
            (b"abc", false),
        ] {
            let opening = near.transport.open(head());
            let accepted = async {
                match far.requests.recv().await {
                    Some(PeerRequest::Open(request)) => request.answer.accept(),
                    other => panic!("{other:?}"),
                }
            };
            let (visitor, stream) = tokio::join!(opening, accepted);
            let mut visitor = visitor.unwrap();
            visitor.write_all(bytes).await.unwrap();
            let mut dial = Box::pin(while_there(&stream, std::future::pending::<()>()));
            tokio::select! {
                biased;
                result = &mut dial => panic!("{result:?}"),
                () = tokio::task::yield_now() => {}
            }
            if !is_cut {
                visitor.shutdown().await.unwrap();
            }
            drop(visitor);
            let ended = timeout(DIAL_DEADLINE, dial).await;
            let is_left = matches!(ended, Ok(Err(LocalError::Left)));
            assert_eq!(is_left, is_cut || bytes.is_empty(), "{bytes:?} {is_cut}");
        }
    }
}
