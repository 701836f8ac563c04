//! Listens here for the visitors of local and dynamic forwards.
//!
//! A listener belongs to its tunnel and not to a connection: it stays bound while the connection is
//! away, and who comes meanwhile waits for the next one, for a while. Each visitor is a byte stream
//! that the peer is asked to open; what the peer refuses closes that visitor and nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{Instrument as _, debug, debug_span, warn};

pub use self::bind::ListenError;
pub use self::holder::Holder;
use self::unix::SocketFile;
use super::forward::Forward;
use super::meter::Meter;
use super::supervise::log_panic;
use crate::transport::{Bind, Origin, Transport};

mod bind;
mod holder;
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
    forwards: Vec<(usize, Forward)>,
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
    /// Binds all forwards, or none, and lets visitors in. They wait for a connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub(crate) async fn start(
        forwards: Vec<(usize, Forward, Arc<Meter>)>,
    ) -> Result<Self, ListenError> {
        let mut listeners = Vec::new();
        for (number, forward, meter) in forwards {
            listeners.push((number, Listener::bind(forward).await?, meter));
        }
        let mut this = Self {
            forwards: Vec::new(),
            link: watch::Sender::new(None),
            tasks: JoinSet::new(),
        };
        for (number, Listener { forward, sockets }, meter) in listeners {
            for socket in sockets {
                let link = Link {
                    transport: this.link.subscribe(),
                    opens: Arc::new(Semaphore::new(OPENS)),
                    meter: Arc::clone(&meter),
                };
                let task = serve(socket, forward.clone(), link);
                this.tasks.spawn(task);
            }
            this.forwards.push((number, forward));
        }
        Ok(this)
    }

    /// The forwards and their places in the tunnel, with the addresses that were bound.
    pub(crate) fn forwards(&self) -> &[(usize, Forward)] {
        &self.forwards
    }

    /// Visitors go over this connection from now on; over none until the next where there is none.
    pub(crate) fn connect(&self, transport: Option<Arc<dyn Transport>>) {
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

/// Serves one socket's visitors, for ever.
async fn serve(socket: Socket, forward: Forward, link: Link) {
    let mut visitors = JoinSet::new();
    loop {
        tokio::select! {
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
