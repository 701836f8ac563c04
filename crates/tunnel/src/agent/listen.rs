//! Listens here for the visitors of local and dynamic forwards.
//!
//! A listener belongs to its tunnel and not to a connection: it stays bound while the connection is
//! away, and who comes meanwhile waits for the next one, for a while. Each visitor is a byte stream
//! that the peer is asked to open; what the peer refuses closes that visitor and nothing else.
//!
//! A bind that is an address, or names an interface, is followed: what this machine does not have is
//! waited for, and bound as soon as it is there.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, debug_span, warn};

pub use self::bind::ListenError;
use self::follow::{Follower, Place};
pub use self::holder::Holder;
pub use self::shared::{Beside, Shared, VisitError};
pub use self::standing::Waiting;
use self::standing::{Standing, Standings};
use self::unix::SocketFile;
use super::forward::Forward;
use super::meter::Meter;
use super::network::Network;
use super::supervise::{Event, log_panic};
use crate::transport::{Bind, Origin, Transport};

mod bind;
mod follow;
mod holder;
mod shared;
mod standing;
mod unix;
mod visitor;

/// What the visitors of one socket go over.
#[derive(Clone)]
struct Link {
    /// The connection of the tunnel that is up now, if one is.
    transport: watch::Receiver<Option<Arc<dyn Transport>>>,
    /// Places for visitors whose target the peer has not answered for.
    opens: Arc<Semaphore>,
    meter: Arc<Meter>,
}

/// The bound sockets of one local or dynamic forward. Dropped, they are closed, and a Unix socket's
/// file is removed.
struct Listener {
    forward: Forward,
    sockets: Vec<Socket>,
}

/// All that a tunnel listens on here, with a task for each socket. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Listeners {
    standings: Standings,
    link: watch::Sender<Option<Arc<dyn Transport>>>,
    tasks: JoinSet<()>,
}

/// A bound socket.
#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
}

/// A visitor's end.
enum Visitor {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// Most visitors of one socket at a time: as many as a connection has channels for
/// (`limits::CHANNELS`). More wait in the system's queue.
const VISITORS: usize = 1_024;
/// Most of them whose target is being dialled. A target that is down keeps each for long, and all
/// forwards of a connection have `limits::OPENS_PENDING` such places together.
const OPENS: usize = 64;
/// Pause after the system refuses an accept, usually because file descriptors ran out. The refusal
/// is immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

impl Listener {
    /// Binds all that the forward's bind stands for, or nothing.
    ///
    /// # Errors
    ///
    /// An address cannot be had; it is named, and who holds it where that can be known. A family
    /// that this machine does not have is no error where the bind stands for both.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    async fn bind(forward: Forward) -> Result<Self, ListenError> {
        let (bind, sockets) = match &forward.bind {
            Bind::Tcp { host, port } => {
                let (bound, sockets) = bind::bind(host, *port).await?;
                (bound, sockets.into_iter().map(Socket::Tcp).collect())
            }
            Bind::Unix { path } => {
                let (listener, file) = unix::bind(path).await?;
                let socket = Socket::Unix {
                    listener,
                    _file: file,
                };
                (forward.bind.clone(), vec![socket])
            }
        };
        let forward = Forward { bind, ..forward };
        Ok(Self { forward, sockets })
    }
}

