//! Where connections come in: accept, a place at the [`door`](super::door), login, and then a session to
//! its end.
//!
//! Everything that [`Acceptor::run`] starts has ended when it returns. Stopped, it takes nobody new, tells
//! those who are there, and waits for them for a while.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{DelaySecret, ServerLogin};
use adit_ssh::connection::{KeepAlive, ServerConfig, TransportConfig};
use adit_ssh::provider::{CryptoError, CryptoProvider};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

pub use self::counts::Counts;
use self::counts::{Here, Totals};
use super::admission::{Gate, Rules};
use super::desk::{Clock, Desk, Who};
use super::door::{Coming, Door, Kind};
use super::host_keys::HostKeys;
use super::limit::Usages;
use super::network::Network;
use super::open::Resolve;
use super::policy::Policy;
use super::seam::Later;
use super::session;
use super::throttle::Throttle;
use crate::transport::Connection;
use crate::transport::ssh::{Carrier, Driver, Memory, accept, tune};

mod counts;

/// What an operator may set about connections.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The host keys, best first.
    pub host_keys: HostKeys,
    /// Text for whoever tries to log in, before it has; lines end with CR LF.
    pub banner: Option<String>,
    /// When a silent client is asked for a sign of life, and how often before it counts as gone.
    pub keep_alive: Option<KeepAlive>,
    /// Whether a client whose only wish was refused is told so by the end of its connection: a stock
    /// `ssh -N` would sit there for ever, and say no more than that it failed.
    pub ends_useless: bool,
    /// Connections in all, those on their way in included. One more is closed at once.
    pub connections: usize,
    /// How long those who are there have to end after a stop.
    pub drain: Duration,
}

/// What the acceptor needs from the rest of the program.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Who may do what, as it is now.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// The leases.
    pub desk: Arc<Desk>,
    /// What principals carry.
    pub usages: Usages,
    /// Finds the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Finds out who is behind a socket: a load balancer says it in its PROXY header.
    pub source: Arc<dyn Source>,
    /// The cryptography.
    pub provider: Arc<CryptoProvider>,
    /// The memory of connections.
    pub memory: Memory,
    /// What time it is.
    pub clock: Clock,
}

/// Who a socket comes from.
pub trait Source: fmt::Debug + Send + Sync {
    /// The real address behind a socket whose other end is at `peer`; reads what a load balancer put
    /// ahead, and not a byte more. It has [`SOURCE_DEADLINE`].
    ///
    /// # Errors
    /// The socket is not taken.
    fn of(&self, socket: TcpStream, peer: SocketAddr) -> Later<'_, io::Result<Sourced>>;
}

/// Nothing is in front of this gateway: a socket comes from where it comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Direct;

impl Source for Direct {
    fn of(&self, socket: TcpStream, peer: SocketAddr) -> Later<'_, io::Result<Sourced>> {
        Box::pin(async move { Ok(Sourced::new(socket, peer)) })
    }
}

/// A socket and who it comes from.
#[derive(Debug)]
pub struct Sourced {
    socket: TcpStream,
    source: SocketAddr,
}

/// How long a load balancer has to say who it speaks for.
pub const SOURCE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection waits for a place at the door.
const DOOR_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after the system refuses an accept, usually because file descriptors ran out. The
/// refusal is immediate, so without a pause the loop would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Default of [`Settings::drain`]: a client that is told to go goes at once.
pub const DRAIN: Duration = Duration::from_secs(10);
/// Default of [`Settings::keep_alive`]: a mapping of a NAT lives longer than half a minute, and a client
/// that has been gone for one and a half is.
pub const KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(30),
    misses: 3,
};
/// Default of [`Settings::connections`].
pub const CONNECTIONS: usize = 16_384;

/// Accepts connections and serves them.
#[derive(Debug)]
pub struct Acceptor {
    shared: Arc<Shared>,
    connections: usize,
    drain: Duration,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) desk: Arc<Desk>,
    pub(super) usages: Usages,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) ends_useless: bool,
    source: Arc<dyn Source>,
    memory: Memory,
    config: Mutex<Arc<ServerConfig>>,
    door: Mutex<Door<oneshot::Sender<Kind>>>,
    throttle: Arc<Mutex<Throttle>>,
    totals: Totals,
}

