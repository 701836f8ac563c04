//! Listeners: who comes in, and how many at a time.
//!
//! A visitor who is accepted waits until there is room for one more, at this listener and in all; meanwhile those
//! behind wait in the system's queue. Room is taken when somebody is there, not before, so listeners at which nobody
//! is take none. When the system has no descriptors left, a listener pauses and tries again; it never spins.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

use crate::visitor::Endpoint;
use crate::wire::{MadeOf, Wire};

/// First pause after the system refuses an accept, usually because descriptors ran out. The refusal is immediate and
/// the visitor stays in the queue, so without a pause the loop would spin.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause; each is twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Visitors that may wait in the system's queue. With the 128 of the standard library a rush of a thousand had the
/// system answer by SYN cookies, which made visitors of late packets that nobody had sent (Linux 6.18, 2026-11-23).
pub(crate) const BACKLOG: i32 = 1_024;
/// Between two lines about the same trouble, of all listeners together.
const SAID: Duration = Duration::from_secs(60);
/// A visitor who says nothing is asked for a sign of life after so long; the system does it.
const ALIVE_AFTER: Duration = Duration::from_secs(120);
/// Then again after so long each.
const ALIVE_EVERY: Duration = Duration::from_secs(30);
/// A visitor who does not answer so many in a row is gone.
const ALIVE_TRIES: u32 = 4;

/// A bound socket at which visitors come in.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local: Endpoint,
}

#[derive(Debug)]
enum Socket {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// A TCP socket that listens. What it is told here goes on to every visitor's socket: small writes are not held
    /// back, and visitors who vanish are noticed by keep-alive.
    ///
    /// # Errors
    /// The system refuses.
    ///
    /// # Panics
    /// Outside a runtime with I/O.
    pub fn tcp(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        rustix::net::listen(&socket, BACKLOG)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        keep_alive(&socket)?;
        Ok(Self {
            local: Endpoint::tcp(socket.local_addr()?),
            socket: Socket::Tcp(tokio::net::TcpListener::from_std(socket)?),
        })
    }

    /// A Unix socket that listens. Its file is its owner's to remove.
    ///
    /// # Errors
    /// The system refuses.
    ///
    /// # Panics
    /// Outside a runtime with I/O.
    pub fn unix(socket: UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            local: Endpoint::Unix,
            socket: Socket::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    /// Where it listens.
    pub const fn local(&self) -> Endpoint {
        self.local
    }

    /// The next visitor, once there is room for one.
    ///
    /// # Cancel safety
    /// A visitor who waits for room is reset.
    pub(crate) async fn next(&self, door: &Door, own: &Arc<Semaphore>) -> Accepted {
        let mut pause = PAUSE;
        loop {
            match self.accept().await {
                Ok((socket, peer)) => {
                    let listener = self.visited(&socket);
                    let socket = Wire::new(socket);
                    return Accepted {
                        room: door.enter(own, listener).await,
                        socket,
                        peer,
                        listener,
                    };
                }
                Err(error) if is_visitors_own(&error) => {}
                Err(error) => {
                    door.refused(&error, self.local);
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(MadeOf, Endpoint)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                unpace_on_loopback(&socket, peer.ip());
                Ok((MadeOf::Tcp(socket), Endpoint::tcp(peer)))
            }
            Socket::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((MadeOf::Unix(socket), Endpoint::Unix))
            }
        }
    }

    /// The address that a visitor came to: of a listener at every address, the one that was meant.
    fn visited(&self, socket: &MadeOf) -> Endpoint {
        match (socket, self.local) {
            (MadeOf::Tcp(socket), Endpoint::Tcp(local)) if local.ip().is_unspecified() => {
                socket.local_addr().map_or(self.local, Endpoint::tcp)
            }
            _ => self.local,
        }
    }
}

/// A socket that was dialled: as those of visitors are. What it does not take shows at the first write.
pub(crate) fn dialled(socket: &TcpStream) {
    socket.set_nodelay(true).ok();
    keep_alive(socket).ok();
    if let Ok(peer) = socket.peer_addr() {
        unpace_on_loopback(socket, peer.ip());
    }
}

/// Spares a socket between two programs of one machine the system's congestion control, whatever that is: one that
/// paces, as BBR does, only waits there (docs/decision/0008). A system without `reno` keeps its own.
fn unpace_on_loopback(socket: &TcpStream, peer: IpAddr) {
    if peer.to_canonical().is_loopback() {
        sockopt::set_tcp_congestion(socket, "reno").ok();
    }
}

/// Has the system ask for a sign of life where nothing is said.
pub(crate) fn keep_alive(socket: impl AsFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, ALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(&socket, ALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(&socket, ALIVE_TRIES)?;
    Ok(())
}

/// Somebody who came in, and the room they take.
pub(crate) struct Accepted {
    pub(crate) socket: Wire,
    pub(crate) peer: Endpoint,
    pub(crate) listener: Endpoint,
    pub(crate) room: Room,
}

/// Room for one visitor, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _own: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

/// Room for so many visitors in all, at whatever they come in by. Clones are the same room.
#[derive(Debug, Clone)]
pub struct Places(Arc<Semaphore>);

impl Places {
    /// For so many.
    pub fn new(visitors: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            visitors.min(Semaphore::MAX_PERMITS),
        )))
    }
}

/// What all listeners share: the room in all, and what was said of trouble lately.
#[derive(Debug)]
pub(crate) struct Door {
    all: Arc<Semaphore>,
    counts: Arc<Counts>,
    said_full: Said,
    said_refused: Said,
}