impl Listeners {
    /// Binds all forwards, or none, and lets visitors in. They wait for a connection, which others share. A forward
    /// whose address this machine does not have is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub(crate) async fn start(
        forwards: Vec<(usize, Forward, Arc<Meter>)>,
        network: &Network,
        shared: &Shared,
    ) -> Result<Self, ListenError> {
        let link = shared.sender();
        let (mut fixed, mut following) = (Vec::new(), Vec::new());
        let (mut numbers, mut standings) = (Vec::new(), Vec::new());
        for (number, forward, meter) in forwards {
            numbers.push(number);
            let link = Link {
                transport: link.subscribe(),
                opens: Arc::new(Semaphore::new(OPENS)),
                meter,
            };
            if let Some(place) = Place::of(&forward.bind)? {
                let (follower, standing) = Follower::start(place, forward, link, network)?;
                following.push((standings.len(), follower));
                standings.push(standing);
            } else {
                let listener = Listener::bind(forward).await?;
                standings.push(Standing::bound(listener.forward.clone()));
                fixed.push((listener, link));
            }
        }
        let mut this = Self {
            standings: Standings::new(numbers, standings),
            link,
            tasks: JoinSet::new(),
        };
        for (Listener { forward, sockets }, link) in fixed {
            for socket in sockets {
                let never = CancellationToken::new();
                let task = serve(socket, forward.clone(), link.clone(), never);
                this.tasks.spawn(task);
            }
        }
        for (number, follower) in following {
            let place = this.standings.place(number);
            this.tasks.spawn(follower.run(network.subscribe(), place));
        }
        Ok(this)
    }

    /// Tells what has changed: which forwards are up, and which wait for what.
    pub(crate) fn tell(&self, events: &(dyn Fn(Event<'_>) + Send + Sync)) {
        self.standings.tell(self.link.borrow().is_some(), events);
    }

    /// Tells at once of every change, for ever.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn keep_telling(
        &self,
        events: &(dyn Fn(Event<'_>) + Send + Sync),
    ) -> Infallible {
        let mut changes = self.standings.changes();
        loop {
            self.tell(events);
            changes.next().await;
        }
    }

    /// Visitors go over this connection from now on; over none until the next where there is none.
    pub(crate) fn connect(&self, transport: Option<Arc<dyn Transport>>) {
        if transport.is_none() {
            self.standings.are_away();
        }
        self.link.send_replace(transport);
    }

    /// Closes the sockets and resets every visitor. When this returns, nothing of it is left.
    pub(crate) async fn close(mut self) {
        self.tasks.abort_all();
        while let Some(result) = self.tasks.join_next().await {
            log_panic("listener", result);
        }
    }
}

/// Serves one socket's visitors until it is to be `closed`, and then those that are still there.
async fn serve(socket: Socket, forward: Forward, link: Link, closed: CancellationToken) {
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
            () = closed.cancelled() => break,
            accepted = socket.accept(), if visitors.len() < VISITORS => match accepted {
                Ok(visitor) => {
                    let span = debug_span!("visitor", origin = %visitor.origin(), %forward);
                    let visit = visitor.serve(forward.to.clone(), link.clone());
                    visitors.spawn(visit.instrument(span));
                }
                Err(error) if is_of_visitor(&error) => {
                    debug!(%error, "visitor left before it was let in");
                }
                Err(error) => {
                    warn!(bind = %forward.bind, %error, "cannot let visitors in");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(result) = visitors.join_next() => log_panic("visitor", result),
        }
    }
    drop(socket);
    while let Some(result) = visitors.join_next().await {
        log_panic("visitor", result);
    }
}

/// Whether an accept failed for one visitor alone (accept(2)).
fn is_of_visitor(error: &io::Error) -> bool {
    let of_visitor = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| of_visitor.contains(&errno))
}

impl Socket {
    async fn accept(&self) -> io::Result<Visitor> {
        match self {
            Self::Tcp(listener) => {
                let (socket, addr) = listener.accept().await?;
                Ok(Visitor::Tcp(socket, addr))
            }
            Self::Unix { listener, .. } => {
                let (socket, _) = listener.accept().await?;
                Ok(Visitor::Unix(socket))
            }
        }
    }
}

impl Visitor {
    fn origin(&self) -> Origin {
        match self {
            Self::Tcp(_, addr) => Origin::from(*addr),
            Self::Unix(_) => Origin {
                host: String::new(),
                port: 0,
            },
        }
    }
}

#[cfg(test)]
mod tests;
