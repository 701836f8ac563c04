//! Callback servers: the HTTP servers that take requests from outside, `listener:` in a file.
//!
//! A request meets, in this order: the address that it comes from; the token that it shows, if one is
//! wanted; the limits of its body; the signature over the body as it came, if one is wanted; and only
//! then somebody who reads what it says. Where the visitor comes from is what the tunnel reports or
//! else the socket's peer, never what a header says.
//!
//! # Answers
//!
//! Every answer but the two of success is `{"detail": "..."}` with a fixed text; the reason is in the
//! log, under the target `adit::access`, one line for each request, without a body and without a token.
//!
//! | request | answer |
//! |---|---|
//! | a callback, also for an id that nobody waits for | 200, empty |
//! | a trigger | 200 `{"task_id":"...","status":"pending"}`; in bulk a list of these |
//! | a trigger of an unknown workflow | 404 `Workflow 'x' not found.`; in bulk `{"error":"..."}` at its place |
//! | a trigger, with as many runs as there may be | 503; in bulk, if another run was started, `{"error":"..."}` |
//! | signed as an earlier request was | 200; nothing is delivered and nothing started again |
//! | its slash at the end is missing or too much | 307 to the right path |
//! | another path, another method | 404 `Not Found`, 405 `Method Not Allowed` with `allow` |
//! | from elsewhere than it may | 403 `Forbidden` |
//! | with a wrong token or signature, or none | 401 `Unauthorized` |
//! | body: no JSON, no list where one is wanted | 400 `Invalid request body: ...` |
//! | body: too long, too slow, compressed | 413, 408, 415 |
//! | no room for the body, or no turn in time | 503 |
//!
//! model-compose answers 500 to a body that it cannot read, and 200 to a trigger of a workflow that it
//! does not have; senders repeat the first for ever and never learn of the second.

mod answer;
mod connection;
mod handle;
mod limits;
mod refused;
pub(crate) mod socket;
mod table;

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use adit_text::SecretSource;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use zeroize::Zeroizing;

use crate::callback::{GateError, Hub, Replays};
use crate::exec::Launch;
use crate::expr::TreeError;
use crate::model::callback_server::CallbackServer;

pub use limits::Limits;

use handle::Handler;
use table::Table;

/// The seam to whoever brings visitors through a tunnel: this crate knows no tunnels.
pub trait Visitors: Send + Sync {
    /// Where the visitor comes from whose byte stream we dialled from `peer`; None if that is no
    /// dial of ours. It is asked after the head of a request was read, so the dial is known by then.
    fn visitor(&self, peer: SocketAddr) -> Option<SocketAddr>;

    /// The connection from `peer` is about to be closed: who comes from there later is another, and any process of
    /// this machine can.
    fn over(&self, peer: SocketAddr);
}

/// No tunnel: visitors are who the socket says.
#[derive(Clone, Copy, Debug)]
pub struct NoTunnel;

impl Visitors for NoTunnel {
    fn visitor(&self, _peer: SocketAddr) -> Option<SocketAddr> {
        None
    }

    fn over(&self, _peer: SocketAddr) {}
}

/// What requests are handed to. The servers of a process share it.
#[derive(Clone)]
pub struct Context {
    /// Who waits for callbacks.
    pub hub: Hub,
    /// Who starts what triggers ask for.
    pub launch: Arc<dyn Launch>,
    /// Who knows where visitors come from.
    pub visitors: Arc<dyn Visitors>,
    /// The signatures that were seen. One for all servers: two may have the same secret.
    pub replays: Arc<Mutex<Replays>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

/// Whoever can read a secret, from where the file says that it is.
pub type ReadSecret<'s> =
    dyn Fn(&SecretSource) -> Result<Zeroizing<Vec<u8>>, SecretError> + Sync + 's;

/// Why a secret cannot be read. Its text does not show it.
pub type SecretError = Box<dyn Error + Send + Sync>;

/// Why a callback server cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The host is a name that is unknown.
    #[error("cannot listen at {host}:{port}: the host is unknown")]
    Host {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error("cannot listen at {host}:{port}: the port is in use")]
    InUse {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The system says no.
    #[error("cannot listen at {host}:{port}")]
    Bind {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The secret of a path cannot be read.
    #[error("cannot read the secret of {path}")]
    Secret {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// The secret of a path is none.
    #[error("{path} cannot be guarded")]
    Gate {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: GateError,
    },
    /// What a path says of its requests cannot be used.
    #[error("{path} makes something that adit cannot")]
    Tree {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: TreeError,
    },
}

/// A callback server that has its port.
#[derive(Debug)]
pub struct Server {
    sockets: Vec<TcpListener>,
    port: u16,
    handler: Handler,
    limits: Limits,
}

impl Server {
    /// Reads the secrets and binds the port, at each address that the host stands for.
    ///
    /// # Errors
    ///
    /// If a secret cannot be read, the port is not to be had, or a path says what adit cannot do.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives back what is bound.
    pub async fn bind(
        config: &CallbackServer,
        secrets: &ReadSecret<'_>,
        context: Context,
    ) -> Result<Self, ListenError> {
        let table = Table::new(config, secrets)?;
        let (sockets, port) = socket::bind(&config.host, config.port.value).await?;
        let limits = Limits::USUAL;
        Ok(Self {
            handler: Handler::new(table, config.max_concurrent_count, port, limits, context),
            sockets,
            port,
            limits,
        })
    }

    /// The same server with other limits than [`Limits::USUAL`].
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.handler.set_limits(limits);
        self.limits = limits;
        self
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until `stop`; then nobody new, and those who are there for [`Limits::drain`]. When this
    /// returns, all that it started has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends every connection at once.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            sockets,
            handler,
            limits,
            ..
        } = self;
        let handler = Arc::new(handler);
        let free = Arc::new(Semaphore::new(limits.connections));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                (permit, stream, peer) = next(&sockets, &free) => {
                    let (handler, stop) = (Arc::clone(&handler), stop.clone());
                    connections.spawn(async move {
                        connection::serve(stream, peer, handler, limits, stop).await;
                        drop(permit);
                    });
                }
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(sockets);
        let drained = timeout(limits.drain, async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            let left = connections.len();
            warn!(
                left,
                "drain time is over; closing the connections that are left"
            );
            connections.shutdown().await;
        }
    }
}

/// The next connection, once there may be one more.
async fn next(
    sockets: &[TcpListener],
    free: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    // The semaphore is never closed.
    let permit = Arc::clone(free).acquire_owned().await.ok();
    loop {
        let accepted = poll_fn(|cx| {
            let mut each = sockets.iter().map(|socket| socket.poll_accept(cx));
            each.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accepted.await {
            Ok((stream, peer)) => return (permit, stream, peer),
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "a connection of a listener ended in a panic");
    }
}

/// Pause after the system refuses an accept, usually because file descriptors ran out. The refusal is
/// immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