/// How often listeners had to wait.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Waits for room.
    pub(crate) full: AtomicU64,
    /// Accepts that the system refused.
    pub(crate) refused: AtomicU64,
}

impl Door {
    pub(crate) fn new(places: &Places, counts: Arc<Counts>) -> Self {
        Self {
            all: Arc::clone(&places.0),
            counts,
            said_full: Said::default(),
            said_refused: Said::default(),
        }
    }

    /// Room at the listener first, so that who waits there keeps none from others.
    async fn enter(&self, own: &Arc<Semaphore>, listener: Endpoint) -> Room {
        Room {
            _own: self.room(own, listener).await,
            _all: self.room(&self.all, listener).await,
        }
    }

    async fn room(&self, semaphore: &Arc<Semaphore>, at: Endpoint) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(semaphore).try_acquire_owned() {
            return Some(permit);
        }
        self.counts.full.fetch_add(1, Ordering::Relaxed);
        if self.said_full.is_due() {
            warn!(listener = %at, "as many visitors as there may be; the next wait in the queue");
        }
        // It is never closed.
        Arc::clone(semaphore).acquire_owned().await.ok()
    }

    fn refused(&self, error: &io::Error, listener: Endpoint) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        if self.said_refused.is_due() {
            warn!(%listener, %error, "the system accepts no visitors; trying again");
        }
    }
}

/// Whether only the one visitor is concerned (accept(2): errors that were pending on the new socket).
fn is_visitors_own(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
        )
    ) || error.kind() == io::ErrorKind::ConnectionAborted
}

/// When something was said last.
#[derive(Debug, Default)]
struct Said(Mutex<Option<Instant>>);

impl Said {
    /// Whether it is time to say it, which it then is not for a while.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| last.elapsed() >= SAID);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_listener_was_told_holds_for_its_visitors() {
        let listener = Listener::tcp(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let Endpoint::Tcp(address) = listener.local() else {
            panic!("no address");
        };
        let visitor = TcpStream::connect(address).await.unwrap();
        let door = Door::new(&Places::new(1), Arc::default());
        let accepted = listener.next(&door, &Arc::new(Semaphore::new(1))).await;
        assert_eq!(accepted.peer, Endpoint::Tcp(visitor.local_addr().unwrap()));
        let socket = accepted.socket.tcp().unwrap();
        assert!(sockopt::tcp_nodelay(socket).unwrap());
        assert!(sockopt::socket_keepalive(socket).unwrap());
        assert_eq!(sockopt::tcp_keepidle(socket).unwrap(), ALIVE_AFTER);
        assert_eq!(sockopt::tcp_keepintvl(socket).unwrap(), ALIVE_EVERY);
        assert_eq!(sockopt::tcp_keepcnt(socket).unwrap(), ALIVE_TRIES);
        assert_eq!(sockopt::tcp_congestion(socket).unwrap(), "reno");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_told_once_a_minute() {
        let said = Said::default();
        assert!(said.is_due());
        assert!(!said.is_due());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(!said.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(said.is_due());
    }

    /// Polls once: whether there is room at once.
    async fn is_let_in(waiting: &mut (impl Future<Output = Room> + Unpin)) -> Option<Room> {
        std::future::poll_fn(|cx| {
            let room = std::pin::Pin::new(&mut *waiting).poll(cx);
            std::task::Poll::Ready(match room {
                std::task::Poll::Ready(room) => Some(room),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn a_crowd_at_one_listener_takes_only_its_own_room() {
        let door = Door::new(&Places::new(3), Arc::default());
        let (crowded, other) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(2)));
        let at = Endpoint::Unix;
        let _crowd = [
            door.enter(&crowded, at).await,
            door.enter(&crowded, at).await,
        ];
        // The next of the crowd waits at its own listener, and keeps the last place from nobody.
        let mut next = Box::pin(door.enter(&crowded, at));
        assert!(is_let_in(&mut next).await.is_none());
        let mut visitor = Box::pin(door.enter(&other, at));
        assert!(is_let_in(&mut visitor).await.is_some());
    }

    #[tokio::test]
    async fn listeners_take_turns_for_the_last_place() {
        let door = Door::new(&Places::new(1), Arc::default());
        let (crowded, other) = (Arc::new(Semaphore::new(9)), Arc::new(Semaphore::new(9)));
        let at = Endpoint::Unix;
        let first = door.enter(&crowded, at).await;
        // A listener waits with one visitor; the rest of its crowd is in the queue of its socket.
        let mut second = Box::pin(door.enter(&crowded, at));
        assert!(is_let_in(&mut second).await.is_none());
        let mut visitor = Box::pin(door.enter(&other, at));
        assert!(is_let_in(&mut visitor).await.is_none());
        drop(first);
        let second = is_let_in(&mut second).await.unwrap();
        let mut third = Box::pin(door.enter(&crowded, at));
        assert!(is_let_in(&mut third).await.is_none());
        drop(second);
        assert!(is_let_in(&mut third).await.is_none());
        assert!(is_let_in(&mut visitor).await.is_some());
    }

    #[tokio::test]
    async fn an_idle_listener_takes_no_room() {
        let listener = Listener::tcp(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
        let door = Door::new(&Places::new(1), Arc::default());
        let own = Arc::new(Semaphore::new(1));
        let waiting = tokio::time::timeout(Duration::from_millis(1), listener.next(&door, &own));
        assert!(waiting.await.is_err());
        assert_eq!(
            (door.all.available_permits(), own.available_permits()),
            (1, 1)
        );
    }
}