impl Settings {
    /// The defaults, with those host keys.
    pub fn with_host_keys(host_keys: HostKeys) -> Self {
        Self {
            host_keys,
            banner: None,
            keep_alive: Some(KEEP_ALIVE),
            ends_useless: true,
            connections: CONNECTIONS,
            drain: DRAIN,
        }
    }
}

impl Acceptor {
    /// An acceptor.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(settings: Settings, parts: Parts) -> Result<Self, CryptoError> {
        let mut transport =
            TransportConfig::server(Arc::clone(&parts.provider), parts.memory.pool.clone());
        transport.keep_alive = settings.keep_alive;
        transport.preferences.host_key = settings.host_keys.algorithms().to_vec();
        let config = ServerConfig {
            transport,
            host_keys: settings.host_keys.keys(),
            login: ServerLogin {
                methods: vec![Method::PublicKey],
                banner: settings.banner,
                signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
                anonymous: false,
            },
            delay_secret: DelaySecret::generate(parts.provider.random.as_ref())?,
        };
        let shared = Shared {
            rules: Rules {
                policy: parts.policy,
                verifier: Arc::clone(&parts.provider.verifier),
                clock: parts.clock,
            },
            desk: parts.desk,
            usages: parts.usages,
            resolver: parts.resolver,
            ends_useless: settings.ends_useless,
            source: parts.source,
            memory: parts.memory,
            config: Mutex::new(Arc::new(config)),
            door: Mutex::default(),
            throttle: Arc::default(),
            totals: Totals::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            connections: settings.connections,
            drain: settings.drain,
        })
    }

    /// Other host keys from here on. Connections that are there keep theirs.
    pub fn set_host_keys(&self, host_keys: &HostKeys) {
        let mut config = lock(&self.shared.config);
        let mut changed = ServerConfig::clone(&config);
        changed.host_keys = host_keys.keys();
        changed.transport.preferences.host_key = host_keys.algorithms().to_vec();
        *config = Arc::new(changed);
    }

    /// What has come so far, and what is there.
    pub fn counts(&self) -> Counts {
        let door = lock(&self.shared.door);
        let (arriving, waiting) = (door.taken(), door.waiting());
        drop(door);
        self.shared.totals.counts(arriving, waiting)
    }

    /// Accepts and serves until `stop`, then until everybody has gone or the drain time is over.
    pub async fn run(&self, listeners: Vec<TcpListener>, stop: CancellationToken) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                (socket, peer) = next(&listeners, &self.shared.totals) => {
                    let totals = &self.shared.totals;
                    Totals::add(&totals.accepted);
                    if connections.len() >= self.connections {
                        Totals::add(&totals.too_many);
                        tracing::debug!(visitor.addr = %peer, "connection is closed: there are too many");
                        continue;
                    }
                    let here = Here::counted(&self.shared);
                    let span = tracing::info_span!("connection", visitor.addr = %peer);
                    let serving = serve(here, socket, peer, stop.clone());
                    connections.spawn(serving.instrument(span));
                }
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(listeners);
        let drained = tokio::time::timeout(self.drain, async {
            while let Some(ended) = connections.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_err() {
            let left = connections.len();
            tracing::warn!(
                left,
                "drain time is over; closing the connections that are left"
            );
            connections.shutdown().await;
        }
    }
}

/// The next socket of any listener.
///
/// # Cancel safety
/// Cancel safe.
async fn next(listeners: &[TcpListener], totals: &Totals) -> (TcpStream, SocketAddr) {
    loop {
        let accepted = std::future::poll_fn(|cx| {
            for listener in listeners {
                if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        });
        match accepted.await {
            Ok(accepted) => return accepted,
            Err(error) => {
                Totals::add(&totals.refused);
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection has panicked");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is changed in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(here: Here, socket: TcpStream, peer: SocketAddr, stop: CancellationToken) {
    let shared = here.shared();
    // Who is not logged in yet has nothing to be told.
    let logged_in = tokio::select! {
        () = stop.cancelled() => return,
        logged_in = log_in(shared, socket, peer) => logged_in,
    };
    if let Some((who, connection, driver)) = logged_in {
        tracing::info!(
            principal = %who.principal.name,
            user = %who.user,
            source = %who.source,
            key = who.key.as_ref().map(tracing::field::display),
            "connection is logged in"
        );
        Totals::add(&shared.totals.logged_in);
        session::serve(Arc::clone(shared), who, connection, driver, stop).await;
    }
}

async fn log_in(
    shared: &Arc<Shared>,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(Who, Connection, Driver<Sourced>)> {
    let sourced = tokio::time::timeout(SOURCE_DEADLINE, shared.source.of(socket, peer));
    let sourced = sourced.await.ok()?.ok()?;
    let source = sourced.source;
    let network = Network::of(source.ip());
    let Some(place) = Place::take(shared, network).await else {
        Totals::add(&shared.totals.no_place);
        tracing::debug!(%network, "connection is closed: no place at the door");
        return None;
    };
    if let Err(error) = tune(&sourced.socket) {
        tracing::debug!(%error, "socket has gone");
        return None;
    }
    let config = Arc::clone(&lock(&shared.config));
    let mut gate = Gate::new(shared.rules.clone(), source, Arc::clone(&shared.throttle));
    let accepted = Box::pin(accept(sourced, &config, shared.memory.clone(), &mut gate)).await;
    drop(place);
    let (connection, driver) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            gate.failed();
            Totals::add(&shared.totals.not_logged_in);
            tracing::debug!(%error, "nobody logged in");
            return None;
        }
    };
    let who = gate.admitted()?;
    let now = tokio::time::Instant::now().into_std();
    lock(&shared.door).knows(network, now);
    Some((who, connection, driver))
}

/// A place at the door. Given back when dropped.
struct Place {
    shared: Arc<Shared>,
    network: Network,
    kind: Kind,
}

impl Place {
    /// Takes a place, and waits for one if there is none.
    async fn take(shared: &Arc<Shared>, network: Network) -> Option<Self> {
        let now = tokio::time::Instant::now().into_std();
        let (ticket, call) = oneshot::channel();
        let coming = lock(&shared.door).comes(network, ticket, now);
        let kind = match coming {
            Coming::In(kind) => kind,
            Coming::Full => return None,
            Coming::Waits => {
                let mut called = Called {
                    shared: Arc::clone(shared),
                    network,
                    call,
                    has_come: false,
                };
                let waited = tokio::time::timeout(DOOR_DEADLINE, &mut called.call).await;
                let kind = waited.ok()?.ok()?;
                called.has_come = true;
                kind
            }
        };
        Some(Self {
            shared: Arc::clone(shared),
            network,
            kind,
        })
    }
}

/// Somebody who waits to be called. Who goes away in the instant of the call gives the place to the next.
struct Called {
    shared: Arc<Shared>,
    network: Network,
    call: oneshot::Receiver<Kind>,
    has_come: bool,
}

impl Drop for Called {
    fn drop(&mut self) {
        if self.has_come {
            return;
        }
        self.call.close();
        match self.call.try_recv() {
            Ok(kind) => give_back(&self.shared, self.network, kind),
            Err(_) => lock(&self.shared.door).gave_up(|ticket| !ticket.is_closed()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        give_back(&self.shared, self.network, self.kind);
    }
}

/// Gives a place back, and calls whoever may come in by that.
fn give_back(shared: &Shared, network: Network, kind: Kind) {
    let now = tokio::time::Instant::now().into_std();
    let mut door = lock(&shared.door);
    door.left(network, kind);
    while let Some((network, ticket, kind)) = door.next(now) {
        if ticket.send(kind).is_err() {
            // It has gone in this very instant.
            door.left(network, kind);
        }
    }
}

impl Sourced {
    /// That socket comes from there.
    pub const fn new(socket: TcpStream, source: SocketAddr) -> Self {
        Self { socket, source }
    }
}

impl Carrier for Sourced {
    fn acknowledge(&self) {
        self.socket.acknowledge();
    }

    fn source(&self) -> Option<IpAddr> {
        Some(self.source.ip().to_canonical())
    }

    fn local(&self) -> Option<IpAddr> {
        self.socket.local()
    }
}

impl AsyncRead for Sourced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Sourced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
